//! `kuryr-cni`: the plugin that the container runtime executes (CNI specification 1.1.0).
//!
//! It knows nothing about networking. It reads the environment and the network configuration, refuses what the
//! specification wants refused, hands the rest to kuryr-daemon over a Unix socket ([`daemon`] documents the protocol)
//! and prints the daemon's answer in one write. `VERSION` needs no daemon.
//!
//! It lives for half a millisecond and runs for every pod: std and serde_json only, no threads, no runtime.
//! When it is killed its connection closes, and the daemon abandons the work.
//!
//! # DEL while the daemon is down
//! It waits like ADD and CHECK (`daemonWait`), then it fails with code 11 and the runtime repeats it. Nothing in `prevResult` or the namespace proves which devices are
//! ours, and the Open vSwitch port cannot be removed from here; reporting success would let the port's address be given
//! away while the old one is still wired. (Specification: DEL "should" succeed; code 11 is its "try again later".)

mod configuration;
mod daemon;
mod environment;
mod failure;

use std::io::Write as _;
use std::process::ExitCode;

use configuration::Configuration;
use environment::{Command, Environment};
use failure::{Failure, code};
use serde_json::{Value, json};

/// The versions of the specification this plugin speaks, as VERSION lists them.
pub(crate) const SUPPORTED: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

fn main() -> ExitCode {
    let input = configuration::read();
    // The input's version belongs into every error, so it is looked for before anything is judged.
    let version = input.as_ref().map_or("", Configuration::version).to_owned();
    match run(input) {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(output)) => print(&output, ExitCode::SUCCESS),
        Err(failure) => print(&failure.to_json(&version), ExitCode::FAILURE),
    }
}

/// Does what `CNI_COMMAND` asks; the value is what goes to stdout.
fn run(input: Result<Configuration, Failure>) -> Result<Option<Value>, Failure> {
    let Some(command) = environment::command()? else {
        return match input {
            Ok(configuration) if !configuration.is_empty() => {
                Err(Failure::new(code::ENVIRONMENT, "the environment variable CNI_COMMAND is missing"))
            }
            // Somebody at a terminal, not a container runtime.
            _ => {
                eprintln!(
                    "kuryr-cni {}: CNI plugin of Kuryr, executed by container runtimes, not by hand.\n\
                     CNI versions supported: {}",
                    env!("CARGO_PKG_VERSION"),
                    SUPPORTED.join(", ")
                );
                Ok(None)
            }
        };
    };
    if command == Command::Version {
        let input = input?;
        let version = if input.is_empty() { "1.1.0" } else { input.version() };
        return Ok(Some(json!({ "cniVersion": version, "supportedVersions": SUPPORTED })));
    }
    let environment = Environment::read(command)?;
    let configuration = input?;
    configuration.validate(command)?;
    daemon::ask(&environment, &configuration)
}

/// One write: a dozen small ones would cost more than everything else here.
fn print(output: &Value, exit: ExitCode) -> ExitCode {
    let mut line = output.to_string();
    line.push('\n');
    match std::io::stdout().write_all(line.as_bytes()) {
        Ok(()) => exit,
        Err(error) => {
            eprintln!("kuryr-cni: the answer cannot be written to stdout: {error}");
            ExitCode::FAILURE
        }
    }
}
