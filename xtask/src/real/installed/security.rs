//! What the kernel says Kuryr's processes may do.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{Component, NODES, World, components};

/// CAP_NET_ADMIN and CAP_SYS_ADMIN (capability.h).
const DAEMON: u64 = 1 << 12 | 1 << 21;

/// Whether controllers and daemons run with what is promised, and no more.
pub(super) fn as_promised(world: &World) -> Result<String> {
    let (controllers, daemons) = (components(world, "controller")?, components(world, "node")?);
    ensure!(!controllers.is_empty() && daemons.len() == NODES.len(), "{} daemons run", daemons.len());
    for controller in &controllers {
        let status = Status::of(controller)?;
        ensure!(status.uid == 65532, "{} runs as {}", controller.name, status.uid);
        ensure!(status.bounding == 0, "{} could have capabilities {:x}", controller.name, status.bounding);
        status.confined(controller)?;
    }
    for daemon in &daemons {
        let status = Status::of(daemon)?;
        ensure!(status.bounding == DAEMON, "{} may have capabilities {:x}", daemon.name, status.bounding);
        ensure!(status.effective == DAEMON, "{} has capabilities {:x}", daemon.name, status.effective);
        status.confined(daemon)?;
    }
    Ok(format!("{} controllers without capabilities, {} daemons with two", controllers.len(), daemons.len()))
}

/// What proc_pid_status(5) and proc_pid_mountinfo(5) tell.
struct Status {
    uid: u32,
    effective: u64,
    bounding: u64,
    seccomp: u8,
    no_new_privileges: bool,
    root: String,
}

impl Status {
    fn of(component: &Component) -> Result<Self> {
        let pid = component.pid;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context(component.name.clone())?;
        let field = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.split_whitespace().next()).with_context(|| format!("no {name} of {pid}"))
        };
        let bits = |name: &str| u64::from_str_radix(field(name)?, 16).context(name.to_owned());
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
        let root =
            mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| fields.get(4) == Some(&"/"));
        Ok(Self {
            uid: field("Uid")?.parse()?,
            effective: bits("CapEff")?,
            bounding: bits("CapBnd")?,
            seccomp: field("Seccomp")?.parse()?,
            no_new_privileges: field("NoNewPrivs")? == "1",
            root: root
                .and_then(|fields| fields.get(5).map(|options| (*options).to_owned()))
                .context("no root mount")?,
        })
    }

    fn confined(&self, component: &Component) -> Result<()> {
        let name = &component.name;
        ensure!(self.seccomp == 2, "{name} has no seccomp filter");
        ensure!(self.root.split(',').any(|option| option == "ro"), "{name} can write to its root: {}", self.root);
        // Who is not privileged and has no capability to gain needs no new privileges either.
        ensure!(self.no_new_privileges || self.bounding != 0, "{name} could gain privileges");
        Ok(())
    }
}
