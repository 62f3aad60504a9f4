//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::check::CheckArgs;
use crate::conf::options::{Definition, default, kuryr};
use crate::conf::sources::{self, Named, Sources};
use crate::conf::{ConfError, options::Reader};
use crate::install::Install;
use crate::operator::OperatorArgs;
use crate::probe::ProbeAction;
use crate::status::StatusArgs;
use crate::uninstall::UninstallArgs;
use crate::upgrade_check::UpgradeArgs;

/// OpenStack networking for Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "kuryr", version, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch Kubernetes and make Neutron agree with it
    Controller(Common),
    /// Wire the pods of this node
    Daemon(Common),
    /// Look at a configuration without starting anything
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print the custom resource definitions, for `kubectl apply -f -`
    Crds,
    /// Put Kuryr into a cluster, or print what would be put there; asks the cloud first what is missing
    Install(Box<Install>),
    /// Make the cluster agree with a Kuryr resource, as a controller in it
    Operator(OperatorArgs),

    // Day two, for people.
    /// Show how Kuryr is, and what pods wait for
    Status(Box<StatusArgs>),
    /// Look for what cloud and cluster lack, before or after installing
    Check(Box<CheckArgs>),
    /// Tell whether this version can take over from the kuryr-kubernetes in the cluster
    UpgradeCheck(Box<UpgradeArgs>),
    /// Take Kuryr out of the cluster, and prove that nothing is left
    Uninstall(Box<UninstallArgs>),
    /// Print the manual of all metrics, in Markdown
    Metrics,
    /// What `kuryr uninstall` runs in the daemons' place: takes Kuryr off the node, then stays
    #[command(hide = true)]
    LeaveNode {
        #[command(flatten)]
        common: Common,
        /// Only look; ends with 1 if anything is left
        #[arg(long)]
        look: bool,
    },
    /// What `kuryr check` runs in its pods
    #[command(hide = true)]
    Probe {
        #[command(subcommand)]
        action: ProbeAction,
    },
}

/// What to do with a configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Tell what is wrong with it or without effect; ends with 2 if it cannot work
    Check {
        /// Go through it option by option: what is kept, renamed, ignored, later or dangerous
        #[arg(long, global = true)]
        explain: bool,
        #[command(subcommand)]
        role: Role,
    },
    /// Print the manual of all options, in Markdown
    Options,
}

/// Which program a configuration is for.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// As kuryr-controller reads it
    Controller(Box<Common>),
    /// As kuryr-daemon reads it
    Daemon(Box<Common>),
}

/// Flags that all programs of kuryr-kubernetes had.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Common {
    /// Configuration file; can be repeated, later ones win
    #[arg(long, value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// Folder whose *.conf files are read, sorted; can be repeated
    #[arg(long, value_name = "FOLDER")]
    config_dir: Vec<PathBuf>,
    /// Log in detail
    #[arg(short, long, overrides_with = "nodebug")]
    debug: bool,
    /// Do not log in detail
    #[arg(long, hide = true, overrides_with = "debug")]
    nodebug: bool,
    /// File that logs are appended to
    #[arg(long, value_name = "FILE", alias = "logfile")]
    log_file: Option<String>,
    /// Folder of log files
    #[arg(long, value_name = "FOLDER", alias = "logdir")]
    log_dir: Option<String>,
    /// Log one JSON object per line
    #[arg(long, overrides_with = "nouse_json")]
    use_json: bool,
    #[arg(long, hide = true, overrides_with = "use_json")]
    nouse_json: bool,
    #[arg(long, hide = true)]
    use_syslog: bool,
    #[arg(long, hide = true)]
    nouse_syslog: bool,
    #[arg(long, hide = true)]
    syslog_log_facility: Option<String>,
    #[arg(long, hide = true)]
    use_journal: bool,
    #[arg(long, hide = true)]
    nouse_journal: bool,
    #[arg(long, hide = true, alias = "log-config")]
    log_config_append: Option<String>,
    #[arg(long, hide = true)]
    log_date_format: Option<String>,
    /// What the name `cni_ds_init` means besides being the daemon.
    #[arg(long, hide = true)]
    install_plugin: bool,
    /// `--config-file` and `--config-dir` in the order they were given.
    #[arg(skip)]
    named: Vec<Named>,
}

impl Cli {
    /// Reads the command line. A link's name can say what to do: `kuryr-daemon …` is `kuryr daemon …`, and `cni_ds_init`,
    /// the command of kuryr-kubernetes' DaemonSet, is the daemon with its usual file that installs its plugin as well.
    ///
    /// # Errors
    /// Usage, help and version, as clap has them.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let matches = Cli::command().try_get_matches_from(with_role(arguments))?;
        let mut cli = Cli::from_arg_matches(&matches)?;
        if let Some(common) = cli.common() {
            common.named = in_order(&matches, common);
        }
        Ok(cli)
    }

    fn common(&mut self) -> Option<&mut Common> {
        match &mut self.command {
            Command::Controller(common) | Command::Daemon(common) | Command::LeaveNode { common, .. } => Some(common),
            Command::Config {
                action: ConfigAction::Check { role: Role::Controller(common) | Role::Daemon(common), .. },
            } => Some(common),
            Command::Config { action: ConfigAction::Options }
            | Command::Crds
            | Command::Install(_)
            | Command::Operator(_) => None,
            Command::Status(args) => Some(&mut args.target.common),
            Command::Check(args) => Some(&mut args.target.common),
            Command::UpgradeCheck(args) => Some(&mut args.target.common),
            Command::Uninstall(args) => Some(&mut args.target.common),
            Command::Metrics | Command::Probe { .. } => None,
        }
    }
}

/// The names kuryr-kubernetes' programs had.
fn with_role(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let name = arguments.first().map(Path::new).and_then(Path::file_name).and_then(OsStr::to_str);
    let role: &[&str] = match name {
        Some("kuryr-controller" | "kuryr-k8s-controller") => &["controller"],
        Some("kuryr-daemon") => &["daemon"],
        Some("cni_ds_init") => &["daemon", "--install-plugin", "--config-file", sources::USUAL],
        Some("kuryr-k8s-status") => return of_status(arguments),
        _ => return arguments,
    };
    arguments.splice(1..1, role.iter().map(OsString::from));
    arguments
}

/// `kuryr-k8s-status upgrade check` is `kuryr upgrade-check`, and its `version` is ours. What it could not do any more itself
/// is refused as an unknown word.
fn of_status(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let word = |place: usize| arguments.get(place).and_then(|word| word.to_str());
    match (word(1), word(2)) {
        (Some("upgrade"), Some("check")) => {
            arguments.splice(1..3, [OsString::from("upgrade-check")]);
        }
        (Some("version"), None) => arguments[1] = OsString::from("--version"),
        _ => {}
    }
    arguments
}

/// Files and folders as they followed each other: a file named behind a folder wins over it.
fn in_order(matches: &ArgMatches, common: &Common) -> Vec<Named> {
    let mut innermost = matches;
    while let Some((_, inner)) = innermost.subcommand() {
        innermost = inner;
    }
    let places = |id: &str| innermost.indices_of(id).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let files = places("config_file").into_iter().zip(common.config_file.iter().cloned().map(Named::File));
    let folders = places("config_dir").into_iter().zip(common.config_dir.iter().cloned().map(Named::Folder));
    let mut named: Vec<(usize, Named)> = files.chain(folders).collect();
    named.sort_by_key(|(place, _)| *place);
    named.into_iter().map(|(_, named)| named).collect()
}

impl Common {
    /// Everything this program is to read.
    ///
    /// # Errors
    /// A folder that cannot be read.
    pub(crate) fn sources(&self, program: Reader) -> Result<Sources, ConfError> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Ok(Sources {
            files: sources::files(&self.named, program_name(program), home.as_deref())?,
            variables: sources::variables(),
            flags: self.flags(),
        })
    }

    fn flags(&self) -> Vec<(&'static Definition, String)> {
        let mut flags: Vec<(&'static Definition, String)> = Vec::new();
        let switches: [(&'static Definition, bool, bool); 5] = [
            (&default::debug, self.debug, self.nodebug),
            (&default::use_json, self.use_json, self.nouse_json),
            (&default::use_syslog, self.use_syslog, self.nouse_syslog),
            (&default::use_journal, self.use_journal, self.nouse_journal),
            (&kuryr::install_plugin, self.install_plugin, false),
        ];
        for (option, on, off) in switches {
            if on || off {
                flags.push((option, on.to_string()));
            }
        }
        let texts: [(&'static Definition, &Option<String>); 5] = [
            (&default::log_file, &self.log_file),
            (&default::log_dir, &self.log_dir),
            (&default::syslog_log_facility, &self.syslog_log_facility),
            (&default::log_config_append, &self.log_config_append),
            (&default::log_date_format, &self.log_date_format),
        ];
        flags.extend(texts.into_iter().filter_map(|(option, value)| Some((option, value.clone()?))));
        flags
    }
}

/// The program's own name: its configuration file's and its log file's.
pub(crate) fn program_name(program: Reader) -> &'static str {
    match program {
        Reader::Controller => "kuryr-k8s-controller",
        Reader::Daemon => "kuryr-daemon",
        Reader::Both => "kuryr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Cli {
        Cli::read(arguments.iter().map(OsString::from)).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn links_say_what_to_do() {
        assert!(matches!(read(&["/usr/bin/kuryr-k8s-controller"]).command, Command::Controller(_)));
        assert!(matches!(read(&["kuryr-daemon", "-d"]).command, Command::Daemon(Common { debug: true, .. })));
        assert!(matches!(read(&["kuryr", "crds"]).command, Command::Crds));
        let old = read(&["kuryr-k8s-status", "upgrade", "check", "--config-file", "x"]);
        assert!(matches!(old.command, Command::UpgradeCheck(_)));
        assert!(matches!(read(&["kubectl-kuryr", "status"]).command, Command::Status(_)));
        let version = Cli::read(["kuryr-k8s-status", "version"].map(OsString::from)).unwrap_err();
        assert_eq!(version.kind(), clap::error::ErrorKind::DisplayVersion);
    }

    #[test]
    fn the_old_daemonsets_command_is_the_daemon_that_installs_its_plugin() {
        let mut cli = read(&["/usr/local/bin/cni_ds_init", "--debug", "--config-file", "more.conf"]);
        assert!(matches!(cli.command, Command::Daemon(_)));
        let common = cli.common().unwrap();
        assert_eq!(common.named, [Named::File("/etc/kuryr/kuryr.conf".into()), Named::File("more.conf".into())]);
        let told: Vec<_> = common.flags().iter().map(|(option, value)| (option.title(), value.clone())).collect();
        let expected = ["[DEFAULT] debug", "[kuryr] install_plugin"].map(|title| (title.to_owned(), "true".to_owned()));
        assert_eq!(told, expected);
    }

    #[test]
    fn files_and_folders_keep_their_order() {
        let mut cli = read(&["kuryr", "daemon", "--config-file", "a", "--config-dir", "d", "--config-file=b"]);
        let named = &cli.common().unwrap().named;
        assert_eq!(*named, [Named::File("a".into()), Named::Folder("d".into()), Named::File("b".into())]);
        let mut cli = read(&["kuryr", "config", "check", "controller", "--config-dir", "d", "--config-file", "a"]);
        assert_eq!(cli.common().unwrap().named.len(), 2);
    }

    #[test]
    fn flags_set_options_and_the_last_one_wins() {
        let mut cli = read(&["kuryr-daemon", "--debug", "--nodebug", "--log-file", "/x", "--use-json"]);
        let flags = cli.common().unwrap().flags();
        let told: Vec<_> = flags.iter().map(|(option, value)| (option.name, value.as_str())).collect();
        assert_eq!(told, [("debug", "false"), ("use_json", "true"), ("log_file", "/x")]);
    }
}
