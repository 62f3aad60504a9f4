//! The fake OpenStack, asked in process on a paused clock: what it does beyond what a client sees of a healthy Neutron.
//! How it compares to the real services is the contract suite's subject (crates/openstack/tests/contract).

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use kuryr_fake::faults::{Chances, ConnectionLost, Lose, Rule};
use kuryr_fake::openstack::{ADMIN_PASSWORD, BindPolicy, Cloud, Latency, Options, Seeded};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Someone with a token.
struct User {
    cloud: Cloud,
    token: String,
}

impl User {
    async fn of(cloud: &Cloud, name: &str, project: &str) -> User {
        let token = token(cloud, name, project).await.expect("a token");
        User { cloud: cloud.clone(), token }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<(StatusCode, Value), ConnectionLost> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(format!("http://openstack.fake/networking/v2.0{path}"));
        let request = request.header("x-auth-token", &self.token).body(body).unwrap();
        let response = self.cloud.call(request).await?;
        assert!(response.headers().contains_key("x-openstack-request-id") || response.status().is_server_error());
        Ok((response.status(), serde_json::from_slice(response.body()).unwrap_or_default()))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, Value::Null).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let (status, body) = self.call(Method::POST, path, body).await.unwrap();
        (status.as_u16(), body)
    }
}

async fn token(cloud: &Cloud, name: &str, project: &str) -> Result<String, StatusCode> {
    let domain = json!({"id": "default"});
    let password = json!({"user": {"name": name, "domain": domain, "password": ADMIN_PASSWORD}});
    let body = json!({"auth": {
        "identity": {"methods": ["password"], "password": password},
        "scope": {"project": {"name": project, "domain": domain}},
    }});
    let request = Request::post("http://openstack.fake/identity/v3/auth/tokens").body(body.to_string().into()).unwrap();
    let response = cloud.call(request).await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    let token = response.headers().get("x-subject-token").ok_or(response.status())?;
    Ok(token.to_str().unwrap().to_owned())
}

/// A cloud with a network of project `k8s`, and its administrator.
async fn cloud(cidrs: &[&str]) -> (Cloud, Seeded, User) {
    let cloud = Cloud::new(Options::seeded(7));
    let seeded = cloud.seed_network("k8s", "pods", cidrs);
    let user = User::of(&cloud, "k8s-admin", "k8s").await;
    (cloud, seeded, user)
}

fn port(network: &str) -> Value {
    json!({"port": {"network_id": network}})
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_cloud() {
    let mut worlds = Vec::new();
    for seed in [7, 7, 8] {
        let cloud = Cloud::new(Options::seeded(seed));
        let seeded = cloud.seed_network("k8s", "pods", &["10.0.0.0/24"]);
        cloud.create("ports", json!({"network_id": seeded.network}));
        worlds.push((cloud.list("networks"), cloud.ports(), token(&cloud, "k8s", "k8s").await));
    }
    assert_eq!(worlds[0], worlds[1]);
    assert_ne!(worlds[0], worlds[2]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_before_the_effect_changes_nothing_and_after_it_everything() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    for (lose, ports) in [(Lose::BeforeEffect, 0), (Lose::AfterEffect, 1)] {
        cloud.faults().script(Rule::on(Method::POST, "/v2.0/ports").times(1).lose(lose));
        let lost = user.call(Method::POST, "/ports", port(&seeded.network)).await;
        assert_eq!((lost, cloud.ports().len()), (Err(ConnectionLost), ports), "{lose:?}");
    }
    assert_eq!(cloud.requests().iter().filter(|seen| seen.status.is_none()).count(), 2);
    assert_eq!(cloud.faults().made(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_status_by_script_comes_instead_of_the_effect_unless_it_says_otherwise() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    cloud.faults().script(Rule::on(Method::POST, "/v2.0/ports").times(1).status(503));
    let (status, _) = user.call(Method::POST, "/ports", port(&seeded.network)).await.unwrap();
    assert_eq!((status.as_u16(), cloud.ports().len()), (503, 0));

    let chances = Chances { gateway_timeout: 1.0, path: "/v2.0/ports".to_owned(), ..Chances::default() };
    cloud.faults().random(1, chances);
    let (status, _) = user.call(Method::POST, "/ports", port(&seeded.network)).await.unwrap();
    assert_eq!((status.as_u16(), cloud.ports().len()), (504, 1));
}

#[tokio::test(start_paused = true)]
async fn answers_take_as_long_as_they_are_told_on_tokios_clock() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    cloud.set_latency(Latency::of_a_small_neutron());
    let begun = Instant::now();
    user.post("/ports", port(&seeded.network)).await;
    assert_eq!(begun.elapsed().as_millis(), 300);
    let five = vec![json!({"network_id": seeded.network}); 5];
    user.post("/ports", json!({"ports": five})).await;
    assert_eq!(begun.elapsed().as_millis(), 300 + 5 * 300);
    user.get("/ports").await;
    assert_eq!(begun.elapsed().as_millis(), 1815);
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_effect_though_its_caller_stopped_waiting() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    cloud.faults().script(Rule::on(Method::POST, "/v2.0/ports").delay(Duration::from_secs(60)));
    let waited =
        tokio::time::timeout(Duration::from_secs(1), user.call(Method::POST, "/ports", port(&seeded.network))).await;
    assert!(waited.is_err());
    assert_eq!(cloud.ports().len(), 0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cloud.ports().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn tokens_end_in_time_or_when_all_are_revoked() {
    let (cloud, _, user) = cloud(&[]).await;
    user.get("/networks").await;
    tokio::time::sleep(Duration::from_secs(3601)).await;
    assert_eq!(user.call(Method::GET, "/networks", Value::Null).await.unwrap().0, 401);

    let user = User::of(&cloud, "k8s", "k8s").await;
    user.get("/networks").await;
    cloud.revoke_all_tokens();
    assert_eq!(user.call(Method::GET, "/networks", Value::Null).await.unwrap().0, 401);
    assert_eq!(token(&cloud, "k8s", "k8s-other").await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test(start_paused = true)]
async fn a_refused_list_of_ports_leaves_no_port_but_may_cost_addresses() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/29"]).await;
    let ports = |count: usize| json!({"ports": vec![json!({"network_id": seeded.network}); count]});
    cloud.set_strands_addresses(false);
    assert_eq!(user.post("/ports", ports(6)).await.0, 409);
    assert_eq!(user.post("/ports", ports(2)).await.0, 201);

    // As the real service does: the three addresses found before there was none are gone.
    cloud.set_strands_addresses(true);
    assert_eq!(user.post("/ports", ports(4)).await.0, 409);
    assert_eq!(cloud.ports().len(), 2);
    let (status, body) = user.post("/ports", port(&seeded.network)).await;
    assert_eq!((status, &body["NeutronError"]["type"]), (409, &json!("IpAddressGenerationFailure")));
    // Other reasons cost nothing.
    cloud.ports().iter().for_each(|port| cloud.delete("ports", port["id"].as_str().unwrap()));
    let nobody = json!({"network_id": seeded.network, "security_groups": ["00000000-0000-4000-8000-000000000000"]});
    let mut mixed = ports(1);
    mixed["ports"].as_array_mut().unwrap().push(nobody);
    assert_eq!(user.post("/ports", mixed).await.0, 404);
    assert_eq!(user.post("/ports", ports(2)).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn addresses_come_from_the_pools_of_each_family_and_are_used_again() {
    let (cloud, seeded, _) = cloud(&["10.0.0.0/29", "fd00::/64"]).await;
    let port = || cloud.create("ports", json!({"network_id": seeded.network}));
    let addresses = |port: &Value| -> Vec<String> {
        let fixed = port["fixed_ips"].as_array().unwrap();
        fixed.iter().map(|fixed| fixed["ip_address"].as_str().unwrap().to_owned()).collect()
    };
    let all: Vec<Value> = (0..5).map(|_| port()).collect();
    assert_eq!(addresses(&all[0]), ["10.0.0.2", "fd00::1"]);
    assert_eq!(addresses(&all[4]), ["10.0.0.6", "fd00::5"]);
    cloud.delete("ports", all[2]["id"].as_str().unwrap());
    assert_eq!(addresses(&port()), ["10.0.0.4", "fd00::3"]);
}

#[tokio::test(start_paused = true)]
async fn pages_walked_by_their_links_hold_every_port_once() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    for number in 0..7 {
        cloud.create("ports", json!({"network_id": seeded.network, "name": format!("p{}", number % 3)}));
    }
    let mut path = "/ports?limit=3&fields=name&fields=id&sort_key=name&sort_dir=desc".to_owned();
    let mut names = Vec::new();
    loop {
        let page = user.get(&path).await;
        names.extend(page["ports"].as_array().unwrap().iter().map(|port| port["name"].as_str().unwrap().to_owned()));
        let links = page["ports_links"].as_array().unwrap();
        match links.iter().find(|link| link["rel"] == "next") {
            Some(next) => path = next["href"].as_str().unwrap().split_once("/v2.0").unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["p2", "p2", "p1", "p1", "p0", "p0", "p0"]);
}

#[tokio::test(start_paused = true)]
async fn only_who_may_binds_ports_and_sees_how_they_are_bound() {
    let (cloud, seeded, admin) = cloud(&["10.0.0.0/24"]).await;
    let plain = User::of(&cloud, "k8s", "k8s").await;
    let stranger = User::of(&cloud, "k8s-other", "k8s-other").await;
    cloud.bind_policy(Some("n2"), BindPolicy::ovs_hybrid());
    cloud.bind_policy(Some("n3"), BindPolicy::Fails);
    let bound = |host: &str| json!({"port": {"network_id": seeded.network, "binding:host_id": host}});

    assert_eq!(plain.post("/ports", bound("n1")).await.0, 403);
    let (_, body) = admin.post("/ports", bound("n1")).await;
    assert_eq!((&body["port"]["binding:vif_type"], &body["port"]["status"]), (&json!("ovs"), &json!("DOWN")));
    assert_eq!(admin.post("/ports", bound("n2")).await.1["port"]["binding:vif_details"]["ovs_hybrid_plug"], true);
    assert_eq!(admin.post("/ports", bound("n3")).await.1["port"]["binding:vif_type"], "binding_failed");

    let id = body["port"]["id"].as_str().unwrap();
    let seen = plain.get(&format!("/ports/{id}")).await;
    assert!(seen["port"].get("binding:vif_type").is_none() && seen["port"]["binding:vnic_type"] == "normal");
    assert_eq!(stranger.call(Method::GET, &format!("/ports/{id}"), Value::Null).await.unwrap().0, 404);
    assert_eq!(stranger.get("/ports").await, json!({"ports": []}));
}

#[tokio::test(start_paused = true)]
async fn quotas_count_what_a_project_has_and_a_list_as_a_whole() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    cloud.set_quota("k8s", "port", 2);
    let ports = |count: usize| json!({"ports": vec![json!({"network_id": seeded.network}); count]});
    let (status, body) = user.post("/ports", ports(3)).await;
    assert_eq!((status, &body["NeutronError"]["type"]), (409, &json!("OverQuota")));
    assert_eq!(user.post("/ports", ports(2)).await.0, 201);
    assert_eq!(user.post("/ports", ports(1)).await.0, 409);
    let details = user.get(&format!("/quotas/{}/details.json", cloud.project("k8s"))).await;
    assert_eq!(details["quota"]["port"], json!({"limit": 2, "used": 2, "reserved": 0}));
    cloud.delete("ports", cloud.ports()[0]["id"].as_str().unwrap());
    assert_eq!(user.post("/ports", ports(1)).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn a_data_plane_hears_of_ports_and_says_when_they_carry_traffic() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    let mut changes = cloud.port_changes();
    let (_, body) = user.post("/ports", json!({"port": {"network_id": seeded.network, "binding:host_id": "n1"}})).await;
    let id = body["port"]["id"].as_str().unwrap();
    let change = changes.recv().await.unwrap();
    assert!(change.id == id && change.before.is_none());
    assert_eq!(change.after.unwrap()["binding:host_id"], "n1");

    assert!(cloud.set_port_status(id, "ACTIVE") && !cloud.set_port_status("no such port", "ACTIVE"));
    assert_eq!(changes.recv().await.unwrap().after.unwrap()["status"], "ACTIVE");
    cloud.delete("ports", id);
    assert!(changes.recv().await.unwrap().after.is_none());
    // Neither a request that fails nor one that changes nothing is news.
    user.post("/ports", json!({"port": {"network_id": seeded.network, "status": "ACTIVE"}})).await;
    assert!(changes.try_recv().is_err());

    cloud.activate_bound_ports_after(Some(Duration::from_secs(2)));
    let (_, body) = user.post("/ports", json!({"port": {"network_id": seeded.network, "binding:host_id": "n1"}})).await;
    let id = body["port"]["id"].as_str().unwrap();
    tokio::time::sleep(Duration::from_millis(1999)).await;
    assert_eq!(cloud.get("ports", id).unwrap()["status"], "DOWN");
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(cloud.get("ports", id).unwrap()["status"], "ACTIVE");
}

#[tokio::test(start_paused = true)]
async fn whoever_plays_a_provider_hears_of_changes_of_load_balancers_as_they_begin() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    cloud.set_load_balancer_step(Duration::from_secs(1));
    let mut changes = cloud.load_balancing_changes();
    let ask = async |method: Method, path: &str, body: Value| {
        let request =
            Request::builder().method(method).uri(format!("http://openstack.fake/load-balancer/v2/lbaas{path}"));
        let request = request.header("x-auth-token", &user.token).body(body.to_string().into()).unwrap();
        let response = user.cloud.call(request).await.unwrap();
        (response.status().as_u16(), serde_json::from_slice::<Value>(response.body()).unwrap_or_default())
    };
    let wanted = json!({ "loadbalancer": { "name": "a", "vip_subnet_id": seeded.subnets[0] } });
    let (status, made) = ask(Method::POST, "/loadbalancers", wanted).await;
    assert_eq!(status, 201, "{made}");
    assert!(changes.has_changed().unwrap());
    changes.borrow_and_update();
    assert_eq!(cloud.load_balancing("loadbalancers")[0]["provisioning_status"], "PENDING_CREATE");

    let path = format!("/loadbalancers/{}", made["loadbalancer"]["id"].as_str().unwrap());
    assert_eq!(ask(Method::GET, &path, Value::Null).await.0, 200);
    assert_eq!(ask(Method::DELETE, &path, Value::Null).await.0, 409, "the provider is at work");
    assert!(!changes.has_changed().unwrap(), "nothing was changed");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(ask(Method::DELETE, &path, Value::Null).await.0, 204);
    assert!(changes.has_changed().unwrap());
}

#[tokio::test(start_paused = true)]
async fn subports_follow_their_trunk() {
    let (cloud, seeded, _) = cloud(&["10.0.0.0/24"]).await;
    let port = || cloud.create("ports", json!({"network_id": seeded.network}))["id"].as_str().unwrap().to_owned();
    let (parent, child) = (port(), port());
    let sub_port = json!({"port_id": child, "segmentation_id": 5, "segmentation_type": "vlan"});
    let trunk = cloud.create("trunks", json!({"port_id": parent, "sub_ports": [sub_port]}));
    assert_eq!(cloud.get("ports", &child).unwrap()["device_owner"], "trunk:subport");
    cloud.set_port_status(&parent, "ACTIVE");
    assert_eq!(cloud.get("ports", &child).unwrap()["status"], "ACTIVE");
    let details = &cloud.get("ports", &parent).unwrap()["trunk_details"];
    assert_eq!(details["sub_ports"][0]["segmentation_id"], 5);
    cloud.delete("trunks", trunk["id"].as_str().unwrap());
    let child = cloud.get("ports", &child).unwrap();
    assert_eq!((&child["status"], &child["device_owner"]), (&json!("DOWN"), &json!("")));
}

#[tokio::test(start_paused = true)]
async fn tags_in_a_post_are_kept_where_an_extension_says_so() {
    let (cloud, seeded, user) = cloud(&["10.0.0.0/24"]).await;
    let tagged = json!({"port": {"network_id": seeded.network, "tags": ["a", "b"]}});
    assert_eq!(user.post("/ports", tagged.clone()).await.1["port"]["tags"], json!(["a", "b"]));
    assert_eq!(user.post("/networks", json!({"network": {"tags": ["a"]}})).await.0, 400);

    // A Neutron without either extension loses them without a word.
    cloud.set_extension("tag-ports-during-bulk-creation", false);
    let (status, body) = user.post("/ports", tagged).await;
    assert_eq!((status, &body["port"]["tags"]), (201, &json!([])));
    let (status, _) = user.call(Method::GET, "/extensions/tag-ports-during-bulk-creation", Value::Null).await.unwrap();
    assert_eq!(status, 404);

    cloud.set_extension("tag-creation", true);
    assert_eq!(user.post("/networks", json!({"network": {"tags": ["a"]}})).await.1["network"]["tags"], json!(["a"]));
}

#[tokio::test(start_paused = true)]
async fn a_project_has_its_default_group_from_the_first_look() {
    let cloud = Cloud::new(Options::seeded(7));
    let user = User::of(&cloud, "k8s-other", "k8s-other").await;
    let groups = user.get("/security-groups").await;
    assert_eq!(groups["security_groups"][0]["name"], "default");
    assert_eq!(groups["security_groups"][0]["security_group_rules"].as_array().map(Vec::len), Some(4));
    assert_eq!(user.get("/security-groups").await, groups);
}

#[tokio::test]
async fn over_tcp_a_lost_connection_closes_without_an_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let cloud = Cloud::new(Options { url: format!("http://{address}"), ..Options::seeded(1) });
    let server = tokio::spawn(cloud.clone().serve(listener));
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /networking/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask().await.starts_with("HTTP/1.1 200"));
    cloud.faults().script(Rule::on_any("").lose(Lose::AfterEffect));
    assert_eq!(ask().await, "");
    server.abort();
}
