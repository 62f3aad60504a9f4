//! New configuration, credentials and certificates without anybody restarting anything: who finds that the files it was started
//! with have changed, and that the new ones can be used, ends in good order, and kubelet starts it again with them.
//!
//! What cannot be used is told once, and the old goes on working. The API server's token and certificate authorities are not looked
//! at here: kube reads those again every minute, without a restart.
//!
//! Files are read and compared, not watched: a Secret is exchanged by a link above it, and a few small files every ten seconds cost
//! nothing.

use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::conf::options::{Definition, Reader, kubernetes, kuryr, neutron};
use crate::conf::{Conf, ConfError};

/// What tells a pod from a process somebody started by hand, which nobody would start again.
const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";
/// Files named by variables.
const VARIABLES: [&str; 2] = ["OS_CLIENT_CONFIG_FILE", "SSL_CERT_FILE"];
/// Files named by options, besides those that are reloaded without us.
const OPTIONS: [&Definition; 5] = [
    &neutron::cafile,
    &neutron::certfile,
    &neutron::keyfile,
    &kubernetes::ssl_client_crt_file,
    &kubernetes::ssl_client_key_file,
];
/// So many intervals at most pass at random before the end, so that not all nodes end at one moment.
const SPREAD: u32 = 3;

/// The content of all files, as one sum.
type Sum = [u8; 32];

/// Files a program was started with.
pub(crate) struct Files {
    program: Reader,
    common: Common,
    /// Their content before they were read for work: what changed in between is noticed.
    begun: Sum,
}

impl Files {
    /// Looks at them; to be called before the configuration is read.
    pub(crate) fn look(program: Reader, common: &Common) -> Files {
        let mut files = Files { program, common: common.clone(), begun: Sum::default() };
        files.begun = files.sum();
        files
    }

    /// Ends the program in good order when other files are there that can be used; returns when it does, or at `shutdown`.
    pub(crate) async fn watch(self, conf: &Conf, shutdown: &CancellationToken) -> Result<(), ConfError> {
        let interval = Duration::from_secs(conf.whole(&kuryr::reload_interval)?);
        let in_a_pod = std::env::var_os(IN_A_POD).is_some_and(|value| !value.is_empty());
        if interval.is_zero() || !in_a_pod {
            shutdown.cancelled().await;
            return Ok(());
        }
        let delay = interval * SPREAD * fastrand::u32(..=1000) / 1000;
        let changed = changed(self.begun, interval, delay, || self.sum(), async || self.judge().await);
        if shutdown.run_until_cancelled(changed).await.is_some() {
            shutdown.cancel();
        }
        Ok(())
    }

    /// The sum of all files as they are. A file that cannot be read has a sum too: another one than before.
    fn sum(&self) -> Sum {
        let mut sum = Sha256::new();
        for path in self.paths() {
            sum.update(path.as_os_str().as_encoded_bytes());
            let content =
                std::fs::read(&path).map_or_else(|_| b"missing".to_vec(), |content| Sha256::digest(content).to_vec());
            sum.update(&content);
        }
        sum.finalize().into()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let Ok(sources) = self.common.sources(self.program) else { return Vec::new() };
        let mut paths = sources.files.clone();
        paths.extend(VARIABLES.iter().filter_map(std::env::var_os).map(PathBuf::from));
        if let Ok(conf) = Conf::read(self.program, &sources) {
            let named = OPTIONS.iter().filter_map(|option| conf.some_text(option).ok().flatten());
            paths.extend(named.map(PathBuf::from));
        }
        paths
    }

    /// Whether the program could start with the files as they are.
    async fn judge(&self) -> Result<(), Vec<String>> {
        let told = |errors: Vec<ConfError>| errors.iter().map(ConfError::to_string).collect::<Vec<_>>();
        let conf = crate::process::read(self.program, &self.common).map_err(told)?;
        let found = conf.try_start(&|name| std::env::var(name).ok()).await;
        // What is only wrong here is wrong, too: here is where it would start.
        let wrong: Vec<String> = told(found.errors).into_iter().chain(found.warnings).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Returns when other files are there that can be used: the same at two looks, so that nothing is taken in the middle of an exchange, and
/// still the same after `delay`.
async fn changed<S: PartialEq + Copy>(
    begun: S,
    interval: Duration,
    delay: Duration,
    look: impl Fn() -> S,
    judge: impl AsyncFn() -> Result<(), Vec<String>>,
) {
    let (mut last, mut refused) = (begun, None);
    loop {
        tokio::time::sleep(interval).await;
        let now = look();
        let settled = now == last;
        last = now;
        if now == begun {
            refused = None;
        } else if settled && refused != Some(now) {
            match judge().await {
                Ok(()) => {
                    tracing::info!(
                        "the configuration or a certificate has changed: ending in {delay:?}, to be started with the new one"
                    );
                    tokio::time::sleep(delay).await;
                    if look() == now {
                        return;
                    }
                }
                Err(errors) => {
                    refused = Some(now);
                    for error in errors {
                        tracing::error!(
                            "the configuration has changed and cannot be used, so the old one stays in use: {error}"
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const INTERVAL: Duration = Duration::from_secs(10);

    /// Files as numbers: 0 is what the program was started with, odd ones cannot be used.
    struct Folder {
        content: Cell<u32>,
        judged: RefCell<Vec<u32>>,
    }

    impl Folder {
        fn new() -> Folder {
            Folder { content: Cell::new(0), judged: RefCell::default() }
        }

        fn judge(&self) -> Result<(), Vec<String>> {
            let content = self.content.get();
            self.judged.borrow_mut().push(content);
            if content.is_multiple_of(2) { Ok(()) } else { Err(vec![format!("{content} is odd")]) }
        }

        async fn changed(&self, delay: Duration) {
            changed(0, INTERVAL, delay, || self.content.get(), async || self.judge()).await;
        }

        /// Puts these there, one after the other, each after a while.
        async fn put(&self, contents: &[(Duration, u32)]) {
            for (after, content) in contents {
                tokio::time::sleep(*after).await;
                self.content.set(*content);
            }
            std::future::pending::<()>().await;
        }
    }

    /// How long it takes until the end, if it comes within an hour.
    async fn ends(folder: &Folder, delay: Duration, contents: &[(Duration, u32)]) -> Option<Duration> {
        let begun = Instant::now();
        tokio::select! {
            () = folder.changed(delay) => Some(begun.elapsed()),
            () = folder.put(contents) => unreachable!(),
            () = tokio::time::sleep(3600 * SECOND) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_when_new_files_stay_the_same_and_after_the_delay() {
        let folder = Folder::new();
        let took = ends(&folder, 17 * SECOND, &[(5 * SECOND, 2)]).await;
        assert_eq!((took, folder.judged.take()), (Some((20 + 17) * SECOND), vec![2]));
        // In the middle of an exchange nothing is judged.
        let folder = Folder::new();
        let took = ends(&folder, SECOND, &[(5 * SECOND, 1), (10 * SECOND, 3), (10 * SECOND, 4)]).await;
        assert_eq!((took, folder.judged.take()), (Some(41 * SECOND), vec![4]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_used_is_told_once_and_changes_nothing() {
        let folder = Folder::new();
        assert_eq!(ends(&folder, SECOND, &[(5 * SECOND, 1)]).await, None);
        assert_eq!(folder.judged.take(), [1]);
        let folder = Folder::new();
        let took = ends(&folder, SECOND, &[(5 * SECOND, 1), (100 * SECOND, 2)]).await;
        assert_eq!((took, folder.judged.take()), (Some(121 * SECOND), vec![1, 2]), "corrected");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_put_back_in_time_ends_nothing() {
        let folder = Folder::new();
        assert_eq!(ends(&folder, 30 * SECOND, &[(5 * SECOND, 2), (30 * SECOND, 0)]).await, None);
        assert_eq!(ends(&folder, 30 * SECOND, &[]).await, None);
    }

    #[test]
    fn files_of_a_secret_are_seen_to_be_exchanged_and_new_ones_to_come() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        // As kubelet does it: names are links through `..data`, which is exchanged.
        for (version, text) in [("..1", "[kuryr]\ncluster_name = a\n"), ("..2", "[kuryr]\ncluster_name = b\n")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("kuryr.conf"), text).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/kuryr.conf", at("kuryr.conf")).unwrap();
        let cli =
            crate::cli::Cli::read(["kuryr-controller", "--config-dir", &at("").display().to_string()].map(Into::into));
        let crate::cli::Command::Controller(common) = cli.unwrap().command else { panic!() };
        let files = Files::look(Reader::Controller, &common);
        assert_eq!(files.sum(), files.begun);
        std::os::unix::fs::symlink("..2", at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
        let second = files.sum();
        assert_ne!(second, files.begun);
        // A certificate that is named there.
        let pem = at("ca.pem");
        std::fs::write(at("more.conf"), format!("[neutron]\ncafile = {}\n", pem.display())).unwrap();
        let third = files.sum();
        std::fs::write(&pem, "x").unwrap();
        assert!(second != third && third != files.sum());
    }
}
