//! What the cluster has of what Kuryr needs: asked here, judged in [`super::cluster_rules`].

use std::net::IpAddr;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::cloud::NodeFacts;
use crate::reach::all;
use crate::status::seen::{CONTROLLER, DAEMON_SET, LEGACY_DAEMON_SET};

/// What the cluster said; an error is its words.
#[derive(Debug)]
pub(crate) struct ClusterFacts {
    /// `major`, `minor` and the whole version.
    pub(crate) version: Result<(u32, u32, String), String>,
    pub(crate) nodes: Result<Vec<NodeFacts>, String>,
    /// The definition of KuryrPort; `None` if it is not there.
    pub(crate) definition: Result<Option<CustomResourceDefinition>, String>,
    /// Names of all DaemonSets, `namespace/name`.
    pub(crate) daemon_sets: Result<Vec<String>, String>,
    /// Image of the controller that runs.
    pub(crate) controller_image: Option<String>,
    /// Whether both workloads are there.
    pub(crate) installed: bool,
}

/// Asks the cluster.
pub(crate) async fn ask(kube: &kube::Client, namespace: &str) -> ClusterFacts {
    let definitions = Api::<CustomResourceDefinition>::all(kube.clone());
    let nodes = Api::<Node>::all(kube.clone());
    let daemon_sets = Api::<DaemonSet>::all(kube.clone());
    let deployments = Api::<Deployment>::namespaced(kube.clone(), namespace);
    let (version, definition, nodes, daemon_sets, deployment) = futures::join!(
        kube.apiserver_version(),
        definitions.get_opt("kuryrports.openstack.org"),
        all(&nodes, ListParams::default()),
        all(&daemon_sets, ListParams::default()),
        deployments.get_opt(CONTROLLER),
    );
    let words = |error: kube::Error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => crate::status::seen::innermost(&other),
    };
    let daemon_sets = daemon_sets.map_err(words).map(|sets| {
        let names = sets.iter().map(|set| format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any()));
        names.collect::<Vec<_>>()
    });
    let deployment = deployment.ok().flatten();
    let daemons = [DAEMON_SET, LEGACY_DAEMON_SET].map(|name| format!("{namespace}/{name}"));
    let has_daemons = |names: &Vec<String>| names.iter().any(|name| daemons.contains(name));
    ClusterFacts {
        version: version.map_err(words).map(|info| (digits(&info.major), digits(&info.minor), info.git_version)),
        nodes: nodes.map_err(words).map(|nodes| nodes.into_iter().map(node).collect()),
        definition: definition.map_err(words),
        installed: deployment.is_some() && daemon_sets.as_ref().is_ok_and(has_daemons),
        controller_image: deployment.as_ref().and_then(image),
        daemon_sets,
    }
}

/// Some clouds write `34+`.
fn digits(text: &str) -> u32 {
    text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(0)
}

fn node(node: Node) -> NodeFacts {
    let name = node.name_any();
    let unschedulable = node.spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let status = node.status.unwrap_or_default();
    let ready =
        status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let addresses = status.addresses.iter().flatten().filter(|address| address.type_ == "InternalIP");
    let addresses: Vec<IpAddr> = addresses.filter_map(|address| address.address.parse().ok()).collect();
    NodeFacts { name, addresses, usable: ready && !unschedulable }
}

fn image(deployment: &Deployment) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let container =
        pod.containers.iter().find(|container| container.name == "controller").or(pod.containers.first())?;
    container.image.clone()
}
