//! Networks with addresses from outside.

use kuryr_controller::config::{External, Services};
use kuryr_fake::openstack::Cloud;
use kuryr_openstack::load_balancing::LbAlgorithm;
use serde_json::{Value, json};

use super::{World, services};

/// An external network.
pub fn external(cloud: &Cloud, name: &str, cidr: &str) -> String {
    let network = cloud.seed_network("admin", name, &[cidr]).network;
    cloud.update("networks", &network, json!({ "router:external": true }));
    network
}

/// The usual one, 172.24.4.0/24, and a router between it and a subnet; answers the network.
pub fn public(cloud: &Cloud, subnet: &str) -> String {
    let network = external(cloud, "public", "172.24.4.0/24");
    let gateway = json!({ "network_id": network });
    let router = cloud.create("routers", json!({ "name": "r", "external_gateway_info": gateway }));
    cloud.add_router_interface(router["id"].as_str().unwrap(), subnet);
    network
}

/// Has a world's controller balance Services with this provider, with addresses from outside; answers their network.
pub fn balance(world: &mut World, provider: &str) -> String {
    let subnet = world.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]).subnets.remove(0);
    let network = public(&world.cloud, &subnet);
    world.config.services = Some(Services {
        provider: Some(provider.to_owned()),
        algorithm: if provider == "ovn" { LbAlgorithm::SourceIpPort } else { LbAlgorithm::RoundRobin },
        external: Some(External { network: network.clone(), subnet: None }),
        ..services(subnet)
    });
    network
}

/// The network Services' addresses from outside are in.
pub fn network(world: &World) -> String {
    world.config.services.as_ref().unwrap().external.as_ref().unwrap().network.clone()
}

/// A floating IP that somebody made beforehand, on this network: id and address.
pub fn make_floating(world: &World, network: &str, more: &Value) -> (String, String) {
    let mut body = json!({ "floating_network_id": network, "project_id": world.cloud.project("k8s") });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    let made = world.cloud.create("floatingips", body);
    (made["id"].as_str().unwrap().to_owned(), made["floating_ip_address"].as_str().unwrap().to_owned())
}
