//! Keystone v3: credentials in, token and catalog out, and the token kept valid.
//!
//! Any number of calls may need a token at once; one request is made for all of them. Sessions are numbered, so that of
//! many calls refused with the same stale token only the first causes a renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::catalog::{self, Catalog, CatalogService};
use crate::http::{Answer, Call, Effect, Http, date};
use crate::retry::Retry;
use crate::secret::Secret;
use crate::settings::{ApplicationCredential, Auth, CloudSettings, Domain, Named, Scope};
use crate::{Error, ErrorKind};

/// Who we are for Keystone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthInfo {
    /// Id of the project the token is for, if it is for one.
    pub project_id: Option<String>,
    /// Name of that project.
    pub project_name: Option<String>,
    /// Id of the user.
    pub user_id: String,
    /// Name of the user.
    pub user_name: String,
    /// Names of the roles the token carries.
    pub roles: Vec<String>,
    /// When the token ends, by Keystone's clock.
    pub expires_at: Option<Timestamp>,
}

/// A valid token and what came with it.
pub(crate) struct Session {
    pub(crate) token: Secret,
    /// Grows with each authentication.
    pub(crate) generation: u64,
    pub(crate) info: AuthInfo,
    pub(crate) catalog: Catalog,
    life: Option<Life>,
}

/// The times of a token, on our clock.
#[derive(Clone, Copy)]
struct Life {
    renew_at: Instant,
    ends_at: Instant,
}

impl Session {
    fn is_fresh(&self, now: Instant) -> bool {
        self.life.is_none_or(|life| now < life.renew_at)
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.life.is_none_or(|life| now < life.ends_at)
    }
}

type Attempt = BoxFuture<'static, Result<Arc<Session>, Error>>;

/// Keeps one session for all calls.
pub(crate) struct Keystone {
    settings: Arc<CloudSettings>,
    http: Arc<Http>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    generation: u64,
    /// The authentication under way. Weak: when everyone who waits for it is gone, so is it.
    attempt: Option<WeakShared<Attempt>>,
    failure: Option<Failure>,
}

/// The last authentication failed: do not try again before `until`. Keystone can lock users out after a few refusals.
struct Failure {
    error: Error,
    until: Instant,
    hold_off: Duration,
}

const FIRST_HOLD_OFF: Duration = Duration::from_secs(1);
const MAX_HOLD_OFF: Duration = Duration::from_secs(30);

/// A token is renewed when a tenth of its life is left, at most this long before its end.
const MAX_RENEWAL_MARGIN: Duration = Duration::from_secs(300);

impl Keystone {
    pub(crate) fn new(settings: Arc<CloudSettings>, http: Arc<Http>) -> Keystone {
        Keystone { settings, http, state: Mutex::default() }
    }

    /// The session, authenticating first if there is none or it ends soon.
    pub(crate) async fn session(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        let (attempt, fallback) = {
            let mut state = self.state();
            let now = Instant::now();
            let current = state.session.clone().filter(|session| session.is_valid(now));
            if let Some(session) = &current
                && session.is_fresh(now)
            {
                return Ok(session.clone());
            }
            let running = state.attempt.as_ref().and_then(WeakShared::upgrade);
            match (running, current) {
                // Someone else renews it; the old one still serves.
                (Some(_), Some(session)) => return Ok(session),
                (Some(attempt), None) => (attempt, None),
                (None, current) => {
                    if let Some(failure) = state.failure.as_ref().filter(|f| now < f.until) {
                        match current {
                            Some(session) => return Ok(session),
                            None if failure.error.kind() == ErrorKind::Unauthorized => {
                                return Err(failure.error.clone());
                            }
                            None => {}
                        }
                    }
                    (self.start(&mut state), current)
                }
            }
        };
        match (attempt.await, fallback) {
            (Err(error), Some(session)) if session.is_valid(Instant::now()) => {
                tracing::warn!(%error, "the token could not be renewed; the old one serves until it ends");
                Ok(session)
            }
            (result, _) => result,
        }
    }

    /// Drops the session a service refused, unless it was replaced in the meantime.
    pub(crate) fn refused(&self, generation: u64) {
        let mut state = self.state();
        if state.session.as_ref().is_some_and(|session| session.generation == generation) {
            state.session = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, state: &mut State) -> Shared<Attempt> {
        state.generation += 1;
        let generation = state.generation;
        let keystone = self.clone();
        let attempt = async move {
            let result = keystone.authenticate(generation).await.map(Arc::new);
            keystone.finish(generation, &result);
            result
        };
        let attempt = attempt.boxed().shared();
        state.attempt = attempt.downgrade();
        attempt
    }

    fn finish(&self, generation: u64, result: &Result<Arc<Session>, Error>) {
        let mut state = self.state();
        if state.generation == generation {
            state.attempt = None;
        }
        match result {
            Ok(session) => {
                tracing::debug!(
                    user = session.info.user_name,
                    project = session.info.project_name,
                    expires = ?session.info.expires_at,
                    "authenticated"
                );
                state.session = Some(session.clone());
                state.failure = None;
            }
            Err(error) => {
                let hold_off = match &state.failure {
                    Some(last) => (last.hold_off * 2).min(MAX_HOLD_OFF),
                    None => FIRST_HOLD_OFF,
                };
                state.failure = Some(Failure { error: error.clone(), until: Instant::now() + hold_off, hold_off });
            }
        }
    }

    async fn authenticate(&self, generation: u64) -> Result<Session, Error> {
        self.settings.check()?;
        let call = token_call(&self.settings.auth)?;
        let endpoint = catalog::versioned(&self.settings.auth_url, "v3");
        let mut retry = Retry::new(call.effect, Instant::now() + self.settings.timeout);
        let answer = loop {
            match self.http.exchange(&endpoint, &call, None, retry.deadline()).await {
                Ok(answer) => break answer,
                Err(error) => retry.after(explain(error, &self.settings), &self.http).await?,
            }
        };
        let session = read_token(&answer, &self.settings.auth, generation).map_err(|error| {
            error.with_call(format!("{} {endpoint}{}", call.method, call.path)).with_request_id(&answer.request_id)
        })?;
        let regions = session.catalog.regions(catalog::NETWORK);
        if generation == 1 && self.settings.region.is_none() && regions.len() > 1 {
            tracing::warn!(?regions, "the cloud has several regions and none is chosen; set region_name");
        }
        Ok(session)
    }
}

/// Keystone tells a bad token in several ways, and what is no Keystone at all answers 404.
fn explain(error: Error, settings: &CloudSettings) -> Error {
    let by_keystone = error.code().is_some();
    match (error.kind(), &settings.auth) {
        (ErrorKind::NotFound | ErrorKind::Unauthorized, Auth::Token { .. }) if by_keystone => {
            let id = error.request_id().unwrap_or_default().to_owned();
            Error::new(ErrorKind::Unauthorized, "the token is not valid (any more)")
                .with_cure("give a new token, or a password or application credential, which can be renewed")
                .with_request_id(id)
        }
        (ErrorKind::NotFound, _) if !by_keystone => error.with_cure(format!(
            "check auth_url: {} should be Keystone's address, usually ending in :5000 or /identity",
            settings.auth_url
        )),
        _ => error,
    }
}

/// The request that gives a token for these credentials.
fn token_call(auth: &Auth) -> Result<Call, Error> {
    let mut call = Call {
        method: Method::POST,
        path: "/auth/tokens".to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        effect: Effect::Idempotent,
    };
    let (identity, scope) = match auth {
        Auth::Password { user, password, scope } => {
            let mut user = named(user);
            user["password"] = password.expose().into();
            (json!({"methods": ["password"], "password": {"user": user}}), Some(scope))
        }
        Auth::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                ApplicationCredential::Id(id) => json!({ "id": id }),
                ApplicationCredential::Name { name, user } => {
                    json!({"name": name, "user": named(user)})
                }
            };
            credential["secret"] = secret.expose().into();
            (json!({"methods": ["application_credential"], "application_credential": credential}), None)
        }
        Auth::Token { token, scope: Some(scope) } => {
            (json!({"methods": ["token"], "token": {"id": token.expose()}}), Some(scope))
        }
        Auth::Token { token, scope: None } => {
            let mut value = HeaderValue::from_str(token.expose())
                .map_err(|_| Error::new(ErrorKind::Settings, "the token has characters no header can carry"))?;
            value.set_sensitive(true);
            call.method = Method::GET;
            call.effect = Effect::Read;
            call.headers.insert("x-auth-token", value.clone());
            call.headers.insert("x-subject-token", value);
            return Ok(call);
        }
    };
    let mut body = json!({"auth": {"identity": identity}});
    if let Some(scope) = scope.and_then(scope_body) {
        body["auth"]["scope"] = scope;
    }
    call.body = body.to_string().into();
    Ok(call)
}

fn named(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({ "id": id }),
        Named::Name { name, domain } => json!({"name": name, "domain": domain_body(domain)}),
    }
}

fn domain_body(domain: &Domain) -> Value {
    match domain {
        Domain::Id(id) => json!({ "id": id }),
        Domain::Name(name) => json!({ "name": name }),
    }
}

fn scope_body(scope: &Scope) -> Option<Value> {
    Some(match scope {
        Scope::Project(project) => json!({"project": named(project)}),
        Scope::Domain(domain) => json!({"domain": domain_body(domain)}),
        Scope::System => json!({"system": {"all": true}}),
        Scope::Trust(id) => json!({"OS-TRUST:trust": {"id": id}}),
        Scope::Default => return None,
    })
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: TokenBody,
}

#[derive(Deserialize)]
struct TokenBody {
    user: IdAndName,
    project: Option<IdAndName>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    catalog: Vec<CatalogService>,
    issued_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct IdAndName {
    id: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

fn read_token(answer: &Answer, auth: &Auth, generation: u64) -> Result<Session, Error> {
    let body: TokenAnswer = serde_json::from_slice(&answer.body)
        .map_err(|error| Error::new(ErrorKind::Protocol, format!("the answer is not a Keystone token: {error}")))?;
    let body = body.token;
    // Life is counted from the moment Keystone wrote down, so that its clock may differ from ours.
    let (token, now) = match auth {
        Auth::Token { token, scope: None } => (token.clone(), date(&answer.headers)),
        _ => {
            let token = answer.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
            let token = token.ok_or_else(|| {
                Error::new(ErrorKind::Protocol, "the answer has no X-Subject-Token header")
                    .with_cure("check that no proxy before Keystone removes headers")
            })?;
            (Secret::new(token), body.issued_at.or_else(|| date(&answer.headers)))
        }
    };
    let life = now.zip(body.expires_at).map(|(now, end)| {
        let length = Duration::try_from(end.duration_since(now)).unwrap_or_default();
        let start = Instant::now();
        Life { renew_at: start + length - (length / 10).min(MAX_RENEWAL_MARGIN), ends_at: start + length }
    });
    let (project_id, project_name) = body.project.map(|p| (p.id, p.name)).unzip();
    Ok(Session {
        token,
        generation,
        life,
        catalog: Catalog(body.catalog),
        info: AuthInfo {
            project_id,
            project_name,
            user_id: body.user.id,
            user_name: body.user.name,
            roles: body.roles.into_iter().map(|role| role.name).collect(),
            expires_at: body.expires_at,
        },
    })
}
