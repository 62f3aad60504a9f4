//! How it is decided which of several controllers works.

use std::time::Duration;

use kuryr_controller::{Election, Identity};

use super::cluster::Variable;
use super::options::kuryr;
use super::{Conf, ConfError, names};

/// Environment of a pod, from the fields `metadata.name` and `metadata.namespace`.
const POD_NAME: &str = "POD_NAME";
const POD_NAMESPACE: &str = "POD_NAMESPACE";
/// Where kuryr-kubernetes runs, and its leader elector had its record.
const USUAL_NAMESPACE: &str = "kube-system";

impl Conf {
    /// The Lease and who we are in it; `None` if leader election is turned off.
    ///
    /// # Errors
    /// Options that are not allowed, or a host without a name.
    pub(crate) fn election(&self, variable: Variable<'_>) -> Result<Option<Election>, ConfError> {
        if !self.flag(&kuryr::leader_election)? {
            return Ok(None);
        }
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let namespace = match self.some_text(&kuryr::lease_namespace)? {
            Some(namespace) => namespace,
            None => variable(POD_NAMESPACE).unwrap_or_else(|| USUAL_NAMESPACE.to_owned()),
        };
        if !names::is_label(&namespace) {
            let trouble =
                format!("{namespace:?} is the name of no namespace: lower-case letters, digits and -, at most 63");
            return Err(if self.is_said(&kuryr::lease_namespace) {
                self.refuse(&kuryr::lease_namespace, &namespace, &trouble)
            } else {
                ConfError::Unusable(format!("{POD_NAMESPACE}: {trouble}"))
            });
        }
        let identity = match variable(POD_NAME) {
            Some(pod) => Identity::of_pod(&pod),
            None => Identity::of_process(&host()?),
        };
        let duration = Duration::from_secs(self.whole(&kuryr::lease_duration)?);
        let mut election = Election::new(namespace, identity, duration);
        if let Some(name) = self.some_text(&kuryr::lease_name)? {
            if !names::is_name(&name) {
                let trouble = "it names a Lease: lower-case letters, digits, - and ., at most 253";
                return Err(self.refuse(&kuryr::lease_name, &name, trouble));
            }
            election.name = name;
        }
        Ok(Some(election))
    }
}

fn host() -> Result<String, ConfError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        let trouble =
            format!("this host has no name to hold the Lease under; set {POD_NAME} from the field metadata.name");
        return Err(ConfError::Unusable(trouble));
    }
    Ok(name)
}
