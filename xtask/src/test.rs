//! `cargo xtask test`: every stage, a line for each with its time.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::bed;
use crate::needs::{Missing, Need};
use crate::stages::{Log, STAGES, Stage, code};

/// Lines of a log that a failure shows.
const TAIL: usize = 40;

/// `cargo xtask test …`
#[derive(Args, Debug)]
#[command(after_help = stages_help())]
pub(crate) struct Test {
    /// `quick`, or names of stages; without any, all stages
    stages: Vec<String>,
}

enum Outcome {
    Passed(String),
    Failed(anyhow::Error),
    Missing(Missing),
}

/// Runs the stages that were asked for.
///
/// # Errors
/// When there is no such stage, or logs cannot be written.
pub(crate) fn run(test: &Test) -> Result<ExitCode> {
    let chosen = chosen(&test.stages)?;
    let logs = bed::target_dir().join("xtask");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let logs = logs.canonicalize().with_context(|| logs.display().to_string())?;
    // Where nobody looks, nothing may be left out unnoticed.
    let strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0");
    let (mut passed, mut failed, mut not_run) = (0, 0, 0);
    for stage in chosen {
        let log = Log { path: logs.join(format!("{}.log", stage.name)), limit: stage.limit };
        fs::write(&log.path, "").with_context(|| log.path.display().to_string())?;
        announce(stage);
        let begun = Instant::now();
        let outcome = run_stage(stage, &log, Need::meet);
        let line = |word: &str, more: &str| report(stage, word, begun.elapsed(), more);
        match outcome {
            Outcome::Passed(more) => {
                line("ok", &more);
                passed += 1;
            }
            Outcome::Failed(error) => {
                line("FAILED", &format!("{error:#}"));
                show_tail(&log);
                failed += 1;
            }
            Outcome::Missing(missing) => {
                line(if strict { "FAILED" } else { "NOT RUN" }, &missing.why);
                println!("          what to do: {}", missing.cure);
                if strict { failed += 1 } else { not_run += 1 }
            }
        }
    }
    if not_run > 0 {
        println!("\n{not_run} NOT RUN: this machine cannot (with CI set that is a failure)");
    }
    println!("{passed} passed, {failed} failed");
    Ok(code(failed == 0))
}

fn run_stage(stage: &Stage, log: &Log, meet: fn(Need) -> Result<(), Missing>) -> Outcome {
    for need in stage.needs {
        if let Err(missing) = meet(*need) {
            return Outcome::Missing(missing);
        }
    }
    match (stage.run)(log) {
        Ok(more) => Outcome::Passed(more),
        Err(error) => Outcome::Failed(error),
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Stage>> {
    for name in names {
        if name != "quick" && STAGES.iter().all(|stage| stage.name != name) {
            let known: Vec<_> = STAGES.iter().map(|stage| stage.name).collect();
            bail!("there is no stage {name}; there are quick, {}", known.join(", "));
        }
    }
    let wanted = |stage: &&Stage| {
        names.is_empty() || names.iter().any(|name| name == stage.name || (name == "quick" && stage.quick))
    };
    Ok(STAGES.iter().filter(wanted).collect())
}

/// On a terminal the stage at work is shown; its line replaces it.
fn announce(stage: &Stage) {
    if std::io::stdout().is_terminal() {
        print!("        …  {:<10} {}", stage.name, stage.about);
        let _ = std::io::stdout().flush();
    }
}

fn report(stage: &Stage, word: &str, took: Duration, more: &str) {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[K");
    }
    let more = if more.is_empty() { String::new() } else { format!(" ({more})") };
    println!("{:>7.1} s  {word:<8} {:<10} {}{more}", took.as_secs_f64(), stage.name, stage.about);
}

fn show_tail(log: &Log) {
    let text = fs::read(&log.path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        println!("          | {line}");
    }
    println!("          all of it: {}", log.path.display());
}

fn stages_help() -> String {
    let mut help = "Stages:\n".to_owned();
    for stage in STAGES {
        help.push_str(&format!("  {:<10} {}{}\n", stage.name, stage.about, if stage.quick { " (quick)" } else { "" }));
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Result<Vec<&'static str>> {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        Ok(chosen(&wanted)?.iter().map(|stage| stage.name).collect())
    }

    #[test]
    fn all_stages_are_run_unless_some_are_named() {
        assert_eq!(names(&[]).unwrap().len(), STAGES.len());
        assert_eq!(names(&["lab", "format"]).unwrap(), ["format", "lab"]);
        assert!(names(&["quick"]).unwrap().contains(&"test") && !names(&["quick"]).unwrap().contains(&"real"));
    }

    #[test]
    fn an_unknown_stage_is_refused_with_the_known_ones() {
        let error = names(&["unit"]).unwrap_err().to_string();
        assert!(error.starts_with("there is no stage unit; there are quick, format, tidy"), "{error}");
    }

    #[test]
    fn a_stage_whose_needs_are_not_met_does_not_run() {
        let stage =
            Stage { name: "x", about: "", quick: true, needs: &[Need::Root], limit: 1, run: |_| panic!("it ran") };
        let no = |need| Err(Missing { why: format!("no {need:?}"), cure: "be root".to_owned() });
        let Outcome::Missing(missing) = run_stage(&stage, &Log { path: "/nonexistent/log".into(), limit: 1 }, no)
        else {
            panic!()
        };
        assert_eq!(missing.why, "no Root");
    }
}
