//! When there is no more: quotas and addresses.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{Bench, User, on_a_bench, refused};

/// The case's network, with a subnet of three addresses instead of the large one.
async fn small_subnet(bench: &Bench) -> Subnet {
    bench.neutron().delete_subnet(&bench.subnet).await.unwrap();
    let subnet = NewSubnet {
        network_id: bench.network.clone(),
        name: bench.name.clone(),
        ip_version: 4,
        cidr: Some("10.80.0.0/24".parse().unwrap()),
        enable_dhcp: Some(false),
        allocation_pools: vec![AllocationPool {
            start: "10.80.0.10".parse().unwrap(),
            end: "10.80.0.12".parse().unwrap(),
        }],
        ..NewSubnet::default()
    };
    bench.neutron().create_subnet(&subnet).await.unwrap()
}

#[tokio::test]
async fn a_full_subnet_gives_no_more_addresses() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let subnet = small_subnet(bench).await;
        let fixed_ips = vec![NewFixedIp { subnet_id: subnet.id.clone(), ip_address: None }];
        let by_subnet = NewPort { fixed_ips, ..bench.new_port() };
        let two = vec![by_subnet.clone(); 2];
        let ports = neutron.create_ports(&two).await.unwrap();
        neutron.create_port(&by_subnet).await.unwrap();
        let result = neutron.create_port(&by_subnet).await;
        refused(result, ErrorKind::AddressesExhausted, "IpAddressGenerationFailure");
        let result = neutron.create_port(&bench.new_port()).await;
        let error = refused(result, ErrorKind::AddressesExhausted, "IpAddressGenerationFailure");
        assert!(error.cure().is_some());
        // Outside the pool there is room for whoever asks for an address by name.
        let outside = NewFixedIp { subnet_id: subnet.id.clone(), ip_address: Some([10, 80, 0, 99].into()) };
        neutron.create_port(&NewPort { fixed_ips: vec![outside], ..bench.new_port() }).await.unwrap();
        neutron.delete_port(&ports[0].id).await.unwrap();
        let port = neutron.create_port(&by_subnet).await.unwrap();
        assert_eq!(port.fixed_ips, ports[0].fixed_ips);
    })
    .await;
}

#[tokio::test]
async fn an_administrator_sees_how_many_addresses_are_left() {
    on_a_bench(async |bench| {
        let subnet = small_subnet(bench).await;
        bench.neutron().create_port(&bench.new_port()).await.unwrap();
        let [addresses] = bench.neutron().addresses(&bench.network).await.unwrap().try_into().unwrap();
        assert_eq!(addresses, SubnetAddresses { subnet_id: subnet.id, total: 3.0, used: 1.0 });
        assert_eq!(addresses.free(), 2.0);
        let error = bench.cloud_of(User::Tenant).network().addresses(&bench.network).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    })
    .await;
}

#[tokio::test]
async fn too_many_ports_at_once_are_refused_as_a_whole() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        small_subnet(bench).await;
        let result = neutron.create_ports(&vec![bench.new_port(); 4]).await;
        refused(result, ErrorKind::AddressesExhausted, "IpAddressGenerationFailure");
        let query = PortQuery { network_id: Some(bench.network.clone()), ..PortQuery::default() };
        assert_eq!(neutron.list_ports(&query).await.unwrap(), []);
        // Whether the addresses are free again is not ours to count on: see Network::create_ports.
    })
    .await;
}

/// One case for all of it: quotas are the project's, so cases at the same time would be in each other's way.
#[tokio::test]
async fn a_quota_ends_what_a_project_may_have() {
    on_a_bench(async |bench| {
        let stranger = bench.cloud_of(User::Stranger);
        let project = stranger.authenticate().await.unwrap().project_id.unwrap();
        let outcome = quota_case(bench, stranger.network(), &project).await;
        bench.neutron().reset_quota(&project).await.unwrap();
        outcome.unwrap();
    })
    .await;
}

async fn quota_case(bench: &Bench, stranger: &Network, project: &str) -> Result<(), kuryr_openstack::Error> {
    // A project's default group is made with its first one, and counts.
    let asked = NewSecurityGroup { name: bench.name.clone(), ..NewSecurityGroup::default() };
    let group = stranger.create_security_group(&asked).await?;
    stranger.delete_security_group(&group.id).await?;
    let before = bench.neutron().quota(project).await?;
    let limits = QuotaLimits {
        security_group: Some(before.security_group.used as i64 + 1),
        network: Some(-1),
        ..QuotaLimits::default()
    };
    bench.neutron().set_quota(project, &limits).await?;
    let quota = stranger.quota(project).await?;
    assert_eq!(quota.security_group.limit, Some(before.security_group.used + 1));
    assert_eq!((quota.security_group.free(), quota.network.limit), (Some(1), None));

    let group = stranger.create_security_group(&asked).await?;
    let error = refused(stranger.create_security_group(&asked).await, ErrorKind::OverQuota, "OverQuota");
    assert!(error.message().contains("security_group"), "{error}");
    let quota = bench.neutron().quota(project).await?;
    assert_eq!((quota.security_group.used, quota.security_group.free()), (before.security_group.used + 1, Some(0)));

    stranger.delete_security_group(&group.id).await?;
    let group = stranger.create_security_group(&asked).await?;
    stranger.delete_security_group(&group.id).await?;
    refused(stranger.set_quota(project, &limits).await, ErrorKind::Forbidden, "PolicyNotAuthorized");
    Ok(())
}
