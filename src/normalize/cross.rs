//! What of one leg the other one sees: header fields, Reason, final statuses (TDR-61, 62,
//! 82, 91, 121 to 127, 163; GEN-17, 61, 63, 66, 80, 95).

use crate::sip::{HeaderLine, Message, Name, Reason};
use crate::trunk::Kind;

/// Whether a header field line of an INVITE, or of a response to one, goes over to the other leg.
///
/// Never what belongs to the leg (dialog, transaction, routing, timers, credentials, capabilities),
/// says who calls (see [`invite_form`](super::invite_form)) or describes the body. Between platforms
/// little is left:
///
/// - The hub gets nothing: it uses none of it, and the rest is not its business (TDR-62).
/// - Genesys gets User-to-User, which only it understands (GEN-65), and what a carrier adds by itself.
/// - Reserved names of either platform stay with it (GEN-61, 63; TDR-61, 150); so do extensions from
///   Genesys, which may be a shared secret (GEN-27).
pub fn crosses(from: Kind, to: Kind, line: &HeaderLine<'_>) -> bool {
    if to == Kind::Teams || is_reserved(line.text) {
        return false;
    }
    match line.name {
        Name::UserToUser => to == Kind::Genesys,
        Name::Other if is_x_user_to_user(line.text) => to == Kind::Genesys,
        Name::Other => from == Kind::Generic,
        // Who forwarded the call: a carrier may tell, Genesys' own stays with it (GEN-59), and the hub's
        // History-Info may hold what its users keep private (TDR-119).
        Name::Diversion | Name::HistoryInfo => from == Kind::Generic,
        Name::AcceptContact
        | Name::AcceptLanguage
        | Name::AlertInfo
        | Name::CallInfo
        | Name::ErrorInfo
        | Name::InReplyTo
        | Name::Organization
        | Name::Priority
        | Name::Subject
        | Name::Warning => from == Kind::Generic || to == Kind::Generic,
        Name::Accept
        | Name::AcceptEncoding
        | Name::Allow
        | Name::AllowEvents
        | Name::Authorization
        | Name::CallId
        | Name::Contact
        | Name::ContentDisposition
        | Name::ContentEncoding
        | Name::ContentLanguage
        | Name::ContentLength
        | Name::ContentType
        | Name::CSeq
        | Name::Date
        | Name::Event
        | Name::Expires
        | Name::From
        | Name::Geolocation
        | Name::Identity
        | Name::MaxForwards
        | Name::MimeVersion
        | Name::MinExpires
        | Name::MinSe
        | Name::PAssertedIdentity
        | Name::PPreferredIdentity
        | Name::Privacy
        | Name::ProxyAuthenticate
        | Name::ProxyAuthorization
        | Name::ProxyRequire
        | Name::RAck
        | Name::Reason
        | Name::RecordRoute
        | Name::ReferSub
        | Name::ReferTo
        | Name::ReferredBy
        | Name::RemotePartyId
        | Name::Replaces
        | Name::ReplyTo
        | Name::Require
        | Name::RetryAfter
        | Name::Route
        | Name::RSeq
        | Name::Server
        | Name::SessionExpires
        | Name::SubscriptionState
        | Name::Supported
        | Name::Timestamp
        | Name::To
        | Name::Unsupported
        | Name::UserAgent
        | Name::Via
        | Name::WwwAuthenticate => false,
    }
}

/// The lines of `message` that go over, in order: those that [`crosses`] lets over, of User-to-User
/// only the first, as Genesys throws several away together (GEN-66).
pub fn crossing<'m>(from: Kind, to: Kind, message: &'m Message) -> impl Iterator<Item = HeaderLine<'m>> + 'm {
    // `User-to-User` is looked for before `x-User-to-User` (GEN-66).
    let standard = message.header(Name::UserToUser).is_some();
    let mut taken = false;
    message.lines().filter(move |line| {
        let user_to_user = match line.name {
            Name::UserToUser => Some(true),
            Name::Other if is_x_user_to_user(line.text) => Some(!standard),
            _ => None,
        };
        match user_to_user {
            Some(wanted) => crosses(from, to, line) && wanted && !std::mem::replace(&mut taken, true),
            None => crosses(from, to, line),
        }
    })
}

pub(super) fn is_x_user_to_user(name: &str) -> bool {
    name.eq_ignore_ascii_case("x-user-to-user")
}

/// Whether a platform keeps names like this one for itself (GEN-61, 63; TDR-61, 150), or we do (GEN-79).
pub fn is_reserved(name: &str) -> bool {
    crate::sip::keeper(name).is_some()
}

/// The final status that a leg of `to` hears when a leg of `from` ended with `status` (300 to 699).
///
/// Redirections and challenges end here: 3xx is followed by neither side (TDR-121), and we hold no
/// credentials of the caller. Then by who hears it:
///
/// - Genesys takes every 5xx for "try another SBC" and Teams 408, 503 and 504 (GEN-80, TDR-127): what the
///   called party decided must not sound like that, so only 503 stays, and 504 where it is not the hub's.
///   Faults between us and the called side (400, 420, 481, …) are nobody's on the other: 480.
/// - A generic trunk hears what was said.
pub fn final_status(from: Kind, to: Kind, status: u16) -> u16 {
    match (status, to) {
        (0..=299 | 700.., _) => 500, // not a failure: nothing calls with it
        (300..=399, _) => 480,
        (401 | 407, _) => 403,
        (_, Kind::Generic) => status,
        (600, _) => 486,
        (604, _) => 404,
        (606, _) => 488,
        (603 | 607 | 608, _) => 603,
        (601..=602 | 605 | 609..=699, _) => 480,
        (415, _) => 488, // the body was a description that the other side does not take (TDR-55)
        (410, _) if from != Kind::Teams => 404,
        (402 | 403 | 404 | 480 | 482 | 483 | 484 | 486 | 488, _) => status,
        // Whatever is left of the 4xx: no answer (408), media that failed (the hub's 410, TDR-140), and
        // faults between us and the called side.
        (400..=499, _) => 480,
        (503, _) => 503,
        // The hub's is about one user or one call, not about the platform.
        (504, _) if from != Kind::Teams => 504,
        (500..=599, _) => 480,
    }
}

/// The Reason that goes over to the other leg with the BYE, CANCEL or final response `message` (RFC 3326);
/// `None`: none does.
///
/// - SIP causes cross as they are: "Call completed elsewhere" keeps the hub from showing a missed call (TDR-82).
/// - The hub's Q.850 cause of a 486 is 34, which makes networks try again: it becomes 17 (TDR-91).
/// - Genesys tries again on many Q.850 causes: those do not reach it (GEN-80).
/// - The hub's texts on Q.850 causes are diagnostics for its operator: they stay with us (TDR-92).
pub fn reason(from: Kind, to: Kind, message: &Message) -> Option<String> {
    let crossing: Vec<String> =
        message.values(Name::Reason).filter_map(|value| reason_value(from, to, message.status(), value)).collect();
    (!crossing.is_empty()).then(|| crossing.join(", "))
}

fn reason_value(from: Kind, to: Kind, status: Option<u16>, value: &str) -> Option<String> {
    let parsed = Reason::parse(value).ok()?;
    if !parsed.protocol.eq_ignore_ascii_case("Q.850") {
        let known = parsed.protocol.eq_ignore_ascii_case("SIP");
        return (known || to == Kind::Generic).then(|| value.to_owned());
    }
    let cause = parsed.cause?;
    let said = if from == Kind::Teams && status == Some(486) { 17 } else { cause };
    if to == Kind::Genesys && RETRIED_CAUSES.contains(&said) {
        return None;
    }
    if from == Kind::Teams { Some(format!("Q.850;cause={said}")) } else { Some(value.to_owned()) }
}

/// The Reason of a BYE or CANCEL of our own: why, as the SIP status that says it best (RFC 3326 §2).
/// Always `Some`.
pub fn cause(status: u16) -> Option<String> {
    Some(format!("SIP;cause={status}"))
}

/// What a peer says about why it refused or ended a call, for records and events (TDR-92): status and
/// phrase of a response, then its Reason values with their texts. Empty when it says nothing.
pub fn explanation(message: &Message) -> String {
    let mut said = String::new();
    if let Some(status) = message.status() {
        said = format!("{status} {}", message.reason()).trim_end().to_owned();
    }
    for value in message.values(Name::Reason) {
        if !said.is_empty() {
            said.push_str("; ");
        }
        said.push_str(value);
    }
    let end = (0..=MAX_EXPLANATION.min(said.len())).rev().find(|&end| said.is_char_boundary(end));
    said.truncate(end.unwrap_or(0));
    said
}

/// The longest explanation kept, in octets: the hub's texts are some hundred.
const MAX_EXPLANATION: usize = 512;

/// The Q.850 causes on which Genesys tries another trunk by default (GEN-80).
const RETRIED_CAUSES: [u16; 24] =
    [1, 2, 3, 4, 5, 25, 27, 28, 31, 34, 38, 41, 42, 44, 46, 62, 63, 79, 91, 96, 97, 99, 100, 103];

#[cfg(test)]
mod tests {
    use super::super::fixtures::invite;
    use super::*;

    const KINDS: [Kind; 3] = [Kind::Teams, Kind::Genesys, Kind::Generic];

    /// What of an INVITE with these lines crosses, as `Name: value`.
    fn across(from: Kind, to: Kind, lines: &[&str]) -> Vec<String> {
        let invite = invite(lines);
        crossing(from, to, &invite).map(|line| format!("{}: {}", line.text, line.value)).collect()
    }

    #[test]
    fn what_the_hub_says_of_a_failure_is_kept_whole_up_to_a_bound_tdr_92() {
        let refused = |reason: &str| {
            let line = if reason.is_empty() { String::new() } else { format!("Reason: {reason}\r\n") };
            let response = format!(
                "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/TLS a\r\nFrom: <sip:a@example.com>;tag=1\r\n\
                 To: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{line}Content-Length: 0\r\n\r\n"
            );
            explanation(&crate::sip::Message::parse(response.into()).expect("parses"))
        };
        let text = "Q.850;cause=34;text=\"9d6c;Busy everywhere\"";
        assert_eq!(refused(text), format!("486 Busy Here; {text}"));
        assert_eq!(refused(""), "486 Busy Here");
        assert_eq!(explanation(&invite(&[&format!("Reason: {text}")])), text, "a request has no status");
        let long = refused(&format!("Q.850;cause=34;text=\"{}\"", "ä".repeat(MAX_EXPLANATION)));
        assert!((MAX_EXPLANATION - 1..=MAX_EXPLANATION).contains(&long.len()), "{}", long.len());
    }

    #[test]
    fn what_belongs_to_a_leg_never_crosses() {
        let lines = [
            "Max-Forwards: 70",
            "Contact: <sip:a@example.com>",
            "Record-Route: <sip:example.com;lr>",
            "Route: <sip:example.com;lr>",
            "Allow: INVITE",
            "Supported: timer",
            "Require: 100rel",
            "Session-Expires: 1800",
            "Min-SE: 90",
            "Proxy-Authorization: Digest username=\"a\"",
            "P-Asserted-Identity: <tel:+14255550123>",
            "Remote-Party-ID: <sip:+14255550123@example.com>",
            "Privacy: id",
            "User-Agent: PBX/1.0",
            "Replaces: 1;to-tag=2;from-tag=3",
            "Referred-By: <sip:a@example.com>",
            "Content-Type: application/sdp",
            "Reason: Q.850;cause=16",
            "Timestamp: 1",
        ];
        for from in KINDS {
            for to in KINDS {
                assert_eq!(across(from, to, &lines), [""; 0], "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn the_hub_gets_no_field_of_others_tdr_62() {
        let lines = [
            "User-to-User: 00aabb;encoding=hex",
            "Diversion: <sip:+14255550123@example.com>",
            "Call-Info: <http://example.com>",
            "Subject: x",
            "X-Acme-Token: secret",
            "x-inin-cnv: 7b9f",
        ];
        assert_eq!(across(Kind::Genesys, Kind::Teams, &lines), [""; 0]);
        assert_eq!(across(Kind::Generic, Kind::Teams, &lines), [""; 0]);
    }

    #[test]
    fn reserved_names_stay_with_their_platform_gen_61_gen_63_tdr_150() {
        let lines = [
            "x-inin-cnv: 7b9f",
            "X-Genesys-Foo: 1",
            "x-pcv-a: 1",
            "x-gcv-abc: 1",
            "X-MS-UserLocation: internal",
            "X-MS-SBC: Example/Edge/1.0",
        ];
        for from in KINDS {
            for to in KINDS {
                assert_eq!(across(from, to, &lines), [""; 0], "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_shared_secret_of_genesys_stays_with_us_gen_27() {
        let token = ["X-Acme-Token: secret"];
        assert_eq!(across(Kind::Genesys, Kind::Generic, &token), [""; 0]);
        assert_eq!(across(Kind::Generic, Kind::Genesys, &token), token, "a carrier's extensions pass: GEN-69");
    }

    #[test]
    fn user_to_user_goes_to_genesys_alone_and_once_gen_65_gen_66() {
        let both = ["x-User-to-User: text;encoding=ascii", "User-to-User: 00aabb;encoding=hex", "User-to-User: 00cc"];
        assert_eq!(across(Kind::Generic, Kind::Genesys, &both), ["User-to-User: 00aabb;encoding=hex"]);
        assert_eq!(across(Kind::Teams, Kind::Genesys, &both[..1]), ["x-User-to-User: text;encoding=ascii"]);
        assert_eq!(across(Kind::Genesys, Kind::Generic, &both), [""; 0]);
    }

    #[test]
    fn the_hub_s_call_history_is_not_passed_on_as_it_is_gen_59_tdr_119() {
        let lines = ["HISTORY-INFO: <sip:+14255550123@sip.pstnhub.microsoft.com>;index=1"];
        assert_eq!(across(Kind::Teams, Kind::Genesys, &lines), [""; 0]);
        let lines = ["Diversion: <sip:+14255550123@example.com>;reason=no-answer"];
        assert_eq!(across(Kind::Generic, Kind::Genesys, &lines), lines);
        assert_eq!(across(Kind::Genesys, Kind::Generic, &lines), [""; 0]);
    }

    #[test]
    fn failures_are_told_in_the_terms_of_genesys_gen_80_gen_95_gen_17() {
        for (said, heard) in [
            (302, 480),
            (400, 480),
            (401, 403),
            (403, 403),
            (404, 404),
            (407, 403),
            (408, 480),
            (410, 480),
            (415, 488),
            (420, 480),
            (422, 480),
            (480, 480),
            (481, 480),
            (484, 484),
            (486, 486),
            (487, 480),
            (488, 488),
            (491, 480),
            (500, 480),
            (501, 480),
            (503, 503),
            (504, 480),
            (580, 480),
            (600, 486),
            (603, 603),
            (604, 404),
            (606, 488),
            (699, 480),
        ] {
            assert_eq!(final_status(Kind::Teams, Kind::Genesys, said), heard, "{said}");
        }
    }

    #[test]
    fn only_outages_make_the_hub_try_elsewhere_tdr_121_tdr_127_tdr_163() {
        for (said, heard) in [
            (302, 480),
            (404, 404),
            (408, 480),
            (410, 404),
            (480, 480),
            (482, 482),
            (483, 483),
            (486, 486),
            (488, 488),
            (500, 480),
            (503, 503),
            (504, 504),
            (600, 486),
            (603, 603),
        ] {
            assert_eq!(final_status(Kind::Genesys, Kind::Teams, said), heard, "{said}");
        }
    }

    #[test]
    fn a_generic_trunk_hears_what_was_said_but_redirections_and_challenges() {
        for (said, heard) in [(302, 480), (401, 403), (407, 403), (408, 408), (420, 420), (500, 500), (603, 603)] {
            assert_eq!(final_status(Kind::Teams, Kind::Generic, said), heard);
        }
    }

    #[test]
    fn every_status_becomes_a_final_failure() {
        for from in KINDS {
            for to in KINDS {
                for said in 0..=u16::MAX {
                    let heard = final_status(from, to, said);
                    assert!((400..700).contains(&heard), "{said} became {heard}");
                }
            }
        }
    }

    const BYE: Option<u16> = None;

    /// What crosses of `said`, the Reason of a BYE or of a response with this status.
    fn crossed(from: Kind, to: Kind, status: Option<u16>, said: &str) -> Option<String> {
        let start = status.map_or_else(
            || "BYE sip:sbc1.example.com SIP/2.0".to_owned(),
            |status| format!("SIP/2.0 {status} Refused"),
        );
        let cseq = if status.is_some() { "CSeq: 1 INVITE" } else { "CSeq: 1 BYE" };
        let text = format!(
            "{start}\r\nVia: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.com>;tag=2\r\nCall-ID: c\r\n{cseq}\r\nReason: {said}\r\n\r\n"
        );
        let message = Message::parse(bytes::Bytes::from(text)).expect("parses");
        reason(from, to, &message)
    }

    #[test]
    fn the_hub_s_cause_34_of_a_busy_user_becomes_17_tdr_91() {
        let said = r#"Q.850;cause=34;text="a1b2;CallUsersBusy""#;
        assert_eq!(crossed(Kind::Teams, Kind::Genesys, Some(486), said).as_deref(), Some("Q.850;cause=17"));
        assert_eq!(crossed(Kind::Teams, Kind::Generic, Some(486), said).as_deref(), Some("Q.850;cause=17"));
    }

    #[test]
    fn causes_on_which_genesys_tries_again_do_not_reach_it_gen_80() {
        let retried = [1, 2, 3, 4, 5, 25, 27, 28, 31, 34, 38, 41, 42, 44, 46, 62, 63, 79, 91, 96, 97, 99, 100, 103];
        for cause in retried {
            let said = format!("Q.850;cause={cause}");
            assert_eq!(crossed(Kind::Teams, Kind::Genesys, Some(404), &said), None);
            assert_eq!(crossed(Kind::Generic, Kind::Generic, Some(404), &said), Some(said));
        }
        let normal = r#"Q.850;cause=16;text="Normal call clearing""#;
        assert_eq!(crossed(Kind::Genesys, Kind::Teams, BYE, normal).as_deref(), Some(normal));
        assert_eq!(crossed(Kind::Teams, Kind::Genesys, BYE, normal).as_deref(), Some("Q.850;cause=16"), "TDR-92");
    }

    #[test]
    fn completed_elsewhere_reaches_the_hub_word_for_word_tdr_82() {
        let said = r#"SIP;cause=200;text="Call completed elsewhere""#;
        assert_eq!(crossed(Kind::Genesys, Kind::Teams, BYE, said).as_deref(), Some(said));
        assert_eq!(crossed(Kind::Generic, Kind::Genesys, BYE, "Preemption;cause=1"), None);
        assert_eq!(crossed(Kind::Generic, Kind::Genesys, BYE, "Q.850"), None);
    }
}
