//! Lists over pages that change under our feet.

use kuryr_openstack::network::{FixedIpFilter, Port, PortQuery, PortStatus, SecurityGroupQuery, TagFilter};
use serde_json::json;

use crate::script::*;

fn page(ids: &[&str], more: bool) -> Step {
    let ports: Vec<_> = ids.iter().map(|id| json!({"id": id})).collect();
    let next = json!([{"rel": "next", "href": "http://elsewhere/ports?marker=x"}]);
    let links = if more { next } else { json!([{"rel": "previous", "href": "http://elsewhere"}]) };
    answer(200, json!({"ports": ports, "ports_links": links}))
}

fn ids(ports: Vec<Port>) -> Vec<String> {
    ports.into_iter().map(|port| port.id).collect()
}

async fn list(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
    let script = Script::neutron(steps);
    let ports = script.cloud().network().list_ports(&PortQuery::default()).await.unwrap();
    (ids(ports), script.asked().iter().map(|seen| seen.path().to_owned()).collect())
}

#[tokio::test(start_paused = true)]
async fn each_page_begins_where_the_last_one_ended() {
    let (found, asked) = list(vec![page(&["a", "b"], true), page(&["c"], true), page(&[], false)]).await;
    assert_eq!(found, ["a", "b", "c"]);
    assert_eq!(asked, ["/ports?limit=1000", "/ports?limit=1000&marker=b", "/ports?limit=1000&marker=c"]);
}

#[tokio::test(start_paused = true)]
async fn a_marker_that_was_deleted_begins_the_list_again() {
    let gone = refusal(404, "PortNotFound");
    let (found, asked) = list(vec![page(&["a", "b"], true), gone, page(&["a", "c"], true), page(&["d"], false)]).await;
    assert_eq!(found, ["a", "c", "d"]);
    assert_eq!(asked[2], "/ports?limit=1000");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_begins_again_by_itself_makes_no_duplicates() {
    // Neutron does this for security groups and trunks.
    let (found, _) = list(vec![page(&["a", "b"], true), page(&["a", "c"], true), page(&["d"], false)]).await;
    assert_eq!(found, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_holds_still_is_an_error() {
    let mut steps = Vec::new();
    for _ in 0..10 {
        steps.extend([page(&["a"], true), refusal(404, "PortNotFound")]);
    }
    let script = Script::neutron(steps);
    script.cloud().network().list_ports(&PortQuery::default()).await.unwrap_err();
    assert_eq!(script.asked().len(), 12);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_of_ids_asks_nobody() {
    let script = Script::default();
    let cloud = script.cloud();
    let query = PortQuery { device_id: Some(Vec::new()), ..PortQuery::default() };
    assert_eq!(cloud.network().list_ports(&query).await.unwrap(), []);
    let query = SecurityGroupQuery { id: Some(Vec::new()), ..SecurityGroupQuery::default() };
    assert_eq!(cloud.network().list_security_groups(&query).await.unwrap(), []);
    assert!(script.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_address_gets_too_long() {
    let many: Vec<_> = (0..1000).map(|n| format!("{n:036}")).collect();
    let script = Script::neutron(vec![page(&[], false); 100]);
    let query = PortQuery { id: Some(many.clone()), ..PortQuery::default() };
    script.cloud().network().list_ports(&query).await.unwrap();
    let asked = script.asked();
    assert!(asked.iter().all(|seen| seen.url.len() < 7000));
    let sent: usize = asked.iter().map(|seen| seen.url.matches("id=0").count()).sum();
    assert_eq!(sent, many.len());
}

#[tokio::test(start_paused = true)]
async fn filters_are_written_as_neutron_reads_them() {
    let script = Script::neutron([page(&[], false)]);
    let query = PortQuery {
        device_owner: Some("compute:kuryr".to_owned()),
        name: Some("a&b=c d/ü".to_owned()),
        status: Some(PortStatus::Active),
        fixed_ips: vec![FixedIpFilter::Subnet("s".to_owned()), FixedIpFilter::Address([10, 0, 0, 1].into())],
        tags: TagFilter { not_any: vec!["x".to_owned()], ..TagFilter::all(["one", "two words"]) },
        fields: &["status"],
        ..PortQuery::default()
    };
    script.cloud().network().list_ports(&query).await.unwrap();
    assert_eq!(
        script.asked()[0].path(),
        "/ports?device_owner=compute%3Akuryr&name=a%26b%3Dc%20d%2F%C3%BC&status=ACTIVE&fixed_ips=subnet_id%3Ds\
         &fixed_ips=ip_address%3D10.0.0.1&tags=one%2Ctwo%20words&not-tags-any=x&fields=status&fields=id&limit=1000"
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_id_addresses_nothing() {
    let script = Script::default();
    let cloud = script.cloud();
    assert!(cloud.network().delete_port("").await.is_err());
    assert!(cloud.network().port("").await.is_err());
    assert!(script.asked().is_empty());
    cloud.network().port("../networks/n?x").await.unwrap();
    assert_eq!(script.asked()[0].path(), "/ports/..%2Fnetworks%2Fn%3Fx");
}
