//! Text as each of the typed values of header fields.

use super::uri;
use tandem::sip::{
    Challenge, Credentials, Diversion, HistoryInfo, Message, Name, NameAddr, Params, RAck, Reason, Replaces,
    SessionExpires, UserToUser, ValueError, Via, decimal, quote, split_list, tag, unquote,
};

/// Reads `data` as every value there is.
///
/// # Panics
///
/// When a value contradicts itself.
pub fn drive(data: &[u8]) {
    let text = tandem::sip::legible(data);
    assert_eq!(text.len(), data.len());
    // As the parser hands values out: without line ends, and without blanks around them.
    let text = text.replace(['\r', '\n', '\0'], " ");
    for value in split_list(&text).chain([text.trim_ascii()]) {
        for name in KINDS {
            let _ = read(*name, value);
        }
        let params = Params::new(value);
        for (name, _) in params.iter() {
            assert!(params.has(name) && params.get(name).is_some() && params.text(name).is_some(), "{name}");
        }
    }
    let plain = text.replace(|letter: char| letter.is_control(), " ");
    assert_eq!(unquote(&quote(&text)), plain, "quoted and unquoted");
}

/// One name of each kind of value.
const KINDS: &[Name] = &[
    Name::From,
    Name::Contact,
    Name::HistoryInfo,
    Name::Diversion,
    Name::Via,
    Name::SessionExpires,
    Name::Replaces,
    Name::Reason,
    Name::RAck,
    Name::Expires,
    Name::UserToUser,
    Name::WwwAuthenticate,
    Name::Authorization,
];

/// Reads every typed value of `message`; returns those that could not be read.
pub fn unreadable(message: &Message) -> Vec<(Name, String, ValueError)> {
    let mut found = Vec::new();
    for line in message.lines() {
        let name = line.name;
        let whole = [Name::From, Name::To, Name::WwwAuthenticate, Name::ProxyAuthenticate]
            .iter()
            .chain(&[Name::Authorization, Name::ProxyAuthorization, Name::Replaces])
            .any(|&own| own == name);
        let values: Vec<&str> = if whole { vec![line.value] } else { split_list(line.value).collect() };
        for value in values {
            if let Err(error) = read(name, value) {
                found.push((name, value.to_owned(), error));
            }
        }
    }
    found
}

/// Reads one value of a line of `name`, and asks it everything.
pub fn read(name: Name, value: &str) -> Result<(), ValueError> {
    match name {
        Name::From
        | Name::To
        | Name::Contact
        | Name::Route
        | Name::RecordRoute
        | Name::ReferTo
        | Name::ReferredBy
        | Name::ReplyTo
        | Name::PAssertedIdentity
        | Name::PPreferredIdentity
        | Name::RemotePartyId => address(value),
        Name::HistoryInfo => HistoryInfo::parse(value).map(|entry| {
            let _ = (entry.index(), entry.cause(), entry.reason(), entry.private());
        }),
        Name::Diversion => Diversion::parse(value).map(|entry| {
            let _ = (entry.reason(), entry.counter(), entry.privacy());
        }),
        Name::Via => via(value),
        Name::SessionExpires => SessionExpires::parse(value).map(drop),
        Name::Replaces => Replaces::parse(value).map(drop),
        Name::Reason => Reason::parse(value).map(drop),
        Name::RAck => RAck::parse(value).map(drop),
        Name::MaxForwards | Name::Expires | Name::MinExpires | Name::MinSe | Name::RSeq | Name::RetryAfter => {
            decimal(value).map(drop)
        }
        Name::UserToUser => UserToUser::parse(value).map(drop),
        Name::WwwAuthenticate | Name::ProxyAuthenticate => Challenge::parse(value).map(|challenge| {
            let _ = (challenge.scheme(), challenge.algorithm(), challenge.stale(), challenge.offers("auth"));
            let text = challenge.to_string();
            let again = Challenge::parse(&text).expect("a challenge again");
            assert_eq!((again.to_string(), again.get("nonce")), (text.clone(), challenge.get("nonce")));
        }),
        Name::Authorization | Name::ProxyAuthorization => Credentials::parse(value).map(|credentials| {
            let _ = (credentials.scheme(), credentials.algorithm(), credentials.nonce_count());
            let text = credentials.to_string();
            let again = Credentials::parse(&text).expect("credentials again");
            assert_eq!((again.to_string(), again.get("response")), (text.clone(), credentials.get("response")));
        }),
        _ => Ok(()),
    }
}

fn address(value: &str) -> Result<(), ValueError> {
    let found = tag(value);
    let address = NameAddr::parse(value)?;
    let _ = (address.display(), address.params().iter().count());
    assert_eq!(found, address.tag(), "the tag of {value}");
    if address.uri_text() == "*" { Ok(()) } else { uri::ask(&address.uri()?) }
}

fn via(value: &str) -> Result<(), ValueError> {
    let via = Via::parse(value)?;
    let _ = (via.transport(), via.branch(), via.received(), via.rport(), via.params().iter().count());
    for source in ["192.0.2.7:5060", "[2001:db8::7]:5061"] {
        let Some(changed) = Via::received_from(value, source.parse().expect("an address")) else { continue };
        // A list is not taken apart by who reads one of it.
        let (Some(first), Some(own)) = (split_list(&changed).next(), split_list(value).next()) else { continue };
        let (again, via) = (Via::parse(first).expect("a Via again"), Via::parse(own)?);
        assert_eq!((again.branch(), again.host(), again.port()), (via.branch(), via.host(), via.port()));
    }
    Ok(())
}
