//! One execution of a plugin, and many at the same moment.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::kernel_world::Pod;

/// What a runtime hands to a plugin.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) plugin: PathBuf,
    /// `CNI_COMMAND`.
    pub(crate) command: &'static str,
    pub(crate) container: String,
    /// Empty for STATUS.
    pub(crate) netns: PathBuf,
    /// `CNI_ARGS`.
    pub(crate) args: String,
    /// `CNI_PATH`.
    pub(crate) path: PathBuf,
    /// The network configuration.
    pub(crate) config: String,
}

impl Call {
    /// Runs it in the thread's network namespace; what it took, and why it failed if it did.
    pub(crate) fn run(&self) -> (Duration, Result<(), String>) {
        let mut command = Command::new(&self.plugin);
        command.env_clear().env("CNI_COMMAND", self.command).env("CNI_CONTAINERID", &self.container);
        command.env("CNI_NETNS", &self.netns).env("CNI_IFNAME", "eth0").env("CNI_PATH", &self.path);
        command.env("CNI_ARGS", &self.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let begun = Instant::now();
        let mut child = command.spawn().expect("start the plugin");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(self.config.as_bytes()).expect("stdin");
        drop(stdin);
        let output = child.wait_with_output().expect("wait for the plugin");
        let took = begun.elapsed();
        let said = || String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (took, if output.status.success() { Ok(()) } else { Err(said()) })
    }
}

/// Runs all at the same moment, each from a thread of its own, and returns what each took.
pub(crate) fn at_once(calls: &[Call]) -> Vec<Duration> {
    let gate = Barrier::new(calls.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = calls
            .iter()
            .map(|call| {
                scope.spawn(|| {
                    gate.wait();
                    call.run()
                })
            })
            .collect();
        let finished = threads.into_iter().map(|thread| thread.join().expect("a call")).zip(calls);
        let took = finished.map(|((took, outcome), call)| {
            if let Err(said) = outcome {
                panic!("{} {} of {}: {said}", call.plugin.display(), call.command, call.container);
            }
            took
        });
        took.collect()
    })
}

/// Namespaces for `count` pods.
pub(crate) fn pods(count: u8) -> Vec<Pod> {
    (0..count).map(|_| Pod::new()).collect()
}
