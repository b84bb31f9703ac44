//! The egress guard: the last look at what is about to leave, after all rules (design: "Built-in trunk kinds").
//!
//! It reads the message as the platform will. What the platform is documented to reject does not leave: where there is
//! one right repair it is made, the rest is refused with the rule and the remedy. What is merely unusual passes. What is
//! repaired passes as it is when it is looked at again.
//!
//! | what | toward | then |
//! |---|---|---|
//! | a header line over 8 KiB, a message over 64 KiB (TDR-72) | all | refused |
//! | a field that is folded, not UTF-8, empty or not in its full name (TDR-60) | hub, Genesys | written anew |
//! | a method outside the platform's Allow (TDR-90, GEN-43) | hub, Genesys | refused |
//! | `sips:` in Request-URI, From, To or Contact (TDR-1, GEN-45), `@` without user (TDR-33) | hub, Genesys | refused |
//! | Contact at another name than ours, or several (TDR-42 to 44, GEN-24) | hub, Genesys | refused |
//! | Contact with another port or transport than the trunk's (TDR-53, GEN-24) | hub, Genesys | put right |
//! | Record-Route, Require and Proxy-Require of a request (TDR-45, 57, GEN-38, 43) | hub, Genesys | removed |
//! | Require of a response but for `timer` (TDR-57), Allow without NOTIFY (TDR-56) | hub | put right |
//! | fields that are another platform's business (TDR-62, 150, GEN-61, 63) | hub, Genesys | removed |
//! | Session-Expires, Min-SE or Expires twice (RFC 3261 §7.3.1) | hub, Genesys | one of equals is kept |
//! | Session-Expires below the hub's minimum (TDR-97), Replaces as a field or in a URI (TDR-58) | hub | refused |
//! | X-MS-SBC twice, or not vendor/model/version (TDR-61) | hub | the trunk's own |
//! | several User-to-User (GEN-66) | Genesys | the first is kept |
//! | Diversion and History-Info (GEN-59) | Genesys | the one that the trunk wants is kept |
//! | who calls whom in an INVITE: see `guard/invite.rs` | hub, Genesys | |
//! | bodies: see `guard/description.rs` | all | |

mod description;
mod invite;

use crate::sip::Keeper;
use crate::sip::{Edits, HeaderLine, Message, Method, Name, NameAddr, Scheme, Uri, quote};
use crate::trunk::policy::{Forwarding, UserToUserForm};
use crate::trunk::{Kind, Trunk};
use bytes::{BufMut, Bytes, BytesMut};
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
    match plainly(message).filter(|_| to.kind != Kind::Generic) {
        None => repaired(to, message),
        Some(octets) => {
            let message = parsed(octets)?;
            Ok(Some(repaired(to, &message)?.unwrap_or(message)))
        }
    }
}

fn repaired(to: &Trunk, message: &Message) -> Result<Option<Message>, Rejection> {
    let mut edits = Edits::new();
    let mut made = false;
    let mut repairs = Repairs { edits: &mut edits, made: &mut made };
    fields(to, message, &mut repairs)?;
    if to.kind != Kind::Generic {
        allow(to, message, &mut repairs);
        contact(to, message, &mut repairs)?;
        if message.is_request() {
            request(to, message, &mut repairs)?;
        }
    }
    if let Some(body) = description::inspect(to, message)? {
        repairs.edit().set(Name::ContentType, "application/sdp").body(body);
    }
    if made { parsed(edits.write(message)).map(Some) } else { Ok(None) }
}

fn parsed(octets: Bytes) -> Result<Message, Rejection> {
    Message::parse(octets).map_err(|rejected| Rejection {
        rule: "TDR-60",
        text: format!("the message cannot be repaired: {}", rejected.fault),
    })
}

/// The edits that put a message right.
struct Repairs<'e> {
    edits: &'e mut Edits<'static>,
    made: &'e mut bool,
}

impl Repairs<'_> {
    /// From becomes `uri`, its display name and tag stay.
    fn from(&mut self, from: &NameAddr<'_>, uri: &str) {
        let display = from.display().map(|display| format!("{} ", quote(&display))).unwrap_or_default();
        self.edit().set(Name::From, format!("{display}<{uri}>;tag={}", from.tag().unwrap_or_default()));
    }

    fn edit(&mut self) -> &mut Edits<'static> {
        *self.made = true;
        self.edits
    }
}

/// The message with each field on one line, as UTF-8, under its full name, and none of the known ones empty: the hub
/// answers 400 to what it cannot read (TDR-60). `None`: so it is already.
fn plainly(message: &Message) -> Option<Bytes> {
    let empty = |line: &HeaderLine<'_>| line.value.is_empty() && !matches!(line.name, Name::Other | Name::Supported);
    let plain = |line: HeaderLine<'_>| {
        let value = line.octets.strip_prefix(name(&line).as_bytes()).and_then(|rest| rest.strip_prefix(b":"));
        let value =
            value.and_then(|rest| rest.strip_suffix(b"\r\n")).map(|rest| rest.strip_prefix(b" ").unwrap_or(rest));
        value == Some(line.value.as_bytes()) && !empty(&line)
    };
    if message.lines().all(plain) && std::str::from_utf8(message.start_line()).is_ok() {
        return None;
    }
    let mut out = BytesMut::with_capacity(message.octets().len() + 64);
    // A fault in the start line is in the reason phrase or in a URI that will be refused.
    String::from_utf8_lossy(message.start_line()).chars().for_each(|letter| match letter {
        char::REPLACEMENT_CHARACTER => out.put_u8(b'?'),
        letter => out.put_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
    });
    for line in message.lines().filter(|line| !empty(line)) {
        for part in [name(&line), ": ", line.value, "\r\n"] {
            out.put_slice(part.as_bytes());
        }
    }
    out.put_slice(b"\r\n");
    out.put_slice(&message.body());
    Some(out.freeze())
}

/// The name of a field as it has to be written (RFC 3261 §7.3.3).
fn name<'m>(line: &HeaderLine<'m>) -> &'m str {
    match line.name {
        Name::Other => line.text,
        name => name.as_str(),
    }
}

/// Lines that are too long, and fields that the platform must not see, or only once.
fn fields(to: &Trunk, message: &Message, repairs: &mut Repairs<'_>) -> Result<(), Rejection> {
    let (request, hub) = (message.is_request(), to.kind == Kind::Teams);
    let (mut diversion, mut history) = (false, false);
    let (mut named, mut misnamed) = (0, false);
    let (mut user_to_user, mut timers) =
        (0, [(Name::SessionExpires, None), (Name::MinSe, None), (Name::Expires, None)]);
    for line in message.lines() {
        if line.octets.len() > MAX_LINE {
            let name = line.text.get(..64).unwrap_or(line.text);
            return reject("TDR-72", format!("the line of {name} is longer than {MAX_LINE} octets"));
        }
        if to.kind == Kind::Generic {
            continue;
        }
        if is_foreign(to, request, &line) || (line.name == Name::ContentType && message.body().is_empty()) {
            match line.name {
                Name::Other => repairs.edit().remove(line.text),
                name => repairs.edit().remove(name),
            };
            continue;
        }
        match line.name {
            Name::Replaces if hub && request => return replaces(),
            Name::From | Name::To | Name::Contact | Name::ReferTo if hub && request => {
                let headers = line.value.split_once('?').map_or("", |(_, headers)| headers);
                if contains(headers, "replaces") {
                    return replaces();
                }
            }
            Name::Require if hub => {
                // `timer` makes the hub the refresher (RFC 4028 §9).
                let timer = message.values(Name::Require).any(|tag| tag.eq_ignore_ascii_case("timer"));
                if !message.values(Name::Require).all(|tag| tag.eq_ignore_ascii_case("timer")) {
                    match timer {
                        true => repairs.edit().set(Name::Require, "timer"),
                        false => repairs.edit().remove(Name::Require),
                    };
                }
            }
            Name::UserToUser => user_to_user += 1,
            Name::Diversion => diversion = true,
            Name::HistoryInfo => history = true,
            Name::Other if line.text.eq_ignore_ascii_case("x-user-to-user") => user_to_user += 1,
            Name::Other if hub && line.text.eq_ignore_ascii_case("x-ms-sbc") => {
                named += 1;
                misnamed |= line.value.split('/').filter(|part| !part.is_empty()).count() < 3;
            }
            _ => {}
        }
        if let Some((name, first)) = timers.iter_mut().find(|(name, _)| *name == line.name) {
            if hub && request && *name == Name::SessionExpires {
                interval(line.value)?;
            }
            match first.replace(line.value) {
                None => {}
                Some(first) if first == line.value => {
                    repairs.edit().set(*name, first.to_owned());
                }
                Some(_) => return reject("RFC 3261 §7.3.1", format!("{} stands twice", name.as_str())),
            }
        }
    }
    if to.kind == Kind::Genesys && diversion && history {
        // GEN-59: never both, which may say different things.
        match to.policy.forwarding {
            Forwarding::HistoryInfo => repairs.edit().remove(Name::Diversion),
            Forwarding::Diversion | Forwarding::None => repairs.edit().remove(Name::HistoryInfo),
        };
    }
    if named > 1 || misnamed {
        match &to.sbc {
            Some(own) => repairs.edit().set("X-MS-SBC", own.to_string()),
            None => repairs.edit().remove("X-MS-SBC"),
        };
    }
    if user_to_user > 1 {
        // GEN-66: several are thrown away together; `User-to-User` is looked for first.
        match message.header(Name::UserToUser) {
            Some(first) => repairs.edit().set(Name::UserToUser, first.to_owned()).remove("x-User-to-User"),
            None => {
                let first = message.extension("x-user-to-user").next().unwrap_or("").to_owned();
                repairs.edit().set("x-User-to-User", first)
            }
        };
    }
    Ok(())
}

fn replaces() -> Result<(), Rejection> {
    reject("TDR-58", "Replaces, which the hub rejects: calls are joined here, not there")
}

/// The shortest session interval that the hub takes, in seconds (TDR-97).
const MIN_SE: u32 = 300;

fn interval(value: &str) -> Result<(), Rejection> {
    match value.split(';').next().and_then(|seconds| seconds.trim().parse::<u32>().ok()) {
        Some(MIN_SE..) => Ok(()),
        _ => reject("TDR-97", format!("Session-Expires is below the {MIN_SE} s that the hub takes, or no number")),
    }
}

/// Whether `text` has `word`, which is in lower case, in any case.
fn contains(text: &str, word: &str) -> bool {
    let Some(first) = word.bytes().next() else { return true };
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), text.as_bytes())
        .filter_map(|at| text.as_bytes().get(at..at + word.len()))
        .any(|own| own.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a field is none of the platform's business and has to stay here.
fn is_foreign(to: &Trunk, request: bool, line: &HeaderLine<'_>) -> bool {
    let hub = to.kind == Kind::Teams;
    // TDR-62: unless the operator lets it pass.
    let passes = |line: &HeaderLine<'_>| to.policy.passes(line.text);
    match line.name {
        // A request of a B2BUA begins here (TDR-45, GEN-38) and requires nothing (TDR-57, GEN-43).
        Name::RecordRoute | Name::Require | Name::ProxyRequire => request,
        Name::RemotePartyId => !passes(line),
        Name::CallInfo => hub && !passes(line),
        Name::Diversion => hub,
        Name::UserToUser => hub && to.policy.user_to_user == UserToUserForm::None,
        Name::Other if line.text.eq_ignore_ascii_case("x-user-to-user") => {
            hub && to.policy.user_to_user == UserToUserForm::None
        }
        Name::Other => is_reserved(hub, line.text) || (hub && is_carriers(line.text) && !passes(line)),
        _ => false,
    }
}

/// Names that one platform keeps for itself (GEN-61, 63, TDR-61, 150).
fn is_reserved(hub: bool, name: &str) -> bool {
    match crate::sip::keeper(name) {
        Some(Keeper::Genesys) => true,
        Some(Keeper::Microsoft) => !(hub && name.eq_ignore_ascii_case("X-MS-SBC")),
        Some(Keeper::Tandem) | None => false,
    }
}

/// What carriers tell each other, and the hub never reads (TDR-62).
fn is_carriers(name: &str) -> bool {
    const CARRIERS: [&str; 2] = ["p-charging-vector", "p-charge-info"];
    CARRIERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// TDR-56: the hub decides by Allow who transfers, and wants NOTIFY in it either way.
fn allow(to: &Trunk, message: &Message, repairs: &mut Repairs<'_>) {
    let says =
        matches!((message.status(), message.method()), (None | Some(200..=299), Method::Invite | Method::Options));
    let listed = || message.values(Name::Allow).any(|method| method == "NOTIFY");
    if to.kind == Kind::Teams && says && !listed() {
        repairs.edit().set(Name::Allow, super::allow(to));
    }
}

/// TDR-33, 42, 43, 44, 53; GEN-24: the platform finds us by this name and no other.
fn contact(to: &Trunk, message: &Message, repairs: &mut Repairs<'_>) -> Result<(), Rejection> {
    let hub = to.kind == Kind::Teams;
    let rule = if hub { "TDR-44" } else { "GEN-24" };
    let mut values = message.values(Name::Contact);
    let (first, more) = (values.next(), values.next().is_some());
    let Some(first) = first else {
        let needed = match (message.status(), message.method()) {
            (None, Method::Invite | Method::Update | Method::Options) | (Some(101..=299), Method::Invite) => true,
            (Some(200..=299), Method::Options) => hub,
            _ => false,
        };
        return if needed { reject(rule, "no Contact") } else { Ok(()) };
    };
    let value = NameAddr::parse(first).ok();
    match value.as_ref().and_then(|value| value.uri().ok()) {
        Some(_) if more => reject(rule, "more than one Contact"),
        Some(uri) if uri.scheme() == Scheme::Sips => {
            reject(if hub { "TDR-1" } else { "GEN-45" }, "a sips: URI in Contact")
        }
        Some(uri) if uri.scheme() == Scheme::Sip && is_ours(to, uri.host()) => {
            let port = uri.port().unwrap_or(to.transport.default_port()) == to.port;
            let transport = uri.params().get("transport");
            let transport = transport.is_some_and(|own| own.eq_ignore_ascii_case(to.transport.uri_value()));
            let user = uri.user().is_some() || !uri.as_str().contains('@');
            if !(port && transport && user) {
                repairs.edit().set(Name::Contact, super::contact(to, uri.user()));
            }
            Ok(())
        }
        Some(uri) => reject(rule, format!("Contact at {}, where the platform knows us as {}", uri.host(), to.fqdn)),
        None => reject(rule, "Contact cannot be read"),
    }
}

fn is_ours(to: &Trunk, host: &str) -> bool {
    host.trim_matches(['[', ']']).eq_ignore_ascii_case(&to.fqdn)
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
    if from.tag().is_none() {
        return reject("RFC 3261 §8.1.1.3", "From without tag");
    }
    let texts = [message.request_uri(), from.uri_text(), called.uri_text()];
    if texts.iter().any(|text| text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))) {
        return reject(if hub { "TDR-1" } else { "GEN-45" }, "a sips: URI");
    }
    // Within a dialog the Request-URI is the peer's own, and the parties are agreed.
    if called.tag().is_some() {
        return Ok(());
    }
    if texts.iter().any(|text| text.split_once(':').is_some_and(|(_, rest)| rest.starts_with('@'))) {
        return reject("TDR-33", "a URI with @ and no user in front of it");
    }
    // One parser ends the user at the first of them, another one at the last.
    if texts.iter().any(|text| text.bytes().filter(|octet| *octet == b'@').count() > 1) {
        return reject("TDR-60", "a URI with more than one @: write %40 for those that are no separator");
    }
    if *method == Method::Options && hub {
        return invite::options_to_hub(to, &uri, &from, repairs);
    }
    if *method != Method::Invite {
        return Ok(());
    }
    match to.kind {
        Kind::Teams => invite::to_hub(to, message, &uri, &from, &called, repairs),
        Kind::Genesys => invite::to_genesys(to, message, &uri, &from, &called, repairs),
        Kind::Generic => Ok(()),
    }
}

#[cfg(test)]
mod tests;
