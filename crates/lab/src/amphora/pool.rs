//! Members, and whose turn it is.

use std::cmp::Reverse;
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

/// Whose turn it is in each pool of a listener: what each member has been owed since, by pool.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<String, HashMap<SocketAddr, i64>>>);

impl Turns {
    /// The members in the order they are to be tried in: round robin by weight, each member's turns as far apart as can be.
    pub(super) fn next(&self, pool: &Pool) -> Vec<SocketAddr> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let owed = turns.entry(pool.id.clone()).or_default();
        // Each turn owes every member its weight, and costs who has it the weight of all.
        let members = pool.members.iter().filter(|member| member.weight > 0);
        let mut order: Vec<(SocketAddr, i64)> = members
            .map(|member| {
                let before = owed.get(&member.address).copied().unwrap_or_default();
                (member.address, before + i64::from(member.weight))
            })
            .collect();
        order.sort_by_key(|(address, owed)| (Reverse(*owed), *address));
        let all: i64 = pool.members.iter().map(|member| i64::from(member.weight)).sum();
        *owed = order.iter().copied().collect();
        if let Some(first) = order.first().and_then(|(address, _)| owed.get_mut(address)) {
            *first -= all;
        }
        order.into_iter().map(|(address, _)| address).collect()
    }
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
        assert_eq!(orders, [["2", "1"], ["1", "2"], ["2", "1"], ["2", "1"], ["2", "1"]]);
        assert!(turns.next(&Pool::default()).is_empty());
    }
}
