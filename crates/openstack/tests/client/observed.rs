//! An observer is told of every exchange, also of those that end badly, and of no object.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use kuryr_openstack::Outcome;
use serde_json::json;

use crate::script::*;

#[tokio::test(start_paused = true)]
async fn every_attempt_is_told_with_its_outcome() {
    let steps = [
        Step::After(Duration::from_secs(2), Box::new(answer(503, json!({"message": "later"})))),
        Step::Lost,
        port("p"),
        Step::Silence,
    ];
    let cloud = Script::neutron(steps).cloud();
    let told = Arc::new(Mutex::new(Vec::new()));
    let list = told.clone();
    cloud.observe(Arc::new(move |exchange| {
        let told = (exchange.method.to_owned(), exchange.route.clone(), exchange.outcome, exchange.took.as_secs());
        list.lock().unwrap().push(told);
    }));
    // A second one is not told.
    cloud.observe(Arc::new(|_| panic!("the first observer stays")));
    cloud.network().port("0f5ed9b1-0000").await.unwrap();
    cloud.network().port("p").await.unwrap_err();
    let told = told.lock().unwrap().clone();
    let token = ("POST".to_owned(), "/auth/tokens".to_owned(), Outcome::Answered(201), 0);
    let of_port = |outcome, took| ("GET".to_owned(), "/ports/{id}".to_owned(), outcome, took);
    assert_eq!(
        told[..4],
        [token, of_port(Outcome::Answered(503), 2), of_port(Outcome::Lost, 0), of_port(Outcome::Answered(200), 0)]
    );
    let (_, _, outcome, took) = told[4];
    assert!(outcome == Outcome::TimedOut && took > 10 && told.len() == 5, "{told:?}");
}
