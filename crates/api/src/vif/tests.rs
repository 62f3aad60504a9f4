//! `recorded.json` holds what kuryr-kubernetes 2024.1 with os-vif 3.5.0 wrote, one object per class.

use std::collections::BTreeMap;

use super::*;

fn recorded() -> BTreeMap<String, Value> {
    serde_json::from_str(include_str!("recorded.json")).unwrap()
}

#[test]
fn every_recorded_object_survives_reading_and_writing_unchanged() {
    let recorded = recorded();
    assert_eq!(recorded.len(), 8);
    for (name, original) in recorded {
        let vif: Vif = serde_json::from_value(original.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&vif).unwrap(), original, "{name}");
    }
}

#[test]
fn open_vswitch_fields_are_where_the_node_looks() {
    let vif: Vif = serde_json::from_value(recorded()["VIFOpenVSwitch"].clone()).unwrap();
    assert_eq!(vif.vif_name, crate::names::tap_name(&vif.id));
    assert_eq!(vif.network.mtu, Some(1442));
    assert_eq!(vif.addresses().collect::<Vec<_>>(), ["10.0.0.101".parse::<IpAddr>().unwrap()]);
    let VifKind::OpenVSwitch { bridge, interface_id } = &vif.kind else { panic!("{:?}", vif.kind) };
    assert_eq!((bridge.as_str(), interface_id.as_str()), ("br-int", vif.id.as_str()));
    let routes = &vif.network.subnets[0].routes;
    assert_eq!(routes[0], Route { cidr: "10.1.0.0/16".into(), gateway: Some("10.0.0.126".into()) });
}

#[test]
fn changes_and_higher_minor_versions_are_read() {
    let mut value = recorded()["VIFOpenVSwitch"].clone();
    value["versioned_object.version"] = json!("1.9");
    value["versioned_object.changes"] = json!(["active"]);
    assert!(serde_json::from_value::<Vif>(value).is_ok());
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), expected: &str) {
    let mut value = recorded()["VIFOpenVSwitch"].clone();
    change(&mut value);
    let error = serde_json::from_value::<Vif>(value).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn damaged_objects_are_refused_with_a_reason() {
    refused(|vif| vif["versioned_object.version"] = json!("2.0"), "only 1.x is understood");
    refused(|vif| vif["versioned_object.namespace"] = json!("nova"), "instead of \"os_vif\"");
    refused(|vif| *vif = json!([]), "must be a JSON object");
    refused(|vif| drop(vif["versioned_object.data"].as_object_mut().unwrap().remove("id")), "without \"id\"");
}
