//! Tokens: credentials in, a token out; who holds a token.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{DOMAIN, Identity, Project, User};
use crate::openstack::clock::Clock;
use crate::openstack::ids::Ids;
use crate::openstack::refusal::Refusal;

/// A token someone holds.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) user: String,
    pub(crate) project: Option<String>,
    methods: Vec<String>,
    issued: Timestamp,
    expires: Timestamp,
    audit: String,
    /// Id, name and whether it is restricted, if the token came from one.
    application_credential: Option<(String, String)>,
}

/// Who proved to be who, by which methods.
struct Proof {
    user: String,
    methods: Vec<String>,
    /// The project an application credential is bound to.
    bound_to: Option<String>,
    application_credential: Option<(String, String)>,
    /// A token got by a token ends with it.
    expires: Option<Timestamp>,
}

impl Identity {
    /// The holder of a valid token.
    pub(crate) fn holder(&self, token: &str, now: Timestamp) -> Option<&Token> {
        self.tokens.get(token).filter(|token| now < token.expires)
    }

    /// Names of the roles of a token.
    pub(crate) fn token_roles(&self, token: &Token) -> &[String] {
        let of_user = |project| self.users.get(&token.user)?.roles.get(project);
        token.project.as_ref().and_then(of_user).map(Vec::as_slice).unwrap_or_default()
    }

    /// `POST /v3/auth/tokens`: the new token and its body.
    pub(super) fn issue(&mut self, ids: &mut Ids, now: Timestamp, body: &Value) -> Result<(String, Value), Refusal> {
        let auth = body.get("auth").filter(|auth| auth.is_object()).ok_or_else(|| malformed("auth"))?;
        let proof = self.proof(&auth["identity"], now)?;
        let project = self.scope(auth.get("scope"), &proof)?;
        let life = SignedDuration::try_from(self.token_life).unwrap_or(SignedDuration::from_hours(1));
        let token = Token {
            user: proof.user,
            project,
            methods: proof.methods,
            issued: now,
            expires: proof.expires.unwrap_or(now + life),
            audit: ids.secret()[..22].to_owned(),
            application_credential: proof.application_credential,
        };
        self.tokens.retain(|_, token| now < token.expires);
        let body = self.token_body(&token);
        let secret = format!("gAAAAA{}", ids.secret());
        self.tokens.insert(secret.clone(), token);
        Ok((secret, body))
    }

    fn proof(&self, identity: &Value, now: Timestamp) -> Result<Proof, Refusal> {
        let methods = identity["methods"].as_array().ok_or_else(|| malformed("identity"))?;
        let methods: Vec<_> = methods.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let [method] = methods.as_slice() else {
            return Err(malformed("methods"));
        };
        let details = &identity[method.as_str()];
        match method.as_str() {
            "password" => {
                let user = self.user(&details["user"]).ok_or_else(Refusal::unauthorized)?;
                if details["user"]["password"].as_str() != Some(&user.password) {
                    return Err(Refusal::unauthorized());
                }
                Ok(Proof {
                    user: user.id.clone(),
                    methods,
                    bound_to: None,
                    application_credential: None,
                    expires: None,
                })
            }
            "application_credential" => self.application_credential_proof(details, methods),
            "token" => {
                let secret = details["id"].as_str().unwrap_or_default();
                let token = self.holder(secret, now).ok_or_else(unknown_token)?;
                let mut methods = token.methods.clone();
                methods.insert(0, "token".to_owned());
                methods.dedup();
                Ok(Proof {
                    user: token.user.clone(),
                    methods,
                    bound_to: None,
                    application_credential: token.application_credential.clone(),
                    expires: Some(token.expires),
                })
            }
            _ => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "Unauthorized",
                "Attempted to authenticate with an unsupported method.",
            )),
        }
    }

    fn application_credential_proof(&self, details: &Value, methods: Vec<String>) -> Result<Proof, Refusal> {
        let named = details["id"].as_str().or(details["name"].as_str()).unwrap_or_default();
        let credential = match details["id"].as_str() {
            Some(id) => self.application_credentials.get(id),
            None => {
                let user = self.user(&details["user"]).ok_or_else(Refusal::unauthorized)?;
                let mut credentials = self.application_credentials.values();
                credentials.find(|credential| credential.user == user.id && credential.name == named)
            }
        };
        let credential = credential.ok_or_else(|| {
            Refusal::not_found("Not Found", format!("Could not find Application Credential: {named}."))
        })?;
        if details["secret"].as_str() != Some(&credential.secret) {
            return Err(Refusal::unauthorized());
        }
        Ok(Proof {
            user: credential.user.clone(),
            methods,
            bound_to: Some(credential.project.clone()),
            application_credential: Some((credential.id.clone(), credential.name.clone())),
            expires: None,
        })
    }

    /// The project the token is for. Without a scope it is the user's default project, as in Keystone.
    fn scope(&self, scope: Option<&Value>, proof: &Proof) -> Result<Option<String>, Refusal> {
        if let Some(project) = &proof.bound_to {
            return match scope {
                None => Ok(Some(project.clone())),
                Some(_) => Err(Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "Unauthorized",
                    "Application credentials cannot request a scope.",
                )),
            };
        }
        let user = self.users.get(&proof.user).ok_or_else(Refusal::unauthorized)?;
        match scope {
            None => Ok(user.default_project.clone()),
            Some(Value::String(word)) if word == "unscoped" => Ok(None),
            Some(scope) if scope.get("unscoped").is_some() => Ok(None),
            Some(scope) => {
                let project = self.project(&scope["project"]).ok_or_else(Refusal::unauthorized)?;
                let has_role = user.roles.get(&project.id).is_some_and(|roles| !roles.is_empty());
                has_role.then(|| Some(project.id.clone())).ok_or_else(Refusal::unauthorized)
            }
        }
    }

    /// A user by id, or by name and domain.
    fn user(&self, named: &Value) -> Option<&User> {
        match named["id"].as_str() {
            Some(id) => self.users.get(id),
            None => {
                let name = named["name"].as_str().filter(|_| in_domain(named))?;
                self.users.values().find(|user| user.name == name)
            }
        }
    }

    fn project(&self, named: &Value) -> Option<&Project> {
        match named["id"].as_str() {
            Some(id) => self.projects.get(id),
            None => {
                let name = named["name"].as_str().filter(|_| in_domain(named))?;
                self.projects.values().find(|project| project.name == name)
            }
        }
    }

    /// The body of a token, as issued and as validated.
    pub(super) fn token_body(&self, token: &Token) -> Value {
        let domain = json!({"id": DOMAIN.0, "name": DOMAIN.1});
        let name = self.users.get(&token.user).map_or("", |user| &user.name);
        let mut body = json!({
            "methods": token.methods,
            "user": {"domain": domain, "id": token.user, "name": name, "password_expires_at": null},
            "audit_ids": [token.audit],
            "expires_at": Clock::micros(token.expires),
            "issued_at": Clock::micros(token.issued),
        });
        if let Some(project) = token.project.as_ref().and_then(|id| self.projects.get(id)) {
            body["project"] = json!({"domain": domain, "id": project.id, "name": project.name});
            body["is_domain"] = json!(false);
            let roles = self.token_roles(token).iter().map(|name| json!({"id": self.roles.get(name), "name": name}));
            body["roles"] = roles.collect();
            body["catalog"] = self.catalog();
        }
        if let Some((id, name)) = &token.application_credential {
            body["application_credential"] = json!({"id": id, "name": name, "restricted": true});
        }
        json!({"token": body})
    }
}

fn in_domain(named: &Value) -> bool {
    let domain = &named["domain"];
    domain["id"] == DOMAIN.0 || domain["name"] == DOMAIN.1
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "Bad Request",
        format!(
            "Expecting to find {what} in request body. The server could not comply with the request since it is \
             either malformed or otherwise incorrect. The client is assumed to be in error."
        ),
    )
}

pub(super) fn unknown_token() -> Refusal {
    Refusal::not_found("Not Found", "Could not recognize Fernet token")
}
