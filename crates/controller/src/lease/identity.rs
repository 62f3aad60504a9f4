//! Who we are in the Lease, and how we know that a former holder of our name has ended.
//!
//! A holder is `NAME_INSTANCE`. The instance differs with every start, so that two processes can never both believe that a
//! record is theirs. A process that was restarted need not wait for the Lease of the one before it to run out, if it is
//! *certain* that that one has ended: a pod's container is started again only after it ended, and a process on a host can
//! be looked for.

use std::fmt;
use std::sync::Arc;

/// Decides whether the process that wrote this holder has ended.
type Ended = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// This process, as a holder of the Lease.
#[derive(Clone)]
pub struct Identity {
    name: String,
    holder: String,
    ended: Ended,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Identity").field(&self.holder).finish()
    }
}

impl Identity {
    /// A process by the name of `name`. `ended` must be true only for holders that can never write again.
    pub fn new(name: &str, instance: &str, ended: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), holder: format!("{name}_{instance}"), ended: Arc::new(ended) }
    }

    /// The process of the pod of this name. kubelet starts a container again only after it ended, and no two pods of a
    /// namespace have one name: whoever had it before has ended.
    #[must_use]
    pub fn of_pod(name: &str) -> Self {
        let pod = name.to_owned();
        Self::new(name, &random(), move |holder| holder.rsplit_once('_').is_some_and(|(name, _)| name == pod))
    }

    /// This process on the host of this name. Whether one before it has ended is read from `/proc`.
    #[must_use]
    pub fn of_process(host: &str) -> Self {
        let Some(me) = Process::current() else { return Self::new(host, &random(), |_| false) };
        let name = host.to_owned();
        Self::new(host, &format!("{me}-{}", random()), move |holder| {
            let other = holder.rsplit_once('_').filter(|(host, _)| *host == name);
            other.and_then(|(_, instance)| Process::read(instance)).is_some_and(|other| me.sees_the_end_of(&other))
        })
    }

    /// Our name without the instance: the pod's or the host's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is written to the Lease.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.holder
    }

    /// Whether this holder was one of our name that can never write again.
    pub(super) fn is_ended_predecessor(&self, holder: &str) -> bool {
        (self.ended)(holder)
    }
}

fn random() -> String {
    format!("{:08x}", fastrand::u32(..))
}

/// A process, told apart from every other there ever was on any host: by boot, PID namespace, PID and start.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    boot: String,
    namespace: String,
    pid: u32,
    /// Clock ticks since boot.
    started: u64,
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}-{}", self.boot, self.namespace, self.pid, self.started)
    }
}

impl Process {
    fn current() -> Option<Self> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        let pid = std::process::id();
        Some(Self {
            boot: boot.chars().filter(char::is_ascii_hexdigit).take(12).collect(),
            namespace: namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect(),
            started: Stat::of(pid)?.started,
            pid,
        })
    }

    /// Reads what `Display` wrote, whatever follows.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (boot, namespace) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        Some(Self { boot, namespace, pid: parts.next()?.parse().ok()?, started: parts.next()?.parse().ok()? })
    }

    /// Whether the other lived where we can see it, and does not any more. Seeing must be proven: `/proc` may be mounted so
    /// that processes of other users are hidden.
    fn sees_the_end_of(&self, other: &Self) -> bool {
        if (&self.boot, &self.namespace) != (&other.boot, &other.namespace) || Stat::of(1).is_none() {
            return false;
        }
        Stat::of(other.pid).is_none_or(|found| found.started != other.started || found.is_dead)
    }
}

/// What `/proc/PID/stat` says (proc(5)).
struct Stat {
    started: u64,
    is_dead: bool,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may have anything in it.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        Some(Self { is_dead, started: fields.nth(18)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_namesake_has_ended_and_nobody_else() {
        let pod = Identity::of_pod("kuryr-controller-1");
        assert!(pod.holder().starts_with("kuryr-controller-1_"));
        assert!(pod.is_ended_predecessor("kuryr-controller-1_0123abcd"));
        assert!(!pod.is_ended_predecessor("kuryr-controller-12_0123abcd"));
        assert!(!pod.is_ended_predecessor("kuryr-controller-1"));
    }

    #[test]
    fn a_process_is_believed_to_have_ended_only_if_that_can_be_seen() {
        let me = Process::current().unwrap();
        assert_eq!(Process::read(&format!("{me}-12345678")), Some(me.clone()));
        assert!(!me.sees_the_end_of(&me), "we live");
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let other = Process { pid: child.id(), started: Stat::of(child.id()).unwrap().started, ..me.clone() };
        assert!(!me.sees_the_end_of(&other), "it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(me.sees_the_end_of(&other), "it was killed");
        assert!(me.sees_the_end_of(&Process { started: 1, ..me.clone() }), "its PID is another's now");
        assert!(!me.sees_the_end_of(&Process { boot: "elsewhere".into(), ..other.clone() }));
        assert!(!me.sees_the_end_of(&Process { namespace: "1".into(), ..other.clone() }));
        let host = Identity::of_process("h1");
        assert!(host.is_ended_predecessor(&format!("h1_{other}-00000000")));
        assert!(!host.is_ended_predecessor(&format!("h2_{other}-00000000")));
        assert!(!host.is_ended_predecessor("h1_whatever") && !host.is_ended_predecessor("h1"));
    }
}
