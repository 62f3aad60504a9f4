//! Pods' lives under faults and kills.
//!
//! Users create, delete and rename pods, nodes wire and run them. At rest there is one port per living pod, none for the others, and
//! nothing is touched that is not ours.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use kuryr_fake::faults::{Chances, Lose, Rule};
use serde_json::{Value, json};

use crate::history;
use crate::lies::lying;
use crate::seeds::{self, say};
use crate::world::{KURYR_PORTS, NAMESPACE, PODS, Running, World, at_rest};

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
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = fastrand::Rng::with_seed(seed);
        let world = history::world(seed);
        if random.bool() {
            world.cloud.set_extension("tag-ports-during-bulk-creation", false);
        }
        let strangers = strangers(&world);
        let chances = |random: &mut fastrand::Rng| Chances::of_each(random.f64() * 0.08);
        world.cloud.faults().random(random.u64(..), chances(&mut random));
        world.cluster.faults().random(random.u64(..), chances(&mut random));
        History { world, random, controller: None, strangers, sabotaged: BTreeSet::new() }
    }

    async fn unfold(&mut self) {
        self.controller = Some(self.world.start());
        for _ in 0..self.random.usize(40..120) {
            let pause = Duration::from_millis(self.random.u64(0..4000));
            self.world.pass(pause).await;
            self.step();
            self.nobody_has_two_ports();
            self.world.witness.nobody_spins();
        }
        say("--- the faults end");
        history::end_faults(&self.world);
        if self.controller.is_none() {
            self.controller = Some(self.world.start());
        }
        self.world.until(PATIENCE, |world| at_rest(world, &self.sabotaged)).await;
        say("--- at rest; every pod ends");
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
                say(&format!("{name} is asked to end"));
                self.world.cluster.delete(PODS, NAMESPACE, name).unwrap();
            }
            (20..45, Some(_)) => {
                say(&format!("{name} is gone"));
                self.world.remove_pod(name);
            }
            (45..52, Some(_)) => {
                say(&format!("{name} completes"));
                let phase = if self.random.bool() { "Succeeded" } else { "Failed" };
                self.world.cluster.patch(PODS, NAMESPACE, name, &json!({ "status": { "phase": phase } })).unwrap();
            }
            (52..58, Some(pod)) if pod["spec"]["nodeName"].is_null() => {
                say(&format!("{name} is scheduled"));
                self.world.cluster.patch(PODS, NAMESPACE, name, &json!({ "spec": { "nodeName": "n2" } })).unwrap();
            }
            (58..62, _) if self.world.kuryr_port(name).is_some() => {
                say(&format!("KuryrPort {name} is deleted by hand"));
                let _ = self.world.cluster.delete(KURYR_PORTS, NAMESPACE, name);
            }
            (62..65, Some(pod)) => self.sabotage(name, &pod),
            (65..68, _) => self.world.cluster.compact(),
            (68..72, _) => self.world.cluster.cut_watches(),
            (72..74, _) => self.world.cloud.revoke_all_tokens(),
            (74..90, _) => match self.controller.take() {
                Some(controller) => {
                    say("the controller is killed");
                    controller.kill();
                    if self.random.bool() {
                        self.controller = Some(self.world.start());
                    }
                }
                None => {
                    say("the controller starts");
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
        say(&format!("{name} is created: {uid}"));
    }

    fn sabotage(&mut self, name: &str, pod: &Value) {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
        if let Some(ports) = self.world.pod_ports().get(uid) {
            say(&format!("the port of {name} is deleted by hand"));
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

/// Runs one seed to its end; `change` is made before it begins.
fn run(seed: u64, change: impl FnOnce(&mut World)) -> Result<(), String> {
    seeds::on_a_clock_of_its_own(async {
        let mut history = History::new(seed);
        change(&mut history.world);
        history.unfold().await;
    })
}

#[test]
fn every_seed_comes_to_rest() {
    seeds::every(50, |seed| run(seed, |_| {}));
}

// ---- the invariants catch broken code ------------------------------------------------------------------------------

type Lie = fn(&http::Request<bytes::Bytes>) -> Option<Value>;

fn is_noticed(lie: Lie) -> bool {
    let broken = |seed| run(seed, |world| world.transport = lying(world.transport.clone(), lie));
    seeds::notice(broken, |seed| run(seed, |_| {}))
}

#[test]
fn a_controller_that_never_looks_for_its_ports_is_caught() {
    let blind: Lie = |request| {
        let query = request.uri().query().unwrap_or_default();
        let looks = request.method() == Method::GET && request.uri().path().ends_with("/v2.0/ports");
        (looks && !query.contains("fields=status")).then(|| json!({ "ports": [] }))
    };
    assert!(is_noticed(blind));
}

#[test]
fn a_controller_that_does_not_release_ports_is_caught() {
    let lazy: Lie = |request| (request.method() == Method::DELETE).then_some(Value::Null);
    assert!(is_noticed(lazy));
}

#[tokio::test(start_paused = true)]
async fn a_scripted_lost_answer_makes_no_second_port() {
    let world = World::new(1);
    let lost = Rule::on(Method::POST, "*/v2.0/ports").times(1).lose(Lose::AfterEffect);
    world.cloud.faults().script(lost);
    world.create_pod("a", "n1", json!({}));
    let controller = world.start();
    world.until(Duration::from_secs(30), |world| at_rest(world, &BTreeSet::new())).await;
    assert_eq!(world.cloud.count(&Method::POST, "/v2.0/ports"), 1);
    controller.stop().await;
}
