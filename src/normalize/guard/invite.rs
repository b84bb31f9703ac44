//! Who calls whom, in the INVITE that begins a call.
//!
//! | what | toward | then |
//! |---|---|---|
//! | Request-URI that names no host of the hub, or no E.164 number (TDR-48, 130) | hub | refused |
//! | Request-URI without `user=phone`, or with more in its user part than an extension (TDR-47, 48) | hub | put right |
//! | `phone-context` (TDR-132) | hub | refused |
//! | Request-URI that does not name the trunk, or no number (GEN-12 to 15, 17) | Genesys | refused |
//! | Request-URI with more than its form has (GEN-13, 14) | Genesys | put right |
//! | To of another number (TDR-52, GEN-18), From at another host (TDR-50) | hub, Genesys | put right |
//! | a short code in From without `+` (TDR-130) | hub | put right |
//! | From that is no number (TDR-50, GEN-57) | hub, Genesys | refused |
//! | a withheld number in Contact, or anywhere but in P-Asserted-Identity (TDR-51, GEN-58) | hub, Genesys | refused |
//! | a withheld number in P-Asserted-Identity (TDR-51, GEN-58) | hub, Genesys unless trusted | removed |
//! | an asserted number that is not that of From (TDR-66, GEN-57) | hub, Genesys | made that of From |

use super::super::form::genesys_uri;
use super::{Rejection, Repairs, contains, is_ours, reject, replaces};
use crate::number::{MAX_DIGITS, SHORT_DIGITS};
use crate::pii::Pii;
use crate::sip::{Message, Method, Name, NameAddr, Scheme, Uri, privacy, quote};
use crate::trunk::{Kind, Termination, Trunk};
use std::borrow::Cow;

/// TDR-46 to 52, 130, 132.
pub(super) fn to_hub(
    to: &Trunk,
    message: &Message,
    uri: &Uri<'_>,
    from: &NameAddr<'_>,
    called: &NameAddr<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    if !is_hub(to, uri) {
        return reject("TDR-48", format!("Request-URI at {}, which is no name of the hub", uri.host()));
    }
    let number = number(uri.as_str());
    if !is_global(number) {
        let number = Pii::new(number);
        return reject("TDR-130", format!("Request-URI for {number}, which is not + and 4 to 15 digits"));
    }
    if [uri.as_str(), from.uri_text(), called.uri_text()].iter().any(|text| contains(text, "phone-context")) {
        return reject("TDR-132", "phone-context, which the hub does not resolve");
    }
    if uri.headers().any(|(name, _)| name.eq_ignore_ascii_case("replaces")) {
        return replaces();
    }
    // TDR-47: of what a user part may carry, the hub knows the extension.
    let dialled = front(uri.as_str());
    let bare = uri.user_params().iter().all(|(name, value)| name == "ext" && value.is_some_and(is_digits));
    let dialled = match uri.user_params().get("ext").filter(|extension| is_digits(extension)) {
        _ if bare => Cow::Borrowed(dialled),
        Some(extension) => Cow::Owned(format!("sip:{number};ext={extension}")),
        None => Cow::Owned(format!("sip:{number}")),
    };
    if !bare || uri.params().get("user") != Some("phone") || uri.headers().next().is_some() {
        let rest = uri.params().iter().filter(|(name, _)| !name.eq_ignore_ascii_case("user"));
        let rest: String = rest.map(|(name, value)| parameter(name, value)).collect();
        repairs.edit().request_line(&Method::Invite, &format!("{dialled}@{};user=phone{rest}", place(uri.as_str())));
    }
    if dialled != front(called.uri_text()) {
        repairs.edit().set(Name::To, format!("<{dialled}@{}>", to.fqdn));
    }
    if is_anonymous(from) {
        return withheld(to, message, from, "TDR-51", repairs);
    }
    let caller = self::number(from.uri_text());
    let with_plus = is_short(caller).then(|| format!("+{caller}"));
    let caller = with_plus.as_deref().unwrap_or(caller);
    if !is_calling(caller) {
        return reject("TDR-50", format!("From of {}, which is no number", Pii::new(caller)));
    }
    match &with_plus {
        Some(number) => repairs.from(from, &format!("sip:{number}@{}", to.fqdn)),
        None => shown(to, from, caller, true, repairs),
    }
    asserted(to, message, caller, repairs);
    Ok(())
}

fn is_hub(to: &Trunk, uri: &Uri<'_>) -> bool {
    let mut own = to.hosts.iter().map(|host| &*host.name).chain([&*to.request_host]);
    uri.scheme() == Scheme::Sip && own.any(|own| own.eq_ignore_ascii_case(uri.host()))
}

/// TDR-33: the hub looks for the tenant by our name in From as well.
pub(super) fn options_to_hub(
    to: &Trunk,
    uri: &Uri<'_>,
    from: &NameAddr<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    if !is_hub(to, uri) {
        return reject("TDR-33", format!("OPTIONS for {}, which is no name of the hub", uri.host()));
    }
    if !from.uri().is_ok_and(|uri| is_ours(to, uri.host())) {
        repairs.edit().set(Name::From, format!("<sip:{}>;tag={}", to.fqdn, from.tag().unwrap_or_default()));
    }
    Ok(())
}

/// GEN-12 to 18, 57.
pub(super) fn to_genesys(
    to: &Trunk,
    message: &Message,
    uri: &Uri<'_>,
    from: &NameAddr<'_>,
    called: &NameAddr<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    let identifier = &*to.termination_identifier;
    let group = uri.user_params();
    let (named, number, bare) = match to.termination {
        Termination::Fqdn => {
            let named = uri.host().eq_ignore_ascii_case(&to.request_host);
            (named, number(uri.as_str()), group.is_empty())
        }
        Termination::Tgrp => {
            let context = group.get("trunk-context").is_some_and(|own| own.eq_ignore_ascii_case(&to.request_host));
            (group.get("tgrp") == Some(identifier), number(uri.as_str()), context)
        }
        Termination::Dnis => (uri.user() == Some(identifier), number(called.uri_text()), true),
        // GEN-16: the header field of the operator's choice.
        Termination::Header => {
            let named = to.headers.iter().any(|(field, value)| {
                value.eq_ignore_ascii_case(identifier) && message.extension(field.as_str()).eq([value.as_str()])
            });
            (named, number(uri.as_str()), group.is_empty())
        }
    };
    if uri.scheme() != Scheme::Sip || !named {
        return reject(
            "GEN-12",
            "neither the Request-URI nor a header field names the trunk: Genesys would not know whose call it is",
        );
    }
    // A site with a number plan of its own takes numbers without + as well.
    if !is_global(number) && !is_national(number) {
        return reject("GEN-17", format!("a call for {}, which is no number", Pii::new(number)));
    }
    // Nothing stands in it but what its form has (GEN-13, 14).
    let bare = bare && uri.headers().next().is_none();
    if !bare || uri.params().iter().any(|(name, _)| !name.eq_ignore_ascii_case("transport")) {
        repairs.edit().request_line(&Method::Invite, &genesys_uri(to, number, &to.request_host));
    }
    let sip = called.uri().is_ok_and(|uri| uri.scheme() == Scheme::Sip);
    if !sip || number != self::number(called.uri_text()) {
        repairs.edit().set(Name::To, format!("<sip:{number}@{}>", to.request_host));
    }
    if is_anonymous(from) {
        return withheld(to, message, from, "GEN-58", repairs);
    }
    let caller = self::number(from.uri_text());
    if !is_global(caller) && !is_national(caller) {
        return reject("GEN-57", format!("From of {}, which is no number", Pii::new(caller)));
    }
    shown(to, from, caller, false, repairs);
    asserted(to, message, caller, repairs);
    Ok(())
}

fn is_anonymous(from: &NameAddr<'_>) -> bool {
    let host = from.uri().is_ok_and(|uri| uri.host().eq_ignore_ascii_case("anonymous.invalid"));
    host || number(from.uri_text()).eq_ignore_ascii_case("anonymous")
}

/// A withheld number stands nowhere (TDR-51, GEN-58, RFC 3323 §4.1).
fn withheld(
    to: &Trunk,
    message: &Message,
    from: &NameAddr<'_>,
    rule: &'static str,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    let hub = to.kind == Kind::Teams;
    let contact = message.header(Name::Contact).and_then(|value| NameAddr::parse(value).ok());
    let contact = contact.map_or("", |contact| number(contact.uri_text()));
    if is_global(contact) || is_national(contact) {
        return reject(rule, "From is anonymous, but Contact shows the number");
    }
    for value in message.values(Name::PAssertedIdentity).chain(message.values(Name::PPreferredIdentity)) {
        let digits = NameAddr::parse(value).map_or("", |value| number(value.uri_text())).trim_start_matches('+');
        // Fewer digits are in every other message by chance.
        if digits.len() < 7 {
            continue;
        }
        let told = message.lines().find(|line| {
            let identity = matches!(
                line.name,
                Name::From | Name::PAssertedIdentity | Name::PPreferredIdentity | Name::RemotePartyId
            );
            !identity && line.value.contains(digits)
        });
        if let Some(line) = told {
            return reject(rule, format!("From is anonymous, but {} shows the number", line.text));
        }
    }
    // RFC 3325 §7: who is trusted hears the number, and the wish that nobody else does. The hub is never trusted.
    let wished = privacy(message).any(|value| value.eq_ignore_ascii_case("id"));
    let mut told = message.header(Name::PAssertedIdentity).is_some();
    if told && (hub || !to.policy.trusted_delivery) {
        repairs.edit().remove(Name::PAssertedIdentity);
        told = false;
    }
    if (hub || told) && !wished {
        repairs.edit().set(Name::Privacy, "id");
    }
    if message.header(Name::PPreferredIdentity).is_some() {
        repairs.edit().remove(Name::PPreferredIdentity);
    }
    let display = from.display().filter(|display| !shows_number(display));
    let named = from.uri().is_ok_and(|uri| uri.user() == Some("anonymous") && uri.host() == "anonymous.invalid");
    if !named || display.is_none() != from.display().is_none() {
        let display = display.unwrap_or(Cow::Borrowed("Anonymous"));
        let tag = from.tag().unwrap_or_default();
        repairs.edit().set(Name::From, format!("{} <sip:anonymous@anonymous.invalid>;tag={tag}", quote(&display)));
    }
    Ok(())
}

/// From as `number` at our name, as a SIP URI without what trunk groups put there (TDR-50). Genesys takes any host.
fn shown(to: &Trunk, from: &NameAddr<'_>, number: &str, at_our_name: bool, repairs: &mut Repairs<'_>) {
    let good = from.uri().is_ok_and(|uri| {
        let ours = !at_our_name || is_ours(to, uri.host());
        ours && uri.scheme() == Scheme::Sip && uri.user_params().iter().all(|(name, _)| name == "ext")
    });
    if !good {
        repairs.from(from, &format!("sip:{number}@{}", to.fqdn));
    }
}

/// The asserted number, where one is asserted, is that of From (TDR-66, GEN-57).
fn asserted(to: &Trunk, message: &Message, caller: &str, repairs: &mut Repairs<'_>) {
    let other = message.values(Name::PAssertedIdentity).any(|value| {
        let value = NameAddr::parse(value).ok();
        let sip = value.and_then(|value| value.uri().ok()).is_some_and(|uri| uri.scheme() == Scheme::Sip);
        !sip || value.is_none_or(|value| number(value.uri_text()) != caller)
    });
    if other {
        repairs.edit().set(Name::PAssertedIdentity, format!("<sip:{caller}@{}>", to.fqdn));
    }
}

/// A URI in front of its `@`: `sip:+14255550123;ext=7`. All of it where there is none.
fn front(uri: &str) -> &str {
    uri.split_once('@').map_or(uri, |(front, _)| front)
}

/// What a platform reads as the number: the user part up to its parameters, a password included.
fn number(uri: &str) -> &str {
    let tel = uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    let user = if tel || uri.contains('@') { front(uri).split_once(':').map_or("", |(_, user)| user) } else { "" };
    user.split_once(';').map_or(user, |(number, _)| number)
}

/// Host and port of a SIP URI as they stand.
fn place(uri: &str) -> &str {
    let behind = uri.split_once('@').map_or("", |(_, behind)| behind);
    behind.split([';', '?']).next().unwrap_or("")
}

fn parameter(name: &str, value: Option<&str>) -> String {
    value.map_or_else(|| format!(";{name}"), |value| format!(";{name}={value}"))
}

/// Whether a name is a number in disguise: seven digits, whatever is between them.
fn shows_number(display: &str) -> bool {
    display.bytes().filter(u8::is_ascii_digit).count() >= 7
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// `+` and 4 to 15 digits, the first no 0 (TDR-48, TDR-131).
fn is_global(user: &str) -> bool {
    let digits = user.strip_prefix('+').unwrap_or("");
    (4..=15).contains(&digits.len()) && !digits.starts_with('0') && is_digits(digits)
}

/// Who may call: short numbers have `+` at the hub as well (TDR-130, TDR-131).
fn is_calling(user: &str) -> bool {
    let digits = user.strip_prefix('+').unwrap_or("");
    digits.len() <= 15 && !digits.starts_with('0') && is_digits(digits)
}

/// A short code as the caller's own network writes it.
fn is_short(user: &str) -> bool {
    user.len() <= SHORT_DIGITS && is_digits(user)
}

/// A number without `+`, as the dial plan of a trunk of Genesys may want it (GEN-19, GEN-88).
fn is_national(user: &str) -> bool {
    user.len() <= MAX_DIGITS && is_digits(user)
}
