//! A request taken apart, and an answer to be put together.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::Value;

/// A request, as the services look at it.
pub(crate) struct Ask {
    pub(crate) method: Method,
    /// The path within the service, without a slash at its end.
    pub(crate) path: String,
    /// The query, decoded, in its order.
    pub(crate) query: Vec<(String, String)>,
    /// What links in answers begin with: scheme, host and the path's prefix.
    pub(crate) base: String,
    pub(crate) token: Option<String>,
    pub(crate) subject_token: Option<String>,
    pub(crate) if_match: Option<String>,
    pub(crate) body: Bytes,
}

impl Ask {
    /// Takes a request apart. `prefix` is the part of its path before the service's own.
    pub(crate) fn new(request: &Request<Bytes>, prefix: &str) -> Ask {
        let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
        let uri = request.uri();
        let host = uri.authority().map(|host| host.to_string()).or_else(|| header("host"));
        let scheme = uri.scheme_str().unwrap_or("http");
        let path = uri.path().strip_prefix(prefix).unwrap_or(uri.path()).trim_end_matches('/');
        Ask {
            method: request.method().clone(),
            path: decode(path),
            query: pairs(uri.query().unwrap_or_default()),
            base: format!("{scheme}://{}{prefix}", host.unwrap_or_else(|| "localhost".to_owned())),
            token: header("x-auth-token"),
            subject_token: header("x-subject-token"),
            if_match: header("if-match"),
            body: request.body().clone(),
        }
    }

    /// A request of the cloud's own.
    pub(crate) fn internal(method: Method, path: &str, body: Vec<u8>) -> Ask {
        Ask {
            method,
            path: path.to_owned(),
            query: Vec::new(),
            base: String::new(),
            token: None,
            subject_token: None,
            if_match: None,
            body: body.into(),
        }
    }

    /// The first value of a parameter.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter; empty ones do not count.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.query.iter().filter(move |(key, value)| key == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// The attributes wanted; none for all. An empty one counts, and names nothing.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.query.iter().filter(|(key, _)| key == "fields").map(|(_, value)| value.as_str()).collect()
    }
}

/// An answer before it has a body in bytes.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Value>,
}

impl Answer {
    pub(crate) fn new(status: StatusCode, body: Value) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Some(body) }
    }

    pub(crate) fn ok(body: Value) -> Answer {
        Answer::new(StatusCode::OK, body)
    }

    pub(crate) fn empty() -> Answer {
        Answer { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: None }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// The answer as it goes out. A HEAD request gets no body.
    pub(crate) fn into_response(self, method: &Method) -> Response<Bytes> {
        let body = match &self.body {
            Some(body) if method != Method::HEAD => Bytes::from(body.to_string()),
            _ => Bytes::new(),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if self.body.is_some() {
            response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
}

/// The pairs of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let split = parts.map(|part| part.split_once('=').unwrap_or((part, "")));
    split.map(|(name, value)| (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))).collect()
}

/// Percent-decoding (RFC 3986, section 2.1). What is not a valid escape stays as it is.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encoding as Python's `urlencode` does it, for links.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let expected = [("a b", "c=d&"), ("x", ""), ("%zz", "ü")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(pairs("a+b=c%3Dd%26&x&%zz=%C3%BC"), expected);
        assert_eq!(decode("%2"), "%2");
        assert_eq!(encode("a b=ü"), "a+b%3D%C3%BC");
    }
}
