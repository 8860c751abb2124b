//! Clients with the cache of their resolver.

use std::net::IpAddr;
use std::time::Duration;

use rhumb::model::Moment;

use crate::dice::Dice;

/// How long a client keeps an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// As long as it may.
    ItsTtl,
    /// Much longer.
    Longer,
}

#[derive(Debug, Clone)]
pub struct Client {
    pub address: IpAddr,
    pub keeps: Keeps,
    pub answer: Option<Answer>,
    /// When it asks next.
    pub next: Moment,
}

/// What it was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    pub address: IpAddr,
    /// When.
    pub came: Moment,
    /// Until then.
    pub holds: Moment,
}

impl Client {
    pub fn new(address: IpAddr, keeps: Keeps, now: Moment) -> Self {
        Client { address, keeps, answer: None, next: now }
    }

    /// What it still has.
    pub fn cached(&self, now: Moment) -> Option<Answer> {
        self.answer.filter(|answer| now < answer.holds)
    }

    /// It was answered this.
    pub fn keep(&mut self, address: IpAddr, ttl: Duration, now: Moment) -> Answer {
        let lasts = match self.keeps {
            Keeps::ItsTtl => ttl,
            Keeps::Longer => 10 * ttl,
        };
        *self.answer.insert(Answer { address, came: now, holds: now + lasts })
    }

    /// It waits for a while before its next request.
    pub fn rests(&mut self, dice: &mut Dice) {
        self.next = self.next + Duration::from_millis(200 + dice.roll(1_200));
    }
}
