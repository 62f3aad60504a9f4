//! What a check says: what was looked at, how it is, and the cure.

use serde::Serialize;

use crate::screen::{Screen, Tone};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// As it should be.
    Good,
    /// Not looked at, and why.
    Skipped,
    /// It works now; something is near its limit, or missing for what comes.
    Warning,
    /// Pods will not get their network.
    Error,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// What was looked at; stable, for programs.
    pub(crate) check: &'static str,
    pub(crate) severity: Severity,
    pub(crate) what: String,
    /// What to do: commands to copy where there are any.
    pub(crate) cure: Option<String>,
}

impl Finding {
    pub(crate) fn good(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { check, severity: Severity::Good, what: what.into(), cure: None }
    }

    pub(crate) fn skipped(check: &'static str, what: impl Into<String>) -> Finding {
        Finding { severity: Severity::Skipped, ..Finding::good(check, what) }
    }

    pub(crate) fn warning(check: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { check, severity: Severity::Warning, what: what.into(), cure: Some(cure.into()) }
    }

    pub(crate) fn error(check: &'static str, what: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { severity: Severity::Error, ..Finding::warning(check, what, cure) }
    }
}

/// The findings on a screen, in the order they were looked at, and the sum. Pure.
pub(crate) fn page(findings: &[Finding], screen: Screen) -> String {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let sum = format!("{errors} to mend, {warnings} to know, {} in order\n", count(Severity::Good));
    let tone = if errors > 0 { Tone::Bad } else { Tone::Good };
    lines(findings, screen) + &screen.paint(tone, &sum)
}

/// The same without the sum. Pure.
pub(crate) fn lines(findings: &[Finding], screen: Screen) -> String {
    let mut page = String::new();
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Good => ("ok", Tone::Good),
            Severity::Skipped => ("skip", Tone::Quiet),
            Severity::Warning => ("warn", Tone::Careful),
            Severity::Error => ("FAIL", Tone::Bad),
        };
        // Padded before it is painted, so that colours do not count as columns.
        let head = format!("{} {:<15} ", screen.paint(tone, &format!("{word:<5}")), finding.check);
        screen.wrap(&mut page, 22, &head, &finding.what);
        if let Some(cure) = &finding.cure {
            screen.wrap(&mut page, 24, "→ ", cure);
        }
    }
    page
}
