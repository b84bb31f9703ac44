//! What it means when a host does not become active, and what to do: one table for alarms, status and probe.
//!
//! A hub is active after five steps, in this order (TDR-37): its name resolves, TLS is up, it takes our OPTIONS, it
//! answers 200, it asks us and we answer. A [`Symptom`] is a step that failed in one known way; [`diagnosis`] names
//! the rule behind it and the remedy. The shell tells symptoms of sockets and TLS, the core those of SIP.

use super::Kind;

/// One way in which a host is known to fail.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Symptom {
    /// Its name does not resolve.
    NotResolved,
    /// Its name leads to addresses outside the trunk's ranges only.
    Foreign,
    /// The connection was refused.
    Refused,
    /// The connection was not answered, or the network knows no way.
    NotConnected,
    /// The handshake ended without an alert, or with one that says nothing: no TLS there, or it was cut.
    NoTls,
    /// The handshake was not finished in time.
    HandshakeTimeout,
    /// The peer knows no version of TLS that we speak.
    NoVersion,
    /// The peer knows no suite that we speak, or has no use for our key.
    NoSuite,
    /// The peer does not have the name that we dialled.
    NoSuchName,
    /// The peer does not take our certificate.
    OurCertificate,
    /// The peer holds our certificate for expired.
    OursExpired,
    /// The chain of the peer's certificate leads to no root that we trust.
    UnknownRoot,
    /// The peer's certificate has neither the dialled name nor an expected one.
    WrongName,
    /// The peer's certificate is not valid now.
    NotValidNow,
    /// The peer's certificate may not be used for this.
    WrongPurpose,
    /// The peer's certificate is damaged, revoked or signed in a way that is not safe.
    Unsound,
    /// The connection was there, and ended before an answer.
    Lost,
    /// OPTIONS went out and no answer came.
    Silent,
    /// What answered speaks no SIP.
    NotSip,
    /// 403.
    NotKnown,
    /// A refusal with Q.850 cause 63: neither Contact nor Record-Route could be read.
    NoContact,
    /// 503.
    Unavailable,
    /// Another status that does not count as up.
    Rejected,
    /// It answers our OPTIONS and has never sent its own.
    NeverAsked,
    /// It answers our OPTIONS and has stopped to send its own.
    AsksNoMore,
    /// It has taken none of our OPTIONS for so long that Microsoft demotes the trunk.
    Demotion,
    /// A peer that called us did not get through the handshake.
    Inbound,
}

/// What a symptom means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Diagnosis {
    /// The rules behind it.
    pub rule: &'static str,
    /// What to do; names the rule at its end.
    pub remedy: &'static str,
}

/// What `symptom` of a host of `kind` means.
pub fn diagnosis(kind: Kind, symptom: Symptom) -> Diagnosis {
    let row = |rule, remedy| Diagnosis { rule, remedy };
    match (symptom, kind) {
        (Symptom::NotResolved, _) => {
            row("TDR-20", "correct the name, or look at [dns], [hosts] and the name servers (TDR-20)")
        }
        (Symptom::Foreign, _) => row(
            "TDR-21",
            "if the platform has moved, add the range to sources of the trunk; else the DNS is wrong (TDR-21, GEN-8)",
        ),
        (Symptom::Refused, _) => {
            row("TDR-23", "check the port of the host: something is there and does not listen on it (TDR-23)")
        }
        (Symptom::NotConnected, Kind::Genesys) => {
            row("GEN-23", "check the firewall, and add our addresses to the trunk's access list in Genesys (GEN-23)")
        }
        (Symptom::NotConnected, Kind::Teams | Kind::Generic) => {
            row("TDR-23", "let the firewall pass TCP to the host's port, 5061 of the hub, both ways (TDR-23)")
        }
        (Symptom::NoTls, _) => row(
            "TDR-6",
            "is that a TLS port, and does nothing on the way end or inspect TLS? A peer that ends without a word often \
             dislikes our certificate or its chain (TDR-5, TDR-6)",
        ),
        (Symptom::HandshakeTimeout, _) => {
            row("TDR-23", "something takes the connection and speaks no TLS: look at firewalls and proxies (TDR-23)")
        }
        (Symptom::NoVersion, _) => {
            row("TDR-2", "no common version of TLS: compare min_tls and max_tls of the trunk (TDR-2, GEN-28)")
        }
        (Symptom::NoSuite, _) => {
            row("TDR-3", "no common suite: use an RSA key, and compare min_tls and max_tls (TDR-3, TDR-4, GEN-32)")
        }
        (Symptom::NoSuchName, _) => {
            row("TDR-16", "the peer has no such name: dial it by a name of its own, not by an address (TDR-16, TDR-20)")
        }
        (Symptom::OurCertificate, _) => row(
            "TDR-9",
            "the peer does not take our certificate; it has to come from a public CA that the peer knows, carry the fqdn of \
             the trunk, be sent with its intermediates and be valid (TDR-5 to 10): tandem check looks at all that",
        ),
        (Symptom::OursExpired, _) => row(
            "TDR-15",
            "renew our certificate, or set this machine's clock; new files are taken at once (TDR-14, 15)",
        ),
        (Symptom::UnknownRoot, _) => row(
            "TDR-11",
            "the peer's chain leads to no root of the trunk's trust: does the system have the root, does the peer send its \
             intermediates, does something on the way end TLS? tandem probe shows the chain (TDR-11, GEN-34)",
        ),
        (Symptom::WrongName, _) => row(
            "TDR-13",
            "the peer's certificate has neither the dialled name nor an expected one; if the platform promises the name that \
             it has, add it to expected_names of the trunk (TDR-13, GEN-33)",
        ),
        (Symptom::NotValidNow, _) => row(
            "TDR-13",
            "the peer's certificate is not valid now: compare its dates with this machine's clock (TDR-13)",
        ),
        (Symptom::WrongPurpose, _) => {
            row("TDR-12", "the peer's certificate may not be a server's: the platform has to renew it (TDR-12)")
        }
        (Symptom::Unsound, _) => row(
            "TDR-13",
            "the peer's certificate is damaged, revoked or signed in a way that is not safe: the platform has to renew it \
             (TDR-13)",
        ),
        (Symptom::Lost, Kind::Teams) => row(
            "TDR-6",
            "a hub that ends without a word often dislikes our certificate or chain, or our address (TDR-5, TDR-6); is the \
             fqdn of the trunk paired and its domain activated in the tenant? (TDR-35)",
        ),
        (Symptom::Lost, Kind::Genesys | Kind::Generic) => {
            row("TDR-39", "look at firewalls that cut idle connections, and at the peer's log (TDR-39)")
        }
        (Symptom::Silent, Kind::Teams) => row(
            "TDR-35",
            "the hub leaves OPTIONS of an unknown SBC unanswered: pair the fqdn of the trunk in the tenant, and activate its \
             domain with a licensed user (TDR-25, TDR-35)",
        ),
        (Symptom::Silent, Kind::Genesys) => row(
            "GEN-23",
            "Genesys drops strangers in silence: add our addresses to the trunk's access list in Genesys, then check the \
             firewall and the region (GEN-23)",
        ),
        (Symptom::Silent, Kind::Generic) => {
            row("TDR-39", "check the firewall, and whether the peer admits our address (TDR-39)")
        }
        (Symptom::NotSip, _) => row("TDR-33", "something else than SIP listens there: check host and port (TDR-33)"),
        (Symptom::NotKnown, Kind::Teams) => row(
            "TDR-35",
            "Teams does not know this SBC: pair the trunk's fqdn in the tenant, or correct fqdn (TDR-35); Contact has to name \
             it, not an address, and the certificate has to carry it (TDR-7, TDR-33)",
        ),
        (Symptom::NotKnown, Kind::Genesys | Kind::Generic) => {
            row("GEN-23", "the peer refuses our address or our name: look at its access list and its trunk (GEN-23)")
        }
        (Symptom::NoContact, _) => row(
            "TDR-34",
            "the hub found neither Contact nor Record-Route: something between us and it changes messages; no SIP element may \
             stand there (TDR-29, TDR-34)",
        ),
        (Symptom::Unavailable, Kind::Teams) => row(
            "TDR-39",
            "the data centre is out of use: calls go to the other hosts; addresses are resolved anew, never pin them (TDR-20, \
             TDR-39)",
        ),
        (Symptom::Unavailable, Kind::Genesys | Kind::Generic) => {
            row("GEN-85", "the host is out of service: calls go to the others; see the platform's status (GEN-85)")
        }
        (Symptom::Rejected, _) => row(
            "TDR-39",
            "the host refuses our OPTIONS: look at the status and reason it gives, with tandem probe (TDR-33, TDR-39)",
        ),
        (Symptom::NeverAsked, _) => row(
            "TDR-37",
            "the hub takes our OPTIONS and sends none: the fqdn of the trunk has to resolve to us, its port to be that of the \
             trunk in Teams (SipSignalingPort), the firewall to admit all addresses of the hub, and SendSipOptions to be true \
             (TDR-21, TDR-37)",
        ),
        (Symptom::AsksNoMore, _) => row(
            "TDR-37",
            "the hub has stopped to send OPTIONS: look at the firewall and the DNS of our fqdn, whether our certificate is \
             valid, and whether the trunk is enabled in Teams (TDR-14, TDR-37)",
        ),
        (Symptom::Demotion, _) => row(
            "TDR-38",
            "Microsoft tries a trunk last whose OPTIONS it has not seen for 3 to 5 minutes: see the alarms of the hosts, and \
             act before then (TDR-38)",
        ),
        (Symptom::Inbound, Kind::Teams) => row(
            "TDR-11",
            "the hub calls and TLS fails: is our certificate valid and sent with its intermediates (TDR-6, 569003), is the root \
             of its certificate trusted (TDR-11), is its name expected (TDR-13)? The text says what failed",
        ),
        (Symptom::Inbound, Kind::Genesys | Kind::Generic) => row(
            "GEN-28",
            "the peer calls and TLS fails: compare versions, and whether it trusts our certificate (GEN-28, GEN-31)",
        ),
    }
}

impl Symptom {
    /// The symptom of a final response to OPTIONS that does not count as up. `cause`: the Q.850 cause of its Reason.
    pub fn of_answer(status: u16, cause: Option<u16>) -> Self {
        match (status, cause) {
            (_, Some(63)) => Self::NoContact,
            (403, _) => Self::NotKnown,
            (503, _) => Self::Unavailable,
            _ => Self::Rejected,
        }
    }

    /// Whether TLS was there: `None` where it was not tried.
    pub fn tls(self) -> Option<bool> {
        match self {
            Self::NotResolved | Self::Foreign | Self::Refused | Self::NotConnected => None,
            Self::NoTls
            | Self::HandshakeTimeout
            | Self::NoVersion
            | Self::NoSuite
            | Self::NoSuchName
            | Self::OurCertificate
            | Self::OursExpired
            | Self::UnknownRoot
            | Self::WrongName
            | Self::NotValidNow
            | Self::WrongPurpose
            | Self::Unsound
            | Self::Inbound => Some(false),
            Self::Lost
            | Self::Silent
            | Self::NotSip
            | Self::NotKnown
            | Self::NoContact
            | Self::Unavailable
            | Self::Rejected
            | Self::NeverAsked
            | Self::AsksNoMore
            | Self::Demotion => Some(true),
        }
    }

    /// In words, as in `sip.example.com: TLS: the peer does not take our certificate`.
    pub fn words(self) -> &'static str {
        match self {
            Self::NotResolved => "the name does not resolve",
            Self::Foreign => "the name leads outside the trunk's ranges",
            Self::Refused => "the connection was refused",
            Self::NotConnected => "no connection",
            Self::NoTls => "the TLS handshake was cut",
            Self::HandshakeTimeout => "the TLS handshake was not finished in time",
            Self::NoVersion => "no common version of TLS",
            Self::NoSuite => "no common TLS suite",
            Self::NoSuchName => "the peer has no such name",
            Self::OurCertificate => "the peer does not take our certificate",
            Self::OursExpired => "the peer holds our certificate for expired",
            Self::UnknownRoot => "the peer's certificate leads to no trusted root",
            Self::WrongName => "the peer's certificate has another name",
            Self::NotValidNow => "the peer's certificate is not valid now",
            Self::WrongPurpose => "the peer's certificate is for another purpose",
            Self::Unsound => "the peer's certificate is not sound",
            Self::Lost => "the connection ended before an answer to OPTIONS",
            Self::Silent => "OPTIONS not answered",
            Self::NotSip => "the answer is no SIP",
            Self::NotKnown => "OPTIONS refused, the SBC is not known",
            Self::NoContact => "OPTIONS refused, no Contact was found",
            Self::Unavailable => "OPTIONS answered with 503",
            Self::Rejected => "OPTIONS refused",
            Self::NeverAsked => "answers our OPTIONS and sends none",
            Self::AsksNoMore => "answers our OPTIONS and sends its own no more",
            Self::Demotion => "no OPTIONS of ours was taken",
            Self::Inbound => "the TLS handshake of a caller failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row: the symptom, of whom, the rule behind it, and a word of the remedy that it is about.
    macro_rules! rows {
        ($($test:ident: $symptom:ident of $kind:ident is $rule:literal, $word:literal;)*) => {
            $(#[test]
            fn $test() {
                let Diagnosis { rule, remedy } = diagnosis(Kind::$kind, Symptom::$symptom);
                assert_eq!(rule, $rule);
                assert!(remedy.contains($word), "{remedy}");
                assert!(remedy.contains("TDR-") || remedy.contains("GEN-"), "a remedy names its rule: {remedy}");
            })*
        };
    }

    rows! {
        a_name_that_does_not_resolve_tdr_20: NotResolved of Teams is "TDR-20", "[dns]";
        addresses_outside_the_ranges_tdr_21: Foreign of Teams is "TDR-21", "sources";
        a_refused_connection_tdr_23: Refused of Teams is "TDR-23", "port";
        a_connection_without_answer_tdr_23: NotConnected of Teams is "TDR-23", "firewall";
        no_connection_to_genesys_gen_23: NotConnected of Genesys is "GEN-23", "access list";
        a_handshake_that_is_cut_tdr_6: NoTls of Teams is "TDR-6", "chain";
        a_handshake_without_end_tdr_23: HandshakeTimeout of Teams is "TDR-23", "no TLS";
        no_common_version_tdr_2: NoVersion of Teams is "TDR-2", "min_tls";
        no_common_suite_tdr_3: NoSuite of Teams is "TDR-3", "RSA";
        a_name_that_the_peer_does_not_have_tdr_16: NoSuchName of Teams is "TDR-16", "address";
        our_certificate_is_not_taken_tdr_9: OurCertificate of Teams is "TDR-9", "public CA";
        our_certificate_has_expired_tdr_15: OursExpired of Teams is "TDR-15", "renew";
        an_unknown_root_tdr_11: UnknownRoot of Teams is "TDR-11", "trust";
        a_wrong_name_tdr_13: WrongName of Teams is "TDR-13", "expected_names";
        a_certificate_out_of_its_dates_tdr_13: NotValidNow of Teams is "TDR-13", "clock";
        a_certificate_for_something_else_tdr_12: WrongPurpose of Teams is "TDR-12", "server's";
        a_certificate_that_is_not_sound_tdr_13: Unsound of Teams is "TDR-13", "renew";
        a_hub_that_hangs_up_tdr_6: Lost of Teams is "TDR-6", "certificate";
        a_peer_that_hangs_up_tdr_39: Lost of Generic is "TDR-39", "idle";
        a_silent_hub_tdr_35: Silent of Teams is "TDR-35", "pair";
        silence_of_genesys_names_the_access_list_gen_23_gen_86: Silent of Genesys is "GEN-23", "access list";
        a_silent_peer_tdr_39: Silent of Generic is "TDR-39", "firewall";
        what_is_no_sip_tdr_33: NotSip of Teams is "TDR-33", "port";
        a_403_of_the_hub_tdr_35: NotKnown of Teams is "TDR-35", "fqdn";
        a_403_of_genesys_gen_23: NotKnown of Genesys is "GEN-23", "access list";
        neither_contact_nor_record_route_tdr_34: NoContact of Teams is "TDR-34", "Contact";
        a_503_of_the_hub_tdr_39: Unavailable of Teams is "TDR-39", "other hosts";
        a_503_of_another_gen_85: Unavailable of Genesys is "GEN-85", "out of service";
        another_refusal_tdr_39: Rejected of Teams is "TDR-39", "tandem probe";
        a_hub_that_never_asks_tdr_37: NeverAsked of Teams is "TDR-37", "SendSipOptions";
        a_hub_that_asks_no_more_tdr_37: AsksNoMore of Teams is "TDR-37", "firewall";
        a_trunk_that_is_to_be_demoted_tdr_38: Demotion of Teams is "TDR-38", "3 to 5 minutes";
        a_hub_whose_handshake_fails_tdr_11: Inbound of Teams is "TDR-11", "intermediates";
        a_peer_whose_handshake_fails_gen_28: Inbound of Genesys is "GEN-28", "versions";
    }

    #[test]
    fn an_answer_has_the_symptom_of_its_status_and_cause() {
        assert_eq!(Symptom::of_answer(403, None), Symptom::NotKnown);
        assert_eq!(Symptom::of_answer(400, Some(63)), Symptom::NoContact);
        assert_eq!(Symptom::of_answer(503, Some(34)), Symptom::Unavailable);
        assert_eq!(Symptom::of_answer(405, None), Symptom::Rejected);
    }
}
