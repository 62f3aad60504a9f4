//! What is sent again, when, and what is left to the caller.

use std::time::Duration;

use kuryr_openstack::network::{NewPort, PortUpdate, SubPort};
use kuryr_openstack::{Error, ErrorKind, Network};
use serde_json::json;
use tokio::time::Instant;

use crate::script::*;

fn busy() -> Step {
    answer(503, json!({"message": "later"}))
}

fn later(status: u16, header: &str) -> Step {
    Step::Answer(status, vec![("retry-after", header.to_owned())], String::new())
}

/// The result of a call, how many requests it took and how long.
async fn run<T>(
    steps: impl IntoIterator<Item = Step>,
    call: impl AsyncFnOnce(&Network) -> Result<T, Error>,
) -> (Result<T, Error>, usize, Duration) {
    let script = Script::neutron(steps);
    let cloud = script.cloud();
    cloud.authenticate().await.unwrap();
    let start = Instant::now();
    let result = call(cloud.network()).await;
    (result, script.asked().len(), start.elapsed())
}

async fn read(neutron: &Network) -> Result<(), Error> {
    neutron.port("p").await.map(drop)
}

async fn create(neutron: &Network) -> Result<(), Error> {
    neutron.create_port(&NewPort::default()).await.map(drop)
}

async fn rename(neutron: &Network) -> Result<(), Error> {
    neutron.update_port("p", &PortUpdate { name: Some("new".to_owned()), ..PortUpdate::default() }).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn reading_is_tried_again_until_it_works() {
    let (result, requests, took) = run([busy(), Step::Lost, Step::NotSent, busy()], read).await;
    result.unwrap();
    assert_eq!(requests, 5);
    assert!(took <= Duration::from_millis(500 + 1000 + 2000 + 4000), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn trying_again_ends() {
    let (result, requests, _) = run(vec![busy(); 9], read).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.status(), requests), (ErrorKind::Unavailable, Some(503), 5));
    assert!(!error.outcome_unknown(), "reading has no outcome");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_the_request_is_not_tried_again() {
    for status in [400, 403, 404, 409, 412] {
        let (result, requests, _) = run([refusal(status, "No")], read).await;
        assert_eq!((result.unwrap_err().status(), requests), (Some(status), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn creating_is_not_tried_again_when_it_may_have_worked() {
    for step in [busy(), answer(500, json!({})), answer(504, json!({})), Step::Lost, Step::Silence] {
        let (result, requests, _) = run([step.clone()], create).await;
        let error = result.expect_err("must fail");
        assert!(error.outcome_unknown(), "{step:?}: {error:?}");
        assert_eq!(requests, 1, "{step:?}");
        assert!(error.request_id().is_some_and(|id| id.starts_with("req-")), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn creating_is_tried_again_when_it_cannot_have_worked() {
    for step in [Step::NotSent, later(429, "1")] {
        let (result, requests, _) = run([step.clone()], create).await;
        result.unwrap();
        assert_eq!(requests, 2, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_is_tried_again_unless_it_names_a_revision() {
    let (result, requests, _) = run([Step::Lost], rename).await;
    result.unwrap();
    assert_eq!(requests, 2);
    let script = Script::neutron([Step::Lost]);
    let with_revision = PortUpdate { if_revision: Some(7), ..PortUpdate::default() };
    let error = script.cloud().network().update_port("p", &with_revision).await.unwrap_err();
    assert!(error.outcome_unknown());
    let asked = script.asked();
    assert_eq!((asked.len(), asked[0].if_match.as_deref()), (1, Some("revision_number=7")));
    assert_eq!(asked[0].body, json!({"port": {}}));
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_lost_once_stays_in_doubt() {
    let (result, requests, _) = run([Step::Lost, refusal(400, "InvalidInput")], rename).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), requests), (ErrorKind::BadRequest, 2));
    assert!(error.outcome_unknown(), "the first one may have worked: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn verbs_are_not_tried_again() {
    let subports = [SubPort::vlan("p", 1)];
    let (result, requests, _) = run([Step::Lost], async |n| n.add_subports("t", &subports).await).await;
    assert!(result.unwrap_err().outcome_unknown());
    assert_eq!(requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_worked_but_was_lost_is_a_success() {
    let delete = async |neutron: &Network| neutron.delete_port("p").await;
    let (result, requests, _) = run([Step::Lost, refusal(404, "PortNotFound")], delete).await;
    result.unwrap();
    assert_eq!(requests, 2);
    let (result, _, _) = run([refusal(404, "PortNotFound")], delete).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
    // Refused to connect and then gone: someone else did it.
    let (result, _, _) = run([Step::NotSent, refusal(404, "PortNotFound")], delete).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn the_service_says_how_long_to_wait() {
    let (result, _, took) = run([later(429, "7")], create).await;
    result.unwrap();
    assert!((7000..=7500).contains(&took.as_millis()), "{took:?}");
    let date = vec![
        ("date", "Tue, 24 Nov 2026 12:00:00 GMT".to_owned()),
        ("retry-after", "Tue, 24 Nov 2026 12:00:09 GMT".to_owned()),
    ];
    let (result, _, took) = run([Step::Answer(503, date, String::new())], read).await;
    result.unwrap();
    assert!((9000..=9500).contains(&took.as_millis()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_left_to_the_caller() {
    let (result, requests, took) = run([later(429, "3600")], create).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), requests), (ErrorKind::TooManyRequests, 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_deadline() {
    let (result, _, took) = run([Step::Silence], read).await;
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.outcome_unknown()), (ErrorKind::Timeout, false));
    assert_eq!(took, Duration::from_secs(60));
    // Attempts share the deadline.
    let slow = Step::After(Duration::from_secs(40), Box::new(busy()));
    let (result, requests, took) = run([slow, Step::Silence], read).await;
    assert_eq!((result.unwrap_err().kind(), requests), (ErrorKind::Timeout, 2));
    assert_eq!(took, Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn waits_are_spread_and_repeatable() {
    let wait = async |seed| {
        let script = Script::neutron([busy(), busy()]);
        let cloud = script.cloud_with(kuryr_openstack::CloudSettings { seed: Some(seed), ..settings() });
        let start = Instant::now();
        cloud.network().port("p").await.unwrap();
        start.elapsed()
    };
    assert_eq!(wait(1).await, wait(1).await);
    let mut waits = Vec::new();
    for seed in 0..20 {
        waits.push(wait(seed).await);
    }
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 15, "{waits:?}");
}
