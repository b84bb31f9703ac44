//! Answers too many: 2xx of forks that lost, of targets that were given up, and those that come again
//! when the call is over (RFC 3261 §13.2.2.4, RFC 6026 §7.2).
//!
//! Each makes a dialog that nobody wants: it is acknowledged, or its sender repeats it for 64·T1, and
//! ended. What was said is kept, so that a repetition gets the same ACK and no second BYE.

use super::Side;
use super::context::Context;
use super::dialog::Dialog;
use super::leg::{Acknowledged, Leg};
use crate::flow::TrunkId;
use crate::sip::{Message, Name};
use crate::trunk::Trunk;
use std::sync::Arc;

/// The most dialogs kept for one call: more forks than any hub makes.
const MAX_FORKS: usize = 16;

/// The dialogs of a call that are acknowledged and over, or about to be.
#[derive(Debug, Default)]
pub struct Forks(Vec<Fork>);

/// What is kept of a leg for 64·T1 after its end. There are many at any time: nothing that is not needed.
#[derive(Debug)]
struct Fork {
    trunk: Arc<Trunk>,
    dialog: Dialog,
    contact: String,
    /// The credentials of the INVITE, which the ACK of each 2xx repeats (RFC 3261 §22.1).
    authorization: Box<[(Name, String)]>,
    ack: Option<Acknowledged>,
}

impl Forks {
    /// Takes a 2xx that belongs to no leg of the call. `like` is the leg that the same INVITE made, where
    /// it is not here.
    pub fn handle_2xx(&mut self, cx: &mut Context, like: Option<&Leg>, response: &Message) {
        let tag = crate::sip::tag(response.header(Name::To).unwrap_or("")).unwrap_or("");
        let same_invite = |dialog: &Dialog| &*dialog.call_id == response.call_id();
        let mut own = self.0.iter().filter(|fork| same_invite(&fork.dialog));
        if let Some(fork) = own.clone().find(|fork| &*fork.dialog.remote_tag == tag) {
            return acknowledge_again(cx, fork.ack.as_ref(), response);
        }
        let like = like.filter(|leg| same_invite(&leg.dialog));
        let like = like.map(|leg| (&leg.trunk, &leg.dialog, &leg.contact, &*leg.authorization));
        let like =
            like.or_else(|| own.next().map(|fork| (&fork.trunk, &fork.dialog, &fork.contact, &*fork.authorization)));
        if let Some((trunk, dialog, contact, authorization)) = like.filter(|_| self.0.len() < MAX_FORKS) {
            let mut leg = Leg::new(Side::Callee, trunk.clone(), dialog.clone(), contact.clone(), 0);
            leg.authorization = authorization.iter().cloned().collect();
            self.end(cx, leg, response);
        }
    }

    /// Ends the dialog that `response` makes of `leg`: ACK, then BYE, on nobody's account.
    pub fn end(&mut self, cx: &mut Context, mut leg: Leg, response: &Message) {
        leg.dialog.learn(response);
        leg.acknowledge(cx, response.cseq().number, None);
        leg.bye_alone(cx);
        self.push(leg);
    }

    /// Keeps a leg that is over for the sake of its ACK.
    pub fn keep(&mut self, leg: Leg) {
        if leg.ack.is_some() {
            self.push(leg);
        }
    }

    /// The trunks of these dialogs.
    pub fn trunks(&self) -> impl Iterator<Item = TrunkId> {
        self.0.iter().map(|fork| fork.trunk.id)
    }

    fn push(&mut self, leg: Leg) {
        let Leg { trunk, dialog, contact, authorization, ack, .. } = leg;
        let authorization = authorization.into_vec().into_boxed_slice();
        self.0.reserve_exact(1); // mostly there is one
        self.0.push(Fork { trunk, dialog, contact, authorization, ack });
    }

    /// Whether there is nothing that could be asked for again.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A 2xx came again: so does its ACK.
pub fn acknowledge_again(cx: &mut Context, ack: Option<&Acknowledged>, response: &Message) {
    if let Some((_, octets, hop)) = ack.filter(|(cseq, ..)| *cseq == response.cseq().number) {
        cx.send_ack(hop, octets.clone());
    }
}
