//! `tandem drain`: the end of a running element, in order.

use super::{Local, unexpected};
use crate::process::{AdminAnswer, AdminError, AdminRequest, ask};
use std::process::ExitCode;
use std::time::Duration;

/// How often `--wait` looks whether the element is still there.
const LOOK: Duration = Duration::from_millis(500);

/// How to end.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    local: Local,
    /// End the calls that exist, too.
    #[arg(long)]
    now: bool,
    /// Return only once the element has ended.
    #[arg(long)]
    wait: bool,
}

/// Has it begin, and with `--wait` sees it done.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match arguments.local.ask(&AdminRequest::Drain { now: arguments.now }) {
        Ok(AdminAnswer::Done) if arguments.wait => wait(arguments),
        Ok(AdminAnswer::Done) => ExitCode::SUCCESS,
        Ok(_) => unexpected(),
        Err(code) => code,
    }
}

fn wait(arguments: &Arguments) -> ExitCode {
    let socket = match arguments.local.socket() {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let mut before = None;
    loop {
        match ask(&socket, &AdminRequest::Status) {
            Err(AdminError::Unreachable { .. }) => return ExitCode::SUCCESS,
            Ok(AdminAnswer::Status(status)) if before != Some(status.calls) => {
                tell!("{} calls left", status.calls);
                before = Some(status.calls);
            }
            // It may end while it answers: the next look tells.
            Ok(_) | Err(AdminError::Broken { .. }) => {}
        }
        std::thread::sleep(LOOK);
    }
}
