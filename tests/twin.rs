//! Calls over real TLS connections between the played platforms, with the whole element between them.
//!
//! Each scenario is a test of its own: it has a lab, certificates and a process of its own, and fails
//! with both ladders when a platform found a rule broken or saw something else than its script says.

use std::sync::Arc;
use tandem::config;
use tandem::process::Running;
use tandem::twin::lab::{ALICE, CUSTOMER, FQDN, QUEUE};
use tandem::twin::scenario::{change, connect, hang_up, nothing_left, play};
use tandem::twin::{Asking, Flow, Lab, Manner, Placed, Proving, Scenario};

async fn check(scenario: Scenario) {
    let lab = Lab::start("").await.expect("the platforms start");
    let loaded = config::load(&lab.configuration).expect("the configuration is sound");
    let running = Running::start(loaded.settings).expect("the element starts");
    let played = play(&lab, scenario).await;
    running.stop(true).await;
    let breaches: String = played.breaches.iter().map(|(side, breach)| format!("{side}: {breach}\n")).collect();
    let unmet = played.unmet.as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(played.is_good(), "{}\n{unmet}\n{breaches}\n{}", scenario.title(), played.ladder.text());
}

macro_rules! scenarios {
    ($($name:ident $scenario:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                check(Scenario::$scenario).await;
            }
        )*

        #[test]
        fn every_scenario_is_a_test() {
            assert_eq!(Scenario::ALL, &[$(Scenario::$scenario),*]);
        }
    };
}

scenarios! {
    both_platforms_are_asked_and_answered Health,
    genesys_calls_teams_and_the_user_hangs_up GenesysToTeams,
    genesys_calls_teams_and_hangs_up GenesysHangsUp,
    teams_calls_genesys_and_genesys_hangs_up TeamsToGenesys,
    teams_calls_genesys_and_hangs_up TeamsHangsUp,
    a_busy_user_is_busy_to_genesys Busy,
    a_user_who_declines_is_not_tried_again Declined,
    a_number_that_nobody_has_never_reaches_teams UnknownNumber,
    a_stale_number_is_tried_once StaleNumber,
    an_unassigned_number_is_not_found UnassignedNumber,
    genesys_cancels_and_teams_stops_ringing GenesysCancels,
    teams_cancels_and_genesys_stops_ringing TeamsCancels,
    a_hold_by_teams_crosses TeamsHolds,
    every_hold_by_genesys_is_inactive_to_teams GenesysHolds,
    a_forked_call_is_one_dialog_to_genesys Forked,
    a_draining_hub_host_is_passed_over HubFailover,
    a_call_outlives_its_connections ConnectionsLost,
    an_anonymous_caller_stays_anonymous Anonymous,
    a_call_without_offer_is_refused_before_teams OfferlessCall,
    an_offerless_re_invite_asks_teams_with_an_offer OfferlessReInvite,
    an_update_is_converted_or_answered_here Update,
    an_info_ends_here Info,
    methods_that_nobody_offered_are_refused Refused,
    re_invites_that_meet_are_sorted_out Glare,
    both_sides_may_hang_up_at_once BothHangUp,
    a_cancel_that_meets_the_answer_leaves_no_half_call CancelRace,
    a_repeated_answer_is_acknowledged_again AnswerRepeated,
    a_wrong_tag_is_no_dialog StrayTag,
    reliable_ringing_ends_here Reliable,
    without_record_route_requests_follow_contact NoRecordRoute,
    header_fields_of_one_platform_do_not_reach_the_other Crowded,
}

/// Starts a lab with Digest between Genesys and Tandem, and a Tandem of one worker: counts are known to each alone.
async fn proving() -> (Lab, Running) {
    let lab = Lab::proving("").await.expect("the platforms start");
    let mut loaded = config::load(&lab.configuration).expect("the configuration is sound");
    loaded.settings.workers = 1;
    for settings in &mut loaded.settings.trunks {
        // OPTIONS would use nonces, and when they come is not for a test to say.
        Arc::make_mut(&mut settings.trunk).options_interval = None;
    }
    let running = Running::start(loaded.settings).expect("the element starts");
    (lab, running)
}

/// Ends the element; nothing is left, and only what a test provoked was found wrong.
async fn end(lab: &Lab, running: Running) {
    nothing_left(lab).expect("no leg is left");
    running.stop(true).await;
    assert_eq!((lab.hub.breaches(), lab.genesys.breaches()), (vec![], vec![]));
}

/// A call from Genesys that is answered, and its end.
async fn calls(lab: &Lab) {
    let (mut caller, mut callee) = connect(&lab.genesys, &lab.hub, CUSTOMER, ALICE).await.expect("a call");
    hang_up(&mut caller, &mut callee).await.expect("BYE");
}

/// A call to Genesys that is answered, held, resumed, and its end.
async fn is_called(lab: &Lab) {
    let (mut caller, mut callee) = connect(&lab.hub, &lab.genesys, ALICE, QUEUE).await.expect("a call");
    change(&mut caller, &mut callee, Flow::Inactive, "inactive", "inactive").await.expect("hold");
    change(&mut callee, &mut caller, Flow::SendRecv, "sendrecv", "sendrecv").await.expect("resume");
    hang_up(&mut caller, &mut callee).await.expect("BYE");
}

/// What Genesys sent or got with this start line since the lab last forgot.
fn count(lab: &Lab, sent: bool, start: &str) -> usize {
    lab.genesys
        .trace()
        .iter()
        .filter(|traced| traced.sent == sent)
        .filter(|traced| traced.plain.start.starts_with(start))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_holds_with_digest_both_ways_gen_25_gen_26() {
    let lab = Lab::proving("").await.expect("the platforms start");
    let loaded = config::load(&lab.configuration).expect("the configuration is sound");
    let running = Running::start(loaded.settings).expect("the element starts");
    let mut bad = String::new();
    for &scenario in Scenario::ALL {
        let played = play(&lab, scenario).await;
        if !played.is_good() {
            let (title, unmet, breaches) = (scenario.title(), &played.unmet, &played.breaches);
            bad.push_str(&format!("{title}\n{unmet:?}\n{breaches:?}\n{}\n", played.ladder.text()));
        }
    }
    running.stop(true).await;
    assert!(bad.is_empty(), "{bad}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_algorithm_of_rfc_8760_proves_both_ways() {
    let (lab, running) = proving().await;
    for algorithm in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
        for quality in ["auth", "auth-int"] {
            lab.forget();
            lab.genesys.prove(Some(Proving { algorithm: Some(algorithm), quality, ..Proving::new(FQDN) }));
            calls(&lab).await;
            assert_eq!(count(&lab, false, "SIP/2.0 401"), 1, "{algorithm} {quality}: each call is asked once");
            // In turn as the trunk and as a proxy before it.
            let proxy = quality == "auth-int";
            lab.genesys.ask(Some(Asking { algorithms: vec![algorithm], quality, proxy, ..Asking::default() }));
            is_called(&lab).await;
            let asked = count(&lab, true, if proxy { "SIP/2.0 407" } else { "SIP/2.0 401" });
            assert_eq!(asked, 1, "{algorithm} {quality}: what was asked once is said ahead");
        }
    }
    // Who is older than qop.
    lab.genesys.ask(Some(Asking { quality: "", ..Asking::default() }));
    is_called(&lab).await;
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_algorithms_the_topmost_that_is_known_is_answered() {
    let (lab, running) = proving().await;
    for algorithms in [vec!["SHA-256", "SHA-512-256", "MD5"], vec!["MD5", "SHA-256"]] {
        lab.genesys.ask(Some(Asking { algorithms, ..Asking::default() }));
        is_called(&lab).await;
    }
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_that_is_used_up_is_answered_anew_in_every_request() {
    let (lab, running) = proving().await;
    lab.genesys.ask(Some(Asking { uses: 1, ..Asking::default() }));
    is_called(&lab).await;
    // INVITE without a nonce; the hold and the BYE by one that is used up; each again.
    assert_eq!(count(&lab, true, "SIP/2.0 401"), 3);
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_is_wrong_for_genesys_is_tried_once_and_ends_the_call() {
    let (lab, running) = proving().await;
    is_called(&lab).await;
    lab.genesys.ask(Some(Asking { password: "hunter3", ..Asking::default() }));
    lab.forget();
    let mut caller = lab.hub.place(&Placed::new(ALICE, QUEUE)).await.expect("placed");
    caller.refused(403).await.expect("403 upstream");
    // By the nonce of before, which is stale; by the new one, and wrong; and no more.
    assert_eq!(count(&lab, false, "INVITE"), 2);
    let wrong = lab.genesys.breaches();
    assert_eq!(wrong.iter().map(|breach| breach.rule).collect::<Vec<_>>(), ["RFC 7616 §3.4.1"]);
    lab.genesys.expected("RFC 7616 §3.4.1");
    // With the right one all is well again.
    lab.genesys.ask(Some(Asking::default()));
    is_called(&lab).await;
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn genesys_with_a_wrong_password_is_refused_at_the_third_try() {
    let (lab, running) = proving().await;
    lab.genesys.prove(Some(Proving { manner: Manner::WrongPassword, ..Proving::new(FQDN) }));
    let mut caller = lab.genesys.place(&Placed::new(CUSTOMER, ALICE)).await.expect("placed");
    caller.refused(403).await.expect("403");
    assert_eq!((count(&lab, false, "SIP/2.0 401"), count(&lab, true, "INVITE")), (3, 4));
    assert!(lab.hub.no_call().await, "Teams sees nothing of it");
    lab.genesys.prove(Some(Proving::new(FQDN)));
    calls(&lab).await;
    end(&lab, running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nonce_counts_up_and_one_that_is_played_again_or_foreign_is_stale() {
    let (lab, running) = proving().await;
    calls(&lab).await;
    for (manner, challenges) in [
        (Manner::Ahead, 0),
        (Manner::Ahead, 0),
        (Manner::CountAgain, 1),
        (Manner::Ahead, 0),
        // To the call without credentials, and to the answer by a nonce of somebody else.
        (Manner::ForeignNonce, 2),
    ] {
        lab.forget();
        lab.genesys.prove(Some(Proving { manner, ..Proving::new(FQDN) }));
        calls(&lab).await;
        let trace = lab.genesys.trace();
        let asked: Vec<_> = trace.iter().filter(|traced| traced.plain.status() == 401).collect();
        assert_eq!(asked.len(), challenges, "{manner:?}");
        let last = asked.last().map_or("", |traced| traced.plain.first("WWW-Authenticate"));
        assert!(last.is_empty() || last.contains("stale=true"), "{manner:?}: {last}");
    }
    end(&lab, running).await;
}
