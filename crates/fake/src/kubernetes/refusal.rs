//! What the API server answers when it refuses: a `Status` object.

use std::collections::BTreeMap;
use std::fmt;

use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::Kind;

/// A refused request, as the API server words it (`metav1.Status` with `status: Failure`).
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status, also in the body.
    pub code: StatusCode,
    /// One word for programs, such as `NotFound`; empty if the server names none.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
}

/// One cause of a 422: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    pub(super) field: String,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Cause {
    pub(super) fn required(field: impl Into<String>, why: &str) -> Cause {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Cause { field: field.into(), reason: "FieldValueRequired", message }
    }

    pub(super) fn invalid(field: impl Into<String>, value: &Value, why: &str) -> Cause {
        Cause { field: field.into(), reason: "FieldValueInvalid", message: format!("Invalid value: {value}: {why}") }
    }

    pub(super) fn wrong_type(field: impl Into<String>, found: &str, why: &str) -> Cause {
        let message = format!("Invalid value: \"{found}\": {why}");
        Cause { field: field.into(), reason: "FieldValueTypeInvalid", message }
    }

    pub(super) fn forbidden(field: impl Into<String>, why: &str) -> Cause {
        Cause { field: field.into(), reason: "FieldValueForbidden", message: format!("Forbidden: {why}") }
    }

    pub(super) fn unsupported(field: impl Into<String>, value: &Value, allowed: &[Value]) -> Cause {
        let allowed: Vec<_> = allowed.iter().map(Value::to_string).collect();
        let message = format!("Unsupported value: {value}: supported values: {}", allowed.join(", "));
        Cause { field: field.into(), reason: "FieldValueNotSupported", message }
    }

    pub(super) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause { field: field.into(), reason: "FieldValueDuplicate", message: format!("Duplicate value: {value}") }
    }
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), details: None }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Refusal {
        self.details = Some(details(&kind.group, name, &kind.plural));
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(super) fn not_found(kind: &Kind, name: &str) -> Refusal {
        let message = format!("{} \"{name}\" not found", kind.qualified());
        Refusal::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// The path names nothing that is served.
    pub(super) fn not_served() -> Refusal {
        let mut refusal =
            Refusal::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource");
        refusal.details = Some(json!({}));
        refusal
    }

    pub(super) fn already_exists(kind: &Kind, name: &str) -> Refusal {
        let message = format!("{} \"{name}\" already exists", kind.qualified());
        Refusal::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    pub(super) fn conflict(kind: &Kind, name: &str, why: &str) -> Refusal {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified());
        Refusal::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// A deletion meant for another object, or for another version of it.
    pub(super) fn precondition(kind: &Kind, name: &str, why: &str) -> Refusal {
        let subject = if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) };
        let message = format!("Operation cannot be fulfilled on {subject} \"{name}\": {why}");
        let mut refusal = Refusal::new(StatusCode::CONFLICT, "Conflict", message);
        refusal.details = Some(details(&kind.group, name, &kind.kind));
        refusal
    }

    /// A pod that cannot be bound.
    pub(super) fn unbindable(name: &str, why: &str) -> Refusal {
        let message = format!("Operation cannot be fulfilled on pods/binding \"{name}\": {why}");
        let mut refusal = Refusal::new(StatusCode::CONFLICT, "Conflict", message);
        refusal.details = Some(details("", name, "pods/binding"));
        refusal
    }

    /// What the API server did not foresee.
    pub(super) fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    pub(super) fn stale(kind: &Kind, name: &str) -> Refusal {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Refusal::conflict(kind, name, why)
    }

    pub(super) fn forbidden(kind: &Kind, name: &str, why: &str) -> Refusal {
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.qualified());
        Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message).about(kind, name)
    }

    pub(super) fn terminating(kind: &Kind, name: &str, namespace: &str) -> Refusal {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Refusal::forbidden(kind, name, &why);
        if let Some(details) = &mut refusal.details {
            details["causes"] = json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]);
        }
        refusal
    }

    pub(super) fn invalid(kind: &Kind, name: &str, causes: Vec<Cause>) -> Refusal {
        // Events are validated as what they are stored as.
        let group = if kind.is("events") { "" } else { &kind.group };
        let subject = if group.is_empty() { kind.kind.clone() } else { format!("{}.{group}", kind.kind) };
        Refusal::invalid_as(&subject, group, &kind.kind, name, causes)
    }

    /// An update that names no version, of a kind that wants one.
    pub(super) fn unconditional(kind: &Kind, name: &str) -> Refusal {
        let cause = Cause::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        Refusal::invalid_as(&kind.qualified(), &kind.group, &kind.plural, name, vec![cause])
    }

    /// Options of a patch that lack something.
    pub(super) fn patch_options(cause: Cause) -> Refusal {
        Refusal::invalid_as("PatchOptions.meta.k8s.io", "meta.k8s.io", "PatchOptions", "", vec![cause])
    }

    fn invalid_as(subject: &str, group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Refusal {
        let said: Vec<_> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        let said = if said.len() == 1 { said.concat() } else { format!("[{}]", said.join(", ")) };
        let mut refusal = Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            format!("{subject} \"{name}\" is invalid: {said}"),
        );
        let mut details = details(group, name, kind);
        details["causes"] = causes
            .into_iter()
            .map(|cause| json!({ "reason": cause.reason, "message": cause.message, "field": cause.field }))
            .collect();
        refusal.details = Some(details);
        refusal
    }

    /// Options of a list or watch that do not go together.
    pub(super) fn list_options(field: &str, why: &str) -> Refusal {
        Refusal::invalid_as(
            "ListOptions.meta.k8s.io",
            "meta.k8s.io",
            "ListOptions",
            "",
            vec![Cause::forbidden(field, why)],
        )
    }

    /// A patch that does not apply.
    pub(super) fn patch_fails() -> Refusal {
        let mut refusal = Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Invalid",
            "the server rejected our request due to an error in our request",
        );
        refusal.details = Some(json!({}));
        refusal
    }

    /// Conflicts of server-side apply, as (manager, field) pairs.
    pub(super) fn apply_conflicts(conflicts: &[(String, String)]) -> Refusal {
        let said = match conflicts {
            [(manager, field)] => format!("Apply failed with 1 conflict: conflict with {manager}: {field}"),
            many => {
                let mut by_manager: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for (manager, field) in many {
                    by_manager.entry(manager).or_default().push(field);
                }
                let lines = by_manager.into_iter().map(|(manager, fields)| {
                    let fields: Vec<_> = fields.into_iter().map(|field| format!("\n- {field}")).collect();
                    format!("conflicts with {manager}:{}", fields.concat())
                });
                let lines: Vec<_> = lines.collect();
                format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
            }
        };
        let mut refusal = Refusal::new(StatusCode::CONFLICT, "Conflict", said);
        let causes: Vec<_> = conflicts
            .iter()
            .map(|(manager, field)| {
                let message = format!("conflict with {manager}");
                json!({ "reason": "FieldManagerConflict", "message": message, "field": field })
            })
            .collect();
        refusal.details = Some(json!({ "causes": causes }));
        refusal
    }

    /// The version asked for is forgotten.
    pub(super) fn gone(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::GONE, "Expired", message)
    }

    /// The version asked for is yet to come.
    pub(super) fn version_too_large(wanted: u64, current: u64) -> Refusal {
        let message = format!("Too large resource version: {wanted}, current: {current}");
        let mut refusal = Refusal::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message);
        refusal.details = Some(json!({
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
            "retryAfterSeconds": 1,
        }));
        refusal
    }

    pub(super) fn method_not_allowed() -> Refusal {
        let mut refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        );
        refusal.details = Some(json!({}));
        refusal
    }

    pub(super) fn unsupported_media_type() -> Refusal {
        let message =
            "the body of the request was in an unknown format - accepted media types include: application/json";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    pub(super) fn unsupported_patch(custom: bool) -> Refusal {
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        if custom {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return Refusal::new(code, "UnsupportedMediaType", message);
        }
        let mut refusal = Refusal::new(code, "UnsupportedMediaType", "415: Unsupported Media Type");
        refusal.details = Some(json!({}));
        refusal
    }

    /// What a server under stress says with this status.
    pub(super) fn fault(code: StatusCode, retry_after: Option<u64>) -> Refusal {
        let (reason, message) = match code.as_u16() {
            403 => ("Forbidden", "the server does not allow access to the requested resource"),
            409 => ("Conflict", "the server reported a conflict"),
            410 => ("Expired", "The resourceVersion for the provided watch is too old."),
            429 => ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
            500 => ("InternalError", "an error on the server (\"fault\") has prevented the request from succeeding"),
            503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
            504 => ("Timeout", "the server was unable to return a response in the time allotted"),
            _ => ("", "a fault the fake was told to make"),
        };
        let mut refusal = Refusal::new(code, reason, message);
        refusal.details = retry_after.map(|seconds| json!({ "retryAfterSeconds": seconds }));
        refusal
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code.as_u16(),
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code.as_u16(), self.reason, self.message)
    }
}

impl std::error::Error for Refusal {}

/// The answer to a write that returns no object.
pub(super) fn success(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = details(&kind.group, name, &kind.plural);
    details["uid"] = uid.into();
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}

fn details(group: &str, name: &str, what: &str) -> Value {
    let mut details = json!({ "kind": what });
    for (field, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            details[field] = value.into();
        }
    }
    details
}
