//! Where the OVSDB server listens, as `ovs-vsctl --db` and `[os_vif_ovs] ovsdb_connection` write it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where `ovsdb-server` listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OvsdbAddress {
    /// `unix:/run/openvswitch/db.sock`
    Unix(PathBuf),
    /// `tcp:127.0.0.1:6640`, host and port.
    Tcp(String),
}

/// An address that names no server we can talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no OVSDB address; write unix:/run/openvswitch/db.sock, or tcp:127.0.0.1:6640 where OVSDB listens on TCP"
)]
pub struct AddressError(String);

impl Default for OvsdbAddress {
    fn default() -> Self {
        Self::Unix(PathBuf::from("/run/openvswitch/db.sock"))
    }
}

impl FromStr for OvsdbAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(text.to_owned());
        match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(PathBuf::from(path))),
            Some(("tcp", server)) => {
                let (host, port) = server.rsplit_once(':').ok_or_else(refuse)?;
                let port: u16 = port.parse().map_err(|_| refuse())?;
                if host.is_empty() || port == 0 {
                    return Err(refuse());
                }
                Ok(Self::Tcp(server.to_owned()))
            }
            _ if text.starts_with('/') => Ok(Self::Unix(PathBuf::from(text))),
            _ => Err(refuse()),
        }
    }
}

impl fmt::Display for OvsdbAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(server) => write!(f, "tcp:{server}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_written() {
        for text in ["unix:/run/openvswitch/db.sock", "tcp:127.0.0.1:6640", "tcp:[::1]:6640"] {
            let address: OvsdbAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
        }
        let path: OvsdbAddress = "/run/openvswitch/db.sock".parse().unwrap();
        assert_eq!(path, OvsdbAddress::default());
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_cure() {
        for text in
            ["", "ssl:10.0.0.1:6640", "tcp:localhost", "tcp::6640", "tcp:localhost:0", "unix:relative", "punix:/x"]
        {
            let error = text.parse::<OvsdbAddress>().unwrap_err();
            assert!(error.to_string().contains("unix:/run/openvswitch/db.sock"), "{text}: {error}");
        }
    }
}
