//! Security groups: which traffic a port may send and receive.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::{null_is_default, prefix};

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SecurityGroup {
    /// Id.
    pub id: String,
    /// Name; need not be unique, but `default` is.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// Whether answers to allowed traffic are allowed.
    pub stateful: Option<bool>,
    /// Its rules.
    #[serde(deserialize_with = "null_is_default")]
    pub security_group_rules: Vec<SecurityGroupRule>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Grows with each change.
    pub revision_number: Option<u64>,
}

/// One kind of traffic a group allows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SecurityGroupRule {
    /// Id.
    pub id: String,
    /// Group it belongs to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub security_group_id: String,
    /// To or from the port.
    #[serde(default)]
    pub direction: Direction,
    /// IPv4 or IPv6.
    #[serde(default)]
    pub ethertype: Ethertype,
    /// `tcp`, `udp`, `icmp`, a number, …; `None` is any.
    #[serde(default)]
    pub protocol: Option<String>,
    /// First port, or ICMP type.
    #[serde(default)]
    pub port_range_min: Option<u16>,
    /// Last port, or ICMP code.
    #[serde(default)]
    pub port_range_max: Option<u16>,
    /// With whom; `None` with `remote_group_id` and `remote_address_group_id` also `None` is anyone.
    #[serde(default, deserialize_with = "prefix")]
    pub remote_ip_prefix: Option<IpNet>,
    /// With the ports of this group.
    #[serde(default)]
    pub remote_group_id: Option<String>,
    /// With the addresses of this group.
    #[serde(default)]
    pub remote_address_group_id: Option<String>,
    /// Free text.
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Project that owns it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub project_id: String,
}

/// Which way traffic goes, seen from the port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the port.
    #[default]
    Ingress,
    /// From the port.
    Egress,
}

/// Version of IP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ethertype {
    /// IPv4.
    #[default]
    IPv4,
    /// IPv6.
    IPv6,
}

/// Which groups to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct SecurityGroupQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// One of these names. An empty list matches nothing and asks nobody.
    pub name: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// With this description.
    pub description: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
    /// Answer only these fields (and the id); empty answers all. Without the rules a list is far smaller.
    pub fields: &'static [&'static str],
}

/// A group to create. Neutron gives it rules that allow all egress.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewSecurityGroup {
    /// Name.
    pub name: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Whether answers to allowed traffic are allowed; yes by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stateful: Option<bool>,
}

/// A change to a group. What is `None` stays as it is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SecurityGroupUpdate {
    /// New name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Only if the group still has this revision, else `Outdated`.
    #[serde(skip)]
    pub if_revision: Option<u64>,
}

/// Which rules to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct SecurityGroupRuleQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// Of one of these groups. An empty list matches nothing and asks nobody.
    pub security_group_id: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// With this description.
    pub description: Option<String>,
}

/// A rule to create.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewSecurityGroupRule {
    /// Group it is to belong to.
    pub security_group_id: String,
    /// To or from the port.
    pub direction: Direction,
    /// IPv4 or IPv6.
    pub ethertype: Ethertype,
    /// `tcp`, `udp`, `icmp`, a number, …; any by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// First port, or ICMP type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_min: Option<u16>,
    /// Last port, or ICMP code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_max: Option<u16>,
    /// With whom. Giving no remote at all allows everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip_prefix: Option<IpNet>,
    /// With the ports of this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_group_id: Option<String>,
    /// With the addresses of this group (extension `security-groups-remote-address-group`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_address_group_id: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Resource for SecurityGroup {
    const PATH: &'static str = "security-groups";
    const ONE: &'static str = "security_group";
    const MANY: &'static str = "security_groups";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Resource for SecurityGroupRule {
    const PATH: &'static str = "security-group-rules";
    const ONE: &'static str = "security_group_rule";
    const MANY: &'static str = "security_group_rules";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The groups that match.
    pub async fn list_security_groups(&self, query: &SecurityGroupQuery) -> Result<Vec<SecurityGroup>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("description", query.description.as_ref());
        query.tags.add_to(&mut filters);
        let any_of = [("id", &query.id), ("name", &query.name)];
        self.rest.list(filters, &any_of, query.fields).await
    }

    /// One group with its rules.
    pub async fn security_group(&self, id: &str) -> Result<SecurityGroup, Error> {
        self.rest.show(id).await
    }

    /// Creates a group.
    pub async fn create_security_group(&self, group: &NewSecurityGroup) -> Result<SecurityGroup, Error> {
        self.rest.create(group).await
    }

    /// Changes a group's name or description.
    pub async fn update_security_group(&self, id: &str, update: &SecurityGroupUpdate) -> Result<SecurityGroup, Error> {
        self.rest.update(id, update, update.if_revision).await
    }

    /// Deletes a group with its rules. `Conflict` while a port has it.
    pub async fn delete_security_group(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<SecurityGroup>(id).await
    }

    /// The rules that match.
    pub async fn list_security_group_rules(
        &self,
        query: &SecurityGroupRuleQuery,
    ) -> Result<Vec<SecurityGroupRule>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("description", query.description.as_ref());
        let any_of = [("id", &query.id), ("security_group_id", &query.security_group_id)];
        self.rest.list(filters, &any_of, &[]).await
    }

    /// Creates one rule. `Conflict` if the group has an equal one, see [`existing_rule`](Error::existing_rule).
    pub async fn create_security_group_rule(&self, rule: &NewSecurityGroupRule) -> Result<SecurityGroupRule, Error> {
        self.rest.create(rule).await
    }

    /// Creates rules of one group in one request: all of them or none.
    pub async fn create_security_group_rules(
        &self,
        rules: &[NewSecurityGroupRule],
    ) -> Result<Vec<SecurityGroupRule>, Error> {
        self.rest.create_many(None, rules).await
    }

    /// Deletes a rule.
    pub async fn delete_security_group_rule(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<SecurityGroupRule>(id).await
    }
}

impl Error {
    /// The id of the rule that is already there, when creating a rule failed because of it. Neutron says it only in
    /// words: "Security group rule already exists. Rule id is …."
    pub fn existing_rule(&self) -> Option<&str> {
        if self.code() != Some("SecurityGroupRuleExists") {
            return None;
        }
        self.message().split(|c: char| !c.is_ascii_hexdigit() && c != '-').rfind(|word| word.len() == 36)
    }
}
