//! Whether the hosts of trunks answer: OPTIONS of ours, host by host (TDR-30 to 33, TDR-39, GEN-84).
//!
//! One worker speaks for all, since the platforms count what they receive. A host is up until it fails:
//! no answer or 503 takes it down, the first answer that counts brings it back. For Teams only a 2xx
//! counts: 403 means that the trunk is not known there. For the others any answer is a sign of life.
//! What is known of a host goes by its name and port: a reload may give its place to another. A trunk
//! whose hosts are all down has an alarm of its own; its calls are tried all the same ([`routing`]).
//! Why a host is down, and what to do, is a row of [`diagnosis`](crate::trunk::diagnosis).

use crate::call::Context;
use crate::event::{Alarm, EventKind, Severity};
use crate::flow::{Transport, TrunkId};
use crate::identifier::Minter;
use crate::normalize;
use crate::routing::{self, Failure};
use crate::sip::{Draft, Message, Method, Name, reasons};
use crate::transaction::ClientId;
use crate::trunk::diagnosis::{Symptom, diagnosis};
use crate::trunk::{Host, Kind, Trunk};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The jitter on top of the interval, in milliseconds: the gap is never below it (TDR-32: 60 to 65 s).
const JITTER_MS: u32 = 5_000;

/// How long the hub may have taken none of our OPTIONS before that is an alarm: one of them may be lost, and of the
/// shortest window that Microsoft publishes, 3 minutes, a third is left to act (TDR-38).
const DEMOTION_NOTICE: Duration = Duration::from_secs(120);

/// The states of all hosts that get our OPTIONS.
#[derive(Debug, Default)]
pub struct Health {
    hosts: BTreeMap<(TrunkId, Host), HostState>,
    /// Trunks without a host that is up.
    dark: BTreeSet<TrunkId>,
    /// What the shell said of the failure that comes next.
    noted: Option<Symptom>,
}

#[derive(Debug)]
struct HostState {
    due: Instant,
    pending: Option<ClientId>,
    /// `None` before the first result.
    up: Option<bool>,
    /// Why it is down.
    symptom: Option<Symptom>,
    /// When it last took an OPTIONS; at first, since when it is asked.
    taken: Instant,
    /// Whether the alarm about that was raised.
    demoted: bool,
    cseq: u32,
}

/// How an OPTIONS of ours ended.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// With this final response.
    Answer(&'a Message),
    /// Without one.
    Failed(Failure),
}

impl Health {
    /// Follows the snapshot: new hosts are asked at once, hosts that are gone are forgotten.
    pub fn follow(&mut self, cx: &mut Context) {
        let wanted: Vec<(TrunkId, Host)> = cx
            .snapshot
            .trunks
            .iter()
            .filter(|trunk| trunk.options_interval.is_some() && !trunk.retired)
            .flat_map(|trunk| trunk.hosts.iter().map(|host| (trunk.id, host.clone())))
            .collect();
        self.hosts.retain(|host, _| wanted.contains(host));
        for host in wanted {
            let now = cx.now.monotonic;
            self.hosts.entry(host).or_insert(HostState {
                due: now,
                pending: None,
                up: None,
                symptom: None,
                taken: now,
                demoted: false,
                cseq: 0,
            });
        }
        for id in self.dark.clone() {
            self.judge(cx, id);
        }
    }

    /// When the next OPTIONS is due, or an alarm about one that is missing.
    pub fn poll_timeout(&self, draining: bool) -> Option<Instant> {
        let next = |state: &HostState| match state.demoted {
            true => state.due,
            false => state.due.min(state.taken + DEMOTION_NOTICE),
        };
        if draining { None } else { self.hosts.values().map(next).min() }
    }

    /// Sends what is due. While draining nothing is sent: the platforms take us out of use (TDR-128).
    pub fn handle_timeout(&mut self, cx: &mut Context) {
        if cx.draining {
            return;
        }
        let now = cx.now.monotonic;
        for ((id, host), state) in &mut self.hosts {
            let Some(trunk) = cx.snapshot.trunk(*id).cloned() else { continue };
            let Some(index) = trunk.hosts.iter().position(|own| own == host) else { continue };
            if !state.demoted && state.taken + DEMOTION_NOTICE <= now {
                // Said once; what is no hub demotes nobody.
                state.demoted = true;
                if trunk.kind == Kind::Teams {
                    cx.event(None, EventKind::Alarm(demotion(&trunk, host, true)));
                }
            }
            let (true, Some(interval)) = (state.due <= now, trunk.options_interval) else { continue };
            let jitter = u64::from(cx.minter.cseq() % JITTER_MS);
            state.due = now + interval + Duration::from_millis(jitter);
            if state.pending.is_none() {
                state.cseq += 1;
                state.pending = Some(send_options(cx, &trunk, index, state.cseq));
            }
        }
    }

    /// What the shell knows of the failure that follows: a message that could not be sent, a flow that is gone.
    pub fn note(&mut self, symptom: Symptom) {
        self.noted = Some(symptom);
    }

    /// An OPTIONS went out again as `next`, with the credentials that it was asked for.
    pub fn follow_up(&mut self, client: ClientId, next: ClientId) {
        if let Some(state) = self.hosts.values_mut().find(|state| state.pending == Some(client)) {
            state.pending = Some(next);
        }
    }

    /// The result of an OPTIONS. Returns whether it was one of ours.
    pub fn handle_result(&mut self, cx: &mut Context, client: ClientId, outcome: &Outcome<'_>) -> bool {
        let noted = self.noted.take();
        let Some(((id, host), state)) = self.hosts.iter_mut().find(|(_, state)| state.pending == Some(client)) else {
            return false;
        };
        let (id, host) = (*id, host.clone());
        state.pending = None;
        let Some(trunk) = cx.snapshot.trunk(id).cloned() else { return true };
        let status = match outcome {
            Outcome::Answer(response) => response.status(),
            Outcome::Failed(_) => None,
        };
        let up = is_up(trunk.kind, status);
        let symptom = if up { None } else { Some(symptom(outcome, noted)) };
        if up {
            state.taken = cx.now.monotonic;
            // With its first answer as well: a worker started anew does not know what its predecessor raised.
            let first = state.up.is_none();
            if (std::mem::take(&mut state.demoted) || first) && trunk.kind == Kind::Teams {
                cx.event(None, EventKind::Alarm(demotion(&trunk, &host, false)));
            }
        }
        let tls = match symptom {
            _ if trunk.transport != Transport::Tls => None,
            Some(symptom) => symptom.tls(),
            None => Some(true),
        };
        let (port, name) = (host.port, host.name.clone());
        cx.event(None, EventKind::Asked { trunk: id, port, host: name, status, tls });
        let news = state.up.replace(up) != Some(up);
        if state.symptom != symptom || news {
            state.symptom = symptom;
            report(cx, &trunk, &host, symptom, status);
        }
        if news {
            self.judge(cx, id);
        }
        true
    }

    /// Raises or clears the alarm of a trunk without a host that is up. One that was not asked yet may be.
    fn judge(&mut self, cx: &mut Context, id: TrunkId) {
        let hosts = || self.hosts.iter().filter(|((of, _), _)| *of == id).map(|(_, state)| state.up);
        let dark = hosts().next().is_some() && hosts().all(|up| up == Some(false));
        // Cleared as often as a host comes up: a worker started anew does not know what its predecessor raised.
        let up = hosts().any(|up| up == Some(true));
        let before = if dark { !self.dark.insert(id) } else { self.dark.remove(&id) };
        if let Some(trunk) = cx.snapshot.trunk(id).cloned().filter(|_| dark != before || up) {
            cx.event(None, EventKind::Alarm(no_host(&trunk, dark)));
        }
    }
}

/// Whether a host counts as up after the final status of an OPTIONS; `None`: there was none.
pub fn is_up(kind: Kind, status: Option<u16>) -> bool {
    match (kind, status) {
        (_, None | Some(503)) => false,
        (Kind::Teams, Some(status)) => (200..300).contains(&status),
        (Kind::Genesys | Kind::Generic, Some(_)) => true,
    }
}

/// What an OPTIONS that does not count says about its host; `noted` is what the shell knows.
fn symptom(outcome: &Outcome<'_>, noted: Option<Symptom>) -> Symptom {
    match outcome {
        Outcome::Answer(response) => {
            let cause = reasons(response).find(|reason| reason.protocol.eq_ignore_ascii_case("Q.850"));
            Symptom::of_answer(response.status().unwrap_or(0), cause.and_then(|reason| reason.cause))
        }
        Outcome::Failed(Failure::Timeout | Failure::Status(_)) => Symptom::Silent,
        Outcome::Failed(Failure::Unreachable | Failure::Lost) => noted.unwrap_or(Symptom::Lost),
    }
}

fn no_host(trunk: &Trunk, raised: bool) -> Alarm {
    let text = match raised {
        true => format!("every host of trunk {} is down; calls are tried on them all the same", trunk.name),
        false => format!("trunk {} has a host that answers", trunk.name),
    };
    let remedy = "see the alarms of the hosts; check network, firewall and certificates";
    Alarm { key: format!("trunk_down:{}", trunk.name), severity: Severity::Critical, raised, text, remedy }
}

fn demotion(trunk: &Trunk, host: &Host, raised: bool) -> Alarm {
    let text = match raised {
        true => format!("{host} has taken no OPTIONS of trunk {} for {} s", trunk.name, DEMOTION_NOTICE.as_secs()),
        false => format!("{host} takes OPTIONS of trunk {}", trunk.name),
    };
    let remedy = diagnosis(trunk.kind, Symptom::Demotion).remedy;
    Alarm { key: format!("demotion:{}:{host}", trunk.name), severity: Severity::Critical, raised, text, remedy }
}

fn report(cx: &mut Context, trunk: &Trunk, host: &Host, symptom: Option<Symptom>, status: Option<u16>) {
    let why = match (status, symptom) {
        (Some(status), _) => format!("OPTIONS answered with {status}"),
        (None, symptom) => symptom.unwrap_or(Symptom::Silent).words().to_owned(),
    };
    let remedy = symptom.map_or("", |symptom| diagnosis(trunk.kind, symptom).remedy);
    let (port, name, up) = (host.port, host.name.clone(), symptom.is_none());
    cx.event(None, EventKind::Host { trunk: trunk.id, port, host: name, up, why: why.clone() });
    let alarm = Alarm {
        key: format!("host:{}:{host}", trunk.name),
        severity: Severity::Critical,
        raised: !up,
        text: format!("{host} of trunk {}: {why}", trunk.name),
        remedy,
    };
    cx.event(None, EventKind::Alarm(alarm));
}

fn send_options(cx: &mut Context, trunk: &Arc<Trunk>, index: usize, cseq: u32) -> ClientId {
    let hop = Arc::new(routing::hop(&cx.snapshot, trunk, index));
    let snapshot = cx.snapshot.clone();
    let (branch, octets) = options(trunk, (&hop.host, hop.port), cseq, &snapshot.edge.product, &mut cx.minter);
    let octets = cx.leave_bare(trunk, octets);
    cx.request_alone(trunk, &Method::Options, &branch, &hop, octets)
}

/// OPTIONS to host and port as the platforms want them (TDR-33, 34): its branch, and its octets.
pub fn options(
    trunk: &Trunk,
    (host, port): (&str, u16),
    cseq: u32,
    product: &str,
    minter: &mut Minter,
) -> (String, Bytes) {
    let slot = minter.slot();
    let (branch, tag, call_id) = (minter.branch(slot), minter.tag(slot), minter.call_id(slot));
    let transport = trunk.transport.uri_value();
    let mut draft = Draft::request(&Method::Options, &format!("sip:{host}:{port};transport={transport}"));
    draft.put(Name::Via, &normalize::via(trunk, &branch)).put_number(Name::MaxForwards, 70);
    draft.put(Name::From, &format!("<sip:{}:{}>;tag={tag}", trunk.fqdn, trunk.port));
    draft.put(Name::To, &format!("<sip:{host}:{port}>"));
    draft.put(Name::CallId, &format!("{call_id}@{}", trunk.fqdn));
    draft.put(Name::CSeq, &format!("{cseq} OPTIONS"));
    draft.put(Name::Contact, &normalize::contact(trunk, None));
    draft.put(Name::Allow, normalize::allow(trunk)).put(Name::Supported, normalize::supported(trunk));
    draft.put(Name::Accept, "application/sdp");
    normalize::introduce(&mut draft, trunk, product);
    (branch, draft.finish())
}
