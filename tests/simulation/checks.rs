//! What must never happen (design §4), looked for in every message and event that leaves the element.

use super::script::{GENESYS, TEAMS};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use tandem::event::{Event, EventKind};
use tandem::io::Destination;
use tandem::sip::{Message, Method, Name, sdp_part, tag, top_via};
use tandem::trunk::Trunk;
use uuid::Uuid;

/// The messages of one dialog that the element sent.
#[derive(Default)]
struct Said {
    /// By the other's tag: a fork has a sequence of its own.
    cseq: HashMap<String, u32>,
    branches: HashSet<String>,
    description: Option<(String, u64, Bytes)>,
    seen: HashSet<Bytes>,
}

/// A request that the element received.
struct Heard {
    worker: usize,
    finals: Vec<Bytes>,
    to_tag: Option<String>,
    excused: bool,
}

/// All that is remembered, and the first faults.
#[derive(Default)]
pub struct Checks {
    /// What was broken.
    pub faults: Vec<String>,
    said: HashMap<(String, String), Said>,
    heard: HashMap<(usize, String, Method), Heard>,
    started: HashMap<Uuid, (usize, u32)>,
    /// Call-ID and the peer's tag in calls that were taken up again.
    restored: HashMap<(String, String), Uuid>,
    /// Why each call ended.
    pub reasons: Vec<String>,
    /// Calls that were lost with their worker.
    pub lost: u64,
    /// A worker has failed: what it had said may be said again otherwise.
    pub crashed: bool,
    /// The store may fail: a call may be unknown to a request.
    pub forgetful: bool,
    /// How often a call went to another worker.
    pub moves: u64,
}

impl Checks {
    fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    /// The element has received a request.
    pub fn heard(&mut self, platform: usize, worker: usize, message: &Message) {
        if !message.is_request() || *message.method() == Method::Ack {
            return;
        }
        let branch = top_via(message).ok().and_then(|via| via.branch()).unwrap_or("").to_owned();
        let fresh = Heard { worker, finals: Vec::new(), to_tag: None, excused: false };
        self.heard.entry((platform, branch, message.method().clone())).or_insert(fresh);
    }

    /// The element sends a message to a platform.
    pub fn said(&mut self, platform: usize, trunk: &Trunk, to: &Destination, octets: &Bytes) {
        if let Destination::Hop(hop) = to {
            let known = hop.host.parse().map_or_else(|_| trunk.may_dial(&hop.host), |address| trunk.covers(address));
            if !known || hop.addresses.iter().any(|address| !trunk.covers(address.ip())) {
                self.fault(format!("dials {} on trunk {}", hop.host, trunk.name));
            }
            if hop.trunk != trunk.id {
                self.fault("another trunk".to_owned());
            }
        }
        let message = match Message::parse(octets.clone()) {
            Ok(message) => message,
            Err(rejected) => return self.fault(format!("sends what is no message: {}", rejected.fault)),
        };
        match message.is_request() {
            true => self.said_request(platform, &message),
            false => self.said_response(platform, &message),
        }
    }

    fn said_request(&mut self, platform: usize, message: &Message) {
        let method = message.method();
        let allowed = match method {
            Method::Invite | Method::Ack | Method::Cancel | Method::Bye | Method::Options => true,
            Method::Info | Method::Update | Method::Prack => platform == GENESYS,
            _ => false,
        };
        if !allowed {
            self.fault(format!("sends {method} to platform {platform}"));
        }
        if message.header(Name::Replaces).is_some() || message.header(Name::ReferTo).is_some() {
            self.fault("sends Replaces or Refer-To".to_owned());
        }
        if platform == TEAMS
            && *method == Method::Invite
            && tag(message.header(Name::To).unwrap_or("")).is_none()
            && message.body().is_empty()
        {
            self.fault("sends an INVITE without offer to the hub".to_owned());
        }
        let branch = top_via(message).ok().and_then(|via| via.branch()).unwrap_or("").to_owned();
        let ours = tag(message.header(Name::From).unwrap_or("")).unwrap_or("").to_owned();
        let key = (ours, message.call_id().to_owned());
        let said = self.said.entry(key.clone()).or_default();
        let number = message.cseq().number;
        if !matches!(method, Method::Ack | Method::Cancel) && said.branches.insert(branch) {
            let theirs = tag(message.header(Name::To).unwrap_or("")).unwrap_or("").to_owned();
            let cseq = said.cseq.entry(theirs).or_insert(0);
            let last = std::mem::replace(cseq, number.max(*cseq));
            if number <= last {
                self.fault(format!("CSeq {number} of {method} after {last} in {}", message.call_id()));
            }
        }
        self.described(key, message);
    }

    fn said_response(&mut self, platform: usize, message: &Message) {
        let branch = top_via(message).ok().and_then(|via| via.branch()).unwrap_or("").to_owned();
        let method = message.method().clone();
        let status = message.status().unwrap_or(0);
        let to = message.header(Name::To).unwrap_or("");
        let ours = tag(to).unwrap_or("").to_owned();
        let mut faults = Vec::new();
        let theirs = tag(message.header(Name::From).unwrap_or("")).unwrap_or("").to_owned();
        let restored = self.restored.get(&(message.call_id().to_owned(), theirs));
        if status == 481
            && !self.forgetful
            && matches!(method, Method::Bye | Method::Invite | Method::Options)
            && restored.and_then(|call| self.started.get(call)).is_some_and(|(_, ends)| *ends == 0)
        {
            faults.push(format!("a call that was taken up again is not known to {method}"));
        }
        if let Some(heard) = self.heard.get_mut(&(platform, branch.clone(), method.clone())) {
            if status > 100 && method == Method::Invite {
                match &heard.to_tag {
                    Some(earlier) if *earlier != ours => faults.push(format!("two To tags: {earlier} and {ours}")),
                    _ => heard.to_tag = Some(ours.clone()),
                }
            }
            let octets = message.octets();
            if status >= 200 && !heard.finals.contains(&octets) {
                heard.finals.push(octets);
                if heard.finals.len() > 1 && !heard.excused {
                    faults.push(format!("{} different final responses to {method} {branch}", heard.finals.len()));
                }
            }
        } else {
            faults.push(format!("response {status} to {method} {branch} that never came"));
        }
        self.faults.append(&mut faults);
        self.described((ours, message.call_id().to_owned()), message);
    }

    /// `o=`: the id stays, the version grows by one with each change (RFC 3264 §8).
    fn described(&mut self, key: (String, String), message: &Message) {
        let Some(sdp) = sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body()) else { return };
        let said = self.said.entry(key).or_default();
        if !said.seen.insert(message.octets()) {
            return;
        }
        let text = String::from_utf8_lossy(&sdp).into_owned();
        let origin = text.lines().find_map(|line| line.strip_prefix("o=")).unwrap_or("").to_owned();
        let mut parts = origin.split(' ');
        let id = format!("{} {}", parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let version: u64 = parts.next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let rest: String = text.lines().filter(|line| !line.starts_with("o=")).collect::<Vec<_>>().join("\n");
        let rest = Bytes::from(rest);
        let mut fault = None;
        if let Some((last_id, last_version, last)) = &said.description {
            // An offer that was refused may be made again under a version of its own.
            let expected = last_version + 1;
            let fits = version == expected || (*last == rest && version == *last_version);
            if *last_id != id {
                fault = Some(format!("o= id changes from {last_id} to {id}"));
            } else if !(fits || self.crashed && version >= *last_version) {
                fault = Some(format!("o= version {version} after {last_version}, expected {expected}"));
            }
        }
        said.description = Some((id, version, rest));
        self.faults.extend(fault);
    }

    /// The element says what happened.
    pub fn event(&mut self, worker: usize, event: &Event) {
        match (&event.kind, event.call) {
            (EventKind::CallStarted { .. }, Some(call)) => {
                let before = self.started.insert(call, (worker, 0));
                self.faults.extend(before.map(|_| "a call started twice".to_owned()));
            }
            (EventKind::CallEnded(record), call) => {
                self.reasons.push(record.reason.clone());
                let ends = call.and_then(|call| self.started.get_mut(&call)).map(|(_, ends)| {
                    *ends += 1;
                    *ends
                });
                if ends != Some(1) {
                    self.fault(format!("call ended {ends:?} times"));
                }
                if record.answered_ms.is_none() && (200..300).contains(&record.status) {
                    self.fault("a record with 200 that was never answered".to_owned());
                }
            }
            _ => {}
        }
    }

    /// A call goes to another worker.
    pub fn moves(&mut self, call: Uuid, to: usize, octets: &Bytes) {
        self.moves += 1;
        self.must_be_known(call, octets);
        if let Some((home, _)) = self.started.get_mut(&call) {
            *home = to;
        }
    }

    fn must_be_known(&mut self, call: Uuid, octets: &Bytes) {
        let value: serde_json::Value = serde_json::from_slice(octets).unwrap();
        for leg in value["legs"].as_array().into_iter().flatten() {
            let [call_id, theirs] =
                ["call_id", "remote_tag"].map(|name| leg["dialog"][name].as_str().unwrap().to_owned());
            self.restored.insert((call_id, theirs), call);
        }
    }

    /// A worker fails; `saved` are the calls that it gets back.
    pub fn crash(&mut self, worker: usize, saved: &HashMap<Uuid, Bytes>) {
        self.crashed = true;
        for (&call, octets) in saved {
            self.must_be_known(call, octets);
        }
        for heard in self.heard.values_mut().filter(|heard| heard.worker == worker) {
            heard.excused = true;
        }
        let gone: Vec<Uuid> = self
            .started
            .iter()
            .filter(|(call, (home, ends))| *home == worker && *ends == 0 && !saved.contains_key(call))
            .map(|(&call, _)| call)
            .collect();
        for call in gone {
            self.started.remove(&call);
            self.lost += 1;
        }
    }

    /// What can be told only at the end.
    pub fn finish(&mut self) {
        let mut faults: Vec<String> = self
            .heard
            .iter()
            .filter(|((_, _, method), heard)| {
                // RFC 4320: a request other than INVITE is never answered with 408, so one that crosses may stay without.
                let waits = matches!(method, Method::Info | Method::Update);
                heard.finals.is_empty() && !heard.excused && !waits
            })
            .map(|((platform, branch, method), _)| {
                format!("{method} {branch} of platform {platform} without final response")
            })
            .collect();
        faults.extend(
            self.started.iter().filter(|(_, (_, ends))| *ends != 1).map(|(call, _)| format!("no record of {call}")),
        );
        faults.sort();
        self.faults.append(&mut faults);
    }
}
