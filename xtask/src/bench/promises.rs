//! The promises that are figures: SPECIFICATION.md has them in words, this table for the machine.

use anyhow::{Context as _, Result, bail};

use super::programs::{ADD, BED, FRESH, PLUG, Program, SCALE, START};

/// One promise.
pub(crate) struct Promise {
    /// Its name: on the command line, in SPECIFICATION.md and in what the program prints.
    pub(crate) name: &'static str,
    /// What is promised.
    pub(crate) about: &'static str,
    /// The bound.
    pub(crate) target: Target,
    /// What it is counted in; `×` is a ratio to the same work done by somebody else in the same run.
    pub(crate) unit: &'static str,
    /// Who measures it.
    pub(crate) program: &'static Program,
}

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Less than this.
    Below(f64),
}

use Target::{AtLeast, AtMost, Below};

/// All of them.
pub(crate) const PROMISES: &[Promise] = &[
    promise("plugin-start", "kuryr-cni, spawn to exit, against /bin/true", AtMost(1.3), "×", &START),
    promise("plugin-start-bridge", "kuryr-cni's process against the bridge plugin's", Below(1.0), "×", &START),
    promise("add-bare", "ADD in the daemon against the same operations bare", AtMost(1.3), "×", &PLUG),
    promise("add-1", "one ADD, median, against the bridge plugin", AtMost(2.0), "×", &ADD),
    promise("add-10", "10 ADDs at once, median, against the bridge plugin", AtMost(2.0), "×", &ADD),
    promise("add-30", "30 ADDs at once, median, against the bridge plugin", AtMost(2.0), "×", &ADD),
    promise("daemon-memory", "memory of the daemon at 110 pods", AtMost(15.0), "MiB", &ADD),
    promise("controller-latency", "pod scheduled to KuryrPort written, p99 at 5,000 pods", AtMost(20.0), "ms", &SCALE),
    promise("controller-memory", "memory of the controller at 5,000 pods", AtMost(100.0), "MiB", &SCALE),
    promise("controller-throughput", "ports made, against a bare client, 300 ms each", AtLeast(0.95), "×", &SCALE),
    promise("controller-calls", "changing calls to the cloud in a pod's life", AtMost(2.0), "calls", &SCALE),
    promise("controller-restart", "restart with 10,000 pods until caches are warm", AtMost(5.0), "s", &SCALE),
    promise("controller-restart-writes", "changing calls to the cloud by a restart", AtMost(0.0), "calls", &SCALE),
    promise("services-latency", "endpoint to member applied, p99, against Octavia's step", AtMost(1.2), "×", &SCALE),
    promise("services-restart", "restart with 500 Services until all is steady", AtMost(5.0), "s", &SCALE),
    promise("services-restart-writes", "changing calls for Services by a restart", AtMost(0.0), "calls", &SCALE),
    promise("neutron-throughput", "ports made in a real Neutron, against a bare client", AtLeast(0.95), "×", &BED),
    promise("thirty-pods", "30 pods Running, against bare ports and the bridge plugin", AtMost(1.2), "×", &BED),
    promise("lab-cold", "from git clone to answered pings, nothing cached", AtMost(360.0), "s", &FRESH),
    promise("lab-warm", "the lab, once built", AtMost(30.0), "s", &FRESH),
];

const fn promise(
    name: &'static str,
    about: &'static str,
    target: Target,
    unit: &'static str,
    program: &'static Program,
) -> Promise {
    Promise { name, about, target, unit, program }
}

/// The promises of these names; all of them if none is named.
///
/// # Errors
/// When there is no such promise.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<&'static Promise>> {
    for name in names {
        if !is_promise(name) {
            let known: Vec<_> = PROMISES.iter().map(|promise| promise.name).collect();
            bail!("there is no promise {name}; there are {}", known.join(", "));
        }
    }
    Ok(PROMISES.iter().filter(|promise| names.is_empty() || names.iter().any(|name| name == promise.name)).collect())
}

/// Whether a promise has this name.
pub(crate) fn is_promise(name: &str) -> bool {
    PROMISES.iter().any(|promise| promise.name == name)
}

impl Target {
    /// Whether a figure keeps to it.
    pub(crate) fn is_kept(self, value: f64) -> bool {
        match self {
            AtMost(bound) => value <= bound,
            AtLeast(bound) => value >= bound,
            Below(bound) => value < bound,
        }
    }

    /// As the table shows it.
    pub(crate) fn show(self, unit: &str) -> String {
        match self {
            AtMost(bound) => format!("≤ {bound} {unit}"),
            AtLeast(bound) => format!("≥ {bound} {unit}"),
            Below(bound) => format!("< {bound} {unit}"),
        }
    }
}

/// What a program measured: a line `measured NAME VALUE UNIT [WORDS…]` of its stdout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    /// The promise.
    pub(crate) name: String,
    /// As printed and judged: what is shown as 1.30 is 1.3.
    pub(crate) value: f64,
    /// The value as the program wrote it.
    pub(crate) text: String,
    /// How it came about.
    pub(crate) words: String,
}

impl Figure {
    /// Reads a line; `None` if it is none of these.
    ///
    /// # Errors
    /// When it is one and says what this program has not promised, or not in the unit of the promise.
    pub(crate) fn read(line: &str, program: &Program) -> Result<Option<Figure>> {
        let Some(rest) = line.strip_prefix("measured ") else { return Ok(None) };
        let mut parts = rest.splitn(4, ' ');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let (Some(name), Some(text), Some(unit)) = (next(), next(), next()) else {
            bail!("`{line}` is not `measured NAME VALUE UNIT [WORDS…]`");
        };
        let promise = PROMISES.iter().find(|promise| promise.name == name && promise.program.name == program.name);
        let promise =
            promise.with_context(|| format!("`{line}`: {name} is no promise that {} measures", program.name))?;
        if unit != promise.unit {
            bail!("`{line}`: {name} is promised in {}, not in {unit}", promise.unit);
        }
        let value = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0);
        let value = value.with_context(|| format!("`{line}`: {text} is no number"))?;
        let words = next().unwrap_or_default().trim().to_owned();
        Ok(Some(Figure { name: name.to_owned(), value, text: text.to_owned(), words }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_there_once() {
        let mut names: Vec<_> = PROMISES.iter().map(|promise| promise.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PROMISES.len());
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        assert_eq!(chosen(&[]).unwrap().len(), PROMISES.len());
        assert_eq!(chosen(&["add-10".to_owned()]).unwrap()[0].name, "add-10");
        let error = chosen(&["add-2".to_owned()]).err().unwrap().to_string();
        assert!(error.starts_with("there is no promise add-2; there are plugin-start, "), "{error}");
    }

    #[test]
    fn bounds_belong_to_what_is_kept_except_below() {
        assert!(AtMost(1.3).is_kept(1.3) && !AtMost(1.3).is_kept(1.31));
        assert!(AtLeast(0.95).is_kept(0.95) && !AtLeast(0.95).is_kept(0.94));
        assert!(Below(1.0).is_kept(0.99) && !Below(1.0).is_kept(1.0));
        assert_eq!((AtMost(15.0).show("MiB"), AtLeast(0.95).show("×")), ("≤ 15 MiB".to_owned(), "≥ 0.95 ×".to_owned()));
    }

    #[test]
    fn a_figure_is_a_line_of_its_own() {
        let figure =
            Figure::read("measured add-bare 1.12 × 1.31 ms against 1.17 ms, 100 pods", &PLUG).unwrap().unwrap();
        assert_eq!((figure.value, figure.text.as_str()), (1.12, "1.12"));
        assert_eq!(figure.words, "1.31 ms against 1.17 ms, 100 pods");
        assert_eq!(Figure::read("  measured add-bare 1 ×", &PLUG).unwrap(), None);
        assert_eq!(Figure::read("measured add-bare 1 ×", &PLUG).unwrap().unwrap().words, "");
    }

    #[test]
    fn what_was_not_promised_is_an_error() {
        for (line, why) in [
            ("measured add-bare 1.12", "is not `measured"),
            ("measured add-bare fast ×", "is no number"),
            ("measured add-bare NaN ×", "is no number"),
            ("measured add-bare 1.1 ms", "in ×, not in ms"),
            ("measured add-1 1.1 ×", "no promise that plug measures"),
            ("measured add-2 1.1 ×", "no promise that plug measures"),
        ] {
            let error = Figure::read(line, &PLUG).unwrap_err().to_string();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
