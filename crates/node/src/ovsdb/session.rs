//! The task that owns the connection: it sends requests, matches answers, keeps the copy of the tables current, answers
//! the server's echo requests, and connects again when the connection breaks.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::{OvsdbAddress, OvsdbError, Tables};

const DATABASE: &str = "Open_vSwitch";

/// A local server accepts at once.
const CONNECT_DEADLINE: Duration = Duration::from_secs(3);

/// Pause before the first and, doubling, the later attempts to connect again. An attempt at a local server costs nothing,
/// and pods wait for it.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(250));

/// Silence after which the server is asked for an echo, and after which the connection is given up.
const PROBE_AFTER: Duration = Duration::from_secs(10);

/// No answer we ask for comes near this; more is a sign of a stream that is not JSON-RPC.
const LARGEST_MESSAGE: usize = 64 << 20;

/// One transaction to be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) operations: Vec<Value>,
    pub(super) reply: oneshot::Sender<Result<Value, OvsdbError>>,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Serves requests until every client handle is gone.
pub(super) async fn run(
    address: OvsdbAddress,
    mut requests: mpsc::UnboundedReceiver<Request>,
    tables: watch::Sender<Tables>,
) {
    let mut pause = RECONNECT.0;
    while !requests.is_closed() || !requests.is_empty() {
        let reason = match connect(&address).await {
            Err(reason) => reason,
            Ok(stream) => {
                let mut connection = Connection::new(stream, &tables);
                match connection.serve(&mut requests).await {
                    Ok(()) => return,
                    Err(reason) => {
                        if connection.complete {
                            pause = RECONNECT.0;
                        }
                        connection.fail(&reason);
                        reason
                    }
                }
            }
        };
        // Said once per outage, not once per attempt.
        match tables.borrow().outage.is_none() {
            true => warn!(%address, reason, "OVSDB connection lost; connecting again"),
            false => debug!(%address, reason, "no OVSDB connection"),
        }
        tables.send_modify(|tables| tables.outage = Some(reason));
        sleep(pause).await;
        pause = (pause * 2).min(RECONNECT.1);
    }
}

async fn connect(address: &OvsdbAddress) -> Result<Box<dyn Stream>, String> {
    let opened = timeout(CONNECT_DEADLINE, async {
        Ok::<Box<dyn Stream>, std::io::Error>(match address {
            OvsdbAddress::Unix(path) => Box::new(UnixStream::connect(path).await?),
            OvsdbAddress::Tcp(server) => {
                let stream = TcpStream::connect(server).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    });
    match opened.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(format!("cannot connect: {error}")),
        Err(_) => Err(format!("cannot connect within {CONNECT_DEADLINE:?}")),
    }
}

/// The id of our one monitor request; transactions count from one.
const MONITOR: u64 = 0;

struct Connection<'a> {
    stream: Box<dyn Stream>,
    tables: &'a watch::Sender<Tables>,
    buffer: Vec<u8>,
    pending: HashMap<u64, oneshot::Sender<Result<Value, OvsdbError>>>,
    next_id: u64,
    /// The copy of the tables is complete.
    complete: bool,
    /// An echo request is on its way.
    probing: bool,
}

impl<'a> Connection<'a> {
    fn new(stream: Box<dyn Stream>, tables: &'a watch::Sender<Tables>) -> Self {
        let (buffer, pending) = (Vec::with_capacity(64 * 1024), HashMap::new());
        Self { stream, tables, buffer, pending, next_id: MONITOR + 1, complete: false, probing: false }
    }

    /// Ends well when no client is left, with a reason when the connection is of no more use.
    async fn serve(&mut self, requests: &mut mpsc::UnboundedReceiver<Request>) -> Result<(), String> {
        let monitor = json!({"method": "monitor", "params": [DATABASE, "kuryr", Tables::monitored()], "id": MONITOR});
        self.send(&monitor).await?;
        let mut heard = Instant::now();
        loop {
            let silence = heard + PROBE_AFTER * if self.probing { 2 } else { 1 };
            tokio::select! {
                read = timeout_at(silence, self.stream.read_buf(&mut self.buffer)) => match read {
                    Ok(Ok(0)) => return Err("the server closed the connection".to_owned()),
                    Ok(Ok(_)) => {
                        heard = Instant::now();
                        self.probing = false;
                        self.receive().await?;
                    }
                    Ok(Err(error)) => return Err(error.to_string()),
                    Err(_) if self.probing => return Err(format!("no sign of life for {:?}", PROBE_AFTER * 2)),
                    Err(_) => {
                        self.probing = true;
                        self.send(&json!({"method": "echo", "params": [], "id": "kuryr-probe"})).await?;
                    }
                },
                request = requests.recv(), if self.complete => match request {
                    None => return Ok(()),
                    // Its caller has given up and may have undone the work by now: never send it late.
                    Some(request) if request.reply.is_closed() => {}
                    Some(request) => self.transact(request).await?,
                },
            }
        }
    }

    async fn transact(&mut self, request: Request) -> Result<(), String> {
        let id = self.next_id;
        self.next_id += 1;
        let mut params = vec![Value::from(DATABASE)];
        params.extend(request.operations);
        self.pending.insert(id, request.reply);
        self.send(&json!({"method": "transact", "params": params, "id": id})).await
    }

    async fn send(&mut self, message: &Value) -> Result<(), String> {
        let sent = timeout(PROBE_AFTER, self.stream.write_all(message.to_string().as_bytes())).await;
        sent.map_err(|_| "the server takes no requests".to_owned())?.map_err(|error| error.to_string())
    }

    /// Takes every complete message off the buffer. Messages follow each other without any separator, and one read may
    /// end in the middle of one.
    async fn receive(&mut self) -> Result<(), String> {
        let mut messages = Vec::new();
        let mut stream = serde_json::Deserializer::from_slice(&self.buffer).into_iter::<Value>();
        let mut consumed = 0;
        while let Some(message) = stream.next() {
            match message {
                Ok(message) => messages.push(message),
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(format!("the server does not speak JSON: {error}")),
            }
            consumed = stream.byte_offset();
        }
        self.buffer.drain(..consumed);
        if self.buffer.len() > LARGEST_MESSAGE {
            return Err(format!("a message of more than {LARGEST_MESSAGE} bytes"));
        }
        for message in messages {
            self.handle(message).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, mut message: Value) -> Result<(), String> {
        let Some(method) = message.get("method").and_then(Value::as_str) else { return self.answer(&mut message) };
        match method {
            "echo" => {
                let reply = json!({"result": message["params"], "error": null, "id": message["id"]});
                self.send(&reply).await
            }
            "update" => self.change(|tables| tables.update(&message["params"][1])),
            "monitor_canceled" => Err("the server ended our monitor (its schema is being converted)".to_owned()),
            other => {
                debug!(method = other, "OVSDB notification ignored");
                Ok(())
            }
        }
    }

    fn answer(&mut self, message: &mut Value) -> Result<(), String> {
        let (result, error) = (message["result"].take(), message["error"].take());
        match message["id"].as_u64() {
            Some(MONITOR) if error.is_null() => {
                self.change(|tables| {
                    *tables = Tables::default();
                    tables.update(&result)?;
                    tables.outage = None;
                    Ok(())
                })?;
                self.complete = true;
                info!("OVSDB connected");
                Ok(())
            }
            Some(MONITOR) => Err(format!("the server refuses to be monitored: {error}")),
            Some(id) => {
                if let Some(reply) = self.pending.remove(&id) {
                    let answer = if error.is_null() { Ok(result) } else { Err(OvsdbError::Garbled(error.to_string())) };
                    // The caller may have stopped waiting.
                    let _ = reply.send(answer);
                }
                Ok(())
            }
            // The answer to our echo.
            None => Ok(()),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Tables) -> Result<(), String>) -> Result<(), String> {
        let mut outcome = Ok(());
        self.tables.send_modify(|tables| outcome = change(tables));
        outcome
    }

    /// Tells everyone who waits for an answer that none will come.
    fn fail(&mut self, reason: &str) {
        for (_, reply) in self.pending.drain() {
            let _ = reply.send(Err(OvsdbError::Lost(reason.to_owned())));
        }
    }
}
