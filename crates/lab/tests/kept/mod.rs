//! A lab that is kept, and what it told its user.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A kept lab, which ends with this value.
pub struct Lab {
    process: Child,
    /// The variables it told its user to set.
    pub variables: Vec<(String, String)>,
    /// All it said.
    pub said: Vec<String>,
}

impl Lab {
    pub fn keep(pods: usize) -> Lab {
        let mut process = Command::new(env!("CARGO_BIN_EXE_kuryr-lab"))
            .args(["--keep", "--pods", &pods.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let shown = BufReader::new(process.stdout.take().unwrap());
        let mut lab = Lab { process, variables: Vec::new(), said: Vec::new() };
        for line in shown.lines().map_while(Result::ok) {
            let words = line.strip_prefix("export ").unwrap_or_default().split_whitespace();
            let variable = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
            lab.variables.extend(words.filter_map(variable));
            let is_last = line.starts_with("openstack port list");
            lab.said.push(line);
            if is_last {
                return lab;
            }
        }
        panic!("the lab ended before it said how to reach it; `cargo lab --keep` shows why");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It takes everything along; mostly it has not ended before.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
    }
}
