//! SIPp plays both platforms and calls cross the `tandem` binary on real sockets.
//!
//! Each test starts a lab of its own on loopback addresses of its own: SIPp on every side, haproxy for the TLS
//! that Debian's SIPp lacks, dnsmasq for names, the binary between them. Flows stand in `flows/`, the messages of
//! the platforms in `teams/` and `genesys/`. Teams speaks TLS always; Genesys speaks each of the three transports.
//! What is judged is SIPp's own verdict on every call, at every side, and how the binary ends.
#![cfg(feature = "shell")]

#[expect(dead_code, reason = "some of it serves benches/load.rs")]
mod lab;

use lab::{CUSTOMERS, Customer, DIRECTIONS, Lab, Load, Platform, Script, Transport, possible};
use std::time::Duration;

/// A few calls, so that one mixed up with another shows.
const FEW: Load = Load { connections: 1, calls: 5, rate: 20, at_once: 5, timed: false };

/// Plays `script` from Genesys to Teams, then from Teams to Genesys.
fn both_ways(transport: Transport, script: Script, load: Load) {
    if !possible() {
        return;
    }
    let lab = Lab::start(transport, script, 2);
    for caller in DIRECTIONS {
        lab.place(caller, load);
    }
    lab.finish(&DIRECTIONS, load.total());
}

/// Plays `script` from `caller` to the other platform, over TLS.
fn one_way(caller: Platform, script: Script, load: Load) {
    if !possible() {
        return;
    }
    let lab = Lab::start(Transport::Tls, script, 2);
    lab.place(caller, load);
    lab.finish(&[caller], load.total());
}

/// The same facts, once a transport of Genesys.
macro_rules! over_each_transport {
    ($($name:ident: $script:expr, $load:expr;)*) => {
        mod tls { $(#[test] fn $name() { super::both_ways(super::Transport::Tls, $script, $load); })* }
        mod tcp { $(#[test] fn $name() { super::both_ways(super::Transport::Tcp, $script, $load); })* }
        mod udp { $(#[test] fn $name() { super::both_ways(super::Transport::Udp, $script, $load); })* }
    };
}

const HUNG_UP: Script = Script { hung_up: true, ..Script::new("stays", "answers_and_hangs_up") };
const NO_ANSWER: Script = Script { refusal: 480, ..Script::new("is_refused", "is_cancelled") };
const NOBODY: &str = "+15005550199";
const UNKNOWN: Script =
    Script { refusal: 404, reached: false, number: Some(NOBODY), ..Script::new("is_refused", "answers") };
const MANY: Script = Script { talk: Duration::from_secs(3), ..Script::new("hangs_up", "answers") };
const AT_ONCE: Load = Load { calls: 200, rate: 200, at_once: 200, ..FEW };

over_each_transport! {
    the_caller_hangs_up: crate::Script::new("hangs_up", "answers"), crate::FEW;
    the_called_side_hangs_up: crate::HUNG_UP, crate::FEW;
    the_caller_cancels: crate::Script::new("cancels", "is_cancelled"), crate::FEW;
    a_busy_user_is_busy_on_the_other_side: crate::Script::new("is_refused", "is_busy"), crate::FEW;
    nobody_answers: crate::NO_ANSWER, crate::FEW;
    an_unknown_number_is_not_found: crate::UNKNOWN, crate::FEW;
    a_call_is_held_and_resumed: crate::Script::new("holds", "is_held"), crate::FEW;
    two_hundred_calls_at_once: crate::MANY, crate::AT_ONCE;
}

/// sip and sip2 are overloaded and say for how long, sip3 answers.
const FAILS_OVER: Script =
    Script { further: Some(["is_unavailable", "answers"]), ..Script::new("hangs_up", "is_unavailable") };

/// One call: what comes after a 503 is another matter.
const ONE: Load = Load { calls: 1, ..FEW };

#[test]
fn a_call_goes_on_from_sip_to_sip2_and_sip3_tdr_123() {
    one_way(Platform::Genesys, FAILS_OVER, ONE);
}

/// What a carrier says in User-to-User, as Genesys has to see it (GEN-65).
const UUI: Script = Script {
    carrier: Some(""),
    uui: Some(("56a390f3d2b7310023a2;encoding=hex", "56a390f3d2b7310023a2;encoding=hex")),
    ..Script::new("hangs_up", "answers")
};

#[test]
fn user_to_user_of_a_carrier_reaches_genesys_gen_65() {
    one_way(Platform::Teams, UUI, FEW);
}

/// Genesys has to prove that it knows the password of the trunk's page.
const PROVES: Script = Script {
    genesys: "authentication = { username = \"acme\", password_file = \"secret\", realm = \"acme.example.com\" }",
    ..Script::new("proves", "answers")
};

#[test]
fn genesys_proves_who_it_is_gen_25() {
    one_way(Platform::Genesys, PROVES, FEW);
}

/// Genesys asks us in each call.
const ASKS: Script = Script {
    genesys: "credentials = { username = \"acme\", password_file = \"secret\" }",
    ..Script::new("hangs_up", "asks")
};

#[test]
fn we_prove_to_genesys_who_we_are_gen_26() {
    one_way(Platform::Teams, ASKS, FEW);
}

/// A carrier asks us in each call, and we ask it; by MD5, for SIPp knows nothing else.
const CARRIER: &str = "authentication = { username = \"acme\", password_file = \"secret\", algorithms = [\"MD5\"] }\n\
    credentials = { username = \"acme\", password_file = \"secret\" }";

#[test]
fn a_carrier_and_we_prove_who_we_are_both_ways() {
    one_way(Platform::Teams, Script { carrier: Some(CARRIER), ..Script::new("proves", "answers") }, FEW);
    one_way(Platform::Genesys, Script { carrier: Some(CARRIER), ..Script::new("hangs_up", "asks") }, FEW);
}

/// Whoever stands in for the carrier has another password: three tries, and nobody hears of it.
#[test]
fn who_does_not_know_the_password_of_a_carrier_is_refused() {
    let script = Script { carrier: Some(CARRIER), refusal: 403, reached: false, ..Script::new("guesses", "answers") };
    one_way(Platform::Teams, script, FEW);
}

/// The forms of an INVITE to Genesys beside the FQDN's: the trunk's keys, and what SIPp has to see.
const FORMS: [(&str, &str); 3] = [
    (
        "termination_form = \"tgrp\"",
        r"^INVITE sip:\+[0-9]+;tgrp=acme-sbc;trunk-context=byoc\.mypurecloud\.de@byoc\.mypurecloud\.de",
    ),
    ("termination_form = \"dnis\"", r"^INVITE sip:acme-sbc@byoc\.mypurecloud\.de.*To: &lt;sip:\+[0-9]+@"),
    (
        "termination_form = \"header\"\nheaders = { \"X-Acme-Trunk\" = \"acme-sbc\" }",
        r"^INVITE sip:\+[0-9]+@byoc\.mypurecloud\.de.*X-Acme-Trunk: acme-sbc",
    ),
];

#[test]
fn genesys_finds_its_trunk_in_each_other_form_gen_14_to_16() {
    for (genesys, uri) in FORMS {
        let script = Script { genesys, genesys_uri: Some(uri), ..Script::new("hangs_up", "answers") };
        one_way(Platform::Teams, script, FEW);
    }
}

/// The calls of a customer's tenant behind the hub.
fn of(customer: Customer) -> Script {
    Script { customer: Some(customer), ..Script::new("knows_whom", "answers") }
}

#[test]
fn two_tenants_behind_one_hub_are_told_apart_by_number_and_name_tdr_156_to_158() {
    if !possible() {
        return;
    }
    let lab = Lab::start(Transport::Tls, of(CUSTOMERS[0]), 2);
    for customer in CUSTOMERS {
        for caller in DIRECTIONS {
            lab.play(of(customer), caller, FEW);
        }
    }
    let options = lab.finish(&DIRECTIONS, 2 * FEW.total());
    assert_eq!(options, 3, "TDR-40: the carrier's trunk asks each of the hub's names, and no customer's does");
}

/// A name that no trunk has, and what nobody has for a customer.
#[test]
fn what_is_of_neither_tenant_is_refused_tdr_158() {
    if !possible() {
        return;
    }
    let [contoso, fabrikam] = CUSTOMERS;
    let refused = |customer, number| Script {
        number: Some(number),
        refusal: 404,
        reached: false,
        ..Script { caller: "is_refused", ..of(customer) }
    };
    let lab = Lab::start(Transport::Tls, refused(contoso, NOBODY), 2);
    // Of nobody, of the other customer, and for a name that no customer has.
    lab.play(refused(contoso, NOBODY), Platform::Genesys, FEW);
    lab.play(refused(contoso, NOBODY), Platform::Teams, FEW);
    lab.play(refused(contoso, fabrikam.queue), Platform::Teams, FEW);
    lab.play(refused(fabrikam, contoso.queue), Platform::Teams, FEW);
    let stranger = Customer { fqdn: "c9.sbc1.example.com", ..contoso };
    lab.play(refused(stranger, contoso.queue), Platform::Teams, FEW);
    // Who is asked how it is says so in each of its names, and in no other.
    for (customer, refusal) in [(contoso, 200), (fabrikam, 200), (stranger, 404)] {
        let asks = Script { caller: "asks_how_it_is", refusal, ..of(customer) };
        lab.play(asks, Platform::Teams, FEW);
    }
    lab.finish(&DIRECTIONS, 0);
}

#[test]
fn the_lab_itself_loses_no_call() {
    if possible() {
        let lab = Lab::without_tandem(Script::new("hangs_up", "answers"));
        lab.place(Platform::Teams, FEW);
        lab.finish(&[Platform::Teams], FEW.total());
    }
}
