//! What the plugin's process costs the runtime, spawn to exit (SPECIFICATION.md: at most 1.3 times `/bin/true`, and less
//! than the reference plugin's).
//!
//! `cargo xtask bench plugin-start` runs it with the executables as they are shipped: `KURYR_CNI`, and `bridge` in
//! `KUBE_BIN`. All programs are started in turns, in the same way, with the same pipes; ADD is answered at once by a
//! thread that stands for the daemon.

#![allow(clippy::expect_used, reason = "a benchmark stops where its ground gives way")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

fn main() {
    // `cargo bench` passes `--bench`; `cargo test --benches` does not, and then one round shows that it works.
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_given = |option: &str| arguments.iter().any(|argument| argument == option);
    let rounds = match (is_given("--bench"), is_given("--short")) {
        (true, false) => 1000,
        (true, true) => 100,
        (false, _) => 1,
    };
    let shipped = std::env::var_os("KURYR_CNI").map(PathBuf::from);
    let plugin = shipped.unwrap_or_else(|| env!("CARGO_BIN_EXE_kuryr-cni").into());
    println!("the plugin is {}", plugin.display());
    let daemon = Daemon::start();
    let mut programs = vec![
        Program::new("/bin/true".into(), "", "", String::new()),
        Program::new(plugin.clone(), "ADD", &daemon.answer().to_string(), daemon.config()),
    ];
    match std::env::var_os("KUBE_BIN").map(|folder| Path::new(&folder).join("bridge")) {
        Some(bridge) => {
            let question = json!({"cniVersion": "1.0.0"}).to_string();
            programs.push(Program::new(plugin, "VERSION", "supportedVersions", question.clone()));
            programs.push(Program::new(bridge, "VERSION", "supportedVersions", question));
        }
        None => eprintln!("plugin-start-bridge is not measured: KUBE_BIN names no folder with the reference plugins"),
    }
    for round in 0..rounds {
        // Nobody always comes after the same other.
        for turn in 0..programs.len() {
            let index = (round + turn) % programs.len();
            programs[index].run();
        }
    }
    let medians: Vec<f64> = programs.iter_mut().map(Program::median).collect();
    if let [nothing, add, ..] = medians[..] {
        println!(
            "measured plugin-start {:.2} × {add:.2} ms for an ADD against {nothing:.2} ms for /bin/true, medians of {rounds}",
            add / nothing
        );
    }
    if let [_, _, ours, theirs] = medians[..] {
        println!(
            "measured plugin-start-bridge {:.2} × {ours:.2} ms for VERSION against {theirs:.2} ms, medians of {rounds}",
            ours / theirs
        );
    }
}

/// One of the programs, and what its executions took.
struct Program {
    path: PathBuf,
    command: &'static str,
    /// What its output must contain: only real work counts.
    expected: String,
    stdin: String,
    times: Vec<Duration>,
}

impl Program {
    fn new(path: PathBuf, command: &'static str, expected: &str, stdin: String) -> Self {
        Self { path, command, expected: expected.to_owned(), stdin, times: Vec::new() }
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.path);
        command.env_clear().env("CNI_COMMAND", self.command).env("CNI_CONTAINERID", "c1");
        command.env("CNI_NETNS", "/run/netns/c1").env("CNI_IFNAME", "eth0").env("CNI_PATH", "/opt/cni/bin");
        command.env("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_UID=u");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("start");
        // `true` may have gone without having read it.
        let _ = child.stdin.take().expect("stdin").write_all(self.stdin.as_bytes());
        let mut output = String::new();
        child.stdout.take().expect("stdout").read_to_string(&mut output).expect("output");
        let status = child.wait().expect("wait");
        self.times.push(begun.elapsed());
        assert!(status.success() && output.contains(&self.expected), "{}: {status}: {output}", self.path.display());
    }

    /// In milliseconds.
    fn median(&mut self) -> f64 {
        self.times.sort();
        let at = |percent: usize| self.times[self.times.len() * percent / 100].as_secs_f64() * 1e3;
        println!(
            "{} {}: p10 {:.2} ms, p50 {:.2} ms, p90 {:.2} ms",
            self.path.display(),
            self.command,
            at(10),
            at(50),
            at(90)
        );
        at(50)
    }
}

/// Stands for the daemon: answers whoever connects with the same result, at once.
struct Daemon {
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Daemon {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("cni.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let this = Self { socket, _folder: folder };
        let mut answer = json!({"version": 1, "result": this.answer()}).to_string();
        answer.push('\n');
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer_one(&stream.expect("a connection"), answer.as_bytes());
            }
        });
        this
    }

    /// As the real one answers for a pod with one interface.
    fn answer(&self) -> Value {
        json!({
            "cniVersion": "1.0.0",
            "interfaces": [
                {"name": "eth0", "mac": "fa:16:3e:00:00:05", "mtu": 1442, "sandbox": "/run/netns/c1"},
                {"name": "tap0f8b1c15-05", "mac": "fe:16:3e:00:00:05", "mtu": 1442},
            ],
            "ips": [{"address": "10.1.0.5/24", "gateway": "10.1.0.1", "interface": 0}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}],
            "dns": {},
        })
    }

    fn config(&self) -> String {
        json!({"cniVersion": "1.0.0", "name": "kuryr", "type": "kuryr-cni", "daemon_socket": self.socket}).to_string()
    }
}

fn answer_one(stream: &UnixStream, answer: &[u8]) {
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request).expect("a request");
    assert!(request.contains("\"ADD\""), "{request}");
    let mut stream = stream;
    stream.write_all(answer).expect("an answer");
}
