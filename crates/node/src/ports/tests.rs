//! The watch against an API server that answers from a script; the clock is paused.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::channel::mpsc;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;

/// What the server answers to the next list and the next watch; then it refuses.
#[derive(Clone, Default)]
struct Script {
    lists: Arc<Mutex<VecDeque<Value>>>,
    watches: Arc<Mutex<VecDeque<mpsc::UnboundedReceiver<Value>>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

struct World {
    script: Script,
    ports: Ports,
    _follow: JoinHandle<()>,
}

fn start(script: Script) -> World {
    let ports = Ports::new();
    let client = client(script.clone());
    let follower = ports.clone();
    let follow = tokio::spawn(async move { follower.follow(client, "", "node-1", CancellationToken::new()).await });
    World { script, ports, _follow: follow }
}

fn client(script: Script) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        script.requests.lock().unwrap().push(format!("{}?{query}", request.uri().path()));
        let answer = if query.contains("watch=true") {
            script.watches.lock().unwrap().pop_front().map(|events| {
                let frames =
                    events.map(|event| Ok::<_, std::io::Error>(Frame::data(Bytes::from(format!("{event}\n")))));
                BodyExt::boxed_unsync(StreamBody::new(frames))
            })
        } else {
            script.lists.lock().unwrap().pop_front().map(|list| {
                let never = |never: std::convert::Infallible| match never {};
                Full::new(Bytes::from(list.to_string())).map_err(never).boxed_unsync()
            })
        };
        async move { answer.map(Response::new).ok_or_else(|| std::io::Error::other("connection refused")) }
    });
    Client::new(service, "default")
}

impl Script {
    fn list(&self, items: &[Value]) {
        self.lists.lock().unwrap().push_back(json!({
            "apiVersion": "openstack.org/v1", "kind": "KuryrPortList", "metadata": {"resourceVersion": "10"}, "items": items,
        }));
    }

    fn watch(&self) -> mpsc::UnboundedSender<Value> {
        let (send, receive) = mpsc::unbounded();
        self.watches.lock().unwrap().push_back(receive);
        send
    }
}

fn port(name: &str, version: u32) -> Value {
    json!({
        "apiVersion": "openstack.org/v1", "kind": "KuryrPort",
        "metadata": {"namespace": "ns", "name": name, "uid": name, "resourceVersion": version.to_string()},
        "spec": {"podUid": name, "podNodeName": "node-1"}, "status": {"vifs": {}},
    })
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn key(name: &str) -> PodKey {
    PodKey { namespace: "ns".into(), name: name.into() }
}

fn version(port: Option<Arc<KuryrPort>>) -> Option<String> {
    port.and_then(|port| port.metadata.resource_version.clone())
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_those_who_follow_that_pod_and_nobody_else() {
    let script = Script::default();
    script.list(&[port("a", 1)]);
    let events = script.watch();
    let world = start(script);
    let (mut a, mut b) = (world.ports.subscribe(&key("a")), world.ports.subscribe(&key("b")));
    world.ports.synced().await;
    assert_eq!(version(a.now()).as_deref(), Some("1"));
    assert!(b.now().is_none());

    events.unbounded_send(event("ADDED", port("b", 11))).unwrap();
    b.changed().await;
    assert_eq!(version(b.now()).as_deref(), Some("11"));
    assert!(futures::FutureExt::now_or_never(a.changed()).is_none());

    events.unbounded_send(event("MODIFIED", port("a", 12))).unwrap();
    a.changed().await;
    assert_eq!(version(a.now()).as_deref(), Some("12"));
    events.unbounded_send(event("DELETED", port("a", 13))).unwrap();
    a.changed().await;
    assert!(a.now().is_none());
    let requests = world.script.requests.lock().unwrap().clone();
    let selection = "labelSelector=kuryr.openstack.org%2FnodeName%3Dnode-1";
    assert!(
        requests
            .iter()
            .all(|request| request.starts_with("/apis/openstack.org/v1/kuryrports?") && request.contains(selection)),
        "{requests:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_damaged_object_does_not_hide_the_others() {
    let script = Script::default();
    let mut damaged = port("damaged", 1);
    damaged.as_object_mut().unwrap().remove("spec");
    script.list(&[damaged.clone(), port("a", 2)]);
    let events = script.watch();
    let world = start(script);
    let mut b = world.ports.subscribe(&key("b"));
    world.ports.synced().await;
    assert!(world.ports.subscribe(&key("a")).now().is_some());
    events.unbounded_send(event("MODIFIED", damaged)).unwrap();
    events.unbounded_send(event("ADDED", port("b", 12))).unwrap();
    b.changed().await;
    assert!(b.now().is_some());
    assert!(world.ports.subscribe(&key("damaged")).now().is_none());
}

#[tokio::test(start_paused = true)]
async fn after_410_a_new_list_replaces_everything() {
    let script = Script::default();
    script.list(&[port("a", 1), port("b", 2)]);
    script.list(&[port("b", 2), port("c", 20)]);
    let (first, _second) = (script.watch(), script.watch());
    let world = start(script);
    let mut a = world.ports.subscribe(&key("a"));
    let mut b = world.ports.subscribe(&key("b"));
    world.ports.synced().await;
    assert!(a.now().is_some() && b.now().is_some());
    let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "message": "too old", "code": 410});
    first.unbounded_send(event("ERROR", gone)).unwrap();
    a.changed().await;
    assert!(a.now().is_none(), "its DELETED was missed, the list tells");
    assert!(world.ports.subscribe(&key("c")).now().is_some());
    assert!(futures::FutureExt::now_or_never(b.changed()).is_none(), "nothing is new about b");
}

#[tokio::test(start_paused = true)]
async fn contact_is_lost_only_when_it_stays_lost_and_found_again() {
    let script = Script::default();
    let world = start(script.clone());
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.ports.contact(), Contact::Starting, "nothing was ever read");

    script.list(&[]);
    let events = script.watch();
    world.ports.synced().await;
    assert_eq!(world.ports.contact(), Contact::Synced);
    // The connection breaks; every attempt to watch again is refused.
    drop(events);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.ports.contact(), Contact::Synced, "a restart of the API server is no alarm");
    tokio::time::sleep(Duration::from_secs(80)).await;
    assert!(matches!(world.ports.contact(), Contact::Lost(_)), "{:?}", world.ports.contact());

    script.list(&[]);
    let _events = script.watch();
    tokio::time::sleep(ERRORS_REPEAT * 2).await;
    assert_eq!(world.ports.contact(), Contact::Synced);
}

#[tokio::test(start_paused = true)]
async fn names_nobody_has_or_follows_are_forgotten() {
    let script = Script::default();
    script.list(&[port("a", 1)]);
    let events = script.watch();
    let world = start(script);
    world.ports.synced().await;
    for n in 0..100 {
        drop(world.ports.subscribe(&key(&format!("x{n}"))));
    }
    let mut a = world.ports.subscribe(&key("a"));
    a.now();
    events.unbounded_send(event("DELETED", port("a", 11))).unwrap();
    a.changed().await;
    drop(a);
    assert!(world.ports.entries().is_empty());
}
