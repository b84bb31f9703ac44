//! The commands of the `tandem` binary, one file each.
//!
//! What a machine may read has `--json`. Errors say what is wrong and what to do next, on standard
//! error; exit codes are those of sysexits ([`exit`]).

/// `println!` for a reader who may have gone away, which is no one's fault.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// The same on standard error.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}

mod calls;
mod check;
mod demo;
mod drain;
mod log;
mod probe;
mod run;
mod simulate;
mod status;

use crate::config;
use crate::process::{AdminAnswer, AdminError, AdminRequest, ask};
use clap::{Args, Parser, Subcommand};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit codes after sysexits.h.
pub mod exit {
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// What was given to look at is not what it should be.
    pub const DATA: u8 = 65;
    /// What was given to look at cannot be opened.
    pub const NO_INPUT: u8 = 66;
    /// A name that does not resolve.
    pub const NO_HOST: u8 = 68;
    /// What is asked for is not there: no process at the socket, an address taken.
    pub const UNAVAILABLE: u8 = 69;
    /// An error of Tandem's own.
    pub const SOFTWARE: u8 = 70;
    /// The system refuses something.
    pub const SYSTEM: u8 = 71;
    /// What was asked for cannot be written.
    pub const OUTPUT: u8 = 74;
    /// No answer in time; it may come another time.
    pub const TEMPORARY: u8 = 75;
    /// The other side's answer makes no sense.
    pub const PROTOCOL: u8 = 76;
    /// One side does not trust or permit the other.
    pub const NO_PERMISSION: u8 = 77;
    /// The configuration is wrong.
    pub const CONFIGURATION: u8 = 78;
}

/// Edge SBC that joins the Genesys Cloud BYOC trunk to Microsoft Teams Direct Routing.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the element until it is told to end.
    ///
    /// SIGHUP reloads the configuration and opens the record file anew. SIGTERM or Ctrl-C ends in order: no
    /// new calls, those that exist may end by themselves; the second one ends them at once.
    Run(ConfigurationFile),
    /// Look at a configuration and all it names, and report every finding at once.
    Check(check::Arguments),
    /// Play both platforms on loopback, place calls, and show what Tandem does with them.
    Demo(demo::Arguments),
    /// Call one host as a trunk would, and show each step: addresses, certificates, TLS, OPTIONS.
    Probe(probe::Arguments),
    /// Show what would become of a captured message, or of a whole capture, and why. Nothing is sent.
    Simulate(simulate::Arguments),
    /// Show how a running element is: trunks, hosts, workers, alarms.
    Status(Local),
    /// List the calls of a running element, or end one.
    Calls(calls::Arguments),
    /// End a running element in order: no new calls, those that exist may end by themselves.
    Drain(drain::Arguments),
}

/// Which configuration.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigurationFile {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = "config/tandem.toml")]
    pub(crate) config: PathBuf,
}

/// Which running element, and how to answer.
#[derive(Args, Clone, Debug)]
struct Local {
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// The local socket of the element; without it the one that the configuration names.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

impl Local {
    /// The socket to ask at.
    fn socket(&self) -> Result<PathBuf, ExitCode> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        // An element runs on with what it has when its file has become a bad one: then it is asked most.
        let path = &self.configuration.config;
        config::admin_socket(path).map_err(|error| {
            let what = format!("the configuration {} does not say where the element listens: {error}", path.display());
            complain(exit::CONFIGURATION, &what, "name the socket with --socket, or the file with --config")
        })
    }

    /// Asks, and turns everything but an answer into an exit code.
    fn ask(&self, request: &AdminRequest) -> Result<AdminAnswer, ExitCode> {
        let answer = ask(&self.socket()?, request).map_err(|error| match error {
            AdminError::Unreachable { .. } => {
                complain(exit::UNAVAILABLE, &error, "is it running, and may you open its socket?")
            }
            AdminError::Broken { .. } => complain(exit::PROTOCOL, &error, "try again, then look into its log"),
        })?;
        match answer {
            AdminAnswer::Refused { reason } => {
                Err(complain(exit::UNAVAILABLE, &reason, "see tandem status and tandem calls"))
            }
            answer => Ok(answer),
        }
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed pipe is no one's fault.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Probe(arguments) => probe::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Calls(arguments) => calls::run(&arguments),
        Command::Drain(arguments) => drain::run(&arguments),
    }
}

/// What, and what to do next, on standard error; the exit code for it.
fn complain(code: u8, what: &dyn Display, remedy: &str) -> ExitCode {
    tell!("tandem: {what}\n  help: {remedy}");
    code.into()
}

/// Writes an answer to standard output. Who reads no further has read enough; a full disk has not taken it.
fn print(answer: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(answer.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => complain(
            exit::OUTPUT,
            &format!("the answer cannot be written: {error}"),
            "make room, or write it elsewhere",
        ),
        _ => ExitCode::SUCCESS,
    }
}

/// An answer that the question does not have.
fn unexpected() -> ExitCode {
    complain(exit::PROTOCOL, &"the element answered something else", "are both of the same version?")
}

/// A value as JSON on standard output.
fn print_json(value: &impl serde::Serialize) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&format!("{text}\n")),
        Err(error) => complain(exit::SOFTWARE, &error, "report this"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn drain_takes_now_and_calls_take_the_call_to_end() {
        assert!(Arguments::try_parse_from(["tandem", "drain", "--now"]).is_ok());
        let call = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(Arguments::try_parse_from(["tandem", "calls", "--hang-up", call]).is_ok());
        assert!(Arguments::try_parse_from(["tandem", "calls", "--hang-up", "nonsense"]).is_err());
    }
}
