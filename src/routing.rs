//! From an initial request to ordered targets, or a refusal; and from a failed target to the next.
//!
//! [`identify`] says which trunk a request comes from (design: "Peer, then trunk"), [`route`] which
//! hosts of which trunks are tried in what order, [`after_failure`] whether the next one is (TDR-123 to
//! 125, GEN-85). [`hop`] and [`hop_for_uri`] are the only makers of a [`Hop`]: what they refuse is never
//! dialled (design: "Where we dial"). What a number looks like on the wire is the business of
//! [`normalize`](crate::normalize).

use crate::directory::Entry;
use crate::flow::{Hop, Peer, TrunkId};
use crate::number::{Number, NumberError};
use crate::pii::Pii;
use crate::sip::{Message, Scheme, Uri, host_ip};
pub use crate::snapshot::{CallerMatch, HeaderMatch, HeaderTest, NumberMatch, Route, Schedule, Zone};
use crate::snapshot::{Snapshot, address_key};
use crate::trunk::{Kind, Trunk};
use smallvec::{SmallVec, smallvec};
use std::net::SocketAddr;
use std::sync::Arc;

/// Why an initial request gets no target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The Request-URI, or the To that holds the number, cannot be read.
    #[error("URI malformed")]
    MalformedUri,
    /// A URI that is neither `sip:` nor `tel:` (TDR-1: no `sips:`).
    #[error("URI scheme not supported")]
    Scheme,
    /// The request names no trunk that its peer may be (TDR-158).
    #[error("no such trunk")]
    UnknownTrunk,
    /// The request fits several trunks.
    #[error("trunk ambiguous")]
    AmbiguousTrunk,
    /// Where the number should be is something else.
    #[error("not a telephone number")]
    NotANumber,
    /// There is no number.
    #[error("number incomplete")]
    Incomplete,
    /// No route is for this trunk and number.
    #[error("no route")]
    NoRoute,
    /// An emergency number, and no emergency route is for this trunk (GEN-60).
    #[error("no emergency route")]
    NoEmergencyRoute,
    /// A route asks the directory, which does not have the number (TDR-46).
    #[error("number not in the directory")]
    UnknownNumber,
    /// The directory says that the user may not be called.
    #[error("user not active")]
    Inactive,
    /// The trunks of the route are being removed, or have no host.
    #[error("no target available")]
    NoTarget,
}

impl Refusal {
    /// The status of the response. 503 only where another SBC might do better (GEN-80, TDR-127, TDR-163).
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedUri => 400,
            Self::UnknownTrunk | Self::AmbiguousTrunk | Self::NotANumber => 404,
            Self::NoRoute | Self::NoEmergencyRoute | Self::UnknownNumber => 404,
            Self::Scheme => 416,
            Self::Inactive => 480,
            Self::Incomplete => 484,
            Self::NoTarget => 503,
        }
    }

    /// What it is called in events and metrics: a word of its own for each variant.
    pub fn label(self) -> &'static str {
        match self {
            Self::MalformedUri => "malformed-uri",
            Self::Scheme => "scheme",
            Self::UnknownTrunk => "unknown-trunk",
            Self::AmbiguousTrunk => "ambiguous-trunk",
            Self::NotANumber => "not-a-number",
            Self::Incomplete => "incomplete",
            Self::NoRoute => "no-route",
            Self::NoEmergencyRoute => "no-emergency-route",
            Self::UnknownNumber => "unknown-number",
            Self::Inactive => "inactive",
            Self::NoTarget => "no-target",
        }
    }
}

impl From<NumberError> for Refusal {
    fn from(error: NumberError) -> Self {
        match error {
            NumberError::Empty => Self::Incomplete,
            NumberError::NotANumber | NumberError::TooLong => Self::NotANumber,
        }
    }
}

/// Which of the trunks that `peer` may be sends `request`, an initial one or one outside dialogs.
///
/// The host of the Request-URI names us as that trunk knows us; where trunks share our name, `tgrp`
/// (RFC 4904) tells them apart, or the token of a header field (GEN-27). A peer that can be one trunk only is that trunk even when it names us
/// by another name or address, as Genesys may (GEN-21), but the hub's trunks are told by name alone
/// (TDR-158).
///
/// # Errors
///
/// [`Refusal::UnknownTrunk`], [`Refusal::AmbiguousTrunk`] or, for a Request-URI that cannot be read,
/// [`Refusal::MalformedUri`] and [`Refusal::Scheme`].
pub fn identify(snapshot: &Snapshot, peer: &Peer, request: &Message) -> Result<TrunkId, Refusal> {
    let uri = Uri::parse(request.request_uri()).map_err(|_| Refusal::MalformedUri)?;
    match uri.scheme() {
        Scheme::Sip | Scheme::Tel => {}
        Scheme::Sips | Scheme::Other(_) => return Err(Refusal::Scheme),
    }
    let candidates: SmallVec<[&Arc<Trunk>; 4]> =
        peer.trunks.iter().filter_map(|&id| snapshot.trunk(id)).filter(|trunk| !trunk.retired).collect();
    let named: SmallVec<[&Arc<Trunk>; 4]> =
        candidates.iter().copied().filter(|trunk| same_host(&trunk.fqdn, uri.host())).collect();
    let in_group = |trunk: &Arc<Trunk>| in_group(trunk, &uri);
    // *Outbound DNIS*: the user of the Request-URI is a fixed value, the trunk's identifier (GEN-21).
    let by_user = |trunk: &Arc<Trunk>| {
        !trunk.termination_identifier.is_empty() && uri.user() == Some(&*trunk.termination_identifier)
    };
    // The secret that Genesys puts into its INVITEs tells as well who it is (GEN-27).
    let has_token = |trunk: &Arc<Trunk>| trunk.required_header.as_ref().is_some_and(|header| header.fits(request));
    let narrowed = if named.is_empty() { &candidates } else { &named };
    match (named.as_slice(), candidates.as_slice()) {
        ([one], _) => Ok(one.id),
        ([], [one]) if one.kind != Kind::Teams => Ok(one.id),
        ([], [] | [_]) => Err(Refusal::UnknownTrunk),
        _ => {
            let mut fitting = narrowed.iter().filter(|trunk| in_group(trunk) || by_user(trunk) || has_token(trunk));
            match (fitting.next(), fitting.next()) {
                (Some(one), None) => Ok(one.id),
                (None, _) if named.is_empty() => Err(Refusal::UnknownTrunk),
                _ => Err(Refusal::AmbiguousTrunk),
            }
        }
    }
}

/// A trunk that a peer may be, and what speaks for it in a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The trunk.
    pub trunk: TrunkId,
    /// Whether the host of the Request-URI is our name toward it.
    pub named: bool,
    /// Whether `tgrp` is its termination identifier.
    pub in_group: bool,
}

/// What [`identify`] chooses from: the trunks that `peer` may be and that take new calls.
pub fn candidates(snapshot: &Snapshot, peer: &Peer, request: &Message) -> Vec<Candidate> {
    let uri = Uri::parse(request.request_uri()).ok();
    let trunks = peer.trunks.iter().filter_map(|&id| snapshot.trunk(id)).filter(|trunk| !trunk.retired);
    let candidate = |trunk: &Arc<Trunk>| Candidate {
        trunk: trunk.id,
        named: uri.as_ref().is_some_and(|uri| same_host(&trunk.fqdn, uri.host())),
        in_group: uri.as_ref().is_some_and(|uri| in_group(trunk, uri)),
    };
    trunks.map(candidate).collect()
}

fn in_group(trunk: &Trunk, uri: &Uri<'_>) -> bool {
    let group = uri.user_params().get("tgrp");
    group.is_some_and(|group| !group.is_empty() && group == &*trunk.termination_identifier)
}

fn same_host(own: &str, named: &str) -> bool {
    own.trim_end_matches('.').eq_ignore_ascii_case(named.trim_end_matches('.'))
}

/// A host to try.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Target {
    /// The trunk.
    pub trunk: TrunkId,
    /// Index in [`Trunk::hosts`].
    pub host: usize,
}

/// What there is to know of a call before it has a target.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Who is called.
    pub number: &'a Number,
    /// Who calls, known also where it must not be shown; `None`: no number was given.
    pub caller: Option<&'a Number>,
    /// Whether the caller must not be shown.
    pub anonymous: bool,
    /// The INVITE, after the operator's rules.
    pub invite: &'a Message,
    /// When it came, milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// Any number, a new one for each call: where targets have weights, it chooses.
    pub draw: u64,
}

/// Where a call goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Decision {
    /// The hosts to try, first to last; never empty.
    pub targets: SmallVec<[Target; 4]>,
    /// Who has the number, as far as the directory knows.
    pub user: Option<Pii<String>>,
    /// Index of the route in [`Snapshot::routes`].
    pub route: usize,
    /// Whether an emergency number is called: limits are not for this call (TDR-155).
    pub emergency: bool,
}

/// Where a call from `from` goes.
///
/// The hosts of a route's trunks are tried in order, or beginning with a trunk that weights choose; those
/// that health has found down are left out. When it has found all of them down, all are tried: a host that
/// leaves OPTIONS unanswered may still take calls, and refusing without trying is the worse mistake (TDR-39
/// speaks of one name among others).
///
/// An emergency number has routes of its own and never goes to Teams (GEN-60); there hosts that are down
/// come last instead of never.
///
/// # Errors
///
/// [`Refusal::NoRoute`], [`Refusal::NoEmergencyRoute`], [`Refusal::UnknownNumber`], [`Refusal::Inactive`] or
/// [`Refusal::NoTarget`].
pub fn route(snapshot: &Snapshot, from: &Trunk, wanted: &Wanted<'_>) -> Result<Decision, Refusal> {
    let entry = snapshot.directory.lookup(wanted.number);
    let emergency = snapshot.is_emergency(wanted.number);
    // Why nothing matched, should it come to that: the most telling reason wins.
    let mut refusal = if emergency { Refusal::NoEmergencyRoute } else { Refusal::NoRoute };
    for (place, route) in snapshot.routes.iter().enumerate() {
        match look(route, from, wanted, entry, emergency) {
            Look::Matches => {
                let targets = targets(snapshot, route, wanted.draw, emergency);
                if targets.is_empty() {
                    return Err(Refusal::NoTarget);
                }
                let user = entry.map(|entry| entry.user.clone());
                return Ok(Decision { targets, user, route: place, emergency });
            }
            Look::NotInDirectory => refusal = Refusal::UnknownNumber,
            Look::Inactive => refusal = Refusal::Inactive,
            Look::OtherTrunk
            | Look::OtherCaller
            | Look::OtherHeader
            | Look::OtherTime
            | Look::OtherNumber
            | Look::Emergency => {}
        }
    }
    Err(refusal)
}

/// What a route says to a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Look {
    /// It is for the call.
    Matches,
    /// It is for calls of another trunk.
    OtherTrunk,
    /// It is for other callers.
    OtherCaller,
    /// It is for INVITEs that say something else in a header field.
    OtherHeader,
    /// It is for another hour.
    OtherTime,
    /// It is for other numbers.
    OtherNumber,
    /// It is not for emergencies, and the number is one (GEN-60).
    Emergency,
    /// It asks the directory, which does not have the number.
    NotInDirectory,
    /// It asks the directory, which says that the user may not be called.
    Inactive,
}

fn look(route: &Route, from: &Trunk, wanted: &Wanted<'_>, entry: Option<&Entry>, emergency: bool) -> Look {
    if route.from.is_some_and(|id| id != from.id) {
        return Look::OtherTrunk;
    }
    if !route.caller.is_empty() && !route.caller.iter().any(|caller| caller.matches(wanted.caller, wanted.anonymous)) {
        return Look::OtherCaller;
    }
    if route.header.as_ref().is_some_and(|header| !header.holds(wanted.invite)) {
        return Look::OtherHeader;
    }
    if route.time.as_ref().is_some_and(|time| !time.holds(wanted.unix_ms)) {
        return Look::OtherTime;
    }
    if emergency {
        return if route.number.takes_emergency(wanted.number) { Look::Matches } else { Look::Emergency };
    }
    let mut found = Look::OtherNumber;
    for number in route.number.each() {
        match (number, entry) {
            (NumberMatch::Any, _) => return Look::Matches,
            (NumberMatch::Pattern(pattern), _) if pattern.matches(wanted.number) => return Look::Matches,
            (NumberMatch::Directory, Some(entry)) if entry.active => return Look::Matches,
            (NumberMatch::Directory, Some(_)) => found = Look::Inactive,
            (NumberMatch::Directory, None) => found = Look::NotInDirectory,
            (NumberMatch::Pattern(_) | NumberMatch::Emergency | NumberMatch::OneOf(_), _) => {}
        }
    }
    found
}

/// What each route says to a call from `from`, in order, up to the one that matches: why [`route`] decides as it does.
pub fn looks(snapshot: &Snapshot, from: &Trunk, wanted: &Wanted<'_>) -> Vec<Look> {
    let entry = snapshot.directory.lookup(wanted.number);
    let emergency = snapshot.is_emergency(wanted.number);
    let mut found = Vec::new();
    for route in &snapshot.routes {
        found.push(look(route, from, wanted, entry, emergency));
        if found.last() == Some(&Look::Matches) {
            break;
        }
    }
    found
}

fn targets(snapshot: &Snapshot, route: &Route, draw: u64, emergency: bool) -> SmallVec<[Target; 4]> {
    let of = |wanted: bool| {
        hosts(snapshot, route, draw, emergency).filter(move |(_, up)| *up == wanted).map(|(target, _)| target)
    };
    let mut targets: SmallVec<[Target; 4]> = of(true).collect();
    if emergency || targets.is_empty() {
        targets.extend(of(false));
    }
    targets
}

/// Every host that a route names, in the order in which they are tried, with whether health has it up. An emergency goes
/// to no hub (GEN-60).
pub fn hosts<'s>(
    snapshot: &'s Snapshot,
    route: &'s Route,
    draw: u64,
    emergency: bool,
) -> impl Iterator<Item = (Target, bool)> + 's {
    let first = drawn(&route.weights, draw);
    let order = first.into_iter().chain((0..route.to.len()).filter(move |place| Some(*place) != first));
    let trunks = order.filter_map(|place| snapshot.trunk(*route.to.get(place)?));
    let trunks = trunks.filter(move |trunk| !(trunk.retired || emergency && trunk.kind == Kind::Teams));
    trunks.flat_map(move |trunk| {
        let hosts = trunk.hosts.iter().enumerate();
        hosts.map(move |(place, host)| (Target { trunk: trunk.id, host: place }, !snapshot.is_down(trunk, host)))
    })
}

/// The place that `draw` falls on among `weights`; `None` where there are none.
fn drawn(weights: &[u32], draw: u64) -> Option<usize> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    let mut left = draw.checked_rem(total)?;
    weights.iter().position(|weight| {
        let here = left < u64::from(*weight);
        left = left.saturating_sub(u64::from(*weight));
        here
    })
}

/// How an attempt at a target ended without an answer to give.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Failure {
    /// It answered with this final status, 300 to 699.
    #[error("answered {0}")]
    Status(u16),
    /// It did not answer in time: our own timer, Timer B or Timer F.
    #[error("no response in time")]
    Timeout,
    /// The request could not be sent: no octet of it left.
    #[error("could not be reached")]
    Unreachable,
    /// Its flow was lost before any response; it may have arrived.
    #[error("lost with its connection")]
    Lost,
}

impl Failure {
    /// The status that the caller's leg starts from when no target is left; see
    /// [`final_status`](crate::normalize::final_status). The platform as a whole could not be reached,
    /// so another SBC may do better (TDR-127, GEN-80).
    pub fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::Timeout | Self::Unreachable | Self::Lost => 503,
        }
    }
}

impl Failure {
    /// What happened, in words.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Status(_) => "refused",
            Self::Timeout => "no answer from the host",
            Self::Unreachable => "the host cannot be reached",
            Self::Lost => "the connection to the host broke",
        }
    }
}

/// What to do after a [`Failure`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Next {
    /// Try the next target; without one, end as [`GiveUp`](Self::GiveUp) with [`Failure::status`].
    TryNext,
    /// As [`TryNext`](Self::TryNext), but of the hosts of the same trunk only one more (TDR-124).
    TryOneMore,
    /// End the call with this status of the called side, still to be put into the caller's terms by
    /// [`final_status`](crate::normalize::final_status).
    GiveUp(u16),
}

/// Whether a call goes on to the next target after `failure` of one of `kind`.
///
/// `provisional_seen`: a provisional other than 100 came from it. The party was found then, and
/// ringing it again elsewhere shows as a missed call (TDR-122, 124; GEN-85).
pub fn after_failure(kind: Kind, failure: Failure, provisional_seen: bool) -> Next {
    match (kind, failure) {
        (_, Failure::Timeout | Failure::Unreachable | Failure::Lost) if provisional_seen => Next::GiveUp(480),
        // A 5xx would make Genesys ring somebody else's phone as well (GEN-80).
        (_, Failure::Status(500..=599)) if provisional_seen => Next::GiveUp(480),
        (_, Failure::Status(status)) if provisional_seen => Next::GiveUp(status),
        (_, Failure::Timeout | Failure::Unreachable | Failure::Lost | Failure::Status(503)) => Next::TryNext,
        // TDR-124: open at Microsoft, so the careful reading: nothing has rung yet.
        (Kind::Teams, Failure::Status(500..=599)) => Next::TryOneMore,
        (Kind::Genesys | Kind::Generic, Failure::Status(408)) => Next::TryNext,
        // A carrier's fault is its own; what its user decided is a 4xx or 6xx.
        (Kind::Generic, Failure::Status(500..=599)) => Next::TryNext,
        (Kind::Teams | Kind::Genesys | Kind::Generic, Failure::Status(status)) => Next::GiveUp(status),
    }
}

/// Where the host at `index` of a trunk is reached. An index that is none means the trunk's own name.
pub fn hop(snapshot: &Snapshot, trunk: &Trunk, index: usize) -> Hop {
    match trunk.hosts.get(index) {
        Some(host) => hop_to(snapshot, trunk, host.name.clone(), host.port),
        None => hop_to(snapshot, trunk, trunk.request_host.clone(), None),
    }
}

/// Why a URI is not dialled.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
pub enum Forbidden {
    /// Not `sip:`; `sips:` is supported by neither platform (TDR-1, GEN-45).
    #[error("URI scheme not dialled")]
    Scheme,
    /// A name that is neither a host of the trunk nor below one of its suffixes (TDR-83).
    #[error("host outside the trunk's names")]
    Name,
    /// An address outside the trunk's ranges.
    #[error("address outside the trunk's ranges")]
    Address,
}

/// Where a Route or Contact of `trunk`'s dialogs leads, if we may dial it.
///
/// Host and port are obeyed as they stand (TDR-83, 84; GEN-38). The transport is the trunk's, whatever
/// the URI says: a trunk has one (GEN-5), and TLS is never left. `maddr` is not looked at.
///
/// # Errors
///
/// [`Forbidden`] says why not.
pub fn hop_for_uri(snapshot: &Snapshot, trunk: &Trunk, uri: &Uri<'_>) -> Result<Hop, Forbidden> {
    match uri.scheme() {
        Scheme::Sip => {}
        Scheme::Sips | Scheme::Tel | Scheme::Other(_) => return Err(Forbidden::Scheme),
    }
    match host_ip(uri.host()) {
        // A host configured as an address may lie outside the ranges it calls from.
        Some(address) if trunk.covers(address) || trunk.may_dial(uri.host()) => {}
        Some(_) => return Err(Forbidden::Address),
        None if trunk.may_dial(uri.host()) => {}
        None => return Err(Forbidden::Name),
    }
    Ok(hop_to(snapshot, trunk, Arc::from(uri.host().trim_matches(['[', ']'])), uri.port()))
}

fn hop_to(snapshot: &Snapshot, trunk: &Trunk, host: Arc<str>, port: Option<u16>) -> Hop {
    let transport = trunk.transport;
    let written = port;
    let port = port.unwrap_or(transport.default_port());
    let addresses = match host_ip(&host) {
        Some(address) => smallvec![SocketAddr::new(address, port)],
        None => snapshot.addresses.get(&address_key(transport, &host, written)).cloned().unwrap_or_default(),
    };
    Hop { trunk: trunk.id, transport, host, port, addresses }
}

#[cfg(test)]
mod tests;
