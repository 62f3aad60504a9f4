//! Text for a person's terminal: as wide as it is, in colours only where they show.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use jiff::{SignedDuration, Timestamp};

/// Width where there is no terminal to ask.
const USUAL_WIDTH: usize = 100;

/// What the terminal can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Screen {
    /// Columns.
    pub(crate) width: usize,
    /// Whether colours show.
    pub(crate) colours: bool,
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Bad,
    Careful,
    Quiet,
}

impl Screen {
    /// That of standard output.
    pub(crate) fn of_stdout() -> Screen {
        let terminal = std::io::stdout().is_terminal();
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let width = comfy_table::Table::new().width().filter(|_| terminal).map_or(USUAL_WIDTH, usize::from);
        Screen { width: width.max(40), colours: terminal && !plain }
    }

    /// The text in a tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Bad => 31,
            Tone::Careful => 33,
            Tone::Quiet => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Words in lines no wider than the screen, each behind `indent` blanks; a word that is wider stays whole, because it
    /// is there to be copied.
    pub(crate) fn wrap(self, page: &mut String, indent: usize, first: &str, text: &str) {
        let blank = " ".repeat(indent);
        let mut line = format!("{}{first}", " ".repeat(indent.saturating_sub(first.chars().count())));
        let mut fresh = true;
        for word in text.split_whitespace() {
            let wide = line.chars().count() + usize::from(!fresh) + word.chars().count();
            if !fresh && wide > self.width {
                let _ = writeln!(page, "{line}");
                line.clone_from(&blank);
                fresh = true;
            }
            if !fresh {
                line.push(' ');
            }
            line.push_str(word);
            fresh = false;
        }
        let _ = writeln!(page, "{}", line.trim_end());
    }
}

/// How long ago, in one or two units.
pub(crate) fn ago(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(since).max(SignedDuration::ZERO).as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_no_wider_than_the_screen_and_commands_stay_whole() {
        let screen = Screen { width: 40, colours: false };
        let mut page = String::new();
        screen.wrap(&mut page, 4, "- ", "the quick brown fox jumps over the lazy dog again and again");
        assert_eq!(page, "  - the quick brown fox jumps over the\n    lazy dog again and again\n");
        let long = "x".repeat(60);
        page.clear();
        screen.wrap(&mut page, 2, "", &format!("a {long} b"));
        assert_eq!(page, format!("  a\n  {long}\n  b\n"));
    }

    #[test]
    fn colours_only_where_they_show() {
        let plain = Screen { width: 80, colours: false };
        assert_eq!(plain.paint(Tone::Bad, "x"), "x");
        assert_eq!(Screen { colours: true, ..plain }.paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }

    #[test]
    fn times_are_told_in_one_unit() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let before = |seconds: i64| Timestamp::from_second(1_000_000 - seconds).unwrap();
        for (seconds, told) in [(5, "5 s"), (125, "2 min"), (7300, "2 h"), (200_000, "2 days"), (-5, "0 s")] {
            assert_eq!(ago(before(seconds), now), told);
        }
    }
}
