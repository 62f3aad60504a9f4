//! The rows we look at, decoded from JSON (RFC 7047 §5.1) and found by name.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

/// A copy of the parts of database `Open_vSwitch` we look at.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Why there is no connection at the moment; the rows are then those of the last connection. None when all is well.
    pub outage: Option<String>,
    /// The one row of `Open_vSwitch`.
    pub switch: SwitchRow,
    /// `Bridge`.
    pub bridges: Table<BridgeRow>,
    /// `Port`.
    pub ports: Table<PortRow>,
    /// `Interface`.
    pub interfaces: Table<InterfaceRow>,
}

/// The row of table `Open_vSwitch`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SwitchRow {
    /// `external_ids`: `ovn-remote`, `ovn-bridge`, …
    pub external_ids: BTreeMap<String, String>,
    /// The configuration ovs-vswitchd has applied.
    pub cur_cfg: i64,
}

/// A row of table `Bridge`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeRow {
    /// `system` (or empty) for the kernel's datapath, `netdev` for the one in user space.
    pub datapath_type: String,
}

/// A row of table `Port`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortRow {}

/// A row of table `Interface`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceRow {
    /// `external_ids`: `iface-id`, `ovn-installed`, …
    pub external_ids: BTreeMap<String, String>,
    /// OpenFlow port number; none while ovs-vswitchd has not looked at the row, -1 when it could not.
    pub ofport: Option<i64>,
    /// Why it could not.
    pub error: Option<String>,
}

/// A table whose rows have a unique name.
#[derive(Clone, Debug)]
pub struct Table<R> {
    rows: HashMap<String, (String, R)>,
    names: HashMap<String, String>,
}

impl<R> Default for Table<R> {
    fn default() -> Self {
        Self { rows: HashMap::new(), names: HashMap::new() }
    }
}

impl<R> Table<R> {
    /// The row of that name, and its UUID.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<(&str, &R)> {
        let uuid = self.names.get(name)?;
        self.rows.get(uuid).map(|(_, row)| (uuid.as_str(), row))
    }

    /// The row of that UUID.
    #[must_use]
    pub fn row(&self, uuid: &str) -> Option<&R> {
        self.rows.get(uuid).map(|(_, row)| row)
    }

    /// Every row with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &R)> {
        self.rows.values().map(|(name, row)| (name.as_str(), row))
    }

    fn put(&mut self, uuid: &str, name: String, row: R) {
        self.remove(uuid);
        self.names.insert(name.clone(), uuid.to_owned());
        self.rows.insert(uuid.to_owned(), (name, row));
    }

    fn remove(&mut self, uuid: &str) {
        let Some((name, _)) = self.rows.remove(uuid) else { return };
        // One update can delete a row and insert another of the same name, in either order.
        if self.names.get(&name).is_some_and(|holder| holder == uuid) {
            self.names.remove(&name);
        }
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            outage: Some("not connected yet".to_owned()),
            switch: SwitchRow::default(),
            bridges: Table::default(),
            ports: Table::default(),
            interfaces: Table::default(),
        }
    }
}

impl Tables {
    /// The columns to ask for, as the parameter of `monitor` (RFC 7047 §4.1.5). `Bridge.ports` is left out on purpose:
    /// it would be sent whole with every port that comes or goes.
    pub(super) fn monitored() -> Value {
        json!({
            "Open_vSwitch": {"columns": ["external_ids", "cur_cfg"]},
            "Bridge": {"columns": ["name", "datapath_type"]},
            "Port": {"columns": ["name"]},
            "Interface": {"columns": ["name", "external_ids", "ofport", "error"]},
        })
    }

    /// Applies `<table-updates>` (RFC 7047 §4.1.6).
    pub(super) fn update(&mut self, updates: &Value) -> Result<(), String> {
        let malformed = || format!("malformed table updates: {updates}");
        for (table, rows) in updates.as_object().ok_or_else(malformed)? {
            for (uuid, change) in rows.as_object().ok_or_else(malformed)? {
                // `new` holds all monitored columns, and is missing when the row was deleted.
                match change.get("new").and_then(Value::as_object) {
                    Some(columns) => self.put(table, uuid, columns),
                    None => self.remove(table, uuid),
                }
            }
        }
        Ok(())
    }

    /// Applies updates a test made up.
    #[cfg(test)]
    pub(crate) fn update_for_test(&mut self, updates: &Value) {
        self.update(updates).unwrap();
        self.outage = None;
    }

    fn put(&mut self, table: &str, uuid: &str, columns: &Map<String, Value>) {
        let name = string(columns, "name").unwrap_or_default();
        match table {
            "Open_vSwitch" => {
                self.switch = SwitchRow {
                    external_ids: map(columns, "external_ids"),
                    cur_cfg: integer(columns, "cur_cfg").unwrap_or_default(),
                };
            }
            "Bridge" => {
                let datapath_type = string(columns, "datapath_type").unwrap_or_default();
                self.bridges.put(uuid, name, BridgeRow { datapath_type });
            }
            "Port" => self.ports.put(uuid, name, PortRow {}),
            "Interface" => {
                let row = InterfaceRow {
                    external_ids: map(columns, "external_ids"),
                    ofport: integer(columns, "ofport"),
                    error: string(columns, "error"),
                };
                self.interfaces.put(uuid, name, row);
            }
            _ => {}
        }
    }

    fn remove(&mut self, table: &str, uuid: &str) {
        match table {
            "Bridge" => self.bridges.remove(uuid),
            "Port" => self.ports.remove(uuid),
            "Interface" => self.interfaces.remove(uuid),
            _ => {}
        }
    }
}

/// An optional scalar is the scalar, or `["set", []]`.
fn string(columns: &Map<String, Value>, column: &str) -> Option<String> {
    columns.get(column)?.as_str().map(str::to_owned)
}

fn integer(columns: &Map<String, Value>, column: &str) -> Option<i64> {
    columns.get(column)?.as_i64()
}

/// `["map", [[key, value], …]]`
fn map(columns: &Map<String, Value>, column: &str) -> BTreeMap<String, String> {
    let pairs = columns.get(column).and_then(|value| value.get(1)).and_then(Value::as_array);
    let text = |pair: &Value, n: usize| pair.get(n).and_then(Value::as_str).map(str::to_owned);
    pairs.into_iter().flatten().filter_map(|pair| Some((text(pair, 0)?, text(pair, 1)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, ofport: Value) -> Value {
        json!({"new": {"name": name, "ofport": ofport, "error": ["set", []],
            "external_ids": ["map", [["iface-id", "p1"], ["ovn-installed", "true"]]]}})
    }

    #[test]
    fn rows_are_decoded_and_found_by_name() {
        let mut tables = Tables::default();
        tables.update(&json!({"Interface": {"u1": interface("tap1", json!(["set", []]))}})).unwrap();
        let (uuid, row) = tables.interfaces.named("tap1").unwrap();
        assert_eq!((uuid, row.ofport, row.error.as_deref()), ("u1", None, None));
        assert_eq!(row.external_ids["iface-id"], "p1");
        tables.update(&json!({"Interface": {"u1": interface("tap1", json!(7))}})).unwrap();
        assert_eq!(tables.interfaces.row("u1").unwrap().ofport, Some(7));
        tables.update(&json!({"Interface": {"u1": {"old": {"name": "tap1"}}}})).unwrap();
        assert!(tables.interfaces.named("tap1").is_none());
        assert_eq!(tables.interfaces.iter().count(), 0);
    }

    #[test]
    fn a_name_passes_to_a_new_row_in_either_order() {
        for (old, new) in [("a", "b"), ("b", "a")] {
            let mut tables = Tables::default();
            tables.update(&json!({"Interface": {old: interface("tap1", json!(1))}})).unwrap();
            tables.update(&json!({"Interface": {old: {"old": {}}, new: interface("tap1", json!(2))}})).unwrap();
            let (uuid, row) = tables.interfaces.named("tap1").unwrap();
            assert_eq!((uuid, row.ofport), (new, Some(2)));
        }
    }

    #[test]
    fn what_is_no_update_is_refused() {
        assert!(Tables::default().update(&json!([])).is_err());
        assert!(Tables::default().update(&json!({"Interface": 1})).is_err());
    }
}
