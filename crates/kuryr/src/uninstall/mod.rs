//! `kuryr uninstall`: everything of Kuryr goes, in an order in which nothing is stranded, and then it is looked whether
//! anything is left.
//!
//! ```text
//! no pod has our network ─► nodes ─► daemons ─► KuryrPorts and KuryrLoadBalancers (the controller releases them) ─► controller
//!                        ─► ports in the cloud nobody has ─► rights, settings ─► definitions ─► proof
//! ```
//!
//! It stops where going on would strand something, names what is left and why, and can be run again.

pub(crate) mod cloud;
mod nodes;
pub(crate) mod ours;

use std::collections::HashSet;
use std::fmt::Debug;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use kuryr_api::crd::{KuryrLoadBalancer, KuryrPort};
use kuryr_api::names;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::Instant;

use crate::conf::options::{kuryr, neutron_defaults};
use crate::operator;
use crate::process::Exit;
use crate::reach::{self, Target, all};
use cloud::CloudSide;
use ours::{DAEMON_SETS, DEPLOYMENTS, Kind, every_kind};

/// How often it is looked whether something is gone.
const AGAIN: Duration = Duration::from_secs(1);
/// How many of the pods that are in the way are named.
const NAMED: usize = 20;

/// What `kuryr uninstall` is told.
#[derive(Args, Clone, Debug)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Leave the cloud alone, and do not prove that nothing is left there
    #[arg(long)]
    cluster_only: bool,
    /// Seconds each step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    patience: u64,
}

/// Something that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remainder {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) cure: String,
    pub(crate) place: Place,
}

/// Where something is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Pods that have our network: nothing was begun.
    Pods,
    /// On nodes that did not answer.
    Nodes,
    /// In the cluster.
    Cluster,
    /// In the cloud.
    Cloud,
}

/// Takes Kuryr out of the cluster. Ends with 0 if nothing is left, 1 if something is, 2 if it was not told to begin.
pub(crate) fn run(args: &UninstallArgs) -> Exit {
    let conf = match args.target.conf() {
        Ok(conf) => conf,
        Err(errors) => return crate::process::refuse(&errors),
    };
    reach::run(async {
        let kube = args.target.kube(&conf).await?;
        let cloud = match reach::cloud_settings(&conf)? {
            _ if args.cluster_only => None,
            Some(settings) => Some(CloudSide {
                cloud: reach::cloud(settings)?,
                cluster: conf.some_text(&kuryr::cluster_name)?.unwrap_or_default(),
                pod_subnets: conf.list(&neutron_defaults::pod_subnet)?,
                project: conf.some_text(&neutron_defaults::project)?.unwrap_or_default(),
                service_subnet: conf.some_text(&neutron_defaults::service_subnet)?,
            }),
            None => {
                eprintln!(
                    "error: without credentials nothing can be proved about the cloud; name kuryr.conf with --config-file, set OS_CLOUD or OS_AUTH_URL, or say --cluster-only"
                );
                return Ok(Exit::Refused);
            }
        };
        if !args.yes && !agreed(&args.target.namespace)? {
            return Ok(Exit::Refused);
        }
        let removal = Removal {
            kube,
            namespace: args.target.namespace.clone(),
            cloud,
            patience: Duration::from_secs(args.patience),
            kinds: every_kind(),
        };
        if operator::is_in_charge(&removal.kube).await.context("it cannot be looked for a Kuryr resource")? {
            bail!(
                "the operator looks after Kuryr in this cluster and would put everything back; it takes it out itself: kubectl delete kuryr cluster"
            );
        }
        let left = removal.work(&mut |line| println!("{line}")).await?;
        tell(&left, args.cluster_only);
        Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
    })
}

fn agreed(namespace: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        eprintln!("error: nobody is there to be asked; say --yes to take Kuryr out of namespace {namespace}");
        return Ok(false);
    }
    eprint!("Take Kuryr out of this cluster (namespace {namespace})? No pod can be started afterwards. [y/N] ");
    std::io::stderr().flush().context("the terminal cannot be written to")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn tell(left: &[Remainder], cluster_only: bool) {
    if left.is_empty() {
        let place = if cluster_only { "cluster; the cloud was not looked at" } else { "cluster and in the cloud" };
        println!("Nothing of Kuryr is left on the nodes, in the {place}.");
        return;
    }
    println!("\nLeft:");
    for remainder in left {
        println!("- {}: {}\n    → {}", remainder.what, remainder.why, remainder.cure);
    }
}

/// Kuryr, to be taken out.
pub(crate) struct Removal {
    pub(crate) kube: kube::Client,
    pub(crate) namespace: String,
    /// Without it the cloud is left alone.
    pub(crate) cloud: Option<CloudSide>,
    /// Time each step may take.
    pub(crate) patience: Duration,
    /// What is taken out, in this order; DaemonSets and Deployments first.
    pub(crate) kinds: Vec<Kind>,
}

impl Removal {
    /// Everything, in order. Answers what is left; if it had to stop, the rest of Kuryr is, too.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn work(&self, progress: &mut dyn FnMut(&str)) -> Result<Vec<Remainder>> {
        self.right_place().await?;
        let living = self.living().await?;
        if !living.is_empty() {
            return Ok(in_the_way(&living));
        }
        progress("no pod has a network of Kuryr's");
        let mut left = self.leave_nodes(progress).await?;
        self.delete(DAEMON_SETS, progress).await?;
        if let Some(still) = self.gone("app=kuryr-cni", progress).await? {
            left.push(still);
            return Ok(left);
        }
        if let Some(still) = self.release_kuryr_ports(progress).await? {
            left.push(still);
            return Ok(left);
        }
        if let Some(still) = self.release_load_balancers(progress).await? {
            left.push(still);
            return Ok(left);
        }
        self.delete(DEPLOYMENTS, progress).await?;
        if let Some(still) = self.gone("name=kuryr-controller", progress).await? {
            left.push(still);
            return Ok(left);
        }
        left.extend(self.clean_cloud(progress).await);
        for &kind in self.kinds.iter().skip(2) {
            self.delete(kind, progress).await?;
        }
        left.extend(self.proof().await?);
        Ok(left)
    }

    /// Pods that run with our network: `namespace/name`.
    async fn living(&self) -> Result<Vec<String>> {
        let ports = self.recorded::<KuryrPort>().await?;
        let owners: HashSet<&str> = ports.iter().map(|port| port.spec.pod_uid.as_str()).collect();
        let pods = self.all_pods().await?;
        let alive = pods.iter().filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.uid.as_deref().is_some_and(|uid| owners.contains(uid))
                && !matches!(phase, Some("Succeeded" | "Failed"))
        });
        Ok(alive.map(|pod| format!("{}/{}", pod.namespace().unwrap_or_default(), pod.name_any())).collect())
    }

    async fn all_pods(&self) -> Result<Vec<Pod>> {
        all(&Api::<Pod>::all(self.kube.clone()), ListParams::default()).await.context("pods cannot be listed")
    }

    /// All of a custom resource of ours; none where it is not defined.
    async fn recorded<K>(&self) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        match all(&Api::<K>::all(self.kube.clone()), ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
            answer => answer.with_context(|| format!("{}s cannot be listed", K::kind(&()))),
        }
    }

    /// What is left of a custom resource of ours because nobody released what it stands for; `first` is one of so many.
    fn unreleased<K: Resource<DynamicType = ()>>(&self, count: usize, first: &K, why: &str) -> Remainder {
        let (kind, namespace) = (K::kind(&()), first.namespace().unwrap_or_default());
        Remainder {
            what: format!("{count} {kind}s, for example {namespace}/{}", first.name_any()),
            why: why.to_owned(),
            cure: format!(
                "kubectl -n {} logs -l name=kuryr-controller; when it works, kuryr uninstall again",
                self.namespace
            ),
            place: Place::Cluster,
        }
    }

    /// What is cluster-wide goes only with the workloads that use it: a namespace that was mistyped must not take it from them.
    async fn right_place(&self) -> Result<()> {
        let mut places = DAEMON_SETS.places(&self.kube).await.context("DaemonSets cannot be listed")?;
        places.extend(DEPLOYMENTS.places(&self.kube).await.context("Deployments cannot be listed")?);
        places.remove(&self.namespace);
        if let Some(place) = places.first() {
            bail!("Kuryr is also installed in namespace {place}; say --namespace {place} to take that out");
        }
        Ok(())
    }

    async fn delete(&self, kind: Kind, progress: &mut dyn FnMut(&str)) -> Result<()> {
        let api = kind.api(&self.kube, &self.namespace);
        let names = kind.ours(&self.kube, &self.namespace).await;
        for name in names.with_context(|| format!("{} cannot be listed", kind.plural))? {
            match api.delete(&name, &DeleteParams::foreground()).await {
                Ok(_) => progress(&format!("{} {name}: deleted", kind.kind)),
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error).with_context(|| format!("{} {name} cannot be deleted", kind.kind)),
            }
        }
        Ok(())
    }

    /// Waits until pods with this label are gone.
    async fn gone(&self, label: &str, progress: &mut dyn FnMut(&str)) -> Result<Option<Remainder>> {
        let api = Api::<Pod>::namespaced(self.kube.clone(), &self.namespace);
        let end = Instant::now() + self.patience;
        loop {
            let pods = all(&api, ListParams::default().labels(label)).await.context("Kuryr's pods cannot be listed")?;
            let Some(pod) = pods.first() else {
                progress(&format!("pods {label}: gone"));
                return Ok(None);
            };
            if Instant::now() >= end {
                return Ok(Some(Remainder {
                    what: format!("{} pods {label}, for example {}", pods.len(), pod.name_any()),
                    why: format!("they did not end in {} s", self.patience.as_secs()),
                    cure: format!(
                        "kubectl -n {} get pods -l {label} -o wide; then kuryr uninstall again",
                        self.namespace
                    ),
                    place: Place::Cluster,
                }));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Deletes what is left of KuryrPorts; the controller, which still runs, releases their ports and lets them go.
    async fn release_kuryr_ports(&self, progress: &mut dyn FnMut(&str)) -> Result<Option<Remainder>> {
        let end = Instant::now() + self.patience;
        loop {
            let ports = self.recorded::<KuryrPort>().await?;
            let Some(first) = ports.first() else {
                progress("KuryrPorts: none, their Neutron ports are released");
                return Ok(None);
            };
            if Instant::now() >= end {
                let why =
                    "nobody releases their Neutron ports: the controller does not run, or the cloud does not let it";
                return Ok(Some(self.unreleased(ports.len(), first, why)));
            }
            for port in ports.iter().filter(|port| port.metadata.deletion_timestamp.is_none()) {
                let api = Api::<KuryrPort>::namespaced(self.kube.clone(), &port.namespace().unwrap_or_default());
                match api.delete(&port.name_any(), &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => {
                        return Err(error).with_context(|| format!("KuryrPort {} cannot be deleted", port.name_any()));
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Asks for an end of all load balancers; the controller, which still runs, deletes them and makes none again.
    async fn release_load_balancers(&self, progress: &mut dyn FnMut(&str)) -> Result<Option<Remainder>> {
        let end = Instant::now() + self.patience;
        loop {
            let records = self.recorded::<KuryrLoadBalancer>().await?;
            let is_held = |record: &&KuryrLoadBalancer| {
                record.finalizers().iter().any(|finalizer| finalizer == names::KURYRLOADBALANCER_FINALIZER)
            };
            let held: Vec<_> = records.iter().filter(is_held).collect();
            let Some(first) = held.first() else {
                progress("KuryrLoadBalancers: their load balancers and floating IPs are released");
                return Ok(None);
            };
            if Instant::now() >= end {
                let why = "nobody releases their load balancers: the controller does not run, does not balance Services \
                           ([kuryr] services), or the cloud does not let it";
                return Ok(Some(self.unreleased(held.len(), *first, why)));
            }
            let unasked = held.iter().filter(|record| !record.annotations().contains_key(names::ANNOTATION_LEAVE));
            for record in unasked {
                let api =
                    Api::<KuryrLoadBalancer>::namespaced(self.kube.clone(), &record.namespace().unwrap_or_default());
                let patch =
                    json!({ "metadata": { "uid": record.uid(), "annotations": { names::ANNOTATION_LEAVE: "" } } });
                match api.patch(&record.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await {
                    Ok(_) => {}
                    // Gone, or another of its name.
                    Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                    Err(error) => {
                        return Err(error)
                            .with_context(|| format!("KuryrLoadBalancer {} cannot be changed", record.name_any()));
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn clean_cloud(&self, progress: &mut dyn FnMut(&str)) -> Vec<Remainder> {
        let Some(cloud) = &self.cloud else { return Vec::new() };
        let unknown = |why: String| {
            vec![Remainder {
                what: "ports in the cloud".to_owned(),
                why: format!("it could not be looked: {why}"),
                cure: "openstack port list --device-owner compute:kuryr --long".to_owned(),
                place: Place::Cloud,
            }]
        };
        let living: HashSet<String> = match self.all_pods().await {
            Ok(pods) => pods.into_iter().filter_map(|pod| pod.metadata.uid).collect(),
            Err(error) => return unknown(format!("{error:#}")),
        };
        // Without a kuryr.conf nobody knows which project and subnet are ours.
        let routes = async {
            match cloud.project.is_empty() || cloud.service_subnet.is_none() {
                true => Ok((0, Vec::new())),
                false => cloud.clean_routes().await,
            }
        };
        let mut all = match routes.await {
            Ok((0, left)) => left,
            Ok((deleted, left)) => {
                progress(&format!(
                    "cloud: {deleted} load balancers and floating IPs of Gateways and Ingresses deleted"
                ));
                left
            }
            Err(error) => vec![Remainder {
                what: "load balancers of Gateways and Ingresses".to_owned(),
                why: format!("it could not be looked: {error}"),
                cure: "openstack loadbalancer list; those named gateway/…, ingress/… and ingress-group/…".to_owned(),
                place: Place::Cloud,
            }],
        };
        all.extend(match cloud.clean(&living).await {
            Ok((deleted, left)) => {
                progress(&format!("cloud: {deleted} ports nobody had deleted, {} left", left.len()));
                left
            }
            Err(error) => unknown(error.to_string()),
        });
        all
    }

    /// Looks again for everything.
    async fn proof(&self) -> Result<Vec<Remainder>> {
        let mut left = Vec::new();
        let end = Instant::now() + self.patience;
        for &kind in &self.kinds {
            let mut names = kind
                .ours(&self.kube, &self.namespace)
                .await
                .with_context(|| format!("{} cannot be listed", kind.plural))?;
            // A deletion that was asked for takes its time.
            while !names.is_empty() && Instant::now() < end {
                tokio::time::sleep(AGAIN).await;
                names = kind
                    .ours(&self.kube, &self.namespace)
                    .await
                    .with_context(|| format!("{} cannot be listed", kind.plural))?;
            }
            left.extend(names.into_iter().map(|name| Remainder {
                what: format!("{} {name}", kind.kind),
                why: "it was deleted and is still there: a finalizer holds it, or somebody makes it again".to_owned(),
                cure: format!("kubectl get {} {name} -o yaml", kind.plural),
                place: Place::Cluster,
            }));
        }
        Ok(left)
    }
}

fn in_the_way(living: &[String]) -> Vec<Remainder> {
    let rest = living.len().saturating_sub(NAMED);
    let mut left: Vec<Remainder> = (living.iter().take(NAMED))
        .map(|pod| {
            let (namespace, name) = pod.split_once('/').unwrap_or(("default", pod));
            Remainder {
                what: format!("pod {pod}"),
                why: "it has a network of Kuryr's, and could not end without the daemon".to_owned(),
                cure: format!("delete what makes it, or kubectl -n {namespace} delete pod {name}"),
                place: Place::Pods,
            }
        })
        .collect();
    if rest > 0 {
        left.push(Remainder {
            what: format!("{rest} more pods"),
            why: "the same".to_owned(),
            cure: "kubectl get kuryrports -A".to_owned(),
            place: Place::Pods,
        });
    }
    left
}

#[cfg(test)]
mod tests;
