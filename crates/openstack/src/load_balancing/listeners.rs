//! Listeners: a port of a load balancer's VIP.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{LoadBalancing, NewPool, OperatingStatus, ProvisioningStatus, Reference};
use crate::Error;
use crate::query::Query;
use crate::rest::json::null_is_default;
use crate::rest::{Resource, TagFilter};

/// A listener.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Listener {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// What Octavia does with it.
    pub provisioning_status: ProvisioningStatus,
    /// How it works.
    pub operating_status: OperatingStatus,
    /// Whether it is switched on.
    pub admin_state_up: Option<bool>,
    /// What it speaks.
    pub protocol: ListenerProtocol,
    /// Its port.
    pub protocol_port: u16,
    /// The load balancer it is on.
    #[serde(deserialize_with = "null_is_default")]
    pub loadbalancers: Vec<Reference>,
    /// Where its traffic goes unless a policy says otherwise.
    pub default_pool_id: Option<String>,
    /// Whom it lets in; everybody where there is none.
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Milliseconds a client may be silent.
    pub timeout_client_data: Option<u32>,
    /// Milliseconds a member may be silent.
    pub timeout_member_data: Option<u32>,
    /// Milliseconds a connection to a member may take.
    pub timeout_member_connect: Option<u32>,
    /// Milliseconds to wait for more of a client's first packets.
    pub timeout_tcp_inspect: Option<u32>,
    /// Connections at once; -1 is without limit.
    pub connection_limit: Option<i64>,
    /// Certificate, as a reference to Barbican.
    pub default_tls_container_ref: Option<String>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListenerProtocol {
    /// TCP.
    #[serde(rename = "TCP")]
    Tcp,
    /// UDP.
    #[serde(rename = "UDP")]
    Udp,
    /// SCTP.
    #[serde(rename = "SCTP")]
    Sctp,
    /// HTTP.
    #[serde(rename = "HTTP")]
    Http,
    /// TLS that goes through as it is.
    #[serde(rename = "HTTPS")]
    Https,
    /// TLS that ends here.
    #[serde(rename = "TERMINATED_HTTPS")]
    TerminatedHttps,
    /// A word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Which listeners to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct ListenerQuery {
    /// Of this project.
    pub project_id: Option<String>,
    /// On this load balancer.
    pub load_balancer_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A listener to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewListener {
    /// The load balancer; none where it is created with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loadbalancer_id: Option<String>,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Project that is to own it; the load balancer's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// What it is to speak.
    pub protocol: ListenerProtocol,
    /// Its port.
    pub protocol_port: u16,
    /// Where its traffic is to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool_id: Option<String>,
    /// A pool to create with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool: Option<NewPool>,
    /// Whom it is to let in; everybody by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cidrs: Option<Vec<IpNet>>,
    /// Milliseconds a client may be silent; Octavia's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<u32>,
    /// Milliseconds a member may be silent; Octavia's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<u32>,
    /// Milliseconds a connection to a member may take; Octavia's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_connect: Option<u32>,
    /// Milliseconds to wait for more of a client's first packets; Octavia's default by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_tcp_inspect: Option<u32>,
    /// Connections at once; without limit by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i64>,
    /// Certificate, as a reference to Barbican.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_tls_container_ref: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What to change of a listener; `None` leaves it. `Some(None)` gives back Octavia's default.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListenerUpdate {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_state_up: Option<bool>,
    /// Where its traffic is to go; `Some(None)` is nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_pool_id: Option<Option<String>>,
    /// Whom it is to let in; `Some(None)` is everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_cidrs: Option<Option<Vec<IpNet>>>,
    /// Milliseconds a client may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_client_data: Option<Option<u32>>,
    /// Milliseconds a member may be silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_data: Option<Option<u32>>,
    /// Milliseconds a connection to a member may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_member_connect: Option<Option<u32>>,
    /// Milliseconds to wait for more of a client's first packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_tcp_inspect: Option<Option<u32>>,
    /// Connections at once; -1 is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i64>,
    /// Exactly these tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl Resource for Listener {
    const PATH: &'static str = "lbaas/listeners";
    const ONE: &'static str = "listener";
    const MANY: &'static str = "listeners";

    fn id(&self) -> &str {
        &self.id
    }
}

impl LoadBalancing {
    /// The listeners that match.
    pub async fn list_listeners(&self, query: &ListenerQuery) -> Result<Vec<Listener>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("load_balancer_id", query.load_balancer_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        self.rest.list(filters, &[], &[]).await
    }

    /// One listener.
    pub async fn listener(&self, id: &str) -> Result<Listener, Error> {
        self.rest.show(id).await
    }

    /// Creates a listener. `Busy` while something on its load balancer is changed, `Conflict` if its port is taken.
    pub async fn create_listener(&self, listener: &NewListener) -> Result<Listener, Error> {
        self.rest.create(listener).await
    }

    /// Changes a listener. `Busy` while something on its load balancer is changed.
    pub async fn update_listener(&self, id: &str, update: &ListenerUpdate) -> Result<Listener, Error> {
        self.rest.update(id, update, None).await
    }

    /// Deletes a listener; its pools stay. `Busy` while something on its load balancer is changed.
    pub async fn delete_listener(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Listener>(id).await
    }
}
