//! The seam between requests and the datapath: the product always uses the real [`Plugger`]; unit tests of the request
//! flow, on a paused clock, script it.

use kuryr_api::vif::Vif;

use crate::kernel::rtnetlink::Rtnetlink;
use crate::plug::{Attachment, OwnedDevice, PlugError, Plugged, Plugger, Readiness, UnplugErrors};

/// Who does the wiring.
#[derive(Clone, Debug)]
pub(crate) enum Wiring {
    /// Kernel and Open vSwitch.
    Real(Plugger),
    /// A test's script.
    #[cfg(test)]
    Scripted(crate::requests::script::Script),
}

/// Calls the method of whoever does the wiring.
macro_rules! delegate {
    ($self:ident.$method:ident($($argument:expr),*)) => {
        match $self {
            Self::Real(plugger) => plugger.$method($($argument),*).await,
            #[cfg(test)]
            Self::Scripted(script) => script.$method($($argument),*).await,
        }
    };
}

impl Wiring {
    pub(crate) async fn plug(&self, attachment: &Attachment) -> Result<Plugged, PlugError> {
        delegate!(self.plug(attachment))
    }

    pub(crate) fn announce(&self, attachment: &Attachment) {
        match self {
            Self::Real(plugger) => plugger.announce(attachment),
            #[cfg(test)]
            Self::Scripted(script) => script.announce(attachment),
        }
    }

    pub(crate) async fn unplug(&self, attachment: &Attachment, netns_present: bool) -> Result<(), UnplugErrors> {
        delegate!(self.unplug(attachment, netns_present))
    }

    pub(crate) async fn remove(&self, device: &OwnedDevice) -> Result<(), UnplugErrors> {
        delegate!(self.remove(device))
    }

    pub(crate) async fn check(&self, attachment: &Attachment) -> Result<(), PlugError> {
        delegate!(self.check(attachment))
    }

    pub(crate) async fn wait_ready(&self, vif: &Vif) -> Readiness {
        delegate!(self.wait_ready(vif))
    }

    pub(crate) async fn status(&self) -> Result<(), PlugError> {
        delegate!(self.status())
    }

    pub(crate) async fn owned(&self) -> Result<Vec<OwnedDevice>, PlugError> {
        delegate!(self.owned())
    }

    /// Whether the host has a device of this name; in doubt it has.
    pub(crate) async fn device_exists(&self, name: &str) -> bool {
        match self {
            Self::Real(_) => {
                let name = name.to_owned();
                let look = move || Rtnetlink::open().and_then(|mut host| host.link(&name));
                let found = tokio::task::spawn_blocking(look).await;
                !matches!(found, Ok(Ok(None)))
            }
            #[cfg(test)]
            Self::Scripted(script) => script.device_exists(name),
        }
    }
}
