//! Why a new request is decided as it is: the deciding functions of the core asked once more, one by one.

use super::diff;
use super::stage::Outcome;
use super::told::{CandidateTold, DirectoryTold, Fate, FieldTold, HostTold, Party, RouteTold, Told, TrunkTold};
use crate::event::EventKind;
use crate::flow::{Peer, TrunkId};
use crate::normalize;
use crate::number::{Number, Pattern};
use crate::routing::{self, Look, NumberMatch, Route};
use crate::sip::{Message, Method, Name, NameAddr, Uri};
use crate::snapshot::Snapshot;
use crate::trunk::Trunk;

/// A request, who sent it, and what is in force.
pub(super) struct Heard<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// The trunk that the operator names.
    pub(super) from: TrunkId,
    pub(super) peer: &'a Peer,
    pub(super) message: &'a Message,
}

/// Tells of trunk, parties, routes, hosts and header fields, as far as the request came.
pub(super) fn explain(heard: &Heard<'_>, outcome: &Outcome, told: &mut Told) {
    let identified = routing::identify(heard.snapshot, heard.peer, heard.message);
    told.trunk = Some(trunk(heard, identified));
    let Some(trunk) = identified.ok().and_then(|id| heard.snapshot.trunk(id)) else { return };
    if trunk.id != heard.from {
        let from = heard.snapshot.trunk(heard.from).map_or("", |from| &*from.name);
        told.notes.push(format!("it is not on trunk {from}: that one and trunk {} call from one address", trunk.name));
    }
    if *heard.message.method() != Method::Invite {
        return;
    }
    // As the operator's rules want it read.
    let ruled = outcome.events.iter().find_map(|event| match &event.kind {
        EventKind::RulesApplied { received: true, change: Some(change), .. } => Message::parse(change[1].clone()).ok(),
        _ => None,
    });
    let invite = ruled.as_ref().unwrap_or(heard.message);
    let country = &heard.snapshot.edge.country_code;
    let caller = normalize::caller(trunk, country, invite);
    told.caller = Some(Party {
        number: caller.number.as_ref().map(Number::user_part),
        said_in: caller.number.as_ref().map(|number| said_in(invite, number, country, &CALLER)).unwrap_or_default(),
        display: caller.display,
        anonymous: caller.anonymous,
        why: caller.number.is_none().then(|| "no field of the caller holds a telephone number".to_owned()),
    });
    let called = normalize::called(trunk, country, invite);
    told.called = Some(Party {
        number: called.as_ref().ok().map(Number::user_part),
        said_in: called.as_ref().map(|number| said_in(invite, number, country, &[Name::To])).unwrap_or_default(),
        display: None,
        anonymous: false,
        why: called.as_ref().err().map(ToString::to_string),
    });
    if let Ok(number) = &called {
        let entry = heard.snapshot.directory.lookup(number);
        told.directory = Some(DirectoryTold {
            found: entry.is_some(),
            user: entry.map(|entry| entry.user.reveal().clone()),
            active: entry.map(|entry| entry.active),
        });
        routes(heard.snapshot, trunk, number, told);
    }
    let left = outcome.sent.iter().find_map(|leaving| {
        let (hop, sent) = leaving.request().filter(|(_, sent)| *sent.method() == Method::Invite)?;
        Some((heard.snapshot.trunk(hop.trunk)?, sent))
    });
    if let Some((to, left)) = left {
        told.fields = fields(trunk, to, invite, left);
        told.changes = diff::changes(heard.message, left);
    }
}

fn trunk(heard: &Heard<'_>, identified: Result<TrunkId, routing::Refusal>) -> TrunkTold {
    let name = |id: TrunkId| heard.snapshot.trunk(id).map(|trunk| trunk.name.to_string()).unwrap_or_default();
    let candidates = routing::candidates(heard.snapshot, heard.peer, heard.message);
    let host = Uri::parse(heard.message.request_uri()).map(|uri| uri.host().to_owned()).unwrap_or_default();
    let why = match identified {
        Err(refusal) => refusal.to_string(),
        Ok(id) => match candidates.iter().find(|candidate| candidate.trunk == id) {
            Some(candidate) if candidate.named && candidates.iter().filter(|other| other.named).count() == 1 => {
                format!("the Request-URI names us as {host}, our name toward it alone")
            }
            Some(candidate) if candidate.in_group => "tgrp is its termination identifier".to_owned(),
            _ => "the peer can be no other".to_owned(),
        },
    };
    let candidate = |candidate: &routing::Candidate| CandidateTold {
        trunk: name(candidate.trunk),
        fqdn: heard.snapshot.trunk(candidate.trunk).map(|trunk| trunk.fqdn.to_string()).unwrap_or_default(),
        named: candidate.named,
        in_group: candidate.in_group,
    };
    TrunkTold { candidates: candidates.iter().map(candidate).collect(), chosen: identified.ok().map(name), why }
}

/// The fields that may say who calls.
const CALLER: [Name; 4] = [Name::From, Name::PAssertedIdentity, Name::PPreferredIdentity, Name::RemotePartyId];

/// The places of a message that say this number.
fn said_in(message: &Message, number: &Number, country: &str, names: &[Name]) -> Vec<&'static str> {
    let is = |uri: &Uri<'_>| Number::of_uri(uri, country).is_ok_and(|said| said == *number);
    let mut places = Vec::new();
    if names == [Name::To] && Uri::parse(message.request_uri()).is_ok_and(|uri| is(&uri)) {
        places.push("Request-URI");
    }
    for &name in names {
        let said =
            |value: &str| NameAddr::parse(value).ok().and_then(|value| value.uri().ok()).is_some_and(|uri| is(&uri));
        if message.values(name).any(said) {
            places.push(name.as_str());
        }
    }
    places
}

fn routes(snapshot: &Snapshot, from: &Trunk, number: &Number, told: &mut Told) {
    for (route, (place, look)) in
        snapshot.routes.iter().zip(routing::looks(snapshot, from, number).into_iter().enumerate())
    {
        told.routes.push(RouteTold {
            route: place + 1,
            text: text(snapshot, route),
            matches: look == Look::Matches,
            why: match look {
                Look::Matches => "matches".to_owned(),
                Look::OtherTrunk => format!("is for calls of another trunk than {}", from.name),
                Look::OtherNumber => "its pattern does not mean the number".to_owned(),
                Look::NotInDirectory => "the directory does not have the number (TDR-46)".to_owned(),
                Look::Inactive => "the directory says that the user may not be called".to_owned(),
            },
        });
        if look == Look::Matches {
            hosts(snapshot, route, told);
        }
    }
}

fn hosts(snapshot: &Snapshot, route: &Route, told: &mut Told) {
    let all: Vec<(routing::Target, bool)> = routing::hosts(snapshot, route).collect();
    let any_up = all.iter().any(|(_, up)| *up);
    for (target, up) in all {
        let Some(trunk) = snapshot.trunk(target.trunk) else { continue };
        let hop = routing::hop(snapshot, trunk, target.host);
        told.hosts.push(HostTold {
            trunk: trunk.name.to_string(),
            host: trunk.hosts.get(target.host).map(ToString::to_string).unwrap_or_default(),
            transport: hop.transport.uri_value(),
            addresses: hop.addresses.iter().map(ToString::to_string).collect(),
            tried: up || !any_up,
            why: match (up, any_up) {
                (true, _) => None,
                (false, true) => Some("is down (--down)"),
                (false, false) => Some("is down (--down), as all are: tried all the same"),
            },
        });
    }
}

/// A route as the configuration has it.
fn text(snapshot: &Snapshot, route: &Route) -> String {
    let name = |id: TrunkId| snapshot.trunk(id).map_or("?", |trunk| &*trunk.name);
    let from = route.from.map_or("any trunk", name);
    let number = match &route.number {
        NumberMatch::Any => "*".to_owned(),
        NumberMatch::Directory => "directory".to_owned(),
        NumberMatch::Pattern(Pattern::Exact(text)) => text.to_string(),
        NumberMatch::Pattern(Pattern::Prefix(text)) => format!("{text}*"),
    };
    let to: Vec<&str> = route.to.iter().map(|&id| name(id)).collect();
    format!("from {from}, number {number}, to {}", to.join(", "))
}

/// What became of each line of the INVITE that came, and what the one that leaves has besides.
fn fields(from: &Trunk, to: &Trunk, came: &Message, left: &Message) -> Vec<FieldTold> {
    let crossing: Vec<*const u8> =
        normalize::crossing(from.kind, to.kind, came).map(|line| line.octets.as_ptr()).collect();
    let same = |one: &crate::sip::HeaderLine<'_>, other: &crate::sip::HeaderLine<'_>| {
        one.name == other.name && (one.name != Name::Other || one.text.eq_ignore_ascii_case(other.text))
    };
    let mut found = Vec::new();
    for line in came.lines() {
        let there = || left.lines().any(|other| same(&line, &other));
        let as_it_is = || left.lines().any(|other| same(&line, &other) && line.value == other.value);
        let (fate, why) = match crossing.contains(&line.octets.as_ptr()) {
            true if as_it_is() => (Fate::Crosses, None),
            // It crossed, and rules or the guard had another word on it.
            true if there() => (Fate::Anew, Some("changed before it left")),
            true => (Fate::Stays, Some("taken away before it left")),
            false if there() => (Fate::Anew, Some(normalize::why_not(from.kind, to.kind, &line))),
            false => (Fate::Stays, Some(normalize::why_not(from.kind, to.kind, &line))),
        };
        found.push(FieldTold { name: line.text.to_owned(), value: line.value.to_owned(), fate, why });
    }
    for line in left.lines().filter(|line| !came.lines().any(|other| same(line, &other))) {
        let (name, value) = (line.text.to_owned(), line.value.to_owned());
        found.push(FieldTold { name, value, fate: Fate::Added, why: None });
    }
    found
}
