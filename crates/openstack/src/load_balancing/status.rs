//! How far Octavia is with something, and how it works.

use serde::{Deserialize, Serialize};

/// What Octavia does with a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProvisioningStatus {
    /// As asked for; takes changes.
    #[serde(rename = "ACTIVE")]
    Active,
    /// Failed. A load balancer in this state can only be deleted or failed over; a part of one can be changed and deleted.
    #[serde(rename = "ERROR")]
    Error,
    /// Being made.
    #[serde(rename = "PENDING_CREATE")]
    PendingCreate,
    /// Being changed.
    #[serde(rename = "PENDING_UPDATE")]
    PendingUpdate,
    /// Being deleted.
    #[serde(rename = "PENDING_DELETE")]
    PendingDelete,
    /// Gone.
    #[serde(rename = "DELETED")]
    Deleted,
    /// Not told, or a word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl ProvisioningStatus {
    /// Whether the resource takes no change until Octavia has done what it is at.
    pub fn is_pending(self) -> bool {
        matches!(self, Self::PendingCreate | Self::PendingUpdate | Self::PendingDelete)
    }

    /// Octavia's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Error => "ERROR",
            Self::PendingCreate => "PENDING_CREATE",
            Self::PendingUpdate => "PENDING_UPDATE",
            Self::PendingDelete => "PENDING_DELETE",
            Self::Deleted => "DELETED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What is observed of a resource at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OperatingStatus {
    /// Works.
    #[serde(rename = "ONLINE")]
    Online,
    /// Switched off, or nothing is behind it.
    #[serde(rename = "OFFLINE")]
    Offline,
    /// Takes no new connections.
    #[serde(rename = "DRAINING")]
    Draining,
    /// Some of what is behind it does not work.
    #[serde(rename = "DEGRADED")]
    Degraded,
    /// Does not work.
    #[serde(rename = "ERROR")]
    Error,
    /// Nobody looks.
    #[serde(rename = "NO_MONITOR")]
    NoMonitor,
    /// Not told, or a word we do not know.
    #[default]
    #[serde(other)]
    Unknown,
}
