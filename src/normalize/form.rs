//! How our messages name the parties, us and the trunk (TDR-48 to 57; GEN-12 to 16, 57, 58).

use super::Caller;
use crate::flow::Transport;
use crate::number::Number;
use crate::sip::{Field, Name, host_ip, quote};
use crate::trunk::{Kind, Termination, Trunk};

/// The parts of an INVITE that a kind decides.
#[derive(Clone, Eq, PartialEq)]
pub struct InviteForm {
    /// The Request-URI.
    pub request_uri: String,
    /// From, without tag.
    pub from: String,
    /// To.
    pub to: String,
    /// Contact: the same in every message of the dialog (TDR-53).
    pub contact: String,
    /// Header fields that say who calls: P-Asserted-Identity, Privacy.
    pub identity: Vec<(Field, String)>,
}

/// The From that shows nobody (TDR-51, RFC 3323 §4.1.1.3).
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// How an INVITE to `to` has to look for this caller and this number.
///
/// An anonymous caller's number stands nowhere in it: neither in From and Contact (TDR-51) nor in
/// P-Asserted-Identity (GEN-58).
pub fn invite_form(to: &Trunk, caller: &Caller, called: &Number) -> InviteForm {
    let fqdn = host_text(&to.fqdn);
    let called = called.user_part();
    let number = caller.number.as_ref().filter(|_| !caller.anonymous).map(Number::user_part);
    let display = caller.display.as_deref().filter(|_| !caller.anonymous).map(quote);
    let from = match (&number, &display) {
        (Some(number), Some(display)) => format!("{display} <sip:{number}@{fqdn}>"),
        (Some(number), None) => format!("<sip:{number}@{fqdn}>"),
        (None, Some(display)) => format!("{display} <sip:anonymous@anonymous.invalid>"),
        (None, None) => ANONYMOUS.to_owned(),
    };
    let mut identity = Vec::new();
    match &number {
        // The same number as in From: which of the two Genesys believes is not published (GEN-57).
        Some(number) => identity.push((Field::from(Name::PAssertedIdentity), format!("<sip:{number}@{fqdn}>"))),
        None if caller.anonymous => identity.push((Field::from(Name::Privacy), "id".to_owned())),
        None => {}
    }
    let host = host_text(&to.request_host);
    let (request_uri, to_host) = match to.kind {
        Kind::Teams => {
            let port = to.hosts.first().and_then(|host| host.port).unwrap_or(to.transport.default_port());
            let transport = to.transport.uri_value();
            // TDR-48: user=phone, or the hub guesses. TDR-52: To is at our name.
            (format!("sip:{called}@{host}:{port};user=phone;transport={transport}"), fqdn)
        }
        Kind::Genesys => (genesys_uri(to, &called, &host), host),
        Kind::Generic => {
            let port = to.hosts.first().and_then(|host| host.port).map(|port| format!(":{port}")).unwrap_or_default();
            (format!("sip:{called}@{host}{port};user=phone{}", transport_param(to.transport)), host)
        }
    };
    InviteForm {
        request_uri,
        from,
        to: format!("<sip:{called}@{to_host}>"),
        contact: contact(to, number.as_deref()),
        identity,
    }
}

/// The three ways to name the trunk (GEN-12 to 15).
fn genesys_uri(to: &Trunk, called: &str, host: &str) -> String {
    let transport = transport_param(to.transport);
    let identifier = &to.termination_identifier;
    match to.termination {
        Termination::Fqdn => format!("sip:{called}@{host}{transport}"),
        Termination::Tgrp => format!("sip:{called};tgrp={identifier};trunk-context={host}@{host}{transport}"),
        Termination::Dnis => format!("sip:{identifier}@{host}{transport}"),
    }
}

/// UDP is what a URI means that says nothing.
fn transport_param(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "",
        Transport::Tcp => ";transport=tcp",
        Transport::Tls => ";transport=tls",
    }
}

/// Our Contact toward `trunk`: always the name and port by which it knows us, never an address of the
/// machine (TDR-44, 53). `user`: a number to show in it; `None`: none (OPTIONS, anonymous callers).
pub fn contact(trunk: &Trunk, user: Option<&str>) -> String {
    let (host, port, transport) = (host_text(&trunk.fqdn), trunk.port, trunk.transport.uri_value());
    match user {
        Some(user) => format!("<sip:{user}@{host}:{port};transport={transport}>"),
        None => format!("<sip:{host}:{port};transport={transport}>"),
    }
}

/// The Via of our requests to `trunk`: our name as sent-by (TDR-54), `alias` where a connection may
/// carry requests both ways (RFC 5923), `rport` on datagrams (RFC 3581).
pub fn via(trunk: &Trunk, branch: &str) -> String {
    let (host, port) = (host_text(&trunk.fqdn), trunk.port);
    let option = if trunk.transport.is_reliable() { "alias" } else { "rport" };
    format!("SIP/2.0/{} {host}:{port};branch={branch};{option}", trunk.transport.via_token())
}

/// What we take. Without REFER until transfers land; then the hub transfers by itself. NOTIFY has to be
/// listed either way (TDR-56).
pub fn allow(trunk: &Trunk) -> &'static str {
    match trunk.kind {
        Kind::Teams | Kind::Genesys | Kind::Generic => "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, NOTIFY",
    }
}

/// The extensions we offer: session timers (RFC 4028). `replaces` comes with transfers (TDR-57);
/// 100rel is never offered.
pub fn supported(trunk: &Trunk) -> &'static str {
    match trunk.kind {
        Kind::Teams | Kind::Genesys | Kind::Generic => "timer",
    }
}

/// A host as it stands in a URI: an IPv6 address in brackets.
fn host_text(host: &str) -> String {
    match host_ip(host) {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]"),
        Some(std::net::IpAddr::V4(_)) | None => host.to_owned(),
    }
}
