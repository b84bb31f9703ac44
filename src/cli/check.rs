//! `tandem check`: every finding about a configuration and all it names, at once.

use super::{ConfigurationFile, exit};
use crate::config;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// What to look at.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: ConfigurationFile,
}

/// Looks and tells; fails when a finding is an error.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let colour = io::stderr().is_terminal();
    let (findings, code) = match config::load(&arguments.configuration.config) {
        Ok(loaded) => (loaded.warnings, ExitCode::SUCCESS),
        Err(findings) => (findings, exit::CONFIGURATION.into()),
    };
    for finding in &findings {
        eprintln!("{}", finding.render(colour));
    }
    code
}
