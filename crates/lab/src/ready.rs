//! Waiting until a program says it is ready, as kubelet's HTTP probes do.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::program::Program;

/// How long a program may take to become ready.
const PATIENCE: Duration = Duration::from_secs(15);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Waits until `GET /ready` at `address` answers 200, or the program ends.
pub(crate) async fn ready(program: &Program, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = tokio::select! {
            answer = timeout(ANSWER, ask(address)) => answer.unwrap_or_else(|_| bail!("no answer in {} s", ANSWER.as_secs())),
            end = program.end() => return Err(end),
        };
        match answer {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("{program} is not ready after {} s", PATIENCE.as_secs()));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn ask(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    let question = format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    if answer.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    bail!("it says: {}", answer.replace("\r\n", " "))
}
