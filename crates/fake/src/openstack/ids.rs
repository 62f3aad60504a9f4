//! Ids, hardware addresses and secrets from a seed: the same calls in the same order get the same ids.

use std::net::Ipv4Addr;

/// Where ids come from.
pub(crate) struct Ids(fastrand::Rng);

impl Ids {
    pub(crate) fn new(seed: u64) -> Ids {
        Ids(fastrand::Rng::with_seed(seed))
    }

    /// An id as Neutron writes it: a version 4 UUID.
    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.0.u128(..).to_be_bytes()).into_uuid().to_string()
    }

    /// An id as Keystone writes it: 32 hexadecimal digits.
    pub(crate) fn hex(&mut self) -> String {
        format!("{:032x}", self.0.u128(..))
    }

    /// An opaque secret: a token, or that of an application credential.
    pub(crate) fn secret(&mut self) -> String {
        (0..86).map(|_| self.0.alphanumeric()).collect()
    }

    /// A hardware address with Neutron's default prefix (`base_mac`).
    pub(crate) fn mac(&mut self) -> String {
        let [_, a, b, c] = Ipv4Addr::from_bits(self.0.u32(..)).octets();
        format!("fa:16:3e:{a:02x}:{b:02x}:{c:02x}")
    }

    /// A number for a tenant network on the wire.
    pub(crate) fn segmentation_id(&mut self) -> u32 {
        self.0.u32(1..=65535)
    }
}
