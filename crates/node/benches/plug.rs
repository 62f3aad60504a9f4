//! How much the plugger adds to the operations it consists of (SPECIFICATION.md: at most 1.3 times).
//!
//! `cargo xtask bench add-bare`, or `cargo bench -p kuryr-node --bench plug [-- PODS]`, as root, with Open vSwitch installed. Both sides make the same
//! requests of the same kernel and the same Open vSwitch, in turns; *bare* issues them one after the other from one
//! thread, its OVSDB messages written by hand.

#![allow(clippy::expect_used, reason = "a benchmark stops where its ground gives way")]

#[path = "../tests/kernel_world/mod.rs"]
mod kernel_world;

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kernel_world::*;
use kuryr_node::kernel::rtnetlink::{LinkChange, Route, Rtnetlink, Veth, VethEnd};
use kuryr_node::kernel::{ethtool, sysctl};
use kuryr_node::plug::{Attachment, Plugger};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

fn main() {
    // `cargo bench` passes `--bench`; `cargo test --benches` does not, and then one round shows that it works.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = arguments.iter().find_map(|argument| argument.parse().ok());
    let measured = arguments.iter().any(|argument| argument == "--bench");
    let short = arguments.iter().any(|argument| argument == "--short");
    let rounds = given.unwrap_or(match (measured, short) {
        (true, false) => 100,
        (true, true) => 10,
        (false, _) => 1,
    });
    on_a_host(move || async move {
        let ovs = OpenVswitch::start();
        let plugger = Plugger::new(ovs.settings());
        plugger.status().await.expect("Open vSwitch");
        let mut bare = Bare::connect(&ovs);
        let (mut with_plugger, mut without) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let (one, two) = (Pod::new(), Pod::new());
            let (ours, theirs) = (numbered(2 * round, &one), numbered(2 * round + 1, &two));
            let begin = Instant::now();
            plugger.plug(&ours).await.expect("plug");
            with_plugger.push(begin.elapsed());
            let begin = Instant::now();
            bare.plug(&theirs, &two);
            without.push(begin.elapsed());
            plugger.unplug(&ours, true).await.expect("unplug");
            bare.unplug(&theirs);
        }
        println!("ADD on Open vSwitch, one pod at a time, {rounds} pods:");
        let (plugger_p50, bare_p50) = (report("plugger", with_plugger), report("bare", without));
        let (ours, theirs) = (plugger_p50.as_secs_f64() * 1e3, bare_p50.as_secs_f64() * 1e3);
        println!(
            "measured add-bare {:.2} × {ours:.2} ms against {theirs:.2} ms, medians of {rounds} pods",
            ours / theirs
        );

        let pods: Vec<Pod> = (0..rounds).map(|_| Pod::new()).collect();
        let attachments: Vec<_> = pods.iter().enumerate().map(|(n, pod)| numbered(1000 + n, pod)).collect();
        let begin = Instant::now();
        let plugs = attachments.iter().map(|attachment| async {
            plugger.plug(attachment).await.expect("plug");
            begin.elapsed()
        });
        let times = futures::future::join_all(plugs).await;
        println!("ADD of {rounds} pods at once, since their common beginning:");
        report("plugger", times);
        for attachment in &attachments {
            plugger.unplug(attachment, true).await.expect("unplug");
        }
    });
}

fn report(name: &str, mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let ms = |percent| at(percent).as_secs_f64() * 1e3;
    println!("  {name:8} p10 {:6.2} ms  p50 {:6.2} ms  p99 {:6.2} ms", ms(10), ms(50), ms(99));
    at(50)
}

fn numbered(n: usize, pod: &Pod) -> Attachment {
    let mut vif = switch_vif(9);
    vif.id = format!("{n:08x}-1a2b-4c3d-8e4f-5a6b7c8d9e0f");
    vif.kind = kuryr_api::vif::VifKind::OpenVSwitch { bridge: "br-int".to_owned(), interface_id: vif.id.clone() };
    vif.vif_name = format!("tap{}", &vif.id[..11]);
    attachment(&format!("c{n}"), pod, vec![vif])
}

/// The same operations with nothing around them.
struct Bare {
    host: Rtnetlink,
    home: std::fs::File,
    ovsdb: UnixStream,
    buffer: Vec<u8>,
}

impl Bare {
    fn connect(ovs: &OpenVswitch) -> Self {
        let ovsdb = UnixStream::connect(ovs.address().trim_start_matches("unix:")).expect("ovsdb-server");
        let home = std::fs::File::open("/proc/thread-self/ns/net").expect("own namespace");
        let mut this = Self { host: Rtnetlink::open().expect("netlink"), home, ovsdb, buffer: vec![0; 1 << 20] };
        let monitor = r#"{"method":"monitor","params":["Open_vSwitch","bare",{"Interface":{"columns":["name","ofport","error"]}}],"id":0}"#;
        this.ovsdb.write_all(monitor.as_bytes()).expect("monitor");
        this.read_until("\"id\":0");
        this
    }

    fn plug(&mut self, attachment: &Attachment, pod: &Pod) {
        let vif = &attachment.interfaces[0].vif;
        let tap = vif.vif_name.as_str();
        let netns = std::fs::File::open(pod.path()).expect("namespace");
        let end = VethEnd { name: tap, mac: None };
        let peer = VethEnd { name: "eth0", mac: Some([0xfa, 0x16, 0x3e, 0, 0, 9]) };
        let veth = Veth { end, peer, peer_netns: Some(netns.as_fd()), mtu: 1442 };
        self.host.add_veth(&veth).expect("veth");
        let alias = format!("bare {}", vif.id);
        self.host.change_link(tap, &LinkChange { alias: Some(&alias), ..LinkChange::default() }).expect("alias");
        let transaction = format!(
            r#"{{"method":"transact","params":["Open_vSwitch",{{"op":"insert","table":"Interface","uuid-name":"i","row":{{"name":"{tap}","external_ids":["map",[["iface-id","{id}"],["iface-status","active"],["attached-mac","fa:16:3e:00:00:09"],["vm-uuid","uid"]]]}}}},{{"op":"insert","table":"Port","uuid-name":"p","row":{{"name":"{tap}","interfaces":["named-uuid","i"]}}}},{{"op":"mutate","table":"Bridge","where":[["name","==","br-int"]],"mutations":[["ports","insert",["set",[["named-uuid","p"]]]]]}}],"id":1}}"#,
            id = vif.id
        );
        self.ovsdb.write_all(transaction.as_bytes()).expect("transact");
        self.read_until(&format!("\"name\":\"{tap}\",\"ofport\":"));

        enter(&netns);
        let mut inside = Rtnetlink::open().expect("netlink");
        sysctl::write("ipv6/conf/eth0/accept_ra", "0").expect("sysctl");
        let index = inside.link("eth0").expect("eth0").expect("eth0").index;
        ethtool::disable_tx_checksum(index).expect("offload");
        enter(&self.home);
        inside.change_link("eth0", &LinkChange { up: true, ..LinkChange::default() }).expect("up");
        inside.add_address(index, "10.1.0.9/24".parse().expect("address")).expect("address");
        let default = Route {
            destination: "0.0.0.0/0".parse().expect("destination"),
            gateway: Some([10, 1, 0, 1].into()),
            onlink: false,
        };
        inside.add_route(index, &default, true).expect("route");
    }

    fn unplug(&mut self, attachment: &Attachment) {
        let tap = &attachment.interfaces[0].vif.vif_name;
        let ask = format!(
            r#"{{"method":"transact","params":["Open_vSwitch",{{"op":"select","table":"Port","where":[["name","==","{tap}"]],"columns":["_uuid"]}}],"id":2}}"#
        );
        self.ovsdb.write_all(ask.as_bytes()).expect("select");
        let answer = self.read_until("\"id\":2");
        let uuid = answer.rsplit("[\"uuid\",\"").next().and_then(|rest| rest.split('"').next()).expect("uuid");
        let delete = format!(
            r#"{{"method":"transact","params":["Open_vSwitch",{{"op":"mutate","table":"Bridge","where":[],"mutations":[["ports","delete",["set",[["uuid","{uuid}"]]]]]}}],"id":3}}"#
        );
        self.ovsdb.write_all(delete.as_bytes()).expect("delete");
        self.read_until("\"id\":3");
        let link = self.host.link(tap).expect("tap").expect("tap");
        self.host.delete_link(&link).expect("delete");
    }

    /// Reads until some text has come. What an interface's row says last is its OpenFlow port, a bare number.
    fn read_until(&mut self, text: &str) -> String {
        let mut received = String::new();
        loop {
            let length = self.ovsdb.read(&mut self.buffer).expect("ovsdb-server");
            assert!(length > 0, "ovsdb-server closed the connection");
            received.push_str(&String::from_utf8_lossy(&self.buffer[..length]));
            let numbered = |at: usize| !received[at + text.len()..].starts_with("[\"set\"");
            if received.match_indices(text).any(|(at, _)| at + text.len() < received.len() && numbered(at)) {
                return received;
            }
            if received.ends_with(text)
                || received.contains(&format!("{text},"))
                || received.contains(&format!("{text}}}"))
            {
                return received;
            }
        }
    }
}

fn enter(netns: &std::fs::File) {
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
}
