//! What waits to be written on one connection, shared by the endpoint that fills it and the task that
//! empties it. Both live on the worker's thread.

use crate::io::Token;
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::Waker;

/// The most pieces given to one write: more would not fit a TLS record anyway.
pub(super) const PIECES: usize = 16;

/// How a connection is to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ending {
    /// After what waits has been written.
    Flushed(&'static str),
    /// At once.
    Cut(&'static str),
}

#[derive(Debug, Default)]
struct Inner {
    messages: VecDeque<(Option<Token>, Bytes)>,
    /// Octets that wait, those of the first message that were written not counted.
    octets: usize,
    /// Octets of the first message that were written.
    written: usize,
    ending: Option<Ending>,
    nudged: bool,
    waker: Option<Waker>,
}

/// A bounded queue of messages.
#[derive(Debug, Default)]
pub(super) struct Queue(RefCell<Inner>);

impl Queue {
    /// Appends a message; `false` when more than `limit` octets would wait. Keep-alives have no token.
    pub(super) fn push(&self, token: Option<Token>, octets: Bytes, limit: usize) -> bool {
        let mut inner = self.0.borrow_mut();
        let waiting = inner.octets + octets.len();
        if waiting > limit && inner.octets > 0 {
            return false;
        }
        inner.octets = waiting;
        inner.messages.push_back((token, octets));
        inner.wake();
        true
    }

    /// Has the task end the connection. What was said first stays, except that a cut is final.
    pub(super) fn end(&self, ending: Ending) {
        let mut inner = self.0.borrow_mut();
        if inner.ending.is_none() || matches!(ending, Ending::Cut(_)) {
            inner.ending = Some(ending);
        }
        inner.wake();
    }

    /// How the connection is to end, if it is.
    pub(super) fn ending(&self) -> Option<Ending> {
        self.0.borrow().ending
    }

    /// Has the task look at its deadlines again.
    pub(super) fn nudge(&self) {
        let mut inner = self.0.borrow_mut();
        inner.nudged = true;
        inner.wake();
    }

    /// Whether there was a nudge since the last call.
    pub(super) fn nudged(&self) -> bool {
        std::mem::take(&mut self.0.borrow_mut().nudged)
    }

    /// Remembers whom to wake.
    pub(super) fn park(&self, waker: &Waker) {
        let mut inner = self.0.borrow_mut();
        match &mut inner.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().messages.is_empty()
    }

    /// Calls `write` with the pieces that come next.
    pub(super) fn with_pieces<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let inner = self.0.borrow();
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (piece, (_, octets)) in pieces.iter_mut().zip(&inner.messages) {
            let from = if count == 0 { inner.written } else { 0 };
            *piece = IoSlice::new(&octets[from..]);
            count += 1;
        }
        write(&pieces[..count])
    }

    /// Takes `octets` off the front, which were written. Returns how many messages that completed.
    pub(super) fn advance(&self, mut octets: usize) -> usize {
        let mut inner = self.0.borrow_mut();
        inner.octets = inner.octets.saturating_sub(octets);
        let mut completed = 0;
        while let Some((token, message)) = inner.messages.front() {
            let rest = message.len() - inner.written;
            if octets < rest {
                inner.written += octets;
                break;
            }
            octets -= rest;
            completed += usize::from(token.is_some());
            inner.written = 0;
            inner.messages.pop_front();
        }
        completed
    }

    /// Empties the queue; returns the messages of which no octet was written.
    pub(super) fn unsent(&self) -> Vec<Token> {
        let mut inner = self.0.borrow_mut();
        let begun = usize::from(inner.written > 0);
        (inner.octets, inner.written) = (0, 0);
        inner.messages.drain(..).skip(begun).filter_map(|(token, _)| token).collect()
    }
}

impl Inner {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 10;

    fn filled() -> Queue {
        let queue = Queue::default();
        assert!(queue.push(Some(Token(1)), Bytes::from_static(b"abcd"), LIMIT));
        assert!(queue.push(None, Bytes::from_static(b"\r\n"), LIMIT));
        assert!(queue.push(Some(Token(2)), Bytes::from_static(b"efgh"), LIMIT));
        queue
    }

    #[test]
    fn the_bound_counts_what_is_not_yet_written() {
        let queue = filled();
        assert!(!queue.push(Some(Token(3)), Bytes::from_static(b"i"), LIMIT));
        queue.advance(1);
        assert!(queue.push(Some(Token(3)), Bytes::from_static(b"i"), LIMIT));
    }

    #[test]
    fn a_message_longer_than_the_bound_passes_when_nothing_else_waits() {
        assert!(Queue::default().push(None, Bytes::from_static(b"longer than ten octets"), LIMIT));
    }

    #[test]
    fn only_messages_without_any_octet_written_are_unsent() {
        let queue = filled();
        assert_eq!(queue.advance(2), 0);
        assert_eq!(queue.unsent(), [Token(2)]);
        assert_eq!(filled().unsent(), [Token(1), Token(2)]);
    }

    #[test]
    fn writes_may_end_anywhere() {
        let queue = filled();
        let mut written = Vec::new();
        while !queue.is_empty() {
            let octet = queue.with_pieces(|pieces| pieces[0][0]);
            written.push(octet);
            queue.advance(1);
        }
        assert_eq!(written, b"abcd\r\nefgh");
    }

    #[test]
    fn a_cut_overrules_a_flush() {
        let queue = filled();
        queue.end(Ending::Flushed("done"));
        queue.end(Ending::Cut("too slow"));
        queue.end(Ending::Flushed("done"));
        assert_eq!(queue.ending(), Some(Ending::Cut("too slow")));
    }
}
