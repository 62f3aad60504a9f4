//! Load balancers as a whole: addresses, states, and what is refused.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::load_balancing::*;
use kuryr_openstack::network::*;

use crate::bench::{Bench, User, address, on_a_bench, refused};

/// A load balancer of the provider that both clouds have, on the case's subnet.
pub(crate) fn new_load_balancer(bench: &Bench) -> NewLoadBalancer {
    NewLoadBalancer {
        name: bench.name.clone(),
        vip_subnet_id: Some(bench.subnet.clone()),
        provider: Some("ovn".to_owned()),
        tags: vec![bench.name.clone()],
        ..NewLoadBalancer::default()
    }
}

/// One that takes changes.
pub(crate) async fn load_balancer(bench: &Bench) -> LoadBalancer {
    let made = bench.octavia().create_load_balancer(&new_load_balancer(bench)).await.expect("a load balancer");
    bench.settled(&made.id).await
}

#[tokio::test]
async fn octavia_tells_its_version_and_what_it_offers() {
    on_a_bench(async |bench| {
        let octavia = bench.octavia();
        let version = octavia.version().await.expect("a version");
        assert!(version.has_tags() && version.has_additive_batches() && version.has_sctp(), "{version}");
        let providers = octavia.list_providers().await.expect("providers");
        assert!(providers.iter().any(|provider| provider.name == "ovn"), "{providers:?}");
        octavia.list_flavors().await.expect("flavors");
        octavia.list_availability_zones().await.expect("availability zones");
        let project = bench.cloud.authenticate().await.expect("a token").project_id.expect("a project");
        octavia.quota(&project).await.expect("a quota");
    })
    .await;
}

#[tokio::test]
async fn a_load_balancer_has_an_address_in_neutron_that_goes_with_it() {
    on_a_bench(async |bench| {
        let wanted = NewLoadBalancer { vip_address: Some(address(9)), ..new_load_balancer(bench) };
        let made = bench.octavia().create_load_balancer(&wanted).await.expect("a load balancer");
        assert_eq!(made.provisioning_status, ProvisioningStatus::PendingCreate);
        assert_eq!((made.vip_address, made.provider.as_str()), (Some(address(9)), "ovn"));
        assert_eq!(made.tags, std::slice::from_ref(&bench.name));
        let made = bench.settled(&made.id).await;
        assert_eq!(made.operating_status, OperatingStatus::Online);
        let port = bench.neutron().port(made.vip_port_id.as_deref().expect("a port")).await.expect("a port");
        assert_eq!(port.fixed_ips[0].ip_address, address(9));
        let same = LoadBalancerQuery { tags: TagFilter::all([bench.name.clone()]), ..LoadBalancerQuery::default() };
        let found = bench.octavia().list_load_balancers(&same).await.expect("a list");
        assert_eq!(found.iter().map(|found| &found.id).collect::<Vec<_>>(), [&made.id]);
        let by_name = LoadBalancerQuery { name: Some(bench.name.clone()), ..LoadBalancerQuery::default() };
        assert_eq!(bench.octavia().list_load_balancers(&by_name).await.expect("a list").len(), 1);
        bench.octavia().delete_load_balancer(&made.id).await.expect("deleted");
        bench.gone(&made.id).await;
        bench.until("its port is gone", async || bench.neutron().port(&port.id).await.is_err()).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_an_address_is_said() {
    on_a_bench(async |bench| {
        let create = async |wanted: &NewLoadBalancer| bench.octavia().create_load_balancer(wanted).await;
        let nowhere = NewLoadBalancer { vip_subnet_id: None, ..new_load_balancer(bench) };
        refused(create(&nowhere).await, ErrorKind::BadRequest, "");
        let missing = "11111111-1111-4111-8111-111111111111".to_owned();
        let elsewhere = NewLoadBalancer { vip_subnet_id: Some(missing), ..new_load_balancer(bench) };
        let error = refused(create(&elsewhere).await, ErrorKind::BadRequest, "");
        assert!(error.message().contains("Subnet"), "{error}");
        let unknown = NewLoadBalancer { provider: Some("nobody".to_owned()), ..new_load_balancer(bench) };
        let error = refused(create(&unknown).await, ErrorKind::BadRequest, "");
        assert!(error.message().contains("nobody"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn nobody_sees_or_changes_another_projects_load_balancer() {
    on_a_bench(async |bench| {
        let made = load_balancer(bench).await;
        let stranger = bench.cloud_of(User::Stranger);
        let octavia = stranger.load_balancing();
        refused(octavia.load_balancer(&made.id).await, ErrorKind::Forbidden, "");
        refused(octavia.delete_load_balancer(&made.id).await, ErrorKind::Forbidden, "");
        let all = octavia.list_load_balancers(&LoadBalancerQuery::default()).await.expect("a list");
        assert!(all.iter().all(|found| found.id != made.id));
        refused(octavia.load_balancer("11111111-1111-4111-8111-111111111111").await, ErrorKind::NotFound, "");
    })
    .await;
}

#[tokio::test]
async fn a_load_balancer_takes_one_change_at_a_time() {
    on_a_bench(async |bench| {
        let made = bench.octavia().create_load_balancer(&new_load_balancer(bench)).await.expect("a load balancer");
        // A provider may be done before we are back.
        if let Err(error) = bench.octavia().delete_load_balancer(&made.id).await {
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn names_tags_and_states_change() {
    on_a_bench(async |bench| {
        let made = load_balancer(bench).await;
        let update = LoadBalancerUpdate {
            description: Some("for a test".to_owned()),
            tags: Some(vec![bench.name.clone(), "more".to_owned()]),
            ..LoadBalancerUpdate::default()
        };
        bench.octavia().update_load_balancer(&made.id, &update).await.expect("a change");
        let now = bench.settled(&made.id).await;
        let mut tags = now.tags.clone();
        tags.sort();
        assert_eq!((now.description.as_str(), tags), ("for a test", vec![bench.name.clone(), "more".to_owned()]));
        let tree = bench.octavia().status_tree(&made.id).await.expect("states");
        assert_eq!(tree.loadbalancer["provisioning_status"], "ACTIVE");
        refused(bench.octavia().fail_over(&made.id).await, ErrorKind::BadRequest, "");
    })
    .await;
}

#[tokio::test]
async fn a_second_address_is_told_and_whether_it_is_there_only_its_port_says() {
    on_a_bench(async |bench| {
        let second = NewSubnet {
            network_id: bench.network.clone(),
            name: bench.name.clone(),
            ip_version: 6,
            cidr: Some("fd00:77::/64".parse().expect("a prefix")),
            ..NewSubnet::default()
        };
        let second = bench.neutron().create_subnet(&second).await.expect("a subnet").id;
        let asked: std::net::IpAddr = "fd00:77::9".parse().expect("an address");
        let more = |subnet_id: &str, ip_address| AdditionalVip { subnet_id: subnet_id.to_owned(), ip_address };
        let wanted = NewLoadBalancer {
            vip_address: Some(address(9)),
            additional_vips: vec![more(&second, Some(asked))],
            ..new_load_balancer(bench)
        };
        let made = bench.octavia().create_load_balancer(&wanted).await.expect("a load balancer");
        let made = bench.settled(&made.id).await;
        let told: Vec<_> = made.additional_vips.iter().map(|vip| vip.ip_address).collect();
        assert_eq!((made.vip_address, told), (Some(address(9)), vec![Some(asked)]));
        let port = bench.neutron().port(made.vip_port_id.as_deref().expect("a port")).await.expect("the port");
        let addresses: Vec<_> = port.fixed_ips.iter().map(|fixed| fixed.ip_address).collect();
        // OVN of Zed takes no notice of it.
        let version = bench.octavia().version().await.expect("a version");
        assert_eq!((addresses.contains(&address(9)), addresses.contains(&asked)), (true, version.is_of_2023_2()));
        let twice = NewLoadBalancer { additional_vips: vec![more(&bench.subnet, None)], ..new_load_balancer(bench) };
        refused(bench.octavia().create_load_balancer(&twice).await, ErrorKind::BadRequest, "");
    })
    .await;
}
