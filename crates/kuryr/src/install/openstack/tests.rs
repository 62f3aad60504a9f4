//! The questions, put to the fake cloud over TCP.

use kuryr_fake::kubernetes::Cluster;
use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud as FakeCloud, Options};
use kuryr_fake::serve::serve;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

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
        ask(&self.client, &values, "kube-system").await
    }

    /// The one thing that is missing.
    #[track_caller]
    fn only_missing(findings: &[Finding]) -> String {
        let missing: Vec<_> = findings.iter().filter(|finding| finding.is_missing()).map(ToString::to_string).collect();
        assert_eq!(missing.len(), 1, "{findings:#?}");
        missing.concat()
    }
}

#[tokio::test]
async fn a_cloud_that_has_everything_is_said_to_have_it() {
    let world = World::new().await;
    let findings = world.ask(json!({})).await;
    assert!(findings.iter().all(|finding| !finding.is_missing()), "{findings:#?}");
    let told: Vec<_> = findings.iter().map(ToString::to_string).collect();
    for part in ["user k8s-admin in k8s", "pods' subnet", "10.0.0.0/24", "security group pods", "quota: ports"] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}: {told:#?}");
    }
    assert_eq!(world.cloud.ports().len(), 0, "asking changes nothing");
}

#[tokio::test]
async fn each_thing_that_is_missing_is_told_with_a_cure() {
    let world = World::new().await;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let cases = [
        (json!({ "network": { "podSubnets": [nobody] } }), "no subnet 0000", "openstack subnet list"),
        (
            json!({ "network": { "podSecurityGroups": [nobody] } }),
            "no security group 0000",
            "openstack security group list",
        ),
        (json!({ "network": { "project": "k8s" } }), "it is no id", "openstack project show NAME -f value -c id"),
        (json!({ "network": { "project": nobody } }), "there is no project \"0000", "openstack project list"),
        (json!({ "cloud": { "password": "wrong" } }), "Keystone gives no token", ""),
        (json!({ "cloud": { "authUrl": "" } }), "no way into the cloud", "cloud.cloudsYaml"),
        (json!({ "cloud": { "existingSecret": "mine" } }), "no Secret mine in namespace kube-system", ""),
        (json!({ "options": { "DEFAULT": { "debug": "maybe" } } }), "debug = \"maybe\"", "true or false"),
    ];
    for (change, what, cure) in cases {
        let missing = World::only_missing(&world.ask(change.clone()).await);
        assert!(
            missing.contains(what) && missing.contains(cure) && missing.contains("what to do"),
            "{change}: {missing}"
        );
        assert!(!missing.contains(ADMIN_PASSWORD));
    }
    world.cloud.set_extension("security-group", false);
    let findings = world.ask(json!({})).await;
    assert!(
        findings.iter().any(|f| f.is_missing() && f.to_string().contains("no extension security-group")),
        "{findings:#?}"
    );
    world.cloud.set_extension("security-group", true);
    world.cloud.set_quota("k8s", "port", 0);
    let missing = World::only_missing(&world.ask(json!({})).await);
    assert!(
        missing.contains("quota of ports is used up") && missing.contains("openstack quota set --ports"),
        "{missing}"
    );
}

#[tokio::test]
async fn a_clouds_yaml_and_a_secret_that_is_there_are_ways_in() {
    let world = World::new().await;
    let yaml = json!({ "clouds": { "mine": { "auth": {
        "auth_url": world.cloud.auth_url(), "username": "k8s-admin", "password": ADMIN_PASSWORD, "project_name": "k8s",
        "user_domain_name": "Default", "project_domain_name": "Default",
    } } } });
    let findings = world.ask(json!({ "cloud": { "authUrl": "", "cloudsYaml": yaml.to_string() } })).await;
    assert!(findings.iter().all(|finding| !finding.is_missing()), "{findings:#?}");
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
    assert!(findings.iter().all(|finding| !finding.is_missing()), "{findings:#?}");
}
