//! Calls over real TLS connections between the played platforms, with the whole element between them.
//!
//! Each scenario is a test of its own: it has a lab, certificates and a process of its own, and fails
//! with both ladders when a platform found a rule broken or saw something else than its script says.

use tandem::config;
use tandem::process::Running;
use tandem::twin::scenario::play;
use tandem::twin::{Lab, Scenario};

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
