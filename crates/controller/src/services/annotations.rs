//! What annotations of a Service ask of its load balancer: the two of kuryr-kubernetes, and those that users of OpenStack's cloud
//! controller manager know (`loadbalancer.openstack.org/…`). Pure. docs/services.md has the table.

use std::collections::BTreeMap;

use kuryr_openstack::load_balancing::LbAlgorithm;

/// What one annotation asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish<T> {
    /// Nothing.
    #[default]
    Unsaid,
    /// This.
    Said(T),
    /// Something that cannot be read: what is there stays as it is.
    Unreadable,
}

impl<T> Wish<T> {
    /// What is asked.
    pub(crate) fn said(&self) -> Option<&T> {
        match self {
            Wish::Said(value) => Some(value),
            Wish::Unsaid | Wish::Unreadable => None,
        }
    }

    /// What is to be: what is asked, or this if nothing is; `None` leaves what is there.
    pub(crate) fn or(self, usual: T) -> Option<T> {
        match self {
            Wish::Said(value) => Some(value),
            Wish::Unsaid => Some(usual),
            Wish::Unreadable => None,
        }
    }
}

/// Milliseconds of silence that a listener puts up with; `None` leaves what is there, which is Octavia's default at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Of a client.
    pub(crate) client_data: Option<u32>,
    /// Of a member.
    pub(crate) member_data: Option<u32>,
    /// Of a member that is being connected to.
    pub(crate) member_connect: Option<u32>,
    /// Of a client, before its first packets are looked at.
    pub(crate) tcp_inspect: Option<u32>,
}

impl Timeouts {
    /// These, and where they say nothing others.
    pub(crate) fn or(self, others: Timeouts) -> Timeouts {
        Timeouts {
            client_data: self.client_data.or(others.client_data),
            member_data: self.member_data.or(others.member_data),
            member_connect: self.member_connect.or(others.member_connect),
            tcp_inspect: self.tcp_inspect.or(others.tcp_inspect),
        }
    }
}

/// How members are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Monitoring {
    /// Seconds between two tries.
    pub(crate) delay: u32,
    /// Seconds a try may take; less than `delay`.
    pub(crate) timeout: u32,
    /// Successes after which a member is up, 1 to 10.
    pub(crate) max_retries: u32,
    /// Failures after which a member is down, 1 to 10.
    pub(crate) max_retries_down: u32,
}

/// How members are told of the client's address in front of its data (HAProxy's PROXY protocol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// As text.
    V1,
    /// As bytes.
    V2,
}

/// All that annotations ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    pub(crate) timeouts: Timeouts,
    /// Connections at once for each port; -1 is without limit.
    pub(crate) connection_limit: Wish<i64>,
    pub(crate) monitoring: Wish<Option<Monitoring>>,
    pub(crate) proxy: Wish<Option<Proxy>>,
    pub(crate) algorithm: Wish<LbAlgorithm>,
    /// Whether it is to have no address from outside.
    pub(crate) internal: Wish<bool>,
    /// Whether its floating IP outlives it.
    pub(crate) keeps_address: bool,
    /// Network and subnet of its floating IP, by id.
    pub(crate) floating_network: Wish<String>,
    pub(crate) floating_subnet: Wish<String>,
    /// By id; matters when the load balancer is made.
    pub(crate) flavor: Option<String>,
    /// By name; matters when the load balancer is made.
    pub(crate) zone: Option<String>,
    /// What is asked and never done, each with why and what to do.
    pub(crate) ignored: Vec<String>,
}

/// Of kuryr-kubernetes; wins over the other name of the same.
const CLIENT_DATA: &str = "openstack.org/kuryr-timeout-client-data";
const MEMBER_DATA: &str = "openstack.org/kuryr-timeout-member-data";
/// How all of the cloud controller manager begin, but for one.
const PREFIX: &str = "loadbalancer.openstack.org/";
const INTERNAL: &str = "service.beta.kubernetes.io/openstack-internal-load-balancer";
/// The longest timeout Octavia takes, in milliseconds: 24 days.
const LONGEST: u32 = 24 * 24 * 60 * 60 * 1000;
/// How the cloud controller manager monitors if no more is said.
const MONITORING: Monitoring = Monitoring { delay: 5, timeout: 3, max_retries: 1, max_retries_down: 3 };

impl Annotations {
    /// Reads them. What cannot be read is told in `wrong`.
    pub(crate) fn read(all: &BTreeMap<String, String>, wrong: &mut Vec<String>) -> Annotations {
        let mut of = Reader { all, wrong };
        let client_data = of.timeout(CLIENT_DATA).or(of.timeout("timeout-client-data"));
        let member_data = of.timeout(MEMBER_DATA).or(of.timeout("timeout-member-data"));
        Annotations {
            timeouts: Timeouts {
                client_data,
                member_data,
                member_connect: of.timeout("timeout-member-connect"),
                tcp_inspect: of.timeout("timeout-tcp-inspect"),
            },
            connection_limit: of.wish("connection-limit", "a number of connections, or -1", |text| {
                text.parse().ok().filter(|limit| (-1..=i64::from(i32::MAX)).contains(limit) && *limit != 0)
            }),
            monitoring: of.monitoring(),
            proxy: of.wish("proxy-protocol", "true, false, v1 or v2", |text| match text {
                "v1" | "V1" => Some(Some(Proxy::V1)),
                "v2" | "V2" => Some(Some(Proxy::V2)),
                text => Some(truth(text)?.then_some(Proxy::V1)),
            }),
            algorithm: of.wish("lb-method", "an algorithm of Octavia's, like ROUND_ROBIN", |text| match text {
                "ROUND_ROBIN" => Some(LbAlgorithm::RoundRobin),
                "LEAST_CONNECTIONS" => Some(LbAlgorithm::LeastConnections),
                "SOURCE_IP" => Some(LbAlgorithm::SourceIp),
                "SOURCE_IP_PORT" => Some(LbAlgorithm::SourceIpPort),
                _ => None,
            }),
            internal: of.wish(INTERNAL, "true or false", truth),
            // Who cannot say whether an address is to be kept may want it kept.
            keeps_address: of.wish("keep-floatingip", "true or false", truth).or(false).unwrap_or(true),
            floating_network: of.wish("floating-network-id", "the id of a network", id),
            floating_subnet: of.wish("floating-subnet-id", "the id of a subnet", id),
            flavor: of.wish("flavor-id", "the id of a flavor", id).said().cloned(),
            zone: of.wish("availability-zone", "the name of an availability zone", word).said().cloned(),
            ignored: all.keys().filter_map(|name| ignored(name)).collect(),
        }
    }
}

struct Reader<'a> {
    all: &'a BTreeMap<String, String>,
    wrong: &'a mut Vec<String>,
}

impl Reader<'_> {
    fn wish<T>(&mut self, name: &str, what: &str, read: impl Fn(&str) -> Option<T>) -> Wish<T> {
        let name = if name.contains('/') { name.to_owned() } else { format!("{PREFIX}{name}") };
        let Some(value) = self.all.get(&name) else { return Wish::Unsaid };
        if let Some(read) = read(value.trim()) {
            return Wish::Said(read);
        }
        self.wrong.push(format!("annotation {name}: {value:?} is not {what}"));
        Wish::Unreadable
    }

    /// 0 asks for nothing, as with kuryr-kubernetes.
    fn timeout(&mut self, name: &str) -> Option<u32> {
        let read = |text: &str| text.parse().ok().filter(|milliseconds| *milliseconds <= LONGEST);
        let wish = self.wish(name, "a number of milliseconds, at most 2073600000", read);
        wish.said().copied().filter(|milliseconds| *milliseconds > 0)
    }

    fn monitoring(&mut self) -> Wish<Option<Monitoring>> {
        let enabled = self.wish("enable-health-monitor", "true or false", truth);
        let seconds = |text: &str| text.parse().ok().filter(|seconds| (1..=86_400).contains(seconds));
        let times = |text: &str| text.parse().ok().filter(|times| (1..=10).contains(times));
        let asked = [
            self.wish("health-monitor-delay", "a number of seconds", seconds).or(MONITORING.delay),
            self.wish("health-monitor-timeout", "a number of seconds", seconds).or(MONITORING.timeout),
            self.wish("health-monitor-max-retries", "a number from 1 to 10", times).or(MONITORING.max_retries),
            self.wish("health-monitor-max-retries-down", "a number from 1 to 10", times)
                .or(MONITORING.max_retries_down),
        ];
        match (enabled, asked) {
            (Wish::Unsaid, _) => Wish::Unsaid,
            (Wish::Said(false), _) => Wish::Said(None),
            (Wish::Said(true), [Some(delay), Some(timeout), Some(max_retries), Some(max_retries_down)]) => {
                if timeout < delay {
                    return Wish::Said(Some(Monitoring { delay, timeout, max_retries, max_retries_down }));
                }
                self.wrong.push(format!(
                    "annotation {PREFIX}health-monitor-timeout: {timeout} s are not less than the delay, {delay} s"
                ));
                Wish::Unreadable
            }
            _ => Wish::Unreadable,
        }
    }
}

/// What the cloud controller manager takes for true and false.
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn id(text: &str) -> Option<String> {
    let is_id = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    is_id.then(|| text.to_owned())
}

fn word(text: &str) -> Option<String> {
    (!text.is_empty() && text.len() <= 255).then(|| text.to_owned())
}

/// Those of the cloud controller manager that are followed, without their beginning.
const FOLLOWED: [&str; 17] = [
    "availability-zone",
    "connection-limit",
    "enable-health-monitor",
    "flavor-id",
    "floating-network-id",
    "floating-subnet-id",
    "health-monitor-delay",
    "health-monitor-max-retries",
    "health-monitor-max-retries-down",
    "health-monitor-timeout",
    "keep-floatingip",
    "lb-method",
    "proxy-protocol",
    "timeout-client-data",
    "timeout-member-connect",
    "timeout-member-data",
    "timeout-tcp-inspect",
];
/// Those that are not, and what to do instead.
const IGNORED: [(&str, &str); 12] = [
    ("class", "there are no such classes: use floating-network-id and floating-subnet-id"),
    ("default-tls-container-ref", "TLS ends at the pods"),
    ("floating-subnet", "name the subnet by its id, with floating-subnet-id"),
    ("floating-subnet-tags", "name the subnet by its id, with floating-subnet-id"),
    ("hostname", "the Service's status tells the address"),
    ("load-balancer-id", "each Service has a load balancer of its own, whose VIP is the Service's address"),
    ("member-subnet-id", "members are the pods themselves, in their own subnets"),
    ("network-id", OWN_ADDRESS),
    ("node-selector", "members are the pods themselves, on whatever node they are"),
    ("port-id", OWN_ADDRESS),
    ("subnet-id", OWN_ADDRESS),
    ("x-forwarded-for", "listeners know connections and not HTTP: use proxy-protocol"),
];
const OWN_ADDRESS: &str = "the VIP is the Service's own address, from [neutron_defaults] service_subnet";
/// What the cloud controller manager writes for others to read.
const WRITTEN: &str = "load-balancer-address";

/// Why an annotation of the cloud controller manager's is not followed, and what to do; `None` for what is.
fn ignored(name: &str) -> Option<String> {
    let short = name.strip_prefix(PREFIX)?;
    if FOLLOWED.contains(&short) || short == WRITTEN {
        return None;
    }
    let why = IGNORED.iter().find(|(known, _)| *known == short).map_or("there is none of this name", |(_, why)| why);
    Some(format!("{name} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (Annotations, Vec<String>) {
        let all = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut wrong = Vec::new();
        let read = Annotations::read(&all, &mut wrong);
        (read, wrong)
    }

    #[test]
    fn the_older_name_of_a_timeout_wins_and_0_says_nothing() {
        let both = [(CLIENT_DATA, "5000"), ("loadbalancer.openstack.org/timeout-client-data", "6000")];
        assert_eq!(read(&both).0.timeouts.client_data, Some(5000));
        assert_eq!(read(&both[1..]).0.timeouts.client_data, Some(6000));
        let (nothing, wrong) = read(&[(MEMBER_DATA, "0")]);
        assert_eq!((nothing, wrong), (Annotations::default(), Vec::new()));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_name_and_leaves_what_is_there() {
        let prefixed = |name: &str| format!("{PREFIX}{name}");
        for (name, value) in [
            ("timeout-member-connect", "soon"),
            ("timeout-tcp-inspect", "-1"),
            ("timeout-client-data", "2073600001"),
            ("connection-limit", "0"),
            ("proxy-protocol", "v3"),
            ("lb-method", "random"),
            ("floating-network-id", "public network"),
            ("enable-health-monitor", "yes"),
            ("keep-floatingip", ""),
        ] {
            let (read, wrong) = read(&[(&prefixed(name), value)]);
            assert!(wrong.len() == 1 && wrong[0].contains(name) && wrong[0].contains(value), "{name}: {wrong:?}");
            assert_eq!(read.timeouts, Timeouts::default(), "{name}");
        }
        let (read, _) = read(&[(&prefixed("connection-limit"), "many")]);
        assert_eq!((read.connection_limit.clone().or(-1), read.connection_limit.said()), (None, None));
        assert_eq!(Wish::Unsaid.or(-1), Some(-1));
    }

    #[test]
    fn a_monitor_has_the_usual_rhythm_unless_another_is_said() {
        let on = ("loadbalancer.openstack.org/enable-health-monitor", "true");
        assert_eq!(read(&[on]).0.monitoring, Wish::Said(Some(MONITORING)));
        let slower = ("loadbalancer.openstack.org/health-monitor-delay", "30");
        assert_eq!(read(&[on, slower]).0.monitoring, Wish::Said(Some(Monitoring { delay: 30, ..MONITORING })));
        assert_eq!(read(&[slower]).0.monitoring, Wish::Unsaid);
        let (quick, wrong) = read(&[on, ("loadbalancer.openstack.org/health-monitor-delay", "2")]);
        assert!(quick.monitoring == Wish::Unreadable && wrong[0].contains("less than the delay"), "{wrong:?}");
    }

    #[test]
    fn what_is_never_done_is_named_with_what_to_do() {
        let (read, wrong) = read(&[
            ("loadbalancer.openstack.org/subnet-id", "s"),
            ("loadbalancer.openstack.org/x-forwarded-for", "true"),
            ("loadbalancer.openstack.org/conection-limit", "5"),
            ("loadbalancer.openstack.org/load-balancer-address", "192.0.2.1"),
            ("example.org/other", "x"),
        ]);
        assert_eq!(wrong, [] as [String; 0]);
        let named: Vec<&str> = read.ignored.iter().filter_map(|text| text.split(' ').next()).collect();
        assert_eq!(named, ["conection-limit", "subnet-id", "x-forwarded-for"].map(|name| format!("{PREFIX}{name}")));
    }

    #[test]
    fn the_table_in_the_document_has_them_all() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/services.md");
        let text = std::fs::read_to_string(path).unwrap();
        let table = text.split("\n## Annotations\n").nth(1).unwrap().split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let mut named: Vec<(&str, bool)> = Vec::new();
        for (names, what) in rows {
            let names = names.split('`').skip(1).step_by(2);
            named.extend(names.map(|name| (name.strip_prefix(PREFIX).unwrap_or(name), !what.starts_with("ignored"))));
        }
        named.sort_unstable();
        let own = [INTERNAL, CLIENT_DATA, MEMBER_DATA];
        let followed = FOLLOWED.iter().copied().chain(own).map(|name| (name, true));
        let mut known: Vec<_> = followed.chain(IGNORED.iter().map(|(name, _)| (*name, false))).collect();
        known.sort_unstable();
        assert_eq!(named, known);
    }
}
