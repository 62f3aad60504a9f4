//! Options about the Kubernetes API and about what is done for its objects.

use super::super::kinds::{COUNT, Kind, PORT};
use super::Reader::{Both, Controller};
use super::Rule::{Gone, Honoured, Ignored, Later, Only};
use super::{Definition, Group, options};

const PROJECT_DRIVERS: Kind = Kind::Word(&["default", "annotation"]);
const GROUP_DRIVERS: Kind = Kind::Word(&["default", "policy"]);
const DEFAULT_ONLY: Kind = Kind::Word(&["default"]);

/// Handlers of kuryr-kubernetes 2024.1.
const HANDLERS: Kind = Kind::Words(&[
    "vif",
    "kuryrport",
    "service",
    "endpoints",
    "kuryrloadbalancer",
    "namespace",
    "kuryrnetwork",
    "kuryrnetwork_population",
    "policy",
    "pod_label",
    "kuryrnetworkpolicy",
    "openshift_machine",
    "test_handler",
]);

options! {
kubernetes "kubernetes" "The Kubernetes API, and what is done for its objects." {
    api_root: Kind::Text, Both, Honoured, "Address of the API server. Empty: the cluster this pod runs in (KUBERNETES_SERVICE_HOST). Not said at all: the file KUBECONFIG names, else K8S_API, else https://localhost:6443";
    token_file = "/var/run/secrets/kubernetes.io/serviceaccount/token": Kind::Text, Both, Honoured, "File with the bearer token, read again when it is renewed. Empty: no token, the client certificate is used";
    ssl_client_crt_file: Kind::Text, Both, Honoured, "Client certificate (PEM); used when token_file is empty";
    ssl_client_key_file: Kind::Text, Both, Honoured, "Private key of the client certificate (PEM)";
    ssl_ca_crt_file = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt": Kind::Text, Both, Honoured, "Certificate authority of the API server (PEM), read again when it changes. Empty: the system's";
    ssl_verify_server_crt = "true": Kind::Flag, Both, Honoured, "Verify the API server's certificate (kuryr-kubernetes did not by default: the token went to whoever answered)";
    pod_project_driver = "default": PROJECT_DRIVERS, Controller, Only(&["default"], "projects from annotations"), "Project of pods: [neutron_defaults] project, or the namespace's annotation openstack.org/kuryr-project";
    service_project_driver = "default": PROJECT_DRIVERS, Controller, Later("projects from annotations"), "Project of load balancers";
    namespace_project_driver = "default": PROJECT_DRIVERS, Controller, Later("networks per namespace"), "Project of namespaces' networks";
    network_policy_project_driver = "default": PROJECT_DRIVERS, Controller, Later("NetworkPolicies"), "Project of policies' security groups";
    pod_subnets_driver = "default": Kind::Word(&["default", "namespace"]), Controller, Only(&["default"], "networks per namespace"), "Subnet of pods: [neutron_defaults] pod_subnet, or one per namespace";
    service_subnets_driver = "default": DEFAULT_ONLY, Controller, Honoured, "Subnet of Services; there is one way";
    pod_security_groups_driver = "default": GROUP_DRIVERS, Controller, Only(&["default"], "NetworkPolicies"), "Security groups of pods: [neutron_defaults] pod_security_groups, or what NetworkPolicies say";
    service_security_groups_driver = "default": GROUP_DRIVERS, Controller, Later("NetworkPolicies"), "Security groups of Services";
    pod_vif_driver = "neutron-vif": Kind::Word(&["neutron-vif", "nested-vlan", "nested-macvlan", "nested-dpdk"]), Controller, Only(&["neutron-vif"], "pods inside virtual machines"), "How pods get their ports";
    endpoints_lbaas_driver = "lbaasv2": Kind::Text, Controller, Ignored("there is only Octavia"), "Load balancer driver";
    endpoints_driver_octavia_provider = "default": Kind::Text, Controller, Honoured, "Who implements load balancers: amphora, ovn, …; default: Octavia's default";
    vif_pool_driver = "noop": Kind::Word(&["noop", "neutron", "nested"]), Controller, Later("ports kept ready in pools"), "Whether ports are kept ready";
    nodes_subnets_driver = "config": Kind::Word(&["config", "openshift"]), Controller, Later("pods inside virtual machines"), "Where the subnets of nodes are known from";
    port_debug = "false": Kind::Flag, Controller, Ignored("ports always have readable names; they are found by owner and tag"), "Name ports after their pods";
    service_public_ip_driver = "neutron_floating_ip": Kind::Text, Controller, Ignored("there are only floating IPs"), "Source of public addresses";
    enable_manager = "false": Kind::Flag, Controller, Later("ports kept ready in pools"), "Serve the pool API";
    watch_retry_timeout = "60": COUNT, Both, Ignored("a watch is tried again for ever, and meanwhile not ready; a restart would not bring the API server back"), "Seconds a failed watch is tried again before the process gives up";
    watch_connection_timeout = "30": COUNT, Both, Honoured, "Seconds a connection to the API server may take";
    watch_read_timeout = "60": COUNT, Both, Honoured, "Seconds the API server may be silent within a request; at least 300 are waited, because a watch with nothing to tell is not broken";
    watch_reconcile_period = "120": COUNT, Controller, Ignored("objects are looked at again when something changes; what changes in the cloud is found by [kuryr] drift_interval"), "Seconds between two replays of everything";
    enabled_handlers = "vif,endpoints,service,kuryrloadbalancer,kuryrport": HANDLERS, Controller, Only(&["vif", "kuryrport", "endpoints", "service", "kuryrloadbalancer", "kuryrnetwork_population", "openshift_machine"], "NetworkPolicies and networks per namespace"), "What is done: pods need vif and kuryrport. Services (endpoints, service, kuryrloadbalancer) are turned on by [kuryr] services";
    controller_ha = "false": Kind::Flag, Controller, Ignored("a Lease decides which controller works, whatever their number; [kuryr] leader_election turns that off"), "Several controllers, one of which works";
    controller_ha_elector_port = "16401": PORT, Controller, Ignored("leadership needs no sidecar; remove the container leader-elector"), "Port of the leader elector";
    network_policy_driver = "default": DEFAULT_ONLY, Controller, Honoured, "How NetworkPolicies are made; there is one way";
    multi_vif_drivers = "noop": Kind::Words(&["noop", "npwg_multiple_interfaces"]), Controller, Only(&["noop"], "more than one interface per pod"), "More interfaces for pods";
    additional_ifname_prefix = "eth": Kind::Text, Controller, Later("more than one interface per pod"), "Names of more interfaces: this and a number";
    use_events = "true": Kind::Flag, Both, Honoured, "Tell users what happens by Kubernetes Events";
    controller_ha_port: PORT, Controller, Ignored("no version ever read it; devstack wrote it"), "Written by devstack instead of controller_ha_elector_port";
    daemon_enabled: Kind::Flag, Both, Gone("there is always a daemon; remove the option"), "Whether kuryr-daemon is used";
}
}
