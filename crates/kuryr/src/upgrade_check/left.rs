//! What kuryr-kubernetes left in a cluster, read as it is: nothing is assumed to be well formed.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kuryr_api::crd::KuryrPort;
use kuryr_api::names;
use kuryr_api::vif::VifKind;

use crate::reach::all;
use crate::status::seen::innermost;

/// Where vifs were before 3.0.
const ANNOTATION_VIF: &str = "openstack.org/kuryr-vif";
/// Finalizer of Services whose load balancer was Kuryr's.
const SERVICE_FINALIZER: &str = "kuryr.openstack.org/service-finalizer";

/// Custom resources of kuryr-kubernetes besides KuryrPort, and what they stood for.
pub(crate) const OTHER_KINDS: [(&str, &str, &str); 6] = [
    ("KuryrLoadBalancer", "kuryrloadbalancers", "load balancers of Services"),
    ("KuryrNetwork", "kuryrnetworks", "networks of namespaces"),
    ("KuryrNetworkPolicy", "kuryrnetworkpolicies", "security groups of NetworkPolicies"),
    ("KuryrNet", "kuryrnets", "networks of namespaces, before 3.0"),
    ("KuryrNetPolicy", "kuryrnetpolicies", "security groups of NetworkPolicies, before 3.0"),
    ("KuryrLB", "kuryrlbs", "load balancers, before 3.0"),
];

/// An answer, or the API server's words.
pub(crate) type Answer<T> = Result<T, String>;

/// Everything that matters for taking over.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) definition: Answer<Option<CustomResourceDefinition>>,
    pub(crate) kuryr_ports: Answer<Ports>,
    pub(crate) pods: Answer<Pods>,
    /// Services with the finalizer.
    pub(crate) services: Answer<usize>,
    /// Plural, what it stands for, how many there are; `None` where there is no definition.
    pub(crate) others: Vec<(&'static str, &'static str, Answer<Option<usize>>)>,
}

/// KuryrPorts, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ports {
    pub(crate) total: usize,
    /// With vifs that all can be read and plugged.
    pub(crate) usable: usize,
    /// Without vifs yet.
    pub(crate) empty: usize,
    /// `namespace/name` and what is wrong.
    pub(crate) unreadable: Vec<(String, String)>,
    /// `namespace/name` and the class this version cannot plug.
    pub(crate) foreign: Vec<(String, String)>,
}

/// Pods, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pods {
    /// With the finalizer kuryr-kubernetes put there.
    pub(crate) with_finalizer: usize,
    /// With their vif in an annotation.
    pub(crate) with_annotation: Vec<String>,
}

/// Looks.
pub(crate) async fn look(kube: &kube::Client) -> Left {
    let definitions = Api::<CustomResourceDefinition>::all(kube.clone());
    let kuryr_ports = Api::<KuryrPort>::all(kube.clone());
    let pods = Api::<Pod>::all(kube.clone());
    let services = Api::<Service>::all(kube.clone());
    let definition = definitions.get_opt("kuryrports.openstack.org").await.map_err(words);
    let kuryr_ports = match all(&kuryr_ports, ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Ports::default()),
        answer => answer.map(|ports| count_ports(&ports)).map_err(words),
    };
    let mut others = Vec::new();
    for (kind, plural, about) in OTHER_KINDS {
        let resource = ApiResource {
            group: names::GROUP.to_owned(),
            version: "v1".to_owned(),
            api_version: format!("{}/v1", names::GROUP),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api = Api::<DynamicObject>::all_with(kube.clone(), &resource);
        let count = match all(&api, ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            answer => answer.map(|items| Some(items.len())).map_err(words),
        };
        others.push((plural, about, count));
    }
    Left {
        definition,
        kuryr_ports,
        pods: all(&pods, ListParams::default()).await.map(|pods| count_pods(&pods)).map_err(words),
        services: all(&services, ListParams::default())
            .await
            .map(|services| {
                services
                    .iter()
                    .filter(|service| service.finalizers().iter().any(|name| name == SERVICE_FINALIZER))
                    .count()
            })
            .map_err(words),
        others,
    }
}

fn words(error: kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => innermost(&other),
    }
}

fn count_ports(ports: &[KuryrPort]) -> Ports {
    let mut counted = Ports { total: ports.len(), ..Ports::default() };
    for port in ports {
        let name = format!("{}/{}", port.namespace().unwrap_or_default(), port.name_any());
        let vifs = port.status.iter().flat_map(|status| status.vifs.values());
        let mut unusable = false;
        let mut any = false;
        for entry in vifs {
            any = true;
            match &entry.vif {
                Err(unreadable) => {
                    unusable = true;
                    counted.unreadable.push((name.clone(), unreadable.reason.clone()));
                }
                Ok(vif) => {
                    if let VifKind::Other { class, .. } = &vif.kind {
                        unusable = true;
                        counted.foreign.push((name.clone(), class.clone()));
                    }
                }
            }
        }
        counted.empty += usize::from(!any);
        counted.usable += usize::from(any && !unusable);
    }
    counted
}

fn count_pods(pods: &[Pod]) -> Pods {
    let mut counted = Pods::default();
    for pod in pods {
        counted.with_finalizer += usize::from(pod.finalizers().iter().any(|name| name == names::LEGACY_POD_FINALIZER));
        if pod.annotations().contains_key(ANNOTATION_VIF) {
            counted.with_annotation.push(format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any()));
        }
    }
    counted
}
