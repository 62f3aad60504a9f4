//! docs/troubleshooting.md has an entry for everything the code can say: reasons, codes and messages of the plugin, conditions of the
//! operator, alerts. What it has an entry for can be said.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::literals::{literals, literals_of_calls, sources};
use super::root;

/// Words in the controller that look like reasons and are none.
const NO_REASONS: [&str; 47] = [
    "PodScheduled",
    "KuryrPorts",
    "NotFound",
    "KuryrPort",
    "ServiceError",
    "HyperError",
    "ApiError",
    // Kinds of objects, types of Services, and how they keep clients.
    "EndpointSlices",
    "KuryrLoadBalancers",
    "LoadBalancer",
    "ClusterIP",
    "NodePort",
    "ExternalName",
    "ClientIP",
    "IngressClasses",
    "HTTPRoute",
    "HTTPRoutes",
    "TCPRoute",
    "TCPRoutes",
    "UDPRoute",
    "UDPRoutes",
    "GatewayClass",
    "GatewayClasses",
    "ReferenceGrant",
    "ReferenceGrants",
    // Words of Ingresses and of Gateway API; the conditions and their reasons are in docs/ingress.md.
    "ImplementationSpecific",
    "PathPrefix",
    "RegularExpression",
    "RequestRedirect",
    "ReplaceFullPath",
    "IPAddress",
    "ResolvedRefs",
    "PartiallyInvalid",
    "ListenersNotValid",
    "UnsupportedAddress",
    "UnsupportedProtocol",
    "UnsupportedValue",
    "InvalidRouteKinds",
    "InvalidKind",
    "ProtocolConflict",
    "HostnameConflict",
    "NoConflicts",
    "NoMatchingParent",
    "NotAllowedByListeners",
    "NoMatchingListenerHostname",
    "RefNotPermitted",
    "NoResources",
];
/// The same in the operator: Kubernetes' own.
const OF_KUBERNETES: [&str; 16] = [
    "CrashLoopBackOff",
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "DaemonSet",
    "CustomResourceDefinition",
    "RuntimeDefault",
    "FallbackToLogsOnError",
    "ConfigMap",
];

/// The document, and a part of it by its heading.
fn document() -> String {
    std::fs::read_to_string(root().join("docs/troubleshooting.md")).unwrap()
}

fn section(heading: &str) -> String {
    let text = document();
    let behind = text.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    behind.split("\n## ").next().unwrap().to_owned()
}

fn headings(section: &str) -> BTreeSet<String> {
    section.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect()
}

fn said(path: &str) -> BTreeSet<String> {
    let path: PathBuf = root().join("crates").join(path);
    sources(&path).iter().flat_map(|source| literals(source)).collect()
}

/// `LikeThis`: at least two words in one.
fn is_reason(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
        && text.chars().skip(1).any(|c| c.is_ascii_uppercase())
        && text.chars().any(|c| c.is_ascii_lowercase())
}

#[track_caller]
fn same(what: &str, code: &BTreeSet<String>, document: &BTreeSet<String>) {
    let missing: Vec<_> = code.difference(document).collect();
    let stale: Vec<_> = document.difference(code).collect();
    assert!(missing.is_empty(), "{what} without an entry in docs/troubleshooting.md: {missing:?}");
    assert!(stale.is_empty(), "{what} in docs/troubleshooting.md that nothing says: {stale:?}");
    assert!(code.len() > 5, "{what}: {code:?}");
}

#[test]
fn every_reason_of_a_kuryrport_has_an_entry() {
    let mut reasons: BTreeSet<String> = said("controller/src").into_iter().filter(|text| is_reason(text)).collect();
    for word in NO_REASONS {
        reasons.remove(word);
    }
    // What `kuryr status` has a cure for, too.
    reasons.extend(said("kuryr/src/status/cures.rs").into_iter().filter(|text| is_reason(text)));
    same("reasons", &reasons, &headings(&section("Reasons of a KuryrPort")));
}

#[test]
fn every_alert_has_an_entry() {
    let rules = std::fs::read_to_string(root().join("deploy/monitoring/kuryr-alerts.yaml")).unwrap();
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    same("alerts", &alerts, &headings(&section("An alert fires")));
}

#[test]
fn every_reason_of_the_operator_has_an_entry() {
    let files = ["judge.rs", "obstacle.rs", "taking_out.rs", "mod.rs"];
    let all = files.iter().flat_map(|file| said(&format!("kuryr/src/operator/{file}")));
    let mut reasons: BTreeSet<String> = all.filter(|text| is_reason(text)).collect();
    for word in OF_KUBERNETES {
        reasons.remove(word);
    }
    // One word alone, and the name of a condition as well.
    reasons.extend(["Degraded", "Uninstalling"].map(str::to_owned));
    let section = section("The operator's resource is degraded");
    let first_cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let named = first_cells.flat_map(|cell| cell.split('`')).filter(|word| word.chars().all(char::is_alphanumeric));
    same("reasons of the operator", &reasons, &named.filter(|word| !word.is_empty()).map(str::to_owned).collect());
}

#[test]
fn every_code_of_the_plugin_has_an_entry() {
    let mut codes = BTreeSet::new();
    for path in ["node/src/error.rs", "node/src/legacy.rs", "cni/src/failure.rs"] {
        for source in sources(&root().join("crates").join(path)) {
            let constants = source.lines().filter(|line| line.contains("const ") && line.contains(": u"));
            let values = constants.filter(|line| line.contains("u32 = ") || line.contains("u64 = "));
            codes.extend(values.map(|line| line.rsplit(" = ").next().unwrap().trim_end_matches(';').to_owned()));
        }
    }
    let section = section("Codes of the CNI plugin");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let numbers = cells.flat_map(|cell| cell.split(", ")).filter(|cell| cell.parse::<u32>().is_ok());
    same("codes", &codes, &numbers.map(str::to_owned).collect());
}

#[test]
fn every_message_of_the_plugin_has_an_entry() {
    let rows = section("Codes of the CNI plugin");
    let cells = rows.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(1));
    let spans: Vec<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let (mut messages, mut all) = (Vec::new(), Vec::new());
    for path in ["node/src", "cni/src"] {
        for source in sources(&root().join("crates").join(path)) {
            messages.extend(literals_of_calls(&source, "CniError::new("));
            messages.extend(literals_of_calls(&source, "Failure::new("));
            if source.contains("enum PlugError") {
                messages.extend(literals_of_calls(&source, "#[error("));
            }
            all.extend(literals(&source));
        }
    }
    assert!(messages.len() > 40, "{messages:?}");
    messages.retain(|message| !spans.iter().any(|span| is_of(span, message)));
    assert!(messages.is_empty(), "messages without an entry in docs/troubleshooting.md:\n{}", messages.join("\n"));
    let stale: Vec<_> = spans.iter().filter(|span| !all.iter().any(|message| is_of(span, message))).collect();
    assert!(stale.is_empty(), "messages in docs/troubleshooting.md that nothing says: {stale:?}");
}

/// Whether a span, in which … stands for anything, is how this message begins or goes; the message may leave more open than the span.
fn is_of(span: &str, message: &str) -> bool {
    let of_message: Vec<&str> = message
        .split('{')
        .enumerate()
        .map(|(n, piece)| if n == 0 { piece } else { piece.split_once('}').map_or("", |(_, rest)| rest) })
        .collect();
    let of_span: Vec<&str> = span.split('…').collect();
    let letters = |pieces: &[&str]| pieces.iter().map(|piece| piece.trim().len()).sum::<usize>();
    let in_order = |pieces: &[&str], whole: &str| {
        let mut rest = whole;
        pieces.iter().all(|piece| {
            let found = rest.find(piece.trim());
            rest = found.map_or("", |place| &rest[place + piece.trim().len()..]);
            found.is_some()
        })
    };
    (letters(&of_span) >= 10 && in_order(&of_span, &of_message.join("…")))
        || (letters(&of_message) >= 7 && in_order(&of_message, span))
}

#[test]
fn spans_stand_for_messages() {
    assert!(is_of("bridge … does not exist on this node", "bridge {bridge:?} does not exist on this node; {cure}"));
    assert!(is_of("after … s: there is no port", "after {} s: {reason}"));
    assert!(!is_of("after … s: there is no port", "container {} has no interface"));
    assert!(!is_of("…", "container {} has no interface"));
}
