//! The plugger with a real Open vSwitch (datapath in user space), and the OVSDB client against a real server.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod kernel_world;

use std::time::Duration;

use kernel_world::*;
use kuryr_api::vif::VifKind;
use kuryr_node::ovsdb::{Ovsdb, OvsdbError};
use kuryr_node::plug::{PlugError, Plugger, Readiness, Settings};
use serde_json::json;

const TAP9: &str = "tap0f8b1c19-09";

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn pods_on_the_switch_talk_and_leave_nothing() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let before = devices();
        let (plugger, one, two) = (Plugger::new(ovs.settings()), Pod::new(), Pod::new());
        plugger.status().await.unwrap();
        let first = attachment("c1", &one, vec![with_ipv6(switch_vif(9), 9)]);
        let second = attachment("c2", &two, vec![with_ipv6(switch_vif(10), 10)]);
        plugger.plug(&first).await.unwrap();
        plugger.plug(&second).await.unwrap();

        let ids = ovs.get("Interface", TAP9, "external_ids");
        for pair in [
            "attached-mac=\"fa:16:3e:00:00:09\"",
            &format!("iface-id=\"{}\"", port_id(9)),
            "iface-status=active",
            "vm-uuid=uid-c1",
            "kuryr-container-id=c1",
            "kuryr-ifname=eth0",
            "kuryr-pod=\"default/web-0\"",
        ] {
            assert!(ids.contains(pair), "{pair} in {ids}");
        }
        assert_eq!(ovs.ports(), [TAP9, "tap0f8b1c1a-0a"]);
        assert_eq!(ovs.get("Bridge", "br-int", "datapath_type"), "netdev");

        one.ping("10.1.0.10");
        one.ping("fd00:1::a");
        // Ping survives unfinished checksums, TCP does not.
        one.talk_tcp(&two, "10.1.0.10".parse().unwrap());
        one.talk_tcp(&two, "fd00:1::a".parse().unwrap());
        plugger.check(&first).await.unwrap();

        for _ in 0..2 {
            plugger.unplug(&first, true).await.unwrap();
            plugger.unplug(&second, true).await.unwrap();
        }
        assert_eq!(ovs.ports(), [] as [&str; 0]);
        assert_eq!(ovs.vsctl(&["--columns=name", "--bare", "list", "Interface"]), "br-int");
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn hybrid_pods_talk_and_leave_nothing() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let before = devices();
        let (plugger, one, two) = (Plugger::new(ovs.settings()), Pod::new(), Pod::new());
        let hybrid = |n: u8| {
            let bridge = kuryr_api::names::hybrid_bridge_name(&port_id(n));
            vif(n, "ovs", VifKind::Bridge { bridge, interface_id: Some(port_id(n)) })
        };
        let first = attachment("c1", &one, vec![hybrid(9)]);
        let second = attachment("c2", &two, vec![hybrid(10)]);
        plugger.plug(&first).await.unwrap();
        // A repeat repairs whatever was left half-done.
        run("ip", &["link", "set", "qvb0f8b1c19-09", "nomaster"]);
        plugger.plug(&first).await.unwrap();
        plugger.plug(&second).await.unwrap();

        assert_eq!(ovs.ports(), ["qvo0f8b1c19-09", "qvo0f8b1c1a-0a"]);
        let ids = ovs.get("Interface", "qvo0f8b1c19-09", "external_ids");
        assert!(ids.contains(&port_id(9)), "{ids}");
        let qbr = ip(&["link", "show", "qbr0f8b1c19-09"])[0]["linkinfo"]["info_data"].clone();
        assert_eq!((&qbr["ageing_time"], &qbr["stp_state"], &qbr["forward_delay"]), (&0.into(), &0.into(), &0.into()));
        assert_eq!(qbr["mcast_snooping"], 0);
        assert_eq!(run("cat", &["/proc/sys/net/ipv6/conf/qbr0f8b1c19-09/disable_ipv6"]).trim(), "1");
        one.ping("10.1.0.10");
        one.talk_tcp(&two, "10.1.0.10".parse().unwrap());
        plugger.check(&first).await.unwrap();

        let owned: Vec<_> = plugger.owned().await.unwrap().into_iter().map(|device| device.host_ifname).collect();
        for name in ["qbr0f8b1c19-09", "qvb0f8b1c19-09", "qvo0f8b1c19-09", TAP9] {
            assert!(owned.iter().any(|owned| owned == name), "{name} in {owned:?}");
        }
        plugger.unplug(&first, true).await.unwrap();
        // The other one's namespace goes away without a DEL; its marks are all there is to go by.
        drop(two);
        // The kernel removes a namespace some time after its last user has gone.
        while has_device("tap0f8b1c1a-0a") {
            std::thread::yield_now();
        }
        let left = plugger.owned().await.unwrap();
        assert_eq!(left.len(), 3, "qbr, qvb, qvo: {left:?}");
        for device in left {
            assert!(!device.device, "{device:?}");
            plugger.remove(&device).await.unwrap();
        }
        assert_eq!(ovs.ports(), [] as [&str; 0]);
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn the_same_port_moves_to_a_new_sandbox() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let (plugger, other) = (Plugger::new(ovs.settings()), Pod::new());
        plugger.plug(&attachment("other", &other, vec![switch_vif(10)])).await.unwrap();
        let (old, new) = (Pod::new(), Pod::new());
        let first = attachment("c1", &old, vec![switch_vif(9)]);
        let second = attachment("c2", &new, vec![switch_vif(9)]);
        plugger.plug(&first).await.unwrap();
        old.ping("10.1.0.10");
        plugger.plug(&second).await.unwrap();
        new.ping("10.1.0.10");
        plugger.unplug(&first, true).await.unwrap();
        new.ping("10.1.0.10");
        plugger.check(&second).await.unwrap();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_port_taken_away_and_given_back_while_the_switch_is_busy_works() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let (plugger, other, pod) = (Plugger::new(ovs.settings()), Pod::new(), Pod::new());
        plugger.plug(&attachment("other", &other, vec![switch_vif(10)])).await.unwrap();
        let attachment = attachment("c1", &pod, vec![switch_vif(9)]);
        plugger.plug(&attachment).await.unwrap();
        ovs.signal_vswitchd("-STOP");
        plugger.unplug(&attachment, true).await.unwrap();
        let again = tokio::spawn({
            let plugger = plugger.clone();
            async move { plugger.plug(&attachment).await }
        });
        // It gets as far as it can: a plugger that does not wait has its new row in the database by now, and the switch
        // would see one change, of nothing.
        let next = tokio::time::timeout(Duration::from_millis(300), async {
            let database = Ovsdb::new(ovs.address().parse().unwrap());
            let _ = database.tables().wait_for(|tables| tables.interfaces.named(TAP9).is_some()).await;
        });
        assert!(next.await.is_err(), "the port is back although the switch has not let go of its device");
        ovs.signal_vswitchd("-CONT");
        again.await.unwrap().unwrap();
        pod.ping("10.1.0.10");
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_missing_integration_bridge_is_not_made() {
    on_a_host(|| async {
        let mut ovs = OpenVswitch::start_empty();
        ovs.start_vswitchd();
        let (before, plugger, pod) = (devices(), Plugger::new(ovs.settings()), Pod::new());
        let attachment = attachment("c1", &pod, vec![switch_vif(9)]);
        for error in [plugger.plug(&attachment).await.unwrap_err(), plugger.status().await.unwrap_err()] {
            assert!(matches!(&error, PlugError::BridgeMissing { bridge, .. } if bridge == "br-int"), "{error:?}");
        }
        assert_eq!(ovs.vsctl(&["list-br"]), "");
        assert_eq!(devices(), before);
        ovs.vsctl(&["add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev"]);
        plugger.plug(&attachment).await.unwrap();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_switch_that_does_not_answer_is_named_and_all_is_undone() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let before = devices();
        let deadline = Duration::from_millis(500);
        let (plugger, pod) = (Plugger::new(Settings { ovs_deadline: deadline, ..ovs.settings() }), Pod::new());
        let attachment = attachment("c1", &pod, vec![switch_vif(9)]);
        ovs.signal_vswitchd("-STOP");
        let error = plugger.plug(&attachment).await.unwrap_err();
        assert!(matches!(error, PlugError::Timeout { .. }), "{error:?}");
        assert!(error.to_string().contains("ovs-vswitchd taking up port"), "{error}");
        assert_eq!(ovs.vsctl(&["--columns=name", "--bare", "list", "Port"]), "br-int");
        assert_eq!(devices(), before);
        ovs.signal_vswitchd("-CONT");
        plugger.plug(&attachment).await.unwrap();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn without_a_database_plugging_fails_in_time_and_unplugging_does_what_it_can() {
    on_a_host(|| async {
        let mut ovs = OpenVswitch::start();
        let before = devices();
        let deadline = Duration::from_millis(500);
        let (plugger, pod, other) =
            (Plugger::new(Settings { ovs_deadline: deadline, ..ovs.settings() }), Pod::new(), Pod::new());
        let first = attachment("c1", &pod, vec![switch_vif(9)]);
        let second = attachment("c2", &other, vec![switch_vif(10)]);
        plugger.plug(&first).await.unwrap();
        ovs.stop_server();
        for error in [plugger.plug(&second).await.unwrap_err(), plugger.status().await.unwrap_err()] {
            assert!(matches!(error, PlugError::OvsUnavailable { .. }), "{error:?}");
            assert!(error.to_string().contains(&ovs.address()), "{error}");
        }
        let errors = plugger.unplug(&first, true).await.unwrap_err();
        assert!(matches!(errors.0.as_slice(), [PlugError::OvsUnavailable { .. }]), "{errors}");
        assert_eq!(devices(), before, "the devices are gone all the same");

        ovs.start_server();
        plugger.unplug(&first, false).await.unwrap();
        assert_eq!(ovs.ports(), [] as [&str; 0]);
        // Returns when ovs-vswitchd has found the server again as well.
        ovs.vsctl(&["set", "Open_vSwitch", ".", "external_ids:test=again"]);
        plugger.plug(&second).await.unwrap();
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn a_port_open_vswitch_cannot_use_is_reported_in_its_words() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        // Its name is taken by an interface of another port.
        ovs.vsctl(&["add-port", "br-int", "bond", "--", "set", "Interface", "bond", "type=internal"]);
        let uuid = ovs.get("Port", "bond", "_uuid");
        ovs.vsctl(&[
            "--id=@i",
            "create",
            "Interface",
            &format!("name={TAP9}"),
            "--",
            "add",
            "Port",
            &uuid,
            "interfaces",
            "@i",
        ]);
        let (before, plugger, pod) = (devices(), Plugger::new(ovs.settings()), Pod::new());
        let error = plugger.plug(&attachment("c1", &pod, vec![switch_vif(9)])).await.unwrap_err();
        assert!(matches!(error, PlugError::OvsPort { .. }), "{error:?}");
        assert!(error.to_string().contains("constraint violation"), "{error}");
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn readiness_is_what_ovn_says_and_unknown_without_it() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let (plugger, pod) = (Plugger::new(ovs.settings()), Pod::new());
        let vif = switch_vif(9);
        let attachment = attachment("c1", &pod, vec![vif.clone()]);
        plugger.plug(&attachment).await.unwrap();
        assert_eq!(plugger.wait_ready(&vif).await, Readiness::Unknown);

        ovs.vsctl(&["set", "Open_vSwitch", ".", "external_ids:ovn-remote=tcp:127.0.0.1:6642"]);
        Ovsdb::new(ovs.address().parse().unwrap()).connected().await;
        let waiting = tokio::spawn({
            let (plugger, vif) = (plugger.clone(), vif.clone());
            async move { plugger.wait_ready(&vif).await }
        });
        ovs.vsctl(&["set", "Interface", TAP9, "external_ids:ovn-installed=true"]);
        assert_eq!(waiting.await.unwrap(), Readiness::Ready);
        plugger.unplug(&attachment, true).await.unwrap();
        assert_eq!(plugger.wait_ready(&vif).await, Readiness::Gone);
        assert_eq!(plugger.wait_ready(&bridge_vif(10)).await, Readiness::Unknown);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn ports_whose_device_vanished_are_still_known() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let (plugger, pod) = (Plugger::new(ovs.settings()), Pod::new());
        let attachment = attachment("c1", &pod, vec![switch_vif(9)]);
        plugger.plug(&attachment).await.unwrap();
        run("ip", &["link", "del", TAP9]);
        let owned = plugger.owned().await.unwrap();
        assert_eq!(owned.len(), 1);
        assert_eq!((owned[0].device, owned[0].switch_port), (false, true));
        assert_eq!((owned[0].container_id.as_str(), &owned[0].port_id), ("c1", &port_id(9)));
        plugger.unplug(&attachment, false).await.unwrap();
        assert_eq!(plugger.owned().await.unwrap(), []);
    });
}

#[test]
#[ignore = "needs root and Open vSwitch; run by cargo xtask test"]
fn thirty_pods_at_once_on_the_switch() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start();
        let (before, plugger) = (devices(), Plugger::new(ovs.settings()));
        let pods: Vec<Pod> = (0..30).map(|_| Pod::new()).collect();
        let attachments: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(n, pod)| {
                let mut vif = switch_vif(u8::try_from(n).unwrap() + 2);
                vif.id = format!("{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f");
                vif.vif_name = format!("tap{}", &vif.id[..11]);
                attachment(&format!("c{n}"), pod, vec![vif])
            })
            .collect();
        for plugged in futures::future::join_all(attachments.iter().map(|attachment| plugger.plug(attachment))).await {
            plugged.unwrap();
        }
        pods[0].ping("10.1.0.31");
        assert_eq!(ovs.ports().len(), 30);
        let unplugs = attachments.iter().map(|attachment| plugger.unplug(attachment, true));
        for unplugged in futures::future::join_all(unplugs).await {
            unplugged.unwrap();
        }
        assert_eq!(ovs.ports().len(), 0);
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs Open vSwitch; run by cargo xtask test"]
fn the_client_survives_a_restart_of_the_server() {
    on_a_host(|| async {
        let mut ovs = OpenVswitch::start_empty();
        let client = Ovsdb::new(ovs.address().parse().unwrap());
        let count = || vec![json!({"op": "select", "table": "Bridge", "where": [], "columns": ["name"]})];
        assert_eq!(client.transact(count()).await.unwrap()[0]["rows"], json!([]));
        ovs.stop_server();
        client.tables().wait_for(|tables| tables.outage.is_some()).await.unwrap();
        let waiting = tokio::spawn({
            let (client, operations) = (client.clone(), count());
            async move { client.transact(operations).await }
        });
        // A caller that gave up: its transaction must not be carried out afterwards.
        let late =
            json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 100]]});
        let given_up = tokio::time::timeout(Duration::from_millis(1), client.transact(vec![late])).await;
        assert!(given_up.is_err());
        ovs.start_server();
        assert_eq!(waiting.await.unwrap().unwrap()[0]["rows"], json!([]));
        assert!(ovs.get("Open_vSwitch", ".", "next_cfg").parse::<u32>().unwrap() < 100);
        ovs.vsctl(&["--no-wait", "add-br", "br-new"]);
        client.tables().wait_for(|tables| tables.bridges.named("br-new").is_some()).await.unwrap();
    });
}

#[test]
#[ignore = "needs Open vSwitch; run by cargo xtask test"]
fn a_refused_transaction_changes_nothing_and_says_why() {
    on_a_host(|| async {
        let ovs = OpenVswitch::start_empty();
        let client = Ovsdb::new(ovs.address().parse().unwrap());
        let operations = vec![
            json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 100]]}),
            json!({"op": "insert", "table": "Nonsense", "row": {}}),
        ];
        let error = client.transact(operations).await.unwrap_err();
        assert!(matches!(error, OvsdbError::Refused { operation: 1, .. }), "{error:?}");
        assert!(error.to_string().contains("Nonsense"), "{error}");
        assert!(ovs.get("Open_vSwitch", ".", "next_cfg").parse::<u32>().unwrap() < 100);
    });
}
