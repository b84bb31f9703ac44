//! Whether the hosts of trunks answer: OPTIONS of ours, host by host (TDR-30 to 33, TDR-39, GEN-84).
//!
//! One worker speaks for all, since the platforms count what they receive. A host is up until it fails:
//! no answer or 503 takes it down, the first answer that counts brings it back. For Teams only a 2xx
//! counts: 403 means that the trunk is not known there. For the others any answer is a sign of life.
//! What is known of a host goes by its name and port: a reload may give its place to another. A trunk
//! whose hosts are all down has an alarm of its own; its calls are tried all the same ([`routing`]).

use crate::call::{CallKey, Context};
use crate::event::{Alarm, EventKind, Severity};
use crate::flow::TrunkId;
use crate::identifier::Minter;
use crate::normalize;
use crate::routing;
use crate::sip::{Draft, Method, Name};
use crate::transaction::ClientId;
use crate::trunk::{Host, Kind, Trunk};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The jitter on top of the interval, in milliseconds: the gap is never below it (TDR-32: 60 to 65 s).
const JITTER_MS: u32 = 5_000;

/// The states of all hosts that get our OPTIONS.
#[derive(Debug, Default)]
pub struct Health {
    hosts: BTreeMap<(TrunkId, Host), HostState>,
    /// Trunks without a host that is up.
    dark: BTreeSet<TrunkId>,
}

#[derive(Debug)]
struct HostState {
    due: Instant,
    pending: Option<ClientId>,
    /// `None` before the first result.
    up: Option<bool>,
    cseq: u32,
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
            let due = cx.now.monotonic;
            self.hosts.entry(host).or_insert(HostState { due, pending: None, up: None, cseq: 0 });
        }
        for id in self.dark.clone() {
            self.judge(cx, id);
        }
    }

    /// When the next OPTIONS is due.
    pub fn poll_timeout(&self, draining: bool) -> Option<Instant> {
        if draining { None } else { self.hosts.values().map(|host| host.due).min() }
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
            let (true, Some(interval)) = (state.due <= now, trunk.options_interval) else { continue };
            let jitter = u64::from(cx.minter.cseq() % JITTER_MS);
            state.due = now + interval + Duration::from_millis(jitter);
            if state.pending.is_none() {
                state.cseq += 1;
                state.pending = Some(send_options(cx, &trunk, index, state.cseq));
            }
        }
    }

    /// The result of an OPTIONS: its final status, or `None` when none came. Returns whether it was one of ours.
    pub fn handle_result(&mut self, cx: &mut Context, client: ClientId, status: Option<u16>) -> bool {
        let Some(((id, host), state)) = self.hosts.iter_mut().find(|(_, state)| state.pending == Some(client)) else {
            return false;
        };
        let (id, host) = (*id, host.clone());
        state.pending = None;
        let Some(trunk) = cx.snapshot.trunk(id).cloned() else { return true };
        let up = is_up(trunk.kind, status);
        if state.up.replace(up) != Some(up) {
            report(cx, &trunk, &host, up, status);
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

/// What to do about a host that counts as down after this status.
pub fn remedy(kind: Kind, status: Option<u16>) -> &'static str {
    match (kind, status) {
        (Kind::Teams, Some(403)) => {
            "Teams does not know this SBC: pair the trunk's fqdn in the tenant, or correct fqdn (TDR-35)"
        }
        (Kind::Genesys, None) => "check the trunk's access list in Genesys, the firewall and the region (GEN-23)",
        _ => "check name resolution, firewall, certificates and the platform's status",
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

fn report(cx: &mut Context, trunk: &Trunk, host: &Host, up: bool, status: Option<u16>) {
    let why = match status {
        Some(status) => format!("OPTIONS answered with {status}"),
        None => "OPTIONS not answered".to_owned(),
    };
    let remedy = remedy(trunk.kind, status);
    let (port, name) = (host.port, host.name.clone());
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
    cx.request(CallKey::NONE, &Method::Options, &branch, &hop, octets)
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
