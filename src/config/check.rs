//! What keys mean together: rules of the platforms, ranges against each other, routes against trunks.
//!
//! Each function is one rule; it reads settings that are already whole and points at the key to change.

use super::defaults;
use super::finding::Findings;
use super::numbering::doubt_of;
use super::read::Draft;
use super::section::{Section, shown};
use crate::flow::{Transport, TrunkId};
use crate::number::{Number, Pattern};
use crate::routing::{CallerMatch, NumberMatch, Route};
use crate::settings::*;
use crate::sip::host_ip;
use crate::trunk::{IpVersion, Kind, Trunk};
use std::net::IpAddr;

/// Adds what it finds to `findings`.
pub(super) fn check(draft: &Draft<'_>, findings: &Findings) {
    for (trunk, section) in draft.settings.trunks.iter().zip(&draft.trunks) {
        own_name(trunk, section);
        listener(trunk, section, &draft.settings);
        timers(trunk, section, &draft.settings);
        tls(trunk, section);
        sources(trunk, section);
        hosts(trunk, section, draft, findings);
        doubts(section, "dids", trunk.dids.iter());
        version(trunk, section, &draft.settings);
    }
    overlaps(draft);
    routes(draft);
    emergency(draft);
    unused(draft, findings);
}

/// TDR-25, TDR-44: what Teams takes for the name of an SBC.
fn own_name(settings: &TrunkSettings, section: &Section<'_>) {
    let trunk = &settings.trunk;
    let place = section.place("fqdn");
    if trunk.kind != Kind::Teams {
        return;
    }
    if trunk.fqdn.len() > defaults::TEAMS_FQDN {
        let message = format!("{} is longer than the {} characters Teams takes", trunk.fqdn, defaults::TEAMS_FQDN);
        section.findings().error(place.clone(), message).remedy("choose a shorter name").rule("TDR-25");
    }
    if trunk.fqdn.ends_with(".onmicrosoft.com") {
        let message = format!("{} is below onmicrosoft.com, which Teams refuses for an SBC", trunk.fqdn);
        let remedy = "use a name below a domain of your own that the tenant has verified";
        section.findings().error(place, message).remedy(remedy).rule("TDR-25");
    }
}

/// What peers see of the listener: its port in the government clouds (TDR-18), its name behind NAT (TDR-44).
fn listener(settings: &TrunkSettings, section: &Section<'_>, all: &Settings) {
    let trunk = &settings.trunk;
    if is_government(trunk) && trunk.port != 5061 {
        let message = format!("this cloud takes port 5061 and no other, and trunk `{}` has {}", trunk.name, trunk.port);
        let remedy = "listen on tls:…:5061, or advertise a host with port 5061";
        section.findings().error(section.place("cloud"), message).remedy(remedy).rule("TDR-18");
    }
    let own = all.listeners.iter().find(|listener| trunk.listeners.contains(&listener.id));
    let address = own.and_then(|own| own.advertise.as_ref()).filter(|(host, _)| host.parse::<IpAddr>().is_ok());
    if let Some((host, _)) = address.filter(|_| trunk.kind != Kind::Generic) {
        let message = format!("{host} is advertised, and {} is what trunk `{}` will see", trunk.fqdn, trunk.name);
        let remedy = "advertise a name that leads there: the platforms verify names";
        section.findings().warning(section.place("listen"), message).remedy(remedy).rule("TDR-44");
    }
}

/// Whether it is the hub of GCC High or DoD, which have rules of their own (TDR-9, TDR-18).
pub(super) fn is_government(trunk: &Trunk) -> bool {
    trunk.kind == Kind::Teams && trunk.request_host.ends_with(".teams.microsoft.us")
}

/// Ringing ends before Genesys does (GEN-82); OPTIONS keep the pace that Teams counts (TDR-32).
fn timers(settings: &TrunkSettings, section: &Section<'_>, all: &Settings) {
    let trunk = &settings.trunk;
    let carrier = all.trunks.iter().find(|other| other.trunk.carries(trunk));
    if trunk.ring_timeout >= defaults::RING_LIMIT {
        let message = format!("ring_timeout has to stay below {}", shown(defaults::RING_LIMIT));
        let remedy = "Genesys gives the call up then, and the caller would never hear our answer";
        section.findings().error(section.place("ring_timeout"), message).remedy(remedy).rule("GEN-82");
    }
    let interval = trunk.options_interval.filter(|interval| defaults::TEAMS_OPTIONS.contains(interval));
    if let (Some(carrier), Some(_)) = (carrier, trunk.options_interval) {
        let message =
            format!("trunk `{}` is a customer's of `{}`, which alone sends OPTIONS", trunk.name, carrier.trunk.name);
        let remedy = "leave options_interval out: the customer inherits the health of its carrier";
        section.findings().warning(section.place("options_interval"), message).remedy(remedy).rule("TDR-40");
    } else if trunk.kind == Kind::Teams && interval.is_none() && carrier.is_none() {
        let (least, most) = (shown(*defaults::TEAMS_OPTIONS.start()), shown(*defaults::TEAMS_OPTIONS.end()));
        let message = format!("Teams wants OPTIONS every {least} to {most}, else it takes us for inactive");
        section.findings().warning(section.place("options_interval"), message).rule("TDR-32");
    }
    if trunk.session_expires.is_some_and(|interval| interval < trunk.min_se) {
        let message = format!("session_expires is below min_se, {} s", trunk.min_se);
        section.findings().error(section.place("session_expires"), message).remedy("raise it, or lower min_se");
    }
    if trunk.response_timeout >= trunk.ring_timeout {
        let message = "response_timeout has to stay below ring_timeout";
        section.findings().error(section.place("response_timeout"), message).rule("TDR-125");
    }
}

/// What the platforms take of transport and TLS (TDR-1, 2, 5; GEN-28, 29).
fn tls(settings: &TrunkSettings, section: &Section<'_>) {
    let (trunk, findings) = (&settings.trunk, section.findings());
    if trunk.kind == Kind::Teams && trunk.transport != Transport::Tls {
        let message = format!("Teams speaks TLS only, and trunk `{}` does not", trunk.name);
        findings.warning(section.place("transport"), message).remedy("leave transport out, but in a lab").rule("TDR-1");
    }
    let Some(policy) = &settings.tls else { return };
    match trunk.kind {
        Kind::Teams if !policy.mutual => {
            let message = "the hub proves itself by certificate, and mutual = false lets it pass without";
            findings.warning(section.place("mutual"), message).remedy("leave mutual out, but in a lab").rule("TDR-5");
        }
        Kind::Genesys if policy.mutual => {
            let message = "Genesys has no client certificate to show: its calls would all fail";
            findings.error(section.place("mutual"), message).remedy("leave mutual out").rule("GEN-29");
        }
        Kind::Teams | Kind::Genesys | Kind::Generic => {}
    }
    if trunk.kind == Kind::Genesys && policy.max_version > TlsVersion::V1_2 {
        let message = "Genesys accepts TLS 1.2 only";
        let key = if policy.min_version > TlsVersion::V1_2 { "min_tls" } else { "max_tls" };
        findings.warning(section.place(key), message).remedy("leave min_tls and max_tls out").rule("GEN-28");
    }
    if policy.mutual && trunk.expected_names.is_empty() {
        let message = format!("trunk `{}` is known by certificate, but no name is expected in it", trunk.name);
        let remedy = "list the names of its certificate: expected_names = [\"pbx.example.com\"]";
        findings.error(section.place("expected_names"), message).remedy(remedy).rule("TDR-13");
    }
}

/// Nobody is let in whose addresses are not known.
fn sources(settings: &TrunkSettings, section: &Section<'_>) {
    let (trunk, findings) = (&settings.trunk, section.findings());
    let given = section.items("sources").is_some();
    if trunk.sources.is_empty() {
        let message = format!("{}.sources is missing: no address may call as trunk `{}`", section.name(), trunk.name);
        let remedy = match trunk.kind {
            Kind::Genesys => {
                "list the SIP addresses that Genesys publishes for the region (BYOC Cloud public SIP IP addresses)"
            }
            Kind::Teams | Kind::Generic => "list its ranges: sources = [\"192.0.2.0/24\"]",
        };
        findings.error(section.place("sources"), message).remedy(remedy).rule("GEN-7");
    } else if trunk.kind == Kind::Genesys && !given {
        let message = "the addresses known for this region are not the whole list that Genesys publishes";
        let remedy = "list all of them in sources (BYOC Cloud public SIP IP addresses)";
        findings.warning(section.span(), message).remedy(remedy).rule("GEN-8");
    }
    let open = trunk.sources.iter().find(|range| range.prefix_len() == 0);
    if let Some(open) = open {
        let message = format!("{open} lets everybody call as trunk `{}`", trunk.name);
        findings.warning(section.place("sources"), message).remedy("list the ranges of the platform");
    }
}

/// A trunk of one version of IP has ranges, hosts and a listener of that version (TDR-28).
fn version(settings: &TrunkSettings, section: &Section<'_>, all: &Settings) {
    let trunk = &settings.trunk;
    let Some(version) = trunk.ip else { return };
    let findings = section.findings();
    let name = if version == IpVersion::V4 { "IPv4" } else { "IPv6" };
    if !trunk.sources.is_empty() && !trunk.sources.iter().any(|range| version.is_of(range.addr())) {
        let message = format!("trunk `{}` speaks {name}, and no range of its sources does", trunk.name);
        let remedy = format!("list its {name} ranges in sources, or correct ip");
        findings.error(section.place("ip"), message).remedy(remedy).rule("TDR-28");
    }
    for host in &trunk.hosts {
        if host_ip(&host.name).is_some_and(|address| !version.is_of(address)) {
            let message = format!("trunk `{}` speaks {name}, and its host {} does not", trunk.name, host.name);
            findings.error(section.place("ip"), message).remedy("correct hosts or ip").rule("TDR-28");
        }
    }
    let mut listeners = all.listeners.iter().filter(|listener| trunk.listeners.contains(&listener.id)).peekable();
    // A socket of all IPv6 addresses takes IPv4, too.
    let takes =
        |bind: IpAddr| version.is_of(bind) || (version == IpVersion::V4 && bind.is_ipv6() && bind.is_unspecified());
    if listeners.peek().is_some() && !listeners.any(|listener| takes(listener.bind.ip())) {
        let message = format!("trunk `{}` speaks {name}, and none of its listeners does", trunk.name);
        let remedy = match version {
            IpVersion::V4 => "listen on an IPv4 address: \"tls:0.0.0.0:5061\"",
            IpVersion::V6 => "listen on an IPv6 address: \"tls:[::]:5061\"",
        };
        findings.error(section.place("ip"), message).remedy(remedy).rule("TDR-28");
    }
}

/// Each host has to lead to an address that the trunk covers, as far as the file shows.
fn hosts(settings: &TrunkSettings, section: &Section<'_>, draft: &Draft<'_>, findings: &Findings) {
    let trunk = &settings.trunk;
    let key = if settings.next_hop.is_some() { "next_hop" } else { "hosts" };
    for host in &trunk.hosts {
        let literal: Option<IpAddr> = host.name.parse().ok();
        if literal.is_some_and(|address| !trunk.covers(address)) {
            let message = format!("{} is not in sources of trunk `{}`, so it is never dialled", host.name, trunk.name);
            findings.error(section.place(key), message).remedy(format!("add \"{}\" to sources", host.name));
        }
        let Some(addresses) = draft.settings.hosts.get(&*host.name) else { continue };
        if !addresses.is_empty() && !addresses.iter().any(|address| trunk.covers(*address)) {
            let message = format!("{} is not in sources of trunk `{}`, so it is never dialled", host.name, trunk.name);
            let place = draft.hosts.get(&*host.name).cloned().unwrap_or_else(|| section.place(key));
            findings.error(place, message).remedy(format!("add the address to {}.sources", section.name()));
        }
    }
    let reached = draft.settings.routes.iter().any(|route| route.to.contains(&trunk.id));
    if trunk.hosts.is_empty() && reached {
        let message = format!("a route leads to trunk `{}`, which has no host", trunk.name);
        findings.error(section.place("hosts"), message).remedy("name where calls go: hosts = [\"pbx.example.com\"]");
    }
}

/// Listener and source choose the TLS policy before anything else is known of a peer, so trunks that
/// share both have to share the policy (design: "Peer, then trunk").
fn overlaps(draft: &Draft<'_>) {
    let all: Vec<_> = draft.settings.trunks.iter().zip(&draft.trunks).collect();
    for (index, (later, section)) in all.iter().enumerate() {
        for (earlier, _) in all.iter().take(index) {
            let (one, other) = (&earlier.trunk, &later.trunk);
            let met = one.listeners.iter().any(|id| other.listeners.contains(id));
            let Some(range) = shared_range(one, other).filter(|_| met) else { continue };
            if earlier.tls != later.tls {
                let message = format!(
                    "{range} may call as trunk `{}` and as trunk `{}` on one listener, with different TLS policies",
                    one.name, other.name
                );
                let remedy = "give one of them a listener of its own (listen), or separate their sources";
                section.findings().error(section.place("sources"), message).remedy(remedy).rule("GEN-29");
            } else if one.fqdn == other.fqdn && one.termination_identifier == other.termination_identifier {
                let message = format!(
                    "nothing tells calls of trunk `{}` from calls of trunk `{}`: sources, listener and fqdn are the same",
                    one.name, other.name
                );
                let remedy = "give one of them a name (fqdn) or a listener of its own";
                section.findings().error(section.span(), message).remedy(remedy).rule("TDR-158");
            }
        }
    }
}

/// A range that both trunks may call from, the smaller of the two.
fn shared_range(one: &Trunk, other: &Trunk) -> Option<ipnet::IpNet> {
    one.sources.iter().find_map(|left| {
        other.sources.iter().find_map(|right| match (left.contains(right), right.contains(left)) {
            (true, _) => Some(*right),
            (_, true) => Some(*left),
            (false, false) => None,
        })
    })
}

/// Routes that never match, lead back, or send a number away from its owner.
fn routes(draft: &Draft<'_>) {
    let routes = &draft.settings.routes;
    let (emergency, trunks) = (&draft.settings.edge.emergency, &draft.settings.trunks);
    for (index, (route, section)) in routes.iter().zip(&draft.routes).enumerate() {
        let findings = section.findings();
        if let Some(earlier) = routes.iter().take(index).position(|earlier| earlier.covers(route, emergency)) {
            let message = format!("this route never matches: route {} takes all its calls", earlier + 1);
            findings.warning(section.place("number"), message).remedy("put it first, or remove it");
        }
        if route.from.is_some_and(|from| route.to.contains(&from)) {
            let message = "this route sends calls back to the trunk they come from";
            findings
                .warning(section.place("to"), message)
                .remedy("each call would take two of its lines")
                .rule("GEN-79");
        }
        let hub = |id: &TrunkId| trunks.iter().any(|trunk| trunk.trunk.id == *id && trunk.trunk.kind == Kind::Teams);
        if route.number.is_for_emergency(emergency) && route.to.iter().any(hub) {
            let message = "emergency calls never go to Teams, which has no emergency service behind it";
            let remedy = "name the trunk of a carrier in to, or take the emergency number out of this route";
            findings.error(section.place("to"), message).remedy(remedy).rule("GEN-60");
        }
        let callers = route.caller.iter().filter_map(|caller| match caller {
            CallerMatch::Pattern(pattern) => Some(pattern),
            CallerMatch::Anonymous => None,
        });
        doubts(section, "caller", callers);
        let patterns = route.number.each().filter_map(|number| match number {
            NumberMatch::Pattern(pattern) => Some(pattern),
            _ => None,
        });
        doubts(section, "number", patterns.clone());
        let mut short = patterns.clone().filter(|pattern| match pattern {
            Pattern::Exact(text) | Pattern::Prefix(text) => !text.starts_with('+'),
        });
        if short.next().is_some() && route.to.iter().any(hub) {
            let message = "Teams takes numbers with + only: calls to these short codes get 488";
            findings.warning(section.place("number"), message).remedy("name another trunk in to").rule("TDR-130");
        }
        let owner = patterns.into_iter().find_map(|pattern| trunks.iter().find(|trunk| owns(&trunk.dids, pattern)));
        if let Some(owner) = owner.filter(|owner| !route.to.contains(&owner.trunk.id)) {
            let message =
                format!("trunk `{}` owns these numbers (dids), and the route does not lead there", owner.trunk.name);
            findings.warning(section.place("to"), message).remedy("correct the pattern, to, or dids").rule("GEN-90");
        }
    }
    if draft.settings.directory.is_none() {
        let asks = routes.iter().position(|route| route.number.each().any(|number| *number == NumberMatch::Directory));
        if let Some(section) = asks.and_then(|index| draft.routes.get(index)) {
            let message = "the route asks the directory, and there is none: it refuses every call";
            section
                .findings()
                .error(section.place("number"), message)
                .remedy("name it: [directory] file = \"users.csv\"");
        }
    }
}

/// Emergency calls are refused that no emergency route takes (GEN-60): told where the operator may think otherwise,
/// because a route takes any number or because the file names emergency numbers.
fn emergency(draft: &Draft<'_>) {
    let (numbers, routes) = (&draft.settings.edge.emergency, &draft.settings.routes);
    let whole = |route: &&Route| route.is_plain() && route.number.each().any(|one| *one == NumberMatch::Emergency);
    let meant = |number: &NumberMatch| match number {
        NumberMatch::Any => true,
        NumberMatch::Pattern(pattern @ Pattern::Prefix(_)) => {
            numbers.iter().any(|own| Number::normalise(own, "").is_ok_and(|own| pattern.matches(&own)))
        }
        NumberMatch::Pattern(Pattern::Exact(_)) | NumberMatch::Directory => false,
        NumberMatch::Emergency | NumberMatch::OneOf(_) => false,
    };
    for (trunk, section) in draft.settings.trunks.iter().zip(&draft.trunks) {
        let own = |route: &&Route| route.from.is_none_or(|from| from == trunk.trunk.id);
        let mut expected = routes.iter().filter(own).any(|route| route.number.each().any(meant));
        expected |= draft.names_emergency && routes.iter().any(|route| own(&route));
        if numbers.is_empty() || !expected || routes.iter().filter(own).any(|route| whole(&route)) {
            continue;
        }
        let message = format!("emergency calls of trunk `{}` are refused where no route is for them", trunk.trunk.name);
        let remedy = format!(
            "add [[route]] with from = \"{}\", number = \"emergency\" and a carrier in to; or, if none ever come, \
             [numbers] emergency = []",
            trunk.trunk.name
        );
        section.findings().warning(section.span(), message).remedy(remedy).rule("GEN-60");
    }
}

/// Numbers that no country has: more often a slip than a plan that is not known here.
fn doubts<'p>(section: &Section<'_>, key: &str, patterns: impl Iterator<Item = &'p Pattern>) {
    for (pattern, doubt) in patterns.filter_map(|pattern| Some((pattern, doubt_of(pattern)?))) {
        let written = match pattern {
            Pattern::Exact(text) => text.to_string(),
            Pattern::Prefix(text) => format!("{text}*"),
        };
        let message = format!("{written}: {doubt}");
        section.findings().warning(section.place(key), message).remedy("look for a digit too many, too few or wrong");
    }
}

fn owns(dids: &[Pattern], pattern: &Pattern) -> bool {
    dids.iter().any(|own| own.covers(pattern))
}

/// What stands in the file and is used by nothing.
fn unused(draft: &Draft<'_>, findings: &Findings) {
    let used = |name: &str| {
        draft.settings.trunks.iter().filter_map(|trunk| trunk.tls.as_ref()).any(|tls| tls.identity == name)
    };
    for (name, section) in draft.identities.iter().filter(|(name, _)| !used(name)) {
        let remedy = format!("name it in a trunk: tls = \"{name}\"");
        findings.warning(section.span(), format!("no trunk uses the identity [tls.{name}]")).remedy(remedy);
    }
    for (trunk, section) in draft.settings.trunks.iter().zip(&draft.trunks) {
        let id = trunk.trunk.id;
        let routed = draft.settings.routes.iter().any(|route| route.from.is_none_or(|from| from == id));
        if !routed && !draft.settings.routes.is_empty() {
            let message = format!("no route takes calls of trunk `{}`: they get 404", trunk.trunk.name);
            findings
                .warning(section.span(), message)
                .remedy(format!("add [[route]] with from = \"{}\"", trunk.trunk.name));
        }
    }
}
