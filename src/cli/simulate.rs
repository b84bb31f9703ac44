//! `tandem simulate`: what would become of captured messages, and why. Nothing is sent, no name is asked for.
//!
//! `capture`, `pcap` and `streams` take the input apart, `stage` feeds a real core and collects what it wants sent,
//! `decision` says what that comes to, `explain` asks the deciding functions once more for their reasons, `told` is the JSON, `text` shows it to people.

mod capture;
mod decision;
mod diff;
mod explain;
mod pcap;
mod stage;
mod streams;
mod text;
mod told;

use super::{ConfigurationFile, complain, exit};
use crate::config::{self, directory_file};
use crate::flow::TrunkId;
use crate::process::snapshot_of;
use crate::settings::{Settings, read_input};
use crate::snapshot::address_key;
use crate::transport::Addresses;
use crate::trunk::{Host, Trunk};
use bytes::Bytes;
use capture::Capture;
use stage::Stage;
use std::io::{self, IsTerminal, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use told::{Kind, Report, Told};

/// The longest input read, in octets.
const MAX_INPUT: u64 = 64 << 20;

/// What the longest help says after the options.
const MORE: &str = "\
Numbers are shown in full: it is your own message, on your own screen.

Certificates are not looked at (tandem check does), no host is down unless --down says so, and
every trunk has room. docs/simulate.md has examples and the JSON.

Exit codes:
  0   what begins something is accepted; without such a message: everything is
  1   it is refused, or dropped
  64  the arguments are wrong
  65  there is no SIP message in the input, or it is too long
  66  the input cannot be opened
  78  the configuration is wrong";

/// What to simulate, and how to show it.
#[derive(clap::Args, Debug)]
#[command(after_long_help = MORE)]
pub(super) struct Arguments {
    /// A file with a SIP message, a log of several (sngrep, SIPp), or packets (pcap, pcapng); - for standard input.
    #[arg(value_name = "MESSAGE")]
    message: PathBuf,
    /// The trunk that the message came from.
    #[arg(short, long, value_name = "TRUNK")]
    from: String,
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// The moment to simulate, such as 2026-03-02T08:30:00+01:00; without an offset in the time zone of this machine.
    /// Without it: when the packet was captured, or now.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<u64>,
    /// A host that is down, as the configuration writes it; may be given several times.
    #[arg(long, value_name = "HOST")]
    down: Vec<String>,
    /// Look at no more messages than these.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
    /// Whether to colour; NO_COLOR in the environment always means never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Colour,
}

/// When text is coloured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
enum Colour {
    /// On a terminal.
    #[default]
    Auto,
    /// Also into a file or a pipe.
    Always,
    /// Not at all.
    Never,
}

impl Colour {
    fn applies(self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        !refused && (self == Self::Always || self == Self::Auto && io::stdout().is_terminal())
    }
}

/// Milliseconds since the Unix epoch.
fn moment(text: &str) -> Result<u64, String> {
    let local = || {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::system().to_timestamp(time).ok()
    };
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(local);
    let ms = timestamp.and_then(|timestamp| u64::try_from(timestamp.as_millisecond()).ok());
    ms.ok_or_else(|| "write a time after 1970 such as 2026-03-02T08:30:00+01:00 or 2026-03-02T08:30".to_owned())
}

/// Simulates, tells on standard output, and says by the exit code what was decided.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match simulate(arguments) {
        Ok(report) => {
            let accepted = report.accepted;
            let printed = match arguments.json {
                true => super::print_json(&report),
                false => super::print(&text::render(&report, arguments.color.applies())),
            };
            if printed != ExitCode::SUCCESS || accepted { printed } else { ExitCode::FAILURE }
        }
        Err(code) => code,
    }
}

fn simulate(arguments: &Arguments) -> Result<Report, ExitCode> {
    let path = &arguments.configuration.config;
    let loaded = config::load_without_certificates(path).map_err(|findings| {
        let all: Vec<String> = findings.iter().map(ToString::to_string).collect();
        complain(exit::CONFIGURATION, &all.join("\n"), "tandem check shows each with its line")
    })?;
    let settings = Arc::new(loaded.settings);
    let directory = directory_file::of_settings(&settings).map_err(|finding| {
        complain(exit::CONFIGURATION, &finding, "correct the directory's file: calls are routed by it")
    })?;
    let trunk = settings.trunks.iter().find(|own| *own.trunk.name == *arguments.from);
    let Some(trunk) = trunk.map(|own| own.trunk.clone()) else {
        let known: Vec<&str> = settings.trunks.iter().map(|own| &*own.trunk.name).collect();
        let remedy = config::advice(&arguments.from, &known);
        return Err(complain(exit::USAGE, &format!("no trunk is called {}", arguments.from), &remedy));
    };
    let mut down = Vec::new();
    for name in &arguments.down {
        down.extend(hosts_called(&settings, name)?);
    }
    let mut capture = read(&arguments.message)?;
    of_trunk(&mut capture, &trunk);
    if let Some(limit) = arguments.limit.filter(|limit| *limit < capture.messages.len()) {
        capture
            .left_out
            .push(format!("{} messages behind the first {limit} (--limit)", capture.messages.len() - limit));
        capture.messages.truncate(limit);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| u64::try_from(since.as_millis()).ok());
    let addresses = static_addresses(&settings);
    let snapshot = snapshot_of(settings.clone(), Arc::new(directory.directory), addresses, down);
    let mut stage = Stage::new(settings.clone(), snapshot, trunk, arguments.at.or(now).unwrap_or(0));
    let messages: Vec<Told> = capture.messages.iter().map(|message| stage.play(message, arguments.at)).collect();
    Ok(Report {
        configuration: path.display().to_string(),
        from: arguments.from.clone(),
        accepted: is_accepted(&messages),
        messages,
        left_out: capture.left_out,
    })
}

/// Leaves out what others sent, where a capture shows who sent what: our own messages, and those of the other side. Of one
/// that was taken behind NAT nothing seems to be the trunk's: then all of it is.
fn of_trunk(capture: &mut Capture, trunk: &Trunk) {
    let own = |source: &SocketAddr| trunk.covers(source.ip());
    if !capture.messages.iter().any(|message| message.source.as_ref().is_some_and(own)) {
        return;
    }
    let before = capture.messages.len();
    capture.messages.retain(|message| message.source.as_ref().is_none_or(own));
    let others = before - capture.messages.len();
    if others > 0 {
        capture.left_out.push(format!("{others} messages from addresses that are not those of trunk {}", trunk.name));
    }
}

/// Whether what counts was accepted: what begins something, or everything where nothing does. A capture holds answers
/// and what belongs to calls that a simulation does not have.
fn is_accepted(messages: &[Told]) -> bool {
    let good = |told: &&Told| !matches!(told.decision.kind, Kind::Refused | Kind::Dropped);
    let begins = || messages.iter().filter(|told| told.initial);
    match begins().count() {
        0 => messages.iter().filter(good).count() == messages.len(),
        count => begins().filter(good).count() == count,
    }
}

/// The octets of the input, taken apart.
fn read(path: &Path) -> Result<Capture, ExitCode> {
    let octets = match path == Path::new("-") {
        true => {
            let mut octets = Vec::new();
            match io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut octets) {
                Ok(read) if u64::try_from(read).is_ok_and(|read| read > MAX_INPUT) => {
                    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {} MiB", MAX_INPUT >> 20)))
                }
                read => read.map(|_| octets),
            }
        }
        false => read_input(path, MAX_INPUT),
    };
    let octets = octets.map_err(|error| {
        let what = format!("{} cannot be read: {error}", path.display());
        match error.kind() {
            io::ErrorKind::FileTooLarge => complain(exit::DATA, &what, "cut out the messages that matter"),
            _ => {
                complain(exit::NO_INPUT, &what, "name a file with a SIP message or a capture, or - for standard input")
            }
        }
    })?;
    capture::read(&Bytes::from(octets))
        .map_err(|error| complain(exit::DATA, &format!("{}: {error}", path.display()), error.remedy()))
}

/// The hosts that are written so, of all trunks.
fn hosts_called(settings: &Settings, name: &str) -> Result<Vec<(TrunkId, Host)>, ExitCode> {
    let all = settings.trunks.iter().flat_map(|own| own.trunk.hosts.iter().map(|host| (own.trunk.id, host.clone())));
    let called = |host: &Host| host.to_string().eq_ignore_ascii_case(name) || host.name.eq_ignore_ascii_case(name);
    let found: Vec<(TrunkId, Host)> = all.clone().filter(|(_, host)| called(host)).collect();
    if found.is_empty() {
        let known: Vec<String> = all.map(|(_, host)| host.name.to_string()).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(complain(exit::USAGE, &format!("no host is called {name}"), &config::advice(name, &known)));
    }
    Ok(found)
}

/// Where names lead as far as `[hosts]` says: that costs no question.
fn static_addresses(settings: &Settings) -> Addresses {
    let mut addresses = Addresses::new();
    for trunk in settings.trunks.iter().map(|own| &own.trunk) {
        for host in &trunk.hosts {
            let Some(found) = settings.hosts.get(&host.name.to_ascii_lowercase()) else { continue };
            let port = host.port.unwrap_or(trunk.transport.default_port());
            let found = found.iter().map(|address| SocketAddr::new(*address, port)).collect();
            addresses.insert(address_key(trunk.transport, &host.name, host.port), found);
        }
    }
    addresses
}
