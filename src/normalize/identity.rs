//! Who calls whom, read from an INVITE (TDR-50, 51, 65, 66, 68; GEN-18 to 21; RFC 3323, RFC 3325).

use crate::number::Number;
use crate::routing::Refusal;
use crate::sip::{Message, Name, NameAddr, Scheme, Uri, privacy};
use crate::trunk::policy::AssertedIdentity;
use crate::trunk::{Kind, NumberSource, Termination, Trunk};

/// Who calls.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Caller {
    /// The caller's number, known also where it must not be shown; `None`: none was given that is one.
    pub number: Option<Number>,
    /// The name to show; `None` for anonymous callers.
    pub display: Option<String>,
    /// Whether number and name must not be shown to the called party.
    pub anonymous: bool,
    /// What the far side is told of who was asserted.
    pub asserted: Asserted,
}

/// What the far side hears in P-Asserted-Identity.
#[derive(Clone, Default, Eq, PartialEq)]
pub enum Asserted {
    /// The number of the caller.
    #[default]
    Number,
    /// These values, as they were asserted; not empty.
    Values(String),
    /// Nothing.
    Nothing,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Caller");
        shown.field("number", &self.number).field("anonymous", &self.anonymous).finish_non_exhaustive()
    }
}

/// Who calls, as an INVITE from `from` says.
///
/// Toward the hub the identity goes into From (TDR-50), so what a carrier or Genesys asserts in
/// P-Asserted-Identity wins over a From that may be a main number (GEN-55). The hub's own From is
/// already the number to show; its P-Asserted-Identity is the user to be billed (TDR-65, 66), who is the caller only where
/// the operator says so: with ForwardPai the hub may leave From anonymous.
/// `country_code` is the calling code of numbers without `+`.
pub fn caller(from: &Trunk, country_code: &str, request: &Message) -> Caller {
    let policy = from.policy.asserted_identity;
    let shown = request.header(Name::From).and_then(|value| NameAddr::parse(value).ok());
    let asserted = request.values(Name::PAssertedIdentity).filter_map(|value| NameAddr::parse(value).ok());
    // A list holds a sip and a tel URI at most (RFC 3325 §9.1); the first that is a number counts.
    let asserted =
        asserted.filter_map(|value| Some((number_of(from, &value, country_code)?, display_of(&value)))).next();
    let shown_number = shown.as_ref().and_then(|value| number_of(from, value, country_code));
    let shown_display = shown.as_ref().and_then(display_of);
    let promoted = policy == AssertedIdentity::Promote && asserted.is_some();
    let anonymous = !promoted && (shown.as_ref().is_some_and(is_anonymous) || privacy_asked(from.kind, request));
    let (number, display) = match (from.kind, shown_number, asserted) {
        (Kind::Teams, Some(number), _) if !promoted => (Some(number), shown_display),
        (_, Some(number), None) => (Some(number), shown_display),
        (_, _, Some((number, display))) => (Some(number), display.or(shown_display)),
        (_, None, None) => (None, shown_display),
    };
    let asserted = match policy {
        AssertedIdentity::Strip => Asserted::Nothing,
        AssertedIdentity::Keep => kept(request),
        AssertedIdentity::Rewrite | AssertedIdentity::Promote => Asserted::Number,
    };
    Caller { number, display: display.filter(|_| !anonymous), anonymous, asserted }
}

/// What the caller's trunk asserts, as it came; the number where it asserts nothing that can be read.
fn kept(request: &Message) -> Asserted {
    let readable = |value: &&str| NameAddr::parse(value).is_ok_and(|value| value.uri().is_ok());
    let values: Vec<&str> = request.values(Name::PAssertedIdentity).filter(readable).take(2).collect();
    if values.is_empty() { Asserted::Number } else { Asserted::Values(values.join(", ")) }
}

fn number_of(from: &Trunk, value: &NameAddr<'_>, country_code: &str) -> Option<Number> {
    from.number(&value.uri().ok()?, country_code).ok()
}

/// The display name without what could not stand in one.
fn display_of(value: &NameAddr<'_>) -> Option<String> {
    let display = value.display()?;
    let display: String = display.trim().chars().filter(|character| !character.is_control()).collect();
    Some(display).filter(|display| !display.is_empty() && !display.eq_ignore_ascii_case("anonymous"))
}

/// The forms of TDR-51, TDR-65 and RFC 3323 §4.1.1.3.
fn is_anonymous(value: &NameAddr<'_>) -> bool {
    value.uri().is_ok_and(|uri| {
        uri.host().eq_ignore_ascii_case("anonymous.invalid")
            || uri.user().is_some_and(|user| user.eq_ignore_ascii_case("anonymous"))
    })
}

/// Whether Privacy asks that the caller not be shown. The hub adds `id` to every call on which it
/// asserts an identity, shown or not: there From alone counts (TDR-66).
fn privacy_asked(kind: Kind, request: &Message) -> bool {
    let asked = |value: &str| ["id", "user", "header"].iter().any(|own| own.eq_ignore_ascii_case(value));
    kind != Kind::Teams && privacy(request).any(asked)
}

/// Which number is called: the user of the Request-URI, or that of To where the trunk's Request-URI
/// names the trunk (GEN-18, 21).
///
/// # Errors
///
/// [`Refusal::MalformedUri`], [`Refusal::Scheme`], [`Refusal::Incomplete`] or [`Refusal::NotANumber`].
pub fn called(from: &Trunk, country_code: &str, request: &Message) -> Result<Number, Refusal> {
    let dialled = number_in(from, request.request_uri(), country_code);
    // The boxes of Genesys for its own INVITEs and the form of ours are independent of each other (GEN-21).
    let named_in_to = from.number_source == NumberSource::To || from.termination == Termination::Dnis;
    match (named_in_to, &dialled) {
        (true, Ok(_) | Err(Refusal::NotANumber | Refusal::Incomplete)) => {
            let to = request.header(Name::To).and_then(|value| NameAddr::parse(value).ok());
            match to.map(|to| number_in(from, to.uri_text(), country_code)) {
                Some(Ok(number)) => Ok(number),
                Some(Err(_)) | None => dialled,
            }
        }
        _ => dialled,
    }
}

fn number_in(from: &Trunk, uri: &str, country_code: &str) -> Result<Number, Refusal> {
    let uri = Uri::parse(uri).map_err(|_| Refusal::MalformedUri)?;
    match uri.scheme() {
        Scheme::Sip | Scheme::Tel => Ok(from.number(&uri, country_code)?),
        Scheme::Sips | Scheme::Other(_) => Err(Refusal::Scheme),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{generic, genesys, invite, message, teams};
    use super::*;

    /// Number, display name and whether anonymous.
    fn read(from: &Trunk, lines: &[&str]) -> (Option<String>, Option<String>, bool) {
        let caller = caller(from, "49", &invite(lines));
        (caller.number.map(|number| number.user_part()), caller.display, caller.anonymous)
    }

    fn shown(number: &str, display: Option<&str>) -> (Option<String>, Option<String>, bool) {
        (Some(number.to_owned()), display.map(str::to_owned), false)
    }

    fn classic() -> Trunk {
        genesys(Termination::Fqdn)
    }

    #[test]
    fn the_hub_s_from_is_the_caller_whatever_it_asserts_tdr_65_tdr_66() {
        let from = "FROM: Robin Example<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;tag=2";
        let expected = shown("+14255550123", Some("Robin Example"));
        assert_eq!(read(&teams(), &[from]), expected);
        let billed = "P-ASSERTED-IDENTITY: <tel:+14255550177>,<sip:robin@example.com>";
        assert_eq!(read(&teams(), &[from, billed, "PRIVACY: id"]), expected);
    }

    #[test]
    fn an_anonymous_from_of_the_hub_keeps_the_billed_number_for_the_record_tdr_65() {
        let from = "FROM: <sip:anonymous@anonymous.invalid>;tag=2";
        assert_eq!(read(&teams(), &[from]), (None, None, true));
        let billed = "P-ASSERTED-IDENTITY: <tel:+14255550177>,<sip:robin@example.com>";
        assert_eq!(read(&teams(), &[from, billed, "PRIVACY: id"]), (Some("+14255550177".to_owned()), None, true));
    }

    #[test]
    fn what_a_carrier_asserts_wins_over_its_from_tdr_50() {
        let from = "From: \"Main\" <sip:+496955501000@carrier.example.com>;tag=2";
        let asserted = "P-Asserted-Identity: \"Dana\" <sip:+12065550144@carrier.example.com;user=phone>";
        assert_eq!(read(&generic(), &[from, asserted]), shown("+12065550144", Some("Dana")));
        let asserted = "P-Asserted-Identity: <sip:pbx@carrier.example.com>, <tel:+12065550144>";
        assert_eq!(read(&generic(), &[from, asserted]), shown("+12065550144", Some("Main")));
    }

    #[test]
    fn genesys_may_omit_plus_and_write_addresses_gen_19_gen_20() {
        let from = "From: \"Erika\" <sip:491701234567@198.51.100.21>;tag=2";
        assert_eq!(read(&classic(), &[from]), shown("+491701234567", Some("Erika")));
        let from = "From: \"Agent\" <sip:org-user@acme-sbc.byoc.mypurecloud.de>;tag=2";
        assert_eq!(read(&classic(), &[from]), (None, Some("Agent".to_owned()), false));
    }

    #[test]
    fn privacy_hides_the_caller_of_a_carrier_tdr_51_gen_58() {
        let from = "From: \"Dana\" <sip:+12065550144@carrier.example.com>;tag=2";
        for privacy in ["Privacy: id", "Privacy: header;user", "Privacy: ID;critical"] {
            assert_eq!(read(&generic(), &[from, privacy]), (Some("+12065550144".to_owned()), None, true));
        }
        for privacy in ["Privacy: none", "Privacy: history"] {
            assert_eq!(read(&generic(), &[from, privacy]), shown("+12065550144", Some("Dana")));
        }
        let from = "From: \"Anonymous\" <sip:anonymous@carrier.example.com>;tag=2";
        assert_eq!(read(&generic(), &[from]), (None, None, true));
    }

    #[test]
    fn the_billed_user_is_the_caller_where_the_operator_says_so_tdr_66() {
        let billed = "P-ASSERTED-IDENTITY: <tel:+14255550177>,<sip:robin@example.com>";
        let mut hub = teams();
        hub.policy.asserted_identity = AssertedIdentity::Promote;
        for from in ["FROM: <sip:anonymous@anonymous.invalid>;tag=2", "FROM: <sip:+14255550123@example.com>;tag=2"] {
            assert_eq!(read(&hub, &[from, billed, "PRIVACY: id"]), shown("+14255550177", None));
        }
        let from = "FROM: <sip:anonymous@anonymous.invalid>;tag=2";
        assert_eq!(read(&hub, &[from, "PRIVACY: id"]), (None, None, true), "nothing to promote");
    }

    #[test]
    fn what_is_asserted_is_kept_or_stripped_by_policy_tdr_66() {
        let lines = ["P-ASSERTED-IDENTITY: <tel:+14255550177>,<sip:robin@example.com>", "PRIVACY: id"];
        let mut hub = teams();
        for (policy, lines, expected) in [
            (AssertedIdentity::Rewrite, &lines[..], Asserted::Number),
            (AssertedIdentity::Promote, &lines[..], Asserted::Number),
            (AssertedIdentity::Strip, &lines[..], Asserted::Nothing),
            (
                AssertedIdentity::Keep,
                &lines[..],
                Asserted::Values("<tel:+14255550177>, <sip:robin@example.com>".into()),
            ),
            (AssertedIdentity::Keep, &[], Asserted::Number),
            (AssertedIdentity::Keep, &["P-Asserted-Identity: <"], Asserted::Number),
        ] {
            hub.policy.asserted_identity = policy;
            assert!(caller(&hub, "1", &invite(lines)).asserted == expected, "{policy:?}");
        }
    }

    #[test]
    fn a_caller_prints_no_name_and_no_number() {
        let from = "From: \"Dana\" <sip:+12065550144@carrier.example.com>;tag=2";
        let text = format!("{:?}", caller(&generic(), "1", &invite(&[from])));
        assert!(!text.contains("Dana") && !text.contains("206"), "{text}");
    }

    fn number_called(from: &Trunk, uri: &str, to: &str) -> Result<String, Refusal> {
        let request = message(&format!("INVITE {uri} SIP/2.0"), &[&format!("To: {to}")], "");
        called(from, "49", &request).map(|number| number.user_part())
    }

    #[test]
    fn the_user_of_the_request_uri_is_called_gen_18_gen_20_tdr_70() {
        for uri in [
            "sip:+496912346007@sbc1.example.com:5061;transport=tls",
            "sip:496912346007@sbc1.example.com;user=phone",
            "sip:%2B496912346007@sbc1.example.com;language=en-US",
            "sip:+496912346007@sbc1.example.com:5061;user=phone;cause=302",
            "sip:06912346007@sbc1.example.com",
            "tel:+49-69-12346007",
        ] {
            let found = number_called(&classic(), uri, "<sip:+14255550100@example.com>");
            assert_eq!(found.as_deref(), Ok("+496912346007"), "{uri}");
        }
    }

    #[test]
    fn where_the_request_uri_names_the_trunk_the_number_is_in_to_gen_21() {
        let dnis = genesys(Termination::Dnis);
        let to = "<sip:+496912346007@sbc1.example.com>";
        assert_eq!(number_called(&dnis, "sip:sbc@sbc1.example.com", to).as_deref(), Ok("+496912346007"));
        assert_eq!(number_called(&dnis, "sip:4711@sbc1.example.com", to).as_deref(), Ok("+496912346007"));
        let ticked = Trunk { number_source: NumberSource::To, ..classic() };
        assert_eq!(number_called(&ticked, "sip:acme-sbc@sbc1.example.com", to).as_deref(), Ok("+496912346007"));
        let grouped = "sip:4711;tgrp=acme-sbc;trunk-context=example.com@sbc1.example.com";
        assert_eq!(number_called(&ticked, grouped, to).as_deref(), Ok("+496912346007"), "with tgrp");
        assert_eq!(number_called(&classic(), "sip:+496912346008@sbc1.example.com", to).as_deref(), Ok("+496912346008"));
        let no_number = number_called(&dnis, "sip:sbc@sbc1.example.com", "<sip:alice@example.com>");
        assert_eq!(no_number, Err(Refusal::NotANumber));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let to = "<sip:+14255550100@example.com>";
        for (uri, refusal) in [
            ("sip:alice@sbc1.example.com", Refusal::NotANumber),
            ("sip:sbc1.example.com", Refusal::Incomplete),
            ("sip:+@sbc1.example.com", Refusal::Incomplete),
            ("sips:+14255550100@sbc1.example.com", Refusal::Scheme),
            ("urn:service:sos", Refusal::Scheme),
        ] {
            assert_eq!(number_called(&teams(), uri, to), Err(refusal), "{uri}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(uri in "\\S{1,40}", from in "[^\r\n]{0,40}", asserted in "[^\r\n]{0,40}") {
            let text = format!(
                "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/TLS a\r\nFrom: {from}\r\nTo: {asserted}\r\nCall-ID: 1\r\n\
                 CSeq: 1 INVITE\r\nP-Asserted-Identity: {asserted}\r\n\r\n"
            );
            if let Ok(request) = Message::parse(bytes::Bytes::from(text)) {
                for trunk in [teams(), genesys(Termination::Dnis), generic()] {
                    let caller = caller(&trunk, "49", &request);
                    if let Ok(number) = called(&trunk, "49", &request) {
                        let _ = super::super::invite_form(&trunk, 0, &caller, &number);
                    }
                }
            }
        }
    }
}
