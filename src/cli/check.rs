//! `tandem check`: every finding about a configuration and all it names, at once.

use super::ConfigurationFile;
use crate::config;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to look at.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFile,
    /// Hold an export of Teams' gateways against it: what Get-CsOnlinePSTNGateway | ConvertTo-Json has written
    /// (docs/teams-trunk.md).
    #[arg(long, value_name = "FILE")]
    teams_gateway: Option<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// Looks and tells, on standard output; 1 when a finding is an error, 0 otherwise.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = io::stdout().lock();
    let mut findings = config::examine(&arguments.configuration.config);
    if let Some(export) = &arguments.teams_gateway
        && let Ok(loaded) = config::load(&arguments.configuration.config)
    {
        // Without a configuration there is nothing to hold it against: its own findings come first.
        findings.extend(config::check_gateways(export, &loaded.settings));
    }
    let colour = out.is_terminal();
    // A closed pipe is no one's fault; the exit code still tells.
    let _ = if arguments.json {
        config::print_json(&mut out, &findings)
    } else {
        config::print_text(&mut out, &findings, colour)
    };
    ExitCode::from(u8::from(config::has_errors(&findings)))
}
