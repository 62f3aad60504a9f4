//! The network configuration on stdin (specification, section 1, and section 3 for what runtimes add to it).

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, IsTerminal as _, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::SUPPORTED;
use crate::environment::{Command, is_container_id};
use crate::failure::{Failure, code};

/// Where the daemon listens unless the configuration's `daemon_socket` says otherwise.
const DAEMON_SOCKET: &str = "/run/kuryr/cni.sock";
/// How long to wait for the daemon's answer unless `daemon_timeout` says otherwise: just below the 4 minutes after which
/// kubelet gives the sandbox up.
const DAEMON_TIMEOUT: u64 = 230;
/// How long ADD, DEL and CHECK wait for a daemon that is not there unless `daemonWait` says otherwise: long enough for a
/// rolling update, far below kubelet's 4 minutes.
const DAEMON_WAIT: u64 = 60;
/// The most `daemonWait` may be.
const LONGEST_DAEMON_WAIT: u64 = 200;
/// Larger configurations are refused: no runtime sends them.
const MAX_STDIN: usize = 1024 * 1024;
/// A runtime that has not sent everything by then never will.
const STDIN_DEADLINE: Duration = Duration::from_secs(5);
/// `O_NONBLOCK` of every Linux architecture Rust's std supports but MIPS and SPARC, which Kuryr does not.
const O_NONBLOCK: i32 = 0o4000;

/// The configuration as received; `Null` when stdin was empty.
pub(crate) struct Configuration(Value);

/// Reads stdin to its end.
pub(crate) fn read() -> Result<Configuration, Failure> {
    if io::stdin().is_terminal() {
        return Ok(Configuration(Value::Null));
    }
    let bytes = read_stdin()?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Configuration(Value::Null));
    }
    serde_json::from_slice(&bytes).map(Configuration).map_err(|error| {
        Failure::new(code::DECODE, "the network configuration on stdin is not JSON").details(error.to_string())
    })
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    // Opened anew and non-blocking, which a pipe that never ends cannot stop. Where that is impossible (no /proc, a
    // socket as stdin) it is read the ordinary way.
    let mut stdin: Box<dyn Read> = match OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open("/proc/self/fd/0")
    {
        Ok(file) => Box::new(file),
        Err(_) => Box::new(io::stdin().lock()),
    };
    let deadline = Instant::now() + STDIN_DEADLINE;
    let mut bytes = Vec::with_capacity(4096);
    let mut chunk = [0; 16 * 1024];
    let mut pause = Duration::from_micros(20);
    loop {
        match stdin.read(&mut chunk) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if Instant::now() >= deadline {
                    return Err(Failure::new(
                        code::TRY_LATER,
                        format!(
                            "stdin did not end within {} s: the runtime must send the network configuration and close it",
                            STDIN_DEADLINE.as_secs()
                        ),
                    ));
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(5));
            }
            Err(error) => {
                return Err(Failure::new(code::IO, "the network configuration cannot be read from stdin")
                    .details(error.to_string()));
            }
        }
        if bytes.len() > MAX_STDIN {
            return Err(Failure::new(code::DECODE, "the network configuration on stdin is larger than 1 MiB"));
        }
    }
}

impl Configuration {
    /// Stdin was empty or a terminal.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_null()
    }

    /// `cniVersion`; 0.1.0, which did not have the key, when it is missing.
    pub(crate) fn version(&self) -> &str {
        self.0.get("cniVersion").and_then(Value::as_str).unwrap_or("0.1.0")
    }

    /// The whole document.
    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    /// Where the daemon listens: key `daemon_socket`.
    pub(crate) fn daemon_socket(&self) -> PathBuf {
        self.0.get("daemon_socket").and_then(Value::as_str).unwrap_or(DAEMON_SOCKET).into()
    }

    /// How long the daemon may take: key `daemon_timeout`, seconds.
    pub(crate) fn daemon_timeout(&self) -> Duration {
        Duration::from_secs(self.0.get("daemon_timeout").and_then(Value::as_u64).unwrap_or(DAEMON_TIMEOUT))
    }

    /// How long ADD, DEL and CHECK wait for a daemon that is not there: key `daemonWait`, seconds; 0 is not at all.
    pub(crate) fn daemon_wait(&self) -> Duration {
        Duration::from_secs(self.0.get("daemonWait").and_then(Value::as_u64).unwrap_or(DAEMON_WAIT))
    }

    /// Checks everything that needs no daemon. Unknown keys are fine.
    pub(crate) fn validate(&self, command: Command) -> Result<(), Failure> {
        let Some(object) = self.0.as_object() else {
            let found = if self.is_empty() { "nothing" } else { "another JSON value" };
            return Err(Failure::new(
                code::DECODE,
                format!("stdin must carry the network configuration, a JSON object; there was {found}"),
            ));
        };
        let bad = |key: &str, rule: &str| {
            let value = &object[key];
            Failure::new(code::CONFIGURATION, format!("network configuration: {key:?} is {value}, but must be {rule}"))
        };
        if object.get("cniVersion").is_some_and(|version| !version.is_string()) {
            return Err(bad("cniVersion", "a string such as \"1.1.0\""));
        }
        let version = self.version();
        let Some(rank) = SUPPORTED.iter().position(|supported| *supported == version) else {
            return Err(incompatible(version, "it is not supported"));
        };
        let since = match command {
            Command::Check => "0.4.0",
            Command::Gc | Command::Status => "1.1.0",
            Command::Add | Command::Del | Command::Version => SUPPORTED[0],
        };
        if SUPPORTED[..rank + 1].iter().all(|known| *known != since) {
            return Err(incompatible(version, &format!("{} exists since {since}", command.name())));
        }
        match object.get("name") {
            None => return Err(Failure::new(code::CONFIGURATION, "network configuration: \"name\" is missing")),
            Some(name) if !name.as_str().is_some_and(is_container_id) => {
                return Err(bad(
                    "name",
                    "a string of letters, digits, '_', '.' and '-' that begins with a letter or digit",
                ));
            }
            Some(_) => {}
        }
        if object
            .get("daemon_socket")
            .is_some_and(|path| !path.as_str().is_some_and(|path| Path::new(path).is_absolute()))
        {
            return Err(bad("daemon_socket", "an absolute path"));
        }
        if object
            .get("daemon_timeout")
            .is_some_and(|limit| !limit.as_u64().is_some_and(|limit| (1..=3600).contains(&limit)))
        {
            return Err(bad("daemon_timeout", "a whole number of seconds from 1 to 3600"));
        }
        if object
            .get("daemonWait")
            .is_some_and(|wait| !wait.as_u64().is_some_and(|wait| (0..=LONGEST_DAEMON_WAIT).contains(&wait)))
        {
            return Err(bad("daemonWait", &format!("a whole number of seconds from 0 to {LONGEST_DAEMON_WAIT}")));
        }
        Ok(())
    }
}

fn incompatible(version: &str, why: &str) -> Failure {
    Failure::new(code::VERSION, format!("incompatible CNI version: the network configuration says {version:?}; {why}"))
        .details(format!("requested: {version}; supported: {}", SUPPORTED.join(", ")))
}
