//! Ports that wait for their turn at the same time are created in one request, which is less work for Neutron (with 21 and ML2/OVN a
//! seventh less for three ports than one by one).
//!
//! Where Neutron works on all it is sent, each is asked for alone, and so is one that need not wait. And none is lost for it: Neutron forgets addresses when
//! such a request fails (see [`Network::create_ports`]), so ports share requests only while their subnets have plenty of addresses, and
//! for a long time no more after one was refused. What was refused together is asked for one by one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Network, NewFixedIp, NewPort, Port};
use crate::pace::Turn;
use crate::{Error, ErrorKind};

/// The most ports of one request: one more saves little, and all of them come when the last one does.
const MOST: usize = 5;
/// So many free addresses are plenty: more than others take while our knowledge is fresh.
const PLENTY: f64 = 200.0;
/// For so long the number of free addresses is believed.
const FRESH: Duration = Duration::from_secs(60);
/// So long ports wait for that number.
const PATIENCE: Duration = Duration::from_secs(2);
/// So long nobody asks again where Neutron does not tell.
const UNTOLD: Duration = Duration::from_secs(600);
/// So long no port shares a request after one was refused.
const AFTER_REFUSAL: Duration = Duration::from_secs(3600);

/// Ports that are asked for.
#[derive(Default)]
pub(super) struct Together {
    waiting: Mutex<Waiting>,
    /// Whoever has it is the next to send, for himself and for others.
    lead: tokio::sync::Mutex<()>,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Waiting {
    asked: VecDeque<Asked>,
    /// How many were asked for so far.
    count: u64,
}

/// A port that somebody waits for.
struct Asked {
    number: u64,
    port: NewPort,
    answer: oneshot::Sender<Answer>,
}

enum Answer {
    /// What became of it.
    Outcome(Box<Result<Port, Error>>),
    /// A request of several was refused, perhaps for another one.
    AskAlone,
}

/// What is known of the addresses that are left.
#[derive(Default)]
struct Room {
    /// By network: until when it is believed, and free addresses by subnet.
    known: HashMap<String, (Instant, HashMap<String, f64>)>,
}

impl Together {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, port: NewPort, answer: oneshot::Sender<Answer>) -> u64 {
        let mut waiting = self.waiting();
        waiting.count += 1;
        let number = waiting.count;
        waiting.asked.push_back(Asked { number, port, answer });
        number
    }

    /// How many wait that may share a request with this one, itself among them; none if it waits no more.
    fn alike(&self, number: u64) -> usize {
        let waiting = self.waiting();
        let Some(this) = waiting.asked.iter().find(|asked| asked.number == number) else { return 0 };
        let others = waiting.asked.iter().filter(|other| alike(&this.port, &other.port));
        others.filter(|other| !other.answer.is_closed()).count()
    }

    /// Takes this one from those that wait, and others like it, at most so many, the first ones first. Whoever went away is left out.
    fn take(&self, number: u64, most: usize) -> Vec<Asked> {
        let mut waiting = self.waiting();
        waiting.asked.retain(|asked| !asked.answer.is_closed());
        let Some(this) = waiting.asked.iter().position(|asked| asked.number == number) else { return Vec::new() };
        let mut taken: Vec<Asked> = waiting.asked.remove(this).into_iter().collect();
        while taken.len() < most
            && let Some(other) = waiting.asked.iter().position(|other| alike(&taken[0].port, &other.port))
        {
            taken.extend(waiting.asked.remove(other));
        }
        taken
    }
}

/// Whether two ports get any address of the same subnets.
fn alike(one: &NewPort, other: &NewPort) -> bool {
    one.network_id == other.network_id && one.fixed_ips == other.fixed_ips
}

/// Whether a port takes what it gets, so that it cannot be in conflict with another.
fn takes_any_address(port: &NewPort) -> bool {
    let any = port.fixed_ips.iter().all(|fixed| fixed.ip_address.is_none());
    any && !port.fixed_ips.is_empty() && port.mac_address.is_none()
}

impl Network {
    /// Creates one port, in one request with others on the same subnets that wait for their turn as well. An answer that is lost leaves
    /// the outcome of all of them unknown.
    pub async fn create_port_with_others(&self, port: &NewPort) -> Result<Port, Error> {
        if !takes_any_address(port) {
            return self.create_port(port).await;
        }
        let (sender, mut answer) = oneshot::channel();
        let number = self.together.ask(port.clone(), sender);
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            () = self.lead(number, port) => answer.await,
        };
        match answer {
            Ok(Answer::Outcome(outcome)) => *outcome,
            Ok(Answer::AskAlone) => self.create_port(port).await,
            Err(_) => Err(Error::new(ErrorKind::Unavailable, "the request for this port and others was given up")
                .with_outcome_unknown(true)),
        }
    }

    /// Waits until this port is the next to be asked for, unless another's request takes it along, and asks for it and others.
    async fn lead(&self, number: u64, port: &NewPort) {
        let lead = self.together.lead.lock().await;
        // Whoever led before may have taken it along.
        if self.together.alike(number) == 0 {
            return;
        }
        let pace = self.rest.pace_of_creations::<Port>();
        // Whoever has to wait learns meanwhile what there is.
        let learn = async {
            if pace.is_taken() {
                self.learn_of_addresses(port).await;
            }
        };
        let ((), mut turn) = tokio::join!(learn, pace.turn());
        let alike = self.together.alike(number);
        let may_share = self.together.room().has_plenty(port) == Some(true);
        let most = if may_share { turn.shared_by(alike).min(MOST) } else { 1 };
        let asked = self.together.take(number, most);
        turn.is_for(asked.len());
        self.together.room().taken(port, asked.len());
        if alike > asked.len() {
            turn.more_wait();
        }
        drop(lead);
        self.ask_together(turn, asked).await;
    }

    async fn ask_together(&self, turn: Turn, asked: Vec<Asked>) {
        if let [alone] = asked.as_slice() {
            let outcome = self.create_port_in(Some(turn), &alone.port).await;
            return tell(asked, || Answer::Outcome(Box::new(outcome.clone())));
        }
        let ports: Vec<NewPort> = asked.iter().map(|asked| asked.port.clone()).collect();
        match self.create_ports_in(Some(turn), &ports).await {
            Ok(created) if created.len() == asked.len() => {
                for (asked, port) in asked.into_iter().zip(created) {
                    // Whoever went away is told nothing.
                    let _ = asked.answer.send(Answer::Outcome(Box::new(Ok(port))));
                }
            }
            Ok(created) => {
                let text = format!("{} ports were asked for, {} are in the answer", asked.len(), created.len());
                let error = Error::new(ErrorKind::Protocol, text).with_outcome_unknown(true);
                tell(asked, || Answer::Outcome(Box::new(Err(error.clone()))));
            }
            Err(error) if refused(&error) => {
                tracing::debug!(%error, ports = asked.len(), "refused together; asked for one by one, for an hour");
                self.together.room().refused(&ports[0]);
                tell(asked, || Answer::AskAlone);
            }
            Err(error) => {
                if error.outcome_unknown() {
                    // Whether Neutron has forgotten addresses then, nobody knows.
                    self.together.room().refused(&ports[0]);
                }
                tell(asked, || Answer::Outcome(Box::new(Err(error.clone()))));
            }
        }
    }

    /// Asks what addresses the port's network has left, unless that is known.
    async fn learn_of_addresses(&self, port: &NewPort) {
        if self.together.room().has_plenty(port).is_some() {
            return;
        }
        let asked = tokio::time::timeout(PATIENCE, self.addresses(&port.network_id)).await;
        let known = match asked {
            Err(_) => (Instant::now() + FRESH, HashMap::new()),
            Ok(Ok(subnets)) => {
                let free = subnets.into_iter().map(|subnet| (subnet.subnet_id.clone(), subnet.free())).collect();
                (Instant::now() + FRESH, free)
            }
            Ok(Err(error)) => {
                tracing::debug!(%error, "free addresses are not told: ports are asked for one by one");
                (Instant::now() + UNTOLD, HashMap::new())
            }
        };
        let mut room = self.together.room();
        // What was refused meanwhile counts for longer.
        if room.has_plenty(port).is_none() {
            room.known.insert(port.network_id.clone(), known);
        }
    }
}

impl Room {
    /// Whether every subnet of the port has plenty of addresses; `None` if that has to be asked.
    fn has_plenty(&self, port: &NewPort) -> Option<bool> {
        let (until, free) = self.known.get(&port.network_id)?;
        let plenty = |fixed: &NewFixedIp| free.get(&fixed.subnet_id).is_some_and(|free| *free >= PLENTY);
        (*until > Instant::now()).then(|| port.fixed_ips.iter().all(plenty))
    }

    /// So many ports like this one are asked for.
    fn taken(&mut self, port: &NewPort, count: usize) {
        let Some((_, free)) = self.known.get_mut(&port.network_id) else { return };
        for fixed in &port.fixed_ips {
            if let Some(left) = free.get_mut(&fixed.subnet_id) {
                *left -= count as f64;
            }
        }
    }

    /// Ports like this one share no request for a while.
    fn refused(&mut self, port: &NewPort) {
        self.known.insert(port.network_id.clone(), (Instant::now() + AFTER_REFUSAL, HashMap::new()));
    }
}

/// Whether it is the request that is not taken, so that each of its ports may be taken alone.
fn refused(error: &Error) -> bool {
    let of_the_request = matches!(
        error.kind(),
        ErrorKind::BadRequest
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::OverQuota
            | ErrorKind::AddressesExhausted
            | ErrorKind::Forbidden
    );
    of_the_request && !error.outcome_unknown()
}

fn tell(asked: Vec<Asked>, answer: impl Fn() -> Answer) {
    for asked in asked {
        // Whoever went away is told nothing.
        let _ = asked.answer.send(answer());
    }
}
