//! What a load balancer is for, and by what it is found again. Pure.

use std::fmt;

use kuryr_openstack::load_balancing::LoadBalancer;
use kuryr_openstack::network::FloatingIp;

use crate::cache::Key;

/// Octavia and Neutron take descriptions of so many characters.
const LONGEST_DESCRIPTION: usize = 255;

/// What is looked at, and what has a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Owner {
    pub(crate) kind: OwnerKind,
    pub(crate) key: Key,
}

/// The kinds of owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum OwnerKind {
    /// A Gateway.
    Gateway,
    /// An Ingress with a load balancer of its own.
    Ingress,
    /// Ingresses of a namespace that share one: those that name this group.
    IngressGroup,
    /// A GatewayClass, which only has a status.
    GatewayClass,
}

impl OwnerKind {
    /// Kinds that have load balancers.
    const BALANCED: [OwnerKind; 3] = [OwnerKind::Gateway, OwnerKind::Ingress, OwnerKind::IngressGroup];

    /// The kind in the name of a load balancer.
    fn in_names(self) -> &'static str {
        match self {
            OwnerKind::Gateway => "gateway",
            OwnerKind::Ingress => "ingress",
            OwnerKind::IngressGroup => "ingress-group",
            OwnerKind::GatewayClass => "gateway-class",
        }
    }

    fn word(self) -> &'static str {
        match self {
            OwnerKind::Gateway => "Gateway",
            OwnerKind::Ingress => "Ingress",
            OwnerKind::IngressGroup => "Ingress group",
            OwnerKind::GatewayClass => "GatewayClass",
        }
    }
}

impl Owner {
    pub(crate) fn new(kind: OwnerKind, key: Key) -> Owner {
        Owner { kind, key }
    }

    /// Name of its load balancer: `gateway/namespace/name`. Two slashes tell it from a Service's, `namespace/name`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.kind.in_names(), self.key)
    }

    /// Description of what is made for it in this cluster: readable, and a mark.
    pub(crate) fn description(&self, tag: &str) -> String {
        let name: String = self.to_string().chars().take(LONGEST_DESCRIPTION - 1 - tag.chars().count()).collect();
        format!("{name} {tag}")
    }

    /// The owner of a load balancer of this cluster, by its name and by tag or description; none if it is not ours.
    pub(crate) fn of_balancer(balancer: &LoadBalancer, tag: &str) -> Option<Owner> {
        let (kind, key) = balancer.name.split_once('/')?;
        let kind = OwnerKind::BALANCED.into_iter().find(|known| known.in_names() == kind)?;
        let (namespace, name) = key.split_once('/').filter(|(_, name)| !name.contains('/'))?;
        let owner = Owner::new(kind, Key { namespace: namespace.to_owned(), name: name.to_owned() });
        let marked = balancer.tags.iter().any(|known| known == tag) || balancer.description == owner.description(tag);
        marked.then_some(owner)
    }

    /// The owner a floating IP of this cluster was made for; none if it is not ours.
    pub(crate) fn of_floating_ip(floating: &FloatingIp, tag: &str) -> Option<Owner> {
        let described = floating.description.strip_suffix(tag)?.strip_suffix(' ')?;
        let (word, key) = described.rsplit_once(' ')?;
        let kind = OwnerKind::BALANCED.into_iter().find(|known| known.word() == word)?;
        let (namespace, name) = key.split_once('/').filter(|(_, name)| !name.contains('/'))?;
        Some(Owner::new(kind, Key { namespace: namespace.to_owned(), name: name.to_owned() }))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind.word(), self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "kuryr:cluster=c1";

    #[test]
    fn what_is_made_is_found_again_and_nothing_of_others() {
        for kind in OwnerKind::BALANCED {
            let owner = Owner::new(kind, Key { namespace: "default".to_owned(), name: "web".to_owned() });
            let described =
                LoadBalancer { name: owner.name(), description: owner.description(TAG), ..LoadBalancer::default() };
            assert_eq!(Owner::of_balancer(&described, TAG), Some(owner.clone()));
            assert_eq!(Owner::of_balancer(&described, "kuryr:cluster=c2"), None, "another cluster's");
            let tagged = LoadBalancer { tags: vec![TAG.to_owned()], description: String::new(), ..described };
            assert_eq!(Owner::of_balancer(&tagged, TAG), Some(owner.clone()));
            let floating = FloatingIp { description: owner.description(TAG), ..FloatingIp::default() };
            assert_eq!(Owner::of_floating_ip(&floating, TAG), Some(owner));
            assert_eq!(Owner::of_floating_ip(&floating, "kuryr:cluster=c2"), None);
        }
        let of_service = LoadBalancer { name: "default/web".into(), tags: vec![TAG.into()], ..LoadBalancer::default() };
        assert_eq!(Owner::of_balancer(&of_service, TAG), None);
        let of_service = FloatingIp { description: format!("Service default/web {TAG}"), ..FloatingIp::default() };
        assert_eq!(Owner::of_floating_ip(&of_service, TAG), None);
    }
}
