//! The egress guard: the last look at what is about to leave, after all rules (design: "Built-in trunk kinds").
//!
//! It reads the message as the platform will. What the platform is documented to reject does not leave: where there is
//! one right repair it is made, the rest is refused with the rule and the remedy. What is merely unusual passes.
//!
//! | what | toward | then |
//! |---|---|---|
//! | a method outside the platform's Allow (TDR-90, GEN-43) | hub, Genesys | refused |
//! | `sips:` in Request-URI, From, To or Contact (TDR-1, GEN-45) | hub, Genesys | refused |
//! | Contact that is not our name there (TDR-42, 44, GEN-24) | hub, Genesys | refused |
//! | Record-Route, Require and Proxy-Require of a request (TDR-45, 57, GEN-38, 43) | hub, Genesys | removed |
//! | fields that are another platform's business (TDR-62, 150, GEN-61, 63) | hub, Genesys | removed |
//! | Request-URI that names no host of the hub, or no E.164 number (TDR-48, 130) | hub | refused |
//! | Request-URI without `user=phone` (TDR-48), To of another number (TDR-52), From of another host (TDR-50) | hub | put right |
//! | `phone-context` (TDR-132), Replaces (TDR-58) | hub | refused |
//! | an anonymous From whose number stands elsewhere (TDR-51, GEN-58) | hub | asserted identity removed, Contact refused |
//! | an asserted number that is not that of From (TDR-66, GEN-57) | hub, Genesys | made that of From |
//! | Request-URI that does not name the trunk (GEN-12 to 15) | Genesys | refused |
//! | several User-to-User (GEN-66) | Genesys | the first is kept |
//! | no offer in an INVITE (TDR-55, 87), a body that is no description (TDR-59) | hub | refused |
//! | descriptions (TDR-93, 134, 135, GEN-48, 49): one-way offers, no key, no SRTP, no address | hub, Genesys | refused |
//! | a header line over 8 KiB, a message over 64 KiB (TDR-72) | all | refused |

mod description;

use crate::number::SHORT_DIGITS;
use crate::pii::Pii;
use crate::sip::{Edits, Message, Method, Name, NameAddr, Scheme, Uri};
use crate::trunk::policy::UserToUserForm;
use crate::trunk::{Kind, Termination, Trunk};
use std::fmt;

/// The longest header line that a platform has to take, in octets (TDR-72, GEN-64).
pub const MAX_LINE: usize = 8 * 1024;

/// The longest message, in octets (TDR-72, GEN-64).
pub const MAX_MESSAGE: usize = 64 * 1024;

/// Why a message must not leave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The rule that the platform would enforce: `TDR-55`.
    pub rule: &'static str,
    /// What is wrong, in words, without personal data.
    pub text: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.text)
    }
}

fn reject<T>(rule: &'static str, text: impl Into<String>) -> Result<T, Rejection> {
    Err(Rejection { rule, text: text.into() })
}

/// Checks what is about to leave toward `to`. `Ok(None)`: it may leave as it is; `Ok(Some)`: it may leave so, repaired.
///
/// # Errors
///
/// [`Rejection`]: the platform is documented to reject it and there is no one right repair.
pub fn inspect(to: &Trunk, message: &Message) -> Result<Option<Message>, Rejection> {
    if message.octets().len() > MAX_MESSAGE {
        return reject("TDR-72", format!("the message is longer than {MAX_MESSAGE} octets"));
    }
    let mut edits = Edits::new();
    let mut repaired = false;
    let mut repairs = Repairs { edits: &mut edits, made: &mut repaired };
    fields(to, message, &mut repairs)?;
    if to.kind != Kind::Generic {
        contact(to, message)?;
        if message.is_request() {
            request(to, message, &mut repairs)?;
        }
    }
    if let Some(body) = description::inspect(to, message)? {
        edits.set(Name::ContentType, "application/sdp").body(body);
        repaired = true;
    }
    if !repaired {
        return Ok(None);
    }
    match Message::parse(edits.write(message)) {
        Ok(message) => Ok(Some(message)),
        Err(rejected) => reject("RFC 3261 §7", format!("cannot be repaired: {}", rejected.fault)),
    }
}

/// The edits that put a message right.
struct Repairs<'e> {
    edits: &'e mut Edits,
    made: &'e mut bool,
}

impl Repairs<'_> {
    /// From becomes `front` at `host`, its display name and tag stay.
    fn from(&mut self, from: &NameAddr<'_>, front: &str, host: &str) {
        let tag = from.tag().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let display = from.display().map(|display| format!("{} ", crate::sip::quote(&display))).unwrap_or_default();
        self.edit().set(Name::From, format!("{display}<{front}@{host}>{tag}"));
    }

    fn edit(&mut self) -> &mut Edits {
        *self.made = true;
        self.edits
    }
}

/// Lines that are too long, and fields that the platform must not see, or only once.
fn fields(to: &Trunk, message: &Message, repairs: &mut Repairs<'_>) -> Result<(), Rejection> {
    let (request, hub, generic) = (message.is_request(), to.kind == Kind::Teams, to.kind == Kind::Generic);
    let mut user_to_user = 0;
    for line in message.lines() {
        if line.octets.len() > MAX_LINE {
            return reject("TDR-72", format!("the line of {} is longer than {MAX_LINE} octets", line.text));
        }
        if generic {
            continue;
        }
        let foreign = match line.name {
            Name::RecordRoute | Name::Require | Name::ProxyRequire => request,
            Name::RemotePartyId => !to.policy.passes(line.text),
            Name::CallInfo if hub => !to.policy.passes(line.text),
            Name::UserToUser if hub => to.policy.user_to_user == UserToUserForm::None,
            Name::Diversion if hub => true,
            Name::Replaces if hub && request => {
                return reject("TDR-58", "Replaces, which the hub rejects: calls are joined here, not there");
            }
            Name::UserToUser => {
                user_to_user += 1;
                false
            }
            Name::Other => {
                let uui = line.text.eq_ignore_ascii_case("x-user-to-user");
                user_to_user += usize::from(uui);
                match hub && uui {
                    true => to.policy.user_to_user == UserToUserForm::None,
                    // TDR-62: unless the operator lets it pass.
                    false => {
                        is_reserved(hub, line.text) || (hub && is_carriers(line.text) && !to.policy.passes(line.text))
                    }
                }
            }
            _ => false,
        };
        if foreign {
            match line.name {
                Name::Other => repairs.edit().remove(line.text),
                name => repairs.edit().remove(name),
            };
        }
    }
    if user_to_user > 1 && !hub {
        // GEN-66: several are thrown away together; `User-to-User` is looked for first.
        match message.header(Name::UserToUser) {
            Some(first) => repairs.edit().set(Name::UserToUser, first).remove("x-User-to-User"),
            None => {
                let first = message.extension("x-user-to-user").next().unwrap_or("").to_owned();
                repairs.edit().set("x-User-to-User", first)
            }
        };
    }
    Ok(())
}

/// Names that one platform keeps for itself (GEN-61, 63, TDR-61, 150).
fn is_reserved(hub: bool, name: &str) -> bool {
    const GENESYS: [&str; 4] = ["x-inin", "x-genesys", "x-pcv", "x-gcv"];
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    GENESYS.into_iter().any(begins) || (begins("x-ms-") && !(hub && name.eq_ignore_ascii_case("X-MS-SBC")))
}

/// What carriers tell each other, and the hub never reads (TDR-62).
fn is_carriers(name: &str) -> bool {
    const CARRIERS: [&str; 2] = ["p-charging-vector", "p-charge-info"];
    CARRIERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// TDR-42, 43, 44, 53; GEN-24: the platform finds us by this name and no other.
fn contact(to: &Trunk, message: &Message) -> Result<(), Rejection> {
    let rule = if to.kind == Kind::Teams { "TDR-44" } else { "GEN-24" };
    let mut values = message.values(Name::Contact);
    let (first, more) = (values.next(), values.next().is_some());
    let Some(first) = first else {
        let needed = matches!(
            (message.status(), message.method()),
            (None, Method::Invite | Method::Update | Method::Options) | (Some(101..=299), Method::Invite)
        );
        return if needed { reject(rule, "no Contact") } else { Ok(()) };
    };
    let uri = NameAddr::parse(first).ok().and_then(|value| value.uri().ok());
    match uri {
        Some(_) if more => reject(rule, "more than one Contact"),
        Some(uri)
            if uri.scheme() == Scheme::Sip && uri.host().trim_matches(['[', ']']).eq_ignore_ascii_case(&to.fqdn) =>
        {
            Ok(())
        }
        Some(uri) => reject(rule, format!("Contact at {}, where the platform knows us as {}", uri.host(), to.fqdn)),
        None => reject(rule, "Contact cannot be read"),
    }
}

/// What a request owes: its method, its parties, the number it is for.
fn request(to: &Trunk, message: &Message, repairs: &mut Repairs<'_>) -> Result<(), Rejection> {
    let hub = to.kind == Kind::Teams;
    let method = message.method();
    if !to.takes(method) {
        return reject(if hub { "TDR-90" } else { "GEN-43" }, format!("{method} is no method of the platform"));
    }
    let Ok(uri) = Uri::parse(message.request_uri()) else { return reject("TDR-60", "Request-URI cannot be read") };
    let party = |name: Name| message.header(name).and_then(|value| NameAddr::parse(value).ok());
    let (Some(from), Some(called)) = (party(Name::From), party(Name::To)) else {
        return reject("TDR-60", "From or To cannot be read");
    };
    let sips = |text: &str| text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
    if sips(message.request_uri()) || sips(from.uri_text()) || sips(called.uri_text()) {
        return reject(if hub { "TDR-1" } else { "GEN-45" }, "a sips: URI");
    }
    // Within a dialog the Request-URI is the peer's own, and the parties are agreed.
    if *method != Method::Invite || called.tag().is_some() {
        return Ok(());
    }
    match to.kind {
        Kind::Teams => invite_to_hub(to, message, &uri, &from, &called, repairs),
        Kind::Genesys => invite_to_genesys(to, message, &uri, &from, &called, repairs),
        Kind::Generic => Ok(()),
    }
}

fn invite_to_hub(
    to: &Trunk,
    message: &Message,
    uri: &Uri<'_>,
    from: &NameAddr<'_>,
    called: &NameAddr<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    let own = to.hosts.iter().map(|host| &*host.name).chain([&*to.request_host]);
    if uri.scheme() != Scheme::Sip || !own.into_iter().any(|own| own.eq_ignore_ascii_case(uri.host())) {
        return reject("TDR-48", format!("Request-URI at {}, which is no name of the hub", uri.host()));
    }
    let user = uri.user().unwrap_or("");
    if !is_global(user) {
        let number = Pii::new(user);
        return reject("TDR-130", format!("Request-URI for {number}, which is not + and 4 to 15 digits"));
    }
    let context = |text: &str| {
        text.as_bytes().windows(PHONE_CONTEXT.len()).any(|window| window.eq_ignore_ascii_case(PHONE_CONTEXT))
    };
    if context(message.request_uri()) || context(from.uri_text()) || context(called.uri_text()) {
        return reject("TDR-132", "phone-context, which the hub does not resolve");
    }
    if uri.params().get("user") != Some("phone") {
        let text = message.request_uri();
        let bare = text.split_once(";user=").map_or(text, |(front, _)| front);
        let rest = text.strip_prefix(bare).and_then(|rest| rest.get(1..)?.split_once(';')).map_or("", |(_, rest)| rest);
        let rest = if rest.is_empty() { String::new() } else { format!(";{rest}") };
        repairs.edit().request_line(&Method::Invite, &format!("{bare};user=phone{rest}"));
    }
    // TDR-52: the same number; compared with whatever stands behind it, an extension for one (TDR-47).
    let (dialled, named) = (number(message.request_uri()), number(called.uri_text()));
    if dialled != named {
        repairs.edit().set(Name::To, format!("<{dialled}@{}>", to.fqdn));
    }
    caller(to, message, from, repairs)
}

const PHONE_CONTEXT: &[u8] = b"phone-context";

/// A URI up to its host: `sip:+14255550123;ext=7`.
fn number(uri: &str) -> &str {
    uri.split_once('@').map_or("", |(front, _)| front)
}

/// Who calls, to the hub: TDR-50, 51, 66.
fn caller(to: &Trunk, message: &Message, from: &NameAddr<'_>, repairs: &mut Repairs<'_>) -> Result<(), Rejection> {
    let Ok(uri) = from.uri() else { return reject("TDR-50", "From cannot be read") };
    let user = uri.user().unwrap_or("");
    if user.eq_ignore_ascii_case("anonymous") {
        if user != "anonymous" || uri.host() != "anonymous.invalid" {
            repairs.from(from, "sip:anonymous", "anonymous.invalid");
        }
        // A name may be shown without a number; what else there is must not give the number away.
        if message.header(Name::PAssertedIdentity).is_some() {
            repairs.edit().remove(Name::PAssertedIdentity);
        }
        let contact = message.header(Name::Contact).and_then(|value| NameAddr::parse(value).ok()?.uri().ok());
        if contact.is_some_and(|contact| contact.user().is_some_and(is_global)) {
            return reject("TDR-51", "From is anonymous, but Contact shows the number");
        }
        if !crate::sip::privacy(message).any(|value| value.eq_ignore_ascii_case("id")) {
            repairs.edit().set(Name::Privacy, "id");
        }
        return Ok(());
    }
    if !is_global(user) && !is_short(user) {
        return reject("TDR-50", format!("From of {}, which is no number", Pii::new(user)));
    }
    if uri.scheme() != Scheme::Sip {
        repairs.from(from, &format!("sip:{user}"), &to.fqdn);
    } else if !uri.host().eq_ignore_ascii_case(&to.fqdn) {
        repairs.from(from, number(from.uri_text()), &to.fqdn);
    }
    asserted(to, message, user, repairs);
    Ok(())
}

/// The asserted number is that of From (TDR-66, GEN-57).
fn asserted(to: &Trunk, message: &Message, user: &str, repairs: &mut Repairs<'_>) {
    let mut values = message.values(Name::PAssertedIdentity).peekable();
    let none = values.peek().is_none();
    let other = values.any(|value| {
        let uri = NameAddr::parse(value).ok().and_then(|value| value.uri().ok());
        uri.is_none_or(|uri| uri.scheme() == Scheme::Sips || uri.user() != Some(user))
    });
    if other {
        repairs.edit().set(Name::PAssertedIdentity, format!("<sip:{user}@{}>", to.fqdn));
    } else if none && message.header(Name::PAssertedIdentity).is_some() {
        repairs.edit().remove(Name::PAssertedIdentity);
    }
}

fn invite_to_genesys(
    to: &Trunk,
    message: &Message,
    uri: &Uri<'_>,
    from: &NameAddr<'_>,
    called: &NameAddr<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Rejection> {
    let identifier = &*to.termination_identifier;
    let named = match to.termination {
        Termination::Fqdn => uri.host().eq_ignore_ascii_case(&to.request_host),
        Termination::Tgrp => uri.user_params().get("tgrp") == Some(identifier),
        Termination::Dnis => uri.user() == Some(identifier),
        // GEN-16: the header field of the operator's choice.
        Termination::Header => to.headers.iter().any(|(field, value)| {
            value.eq_ignore_ascii_case(identifier) && message.extension(field.as_str()).eq([value.as_str()])
        }),
    };
    if uri.scheme() != Scheme::Sip || !named {
        return reject(
            "GEN-12",
            "nothing names the trunk: neither the Request-URI nor the header field of its identifier",
        );
    }
    if to.termination != Termination::Dnis {
        // GEN-18: To is the called number, too.
        let front = |uri| number(uri).split(';').next().unwrap_or("");
        let dialled = front(message.request_uri());
        if front(called.uri_text()) != dialled {
            repairs.edit().set(Name::To, format!("<{dialled}@{}>", to.request_host));
        }
    }
    let mut others = uri.params().iter().filter(|(name, _)| !name.eq_ignore_ascii_case("transport"));
    let extended = number(message.request_uri()).contains(';');
    if to.termination == Termination::Fqdn && (extended || others.next().is_some()) {
        // GEN-13: the documented form has nothing else.
        let transport = uri.params().get("transport").map(|value| format!(";transport={value}")).unwrap_or_default();
        let dialled = number(message.request_uri()).split(';').next().unwrap_or("");
        let bare = format!("{dialled}@{}{transport}", uri.host());
        repairs.edit().request_line(&Method::Invite, &bare);
    }
    let Ok(caller) = from.uri() else { return reject("GEN-57", "From cannot be read") };
    let user = caller.user().unwrap_or("");
    if user.eq_ignore_ascii_case("anonymous") {
        if user != "anonymous" || caller.host() != "anonymous.invalid" {
            repairs.from(from, "sip:anonymous", "anonymous.invalid");
        }
        return Ok(());
    }
    if !is_global(user) && !is_short(user) {
        return reject("GEN-57", format!("From of {}, which is no number", Pii::new(user)));
    }
    if caller.scheme() != Scheme::Sip {
        repairs.from(from, &format!("sip:{user}"), &to.fqdn);
    }
    asserted(to, message, user, repairs);
    Ok(())
}

/// `+` and 4 to 15 digits, the first no 0 (TDR-48, TDR-131).
fn is_global(user: &str) -> bool {
    let digits = user.strip_prefix('+').unwrap_or("");
    (4..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// A number of the caller's own network: the hub shows it as it is (TDR-68).
fn is_short(user: &str) -> bool {
    (1..=SHORT_DIGITS).contains(&user.len()) && user.bytes().all(|octet| octet.is_ascii_digit())
}

#[cfg(test)]
mod tests;
