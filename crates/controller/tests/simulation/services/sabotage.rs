//! The invariants catch controllers that are broken on purpose: some of their calls never arrive, or are answered with nothing.

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::run;
use crate::lies::lying;
use crate::seeds;

type Lie = fn(&Request<Bytes>) -> Option<Value>;

fn notice(lie: Lie) -> usize {
    seeds::noticed_by(|seed| run(seed, false, |world| world.transport = lying(world.transport.clone(), lie)))
}

fn is(request: &Request<Bytes>, method: Method, collection: &str) -> bool {
    *request.method() == method && request.uri().path().contains(collection)
}

#[test]
fn a_controller_that_gives_no_address_back_is_caught() {
    assert!(notice(|request| is(request, Method::DELETE, "/floatingips").then_some(Value::Null)) > 0);
}

#[test]
fn a_controller_that_takes_no_load_balancer_away_is_caught() {
    assert!(notice(|request| is(request, Method::DELETE, "/lbaas/loadbalancers").then_some(Value::Null)) > 0);
}

#[test]
fn a_controller_that_never_looks_for_its_load_balancers_is_caught() {
    let blind: Lie = |request| {
        let looks = is(request, Method::GET, "/lbaas/loadbalancers") && request.uri().query().is_some();
        looks.then(|| json!({ "loadbalancers": [] }))
    };
    assert!(notice(blind) > 0);
}

#[test]
fn a_controller_that_never_looks_for_its_addresses_is_caught() {
    assert!(notice(|request| is(request, Method::GET, "/floatingips").then(|| json!({ "floatingips": [] }))) > 0);
}

#[test]
fn a_controller_whose_members_do_not_follow_is_caught() {
    let deaf: Lie = |request| {
        let sets = is(request, Method::PUT, "/lbaas/pools/") && request.uri().path().ends_with("/members");
        sets.then_some(Value::Null)
    };
    assert!(notice(deaf) > 0);
}
