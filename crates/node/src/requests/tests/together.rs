//! Requests that meet.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_del_ends_the_running_add() {
    let world = World::new();
    world.pod("p", "u");
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    let begun = Instant::now();
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let error = add.await.unwrap().unwrap_err();
    assert!(error.msg.contains("DEL"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_del_in_the_middle_of_the_wiring_waits_for_it_and_then_removes_it() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.script.plug_takes(Duration::from_millis(100));
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    let _ = add.await.unwrap();
    assert_eq!(world.script.log(), ["plug c1 port-of-u", "unplug c1 port-of-u netns"]);
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_add_nobody_waits_for_is_undone() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (add, signal) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    assert_eq!(world.script.wired().len(), 1);
    signal.stop(Stop::Abandoned);
    add.await.unwrap().unwrap_err();
    assert!(world.script.wired().is_empty() && world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_newer_sandbox_of_the_pod_ends_the_add_of_the_older() {
    let world = World::new();
    world.pod("p", "u");
    let (old, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    let (new, _) = world.begin(world.request("ADD", "c2", "p", "u"));
    let error = old.await.unwrap().unwrap_err();
    assert!(error.msg.contains("newer sandbox"), "{error}");
    world.port("p", "u", |_| {});
    new.await.unwrap().unwrap();
    assert_eq!(world.script.wired(), [("c2".into(), "port-of-u".into())]);
    assert_eq!(world.files(), ["c2@eth0.json"]);
}

#[tokio::test(start_paused = true)]
async fn an_older_add_caught_wiring_gives_way_without_harm() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.script.plug_takes(Duration::from_millis(100));
    let (old, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    let (new, _) = world.begin(world.request("ADD", "c2", "p", "u"));
    let _ = old.await.unwrap();
    new.await.unwrap().unwrap();
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert_eq!(world.script.wired(), [("c2".into(), "port-of-u".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_late_del_waits_until_the_newer_sandbox_has_the_port_and_then_leaves_it_alone() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    world.script.plug_takes(Duration::from_millis(100));
    let (new, _) = world.begin(world.request("ADD", "c2", "p", "u"));
    // Wired, but the old record still names the port.
    tokio::time::sleep(Duration::from_millis(75)).await;
    assert_eq!((world.script.wired().len(), world.files().len()), (1, 2));
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    new.await.unwrap().unwrap();
    assert_eq!(world.script.wired(), [("c2".into(), "port-of-u".into())]);
}

#[tokio::test(start_paused = true)]
async fn an_add_that_fails_in_a_newer_sandbox_leaves_the_older_one_alone() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    world.script.fail_plug(PlugError::NetnsInvalid { path: "/x".into(), reason: "does not exist".into() });
    world.ask(&world.request("ADD", "c2", "p", "u")).await.unwrap_err();
    assert_eq!(world.files(), ["c1@eth0.json"]);
    world.ask(&world.request("DEL", "c2", "p", "u")).await.unwrap();
    assert_eq!(world.script.wired(), [("c1".into(), "port-of-u".into())]);
}

#[tokio::test(start_paused = true)]
async fn waiting_adds_hold_nobody_up() {
    let world = World::new();
    for n in 0..100 {
        world.pod(&format!("w{n}"), "u");
        world.begin(world.request("ADD", &format!("w{n}"), &format!("w{n}"), "u"));
    }
    world.settle().await;
    world.port("p", "u", |_| {});
    let begun = Instant::now();
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn different_containers_are_wired_at_the_same_time() {
    let world = World::new();
    world.script.plug_takes(Duration::from_millis(100));
    let begun = Instant::now();
    let adds: Vec<_> = (0..30)
        .map(|n| {
            world.port(&format!("p{n}"), &format!("u{n}"), |_| {});
            world.begin(world.request("ADD", &format!("c{n}"), &format!("p{n}"), &format!("u{n}"))).0
        })
        .collect();
    for add in adds {
        add.await.unwrap().unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::from_millis(100));
    assert_eq!((world.script.wired().len(), world.files().len()), (30, 30));
}

#[tokio::test(start_paused = true)]
async fn a_repeated_add_is_refused_and_changes_nothing() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    assert_eq!(world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err().code, code::EXISTS);
    assert_eq!(world.script.log(), ["plug c1 port-of-u"]);
}

fn two_interfaces(port: &mut Value) {
    port["status"]["vifs"]["net1"] = json!({"default": false, "vif": vif("second", true)});
}

#[tokio::test(start_paused = true)]
async fn two_interface_names_of_one_container_are_two_attachments() {
    let world = World::new();
    world.port("p", "u", two_interfaces);
    let eth0 = world.request("ADD", "c1", "p", "u");
    let net1 = Request { ifname: "net1".into(), ..eth0.clone() };
    world.ask(&net1).await.unwrap();
    let result = world.ask(&eth0).await.unwrap();
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    assert_eq!(world.files(), ["c1@eth0.json", "c1@net1.json"]);
    assert_eq!(world.script.log(), ["plug c1 second", "plug c1 port-of-u"]);

    world.ask(&Request { command: "DEL".into(), ..net1 }).await.unwrap();
    assert_eq!(world.script.wired(), [("c1".into(), "port-of-u".into())], "D11: the other stays");
    world.ask(&Request { command: "DEL".into(), ..eth0 }).await.unwrap();
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_port_is_wired_into_a_container_only_once() {
    let world = World::new();
    world.port("p", "u", two_interfaces);
    let eth0 = world.request("ADD", "c1", "p", "u");
    world.ask(&eth0).await.unwrap();
    assert_eq!(world.script.log(), ["plug c1 port-of-u second"], "all interfaces come with the main one");
    for ifname in ["net1", "other"] {
        let again = Request { ifname: ifname.into(), ..eth0.clone() };
        assert_eq!(world.ask(&again).await.unwrap_err().code, code::EXISTS, "{ifname}");
    }
    world.ask(&Request { command: "DEL".into(), ifname: "other".into(), ..eth0 }).await.unwrap();
    assert_eq!(world.script.wired().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_daemon_ends_waiting_adds() {
    let world = World::new();
    world.pod("p", "u");
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    world.node.running.stop_all(Stop::ShuttingDown);
    assert_eq!(add.await.unwrap().unwrap_err().code, code::TRY_LATER);
}

// ---- a daemon that ends with requests in hand ---------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn an_add_stopped_by_the_end_of_the_daemon_is_undone_and_the_next_daemon_makes_it() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (add, signal) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    assert_eq!(world.script.wired().len(), 1);
    signal.stop(Stop::ShuttingDown);
    assert_eq!(add.await.unwrap().unwrap_err().code, code::TRY_LATER);
    assert!(world.script.wired().is_empty() && world.files().is_empty());

    let world = world.restart(BOOT);
    world.port("p", "u", |_| {});
    let request = Request { repeated: true, ..world.request("ADD", "c1", "p", "u") };
    world.ask(&request).await.unwrap();
    assert_eq!((world.script.wired().len(), world.files().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_add_whose_answer_was_lost_with_its_daemon_is_made_anew_by_the_next() {
    let world = World::new();
    world.port("p", "u", |_| {});
    let first = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();

    let world = world.restart(BOOT);
    world.port("p", "u", |_| {});
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::EXISTS, "an ADD that was answered stays as it is");
    let request = Request { repeated: true, ..world.request("ADD", "c1", "p", "u") };
    let second = world.ask(&request).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(world.script.log(), ["plug c1 port-of-u", "unplug c1 port-of-u netns", "plug c1 port-of-u"]);
    assert_eq!(world.files(), ["c1@eth0.json"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_anew_is_not_answered_with_success() {
    let world = World::new();
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    let world = world.restart(BOOT);
    world.port("p", "u", |_| {});
    world.script.fail_unplug(PlugError::Kernel { op: "delete veth".into(), reason: "busy".into() });
    let request = Request { repeated: true, ..world.request("ADD", "c1", "p", "u") };
    assert_eq!(world.ask(&request).await.unwrap_err().code, code::REMOVAL);
    assert_eq!(world.files(), ["c1@eth0.json"], "DEL finds it");
}
