//! What can be seen of a running Kuryr: everything that is asked, in one place. What the reader may not see is a reason, not
//! an end.

use std::time::Duration;

use futures::join;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::{Api, ListParams};
use kuryr_api::crd::{KuryrLoadBalancer, KuryrPort};
use kuryr_openstack::Cloud;
use kuryr_openstack::network::QuotaUse;
use tokio::time::Instant;

use crate::reach::all;

/// Name of the controller's Deployment, of its Lease, and of its pods' label `name`.
pub(crate) const CONTROLLER: &str = "kuryr-controller";
/// Name of the daemon's DaemonSet.
pub(crate) const DAEMON_SET: &str = "kuryr-cni";
/// Its name in the manifests of kuryr-kubernetes, which work with our image too.
pub(crate) const LEGACY_DAEMON_SET: &str = "kuryr-cni-ds";
/// Label of the daemon's pods.
const DAEMON_LABEL: &str = "app=kuryr-cni";
/// Label of the controller's pods.
const CONTROLLER_LABEL: &str = "name=kuryr-controller";

/// A part of the answer, or why it could not be had.
pub(crate) type Part<T> = Result<T, String>;

/// Everything that was seen.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) now: Timestamp,
    pub(crate) namespace: String,
    /// `None`: there is none.
    pub(crate) deployment: Part<Option<Deployment>>,
    pub(crate) daemon_set: Part<Option<DaemonSet>>,
    pub(crate) lease: Part<Option<Lease>>,
    /// Pods of the controller and of the daemons.
    pub(crate) own_pods: Part<Vec<Pod>>,
    pub(crate) pods: Part<Vec<Pod>>,
    pub(crate) nodes: Part<Vec<Node>>,
    /// `None`: the definition is not there.
    pub(crate) kuryr_ports: Part<Option<Vec<KuryrPort>>>,
    /// `None`: the definition is not there.
    pub(crate) kuryr_load_balancers: Part<Option<Vec<KuryrLoadBalancer>>>,
    /// Whether Services are on, as far as is known here.
    pub(crate) services: bool,
    pub(crate) events: Part<Vec<Event>>,
    /// `None`: there are no credentials here.
    pub(crate) cloud: Option<CloudSeen>,
}

/// What the cloud said.
#[derive(Debug)]
pub(crate) struct CloudSeen {
    pub(crate) address: String,
    /// How long Neutron took to answer, or why it did not.
    pub(crate) answer: Part<Duration>,
    pub(crate) ports: Part<QuotaUse>,
}

/// Who is asked.
pub(crate) struct Asked {
    pub(crate) kube: kube::Client,
    pub(crate) namespace: String,
    /// `[kuryr] services`
    pub(crate) services: bool,
    /// Address, client, project; or why there is no client.
    pub(crate) cloud: Option<CloudAsked>,
}

/// The cloud, as far as there are credentials.
pub(crate) struct CloudAsked {
    pub(crate) address: String,
    pub(crate) client: Part<Cloud>,
    /// `[neutron_defaults] project`; the token's if it is not set.
    pub(crate) project: Option<String>,
}

/// Asks everybody at once.
pub(crate) async fn look(asked: &Asked) -> Seen {
    let kube = &asked.kube;
    let namespace = asked.namespace.as_str();
    let labelled = |labels: &'static str| ListParams::default().labels(labels);
    let own = Api::<Pod>::namespaced(kube.clone(), namespace);
    let own_pods = async {
        let mut pods = all(&own, labelled(CONTROLLER_LABEL)).await?;
        pods.extend(all(&own, labelled(DAEMON_LABEL)).await?);
        Ok::<_, kube::Error>(pods)
    };
    let deployments = Api::<Deployment>::namespaced(kube.clone(), namespace);
    let daemon_sets = Api::<DaemonSet>::namespaced(kube.clone(), namespace);
    let leases = Api::<Lease>::namespaced(kube.clone(), namespace);
    // Its age is told by the time it was read at, however long others take to answer.
    let lease = async { (leases.get_opt(CONTROLLER).await, Timestamp::now()) };
    let daemon_set = async {
        match daemon_sets.get_opt(DAEMON_SET).await? {
            Some(found) => Ok(Some(found)),
            None => daemon_sets.get_opt(LEGACY_DAEMON_SET).await,
        }
    };
    let every_pod = Api::<Pod>::all(kube.clone());
    let nodes = Api::<Node>::all(kube.clone());
    let kuryr_ports = Api::<KuryrPort>::all(kube.clone());
    let balancers = Api::<KuryrLoadBalancer>::all(kube.clone());
    let events = Api::<Event>::all(kube.clone());
    let warnings = ListParams::default().fields("type=Warning");
    let (deployment, daemon_set, (lease, now), own_pods, pods, nodes, kuryr_ports, balancers, events, cloud) = join!(
        deployments.get_opt(CONTROLLER),
        daemon_set,
        lease,
        own_pods,
        all(&every_pod, ListParams::default()),
        all(&nodes, ListParams::default()),
        all(&kuryr_ports, ListParams::default()),
        all(&balancers, ListParams::default()),
        all(&events, warnings),
        look_at_cloud(asked.cloud.as_ref()),
    );
    Seen {
        now,
        namespace: namespace.to_owned(),
        deployment: said(deployment),
        daemon_set: said(daemon_set),
        lease: said(lease),
        own_pods: said(own_pods),
        pods: said(pods),
        nodes: said(nodes),
        kuryr_ports: if_defined(kuryr_ports),
        kuryr_load_balancers: if_defined(balancers),
        services: asked.services,
        events: said(events),
        cloud,
    }
}

/// `None`: there is no definition of it.
fn if_defined<T>(answer: kube::Result<Vec<T>>) -> Part<Option<Vec<T>>> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        other => said(other).map(Some),
    }
}

fn said<T>(answer: kube::Result<T>) -> Part<T> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => innermost(&other),
    })
}

/// The root of an error: what lies above it says less.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(deeper) = root.source() {
        root = deeper;
    }
    root.to_string()
}

async fn look_at_cloud(asked: Option<&CloudAsked>) -> Option<CloudSeen> {
    let asked = asked?;
    let address = asked.address.clone();
    let unreachable =
        |why: String| Some(CloudSeen { address: address.clone(), ports: Err(why.clone()), answer: Err(why) });
    let cloud = match &asked.client {
        Ok(cloud) => cloud,
        Err(error) => return unreachable(error.clone()),
    };
    // The token first, so that its making does not count as Neutron's time.
    let token = match cloud.authenticate().await {
        Ok(token) => token,
        Err(error) => return unreachable(error.to_string()),
    };
    let start = Instant::now();
    let answer = cloud.network().extensions().await.map(|_| start.elapsed()).map_err(|error| error.to_string());
    let project = asked.project.clone().or(token.project_id);
    let ports = match project {
        Some(project) => {
            cloud.network().quota(&project).await.map(|quota| quota.port).map_err(|error| error.to_string())
        }
        None => Err("the token is for no project; set [neutron_defaults] project".to_owned()),
    };
    Some(CloudSeen { address, answer, ports })
}
