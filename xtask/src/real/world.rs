//! The bed as the checks see it: kubectl, the nodes, Neutron's port list, and what must not be left behind.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::bed;

/// Nodes of the bed.
pub(crate) const NODES: [&str; 2] = ["h1", "h2"];
/// The address of the API server and of OpenStack, which is also the provider network's gateway.
pub(crate) const API_ADDRESS: &str = "172.24.4.1";
/// Label of every object that a check makes; its value is the check's name.
const LABEL: &str = "kuryr-real";

/// A running bed with Kuryr in it.
pub(crate) struct World {
    /// The folder of kubectl and cnitool.
    pub(crate) kube_bin: PathBuf,
    state: PathBuf,
    /// The network of pods; other networks belong to others.
    pod_network: String,
    token: String,
}

/// A Neutron port.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
}

impl World {
    /// The bed of this machine.
    ///
    /// # Errors
    /// When the Kubernetes executables are missing and cannot be built, or OpenStack does not let us in.
    pub(crate) fn new() -> Result<Self> {
        let mut world = Self {
            kube_bin: bed::kube_bin()?,
            state: bed::state_dir(),
            pod_network: String::new(),
            token: String::new(),
        };
        world.pod_network = world.setting("POD_NETWORK")?;
        world.token = world.openstack(&["token", "issue", "-f", "value", "-c", "id"])?.trim().to_owned();
        Ok(world)
    }

    /// kubectl with these arguments; its standard output.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        succeeded(
            self.kubectl_command(arguments).output().context("kubectl")?,
            &format!("kubectl {}", arguments.join(" ")),
        )
    }

    /// kubectl, not yet started.
    pub(crate) fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.kube_bin.join("kubectl"));
        command.arg("--kubeconfig").arg(self.state.join("kubeconfig")).args(arguments).stdin(Stdio::null());
        command
    }

    /// `kubectl get … -o json`.
    pub(crate) fn get(&self, arguments: &[&str]) -> Result<Value> {
        let arguments = [&["get", "-o", "json"], arguments].concat();
        Ok(serde_json::from_str(&self.kubectl(&arguments)?)?)
    }

    /// kubectl with these arguments and this standard input; its standard output.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub(crate) fn kubectl_reading(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        let mut child = self
            .kubectl_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl")?;
        child.stdin.take().context("kubectl has no stdin")?.write_all(stdin.as_bytes())?;
        succeeded(child.wait_with_output()?, &format!("kubectl {}", arguments.join(" ")))
    }

    /// Create an object.
    pub(crate) fn create(&self, object: &Value) -> Result<()> {
        self.kubectl_reading(&["create", "-f", "-"], &object.to_string()).map(drop)
    }

    /// A pod of this check that answers HTTP on port 8080 with its own name; on one node or wherever.
    pub(crate) fn pod(check: &str, name: &str, node: Option<&str>) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": {LABEL: check}},
            "spec": pod_spec(node),
        })
    }

    /// A Service on port 80, for all pods of this check.
    pub(crate) fn service(check: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": check, "labels": {LABEL: check}},
            "spec": {"selector": {LABEL: check}, "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]},
        })
    }

    /// A deployment of many such pods.
    pub(crate) fn deployment(check: &str, name: &str, replicas: usize) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": {LABEL: check}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {LABEL: check}},
                "template": {"metadata": {"labels": {LABEL: check}}, "spec": pod_spec(None)},
            },
        })
    }

    /// Wait until all pods of a check are Ready; their (name, address, node).
    pub(crate) fn ready_pods(&self, check: &str, count: usize, timeout: Duration) -> Result<Vec<Pod>> {
        let deadline = Instant::now() + timeout;
        let selector = format!("{LABEL}={check}");
        let mut seen = 0;
        // A deployment's pods come one by one: wait for their number, then let kubectl wait for their readiness.
        eventually(&format!("{count} pods created"), timeout, || {
            seen = self.get(&["pods", "-l", &selector])?["items"].as_array().map_or(0, Vec::len);
            Ok((seen >= count).then_some(()))
        })?;
        let left = format!("{}s", deadline.saturating_duration_since(Instant::now()).as_secs().max(1));
        let waited = self.kubectl(&["wait", "--for=condition=Ready", "pods", "-l", &selector, "--timeout", &left]);
        if let Err(error) = waited {
            bail!("{}", self.explain(&selector).unwrap_or_else(|_| error.to_string()));
        }
        let pods = self.get(&["pods", "-l", &selector])?;
        let pods: Vec<Pod> = pods["items"].as_array().into_iter().flatten().map(Pod::read).collect::<Result<_>>()?;
        ensure!(pods.len() == count, "{} pods instead of {count}", pods.len());
        Ok(pods)
    }

    /// Why pods are not Ready: the newest events about them.
    fn explain(&self, selector: &str) -> Result<String> {
        let pods = self.get(&["pods", "-l", selector])?;
        let mut lines = Vec::new();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let ready = conditions(pod).any(|c| c["type"] == "Ready" && c["status"] == "True");
            let name = text(&pod["metadata"]["name"]);
            if ready || lines.len() >= 5 {
                continue;
            }
            let field = format!("involvedObject.name={name}");
            let events = self.get(&["events", "--field-selector", &field])?;
            let last = events["items"].as_array().and_then(|e| e.last()).map_or("no event", |e| text(&e["message"]));
            lines.push(format!(
                "{name} ({}) on {}: {last}",
                text(&pod["status"]["phase"]),
                text(&pod["spec"]["nodeName"])
            ));
        }
        Ok(format!("pods are not Ready: {}", lines.join("; ")))
    }

    /// Delete everything of a check and wait until it is gone from the API.
    pub(crate) fn delete(&self, check: &str) -> Result<()> {
        let selector = format!("{LABEL}={check}");
        self.kubectl(&["delete", "services,deployments,pods", "-l", &selector, "--wait", "--timeout=120s"]).map(drop)
    }

    /// Delete what any check left.
    pub(crate) fn delete_all(&self) -> Result<()> {
        self.kubectl(&["delete", "services,deployments,pods", "-l", LABEL, "--wait", "--timeout=120s"]).map(drop)
    }

    /// Run a program in a pod.
    pub(crate) fn in_pod(&self, pod: &str, command: &[&str]) -> Result<String> {
        self.kubectl(&[&["exec", pod, "--"], command].concat())
    }

    /// What answers HTTP in a pod. (busybox-static's wget crashes on Debian 12, hence nc.)
    pub(crate) fn fetch(&self, pod: &str, address: &str, port: u16) -> Result<String> {
        let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 {address} {port}");
        self.in_pod(pod, &["sh", "-c", &script])
    }

    /// Whether a KuryrLoadBalancer says that it is Ready with so many members.
    pub(crate) fn balanced(&self, namespace: &str, name: &str, members: usize) -> Result<Option<()>> {
        let Ok(record) = self.get(&["-n", namespace, "kuryrloadbalancer", name]) else { return Ok(None) };
        let ready = conditions(&record).any(|it| it["type"] == "Ready" && it["status"] == "True");
        let known = record["status"]["members"].as_array().map_or(0, Vec::len);
        Ok((ready && known == members).then_some(()))
    }

    /// Run a program on a node.
    pub(crate) fn on_node(&self, node: &str, command: &[&str]) -> Result<String> {
        let command: Vec<String> = command.iter().map(|&c| c.to_owned()).collect();
        succeeded(bed::node_command(node, &command)?.output()?, &format!("{} on {node}", command.join(" ")))
    }

    /// An id the bed wrote down: `POD_SUBNET`, `PROJECT` and so on.
    pub(crate) fn setting(&self, name: &str) -> Result<String> {
        let env = std::fs::read_to_string(self.state.join("env")).context("the bed has no env file: is it up?")?;
        let prefix = format!("export BED_{name}=");
        let value = env.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned);
        value.with_context(|| format!("no BED_{name} in the bed's env file"))
    }

    /// The pods' ports, from Neutron.
    pub(crate) fn ports(&self) -> Result<Vec<Port>> {
        let url = format!(
            "http://{API_ADDRESS}:9696/v2.0/ports?device_owner=compute:kuryr&network_id={}&fields=id&fields=name&fields=fixed_ips",
            self.pod_network
        );
        let listed: Value = serde_json::from_str(&self.ask("GET", &url)?)?;
        let list = |v: &Value| v.as_array().cloned().unwrap_or_default();
        Ok(list(&listed["ports"])
            .iter()
            .map(|port| Port {
                id: text(&port["id"]).to_owned(),
                name: text(&port["name"]).to_owned(),
                addresses: list(&port["fixed_ips"]).iter().map(|a| text(&a["ip_address"]).to_owned()).collect(),
            })
            .collect())
    }

    /// Octavia's load balancers.
    pub(crate) fn load_balancers(&self) -> Result<Vec<Value>> {
        let listed: Value = serde_json::from_str(&self.octavia("GET", "loadbalancers")?)?;
        Ok(listed["loadbalancers"].as_array().cloned().unwrap_or_default())
    }

    /// Deletes a load balancer and all on it.
    pub(crate) fn delete_load_balancer(&self, id: &str) -> Result<()> {
        self.octavia("DELETE", &format!("loadbalancers/{id}?cascade=true")).map(drop)
    }

    fn octavia(&self, method: &str, path: &str) -> Result<String> {
        self.ask(method, &format!("http://{API_ADDRESS}:9876/v2/lbaas/{path}"))
    }

    /// A request to OpenStack; the body of the answer.
    fn ask(&self, method: &str, url: &str) -> Result<String> {
        let token = format!("X-Auth-Token: {}", self.token);
        let out = Command::new("curl")
            .args(["--noproxy", "*", "-sS", "--fail-with-body", "-m", "60", "-H", &token, "-X", method, url])
            .output()?;
        succeeded(out, &format!("{method} {url}"))
    }

    /// The `openstack` command as the user that Kuryr is.
    pub(crate) fn openstack(&self, arguments: &[&str]) -> Result<String> {
        let out = Command::new("/usr/bin/openstack")
            .env("OS_CLIENT_CONFIG_FILE", self.state.join("clouds.yaml"))
            .env("NO_PROXY", "*")
            .args(["--os-cloud", "k8s-admin"])
            .args(arguments)
            .output()
            .context("openstack: install python3-openstackclient")?;
        succeeded(out, &format!("openstack {}", arguments.join(" ")))
    }

    /// Gives an option of the controller another value, until Kuryr is brought up again.
    pub(crate) fn set_option(&self, before: &str, after: &str) -> Result<()> {
        let file = self.state.join("kuryr/controller.conf");
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        ensure!(text.contains(before), "{} has no {before}", file.display());
        std::fs::write(&file, text.replace(before, after)).with_context(|| file.display().to_string())?;
        self.kuryr("restart", "controller")
    }

    /// Start, kill or restart one of Kuryr's processes: `controller`, or a node's daemon by the node's name.
    pub(crate) fn kuryr(&self, action: &str, which: &str) -> Result<()> {
        bed::script_quietly("kuryr/process.sh", &[action, which], &[])
    }

    /// What pods left behind: ports, KuryrPorts, and on the nodes interfaces, OVS ports, network namespaces, checkpoint files.
    pub(crate) fn leftovers(&self) -> Result<Vec<String>> {
        let mut found: Vec<String> =
            self.ports()?.iter().map(|p| format!("Neutron port {} ({})", p.id, p.name)).collect();
        for kind in ["kuryrports", "kuryrloadbalancers"] {
            for item in self.get(&[kind, "-A"])?["items"].as_array().into_iter().flatten() {
                found.push(format!("{} {}", text(&item["kind"]), text(&item["metadata"]["name"])));
            }
        }
        for node in NODES {
            let mut add = |kind: &str, names: String, ours: fn(&str) -> bool| {
                found.extend(names.split_whitespace().filter(|n| ours(n)).map(|n| format!("{kind} {n} on {node}")));
            };
            let links = self.on_node(node, &["ip", "-o", "link", "show", "type", "veth"])?;
            let names: Vec<_> = links.lines().filter_map(|l| l.split([' ', '@']).nth(1)).collect();
            add("interface", names.join(" "), |n| n != "phy0" && n != "ext0");
            let ovs = ["ovs-vsctl", "--timeout=10", "list-ports", "br-int"];
            add("OVS port", self.on_node(node, &ovs)?, |n| !n.starts_with("patch-") && !n.starts_with("ovn-"));
            let files = "ls /var/lib/kuryr/attachments 2>/dev/null || true";
            add("checkpoint", self.on_node(node, &["sh", "-c", files])?, |_| true);
            add("network namespace", self.on_node(node, &["ls", "/run/netns"])?, |_| true);
        }
        Ok(found)
    }

    /// Wait until nothing is left behind.
    pub(crate) fn nothing_left(&self, timeout: Duration) -> Result<()> {
        let mut found = Vec::new();
        eventually("nothing left behind", timeout, || {
            found = self.leftovers()?;
            Ok(found.is_empty().then_some(()))
        })
        .with_context(|| format!("{} left: {}", found.len(), found[..found.len().min(6)].join(", ")))
    }

    /// A file of the bed's logs.
    pub(crate) fn log(&self, process: &str) -> PathBuf {
        self.state.join("log").join(format!("{process}.log"))
    }

    /// The bed's state directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }
}

/// A pod that runs.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) address: String,
    pub(crate) node: String,
}

impl Pod {
    fn read(pod: &Value) -> Result<Self> {
        let own = |v: &Value| v.as_str().map(str::to_owned);
        Ok(Self {
            name: own(&pod["metadata"]["name"]).context("a pod without a name")?,
            uid: own(&pod["metadata"]["uid"]).context("a pod without a uid")?,
            address: own(&pod["status"]["podIP"])
                .with_context(|| format!("no address: {}", pod["metadata"]["name"]))?,
            node: own(&pod["spec"]["nodeName"]).context("a pod without a node")?,
        })
    }
}

fn pod_spec(node: Option<&str>) -> Value {
    let mut spec = json!({
        // Nothing to save: a pod ends as soon as it is told to.
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "c", "image": "localhost/busybox:1",
            "command": ["sh", "-c", "mkdir /www && hostname >/www/index.html && exec httpd -f -p 8080 -h /www"],
        }],
    });
    if let Some(node) = node {
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    }
    spec
}

/// The text of a JSON string, or nothing.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The conditions of an object's status.
pub(crate) fn conditions(object: &Value) -> impl Iterator<Item = &Value> {
    object["status"]["conditions"].as_array().into_iter().flatten()
}

/// Ask until there is an answer. The world outside has no event we could wait for instead.
///
/// # Errors
/// When there is none in time, with the last error if there was one.
pub(crate) fn eventually<T>(what: &str, timeout: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        let answer = ask();
        match answer {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) if Instant::now() >= deadline => bail!("not within {} s: {what}", timeout.as_secs()),
            Err(error) if Instant::now() >= deadline => return Err(error.context(what.to_owned())),
            _ => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// The output of a program that must have succeeded.
pub(crate) fn succeeded(out: Output, what: &str) -> Result<String> {
    if !out.status.success() {
        let said = [String::from_utf8_lossy(&out.stderr), String::from_utf8_lossy(&out.stdout)].concat();
        bail!("{what}: {}, {}", out.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
