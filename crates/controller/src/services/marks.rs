//! By what our load balancers and floating IPs are known in the cloud. Pure.

use kuryr_api::crd::PublicAddressRecord;
use kuryr_api::names;
use kuryr_openstack::load_balancing::LoadBalancer;
use kuryr_openstack::network::FloatingIp;

use crate::cache::Key;

/// What a KuryrLoadBalancer says of a floating IP that was made for it.
pub(crate) const MADE: &str = "pool";

/// How every description of ours begins.
const SERVICE: &str = "Service ";

/// What marks what is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// The cluster's tag first, then `resource_tags`.
    pub(crate) tags: Vec<String>,
}

impl Marks {
    /// The marks of a cluster.
    pub(crate) fn new(cluster: &str, resource_tags: &[String]) -> Marks {
        let mut tags = vec![names::cluster_tag(cluster)];
        tags.extend(resource_tags.iter().cloned());
        Marks { tags }
    }

    /// The description of what is made for a Service: readable, and a mark by its end.
    pub(crate) fn description(&self, key: &Key) -> String {
        let name: String =
            key.to_string().chars().take(255 - SERVICE.len() - 1 - self.tags[0].chars().count()).collect();
        format!("{SERVICE}{name} {}", self.tags[0])
    }

    /// Whether a load balancer carries this cluster's tag or description.
    pub(crate) fn are_on(&self, balancer: &LoadBalancer) -> bool {
        balancer.tags.contains(&self.tags[0]) || self.described(&balancer.description).is_some()
    }

    /// Whether Kuryr made a floating IP.
    fn are_on_floating(&self, floating: &FloatingIp) -> bool {
        self.described(&floating.description).is_some()
    }

    /// Whether Kuryr made a floating IP, or kuryr-kubernetes did and wrote that down.
    pub(crate) fn made(&self, floating: &FloatingIp, recorded: Option<&PublicAddressRecord>) -> bool {
        self.are_on_floating(floating)
            || recorded.is_some_and(|record| record.ip_id == floating.id && record.alloc_method == MADE)
    }

    /// The Service a floating IP was made for.
    pub(crate) fn service_of(&self, floating: &FloatingIp) -> Option<Key> {
        key(self.described(&floating.description)?)
    }

    /// The Service's name in a description of ours.
    fn described<'a>(&self, description: &'a str) -> Option<&'a str> {
        description.strip_prefix(SERVICE)?.strip_suffix(self.tags[0].as_str())?.strip_suffix(' ')
    }
}

/// The Service of this name, `namespace/name`; `None` for what is no such name.
pub(crate) fn key(name: &str) -> Option<Key> {
    let (namespace, name) = name.split_once('/')?;
    let is_name = |name: &str| !name.is_empty() && !name.contains('/');
    (is_name(namespace) && is_name(name)).then(|| Key { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_services_have_a_key() {
        assert_eq!(key("default/web"), Some(Key { namespace: "default".to_owned(), name: "web".to_owned() }));
        assert!(["web", "a/b/c", "/web", "web/"].iter().all(|name| key(name).is_none()));
    }

    #[test]
    fn a_floating_ip_of_another_cluster_is_not_ours() {
        let (ours, others) = (Marks::new("a", &[]), Marks::new("b", &[]));
        let web = Key { namespace: "default".to_owned(), name: "web".to_owned() };
        let floating = FloatingIp { description: ours.description(&web), ..FloatingIp::default() };
        assert_eq!((ours.service_of(&floating), others.service_of(&floating)), (Some(web), None));
        assert!(!ours.are_on_floating(&FloatingIp { description: "kuryr_lb".to_owned(), ..FloatingIp::default() }));
    }
}
