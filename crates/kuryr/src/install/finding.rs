//! What was found out before anything is changed.

use std::fmt;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    level: Level,
    what: String,
    /// What to do; empty where all is well.
    cure: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Fine,
    Warning,
    Missing,
}

impl Finding {
    /// As it should be.
    pub(crate) fn fine(what: impl Into<String>) -> Finding {
        Finding { level: Level::Fine, what: what.into(), cure: String::new() }
    }

    /// It can work, and somebody should look.
    pub(crate) fn warning(what: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { level: Level::Warning, what: what.into(), cure: cure.into() }
    }

    /// It cannot work.
    pub(crate) fn missing(what: impl Into<String>, cure: impl Into<String>) -> Finding {
        Finding { level: Level::Missing, what: what.into(), cure: cure.into() }
    }

    /// Whether it cannot work.
    pub(crate) fn is_missing(&self) -> bool {
        self.level == Level::Missing
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.level {
            Level::Fine => "ok",
            Level::Warning => "warning",
            Level::Missing => "MISSING",
        };
        write!(f, "  {word:<9} {}", self.what)?;
        if !self.cure.is_empty() {
            write!(f, "\n            what to do: {}", self.cure)?;
        }
        Ok(())
    }
}
