//! What Kuryr needs of Kubernetes. Pure: facts in, findings out.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use super::cluster::ClusterFacts;
use super::finding::Finding;

/// Oldest Kubernetes: ValidatingAdmissionPolicy is v1 since.
const OLDEST: (u32, u32) = (1, 30);

/// DaemonSets of other networks, by a part of their names.
const OTHER_NETWORKS: [&str; 12] = [
    "calico-node",
    "cilium",
    "kube-flannel",
    "weave-net",
    "antrea-agent",
    "kube-router",
    "ovnkube-node",
    "kube-ovn-cni",
    "canal",
    "aws-node",
    "azure-cni",
    "kindnet",
];

const CRDS: &str = "kuryr crds | kubectl apply -f -";

/// Everything there is to say about the cluster.
pub(crate) fn findings(facts: &ClusterFacts) -> Vec<Finding> {
    vec![version(facts), nodes(facts), definition(facts), networks(facts)]
}

/// Whether this Kubernetes is new enough.
pub(crate) fn version(facts: &ClusterFacts) -> Finding {
    match &facts.version {
        Ok((major, minor, whole)) if (*major, *minor) >= OLDEST => Finding::good("kubernetes", whole.clone()),
        Ok((_, _, whole)) => Finding::error(
            "kubernetes",
            format!("the API server is {whole}; Kuryr needs {}.{} or newer", OLDEST.0, OLDEST.1),
            "upgrade the control plane: kubeadm upgrade plan",
        ),
        Err(error) => Finding::error(
            "kubernetes",
            format!("the API server does not say its version: {error}"),
            "kubectl version; check KUBECONFIG or --context",
        ),
    }
}

fn nodes(facts: &ClusterFacts) -> Finding {
    match &facts.nodes {
        Ok(nodes) if nodes.is_empty() => {
            Finding::error("nodes", "the cluster has no nodes", "kubeadm join, on each node")
        }
        Ok(nodes) => {
            let usable = nodes.iter().filter(|node| node.usable).count();
            // Before the first network is installed, no node is ready: that is what nodes wait for.
            Finding::good(
                "nodes",
                format!("{}, {usable} of them ready (none is before there is a network)", nodes.len()),
            )
        }
        Err(error) => Finding::skipped("nodes", format!("they cannot be listed: {error}")),
    }
}

fn definition(facts: &ClusterFacts) -> Finding {
    match &facts.definition {
        Ok(None) => Finding::warning("crds", "the definition of KuryrPort is not in the cluster yet", CRDS),
        Ok(Some(definition)) => match outdated(definition) {
            None => Finding::good("crds", "kuryrports.openstack.org is as this version needs it"),
            Some(why) => Finding::error("crds", format!("kuryrports.openstack.org is not this version's: {why}"), CRDS),
        },
        Err(error) => Finding::skipped("crds", format!("definitions cannot be read: {error}")),
    }
}

/// What the API server would throw away or refuse of what we write.
pub(crate) fn outdated(definition: &CustomResourceDefinition) -> Option<String> {
    let Some(version) = definition.spec.versions.iter().find(|version| version.name == "v1" && version.served) else {
        return Some("it does not serve v1".to_owned());
    };
    if version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some()) {
        return Some("it has a status subresource, so the status we write would be ignored".to_owned());
    }
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let properties = schema.and_then(|schema| schema.properties.as_ref())?;
    let keeps = |top: &str, name: &str| {
        properties.get(top).is_some_and(|object| {
            object.x_kubernetes_preserve_unknown_fields == Some(true)
                || object.properties.as_ref().is_some_and(|properties| properties.contains_key(name))
        })
    };
    let lost = [
        ("spec", "podUid"),
        ("spec", "podNodeName"),
        ("spec", "podStatic"),
        ("status", "vifs"),
        ("status", "conditions"),
    ];
    let lost: Vec<String> =
        lost.iter().filter(|(top, name)| !keeps(top, name)).map(|(top, name)| format!("{top}.{name}")).collect();
    (!lost.is_empty()).then(|| format!("the API server would drop {}", lost.join(", ")))
}

/// Whether another network is there.
pub(crate) fn networks(facts: &ClusterFacts) -> Finding {
    let cure = "give the cluster one network: remove the other's DaemonSet and its file in /etc/cni/net.d of every node, then restart its pods";
    match &facts.daemon_sets {
        Ok(names) => {
            let others: Vec<&str> = names
                .iter()
                .filter(|name| {
                    OTHER_NETWORKS.iter().any(|other| name.split('/').nth(1).unwrap_or_default().contains(other))
                })
                .map(String::as_str)
                .collect();
            if others.is_empty() {
                let text = "no other network runs as a DaemonSet; files in /etc/cni/net.d are not visible from here: the first one there wins";
                Finding::good("other networks", text)
            } else {
                Finding::warning("other networks", format!("{} looks like another network", others.join(", ")), cure)
            }
        }
        Err(error) => Finding::skipped("other networks", format!("DaemonSets cannot be listed: {error}")),
    }
}
