//! Everything a start makes of a configuration, made without starting: what `kuryr config check` tells.

use kuryr_openstack::Cloud;

use super::cluster::Variable;
use super::options::Reader;
use super::{Conf, ConfError};
use crate::cli::program_name;
use crate::kubeconfig;
use crate::logs::Logs;

/// What a start would meet.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// It would not get further.
    pub(crate) errors: Vec<ConfError>,
    /// It would not get further on this machine; elsewhere it may.
    pub(crate) warnings: Vec<String>,
}

impl Conf {
    /// Goes through all of it, so that every mistake is told at once. Asks neither cluster nor cloud.
    pub(crate) async fn try_start(&self, variable: Variable<'_>) -> Found {
        let mut outcomes = vec![Logs::look(self, self.program)];
        if self.program == Reader::Daemon {
            outcomes.push(self.daemon(variable).map(drop));
        } else {
            outcomes.push(self.controller(0).map(drop));
            outcomes.push(self.election(variable).map(drop));
            outcomes.push(self.controller_pages().map(drop));
            let client = |settings| Cloud::new(settings).map_err(|error| ConfError::Unusable(error.to_string()));
            outcomes.push(self.cloud().and_then(client).map(drop));
        }
        outcomes.push(self.client(variable).await);
        let mut found = Found::default();
        for error in outcomes.into_iter().filter_map(Result::err) {
            if error.is_of_this_machine() {
                found.warnings.push(format!("on this machine {} would not start: {error}", program_name(self.program)));
            } else {
                found.errors.push(error);
            }
        }
        found
    }

    /// A client of the API server, made and thrown away: certificates are read only then.
    async fn client(&self, variable: Variable<'_>) -> Result<(), ConfError> {
        let config = self.cluster(variable).await?;
        let address = config.cluster_url.clone();
        kube::Client::try_from(config).map(drop).map_err(kubeconfig::no_client).map_err(|error| {
            ConfError::Unusable(format!(
                "no client for the API server {address} can be made from [kubernetes]: {error}"
            ))
        })
    }
}
