//! The archive as its readers read it: from the two ways in, by digests, to the layers.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;

use super::*;
use crate::image::content::{Sources, layers};
use crate::image::layer::pack;

fn archive() -> Archive {
    let sources = Sources { kuryr: b"kuryr".to_vec(), plugin: b"plugin".to_vec(), authorities: b"PEM".to_vec() };
    let layers = layers(&sources).iter().map(|files| pack(files).unwrap()).collect();
    let about = About { name: "example.org:5000/kuryr:1.2", version: "1.2.3", revision: "abc", architecture: "arm64" };
    Archive::new(&about, layers).unwrap()
}

fn unpacked(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(entry.path().unwrap().display().to_string(), bytes);
    }
    files
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The blob a descriptor leads to, its size and digest checked.
#[track_caller]
fn follow<'a>(files: &'a BTreeMap<String, Vec<u8>>, descriptor: &Value) -> &'a [u8] {
    let named = descriptor["digest"].as_str().unwrap();
    let bytes = &files[&blob(named)];
    assert_eq!(digest(bytes), named);
    assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
    bytes
}

#[test]
fn the_oci_way_leads_from_the_index_to_every_layer() {
    let archive = archive();
    let files = unpacked(&archive.tar().unwrap());
    assert_eq!(json_of(&files["oci-layout"]), json!({ "imageLayoutVersion": "1.0.0" }));
    let entry = &json_of(&files["index.json"])["manifests"][0];
    assert_eq!(entry["digest"], archive.digest.as_str());
    assert_eq!(entry["platform"], json!({ "architecture": "arm64", "os": "linux" }));
    assert_eq!(entry["annotations"]["org.opencontainers.image.ref.name"], "1.2");
    assert_eq!(entry["annotations"]["io.containerd.image.name"], "example.org:5000/kuryr:1.2");
    let manifest = json_of(follow(&files, entry));
    let config = json_of(follow(&files, &manifest["config"]));
    let layers = manifest["layers"].as_array().unwrap();
    let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert!(layers.len() == 3 && ids.len() == 3);
    for (layer, id) in layers.iter().zip(ids) {
        let mut plain = Vec::new();
        GzDecoder::new(follow(&files, layer)).read_to_end(&mut plain).unwrap();
        assert_eq!(digest(&plain), id.as_str().unwrap());
    }
    // Nothing lies in the file that nobody leads to.
    let led_to = 1 + 1 + layers.len();
    assert_eq!(files.keys().filter(|path| path.starts_with("blobs/sha256/") && path.len() > 20).count(), led_to);
}

#[test]
fn the_docker_way_leads_to_the_same_blobs() {
    let files = unpacked(&archive().tar().unwrap());
    let docker = &json_of(&files["manifest.json"])[0];
    assert_eq!(docker["RepoTags"], json!(["example.org:5000/kuryr:1.2"]));
    let oci = json_of(follow(&files, &json_of(&files["index.json"])["manifests"][0]));
    assert_eq!(docker["Config"], blob(oci["config"]["digest"].as_str().unwrap()).as_str());
    let layers: Vec<String> =
        oci["layers"].as_array().unwrap().iter().map(|l| blob(l["digest"].as_str().unwrap())).collect();
    assert_eq!(docker["Layers"], json!(layers));
}

#[test]
fn manifests_of_kuryr_kubernetes_need_only_another_image() {
    let files = unpacked(&archive().tar().unwrap());
    let manifest = json_of(follow(&files, &json_of(&files["index.json"])["manifests"][0]));
    let config = &json_of(follow(&files, &manifest["config"]))["config"];
    // The controller gets arguments alone; the daemon's command is looked for on PATH, by root.
    assert_eq!(config["Entrypoint"], json!(["/usr/bin/kuryr-k8s-controller"]));
    assert_eq!(config["Env"], json!(["PATH=/usr/bin"]));
    assert!(config.get("User").is_none());
    assert_eq!(config["Labels"]["org.opencontainers.image.revision"], "abc");
}

#[test]
fn packing_twice_gives_the_same_file() {
    assert!(archive().tar().unwrap() == archive().tar().unwrap());
}
