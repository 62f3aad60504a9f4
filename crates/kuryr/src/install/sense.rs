//! Values that are of their type and still make no sense: found before anything is asked, printed or put anywhere.
//!
//! The kuryr.conf that comes of them, or that was given whole, is read by the code that reads it in the pods, so that nothing is
//! rolled out that the programs would refuse there.

use std::net::IpAddr;

use serde_json::Value;

use super::objects::configuration::{cloud_conf, kuryr_conf};
use super::objects::{self, Scene};
use super::values::Values;
use crate::conf::Conf;
use crate::conf::names::{bad_bridge, is_id};
use crate::conf::options::{Reader, neutron};

/// Everything that cannot work, each with its key, the value unless it is secret, and what is allowed.
pub(crate) fn refused(values: &Values) -> Vec<String> {
    let mut found = of_values(values);
    if found.is_empty() {
        // What is wrong with a value would be told again in the words of kuryr.conf.
        found.extend(of_configuration(values));
    }
    found
}

fn of_values(values: &Values) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |key: &str, value: &str, allowed: &str| found.push(format!("{key} = {value:?}: {allowed}"));
    let image = &values.image;
    if !is_repository(&image.repository) {
        refuse(
            "image.repository",
            &image.repository,
            "write the name of an image without its tag, like registry.example.org/kuryr",
        );
    }
    if !image.tag.is_empty() && !is_tag(&image.tag) {
        refuse("image.tag", &image.tag, "write a tag: at most 128 letters, digits, _, . and -");
    }
    if !["IfNotPresent", "Always", "Never"].contains(&image.pull_policy.as_str()) {
        refuse("image.pullPolicy", &image.pull_policy, "write IfNotPresent, Always or Never");
    }
    if !values.listen_address.is_empty() && values.listen_address.parse::<IpAddr>().is_err() {
        refuse("listenAddress", &values.listen_address, "write an IPv4 or IPv6 address, or \"\" for all");
    }
    let network = &values.network;
    if let Some(allowed) = bad_bridge(&network.bridge) {
        refuse("network.bridge", &network.bridge, allowed);
    }
    let given = |ids: &String| if ids.is_empty() { Vec::new() } else { vec![ids.clone()] };
    for (key, ids, kind) in [
        ("network.project", given(&network.project), "project"),
        ("network.podSubnets", network.pod_subnets.clone(), "subnet"),
        ("network.podSecurityGroups", network.pod_security_groups.clone(), "security group"),
        ("network.serviceSubnet", given(&network.service_subnet), "subnet"),
        ("network.externalNetwork", given(&network.external_network), "network"),
    ] {
        for (place, id) in ids.iter().enumerate() {
            if !is_id(id) {
                refuse(
                    key,
                    id,
                    &format!("it is no id; write what this prints: openstack {kind} show NAME -f value -c id"),
                );
            } else if ids[..place].contains(id) {
                refuse(key, id, "it is there twice; leave one out");
            }
        }
    }
    let (controller, node) = (&values.controller, &values.node);
    let ports = [
        ("controller.healthPort", controller.health_port),
        ("controller.metricsPort", controller.metrics_port),
        ("node.healthPort", node.health_port),
        ("node.metricsPort", node.metrics_port),
    ];
    for (place, (key, port)) in ports.iter().enumerate().filter(|(_, (_, port))| *port != 0) {
        if let Some((other, _)) = ports[..place].iter().find(|(_, other)| other == port) {
            let allowed = format!("{other} is the same, and both are ports of the node; write another, or 0 for none");
            refuse(key, &port.to_string(), &allowed);
        }
    }
    for (key, path) in [
        ("node.cniBinDir", &node.cni_bin_dir),
        ("node.cniConfDir", &node.cni_conf_dir),
        ("node.openvswitchDir", &node.openvswitch_dir),
        ("node.stateDir", &node.state_dir),
    ] {
        if !path.starts_with('/') {
            refuse(key, path, "write an absolute path of the node");
        }
    }
    found
}

/// What controller and daemon would refuse, with the environment they get. Only what is in the values: what a Secret has, the
/// cluster is asked for.
fn of_configuration(values: &Values) -> Vec<String> {
    let mut texts = vec![("kuryr.conf", kuryr_conf(values))];
    let mut found = Vec::new();
    match Conf::of(Reader::Daemon, &texts) {
        Ok(conf) => {
            let conf = conf.with(&environment(values, "DaemonSet"));
            let wrong = conf.check();
            let whole = || conf.daemon(&|_| Some("a-node".to_owned())).err();
            found.extend(if wrong.is_empty() { whole().into_iter().collect() } else { wrong });
        }
        Err(error) => found.push(error),
    }
    if values.cloud.existing_secret.is_empty() && !values.cloud.auth_url.is_empty() {
        texts.push(("cloud.conf", cloud_conf(&values.cloud)));
    }
    match Conf::of(Reader::Controller, &texts) {
        Ok(conf) => {
            let conf = conf.with(&environment(values, "Deployment"));
            let mut wrong = conf.check();
            if wrong.is_empty() {
                wrong.extend(conf.controller(0).err());
                wrong.extend(conf.election(&|_| None).err());
                wrong.extend(conf.controller_pages().err());
                if conf.is_said(&neutron::auth_url) || conf.is_said(&neutron::auth_section) {
                    wrong.extend(conf.cloud().err());
                }
            }
            found.extend(wrong);
        }
        Err(error) => found.push(error),
    }
    // What both programs read both refuse; it is told once.
    let told: Vec<String> = found.iter().map(|error| format!("the configuration cannot work: {error}")).collect();
    let first = |(place, line): (usize, &String)| (!told[..place].contains(line)).then(|| line.clone());
    told.iter().enumerate().filter_map(first).collect()
}

/// The variables a workload of this kind gets, as its object has them.
fn environment(values: &Values, kind: &str) -> Vec<(String, String)> {
    let objects = objects::all(&Scene { values, namespace: "kube-system" }).unwrap_or_default();
    let workload = objects.into_iter().find(|object| object["kind"] == kind).unwrap_or_default();
    let variables =
        workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    variables.iter().filter_map(|variable| Some((text(&variable["name"])?, text(&variable["value"])?))).collect()
}

/// A name of an image without tag and digest, as container runtimes take it: `[HOST[:PORT]/]PART[/PART…]`.
fn is_repository(text: &str) -> bool {
    let (host, path) = match text.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, text),
    };
    let is_host = |host: &str| {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, "443"));
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        let inner = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        port.parse::<u16>().is_ok()
            && inner
                .map_or_else(|| !name.is_empty() && name.bytes().all(letters), |inner| inner.parse::<IpAddr>().is_ok())
    };
    let is_part = |part: &str| {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let inner = |byte: u8| letter(byte) || matches!(byte, b'.' | b'_' | b'-');
        let (first, last) = (part.bytes().next(), part.bytes().last());
        first.is_some_and(letter) && last.is_some_and(letter) && part.bytes().all(inner) && !part.contains("..")
    };
    host.is_none_or(is_host) && path.split('/').all(is_part) && text.len() <= 255
}

fn is_tag(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= 128 && text.bytes().all(inner) && !text.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d";
    const SUBNET: &str = "11111111-1111-4111-8111-111111111111";

    fn told(more: &str, settings: &[&str]) -> Vec<String> {
        let least = format!("network: {{project: {PROJECT}, podSubnets: [{SUBNET}]}}");
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let texts = [("least".to_owned(), least), ("more".to_owned(), more.to_owned())];
        refused(&Values::of(&texts, &settings).unwrap())
    }

    #[test]
    fn the_least_there_must_be_makes_sense() {
        assert_eq!(told("", &[]), [] as [&str; 0]);
        assert_eq!(
            told("cloud: {authUrl: 'https://c:5000', username: u, password: x, projectName: p}", &[]),
            [] as [&str; 0]
        );
        assert_eq!(
            told("listenAddress: '::1'\nimage: {repository: 'localhost:5000/a/b_c', tag: v1.2-3}", &[]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn nonsense_is_told_with_its_key_its_value_and_what_is_allowed() {
        let twice = format!("network.podSubnets=[{SUBNET}, {SUBNET}]");
        for (setting, key, allowed) in [
            ("listenAddress=nonsense", "listenAddress = \"nonsense\"", "an IPv4 or IPv6 address"),
            ("network.bridge=my bridge", "network.bridge = \"my bridge\"", "at most 15 bytes"),
            ("network.bridge=br-0123456789abc", "network.bridge", "at most 15 bytes"),
            ("image.repository=Not A Reference", "image.repository = \"Not A Reference\"", "without its tag"),
            ("image.repository=docker.io/kuryr:7", "image.repository", "without its tag"),
            ("image.tag=a b", "image.tag", "at most 128"),
            ("image.pullPolicy=Sometimes", "image.pullPolicy", "IfNotPresent, Always or Never"),
            ("network.project=k8s", "network.project = \"k8s\"", "openstack project show NAME -f value -c id"),
            (&twice, "network.podSubnets", "twice"),
            ("network.externalNetwork=public", "network.externalNetwork", "openstack network show NAME"),
            ("node.healthPort=8082", "node.healthPort = \"8082\"", "controller.healthPort is the same"),
            ("node.stateDir=var", "node.stateDir = \"var\"", "absolute path"),
        ] {
            let told = told("", &[setting]);
            assert!(told.len() == 1 && told[0].starts_with(key) && told[0].contains(allowed), "{setting}: {told:#?}");
        }
    }

    #[test]
    fn a_whole_configuration_is_read_as_the_programs_read_it() {
        let whole = format!("[neutron_defaults]\\nproject = {PROJECT}\\npod_subnet = {SUBNET}\\n");
        assert_eq!(told(&format!("config: \"{whole}\""), &[]), [] as [&str; 0]);
        for (more, part) in [
            ("[DEFAULT]\\ndebug = maybe\\n", "kuryr.conf:5: [DEFAULT] debug = \"maybe\": write true or false"),
            ("[kuryr]\\ncluster_name = a/b\\n", "no comma, no slash"),
            ("[cni_daemon]\\ndocker_mode = true\\n", "docker_mode needs it"),
            ("[neutron]\\nauth_url = ftp://x\\nusername = u\\npassword = hunter2\\n", "auth_url"),
            ("nonsense", "kuryr.conf: line 4: there is neither = nor :"),
        ] {
            let told = told(&format!("config: \"{whole}{more}\""), &[]);
            assert!(told.len() == 1 && told[0].contains(part), "{more}: {told:#?}");
            assert!(!told[0].contains("hunter2"), "{told:#?}");
        }
        // What the workloads' environment says wins there, so it does here.
        for more in ["[kuryr]\\nstate_dir = here\\nlisten_address = here\\n", "[cni_health_server]\\nport = 9655\\n"] {
            assert_eq!(told(&format!("config: \"{whole}{more}\""), &[]), [] as [&str; 0]);
        }
    }
}
