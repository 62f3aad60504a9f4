//! Over a real socket; the clock is real, the datapath scripted.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::config::Config;
use crate::requests::script::Script;
use crate::wiring::Wiring;

struct Daemon {
    node: Node,
    script: Script,
    socket: PathBuf,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    dir: TempDir,
}

fn start() -> Daemon {
    let dir = TempDir::new().unwrap();
    let script = Script::new();
    let checkpoints = Checkpoints::load(&dir.path().join("state"), "boot").unwrap();
    let api = tower::service_fn(async |_: http::Request<kube::client::Body>| {
        Err::<http::Response<kube::client::Body>, _>(io::Error::other("no API server here"))
    });
    let client = kube::Client::new(api, "default");
    let node = Node::new(Config::new("n1"), client, Wiring::Scripted(script.clone()), checkpoints);
    let socket = dir.path().join("run/cni.sock");
    let shutdown = CancellationToken::new();
    let listener = bind(&socket).unwrap();
    let task = tokio::spawn(serve(listener, node.clone(), shutdown.clone()));
    Daemon { node, script, socket, shutdown, task, dir }
}

fn add() -> Value {
    json!({"version": 1, "command": "ADD", "container_id": "c1", "netns": "/n", "ifname": "eth0",
        "args": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_UID=u", "config": {"cniVersion": "1.1.0", "name": "kuryr"}})
}

async fn send(daemon: &Daemon, text: &str) -> UnixStream {
    let mut stream = UnixStream::connect(&daemon.socket).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: UnixStream) -> Value {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "one line: {text:?}");
    serde_json::from_str(&text).unwrap()
}

/// Waits for something another task does.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap();
}

#[tokio::test]
async fn one_line_in_one_line_out() {
    let daemon = start();
    let status = json!({"version": 1, "command": "STATUS", "later": "unknown members are ignored"});
    let stream = send(&daemon, &format!("{status}\n")).await;
    let answer = answer(stream).await;
    assert_eq!((&answer["version"], &answer["error"]["code"]), (&json!(1), &json!(50)));
}

#[tokio::test]
async fn only_its_owner_may_connect_and_an_old_socket_is_replaced() {
    let daemon = start();
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let folder = TempDir::new().unwrap();
    let left = folder.path().join("cni.sock");
    drop(bind(&left).unwrap());
    let _daemon = bind(&left).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn nonsense_and_cut_off_requests_are_code_6() {
    let daemon = start();
    for text in ["nonsense\n".to_owned(), "{\"version\": 1, \"comm".to_owned(), "x".repeat(2 * 1024 * 1024)] {
        let mut stream = UnixStream::connect(&daemon.socket).await.unwrap();
        // The daemon may close before it has read everything.
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["error"]["code"], 6, "{answer}");
    }
}

#[tokio::test]
async fn a_plugin_that_goes_away_ends_its_add() {
    let daemon = start();
    let stream = send(&daemon, &format!("{}\n", add())).await;
    until(|| daemon.node.running.len() == 1).await;
    drop(stream);
    until(|| daemon.node.running.len() == 0).await;
    assert!(daemon.script.log().is_empty());
}

#[tokio::test]
async fn shutdown_answers_those_who_wait_and_ends() {
    let daemon = start();
    let stream = send(&daemon, &format!("{}\n", add())).await;
    until(|| daemon.node.running.len() == 1).await;
    let silent = UnixStream::connect(&daemon.socket).await.unwrap();
    daemon.shutdown.cancel();
    let answer = answer(stream).await;
    assert_eq!(answer["error"]["code"], 11);
    assert!(answer["error"]["msg"].as_str().unwrap().contains("being stopped"), "{answer}");
    assert_eq!(answer["again"], true, "the plugin asks the next daemon");
    tokio::time::timeout(Duration::from_secs(5), daemon.task).await.unwrap().unwrap();
    assert_eq!(UnixStream::connect(&daemon.socket).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    drop((silent, daemon.dir));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_does_not_keep_the_daemon_from_ending() {
    let daemon = start();
    daemon.script.plug_takes(Duration::from_secs(3600));
    let port = json!({"apiVersion": "openstack.org/v1", "kind": "KuryrPort", "metadata": {"namespace": "ns", "name": "p"},
        "spec": {"podUid": "u", "podNodeName": "n1", "podStatic": false},
        "status": {"vifs": {"eth0": {"default": true, "vif": crate::requests::tests::vif("port", true)}}}});
    let key = crate::ports::PodKey { namespace: "ns".into(), name: "p".into() };
    daemon.node.ports.apply(key, std::sync::Arc::new(serde_json::from_value(port).unwrap()));
    let stream = send(&daemon, &format!("{}\n", add())).await;
    until(|| daemon.node.checkpoints.len() == 1).await;
    let begun = tokio::time::Instant::now();
    daemon.shutdown.cancel();
    daemon.task.await.unwrap();
    assert_eq!(begun.elapsed(), END_DEADLINE);
    assert_eq!(daemon.node.checkpoints.len(), 1, "on record for the next daemon");
    drop((stream, daemon.dir));
}

#[tokio::test]
async fn the_socket_of_a_daemon_that_lives_is_left_to_it() {
    let daemon = start();
    let error = bind(&daemon.socket).unwrap_err();
    assert!(error.to_string().contains("another kuryr-daemon serves there"), "{error}");
    UnixStream::connect(&daemon.socket).await.unwrap();
}
