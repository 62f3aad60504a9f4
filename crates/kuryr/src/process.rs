//! A program from its first to its last moment: configuration, logs, signals, exit code.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::client::ClientBuilder;
use kuryr_controller::metrics::Metrics;
use kuryr_controller::{Connections, Fence, Health};
use kuryr_openstack::Cloud;
use prometheus_client::registry::Registry;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::{Common, program_name};
use crate::conf::options::Reader;
use crate::conf::{Conf, ConfError, secrets_on_a_node};
use crate::logs::Logs;
use crate::rotation::Files;
use crate::screen::{Screen, Tone};
use crate::serve;

/// Threads for what blocks: records on a disk, names to look up. A burst of pods would start one each, and what a thread
/// once allocated from stays with the process; more of them than this make nothing faster.
const BLOCKING_THREADS: usize = 4;

/// How a program ended, for whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was told to end, and did.
    Done,
    /// It could not go on; starting it again may help.
    Failed,
    /// The command line or the configuration must be corrected first.
    Refused,
    /// `kuryr upgrade-check` could not look: kuryr-k8s-status' own code for it.
    Unknown,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Refused => 2,
            Exit::Unknown => 255,
        })
    }
}

/// Tells what is wrong with a configuration or without effect in it.
pub(crate) fn check(program: Reader, common: &Common, explain: bool) -> Exit {
    if explain && let Err(error) = explain_all(program, common) {
        return refuse(&[error]);
    }
    let conf = match read(program, common) {
        Ok(conf) => conf,
        Err(errors) => return refuse(&errors),
    };
    for warning in warnings(&conf, program) {
        eprintln!("warning: {warning}");
    }
    // One provider for every TLS connection of the process; a second call would only find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no event loop can be started: {error}");
            return Exit::Failed;
        }
    };
    let found = runtime.block_on(conf.try_start(&|name| std::env::var(name).ok()));
    for warning in &found.warnings {
        eprintln!("warning: {warning}");
    }
    if !found.errors.is_empty() {
        return refuse(&found.errors);
    }
    println!("The configuration of {} can be used.", program_name(program));
    Exit::Done
}

/// Goes through a configuration option by option, also through one that cannot be used.
fn explain_all(program: Reader, common: &Common) -> Result<(), ConfError> {
    let conf = Conf::read(program, &common.sources(program)?)?;
    let screen = Screen::of_stdout();
    let mut page = String::new();
    for one in conf.explain() {
        screen.wrap(&mut page, 11, &format!("{:<11}", one.fate), &format!("{} ({})", one.title, one.place));
        screen.wrap(&mut page, 13, "", &one.words);
        if let Some(danger) = &one.danger {
            screen.wrap(&mut page, 13, "", &screen.paint(Tone::Bad, &format!("dangerous: {danger}")));
        }
    }
    crate::print(&page);
    Ok(())
}

/// Runs the controller or the daemon until a signal ends it.
pub(crate) fn run(program: Reader, common: &Common) -> Exit {
    let files = Files::look(program, common);
    let conf = match read(program, common) {
        Ok(conf) => conf,
        Err(errors) => return refuse(&errors),
    };
    match Logs::read(&conf, program) {
        Ok(logs) => logs.start(),
        Err(error) => return refuse(&[error]),
    }
    for warning in warnings(&conf, program) {
        tracing::warn!("{warning}");
    }
    // One provider for every TLS connection of the process; a second call would only find it there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    threads.worker_threads(2).max_blocking_threads(BLOCKING_THREADS).enable_all();
    let runtime = match threads.build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start threads");
            return Exit::Failed;
        }
    };
    let ended = runtime.block_on(async {
        let shutdown = until_signal()?;
        let work = async {
            match program {
                Reader::Controller => controller(&conf, shutdown.clone()).await,
                _ => daemon(&conf, shutdown.clone()).await,
            }
        };
        // Work that cannot go on does not wait for files to change.
        let mut work = std::pin::pin!(work);
        tokio::select! {
            ended = &mut work => return ended,
            watched = files.watch(&conf, &shutdown) => watched?,
        }
        work.await
    });
    // Blocking threads may still write to the kernel; they get a moment, not for ever.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match ended {
        Ok(()) => {
            tracing::info!("{} has ended", program_name(program));
            Exit::Done
        }
        Err(error) if error.is::<ConfError>() => {
            tracing::error!("{}", line(&error));
            Exit::Refused
        }
        Err(error) => {
            tracing::error!("{}", line(&error));
            Exit::Failed
        }
    }
}

/// Takes Kuryr off this node and then waits to be ended; or only looks whether anything is left.
pub(crate) fn leave_node(common: &Common, look: bool) -> Exit {
    let conf = match read(Reader::Daemon, common) {
        Ok(conf) => conf,
        Err(errors) => return refuse(&errors),
    };
    crate::reach::run(async {
        let config = conf.daemon(&|name| std::env::var(name).ok())?;
        let (client, _) = client(&conf).await?;
        if look {
            let left = kuryr_node::leave::left(config, client).await?;
            left.iter().for_each(|what| println!("left: {what}"));
            return Ok(if left.is_empty() { Exit::Done } else { Exit::Failed });
        }
        Logs::read(&conf, Reader::Daemon)?.start();
        let shutdown = CancellationToken::new();
        tokio::spawn(until_told(Signals::new()?, shutdown.clone()));
        if let Some(gone) = shutdown.run_until_cancelled(kuryr_node::leave::leave(config, client)).await {
            gone?;
            tracing::info!("nothing of Kuryr is left on this node");
            shutdown.cancelled().await;
        }
        Ok(Exit::Done)
    })
}

async fn controller(conf: &Conf, shutdown: CancellationToken) -> Result<()> {
    let mut config = conf.controller(fastrand::u64(..))?;
    config.election = conf.election(&|name| std::env::var(name).ok())?;
    if config.election.is_none() {
        tracing::warn!("leader election is turned off: if another controller runs, both will work against each other");
    }
    let (connections, address) = connections(conf).await?;
    config.api_server = address;
    let pages = conf.controller_pages()?;
    let mut registry = Registry::default();
    let metrics = Arc::new(Metrics::new(&mut registry));
    let health = Health::default();
    let served = serve::controller(pages, health.clone(), registry, &shutdown).await?;
    tracing::info!(cluster = %config.cluster, version = env!("CARGO_PKG_VERSION"), "kuryr-controller starts");
    kuryr_controller::run(config, connections, metrics, health, shutdown).await;
    served.finish().await;
    Ok(())
}

async fn daemon(conf: &Conf, shutdown: CancellationToken) -> Result<()> {
    let mut config = conf.daemon(&|name| std::env::var(name).ok())?;
    let (client, address) = client(conf).await?;
    config.api_server = address;
    tracing::info!(node = %config.node_name, version = env!("CARGO_PKG_VERSION"), "kuryr-daemon starts");
    Ok(kuryr_node::run(config, client, shutdown).await?)
}

/// The ways of the controller, with the fence in front of all that may change something. The Lease has a connection of its own:
/// it does not wait behind other requests, and is tried again by whoever knows how much time is left.
async fn connections(conf: &Conf) -> Result<(Connections, String)> {
    let fence = Fence::default();
    let cloud = Cloud::behind(conf.cloud()?, |transport| fence.cloud(transport))
        .context("the settings of the cloud cannot be used")?;
    let mut config = conf.cluster(&|name| std::env::var(name).ok()).await?;
    let kube = ClientBuilder::try_from(config.clone()).with_context(|| no_client(&config))?;
    config.default_retry = false;
    let lease = kube::Client::try_from(config.clone()).with_context(|| no_client(&config))?;
    let address = config.cluster_url.to_string();
    Ok((Connections { kube: kube.with_layer(&fence).build(), cloud, lease, fence }, address))
}

async fn client(conf: &Conf) -> Result<(kube::Client, String)> {
    let config = conf.cluster(&|name| std::env::var(name).ok()).await?;
    let client = kube::Client::try_from(config.clone()).with_context(|| no_client(&config))?;
    Ok((client, config.cluster_url.to_string()))
}

fn no_client(config: &kube::Config) -> String {
    format!("no client for the API server {} can be made from section [kubernetes]", config.cluster_url)
}

/// The configuration as it was written.
///
/// # Errors
/// Every mistake in it.
pub(crate) fn read(program: Reader, common: &Common) -> Result<Conf, Vec<ConfError>> {
    let sources = common.sources(program).map_err(|error| vec![error])?;
    let conf = Conf::read(program, &sources).map_err(|error| vec![error])?;
    let errors = conf.check();
    if errors.is_empty() { Ok(conf) } else { Err(errors) }
}

fn warnings(conf: &Conf, program: Reader) -> Vec<String> {
    let mut warnings = conf.warnings().to_vec();
    if program == Reader::Daemon {
        warnings.extend(secrets_on_a_node(conf));
    }
    warnings
}

/// An error in one line, each thing in it once.
pub(crate) fn line(error: &anyhow::Error) -> String {
    kuryr_controller::told::chain_of(error.chain())
}

/// Tells what must be corrected first.
pub(crate) fn refuse(errors: &[ConfError]) -> Exit {
    for error in errors {
        eprintln!("error: {error}");
    }
    Exit::Refused
}

/// The signals that end a program.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.hang_up.recv() => "SIGHUP (the configuration is read at start; start me again)",
        }
    }
}

/// A token that the first signal cancels. The second ends the process at once.
///
/// # Errors
/// Signals that cannot be listened for.
pub(crate) fn until_signal() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    tokio::spawn(until_told(Signals::new()?, shutdown.clone()));
    Ok(shutdown)
}

/// The first signal ends the work in good order, the second at once.
async fn until_told(mut signals: Signals, shutdown: CancellationToken) {
    let name = signals.next().await;
    tracing::info!("{name}: finishing what is in hand");
    shutdown.cancel();
    let name = signals.next().await;
    tracing::warn!("{name} again: ending at once");
    #[allow(clippy::exit, reason = "the second signal means now")]
    std::process::exit(1);
}
