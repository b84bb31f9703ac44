//! Calls that begin: answered, refused, given up.

use super::{connect, expect, hang_up, invites};
use crate::twin::call::Unmet;
use crate::twin::lab::{ALICE, BOB, CUSTOMER, NOBODY, QUEUE, STALE, UNASSIGNED};
use crate::twin::platform::Platform;
use crate::twin::roles::Placed;

/// TDR-30 to 37, GEN-84.
pub(super) async fn health(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    for (platform, hosts) in [(hub, 3), (genesys, 1)] {
        platform.pinged(hosts).await?;
        let answer = platform.ping().await?;
        expect(answer.status() == 200, "OPTIONS of a platform gets 200")?;
    }
    Ok(())
}

pub(super) async fn genesys_to_teams(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    hang_up(&mut callee, &mut caller).await
}

pub(super) async fn genesys_hangs_up(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, BOB).await?;
    hang_up(&mut caller, &mut callee).await
}

pub(super) async fn teams_to_genesys(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
    hang_up(&mut callee, &mut caller).await
}

pub(super) async fn teams_hangs_up(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
    hang_up(&mut caller, &mut callee).await
}

/// TDR-91, 122; GEN-80.
pub(super) async fn busy(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut callee = hub.incoming().await?;
    callee.reject(486, &[("Reason", "Q.850;cause=34;text=\"busy here\"")]).await?;
    caller.refused(486).await?;
    once(hub).await
}

/// TDR-122.
pub(super) async fn declined(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut callee = hub.incoming().await?;
    callee.ring("", 180, false);
    caller.ringing(180).await?;
    callee.reject(603, &[]).await?;
    caller.refused(603).await?;
    once(hub).await
}

/// TDR-46.
pub(super) async fn unknown_number(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, NOBODY)).await?;
    caller.refused(404).await?;
    expect(invites(hub) == 0, "Teams sees nothing of a number that nobody has")
}

/// GEN-95. The hub says that nobody has this number, which is what is played here and no breach.
pub(super) async fn stale_number(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, STALE)).await?;
    caller.refused(404).await?;
    hub.expected("TDR-46");
    expect(invites(hub) == 1, "GEN-95: the number is tried once")
}

/// GEN-17: 404 is final, no other proxy is tried.
pub(super) async fn unassigned_number(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = hub.place(&Placed::new(ALICE, UNASSIGNED)).await?;
    caller.refused(404).await?;
    genesys.expected("GEN-17");
    expect(invites(genesys) == 1, "GEN-17: the number is tried once")
}

/// GEN-82.
pub(super) async fn genesys_cancels(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    cancelled(genesys, hub, CUSTOMER, ALICE).await
}

pub(super) async fn teams_cancels(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    cancelled(hub, genesys, ALICE, QUEUE).await
}

/// TDR-73, 76; GEN-44.
pub(super) async fn forked(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut callee = hub.incoming().await?;
    callee.ring("a", 180, false);
    let ringing = caller.ringing(180).await?;
    callee.ring("b", 180, false);
    callee.ring("b", 183, true);
    let (answer, answered) = tokio::join!(callee.answer("c"), caller.answered());
    answer?;
    let answered = answered?;
    expect(ringing.tag("To") == answered.tag("To"), "GEN-44: one To tag toward Genesys")?;
    expect(ringing.sdp().is_none(), "TDR-76: 18x without description by default")?;
    hang_up(&mut callee, &mut caller).await
}

/// TDR-123.
pub(super) async fn hub_failover(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut first = hub.incoming().await?;
    first.reject(503, &[("Retry-After", "1")]).await?;
    let mut second = hub.incoming().await?;
    expect(first.invite().branch() != second.invite().branch(), "the second attempt has a branch of its own")?;
    let (answer, answered) = tokio::join!(second.answer(""), caller.answered());
    answer.and(answered.map(drop))?;
    hang_up(&mut caller, &mut second).await
}

/// RFC 3261 §9.1, GEN-82: whoever wins, both legs end.
pub(super) async fn cancel_race(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut caller = genesys.place(&Placed::new(CUSTOMER, ALICE)).await?;
    let mut callee = hub.incoming().await?;
    callee.ring("", 180, false);
    caller.ringing(180).await?;
    let (answered, cancelled) = tokio::join!(callee.answer(""), caller.cancel());
    answered.and(cancelled)?;
    if caller.outcome().await?.status() == 200 {
        // The answer was faster: a caller who has given up hangs up.
        caller.hang_up().await?;
    }
    callee.hung_up().await.map(drop)
}

async fn cancelled(from: &Platform, to: &Platform, caller: &str, number: &str) -> Result<(), Unmet> {
    let mut caller = from.place(&Placed::new(caller, number)).await?;
    let mut callee = to.incoming().await?;
    callee.ring("", 180, false);
    caller.ringing(180).await?;
    let (gave_up, seen) = tokio::join!(caller.cancel(), callee.cancelled());
    gave_up.and(seen.map(drop))?;
    caller.refused(487).await.map(drop)
}

/// TDR-122: after the called party has decided nobody tries again.
async fn once(hub: &Platform) -> Result<(), Unmet> {
    expect(invites(hub) == 1 && hub.no_call().await, "TDR-122: no second INVITE to the hub")
}
