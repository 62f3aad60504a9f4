//! CHECK and STATUS.

use super::*;

async fn added(world: &World) -> Request {
    world.port("p", "u", |_| {});
    let result = world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    let mut check = world.request("CHECK", "c1", "p", "u");
    check.config["prevResult"] = result;
    check
}

#[tokio::test(start_paused = true)]
async fn right_after_add_all_is_well_and_nothing_changes() {
    let world = World::new();
    let check = added(&world).await;
    assert_eq!(world.ask(&check).await.unwrap(), Value::Null);
    assert_eq!((world.script.log().len(), world.files().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn it_needs_prevresult() {
    let world = World::new();
    let mut check = added(&world).await;
    check.config.as_object_mut().unwrap().remove("prevResult");
    let error = world.ask(&check).await.unwrap_err();
    assert_eq!(error.code, code::CONFIGURATION);
    assert!(error.msg.contains("prevResult"), "{error}");
    check.config["prevResult"] = json!({"cniVersion": "1.1.0", "ips": [{"address": "nonsense"}]});
    assert_eq!(world.ask(&check).await.unwrap_err().code, code::CONFIGURATION);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_attachment_is_code_3() {
    let world = World::new();
    let mut check = added(&world).await;
    check.container_id = "other".into();
    assert_eq!(world.ask(&check).await.unwrap_err().code, code::UNKNOWN_CONTAINER);
}

#[tokio::test(start_paused = true)]
async fn a_different_mac_address_interface_or_namespace_is_found() {
    let world = World::new();
    let good = added(&world).await;
    let changes: [fn(&mut Request); 4] = [
        |check| check.config["prevResult"]["interfaces"][0]["mac"] = json!("00:00:00:00:00:01"),
        |check| check.config["prevResult"]["interfaces"][0]["name"] = json!("eth9"),
        |check| check.config["prevResult"]["ips"][0]["address"] = json!("10.0.0.77/24"),
        |check| check.netns = "/run/netns/other".into(),
    ];
    for change in changes {
        let mut check = good.clone();
        change(&mut check);
        assert_eq!(world.ask(&check).await.unwrap_err().code, code::DIFFERS, "{:?}", check.config["prevResult"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_other_plugins_of_the_chain_did_is_theirs() {
    let world = World::new();
    let mut check = added(&world).await;
    let previous = &mut check.config["prevResult"];
    previous["interfaces"][0]["mtu"] = json!(1300);
    previous["interfaces"].as_array_mut().unwrap().push(json!({"name": "ifb0"}));
    previous["ips"].as_array_mut().unwrap().push(json!({"address": "192.0.2.1/32", "interface": 2}));
    previous["routes"].as_array_mut().unwrap().push(json!({"dst": "192.0.2.0/24"}));
    world.ask(&check).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_kernel_has_lost_is_reported() {
    let world = World::new();
    let check = added(&world).await;
    let difference = "address 10.0.0.5/24 is missing".to_owned();
    world.script.fail_check(Some(PlugError::Differs { ifname: "eth0".into(), difference }));
    let error = world.ask(&check).await.unwrap_err();
    assert_eq!(error.code, code::DIFFERS);
    assert!(error.msg.contains("10.0.0.5/24"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_missing_switch_is_try_again_later() {
    let world = World::new();
    let check = added(&world).await;
    world.script.fail_check(Some(PlugError::OvsUnavailable { address: "unix:/x".into(), reason: "refused".into() }));
    assert_eq!(world.ask(&check).await.unwrap_err().code, code::TRY_LATER);
}

fn status(world: &World) -> Request {
    Request {
        command: "STATUS".into(),
        container_id: String::new(),
        ifname: String::new(),
        ..world.request("", "x", "p", "u")
    }
}

#[tokio::test(start_paused = true)]
async fn status_is_code_50_until_the_kuryrports_are_read() {
    let world = World::new();
    assert_eq!(world.ask(&status(&world)).await.unwrap_err().code, code::NOT_AVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn status_is_code_51_when_running_pods_are_cut_off_too() {
    let world = World::new();
    world.script.fail_status(Some(PlugError::OvsUnavailable { address: "unix:/x".into(), reason: "refused".into() }));
    assert_eq!(world.ask(&status(&world)).await.unwrap_err().code, code::LIMITED_CONNECTIVITY);
}

#[tokio::test(start_paused = true)]
async fn add_and_del_work_whatever_status_says() {
    let world = World::new();
    world.ask(&status(&world)).await.unwrap_err();
    world.port("p", "u", |_| {});
    world.ask(&world.request("ADD", "c1", "p", "u")).await.unwrap();
    world.ask(&world.request("DEL", "c1", "p", "u")).await.unwrap();
}
