//! Looks after where our own names lead, beside everything else: nothing waits for it (TDR-24).

use super::{Shared, alarms};
use crate::config::own_names;
use std::sync::Arc;
use std::time::Duration;

/// How often names that are as they should be are looked at: as the resolver does with others (TDR-20).
const LOOK: Duration = Duration::from_secs(15 * 60);

/// How soon a name is looked at again that is not, or that the DNS said nothing about: who mends it waits.
const AGAIN: Duration = Duration::from_secs(60);

/// Raises and clears the alarms, for ever: at the start, after each change of the configuration, and in between.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut snapshots = shared.composer.snapshots();
    loop {
        snapshots.mark_unchanged();
        let settings = shared.composer.in_force().settings;
        let mut next = LOOK;
        for name in own_names(&settings) {
            let result = name.look(&shared.resolver).await;
            if !matches!(result, Some(Ok(()))) {
                next = AGAIN;
            }
            // Without an answer nothing is known that was not known before.
            if let Some(result) = result {
                shared.journal.alarm(alarms::own_name(&name.fqdn, result.err()));
            }
        }
        let again = tokio::time::sleep(next);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => break,
                changed = snapshots.changed() => match changed {
                    // Most snapshots are new addresses or health.
                    Ok(()) if Arc::ptr_eq(&shared.composer.in_force().settings, &settings) => {}
                    Ok(()) => break,
                    Err(_) => return,
                }
            }
        }
    }
}
