//! Who the platforms are: names, hosts in order, methods they take, how long they wait.
//!
//! A [`Trunk`] is plain settled data: the configuration makes it from a kind's defaults and the
//! operator's keys, the core reads it, nobody changes it. What may connect as a trunk and where a
//! trunk lets us dial is decided here and nowhere else (design: "Peer, then trunk", "Where we dial").

pub mod codes;
pub mod diagnosis;
pub mod platforms;
pub mod policy;

use crate::authentication::{Account, Authentication, RequiredHeader};
use crate::flow::{ListenerId, Transport, TrunkId};
use crate::number::{DialPlan, Number, NumberError};
use crate::sip::{Field, Method, Uri};
use ipnet::IpNet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Which platform's rules a trunk follows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Microsoft Teams Direct Routing (TDR rules).
    Teams,
    /// Genesys Cloud BYOC (GEN rules).
    Genesys,
    /// Any other carrier or PBX: RFC 3261 and nothing more.
    Generic,
}

/// What crosses from Teams to the caller before the answer (TDR-76).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EarlyMedia {
    /// 18x cross without SDP, so that the only answer is the 200's.
    #[default]
    None,
    /// The first 18x with SDP crosses; if another fork answers, a re-INVITE follows.
    First,
}

/// One host of a trunk, in the order calls try them (TDR-17, GEN-85).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Host {
    /// A name, or an address literal.
    pub name: Arc<str>,
    /// The port; `None` lets SRV choose it, else the transport's default (RFC 3263 §4.2).
    pub port: Option<u16>,
}

/// As the configuration writes it: `sip.example.com`, `sip.example.com:5061`, `[2001:db8::7]:5061`.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => f.write_str(&self.name),
            Some(port) if self.name.contains(':') => write!(f, "[{}]:{port}", self.name.trim_matches(['[', ']'])),
            Some(port) => write!(f, "{}:{port}", self.name),
        }
    }
}

/// How a trunk's inbound INVITEs name us, and how ours name the trunk (GEN-12 to 15).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Termination {
    /// `sip:+number@identifier.domain`
    #[default]
    Fqdn,
    /// `sip:+number;tgrp=identifier;trunk-context=domain@domain` (RFC 4904)
    Tgrp,
    /// `sip:identifier@domain`, the number in To
    Dnis,
    /// `sip:+number@domain`, the identifier in a header field of [`Trunk::headers`] (GEN-16)
    Header,
}

/// Where a trunk's INVITEs name who is called (GEN-21).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NumberSource {
    /// The user of the Request-URI; To where that is the trunk's identifier.
    #[default]
    RequestUri,
    /// To, as Genesys does with *Outbound DNIS* ticked.
    To,
}

/// Which host the Request-URI of a call to the hub names (TDR-49: open at Microsoft, and both are in use).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestUriHost {
    /// [`Trunk::request_host`], whichever host is dialled.
    #[default]
    First,
    /// The host that is dialled.
    Dialled,
}

/// The one version of IP that a trunk speaks (TDR-28: `IPAddressVersion`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpVersion {
    /// Whether `address` is of this version.
    pub fn is_of(self, address: IpAddr) -> bool {
        (self == Self::V4) == address.to_canonical().is_ipv4()
    }
}

/// A trunk, settled.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Its place in the snapshot.
    pub id: TrunkId,
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// Whose rules apply.
    pub kind: Kind,
    /// Our name toward it: host of Contact and From, sent-by of Via (TDR-44, 50, 53, 54).
    pub fqdn: Arc<str>,
    /// The port in our Contact and Via (TDR-53).
    pub port: u16,
    /// How requests travel to it.
    pub transport: Transport,
    /// Whether requests of more than 1300 octets go by TCP where the trunk's transport is UDP (RFC 3261 §18.1.1).
    pub large_over_tcp: bool,
    /// Where calls go, first to last.
    pub hosts: Vec<Host>,
    /// Host of the Request-URI of calls to it: the hub's first name (TDR-49), the trunk's FQDN (GEN-13).
    pub request_host: Arc<str>,
    /// Whether that changes when a call goes on to another host; [`RequestUriHost::First`] but for Teams.
    pub request_uri_host: RequestUriHost,
    /// How a call names the trunk (Genesys only).
    pub termination: Termination,
    /// The trunk's inbound SIP termination identifier (GEN-12); empty for other platforms than Genesys.
    pub termination_identifier: Arc<str>,
    /// Names below which in-dialog requests may be dialled, lower case without a leading `*.`
    /// (`pstnhub.microsoft.com`, TDR-83). Hosts and `request_host` are always allowed.
    pub suffixes: Vec<Arc<str>>,
    /// The version of IP it speaks; `None`: either (TDR-28).
    pub ip: Option<IpVersion>,
    /// Addresses it may call from, and that we may dial (TDR-21, GEN-23).
    pub sources: Vec<IpNet>,
    /// Listeners it may call; empty: every listener of its transport.
    pub listeners: Vec<ListenerId>,
    /// Whether its connections prove a certificate whose names are in `expected_names` (TDR-5, GEN-29).
    pub mutual: bool,
    /// Names one of which its certificate has to carry; `*.` stands for one label (TDR-13, GEN-33).
    pub expected_names: Vec<Arc<str>>,
    /// The methods it takes from us (TDR-90).
    pub methods: Vec<Method>,
    /// Session timer offered and asked for; `None`: not used toward it (RFC 4028, TDR-97).
    pub session_expires: Option<u32>,
    /// The shortest session interval we accept and name, in seconds.
    pub min_se: u32,
    /// What crosses before the answer.
    pub early_media: EarlyMedia,
    /// How long a called party may ring, below Genesys' 120 s (GEN-82).
    pub ring_timeout: Duration,
    /// How long a host may stay without any response before the next is tried (TDR-125).
    pub response_timeout: Duration,
    /// Interval of our out-of-dialog OPTIONS; `None`: none are sent (TDR-32, GEN-84).
    pub options_interval: Option<Duration>,
    /// The most calls at once, from it and to it together; `None`: no limit.
    pub max_calls: Option<u32>,
    /// The most new calls in a second, likewise; `None`: no limit.
    pub max_call_rate: Option<u32>,
    /// Calling code of numbers without `+` that come from it, digits only; empty: that of the element.
    pub country_code: Arc<str>,
    /// How numbers are written on it, where that is not E.164.
    pub dial_plan: DialPlan,
    /// What X-MS-SBC says in INVITE and OPTIONS: vendor, model and version (TDR-61); `None`: it is not sent.
    pub sbc: Option<Arc<str>>,
    /// What the operator lets it see and say beyond the rules of its kind.
    pub policy: policy::Policy,
    /// Where its INVITEs name who is called (GEN-21).
    pub number_source: NumberSource,
    /// Header fields that every initial INVITE to it carries as they are (GEN-16, 69).
    pub headers: Vec<(Field, String)>,
    /// The token that its INVITEs carry (GEN-27); `None`: none is asked for.
    pub required_header: Option<Arc<RequiredHeader>>,
    /// What its initial INVITEs have to prove (GEN-25); `None`: nothing.
    pub authentication: Option<Arc<Authentication>>,
    /// Who we are when it asks (GEN-26); `None`: its challenges are not answered.
    pub account: Option<Arc<Account>>,
    /// No new calls; dialogs that exist go on. A trunk that a reload removed.
    pub retired: bool,
}

impl Trunk {
    /// A place without a trunk, which the next new one takes: the others keep theirs.
    pub fn vacant(id: TrunkId) -> Self {
        Self { retired: true, ..platforms::generic().into_trunk(id, "", "", 0) }
    }

    /// Whether this is a place without a trunk.
    pub fn is_vacant(&self) -> bool {
        self.name.is_empty()
    }

    /// The same trunk when it is removed and its last call has ended: nobody is it, and nowhere is dialled for it.
    pub fn closed(&self) -> Self {
        let (id, kind, transport) = (self.id, self.kind, self.transport);
        let nothing = platforms::generic().into_trunk(id, &self.name, &self.fqdn, self.port);
        Self { retired: true, kind, transport, ..nothing }
    }

    /// Whether nobody can be it and nowhere is dialled for it any more.
    pub fn is_closed(&self) -> bool {
        self.retired && self.sources.is_empty() && self.hosts.is_empty() && self.suffixes.is_empty()
    }

    /// Whether the platform takes requests of `method` (TDR-90).
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// The number that a URI from the trunk names, by its dial plan and its country; `country_code` is that of the
    /// element, for a trunk without one of its own.
    ///
    /// # Errors
    ///
    /// As [`Number::of_uri`].
    pub fn number(&self, uri: &Uri<'_>, country_code: &str) -> Result<Number, NumberError> {
        let country_code = if self.country_code.is_empty() { country_code } else { &self.country_code };
        Number::planned(uri, country_code, &self.dial_plan)
    }

    /// Whether `address` is one of the trunk's.
    pub fn covers(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.speaks(address) && self.sources.iter().any(|range| range.contains(&address))
    }

    /// Whether `address` is of the version of IP that the trunk speaks (TDR-28).
    pub fn speaks(&self, address: IpAddr) -> bool {
        self.ip.is_none_or(|version| version.is_of(address))
    }

    /// Whether its messages may come over `transport`.
    pub fn travels_over(&self, transport: Transport) -> bool {
        let large = self.large_over_tcp && self.transport == Transport::Udp && transport == Transport::Tcp;
        transport == self.transport || large
    }

    /// Whether a flow with this source, listener and transport may be the trunk, before TLS.
    pub fn may_call(&self, source: SocketAddr, listener: ListenerId, transport: Transport) -> bool {
        let listener =
            self.listeners.contains(&listener) || (self.listeners.is_empty() && self.travels_over(transport));
        listener && self.covers(source.ip())
    }

    /// Whether `host` is a name that the trunk lets us dial: a host of its own or below a suffix.
    /// Address literals are judged by [`covers`](Self::covers).
    pub fn may_dial(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        let own = self.hosts.iter().map(|own| &own.name).chain([&self.request_host]);
        own.into_iter().any(|own| own.eq_ignore_ascii_case(host))
            || self.suffixes.iter().any(|suffix| {
                host.len() > suffix.len()
                    && host.get(host.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
                    && host.as_bytes().get(host.len() - suffix.len() - 1) == Some(&b'.')
            })
    }

    /// Whether this is the carrier's trunk of a customer's: the hub's, and known to it by a name that the customer's is
    /// below (TDR-156). The carrier's alone is asked and asks; the customers' inherit its health (TDR-40).
    pub fn carries(&self, customer: &Self) -> bool {
        let below = |name: &str| name.to_ascii_lowercase().ends_with(&format!(".{}", self.fqdn.to_ascii_lowercase()));
        let both = self.kind == Kind::Teams && customer.kind == Kind::Teams;
        both && !self.retired && self.options_interval.is_some() && below(&customer.fqdn)
    }

    /// Whether one of the names of a certificate is expected (TDR-13, GEN-33; RFC 6125: one label for `*`).
    pub fn expects(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.expected_names.iter().any(|expected| name_matches(expected, name)))
    }
}

/// Whether the name of a certificate and an expected name agree; either may begin with `*.`, which
/// stands for exactly one label (RFC 6125 §6.4.3, TDR-8).
pub fn name_matches(expected: &str, presented: &str) -> bool {
    let one_label = |pattern: &str, name: &str| {
        pattern.strip_prefix("*.").is_some_and(|rest| {
            name.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail.eq_ignore_ascii_case(rest))
        })
    };
    expected.eq_ignore_ascii_case(presented) || one_label(expected, presented) || one_label(presented, expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shown_as_it_is_written() {
        let shown = |name: &str, port| Host { name: Arc::from(name), port }.to_string();
        assert_eq!(shown("sip.example.com", Some(5061)), "sip.example.com:5061");
        assert_eq!(shown("sip.example.com", None), "sip.example.com");
        assert_eq!(shown("2001:db8::7", Some(5061)), "[2001:db8::7]:5061");
    }

    #[test]
    fn a_trunk_is_called_over_its_transport_alone_but_for_large_requests_tdr_1_tdr_72() {
        let over = |trunk: &Trunk| [Transport::Tls, Transport::Tcp, Transport::Udp].map(|own| trunk.travels_over(own));
        let mut trunk = platforms::generic().into_trunk(TrunkId(0), "pbx", "sbc1.example.com", 5061);
        trunk.transport = Transport::Tls;
        trunk.large_over_tcp = true;
        assert_eq!(over(&trunk), [true, false, false]);
        trunk.transport = Transport::Udp;
        assert_eq!(over(&trunk), [false, true, true]);
        trunk.large_over_tcp = false;
        assert_eq!(over(&trunk), [false, false, true]);
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        assert!(name_matches("sbc1.example.com", "*.example.com"));
        assert!(!name_matches("a.sbc1.example.com", "*.example.com"));
        assert!(!name_matches("example.com", "*.example.com"));
        assert!(name_matches("*.voice.example.com", "lb01.voice.example.com"));
        assert!(!name_matches("sip.pstnhub.microsoft.com", "evil-sip.pstnhub.microsoft.com"));
    }
}
