//! The resource is deleted: Kuryr is taken out as `kuryr uninstall` does it, and then the resource may go. The operator itself, its rights
//! and the definition of the resource are not Kuryr's and stay.

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use kube::ResourceExt as _;

use super::judge::{self, Stand};
use super::obstacle::Obstacle;
use super::resource::{FINALIZER, Kuryr};
use super::{AGAIN, Operator, RESYNC, change, generation, trouble};
use crate::conf::Conf;
use crate::conf::options::{Reader, kuryr as options, neutron_defaults};
use crate::install::objects::configuration::kuryr_conf;
use crate::install::openstack::prepare;
use crate::uninstall::cloud::CloudSide;
use crate::uninstall::{Place, Remainder, Removal};

/// Time each step may take before it is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Operator {
    /// Takes Kuryr out, as far as it goes now.
    pub(super) async fn take_out(&self, kuryr: &Kuryr) -> Result<Duration> {
        if !kuryr.finalizers().iter().any(|found| found == FINALIZER) {
            return Ok(RESYNC);
        }
        let (cloud, mut unproved) = match self.cloud_side(kuryr).await {
            Ok(cloud) => (Some(cloud), Vec::new()),
            Err(error) => (
                None,
                vec![format!("the cloud was not looked at, the controller released its ports as usual ({error:#})")],
            ),
        };
        let removal = Removal {
            kube: self.kube.clone(),
            namespace: self.namespace.clone(),
            cloud,
            patience: PATIENCE,
            kinds: change::kinds(),
        };
        let stand = match removal.work(&mut |line| tracing::info!("{line}")).await {
            Ok(left) => {
                let (outside, in_cluster): (Vec<_>, Vec<_>) =
                    left.into_iter().partition(|left| matches!(left.place, Place::Cloud | Place::Nodes));
                unproved.extend(outside.iter().map(words));
                match in_cluster.first() {
                    None => return self.let_go(kuryr, &unproved).await,
                    Some(first) if first.place == Place::Pods => {
                        Stand::TakingOut(sentence("it waits for", &in_cluster))
                    }
                    Some(_) => Stand::Stopped(Obstacle::new("UninstallFailed", sentence("left:", &in_cluster))),
                }
            }
            Err(error) => Stand::Stopped(Obstacle { reason: "UninstallFailed", ..trouble(&error) }),
        };
        self.tell_stand(kuryr, &stand).await?;
        Ok(AGAIN)
    }

    async fn tell_stand(&self, kuryr: &Kuryr, stand: &Stand) -> Result<Option<Kuryr>> {
        let before = kuryr.status.clone().unwrap_or_default();
        let status = judge::status(&before, generation(kuryr), None, stand, &self.seen().await?, Timestamp::now());
        self.tell(kuryr, &status).await
    }

    /// Nothing of Kuryr is left in the cluster. What concerns nodes and cloud is said last, here and in the log, and holds nobody up.
    async fn let_go(&self, kuryr: &Kuryr, unproved: &[String]) -> Result<Duration> {
        for what in unproved {
            tracing::warn!("{what}");
        }
        let mut kuryr = kuryr.clone();
        if !unproved.is_empty() {
            let told = self.tell_stand(&kuryr, &Stand::TakingOut(format!("done; {}", unproved.join("; ")))).await?;
            let Some(told) = told else { return Ok(AGAIN) };
            kuryr = told;
        }
        let others: Vec<String> = kuryr.finalizers().iter().filter(|found| *found != FINALIZER).cloned().collect();
        self.set_finalizers(&kuryr, &others).await?;
        tracing::info!("nothing of Kuryr is left in the cluster");
        Ok(RESYNC)
    }

    /// The cloud as the controller reached it.
    async fn cloud_side(&self, kuryr: &Kuryr) -> Result<CloudSide> {
        let values = self.values(kuryr)?;
        let (placement, cloud, ..) = prepare(&self.kube, &values, &self.namespace).await?;
        let conf = Conf::of(Reader::Controller, &[("kuryr.conf", kuryr_conf(&values))])?;
        let cluster = conf.some_text(&options::cluster_name)?.unwrap_or_default();
        let service_subnet = conf.some_text(&neutron_defaults::service_subnet)?;
        let project = placement.project;
        Ok(CloudSide { cloud, cluster, pod_subnets: placement.pod_subnets, project, service_subnet })
    }
}

fn words(left: &Remainder) -> String {
    format!("{}: {} ({})", left.what, left.why, left.cure)
}

fn sentence(begin: &str, left: &[Remainder]) -> String {
    format!("{begin} {}", left.iter().map(words).collect::<Vec<_>>().join("; "))
}
