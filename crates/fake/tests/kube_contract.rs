//! Scripts of requests, and what a real kube-apiserver answered to them.
//!
//! `kube_answers/NAME.requests` is the script, `NAME.answers` the recorded answers of kube-apiserver 1.37. The fake must
//! answer the same, always. Whether the real one still does is asked with `$KUBE_BIN` (etcd and kube-apiserver); with
//! `UPDATE_KUBE_ANSWERS=1` what it says is recorded anew.
//!
//! Answers are compared after normalisation: UIDs, resource versions and times are replaced by names for their order of
//! appearance, and `# without PATH` leaves out what the fake does not claim to do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kuryr_fake::kubernetes::Cluster;
use serde_json::Value;

/// One request of a script.
#[derive(Clone, Debug, Default)]
struct Step {
    title: String,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    /// Remember the value at this pointer of the answer under this name, for `${name}` in later steps.
    keep: Vec<(String, String)>,
    without: Vec<String>,
    /// Ask again until the answer has this status: what a real server does a little later.
    until: Option<u16>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube_answers")
}

fn scripts() -> Vec<PathBuf> {
    let mut scripts: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "requests"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty());
    scripts
}

/// `--- title`, lines `# keep NAME POINTER`, `# without POINTER` and `# until STATUS`, `METHOD PATH`, `Header: value` lines, then the body.
fn parse(script: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut without_always = Vec::new();
    for line in script.lines() {
        if let Some(title) = line.strip_prefix("--- ") {
            steps.push(Step { title: title.to_owned(), without: without_always.clone(), ..Step::default() });
            continue;
        }
        if steps.is_empty() {
            without_always.extend(line.strip_prefix("# without ").map(str::to_owned));
            continue;
        }
        let step = steps.last_mut().unwrap();
        if let Some(path) = line.strip_prefix("# without ") {
            step.without.push(path.to_owned());
        } else if let Some(status) = line.strip_prefix("# until ") {
            step.until = Some(status.parse().unwrap());
        } else if let Some(keep) = line.strip_prefix("# keep ") {
            let (name, pointer) = keep.split_once(' ').unwrap();
            step.keep.push((name.to_owned(), pointer.to_owned()));
        } else if step.method.is_empty() {
            let (method, path) = line.split_once(' ').unwrap_or_else(|| panic!("no request in {line:?}"));
            (step.method, step.path) = (method.to_owned(), path.to_owned());
        } else if step.body.is_empty() && !line.starts_with(['{', '[']) {
            if let Some((name, value)) = line.split_once(": ") {
                step.headers.push((name.to_owned(), value.to_owned()));
            }
        } else {
            step.body.push_str(line);
            step.body.push('\n');
        }
    }
    steps
}

/// Runs a script; its answers as text.
async fn run(client: &Client, script: &str) -> String {
    let (mut text, mut kept) = (String::new(), BTreeMap::<String, String>::new());
    let mut names = Names::default();
    for step in parse(script) {
        let fill = |text: &str| {
            kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
        };
        let response = loop {
            let mut request = http::Request::builder().method(step.method.as_str()).uri(fill(&step.path));
            if !step.headers.iter().any(|(name, _)| name == "Content-Type") && !step.body.is_empty() {
                request = request.header("Content-Type", "application/json");
            }
            for (name, value) in &step.headers {
                request = request.header(name, value);
            }
            let request = request.header("User-Agent", "contract/1").body(Body::from(fill(&step.body).into_bytes()));
            let response = client.send(request.unwrap()).await.unwrap();
            if step.until.is_none_or(|status| response.status() == status) {
                break response;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let status = response.status().as_u16();
        let warnings: Vec<_> =
            response.headers().get_all("warning").iter().map(|w| w.to_str().unwrap().to_owned()).collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        writeln!(text, "--- {}\n{status}", step.title).unwrap();
        for warning in warnings {
            writeln!(text, "Warning: {warning}").unwrap();
        }
        let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(&body).into_iter().collect();
        match values {
            Ok(values) => {
                for mut value in values {
                    for (name, pointer) in &step.keep {
                        let found = value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                        kept.insert(name.clone(), found.to_owned());
                    }
                    for path in &step.without {
                        remove(&mut value, &path.split('/').skip(1).collect::<Vec<_>>());
                    }
                    names.normalise(&mut value, "");
                    writeln!(text, "{}", serde_json::to_string_pretty(&value).unwrap()).unwrap();
                }
            }
            Err(_) => writeln!(text, "{}", String::from_utf8_lossy(&body).trim_end()).unwrap(),
        }
        text.push('\n');
    }
    text
}

/// Removes what is at the path, in which `*` is every item.
fn remove(value: &mut Value, path: &[&str]) {
    match (path, value) {
        ([last], Value::Object(map)) => drop(map.remove(*last)),
        (["*", rest @ ..], Value::Array(items)) => items.iter_mut().for_each(|item| remove(item, rest)),
        (["*", rest @ ..], Value::Object(map)) => map.values_mut().for_each(|item| remove(item, rest)),
        ([first, rest @ ..], Value::Object(map)) => {
            if let Some(value) = map.get_mut(*first) {
                remove(value, rest);
            }
        }
        _ => {}
    }
}

/// Names for what differs from run to run.
#[derive(Default)]
struct Names {
    uids: Vec<String>,
    versions: Vec<String>,
}

impl Names {
    fn normalise(&mut self, value: &mut Value, field: &str) {
        match value {
            Value::Object(map) => {
                // The version of a list counts writes of others, too.
                if map.get("items").is_some_and(Value::is_array)
                    && let Some(Value::Object(metadata)) = map.get_mut("metadata")
                {
                    metadata.remove("resourceVersion");
                }
                map.iter_mut().for_each(|(field, value)| self.normalise(value, field));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.normalise(item, field)),
            Value::String(text) => *text = self.name(field, text),
            _ => {}
        }
    }

    fn name(&mut self, field: &str, text: &str) -> String {
        fn numbered(list: &mut Vec<String>, what: &str, text: &str) -> String {
            let position = list.iter().position(|known| known == text).unwrap_or_else(|| {
                list.push(text.to_owned());
                list.len() - 1
            });
            format!("{what}-{}", position + 1)
        }
        if field == "uid" || (text.len() == 36 && text.matches('-').count() == 4) {
            return numbered(&mut self.uids, "uid", text);
        }
        if field == "resourceVersion" {
            return numbered(&mut self.versions, "version", text);
        }
        if text.parse::<jiff::Timestamp>().is_ok() {
            return "time".to_owned();
        }
        // UIDs and versions inside of messages.
        let known = self.uids.iter().enumerate().map(|(at, uid)| (uid.clone(), format!("uid-{}", at + 1)));
        let versions = self
            .versions
            .iter()
            .enumerate()
            .map(|(at, version)| (format!("({version})"), format!("(version-{})", at + 1)));
        known.chain(versions).fold(text.to_owned(), |text, (found, name)| text.replace(&found, &name))
    }
}

#[tokio::test(start_paused = true)]
async fn the_fake_answers_as_recorded() {
    let mut wrong = Vec::new();
    for script in scripts() {
        let recorded = std::fs::read_to_string(script.with_extension("answers")).expect("answers are recorded");
        let client = Client::new(Cluster::new(), "default");
        let answers = run(&client, &std::fs::read_to_string(&script).unwrap()).await;
        if answers != recorded {
            let name = script.file_stem().unwrap().to_string_lossy().into_owned();
            wrong.push(format!("{name}:\n{}", first_differences(&recorded, &answers)));
        }
    }
    assert!(wrong.is_empty(), "the fake answers differently (- recorded, + fake):\n{}", wrong.join("\n"));
}

/// The steps that differ, each in full in both versions, without the lines they share at both ends.
fn first_differences(recorded: &str, answers: &str) -> String {
    let steps = |text: &str| -> Vec<(String, Vec<String>)> {
        text.split("--- ")
            .skip(1)
            .map(|step| {
                let mut lines = step.lines().map(str::to_owned);
                (lines.next().unwrap_or_default(), lines.collect())
            })
            .collect()
    };
    let (recorded, answers) = (steps(recorded), steps(answers));
    let mut text = String::new();
    for (at, (title, wanted)) in recorded.iter().enumerate() {
        let found = answers.get(at).map(|(_, lines)| lines.clone()).unwrap_or_default();
        if *wanted == found {
            continue;
        }
        let head = wanted.iter().zip(&found).take_while(|(a, b)| a == b).count();
        let left = wanted.len().min(found.len()) - head;
        let tail = wanted.iter().rev().zip(found.iter().rev()).take_while(|(a, b)| a == b).count().min(left);
        writeln!(text, "  {title}").unwrap();
        for line in &wanted[head..wanted.len() - tail] {
            writeln!(text, "  - {line}").unwrap();
        }
        for line in &found[head..found.len() - tail] {
            writeln!(text, "  + {line}").unwrap();
        }
    }
    text
}

/// etcd and kube-apiserver on ports of their own; ended when dropped.
struct RealApi {
    processes: Vec<Child>,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Drop for RealApi {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl RealApi {
    async fn start() -> RealApi {
        let programs = std::env::var_os("KUBE_BIN").map(PathBuf::from).expect(
            "KUBE_BIN names no folder with etcd and kube-apiserver: run `cargo xtask bed up kubernetes`, which builds them",
        );
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [etcd, peers, api] = free_ports();
        let key = rcgen::KeyPair::generate().unwrap();
        std::fs::write(at("sa.key"), key.serialize_pem()).unwrap();
        std::fs::write(at("sa.pub"), key.public_key_pem()).unwrap();
        std::fs::write(at("tokens"), "contract,admin,admin,system:masters\n").unwrap();
        let run = |name: &str, arguments: &[String]| {
            let log = std::fs::File::create(at(&format!("{name}.log"))).unwrap();
            Command::new(programs.join(name))
                .args(arguments)
                .current_dir(folder.path())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap_or_else(|error| panic!("{} cannot be run: {error}", programs.join(name).display()))
        };
        let (etcd, peers) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{peers}"));
        let processes = vec![
            run(
                "etcd",
                &[
                    "--data-dir=etcd".to_owned(),
                    "--unsafe-no-fsync".to_owned(),
                    format!("--listen-client-urls={etcd}"),
                    format!("--advertise-client-urls={etcd}"),
                    format!("--listen-peer-urls={peers}"),
                    format!("--initial-advertise-peer-urls={peers}"),
                    format!("--initial-cluster=default={peers}"),
                ],
            ),
            run(
                "kube-apiserver",
                &[
                    format!("--etcd-servers={etcd}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    "--advertise-address=10.255.255.1".to_owned(),
                    format!("--secure-port={api}"),
                    "--cert-dir=certs".to_owned(),
                    "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                    "--service-account-key-file=sa.pub".to_owned(),
                    "--service-account-signing-key-file=sa.key".to_owned(),
                    "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                    "--authorization-mode=AlwaysAllow".to_owned(),
                    "--token-auth-file=tokens".to_owned(),
                    "--endpoint-reconciler-type=none".to_owned(),
                    // What these add, the fake does not.
                    "--disable-admission-plugins=ServiceAccount,DefaultTolerationSeconds,TaintNodesByCondition"
                        .to_owned(),
                ],
            ),
        ];
        let mut config = kube::Config::new(format!("https://127.0.0.1:{api}").parse().unwrap());
        config.accept_invalid_certs = true;
        config.auth_info.token = Some("contract".to_owned().into());
        let client = Client::try_from(config).unwrap();
        let real = RealApi { processes, client, _folder: folder };
        real.wait().await;
        real
    }

    /// Until it serves and has made its namespaces: there is no event to wait for before that.
    async fn wait(&self) {
        let deadline = std::time::Instant::now() + Duration::from_secs(120);
        loop {
            let ready = http::Request::get("/readyz").body(Vec::new()).unwrap();
            let namespace = http::Request::get("/api/v1/namespaces/default").body(Vec::new()).unwrap();
            if self.client.request_text(ready).await.is_ok() && self.client.request_text(namespace).await.is_ok() {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "kube-apiserver does not become ready within two minutes");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

#[tokio::test]
#[ignore = "needs etcd and kube-apiserver in $KUBE_BIN; run by cargo xtask test"]
async fn a_real_api_server_answers_as_recorded() {
    let real = RealApi::start().await;
    let update = std::env::var_os("UPDATE_KUBE_ANSWERS").is_some();
    let mut wrong = Vec::new();
    for script in scripts() {
        let answers = run(&real.client, &std::fs::read_to_string(&script).unwrap()).await;
        let file = script.with_extension("answers");
        if update {
            std::fs::write(&file, &answers).unwrap();
            continue;
        }
        let recorded = std::fs::read_to_string(&file).unwrap_or_default();
        if answers != recorded {
            wrong.push(format!("{}:\n{}", file.display(), first_differences(&recorded, &answers)));
        }
    }
    assert!(
        wrong.is_empty(),
        "the real API server answers differently (- recorded, + real); record anew with UPDATE_KUBE_ANSWERS=1:\n{}",
        wrong.join("\n")
    );
}
