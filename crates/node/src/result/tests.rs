use serde_json::json;

use super::*;
use crate::plug::{PluggedInterface, PluggedRoute};

fn dual_stack() -> CniResult {
    let route = |destination: &str, gateway: Option<&str>| PluggedRoute {
        destination: destination.parse().unwrap(),
        gateway: gateway.map(|gateway| gateway.parse().unwrap()),
    };
    let address = |address: &str, gateway: Option<&str>| {
        (address.parse().unwrap(), gateway.map(|gateway| gateway.parse().unwrap()))
    };
    let eth0 = PluggedInterface {
        ifname: "eth0".into(),
        host_ifname: "tap0".into(),
        host_mac: "02:00:00:00:00:01".into(),
        mac: "fa:16:3e:00:00:01".into(),
        mtu: 1442,
        addresses: vec![
            address("10.0.0.5/24", Some("10.0.0.1")),
            address("10.0.0.6/24", Some("10.0.0.1")),
            address("fd00::5/64", Some("fd00::1")),
        ],
        routes: vec![
            route("0.0.0.0/0", Some("10.0.0.1")),
            route("10.1.0.0/16", Some("10.0.0.126")),
            route("::/0", Some("fd00::1")),
        ],
        dns: vec!["8.8.8.8".into(), "8.8.4.4".into()],
    };
    let eth1 = PluggedInterface {
        ifname: "eth1".into(),
        host_ifname: "tap1".into(),
        host_mac: "02:00:00:00:00:02".into(),
        mac: "fa:16:3e:00:00:02".into(),
        mtu: 1500,
        addresses: vec![address("192.0.2.9/28", None)],
        routes: vec![],
        dns: vec!["8.8.8.8".into()],
    };
    CniResult::of(&Plugged { interfaces: vec![eth0, eth1] }, Path::new("/run/netns/a"))
}

#[test]
fn version_1_1_0_has_everything() {
    insta::assert_json_snapshot!(dual_stack().to_value("1.1.0"));
}

#[test]
fn version_1_0_0_has_no_mtu() {
    insta::assert_json_snapshot!(dual_stack().to_value("1.0.0"));
}

#[test]
fn versions_0_3_0_to_0_4_0_have_a_version_in_each_address() {
    let newest = dual_stack().to_value("0.4.0");
    insta::assert_json_snapshot!(newest);
    for version in ["0.3.0", "0.3.1"] {
        let mut expected = newest.clone();
        expected["cniVersion"] = json!(version);
        assert_eq!(dual_stack().to_value(version), expected);
    }
}

#[test]
fn versions_0_1_0_and_0_2_0_have_one_address_of_each_family() {
    let newest = dual_stack().to_value("0.2.0");
    insta::assert_json_snapshot!(newest);
    let mut expected = newest;
    expected["cniVersion"] = json!("0.1.0");
    assert_eq!(dual_stack().to_value("0.1.0"), expected);
}

#[test]
fn addresses_have_prefixes_valid_interfaces_and_gateways_only_where_there_is_one() {
    let value = dual_stack().to_value("1.1.0");
    let interfaces = value["interfaces"].as_array().unwrap();
    for ip in value["ips"].as_array().unwrap() {
        assert!(ip["address"].as_str().unwrap().contains('/'));
        let interface = &interfaces[usize::try_from(ip["interface"].as_u64().unwrap()).unwrap()];
        assert_eq!(interface["sandbox"], "/run/netns/a", "addresses live in the pod");
        assert_eq!(ip.get("gateway").is_some(), interface["name"] == "eth0");
    }
    let host_side: Vec<&Value> = interfaces.iter().filter(|interface| interface.get("sandbox").is_none()).collect();
    assert_eq!(host_side.len(), 2);
}

#[test]
fn empty_lists_are_left_out() {
    let value = CniResult::default().to_value("1.1.0");
    assert_eq!(value, json!({"cniVersion": "1.1.0", "interfaces": [], "ips": []}));
}

#[test]
fn every_version_reads_back_what_it_can_say() {
    for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let value = dual_stack().to_value(version);
        let read = CniResult::parse(&value, "0.1.0").unwrap();
        assert_eq!(read.to_value(version), value, "{version}");
    }
    let old = dual_stack().to_value("0.2.0");
    let read = CniResult::parse(&old, "1.1.0").unwrap();
    assert_eq!(read.to_value("0.2.0"), old);
    assert_eq!(read.to_value("1.0.0")["ips"][1], json!({"address": "fd00::5/64", "gateway": "fd00::1"}));
}

#[test]
fn members_of_1_1_0_survive_a_chain() {
    let previous = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{"name": "net0", "mac": "00:00:00:00:00:01", "sandbox": "/n", "socketPath": "/s", "pciID": "0000:00:1f.6", "mtu": 9000}],
        "ips": [],
        "routes": [{"dst": "10.0.0.0/8", "gw": "10.0.0.1", "mtu": 1400, "advmss": 1360, "priority": 5, "table": 100, "scope": 0}],
        "dns": {"nameservers": ["1.1.1.1"], "search": ["example.org"]},
    });
    let read = CniResult::parse(&previous, "1.1.0").unwrap();
    assert_eq!(read.to_value("1.1.0"), previous);
    let older = read.to_value("1.0.0");
    assert_eq!(older["interfaces"][0], json!({"name": "net0", "mac": "00:00:00:00:00:01", "sandbox": "/n"}));
    assert_eq!(older["routes"][0], json!({"dst": "10.0.0.0/8", "gw": "10.0.0.1"}));
}

#[test]
fn a_damaged_prevresult_is_named() {
    for (value, expected) in [
        (json!("text"), "is not an object"),
        (json!({"cniVersion": "9.9.9"}), "9.9.9"),
        (json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1"}]}), "prefix length"),
        (json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/8", "gateway": "x"}]}), "gateway \"x\""),
        (json!({"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.1/8", "interface": 3}]}), "interface 3"),
        (json!({"cniVersion": "1.1.0", "interfaces": [{}]}), "without name"),
    ] {
        let error = CniResult::parse(&value, "1.1.0").unwrap_err();
        assert_eq!(error.code, code::CONFIGURATION);
        assert!(error.msg.contains(expected), "{error}");
    }
}
