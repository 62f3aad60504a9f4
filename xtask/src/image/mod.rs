//! `cargo xtask image`: the container image, without a container engine. One file holds it in both formats that exist, so
//! every tool can take it; a bill of materials lies beside it.
//!
//! ```text
//! executables ─┐
//! CA bundle  ──┼─► content (files of each layer) ─► layer (tar, gzip) ─► archive (configuration, manifest, one tar)
//! passwd     ──┘
//! ```
//!
//! The same executables give the same bytes: names are sorted, times are zero, nothing depends on who packs.

mod archive;
mod content;
mod layer;
mod sbom;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::executables;
use archive::{About, Archive};
use content::Sources;

/// Bytes of all compressed layers; what is promised in SPECIFICATION.md.
const LARGEST: u64 = 15_000_000;

/// Where ca-certificates puts the authorities: Debian and Alpine, then Fedora and RHEL.
const AUTHORITIES: [&str; 2] = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// `cargo xtask image …`
#[derive(Args, Debug)]
pub(crate) struct Image {
    /// The file to write: an OCI archive that is a docker archive too
    #[arg(long, value_name = "FILE.tar")]
    output: PathBuf,
    /// The name it is imported under; without one docker.io/kuryr/kuryr and the version
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,
    /// Certificate authorities to put in, PEM; without one this machine's
    #[arg(long, value_name = "FILE")]
    authorities: Option<PathBuf>,
}

/// Builds, packs and says what to do with it.
///
/// # Errors
/// What cannot be built, read or written; an image that is too large.
pub(crate) fn run(image: &Image) -> Result<ExitCode> {
    let Made { name, architecture, digest, compressed, bill } =
        make(&image.output, image.name.clone(), image.authorities.as_deref())?;
    let file = image.output.display();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let megabytes = compressed as f64 / 1e6;
    println!("image      {name} (linux/{architecture})");
    println!("digest     {digest}");
    println!("size       {megabytes:.1} MB compressed, {:.0} MB allowed", LARGEST as f64 / 1e6);
    println!("file       {file}");
    println!("materials  {}", bill.display());
    println!("into a node      ctr -n k8s.io images import {file}");
    println!("into a registry  skopeo copy oci-archive:{file} docker://{name}");
    println!("into Docker      docker load --input {file}");
    Ok(ExitCode::SUCCESS)
}

/// An image that was made.
pub(crate) struct Made {
    name: String,
    architecture: &'static str,
    digest: String,
    compressed: u64,
    bill: PathBuf,
}

/// Builds and packs.
///
/// # Errors
/// What cannot be built, read or written; an image that is too large.
pub(crate) fn make(output: &Path, name: Option<String>, given: Option<&Path>) -> Result<Made> {
    let version = env!("CARGO_PKG_VERSION");
    let authorities = authorities(given)?;
    let name = name.unwrap_or_else(|| format!("docker.io/kuryr/kuryr:{version}"));
    if !name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        bail!("--name {name} has no tag; write it like registry.example.org/kuryr:{version}");
    }
    let built = executables::build()?;
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    let layers = content::layers(&Sources {
        kuryr: read(&built.kuryr)?,
        plugin: read(&built.plugin)?,
        authorities: read(&authorities)?,
    });
    let about =
        About { name: &name, version, revision: &revision(), architecture: architecture(std::env::consts::ARCH)? };
    let layers = layers.iter().map(layer::pack).collect::<Result<Vec<_>>>()?;
    let archive = Archive::new(&about, layers)?;
    check_size(archive.compressed())?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).with_context(|| {
            format!("{} cannot be written; name a file in a folder that exists with --output", path.display())
        })
    };
    write(output, &archive.tar()?)?;
    let bill = bill_of(output);
    write(&bill, sbom::cyclonedx(&archive.digest, &name)?.as_bytes())?;
    let (architecture, compressed, digest) = (about.architecture, archive.compressed(), archive.digest.clone());
    Ok(Made { name, architecture, digest, compressed, bill })
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > LARGEST {
        bail!(
            "the layers are {bytes} bytes compressed, {LARGEST} are allowed; see what grew, or change the promise in SPECIFICATION.md"
        );
    }
    Ok(())
}

/// `kuryr.tar` → `kuryr.cdx.json`, the ending the format has.
fn bill_of(output: &Path) -> PathBuf {
    output.with_extension("cdx.json")
}

/// The bundle to put in.
fn authorities(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    match AUTHORITIES.iter().map(Path::new).find(|path| path.is_file()) {
        Some(found) => Ok(found.to_owned()),
        None => bail!(
            "this machine has no certificate authorities ({}): install the package ca-certificates, or name a PEM file with \
             --authorities; without them no OpenStack with a public certificate could be reached",
            AUTHORITIES.join(", ")
        ),
    }
}

/// The commit, for the label; a tree that differs from it says so.
fn revision() -> String {
    let git = |arguments: &[&str]| {
        let out = Command::new("git").current_dir(crate::root()).args(arguments).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}-changed"),
        (None, _) => "unknown".to_owned(),
    }
}

/// Go's name of an architecture, which images use.
fn architecture(rust: &str) -> Result<&'static str> {
    match rust {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("no image is made for {other}; build on x86_64 or aarch64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_is_too_large_is_refused() {
        assert!(check_size(LARGEST).is_ok());
        let error = check_size(LARGEST + 1).unwrap_err().to_string();
        assert!(error.contains("15000001 bytes"), "{error}");
    }

    #[test]
    fn architectures_have_their_names_in_images() {
        assert_eq!(architecture("x86_64").unwrap(), "amd64");
        assert_eq!(architecture("aarch64").unwrap(), "arm64");
        assert!(architecture("riscv64").is_err());
    }

    #[test]
    fn the_bill_lies_beside_the_image() {
        assert_eq!(bill_of(Path::new("out/kuryr-0.1.0.tar")), Path::new("out/kuryr-0.1.0.cdx.json"));
    }
}
