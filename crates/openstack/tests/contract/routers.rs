//! Routers and floating IPs.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{Bench, on_a_bench, refused};

async fn router(bench: &Bench, gateway: Option<ExternalGateway>) -> Router {
    let asked = NewRouter {
        name: bench.name.clone(),
        description: "what it is for".to_owned(),
        external_gateway_info: gateway,
        ..NewRouter::default()
    };
    bench.neutron().create_router(&asked).await.unwrap()
}

async fn way_out(bench: &Bench) -> ExternalGateway {
    let query = NetworkQuery { external: Some(true), ..NetworkQuery::default() };
    let external = bench.neutron().list_networks(&query).await.unwrap();
    let network_id = external.first().expect("the cloud must have an external network").id.clone();
    ExternalGateway { network_id, ..ExternalGateway::default() }
}

#[tokio::test]
async fn a_router_joins_a_subnet_once() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let router = router(bench, None).await;
        let interface = neutron.add_router_interface(&router.id, &bench.subnet).await.unwrap();
        assert_eq!(interface.subnet_id, bench.subnet);
        let port = neutron.port(&interface.port_id).await.unwrap();
        assert_eq!((port.device_id.as_str(), port.device_owner.as_str()), (&*router.id, "network:router_interface"));
        assert_eq!(port.fixed_ips[0].ip_address, crate::bench::address(1));
        let again = neutron.add_router_interface(&router.id, &bench.subnet).await;
        refused(again, ErrorKind::BadRequest, "BadRequest");
        refused(neutron.delete_router(&router.id).await, ErrorKind::Conflict, "RouterInUse");
        refused(neutron.delete_port(&interface.port_id).await, ErrorKind::Conflict, "ServicePortInUse");
        let removed = neutron.remove_router_interface(&router.id, &bench.subnet).await.unwrap();
        assert_eq!(removed, interface);
        let again = neutron.remove_router_interface(&router.id, &bench.subnet).await;
        refused(again, ErrorKind::NotFound, "RouterInterfaceNotFoundForSubnet");
        neutron.delete_router(&router.id).await.unwrap();
        refused(neutron.router(&router.id).await, ErrorKind::NotFound, "RouterNotFound");
        let gone = neutron.add_router_interface(&router.id, &bench.subnet).await;
        refused(gone, ErrorKind::NotFound, "RouterNotFound");
    })
    .await;
}

#[tokio::test]
async fn a_router_is_found_and_leads_out() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let way_out = way_out(bench).await;
        let created = router(bench, Some(way_out.clone())).await;
        let router = neutron.router(&created.id).await.unwrap();
        assert_eq!((router.name.as_str(), router.description.as_str()), (&*bench.name, "what it is for"));
        let gateway = router.external_gateway_info.unwrap();
        assert_eq!((gateway.network_id, gateway.external_fixed_ips.len()), (way_out.network_id, 1));
        let query = RouterQuery { name: Some(bench.name.clone()), ..RouterQuery::default() };
        assert_eq!(neutron.list_routers(&query).await.unwrap()[0].id, router.id);
        let closed = neutron.set_router_gateway(&router.id, None).await.unwrap();
        assert_eq!(closed.external_gateway_info, None);
    })
    .await;
}

#[tokio::test]
async fn a_floating_ip_leads_to_a_port() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let way_out = way_out(bench).await;
        let router = router(bench, Some(way_out.clone())).await;
        let port = bench.port().await;
        let asked = NewFloatingIp {
            floating_network_id: way_out.network_id.clone(),
            description: "what it is for".to_owned(),
            ..NewFloatingIp::default()
        };
        let created = neutron.create_floating_ip(&asked).await.unwrap();
        neutron.replace_tags(Taggable::FloatingIp, &created.id, std::slice::from_ref(&bench.name)).await.unwrap();
        let unused = neutron.floating_ip(&created.id).await.unwrap();
        assert_eq!((unused.port_id, unused.description), (None, asked.description));
        assert_eq!(unused.floating_network_id, way_out.network_id);

        let too_early = neutron.set_floating_ip_port(&created.id, Some(&port.id)).await;
        refused(too_early, ErrorKind::NotFound, "ExternalGatewayForFloatingIPNotFound");
        neutron.add_router_interface(&router.id, &bench.subnet).await.unwrap();
        let used = neutron.set_floating_ip_port(&created.id, Some(&port.id)).await.unwrap();
        assert_eq!((used.port_id.as_ref(), used.router_id), (Some(&port.id), Some(router.id)));
        assert_eq!(used.fixed_ip_address, Some(port.fixed_ips[0].ip_address));

        let by_port = FloatingIpQuery { port_id: Some(vec![port.id.clone()]), ..FloatingIpQuery::default() };
        assert_eq!(neutron.list_floating_ips(&by_port).await.unwrap()[0].id, created.id);
        let by_address = FloatingIpQuery { address: created.floating_ip_address, ..FloatingIpQuery::default() };
        assert_eq!(neutron.list_floating_ips(&by_address).await.unwrap()[0].id, created.id);

        let kept = neutron.release_floating_ip(&created.id, "kept").await.unwrap();
        assert_eq!((kept.port_id.as_deref(), kept.description.as_str()), (None, "kept"));
        neutron.set_floating_ip_port(&created.id, Some(&port.id)).await.unwrap();
        let free = neutron.set_floating_ip_port(&created.id, None).await.unwrap();
        assert_eq!((free.port_id, free.fixed_ip_address), (None, None));
        neutron.delete_floating_ip(&created.id).await.unwrap();
        refused(neutron.floating_ip(&created.id).await, ErrorKind::NotFound, "FloatingIPNotFound");
    })
    .await;
}
