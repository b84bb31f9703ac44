//! Who had a call before, and why it left them: History-Info of the hub (RFC 7044), Diversion of everybody else (RFC 5806),
//! each written as the other where a trunk wants it so (RFC 7544; TDR-67, 118, 119; GEN-59); and what betrays that a call
//! goes in a circle although a platform gave it a new Call-ID (TDR-120, GEN-79).

use crate::number::Number;
use crate::sip::{Diversion, Field, HistoryInfo, Message, Name, NameAddr, Reason, Uri, decimal, privacy};
use crate::trunk::policy::Forwarding;
use crate::trunk::{Kind, Trunk};
use std::borrow::Cow;

/// Why a call left who had it; the words are those of Diversion (RFC 5806 §4, RFC 7544 §5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DivertingReason {
    /// None was given, or one that has no word.
    Unknown,
    /// Every call is forwarded.
    Unconditional,
    /// The user is busy.
    UserBusy,
    /// The user does not answer.
    NoAnswer,
    /// The user sent this call on.
    Deflection,
    /// The user cannot be reached.
    Unavailable,
}

impl DivertingReason {
    /// The word of Diversion.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unconditional => "unconditional",
            Self::UserBusy => "user-busy",
            Self::NoAnswer => "no-answer",
            Self::Deflection => "deflection",
            Self::Unavailable => "unavailable",
        }
    }

    /// The status that says it in History-Info (RFC 4458 §2).
    const fn cause(self) -> u16 {
        match self {
            Self::Unknown => 404,
            Self::Unconditional => 302,
            Self::UserBusy => 486,
            Self::NoAnswer => 408,
            Self::Deflection => 480,
            Self::Unavailable => 503,
        }
    }

    fn of_cause(cause: u16) -> Self {
        match cause {
            302 => Self::Unconditional,
            486 | 600 => Self::UserBusy,
            408 => Self::NoAnswer,
            480 | 487 => Self::Deflection,
            503 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }

    fn of_word(word: &str) -> Self {
        let all = [Self::Unconditional, Self::UserBusy, Self::NoAnswer, Self::Deflection, Self::Unavailable];
        all.into_iter().find(|reason| reason.as_str().eq_ignore_ascii_case(word)).unwrap_or(Self::Unknown)
    }
}

/// Somebody who had the call, and sent it on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Diverter {
    /// Their number; `None` where the entry names none.
    pub number: Option<Number>,
    /// Why the call left them.
    pub reason: DivertingReason,
    /// How many times it was sent on there, at least 1.
    pub times: u32,
    /// Whether the called party must not see them.
    pub private: bool,
}

/// The most entries that are read: a call with more has long been refused, see [`goes_round`].
const MAX_ENTRIES: usize = 32;

/// How often a call may have been forwarded (GEN-59).
const MAX_TIMES: u32 = 5;

/// Who sent the call of this INVITE on, first to last; empty when nobody did. History-Info counts where there is one, as
/// it tells more than Diversion. Numbers are read by the dial plan of `from`; `country_code` is the calling code of those
/// without `+`.
pub fn diverters(from: &Trunk, country_code: &str, request: &Message) -> Vec<Diverter> {
    let history: Vec<HistoryInfo<'_>> = request
        .values(Name::HistoryInfo)
        .take(MAX_ENTRIES)
        .filter_map(|value| HistoryInfo::parse(value).ok())
        .collect();
    let all_private = privacy(request).any(|wish| wish.eq_ignore_ascii_case("history"));
    let mut found = Vec::new();
    for (at, entry) in history.iter().enumerate() {
        // Why it was left stands in the entry that was left (RFC 7044 §10.2, TDR-119), or in the next one as what
        // brought the call there (RFC 4458). An entry with neither is where the call is, or was only tried.
        let left = entry.reason().map(|reason| Reason::parse(&reason).ok().and_then(|reason| reason.cause));
        let cause = match (left, history.get(at + 1)) {
            (Some(cause), _) => cause,
            (None, Some(next)) => match brought_by(next) {
                Some(cause) => Some(cause),
                None => continue,
            },
            (None, None) => continue,
        };
        found.push(Diverter {
            number: number_of(from, &entry.address, country_code),
            reason: cause.map_or(DivertingReason::Unknown, DivertingReason::of_cause),
            times: 1,
            private: all_private || entry.private(),
        });
    }
    if !found.is_empty() {
        return found;
    }
    let diversions = request.values(Name::Diversion).take(MAX_ENTRIES).filter_map(|value| Diversion::parse(value).ok());
    found.extend(diversions.map(|entry| Diverter {
        number: number_of(from, &entry.address, country_code),
        reason: entry.reason().map_or(DivertingReason::Unknown, |word| DivertingReason::of_word(&word)),
        times: entry.counter().unwrap_or(1).max(1),
        // `name` and `uri` hide a part each; that part is the number, or stands beside it.
        private: all_private || entry.privacy().is_some_and(|wish| !wish.eq_ignore_ascii_case("off")),
    }));
    // The last that sent it on stands first (RFC 5806 §4).
    found.reverse();
    found
}

fn brought_by(entry: &HistoryInfo<'_>) -> Option<u16> {
    entry.address.uri().ok()?.params().get("cause")?.parse().ok()
}

fn number_of(from: &Trunk, address: &NameAddr<'_>, country_code: &str) -> Option<Number> {
    from.number(&address.uri().ok()?, country_code).ok()
}

/// The header fields that tell `to` who sent on the INVITE `request` of a leg of `from`, which now goes to
/// `request_uri`.
///
/// Genesys' own Diversion stays with it (GEN-59). Who wants to be private, or has no number, stands in it without name
/// and number, unless the trunk is trusted. Names of our own stand behind the numbers: what a platform calls its hosts
/// is not the others' business.
pub fn forwarding(
    from: &Trunk,
    to: &Trunk,
    country_code: &str,
    request: &Message,
    request_uri: &str,
) -> Vec<(Field, String)> {
    if from.kind == Kind::Genesys || to.policy.forwarding == Forwarding::None || passes_as_it_is(from, to) {
        return Vec::new();
    }
    let diverters = diverters(from, country_code, request);
    let shown = |diverter: &Diverter| match &diverter.number {
        _ if diverter.private && !to.policy.trusted_delivery => Cow::Borrowed("sip:anonymous@anonymous.invalid"),
        Some(number) => Cow::Owned(["sip:", &to.dial_plan.leaving(number), "@", &to.fqdn].concat()),
        None => Cow::Borrowed("sip:unknown@unknown.invalid"),
    };
    match to.policy.forwarding {
        Forwarding::None => Vec::new(),
        Forwarding::Diversion => {
            let value = |diverter: &Diverter| {
                let privacy = if diverter.private { ";privacy=full" } else { "" };
                let (reason, times) = (diverter.reason.as_str(), diverter.times);
                format!("<{}>;reason={reason};counter={times}{privacy}", shown(diverter))
            };
            diverters.iter().rev().map(|diverter| (Field::from(Name::Diversion), value(diverter))).collect()
        }
        Forwarding::HistoryInfo if diverters.is_empty() => Vec::new(),
        Forwarding::HistoryInfo => {
            let mut index = "1".to_owned();
            let mut values = Vec::new();
            for diverter in &diverters {
                let privacy = if diverter.private { "&Privacy=history" } else { "" };
                let cause = diverter.reason.cause();
                values.push(format!("<{}?Reason=SIP%3Bcause%3D{cause}{privacy}>;index={index}", shown(diverter)));
                index.push_str(".1");
            }
            values.push(format!("<{request_uri}>;index={index}"));
            vec![(Field::from(Name::HistoryInfo), values.join(", "))]
        }
    }
}

/// Whether both fields cross octet for octet: between carriers neither is more foreign than the other.
pub(super) fn passes_as_it_is(from: &Trunk, to: &Trunk) -> bool {
    from.kind == Kind::Generic && to.kind == Kind::Generic && to.policy.forwarding == Forwarding::Diversion
}

/// The header field in which each INVITE of ours counts how often the call has been through here: a platform that
/// forwards it gives it a new Call-ID and fresh Max-Forwards, but may keep what it does not know (GEN-79).
pub const HOPS: &str = "X-Tandem-Hops";

/// How often the call of this INVITE has been through here before; 0 as well where [`HOPS`] cannot be read.
pub fn hops(request: &Message) -> u32 {
    request.extension(HOPS).filter_map(|value| decimal(value).ok()).max().unwrap_or(0)
}

/// How often a call may come back to us: a colleague in Teams may forward to a queue in Genesys, and no further (GEN-79).
pub const MAX_REENTRIES: u32 = 1;

/// Whether the call of this INVITE for `called` goes in a circle: it has come back more than once, was forwarded more than
/// five times, or more than once by who is called (TDR-120, GEN-59, 79).
pub fn goes_round(from: &Trunk, country_code: &str, request: &Message, called: &Number) -> bool {
    if hops(request) > MAX_REENTRIES {
        return true;
    }
    if request.header(Name::HistoryInfo).is_none() && request.header(Name::Diversion).is_none() {
        return false;
    }
    let diverters = diverters(from, country_code, request);
    let times = diverters.iter().fold(0_u32, |sum, diverter| sum.saturating_add(diverter.times));
    let by_called = diverters.iter().filter(|diverter| diverter.number.as_ref() == Some(called));
    let by_called = by_called.fold(0_u32, |sum, diverter| sum.saturating_add(diverter.times));
    times > MAX_TIMES || by_called > MAX_REENTRIES
}

/// What stands behind the Request-URI of a call that goes straight to the user's voicemail (TDR-164).
pub const VOICEMAIL: &str = ";opaque=app:voicemail";

/// Whether the INVITE `request` for `called` goes straight to voicemail at `to`: the operator says so of the number, or the
/// caller's Request-URI asks for it (TDR-164).
pub fn is_for_voicemail(to: &Trunk, called: &Number, request: &Message) -> bool {
    let listed = to.policy.voicemail.iter().any(|number| number.matches(called.as_str()));
    to.kind == Kind::Teams && (listed || asks_for_voicemail(request.request_uri()))
}

fn asks_for_voicemail(request_uri: &str) -> bool {
    Uri::parse(request_uri)
        .is_ok_and(|uri| uri.params().get("opaque").is_some_and(|opaque| opaque.eq_ignore_ascii_case("app:voicemail")))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{generic, genesys, invite, teams};
    use super::*;
    use crate::number::{Fits, Step};
    use crate::trunk::Termination;

    /// TDR-119: as Teams writes it.
    const HISTORY: &str = "HISTORY-INFO: <sip:+14255550133@sip.pstnhub.microsoft.com:5061;user=phone?\
        Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%20temporarily%22>;index=1, \
        <sip:+14255550144@sip.pstnhub.microsoft.com:5061;user=phone>;index=1.1";

    fn told(from: &Trunk, to: &Trunk, lines: &[&str]) -> Vec<String> {
        let request_uri = "sip:+14255550100@example.com";
        let fields = forwarding(from, to, "1", &invite(lines), request_uri);
        fields.iter().map(|(field, value)| format!("{}: {value}", field.as_str())).collect()
    }

    fn wanting(form: Forwarding, mut trunk: Trunk) -> Trunk {
        trunk.policy.forwarding = form;
        trunk
    }

    #[test]
    fn two_entries_of_the_hub_are_one_diversion_for_genesys_and_carriers_tdr_118_tdr_119_gen_59() {
        let expected = ["Diversion: <sip:+14255550133@sbc1.example.com>;reason=unconditional;counter=1"];
        for to in [genesys(Termination::Fqdn), generic()] {
            assert_eq!(told(&teams(), &to, &[HISTORY]), expected);
        }
        let silent = wanting(Forwarding::None, generic());
        assert_eq!(told(&teams(), &silent, &[HISTORY]), [""; 0]);
        assert_eq!(told(&teams(), &genesys(Termination::Fqdn), &[]), [""; 0]);
    }

    #[test]
    fn the_last_that_sent_a_call_on_stands_first_in_diversion_and_causes_have_words_rfc_7544() {
        let history = "History-Info: <sip:+14255550131@example.com?Reason=SIP%3Bcause%3D486>;index=1, \
            <sip:+14255550132@example.com>;index=1.1, <sip:+14255550133@example.com;cause=408>;index=1.1.1, \
            <sip:+14255550134@example.com?Reason=Q.850%3Bcause%3D1>;index=1.1.1.1";
        assert_eq!(
            told(&teams(), &generic(), &[history]),
            [
                "Diversion: <sip:+14255550134@sbc1.example.com>;reason=unknown;counter=1",
                "Diversion: <sip:+14255550132@sbc1.example.com>;reason=no-answer;counter=1",
                "Diversion: <sip:+14255550131@sbc1.example.com>;reason=user-busy;counter=1",
            ]
        );
        for cause in [302, 486, 408, 480, 503, 404] {
            assert_eq!(DivertingReason::of_cause(cause).cause(), cause);
            assert_eq!(DivertingReason::of_word(DivertingReason::of_cause(cause).as_str()).cause(), cause);
        }
    }

    #[test]
    fn who_wants_to_be_private_is_redacted_unless_the_trunk_is_trusted_tdr_119() {
        let entry = "History-Info: <sip:+14255550133@example.com?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1";
        let plain = "History-Info: <sip:+14255550133@example.com?Reason=SIP%3Bcause%3D302>;index=1";
        let mut to = genesys(Termination::Fqdn);
        for lines in [&[entry][..], &[plain, "Privacy: history"]] {
            let hidden = "Diversion: <sip:anonymous@anonymous.invalid>;reason=unconditional;counter=1;privacy=full";
            assert_eq!(told(&teams(), &to, lines), [hidden]);
        }
        to.policy.trusted_delivery = true;
        let shown = "Diversion: <sip:+14255550133@sbc1.example.com>;reason=unconditional;counter=1;privacy=full";
        assert_eq!(told(&teams(), &to, &[entry]), [shown]);
    }

    #[test]
    fn a_trunk_reads_who_forwarded_in_the_numbers_that_it_dials() {
        let mut to = generic();
        to.dial_plan.outbound = vec![Step { fits: Fits::Prefix("+1".into()), replacement: "001".into() }];
        let told = told(&teams(), &to, &[HISTORY]);
        assert_eq!(told, ["Diversion: <sip:0014255550133@sbc1.example.com>;reason=unconditional;counter=1"]);
    }

    #[test]
    fn a_user_without_number_is_not_named() {
        let entry = "History-Info: <sip:robin@example.com?Reason=SIP%3Bcause%3D302>;index=1";
        let told = told(&teams(), &generic(), &[entry]);
        assert_eq!(told, ["Diversion: <sip:unknown@unknown.invalid>;reason=unconditional;counter=1"]);
    }

    #[test]
    fn diversion_becomes_history_info_only_where_the_operator_wants_it_tdr_62_tdr_118() {
        let diversion = "Diversion: <sip:+14255550132@example.com>;reason=no-answer;counter=2, \
            \"Ann\" <tel:+14255550131>;reason=\"user-busy\";privacy=full";
        assert_eq!(told(&generic(), &teams(), &[diversion]), [""; 0]);
        let hub = wanting(Forwarding::HistoryInfo, teams());
        let history = "History-Info: <sip:anonymous@anonymous.invalid?Reason=SIP%3Bcause%3D486&Privacy=history>;index=1, \
            <sip:+14255550132@sbc1.example.com?Reason=SIP%3Bcause%3D408>;index=1.1, \
            <sip:+14255550100@example.com>;index=1.1.1";
        assert_eq!(told(&generic(), &hub, &[diversion]), [history]);
        assert_eq!(told(&genesys(Termination::Fqdn), &hub, &[diversion]), [""; 0], "GEN-59");
        assert_eq!(told(&generic(), &generic(), &[diversion]), [""; 0], "crosses as it is");
    }

    #[test]
    fn what_history_info_says_is_what_diversion_said() {
        let diversion = "Diversion: <sip:+14255550132@example.com>;reason=no-answer;counter=1";
        let hub = wanting(Forwarding::HistoryInfo, teams());
        let there = told(&generic(), &hub, &[diversion]);
        let back = told(&teams(), &genesys(Termination::Fqdn), &[&there[0]]);
        assert_eq!(back, ["Diversion: <sip:+14255550132@sbc1.example.com>;reason=no-answer;counter=1"]);
    }

    fn round(lines: &[&str]) -> bool {
        goes_round(&teams(), "1", &invite(lines), &Number::normalise("+14255550133", "1").unwrap())
    }

    #[test]
    fn a_call_that_its_callee_forwarded_twice_goes_round_tdr_120() {
        let entry = |number: u32, index: &str| {
            format!("<sip:+1425555{number:04}@example.com?Reason=SIP%3Bcause%3D302>;index={index}")
        };
        let history = |entries: &[String]| format!("History-Info: {}", entries.join(", "));
        assert!(!round(&[]) && !round(&[HISTORY]), "once is a re-entry");
        assert!(round(&[&history(&[entry(133, "1"), entry(144, "1.1"), entry(133, "1.1.1")])]));
        let many: Vec<String> = (150..156).map(|number| entry(number, "1")).collect();
        assert!(!round(&[&history(&many[..5])]) && round(&[&history(&many)]), "GEN-59: five times");
        assert!(round(&["Diversion: <sip:+14255550150@example.com>;counter=6"]));
        assert!(round(&[
            "Diversion: <sip:+14255550150@example.com>;counter=4294967295, <sip:+14255550151@example.com>"
        ]));
    }

    #[test]
    fn a_call_may_come_back_once_gen_79() {
        assert!(!round(&["X-Tandem-Hops: 1"]) && round(&["x-tandem-hops: 2"]));
        assert_eq!(hops(&invite(&["X-Tandem-Hops: 1", "X-Tandem-Hops: 7"])), 7);
        assert_eq!(hops(&invite(&["X-Tandem-Hops: many"])), 0);
    }

    #[test]
    fn voicemail_is_asked_for_in_the_request_uri_tdr_164() {
        assert!(asks_for_voicemail("sip:+14255550100@example.com;user=phone;OPAQUE=App:voicemail"));
        assert!(!asks_for_voicemail("sip:+14255550100@example.com;opaque=app:other") && !asks_for_voicemail("::"));
    }
}
