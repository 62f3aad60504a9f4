//! OpenStack, as far as it is needed to give networking to something: Keystone, Neutron and Octavia.
//!
//! This crate has never heard of Kubernetes. It turns typed calls into requests, keeps a token valid, and turns
//! answers into values or into an [`Error`] a caller can act on.
//!
//! ```text
//! Cloud ─► Network, LoadBalancing (ports, listeners, …) ─► Service (token, endpoint, retry) ─► Http (one exchange) ─► Transport
//!                                              └─► Keystone (authenticate, renew, catalog)
//! ```
//!
//! [`Transport`] is any tower service: TLS over TCP in production ([`Cloud::new`]), a function in the same process in
//! tests and simulation ([`Cloud::with_transport`]). Every timer is tokio's, so a paused clock drives all of it.

mod auth;
mod catalog;
mod clouds;
mod error;
mod fault;
mod http;
pub mod load_balancing;
pub mod network;
mod observer;
mod options;
mod projects;
mod query;
mod rest;
mod retry;
mod secret;
mod service;
mod settings;
mod transport;

use std::sync::Arc;

pub use auth::AuthInfo;
pub use error::{Error, ErrorKind};
pub use load_balancing::LoadBalancing;
pub use network::Network;
pub use observer::{Exchange, Observer, Outcome};
pub use projects::Project;
pub use secret::Secret;
pub use settings::{ApplicationCredential, Auth, CloudSettings, Domain, Interface, Named, Scope};
pub use transport::{Transport, TransportError};

use crate::auth::Keystone;
use crate::http::Http;
use crate::service::Service;

/// One OpenStack cloud, seen with one set of credentials.
///
/// A handle: clones share the token, the connections and the limits.
#[derive(Clone)]
pub struct Cloud {
    inner: Arc<Inner>,
}

struct Inner {
    http: Arc<Http>,
    keystone: Arc<Keystone>,
    identity: Service,
    network: Network,
    load_balancing: LoadBalancing,
}

impl Cloud {
    /// A cloud reached over TCP, with TLS where its addresses say `https`.
    ///
    /// Sends nothing yet. Fails on settings that cannot work: an `auth_url` that is no URL, certificate files that
    /// cannot be read.
    pub fn new(settings: CloudSettings) -> Result<Cloud, Error> {
        Cloud::behind(settings, |transport| transport)
    }

    /// The same, with something in front of the transport that sees every request before it leaves, retries too.
    ///
    /// # Errors
    /// As [`Cloud::new`].
    pub fn behind(settings: CloudSettings, gate: impl FnOnce(Transport) -> Transport) -> Result<Cloud, Error> {
        settings.check()?;
        let transport = gate(transport::https(&settings)?);
        Ok(Cloud::with_transport(settings, transport))
    }

    /// A cloud reached through `transport`, for tests and simulation in one process.
    pub fn with_transport(settings: CloudSettings, transport: Transport) -> Cloud {
        let http = Arc::new(Http::new(&settings, transport));
        let settings = Arc::new(settings);
        let keystone = Arc::new(Keystone::new(settings.clone(), http.clone()));
        let service = |kind| Service::new(kind, settings.clone(), http.clone(), keystone.clone());
        let identity = service(catalog::IDENTITY);
        let network = Network::new(service(catalog::NETWORK));
        let load_balancing =
            LoadBalancing::new(service(catalog::LOAD_BALANCER), service(catalog::LOAD_BALANCER_VERSIONS));
        Cloud { inner: Arc::new(Inner { http, keystone, identity, network, load_balancing }) }
    }

    /// Tells `observer` of every exchange from now on. The first observer stays; a second one is not told.
    pub fn observe(&self, observer: Observer) {
        self.inner.http.observe(observer);
    }

    /// Neutron.
    pub fn network(&self) -> &Network {
        &self.inner.network
    }

    /// Octavia.
    pub fn load_balancing(&self) -> &LoadBalancing {
        &self.inner.load_balancing
    }

    /// Who we are for Keystone. Asks for a token unless a valid one is at hand.
    pub async fn authenticate(&self) -> Result<AuthInfo, Error> {
        Ok(self.inner.keystone.session().await?.info.clone())
    }

    /// A valid token, for services this crate does not know.
    pub async fn token(&self) -> Result<Secret, Error> {
        Ok(self.inner.keystone.session().await?.token.clone())
    }

    /// The project with this id or name.
    ///
    /// Our own project is answered from the token; any other needs the right to read projects. `NotFound` if there is
    /// none, `Conflict` if several domains have a project of that name.
    pub async fn project(&self, name_or_id: &str) -> Result<Project, Error> {
        let own = self.authenticate().await?;
        projects::find(&self.inner.identity, &own, name_or_id).await
    }
}

impl std::fmt::Debug for Cloud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cloud").finish_non_exhaustive()
    }
}
