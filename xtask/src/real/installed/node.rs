//! What the daemon puts on a node, deleted and damaged by hand; and what it takes away while it cannot serve.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::super::pods::{all_answer, one};
use super::super::world::{World, eventually, succeeded};
use super::{NODES, ready_nodes, with_kuryr};
use crate::executables;

const PATIENCE: Duration = Duration::from_secs(60);

/// The plugin deleted on one node and damaged on the other: both repaired. Open vSwitch away: the conflist goes, and comes back with it.
pub(in super::super) fn repaired(world: &World) -> Result<String> {
    with_kuryr(world, || {
        let pod = one(world, "repaired", Some(NODES[0]))?;
        let plugin = fs::read(executables::build()?.plugin)?;
        let file = |node: &str, path: &str| -> PathBuf { world.state().join("nodes").join(node).join(path) };
        let whole = |node: &str| fs::read(file(node, "opt/cni/bin/kuryr-cni")).is_ok_and(|there| there == plugin);
        ensure!(NODES.iter().all(|node| whole(node)), "the plugins are not those of the image");
        let begun = Instant::now();
        fs::remove_file(file(NODES[0], "opt/cni/bin/kuryr-cni"))?;
        fs::write(file(NODES[1], "opt/cni/bin/damaged"), b"not a program")?;
        fs::rename(file(NODES[1], "opt/cni/bin/damaged"), file(NODES[1], "opt/cni/bin/kuryr-cni"))?;
        eventually("plugins as they were", PATIENCE, || Ok(NODES.iter().all(|node| whole(node)).then_some(())))?;
        let repaired = begun.elapsed().as_secs_f64();

        // The daemon's way to Open vSwitch is this socket's name.
        let socket = world.state().join("chassis").join(NODES[0]).join("db.sock");
        let (away, conflist) = (socket.with_extension("away"), file(NODES[0], "etc/cni/net.d/10-kuryr.conflist"));
        ensure!(conflist.exists(), "there is no conflist on {}", NODES[0]);
        fs::rename(&socket, &away).with_context(|| socket.display().to_string())?;
        // Connections that are open need no name; the server drops them, and none can be made anew.
        let control = socket.with_file_name("ovsdb.ctl");
        let dropped = Command::new("ovs-appctl").arg("-t").arg(control).arg("ovsdb-server/reconnect").output();
        let begun = Instant::now();
        let withdrawn =
            eventually("no conflist while Open vSwitch is away", PATIENCE, || Ok((!conflist.exists()).then_some(())));
        let gone = begun.elapsed().as_secs_f64();
        fs::rename(&away, &socket).with_context(|| away.display().to_string())?;
        succeeded(dropped?, "ovs-appctl ovsdb-server/reconnect")?;
        withdrawn?;
        eventually("the conflist is back", PATIENCE, || Ok(conflist.exists().then_some(())))?;
        eventually(
            "both nodes Ready again",
            PATIENCE,
            || Ok((ready_nodes(world)?.len() == NODES.len()).then_some(())),
        )?;
        // ovn-controller and Open vSwitch lost their database, too, and take a moment to agree again.
        eventually("the pod answers as before", PATIENCE, || {
            Ok(all_answer(slice::from_ref(&pod)).is_ok().then_some(()))
        })?;
        world.delete("repaired")?;
        Ok(format!("plugins whole after {repaired:.0} s; conflist withdrawn after {gone:.0} s and back"))
    })
}
