//! The marks by which we know our own devices again: `ifalias` of host devices, `external_ids` of switch ports.

use std::collections::BTreeMap;

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The sandbox.
    pub(crate) container_id: String,
    /// The Neutron port.
    pub(crate) port_id: String,
    /// Name inside the pod.
    pub(crate) ifname: String,
}

const PREFIX: &str = "kuryr";
const CONTAINER_ID: &str = "kuryr-container-id";
const IFNAME: &str = "kuryr-ifname";

impl Mark {
    /// `kuryr CONTAINER-ID PORT-ID IFNAME`; none of them can contain a space, and the kernel takes up to 255 bytes.
    pub(crate) fn alias(&self) -> String {
        format!("{PREFIX} {} {} {}", self.container_id, self.port_id, self.ifname)
    }

    /// Reads [`Self::alias`] back; none for an alias of somebody else.
    pub(crate) fn from_alias(alias: &str) -> Option<Self> {
        let mut words = alias.split(' ');
        if words.next() != Some(PREFIX) {
            return None;
        }
        let mut word = || words.next().map(str::to_owned);
        let mark = Self { container_id: word()?, port_id: word()?, ifname: word()? };
        words.next().is_none().then_some(mark)
    }

    /// Our own keys among the `external_ids` of a switch port.
    pub(crate) fn external_ids(&self) -> [(&'static str, String); 2] {
        [(CONTAINER_ID, self.container_id.clone()), (IFNAME, self.ifname.clone())]
    }

    /// Reads [`Self::external_ids`] back; none for a port of somebody else, or of an older Kuryr.
    pub(crate) fn from_external_ids(ids: &BTreeMap<String, String>) -> Option<Self> {
        let get = |key: &str| ids.get(key).cloned();
        Some(Self { container_id: get(CONTAINER_ID)?, port_id: get("iface-id")?, ifname: get(IFNAME)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back() {
        let mark = Mark { container_id: "c".repeat(64), port_id: "p".repeat(36), ifname: "eth0".to_owned() };
        assert_eq!(Mark::from_alias(&mark.alias()), Some(mark.clone()));
        assert!(mark.alias().len() < 256);
        let mut ids: BTreeMap<_, _> = mark.external_ids().map(|(key, value)| (key.to_owned(), value)).into();
        assert_eq!(Mark::from_external_ids(&ids), None);
        ids.insert("iface-id".to_owned(), mark.port_id.clone());
        assert_eq!(Mark::from_external_ids(&ids), Some(mark));
    }

    #[test]
    fn marks_of_others_are_not_ours() {
        for alias in ["", "kuryr", "kuryr a b", "kuryr a b c d", "uplink of kuryr", "Kuryr a b c"] {
            assert_eq!(Mark::from_alias(alias), None, "{alias}");
        }
    }
}
