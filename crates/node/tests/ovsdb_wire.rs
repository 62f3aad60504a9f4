//! The OVSDB client against a server that is slow, chatty, broken or silent, byte by byte.

#![allow(clippy::unwrap_used, reason = "test code; the lint does not see it in helpers")]

use std::time::Duration;

use kuryr_node::ovsdb::{Ovsdb, OvsdbAddress, OvsdbError};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

/// One connection as the server sees it.
struct Peer {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Peer {
    async fn accept(listener: &UnixListener) -> Self {
        Self { stream: listener.accept().await.unwrap().0, buffer: Vec::new() }
    }

    /// The next message of the client.
    async fn receive(&mut self) -> Value {
        loop {
            let mut messages = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
            if let Some(Ok(message)) = messages.next() {
                let length = messages.byte_offset();
                self.buffer.drain(..length);
                return message;
            }
            assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the client closed the connection");
        }
    }

    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Answers the client's monitor request with a bridge `br-int`.
    async fn monitor(&mut self) {
        let request = self.receive().await;
        assert_eq!(request["method"], "monitor");
        assert_eq!(request["params"][0], "Open_vSwitch");
        let rows = json!({"Bridge": {"b1": {"new": {"name": "br-int", "datapath_type": "netdev"}}}});
        self.send(&json!({"id": request["id"], "result": rows, "error": null}).to_string()).await;
    }

    /// Answers a transaction with one empty result per operation.
    async fn answer(&mut self, request: &Value) {
        let results = vec![json!({}); request["params"].as_array().unwrap().len() - 1];
        self.send(&json!({"id": request["id"], "result": results, "error": null}).to_string()).await;
    }
}

struct World {
    listener: UnixListener,
    client: Ovsdb,
    _dir: tempfile::TempDir,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    World { listener, client: Ovsdb::new(OvsdbAddress::Unix(path)), _dir: dir }
}

fn transact(client: &Ovsdb) -> tokio::task::JoinHandle<Result<Vec<Value>, OvsdbError>> {
    let client = client.clone();
    tokio::spawn(async move { client.transact(vec![json!({"op": "comment", "comment": "x"})]).await })
}

#[tokio::test]
async fn messages_may_come_together_or_in_pieces() {
    let World { listener, client, _dir } = world();
    let answer = transact(&client);
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    let request = server.receive().await;
    let update = |name: &str| {
        let rows = json!({"Bridge": {name: {"new": {"name": name, "datapath_type": ""}}}});
        json!({"method": "update", "params": ["kuryr", rows], "id": null}).to_string()
    };
    let reply = json!({"id": request["id"], "result": [{}], "error": null}).to_string();
    let together = [update("br-ä \"quoted\""), "\n ".to_owned(), update("br-b"), reply].concat();
    for piece in together.as_bytes().chunks(7) {
        server.stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(answer.await.unwrap().unwrap(), [json!({})]);
    // What came before the answer is known when the answer is.
    let tables = client.tables();
    assert!(tables.borrow().bridges.named("br-ä \"quoted\"").is_some());
    assert!(tables.borrow().bridges.named("br-b").is_some());
}

#[tokio::test]
async fn the_servers_echo_is_answered() {
    let World { listener, client, _dir } = world();
    let _tables = client.tables();
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    server.send(r#"{"method":"echo","params":["are you there"],"id":"echo"}"#).await;
    assert_eq!(server.receive().await, json!({"result": ["are you there"], "error": null, "id": "echo"}));
}

#[tokio::test]
async fn answers_find_their_callers_in_any_order() {
    let World { listener, client, _dir } = world();
    let (one, two) = (transact(&client), transact(&client));
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    let (first, second) = (server.receive().await, server.receive().await);
    assert_ne!(first["id"], second["id"]);
    server
        .send(&json!({"id": second["id"], "result": [{"error": "no", "details": "second"}], "error": null}).to_string())
        .await;
    server.answer(&first).await;
    let outcomes = [one.await.unwrap(), two.await.unwrap()];
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

#[tokio::test]
async fn a_lost_connection_fails_what_was_sent_and_keeps_what_was_not() {
    let World { listener, client, _dir } = world();
    let sent = transact(&client);
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    server.receive().await;
    drop(server);
    assert!(matches!(sent.await.unwrap(), Err(OvsdbError::Lost(_))));

    let queued = transact(&client);
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    let request = server.receive().await;
    server.answer(&request).await;
    queued.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_is_no_json_or_no_monitor_ends_the_connection_and_the_next_one_serves() {
    for nonsense in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "{\"id\":0,\"result\":null,\"error\":\"unknown database\"}", "]"]
    {
        let World { listener, client, _dir } = world();
        let answer = transact(&client);
        let mut server = Peer::accept(&listener).await;
        server.receive().await;
        server.send(nonsense).await;
        let mut server = Peer::accept(&listener).await;
        assert!(client.tables().borrow().outage.is_some());
        server.monitor().await;
        let request = server.receive().await;
        server.answer(&request).await;
        answer.await.unwrap().unwrap();
        assert!(client.tables().borrow().outage.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_probed_and_then_given_up() {
    let World { listener, client, _dir } = world();
    let _tables = client.tables();
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    client.connected().await;
    let begin = tokio::time::Instant::now();
    let probe = server.receive().await;
    assert_eq!(probe["method"], "echo");
    assert!(begin.elapsed() >= Duration::from_secs(10));
    server.send(&json!({"id": probe["id"], "result": [], "error": null}).to_string()).await;
    // Answered: the connection lives on, and the next probe comes as late.
    server.receive().await;
    assert!(begin.elapsed() >= Duration::from_secs(20));
    // Not answered: it is given up.
    Peer::accept(&listener).await;
    assert!(begin.elapsed() >= Duration::from_secs(30));
}

#[tokio::test]
async fn the_connection_ends_with_its_last_user() {
    let World { listener, client, _dir } = world();
    let other = client.clone();
    let _ = client.tables();
    let mut server = Peer::accept(&listener).await;
    server.monitor().await;
    other.connected().await;
    drop(client);
    let answer = transact(&other);
    let request = server.receive().await;
    server.answer(&request).await;
    answer.await.unwrap().unwrap();
    drop(other);
    assert_eq!(server.stream.read_buf(&mut server.buffer).await.unwrap(), 0);
}

#[tokio::test]
async fn the_legacy_tcp_address_is_served_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let client = Ovsdb::new(address.parse().unwrap());
    let _tables = client.tables();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = vec![0; 30];
    stream.read_exact(&mut request).await.unwrap();
    stream.write_all(br#"{"id":0,"result":{},"error":null}"#).await.unwrap();
    client.connected().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let client = Ovsdb::new(OvsdbAddress::Unix(dir.path().join("db.sock")));
    let mut tables = client.tables();
    let seen = tables.wait_for(|tables| tables.outage.as_ref().is_some_and(|outage| outage.contains("No such file")));
    seen.await.unwrap();
}
