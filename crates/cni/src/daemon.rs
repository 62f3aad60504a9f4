//! The conversation with kuryr-daemon.
//!
//! Protocol, version 1, over a Unix stream socket that only root may open (0600): the plugin sends one JSON object on
//! one line, the daemon answers with one JSON object on one line, then both close.
//!
//! Request: `version` (1), `command` (`ADD`, `DEL`, `CHECK`, `GC`, `STATUS`), `container_id`, `netns`, `ifname`, `args`
//! (the CNI variables; strings, empty where not set or not needed) and `config` (the network configuration as received).
//!
//! Answer: `version` (1) and either `result` (what to print; `null` for nothing) or `error` (`code`, `msg`, `details`).
//!
//! The plugin keeps its side open until the answer is there: end of file before that tells the daemon that nobody waits
//! for the result any more. The daemon documents the same in `kuryr_node::protocol`; the two share no code, so that each
//! side's tests hold the other to the text.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::environment::{Command, Environment};
use crate::failure::{Failure, code};

/// Version of the protocol.
const PROTOCOL: u64 = 1;
/// How long a missing socket is waited for: a daemon that restarts is back within this.
const RESTART_GRACE: Duration = Duration::from_millis(1500);
/// STATUS is asked every few seconds by a runtime that waits for it: never make it wait long.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// No answer is as large as this.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Hands the request over and returns what to print.
pub(crate) fn ask(environment: &Environment, configuration: &Configuration) -> Result<Option<Value>, Failure> {
    let socket = configuration.daemon_socket();
    let timeout = configuration.daemon_timeout();
    let timeout = if environment.command == Command::Status { timeout.min(STATUS_TIMEOUT) } else { timeout };
    // An unusable network is code 50 when the question was just that.
    let unreachable = if environment.command == Command::Status { code::NOT_AVAILABLE } else { code::TRY_LATER };
    let failed = |what: &str, error: &std::io::Error| {
        Failure::new(
            unreachable,
            format!(
                "kuryr-daemon {what} ({}): is its pod (DaemonSet kuryr-cni-ds) running on this node? try again later",
                socket.display()
            ),
        )
        .details(error.to_string())
    };
    let deadline = Instant::now() + timeout;
    let mut stream = connect(&socket, deadline.min(Instant::now() + RESTART_GRACE))
        .map_err(|error| failed("cannot be reached", &error))?;

    let mut request = json!({
        "version": PROTOCOL,
        "command": environment.command.name(),
        "container_id": environment.container_id,
        "netns": environment.netns,
        "ifname": environment.ifname,
        "args": environment.args,
        "config": configuration.value(),
    })
    .to_string();
    request.push('\n');
    let answer = exchange(&mut stream, request.as_bytes(), deadline).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            failed(&format!("did not answer within {} s", timeout.as_secs()), &error)
        }
        _ => failed("broke the connection", &error),
    })?;
    read_answer(&answer)
}

fn connect(socket: &Path, deadline: Instant) -> std::io::Result<UnixStream> {
    loop {
        match UnixStream::connect(socket) {
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock
                ) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}

fn exchange(stream: &mut UnixStream, request: &[u8], deadline: Instant) -> std::io::Result<Vec<u8>> {
    // Zero would mean "no limit", so the last moment still counts as one millisecond.
    let remaining = || Some(deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
    stream.set_write_timeout(remaining())?;
    // A daemon that refuses may close before it has read everything; what it said is still worth reading.
    let sent = stream.write_all(request);
    stream.set_read_timeout(remaining())?;
    let mut answer = Vec::with_capacity(4096);
    match stream.take(MAX_ANSWER).read_to_end(&mut answer) {
        Ok(_) if answer.last() == Some(&b'\n') => Ok(answer),
        Ok(_) => Err(sent.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(error),
    }
}

fn read_answer(bytes: &[u8]) -> Result<Option<Value>, Failure> {
    let strange = |why: String| {
        Failure::new(
            code::DECODE,
            "kuryr-daemon's answer is not understood: are kuryr-cni and kuryr-daemon from the same release?",
        )
        .details(why)
    };
    let mut answer: Value = serde_json::from_slice(bytes).map_err(|error| strange(error.to_string()))?;
    if let Some(error) = answer.get("error") {
        let code = error["code"].as_u64().ok_or_else(|| strange(format!("error without code: {error}")))?;
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        return Err(Failure { code, msg: text("msg"), details: text("details") });
    }
    if answer["version"] != PROTOCOL {
        return Err(strange(format!("protocol version {} instead of {PROTOCOL}", answer["version"])));
    }
    match answer.get_mut("result").map(Value::take) {
        None => Err(strange(answer.to_string())),
        Some(Value::Null) => Ok(None),
        Some(result) => Ok(Some(result)),
    }
}
