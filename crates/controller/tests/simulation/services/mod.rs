//! Services' lives under faults and kills.
//!
//! Users create, change and delete Services, endpoints come and go, somebody meddles with Octavia and Neutron behind our back, load
//! balancers fail. At every look a Service's status tells no address that is not there, and no address changes that nobody asked to
//! change. At rest Octavia and Neutron have what is `expected`, nobody changes anything any more, and when all Services are gone
//! nothing of theirs is left.

mod expected;
mod knife;
mod meddling;
mod rest;
mod sabotage;
mod users;

use std::time::Duration;

use kuryr_fake::faults::Chances;
use serde_json::{Value, json};

use self::knife::Knife;
use self::rest::Watchman;
use crate::history;
use crate::seeds::{self, say};
use crate::world::{Running, World, outside};

/// Kinds in the words of the fake.
const SERVICES: &str = "services";
const SLICES: &str = "endpointslices.discovery.k8s.io";
const RECORDS: &str = "kuryrloadbalancers.openstack.org";
/// Few names, so that successors of the same name are common.
const NAMES: [&str; 4] = ["a", "b", "c", "web"];

/// One history.
pub struct History {
    pub world: World,
    random: fastrand::Rng,
    controller: Option<Running>,
    knife: Knife,
    watchman: Watchman,
    /// What of others must stay as it is.
    strangers: Vec<(&'static str, Value)>,
    /// For each of [`NAMES`] the address of a floating IP that its users made.
    own_addresses: Vec<String>,
    /// The last host number of an address in the cluster that was given to a Service.
    last_address: u8,
    /// The world must come to rest in this simulated time once nothing goes wrong any more.
    patience: Duration,
}

/// What failed over and over waits for up to 10 minutes before it is repaired.
const PATIENCE: Duration = Duration::from_secs(3600);

impl History {
    fn new(seed: u64) -> History {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = history::world(seed);
        world.config.activation_interval = Duration::from_secs(2);
        let provider = if random.bool() { "ovn" } else { "amphora" };
        let network = outside::balance(&mut world, provider);
        world.cloud.set_load_balancing_version(random.u32(26..=27));
        let own_addresses = NAMES.map(|_| outside::make_floating(&world, &network, &json!({})).1).into();
        let strangers = meddling::strangers(&world, &network);
        let step = [0, 300, 2_000, 9_000][random.usize(..4)];
        world.cloud.set_load_balancer_step(Duration::from_millis(step));
        let most = random.f64() * 0.06;
        world.cloud.faults().random(random.u64(..), Chances::of_each(most));
        // A write of a controller that was killed must not arrive later: nobody could keep the status true then.
        let prompt = Chances { delay: 0.0, ..Chances::of_each(most) };
        world.cluster.faults().random(random.u64(..), prompt);
        let knife = Knife::default();
        History {
            world,
            random,
            controller: None,
            knife,
            watchman: Watchman::default(),
            strangers,
            own_addresses,
            last_address: 9,
            patience: PATIENCE,
        }
    }

    fn start_controller(&mut self) {
        let mut world = self.world.clone();
        world.transport = self.knife.over(world.transport);
        self.controller = Some(world.start());
    }

    async fn unfold(&mut self) {
        self.start_controller();
        for _ in 0..self.random.usize(40..100) {
            let pause = Duration::from_millis(self.random.u64(0..4000));
            tokio::time::sleep(pause).await;
            if self.random.u32(0..100) < 78 {
                self.use_cluster()
            } else {
                self.meddle()
            }
            if self.random.u32(0..100) < 14 {
                self.kill_or_start();
            }
            self.watchman.looks(&self.world);
            self.world.witness.nobody_spins();
        }
        say("--- the faults end");
        history::end_faults(&self.world);
        self.lift_quotas();
        self.knife.sheathe();
        if self.controller.as_ref().is_none_or(Running::has_ended) {
            self.start_controller();
        }
        self.rests().await;
        say("--- at rest; every Service goes");
        NAMES.iter().for_each(|name| self.remove(name));
        self.rests().await;
        self.strangers_are_as_they_were();
    }

    /// The controller ends wherever it is, at its next call or in the middle of one; or it starts.
    fn kill_or_start(&mut self) {
        match self.controller.take().filter(|controller| !controller.has_ended()) {
            None => {
                say("the controller starts");
                self.start_controller();
            }
            Some(controller) if self.random.bool() => {
                let (calls, before) = (self.random.usize(0..12), self.random.bool());
                say(&format!(
                    "the controller will be killed {calls} changes on, {}",
                    if before { "before" } else { "after" }
                ));
                self.knife.draw(calls, before, controller.handle());
                self.controller = Some(controller);
            }
            Some(controller) => {
                say("the controller is killed");
                controller.kill();
                if self.random.bool() {
                    self.start_controller();
                }
            }
        }
    }

    fn strangers_are_as_they_were(&self) {
        for (collection, stranger) in &self.strangers {
            let now = match *collection {
                "floatingips" => self.world.cloud.list(collection),
                _ => self.world.cloud.load_balancing(collection),
            };
            let now = now.into_iter().find(|it| it["id"] == stranger["id"]);
            assert_eq!(now.as_ref(), Some(stranger), "what is not ours was touched");
        }
    }
}

/// Runs one seed to its end; `change` is made before it begins.
fn run(seed: u64, change: impl FnOnce(&mut History)) -> Result<(), String> {
    seeds::on_a_clock_of_its_own(async {
        let mut history = History::new(seed);
        change(&mut history);
        history.unfold().await;
    })
}

#[test]
fn every_service_comes_to_rest() {
    seeds::every(30, |seed| run(seed, |_| {}));
}
