//! Who calls whom, read from an INVITE (TDR-50, 51, 65, 66, 68; GEN-18 to 21; RFC 3323, RFC 3325).

use crate::number::Number;
use crate::routing::Refusal;
use crate::sip::{Message, Name, NameAddr, Scheme, Uri, privacy};
use crate::trunk::{Kind, Termination, Trunk};

/// Who calls.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Caller {
    /// The caller's number, known also where it must not be shown; `None`: none was given that is one.
    pub number: Option<Number>,
    /// The name to show; `None` for anonymous callers.
    pub display: Option<String>,
    /// Whether number and name must not be shown to the called party.
    pub anonymous: bool,
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
/// already the number to show; its P-Asserted-Identity is the user to be billed (TDR-65, 66).
/// `country_code` is the calling code of numbers without `+`.
pub fn caller(from: &Trunk, country_code: &str, request: &Message) -> Caller {
    let shown = request.header(Name::From).and_then(|value| NameAddr::parse(value).ok());
    let asserted = request.values(Name::PAssertedIdentity).filter_map(|value| NameAddr::parse(value).ok());
    // A list holds a sip and a tel URI at most (RFC 3325 §9.1); the first that is a number counts.
    let asserted = asserted.filter_map(|value| Some((number_of(&value, country_code)?, display_of(&value)))).next();
    let shown_number = shown.as_ref().and_then(|value| number_of(value, country_code));
    let shown_display = shown.as_ref().and_then(display_of);
    let anonymous = shown.as_ref().is_some_and(is_anonymous) || privacy_asked(from.kind, request);
    let (number, display) = match (from.kind, shown_number, asserted) {
        (Kind::Teams, Some(number), _) | (_, Some(number), None) => (Some(number), shown_display),
        (_, _, Some((number, display))) => (Some(number), display.or(shown_display)),
        (_, None, None) => (None, shown_display),
    };
    Caller { number, display: display.filter(|_| !anonymous), anonymous }
}

fn number_of(value: &NameAddr<'_>, country_code: &str) -> Option<Number> {
    Number::of_uri(&value.uri().ok()?, country_code).ok()
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
    let dialled = number_in(request.request_uri(), country_code);
    match (from.termination, &dialled) {
        (Termination::Dnis, Ok(_) | Err(Refusal::NotANumber | Refusal::Incomplete)) => {
            let to = request.header(Name::To).and_then(|value| NameAddr::parse(value).ok());
            match to.map(|to| number_in(to.uri_text(), country_code)) {
                Some(Ok(number)) => Ok(number),
                Some(Err(_)) | None => dialled,
            }
        }
        (Termination::Dnis | Termination::Fqdn | Termination::Tgrp, _) => dialled,
    }
}

fn number_in(uri: &str, country_code: &str) -> Result<Number, Refusal> {
    let uri = Uri::parse(uri).map_err(|_| Refusal::MalformedUri)?;
    match uri.scheme() {
        Scheme::Sip | Scheme::Tel => Ok(Number::of_uri(&uri, country_code)?),
        Scheme::Sips | Scheme::Other(_) => Err(Refusal::Scheme),
    }
}
