//! What a Neutron can do beyond its core.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Network;
use crate::Error;

impl Network {
    /// Aliases of the extensions that are loaded, for example `trunk`.
    pub async fn extensions(&self) -> Result<BTreeSet<String>, Error> {
        #[derive(Deserialize)]
        struct Extensions {
            extensions: Vec<Extension>,
        }
        #[derive(Deserialize)]
        struct Extension {
            alias: String,
        }
        let answer: Extensions = self.rest.read("/extensions".to_owned()).await?;
        Ok(answer.extensions.into_iter().map(|extension| extension.alias).collect())
    }
}
