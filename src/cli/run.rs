//! `tandem run`: the element until it is told to end.

use super::{ConfigurationFile, complain, exit, log};
use crate::config;
use crate::process::Running;
use nix::sys::signal::Signal as SignalNumber;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Starts, waits for the end, and says how it went.
pub(super) fn run(arguments: &ConfigurationFile) -> ExitCode {
    let colour = io::stderr().is_terminal();
    let loaded = match config::load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(findings) => {
            for finding in findings {
                tell!("{}", finding.render(colour));
            }
            return exit::CONFIGURATION.into();
        }
    };
    for warning in &loaded.warnings {
        tell!("{}", warning.render(colour));
    }
    let _log = match log::begin(&loaded.settings.log) {
        Ok(log) => log,
        Err(error) => return complain(exit::CONFIGURATION, &format!("log: {error}"), "correct filter in [log]"),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // Before anything can be asked of the process: until then a SIGHUP would end it.
    let begun = runtime.and_then(|runtime| {
        let signals = runtime.block_on(async { Signals::take() })?;
        Ok((runtime, signals))
    });
    let (runtime, signals) = match begun {
        Ok(begun) => begun,
        Err(error) => return complain(exit::SYSTEM, &error, "signals cannot be received"),
    };
    let running = match Running::start(loaded.settings) {
        Ok(running) => running,
        Err(error) => {
            return complain(error.exit_code(), &error, error.remedy());
        }
    };
    runtime.block_on(until_the_end(&running, signals));
    ExitCode::SUCCESS
}

/// The signals that mean something.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
    /// Taken so that it does not end the process: a file that may grow no more costs records, no calls.
    _file_size: Signal,
    /// Taken for the same reason: rotators of logs send them to every daemon, and they would end all calls.
    _user: [Signal; 2],
}

impl Signals {
    fn take() -> io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(SignalNumber::SIGXFSZ as i32))?,
            _user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }
}

/// Obeys signals until the process has ended in order.
async fn until_the_end(running: &Running, mut signals: Signals) {
    let mut asked_before = false;
    loop {
        tokio::select! {
            () = running.stopped() => return,
            _ = signals.hang_up.recv() => {
                running.reopen_records();
                running.reload().await;
                continue;
            }
            _ = signals.terminate.recv() => {}
            _ = signals.interrupt.recv() => {}
        }
        running.drain(asked_before);
        asked_before = true;
    }
}
