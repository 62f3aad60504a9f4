//! The executable as people start it: exit codes, messages, signals, pages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Longest time anything here may take; far more than it does.
const LIMIT: Duration = Duration::from_secs(30);

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(conf: &str) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kuryr.conf"), conf).unwrap();
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The program without this machine's settings.
fn kuryr(arguments: &[&str]) -> Command {
    let mut kuryr = Command::new(env!("CARGO_BIN_EXE_kuryr"));
    kuryr.args(arguments).env_clear().env("HOME", "/nonexistent").stdin(Stdio::null());
    kuryr
}

fn ended(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A port nobody uses at the moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const CLOUD: &str = "
[kubernetes]
api_root = http://127.0.0.1:1
token_file =
[neutron]
auth_url = http://127.0.0.1:1/v3
username = u
password = hunter2
project_id = p
[neutron_defaults]
project = 84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d
pod_subnet = 11111111-1111-4111-8111-111111111111
";

#[test]
fn a_usable_configuration_is_said_to_be_so() {
    let folder = Folder::with(CLOUD);
    let mut check = kuryr(&["config", "check", "controller", "--config-dir"]);
    check.arg(folder.0.path());
    assert_eq!(
        ended(check),
        (Some(0), "The configuration of kuryr-k8s-controller can be used.\n".into(), String::new())
    );
}

#[test]
fn every_mistake_is_told_and_nothing_starts() {
    let folder = Folder::with(&format!(
        "{CLOUD}[health_server]\nport = many\n[kubernetes]\nuse_events = perhaps\n[kury]\nx=1\n"
    ));
    for role in ["config check controller", "controller"] {
        let mut command = kuryr(&role.split(' ').collect::<Vec<_>>());
        command.arg("--config-file").arg(folder.path("kuryr.conf"));
        let (code, stdout, stderr) = ended(command);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert!(
            stderr.contains("kuryr.conf:14: [health_server] port = \"many\": write a whole number from 0 to 65535"),
            "{stderr}"
        );
        assert!(
            stderr.contains("kuryr.conf:16: [kubernetes] use_events = \"perhaps\": write true or false"),
            "{stderr}"
        );
    }
}

#[test]
fn what_is_missing_is_told_by_its_name() {
    let (code, _, stderr) = ended(kuryr(&["controller"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("[neutron_defaults] pod_subnet is not set; set it to"), "{stderr}");
    let (code, _, stderr) = ended(kuryr(&["daemon", "--config-file", "/nonexistent/kuryr.conf"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("/nonexistent/kuryr.conf cannot be read: No such file"), "{stderr}");
}

#[test]
fn a_wrong_command_line_is_2_and_help_is_0() {
    assert_eq!(ended(kuryr(&["contoller"])).0, Some(2));
    assert_eq!(ended(kuryr(&["controller", "--no-such-flag"])).0, Some(2));
    let (code, stdout, _) = ended(kuryr(&["--help"]));
    assert!(code == Some(0) && stdout.contains("controller") && stdout.contains("daemon"), "{stdout}");
}

#[test]
fn commands_for_people_say_what_they_lack() {
    for command in ["status", "check", "uninstall --cluster-only --yes"] {
        let (code, stdout, stderr) = ended(kuryr(&command.split(' ').collect::<Vec<_>>()));
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{command}: {stderr}");
        assert!(stderr.contains("no cluster is known") && stderr.contains("KUBECONFIG"), "{command}: {stderr}");
    }
    let (code, _, stderr) = ended(kuryr(&["upgrade-check"]));
    assert_eq!(code, Some(255), "as kuryr-k8s-status: {stderr}");
    assert_eq!(ended(kuryr(&["status", "--wait=soon"])).0, Some(2));
    let (code, stdout, _) = ended(kuryr(&["metrics"]));
    assert!(code == Some(0) && stdout.contains("| `kuryr_queue_depth` | gauge | – |"), "{stdout}");
}

#[test]
fn a_configuration_is_explained_option_by_option() {
    let folder = Folder::with(&format!("{CLOUD}[kubernetes]\nport_debug = true\nssl_verify_server_crt = false\n"));
    let mut check = kuryr(&["config", "check", "--explain", "controller", "--config-file"]);
    check.arg(folder.path("kuryr.conf"));
    let (code, stdout, stderr) = ended(check);
    assert_eq!(code, Some(0), "{stderr}");
    let flat = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        flat.contains("ignored [kubernetes] port_debug (") && flat.contains("dangerous: the token goes to"),
        "{stdout}"
    );
    assert!(!stdout.contains("hunter2"), "{stdout}");
}

#[test]
fn definitions_are_printed_and_a_reader_may_stop() {
    let (code, stdout, _) = ended(kuryr(&["crds"]));
    assert!(code == Some(0) && stdout.contains("\nkind: CustomResourceDefinition\n"), "{stdout}");
    let mut reader = kuryr(&["config", "options"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(reader.stdout.take());
    let mut stderr = String::new();
    reader.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((reader.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

/// A running program whose log is read as it comes.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Running { child, lines, seen: Vec::new() }
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        while !self.seen.iter().any(|line| line.contains(text)) {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.seen.push(line),
                Err(_) => panic!("{text:?} did not come; there was:\n{}", self.seen.join("\n")),
            }
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Reads the log to its end, which comes when the program ends.
    #[track_caller]
    fn end(&mut self) -> Option<i32> {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.seen.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end:\n{}", self.seen.join("\n")),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_controller_waits_for_its_cloud_says_so_and_ends_when_told() {
    let (health, metrics) = (free_port(), free_port());
    let folder = Folder::with(&format!(
        "{CLOUD}[kuryr]\nlisten_address = 127.0.0.1\n[health_server]\nport = {health}\n\
         [prometheus_exporter]\ncontroller_exporter_port = {metrics}\n"
    ));
    let mut command = kuryr(&["--config-file"]);
    // Called by the name its old manifests have.
    command.arg0("/usr/bin/kuryr-k8s-controller").arg(folder.path("kuryr.conf")).arg("--debug");
    let mut controller = Running::start(command);
    controller.wait_for("kuryr-controller starts");
    controller.wait_for("127.0.0.1:1");
    assert!(get(health, "/alive").starts_with("HTTP/1.1 200"));
    assert!(get(health, "/ready").starts_with("HTTP/1.1 500"), "nothing answers yet");
    let text = get(metrics, "/metrics");
    assert!(text.contains("application/openmetrics-text") && text.contains("kuryr_pod_creation_latency"), "{text}");
    controller.signal("-TERM");
    assert_eq!(controller.end(), Some(0), "{}", controller.seen.join("\n"));
    assert!(controller.seen.last().unwrap().contains("kuryr-k8s-controller has ended"));
    assert!(!controller.seen.join("\n").contains("hunter2"), "a secret is in the log");
}

#[test]
fn a_taken_port_is_told_with_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = Folder::with(&format!("{CLOUD}[kuryr]\nlisten_address = 127.0.0.1\n[health_server]\nport = {port}\n"));
    let mut command = kuryr(&["controller", "--config-file"]);
    command.arg(folder.path("kuryr.conf"));
    let (code, _, stderr) = ended(command);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("cannot listen on") && stderr.contains("[health_server] port"), "{stderr}");
}

#[test]
fn the_daemon_installs_its_plugin_and_ends_within_seconds() {
    let folder = Folder::with("");
    for name in ["bin", "net.d"] {
        std::fs::create_dir(folder.path(name)).unwrap();
    }
    std::fs::write(folder.path("plugin"), "#!/bin/false").unwrap();
    std::fs::write(folder.path("net.d/10-kuryr.conflist"), "of the daemon before").unwrap();
    let conf = format!(
        "[kubernetes]\napi_root = http://127.0.0.1:1\ntoken_file =\n[kuryr]\nnode_name = n1\ndaemon_socket = {dir}/cni.sock\n\
         state_dir = {dir}/state\ninstall_plugin = true\nplugin_source = {dir}/plugin\ncni_bin_dir = {dir}/bin\n\
         cni_conf_dir = {dir}/net.d\n[cni_health_server]\nport = 0\n[prometheus_exporter]\ncni_exporter_port = 0\n",
        dir = folder.0.path().display()
    );
    std::fs::write(folder.path("kuryr.conf"), conf).unwrap();
    let mut command = kuryr(&["daemon", "--config-file"]);
    command.arg(folder.path("kuryr.conf"));
    let mut daemon = Running::start(command);
    daemon.wait_for("bin/kuryr-cni is installed: it was missing");
    assert_eq!(std::fs::read_to_string(folder.path("bin/kuryr-cni")).unwrap(), "#!/bin/false");
    let begun = std::time::Instant::now();
    daemon.signal("-TERM");
    assert_eq!(daemon.end(), Some(0), "{}", daemon.seen.join("\n"));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    let conflist = std::fs::read_to_string(folder.path("net.d/10-kuryr.conflist")).unwrap();
    assert_eq!(conflist, "of the daemon before", "it did not serve, and not for long");
}

#[test]
fn the_daemon_serves_its_socket_and_logs_json_into_a_file() {
    let folder = Folder::with("");
    let conf = format!(
        "[DEFAULT]\nlog_dir = {dir}\nlog_file = daemon.log\nuse_json = true\nuse_stderr = true\n[kubernetes]\n\
         api_root = http://127.0.0.1:1\ntoken_file =\n[kuryr]\nnode_name = n1\ndaemon_socket = {dir}/cni.sock\n\
         state_dir = {dir}/state\n[cni_health_server]\nport = 0\n[prometheus_exporter]\ncni_exporter_port = 0\n",
        dir = folder.0.path().display()
    );
    std::fs::write(folder.path("kuryr.conf"), conf).unwrap();
    let mut command = kuryr(&["--config-file"]);
    command.arg0("kuryr-daemon").arg(folder.path("kuryr.conf"));
    let mut daemon = Running::start(command);
    daemon.wait_for("kuryr-daemon serves");
    assert!(folder.path("cni.sock").exists() && folder.path("state").is_dir());
    daemon.signal("-INT");
    assert_eq!(daemon.end(), Some(0), "{}", daemon.seen.join("\n"));
    let log = std::fs::read_to_string(folder.path("daemon.log")).unwrap();
    assert!(
        log.lines().all(|line| line.starts_with('{') && line.ends_with('}')) && log.contains("\"node\":\"n1\""),
        "{log}"
    );
}

#[test]
fn another_configuration_ends_the_program_in_good_order_and_one_that_cannot_work_does_not() {
    let folder = Folder::with("");
    let conf = format!(
        "{CLOUD}[kuryr]\nlisten_address = 127.0.0.1\nreload_interval = 1\n[health_server]\nport = 0\n\
         [prometheus_exporter]\ncontroller_exporter_port = 0\n"
    );
    std::fs::write(folder.path("kuryr.conf"), &conf).unwrap();
    let mut command = kuryr(&["controller", "--config-dir"]);
    // As in a pod, where it is started again.
    command.arg(folder.0.path()).env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    let mut controller = Running::start(command);
    controller.wait_for("kuryr-controller starts");
    std::fs::write(folder.path("kuryr.conf"), format!("{conf}[vif_pool]\nports_pool_min = many\n")).unwrap();
    controller.wait_for("the old one stays in use");
    // Other credentials.
    std::fs::write(folder.path("kuryr.conf"), conf.replace("hunter2", "hunter3")).unwrap();
    controller.wait_for("to be started with the new one");
    assert_eq!(controller.end(), Some(0), "{}", controller.seen.join("\n"));
    let log = controller.seen.join("\n");
    assert!(log.contains("kuryr-k8s-controller has ended") && !log.contains("hunter"), "{log}");
}
