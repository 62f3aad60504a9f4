//! kuryr.conf: files, environment and command line become plain values for the inner crates.
//!
//! ```text
//! sources (which files) ─► ini (their lines) ─► Conf ─► kinds (types) ─► controller, daemon, cloud, cluster: Config structs
//!                                                ▲ options (the table), interpolation ($name)
//! ```
//!
//! Precedence, as in oslo.config: command line, environment (`OS_GROUP__OPTION`), files (the last one wins), default.
//! What nobody knows is told and passed over: a file that served kuryr-kubernetes must serve here.

pub(crate) mod cloud;
pub(crate) mod cluster;
pub(crate) mod controller;
pub(crate) mod daemon;
mod explain;
mod findings;
mod ini;
mod interpolation;
mod kinds;
mod leadership;
pub(crate) mod names;
pub(crate) mod options;
pub(crate) mod reference;
pub(crate) mod sources;
mod start;

pub(crate) use findings::secrets_on_a_node;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use interpolation::InterpolationError;
use kinds::Value;
use options::{Definition, Reader, Rule};
use sources::Sources;

/// Where a value was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a file.
    File(Arc<Path>, usize),
    /// By an environment variable.
    Environment(String),
    /// On the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfError {
    /// A file cannot be read.
    // No field is called `source`: the message has it already, and who prints the chain would say it twice.
    #[error("the configuration file {} cannot be read: {why}; check its path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// A file is not text.
    #[error("the configuration file {} is {what}; write it as UTF-8 (iconv -f {from} -t UTF-8)", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: &'static str,
        /// The same, as iconv calls it.
        from: &'static str,
    },
    /// A file is not in the format.
    #[error("{}: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What and where.
        why: ini::ParseError,
    },
    /// A value that is not allowed.
    #[error("{place}: {title} = {shown}: {trouble}")]
    Value {
        /// Where it was said.
        place: String,
        /// Group and name.
        title: String,
        /// The value, unless it is a secret.
        shown: String,
        /// What is wrong, with what would be right.
        trouble: String,
    },
    /// A value that must be said and is not.
    #[error("{title} is not set; {cure}")]
    Missing {
        /// Group and name.
        title: String,
        /// What to do.
        cure: String,
    },
    /// Something the values refer to is not usable.
    #[error("{0}")]
    Unusable(String),
    /// The values say to look around, and what they mean is not here.
    #[error("{0}")]
    NotHere(String),
}

impl ConfError {
    /// Whether the file may be right and only this machine is not the one it is for: nobody wrote what is missing.
    pub(crate) fn is_of_this_machine(&self) -> bool {
        matches!(self, ConfError::NotHere(_)) || matches!(self, ConfError::Value { place, .. } if place == DEFAULT)
    }
}

/// Place of a value that nobody said.
const DEFAULT: &str = "default";

/// The configuration of one program.
#[derive(Debug)]
pub(crate) struct Conf {
    program: Reader,
    /// By normal section name and key; options of the table under their present names.
    said: BTreeMap<(String, String), Said>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug)]
struct Said {
    value: String,
    origin: Origin,
    /// Said under a former name, which the present name in the same file overrides.
    former: bool,
}

impl Conf {
    /// Reads all sources.
    ///
    /// # Errors
    /// A file that cannot be read or is not in the format. Values are checked by [`Conf::check`].
    pub(crate) fn read(program: Reader, sources: &Sources) -> Result<Conf, ConfError> {
        let mut conf = Conf { program, said: BTreeMap::new(), warnings: Vec::new() };
        for path in &sources.files {
            let bytes = std::fs::read(path).map_err(|why| ConfError::Unreadable { path: path.clone(), why })?;
            let text = text_of(path, bytes)?;
            conf.add_file(path, &text)?;
        }
        for (name, value) in &sources.variables {
            conf.add_variable(name, value);
        }
        for (option, value) in &sources.flags {
            conf.say(option.group, option.name, value.clone(), Origin::CommandLine, false);
        }
        let found = findings::all(&conf);
        conf.warnings.extend(found);
        Ok(conf)
    }

    /// Reads texts as if they were files of these names, in their order. Neither environment nor command line is asked.
    ///
    /// # Errors
    /// A text that is not in the format.
    pub(crate) fn of(program: Reader, texts: &[(&str, String)]) -> Result<Conf, ConfError> {
        let mut conf = Conf { program, said: BTreeMap::new(), warnings: Vec::new() };
        for (name, text) in texts {
            conf.add_file(Path::new(name), text)?;
        }
        let found = findings::all(&conf);
        conf.warnings.extend(found);
        Ok(conf)
    }

    /// The same with these variables of an environment, which win.
    pub(crate) fn with(mut self, variables: &[(String, String)]) -> Conf {
        for (name, value) in variables {
            self.add_variable(name, value);
        }
        self
    }

    fn add_file(&mut self, path: &Path, text: &str) -> Result<(), ConfError> {
        let format = |why| ConfError::Format { path: path.to_owned(), why };
        let shared: Arc<Path> = path.into();
        let mut here: BTreeMap<(String, String), Said> = BTreeMap::new();
        for assignment in ini::parse(text).map_err(format)? {
            let group = options::normal(&assignment.section);
            let origin = Origin::File(shared.clone(), assignment.line);
            let (name, former) = match options::find(&group, &assignment.key) {
                Some((option, former)) => (option.name.to_owned(), former),
                None => (assignment.key.clone(), false),
            };
            if former {
                self.warnings.push(format!("{origin}: [{group}] {} is now called {name}", assignment.key));
            }
            let key = (group, name);
            if former && here.get(&key).is_some_and(|said| !said.former) {
                continue;
            }
            here.insert(key, Said { value: assignment.value, origin, former });
        }
        self.said.append(&mut here);
        Ok(())
    }

    fn add_variable(&mut self, variable: &str, value: &str) {
        if let Some(option) = options::all().find(|option| option.variable() == variable) {
            let origin = Origin::Environment(variable.to_owned());
            self.say(option.group, option.name, value.to_owned(), origin, false);
        } else if let Some(warning) = findings::unknown_variable(variable) {
            self.warnings.push(warning);
        }
    }

    fn say(&mut self, group: &str, name: &str, value: String, origin: Origin, former: bool) {
        self.said.insert((group.to_owned(), name.to_owned()), Said { value, origin, former });
    }

    /// What the operator should know: misspelt, former, gone and not yet supported options.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Checks everything that was said, so that all mistakes are told at once.
    pub(crate) fn check(&self) -> Vec<ConfError> {
        let read_here = |option: &&Definition| option.read_by(self.program);
        let checked = |option: &&Definition| !matches!(option.rule, Rule::Ignored(_) | Rule::Gone(_));
        options::all().filter(read_here).filter(checked).filter_map(|option| self.value(option).err()).collect()
    }

    /// Whether somebody said a value for this option.
    pub(crate) fn is_said(&self, option: &Definition) -> bool {
        self.find(option).is_some()
    }

    fn find(&self, option: &Definition) -> Option<&Said> {
        self.said.get(&(option.group.to_owned(), option.name.to_owned()))
    }

    /// What was said for an option in any section, the references in it replaced.
    fn completed(&self, group: &str, name: &str, open: &mut Vec<String>) -> Result<String, InterpolationError> {
        let title = format!("{group}.{name}");
        if open.contains(&title) {
            return Err(InterpolationError::Circle(title));
        }
        let raw = match self.said.get(&(group.to_owned(), name.to_owned())) {
            Some(said) => said.value.as_str(),
            None => match options::find(group, name) {
                Some((option, _)) => option.default.unwrap_or_default(),
                None => return Err(InterpolationError::Unknown(title)),
            },
        };
        open.push(title);
        let done = interpolation::complete(raw, &mut |other, name| match other {
            Some(other) => self.completed(&options::normal(other), name, open),
            None => match self.completed(group, name, open) {
                Err(InterpolationError::Unknown(_)) => {
                    self.completed("DEFAULT", name, open).map_err(|error| match error {
                        InterpolationError::Unknown(_) => InterpolationError::Unknown(name.to_owned()),
                        other => other,
                    })
                }
                done => done,
            },
        });
        open.pop();
        // What follows a dollar in a secret is a piece of the secret.
        if options::is_secret(group, name) { done.map_err(|_| InterpolationError::InSecret) } else { done }
    }

    /// The value of an option as text. `None`: nothing was said and there is no default.
    fn raw(&self, option: &Definition) -> Result<Option<String>, ConfError> {
        let Some(said) = self.find(option) else { return Ok(option.default.map(str::to_owned)) };
        let done = self.completed(option.group, option.name, &mut Vec::new());
        done.map(Some).map_err(|error| self.refuse(option, &said.value, &error.to_string()))
    }

    /// The value of an option.
    fn value(&self, option: &Definition) -> Result<Option<Value>, ConfError> {
        let Some(raw) = self.raw(option)? else { return Ok(None) };
        let value = option.kind.read(&raw).map_err(|allowed| self.refuse(option, &raw, &format!("write {allowed}")))?;
        if let (Rule::Only(supported, missing), Some(value)) = (option.rule, &value) {
            let words: &[String] = match value {
                Value::Text(word) => std::slice::from_ref(word),
                Value::List(words) => words,
                _ => &[],
            };
            if let Some(word) = words.iter().find(|word| !supported.contains(&word.as_str())) {
                let trouble =
                    format!("{word} needs {missing}, not in this version yet; supported: {}", supported.join(", "));
                return Err(self.refuse(option, &raw, &trouble));
            }
        }
        Ok(value)
    }

    /// An error about the value of an option.
    pub(crate) fn refuse(&self, option: &Definition, value: &str, trouble: &str) -> ConfError {
        let said = self.find(option);
        // A value with a reference is shown as it was written: what it became may have a password in it.
        let written = said.map(|said| said.value.as_str()).filter(|written| written.contains('$'));
        ConfError::Value {
            place: said.map_or_else(|| DEFAULT.to_owned(), |said| said.origin.to_string()),
            title: option.title(),
            shown: if option.is_secret() { "(secret)".to_owned() } else { format!("{:?}", written.unwrap_or(value)) },
            trouble: trouble.to_owned(),
        }
    }

    /// A text; an empty one is one.
    pub(crate) fn text(&self, option: &Definition) -> Result<Option<String>, ConfError> {
        match self.value(option)? {
            Some(Value::Text(text)) => Ok(Some(text)),
            None => Ok(None),
            Some(_) => Err(mismatch(option)),
        }
    }

    /// A text that is not empty.
    pub(crate) fn some_text(&self, option: &Definition) -> Result<Option<String>, ConfError> {
        Ok(self.text(option)?.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// A yes or no; no if nothing is said.
    pub(crate) fn flag(&self, option: &Definition) -> Result<bool, ConfError> {
        match self.value(option)? {
            Some(Value::Flag(flag)) => Ok(flag),
            None => Ok(false),
            Some(_) => Err(mismatch(option)),
        }
    }

    /// A whole number that fits `T`; the default if the value is empty.
    pub(crate) fn whole<T: TryFrom<i64>>(&self, option: &Definition) -> Result<T, ConfError> {
        let value = match self.value(option)? {
            None => option.default.and_then(|default| option.kind.read(default).ok()).flatten(),
            said => said,
        };
        let Some(Value::Whole(number)) = value else { return Err(mismatch(option)) };
        T::try_from(number).map_err(|_| self.refuse(option, &number.to_string(), "write a smaller number"))
    }

    /// A time in seconds, above 0.
    pub(crate) fn seconds(&self, option: &Definition) -> Result<Duration, ConfError> {
        let value = match self.value(option)? {
            None => option.default.and_then(|default| option.kind.read(default).ok()).flatten(),
            said => said,
        };
        let refuse = |shown: String| self.refuse(option, &shown, "write a number of seconds above 0");
        match value {
            Some(Value::Number(seconds)) if seconds > 0.0 => {
                Duration::try_from_secs_f64(seconds).map_err(|_| refuse(seconds.to_string()))
            }
            Some(Value::Number(seconds)) => Err(refuse(seconds.to_string())),
            Some(Value::Whole(seconds)) => match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
                _ => Err(refuse(seconds.to_string())),
            },
            _ => Err(mismatch(option)),
        }
    }

    /// A list; empty if nothing is said.
    pub(crate) fn list(&self, option: &Definition) -> Result<Vec<String>, ConfError> {
        match self.value(option)? {
            Some(Value::List(list)) => Ok(list),
            None => Ok(Vec::new()),
            Some(_) => Err(mismatch(option)),
        }
    }
}

/// The text of a file. Editors of other systems write UTF-16.
fn text_of(path: &Path, bytes: Vec<u8>) -> Result<String, ConfError> {
    let (what, from) = match bytes.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("in UTF-16", "UTF-16"),
        [_, 0, ..] => ("in UTF-16", "UTF-16LE"),
        [0, ..] => ("in UTF-16", "UTF-16BE"),
        _ => ("not in UTF-8", "LATIN1"),
    };
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or_else(|| ConfError::NotText {
        path: path.to_owned(),
        what,
        from,
    })
}

/// The table and the code disagree about a type; tests read every option that is used.
fn mismatch(option: &Definition) -> ConfError {
    ConfError::Unusable(format!(
        "{} is not of the type it is read as; this is a bug of Kuryr, please report it",
        option.title()
    ))
}

#[cfg(test)]
mod tests;
