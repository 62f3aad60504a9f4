//! Whether Octavia has the provider that is configured: asked before anything is made, and before anything that another provider made
//! is taken away for it.

use std::time::Duration;

use kuryr_openstack::{Cloud, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Services;
use crate::trouble::Trouble;

/// For so long a missing provider is not asked for again.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);

/// What is known of a configured provider.
#[derive(Default)]
pub(crate) struct Provider {
    answered: Mutex<Option<(Instant, Result<(), Trouble>)>>,
}

impl Services {
    /// Refuses a provider that Octavia does not have, or may not have.
    pub(super) async fn provider_is_there(&self) -> Result<(), Trouble> {
        let Some(name) = self.settings.provider.as_deref() else { return Ok(()) };
        self.provider.is_there(&self.cloud, name, "[kubernetes] endpoints_driver_octavia_provider").await
    }
}

impl Provider {
    /// Refuses the provider `name`, which is always the same, if Octavia does not have it; `option` is where it was read.
    pub(crate) async fn is_there(&self, cloud: &Cloud, name: &str, option: &str) -> Result<(), Trouble> {
        let mut answered = self.answered.lock().await;
        match &*answered {
            Some((_, Ok(()))) => return Ok(()),
            Some((at, refused)) if at.elapsed() < AGAIN => return refused.clone(),
            _ => {}
        }
        let answer = match cloud.load_balancing().list_providers().await {
            Ok(there) => match there.iter().any(|there| there.is(name)) {
                true => Ok(()),
                false => {
                    let names: Vec<String> = there.into_iter().map(|there| there.name).collect();
                    let names = names.join(", ");
                    Err(Trouble::mistake(
                        "ProviderNotFound",
                        format!("Octavia has no provider {name}, only {names}; correct {option} in kuryr.conf"),
                    ))
                }
            },
            // Not everybody may list them; whoever names one that is not there is refused later.
            Err(error) if matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::NotFound) => Ok(()),
            Err(error) => Err(error.into()),
        };
        *answered = Some((Instant::now(), answer.clone()));
        answer
    }
}
