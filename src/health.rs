//! Whether the hosts of trunks answer: OPTIONS of ours, host by host (TDR-30 to 33, TDR-39, GEN-84).
//!
//! One worker speaks for all, since the platforms count what they receive. A host is up until it fails:
//! no answer or 503 takes it down, the first answer that counts brings it back. For Teams only a 2xx
//! counts: 403 means that the trunk is not known there. For the others any answer is a sign of life.

use crate::call::{CallKey, Context};
use crate::event::{Alarm, EventKind, Severity};
use crate::flow::TrunkId;
use crate::identifier::Minter;
use crate::normalize;
use crate::routing;
use crate::sip::{Draft, Method, Name};
use crate::transaction::ClientId;
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The jitter on top of the interval, in milliseconds: the gap is never below it (TDR-32: 60 to 65 s).
const JITTER_MS: u32 = 5_000;

/// The states of all hosts that get our OPTIONS.
#[derive(Debug, Default)]
pub struct Health {
    hosts: BTreeMap<(TrunkId, usize), HostState>,
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
    pub fn follow(&mut self, cx: &Context) {
        let wanted: Vec<(TrunkId, usize)> = cx
            .snapshot
            .trunks
            .iter()
            .filter(|trunk| trunk.options_interval.is_some() && !trunk.retired)
            .flat_map(|trunk| (0..trunk.hosts.len()).map(|host| (trunk.id, host)))
            .collect();
        self.hosts.retain(|host, _| wanted.contains(host));
        for host in wanted {
            let due = cx.now.monotonic;
            self.hosts.entry(host).or_insert(HostState { due, pending: None, up: None, cseq: 0 });
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
        for (&(id, index), state) in &mut self.hosts {
            let Some(trunk) = cx.snapshot.trunk(id).cloned() else { continue };
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
        let Some((&(id, index), state)) = self.hosts.iter_mut().find(|(_, state)| state.pending == Some(client)) else {
            return false;
        };
        state.pending = None;
        let Some(trunk) = cx.snapshot.trunk(id).cloned() else { return true };
        let up = is_up(trunk.kind, status);
        let before = state.up.replace(up);
        if before == Some(up) || (before.is_none() && up) {
            if before.is_none() {
                report(cx, &trunk, index, up, status);
            }
            return true;
        }
        report(cx, &trunk, index, up, status);
        true
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

fn report(cx: &mut Context, trunk: &Trunk, index: usize, up: bool, status: Option<u16>) {
    let Some(host) = trunk.hosts.get(index) else { return };
    let why = match status {
        Some(status) => format!("OPTIONS answered with {status}"),
        None => "OPTIONS not answered".to_owned(),
    };
    let remedy = remedy(trunk.kind, status);
    cx.event(None, EventKind::Host { trunk: trunk.id, host: host.name.clone(), up, why: why.clone() });
    let alarm = Alarm {
        key: format!("host:{}:{}", trunk.name, host.name),
        severity: Severity::Critical,
        raised: !up,
        text: format!("{} of trunk {}: {why}", host.name, trunk.name),
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
    draft.put(Name::Accept, "application/sdp").put(Name::UserAgent, product);
    (branch, draft.finish())
}
