//! The plugin and its CNI configuration on this node: put there, kept right, taken away while the daemon cannot serve.
//!
//! ```text
//!            STATUS, over time ──► Gate ──┐
//!                                         ▼
//!  what is on disk ──(apply: look)──► plan: steps with reasons ──► apply: the file operations (place)
//!  what should be there (conflist) ───────┘
//! ```
//!
//! The plugin is there always, the configuration only while the daemon serves: for every runtime its presence means that
//! this node has a network. Files are compared first and exchanged only if they differ, because a runtime that sees a
//! change reads everything anew, and lets no ADD and no DEL run meanwhile.

mod apply;
mod conflist;
mod place;
mod plan;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::error::{CniError, code};
use crate::requests::{Node, status};
pub(crate) use apply::Installer;
use apply::Pass;
use plan::{Conflist, Gate, Service};

/// How often the files are compared with what they should be.
const CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How often this node is asked whether it can serve; what the watch for KuryrPorts knows is heard at once.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// What is installed, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The plugin's executable to install, as this daemon sees it.
    pub plugin_source: PathBuf,
    /// Folder where the runtime looks for plugins, as this daemon sees it. It must exist.
    pub bin_dir: PathBuf,
    /// Folder where the runtime looks for configurations, as this daemon sees it. It must exist.
    pub conf_dir: PathBuf,
    /// How long the daemon may be unable to serve before the configuration is taken away; `None`: it stays.
    pub withdraw_after: Option<Duration>,
    /// Whether the configuration is taken away when the daemon ends. The plugin stays: pods that run need it to end.
    pub remove_on_shutdown: bool,
}

/// What is wrong with the installation now. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    /// The errors of the last look, if there were any.
    pub(crate) fn now(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes it; whether it is news.
    pub(crate) fn note(&self, trouble: Option<String>) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *known != trouble;
        *known = trouble;
        news
    }
}

/// Installs on the daemon's node and keeps right until told to stop.
pub(crate) async fn keep_on(node: Node, settings: Settings, shutdown: CancellationToken) {
    let (socket, news, trouble) = (node.config.socket.clone(), node.ports.news(), node.installation.clone());
    keep(settings, socket, || status(&node), news, trouble, shutdown).await;
}

/// Installs and keeps right until told to stop. `socket` is where the daemon listens, `status` its answer to STATUS, `news`
/// changes when that answer may have. Nothing that fails ends it: it is told, and tried again.
async fn keep<T, S, F>(
    settings: Settings,
    socket: PathBuf,
    status: S,
    mut news: watch::Receiver<T>,
    trouble: Trouble,
    shutdown: CancellationToken,
) where
    S: Fn() -> F,
    F: Future<Output = Result<(), CniError>>,
{
    let mut gate = Gate::new(settings.withdraw_after, Instant::now());
    let remove = settings.remove_on_shutdown;
    let installer = Arc::new(Installer::new(settings, socket));
    let mut log = Log { trouble, before_ours: Vec::new() };
    let mut last: Option<(Conflist, Instant)> = None;
    loop {
        let status = tokio::select! {
            () = shutdown.cancelled() => break,
            status = status() => status,
        };
        let now = Instant::now();
        let wanted = gate.judge(service(status), now);
        let due = last.as_ref().is_none_or(|(before, at)| {
            std::mem::discriminant(before) != std::mem::discriminant(&wanted) || now - *at >= CHECK_INTERVAL
        });
        if due {
            log.tell(on_disk(&installer, wanted.clone()).await);
            last = Some((wanted, now));
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(STATUS_INTERVAL) => {}
            Ok(()) = news.changed() => {}
        }
    }
    if remove {
        let why = "kuryr-daemon ends and [kuryr] remove_conflist_on_shutdown is set".to_owned();
        log.tell(on_disk(&installer, Conflist::Absent(why)).await);
    }
}

/// Code 51 of STATUS says that running pods are cut off as well: that is this node's own trouble.
fn service(status: Result<(), CniError>) -> Service {
    match status {
        Ok(()) => Service::Serves,
        Err(error) if error.code == code::LIMITED_CONNECTIVITY => Service::Broken(error.to_string()),
        Err(_) => Service::Waits,
    }
}

async fn on_disk(installer: &Arc<Installer>, wanted: Conflist) -> Pass {
    let installer = installer.clone();
    let work = tokio::task::spawn_blocking(move || installer.bring_about(&wanted));
    work.await.unwrap_or_else(|panic| Pass { errors: vec![panic.to_string()], ..Pass::default() })
}

/// Says what is new, once.
struct Log {
    trouble: Trouble,
    before_ours: Vec<String>,
}

impl Log {
    fn tell(&mut self, pass: Pass) {
        for done in pass.done {
            tracing::info!("{done}");
        }
        if pass.before_ours != self.before_ours && !pass.before_ours.is_empty() {
            tracing::warn!(
                "the container runtime reads {} instead of {}: pods get that network; remove it, unless it is a \
                 meta-plugin such as Multus that calls kuryr",
                pass.before_ours.join(", "),
                conflist::NAME
            );
        }
        self.before_ours = pass.before_ours;
        let trouble = (!pass.errors.is_empty()).then(|| pass.errors.join("; "));
        if self.trouble.note(trouble.clone()) {
            match trouble {
                Some(trouble) => tracing::error!(
                    "the plugin is not installed as it should be, next try in {} s: {trouble}",
                    CHECK_INTERVAL.as_secs()
                ),
                None => tracing::info!("the plugin is installed as it should be again"),
            }
        }
    }
}
