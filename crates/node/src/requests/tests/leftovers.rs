//! What the sweep finds.

use super::*;
use crate::leftovers::sweep;

async fn added(world: &World) {
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
}

fn remove_netns(world: &World) {
    std::fs::remove_file(world.dir.path().join("netns-of-c1")).unwrap();
}

/// The namespace ends, and with it the pair of devices; the switch keeps its port.
fn remove_device(world: &World) {
    world.script.edit(|wired| wired.iter_mut().for_each(|device| device.device = false));
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_is_left_alone_even_if_namespaces_cannot_be_seen() {
    let world = World::new();
    added(&world).await;
    let world = world.restart(BOOT);
    sweep(&world.node).await.unwrap();
    assert_eq!(world.script.wired().len(), 1);
    // As when the mount of the namespaces is missing in the daemon's container.
    remove_netns(&world);
    sweep(&world.node).await.unwrap();
    assert_eq!((world.script.wired().len(), world.files().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_container_without_namespace_and_device_is_over() {
    let world = World::new();
    added(&world).await;
    remove_device(&world);
    sweep(&world.node).await.unwrap();
    assert_eq!(world.files().len(), 1, "the namespace is still there");
    remove_netns(&world);
    sweep(&world.node).await.unwrap();
    assert_eq!(world.script.log()[1], "unplug c1 port-of-u gone");
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn records_of_an_earlier_boot_are_over() {
    let world = World::new();
    added(&world).await;
    let world = world.restart("boot-2");
    sweep(&world.node).await.unwrap();
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_switch_port_nobody_has_goes() {
    let world = World::new();
    world.script.edit(|wired| {
        for (port_id, device) in [("dead", false), ("alive", true)] {
            wired.push(OwnedDevice {
                container_id: "lost".into(),
                host_ifname: format!("tap-{port_id}"),
                port_id: port_id.into(),
                ifname: "eth0".into(),
                device,
                switch_port: true,
            });
        }
    });
    sweep(&world.node).await.unwrap();
    assert_eq!(world.script.wired(), [("lost".into(), "alive".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again() {
    let world = World::new();
    added(&world).await;
    let world = world.restart("boot-2");
    world.script.fail_unplug(PlugError::Kernel { op: "delete".into(), reason: "busy".into() });
    sweep(&world.node).await.unwrap();
    assert_eq!(world.files().len(), 1);
    sweep(&world.node).await.unwrap();
    assert!(world.files().is_empty());
}
