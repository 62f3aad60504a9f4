//! `cargo xtask bench`: measures what SPECIFICATION.md promises in figures, and says which promises are kept.

mod programs;
mod promises;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};

use crate::bed;
use programs::{Built, Program};
use promises::{Figure, PROMISES, Promise};

pub(crate) use promises::is_promise;

/// Lines of a log that a failure shows.
const TAIL: usize = 20;

/// `cargo xtask bench …`
#[derive(Args, Debug)]
#[command(after_help = promises_help())]
pub(crate) struct Bench {
    /// Promises to measure; without any, all
    names: Vec<String>,
    /// Few rounds: shows that everything works, the figures are rough
    #[arg(long)]
    short: bool,
    /// Show the figures; only a program that fails is a failure
    #[arg(long)]
    no_judge: bool,
}

/// Measures what was asked for.
///
/// # Errors
/// When there is no such promise, or what is to be measured does not compile.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    let chosen = promises::chosen(&bench.names)?;
    let load = load();
    let logs = bed::target_dir().join("xtask");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let mut runs: Vec<Run> = Vec::new();
    for promise in &chosen {
        if runs.iter().all(|run| run.program.name != promise.program.name) {
            let log = logs.join(format!("bench-{}.log", promise.program.name));
            runs.push(Run { program: promise.program, log, figures: HashMap::new(), trouble: None, failed: false });
        }
    }
    // What a machine lacks is known before minutes go into building.
    for run in &mut runs {
        run.meet_needs();
    }
    let able: Vec<&Program> = runs.iter().filter(|run| run.trouble.is_none()).map(|run| run.program).collect();
    let built = Built::for_all(&able)?;
    for run in &mut runs {
        announce(run.program);
        let begun = Instant::now();
        if run.trouble.is_none() {
            run.measure(built.as_ref(), bench.short);
        }
        run.report(begun);
    }
    let results: Vec<Judged<'_>> = chosen.iter().map(|promise| Judged::of(promise, &runs)).collect();
    println!("\n{}", table(&results));
    let count = |wanted: fn(&Verdict) -> bool| results.iter().filter(|result| wanted(&result.verdict)).count();
    let missed = count(|verdict| matches!(verdict, Verdict::Missed));
    let not_measured = count(|verdict| matches!(verdict, Verdict::NotMeasured));
    let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    if load > cores / 2.0 {
        println!(
            "Others were at work here (load {load:.1} on {cores} cores): what is missed by little may hold when they rest."
        );
    }
    println!("{} kept, {missed} missed, {not_measured} not measured", results.len() - missed - not_measured);
    let failed = runs.iter().any(|run| run.failed);
    Ok(crate::stages::code(!failed && (bench.no_judge || missed + not_measured == 0)))
}

/// How many wanted to run during the last minute (proc_loadavg(5)); 0 if the system does not tell.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// The names of all promises that need neither a bed nor a clone.
pub(crate) fn names_for_short() -> Vec<&'static str> {
    let quick = |promise: &&Promise| !promise.program.needs_bed() && promise.name != "lab-cold";
    PROMISES.iter().filter(quick).map(|promise| promise.name).collect()
}

/// One program's turn.
struct Run {
    program: &'static Program,
    log: PathBuf,
    figures: HashMap<String, Figure>,
    /// Why it measured nothing, or not all.
    trouble: Option<String>,
    /// Whether the program is to blame, not the machine.
    failed: bool,
}

impl Run {
    fn meet_needs(&mut self) {
        let missing = self.program.needs.iter().find_map(|need| need.meet().err());
        self.trouble = missing.map(|missing| format!("{}; {}", missing.why, missing.cure));
    }

    fn measure(&mut self, built: Option<&Built>, short: bool) {
        match self.program.command(built, short) {
            Err(error) => self.trouble = Some(format!("{error:#}")),
            Ok(command) => {
                if let Err(error) = self.listen(command) {
                    self.trouble = Some(format!("{error:#}"));
                    self.failed = true;
                }
            }
        }
    }

    /// Runs the program, its figures to us, everything to the log.
    fn listen(&mut self, mut command: std::process::Command) -> Result<()> {
        let place = || format!("the log {}", self.log.display());
        let mut log = File::create(&self.log).with_context(place)?;
        let stderr = log.try_clone().with_context(place)?;
        let name = self.program.name;
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn();
        let mut child = started.with_context(|| format!("{name} cannot be started"))?;
        let mut wrong = None;
        for line in child.stdout.take().map(BufReader::new).into_iter().flat_map(BufReader::lines) {
            let line = line.with_context(|| format!("what {name} says cannot be read"))?;
            writeln!(log, "{line}").with_context(place)?;
            match Figure::read(&line, self.program) {
                Ok(Some(figure)) => drop(self.figures.insert(figure.name.clone(), figure)),
                Ok(None) => {}
                Err(error) => wrong = Some(error),
            }
        }
        let status = child.wait().with_context(|| format!("waiting for {name}"))?;
        if !status.success() {
            bail!("{name} ended with {status}");
        }
        wrong.map_or(Ok(()), Err)
    }

    fn report(&self, begun: Instant) {
        let word = match (&self.trouble, self.failed) {
            (None, _) => "ok",
            (Some(_), true) => "FAILED",
            (Some(_), false) => "NOT RUN",
        };
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[K");
        }
        let Program { name, about, .. } = self.program;
        let why = self.trouble.as_ref().map(|trouble| format!(" ({trouble})")).unwrap_or_default();
        println!("{:>7.1} s  {word:<8} {name:<10} {about}{why}", begun.elapsed().as_secs_f64());
        if self.failed {
            show_tail(&self.log);
        }
    }
}

/// On a terminal the program at work is shown; its line replaces it.
fn announce(program: &Program) {
    if std::io::stdout().is_terminal() {
        print!("        …  {:<8} {:<10} {}", "", program.name, program.about);
        let _ = std::io::stdout().flush();
    }
}

fn show_tail(log: &Path) {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    for line in &lines[lines.len().saturating_sub(TAIL)..] {
        println!("          | {line}");
    }
    println!("          all of it: {}", log.display());
}

/// A promise and what came of it.
struct Judged<'a> {
    promise: &'a Promise,
    verdict: Verdict,
    measured: String,
    words: String,
}

enum Verdict {
    Kept,
    Missed,
    NotMeasured,
}

impl<'a> Judged<'a> {
    fn of(promise: &'a Promise, runs: &[Run]) -> Self {
        let run = runs.iter().find(|run| run.program.name == promise.program.name);
        match run.and_then(|run| run.figures.get(promise.name)) {
            Some(figure) => Self {
                promise,
                verdict: if promise.target.is_kept(figure.value) { Verdict::Kept } else { Verdict::Missed },
                measured: format!("{} {}", figure.text, promise.unit),
                words: figure.words.clone(),
            },
            None => {
                let why = run.and_then(|run| run.trouble.clone());
                let words = why.unwrap_or_else(|| format!("{} did not measure it", promise.program.name));
                Self { promise, verdict: Verdict::NotMeasured, measured: "–".to_owned(), words }
            }
        }
    }
}

fn table(results: &[Judged<'_>]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["name", "promise", "target", "measured", "verdict", "how"]);
    for Judged { promise, verdict, measured, words } in results {
        let verdict = match verdict {
            Verdict::Kept => "kept",
            Verdict::Missed => "MISSED",
            Verdict::NotMeasured => "not measured",
        };
        let target = promise.target.show(promise.unit);
        table.add_row([promise.name, promise.about, &target, measured, verdict, words]);
    }
    table
}

fn promises_help() -> String {
    let mut help = "Promises:\n".to_owned();
    for promise in PROMISES {
        let target = promise.target.show(promise.unit);
        help.push_str(&format!("  {:<26} {target:<10} {}\n", promise.name, promise.about));
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(program: &'static Program, script: &str) -> Run {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!("kuryr-bench-{}-{number}", std::process::id()));
        let mut run = Run { program, log, figures: HashMap::new(), trouble: None, failed: false };
        let mut command = std::process::Command::new("sh");
        command.args(["-c", script]);
        if let Err(error) = run.listen(command) {
            run.trouble = Some(error.to_string());
            run.failed = true;
        }
        run
    }

    fn rows(names: &[&str], runs: &[Run]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let chosen = promises::chosen(&names).unwrap();
        let judged: Vec<_> = chosen.into_iter().map(|promise| Judged::of(promise, runs)).collect();
        table(&judged).trim_fmt()
    }

    #[test]
    fn figures_are_read_and_everything_is_logged() {
        let script = "echo hello; echo measured add-1 1.50 × quick; echo measured add-10 2.01 × slow; echo sorry >&2";
        let run = run(&programs::ADD, script);
        let log = fs::read_to_string(&run.log).unwrap();
        let _ = fs::remove_file(&run.log);
        assert!(!run.failed && log.contains("hello\n") && log.contains("sorry\n") && log.contains("measured add-1"));
        let table = rows(&["add-1", "add-10", "add-30", "add-bare"], &[run]);
        let row =
            |name: &str| table.lines().find(|line| line.trim().starts_with(&format!("{name} "))).unwrap().to_owned();
        assert!(row("add-1").contains("≤ 2 ×") && row("add-1").contains("1.50 ×"), "{table}");
        assert!(row("add-1").contains(" kept ") && row("add-1").ends_with("quick"), "{table}");
        assert!(row("add-10").contains(" MISSED "), "{table}");
        assert!(row("add-30").contains("not measured") && row("add-30").contains("add did not measure it"), "{table}");
        assert!(row("add-bare").contains("not measured"), "{table}");
    }

    #[test]
    fn a_program_that_fails_keeps_its_figures_and_says_why_the_rest_is_missing() {
        let run = run(&programs::ADD, "echo measured add-1 1.50 ×; exit 3");
        let _ = fs::remove_file(&run.log);
        assert!(run.failed);
        let table = rows(&["add-1", "add-30"], &[run]);
        assert!(table.contains("1.50 ×") && table.contains("add ended with exit status: 3"), "{table}");
    }

    #[test]
    fn a_figure_nobody_promised_is_a_failure() {
        let run = run(&programs::ADD, "echo measured add-1 1.50 ms");
        let _ = fs::remove_file(&run.log);
        assert!(run.failed && run.trouble.unwrap().contains("not in ms"));
    }

    #[test]
    fn the_bed_can_be_left_out() {
        let names = names_for_short();
        assert!(names.contains(&"add-30") && !names.contains(&"thirty-pods"), "{names:?}");
    }
}
