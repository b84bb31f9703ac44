//! `tandem probe`: one host called as a trunk would call it, and what came of each step (TDR-16).

use super::{ConfigurationFile, complain, exit};
use crate::config::{self, Settings, TrunkSettings};
use crate::flow::{Transport, TrunkId};
use crate::health;
use crate::identifier::Minter;
use crate::sip::Uri;
use crate::transport::{CertificateFacts, Counters, ProbeFailure, ProbeTarget, ProbeTls, Probed, Resolver, probe};
use crate::trunk::diagnosis::{Symptom, diagnosis};
use crate::trunk::{Kind, Trunk, platforms};
use bytes::Bytes;
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What the longest help says after the options.
const ENDPOINTS: &str = "\
Endpoints of Microsoft for tests of TLS and OPTIONS, never for calls:
  sip.mspki.pstnhub.microsoft.com:5061                 certificates of the change of 2023
  sip.g1.pstnhub.microsoft.com:5061                    certificates of the change of 2026
  x.sip.pstnhub.infra.gov.teams.microsoft.us:5061      GCC High
  x.sip.pstnhub.infra.dod.teams.microsoft.us:5061      DoD

Exit codes:
  0   the host counts as up
  64  the arguments are wrong
  68  the name did not resolve
  69  no connection, or a status that counts as down
  75  no answer to OPTIONS
  76  the handshake failed, or the answer is no SIP
  77  one side does not trust or permit the other
  78  the configuration is wrong";

/// Whom to call, and as whom.
#[derive(clap::Args, Debug)]
#[command(after_long_help = ENDPOINTS)]
pub(super) struct Arguments {
    /// Name or address, with or without a port.
    #[arg(value_name = "HOST[:PORT]", value_parser = host_and_port)]
    host: Host,
    /// Call as this trunk does: its identity, trust, transport, and what it lets us dial. Without it: over
    /// TLS, trusting what the system trusts, and without a certificate.
    #[arg(short, long, value_name = "NAME")]
    trunk: Option<String>,
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// How long each step may take.
    #[arg(long, value_name = "TIME", default_value = "10 s", value_parser = length_of_time)]
    timeout: Duration,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// A host as it was written.
#[derive(Clone, Debug)]
struct Host {
    name: String,
    port: Option<u16>,
}

fn host_and_port(text: &str) -> Result<Host, String> {
    let whole = format!("sip:{text}");
    let uri = Uri::parse(&whole).ok().filter(|uri| uri.user().is_none() && !text.contains([';', '?']));
    let uri = uri.ok_or_else(|| "write a host such as sip.example.com or sip.example.com:5061".to_owned())?;
    Ok(Host { name: uri.host().to_owned(), port: uri.port() })
}

fn length_of_time(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().and_then(|duration: jiff::SignedDuration| Duration::try_from(duration).ok());
    let bounds = Duration::from_millis(1)..=Duration::from_secs(600);
    let within = parsed.filter(|duration| bounds.contains(duration));
    within.ok_or_else(|| "write a length of time up to 10 min, such as \"5 s\" or \"500ms\"".to_owned())
}

/// Calls, shows what was found and what to do, and tells by the exit code.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let settings = match settings(arguments) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let trunk = match (&settings, &arguments.trunk) {
        (Some(settings), Some(name)) => match settings.trunks.iter().find(|own| *own.trunk.name == **name) {
            Some(trunk) => Some((settings, trunk)),
            None => {
                let known: Vec<&str> = settings.trunks.iter().map(|own| &*own.trunk.name).collect();
                let remedy = format!("known: {}", known.join(", "));
                return complain(exit::USAGE, &format!("no trunk is called {name}"), &remedy);
            }
        },
        _ => None,
    };
    let target = match target(arguments, trunk) {
        Ok(target) => target,
        Err(error) => return complain(exit::CONFIGURATION, &error, "tandem check says what is wrong with it"),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(exit::SYSTEM, &error, "the system gives no threads; look at its limits"),
    };
    let mut found = Probed::default();
    let outcome = runtime.block_on(call(&target, settings.as_ref(), &mut found));
    // A question to the DNS that nobody waits for must not hold up the end.
    runtime.shutdown_background();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            return complain(exit::SYSTEM, &error, "the system's DNS configuration or randomness is not usable");
        }
    };
    let verdict = Verdict::of(&target, &found, outcome.err());
    if arguments.json {
        say!("{:#}", as_json(&target, &found, &verdict));
    } else {
        super::print(&text(&target, &found));
        if let Some(what) = &verdict.what {
            return complain(verdict.code, &format!("{}: {what}", verdict.step), &verdict.remedy);
        }
    }
    verdict.code.into()
}

/// The configuration, when a trunk of it is meant.
fn settings(arguments: &Arguments) -> Result<Option<Settings>, ExitCode> {
    if arguments.trunk.is_none() {
        return Ok(None);
    }
    let path = &arguments.configuration.config;
    config::load(path).map(|loaded| Some(loaded.settings)).map_err(|findings| {
        for finding in findings {
            tell!("{}", finding.render(false));
        }
        exit::CONFIGURATION.into()
    })
}

fn target(arguments: &Arguments, trunk: Option<(&Settings, &TrunkSettings)>) -> Result<ProbeTarget, String> {
    let Host { name, port } = arguments.host.clone();
    let tls = match trunk {
        Some((settings, trunk)) => ProbeTls::of_trunk(settings, trunk).map_err(|error| error.to_string())?,
        None => Some(ProbeTls::of_nobody().map_err(|error| error.to_string())?),
    };
    let trunk = trunk.map(|(_, settings)| settings.trunk.clone());
    // A host of the trunk's own has the port that the configuration gives it.
    let own = trunk.iter().flat_map(|trunk| &trunk.hosts).find(|own| own.name.eq_ignore_ascii_case(&name));
    let port = port.or(own.and_then(|own| own.port));
    let transport = trunk.as_ref().map_or(Transport::Tls, |trunk| trunk.transport);
    Ok(ProbeTarget { host: name, port, transport, trunk, tls, patience: arguments.timeout })
}

/// Calls; the outer error is the system's.
async fn call(
    target: &ProbeTarget,
    settings: Option<&Settings>,
    found: &mut Probed,
) -> Result<Result<(), ProbeFailure>, String> {
    let (name_servers, hosts) = match settings {
        Some(settings) => (settings.name_servers.clone(), settings.hosts.clone()),
        None => Default::default(),
    };
    let mut seed = [0; 32];
    let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
    random.fill(&mut seed).map_err(|_| "no random octets")?;
    let lot = u64::from_le_bytes(std::array::from_fn(|at| seed[at]));
    let runtime = tokio::runtime::Handle::current();
    let resolver = Resolver::new(runtime, &name_servers, hosts, lot, Arc::new(Counters::default()));
    let resolver = resolver.map_err(|error| error.to_string())?;
    let request = |own, port| request(target, own, port, seed);
    Ok(probe(target, &resolver, request, found).await)
}

/// OPTIONS as the health check of the trunk sends it; without a trunk, as of one that is known by its address.
fn request(target: &ProbeTarget, own: SocketAddr, port: u16, seed: [u8; 32]) -> Bytes {
    let product = concat!("Tandem/", env!("CARGO_PKG_VERSION"));
    let mut minter = Minter::new(0, 0, Vec::new(), seed);
    let nobody = || {
        let mut trunk = platforms::generic().into_trunk(TrunkId(0), "", &own.ip().to_string(), own.port());
        trunk.transport = target.transport;
        Arc::new(trunk)
    };
    let trunk: Arc<Trunk> = target.trunk.clone().unwrap_or_else(nobody);
    health::options(&trunk, (&target.host, port), 1, product, &mut minter).1
}

/// How it went: where it failed, why, what to do, and the exit code.
struct Verdict {
    code: u8,
    step: &'static str,
    /// `None`: nothing is wrong.
    what: Option<String>,
    remedy: String,
}

impl Verdict {
    fn of(target: &ProbeTarget, found: &Probed, failure: Option<ProbeFailure>) -> Self {
        let kind = target.trunk.as_ref().map_or(Kind::Generic, |trunk| trunk.kind);
        if let Some(failure) = failure {
            let (code, remedy) = consequence(&failure, kind, target);
            return Self { code, step: failure.step(), what: Some(failure.to_string()), remedy };
        }
        let status = found.answer.as_ref().map(|(status, ..)| *status);
        if health::is_up(kind, status) {
            return Self { code: 0, step: "options", what: None, remedy: String::new() };
        }
        let code = if status == Some(403) { exit::NO_PERMISSION } else { exit::UNAVAILABLE };
        let (status, reason, _) = found.answer.clone().unwrap_or_default();
        let what = Some(format!("the host does not count as up: {status} {reason}"));
        let remedy = diagnosis(kind, Symptom::of_answer(status, None)).remedy.to_owned();
        Self { code, step: "options", what, remedy }
    }
}

/// Exit code and remedy of a failure.
fn consequence(failure: &ProbeFailure, kind: Kind, target: &ProbeTarget) -> (u8, String) {
    let symptom = failure.symptom();
    let code = match failure {
        ProbeFailure::NotResolved(_) => exit::NO_HOST,
        ProbeFailure::ForeignName { .. } | ProbeFailure::ForeignAddresses { .. } | ProbeFailure::Untrusted { .. } => {
            exit::NO_PERMISSION
        }
        ProbeFailure::NotConnected => exit::UNAVAILABLE,
        ProbeFailure::Alert(_) if matches!(symptom, Symptom::OurCertificate | Symptom::OursExpired) => {
            exit::NO_PERMISSION
        }
        ProbeFailure::Alert(_) | ProbeFailure::Handshake(_) | ProbeFailure::NotSip(_) => exit::PROTOCOL,
        ProbeFailure::NoAnswer(_) | ProbeFailure::Ended(_) => exit::TEMPORARY,
    };
    let remedy = match (failure, symptom) {
        (ProbeFailure::ForeignName { .. }, _) => "correct the name, or add it to hosts or suffixes of the trunk",
        // Who calls as nobody has no certificate that could be wrong.
        (_, Symptom::OurCertificate | Symptom::NoSuite) if target.trunk.is_none() => {
            "the peer wants a certificate: name the trunk whose identity it knows with --trunk (TDR-5)"
        }
        _ => diagnosis(kind, symptom).remedy,
    };
    (code, remedy.to_owned())
}

/// What was found, for people.
fn text(target: &ProbeTarget, found: &Probed) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let port = target.port.map_or_else(String::new, |port| format!(":{port}"));
    let by = target.trunk.as_ref().map_or_else(String::new, |trunk| format!(", as trunk {}", trunk.name));
    let _ = writeln!(out, "{}{port} over {}{by}", target.host, target.transport.via_token());
    if !found.addresses.is_empty() {
        let addresses: Vec<String> = found.addresses.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "  resolved     {}", addresses.join(" "));
    }
    for (address, reason) in &found.unreachable {
        let _ = writeln!(out, "  unreachable  {address}: {reason}");
    }
    if let Some((address, took)) = found.connected {
        let _ = writeln!(out, "  connected    {address} in {}", milliseconds(took));
    }
    for certificate in &found.chain {
        let _ = writeln!(out, "  certificate  {}", certificate.subject);
        let _ = writeln!(out, "    issuer     {}", certificate.issuer);
        let _ = writeln!(out, "    not after  {}", date(certificate.not_after));
        let usages = certificate.usages.join(", ");
        let _ = writeln!(out, "    usages     {}", if usages.is_empty() { "not limited" } else { &usages });
        let names = alternative_names(certificate);
        let _ = writeln!(out, "    names      {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    }
    if let Some(agreed) = &found.agreed {
        let (version, took) = (agreed.version.replace("TLSv1_", "TLS 1."), milliseconds(agreed.took));
        let _ = writeln!(out, "  handshake    {version}, {}, {} in {took}", agreed.suite, agreed.group);
    }
    if let Some((status, reason, took)) = &found.answer {
        let _ = writeln!(out, "  OPTIONS      {status} {reason} in {}", milliseconds(*took));
    }
    out
}

/// The same for machines.
fn as_json(target: &ProbeTarget, found: &Probed, verdict: &Verdict) -> Value {
    let millis = |took: Duration| took.as_secs_f64() * 1000.0;
    let certificate = |facts: &CertificateFacts| {
        json!({
            "subject": facts.subject,
            "issuer": facts.issuer,
            "not_after": date(facts.not_after),
            "usages": facts.usages,
            "names": alternative_names(facts),
        })
    };
    let unreachable = |(address, reason): &(SocketAddr, String)| json!({ "address": address, "reason": reason });
    json!({
        "host": target.host,
        "port": target.port,
        "transport": target.transport.uri_value(),
        "trunk": target.trunk.as_ref().map(|trunk| &*trunk.name),
        "addresses": found.addresses.as_slice(),
        "unreachable": found.unreachable.iter().map(unreachable).collect::<Vec<_>>(),
        "connected": found.connected.map(|(address, took)| json!({ "address": address, "milliseconds": millis(took) })),
        "certificates": found.chain.iter().map(certificate).collect::<Vec<_>>(),
        "tls": found.agreed.as_ref().map(|agreed| json!({
            "version": agreed.version,
            "suite": agreed.suite,
            "group": agreed.group,
            "milliseconds": millis(agreed.took),
        })),
        "options": found.answer.as_ref().map(|(status, reason, took)| {
            json!({ "status": status, "reason": reason, "milliseconds": millis(*took) })
        }),
        "failure": verdict.what.as_ref().map(|what| {
            json!({ "step": verdict.step, "what": what, "help": verdict.remedy })
        }),
    })
}

fn alternative_names(certificate: &CertificateFacts) -> Vec<String> {
    certificate.names.iter().cloned().chain(certificate.addresses.iter().map(ToString::to_string)).collect()
}

fn date(unix_seconds: i64) -> String {
    jiff::Timestamp::from_second(unix_seconds).map_or_else(|_| unix_seconds.to_string(), |time| time.to_string())
}

fn milliseconds(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}
