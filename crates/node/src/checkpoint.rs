//! What this daemon wired: one small file per attachment, so that a restart forgets nothing.
//!
//! An attachment is one (`CNI_CONTAINERID`, `CNI_IFNAME`). Its record is on disk before ADD is answered and removed
//! after everything it names is gone. A file is written whole: temporary name, fsync, rename, fsync of the directory.
//! A file that cannot be read is set aside (`.damaged`) and reported, never deleted: what it named still carries our marks
//! on the devices themselves, so DEL finds it there.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kuryr_api::vif::Vif;
use serde::{Deserialize, Serialize};

use crate::error::{CniError, code};
use crate::plug;

/// Version of the file format.
const VERSION: u32 = 1;

/// One attachment of one container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct AttachmentId {
    /// `CNI_CONTAINERID`.
    pub(crate) container_id: String,
    /// `CNI_IFNAME`.
    pub(crate) ifname: String,
}

/// All that is needed to remove an attachment without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// Identifies the boot: after a reboot no namespace of before exists.
    boot_id: String,
    /// Whose it is.
    #[serde(flatten)]
    pub(crate) id: AttachmentId,
    /// Name of the network configuration.
    pub(crate) network: String,
    /// `CNI_NETNS` as the daemon opens it.
    pub(crate) netns: PathBuf,
    /// Inode of the namespace: a path under `/proc` can come to mean another one.
    netns_inode: Option<u64>,
    /// The pod.
    pub(crate) pod: Pod,
    /// The wired interfaces, the main one first. Empty once a newer sandbox of the pod has taken the ports over.
    pub(crate) interfaces: Vec<Interface>,
}

/// The pod of an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// One wired interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Interface {
    /// Name inside the pod.
    pub(crate) ifname: String,
    /// Carries the default route.
    pub(crate) main: bool,
    /// The port.
    pub(crate) vif: Vif,
}

impl Record {
    /// The record of an attachment about to be made.
    pub(crate) async fn of(attachment: &plug::Attachment, ifname: &str, network: &str, boot_id: &str) -> Self {
        let pod = &attachment.pod;
        let netns = tokio::fs::metadata(&attachment.netns).await;
        Self {
            netns_inode: netns.ok().map(|netns| netns.ino()),
            version: VERSION,
            boot_id: boot_id.to_owned(),
            id: AttachmentId { container_id: attachment.container_id.clone(), ifname: ifname.to_owned() },
            network: network.to_owned(),
            netns: attachment.netns.clone(),
            pod: Pod { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() },
            interfaces: attachment
                .interfaces
                .iter()
                .map(|interface| Interface {
                    ifname: interface.ifname.clone(),
                    main: interface.main,
                    vif: interface.vif.clone(),
                })
                .collect(),
        }
    }

    /// The same for the plugger.
    pub(crate) fn attachment(&self) -> plug::Attachment {
        plug::Attachment {
            container_id: self.id.container_id.clone(),
            netns: self.netns.clone(),
            pod: plug::PodRef {
                uid: self.pod.uid.clone(),
                namespace: self.pod.namespace.clone(),
                name: self.pod.name.clone(),
            },
            interfaces: self
                .interfaces
                .iter()
                .map(|interface| plug::Interface {
                    ifname: interface.ifname.clone(),
                    main: interface.main,
                    vif: interface.vif.clone(),
                })
                .collect(),
        }
    }

    /// Whether the namespace is still there. In doubt it is.
    pub(crate) async fn netns_exists(&self) -> bool {
        match tokio::fs::metadata(&self.netns).await {
            Ok(netns) => self.netns_inode.is_none_or(|inode| inode == netns.ino()),
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Neutron ids of the wired ports.
    pub(crate) fn port_ids(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().map(|interface| interface.vif.id.as_str())
    }
}

/// The records of this node, in memory and on disk.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    dir: Arc<Path>,
    boot_id: Arc<str>,
    records: Arc<Mutex<HashMap<AttachmentId, Record>>>,
}

impl Checkpoints {
    /// Reads what is there; `boot_id` is the running kernel's.
    ///
    /// # Errors
    /// The directory cannot be made or listed.
    pub(crate) fn load(dir: &Path, boot_id: &str) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let mut records = HashMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => match read(&path) {
                    Ok(record) => drop(records.insert(record.id.clone(), record)),
                    Err(reason) => set_aside(&path, &reason),
                },
                // What a crash left of a file that was being written.
                Some("tmp") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        Ok(Self { dir: dir.into(), boot_id: boot_id.into(), records: Arc::new(Mutex::new(records)) })
    }

    /// Those of a node that has none.
    pub(crate) fn none() -> Self {
        Self { dir: Path::new("").into(), boot_id: "".into(), records: Arc::default() }
    }

    /// The running kernel's boot id, for new records.
    pub(crate) fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Whether the record is of an earlier boot: its namespace cannot exist any more.
    pub(crate) fn is_of_earlier_boot(&self, record: &Record) -> bool {
        record.boot_id != *self.boot_id
    }

    /// The record of one attachment.
    pub(crate) fn get(&self, id: &AttachmentId) -> Option<Record> {
        self.records().get(id).cloned()
    }

    /// Every record.
    pub(crate) fn all(&self) -> Vec<Record> {
        self.records().values().cloned().collect()
    }

    /// How many attachments there are.
    pub(crate) fn len(&self) -> usize {
        self.records().len()
    }

    /// The attachments that hold a port, other than `except`.
    pub(crate) fn holders(&self, port_id: &str, except: &AttachmentId) -> Vec<AttachmentId> {
        let records = self.records();
        let holds = |record: &&Record| record.id != *except && record.port_ids().any(|id| id == port_id);
        records.values().filter(holds).map(|record| record.id.clone()).collect()
    }

    /// Whether any attachment holds the port.
    pub(crate) fn holds(&self, port_id: &str) -> bool {
        self.records().values().any(|record| record.port_ids().any(|id| id == port_id))
    }

    /// Remembers a record: at once in memory, and on disk when this returns.
    ///
    /// # Errors
    /// Code 5: the file could not be written; the record is forgotten again.
    pub(crate) async fn put(&self, record: Record) -> Result<(), CniError> {
        let path = self.path(&record.id);
        let id = record.id.clone();
        let bytes = serde_json::to_vec_pretty(&record).map_err(|error| self.failed("written", &path, &error.into()))?;
        self.records().insert(id.clone(), record);
        let written = {
            let path = path.clone();
            on_disk(move || write(&path, &bytes)).await
        };
        written.map_err(|error| {
            self.records().remove(&id);
            self.failed("written", &path, &error)
        })
    }

    /// Forgets a record.
    ///
    /// # Errors
    /// Code 5: the file could not be removed; the record stays.
    pub(crate) async fn remove(&self, id: &AttachmentId) -> Result<(), CniError> {
        let path = self.path(id);
        let removed = {
            let path = path.clone();
            on_disk(move || match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => match sync_directory(&path) {
                    // Without the directory there is no record in it either.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    synced => synced,
                },
            })
            .await
        };
        removed.map_err(|error| self.failed("removed", &path, &error))?;
        self.records().remove(id);
        Ok(())
    }

    fn path(&self, id: &AttachmentId) -> PathBuf {
        // Neither part can hold a '/': the plugin and the daemon check both. A container id cannot hold an '@'.
        self.dir.join(format!("{}@{}.json", id.container_id, id.ifname))
    }

    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> CniError {
        CniError::new(
            code::IO,
            format!(
                "the checkpoint {} could not be {what}; check space and permissions of {}",
                path.display(),
                self.dir.display()
            ),
        )
        .details(error)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<AttachmentId, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of the running boot.
///
/// # Errors
/// `/proc` is not mounted.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Whether a file in the folder of checkpoints is one, or was to become one.
pub(crate) fn is_ours(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("json" | "damaged" | "tmp"))
}

async fn on_disk(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = match File::create(&temporary) {
        // Somebody took the directory away while we run. What it had is known to us, and new pods must not wait for a person.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = path.parent().ok_or(error)?;
            fs::create_dir_all(dir)?;
            tracing::warn!(
                "the state directory {} was removed and is made again: until this daemon has written them anew, attachments from \
                 before would be forgotten by a restart; leave it alone",
                dir.display()
            );
            File::create(&temporary)?
        }
        file => file?,
    };
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(path)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn read(path: &Path) -> Result<Record, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("format version {version}, but this daemon reads version {VERSION}"));
    }
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

fn set_aside(path: &Path, reason: &str) {
    let aside = path.with_extension("damaged");
    let moved = fs::rename(path, &aside)
        .map_or_else(|error| format!("cannot be moved: {error}"), |()| format!("is now {}", aside.display()));
    tracing::error!(
        "checkpoint {} cannot be read ({reason}); it {moved}; its pod keeps running and is unwired by the marks on its devices",
        path.display()
    );
}

#[cfg(test)]
mod tests;
