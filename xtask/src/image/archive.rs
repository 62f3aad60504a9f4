//! The file: an [OCI image layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md) in a tar, with the
//! `manifest.json` that `docker load` looks for. Both lead to the same blobs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tar::EntryType;

use super::content::File;
use super::layer::{Layer, append, digest};

/// What the image says about itself.
pub(super) struct About<'a> {
    /// Name and tag.
    pub(super) name: &'a str,
    /// Version of Kuryr.
    pub(super) version: &'a str,
    /// Commit it was built from.
    pub(super) revision: &'a str,
    /// `amd64` or `arm64`.
    pub(super) architecture: &'static str,
}

/// An image ready to be written.
#[derive(Debug)]
pub(super) struct Archive {
    /// Of the manifest: what a registry and a node know the image by.
    pub(super) digest: String,
    layers: Vec<Layer>,
    config: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
    docker: Vec<u8>,
}

impl Archive {
    /// Puts layers together.
    ///
    /// # Errors
    /// None that is known; JSON of these values can be written.
    pub(super) fn new(about: &About<'_>, layers: Vec<Layer>) -> Result<Archive> {
        let config = bytes(&config(about, &layers))?;
        let manifest = bytes(&manifest(&config, &layers))?;
        let digest = digest(&manifest);
        let index = bytes(&index(about, &digest, manifest.len()))?;
        let docker = bytes(&docker(about, &config, &layers))?;
        Ok(Archive { digest, layers, config, manifest, index, docker })
    }

    /// Bytes of all layers as they are transferred.
    pub(super) fn compressed(&self) -> u64 {
        self.layers.iter().map(|layer| layer.bytes.len() as u64).sum()
    }

    /// The whole file.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn tar(&self) -> Result<Vec<u8>> {
        let mut files: Vec<(String, &[u8])> = vec![
            ("index.json".to_owned(), &self.index),
            ("manifest.json".to_owned(), &self.docker),
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
            (blob(&digest(&self.config)), &self.config),
            (blob(&self.digest), &self.manifest),
        ];
        files.extend(self.layers.iter().map(|layer| (blob(&layer.digest), layer.bytes.as_slice())));
        files.sort();
        let mut tar = tar::Builder::new(Vec::new());
        for folder in ["blobs/", "blobs/sha256/"] {
            append(&mut tar, folder, &File::Data(Vec::new()), EntryType::Directory)?;
        }
        for (path, bytes) in files {
            append(&mut tar, &path, &File::Data(bytes.to_vec()), EntryType::Regular)?;
        }
        tar.into_inner().context("the archive cannot be ended")
    }
}

/// How the image is run. Manifests of kuryr-kubernetes give its controller only arguments and no user, and its daemon the
/// command `cni_ds_init` as root; with this they need another image and nothing else. Ours say user and command themselves.
fn config(about: &About<'_>, layers: &[Layer]) -> Value {
    let history = ["certificate authorities, users", "kuryr-cni", "kuryr"];
    json!({
        "architecture": about.architecture,
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/usr/bin/kuryr-k8s-controller"],
            "Cmd": ["--config-dir", "/etc/kuryr"],
            "Env": ["PATH=/usr/bin"],
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "kuryr",
                "org.opencontainers.image.description": "OpenStack networking for Kubernetes",
                "org.opencontainers.image.licenses": "Apache-2.0",
                "org.opencontainers.image.version": about.version,
                "org.opencontainers.image.revision": about.revision,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| &layer.diff_id).collect::<Vec<_>>() },
        "history": layers.iter().zip(history).map(|(_, what)| {
            json!({ "created": "1970-01-01T00:00:00Z", "created_by": "cargo xtask image", "comment": what })
        }).collect::<Vec<_>>(),
    })
}

fn manifest(config: &[u8], layers: &[Layer]) -> Value {
    let of = |media_type: &str, digest: &str, size: usize| json!({ "mediaType": media_type, "digest": digest, "size": size });
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": of("application/vnd.oci.image.config.v1+json", &digest(config), config.len()),
        "layers": layers.iter().map(|layer| of(gzip, &layer.digest, layer.bytes.len())).collect::<Vec<_>>(),
    })
}

fn index(about: &About<'_>, digest: &str, size: usize) -> Value {
    let tag = about.name.rsplit_once(':').map_or(about.version, |(_, tag)| tag);
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": size,
            "platform": { "architecture": about.architecture, "os": "linux" },
            // The first is read by skopeo and podman, the second by containerd.
            "annotations": {
                "org.opencontainers.image.ref.name": tag,
                "io.containerd.image.name": about.name,
            },
        }],
    })
}

fn docker(about: &About<'_>, config: &[u8], layers: &[Layer]) -> Value {
    json!([{
        "Config": blob(&digest(config)),
        "RepoTags": [about.name],
        "Layers": layers.iter().map(|layer| blob(&layer.digest)).collect::<Vec<_>>(),
    }])
}

/// Where a blob lies.
fn blob(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("the image's description cannot be written as JSON")
}

#[cfg(test)]
mod tests;
