//! A cloud in memory that has everything Kuryr needs, for tests that take one thing away.

use kuryr_fake::openstack::{ADMIN_PASSWORD, Cloud, Options, Seeded};
use kuryr_openstack::{Auth, CloudSettings, Domain, Named, Scope, Secret, TransportError};
use serde_json::json;
use tower::ServiceExt as _;
use tower::util::BoxCloneSyncService;

use super::wanted::{Wanted, WantedServices};

/// The cloud, and what kuryr.conf asks of it.
pub(crate) struct FakeCloud {
    pub(crate) cloud: Cloud,
    pub(crate) network: Seeded,
    pub(crate) router: String,
    pub(crate) wanted: Wanted,
}

impl FakeCloud {
    /// With a dual-stack pod network on a router, and a security group that lets everything in.
    pub(crate) fn complete() -> FakeCloud {
        let cloud = Cloud::new(Options::seeded(7));
        let mut network = cloud.seed_network("k8s", "pods", &["10.0.0.0/16"]);
        let project = cloud.project("k8s");
        let subnet = cloud.create(
            "subnets",
            json!({ "network_id": network.network, "cidr": "fd00:1::/64", "ip_version": 6, "gateway_ip": "fd00:1::1", "project_id": project }),
        );
        network.subnets.push(subnet["id"].as_str().unwrap().to_owned());
        let router = cloud.create("routers", json!({ "name": "r", "project_id": project }));
        let router = router["id"].as_str().unwrap().to_owned();
        let group = cloud.create("security-groups", json!({ "name": "pods", "project_id": project }));
        let group = group["id"].as_str().unwrap().to_owned();
        for ethertype in ["IPv4", "IPv6"] {
            let rule = json!({ "security_group_id": group, "direction": "ingress", "ethertype": ethertype, "project_id": project });
            cloud.create("security-group-rules", rule);
        }
        let wanted = Wanted {
            cluster: "c1".to_owned(),
            project,
            pod_subnets: network.subnets.clone(),
            security_groups: vec![group],
            ..Wanted::default()
        };
        FakeCloud { cloud, network, router, wanted }
    }

    /// With the router on both subnets, which takes a client.
    pub(crate) async fn routed() -> FakeCloud {
        let cloud = FakeCloud::complete();
        for subnet in &cloud.network.subnets {
            cloud.client("k8s-admin").network().add_router_interface(&cloud.router, subnet).await.unwrap();
        }
        cloud
    }

    /// With all that Services need on the provider OVN as well.
    pub(crate) async fn balanced() -> FakeCloud {
        let mut cloud = FakeCloud::routed().await;
        let services = cloud.cloud.seed_network("k8s", "services", &["10.96.0.0/16"]);
        let subnet = services.subnets[0].clone();
        cloud.client("k8s-admin").network().add_router_interface(&cloud.router, &subnet).await.unwrap();
        let outside = cloud.cloud.create("networks", json!({ "name": "outside", "router:external": true }));
        cloud.wanted.external_network = outside["id"].as_str().unwrap().to_owned();
        cloud.wanted.services = Some(WantedServices {
            subnet,
            external_subnet: String::new(),
            provider: Some("ovn".to_owned()),
            algorithm: "SOURCE_IP_PORT".to_owned(),
            member_mode: "L2".to_owned(),
        });
        cloud
    }

    /// A client with this user's rights: `k8s-admin`, or `k8s`, which is a plain one.
    pub(crate) fn client(&self, user: &str) -> kuryr_openstack::Cloud {
        self.client_with(user, ADMIN_PASSWORD)
    }

    pub(crate) fn client_with(&self, user: &str, password: &str) -> kuryr_openstack::Cloud {
        let domain = || Domain::Name("Default".into());
        let auth = Auth::Password {
            user: Named::Name { name: user.to_owned(), domain: domain() },
            password: Secret::new(password.to_owned()),
            scope: Scope::Project(Named::Name { name: "k8s".into(), domain: domain() }),
        };
        let settings = CloudSettings { seed: Some(1), ..CloudSettings::new(self.cloud.auth_url(), auth) };
        let to_transport = |lost| TransportError::Lost(Box::new(lost) as Box<dyn std::error::Error + Send + Sync>);
        let transport = BoxCloneSyncService::new(self.cloud.clone().into_service().map_err(to_transport));
        kuryr_openstack::Cloud::with_transport(settings, transport)
    }
}
