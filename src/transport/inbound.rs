//! TLS handshakes of callers that failed, by trunk, until one succeeds: what a hub's failing calls look like from here.

use crate::flow::TrunkId;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The last failure of each trunk whose peers have not got through since.
#[derive(Debug, Default)]
pub struct Inbound(Mutex<BTreeMap<TrunkId, String>>);

impl Inbound {
    /// A caller that may be any of `trunks` got through; or not, and why.
    pub(super) fn note(&self, trunks: &[TrunkId], fault: Option<&str>) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for &trunk in trunks {
            match fault {
                Some(fault) => drop(failing.insert(trunk, fault.to_owned())),
                None => drop(failing.remove(&trunk)),
            }
        }
    }

    /// Why the last caller of this trunk did not get through; `None`: it did, or there was none.
    pub fn fault(&self, trunk: TrunkId) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&trunk).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_stays_until_a_caller_gets_through() {
        let inbound = Inbound::default();
        inbound.note(&[TrunkId(1)], Some("alert UnknownCA"));
        assert_eq!(inbound.fault(TrunkId(1)).as_deref(), Some("alert UnknownCA"));
        inbound.note(&[TrunkId(2)], None);
        assert!(inbound.fault(TrunkId(1)).is_some() && inbound.fault(TrunkId(2)).is_none());
        inbound.note(&[TrunkId(1)], None);
        assert_eq!(inbound.fault(TrunkId(1)), None);
    }
}
