//! What the client makes of the many ways to say no.

use kuryr_openstack::ErrorKind;
use serde_json::{Value, json};

use crate::script::*;

async fn read(step: Step) -> kuryr_openstack::Error {
    // A deletion is tried again when in doubt, creation is not.
    let port = kuryr_openstack::network::NewPort::default();
    Script::neutron([step]).cloud().network().create_port(&port).await.unwrap_err()
}

fn neutron(kind: &str, message: &str) -> Value {
    json!({"NeutronError": {"type": kind, "message": message, "detail": ""}})
}

#[tokio::test(start_paused = true)]
async fn every_answer_has_a_kind() {
    for (status, body, kind) in [
        (404, neutron("PortNotFound", "x"), ErrorKind::NotFound),
        (409, neutron("NetworkInUse", "x"), ErrorKind::Conflict),
        (409, neutron("OverQuota", "x"), ErrorKind::OverQuota),
        (409, neutron("SubnetPoolQuotaExceeded", "x"), ErrorKind::OverQuota),
        (409, neutron("IpAddressGenerationFailure", "x"), ErrorKind::AddressesExhausted),
        (500, neutron("SubnetAllocationError", "x"), ErrorKind::AddressesExhausted),
        (400, neutron("SubnetPoolDeleteError", "x"), ErrorKind::Conflict),
        (400, neutron("HTTPBadRequest", "x"), ErrorKind::BadRequest),
        (405, json!({}), ErrorKind::BadRequest),
        (413, json!({}), ErrorKind::BadRequest),
        (501, json!({}), ErrorKind::BadRequest),
        (403, neutron("PolicyNotAuthorized", "x"), ErrorKind::Forbidden),
        (403, json!({"faultcode": "Client", "faultstring": "Quota has been met."}), ErrorKind::OverQuota),
        (412, neutron("RevisionNumberConstraintFailed", "x"), ErrorKind::Outdated),
        (500, neutron("HTTPInternalServerError", "x"), ErrorKind::Unavailable),
        (502, json!(null), ErrorKind::Unavailable),
        (302, json!(null), ErrorKind::Protocol),
    ] {
        let error = read(answer(status, body)).await;
        assert_eq!((error.kind(), error.status()), (kind, Some(status)), "{error:?}");
        assert_eq!(error.outcome_unknown(), kind == ErrorKind::Unavailable, "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_services_words_are_found_in_every_shape() {
    for (body, code, message) in [
        (neutron("OverQuota", "No more\nports.").to_string(), Some("OverQuota"), "No more ports."),
        (json!({"NeutronError": "in words"}).to_string(), None, "in words"),
        (json!({"NeutronError": {"type": "T", "message": "", "detail": "d"}}).to_string(), Some("T"), "d"),
        (json!({"error": {"code": 1, "title": "Conflict", "message": "m"}}).to_string(), Some("Conflict"), "m"),
        (json!({"faultcode": "Client", "faultstring": "f"}).to_string(), None, "f"),
        (json!({"message": "m"}).to_string(), None, "m"),
        ("<html><h1>Proxy</h1>\n<p>is tired</p></html>".to_owned(), None, "Proxy is tired"),
        (String::new(), None, "Conflict"),
    ] {
        let error = read(Step::Answer(409, Vec::new(), body)).await;
        assert_eq!((error.code(), error.message()), (code, message));
    }
    let long = read(Step::Answer(409, Vec::new(), "ü".repeat(5000))).await;
    assert_eq!(long.message().chars().count(), 1001);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_one_line_with_everything_in_it() {
    let headers = vec![("x-openstack-request-id", "req-1".to_owned())];
    let body = neutron("OverQuota", "Quota exceeded for resources: ['port'].").to_string();
    let error = read(Step::Answer(409, headers, body)).await;
    assert_eq!(
        error.to_string(),
        "POST http://neutron/v2.0/ports: 409 OverQuota: Quota exceeded for resources: ['port']. (req-1); \
         raise the project's quota (openstack quota set) or delete what is unused"
    );
    assert_eq!(error.request_id(), Some("req-1"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_understood_says_where() {
    for body in ["<html>", "{}", r#"{"port": {"id": 7}}"#, r#"{"ports": []}"#] {
        let step = Step::Answer(201, vec![("x-openstack-request-id", "req-1".to_owned())], body.to_owned());
        let error = read(step).await;
        assert_eq!((error.kind(), error.request_id()), (ErrorKind::Protocol, Some("req-1")), "{error:?}");
        assert!(error.to_string().contains("POST /ports"), "{error}");
        assert!(error.outcome_unknown(), "something was created: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_rule_that_is_already_there_is_found_in_the_words() {
    let id = "c4b9ee0c-4b5e-4a8c-8b39-4c5e4c0f7a11";
    let message = format!("Security group rule already exists. Rule id is {id}.");
    let error = read(answer(409, neutron("SecurityGroupRuleExists", &message))).await;
    assert_eq!(error.existing_rule(), Some(id));
    let error = read(answer(409, neutron("SecurityGroupRuleExists", "in other words"))).await;
    assert_eq!(error.existing_rule(), None);
}
