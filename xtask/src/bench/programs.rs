//! The programs that measure, and what they run: the executables as they are shipped, and the reference plugins.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{MetadataCommand, TargetKind};

use crate::executables::{self, Executables};
use crate::needs::Need;
use crate::{bed, programs, stages};

/// A program that measures.
pub(crate) struct Program {
    /// Its name; that of the target in `benches/`, if it is one.
    pub(crate) name: &'static str,
    /// What it looks at.
    pub(crate) about: &'static str,
    /// What it needs of the machine.
    pub(crate) needs: &'static [Need],
    /// Whether it runs the reference plugins, too.
    reference: bool,
    place: Place,
}

/// Where a program that measures is.
#[derive(Clone, Copy)]
enum Place {
    /// In the `benches/` of this package.
    Benches(&'static str),
    /// It is this command of `cargo xtask`.
    Task(&'static [&'static str]),
}

/// A host in a network namespace, with a real Open vSwitch.
const HOST: &[Need] = &[Need::Root, Need::Packages(&["openvswitch-switch", "iproute2"])];

pub(crate) const START: Program = Program {
    name: "start",
    about: "the plugin's process",
    needs: &[],
    reference: true,
    place: Place::Benches("kuryr-cni"),
};
pub(crate) const PLUG: Program = Program {
    name: "plug",
    about: "the wiring of one pod",
    needs: HOST,
    reference: false,
    place: Place::Benches("kuryr-node"),
};
pub(crate) const ADD: Program = Program {
    name: "add",
    about: "plugin and daemon on Open vSwitch",
    needs: HOST,
    reference: true,
    place: Place::Benches("kuryr-node"),
};
pub(crate) const SCALE: Program = Program {
    name: "scale",
    about: "the controller with thousands of pods",
    needs: &[],
    reference: false,
    place: Place::Benches("kuryr-controller"),
};
pub(crate) const BED: Program = Program {
    name: "bed",
    about: "a real Kubernetes on a real OpenStack",
    needs: &[Need::Root, Need::Debian],
    reference: false,
    place: Place::Task(&["bed", "bench"]),
};
pub(crate) const FRESH: Program = Program {
    name: "fresh",
    about: "the lab, from git clone on",
    needs: &[Need::Namespaces],
    reference: false,
    place: Place::Task(&["fresh"]),
};

/// Those whose place is a `benches/` folder.
const BENCHES: [&Program; 4] = [&START, &PLUG, &ADD, &SCALE];

/// What the programs need, built.
pub(crate) struct Built {
    executables: Executables,
    benches: Vec<(&'static str, programs::Program)>,
    /// Or why there are none.
    reference: Result<PathBuf, String>,
}

impl Built {
    /// Builds what these programs need. What cargo says goes to stderr: the first time takes minutes.
    ///
    /// # Errors
    /// When our own code does not compile. A machine on which the reference plugins cannot be built is no error.
    pub(crate) fn for_all(chosen: &[&Program]) -> Result<Option<Built>> {
        if chosen.iter().all(|program| program.package().is_none()) {
            return Ok(None);
        }
        let executables = executables::build()?;
        let benches = benches()?;
        let reference = match chosen.iter().any(|program| program.reference) {
            true => bed::kube_bin().map_err(|error| format!("no reference plugins: {error:#}")),
            false => Err("nobody asked for the reference plugins".to_owned()),
        };
        Ok(Some(Built { executables, benches, reference }))
    }
}

/// All benchmarks that there are, always together: each alone would compile some dependencies anew.
fn benches() -> Result<Vec<(&'static str, programs::Program)>> {
    let metadata =
        MetadataCommand::new().no_deps().current_dir(crate::root()).exec().context("cargo metadata does not answer")?;
    let exists = |program: &&&Program| {
        let package = metadata.packages.iter().find(|package| program.package() == Some(package.name.as_str()));
        let mut targets = package.iter().flat_map(|package| &package.targets);
        targets.any(|target| target.name == program.name && target.kind.contains(&TargetKind::Bench))
    };
    // Made like what is shipped, with which they share dependencies.
    let mut cargo = executables::cargo("bench", &[]);
    cargo.args(["--no-run", "--message-format=json-render-diagnostics"]).stderr(std::process::Stdio::inherit());
    for program in BENCHES.iter().filter(exists) {
        cargo.args(["--bench", program.name]);
        cargo.args(program.package().iter().flat_map(|package| ["--package", package]));
    }
    programs::benches(cargo, &BENCHES.map(|program| program.name))
}

impl Program {
    /// What is to be run.
    ///
    /// # Errors
    /// Why it cannot be: it does not exist, or what it compares with does not.
    pub(crate) fn command(&self, built: Option<&Built>, short: bool) -> Result<Command> {
        let mut command = match (self.place, built) {
            (Place::Task(words), _) => {
                let mut itself = stages::itself()?;
                itself.args(words);
                itself
            }
            (Place::Benches(package), Some(built)) => {
                let Some((_, program)) = built.benches.iter().find(|(name, _)| *name == self.name) else {
                    bail!("{package} has no benchmark {}", self.name);
                };
                let mut bench = Command::new(&program.path);
                // As `cargo bench` does: without it one round shows that the program works.
                bench.arg("--bench").current_dir(&program.folder).env("CARGO_MANIFEST_DIR", &program.folder);
                bench.env("KURYR", &built.executables.kuryr).env("KURYR_CNI", &built.executables.plugin);
                if self.reference {
                    let folder = built.reference.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
                    bench.env("KUBE_BIN", folder);
                }
                bench
            }
            (Place::Benches(_), None) => bail!("the benchmarks were not built"),
        };
        if short {
            command.arg("--short");
        }
        Ok(command)
    }

    /// Whether it runs in the real bed, which takes its time and has a stage of its own.
    pub(crate) fn needs_bed(&self) -> bool {
        matches!(self.place, Place::Task(["bed", ..]))
    }

    fn package(&self) -> Option<&'static str> {
        match self.place {
            Place::Benches(package) => Some(package),
            Place::Task(_) => None,
        }
    }
}
