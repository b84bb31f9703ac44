//! `tandem run`: the element until it is told to end.

use super::{ConfigurationFile, complain, exit, log};
use crate::config;
use crate::process::Running;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Starts, waits for the end, and says how it went.
pub(super) fn run(arguments: &ConfigurationFile) -> ExitCode {
    let colour = io::stderr().is_terminal();
    let loaded = match config::load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(findings) => {
            for finding in findings {
                eprintln!("{}", finding.render(colour));
            }
            return exit::CONFIGURATION.into();
        }
    };
    for warning in &loaded.warnings {
        eprintln!("{}", warning.render(colour));
    }
    let _log = match log::begin(&loaded.settings.log) {
        Ok(log) => log,
        Err(error) => return complain(exit::CONFIGURATION, &format!("log: {error}"), "correct filter in [log]"),
    };
    let running = match Running::start(loaded.settings) {
        Ok(running) => running,
        Err(error) => {
            return complain(error.exit_code(), &error, "correct this and start again; nothing was left open");
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(until_the_end(&running))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(exit::SYSTEM, &error, "signals cannot be received"),
    }
}

/// Obeys signals until the process has ended in order.
async fn until_the_end(running: &Running) -> io::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut asked_before = false;
    loop {
        tokio::select! {
            () = running.stopped() => return Ok(()),
            _ = hang_up.recv() => {
                running.reopen_records();
                running.reload().await;
                continue;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        running.drain(asked_before);
        asked_before = true;
    }
}
