//! `tandem run`: the element until it is told to end.

use super::{ConfigurationFile, complain, exit};
use crate::config;
use crate::process::Running;
use crate::settings::LogSettings;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

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
    if let Err(error) = begin_log(&loaded.settings.log) {
        return complain(exit::CONFIGURATION, &format!("log filter: {error}"), "correct filter in [log]");
    }
    log_panics();
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

fn begin_log(settings: &LogSettings) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(&settings.filter)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    if settings.json {
        log.json().flatten_event(true).init();
    } else {
        log.with_ansi(io::stderr().is_terminal()).init();
    }
    Ok(())
}

/// Panics go to the log with their place and without their text: that may quote a message.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        tracing::error!(place, thread, "panic");
    }));
}
