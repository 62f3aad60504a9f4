//! Security groups and their rules.

use kuryr_openstack::ErrorKind;
use kuryr_openstack::network::*;

use crate::bench::{User, on_a_bench, refused, same};

fn tcp(group: &SecurityGroup, port: u16) -> NewSecurityGroupRule {
    NewSecurityGroupRule {
        security_group_id: group.id.clone(),
        protocol: Some("tcp".to_owned()),
        port_range_min: Some(port),
        port_range_max: Some(port),
        remote_ip_prefix: Some("10.0.0.0/8".parse().unwrap()),
        description: "what it is for".to_owned(),
        ..NewSecurityGroupRule::default()
    }
}

#[tokio::test]
async fn a_new_group_lets_everything_out_and_nothing_in() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let asked = NewSecurityGroup {
            name: bench.name.clone(),
            description: "what it is for".to_owned(),
            ..NewSecurityGroup::default()
        };
        let created = neutron.create_security_group(&asked).await.unwrap();
        let shown = neutron.security_group(&created.id).await.unwrap();
        for group in [&created, &shown] {
            assert_eq!((&group.name, &group.description), (&asked.name, &asked.description));
            assert_eq!(group.stateful, Some(true));
            let rules = &group.security_group_rules;
            assert!(rules.iter().all(|rule| rule.direction == Direction::Egress && rule.protocol.is_none()));
            same::<Ethertype>(rules.iter().map(|rule| rule.ethertype), [Ethertype::IPv4, Ethertype::IPv6]);
        }
        let update = SecurityGroupUpdate { description: Some("changed".to_owned()), ..Default::default() };
        assert_eq!(neutron.update_security_group(&created.id, &update).await.unwrap().description, "changed");
        let stale = SecurityGroupUpdate { if_revision: created.revision_number, ..update };
        let result = neutron.update_security_group(&created.id, &stale).await;
        refused(result, ErrorKind::Outdated, "RevisionNumberConstraintFailed");
        neutron.delete_security_group(&created.id).await.unwrap();
        refused(neutron.security_group(&created.id).await, ErrorKind::NotFound, "SecurityGroupNotFound");
    })
    .await;
}

#[tokio::test]
async fn a_project_has_its_default_group_from_the_first_look() {
    on_a_bench(async |bench| {
        let stranger = bench.cloud_of(User::Stranger);
        let project = stranger.authenticate().await.unwrap().project_id.unwrap();
        let groups = stranger.network().list_security_groups(&SecurityGroupQuery::default()).await.unwrap();
        assert!(groups.iter().any(|group| group.name == "default" && group.project_id == project), "{groups:?}");
    })
    .await;
}

#[tokio::test]
async fn groups_are_listed_by_what_they_are() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let (one, two) = (bench.security_group().await, bench.security_group().await);
        neutron.replace_tags(Taggable::SecurityGroup, &two.id, &["red".to_owned()]).await.unwrap();
        let here = || SecurityGroupQuery { name: Some(vec![bench.name.clone()]), ..Default::default() };
        let list = async |query| neutron.list_security_groups(&query).await.unwrap().into_iter().map(|group| group.id);
        same::<String>(list(here()).await, [one.id.clone(), two.id.clone()]);
        same::<String>(list(SecurityGroupQuery { id: Some(vec![one.id.clone()]), ..here() }).await, [one.id.clone()]);
        same::<String>(list(SecurityGroupQuery { tags: TagFilter::all(["red"]), ..here() }).await, [two.id.clone()]);
        let brief = neutron.list_security_groups(&SecurityGroupQuery { fields: &["name"], ..here() }).await.unwrap();
        assert!(brief.iter().all(|group| group.name == bench.name && group.security_group_rules.is_empty()));
    })
    .await;
}

#[tokio::test]
async fn a_rule_is_what_it_was_asked_to_be() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let group = bench.security_group().await;
        let asked = tcp(&group, 443);
        let created = neutron.create_security_group_rule(&asked).await.unwrap();
        let query = SecurityGroupRuleQuery { id: Some(vec![created.id.clone()]), ..Default::default() };
        let listed = neutron.list_security_group_rules(&query).await.unwrap();
        assert_eq!(listed, std::slice::from_ref(&created));
        assert_eq!((created.direction, created.ethertype), (Direction::Ingress, Ethertype::IPv4));
        assert_eq!((&created.protocol, created.remote_ip_prefix), (&asked.protocol, asked.remote_ip_prefix));
        assert_eq!((created.port_range_min, created.port_range_max), (Some(443), Some(443)));
        assert_eq!((created.remote_group_id, created.description), (None, asked.description.clone()));
        assert_eq!(created.security_group_id, group.id);

        let error =
            refused(neutron.create_security_group_rule(&asked).await, ErrorKind::Conflict, "SecurityGroupRuleExists");
        assert_eq!(error.existing_rule(), Some(created.id.as_str()));
        neutron.delete_security_group_rule(&created.id).await.unwrap();
        let again = neutron.delete_security_group_rule(&created.id).await;
        refused(again, ErrorKind::NotFound, "SecurityGroupRuleNotFound");
    })
    .await;
}

#[tokio::test]
async fn rules_are_created_together_or_not_at_all() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let group = bench.security_group().await;
        let rules: Vec<_> = (1..=4).map(|port| tcp(&group, port)).collect();
        let created = neutron.create_security_group_rules(&rules).await.unwrap();
        let ports: Vec<_> = created.iter().map(|rule| rule.port_range_min.unwrap()).collect();
        assert_eq!(ports, [1, 2, 3, 4]);
        let result = neutron.create_security_group_rules(&[tcp(&group, 5), tcp(&group, 1)]).await;
        refused(result, ErrorKind::Conflict, "SecurityGroupRuleExists");
        let backwards = NewSecurityGroupRule { port_range_max: Some(1), ..tcp(&group, 6) };
        let result = neutron.create_security_group_rules(&[tcp(&group, 7), backwards]).await;
        refused(result, ErrorKind::BadRequest, "SecurityGroupInvalidPortRange");
        let query = SecurityGroupRuleQuery { security_group_id: Some(vec![group.id.clone()]), ..Default::default() };
        let rules = neutron.list_security_group_rules(&query).await.unwrap();
        let ingress = rules.into_iter().filter(|rule| rule.direction == Direction::Ingress);
        same::<String>(ingress.map(|rule| rule.id), created.into_iter().map(|rule| rule.id));
    })
    .await;
}

#[tokio::test]
async fn rules_name_their_peers_in_three_ways() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let (group, peer) = (bench.security_group().await, bench.security_group().await);
        let base = NewSecurityGroupRule { security_group_id: group.id.clone(), ..Default::default() };
        let rules = [
            NewSecurityGroupRule { remote_group_id: Some(peer.id.clone()), ..base.clone() },
            NewSecurityGroupRule { remote_ip_prefix: Some("10.1.2.3/32".parse().unwrap()), ..base.clone() },
            NewSecurityGroupRule {
                ethertype: Ethertype::IPv6,
                direction: Direction::Egress,
                remote_ip_prefix: Some("fd00::/8".parse().unwrap()),
                protocol: Some("udp".to_owned()),
                ..base.clone()
            },
        ];
        let created = neutron.create_security_group_rules(&rules).await.unwrap();
        for (asked, rule) in rules.iter().zip(created) {
            assert_eq!(
                (&rule.remote_group_id, rule.remote_ip_prefix),
                (&asked.remote_group_id, asked.remote_ip_prefix)
            );
            assert_eq!((rule.ethertype, rule.direction, rule.port_range_min), (asked.ethertype, asked.direction, None));
        }
        let mixed = NewSecurityGroupRule { ethertype: Ethertype::IPv6, ..rules[1].clone() };
        let result = neutron.create_security_group_rule(&mixed).await;
        refused(result, ErrorKind::BadRequest, "SecurityGroupRuleParameterConflict");
        let ports_alone = NewSecurityGroupRule { port_range_min: Some(1), port_range_max: Some(2), ..base };
        let result = neutron.create_security_group_rule(&ports_alone).await;
        refused(result, ErrorKind::BadRequest, "SecurityGroupProtocolRequiredWithPorts");
        let nowhere = NewSecurityGroupRule { security_group_id: bench.network.clone(), ..tcp(&group, 1) };
        let result = neutron.create_security_group_rule(&nowhere).await;
        refused(result, ErrorKind::NotFound, "SecurityGroupNotFound");
    })
    .await;
}

#[tokio::test]
async fn a_group_in_use_stays() {
    on_a_bench(async |bench| {
        let neutron = bench.neutron();
        let group = bench.security_group().await;
        let asked = NewPort { security_groups: Some(vec![group.id.clone()]), ..bench.new_port() };
        let port = neutron.create_port(&asked).await.unwrap();
        refused(neutron.delete_security_group(&group.id).await, ErrorKind::Conflict, "SecurityGroupInUse");
        neutron.delete_port(&port.id).await.unwrap();
        neutron.delete_security_group(&group.id).await.unwrap();
    })
    .await;
}
