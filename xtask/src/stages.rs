//! The stages of `cargo xtask test`, from the quick to the slow.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::needs::{self, Need};
use crate::programs::{self, Program};
use crate::{bed, bench, tidy};

/// One stage.
pub(crate) struct Stage {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// Whether it belongs to the inner loop.
    pub(crate) quick: bool,
    /// What it needs of the machine.
    pub(crate) needs: &'static [Need],
    /// Longest time one of its programs may take, in seconds; several times what it takes on two cores with nothing cached.
    pub(crate) limit: u32,
    /// Runs it; everything it says goes to the log.
    pub(crate) run: fn(&Log) -> Result<String>,
}

/// All of them.
pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "format", about: "rustfmt", quick: true, needs: &[], limit: 120, run: format },
    Stage { name: "tidy", about: "the rules of the house", quick: true, needs: &[], limit: 60, run: house },
    Stage { name: "lint", about: "clippy, warnings are errors", quick: true, needs: &[], limit: 1800, run: lint },
    Stage {
        name: "supply",
        about: "licences, sources and copies of dependencies",
        quick: true,
        needs: &[Need::CargoDeny],
        limit: 900,
        run: supply,
    },
    Stage {
        name: "test",
        about: "units, plans, contract and whole programs on the fakes",
        quick: true,
        needs: &[],
        limit: 2400,
        run: test,
    },
    Stage {
        name: "simulation",
        about: "1,000 histories of pods and 1,000 of Services under faults and kills",
        quick: false,
        needs: &[],
        limit: 1800,
        run: simulation,
    },
    Stage {
        name: "kernel",
        about: "the daemon in throwaway namespaces, with a real Open vSwitch",
        quick: false,
        needs: &[Need::Root, Need::Packages(&["openvswitch-switch", "iproute2", "iputils-ping", "procps"])],
        limit: 600,
        run: kernel,
    },
    Stage {
        name: "lab",
        about: "the whole system with real packets, and nothing left behind",
        quick: false,
        needs: &[Need::Namespaces],
        limit: 600,
        run: whole,
    },
    Stage {
        name: "clients",
        about: "kubectl, helm, openstack and promtool agree with us, a real API server answers as recorded",
        quick: false,
        needs: &[Need::Root, Need::Packages(&["python3-openstackclient", "prometheus", "procps", "curl"])],
        limit: 1800,
        run: clients,
    },
    Stage {
        name: "contract",
        about: "what the fake cloud promises, asked of a real one",
        quick: false,
        needs: &[Need::Root, Need::Debian],
        limit: 1200,
        run: contract,
    },
    Stage {
        name: "real",
        about: "pods on a real Kubernetes and a real OpenStack",
        quick: false,
        needs: &[Need::Root, Need::Debian],
        limit: 2400,
        run: real,
    },
    Stage {
        name: "image",
        about: "installed from the image in every way, rolled, repaired, taken out",
        quick: false,
        needs: &[Need::Root, Need::Debian],
        limit: 3600,
        run: image,
    },
    Stage {
        name: "bench",
        about: "the promises of SPECIFICATION.md, measured short, not judged",
        quick: false,
        needs: &[Need::Root, Need::Packages(&["openvswitch-switch", "iproute2"])],
        limit: 3600,
        run: measure,
    },
];

/// What `timeout` of coreutils ends with when it had to end the program.
const TIMED_OUT: i32 = 124;

/// Where a stage writes, and how long it may.
pub(crate) struct Log {
    /// The file.
    pub(crate) path: PathBuf,
    /// [`Stage::limit`].
    pub(crate) limit: u32,
}

impl Log {
    /// Runs a command in the workspace, its output behind what is there already.
    fn run(&self, command: &mut Command) -> Result<()> {
        self.run_in(&crate::root(), command)
    }

    fn run_in(&self, folder: &Path, command: &mut Command) -> Result<()> {
        let file = self.file()?;
        // In the foreground, so that Ctrl-C reaches everything; a program that hangs is ended, and its tests name the place.
        let mut limited = Command::new("timeout");
        limited.args(["--foreground", "--kill-after=10", &self.limit.to_string()]);
        // A shell that put us into the background made us deaf to Ctrl-C; tests that send it must not be.
        limited.args(["env", "--default-signal=INT,QUIT"]);
        limited.arg(command.get_program()).args(command.get_args()).current_dir(folder).stdin(Stdio::null());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => limited.env(name, value),
                None => limited.env_remove(name),
            };
        }
        limited.stdout(file.try_clone().context("the log cannot be shared")?).stderr(file);
        let status = limited.status().with_context(|| format!("cannot start {}", describe(command)))?;
        match status.code() {
            Some(0) => Ok(()),
            Some(TIMED_OUT) => bail!("{} did not end in {} s and was ended", describe(command), self.limit),
            _ => bail!("{} ended with {status}", describe(command)),
        }
    }

    fn file(&self) -> Result<File> {
        File::options().create(true).append(true).open(&self.path).context("the log cannot be written")
    }

    /// Test programs of these crates; what cargo says while it builds them goes here.
    fn programs(&self, crates: &[&str]) -> Result<Vec<Program>> {
        let mut build = cargo(&["test", "--locked", "--workspace", "--no-run", "--message-format=json"]);
        build.current_dir(crate::root()).stdin(Stdio::null()).stderr(self.file()?);
        programs::of(build, crates)
    }

    /// The program of one file or folder in a crate's `tests/`.
    fn suite(&self, krate: &str, name: &str) -> Result<Program> {
        let found = self.programs(&[krate])?.into_iter().find(|program| program.is(name));
        found.with_context(|| format!("crates/{krate} has no tests/{name}"))
    }

    /// The number of tests that ran. None is a failure: a filter that fits nothing, a test that was moved.
    fn tests(&self) -> Result<String> {
        let text = std::fs::read_to_string(&self.path).context("the log cannot be read")?;
        match passed(&text) {
            0 => bail!("no test ran"),
            1 => Ok("1 test".to_owned()),
            passed => Ok(format!("{passed} tests")),
        }
    }
}

fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy().into_owned());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// Adds up libtest's summaries.
fn passed(log: &str) -> usize {
    let counts = log.lines().filter_map(|line| {
        let result = line.trim().strip_prefix("test result: ")?;
        result.split("; ").next()?.split_whitespace().rev().nth(1)?.parse::<usize>().ok()
    });
    counts.sum()
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).env("INSTA_UPDATE", "no").env("CARGO_TERM_COLOR", "never");
    cargo
}

fn format(log: &Log) -> Result<String> {
    log.run(&mut cargo(&["fmt", "--all", "--check"]))?;
    Ok(String::new())
}

fn lint(log: &Log) -> Result<String> {
    log.run(&mut cargo(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    Ok(String::new())
}

fn supply(log: &Log) -> Result<String> {
    let mut deny = Command::new(needs::cargo_deny()?);
    log.run(deny.args(["--locked", "check", "bans", "licenses", "sources"]))?;
    Ok(String::new())
}

fn house(log: &Log) -> Result<String> {
    let found = tidy::all()?;
    std::fs::write(&log.path, found.join("\n")).context("the log cannot be written")?;
    if !found.is_empty() {
        bail!("{} rules are broken", found.len());
    }
    Ok(String::new())
}

fn test(log: &Log) -> Result<String> {
    log.run(&mut cargo(&["test", "--locked", "--workspace", "--no-fail-fast"]))?;
    log.tests()
}

/// More seeds than `test` has time for.
fn simulation(log: &Log) -> Result<String> {
    let seeds = std::env::var("KURYR_SIM_SEEDS").unwrap_or_else(|_| "1000".to_owned());
    let suite = log.suite("controller", "simulation")?;
    log.run_in(&suite.folder, Command::new(&suite.path).arg("--nocapture").env("KURYR_SIM_SEEDS", &seeds))?;
    log.tests()?;
    Ok(format!("{seeds} seeds of each"))
}

fn kernel(log: &Log) -> Result<String> {
    ignored(log, log.programs(&["node", "cni"])?, &[])
}

/// What needs clients of others is left to their stage.
fn whole(log: &Log) -> Result<String> {
    let programs = log.programs(&["lab"])?.into_iter().filter(|program| !program.is("clients"));
    ignored(log, programs.collect(), &[])
}

/// The tests of these programs that need more than the inner loop has.
fn ignored(log: &Log, programs: Vec<Program>, environment: &[(&str, &Path)]) -> Result<String> {
    let mut failed = None;
    for program in programs {
        let mut command = Command::new(&program.path);
        command
            .args(["--ignored", "--test-threads=1"])
            .env("CARGO_MANIFEST_DIR", &program.folder)
            .envs(environment.iter().copied());
        failed = log.run_in(&program.folder, &mut command).err().or(failed);
    }
    failed.map_or_else(|| log.tests(), Err)
}

/// `kubectl`, a kube-apiserver and `openstack`, which know nothing of us, with the fakes and with the lab; `helm` and
/// `kubectl` with deploy/, `promtool` with our alerts.
fn clients(log: &Log) -> Result<String> {
    let monitoring = crate::root().join("deploy/monitoring");
    for (action, file) in [("check", "kuryr-alerts.yaml"), ("test", "kuryr-alerts.test.yaml")] {
        log.run_in(&monitoring, Command::new("promtool").args([action, "rules", file]))?;
    }
    let (kube_bin, helm) = (bed::kube_bin()?, bed::helm()?);
    let mut programs = log.programs(&["fake", "kuryr"])?;
    programs.push(log.suite("lab", "clients")?);
    ignored(log, programs, &[("KUBE_BIN", &kube_bin), ("HELM", &helm)])
}

/// Shows that everything that measures works. Judging is for machines on which nothing else runs.
fn measure(log: &Log) -> Result<String> {
    // What is measured in the bed is measured where the bed is up anyway.
    log.run(itself()?.args(["bench", "--short", "--no-judge"]).args(bench::names_for_short()))?;
    let text = std::fs::read_to_string(&log.path).context("the log cannot be read")?;
    Ok(text.lines().next_back().unwrap_or_default().to_owned())
}

/// The same suite as in `test`, against the bed's Neutron. Its environment comes from the file the bed writes for people.
fn contract(log: &Log) -> Result<String> {
    let was_up = bed::state_dir().join("openrc").exists();
    log.run(itself()?.args(["bed", "up", "openstack"]))?;
    let tested = log.suite("openstack", "contract").and_then(|suite| {
        let mut shell = Command::new("bash");
        shell.args(["-c", r#"set -a; . "$0"; exec "$@""#]).arg(bed::state_dir().join("openrc")).arg(&suite.path);
        log.run_in(
            &suite.folder,
            shell
                .env("KURYR_CONTRACT_CLOUD", "real")
                .env("OS_CLIENT_CONFIG_FILE", bed::state_dir().join("clouds.yaml"))
                .env_remove("OS_CLOUD"),
        )
    });
    if !was_up {
        log.run(itself()?.args(["bed", "down"]))?;
    }
    tested?;
    log.tests()
}

fn real(log: &Log) -> Result<String> {
    log.run(itself()?.args(["bed", "test"]))?;
    Ok(String::new())
}

fn image(log: &Log) -> Result<String> {
    log.run(itself()?.args(["bed", "test", "image"]))?;
    Ok(String::new())
}

/// This program, so that what a stage does is what a person can do.
///
/// # Errors
/// When the system does not tell where it is.
pub(crate) fn itself() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find our own executable")?))
}

/// The exit code of a result.
pub(crate) fn code(success: bool) -> ExitCode {
    if success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_over_all_programs() {
        let log = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 1 ignored; …\n\
                   test result: FAILED. 10 passed; 1 failed; 0 ignored\n";
        assert_eq!(passed(log), 12);
        assert_eq!(passed("nothing"), 0);
    }

    #[test]
    fn names_are_there_once_and_the_quick_come_first() {
        let mut names: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
        assert!(STAGES.is_sorted_by_key(|stage| !stage.quick));
    }

    #[test]
    fn a_failing_and_a_hanging_command_are_named() {
        let log = Log { path: std::env::temp_dir().join(format!("kuryr-xtask-{}", std::process::id())), limit: 1 };
        let failing = log.run(Command::new("false").arg("x")).unwrap_err().to_string();
        let hanging = log.run(Command::new("sleep").arg("60")).unwrap_err().to_string();
        let said = log.run(Command::new("sh").args(["-c", "echo $X"]).env("X", "y"));
        let text = std::fs::read_to_string(&log.path).unwrap();
        let _ = std::fs::remove_file(&log.path);
        assert!(failing.starts_with("false x ended with"), "{failing}");
        assert_eq!(hanging, "sleep 60 did not end in 1 s and was ended");
        assert!(said.is_ok() && text.ends_with("y\n"), "{text}");
    }
}
