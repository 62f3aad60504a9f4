//! The real executable, against a daemon that each test writes itself: what goes over the socket is checked here byte by
//! byte, so neither side can change the protocol unnoticed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "test code; the lint does not see it in helpers")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// The versions VERSION must list.
const VERSIONS: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

// ---- running the plugin -------------------------------------------------------------------------------------------

fn plugin(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kuryr-cni"));
    command.env_clear().envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn spawn(environment: &[(&str, &str)], stdin: &[u8]) -> Child {
    let mut child = plugin(environment).spawn().unwrap();
    // It may refuse before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child
}

fn run(environment: &[(&str, &str)], stdin: impl AsRef<[u8]>) -> Output {
    spawn(environment, stdin.as_ref()).wait_with_output().unwrap()
}

/// The environment of a container runtime.
fn runtime(command: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("CNI_COMMAND", command),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/run/netns/c1"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p"),
        ("CNI_PATH", "/opt/cni/bin"),
    ]
}

fn with(command: &'static str, name: &str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut environment = runtime(command);
    let variable = environment.iter_mut().find(|(key, _)| *key == name).unwrap();
    variable.1 = value;
    environment
}

fn without(command: &'static str, names: &[&str]) -> Vec<(&'static str, &'static str)> {
    runtime(command).into_iter().filter(|(name, _)| !names.contains(name)).collect()
}

fn config(version: &str) -> Value {
    json!({"cniVersion": version, "name": "kuryr", "type": "kuryr-cni", "daemon_socket": "/nonexistent/cni.sock", "daemonWait": 0})
}

/// One error object on stdout and exit status 1; returns it.
#[track_caller]
fn failed(output: &Output, code: u64) -> Value {
    let stdout = String::from_utf8(output.stdout.clone()).unwrap();
    let error: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(error["code"], code, "{error}");
    assert!(error["cniVersion"].is_string() && error["msg"].is_string(), "{error}");
    assert!(error["msg"].as_str().unwrap().len() < 400, "the message stays short: {error}");
    error
}

#[track_caller]
fn says(error: &Value, text: &str) {
    assert!(error["msg"].as_str().unwrap().contains(text), "{text:?} is not in {error}");
}

// ---- a daemon -----------------------------------------------------------------------------------------------------

struct Daemon {
    socket: PathBuf,
    request: JoinHandle<Value>,
    _dir: TempDir,
}

/// Takes one request and answers it with these bytes.
fn daemon(answer: impl Into<Vec<u8>>) -> Daemon {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("cni.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = answer.into();
    let request = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let request = read_request(&stream);
        (&stream).write_all(&answer).unwrap();
        request
    });
    Daemon { socket, request, _dir: dir }
}

fn read_request(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

impl Daemon {
    fn config(&self, version: &str) -> Value {
        json!({"cniVersion": version, "name": "kuryr", "type": "kuryr-cni", "daemon_socket": self.socket})
    }

    fn request(self) -> Value {
        self.request.join().unwrap()
    }
}

// ---- A: process and environment -----------------------------------------------------------------------------------

#[test]
fn a01_success_is_exit_status_0() {
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let output = run(&runtime("DEL"), daemon.config("1.1.0").to_string());
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b""[..]), "{output:?}");
}

#[test]
fn a02_failure_is_one_error_object_on_stdout() {
    for stdin in ["", "nonsense", "[]", "{}", "{\"name\": 1}", "null", "\u{0}"] {
        let output = run(&runtime("ADD"), stdin);
        let mut objects = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Value>();
        assert!(objects.next().unwrap().unwrap()["code"].as_u64().unwrap() > 0, "{stdin:?}: {output:?}");
        assert!(objects.next().is_none() && output.status.code() == Some(1), "{stdin:?}: {output:?}");
    }
}

#[test]
fn a03_run_by_hand_it_explains_itself() {
    let output = run(&[], "");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("CNI") && text.contains("0.3.1") && text.contains("1.1.0"), "{text}");
    says(&failed(&run(&[], config("1.1.0").to_string()), 4), "CNI_COMMAND");
}

#[test]
fn a04_an_unknown_command_is_code_4() {
    for command in ["add", "UPDATE", "ADD "] {
        let error = failed(&run(&[("CNI_COMMAND", command)], config("1.1.0").to_string()), 4);
        says(&error, "CNI_COMMAND");
    }
}

#[test]
fn a05_all_missing_variables_are_named() {
    for command in ["ADD", "CHECK"] {
        let names = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
        let error = failed(&run(&without(command, &names), config("1.1.0").to_string()), 4);
        names.iter().for_each(|name| says(&error, name));
        for name in names {
            let error = failed(&run(&without(command, &[name]), config("1.1.0").to_string()), 4);
            says(&error, name);
            names.iter().filter(|other| **other != name).for_each(|other| {
                assert!(!error["msg"].as_str().unwrap().contains(other), "{error}");
            });
        }
    }
}

#[test]
fn a06_del_does_without_a_namespace() {
    for environment in [without("DEL", &["CNI_NETNS"]), with("DEL", "CNI_NETNS", "")] {
        let daemon = daemon("{\"version\":1,\"result\":null}\n");
        let output = run(&environment, daemon.config("1.1.0").to_string());
        assert!(output.status.success(), "{output:?}");
        assert_eq!(daemon.request()["netns"], "");
    }
    let error = failed(&run(&without("DEL", &["CNI_CONTAINERID", "CNI_IFNAME"]), config("1.1.0").to_string()), 4);
    says(&error, "CNI_CONTAINERID, CNI_IFNAME");
}

#[test]
fn a07_gc_and_status_need_no_container() {
    for command in ["GC", "STATUS"] {
        for environment in [vec![("CNI_COMMAND", command)], with(command, "CNI_CONTAINERID", "not/an/id")] {
            let daemon = daemon("{\"version\":1,\"result\":null}\n");
            let output = run(&environment, daemon.config("1.1.0").to_string());
            assert!(output.status.success(), "{output:?}");
            let request = daemon.request();
            assert_eq!((&request["command"], &request["container_id"]), (&json!(command), &json!("")));
        }
    }
}

#[test]
fn a08_cni_path_is_optional() {
    for command in ["ADD", "DEL", "CHECK", "STATUS"] {
        let daemon = daemon("{\"version\":1,\"result\":null}\n");
        let output = run(&without(command, &["CNI_PATH"]), daemon.config("1.1.0").to_string());
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn a09_a_container_id_has_letters_digits_and_few_signs() {
    for id in ["-c1", "c/1", "c 1", "ü", ".c", "c1\n"] {
        says(&failed(&run(&with("ADD", "CNI_CONTAINERID", id), config("1.1.0").to_string()), 4), "CNI_CONTAINERID");
    }
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let output = run(&with("ADD", "CNI_CONTAINERID", "0a_.-Z"), daemon.config("1.1.0").to_string());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a10_an_interface_name_is_one_the_kernel_takes() {
    for name in [".", "..", "a/b", "a:b", "a b", "a\tb", "sixteen-bytes-xx"] {
        says(&failed(&run(&with("ADD", "CNI_IFNAME", name), config("1.1.0").to_string()), 4), "CNI_IFNAME");
    }
    failed(&run(&with("ADD", "CNI_IFNAME", ""), config("1.1.0").to_string()), 4);
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let output = run(&with("ADD", "CNI_IFNAME", "fifteen-bytes-x"), daemon.config("1.1.0").to_string());
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a11_version_ignores_placeholders() {
    let environment =
        [("CNI_COMMAND", "VERSION"), ("CNI_NETNS", "dummy"), ("CNI_IFNAME", "dummy"), ("CNI_PATH", "dummy")];
    assert!(run(&environment, "{\"cniVersion\":\"1.1.0\"}").status.success());
}

#[test]
fn a12_only_results_go_to_stdout() {
    let daemon = daemon("{\"version\":1,\"result\":{\"cniVersion\":\"1.1.0\",\"ips\":[]}}\n");
    let output = run(&runtime("ADD"), daemon.config("1.1.0").to_string());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"cniVersion": "1.1.0", "ips": []}));
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a13_other_variables_are_ignored() {
    let mut environment = runtime("ADD");
    environment.extend([("TRACEPARENT", "00-x"), ("TRACESTATE", ""), ("BAGGAGE", "a=b"), ("CNI_FUTURE", "1")]);
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    assert!(run(&environment, daemon.config("1.1.0").to_string()).status.success());
}

#[test]
fn a14_cni_args_are_handed_over_as_they_are() {
    for args in ["", "IgnoreUnknown=1;X=a=b;K8S_POD_NAME=p;junk", "=;;="] {
        let daemon = daemon("{\"version\":1,\"result\":null}\n");
        assert!(run(&with("ADD", "CNI_ARGS", args), daemon.config("1.1.0").to_string()).status.success());
        assert_eq!(daemon.request()["args"], args);
    }
}

#[test]
fn a16_a_daemon_that_hangs_is_given_up() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("cni.sock");
    // Connections wait in the backlog; nobody answers.
    let _listener = UnixListener::bind(&socket).unwrap();
    let config = json!({"cniVersion": "1.1.0", "name": "kuryr", "daemon_socket": socket, "daemon_timeout": 1});
    let begun = Instant::now();
    let error = failed(&run(&runtime("ADD"), config.to_string()), 11);
    says(&error, "did not answer within 1 s");
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    failed(&run(&runtime("STATUS"), config.to_string()), 50);
}

#[test]
fn a16_stdin_that_never_ends_is_given_up() {
    let mut child = plugin(&runtime("ADD")).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"{\"cniVersion\":").unwrap();
    let (send, receive) = mpsc::channel();
    let waiter = std::thread::spawn(move || send.send(child.wait_with_output().unwrap()).unwrap());
    let output = receive.recv_timeout(Duration::from_secs(30)).expect("the plugin must end by itself");
    says(&failed(&output, 11), "stdin did not end");
    waiter.join().unwrap();
    drop(stdin);
}

#[test]
fn a17_the_daemon_sees_a_killed_plugin_by_its_closed_connection() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("cni.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let config = json!({"cniVersion": "1.1.0", "name": "kuryr", "daemon_socket": socket});
    let mut child = spawn(&runtime("ADD"), config.to_string().as_bytes());
    let (mut stream, _) = listener.accept().unwrap();
    let request = read_request(&stream);
    assert_eq!(request["command"], "ADD");
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let open = stream.read(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock, "open for as long as the plugin waits");
    child.kill().unwrap();
    child.wait().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

// ---- B: configuration and versions --------------------------------------------------------------------------------

#[test]
fn b01_stdin_that_is_not_json_is_code_6() {
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"] {
        failed(&run(&runtime(command), "not json"), 6);
        failed(&run(&runtime(command), [0xff, 0xfe]), 6);
    }
    failed(&run(&runtime("ADD"), "[".repeat(100_000)), 6);
}

#[test]
fn b01_more_than_a_mebibyte_is_refused() {
    let mut config = config("1.1.0");
    config["filler"] = json!("x".repeat(1024 * 1024));
    says(&failed(&run(&runtime("ADD"), config.to_string()), 6), "larger than 1 MiB");
}

#[test]
fn b02_stdin_that_cannot_be_read_is_code_5() {
    let directory = std::fs::File::open("/").unwrap();
    let output = plugin(&runtime("ADD")).stdin(directory).output().unwrap();
    failed(&output, 5);
}

#[test]
fn b03_a_network_has_a_name() {
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        for name in [None, Some(json!("")), Some(json!(3)), Some(json!("a b")), Some(json!("-a"))] {
            let mut config = config("1.1.0");
            match name {
                None => drop(config.as_object_mut().unwrap().remove("name")),
                Some(name) => config["name"] = name,
            }
            says(&failed(&run(&runtime(command), config.to_string()), 7), "\"name\"");
        }
    }
}

#[test]
fn b04_an_unknown_version_is_code_1_and_both_sides_are_told() {
    for version in ["2.0.0", "1.1", "v1.1.0", "0.3.2", ""] {
        for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let error = failed(&run(&runtime(command), config(version).to_string()), 1);
            let details = error["details"].as_str().unwrap();
            assert!(details.contains(&format!("requested: {version}")) && details.contains("0.3.1, 0.4.0"), "{error}");
        }
    }
}

#[test]
fn b05_no_version_is_0_1_0() {
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let mut config = daemon.config("");
    config.as_object_mut().unwrap().remove("cniVersion");
    assert!(run(&runtime("ADD"), config.to_string()).status.success());
    let error = failed(&run(&runtime("CHECK"), config.to_string()), 1);
    assert_eq!(error["cniVersion"], "0.1.0");
}

#[test]
fn b06_every_version_is_handed_to_the_daemon_and_its_result_printed() {
    for version in VERSIONS {
        let result = json!({"cniVersion": version, "ips": []});
        let daemon = daemon(format!("{}\n", json!({"version": 1, "result": result})));
        let output = run(&runtime("ADD"), daemon.config(version).to_string());
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), result);
        assert_eq!(daemon.request()["config"]["cniVersion"], version);
    }
}

#[test]
fn b07_version_echoes_the_input_and_lists_all() {
    for version in VERSIONS {
        let output = run(&runtime("VERSION"), config(version).to_string());
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer, json!({"cniVersion": version, "supportedVersions": VERSIONS}));
        assert!(output.status.success());
    }
    let output = run(&[("CNI_COMMAND", "VERSION")], "");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["supportedVersions"], json!(VERSIONS));
}

#[test]
fn b08_version_needs_only_the_version() {
    let output = run(&[("CNI_COMMAND", "VERSION")], "{\"cniVersion\":\"1.1.0\"}");
    assert!(output.status.success());
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["cniVersion"], "1.1.0");
}

#[test]
fn b10_unknown_members_are_no_error_and_reach_the_daemon() {
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let mut config = daemon.config("0.3.1");
    let more = json!({"kuryr_conf": "/etc/kuryr/kuryr.conf", "debug": true, "cniVersions": ["1.1.0"], "disableCheck": "true", "disableGC": true,
        "capabilities": {"portMappings": true}, "cni.dev/valid-attachments": [], "runtimeConfig": {"x": 1}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert!(run(&runtime("ADD"), config.to_string()).status.success());
    assert_eq!(daemon.request()["config"], config, "as received");
}

#[test]
fn b11_a_known_member_with_an_unusable_value_is_named() {
    for (key, value) in [
        ("daemon_socket", json!("relative/cni.sock")),
        ("daemon_socket", json!(7)),
        ("daemon_timeout", json!(0)),
        ("daemon_timeout", json!("soon")),
        ("daemonWait", json!(-1)),
        ("daemonWait", json!(201)),
        ("daemonWait", json!("60")),
        ("cniVersion", json!(1.1)),
    ] {
        let mut config = config("1.1.0");
        config[key] = value.clone();
        let error = failed(&run(&runtime("ADD"), config.to_string()), 7);
        says(&error, key);
        says(&error, &value.to_string());
    }
}

#[test]
fn b12_disablecheck_is_ignored_in_either_form() {
    for value in [json!(true), json!("true"), json!({})] {
        let daemon = daemon("{\"version\":1,\"result\":null}\n");
        let mut config = daemon.config("1.1.0");
        config["disableCheck"] = value;
        assert!(run(&runtime("CHECK"), config.to_string()).status.success());
    }
}

#[test]
fn b13_del_with_a_configuration_of_years_ago() {
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let config = json!({"cniVersion": "0.3.1", "name": "kuryr", "type": "kuryr-cni",
        "kuryr_conf": "/etc/kuryr/kuryr.conf", "debug": true, "daemon_socket": daemon.socket});
    assert!(run(&runtime("DEL"), config.to_string()).status.success());
}

#[test]
fn b14_a_command_that_is_newer_than_the_configuration_is_code_1() {
    for (command, since) in [("CHECK", "0.4.0"), ("GC", "1.1.0"), ("STATUS", "1.1.0")] {
        for version in VERSIONS.into_iter().take_while(|version| *version != since) {
            says(&failed(&run(&runtime(command), config(version).to_string()), 1), since);
        }
    }
}

// ---- D, G, H: the daemon's absence and its answers ----------------------------------------------------------------

#[test]
fn d09_del_without_a_daemon_is_to_be_repeated() {
    for command in ["ADD", "DEL", "CHECK", "GC"] {
        let error = failed(&run(&runtime(command), config("1.1.0").to_string()), 11);
        says(&error, "/nonexistent/cni.sock");
        says(&error, "kuryr-daemon");
    }
}

/// A daemon that tests start, end and start again.
struct Restarting {
    socket: PathBuf,
    dir: TempDir,
}

impl Restarting {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { socket: dir.path().join("cni.sock"), dir }
    }

    fn config(&self, wait: u64) -> String {
        json!({"cniVersion": "1.1.0", "name": "kuryr", "daemon_socket": self.socket, "daemonWait": wait}).to_string()
    }

    /// As an ended daemon leaves it: a socket nobody listens on.
    fn ended(&self) {
        let aside = self.dir.path().join("old");
        drop(UnixListener::bind(&aside).unwrap());
        std::fs::rename(&aside, &self.socket).unwrap();
    }

    fn start(&self) -> UnixListener {
        let aside = self.dir.path().join("new");
        let listener = UnixListener::bind(&aside).unwrap();
        std::fs::rename(&aside, &self.socket).unwrap();
        listener
    }
}

/// Takes one request and answers it, or breaks the connection.
fn serve_one(listener: &UnixListener, answer: &str) -> Value {
    let (stream, _) = listener.accept().unwrap();
    let request = read_request(&stream);
    (&stream).write_all(answer.as_bytes()).unwrap();
    request
}

const NOTHING: &str = "{\"version\":1,\"result\":null}\n";
const ENDING: &str =
    "{\"version\":1,\"error\":{\"code\":11,\"msg\":\"kuryr-daemon is being stopped\"},\"again\":true}\n";

#[test]
fn add_del_and_check_wait_for_a_daemon_that_is_not_there() {
    for command in ["ADD", "DEL", "CHECK"] {
        let daemon = Restarting::new();
        let child = spawn(&runtime(command), daemon.config(60).as_bytes());
        daemon.ended();
        let request = serve_one(&daemon.start(), NOTHING);
        assert!(child.wait_with_output().unwrap().status.success(), "{command}");
        assert_eq!((&request["command"], request.get("repeated")), (&json!(command), None), "nobody had heard of it");
    }
}

#[test]
fn a_daemon_that_ends_with_a_request_in_hand_is_asked_again_when_it_is_back() {
    // It died, in the middle of its answer too, or it says that it ends.
    for ending in ["", "{\"version\":1,\"res", ENDING] {
        for command in ["ADD", "DEL", "CHECK"] {
            let daemon = Restarting::new();
            let listener = daemon.start();
            let child = spawn(&runtime(command), daemon.config(60).as_bytes());
            let first = serve_one(&listener, ending);
            drop(listener);
            let second = serve_one(&daemon.start(), NOTHING);
            assert!(child.wait_with_output().unwrap().status.success(), "{command} {ending:?}");
            assert_eq!((first.get("repeated"), &second["repeated"]), (None, &json!(true)), "{command} {ending:?}");
            assert_eq!((&first["args"], &first["config"]), (&second["args"], &second["config"]));
        }
    }
}

#[test]
fn a_daemon_that_stays_away_is_given_up_after_its_time() {
    let daemon = Restarting::new();
    let begun = Instant::now();
    let error = failed(&run(&runtime("ADD"), daemon.config(1)), 11);
    says(&error, "for 1 s");
    says(&error, "DaemonSet kuryr-cni");
    assert!((1..5).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_request_that_ends_every_daemon_is_given_up_too() {
    for (ending, words) in [("", "broke the connection"), (ENDING, "being stopped")] {
        let daemon = Restarting::new();
        let listener = daemon.start();
        let child = spawn(&runtime("ADD"), daemon.config(1).as_bytes());
        let server = std::thread::spawn(move || {
            // Until the listener is shut down below.
            let mut count = 0;
            while let Ok((stream, _)) = listener.accept() {
                let mut line = String::new();
                if BufReader::new(&stream).read_line(&mut line).unwrap() == 0 {
                    return count;
                }
                (&stream).write_all(ending.as_bytes()).unwrap();
                count += 1;
            }
            count
        });
        says(&failed(&child.wait_with_output().unwrap(), 11), words);
        drop(UnixStream::connect(&daemon.socket).unwrap());
        assert!(server.join().unwrap() > 2);
    }
}

#[test]
fn g02_status_without_a_daemon_is_code_50() {
    says(&failed(&run(&runtime("STATUS"), config("1.1.0").to_string()), 50), "kuryr-daemon");
}

#[test]
fn g07_status_does_not_wait_for_a_daemon_as_add_does() {
    let daemon = Restarting::new();
    let begun = Instant::now();
    failed(&run(&runtime("STATUS"), daemon.config(200)), 50);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn g08_a_daemon_that_restarts_is_waited_for() {
    let daemon = Restarting::new();
    daemon.ended();
    let child = spawn(&runtime("STATUS"), daemon.config(0).as_bytes());
    serve_one(&daemon.start(), NOTHING);
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn h01_an_error_has_the_inputs_version() {
    for version in VERSIONS {
        let error = failed(&run(&with("ADD", "CNI_IFNAME", "a/b"), config(version).to_string()), 4);
        assert_eq!(error["cniVersion"], version);
    }
}

#[test]
fn h05_the_daemons_error_reaches_the_runtime_unchanged() {
    for error in [
        json!({"code": 11, "msg": "no KuryrPort yet", "details": "OverQuota: raise it"}),
        json!({"code": 104, "msg": "eth0 differs"}),
    ] {
        let daemon = daemon(format!("{}\n", json!({"version": 1, "error": error})));
        let printed =
            failed(&run(&runtime("ADD"), daemon.config("0.4.0").to_string()), error["code"].as_u64().unwrap());
        let mut expected = error;
        expected["cniVersion"] = json!("0.4.0");
        assert_eq!(printed, expected);
    }
}

#[test]
fn a_daemon_that_ends_in_the_middle_is_to_be_tried_again() {
    for answer in ["", "{\"version\":1,\"res"] {
        let daemon = daemon(answer);
        let mut config = daemon.config("1.1.0");
        config["daemonWait"] = json!(0);
        says(&failed(&run(&runtime("ADD"), config.to_string()), 11), "broke the connection");
    }
}

#[test]
fn an_answer_of_another_kind_names_the_release() {
    for answer in
        ["<html>\n", "{}\n", "[]\n", "{\"version\":2,\"result\":null}\n", "{\"version\":1,\"error\":{\"msg\":\"x\"}}\n"]
    {
        let daemon = daemon(answer);
        says(&failed(&run(&runtime("ADD"), daemon.config("1.1.0").to_string()), 6), "same release");
    }
}

#[test]
fn nothing_is_delegated() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = TempDir::new().unwrap();
    let (other, mark) = (dir.path().join("host-local"), dir.path().join("it-ran"));
    std::fs::write(&other, format!("#!/bin/sh\ntouch {}\n", mark.display())).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
    for command in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
        let daemon = daemon("{\"version\":1,\"result\":null}\n");
        let mut config = daemon.config("1.1.0");
        config["ipam"] = json!({"type": "host-local"});
        config["cni.dev/valid-attachments"] = json!([]);
        let mut environment = without(command, &["CNI_PATH"]);
        environment.push(("CNI_PATH", dir.path().to_str().unwrap()));
        assert!(run(&environment, config.to_string()).status.success());
    }
    assert!(!mark.exists());
    // The mark would have been seen.
    assert!(Command::new(&other).status().unwrap().success() && mark.exists());
}

#[test]
fn the_request_is_as_documented() {
    let daemon = daemon("{\"version\":1,\"result\":null}\n");
    let config = daemon.config("1.1.0");
    run(&runtime("ADD"), config.to_string());
    let expected = json!({"version": 1, "command": "ADD", "container_id": "c1", "netns": "/run/netns/c1", "ifname": "eth0",
        "args": "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p", "config": config});
    assert_eq!(daemon.request(), expected);
}
