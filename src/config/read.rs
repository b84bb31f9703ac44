//! From the tables of the file to [`Settings`].
//!
//! One function a table, each asking for its keys and nothing else. What a single value cannot show,
//! such as ranges of two trunks that overlap, is for [`check`](super::check).

use super::defaults;
use super::route::{read_emergency, read_routes};
use super::rules;
use super::section::Section;
use super::trunk::{Around, read_trunk};
use super::value;
use crate::flow::{ListenerId, Transport, TrunkId};
use crate::number::calling_code;
use crate::settings::*;
use crate::snapshot::EdgeSettings;
use crate::trunk::Trunk;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Bounds of keys whose value is nobody's business but the operator's.
const ANY: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(7 * 86_400);

/// How long a message may be under way: below a second honest ones are lost to one lost packet.
const MESSAGE_TIMES: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);

/// Settings as read, with the places that checks point at.
pub(super) struct Draft<'a> {
    /// What was understood; a part that was not has its default, and a finding.
    pub(super) settings: Settings,
    /// The table of each trunk, in the order of the trunks.
    pub(super) trunks: Vec<Section<'a>>,
    /// The table of each identity.
    pub(super) identities: BTreeMap<String, Section<'a>>,
    /// The table of each route, in the order of the routes.
    pub(super) routes: Vec<Section<'a>>,
    /// The table of each rule.
    pub(super) rules: Vec<Section<'a>>,
    /// Whether the file names emergency numbers itself.
    pub(super) names_emergency: bool,
    /// Where each static name stands.
    pub(super) hosts: BTreeMap<String, Range<usize>>,
}

impl Draft<'_> {
    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        self.trunks
            .into_iter()
            .chain(self.identities.into_values())
            .chain(self.routes)
            .chain(self.rules)
            .for_each(Section::finish);
    }
}

/// Reads the whole file. `base` is its folder: paths in it are relative to that.
pub(super) fn read<'a>(root: Section<'a>, path: &Path, base: &Path) -> Draft<'a> {
    let edge = root.table("edge");
    if !edge.is_present() {
        root.missing("edge", "begin with a table [edge] and in it fqdn, the name that certificates and trunks know");
    }
    let fqdn = edge.parsed("fqdn", value::fqdn);
    if edge.is_present() && edge.text("fqdn").is_none() {
        edge.missing("fqdn", "name this element as certificates and trunks know it: fqdn = \"sbc1.example.com\"");
    }
    let fqdn = fqdn.map_or_else(|| "sbc.invalid".to_owned(), toml::Spanned::into_inner);
    let mut named = root.named("trunk");
    if let Some((_, first)) = named.get(MAX_TRUNKS) {
        root.findings()
            .error(first.span(), format!("more than {MAX_TRUNKS} trunks"))
            .remedy("split them over machines");
        // Each is held against all others, so the rest is not looked at.
        named.truncate(MAX_TRUNKS);
    }
    // Without the key, the default is for trunks that have no listener of their own.
    let shared = edge.items("listen").is_some() || named.iter().any(|(_, trunk)| trunk.items("listen").is_none());
    let mut listeners = if shared { read_listeners(&edge, "listen") } else { Vec::new() };
    let workers = match edge.integer("workers", 0..=256).unwrap_or(0) {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(256),
        workers => usize::try_from(workers).unwrap_or(1),
    };
    let drain_timeout = edge.duration("drain_timeout", Duration::ZERO..=*ANY.end());
    let recycle_timeout = edge.duration("recycle_timeout", ANY);
    let countries: Vec<&str> =
        named.iter().filter_map(|(_, trunk)| Some(trunk.text("country")?.into_inner())).collect();
    let (core, names_emergency) = read_edge(&edge, &root, countries);
    edge.finish();

    let identities = read_identities(&root, base);
    let shared_ids: Vec<ListenerId> = listeners.iter().map(|listener| listener.id).collect();
    let (mut trunks, mut trunk_sections) = (Vec::new(), Vec::new());
    for (index, (name, section)) in named.into_iter().enumerate() {
        let Ok(id) = u16::try_from(index).map(TrunkId) else { break };
        let own = section.items("listen").map(|_| read_listeners(&section, "listen"));
        let own = own.map(|own| own.into_iter().map(|listener| adopt(&mut listeners, listener, &section)).collect());
        let names = identities.keys().map(String::as_str).collect();
        let around = Around {
            id,
            name: name.into_inner(),
            fqdn: &fqdn,
            base,
            shared: &shared_ids,
            listeners: &listeners,
            own,
            identities: names,
        };
        if around.name.is_empty() {
            let place = section.span();
            section.findings().error(place, "a trunk without a name").remedy("give it one: [trunk.teams]");
        }
        trunks.push(read_trunk(&section, around));
        trunk_sections.push(section);
    }
    ask_carriers_only(&mut trunks, &trunk_sections);
    if trunks.is_empty() {
        let remedy = "add a table for each platform: [trunk.teams] with kind = \"teams\", [trunk.genesys] with kind = \"genesys\"";
        root.missing("trunk", remedy);
    }
    let (routes, route_sections) = read_routes(&root, &trunks);
    let (rules, rule_sections) = rules::read(&root, &trunks);
    let (hosts, host_places) = read_hosts(&root);

    let directory = root.table("directory");
    let directory_file = directory.text("file").map(|file| base.join(file.get_ref()));
    directory.finish();
    let settings = Settings {
        path: path.to_owned(),
        edge: core,
        workers: u16::try_from(workers).unwrap_or(1),
        listeners,
        identities: identities.iter().map(|(name, (files, _))| (name.clone(), files.clone())).collect(),
        trunks,
        routes,
        rules: Arc::new(rules),
        directory: directory_file,
        records: read_records(&root, base),
        http: read_http(&root),
        admin_socket: read_admin(&root, base),
        hosts,
        name_servers: read_name_servers(&root),
        log: read_log(&root),
        drain_timeout: drain_timeout.unwrap_or(defaults::DRAIN_TIMEOUT),
        recycle_timeout: recycle_timeout.unwrap_or(defaults::RECYCLE_TIMEOUT),
        connections: read_connections(&root),
    };
    refuse_database(&root);
    root.finish();
    let identities = identities.into_iter().map(|(name, (_, section))| (name, section)).collect();
    let (routes, rules) = (route_sections, rule_sections);
    Draft { settings, trunks: trunk_sections, identities, routes, rules, names_emergency, hosts: host_places }
}

/// A customer's trunk sends no OPTIONS unless the file says so: its carrier's speaks for it (TDR-40).
fn ask_carriers_only(trunks: &mut [TrunkSettings], sections: &[Section<'_>]) {
    let all: Vec<Arc<Trunk>> = trunks.iter().map(|settings| settings.trunk.clone()).collect();
    for (settings, section) in trunks.iter_mut().zip(sections) {
        if section.items("options_interval").is_none() && all.iter().any(|other| other.carries(&settings.trunk)) {
            Arc::make_mut(&mut settings.trunk).options_interval = None;
        }
    }
}

/// Settings of the element, and whether the file names emergency numbers.
fn read_edge<'a>(edge: &Section<'_>, root: &Section<'a>, mut countries: Vec<&'a str>) -> (EdgeSettings, bool) {
    let numbers = root.table("numbers");
    let country = numbers.parsed("country", |country| {
        calling_code(country).ok_or_else(|| format!("`{country}` is no country of ISO 3166; write for example \"DE\""))
    });
    countries.extend(numbers.text("country").map(toml::Spanned::into_inner));
    let emergency = read_emergency(&numbers, &countries);
    let names_emergency = numbers.items("emergency").is_some();
    numbers.finish();
    let max_calls = edge.integer("max_calls", 1..=1_000_000).unwrap_or(defaults::MAX_CALLS);
    let settings = EdgeSettings {
        product: Arc::from(concat!("Tandem/", env!("CARGO_PKG_VERSION"))),
        max_call: edge.duration("max_call", ANY).unwrap_or(defaults::MAX_CALL),
        probe_interval: edge.duration("probe_interval", ANY).unwrap_or(defaults::PROBE_INTERVAL),
        ask_timeout: edge.duration("ask_timeout", ANY).unwrap_or(defaults::ASK_TIMEOUT),
        country_code: Arc::from(country.map_or("", toml::Spanned::into_inner)),
        emergency,
        max_calls: usize::try_from(max_calls).unwrap_or(usize::MAX),
        t1: edge.duration("t1", defaults::T1_BOUNDS).unwrap_or(defaults::T1),
        observe: false,
        max_transactions: crate::transaction::MAX_TRANSACTIONS,
        ask_media: false,
        ask_load: true,
    };
    (settings, names_emergency)
}

/// The listeners of a `listen` key, numbered from 0; without the key, those of `[edge]` by default.
fn read_listeners(section: &Section<'_>, key: &'static str) -> Vec<ListenerSettings> {
    let Some(items) = section.items(key) else {
        let default = value::listener(defaults::LISTEN).into_iter();
        let listener = |(transport, bind)| ListenerSettings { id: ListenerId(0), transport, bind, advertise: None };
        return default.map(listener).collect();
    };
    let mut listeners: Vec<ListenerSettings> = Vec::new();
    for item in items {
        let id = ListenerId(u16::try_from(listeners.len()).unwrap_or(u16::MAX));
        let Some(listener) = read_listener(section, key, item, id) else { continue };
        if let Some(other) = listeners.iter().find(|other| clash(other, &listener)) {
            let message = format!("{} cannot be bound beside {} before it", listener.bind, other.bind);
            section.findings().error(item.span(), message).remedy("remove one, or choose another port");
            continue;
        }
        listeners.push(listener);
    }
    listeners
}

/// One listener: `"tls:0.0.0.0:5061"`, or a table that adds what is advertised.
fn read_listener<'a>(
    section: &Section<'a>,
    key: &'static str,
    item: &'a toml::Spanned<toml::de::DeValue<'a>>,
    id: ListenerId,
) -> Option<ListenerSettings> {
    if let Some(table) = section.inline(key, item) {
        let address = table.parsed("address", value::listener);
        if table.text("address").is_none() {
            table.missing("address", "write for example { address = \"tls:0.0.0.0:5061\", advertise = \"host:port\" }");
        }
        let advertise = table.parsed("advertise", value::advertised).map(toml::Spanned::into_inner);
        table.finish();
        let (transport, bind) = address?.into_inner();
        return Some(ListenerSettings { id, transport, bind, advertise });
    }
    let text = section.item(key, item)?;
    match value::listener(text.get_ref()) {
        Ok((transport, bind)) => Some(ListenerSettings { id, transport, bind, advertise: None }),
        Err(fault) => {
            section.findings().error(text.span(), fault);
            None
        }
    }
}

/// Whether two listeners want the same port of the same address; TLS and TCP share theirs.
fn clash(one: &ListenerSettings, other: &ListenerSettings) -> bool {
    let datagrams = |listener: &ListenerSettings| listener.transport == Transport::Udp;
    let (left, right) = (one.bind.ip(), other.bind.ip());
    let same_address =
        left == right || left.is_ipv4() == right.is_ipv4() && (left.is_unspecified() || right.is_unspecified());
    datagrams(one) == datagrams(other) && one.bind.port() == other.bind.port() && same_address
}

/// Where a listener that a trunk names stands among all; adds it when it is new.
fn adopt(listeners: &mut Vec<ListenerSettings>, wanted: ListenerSettings, section: &Section<'_>) -> ListenerId {
    let same = |other: &&mut ListenerSettings| other.transport == wanted.transport && other.bind == wanted.bind;
    if let Some(known) = listeners.iter_mut().find(same) {
        known.advertise = known.advertise.take().or(wanted.advertise);
        return known.id;
    }
    if let Some(other) = listeners.iter().find(|other| clash(other, &wanted)) {
        let message = format!("{} cannot be bound beside {}", wanted.bind, other.bind);
        section.findings().error(section.place("listen"), message).remedy("choose another port or address");
    }
    let id = ListenerId(u16::try_from(listeners.len()).unwrap_or(u16::MAX));
    listeners.push(ListenerSettings { id, ..wanted });
    id
}

fn read_identities<'a>(root: &Section<'a>, base: &Path) -> BTreeMap<String, (IdentityFiles, Section<'a>)> {
    let read = root.named("tls").into_iter().map(|(name, section)| {
        let file = |key: &'static str| match section.text(key) {
            Some(file) => base.join(file.get_ref()),
            None => {
                section.missing(key, format!("name the PEM file: {key} = \"certs/sbc1.pem\""));
                PathBuf::new()
            }
        };
        let files = IdentityFiles { certificate: file("certificate"), key: file("key") };
        (name.into_inner().to_owned(), (files, section))
    });
    read.collect()
}

type Hosts = (BTreeMap<String, SmallVec<[IpAddr; 4]>>, BTreeMap<String, Range<usize>>);

fn read_hosts(root: &Section<'_>) -> Hosts {
    let table = root.table("hosts");
    let (mut hosts, mut places) = (BTreeMap::new(), BTreeMap::new());
    for (key, item) in table.entries() {
        let name = match value::host_name(key) {
            Ok(name) => name,
            Err(fault) => {
                table.findings().error(item.span(), fault);
                continue;
            }
        };
        let items: Vec<_> = match item.get_ref() {
            toml::de::DeValue::Array(items) => items.iter().collect(),
            _ => vec![item],
        };
        let texts = items.into_iter().filter_map(|item| table.item(key, item));
        let mut addresses = SmallVec::new();
        for text in texts {
            match value::address(text.get_ref()) {
                Ok(address) => addresses.push(address),
                Err(fault) => {
                    table.findings().error(text.span(), fault);
                }
            }
        }
        places.insert(name.clone(), item.span());
        hosts.insert(name, addresses);
    }
    (hosts, places)
}

fn read_records(root: &Section<'_>, base: &Path) -> Option<RecordSettings> {
    let records = root.table("records");
    let path = records.text("path").map(|path| base.join(path.get_ref()));
    if records.is_present() && path.is_none() {
        records.missing("path", "name the file: path = \"var/calls.jsonl\"");
    }
    let words = [("full", RecordNumbers::Full), ("pseudonym", RecordNumbers::Pseudonym)];
    let numbers = records.choice("numbers", &words).unwrap_or(RecordNumbers::Full);
    let refused = records.flag("refused").unwrap_or(true);
    records.finish();
    path.map(|path| RecordSettings { path, numbers, refused })
}

fn read_http(root: &Section<'_>) -> Option<SocketAddr> {
    let http = root.table("http");
    let listen = http.parsed("listen", |text| value::socket_address(text, 8080));
    if http.is_present() && http.text("listen").is_none() {
        http.missing("listen", "write for example listen = \"127.0.0.1:8080\", or remove the table");
    }
    http.finish();
    let listen = listen?;
    if !listen.get_ref().ip().is_loopback() {
        let message = format!("{} is not a loopback address", listen.get_ref());
        let remedy = "these pages have no password: listen on 127.0.0.1 and put a proxy with one in front";
        root.findings().error(listen.span(), message).remedy(remedy);
    }
    Some(listen.into_inner())
}

/// Where `tandem status` asks, from [admin].
pub(super) fn read_admin(root: &Section<'_>, base: &Path) -> PathBuf {
    let admin = root.table("admin");
    let socket = base.join(admin.text("socket").map_or(defaults::ADMIN_SOCKET, toml::Spanned::into_inner));
    if socket.as_os_str().len() > defaults::SOCKET_PATH {
        let message = format!("{} is too long for a local socket", socket.display());
        let remedy = format!("choose a path of at most {} octets in [admin] socket", defaults::SOCKET_PATH);
        root.findings().error(admin.place("socket"), message).remedy(remedy);
    }
    admin.finish();
    socket
}

fn read_name_servers(root: &Section<'_>) -> Vec<SocketAddr> {
    let dns = root.table("dns");
    let servers = dns.list("servers", |text| value::socket_address(text, 53)).unwrap_or_default();
    dns.finish();
    servers.into_iter().map(toml::Spanned::into_inner).collect()
}

fn read_log(root: &Section<'_>) -> LogSettings {
    let log = root.table("log");
    let json = log.choice("format", &[("text", false), ("json", true)]).unwrap_or(false);
    // As the log reads it.
    let filter = log.parsed("filter", |text| match tracing_subscriber::EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            Err(format!("`{text}` is no filter ({error}); write for example \"info,tandem::transport=debug\""))
        }
    });
    log.finish();
    LogSettings { json, filter: filter.map_or_else(|| defaults::LOG_FILTER.to_owned(), toml::Spanned::into_inner) }
}

fn read_connections(root: &Section<'_>) -> ConnectionSettings {
    let section = root.table("connections");
    let count =
        |key, bounds, default| usize::try_from(section.integer(key, bounds).unwrap_or(default)).unwrap_or(usize::MAX);
    let settings = ConnectionSettings {
        connect_timeout: section.duration("connect_timeout", ANY).unwrap_or(defaults::CONNECT_TIMEOUT),
        handshake_timeout: section.duration("handshake_timeout", ANY).unwrap_or(defaults::HANDSHAKE_TIMEOUT),
        max_handshakes: count("max_handshakes", 1..=100_000, defaults::MAX_HANDSHAKES),
        max_connections: count("max_connections", 1..=1_000_000, defaults::MAX_CONNECTIONS),
        // A message may be 64 KiB long: less room than two of them cuts honest peers.
        write_queue: count("write_queue", 128 << 10..=1 << 30, defaults::WRITE_QUEUE),
        message_timeout: section.duration("message_timeout", MESSAGE_TIMES).unwrap_or(defaults::MESSAGE_TIMEOUT),
        keepalive: section.duration("keepalive", ANY).unwrap_or(defaults::KEEPALIVE),
        pong_timeout: section.duration_or_off("pong_timeout", ANY).unwrap_or(Some(defaults::PONG_TIMEOUT)),
        idle_timeout: section.duration("idle_timeout", ANY).unwrap_or(defaults::IDLE_TIMEOUT),
        dscp: section.integer("dscp", 0..=63).and_then(|dscp| u8::try_from(dscp).ok()).unwrap_or(defaults::DSCP),
    };
    section.finish();
    settings
}

/// A key that would be read and not obeyed is worse than one that is refused.
fn refuse_database(root: &Section<'_>) {
    let database = root.table("database");
    if database.is_present() {
        let remedy = "remove the table: the directory comes from [directory] file, calls are kept in memory";
        root.findings().error(database.span(), "this version has no database yet").remedy(remedy);
    }
    // Its keys are known, so that the one finding is the only one.
    database.text("url");
    database.finish();
}
