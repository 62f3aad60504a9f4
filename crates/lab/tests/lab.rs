//! The lab from outside: what it shows, how it ends, and that nothing of it stays behind.
//!
//! These tests run the real executable, which runs `kuryr` and `kuryr-cni` from the same directory: `cargo xtask test`
//! (or `cargo build`) makes them.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Each test looks at all of the machine, so they take turns.
static MACHINE: Mutex<()> = Mutex::new(());

/// The machine before the lab, and the lab's own directory for temporary files.
struct Before {
    interfaces: BTreeSet<String>,
    mounts: usize,
    temporary: tempfile::TempDir,
    executable: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Before {
    fn look() -> Before {
        let turn = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_kuryr-lab")).canonicalize().unwrap();
        let temporary = tempfile::tempdir().unwrap();
        Before { interfaces: interfaces(), mounts: namespace_mounts(), temporary, executable, _turn: turn }
    }

    fn lab(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments).env("TMPDIR", self.temporary.path()).stdin(Stdio::null());
        command
    }

    /// Nothing of the lab is left: processes, the namespaces it had, interfaces, mounts, files.
    fn assert_nothing_left(&self, namespaces: &BTreeSet<String>) {
        let left = processes_of(self.executable.parent().unwrap());
        assert!(left.is_empty(), "processes are left: {left:?}");
        let held: Vec<_> = all_namespaces().intersection(namespaces).cloned().collect();
        assert!(held.is_empty(), "namespaces are left: {held:?}");
        assert_eq!(interfaces().difference(&self.interfaces).count(), 0, "interfaces are left: {:?}", interfaces());
        assert_eq!(namespace_mounts(), self.mounts, "pinned namespaces are left");
        let files: Vec<_> = fs::read_dir(self.temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.is_empty(), "files are left: {files:?}");
    }

    /// The namespaces that processes of the lab have and we have not.
    fn namespaces_of_lab(&self) -> BTreeSet<String> {
        let ours = namespaces_of(&PathBuf::from("/proc/self"));
        let mut theirs = BTreeSet::new();
        for process in processes_of(self.executable.parent().unwrap()) {
            for thread in entries(&process.join("task")) {
                theirs.extend(namespaces_of(&thread));
            }
        }
        &theirs - &ours
    }
}

fn interfaces() -> BTreeSet<String> {
    entries(Path::new("/sys/class/net")).iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect()
}

/// How many namespaces are pinned by mounts we can see.
fn namespace_mounts() -> usize {
    fs::read_to_string("/proc/self/mountinfo").unwrap().lines().filter(|line| line.contains(" - nsfs ")).count()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    // A process may end while we look.
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// What a lab consists of. Other programs of the same directory (`xtask`, which may have started this test) are none of it.
const PROGRAMS: [&str; 3] = ["kuryr-lab", "kuryr", "kuryr-cni"];

/// `/proc/PID` of every process that runs one of the lab's programs from this directory.
fn processes_of(directory: &Path) -> Vec<PathBuf> {
    let programs = PROGRAMS.map(|name| directory.join(name));
    entries(Path::new("/proc"))
        .into_iter()
        .filter(|process| fs::read_link(process.join("exe")).is_ok_and(|exe| programs.contains(&exe)))
        .collect()
}

fn namespaces_of(process: &Path) -> BTreeSet<String> {
    ["net", "mnt", "pid", "user"]
        .iter()
        .filter_map(|kind| Some(fs::read_link(process.join("ns").join(kind)).ok()?.to_string_lossy().into_owned()))
        .collect()
}

fn all_namespaces() -> BTreeSet<String> {
    entries(Path::new("/proc"))
        .iter()
        .flat_map(|process| entries(&process.join("task")))
        .filter(|thread| !has_ended(thread))
        .flat_map(|thread| namespaces_of(&thread))
        .collect()
}

/// What has ended holds nothing; its number stays until the machine's first process takes note of it.
fn has_ended(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Reads the lab's progress until a line contains `text`.
fn read_until(stderr: &mut BufReader<ChildStderr>, text: &str) {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the lab ended before it said {text:?}:\n{seen}");
        seen.push_str(&line);
        if line.contains(text) {
            return;
        }
    }
}

/// A lab that a failing test does not leave behind, for the next test to stumble over.
struct Lab(Child);

impl Lab {
    fn start(mut command: Command) -> (Lab, BufReader<ChildStderr>) {
        let mut lab = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(lab.stderr.take().unwrap());
        (Lab(lab), stderr)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Mostly it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn assert_shows_everything(output: &Output, pods: usize) {
    let (shown, progress) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{progress}\n{shown}", output.status);
    let ports: BTreeSet<_> = (1..=pods)
        .map(|number| {
            let name = format!("pod-{number} ");
            let row = shown
                .lines()
                .find(|line| line.trim_start().starts_with(&name))
                .unwrap_or_else(|| panic!("no {name} in\n{shown}"));
            let cells: Vec<_> = row.split_whitespace().collect();
            assert!(cells[1].starts_with('n') && cells[2].starts_with("10.") && cells[3].contains(':'), "{row}");
            assert_eq!(cells[5], &format!("tap{}", &cells[4][..11]), "the device is named after the port: {row}");
            cells[4].to_owned()
        })
        .collect();
    assert_eq!(ports.len(), pods, "every pod has a port of its own:\n{shown}");
    let pings = format!("{0} of {0} pings between {pods} pods answered, every pair both ways", pods * (pods - 1));
    assert!(shown.contains(&pings), "{shown}");
    let way = ["The way of one packet", "tap", "bridge brq", "eth1", "n1-fabric → bridge fabric → n2-fabric"];
    let birth =
        ["The birth of pod-1", "pod created", "KuryrPort", "ADD starts", "plugged", "ACTIVE", "ADD done", "first ping"];
    let balanced =
        ["Service hello", "Ingress colours", "Gateway colours", "udp://10.96.", "http://blue.lab/green/grass"];
    for expected in way.iter().chain(&birth).chain(&balanced) {
        assert!(shown.contains(expected), "{expected:?} is missing in\n{shown}");
    }
    let by_all: Vec<_> = (1..=pods).map(|number| format!("pod-{number} ×{}", 20 / pods)).collect();
    let by_all = by_all.join(", ");
    assert_eq!(shown.matches(&by_all).count(), 2, "all pods answer by TCP and UDP, in turn:\n{shown}");
    assert!(!progress.contains("median 0.0 ms") && !shown.contains("median 0.0 ms"), "{shown}");
}

#[test]
#[ignore = "needs root or user namespaces; run by cargo xtask test"]
fn shows_pods_that_ping_and_leaves_nothing() {
    let before = Before::look();
    let (mut lab, mut stderr) = Lab::start(before.lab(&["--pods", "4"]));
    read_until(&mut stderr, "requests");
    let namespaces = before.namespaces_of_lab();
    assert!(namespaces.len() >= 3, "a network, a mount and a PID namespace at least: {namespaces:?}");
    // The result fits in its pipe.
    let mut output = Output { status: Default::default(), stdout: Vec::new(), stderr: Vec::new() };
    stderr.read_to_end(&mut output.stderr).unwrap();
    lab.0.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    output.status = lab.0.wait().unwrap();
    assert_shows_everything(&output, 4);
    before.assert_nothing_left(&namespaces);
}

#[test]
#[ignore = "needs root, to become nobody, and user namespaces; run by cargo xtask test"]
fn needs_no_root() {
    let before = Before::look();
    // Nobody may have no access to where this was built.
    let copies = tempfile::tempdir().unwrap();
    fs::set_permissions(copies.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(before.temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for program in PROGRAMS {
        fs::copy(before.executable.with_file_name(program), copies.path().join(program)).unwrap();
    }
    let nobody = 65534;
    let output = Command::new(copies.path().join("kuryr-lab"))
        .args(["--pods", "2"])
        .env("TMPDIR", before.temporary.path())
        .current_dir("/")
        .uid(nobody)
        .gid(nobody)
        .output()
        .unwrap();
    assert_shows_everything(&output, 2);
    before.assert_nothing_left(&BTreeSet::new());
}

#[test]
#[ignore = "needs root or user namespaces; run by cargo xtask test"]
fn ctrl_c_in_the_middle_ends_everything() {
    let before = Before::look();
    let (mut lab, mut stderr) = Lab::start(before.lab(&[]));
    read_until(&mut stderr, "nodes");
    let namespaces = before.namespaces_of_lab();
    lab.signal(Signal::INT);
    assert_eq!(lab.0.wait().unwrap().code(), Some(130));
    before.assert_nothing_left(&namespaces);
}

#[test]
#[ignore = "needs root or user namespaces; run by cargo xtask test"]
fn a_kept_lab_is_reachable_until_ctrl_c() {
    let before = Before::look();
    let (mut lab, stderr) = Lab::start(before.lab(&["--keep", "--pods", "2"]));
    // The progress must not fill its pipe while we read the result.
    let progress = std::thread::spawn(move || stderr.lines().map_while(Result::ok).collect::<Vec<_>>());
    let mut stdout = BufReader::new(lab.0.stdout.take().unwrap());
    let mut shown = String::new();
    let mut line = String::new();
    while !line.contains("openstack port list") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended:\n{shown}\n{:?}", progress.join());
        shown.push_str(&line);
    }
    let kubeconfig = shown.split_whitespace().find_map(|word| word.strip_prefix("KUBECONFIG=")).unwrap();
    let kubeconfig = fs::read_to_string(kubeconfig).unwrap();
    let server = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("server: http://")).unwrap();
    let pods = get(server, "/api/v1/namespaces/default/pods");
    assert!(pods.contains("pod-1") && pods.contains("pod-2") && pods.contains("Running"), "{pods}");
    let keystone = shown.split_whitespace().find_map(|word| word.strip_prefix("OS_AUTH_URL=http://")).unwrap();
    let (keystone, path) = keystone.split_once('/').unwrap();
    assert!(get(keystone, &format!("/{path}")).contains("v3"));

    let namespaces = before.namespaces_of_lab();
    lab.signal(Signal::INT);
    assert_eq!(lab.0.wait().unwrap().code(), Some(0));
    before.assert_nothing_left(&namespaces);
}

fn get(server: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
#[ignore = "needs root or user namespaces; run by cargo xtask test"]
fn kill_9_takes_everything_along_and_the_next_run_takes_the_files() {
    let before = Before::look();
    let (mut lab, mut stderr) = Lab::start(before.lab(&["--keep"]));
    read_until(&mut stderr, "requests");
    let namespaces = before.namespaces_of_lab();
    // The lab's processes end after ours is killed; a pidfd says when.
    let ends: Vec<_> = processes_of(before.executable.parent().unwrap())
        .iter()
        .filter_map(|process| Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?))
        .filter_map(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .collect();
    assert!(ends.len() >= 2, "the lab and its first process at least");
    lab.signal(Signal::KILL);
    lab.0.wait().unwrap();
    for end in &ends {
        let ended = poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap();
        assert_eq!(ended, 1, "a process of the lab outlives its first by a minute");
    }
    assert_eq!(fs::read_dir(before.temporary.path()).unwrap().count(), 1, "nobody was left to remove the directory");

    let output = before.lab(&["--pods", "2"]).output().unwrap();
    assert_shows_everything(&output, 2);
    before.assert_nothing_left(&namespaces);
}

#[test]
#[ignore = "needs root or user namespaces; run by cargo xtask test"]
fn a_program_that_dies_is_reported_with_its_log() {
    let before = Before::look();
    let (mut lab, mut stderr) = Lab::start(before.lab(&["--keep", "--pods", "2"]));
    read_until(&mut stderr, "pings");
    let namespaces = before.namespaces_of_lab();
    let daemon = processes_of(before.executable.parent().unwrap())
        .into_iter()
        .find(|process| fs::read_to_string(process.join("cmdline")).is_ok_and(|line| line.contains("\0daemon\0")))
        .unwrap();
    let daemon = daemon.file_name().unwrap().to_str().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(daemon).unwrap(), Signal::KILL).unwrap();
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(lab.0.wait().unwrap().code(), Some(1));
    assert!(said.contains("ended (signal: 9 (SIGKILL))") && said.contains("ADD done pod=default/pod-"), "{said}");
    let log = said.lines().find_map(|line| line.strip_prefix("--- controller, the last of ")).unwrap();
    assert!(Path::new(log.trim_end_matches(':')).is_file(), "{log} can be read");

    // The next run takes the logs along.
    let (mut next, mut stderr) = Lab::start(before.lab(&[]));
    read_until(&mut stderr, "nodes");
    next.signal(Signal::INT);
    assert_eq!(next.0.wait().unwrap().code(), Some(130));
    before.assert_nothing_left(&namespaces);
}

#[test]
fn a_missing_program_is_named_with_the_cure() {
    let alone = tempfile::tempdir().unwrap();
    let lab = alone.path().join("kuryr-lab");
    fs::copy(env!("CARGO_BIN_EXE_kuryr-lab"), &lab).unwrap();
    let output = Command::new(&lab).env("TMPDIR", alone.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("kuryr is missing") && said.contains("cargo lab"), "{said}");
    assert_eq!(fs::read_dir(alone.path()).unwrap().count(), 1, "only the program itself");
}
