//! The plugger in the kernel, without Open vSwitch: Linux bridges, addresses, routes, and everything that can be wrong.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod kernel_world;

use std::path::PathBuf;

use kernel_world::*;
use kuryr_api::vif::Route;
use kuryr_node::plug::{PlugError, Plugger};

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn a_bridged_pod_gets_what_neutron_says() {
    on_a_host(|| async {
        make_brq();
        let (plugger, pod, other) = (Plugger::new(no_switch()), Pod::new(), Pod::new());
        let attachment = attachment("c1", &pod, vec![with_ipv6(bridge_vif(9), 9)]);
        let plugged = plugger.plug(&attachment).await.unwrap();

        let link = pod.link("eth0");
        assert_eq!(link["address"], "fa:16:3e:00:00:09");
        assert_eq!(link["mtu"], 1442);
        assert!(link["flags"].as_array().unwrap().contains(&"UP".into()));
        assert_eq!(link["linkinfo"]["info_kind"], "veth");
        assert_eq!(pod.addresses("eth0"), ["10.1.0.9/24", "fd00:1::9/64"]);
        assert_eq!(pod.routes("-4"), ["default via 10.1.0.1"]);
        assert_eq!(pod.routes("-6"), ["default via fd00:1::1"]);
        assert_eq!(pod.sysctl("ipv6/conf/eth0/accept_ra"), "0");
        assert_eq!(pod.sysctl("ipv6/conf/eth0/accept_dad"), "0");

        let tap = ip(&["link", "show", "tap0f8b1c19-09"])[0].clone();
        assert_eq!(tap["master"], "brq-test");
        assert_eq!(tap["mtu"], 1442);
        assert_eq!(tap["ifalias"], format!("kuryr c1 {} eth0", port_id(9)));

        let interface = &plugged.interfaces[0];
        assert_eq!(interface.host_ifname, "tap0f8b1c19-09");
        assert_eq!(interface.host_mac, tap["address"].as_str().unwrap());
        assert_eq!(interface.mac, "fa:16:3e:00:00:09");
        let addresses: Vec<_> = interface.addresses.iter().map(|(address, _)| address.to_string()).collect();
        assert_eq!(addresses, pod.addresses("eth0"));

        plugger.plug(&kernel_world::attachment("c2", &other, vec![with_ipv6(bridge_vif(10), 10)])).await.unwrap();
        pod.ping("10.1.0.10");
        pod.ping("fd00:1::a");
        plugger.check(&attachment).await.unwrap();
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn neighbours_learn_at_once_who_has_an_address_now() {
    on_a_host(|| async {
        make_brq();
        run("ip", &["address", "add", "10.1.0.1/24", "dev", "brq-test"]);
        run("ip", &["address", "add", "fd00:1::1/64", "dev", "brq-test", "nodad"]);
        // The router's hardware address stays when ports come and go.
        run("ip", &["link", "set", "brq-test", "address", "fa:16:3e:00:00:01"]);
        let (plugger, earlier, later, bystander) = (Plugger::new(no_switch()), Pod::new(), Pod::new(), Pod::new());
        // A bridge without ports has no carrier, and forgets its neighbours.
        plugger.plug(&attachment("c0", &bystander, vec![bridge_vif(11)])).await.unwrap();
        let known = |address: &str| ip(&["neigh", "show", "to", address])[0]["lladdr"].clone();
        let before = attachment("c1", &earlier, vec![with_ipv6(bridge_vif(9), 9)]);
        plugger.plug(&before).await.unwrap();
        earlier.ping("10.1.0.1");
        earlier.ping("fd00:1::1");
        assert_eq!((known("10.1.0.9"), known("fd00:1::9")), ("fa:16:3e:00:00:09".into(), "fa:16:3e:00:00:09".into()));
        plugger.unplug(&before, true).await.unwrap();

        let mut same_addresses = with_ipv6(bridge_vif(9), 9);
        same_addresses.id = port_id(10);
        same_addresses.address = Some("fa:16:3e:00:00:0a".to_owned());
        let after = attachment("c2", &later, vec![same_addresses]);
        plugger.plug(&after).await.unwrap();
        assert_eq!(known("10.1.0.9"), "fa:16:3e:00:00:09", "the router still sends to who had it before");
        plugger.announce(&after);
        for address in ["10.1.0.9", "fd00:1::9"] {
            let learned = std::time::Instant::now() + std::time::Duration::from_secs(10);
            while known(address) != "fa:16:3e:00:00:0a" {
                assert!(std::time::Instant::now() < learned, "{address} is sent to {}", known(address));
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn unplugging_leaves_nothing_and_can_be_repeated() {
    on_a_host(|| async {
        make_brq();
        let before = devices();
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        let attachment = attachment("c1", &pod, vec![bridge_vif(9), bridge_vif(10)]);
        plugger.plug(&attachment).await.unwrap();
        assert_ne!(devices(), before);
        for _ in 0..2 {
            plugger.unplug(&attachment, true).await.unwrap();
            assert_eq!(devices(), before);
        }
        assert_eq!(pod.ip(&["link"]).as_array().unwrap().len(), 1, "only lo");

        plugger.plug(&attachment).await.unwrap();
        drop(pod);
        plugger.unplug(&attachment, false).await.unwrap();
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn an_interface_of_others_is_refused_and_left_alone() {
    on_a_host(|| async {
        make_brq();
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        pod.run(&["ip", "link", "add", "eth0", "type", "bridge"]);
        let (theirs, before) = (pod.link("eth0"), devices());
        let attachment = attachment("c1", &pod, vec![bridge_vif(9)]);
        let error = plugger.plug(&attachment).await.unwrap_err();
        assert!(matches!(&error, PlugError::Exists { ifname } if ifname == "eth0"), "{error}");
        assert_eq!(pod.link("eth0"), theirs);
        assert_eq!(devices(), before);
        plugger.unplug(&attachment, true).await.unwrap();
        assert_eq!(pod.link("eth0"), theirs);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn a_failure_undoes_the_interfaces_before_it() {
    on_a_host(|| async {
        make_brq();
        let (before, plugger, pod) = (devices(), Plugger::new(no_switch()), Pod::new());
        pod.run(&["ip", "link", "add", "eth1", "type", "bridge"]);
        let attachment = attachment("c1", &pod, vec![bridge_vif(9), bridge_vif(10)]);
        let error = plugger.plug(&attachment).await.unwrap_err();
        assert!(matches!(&error, PlugError::Exists { ifname } if ifname == "eth1"), "{error}");
        assert_eq!(devices(), before);
        let left: Vec<_> = pod.ip(&["link"]).as_array().unwrap().iter().map(|link| link["ifname"].clone()).collect();
        assert_eq!(left, ["lo", "eth1"]);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn the_kernels_own_words_reach_the_error_and_all_is_undone() {
    on_a_host(|| async {
        make_brq();
        let (before, plugger, pod) = (devices(), Plugger::new(no_switch()), Pod::new());
        let mut vif = bridge_vif(9);
        // The broadcast address cannot be a next hop.
        vif.network.subnets[0].routes =
            vec![Route { cidr: "192.0.2.0/24".to_owned(), gateway: Some("10.1.0.255".to_owned()) }];
        let error = plugger.plug(&attachment("c1", &pod, vec![vif])).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, PlugError::Kernel { .. }), "{error:?}");
        assert!(text.contains("add route 192.0.2.0/24 via 10.1.0.255: Nexthop has invalid gateway"), "{text}");
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn a_missing_bridge_is_named_and_nothing_is_made() {
    on_a_host(|| async {
        let (before, plugger, pod) = (devices(), Plugger::new(no_switch()), Pod::new());
        let attachment = attachment("c1", &pod, vec![bridge_vif(9)]);
        let error = plugger.plug(&attachment).await.unwrap_err();
        assert!(matches!(&error, PlugError::BridgeMissing { bridge, .. } if bridge == "brq-test"), "{error}");
        assert_eq!(devices(), before);
        make_brq();
        plugger.plug(&attachment).await.unwrap();
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn only_network_namespaces_of_others_are_entered() {
    on_a_host(|| async {
        make_brq();
        let (before, plugger, pod) = (devices(), Plugger::new(no_switch()), Pod::new());
        let own = format!("/proc/self/task/{}/ns/net", rustix::thread::gettid().as_raw_nonzero());
        let wrong = [
            ("", "does not exist"),
            ("/nonexistent/netns", "does not exist"),
            ("/etc/passwd", "is not a network namespace"),
            ("/proc/self/ns/mnt", "is not a network namespace"),
            (own.as_str(), "own network namespace"),
        ];
        for (path, reason) in wrong {
            let mut attachment = attachment("c1", &pod, vec![bridge_vif(9)]);
            attachment.netns = PathBuf::from(path);
            let error = plugger.plug(&attachment).await.unwrap_err();
            assert!(matches!(error, PlugError::NetnsInvalid { .. }), "{path}: {error:?}");
            assert!(error.to_string().contains(reason), "{path}: {error}");
            assert_eq!(devices(), before, "{path}");
        }
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn a_repeat_clears_what_an_earlier_attempt_left() {
    on_a_host(|| async {
        make_brq();
        let (plugger, pod, next) = (Plugger::new(no_switch()), Pod::new(), Pod::new());
        // Same sandbox again, as after a crash of the daemon.
        let first = attachment("c1", &pod, vec![bridge_vif(9)]);
        plugger.plug(&first).await.unwrap();
        plugger.plug(&first).await.unwrap();
        plugger.check(&first).await.unwrap();
        // A new sandbox for the same port.
        let second = attachment("c2", &next, vec![bridge_vif(9)]);
        plugger.plug(&second).await.unwrap();
        plugger.check(&second).await.unwrap();
        assert!(plugger.check(&first).await.is_err());
        // The late DEL of the old one.
        plugger.unplug(&first, true).await.unwrap();
        plugger.check(&second).await.unwrap();
        plugger.unplug(&second, true).await.unwrap();
        assert!(!has_device("tap0f8b1c19-09"));
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn a_device_of_another_kind_under_our_name_is_not_deleted() {
    on_a_host(|| async {
        make_brq();
        run("ip", &["link", "add", "tap0f8b1c19-09", "type", "bridge"]);
        let (before, plugger, pod) = (devices(), Plugger::new(no_switch()), Pod::new());
        let attachment = attachment("c1", &pod, vec![bridge_vif(9)]);
        let error = plugger.plug(&attachment).await.unwrap_err();
        assert!(error.to_string().contains("another device named tap0f8b1c19-09"), "{error}");
        plugger.unplug(&attachment, true).await.unwrap();
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn check_names_the_difference() {
    on_a_host(|| async {
        make_brq();
        let spoilt: [(&[&str], &str); 6] = [
            (&["ip", "link", "set", "eth0", "address", "02:00:00:00:00:01"], "MAC address is 02:00:00:00:00:01"),
            (&["ip", "route", "del", "default"], "route to 0.0.0.0/0 is gone"),
            (&["ip", "address", "del", "10.1.0.9/24", "dev", "eth0"], "address 10.1.0.9/24 is gone"),
            (&["ip", "route", "del", "192.0.2.0/24"], "route to 192.0.2.0/24 is gone"),
            (&["ip", "link", "set", "eth0", "down"], "it is down"),
            (&["ip", "link", "del", "eth0"], "host end tap0f8b1c19-09 is gone"),
        ];
        for (command, difference) in spoilt {
            let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
            let mut vif = bridge_vif(9);
            vif.network.subnets[0].routes =
                vec![Route { cidr: "192.0.2.0/24".to_owned(), gateway: Some("10.1.0.2".to_owned()) }];
            let attachment = attachment("c1", &pod, vec![vif]);
            plugger.plug(&attachment).await.unwrap();
            plugger.check(&attachment).await.unwrap();
            // Plugins after us in the chain may do such things.
            pod.run(&["ip", "link", "set", "eth0", "mtu", "1300"]);
            pod.run(&["ip", "route", "replace", "default", "via", "10.1.0.3"]);
            plugger.check(&attachment).await.unwrap();
            pod.run(command);
            let error = plugger.check(&attachment).await.unwrap_err();
            assert!(matches!(error, PlugError::Differs { .. }), "{error:?}");
            assert!(error.to_string().contains(difference), "{error}");
            plugger.unplug(&attachment, true).await.unwrap();
        }
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        let attachment = attachment("c1", &pod, vec![bridge_vif(9)]);
        plugger.plug(&attachment).await.unwrap();
        run("ip", &["link", "set", "tap0f8b1c19-09", "nomaster"]);
        let error = plugger.check(&attachment).await.unwrap_err();
        assert!(error.to_string().contains("not a port of bridge brq-test"), "{error}");
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn ipv6_is_switched_on_and_usable_at_once() {
    on_a_host(|| async {
        make_brq();
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        pod.run(&[
            "sh",
            "-c",
            "echo 1 | tee /proc/sys/net/ipv6/conf/all/disable_ipv6 /proc/sys/net/ipv6/conf/default/disable_ipv6",
        ]);
        plugger.plug(&attachment("c1", &pod, vec![with_ipv6(bridge_vif(9), 9)])).await.unwrap();
        let answer = pod.ip(&["-6", "address", "show", "eth0"]);
        for info in answer[0]["addr_info"].as_array().unwrap() {
            assert!(info["tentative"].is_null() && info["dadfailed"].is_null(), "{info}");
        }
        assert_eq!(pod.addresses("eth0"), ["10.1.0.9/24", "fd00:1::9/64"]);
        assert_eq!(pod.sysctl("ipv6/conf/all/disable_ipv6"), "0");
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn gateways_off_the_subnet_additional_interfaces_and_routes_that_are_there() {
    on_a_host(|| async {
        make_brq();
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        let mut main = with_ipv6(bridge_vif(9), 9);
        main.network.subnets[0].gateway = Some([192, 0, 2, 1].into());
        main.network.subnets[1].gateway = "fe80::1".parse().ok();
        let mut second = bridge_vif(10);
        second.network.subnets[0].cidr = "10.2.0.0/24".to_owned();
        second.network.subnets[0].ips = vec![[10, 2, 0, 9].into()];
        second.network.subnets[0].routes =
            vec![Route { cidr: "198.51.100.0/24".to_owned(), gateway: Some("10.2.0.7".to_owned()) }];
        let attachment = attachment("c1", &pod, vec![main, second]);
        plugger.plug(&attachment).await.unwrap();
        assert_eq!(pod.routes("-4"), ["default via 192.0.2.1 onlink", "198.51.100.0/24 via 10.2.0.7"]);
        assert_eq!(pod.routes("-6"), ["default via fe80::1"]);
        plugger.check(&attachment).await.unwrap();
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn marked_devices_are_listed_and_others_are_not() {
    on_a_host(|| async {
        make_brq();
        run("ip", &["link", "set", "brq-test", "alias", "somebody's bridge"]);
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        assert_eq!(plugger.owned().await.unwrap(), []);
        plugger.plug(&attachment("c1", &pod, vec![bridge_vif(9)])).await.unwrap();
        let owned = plugger.owned().await.unwrap();
        assert_eq!(owned.len(), 1);
        let device = &owned[0];
        assert_eq!((device.container_id.as_str(), device.ifname.as_str()), ("c1", "eth0"));
        assert_eq!((device.host_ifname.as_str(), &device.port_id), ("tap0f8b1c19-09", &port_id(9)));
        assert_eq!((device.device, device.switch_port), (true, false));
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn thirty_pods_at_once() {
    on_a_host(|| async {
        make_brq();
        let (before, plugger) = (devices(), Plugger::new(no_switch()));
        let pods: Vec<Pod> = (0..30).map(|_| Pod::new()).collect();
        let attachments: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(n, pod)| {
                let mut vif = bridge_vif(u8::try_from(n).unwrap() + 2);
                vif.id = format!("{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f");
                vif.vif_name = format!("tap{}", &vif.id[..11]);
                attachment(&format!("c{n}"), pod, vec![vif])
            })
            .collect();
        let plugs = attachments.iter().map(|attachment| plugger.plug(attachment));
        for plugged in futures::future::join_all(plugs).await {
            plugged.unwrap();
        }
        assert_eq!(plugger.owned().await.unwrap().len(), 30);
        pods[0].ping("10.1.0.31");
        let unplugs = attachments.iter().map(|attachment| plugger.unplug(attachment, true));
        for unplugged in futures::future::join_all(unplugs).await {
            unplugged.unwrap();
        }
        assert_eq!(devices(), before);
    });
}

#[test]
#[ignore = "needs root; run by cargo xtask test"]
fn settings_are_written_where_proc_sys_is_read_only_as_in_containers() {
    on_a_host(|| async {
        make_brq();
        make_proc_sys_read_only();
        let refused = std::fs::write("/proc/sys/net/ipv6/conf/lo/accept_ra", "0").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        let (plugger, pod) = (Plugger::new(no_switch()), Pod::new());
        plugger.plug(&attachment("c1", &pod, vec![with_ipv6(bridge_vif(9), 9)])).await.unwrap();
        assert_eq!(pod.sysctl("ipv6/conf/eth0/accept_ra"), "0");
        assert_eq!(pod.sysctl("ipv6/conf/eth0/accept_dad"), "0");
        assert_eq!(run("cat", &["/proc/sys/net/ipv6/conf/brq-test/accept_dad"]).trim(), "1", "the host's are its own");
    });
}
