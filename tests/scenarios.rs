//! Call flows that people can read: `tests/scenarios/*.ladder` against the core on a virtual clock.
//!
//! A ladder is a list of lines; `#` begins a comment. `genesys`, `teams` and `pbx` (a PBX over UDP) are
//! the platforms, Tandem stands between them and is never named. Parts of a line are divided by ` | `.
//!
//! ```text
//! genesys -> INVITE | sdp                     a platform sends: a request …
//! teams -> 180 | tag b                        … or a response, to the last request it got
//! teams -> 200 to CANCEL                      … or to the last of that method
//! teams -> again 200                          the last such message once more, octet for octet
//! teams <- INVITE | Supported: timer | no sdp a platform receives this, and nothing before it
//! wait 64*T1                                  time passes (also 500ms, 4s, 15min, 2h)
//! ```
//!
//! Everything that leaves Tandem has a line of its own; only a 100 may be passed over. When a platform
//! sends or time passes, nothing may be left unread. At the end all is quiet: after 40 s no call, dialog,
//! transaction or timer is left, and each call has its one record (`kept` as last line: not so).
//!
//! Parts of a sent line: `sdp` with direction, address, `:port`, `vN`; `tag T` and `to NUMBER`; `fresh`
//! (outside the dialog), `copy PLATFORM` (in that one's dialog), `previous` (not to the last such request but to the one before); `Name: value` puts a field, `no Name` takes it away, `start: …` and `body: …`
//! (with `\n` for a line end) replace; `flow N`, `source A:P` say where from. Parts of a received line: `Name: value`, `Name ~ part`,
//! `no Name`, `has Name`, `R-URI`, `sdp` as above, `no sdp`, `at PLACE`, `times N`.
//! `prove PASSWORD` answers the last challenge (with `count N`), `proves PASSWORD` wants right credentials.
//! Other lines: see `command` below.

#[path = "scenarios/digest.rs"]
mod digest;
#[path = "scenarios/party.rs"]
mod party;
#[path = "scenarios/settings.rs"]
mod settings;
#[path = "scenarios/world.rs"]
mod world;

use bytes::Bytes;
use settings::set;
use std::sync::Arc;
use std::time::Duration;
use tandem::authentication::{Account, Authentication, RequiredHeader, Secret};
use tandem::io::{Answer, Input};
use tandem::number::{Fits, Step};
use tandem::rules::{Action, Condition, Direction, Rule, Rules, Target, Template};
use tandem::sip::digest::{Algorithm, Quality};
use tandem::sip::sdp::Sdp;
use tandem::sip::{Draft, Edits, Message, Method, Name};
use tandem::snapshot::{CallerMatch, HeaderMatch, HeaderTest, NumberMatch, Route, Schedule, Zone};
use tandem::trunk::diagnosis::Symptom;
use tandem::trunk::policy::{AssertedIdentity, Forwarding, UserToUserForm, Wildcard};
use tandem::trunk::{EarlyMedia, Host, NumberSource, RequestUriHost, Termination, Trunk};
use world::{Arrived, World};

type Outcome = Result<(), String>;

#[test]
fn every_ladder_holds() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let wanted = std::env::var("LADDER").unwrap_or_default();
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder of ladders")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "ladder"))
        .filter(|path| path.to_string_lossy().contains(&wanted))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "there is no ladder");
    let mut failed = Vec::new();
    for path in &names {
        let text = std::fs::read_to_string(path).expect("a readable ladder");
        for (first, part) in parts(&text) {
            let mut world = World::new();
            if let Err(error) = play(&mut world, first, part) {
                println!("{}:{error}\n{}", path.display(), world.story);
                failed.push(format!("{}:{error}", path.file_name().unwrap_or_default().display()));
            }
        }
    }
    println!("{} ladder files", names.len());
    assert!(failed.is_empty(), "{} of the ladders do not hold:\n{}", failed.len(), failed.join("\n"));
}

/// The ladders of a file: lines of `=` with a title divide them. With each the number of its first line.
fn parts(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut parts = vec![(1, Vec::new())];
    for (at, line) in text.lines().enumerate() {
        match (line.starts_with("=="), parts.last_mut()) {
            (false, Some((_, lines))) => lines.push(line),
            _ => parts.push((at + 2, Vec::new())),
        }
    }
    parts.retain(|(_, lines)| lines.iter().any(|line| !line.is_empty() && !line.starts_with('#')));
    parts
}

fn play(world: &mut World, first: usize, lines: Vec<&str>) -> Outcome {
    let mut kept = false;
    for (at, line) in lines.iter().enumerate() {
        let line = line.split_once('#').filter(|(front, _)| front.is_empty() || front.ends_with(' '));
        let line = line.map_or(lines[at], |(front, _)| front).trim();
        let last = line == "kept";
        kept |= last;
        if !line.is_empty() && !last {
            step(world, line).map_err(|error| format!("{}: {line}\n    {error}", first + at))?;
        }
    }
    let end = |error: String| format!("{}: (end)\n    {error}", first + lines.len());
    unread(world).map_err(end)?;
    if !kept {
        world.advance(Duration::from_secs(40));
        unread(world).map_err(end)?;
    }
    world.last_checks(kept);
    world.faults.first().map_or(Ok(()), |fault| Err(end(fault.clone())))
}

fn step(world: &mut World, line: &str) -> Outcome {
    let mut clauses = line.split(" | ").map(str::trim);
    let head = clauses.next().unwrap_or("");
    let clauses: Vec<&str> = clauses.collect();
    let words: Vec<&str> = head.split_whitespace().collect();
    let place = |name: &str| world.parties.iter().position(|party| party.platform.name == name);
    match words.as_slice() {
        [name, "->", what @ ..] if let Some(at) = place(name) => {
            unread(world)?;
            send(world, at, what, &clauses)
        }
        [name, "<-", what @ ..] if let Some(at) = place(name) => expect(world, at, what, &clauses),
        _ => command(world, &words, &clauses),
    }
}

/// Fails when something has arrived that no line spoke of.
fn unread(world: &mut World) -> Outcome {
    for (at, pending) in world.pending.iter_mut().enumerate() {
        pending.retain(|arrived| arrived.message.status() != Some(100));
        if let Some(arrived) = pending.front() {
            let name = world.parties[at].platform.name;
            return Err(format!("unexpected at {name} ({}):\n{}", arrived.at, shown(&arrived.message)));
        }
    }
    Ok(())
}

fn command(world: &mut World, words: &[&str], clauses: &[&str]) -> Outcome {
    if !matches!(words.first(), Some(&("event" | "no" | "record" | "media" | "store" | "gauges" | "set"))) {
        unread(world)?;
    }
    let at = |world: &World, name: &str| {
        world.parties.iter().position(|party| party.platform.name == name).ok_or(format!("who is {name}?"))
    };
    match words {
        ["wait", span] => world.advance(duration(span)?),
        ["expect", "none"] => {}
        ["set", key, values @ ..] => set(world, key, &values.join(" "))?,
        // A rule of the operator: `rule out genesys | set X-Site | value ${called} | method INVITE`.
        ["rule", direction, trunk @ ..] => {
            let rule = rule(world, direction, trunk, clauses)?;
            world.configure(|snapshot| {
                let rules = snapshot.rules.iter().cloned().chain([rule]).collect();
                snapshot.rules = std::sync::Arc::new(Rules::new(rules));
            });
        }
        // Before all other routes: `route number=emergency to=pbx,genesys`.
        ["route", conditions @ ..] => route(world, conditions)?,
        ["speak"] => world.speak(),
        // The connection that a platform opened is gone; or the one we opened to it.
        ["lose", name] => {
            let n = world.flows[at(world, name)?];
            world.input(Input::FlowLost {
                flow: tandem::flow::FlowId { node: 1, worker: 0, n },
                symptom: Symptom::Lost,
            });
        }
        ["lose", "ours", "to", name] => {
            let n = 100 + at(world, name)? as u64;
            world.input(Input::FlowLost {
                flow: tandem::flow::FlowId { node: 1, worker: 0, n },
                symptom: Symptom::Lost,
            });
        }
        ["unreachable", host] => world.unreachable.push((*host).to_owned()),
        // OPTIONS by a platform, each from an address and a flow of its own.
        ["flood", name, count] => {
            let (at, count) = (at(world, name)?, count.parse::<u16>().map_err(|_| "how many?")?);
            for n in 0..count {
                let octets = world.parties[at].initial(&Method::Options, None).finish();
                let [high, low] = n.to_be_bytes();
                let source = std::net::SocketAddr::from(([52, 113, high, low], 40_000));
                world.deliver(at, octets, 1000 * 10 + u64::from(n) * 10 + at as u64, Some(source), true);
            }
        }
        // Why nothing can be sent there.
        ["because", "the", "certificate"] => world.symptom = Symptom::OurCertificate,
        ["because", "the", "root"] => world.symptom = Symptom::UnknownRoot,
        ["reachable"] => world.unreachable.clear(),
        ["down", name, host] => {
            let host: usize = host.parse().map_err(|_| "not an index of a host")?;
            let id = world.parties[at(world, name)?].platform.trunk;
            let host = world.snapshot.trunk(id).and_then(|trunk| trunk.hosts.get(host)).ok_or("no such host")?.clone();
            world.configure(|snapshot| snapshot.down.push((id, host)));
        }
        ["drain"] => world.input(Input::Drain { now: false }),
        ["drain", "now"] => world.input(Input::Drain { now: true }),
        ["hang", "up"] => {
            let call = *world.calls().first().ok_or("there is no call")?;
            world.input(Input::HangUp { call });
        }
        ["restore"] => world.restore(),
        // A worker that knows no call; one that is asked for it; one that gets it; what the store says.
        ["blank"] => world.forget(),
        ["want"] => world.want(1).ok_or("no call was saved")?,
        ["take", "up"] => world.take_up().ok_or("no call was saved")?,
        ["store", "keeps"] => world.keep().ok_or("no call was saved")?,
        ["store", "<-", "question"] if !world.loads.is_empty() => {}
        ["store", "<-", "none"] if world.loads.is_empty() => {}
        ["store", "->", answer] => world.load(answer).ok_or("nothing was asked, or no call was saved")?,
        ["media", "<-", kind, "of", side] => {
            let asked = world.questions.front().ok_or("nothing was asked")?;
            let seen = (if asked.offer { "offer" } else { "answer" }, if asked.leg == 0 { "caller" } else { "callee" });
            if seen != (*kind, *side) {
                return Err(format!("asked was about the {} of the {}", seen.0, seen.1));
            }
        }
        ["media", "->", "same"] => world.answer(|asked| Answer::Media(asked.sdp.clone())),
        ["media", "->", "anchored"] => world.answer(|asked| {
            let text = String::from_utf8_lossy(&asked.sdp).replace("c=IN IP4 198.51.100.131", "c=IN IP4 192.0.2.77");
            Answer::Media(Bytes::from(text.replace("c=IN IP4 203.0.113.7", "c=IN IP4 192.0.2.77")))
        }),
        ["media", "->", "failure"] => world.answer(|_| Answer::Failed("the relay is down".to_owned())),
        ["media", "<-", "none"] if world.questions.is_empty() => {}
        ["no", "event", text @ ..] => {
            let text = text.join(" ");
            if let Some(event) = world.events.iter().find(|event| event.contains(&text)) {
                return Err(format!("there was {event}"));
            }
        }
        ["event", text @ ..] => {
            let text = text.join(" ");
            let found = world.events.iter().position(|event| event.contains(&text));
            let found = found.ok_or_else(|| format!("no such event among {:#?}", world.events))?;
            // Each event is spoken of once.
            world.events.remove(found);
        }
        ["record", status, by] => {
            let record = world.records.pop_front().ok_or("there is no record")?;
            let seen = (record.status.to_string(), format!("{:?}", record.ended_by).to_lowercase());
            if seen != ((*status).to_owned(), (*by).to_owned()) {
                return Err(format!("the record is {record:?}"));
            }
            let mut clauses = clauses.to_vec();
            if let Some(names) = argument(&clauses, "call-ids") {
                // The Call-IDs of both legs, as they were on the wire.
                let (from, to) = names.split_once(' ').ok_or("whose Call-IDs?")?;
                let (from, to) = (&world.parties[at(world, from)?], &world.parties[at(world, to)?]);
                let sent = from.last_sent(&Method::Invite).map(Message::call_id);
                let received = to.received.iter().rev().find(|message| *message.method() == Method::Invite);
                if (Some(&*record.from_call_id), Some(&*record.to_call_id)) != (sent, received.map(Message::call_id)) {
                    return Err(format!("the Call-IDs of the record are others: {record:?}"));
                }
                clauses.retain(|clause| !clause.starts_with("call-ids"));
            }
            if let Some(missing) = clauses.iter().find(|part| !format!("{record:?}").contains(**part)) {
                return Err(format!("{missing} is not in the record {record:?}"));
            }
        }
        ["gauges", wanted @ ..] => {
            let gauges = format!("{:?}", world.gauges());
            if let Some(missing) = wanted.iter().find(|part| !gauges.contains(&part.replace('=', ": "))) {
                return Err(format!("{missing} is not in {gauges}"));
            }
        }
        _ => return Err("this line cannot be read".to_owned()),
    }
    Ok(())
}

fn route(world: &mut World, conditions: &[&str]) -> Outcome {
    let mut route = Route::default();
    for condition in conditions {
        let (key, value) = condition.split_once('=').ok_or("a condition without value")?;
        let place = |name: &str| world.snapshot.trunk_named(name).map(|trunk| trunk.id).ok_or("no such trunk");
        match key {
            "from" => route.from = Some(place(value)?),
            "number" => route.number = NumberMatch::parse(value).map_err(|error| error.to_string())?,
            "caller" => route.caller = vec![CallerMatch::parse(value).map_err(|error| error.to_string())?],
            "header" => route.header = Some(HeaderMatch { name: value.into(), test: HeaderTest::Present(true) }),
            // Hours of every day, UTC.
            "hours" => {
                let hours =
                    value.split_once('-').and_then(|(from, until)| Some((from.parse().ok()?, until.parse().ok()?)));
                let (from, until): (u16, u16) = hours.ok_or("which hours?")?;
                let zone = Arc::new(Zone { name: "UTC".into(), offsets: Vec::new() });
                route.time = Some(Schedule { days: 127, from: from * 60, until: until * 60, zone });
            }
            "to" => route.to = value.split(',').map(place).collect::<Result<_, _>>()?,
            "weights" => route.weights = value.split(',').filter_map(|weight| weight.parse().ok()).collect(),
            _ => return Err(format!("what is {key}?")),
        }
    }
    world.configure(|snapshot| snapshot.routes.insert(0, route));
    Ok(())
}

fn rule(world: &World, direction: &str, trunks: &[&str], clauses: &[&str]) -> Result<Rule, String> {
    let trunk = |name: &&str| world.snapshot.trunk_named(name).map(|trunk| trunk.id).ok_or(format!("who is {name}?"));
    let said = |key: &str| argument(clauses, key);
    let field = |key| said(key).map(tandem::sip::Field::from);
    let regex = said("pattern").map(|pattern| regex::Regex::new(pattern).expect("an expression"));
    let template = |key| {
        let captures = regex.as_ref().map(|regex| regex.captures_len() - 1);
        said(key).map(|text| Template::parse(text, captures).expect("a template"))
    };
    let target = |key| said(key).map(|name| Target::parse(name).expect("a name"));
    let action = match (field("add"), target("set"), field("remove"), target("replace")) {
        (Some(field), ..) => Action::Add(field, template("value").ok_or("no value")?),
        (_, Some(target), ..) => Action::Set(target, template("value").ok_or("no value")?),
        (_, _, Some(field), _) => Action::Remove(field),
        (.., Some(target)) => {
            Action::Replace(target, regex.clone().ok_or("no pattern")?, template("with").ok_or("no with")?)
        }
        _ => return Err("a rule that does nothing".to_owned()),
    };
    let condition = Condition {
        trunks: trunks.iter().map(trunk).collect::<Result<_, _>>()?,
        direction: if direction == "in" { Direction::In } else { Direction::Out },
        request: None,
        methods: said("method").map(method).into_iter().collect(),
        statuses: said("status")
            .and_then(|status| status.parse().ok())
            .map(|status| (status, status))
            .into_iter()
            .collect(),
        called: Vec::new(),
        caller: Vec::new(),
        part: None,
    };
    Ok(Rule { name: "".into(), condition, action })
}

fn method(text: &str) -> Method {
    Method::known(text).unwrap_or(Method::Other(text.into()))
}

/// The argument of the clause that begins with `word`.
fn argument<'a>(clauses: &[&'a str], word: &str) -> Option<&'a str> {
    clauses
        .iter()
        .find_map(|clause| clause.strip_prefix(word))
        .filter(|rest| rest.is_empty() || rest.starts_with(' '))
        .map(str::trim)
}

fn send(world: &mut World, at: usize, what: &[&str], clauses: &[&str]) -> Outcome {
    if let Some(name) = argument(clauses, "copy") {
        let other = world.parties.iter().find(|party| party.platform.name == name).ok_or("copy whose dialog?")?;
        world.parties[at].dialog = other.dialog.clone();
    }
    let party = &mut world.parties[at];
    let again = |what: &str| {
        let fits = |message: &&Message| {
            message.is_request() && message.method().as_str() == what
                || message.status().map(|s| s.to_string()).as_deref() == Some(what)
        };
        party.sent.iter().rev().find(fits).map(Message::octets).ok_or(format!("{what} was never sent"))
    };
    let octets = match what {
        ["again", what] => again(what)?,
        _ => {
            let mut draft = draft(party, what, clauses)?;
            if let Some(words) = argument(clauses, "sdp") {
                draft.body("application/sdp", party.describe(words));
            } else if let Some((content_type, text)) =
                clauses.iter().find_map(|clause| clause.strip_prefix("body: ")?.split_once(": "))
            {
                draft.body(content_type, Bytes::from(text.replace("\\n", "\r\n")));
            }
            draft.finish()
        }
    };
    let octets = edited(octets, clauses);
    let octets = match argument(clauses, "copy-call-id") {
        Some(name) => {
            let other = world.parties.iter().find(|party| party.platform.name == name);
            let last = other.and_then(|party| party.received.last()).ok_or("whose Call-ID?")?;
            edited(octets, &[&format!("Call-ID: {}", last.call_id())])
        }
        None => octets,
    };
    let octets = match argument(clauses, "prove") {
        Some(password) => {
            let asked = |message: &&Message| matches!(message.status(), Some(401 | 407));
            let challenge = world.parties[at].received.iter().rev().find(asked).ok_or("nobody asked for a proof")?;
            let request = Message::parse(octets).map_err(|_| "no request")?;
            let count = argument(clauses, "count").and_then(|text| text.parse().ok()).unwrap_or(1);
            let (name, value) = digest::prove(challenge, &request, password, count).ok_or("no challenge")?;
            edited(request.octets(), &[&format!("{}: {value}", name.as_str())])
        }
        None => octets,
    };
    let flow = argument(clauses, "flow").and_then(|text| text.parse().ok()).unwrap_or(at as u64);
    let source = argument(clauses, "source").and_then(|text| text.parse().ok());
    world.deliver(at, octets, flow, source, what.first() != Some(&"again"));
    Ok(())
}

fn draft(party: &mut party::Party, what: &[&str], clauses: &[&str]) -> Result<Draft, String> {
    let fresh = clauses.contains(&"fresh") || party.dialog.is_none();
    Ok(match what {
        [status] | [status, "to", _] if let Ok(status) = status.parse::<u16>() => {
            let to = what.get(2).map(|text| method(text));
            party.answer(status, to.as_ref(), argument(clauses, "tag"), usize::from(clauses.contains(&"previous")))
        }
        ["ACK"] if !fresh => party.acknowledge(),
        ["CANCEL"] if !fresh => party.cancel(),
        ["INVITE"] => party.initial(&Method::Invite, argument(clauses, "to")),
        ["re-INVITE"] => party.within(&Method::Invite),
        ["PRACK"] => {
            let reliable = party.received.iter().rev().find(|message| message.header(Name::RSeq).is_some());
            let reliable = reliable.ok_or("there is no reliable response")?;
            let rack = format!("{} {} INVITE", reliable.header(Name::RSeq).unwrap_or(""), reliable.cseq().number);
            let mut draft = party.within(&Method::Prack);
            draft.put(Name::RAck, &rack);
            draft
        }
        [name] if fresh => party.initial(&method(name), argument(clauses, "to")),
        [name] => party.within(&method(name)),
        _ => return Err("what is sent?".to_owned()),
    })
}

/// The message with what a line says about single fields.
fn edited(octets: Bytes, clauses: &[&str]) -> Bytes {
    let Ok(message) = Message::parse(octets.clone()) else { return octets };
    let mut edits = Edits::new();
    let mut start = None;
    for clause in clauses {
        if let Some(name) = clause.strip_prefix("no ") {
            edits.remove(name);
        } else if let Some(length) = clause.strip_prefix("fill ").and_then(|digits| digits.parse().ok()) {
            edits.add("X-Fill", "x".repeat(length));
        } else if let Some((name, value)) = clause.split_once(": ") {
            match name {
                "body" => {}
                "start" => start = Some(value),
                "R-URI" => {
                    edits.request_line(message.method(), value);
                }
                _ if name.contains(' ') => {}
                _ => {
                    edits.set(name, value);
                }
            }
        }
    }
    let octets = edits.write(&message);
    let Some(start) = start else { return octets };
    let rest = octets.iter().position(|&octet| octet == b'\r').map_or(&[][..], |end| &octets[end..]);
    Bytes::from([start.as_bytes(), rest].concat())
}

fn expect(world: &mut World, at: usize, what: &[&str], clauses: &[&str]) -> Outcome {
    let times = argument(clauses, "times").map_or(Ok(1), str::parse).map_err(|_| "how often?")?;
    for _ in 0..times {
        let name = world.parties[at].platform.name;
        let pending = &mut world.pending[at];
        if what != ["100"] {
            while pending.front().is_some_and(|arrived| arrived.message.status() == Some(100)) {
                pending.pop_front();
            }
        }
        let arrived = pending.pop_front().ok_or_else(|| format!("nothing arrived at {name}"))?;
        matches(&arrived, what, clauses).map_err(|error| format!("{error}, in\n{}", shown(&arrived.message)))?;
    }
    Ok(())
}

fn matches(arrived: &Arrived, what: &[&str], clauses: &[&str]) -> Outcome {
    let message = &arrived.message;
    let (wanted, of) = match what {
        [wanted] => (*wanted, None),
        [wanted, "to", of] => (*wanted, Some(*of)),
        _ => return Err("what is received?".to_owned()),
    };
    let in_dialog = tandem::sip::tag(message.header(Name::To).unwrap_or("")).is_some();
    let seen = match message.status() {
        Some(status) => status.to_string(),
        None if *message.method() == Method::Invite && in_dialog => "re-INVITE".to_owned(),
        None => message.method().as_str().to_owned(),
    };
    if seen != wanted || of.is_some_and(|of| message.cseq().method.as_str() != of) {
        return Err(format!("this is {seen} ({})", message.cseq().method));
    }
    let fields = |name: &str| -> Vec<String> {
        match name {
            "R-URI" => vec![message.request_uri().to_owned()],
            "reason" => vec![message.reason().to_owned()],
            "body" => vec![String::from_utf8_lossy(&message.body()).into_owned()],
            _ => message
                .lines()
                .filter(|line| line.text.eq_ignore_ascii_case(name))
                .map(|line| line.value.to_owned())
                .collect(),
        }
    };
    for clause in clauses {
        let holds = if *clause == "no sdp" {
            message.body().is_empty()
        } else if let Some(words) = argument(&[clause], "sdp") {
            described(message, words)?;
            true
        } else if let Some(password) = argument(&[clause], "proves") {
            let (password, field) = match password.split_once(" to proxy") {
                Some((password, _)) => (password, Name::ProxyAuthorization),
                None => (password, Name::Authorization),
            };
            digest::fault(message, field, password).map_or(Ok(true), Err)?
        } else if let Some(name) = clause.strip_prefix("no ") {
            fields(name).is_empty()
        } else if let Some(name) = clause.strip_prefix("has ") {
            !fields(name).is_empty()
        } else if let Some(place) = clause.strip_prefix("at ") {
            arrived.at.starts_with(place)
        } else if clause.starts_with("times ") {
            true
        } else if let Some((name, part)) = clause.split_once(" ~ ") {
            fields(name).iter().any(|value| value.contains(part))
        } else if let Some((name, value)) = clause.split_once(": ") {
            fields(name).iter().any(|seen| seen == value)
        } else {
            return Err(format!("\"{clause}\" cannot be read"));
        };
        if !holds {
            return Err(format!("\"{clause}\" does not hold ({})", arrived.at));
        }
    }
    Ok(())
}

/// Compares a description with the words of a line.
fn described(message: &Message, words: &str) -> Outcome {
    let sdp = Sdp::parse(message.body()).map_err(|error| format!("no description: {error}"))?;
    let media = sdp.media().next().ok_or("a description without media")?;
    for word in words.split_whitespace() {
        let seen = match word.chars().next() {
            Some(':') => format!(":{}", media.port),
            Some('v') => format!("v{}", sdp.origin().version),
            Some('0'..='9') => media.connection.unwrap_or("").to_owned(),
            _ => sdp.direction().as_str().to_owned(),
        };
        if seen != word {
            return Err(format!("the description says {seen}, not {word}"));
        }
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit = [("ms", 1), ("min", 60_000), ("h", 3_600_000), ("s", 1000), ("*T1", 500)];
    let found = unit.iter().find_map(|(name, factor)| Some((text.strip_suffix(name)?.parse::<u64>().ok()?, factor)));
    found.map(|(count, factor)| Duration::from_millis(count * factor)).ok_or(format!("how long is {text}?"))
}

fn shown(message: &Message) -> String {
    String::from_utf8_lossy(&message.octets()).trim_end().lines().map(|line| format!("        {line}\n")).collect()
}
