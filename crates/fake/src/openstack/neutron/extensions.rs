//! Extensions: what this Neutron can do, by alias. Clients ask before they rely on one.

use http::Method;
use serde_json::{Value, json};

use crate::openstack::refusal::Refusal;
use crate::openstack::request::{Answer, Ask};
use crate::openstack::world::World;

/// Aliases and what they stand for.
const EXTENSIONS: [(&str, &str); 37] = [
    ("address-group", "Address groups"),
    ("allowed-address-pairs", "Further addresses a port may send from"),
    ("binding", "Where a port is bound, and how"),
    ("default-subnetpools", "A default subnet pool"),
    ("ext-gw-mode", "Source NAT at a router's gateway may be off"),
    ("external-net", "External networks"),
    ("extra_dhcp_opt", "DHCP options of a port"),
    ("extraroute", "Static routes of a router"),
    ("filter-validation", "Unknown filters are refused"),
    ("fip-port-details", "A floating IP shows its port"),
    ("net-mtu", "A network shows its MTU"),
    ("net-mtu-writable", "A network's MTU may be set"),
    ("network-ip-availability", "How many addresses a network has left"),
    ("pagination", "Lists have pages"),
    ("port-security", "Port security may be off"),
    ("project-id", "project_id besides tenant_id"),
    ("provider", "What a network is on the wire"),
    ("quota_details", "Quotas with usage"),
    ("quotas", "Quotas of projects"),
    ("revision-if-match", "Changes on condition of a revision"),
    ("router", "Routers and floating IPs"),
    ("security-group", "Security groups"),
    ("security-groups-normalized-cidr", "A rule shows its prefix in normal form"),
    ("security-groups-remote-address-group", "Rules for address groups"),
    ("sorting", "Lists have an order"),
    ("standard-attr-description", "Descriptions"),
    ("standard-attr-revisions", "Revision numbers"),
    ("standard-attr-tag", "Tags"),
    ("standard-attr-timestamp", "Times of creation and change"),
    ("stateful-security-group", "Security groups without connection tracking"),
    ("subnet_allocation", "Subnet pools"),
    ("subnet-service-types", "Subnets for some kinds of ports"),
    ("tag-creation", "Tags in the body of a POST"),
    ("tag-ports-during-bulk-creation", "Tags in the body of a POST of ports"),
    ("trunk", "Trunks"),
    ("trunk-details", "A port shows its trunk"),
    ("port-mac-address-regenerate", "A port may ask for a new hardware address"),
];

/// Extensions that are there only if asked for: most clouds do not have them.
pub(crate) const OFF_AT_FIRST: [&str; 1] = ["tag-creation"];

impl World {
    pub(crate) fn has_extension(&self, alias: &str) -> bool {
        EXTENSIONS.iter().any(|(known, _)| *known == alias) && !self.without_extensions.contains(alias)
    }
}

/// Answers `/v2.0/extensions[/<alias>]`.
pub(super) fn answer(world: &World, path: &[&str], ask: &Ask) -> Result<Answer, Refusal> {
    let shown = |(alias, name): &(&str, &str)| json!({"alias": alias, "name": name, "description": name, "updated": "2016-01-01T10:00:00-00:00", "links": []});
    match (&ask.method, path) {
        (&Method::GET, []) => {
            let there = EXTENSIONS.iter().filter(|(alias, _)| world.has_extension(alias));
            Ok(Answer::ok(json!({"extensions": there.map(shown).collect::<Vec<Value>>()})))
        }
        (&Method::GET, [alias]) => {
            let found = EXTENSIONS.iter().find(|(known, _)| known == alias && world.has_extension(known));
            let missing = || Refusal::not_found("HTTPNotFound", format!("Extension with alias {alias} does not exist"));
            Ok(Answer::ok(json!({"extension": shown(found.ok_or_else(missing)?)})))
        }
        _ => Err(Refusal::no_such_path()),
    }
}
