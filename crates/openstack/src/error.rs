//! Why a call failed, in terms a caller can act on.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What a failure means to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The resource does not exist, or not for us (404).
    NotFound,
    /// The request contradicts the state of things: in use, duplicate, ambiguous (409).
    Conflict,
    /// The service is at work on the resource, which takes no other change until that is done (Octavia: immutable, 409).
    Busy,
    /// The resource changed since the revision we named (412). Read it again.
    Outdated,
    /// A quota is used up.
    OverQuota,
    /// A subnet or network has no free address.
    AddressesExhausted,
    /// The service does not accept the request as it is (400 and relatives). Repeating it is pointless.
    BadRequest,
    /// Keystone refused the credentials, or a service refused a fresh token (401).
    Unauthorized,
    /// The user may not do this (403).
    Forbidden,
    /// Too many requests (429). See [`Error::retry_after`].
    TooManyRequests,
    /// The service could not be reached or failed (5xx, connection lost).
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The answer is not what the API promises, for example not JSON.
    Protocol,
    /// Our own side did not let the request leave ([`TransportError::Withheld`](crate::TransportError::Withheld)).
    Withheld,
    /// Our own settings cannot work: address, credentials format, region, endpoint, certificate files.
    Settings,
}

/// A failed call. Can be cloned, because one failed authentication answers every call that waited for it.
///
/// `Display` is one line and says all there is: what was tried, what the service said or why it could not be reached,
/// the request id, and a cure. There is no [`source`](StdError::source) to look for more.
#[derive(Clone)]
pub struct Error(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    call: Option<String>,
    status: Option<u16>,
    code: Option<String>,
    message: String,
    cure: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
    outcome_unknown: bool,
}

impl Error {
    /// What the failure means.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the call may have taken effect all the same: the answer was lost or late, or the service failed on the
    /// way. Look before trying again.
    pub fn outcome_unknown(&self) -> bool {
        self.0.outcome_unknown
    }

    /// The id under which the service logged the request. When the answer was lost, the one we sent along
    /// (Neutron logs it as the global request id).
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The service's own words, or ours where there is no answer.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do about it, if there is something to say.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref().or_else(|| general_cure(self.0.kind))
    }

    /// How long the service asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// HTTP status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The service's name for the error: Neutron's `NeutronError.type`, for example `SecurityGroupRuleExists`.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Box::new(Parts {
            kind,
            call: None,
            status: None,
            code: None,
            message: message.into(),
            cure: None,
            request_id: None,
            retry_after: None,
            outcome_unknown: false,
        }))
    }

    pub(crate) fn with_cure(mut self, cure: impl Into<String>) -> Error {
        self.0.cure = Some(cure.into());
        self
    }

    pub(crate) fn with_call(mut self, call: impl Into<String>) -> Error {
        self.0.call = Some(call.into());
        self
    }

    pub(crate) fn with_status(mut self, status: u16) -> Error {
        self.0.status = Some(status);
        self
    }

    pub(crate) fn with_code(mut self, code: Option<String>) -> Error {
        self.0.code = code;
        self
    }

    pub(crate) fn with_request_id(mut self, id: impl Into<String>) -> Error {
        self.0.request_id = Some(id.into());
        self
    }

    pub(crate) fn with_retry_after(mut self, delay: Option<Duration>) -> Error {
        self.0.retry_after = delay;
        self
    }

    pub(crate) fn with_outcome_unknown(mut self, unknown: bool) -> Error {
        self.0.outcome_unknown = unknown;
        self
    }

    /// Adds the root of a cause to the message; the layers above it say less.
    pub(crate) fn because(mut self, cause: &dyn StdError) -> Error {
        let mut root = cause;
        while let Some(deeper) = root.source() {
            root = deeper;
        }
        self.0.message = format!("{}: {root}", self.0.message);
        self
    }
}

fn general_cure(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::OverQuota => "raise the project's quota (openstack quota set) or delete what is unused",
        ErrorKind::AddressesExhausted => {
            "delete unused ports, widen the subnet's allocation pools or use a larger subnet"
        }
        ErrorKind::Unauthorized => "check user, password or application credential, their domains, and auth_url",
        ErrorKind::Forbidden => "give the user a role that may do this, or relax the service's policy",
        ErrorKind::TooManyRequests => "lower the number of requests at once, or raise the service's rate limit",
        ErrorKind::Unavailable => "check that the service is up and its address reachable from here",
        ErrorKind::Timeout => "check the service's load and the way to it, or raise the timeout",
        ErrorKind::Protocol => "check that the address is the service's API and not a proxy's or dashboard's page",
        ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Busy
        | ErrorKind::Outdated
        | ErrorKind::BadRequest
        | ErrorKind::Withheld
        | ErrorKind::Settings => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(call) = &self.0.call {
            write!(f, "{call}: ")?;
        }
        if let Some(status) = self.0.status {
            write!(f, "{status} ")?;
        }
        if let Some(code) = &self.0.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(id) = &self.0.request_id {
            write!(f, " ({id})")?;
        }
        if let Some(cure) = self.cure() {
            write!(f, "; {cure}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self}", self.0.kind)?;
        if self.0.outcome_unknown {
            f.write_str("; outcome unknown")?;
        }
        f.write_str(")")
    }
}

impl StdError for Error {}
