//! Requests of others.

use super::*;

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
fn beyond_the_bound_a_new_request_finds_no_room_and_repeats_and_acks_do() {
    let mut world = World::new();
    world.transactions.set_bound(1);
    let id = world.new_request(&INVITE.message(), Transport::Udp);
    let other = Theirs { cseq: 2, via: "SIP/2.0/UDP ua.example.com;branch=z9hG4bK2", ..INVITE }.message();
    assert_eq!(world.receive(&other, Transport::Udp), Received::Overload);
    assert_eq!(world.transactions.gauges(), (0, 1));
    world.respond(id, 486);
    assert_eq!(world.receive(&INVITE.message(), Transport::Udp), Received::Absorbed);
    assert_eq!(world.story(), ["SIP/2.0 486 x on 1"; 2]);
    let ack = Theirs { method: "ACK", ..INVITE }.message();
    assert_eq!(world.receive(&ack, Transport::Udp), Received::AckAbsorbed);
}

#[test]
fn the_last_eighth_is_for_calls_that_exist() {
    let mut world = World::new();
    world.transactions.set_bound(8);
    let via = |n: u32| format!("SIP/2.0/UDP ua.example.com;branch=z9hG4bKa{n}");
    for n in 0..7 {
        world.new_request(&Theirs { cseq: n + 1, via: &via(n), ..INVITE }.message(), Transport::Udp);
    }
    let invite = Theirs { cseq: 8, via: &via(8), ..INVITE }.message();
    assert_eq!(world.receive(&invite, Transport::Udp), Received::Overload);
    world.new_request(&Theirs { method: "BYE", cseq: 9, via: &via(9), ..INVITE }.message(), Transport::Udp);
    let ninth = Theirs { method: "BYE", cseq: 10, via: &via(10), ..INVITE }.message();
    assert_eq!(world.receive(&ninth, Transport::Udp), Received::Overload);
}
