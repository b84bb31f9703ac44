//! The machines with their messages: matching, flows, what is made here, and that tables empty.

use super::*;
use crate::flow::{Hop, Transport, TrunkId};
use crate::sip::{Field, Method, Name};
use proptest::prelude::*;
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
fn an_invite_of_ours_is_repeated_until_its_first_response_and_its_failure_is_acknowledged_here() {
    let mut world = World::new();
    let id = world.send(Method::Invite, Transport::Udp);
    world.pass(T1 * 3);
    assert_eq!(world.story(), [format!("INVITE {SENT} SIP/2.0 to gw.example.com").as_str(); 3]);
    assert!(!world.transactions.cancel_allowed(id));
    assert_eq!(world.answer("INVITE", 180), Some(Kind::Provisional));
    assert!(world.transactions.cancel_allowed(id));
    world.pass(T1 * 100);
    assert!(world.effects().is_empty());
    assert_eq!(world.answer("INVITE", 486), Some(Kind::Final));
    assert_eq!(world.answer("INVITE", 486), None);
    assert_eq!(world.story(), [format!("ACK {SENT} SIP/2.0 to gw.example.com").as_str(); 2]);
    world.pass(T1 * 64);
    world.assert_empty();
}

#[test]
fn the_ack_of_a_failure_has_the_branch_and_route_of_the_invite_and_the_to_of_the_response() {
    let mut world = World::new();
    world.send(Method::Invite, Transport::Tls);
    let token = token_of(&world.effects());
    world.transactions.sent(token, flow(4));
    world.answer("INVITE", 503);
    let effects = world.effects();
    let [Effect::Send { to: Destination::Flow(on), octets, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(on.n, 4);
    let ack = Message::parse(octets.clone()).unwrap();
    assert_eq!((ack.method(), ack.request_uri()), (&Method::Ack, SENT));
    let via: Vec<&str> = ack.values(Name::Via).collect();
    assert_eq!(via, [format!("SIP/2.0/TLS sbc1.example.com:5061;branch={BRANCH};alias").as_str()]);
    let route: Vec<&str> = ack.values(Name::Route).collect();
    assert_eq!(route, ["<sip:a.example.com;lr>", "<sip:b.example.com;lr>", "<sip:c.example.com;lr>"]);
    assert_eq!(ack.header(Name::From), Some("\"Ada\" <sip:+14255550100@sbc1.example.com>;tag=ours"));
    assert_eq!(ack.header(Name::To), Some("<sip:+14255550123@gw.example.com>;tag=theirs"));
    assert_eq!(ack.header(Name::CSeq), Some("7 ACK"));
    assert_eq!((ack.call_id(), ack.header(Name::MaxForwards)), ("call-1@sbc1.example.com", Some("70")));
    world.assert_empty();
}

#[test]
fn every_2xx_to_an_invite_reaches_the_user_for_64_t1() {
    let mut world = World::new();
    world.send(Method::Invite, Transport::Tls);
    assert_eq!(world.answer("INVITE", 200), Some(Kind::Final));
    assert_eq!(world.answer("INVITE", 200), Some(Kind::Repeated2xx));
    assert_eq!(world.answer("INVITE", 180), None);
    world.pass(T1 * 64);
    assert_eq!(world.answer("INVITE", 200), None);
    world.assert_empty();
}

#[test]
fn a_response_is_found_by_branch_and_cseq_method_alone() {
    let mut world = World::new();
    world.send(Method::Bye, Transport::Udp);
    assert_eq!(world.answer("INVITE", 200), None);
    let other = response("z9hG4bKother", "BYE", 200);
    assert!(!world.transactions.owns(&other));
    assert_eq!(world.transactions.receive_response(world.now, &other), None);
    let bare = parsed("SIP/2.0 200 OK\nVia: SIP/2.0/TLS x\nFrom: <sip:a>\nTo: <sip:b>\nCall-ID: c\nCSeq: 7 BYE\n\n");
    assert_eq!(world.transactions.receive_response(world.now, &bare), None);
    assert!(world.transactions.owns(&response(BRANCH, "BYE", 200)));
    assert_eq!(world.answer("BYE", 200), Some(Kind::Final));
    assert_eq!(world.answer("BYE", 200), None);
    assert!(world.transactions.owns(&response(BRANCH, "BYE", 200)), "a repeat is absorbed, not stray");
}

#[test]
fn a_request_without_answer_times_out_and_is_gone() {
    for (method, transport) in [(Method::Invite, Transport::Tls), (Method::Bye, Transport::Udp)] {
        let mut world = World::new();
        let id = world.send(method, transport);
        assert_eq!(world.transactions.sent_branch(id), Some(BRANCH));
        world.pass(T1 * 64 - Duration::from_millis(1));
        assert!(!world.story().contains(&"timed out 99".to_owned()));
        world.pass(Duration::from_millis(1));
        assert_eq!(world.story().last().unwrap(), "timed out 99");
        assert_eq!(world.transactions.sent_branch(id), None);
        world.assert_empty();
    }
}

#[test]
fn a_cancel_follows_its_invite_and_gives_it_64_t1_to_end() {
    let mut world = World::new();
    let id = world.send(Method::Invite, Transport::Tls);
    let token = token_of(&world.effects());
    world.transactions.sent(token, flow(4));
    let fields = [(Field::from(Name::Reason), "SIP;cause=200;text=\"Call completed elsewhere\"")];
    assert_eq!(world.transactions.cancel(world.now, id, 99, &fields), None, "no response yet");
    world.answer("INVITE", 180);
    assert!(world.transactions.cancel(world.now, id, 99, &fields).is_some());
    assert_eq!(world.transactions.cancel(world.now, id, 99, &fields), None, "once only");
    let effects = world.effects();
    let [Effect::Send { to: Destination::Flow(_), octets, .. }] = &effects[..] else { panic!("{effects:?}") };
    let cancel = Message::parse(octets.clone()).unwrap();
    assert_eq!((cancel.method(), cancel.request_uri(), cancel.cseq().number), (&Method::Cancel, SENT, 7));
    assert_eq!(cancel.header(Name::To), Some("<sip:+14255550123@gw.example.com>"));
    assert_eq!(cancel.header(Name::Reason), Some(fields[0].1));
    assert_eq!(cancel.values(Name::Route).count(), 3);
    assert_eq!(world.answer("CANCEL", 200), Some(Kind::Final));
    world.pass(T1 * 64);
    assert_eq!(world.story(), ["timed out 99"]);
    world.assert_empty();
}

#[test]
fn a_cancel_that_the_user_wrote_bounds_the_invite_too() {
    let mut world = World::new();
    let id = world.send(Method::Invite, Transport::Tls);
    world.answer("INVITE", 180);
    world.send(Method::Cancel, Transport::Tls);
    assert!(!world.transactions.cancel_allowed(id));
    assert_eq!(world.answer("CANCEL", 200), Some(Kind::Final));
    assert_eq!(world.answer("INVITE", 487), Some(Kind::Final));
    world.assert_empty();
}

#[test]
fn an_abandoned_request_is_silent_for_ever() {
    let mut world = World::new();
    let id = world.send(Method::Invite, Transport::Udp);
    world.effects();
    world.transactions.abandon(id);
    world.transactions.abandon(id);
    world.pass(T1 * 64);
    assert!(world.effects().is_empty());
    assert_eq!(world.answer("INVITE", 180), None);
    world.assert_empty();
}

#[test]
fn a_failed_send_ends_only_what_has_had_no_response() {
    let mut world = World::new();
    world.send(Method::Invite, Transport::Tls);
    let token = token_of(&world.effects());
    assert!(token.0 >= TOKENS);
    world.transactions.send_failed(world.now, token);
    assert_eq!(world.story(), ["unreachable 99"]);
    world.assert_empty();
    world.transactions.send_failed(world.now, token);
    world.transactions.send_failed(world.now, Token(1));
    world.send(Method::Invite, Transport::Tls);
    let second = token_of(&world.effects());
    world.transactions.send_failed(world.now, token);
    world.answer("INVITE", 100);
    world.transactions.send_failed(world.now, second);
    assert!(world.effects().is_empty());
    assert_eq!(world.answer("INVITE", 200), Some(Kind::Final));
}

#[test]
fn a_lost_flow_ends_only_its_own_unanswered_requests() {
    // TDR-80: what has had a provisional response goes on over another connection.
    let mut world = World::new();
    let branches: Vec<String> = (0..5).map(|n| format!("z9hG4bK{n}")).collect();
    for (user, branch) in (0..).zip(&branches) {
        let (octets, to) = (ours(&Method::Invite), hop(Transport::Tls));
        world.transactions.request(world.now, octets, &Method::Invite, branch, to, Transport::Tls, user);
        let token = token_of(&world.effects());
        world.transactions.sent(token, flow(if user == 4 { 2 } else { 1 }));
    }
    for n in [0, 2] {
        world.transactions.receive_response(world.now, &response(&branches[n], "INVITE", 180)).unwrap();
    }
    world.transactions.flow_lost(world.now, flow(1));
    let mut story = world.story();
    story.sort();
    assert_eq!(story, ["unreachable 1", "unreachable 3"]);
    world.transactions.flow_lost(world.now, flow(1));
    assert!(world.effects().is_empty());
    world.transactions.receive_response(world.now, &response(&branches[0], "INVITE", 486)).unwrap();
    assert_eq!(world.story(), [format!("ACK {SENT} SIP/2.0 to gw.example.com")]);
    assert_eq!(world.transactions.gauges(), (2, 0));
    world.transactions.flow_lost(world.now, flow(2));
    assert_eq!(world.story(), ["unreachable 4"]);
    world.transactions.receive_response(world.now, &response(&branches[2], "INVITE", 486)).unwrap();
    world.assert_empty();
}

#[test]
fn a_request_sent_on_a_flow_is_lost_with_it() {
    let mut world = World::new();
    let to = Destination::Flow(flow(9));
    world.transactions.request(world.now, ours(&Method::Bye), &Method::Bye, BRANCH, to, Transport::Tls, 99);
    assert_eq!(world.story(), [format!("BYE {SENT} SIP/2.0 on 9")]);
    world.transactions.flow_lost(world.now, flow(9));
    assert_eq!(world.story(), ["unreachable 99"]);
    world.assert_empty();
}

#[test]
fn repeats_of_an_invite_get_the_last_response_and_the_ack_of_a_failure_ends_here() {
    let mut world = World::new();
    let id = world.new_request(&INVITE.message(), Transport::Udp);
    assert_eq!(world.receive(&INVITE.message(), Transport::Udp), Received::Absorbed);
    assert!(world.effects().is_empty());
    assert!(world.respond(id, 180));
    assert_eq!(world.receive(&INVITE.message(), Transport::Udp), Received::Absorbed);
    assert!(world.respond(id, 404));
    assert!(!world.respond(id, 404) && !world.respond(id, 200), "a final response is sent once");
    assert_eq!(world.receive(&INVITE.message(), Transport::Udp), Received::Absorbed);
    world.pass(T1);
    let story = world.story();
    assert_eq!(story.iter().filter(|line| line.contains("180")).count(), 2);
    assert_eq!(story.iter().filter(|line| line.contains("404")).count(), 3);
    let ack = Theirs { method: "ACK", to_tag: ";tag=ours", ..INVITE }.message();
    assert!(world.transactions.owns(&ack));
    assert_eq!(world.receive(&ack, Transport::Udp), Received::AckAbsorbed);
    assert_eq!(world.receive(&ack, Transport::Udp), Received::AckAbsorbed);
    world.pass(T1 * 64);
    assert!(world.effects().is_empty());
    world.assert_empty();
}

#[test]
fn a_2xx_is_the_users_to_repeat_and_its_ack_the_dialogs() {
    let mut world = World::new();
    let id = world.new_request(&INVITE.message(), Transport::Tls);
    assert!(world.respond(id, 200) && world.respond(id, 200));
    assert_eq!(world.receive(&INVITE.message(), Transport::Tls), Received::Absorbed);
    assert_eq!(world.story(), ["SIP/2.0 200 x on 1"; 2]);
    let via = "SIP/2.0/TLS ua.example.com:5061;branch=z9hG4bKack";
    let ack = Theirs { method: "ACK", via, to_tag: ";tag=ours", ..INVITE }.message();
    assert!(!world.transactions.owns(&ack));
    assert_eq!(world.receive(&ack, Transport::Tls), Received::Ack);
    assert_eq!(world.transactions.gauges(), (0, 1));
    world.transactions.acknowledged(id);
    world.assert_empty();
}

#[test]
fn without_an_ack_timer_h_tells_the_user() {
    let mut world = World::new();
    let id = world.new_request(&INVITE.message(), Transport::Tls);
    world.transactions.set_server_user(id, 5);
    assert_eq!(world.transactions.server_user(id), Some(5));
    world.respond(id, 503);
    world.effects();
    world.pass(T1 * 64);
    assert_eq!(world.story(), ["no ack 5"]);
    world.assert_empty();
}

#[test]
fn server_transactions_are_told_apart_by_branch_sent_by_and_method() {
    let mut world = World::new();
    world.new_request(&INVITE.message(), Transport::Udp);
    for via in [
        "SIP/2.0/TLS ua.example.com:5061;branch=z9hG4bKABC;x=1",
        "SIP/2.0/TLS UA.example.com;branch=Z9HG4BKabc",
        "SIP / 2.0 / TLS ua.example.com ; rport ; branch=z9hG4bKabc",
    ] {
        assert_eq!(world.receive(&Theirs { via, ..INVITE }.message(), Transport::Udp), Received::Absorbed, "{via}");
    }
    for (n, via) in (2..).zip([
        "SIP/2.0/TLS ua.example.com:5061;branch=z9hG4bKabd",
        "SIP/2.0/TLS ub.example.com:5061;branch=z9hG4bKabc",
        "SIP/2.0/TLS ua.example.com:5062;branch=z9hG4bKabc",
    ]) {
        world.new_request(&Theirs { via, cseq: n, ..INVITE }.message(), Transport::Udp);
    }
    world.new_request(&Theirs { method: "BYE", to_tag: ";tag=ours", ..INVITE }.message(), Transport::Udp);
}

#[test]
fn a_request_without_the_cookie_is_matched_as_rfc_2543_did() {
    let old = Theirs { via: "SIP/2.0/UDP old.example.com;branch=1", ..INVITE };
    for via in ["SIP/2.0/UDP old.example.com", "SIP/2.0/UDP old.example.com;branch=z9hG4bK", old.via, "nonsense"] {
        let mut world = World::new();
        let id = world.new_request(&Theirs { via, ..old }.message(), Transport::Udp);
        assert_eq!(world.receive(&Theirs { via, ..old }.message(), Transport::Udp), Received::Absorbed, "{via}");
        world.new_request(&Theirs { via, call_id: "another", ..old }.message(), Transport::Udp);
        world.new_request(&Theirs { via, cseq: 2, ..old }.message(), Transport::Udp);
        let ack = Theirs { method: "ACK", via, to_tag: ";tag=ours", ..old }.message();
        world.respond(id, 486);
        assert_eq!(world.receive(&ack, Transport::Udp), Received::AckAbsorbed, "{via}");
        let mut world = World::new();
        let id = world.new_request(&Theirs { via, ..old }.message(), Transport::Udp);
        world.respond(id, 200);
        assert_eq!(world.receive(&ack, Transport::Udp), Received::Ack, "the 2xx's, under the same branch: {via}");
    }
}

#[test]
fn a_cancel_finds_its_invite_and_has_a_transaction_of_its_own() {
    let mut world = World::new();
    let cancel = Theirs { method: "CANCEL", ..INVITE }.message();
    assert!(!world.transactions.owns(&cancel));
    let invite = world.new_request(&INVITE.message(), Transport::Udp);
    assert!(world.transactions.owns(&cancel));
    let Received::Cancel { cancel: id, invite: Some(found) } = world.receive(&cancel, Transport::Udp) else {
        panic!("not found")
    };
    assert_eq!(found, invite);
    assert!(world.respond(id, 200) && world.respond(invite, 487));
    assert_eq!(world.receive(&cancel, Transport::Udp), Received::Absorbed);
    assert_eq!(world.story().iter().filter(|line| line.contains("200")).count(), 2);
    let stray = Theirs { via: "SIP/2.0/UDP ua.example.com;branch=z9hG4bKnone", method: "CANCEL", ..INVITE }.message();
    assert!(matches!(world.receive(&stray, Transport::Udp), Received::Cancel { invite: None, .. }));
}

#[test]
fn the_same_request_over_another_branch_is_merged() {
    let mut world = World::new();
    let first = world.new_request(&INVITE.message(), Transport::Tls);
    let other = Theirs { via: "SIP/2.0/TLS proxy.example.com;branch=z9hG4bKfork", ..INVITE };
    let Received::Merged(id) = world.receive(&other.message(), Transport::Tls) else { panic!("not merged") };
    assert!(world.respond(id, 482));
    let in_dialog = Theirs { to_tag: ";tag=ours", via: "SIP/2.0/TLS p.example.com;branch=z9hG4bK1", ..INVITE };
    world.new_request(&in_dialog.message(), Transport::Tls);
    let next = Theirs { cseq: 2, via: "SIP/2.0/TLS p.example.com;branch=z9hG4bK2", ..INVITE };
    world.new_request(&next.message(), Transport::Tls);
    world.respond(first, 486);
    let ack = Theirs { method: "ACK", ..INVITE }.message();
    assert_eq!(world.receive(&ack, Transport::Tls), Received::AckAbsorbed);
    let late = Theirs { via: "SIP/2.0/TLS p.example.com;branch=z9hG4bK3", ..INVITE };
    assert!(matches!(world.receive(&late.message(), Transport::Tls), Received::New(_)), "the first one has ended");
}

#[test]
fn a_non_invite_request_that_waits_asks_for_a_100_and_is_given_up_in_silence() {
    let mut world = World::new();
    let info = Theirs { method: "INFO", to_tag: ";tag=ours", ..INVITE }.message();
    let id = world.new_request(&info, Transport::Udp);
    assert!(!world.respond(id, 100), "too early over UDP");
    world.pass(T1 * 7);
    assert_eq!(world.story(), ["trying due 0"]);
    assert!(world.respond(id, 100));
    assert!(!world.respond(id, 408));
    assert_eq!(world.story(), ["SIP/2.0 100 x on 1"]);
    world.assert_empty();
}

#[test]
fn a_response_on_a_lost_flow_goes_where_the_user_says() {
    for method in ["INVITE", "BYE"] {
        let mut world = World::new();
        let id = world.new_request(&Theirs { method, ..INVITE }.message(), Transport::Tls);
        world.transactions.flow_lost(world.now, flow(1));
        assert!(world.respond(id, 200));
        assert_eq!(world.story(), ["unsendable SIP/2.0 200 x"]);
        world.transactions.redirect(id, hop(Transport::Tls));
        let effects = world.effects();
        assert_eq!(describe(&effects[0]), "SIP/2.0 200 x to gw.example.com");
        world.transactions.sent(token_of(&effects), flow(8));
        world.transactions.send_failed(world.now, token_of(&effects));
        assert!(world.effects().is_empty(), "there is no third way");
        world.pass(T1 * 64);
        world.assert_empty();
    }
}

#[test]
fn a_response_that_could_not_be_sent_comes_back() {
    let mut world = World::new();
    let id = world.new_request(&INVITE.message(), Transport::Tls);
    world.respond(id, 200);
    let token = token_of(&world.effects());
    world.transactions.send_failed(world.now, token);
    assert_eq!(world.story(), ["unsendable SIP/2.0 200 x"]);
}

#[test]
fn a_repeat_over_a_new_connection_moves_the_responses_there() {
    let mut world = World::new();
    let id = world.new_request(&INVITE.message(), Transport::Tls);
    world.respond(id, 180);
    let repeat = INVITE.message();
    let received = world.transactions.receive_request(world.now, &repeat, flow(2), Transport::Tls);
    assert_eq!((received, world.transactions.flow_of(id)), (Received::Absorbed, Some((flow(1), Transport::Tls))));
    world.transactions.flow_lost(world.now, flow(1));
    world.effects();
    world.transactions.receive_request(world.now, &repeat, flow(2), Transport::Tls);
    world.respond(id, 200);
    assert_eq!(world.story(), ["SIP/2.0 180 x on 2", "SIP/2.0 200 x on 2"]);
    world.pass(T1 * 64);
    world.assert_empty();
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

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Send(bool, u8),
    Answer(bool, u8, u16),
    Receive(usize, u8, u8),
    Respond(usize, u16),
    Sent(usize, u8),
    Fail(usize),
    Lose(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (any::<bool>(), 0..3_u8).prop_map(|(invite, branch)| Step::Send(invite, branch)),
        (any::<bool>(), 0..3_u8, 100..700_u16)
            .prop_map(|(invite, branch, status)| Step::Answer(invite, branch, status)),
        (0..4_usize, 0..3_u8, 0..3_u8).prop_map(|(method, branch, flow)| Step::Receive(method, branch, flow)),
        (any::<usize>(), 100..700_u16).prop_map(|(at, status)| Step::Respond(at, status)),
        (any::<usize>(), 0..3_u8).prop_map(|(at, flow)| Step::Sent(at, flow)),
        any::<usize>().prop_map(Step::Fail),
        (0..3_u8).prop_map(Step::Lose),
        (0..9000_u16).prop_map(Step::Wait),
    ]
}

fn live(steps: &[Step], transport: Transport) {
    let mut world = World::new();
    let (mut tokens, mut servers, mut clients) = (vec![], vec![], vec![]);
    for step in steps {
        let now = world.now;
        match *step {
            Step::Send(invite, branch) => {
                let method = if invite { Method::Invite } else { Method::Bye };
                // The branch is ours: no two requests share one.
                let branch = format!("z9hG4bK{branch}");
                let fresh = !world.transactions.owns(&response(&branch, method.as_str(), 200));
                if fresh {
                    let (octets, to) = (ours(&method), hop(transport));
                    clients.push(world.transactions.request(now, octets, &method, &branch, to, transport, 0));
                }
            }
            Step::Answer(invite, branch, status) => {
                let method = if invite { "INVITE" } else { "BYE" };
                world.transactions.receive_response(now, &response(&format!("z9hG4bK{branch}"), method, status));
            }
            Step::Receive(method, branch, n) => {
                let method = ["INVITE", "ACK", "CANCEL", "BYE"][method];
                let via = format!("SIP/2.0/UDP ua.example.com;branch=z9hG4bK{branch}");
                let request = Theirs { method, via: &via, ..INVITE }.message();
                match world.transactions.receive_request(now, &request, flow(n.into()), transport) {
                    Received::New(id) | Received::Merged(id) | Received::Cancel { cancel: id, .. } => servers.push(id),
                    Received::Absorbed | Received::Ack | Received::AckAbsorbed => {}
                }
            }
            Step::Respond(at, status) => {
                if let Some(&id) = servers.get(at.checked_rem(servers.len()).unwrap_or(0)) {
                    world.respond(id, status);
                }
            }
            Step::Sent(at, n) => {
                if let Some(&token) = tokens.get(at.checked_rem(tokens.len()).unwrap_or(0)) {
                    world.transactions.sent(token, flow(n.into()));
                }
            }
            Step::Fail(at) => {
                if let Some(&token) = tokens.get(at.checked_rem(tokens.len()).unwrap_or(0)) {
                    world.transactions.send_failed(now, token);
                }
            }
            Step::Lose(n) => world.transactions.flow_lost(now, flow(n.into())),
            Step::Wait(time) => world.pass(Duration::from_millis(time.into())),
        }
        for effect in world.effects() {
            if let Effect::Send { token, .. } = effect {
                tokens.push(token);
            }
        }
    }
    // The user does its part: it answers what came and gives up what rings.
    for id in servers {
        world.respond(id, 500);
    }
    for id in clients {
        world.transactions.cancel(world.now, id, 0, &[]);
    }
    world.pass(T1 * 64);
    world.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_tables_are_empty_after_64_t1_of_quiet(steps in prop::collection::vec(step(), 0..60), reliable: bool) {
        live(&steps, if reliable { Transport::Tls } else { Transport::Udp });
    }
}
