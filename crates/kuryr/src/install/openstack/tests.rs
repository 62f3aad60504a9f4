//! The questions, put to the fake cloud over TCP.

use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud as FakeCloud, Options};
use kuryr_fake::serve::serve;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::check::finding::{Severity, lines};
use crate::screen::Screen;

/// Both fakes, and the values that fit them.
struct World {
    cloud: FakeCloud,
    cluster: Cluster,
    client: Client,
    values: Value,
}

impl World {
    async fn new() -> World {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let cloud = FakeCloud::new(Options { url, ..Options::default() });
        tokio::spawn(cloud.clone().serve(listener));
        let network = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        let router = cloud.create("routers", json!({ "name": "r", "project_id": cloud.project("k8s") }));
        cloud.add_router_interface(router["id"].as_str().unwrap(), &network.subnets[0]);
        let project = cloud.project("k8s");
        let group = cloud.create("security-groups", json!({ "name": "pods", "project_id": project }));
        let cluster = Cluster::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = cluster.clone();
        tokio::spawn(serve(listener, move |request| {
            let cluster = served.clone();
            async move { cluster.call(request).await }
        }));
        let client = Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap())).unwrap();
        let values = json!({
            "cloud": {
                "authUrl": cloud.auth_url(), "username": "k8s-admin", "password": ADMIN_PASSWORD, "projectName": "k8s",
            },
            "network": { "project": project, "podSubnets": network.subnets, "podSecurityGroups": [group["id"]] },
        });
        World { cloud, cluster, client, values }
    }

    async fn ask(&self, change: Value) -> Vec<Finding> {
        let texts = [("values".to_owned(), self.values.to_string()), ("change".to_owned(), change.to_string())];
        let values = Values::of(&texts, &[]).unwrap();
        ask(&self.client, &values, "kube-system", &[]).await
    }

    /// The one thing that is missing.
    #[track_caller]
    fn only_missing(findings: &[Finding]) -> String {
        let missing: Vec<Finding> = findings.iter().filter(|finding| is_missing(finding)).cloned().collect();
        assert_eq!(missing.len(), 1, "{findings:#?}");
        told(&missing)
    }
}

fn is_missing(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// As it is shown, in one line.
fn told(findings: &[Finding]) -> String {
    let page = lines(findings, Screen { width: 100, colours: false });
    page.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_cloud_that_has_everything_is_said_to_have_it() {
    let world = World::new().await;
    let writes = world.cloud.total_writes();
    let findings = world.ask(json!({})).await;
    assert!(!findings.iter().any(is_missing), "{findings:#?}");
    let told = told(&findings);
    for part in [
        "ok credentials k8s-admin in k8s",
        "ok pod subnet",
        "10.0.0.0/24",
        "ok router",
        "ok security group pods",
        "ok port quota without limit",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(world.cloud.total_writes(), writes, "asking changes nothing");
}

#[tokio::test]
async fn each_thing_that_is_missing_is_told_with_a_cure() {
    let world = World::new().await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let cases = [
        (
            json!({ "network": { "podSubnets": [nobody] } }),
            "subnet 00000000-0000-0000-0000-000000000000 does not exist",
            "set network.podSubnets in the values",
        ),
        (
            json!({ "network": { "podSecurityGroups": [nobody] } }),
            "security group 00000000-0000-0000-0000-000000000000 does not exist",
            "openstack security group list; set network.podSecurityGroups in the values",
        ),
        (json!({ "network": { "project": "k8s" } }), "it is no id", "openstack project show NAME -f value -c id"),
        (
            json!({ "network": { "project": nobody } }),
            "there is no project 0000",
            "openstack project list; set network.project in the values",
        ),
        (json!({ "cloud": { "password": "wrong" } }), "no token from http", "openstack token issue"),
        (json!({ "cloud": { "authUrl": "" } }), "no way into the cloud", "cloud.cloudsYaml"),
        (
            json!({ "cloud": { "existingSecret": "mine" } }),
            "no Secret mine in namespace kube-system",
            "correct the values",
        ),
        (json!({ "options": { "DEFAULT": { "debug": "maybe" } } }), "debug = \"maybe\"", "true or false"),
    ];
    for (change, what, cure) in cases {
        let missing = World::only_missing(&world.ask(change.clone()).await);
        assert!(missing.contains(what) && missing.contains(cure) && missing.contains("→"), "{change}: {missing}");
        assert!(!missing.contains(ADMIN_PASSWORD));
    }
    world.cloud.set_extension("security-group", false);
    let findings = world.ask(json!({})).await;
    assert!(
        findings.iter().any(|finding| is_missing(finding) && finding.what.contains("no extension security-group")),
        "{findings:#?}"
    );
    world.cloud.set_extension("security-group", true);
    world.cloud.set_quota("k8s", "port", 0);
    let missing = World::only_missing(&world.ask(json!({})).await);
    assert!(missing.contains("all 0 ports are used") && missing.contains("openstack quota set --ports"), "{missing}");
}

#[tokio::test]
async fn what_services_need_is_looked_at_where_they_are_on() {
    let world = World::new().await;
    let services = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]);
    let router = world.cloud.list("routers")[0]["id"].as_str().unwrap().to_owned();
    world.cloud.add_router_interface(&router, &services.subnets[0]);
    let on = json!({
        "network": { "serviceSubnet": services.subnets[0] },
        "options": { "kuryr": { "services": true }, "kubernetes": { "endpoints_driver_octavia_provider": "ovn" } },
    });
    let findings = world.ask(on.clone()).await;
    assert!(!findings.iter().any(is_missing), "{findings:#?}");
    assert!(told(&findings).contains("→ set options.octavia_defaults.lb_algorithm in the values to SOURCE_IP_PORT"));
    world.cloud.set_load_balancer_endpoint("");
    let missing = World::only_missing(&world.ask(on).await);
    assert!(missing.contains("octavia") && missing.contains("set options.kuryr.services in the values"), "{missing}");
}

#[tokio::test]
async fn a_clouds_yaml_and_a_secret_that_is_there_are_ways_in() {
    let world = World::new().await;
    let yaml = json!({ "clouds": { "mine": { "auth": {
        "auth_url": world.cloud.auth_url(), "username": "k8s-admin", "password": ADMIN_PASSWORD, "project_name": "k8s",
        "user_domain_name": "Default", "project_domain_name": "Default",
    } } } });
    let findings = world.ask(json!({ "cloud": { "authUrl": "", "cloudsYaml": yaml.to_string() } })).await;
    assert!(!findings.iter().any(is_missing), "{findings:#?}");
    let texts = [("values".to_owned(), world.values.to_string())];
    let conf = cloud_conf(&Values::of(&texts, &[]).unwrap().cloud);
    world
        .cluster
        .create(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "mine", "namespace": "kube-system" },
            "data": { "cloud.conf": k8s_openapi::ByteString(conf.into_bytes()) },
        }))
        .unwrap();
    let findings = world.ask(json!({ "cloud": { "authUrl": "", "existingSecret": "mine" } })).await;
    assert!(!findings.iter().any(is_missing), "{findings:#?}");
}
