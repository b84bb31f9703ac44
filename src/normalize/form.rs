//! How our messages name the parties, us and the trunk (TDR-48 to 57; GEN-12 to 16, 57, 58).

use super::{Asserted, Caller};
use crate::flow::Transport;
use crate::number::Number;
use crate::sip::{Draft, Field, Name, host_ip, quote};
use crate::trunk::{Kind, RequestUriHost, Termination, Trunk};
use std::borrow::Cow;

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

/// The most digits of a number of the public network (E.164 §6.2).
const E164_DIGITS: usize = 15;

/// How an INVITE to `to` has to look for this caller and this number; `host` is the index of the host that
/// is tried.
///
/// An anonymous caller's number stands nowhere in it: neither in From and Contact (TDR-51) nor in
/// P-Asserted-Identity, unless the trunk is trusted with it (GEN-58).
pub fn invite_form(to: &Trunk, host: usize, caller: &Caller, called: &Number) -> InviteForm {
    let fqdn = host_text(&to.fqdn);
    let called = to.dial_plan.leaving(called);
    let number = caller.number.as_ref().filter(|_| !caller.anonymous).and_then(|number| calling(to, number));
    let display = caller.display.as_deref().filter(|_| !caller.anonymous).map(quote);
    let from = match (&number, &display) {
        (Some(number), Some(display)) => [display, " <sip:", number, "@", &fqdn, ">"].concat(),
        (Some(number), None) => ["<sip:", number, "@", &fqdn, ">"].concat(),
        (None, Some(display)) => format!("{display} <sip:anonymous@anonymous.invalid>"),
        (None, None) => ANONYMOUS.to_owned(),
    };
    let mut identity = Vec::new();
    // GEN-58, RFC 3325 §7: only a trunk that is trusted may know who is anonymous.
    let known = caller.number.as_ref().filter(|_| !caller.anonymous || to.policy.trusted_delivery);
    let asserted = match &caller.asserted {
        Asserted::Values(values) if !caller.anonymous || to.policy.trusted_delivery => Some(values.clone()),
        Asserted::Nothing => None,
        // The same number as in From: which of the two Genesys believes is not published (GEN-57).
        Asserted::Number | Asserted::Values(_) => {
            known.and_then(|number| calling(to, number)).map(|number| ["<sip:", &number, "@", &fqdn, ">"].concat())
        }
    };
    if let Some(asserted) = asserted {
        identity.push((Field::from(Name::PAssertedIdentity), asserted));
    }
    // A From that shows nobody says it in every field, or the next hop reads another caller than we did.
    if from == ANONYMOUS {
        identity.push((Field::from(Name::Privacy), "id".to_owned()));
    }
    // TDR-49: Microsoft leaves open whether sip2 and sip3 want to be named when they are dialled.
    let named = match to.request_uri_host {
        RequestUriHost::First => None,
        RequestUriHost::Dialled => to.hosts.get(host),
    };
    let host = host_text(named.map_or(&to.request_host, |host| &host.name));
    let (request_uri, to_host) = match to.kind {
        Kind::Teams => {
            let port = named.or(to.hosts.first()).and_then(|host| host.port).unwrap_or(to.transport.default_port());
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
        to: ["<sip:", &called, "@", &to_host, ">"].concat(),
        contact: contact(to, number.as_deref()),
        identity,
    }
}

/// A caller's number as it is written toward `to`; `None`: it has no form there.
///
/// The hub wants `+` in From as well (TDR-130). The short numbers of an exchange have it in a tenant, too: `+1001`
/// (TDR-131); and a call back to one finds the routes of the short code. What E.164 cannot hold is not shown: a call must
/// not fail for the number it comes from.
fn calling(to: &Trunk, number: &Number) -> Option<String> {
    let written = to.dial_plan.leaving(number);
    if to.kind != Kind::Teams {
        return Some(written);
    }
    let digits = number.as_str().trim_start_matches('+');
    let fits = digits.len() <= E164_DIGITS && !digits.starts_with('0');
    fits.then(|| if number.is_short() { ["+", &written].concat() } else { written })
}

/// The ways to name the trunk (GEN-12 to 15); by header field (GEN-16), the URI names the region alone.
pub(super) fn genesys_uri(to: &Trunk, called: &str, host: &str) -> String {
    let transport = transport_param(to.transport);
    let identifier = &to.termination_identifier;
    match to.termination {
        Termination::Fqdn | Termination::Header => format!("sip:{called}@{host}{transport}"),
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
    let (host, mut port) = (host_text(&trunk.fqdn), itoa::Buffer::new());
    let (port, transport) = (port.format(trunk.port), trunk.transport.uri_value());
    match user {
        Some(user) => ["<sip:", user, "@", &host, ":", port, ";transport=", transport, ">"].concat(),
        None => ["<sip:", &host, ":", port, ";transport=", transport, ">"].concat(),
    }
}

/// The Via of our requests to `trunk`: our name as sent-by (TDR-54), `alias` where a connection may
/// carry requests both ways (RFC 5923), `rport` on datagrams (RFC 3581).
pub fn via(trunk: &Trunk, branch: &str) -> String {
    let (host, mut port) = (host_text(&trunk.fqdn), itoa::Buffer::new());
    let (token, port) = (trunk.transport.via_token(), port.format(trunk.port));
    let option = if trunk.transport.is_reliable() { "alias" } else { "rport" };
    ["SIP/2.0/", token, " ", &host, ":", port, ";branch=", branch, ";", option].concat()
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

/// Says in an INVITE or OPTIONS of ours what we are: to everybody in User-Agent, and to the hub in X-MS-SBC as well, which
/// Microsoft wants for its support (TDR-61).
pub fn introduce(draft: &mut Draft, trunk: &Trunk, product: &str) {
    draft.put(Name::UserAgent, product);
    if let Some(sbc) = &trunk.sbc {
        draft.put("X-MS-SBC", sbc);
    }
}

/// A host as it stands in a URI: an IPv6 address in brackets.
fn host_text(host: &str) -> Cow<'_, str> {
    match host_ip(host) {
        Some(std::net::IpAddr::V6(address)) => Cow::Owned(format!("[{address}]")),
        Some(std::net::IpAddr::V4(_)) | None => Cow::Borrowed(host),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{generic, genesys, teams};
    use super::*;
    use crate::sip::{NameAddr, Uri, Via};

    fn number(text: &str) -> Number {
        Number::normalise(text, "49").unwrap()
    }

    fn dana() -> Caller {
        let number = Some(number("+12065550144"));
        Caller { number, display: Some("Dana \"D\" Example".to_owned()), ..Caller::default() }
    }

    fn withheld() -> Caller {
        Caller { number: Some(number("+12065550144")), anonymous: true, ..Caller::default() }
    }

    fn everything(form: &InviteForm) -> String {
        let identity: Vec<_> =
            form.identity.iter().map(|(field, value)| format!("{}: {value}", field.as_str())).collect();
        [&form.request_uri, &form.from, &form.to, &form.contact].map(String::as_str).join("\n")
            + "\n"
            + &identity.join("\n")
    }

    #[test]
    fn an_invite_to_the_hub_looks_as_documented_tdr_48_to_53() {
        let form = invite_form(&teams(), 0, &dana(), &number("+14255550123"));
        // TDR-48, 49: the hub's first name whatever host is dialled.
        assert_eq!(form.request_uri, "sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls");
        assert_eq!(form.from, r#""Dana \"D\" Example" <sip:+12065550144@sbc1.example.com>"#, "TDR-50");
        assert_eq!(form.to, "<sip:+14255550123@sbc1.example.com>", "TDR-52");
        assert_eq!(form.contact, "<sip:+12065550144@sbc1.example.com:5067;transport=tls>", "TDR-53");
        assert!(!everything(&form).contains("sips:"), "TDR-1");
    }

    #[test]
    fn the_hub_is_named_by_its_first_name_or_by_the_one_that_is_dialled_tdr_49() {
        let mut trunk = teams();
        let host = |trunk: &Trunk, at| {
            let uri = invite_form(trunk, at, &dana(), &number("+14255550123")).request_uri;
            uri.split_once('@').unwrap().1.to_owned()
        };
        let first = "sip.pstnhub.microsoft.com:5061;user=phone;transport=tls";
        assert_eq!((host(&trunk, 0).as_str(), host(&trunk, 2).as_str()), (first, first));
        trunk.request_uri_host = RequestUriHost::Dialled;
        assert_eq!(host(&trunk, 0), first);
        assert_eq!(host(&trunk, 2), "sip3.pstnhub.microsoft.com:5061;user=phone;transport=tls");
        assert_eq!(host(&trunk, 9), first, "a host that is none");
    }

    #[test]
    fn the_hub_hears_once_which_sbc_we_are_and_nobody_else_does_tdr_61() {
        let said = |trunk: &Trunk| {
            let mut draft = Draft::request(&crate::sip::Method::Options, "sip:hub.example.com");
            introduce(&mut draft, trunk, "Tandem/1");
            String::from_utf8(draft.finish().to_vec()).unwrap()
        };
        let mut trunk = teams();
        let expected = format!("\r\nX-MS-SBC: Tandem/Edge/{}\r\n", env!("CARGO_PKG_VERSION"));
        assert_eq!((said(&trunk).matches(&expected).count(), said(&trunk).matches("X-MS-SBC").count()), (1, 1));
        trunk.sbc = None;
        for trunk in [trunk, genesys(Termination::Fqdn), generic()] {
            assert!(said(&trunk).contains("User-Agent: Tandem/1") && !said(&trunk).contains("X-MS-SBC"));
        }
    }

    #[test]
    fn an_extension_travels_in_the_user_part_tdr_47() {
        let form = invite_form(&teams(), 0, &dana(), &number("+14255550100;ext=1001"));
        assert!(form.request_uri.starts_with("sip:+14255550100;ext=1001@sip.pstnhub.microsoft.com"));
        assert_eq!(form.to, "<sip:+14255550100;ext=1001@sbc1.example.com>");
        assert_eq!(Uri::parse(&form.request_uri).unwrap().user_params().get("ext"), Some("1001"));
    }

    #[test]
    fn a_withheld_number_stands_nowhere_tdr_51_gen_58() {
        for trunk in [teams(), genesys(Termination::Fqdn), generic()] {
            let form = invite_form(&trunk, 0, &withheld(), &number("+14255550123"));
            assert_eq!(form.from, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
            assert_eq!(form.identity, [(Field::from(Name::Privacy), "id".to_owned())]);
            assert!(!everything(&form).contains("2065550144"), "{}", everything(&form));
        }
    }

    #[test]
    fn a_trusted_trunk_hears_who_is_anonymous_and_that_nobody_else_may_gen_58() {
        let mut trunk = genesys(Termination::Fqdn);
        trunk.policy.trusted_delivery = true;
        let form = invite_form(&trunk, 0, &withheld(), &number("+14255550123"));
        assert_eq!(form.from, "\"Anonymous\" <sip:anonymous@anonymous.invalid>");
        assert_eq!(form.contact, "<sip:sbc1.example.com:5061;transport=tls>");
        let asserted = (Field::from(Name::PAssertedIdentity), "<sip:+12065550144@sbc1.example.com>".to_owned());
        assert_eq!(form.identity, [asserted, (Field::from(Name::Privacy), "id".to_owned())]);
        let stripped = Caller { asserted: Asserted::Nothing, ..withheld() };
        let form = invite_form(&trunk, 0, &stripped, &number("+14255550123"));
        assert_eq!(form.identity, [(Field::from(Name::Privacy), "id".to_owned())]);
    }

    #[test]
    fn what_was_asserted_is_said_again_or_nothing_is_tdr_66() {
        let values = "<tel:+14255550177>, <sip:robin@example.com>";
        let kept = Asserted::Values(values.to_owned());
        let said = |caller: Caller| {
            let form = invite_form(&generic(), 0, &caller, &number("+14255550123"));
            form.identity.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(said(Caller { asserted: kept.clone(), ..dana() }), [values]);
        assert_eq!(said(Caller { asserted: Asserted::Nothing, ..dana() }), [""; 0]);
        assert_eq!(said(Caller { asserted: kept, ..withheld() }), ["id"], "GEN-58");
    }

    #[test]
    fn a_caller_without_number_is_not_given_one() {
        let caller = Caller { display: Some("Agent".to_owned()), ..Caller::default() };
        let form = invite_form(&teams(), 0, &caller, &number("+14255550123"));
        assert_eq!(form.from, "\"Agent\" <sip:anonymous@anonymous.invalid>");
        assert_eq!(form.contact, "<sip:sbc1.example.com:5067;transport=tls>");
        assert!(form.identity.is_empty());
    }

    #[test]
    fn a_caller_with_a_short_code_has_a_plus_at_the_hub_tdr_130_tdr_131() {
        let form = |trunk: &Trunk, text: &str| {
            let caller = Caller { number: Some(number(text)), ..Caller::default() };
            invite_form(trunk, 0, &caller, &number("+14255550123"))
        };
        let hub = form(&teams(), "1001");
        assert_eq!(hub.from, "<sip:+1001@sbc1.example.com>");
        assert_eq!(hub.contact, "<sip:+1001@sbc1.example.com:5067;transport=tls>");
        assert_eq!(hub.identity, [(Field::from(Name::PAssertedIdentity), hub.from.clone())]);
        assert_eq!(form(&teams(), "110").from, "<sip:+110@sbc1.example.com>");
        assert_eq!(form(&genesys(Termination::Fqdn), "1001").from, "<sip:1001@sbc1.example.com>", "GEN-89");
        for impossible in ["0123", "+12345678901234567"] {
            let hub = form(&teams(), impossible);
            assert_eq!(hub.from, ANONYMOUS, "{impossible}");
            assert_eq!(hub.identity, [(Field::from(Name::Privacy), "id".to_owned())], "{impossible}");
        }
    }

    #[test]
    fn genesys_finds_the_trunk_by_name_group_or_number_gen_12_to_15() {
        for (termination, request_uri, to) in [
            (
                Termination::Fqdn,
                "sip:+496912345000@acme-sbc.byoc.mypurecloud.de;transport=tls",
                "<sip:+496912345000@acme-sbc.byoc.mypurecloud.de>",
            ),
            (
                Termination::Tgrp,
                "sip:+496912345000;tgrp=acme-sbc;trunk-context=byoc.mypurecloud.de@byoc.mypurecloud.de;transport=tls",
                "<sip:+496912345000@byoc.mypurecloud.de>",
            ),
            (
                Termination::Dnis,
                "sip:acme-sbc@byoc.mypurecloud.de;transport=tls",
                "<sip:+496912345000@byoc.mypurecloud.de>",
            ),
            (
                Termination::Header,
                "sip:+496912345000@byoc.mypurecloud.de;transport=tls",
                "<sip:+496912345000@byoc.mypurecloud.de>",
            ),
        ] {
            let form = invite_form(&genesys(termination), 0, &dana(), &number("+496912345000"));
            assert_eq!((form.request_uri.as_str(), form.to.as_str()), (request_uri, to));
        }
    }

    #[test]
    fn from_and_asserted_identity_carry_the_same_number_gen_57() {
        for trunk in [genesys(Termination::Fqdn), teams(), generic()] {
            let form = invite_form(&trunk, 0, &dana(), &number("+496912345000"));
            let from = NameAddr::parse(&form.from).unwrap().uri().unwrap();
            let [(field, value)] = form.identity.as_slice() else { panic!("{:?}", form.identity) };
            assert_eq!(field.as_str(), "P-Asserted-Identity");
            assert_eq!(NameAddr::parse(value).unwrap().uri().unwrap().user(), from.user());
            assert_eq!(from.user(), Some("+12065550144"));
        }
    }

    #[test]
    fn a_generic_trunk_gets_its_own_host() {
        let form = invite_form(&generic(), 0, &dana(), &number("112"));
        assert_eq!(form.request_uri, "sip:112@pbx.example.com;user=phone;transport=tls");
        assert_eq!(form.to, "<sip:112@pbx.example.com>");
    }

    #[test]
    fn contact_and_via_name_us_never_an_address_of_the_machine_tdr_44_tdr_53_tdr_54() {
        let mut trunk = teams();
        assert_eq!(contact(&trunk, None), "<sip:sbc1.example.com:5067;transport=tls>", "TDR-33");
        assert_eq!(via(&trunk, "z9hG4bK7"), "SIP/2.0/TLS sbc1.example.com:5067;branch=z9hG4bK7;alias");
        trunk.transport = Transport::Udp;
        assert_eq!(via(&trunk, "z9hG4bK7"), "SIP/2.0/UDP sbc1.example.com:5067;branch=z9hG4bK7;rport");
        assert_eq!(contact(&trunk, Some("+1")), "<sip:+1@sbc1.example.com:5067;transport=udp>");
        assert!(Via::parse(&via(&trunk, "z9hG4bK7")).is_ok());
    }

    #[test]
    fn an_ipv6_name_of_ours_stands_in_brackets() {
        let mut trunk = generic();
        trunk.fqdn = "2001:db8::7".into();
        assert_eq!(contact(&trunk, None), "<sip:[2001:db8::7]:5061;transport=tls>");
        assert_eq!(Via::parse(&via(&trunk, "z9hG4bK7")).unwrap().host(), "[2001:db8::7]");
    }

    #[test]
    fn refer_and_replaces_are_not_offered_and_notify_is_tdr_56_tdr_57() {
        for trunk in [teams(), genesys(Termination::Fqdn), generic()] {
            let methods: Vec<_> = allow(&trunk).split(", ").collect();
            assert!(methods.contains(&"NOTIFY") && !methods.contains(&"REFER"));
            assert_eq!(supported(&trunk), "timer");
        }
    }
}
