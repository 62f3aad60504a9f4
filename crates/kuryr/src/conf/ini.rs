//! The file format of oslo.config, rule for rule, with the place of everything that was said.
//!
//! - `key = value` or `key: value`: whichever sign comes first divides.
//! - Comments are whole lines that begin with `#` or `;`; a `#` inside a value belongs to the value.
//! - A line that begins with a blank or a tab continues the value above it; an empty line or a comment ends a value.
//! - One pair of equal quotes around the value's first line is taken off.
//! - A key that is repeated has several values, in order.
//!
//! Source: oslo.config's manual, "Configuration files", and the behaviour of its `iniparser`.

/// One assignment of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Section as it was written.
    pub(crate) section: String,
    /// Key as it was written.
    pub(crate) key: String,
    /// Value; continuation lines are joined by line feeds.
    pub(crate) value: String,
    /// Line of the key, from 1.
    pub(crate) line: usize,
}

/// A line that is not in the format. The line itself is not shown: it may be the rest of a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {trouble}; {cure}")]
pub(crate) struct ParseError {
    /// From 1.
    pub(crate) line: usize,
    trouble: &'static str,
    cure: &'static str,
}

/// Reads a whole file.
///
/// # Errors
/// The first line that is not in the format.
pub(crate) fn parse(text: &str) -> Result<Vec<Assignment>, ParseError> {
    let mut parser = Parser::default();
    // Editors on other systems put a byte order mark first; it is no part of the first line.
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        parser.line(index + 1, line.trim_end())?;
    }
    parser.finish();
    Ok(parser.done)
}

#[derive(Default)]
struct Parser {
    section: Option<String>,
    open: Option<Assignment>,
    done: Vec<Assignment>,
}

impl Parser {
    fn line(&mut self, number: usize, line: &str) -> Result<(), ParseError> {
        let refuse = |trouble, cure| Err(ParseError { line: number, trouble, cure });
        if line.is_empty() {
            self.finish();
            return Ok(());
        }
        if line.starts_with([' ', '\t']) {
            let Some(open) = &mut self.open else {
                return refuse("this line continues nothing", "remove the blanks at its start");
            };
            open.value.push('\n');
            open.value.push_str(line.trim_start());
            return Ok(());
        }
        self.finish();
        if line.starts_with(['#', ';']) {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix('[') {
            return match rest.strip_suffix(']') {
                None => refuse("this section does not end with ]", "write [name] alone on its line"),
                Some("") => refuse("this section has no name", "write [name]"),
                Some(name) => {
                    self.section = Some(name.to_owned());
                    Ok(())
                }
            };
        }
        let Some(sign) = line.find(['=', ':']) else {
            return refuse("there is neither = nor :", "write `key = value`, or # first if it is a comment");
        };
        let (key, value) = (line[..sign].trim(), line[sign + 1..].trim());
        if key.is_empty() {
            return refuse("the key is empty", "write `key = value`");
        }
        let Some(section) = &self.section else {
            return refuse("there is no section yet", "put [DEFAULT] or the option's section above it");
        };
        self.open = Some(Assignment {
            section: section.clone(),
            key: key.to_owned(),
            value: unquoted(value).to_owned(),
            line: number,
        });
        Ok(())
    }

    fn finish(&mut self) {
        self.done.extend(self.open.take());
    }
}

/// The value without one pair of quotes around it. A single quote sign alone counts as a pair, as it does in oslo.config.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        if value.len() == 1 && value.starts_with(quote) {
            return "";
        }
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pair = |a: Assignment| (format!("{}.{}", a.section, a.key), a.value);
        parse(text).unwrap().into_iter().map(pair).collect()
    }

    #[track_caller]
    fn reads(lines: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| (format!("s.{k}"), (*v).to_owned())).collect();
        assert_eq!(pairs(&format!("[s]\n{lines}")), expected);
    }

    #[track_caller]
    fn refuses(text: &str, line: usize, trouble: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line, line, "{error}");
        assert!(error.to_string().contains(trouble), "{error}");
    }

    // What oslo.config's own tests of its parser check.

    #[test]
    fn oslo_a_line_needs_a_sign() {
        refuses("[s]\nfoo - bar", 2, "neither = nor :");
    }

    #[test]
    fn oslo_a_key_is_not_empty() {
        refuses("[s]\n: bar", 2, "the key is empty");
    }

    #[test]
    fn oslo_a_continuation_needs_something_to_continue() {
        refuses("   baz", 1, "continues nothing");
        refuses("[s]\nfoo = bar0\n\n  bar1", 4, "continues nothing");
    }

    #[test]
    fn oslo_sections_are_whole_and_named() {
        refuses("[section", 1, "does not end with ]");
        refuses("[]", 1, "has no name");
    }

    #[test]
    fn oslo_values() {
        reads("", &[]);
        reads("foo = bar", &[("foo", "bar")]);
        reads("foo: bar", &[("foo", "bar")]);
        reads("foo = bar0\n  bar1", &[("foo", "bar0\nbar1")]);
        reads("# foobar", &[]);
        reads("foo = ", &[("foo", "")]);
        reads("foo = ' bar '", &[("foo", " bar ")]);
        reads("foo = \" bar \"", &[("foo", " bar ")]);
    }

    // What else its behaviour is.

    #[test]
    fn the_first_sign_divides() {
        reads("a = http://x:1\nb: c=d\ne=f:g", &[("a", "http://x:1"), ("b", "c=d"), ("e", "f:g")]);
    }

    #[test]
    fn there_are_no_comments_behind_values() {
        reads("max = 4096  # text\nsecret = a#s\\n;x", &[("max", "4096  # text"), ("secret", "a#s\\n;x")]);
    }

    #[test]
    fn a_comment_ends_a_value() {
        refuses("[s]\nfoo = a\n# why\n  b", 4, "continues nothing");
    }

    #[test]
    fn only_one_pair_of_equal_quotes_goes() {
        reads("a = \"\"\nb = \"'x'\"\nc = \"x'\nd = '", &[("a", ""), ("b", "'x'"), ("c", "\"x'"), ("d", "")]);
    }

    #[test]
    fn quotes_are_looked_for_in_the_first_line_only() {
        reads("a = \"x\n  y\"", &[("a", "\"x\ny\"")]);
    }

    #[test]
    fn repeated_keys_are_kept_in_order_with_their_lines() {
        let all = parse("[a]\nx=1\n[b]\nx=2\n[a]\r\nx=3\r\n").unwrap();
        let told: Vec<_> = all.iter().map(|a| (a.section.as_str(), a.value.as_str(), a.line)).collect();
        assert_eq!(told, [("a", "1", 2), ("b", "2", 4), ("a", "3", 6)]);
    }

    #[test]
    fn nothing_comes_before_the_first_section() {
        refuses("debug = true", 1, "no section yet");
    }

    #[test]
    fn errors_show_nothing_of_the_line() {
        for text in ["password = hunter2", "[s]\npassword = a\nhunter2", "[s]\n\n  hunter2==", "[s]\n[hunter2"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("line ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(pairs("\u{feff}[a]\nx=1"), [("a.x".to_owned(), "1".to_owned())]);
    }
}
