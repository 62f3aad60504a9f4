//! `kuryr upgrade-check`: whether this version can take over from the kuryr-kubernetes whose objects are in the cluster. It is
//! also `kuryr-k8s-status upgrade check`, with that program's exit codes: 0 yes, 1 with warnings, 2 no, 255 it could not look.

mod left;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::check::cluster_rules;
use crate::check::finding::{Finding, Severity, page};
use crate::process::Exit;
use crate::reach::{self, Target};
use crate::screen::Screen;
use crate::status::Output;
use left::{Left, Ports};

/// How many objects are named.
const EXAMPLES: usize = 5;

/// What `kuryr upgrade-check` is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpgradeArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How to show it
    #[arg(short, long, value_enum, default_value_t = Output::Screen)]
    output: Output,
}

/// Checks, and ends as kuryr-k8s-status did.
pub(crate) fn run(args: &UpgradeArgs) -> Exit {
    let conf = match args.target.conf() {
        Ok(conf) => conf,
        Err(errors) => return crate::process::refuse(&errors),
    };
    reach::run(async {
        let kube = match args.target.kube(&conf).await {
            Ok(kube) => kube,
            Err(error) => {
                eprintln!("error: {}", crate::process::line(&error));
                return Ok(Exit::Unknown);
            }
        };
        let left = left::look(&kube).await;
        if let (Err(error), Err(_)) = (&left.definition, &left.pods) {
            eprintln!("error: the cluster does not let us look: {error}");
            return Ok(Exit::Unknown);
        }
        let findings = judge(&left);
        show(&findings, args.output)?;
        Ok(match findings.iter().map(|finding| finding.severity).max() {
            Some(Severity::Error) => Exit::Refused,
            Some(Severity::Warning) => Exit::Failed,
            _ => Exit::Done,
        })
    })
}

fn show(findings: &[Finding], output: Output) -> Result<()> {
    let text = match output {
        Output::Screen => page(findings, Screen::of_stdout()),
        Output::Json => {
            serde_json::to_string_pretty(findings).context("the findings cannot be written as JSON")? + "\n"
        }
    };
    crate::print(&text);
    Ok(())
}

/// What it means. Pure.
fn judge(left: &Left) -> Vec<Finding> {
    let mut found = vec![definition(left)];
    match &left.kuryr_ports {
        Ok(ports) => kuryr_ports(ports, &mut found),
        Err(error) => found.push(unseen("kuryrports", error)),
    }
    match &left.pods {
        Ok(pods) => {
            if pods.with_annotation.is_empty() {
                found.push(Finding::good("annotations", "no pod has its vif in an annotation, as before 3.0"));
            } else {
                found.push(Finding::error(
                    "annotations",
                    format!("{} pods have their vif in an annotation, as before 3.0: {}", pods.with_annotation.len(), some(&pods.with_annotation)),
                    "upgrade to kuryr-kubernetes 3.0 first, which converts them; or delete these pods, so that they are made anew",
                ));
            }
            found.push(match pods.with_finalizer {
                0 => Finding::good("pod finalizers", "none"),
                count => Finding::good(
                    "pod finalizers",
                    format!("{count} pods have kuryr-kubernetes' finalizer; it is taken off when they are looked at"),
                ),
            });
        }
        Err(error) => found.push(unseen("pods", error)),
    }
    others(left, &mut found);
    found
}

fn unseen(check: &'static str, error: &str) -> Finding {
    Finding::error(
        check,
        format!("they cannot be listed: {error}"),
        "run with the rights of a cluster's administrator: kubectl auth can-i list pods -A",
    )
}

fn definition(left: &Left) -> Finding {
    let cure = "kuryr crds | kubectl apply -f -: existing objects stay as they are";
    match &left.definition {
        Ok(None) => Finding::warning(
            "crds",
            "there is no definition of KuryrPort: this cluster has no kuryr-kubernetes of 3.0 or later",
            cure,
        ),
        Ok(Some(definition)) => match cluster_rules::outdated(definition) {
            None => Finding::good("crds", "kuryrports.openstack.org is as this version needs it"),
            Some(why) => {
                Finding::warning("crds", format!("kuryrports.openstack.org is to be applied again: {why}"), cure)
            }
        },
        Err(error) => Finding::error(
            "crds",
            format!("definitions cannot be read: {error}"),
            "kubectl auth can-i get customresourcedefinitions",
        ),
    }
}

fn kuryr_ports(ports: &Ports, found: &mut Vec<Finding>) {
    found.push(Finding::good(
        "kuryrports",
        format!("{} of {} can be carried on, {} have no port yet", ports.usable, ports.total, ports.empty),
    ));
    if !ports.unreadable.is_empty() {
        let names: Vec<String> = ports.unreadable.iter().map(|(name, reason)| format!("{name} ({reason})")).collect();
        found.push(Finding::warning(
            "vifs",
            format!("{} vifs cannot be read: {}", names.len(), some(&names)),
            "their pods go on running and get no change; kubectl delete kuryrport NAME -n NAMESPACE makes one again when its pod can be restarted",
        ));
    }
    if !ports.foreign.is_empty() {
        let names: Vec<String> = ports.foreign.iter().map(|(name, class)| format!("{name} ({class})")).collect();
        found.push(Finding::error(
            "vifs",
            format!("{} vifs are of kinds this version does not plug: {}", names.len(), some(&names)),
            "stay with kuryr-kubernetes for pods inside virtual machines, or move these pods to nodes with neutron-vif",
        ));
    }
}

fn others(left: &Left, found: &mut Vec<Finding>) {
    let mut none = true;
    for (plural, about, count) in &left.others {
        match count {
            Ok(None | Some(0)) => {}
            Ok(Some(count)) => {
                none = false;
                found.push(Finding::error(
                    "other objects",
                    format!("{count} {plural} ({about}): this version does not look after them"),
                    format!("stay with kuryr-kubernetes where they are needed; else delete them while it still runs, so that it cleans the cloud: kubectl get {plural} -A"),
                ));
            }
            Err(error) => found.push(unseen("other objects", error)),
        }
    }
    match &left.services {
        Ok(0) => {}
        Ok(count) => {
            none = false;
            found.push(Finding::error(
                "other objects",
                format!("{count} Services have kuryr-kubernetes' finalizer and cannot be deleted without it"),
                "delete them while it still runs, or afterwards kubectl patch service NAME --type merge -p '{\"metadata\":{\"finalizers\":null}}'",
            ));
        }
        Err(error) => found.push(unseen("services", error)),
    }
    if none {
        found.push(Finding::good("other objects", "no Services, networks or policies of kuryr-kubernetes"));
    }
}

fn some(names: &[String]) -> String {
    let more = if names.len() > EXAMPLES { ", …" } else { "" };
    format!("{}{more}", names.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use kuryr_fake::kubernetes::Cluster;
    use serde_json::{Value, json};

    use super::*;

    fn cluster() -> Cluster {
        let cluster = Cluster::builder().auto_namespaces().build();
        for definition in kuryr_api::crd::definitions() {
            cluster.create(serde_json::to_value(definition).unwrap()).unwrap();
        }
        cluster
    }

    async fn findings(cluster: &Cluster) -> Vec<Finding> {
        judge(&left::look(&kube::Client::new(cluster.clone(), "default")).await)
    }

    #[track_caller]
    fn expect(found: &[Finding], check: &str, severity: Severity, words: &[&str]) {
        let fits = |finding: &&Finding| {
            let text = format!("{} → {}", finding.what, finding.cure.as_deref().unwrap_or_default());
            finding.check == check && finding.severity == severity && words.iter().all(|words| text.contains(words))
        };
        assert!(found.iter().any(|finding| fits(&finding)), "no {severity:?} of {check} with {words:?} in {found:#?}");
    }

    fn port(name: &str, vif: &Value) -> Value {
        json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": { "name": name, "namespace": "default" },
            "spec": { "podUid": name, "podNodeName": "n1" },
            "status": { "vifs": { "eth0": { "default": true, "vif": vif } } },
        })
    }

    fn vif(class: &str) -> Value {
        let object = |name: &str, data: Value| {
            json!({ "versioned_object.name": name, "versioned_object.namespace": "os_vif", "versioned_object.version": "1.0",
                    "versioned_object.data": data })
        };
        let subnets = object("SubnetList", json!({ "objects": [] }));
        let network = object("Network", json!({ "id": "n", "subnets": subnets }));
        let mut data = json!({ "id": "p", "address": "fa:16:3e:00:00:01", "network": network, "plugin": "ovs", "active": true,
                               "vif_name": "tapp", "has_traffic_filtering": true });
        if class == "VIFOpenVSwitch" {
            data["bridge_name"] = json!("br-int");
            data["port_profile"] = object("VIFPortProfileOpenVSwitch", json!({ "interface_id": "p" }));
        }
        object(class, data)
    }

    #[tokio::test]
    async fn an_empty_cluster_and_one_of_ours_are_fine() {
        let found = findings(&cluster()).await;
        assert!(found.iter().all(|finding| finding.severity == Severity::Good), "{found:#?}");
    }

    #[tokio::test]
    async fn what_cannot_be_taken_over_is_named() {
        let cluster = cluster();
        cluster.create(port("good", &vif("VIFOpenVSwitch"))).unwrap();
        cluster.create(port("nested", &vif("VIFVlanNested"))).unwrap();
        cluster.create(port("broken", &json!({ "x": 1 }))).unwrap();
        cluster
            .create(json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "ancient", "namespace": "default", "annotations": { "openstack.org/kuryr-vif": "{}" },
                              "finalizers": ["kuryr.openstack.org/pod-finalizer"] },
                "spec": { "containers": [{ "name": "c", "image": "i" }] },
            }))
            .unwrap();
        cluster
            .create(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": { "name": "s", "namespace": "default", "finalizers": ["kuryr.openstack.org/service-finalizer"] },
                "spec": { "ports": [{ "port": 80 }] },
            }))
            .unwrap();
        let found = findings(&cluster).await;
        expect(&found, "kuryrports", Severity::Good, &["1 of 3 can be carried on"]);
        expect(
            &found,
            "vifs",
            Severity::Warning,
            &["default/broken", "versioned_object.name", "kubectl delete kuryrport"],
        );
        expect(&found, "vifs", Severity::Error, &["default/nested (VIFVlanNested)"]);
        expect(&found, "annotations", Severity::Error, &["default/ancient", "3.0"]);
        expect(&found, "pod finalizers", Severity::Good, &["1 pods"]);
        expect(&found, "other objects", Severity::Error, &["1 Services", "finalizers"]);
    }

    #[tokio::test]
    async fn an_older_definition_is_to_be_applied_again() {
        let cluster = Cluster::builder().auto_namespaces().build();
        expect(&findings(&cluster).await, "crds", Severity::Warning, &["no definition", "kuryr crds | kubectl apply"]);
        let mut old = serde_json::to_value(&kuryr_api::crd::definitions()[0]).unwrap();
        let schema = &mut old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        schema["status"]["properties"].as_object_mut().unwrap().remove("conditions");
        cluster.create(old).unwrap();
        expect(&findings(&cluster).await, "crds", Severity::Warning, &["status.conditions"]);
    }

    #[tokio::test]
    async fn other_objects_of_kuryr_kubernetes_are_counted() {
        let cluster = cluster();
        cluster
            .create(json!({ "apiVersion": "openstack.org/v1", "kind": "KuryrLoadBalancer", "metadata": { "name": "l", "namespace": "default" }, "spec": {} }))
            .unwrap();
        expect(
            &findings(&cluster).await,
            "other objects",
            Severity::Error,
            &["1 kuryrloadbalancers", "load balancers of Services"],
        );
    }
}
