//! Doing one call. With `public` and `status`, the only files of this folder that change anything outside the process.

use std::net::IpAddr;

use kuryr_openstack::load_balancing::{
    L7Policy, L7Rule, ListenerUpdate, Member, NewL7Policy, NewListener, NewLoadBalancer, NewMember, NewPool,
    PoolUpdate, ProvisioningStatus,
};
use kuryr_openstack::{Error, ErrorKind};

use super::Routes;
use super::desired::{Action, Balancer, Desired, Listener, Place, Pool};
use super::owner::Owner;
use super::plan::{Call, Way, place_of, protocol_of};
use crate::balancing::index::Held;
use crate::balancing::keeper::{Keeper as _, gone};
use crate::trouble::Trouble;

/// Octavia takes names of so many characters.
const LONGEST_NAME: usize = 255;

impl Routes {
    /// Does one call for `owner`. Repeating it is harmless.
    pub(super) async fn apply(
        &self,
        owner: &Owner,
        desired: &Desired,
        call: Call,
        way: &Way,
        kept: Option<IpAddr>,
    ) -> Result<(), Trouble> {
        let outcome = match (call, desired) {
            (Call::Publish, _) => return self.publish(owner).await,
            (Call::Lead(id), _) => return self.lead(owner, &id).await,
            (Call::Withdraw(id), _) => return self.withdraw(owner, &id).await,
            (Call::DeleteBalancer(id), _) => self.delete_balancer(owner, &id).await,
            (Call::FailOver(id), _) => self.fail_over(owner, &id).await,
            (Call::SwitchOn(id), _) => self.switch_on(owner, &id).await,
            (Call::CreateBalancer, Desired::Balanced(_)) => self.create_balancer(owner, way, kept).await,
            (call, Desired::Balanced(balancer)) => self.change(owner, balancer, call, way).await,
            // The plan asks for nothing else where nothing is wanted.
            (_, Desired::Nothing(_)) => Ok(()),
        };
        self.take_note(owner, outcome).map_err(explain)
    }

    /// `kept` is the address its clients know; if somebody else has it by now, there is another.
    async fn create_balancer(&self, owner: &Owner, way: &Way, kept: Option<IpAddr>) -> Result<(), Error> {
        let new = |vip_address| NewLoadBalancer {
            name: owner.name(),
            description: owner.description(self.tag()),
            project_id: self.project_id(),
            vip_subnet_id: Some(self.settings.balancing.subnet.clone()),
            vip_address,
            provider: way.provider.clone(),
            tags: self.tags(),
            ..NewLoadBalancer::default()
        };
        let octavia = self.cloud.load_balancing();
        let made = match octavia.create_load_balancer(&new(kept)).await {
            Err(error) if kept.is_some() && matches!(error.kind(), ErrorKind::Conflict | ErrorKind::BadRequest) => {
                tracing::warn!(%owner, address = ?kept, %error, "the address is taken; there will be another");
                octavia.create_load_balancer(&new(None)).await?
            }
            made => made?,
        };
        tracing::info!(%owner, balancer = made.id, vip = ?made.vip_address, "load balancer created");
        self.index.change(owner, |held| {
            held.lose_balancer();
            held.balancer = Some(made);
        });
        Ok(())
    }

    /// Changes a part of the load balancer.
    async fn change(&self, owner: &Owner, wanted: &Balancer, call: Call, way: &Way) -> Result<(), Error> {
        let octavia = self.cloud.load_balancing();
        match call {
            Call::CreateListener(place) => {
                let Some(listener) = wanted.listeners.get(&place) else { return Ok(()) };
                let made = octavia.create_listener(&self.new_listener(owner, place, listener)).await?;
                self.index.change(owner, |held| held.listeners.push(made));
            }
            Call::UpdateListener(id) => {
                let update = ListenerUpdate { admin_state_up: Some(true), ..ListenerUpdate::default() };
                let changed = octavia.update_listener(&id, &update).await?;
                self.index.change(owner, |held| held.replace_listener(&changed));
            }
            Call::DeleteListener(id) => {
                gone(octavia.delete_listener(&id).await)?;
                self.index.change(owner, |held| {
                    held.listeners.retain(|listener| listener.id != id);
                    let Held { policies, rules, .. } = held;
                    policies.retain(|policy| policy.listener_id != id);
                    rules.retain(|policy, _| policies.iter().any(|known| known.id == *policy));
                });
            }
            Call::CreatePool(name) => {
                let Some(pool) = wanted.pools.get(&name) else { return Ok(()) };
                let new = self.new_pool(owner, &name, pool, way);
                let made = octavia.create_pool(&new).await?;
                self.index.change(owner, |held| {
                    for listener in held.listeners.iter_mut().filter(|it| Some(&it.id) == new.listener_id.as_ref()) {
                        listener.default_pool_id = Some(made.id.clone());
                    }
                    held.pools.push(made);
                });
            }
            Call::UpdatePool(id) => {
                let update = PoolUpdate {
                    lb_algorithm: Some(way.algorithm),
                    admin_state_up: Some(true),
                    ..PoolUpdate::default()
                };
                let changed = octavia.update_pool(&id, &update).await?;
                self.index.change(owner, |held| held.replace_pool(&changed));
            }
            Call::DeletePool(id) => {
                gone(octavia.delete_pool(&id).await)?;
                self.index.change(owner, |held| {
                    held.pools.retain(|known| known.id != id);
                    held.members.remove(&id);
                    for listener in &mut held.listeners {
                        listener.default_pool_id = listener.default_pool_id.take().filter(|pool| *pool != id);
                    }
                });
            }
            Call::SetMembers(id, name) => {
                let Some(pool) = wanted.pools.get(&name) else { return Ok(()) };
                octavia.set_members(&id, &self.new_members(pool)).await?;
                self.index.change(owner, |held| {
                    held.members.insert(id, members_after(pool));
                });
            }
            Call::CreatePolicy(listener, place, index) => {
                let Some(Listener::Http(policies)) = wanted.listeners.get(&place) else { return Ok(()) };
                let Some(policy) = policies.get(index) else { return Ok(()) };
                let position = u32::try_from(index + 1).unwrap_or(u32::MAX);
                let pool = match &policy.to {
                    Action::Pool(name) => {
                        let held = self.index.of(owner).0;
                        held.pools.iter().find(|pool| pool.name == *name).map(|pool| pool.id.clone())
                    }
                    _ => None,
                };
                let (url, prefix, code) = match &policy.to {
                    Action::Pool(_) => (None, None, None),
                    Action::Url(url, code) => (Some(url.clone()), None, Some(*code)),
                    Action::Prefix(prefix, code) => (None, Some(prefix.clone()), Some(*code)),
                };
                let new = NewL7Policy {
                    listener_id: listener.clone(),
                    name: cut(owner.name()),
                    action: policy.to.word(),
                    position: Some(position),
                    redirect_pool_id: pool,
                    redirect_url: url,
                    redirect_prefix: prefix,
                    redirect_http_code: code,
                    rules: policy.rules.iter().cloned().collect(),
                    tags: self.tags(),
                };
                let made = octavia.create_l7_policy(&new).await?;
                self.index.change(owner, |held| insert_policy(held, &listener, position, made, &new));
            }
            Call::DeletePolicy(id) => {
                gone(octavia.delete_l7_policy(&id).await)?;
                self.index.change(owner, |held| remove_policy(held, &id));
            }
            // Not of parts, or not of Octavia.
            Call::CreateBalancer
            | Call::DeleteBalancer(_)
            | Call::FailOver(_)
            | Call::SwitchOn(_)
            | Call::Publish
            | Call::Lead(_)
            | Call::Withdraw(_) => {}
        }
        Ok(())
    }

    fn new_listener(&self, owner: &Owner, place: Place, listener: &Listener) -> NewListener {
        let protocol = protocol_of(place, listener);
        let word = if matches!(listener, Listener::Http(_)) { "HTTP" } else { place.0.as_str() };
        let (client, member) = self.settings.balancing.timeouts;
        NewListener {
            loadbalancer_id: self.index.of(owner).0.balancer.as_ref().map(|balancer| balancer.id.clone()),
            name: cut(format!("{}:{word}:{}", owner.name(), place.1)),
            protocol,
            protocol_port: place.1,
            timeout_client_data: client,
            timeout_member_data: member,
            tags: self.tags(),
            ..NewListener::default()
        }
    }

    /// The default pool of a listener is made for it, the others for the load balancer.
    fn new_pool(&self, owner: &Owner, name: &str, pool: &Pool, way: &Way) -> NewPool {
        let held = self.index.of(owner).0;
        let listener = pool.of.and_then(|place| {
            let listener = held.listeners.iter().find(|listener| place_of(listener) == Some(place));
            listener.map(|listener| listener.id.clone())
        });
        let balancer = held.balancer.as_ref().map(|balancer| balancer.id.clone()).filter(|_| listener.is_none());
        NewPool {
            listener_id: listener,
            loadbalancer_id: balancer,
            name: name.to_owned(),
            protocol: pool.protocol,
            lb_algorithm: way.algorithm,
            tags: self.tags(),
            ..NewPool::default()
        }
    }

    fn new_members(&self, pool: &Pool) -> Vec<NewMember> {
        let tags = self.tags();
        let members = pool.members.iter().map(|((address, port), member)| NewMember {
            address: *address,
            protocol_port: *port,
            subnet_id: member.subnet.clone(),
            name: cut(member.name.clone()),
            weight: Some(member.weight),
            tags: tags.clone(),
        });
        members.collect()
    }
}

fn cut(name: String) -> String {
    if name.chars().count() <= LONGEST_NAME { name } else { name.chars().take(LONGEST_NAME).collect() }
}

/// A policy that was made at its place: those behind it are one place further.
fn insert_policy(held: &mut Held, listener: &str, position: u32, made: L7Policy, new: &NewL7Policy) {
    for known in held.policies.iter_mut().filter(|known| known.listener_id == listener && known.position >= position) {
        known.position += 1;
    }
    let rules = new.rules.iter().map(|rule| L7Rule {
        kind: rule.kind.clone(),
        compare_type: rule.compare_type.clone(),
        key: rule.key.clone(),
        value: rule.value.clone(),
        invert: Some(rule.invert),
        provisioning_status: ProvisioningStatus::Active,
        ..L7Rule::default()
    });
    held.rules.insert(made.id.clone(), rules.collect());
    held.policies.push(L7Policy { position, listener_id: listener.to_owned(), ..made });
}

/// A policy that is gone: those behind it are one place nearer.
fn remove_policy(held: &mut Held, id: &str) {
    let Some(index) = held.policies.iter().position(|policy| policy.id == id) else { return };
    let gone = held.policies.remove(index);
    held.rules.remove(id);
    for known in held.policies.iter_mut() {
        if known.listener_id == gone.listener_id && known.position > gone.position {
            known.position -= 1;
        }
    }
}

/// The members of a pool after all were set.
fn members_after(pool: &Pool) -> Vec<Member> {
    let members = pool.members.iter().map(|((address, port), member)| Member {
        name: member.name.clone(),
        provisioning_status: ProvisioningStatus::Active,
        address: Some(*address),
        protocol_port: *port,
        subnet_id: member.subnet.clone(),
        weight: member.weight,
        ..Member::default()
    });
    members.collect()
}

/// What an answer of Octavia's means for the owner.
fn explain(error: Error) -> Trouble {
    let said = error.message().trim_end_matches('.').to_owned();
    match error.kind() {
        ErrorKind::OverQuota => Trouble::quota(
            "QuotaExceeded",
            format!("{said}; raise the project's quota, or delete what is not needed; Kuryr goes on by itself"),
        ),
        ErrorKind::Conflict => Trouble::mistake(
            "TakenInCloud",
            format!("{said}; something else has what the load balancer needs: take it away there"),
        ),
        ErrorKind::BadRequest => Trouble::mistake(
            "RefusedByCloud",
            format!("{said}; Octavia's provider may lack what is asked for: change it, or [kuryr] ingress_provider"),
        ),
        _ => error.into(),
    }
}
