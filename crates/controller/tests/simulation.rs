//! Pods' lives under faults and kills, by seed, on the paused clock.
//!
//! Every seed is another history: users create, delete and rename pods, nodes wire and run them, the cloud and the API server
//! fail and lose answers, the controller is killed at whatever it awaits. Then the faults end, and the world must come to rest:
//! one port per living pod, none for the others, nothing touched that is not ours.
//!
//! - `KURYR_SIM_SEED=17` replays one seed (add `--nocapture` to see its history).
//! - `KURYR_SIM_SEEDS=5000` runs so many (default 50), `KURYR_SIM_SECONDS=600` at most so long.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod world;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use kuryr_fake::faults::{Chances, Rule};
use kuryr_openstack::{Transport, TransportError};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;
use world::{KURYR_PORTS, NAMESPACE, PODS, Running, World, at_rest};

/// The world must come to rest in this simulated time once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(600);
/// Few names, so that successors of the same name are common.
const NAMES: [&str; 8] = ["a", "b", "c", "web-0", "web-1", "job", "d", "e"];

/// One history.
struct History {
    world: World,
    random: fastrand::Rng,
    controller: Option<Running>,
    strangers: Vec<Value>,
    /// Ports that were deleted by hand: their pods lost their network, and are told so.
    sabotaged: BTreeSet<String>,
    verbose: bool,
}

impl History {
    fn new(seed: u64, verbose: bool) -> History {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(seed);
        world.config.drift_interval = Duration::from_secs(30);
        if random.bool() {
            world.cloud.set_extension("tag-ports-during-bulk-creation", false);
        }
        let strangers = strangers(&world);
        let chances = |random: &mut fastrand::Rng| Chances::of_each(random.f64() * 0.08);
        world.cloud.faults().random(random.u64(..), chances(&mut random));
        world.cluster.faults().random(random.u64(..), chances(&mut random));
        History { world, random, controller: None, strangers, sabotaged: BTreeSet::new(), verbose }
    }

    fn say(&self, text: &str) {
        if self.verbose {
            println!("{:>8.1} s  {text}", self.world.cloud.requests().last().map_or(0.0, |seen| seen.at.as_secs_f64()));
        }
    }

    async fn unfold(&mut self) {
        self.controller = Some(self.world.start());
        for _ in 0..self.random.usize(40..120) {
            let pause = Duration::from_millis(self.random.u64(0..4000));
            self.world.pass(pause).await;
            self.step();
            self.nobody_has_two_ports();
        }
        self.say("--- the faults end");
        self.world.cloud.faults().clear();
        self.world.cluster.faults().clear();
        if self.controller.is_none() {
            self.controller = Some(self.world.start());
        }
        self.world.until(PATIENCE, |world| at_rest(world, &self.sabotaged)).await;
        self.say("--- at rest; every pod ends");
        for name in NAMES {
            let _ = self.world.cluster.delete_now(PODS, NAMESPACE, name);
        }
        self.world.until(PATIENCE, |world| at_rest(world, &self.sabotaged)).await;
        for stranger in &self.strangers {
            let now = self.world.cloud.get("ports", stranger["id"].as_str().unwrap());
            assert_eq!(now.as_ref(), Some(stranger), "a port that is not ours was touched");
        }
    }

    /// Something happens.
    fn step(&mut self) {
        let name = *self.random.choice(NAMES.iter()).unwrap();
        let pod = self.world.pod(name);
        match (self.random.u32(0..100), pod) {
            (0..35, None) => self.create(name),
            (0..20, Some(_)) => {
                self.say(&format!("{name} is asked to end"));
                self.world.cluster.delete(PODS, NAMESPACE, name).unwrap();
            }
            (20..45, Some(_)) => {
                self.say(&format!("{name} is gone"));
                self.world.remove_pod(name);
            }
            (45..52, Some(_)) => {
                self.say(&format!("{name} completes"));
                let phase = if self.random.bool() { "Succeeded" } else { "Failed" };
                self.world.cluster.patch(PODS, NAMESPACE, name, &json!({ "status": { "phase": phase } })).unwrap();
            }
            (52..58, Some(pod)) if pod["spec"]["nodeName"].is_null() => {
                self.say(&format!("{name} is scheduled"));
                self.world.cluster.patch(PODS, NAMESPACE, name, &json!({ "spec": { "nodeName": "n2" } })).unwrap();
            }
            (58..62, _) if self.world.kuryr_port(name).is_some() => {
                self.say(&format!("KuryrPort {name} is deleted by hand"));
                let _ = self.world.cluster.delete(KURYR_PORTS, NAMESPACE, name);
            }
            (62..65, Some(pod)) => self.sabotage(name, &pod),
            (65..68, _) => self.world.cluster.compact(),
            (68..72, _) => self.world.cluster.cut_watches(),
            (72..74, _) => self.world.cloud.revoke_all_tokens(),
            (74..90, _) => match self.controller.take() {
                Some(controller) => {
                    self.say("the controller is killed");
                    controller.kill();
                    if self.random.bool() {
                        self.controller = Some(self.world.start());
                    }
                }
                None => {
                    self.say("the controller starts");
                    self.controller = Some(self.world.start());
                }
            },
            _ => {}
        }
    }

    fn create(&mut self, name: &str) {
        let change = match self.random.u32(0..10) {
            0 => json!({ "spec": { "hostNetwork": true } }),
            1 => json!({ "metadata": { "finalizers": ["kuryr.openstack.org/pod-finalizer"] } }),
            2 => json!({ "metadata": { "annotations": { "kubernetes.io/config.source": "file" } } }),
            3 => json!({ "spec": { "nodeName": null } }),
            _ => json!({}),
        };
        let uid = self.world.create_pod(name, if self.random.bool() { "n1" } else { "n2" }, change);
        self.say(&format!("{name} is created: {uid}"));
    }

    fn sabotage(&mut self, name: &str, pod: &Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(ports) = self.world.pod_ports().get(uid) {
            self.say(&format!("the port of {name} is deleted by hand"));
            self.sabotaged.insert(uid.to_owned());
            self.world.cloud.delete("ports", ports[0]["id"].as_str().unwrap());
        }
    }

    /// Holds at every moment but one: when a request was still on its way into the cloud as its controller was killed.
    /// The fake runs delayed requests to their end, so only delays can do this.
    fn nobody_has_two_ports(&self) {
        for (uid, ports) in self.world.pod_ports() {
            assert!(ports.len() <= 2, "{} ports for pod {uid}: {ports:#?}", ports.len());
        }
    }
}

/// Ports of others in the same network and project, each with all marks of ours but one.
fn strangers(world: &World) -> Vec<Value> {
    let base = json!({ "network_id": world.network.network, "project_id": world.cloud.project("k8s") });
    let changes = [
        json!({ "name": "a VM's", "device_owner": "compute:nova", "device_id": "vm" }),
        json!({ "name": "another cluster's", "device_owner": "compute:kuryr", "device_id": "their-pod", "description": "pod x/y kuryr:cluster=c2" }),
        json!({ "name": "tagged by somebody", "device_owner": "", "device_id": "gone", "description": "pod x/y kuryr:cluster=c1" }),
    ];
    let make = |change: &Value| {
        let mut port = base.clone();
        json_patch::merge(&mut port, change);
        let id = world.cloud.create("ports", port)["id"].as_str().unwrap().to_owned();
        world.cloud.get("ports", &id).unwrap()
    };
    changes.iter().map(make).collect()
}

/// Runs one seed to its end on a clock of its own.
fn run(seed: u64, verbose: bool, change: impl FnOnce(&mut World)) -> std::thread::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let work = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut history = History::new(seed, verbose);
            change(&mut history.world);
            history.unfold().await;
        });
    });
    std::panic::catch_unwind(work)
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {value:?}")))
}

#[test]
fn every_seed_comes_to_rest() {
    if let Some(seed) = setting("KURYR_SIM_SEED") {
        run(seed, true, |_| {}).unwrap();
        return;
    }
    let (seeds, limit) = (setting("KURYR_SIM_SEEDS").unwrap_or(50), setting("KURYR_SIM_SECONDS").unwrap_or(600));
    let begun = Instant::now();
    let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    // A history is one thread's: as many at once as there are cores.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while begun.elapsed() <= Duration::from_secs(limit) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if run(seed, false, |_| {}).is_err() {
                        failed.lock().unwrap().push(seed);
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let (done, mut failed) = (done.into_inner(), failed.into_inner().unwrap());
    failed.sort_unstable();
    println!("{done} seeds in {:.1} s", begun.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "{} of {done} seeds failed: {failed:?}; replay one with KURYR_SIM_SEED=…", failed.len());
    assert_eq!(done, seeds, "the time ended before the seeds did: raise KURYR_SIM_SECONDS");
}

// ---- the invariants catch broken code ------------------------------------------------------------------------------

/// The controller's way to the cloud, with an answer of its own where `lie` has one.
fn lying(
    honest: Transport,
    lie: impl Fn(&http::Request<bytes::Bytes>) -> Option<Value> + Clone + Send + Sync + 'static,
) -> Transport {
    BoxCloneSyncService::new(tower::service_fn(move |request: http::Request<bytes::Bytes>| {
        let (honest, answer) = (honest.clone(), lie(&request));
        async move {
            match answer {
                Some(Value::Null) => {
                    Ok::<_, TransportError>(http::Response::builder().status(204).body(bytes::Bytes::new()).unwrap())
                }
                Some(body) => Ok(http::Response::new(body.to_string().into())),
                None => honest.oneshot(request).await,
            }
        }
    }))
}

/// How many of the first seeds notice.
fn caught(lie: impl Fn(&http::Request<bytes::Bytes>) -> Option<Value> + Clone + Send + Sync + 'static) -> usize {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let lie = &lie;
    let caught = (0..10).filter(|seed| {
        run(*seed, false, |world| world.transport = lying(world.transport.clone(), lie.clone())).is_err()
    });
    let caught = caught.count();
    std::panic::set_hook(hook);
    caught
}

#[test]
fn a_controller_that_never_looks_for_its_ports_is_caught() {
    let blind = |request: &http::Request<bytes::Bytes>| {
        let query = request.uri().query().unwrap_or_default();
        let looks = request.method() == Method::GET && request.uri().path().ends_with("/v2.0/ports");
        (looks && !query.contains("fields=status")).then(|| json!({ "ports": [] }))
    };
    assert!(caught(blind) > 0);
}

#[test]
fn a_controller_that_does_not_release_ports_is_caught() {
    let lazy = |request: &http::Request<bytes::Bytes>| (request.method() == Method::DELETE).then_some(Value::Null);
    assert!(caught(lazy) > 0);
}

#[test]
fn a_scripted_lost_answer_makes_no_second_port() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(1);
        let lost = Rule::on(Method::POST, "*/v2.0/ports").times(1).lose(kuryr_fake::faults::Lose::AfterEffect);
        world.cloud.faults().script(lost);
        world.create_pod("a", "n1", json!({}));
        let controller = world.start();
        world.until(Duration::from_secs(30), |world| at_rest(world, &BTreeSet::new())).await;
        assert_eq!(world.cloud.count(&Method::POST, "/v2.0/ports"), 1);
        controller.stop().await;
    });
}
