//! The CNI variables of the environment (specification, section "Parameters").

use std::env;
use std::ffi::OsString;

use crate::failure::{Failure, code};

/// `CNI_COMMAND`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Add a container to the network.
    Add,
    /// Remove a container from the network.
    Del,
    /// Check that a container's networking is as expected.
    Check,
    /// Release what belongs to containers that are no more.
    Gc,
    /// Is the plugin ready for ADD?
    Status,
    /// Which versions of the specification are supported?
    Version,
}

impl Command {
    /// As the specification spells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Check => "CHECK",
            Self::Gc => "GC",
            Self::Status => "STATUS",
            Self::Version => "VERSION",
        }
    }
}

/// What `CNI_COMMAND` asks; `None` if it is not set, as when a person runs the plugin.
pub(crate) fn command() -> Result<Option<Command>, Failure> {
    use Command::{Add, Check, Del, Gc, Status, Version};
    let name = variable("CNI_COMMAND")?;
    if name.is_empty() {
        return Ok(None);
    }
    match [Add, Del, Check, Gc, Status, Version].into_iter().find(|command| command.name() == name) {
        Some(command) => Ok(Some(command)),
        None => Err(Failure::new(
            code::ENVIRONMENT,
            format!("unknown CNI_COMMAND {name:?}: ADD, DEL, CHECK, GC, STATUS and VERSION are known"),
        )),
    }
}

/// The variables that describe one attachment; empty where a command needs none.
pub(crate) struct Environment {
    /// `CNI_COMMAND`.
    pub(crate) command: Command,
    /// `CNI_CONTAINERID`.
    pub(crate) container_id: String,
    /// `CNI_NETNS`: path of the network namespace; may be empty for DEL.
    pub(crate) netns: String,
    /// `CNI_IFNAME`.
    pub(crate) ifname: String,
    /// `CNI_ARGS`: `KEY=value;…`.
    pub(crate) args: String,
}

impl Environment {
    /// Reads and checks what `command` needs. All missing names are reported at once.
    pub(crate) fn read(command: Command) -> Result<Self, Failure> {
        let needs: &[&str] = match command {
            Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
            Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
            // Whatever stands there is nobody's business: libcni sets placeholders.
            Command::Gc | Command::Status | Command::Version => {
                return Ok(Self {
                    command,
                    container_id: String::new(),
                    netns: String::new(),
                    ifname: String::new(),
                    args: String::new(),
                });
            }
        };
        let environment = Self {
            command,
            container_id: variable("CNI_CONTAINERID")?,
            netns: variable("CNI_NETNS")?,
            ifname: variable("CNI_IFNAME")?,
            args: variable("CNI_ARGS")?,
        };
        let missing: Vec<&str> =
            needs.iter().copied().filter(|name| env::var_os(name).is_none_or(|v| v.is_empty())).collect();
        if !missing.is_empty() {
            return Err(Failure::new(
                code::ENVIRONMENT,
                format!(
                    "{} needs these environment variables, which are missing: {}",
                    command.name(),
                    missing.join(", ")
                ),
            ));
        }
        if !is_container_id(&environment.container_id) {
            return Err(Failure::new(
                code::ENVIRONMENT,
                format!(
                    "CNI_CONTAINERID {:?} must begin with a letter or digit and go on with letters, digits, '_', '.' and '-'",
                    environment.container_id
                ),
            ));
        }
        if !is_ifname(&environment.ifname) {
            return Err(Failure::new(
                code::ENVIRONMENT,
                format!(
                    "CNI_IFNAME {:?} is not an interface name: 1 to 15 bytes without '/', ':' and white space, not \".\" or \"..\"",
                    environment.ifname
                ),
            ));
        }
        Ok(environment)
    }
}

fn variable(name: &str) -> Result<String, Failure> {
    env::var_os(name)
        .unwrap_or_default()
        .into_string()
        .map_err(|value: OsString| Failure::new(code::ENVIRONMENT, format!("{name} {value:?} is not UTF-8")))
}

/// `^[A-Za-z0-9][A-Za-z0-9_.-]*$`, the same for container ids and network names.
pub(crate) fn is_container_id(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// What the kernel (`dev_valid_name`) and libcni accept.
fn is_ifname(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 15
        && text != "."
        && text != ".."
        && !text.contains(|c: char| c == '/' || c == ':' || c.is_whitespace())
}
