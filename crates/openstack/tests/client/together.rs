//! Ports that wait at the same time share a request, and nobody pays for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use kuryr_openstack::network::{NewFixedIp, NewPort, Port};
use kuryr_openstack::{Cloud, Error, ErrorKind};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::script::*;

const WORK: Duration = Duration::from_millis(300);

fn wanted(device: usize) -> NewPort {
    NewPort {
        network_id: "n".to_owned(),
        fixed_ips: vec![NewFixedIp { subnet_id: "s".to_owned(), ip_address: None }],
        device_id: device.to_string(),
        ..NewPort::default()
    }
}

async fn at_once(cloud: &Cloud, count: usize) -> Vec<Result<Port, Error>> {
    let ports: Vec<NewPort> = (0..count).map(wanted).collect();
    join_all(ports.iter().map(|port| cloud.network().create_port_with_others(port))).await
}

fn free(total: u64, used: u64) -> Step {
    let subnet = json!({"subnet_id": "s", "total_ips": total, "used_ips": used});
    answer(200, json!({"network_ip_availability": {"subnet_ip_availability": [subnet]}}))
}

/// Works on one request at a time, and so long on each port.
#[derive(Clone)]
struct Worker {
    free: Arc<Mutex<Instant>>,
    work: Duration,
}

impl Worker {
    fn new() -> Worker {
        Worker::slow(WORK)
    }

    fn slow(work: Duration) -> Worker {
        Worker { free: Arc::new(Mutex::new(Instant::now())), work }
    }

    fn makes(&self, body: &Value) -> Step {
        let count = body["ports"].as_array().map_or(1, Vec::len);
        let mut free = self.free.lock().unwrap();
        *free = (*free).max(Instant::now()) + self.work * u32::try_from(count).unwrap();
        Step::After(*free - Instant::now(), Box::new(answer(201, made(body))))
    }
}

/// Ports as they were asked for.
fn made(body: &Value) -> Value {
    let port = |asked: &Value| json!({"id": format!("id-{}", asked["device_id"]), "device_id": asked["device_id"]});
    match body["ports"].as_array() {
        Some(ports) => json!({"ports": ports.iter().map(port).collect::<Vec<_>>()}),
        None => json!({"port": port(&body["port"])}),
    }
}

/// A Neutron of one worker that says that so many addresses are free.
fn one_worker(addresses: u64) -> Script {
    with(Worker::new(), addresses)
}

fn with(worker: Worker, addresses: u64) -> Script {
    Script::of(move |seen| match seen.path() {
        "/ports" => worker.makes(&seen.body),
        _ => free(addresses, 0),
    })
}

/// A Neutron that works on all at once.
fn many_workers() -> Script {
    Script::of(|seen| match seen.path() {
        "/ports" => Step::After(WORK, Box::new(answer(201, made(&seen.body)))),
        _ => free(60_000, 0),
    })
}

/// How many ports each request was for.
fn sizes(script: &Script) -> Vec<usize> {
    let posts = script.asked().into_iter().filter(|seen| seen.path() == "/ports");
    posts.map(|seen| seen.body["ports"].as_array().map_or(1, Vec::len)).collect()
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_share_a_request() {
    let script = one_worker(60_000);
    let ports = at_once(&script.cloud(), 30).await;
    for (device, port) in ports.into_iter().enumerate() {
        assert_eq!(port.unwrap().device_id, device.to_string());
    }
    let sizes = sizes(&script);
    assert_eq!(sizes[..2], [1, 1], "the first ones wait for nobody");
    assert_eq!(sizes.iter().sum::<usize>(), 30);
    assert!(sizes.len() < 22 && sizes.iter().all(|size| *size <= 5), "{sizes:?}");
    let asked = script.asked();
    assert_eq!(asked.iter().filter(|seen| seen.path().starts_with("/network-ip-av")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_service_need_not_be_known_before() {
    let script = with(Worker::slow(WORK * 5), 60_000);
    assert!(at_once(&script.cloud(), 30).await.iter().all(Result::is_ok));
    let sizes = sizes(&script);
    assert_eq!(sizes[..2], [1, 1], "the first ones wait for nobody");
    assert!(sizes[2] > 1 && sizes.len() <= 15, "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_service_with_room_makes_no_fewer_of_them() {
    let begun = Instant::now();
    at_once(&many_workers().cloud(), 96).await;
    let together = begun.elapsed();
    let (cloud, begun) = (many_workers().cloud(), Instant::now());
    let ports: Vec<NewPort> = (0..96).map(wanted).collect();
    join_all(ports.iter().map(|port| cloud.network().create_port(port))).await;
    assert!(together <= begun.elapsed(), "{together:?} together, {:?} one by one", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_is_alone() {
    let script = one_worker(60_000);
    let cloud = script.cloud();
    for device in 0..3 {
        cloud.network().create_port_with_others(&wanted(device)).await.unwrap();
    }
    assert_eq!(sizes(&script), [1, 1, 1]);
    assert_eq!(script.asked().len(), 3, "nobody asks for addresses");
}

#[tokio::test(start_paused = true)]
async fn where_addresses_are_scarce_each_is_alone() {
    let worker = Worker::new();
    let untold = Script::of(move |seen| match seen.path() {
        "/ports" => worker.makes(&seen.body),
        _ => refusal(404, "NetworkNotFound"),
    });
    for script in [one_worker(20), untold] {
        let ports = at_once(&script.cloud(), 30).await;
        assert!(ports.iter().all(Result::is_ok));
        assert_eq!(sizes(&script), [1; 30]);
        assert_eq!(script.asked().len(), 31, "it is asked once");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_together_is_asked_for_alone_and_not_together_for_an_hour() {
    let worker = Worker::new();
    let script = Script::of(move |seen| match &seen.body {
        body if body["ports"].is_array() => refusal(404, "SecurityGroupNotFound"),
        body if body["port"]["device_id"] == "4" => refusal(404, "SecurityGroupNotFound"),
        body if body["port"].is_object() => worker.makes(body),
        _ => free(60_000, 0),
    });
    let cloud = script.cloud();
    for (device, port) in at_once(&cloud, 30).await.into_iter().enumerate() {
        assert_eq!(port.is_ok(), device != 4);
    }
    let before = sizes(&script);
    // Those that were under way already, too.
    assert!((1..=3).contains(&before.iter().filter(|size| **size > 1).count()), "{before:?}");
    at_once(&cloud, 30).await;
    assert_eq!(sizes(&script)[before.len()..], [1; 30]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_leaves_all_of_them_in_doubt() {
    let worker = Worker::new();
    let script = Script::of(move |seen| match &seen.body {
        body if body["ports"].is_array() => Step::Lost,
        body if body["port"].is_object() => worker.makes(body),
        _ => free(60_000, 0),
    });
    let ports = at_once(&script.cloud(), 30).await;
    let shared: usize = sizes(&script).into_iter().filter(|size| *size > 1).sum();
    let in_doubt = ports.iter().filter(|port| port.as_ref().is_err_and(Error::outcome_unknown)).count();
    assert!(shared > 1);
    assert_eq!(in_doubt, shared);
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_gets_no_port_and_takes_no_other_along() {
    let script = one_worker(60_000);
    let cloud = script.cloud();
    let network = cloud.network();
    let (first, second, third, fourth) = (wanted(1), wanted(2), wanted(3), wanted(4));
    let [one, two, four] = [&first, &second, &fourth].map(|port| network.create_port_with_others(port));
    // Gives up while it waits for its turn.
    let impatient = tokio::time::timeout(WORK / 2, network.create_port_with_others(&third));
    let (one, two, three, four) = tokio::join!(one, two, impatient, four);
    assert!(one.is_ok() && two.is_ok() && three.is_err() && four.is_ok());
    let asked: Vec<Value> =
        script.asked().into_iter().map(|seen| seen.body).filter(|body| body["port"].is_object()).collect();
    assert!(asked.iter().all(|body| body["port"]["device_id"] != "3"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_the_others_in_doubt() {
    let worker = Worker::new();
    let script = Script::of(move |seen| match &seen.body {
        body if body["ports"].is_array() => Step::Silence,
        body if body["port"].is_object() => worker.makes(body),
        _ => free(60_000, 0),
    });
    let cloud = script.cloud();
    let ask = |device| {
        let cloud = cloud.clone();
        async move { cloud.network().create_port_with_others(&wanted(device)).await }
    };
    let mut asking: Vec<_> = (0..30).map(|device| tokio::spawn(ask(device))).collect();
    let shared = loop {
        tokio::time::sleep(WORK).await;
        let asked = script.asked();
        if let Some(ports) = asked.iter().find_map(|seen| seen.body["ports"].as_array()) {
            break ports
                .iter()
                .map(|port| port["device_id"].as_str().unwrap().parse().unwrap())
                .collect::<Vec<usize>>();
        }
    };
    // Who sends it has its own port first.
    asking[shared[0]].abort();
    let error = (&mut asking[shared[1]]).await.unwrap().unwrap_err();
    assert!(error.outcome_unknown() && error.kind() == ErrorKind::Unavailable, "{error:?}");
}
