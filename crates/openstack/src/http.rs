//! One exchange with a service: the only place a request leaves from.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tower::ServiceExt;

use crate::fault::Fault;
use crate::observer::{Exchange, Observer, Outcome};
use crate::secret::Secret;
use crate::settings::CloudSettings;
use crate::transport::{Transport, TransportError};
use crate::{Error, ErrorKind};

/// What repeating a request does, which decides whether it may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Changes nothing.
    Read,
    /// Twice is as good as once.
    Idempotent,
    /// Twice may be one too many.
    Once,
}

/// A request that can be sent any number of times.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path below the service's endpoint, with a leading slash, and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// JSON, or empty.
    pub(crate) body: Bytes,
    pub(crate) effect: Effect,
}

/// A good answer (2xx).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) request_id: String,
}

impl Answer {
    /// What a repeated DELETE stands for whose first attempt did the work.
    pub(crate) fn nothing() -> Answer {
        Answer { headers: HeaderMap::new(), body: Bytes::new(), request_id: String::new() }
    }
}

/// Sends requests, with a deadline each.
pub(crate) struct Http {
    transport: Transport,
    random: Mutex<fastrand::Rng>,
    observer: OnceLock<Observer>,
}

static TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
static REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

impl Http {
    pub(crate) fn new(settings: &CloudSettings, transport: Transport) -> Http {
        let random = match settings.seed {
            Some(seed) => fastrand::Rng::with_seed(seed),
            None => fastrand::Rng::new(),
        };
        Http { transport, random: Mutex::new(random), observer: OnceLock::new() }
    }

    pub(crate) fn observe(&self, observer: Observer) {
        // A second observer is not told, as `Cloud::observe` says.
        let _ = self.observer.set(observer);
    }

    fn tell(&self, call: &Call, outcome: Outcome, took: Duration) {
        if let Some(observer) = self.observer.get() {
            observer(&Exchange::new(&call.method, &call.path, outcome, took));
        }
    }

    /// A random duration in `0..=most`: full jitter.
    pub(crate) fn jitter(&self, most: Duration) -> Duration {
        most.mul_f64(self.random(|random| random.f64()))
    }

    fn random<T>(&self, draw: impl FnOnce(&mut fastrand::Rng) -> T) -> T {
        draw(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends `call` once to `endpoint` and waits at most until `deadline`.
    pub(crate) async fn exchange(
        &self,
        endpoint: &str,
        call: &Call,
        token: Option<&Secret>,
        deadline: Instant,
    ) -> Result<Answer, Error> {
        let url = format!("{endpoint}{}", call.path);
        let name = name(call, &url);
        // Sent along so that a request whose answer is lost can be found in the service's log.
        let sent_id = self.random(request_id);
        let request = request(&url, call, token, &sent_id).map_err(|e| e.with_call(&name))?;

        let start = Instant::now();
        let outcome = tokio::time::timeout_at(deadline, self.transport.clone().oneshot(request)).await;
        let elapsed = start.elapsed();

        let answer = match outcome {
            Ok(Ok(answer)) => answer,
            failed => {
                let changes = call.effect != Effect::Read;
                self.tell(call, if failed.is_ok() { Outcome::Lost } else { Outcome::TimedOut }, elapsed);
                let error = match failed {
                    Ok(Err(error)) => unanswered(&error, changes),
                    _ => Error::new(ErrorKind::Timeout, format!("no answer within {:.1} s", elapsed.as_secs_f64()))
                        .with_outcome_unknown(changes),
                };
                let error = error.with_call(&name).with_request_id(&sent_id);
                tracing::debug!(call = name, request_id = sent_id, ?elapsed, ?error, "no answer");
                return Err(error);
            }
        };

        let status = answer.status();
        self.tell(call, Outcome::Answered(status.as_u16()), elapsed);
        let request_id =
            answer.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).map_or(sent_id, str::to_owned);
        tracing::debug!(call = name, status = status.as_u16(), request_id, ?elapsed, "answered");
        if status.is_success() {
            let (head, body) = answer.into_parts();
            return Ok(Answer { headers: head.headers, body, request_id });
        }
        // A service that fails (5xx) may have acted before it did.
        let fault = Fault::read(status, answer.body());
        Err(Error::new(fault.kind, fault.message)
            .with_call(name)
            .with_status(status.as_u16())
            .with_code(fault.code)
            .with_request_id(request_id)
            .with_retry_after(retry_after(answer.headers()))
            .with_outcome_unknown(call.effect != Effect::Read && fault.kind == ErrorKind::Unavailable))
    }
}

fn unanswered(error: &TransportError, changes: bool) -> Error {
    let failure = |kind| Error::new(kind, error.to_string()).because(error);
    match error {
        TransportError::NotSent(_) => failure(ErrorKind::Unavailable),
        TransportError::NotTrusted(_) => failure(ErrorKind::Settings)
            .with_cure("set cafile to the authority that signed the server's certificate, and use the name it is for"),
        TransportError::Lost(_) => failure(ErrorKind::Unavailable).with_outcome_unknown(changes),
        TransportError::Withheld(_) => failure(ErrorKind::Withheld),
    }
}

/// What was called, for people. A list of ids may make an address longer than anyone wants to read.
fn name(call: &Call, url: &str) -> String {
    const LONGEST: usize = 200;
    match url.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} {}…", call.method, &url[..end]),
        None => format!("{} {url}", call.method),
    }
}

fn request(url: &str, call: &Call, token: Option<&Secret>, id: &str) -> Result<http::Request<Bytes>, Error> {
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(url)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("kuryr/", env!("CARGO_PKG_VERSION")))
        .header(&REQUEST_ID, id);
    if !call.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(token.expose())
            .map_err(|_| Error::new(ErrorKind::Settings, "the token has characters no header can carry"))?;
        value.set_sensitive(true);
        request = request.header(&TOKEN, value);
    }
    request.body(call.body.clone()).map_err(|error| {
        Error::new(ErrorKind::Settings, "the address makes no valid request")
            .because(&error)
            .with_cure("check auth_url and the endpoints in Keystone's catalog")
    })
}

/// `req-` and a version 4 UUID: the only shape OpenStack's services accept from a client.
fn request_id(random: &mut fastrand::Rng) -> String {
    let bits = random.u128(..) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("req-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Retry-After (RFC 9110 section 10.2.3): seconds, or a date, which is compared with the answer's own `Date` because
/// our clock may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let now = date(headers)?;
    Duration::try_from(until.duration_since(now)).ok()
}

/// The service's clock at the time of the answer.
pub(crate) fn date(headers: &HeaderMap) -> Option<jiff::Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp())
}
