//! GC.

use super::*;

/// Three wired containers.
async fn three(world: &World) {
    for n in ["1", "2", "3"] {
        world.port(&format!("p{n}"), &format!("u{n}"), |_| {});
        let request = world.request("ADD", &format!("c{n}"), &format!("p{n}"), &format!("u{n}"));
        world.ask(&request).await.unwrap();
    }
}

fn gc(world: &World, members: Value) -> Request {
    let mut request = Request { command: "GC".into(), container_id: String::new(), ..world.request("", "x", "p", "u") };
    request.config.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

fn listed(container: &str) -> Value {
    json!({"containerID": container, "ifname": "eth0"})
}

#[tokio::test(start_paused = true)]
async fn what_is_not_listed_goes_and_what_is_listed_stays() {
    let world = World::new();
    three(&world).await;
    world.ask(&gc(&world, json!({"cni.dev/valid-attachments": [listed("c2")]}))).await.unwrap();
    assert_eq!(world.script.wired(), [("c2".into(), "port-of-u2".into())]);
    assert_eq!(world.files(), ["c2@eth0.json"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_or_null_means_all_and_no_list_means_none() {
    for (members, left) in [
        (json!({"cni.dev/valid-attachments": []}), 0),
        (json!({"cni.dev/valid-attachments": null}), 0),
        (json!({"cni.dev/attachments": [listed("c1")]}), 1),
        (json!({"cni.dev/attachments": [], "cni.dev/valid-attachments": [listed("c1"), listed("c2")]}), 2),
    ] {
        let world = World::new();
        three(&world).await;
        world.ask(&gc(&world, members.clone())).await.unwrap();
        assert_eq!(world.script.wired().len(), left, "{members}");
    }
    let world = World::new();
    three(&world).await;
    world.ask(&gc(&world, json!({}))).await.unwrap();
    for members in [json!({"cni.dev/valid-attachments": "c1"}), json!({"cni.dev/valid-attachments": [{}]})] {
        let error = world.ask(&gc(&world, members)).await.unwrap_err();
        assert_eq!(error.code, code::CONFIGURATION);
    }
    assert_eq!(world.script.wired().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn another_networks_attachments_are_left_alone() {
    let world = World::new();
    three(&world).await;
    let mut request = gc(&world, json!({"cni.dev/valid-attachments": []}));
    request.config["name"] = json!("other");
    world.ask(&request).await.unwrap();
    assert_eq!(world.script.wired().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_after_a_failure_and_reports_all_at_the_end() {
    let world = World::new();
    three(&world).await;
    for _ in 0..2 {
        world.script.fail_unplug(PlugError::Kernel { op: "delete".into(), reason: "Device or resource busy".into() });
    }
    let request = gc(&world, json!({"cni.dev/valid-attachments": []}));
    let error = world.ask(&request).await.unwrap_err();
    assert_eq!(error.code, code::REMOVAL);
    assert_eq!(error.details.matches("resource busy").count(), 2, "{error}");
    assert_eq!(world.files().len(), 2, "one was released");
    world.ask(&request).await.unwrap();
    assert!(world.files().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_running_add_is_spared() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    world.ask(&gc(&world, json!({"cni.dev/valid-attachments": []}))).await.unwrap();
    assert_eq!(world.script.wired().len(), 1);
    world.port("p", "u", |_| {});
    add.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn devices_with_our_marks_but_no_record_go_too() {
    let world = World::new();
    world.script.edit(|wired| {
        wired.push(OwnedDevice {
            container_id: "lost".into(),
            host_ifname: "tap-lost".into(),
            port_id: "lost".into(),
            ifname: "eth0".into(),
            device: true,
            switch_port: true,
        });
    });
    world.ask(&gc(&world, json!({"cni.dev/valid-attachments": [listed("lost")]}))).await.unwrap();
    assert_eq!(world.script.wired().len(), 1, "listed");
    world.ask(&gc(&world, json!({"cni.dev/valid-attachments": []}))).await.unwrap();
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dels_made_up_by_libcni_before_gc_are_harmless() {
    let world = World::new();
    three(&world).await;
    world.ask(&world.request("DEL", "c1", "p1", "u1")).await.unwrap();
    world.ask(&gc(&world, json!({"cni.dev/valid-attachments": [listed("c2"), listed("c3")]}))).await.unwrap();
    assert_eq!(world.script.wired().len(), 2);
}
