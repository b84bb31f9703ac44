//! One test for each reason, each from a message that passes.

use super::super::fixtures::{generic, genesys, message, teams};
use super::*;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5004 RTP/SAVP 8 101\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\na=sendrecv\r\n";

const TO_HUB: &str = "INVITE sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0";
const TO_GENESYS: &str = "INVITE sip:+496955501000@acme-sbc.byoc.mypurecloud.de;transport=tls SIP/2.0";

/// The lines of an INVITE to the hub, with `more` in place of those of the same name, and behind them.
fn lines(hub: bool, more: &[&str]) -> Vec<String> {
    let contact = if hub { "Contact: <sip:+12065550144@sbc1.example.com:5067;transport=tls>" } else { CONTACT };
    let to = if hub { "To: <sip:+14255550123@sbc1.example.com>" } else { "To: <sip:+496955501000@example.com>" };
    let from = "From: \"Dana\" <sip:+12065550144@sbc1.example.com>;tag=1";
    let name = |line: &str| line.split(':').next().unwrap_or("").to_ascii_lowercase();
    let asserted = "P-Asserted-Identity: <sip:+12065550144@sbc1.example.com>";
    let own = ["Content-Type: application/sdp", contact, to, from, asserted];
    let own = own.iter().filter(|line| !more.iter().any(|other| name(other) == name(line)));
    own.chain(more).filter(|line| !line.ends_with(": -")).map(|line| (*line).to_owned()).collect()
}

const CONTACT: &str = "Contact: <sip:+12065550144@sbc1.example.com:5061;transport=tls>";

fn seen(to: &Trunk, start: &str, more: &[&str], body: &str) -> Result<Option<Message>, Rejection> {
    let lines = lines(to.kind == Kind::Teams, more);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    inspect(to, &message(start, &lines, body))
}

fn to_hub(more: &[&str]) -> Result<Option<Message>, Rejection> {
    seen(&teams(), TO_HUB, more, SDP)
}

fn to_genesys(more: &[&str]) -> Result<Option<Message>, Rejection> {
    seen(&genesys(Termination::Fqdn), TO_GENESYS, more, SDP)
}

fn rule<T: fmt::Debug>(outcome: Result<T, Rejection>) -> &'static str {
    outcome.expect_err("refused").rule
}

fn repaired(outcome: Result<Option<Message>, Rejection>) -> Message {
    outcome.expect("passes").expect("is repaired")
}

/// The same description with one piece of text replaced.
fn sdp(old: &str, new: &str) -> String {
    assert!(SDP.contains(old));
    SDP.replace(old, new)
}

#[test]
fn what_is_right_passes_as_it_is() {
    assert_eq!(to_hub(&[]).map(|m| m.is_some()), Ok(false));
    assert_eq!(to_genesys(&["User-to-User: 00aa;encoding=hex"]).map(|m| m.is_some()), Ok(false));
    let plain = sdp("RTP/SAVP", "RTP/AVP");
    let pbx = "INVITE sip:112@pbx.example.com;user=phone SIP/2.0";
    assert_eq!(
        seen(&generic(), pbx, &["X-Any: thing", "Record-Route: <sip:a;lr>"], &plain).map(|m| m.is_some()),
        Ok(false)
    );
}

#[test]
fn a_method_outside_allow_is_refused_tdr_90_gen_43() {
    let info = "INFO sip:+14255550123@sip.pstnhub.microsoft.com SIP/2.0";
    let lines = ["CSeq: 1 INFO", "Content-Type: -"];
    assert_eq!(rule(seen(&teams(), info, &lines, "")), "TDR-90");
    let update = "UPDATE sip:a@198.51.100.21 SIP/2.0";
    let lines = ["CSeq: 1 UPDATE", "Content-Type: -"];
    assert_eq!(rule(seen(&genesys(Termination::Fqdn), update, &lines, "")), "GEN-43");
}

#[test]
fn a_sips_uri_is_refused_tdr_1_gen_45() {
    assert_eq!(rule(to_hub(&["From: <sips:+12065550144@sbc1.example.com>;tag=1"])), "TDR-1");
    assert_eq!(rule(to_genesys(&["To: <sips:+496955501000@example.com>"])), "GEN-45");
}

#[test]
fn a_contact_that_is_not_ours_is_refused_tdr_44_gen_24() {
    for contact in ["Contact: <sip:192.0.2.1:5061;transport=tls>", "Contact: <sip:sbc9.example.com>", "Contact: -"] {
        assert_eq!(rule(to_hub(&[contact])), "TDR-44", "{contact}");
        assert_eq!(rule(to_genesys(&[contact])), "GEN-24", "{contact}");
    }
    let two = ["Contact: <sip:sbc1.example.com>, <sip:sbc1.example.com:5061>"];
    assert_eq!(rule(to_hub(&two)), "TDR-44");
}

#[test]
fn what_a_b2bua_does_not_send_is_removed_tdr_45_tdr_57_gen_38() {
    let lines = ["Record-Route: <sip:sbc1.example.com;lr>", "Require: 100rel", "Proxy-Require: x"];
    for message in [repaired(to_hub(&lines)), repaired(to_genesys(&lines))] {
        for name in [Name::RecordRoute, Name::Require, Name::ProxyRequire] {
            assert_eq!(message.header(name), None);
        }
        assert_eq!(message.body(), SDP.as_bytes());
    }
}

#[test]
fn other_platforms_fields_are_removed_tdr_62_tdr_150_gen_61_gen_63() {
    let lines = [
        "Diversion: <sip:+14255550100@example.com>",
        "P-Charge-Info: <sip:a@example.com>",
        "X-User-to-User: 00",
        "X-Genesys-Thing: 1",
        "x-inin-cnv: 1",
        "X-MS-SBC: Tandem/Edge/1",
        "X-Acme: 1",
    ];
    let text = |message: Message| String::from_utf8(message.octets().to_vec()).unwrap().to_ascii_lowercase();
    let hub = text(repaired(to_hub(&lines)));
    assert!(hub.contains("x-ms-sbc") && hub.contains("x-acme"));
    let foreign = ["diversion", "p-charge-info", "x-user-to-user", "x-genesys", "x-inin"];
    assert!(foreign.iter().all(|name| !hub.contains(name)), "{hub}");
    let genesys = text(repaired(to_genesys(&lines)));
    assert!(["diversion", "x-user-to-user", "x-acme"].iter().all(|name| genesys.contains(name)));
    assert!(["x-genesys", "x-inin", "x-ms-"].iter().all(|name| !genesys.contains(name)), "{genesys}");
}

#[test]
fn replaces_never_reaches_the_hub_tdr_58() {
    assert_eq!(rule(to_hub(&["Replaces: 1;to-tag=2;from-tag=3"])), "TDR-58");
    assert!(to_genesys(&["Replaces: 1;to-tag=2;from-tag=3"]).is_ok());
}

#[test]
fn the_hub_is_called_by_its_name_and_a_number_tdr_48_tdr_130_tdr_132() {
    for (uri, expected) in [
        ("sip:+14255550123@example.com;user=phone", "TDR-48"),
        ("sip:14255550123@sip.pstnhub.microsoft.com;user=phone", "TDR-130"),
        ("sip:112@sip.pstnhub.microsoft.com;user=phone", "TDR-130"),
        ("sip:alice@sip.pstnhub.microsoft.com", "TDR-130"),
        ("tel:+14255550123", "TDR-48"),
        ("sip:+14255550123;phone-context=example.com@sip.pstnhub.microsoft.com", "TDR-132"),
    ] {
        assert_eq!(rule(seen(&teams(), &format!("INVITE {uri} SIP/2.0"), &[], SDP)), expected, "{uri}");
    }
}

#[test]
fn user_phone_is_added_and_put_right_tdr_48() {
    for uri in [
        "sip:+14255550123@sip.pstnhub.microsoft.com:5061;transport=tls",
        "sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=ip;transport=tls",
    ] {
        let message = repaired(seen(&teams(), &format!("INVITE {uri} SIP/2.0"), &[], SDP));
        let uri = Uri::parse(message.request_uri()).unwrap();
        assert_eq!((uri.params().get("user"), uri.params().get("transport")), (Some("phone"), Some("tls")));
    }
}

#[test]
fn to_and_request_uri_have_one_number_tdr_52() {
    let message = repaired(to_hub(&["To: <sip:+14255550199@sbc1.example.com>"]));
    assert_eq!(message.header(Name::To), Some("<sip:+14255550123@sbc1.example.com>"));
}

#[test]
fn from_is_a_number_at_our_name_tdr_50() {
    assert_eq!(rule(to_hub(&["From: <sip:alice@sbc1.example.com>;tag=1"])), "TDR-50");
    let message = repaired(to_hub(&["From: \"D \\\"x\\\"\" <sip:+12065550144@carrier.example.com>;tag=1"]));
    assert_eq!(message.header(Name::From), Some("\"D \\\"x\\\"\" <sip:+12065550144@sbc1.example.com>;tag=1"));
    assert!(to_hub(&["From: <sip:1001@sbc1.example.com>;tag=1"]).is_ok(), "TDR-68: an extension is shown as it is");
}

#[test]
fn a_withheld_number_stands_nowhere_tdr_51_gen_58() {
    let from = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=1";
    assert_eq!(rule(to_hub(&[from])), "TDR-51", "the Contact shows it");
    let contact = "Contact: <sip:sbc1.example.com:5067;transport=tls>";
    let asserted = "P-Asserted-Identity: <sip:+12065550144@sbc1.example.com>";
    let message = repaired(to_hub(&[from, contact, asserted]));
    assert_eq!((message.header(Name::PAssertedIdentity), message.header(Name::Privacy)), (None, Some("id")));
}

#[test]
fn the_asserted_number_is_that_of_from_tdr_66_gen_57() {
    let lines = ["P-Asserted-Identity: <sip:+14255550199@sbc1.example.com>", "Remote-Party-ID: <sip:1@example.com>"];
    for message in [repaired(to_hub(&lines)), repaired(to_genesys(&lines))] {
        assert_eq!(message.header(Name::PAssertedIdentity), Some("<sip:+12065550144@sbc1.example.com>"));
        assert_eq!(message.header(Name::RemotePartyId), None);
    }
}

#[test]
fn the_hub_wants_an_offer_and_nothing_else_tdr_55_tdr_59() {
    let no_body = ["Content-Type: -"];
    assert_eq!(rule(seen(&teams(), TO_HUB, &no_body, "")), "TDR-55");
    assert!(seen(&genesys(Termination::Fqdn), TO_GENESYS, &no_body, "").is_ok());
    assert_eq!(rule(seen(&teams(), TO_HUB, &["Content-Type: application/pidf+xml"], "<presence/>")), "TDR-59");
    let parts = format!(
        "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--\r\n"
    );
    let message = repaired(seen(&teams(), TO_HUB, &["Content-Type: multipart/mixed;boundary=b"], &parts));
    assert_eq!(message.header(Name::ContentType), Some("application/sdp"));
    assert_eq!(String::from_utf8_lossy(&message.body()).trim_end(), SDP.trim_end());
}

#[test]
fn what_cannot_be_read_is_no_description_tdr_142() {
    assert_eq!(rule(seen(&teams(), TO_HUB, &[], "v=1\r\n")), "TDR-142");
    assert_eq!(rule(seen(&genesys(Termination::Fqdn), TO_GENESYS, &[], "v=1\r\n")), "RFC 8866 §5");
    assert_eq!(rule(seen(&teams(), TO_HUB, &[], &sdp("c=IN IP4 192.0.2.7\r\n", ""))), "RFC 8866 §5.7");
}

#[test]
fn a_hold_is_inactive_and_has_an_address_tdr_93() {
    let held = |direction: &str| sdp("a=sendrecv", &format!("a={direction}"));
    for direction in ["sendonly", "recvonly"] {
        assert_eq!(rule(seen(&teams(), TO_HUB, &[], &held(direction))), "TDR-93");
        assert!(seen(&genesys(Termination::Fqdn), TO_GENESYS, &[], &held(direction)).is_ok());
    }
    assert_eq!(seen(&teams(), TO_HUB, &[], &held("inactive")).map(|m| m.is_some()), Ok(false));
    assert_eq!(rule(seen(&teams(), TO_HUB, &[], &sdp("c=IN IP4 192.0.2.7", "c=IN IP4 0.0.0.0"))), "TDR-93");
    let answer = seen(&teams(), "SIP/2.0 200 OK", &["To: <sip:a@example.com>;tag=2"], &held("sendonly"));
    assert_eq!(answer.map(|m| m.is_some()), Ok(false), "RFC 3264: what the hub offered in one direction");
}

#[test]
fn media_has_to_be_encrypted_tdr_134_tdr_135_gen_48_gen_49() {
    let genesys_tls = genesys(Termination::Fqdn);
    let plain = sdp("RTP/SAVP", "RTP/AVP");
    assert_eq!(rule(seen(&teams(), TO_HUB, &[], &plain)), "TDR-134");
    assert_eq!(rule(seen(&genesys_tls, TO_GENESYS, &[], &plain)), "GEN-48");
    for (old, new) in [("_80", "_32"), ("inline:", ""), ("YWVphYmNk", ""), ("a=crypto:1", "a=crypto:x")] {
        let keyless = sdp(old, new);
        assert_eq!(rule(seen(&teams(), TO_HUB, &[], &keyless)), "TDR-135", "{new}");
        assert_eq!(rule(seen(&genesys_tls, TO_GENESYS, &[], &keyless)), "GEN-49", "{new}");
    }
    let refused = format!("{SDP}m=video 0 RTP/AVP 31\r\n");
    assert!(seen(&teams(), TO_HUB, &[], &refused).is_ok(), "media that is given up needs no key");
    let mut tcp = genesys(Termination::Fqdn);
    tcp.transport = Transport::Tcp;
    assert!(seen(&tcp, TO_GENESYS, &[], &plain).is_ok(), "GEN-48: trunks of TCP and UDP speak RTP/AVP");
}

#[test]
fn genesys_finds_the_trunk_in_the_request_uri_gen_12_to_15() {
    for (termination, uri, good) in [
        (Termination::Fqdn, "sip:+496955501000@acme-sbc.byoc.mypurecloud.de;x=1", true),
        (Termination::Fqdn, "sip:+496955501000@example.com", false),
        (Termination::Tgrp, "sip:+49;tgrp=acme-sbc;trunk-context=byoc.mypurecloud.de@byoc.mypurecloud.de", true),
        (Termination::Tgrp, "sip:+49;tgrp=other;trunk-context=x@example.com", false),
        (Termination::Dnis, "sip:acme-sbc@byoc.mypurecloud.de", true),
        (Termination::Dnis, "sip:+49@example.com", false),
    ] {
        let outcome = seen(&genesys(termination), &format!("INVITE {uri} SIP/2.0"), &[], SDP);
        assert_eq!(outcome.err().map(|rejection| rejection.rule), (!good).then_some("GEN-12"), "{uri}");
    }
}

#[test]
fn genesys_finds_the_trunk_in_a_header_field_gen_16() {
    let mut trunk = genesys(Termination::Header);
    trunk.headers = vec![("X-Acme-Trunk".into(), "acme-sbc".to_owned())];
    let start = "INVITE sip:+496955501000@byoc.mypurecloud.de SIP/2.0";
    assert!(seen(&trunk, start, &["X-Acme-Trunk: acme-sbc"], SDP).is_ok());
    for lines in [&[][..], &["X-Acme-Trunk: other"], &["X-Acme-Trunk: acme-sbc", "X-Acme-Trunk: acme-sbc"]] {
        assert_eq!(rule(seen(&trunk, start, lines, SDP)), "GEN-12", "{lines:?}");
    }
}

#[test]
fn of_several_user_to_user_the_first_is_kept_gen_66() {
    let uui = |message: &Message| {
        let lines = message.lines().filter(|line| line.text.to_ascii_lowercase().ends_with("user-to-user"));
        lines.map(|line| format!("{}: {}", line.text, line.value)).collect::<Vec<_>>()
    };
    let message = repaired(to_genesys(&["x-User-to-User: 03", "User-to-User: 01", "User-to-User: 02"]));
    assert_eq!(uui(&message), ["User-to-User: 01"]);
    let message = repaired(to_genesys(&["x-User-to-User: 03", "X-User-To-User: 04"]));
    assert_eq!(uui(&message), ["x-User-to-User: 03"]);
}

#[test]
fn what_is_too_long_does_not_leave_tdr_72() {
    let long = format!("X-Long: {}", "a".repeat(MAX_LINE));
    for trunk in [teams(), genesys(Termination::Fqdn), generic()] {
        assert_eq!(rule(seen(&trunk, TO_HUB, &[&long], SDP)), "TDR-72");
    }
}

#[test]
fn a_rejection_shows_no_number() {
    let uri = "INVITE sip:14255550123@sip.pstnhub.microsoft.com;user=phone SIP/2.0";
    let text = seen(&teams(), uri, &[], SDP).unwrap_err().to_string();
    assert!(!text.contains("425555"), "{text}");
}

use crate::flow::Transport;

#[test]
fn what_the_operator_lets_pass_is_not_taken_from_the_hub_tdr_62() {
    let more =
        ["Call-Info: <http://example.com>", "P-Charge-Info: <sip:a@example.com>", "User-to-User: 00aa;encoding=hex"];
    let mut hub = teams();
    hub.policy.pass = ["Call-Info", "P-*", "X-MS-*"].map(crate::trunk::policy::Wildcard::new).to_vec();
    hub.policy.user_to_user = UserToUserForm::AsReceived;
    assert_eq!(seen(&hub, TO_HUB, &more, SDP).map(|message| message.is_some()), Ok(false));
    let reserved = repaired(seen(&hub, TO_HUB, &["X-MS-Routing: a"], SDP));
    assert!(reserved.extension("X-MS-Routing").next().is_none(), "TDR-150");
    assert!(to_hub(&more).is_ok_and(|message| message.is_some()));
}
