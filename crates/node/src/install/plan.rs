//! What is to be done about the plugin and the CNI configuration: a function of what is there and what should be.

use std::fmt;
use std::path::PathBuf;

use tokio::time::{Duration, Instant};

/// What is at a file's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Missing,
    /// What should be there.
    Same,
    /// A file with other content.
    Different,
    /// The right content, but not everything its users need is permitted, or others may write to it.
    Mode(u32),
    /// A link, a folder, or something else that is no plain file.
    NotAFile,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it was missing"),
            Self::Same => f.write_str("it was right"),
            Self::Different => f.write_str("its content was another"),
            Self::Mode(mode) => write!(f, "its mode was {mode:04o}"),
            Self::NotAFile => f.write_str("it was no plain file"),
        }
    }
}

/// What is on disk. `None`: it could not be looked at, and nothing is changed there.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The plugin.
    pub(crate) plugin: Option<Found>,
    /// The CNI configuration.
    pub(crate) conflist: Option<Found>,
    /// What a crash left of files of ours that were being written.
    pub(crate) abandoned: Vec<PathBuf>,
}

/// What should be with the CNI configuration: it tells the runtime that this node has a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conflist {
    /// It is there.
    Present,
    /// It stays as it is: a restart or a short trouble changes nothing.
    AsItIs,
    /// It is not there, because of this.
    Absent(String),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take the configuration away.
    Withdraw,
    /// Put the plugin in its place.
    Plugin,
    /// Put the configuration in its place.
    Conflist,
    /// Remove what a crash left.
    Remove(PathBuf),
}

/// The operations in order, each with its reason; whoever carries them out ends at the first failure. The configuration
/// goes first and comes after the plugin: a runtime that reads it finds the plugin there.
pub(crate) fn plan(seen: &Seen, wanted: &Conflist) -> Vec<(Step, String)> {
    let mut steps = Vec::new();
    if let (Conflist::Absent(why), Some(found)) = (wanted, seen.conflist)
        && found != Found::Missing
    {
        steps.push((Step::Withdraw, why.clone()));
    }
    if let Some(found) = seen.plugin.filter(|found| *found != Found::Same) {
        steps.push((Step::Plugin, found.to_string()));
    }
    if let (Conflist::Present, Some(_), Some(found)) = (wanted, seen.plugin, seen.conflist)
        && found != Found::Same
    {
        steps.push((Step::Conflist, found.to_string()));
    }
    steps.extend(seen.abandoned.iter().map(|path| (Step::Remove(path.clone()), "it was never finished".to_owned())));
    steps
}

/// Whether this node serves, as far as its configuration is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// It does.
    Serves,
    /// It waits for something all nodes share, like the Kubernetes API: no reason to take this one's configuration.
    Waits,
    /// Something of its own is broken.
    Broken(String),
}

/// Decides over time whether the configuration should be there.
#[derive(Debug)]
pub(crate) struct Gate {
    /// How long the daemon may be unable to serve; `None`: for ever.
    grace: Option<Duration>,
    /// Since when it has been.
    since: Option<Instant>,
}

impl Gate {
    /// A daemon that begins at `now`, with what its predecessor left.
    pub(crate) fn new(grace: Option<Duration>, now: Instant) -> Self {
        Self { grace, since: Some(now) }
    }

    /// What should be, given what is true at `now`.
    pub(crate) fn judge(&mut self, service: Service, now: Instant) -> Conflist {
        let trouble = match service {
            Service::Serves => {
                self.since = None;
                return Conflist::Present;
            }
            Service::Waits => {
                self.since = None;
                return Conflist::AsItIs;
            }
            Service::Broken(trouble) => trouble,
        };
        let since = *self.since.get_or_insert(now);
        match self.grace {
            Some(grace) if now - since >= grace => Conflist::Absent(trouble),
            _ => Conflist::AsItIs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(plugin: Option<Found>, conflist: Option<Found>, wanted: &Conflist) -> Vec<Step> {
        let seen = Seen { plugin, conflist, abandoned: Vec::new() };
        plan(&seen, wanted).into_iter().map(|(step, _)| step).collect()
    }

    const WRONG: [Found; 4] = [Found::Missing, Found::Different, Found::Mode(0o666), Found::NotAFile];

    #[test]
    fn what_is_right_is_left_alone() {
        for wanted in [Conflist::Present, Conflist::AsItIs] {
            assert_eq!(steps(Some(Found::Same), Some(Found::Same), &wanted), []);
        }
        assert_eq!(steps(Some(Found::Same), Some(Found::Missing), &Conflist::Absent("no switch".into())), []);
    }

    #[test]
    fn the_plugin_comes_first_and_always() {
        for found in WRONG {
            for wanted in [Conflist::AsItIs, Conflist::Absent("no switch".into())] {
                assert_eq!(steps(Some(found), Some(Found::Missing), &wanted), [Step::Plugin], "{found}");
            }
            let both = steps(Some(found), Some(found), &Conflist::Present);
            assert_eq!(both, [Step::Plugin, Step::Conflist], "{found}");
        }
    }

    #[test]
    fn a_configuration_is_written_only_while_the_daemon_serves() {
        for found in WRONG {
            assert_eq!(steps(Some(Found::Same), Some(found), &Conflist::Present), [Step::Conflist], "{found}");
            assert_eq!(steps(Some(Found::Same), Some(found), &Conflist::AsItIs), [], "{found}");
        }
    }

    #[test]
    fn a_configuration_is_withdrawn_before_all_else_whatever_it_says() {
        let absent = Conflist::Absent("no switch".into());
        for found in [Found::Same, Found::Different, Found::Mode(0o666), Found::NotAFile] {
            assert_eq!(steps(Some(Found::Missing), Some(found), &absent), [Step::Withdraw, Step::Plugin], "{found}");
            assert_eq!(steps(None, Some(found), &absent), [Step::Withdraw], "{found}");
        }
    }

    #[test]
    fn without_a_look_at_the_plugin_no_configuration_is_written() {
        assert_eq!(steps(None, Some(Found::Missing), &Conflist::Present), []);
        assert_eq!(steps(Some(Found::Missing), None, &Conflist::Present), [Step::Plugin]);
    }

    #[test]
    fn reasons_say_what_was_found() {
        let seen = Seen {
            plugin: Some(Found::Mode(0o644)),
            conflist: Some(Found::Different),
            abandoned: vec!["/d/.kuryr-cni.new-1".into()],
        };
        let told: Vec<String> = plan(&seen, &Conflist::Present).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(told, ["its mode was 0644", "its content was another", "it was never finished"]);
        let seen = Seen { plugin: Some(Found::Same), conflist: Some(Found::Same), abandoned: Vec::new() };
        let told = plan(&seen, &Conflist::Absent("Open vSwitch is down".into()));
        assert_eq!(told, [(Step::Withdraw, "Open vSwitch is down".to_owned())]);
    }

    #[test]
    fn the_gate_has_patience_at_the_start_and_after_and_forgives_at_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let down = || Service::Broken("down".to_owned());
        let absent = Conflist::Absent("down".into());
        let mut gate = Gate::new(Some(Duration::from_secs(10)), start);
        assert_eq!(gate.judge(down(), at(9)), Conflist::AsItIs, "what the last daemon left may stay a while");
        assert_eq!(gate.judge(down(), at(10)), absent);
        assert_eq!(gate.judge(Service::Serves, at(11)), Conflist::Present);
        assert_eq!(gate.judge(Service::Waits, at(29)), Conflist::AsItIs);
        assert_eq!(gate.judge(down(), at(30)), Conflist::AsItIs, "the patience begins anew");
        assert_eq!(gate.judge(down(), at(39)), Conflist::AsItIs);
        assert_eq!(gate.judge(down(), at(40)), absent);
        assert_eq!(gate.judge(Service::Waits, at(90)), Conflist::AsItIs, "not put back on a guess");
        let mut never = Gate::new(None, start);
        assert_eq!(never.judge(down(), at(1_000_000)), Conflist::AsItIs);
    }
}
