use tempfile::TempDir;

use super::*;
use crate::plug::{Attachment, PodRef};

async fn record(container: &str, port: &str, boot_id: &str) -> Record {
    let vif = serde_json::json!({
        "versioned_object.name": "VIFOpenVSwitch", "versioned_object.namespace": "os_vif", "versioned_object.version": "1.0",
        "versioned_object.data": {"id": port, "bridge_name": "br-int", "vif_name": "tap0", "plugin": "ovs", "active": true},
    });
    let attachment = Attachment {
        container_id: container.into(),
        netns: "/run/netns/a".into(),
        pod: PodRef { uid: "u".into(), namespace: "ns".into(), name: "p".into() },
        interfaces: vec![plug::Interface {
            ifname: "eth0".into(),
            main: true,
            vif: serde_json::from_value(vif).unwrap(),
        }],
    };
    Record::of(&attachment, "eth0", "kuryr", boot_id).await
}

fn id(container: &str) -> AttachmentId {
    AttachmentId { container_id: container.into(), ifname: "eth0".into() }
}

#[tokio::test]
async fn records_are_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let first = Checkpoints::load(&dir.path().join("deep/state"), "b1").unwrap();
    first.put(record("c1", "p1", "b1").await).await.unwrap();
    first.put(record("c2", "p2", "b1").await).await.unwrap();
    first.remove(&id("c2")).await.unwrap();
    first.remove(&id("c2")).await.unwrap();

    let second = Checkpoints::load(&dir.path().join("deep/state"), "b1").unwrap();
    assert_eq!(second.all(), [record("c1", "p1", "b1").await]);
    assert_eq!(second.get(&id("c1")).unwrap().attachment().interfaces[0].vif.id, "p1");
    assert!(second.holds("p1") && !second.holds("p2"));
    assert_eq!(second.holders("p1", &id("c9")), [id("c1")]);
    assert!(second.holders("p1", &id("c1")).is_empty());
}

#[tokio::test]
async fn a_record_of_an_earlier_boot_is_recognised() {
    let dir = TempDir::new().unwrap();
    Checkpoints::load(dir.path(), "b1").unwrap().put(record("c1", "p1", "b1").await).await.unwrap();
    let later = Checkpoints::load(dir.path(), "b2").unwrap();
    assert!(later.is_of_earlier_boot(&later.all()[0]));
    assert!(!later.is_of_earlier_boot(&record("c1", "p1", later.boot_id()).await));
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_others_are_read() {
    let dir = TempDir::new().unwrap();
    let good = serde_json::to_vec(&record("c1", "p1", "b1").await).unwrap();
    let newer = String::from_utf8(good.clone()).unwrap().replace("\"version\":1", "\"version\":2");
    std::fs::write(dir.path().join("c1@eth0.json"), &good).unwrap();
    std::fs::write(dir.path().join("c2@eth0.json"), &good[..good.len() / 2]).unwrap();
    std::fs::write(dir.path().join("c3@eth0.json"), newer).unwrap();
    std::fs::write(dir.path().join("c4@eth0.tmp"), "cut").unwrap();
    let checkpoints = Checkpoints::load(dir.path(), "b1").unwrap();
    assert_eq!(checkpoints.len(), 1);
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["c1@eth0.json", "c2@eth0.damaged", "c3@eth0.damaged"]);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_with_the_place_and_no_record() {
    let dir = TempDir::new().unwrap();
    let checkpoints = Checkpoints::load(&dir.path().join("state"), "b1").unwrap();
    std::fs::remove_dir(dir.path().join("state")).unwrap();
    std::fs::write(dir.path().join("state"), "in the way").unwrap();
    let error = checkpoints.put(record("c1", "p1", "b1").await).await.unwrap_err();
    assert_eq!(error.code, code::IO);
    assert!(error.msg.contains("c1@eth0.json"), "{error}");
    assert_eq!(checkpoints.len(), 0);
}

#[tokio::test]
async fn a_directory_that_is_taken_away_is_made_again() {
    let dir = TempDir::new().unwrap();
    let state = dir.path().join("state");
    let checkpoints = Checkpoints::load(&state, "b1").unwrap();
    checkpoints.put(record("c1", "p1", "b1").await).await.unwrap();
    std::fs::remove_dir_all(&state).unwrap();
    checkpoints.remove(&id("c1")).await.unwrap();
    checkpoints.put(record("c2", "p2", "b1").await).await.unwrap();
    assert_eq!(Checkpoints::load(&state, "b1").unwrap().all(), [record("c2", "p2", "b1").await]);
}
