//! What the configuration asks of the cloud.

use crate::conf::options::{Definition, kuryr, neutron, neutron_defaults, octavia_defaults};
use crate::conf::{Conf, ConfError};

/// What kuryr.conf asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) names: Names,
    /// `[kuryr] cluster_name`
    pub(crate) cluster: String,
    /// `[neutron_defaults] project`
    pub(crate) project: String,
    /// `[neutron_defaults] pod_subnet`
    pub(crate) pod_subnets: Vec<String>,
    /// `[neutron_defaults] pod_security_groups`
    pub(crate) security_groups: Vec<String>,
    /// `[neutron_defaults] network_device_mtu`; 0: the network's.
    pub(crate) mtu: u32,
    /// `[neutron_defaults] external_svc_net`; empty: there are no floating IPs.
    pub(crate) external_network: String,
    /// How Services are to be balanced; `None`: `[kuryr] services` is off.
    pub(crate) services: Option<WantedServices>,
}

/// What Services need besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct WantedServices {
    /// `[neutron_defaults] service_subnet`
    pub(crate) subnet: String,
    /// `[neutron_defaults] external_svc_subnet`; empty: Neutron's choice.
    pub(crate) external_subnet: String,
    /// `[kubernetes] endpoints_driver_octavia_provider`; `None`: Octavia's default.
    pub(crate) provider: Option<String>,
    /// `[octavia_defaults] lb_algorithm`
    pub(crate) algorithm: String,
    /// `[octavia_defaults] member_mode`
    pub(crate) member_mode: String,
}

impl Wanted {
    /// What this configuration asks for.
    ///
    /// # Errors
    /// A value that is not allowed.
    pub(crate) fn of(conf: &Conf, names: Names) -> Result<Wanted, ConfError> {
        Ok(Wanted {
            names,
            cluster: conf.some_text(&kuryr::cluster_name)?.unwrap_or_default(),
            project: conf.some_text(&neutron_defaults::project)?.unwrap_or_default(),
            pod_subnets: conf.list(&neutron_defaults::pod_subnet)?,
            security_groups: conf.list(&neutron_defaults::pod_security_groups)?,
            mtu: conf.whole(&neutron_defaults::network_device_mtu)?,
            external_network: conf.some_text(&neutron_defaults::external_svc_net)?.unwrap_or_default(),
            services: if conf.flag(&kuryr::services)? { Some(WantedServices::of(conf)?) } else { None },
        })
    }
}

impl WantedServices {
    fn of(conf: &Conf) -> Result<WantedServices, ConfError> {
        Ok(WantedServices {
            subnet: conf.some_text(&neutron_defaults::service_subnet)?.unwrap_or_default(),
            external_subnet: conf.some_text(&neutron_defaults::external_svc_subnet)?.unwrap_or_default(),
            provider: conf.octavia_provider()?,
            algorithm: conf.some_text(&octavia_defaults::lb_algorithm)?.unwrap_or_default(),
            member_mode: conf.some_text(&octavia_defaults::member_mode)?.unwrap_or_default(),
        })
    }
}

/// Where the reader says the options: a cure names what they edit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Names {
    /// In kuryr.conf.
    #[default]
    KuryrConf,
    /// In the values of an installation.
    Values,
}

/// Options that have a value of their own; all others are said in `options`.
const VALUES: [(&Definition, &str); 8] = [
    (&neutron::endpoint_type, "cloud.endpointType"),
    (&neutron_defaults::project, "network.project"),
    (&neutron_defaults::pod_subnet, "network.podSubnets"),
    (&neutron_defaults::pod_security_groups, "network.podSecurityGroups"),
    (&neutron_defaults::network_device_mtu, "network.mtu"),
    (&neutron_defaults::service_subnet, "network.serviceSubnet"),
    (&neutron_defaults::external_svc_net, "network.externalNetwork"),
    (&kuryr::cluster_name, "cluster.name"),
];

impl Names {
    /// The option as it is called there: `[neutron_defaults] project`, `network.project`.
    pub(crate) fn of(self, option: &Definition) -> String {
        if self == Names::KuryrConf {
            return option.title();
        }
        let own = VALUES.iter().find(|(known, _)| (known.group, known.name) == (option.group, option.name));
        own.map_or_else(|| format!("options.{}.{}", option.group, option.name), |(_, key)| (*key).to_owned())
    }

    /// `set [neutron_defaults] project in kuryr.conf`, `set network.project in the values`.
    pub(crate) fn set(self, option: &Definition) -> String {
        let place = match self {
            Names::KuryrConf => "kuryr.conf",
            Names::Values => "the values",
        };
        format!("set {} in {place}", self.of(option))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::values::DEFAULTS;

    #[test]
    fn services_are_wanted_where_they_are_on() {
        use crate::conf::options::Reader;
        let of = |text: &str| {
            let conf = Conf::of(Reader::Controller, &[("kuryr.conf", text.to_owned())]).unwrap();
            Wanted::of(&conf, Names::KuryrConf).unwrap().services
        };
        assert!(of("[neutron_defaults]\nservice_subnet = s\n").is_none());
        let on = of("[kuryr]\nservices = true\n").unwrap();
        assert_eq!((on.provider, on.algorithm.as_str(), on.member_mode.as_str()), (None, "ROUND_ROBIN", "L3"));
        let ovn = of("[kuryr]\nservices = true\n[kubernetes]\nendpoints_driver_octavia_provider = ovn\n").unwrap();
        assert_eq!(ovn.provider.as_deref(), Some("ovn"));
    }

    #[test]
    fn options_are_named_as_their_reader_says_them() {
        let values: serde_json::Value = serde_saphyr::from_str(DEFAULTS).unwrap();
        for (option, key) in VALUES {
            assert!(values.pointer(&format!("/{}", key.replace('.', "/"))).is_some(), "there is no value {key}");
            assert_eq!(Names::Values.of(option), key);
        }
        assert_eq!(Names::Values.set(&kuryr::services), "set options.kuryr.services in the values");
        assert_eq!(Names::KuryrConf.set(&kuryr::services), "set [kuryr] services in kuryr.conf");
    }
}
