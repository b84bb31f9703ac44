//! What becomes of a message, in one word and a sentence, by what the core did with it.

use super::stage::{Leaving, Outcome};
use super::told::{Decision, Kind, Told};
use crate::event::{DropReason, EventKind};
use crate::identifier::Identity;
use crate::io::Destination;
use crate::sip::{Message, Name, tag, top_via};

/// What becomes of a message, by what the core did.
pub(super) fn decision(message: Option<&Message>, outcome: &Outcome) -> Decision {
    let ours = |leaving: &&Leaving| match (message, &leaving.message) {
        (Some(message), Some(answer)) => message.cseq() == answer.cseq(),
        _ => true,
    };
    let answers = outcome.sent.iter().filter(|leaving| matches!(leaving.to, Destination::Flow(_)));
    let answer = answers.filter(ours).filter_map(Leaving::answer).filter(|(status, _)| *status >= 200).last();
    let reason = outcome.events.iter().find_map(|event| match &event.kind {
        EventKind::Withheld { rule, text, .. } => Some(format!("kept from leaving by {rule}: {text}")),
        EventKind::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let ended = || {
        outcome.events.iter().find_map(|event| match &event.kind {
            EventKind::CallEnded(record) | EventKind::CallRefused(record) => Some(record.reason.clone()),
            _ => None,
        })
    };
    let dropped = outcome.events.iter().find_map(|event| match &event.kind {
        EventKind::Dropped { reason } => Some(*reason),
        _ => None,
    });
    let hop = outcome.sent.iter().find_map(Leaving::request);
    let (status, phrase) = answer.map_or((None, String::new()), |(status, phrase)| (Some(status), phrase));
    match (status, hop, dropped) {
        (Some(status), _, _) if status >= 300 => {
            let why = reason.or_else(ended).unwrap_or_else(|| phrase.clone());
            let text = if why == phrase { format!("{status} {phrase}") } else { format!("{status} {phrase}: {why}") };
            Decision { kind: Kind::Refused, status: Some(status), text }
        }
        (status, Some((hop, request)), _) => {
            let text = format!("{} goes to {}:{}", request.method().as_str(), hop.host, hop.port);
            Decision { kind: Kind::Forwarded, status, text }
        }
        (Some(status), None, _) => {
            Decision { kind: Kind::Answered, status: Some(status), text: format!("{status} {phrase}") }
        }
        (None, None, Some(reason)) => {
            Decision { kind: Kind::Dropped, status: None, text: dropped_text(reason).to_owned() }
        }
        (None, None, None) => {
            let text = "nothing leaves: a repetition of what came before, or what needs no answer".to_owned();
            Decision { kind: Kind::Absorbed, status: None, text }
        }
    }
}

fn dropped_text(reason: DropReason) -> &'static str {
    match reason {
        DropReason::StrayResponse => "dropped: a response to no request that this simulation has sent",
        DropReason::StrayAck => "dropped: an ACK in no dialog that this simulation knows",
        DropReason::Malformed => "dropped: neither a malformed response nor a malformed ACK is ever answered",
        DropReason::ForbiddenDestination => "dropped: its answer would go where the trunk does not let us dial",
        DropReason::Overload => "dropped: there is no room",
    }
}

/// Whose a message within a dialog, or a response, may be: a simulation has no calls but its own.
pub(super) fn belongs(message: &Message, told: &mut Told) {
    if !matches!(told.decision.kind, Kind::Refused | Kind::Dropped)
        || told.decision.status.is_some_and(|status| status != 481)
    {
        return;
    }
    let (what, identifier) = match message.is_request() {
        true => ("To tag", message.header(Name::To).and_then(tag).map(str::to_owned)),
        false => ("Via branch", top_via(message).ok().and_then(|via| via.branch().map(str::to_owned))),
    };
    let ours = identifier.as_deref().and_then(Identity::of).is_some();
    told.notes.push(match (ours, message.is_request()) {
        (true, true) => format!(
            "its dialog is unknown here, but the {what} is one that Tandem made: while the call lives, the running element \
             takes the request as that call's, answers it and passes on what concerns the other leg"
        ),
        (true, false) => format!(
            "its request is unknown here, but the {what} is one that Tandem made: the running element takes the response as \
             that call's while the transaction lives"
        ),
        (false, true) => format!("its dialog is unknown here, and the {what} is none that Tandem made: 481 on every element"),
        (false, false) => format!("its request is unknown here, and the {what} is none that Tandem made: dropped on every element"),
    });
}
