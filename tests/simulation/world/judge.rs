//! What can be told of a world only when it has come to rest, and how its messages are shown.

use super::super::leg::{Leg, State};
use super::super::script::SECOND;
use super::World;
use std::fmt::Write;
use tandem::edge::Gauges;
use tandem::sip::{Message, Name};

impl World {
    /// Everything is quiet: both legs of each call are over, and nothing is kept.
    pub(super) fn at_rest(&mut self) {
        self.checks.finish();
        let gauges = self.gauges();
        for held in gauges.into_iter().filter(|held| *held != Gauges::default()) {
            let named = [
                ("calls", held.calls),
                ("dialogs", held.dialogs),
                ("client transactions", held.client_transactions),
                ("server transactions", held.server_transactions),
                ("timers", held.timers),
                ("questions", held.questions),
            ];
            let kept: Vec<&str> = named.iter().filter(|(_, count)| *count > 0).map(|(name, _)| *name).collect();
            self.checks.faults.push(format!("kept for ever: {}", kept.join(", ")));
        }
        if self.saves.iter().any(|saves| !saves.is_empty()) {
            self.checks.faults.push("saved calls are kept".to_owned());
        }
        let admitted: i64 = self.admissions.iter().map(|share| *share.0.lock().unwrap()).sum();
        if admitted != 0 {
            self.checks.faults.push(format!("{admitted} calls are still admitted"));
        }
        if self.admissions.iter().any(|share| share.1.lock().unwrap().drain().next().is_some()) {
            self.checks.faults.push("a conversation is still counted".to_owned());
        }
        for call in 0..self.script.len() {
            self.judge(call);
        }
    }

    pub(super) fn judge(&mut self, call: usize) {
        let legs = || self.platforms.iter().flat_map(|platform| &platform.legs).filter(move |leg| leg.call == call);
        let mut faults = Vec::new();
        for leg in legs() {
            if leg.state != State::Ended {
                faults.push(format!("call {call}: side {} is still {:?}", leg.side, leg.state));
            }
        }
        let caller = legs().find(|leg| leg.side == 0);
        let callees: Vec<_> = legs().filter(|leg| leg.side == 1).collect();
        let gone = legs().any(|leg| leg.vanished || leg.forgotten);
        let slow = gone || self.stormy();
        let bound = if slow { 2_600 * SECOND } else { 75 * SECOND };
        if let Some(caller) = caller {
            if caller.confirmed_at.is_some() && callees.is_empty() {
                faults.push(format!("call {call}: answered by nobody"));
            }
            for callee in &callees {
                // Of several that answered one won: the one that lasted.
                let last = callees.iter().max_by_key(|other| other.ended_at);
                let loser = last.is_some_and(|last| last.local_tag != callee.local_tag);
                let from = callee.confirmed_at.unwrap_or(0).max(caller.ended_at.unwrap_or(0));
                let (one, other) = (caller.ended_at.unwrap_or(0), callee.ended_at.unwrap_or(u64::MAX));
                let apart = if caller.confirmed_at.is_some() && !loser {
                    one.abs_diff(other)
                } else {
                    other.saturating_sub(if loser { callee.confirmed_at.unwrap_or(0) } else { from })
                };
                if apart > bound {
                    faults.push(format!(
                        "call {call}: one leg for {} s (caller: {}, callee: {})",
                        apart / SECOND,
                        caller.ended,
                        callee.ended
                    ));
                }
                self.agreement(caller, callee, gone || loser, &mut faults);
            }
        }
        self.checks.faults.append(&mut faults);
        let everyone = self.platforms.iter().flat_map(|platform| &platform.legs);
        let calm = !self.stormy() && !everyone.clone().any(|leg| leg.vanished || leg.forgotten);
        const TROUBLE: [&str; 3] = ["no ACK for the answer", "did not refresh", "no longer knows"];
        if calm
            && let Some(reason) = self.checks.reasons.iter().find(|why| TROUBLE.iter().any(|word| why.contains(word)))
        {
            self.checks.faults.push(format!("ended in fine weather: {reason}"));
        }
    }

    /// What one side last said is what the other last heard.
    pub(super) fn agreement(&self, caller: &Leg, callee: &Leg, gone: bool, faults: &mut Vec<String>) {
        let quiet = 60 * SECOND;
        let end = caller.ended_at.unwrap_or(0).min(callee.ended_at.unwrap_or(0));
        let settled = |leg: &Leg| leg.changed_at.saturating_add(quiet) < end;
        if gone || caller.stubborn || callee.stubborn || self.stormy() || !settled(caller) || !settled(callee) {
            return;
        }
        for (one, other, name) in [(caller, callee, "caller"), (callee, caller, "callee")] {
            let (Some(said), Some(heard)) = (one.sent, other.received) else { continue };
            if said.port != heard.port {
                faults.push(format!(
                    "call {}: the {name} receives media on port {}, the other side sends to {}",
                    one.call, said.port, heard.port
                ));
            }
        }
    }

    pub(super) fn ladder(&self) -> String {
        let mut text = String::new();
        for (at, way, octets) in &self.ladder {
            let seconds = *at as f64 / SECOND as f64;
            let Ok(message) = Message::parse(octets.clone()) else {
                let _ = writeln!(text, "{seconds:11.3} {way}");
                continue;
            };
            let line = String::from_utf8_lossy(message.start_line()).trim_end().to_owned();
            let sdp = String::from_utf8_lossy(&message.body()).into_owned();
            let mut said = String::new();
            for part in sdp.lines() {
                match part.split_at_checked(2) {
                    Some(("o=", rest)) => {
                        let _ = write!(said, " o={}", rest.split(' ').nth(2).unwrap_or(""));
                    }
                    Some(("m=", rest)) => {
                        let _ = write!(said, " port={}", rest.split(' ').nth(1).unwrap_or(""));
                    }
                    Some(("a=", rest)) if rest.ends_with("only") || rest == "inactive" || rest == "sendrecv" => {
                        let _ = write!(said, " {rest}");
                    }
                    _ => {}
                }
            }
            let short = |text: &str| text.chars().rev().take(8).collect::<String>().chars().rev().collect::<String>();
            let call = message.call_id().split('@').next().map(short).unwrap_or_default();
            let tags = format!(
                "{}>{}",
                short(tandem::sip::tag(message.header(Name::From).unwrap_or("")).unwrap_or("")),
                short(tandem::sip::tag(message.header(Name::To).unwrap_or("")).unwrap_or(""))
            );
            let cseq = message.cseq();
            if let Some(timer) = message.header(Name::SessionExpires) {
                let _ = write!(said, " timer={timer}");
            }
            let _ = writeln!(
                text,
                "{seconds:11.3} {way} {call:>8} {} {} | {line} [{tags}]{said}",
                cseq.number, cseq.method
            );
        }
        text
    }
}
