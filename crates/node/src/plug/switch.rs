//! Ports of the Open vSwitch bridge, as transactions of its database.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::PlugError;
use super::mark::Mark;
use super::plan::SwitchPort;
use crate::ovsdb::{InterfaceRow, Ovsdb, OvsdbError, Tables};

/// How Open vSwitch calls its datapath in user space.
const USERSPACE: &str = "netdev";

const BRIDGE_CURE: &str = "Open vSwitch's integration bridge is made by ovn-controller or the Neutron agent; check that it runs here, and [neutron_defaults] ovs_bridge";

/// The switch of this node.
#[derive(Clone, Debug)]
pub(crate) struct Switch {
    pub(crate) ovsdb: Ovsdb,
    pub(crate) deadline: Duration,
    /// Ports we took away, each with the configuration (`next_cfg`) from which on the switch has let go of its device.
    /// A device made anew under the same name before that would be taken for the old one and never be opened.
    departing: Arc<Mutex<HashMap<String, i64>>>,
}

/// A port to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unwanted {
    /// Its name.
    pub(crate) name: String,
    /// The sandbox it was made for: the port of another sandbox stays. None removes it whoever it serves.
    pub(crate) container_id: Option<String>,
}

impl Switch {
    pub(crate) fn new(ovsdb: Ovsdb, deadline: Duration) -> Self {
        Self { ovsdb, deadline, departing: Arc::default() }
    }

    /// Waits for the connection, for as long as `patience`.
    pub(crate) async fn connected(&self, patience: Duration) -> Result<(), PlugError> {
        timeout(patience, self.ovsdb.connected()).await.map_err(|_| {
            let outage = self.ovsdb.tables().borrow().outage.clone();
            self.unavailable(outage.unwrap_or_else(|| "no answer".to_owned()))
        })
    }

    /// Whether a bridge forwards in user space.
    pub(crate) async fn is_userspace(&self, bridge: &str) -> Result<bool, PlugError> {
        self.connected(self.deadline).await?;
        let look = || {
            let tables = self.ovsdb.tables();
            let tables = tables.borrow();
            tables.bridges.named(bridge).map(|(_, row)| row.datapath_type == USERSPACE)
        };
        if let Some(userspace) = look() {
            return Ok(userspace);
        }
        // Perhaps it was made a moment ago: after an answer our copy is as new as that answer.
        let answer = self.within("asking Open vSwitch", self.ovsdb.transact(Vec::new())).await?;
        answer.map_err(|error| self.unavailable(error.to_string()))?;
        look().ok_or_else(|| bridge_missing(bridge))
    }

    /// Adds ports in one transaction and waits until the switch has them working. The bridge is never made nor changed.
    pub(crate) async fn add(&self, ports: &[SwitchPort]) -> Result<(), PlugError> {
        if ports.is_empty() {
            return Ok(());
        }
        let mut operations = Vec::new();
        let mut inserted = Vec::new();
        let mut bridges = Vec::new();
        for (n, port) in ports.iter().enumerate() {
            // A mutate that finds no bridge is no error, and the new rows would vanish in silence: insist on it.
            bridges.push((operations.len(), port.bridge.as_str()));
            operations.push(json!({
                "op": "wait", "timeout": 0, "table": "Bridge", "where": [["name", "==", port.bridge]],
                "columns": ["name"], "until": "==", "rows": [{"name": port.bridge}],
            }));
            inserted.push(operations.len());
            let external_ids: Vec<Value> = port.external_ids.iter().map(|(key, value)| json!([key, value])).collect();
            operations.push(json!({
                "op": "insert", "table": "Interface", "uuid-name": format!("interface{n}"),
                "row": {"name": port.name, "external_ids": ["map", external_ids]},
            }));
            operations.push(json!({
                "op": "insert", "table": "Port", "uuid-name": format!("port{n}"),
                "row": {"name": port.name, "interfaces": ["named-uuid", format!("interface{n}")]},
            }));
            operations.push(json!({
                "op": "mutate", "table": "Bridge", "where": [["name", "==", port.bridge]],
                "mutations": [["ports", "insert", ["set", [["named-uuid", format!("port{n}")]]]]],
            }));
        }
        let names = ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>().join(", ");
        operations.push(json!({"op": "comment", "comment": format!("kuryr: add {names}")}));
        let results = match self.within("adding a port to Open vSwitch", self.ovsdb.transact(operations)).await? {
            Ok(results) => results,
            Err(OvsdbError::Refused { operation, error, details }) => {
                let missing = bridges.iter().find(|(at, _)| *at == operation);
                return Err(match missing {
                    Some((_, bridge)) => bridge_missing(bridge),
                    None => PlugError::OvsPort { port: names, reason: format!("{error}: {details}") },
                });
            }
            Err(error) => return Err(self.unavailable(error.to_string())),
        };
        // By UUID, so that a row of an earlier port of the same name cannot be taken for it.
        let rows = inserted.into_iter().zip(ports).map(|(at, port)| {
            let uuid = results.get(at).and_then(|result| result["uuid"][1].as_str());
            uuid.map(|uuid| (uuid.to_owned(), port)).ok_or_else(|| self.unavailable("a row without UUID".to_owned()))
        });
        let rows: Vec<(String, &SwitchPort)> = rows.collect::<Result<_, _>>()?;
        let mut tables = self.ovsdb.tables();
        let settled = |tables: &Tables| {
            let mut states = rows.iter().map(|(uuid, _)| tables.interfaces.row(uuid).map_or(PortState::Waiting, state));
            !states.any(|state| matches!(state, PortState::Waiting))
        };
        let what = format!("ovs-vswitchd taking up port {names}");
        let seen = self.within(&what, tables.wait_for(settled)).await?;
        let seen = seen.map_err(|_| self.unavailable("the session has ended".to_owned()))?;
        for (uuid, port) in &rows {
            if let Some(PortState::Failed(reason)) = seen.interfaces.row(uuid).map(state) {
                return Err(PlugError::OvsPort { port: port.name.clone(), reason });
            }
        }
        Ok(())
    }

    /// Removes ports, as far as they are there. Does not wait for the switch to let go of their devices, see
    /// [`Self::released`].
    pub(crate) async fn remove(&self, ports: &[Unwanted]) -> Result<(), PlugError> {
        let mut operations = Vec::new();
        let mut names = Vec::new();
        {
            let tables = self.ovsdb.tables();
            let tables = tables.borrow();
            for port in ports {
                let mark =
                    tables.interfaces.named(&port.name).map(|(_, row)| Mark::from_external_ids(&row.external_ids));
                let others = match (&port.container_id, mark.flatten()) {
                    (Some(container_id), Some(mark)) => mark.container_id != *container_id,
                    _ => false,
                };
                let Some((uuid, _)) = tables.ports.named(&port.name).filter(|_| !others) else { continue };
                // Whichever bridge it is on. The database drops the rows nothing refers to any more.
                operations.push(json!({
                    "op": "mutate", "table": "Bridge", "where": [],
                    "mutations": [["ports", "delete", ["set", [["uuid", uuid]]]]],
                }));
                names.push(port.name.clone());
            }
        }
        if operations.is_empty() {
            return Ok(());
        }
        let comment = format!("kuryr: remove {}", names.join(", "));
        operations.push(json!({"op": "comment", "comment": comment}));
        // ovs-vswitchd copies next_cfg to cur_cfg when it has done what the database says (ovs-vswitchd.conf.db(5)).
        let all: [Value; 0] = [];
        operations
            .push(json!({"op": "mutate", "table": "Open_vSwitch", "where": all, "mutations": [["next_cfg", "+=", 1]]}));
        operations.push(json!({"op": "select", "table": "Open_vSwitch", "where": all, "columns": ["next_cfg"]}));
        let results = self.within("removing a port from Open vSwitch", self.ovsdb.transact(operations)).await?;
        let results = results.map_err(|error| self.unavailable(error.to_string()))?;
        let next_cfg = results.last().and_then(|rows| rows["rows"][0]["next_cfg"].as_i64());
        let next_cfg = next_cfg.ok_or_else(|| self.unavailable("a database without configuration".to_owned()))?;
        let cur_cfg = self.ovsdb.tables().borrow().switch.cur_cfg;
        let mut departing = self.departing();
        departing.retain(|_, from| *from > cur_cfg);
        departing.extend(names.into_iter().map(|name| (name, next_cfg)));
        Ok(())
    }

    /// Waits until the switch has let go of the devices of ports we removed; returns at once for others.
    pub(crate) async fn released(&self, names: &[&str]) -> Result<(), PlugError> {
        let from = {
            let departing = self.departing();
            names.iter().filter_map(|name| departing.get(*name).copied()).max()
        };
        let Some(from) = from else { return Ok(()) };
        let what = format!("ovs-vswitchd letting go of port {}", names.join(", "));
        let mut tables = self.ovsdb.tables();
        let done = self.within(&what, tables.wait_for(|tables| tables.switch.cur_cfg >= from)).await?;
        done.map(drop).map_err(|_| self.unavailable("the session has ended".to_owned()))
    }

    fn departing(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.departing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn within<T>(&self, what: &str, work: impl Future<Output = T>) -> Result<T, PlugError> {
        match timeout(self.deadline, work).await {
            Ok(done) => Ok(done),
            // Which of the two daemons is it?
            Err(_) => Err(match &self.ovsdb.tables().borrow().outage {
                Some(outage) => self.unavailable(outage.clone()),
                None => PlugError::Timeout { what: what.to_owned(), after: self.deadline },
            }),
        }
    }

    pub(crate) fn unavailable(&self, reason: String) -> PlugError {
        PlugError::OvsUnavailable { address: self.ovsdb.address().to_string(), reason }
    }
}

pub(crate) fn bridge_missing(bridge: &str) -> PlugError {
    PlugError::BridgeMissing { bridge: bridge.to_owned(), cure: BRIDGE_CURE }
}

/// What ovs-vswitchd made of an interface row.
pub(crate) enum PortState {
    /// It has not looked at it yet.
    Waiting,
    /// It forwards.
    Working,
    /// It cannot.
    Failed(String),
}

pub(crate) fn state(row: &InterfaceRow) -> PortState {
    match (row.ofport, &row.error) {
        (Some(ofport), _) if ofport >= 0 => PortState::Working,
        (Some(_), error) => PortState::Failed(error.clone().unwrap_or_else(|| "no reason given".to_owned())),
        (None, Some(error)) => PortState::Failed(error.clone()),
        (None, None) => PortState::Waiting,
    }
}
