//! The `openstack` command (python3-openstackclient) against the fake over TCP: a client that knows nothing of us.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread;

use kuryr_fake::openstack::{Cloud, Options, Seeded};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A cloud that is served until the test ends, and the command pointed at it.
struct Client {
    cloud: Cloud,
    settings: Vec<(&'static str, String)>,
}

impl Client {
    fn new() -> Client {
        let (address, bound) = mpsc::channel::<SocketAddr>();
        let (cloud, made) = mpsc::channel::<Cloud>();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let local = listener.local_addr().unwrap();
                let served = Cloud::new(Options { url: format!("http://{local}"), ..Options::default() });
                address.send(local).unwrap();
                cloud.send(served.clone()).unwrap();
                served.serve(listener).await;
            });
        });
        bound.recv().unwrap();
        let cloud = made.recv().unwrap();
        let settings = cloud.openrc("k8s-admin", "k8s");
        Client { cloud, settings }
    }

    fn output(&self, arguments: &str) -> Output {
        let mut command = Command::new("openstack");
        command.args(arguments.split_whitespace());
        // Nothing of the user's own clouds.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OS_") || name.ends_with("_proxy")) {
            command.env_remove(name);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.output().unwrap_or_else(|error| {
            panic!("cannot run `openstack` ({error}): install it with `apt-get install python3-openstackclient`")
        })
    }

    /// Runs a command that has to succeed.
    #[track_caller]
    fn run(&self, arguments: &str) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openstack {arguments}: {}\n{errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that has to answer.
    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        let text = self.run(&format!("{arguments} -f json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("openstack {arguments}: {error}\n{text}"))
    }

    /// Runs a command that has to fail; what it says.
    #[track_caller]
    fn fail(&self, arguments: &str) -> String {
        let output = self.output(arguments);
        assert!(!output.status.success(), "openstack {arguments} should fail");
        String::from_utf8(output.stderr).unwrap()
    }

    fn external_network(&self) {
        let Seeded { network, .. } = self.cloud.seed_network("admin", "public", &["172.24.4.0/24"]);
        self.cloud.update("networks", &network, json!({"router:external": true}));
    }
}

#[test]
#[ignore = "needs python3-openstackclient; run by cargo xtask test"]
fn openstackclient_works_against_the_fake() {
    let client = Client::new();
    client.external_network();

    let token = client.json("token issue");
    assert_eq!(token["project_id"], client.cloud.project("k8s"));
    assert!(client.json("project list").to_string().contains("k8s-other"));
    assert_eq!(client.json("catalog list").as_array().map(Vec::len), Some(3));
    assert!(client.json("extension list --network").to_string().contains("standard-attr-tag"));

    // Networks and subnets.
    assert_eq!(client.json("network create pods --description for-pods --tag cluster=a")["name"], "pods");
    let subnet = client.json("subnet create --network pods --subnet-range 10.0.0.0/24 pods-v4");
    assert_eq!(subnet["gateway_ip"], "10.0.0.1");
    client.run("subnet create --network pods --ip-version 6 --subnet-range fd00::/64 pods-v6");
    assert_eq!(client.json("network show pods")["subnets"].as_array().map(Vec::len), Some(2));
    assert_eq!(client.json("network list --tags cluster=a")[0]["Name"], "pods");
    assert_eq!(client.json("subnet list --network pods --ip-version 4")[0]["Subnet"], "10.0.0.0/24");

    // Ports, by tag, by owner and by address.
    let port = client.json("port create --network pods --tag a --tag b --host n1 --device-owner compute:kuryr p1");
    assert_eq!((&port["binding_vif_type"], &port["status"]), (&json!("ovs"), &json!("DOWN")));
    let id = port["id"].as_str().unwrap().to_owned();
    assert!(client.cloud.set_port_status(&id, "ACTIVE"));
    client.run("port create --network pods --fixed-ip subnet=pods-v4,ip-address=10.0.0.77 p2");
    let tagged = client.json("port list --tags a,b");
    assert_eq!((&tagged[0]["Name"], &tagged[0]["Status"]), (&json!("p1"), &json!("ACTIVE")));
    assert_eq!(client.json("port list --not-tags a --network pods")[0]["Name"], "p2");
    assert_eq!(client.json("port list --device-owner compute:kuryr").as_array().map(Vec::len), Some(1));
    assert_eq!(client.json("port list --fixed-ip ip-address=10.0.0.77")[0]["Name"], "p2");
    client.run("port set --name renamed --description changed p2");
    client.run("port unset --tag b p1");
    assert_eq!(client.json("port show p1")["tags"], json!(["a"]));
    let refused = client.fail("port create --network pods --fixed-ip subnet=pods-v4,ip-address=10.0.0.77 p3");
    assert!(refused.contains("already allocated"), "{refused}");

    // Security groups.
    client.run("security group create web");
    client.run("security group rule create web --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8");
    assert_eq!(client.json("security group rule list web").as_array().map(Vec::len), Some(3));
    let refused = client.fail("security group rule create web --protocol tcp --dst-port 80:90 --remote-ip 10.0.0.0/8");
    assert!(refused.contains("already exists"), "{refused}");
    client.run("port set --security-group web renamed");
    assert!(client.fail("security group delete web").contains("in use"));

    // Trunks.
    client
        .run("network trunk create --parent-port p1 --subport port=renamed,segmentation-type=vlan,segmentation-id=7 t");
    assert_eq!(client.json("network trunk show t")["sub_ports"][0]["segmentation_id"], 7);
    assert_eq!(client.json("network trunk list")[0]["Name"], "t");
    assert!(client.fail("port delete renamed").contains("subport"));
    client.run("network trunk delete t");

    // Routers and floating IPs.
    client.run("router create r");
    client.run("router add subnet r pods-v4");
    client.run("router set --external-gateway public r");
    assert!(client.json("router show r")["external_gateway_info"].to_string().contains("172.24.4."));
    let floating = client.json("floating ip create public --port p1");
    assert_eq!(floating["fixed_ip_address"], "10.0.0.2");
    let address = floating["floating_ip_address"].as_str().unwrap().to_owned();
    assert_eq!(client.json("floating ip list")[0]["Floating IP Address"], address);
    assert!(client.fail("router remove subnet r pods-v4").contains("required by one or more floating IPs"));
    assert!(client.fail("router delete r").contains("still attached"));

    // Quotas. (`quota show` of this client wants a Nova besides.)
    client.cloud.set_quota("k8s", "port", 50);
    let quotas = client.json("quota list --network --detail");
    let of_ports = quotas.as_array().unwrap().iter().find(|quota| quota["Resource"] == "ports").unwrap();
    assert_eq!((&of_ports["Limit"], &of_ports["In Use"]), (&json!(50), &json!(3)));

    // And all of it away again.
    client.run(&format!("floating ip delete {address}"));
    client.run("router unset --external-gateway r");
    client.run("router remove subnet r pods-v4");
    client.run("router delete r");
    assert!(client.fail("network delete pods").contains("ports still in use"));
    client.run("port delete p1 renamed");
    client.run("security group delete web");
    client.run("subnet delete pods-v4 pods-v6");
    client.run("network delete pods");
    assert_eq!(
        (client.cloud.ports(), client.cloud.list("trunks"), client.cloud.list("routers")),
        (vec![], vec![], vec![])
    );
    assert_eq!(client.cloud.list("networks").len(), 1);
}
