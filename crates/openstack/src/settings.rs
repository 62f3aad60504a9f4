//! What must be known to use a cloud, as plain values.
//!
//! [`CloudSettings::from_options`] fills them from named options, [`CloudSettings::from_environment`] from
//! `clouds.yaml` and `OS_*`.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::{Error, ErrorKind};

/// How to reach a cloud and who to be there.
#[derive(Clone, Debug)]
pub struct CloudSettings {
    /// Keystone's address, with or without `/v3` at the end.
    pub auth_url: String,
    /// Credentials.
    pub auth: Auth,
    /// Region whose endpoints are used. Without one the catalog's first region is taken.
    pub region: Option<String>,
    /// Which kind of endpoint is taken from the catalog.
    pub interface: Interface,
    /// Neutron's address, instead of the catalog's.
    pub network_endpoint: Option<String>,
    /// Octavia's address, instead of the catalog's.
    pub load_balancer_endpoint: Option<String>,
    /// Certificate authorities (PEM) to trust instead of the system's.
    pub cafile: Option<PathBuf>,
    /// Client certificate chain (PEM).
    pub certfile: Option<PathBuf>,
    /// Private key of the client certificate (PEM); when unset it is looked for in `certfile`.
    pub keyfile: Option<PathBuf>,
    /// Accept any server certificate.
    pub insecure: bool,
    /// How long one call may take from the moment it is sent, retries included. Waiting for a free slot does not count.
    pub timeout: Duration,
    /// How many requests may be under way at once, per service.
    pub max_concurrency: usize,
    /// How many items of a list one request may answer, unless the service's own limit is lower.
    pub page_size: usize,
    /// Seed of the jitter between retries; unset takes one from the operating system. For repeatable simulations.
    pub seed: Option<u64>,
}

/// Longest time one call may take unless set otherwise. A bulk request for 100 ports was seen to take 40 s.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// A small Neutron answers a port POST in 0.3 s and gets no faster beyond a few at once.
pub(crate) const DEFAULT_MAX_CONCURRENCY: usize = 16;

/// Keeps answers around a megabyte.
pub(crate) const DEFAULT_PAGE_SIZE: usize = 1000;

/// Credentials for Keystone v3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A user and a password.
    Password {
        /// The user.
        user: Named,
        /// Its password.
        password: Secret,
        /// What the token is for.
        scope: Scope,
    },
    /// An application credential; it carries its project.
    ApplicationCredential {
        /// The credential.
        credential: ApplicationCredential,
        /// Its secret.
        secret: Secret,
    },
    /// A token from elsewhere. It cannot be renewed beyond its own life.
    Token {
        /// The token.
        token: Secret,
        /// What to trade it in for; `None` uses it as it is.
        scope: Option<Scope>,
    },
}

/// How an application credential is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplicationCredential {
    /// By its id.
    Id(String),
    /// By its name, which is unique for a user.
    Name {
        /// Name of the credential.
        name: String,
        /// Who owns it.
        user: Named,
    },
}

/// A user or project: by id, or by a name that is unique in a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By id.
    Id(String),
    /// By name.
    Name {
        /// Name.
        name: String,
        /// Domain it belongs to.
        domain: Domain,
    },
}

/// A Keystone domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Domain {
    /// By id.
    Id(String),
    /// By name.
    Name(String),
}

/// What a token gives rights on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A project.
    Project(Named),
    /// A domain.
    Domain(Domain),
    /// The whole deployment.
    System,
    /// The project of a trust, by the trust's id.
    Trust(String),
    /// The user's default project, if it has one.
    Default,
}

/// Kind of endpoint in Keystone's catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interface {
    /// For everyone.
    #[default]
    Public,
    /// For the cloud's own networks.
    Internal,
    /// For operators.
    Admin,
}

impl Interface {
    /// The catalog's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Interface::Public => "public",
            Interface::Internal => "internal",
            Interface::Admin => "admin",
        }
    }
}

impl CloudSettings {
    /// Settings with the defaults for everything but the address and the credentials.
    pub fn new(auth_url: impl Into<String>, auth: Auth) -> CloudSettings {
        CloudSettings {
            auth_url: auth_url.into(),
            auth,
            region: None,
            interface: Interface::Public,
            network_endpoint: None,
            load_balancer_endpoint: None,
            cafile: None,
            certfile: None,
            keyfile: None,
            insecure: false,
            timeout: DEFAULT_TIMEOUT,
            max_concurrency: DEFAULT_MAX_CONCURRENCY,
            page_size: DEFAULT_PAGE_SIZE,
            seed: None,
        }
    }

    /// Refuses what cannot work, before anything is sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_url("auth_url", &self.auth_url)?;
        if let Some(url) = &self.network_endpoint {
            check_url("network_endpoint_override", url)?;
        }
        if let Some(url) = &self.load_balancer_endpoint {
            check_url("load_balancer_endpoint_override", url)?;
        }
        if self.keyfile.is_some() && self.certfile.is_none() {
            return Err(Error::new(ErrorKind::Settings, "keyfile is set but certfile is not")
                .with_cure("set certfile to the client certificate that belongs to the key"));
        }
        Ok(())
    }
}

fn check_url(option: &str, url: &str) -> Result<(), Error> {
    // Not shown: what is in front of the @ is a password.
    if url.contains('@') {
        return Err(Error::new(ErrorKind::Settings, format!("{option} has a user in front of an @ (not shown)"))
            .with_cure(format!(
                "take it out of {option}; user and password are options of their own (username, password)"
            )));
    }
    // Nor is what follows a question mark: addresses carry tokens there.
    let shown = url.split('?').next().unwrap_or_default();
    let reason = match url.parse::<::http::Uri>() {
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => {
            "it does not start with http:// or https://".to_owned()
        }
        Ok(uri) if uri.query().is_some() => "it has a query".to_owned(),
        Ok(_) => return Ok(()),
        Err(error) => error.to_string(),
    };
    Err(Error::new(ErrorKind::Settings, format!("{option} = {shown:?} is not a usable address: {reason}"))
        .with_cure(format!("write {option} like https://cloud.example.org:5000")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        for url in
            ["https://me:hunter2@cloud:5000", "https://me:hun/hunter2@cloud", "ftp://hunter2@cloud", "me:hunter2@c"]
        {
            let error = check_url("auth_url", url).unwrap_err().to_string();
            assert!(error.contains("(not shown)") && error.contains("username"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = check_url("auth_url", "https://cloud:5000?token=hunter2").unwrap_err().to_string();
        assert!(error.contains("it has a query") && !error.contains("hunter2"), "{error}");
        assert!(check_url("auth_url", "https://cloud:5000/v3").is_ok());
    }
}
