//! The conversation with kuryr-daemon.
//!
//! Protocol, version 1, over a Unix stream socket that only root may open (0600): the plugin sends one JSON object on
//! one line, the daemon answers with one JSON object on one line, then both close.
//!
//! Request: `version` (1), `command` (`ADD`, `DEL`, `CHECK`, `GC`, `STATUS`), `container_id`, `netns`, `ifname`, `args`
//! (the CNI variables; strings, empty where not set or not needed) and `config` (the network configuration as received).
//!
//! Answer: `version` (1) and either `result` (what to print; `null` for nothing) or `error` (`code`, `msg`, `details`).
//! `again` (true) beside an error means that the daemon is ending and has undone what it did: ask the next one.
//!
//! # A daemon that restarts
//! ADD, DEL and CHECK are repeated while nobody listens, when the connection breaks without an answer, and when the answer
//! says `again`; the repeat carries `repeated` (true), so the next daemon knows that what it finds of this request was
//! never answered. What is waited is the time without a daemon, not the daemon's work.
//!
//! The plugin keeps its side open until the answer is there: end of file before that tells the daemon that nobody waits
//! for the result any more. The daemon documents the same in `kuryr_node::protocol`; the two share no code, so that each
//! side's tests hold the other to the text.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::configuration::Configuration;
use crate::environment::{Command, Environment};
use crate::failure::{Failure, code};

/// Version of the protocol.
const PROTOCOL: u64 = 1;
/// How long GC waits for a daemon that is not there: CRI-O lets no ADD and no DEL run meanwhile.
const GC_WAIT: Duration = Duration::from_millis(1500);
/// The same for STATUS, which the runtime asks every few seconds and kubelet's own status waits for. A container that is
/// restarted in place is back within this, and its node does not turn NotReady for a moment.
const STATUS_WAIT: Duration = Duration::from_millis(500);
/// How long STATUS waits for the answer.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
/// The first pause before another attempt; each is twice the one before, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// A hundred plugins may be waiting on this node, so they do not ask more often than this.
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// No answer is as large as this.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;

/// Why an attempt brought nothing.
enum Trouble {
    /// Nobody listens.
    Away(io::Error),
    /// There is something, but it cannot be opened.
    Closed(io::Error),
    /// The connection broke before the answer was there.
    Broken(io::Error),
    /// The time is up.
    Silent(io::Error),
    /// The daemon is ending and says so.
    Ending(Failure),
    /// Nothing that another attempt would change.
    Final(Failure),
}

/// Hands the request over and returns what to print.
pub(crate) fn ask(environment: &Environment, configuration: &Configuration) -> Result<Option<Value>, Failure> {
    let socket = configuration.daemon_socket();
    let (timeout, wait) = match environment.command {
        Command::Status => (configuration.daemon_timeout().min(STATUS_TIMEOUT), STATUS_WAIT),
        Command::Gc => (configuration.daemon_timeout(), GC_WAIT),
        _ => (configuration.daemon_timeout(), configuration.daemon_wait()),
    };
    // An unusable network is code 50 when the question was just that.
    let unreachable = if environment.command == Command::Status { code::NOT_AVAILABLE } else { code::TRY_LATER };
    let failed = |what: String, error: &io::Error| {
        Failure::new(
            unreachable,
            format!(
                "kuryr-daemon {what} ({}): is its pod (DaemonSet kuryr-cni) running on this node? try again later",
                socket.display()
            ),
        )
        .details(error.to_string())
    };
    let deadline = Instant::now() + timeout;
    // Only pauses count: an attempt at an absent daemon costs nothing, and the work of one that is there is not absence.
    let mut left = wait;
    let mut pause = FIRST_PAUSE;
    let mut request = json!({
        "version": PROTOCOL,
        "command": environment.command.name(),
        "container_id": environment.container_id,
        "netns": environment.netns,
        "ifname": environment.ifname,
        "args": environment.args,
        "config": configuration.value(),
    });
    loop {
        let trouble = match attempt(&socket, &request, deadline) {
            Ok(result) => return Ok(result),
            Err(trouble) => trouble,
        };
        let was_there = matches!(trouble, Trouble::Broken(_) | Trouble::Ending(_));
        let now = Instant::now();
        let last = left.is_zero() || now >= deadline;
        match trouble {
            Trouble::Away(_) | Trouble::Broken(_) | Trouble::Ending(_) if !last => {}
            Trouble::Away(error) if wait.as_secs() == 0 => return Err(failed("cannot be reached".to_owned(), &error)),
            Trouble::Away(error) => {
                return Err(failed(format!("could not be reached for {} s", (wait - left).as_secs()), &error));
            }
            Trouble::Closed(error) => return Err(failed("cannot be reached".to_owned(), &error)),
            Trouble::Broken(error) => return Err(failed("broke the connection".to_owned(), &error)),
            Trouble::Silent(error) => {
                return Err(failed(format!("did not answer within {} s", timeout.as_secs()), &error));
            }
            Trouble::Ending(failure) | Trouble::Final(failure) => return Err(failure),
        }
        if was_there {
            request["repeated"] = json!(true);
            // It was there just now: the next one may be here soon.
            pause = FIRST_PAUSE;
        }
        let rest = pause.min(left).min(deadline - now);
        std::thread::sleep(rest);
        left = left.saturating_sub(rest);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn attempt(socket: &Path, request: &Value, deadline: Instant) -> Result<Option<Value>, Trouble> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::WouldBlock => Trouble::Away(error),
        _ => Trouble::Closed(error),
    })?;
    let mut line = request.to_string();
    line.push('\n');
    let answer = exchange(&mut stream, line.as_bytes(), deadline).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Trouble::Silent(error),
        _ => Trouble::Broken(error),
    })?;
    read_answer(&answer)
}

fn exchange(stream: &mut UnixStream, request: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
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

fn read_answer(bytes: &[u8]) -> Result<Option<Value>, Trouble> {
    let strange = |why: String| {
        let what = "kuryr-daemon's answer is not understood: are kuryr-cni and kuryr-daemon from the same release?";
        Trouble::Final(Failure::new(code::DECODE, what).details(why))
    };
    let mut answer: Value = serde_json::from_slice(bytes).map_err(|error| strange(error.to_string()))?;
    if let Some(error) = answer.get("error") {
        let code = error["code"].as_u64().ok_or_else(|| strange(format!("error without code: {error}")))?;
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let failure = Failure { code, msg: text("msg"), details: text("details") };
        return Err(if answer["again"] == true { Trouble::Ending(failure) } else { Trouble::Final(failure) });
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
