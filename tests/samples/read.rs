//! Everything that a message can be asked.

use bytes::Bytes;
use tandem::sip::sdp::Sdp;
use tandem::sip::{
    Challenge, Credentials, Diversion, Edits, HistoryInfo, Message, Method, Name, NameAddr, RAck, Reason, Replaces,
    SessionExpires, Uri, UserToUser, ValueError, Via, decimal, option_tags, privacy, sdp_part, tag, top_via,
};

/// Reads every typed value of `message`; returns those that could not be read.
pub fn unreadable(message: &Message) -> Vec<(Name, String, ValueError)> {
    let mut found = Vec::new();
    for line in message.lines() {
        let name = line.name;
        let whole = [Name::From, Name::To, Name::WwwAuthenticate, Name::ProxyAuthenticate]
            .iter()
            .chain(&[Name::Authorization, Name::ProxyAuthorization, Name::Replaces])
            .any(|&own| own == name);
        let values: Vec<&str> = if whole { vec![line.value] } else { tandem::sip::split_list(line.value).collect() };
        for value in values {
            if let Err(error) = read(name, value) {
                found.push((name, value.to_owned(), error));
            }
        }
    }
    found
}

fn read(name: Name, value: &str) -> Result<(), ValueError> {
    let address = |value| {
        NameAddr::parse(value).and_then(|address| {
            let _ = (address.display(), address.tag(), address.params().iter().count());
            if address.uri_text() == "*" { Ok(()) } else { uri(&address.uri()?) }
        })
    };
    match name {
        Name::From | Name::To => {
            let _ = tag(value);
            address(value)
        }
        Name::Contact
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
        Name::Via => Via::parse(value).map(|via| {
            let _ = (via.branch(), via.received(), via.rport());
            for source in ["192.0.2.7:5060", "[2001:db8::7]:5061"] {
                let _ = Via::received_from(value, source.parse().expect("an address"));
            }
        }),
        Name::SessionExpires => SessionExpires::parse(value).map(drop),
        Name::Replaces => Replaces::parse(value).map(drop),
        Name::Reason => Reason::parse(value).map(drop),
        Name::RAck => RAck::parse(value).map(drop),
        Name::MaxForwards | Name::Expires | Name::MinExpires | Name::MinSe | Name::RSeq | Name::RetryAfter => {
            decimal(value).map(drop)
        }
        Name::UserToUser => UserToUser::parse(value).map(drop),
        Name::WwwAuthenticate | Name::ProxyAuthenticate => Challenge::parse(value).map(|value| drop(value.to_string())),
        Name::Authorization | Name::ProxyAuthorization => {
            Credentials::parse(value).map(|value| drop(value.to_string()))
        }
        _ => Ok(()),
    }
}

/// Takes a URI apart.
pub fn uri(uri: &Uri<'_>) -> Result<(), ValueError> {
    let _ = (uri.user().map(Uri::unescape), uri.user_params().get("ext"), uri.host(), uri.port());
    let _ = (uri.params().get("transport"), uri.header("Replaces"), uri.headers().count());
    assert!(uri.equivalent(uri), "{}", uri.as_str());
    Ok(())
}

/// Everything that a message can be asked.
pub fn read_all(message: &Message) {
    let _ = (unreadable(message), top_via(message).is_ok(), privacy(message).count());
    let _ = (option_tags(message, Name::Supported).count(), Uri::parse(message.request_uri()).is_ok());
    if let Some(body) = sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body()) {
        describe(body);
    }
    let _ = Edits::new().request_line(&Method::Options, "sip:a@example.com").write(message);
}

/// Everything that a description can be asked.
pub fn describe(octets: Bytes) {
    let Ok(sdp) = Sdp::parse(octets) else { return };
    let _ = (sdp.origin(), sdp.direction(), sdp.is_hold_0000(), sdp.rejects_all(), sdp.attributes().count());
    assert!(sdp.same_session(&sdp));
    for media in sdp.media() {
        let _ = media.attributes().count();
    }
    let changed = [sdp.with_origin(1, 2), sdp.with_direction(Default::default()), sdp.with_connection("192.0.2.1")];
    for octets in changed {
        assert!(Sdp::parse(octets).is_ok(), "still a description");
    }
}
