//! What an initial request has to be before it becomes a call (RFC 3261 §8.2, §16.3; RFC 4028 §9).
//!
//! The checks stand in the order of RFC 3261 §8.2: method and dialog are known already, then the
//! Request-URI, Max-Forwards, loops, required extensions, the body; then whose call it is, where it
//! goes, and whether there is room. The first that fails is the answer, with the reason in words.

use crate::authentication::{Verdict, Why};
use crate::call::session_timer::{SessionTimer, TooSmall};
use crate::call::{Admit, CallKey, Context, NewCall, Story, conversation, unknown_extensions};
use crate::event::{CallRecord, EndedBy, EventKind, Proof};
use crate::flow::Peer;
use crate::identifier::Identity;
use crate::normalize;
use crate::pii::Pii;
use crate::routing;
use crate::rules::Direction;
use crate::sip::sdp::Sdp;
use crate::sip::{Draft, Essentials, Message, Method, Name, NameAddr, Scheme, Uri, decimal, sdp_part};
use crate::snapshot::Snapshot;
use crate::transaction::ServerId;
use crate::trunk::{Kind, Trunk, codes};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;

/// Why an initial request is refused; one variant per check.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A URI scheme that is not dialled here (RFC 3261 §8.2.2.1, TDR-1).
    #[error("Unsupported URI Scheme")]
    Scheme,
    /// The Request-URI cannot be read.
    #[error("Request-URI malformed")]
    MalformedUri,
    /// A header field that is needed cannot be read or is missing.
    #[error("{} malformed or missing", .0.as_str())]
    Malformed(Name),
    /// Max-Forwards is used up (§16.3 step 3).
    #[error("Too Many Hops")]
    TooManyHops,
    /// Nothing could be sent within the dialog: the first Record-Route, or the Contact without one, is no place that
    /// the trunk lets us dial (design: "Where we dial").
    #[error("{} may not be dialled", .0.as_str())]
    Forbidden(Name),
    /// Who sends it has to prove a secret: these are the values of WWW-Authenticate (§22.2, GEN-25).
    #[error("Unauthorized")]
    Challenge(SmallVec<[String; 3]>),
    /// The secret was not proved, or the token of the trunk is missing or wrong (GEN-25, 27). Which of them, only the
    /// log says.
    #[error("Forbidden")]
    Unproved,
    /// It has come round: the request carries a Call-ID of ours (§16.3 step 4), or the call was forwarded to and fro (TDR-120,
    /// GEN-79).
    #[error("Loop Detected")]
    Loop,
    /// Extensions that are not known here (§8.2.2.3).
    #[error("Bad Extension")]
    Extension(String),
    /// A body that is neither a session description nor holds one (§8.2.3).
    #[error("Unsupported Media Type")]
    MediaType,
    /// A session description that cannot be read.
    #[error("Session description malformed")]
    Description,
    /// No offer, and the called side needs one (TDR-55).
    #[error("Offer needed")]
    NoOffer,
    /// The session interval is too small; the text is Min-SE (RFC 4028 §9).
    #[error("Session Interval Too Small")]
    Interval(u32),
    /// New calls are refused while calls are brought to an end (TDR-128, GEN-87).
    #[error("Draining")]
    Draining,
    /// The worker, or the trunk, has as many calls as it may (GEN-83).
    #[error("Too many calls")]
    TooManyCalls,
    /// The trunk begins more calls a second than it may (GEN-83).
    #[error("Too many calls a second")]
    TooFast,
    /// The operator's rules made something of it that cannot be read.
    #[error("Rules spoil the request: {0}")]
    Ruled(String),
    /// Trunk, number or route.
    #[error("{0}")]
    Routing(#[from] routing::Refusal),
}

impl Refusal {
    /// The status of the response.
    pub fn status(&self) -> u16 {
        match self {
            Self::MalformedUri | Self::Malformed(_) => 400,
            Self::Challenge(_) => 401,
            Self::Forbidden(_) | Self::Unproved => 403,
            Self::MediaType => 415,
            Self::Scheme => 416,
            Self::Extension(_) => 420,
            Self::Interval(_) => 422,
            Self::Loop => 482,
            Self::TooManyHops => 483,
            Self::Description | Self::NoOffer | Self::Ruled(_) => 488,
            Self::Draining | Self::TooManyCalls | Self::TooFast => 503,
            Self::Routing(refusal) => refusal.status(),
        }
    }

    /// The reason phrase of the response: what is wrong, without the names that an operator gave to rules.
    pub fn phrase(&self) -> String {
        match self {
            Self::Ruled(_) => "Not Acceptable Here".to_owned(),
            other => other.to_string(),
        }
    }

    /// The header fields that say what would be acceptable.
    pub fn explain(&self, draft: &mut Draft) {
        match self {
            Self::Challenge(values) => {
                for value in values {
                    draft.put(Name::WwwAuthenticate, value);
                }
                draft
            }
            Self::MediaType => draft.put(Name::Accept, "application/sdp"),
            Self::Extension(tags) => draft.put(Name::Unsupported, tags),
            Self::Interval(floor) => draft.put_number(Name::MinSe, *floor),
            Self::Draining | Self::TooManyCalls => draft.put(Name::RetryAfter, "10"),
            Self::TooFast => draft.put(Name::RetryAfter, "1"),
            Self::Routing(routing::Refusal::NoTarget) => draft.put(Name::RetryAfter, "10"),
            Self::Scheme
            | Self::MalformedUri
            | Self::Malformed(_)
            | Self::Forbidden(_)
            | Self::Unproved
            | Self::TooManyHops
            | Self::Loop
            | Self::Description
            | Self::NoOffer
            | Self::Ruled(_)
            | Self::Routing(_) => draft,
        };
    }
}

/// A refused request, given back for its response.
pub struct Refused {
    /// The request.
    pub request: Message,
    /// Its top Via, completed.
    pub via: Option<String>,
    /// Why.
    pub refusal: Refusal,
}

/// How much of what a peer wrote a record of a refused call keeps, in octets: it may be anything.
const MAX_WRITTEN: usize = 256;

impl Refused {
    /// The record of the call that was not to be. `None`: its peer is no trunk any more.
    pub fn record(&self, cx: &mut Context, peer: &Peer) -> Option<CallRecord> {
        let request = &self.request;
        // One of several, but not which: then the trunk stays empty.
        let only = || peer.trunks.first().copied().filter(|_| peer.trunks.len() == 1);
        let trunk = routing::identify(&cx.snapshot, peer, request).ok().or_else(only);
        let trunk = trunk.and_then(|id| cx.snapshot.trunk(id)).cloned();
        if peer.trunks.is_empty() {
            return None;
        }
        let seen =
            trunk.as_ref().filter(|trunk| trunk.kind == Kind::Teams).map(|_| codes::of_ours(self.refusal.status()));
        let (microsoft, remedy) = seen.map(|seen| (seen.microsoft, seen.remedy.to_owned())).unwrap_or_default();
        let conversation = trunk.as_ref().map(|trunk| conversation(trunk, request));
        let country_code = cx.snapshot.edge.country_code.clone();
        let called = trunk.as_ref().and_then(|trunk| normalize::called(trunk, &country_code, request).ok());
        let caller = trunk.as_ref().and_then(|trunk| normalize::caller(trunk, &country_code, request).number);
        let from = request.header(Name::From).and_then(|value| NameAddr::parse(value).ok());
        let user = |uri: &str| Uri::parse(uri).ok().and_then(|uri| uri.user().map(written)).unwrap_or_default();
        let caller = caller.map(|number| number.user_part());
        let caller = caller.unwrap_or_else(|| from.map(|from| user(from.uri_text())).unwrap_or_default());
        let emergency = called.as_ref().is_some_and(|number| cx.snapshot.is_emergency(number));
        let called = called.map_or_else(|| user(request.request_uri()), |number| number.user_part());
        Some(CallRecord {
            id: cx.minter.uuid(cx.now.unix_ms),
            started_ms: cx.now.unix_ms,
            ended_ms: cx.now.unix_ms,
            from_trunk: trunk.map(|trunk| trunk.name.to_string()).unwrap_or_default(),
            caller: Pii::new(caller),
            callee: Pii::new(called),
            status: self.refusal.status(),
            reason: self.refusal.to_string(),
            microsoft,
            remedy,
            ended_by: EndedBy::Tandem,
            from_call_id: written(request.call_id()),
            conversation: conversation.map(written).unwrap_or_default(),
            emergency,
            ..CallRecord::default()
        })
    }
}

fn written(text: &str) -> String {
    let end = (0..=text.len().min(MAX_WRITTEN)).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

/// What the worker has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// How many more calls fit.
    pub free: usize,
    /// This node, to know its own identifiers.
    pub node: u16,
}

/// Checks an initial INVITE; what passes is counted by admission and becomes a call.
///
/// # Errors
///
/// [`Refused`] with the first check that failed.
pub fn initial_invite(
    cx: &mut Context,
    room: Room,
    key: CallKey,
    server: ServerId,
    request: Message,
    via: Option<String>,
    peer: &Arc<Peer>,
) -> Result<NewCall, Box<Refused>> {
    match checked(cx, room, peer, &request) {
        Ok(Checked { trunk, caller, called, decision, timer, max_forwards, ruled }) => {
            let trying = Draft::response(&request, 100, "Trying", "", via.as_deref()).finish();
            cx.transactions.respond(cx.now.monotonic, server, 100, trying);
            let conversation = conversation(&trunk, &request).to_owned();
            Ok(NewCall {
                key,
                request,
                server,
                via,
                trunk,
                caller,
                called,
                decision,
                timer,
                max_forwards,
                conversation,
                ruled,
            })
        }
        Err(refusal) => Err(Box::new(Refused { request, via, refusal })),
    }
}

struct Checked {
    trunk: Arc<Trunk>,
    caller: normalize::Caller,
    called: crate::number::Number,
    decision: routing::Decision,
    timer: SessionTimer,
    max_forwards: u32,
    ruled: Option<Message>,
}

fn checked(cx: &mut Context, room: Room, peer: &Peer, request: &Message) -> Result<Checked, Refusal> {
    let (essentials, max_forwards) = acceptable(request)?;
    // TDR-155: a proxy behind a trunk may send an emergency call back to us for the right trunk; Max-Forwards ends a circle.
    let ours = Identity::of(request.call_id()).is_some_and(|minted| minted.node == room.node);
    if ours && !is_emergency(&cx.snapshot, peer, request) {
        return Err(Refusal::Loop);
    }
    if request.header(Name::Replaces).is_some() {
        // Not announced until calls can be joined here (TDR-57); never a call of its own (TDR-114).
        return Err(Refusal::Extension("replaces".to_owned()));
    }
    if essentials.contact.is_none_or(|contact| contact.uri().is_err()) {
        return Err(Refusal::Malformed(Name::Contact));
    }
    let offer = match offer(request) {
        // TDR-153: the body tells the place, and the offer comes later (RFC 6442 §4.1).
        Err(Refusal::MediaType)
            if normalize::located(request, None).is_some() && is_emergency(&cx.snapshot, peer, request) =>
        {
            None
        }
        offer => offer?,
    };
    let trunk = trunk_of(&cx.snapshot, peer, request)?;
    let way_back = request.values(Name::RecordRoute).next().map(|route| (Name::RecordRoute, route));
    let way_back = way_back.or(request.values(Name::Contact).next().map(|contact| (Name::Contact, contact)));
    if let Some((name, value)) = way_back
        && let Some(uri) = NameAddr::parse(value).ok().and_then(|way| way.uri().ok())
        && routing::hop_for_uri(&cx.snapshot, &trunk, &uri).is_err()
    {
        return Err(Refusal::Forbidden(name));
    }
    prove(cx, peer, &trunk, request)?;
    let country_code = cx.snapshot.edge.country_code.clone();
    let ruled = ruled(cx, &trunk, &country_code, request)?;
    let request = ruled.as_ref().unwrap_or(request);
    let called = normalize::called(&trunk, &country_code, request);
    // TDR-155: neither a drain nor any limit is for emergency calls.
    let emergency = called.as_ref().is_ok_and(|number| cx.snapshot.is_emergency(number));
    if cx.draining && !emergency {
        return Err(Refusal::Draining);
    }
    let called = called?;
    let caller = normalize::caller(&trunk, &country_code, request);
    let wanted = routing::Wanted {
        number: &called,
        caller: caller.number.as_ref(),
        anonymous: caller.anonymous,
        invite: request,
        unix_ms: cx.now.unix_ms,
        draw: cx.minter.draw(),
    };
    let mut decision = routing::route(&cx.snapshot, &trunk, &wanted)?;
    let comes_round = normalize::goes_round(&trunk, &country_code, request, &called)
        || cx.has_entered_too_often(conversation(&trunk, request), &called);
    if comes_round && !decision.emergency {
        return Err(Refusal::Loop);
    }
    if offer.is_none() {
        // TDR-55: the hub is never sent an INVITE without offer.
        let snapshot = &cx.snapshot;
        decision.targets.retain(|target| snapshot.trunk(target.trunk).is_some_and(|trunk| trunk.kind != Kind::Teams));
        if decision.targets.is_empty() {
            return Err(Refusal::NoOffer);
        }
    }
    let timer = SessionTimer::accept(request, &trunk).map_err(|TooSmall(floor)| Refusal::Interval(floor))?;
    if room.free == 0 && !emergency {
        return Err(Refusal::TooManyCalls);
    }
    let admitted = match emergency {
        true => Admit::Yes,
        false => cx.admission.admit(trunk.id, cx.now, trunk.max_calls, trunk.max_call_rate),
    };
    match admitted {
        Admit::Yes => Ok(Checked { trunk, caller, called, decision, timer, max_forwards: max_forwards - 1, ruled }),
        Admit::TooMany => Err(Refusal::TooManyCalls),
        Admit::TooFast => Err(Refusal::TooFast),
    }
}

/// The secrets that a trunk asks of its initial INVITEs: its token (GEN-27), its Digest (GEN-25).
fn prove(cx: &mut Context, peer: &Peer, trunk: &Trunk, request: &Message) -> Result<(), Refusal> {
    let told = |cx: &mut Context, proof| cx.event(None, EventKind::Authentication { trunk: trunk.id, proof });
    if trunk.required_header.as_ref().is_some_and(|header| !header.fits(request)) {
        told(cx, Proof::Token);
        return Err(Refusal::Unproved);
    }
    let Some(authentication) = &trunk.authentication else { return Ok(()) };
    let (snapshot, source, random) = (cx.snapshot.clone(), peer.source.ip(), cx.minter.session_id());
    let (key, now_ms) = (&snapshot.nonce_key, cx.now.unix_ms);
    let emergency = is_emergency(&snapshot, peer, request);
    match authentication.judge(key, &mut cx.attempts, trunk.id, source, now_ms, random, emergency, request) {
        Verdict::Accepted => {
            told(cx, Proof::Accepted);
            Ok(())
        }
        Verdict::Challenge { values, why } => {
            let proof = match why {
                Why::First => Proof::Challenged,
                Why::Stale => Proof::Stale,
                Why::Wrong => Proof::Wrong,
            };
            told(cx, proof);
            Err(Refusal::Challenge(values))
        }
        Verdict::Refused => {
            told(cx, Proof::Refused);
            Err(Refusal::Unproved)
        }
    }
}

/// The INVITE as the operator's rules want it read; `None`: as it came.
fn ruled(cx: &mut Context, trunk: &Trunk, country_code: &str, request: &Message) -> Result<Option<Message>, Refusal> {
    if !cx.snapshot.rules.concern(trunk.id, Direction::In) && trunk.required_header.is_none() {
        return Ok(None);
    }
    cx.story = Some(story(trunk, country_code, request));
    let ruled = cx.arrive(trunk, request);
    cx.put_down();
    ruled.map_err(|rejection| Refusal::Ruled(rejection.text))
}

/// What the operator's rules may know of an INVITE that is no call yet.
pub fn story(trunk: &Trunk, country_code: &str, request: &Message) -> Story {
    let caller = normalize::caller(trunk, country_code, request).number;
    Story::arriving(trunk, caller, normalize::called(trunk, country_code, request).ok())
}

/// What every request outside a dialog has to be: readable in all that it is handled by, of a scheme we dial, with hops
/// left, and without an unknown extension required. Returns what was read and Max-Forwards as received; 70 when it is
/// absent (§16.3 step 3).
///
/// # Errors
///
/// The [`Refusal`] of the first check that failed.
pub fn acceptable(request: &Message) -> Result<(Essentials<'_>, u32), Refusal> {
    let essentials = Essentials::of(request).map_err(|unreadable| match unreadable.field {
        Some(name) => Refusal::Malformed(name),
        None => Refusal::MalformedUri,
    })?;
    dialled(essentials.uri.ok_or(Refusal::MalformedUri)?)?;
    let hops = hops(essentials.max_forwards)?;
    let unknown = unknown_extensions(request);
    if unknown.is_empty() { Ok((essentials, hops)) } else { Err(Refusal::Extension(unknown)) }
}

/// What every request has to be, within a dialog and outside: of a scheme we dial, with hops left. Within one nothing else
/// is read than what the dialog needs.
///
/// # Errors
///
/// The [`Refusal`] of the first check that failed.
pub fn passable(request: &Message) -> Result<(), Refusal> {
    dialled(Uri::parse(request.request_uri()).map_err(|_| Refusal::MalformedUri)?)?;
    let max_forwards = request.header(Name::MaxForwards).map(decimal).transpose();
    hops(max_forwards.map_err(|_| Refusal::Malformed(Name::MaxForwards))?).map(drop)
}

fn dialled(uri: Uri<'_>) -> Result<(), Refusal> {
    match uri.scheme() {
        Scheme::Sip | Scheme::Tel => Ok(()),
        Scheme::Sips | Scheme::Other(_) => Err(Refusal::Scheme),
    }
}

fn hops(max_forwards: Option<u32>) -> Result<u32, Refusal> {
    match max_forwards {
        None => Ok(70),
        Some(0) => Err(Refusal::TooManyHops),
        Some(hops) => Ok(hops.min(255)),
    }
}

/// Whether `request`, which comes from `peer`, is an INVITE that calls an emergency number.
pub fn is_emergency(snapshot: &Snapshot, peer: &Peer, request: &Message) -> bool {
    let Ok(trunk) = trunk_of(snapshot, peer, request) else { return false };
    let called = normalize::called(&trunk, &snapshot.edge.country_code, request);
    *request.method() == Method::Invite && called.is_ok_and(|number| snapshot.is_emergency(&number))
}

/// The trunk that a request outside a dialog is on.
///
/// # Errors
///
/// See [`routing::identify`].
pub fn trunk_of(snapshot: &Snapshot, peer: &Peer, request: &Message) -> Result<Arc<Trunk>, Refusal> {
    let id = routing::identify(snapshot, peer, request)?;
    let trunk = snapshot.trunk(id).cloned();
    Ok(trunk.ok_or(routing::Refusal::UnknownTrunk)?)
}

fn offer(request: &Message) -> Result<Option<Bytes>, Refusal> {
    let body = request.body();
    if body.is_empty() {
        return Ok(None);
    }
    if request.header(Name::ContentEncoding).is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
        return Err(Refusal::MediaType);
    }
    let offer = sdp_part(request.header(Name::ContentType).unwrap_or(""), &body).ok_or(Refusal::MediaType)?;
    Sdp::parse(offer.clone()).map_err(|_| Refusal::Description)?;
    Ok(Some(offer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_a_peer_wrote_a_record_keeps_a_bounded_whole_number_of_characters() {
        assert_eq!(written("a@example.com"), "a@example.com");
        let long = "ä".repeat(MAX_WRITTEN);
        assert_eq!(written(&format!("x{long}")), format!("x{}", "ä".repeat((MAX_WRITTEN - 1) / 2)));
        assert_eq!(written(""), "");
    }
}
