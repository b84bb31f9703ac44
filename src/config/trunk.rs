//! One trunk: what its kind brings along, and the operator's keys, which win.

use super::dial_plan::{read_country, read_dial_plan};
use super::policy::read_policy;
use super::proof::{Proofs, read_proofs};
use super::section::{Section, advice};
use super::value;
use crate::flow::{ListenerId, Transport, TrunkId};
use crate::number::Pattern;
use crate::settings::*;
use crate::sip::{Field, Method};
use crate::trunk::platforms::{self, Cloud, Generation, Platform, TrunkDefaults};
use crate::trunk::{EarlyMedia, Host, IpVersion, Kind, NumberSource, RequestUriHost, Termination, Trunk};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use toml::Spanned;

/// What a trunk has to know of the rest of the file.
pub(super) struct Around<'a> {
    /// Its place among the trunks.
    pub(super) id: TrunkId,
    /// Its name.
    pub(super) name: &'a str,
    /// The name of this element.
    pub(super) fqdn: &'a str,
    /// The folder of the file.
    pub(super) base: &'a Path,
    /// The listeners of `[edge]`.
    pub(super) shared: &'a [ListenerId],
    /// All listeners so far.
    pub(super) listeners: &'a [ListenerSettings],
    /// Its own listeners; `None`: it uses those of `[edge]`.
    pub(super) own: Option<Vec<ListenerId>>,
    /// The identities that are there.
    pub(super) identities: Vec<&'a str>,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// Reads a trunk. What cannot be understood is reported and has its default.
pub(super) fn read_trunk(section: &Section<'_>, around: Around<'_>) -> TrunkSettings {
    let kinds = [("teams", Kind::Teams), ("genesys", Kind::Genesys), ("generic", Kind::Generic)];
    let kind = section.choice("kind", &kinds);
    if section.text("kind").is_none() {
        section.missing("kind", "say whose rules apply: kind = \"teams\", \"genesys\" or \"generic\"");
    }
    let termination = Words::read(section, kind);
    let base = platform_defaults(section, kind, &termination);
    let transport = section.parsed("transport", value::transport).map_or(base.transport, Spanned::into_inner);
    let large_over_tcp = section.flag("large_over_tcp").unwrap_or(false);
    let mut listeners = listeners_of(section, &around, transport, large_over_tcp);
    if large_over_tcp && transport == Transport::Udp {
        // The peer may answer in kind. Behind the others: the first has the port in our Contact.
        let all = around.own.as_deref().unwrap_or(around.shared);
        let streams =
            |id: &&ListenerId| around.listeners.iter().any(|own| own.id == **id && own.transport == Transport::Tcp);
        listeners.extend(all.iter().filter(streams));
    } else if large_over_tcp {
        let message = format!("{}.large_over_tcp has no effect over {}", section.name(), transport.uri_value());
        section
            .findings()
            .error(section.place("large_over_tcp"), message)
            .remedy("remove it, or set transport = \"udp\"");
    }
    let listener = listeners.first().and_then(|id| around.listeners.iter().find(|listener| listener.id == *id));
    let advertised = listener.and_then(|listener| listener.advertise.clone());
    let fqdn = section.parsed("fqdn", value::fqdn).map(Spanned::into_inner);
    let named = advertised.as_ref().map(|(host, _)| host.as_str()).filter(|host| value::fqdn(host).is_ok());
    let fqdn = fqdn.unwrap_or_else(|| named.unwrap_or(around.fqdn).to_owned());
    let port = advertised.map(|(_, port)| port).or(listener.map(|listener| listener.bind.port()));

    let own_hosts = values(section.list("hosts", value::host));
    let next_hop = section.parsed("next_hop", value::host).map(Spanned::into_inner);
    let hosts = own_hosts.unwrap_or(base.hosts);
    let request_host = match (&*base.request_host, hosts.first()) {
        ("", Some(first)) => Arc::clone(&first.name),
        ("", None) => next_hop.as_ref().map_or_else(|| Arc::from(""), |host| Arc::clone(&host.name)),
        _ => base.request_host,
    };
    let hosts = next_hop.as_ref().map_or(hosts, |hop| vec![hop.clone()]);
    let expected_names = values(section.list("expected_names", value::certificate_name));
    let expected_names = expected_names.unwrap_or_else(|| match kind {
        Some(Kind::Generic) | None => names_of(&hosts),
        Some(Kind::Teams | Kind::Genesys) => base.expected_names,
    });
    let suffix = |text: &str| value::host_name(text.trim_start_matches("*.")).map(Arc::<str>::from);
    let limits = section.table("limits");
    let limit = |key| limits.integer(key, 1..=1_000_000).and_then(|limit| u32::try_from(limit).ok());
    let (max_calls, max_call_rate) = (limit("calls"), limit("calls_per_second"));
    limits.finish();
    let early = [("none", EarlyMedia::None), ("first", EarlyMedia::First)];
    let mutual = section.flag("mutual").unwrap_or(base.mutual);
    let tls = (transport == Transport::Tls).then(|| tls_policy(section, &around, mutual, base.tls_1_2_only, kind));
    if transport != Transport::Tls {
        let keys: [&'static str; 4] = ["tls", "trust", "min_tls", "max_tls"];
        for key in keys.into_iter().filter(|key| section.items(key).is_some()) {
            let message = format!("{}.{key} has no effect over {}", section.name(), transport.uri_value());
            section.findings().error(section.place(key), message).remedy("remove it, or set transport = \"tls\"");
        }
    }
    let Proofs { authentication, account, required_header, headers, files } =
        read_proofs(section, around.base, kind, &fqdn);
    termination.check(section, kind, &headers);
    if kind == Some(Kind::Genesys) && transport == Transport::Tls {
        let hosts = hosts.iter().filter(|host| host.port == Some(5060));
        let key = if next_hop.is_some() { "next_hop" } else { "hosts" };
        for host in hosts {
            let message = format!("{host}: Genesys speaks no TLS on port 5060, connections to it end at once");
            let remedy = "write port 5061, or leave the port away";
            section.findings().error(section.place(key), message).remedy(remedy).rule("GEN-10");
        }
    }
    let sources = [("request-uri", NumberSource::RequestUri), ("to", NumberSource::To)];
    let trunk = Trunk {
        id: around.id,
        name: Arc::from(around.name),
        kind: kind.unwrap_or(Kind::Generic),
        fqdn: Arc::from(fqdn),
        port: port.unwrap_or(transport.default_port()),
        transport,
        large_over_tcp,
        hosts,
        request_host,
        request_uri_host: request_uri_host(section, kind, next_hop.is_some()),
        termination: termination.form,
        termination_identifier: Arc::from(termination.identifier),
        suffixes: values(section.list("suffixes", suffix)).unwrap_or(base.suffixes),
        ip: section.choice("ip", &[("v4", IpVersion::V4), ("v6", IpVersion::V6)]),
        sources: values(section.list("sources", value::range)).unwrap_or(base.sources),
        listeners,
        mutual: mutual && transport == Transport::Tls,
        expected_names,
        methods: methods(section).unwrap_or(base.methods),
        session_expires: session_expires(section, base.session_expires),
        min_se: seconds(section.duration("min_se", Duration::from_secs(90)..=HOUR)).unwrap_or(base.min_se),
        early_media: section.choice("early_media", &early).unwrap_or(base.early_media),
        ring_timeout: section.duration("ring_timeout", SECOND..=DAY).unwrap_or(base.ring_timeout),
        response_timeout: section
            .duration("response_timeout", SECOND / 10..=32 * SECOND)
            .unwrap_or(base.response_timeout),
        options_interval: section.duration_or_off("options_interval", SECOND..=HOUR).unwrap_or(base.options_interval),
        max_calls,
        max_call_rate,
        country_code: read_country(section),
        dial_plan: read_dial_plan(section, kind),
        sbc: base.sbc.filter(|_| section.flag("x_ms_sbc").unwrap_or(true)),
        policy: read_policy(section, kind, base.policy),
        number_source: section.choice("number_source", &sources).unwrap_or_default(),
        headers,
        required_header,
        authentication,
        account,
        retired: false,
    };
    let dids = values(section.list("dids", |text| Pattern::parse(text).map_err(|error| format!("`{text}`: {error}"))));
    let next_hop = next_hop.map(|hop| hop.name.to_string());
    TrunkSettings { trunk: Arc::new(trunk), tls, next_hop, dids: dids.unwrap_or_default(), secrets: files }
}

/// How a Genesys trunk is named.
struct Words<'a> {
    identifier: &'a str,
    form: Termination,
}

impl<'a> Words<'a> {
    fn read(section: &Section<'a>, kind: Option<Kind>) -> Self {
        let absent = Self { identifier: "", form: Termination::Fqdn };
        if kind != Some(Kind::Genesys) {
            return absent;
        }
        let forms = [
            ("fqdn", Termination::Fqdn),
            ("tgrp", Termination::Tgrp),
            ("dnis", Termination::Dnis),
            ("header", Termination::Header),
        ];
        let form = section.choice("termination_form", &forms).unwrap_or_default();
        let Some(identifier) = section.text("termination") else {
            let remedy = "copy the trunk's inbound SIP termination identifier: termination = \"acme-sbc\" (GEN-12)";
            section.missing("termination", remedy);
            return Self { form, ..absent };
        };
        let text = identifier.get_ref();
        if form == Termination::Fqdn && value::host_name(text).is_err() || text.is_empty() {
            let message = format!("`{text}` is no termination identifier");
            let remedy = "it stands in front of the region's domain, so letters, digits and hyphens only";
            section.findings().error(identifier.span(), message).remedy(remedy).rule("GEN-12");
        } else if text.contains(['@', ';', ' ', '>', '"']) {
            section.findings().error(identifier.span(), format!("`{text}` cannot stand in a URI")).rule("GEN-14");
        }
        Self { identifier: identifier.into_inner(), form }
    }

    /// Whether the trunk can be found by this form of our INVITEs (GEN-13 to 16).
    fn check(&self, section: &Section<'_>, kind: Option<Kind>, headers: &[(Field, String)]) {
        let place = section.place("termination_form");
        let dynamic =
            kind == Some(Kind::Genesys) && section.text("generation").is_some_and(|g| *g.get_ref() == "dynamic");
        let rule = match self.form {
            Termination::Fqdn => None,
            Termination::Tgrp | Termination::Header => Some("GEN-13"),
            Termination::Dnis => Some("GEN-15"),
        };
        if let Some(rule) = rule.filter(|_| dynamic) {
            let message = "trunks of the dynamic generation are found by their FQDN only";
            section.findings().error(place.clone(), message).remedy("remove termination_form").rule(rule);
        }
        let named = headers.iter().any(|(_, value)| value.eq_ignore_ascii_case(self.identifier));
        if self.form == Termination::Header && !named {
            let message = format!("no header field says `{}`, so Genesys cannot find the trunk", self.identifier);
            let remedy = format!(
                "add the Inbound SIP Termination Header of the trunk's page: headers = {{ \"X-Acme-Trunk\" = \"{}\" }}",
                self.identifier
            );
            section.findings().error(place, message).remedy(remedy).rule("GEN-16");
        }
    }
}

/// What the kind brings along, with the keys that only this kind has.
fn platform_defaults(section: &Section<'_>, kind: Option<Kind>, termination: &Words<'_>) -> TrunkDefaults {
    match kind {
        Some(Kind::Teams) => {
            let clouds = [
                ("worldwide", Cloud::Worldwide),
                ("gcc", Cloud::Worldwide),
                ("gcc-high", Cloud::GccHigh),
                ("dod", Cloud::Dod),
            ];
            let cloud = section.choice("cloud", &clouds).unwrap_or_default();
            platforms::teams(cloud)
        }
        Some(Kind::Genesys) => genesys_defaults(section, termination),
        Some(Kind::Generic) | None => platforms::generic(),
    }
}

/// Which host the Request-URI names; a key of Teams only (TDR-49).
fn request_uri_host(section: &Section<'_>, kind: Option<Kind>, relayed: bool) -> RequestUriHost {
    if kind != Some(Kind::Teams) {
        return RequestUriHost::First;
    }
    let hosts = [("first", RequestUriHost::First), ("dialled", RequestUriHost::Dialled)];
    let host = section.choice("request_uri_host", &hosts).unwrap_or_default();
    if host == RequestUriHost::Dialled && relayed {
        let message = "request_uri_host = \"dialled\" would name the next hop, which is not the hub";
        let remedy = "remove next_hop or request_uri_host";
        section.findings().error(section.place("request_uri_host"), message).remedy(remedy).rule("TDR-49");
    }
    host
}

/// A Genesys trunk by region, or by the domain that the trunk's page shows (GEN-9), which wins.
fn genesys_defaults(section: &Section<'_>, termination: &Words<'_>) -> TrunkDefaults {
    let generations = [("classic", Generation::Classic), ("dynamic", Generation::Dynamic)];
    let generation = section.choice("generation", &generations).unwrap_or_default();
    let region = section.text("region");
    let domain = section.parsed("domain", value::fqdn).map(Spanned::into_inner);
    let (identifier, form) = (termination.identifier, termination.form);
    let of =
        |region: &str| platforms::defaults(&Platform::Genesys { generation, region, identifier, termination: form });
    let found = region.as_ref().and_then(|region| of(region.get_ref()));
    match (&region, &found, &domain) {
        (Some(region), None, _) => {
            let known: Vec<&str> = platforms::regions().filter(|region| of(region).is_some()).collect();
            let message = format!("`{}` is no region with trunks of this generation", region.get_ref());
            section.findings().error(region.span(), message).remedy(advice(region.get_ref(), &known)).rule("GEN-9");
        }
        (None, _, None) => section.missing("region", "name the organisation's region: region = \"eu-central-1\""),
        (None, _, Some(_)) | (Some(_), Some(_), _) => {}
    }
    // Whatever is not regional is the same everywhere.
    let mut base = found.or_else(|| platforms::regions().find_map(of)).unwrap_or_else(platforms::generic);
    if let Some(domain) = domain {
        let fqdn: Arc<str> = Arc::from(format!("{}.{domain}", identifier.to_ascii_lowercase()));
        let domain: Arc<str> = Arc::from(domain);
        if region.is_none() {
            base.suffixes.clear();
            base.sources.clear();
            base.expected_names.clear();
        }
        base.request_host = if form == Termination::Fqdn { Arc::clone(&fqdn) } else { Arc::clone(&domain) };
        base.hosts = vec![Host { name: Arc::clone(&fqdn), port: None }];
        base.suffixes.push(domain);
        base.expected_names.push(fqdn);
    }
    base
}

/// Where it may call: its own listeners, else those of `[edge]` that speak its transport.
fn listeners_of(section: &Section<'_>, around: &Around<'_>, transport: Transport, large: bool) -> Vec<ListenerId> {
    let speaks = |id: &&ListenerId| {
        around.listeners.iter().any(|listener| listener.id == **id && listener.transport == transport)
    };
    let (wanted, key) = match &around.own {
        Some(own) => (own.as_slice(), "listen"),
        None => (around.shared, "transport"),
    };
    let fitting: Vec<ListenerId> = wanted.iter().filter(speaks).copied().collect();
    let word = transport.uri_value();
    let of_use = |id: &&ListenerId| {
        let stream = |own: &ListenerSettings| own.id == **id && own.transport == Transport::Tcp;
        speaks(id) || (large && around.listeners.iter().any(stream))
    };
    if around.own.is_some() && !wanted.iter().all(|id| of_use(&id)) {
        let message = format!("a listener of trunk `{}` does not speak {word}", around.name);
        let remedy = format!("a trunk has one transport: list {word} listeners only, or set transport");
        section.findings().error(section.place(key), message).remedy(remedy).rule("GEN-5");
    } else if fitting.is_empty() {
        let message = format!("no listener speaks {word}, so trunk `{}` cannot call", around.name);
        let remedy = format!("add \"{word}:0.0.0.0:{}\" to listen in [edge]", transport.default_port());
        section.findings().error(section.place(key), message).remedy(remedy);
    }
    fitting
}

fn tls_policy(
    section: &Section<'_>,
    around: &Around<'_>,
    mutual: bool,
    only_1_2: bool,
    kind: Option<Kind>,
) -> TlsPolicy {
    let identity = section.text("tls");
    match &identity {
        None => section.missing("tls", "name the identity it is shown: tls = \"public\", with a table [tls.public]"),
        Some(name) if !around.identities.contains(name.get_ref()) => {
            let message = format!("there is no identity [tls.{}]", name.get_ref());
            section.findings().error(name.span(), message).remedy(advice(name.get_ref(), &around.identities));
        }
        Some(_) => {}
    }
    let trust = section.list("trust", |text| Ok::<_, String>(text.to_owned()));
    let trust = match trust.map(|files| files.into_iter().map(Spanned::into_inner).collect::<Vec<_>>()) {
        None if kind == Some(Kind::Teams) => Trust::Microsoft,
        None => Trust::System,
        Some(files) if files == ["microsoft"] => Trust::Microsoft,
        Some(files) if files == ["system"] => Trust::System,
        Some(files) => {
            if files.is_empty() {
                let remedy = "write \"system\" or name files with root certificates";
                section.findings().error(section.place("trust"), "nobody is trusted").remedy(remedy);
            }
            Trust::Files(files.iter().map(|file| around.base.join(file)).collect())
        }
    };
    let versions = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];
    let newest = if only_1_2 { TlsVersion::V1_2 } else { TlsVersion::V1_3 };
    let min_version = section.choice("min_tls", &versions).unwrap_or(TlsVersion::V1_2);
    let max_version = section.choice("max_tls", &versions).unwrap_or(newest.max(min_version));
    if min_version > max_version {
        section.findings().error(section.place("min_tls"), "min_tls is above max_tls");
    }
    let identity = identity.map_or("", Spanned::into_inner).to_owned();
    TlsPolicy { identity, mutual, trust, min_version, max_version }
}

fn session_expires(section: &Section<'_>, default: Option<u32>) -> Option<u32> {
    // Below 90 s nobody is allowed to go (RFC 4028 §4).
    match section.duration_or_off("session_expires", Duration::from_secs(90)..=DAY) {
        None => default,
        Some(interval) => seconds(interval),
    }
}

/// What it takes. ACK, BYE and CANCEL are sent in any case, an INVITE is not (TDR-90).
fn methods(section: &Section<'_>) -> Option<Vec<Method>> {
    let methods = values(section.list("methods", method))?;
    if !methods.contains(&Method::Invite) {
        let message = format!("{}.methods lacks INVITE, so no call could reach it", section.name());
        section.findings().error(section.place("methods"), message).remedy("add it, or remove the key for the default");
    }
    Some(methods)
}

/// A method that something in this version could send.
fn method(text: &str) -> Result<Method, String> {
    const KNOWN: [Method; 9] = [
        Method::Invite,
        Method::Ack,
        Method::Cancel,
        Method::Bye,
        Method::Options,
        Method::Notify,
        Method::Info,
        Method::Update,
        Method::Prack,
    ];
    let known: Vec<&str> = KNOWN.iter().map(Method::as_str).collect();
    let found = KNOWN.iter().find(|method| method.as_str() == text).cloned();
    found.ok_or_else(|| format!("`{text}` is no method that is sent here; {}", advice(text, &known)))
}

fn seconds(duration: Option<Duration>) -> Option<u32> {
    duration.and_then(|duration| u32::try_from(duration.as_secs()).ok())
}

/// The values without their places.
fn values<T>(list: Option<Vec<Spanned<T>>>) -> Option<Vec<T>> {
    list.map(|list| list.into_iter().map(Spanned::into_inner).collect())
}

/// The names among hosts: an address is proved by its range, not by a certificate's name.
fn names_of(hosts: &[Host]) -> Vec<Arc<str>> {
    let named = hosts.iter().filter(|host| host.name.parse::<std::net::IpAddr>().is_err());
    named.map(|host| Arc::clone(&host.name)).collect()
}
