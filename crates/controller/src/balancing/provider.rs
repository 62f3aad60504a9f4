//! Whether Octavia has the provider that is configured: asked before anything is made, and before anything that another provider made
//! is taken away for it.

use std::time::Duration;

use kuryr_openstack::load_balancing::{LoadBalancer, present_name};
use kuryr_openstack::{Cloud, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::trouble::Trouble;

/// For so long a missing provider is not asked for again.
pub(crate) const AGAIN: Duration = Duration::from_secs(30);

/// What is known of a configured provider.
#[derive(Default)]
pub(crate) struct Provider {
    answered: Mutex<Option<(Instant, Result<(), Trouble>)>>,
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

/// Whether a provider makes a load balancer with all on it in one call. Octavia's own does; OVN's of Zed passes over the parts, and of
/// others it is not known.
pub(crate) fn takes_whole(wanted: Option<&str>) -> bool {
    wanted.is_some_and(|wanted| present_name(wanted) == "amphora")
}

/// Whether the provider that is wanted made a load balancer; Octavia's default, if none is named, may be any.
pub(crate) fn is_provided(there: &LoadBalancer, wanted: Option<&str>) -> bool {
    wanted.is_none_or(|wanted| present_name(wanted) == present_name(&there.provider))
}
