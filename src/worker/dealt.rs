//! Which worker a new INVITE was given to, so that what belongs to it and cannot say so follows:
//! a repetition, and a CANCEL (RFC 3261 §9.1: its top Via is the INVITE's).

use crate::sip::{Message, Name};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::{Duration, Instant};

/// The most INVITEs remembered; the oldest is forgotten first, and its CANCEL goes round all workers.
const MAX_DEALT: usize = 64 * 1024;

/// Where INVITEs went, for 64·T1 each.
#[derive(Debug, Default)]
pub(super) struct Dealt {
    hasher: RandomState,
    workers: HashMap<u64, u16>,
    order: VecDeque<(Instant, u64)>,
}

impl Dealt {
    /// Remembers that `invite` went to `worker`, for `keep` from `now`.
    pub(super) fn remember(&mut self, now: Instant, invite: &Message, worker: u16, keep: Duration) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) || self.order.len() >= MAX_DEALT {
            if let Some((_, key)) = self.order.pop_front() {
                self.workers.remove(&key);
            }
        }
        if let Some(key) = self.key(invite) {
            self.workers.insert(key, worker);
            self.order.push_back((now + keep, key));
        }
    }

    /// The worker that has the INVITE with the same top Via.
    pub(super) fn worker(&self, message: &Message) -> Option<u16> {
        self.workers.get(&self.key(message)?).copied()
    }

    fn key(&self, message: &Message) -> Option<u64> {
        message.values(Name::Via).next().map(|via| self.hasher.hash_one(via))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(method: &str, branch: &str) -> Message {
        let text = format!(
            "{method} sip:+14255550123@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com;branch={branch}\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: x\r\nCSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    #[test]
    fn a_cancel_follows_its_invite() {
        let (mut dealt, now) = (Dealt::default(), Instant::now());
        dealt.remember(now, &message("INVITE", "z9hG4bKa"), 3, Duration::from_secs(32));
        assert_eq!(dealt.worker(&message("CANCEL", "z9hG4bKa")), Some(3));
        assert_eq!(dealt.worker(&message("CANCEL", "z9hG4bKb")), None);
    }

    #[test]
    fn what_is_old_is_forgotten() {
        let (mut dealt, now) = (Dealt::default(), Instant::now());
        dealt.remember(now, &message("INVITE", "z9hG4bKa"), 3, Duration::from_secs(32));
        dealt.remember(now + Duration::from_secs(32), &message("INVITE", "z9hG4bKb"), 1, Duration::from_secs(32));
        assert_eq!(dealt.worker(&message("INVITE", "z9hG4bKa")), None);
        assert_eq!(dealt.order.len(), dealt.workers.len());
    }
}
