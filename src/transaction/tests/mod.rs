//! The machines with their messages: matching, flows, what is made here, and that tables empty.

mod client;
mod life;
mod server;

use super::*;
use crate::flow::{Hop, Transport, TrunkId};
use crate::sip::Method;
use smallvec::smallvec;
use std::sync::Arc;

const T1: Duration = Duration::from_millis(500);

/// A worker's transactions on a clock of their own.
struct World {
    transactions: Transactions,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { transactions: Transactions::new(T1, 7), now: Instant::now() }
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.transactions.poll()).collect()
    }

    /// The start lines of what was sent since the last look; other effects in words.
    fn story(&mut self) -> Vec<String> {
        self.effects().iter().map(describe).collect()
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.transactions.poll_timeout().filter(|&at| at <= end) {
            self.now = at;
            self.transactions.handle_timeout(at);
        }
        self.now = end;
    }

    fn receive(&mut self, request: &Message, transport: Transport) -> Received {
        self.transactions.receive_request(self.now, request, flow(1), transport)
    }

    fn new_request(&mut self, request: &Message, transport: Transport) -> ServerId {
        match self.receive(request, transport) {
            Received::New(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn respond(&mut self, id: ServerId, status: u16) -> bool {
        self.transactions.respond(self.now, id, status, Bytes::from(format!("SIP/2.0 {status} x\r\n\r\n")))
    }

    fn send(&mut self, method: Method, transport: Transport) -> ClientId {
        let octets = ours(&method);
        self.transactions.request(self.now, octets, &method, BRANCH, hop(transport), transport, 99)
    }

    fn answer(&mut self, method: &str, status: u16) -> Option<Kind> {
        let response = response(BRANCH, method, status);
        let matched = self.transactions.receive_response(self.now, &response)?;
        assert_eq!(matched.user, 99);
        Some(matched.kind)
    }

    fn assert_empty(&self) {
        let transactions = &self.transactions;
        assert_eq!(transactions.gauges(), (0, 0));
        assert_eq!(transactions.poll_timeout(), None);
        assert_eq!((transactions.timers.len(), transactions.flows.len()), (0, 0));
        let indexes = [&transactions.by_branch, &transactions.by_request, &transactions.by_origin];
        assert!(indexes.iter().all(|index| index.len() == 0));
    }
}

fn describe(effect: &Effect) -> String {
    let first_line = |octets: &Bytes| String::from_utf8_lossy(octets).lines().next().unwrap_or("").to_owned();
    match effect {
        Effect::Send { to: Destination::Flow(flow), octets, .. } => format!("{} on {}", first_line(octets), flow.n),
        Effect::Send { to: Destination::Hop(hop), octets, .. } => format!("{} to {}", first_line(octets), hop.host),
        Effect::ResponseUnsendable { octets, .. } => format!("unsendable {}", first_line(octets)),
        Effect::TryingDue { user, .. } => format!("trying due {user}"),
        Effect::TimedOut { user, .. } => format!("timed out {user}"),
        Effect::Unreachable { user, .. } => format!("unreachable {user}"),
        Effect::NoAck { user, .. } => format!("no ack {user}"),
    }
}

fn token_of(effects: &[Effect]) -> Token {
    match effects {
        [.., Effect::Send { token, .. }] => *token,
        other => panic!("{other:?}"),
    }
}

const BRANCH: &str = "z9hG4bKtd00010000002a079f86d081884c7d65";
const SENT: &str = "sip:+14255550123@gw.example.com";

fn flow(n: u64) -> FlowId {
    FlowId { node: 0, worker: 0, n }
}

fn hop(transport: Transport) -> Destination {
    let hop = Hop { trunk: TrunkId(0), transport, host: "gw.example.com".into(), port: 5061, addresses: smallvec![] };
    Destination::Hop(Arc::new(hop))
}

fn parsed(text: &str) -> Message {
    Message::parse(Bytes::from(text.replace('\n', "\r\n"))).unwrap()
}

/// A request of ours.
fn ours(method: &Method) -> Bytes {
    let text = format!(
        "{method} {SENT} SIP/2.0\n\
         Via: SIP/2.0/TLS sbc1.example.com:5061;branch={BRANCH};alias\n\
         Max-Forwards: 69\n\
         Route: <sip:a.example.com;lr>, <sip:b.example.com;lr>\n\
         Route: <sip:c.example.com;lr>\n\
         From: \"Ada\" <sip:+14255550100@sbc1.example.com>;tag=ours\n\
         To: <sip:+14255550123@gw.example.com>\n\
         Call-ID: call-1@sbc1.example.com\n\
         CSeq: 7 {method}\n\
         Content-Length: 0\n\n"
    );
    Bytes::from(text.replace('\n', "\r\n"))
}

fn response(branch: &str, method: &str, status: u16) -> Message {
    parsed(&format!(
        "SIP/2.0 {status} x\n\
         Via: SIP/2.0/TLS sbc1.example.com:5061;branch={branch};alias\n\
         From: \"Ada\" <sip:+14255550100@sbc1.example.com>;tag=ours\n\
         To: <sip:+14255550123@gw.example.com>;tag=theirs\n\
         Call-ID: call-1@sbc1.example.com\n\
         CSeq: 7 {method}\n\n"
    ))
}

/// A request of others.
struct Theirs<'a> {
    method: &'a str,
    via: &'a str,
    to_tag: &'a str,
    call_id: &'a str,
    cseq: u32,
}

const INVITE: Theirs = Theirs {
    method: "INVITE",
    via: "SIP/2.0/TLS ua.example.com:5061;branch=z9hG4bKabc",
    to_tag: "",
    call_id: "call-2@ua.example.com",
    cseq: 1,
};

impl Theirs<'_> {
    fn message(&self) -> Message {
        let Self { method, via, to_tag, call_id, cseq } = self;
        parsed(&format!(
            "{method} sip:+496955501@sbc1.example.com SIP/2.0\n\
             Via: {via}\n\
             From: <sip:+14255550123@ua.example.com>;tag=theirs\n\
             To: <sip:+496955501@sbc1.example.com>{to_tag}\n\
             Call-ID: {call_id}\n\
             CSeq: {cseq} {method}\n\n"
        ))
    }
}

#[test]
fn stale_ids_are_harmless() {
    let mut world = World::new();
    let server = world.new_request(&Theirs { method: "OPTIONS", ..INVITE }.message(), Transport::Tls);
    world.respond(server, 200);
    let client = world.send(Method::Options, Transport::Tls);
    world.answer("OPTIONS", 200);
    world.effects();
    world.assert_empty();
    let new_server = world.new_request(&Theirs { method: "OPTIONS", cseq: 2, ..INVITE }.message(), Transport::Tls);
    world.send(Method::Options, Transport::Tls);
    world.effects();
    assert!(!world.respond(server, 200) && server != new_server);
    world.transactions.redirect(server, hop(Transport::Tls));
    world.transactions.acknowledged(server);
    world.transactions.set_server_user(server, 1);
    world.transactions.abandon(client);
    assert!(!world.transactions.cancel_allowed(client));
    assert_eq!(world.transactions.client_user(client), None);
    assert_eq!((world.transactions.server_user(server), world.transactions.flow_of(server)), (None, None));
    assert_eq!(world.transactions.server_user(new_server), Some(0));
    assert!(world.effects().is_empty());
    assert_eq!(world.transactions.gauges(), (1, 1));
}
