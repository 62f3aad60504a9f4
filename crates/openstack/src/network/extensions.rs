//! What a Neutron can do beyond its core.

use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;

use super::{Network, call};
use crate::Error;
use crate::http::Effect;

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
        let call = call(Method::GET, "/extensions".to_owned(), Effect::Read);
        let answer: Extensions = self.service.json(call).await?;
        Ok(answer.extensions.into_iter().map(|extension| extension.alias).collect())
    }
}
