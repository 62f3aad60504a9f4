//! Every string that another process, a user or an older Kuryr depends on. Changing one breaks somebody's cluster.

/// API group of all custom resources.
pub const GROUP: &str = "openstack.org";

/// Label of a KuryrPort: the node its pod runs on; the daemon's watch selector.
pub const LABEL_NODE_NAME: &str = "kuryr.openstack.org/nodeName";

/// Finalizer of a KuryrPort: held until its Neutron ports are released.
pub const KURYRPORT_FINALIZER: &str = "kuryr.openstack.org/kuryrport-finalizer";

/// Finalizer of a KuryrLoadBalancer: held until its load balancer and floating IP are gone.
pub const KURYRLOADBALANCER_FINALIZER: &str = "kuryr.openstack.org/kuryrloadbalancer-finalizers";

/// Annotation of a KuryrLoadBalancer, whatever its value: Kuryr is being taken out, so its load balancer and floating IP are to go
/// and none is to come.
pub const ANNOTATION_LEAVE: &str = "openstack.org/kuryr-leave";

/// Finalizer kuryr-kubernetes put on Services. Never added any more; removed where met.
pub const LEGACY_SERVICE_FINALIZER: &str = "kuryr.openstack.org/service-finalizer";

/// Finalizer kuryr-kubernetes put on Pods. Never added any more; removed where met.
pub const LEGACY_POD_FINALIZER: &str = "kuryr.openstack.org/pod-finalizer";

/// Annotation of a Namespace: the OpenStack project its resources live in.
pub const ANNOTATION_PROJECT: &str = "openstack.org/kuryr-project";

/// Annotation kubelet puts on mirror pods; any value but `api` means the pod is static.
pub const ANNOTATION_CONFIG_SOURCE: &str = "kubernetes.io/config.source";

/// Condition and Event reporter name.
pub const COMPONENT: &str = "kuryr-controller";

/// Annotation of the Endpoints `kuryr-controller` in which kuryr-kubernetes' leader elector kept its record, as JSON. Tools
/// read the leader's name from it; Kuryr itself never does.
pub const LEGACY_LEADER_ANNOTATION: &str = "control-plane.alpha.kubernetes.io/leader";

/// Key of the main interface in `status.vifs`; the node replaces it by `CNI_IFNAME`.
pub const MAIN_INTERFACE: &str = "eth0";

/// Neutron `device_owner` of pod ports.
pub const DEVICE_OWNER: &str = "compute:kuryr";

/// The Neutron tag that says which cluster an object belongs to (Neutron tags: at most 60 characters).
#[must_use]
pub fn cluster_tag(cluster: &str) -> String {
    let mut tag = format!("kuryr:cluster={cluster}");
    let mut end = tag.len().min(60);
    while !tag.is_char_boundary(end) {
        end -= 1;
    }
    tag.truncate(end);
    tag
}

/// Name of the host side of a pod's veth pair, and of the legacy `vif_name`: `tap` + the port's id, cut to 14 characters.
/// Neutron agents and Nova cut at the same place, so their tools find the device.
#[must_use]
pub fn tap_name(port_id: &str) -> String {
    prefixed("tap", port_id)
}

/// Name of the Linux bridge of a hybrid plug: `qbr` + the port's id, cut to 14 characters.
#[must_use]
pub fn hybrid_bridge_name(port_id: &str) -> String {
    prefixed("qbr", port_id)
}

fn prefixed(prefix: &str, port_id: &str) -> String {
    prefix.chars().chain(port_id.chars()).take(14).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_cut_where_neutron_cuts_them() {
        assert_eq!(tap_name("bb3c1a70-0d5e-4b1c-9f6e-000000000000"), "tapbb3c1a70-0d");
        assert_eq!(hybrid_bridge_name("bb3c1a70-0d5e-4b1c-9f6e-000000000000"), "qbrbb3c1a70-0d");
    }

    #[test]
    fn cluster_tag_fits_neutron() {
        assert_eq!(cluster_tag("c1"), "kuryr:cluster=c1");
        assert_eq!(cluster_tag(&"x".repeat(100)).len(), 60);
        assert!(cluster_tag(&"ü".repeat(100)).len() <= 60);
    }
}
