//! The places that a call holds in the limits of its trunks (GEN-83): on the trunk that it came from one since it was
//! screened, on the trunk that is tried one from then on. A trunk has its limit for both directions together, as a
//! carrier counts its channels and Teams its sessions. Emergency calls hold none (TDR-155).

use super::context::Context;
use super::{Admit, Call};
use crate::flow::TrunkId;
use crate::trunk::Trunk;

/// Where a call counts.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The trunk that it came from; `None`: an emergency, or it is over here.
    from: Option<TrunkId>,
    /// The trunk that it goes to; `None`: as above, or none has been tried.
    to: Option<TrunkId>,
}

impl Places {
    /// Of a call that admission has let in from `trunk`.
    pub(super) fn admitted(trunk: TrunkId) -> Self {
        Self { from: Some(trunk), to: None }
    }

    /// Of a call between these trunks that goes on here: counted past any limit, since it is there, and its end will give
    /// the places back.
    pub(super) fn taken_up(cx: &Context, from: TrunkId, to: TrunkId) -> Self {
        for trunk in [from, to] {
            let _ = cx.admission.admit(trunk, cx.now, None, None);
        }
        Self { from: Some(from), to: Some(to) }
    }
}

impl Call {
    /// Takes a place on the trunk that is tried now, in exchange for that of the one before.
    ///
    /// # Errors
    ///
    /// In words, why there is none.
    pub(super) fn take_place(&mut self, cx: &Context, trunk: &Trunk) -> Result<(), String> {
        if self.record.emergency || self.places.to == Some(trunk.id) {
            return Ok(());
        }
        if let Some(before) = self.places.to.take() {
            cx.admission.release(before);
        }
        match cx.admission.admit(trunk.id, cx.now, trunk.max_calls, trunk.max_call_rate) {
            Admit::Yes => {
                self.places.to = Some(trunk.id);
                Ok(())
            }
            Admit::TooMany => Err(format!("trunk {} has as many calls as limits.calls lets it", trunk.name)),
            Admit::TooFast => {
                Err(format!("trunk {} begins as many calls as limits.calls_per_second lets it", trunk.name))
            }
        }
    }

    /// The call is over, or another worker's.
    pub(super) fn give_places_back(&mut self, cx: &Context) {
        let Places { from, to } = std::mem::take(&mut self.places);
        for trunk in from.into_iter().chain(to) {
            cx.admission.release(trunk);
        }
    }
}
