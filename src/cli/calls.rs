//! `tandem calls`: the calls of a running element, and the end of one.

use super::status::duration;
use super::{Local, print, print_json, unexpected};
use crate::journal::unix_ms;
use crate::process::{AdminAnswer, AdminRequest, CallStatus};
use std::process::ExitCode;
use uuid::Uuid;

/// What to do with calls.
#[derive(clap::Args, Debug)]
pub(super) struct Arguments {
    #[command(flatten)]
    local: Local,
    /// End this call on both legs.
    #[arg(long, value_name = "ID")]
    hang_up: Option<Uuid>,
}

/// Lists or ends.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let request = arguments.hang_up.map_or(AdminRequest::Calls, |call| AdminRequest::HangUp { call });
    match arguments.local.ask(&request) {
        Ok(AdminAnswer::Calls { calls }) if arguments.local.json => print_json(&calls),
        Ok(AdminAnswer::Calls { calls }) => {
            let now = unix_ms();
            let line = |call: &CallStatus| {
                let age = duration(now.saturating_sub(call.started_ms) / 1000);
                format!("{}  {} → {}  {}  {age}  worker {}\n", call.id, call.from, call.to, call.state, call.worker)
            };
            let code = print(&calls.iter().map(line).collect::<String>());
            tell!("{} calls", calls.len());
            code
        }
        Ok(AdminAnswer::Done) => ExitCode::SUCCESS,
        Ok(_) => unexpected(),
        Err(code) => code,
    }
}
