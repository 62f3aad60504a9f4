//! `kubectl` against the cluster, over TCP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kuryr_fake::kubernetes::Cluster;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const WIDGETS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What is wished for.
            required: [size]
            properties: {size: {type: integer}, color: {type: string}}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

fn widget(size: u32, color: &str) -> String {
    format!(
        "apiVersion: example.org/v1\nkind: Widget\nmetadata: {{name: w, finalizers: [example.org/keep]}}\n\
         spec: {{size: {size}{color}}}\n"
    )
}

const DEPLOYED: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: kuryr}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: kuryr}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: kuryr}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      containers:
      - {name: agent, image: "agent:1", env: [{name: A, value: a}, {name: B, value: b}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: kuryr, labels: {app: web}}
spec: {nodeName: n1, containers: [{name: main, image: "web:1"}]}
"#;

/// `kubectl` talking to one cluster.
struct Kubectl {
    program: PathBuf,
    server: SocketAddr,
    home: tempfile::TempDir,
}

impl Kubectl {
    fn of(server: SocketAddr) -> Kubectl {
        let programs = std::env::var_os("KUBE_BIN")
            .map(PathBuf::from)
            .expect("KUBE_BIN names no folder with kubectl: run `cargo xtask bed up kubernetes`, which builds it");
        Kubectl { program: programs.join("kubectl"), server, home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, arguments: &str, input: &str) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command
            .arg(format!("--server=http://{}", self.server))
            .args(arguments.split_whitespace())
            .env("HOME", self.home.path())
            .env_remove("KUBECONFIG")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    #[track_caller]
    fn good(&self, arguments: &str, input: &str) -> String {
        self.run(arguments, input).unwrap_or_else(|error| panic!("kubectl {arguments}: {error}"))
    }

    #[track_caller]
    fn says(&self, arguments: &str, input: &str, expected: &[&str]) {
        let said = self.good(arguments, input);
        for part in expected {
            assert!(said.contains(part), "kubectl {arguments}: no {part:?} in\n{said}");
        }
    }

    #[track_caller]
    fn fails(&self, arguments: &str, input: &str, expected: &str) {
        let error = self.run(arguments, input).expect_err(arguments);
        assert!(error.contains(expected), "kubectl {arguments}: no {expected:?} in\n{error}");
    }
}

async fn serve() -> (Cluster, SocketAddr) {
    let cluster = Cluster::builder().time(jiff::Timestamp::now()).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(cluster.clone().serve(listener));
    (cluster, address)
}

/// Runs on a thread of its own, so that the server goes on.
async fn with_kubectl(test: impl FnOnce(&Cluster, &Kubectl) + Send + 'static) {
    let (cluster, address) = serve().await;
    tokio::task::spawn_blocking(move || test(&cluster, &Kubectl::of(address))).await.unwrap();
}

#[tokio::test]
#[ignore = "needs kubectl in $KUBE_BIN; run by cargo xtask test"]
async fn custom_resources_are_applied_and_shown() {
    with_kubectl(|cluster, kubectl| {
        kubectl.says(
            "apply -f -",
            WIDGETS,
            &["customresourcedefinition.apiextensions.k8s.io/widgets.example.org created"],
        );
        kubectl.good("wait --for=condition=Established crd/widgets.example.org --timeout=10s", "");
        kubectl.says("apply -f -", &widget(1, ", color: red"), &["widget.example.org/w created"]);
        kubectl.says("apply -f -", &widget(1, ", color: red"), &["widget.example.org/w unchanged"]);
        kubectl.says("apply -f -", &widget(2, ""), &["widget.example.org/w configured"]);
        let stored = cluster.get("widgets.example.org", "default", "w").unwrap();
        assert_eq!(stored["spec"], json!({ "size": 2 }), "what was left out is removed");
        kubectl.fails("apply -f -", &widget(2, ", colour: red"), "unknown field \"spec.colour\"");
        kubectl.says("get wd", "", &["NAME   SIZE   READY", "w      2"]);
        kubectl.says("get widgets.v1.example.org w -o jsonpath={.spec.size}", "", &["2"]);
        kubectl.says("describe widget w", "", &["Name:         w", "Size:  2", "Events:"]);
        kubectl.says("explain widget.spec", "", &["What is wished for.", "size\t<integer> -required-"]);
        kubectl.says(
            r#"patch widget w --type=merge -p {"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#,
            "",
            &["widget.example.org/w patched"],
        );
        kubectl.good("wait --for=condition=Ready widget/w --timeout=10s", "");
        kubectl.says(
            r#"patch widget w --type=json -p [{"op":"replace","path":"/spec/color","value":"blue"}]"#,
            "",
            &["patched"],
        );
        kubectl.says("label widget w a=b", "", &["labeled"]);
        kubectl.says("annotate widget w c=d", "", &["annotated"]);
        kubectl.says("get wd -l a=b -o name", "", &["widget.example.org/w"]);
        kubectl.says(
            "apply --server-side --field-manager=other --force-conflicts -f -",
            &widget(7, ""),
            &["serverside-applied"],
        );
        kubectl.fails("apply --server-side --field-manager=third -f -", &widget(8, ""), "conflict with \"other\"");
        kubectl.says("delete widget w --wait=false", "", &["deleted"]);
        kubectl.good(r#"patch widget w --type=merge -p {"metadata":{"finalizers":null}}"#, "");
        kubectl.good("wait --for=delete widget/w --timeout=10s", "");
        kubectl.says("delete crd widgets.example.org", "", &["deleted"]);
        kubectl.fails("get wd", "", "(NotFound)");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs kubectl in $KUBE_BIN; run by cargo xtask test"]
async fn built_in_kinds_are_applied_and_shown() {
    with_kubectl(|cluster, kubectl| {
        kubectl.says("version", "", &["Server Version: v1.37"]);
        kubectl.says("get namespaces", "", &["kube-system", "Active"]);
        kubectl.says(
            "apply -f -",
            DEPLOYED,
            &["namespace/kuryr created", "service/web created", "daemonset.apps/agent created", "pod/p created"],
        );
        kubectl.says("apply -f -", DEPLOYED, &["daemonset.apps/agent unchanged"]);
        let changed = DEPLOYED.replace("agent:1", "agent:2").replace("{name: A, value: a}, ", "");
        kubectl.says("diff -f -", DEPLOYED, &[""]);
        kubectl.says("apply -f -", &changed, &["daemonset.apps/agent configured", "pod/p unchanged"]);
        let agent = cluster.get("daemonsets.apps", "kuryr", "agent").unwrap();
        let container = &agent["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            (&container["image"], &container["env"]),
            (&"agent:2".into(), &json!([{ "name": "B", "value": "b" }]))
        );

        kubectl.says("get pods -A -o wide", "", &["kuryr", "0/1", "Pending", "n1"]);
        kubectl.says("get all -n kuryr", "", &["pod/p", "service/web", "daemonset.apps/agent"]);
        kubectl.says("describe pod p -n kuryr", "", &["Node:             n1", "Status:           Pending"]);
        kubectl.says("describe service web -n kuryr", "", &["TargetPort:", "10.96."]);
        kubectl.says("describe namespace kuryr", "", &["Status:       Active"]);
        cluster
            .patch(
                "pods",
                "kuryr",
                "p",
                &json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } }),
            )
            .unwrap();
        kubectl.good("wait --for=condition=Ready pod/p -n kuryr --timeout=10s", "");
        kubectl.says("api-resources", "", &["pods", "leases", "true         Lease"]);

        // The kubelet's word ends it.
        kubectl.says("delete pod p -n kuryr --wait=false", "", &["deleted"]);
        kubectl.says("get pod p -n kuryr", "", &["Terminating"]);
        kubectl.good("delete pod p -n kuryr --grace-period=0 --force", "");
        kubectl.fails("get pod p -n kuryr", "", "Error from server (NotFound): pods \"p\" not found");
        kubectl.says("delete namespace kuryr", "", &["deleted"]);
        assert!(cluster.list("services", "kuryr").is_empty());
        let raw: Value = serde_json::from_str(&kubectl.good("get --raw /api/v1/nodes", "")).unwrap();
        assert_eq!(raw["kind"], "NodeList");
    })
    .await;
}
