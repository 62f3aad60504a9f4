//! DEL alone, and after restarts.

use super::*;

async fn added(world: &World) {
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
}

fn ovs_down() -> PlugError {
    PlugError::OvsUnavailable { address: "unix:/x".into(), reason: "connection refused".into() }
}

#[tokio::test(start_paused = true)]
async fn it_removes_everything_and_may_be_repeated() {
    let world = World::new();
    added(&world).await;
    for _ in 0..3 {
        world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
        assert!(world.script.wired().is_empty() && world.files().is_empty());
    }
    assert_eq!(world.script.log(), ["plug c1 port-of-u", "unplug c1 port-of-u netns"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_container_is_a_success_at_once() {
    let world = World::new();
    let begun = Instant::now();
    world.ask(&world.request("DEL", "never", "p", "u")).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_a_namespace_the_hosts_side_goes() {
    for netns in ["", "/nowhere"] {
        let world = World::new();
        added(&world).await;
        std::fs::remove_file(world.dir.path().join("netns-of-c1")).unwrap();
        let request = Request { netns: netns.into(), ..world.request("DEL", "c1", "p", "u") };
        std::fs::remove_file(world.dir.path().join("netns-of-c1")).unwrap();
        world.ask(&request).await.unwrap();
        assert_eq!(world.script.log()[1], "unplug c1 port-of-u gone");
    }
}

#[tokio::test(start_paused = true)]
async fn it_needs_neither_arguments_nor_prevresult_nor_the_api() {
    let world = World::new();
    added(&world).await;
    world.node.ports.forget(&key("p"));
    let mut request = world.request("DEL", "c1", "p", "u");
    request.args = String::new();
    request.config = json!({"cniVersion": "0.3.1", "name": "kuryr", "type": "kuryr-cni", "kuryr_conf": "/etc/kuryr/kuryr.conf",
        "debug": true, "prevResult": "damaged"});
    world.ask(&request).await.unwrap();
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_stays_on_record_for_the_next_try() {
    let world = World::new();
    added(&world).await;
    world.script.fail_unplug(ovs_down());
    let error = world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::REMOVAL);
    assert!(error.details.contains("connection refused"), "{error}");
    assert_eq!(world.files(), ["c1@eth0.json"]);
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert!(world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_forgets_nothing() {
    let world = World::new();
    added(&world).await;
    let world = world.restart(BOOT);
    assert_eq!(world.script.wired().len(), 1);
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_late_del_of_an_old_sandbox_leaves_the_new_one_alone_even_after_a_restart() {
    for restart in [false, true] {
        let mut world = World::new();
        added(&world).await;
        world.ask(&world.request("ADD", "c2", "p", "u")).await.unwrap();
        if restart {
            world = world.restart(BOOT);
        }
        world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
        assert_eq!(world.script.wired(), [("c2".into(), "port-of-u".into())], "restart: {restart}");
        world.ask(&world.request("DEL", "c2", "p", "u")).await.unwrap();
        assert!(world.script.wired().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_checkpoint_is_made_up_for_by_the_marks_on_the_devices() {
    let world = World::new();
    added(&world).await;
    std::fs::write(world.dir.path().join("state/c1@eth0.json"), "{\"version\": 1, \"cut").unwrap();
    let world = world.restart(BOOT);
    assert_eq!(world.files(), ["c1@eth0.damaged"]);
    crate::leftovers::sweep(&world.node).await.unwrap();
    assert_eq!(world.script.wired().len(), 1, "its pod keeps running");
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_kuryr_kubernetes_wired_is_removed_only_from_the_sandbox_that_has_it() {
    let tap = kuryr_api::names::tap_name("port-of-u");
    // The namespace holds the interface.
    let world = World::new();
    world.port("p", "u", |_| {});
    world.script.unmarked_device(&tap);
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert_eq!(world.script.log(), ["unplug c1 port-of-u netns"]);

    // It does not: a late DEL.
    let world = World::new();
    world.port("p", "u", |_| {});
    world.script.fail_check(Some(PlugError::Differs { ifname: "eth0".into(), difference: "it is gone".into() }));
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert!(world.script.log().is_empty());

    // Another sandbox lives, then none.
    let world = World::new();
    world.port("p", "u", |_| {});
    let request = Request { netns: String::new(), ..world.request("DEL", "c1", "p", "u") };
    world.script.unmarked_device(&tap);
    world.ask(&request).await.unwrap();
    assert!(world.script.log().is_empty());
    let world = World::new();
    world.port("p", "u", |_| {});
    world.ask(&request).await.unwrap();
    assert_eq!(world.script.log(), ["unplug c1 port-of-u gone"]);

    // Another pod of the same name.
    let world = World::new();
    world.port("p", "successor", |_| {});
    world.ask(&request).await.unwrap();
    assert!(world.script.log().is_empty());
}
