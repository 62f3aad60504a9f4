//! Finding Neutron, and saying what is wrong when it cannot be found.

use kuryr_openstack::{CloudSettings, ErrorKind, Interface};
use serde_json::json;

use crate::script::*;

async fn asked_at(settings: CloudSettings) -> String {
    let script = Script::default();
    script.cloud_with(settings).network().port("p").await.unwrap();
    script.asked().remove(0).url
}

async fn lost(settings: CloudSettings, catalog: serde_json::Value) -> String {
    let script = Script::default().keystone([token_with("t", TOKEN_LIFE, catalog)]);
    let error = script.cloud_with(settings).network().port("p").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings);
    assert!(script.asked().is_empty());
    error.to_string()
}

#[tokio::test(start_paused = true)]
async fn region_and_interface_choose_the_endpoint() {
    assert_eq!(asked_at(settings()).await, "http://neutron/v2.0/ports/p");
    let two = CloudSettings { region: Some("Two".to_owned()), ..settings() };
    assert_eq!(asked_at(two).await, "http://neutron-two/networking/v2.0/ports/p");
    let internal = CloudSettings { interface: Interface::Internal, ..settings() };
    assert_eq!(asked_at(internal).await, "http://neutron-internal/v2.0/ports/p");
    let by_hand = CloudSettings { network_endpoint: Some("https://here:9696/".to_owned()), ..settings() };
    assert_eq!(asked_at(by_hand).await, "https://here:9696/v2.0/ports/p");
}

#[tokio::test(start_paused = true)]
async fn keystone_is_found_with_or_without_its_version() {
    for auth_url in ["http://keystone", "http://keystone/", "http://keystone/v3", "http://keystone/v3/"] {
        let script = Script::default();
        let settings = CloudSettings { auth_url: auth_url.to_owned(), ..settings() };
        script.cloud_with(settings).authenticate().await.unwrap();
        assert_eq!(script.authentications()[0].url, "http://keystone/v3/auth/tokens");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_catalog_lacks_is_said_with_what_it_has() {
    let three = CloudSettings { region: Some("Three".to_owned()), ..settings() };
    let network = json!([{"type": "network", "endpoints": [
        {"interface": "public", "region_id": "One", "url": "http://a"},
        {"interface": "internal", "region_id": "Two", "url": "http://b"},
    ]}]);
    assert_eq!(
        lost(three, network.clone()).await,
        "the network service has no public endpoint in region Three, only public in One, internal in Two; \
         set region_name and interface to one of these"
    );
    let admin = CloudSettings { interface: Interface::Admin, ..settings() };
    assert!(lost(admin, network).await.contains("has no admin endpoint, only public in One"));
    let no_network = json!([{"type": "identity", "endpoints": []}, {"type": "compute", "endpoints": []}]);
    assert_eq!(
        lost(settings(), no_network).await,
        "Keystone's catalog has no network service, only identity, compute; \
         register the service and its endpoints in Keystone, or set network_endpoint_override"
    );
    assert!(lost(settings(), json!([])).await.contains("set project_name or project_id"));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_no_keystone_is_named() {
    let page = Step::Answer(404, Vec::new(), "<html><title>Not Found</title></html>".to_owned());
    let error = Script::default().keystone([page]).cloud().authenticate().await.unwrap_err();
    assert!(error.to_string().contains("check auth_url: http://keystone/v3 should be"), "{error}");
    let welcome = Step::Answer(200, Vec::new(), "<html>Welcome to nginx!</html>".to_owned());
    let error = Script::default().keystone([welcome]).cloud().authenticate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    let bad = CloudSettings { auth_url: "keystone:5000".to_owned(), ..settings() };
    let error = Script::default().cloud_with(bad).authenticate().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Settings, "{error:?}");
}
