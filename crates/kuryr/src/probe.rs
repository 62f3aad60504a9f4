//! `kuryr probe`: a TCP server and a TCP client of a few lines, so that `kuryr check` needs no other image than ours.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use crate::process::Exit;

/// Longest time one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(250);
/// What is sent, to come back.
const WORD: &[u8; 6] = b"kuryr\n";

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ProbeAction {
    /// Send back what comes in, until ended
    Serve {
        /// TCP port
        #[arg(long)]
        port: u16,
    },
    /// Connect and see a word come back; ends with 1 if that does not happen in time
    Connect {
        /// ADDRESS:PORT
        address: SocketAddr,
        /// Seconds it is tried for
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
}

/// Does it.
pub(crate) fn run(action: &ProbeAction) -> Exit {
    let done = match action {
        ProbeAction::Serve { port } => listen(*port).and_then(|listener| serve(&listener)),
        ProbeAction::Connect { address, seconds } => {
            connect(*address, Duration::from_secs(*seconds)).map(|took| println!("{address} answers in {took:?}"))
        }
    };
    match done {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Failed
        }
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let everywhere = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    everywhere
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))
        .with_context(|| format!("cannot listen on port {port}"))
}

fn serve(listener: &TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().context("cannot accept connections")?;
        // One client's trouble is no reason to stop for the next.
        if let Err(error) = echo(stream) {
            eprintln!("a client went away: {error}");
        }
    }
}

fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(ATTEMPT))?;
    let mut word = [0; WORD.len()];
    stream.read_exact(&mut word)?;
    stream.write_all(&word)
}

/// Tries until a word comes back. Answers how long the attempt that succeeded took.
fn connect(address: SocketAddr, limit: Duration) -> Result<Duration> {
    let end = Instant::now() + limit;
    loop {
        let start = Instant::now();
        match once(address) {
            Ok(()) => return Ok(start.elapsed()),
            Err(error) if Instant::now() >= end => bail!("{address} does not answer: {error}"),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

fn once(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, ATTEMPT)?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.write_all(WORD)?;
    let mut word = [0; WORD.len()];
    stream.read_exact(&mut word)?;
    if &word == WORD { Ok(()) } else { Err(std::io::Error::new(ErrorKind::InvalidData, "another word came back")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || serve(&listener));
        connect(address, Duration::from_secs(10)).unwrap();
        connect(address, Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn nobody_there_is_told_with_the_reason() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let told = connect(address, Duration::ZERO).unwrap_err().to_string();
        assert!(told.contains(&address.to_string()) && told.contains("refused"), "{told}");
    }
}
