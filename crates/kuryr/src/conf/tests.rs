//! Whole configurations, from their text to the values the programs get.

use std::time::Duration;

use kuryr_openstack::{Auth, Interface};

use super::options::{self, kubernetes, kuryr, neutron, neutron_defaults};
use super::*;

struct Written {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Written {
    fn and_file(mut self, text: &str) -> Self {
        let path = self.folder.path().join(format!("{}.conf", self.sources.files.len()));
        std::fs::write(&path, text).unwrap();
        self.sources.files.push(path);
        self
    }

    fn and_variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn read(&self, program: Reader) -> Conf {
        Conf::read(program, &self.sources).unwrap()
    }
}

fn file(text: &str) -> Written {
    Written { folder: tempfile::tempdir().unwrap(), sources: Sources::default() }.and_file(text)
}

fn controller(text: &str) -> Conf {
    file(text).read(Reader::Controller)
}

#[track_caller]
fn only_error(conf: &Conf) -> String {
    let errors = conf.check();
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors[0].to_string()
}

#[track_caller]
fn only_warning(conf: &Conf) -> &str {
    assert_eq!(conf.warnings().len(), 1, "{:?}", conf.warnings());
    &conf.warnings()[0]
}

const PROJECT: &str = "84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d";
const SUBNET: &str = "11111111-1111-4111-8111-111111111111";
const GROUPS: [&str; 2] = ["aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa", "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"];
const WHOLE: &str = "
[neutron]
auth_type = password
auth_url = http://127.0.0.1:5000/v3
username = kuryr
password = s3cret
project_name = k8s
user_domain_name = Default
region_name = RegionOne
[neutron_defaults]
project = 84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d
pod_subnet = 11111111-1111-4111-8111-111111111111
pod_security_groups = aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa, bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb
resource_tags = one,two
ovs_bridge = br-int
";

#[test]
fn ingresses_are_balanced_where_they_are_asked_for_with_or_without_services() {
    let of = |more: &str| controller(&format!("{WHOLE}{more}")).controller(0);
    assert!(of("").unwrap().routes.is_none());
    let missing = of("[kuryr]\ningress = true\n").unwrap_err().to_string();
    assert!(missing.contains("[neutron_defaults] service_subnet"), "{missing}");
    let subnet = format!("service_subnet = {SUBNET}\n[kuryr]\ningress = true\n");
    let on = of(&subnet).unwrap();
    let routes = on.routes.unwrap();
    assert!(on.services.is_none() && routes.balancing.subnet == SUBNET && routes.provider.is_none());
    // Who implements Services' load balancers does it, unless another is named.
    let ovn = "[kubernetes]\nendpoints_driver_octavia_provider = ovn\n";
    assert_eq!(of(&format!("{subnet}{ovn}")).unwrap().routes.unwrap().provider.as_deref(), Some("ovn"));
    let amphora = of(&format!("{subnet}ingress_provider = amphora\n{ovn}")).unwrap().routes.unwrap();
    assert_eq!((amphora.provider.as_deref(), amphora.balancing.provider.as_deref()), (Some("amphora"), Some("ovn")));
    assert_eq!(of(&format!("{subnet}ingress_provider = default\n{ovn}")).unwrap().routes.unwrap().provider, None);
}

#[test]
fn a_usual_file_becomes_the_controllers_settings() {
    let conf = controller(WHOLE);
    assert!(conf.check().is_empty() && conf.warnings().is_empty(), "{:?}", conf.warnings());
    let config = conf.controller(7).unwrap();
    assert_eq!(config.cluster, "kubernetes");
    assert_eq!(config.placement.project, PROJECT);
    assert_eq!(config.placement.pod_subnets, [SUBNET]);
    assert_eq!(config.placement.pod_security_groups, GROUPS);
    assert_eq!(config.resource_tags, ["one", "two"]);
    assert_eq!(config.ovs_bridge.as_deref(), Some("br-int"));
    assert_eq!(config.drift_interval, Duration::from_secs(60));
    assert!(config.use_events);
    let cloud = conf.cloud().unwrap();
    assert_eq!(cloud.auth_url, "http://127.0.0.1:5000/v3");
    assert_eq!((cloud.region.as_deref(), cloud.interface), (Some("RegionOne"), Interface::Public));
    assert_eq!(cloud.max_concurrency, 16);
    assert!(matches!(cloud.auth, Auth::Password { .. }));
}

#[test]
fn what_is_missing_is_named_with_a_cure() {
    let conf = controller(&format!("[neutron_defaults]\npod_subnet = {SUBNET}\n"));
    let error = conf.controller(0).unwrap_err().to_string();
    assert!(error.starts_with("[neutron_defaults] project is not set; set it to the id"), "{error}");
    let conf = controller("[neutron_defaults]\nproject = p\n");
    let error = conf.controller(0).unwrap_err().to_string();
    assert!(error.starts_with("[neutron_defaults] pod_subnet is not set"), "{error}");
}

#[test]
fn credentials_can_be_an_application_credential_or_in_another_section() {
    let conf = controller(
        "[neutron]\nauth_section = cloud\n[cloud]\nauth_url = https://cloud:5000\nauth_type = v3applicationcredential\n\
         application_credential_id = id\napplication_credential_secret = $$ecret\n",
    );
    assert!(conf.warnings().is_empty(), "{:?}", conf.warnings());
    let Auth::ApplicationCredential { secret, .. } = conf.cloud().unwrap().auth else { panic!() };
    assert_eq!(secret.expose(), "$ecret");
}

#[test]
fn a_mistake_in_credentials_names_the_file() {
    let conf = controller("[neutron]\nauth_url = http://x:5000\nusername = u\n");
    let error = conf.cloud().unwrap_err().to_string();
    assert!(error.contains("0.conf:2") && error.contains("password is not set"), "{error}");
}

#[test]
fn the_environment_wins_over_files_and_later_files_over_earlier_ones() {
    let written = file("[neutron_defaults]\nproject = a\nproject = b\nservice_subnet=x\n")
        .and_file("[NEUTRON_DEFAULTS]\nproject = c\n");
    let project = |conf: &Conf| conf.text(&neutron_defaults::project).unwrap().unwrap();
    assert_eq!(project(&written.read(Reader::Controller)), "c");
    let written = written.and_variable("OS_NEUTRON_DEFAULTS__PROJECT", "d");
    assert_eq!(project(&written.read(Reader::Controller)), "d");
}

#[test]
fn a_bad_value_is_told_with_its_place_and_what_is_allowed() {
    let conf = controller("[DEFAULT]\ndebug = maybe\n");
    let error = only_error(&conf);
    assert!(error.ends_with("0.conf:2: [DEFAULT] debug = \"maybe\": write true or false"), "{error}");
    let written = file("").and_variable("OS_HEALTH_SERVER__PORT", "99999");
    let error = only_error(&written.read(Reader::Controller));
    assert_eq!(
        error,
        "environment variable OS_HEALTH_SERVER__PORT: [health_server] port = \"99999\": write a whole number from 0 to 65535"
    );
}

#[test]
fn all_mistakes_are_told_at_once_and_only_ones_own() {
    let text = "[DEFAULT]\ndebug = x\n[health_server]\nport = y\n[cni_health_server]\nport = z\n";
    assert_eq!(file(text).read(Reader::Controller).check().len(), 2);
    assert_eq!(file(text).read(Reader::Daemon).check().len(), 2);
}

#[test]
fn what_would_do_something_else_than_asked_is_refused() {
    let error = only_error(&controller("[kubernetes]\npod_security_groups_driver = policy\n"));
    assert!(error.contains("policy needs NetworkPolicies, not in this version yet; supported: default"), "{error}");
    let error = only_error(&controller("[kubernetes]\nenabled_handlers = vif,kuryrport,policy\n"));
    assert!(error.contains("policy needs"), "{error}");
    let error = only_error(&controller("[kubernetes]\nenabled_handlers = vif,lb\n"));
    assert!(error.contains("a list, divided by commas, of vif, kuryrport"), "{error}");
    let text = format!("{WHOLE}[kubernetes]\nenabled_handlers = service,endpoints,kuryrloadbalancer\n");
    let error = controller(&text).controller(0).unwrap_err().to_string();
    assert!(error.contains("add both"), "{error}");
}

#[test]
fn what_cannot_be_a_neutron_tag_is_refused() {
    for said in ["[kuryr]\ncluster_name = a,b\n", "[kuryr]\ncluster_name = a/b\n"] {
        let error = controller(&format!("{WHOLE}{said}")).controller(0).unwrap_err().to_string();
        assert!(error.contains("[kuryr] cluster_name") && error.contains("no comma, no slash"), "{error}");
    }
    let text = WHOLE.replace("resource_tags = one,two", "resource_tags = one,not/fine");
    let error = controller(&text).controller(0).unwrap_err().to_string();
    assert!(error.contains("resource_tags = \"not/fine\""), "{error}");
}

#[test]
fn a_misspelt_name_warns_with_the_nearest() {
    let conf = controller("[neutron_defaults]\npod_subnt = x\n");
    let warning = only_warning(&conf);
    assert!(
        warning.ends_with(
            "0.conf:2: nobody knows the option [neutron_defaults] pod_subnt; did you mean [neutron_defaults] pod_subnet?"
        ),
        "{warning}"
    );
    assert!(conf.check().is_empty(), "and is no error");
    let conf = controller("[kubernets]\nzzz = x\n");
    assert!(only_warning(&conf).ends_with("did you mean section [kubernetes]?"), "{:?}", conf.warnings());
}

#[test]
fn former_names_count_with_a_warning_and_present_ones_win() {
    let conf = controller("[neutron]\nuser_name = old\n");
    assert!(only_warning(&conf).ends_with("[neutron] user_name is now called username"));
    assert_eq!(conf.text(&neutron::username).unwrap().as_deref(), Some("old"));
    let conf = controller("[neutron]\nusername = new\nuser_name = old\n");
    assert_eq!(conf.text(&neutron::username).unwrap().as_deref(), Some("new"));
}

#[test]
fn later_and_gone_options_are_told_when_they_are_set_to_something() {
    let conf = controller(
        "[vif_pool]\nports_pool_min = 5\nports_pool_max = 9\n[octavia_defaults]\nsg_mode = x\n[sriov]\na=1\nb=2\n",
    );
    let told = conf.warnings().join("\n");
    assert_eq!(conf.warnings().len(), 3, "{told}");
    assert!(
        told.contains("[vif_pool] ports_pool_max is set, but ports kept ready in pools: not in this version yet"),
        "{told}"
    );
    assert!(told.contains("[octavia_defaults] sg_mode has no effect: use enforce_sg_rules"), "{told}");
    assert!(told.contains("section [sriov] has no effect"), "{told}");
}

#[test]
fn sections_of_pythons_libraries_are_passed_over() {
    let conf = controller(
        "[oslo_concurrency]\nlock_path = /x\n[cache]\nenable = true\n[vif_plug_ovs_privileged]\nhelper_command = privsep-helper\n\
         [cache_defaults]\nenabled = maybe\n[binding]\ndriver = kuryr.lib.binding.drivers.vlan\n",
    );
    assert!(conf.check().is_empty());
    assert!(only_warning(&conf).contains("[binding] driver is now called default_driver"));
}

#[test]
fn references_are_replaced_across_sections() {
    let conf = controller(
        "[DEFAULT]\nlog_dir = /var/log\nlog_file = $log_dir/${kuryr.cluster_name}.log\n[kuryr]\ncluster_name = c1\n\
         log_levels = $log_dir\n",
    );
    assert_eq!(conf.text(&options::default::log_file).unwrap().as_deref(), Some("/var/log/c1.log"));
    assert_eq!(conf.text(&kuryr::log_levels).unwrap().as_deref(), Some("/var/log"), "falls back to DEFAULT");
}

#[test]
fn a_dollar_in_a_password_is_told_without_showing_it() {
    let error = only_error(&controller("[neutron]\npassword = pa$word\n"));
    assert!(
        error.contains("(secret)")
            && error.contains("write $$")
            && !error.contains("word\"")
            && !error.contains("{word}"),
        "{error}"
    );
    let error = only_error(&controller("[kuryr]\ncluster_name = ${kuryr.state_dir}\nstate_dir = $cluster_name\n"));
    assert!(error.contains("break the circle"), "{error}");
}

#[test]
fn the_daemon_gets_its_settings() {
    let none = |_: &str| None;
    let written = file(
        "[neutron_defaults]\novs_bridge = br-int\nnetwork_device_mtu = 1400\n[kuryr]\nnode_name = n1\nlisten_address = 127.0.0.1\n[cni_daemon]\nvif_annotation_timeout = 5\n[os_vif_ovs]\novsdb_connection = tcp:127.0.0.1:6640\n[prometheus_exporter]\ncni_exporter_port = 0\n",
    );
    let conf = written.read(Reader::Daemon);
    assert!(conf.check().is_empty());
    let config = conf.daemon(&none).unwrap();
    assert_eq!(config.node_name, "n1");
    assert_eq!(config.vif_annotation_timeout, Duration::from_secs(5));
    assert_eq!(config.plug.integration_bridge.as_deref(), Some("br-int"));
    assert_eq!(config.plug.mtu_cap, Some(1400));
    assert_eq!(config.plug.ovsdb.to_string(), "tcp:127.0.0.1:6640");
    assert_eq!(config.health_address, Some("127.0.0.1:8090".parse().unwrap()));
    assert_eq!((config.metrics_address, config.legacy_address), (None, None), "off, and not asked for");
}

#[test]
fn the_daemons_defaults_are_the_crates_own() {
    let conf = file("").read(Reader::Daemon);
    let config = conf.daemon(&|name| (name == "KUBERNETES_NODE_NAME").then(|| "n2".to_owned())).unwrap();
    let own = kuryr_node::Config::new("n2");
    assert_eq!(config.node_name, "n2");
    assert_eq!((config.socket, config.state_dir), (own.socket, own.state_dir));
    assert_eq!(config.vif_annotation_timeout, own.vif_annotation_timeout);
    assert_eq!(config.plug.ovs_deadline, own.plug.ovs_deadline);
    assert_eq!(config.plug.ovsdb, own.plug.ovsdb);
    assert_eq!(config.plug.integration_bridge, None, "a node without Open vSwitch is ready too");
    assert_eq!(config.health_address.unwrap().port(), 8090);
    assert_eq!(config.metrics_address.unwrap().port(), 9655);
}

#[test]
fn the_old_protocol_is_served_where_it_is_asked_for() {
    let address = |text: &str| file(text).read(Reader::Daemon).daemon(&|_| None).map(|config| config.legacy_address);
    assert_eq!(
        address("[cni_daemon]\nbind_address = localhost:5036\n").unwrap(),
        Some("127.0.0.1:5036".parse().unwrap())
    );
    assert_eq!(address("[cni_daemon]\nbind_address = [::1]:5036\n").unwrap(), Some("[::1]:5036".parse().unwrap()));
    let error = address("[cni_daemon]\nbind_address = 5036\n").unwrap_err().to_string();
    assert!(error.contains("0.conf:2: [cni_daemon] bind_address") && error.contains("write ADDRESS:PORT"), "{error}");
}

#[test]
fn docker_mode_needs_the_folder() {
    let error = file("[cni_daemon]\ndocker_mode = true\n").read(Reader::Daemon).daemon(&|_| None).unwrap_err();
    assert!(error.to_string().contains("netns_proc_dir is not set; docker_mode needs it"), "{error}");
}

#[test]
fn cloud_secrets_on_a_node_are_told() {
    let conf = file("[neutron]\npassword = s3cret\n").read(Reader::Daemon);
    let told = secrets_on_a_node(&conf);
    assert!(told.len() == 1 && told[0].contains("[neutron] password is on this node") && !told[0].contains("s3cret"));
}

async fn cluster(text: &str, variables: &[(&str, &str)]) -> Result<kube::Config, String> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let conf = controller(text);
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    conf.cluster(&variable).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn an_empty_address_means_the_pods_own_cluster() {
    let text = "[kubernetes]\napi_root = \"\"\ntoken_file =\nssl_ca_crt_file =\n";
    let variables = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("KUBERNETES_SERVICE_PORT_HTTPS", "443")];
    assert_eq!(cluster(text, &variables).await.unwrap().cluster_url.to_string(), "https://[fd00::1]:443/");
    let error = cluster(text, &[]).await.unwrap_err();
    assert!(error.contains("KUBERNETES_SERVICE_HOST is not set; run in a pod or set api_root"), "{error}");
}

#[tokio::test]
async fn without_an_address_k8s_api_and_then_localhost() {
    let text = "[kubernetes]\ntoken_file =\nssl_ca_crt_file =\n";
    let url = async |variables| cluster(text, variables).await.unwrap().cluster_url.to_string();
    assert_eq!(url(&[]).await, "https://localhost:6443/");
    assert_eq!(url(&[("K8S_API", "http://10.0.0.1:8080")]).await, "http://10.0.0.1:8080/");
}

#[tokio::test]
async fn files_that_are_not_there_are_told() {
    let error = cluster("[kubernetes]\napi_root = https://a\ntoken_file = /no/token\n", &[]).await.unwrap_err();
    assert!(error.contains("token_file = \"/no/token\": it cannot be read"), "{error}");
    let error =
        cluster("[kubernetes]\napi_root = https://a\ntoken_file =\nssl_ca_crt_file = /no/ca\n", &[]).await.unwrap_err();
    assert!(error.contains("ssl_ca_crt_file = \"/no/ca\": it cannot be read"), "{error}");
    let error = cluster("[kubernetes]\napi_root = ftp://a\n", &[]).await.unwrap_err();
    assert!(error.contains("is no address"), "{error}");
}

#[tokio::test]
async fn the_token_wins_over_the_certificate_and_tls_is_verified() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, "x").unwrap();
        path.display().to_string()
    };
    let pem = |name: &str, what: &str| {
        let path = path(name);
        std::fs::write(&path, format!("-----BEGIN {what}-----\nAAAA\n-----END {what}-----\n")).unwrap();
        path
    };
    let (token, ca) = (path("token"), pem("ca", "CERTIFICATE"));
    let (cert, key) = (pem("cert", "CERTIFICATE"), pem("key", "PRIVATE KEY"));
    let text = format!(
        "[kubernetes]\napi_root = https://a\nssl_ca_crt_file = {ca}\nssl_client_crt_file = {cert}\nssl_client_key_file = {key}\n"
    );
    let config = cluster(&format!("{text}token_file = {token}\n"), &[]).await.unwrap();
    assert_eq!(config.auth_info.token_file, Some(token));
    assert_eq!(config.auth_info.client_certificate, None);
    assert_eq!(config.root_cert_file, Some(ca.into()));
    assert!(!config.accept_invalid_certs);
    let config = cluster(&format!("{text}token_file =\nssl_verify_server_crt = false\n"), &[]).await.unwrap();
    assert_eq!((config.auth_info.client_certificate, config.auth_info.client_key), (Some(cert), Some(key)));
    assert!(config.accept_invalid_certs && config.root_cert_file.is_none());
}

#[tokio::test]
async fn timeouts_come_from_the_options_and_silence_is_long_enough_for_a_watch() {
    let text = "[kubernetes]\napi_root = http://a\ntoken_file =\nwatch_connection_timeout = 3\n";
    let config = cluster(text, &[]).await.unwrap();
    assert_eq!(config.connect_timeout, Some(Duration::from_secs(3)));
    assert_eq!(config.read_timeout, Some(Duration::from_secs(300)));
}

#[test]
fn every_option_the_programs_read_has_the_type_they_read() {
    let conf = file("").read(Reader::Both);
    assert!(conf.check().is_empty());
    conf.daemon(&|_| None).unwrap();
    conf.controller_pages().unwrap();
    crate::logs::Logs::read(&conf, Reader::Daemon).unwrap();
    controller(WHOLE).controller(0).unwrap();
    assert!(conf.flag(&kubernetes::use_events).unwrap());
}

#[test]
fn a_file_that_is_not_there_or_not_in_the_format_is_told() {
    let sources = Sources { files: vec!["/no/kuryr.conf".into()], ..Sources::default() };
    let error = Conf::read(Reader::Controller, &sources).unwrap_err().to_string();
    assert!(error.starts_with("the configuration file /no/kuryr.conf cannot be read: No such file"), "{error}");
    let error = Conf::read(Reader::Controller, &file("[a]\nb\n").sources).unwrap_err().to_string();
    assert!(error.contains("0.conf: line 2: there is neither = nor :"), "{error}");
}

#[test]
fn leadership_is_a_lease_unless_it_is_turned_off() {
    let in_a_pod = |name: &str| match name {
        "POD_NAME" => Some("kuryr-controller-7d9f-x2x4p".to_owned()),
        "POD_NAMESPACE" => Some("kuryr".to_owned()),
        _ => None,
    };
    let election = controller("[kubernetes]\ncontroller_ha = true\n").election(&in_a_pod).unwrap().unwrap();
    assert_eq!((election.namespace.as_str(), election.name.as_str()), ("kuryr", "kuryr-controller"));
    assert!(election.identity.holder().starts_with("kuryr-controller-7d9f-x2x4p_"));
    assert_eq!((election.duration, election.renew_deadline), (Duration::from_secs(10), Duration::from_secs(7)));
    assert_eq!(election.retry, Duration::from_millis(1500));
    let on_a_host =
        controller("[kuryr]\nlease_duration = 20\nlease_name = other\n").election(&|_| None).unwrap().unwrap();
    assert_eq!((on_a_host.namespace.as_str(), on_a_host.name.as_str()), ("kube-system", "other"));
    assert_eq!(on_a_host.duration, Duration::from_secs(20));
    let named = controller("[kuryr]\nlease_namespace = elsewhere\n").election(&in_a_pod).unwrap().unwrap();
    assert_eq!(named.namespace, "elsewhere");
    assert!(controller("[kuryr]\nleader_election = false\n").election(&in_a_pod).unwrap().is_none());
    let error = only_error(&controller("[kuryr]\nlease_duration = 2\n"));
    assert!(error.contains("lease_duration") && error.contains('5'), "{error}");
}

#[test]
fn no_piece_of_a_secret_is_in_an_error() {
    let told = |conf: &Conf| {
        let errors: Vec<String> =
            conf.check().iter().chain(conf.cloud().err().iter()).map(ToString::to_string).collect();
        assert!(!errors.is_empty());
        for error in &errors {
            assert!(!error.contains("hunter2"), "{error}");
        }
        errors.join("\n")
    };
    // The piece behind the dollar, in its own option, through another one, and in a section of the operator's choice.
    let text = "[neutron]\nauth_url = http://c\npassword = pa$hunter2\n[kuryr]\nlog_levels = ${neutron.password}\n";
    assert!(told(&controller(text)).contains("write $$ where a dollar is meant"));
    let text = "[neutron]\nauth_section = cloud\n[cloud]\nauth_url = http://c\npassword = pa$hunter2\n";
    assert!(told(&controller(text)).contains("[cloud] password = (not shown)"));
    // A password that another option refers to and then cannot use.
    let text = "[neutron]\npassword = hunter2\n[DEFAULT]\ndebug = ${neutron.password}\n";
    assert!(told(&controller(text)).contains("[DEFAULT] debug = \"${neutron.password}\": write true or false"));
    let text = "[neutron]\nauth_url = http://me:hunter2@c:5000\nusername = u\npassword = p\n";
    assert!(told(&controller(text)).contains("(not shown)"));
}

#[test]
fn the_chain_of_an_error_says_nothing_twice() {
    let sources = Sources { files: vec!["/no/kuryr.conf".into()], ..Sources::default() };
    let missing = Conf::read(Reader::Controller, &sources).unwrap_err();
    let format = Conf::read(Reader::Controller, &file("[a]\nb\n").sources).unwrap_err();
    for error in [missing, format] {
        let (alone, chain) = (error.to_string(), format!("{:#}", anyhow::Error::from(error)));
        assert_eq!(alone, chain);
    }
}

#[test]
fn a_file_in_utf_16_is_told_with_the_cure() {
    let text = "[kuryr]\ncluster_name = c\n";
    let (little, big): (Vec<u8>, Vec<u8>) = (
        text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
    );
    let marked = [&[0xff, 0xfe], little.as_slice()].concat();
    for (bytes, from) in
        [(little, "UTF-16LE"), (big, "UTF-16BE"), (marked, "UTF-16"), (b"[a]\nb = \xe9\n".to_vec(), "LATIN1")]
    {
        let written = file("");
        std::fs::write(&written.sources.files[0], bytes).unwrap();
        let error = Conf::read(Reader::Controller, &written.sources).unwrap_err().to_string();
        assert!(error.ends_with(&format!("(iconv -f {from} -t UTF-8)")), "{error}");
    }
}

#[test]
fn variables_that_set_nothing_are_told() {
    let warned = |name: &str| file("").and_variable(name, "hunter2").read(Reader::Controller).warnings().join("\n");
    for (name, hint) in [
        ("OS_NEUTRON_DEFAULT__PROJECT", "did you mean OS_NEUTRON_DEFAULTS__PROJECT?"),
        ("OS_NEUTRON__PASWORD", "did you mean OS_NEUTRON__PASSWORD?"),
        ("OS_KURYR__POD_SUBNET", "did you mean OS_NEUTRON_DEFAULTS__POD_SUBNET?"),
        ("OS_OTHER__ZZZZ", "sets no option that anybody knows"),
    ] {
        let warning = warned(name);
        assert!(warning.contains(name) && warning.ends_with(hint) && !warning.contains("hunter2"), "{warning}");
    }
    for silent in ["OS_OSLO_CONCURRENCY__LOCK_PATH", "OS_NEUTRON__PASSWORD"] {
        assert_eq!(warned(silent), "", "{silent}");
    }
}

#[test]
fn names_instead_of_ids_are_refused_with_the_command_that_tells_the_id() {
    for (from, to, told) in [
        (PROJECT, "k8s", "project = \"k8s\": it is no id; write what this prints: openstack project show NAME"),
        (SUBNET, "pods", "openstack subnet show NAME -f value -c id"),
        (GROUPS[1], "web", "openstack security group show NAME"),
        (GROUPS[1], GROUPS[0], "it is there twice"),
    ] {
        let error = controller(&WHOLE.replace(from, to)).controller(0).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
    let error = controller(&WHOLE.replace("br-int", "my bridge")).controller(0).unwrap_err().to_string();
    assert!(error.contains("ovs_bridge = \"my bridge\"") && error.contains("at most 15 bytes"), "{error}");
}

#[test]
fn addresses_and_names_that_cannot_work_are_refused() {
    let error = controller("[health_server]\nport = 9654\n").controller_pages().unwrap_err().to_string();
    assert!(error.contains("[health_server] port has the same port; give each its own"), "{error}");
    let both_off = "[health_server]\nport = 0\n[prometheus_exporter]\ncontroller_exporter_port = 0\n";
    controller(both_off).controller_pages().unwrap();
    let daemon = |text: &str| file(text).read(Reader::Daemon).daemon(&|_| None).map(drop).map_err(|e| e.to_string());
    let error = daemon("[cni_daemon]\nbind_address = 127.0.0.1:8090\n").unwrap_err();
    assert!(error.contains("bind_address") && error.contains("[cni_health_server] port has the same port"), "{error}");
    let apart = "[kuryr]\nlisten_address = 127.0.0.2\n[cni_daemon]\nbind_address = 127.0.0.1:8090\n";
    daemon(apart).unwrap();
    let socket = |length: usize| daemon(&format!("[kuryr]\ndaemon_socket = /{}\n", "s".repeat(length - 1)));
    socket(107).unwrap();
    assert!(socket(108).unwrap_err().contains("at most 107 bytes"));
    for option in ["lease_name = My_Lease", "lease_namespace = a.b"] {
        let error = controller(&format!("[kuryr]\n{option}\n")).election(&|_| None).unwrap_err().to_string();
        assert!(error.contains("lower-case letters"), "{error}");
    }
    let error = controller("[neutron]\nauth_section = clod\n[cloud]\nauth_url = http://c\n").cloud().unwrap_err();
    assert!(error.to_string().contains("auth_section = \"clod\": there is no section [clod]"), "{error}");
}

#[tokio::test]
async fn files_that_are_no_pem_are_told_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x").display().to_string();
    std::fs::write(&path, "hunter2").unwrap();
    for (option, told) in [("ssl_ca_crt_file", "no certificate in it"), ("ssl_client_crt_file", "no certificate in it")]
    {
        let text = format!("[kubernetes]\napi_root = https://a\ntoken_file =\n{option} = {path}\n");
        let error = cluster(&text, &[]).await.unwrap_err();
        assert!(error.contains(option) && error.contains(told) && !error.contains("hunter2"), "{error}");
    }
    let error = cluster("[kubernetes]\napi_root = https://me:hunter2@a\n", &[]).await.unwrap_err();
    assert!(error.contains("(not shown)") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn everything_a_start_would_meet_is_found_at_once() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let text = format!(
        "{WHOLE}[kuryr]\nlog_levels = ==\nlease_name = A\nlisten_address = here\n[neutron]\ncafile = /no/ca\n\
         [kubernetes]\napi_root = https://a\ntoken_file = /no/token\n[DEFAULT]\nlog_file = /no/folder/x.log\n"
    );
    let told = |found: Vec<ConfError>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
    let found = controller(&text).try_start(&|_| None).await;
    let errors = told(found.errors);
    for part in ["log_levels", "lease_name", "listen_address", "/no/ca", "token_file"] {
        assert!(errors.iter().any(|error| error.contains(part)), "{part}: {errors:#?}");
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");
    let text = text.replace("log_levels = ==\n", "");
    let errors = told(controller(&text).try_start(&|_| None).await.errors);
    assert!(
        errors.iter().any(|error| error.contains("the log file /no/folder/x.log cannot be written")),
        "{errors:#?}"
    );
    // What nobody wrote and only this machine lacks is no mistake of the file.
    let found = controller(&format!("{WHOLE}[kubernetes]\napi_root = \"\"\n")).try_start(&|_| None).await;
    assert!(found.errors.is_empty(), "{:?}", found.errors);
    assert!(found.warnings[0].contains("on this machine") && found.warnings.len() == 1, "{:?}", found.warnings);
}

#[test]
fn a_check_leaves_no_log_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kuryr.log");
    let conf = controller(&format!("[DEFAULT]\nlog_file = {}\n", path.display()));
    crate::logs::Logs::look(&conf, Reader::Controller).unwrap();
    assert!(!path.exists());
    crate::logs::Logs::read(&conf, Reader::Controller).unwrap();
    crate::logs::Logs::look(&conf, Reader::Controller).unwrap();
}
