//! What no other test says about the objects.

use super::*;
use crate::install::values::Values;

fn values(more: &str) -> Values {
    let least =
        "network: {project: 84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d, podSubnets: [11111111-1111-4111-8111-111111111111]}";
    Values::of(&[("least".into(), least.into()), ("more".into(), more.into())], &[]).unwrap()
}

fn all_of(values: &Values) -> Vec<Value> {
    all(&Scene { values, namespace: "kube-system" }).unwrap()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn container(workload: &Value) -> &Value {
    &workload["spec"]["template"]["spec"]["containers"][0]
}

#[test]
fn credentials_are_mounted_in_the_controller_alone() {
    let objects = all_of(&values("cloud: {authUrl: 'https://c:5000', username: u, password: hunter2, projectName: p}"));
    let secret = find(&objects, "Secret", "kuryr-cloud");
    let others: Vec<_> = objects.iter().filter(|object| object["kind"] != "Secret").collect();
    assert!(!serde_json::to_string(&others).unwrap().contains("hunter2"));
    assert!(secret["data"]["cloud.conf"].is_string());
    let uses =
        |name: &str, kind: &str| serde_json::to_string(find(&objects, kind, name)).unwrap().contains("kuryr-cloud");
    assert!(uses("kuryr-controller", "Deployment") && !uses("kuryr-cni", "DaemonSet"));
}

#[test]
fn the_daemon_has_two_capabilities_and_is_not_privileged() {
    let objects = all_of(&values(""));
    let security = &container(find(&objects, "DaemonSet", "kuryr-cni"))["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"], "add": ["NET_ADMIN", "SYS_ADMIN"] }));
    let security = &container(find(&objects, "Deployment", "kuryr-controller"))["securityContext"];
    assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }));
}

#[test]
fn both_start_before_there_is_any_network_and_are_the_last_to_go() {
    let objects = all_of(&values(""));
    for (kind, name, class) in [
        ("Deployment", "kuryr-controller", "system-cluster-critical"),
        ("DaemonSet", "kuryr-cni", "system-node-critical"),
    ] {
        let workload = find(&objects, kind, name);
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["hostNetwork"], true, "{name}");
        assert_eq!(pod["dnsPolicy"], "Default", "{name}: cluster DNS needs pods");
        assert_eq!(pod["priorityClassName"], class);
        let container = container(workload);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
        assert!(container["resources"]["requests"].is_object(), "{name}");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(container[probe]["httpGet"]["host"], "127.0.0.1", "{name}: {probe} without a port for others");
        }
        let tolerations = pod["tolerations"].as_array().unwrap();
        let tolerates = |key: &str| tolerations.iter().any(|it| it["key"].is_null() || it["key"] == key);
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/network-unavailable"] {
            assert!(tolerates(key), "{name}: {key}");
        }
        assert_eq!(kind == "DaemonSet", tolerates("anything.example.org/else"), "{name}");
    }
    let controller = &find(&objects, "Deployment", "kuryr-controller")["spec"]["template"]["spec"];
    assert_eq!(controller["securityContext"]["runAsNonRoot"], true);
    assert!(!controller["topologySpreadConstraints"].as_array().unwrap().is_empty());
    assert_eq!(find(&objects, "PodDisruptionBudget", "kuryr-controller")["spec"]["maxUnavailable"], 1);
}

#[test]
fn a_password_arrives_letter_by_letter() {
    for password in ["pa$$word ${x}", " blanks ", "\"quoted\"", "'", "#;=:", "äß"] {
        let cloud =
            json!({ "cloud": { "authUrl": "https://c", "username": "u", "password": password, "projectName": "p" } });
        let values = values(&cloud.to_string());
        let text = configuration::cloud_conf(&values.cloud);
        let conf = crate::conf::Conf::of(crate::conf::options::Reader::Controller, &[("cloud.conf", text)]).unwrap();
        let settings = conf.cloud().unwrap();
        let kuryr_openstack::Auth::Password { password: read, .. } = settings.auth else { panic!() };
        assert_eq!(read.expose(), password);
    }
}

#[test]
fn the_configuration_is_one_the_programs_take_without_a_word() {
    let values = values(
        "{network: {podSecurityGroups: [aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa, bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb], tags: [t]}, options: {kuryr: {concurrency: 7}, neutron_defaults: {ovs_bridge: br-x}}}",
    );
    let text = configuration::kuryr_conf(&values);
    let conf = crate::conf::Conf::of(crate::conf::options::Reader::Controller, &[("kuryr.conf", text)]).unwrap();
    assert_eq!((conf.check().len(), conf.warnings()), (0, &[][..]));
    let config = conf.controller(0).unwrap();
    assert_eq!(config.placement.pod_security_groups.len(), 2);
    assert_eq!((config.concurrency, config.ovs_bridge.as_deref()), (7, Some("br-x")));
}

#[test]
fn a_kuryr_conf_of_old_is_taken_as_it_is() {
    let old = "[DEFAULT]\n# mine\ndebug=true\n[cni_health_server]\nport = 1\n";
    let values = values(&json!({ "config": old }).to_string());
    let objects = all_of(&values);
    assert_eq!(find(&objects, "ConfigMap", "kuryr-config")["data"]["kuryr.conf"], old);
    // Its ports do not matter: the probes' own are in the environment, which wins.
    let container = container(find(&objects, "DaemonSet", "kuryr-cni"));
    assert_eq!(container["readinessProbe"]["httpGet"], json!({ "path": "/ready", "port": 8090, "host": "127.0.0.1" }));
    let env = container["env"].as_array().unwrap();
    assert!(env.contains(&json!({ "name": "OS_CNI_HEALTH_SERVER__PORT", "value": "8090" })));
}

#[test]
fn the_api_server_is_reached_without_the_service() {
    let conf = |values: &Values| {
        let map = all_of(values);
        find(&map, "ConfigMap", "kuryr-config")["data"]["kuryr.conf"].as_str().unwrap().to_owned()
    };
    assert!(conf(&values("apiServer: {host: 'fd00::5', port: 6444}")).contains("api_root = https://[fd00::5]:6444\n"));
    assert!(conf(&values("apiServer: {host: api.example.org}")).contains("api_root = https://api.example.org:6443\n"));
    assert!(conf(&values("")).contains("api_root = \"\"\n"), "the environment of the pod says it");
    // Who brings a whole kuryr.conf may have left it to the environment.
    let objects = all_of(&values("{config: '[kubernetes]', apiServer: {host: 'fd00::5', port: 6444}}"));
    for (kind, name) in [("Deployment", "kuryr-controller"), ("DaemonSet", "kuryr-cni")] {
        let env = container(find(&objects, kind, name))["env"].as_array().unwrap();
        for (variable, value) in [
            ("KUBERNETES_SERVICE_HOST", "fd00::5"),
            ("KUBERNETES_SERVICE_PORT", "6444"),
            ("KUBERNETES_SERVICE_PORT_HTTPS", "6444"),
        ] {
            assert!(env.contains(&json!({ "name": variable, "value": value })), "{kind}: {variable}");
        }
    }
}

#[test]
fn another_configuration_starts_pods_again_and_the_same_does_not() {
    let sum = |more: &str| {
        let objects = all_of(&values(more));
        let pod = &find(&objects, "DaemonSet", "kuryr-cni")["spec"]["template"];
        pod["metadata"]["annotations"]["kuryr.openstack.org/configuration"].as_str().unwrap().to_owned()
    };
    assert_eq!(sum(""), sum("controller: {replicas: 1}"));
    assert_ne!(sum(""), sum("log: {debug: true}"));
}

#[test]
fn what_is_off_is_not_there() {
    let objects = all_of(&values(
        "{controller: {replicas: 1, healthPort: 0}, admissionPolicy: {enabled: false}, crds: {install: false}, listenAddress: ''}",
    ));
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    for kind in ["PodDisruptionBudget", "ValidatingAdmissionPolicy", "CustomResourceDefinition", "Secret"] {
        assert!(!kinds.contains(&kind), "{kind}");
    }
    assert!(container(find(&objects, "Deployment", "kuryr-controller")).get("livenessProbe").is_none());
    assert!(container(find(&objects, "DaemonSet", "kuryr-cni"))["livenessProbe"]["httpGet"].get("host").is_none());
}
