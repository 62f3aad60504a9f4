//! A cloud to work on, a network of one's own, and what to expect of errors.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use kuryr_openstack::load_balancing::{LoadBalancer, LoadBalancerQuery, ProvisioningStatus};
use kuryr_openstack::network::*;
use kuryr_openstack::{Cloud, CloudSettings, Error, ErrorKind, LoadBalancing, Transport, TransportError};
use serde_json::json;
use tower::ServiceExt;

use crate::raw;

/// A provider on a machine with much to do takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who speaks to the cloud.
#[derive(Clone, Copy, Debug)]
pub(crate) enum User {
    /// May bind ports to hosts and set quotas.
    Operator,
    /// An ordinary member of the operator's project.
    Tenant,
    /// An ordinary member of another project.
    Stranger,
}

/// What one case works with.
pub(crate) struct Bench {
    world: World,
    /// Unique; everything the case makes is called so.
    pub(crate) name: String,
    /// The operator's cloud.
    pub(crate) cloud: Cloud,
    /// The case's own network.
    pub(crate) network: String,
    /// Its IPv4 subnet, 10.77.0.0/24, with gateway 10.77.0.1.
    pub(crate) subnet: String,
}

enum World {
    Fake(kuryr_fake::openstack::Cloud),
    Real { clouds_yaml: PathBuf },
}

impl World {
    fn open() -> World {
        match std::env::var("KURYR_CONTRACT_CLOUD").as_deref() {
            Err(_) | Ok("" | "fake") => World::fake(),
            Ok("real") => {
                let path = std::env::var_os("OS_CLIENT_CONFIG_FILE").expect(
                    "KURYR_CONTRACT_CLOUD=real needs OS_CLIENT_CONFIG_FILE: a clouds.yaml, see contract/main.rs",
                );
                World::Real { clouds_yaml: path.into() }
            }
            other => panic!("KURYR_CONTRACT_CLOUD must be unset, fake or real, not {other:?}"),
        }
    }

    /// With an external network, as any cloud has.
    fn fake() -> World {
        let cloud = kuryr_fake::openstack::Cloud::new(kuryr_fake::openstack::Options::default());
        let network = cloud.create("networks", json!({"name": "public", "router:external": true}));
        let subnet =
            json!({"network_id": network["id"], "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": false});
        cloud.create("subnets", subnet);
        World::Fake(cloud)
    }

    fn settings(&self, user: User) -> CloudSettings {
        match self {
            World::Fake(cloud) => {
                let (user, project) = match user {
                    User::Operator => ("k8s-admin", "k8s"),
                    User::Tenant => ("k8s", "k8s"),
                    User::Stranger => ("k8s-other", "k8s-other"),
                };
                let variables = cloud.openrc(user, project);
                let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
                CloudSettings::from_variables(&find).expect("usable settings")
            }
            World::Real { clouds_yaml } => {
                let operator = std::env::var("OS_CLOUD").unwrap_or_else(|_| "k8s-admin".to_owned());
                let name = match user {
                    User::Operator => &operator,
                    User::Tenant => "k8s",
                    User::Stranger => "k8s-other",
                };
                CloudSettings::from_clouds_yaml(clouds_yaml, Some(name)).expect("usable settings")
            }
        }
    }

    fn cloud(&self, settings: CloudSettings) -> Cloud {
        match self {
            World::Fake(cloud) => {
                let lost = |lost: kuryr_fake::faults::ConnectionLost| TransportError::Lost(lost.into());
                let service = cloud.clone().into_service().map_err(lost);
                Cloud::with_transport(settings, Transport::new(service))
            }
            World::Real { .. } => Cloud::new(settings).expect("usable settings"),
        }
    }
}

impl Bench {
    pub(crate) fn settings(&self, user: User) -> CloudSettings {
        self.world.settings(user)
    }

    pub(crate) fn cloud_with(&self, settings: CloudSettings) -> Cloud {
        self.world.cloud(settings)
    }

    pub(crate) fn cloud_of(&self, user: User) -> Cloud {
        self.cloud_with(self.settings(user))
    }

    /// Gives a user an application credential, called as the case: its id and its secret.
    pub(crate) async fn application_credential(&self, user: User) -> (String, String) {
        match &self.world {
            World::Fake(cloud) => {
                let us = self.cloud_of(user).authenticate().await.expect("a token");
                let project = us.project_name.expect("a project");
                cloud.add_application_credential(&us.user_name, &project, &self.name).expect("a credential")
            }
            World::Real { .. } => {
                let body = json!({"application_credential": {"name": self.name}});
                let path = self.credentials_of(user).await;
                let answer = raw::call("POST", &path, &self.cloud_of(user).token().await.expect("a token"), &body);
                let part = |key: &str| answer["application_credential"][key].as_str().expect("a credential").to_owned();
                (part("id"), part("secret"))
            }
        }
    }

    pub(crate) async fn forget_application_credential(&self, user: User, id: &str) {
        // The fake goes with its case.
        if let World::Real { .. } = &self.world {
            let path = format!("{}/{id}", self.credentials_of(user).await);
            raw::call("DELETE", &path, &self.cloud_of(user).token().await.expect("a token"), &json!(null));
        }
    }

    async fn credentials_of(&self, user: User) -> String {
        let us = self.cloud_of(user).authenticate().await.expect("a token");
        let keystone = self.settings(user).auth_url;
        format!("{}/users/{}/application_credentials", keystone.trim_end_matches('/'), us.user_id)
    }

    /// Neutron, as the operator.
    pub(crate) fn neutron(&self) -> &Network {
        self.cloud.network()
    }

    /// Octavia, as the operator.
    pub(crate) fn octavia(&self) -> &LoadBalancing {
        self.cloud.load_balancing()
    }

    /// A load balancer once its provider is done with it.
    pub(crate) async fn settled(&self, id: &str) -> LoadBalancer {
        let look = async || self.octavia().load_balancer(id).await.expect("the load balancer");
        self.until("its provider is done", async || !look().await.provisioning_status.is_pending()).await;
        let found = look().await;
        assert_eq!(found.provisioning_status, ProvisioningStatus::Active, "{found:?}");
        found
    }

    /// Until a load balancer is gone.
    pub(crate) async fn gone(&self, id: &str) {
        let gone = |error: Error| error.kind() == ErrorKind::NotFound;
        self.until("it is gone", async || self.octavia().load_balancer(id).await.is_err_and(gone)).await;
    }

    /// Asks until something holds: there is nothing a cloud could wake us with.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = std::time::Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A host ports can be bound to.
    pub(crate) fn host(&self) -> String {
        std::env::var("KURYR_CONTRACT_HOST").unwrap_or_else(|_| "h1".to_owned())
    }

    /// A port on the case's network, yet to be created.
    pub(crate) fn new_port(&self) -> NewPort {
        NewPort { network_id: self.network.clone(), name: self.name.clone(), ..NewPort::default() }
    }

    pub(crate) async fn port(&self) -> Port {
        self.neutron().create_port(&self.new_port()).await.expect("a port")
    }

    pub(crate) async fn security_group(&self) -> SecurityGroup {
        let group = NewSecurityGroup { name: self.name.clone(), ..NewSecurityGroup::default() };
        self.neutron().create_security_group(&group).await.expect("a security group")
    }

    /// An address of the case's subnet.
    pub(crate) fn at(&self, host: u8) -> NewFixedIp {
        NewFixedIp { subnet_id: self.subnet.clone(), ip_address: Some(address(host)) }
    }
}

/// An address in the case's subnet.
pub(crate) fn address(host: u8) -> std::net::IpAddr {
    [10, 77, 0, host].into()
}

/// Runs a case on a bench of its own and tidies up.
pub(crate) async fn on_a_bench(case: impl AsyncFnOnce(&Bench)) {
    let world = World::open();
    let cloud = world.cloud(world.settings(User::Operator));
    let name = format!("contract-{:08x}", fastrand::u32(..));
    let network = NewNetwork { name: name.clone(), ..NewNetwork::default() };
    let network = cloud.network().create_network(&network).await.expect("a network").id;
    let subnet = NewSubnet {
        network_id: network.clone(),
        name: name.clone(),
        ip_version: 4,
        cidr: Some("10.77.0.0/24".parse().expect("a prefix")),
        ..NewSubnet::default()
    };
    let subnet = cloud.network().create_subnet(&subnet).await.expect("a subnet").id;
    let bench = Bench { world, name, cloud, network, subnet };
    let outcome = AssertUnwindSafe(case(&bench)).catch_unwind().await;
    bench.tidy().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Bench {
    /// Deletes whatever carries the case's name, users before what they use.
    async fn tidy(&self) {
        let tagged = LoadBalancerQuery { tags: TagFilter::all([&self.name]), ..Default::default() };
        for balancer in listed(self.octavia().list_load_balancers(&tagged)).await {
            let idle = async || !matches!(self.octavia().load_balancer(&balancer.id).await, Ok(found) if found.provisioning_status.is_pending());
            self.until("its provider is done", idle).await;
            gone(self.octavia().delete_load_balancer(&balancer.id)).await;
            self.gone(&balancer.id).await;
        }
        let neutron = self.neutron();
        let name = Some(self.name.clone());
        let names = Some(vec![self.name.clone()]);
        let query = FloatingIpQuery { tags: TagFilter::all([&self.name]), ..Default::default() };
        for floating_ip in listed(neutron.list_floating_ips(&query)).await {
            gone(neutron.delete_floating_ip(&floating_ip.id)).await;
        }
        for trunk in listed(neutron.list_trunks(&TrunkQuery { name: name.clone(), ..Default::default() })).await {
            gone(neutron.delete_trunk(&trunk.id)).await;
        }
        for router in listed(neutron.list_routers(&RouterQuery { name: name.clone(), ..Default::default() })).await {
            let query = SubnetQuery { name: name.clone(), ..Default::default() };
            for subnet in listed(neutron.list_subnets(&query)).await {
                gone(neutron.remove_router_interface(&router.id, &subnet.id)).await;
            }
            gone(neutron.delete_router(&router.id)).await;
        }
        let networks = listed(neutron.list_networks(&NetworkQuery { name: names.clone(), ..Default::default() })).await;
        for network in &networks {
            let query = PortQuery { network_id: Some(network.id.clone()), ..Default::default() };
            for port in listed(neutron.list_ports(&query)).await {
                // Neutron's own ports (DHCP, metadata) go with the network.
                if !port.device_owner.starts_with("network:") {
                    gone(neutron.delete_port(&port.id)).await;
                }
            }
            gone(neutron.delete_network(&network.id)).await;
        }
        let query = SubnetPoolQuery { name, ..Default::default() };
        for pool in listed(neutron.list_subnet_pools(&query)).await {
            gone(neutron.delete_subnet_pool(&pool.id)).await;
        }
        let query = SecurityGroupQuery { name: names, ..Default::default() };
        for group in listed(neutron.list_security_groups(&query)).await {
            gone(neutron.delete_security_group(&group.id)).await;
        }
    }
}

async fn listed<T>(list: impl Future<Output = Result<Vec<T>, Error>>) -> Vec<T> {
    list.await.expect("a list of what to tidy up")
}

async fn gone<T>(deletion: impl Future<Output = Result<T, Error>>) {
    match deletion.await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => panic!("cannot tidy up: {error:?}"),
    }
}

/// The call must fail like this, known to have had no effect, and carry the id under which the service logged it.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error>, kind: ErrorKind, code: &str) -> Error {
    let error = result.expect_err("the call must be refused");
    assert_eq!((error.kind(), error.code().unwrap_or_default()), (kind, code), "{error:?}");
    assert!(!error.outcome_unknown(), "{error:?}");
    assert!(error.request_id().is_some_and(|id| id.starts_with("req-")), "{error:?}");
    error
}

/// The same items in any order.
#[track_caller]
pub(crate) fn same<T: Ord + std::fmt::Debug>(
    left: impl IntoIterator<Item = impl Into<T>>,
    right: impl IntoIterator<Item = impl Into<T>>,
) {
    let sorted = |items: Vec<T>| {
        let mut items = items;
        items.sort_unstable();
        items
    };
    let left = sorted(left.into_iter().map(Into::into).collect());
    let right = sorted(right.into_iter().map(Into::into).collect());
    assert_eq!(left, right);
}
