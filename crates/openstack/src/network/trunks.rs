//! Trunks: a parent port that carries the traffic of subports, told apart by VLAN.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Network, TagFilter};
use crate::Error;
use crate::query::Query;
use crate::rest::Resource;
use crate::rest::json::null_is_default;

/// A trunk.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Trunk {
    /// Id.
    pub id: String,
    /// Name; need not be unique.
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Project that owns it.
    #[serde(deserialize_with = "null_is_default")]
    pub project_id: String,
    /// Its parent port.
    #[serde(deserialize_with = "null_is_default")]
    pub port_id: String,
    /// Its subports.
    #[serde(deserialize_with = "null_is_default")]
    pub sub_ports: Vec<SubPort>,
    /// `ACTIVE`, `DOWN`, `BUILD`, `DEGRADED` or `ERROR`.
    #[serde(deserialize_with = "null_is_default")]
    pub status: String,
    /// Whether it is switched on; a trunk that is off cannot be changed.
    pub admin_state_up: Option<bool>,
    /// Tags.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Free text.
    #[serde(deserialize_with = "null_is_default")]
    pub description: String,
    /// Grows with each change.
    pub revision_number: Option<u64>,
}

/// A port in a trunk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubPort {
    /// The port.
    pub port_id: String,
    /// VLAN id inside the parent, 1 to 4094.
    pub segmentation_id: u16,
    /// `vlan`.
    pub segmentation_type: String,
}

impl SubPort {
    /// A port as VLAN `vlan` of its parent.
    pub fn vlan(port_id: impl Into<String>, vlan: u16) -> SubPort {
        SubPort { port_id: port_id.into(), segmentation_id: vlan, segmentation_type: "vlan".to_owned() }
    }
}

/// Which trunks to list. Everything given must match.
#[derive(Clone, Debug, Default)]
pub struct TrunkQuery {
    /// One of these ids. An empty list matches nothing and asks nobody.
    pub id: Option<Vec<String>>,
    /// With one of these parent ports. An empty list matches nothing and asks nobody.
    pub port_id: Option<Vec<String>>,
    /// Of this project.
    pub project_id: Option<String>,
    /// Of this name.
    pub name: Option<String>,
    /// With and without tags.
    pub tags: TagFilter,
}

/// A trunk to create.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NewTrunk {
    /// Its parent port.
    pub port_id: String,
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Project that is to own it; ours by default. Another needs administrator rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// Its first subports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sub_ports: Vec<SubPort>,
    /// Free text.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl Resource for Trunk {
    const PATH: &'static str = "trunks";
    const ONE: &'static str = "trunk";
    const MANY: &'static str = "trunks";

    fn id(&self) -> &str {
        &self.id
    }
}

impl Network {
    /// The trunks that match.
    pub async fn list_trunks(&self, query: &TrunkQuery) -> Result<Vec<Trunk>, Error> {
        let mut filters = Query::default();
        filters.option("project_id", query.project_id.as_ref());
        filters.option("name", query.name.as_ref());
        query.tags.add_to(&mut filters);
        let any_of = [("id", &query.id), ("port_id", &query.port_id)];
        self.rest.list(filters, &any_of, &[]).await
    }

    /// One trunk.
    pub async fn trunk(&self, id: &str) -> Result<Trunk, Error> {
        self.rest.show(id).await
    }

    /// Creates a trunk.
    pub async fn create_trunk(&self, trunk: &NewTrunk) -> Result<Trunk, Error> {
        self.rest.create(trunk).await
    }

    /// Deletes a trunk. Its subports stay as ports. `Conflict` while its parent is bound.
    pub async fn delete_trunk(&self, id: &str) -> Result<(), Error> {
        self.rest.remove::<Trunk>(id).await
    }

    /// Puts ports into a trunk: all or none. `Conflict` if a VLAN or port is in use.
    pub async fn add_subports(&self, trunk: &str, subports: &[SubPort]) -> Result<Trunk, Error> {
        let body = json!({ "sub_ports": subports });
        self.rest.act::<Trunk, _>(trunk, "add_subports", body).await
    }

    /// Takes ports out of a trunk: all or none. `NotFound` if one is not in it.
    pub async fn remove_subports(&self, trunk: &str, ports: &[String]) -> Result<Trunk, Error> {
        let ports: Vec<_> = ports.iter().map(|port| json!({ "port_id": port })).collect();
        self.rest.act::<Trunk, _>(trunk, "remove_subports", json!({ "sub_ports": ports })).await
    }
}
