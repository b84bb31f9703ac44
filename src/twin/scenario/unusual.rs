//! Callers and platforms that differ from the usual.

use super::{change, connect, connected, expect, hang_up, invites};
use crate::twin::call::Unmet;
use crate::twin::lab::{ALICE, CUSTOMER, QUEUE};
use crate::twin::media::Flow;
use crate::twin::platform::Platform;
use crate::twin::roles::Placed;

/// TDR-51, GEN-58.
pub(super) async fn anonymous(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    for (from, to, number, hidden) in [(genesys, hub, ALICE, CUSTOMER), (hub, genesys, QUEUE, ALICE)] {
        let call = Placed::new("anonymous", number).with("Privacy", "id");
        let call = call.with("P-Asserted-Identity", &format!("<sip:{hidden}@example.com>"));
        let (mut caller, mut callee) = connected(from, to, &call).await?;
        let shown = callee.invite().lines.into_iter().find(|(_, value)| value.contains(&hidden[1..]));
        let text = format!("TDR-51: the number of an anonymous caller stands nowhere, but in {shown:?}");
        expect(shown.is_none(), &text)?;
        hang_up(&mut caller, &mut callee).await?;
    }
    Ok(())
}

/// TDR-55: until media is anchored nobody here can make an offer.
pub(super) async fn offerless_call(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut call = Placed::new(CUSTOMER, ALICE);
    call.offer = false;
    let mut caller = genesys.place(&call).await?;
    caller.refused(488).await?;
    expect(invites(hub) == 0, "TDR-55: Teams sees no INVITE without offer")
}

/// TDR-57, 90; GEN-43: 100rel ends here, for who requires it.
pub(super) async fn reliable(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let call = Placed::new(CUSTOMER, ALICE).with("Require", "100rel").with("Supported", "100rel");
    let mut caller = genesys.place(&call).await?;
    let mut callee = hub.incoming().await?;
    callee.ring("", 180, false);
    let ringing = caller.ringing(180).await?;
    let (rseq, required) = (ringing.first("RSeq").to_owned(), ringing.has_token("Require", "100rel"));
    expect(required && !rseq.is_empty(), "a caller who requires 100rel gets RSeq")?;
    let response = caller.send("PRACK", None, &[("RAck", &format!("{rseq} {}", ringing.first("CSeq")))]).await?;
    expect(response.status() == 200, "PRACK gets 200")?;
    let (answer, answered) = tokio::join!(callee.answer(""), caller.answered());
    answer.and(answered.map(drop))?;
    hang_up(&mut caller, &mut callee).await
}

/// TDR-84.
pub(super) async fn no_record_route(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    hub.omit_record_route(true);
    let played = async {
        let (mut caller, mut callee) = connect(genesys, hub, CUSTOMER, ALICE).await?;
        change(&mut caller, &mut callee, Flow::Inactive, "inactive", "inactive").await?;
        hang_up(&mut caller, &mut callee).await?;
        let (mut caller, mut callee) = connect(hub, genesys, ALICE, QUEUE).await?;
        hang_up(&mut callee, &mut caller).await
    }
    .await;
    hub.omit_record_route(false);
    played
}

/// TDR-62, 66, 67, 72, 150; GEN-27, 61 to 64.
pub(super) async fn crowded(hub: &Platform, genesys: &Platform) -> Result<(), Unmet> {
    let mut call = Placed::new(CUSTOMER, ALICE)
        .with("X-Acme-Token", "1234567")
        .with("User-to-User", "005449434b45542d34373131;encoding=hex;purpose=isdn-uui;content=isdn-uui")
        .with("Diversion", "<sip:+496955501000@example.com>;reason=unconditional")
        .with("x-genesys-flow", "1")
        .with("X-GCV-Node", "2")
        .with("x-pcv-edge", "3")
        .with("Remote-Party-ID", "<sip:+496955501000@example.com>")
        .with("P-Charging-Vector", "icid-value=1");
    for number in 0..20 {
        call = call.with(&format!("X-Acme-{number}"), &"x".repeat(200));
    }
    let (mut caller, mut callee) = connected(genesys, hub, &call).await?;
    let token = callee.invite().lines.into_iter().find(|(name, _)| name.to_ascii_lowercase().starts_with("x-acme"));
    expect(token.is_none(), "GEN-27: the token and its like stay here")?;
    hang_up(&mut caller, &mut callee).await?;

    // 20 KiB, in lines below 8 KiB (TDR-72).
    let call = Placed::new(ALICE, QUEUE)
        .with("P-Asserted-Identity", &format!("<tel:{ALICE}>,<sip:robin@example.com>"))
        .with("History-Info", "<sip:+14255550124@sip.pstnhub.microsoft.com:5061;user=phone?Reason=SIP%3Bcause%3D302%3Btext%3D%22Moved%22>;index=1,<sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone>;index=1.1")
        .with("X-MS-UserLocation", "external")
        .with("X-MS-MediaPath", "sbc1.example.com")
        .with("X-Long-One", &"a".repeat(7000))
        .with("X-Long-Two", &"b".repeat(7000))
        .with("X-Long-Three", &"c".repeat(6000));
    let (mut caller, mut callee) = connected(hub, genesys, &call).await?;
    hang_up(&mut callee, &mut caller).await
}
