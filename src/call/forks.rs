//! Answers too many: 2xx of forks that lost, of targets that were given up, and those that come again
//! when the call is over (RFC 3261 §13.2.2.4, RFC 6026 §7.2).
//!
//! Each makes a dialog that nobody wants: it is acknowledged, or its sender repeats it for 64·T1, and
//! ended. What was said is kept, so that a repetition gets the same ACK and no second BYE.

use super::context::Context;
use super::leg::{Errand, Leg};
use super::{CallKey, Side};
use crate::flow::TrunkId;
use crate::sip::{Message, Method, Name};
use smallvec::SmallVec;

/// The most dialogs kept for one call: more forks than any hub makes.
const MAX_FORKS: usize = 16;

/// The legs of a call that are acknowledged and over, or about to be.
#[derive(Debug, Default)]
pub struct Forks(SmallVec<[Leg; 1]>);

impl Forks {
    /// Takes a 2xx that belongs to no leg of the call. `like` is the leg that the same INVITE made, where
    /// it is not here.
    pub fn handle_2xx(&mut self, cx: &mut Context, like: Option<&Leg>, response: &Message) {
        let tag = crate::sip::tag(response.header(Name::To).unwrap_or("")).unwrap_or("");
        let same_invite = |leg: &&Leg| &*leg.dialog.call_id == response.call_id();
        if let Some(leg) = self.0.iter().filter(same_invite).find(|leg| &*leg.dialog.remote_tag == tag) {
            return acknowledge_again(cx, leg, response);
        }
        let like = like.filter(same_invite).or_else(|| self.0.iter().find(same_invite));
        if let Some(like) = like.filter(|_| self.0.len() < MAX_FORKS) {
            let leg = Leg::new(Side::Callee, like.trunk.clone(), like.dialog.clone(), like.contact.clone(), 0);
            self.end(cx, leg, response);
        }
    }

    /// Ends the dialog that `response` makes of `leg`: ACK, then BYE, on nobody's account.
    pub fn end(&mut self, cx: &mut Context, mut leg: Leg, response: &Message) {
        leg.dialog.learn(response);
        leg.acknowledge(cx, response.cseq().number, None);
        leg.errand(cx, CallKey::NONE, &Method::Bye, Errand::Bye(0), |_| {});
        self.0.push(leg);
    }

    /// Keeps a leg that is over for the sake of its ACK.
    pub fn keep(&mut self, leg: Leg) {
        if leg.ack.is_some() {
            self.0.push(leg);
        }
    }

    /// The trunks of these legs.
    pub fn trunks(&self) -> impl Iterator<Item = TrunkId> {
        self.0.iter().map(|leg| leg.trunk.id)
    }

    /// Whether there is nothing that could be asked for again.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A 2xx came again: so does its ACK.
pub fn acknowledge_again(cx: &mut Context, leg: &Leg, response: &Message) {
    if let Some((_, octets, hop)) = leg.ack.as_ref().filter(|(cseq, ..)| *cseq == response.cseq().number) {
        cx.send_ack(hop, octets.clone());
    }
}
