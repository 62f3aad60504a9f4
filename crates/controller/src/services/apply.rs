//! Doing one step. With `public`, the only file of this folder that changes anything outside the process.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use kuryr_api::crd::{KuryrLoadBalancer, KuryrLoadBalancerSpec, KuryrLoadBalancerStatus};
use kuryr_api::names;
use kuryr_openstack::load_balancing::NewLoadBalancer;
use kuryr_openstack::{Error, ErrorKind};
use serde_json::json;

use super::desired::{Balancer, Desired, Listener, Monitor};
use super::facts::ServiceFacts;
use super::plan::{Call, Observed, Place, Step};
use super::{Services, bodies, record, remarks};
use crate::balancing::keeper::{Keeper as _, gone};
use crate::balancing::provider::takes_whole;
use crate::cache::{Key, version_of};
use crate::condition;
use crate::own::{self, digest};
use crate::trouble::Trouble;

impl Services {
    /// Does one step for `key`. Repeating it is harmless.
    pub(super) async fn apply(
        &self,
        key: &Key,
        observed: &Observed,
        desired: &Desired,
        step: Step,
    ) -> Result<(), Trouble> {
        let (service, record) = (observed.service.as_deref(), observed.record.as_deref());
        match (step, service, record) {
            (Step::Find, _, _) => {
                let held = self.find(key).await?;
                self.index.settle(key, held);
                Ok(())
            }
            (Step::ReadMembers(pool), _, _) => self.read_members(key, pool).await,
            (Step::ReadVip(port), _, _) => self.read_vip(key, &port).await,
            (Step::CreateRecord(spec), Some(service), _) => self.create_record(key, service, *spec).await,
            (Step::UpdateRecord(spec), _, Some(record)) => {
                // A merge: what is not said stays, so what is not there any more is said to be nothing.
                let mut patch = json!({ "metadata": { "uid": record.uid() }, "spec": spec });
                if spec.lb_ip.is_none() && record.spec.lb_ip.is_some() {
                    patch["spec"]["lb_ip"] = json!(null);
                }
                if spec.provider.is_none() && record.spec.provider.is_some() {
                    patch["spec"]["provider"] = json!(null);
                }
                self.patch(key, record, patch).await
            }
            (Step::RecordStatus, _, Some(record)) => self.record_status(key, observed, desired, record).await,
            (Step::LetGoOfRecord, Some(service), Some(record)) if matches!(desired, Desired::Balanced(_)) => {
                match self.is_there(key, service).await? {
                    true => self.let_go(key, record).await,
                    false => Ok(()),
                }
            }
            (Step::LetGoOfRecord, _, Some(record)) => self.let_go(key, record).await,
            (Step::DropLegacyFinalizer, Some(service), _) => self.drop_legacy_finalizer(key, service).await,
            (Step::TellAddress(Some(address)), Some(service), _) => {
                self.tell_address(key, service, Some(address)).await
            }
            (Step::TellAddress(None), Some(service), _) => {
                self.tell_no_address(key, service, observed.held.floating.as_ref()).await
            }
            (Step::Cloud(Call::Publish), _, _) => match desired {
                Desired::Balanced(balancer) => self.publish(key, balancer).await,
                Desired::Nothing(_) => Ok(()),
            },
            (Step::Cloud(Call::Lead(id)), _, _) => self.lead(key, &id).await,
            (Step::Cloud(Call::Replace(id)), _, _) => self.replace(key, observed, desired, &id).await,
            (Step::Cloud(Call::Withdraw(id)), _, _) => self.withdraw(key, observed, desired, &id).await,
            (Step::Cloud(call), _, _) => self.call(key, desired, call).await,
            // The plan only asks for steps on what it observed.
            (step, _, _) => {
                tracing::error!(%key, ?step, "a step without its object");
                Ok(())
            }
        }
    }

    // ---- Octavia ---------------------------------------------------------------------------------------------------

    async fn call(&self, key: &Key, desired: &Desired, call: Call) -> Result<(), Trouble> {
        let outcome = match (call, desired) {
            (Call::DeleteBalancer(id), _) => self.delete_balancer(key, &id).await,
            (Call::FailOver(id), _) => self.fail_over(key, &id).await,
            (Call::SwitchOn(id), _) => self.switch_on(key, &id).await,
            (Call::CreateBalancer, Desired::Balanced(balancer)) => {
                let mut new = self.new_balancer(key, balancer);
                self.place(balancer, &mut new).await?;
                self.create_balancer(key, new).await
            }
            (call, Desired::Balanced(balancer)) => self.change(key, balancer, call).await,
            (_, Desired::Nothing(_)) => Ok(()),
        };
        self.take_note(key, outcome).map_err(explain)
    }

    async fn read_members(&self, key: &Key, pool: String) -> Result<(), Trouble> {
        let members = self.cloud.load_balancing().list_members(&pool).await.inspect_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                self.index.mark_uncertain(key);
            }
        })?;
        self.index.change(key, |held| {
            held.members.insert(pool, members);
        });
        Ok(())
    }

    fn new_balancer(&self, key: &Key, wanted: &Balancer) -> NewLoadBalancer {
        let (way, tags) = (self.way(), self.tags());
        let whole = |(place, listener): (&Place, &Listener)| bodies::whole_listener(*place, listener, &way, &tags);
        let takes_whole = takes_whole(self.settings.provider.as_deref());
        NewLoadBalancer {
            name: key.to_string(),
            description: self.marks.description(key),
            project_id: self.project_id(),
            provider: self.settings.provider.clone(),
            flavor_id: wanted.flavor.clone(),
            availability_zone: wanted.zone.clone(),
            listeners: wanted.listeners.iter().filter(|_| takes_whole).map(whole).collect(),
            tags: tags.clone(),
            ..NewLoadBalancer::default()
        }
    }

    /// Makes a load balancer. One that is refused with all on it is made with nothing on it, so that what is refused stops nothing else.
    async fn create_balancer(&self, key: &Key, mut new: NewLoadBalancer) -> Result<(), Error> {
        let octavia = self.cloud.load_balancing();
        let mut made = octavia.create_load_balancer(&new).await;
        if let Err(error) = &made
            && !new.listeners.is_empty()
            && matches!(error.kind(), ErrorKind::BadRequest | ErrorKind::OverQuota)
        {
            tracing::debug!(%key, %error, "not as a whole: the load balancer is made part by part");
            new.listeners.clear();
            made = octavia.create_load_balancer(&new).await;
        }
        let made = made?;
        tracing::info!(%key, balancer = made.id, vip = ?made.vip_address, "load balancer created");
        self.index.change(key, |held| {
            held.lose_balancer();
            held.balancer = Some(made);
        });
        if !new.listeners.is_empty() {
            // What was made with it is looked for: Octavia does not say the ids of members.
            self.index.mark_uncertain(key);
        }
        Ok(())
    }

    /// Changes a part of the load balancer.
    async fn change(&self, key: &Key, wanted: &Balancer, call: Call) -> Result<(), Error> {
        let octavia = self.cloud.load_balancing();
        match call {
            Call::CreateListener(place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                let balancer = self.index.of(key).0.balancer.as_ref().map(|balancer| balancer.id.clone());
                let made = octavia
                    .create_listener(&bodies::new_listener(balancer, place, listener, &self.way(), self.tags()))
                    .await?;
                self.index.change(key, |held| held.listeners.push(made));
            }
            Call::UpdateListener(id, place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                let update = bodies::listener_update(listener, &self.way());
                let changed = octavia.update_listener(&id, &update).await?;
                self.index.change(key, |held| held.replace_listener(&changed));
            }
            Call::DeleteListener(id) => {
                gone(octavia.delete_listener(&id).await)?;
                self.index.change(key, |held| held.listeners.retain(|listener| listener.id != id));
            }
            Call::CreatePool(listener_id, place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                let new = bodies::new_pool(Some(&listener_id), place, listener, &self.way(), self.tags());
                let made = octavia.create_pool(&new).await?;
                self.index.change(key, |held| bodies::attach(held, &listener_id, made));
            }
            Call::UpdatePool(id, place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                let changed = octavia.update_pool(&id, &bodies::pool_update(listener)).await?;
                self.index.change(key, |held| held.replace_pool(&changed));
            }
            Call::DeletePool(id) => {
                gone(octavia.delete_pool(&id).await)?;
                self.index.change(key, |held| bodies::detach(held, &id));
            }
            Call::SetMembers(pool, place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                octavia.set_members(&pool, &bodies::new_members(listener, &self.tags())).await?;
                let known = self.index.of(key).0.members.get(&pool).cloned().unwrap_or_default();
                self.index.change(key, |held| {
                    held.members.insert(pool, bodies::members_after(listener, &known));
                });
            }
            Call::CreateMonitor(pool, place) => {
                let Some((listener, monitor)) = monitored(wanted, place) else { return Ok(()) };
                let new = bodies::new_monitor(Some(&pool), listener, monitor, self.tags());
                let made = octavia.create_health_monitor(&new).await?;
                self.index.change(key, |held| {
                    held.monitors.insert(pool, made);
                });
            }
            Call::UpdateMonitor(id, place) => {
                let Some((_, monitor)) = monitored(wanted, place) else { return Ok(()) };
                let changed = octavia.update_health_monitor(&id, &bodies::monitor_update(monitor)).await?;
                self.index.change(key, |held| {
                    held.monitors
                        .values_mut()
                        .filter(|known| known.id == id)
                        .for_each(|known| known.clone_from(&changed));
                });
            }
            Call::DeleteMonitor(pool, id) => {
                gone(octavia.delete_health_monitor(&id).await)?;
                self.index.change(key, |held| {
                    held.monitors.remove(&pool);
                });
            }
            // Not of parts.
            Call::CreateBalancer | Call::DeleteBalancer(_) | Call::FailOver(_) | Call::SwitchOn(_) => {}
            // Not of Octavia.
            Call::Publish | Call::Lead(_) | Call::Replace(_) | Call::Withdraw(_) => {}
        }
        Ok(())
    }

    // ---- Kubernetes ------------------------------------------------------------------------------------------------

    fn records_of(&self, key: &Key) -> Api<KuryrLoadBalancer> {
        Api::namespaced(self.kube.clone(), &key.namespace)
    }

    async fn create_record(
        &self,
        key: &Key,
        service: &ServiceFacts,
        spec: KuryrLoadBalancerSpec,
    ) -> Result<(), Trouble> {
        let new = KuryrLoadBalancer {
            metadata: ObjectMeta {
                name: Some(key.name.clone()),
                namespace: Some(key.namespace.clone()),
                finalizers: Some(vec![names::KURYRLOADBALANCER_FINALIZER.to_owned()]),
                owner_references: Some(vec![OwnerReference {
                    api_version: "v1".to_owned(),
                    kind: "Service".to_owned(),
                    name: key.name.clone(),
                    uid: service.uid.clone(),
                    controller: None,
                    block_owner_deletion: None,
                }]),
                ..ObjectMeta::default()
            },
            spec,
            status: Some(KuryrLoadBalancerStatus::default()),
        };
        let api = self.records_of(key);
        match api.create(&PostParams::default(), &new).await {
            Ok(created) => self.watched.records.wrote(key.clone(), digest(created)),
            // Ours, by a call whose answer was lost, or not seen yet by the watch.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = api.get(&key.name).await?;
                self.watched.records.wrote(key.clone(), digest(found));
            }
            Err(kube::Error::Api(status)) if status.message.contains("being terminated") => {
                return Err(Trouble::mistake("NamespaceTerminating", "the namespace is being deleted"));
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes down what Octavia has, and tells what is news of what there is to know.
    async fn record_status(
        &self,
        key: &Key,
        observed: &Observed,
        desired: &Desired,
        record: &KuryrLoadBalancer,
    ) -> Result<(), Trouble> {
        let Desired::Balanced(balancer) = desired else { return Ok(()) };
        let before = record.status.clone().unwrap_or_default();
        let mut status = record::status(&observed.held, &before, &self.marks, Some(balancer.keeps_address));
        status.conditions = before.conditions;
        let message = "the load balancer has what the Service needs";
        condition::set_ready(&mut status.conditions, true, record::BALANCED, message, Timestamp::now());
        let news = remarks::tell(&mut status.conditions, &balancer.remarks, Timestamp::now());
        self.write_status(key, record, &status).await?;
        if let (Some(news), Some(service)) = (news, &observed.service) {
            self.events.warn("Service", key, &service.uid, &news).await;
        }
        Ok(())
    }

    /// Writes the status, unless the KuryrLoadBalancer was replaced meanwhile.
    pub(super) async fn write_status(
        &self,
        key: &Key,
        record: &KuryrLoadBalancer,
        status: &KuryrLoadBalancerStatus,
    ) -> Result<(), Trouble> {
        let mut patch = json!({ "metadata": { "uid": record.uid() }, "status": status });
        // A merge keeps what is not said: what has ended is said to be nothing.
        for part in ["loadbalancer", "listeners", "pools", "members", "service_pub_ip_info"] {
            if patch["status"].get(part).is_none() {
                patch["status"][part] = json!(null);
            }
        }
        let finalizer = names::KURYRLOADBALANCER_FINALIZER;
        if !record.finalizers().iter().any(|known| known == finalizer) {
            let mut finalizers = record.finalizers().to_vec();
            finalizers.push(finalizer.to_owned());
            patch["metadata"]["finalizers"] = json!(finalizers);
            patch["metadata"]["resourceVersion"] = json!(record.resource_version());
        }
        self.patch(key, record, patch).await
    }

    /// Whether the Service that needs another record is there at all: its record may be collected because it is not, and the watch that
    /// would tell is interrupted. Without asking, records would be made and collected until it is back.
    async fn is_there(&self, key: &Key, service: &ServiceFacts) -> Result<bool, Trouble> {
        let api: Api<Service> = Api::namespaced(self.kube.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await?;
        let is_there = found.is_some_and(|found| found.metadata.uid.as_deref() == Some(&service.uid));
        if !is_there {
            self.watched.services.remove(key, &service.uid, service.version);
        }
        Ok(is_there)
    }

    /// Takes our finalizer off, and deletes what nobody has deleted.
    async fn let_go(&self, key: &Key, record: &KuryrLoadBalancer) -> Result<(), Trouble> {
        let others = |finalizer: &&String| *finalizer != names::KURYRLOADBALANCER_FINALIZER;
        let finalizers: Vec<&String> = record.finalizers().iter().filter(others).collect();
        if finalizers.len() != record.finalizers().len() {
            let patch = json!({ "metadata": {
                "uid": record.uid(), "resourceVersion": record.resource_version(), "finalizers": finalizers,
            }});
            return self.patch(key, record, patch).await;
        }
        if record.metadata.deletion_timestamp.is_some() {
            // Others hold it; it is nothing to us any more.
            self.watched.records.remove(key, &record.uid().unwrap_or_default(), version_of(record));
            return Ok(());
        }
        own::delete(&self.records_of(key), &self.watched.records, key, record).await
    }

    async fn patch(&self, key: &Key, record: &KuryrLoadBalancer, patch: serde_json::Value) -> Result<(), Trouble> {
        own::patch(&self.records_of(key), &self.watched.records, key, record, patch).await
    }

    async fn drop_legacy_finalizer(&self, key: &Key, service: &ServiceFacts) -> Result<(), Trouble> {
        let api: Api<Service> = Api::namespaced(self.kube.clone(), &key.namespace);
        let Some(found) = api.get_opt(&key.name).await? else {
            self.watched.services.remove(key, &service.uid, service.version);
            return Ok(());
        };
        let others = |finalizer: &&String| *finalizer != names::LEGACY_SERVICE_FINALIZER;
        let patch = json!({ "metadata": {
            "uid": found.uid(),
            "resourceVersion": found.resource_version(),
            "finalizers": found.finalizers().iter().filter(others).collect::<Vec<_>>(),
        }});
        let patched = api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        let facts = ServiceFacts::read(&patched);
        if facts.leaves && patched.finalizers().is_empty() {
            self.watched.services.remove(key, &facts.uid, facts.version);
        } else {
            self.watched.services.wrote(key.clone(), facts);
        }
        Ok(())
    }
}

/// What is to try the members behind a place, if something is.
fn monitored(wanted: &Balancer, place: Place) -> Option<(&Listener, Monitor)> {
    let listener = wanted.listeners.get(&place)?;
    Some((listener, listener.monitor.flatten()?))
}

/// What an answer of Octavia's means for the Service's owner.
fn explain(error: Error) -> Trouble {
    match error.kind() {
        ErrorKind::OverQuota => Trouble::quota(
            "QuotaExceeded",
            format!(
                "{}; raise the project's quota of load balancers, or delete what is not needed; the Service goes on by itself",
                error.message().trim_end_matches('.')
            ),
        ),
        // The provider OVN fails (500) where Neutron says that an address is taken.
        kind if kind == ErrorKind::Conflict || error.message().contains("already allocated") => Trouble::mistake(
            "TakenInCloud",
            format!(
                "{}; something else has what the Service's load balancer needs, like its address: take it away there",
                error.message().trim_end_matches('.')
            ),
        ),
        ErrorKind::BadRequest => Trouble::mistake(
            "RefusedByCloud",
            format!(
                "{}; Octavia's provider may lack what the Service asks for: change the Service, or [octavia_defaults] in kuryr.conf",
                error.message().trim_end_matches('.')
            ),
        ),
        _ => error.into(),
    }
}
