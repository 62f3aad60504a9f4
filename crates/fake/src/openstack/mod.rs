//! Keystone, Neutron and Octavia in memory.
//!
//! [`Cloud::call`] answers requests in process; [`crate::serve`] answers them over TCP. Keystone is at `/identity`, Neutron
//! at `/networking`, Octavia at `/load-balancer` (as with devstack), or each at the root of its own listener ([`Service`]).
//!
//! What the fake answers was recorded from a real Keystone 22, Neutron 21 and Octavia 11 (Zed, ML2/OVN).

mod binding;
mod clock;
mod hooks;
mod ids;
mod keystone;
mod latency;
mod log;
mod neutron;
mod octavia;
mod options;
mod refusal;
mod request;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::sync::{broadcast, watch};

pub use binding::BindPolicy;
pub use hooks::{PortChange, Seeded};
pub use latency::Latency;
pub use log::Seen;
pub use options::{ADMIN_PASSWORD, Options};

use crate::faults::{self, ConnectionLost, Faults, Lose, Verdict};
use log::Log;
use refusal::Refusal;
use request::{Answer, Ask};
use world::World;

/// One of the services of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Neutron.
    Network,
    /// Octavia.
    LoadBalancer,
}

impl Service {
    const ALL: [Service; 3] = [Service::Identity, Service::Network, Service::LoadBalancer];

    /// Where the service is when all share one address.
    pub fn prefix(self) -> &'static str {
        match self {
            Service::Identity => "/identity",
            Service::Network => "/networking",
            Service::LoadBalancer => "/load-balancer",
        }
    }

    /// The service a path belongs to, and the part of the path before the service's own.
    fn of(path: &str) -> Option<(Service, &'static str)> {
        let prefixed = Service::ALL.into_iter().find(|service| {
            path.strip_prefix(service.prefix()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let bare = || match path.trim_start_matches('/').split('/').next() {
            Some("v2.0") => Some((Service::Network, "")),
            Some("v3" | "") => Some((Service::Identity, "")),
            _ => None,
        };
        prefixed.map(|service| (service, service.prefix())).or_else(bare)
    }
}

/// An OpenStack cloud in memory. Clones are the same cloud.
#[derive(Clone)]
pub struct Cloud(Arc<Shared>);

struct Shared {
    world: Mutex<World>,
    log: Mutex<Log>,
    faults: Faults,
    settings: Mutex<Settings>,
    changes: broadcast::Sender<PortChange>,
    /// How often something about load balancers was changed.
    balancing: watch::Sender<u64>,
}

#[derive(Default)]
struct Settings {
    latency: Latency,
    activate_after: Option<Duration>,
}

impl Cloud {
    /// A cloud with the projects and users of [`Options`], and no networks.
    pub fn new(options: Options) -> Cloud {
        let shared = Shared {
            world: Mutex::new(options.world()),
            log: Mutex::default(),
            faults: Faults::none(),
            settings: Mutex::default(),
            changes: broadcast::channel(16_384).0,
            balancing: watch::Sender::new(0),
        };
        Cloud(Arc::new(shared))
    }

    /// What goes wrong in this cloud.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Answers a request to any of the services, told apart by their paths.
    ///
    /// # Errors
    ///
    /// The connection is lost if the cloud's [`Faults`] say so.
    pub async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ConnectionLost> {
        match Service::of(request.uri().path()) {
            Some((service, prefix)) => self.answer(service, prefix, request).await,
            None => {
                Ok(Answer::new(StatusCode::NOT_FOUND, Refusal::no_such_path().neutron())
                    .into_response(request.method()))
            }
        }
    }

    /// Answers a request to one service that has an address of its own.
    ///
    /// # Errors
    ///
    /// As [`Cloud::call`].
    pub async fn call_service(
        &self,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ConnectionLost> {
        self.answer(service, "", request).await
    }

    /// The cloud as a tower service.
    pub fn into_service(
        self,
    ) -> impl tower::Service<Request<Bytes>, Response = Response<Bytes>, Error = ConnectionLost, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static {
        tower::service_fn(move |request| {
            let cloud = self.clone();
            async move { cloud.call(request).await }
        })
    }

    async fn answer(
        &self,
        service: Service,
        prefix: &'static str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ConnectionLost> {
        let ask = Ask::new(&request, prefix);
        let mut verdict = self.0.faults.decide(&ask.method, &ask.path);
        verdict.delay += self.settings().latency.of(&ask);
        if verdict.delay.is_zero() {
            return self.carry_out(service, ask, &verdict);
        }
        // A caller that does not wait does not keep the service from doing as asked.
        let cloud = self.clone();
        let task = tokio::spawn(async move {
            tokio::time::sleep(verdict.delay).await;
            cloud.carry_out(service, ask, &verdict)
        });
        task.await.unwrap_or(Err(ConnectionLost))
    }

    fn carry_out(&self, service: Service, ask: Ask, verdict: &Verdict) -> Result<Response<Bytes>, ConnectionLost> {
        let takes_effect = match (&verdict.answer, verdict.lose) {
            (_, Lose::BeforeEffect) => false,
            (Some(answer), _) => answer.after_effect,
            (None, _) => true,
        };
        let response = takes_effect.then(|| self.effect(service, &ask));
        let response = match &verdict.answer {
            Some(answer) => Some(self.replacement(service, &ask, answer)),
            None => response,
        };
        let response = if verdict.lose == Lose::No { response } else { None };
        let mut log = self.0.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(Seen {
            at: self.world().clock.elapsed(),
            status: response.as_ref().map(Response::status),
            query: ask.query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"),
            method: ask.method,
            path: ask.path,
        });
        response.ok_or(ConnectionLost)
    }

    /// Does as asked, wholly or not at all.
    fn effect(&self, service: Service, ask: &Ask) -> Response<Bytes> {
        let mut world = self.world();
        self.settle(&mut world);
        let result = match service {
            Service::Identity => keystone::answer(&mut world, ask),
            Service::Network => neutron::answer(&mut world, ask),
            Service::LoadBalancer => octavia::answer(&mut world, ask),
        };
        let answer = match result {
            Ok(answer) => {
                match service == Service::LoadBalancer && ask.method != Method::GET {
                    true => self.publish_balancing(&mut world),
                    false => self.publish(&mut world),
                }
                answer
            }
            Err(refusal) => {
                world.rollback();
                self.refused(&world, service, &refusal)
            }
        };
        self.finish(&mut world, service, answer, &ask.method)
    }

    /// What Octavia's providers have done by now is done, whatever becomes of the request.
    fn settle(&self, world: &mut World) {
        octavia::settle(world);
        self.publish(world);
    }

    fn refused(&self, world: &World, service: Service, refusal: &Refusal) -> Answer {
        let body = match service {
            Service::Identity => refusal.keystone(),
            Service::Network => refusal.neutron(),
            Service::LoadBalancer => refusal.octavia(),
        };
        let answer = Answer::new(refusal.status, body);
        match refusal.status {
            StatusCode::UNAUTHORIZED => {
                let uri = format!("Keystone uri=\"{}\"", world.identity.service_url("identity"));
                answer.header("www-authenticate", &uri)
            }
            _ => answer,
        }
    }

    fn finish(&self, world: &mut World, service: Service, answer: Answer, method: &Method) -> Response<Bytes> {
        let mut answer = answer.header("date", &world.clock.http_date());
        answer = answer.header("x-openstack-request-id", &format!("req-{}", world.ids.uuid()));
        if service == Service::Identity {
            answer = answer.header("vary", "X-Auth-Token");
        }
        answer.into_response(method)
    }

    /// The answer a fault asks for.
    fn replacement(&self, service: Service, ask: &Ask, answer: &faults::Answer) -> Response<Bytes> {
        let words = answer.status.canonical_reason().unwrap_or("Fault");
        let refusal = match answer.status {
            StatusCode::INTERNAL_SERVER_ERROR => Refusal::internal_error(),
            StatusCode::UNAUTHORIZED => Refusal::unauthorized(),
            status => Refusal::new(status, &format!("HTTP{}", words.replace(' ', "")), words),
        };
        let mut world = self.world();
        let mut given = self.refused(&world, service, &refusal);
        if let Some(body) = &answer.body {
            given.body = Some(body.clone());
        } else if answer.status.is_success() {
            given.body = Some(json!({}));
        }
        let mut response = self.finish(&mut world, service, given, &ask.method);
        // A gateway in front of the service answers in HTML, and knows no request ids.
        if matches!(answer.status.as_u16(), 502..=504) && answer.body.is_none() {
            let page = format!("<html><body><h1>{} {words}</h1></body></html>", answer.status.as_u16());
            *response.body_mut() = Bytes::from(page);
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
            response.headers_mut().remove("x-openstack-request-id");
        }
        if let Some(seconds) = answer.retry_after {
            response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.0.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
