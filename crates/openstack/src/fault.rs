//! What an answer other than 2xx says.

use http::StatusCode;
use serde_json::Value;

use crate::ErrorKind;

/// The content of an error answer.
pub(crate) struct Fault {
    pub(crate) kind: ErrorKind,
    /// Neutron's exception name, Keystone's title.
    pub(crate) code: Option<String>,
    pub(crate) message: String,
}

/// More of a proxy's error page than this tells nobody anything.
const MAX_MESSAGE: usize = 1000;

impl Fault {
    /// Reads the body in any of the shapes OpenStack services use, or what a proxy put in its place.
    pub(crate) fn read(status: StatusCode, body: &[u8]) -> Fault {
        let (code, message) = match serde_json::from_slice::<Value>(body) {
            Ok(json) => from_json(&json),
            Err(_) => (None, plain_text(body)),
        };
        let message = message
            .filter(|text| !text.is_empty())
            .unwrap_or_else(|| status.canonical_reason().unwrap_or("no reason given").to_owned());
        Fault { kind: kind(status, code.as_deref(), &message), code, message: shorten(message) }
    }
}

fn from_json(json: &Value) -> (Option<String>, Option<String>) {
    let text = |value: &Value| value.as_str().map(one_line);
    // Neutron: {"NeutronError": {"type", "message", "detail"}}, rarely only a string.
    match &json["NeutronError"] {
        Value::Object(fault) => {
            let part = |key: &str| fault.get(key).and_then(text).filter(|t| !t.is_empty());
            return (part("type"), part("message").or_else(|| part("detail")));
        }
        Value::String(message) => return (None, Some(one_line(message))),
        _ => {}
    }
    // Keystone: {"error": {"code", "message", "title"}}.
    if let Value::Object(fault) = &json["error"] {
        return (fault.get("title").and_then(text), fault.get("message").and_then(text));
    }
    // Octavia: {"faultcode": "Client", "faultstring": …}; keystonemiddleware and paste: {"message"}.
    let message = text(&json["faultstring"]).or_else(|| text(&json["message"]));
    (None, message.or_else(|| Some(one_line(&json.to_string()))))
}

/// An HTML or plain page without its tags.
fn plain_text(body: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(body);
    let mut text = String::with_capacity(page.len());
    let mut in_tag = false;
    for character in page.chars() {
        match character {
            '<' => in_tag = true,
            '>' if in_tag => {
                in_tag = false;
                text.push(' ');
            }
            _ if in_tag => {}
            _ => text.push(character),
        }
    }
    Some(one_line(&text))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shorten(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
        message.push('…');
    }
    message
}

fn kind(status: StatusCode, code: Option<&str>, message: &str) -> ErrorKind {
    let code = code.unwrap_or_default();
    match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorKind::NotFound,
        // Neutron's quota errors are 409 OverQuota and SubnetPoolQuotaExceeded, Octavia's is a 403 in words.
        StatusCode::CONFLICT if code == "OverQuota" || code.contains("QuotaExceeded") => ErrorKind::OverQuota,
        StatusCode::FORBIDDEN if message.starts_with("Quota has been met") => ErrorKind::OverQuota,
        StatusCode::CONFLICT if code.starts_with("IpAddressGenerationFailure") => ErrorKind::AddressesExhausted,
        // An empty subnet pool is a 500, one that is in use a 400.
        _ if code == "SubnetAllocationError" => ErrorKind::AddressesExhausted,
        _ if code == "SubnetPoolDeleteError" => ErrorKind::Conflict,
        // Octavia's, in words: "Load Balancer … is immutable and cannot be updated.", "Invalid state PENDING_UPDATE of …".
        StatusCode::CONFLICT if message.contains(" is immutable ") || message.starts_with("Invalid state PENDING_") => {
            ErrorKind::Busy
        }
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::PRECONDITION_FAILED => ErrorKind::Outdated,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthorized,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::TooManyRequests,
        StatusCode::REQUEST_TIMEOUT => ErrorKind::Timeout,
        StatusCode::NOT_IMPLEMENTED => ErrorKind::BadRequest,
        status if status.is_client_error() => ErrorKind::BadRequest,
        status if status.is_server_error() => ErrorKind::Unavailable,
        _ => ErrorKind::Protocol,
    }
}
