//! One layer: a tar of its files, compressed, the same bytes every time.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::content::{File, Files};

/// A packed layer.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// Of the compressed bytes: how a registry names it.
    pub(super) digest: String,
    /// Of the tar inside: how a file system of it is named.
    pub(super) diff_id: String,
    /// The compressed bytes.
    pub(super) bytes: Vec<u8>,
}

/// Packs files into a layer.
///
/// # Errors
/// A path that a tar cannot hold.
pub(super) fn pack(files: &Files) -> Result<Layer> {
    let mut tar = tar::Builder::new(Vec::new());
    for folder in folders(files) {
        append(&mut tar, &format!("{folder}/"), &File::Data(Vec::new()), EntryType::Directory)?;
    }
    for (path, file) in files {
        let kind = if matches!(file, File::Link(_)) { EntryType::Symlink } else { EntryType::Regular };
        append(&mut tar, path, file, kind)?;
    }
    let plain = tar.into_inner().context("the layer cannot be ended")?;
    // Neither the time nor the system is in the head of the compressed file.
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(&plain).context("the layer cannot be compressed")?;
    let bytes = gzip.finish().context("the layer cannot be compressed")?;
    Ok(Layer { digest: digest(&bytes), diff_id: digest(&plain), bytes })
}

/// `sha256:…` of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    let sum = Sha256::digest(bytes);
    let hex: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Adds one entry that belongs to root and is as old as time itself.
pub(super) fn append(tar: &mut tar::Builder<Vec<u8>>, path: &str, file: &File, kind: EntryType) -> Result<()> {
    let (bytes, mode): (&[u8], u32) = match file {
        File::Data(bytes) => (bytes, if kind == EntryType::Directory { 0o755 } else { 0o644 }),
        File::Program(bytes) => (bytes, 0o755),
        File::Link(_) => (&[], 0o777),
    };
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    let added = match file {
        File::Link(to) => tar.append_link(&mut header, path, to),
        _ => tar.append_data(&mut header, path, bytes),
    };
    added.with_context(|| format!("{path} cannot be put into a tar"))
}

/// Every folder above a file, parents first.
fn folders(files: &Files) -> BTreeSet<String> {
    let above = |path: &String| {
        let folders = Path::new(path).ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>()
    };
    files.keys().flat_map(above).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn files() -> Files {
        Files::from([
            ("usr/bin/kuryr".to_owned(), File::Program(b"program".to_vec())),
            ("usr/bin/kuryr-daemon".to_owned(), File::Link("kuryr")),
            ("etc/group".to_owned(), File::Data(b"root:x:0:\n".to_vec())),
        ])
    }

    #[test]
    fn a_layer_is_a_sorted_tar_without_times_or_owners() {
        let layer = pack(&files()).unwrap();
        let mut plain = Vec::new();
        GzDecoder::new(layer.bytes.as_slice()).read_to_end(&mut plain).unwrap();
        assert_eq!(digest(&plain), layer.diff_id);
        let mut tar = tar::Archive::new(plain.as_slice());
        let told: Vec<_> = tar
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
                let mode = header.mode().unwrap();
                let to = entry.link_name().unwrap().map(|to| to.display().to_string()).unwrap_or_default();
                let path = entry.path().unwrap().display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                format!("{mode:o} {path} {to}{text}")
            })
            .collect();
        let expected = [
            "755 etc/ ",
            "755 usr/ ",
            "755 usr/bin/ ",
            "644 etc/group root:x:0:\n",
            "755 usr/bin/kuryr program",
            "777 usr/bin/kuryr-daemon kuryr",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_others_do_not() {
        let (one, two) = (pack(&files()).unwrap(), pack(&files()).unwrap());
        assert!(one.bytes == two.bytes && one.digest == two.digest && one.digest == digest(&one.bytes));
        let mut other = files();
        other.insert("etc/group".to_owned(), File::Data(b"root:x:1:\n".to_vec()));
        assert_ne!(pack(&other).unwrap().digest, one.digest);
    }

    #[test]
    fn a_digest_is_sha256_in_hex() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
