//! One connection: octets → frames → messages one way, queue → octets the other (RFC 3261 §18, RFC 5626 §4.4.1).
//!
//! One task serves a connection from its first octet to its end; reading and writing never wait for each
//! other. A peer that sends faster than the worker works is held back by TCP; a peer that does not read
//! is cut by the bound of its queue.

use super::Arrival;
use super::endpoint::{Flow, Shared};
use super::fault;
use super::queue::Ending;
use crate::sip::{Frame, Framer, FramingError, Malformed, Message};
use crate::trunk::diagnosis::Symptom;
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Room made for one read: a TLS record, or some messages.
const READ: usize = 16 * 1024;
/// How long a connection lives on after an error, for the response that names the fault to leave.
const LINGER: Duration = Duration::from_secs(2);
/// How long a connection whose identity was replaced must be quiet before it is closed: longer than
/// 64·T1, so that no transaction still counts on it.
const QUIET: Duration = Duration::from_secs(35);
/// How long the farewell of TLS may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How a keep-alive and its answer begin.
const PING: &[u8] = b"\r\n\r\n";
/// Malformed messages in a row after which a peer is taken for no SIP element.
const MOST_MALFORMED: u32 = 16;

/// What makes the task act.
enum Step {
    Read,
    Tick,
    Ended(String),
}

/// What becomes of octets that come.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Reading {
    /// They are messages.
    Messages,
    /// They are read and dropped: left unread, they would have the system reset the connection at its end,
    /// and our last answer with it.
    Nothing,
    /// None come any more; an answer may still be on its way out.
    Over,
}

struct Connection<'a, S> {
    shared: &'a Shared,
    flow: &'a Rc<Flow>,
    stream: S,
    framer: Framer,
    buffer: BytesMut,
    reading: Reading,
    /// Octets were given to the stream and may still be in it.
    unflushed: bool,
    malformed: u32,
    /// Since when a message has begun and not ended; `None` between messages.
    unfinished: Option<Instant>,
    /// When octets last came or a message last left; keep-alives of ours do not count.
    heard: Instant,
    /// When a message last came or left.
    used: Instant,
    pinged: Instant,
    /// The last keep-alive of ours has no answer yet.
    unanswered: bool,
    /// The peer has answered one before; that it does is promised by neither platform.
    answers: bool,
    /// When the peer has to have sent something, since it answers keep-alives.
    pong_due: Option<Instant>,
    /// The end, whatever happens.
    deadline: Option<(Instant, &'static str)>,
    timer: Pin<Box<Sleep>>,
}

/// Serves a connection until it ends; returns why it ended, in words.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Rc<Shared>,
    flow: &Rc<Flow>,
    stream: S,
) -> String {
    let now = Instant::now();
    let mut connection = Connection {
        shared,
        flow,
        stream,
        framer: Framer::default(),
        buffer: BytesMut::new(),
        reading: Reading::Messages,
        unflushed: false,
        malformed: 0,
        unfinished: None,
        heard: now,
        used: now,
        pinged: now,
        unanswered: false,
        answers: false,
        pong_due: None,
        deadline: None,
        timer: Box::pin(sleep_until(now)),
    };
    let Some(reason) = contained(connection.run()).await else {
        // Without this, messages would be queued on a flow that nobody serves.
        shared.counters.failed.add();
        return "failed while it was served".into();
    };
    if !matches!(flow.queue.ending(), Some(Ending::Cut(_))) {
        // A TLS peer is told; one that does not listen is not waited for.
        let _ = timeout(FAREWELL, connection.stream.shutdown()).await;
    }
    reason
}

/// What `future` comes to; `None` when it panics: the fault of one connection must not outlive it.
async fn contained<R>(future: impl Future<Output = R>) -> Option<R> {
    let mut future = pin!(future);
    let poll = |cx: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    };
    poll_fn(poll).await
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self) -> String {
        self.arm();
        loop {
            match poll_fn(|cx| self.poll(cx)).await {
                Step::Read if self.reading != Reading::Messages => {
                    self.buffer.clear();
                    // A flood must not keep the end from coming.
                    if let Some(reason) = self.due() {
                        return reason;
                    }
                }
                Step::Read => {
                    if let Err(gone) = self.take_frames().await {
                        return gone;
                    }
                }
                Step::Tick => {
                    if let Some(reason) = self.due() {
                        return reason;
                    }
                    self.arm();
                }
                Step::Ended(reason) => return reason,
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let ending = self.flow.queue.ending();
        if let Some(Ending::Cut(reason)) = ending {
            return Poll::Ready(Step::Ended(reason.into()));
        }
        match (self.poll_write(cx), ending) {
            (Poll::Ready(Ok(())), Some(Ending::Flushed(reason))) => return Poll::Ready(Step::Ended(reason.into())),
            (Poll::Ready(Err(error)), _) => return Poll::Ready(self.lost(&error)),
            // What waits is not waited for longer than this.
            (Poll::Pending, Some(Ending::Flushed(reason))) if self.deadline.is_none() => {
                self.end_within(LINGER, reason)
            }
            (Poll::Ready(Ok(())) | Poll::Pending, _) => {}
        }
        if self.reading != Reading::Over {
            match self.poll_read(cx) {
                Poll::Ready(Ok(0)) if self.reading == Reading::Nothing => self.reading = Reading::Over,
                Poll::Ready(Ok(0)) => {
                    self.shared.counters.lost.add();
                    return Poll::Ready(Step::Ended("closed by the peer".into()));
                }
                Poll::Ready(Ok(_)) => return Poll::Ready(Step::Read),
                Poll::Ready(Err(error)) => return Poll::Ready(self.lost(&error)),
                Poll::Pending => {}
            }
        }
        self.flow.queue.park(cx.waker());
        if self.flow.queue.nudged() || self.timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Step::Tick);
        }
        Poll::Pending
    }

    fn lost(&self, error: &io::Error) -> Step {
        self.shared.counters.lost.add();
        // Many stacks end TLS without close_notify; that is an end like any other.
        let closed = error.kind() == io::ErrorKind::UnexpectedEof;
        // TLS 1.3 tells only here what it thinks of our certificate.
        self.flow.symptom.set(fault::of_tls(error, Symptom::Lost));
        Step::Ended(if closed { "closed by the peer".into() } else { error.to_string() })
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < READ / 4 {
            self.buffer.reserve(READ);
        }
        pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.flow.queue.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(self.flow.queue.with_pieces(|pieces| stream.poll_write_vectored(cx, pieces)))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            let completed = self.flow.queue.advance(written);
            if completed > 0 {
                self.used = Instant::now();
                self.heard = self.used;
                (0..completed).for_each(|_| self.shared.counters.messages_out.add());
            }
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Hands on every whole message that was read.
    async fn take_frames(&mut self) -> Result<(), String> {
        self.heard = Instant::now();
        // A message shows as well as a pong that the peer is there.
        self.pong_due = None;
        loop {
            if self.unanswered && self.framer.take_pong(&mut self.buffer) {
                (self.unanswered, self.answers) = (false, true);
                self.shared.counters.pongs.add();
            }
            match self.framer.next(&mut self.buffer) {
                Ok(Some(Frame::Message(octets))) => self.take_message(octets).await?,
                Ok(Some(Frame::Ping)) => {
                    self.shared.counters.pings.add();
                    self.write(b"\r\n");
                }
                Ok(None) => break,
                Err(error) => return self.lose_framing(error).await,
            }
            // What is left begun has begun now, however long the one before it took.
            self.unfinished = None;
            if self.reading != Reading::Messages {
                return Ok(());
            }
        }
        if !PING.starts_with(&self.buffer) && self.unfinished.is_none() {
            self.unfinished = Some(Instant::now());
            self.arm();
        }
        Ok(())
    }

    async fn take_message(&mut self, octets: Bytes) -> Result<(), String> {
        self.used = self.heard;
        match Message::parse(octets) {
            Ok(message) => {
                self.malformed = 0;
                self.shared.counters.messages_in.add();
                self.shared.alias(self.flow, &message);
                self.arrive(Arrival::Message { message, flow: self.flow.id, peer: self.flow.peer() }).await
            }
            Err(rejected) => {
                self.malformed += 1;
                self.shared.counters.malformed.add();
                tracing::info!(flow = self.flow.id.n, source = %self.flow.peer().source, fault = %rejected.fault, "malformed message");
                let (flow, peer) = (self.flow.id, self.flow.peer());
                let (request, fault) = (rejected.request, rejected.fault);
                self.arrive(Arrival::Malformed { request, fault, flow, peer }).await?;
                if self.malformed >= MOST_MALFORMED {
                    self.reading = Reading::Nothing;
                    self.end_within(LINGER, "not SIP");
                }
                Ok(())
            }
        }
    }

    /// The end of a message cannot be known: what can be read of it is reported, so that the core can
    /// answer 400 or 513, and the connection ends soon after.
    async fn lose_framing(&mut self, error: FramingError) -> Result<(), String> {
        self.shared.counters.framing_errors.add();
        tracing::info!(flow = self.flow.id.n, source = %self.flow.peer().source, %error, "framing lost");
        self.reading = Reading::Nothing;
        self.unfinished = None;
        let buffer = std::mem::take(&mut self.buffer);
        let (request, fault) = unframed(error, buffer.freeze());
        let (flow, peer, answerable) = (self.flow.id, self.flow.peer(), request.is_some());
        self.arrive(Arrival::Malformed { request, fault, flow, peer }).await?;
        self.end_within(if answerable { LINGER } else { Duration::ZERO }, "not SIP");
        Ok(())
    }

    async fn arrive(&self, arrival: Arrival) -> Result<(), String> {
        self.shared.arrivals.send(arrival).await.map_err(|_| "the worker ended".to_owned())
    }

    fn write(&self, octets: &'static [u8]) {
        let limit = self.shared.state.load().connections.write_queue;
        if !self.flow.queue.push(None, Bytes::from_static(octets), limit) {
            self.shared.cut_slow(self.flow);
        }
    }

    fn end_within(&mut self, time: Duration, reason: &'static str) {
        self.deadline = Some((Instant::now() + time, reason));
        self.arm();
    }

    /// When something falls due next, and what is due now: two readings of the same deadlines.
    fn idle_at(&self) -> Instant {
        self.heard + self.shared.state.load().connections.idle_timeout
    }

    fn unfinished_at(&self) -> Option<Instant> {
        Some(self.unfinished? + self.shared.state.load().connections.message_timeout)
    }

    fn ping_at(&self) -> Option<Instant> {
        self.flow.dialled().then(|| self.pinged + self.shared.state.load().connections.keepalive)
    }

    fn retire_at(&self) -> Option<Instant> {
        let since = self.flow.retired_since()?;
        Some((self.used + QUIET).min(since + self.shared.state.load().recycle_timeout))
    }

    fn arm(&mut self) {
        let ends = [self.deadline.map(|(at, _)| at), self.unfinished_at(), self.retire_at(), self.pong_due];
        let others = ends.into_iter().chain([self.ping_at()]);
        let next = others.flatten().fold(self.idle_at(), Instant::min);
        self.timer.as_mut().reset(next);
    }

    /// Does what is due; the reason when the connection has to end.
    fn due(&mut self) -> Option<String> {
        let now = Instant::now();
        if let Some((at, reason)) = self.deadline
            && at <= now
        {
            return Some(reason.into());
        }
        if self.retire_at().is_some_and(|at| at <= now) {
            self.shared.counters.recycled.add();
            return Some("identity or trust was replaced".into());
        }
        if self.unfinished_at().is_some_and(|at| at <= now) {
            self.shared.counters.stalled.add();
            let (source, octets) = (self.flow.peer().source, self.buffer.len());
            tracing::info!(flow = self.flow.id.n, %source, octets, "message begun and not ended, connection closed");
            return Some("message not ended in time".into());
        }
        if self.idle_at() <= now {
            self.shared.counters.idle_closed.add();
            return Some("silent too long".into());
        }
        if self.pong_due.is_some_and(|at| at <= now) {
            self.shared.counters.unanswered.add();
            let source = self.flow.peer().source;
            tracing::warn!(flow = self.flow.id.n, %source, "keep-alive not answered, connection closed");
            return Some("keep-alive not answered".into());
        }
        if self.ping_at().is_some_and(|at| at <= now) {
            self.pinged = now;
            self.unanswered = true;
            let limit = self.shared.state.load().connections.pong_timeout.filter(|_| self.answers);
            self.pong_due = self.pong_due.or(limit.map(|limit| now + limit));
            self.write(PING);
        }
        None
    }
}

/// What can be read of octets on a stream that are no frame, and what is wrong with them.
pub fn unframed(error: FramingError, octets: Bytes) -> (Option<Box<Message>>, Malformed) {
    // Where the header section has an end, its body is no part of what is answered.
    let end = memchr::memmem::find(&octets, b"\r\n\r\n").map_or(octets.len(), |end| end + 4);
    let fault = match error {
        FramingError::TooLarge => Malformed::TooLarge,
        FramingError::NoContentLength => Malformed::Missing(crate::sip::Name::ContentLength),
        FramingError::BadContentLength => Malformed::ContentLength,
    };
    match Message::parse(octets.slice(..end)) {
        Ok(message) => (message.is_request().then(|| Box::new(message)), fault),
        // What is wrong further up is nearer to the cause, except where only the size is.
        Err(rejected) if fault != Malformed::TooLarge => (rejected.request, rejected.fault),
        Err(rejected) => (rejected.request, fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_panics_ends_like_one_that_fails() {
        assert_eq!(contained(async { 7 }).await, Some(7));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("while it was served");
        };
        assert_eq!(contained::<u32>(panics).await, None);
    }
}
