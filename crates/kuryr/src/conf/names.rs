//! Texts that others will refuse later, and with other words: ids of OpenStack, names of Kubernetes.

use super::options::Definition;
use super::{Conf, ConfError};

/// Bytes of an interface's name in Linux (IFNAMSIZ without the 0 at its end). Open vSwitch makes one for a bridge.
const LONGEST_INTERFACE: usize = 15;

/// Whether this can be an id of OpenStack: 32 hexadecimal digits, or the same as a UUID.
pub(crate) fn is_id(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    matches!(lengths.as_slice(), [32] | [8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether this is a label of DNS (RFC 1123): the name of a namespace.
pub(crate) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// Whether this is a name of DNS (RFC 1123): the name of most objects.
pub(crate) fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// What is wrong with a name of a bridge, if anything is.
pub(crate) fn bad_bridge(name: &str) -> Option<&'static str> {
    let bad = name.len() > LONGEST_INTERFACE
        || matches!(name, "." | "..")
        || name.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    bad.then_some("write the name of a bridge: at most 15 bytes, no blank, no slash, no colon")
}

impl Conf {
    /// Refuses an id that is none. `kind` is the word of the `openstack` command line for what has it.
    pub(super) fn id(&self, option: &Definition, id: &str, kind: &str) -> Result<(), ConfError> {
        if is_id(id) {
            return Ok(());
        }
        let trouble = format!("it is no id; write what this prints: openstack {kind} show NAME -f value -c id");
        Err(self.refuse(option, id, &trouble))
    }

    /// The same for several, none of them twice.
    pub(super) fn ids(&self, option: &Definition, ids: &[String], kind: &str) -> Result<(), ConfError> {
        for (place, id) in ids.iter().enumerate() {
            self.id(option, id, kind)?;
            if ids[..place].contains(id) {
                return Err(self.refuse(option, id, "it is there twice; leave one out"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_and_whole() {
        assert!(is_id("84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4d") && is_id("84bf1d2c-3e4f-5a6b-7c8d-9e0f1a2b3c4d"));
        for no in ["", "k8s", "84bf", "84bf1d2c3e4f5a6b7c8d9e0f1a2b3c4g", "84bf1d2c3e4f-5a6b7c8d9e0f1a2b3c4d", "ü"] {
            assert!(!is_id(no), "{no}");
        }
    }

    #[test]
    fn names_are_those_of_dns() {
        assert!(is_name("kuryr-controller") && is_name("a.b-c.d1") && is_label("kube-system"));
        for no in ["", "Kuryr", "a_b", "-a", "a-", "a..b", ".a", "a b", &"a".repeat(64)] {
            assert!(!is_name(no) && !is_label(no), "{no}");
        }
        assert!(!is_label("a.b"));
    }

    #[test]
    fn bridges_are_interfaces() {
        assert_eq!((bad_bridge("br-int"), bad_bridge("br-0123456789ab")), (None, None));
        for no in ["br int", "a/b", "br-0123456789abc", "br:1", ".."] {
            assert!(bad_bridge(no).is_some(), "{no}");
        }
    }
}
