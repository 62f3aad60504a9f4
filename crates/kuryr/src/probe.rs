//! `kuryr probe`: a TCP server, a TCP client and a question to DNS in a few lines, so that `kuryr check` needs no other image than ours.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
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
    /// Connect to a service that is none of ours, and hang up; ends with 1 if it takes no connection in time
    Reach {
        /// ADDRESS:PORT
        address: SocketAddr,
        /// Seconds it is tried for
        #[arg(long, default_value_t = 30)]
        seconds: u64,
    },
    /// Ask DNS for a name; ends with 1 if there is no answer in time
    Resolve {
        /// The name, completed as /etc/resolv.conf says
        name: String,
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
        ProbeAction::Reach { address, seconds } => {
            reach(*address, Duration::from_secs(*seconds)).map(|took| println!("{address} is there after {took:?}"))
        }
        ProbeAction::Resolve { name, seconds } => {
            resolve(name, Duration::from_secs(*seconds)).map(|address| println!("{name} is {address}"))
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
    let (took, ()) = until(limit, || once(address)).with_context(|| format!("{address} does not answer"))?;
    Ok(took)
}

/// The same for a connection alone.
fn reach(address: SocketAddr, limit: Duration) -> Result<Duration> {
    let attempt = || TcpStream::connect_timeout(&address, ATTEMPT);
    let (took, _) = until(limit, attempt).with_context(|| format!("{address} takes no connection"))?;
    Ok(took)
}

/// Asks until there is an address.
fn resolve(name: &str, limit: Duration) -> Result<IpAddr> {
    let attempt = || {
        let found = (name, 0).to_socket_addrs()?.next();
        found.ok_or_else(|| std::io::Error::new(ErrorKind::NotFound, "it has no address"))
    };
    let (_, found) = until(limit, attempt).with_context(|| format!("DNS does not say what {name} is"))?;
    Ok(found.ip())
}

/// Tries until it works. Answers how long the attempt that succeeded took, too.
fn until<T>(limit: Duration, attempt: impl Fn() -> std::io::Result<T>) -> std::io::Result<(Duration, T)> {
    let end = Instant::now() + limit;
    loop {
        let start = Instant::now();
        match attempt() {
            Ok(found) => return Ok((start.elapsed(), found)),
            Err(error) if Instant::now() >= end => return Err(error),
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
        for error in [connect(address, Duration::ZERO).unwrap_err(), reach(address, Duration::ZERO).unwrap_err()] {
            let told = format!("{error:#}");
            assert!(told.contains(&address.to_string()) && told.contains("refused"), "{told}");
        }
    }

    #[test]
    fn a_service_that_says_nothing_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        reach(listener.local_addr().unwrap(), Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn a_name_is_an_address() {
        assert!(resolve("localhost", Duration::from_secs(10)).unwrap().is_loopback());
        // RFC 6761: there is never a host of that name.
        let told = format!("{:#}", resolve("nobody.invalid", Duration::ZERO).unwrap_err());
        assert!(told.contains("nobody.invalid"), "{told}");
    }
}
