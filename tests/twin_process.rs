//! What happens to calls when the process around them changes: a worker panics, certificates are
//! renewed, the element drains, many call at once. Both platforms are played and judge every message.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tandem::config;
use tandem::process::Running;
use tandem::trunk::Termination;
use tandem::twin::lab::{ALICE, BOB, CUSTOMER, QUEUE};
use tandem::twin::scenario::{change, connect, hang_up, nothing_left};
use tandem::twin::{Call, Flow, Lab, Placed, Platform, Traced, certificates};

async fn start() -> (Lab, Running) {
    let lab = Lab::start("").await.expect("the platforms start");
    let loaded = config::load(&lab.configuration).expect("the configuration is sound");
    let running = Running::start(loaded.settings).expect("the element starts");
    (lab, running)
}

/// Ends the element; everything was as it should be on both sides.
async fn end(lab: &Lab, running: Running) {
    nothing_left(lab).expect("no leg is left");
    running.stop(true).await;
    assert_eq!(lab.hub.breaches(), vec![]);
    assert_eq!(lab.genesys.breaches(), vec![]);
}

/// Changes a call from both sides, and back.
async fn change_both_ways(one: &mut Call, other: &mut Call) {
    change(one, other, Flow::Inactive, "inactive", "inactive").await.expect("hold");
    change(other, one, Flow::SendRecv, "sendrecv", "sendrecv").await.expect("resume by the other side");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_outlive_the_panic_of_their_worker() {
    let (lab, running) = start().await;
    let (mut genesys_calls, mut teams_is_called) =
        connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    let (mut teams_calls, mut genesys_is_called) = connect(&lab.hub, &lab.genesys, ALICE, QUEUE).await.expect("a call");
    // A call is kept from its ACK on; the hold cannot have been answered before that came.
    change_both_ways(&mut genesys_calls, &mut teams_is_called).await;
    change_both_ways(&mut teams_calls, &mut genesys_is_called).await;
    for worker in 0..2 {
        running.panic_worker(worker);
    }
    change_both_ways(&mut genesys_calls, &mut teams_is_called).await;
    change_both_ways(&mut teams_calls, &mut genesys_is_called).await;
    hang_up(&mut teams_is_called, &mut genesys_calls).await.expect("BYE from Teams");
    hang_up(&mut genesys_is_called, &mut teams_calls).await.expect("BYE from Genesys");
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a new call");
    hang_up(&mut caller, &mut callee).await.expect("BYE");
    // The worker that speaks for all begins its OPTIONS anew, before their minute is over.
    lab.hub.expected("TDR-32");
    end(&lab, running).await;
}

/// All calls are at `to` afterwards; those in the middle of something follow as soon as that is over.
#[cfg(debug_assertions)]
async fn move_calls(running: &Running, from: u16, to: u16) {
    for _ in 0..1000 {
        if running.yield_calls(from, to).await.expect("a worker") == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("calls stay with worker {from}");
}

#[cfg(debug_assertions)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_at_another_worker() {
    let (lab, running) = start().await;
    let (mut genesys_calls, mut teams_is_called) =
        connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    let (mut teams_calls, mut genesys_is_called) = connect(&lab.hub, &lab.genesys, ALICE, QUEUE).await.expect("a call");
    // There, back, and there again: requests follow whichever connection they come on.
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        move_calls(&running, from, to).await;
        change_both_ways(&mut genesys_calls, &mut teams_is_called).await;
        change_both_ways(&mut teams_calls, &mut genesys_is_called).await;
    }
    // What moved outlives its new worker, too.
    running.panic_worker(1);
    change_both_ways(&mut genesys_calls, &mut teams_is_called).await;
    hang_up(&mut teams_is_called, &mut genesys_calls).await.expect("BYE from Teams");
    hang_up(&mut teams_calls, &mut genesys_is_called).await.expect("BYE from Teams");
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_under_calls() {
    let (lab, running) = start().await;
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    let before = fs::read(&lab.certificates.sbc.certificate).expect("a certificate");
    certificates::renew(&lab.certificates).expect("renewed");
    assert_ne!(before, fs::read(&lab.certificates.sbc.certificate).expect("a certificate"));
    let _ = running.reload().await;
    // New connections from both platforms, and to both, with a certificate of the new key.
    lab.hub.cut_connections();
    lab.genesys.cut_connections();
    change_both_ways(&mut caller, &mut callee).await;
    hang_up(&mut callee, &mut caller).await.expect("BYE");
    let (mut caller, mut callee) =
        connect(&lab.hub, &lab.genesys, ALICE, QUEUE).await.expect("a call with the new one");
    hang_up(&mut caller, &mut callee).await.expect("BYE");
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_refuses_new_calls_and_lets_old_ones_end() {
    let (lab, running) = start().await;
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    running.drain(false);
    for (platform, from, to) in [(&lab.genesys, CUSTOMER, ALICE), (&lab.hub, ALICE, QUEUE)] {
        let mut call = platform.place(&Placed::new(from, to)).await.expect("placed");
        // GEN-87, TDR-127: 503 before any 18x, so that the platform tries elsewhere.
        call.refused(503).await.expect("503 while draining");
    }
    assert_eq!(lab.genesys.ping().await.expect("an answer").status(), 503, "GEN-87");
    change_both_ways(&mut caller, &mut callee).await;
    hang_up(&mut callee, &mut caller).await.expect("BYE");
    running.stopped().await;
    assert_eq!(lab.hub.breaches(), vec![]);
    assert_eq!(lab.genesys.breaches(), vec![]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_hangs_up_on_both_sides() {
    let (lab, running) = start().await;
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    let stop = tokio::spawn(running.stop(true));
    let (one, two) = tokio::join!(caller.hung_up(), callee.hung_up());
    one.and(two).expect("BYE on both legs");
    stop.await.expect("no panic");
    assert_eq!(lab.hub.breaches(), vec![]);
    assert_eq!(lab.genesys.breaches(), vec![]);
}

async fn many(from: Platform, to: Platform, caller: &'static str, number: &'static str, count: usize) {
    let callees = tokio::spawn(async move {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..count {
            let mut call = to.incoming().await.expect("a call");
            calls.spawn(async move {
                call.ring("", 180, false);
                call.answer("").await.expect("an ACK");
                call.hung_up().await.expect("BYE");
            });
        }
        calls.join_all().await;
    });
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..count {
        let from = from.clone();
        callers.spawn(async move {
            let mut call = from.place(&Placed::new(caller, number)).await.expect("placed");
            call.answered().await.expect("an answer");
            call.hang_up().await.expect("200 to BYE");
        });
    }
    callers.join_all().await;
    callees.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_at_once_both_ways() {
    let (lab, running) = start().await;
    let (one, two) = (lab.genesys.clone(), lab.hub.clone());
    tokio::join!(many(one.clone(), two.clone(), CUSTOMER, ALICE, 50), many(two, one, ALICE, QUEUE, 50));
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_name_the_genesys_trunk_in_either_of_the_other_forms() {
    for (termination, user) in [(Termination::Tgrp, "+496955501000;tgrp=acme-sbc;"), (Termination::Dnis, "acme-sbc@")] {
        let lab = Lab::terminating(termination, "").await.expect("the platforms start");
        let loaded = config::load(&lab.configuration).expect("the configuration is sound");
        let running = Running::start(loaded.settings).expect("the element starts");
        let (mut caller, mut callee) = connect(&lab.hub, &lab.genesys, ALICE, QUEUE).await.expect("a call to Genesys");
        let invite = callee.invite();
        assert!(invite.request_uri().starts_with(&format!("sip:{user}")), "GEN-14, 15: {}", invite.request_uri());
        assert!(invite.first("To").contains(QUEUE), "GEN-15: {}", invite.first("To"));
        change_both_ways(&mut caller, &mut callee).await;
        hang_up(&mut callee, &mut caller).await.expect("BYE");
        let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("and one from it");
        hang_up(&mut caller, &mut callee).await.expect("BYE");
        end(&lab, running).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_reloaded_fails_no_call_to_a_number_that_stays() {
    let (lab, running) = start().await;
    let file = lab.directory().join("users.csv");
    let users = |rows: &str| format!("number,user,active\n{ALICE},alice@example.com,true\n{rows}");
    let versions = [
        users(&format!("{BOB},bob@example.com,true\n")),
        users(&format!("{BOB},bob@example.com,false\n")),
        "no directory at all".to_owned(),
        users(""),
    ];
    let reloaded = Arc::new(AtomicBool::new(false));
    let (platform, answering, over) = (lab.genesys.clone(), lab.hub.clone(), reloaded.clone());
    let calling = tokio::spawn(async move {
        while !over.load(Ordering::Acquire) {
            many(platform.clone(), answering.clone(), CUSTOMER, ALICE, 3).await;
        }
    });
    for version in versions.iter().cycle().take(2 * versions.len()) {
        let next = lab.directory().join("users.next");
        fs::write(&next, version).expect("written");
        // As an editor does it: the file is there at any moment.
        fs::rename(&next, &file).expect("renamed");
        let _ = running.reload().await;
    }
    reloaded.store(true, Ordering::Release);
    calling.await.expect("no call failed");
    // The last version is in force.
    let mut call = lab.genesys.place(&Placed::new(CUSTOMER, BOB)).await.expect("placed");
    call.refused(404).await.expect("404 for a number that is gone");
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_a_platform_dies_and_comes_back() {
    let (lab, running) = start().await;
    for (dying, other) in [(&lab.hub, &lab.genesys), (&lab.genesys, &lab.hub)] {
        let number = |platform| if std::ptr::eq(platform, &lab.hub) { ALICE } else { QUEUE };
        let caller = if std::ptr::eq(dying, &lab.hub) { CUSTOMER } else { ALICE };
        let (mut stays, mut dies) = connect(other, dying, caller, number(dying)).await.expect("a call to it");
        let caller = if std::ptr::eq(dying, &lab.hub) { ALICE } else { CUSTOMER };
        let (mut dies_too, mut stays_too) = connect(dying, other, caller, number(other)).await.expect("a call of its");
        dying.go_down().await;
        // Whoever wants to change the call meanwhile hears that it cannot be, and not that the call is over.
        let refused = stays.try_re_invite(Flow::Inactive).await.expect("a final response");
        assert_eq!(refused.status(), 488, "{}", refused.start);
        let before = dying.trace().len();
        dying.come_back().await.expect("the ports are free");
        // TDR-80, 85: to the platform and from it, on connections that were not there before.
        change_both_ways(&mut stays, &mut dies).await;
        // The version of the offer that was made while it was away is free again, unless that was written to the
        // connection that was just dying: it may have arrived then.
        let found: Vec<String> = dying.breaches().into_iter().map(|breach| breach.text).collect();
        assert!(found.is_empty() || found == ["o= version 3 after 1"], "{found:?}");
        dying.expected("RFC 3264 §8");
        change_both_ways(&mut dies_too, &mut stays_too).await;
        hang_up(&mut stays, &mut dies).await.expect("BYE to it");
        hang_up(&mut dies_too, &mut stays_too).await.expect("BYE from it");
        let trace = dying.trace();
        let (old, new) = trace.split_at(before);
        let ends = |traced: &Traced| (traced.local, traced.remote);
        assert!(
            !new.iter().any(|after| old.iter().any(|before| ends(before) == ends(after))),
            "a connection outlived it"
        );
    }
    end(&lab, running).await;
}
