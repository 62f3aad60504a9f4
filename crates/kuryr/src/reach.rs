//! What the commands for people have in common: how they reach the cluster and the cloud, and how they end.
//!
//! The cluster is found as kubectl finds it (KUBECONFIG, ~/.kube/config, a pod's service account), unless kuryr.conf names
//! an `api_root` and this machine has the credentials for it: in the kuryr.conf of pods they are a pod's token. The cloud is asked only if there are credentials: kuryr.conf's `[neutron]`, `OS_*` or clouds.yaml.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use kube::api::{Api, ListParams};
use kuryr_openstack::{Cloud, CloudSettings};
use serde::de::DeserializeOwned;

use crate::cli::Common;
use crate::conf::options::{Reader, kubernetes, neutron};
use crate::conf::{Conf, ConfError};
use crate::kubeconfig;
use crate::process::{Exit, line};

/// Longest time one request to the API server may take: a person waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many objects a list asks for at once.
const PAGE: u32 = 500;

/// Which cluster and which cloud.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Target {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Context of the kubeconfig; its current one if not said
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Namespace Kuryr runs in
    #[arg(short, long, value_name = "NAME", default_value = "kube-system")]
    pub(crate) namespace: String,
}

impl Target {
    /// kuryr.conf, as the controller reads it; empty if there is none.
    ///
    /// # Errors
    /// Every mistake in it.
    pub(crate) fn conf(&self) -> Result<Conf, Vec<ConfError>> {
        let sources = self.common.sources(Reader::Controller).map_err(|error| vec![error])?;
        let conf = Conf::read(Reader::Controller, &sources).map_err(|error| vec![error])?;
        let errors = conf.check();
        if errors.is_empty() { Ok(conf) } else { Err(errors) }
    }

    /// A client of the cluster.
    ///
    /// # Errors
    /// A kubeconfig or options that cannot be used.
    pub(crate) async fn kube(&self, conf: &Conf) -> Result<kube::Client> {
        let mut config = if self.context.is_none() && conf.is_said(&kubernetes::api_root) {
            match conf.cluster(&|name| std::env::var(name).ok()).await {
                Err(error) if error.is_of_this_machine() && !kubeconfig::usual().is_empty() => self.inferred().await?,
                of_conf => of_conf?,
            }
        } else {
            self.inferred().await?
        };
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        let address = config.cluster_url.clone();
        let client = kube::Client::try_from(config).map_err(kubeconfig::no_client);
        client.with_context(|| format!("no client for the API server {address} can be made"))
    }

    async fn inferred(&self) -> Result<kube::Config> {
        let cure =
            "name the cluster with KUBECONFIG, ~/.kube/config, --context or [kubernetes] api_root in --config-file";
        let files = kubeconfig::usual();
        if files.is_empty() && self.context.is_none() {
            return kube::Config::incluster().map_err(|error| {
                anyhow::anyhow!("no cluster is known: there is no kubeconfig, and this is no pod ({error}); {cure}")
            });
        }
        kubeconfig::config(&files, self.context.as_deref()).await
    }
}

/// The cloud's settings, if there are credentials for one.
///
/// # Errors
/// Credentials that cannot work.
pub(crate) fn cloud_settings(conf: &Conf) -> Result<Option<CloudSettings>, ConfError> {
    let in_environment =
        ["OS_AUTH_URL", "OS_CLOUD"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if !in_environment && !conf.is_said(&neutron::auth_url) && !conf.is_said(&neutron::auth_section) {
        return Ok(None);
    }
    conf.cloud().map(Some)
}

/// A client of these settings, with the patience of a person.
///
/// # Errors
/// Certificates that cannot be read, an address that is none.
pub(crate) fn cloud(mut settings: CloudSettings) -> Result<Cloud> {
    settings.timeout = settings.timeout.min(PATIENCE);
    Cloud::new(settings).context("the settings of the cloud cannot be used")
}

/// All objects an API has, page by page.
///
/// # Errors
/// What the API server said.
pub(crate) async fn all<K>(api: &Api<K>, filter: ListParams) -> kube::Result<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut filter = filter.limit(PAGE);
    let mut items = Vec::new();
    loop {
        let page = api.list(&filter).await?;
        items.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => filter = filter.continue_token(&token),
            None => return Ok(items),
        }
    }
}

/// Runs a command to its end. What it could not do is told on standard error.
pub(crate) fn run(work: impl Future<Output = Result<Exit>>) -> Exit {
    // One provider for every TLS connection of the process; a second call would only find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop can be started: {error}");
            return Exit::Failed;
        }
    };
    match runtime.block_on(work) {
        Ok(exit) => exit,
        Err(error) if error.is::<ConfError>() => {
            eprintln!("error: {}", line(&error));
            Exit::Refused
        }
        Err(error) => {
            eprintln!("error: {}", line(&error));
            Exit::Failed
        }
    }
}
