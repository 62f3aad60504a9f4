//! Settings from named options, as keystoneauth names them.
//!
//! The same names appear in the `[neutron]` section of a service's configuration file, in the `auth` part of
//! `clouds.yaml` and, in capitals after `OS_`, in the environment. So there is one reader for all three.

use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;
use crate::settings::{ApplicationCredential, Auth, CloudSettings, Domain, Interface, Named, Scope};
use crate::{Error, ErrorKind};

/// Domain of users and projects where none is given: the one Keystone creates at its birth.
const DEFAULT_DOMAIN: &str = "default";

impl CloudSettings {
    /// Reads settings from options.
    ///
    /// `source` says in errors where the options are from, for example `[neutron] in /etc/kuryr/kuryr.conf`. `option`
    /// answers the value of an option by its name in keystoneauth; names that mean the same are tried one after the
    /// other. Empty values count as absent.
    pub fn from_options(source: &str, option: impl Fn(&str) -> Option<String>) -> Result<CloudSettings, Error> {
        let options = Options { source, option: &option };
        let auth_url = options.required("auth_url", &["auth_url"])?;
        let mut settings = CloudSettings::new(auth_url, options.auth()?);
        settings.region = options.first(&["region_name", "region"]);
        if let Some(name) = options.first(&["interface", "endpoint_type", "valid_interfaces"]) {
            settings.interface = options.interface(&name)?;
        }
        settings.load_balancer_endpoint = options.first(&["load_balancer_endpoint_override"]);
        settings.network_endpoint = options.first(&["network_endpoint_override", "endpoint_override"]);
        settings.cafile = options.first(&["cafile", "cacert"]).map(PathBuf::from);
        settings.certfile = options.first(&["certfile", "cert"]).map(PathBuf::from);
        settings.keyfile = options.first(&["keyfile", "key"]).map(PathBuf::from);
        settings.insecure = options.boolean("insecure")?.unwrap_or(false) || options.boolean("verify")? == Some(false);
        if let Some(timeout) = options.seconds(&["timeout", "api_timeout"])? {
            settings.timeout = timeout;
        }
        settings.check().map_err(|error| options.located(error))?;
        Ok(settings)
    }
}

struct Options<'a> {
    source: &'a str,
    option: &'a dyn Fn(&str) -> Option<String>,
}

impl Options<'_> {
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| (self.option)(name).filter(|value| !value.trim().is_empty()))
    }

    fn required(&self, what: &str, names: &[&str]) -> Result<String, Error> {
        self.first(names).ok_or_else(|| {
            Error::new(ErrorKind::Settings, format!("{}: {what} is not set", self.source))
                .with_cure(format!("set {}", names.join(" or ")))
        })
    }

    fn secret(&self, name: &str) -> Result<Secret, Error> {
        Ok(Secret::new(self.required(name, &[name])?))
    }

    fn located(&self, error: Error) -> Error {
        let cure = error.cure().unwrap_or_default().to_owned();
        Error::new(error.kind(), format!("{}: {}", self.source, error.message())).with_cure(cure)
    }

    fn bad(&self, name: &str, value: &str, allowed: &str) -> Error {
        Error::new(ErrorKind::Settings, format!("{}: {name} = {value:?} is not {allowed}", self.source))
            .with_cure(format!("set {name} to {allowed}"))
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.first(&[name]) else { return Ok(None) };
        match value.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "t" | "y" => Ok(Some(true)),
            "false" | "0" | "no" | "off" | "f" | "n" => Ok(Some(false)),
            _ => Err(self.bad(name, &value, "true or false")),
        }
    }

    fn seconds(&self, names: &[&str]) -> Result<Option<Duration>, Error> {
        let Some(value) = self.first(names) else { return Ok(None) };
        let seconds = value.trim().parse::<f64>().ok().filter(|seconds| *seconds > 0.0);
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.map(Some).ok_or_else(|| self.bad(names[0], &value, "a number of seconds above 0"))
    }

    /// The first of a list like `internal,public` that we know; some write `publicURL`.
    fn interface(&self, names: &str) -> Result<Interface, Error> {
        let first = names.split(',').next().unwrap_or_default();
        match first.trim().trim_end_matches("URL") {
            "public" => Ok(Interface::Public),
            "internal" => Ok(Interface::Internal),
            "admin" => Ok(Interface::Admin),
            _ => Err(self.bad("interface", names, "public, internal or admin")),
        }
    }

    fn auth(&self) -> Result<Auth, Error> {
        let kind = self.first(&["auth_type", "auth_plugin"]).unwrap_or_else(|| self.guess_auth().to_owned());
        match kind.as_str() {
            "password" | "v3password" => Ok(Auth::Password {
                user: self.user()?,
                password: self.secret("password")?,
                scope: self.scope()?.unwrap_or(Scope::Default),
            }),
            "v3applicationcredential" => Ok(Auth::ApplicationCredential {
                credential: match self.first(&["application_credential_id"]) {
                    Some(id) => ApplicationCredential::Id(id),
                    None => ApplicationCredential::Name {
                        name: self.required(
                            "application_credential_id",
                            &["application_credential_id", "application_credential_name"],
                        )?,
                        user: self.user()?,
                    },
                },
                secret: self.secret("application_credential_secret")?,
            }),
            "token" | "v3token" => Ok(Auth::Token { token: self.secret("token")?, scope: self.scope()? }),
            _ => Err(self.bad("auth_type", &kind, "password, v3applicationcredential or v3token")),
        }
    }

    fn guess_auth(&self) -> &'static str {
        if self.first(&["application_credential_secret"]).is_some() {
            "v3applicationcredential"
        } else if self.first(&["token"]).is_some() {
            "v3token"
        } else {
            "password"
        }
    }

    fn user(&self) -> Result<Named, Error> {
        if let Some(id) = self.first(&["user_id"]) {
            return Ok(Named::Id(id));
        }
        let name = self.required("username", &["username", "user_name", "user-name"])?;
        Ok(Named::Name { name, domain: self.domain_of("user") })
    }

    fn scope(&self) -> Result<Option<Scope>, Error> {
        if let Some(id) = self.first(&["trust_id"]) {
            return Ok(Some(Scope::Trust(id)));
        }
        if let Some(id) = self.first(&["project_id", "tenant_id"]) {
            return Ok(Some(Scope::Project(Named::Id(id))));
        }
        if let Some(name) = self.first(&["project_name", "tenant_name"]) {
            return Ok(Some(Scope::Project(Named::Name { name, domain: self.domain_of("project") })));
        }
        if let Some(id) = self.first(&["domain_id"]) {
            return Ok(Some(Scope::Domain(Domain::Id(id))));
        }
        if let Some(name) = self.first(&["domain_name"]) {
            return Ok(Some(Scope::Domain(Domain::Name(name))));
        }
        match self.first(&["system_scope"]) {
            None => Ok(None),
            Some(all) if all == "all" => Ok(Some(Scope::System)),
            Some(other) => Err(self.bad("system_scope", &other, "all")),
        }
    }

    fn domain_of(&self, what: &str) -> Domain {
        let id = |name: &str| self.first(&[name]).map(Domain::Id);
        let name = |name: &str| self.first(&[name]).map(Domain::Name);
        id(&format!("{what}_domain_id"))
            .or_else(|| name(&format!("{what}_domain_name")))
            .or_else(|| id("default_domain_id"))
            .or_else(|| name("default_domain_name"))
            .or_else(|| id("default_domain"))
            .unwrap_or_else(|| Domain::Id(DEFAULT_DOMAIN.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<CloudSettings, Error> {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        CloudSettings::from_options("[neutron]", find)
    }

    fn refused(pairs: &[(&str, &str)]) -> String {
        let error = read(pairs).expect_err("must be refused");
        assert_eq!(error.kind(), ErrorKind::Settings);
        error.to_string()
    }

    const PASSWORD: [(&str, &str); 4] =
        [("auth_url", "https://cloud:5000"), ("username", "kuryr"), ("password", "s3cret"), ("project_name", "k8s")];

    fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        [more, &PASSWORD].concat()
    }

    #[test]
    fn a_password_names_its_user_and_project() {
        let settings = read(&with(&[("user_domain_name", "Default")])).unwrap();
        let named = |name: &str, domain| Named::Name { name: name.to_owned(), domain };
        assert_eq!(
            settings.auth,
            Auth::Password {
                user: named("kuryr", Domain::Name("Default".to_owned())),
                password: Secret::new("s3cret"),
                scope: Scope::Project(named("k8s", Domain::Id("default".to_owned()))),
            }
        );
        assert_eq!(settings.interface, Interface::Public);
    }

    #[test]
    fn an_application_credential_is_recognised_without_a_type() {
        let settings = read(&[
            ("auth_url", "http://cloud/identity"),
            ("application_credential_id", "ac"),
            ("application_credential_secret", "s"),
        ]);
        let expected =
            Auth::ApplicationCredential { credential: ApplicationCredential::Id("ac".into()), secret: "s".into() };
        assert_eq!(settings.unwrap().auth, expected);
    }

    #[test]
    fn a_token_alone_is_used_as_it_is() {
        let settings = read(&[("auth_url", "http://cloud"), ("auth_type", "token"), ("token", "t")]).unwrap();
        assert_eq!(settings.auth, Auth::Token { token: "t".into(), scope: None });
    }

    #[test]
    fn the_session_options_are_read() {
        let settings = read(&with(&[
            ("region_name", "RegionOne"),
            ("endpoint_type", "internalURL"),
            ("cafile", "/etc/ca.pem"),
            ("timeout", "2.5"),
            ("insecure", "True"),
            ("network_endpoint_override", "http://neutron:9696"),
        ]))
        .unwrap();
        assert_eq!(settings.region.as_deref(), Some("RegionOne"));
        assert_eq!(settings.interface, Interface::Internal);
        assert_eq!(settings.cafile, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(settings.timeout, Duration::from_millis(2500));
        assert!(settings.insecure);
        assert_eq!(settings.network_endpoint.as_deref(), Some("http://neutron:9696"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named_with_a_cure() {
        assert_eq!(refused(&[]), "[neutron]: auth_url is not set; set auth_url");
        assert_eq!(
            refused(&[("auth_url", "http://cloud"), ("password", "x")]),
            "[neutron]: username is not set; set username or user_name or user-name"
        );
        assert_eq!(
            refused(&with(&[("auth_type", "v3kerberos")])),
            "[neutron]: auth_type = \"v3kerberos\" is not password, v3applicationcredential or v3token; \
             set auth_type to password, v3applicationcredential or v3token"
        );
        assert_eq!(
            refused(&with(&[("timeout", "soon")])),
            "[neutron]: timeout = \"soon\" is not a number of seconds above 0; set timeout to a number of seconds above 0"
        );
        assert!(refused(&with(&[("auth_url", "keystone:5000")])).contains("does not start with http:// or https://"));
        assert!(refused(&with(&[("keyfile", "/etc/key.pem")])).contains("certfile is not"));
        assert!(refused(&with(&[("interface", "outer")])).contains("public, internal or admin"));
    }

    #[test]
    fn no_way_of_printing_settings_shows_a_secret() {
        let shown = format!("{:?}", read(&PASSWORD).unwrap());
        assert!(shown.contains("kuryr") && !shown.contains("s3cret"), "{shown}");
    }
}
