//! Why a new request is decided as it is: the deciding functions of the core asked once more, one by one.

use super::diff;
use super::stage::Outcome;
use super::told::{CandidateTold, DirectoryTold, Fate, FieldTold, HostTold, Party, RouteTold, Told, TrunkTold};
use crate::event::EventKind;
use crate::flow::{Peer, TrunkId};
use crate::normalize;
use crate::number::{Number, Pattern};
use crate::routing::{self, CallerMatch, HeaderTest, Look, NumberMatch, Route, Wanted};
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
    /// When it came.
    pub(super) unix_ms: u64,
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
    let (caller_number, anonymous) = (caller.number.clone(), caller.anonymous);
    told.caller = Some(Party {
        number: caller.number.as_ref().map(Number::user_part),
        said_in: caller
            .number
            .as_ref()
            .map(|number| said_in(invite, trunk, number, country, &CALLER))
            .unwrap_or_default(),
        display: caller.display,
        anonymous: caller.anonymous,
        why: caller.number.is_none().then(|| "no field of the caller holds a telephone number".to_owned()),
    });
    let called = normalize::called(trunk, country, invite);
    told.called = Some(Party {
        number: called.as_ref().ok().map(Number::user_part),
        said_in: called.as_ref().map(|number| said_in(invite, trunk, number, country, &[Name::To])).unwrap_or_default(),
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
        let wanted =
            Wanted { number, caller: caller_number.as_ref(), anonymous, invite, unix_ms: heard.unix_ms, draw: 0 };
        let first = outcome.sent.iter().find_map(|leaving| Some(leaving.request()?.0.trunk));
        routes(heard.snapshot, trunk, &wanted, first, told);
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
fn said_in(message: &Message, from: &Trunk, number: &Number, country: &str, names: &[Name]) -> Vec<&'static str> {
    let is = |uri: &Uri<'_>| from.number(uri, country).is_ok_and(|said| said == *number);
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

/// `first`: the trunk that was tried, which weights may have chosen.
fn routes(snapshot: &Snapshot, from: &Trunk, wanted: &Wanted<'_>, first: Option<TrunkId>, told: &mut Told) {
    for (route, (place, look)) in
        snapshot.routes.iter().zip(routing::looks(snapshot, from, wanted).into_iter().enumerate())
    {
        told.routes.push(RouteTold {
            route: place + 1,
            text: text(snapshot, route),
            matches: look == Look::Matches,
            why: match look {
                Look::Matches => "matches".to_owned(),
                Look::OtherTrunk => format!("is for calls of another trunk than {}", from.name),
                Look::OtherCaller => "is for other callers".to_owned(),
                Look::OtherHeader => "is for INVITEs that say something else in that header field".to_owned(),
                Look::OtherTime => "is for another hour".to_owned(),
                Look::OtherNumber => "its pattern does not mean the number".to_owned(),
                Look::Emergency => "is not for emergency numbers, which this one is (GEN-60)".to_owned(),
                Look::NotInDirectory => "the directory does not have the number (TDR-46)".to_owned(),
                Look::Inactive => "the directory says that the user may not be called".to_owned(),
            },
        });
        if look == Look::Matches {
            let emergency = snapshot.is_emergency(wanted.number);
            if !route.weights.is_empty() {
                told.notes.push("weights chose the first trunk: another call may begin with another".to_owned());
            }
            hosts(snapshot, route, emergency, first, told);
        }
    }
}

fn hosts(snapshot: &Snapshot, route: &Route, emergency: bool, first: Option<TrunkId>, told: &mut Told) {
    let order = |draw| routing::hosts(snapshot, route, draw, emergency);
    let total: u64 = route.weights.iter().map(|weight| u64::from(*weight)).sum();
    let chose = |draw: &u64| order(*draw).find(|(_, up)| *up).map(|(target, _)| target.trunk) == first;
    let all: Vec<(routing::Target, bool)> = order((0..total.min(MAX_DRAWS)).find(chose).unwrap_or(0)).collect();
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

/// Weights beyond this many are not sought for the draw that chose.
const MAX_DRAWS: u64 = 10_000;

/// A route as the configuration has it.
fn text(snapshot: &Snapshot, route: &Route) -> String {
    let name = |id: TrunkId| snapshot.trunk(id).map_or("?", |trunk| &*trunk.name);
    let from = route.from.map_or("any trunk", name);
    let pattern = |pattern: &Pattern| match pattern {
        Pattern::Exact(text) => text.to_string(),
        Pattern::Prefix(text) => format!("{text}*"),
    };
    let number = |number: &NumberMatch| match number {
        NumberMatch::Any => "*".to_owned(),
        NumberMatch::Directory => "directory".to_owned(),
        NumberMatch::Emergency => "emergency".to_owned(),
        NumberMatch::Pattern(own) => pattern(own),
        NumberMatch::OneOf(_) => String::new(),
    };
    let caller = |caller: &CallerMatch| match caller {
        CallerMatch::Anonymous => "anonymous".to_owned(),
        CallerMatch::Pattern(own) => pattern(own),
    };
    let numbers: Vec<String> = route.number.each().map(number).collect();
    let mut text = format!("from {from}, number {}", numbers.join(" or "));
    if !route.caller.is_empty() {
        let callers: Vec<String> = route.caller.iter().map(caller).collect();
        text.push_str(&format!(", caller {}", callers.join(" or ")));
    }
    match route.header.as_ref().map(|header| (&header.name, &header.test)) {
        Some((name, HeaderTest::Present(true))) => text.push_str(&format!(", with {name}")),
        Some((name, HeaderTest::Present(false))) => text.push_str(&format!(", without {name}")),
        Some((name, HeaderTest::Matches(regex))) => text.push_str(&format!(", {name} like {regex}")),
        None => {}
    }
    if let Some(time) = &route.time {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        text.push_str(&format!(", {} to {} {}", clock(time.from), clock(time.until), time.zone.name));
    }
    let to: Vec<&str> = route.to.iter().map(|&id| name(id)).collect();
    format!("{text}, to {}", to.join(", "))
}

/// What became of each line of the INVITE that came, and what the one that leaves has besides.
fn fields(from: &Trunk, to: &Trunk, came: &Message, left: &Message) -> Vec<FieldTold> {
    let same = |one: &crate::sip::HeaderLine<'_>, other: &crate::sip::HeaderLine<'_>| {
        one.name == other.name && (one.name != Name::Other || one.text.eq_ignore_ascii_case(other.text))
    };
    let mut found = Vec::new();
    for line in came.lines() {
        let there = || left.lines().any(|other| same(&line, &other));
        let as_it_is = || left.lines().any(|other| same(&line, &other) && line.value == other.value);
        let (fate, why) = match normalize::goes_over(from, to, &line) {
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
