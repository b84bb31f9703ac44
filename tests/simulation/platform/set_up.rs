//! A platform's calls up to their answer: placing them, ringing, forking, refusing.

use super::super::leg::{Leg, Media, State, Unacknowledged, first};
use super::super::script::{Callee, SECOND, TEAMS};
use super::{Answering, Env, Platform, T1, Todo, What, fork_port, interval};
use tandem::sip::sdp::Direction;
use tandem::sip::{Draft, Message, Method, Name, has_option, sdp_part};
use tandem::transaction::ServerId;

impl Platform {
    pub(super) fn place(&mut self, env: &mut Env<'_>, call: usize) {
        let plan = self.script[call].clone();
        let (via, branch) = self.via();
        let (caller, called) = (format!("+14255550{call:03}"), format!("+49695550{call:03}"));
        let local = format!("<sip:{caller}@{}>;tag=p{}c{call}", self.host(), self.index);
        let target = format!("sip:{called}@sbc1.example.com:5061;transport={}", self.transport.uri_value());
        let remote = format!("<sip:{called}@sbc1.example.com>");
        let mut leg = Leg::calling(self.index, call, format!("c{call}@{}", self.host()), local, remote, target);
        leg.port = 10_000 + call as u16 * 100;
        let mut draft = leg.draft(&Method::Invite, leg.cseq, &via);
        if self.index == TEAMS {
            draft.put(Name::RecordRoute, "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>");
        } else {
            draft.put(
                Name::RecordRoute,
                &format!("<sip:203.0.113.21:5061;transport={};lr>", self.transport.uri_value()),
            );
        }
        if plan.reliable {
            draft.put(Name::Require, "100rel");
        }
        if let Some(timer) = plan.timer {
            draft.put(Name::SessionExpires, timer);
        }
        let mut offer = None;
        if !plan.offerless {
            let (sdp, media) = leg.description(Direction::SendRecv, false);
            draft.body("application/sdp", sdp);
            offer = Some(media);
        }
        self.legs.push(leg);
        let at = self.legs.len() - 1;
        let id = self.send(env, at, What::Initial, &Method::Invite, &branch, draft.finish());
        self.legs[at].outgoing = Some((id, offer));
        // Nobody listens to the tone for ever.
        env.later.push((plan.cancel.unwrap_or(200 * SECOND), Todo::GiveUp(at)));
    }

    pub(super) fn invited(&mut self, env: &mut Env<'_>, id: ServerId, request: &Message) {
        let from = first(request, Name::From);
        let Some(call) = from.find("+14255550").and_then(|at| from.get(at + 9..at + 12)?.parse::<usize>().ok()) else {
            env.breaches.push("the caller's number did not cross".to_owned());
            return self.respond(env, id, request, 404, "x");
        };
        let at = self.answering.len();
        self.answering.push(Answering { id, request: request.clone(), call, done: false });
        let plan = self.script[call].callee.clone();
        let mut after = 0;
        let (Callee::Answers { rings, .. } | Callee::Refuses { rings, .. } | Callee::Waits { rings }) = &plan;
        for &(pause, status, fork, sdp) in rings {
            after += pause;
            env.later.push((after, Todo::Ring(at, status, fork, sdp)));
        }
        match plan {
            Callee::Answers { after: pause, fork, second, .. } => {
                env.later.push((after + pause, Todo::Answer(at, fork, false)));
                if let Some((pause_again, fork)) = second {
                    env.later.push((after + pause + pause_again, Todo::Answer(at, fork, true)));
                }
            }
            Callee::Refuses { after: pause, status, .. } => env.later.push((after + pause, Todo::Refuse(at, status))),
            Callee::Waits { .. } => {}
        }
    }

    pub(super) fn fork_tag(&self, at: usize, fork: usize) -> String {
        format!("p{}a{at}f{fork}", self.index)
    }

    pub(super) fn dialog_fields(&self, draft: &mut Draft, contact: &str) {
        let route = if self.index == TEAMS {
            "<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>"
        } else {
            "<sip:203.0.113.21:5061;lr>"
        };
        draft.put(Name::RecordRoute, route).put(Name::Contact, contact);
    }

    pub(super) fn ring(&mut self, env: &mut Env<'_>, at: usize, status: u16, fork: usize, sdp: bool) {
        let one = &self.answering[at];
        if one.done {
            return;
        }
        let (id, request, call) = (one.id, one.request.clone(), one.call);
        let tag = self.fork_tag(at, fork);
        let mut leg = Leg::called(self.index, call, &request, &tag);
        leg.port = fork_port(call, fork);
        let mut draft = Draft::response(&request, status, "Ringing", &tag, None);
        self.dialog_fields(&mut draft, &leg.contact());
        if sdp && !request.body().is_empty() {
            draft.body("application/sdp", leg.description(Direction::SendRecv, false).0);
        }
        self.tx.respond(env.instant, id, status, draft.finish());
    }

    pub(super) fn answer(&mut self, env: &mut Env<'_>, at: usize, fork: usize, loser: bool) {
        let one = &mut self.answering[at];
        if one.done != loser {
            return;
        }
        one.done = true;
        let (id, request, call) = (one.id, one.request.clone(), one.call);
        if loser && !self.legs.iter().any(|leg| leg.side == 1 && leg.call_id == request.call_id()) {
            return;
        }
        let tag = self.fork_tag(at, fork);
        let mut leg = Leg::called(self.index, call, &request, &tag);
        leg.port = fork_port(call, fork);
        let offer = sdp_part(first(&request, Name::ContentType), &request.body()).and_then(|sdp| Media::of(&sdp));
        let mut draft = Draft::response(&request, 200, "OK", &tag, None);
        let plan = self.script[call].clone();
        if plan.foreign {
            draft.put(Name::Contact, "<sip:+14255550199@elsewhere.example.net:5061>");
        } else {
            self.dialog_fields(&mut draft, &leg.contact());
        }
        if let Some(timer) = plan.answer_timer {
            draft.put(Name::SessionExpires, timer);
            if timer.ends_with("uas") {
                leg.refresh = interval(timer);
            }
        }
        let (sdp, media) = leg.description(Direction::SendRecv, false);
        draft.body("application/sdp", sdp);
        let octets = draft.finish();
        let cseq = request.cseq().number;
        let until = env.now + 64 * T1;
        let made = offer.is_none().then_some(media);
        leg.unacknowledged = Some(Unacknowledged { id, octets: octets.clone(), cseq, offer: made, pause: T1, until });
        if offer.is_some() {
            leg.agree(env.now, Some(media), offer);
        }
        if !self.tx.respond(env.instant, id, 200, octets) {
            return;
        }
        leg.state = State::Confirmed;
        leg.confirmed_at = Some(env.now);
        self.legs.push(leg);
        let leg = self.legs.len() - 1;
        env.later.push((T1, Todo::Repeat(leg)));
        self.confirmed(env, leg);
    }

    pub(super) fn refuse(&mut self, env: &mut Env<'_>, at: usize, status: u16) {
        let one = &mut self.answering[at];
        if std::mem::replace(&mut one.done, true) {
            return;
        }
        let (id, request) = (one.id, one.request.clone());
        let tag = self.fork_tag(at, 0);
        let mut draft = Draft::response(&request, status, "Refused", &tag, None);
        if status == 422 {
            draft.put_number(Name::MinSe, 3600);
            // Once only: the second attempt rings for ever.
        }
        self.tx.respond(env.instant, id, status, draft.finish());
    }

    pub(super) fn initial_response(&mut self, env: &mut Env<'_>, leg: usize, status: u16, response: &Message) {
        match status {
            0..200 => {
                if status > 100 && has_option(response, Name::Require, "100rel") {
                    self.prack(env, leg, response);
                }
                if self.legs[leg].cancel {
                    self.cancel(env, leg);
                }
            }
            200..300 => {
                let sdp =
                    sdp_part(first(response, Name::ContentType), &response.body()).and_then(|sdp| Media::of(&sdp));
                let one = &mut self.legs[leg];
                let offer = one.outgoing.take().and_then(|(_, offer)| offer);
                one.learn(response);
                if sdp.is_none() {
                    env.breaches.push("a 2xx without session description".to_owned());
                }
                one.state = State::Confirmed;
                one.confirmed_at = Some(env.now);
                if let Some(timer) = response.header(Name::SessionExpires).filter(|timer| timer.contains("uac")) {
                    one.refresh = interval(timer);
                }
                self.acknowledge(env, leg, response.cseq().number, offer, sdp);
                if self.legs[leg].cancel {
                    return self.bye(env, leg, "cancelled too late");
                }
                self.confirmed(env, leg);
            }
            _ => {
                self.legs[leg].outgoing = None;
                self.legs[leg].end(env.now, "refused");
            }
        }
    }

    pub(super) fn prack(&mut self, env: &mut Env<'_>, leg: usize, response: &Message) {
        let (via, branch) = self.via();
        let one = &mut self.legs[leg];
        let (target, remote, routes) = (one.target.clone(), one.remote.clone(), one.routes.clone());
        one.learn(response);
        one.cseq += 1;
        let mut draft = one.draft(&Method::Prack, one.cseq, &via);
        (one.target, one.remote, one.routes) = (target, remote, routes);
        draft.put(Name::RAck, &format!("{} {} INVITE", first(response, Name::RSeq), response.cseq().number));
        self.send(env, leg, What::Other, &Method::Prack, &branch, draft.finish());
    }
}
