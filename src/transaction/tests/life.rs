//! Whatever happens, in whatever order: nothing panics and nothing stays.

use super::*;
use proptest::prelude::*;

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
                    Received::Absorbed | Received::Ack | Received::AckAbsorbed | Received::Overload => {}
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
