//! What Services need of the cloud is taken away in turn, and must be named with its cure.

use super::super::wanted::WantedServices;
use super::*;

/// Takes something away from a cloud that balances Services; see [`without`](super::without).
async fn without_services(
    take: impl FnOnce(&mut FakeCloud),
    (check, severity): (&str, Severity),
    what: &[&str],
    cure: &[&str],
) -> Vec<Finding> {
    missing_from(FakeCloud::balanced().await, take, (check, severity), what, cure).await
}

fn services(cloud: &mut FakeCloud) -> &mut WantedServices {
    cloud.wanted.services.as_mut().unwrap()
}

#[tokio::test]
async fn a_cloud_with_all_that_services_need_is_in_order() {
    let cloud = FakeCloud::balanced().await;
    let writes = cloud.cloud.total_writes();
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
    for (check, what) in [
        ("octavia", "version 2."),
        ("provider", "ovn"),
        ("service subnet", "10.96.0.0/16"),
        ("router", "10.96.0.1"),
        ("floating ips", "outside"),
        ("lb quota", "without limit"),
    ] {
        expect(&found, (check, Severity::Good), &[what], &[]);
    }
    assert_eq!(cloud.cloud.total_writes(), writes, "nothing is created");
    // A plain user may look, too.
    expect(&asked(&cloud, "k8s", "secret", false).await, ("lb quota", Severity::Good), &["without limit"], &[]);
}

#[tokio::test]
async fn nothing_is_said_of_services_that_are_off() {
    let mut cloud = FakeCloud::balanced().await;
    cloud.wanted.services = None;
    cloud.cloud.set_load_balancer_endpoint("");
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
    assert!(!found.iter().any(|finding| finding.check == "octavia"), "{found:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_cloud_without_octavia() {
    let take = |cloud: &mut FakeCloud| cloud.cloud.set_load_balancer_endpoint("");
    let cure = ["openstack catalog show load-balancer", "[kuryr] services in kuryr.conf to false"];
    without_services(take, ("octavia", Error), &["load-balancer"], &cure).await;
    let take = |cloud: &mut FakeCloud| cloud.cloud.faults().script(Rule::on_any("").status(503).times(10_000));
    let cure = ["openstack catalog show load-balancer", "endpoint_type"];
    without_services(take, ("octavia", Error), &["does not answer", "503"], &cure).await;
}

#[tokio::test]
async fn providers() {
    let take = |cloud: &mut FakeCloud| services(cloud).provider = Some("f5".to_owned());
    let cure = ["openstack loadbalancer provider list", "[kubernetes] endpoints_driver_octavia_provider"];
    without_services(take, ("provider", Error), &["no provider f5", "amphora, ovn"], &cure).await;

    let take = |cloud: &mut FakeCloud| cloud.cloud.faults().script(Rule::on_any("*/providers").status(403).times(10));
    without_services(take, ("provider", Error), &["cannot be listed"], &["load-balancer_member"]).await;

    let amphora = |name: &'static str| {
        move |cloud: &mut FakeCloud| {
            let services = services(cloud);
            (services.provider, services.algorithm) = (Some(name.to_owned()), "ROUND_ROBIN".to_owned());
        }
    };
    for name in ["amphora", "octavia"] {
        let found = without_services(amphora(name), ("provider", Severity::Good), &[name], &[]).await;
        assert!(troubles(&found).is_empty(), "{found:#?}");
    }
    let take = |cloud: &mut FakeCloud| services(cloud).provider = None;
    let found = without_services(take, ("provider", Severity::Good), &["default", "amphora, ovn"], &[]).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
}

#[tokio::test]
async fn what_a_provider_does_not_take() {
    let take = |cloud: &mut FakeCloud| services(cloud).algorithm = "ROUND_ROBIN".to_owned();
    let cure = ["[octavia_defaults] lb_algorithm in kuryr.conf to SOURCE_IP_PORT"];
    without_services(take, ("lb algorithm", Warning), &["ovn", "ROUND_ROBIN"], &cure).await;
    let take = |cloud: &mut FakeCloud| services(cloud).provider = Some("octavia".to_owned());
    without_services(take, ("lb algorithm", Warning), &["amphora", "SOURCE_IP_PORT"], &["ROUND_ROBIN"]).await;
    let take = |cloud: &mut FakeCloud| services(cloud).member_mode = "L3".to_owned();
    without_services(take, ("member mode", Warning), &["ovn", "L3"], &["[octavia_defaults] member_mode"]).await;
}

#[tokio::test]
async fn the_subnet_of_services() {
    let cure = ["openstack subnet list", "[neutron_defaults] service_subnet"];
    let take = |cloud: &mut FakeCloud| services(cloud).subnet = MISSING.to_owned();
    without_services(take, ("service subnet", Error), &[MISSING, "does not exist"], &cure).await;
    let take = |cloud: &mut FakeCloud| services(cloud).subnet.clear();
    without_services(take, ("service subnet", Error), &["[neutron_defaults] service_subnet is not set"], &cure).await;
    let take = |cloud: &mut FakeCloud| {
        let inside = cloud.cloud.seed_network("k8s", "inside", &["10.0.96.0/24"]);
        services(cloud).subnet = inside.subnets[0].clone();
    };
    let what = ["overlaps", "a subnet of pods"];
    let found = without_services(take, ("service subnet", Error), &what, &["--service-cluster-ip-range"]).await;
    expect(&found, ("router", Error), &["10.0.96.1", "no router"], &["openstack router add subnet ROUTER"]);
}

#[tokio::test]
async fn where_floating_ips_come_from() {
    let take = |cloud: &mut FakeCloud| cloud.wanted.external_network.clear();
    let found = without_services(take, ("floating ips", Severity::Skipped), &["external_svc_net"], &[]).await;
    assert!(troubles(&found).is_empty(), "{found:#?}");
    let cure = ["openstack subnet list --network", "[neutron_defaults] external_svc_subnet"];
    let take = |cloud: &mut FakeCloud| services(cloud).external_subnet = MISSING.to_owned();
    without_services(take, ("floating ips", Error), &[MISSING, "does not exist"], &cure).await;
    let take = |cloud: &mut FakeCloud| services(cloud).external_subnet = cloud.network.subnets[0].clone();
    without_services(take, ("floating ips", Error), &["is not in network"], &cure).await;
}

#[tokio::test]
async fn the_quotas_of_load_balancers_and_what_is_on_them() {
    for (resource, what, option) in [
        ("load_balancer", "load balancers", "--loadbalancer"),
        ("listener", "listeners", "--listener"),
        ("pool", "pools", "--pool"),
        ("member", "members", "--member"),
    ] {
        let limit =
            |limit: i64| move |cloud: &mut FakeCloud| cloud.cloud.set_load_balancing_quota("k8s", resource, limit);
        let cure = format!("openstack loadbalancer quota set {option}");
        let all = format!("all 0 {what} are used");
        without_services(limit(0), ("lb quota", Error), &[&all], &[&cure]).await;
        let few = format!("5 of 5 {what} are free");
        without_services(limit(5), ("lb quota", Warning), &[&few], &[&cure]).await;
        let enough = format!("500 of 500 {what}");
        without_services(limit(500), ("lb quota", Severity::Good), &[&enough], &[]).await;
    }
}

#[tokio::test]
async fn what_the_project_has_counts_towards_the_quota() {
    use kuryr_openstack::load_balancing::{
        LbAlgorithm, ListenerProtocol, NewListener, NewLoadBalancer, NewMember, NewPool, PoolProtocol,
    };

    let cloud = FakeCloud::balanced().await;
    let subnet = cloud.wanted.services.as_ref().unwrap().subnet.clone();
    let member = |protocol_port| NewMember {
        address: "10.0.0.9".parse().unwrap(),
        protocol_port,
        subnet_id: Some(cloud.network.subnets[0].clone()),
        name: String::new(),
        weight: None,
        tags: Vec::new(),
    };
    let pool = NewPool {
        name: "p".to_owned(),
        protocol: PoolProtocol::Tcp,
        lb_algorithm: LbAlgorithm::RoundRobin,
        members: vec![member(80), member(81)],
        ..NewPool::default()
    };
    let listener = NewListener {
        protocol: ListenerProtocol::Tcp,
        protocol_port: 80,
        default_pool: Some(pool),
        ..NewListener::default()
    };
    let balancer =
        NewLoadBalancer { vip_subnet_id: Some(subnet), listeners: vec![listener], ..NewLoadBalancer::default() };
    cloud.client("k8s").load_balancing().create_load_balancer(&balancer).await.unwrap();
    for resource in ["load_balancer", "listener", "pool", "member"] {
        cloud.cloud.set_load_balancing_quota("k8s", resource, 100);
    }
    let found = asked(&cloud, "k8s-admin", "secret", false).await;
    let free = ["99 of 100 load balancers", "99 of 100 listeners", "99 of 100 pools", "98 of 100 members"];
    expect(&found, ("lb quota", Severity::Good), &free, &[]);
}
