//! The part of an address after the question mark.

use std::fmt;

/// Names and values, percent-encoded as they are added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(String);

impl Query {
    /// Adds one `name=value`.
    pub(crate) fn push(&mut self, name: &str, value: impl AsRef<str>) {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(&Query::encode(name));
        self.0.push('=');
        self.0.push_str(&Query::encode(value.as_ref()));
    }

    /// Adds `name=value` if there is a value.
    pub(crate) fn option(&mut self, name: &str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// Adds `name=value` for each value: any of them.
    pub(crate) fn each(&mut self, name: &str, values: impl IntoIterator<Item = impl AsRef<str>>) {
        for value in values {
            self.push(name, value);
        }
    }

    /// Percent-encodes everything but the unreserved characters of RFC 3986 section 2.3.
    pub(crate) fn encode(text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded
    }

    /// Both queries in one.
    pub(crate) fn and(mut self, other: &Query) -> Query {
        match self.0.is_empty() {
            true => self.0.push_str(&other.0),
            false => self.0.push_str(&other.0.replacen('?', "&", 1)),
        }
        self
    }

    /// Length in the address, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
