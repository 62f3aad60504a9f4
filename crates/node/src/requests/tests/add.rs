//! ADD alone.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_known_active_port_is_wired_at_once() {
    let world = World::new();
    world.port("p", "u", |_| {});
    let begun = Instant::now();
    let result = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "nothing to wait for");
    assert_eq!(world.script.wired(), [("c1".into(), "port-of-u".into())]);
    assert_eq!(world.files(), ["c1@eth0.json"]);
    assert_eq!(result["cniVersion"], "1.1.0");
    assert_eq!(result["ips"][0]["address"], "10.0.0.5/24");
    assert!(world.node.attachment_turns.is_empty() && world.node.port_turns.is_empty(), "no lock is left over");
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_kuryrport_and_is_woken_by_it() {
    let world = World::new();
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    world.port("p", "u", no_vifs);
    world.settle().await;
    assert!(!add.is_finished());
    world.port("p", "u", |_| {});
    let begun = Instant::now();
    add.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "woken, not polled");
}

#[tokio::test(start_paused = true)]
async fn without_a_kuryrport_it_ends_at_the_limit_with_try_again_later() {
    let world = World::new();
    world.pod("p", "u");
    let begun = Instant::now();
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 60);
    assert_eq!(error.code, code::TRY_LATER);
    assert!(error.msg.contains("no KuryrPort ns/p"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_controllers_reason_is_in_the_error() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", |port| {
        no_vifs(port);
        port["status"]["conditions"] = json!([{"type": "Ready", "status": "False", "reason": "OverQuota",
            "message": "no Neutron port left in project x: raise the quota", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    });
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::TRY_LATER);
    assert!(error.msg.contains("OverQuota: no Neutron port left in project x: raise the quota"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_ends_it_with_code_3() {
    let world = World::new();
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::UNKNOWN_CONTAINER);
    assert!(world.files().is_empty() && world.script.log().is_empty(), "nothing may be left behind");

    world.pod("p", "another");
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::UNKNOWN_CONTAINER, "the name belongs to another pod now");
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_while_its_port_becomes_active_ends_it_at_once() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    assert_eq!(world.script.wired().len(), 1);
    world.pod_gone("p");
    world.node.ports.forget(&key("p"));
    let begun = Instant::now();
    assert_eq!(add.await.unwrap().unwrap_err().code, code::UNKNOWN_CONTAINER);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert!(world.script.wired().is_empty() && world.files().is_empty(), "nothing may be left behind");
}

#[tokio::test(start_paused = true)]
async fn the_port_of_an_earlier_pod_of_the_same_name_is_not_used() {
    let world = World::new();
    world.pod("p", "new");
    world.port("p", "old", |_| {});
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "new"));
    world.settle().await;
    assert!(!add.is_finished() && world.script.log().is_empty());
    world.port("p", "new", |_| {});
    add.await.unwrap().unwrap();
    assert_eq!(world.script.wired(), [("c1".into(), "port-of-new".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_runs_under_another_uid_than_the_apis() {
    let world = World::new();
    world.port("p", "mirror", |port| port["spec"]["podStatic"] = json!(true));
    world.ask(&world.request("ADD", "c1", "p", "from-file")).await.unwrap();

    // Objects of kuryr-kubernetes before 7.0.0 do not say it; the mirror pod does.
    let world = World::new();
    world.pod("p", "mirror");
    let annotations = json!({"kubernetes.io/config.source": "file"});
    world.pods.lock().unwrap().get_mut("ns/p").unwrap()["metadata"]["annotations"] = annotations;
    world.port("p", "mirror", |port| drop(port["spec"].as_object_mut().unwrap().remove("podStatic")));
    world.ask(&world.request("ADD", "c1", "p", "from-file")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_sends_no_uid_has_the_api_asked() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", |_| {});
    let mut request = world.request("ADD", "c1", "p", "u");
    request.args = "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p".into();
    world.ask(&request).await.unwrap();
    request.container_id = "c2".into();
    world.pod_gone("p");
    assert_eq!(world.ask(&request).await.unwrap_err().code, code::UNKNOWN_CONTAINER);
}

#[tokio::test(start_paused = true)]
async fn ready_when_the_kuryrport_says_active_or_the_agent_says_installed() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    let (add, _) = world.begin(world.request("ADD", "c1", "p", "u"));
    world.settle().await;
    assert!(!add.is_finished());
    world.port("p", "u", |_| {});
    add.await.unwrap().unwrap();

    world.port("q", "v", inactive);
    let (add, _) = world.begin(world.request("ADD", "c2", "q", "v"));
    world.settle().await;
    assert!(!add.is_finished());
    world.script.agent_says(Readiness::Ready);
    add.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_port_that_stays_down_is_unwired_and_try_again_later() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", inactive);
    world.script.agent_says(Readiness::Unknown);
    let begun = Instant::now();
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!((error.code, begun.elapsed().as_secs()), (code::TRY_LATER, 60));
    assert!(error.msg.contains("port-of-u"), "{error}");
    assert!(world.script.wired().is_empty() && world.files().is_empty(), "C12: undone");
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_datapaths_errors_have_the_specifications_codes_and_leave_nothing() {
    let netns = || PlugError::NetnsInvalid { path: "/x".into(), reason: "does not exist".into() };
    let cases: [(PlugError, u32); 5] = [
        (netns(), code::NETNS),
        (PlugError::Exists { ifname: "eth0".into() }, code::EXISTS),
        (PlugError::BridgeMissing { bridge: "br-int".into(), cure: "start OVN" }, code::TRY_LATER),
        (PlugError::Kernel { op: "add veth".into(), reason: "Operation not permitted".into() }, code::KERNEL),
        (PlugError::Unsupported { class: "VIFVlanNested".into(), plugin: "noop".into() }, code::UNSUPPORTED_PORT),
    ];
    for (error, code) in cases {
        let world = World::new();
        world.port("p", "u", |_| {});
        world.script.fail_plug(error);
        let request = world.request("ADD", "c1", "p", "u");
        assert_eq!(world.ask(&request).await.unwrap_err().code, code);
        assert!(world.files().is_empty());
        world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
        world.ask(&request).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_interface_is_named_and_waited_for() {
    let world = World::new();
    world.pod("p", "u");
    world.port("p", "u", |port| port["status"]["vifs"]["eth0"]["vif"] = json!({"broken": true}));
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::TRY_LATER);
    assert!(error.msg.contains("eth0"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_written_undoes_the_wiring() {
    let world = World::new();
    world.port("p", "u", |_| {});
    std::fs::remove_dir(world.dir.path().join("state")).unwrap();
    std::fs::write(world.dir.path().join("state"), "in the way").unwrap();
    let error = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap_err();
    assert_eq!(error.code, code::IO);
    assert!(world.script.wired().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_protocol_version_is_told_so() {
    let world = World::new();
    let request = Request { version: 2, ..world.request("ADD", "c1", "p", "u") };
    let error = world.ask(&request).await.unwrap_err();
    assert_eq!(error.code, code::PROTOCOL);
    assert!(error.msg.contains("same release"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn behind_another_plugin_its_result_is_passed_through() {
    let world = World::new();
    world.port("p", "u", |_| {});
    let mut request = world.request("ADD", "c1", "p", "u");
    // C10, C11: an older version than the configuration's, as declared.
    request.config["prevResult"] = json!({
        "cniVersion": "0.4.0",
        "interfaces": [{"name": "lo0", "sandbox": "/netns"}],
        "ips": [{"version": "4", "address": "127.0.0.2/8", "interface": 0}],
        "dns": {"domain": "example.org"},
    });
    let result = world.ask(&request).await.unwrap();
    let names: Vec<&str> =
        result["interfaces"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["lo0", "eth0", "tap-port-of-u"]);
    let indexes: Vec<u64> =
        result["ips"].as_array().unwrap().iter().map(|ip| ip["interface"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [0, 1, 1]);
    assert_eq!(result["dns"], json!({"domain": "example.org"}));
    assert!(result["ips"][0].get("version").is_none(), "shaped as 1.1.0");
}
