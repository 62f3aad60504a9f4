//! What carries our marks and belongs to nothing; and what belongs to somebody and is not there any more.
//!
//! From time to time all our ports are listed, in one call. A port is deleted only if it carries three marks (its
//! `device_owner`, the cluster's tag or description, a network pods are in), has no living owner, and all that was so in two passes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kuryr_api::names;
use kuryr_openstack::network::{Port, PortQuery, TagFilter};
use tokio_util::sync::CancellationToken;

use super::Pods;
use super::observed::Phase;
use crate::cache::Key;

/// What a pass found without an owner, by id.
type Sightings = HashSet<String>;

impl Pods {
    /// Loads the index of ports; tries until it succeeds.
    pub(super) async fn load_index(&self) {
        let mut wait = Duration::from_millis(500);
        while let Err(error) = self.compare_with_neutron().await {
            tracing::warn!(%error, "cannot list our Neutron ports; trying again in {wait:?}");
            self.reach.met(error.into());
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(15));
        }
        self.reach.well();
    }

    /// Compares with Neutron until `shutdown`.
    pub(super) async fn watch_drift(&self, shutdown: &CancellationToken) {
        // What the index was loaded with is the first pass.
        let mut ports = self.collect_ports(&Sightings::new()).await;
        let mut kuryr_ports = self.collect_kuryr_ports(&HashSet::new()).await;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.config.drift_interval) => {}
            }
            match self.compare_with_neutron().await {
                Ok(()) => {
                    ports = self.collect_ports(&ports).await;
                    kuryr_ports = self.collect_kuryr_ports(&kuryr_ports).await;
                    self.note_quota().await;
                }
                Err(error) => tracing::warn!(%error, "cannot list our Neutron ports"),
            }
        }
    }

    /// One pass: what Neutron has becomes what we know, and whoever it concerns is looked at.
    async fn compare_with_neutron(&self) -> Result<(), kuryr_openstack::Error> {
        self.index.begin_pass();
        let tags = if self.marks.in_body() { TagFilter::all(&self.marks.tags[..1]) } else { TagFilter::default() };
        let query = PortQuery { device_owner: Some(names::DEVICE_OWNER.to_owned()), tags, ..PortQuery::default() };
        let mut ports = self.cloud.network().list_ports(&query).await?;
        ports.retain(|port| self.marks.are_on(port));
        // A port that was made and not tagged any more.
        let untagged = ports.iter().filter(|port| !self.marks.in_body() && !port.tags.contains(&self.marks.tags[0]));
        untagged.for_each(|port| self.tagging.add(&port.id));
        // Ports made by kuryr-kubernetes lack our tag, but their KuryrPorts name them.
        let listed: HashSet<&str> = ports.iter().map(|port| port.id.as_str()).collect();
        let others: Vec<String> = self.recorded_ids().into_iter().filter(|id| !listed.contains(id.as_str())).collect();
        if !others.is_empty() {
            let query = PortQuery { id: Some(others.clone()), ..PortQuery::default() };
            let found = self.cloud.network().list_ports(&query).await?;
            let found_ids: HashSet<&str> = found.iter().map(|port| port.id.as_str()).collect();
            for id in others.iter().filter(|id| !found_ids.contains(id.as_str())) {
                self.index.remove(id);
            }
            let missing: BTreeSet<String> =
                others.iter().filter(|id| !found_ids.contains(id.as_str())).cloned().collect();
            self.keys_naming(&missing).into_iter().for_each(|key| self.queue.wake(key));
            ports.extend(found);
        }
        // Or do not yet: it ended between making the port and writing that down. The pod's uid is on it.
        let owners = self.owners_without_vifs();
        if !owners.is_empty() {
            ports.extend(self.ports_of(owners).await?);
        }
        let changed = self.index.end_pass(ports);
        self.keys_of(&changed).into_iter().for_each(|key| self.queue.wake(key));
        Ok(())
    }

    fn recorded_ids(&self) -> BTreeSet<String> {
        let ports = self.kuryr_ports.all();
        let statuses = ports.iter().filter_map(|(_, port)| port.status.as_ref());
        let entries = statuses.flat_map(|status| status.vifs.values());
        entries.filter_map(|entry| entry.vif.as_ref().ok()).map(|vif| vif.id.clone()).collect()
    }

    /// Uids of pods whose KuryrPorts name no port.
    fn owners_without_vifs(&self) -> Vec<String> {
        let ports = self.kuryr_ports.all();
        let waiting = ports.iter().filter(|(_, port)| port.status.as_ref().is_none_or(|status| status.vifs.is_empty()));
        // To ask for none would be to ask for every port of a pool.
        waiting.map(|(_, port)| port.spec.pod_uid.clone()).filter(|uid| !uid.is_empty()).collect()
    }

    fn keys_naming(&self, ids: &BTreeSet<String>) -> Vec<Key> {
        if ids.is_empty() {
            return Vec::new();
        }
        let names_one = |key: &Key| self.observe(key).recorded_ports().any(|id| ids.contains(id));
        self.kuryr_ports.all().into_iter().map(|(key, _)| key).filter(names_one).collect()
    }

    /// Deletes ports that were without an owner in the last pass and still are.
    async fn collect_ports(&self, before: &Sightings) -> Sightings {
        let recorded = self.recorded_ids();
        let ports = self.kuryr_ports.all();
        let with_vifs: HashMap<&str, bool> = (ports.iter())
            .map(|(_, port)| {
                let has = port.status.as_ref().is_some_and(|status| !status.vifs.is_empty());
                (port.spec.pod_uid.as_str(), has)
            })
            .collect();
        let pods = self.pods.all();
        let living: HashSet<&str> =
            pods.iter().filter(|(_, pod)| pod.phase != Phase::Ended).map(|(_, pod)| pod.uid.as_str()).collect();
        let network = match self.placement.of_pod().await {
            Ok(place) => place.network.id.clone(),
            Err(trouble) => {
                tracing::warn!(%trouble, "cannot tell what is left over without the pods' network");
                return before.clone();
            }
        };
        let is_left_over = |port: &Port| {
            let owner = port.device_id.as_str();
            let proven =
                port.device_owner == names::DEVICE_OWNER && self.marks.are_on(port) && port.network_id == network;
            let has_other_port = with_vifs.get(owner) == Some(&true);
            let owned = recorded.contains(&port.id)
                || with_vifs.contains_key(owner) && !has_other_port
                || living.contains(owner) && !has_other_port;
            proven && !owned
        };
        let all = self.index.all();
        let seen: Vec<&Arc<Port>> = all.values().filter(|port| is_left_over(port)).collect();
        let mut sightings = Sightings::new();
        for port in seen {
            if !before.contains(&port.id) {
                sightings.insert(port.id.clone());
                continue;
            }
            tracing::warn!(
                port = port.id,
                name = port.name,
                owner = port.device_id,
                "deleting a port without an owner"
            );
            if let Err(error) = self.cloud.network().delete_port(&port.id).await
                && error.kind() != kuryr_openstack::ErrorKind::NotFound
            {
                tracing::warn!(port = port.id, %error, "cannot delete it; trying again in the next pass");
                sightings.insert(port.id.clone());
                continue;
            }
            self.metrics.left_over_deleted();
            self.index.remove(&port.id);
        }
        self.metrics.left_over(sightings.len());
        sightings
    }

    /// KuryrPorts whose pod is gone are Kubernetes' to collect; those it does not (their owner reference was removed or never
    /// there) are looked at again, and deleted if they hold nothing any more.
    async fn collect_kuryr_ports(&self, before: &HashSet<String>) -> HashSet<String> {
        let mut sightings = HashSet::new();
        for (key, port) in self.kuryr_ports.all() {
            if self.pods.get(&key).is_some() || port.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let uid = port.metadata.uid.clone().unwrap_or_default();
            let finalizers = port.metadata.finalizers.as_deref().unwrap_or_default();
            if finalizers.is_empty() && before.contains(&uid) {
                let step = super::plan::Step::DeleteKuryrPort;
                if let Err(error) = self.apply(&key, &self.observe(&key), step).await {
                    tracing::warn!(%key, %error, "cannot delete a KuryrPort without a pod");
                }
            } else {
                self.queue.wake(key);
            }
            sightings.insert(uid);
        }
        sightings
    }
}
