//! The invariants catch controllers that are broken on purpose: some of their calls never arrive, or are answered with nothing.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{History, run};
use crate::lies::lying;
use crate::seeds;

type Lie = fn(&Request<Bytes>) -> Option<Value>;

/// Enough for the first seeds to come to rest.
const PATIENCE: Duration = Duration::from_secs(600);

fn is_noticed(lie: Lie) -> bool {
    let broken = |history: &mut History| {
        history.patience = PATIENCE;
        history.world.transport = lying(history.world.transport.clone(), lie);
    };
    seeds::notice(|seed| run(seed, broken), |seed| run(seed, |history| history.patience = PATIENCE))
}

fn is(request: &Request<Bytes>, method: Method, collection: &str) -> bool {
    *request.method() == method && request.uri().path().contains(collection)
}

#[test]
fn a_controller_that_gives_no_address_back_is_caught() {
    assert!(is_noticed(|request| is(request, Method::DELETE, "/floatingips").then_some(Value::Null)));
}

#[test]
fn a_controller_that_takes_no_load_balancer_away_is_caught() {
    assert!(is_noticed(|request| is(request, Method::DELETE, "/lbaas/loadbalancers").then_some(Value::Null)));
}

#[test]
fn a_controller_that_never_looks_for_its_load_balancers_is_caught() {
    let blind: Lie = |request| {
        let looks = is(request, Method::GET, "/lbaas/loadbalancers") && request.uri().query().is_some();
        looks.then(|| json!({ "loadbalancers": [] }))
    };
    assert!(is_noticed(blind));
}

#[test]
fn a_controller_that_never_looks_for_its_addresses_is_caught() {
    assert!(is_noticed(|request| is(request, Method::GET, "/floatingips").then(|| json!({ "floatingips": [] }))));
}

#[test]
fn a_controller_whose_members_do_not_follow_is_caught() {
    let deaf: Lie = |request| {
        let sets = is(request, Method::PUT, "/lbaas/pools/") && request.uri().path().ends_with("/members");
        sets.then_some(Value::Null)
    };
    assert!(is_noticed(deaf));
}
