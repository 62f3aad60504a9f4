//! Services on a model of Octavia that does at once what it is told: which calls, how many, and where they end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kuryr_openstack::load_balancing as octavia;
use kuryr_openstack::load_balancing::{LbAlgorithm, ListenerProtocol, LoadBalancingVersion, ProvisioningStatus};
use serde_json::{Value, json};

use super::abilities::Abilities;
use super::annotations::Annotations;
use super::desired::{Balancer, Desired, Listener, Setting, desired};
use super::facts::{Protocol, ServiceFacts, SliceFacts};
use super::marks::Marks;
use super::plan::{Call, Next, Step, Way, of_cloud};
use super::remarks;
use crate::balancing::index::Held;
use crate::config::MemberMode;

fn service(more: Value) -> ServiceFacts {
    let mut service = json!({
        "metadata": { "name": "web", "namespace": "default", "uid": "u" },
        "spec": { "type": "ClusterIP", "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"],
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" }] },
    });
    if let (Some(spec), Some(more)) = (service["spec"].as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    let service: Service = serde_json::from_value(service).unwrap();
    let facts = ServiceFacts::read(&service);
    assert_eq!(facts.wrong, [] as [String; 0]);
    facts
}

/// A slice of ready pods, `10.20.0.<host>`, with these ports.
fn slice(hosts: std::ops::Range<u8>, ports: &Value) -> Arc<SliceFacts> {
    let endpoints: Vec<Value> = hosts
        .map(|host| {
            json!({
                "addresses": [format!("10.20.0.{host}")], "conditions": { "ready": true },
                "targetRef": { "kind": "Pod", "name": format!("pod-{host}"), "namespace": "default" },
            })
        })
        .collect();
    let slice = json!({ "metadata": { "namespace": "default" }, "addressType": "IPv4", "endpoints": endpoints, "ports": ports });
    Arc::new(SliceFacts::read(&serde_json::from_value::<EndpointSlice>(slice).unwrap()))
}

fn http() -> Value {
    json!([{ "name": "http", "port": 8080, "protocol": "TCP" }])
}

fn setting() -> Setting {
    within("10.20.0.0/16")
}

fn within(prefix: &str) -> Setting {
    Setting {
        subnets: vec![("pods".to_owned(), prefix.parse().unwrap())],
        mode: MemberMode::L2,
        algorithm: LbAlgorithm::SourceIpPort,
        abilities: Abilities::of(Some("ovn"), LoadBalancingVersion::new(26)),
        ..Setting::default()
    }
}

fn ovn() -> Way {
    Way {
        provider: Some("ovn".to_owned()),
        marks: Marks::new("c", &[]),
        algorithm: LbAlgorithm::SourceIpPort,
        source_ranges: false,
        repairs: true,
        refused: BTreeSet::new(),
    }
}

fn balanced(desired: &Desired) -> &Balancer {
    match desired {
        Desired::Balanced(balancer) => balancer,
        Desired::Nothing(why) => panic!("nothing: {why}"),
    }
}

/// Does at once what it is told.
#[derive(Default)]
struct Model {
    there: Held,
    calls: Vec<Call>,
}

impl Model {
    fn settle(&mut self, wanted: &Desired) {
        for _ in 0..1000 {
            match of_cloud(wanted, &self.there, &ovn()) {
                None => return,
                Some(Next::Do(Step::Cloud(call), _) | Next::Repair(call, _)) => {
                    self.obey(&call, wanted);
                    self.calls.push(call);
                }
                Some(next) => panic!("the model only knows calls: {next:?}"),
            }
        }
        panic!("no end: {:?}", &self.calls[..20]);
    }

    fn calls_for(&mut self, wanted: &Desired) -> usize {
        let before = self.calls.len();
        self.settle(wanted);
        self.calls.len() - before
    }

    fn obey(&mut self, call: &Call, wanted: &Desired) {
        let id = format!("{}", self.calls.len());
        let there = &mut self.there;
        let active = ProvisioningStatus::Active;
        match call {
            Call::CreateBalancer => {
                let wanted = balanced(wanted);
                there.balancer = Some(octavia::LoadBalancer {
                    id,
                    provisioning_status: active,
                    vip_address: Some(wanted.vip),
                    provider: "ovn".to_owned(),
                    ..octavia::LoadBalancer::default()
                });
            }
            Call::DeleteBalancer(_) | Call::FailOver(_) => *there = Held::default(),
            Call::SwitchOn(_) => there.balancer.as_mut().unwrap().admin_state_up = Some(true),
            Call::Publish | Call::Lead(_) | Call::Replace(_) | Call::Withdraw(_) => {
                panic!("nothing here is public: {call:?}")
            }
            Call::CreateListener((protocol, port)) => {
                let protocol = match protocol {
                    Protocol::Tcp => ListenerProtocol::Tcp,
                    Protocol::Udp => ListenerProtocol::Udp,
                    Protocol::Sctp => ListenerProtocol::Sctp,
                };
                let listener = octavia::Listener {
                    id,
                    provisioning_status: active,
                    protocol,
                    protocol_port: *port,
                    ..octavia::Listener::default()
                };
                there.listeners.push(listener);
            }
            Call::UpdateListener(id, place) => {
                let wanted = &balanced(wanted).listeners[place];
                for listener in there.listeners.iter_mut().filter(|listener| listener.id == *id) {
                    listener.timeout_client_data = wanted.timeouts.client_data;
                    listener.timeout_member_data = wanted.timeouts.member_data;
                    listener.connection_limit = wanted.connection_limit;
                    listener.admin_state_up = Some(true);
                    listener.allowed_cidrs = Some(wanted.source_ranges.clone());
                }
            }
            Call::CreateMonitor(pool, place) => {
                let listens = &balanced(wanted).listeners[place];
                let monitor =
                    octavia::HealthMonitor { id, name: listens.name.clone(), ..octavia::HealthMonitor::default() };
                there.monitors.insert(pool.clone(), with_rhythm(monitor, listens));
            }
            Call::UpdateMonitor(id, place) => {
                for monitor in there.monitors.values_mut().filter(|monitor| monitor.id == *id) {
                    *monitor = with_rhythm(monitor.clone(), &balanced(wanted).listeners[place]);
                }
            }
            Call::DeleteMonitor(pool, _) => {
                there.monitors.remove(pool);
            }
            Call::DeleteListener(id) => there.listeners.retain(|listener| listener.id != *id),
            Call::CreatePool(listener, place) => {
                let listens = &balanced(wanted).listeners[place];
                let pool = octavia::Pool {
                    id: id.clone(),
                    provisioning_status: active,
                    protocol: listens.pool_protocol.unwrap(),
                    lb_algorithm: listens.algorithm.unwrap(),
                    session_persistence: listens.affinity.clone(),
                    ..octavia::Pool::default()
                };
                there.pools.push(pool);
                for found in there.listeners.iter_mut().filter(|found| found.id == *listener) {
                    found.default_pool_id = Some(id.clone());
                }
            }
            Call::UpdatePool(id, place) => {
                let listens = &balanced(wanted).listeners[place];
                for pool in there.pools.iter_mut().filter(|pool| pool.id == *id) {
                    pool.session_persistence = listens.affinity.clone();
                    pool.lb_algorithm = listens.algorithm.unwrap_or(pool.lb_algorithm);
                    pool.admin_state_up = Some(true);
                }
            }
            Call::DeletePool(id) => {
                there.pools.retain(|pool| pool.id != *id);
                there.members.remove(id);
                there.monitors.remove(id);
                for found in &mut there.listeners {
                    found.default_pool_id = found.default_pool_id.take().filter(|pool| pool != id);
                }
            }
            Call::SetMembers(pool, place) => {
                let members = balanced(wanted).listeners[place].members.keys();
                let members = members.map(|(address, port)| octavia::Member {
                    address: Some(*address),
                    protocol_port: *port,
                    provisioning_status: active,
                    weight: 1,
                    ..octavia::Member::default()
                });
                there.members.insert(pool.clone(), members.collect());
            }
        }
    }
}

fn with_rhythm(monitor: octavia::HealthMonitor, listens: &Listener) -> octavia::HealthMonitor {
    let wanted = listens.monitor.flatten().unwrap();
    octavia::HealthMonitor {
        kind: wanted.kind,
        provisioning_status: ProvisioningStatus::Active,
        delay: wanted.rhythm.delay,
        timeout: wanted.rhythm.timeout,
        max_retries: wanted.rhythm.max_retries,
        max_retries_down: wanted.rhythm.max_retries_down,
        ..monitor
    }
}

#[test]
fn three_ports_with_fifty_endpoints_are_ten_calls_and_one_endpoint_more_is_one_for_each_pool() {
    let ports: Vec<Value> = (1..=3).map(|n| json!({ "name": format!("p{n}"), "port": n, "protocol": "TCP" })).collect();
    let targets: Vec<Value> =
        (1..=3).map(|n| json!({ "name": format!("p{n}"), "port": 8000 + n, "protocol": "TCP" })).collect();
    let service = service(json!({ "ports": ports }));
    let of = |hosts| desired("default/web", Some(&service), &[slice(hosts, &json!(targets))], &setting());
    let mut model = Model::default();
    assert_eq!(model.calls_for(&of(1..51)), 10);
    assert_eq!(model.calls_for(&of(1..51)), 0);
    assert_eq!(model.calls_for(&of(1..52)), 3);
    assert_eq!(model.calls_for(&of(1..1)), 3, "no endpoint is a state like others");
    assert_eq!(model.calls_for(&desired("default/web", None, &[], &setting())), 1);
    assert_eq!(model.there, Held::default());
}

#[test]
fn a_port_that_changes_takes_its_pool_along_and_leaves_the_others() {
    let both = |first: u16| {
        let ports =
            json!([{ "name": "a", "port": first, "protocol": "TCP" }, { "name": "b", "port": 53, "protocol": "UDP" }]);
        let targets =
            json!([{ "name": "a", "port": 8080, "protocol": "TCP" }, { "name": "b", "port": 53, "protocol": "UDP" }]);
        desired("default/web", Some(&service(json!({ "ports": ports }))), &[slice(1..3, &targets)], &setting())
    };
    let mut model = Model::default();
    model.settle(&both(80));
    let before: BTreeMap<u16, String> =
        model.there.listeners.iter().map(|listener| (listener.protocol_port, listener.id.clone())).collect();
    assert_eq!(model.calls_for(&both(81)), 5, "pool and listener go, listener, pool and members come");
    let after: BTreeMap<u16, String> =
        model.there.listeners.iter().map(|listener| (listener.protocol_port, listener.id.clone())).collect();
    assert_eq!((before.get(&53), after.len()), (after.get(&53), 2));
}

#[test]
fn unnamed_ports_and_several_slices_are_one_pool() {
    let service = service(json!({ "ports": [{ "port": 80, "protocol": "TCP" }] }));
    let unnamed = |port: u16| json!([{ "port": port, "protocol": "TCP" }]);
    let wanted =
        desired("default/web", Some(&service), &[slice(1..3, &unnamed(8080)), slice(3..4, &unnamed(9090))], &setting());
    let members: Vec<String> =
        balanced(&wanted).listeners[&(Protocol::Tcp, 80)].members.values().map(|member| member.name.clone()).collect();
    assert_eq!(members, ["default/pod-1:8080", "default/pod-2:8080", "default/pod-3:9090"]);
}

#[test]
fn an_endpoint_that_moves_from_one_slice_to_another_is_one_member() {
    let slices = [slice(1..3, &http()), slice(2..4, &http())];
    let wanted = desired("default/web", Some(&service(json!({}))), &slices, &setting());
    let members: Vec<String> =
        balanced(&wanted).listeners[&(Protocol::Tcp, 80)].members.values().map(|member| member.name.clone()).collect();
    assert_eq!(members, ["default/pod-1:8080", "default/pod-2:8080", "default/pod-3:8080"]);
}

#[test]
fn addresses_outside_of_pods_and_nodes_are_refused_and_told() {
    let wanted = desired("default/web", Some(&service(json!({}))), &[slice(1..6, &http())], &within("10.20.0.0/30"));
    let balancer = balanced(&wanted);
    assert_eq!(balancer.listeners[&(Protocol::Tcp, 80)].members.len(), 3);
    assert_eq!(balancer.refused.len(), 2);
}

#[test]
fn pods_that_end_are_taken_only_if_nobody_else_is_ready() {
    let mut ending = slice(1..3, &http());
    Arc::make_mut(&mut ending)
        .endpoints
        .iter_mut()
        .for_each(|endpoint| (endpoint.ready, endpoint.ending) = (false, true));
    let count = |slices: &[Arc<SliceFacts>]| {
        let wanted = desired("default/web", Some(&service(json!({}))), slices, &setting());
        balanced(&wanted).listeners[&(Protocol::Tcp, 80)].members.len()
    };
    assert_eq!(count(&[ending.clone(), slice(7..8, &http())]), 1);
    assert_eq!(count(&[ending]), 2);
}

#[test]
fn who_needs_no_load_balancer_gets_none_and_loses_what_there_is() {
    let mut model = Model::default();
    model.settle(&desired("default/web", Some(&service(json!({}))), &[slice(1..3, &http())], &setting()));
    for more in [
        json!({ "clusterIP": "None", "clusterIPs": ["None"] }),
        json!({ "type": "ExternalName", "clusterIP": null, "clusterIPs": null, "externalName": "example.org" }),
    ] {
        let wanted = desired("default/web", Some(&service(more)), &[], &setting());
        assert!(matches!(wanted, Desired::Nothing(_)));
        model.settle(&wanted);
        assert_eq!(model.there.balancer, None);
    }
}

#[test]
fn a_failed_load_balancer_is_made_anew_and_a_failed_member_again() {
    let wanted = desired("default/web", Some(&service(json!({}))), &[slice(1..3, &http())], &setting());
    let mut model = Model::default();
    model.settle(&wanted);
    for members in model.there.members.values_mut() {
        members[0].provisioning_status = ProvisioningStatus::Error;
    }
    assert_eq!(model.calls_for(&wanted), 1);
    model.there.balancer.as_mut().unwrap().provisioning_status = ProvisioningStatus::Error;
    assert_eq!(model.calls_for(&wanted), 5);
    model.there.balancer.as_mut().unwrap().provisioning_status = ProvisioningStatus::PendingUpdate;
    assert!(matches!(of_cloud(&wanted, &model.there, &ovn()), Some(Next::Await(_))));
}

#[test]
fn what_was_altered_is_put_back() {
    type Alteration = (fn(&mut Held, &str), fn(&Call) -> bool);
    let affine = service(json!({ "sessionAffinity": "ClientIP" }));
    let wanted = desired("default/web", Some(&affine), &[slice(1..3, &http())], &setting());
    let mut model = Model::default();
    model.settle(&wanted);
    model.there.pools[0].session_persistence = None;
    assert_eq!(model.calls_for(&wanted), 1);
    assert!(matches!(model.calls.last(), Some(Call::UpdatePool(..))));
    let id = model.there.pools[0].id.clone();
    let alterations: [Alteration; 6] = [
        (
            |held, _| held.balancer.as_mut().unwrap().admin_state_up = Some(false),
            |call| matches!(call, Call::SwitchOn(_)),
        ),
        (|held, _| held.listeners[0].admin_state_up = Some(false), |call| matches!(call, Call::UpdateListener(..))),
        (|held, _| held.pools[0].admin_state_up = Some(false), |call| matches!(call, Call::UpdatePool(..))),
        (|held, id| held.members.get_mut(id).unwrap()[0].weight = 0, |call| matches!(call, Call::SetMembers(..))),
        (
            |held, id| held.members.get_mut(id).unwrap()[1].backup = Some(true),
            |call| matches!(call, Call::SetMembers(..)),
        ),
        (
            |held, id| held.members.get_mut(id).unwrap()[1].admin_state_up = Some(false),
            |call| matches!(call, Call::SetMembers(..)),
        ),
    ];
    for (alter, puts_back) in alterations {
        alter(&mut model.there, &id);
        assert_eq!(model.calls_for(&wanted), 1, "{:?}", model.calls.last());
        assert!(model.calls.last().is_some_and(puts_back), "{:?}", model.calls.last());
    }
    model.there.balancer.as_mut().unwrap().provider = "amphora".to_owned();
    assert_eq!(model.calls_for(&wanted), 5, "another provider is another load balancer");
}

#[test]
fn what_waits_for_its_repair_stops_nothing_else() {
    let two = json!({ "ports": [
        { "name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP" },
        { "name": "more", "port": 81, "targetPort": 8081, "protocol": "TCP" },
    ] });
    let ports = json!([{ "name": "http", "port": 8080, "protocol": "TCP" }, { "name": "more", "port": 8081, "protocol": "TCP" }]);
    let wanted = |hosts| desired("default/web", Some(&service(two.clone())), &[slice(hosts, &ports)], &setting());
    let mut model = Model::default();
    model.settle(&wanted(1..3));
    let failed = model.there.listeners[0].id.clone();
    model.there.listeners[0].provisioning_status = ProvisioningStatus::Error;
    let waits = Way { repairs: false, ..ovn() };
    assert_eq!(of_cloud(&wanted(1..3), &model.there, &waits), None);
    assert!(matches!(of_cloud(&wanted(1..3), &model.there, &ovn()), Some(Next::Repair(Call::DeletePool(_), _))));
    // Members of both listeners follow.
    let mut set = 0;
    while let Some(next) = of_cloud(&wanted(1..4), &model.there, &waits) {
        let Next::Do(Step::Cloud(call @ Call::SetMembers(..)), _) = next else { panic!("{next:?}") };
        model.obey(&call, &wanted(1..4));
        model.calls.push(call);
        set += 1;
    }
    assert_eq!(set, 2);
    assert_eq!(model.there.listeners[0].id, failed);
    model.there.balancer.as_mut().unwrap().provisioning_status = ProvisioningStatus::Error;
    assert!(matches!(of_cloud(&wanted(1..3), &model.there, &waits), Some(Next::Settled(_))));
}

#[test]
fn pods_that_are_said_to_be_ready_are_taken_also_while_they_end() {
    // A Service with publishNotReadyAddresses.
    let mut ending = slice(1..3, &http());
    Arc::make_mut(&mut ending).endpoints.iter_mut().for_each(|endpoint| endpoint.ending = true);
    let wanted = desired("default/web", Some(&service(json!({}))), &[ending, slice(7..8, &http())], &setting());
    assert_eq!(balanced(&wanted).listeners[&(Protocol::Tcp, 80)].members.len(), 3);
}

// ---- what providers can and cannot do --------------------------------------------------------------------------------

fn amphora() -> Setting {
    Setting { abilities: Abilities::of(Some("amphora"), LoadBalancingVersion::new(26)), ..setting() }
}

/// A Service with these annotations of the cloud controller manager.
fn annotated(annotations: &[(&str, &str)], more: Value) -> ServiceFacts {
    let mut facts = service(more);
    let named =
        annotations.iter().map(|(name, value)| (format!("loadbalancer.openstack.org/{name}"), (*value).to_owned()));
    facts.annotations = Annotations::read(&named.collect(), &mut facts.wrong);
    facts
}

fn wanted_of(service: &ServiceFacts, setting: &Setting) -> Desired {
    desired("default/web", Some(service), &[slice(1..3, &http())], setting)
}

fn reasons(service: &ServiceFacts, setting: &Setting) -> Vec<&'static str> {
    let wanted = wanted_of(service, setting);
    let remarks = remarks::of(service, balanced(&wanted), setting, &Held::default());
    remarks.into_iter().map(|remark| remark.reason).collect()
}

#[test]
fn how_long_a_client_is_kept_changes_where_octavia_takes_that() {
    let affine = |protocol: &str, seconds: u32| {
        let ports = json!([{ "name": "http", "port": 80, "protocol": protocol }]);
        let service = service(json!({ "ports": ports, "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": seconds } } }));
        let targets = json!([{ "name": "http", "port": 80, "protocol": protocol }]);
        desired("default/web", Some(&service), &[slice(1..3, &targets)], &amphora())
    };
    for (protocol, calls) in [("UDP", 1), ("SCTP", 1), ("TCP", 0)] {
        let mut model = Model::default();
        model.settle(&affine(protocol, 60));
        assert_eq!(model.calls_for(&affine(protocol, 90)), calls, "{protocol}");
    }
}

#[test]
fn who_may_come_in_is_said_in_the_family_of_the_vip() {
    let ranges = json!({ "type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.7/24", "2001:db8::/64"] });
    let mut setting = amphora();
    setting.subnets.push(("pods6".to_owned(), "fd00::/64".parse().unwrap()));
    let wanted = wanted_of(&service(ranges.clone()), &setting);
    let let_in = |wanted: &Desired| {
        let listener = balanced(wanted).listeners[&(Protocol::Tcp, 80)].clone();
        listener.source_ranges.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(let_in(&wanted), ["10.20.0.0/16", "192.0.2.0/24"]);
    // OVN lets in everybody: nothing is opened for it.
    let ovn = Setting { public: true, ..self::setting() };
    let open = wanted_of(&service(ranges), &ovn);
    assert!(let_in(&open).is_empty() && balanced(&open).public.as_ref().unwrap().held_back);
}

#[test]
fn a_port_octavia_is_too_old_for_is_left_out_and_the_others_are_served() {
    let ports = json!([{ "name": "http", "port": 80, "protocol": "TCP" }, { "name": "s", "port": 132, "protocol": "SCTP" },
        { "name": "u", "port": 80, "protocol": "UDP" }]);
    let three = service(json!({ "ports": ports }));
    let old = Setting { abilities: Abilities::of(Some("amphora"), LoadBalancingVersion::new(12)), ..setting() };
    let wanted = wanted_of(&three, &old);
    assert_eq!(balanced(&wanted).listeners.keys().collect::<Vec<_>>(), [&(Protocol::Tcp, 80)]);
    assert_eq!(reasons(&three, &old), ["PortNotServed"]);
    let wanted = wanted_of(&three, &amphora());
    assert_eq!(balanced(&wanted).listeners.len(), 3);
    assert_eq!(reasons(&three, &amphora()), [] as [&str; 0]);
}

#[test]
fn limits_pools_and_monitors_follow_their_annotations_in_few_calls() {
    let mut model = Model::default();
    let settle = |model: &mut Model, annotations: &[(&str, &str)]| {
        model.calls_for(&wanted_of(&annotated(annotations, json!({})), &amphora()))
    };
    assert_eq!(settle(&mut model, &[]), 4);
    assert_eq!(settle(&mut model, &[("connection-limit", "100"), ("timeout-member-data", "60000")]), 1);
    assert_eq!(model.there.listeners[0].connection_limit, Some(100));
    // What cannot be read leaves what is there.
    assert_eq!(settle(&mut model, &[("connection-limit", "many"), ("timeout-member-data", "long")]), 0);
    assert_eq!(settle(&mut model, &[]), 1, "without limit again");
    assert_eq!(settle(&mut model, &[("lb-method", "LEAST_CONNECTIONS")]), 1);
    assert_eq!(settle(&mut model, &[("lb-method", "LEAST")]), 0);
    assert_eq!(settle(&mut model, &[]), 1);
    let monitored = [("enable-health-monitor", "true"), ("health-monitor-delay", "10")];
    assert_eq!(settle(&mut model, &monitored[..1]), 1);
    assert_eq!(settle(&mut model, &monitored), 1);
    assert!(matches!(model.calls.last(), Some(Call::UpdateMonitor(..))));
    model.there.monitors.values_mut().for_each(|monitor| monitor.provisioning_status = ProvisioningStatus::Error);
    assert_eq!(settle(&mut model, &monitored), 2, "one that failed is made anew");
    assert_eq!(settle(&mut model, &[("proxy-protocol", "true"), monitored[0], monitored[1]]), 4);
    assert_eq!(model.there.pools[0].protocol, octavia::PoolProtocol::Proxy);
    assert_eq!(settle(&mut model, &[("proxy-protocol", "v2")]), 3);
    assert_eq!(settle(&mut model, &[]), 3);
    assert!(model.there.monitors.is_empty());
}

#[test]
fn a_monitor_that_somebody_else_made_is_left_alone() {
    let mut model = Model::default();
    model.settle(&wanted_of(&service(json!({})), &amphora()));
    let foreign = octavia::HealthMonitor { id: "m".to_owned(), name: "mine".to_owned(), ..Default::default() };
    model.there.monitors.insert(model.there.pools[0].id.clone(), foreign);
    assert_eq!(model.calls_for(&wanted_of(&service(json!({})), &amphora())), 0);
    let monitored = annotated(&[("enable-health-monitor", "true")], json!({}));
    assert_eq!(model.calls_for(&wanted_of(&monitored, &amphora())), 0);
}

#[test]
fn what_is_not_as_asked_is_told_by_its_reason() {
    type Pairs = &'static [(&'static str, &'static str)];
    type Reasons = &'static [&'static str];
    let local = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" });
    let ranges = json!({ "type": "LoadBalancer", "loadBalancerSourceRanges": ["192.0.2.0/24"] });
    let internal = json!({ "internalTrafficPolicy": "Local" });
    let cases: [(Pairs, Value, Reasons, Reasons); 18] = [
        (&[], json!({}), &[], &[]),
        (&[], json!({ "allocateLoadBalancerNodePorts": false }), &[], &[]),
        (&[], json!({ "sessionAffinity": "ClientIP" }), &["NotHonoured"], &[]),
        (&[], local.clone(), &[], &["NotHonoured"]),
        (&[("proxy-protocol", "true")], local, &["NotHonoured"], &[]),
        (&[], internal, &["NotHonoured"], &["NotHonoured"]),
        (&[], ranges, &["SourceRangesNotEnforced"], &[]),
        (&[], json!({ "externalIPs": ["192.0.2.7"] }), &["ExternalIpsRefused"], &["ExternalIpsRefused"]),
        (&[], json!({ "type": "NodePort" }), &["NodePortsNotServed"], &["NodePortsNotServed"]),
        (&[("connection-limit", "5")], json!({}), &["NotHonoured"], &[]),
        (&[("connection-limit", "-1")], json!({}), &[], &[]),
        (&[("timeout-tcp-inspect", "5")], json!({}), &["NotHonoured"], &[]),
        (&[("lb-method", "ROUND_ROBIN")], json!({}), &["NotHonoured"], &[]),
        (&[("lb-method", "SOURCE_IP_PORT")], json!({}), &[], &["NotHonoured"]),
        (&[("enable-health-monitor", "true")], json!({}), &[], &[]),
        (&[("flavor-id", "f")], json!({}), &["NotHonoured"], &[]),
        (&[("class", "dmz")], json!({}), &["AnnotationIgnored"], &["AnnotationIgnored"]),
        (&[("flavor-id", "")], json!({}), &["ServiceNotUnderstood"], &["ServiceNotUnderstood"]),
    ];
    for (annotations, more, on_ovn, on_amphora) in cases {
        let facts = annotated(annotations, more.clone());
        let public = |setting: Setting| Setting { public: true, ..setting };
        let said = (reasons(&facts, &public(setting())), reasons(&facts, &public(amphora())));
        assert_eq!(said, (on_ovn.to_vec(), on_amphora.to_vec()), "{annotations:?} {more}");
    }
}

#[test]
fn the_class_of_others_leaves_us_the_address_in_the_cluster() {
    let setting = Setting { public: true, ..amphora() };
    for (class, is_ours) in [(None, true), (Some("kuryr"), true), (Some("example.org/lb"), false)] {
        let more =
            json!({ "type": "LoadBalancer", "loadBalancerClass": class, "loadBalancerSourceRanges": ["192.0.2.0/24"] });
        let wanted = wanted_of(&service(more), &setting);
        let balancer = balanced(&wanted);
        let limited = !balancer.listeners[&(Protocol::Tcp, 80)].source_ranges.is_empty();
        assert_eq!((balancer.public.is_some(), limited), (is_ours, is_ours), "{class:?}");
    }
}
