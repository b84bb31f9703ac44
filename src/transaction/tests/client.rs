//! Requests of ours.

use super::*;
use crate::sip::{Field, Name};

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
    world.transactions.flow_lost(world.now, flow(2));
    assert_eq!(world.story(), ["unreachable 4"]);
    world.transactions.receive_response(world.now, &response(&branches[2], "INVITE", 486)).unwrap();
    world.story();
    // What was lost may be answered all the same, over another connection.
    let late = world.transactions.receive_response(world.now, &response(&branches[3], "INVITE", 200)).unwrap();
    assert_eq!((late.user, late.kind), (3, Kind::Final));
    world.pass(T1 * 64);
    let mut story = world.story();
    story.sort();
    assert_eq!(story, ["timed out 1", "timed out 4"]);
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
fn beyond_the_bound_a_request_of_ours_fails_at_once() {
    let mut world = World::new();
    world.transactions.set_bound(8);
    for n in 0..8 {
        assert_eq!(world.transactions.has_room(), n < 7);
        let (branch, to) = (format!("z9hG4bK{n}"), hop(Transport::Tls));
        world.transactions.request(world.now, ours(&Method::Bye), &Method::Bye, &branch, to, Transport::Tls, n);
    }
    world.effects();
    world.send(Method::Bye, Transport::Tls);
    assert_eq!(world.story(), ["unreachable 99"]);
    assert_eq!(world.transactions.gauges(), (8, 0));
}
