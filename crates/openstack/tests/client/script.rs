//! A cloud that answers what it is told to, and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use kuryr_openstack::{Auth, Cloud, CloudSettings, Domain, Named, Scope, Transport, TransportError};
use serde_json::{Value, json};
use tower::service_fn;

/// What happens to one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// An answer with this status, these headers and this body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// No connection.
    NotSent,
    /// The connection breaks after the request was sent.
    Lost,
    /// Nothing comes, ever.
    Silence,
    /// Something, later.
    After(Duration, Box<Step>),
}

pub(crate) fn answer(status: u16, body: Value) -> Step {
    Step::Answer(status, Vec::new(), body.to_string())
}

/// Neutron's way to refuse.
pub(crate) fn refusal(status: u16, kind: &str) -> Step {
    answer(status, json!({"NeutronError": {"type": kind, "message": "no", "detail": ""}}))
}

pub(crate) fn port(id: &str) -> Step {
    answer(200, json!({"port": {"id": id}}))
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Value,
}

impl Seen {
    /// Path and query below the endpoint.
    pub(crate) fn path(&self) -> &str {
        self.url.strip_prefix(NEUTRON).unwrap_or(&self.url)
    }
}

pub(crate) const KEYSTONE: &str = "http://keystone/v3";
pub(crate) const NEUTRON: &str = "http://neutron/v2.0";

/// Life of the tokens Keystone hands out unless told otherwise.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(3600);

type Answering = Box<dyn Fn(&Seen) -> Step + Send>;

#[derive(Clone, Default)]
pub(crate) struct Script {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What Neutron answers when no step is left.
    otherwise: Option<Answering>,
    keystone: VecDeque<Step>,
    neutron: VecDeque<Step>,
    seen: Vec<Seen>,
    tokens: usize,
    running: usize,
    peak: usize,
}

impl Script {
    /// What Neutron answers, one after the other; then port `p`, without end.
    pub(crate) fn neutron(steps: impl IntoIterator<Item = Step>) -> Script {
        let script = Script::default();
        script.state.lock().unwrap().neutron.extend(steps);
        script
    }

    /// What Neutron answers, by the request.
    pub(crate) fn of(answering: impl Fn(&Seen) -> Step + Send + 'static) -> Script {
        let script = Script::default();
        script.state.lock().unwrap().otherwise = Some(Box::new(answering));
        script
    }

    /// What Keystone answers, one after the other; then tokens, without end.
    pub(crate) fn keystone(self, steps: impl IntoIterator<Item = Step>) -> Script {
        self.state.lock().unwrap().keystone.extend(steps);
        self
    }

    pub(crate) fn cloud(&self) -> Cloud {
        self.cloud_with(settings())
    }

    pub(crate) fn cloud_with(&self, settings: CloudSettings) -> Cloud {
        Cloud::with_transport(settings, self.transport())
    }

    /// All requests to Neutron.
    pub(crate) fn asked(&self) -> Vec<Seen> {
        self.seen(|seen| !seen.url.starts_with(KEYSTONE))
    }

    /// All requests to Keystone.
    pub(crate) fn authentications(&self) -> Vec<Seen> {
        self.seen(|seen| seen.url.starts_with(KEYSTONE))
    }

    /// The most requests to Neutron that were under way at once.
    pub(crate) fn peak(&self) -> usize {
        self.state.lock().unwrap().peak
    }

    fn seen(&self, which: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        self.state.lock().unwrap().seen.iter().filter(|seen| which(seen)).cloned().collect()
    }

    fn transport(&self) -> Transport {
        let script = self.clone();
        Transport::new(service_fn(move |request: Request<Bytes>| {
            let script = script.clone();
            async move {
                let to_neutron = !request.uri().to_string().starts_with(KEYSTONE);
                let _running = to_neutron.then(|| Running::new(&script));
                let mut step = script.next(&request);
                while let Step::After(delay, then) = step {
                    tokio::time::sleep(delay).await;
                    step = *then;
                }
                match step {
                    Step::Answer(status, headers, body) => {
                        let mut response = Response::builder().status(status);
                        for (name, value) in headers {
                            response = response.header(name, value);
                        }
                        Ok(response.body(body.into()).unwrap())
                    }
                    Step::NotSent => Err(TransportError::NotSent("connection refused".into())),
                    Step::Lost => Err(TransportError::Lost("connection reset".into())),
                    Step::Silence | Step::After(..) => std::future::pending().await,
                }
            }
        }))
    }

    fn next(&self, request: &Request<Bytes>) -> Step {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let seen = Seen {
            method: request.method().clone(),
            url: request.uri().to_string(),
            token: header("x-auth-token"),
            if_match: header("if-match"),
            body: serde_json::from_slice(request.body()).unwrap_or_default(),
        };
        let mut state = self.state.lock().unwrap();
        let to_keystone = seen.url.starts_with(KEYSTONE);
        if !to_keystone {
            let step = state.neutron.pop_front().or_else(|| state.otherwise.as_ref().map(|answering| answering(&seen)));
            state.seen.push(seen);
            return step.unwrap_or_else(|| port("p"));
        }
        state.seen.push(seen);
        state.keystone.pop_front().unwrap_or_else(|| {
            state.tokens += 1;
            token(&format!("token-{}", state.tokens), TOKEN_LIFE)
        })
    }
}

struct Running(Script);

impl Running {
    fn new(script: &Script) -> Running {
        let mut state = script.state.lock().unwrap();
        state.running += 1;
        state.peak = state.peak.max(state.running);
        Running(script.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().running -= 1;
    }
}

/// A user `me` with password `s3cret` in project `p`.
pub(crate) fn settings() -> CloudSettings {
    let named = |name: &str| Named::Name { name: name.to_owned(), domain: Domain::Id("default".to_owned()) };
    let auth = Auth::Password { user: named("me"), password: "s3cret".into(), scope: Scope::Project(named("p")) };
    CloudSettings { seed: Some(1), ..CloudSettings::new(KEYSTONE, auth) }
}

/// Keystone's answer to good credentials.
pub(crate) fn token(token: &str, life: Duration) -> Step {
    let endpoint =
        |interface: &str, region: &str, url: &str| json!({"interface": interface, "region_id": region, "url": url});
    token_with(
        token,
        life,
        json!([
            {"type": "identity", "endpoints": [endpoint("public", "One", KEYSTONE)]},
            {"type": "network", "endpoints": [
                endpoint("internal", "One", "http://neutron-internal/"),
                endpoint("public", "One", NEUTRON),
                endpoint("public", "Two", "http://neutron-two/networking/"),
            ]},
        ]),
    )
}

pub(crate) fn token_with(token: &str, life: Duration, catalog: Value) -> Step {
    let issued: jiff::Timestamp = "2026-11-24T12:00:00.000000Z".parse().unwrap();
    let expires = issued + life;
    let body = json!({"token": {
        "user": {"id": "u1", "name": "me", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "p"},
        "roles": [{"id": "r1", "name": "member"}],
        "methods": ["password"],
        "issued_at": issued.to_string(),
        "expires_at": expires.to_string(),
        "catalog": catalog,
    }});
    Step::Answer(201, vec![("x-subject-token", token.to_owned())], body.to_string())
}
