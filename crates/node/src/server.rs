//! The Unix socket on which kuryr-cni asks (the protocol: [`crate::protocol`]).

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{CniError, code};
use crate::protocol::{self, Answer, Request};
use crate::requests::Node;
use crate::requests::turns::{Stop, StopSignal};

/// A plugin sends its request at once.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Those at work end within milliseconds of being told to, unless the kernel or Open vSwitch hangs: then the next daemon
/// goes on from the record and the marks, which are there before what they name.
const END_DEADLINE: Duration = Duration::from_secs(3);

/// Opens the socket, mode 0600, in place of one that an earlier daemon left.
///
/// # Errors
/// The directory cannot be made, or the socket not be bound there; or a daemon that lives serves there.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let message = "another kuryr-daemon serves there; end it first, or give each its own [kuryr] daemon_socket";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, message));
    }
    // Made aside and moved into place: nobody sees it before its mode is right, and there is no moment without one.
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&aside, path)?;
    Ok(listener)
}

/// Answers plugins until told to stop, then waits for those at work, up to [`END_DEADLINE`].
pub(crate) async fn serve(listener: UnixListener, node: Node, shutdown: CancellationToken) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (node, shutdown) = (node.clone(), shutdown.clone());
                tasks.spawn(async move {
                    if let Err(error) = converse(stream, &node, &shutdown).await {
                        tracing::debug!("a plugin's connection broke: {error}");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: do not spin.
                tracing::error!("cannot accept a plugin's connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Nobody must wait in a queue that is not served any more; refused, a plugin waits for the next daemon.
    drop(listener);
    node.running.stop_all(Stop::ShuttingDown);
    tasks.close();
    if tokio::time::timeout(END_DEADLINE, tasks.wait()).await.is_err() {
        tracing::warn!(
            requests = tasks.len(),
            "requests did not end within {} s and are cut off; the next daemon goes on from what is on record",
            END_DEADLINE.as_secs()
        );
    }
}

async fn converse(stream: UnixStream, node: &Node, shutdown: &CancellationToken) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader).take(protocol::MAX_REQUEST);
    let mut line = Vec::new();
    tokio::select! {
        // The plugin takes the closed connection as "ask the next daemon".
        () = shutdown.cancelled() => return Ok(()),
        read = tokio::time::timeout(REQUEST_DEADLINE, reader.read_until(b'\n', &mut line)) => {
            read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        }
    }
    let outcome = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => {
            let signal = StopSignal::default();
            let mut work = std::pin::pin!(node.answer(&request, &signal));
            let mut rest = reader.into_inner();
            loop {
                tokio::select! {
                    // The work goes on to its end: it undoes what it did.
                    outcome = &mut work => break outcome,
                    () = closed(&mut rest), if signal.reason().is_none() => signal.stop(Stop::Abandoned),
                    () = shutdown.cancelled(), if signal.reason().is_none() => signal.stop(Stop::ShuttingDown),
                }
            }
        }
        Err(error) if !line.ends_with(b"\n") => {
            Err(CniError::new(code::DECODE, "the plugin's request is cut off or larger than allowed").details(error))
        }
        Err(error) => Err(CniError::new(code::DECODE, "the plugin's request is not understood").details(error)),
    };
    let mut answer = serde_json::to_vec(&Answer::from(outcome).while_ending(shutdown.is_cancelled()))?;
    answer.push(b'\n');
    writer.write_all(&answer).await?;
    writer.shutdown().await
}

/// Returns when the plugin has gone. It has nothing more to say, so whatever comes is dropped.
async fn closed(reader: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut scrap = [0; 64];
    while matches!(reader.read(&mut scrap).await, Ok(length) if length > 0) {}
}

#[cfg(test)]
mod tests;
