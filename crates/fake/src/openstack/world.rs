//! Everything the cloud knows, changed in transactions: a request that fails leaves nothing behind.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::binding::Bindings;
use super::clock::Clock;
use super::ids::Ids;
use super::keystone::Identity;
use super::neutron::{Kind, Quotas};
use super::octavia::Lbaas;

/// One resource, as attributes.
pub(crate) type Object = Map<String, Value>;

/// Reading attributes without ceremony; a missing one reads as empty.
pub(crate) trait Attributes {
    fn text(&self, name: &str) -> &str;
    fn flag(&self, name: &str) -> bool;
    fn items(&self, name: &str) -> &[Value];
    fn set(&mut self, name: &str, value: impl Into<Value>);
}

impl Attributes for Object {
    fn text(&self, name: &str) -> &str {
        self.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    fn items(&self, name: &str) -> &[Value] {
        self.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.insert(name.to_owned(), value.into());
    }
}

/// A port before and after a request; `None` where there was or is none.
pub(crate) struct Touched {
    pub(crate) id: String,
    pub(crate) before: Option<Object>,
    pub(crate) after: Option<Object>,
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) ids: Ids,
    pub(crate) identity: Identity,
    pub(crate) bindings: Bindings,
    pub(crate) quotas: Quotas,
    /// What Octavia knows. Not part of transactions: Octavia changes nothing before it is sure.
    pub(crate) lbaas: Lbaas,
    /// Aliases of extensions that are switched off.
    pub(crate) without_extensions: BTreeSet<String>,
    /// The MTU of new networks, in bytes.
    pub(crate) mtu: u32,
    tables: BTreeMap<Kind, BTreeMap<String, Object>>,
    /// What was there before the first change of this request.
    journal: Vec<(Kind, String, Option<Object>)>,
    // Indexes, kept by `put` and `remove`.
    children: BTreeMap<(Kind, String), BTreeSet<String>>,
    counts: BTreeMap<(Kind, String), i64>,
    addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    macs: BTreeSet<(String, String)>,
    /// Addresses that stay taken when this request is undone.
    stranded: Vec<(String, IpAddr)>,
    /// Whether addresses are ever stranded.
    pub(crate) strands_addresses: bool,
}

impl World {
    pub(crate) fn new(clock: Clock, mut ids: Ids) -> World {
        let identity = Identity::new(&mut ids);
        World {
            clock,
            ids,
            identity,
            bindings: Bindings::default(),
            quotas: Quotas::default(),
            lbaas: Lbaas::new(),
            without_extensions: BTreeSet::new(),
            mtu: 1500,
            tables: BTreeMap::new(),
            journal: Vec::new(),
            children: BTreeMap::new(),
            counts: BTreeMap::new(),
            addresses: BTreeMap::new(),
            macs: BTreeSet::new(),
            stranded: Vec::new(),
            strands_addresses: true,
        }
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Object> {
        self.tables.get(&kind)?.get(id)
    }

    /// All of a kind, by id.
    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.tables.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    /// Those of a kind within a network (subnets, ports) or a security group (rules).
    pub(crate) fn within<'a>(&'a self, kind: Kind, parent: &str) -> impl Iterator<Item = &'a Object> + use<'a> {
        let ids = self.children.get(&(kind, parent.to_owned())).into_iter().flatten();
        ids.filter_map(move |id| self.get(kind, id))
    }

    /// How many of a kind a project has.
    pub(crate) fn count(&self, kind: Kind, project: &str) -> i64 {
        self.counts.get(&(kind, project.to_owned())).copied().unwrap_or(0)
    }

    /// Addresses taken in a subnet.
    pub(crate) fn taken(&self, subnet: &str) -> Option<&BTreeSet<IpAddr>> {
        self.addresses.get(subnet)
    }

    pub(crate) fn mac_taken(&self, network: &str, mac: &str) -> bool {
        self.macs.contains(&(network.to_owned(), mac.to_owned()))
    }

    pub(crate) fn put(&mut self, kind: Kind, object: Object) {
        let id = object.text("id").to_owned();
        let before = self.replace(kind, &id, Some(object));
        self.journal.push((kind, id, before));
    }

    pub(crate) fn remove(&mut self, kind: Kind, id: &str) {
        let before = self.replace(kind, id, None);
        self.journal.push((kind, id.to_owned(), before));
    }

    /// Changes one resource and counts the revision. Nothing happens if it is gone.
    pub(crate) fn revise(&mut self, kind: Kind, id: &str, change: impl FnOnce(&mut Object)) {
        let Some(mut object) = self.get(kind, id).cloned() else {
            return;
        };
        change(&mut object);
        let revision = object.get("revision_number").and_then(Value::as_i64).unwrap_or(0);
        object.set("revision_number", revision + 1);
        object.set("updated_at", self.clock.stamp());
        self.put(kind, object);
    }

    /// Keeps what changed since the last commit, and says which ports that were.
    pub(crate) fn commit(&mut self) -> Vec<Touched> {
        let mut first = BTreeMap::new();
        for (kind, id, before) in std::mem::take(&mut self.journal) {
            if kind == Kind::Port {
                first.entry(id).or_insert(before);
            }
        }
        let touched = first.into_iter().map(|(id, before)| {
            let after = self.get(Kind::Port, &id).cloned();
            Touched { id, before, after }
        });
        touched.filter(|port| port.before != port.after).collect()
    }

    /// Leaves the addresses of a port taken when this request is undone, until their subnet is deleted.
    pub(crate) fn strand_addresses(&mut self, port: &str) {
        let addresses = self.get(Kind::Port, port).into_iter().flat_map(fixed_ips);
        let addresses: Vec<_> = addresses.map(|(subnet, address)| (subnet.to_owned(), address)).collect();
        if self.strands_addresses {
            self.stranded.extend(addresses);
        }
    }

    /// Undoes what changed since the last commit.
    pub(crate) fn rollback(&mut self) {
        for (kind, id, before) in std::mem::take(&mut self.journal).into_iter().rev() {
            self.replace(kind, &id, before);
        }
        for (subnet, address) in std::mem::take(&mut self.stranded) {
            self.addresses.entry(subnet).or_default().insert(address);
        }
    }

    fn replace(&mut self, kind: Kind, id: &str, object: Option<Object>) -> Option<Object> {
        let table = self.tables.entry(kind).or_default();
        let before = table.remove(id);
        if let Some(old) = &before {
            self.unindex(kind, id, old);
        }
        if let Some(new) = object {
            self.index(kind, id, &new);
            self.tables.entry(kind).or_default().insert(id.to_owned(), new);
        }
        before
    }

    fn index(&mut self, kind: Kind, id: &str, object: &Object) {
        *self.counts.entry((kind, object.text("project_id").to_owned())).or_default() += 1;
        if let Some(parent) = kind.parent() {
            self.children.entry((kind, object.text(parent).to_owned())).or_default().insert(id.to_owned());
        }
        if kind == Kind::Port {
            self.macs.insert((object.text("network_id").to_owned(), object.text("mac_address").to_owned()));
            for (subnet, address) in fixed_ips(object) {
                self.addresses.entry(subnet.to_owned()).or_default().insert(address);
            }
        }
    }

    fn unindex(&mut self, kind: Kind, id: &str, object: &Object) {
        if let Some(count) = self.counts.get_mut(&(kind, object.text("project_id").to_owned())) {
            *count -= 1;
        }
        if let Some(parent) = kind.parent() {
            let key = (kind, object.text(parent).to_owned());
            if let Some(ids) = self.children.get_mut(&key) {
                ids.remove(id);
                if ids.is_empty() {
                    self.children.remove(&key);
                }
            }
        }
        if kind == Kind::Port {
            self.macs.remove(&(object.text("network_id").to_owned(), object.text("mac_address").to_owned()));
            for (subnet, address) in fixed_ips(object) {
                if let Some(taken) = self.addresses.get_mut(subnet) {
                    taken.remove(&address);
                }
            }
        }
    }
}

/// The subnets and addresses of a port.
pub(crate) fn fixed_ips(port: &Object) -> impl Iterator<Item = (&str, IpAddr)> {
    port.items("fixed_ips").iter().filter_map(|fixed| {
        let subnet = fixed.get("subnet_id")?.as_str()?;
        let address = fixed.get("ip_address")?.as_str()?.parse().ok()?;
        Some((subnet, address))
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn world() -> World {
        World::new(Clock::starting_at(Timestamp::UNIX_EPOCH), Ids::new(1))
    }

    fn port(id: &str, address: &str) -> Object {
        let fixed = json!([{"subnet_id": "s", "ip_address": address}]);
        Object::from_iter([
            ("id".to_owned(), json!(id)),
            ("network_id".to_owned(), json!("n")),
            ("project_id".to_owned(), json!("p")),
            ("mac_address".to_owned(), json!(format!("mac {id}"))),
            ("fixed_ips".to_owned(), fixed),
        ])
    }

    #[test]
    fn a_rollback_leaves_no_trace_in_tables_or_indexes() {
        let mut world = world();
        world.put(Kind::Port, port("a", "10.0.0.1"));
        assert_eq!(world.commit().len(), 1);
        world.put(Kind::Port, port("b", "10.0.0.2"));
        world.put(Kind::Port, port("a", "10.0.0.3"));
        world.remove(Kind::Port, "a");
        world.rollback();
        assert_eq!(world.all(Kind::Port).map(|port| port.text("id")).collect::<Vec<_>>(), ["a"]);
        assert_eq!(world.within(Kind::Port, "n").count(), 1);
        assert_eq!(world.count(Kind::Port, "p"), 1);
        assert_eq!(world.taken("s"), Some(&BTreeSet::from(["10.0.0.1".parse().unwrap()])));
        assert!(world.mac_taken("n", "mac a") && !world.mac_taken("n", "mac b"));
        assert!(world.commit().is_empty());
    }

    #[test]
    fn a_commit_names_each_port_once_and_only_if_it_changed() {
        let mut world = world();
        world.put(Kind::Port, port("a", "10.0.0.1"));
        world.put(Kind::Port, port("a", "10.0.0.2"));
        world.put(Kind::Port, port("b", "10.0.0.3"));
        world.remove(Kind::Port, "b");
        let touched = world.commit();
        assert_eq!(touched.len(), 1);
        assert!(touched[0].id == "a" && touched[0].before.is_none() && touched[0].after.is_some());
    }
}
