//! What the controller is told: plain values, parsed from kuryr.conf by the executable.

use std::time::Duration;

use kuryr_openstack::load_balancing::LbAlgorithm;

use crate::lease::Election;

/// Settings of the controller.
#[derive(Clone, Debug)]
pub struct Config {
    /// Identity of this Kubernetes cluster in the cloud (`[kuryr] cluster_name`): part of every tag. Two clusters that share
    /// a project must differ.
    pub cluster: String,
    /// `[neutron_defaults] resource_tags`: further tags for what we create.
    pub resource_tags: Vec<String>,
    /// Where pods' ports go.
    pub placement: Placement,
    /// How Services are balanced; `None`: somebody else does that.
    pub services: Option<Services>,
    /// How Ingresses and Gateways are balanced; `None`: somebody else does that.
    pub routes: Option<Routes>,
    /// `[neutron_defaults] ovs_bridge`: the integration bridge where ports do not name one.
    pub ovs_bridge: Option<String>,
    /// `[kubernetes] use_events`: whether to tell users by Kubernetes Events.
    pub use_events: bool,
    /// How many pods are worked on at once.
    pub concurrency: usize,
    /// How often waiting ports and load balancers are asked for their status, in one call for all of a kind; more seldom if
    /// answers are slow.
    pub activation_interval: Duration,
    /// How often all our ports are listed, to find what was changed or left behind.
    pub drift_interval: Duration,
    /// How it is decided who works; `None`: this process always does, so there must be no other.
    pub election: Option<Election>,
    /// Address of the API server, for messages.
    pub api_server: String,
    /// Seed of jitter.
    pub seed: u64,
}

/// Where pods' ports go: `[neutron_defaults]`.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// `project`: project id.
    pub project: String,
    /// `pod_subnet`: subnet ids in one network; two (an IPv4 and an IPv6 one) make pods dual-stack.
    pub pod_subnets: Vec<String>,
    /// `pod_security_groups`: security group ids.
    pub pod_security_groups: Vec<String>,
}

/// How Services are balanced: `[neutron_defaults]`, `[octavia_defaults]`.
#[derive(Clone, Debug)]
pub struct Services {
    /// `[neutron_defaults] service_subnet`: the subnet Services' addresses are in.
    pub subnet: String,
    /// `[kuryr] second_service_subnet`: the subnet of their second addresses, of the other family and in the same network.
    pub second_subnet: Option<String>,
    /// `[neutron_defaults] lbaas_activation_timeout`: how long Octavia may be at work on a load balancer before that is told.
    pub patience: Duration,
    /// `[kubernetes] endpoints_driver_octavia_provider`: who implements load balancers; Octavia's default if not said.
    pub provider: Option<String>,
    /// `[octavia_defaults] lb_algorithm`: how members are chosen.
    pub algorithm: LbAlgorithm,
    /// `[octavia_defaults] member_mode`: how members are reached.
    pub member_mode: MemberMode,
    /// `[pod_vif_nested] worker_nodes_subnets`: subnets of nodes, whose addresses may be members too.
    pub node_subnets: Vec<String>,
    /// Where LoadBalancers get their addresses from outside; without it they have none.
    pub external: Option<External>,
    /// `[kuryr] api_server_service`: whether `default/kubernetes` is balanced, too.
    pub api_server: bool,
    /// `[octavia_defaults] timeout_client_data`, `timeout_member_data`: milliseconds of silence; Octavia's defaults if not said.
    pub timeouts: (Option<u32>, Option<u32>),
}

/// How Ingresses and Gateways are balanced.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Where load balancers and their members are; its provider and its API server are of Services alone.
    pub balancing: Services,
    /// `[kuryr] ingress_provider`: who implements load balancers; Octavia's default if not said.
    pub provider: Option<String>,
}

/// Where floating IPs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    /// `[neutron_defaults] external_svc_net`: the external network.
    pub network: String,
    /// `[neutron_defaults] external_svc_subnet`: a subnet of it; Neutron's choice if not said.
    pub subnet: Option<String>,
}

/// How members are reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemberMode {
    /// By way of the VIP's subnet, through routers.
    #[default]
    L3,
    /// In their own subnets.
    L2,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            cluster: "kubernetes".to_owned(),
            resource_tags: Vec::new(),
            placement: Placement::default(),
            services: None,
            routes: None,
            ovs_bridge: None,
            use_events: true,
            concurrency: 64,
            activation_interval: Duration::from_millis(500),
            drift_interval: Duration::from_secs(60),
            election: None,
            api_server: String::new(),
            seed: 0,
        }
    }
}
