//! What went wrong for one object: how long to wait, and what to tell its owner. An error never concerns more than the
//! object it met.

use std::fmt;
use std::time::Duration;

use kuryr_openstack::ErrorKind;

use crate::lease::Refused;
use crate::told;
use crate::work::Backoff;

/// Reason of what was not done because this process does not lead (any more).
const NOT_LEADING: &str = "NotLeading";

/// Why an object cannot be brought to its desired state right now.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// One word for programs, the reason of conditions and Events.
    pub reason: &'static str,
    /// A sentence for people: what is wrong and what to do.
    pub message: String,
    /// Who must act.
    pub class: Class,
    /// The server's own wish for when to come back.
    retry_after: Option<Duration>,
}

/// Who must act for it to get better; decides the back-off and whether owners are told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody: it passes. Told only when it lasts.
    Transient,
    /// Somebody else wrote first: look again at once.
    Conflict,
    /// A limit is reached: an admin raises it or something is deleted.
    Quota,
    /// Configuration or an object is wrong: its owner mends it.
    Mistake,
    /// We do not understand what happened: a bug in Kuryr or a service.
    Bug,
}

impl Class {
    /// Name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Conflict => "conflict",
            Self::Quota => "quota",
            Self::Mistake => "mistake",
            Self::Bug => "bug",
        }
    }
}

impl Trouble {
    /// Something the owner must mend.
    pub fn mistake(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), class: Class::Mistake, retry_after: None }
    }

    /// Something that passes by itself, as a rule: told only when it lasts.
    pub fn transient(reason: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Transient, ..Self::mistake(reason, message) }
    }

    /// A limit that somebody has to raise, or make room below.
    pub fn quota(reason: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Quota, ..Self::mistake(reason, message) }
    }

    /// Something that should be impossible.
    pub fn bug(reason: &'static str, message: impl Into<String>) -> Self {
        Self { class: Class::Bug, ..Self::mistake(reason, message) }
    }

    /// How long to wait before the next attempt.
    #[must_use]
    pub fn backoff(&self) -> Backoff {
        let (base, cap) = match self.class {
            Class::Conflict => (100, 5_000),
            Class::Transient => (500, 30_000),
            Class::Quota => (2_000, 30_000),
            Class::Mistake | Class::Bug => (2_000, 60_000),
        };
        let floor = self.retry_after.unwrap_or_default().min(Duration::from_secs(300));
        Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap), floor }
    }

    /// Whether the owner is told after this many failures in a row. What passes by itself is told only when it lasts.
    #[must_use]
    pub fn is_worth_telling(&self, failures: u32) -> bool {
        match self.class {
            Class::Conflict => false,
            // Whoever leads will tell, if there is something to tell.
            Class::Transient if self.reason == NOT_LEADING => false,
            Class::Transient => failures >= 3,
            Class::Quota | Class::Mistake | Class::Bug => true,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason, self.message)
    }
}

impl From<kuryr_openstack::Error> for Trouble {
    fn from(error: kuryr_openstack::Error) -> Self {
        let (reason, class, cure) = match error.kind() {
            ErrorKind::OverQuota => (
                "QuotaExceeded",
                Class::Quota,
                "raise the project's quota or delete what is not needed; the pod goes on by itself",
            ),
            ErrorKind::AddressesExhausted => (
                "SubnetExhausted",
                Class::Quota,
                "enlarge the subnet's allocation pools or delete ports; the pod goes on by itself",
            ),
            ErrorKind::NotFound => {
                ("NotFoundInCloud", Class::Mistake, "check the ids in kuryr.conf [neutron_defaults] against the cloud")
            }
            ErrorKind::Conflict => ("ConflictInCloud", Class::Conflict, "Kuryr tries again"),
            ErrorKind::Outdated => ("ConflictInCloud", Class::Conflict, "Kuryr tries again"),
            ErrorKind::Busy => ("LoadBalancerBusy", Class::Conflict, "Kuryr goes on when Octavia is done with it"),
            ErrorKind::BadRequest => ("RefusedByCloud", Class::Mistake, "check kuryr.conf [neutron_defaults]"),
            ErrorKind::Settings => ("SettingsWrong", Class::Mistake, "check kuryr.conf [neutron]"),
            ErrorKind::Unauthorized => {
                ("CredentialsRefused", Class::Mistake, "check the credentials in kuryr.conf [neutron]")
            }
            ErrorKind::Forbidden => (
                "ForbiddenByCloud",
                Class::Mistake,
                "give the Kuryr user the rights it needs (ports in the project, binding:host_id)",
            ),
            ErrorKind::TooManyRequests => ("CloudBusy", Class::Transient, "Kuryr slows down and tries again"),
            ErrorKind::Unavailable | ErrorKind::Timeout => {
                ("CloudUnreachable", Class::Transient, "Kuryr tries again; check the OpenStack API if this lasts")
            }
            ErrorKind::Withheld => (NOT_LEADING, Class::Transient, "the controller that leads goes on with it"),
            ErrorKind::Protocol => ("CloudNotUnderstood", Class::Bug, "see the controller's log, and report it"),
        };
        let message = format!("{}; {cure}", error.message().trim_end_matches('.'));
        Self { reason, message, class, retry_after: error.retry_after() }
    }
}

impl From<kube::Error> for Trouble {
    fn from(error: kube::Error) -> Self {
        let (reason, class) = match &error {
            kube::Error::Api(status) => match status.code {
                409 => ("ConflictInKubernetes", Class::Conflict),
                403 => ("ForbiddenByKubernetes", Class::Mistake),
                400 | 422 => ("RefusedByKubernetes", Class::Bug),
                _ => ("KubernetesUnavailable", Class::Transient),
            },
            kube::Error::Service(cause) if cause.is::<Refused>() => (NOT_LEADING, Class::Transient),
            _ => ("KubernetesUnavailable", Class::Transient),
        };
        Self { reason, message: told::chain(&error), class, retry_after: None }
    }
}
