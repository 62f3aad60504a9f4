//! How many requests are under way at once.

use std::time::Duration;

use futures::future::join_all;
use kuryr_openstack::CloudSettings;
use tokio::time::Instant;

use crate::script::*;

#[tokio::test(start_paused = true)]
async fn no_more_requests_than_slots_are_under_way() {
    let slow = Step::After(Duration::from_secs(10), Box::new(port("p")));
    let script = Script::neutron(vec![slow; 30]);
    let cloud = script.cloud_with(CloudSettings { max_concurrency: 3, ..settings() });
    let start = Instant::now();
    let calls = join_all((0..30).map(|_| cloud.network().port("p"))).await;
    // The last had to wait for 90 s, longer than a call may take: waiting for a turn does not count.
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!((script.peak(), start.elapsed()), (3, Duration::from_secs(100)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_to_try_again_holds_no_slot() {
    let later = Step::Answer(429, vec![("retry-after", "30".to_owned())], String::new());
    let script = Script::neutron([later]);
    let cloud = script.cloud_with(CloudSettings { max_concurrency: 1, ..settings() });
    let other = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        cloud.network().port("other").await.unwrap();
        start.elapsed()
    };
    let (first, took) = tokio::join!(cloud.network().port("first"), other);
    first.unwrap();
    assert_eq!(took, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_frees_its_slot() {
    let script = Script::neutron([Step::Silence]);
    let cloud = script.cloud_with(CloudSettings { max_concurrency: 1, ..settings() });
    let given_up = tokio::time::timeout(Duration::from_secs(1), cloud.network().port("p")).await;
    assert!(given_up.is_err());
    cloud.network().port("p").await.unwrap();
}
