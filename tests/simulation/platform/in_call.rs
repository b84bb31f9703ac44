//! What a platform does in an answered call: holding, resuming, moving, glare, hanging up.

use super::super::leg::{Incoming, Media, State, Unacknowledged, first};
use super::super::script::{Act, GENESYS, MS};
use super::{Env, Platform, T1, Todo, What, answer_direction, interval};
use bytes::Bytes;
use tandem::sip::sdp::Direction;
use tandem::sip::{Draft, Message, Method, Name, sdp_part};
use tandem::transaction::ServerId;

impl Platform {
    pub(super) fn act(&mut self, env: &mut Env<'_>, leg: usize, act: Act, tries: u8) {
        if !self.alive(leg) {
            return;
        }
        let busy = self.legs[leg].busy();
        if self.legs[leg].unacknowledged.is_some() {
            // §15: nothing within the dialog, BYE least of all, before the ACK.
            env.later.push((env.rng.between(100, 1_000) * MS, Todo::Act(leg, act, tries)));
            return;
        }
        let one = &mut self.legs[leg];
        match act {
            Act::Bye => return self.bye(env, leg, "hung up"),
            Act::Vanish => {
                one.vanished = true;
                return one.end(env.now, "vanished");
            }
            Act::Forget => {
                one.forgotten = true;
                return one.end(env.now, "forgotten");
            }
            Act::Info => {
                self.request(env, leg, &Method::Info, What::Plain, |_, draft| {
                    draft.body("application/dtmf-relay", Bytes::from_static(b"Signal=5\r\nDuration=160\r\n"));
                });
                return;
            }
            Act::Options => {
                self.request(env, leg, &Method::Options, What::Probe, |_, _| {});
                return;
            }
            Act::Refer => {
                self.request(env, leg, &Method::Refer, What::Plain, |_, draft| {
                    draft.put(Name::ReferTo, "<sip:+14255550144@example.com>");
                });
                return;
            }
            Act::PlainUpdate => {
                self.request(env, leg, &Method::Update, What::Plain, |_, _| {});
                return;
            }
            Act::Hold | Act::Resume | Act::Move | Act::Refresh | Act::Offerless | Act::Withdraw | Act::Update => {}
        }
        if busy {
            if tries < 10 {
                env.later.push((env.rng.between(300, 3_000) * MS, Todo::Act(leg, act, tries + 1)));
            }
            return;
        }
        let method = if act == Act::Update { Method::Update } else { Method::Invite };
        let made = match act {
            Act::Hold => {
                one.held = true;
                let zero = self.index == GENESYS && env.rng.chance(20);
                let direction = env.rng.pick(&[Direction::SendOnly, Direction::Inactive, Direction::RecvOnly]);
                Some(one.description(direction, zero))
            }
            Act::Refresh => Some(one.same()),
            Act::Offerless => None,
            _ => {
                one.held = false;
                one.port += 2;
                Some(one.description(Direction::SendRecv, false))
            }
        };
        one.tried = Some(act);
        let media = made.as_ref().map(|(_, media)| *media);
        let what = What::Offer;
        let id = self.request(env, leg, &method, what, |leg, draft| {
            if let Some(seconds) = leg.refresh {
                draft.put(Name::SessionExpires, &format!("{seconds};refresher=uac"));
            }
            if let Some((sdp, _)) = made {
                draft.body("application/sdp", sdp);
            }
        });
        self.legs[leg].outgoing = Some((id, media));
        self.legs[leg].cancel = false;
        if act == Act::Withdraw {
            env.later.push((env.rng.between(1, 3_000) * MS, Todo::Withdraw(leg)));
        }
    }

    pub(super) fn bye(&mut self, env: &mut Env<'_>, leg: usize, how: &'static str) {
        self.legs[leg].end(env.now, how);
        self.request(env, leg, &Method::Bye, What::Bye, |_, _| {});
        if let Some(incoming) = self.legs[leg].incoming.take() {
            let tag = self.legs[leg].local_tag.clone();
            self.respond(env, incoming.id, &incoming.request, 487, &tag);
        }
        // A 2xx without ACK goes on being repeated: its ACK is still owed.
    }

    pub(super) fn handle_in_dialog(&mut self, env: &mut Env<'_>, leg: usize, id: ServerId, request: &Message) {
        let tag = self.legs[leg].local_tag.clone();
        let method = request.method().clone();
        let one = &mut self.legs[leg];
        if one.forgotten || (one.state == State::Ended && method != Method::Bye) {
            return self.respond(env, id, request, 481, &tag);
        }
        let number = request.cseq().number;
        if one.remote_cseq.is_some_and(|last| number <= last) {
            return self.respond(env, id, request, 500, &tag);
        }
        one.remote_cseq = Some(number);
        match method {
            Method::Bye => {
                one.end(env.now, "BYE received");
                one.unacknowledged = None;
                let incoming = one.incoming.take();
                self.respond(env, id, request, 200, &tag);
                if let Some(incoming) = incoming {
                    self.respond(env, incoming.id, &incoming.request, 487, &tag);
                }
            }
            Method::Invite => {
                let offer = sdp_part(first(request, Name::ContentType), &request.body());
                if offer.is_none() {
                    env.breaches.push("a re-INVITE of ours without offer".to_owned());
                }
                if one.incoming.is_some() {
                    return self.respond(env, id, request, 500, &tag);
                }
                if one.outgoing.is_some() || one.unacknowledged.as_ref().is_some_and(|waiting| waiting.offer.is_some())
                {
                    return self.respond(env, id, request, 491, &tag);
                }
                one.retarget(request);
                one.incoming = Some(Incoming { id, request: request.clone() });
                let after = if env.rng.chance(60) { env.rng.between(0, 50) } else { env.rng.between(50, 3_000) };
                env.later.push((after * MS, Todo::Reply(leg)));
            }
            Method::Update => {
                if one.busy() && !request.body().is_empty() {
                    return self.respond(env, id, request, 491, &tag);
                }
                one.retarget(request);
                let offer = sdp_part(first(request, Name::ContentType), &request.body());
                let mut draft = Draft::response(request, 200, "OK", &tag, None);
                draft.put(Name::Contact, &one.contact());
                if let Some(offer) = offer.and_then(|sdp| Media::of(&sdp)) {
                    let direction = answer_direction(one.held, offer.direction);
                    let (sdp, media) = one.description(direction, false);
                    draft.body("application/sdp", sdp);
                    one.agree(env.now, Some(media), Some(offer));
                }
                self.tx.respond(env.instant, id, 200, draft.finish());
            }
            Method::Options | Method::Info => self.respond(env, id, request, 200, &tag),
            _ => self.respond(env, id, request, 405, &tag),
        }
    }

    /// Answers the element's re-INVITE.
    pub(super) fn reply(&mut self, env: &mut Env<'_>, leg: usize) {
        if self.legs[leg].vanished {
            return;
        }
        let Some(incoming) = self.legs[leg].incoming.take() else { return };
        let tag = self.legs[leg].local_tag.clone();
        if env.rng.chance(8) {
            let status = env.rng.pick(&[488, 488, 500, 491]);
            self.legs[leg].stubborn |= status == 488;
            return self.respond(env, incoming.id, &incoming.request, status, &tag);
        }
        let one = &mut self.legs[leg];
        let mut draft = Draft::response(&incoming.request, 200, "OK", &tag, None);
        draft.put(Name::Contact, &one.contact());
        if let Some(timer) = incoming.request.header(Name::SessionExpires) {
            draft.put(Name::SessionExpires, timer);
            one.refresh = None;
            one.refreshed_at = env.now;
            if timer.contains("uas") {
                one.refresh = interval(timer);
            }
        }
        let offer = sdp_part(first(&incoming.request, Name::ContentType), &incoming.request.body());
        let offer = offer.and_then(|sdp| Media::of(&sdp));
        let direction = offer.map_or(Direction::SendRecv, |offer| answer_direction(one.held, offer.direction));
        let (sdp, media) = one.description(direction, false);
        draft.body("application/sdp", sdp);
        let octets = draft.finish();
        let cseq = incoming.request.cseq().number;
        let made = offer.is_none().then_some(media);
        let until = env.now + 64 * T1;
        one.unacknowledged =
            Some(Unacknowledged { id: incoming.id, octets: octets.clone(), cseq, offer: made, pause: T1, until });
        if offer.is_some() {
            one.agree(env.now, Some(media), offer);
        }
        self.tx.respond(env.instant, incoming.id, 200, octets);
        env.later.push((T1, Todo::Repeat(leg)));
    }

    pub(super) fn repeat(&mut self, env: &mut Env<'_>, leg: usize) {
        let one = &mut self.legs[leg];
        let Some(waiting) = one.unacknowledged.as_mut().filter(|_| !one.vanished) else { return };
        if env.now >= waiting.until {
            one.unacknowledged = None;
            if !self.script[one.call].foreign {
                env.breaches.push("a 2xx was never acknowledged".to_owned());
            }
            if self.alive(leg) {
                self.bye(env, leg, "no ACK");
            }
            return;
        }
        let (id, octets) = (waiting.id, waiting.octets.clone());
        waiting.pause = (waiting.pause * 2).min(8 * T1);
        let pause = waiting.pause.min(waiting.until - env.now);
        self.tx.respond(env.instant, id, 200, octets);
        env.later.push((pause, Todo::Repeat(leg)));
    }

    pub(super) fn handle_ack(&mut self, env: &mut Env<'_>, leg: usize, ack: &Message) {
        let one = &mut self.legs[leg];
        let Some(waiting) = one.unacknowledged.take_if(|waiting| waiting.cseq == ack.cseq().number) else { return };
        if let Some(offer) = waiting.offer {
            match sdp_part(first(ack, Name::ContentType), &ack.body()).and_then(|sdp| Media::of(&sdp)) {
                Some(answer) => one.agree(env.now, Some(offer), Some(answer)),
                None if one.state == State::Confirmed => {
                    // Allowed only when the call ends at once.
                    one.changed_at = u64::MAX;
                }
                None => {}
            }
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        env: &mut Env<'_>,
        leg: usize,
        cseq: u32,
        offer: Option<Media>,
        sdp: Option<Media>,
    ) {
        let (via, _) = self.via();
        let one = &mut self.legs[leg];
        let mut draft = one.draft(&Method::Ack, cseq, &via);
        match (offer, sdp) {
            (Some(offer), answer) => one.agree(env.now, Some(offer), answer),
            (None, Some(offer)) => {
                let direction = answer_direction(one.held, offer.direction);
                let (sdp, media) = one.description(direction, false);
                draft.body("application/sdp", sdp);
                one.agree(env.now, Some(media), Some(offer));
            }
            (None, None) => {}
        }
        let octets = draft.finish();
        one.ack = Some((cseq, octets.clone()));
        self.sends.push(octets);
    }

    pub(super) fn offer_response(&mut self, env: &mut Env<'_>, leg: usize, status: u16, response: &Message) {
        if status < 200 {
            if self.legs[leg].cancel {
                self.cancel(env, leg);
            }
            return;
        }
        let one = &mut self.legs[leg];
        let offer = one.outgoing.take().and_then(|(_, offer)| offer);
        if status < 300 {
            one.retarget(response);
            if let Some(timer) = response.header(Name::SessionExpires) {
                one.refresh = if timer.contains("uac") { interval(timer) } else { None };
                one.refreshed_at = env.now;
            }
            let sdp = sdp_part(first(response, Name::ContentType), &response.body()).and_then(|sdp| Media::of(&sdp));
            if sdp.is_none() {
                env.breaches.push(format!("a 2xx to {} without session description", response.method()));
            }
            if *response.method() == Method::Invite {
                self.acknowledge(env, leg, response.cseq().number, offer, sdp);
            } else {
                one.agree(env.now, offer, sdp);
            }
            return;
        }
        // A refresh that failed is made again soon.
        self.legs[leg].refreshed_at = 0;
        match status {
            408 | 481 if self.alive(leg) => self.bye(env, leg, "the re-INVITE found nobody"),
            491 if self.alive(leg) && !self.legs[leg].cancel => {
                let pause =
                    if self.legs[leg].side == 0 { env.rng.between(2_100, 4_000) } else { env.rng.between(0, 2_000) };
                let act = self.legs[leg].tried.unwrap_or(Act::Refresh);
                env.later.push((pause * MS, Todo::Act(leg, act, 0)));
            }
            _ => {}
        }
    }
}
