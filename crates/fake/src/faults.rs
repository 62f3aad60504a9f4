//! Faults: what goes wrong, by script or by seed.
//!
//! A fake asks [`Faults::decide`] once per request and does what the [`Verdict`] says. A script is a list of [`Rule`]s
//! ("the third POST of a port is answered 503"); [`Chances`] roll a seeded die for every request. A script wins over chance.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

/// The caller sees the connection close without an answer. Whether the request took effect is for it to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLost;

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was lost before the answer came (a fault the fake was told to make)")
    }
}

impl std::error::Error for ConnectionLost {}

/// Whether the connection goes before an answer came, and on which side of the effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lose {
    /// The answer arrives.
    #[default]
    No,
    /// The request never reached the service: nothing happened.
    BeforeEffect,
    /// The service did as asked, and the answer got lost.
    AfterEffect,
}

/// An answer given in place of the service's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body; without one the fake writes what its service writes for this status.
    pub body: Option<Value>,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The request takes effect all the same, as behind a proxy that ran out of patience (504).
    pub after_effect: bool,
}

impl Answer {
    /// An answer with this status instead of any effect.
    pub fn status(status: StatusCode) -> Answer {
        Answer { status, body: None, retry_after: None, after_effect: false }
    }
}

/// What to do with one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Wait so long first, on tokio's clock.
    pub delay: Duration,
    /// Answer this.
    pub answer: Option<Answer>,
    /// Or lose the connection.
    pub lose: Lose,
}

/// One line of a script: which requests, and what becomes of them.
#[derive(Clone, Debug)]
pub struct Rule {
    method: Option<Method>,
    path: String,
    skip: u32,
    times: Option<u32>,
    verdict: Verdict,
}

impl Rule {
    /// Requests with this method and a path like this one, in which `*` stands for any text (`/v2.0/ports/*`). The path is
    /// matched as a whole and without its query.
    pub fn on(method: Method, path: impl Into<String>) -> Rule {
        Rule { method: Some(method), ..Rule::on_any(path) }
    }

    /// The same for every method.
    pub fn on_any(path: impl Into<String>) -> Rule {
        Rule { method: None, path: path.into(), skip: 0, times: None, verdict: Verdict::default() }
    }

    /// Lets the first `count` such requests pass.
    pub fn skip(mut self, count: u32) -> Rule {
        self.skip = count;
        self
    }

    /// Ends after `count` requests; without it the rule holds until [`Faults::clear`].
    pub fn times(mut self, count: u32) -> Rule {
        self.times = Some(count);
        self
    }

    /// Waits before anything else.
    pub fn delay(mut self, delay: Duration) -> Rule {
        self.verdict.delay = delay;
        self
    }

    /// Answers with this status, and the body the service has for it.
    pub fn status(self, status: u16) -> Rule {
        self.answer(Answer::status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)))
    }

    /// Answers this.
    pub fn answer(mut self, answer: Answer) -> Rule {
        self.verdict.answer = Some(answer);
        self
    }

    /// Closes the connection without an answer.
    pub fn lose(mut self, lose: Lose) -> Rule {
        self.verdict.lose = lose;
        self
    }

    fn matches(&self, method: &Method, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted == method) && like(&self.path, path)
    }
}

/// Chances of each kind of fault per request, between 0 and 1, rolled with a seed.
#[derive(Clone, Debug)]
pub struct Chances {
    /// Of waiting, up to [`Chances::longest_delay`].
    pub delay: f64,
    /// The longest wait.
    pub longest_delay: Duration,
    /// Of one of [`Chances::statuses`] instead of the effect.
    pub status: f64,
    /// The statuses to choose from.
    pub statuses: Vec<u16>,
    /// Of a 504 although the request took effect.
    pub gateway_timeout: f64,
    /// Of a connection lost before the request took effect.
    pub lose_before: f64,
    /// Of a connection lost after it.
    pub lose_after: f64,
    /// Only requests with a path like this (`*` stands for any text).
    pub path: String,
}

impl Default for Chances {
    /// None of anything, on every path, with the statuses a service under stress gives.
    fn default() -> Chances {
        Chances {
            delay: 0.0,
            longest_delay: Duration::from_secs(2),
            status: 0.0,
            statuses: vec![500, 503, 429],
            gateway_timeout: 0.0,
            lose_before: 0.0,
            lose_after: 0.0,
            path: "*".to_owned(),
        }
    }
}

impl Chances {
    /// Every kind of fault with the same chance.
    pub fn of_each(chance: f64) -> Chances {
        Chances {
            delay: chance,
            status: chance,
            gateway_timeout: chance,
            lose_before: chance,
            lose_after: chance,
            ..Chances::default()
        }
    }
}

/// The faults of one fake; clones share the script and the die.
#[derive(Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    random: Option<(fastrand::Rng, Chances)>,
    made: u64,
}

impl Faults {
    /// No faults, until told otherwise.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// Adds a rule to the script. The first rule that matches a request decides.
    pub fn script(&self, rule: Rule) {
        self.state().rules.push(rule);
    }

    /// Rolls a die for each request that no rule of the script decided. The same seed and the same requests in the same
    /// order make the same faults.
    pub fn random(&self, seed: u64, chances: Chances) {
        self.state().random = Some((fastrand::Rng::with_seed(seed), chances));
    }

    /// Nothing goes wrong from now on.
    pub fn clear(&self) {
        let mut state = self.state();
        state.rules.clear();
        state.random = None;
    }

    /// How many requests met a fault so far.
    pub fn made(&self) -> u64 {
        self.state().made
    }

    /// What to do with this request. `path` is the path as the service has it, without the query.
    pub fn decide(&self, method: &Method, path: &str) -> Verdict {
        let mut state = self.state();
        let verdict = state.scripted(method, path).or_else(|| state.rolled(path)).unwrap_or_default();
        if verdict != Verdict::default() {
            state.made += 1;
            tracing::debug!(%method, path, ?verdict, "a fault");
        }
        verdict
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Faults").field("rules", &state.rules).field("made", &state.made).finish_non_exhaustive()
    }
}

impl State {
    fn scripted(&mut self, method: &Method, path: &str) -> Option<Verdict> {
        for (position, rule) in self.rules.iter_mut().enumerate() {
            if !rule.matches(method, path) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            let verdict = rule.verdict.clone();
            if let Some(times) = &mut rule.times {
                *times = times.saturating_sub(1);
                if *times == 0 {
                    self.rules.remove(position);
                }
            }
            return Some(verdict);
        }
        None
    }

    fn rolled(&mut self, path: &str) -> Option<Verdict> {
        let (die, chances) = self.random.as_mut()?;
        if !like(&chances.path, path) {
            return None;
        }
        let mut verdict = Verdict::default();
        if die.f64() < chances.delay {
            verdict.delay = chances.longest_delay.mul_f64(die.f64());
        }
        // One roll for what excludes each other, so that the chances are what they say.
        let roll = die.f64();
        let status = chances.status;
        let timeout = status + chances.gateway_timeout;
        let before = timeout + chances.lose_before;
        let after = before + chances.lose_after;
        if roll < status {
            if let Some(code) = die.choice(&chances.statuses).and_then(|code| StatusCode::from_u16(*code).ok()) {
                let retry_after = matches!(code.as_u16(), 429 | 503).then(|| die.u64(1..=3));
                verdict.answer = Some(Answer { retry_after, ..Answer::status(code) });
            }
        } else if roll < timeout {
            verdict.answer = Some(Answer { after_effect: true, ..Answer::status(StatusCode::GATEWAY_TIMEOUT) });
        } else if roll < before {
            verdict.lose = Lose::BeforeEffect;
        } else if roll < after {
            verdict.lose = Lose::AfterEffect;
        }
        Some(verdict)
    }
}

/// Whether the text is like the pattern, in which `*` stands for any text.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            match rest.find(part) {
                Some(position) => rest = &rest[position + part.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, expected) in [
            ("/v2.0/ports", "/v2.0/ports", true),
            ("/v2.0/ports", "/v2.0/ports/1", false),
            ("/v2.0/ports*", "/v2.0/ports/1", true),
            ("/v2.0/*/tags", "/v2.0/ports/1/tags", true),
            ("/v2.0/*/tags", "/v2.0/ports/1/tags/a", false),
            ("*/ports/*/x*", "/v2.0/ports/1/xy", true),
            ("a*a", "a", false),
            ("*", "", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_rule_lets_some_pass_and_ends() {
        let faults = Faults::none();
        faults.script(Rule::on(Method::POST, "/v2.0/ports").skip(1).times(2).status(503));
        let answers =
            |method: Method| faults.decide(&method, "/v2.0/ports").answer.map(|answer| answer.status.as_u16());
        assert_eq!(answers(Method::GET), None);
        let posts: Vec<_> = (0..4).map(|_| answers(Method::POST)).collect();
        assert_eq!(posts, [None, Some(503), Some(503), None]);
        assert_eq!(faults.made(), 2);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let faults = Faults::none();
        faults.script(Rule::on_any("/a").times(1).lose(Lose::AfterEffect));
        faults.script(Rule::on_any("*").status(500));
        assert_eq!(faults.decide(&Method::GET, "/a").lose, Lose::AfterEffect);
        assert_eq!(faults.decide(&Method::GET, "/a").answer.map(|a| a.status.as_u16()), Some(500));
        faults.clear();
        assert_eq!(faults.decide(&Method::GET, "/a"), Verdict::default());
    }

    #[test]
    fn a_seed_makes_the_same_faults_again_and_its_chances_hold() {
        let roll = |seed| {
            let faults = Faults::none();
            faults.random(seed, Chances::of_each(0.1));
            (0..2000).map(|_| faults.decide(&Method::GET, "/x")).collect::<Vec<_>>()
        };
        let verdicts = roll(7);
        assert_eq!(verdicts, roll(7));
        assert_ne!(verdicts, roll(8));
        let share = |kind: fn(&Verdict) -> bool| verdicts.iter().filter(|v| kind(v)).count();
        for count in [
            share(|v| v.delay > Duration::ZERO),
            share(|v| v.answer.as_ref().is_some_and(|a| !a.after_effect)),
            share(|v| v.answer.as_ref().is_some_and(|a| a.after_effect)),
            share(|v| v.lose == Lose::BeforeEffect),
            share(|v| v.lose == Lose::AfterEffect),
        ] {
            assert!((120..280).contains(&count), "about 200 of 2000, not {count}");
        }
    }

    #[test]
    fn chance_may_be_kept_to_some_paths() {
        let faults = Faults::none();
        faults.random(1, Chances { lose_before: 1.0, path: "/v2.0/*".to_owned(), ..Chances::default() });
        assert_eq!(faults.decide(&Method::GET, "/v3/auth/tokens"), Verdict::default());
        assert_eq!(faults.decide(&Method::GET, "/v2.0/ports").lose, Lose::BeforeEffect);
    }
}
