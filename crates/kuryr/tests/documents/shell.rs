//! A shell script as the commands in it: enough of the grammar for what documents tell people to type.

/// The words of one line.
pub(crate) fn words(line: &str) -> Vec<String> {
    commands(line).into_iter().next().unwrap_or_default()
}

/// Every simple command, as words without quotes. What is redirected, commented or a here-document is left out.
pub(crate) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut reader = Reader { rest: script, found: Vec::new(), command: Vec::new(), ends: Vec::new() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.end_command();
    reader.found
}

struct Reader<'a> {
    rest: &'a str,
    found: Vec<Vec<String>>,
    command: Vec<String>,
    /// Words that end here-documents which begin behind this line.
    ends: Vec<String>,
}

impl Reader<'_> {
    fn step(&mut self) {
        let first = self.rest.chars().next().unwrap_or_default();
        match first {
            '\n' => {
                self.rest = &self.rest[1..];
                self.end_command();
                self.skip_here_documents();
            }
            '#' => self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]),
            ';' | '&' | '|' | '(' | ')' => {
                self.rest = &self.rest[1..];
                self.end_command();
            }
            '<' | '>' => {
                let here = self.rest.starts_with("<<");
                self.rest = self.rest.trim_start_matches(['<', '>', '&', ' ']);
                let word = self.word();
                if here {
                    self.ends.push(word);
                }
            }
            '\\' if self.rest.starts_with("\\\n") => self.rest = &self.rest[2..],
            c if c.is_whitespace() => self.rest = &self.rest[c.len_utf8()..],
            _ => {
                let word = self.word();
                // What belongs to the grammar is no command.
                let is_grammar = self.command.is_empty() && matches!(word.as_str(), "{" | "}" | "!");
                if !is_grammar {
                    self.command.push(word);
                }
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        let mut quote = None;
        let mut characters = self.rest.char_indices();
        let end = loop {
            let Some((place, c)) = characters.next() else { break self.rest.len() };
            match (quote, c) {
                (None, '\'' | '"') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (None | Some('"'), '\\') => word.extend(characters.next().map(|(_, c)| c)),
                (None, c) if c.is_whitespace() || ";&|()<>".contains(c) => break place,
                (_, c) => word.push(c),
            }
        };
        self.rest = &self.rest[end..];
        word
    }

    fn end_command(&mut self) {
        if !self.command.is_empty() {
            self.found.push(std::mem::take(&mut self.command));
        }
    }

    fn skip_here_documents(&mut self) {
        for end in std::mem::take(&mut self.ends) {
            while !self.rest.is_empty() {
                let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
                self.rest = rest;
                if line == end {
                    break;
                }
            }
        }
    }
}

#[test]
fn commands_are_found() {
    let script = "cat >a.yaml <<'END'\nkuryr nothing\nEND\nkuryr a --b \\\n  'c d' | kubectl e -f -   # f\n# g\nh || { i \"j;k\"; }\nl 2>/dev/null";
    let expected: [&[&str]; 6] =
        [&["cat"], &["kuryr", "a", "--b", "c d"], &["kubectl", "e", "-f", "-"], &["h"], &["i", "j;k"], &["l", "2"]];
    assert_eq!(commands(script), expected);
    assert_eq!(words("kuryr status"), ["kuryr", "status"]);
    assert!(words("").is_empty());
}
