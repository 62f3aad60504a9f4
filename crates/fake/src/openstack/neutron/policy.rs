//! Who may see and change what: Neutron's default policy.

use super::body;
use super::kind::Kind;
use crate::openstack::refusal::Refusal;
use crate::openstack::world::{Attributes, Object, World};

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) project: String,
    pub(crate) admin: bool,
}

impl Caller {
    /// The cloud itself.
    pub(crate) fn nobody() -> Caller {
        Caller { project: String::new(), admin: true }
    }
}

/// Whether the caller may know of a resource at all.
pub(super) fn sees(world: &World, caller: &Caller, kind: Kind, object: &Object) -> bool {
    if caller.admin || object.text("project_id") == caller.project {
        return true;
    }
    let network = || world.get(Kind::Network, object.text("network_id"));
    match kind {
        Kind::Network => object.flag("shared") || object.flag("router:external"),
        Kind::Subnet => network().is_some_and(|network| network.flag("shared")),
        Kind::Port => network().is_some_and(|network| network.text("project_id") == caller.project),
        Kind::SubnetPool => object.flag("shared"),
        _ => false,
    }
}

/// The resource, if the caller sees it; else 404.
pub(super) fn find<'a>(world: &'a World, caller: &Caller, kind: Kind, id: &str) -> Result<&'a Object, Refusal> {
    let object = world.get(kind, id).filter(|object| sees(world, caller, kind, object));
    object.ok_or_else(|| kind.not_found(id))
}

/// The resource, if the caller may change or delete it; 404 if it may not see it, else 403.
pub(super) fn find_own<'a>(
    world: &'a World,
    caller: &Caller,
    kind: Kind,
    id: &str,
    verb: &str,
) -> Result<&'a Object, Refusal> {
    let object = find(world, caller, kind, id)?;
    let owns_network = || {
        let network = world.get(Kind::Network, object.text("network_id"));
        kind == Kind::Port && network.is_some_and(|network| network.text("project_id") == caller.project)
    };
    match caller.admin || object.text("project_id") == caller.project || owns_network() {
        true => Ok(object),
        false => Err(Refusal::forbidden(format!("rule:{verb}_{}", kind.singular()))),
    }
}

/// Whether the caller may give these attributes. `given` are those of the request, not the defaults.
pub(super) fn may_set(
    world: &World,
    caller: &Caller,
    kind: Kind,
    verb: &str,
    network: &str,
    given: &Object,
) -> Result<(), Refusal> {
    if caller.admin {
        return Ok(());
    }
    let noun = kind.singular();
    let owns_network =
        || world.get(Kind::Network, network).is_none_or(|network| network.text("project_id") == caller.project);
    for (name, value) in given {
        let Some(attribute) = body::attribute(kind, name) else {
            continue;
        };
        let is_default = matches!(value, serde_json::Value::Bool(false) | serde_json::Value::Null)
            || value.as_str() == Some("") && verb == "create";
        let refused = match (kind, name.as_str()) {
            (Kind::Port, "device_owner") => given.text(name).starts_with("network:") && !owns_network(),
            (Kind::Port, "mac_address") if verb == "update" => true,
            (Kind::Port, "mac_address" | "port_security_enabled" | "allowed_address_pairs") => {
                !is_default && !value.as_array().is_some_and(Vec::is_empty) && !owns_network()
            }
            (Kind::Router, "external_gateway_info") => {
                ["enable_snat", "external_fixed_ips"].iter().any(|key| value.get(*key).is_some())
            }
            _ => attribute.is_for_admins() && !is_default,
        };
        if refused {
            let rule = format!("(rule:{verb}_{noun} and rule:{verb}_{noun}:{name})");
            return Err(Refusal::forbidden(rule));
        }
    }
    Ok(())
}
