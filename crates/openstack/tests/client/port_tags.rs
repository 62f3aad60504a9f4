//! Tags of new ports, with and without the extension that lets them come with the port.

use kuryr_openstack::network::NewPort;
use serde_json::json;

use crate::script::*;

fn extensions(aliases: &[&str]) -> Step {
    let extensions: Vec<_> = aliases.iter().map(|alias| json!({"alias": alias})).collect();
    answer(200, json!({ "extensions": extensions }))
}

fn tagged(tag: &str) -> NewPort {
    NewPort { network_id: "n".to_owned(), tags: vec![tag.to_owned()], ..NewPort::default() }
}

fn paths(script: &Script) -> Vec<String> {
    script.asked().iter().map(|seen| format!("{} {}", seen.method, seen.path())).collect()
}

#[tokio::test(start_paused = true)]
async fn they_come_with_the_port_where_neutron_can() {
    let script = Script::neutron([
        extensions(&["tag-ports-during-bulk-creation"]),
        answer(201, json!({"port": {"id": "a", "tags": ["x"]}})),
        answer(201, json!({"ports": [{"id": "b", "tags": ["y"]}]})),
    ]);
    let cloud = script.cloud();
    assert_eq!(cloud.network().create_port(&tagged("x")).await.unwrap().tags, ["x"]);
    assert_eq!(cloud.network().create_ports(&[tagged("y")]).await.unwrap()[0].tags, ["y"]);
    assert_eq!(paths(&script), ["GET /extensions", "POST /ports", "POST /ports"]);
    assert_eq!(script.asked()[1].body, json!({"port": {"network_id": "n", "tags": ["x"]}}));
    assert_eq!(script.asked()[2].body, json!({"ports": [{"network_id": "n", "tags": ["y"]}]}));
}

#[tokio::test(start_paused = true)]
async fn they_follow_the_port_where_neutron_cannot() {
    let script = Script::neutron([
        extensions(&["trunk"]),
        answer(201, json!({"ports": [{"id": "a", "revision_number": 1}, {"id": "b"}, {"id": "c"}]})),
        answer(200, json!({"tags": ["x"]})),
        answer(200, json!({"tags": ["z"]})),
    ]);
    let asked = [tagged("x"), NewPort { tags: Vec::new(), ..tagged("") }, tagged("z")];
    let ports = script.cloud().network().create_ports(&asked).await.unwrap();
    let tags: Vec<_> = ports.iter().map(|port| port.tags.join(",")).collect();
    assert_eq!(tags, ["x", "", "z"]);
    assert_eq!(ports[0].revision_number, None);
    assert_eq!(paths(&script), ["GET /extensions", "POST /ports", "PUT /ports/a/tags", "PUT /ports/c/tags"]);
    assert_eq!(script.asked()[1].body["ports"][0], json!({"network_id": "n"}));
    assert_eq!(script.asked()[2].body, json!({"tags": ["x"]}));
}

#[tokio::test(start_paused = true)]
async fn a_port_left_without_its_tags_is_told() {
    let script = Script::neutron([
        extensions(&[]),
        answer(201, json!({"port": {"id": "a"}})),
        refusal(403, "PolicyNotAuthorized"),
    ]);
    let error = script.cloud().network().create_port(&tagged("x")).await.unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn without_tags_nobody_asks_for_extensions() {
    let script = Script::default();
    script.cloud().network().create_port(&NewPort::default()).await.unwrap();
    assert_eq!(paths(&script), ["POST /ports"]);
}
