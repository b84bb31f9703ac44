//! `tandem check`: every finding about a configuration and all it names, at once.

use super::ConfigurationFile;
use crate::config;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// What to look at.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Looks and tells, on standard output; 1 when a finding is an error, 0 otherwise.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = io::stdout().lock();
    let findings = config::examine(&arguments.configuration.config);
    let colour = out.is_terminal();
    // A closed pipe is no one's fault; the exit code still tells.
    let _ = if arguments.json {
        config::print_json(&mut out, &findings)
    } else {
        config::print_text(&mut out, &findings, colour)
    };
    ExitCode::from(u8::from(config::has_errors(&findings)))
}
