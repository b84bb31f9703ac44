//! The file as a whole: each key has an effect, each fault a finding at its place.

use super::*;
use crate::flow::{ListenerId, Transport, TrunkId};
use crate::number::Pattern;
use crate::routing::{CallerMatch, HeaderTest, NumberMatch};
use crate::sip::Method;
use crate::trunk::{EarlyMedia, Kind, RequestUriHost, Termination, Trunk};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, RsaKeySize};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

mod findings;
mod policy;
mod proof;
mod reload;
mod routing;
mod rules;

/// An RSA key takes long to make and serves every test.
fn rsa() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap())
}

fn authority() -> &'static (KeyPair, CertificateParams) {
    static AUTHORITY: OnceLock<(KeyPair, CertificateParams)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Lab CA");
        (KeyPair::generate().unwrap(), params)
    })
}

/// A leaf for sbc1.example.com, both usages, valid for long.
fn leaf() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["sbc1.example.com".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "sbc1.example.com");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A folder with `ca.pem`, `sbc.pem` and `sbc.key`.
fn folder_with(params: &CertificateParams, key: &KeyPair) -> TempDir {
    let folder = TempDir::new().unwrap();
    let (authority_key, authority) = authority();
    let issuer = rcgen::Issuer::from_params(authority, authority_key);
    let signed = params.signed_by(key, &issuer).unwrap();
    let root = authority.self_signed(authority_key).unwrap();
    write(&folder, "ca.pem", &root.pem());
    write(&folder, "sbc.pem", &signed.pem());
    write(&folder, "sbc.key", &key.serialize_pem());
    folder
}

fn write(folder: &TempDir, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A lab with both platforms; the tests change a word of it.
const LAB: &str = r#"
[edge]
fqdn = "sbc1.example.com"
workers = 2
listen = ["tls:127.0.0.1:5061"]

[tls.public]
certificate = "sbc.pem"
key = "sbc.key"

[trunk.teams]
kind = "teams"
tls = "public"
trust = "ca.pem"

[trunk.genesys]
kind = "genesys"
region = "eu-central-1"
termination = "acme-sbc"
tls = "public"
trust = "ca.pem"
sources = ["127.0.0.21"]
dids = ["+4969123*"]

[[route]]
from = "genesys"
to = ["teams"]

[[route]]
from = "teams"
number = "+4969123*"
to = ["genesys"]

[numbers]
emergency = []
"#;

/// The lab with lines added to a table, for the tests of other files.
pub(super) fn lab_with(table: &str, lines: &str) -> Settings {
    settings(&with(table, lines))
}

/// Loads `text` beside an RSA identity that nothing is wrong with.
fn loaded(text: &str) -> Result<Loaded, Vec<Finding>> {
    loaded_in(&folder_with(&leaf(), rsa()), text)
}

fn loaded_in(folder: &TempDir, text: &str) -> Result<Loaded, Vec<Finding>> {
    write(folder, "tandem.toml", text);
    load(&folder.path().join("tandem.toml"))
}

/// [`LAB`] with one text in place of another.
fn changed(from: &str, to: &str) -> String {
    assert!(LAB.contains(from), "{from}");
    LAB.replacen(from, to, 1)
}

/// [`LAB`] with lines added to a table.
fn with(table: &str, lines: &str) -> String {
    let heading = format!("[{table}]\n");
    if LAB.contains(&heading) {
        changed(&heading, &format!("{heading}{lines}\n"))
    } else {
        format!("{LAB}\n[{table}]\n{lines}\n")
    }
}

/// The lab with another route behind its own.
fn with_route(lines: &str) -> String {
    changed("[numbers]", &format!("[[route]]\n{lines}\n\n[numbers]"))
}

fn settings(text: &str) -> Settings {
    loaded(text).unwrap_or_else(|findings| panic!("{}", lines(&findings))).settings
}

fn trunk(settings: &Settings, name: &str) -> Trunk {
    let found = settings.trunks.iter().find(|trunk| &*trunk.trunk.name == name);
    (*found.unwrap().trunk).clone()
}

fn teams(lines: &str) -> Trunk {
    trunk(&settings(&with("trunk.teams", lines)), "teams")
}

fn policy(settings: &Settings, name: &str) -> TlsPolicy {
    let found = settings.trunks.iter().find(|trunk| &*trunk.trunk.name == name);
    found.unwrap().tls.clone().unwrap()
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// Everything found in `text`, whether it loads or not.
fn found(text: &str) -> Vec<Finding> {
    loaded(text).map_or_else(|findings| findings, |loaded| loaded.warnings)
}

/// Asserts that `text` has a finding of this severity, rule and words, on the line that has `line` in it.
#[track_caller]
fn assert_found(text: &str, severity: Severity, rule: Option<&str>, words: &str, line: &str) {
    assert_found_in(&found(text), severity, rule, words, line);
}

#[track_caller]
fn assert_found_in(all: &[Finding], severity: Severity, rule: Option<&str>, words: &str, line: &str) {
    let fits = |finding: &&Finding| {
        finding.severity == severity && finding.rule == rule && finding.to_string().contains(words)
    };
    let Some(finding) = all.iter().find(fits) else { panic!("no `{words}` in\n{}", lines(all)) };
    let (number, _) = finding.position().unwrap();
    let text = finding.source.text.lines().nth(number - 1).unwrap();
    assert!(text.contains(line), "line {number}, `{text}`, has no `{line}`");
}

#[track_caller]
fn assert_error(text: &str, words: &str, line: &str) {
    assert_found(text, Severity::Error, None, words, line);
}

#[test]
fn the_lab_loads_without_a_finding() {
    let loaded = loaded(LAB).unwrap_or_else(|findings| panic!("{}", lines(&findings)));
    assert_eq!(lines(&loaded.warnings), "");
    let settings = loaded.settings;
    assert_eq!((settings.workers, settings.trunks.len(), settings.routes.len()), (2, 2, 2));
    assert_eq!(settings.trunks[0].trunk.id, TrunkId(0), "trunks are numbered in the order of the file");
    assert_eq!(&*settings.trunks[0].trunk.name, "teams");
    assert_eq!(settings.edge.max_call, Duration::from_secs(12 * 3600));
    assert!(settings.directory.is_none() && settings.records.is_none() && settings.http.is_none());
}

#[test]
fn the_shipped_configuration_is_complete_and_loads() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("config/tandem.toml")).unwrap();
    let folder = folder_with(&leaf(), rsa());
    fs::create_dir(folder.path().join("certs")).unwrap();
    fs::copy(folder.path().join("sbc.pem"), folder.path().join("certs/sbc1.pem")).unwrap();
    fs::copy(folder.path().join("sbc.key"), folder.path().join("certs/sbc1.key")).unwrap();
    fs::copy(root.join("config/users.csv"), folder.path().join("users.csv")).unwrap();
    let all = loaded_in(&folder, &text).map_or_else(|findings| findings, |loaded| loaded.warnings);
    let words = "does not lead to a root that is known here";
    assert_found_in(&all, Severity::Warning, Some("GEN-30"), words, "certificate");
    let beside_trust = all.iter().filter(|finding| !matches!(finding.rule, Some("TDR-9" | "GEN-30" | "TDR-11")));
    assert_eq!(lines(&beside_trust.cloned().collect::<Vec<_>>()), "", "the lab's CA is all that is wrong");
    let users = directory_file::read(&folder.path().join("users.csv"), "49").unwrap();
    assert_eq!((users.directory.len(), users.findings.len()), (3, 0));

    // Everything that the code asks for, seen with every table present.
    let everything = format!(
        "{LAB}\n[trunk.other]\nkind = \"generic\"\n[directory]\n[records]\n[http]\n[admin]\n[log]\n[dns]\n[connections]\n\
         [[rule]]\ndirection = \"in\"\nadd = \"A\"\n[[rule]]\nreplace = \"A\"\n[[rule]]\nrename = \"A\"\nwhen = {{}}\n"
    );
    let source = Arc::new(Source { path: "t".into(), text: everything.replace("[\"tls:127.0.0.1:5061\"]", "[{}]") });
    let findings = Findings::new(Arc::clone(&source));
    let table = DeTable::parse(&source.text).unwrap();
    read::read(Section::root(table.get_ref(), &findings), Path::new("t"), Path::new("")).finish();
    let asked: Vec<String> = findings.asked.borrow().iter().cloned().collect();
    let keys: Vec<&String> = asked.iter().filter(|key| !key.starts_with("database")).collect();
    let shown = |key: &str| {
        let last = key.rsplit('.').next().unwrap();
        text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ', '[']);
            line.starts_with(&format!("{last} ="))
                || line.starts_with(&format!("{last}."))
                || line.starts_with(&format!("{last}]"))
        }) || text.contains(&format!("{last} = "))
    };
    for key in &keys {
        assert!(shown(key), "config/tandem.toml does not show {key}");
    }
    assert!(keys.len() > 70, "{keys:#?}");
}

#[test]
fn each_key_of_the_edge_has_its_effect() {
    let edge = |lines: &str| settings(&with("edge", lines));
    assert_eq!(edge("max_call = \"1 h\"").edge.max_call, Duration::from_secs(3600));
    assert_eq!(edge("probe_interval = \"5 min\"").edge.probe_interval, Duration::from_secs(300));
    assert_eq!(edge("ask_timeout = \"1 s\"").edge.ask_timeout, Duration::from_secs(1));
    assert_eq!(edge("max_calls = 7").edge.max_calls, 7);
    assert_eq!(edge("t1 = \"100ms\"").edge.t1, Duration::from_millis(100));
    assert_eq!(edge("drain_timeout = \"0 s\"").drain_timeout, Duration::ZERO);
    assert_eq!(edge("recycle_timeout = \"10 s\"").recycle_timeout, Duration::from_secs(10));
    assert!(settings(&changed("workers = 2", "workers = 0")).workers >= 1);
    let two = settings(&changed("[\"tls:127.0.0.1:5061\"]", "[\"tls:127.0.0.1:5061\", \"udp:127.0.0.1:5060\"]"));
    assert_eq!(two.listeners[1].transport, Transport::Udp);
    assert_eq!(two.listeners[1].id, ListenerId(1));
    let advertised = "[{ address = \"tls:127.0.0.1:5061\", advertise = \"edge.example.com:5067\" }]";
    let text = changed("[\"tls:127.0.0.1:5061\"]", advertised)
        .replace("trust = \"ca.pem\"", "trust = \"ca.pem\"\nfqdn = \"sbc1.example.com\"");
    let behind = settings(&text);
    assert_eq!(behind.listeners[0].advertise, Some(("edge.example.com".to_owned(), 5067)));
    assert_eq!(trunk(&behind, "teams").port, 5067, "TDR-53: the port peers see");
    assert_eq!(&*trunk(&settings(LAB), "teams").fqdn, "sbc1.example.com");
}

#[test]
fn each_key_of_a_trunk_has_its_effect() {
    assert_eq!(teams("").hosts.len(), 3, "TDR-17");
    assert_eq!(teams("hosts = [\"hub.example.com:5070\"]").hosts[0].port, Some(5070));
    assert_eq!(&*teams("hosts = [\"hub.example.com:5070\"]").request_host, "sip.pstnhub.microsoft.com", "TDR-49");
    assert_eq!(teams("").request_uri_host, RequestUriHost::First, "TDR-49");
    assert!(teams("").sbc.is_some() && teams("x_ms_sbc = false").sbc.is_none(), "TDR-61");
    assert_eq!(teams("request_uri_host = \"dialled\"").request_uri_host, RequestUriHost::Dialled, "TDR-49");
    let both = "request_uri_host = \"dialled\"\nnext_hop = \"sip.pstnhub.microsoft.com\"";
    let place = "request_uri_host";
    assert_found(&with("trunk.teams", both), Severity::Error, Some("TDR-49"), "would name the next hop", place);
    assert_error(&with("trunk.genesys", "request_uri_host = \"first\""), "request_uri_host", "request_uri_host");
    let hop = settings(&with("trunk.teams", "next_hop = \"proxy.example.com:5062\""));
    assert_eq!(hop.trunks[0].next_hop.as_deref(), Some("proxy.example.com"));
    assert_eq!(trunk(&hop, "teams").hosts.len(), 1, "GEN-6");
    assert_eq!(&*teams("suffixes = [\"*.example.net\"]").suffixes[0], "example.net");
    assert_eq!(teams("sources = [\"127.0.0.11\"]").sources[0].to_string(), "127.0.0.11/32");
    assert_eq!(&*teams("expected_names = [\"hub.example.com\"]").expected_names[0], "hub.example.com");
    assert_eq!(teams("methods = [\"INVITE\", \"UPDATE\"]").methods, [Method::Invite, Method::Update]);
    assert_eq!(teams("session_expires = \"off\"").session_expires, None);
    assert_eq!(teams("session_expires = \"1 h\"").session_expires, Some(3600));
    assert_eq!(teams("min_se = \"120 s\"").min_se, 120);
    assert_eq!(teams("early_media = \"first\"").early_media, EarlyMedia::First);
    assert_eq!(teams("ring_timeout = \"30 s\"").ring_timeout, Duration::from_secs(30));
    assert_eq!(teams("response_timeout = \"2 s\"").response_timeout, Duration::from_secs(2));
    assert_eq!(teams("options_interval = \"90 s\"").options_interval, Some(Duration::from_secs(90)));
    assert_eq!(teams("options_interval = \"off\"").options_interval, None);
    let limited = teams("limits = { calls = 5, calls_per_second = 2 }");
    assert_eq!((limited.max_calls, limited.max_call_rate), (Some(5), Some(2)));
    assert!(!teams("mutual = false").mutual && teams("").mutual, "TDR-5");
    assert_eq!(&*teams("cloud = \"gcc-high\"").hosts[0].name, "sip.pstnhub.gov.teams.microsoft.us", "TDR-18");
    assert_eq!(teams("").listeners, [ListenerId(0)]);
    let own = settings(&with("trunk.teams", "listen = [\"tls:127.0.0.1:5067\"]"));
    assert_eq!((trunk(&own, "teams").listeners, trunk(&own, "teams").port), (vec![ListenerId(1)], 5067));
    assert_eq!(trunk(&own, "genesys").listeners, [ListenerId(0)], "nobody else calls there");
    assert_eq!(settings(LAB).trunks[1].dids, [Pattern::parse("+4969123*").unwrap()]);
    let named = with("trunk.teams", "fqdn = \"sbc2.example.com\"");
    assert!(
        found(&named).iter().any(|finding| finding.message.contains("sbc2.example.com")),
        "the name that certificates need"
    );
}

#[test]
fn a_trunk_takes_calls_whatever_else_it_takes() {
    let methods = |list: &str| with("trunk.teams", &format!("methods = [{list}]"));
    assert_error(&methods(""), "methods lacks INVITE", "methods");
    assert_error(&methods("\"OPTIONS\""), "methods lacks INVITE", "methods");
}

#[test]
fn each_key_of_tls_has_its_effect() {
    let lab = settings(LAB);
    let (hub, genesys) = (policy(&lab, "teams"), policy(&lab, "genesys"));
    assert!(hub.mutual && !genesys.mutual, "TDR-5, GEN-29");
    assert_eq!((hub.max_version, genesys.max_version), (TlsVersion::V1_3, TlsVersion::V1_2), "TDR-2, GEN-28");
    let Trust::Files(files) = &hub.trust else { panic!("{:?}", hub.trust) };
    assert!(files[0].ends_with("ca.pem") && files[0].is_absolute(), "paths are relative to the file's folder");
    assert!(lab.identities["public"].certificate.ends_with("sbc.pem"));
    assert!(lab.identities["public"].key.ends_with("sbc.key"));
    let newest = settings(&with("trunk.teams", "min_tls = \"1.3\""));
    assert_eq!(policy(&newest, "teams").min_version, TlsVersion::V1_3);
    let oldest = settings(&with("trunk.teams", "max_tls = \"1.2\""));
    assert_eq!(policy(&oldest, "teams").max_version, TlsVersion::V1_2);
    assert_error(&with("trunk.teams", "min_tls = \"1.3\"\nmax_tls = \"1.2\""), "min_tls is above max_tls", "min_tls");
}

#[test]
fn each_key_of_a_genesys_trunk_has_its_effect() {
    let genesys = |lines: &str| trunk(&settings(&with("trunk.genesys", lines)), "genesys");
    assert_eq!(&*genesys("").request_host, "acme-sbc.byoc.mypurecloud.de", "GEN-9");
    assert_eq!(&*genesys("generation = \"dynamic\"").request_host, "acme-sbc.byoc.euc1.genesys.cloud", "GEN-9");
    let tgrp = genesys("termination_form = \"tgrp\"");
    assert_eq!((tgrp.termination, &*tgrp.termination_identifier), (Termination::Tgrp, "acme-sbc"), "GEN-14");
    assert_eq!(genesys("termination_form = \"dnis\"").termination, Termination::Dnis, "GEN-15");
    let own = genesys("domain = \"byoc.example.net\"");
    assert_eq!((&*own.request_host, &*own.hosts[0].name), ("acme-sbc.byoc.example.net", "acme-sbc.byoc.example.net"));
    assert!(own.expected_names.iter().any(|name| &**name == "voice.mypurecloud.de"), "GEN-33");
    let text = changed("region = \"eu-central-1\"", "domain = \"byoc.example.net\"");
    assert_eq!(trunk(&settings(&text), "genesys").suffixes.len(), 1, "a domain alone is enough");
    assert_found(
        &changed("eu-central-1", "eu-centrl-1"),
        Severity::Error,
        Some("GEN-9"),
        "did you mean `eu-central-1`?",
        "region",
    );
    assert_error(&changed("region = \"eu-central-1\"\n", ""), "trunk.genesys.region is missing", "[trunk.genesys]");
    assert_error(
        &changed("termination = \"acme-sbc\"\n", ""),
        "trunk.genesys.termination is missing",
        "[trunk.genesys]",
    );
    assert_found(
        &changed("\"acme-sbc\"", "\"acme sbc\""),
        Severity::Error,
        Some("GEN-12"),
        "no termination identifier",
        "termination",
    );
}

#[test]
fn a_generic_trunk_says_everything_itself() {
    let text = format!(
        "{}\n[trunk.carrier]\nkind = \"generic\"\ntransport = \"udp\"\nhosts = [\"sip.example.net\"]\nsources = [\"198.51.100.0/24\"]\n[[route]]\nto = [\"carrier\"]\n",
        changed("[\"tls:127.0.0.1:5061\"]", "[\"tls:127.0.0.1:5061\", \"udp:127.0.0.1:5060\"]")
    );
    let settings = settings(&text);
    let carrier = trunk(&settings, "carrier");
    assert_eq!((carrier.kind, carrier.transport, carrier.port), (Kind::Generic, Transport::Udp, 5060));
    assert_eq!((&*carrier.request_host, carrier.mutual), ("sip.example.net", false));
    assert!(settings.trunks[2].tls.is_none());
    assert_error(&text.replace("udp\"\nhosts", "udp\"\ntrust = \"ca.pem\"\nhosts"), "has no effect over udp", "trust");
    assert_error(&text.replace("\"sip.example.net\"", ""), "which has no host", "hosts");
}

#[test]
fn each_key_of_the_other_tables_has_its_effect() {
    let one = |table: &str, lines: &str| settings(&with(table, lines));
    assert_eq!(&*one("numbers", "country = \"de\"").edge.country_code, "49");
    assert!(one("directory", "file = \"users.csv\"").directory.unwrap().ends_with("users.csv"));
    let records = one("records", "path = \"calls.jsonl\"\nnumbers = \"pseudonym\"").records.unwrap();
    assert_eq!(records.numbers, RecordNumbers::Pseudonym);
    assert!(records.path.ends_with("calls.jsonl") && records.refused);
    assert!(!one("records", "path = \"calls.jsonl\"\nrefused = false").records.unwrap().refused);
    assert_eq!(one("http", "listen = \"127.0.0.1:8081\"").http, "127.0.0.1:8081".parse().ok());
    assert!(one("admin", "socket = \"t.sock\"").admin_socket.ends_with("t.sock"));
    let log = one("log", "format = \"json\"\nfilter = \"debug\"").log;
    assert_eq!(log, LogSettings { json: true, filter: "debug".to_owned() });
    assert_eq!(one("dns", "servers = [\"127.0.0.1:5353\", \"127.0.0.2\"]").name_servers[1].port(), 53);
    let hosts = one("hosts", "\"Pbx.example.com\" = \"127.0.0.3\"\nother = [\"::1\", \"127.0.0.4\"]").hosts;
    assert_eq!((hosts["pbx.example.com"].len(), hosts["other"].len()), (1, 2));
    let connections = |line: &str| one("connections", line).connections;
    assert_eq!(connections("connect_timeout = \"1 s\"").connect_timeout, Duration::from_secs(1));
    assert_eq!(connections("handshake_timeout = \"1 s\"").handshake_timeout, Duration::from_secs(1));
    assert_eq!(connections("message_timeout = \"1 s\"").message_timeout, Duration::from_secs(1));
    assert_eq!(connections("keepalive = \"1 s\"").keepalive, Duration::from_secs(1));
    assert_eq!(connections("pong_timeout = \"1 s\"").pong_timeout, Some(Duration::from_secs(1)));
    assert_eq!(connections("pong_timeout = \"off\"").pong_timeout, None);
    assert_eq!((connections("").dscp, connections("dscp = 46").dscp), (24, 46), "GEN-53");
    assert_eq!(connections("idle_timeout = \"1 s\"").idle_timeout, Duration::from_secs(1));
    assert_eq!(connections("max_handshakes = 3").max_handshakes, 3);
    assert_eq!(connections("max_connections = 3").max_connections, 3);
    assert_eq!(connections("write_queue = 200000").write_queue, 200_000);
}

#[test]
fn every_fault_is_found_at_once_and_in_order() {
    let text = "[edge]\nfqdn = \"192.0.2.1\"\nlisten = [\"tls:nowhere\"]\nworker = 1\n[http]\nlisten = \"0.0.0.0:80\"\n[trunk.x]\nkind = \"teems\"\n";
    let all = loaded(text).unwrap_err();
    let at: Vec<usize> = all.iter().filter_map(Finding::position).map(|(line, _)| line).collect();
    assert!(at.is_sorted(), "{at:?}");
    for words in [
        "is an address",
        "no listener; write",
        "did you mean `workers`?",
        "not a loopback",
        "did you mean `teams`?",
        "tls is missing",
        "route is missing",
    ] {
        assert!(all.iter().any(|finding| finding.to_string().contains(words)), "no `{words}` in\n{}", lines(&all));
    }
}

#[test]
fn a_filter_that_the_log_would_refuse_at_the_start_is_found() {
    assert_error(&format!("{LAB}[log]\nfilter = \"(((\"\n"), "is no filter", "filter");
    settings(&format!("{LAB}[log]\nfilter = \"info,tandem::transport=debug,[{{call=1}}]=trace\"\n"));
}

#[test]
fn what_is_not_toml_is_reported_with_its_line() {
    let all = loaded("[edge]\nfqdn = \nx = 1 2\n").unwrap_err();
    let at: Vec<usize> = all.iter().filter_map(Finding::position).map(|(line, _)| line).collect();
    assert_eq!(at, [2, 3], "{}", lines(&all));
    assert!(load(Path::new("/nonexistent/tandem.toml")).unwrap_err()[0].message.contains("cannot be read"));
    assert_error("# nothing\n", "edge is missing", "# nothing");
}

#[test]
fn a_file_in_another_encoding_is_told_with_its_line_and_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("tandem.toml");
    std::fs::write(&path, b"[edge]\n# M\xfcnchen\n").unwrap();
    let found = load(&path).unwrap_err();
    let line = found[0].to_string();
    assert!(line.contains("line 2 is not UTF-8") && line.contains("save it as UTF-8"), "{line}");
}

#[test]
fn findings_without_number_are_told_as_far_as_they_are_of_use() {
    let route = |number: usize| format!("[[route]]\nto = [\"nobody\"]\nnumber = \"x{number}\"\n");
    let all = found(&format!("{LAB}\n{}", (0..2000).map(route).collect::<String>()));
    assert_eq!(all.len(), 501);
    assert!(all.is_sorted_by_key(|finding| finding.span.as_ref().map_or(usize::MAX, |span| span.start)));
    assert!(all[500].severity == Severity::Error && all[500].message.ends_with("more findings are not shown"));
    let long = found(&with_route(&format!("to = [\"{}\"]", "ä".repeat(1_000_000))));
    assert!(long.iter().all(|finding| finding.message.len() < 1000), "a text without end is not repeated");
}

#[test]
fn of_trunks_without_number_the_first_thousand_are_looked_at() {
    let trunk = |number: usize| {
        format!(
            "[trunk.c{number}]\nkind = \"generic\"\nsources = [\"10.0.{}.{}\"]\ntls = \"public\"\n",
            number >> 8,
            number & 255
        )
    };
    let all = found(&format!("{LAB}\n{}", (0..20_000).map(trunk).collect::<String>()));
    assert!(all.iter().any(|finding| finding.message == "more than 1024 trunks"), "{}", lines(&all));
}

#[test]
fn what_stands_twice_is_told_with_a_remedy() {
    let found = settle(Source { path: "t.toml".into(), text: "[trunk.a]\n[trunk.a]\n".into() }, 0).unwrap_err();
    assert!(found[0].to_string().contains("t.toml:2:8") && found[0].remedy.is_some(), "{found:?}");
}
