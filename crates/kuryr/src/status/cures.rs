//! What to do about each reason a pod or a Service can wait for: commands to copy. The condition's own message says what is wrong.

/// Reason of a pod that is scheduled and has no KuryrPort.
pub(crate) const NO_KURYR_PORT: &str = "NoKuryrPort";

/// The cure of a Service's reason: what is its own, or what pods have, too.
pub(crate) fn of_service(reason: &str, namespace: &str) -> Option<String> {
    let text = match reason {
        "QuotaExceeded" => {
            "openstack loadbalancer quota show PROJECT; openstack loadbalancer quota set --loadbalancer NUMBER PROJECT"
        }
        "SubnetNotFound" => {
            "openstack subnet list --project PROJECT; set [neutron_defaults] service_subnet in kuryr.conf"
        }
        "ForbiddenByCloud" => "openstack role add --user USER --project PROJECT load-balancer_member",
        "ExternalNetworkNotConfigured" | "ExternalNetworkNotFound" => {
            "openstack network list --external; set [neutron_defaults] external_svc_net in kuryr.conf"
        }
        "AddressesExhausted" => {
            "openstack floating ip list --project PROJECT -c ID -c Port; openstack floating ip delete of one that leads nowhere"
        }
        "AddressInUse" | "AddressOfOthers" | "AddressRefused" => {
            "openstack floating ip list --project PROJECT: give spec.loadBalancerIP an address of it that has no port, or leave it out"
        }
        "TakenInCloud" => "openstack port list --project PROJECT --fixed-ip ip-address=ADDRESS; take away what has it",
        "LoadBalancerBusy" | "VipWithoutPort" => {
            "openstack loadbalancer list: it passes, unless provisioning_status stays"
        }
        "EndpointRefused" => {
            "kubectl get endpointslices -A; if they are nodes, name their subnets in [pod_vif_nested] worker_nodes_subnets"
        }
        "ProviderNotFound" => {
            "openstack loadbalancer provider list; set [kubernetes] endpoints_driver_octavia_provider in kuryr.conf to one of them"
        }
        "NotRepaired" | "LoadBalancerPending" => "openstack loadbalancer status show ID, then Octavia's log",
        "AddressOutsideSubnet" => {
            "openstack subnet list --project PROJECT; set [neutron_defaults] service_subnet to the one that covers --service-cluster-ip-range"
        }
        "SecondLoadBalancer" => "openstack loadbalancer list --name NAMESPACE/NAME; delete what nothing uses",
        "ServiceNotUnderstood" => "kubectl edit service NAME: the message says what cannot be read",
        _ => return cure(reason, namespace),
    };
    Some(text.to_owned())
}

/// The cure of a reason, if a command or a place to look helps.
pub(crate) fn cure(reason: &str, namespace: &str) -> Option<String> {
    let text = match reason {
        "QuotaExceeded" => "openstack quota show --usage PROJECT; openstack quota set --ports NUMBER PROJECT",
        "SubnetExhausted" => {
            "openstack subnet show SUBNET -c allocation_pools; openstack subnet set --allocation-pool start=FIRST,end=LAST SUBNET"
        }
        "SubnetNotFound" | "SubnetNotConfigured" | "SubnetsDiffer" => {
            "openstack subnet list --project PROJECT; set [neutron_defaults] pod_subnet in kuryr.conf"
        }
        "SecurityGroupNotFound" => {
            "openstack security group list --project PROJECT; set [neutron_defaults] pod_security_groups in kuryr.conf"
        }
        "NotFoundInCloud" | "RefusedByCloud" | "SettingsWrong" => "kuryr check --config-file kuryr.conf",
        "CredentialsRefused" => "openstack token issue with the credentials of kuryr.conf [neutron]; kuryr check",
        "ForbiddenByCloud" => {
            "openstack role add --user USER --project PROJECT admin, or relax Neutron's policy for create_port:binding:host_id"
        }
        "CloudUnreachable" | "CloudBusy" | "CloudNotUnderstood" => "kuryr check --config-file kuryr.conf",
        "BindingFailed" => {
            "openstack network agent list --host NODE: an agent must be alive there, and its host name must be the node's name"
        }
        "PortNotActive" | "WaitingForNode" => {
            return Some(format!(
                "kubectl -n {namespace} get pods -l app=kuryr-cni --field-selector spec.nodeName=NODE, and its log; on the node, ovs-vsctl show"
            ));
        }
        "VifUnreadable" => "kubectl delete kuryrport NAME: Kuryr makes it again",
        "PortMissing" => "kubectl delete pod NAME: its successor gets a new port",
        NO_KURYR_PORT => {
            return Some(format!("kubectl -n {namespace} logs -l name=kuryr-controller"));
        }
        "ForbiddenByKubernetes" => "kubectl auth can-i --list --as system:serviceaccount:NAMESPACE:kuryr-controller",
        _ => return None,
    };
    Some(text.to_owned())
}
