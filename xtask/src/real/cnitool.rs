//! The reference CNI tool against a running daemon: a pod whose kubelet is paused, so that only cnitool wires it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::world::{World, eventually, text};

const NODE: &str = "h2";
const NETWORK: &str = "kuryr-cnitool";
const NETNS: &str = "/run/netns/cnitool";

pub(super) fn verbs(world: &World) -> Result<String> {
    world.on_node(NODE, &["mkdir", "-p", "/run/cnitool/net.d"])?;
    // A network of another name than kubelet's: GC of the one must not touch the other.
    let network = json!({"cniVersion": "1.1.0", "name": NETWORK, "plugins": [{"type": "kuryr-cni"}]});
    let write = format!("cat >/run/cnitool/net.d/10.conflist <<'E'\n{network}\nE\nip netns add cnitool");
    world.on_node(NODE, &["sh", "-ec", &write])?;
    let kubelet = Paused::new(world)?;
    let result = wired_by_cnitool(world);
    let unplugged = world.kubectl(&["delete", "pod", "cnitool", "--force", "--grace-period=0", "--wait=false"]);
    drop(kubelet);
    world.on_node(NODE, &["sh", "-c", "ip netns del cnitool; rm -rf /run/cnitool"])?;
    let seen = result?;
    unplugged?;
    Ok(seen)
}

fn wired_by_cnitool(world: &World) -> Result<String> {
    let mut pod = World::pod("cnitool", "cnitool", None);
    pod["spec"]["nodeName"] = json!(NODE);
    world.create(&pod)?;
    let uid = text(&world.get(&["pod", "cnitool"])?["metadata"]["uid"]).to_owned();
    let arguments = format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=cnitool;K8S_POD_UID={uid}");
    let cnitool = |verb: &str| {
        let tool = world.kube_bin.join("cnitool");
        let (path, args) = ("CNI_PATH=/opt/cni/bin", format!("CNI_ARGS={arguments}"));
        let tool = tool.display().to_string();
        let command =
            ["env", path, &args, "NETCONFPATH=/run/cnitool/net.d", "CNI_IFNAME=eth0", &tool, verb, NETWORK, NETNS];
        world.on_node(NODE, &command).with_context(|| format!("cnitool {verb}"))
    };
    cnitool("status")?;
    let added: Value = serde_json::from_str(&cnitool("add")?).context("the result of add is not JSON")?;
    let address = text(&added["ips"][0]["address"]).split('/').next().unwrap_or_default().to_owned();
    ensure!(address.starts_with("10.20."), "add gave {added}");
    cnitool("check")?;
    // Wired for real: the machine reaches it through Neutron's router.
    eventually("the namespace answers a ping", Duration::from_secs(10), || {
        let ping = std::process::Command::new("ping").args(["-n", "-c", "1", "-W", "1", &address]).output()?;
        Ok(ping.status.success().then_some(()))
    })?;
    // CHECK must see damage.
    world.on_node(NODE, &["ip", "-n", "cnitool", "addr", "flush", "dev", "eth0"])?;
    ensure!(cnitool("check").is_err(), "check finds nothing wrong with an interface that lost its address");
    cnitool("del")?;
    let links = world.on_node(NODE, &["ip", "-n", "cnitool", "-o", "link"])?;
    ensure!(!links.contains("eth0"), "after del there is still {links}");
    cnitool("del").context("del again")?;
    // A GC as containerd sends it: the plugin itself finds what is not on the list, and leaves what is.
    let added = cnitool("add").context("add for the plugin's gc")?;
    let container = container_id(world)?;
    let gc = |valid: &Value| {
        let network =
            json!({"cniVersion": "1.1.0", "name": NETWORK, "type": "kuryr-cni", "cni.dev/valid-attachments": valid});
        let run = format!("echo '{network}' | CNI_COMMAND=GC CNI_PATH=/opt/cni/bin /opt/cni/bin/kuryr-cni");
        world.on_node(NODE, &["sh", "-ec", &run]).context("kuryr-cni GC")
    };
    gc(&json!([{"containerID": container, "ifname": "eth0"}]))?;
    cnitool("check").with_context(|| format!("after a gc that lists it; add said {added}"))?;
    gc(&json!([]))?;
    let links = world.on_node(NODE, &["ip", "-n", "cnitool", "-o", "link"])?;
    ensure!(!links.contains("eth0"), "after gc there is still {links}");
    cnitool("del").context("del after gc")?;
    // cnitool's gc knows of no valid attachment: libcni sends DEL for what it remembers, then a GC without a list.
    cnitool("add").context("add for gc")?;
    cnitool("gc")?;
    let links = world.on_node(NODE, &["ip", "-n", "cnitool", "-o", "link"])?;
    ensure!(!links.contains("eth0"), "after cnitool gc there is still {links}");
    Ok(format!("{address}: added, checked, damage seen, deleted twice, collected"))
}

/// The container id that cnitool makes up: ten bytes of the SHA-512 of the namespace's path.
fn container_id(world: &World) -> Result<String> {
    let sum = world.on_node(NODE, &["sh", "-c", &format!("printf %s {NETNS} | sha512sum")])?;
    Ok(format!("cnitool-{}", sum.get(..20).context("sha512sum said nothing")?))
}

/// A node's kubelet, stopped until this is dropped; the node stays Ready for the 40 s of its lease.
struct Paused(String);

impl Paused {
    fn new(world: &World) -> Result<Self> {
        let record = std::fs::read_to_string(world.state().join(format!("run/{NODE}-kubelet.pid")))?;
        let pid = record.split(' ').next().context("an empty record")?.to_owned();
        signal("STOP", &pid)?;
        Ok(Self(pid))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Err(error) = signal("CONT", &self.0) {
            eprintln!("{NODE}'s kubelet stays paused: {error:#}");
        }
    }
}

fn signal(name: &str, pid: &str) -> Result<()> {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), pid]).status()?;
    ensure!(status.success(), "kill -{name} {pid}: {status}");
    Ok(())
}
