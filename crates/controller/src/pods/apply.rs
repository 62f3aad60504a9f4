//! Doing one step. The only file of this folder that changes anything outside the process.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use kuryr_api::crd::{InterfaceEntry, KuryrPort, KuryrPortSpec, KuryrPortStatus};
use kuryr_api::names;
use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::{NewFixedIp, NewPort, Port, PortQuery};
use serde_json::json;

use super::observed::{Observed, PodFacts};
use super::plan::Step;
use super::{Pods, vif};
use crate::cache::Key;
use crate::condition;
use crate::own::{self, digest};
use crate::placement::Place;
use crate::trouble::Trouble;

impl Pods {
    /// Does one step for `key`. Repeating it is harmless.
    pub(super) async fn apply(&self, key: &Key, observed: &Observed, step: Step) -> Result<(), Trouble> {
        let kuryr_port = observed.kuryr_port.as_deref();
        match (step, observed.pod.as_deref(), kuryr_port) {
            (Step::FindPorts(owner), _, _) => self.find_ports(&owner).await,
            (Step::DeletePort(id), _, _) => self.delete_port(&id).await,
            (Step::DropLegacyPodFinalizer, Some(pod), _) => self.drop_legacy_pod_finalizer(key, pod).await,
            (Step::CreatePort, Some(pod), _) => self.create_port(key, pod).await,
            (Step::CreateKuryrPort(port), Some(pod), _) => {
                let status = self.connected_status(key, &port, KuryrPortStatus::default()).await?;
                self.create_kuryr_port(key, pod, status).await
            }
            (Step::RecordPort(port), _, Some(kuryr_port)) => {
                let before = kuryr_port.status.clone().unwrap_or_default();
                let status = self.connected_status(key, &port, before).await?;
                self.write_status(key, kuryr_port, &status).await
            }
            (Step::RecordActive, pod, Some(kuryr_port)) => self.record_active(key, pod, kuryr_port).await,
            (Step::DeleteKuryrPort, _, Some(kuryr_port)) => {
                own::delete(&self.kuryr_ports_of(key), &self.kuryr_ports, key, kuryr_port).await
            }
            (Step::LetGoOfKuryrPort { released: false }, Some(pod), Some(kuryr_port)) => {
                if self.pod_lives(key, pod).await? {
                    self.let_go(key, kuryr_port, false).await?;
                }
                Ok(())
            }
            (Step::LetGoOfKuryrPort { released }, _, Some(kuryr_port)) => self.let_go(key, kuryr_port, released).await,
            // The plan only asks for steps on what it observed.
            (step, _, _) => {
                tracing::error!(%key, ?step, "a step without its object");
                Ok(())
            }
        }
    }

    // ---- Neutron ---------------------------------------------------------------------------------------------------

    async fn find_ports(&self, owner: &str) -> Result<(), Trouble> {
        let ports = self.ports_of(vec![owner.to_owned()]).await?;
        self.index.settle(owner, ports);
        Ok(())
    }

    /// The ports that were made for pods with these uids.
    pub(super) async fn ports_of(&self, owners: Vec<String>) -> Result<Vec<Port>, kuryr_openstack::Error> {
        let device_owner = Some(names::DEVICE_OWNER.to_owned());
        let query = PortQuery { device_id: Some(owners), device_owner, ..PortQuery::default() };
        self.cloud.network().list_ports(&query).await
    }

    async fn create_port(&self, key: &Key, pod: &PodFacts) -> Result<(), Trouble> {
        let place = self.placement.of_pod().await?;
        let new = self.new_port(key, pod, &place);
        let making = self.tagging.making();
        let created = self.cloud.network().create_port_with_others(&new).await;
        drop(making);
        let port = created.map_err(|error| {
            if error.outcome_unknown() {
                self.index.mark_uncertain(&pod.uid);
            }
            self.explain_creation(error, &place)
        })?;
        if !self.marks.in_body() {
            self.tagging.add(&port.id);
        }
        if port.binding.vif_type == "binding_failed" {
            // Such a port never works, and a new one may, once the node's agent does.
            let trouble = vif::translate(&port, &place, None).err();
            self.index.insert(port.clone());
            self.delete_port(&port.id).await?;
            return trouble.map_or(Ok(()), Err);
        }
        tracing::info!(%key, port = port.id, "Neutron port created");
        self.index.insert(port);
        Ok(())
    }

    /// The body of the port of a pod.
    pub(super) fn new_port(&self, key: &Key, pod: &PodFacts, place: &Place) -> NewPort {
        NewPort {
            network_id: place.network.id.clone(),
            project_id: Some(place.project_id.clone()).filter(|project| !project.is_empty()),
            name: key.to_string().chars().take(255).collect(),
            fixed_ips: (place.subnets.iter())
                .map(|subnet| NewFixedIp { subnet_id: subnet.id.clone(), ip_address: None })
                .collect(),
            security_groups: Some(place.security_groups.clone()).filter(|groups| !groups.is_empty()),
            device_id: pod.uid.clone(),
            device_owner: names::DEVICE_OWNER.to_owned(),
            host_id: pod.node.clone(),
            tags: if self.marks.in_body() { self.marks.tags.clone() } else { Vec::new() },
            description: self.marks.description(key),
            admin_state_up: Some(true),
            ..NewPort::default()
        }
    }

    /// Neutron says 404 for a missing security group or network alike; its text names which.
    fn explain_creation(&self, error: kuryr_openstack::Error, place: &Place) -> Trouble {
        if error.kind() != ErrorKind::NotFound {
            return Trouble::from(error);
        }
        let text = error.message().to_owned();
        match place.security_groups.iter().find(|id| text.contains(id.as_str())) {
            Some(id) => Trouble::mistake(
                "SecurityGroupNotFound",
                format!(
                    "security group {id} does not exist; correct [neutron_defaults] pod_security_groups in kuryr.conf"
                ),
            ),
            None => Trouble::from(error),
        }
    }

    async fn delete_port(&self, id: &str) -> Result<(), Trouble> {
        match self.cloud.network().delete_port(id).await {
            Ok(()) => tracing::info!(port = id, "Neutron port deleted"),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.index.remove(id);
        Ok(())
    }

    // ---- Kubernetes ------------------------------------------------------------------------------------------------

    fn kuryr_ports_of(&self, key: &Key) -> Api<KuryrPort> {
        Api::namespaced(self.kube.clone(), &key.namespace)
    }

    /// `status` with the port in it, and the condition that follows.
    async fn connected_status(
        &self,
        key: &Key,
        port: &Port,
        mut status: KuryrPortStatus,
    ) -> Result<KuryrPortStatus, Trouble> {
        let place = self.placement.of_pod().await?;
        let vif = vif::translate(port, &place, self.config.ovs_bridge.as_deref());
        // What we know of the port may be from before its binding: look again next time.
        let vif = vif.inspect_err(|_| self.index.mark_uncertain(&port.device_id))?;
        tracing::debug!(%key, port = port.id, active = vif.active, "recording the port");
        status.vifs = BTreeMap::from([(names::MAIN_INTERFACE.to_owned(), InterfaceEntry::new(true, vif))]);
        set_condition(&mut status);
        Ok(status)
    }

    /// Creates the KuryrPort, whole, in one write.
    pub(super) async fn create_kuryr_port(
        &self,
        key: &Key,
        pod: &PodFacts,
        status: KuryrPortStatus,
    ) -> Result<(), Trouble> {
        let node = pod.node.clone().unwrap_or_default();
        let new = KuryrPort {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                labels: Some(BTreeMap::from([(names::LABEL_NODE_NAME.to_owned(), node.clone())])),
                finalizers: Some(vec![names::KURYRPORT_FINALIZER.to_owned()]),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Pod".to_owned(),
                    name: key.name.clone(),
                    uid: pod.uid.clone(),
                    controller: None,
                    block_owner_deletion: None,
                }]),
                ..ObjectMeta::default()
            },
            spec: KuryrPortSpec { pod_uid: pod.uid.clone(), pod_node_name: node, pod_static: Some(pod.is_static) },
            status: Some(status),
        };
        let api = self.kuryr_ports_of(key);
        match api.create(&PostParams::default(), &new).await {
            Ok(created) => self.kuryr_ports.wrote(key.clone(), digest(created)),
            // Ours, by a call whose answer was lost, or not seen yet by the watch.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = api.get(&key.name).await?;
                self.kuryr_ports.wrote(key.clone(), digest(found));
            }
            Err(kube::Error::Api(status))
                if status.reason == "NotFound" || status.message.contains("being terminated") =>
            {
                return Err(Trouble::mistake("NamespaceTerminating", "the namespace is being deleted"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn record_active(&self, key: &Key, pod: Option<&PodFacts>, kuryr_port: &KuryrPort) -> Result<(), Trouble> {
        let mut status = kuryr_port.status.clone().unwrap_or_default();
        for entry in status.vifs.values_mut() {
            if let Ok(vif) = &mut entry.vif {
                vif.active = true;
            }
        }
        set_condition(&mut status);
        self.write_status(key, kuryr_port, &status).await?;
        if let Some(scheduled) = pod.and_then(|pod| pod.scheduled) {
            self.metrics.pod_connected(scheduled, Timestamp::now());
        }
        Ok(())
    }

    /// Writes the status, unless the KuryrPort was replaced meanwhile.
    pub(super) async fn write_status(
        &self,
        key: &Key,
        kuryr_port: &KuryrPort,
        status: &KuryrPortStatus,
    ) -> Result<(), Trouble> {
        let mut finalizers = kuryr_port.finalizers().to_vec();
        if !finalizers.iter().any(|finalizer| finalizer == names::KURYRPORT_FINALIZER) {
            finalizers.push(names::KURYRPORT_FINALIZER.to_owned());
        }
        let mut metadata = json!({ "uid": kuryr_port.uid() });
        if finalizers != kuryr_port.finalizers() {
            metadata["finalizers"] = json!(finalizers);
            metadata["resourceVersion"] = json!(kuryr_port.resource_version());
        }
        self.patch(key, kuryr_port, json!({ "metadata": metadata, "status": status })).await
    }

    async fn let_go(&self, key: &Key, kuryr_port: &KuryrPort, released: bool) -> Result<(), Trouble> {
        let others = |finalizer: &&String| *finalizer != names::KURYRPORT_FINALIZER;
        let finalizers: Vec<&String> = kuryr_port.finalizers().iter().filter(others).collect();
        let mut patch = json!({ "metadata": {
            "uid": kuryr_port.uid(),
            "resourceVersion": kuryr_port.resource_version(),
            "finalizers": finalizers,
        }});
        if released && kuryr_port.metadata.deletion_timestamp.is_none() {
            // Merge patch: null removes what is there.
            patch["status"] = json!(null);
        }
        self.patch(key, kuryr_port, patch).await
    }

    /// Asks the API server: the end of a Pod may reach us after the end of what it owned, and then a KuryrPort that Kubernetes
    /// collects looks like one deleted by hand.
    async fn pod_lives(&self, key: &Key, pod: &PodFacts) -> Result<bool, Trouble> {
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await?.map(PodFacts::from);
        if found.is_some_and(|found| found.uid == pod.uid) {
            return Ok(true);
        }
        self.pods.remove(key, &pod.uid, pod.version);
        Ok(false)
    }

    async fn patch(&self, key: &Key, kuryr_port: &KuryrPort, patch: serde_json::Value) -> Result<(), Trouble> {
        own::patch(&self.kuryr_ports_of(key), &self.kuryr_ports, key, kuryr_port, patch).await
    }

    async fn drop_legacy_pod_finalizer(&self, key: &Key, pod: &PodFacts) -> Result<(), Trouble> {
        let others = |finalizer: &&String| *finalizer != names::LEGACY_POD_FINALIZER;
        let finalizers: Vec<&String> = pod.finalizers.iter().filter(others).collect();
        let patch = json!({ "metadata": {
            "uid": pod.uid,
            "resourceVersion": pod.version.to_string(),
            "finalizers": finalizers,
        }});
        let api: Api<Pod> = Api::namespaced(self.kube.clone(), &key.namespace);
        match api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(patched) => {
                self.pods.wrote(key.clone(), PodFacts::from(patched));
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                self.pods.remove(key, &pod.uid, pod.version);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn set_condition(status: &mut KuryrPortStatus) {
    let active = status.vifs.values().all(|entry| entry.vif.as_ref().is_ok_and(|vif| vif.active));
    let (reason, message) = match active {
        true => ("Connected", "the pod's Neutron ports are active"),
        false => ("WaitingForNode", "the node plugs the pod's interfaces, then Neutron reports the ports active"),
    };
    condition::set_ready(&mut status.conditions, active, reason, message, Timestamp::now());
}
