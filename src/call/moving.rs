//! How a call leaves for another worker that asked for it (design: "Moving").
//!
//! A call can go only when nothing is under way in it: what is open (transactions, questions, a 2xx without ACK)
//! stays with its worker. So it is saved once it is quiet, and goes when that save is kept and nothing has happened
//! since; else it tries again when it is quiet the next time.

use super::context::Context;
use super::forks::Forks;
use super::leg::LegState;
use super::{Call, Phase};
use crate::io::Output;
use bytestring::ByteString;
use smallvec::SmallVec;

/// What comes of a call that wants to leave, once a save of it is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Departure {
    /// A later save has to be kept first.
    Waits,
    /// Something has happened meanwhile: it stays until it is quiet again.
    Stays,
    /// It goes now.
    Goes,
}

impl Call {
    /// Our tags in its dialogs.
    pub fn tags(&self) -> SmallVec<[ByteString; 2]> {
        let callee = self.callee.as_ref().map(|leg| leg.dialog.local_tag.clone());
        std::iter::once(self.caller.dialog.local_tag.clone()).chain(callee).collect()
    }

    /// Another worker asks for the call. One without an answer, or about to end, stays.
    pub fn want(&mut self, by: u16) {
        if self.phase == Phase::Answered {
            self.wanted = Some((by, None));
        }
    }

    /// Saves the call for its departure, if it is wanted and quiet. Returns whether it did.
    pub fn depart(&mut self, cx: &mut Context) -> bool {
        let Some((by, None)) = self.wanted else { return false };
        if !self.is_quiet() {
            return false;
        }
        self.save(cx);
        self.wanted = Some((by, Some(self.revision)));
        true
    }

    /// A save of a call that wants to leave is kept.
    pub fn saved(&mut self, revision: u32) -> Departure {
        match self.wanted {
            Some((_, Some(leaving))) if revision < leaving => Departure::Waits,
            Some((_, Some(leaving))) if self.revision == leaving && self.is_quiet() => Departure::Goes,
            Some((by, _)) => {
                self.wanted = Some((by, None));
                Departure::Stays
            }
            None => Departure::Stays,
        }
    }

    /// The call goes. What its peers may still ask for again is given back, as when it [retires](Self::retire).
    pub fn surrender(mut self, cx: &mut Context) -> Option<Forks> {
        if let (Some((to, _)), Some(callee)) = (self.wanted, &self.callee) {
            let tags = [self.caller.dialog.local_tag.clone(), callee.dialog.local_tag.clone()];
            cx.output(Output::Surrender { call: self.id, to, tags });
        }
        self.give_places_back(cx);
        self.retire(cx)
    }

    fn is_quiet(&self) -> bool {
        let quiet = |leg: &super::Leg| {
            leg.state == LegState::Confirmed && !leg.is_busy() && leg.errands.is_empty() && leg.realign.is_none()
        };
        self.phase == Phase::Answered
            && self.asked.is_none()
            && self.orphans.is_empty()
            && self.infos.is_empty()
            && self.held_offer.is_none()
            && quiet(&self.caller)
            && self.callee.as_ref().is_some_and(quiet)
    }
}
