//! What the controller is told.

use std::time::Duration;

use kuryr_controller::Config;
use kuryr_controller::config::{External, MemberMode, Placement, Routes, Services};
use kuryr_openstack::load_balancing::LbAlgorithm;

use super::options::{kubernetes, kuryr, neutron_defaults, octavia_defaults, pod_vif_nested};
use super::{Conf, ConfError};

/// Characters of a tag (Networking API, "Resource tag").
const LONGEST_TAG: usize = 60;

impl Conf {
    /// The controller's settings, without those of leadership ([`Conf::election`]). `seed` is for jitter.
    ///
    /// # Errors
    /// What is missing or not allowed.
    pub(crate) fn controller(&self, seed: u64) -> Result<Config, ConfError> {
        let required = |value: Option<String>, title: &str, cure: &str| {
            value.ok_or_else(|| ConfError::Missing { title: title.to_owned(), cure: cure.to_owned() })
        };
        let pod_subnets = self.list(&neutron_defaults::pod_subnet)?;
        if pod_subnets.is_empty() {
            let cure = "set it to the id of the pods' subnet (`openstack subnet list`)".to_owned();
            return Err(ConfError::Missing { title: neutron_defaults::pod_subnet.title(), cure });
        }
        self.ids(&neutron_defaults::pod_subnet, &pod_subnets, "subnet")?;
        let pod_security_groups = self.list(&neutron_defaults::pod_security_groups)?;
        self.ids(&neutron_defaults::pod_security_groups, &pod_security_groups, "security group")?;
        let project = required(
            self.some_text(&neutron_defaults::project)?,
            "[neutron_defaults] project",
            "set it to the id of the project that ports are made in (`openstack project list`)",
        )?;
        self.id(&neutron_defaults::project, &project, "project")?;
        let handlers = self.list(&kubernetes::enabled_handlers)?;
        if !["vif", "kuryrport"].iter().all(|needed| handlers.iter().any(|handler| handler == needed)) {
            let trouble = "pods are connected by vif and kuryrport together; add both";
            return Err(self.refuse(&kubernetes::enabled_handlers, &handlers.join(","), trouble));
        }
        let cluster = required(
            self.some_text(&kuryr::cluster_name)?,
            "[kuryr] cluster_name",
            "give the cluster a name that no other cluster in its project has",
        )?;
        let resource_tags = self.list(&neutron_defaults::resource_tags)?;
        let tags = resource_tags.iter().map(|tag| (&neutron_defaults::resource_tags, tag));
        for (option, tag) in std::iter::once((&kuryr::cluster_name, &cluster)).chain(tags) {
            // Neutron lists what has two tags by `tags=A,B`, and removes one at an address that ends with it.
            if tag.contains([',', '/']) || tag.chars().count() > LONGEST_TAG {
                return Err(self.refuse(
                    option,
                    tag,
                    "it becomes a Neutron tag: at most 60 characters, no comma, no slash",
                ));
            }
        }
        Ok(Config {
            cluster,
            resource_tags,
            placement: Placement { project, pod_subnets, pod_security_groups },
            services: if self.flag(&kuryr::services)? { Some(self.balancing()?) } else { None },
            routes: self.routes()?,
            ovs_bridge: self.bridge()?,
            use_events: self.flag(&kubernetes::use_events)?,
            concurrency: self.whole(&kuryr::concurrency)?,
            activation_interval: self.seconds(&kuryr::activation_interval)?,
            drift_interval: self.seconds(&kuryr::drift_interval)?,
            election: None,
            api_server: String::new(),
            seed,
        })
    }

    /// How Ingresses and Gateways are balanced, if they are to be.
    fn routes(&self) -> Result<Option<Routes>, ConfError> {
        if !self.flag(&kuryr::ingress)? {
            return Ok(None);
        }
        let balancing = self.balancing()?;
        let own = self.some_text(&kuryr::ingress_provider)?;
        let provider = own.or_else(|| balancing.provider.clone()).filter(|provider| provider != "default");
        Ok(Some(Routes { balancing, provider }))
    }

    /// How load balancers are made.
    fn balancing(&self) -> Result<Services, ConfError> {
        let subnet = self.some_text(&neutron_defaults::service_subnet)?.ok_or_else(|| ConfError::Missing {
            title: neutron_defaults::service_subnet.title(),
            cure: "set it to the id of the subnet that Services' addresses are in (`openstack subnet list`)".to_owned(),
        })?;
        self.id(&neutron_defaults::service_subnet, &subnet, "subnet")?;
        let second_subnet = self.some_text(&kuryr::second_service_subnet)?;
        if let Some(second) = &second_subnet {
            self.id(&kuryr::second_service_subnet, second, "subnet")?;
        }
        let node_subnets = self.list(&pod_vif_nested::worker_nodes_subnets)?;
        self.ids(&pod_vif_nested::worker_nodes_subnets, &node_subnets, "subnet")?;
        let silence = |milliseconds: u32| Some(milliseconds).filter(|milliseconds| *milliseconds > 0);
        Ok(Services {
            subnet,
            second_subnet,
            patience: Duration::from_secs(self.whole(&neutron_defaults::lbaas_activation_timeout)?),
            provider: self.octavia_provider()?,
            algorithm: match self.text(&octavia_defaults::lb_algorithm)?.as_deref() {
                Some("LEAST_CONNECTIONS") => LbAlgorithm::LeastConnections,
                Some("SOURCE_IP") => LbAlgorithm::SourceIp,
                Some("SOURCE_IP_PORT") => LbAlgorithm::SourceIpPort,
                _ => LbAlgorithm::RoundRobin,
            },
            member_mode: match self.text(&octavia_defaults::member_mode)?.as_deref() {
                Some("L2") => MemberMode::L2,
                _ => MemberMode::L3,
            },
            node_subnets,
            external: self.external()?,
            api_server: self.flag(&kuryr::api_server_service)?,
            timeouts: (
                silence(self.whole(&octavia_defaults::timeout_client_data)?),
                silence(self.whole(&octavia_defaults::timeout_member_data)?),
            ),
        })
    }

    /// Who implements load balancers; `None`: Octavia's default.
    ///
    /// # Errors
    /// A value that is not allowed.
    pub(crate) fn octavia_provider(&self) -> Result<Option<String>, ConfError> {
        let provider = self.some_text(&kubernetes::endpoints_driver_octavia_provider)?;
        Ok(provider.filter(|provider| provider != "default"))
    }

    /// Where floating IPs come from, if there are any.
    fn external(&self) -> Result<Option<External>, ConfError> {
        let Some(network) = self.some_text(&neutron_defaults::external_svc_net)? else { return Ok(None) };
        self.id(&neutron_defaults::external_svc_net, &network, "network")?;
        let subnet = self.some_text(&neutron_defaults::external_svc_subnet)?;
        if let Some(subnet) = &subnet {
            self.id(&neutron_defaults::external_svc_subnet, subnet, "subnet")?;
        }
        Ok(Some(External { network, subnet }))
    }
}
