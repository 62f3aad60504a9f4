//! What a service says when it does not do as asked.

use http::StatusCode;
use serde_json::{Value, json};

/// A refusal: a status and the words for it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Neutron's name of the exception (`PortNotFound`); Keystone's title.
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, kind: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, kind: kind.to_owned(), message: message.into() }
    }

    /// 400 as the API layer says it, before any plugin saw the request.
    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "HTTPBadRequest", message)
    }

    /// 400 as a plugin says it.
    pub(crate) fn invalid_input(message: impl AsRef<str>) -> Refusal {
        let message = format!("Invalid input for operation: {}.", message.as_ref());
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidInput", message)
    }

    /// 400 for one attribute.
    pub(crate) fn invalid_attribute(name: &str, reason: impl AsRef<str>) -> Refusal {
        Refusal::bad_request(format!("Invalid input for {name}. Reason: {}.", reason.as_ref()))
    }

    /// 400 about a whole resource.
    pub(crate) fn bad(resource: &str, message: impl AsRef<str>) -> Refusal {
        let message = format!("Bad {resource} request: {}.", message.as_ref());
        Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn conflict(kind: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::CONFLICT, kind, message)
    }

    pub(crate) fn not_found(kind: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, kind, message)
    }

    /// 403 for a rule of the policy.
    pub(crate) fn forbidden(rule: impl AsRef<str>) -> Refusal {
        let message = format!("{} is disallowed by policy", rule.as_ref());
        Refusal::new(StatusCode::FORBIDDEN, "PolicyNotAuthorized", message)
    }

    /// 500 where the real service stumbles.
    pub(crate) fn internal_error() -> Refusal {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "HTTPInternalServerError",
            "Request Failed: internal server error while processing your request.",
        )
    }

    /// 404 of the router of paths.
    pub(crate) fn no_such_path() -> Refusal {
        Refusal::not_found("HTTPNotFound", "The resource could not be found.")
    }

    /// 405.
    pub(crate) fn no_such_method() -> Refusal {
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTPMethodNotAllowed",
            "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        )
    }

    /// 401, which Neutron leaves to Keystone's middleware.
    pub(crate) fn unauthorized() -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "The request you have made requires authentication.")
    }

    /// The body as Neutron writes it.
    pub(crate) fn neutron(&self) -> Value {
        if self.status == StatusCode::UNAUTHORIZED {
            return self.keystone();
        }
        json!({"NeutronError": {"type": self.kind, "message": self.message, "detail": ""}})
    }

    /// The body as Octavia writes it.
    pub(crate) fn octavia(&self) -> Value {
        if self.status == StatusCode::UNAUTHORIZED {
            return self.keystone();
        }
        json!({"faultcode": "Client", "faultstring": self.message, "debuginfo": null})
    }

    /// The body as Keystone writes it.
    pub(crate) fn keystone(&self) -> Value {
        json!({"error": {"code": self.status.as_u16(), "message": self.message, "title": self.kind}})
    }
}
