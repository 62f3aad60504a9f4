//! The KuryrLoadBalancer: what is written down of a Service and its load balancer. Pure.

use kuryr_api::crd::{
    KuryrLoadBalancerPort, KuryrLoadBalancerSpec, KuryrLoadBalancerStatus, ListenerRecord, LoadBalancerRecord,
    MemberRecord, PoolRecord, PublicAddressRecord,
};
use kuryr_openstack::load_balancing::{Listener, LoadBalancer, Member, Pool};
use kuryr_openstack::network::FloatingIp;

use super::facts::{ServiceFacts, ServiceType};
use super::marks::{MADE, Marks};
use super::plan::{place_of, protocol_of};
use crate::balancing::index::Held;
use crate::{condition, config};

/// What the Service needs, keeping what kuryr-kubernetes wrote and nobody here reads.
pub(crate) fn spec(
    service: &ServiceFacts,
    settings: &config::Services,
    project: &str,
    before: &KuryrLoadBalancerSpec,
) -> KuryrLoadBalancerSpec {
    let kind = if service.kind == ServiceType::LoadBalancer { "LoadBalancer" } else { "ClusterIP" };
    let ports = service.ports.iter().map(|port| KuryrLoadBalancerPort {
        name: Some(port.name.clone()).filter(|name| !name.is_empty()),
        port: port.port.into(),
        protocol: Some(port.protocol.as_str().to_owned()),
        target_port: port.target.clone(),
    });
    let timeouts = service.annotations.timeouts;
    KuryrLoadBalancerSpec {
        ip: service.cluster_ips.first().map(ToString::to_string),
        lb_ip: service.asked_address.map(|address| address.to_string()),
        kind: Some(kind.to_owned()),
        ports: ports.collect(),
        project_id: Some(project.to_owned()),
        subnet_id: Some(settings.subnet.clone()),
        security_groups_ids: before.security_groups_ids.clone(),
        provider: settings.provider.clone(),
        timeout_client_data: Some(timeouts.client_data.unwrap_or(0).into()),
        timeout_member_data: Some(timeouts.member_data.unwrap_or(0).into()),
        endpoint_slices: before.endpoint_slices.clone(),
    }
}

/// Reason of a load balancer that is as it should be.
pub(crate) const BALANCED: &str = "Balanced";

/// Whether it says that all is well.
pub(crate) fn is_well(status: &KuryrLoadBalancerStatus) -> bool {
    condition::ready(&status.conditions).is_some_and(|ready| ready.reason == BALANCED)
}

/// What the cloud has, without conditions. Members whose ids are not known yet are left out. `keep`: whether the floating IP is to outlive
/// the Service; `None` if that is as before.
pub(crate) fn status(
    held: &Held,
    before: &KuryrLoadBalancerStatus,
    marks: &Marks,
    keep: Option<bool>,
) -> KuryrLoadBalancerStatus {
    let Some(balancer) = &held.balancer else {
        // Whose floating IP it is must not be forgotten while its load balancer is made anew.
        let service_pub_ip_info = before.service_pub_ip_info.clone();
        return KuryrLoadBalancerStatus { service_pub_ip_info, ..KuryrLoadBalancerStatus::default() };
    };
    let groups = before.loadbalancer.as_ref().map(|record| record.security_groups.clone()).unwrap_or_default();
    let mut members: Vec<MemberRecord> =
        held.members.iter().flat_map(|(pool, members)| members.iter().filter_map(|it| member(pool, it))).collect();
    members.sort_by(|a, b| (&a.pool_id, &a.name, &a.id).cmp(&(&b.pool_id, &b.name, &b.id)));
    let mut listeners: Vec<ListenerRecord> = held.listeners.iter().filter_map(|it| listener(balancer, it)).collect();
    listeners.sort_by(|a, b| (a.port, &a.protocol).cmp(&(b.port, &b.protocol)));
    let mut pools: Vec<PoolRecord> = held.pools.iter().map(|it| pool(balancer, it, &held.listeners)).collect();
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    KuryrLoadBalancerStatus {
        loadbalancer: Some(load_balancer(balancer, groups)),
        listeners,
        pools,
        members,
        service_pub_ip_info: held.floating.as_ref().map(|floating| public_address(floating, before, marks, keep)),
        conditions: Vec::new(),
    }
}

/// What is written down of a floating IP.
pub(crate) fn public_address(
    floating: &FloatingIp,
    before: &KuryrLoadBalancerStatus,
    marks: &Marks,
    keep: Option<bool>,
) -> PublicAddressRecord {
    let recorded = before.service_pub_ip_info.as_ref();
    let made = marks.made(floating, recorded);
    let kept = keep.unwrap_or_else(|| recorded.is_some_and(|known| known.ip_id == floating.id && is_kept(known)));
    PublicAddressRecord {
        ip_id: floating.id.clone(),
        ip_addr: floating.floating_ip_address.map(|address| address.to_string()).unwrap_or_default(),
        alloc_method: if made && !kept { MADE } else { KEPT }.to_owned(),
    }
}

/// What a KuryrLoadBalancer says of a floating IP that outlives it: somebody else made it, or it is to be kept.
const KEPT: &str = "user";

/// Whether a floating IP is to outlive its Service.
pub(crate) fn is_kept(recorded: &PublicAddressRecord) -> bool {
    recorded.alloc_method == KEPT
}

fn load_balancer(balancer: &LoadBalancer, security_groups: Vec<String>) -> LoadBalancerRecord {
    LoadBalancerRecord {
        id: balancer.id.clone(),
        ip: balancer.vip_address.map(|address| address.to_string()).unwrap_or_default(),
        name: balancer.name.clone(),
        port_id: balancer.vip_port_id.clone().unwrap_or_default(),
        project_id: balancer.project_id.clone(),
        provider: balancer.provider.clone(),
        security_groups,
        subnet_id: balancer.vip_subnet_id.clone().unwrap_or_default(),
    }
}

fn listener(balancer: &LoadBalancer, listener: &Listener) -> Option<ListenerRecord> {
    let (protocol, port) = place_of(listener)?;
    Some(ListenerRecord {
        id: listener.id.clone(),
        loadbalancer_id: balancer.id.clone(),
        name: listener.name.clone(),
        port: port.into(),
        project_id: listener.project_id.clone(),
        protocol: protocol.as_str().to_owned(),
        timeout_client_data: listener.timeout_client_data.map(Into::into),
        timeout_member_data: listener.timeout_member_data.map(Into::into),
    })
}

fn pool(balancer: &LoadBalancer, pool: &Pool, listeners: &[Listener]) -> PoolRecord {
    let listener = listeners.iter().find(|listener| listener.default_pool_id.as_ref() == Some(&pool.id));
    PoolRecord {
        id: pool.id.clone(),
        listener_id: listener.map(|listener| listener.id.clone()).unwrap_or_default(),
        loadbalancer_id: balancer.id.clone(),
        name: pool.name.clone(),
        project_id: pool.project_id.clone(),
        protocol: protocol_of(pool).unwrap_or_default().to_owned(),
    }
}

fn member(pool: &str, member: &Member) -> Option<MemberRecord> {
    let record = MemberRecord {
        id: member.id.clone(),
        ip: member.address?.to_string(),
        name: member.name.clone(),
        pool_id: pool.to_owned(),
        port: member.protocol_port.into(),
        project_id: member.project_id.clone(),
        subnet_id: member.subnet_id.clone().unwrap_or_default(),
    };
    Some(record).filter(|record| !record.id.is_empty())
}
