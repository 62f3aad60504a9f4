//! A pod's life as a table: what is there → what happens next.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::ObjectMeta;
use kuryr_api::crd::{InterfaceEntry, KuryrPortSpec, Unreadable};
use kuryr_api::vif::{Network, Vif, VifKind};
use kuryr_openstack::network::{Binding, PortStatus};

use super::observed::Phase;
use super::plan::{Next, Report, Step};
use super::*;

/// A world, built up by what differs from an empty one.
#[derive(Clone, Default)]
struct World(Observed);

fn pod() -> PodFacts {
    PodFacts {
        uid: "u1".into(),
        version: 1,
        finalizers: Vec::new(),
        deleting: false,
        node: Some("n1".into()),
        host_network: false,
        is_static: false,
        phase: Phase::Pending,
        scheduled: None,
    }
}

fn port(id: &str, status: PortStatus) -> Arc<Port> {
    let binding = Binding { vif_type: "ovs".into(), ..Binding::default() };
    Arc::new(Port { id: id.into(), device_id: "u1".into(), status, binding, ..Port::default() })
}

fn vif(id: &str, active: bool) -> Vif {
    Vif {
        id: id.into(),
        address: None,
        network: Network::default(),
        plugin: "ovs".into(),
        active,
        has_traffic_filtering: true,
        vif_name: names::tap_name(id),
        kind: VifKind::OpenVSwitch { bridge: "br-int".into(), interface_id: id.into() },
    }
}

fn kuryr_port() -> KuryrPort {
    let owner = OwnerReference { kind: "Pod".into(), uid: "u1".into(), ..OwnerReference::default() };
    let spec = KuryrPortSpec { pod_uid: "u1".into(), pod_node_name: "n1".into(), pod_static: Some(false) };
    let metadata = ObjectMeta {
        finalizers: Some(vec![names::KURYRPORT_FINALIZER.into()]),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    KuryrPort { metadata, spec, status: Some(KuryrPortStatus::default()) }
}

impl World {
    fn pod(mut self, change: impl FnOnce(&mut PodFacts)) -> Self {
        let mut pod = pod();
        change(&mut pod);
        self.0.pod = Some(Arc::new(pod));
        self
    }

    fn kuryr_port(mut self, change: impl FnOnce(&mut KuryrPort)) -> Self {
        let mut port = kuryr_port();
        change(&mut port);
        self.0.kuryr_port = Some(Arc::new(port));
        self
    }

    fn port(mut self, id: &str, status: PortStatus) -> Self {
        self.0.ports.push(port(id, status));
        self
    }

    fn gone(mut self, id: &str) -> Self {
        self.0.gone.insert(id.into());
        self
    }

    fn uncertain(mut self) -> Self {
        self.0.uncertain = true;
        self
    }

    fn next(&self) -> Next {
        plan::next(&desired::desired(&self.0), &self.0)
    }

    #[track_caller]
    fn settles(&self) {
        assert!(matches!(self.next(), Next::Settled(_)), "{:?}", self.next());
    }

    #[track_caller]
    fn does(&self, expected: Step) {
        let Next::Do(step, _) = self.next() else { panic!("{:?}", self.next()) };
        assert_eq!(step, expected);
    }
}

fn with_vif(id: &'static str, active: bool) -> impl FnOnce(&mut KuryrPort) {
    move |port| {
        let vifs = [(names::MAIN_INTERFACE.to_owned(), InterfaceEntry::new(true, vif(id, active)))];
        port.status = Some(KuryrPortStatus { vifs: vifs.into(), conditions: Vec::new() });
    }
}

fn deleted(port: &mut KuryrPort) {
    port.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
}

fn without_finalizer(port: &mut KuryrPort) {
    port.metadata.finalizers = None;
}

fn world() -> World {
    World::default()
}

fn alive() -> World {
    world().pod(|_| {})
}

#[test]
fn pods_that_are_not_ours_to_connect_get_nothing() {
    world().pod(|pod| pod.host_network = true).settles();
    world().pod(|pod| pod.node = None).settles();
    world().pod(|pod| pod.phase = Phase::Ended).settles();
    world().pod(|pod| pod.phase = Phase::Running).settles();
    world().pod(|pod| pod.deleting = true).settles();
    world().settles();
}

#[test]
fn a_scheduled_pod_gets_a_port_then_a_kuryrport_then_waits_then_is_active() {
    alive().does(Step::CreatePort);
    let down = alive().port("p1", PortStatus::Down);
    down.does(Step::CreateKuryrPort(port("p1", PortStatus::Down)));
    let recorded = down.kuryr_port(with_vif("p1", false));
    assert_eq!(recorded.next(), Next::AwaitActive(vec!["p1".into()]));
    alive().port("p1", PortStatus::Active).kuryr_port(with_vif("p1", false)).does(Step::RecordActive);
    alive().port("p1", PortStatus::Active).kuryr_port(with_vif("p1", true)).settles();
}

#[test]
fn a_port_whose_creation_was_not_answered_is_looked_for_before_another_is_made() {
    alive().uncertain().does(Step::FindPorts("u1".into()));
    world().kuryr_port(|_| {}).uncertain().does(Step::FindPorts("u1".into()));
}

#[test]
fn a_port_that_cannot_be_bound_is_replaced() {
    let mut failed = alive().port("p1", PortStatus::Down);
    let binding = Binding { vif_type: "binding_failed".into(), ..Binding::default() };
    failed.0.ports = vec![Arc::new(Port { binding, ..(*failed.0.ports[0]).clone() })];
    failed.does(Step::DeletePort("p1".into()));
}

#[test]
fn of_two_ports_the_first_is_used() {
    let two = alive().port("p1", PortStatus::Down).port("p2", PortStatus::Down);
    two.does(Step::CreateKuryrPort(port("p1", PortStatus::Down)));
}

#[test]
fn a_kuryrport_of_the_old_life_cycle_is_carried_on() {
    alive().kuryr_port(|_| {}).does(Step::CreatePort);
    let requested = alive().kuryr_port(|_| {}).port("p1", PortStatus::Down);
    requested.does(Step::RecordPort(port("p1", PortStatus::Down)));
    let legacy = |pod: &mut PodFacts| pod.finalizers = vec![names::LEGACY_POD_FINALIZER.into()];
    world().pod(legacy).kuryr_port(with_vif("p1", true)).does(Step::DropLegacyPodFinalizer);
    world().pod(|pod| pod.phase = Phase::Running).kuryr_port(with_vif("p1", true)).settles();
}

#[test]
fn a_pod_keeps_its_port_while_it_terminates() {
    let terminating = |pod: &mut PodFacts| {
        pod.deleting = true;
        pod.phase = Phase::Running;
    };
    world().pod(terminating).kuryr_port(with_vif("p1", true)).port("p1", PortStatus::Active).settles();
}

#[test]
fn a_gone_pod_is_released_port_first() {
    let gone = world().kuryr_port(with_vif("p1", true)).port("p1", PortStatus::Active);
    gone.does(Step::DeletePort("p1".into()));
    let released = world().kuryr_port(with_vif("p1", true)).gone("p1");
    released.does(Step::LetGoOfKuryrPort { released: true });
    world().kuryr_port(without_finalizer).settles();
}

#[test]
fn an_ended_pod_is_released_though_it_is_still_there() {
    let ended = || world().pod(|pod| pod.phase = Phase::Ended);
    ended().kuryr_port(with_vif("p1", true)).does(Step::DeletePort("p1".into()));
    ended().kuryr_port(with_vif("p1", true)).gone("p1").does(Step::LetGoOfKuryrPort { released: true });
    ended().kuryr_port(without_finalizer).settles();
}

#[test]
fn ports_nobody_recorded_are_released_too() {
    let two = world().kuryr_port(with_vif("p1", true)).gone("p1").port("p2", PortStatus::Down);
    two.does(Step::DeletePort("p2".into()));
}

#[test]
fn a_kuryrport_without_an_owner_reference_is_deleted_by_us() {
    let orphan = |port: &mut KuryrPort| port.metadata.owner_references = None;
    world().kuryr_port(orphan).does(Step::DeleteKuryrPort);
    let marked = |port: &mut KuryrPort| {
        orphan(port);
        deleted(port);
    };
    world().kuryr_port(marked).does(Step::LetGoOfKuryrPort { released: true });
}

#[test]
fn a_successor_of_the_same_name_waits_until_the_predecessor_is_released() {
    let successor = || world().pod(|pod| pod.uid = "u2".into());
    successor().kuryr_port(with_vif("p1", true)).does(Step::DeletePort("p1".into()));
    successor().kuryr_port(with_vif("p1", true)).gone("p1").does(Step::DeleteKuryrPort);
    let marked = successor().kuryr_port(deleted);
    marked.does(Step::LetGoOfKuryrPort { released: true });
    successor().does(Step::CreatePort);
}

#[test]
fn a_kuryrport_deleted_by_hand_is_made_again_around_the_same_port() {
    let by_hand = alive().kuryr_port(deleted).port("p1", PortStatus::Active);
    by_hand.does(Step::LetGoOfKuryrPort { released: false });
    alive().port("p1", PortStatus::Active).does(Step::CreateKuryrPort(port("p1", PortStatus::Active)));
}

#[test]
fn a_kuryrport_that_could_not_be_made_again_goes_with_its_pod() {
    let deleted_with_vif = |port: &mut KuryrPort| {
        with_vif("p1", true)(port);
        deleted(port);
    };
    let running = || world().pod(|pod| pod.phase = Phase::Running);
    let known = running().kuryr_port(deleted_with_vif).port("p1", PortStatus::Active);
    known.does(Step::LetGoOfKuryrPort { released: false });
    let mut of_a_pool = known.clone();
    of_a_pool.0.ports = vec![Arc::new(Port { device_id: String::new(), ..(*known.0.ports[0]).clone() })];
    of_a_pool.settles();
    let mut two = known;
    let mut kuryr_port = (**two.0.kuryr_port.as_ref().unwrap()).clone();
    let second = InterfaceEntry::new(false, vif("p2", true));
    kuryr_port.status.as_mut().unwrap().vifs.insert("eth1".into(), second);
    two.0.kuryr_port = Some(Arc::new(kuryr_port));
    two.settles();
    // Init containers may run in it.
    two.clone().pod(|_| {}).settles();
    two.0.pod = None;
    two.does(Step::DeletePort("p1".into()));
}

#[test]
fn what_cannot_be_helped_is_reported() {
    assert_eq!(alive().kuryr_port(with_vif("p1", true)).gone("p1").next(), Next::Report(Report::PortMissing));
    let damaged = |port: &mut KuryrPort| {
        let entry = InterfaceEntry {
            default: true,
            vif: Err(Unreadable { found: serde_json::Value::Null, reason: "damaged".into() }),
        };
        port.status = Some(KuryrPortStatus { vifs: [("eth0".into(), entry)].into(), conditions: Vec::new() });
    };
    assert_eq!(alive().kuryr_port(damaged).next(), Next::Report(Report::UnreadableVif));
}

#[test]
fn a_port_is_recognised_by_tag_or_description_and_never_by_anothers() {
    let marks = Marks { tags: vec![names::cluster_tag("c1")], in_body: OnceLock::new() };
    let key = Key { namespace: "ns".into(), name: "x".repeat(253) };
    let description = marks.description(&key);
    assert!(description.len() <= 255 && description.starts_with("pod ns/xxx"));
    let described = |description: &str| Port { description: description.into(), ..Port::default() };
    let tagged = |tag: &str| Port { tags: vec![tag.into()], ..Port::default() };
    assert!(marks.are_on(&described(&description)) && marks.are_on(&tagged("kuryr:cluster=c1")));
    let others = Marks { tags: vec![names::cluster_tag("xc1")], in_body: OnceLock::new() };
    assert!(!marks.are_on(&described(&others.description(&key))) && !marks.are_on(&tagged("kuryr:cluster=c11")));
}
