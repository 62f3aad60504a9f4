//! kuryr: one executable for every part of Kuryr that is not the CNI plugin.
//!
//! The first argument says which part, or the name of the link it is called by: `kuryr-controller`,
//! `kuryr-k8s-controller`, `kuryr-daemon` and `cni_ds_init` keep working in manifests written for kuryr-kubernetes.

mod check;
mod cli;
mod conf;
mod crds;
mod install;
mod kubeconfig;
mod logs;
mod metrics_page;
mod operator;
mod probe;
mod process;
mod reach;
mod rotation;
mod screen;
mod serve;
mod status;
mod uninstall;
mod upgrade_check;

use std::io::Write as _;
use std::process::ExitCode;

use cli::{Cli, Command, ConfigAction, Role};
use conf::options::Reader;
use process::Exit;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) => {
            // Nobody may be reading; then there is nobody to tell.
            let _ = usage.print();
            return ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(2));
        }
    };
    let exit = match &cli.command {
        Command::Controller(common) => process::run(Reader::Controller, common),
        Command::Daemon(common) => process::run(Reader::Daemon, common),
        Command::Config { action: ConfigAction::Check { role: Role::Controller(common), explain } } => {
            process::check(Reader::Controller, common, *explain)
        }
        Command::Config { action: ConfigAction::Check { role: Role::Daemon(common), explain } } => {
            process::check(Reader::Daemon, common, *explain)
        }
        Command::LeaveNode { common, look } => process::leave_node(common, *look),
        Command::Config { action: ConfigAction::Options } => print(&conf::reference::page()),
        Command::Install(install) => install::run(install),
        Command::Operator(args) => operator::run(args),
        Command::Status(args) => status::run(args),
        Command::Check(args) => check::run(args),
        Command::UpgradeCheck(args) => upgrade_check::run(args),
        Command::Uninstall(args) => uninstall::run(args),
        Command::Metrics => print(&metrics_page::page()),
        Command::Probe { action } => probe::run(action),
        Command::Crds => match crds::yaml() {
            Ok(yaml) => print(&yaml),
            Err(error) => {
                eprintln!("error: {error:#}");
                Exit::Failed
            }
        },
    };
    exit.into()
}

/// A reader that went away, like `head`, is no mistake.
fn print(text: &str) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write: {error}");
            Exit::Failed
        }
        _ => Exit::Done,
    }
}
