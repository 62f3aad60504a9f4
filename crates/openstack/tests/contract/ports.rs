//! Ports: create, show, update, delete.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{User, address, on_a_bench, refused, same};

#[tokio::test]
async fn a_port_is_what_it_was_asked_to_be() {
    on_a_bench(async |bench| {
        let group = bench.security_group().await;
        let project = bench.cloud.authenticate().await.unwrap().project_id.unwrap();
        let asked = NewPort {
            project_id: Some(project.clone()),
            fixed_ips: vec![bench.at(40)],
            security_groups: Some(vec![group.id.clone()]),
            device_id: "a-pod".to_owned(),
            device_owner: "compute:kuryr".to_owned(),
            host_id: Some(bench.host()),
            tags: vec!["cluster=one".to_owned(), "ours".to_owned()],
            description: "what it is for".to_owned(),
            admin_state_up: Some(true),
            mac_address: Some("fa:16:3e:00:77:40".to_owned()),
            allowed_address_pairs: vec![AddressPair { ip_address: "10.77.0.200".to_owned(), mac_address: None }],
            ..bench.new_port()
        };
        let created = bench.neutron().create_port(&asked).await.unwrap();
        let shown = bench.neutron().port(&created.id).await.unwrap();
        for port in [&created, &shown] {
            assert_eq!(port.name, bench.name);
            assert_eq!(port.network_id, bench.network);
            assert_eq!(port.project_id, project);
            assert_eq!(port.fixed_ips, [FixedIp { subnet_id: bench.subnet.clone(), ip_address: address(40) }]);
            assert_eq!(port.security_groups, std::slice::from_ref(&group.id));
            assert_eq!((port.device_id.as_str(), port.device_owner.as_str()), ("a-pod", "compute:kuryr"));
            same::<String>(port.tags.clone(), asked.tags.clone());
            assert_eq!(port.description, "what it is for");
            assert_eq!(port.admin_state_up, Some(true));
            assert_eq!(port.mac_address, "fa:16:3e:00:77:40");
            assert_eq!(port.allowed_address_pairs[0].ip_address, "10.77.0.200");
            assert_eq!(port.status, PortStatus::Down);
            assert_eq!(port.binding.host_id, bench.host());
            assert_eq!(port.binding.vif_type, "ovs");
            assert_eq!(port.binding.vnic_type, "normal");
            assert!(port.created_at.unwrap() <= port.updated_at.unwrap());
            assert_eq!(port.trunk_details, None);
        }
        assert!(shown.revision_number.is_some());
        // ML2/OVN does not name the bridge, ML2/OVS does.
        assert!(matches!(shown.binding.vif_details.bridge_name.as_deref(), None | Some("br-int")));
        assert!(shown.binding.vif_details.port_filter && !shown.binding.vif_details.ovs_hybrid_plug);
    })
    .await;
}

#[tokio::test]
async fn what_is_not_asked_for_is_neutrons_choice() {
    on_a_bench(async |bench| {
        let port = bench.port().await;
        assert_eq!(port.fixed_ips.len(), 1);
        assert_eq!(port.fixed_ips[0].subnet_id, bench.subnet);
        assert_eq!(port.security_groups.len(), 1, "the project's default group");
        assert_eq!((port.device_id.as_str(), port.device_owner.as_str()), ("", ""));
        assert_eq!((port.binding.host_id.as_str(), port.binding.vif_type.as_str()), ("", "unbound"));
        assert_eq!(port.mac_address.len(), 17);
        assert!(port.tags.is_empty());
        let no_groups = NewPort { security_groups: Some(Vec::new()), ..bench.new_port() };
        assert!(bench.neutron().create_port(&no_groups).await.unwrap().security_groups.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_port_has_an_address_of_each_version() {
    on_a_bench(async |bench| {
        let subnet = NewSubnet {
            network_id: bench.network.clone(),
            name: bench.name.clone(),
            ip_version: 6,
            cidr: Some("fd00:77::/64".parse().unwrap()),
            ..NewSubnet::default()
        };
        let subnet = bench.neutron().create_subnet(&subnet).await.unwrap();
        assert_eq!(subnet.gateway_ip, Some("fd00:77::".parse().unwrap()));
        let port = bench.port().await;
        same::<String>(port.fixed_ips.into_iter().map(|ip| ip.subnet_id), [subnet.id.clone(), bench.subnet.clone()]);
        let asked = NewPort {
            fixed_ips: vec![NewFixedIp { subnet_id: subnet.id, ip_address: Some("fd00:77::abc".parse().unwrap()) }],
            ..bench.new_port()
        };
        let port = bench.neutron().create_port(&asked).await.unwrap();
        assert_eq!(port.fixed_ips[0].ip_address.to_string(), "fd00:77::abc");
    })
    .await;
}

#[tokio::test]
async fn ports_created_together_keep_their_order() {
    on_a_bench(async |bench| {
        let asked: Vec<_> = (0..5)
            .map(|n| NewPort {
                device_id: format!("pod-{n}"),
                tags: vec![format!("tag-{n}"), "all".to_owned()],
                host_id: Some(bench.host()),
                ..bench.new_port()
            })
            .collect();
        let ports = bench.neutron().create_ports(&asked).await.unwrap();
        for (asked, port) in asked.iter().zip(&ports) {
            assert_eq!(port.device_id, asked.device_id);
            same::<String>(port.tags.clone(), asked.tags.clone());
            let shown = bench.neutron().port(&port.id).await.unwrap();
            assert_eq!((shown.binding.host_id, shown.binding.vif_type), (bench.host(), "ovs".to_owned()));
        }
        assert_eq!(ports.len(), asked.len());
        assert!(bench.neutron().create_ports(&[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn ports_are_created_together_or_not_at_all() {
    on_a_bench(async |bench| {
        let taken = NewPort { fixed_ips: vec![bench.at(9)], ..bench.new_port() };
        let first = bench.neutron().create_port(&taken).await.unwrap();
        let result = bench.neutron().create_ports(&[bench.new_port(), taken, bench.new_port()]).await;
        refused(result, ErrorKind::Conflict, "IpAddressAlreadyAllocated");
        let unknown_network = NewPort { network_id: first.id.clone(), ..bench.new_port() };
        let result = bench.neutron().create_ports(&[bench.new_port(), unknown_network]).await;
        refused(result, ErrorKind::NotFound, "NetworkNotFound");
        let query = PortQuery { name: Some(bench.name.clone()), ..PortQuery::default() };
        same::<String>(bench.neutron().list_ports(&query).await.unwrap().into_iter().map(|port| port.id), [first.id]);
    })
    .await;
}

#[tokio::test]
async fn an_address_or_mac_is_given_once() {
    on_a_bench(async |bench| {
        let asked = NewPort {
            fixed_ips: vec![bench.at(9)],
            mac_address: Some("fa:16:3e:00:77:09".to_owned()),
            ..bench.new_port()
        };
        bench.neutron().create_port(&asked).await.unwrap();
        let same_address = NewPort { mac_address: None, ..asked.clone() };
        let result = bench.neutron().create_port(&same_address).await;
        refused(result, ErrorKind::Conflict, "IpAddressAlreadyAllocated");
        let same_mac = NewPort { fixed_ips: Vec::new(), ..asked };
        refused(bench.neutron().create_port(&same_mac).await, ErrorKind::Conflict, "MacAddressInUse");
    })
    .await;
}

#[tokio::test]
async fn a_port_that_makes_no_sense_is_refused() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let no_subnet = NewFixedIp { subnet_id: bench.network.clone(), ip_address: None };
        let result = neutron.create_port(&NewPort { fixed_ips: vec![no_subnet], ..bench.new_port() }).await;
        refused(result, ErrorKind::NotFound, "SubnetNotFound");
        let outside = NewFixedIp { ip_address: Some([10, 78, 0, 1].into()), ..bench.at(1) };
        let result = neutron.create_port(&NewPort { fixed_ips: vec![outside], ..bench.new_port() }).await;
        refused(result, ErrorKind::BadRequest, "InvalidIpForSubnet");
        let no_group = NewPort { security_groups: Some(vec![bench.network.clone()]), ..bench.new_port() };
        refused(neutron.create_port(&no_group).await, ErrorKind::NotFound, "SecurityGroupNotFound");
        let no_uuid = NewPort { security_groups: Some(vec!["default".to_owned()]), ..bench.new_port() };
        refused(neutron.create_port(&no_uuid).await, ErrorKind::BadRequest, "HTTPBadRequest");
        let no_mac = NewPort { mac_address: Some("none".to_owned()), ..bench.new_port() };
        let error = refused(neutron.create_port(&no_mac).await, ErrorKind::BadRequest, "HTTPBadRequest");
        assert!(error.message().contains("mac_address"), "{error}");
        let no_network = NewPort { network_id: String::new(), ..bench.new_port() };
        refused(neutron.create_port(&no_network).await, ErrorKind::BadRequest, "HTTPBadRequest");
        let long_name = NewPort { name: "n".repeat(300), ..bench.new_port() };
        refused(neutron.create_port(&long_name).await, ErrorKind::BadRequest, "HTTPBadRequest");
    })
    .await;
}

#[tokio::test]
async fn an_update_changes_what_it_says_and_nothing_else() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let group = bench.security_group().await;
        let before = neutron.create_port(&NewPort { tags: vec!["kept".to_owned()], ..bench.new_port() }).await.unwrap();
        let update = PortUpdate {
            security_groups: Some(vec![group.id.clone()]),
            device_id: Some("pod".to_owned()),
            device_owner: Some("compute:kuryr".to_owned()),
            host_id: Some(bench.host()),
            description: Some("used".to_owned()),
            ..PortUpdate::default()
        };
        neutron.update_port(&before.id, &update).await.unwrap();
        let after = neutron.port(&before.id).await.unwrap();
        assert_eq!(after.security_groups, [group.id]);
        assert_eq!((after.device_id.as_str(), after.description.as_str()), ("pod", "used"));
        assert_eq!((after.binding.host_id, after.binding.vif_type), (bench.host(), "ovs".to_owned()));
        assert_eq!((&after.name, &after.fixed_ips, &after.tags), (&before.name, &before.fixed_ips, &before.tags));
        assert!(after.revision_number > before.revision_number);

        let undo = PortUpdate {
            security_groups: Some(Vec::new()),
            device_id: Some(String::new()),
            host_id: Some(String::new()),
            name: Some("renamed".to_owned()),
            fixed_ips: Some(vec![bench.at(99)]),
            admin_state_up: Some(false),
            ..PortUpdate::default()
        };
        let after = neutron.update_port(&before.id, &undo).await.unwrap();
        assert!(after.security_groups.is_empty() && after.device_id.is_empty());
        assert_eq!((after.binding.host_id.as_str(), after.binding.vif_type.as_str()), ("", "unbound"));
        assert_eq!((after.name.as_str(), after.fixed_ips[0].ip_address), ("renamed", address(99)));
        assert_eq!(after.admin_state_up, Some(false));
    })
    .await;
}

#[tokio::test]
async fn an_update_of_a_changed_port_is_refused() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let port = bench.port().await;
        let rename = |name: &str| PortUpdate {
            name: Some(name.to_owned()),
            if_revision: port.revision_number,
            ..PortUpdate::default()
        };
        neutron.update_port(&port.id, &rename("first")).await.unwrap();
        let result = neutron.update_port(&port.id, &rename("second")).await;
        refused(result, ErrorKind::Outdated, "RevisionNumberConstraintFailed");
        assert_eq!(neutron.port(&port.id).await.unwrap().name, "first");
    })
    .await;
}

#[tokio::test]
async fn a_deleted_port_is_gone() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let port = bench.port().await;
        neutron.delete_port(&port.id).await.unwrap();
        refused(neutron.port(&port.id).await, ErrorKind::NotFound, "PortNotFound");
        refused(neutron.delete_port(&port.id).await, ErrorKind::NotFound, "PortNotFound");
        let rename = PortUpdate { name: Some("gone".to_owned()), ..PortUpdate::default() };
        refused(neutron.update_port(&port.id, &rename).await, ErrorKind::NotFound, "PortNotFound");
    })
    .await;
}

#[tokio::test]
async fn an_ordinary_user_can_neither_bind_nor_see_bindings() {
    on_a_bench(async |bench| {
        let tenant = bench.cloud_of(User::Tenant);
        let bound = NewPort { host_id: Some(bench.host()), ..bench.new_port() };
        refused(tenant.network().create_port(&bound).await, ErrorKind::Forbidden, "PolicyNotAuthorized");
        let port = bench.neutron().create_port(&bound).await.unwrap();
        let seen = tenant.network().port(&port.id).await.unwrap();
        assert_eq!(seen.binding, Binding { vnic_type: "normal".to_owned(), ..Binding::default() });
        let foreign = NewPort { project_id: Some("0".repeat(32)), ..bench.new_port() };
        refused(tenant.network().create_port(&foreign).await, ErrorKind::BadRequest, "HTTPBadRequest");
    })
    .await;
}

#[tokio::test]
async fn a_stranger_sees_nothing_of_ours() {
    on_a_bench(async |bench| {
        let port = bench.port().await;
        let stranger = bench.cloud_of(User::Stranger);
        refused(stranger.network().port(&port.id).await, ErrorKind::NotFound, "PortNotFound");
        refused(stranger.network().delete_port(&port.id).await, ErrorKind::NotFound, "PortNotFound");
        let query = PortQuery { id: Some(vec![port.id.clone()]), ..PortQuery::default() };
        assert_eq!(stranger.network().list_ports(&query).await.unwrap(), []);
        refused(stranger.network().create_port(&bench.new_port()).await, ErrorKind::NotFound, "NetworkNotFound");
    })
    .await;
}
