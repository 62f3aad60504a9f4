//! Golden plans.

use kuryr_api::vif::{Network, Route as HostRoute};

use super::*;
use crate::plug::PodRef;

const PORT: &str = "0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f";

/// A native Open vSwitch VIF with one IPv4 subnet.
pub(crate) fn switch_vif(id: &str) -> Vif {
    Vif {
        id: id.to_owned(),
        address: Some("FA:16:3E:00:00:01".to_owned()),
        network: Network { id: "net".to_owned(), mtu: Some(1442), subnets: vec![subnet_v4()], ..Network::default() },
        plugin: "ovs".to_owned(),
        active: true,
        has_traffic_filtering: true,
        vif_name: String::new(),
        kind: VifKind::OpenVSwitch { bridge: "br-int".to_owned(), interface_id: id.to_owned() },
    }
}

fn subnet_v4() -> Subnet {
    Subnet {
        cidr: "10.1.0.0/24".to_owned(),
        dns: vec!["10.1.0.2".to_owned()],
        gateway: Some([10, 1, 0, 1].into()),
        ips: vec![[10, 1, 0, 9].into()],
        routes: Vec::new(),
    }
}

fn subnet_v6() -> Subnet {
    Subnet {
        cidr: "fd00:1::/64".to_owned(),
        dns: vec!["10.1.0.2".to_owned(), "fd00:1::53".to_owned()],
        gateway: "fd00:1::1".parse().ok(),
        ips: vec!["fd00:1::9".parse().unwrap()],
        routes: Vec::new(),
    }
}

fn attachment(vif: Vif, main: bool) -> Attachment {
    Attachment {
        container_id: "c0ffee".to_owned(),
        netns: "/run/netns/x".into(),
        pod: PodRef { uid: "uid1".to_owned(), namespace: "ns".to_owned(), name: "web-0".to_owned() },
        interfaces: vec![Interface { ifname: "eth0".to_owned(), main, vif }],
    }
}

fn planned(vif: Vif, main: bool, circumstances: Circumstances<'_>) -> Result<Plan, PlugError> {
    let attachment = attachment(vif, main);
    plan(&attachment, &attachment.interfaces[0], circumstances)
}

#[track_caller]
fn pod_side(vif: Vif, main: bool) -> String {
    let plan = planned(vif, main, Circumstances::default()).unwrap();
    plan.pod.iter().map(|step| format!("{step}\n")).collect()
}

#[test]
fn native_switch_port() {
    let circumstances = Circumstances { userspace_datapath: true, ..Circumstances::default() };
    let plan = planned(switch_vif(PORT), true, circumstances).unwrap();
    insta::assert_snapshot!(plan.to_string(), @r#"
    host    veth tap0f8b1c1c-1a – eth0 in the pod, mac fa:16:3e:00:00:01, mtu 1442
    host    mark tap0f8b1c1c-1a "kuryr c0ffee 0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f eth0"
    switch  add port tap0f8b1c1c-1a to br-int attached-mac=fa:16:3e:00:00:01 iface-id=0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f iface-status=active vm-uuid=uid1 kuryr-pod=ns/web-0 kuryr-container-id=c0ffee kuryr-ifname=eth0
    pod     sysctl ipv6/conf/eth0/accept_ra = 0
    pod     finish checksums
    pod     up
    pod     address 10.1.0.9/24
    pod     route 0.0.0.0/0 via 10.1.0.1, unless there is one
    "#);
}

#[test]
fn linux_bridge_with_both_families() {
    let mut vif = switch_vif(PORT);
    vif.plugin = "linux_bridge".to_owned();
    vif.kind = VifKind::Bridge { bridge: "brq12345678-9a".to_owned(), interface_id: None };
    vif.network.subnets.push(subnet_v6());
    let plan = planned(vif, true, Circumstances { mtu_cap: Some(1400), ..Circumstances::default() }).unwrap();
    insta::assert_snapshot!(plan.to_string(), @r#"
    host    require bridge brq12345678-9a
    host    veth tap0f8b1c1c-1a – eth0 in the pod, mac fa:16:3e:00:00:01, mtu 1400
    host    mark tap0f8b1c1c-1a "kuryr c0ffee 0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f eth0", port of brq12345678-9a
    pod     sysctl ipv6/conf/eth0/accept_ra = 0
    pod     sysctl ipv6/conf/all/disable_ipv6 = 0
    pod     sysctl ipv6/conf/eth0/disable_ipv6 = 0
    pod     sysctl ipv6/conf/eth0/accept_dad = 0
    pod     up
    pod     address 10.1.0.9/24
    pod     address fd00:1::9/64
    pod     route 0.0.0.0/0 via 10.1.0.1, unless there is one
    pod     route ::/0 via fd00:1::1, unless there is one
    "#);
    assert_eq!(plan.result.dns, ["10.1.0.2", "fd00:1::53"]);
}

#[test]
fn hybrid() {
    let mut vif = switch_vif(PORT);
    vif.network.bridge = Some("br-int".to_owned());
    vif.kind = VifKind::Bridge { bridge: "qbr0f8b1c1c-1a".to_owned(), interface_id: Some("iface".to_owned()) };
    let plan = planned(vif, true, Circumstances::default()).unwrap();
    let text = plan.to_string();
    let outside: Vec<&str> = text.lines().filter(|line| !line.starts_with("pod")).collect();
    insta::assert_snapshot!(outside.join("\n"), @r#"
    host    veth tap0f8b1c1c-1a – eth0 in the pod, mac fa:16:3e:00:00:01, mtu 1442
    host    own bridge qbr0f8b1c1c-1a
    host    mark tap0f8b1c1c-1a "kuryr c0ffee 0f8b1c1c-1a2b-4c3d-8e4f-5a6b7c8d9e0f eth0", port of qbr0f8b1c1c-1a
    host    join qbr0f8b1c1c-1a by veth qvb0f8b1c1c-1a – qvo0f8b1c1c-1a, mtu 1442
    switch  add port qvo0f8b1c1c-1a to br-int attached-mac=fa:16:3e:00:00:01 iface-id=iface iface-status=active vm-uuid=uid1 kuryr-pod=ns/web-0 kuryr-container-id=c0ffee kuryr-ifname=eth0
    "#);
}

#[test]
fn an_additional_interface_has_host_routes_but_no_default_route() {
    let mut vif = switch_vif(PORT);
    vif.network.subnets[0].routes = vec![
        HostRoute { cidr: "192.0.2.7/24".to_owned(), gateway: Some("10.1.0.254".to_owned()) },
        HostRoute { cidr: "0.0.0.0/0".to_owned(), gateway: Some("10.1.0.254".to_owned()) },
    ];
    insta::assert_snapshot!(pod_side(vif, false), @r"
    sysctl ipv6/conf/eth0/accept_ra = 0
    up
    address 10.1.0.9/24
    route 192.0.2.0/24 via 10.1.0.254
    ");
}

#[test]
fn a_host_route_for_everything_replaces_the_gateway() {
    let mut vif = switch_vif(PORT);
    vif.network.subnets[0].routes =
        vec![HostRoute { cidr: "0.0.0.0/0".to_owned(), gateway: Some("10.1.0.254".to_owned()) }];
    insta::assert_snapshot!(pod_side(vif, true), @r"
    sysctl ipv6/conf/eth0/accept_ra = 0
    up
    address 10.1.0.9/24
    route 0.0.0.0/0 via 10.1.0.254, unless there is one
    ");
}

#[test]
fn gateways_outside_the_subnet_missing_ones_and_link_local_ones() {
    let mut vif = switch_vif(PORT);
    vif.network.subnets[0].gateway = Some([192, 0, 2, 1].into());
    vif.network.subnets.push(Subnet { gateway: "fe80::1".parse().ok(), ..subnet_v6() });
    insta::assert_snapshot!(pod_side(vif.clone(), true), @r"
    sysctl ipv6/conf/eth0/accept_ra = 0
    sysctl ipv6/conf/all/disable_ipv6 = 0
    sysctl ipv6/conf/eth0/disable_ipv6 = 0
    sysctl ipv6/conf/eth0/accept_dad = 0
    up
    address 10.1.0.9/24
    address fd00:1::9/64
    route 0.0.0.0/0 via 192.0.2.1 onlink, unless there is one
    route ::/0 via fe80::1, unless there is one
    ");
    for subnet in &mut vif.network.subnets {
        subnet.gateway = None;
    }
    assert!(!pod_side(vif, true).contains("route"));
}

#[test]
fn what_cannot_be_wired_is_refused_before_anything_is_touched() {
    type Spoil = fn(&mut Vif);
    let spoilt: [(&str, Spoil); 8] = [
        ("no MAC address", |vif| vif.address = None),
        ("no MAC address", |vif| vif.address = Some("01:00:5e:00:00:01".to_owned())),
        ("no CIDR", |vif| vif.network.subnets[0].cidr = "10.1.0.0".to_owned()),
        ("family", |vif| vif.network.subnets[0].ips.push("fd00::1".parse().unwrap())),
        ("cannot be the name", |vif| vif.vif_name = "../all".to_owned()),
        ("cannot be the name", |vif| vif.vif_name = "tap-with-a-long-name".to_owned()),
        ("other family", |vif| {
            vif.network.subnets[0].routes =
                vec![HostRoute { cidr: "192.0.2.0/24".to_owned(), gateway: Some("fe80::1".to_owned()) }];
        }),
        ("no address", |vif| {
            vif.network.subnets[0].routes =
                vec![HostRoute { cidr: "192.0.2.0/24".to_owned(), gateway: Some("gw".to_owned()) }];
        }),
    ];
    for (words, spoil) in spoilt {
        let mut vif = switch_vif(PORT);
        spoil(&mut vif);
        let error = planned(vif, true, Circumstances::default()).unwrap_err();
        assert!(matches!(error, PlugError::InvalidVif { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn other_classes_are_not_supported_yet() {
    let mut vif = switch_vif(PORT);
    vif.kind = VifKind::Other {
        class: "VIFVlanNested".to_owned(),
        version: "1.0".to_owned(),
        data: serde_json::Map::default(),
    };
    let error = planned(vif, true, Circumstances::default()).unwrap_err();
    assert!(matches!(error, PlugError::Unsupported { .. }));
    assert!(error.to_string().contains("VIFVlanNested"));
}
