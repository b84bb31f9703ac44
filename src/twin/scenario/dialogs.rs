//! Calls that are answered and then changed, disturbed, ended.

use super::{change, connect, expect, expect_direction, hang_up};
use crate::twin::call::{Call, Unmet};
use crate::twin::lab::{ALICE, CUSTOMER, QUEUE};
use crate::twin::media::Flow;
use crate::twin::octets::Plain;
use crate::twin::platform::Platform;

/// TDR-94.
pub(super) async fn teams_holds(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    change(&mut callee, &mut caller, Flow::Inactive, "inactive", "inactive").await?;
    change(&mut callee, &mut caller, Flow::SendRecv, "sendrecv", "sendrecv").await?;
    hang_up(&mut caller, &mut callee).await
}

/// TDR-93, GEN-42: every form of hold, from both roles.
pub(super) async fn genesys_holds(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    for (flow, answer) in [(Flow::SendOnly, "recvonly"), (Flow::Inactive, "inactive"), (Flow::Zero, "recvonly")] {
        hold(&mut caller, &mut callee, flow, answer).await?;
        change(&mut caller, &mut callee, Flow::SendRecv, "sendrecv", "sendrecv").await?;
    }
    hang_up(&mut caller, &mut callee).await?;
    let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
    hold(&mut callee, &mut caller, Flow::SendOnly, "recvonly").await?;
    change(&mut callee, &mut caller, Flow::SendRecv, "sendrecv", "sendrecv").await?;
    hang_up(&mut callee, &mut caller).await
}

/// A hold by Genesys: Teams sees `inactive`, whatever the form (TDR-93).
async fn hold(genesys: &mut Call, hub: &mut Call, flow: Flow, answer: &str) -> Result<(), Unmet> {
    let (response, request) = tokio::join!(genesys.re_invite(Some(flow)), hub.re_invited());
    let (response, request) = (response?, request?);
    expect_direction(&request, "inactive")?;
    // Whoever holds may hear `inactive` as well: the other side sends nothing (RFC 3264 §6.1).
    expect_direction(&response, answer).or_else(|_| expect_direction(&response, "inactive"))
}

/// GEN-45.
pub(super) async fn offerless_re_invite(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let (asked, seen) = tokio::join!(caller.re_invite(None), callee.re_invited());
    expect(asked?.sdp().is_some(), "the 2xx to a re-INVITE without offer has one")?;
    expect(seen?.sdp().is_some(), "GEN-45: Teams is asked with an offer")?;
    hang_up(&mut callee, &mut caller).await
}

/// TDR-90: UPDATE with an offer becomes a re-INVITE, without one it ends here.
pub(super) async fn update(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let response = caller.send("UPDATE", None, &[]).await?;
    expect(response.status() == 200, "UPDATE without offer gets 200")?;
    let (response, request) = tokio::join!(caller.update(Flow::Inactive), callee.re_invited());
    let (response, request) = (response?, request?);
    expect_direction(&request, "inactive")?;
    expect_direction(&response, "inactive")?;
    hang_up(&mut callee, &mut caller).await
}

/// TDR-90.
pub(super) async fn info(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let response = caller.send("INFO", None, &[("Info-Package", "dtmf")]).await?;
    expect(response.status() < 500 && response.status() != 481, "INFO gets a final response of its own")?;
    let response = caller.probe().await?;
    expect(response.status() == 200, "OPTIONS within the call gets 200")?;
    hang_up(&mut callee, &mut caller).await
}

/// Until transfers land, REFER is refused properly; so is what nobody offered.
pub(super) async fn refused(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let refer_to = [("Refer-To", "<sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:0>")];
    for call in [&mut caller, &mut callee] {
        for (method, lines) in [("REFER", &refer_to[..]), ("MESSAGE", &[]), ("SUBSCRIBE", &[("Event", "presence")])] {
            let response = call.send(method, None, lines).await?;
            let text = format!("{method} is refused, not with {}", response.status());
            expect(matches!(response.status(), 403 | 405 | 489 | 501 | 603), &text)?;
        }
    }
    change(&mut caller, &mut callee, Flow::Inactive, "inactive", "inactive").await?;
    hang_up(&mut caller, &mut callee).await
}

/// RFC 3261 §14.1: who meets the other's re-INVITE hears 491 and tries later.
pub(super) async fn glare(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let (one, two) = tokio::join!(caller.try_re_invite(Flow::Inactive), callee.try_re_invite(Flow::Inactive));
    for response in [one?, two?] {
        expect(matches!(response.status(), 200 | 491), "a re-INVITE that meets another gets 200 or 491")?;
    }
    // Afterwards each can still change the call.
    caller.re_invite(Some(Flow::SendRecv)).await?;
    callee.re_invite(Some(Flow::SendRecv)).await?;
    hang_up(&mut caller, &mut callee).await
}

/// RFC 3261 §15.1.2: either BYE may find the dialog gone already.
pub(super) async fn both_hang_up(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    let (one, two) = tokio::join!(caller.send("BYE", None, &[]), callee.send("BYE", None, &[]));
    let ends = |response: &Plain| matches!(response.status(), 200 | 481);
    let (one, two) = (one?, two?);
    expect(ends(&one) && ends(&two), "each BYE is answered")
}

/// TDR-22, 79, 80; GEN-36.
pub(super) async fn connections_lost(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    genesys.cut_connections();
    hub.cut_connections();
    change(&mut callee, &mut caller, Flow::Inactive, "inactive", "inactive").await?;
    genesys.cut_connections();
    hub.cut_connections();
    hang_up(&mut caller, &mut callee).await
}

/// RFC 3261 §13.2.2.4.
pub(super) async fn answer_repeated(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    callee.answer_again("").await?;
    hang_up(&mut caller, &mut callee).await
}

/// TDR-85.
pub(super) async fn stray_tag(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
    for call in [&mut caller, &mut callee] {
        let response = call.send_astray("BYE").await?;
        expect(response.status() == 481, "TDR-85: a BYE with a wrong tag gets 481")?;
    }
    hang_up(&mut callee, &mut caller).await
}
