//! Members, and whose turn it is.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) id: String,
    pub(super) members: Vec<Member>,
}

/// A member; with weight 0 it gets nothing new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    pub(super) weight: u32,
}

/// Whose turn it is in each pool of a listener.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, u32>>);

impl Turns {
    /// The members in the order they are to be tried in, round robin by weight.
    pub(super) fn next(&self, pool: &Pool) -> Vec<SocketAddr> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(pool.id.clone()).or_default();
        let order = order(&pool.members, *turn);
        *turn = turn.wrapping_add(1);
        order
    }
}

fn order(members: &[Member], turn: u32) -> Vec<SocketAddr> {
    let mut members: Vec<&Member> = members.iter().filter(|member| member.weight > 0).collect();
    // Ids are random, and so is the order they come in.
    members.sort_by_key(|member| member.address);
    let all: u32 = members.iter().map(|member| member.weight).sum();
    let mut place = turn.checked_rem(all).unwrap_or_default();
    let first = members.iter().position(|member| {
        let its = place < member.weight;
        place = place.saturating_sub(member.weight);
        its
    });
    members.rotate_left(first.unwrap_or_default());
    members.into_iter().map(|member| member.address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(host: u8, weight: u32) -> Member {
        Member { address: SocketAddr::from(([10, 0, 0, host], 80)), weight }
    }

    #[test]
    fn members_take_turns_by_weight_and_the_others_stand_by() {
        let pool = Pool { id: "p".to_owned(), members: vec![member(2, 3), member(1, 1), member(3, 0)] };
        let other = Pool { id: "q".to_owned(), members: vec![member(7, 1), member(8, 1)] };
        let turns = Turns::default();
        let hosts =
            |order: Vec<SocketAddr>| order.iter().map(|it| it.ip().to_string()[7..].to_owned()).collect::<Vec<_>>();
        let orders: Vec<_> = (0..5)
            .map(|_| {
                // Turns in one pool are none of another's.
                turns.next(&other);
                hosts(turns.next(&pool))
            })
            .collect();
        assert_eq!(orders, [["1", "2"], ["2", "1"], ["2", "1"], ["2", "1"], ["1", "2"]]);
        assert!(turns.next(&Pool::default()).is_empty());
    }
}
