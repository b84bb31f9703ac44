//! Typed values under text that nobody wrote by hand: no parser panics, what is written reads back, and
//! where `rsip` and `sdp-types` read the same text they read the same in it.
//!
//! What is generated for `rsip` avoids what it is known to read wrongly: users with dots, user-part
//! parameters, IPv6 hosts, headers in a URI, quoted parameters.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use rsip::headers::{ToTypedHeader, UntypedHeader};
use std::net::SocketAddr;
use tandem::sip::sdp::{Direction, Sdp};
use tandem::sip::{
    Challenge, Credentials, Diversion, HistoryInfo, Message, NameAddr, Params, RAck, Reason, Replaces, SessionExpires,
    Uri, UserToUser, Via, decimal, host_ip, media_type, quote, sdp_part, tag, unquote,
};

/// Text of the characters that the grammars turn on, and of any others.
fn text() -> impl Strategy<Value = String> {
    let likely = prop::sample::select(
        r#"<>";:,=@?&%\/[]()*+- .aZ09é sip tel v=0 m= c= Digest SIP/2.0/UDP "#.chars().collect::<Vec<_>>(),
    );
    let piece = prop::sample::select(vec![
        "sip:",
        "tel:",
        "<sip:",
        ">;tag=",
        "\"",
        "\\\"",
        "SIP/2.0/TLS ",
        ";branch=z9hG4bK",
        ";received=",
        ";rport",
        "%41",
        "[2001:db8::1]",
        "v=0\r\n",
        "o=- 1 1 IN IP4 0.0.0.0\r\n",
        "m=audio 0 RTP/AVP 0\r\n",
        "a=sendonly\r\n",
        "\r\n",
        "c=IN IP4 0.0.0.0\r\n",
        "--b\r\n",
        "Content-Type: application/sdp\r\n\r\n",
        "Digest realm=\"",
        ", nonce=",
        "\u{0}",
    ]);
    prop_oneof![
        vec(likely, 0..60).prop_map(String::from_iter),
        vec(piece, 0..12).prop_map(|pieces| pieces.concat()),
        ".{0,80}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_makes_a_parser_panic(value in text(), other in text()) {
        let _ = (decimal(&value), host_ip(&value), tag(&value), media_type(&value), unquote(&value), Uri::unescape(&value));
        let _ = (SessionExpires::parse(&value), Replaces::parse(&value), Reason::parse(&value), RAck::parse(&value));
        let _ = (UserToUser::parse(&value), Params::new(&value).iter().count(), Params::new(&value).text(&other));
        let _ = (Challenge::parse(&value).map(|read| read.to_string()), Credentials::parse(&value).map(|read| read.to_string()));
        if let (Ok(one), Ok(two)) = (Uri::parse(&value), Uri::parse(&other)) {
            prop_assert!(one.equivalent(&one));
            prop_assert_eq!(one.equivalent(&two), two.equivalent(&one));
        }
        if let Ok(address) = NameAddr::parse(&value) {
            let _ = (address.display(), address.uri().map(|uri| uri.headers().count()), address.tag());
        }
        if let Ok(entry) = HistoryInfo::parse(&value) {
            let _ = (entry.index(), entry.cause(), entry.reason(), entry.private());
        }
        if let Ok(entry) = Diversion::parse(&value) {
            let _ = (entry.reason(), entry.counter(), entry.privacy());
        }
        let _ = sdp_part(&value, &Bytes::from(other.clone()));
        let _ = sdp_part("multipart/mixed;boundary=b", &Bytes::from(value.clone()));
        let _ = Message::parse(Bytes::from(value));
    }

    #[test]
    fn what_received_from_writes_reads_back(value in text(), port: u16, v6: bool) {
        let address = if v6 { "2001:db8::7".parse() } else { "192.0.2.7".parse() }.expect("an address");
        let source = SocketAddr::new(address, port);
        let whole = format!("SIP/2.0/UDP a.example.com;x={value}");
        if let Some(changed) = Via::received_from(&whole, source) {
            let via = Via::parse(tandem::sip::split_list(&changed).next().expect("a value")).expect("a Via");
            prop_assert_eq!(via.received().and_then(host_ip), Some(address));
            prop_assert_eq!(Via::received_from(&changed, source), None);
        }
    }

    #[test]
    fn quoted_text_reads_back(name in "[^\\p{Cc}]{0,40}") {
        let value = format!("{} <sip:a@example.com>;tag=1", quote(&name));
        let address = NameAddr::parse(&value).expect("reads");
        let display = address.display().unwrap_or_default();
        prop_assert_eq!(display.trim(), name.trim());
        prop_assert_eq!(address.tag(), Some("1"));
    }

    #[test]
    fn a_changed_description_is_one_with_that_change(value in text(), id: u64, version: u64) {
        let whole = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n{value}");
        for octets in [Bytes::from(value), Bytes::from(whole)] {
            let Ok(sdp) = Sdp::parse(octets) else { continue };
            let _ = (sdp.origin(), sdp.direction(), sdp.is_hold_0000(), sdp.rejects_all(), sdp.same_session(&sdp));
            let changed = Sdp::parse(sdp.with_origin(id, version)).expect("a description");
            prop_assert_eq!(changed.origin().session_id, id.to_string());
            prop_assert_eq!(changed.origin().version, version.to_string());
            prop_assert!(Sdp::parse(sdp.with_origin(1, 2)).expect("a description").same_session(&changed));
            let held = Sdp::parse(sdp.with_direction(Direction::Inactive)).expect("a description");
            prop_assert!(held.media().all(|media| media.direction == Direction::Inactive));
            prop_assert_eq!(held.media().count(), sdp.media().count());
            let moved = Sdp::parse(sdp.with_connection("192.0.2.9")).expect("a description");
            prop_assert!(moved.media().all(|media| media.connection != Some("0.0.0.0")));
        }
    }

    #[test]
    fn rsip_reads_the_same_addresses(written in address()) {
        let ours = NameAddr::parse(&written).expect("reads");
        let from = rsip::headers::From::new(written.as_str()).typed().expect("rsip reads");
        let contact = rsip::headers::Contact::new(written.as_str()).typed().expect("rsip reads");
        let display = ours.display();
        let other = from.display_name.as_deref().map(|name| name.trim_matches('"'));
        prop_assert_eq!(display.as_deref(), other);
        prop_assert_eq!(ours.tag(), from.tag().map(|tag| tag.value()));
        prop_assert_eq!(params(ours.params()), theirs(&from.params));
        prop_assert_eq!(params(ours.params()), theirs(&contact.params));
        let uri = ours.uri().expect("reads");
        for other in [&from.uri, &contact.uri] {
            prop_assert_eq!(uri.user(), other.user());
            prop_assert_eq!(uri.host(), other.host().to_string());
            prop_assert_eq!(uri.port(), other.port().map(|port| *port.value()));
            prop_assert_eq!(params(uri.params()), theirs(&other.params));
        }
    }

    #[test]
    fn rsip_reads_the_same_vias(
        transport in prop::sample::select(vec!["UDP", "TCP", "TLS"]),
        host in host(),
        port in option::of(1_u16..),
        branch in "z9hG4bK[a-zA-Z0-9.-]{1,20}",
        received in option::of(Just("192.0.2.7")),
    ) {
        let port_text = port.map_or(String::new(), |port| format!(":{port}"));
        let received_text = received.map_or(String::new(), |received| format!(";received={received}"));
        let written = format!("SIP/2.0/{transport} {host}{port_text};branch={branch}{received_text};alias");
        let ours = Via::parse(&written).expect("reads");
        let via = rsip::headers::Via::new(written.as_str()).typed().expect("rsip reads");
        prop_assert_eq!(ours.transport(), via.transport.to_string());
        prop_assert_eq!(ours.host(), via.uri.host().to_string());
        prop_assert_eq!(ours.port(), via.uri.port().map(|port| *port.value()));
        prop_assert_eq!(ours.branch(), via.branch().map(|branch| branch.value()));
        prop_assert_eq!(ours.received().and_then(host_ip), via.received().expect("an address"));
    }

    #[test]
    fn sdp_types_reads_the_same_descriptions(written in description()) {
        let ours = Sdp::parse(Bytes::from(written.clone())).expect("reads");
        let session = sdp_types::Session::parse(written.as_bytes()).expect("sdp-types reads");
        let origin = ours.origin();
        prop_assert_eq!(origin.session_id, &session.origin.sess_id);
        prop_assert_eq!(origin.version, session.origin.sess_version.to_string());
        prop_assert_eq!(origin.address, &session.origin.unicast_address);
        let shared = session.connection.as_ref().map(|connection| connection.connection_address.as_str());
        prop_assert_eq!(ours.media().count(), session.medias.len());
        for (own, other) in ours.media().zip(&session.medias) {
            prop_assert_eq!((own.kind, own.port), (other.media.as_str(), other.port));
            prop_assert_eq!((own.protocol, own.formats), (other.proto.as_str(), other.fmt.as_str()));
            let connection = other.connections.first().map(|connection| connection.connection_address.as_str());
            prop_assert_eq!(own.connection, connection.or(shared));
            let attributes: Vec<_> =
                other.attributes.iter().map(|one| (one.attribute.as_str(), one.value.as_deref())).collect();
            prop_assert_eq!(own.attributes().collect::<Vec<_>>(), attributes);
        }
    }
}

fn host() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9-]{0,8}[a-z0-9]\\.example\\.com"
}

fn parameters() -> impl Strategy<Value = String> {
    let parameter =
        prop::sample::select(vec![";lr", ";transport=tls", ";user=phone", ";x-i=12ab", ";x-flag", ";expires=60"]);
    vec(parameter, 0..4).prop_map(|parameters| parameters.concat())
}

fn address() -> impl Strategy<Value = String> {
    let display = prop_oneof![
        Just(String::new()),
        Just("Adele Vance ".to_owned()),
        Just("\"Adele Vance\" ".to_owned()),
        Just("adele".to_owned()),
    ];
    let uri = (option::of("[a-z0-9+]{1,15}"), host(), option::of(1_u16..)).prop_map(|(user, host, port)| {
        let user = user.map_or(String::new(), |user| format!("{user}@"));
        format!("sip:{user}{host}{}", port.map_or(String::new(), |port| format!(":{port}")))
    });
    let tag = option::of("[a-zA-Z0-9]{1,12}").prop_map(|tag| tag.map_or(String::new(), |tag| format!(";tag={tag}")));
    (display, uri, parameters(), parameters(), tag)
        .prop_map(|(display, uri, own, field, tag)| format!("{display}<{uri}{own}>{field}{tag}"))
}

fn description() -> impl Strategy<Value = String> {
    let attribute =
        prop::sample::select(vec!["a=sendonly\r\n", "a=rtpmap:8 PCMA/8000\r\n", "a=inactive\r\n", "a=x:y:z\r\n"]);
    let connection = option::of(Just("c=IN IP4 192.0.2.8\r\n"));
    let kind = prop::sample::select(vec!["audio", "video", "image"]);
    let media =
        (kind, 0_u16.., connection.clone(), vec(attribute, 0..4)).prop_map(|(kind, port, connection, attributes)| {
            format!("m={kind} {port} RTP/SAVP 8 101\r\n{}{}", connection.unwrap_or_default(), attributes.concat())
        });
    (0_u64.., 0_u64.., connection, vec(media, 0..4)).prop_map(|(id, version, connection, media)| {
        let connection = connection.unwrap_or_default();
        format!("v=0\r\no=- {id} {version} IN IP4 192.0.2.1\r\ns=-\r\n{connection}t=0 0\r\n{}", media.concat())
    })
}

/// Our parameters as `rsip` prints its own, without case: it knows some values and spells them its way.
fn params(params: Params<'_>) -> String {
    let one = |(name, value): (&str, Option<&str>)| match value {
        Some(value) => format!(";{name}={value}"),
        None => format!(";{name}"),
    };
    params.iter().map(one).collect::<String>().to_ascii_lowercase()
}

fn theirs(params: &[rsip::Param]) -> String {
    params.iter().map(ToString::to_string).collect::<String>().to_ascii_lowercase()
}
