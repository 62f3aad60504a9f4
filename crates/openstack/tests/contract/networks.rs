//! Networks, subnets and subnet pools.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{Bench, User, on_a_bench, refused, same};

fn subnet(bench: &Bench, cidr: &str) -> NewSubnet {
    NewSubnet {
        network_id: bench.network.clone(),
        name: bench.name.clone(),
        ip_version: if cidr.contains(':') { 6 } else { 4 },
        cidr: Some(cidr.parse().unwrap()),
        ..NewSubnet::default()
    }
}

#[tokio::test]
async fn a_network_is_what_it_was_asked_to_be() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let asked = NewNetwork {
            name: bench.name.clone(),
            description: "what it is for".to_owned(),
            mtu: Some(1300),
            port_security_enabled: Some(false),
            ..NewNetwork::default()
        };
        let created = neutron.create_network(&asked).await.unwrap();
        let network = neutron.network(&created.id).await.unwrap();
        assert_eq!((network.name, network.description), (asked.name, asked.description));
        assert_eq!((network.mtu, network.port_security_enabled), (Some(1300), Some(false)));
        assert_eq!((network.shared, network.external, network.admin_state_up), (false, false, Some(true)));
        assert_eq!(network.status, "ACTIVE");
        assert!(network.subnets.is_empty() && network.tags.is_empty());
        assert!(network.created_at.is_some() && network.revision_number.is_some());
        assert!(network.network_type.is_some(), "administrators see the provider's side");
        let seen = bench.cloud_of(User::Tenant).network().network(&network.id).await.unwrap();
        assert_eq!(seen.network_type, None);
        assert_eq!(neutron.network(&bench.network).await.unwrap().subnets, std::slice::from_ref(&bench.subnet));
        neutron.delete_network(&network.id).await.unwrap();
        refused(neutron.network(&network.id).await, ErrorKind::NotFound, "NetworkNotFound");
    })
    .await;
}

#[tokio::test]
async fn networks_are_listed_by_what_they_are() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let name = format!("{}-other", bench.name);
        let asked = NewNetwork { name: name.clone(), description: name.clone(), ..NewNetwork::default() };
        let other = neutron.create_network(&asked).await.unwrap();
        neutron.replace_tags(Taggable::Network, &other.id, std::slice::from_ref(&name)).await.unwrap();
        let list = async |query| neutron.list_networks(&query).await.unwrap().into_iter().map(|network| network.id);
        let (one, two) = (bench.network.clone(), other.id.clone());
        let names = |names: &[&String]| Some(names.iter().map(|name| (*name).clone()).collect());
        let by_names = NetworkQuery { name: names(&[&bench.name, &name]), ..Default::default() };
        same::<String>(list(by_names).await, [one.clone(), two.clone()]);
        same::<String>(list(NetworkQuery { name: names(&[&name]), ..Default::default() }).await, [two.clone()]);
        same::<String>(list(NetworkQuery { id: names(&[&one]), ..Default::default() }).await, [one]);
        let by_description = NetworkQuery { description: Some(name.clone()), ..Default::default() };
        same::<String>(list(by_description).await, [two.clone()]);
        same::<String>(list(NetworkQuery { tags: TagFilter::all([&name]), ..Default::default() }).await, [two.clone()]);
        let external = NetworkQuery { external: Some(true), ..Default::default() };
        assert!(neutron.list_networks(&external).await.unwrap().iter().all(|network| network.external));
        neutron.delete_network(&two).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_is_in_use_stays() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let port = bench.port().await;
        refused(neutron.delete_network(&bench.network).await, ErrorKind::Conflict, "NetworkInUse");
        refused(neutron.delete_subnet(&bench.subnet).await, ErrorKind::Conflict, "SubnetInUse");
        neutron.delete_port(&port.id).await.unwrap();
        neutron.delete_subnet(&bench.subnet).await.unwrap();
        refused(neutron.subnet(&bench.subnet).await, ErrorKind::NotFound, "SubnetNotFound");
        neutron.delete_network(&bench.network).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_subnet_is_what_it_was_asked_to_be() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let asked = NewSubnet {
            description: "what it is for".to_owned(),
            gateway_ip: Some(Some("10.78.0.254".parse().unwrap())),
            allocation_pools: vec![AllocationPool {
                start: "10.78.0.10".parse().unwrap(),
                end: "10.78.0.20".parse().unwrap(),
            }],
            enable_dhcp: Some(false),
            dns_nameservers: vec!["192.0.2.53".parse().unwrap()],
            host_routes: vec![HostRoute {
                destination: "198.51.100.0/24".parse().unwrap(),
                nexthop: "10.78.0.253".parse().unwrap(),
            }],
            ..subnet(bench, "10.78.0.0/24")
        };
        let created = neutron.create_subnet(&asked).await.unwrap();
        let shown = neutron.subnet(&created.id).await.unwrap();
        assert_eq!((shown.cidr, shown.ip_version), (asked.cidr, Some(4)));
        assert_eq!(Some(shown.gateway_ip), asked.gateway_ip);
        assert_eq!((shown.allocation_pools, shown.enable_dhcp), (asked.allocation_pools, Some(false)));
        assert_eq!((shown.dns_nameservers, shown.host_routes), (asked.dns_nameservers, asked.host_routes));
        assert_eq!((shown.network_id, shown.name), (bench.network.clone(), bench.name.clone()));
        assert_eq!((shown.description, shown.subnetpool_id), (asked.description, None));
    })
    .await;
}

#[tokio::test]
async fn a_subnet_has_a_gateway_unless_told_otherwise() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let first = neutron.subnet(&bench.subnet).await.unwrap();
        assert_eq!(first.gateway_ip, Some("10.77.0.1".parse().unwrap()));
        assert_eq!(first.allocation_pools[0].start.to_string(), "10.77.0.2");
        assert_eq!(first.allocation_pools[0].end.to_string(), "10.77.0.254");
        assert_eq!(first.enable_dhcp, Some(true));
        let none = NewSubnet { gateway_ip: Some(None), ..subnet(bench, "10.78.0.0/24") };
        let none = neutron.create_subnet(&none).await.unwrap();
        assert_eq!(none.gateway_ip, None);
        assert_eq!(none.allocation_pools[0].start.to_string(), "10.78.0.1");
    })
    .await;
}

#[tokio::test]
async fn a_subnet_that_makes_no_sense_is_refused() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let overlapping = subnet(bench, "10.77.0.128/25");
        refused(neutron.create_subnet(&overlapping).await, ErrorKind::BadRequest, "InvalidInput");
        let outside =
            NewSubnet { gateway_ip: Some(Some("10.9.9.9".parse().unwrap())), ..subnet(bench, "10.78.0.0/24") };
        let outside = neutron.create_subnet(&outside).await;
        assert!(outside.is_ok(), "Neutron accepts a gateway outside the subnet: {outside:?}");
        let wrong_version = NewSubnet { ip_version: 6, ..subnet(bench, "10.79.0.0/24") };
        refused(neutron.create_subnet(&wrong_version).await, ErrorKind::BadRequest, "InvalidInput");
        let no_range = NewSubnet { cidr: None, ..subnet(bench, "10.79.0.0/24") };
        refused(neutron.create_subnet(&no_range).await, ErrorKind::BadRequest, "BadRequest");
        let no_network = NewSubnet { network_id: bench.subnet.clone(), ..subnet(bench, "10.79.0.0/24") };
        refused(neutron.create_subnet(&no_network).await, ErrorKind::NotFound, "NetworkNotFound");
    })
    .await;
}

#[tokio::test]
async fn subnets_are_listed_by_what_they_are() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let other = NewSubnet { name: "other".to_owned(), ..subnet(bench, "10.78.0.0/24") };
        let other = neutron.create_subnet(&other).await.unwrap();
        neutron.replace_tags(Taggable::Subnet, &other.id, std::slice::from_ref(&bench.name)).await.unwrap();
        let here = || SubnetQuery { network_id: Some(bench.network.clone()), ..SubnetQuery::default() };
        let list = async |query| neutron.list_subnets(&query).await.unwrap().into_iter().map(|subnet| subnet.id);
        same::<String>(list(here()).await, [bench.subnet.clone(), other.id.clone()]);
        same::<String>(list(SubnetQuery { name: Some("other".to_owned()), ..here() }).await, [other.id.clone()]);
        same::<String>(list(SubnetQuery { tags: TagFilter::all([&bench.name]), ..here() }).await, [other.id.clone()]);
        let by_id = SubnetQuery { id: Some(vec![bench.subnet.clone()]), ..SubnetQuery::default() };
        same::<String>(list(by_id).await, [bench.subnet.clone()]);
    })
    .await;
}

#[tokio::test]
async fn a_pool_gives_ranges_until_it_is_empty() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let asked = NewSubnetPool {
            name: bench.name.clone(),
            prefixes: vec!["10.90.0.0/24".parse().unwrap()],
            default_prefixlen: Some(25),
            description: "what it is for".to_owned(),
            ..NewSubnetPool::default()
        };
        let created = neutron.create_subnet_pool(&asked).await.unwrap();
        let pool = neutron.subnet_pool(&created.id).await.unwrap();
        assert_eq!((pool.prefixes, pool.default_prefixlen, pool.ip_version), (asked.prefixes, Some(25), Some(4)));
        assert_eq!((pool.shared, pool.is_default, pool.address_scope_id), (false, false, None));
        let query = SubnetPoolQuery { name: Some(bench.name.clone()), ..SubnetPoolQuery::default() };
        assert_eq!(neutron.list_subnet_pools(&query).await.unwrap()[0].id, pool.id);

        // The network's first subnet is not of the pool, and a network takes from one pool only.
        neutron.delete_subnet(&bench.subnet).await.unwrap();
        let from_pool = NewSubnet { cidr: None, subnetpool_id: Some(pool.id.clone()), ..subnet(bench, "0.0.0.0/0") };
        let first = neutron.create_subnet(&from_pool).await.unwrap();
        let second = neutron.create_subnet(&from_pool).await.unwrap();
        same::<String>(
            [first.cidr.unwrap().to_string(), second.cidr.unwrap().to_string()],
            ["10.90.0.0/25", "10.90.0.128/25"],
        );
        assert_eq!(first.subnetpool_id.as_ref(), Some(&pool.id));
        let query = SubnetQuery { subnetpool_id: Some(pool.id.clone()), ..SubnetQuery::default() };
        assert_eq!(neutron.list_subnets(&query).await.unwrap().len(), 2);
        let third = neutron.create_subnet(&from_pool).await;
        refused(third, ErrorKind::AddressesExhausted, "SubnetAllocationError");
        refused(neutron.delete_subnet_pool(&pool.id).await, ErrorKind::Conflict, "SubnetPoolDeleteError");
        for subnet in [first, second] {
            neutron.delete_subnet(&subnet.id).await.unwrap();
        }
        neutron.delete_subnet_pool(&pool.id).await.unwrap();
        refused(neutron.subnet_pool(&pool.id).await, ErrorKind::NotFound, "SubnetPoolNotFound");
    })
    .await;
}
