//! TCP streams of a capture, put together again, and the messages in them.

use super::capture::{Capture, Captured, is_start};
use crate::sip::{Frame, Framer, MAX_MESSAGE};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::net::SocketAddr;

/// The most streams followed at once.
const MAX_STREAMS: usize = 4096;

/// The most segments of one stream that wait for an earlier one; above it that one was not captured.
const MAX_EARLY: usize = 64;

/// What a stream turned out to be.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Nature {
    #[default]
    Unknown,
    Sip,
    Encrypted,
    /// Beyond what can be understood.
    Lost,
}

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    next: Option<u32>,
    early: Vec<(u32, Bytes)>,
    buffer: BytesMut,
    framer: Framer,
    nature: Nature,
    /// Whether lines were passed over in search of a message.
    skipped: bool,
}

/// What was not read, and why.
#[derive(Default)]
pub(super) struct Closed {
    /// Streams under TLS.
    pub(super) encrypted: usize,
    /// Streams of something else.
    pub(super) other: usize,
    /// Messages that have begun.
    pub(super) incomplete: usize,
}

/// All streams, and what was found in them.
#[derive(Default)]
pub(super) struct Streams {
    streams: HashMap<(SocketAddr, SocketAddr), Stream>,
    /// Each with how many datagrams came before it.
    found: Vec<(usize, Captured)>,
    lost: usize,
    overflow: usize,
}

impl Streams {
    /// How many messages were found.
    pub(super) fn messages(&self) -> usize {
        self.found.len()
    }

    /// A segment: `begins` with SYN, in this packet at this time; `order` datagrams came before it.
    #[expect(clippy::too_many_arguments, reason = "the facts of one segment, from one place")]
    pub(super) fn segment(
        &mut self,
        ends: (SocketAddr, SocketAddr),
        sequence: u32,
        begins: bool,
        payload: Bytes,
        packet: usize,
        at_ms: Option<u64>,
        order: usize,
    ) {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&ends) {
            self.overflow += 1;
            return;
        }
        let stream = self.streams.entry(ends).or_default();
        if begins {
            *stream = Stream { next: Some(sequence.wrapping_add(1)), ..Stream::default() };
        }
        if payload.is_empty() {
            return;
        }
        if stream.take(sequence, payload) {
            self.lost += 1;
        }
        while let Some(octets) = stream.message() {
            let place = format!("packet {packet}");
            let captured = Captured { octets, place, source: Some(ends.0), at_ms, notes: Vec::new() };
            self.found.push((order, captured));
        }
    }

    /// Puts the messages among the datagrams, in the order of the capture.
    pub(super) fn finish(self, capture: &mut Capture) -> Closed {
        let datagrams = std::mem::take(&mut capture.messages);
        let mut streamed = self.found.into_iter().peekable();
        for (place, datagram) in datagrams.into_iter().enumerate() {
            while let Some((_, message)) = streamed.next_if(|(order, _)| *order <= place) {
                capture.messages.push(message);
            }
            capture.messages.push(datagram);
        }
        capture.messages.extend(streamed.map(|(_, message)| message));
        let count = |what: fn(&Stream) -> bool| self.streams.values().filter(|stream| what(stream)).count();
        Closed {
            encrypted: count(|stream| stream.nature == Nature::Encrypted),
            other: count(|stream| stream.nature == Nature::Unknown && stream.skipped) + self.overflow,
            incomplete: count(|stream| stream.nature == Nature::Sip && !stream.buffer.is_empty()) + self.lost,
        }
    }
}

impl Stream {
    /// Takes a segment in its order; `true` when octets before it were given up as not captured.
    fn take(&mut self, sequence: u32, payload: Bytes) -> bool {
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next).cast_signed();
        if ahead > 0 && self.early.len() < MAX_EARLY {
            self.early.push((sequence, payload));
            return false;
        }
        let lost = ahead > 0;
        if lost {
            self.buffer.clear();
            self.framer = Framer::default();
            self.nature = Nature::Unknown;
            self.early.push((sequence, payload));
            // From the first that is there; distances, as numbers begin anew after the last.
            self.early.sort_by_key(|(sequence, _)| sequence.wrapping_sub(next));
            self.next = self.early.first().map(|(sequence, _)| *sequence);
        } else {
            self.append(sequence, &payload);
        }
        while let Some(at) = self.early.iter().position(|(sequence, _)| self.is_due(*sequence)) {
            let (sequence, payload) = self.early.swap_remove(at);
            self.append(sequence, &payload);
        }
        lost
    }

    fn is_due(&self, sequence: u32) -> bool {
        self.next.is_some_and(|next| sequence.wrapping_sub(next).cast_signed() <= 0)
    }

    /// Appends what is new of a segment that does not lie ahead.
    fn append(&mut self, sequence: u32, payload: &[u8]) {
        let next = self.next.unwrap_or(sequence);
        let known = usize::try_from(next.wrapping_sub(sequence)).unwrap_or(usize::MAX);
        let Some(new) = payload.get(known..).filter(|new| !new.is_empty()) else { return };
        self.next = Some(next.wrapping_add(u32::try_from(new.len()).unwrap_or(0)));
        if !matches!(self.nature, Nature::Encrypted | Nature::Lost) {
            self.buffer.extend_from_slice(new);
        }
    }

    /// The next whole message.
    fn message(&mut self) -> Option<Bytes> {
        loop {
            if self.nature == Nature::Unknown {
                self.look();
            }
            if self.nature != Nature::Sip {
                return None;
            }
            match self.framer.next(&mut self.buffer) {
                Ok(Some(Frame::Message(octets))) => return Some(octets),
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => return None,
                // Where it ends nobody knows: it is told as it is, and is the last.
                Err(_) => {
                    self.nature = Nature::Lost;
                    let length = self.buffer.len().min(MAX_MESSAGE);
                    return Some(std::mem::take(&mut self.buffer).freeze().slice(..length));
                }
            }
        }
    }

    /// Finds out what the stream is. It may have begun before the capture: then in the middle of a message.
    fn look(&mut self) {
        if let [20..=23, 3, 0..=4, ..] = self.buffer[..] {
            self.nature = Nature::Encrypted;
            return self.buffer.clear();
        }
        while let Some(end) = memchr::memchr(b'\n', &self.buffer) {
            if is_start(&self.buffer[..end]) {
                self.nature = Nature::Sip;
                return;
            }
            self.skipped |= !self.buffer[..end].trim_ascii().is_empty();
            let _ = self.buffer.split_to(end + 1);
        }
        if self.buffer.len() > MAX_MESSAGE {
            self.skipped = true;
            self.buffer.clear();
        }
    }
}
