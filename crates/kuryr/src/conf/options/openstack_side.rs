//! Options about the cloud: how to reach it, and what to put where.

use super::super::kinds::{COUNT, Kind};
use super::Reader::{Both, Controller};
use super::Rule::{Gone, Honoured, Ignored, Later};
use super::{Definition, Group, Rule, options};

const SERVICES: Rule = Later("parts of Services that this version does not have");
/// Most milliseconds Octavia takes (Octavia API, "Create Listener").
const MILLISECONDS: Kind = Kind::Whole(0, 2_147_483_647);
const NAMESPACES: Rule = Later("networks per namespace");
const NESTED: Rule = Later("pods inside virtual machines");
const POOLS: Rule = Later("ports kept ready in pools");
const LIBNETWORK: Rule = Ignored("only kuryr-libnetwork used it");
const MIDDLEWARE: Rule = Ignored("it belongs to keystonemiddleware and was never read; devstack copied it");

options! {
neutron "neutron" "How to reach OpenStack: Keystone's options, for all its services. Without auth_url the usual OS_* variables or clouds.yaml are used. Only the controller reads this section; keep it off the nodes." {
    auth_type: Kind::Word(&["password", "v3password", "v3applicationcredential", "token", "v3token"]), Controller, Honoured, "Kind of credentials; guessed from what is set", old "auth_plugin";
    auth_section: Kind::Text, Controller, Honoured, "Read the credentials from this section instead";
    auth_url: Kind::Text, Controller, Honoured, "Keystone's address, with or without /v3";
    username: Kind::Text, Controller, Honoured, "User's name", old "user-name" "user_name";
    user_id: Kind::Text, Controller, Honoured, "User's id";
    password: Kind::Secret, Controller, Honoured, "User's password. Better than in a file: OS_NEUTRON__PASSWORD from a Secret, or an application credential";
    user_domain_name: Kind::Text, Controller, Honoured, "Domain of the user, by name", old "user-domain-name";
    user_domain_id: Kind::Text, Controller, Honoured, "Domain of the user, by id", old "user-domain-id";
    project_name: Kind::Text, Controller, Honoured, "Project of the token, by name", old "tenant_name" "tenant-name" "project-name";
    project_id: Kind::Text, Controller, Honoured, "Project of the token, by id", old "tenant_id" "tenant-id" "project-id";
    project_domain_name: Kind::Text, Controller, Honoured, "Domain of the project, by name", old "project-domain-name";
    project_domain_id: Kind::Text, Controller, Honoured, "Domain of the project, by id", old "project-domain-id";
    default_domain_name: Kind::Text, Controller, Honoured, "Domain of user and project where none is said, by name";
    default_domain_id: Kind::Text, Controller, Honoured, "Domain of user and project where none is said, by id";
    domain_name: Kind::Text, Controller, Honoured, "Domain of the token, by name";
    domain_id: Kind::Text, Controller, Honoured, "Domain of the token, by id";
    system_scope: Kind::Word(&["all"]), Controller, Honoured, "A token for the whole deployment";
    trust_id: Kind::Text, Controller, Honoured, "Trust the token is from";
    application_credential_id: Kind::Text, Controller, Honoured, "Application credential, by id";
    application_credential_name: Kind::Text, Controller, Honoured, "Application credential, by name; needs the user";
    application_credential_secret: Kind::Secret, Controller, Honoured, "Secret of the application credential";
    token: Kind::Secret, Controller, Honoured, "A token from elsewhere; it cannot be renewed";
    cafile: Kind::Text, Controller, Honoured, "Certificate authorities (PEM) for all OpenStack services, instead of the system's";
    insecure = "false": Kind::Flag, Controller, Honoured, "Accept any certificate. Everything, the password too, can then be read by whoever is in between";
    certfile: Kind::Text, Controller, Honoured, "Client certificate (PEM)";
    keyfile: Kind::Text, Controller, Honoured, "Private key of the client certificate (PEM)";
    timeout: Kind::Number, Controller, Honoured, "Seconds a call may take; 60 if not said (kuryr-kubernetes waited for ever)";
    region_name: Kind::Text, Controller, Honoured, "Region whose endpoints are used; if not said, the catalog's first";
    endpoint_type = "public": Kind::Word(&["public", "internal", "admin", "publicURL", "internalURL", "adminURL"]), Controller, Honoured, "Kind of endpoints used (kuryr-kubernetes ignored it: always public)", old "interface" "valid_interfaces";
    network_endpoint_override: Kind::Text, Controller, Honoured, "Neutron's address, instead of the catalog's", old "endpoint_override";
    tls_ciphers: Kind::Text, Controller, Ignored("TLS 1.2 and 1.3 with rustls' ciphers"), "TLS ciphers";
    tls_min_version: Kind::Text, Controller, Ignored("TLS 1.2 and 1.3"), "Oldest TLS";
    collect_timing = "false": Kind::Flag, Controller, Ignored("see the metrics"), "Collect times of calls";
    split_loggers = "false": Kind::Flag, Controller, Ignored("see [kuryr] log_levels"), "Python loggers";
    enable_dhcp = "true": Kind::Flag, Controller, LIBNETWORK, "DHCP of subnets";
    default_subnetpool_v4 = "kuryr": Kind::Text, Controller, LIBNETWORK, "Subnet pool";
    default_subnetpool_v6 = "kuryr6": Kind::Text, Controller, LIBNETWORK, "Subnet pool";
    vif_plugging_is_fatal = "false": Kind::Flag, Controller, LIBNETWORK, "Wait for ports";
    vif_plugging_timeout = "0": COUNT, Controller, LIBNETWORK, "Wait for ports";
    signing_dir: Kind::Text, Controller, MIDDLEWARE, "Token cache";
    memcached_servers: Kind::Text, Controller, MIDDLEWARE, "Token cache";
    www_authenticate_uri: Kind::Text, Controller, MIDDLEWARE, "Where clients log in";
    auth_uri: Kind::Text, Controller, MIDDLEWARE, "Where clients log in";
}

neutron_defaults "neutron_defaults" "What to use in the cloud where nothing else says." {
    project: Kind::Text, Controller, Honoured, "Project of everything we create, by id; required";
    pod_subnet: Kind::List, Controller, Honoured, "Subnet of pods, by id; required. Two, an IPv4 and an IPv6 one of the same network, make pods dual-stack";
    pod_security_groups: Kind::List, Controller, Honoured, "Security groups of pods, by id. None: the project's group `default`";
    service_subnet: Kind::Text, Controller, Honoured, "Subnet of Services' addresses, by id";
    external_svc_net: Kind::Text, Controller, Honoured, "Network of floating IPs, by id";
    external_svc_subnet: Kind::Text, Controller, Honoured, "Subnet of floating IPs, by id";
    ovs_bridge: Kind::Text, Both, Honoured, "Integration bridge. The controller uses it where a port names none; the daemon is not ready while the node has no bridge of that name";
    network_device_mtu = "0": COUNT, Both, Honoured, "Upper limit of the MTU of pods' interfaces; 0: the network's";
    lbaas_activation_timeout = "300": COUNT, Controller, Honoured, "Seconds Octavia may be at work on a load balancer before the Service's owner is told";
    subnet_mapping: Kind::Pairs, Controller, Later("more than one interface per pod"), "Subnet per kind of further interface";
    resource_tags: Kind::List, Controller, Honoured, "Tags for everything we create, besides our own";
    pod_subnets: Kind::List, Controller, Ignored("no version ever read it; devstack wrote it. Dual-stack: two subnets in pod_subnet"), "Written by devstack";
    service_subnets: Kind::List, Controller, Ignored("no version ever read it; devstack wrote it"), "Written by devstack";
}

octavia_defaults "octavia_defaults" "Load balancers for Services." {
    member_mode = "L3": Kind::Word(&["L2", "L3"]), Controller, Honoured, "Whether members carry their own subnet (L2) or are reached by routing (L3)";
    enforce_sg_rules = "true": Kind::Flag, Controller, SERVICES, "Apply NetworkPolicies at the load balancer, because it hides clients";
    sg_mode: Kind::Text, Controller, Gone("use enforce_sg_rules"), "Security groups of load balancers";
    lb_algorithm = "ROUND_ROBIN": Kind::Word(&["ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"]), Controller, Honoured, "How a member is chosen; OVN needs SOURCE_IP_PORT";
    timeout_client_data = "0": MILLISECONDS, Controller, Honoured, "Milliseconds a client may be silent; 0: Octavia's default";
    timeout_member_data = "0": MILLISECONDS, Controller, Honoured, "Milliseconds a member may be silent; 0: Octavia's default";
}

namespace_subnet "namespace_subnet" "Networks per namespace." {
    pod_router: Kind::Text, Controller, NAMESPACES, "Router of namespaces' subnets, by id";
    pod_subnet_pool: Kind::Text, Controller, NAMESPACES, "Subnet pool of namespaces' subnets, by id";
    pod_subnet_pools: Kind::List, Controller, Ignored("no version ever read it; devstack wrote it"), "Written by devstack";
}

pod_vif_nested "pod_vif_nested" "Pods inside virtual machines of the cloud." {
    worker_nodes_subnets: Kind::List, Controller, Honoured, "Subnets of nodes, by id: their addresses may be members of load balancers, too";
    worker_nodes_subnet: Kind::Text, Controller, Gone("use worker_nodes_subnets"), "Subnet of the virtual machines";
    rev_update_attempts = "3": COUNT, Controller, NESTED, "How often a changed port is tried again";
}

vif_pool "vif_pool" "Ports kept ready." {
    ports_pool_max = "0": COUNT, Controller, POOLS, "Free ports above it are deleted; 0: no limit";
    ports_pool_min = "5": COUNT, Controller, POOLS, "Ports are made when fewer are free";
    ports_pool_batch = "10": COUNT, Controller, POOLS, "Ports made at once";
    ports_pool_update_frequency = "20": COUNT, Controller, POOLS, "Seconds between two looks at used ports";
    vif_pool_mapping: Kind::Pairs, Controller, POOLS, "Kind of pool per way of making ports";
    pools_vif_drivers: Kind::Pairs, Controller, Gone("use vif_pool_mapping, with keys and values swapped"), "Way of making ports per kind of pool";
    manager_sock_file: Kind::Text, Controller, Ignored("no version ever read it; devstack wrote it. See [pool_manager] sock_file"), "Written by devstack";
}

pool_manager "pool_manager" "The pool API." {
    sock_file = "/run/kuryr/kuryr_manage.sock": Kind::Text, Controller, POOLS, "Its unix socket";
}
}
