//! Keystone v3: who there is, and where services are.

mod requests;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

pub(crate) use requests::answer;
pub(crate) use tokens::Token;

use super::ids::Ids;

/// The one domain there is.
pub(crate) const DOMAIN: (&str, &str) = ("default", "Default");

pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) name: String,
}

pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) password: String,
    /// Names of the roles in each project.
    pub(crate) roles: BTreeMap<String, Vec<String>>,
    pub(crate) default_project: Option<String>,
}

pub(crate) struct ApplicationCredential {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) user: String,
    pub(crate) project: String,
}

/// A service of the catalog.
pub(crate) struct Service {
    pub(crate) id: String,
    /// `network`.
    pub(crate) kind: &'static str,
    /// `neutron`.
    pub(crate) name: &'static str,
    pub(crate) url: String,
    endpoints: [String; 3],
}

/// Everything Keystone knows.
pub(crate) struct Identity {
    pub(crate) region: String,
    pub(crate) projects: BTreeMap<String, Project>,
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) application_credentials: BTreeMap<String, ApplicationCredential>,
    pub(crate) services: Vec<Service>,
    pub(crate) tokens: BTreeMap<String, Token>,
    pub(crate) token_life: Duration,
}

impl Identity {
    pub(crate) fn new(ids: &mut Ids) -> Identity {
        let roles = ["admin", "member", "reader"].map(|name| (name.to_owned(), ids.hex()));
        let mut service = |kind, name| Service {
            id: ids.hex(),
            kind,
            name,
            url: String::new(),
            endpoints: [ids.hex(), ids.hex(), ids.hex()],
        };
        let services =
            vec![service("identity", "keystone"), service("network", "neutron"), service("load-balancer", "octavia")];
        Identity {
            region: "RegionOne".to_owned(),
            projects: BTreeMap::new(),
            users: BTreeMap::new(),
            roles: BTreeMap::from(roles),
            application_credentials: BTreeMap::new(),
            services,
            tokens: BTreeMap::new(),
            token_life: Duration::from_secs(3600),
        }
    }

    pub(crate) fn add_project(&mut self, ids: &mut Ids, name: &str) -> String {
        if let Some(project) = self.projects.values().find(|project| project.name == name) {
            return project.id.clone();
        }
        let id = ids.hex();
        self.projects.insert(id.clone(), Project { id: id.clone(), name: name.to_owned() });
        id
    }

    pub(crate) fn add_user(
        &mut self,
        ids: &mut Ids,
        name: &str,
        password: &str,
        project: &str,
        roles: &[&str],
    ) -> String {
        for role in roles {
            self.roles.entry((*role).to_owned()).or_insert_with(|| ids.hex());
        }
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        if let Some(user) = self.users.values_mut().find(|user| user.name == name) {
            user.password = password.to_owned();
            user.roles.insert(project.to_owned(), roles);
            return user.id.clone();
        }
        let id = ids.hex();
        let user = User {
            id: id.clone(),
            name: name.to_owned(),
            password: password.to_owned(),
            roles: BTreeMap::from([(project.to_owned(), roles)]),
            default_project: Some(project.to_owned()),
        };
        self.users.insert(id.clone(), user);
        id
    }

    /// The new credential's id and secret; `None` if there is no such user.
    pub(crate) fn add_application_credential(
        &mut self,
        ids: &mut Ids,
        user: &str,
        project: &str,
        name: &str,
    ) -> Option<(String, String)> {
        let user = self.users.values().find(|known| known.name == user)?.id.clone();
        let (id, secret) = (ids.hex(), ids.secret());
        let credential = ApplicationCredential {
            id: id.clone(),
            name: name.to_owned(),
            secret: secret.clone(),
            user,
            project: project.to_owned(),
        };
        self.application_credentials.insert(id.clone(), credential);
        Some((id, secret))
    }

    pub(crate) fn service_url(&self, kind: &str) -> &str {
        self.services.iter().find(|service| service.kind == kind).map_or("", |service| &service.url)
    }

    pub(crate) fn set_service_url(&mut self, kind: &str, url: &str) {
        if let Some(service) = self.services.iter_mut().find(|service| service.kind == kind) {
            service.url = url.trim_end_matches('/').to_owned();
        }
    }

    /// The catalog as a token carries it.
    fn catalog(&self) -> Value {
        let entries = self.services.iter().filter(|service| !service.url.is_empty()).map(|service| {
            let endpoints = ["admin", "internal", "public"].iter().zip(&service.endpoints).map(|(interface, id)| {
                json!({"id": id, "interface": interface, "region_id": self.region, "region": self.region, "url": service.url})
            });
            json!({"id": service.id, "type": service.kind, "name": service.name, "endpoints": endpoints.collect::<Vec<_>>()})
        });
        entries.collect()
    }
}
