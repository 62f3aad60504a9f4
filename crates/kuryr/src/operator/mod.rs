//! `kuryr operator`: makes the cluster agree with the custom resource `Kuryr`, with the objects of `kuryr install`.
//!
//! ```text
//! Kuryr and what we made ─► watch ─► pass: obstacle? ─► apply all but the daemons ─► controller works? ─► daemons ─► leftovers
//!                                                                                                         └─► judge ─► status
//! ```
//!
//! A pass begins with what there is and can be repeated at any time; nothing is remembered between two.

mod change;
mod definition;
mod events;
mod judge;
pub(crate) mod manifest;
mod obstacle;
mod resource;
mod taking_out;
mod watch;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) use definition::definition;

use crate::conf::Conf;
use crate::conf::options::Reader;
use crate::install::cluster::{self, title};
use crate::install::objects::{self, Scene};
use crate::install::rollout::works;
use crate::install::values::Values;
use crate::logs::Logs;
use crate::process::{self, Exit};
use crate::reach::{self, all};
use crate::status::seen::{CONTROLLER, DAEMON_SET};
use events::Events;
use judge::{Seen, Stand, VERSION};
use obstacle::Obstacle;
use resource::{FINALIZER, Kuryr, NAME, Status};

/// A look without news: what nobody tells, like a Secret that came.
const RESYNC: Duration = Duration::from_secs(60);
/// A look again at what failed or is waited for.
const AGAIN: Duration = Duration::from_secs(10);
/// News that come close together are one.
const SETTLE: Duration = Duration::from_millis(500);

/// `kuryr operator …`
#[derive(Args, Clone, Debug)]
pub(crate) struct OperatorArgs {
    /// Namespace of everything that has one
    #[arg(short, long, env = "POD_NAMESPACE", default_value = "kube-system")]
    namespace: String,
    /// Log in detail
    #[arg(short, long)]
    debug: bool,
    /// Log one JSON object per line
    #[arg(long)]
    use_json: bool,
    /// File that says where the cluster is; without one $KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Print the operator's own manifest instead, for `kubectl apply -f -`
    #[arg(long)]
    print: bool,
    /// Image of the operator in the manifest, and so of Kuryr
    #[arg(long, value_name = "IMAGE", requires = "print")]
    image: Option<String>,
    /// Where the operator reaches the API server, in the manifest: for clusters where nobody serves the Service `kubernetes`
    #[arg(long, value_name = "HOST:PORT", requires = "print")]
    api_server: Option<String>,
}

/// Works until it is told to end.
pub(crate) fn run(args: &OperatorArgs) -> Exit {
    if args.print {
        let place = manifest::Place {
            namespace: &args.namespace,
            image: args.image.as_deref(),
            api_server: args.api_server.as_deref(),
        };
        return match manifest::yaml(&place) {
            Ok(yaml) => crate::print(&yaml),
            Err(error) => {
                eprintln!("error: {error:#}");
                Exit::Failed
            }
        };
    }
    let flags = format!("[DEFAULT]\ndebug = {}\nuse_json = {}\n", args.debug, args.use_json);
    match Conf::of(Reader::Both, &[("command line", flags)]).and_then(|conf| Logs::read(&conf, Reader::Both)) {
        Ok(logs) => logs.start(),
        Err(error) => return process::refuse(&[error]),
    }
    reach::run(async {
        let shutdown = process::until_signal()?;
        let config = match &args.kubeconfig {
            Some(file) => cluster::config(Some(file), None).await?,
            None => kube::Config::infer()
                .await
                .context("no cluster is known; run in a pod, or name one with --kubeconfig")?,
        };
        let address = config.cluster_url.clone();
        let kube = Client::try_from(config).with_context(|| format!("no client for {address} can be made"))?;
        tracing::info!(namespace = %args.namespace, version = VERSION, "kuryr-operator starts");
        let events = Events::new(kube.clone());
        Operator { kube, namespace: args.namespace.clone(), image: std::env::var(manifest::IMAGE).ok(), events }
            .run(&shutdown)
            .await;
        tracing::info!("kuryr-operator has ended");
        Ok(Exit::Done)
    })
}

/// Whether an operator is told to look after Kuryr in this cluster.
///
/// # Errors
/// What the API server said.
pub(crate) async fn is_in_charge(kube: &Client) -> kube::Result<bool> {
    match resource::api(kube).get(NAME).await {
        Ok(_) => Ok(true),
        // No resource, or not even its definition.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}

/// The operator.
struct Operator {
    kube: Client,
    namespace: String,
    /// Its own image: Kuryr's, unless the spec says another.
    image: Option<String>,
    events: Events,
}

impl Operator {
    async fn run(&self, shutdown: &CancellationToken) {
        let news = Notify::new();
        let work = async {
            loop {
                let pause = match self.pass().await {
                    Ok(pause) => pause,
                    Err(error) => {
                        tracing::warn!("looking again in {AGAIN:?}: {error:#}");
                        AGAIN
                    }
                };
                let _ = tokio::time::timeout(pause, news.notified()).await;
                tokio::time::sleep(SETTLE).await;
            }
        };
        // All steps can be repeated, so work is dropped where it is.
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = watch::follow(&self.kube, &self.namespace, &news) => {}
            () = work => {}
        }
    }

    /// One look at everything. Answers when to look again without news.
    async fn pass(&self) -> Result<Duration> {
        let found = all(&resource::api(&self.kube), ListParams::default()).await;
        let (obeyed, others): (Vec<_>, Vec<_>) =
            found.context("Kuryr resources cannot be listed")?.into_iter().partition(|kuryr| kuryr.name_any() == NAME);
        for other in &others {
            let before = other.status.clone().unwrap_or_default();
            self.tell(other, &judge::not_obeyed(&before, generation(other), Timestamp::now())).await?;
        }
        match obeyed.into_iter().next() {
            None => Ok(RESYNC),
            Some(kuryr) if kuryr.metadata.deletion_timestamp.is_some() => self.take_out(&kuryr).await,
            Some(kuryr) => self.look_after(kuryr).await,
        }
    }

    async fn look_after(&self, kuryr: Kuryr) -> Result<Duration> {
        let kuryr = self.held(kuryr).await?;
        let values = self.values(&kuryr);
        let image = values.as_ref().ok().map(Values::image);
        let stand = match values {
            Ok(values) => {
                self.make_agree(&kuryr, &values).await.unwrap_or_else(|error| Stand::Stopped(trouble(&error)))
            }
            Err(error) => Stand::Stopped(Obstacle::new("InvalidSpec", format!("{error:#}; nothing was changed"))),
        };
        let before = kuryr.status.clone().unwrap_or_default();
        let status = judge::status(&before, generation(&kuryr), image, &stand, &self.seen().await?, Timestamp::now());
        self.tell(&kuryr, &status).await?;
        Ok(if stand == Stand::Applied { RESYNC } else { AGAIN })
    }

    /// The values the spec means. Its image is the operator's own where nothing else is said.
    fn values(&self, kuryr: &Kuryr) -> Result<Values> {
        let spec = serde_json::to_string(&kuryr.spec).context("the spec cannot be read")?;
        let mut texts = vec![("of the spec".to_owned(), spec)];
        if let Some((repository, tag)) =
            self.image.as_deref().and_then(|image| image.rsplit_once(':')).filter(|(_, tag)| !tag.contains('/'))
        {
            let own = json!({ "image": { "repository": repository, "tag": tag } });
            texts.insert(0, ("of the operator".to_owned(), own.to_string()));
        }
        Values::of(&texts, &[])
    }

    /// Makes the cluster have what these values make, in order.
    async fn make_agree(&self, kuryr: &Kuryr, values: &Values) -> Result<Stand> {
        if let Some(obstacle) = obstacle::find(&self.kube, &self.namespace, values).await? {
            return Ok(Stand::Stopped(obstacle));
        }
        let objects = objects::all(&Scene { values, namespace: &self.namespace })?;
        let (daemons, rest): (Vec<_>, Vec<_>) = objects.iter().partition(|object| object["kind"] == "DaemonSet");
        self.apply(&rest).await?;
        let status = kuryr.status.as_ref();
        let came_up = status.is_some_and(|status| {
            status.rolled_out_generation == generation(kuryr) && status.rolled_out_version == VERSION
        });
        if !came_up {
            let deployments = Api::<Deployment>::namespaced(self.kube.clone(), &self.namespace);
            let found =
                deployments.get_opt(CONTROLLER).await.context("the Deployment kuryr-controller cannot be read")?;
            if !works(found.as_ref()) {
                return Ok(Stand::ControllerFirst);
            }
        }
        self.apply(&daemons).await?;
        for removed in change::remove_leftovers(&self.kube, &self.namespace, &objects).await? {
            tracing::info!("{removed}: deleted, the spec does not have it any more");
        }
        Ok(Stand::Applied)
    }

    async fn apply(&self, objects: &[&serde_json::Value]) -> Result<()> {
        for object in objects {
            if change::apply(&self.kube, object).await? {
                tracing::info!("{}: applied", title(object));
            }
        }
        Ok(())
    }

    async fn seen(&self) -> Result<Seen> {
        let deployments = Api::<Deployment>::namespaced(self.kube.clone(), &self.namespace);
        let daemon_sets = Api::<DaemonSet>::namespaced(self.kube.clone(), &self.namespace);
        let pods = Api::<Pod>::namespaced(self.kube.clone(), &self.namespace);
        let deployment =
            deployments.get_opt(CONTROLLER).await.context("the Deployment kuryr-controller cannot be read")?;
        let daemon_set = daemon_sets.get_opt(DAEMON_SET).await.context("the DaemonSet kuryr-cni cannot be read")?;
        let pods =
            all(&pods, ListParams::default().labels(change::LABEL)).await.context("Kuryr's pods cannot be listed")?;
        Ok(Seen { deployment, daemon_set, pods })
    }

    /// The resource with our finalizer, so that it cannot go before Kuryr does.
    async fn held(&self, kuryr: Kuryr) -> Result<Kuryr> {
        if kuryr.finalizers().iter().any(|found| found == FINALIZER) {
            return Ok(kuryr);
        }
        let mut finalizers = kuryr.finalizers().to_vec();
        finalizers.push(FINALIZER.to_owned());
        self.set_finalizers(&kuryr, &finalizers).await
    }

    async fn set_finalizers(&self, kuryr: &Kuryr, finalizers: &[String]) -> Result<Kuryr> {
        let change = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": kuryr.resource_version() } });
        let patched =
            resource::api(&self.kube).patch(&kuryr.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await;
        patched.with_context(|| format!("the finalizers of Kuryr {} cannot be changed", kuryr.name_any()))
    }

    /// Writes the status, if it is another one, and Events of what is new in it. Answers the resource with it; nothing if somebody wrote
    /// meanwhile, which the next pass sees.
    async fn tell(&self, kuryr: &Kuryr, status: &Status) -> Result<Option<Kuryr>> {
        if kuryr.status.as_ref() == Some(status) {
            return Ok(Some(kuryr.clone()));
        }
        let change = json!({ "metadata": { "resourceVersion": kuryr.resource_version() }, "status": status });
        let api = resource::api(&self.kube);
        match api.patch_status(&kuryr.name_any(), &PatchParams::default(), &Patch::Merge(&change)).await {
            Err(kube::Error::Api(refused)) if refused.code == 409 => Ok(None),
            told => {
                let told =
                    told.with_context(|| format!("the status of Kuryr {} cannot be written", kuryr.name_any()))?;
                self.events.tell(kuryr, status).await;
                Ok(Some(told))
            }
        }
    }
}

fn generation(kuryr: &Kuryr) -> i64 {
    kuryr.metadata.generation.unwrap_or(0)
}

/// What an API server that refused something means for the resource.
fn trouble(error: &anyhow::Error) -> Obstacle {
    if obstacle::is_forbidden(error) {
        let cure = "the operator lacks a right; apply deploy/operator/operator.yaml of its version";
        return Obstacle::new("MissingRights", format!("{error:#}; {cure}"));
    }
    Obstacle::new("ApplyFailed", format!("{error:#}; it is tried again"))
}
