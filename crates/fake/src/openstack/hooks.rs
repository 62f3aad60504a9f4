//! What tests and the lab do to a cloud besides asking it: set it up, look into it, and play its data plane.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};

use super::neutron::{self, Caller, Kind};
use super::octavia;
use super::options::ADMIN_PASSWORD;
use super::request::Ask;
use super::world::{Attributes, Touched, World};
use super::{BindPolicy, Cloud, Latency, Seen};

/// A port came, changed or went. Both sides have all attributes, as an administrator sees them.
#[derive(Clone, Debug)]
pub struct PortChange {
    /// Its id.
    pub id: String,
    /// The port before, unless it is new.
    pub before: Option<Arc<Value>>,
    /// The port now, unless it is gone.
    pub after: Option<Arc<Value>>,
}

/// A network made by [`Cloud::seed_network`].
#[derive(Clone, Debug)]
pub struct Seeded {
    /// The network's id.
    pub network: String,
    /// The ids of its subnets, in the order of the prefixes given.
    pub subnets: Vec<String>,
}

impl Cloud {
    /// Makes a network with a subnet for each prefix, for a project (made if there is none of that name). Gateway and
    /// pools are Neutron's defaults.
    ///
    /// # Panics
    ///
    /// If Neutron refuses a prefix: it is not one, or overlaps another.
    pub fn seed_network(&self, project: &str, name: &str, cidrs: &[&str]) -> Seeded {
        let project = self.project(project);
        let network = self.create("networks", json!({"name": name, "project_id": project}));
        let network = network["id"].as_str().unwrap_or_default().to_owned();
        let subnets = cidrs.iter().map(|cidr| {
            let version = if cidr.contains(':') { 6 } else { 4 };
            let subnet = json!({
                "network_id": network, "cidr": cidr, "ip_version": version, "name": format!("{name}-{cidr}"),
                "project_id": project,
            });
            self.create("subnets", subnet)["id"].as_str().unwrap_or_default().to_owned()
        });
        let subnets = subnets.collect();
        Seeded { network, subnets }
    }

    /// Makes any resource as an administrator: `create("ports", json!({"network_id": …}))`. Answers the resource.
    ///
    /// # Panics
    ///
    /// If Neutron refuses: the message is its body.
    #[track_caller]
    pub fn create(&self, collection: &str, resource: Value) -> Value {
        let kind = kind(collection);
        let body = json!({kind.singular(): resource});
        self.ask(Method::POST, collection, &body)[kind.singular()].take()
    }

    /// Changes a resource as an administrator. Answers the resource.
    ///
    /// # Panics
    ///
    /// As [`Cloud::create`].
    #[track_caller]
    pub fn update(&self, collection: &str, id: &str, change: Value) -> Value {
        let kind = kind(collection);
        self.ask(Method::PUT, &format!("{collection}/{id}"), &json!({kind.singular(): change}))[kind.singular()].take()
    }

    /// Deletes a resource as an administrator.
    ///
    /// # Panics
    ///
    /// As [`Cloud::create`].
    #[track_caller]
    pub fn delete(&self, collection: &str, id: &str) {
        self.ask(Method::DELETE, &format!("{collection}/{id}"), &Value::Null);
    }

    /// Gives a router an interface in a subnet, as an administrator.
    ///
    /// # Panics
    ///
    /// If Neutron refuses: the message is its body.
    #[track_caller]
    pub fn add_router_interface(&self, router: &str, subnet: &str) {
        self.ask(Method::PUT, &format!("routers/{router}/add_router_interface"), &json!({ "subnet_id": subnet }));
    }

    /// Makes a port an interface of a router, as an administrator: a second router in a subnet has no other way.
    ///
    /// # Panics
    ///
    /// If Neutron refuses: the message is its body.
    #[track_caller]
    pub fn add_router_port(&self, router: &str, port: &str) {
        self.ask(Method::PUT, &format!("routers/{router}/add_router_interface"), &json!({ "port_id": port }));
    }

    /// All of a collection (`ports`, `security-groups`), as an administrator sees them.
    ///
    /// # Panics
    ///
    /// If there is no such collection.
    #[track_caller]
    pub fn list(&self, collection: &str) -> Vec<Value> {
        let kind = kind(collection);
        let world = self.world();
        world.all(kind).map(|object| neutron::shown(&world, kind, object)).collect()
    }

    /// One resource, as an administrator sees it.
    ///
    /// # Panics
    ///
    /// If there is no such collection.
    #[track_caller]
    pub fn get(&self, collection: &str, id: &str) -> Option<Value> {
        let kind = kind(collection);
        let world = self.world();
        world.get(kind, id).map(|object| neutron::shown(&world, kind, object))
    }

    /// All ports, as an administrator sees them.
    pub fn ports(&self) -> Vec<Value> {
        self.list("ports")
    }

    /// The id of a project with this name, made if there is none.
    pub fn project(&self, name: &str) -> String {
        let mut world = self.world();
        let World { ids, identity, .. } = &mut *world;
        identity.add_project(ids, name)
    }

    /// Adds a user, or gives a known one another password and roles in a project. Answers the user's id.
    pub fn add_user(&self, name: &str, password: &str, project: &str, roles: &[&str]) -> String {
        let project = self.project(project);
        let mut world = self.world();
        let World { ids, identity, .. } = &mut *world;
        identity.add_user(ids, name, password, &project, roles)
    }

    /// Makes an application credential for a user in a project. Answers its id and its secret; `None` if there is no such
    /// user.
    pub fn add_application_credential(&self, user: &str, project: &str, name: &str) -> Option<(String, String)> {
        let project = self.project(project);
        let mut world = self.world();
        let World { ids, identity, .. } = &mut *world;
        identity.add_application_credential(ids, user, &project, name)
    }

    /// Makes every token invalid, as a change of Keystone's keys does.
    pub fn revoke_all_tokens(&self) {
        self.world().identity.tokens.clear();
    }

    /// How long tokens live from now on.
    pub fn set_token_life(&self, life: Duration) {
        self.world().identity.token_life = life;
    }

    /// Where the services are, for the catalog: `http://127.0.0.1:5000/v3`, `http://127.0.0.1:9696`. An empty URL takes a
    /// service out of the catalog.
    pub fn set_endpoints(&self, identity: &str, network: &str) {
        let mut world = self.world();
        world.identity.set_service_url("identity", identity);
        world.identity.set_service_url("network", network);
    }

    /// Where Octavia is, for the catalog. An empty URL takes it out: a cloud without load balancers.
    pub fn set_load_balancer_endpoint(&self, url: &str) {
        self.world().identity.set_service_url("load-balancer", url);
    }

    /// Where Keystone is, with its version: what `OS_AUTH_URL` wants.
    pub fn auth_url(&self) -> String {
        self.world().identity.service_url("identity").to_owned()
    }

    /// Where Neutron is.
    pub fn network_url(&self) -> String {
        self.world().identity.service_url("network").to_owned()
    }

    /// The `OS_*` settings for one of the users a new cloud has (`k8s-admin` in project `k8s`, …).
    pub fn openrc(&self, user: &str, project: &str) -> Vec<(&'static str, String)> {
        let region = self.world().identity.region.clone();
        vec![
            ("OS_AUTH_URL", self.auth_url()),
            ("OS_IDENTITY_API_VERSION", "3".to_owned()),
            ("OS_USERNAME", user.to_owned()),
            ("OS_PASSWORD", ADMIN_PASSWORD.to_owned()),
            ("OS_PROJECT_NAME", project.to_owned()),
            ("OS_USER_DOMAIN_NAME", "Default".to_owned()),
            ("OS_PROJECT_DOMAIN_NAME", "Default".to_owned()),
            ("OS_REGION_NAME", region),
        ]
    }

    /// How ports are bound from now on: on one host, or (`None`) on all hosts that have no policy of their own.
    pub fn bind_policy(&self, host: Option<&str>, policy: BindPolicy) {
        let mut world = self.world();
        match host {
            Some(host) => {
                world.bindings.hosts.insert(host.to_owned(), policy);
            }
            None => world.bindings.default = policy,
        }
    }

    /// Whether the cloud has an extension from now on. `tag-creation` is off at first.
    pub fn set_extension(&self, alias: &str, on: bool) {
        let mut world = self.world();
        match on {
            true => world.without_extensions.remove(alias),
            false => world.without_extensions.insert(alias.to_owned()),
        };
    }

    /// The quota of a project for a resource (`port`, `security_group_rule`, …); -1 is no limit.
    pub fn set_quota(&self, project: &str, resource: &str, limit: i64) {
        let project = self.project(project);
        self.world().quotas.set(&project, resource, limit);
    }

    /// Whether a list of ports that is refused because of an address costs the addresses found for the others until the
    /// subnet is deleted, as with Neutron 21. It does at first.
    pub fn set_strands_addresses(&self, strands: bool) {
        self.world().strands_addresses = strands;
    }

    /// The MTU of new networks, in bytes.
    pub fn set_mtu(&self, mtu: u32) {
        self.world().mtu = mtu;
    }

    /// How long a provider of load balancers takes for a change from now on.
    pub fn set_load_balancer_step(&self, step: Duration) {
        self.world().lbaas.step = step;
    }

    /// The newest version of Octavia's API from now on: 2 and this.
    pub fn set_load_balancing_version(&self, minor: u32) {
        self.world().lbaas.newest = minor;
    }

    /// The quota of a project for load balancers and what is on them (`load_balancer`, `listener`, `member`, …); -1 is no limit.
    pub fn set_load_balancing_quota(&self, project: &str, resource: &str, limit: i64) {
        let project = self.project(project);
        self.world().lbaas.quotas.insert((project, resource.to_owned()), limit);
    }

    /// All of a collection of Octavia's (`loadbalancers`, `listeners`, `pools`, `healthmonitors`, `l7policies`, and the `members` and `rules`
    /// below them), as an administrator sees them.
    ///
    /// # Panics
    ///
    /// If there is no such collection.
    #[track_caller]
    pub fn load_balancing(&self, collection: &str) -> Vec<Value> {
        let kind = octavia_kind(collection);
        let mut world = self.world();
        self.settle(&mut world);
        world.lbaas.all(kind).map(|object| octavia::shown(&world.lbaas, kind, object)).collect()
    }

    /// Makes a load balancer as an administrator, done at once. Answers its id.
    ///
    /// # Panics
    ///
    /// If Octavia refuses: the message is its body.
    #[track_caller]
    pub fn create_load_balancer(&self, resource: &Value) -> String {
        let mut world = self.world();
        let id = octavia::create(&mut world, resource).unwrap_or_else(|refusal| panic!("{}", refusal.message));
        world.lbaas.change(octavia::Kind::LoadBalancer, &id, |object| object.set("provisioning_status", "ACTIVE"));
        self.publish_balancing(&mut world);
        id
    }

    /// Sets the provisioning status of a load balancer and of nothing on it, as a provider does that failed: `ERROR`. Whether there
    /// is such a load balancer.
    pub fn set_load_balancer_status(&self, id: &str, status: &str) -> bool {
        self.set_load_balancing_status("loadbalancers", id, status)
    }

    /// The same of anything of Octavia's, by the name of its collection as in [`Cloud::load_balancing`].
    ///
    /// # Panics
    ///
    /// If there is no such collection.
    #[track_caller]
    pub fn set_load_balancing_status(&self, collection: &str, id: &str, status: &str) -> bool {
        let kind = octavia_kind(collection);
        let mut world = self.world();
        self.settle(&mut world);
        world.lbaas.change(kind, id, |object| object.set("provisioning_status", status));
        world.lbaas.get(kind, id).is_some()
    }

    /// What an administrator does with Octavia's own client (`PUT`, `pools/<id>`), without faults, latency or log. What is deleted
    /// takes along what is on it.
    ///
    /// # Errors
    ///
    /// Octavia's refusal, in its words: that the load balancer is immutable, as a rule.
    pub fn administer_load_balancing(&self, method: Method, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let cascade = vec![("cascade".to_owned(), "true".to_owned())];
        let ask = Ask { query: cascade, ..Ask::internal(method, path, body) };
        let mut world = self.world();
        self.settle(&mut world);
        match octavia::answer_administrator(&mut world, &ask) {
            Ok(answer) => {
                self.publish_balancing(&mut world);
                Ok(answer.body.unwrap_or_default())
            }
            Err(refusal) => {
                world.rollback();
                Err(refusal.message)
            }
        }
    }

    /// Takes a load balancer and all on it away at once, as if it had been deleted behind everybody's back.
    pub fn lose_load_balancer(&self, id: &str) {
        let mut world = self.world();
        octavia::lose(&mut world, id);
        self.publish_balancing(&mut world);
    }

    /// Tells of every change of load balancers and what is on them that Octavia takes, as soon as it has taken it: when providers
    /// begin, which is before they are done. What there is then says [`Cloud::load_balancing`].
    pub fn load_balancing_changes(&self) -> watch::Receiver<u64> {
        self.0.balancing.subscribe()
    }

    /// How long the cloud takes to answer from now on.
    pub fn set_latency(&self, latency: Latency) {
        self.settings().latency = latency;
    }

    /// Plays a data plane that always works: a port bound to a host becomes ACTIVE so long after its binding. `None`
    /// leaves it to [`Cloud::set_port_status`].
    pub fn activate_bound_ports_after(&self, delay: Option<Duration>) {
        self.settings().activate_after = delay;
    }

    /// Sets a port's status, as a data plane does: `ACTIVE`, `DOWN`, `ERROR`. Whether there is such a port.
    pub fn set_port_status(&self, id: &str, status: &str) -> bool {
        let mut world = self.world();
        let Some(port) = world.get(Kind::Port, id) else {
            return false;
        };
        if port.text("status") != status {
            world.revise(Kind::Port, id, |port| port.set("status", status));
            neutron::port_status_changed(&mut world, id);
            self.publish(&mut world);
        }
        true
    }

    /// Everything that happens to ports from now on. A receiver that falls 16 384 changes behind misses some, and is told.
    pub fn port_changes(&self) -> broadcast::Receiver<PortChange> {
        self.0.changes.subscribe()
    }

    /// The requests so far, oldest first; the last 100 000 of them.
    pub fn requests(&self) -> Vec<Seen> {
        self.log(|log| log.seen.iter().cloned().collect())
    }

    /// How many requests with this method and a path that begins like this there were, of those still in the log.
    pub fn count(&self, method: &Method, path: &str) -> usize {
        self.log(|log| log.seen.iter().filter(|seen| seen.method == *method && seen.path.starts_with(path)).count())
    }

    /// How many requests there were.
    pub fn total_requests(&self) -> u64 {
        self.log(|log| log.total)
    }

    /// How many requests asked for a change, authentication not counted.
    pub fn total_writes(&self) -> u64 {
        self.log(|log| log.writes)
    }

    /// Forgets the requests so far, and the counts.
    pub fn forget_requests(&self) {
        self.log(|log| *log = super::log::Log::default());
    }

    fn log<T>(&self, read: impl FnOnce(&mut super::log::Log) -> T) -> T {
        read(&mut self.0.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits, tells who listens, and plays the data plane if that is wanted.
    pub(super) fn publish(&self, world: &mut World) {
        for touched in world.commit() {
            self.activate_later(&touched);
            if self.0.changes.receiver_count() == 0 {
                continue;
            }
            let shown = |port: &Option<_>| port.as_ref().map(|port| Arc::new(neutron::shown(world, Kind::Port, port)));
            let change = PortChange { before: shown(&touched.before), after: shown(&touched.after), id: touched.id };
            // Nobody may be listening any more.
            let _ = self.0.changes.send(change);
        }
    }

    /// The same of a change of Octavia's, and whoever listens for those is told.
    pub(super) fn publish_balancing(&self, world: &mut World) {
        self.publish(world);
        self.0.balancing.send_modify(|changes| *changes += 1);
    }

    fn activate_later(&self, touched: &Touched) {
        let Some(port) = &touched.after else {
            return;
        };
        let host = |port: &super::world::Object| port.text("binding:host_id").to_owned();
        let was_bound = touched.before.as_ref().is_some_and(|before| host(before) == host(port));
        let bound = !matches!(port.text("binding:vif_type"), "" | "unbound" | "binding_failed");
        let Some(delay) = self.settings().activate_after.filter(|_| bound && !was_bound) else {
            return;
        };
        let (cloud, id, host) = (self.clone(), touched.id.clone(), host(port));
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let still_there =
                cloud.world().get(Kind::Port, &id).is_some_and(|port| port.text("binding:host_id") == host);
            if still_there {
                cloud.set_port_status(&id, "ACTIVE");
            }
        });
    }

    /// Asks Neutron as an administrator, without faults, latency or log.
    #[track_caller]
    fn ask(&self, method: Method, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let ask = Ask::internal(method, &format!("/v2.0/{path}"), body);
        let mut world = self.world();
        match neutron::answer_as(&mut world, &Caller::nobody(), &ask) {
            Ok(answer) => {
                self.publish(&mut world);
                answer.body.unwrap_or_default()
            }
            Err(refusal) => {
                world.rollback();
                drop(world);
                panic!("the cloud refused {} {}: {}", ask.method, ask.path, refusal.neutron())
            }
        }
    }
}

#[track_caller]
fn octavia_kind(collection: &str) -> octavia::Kind {
    let kind = octavia::Kind::ALL.into_iter().find(|kind| kind.many() == collection);
    kind.unwrap_or_else(|| panic!("Octavia has no collection {collection}"))
}

#[track_caller]
fn kind(collection: &str) -> Kind {
    Kind::at(collection).unwrap_or_else(|| panic!("there is no collection {collection}: say ports, security-groups, …"))
}
