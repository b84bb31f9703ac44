use super::*;
use crate::directory::{Directory, Entry};
use crate::flow::{ListenerId, Transport};
use crate::snapshot::EdgeSettings;
use crate::trunk::platforms::{Cloud, Generation, Platform, defaults};
use crate::trunk::{Host, Termination};
use bytes::Bytes;
use hashbrown::HashMap;
use std::time::Duration;

fn teams(id: u16, fqdn: &str) -> Trunk {
    let defaults = defaults(&Platform::Teams { cloud: Cloud::Worldwide }).unwrap();
    defaults.into_trunk(TrunkId(id), "teams", fqdn, 5061)
}

fn genesys(id: u16, fqdn: &str) -> Trunk {
    let platform = Platform::Genesys {
        generation: Generation::Classic,
        region: "eu-central-1",
        identifier: "acme-sbc",
        termination: Termination::Fqdn,
    };
    let mut trunk = defaults(&platform).unwrap().into_trunk(TrunkId(id), "genesys", fqdn, 5061);
    trunk.sources = vec!["198.51.100.0/24".parse().unwrap()];
    trunk
}

const TEAMS: TrunkId = TrunkId(0);
const GENESYS: TrunkId = TrunkId(1);

fn number(text: &str) -> Number {
    Number::normalise(text, "49").unwrap()
}

fn pattern(text: &str) -> NumberMatch {
    NumberMatch::parse(text).unwrap()
}

fn route_of(from: Option<TrunkId>, number: &str, to: &[TrunkId]) -> Route {
    Route { from, number: pattern(number), to: to.to_vec(), ..Route::default() }
}

/// Where a call from the trunk at `from` to `number` goes, with nothing else known of it.
fn routed(snapshot: &Snapshot, from: usize, number: &Number) -> Result<Decision, Refusal> {
    route(snapshot, &snapshot.trunks[from], &wanted(number, &invite("sip:1@sbc1.example.com")))
}

fn wanted<'a>(number: &'a Number, invite: &'a Message) -> Wanted<'a> {
    Wanted { number, caller: None, anonymous: false, invite, unix_ms: 0, draw: 0 }
}

/// Teams and Genesys, the routes of the design, two users of whom one is active.
fn snapshot() -> Snapshot {
    let user = |text: &str, user: &str, active| Entry { number: number(text), user: Pii::new(user.to_owned()), active };
    let entries = [user("+496955501007", "ada@example.com", true), user("+496955501008", "bob@example.com", false)];
    Snapshot {
        revision: 1,
        edge: EdgeSettings {
            product: Arc::from("Tandem/0"),
            max_call: Duration::from_secs(43200),
            probe_interval: Duration::from_secs(900),
            ask_timeout: Duration::from_secs(2),
            country_code: Arc::from("49"),
            emergency: Arc::new(["112".into(), "911".into()]),
            max_calls: 100,
            t1: Duration::from_millis(500),
            observe: false,
            max_transactions: 1000,
            ask_media: false,
            ask_load: false,
        },
        trunks: vec![Arc::new(teams(0, "sbc1.example.com")), Arc::new(genesys(1, "sbc1.example.com"))],
        rules: Default::default(),
        routes: vec![route_of(Some(GENESYS), "directory", &[TEAMS]), route_of(Some(TEAMS), "+4969123*", &[GENESYS])],
        directory: Arc::new(Directory::new(entries).0),
        addresses: HashMap::new(),
        down: Vec::new(),
        nonce_key: crate::authentication::NonceKey::new([7; 32]),
        slots: Arc::new([0; 256]),
    }
}

fn peer(trunks: &[TrunkId]) -> Peer {
    Peer {
        source: "198.51.100.21:40000".parse().unwrap(),
        listener: Some(ListenerId(0)),
        transport: Transport::Tls,
        names: Vec::new(),
        trunks: trunks.iter().copied().collect(),
    }
}

fn invite(uri: &str) -> Message {
    let text = format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/TLS 198.51.100.21;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text)).unwrap()
}

fn identified(snapshot: &Snapshot, trunks: &[TrunkId], uri: &str) -> Result<TrunkId, Refusal> {
    identify(snapshot, &peer(trunks), &invite(uri))
}

#[test]
fn the_host_of_the_request_uri_says_which_trunk_tdr_158() {
    let mut snapshot = snapshot();
    snapshot.trunks.push(Arc::new(teams(2, "sbc2.example.com")));
    let both = [TEAMS, TrunkId(2)];
    assert_eq!(identified(&snapshot, &both, "sip:+496955501007@sbc1.example.com:5061"), Ok(TEAMS));
    assert_eq!(identified(&snapshot, &both, "sip:+496955501007@SBC2.example.com.;user=phone"), Ok(TrunkId(2)));
    assert_eq!(identified(&snapshot, &both, "sip:sbc2.example.com"), Ok(TrunkId(2)), "OPTIONS has no user");
    assert_eq!(identified(&snapshot, &both, "sip:1@sbc3.example.com"), Err(Refusal::UnknownTrunk));
}

#[test]
fn the_hub_is_refused_under_a_name_that_is_none_of_ours_tdr_158() {
    assert_eq!(identified(&snapshot(), &[TEAMS], "sip:1@sbc3.example.com"), Err(Refusal::UnknownTrunk));
    assert_eq!(Refusal::UnknownTrunk.status(), 404);
}

#[test]
fn genesys_may_name_us_otherwise_when_its_peer_can_be_one_trunk_only_gen_21() {
    let snapshot = snapshot();
    assert_eq!(identified(&snapshot, &[GENESYS], "sip:+496955501007@192.0.2.10:5061"), Ok(GENESYS));
    assert_eq!(identified(&snapshot, &[], "sip:+496955501007@sbc1.example.com"), Err(Refusal::UnknownTrunk));
}

#[test]
fn tgrp_tells_trunks_apart_that_know_us_by_one_name_gen_21() {
    let mut snapshot = snapshot();
    for (id, group) in [(2, "north"), (3, "south")] {
        let mut trunk = genesys(id, "sbc1.example.com");
        trunk.termination_identifier = Arc::from(group);
        snapshot.trunks.push(Arc::new(trunk));
    }
    let both = [TrunkId(2), TrunkId(3)];
    let with = |group: &str, host: &str| format!("sip:+496955501007;tgrp={group};trunk-context=example.com@{host}");
    assert_eq!(identified(&snapshot, &both, &with("south", "sbc1.example.com")), Ok(TrunkId(3)));
    assert_eq!(identified(&snapshot, &both, &with("north", "192.0.2.10")), Ok(TrunkId(2)));
    assert_eq!(identified(&snapshot, &both, &with("west", "sbc1.example.com")), Err(Refusal::AmbiguousTrunk));
    assert_eq!(identified(&snapshot, &both, "sip:1@sbc1.example.com"), Err(Refusal::AmbiguousTrunk));
    assert_eq!(identified(&snapshot, &both, "sip:1@192.0.2.10"), Err(Refusal::UnknownTrunk));
}

#[test]
fn the_dialled_user_or_a_token_tells_trunks_apart_gen_21_gen_27() {
    let mut snapshot = snapshot();
    for (id, name) in [(2, "north"), (3, "south")] {
        let mut trunk = genesys(id, "sbc1.example.com");
        trunk.termination_identifier = Arc::from(name);
        let value = crate::authentication::Secret::new(&format!("token of {name}"));
        trunk.required_header = Some(Arc::new(crate::authentication::RequiredHeader { name: "X-Acme".into(), value }));
        snapshot.trunks.push(Arc::new(trunk));
    }
    let both = [TrunkId(2), TrunkId(3)];
    assert_eq!(identified(&snapshot, &both, "sip:south@sbc1.example.com"), Ok(TrunkId(3)));
    let with = |lines: &str| {
        let text = format!(
            "INVITE sip:1@sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TLS a;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{lines}\r\n"
        );
        let peer = peer(&both);
        identify(&snapshot, &peer, &Message::parse(text.into()).unwrap())
    };
    assert_eq!(with("X-Acme: token of south\r\n"), Ok(TrunkId(3)));
    assert_eq!(with("X-Acme: token of west\r\n"), Err(Refusal::AmbiguousTrunk));
    assert_eq!(with(""), Err(Refusal::AmbiguousTrunk));
}

#[test]
fn a_removed_trunk_sends_no_new_calls() {
    let mut snapshot = snapshot();
    let mut gone = genesys(1, "sbc1.example.com");
    gone.retired = true;
    snapshot.trunks[1] = Arc::new(gone);
    assert_eq!(identified(&snapshot, &[GENESYS], "sip:1@sbc1.example.com"), Err(Refusal::UnknownTrunk));
}

#[test]
fn sips_and_other_schemes_get_416_tdr_1() {
    for (uri, refusal, status) in [
        ("sips:1@sbc1.example.com", Refusal::Scheme, 416),
        ("urn:service:sos", Refusal::Scheme, 416),
        ("sip:", Refusal::MalformedUri, 400),
    ] {
        assert_eq!(identified(&snapshot(), &[GENESYS], uri), Err(refusal));
        assert_eq!(refusal.status(), status);
    }
}

fn hosts(decision: &Decision) -> Vec<(u16, usize)> {
    decision.targets.iter().map(|target| (target.trunk.0, target.host)).collect()
}

#[test]
fn a_directory_number_goes_to_the_hub_names_in_order_tdr_17() {
    let snapshot = snapshot();
    let decision = routed(&snapshot, 1, &number("06955501007")).unwrap();
    assert_eq!(hosts(&decision), [(0, 0), (0, 1), (0, 2)]);
    assert_eq!(decision.user, Some(Pii::new("ada@example.com".to_owned())));
    assert_eq!(decision.route, 0);
}

#[test]
fn what_the_directory_does_not_give_away_never_leaves_tdr_46() {
    let snapshot = snapshot();
    let refused = |text: &str| routed(&snapshot, 1, &number(text)).unwrap_err();
    assert_eq!(refused("+496955501009"), Refusal::UnknownNumber);
    assert_eq!(refused("+496955501008"), Refusal::Inactive);
    assert_eq!((Refusal::UnknownNumber.status(), Refusal::Inactive.status()), (404, 480));
}

#[test]
fn a_call_for_a_genesys_number_goes_to_genesys() {
    let snapshot = snapshot();
    let decision = routed(&snapshot, 0, &number("+496912345000")).unwrap();
    assert_eq!((hosts(&decision), decision.user, decision.route), (vec![(1, 0)], None, 1));
    let other = routed(&snapshot, 0, &number("+14255550123"));
    assert_eq!(other, Err(Refusal::NoRoute));
}

#[test]
fn the_first_route_that_matches_wins() {
    let mut snapshot = snapshot();
    snapshot.routes.insert(0, route_of(None, "911", &[GENESYS]));
    snapshot.routes.push(route_of(None, "*", &[GENESYS, TEAMS]));
    let to = |from: usize, text: &str| routed(&snapshot, from, &number(text)).unwrap();
    assert_eq!(to(0, "+911").route, 0, "TDR-133");
    assert_eq!(to(1, "+496955501007").route, 1);
    assert_eq!(to(1, "+496955501008").route, 3, "an inactive user is for the routes behind");
    assert_eq!(hosts(&to(0, "+14255550123")), [(1, 0), (0, 0), (0, 1), (0, 2)]);
}

/// The snapshot with a PBX beside the platforms, and `route` before all others.
fn with_pbx(route: Route) -> Snapshot {
    let mut snapshot = snapshot();
    let mut pbx = defaults(&Platform::Generic).unwrap().into_trunk(PBX, "pbx", "sbc1.example.com", 5061);
    pbx.hosts = ["a", "b"].map(|name| Host { name: Arc::from(name), port: None }).to_vec();
    snapshot.trunks.push(Arc::new(pbx));
    snapshot.routes.insert(0, route);
    snapshot
}

const PBX: TrunkId = TrunkId(2);

#[test]
fn an_emergency_number_has_routes_of_its_own_and_never_goes_to_teams_gen_60() {
    let mut snapshot = snapshot();
    snapshot.routes = vec![
        route_of(None, "*", &[TEAMS]),
        route_of(None, "1*", &[TEAMS]),
        route_of(None, "+1*", &[TEAMS]),
        route_of(None, "directory", &[TEAMS]),
    ];
    for text in ["112", "+112", "911", "+911"] {
        assert_eq!(routed(&snapshot, 1, &number(text)), Err(Refusal::NoEmergencyRoute), "{text}");
    }
    assert!(routed(&snapshot, 1, &number("113")).is_ok());
    snapshot.routes.push(route_of(Some(TEAMS), "emergency", &[GENESYS]));
    assert_eq!(routed(&snapshot, 1, &number("112")), Err(Refusal::NoEmergencyRoute), "it is for calls of Teams");
    snapshot.routes.push(route_of(None, "emergency", &[TEAMS, GENESYS]));
    let decision = routed(&snapshot, 1, &number("+112")).unwrap();
    assert_eq!((hosts(&decision), decision.emergency), (vec![(1, 0)], true), "Teams is left out");
    assert!(!routed(&snapshot, 1, &number("113")).unwrap().emergency);
    snapshot.routes.truncate(4);
    snapshot.routes.push(route_of(None, "emergency", &[TEAMS]));
    assert_eq!(routed(&snapshot, 1, &number("112")), Err(Refusal::NoTarget));
    assert_eq!(Refusal::NoEmergencyRoute.status(), 404);
}

#[test]
fn an_emergency_call_tries_hosts_that_look_down_last_instead_of_never() {
    let mut snapshot = with_pbx(route_of(None, "emergency", &[PBX]));
    snapshot.down = vec![(PBX, snapshot.trunks[2].hosts[0].clone())];
    assert_eq!(hosts(&routed(&snapshot, 0, &number("112")).unwrap()), [(2, 1), (2, 0)]);
    snapshot.routes[0].number = NumberMatch::Any;
    assert_eq!(hosts(&routed(&snapshot, 0, &number("113")).unwrap()), [(2, 1)]);
}

#[test]
fn a_route_may_ask_for_the_caller() {
    let caller = |text: &str| CallerMatch::parse(text).unwrap();
    let snapshot =
        with_pbx(Route { caller: vec![caller("+1206555*"), caller("anonymous")], ..route_of(None, "*", &[PBX]) });
    let (called, invite) = (number("+496912345000"), invite("sip:1@sbc1.example.com"));
    let from = |caller: Option<&Number>, anonymous| {
        let wanted = Wanted { caller, anonymous, ..wanted(&called, &invite) };
        route(&snapshot, &snapshot.trunks[0], &wanted).unwrap().route
    };
    assert_eq!(from(Some(&number("+12065550144")), false), 0);
    assert_eq!(from(Some(&number("+14255550144")), false), 2, "another caller");
    assert_eq!((from(Some(&number("+14255550144")), true), from(None, false)), (0, 0), "nobody is shown");
}

#[test]
fn a_route_may_ask_for_a_header_field() {
    let with = |name: &str, test| Route {
        header: Some(HeaderMatch { name: name.into(), test }),
        ..route_of(None, "*", &[PBX])
    };
    let matches = |text: &str| HeaderTest::Matches(regex::Regex::new(text).unwrap());
    for (route, holds) in [
        (with("call-id", matches("^1$")), true),
        (with("i", matches("^1$")), true),
        (with("Call-ID", matches("2")), false),
        (with("From", matches("sip:a@example")), true),
        (with("X-Customer", HeaderTest::Present(true)), false),
        (with("X-Customer", HeaderTest::Present(false)), true),
        (with("X-Customer", matches("")), false),
    ] {
        let shown = format!("{:?}", route.header);
        let decision = routed(&with_pbx(route), 0, &number("+496912345000")).unwrap();
        assert_eq!(decision.route == 0, holds, "{shown}");
    }
}

#[test]
fn a_route_may_have_hours() {
    let zone = Arc::new(Zone { name: "UTC".into(), offsets: Vec::new() });
    let hours = Schedule { days: 0b111_1111, from: 480, until: 1080, zone };
    let snapshot = with_pbx(Route { time: Some(hours), ..route_of(None, "*", &[PBX]) });
    let (called, invite) = (number("+496912345000"), invite("sip:1@sbc1.example.com"));
    let at = |hour: u64| {
        let wanted = Wanted { unix_ms: hour * 3_600_000, ..wanted(&called, &invite) };
        route(&snapshot, &snapshot.trunks[0], &wanted).unwrap().route
    };
    assert_eq!((at(7), at(8), at(17), at(18)), (2, 0, 0, 2));
}

#[test]
fn weights_choose_who_is_tried_first_and_the_rest_follow() {
    let snapshot = with_pbx(Route { weights: vec![3, 1], ..route_of(None, "*", &[PBX, GENESYS]) });
    let (called, invite) = (number("+496955502000"), invite("sip:1@sbc1.example.com"));
    let tried = |draw: u64| {
        let wanted = Wanted { draw, ..wanted(&called, &invite) };
        hosts(&route(&snapshot, &snapshot.trunks[0], &wanted).unwrap())
    };
    assert_eq!(tried(0), [(2, 0), (2, 1), (1, 0)]);
    assert_eq!(tried(3), [(1, 0), (2, 0), (2, 1)]);
    assert_eq!((0..400).filter(|draw| tried(*draw)[0].0 == 1).count(), 100);
    let mut none = snapshot;
    none.routes[0].weights = vec![0, 0];
    let decision = routed(&none, 0, &called).unwrap();
    assert_eq!(hosts(&decision), [(2, 0), (2, 1), (1, 0)], "no weight at all is no wish");
}

#[test]
fn hosts_that_are_down_are_left_out_and_all_are_tried_when_all_are_down_tdr_39() {
    let mut snapshot = snapshot();
    let tried = |snapshot: &Snapshot| hosts(&routed(snapshot, 1, &number("+496955501007")).unwrap());
    let down = |trunk: usize, host: usize| (TrunkId(trunk as u16), snapshot.trunks[trunk].hosts[host].clone());
    let [first, second, third, genesys] = [down(0, 0), down(0, 1), down(0, 2), down(1, 0)];
    snapshot.down = vec![first.clone()];
    assert_eq!(tried(&snapshot), [(0, 1), (0, 2)]);
    snapshot.down = vec![first, second, third];
    assert_eq!(tried(&snapshot), [(0, 0), (0, 1), (0, 2)], "one of them may take it yet");
    snapshot.routes[0].to.push(GENESYS);
    assert_eq!(tried(&snapshot), [(1, 0)], "another trunk of the route is healthy");
    snapshot.down.push(genesys);
    assert_eq!(tried(&snapshot), [(0, 0), (0, 1), (0, 2), (1, 0)]);
}

#[test]
fn the_state_of_a_host_stays_with_it_when_its_trunk_is_reordered() {
    let mut snapshot = snapshot();
    let first = snapshot.trunks[0].hosts[0].clone();
    snapshot.down = vec![(TEAMS, first.clone())];
    let mut reordered = (*snapshot.trunks[0]).clone();
    reordered.hosts.rotate_left(1);
    snapshot.trunks[0] = Arc::new(reordered.clone());
    let tried = |snapshot: &Snapshot| hosts(&routed(snapshot, 1, &number("+496955501007")).unwrap());
    assert_eq!(tried(&snapshot), [(0, 0), (0, 1)], "now the last is down");
    reordered.hosts[2].port = Some(5067);
    snapshot.trunks[0] = Arc::new(reordered);
    assert_eq!(tried(&snapshot), [(0, 0), (0, 1), (0, 2)], "another port is another host");
}

#[test]
fn a_route_to_trunks_that_are_being_removed_is_503() {
    let mut snapshot = snapshot();
    snapshot.trunks[0] = Arc::new(Trunk { retired: true, ..(*snapshot.trunks[0]).clone() });
    let refused = routed(&snapshot, 1, &number("+496955501007"));
    assert_eq!(refused, Err(Refusal::NoTarget));
    assert_eq!(Refusal::NoTarget.status(), 503);
}

#[test]
fn numbers_that_are_none_are_404_and_missing_ones_484() {
    assert_eq!(Refusal::from(NumberError::Empty).status(), 484);
    assert_eq!(Refusal::from(NumberError::NotANumber).status(), 404);
    assert_eq!(Refusal::from(NumberError::TooLong).status(), 404);
}

#[test]
fn routes_know_what_they_leave_for_later_ones() {
    for (own, other, covered) in [
        ("*", "directory", true),
        ("*", "+49*", true),
        ("directory", "directory", true),
        ("+49*", "+4969*", true),
        ("+49*", "directory", false),
        ("directory", "+49*", false),
        ("+49*", "*", false),
    ] {
        assert_eq!(pattern(own).covers(&pattern(other), &[]), covered, "{own} {other}");
    }
}

#[test]
fn the_hub_fails_over_on_timeout_connect_failure_and_503_tdr_123() {
    for failure in [Failure::Timeout, Failure::Unreachable, Failure::Status(503)] {
        assert_eq!(after_failure(Kind::Teams, failure, false), Next::TryNext, "{failure:?}");
    }
}

#[test]
fn another_5xx_of_the_hub_goes_on_once_before_ringing_only_tdr_124() {
    for status in [500, 502, 504, 580] {
        assert_eq!(after_failure(Kind::Teams, Failure::Status(status), false), Next::TryOneMore);
        assert_eq!(after_failure(Kind::Teams, Failure::Status(status), true), Next::GiveUp(480));
    }
}

#[test]
fn a_carrier_fails_over_on_408_5xx_and_silence() {
    let failures = [Failure::Timeout, Failure::Unreachable, Failure::Lost];
    for failure in failures.into_iter().chain([408, 500, 503, 504].map(Failure::Status)) {
        assert_eq!(after_failure(Kind::Generic, failure, false), Next::TryNext, "{failure:?}");
    }
}

#[test]
fn what_the_called_party_decided_is_final_tdr_122_tdr_124_gen_17_gen_48() {
    for kind in [Kind::Teams, Kind::Genesys, Kind::Generic] {
        for status in [302, 403, 404, 480, 486, 488, 600, 603] {
            assert_eq!(after_failure(kind, Failure::Status(status), false), Next::GiveUp(status));
        }
    }
    assert_eq!(after_failure(Kind::Teams, Failure::Status(408), false), Next::GiveUp(408));
}

#[test]
fn genesys_fails_over_on_408_and_503_without_provisional_gen_85() {
    for failure in [Failure::Timeout, Failure::Unreachable, Failure::Status(503), Failure::Status(408)] {
        assert_eq!(after_failure(Kind::Genesys, failure, false), Next::TryNext, "{failure:?}");
    }
    assert_eq!(after_failure(Kind::Genesys, Failure::Status(500), false), Next::GiveUp(500));
}

#[test]
fn after_ringing_no_other_target_is_tried_gen_85_tdr_122() {
    for kind in [Kind::Teams, Kind::Genesys, Kind::Generic] {
        // Not 503: that would have the caller's platform ring elsewhere (GEN-80, TDR-127).
        assert_eq!(after_failure(kind, Failure::Status(503), true), Next::GiveUp(480));
        assert_eq!(after_failure(kind, Failure::Status(486), true), Next::GiveUp(486));
        assert_eq!(after_failure(kind, Failure::Timeout, true), Next::GiveUp(480));
        assert_eq!(after_failure(kind, Failure::Unreachable, true), Next::GiveUp(480));
    }
}

#[test]
fn a_hop_names_host_port_and_the_addresses_of_the_snapshot_tdr_20() {
    let mut snapshot = snapshot();
    let address: SocketAddr = "52.112.0.10:5061".parse().unwrap();
    let key = address_key(Transport::Tls, "sip2.pstnhub.microsoft.com", Some(5061));
    snapshot.addresses.insert(key, smallvec![address]);
    let found = hop(&snapshot, &snapshot.trunks[0], 1);
    assert_eq!((&*found.host, found.port, found.transport), ("sip2.pstnhub.microsoft.com", 5061, Transport::Tls));
    assert_eq!(found.addresses.as_slice(), [address]);
    let unknown = hop(&snapshot, &snapshot.trunks[0], 2);
    assert!(unknown.addresses.is_empty(), "the shell resolves it");
    assert_eq!(&*hop(&snapshot, &snapshot.trunks[0], 9).host, "sip.pstnhub.microsoft.com");
}

#[test]
fn a_host_without_port_is_looked_up_without_gen_11() {
    let mut snapshot = snapshot();
    let address: SocketAddr = "198.51.100.21:5071".parse().unwrap();
    let key = address_key(Transport::Tls, "acme-sbc.byoc.mypurecloud.de", None);
    snapshot.addresses.insert(key, smallvec![address]);
    assert_eq!(hop(&snapshot, &snapshot.trunks[1], 0).addresses.as_slice(), [address], "SRV chose the port");
}

fn dialled(trunk: usize, uri: &str) -> Result<(String, u16), Forbidden> {
    let snapshot = snapshot();
    let hop = hop_for_uri(&snapshot, &snapshot.trunks[trunk], &Uri::parse(uri).unwrap())?;
    assert_eq!(hop.transport, Transport::Tls, "TLS is never left");
    Ok((hop.host.to_string(), hop.port))
}

#[test]
fn in_dialog_requests_obey_route_and_contact_below_the_hub_s_suffix_tdr_83_tdr_84() {
    for (uri, host, port) in [
        ("sip:sip-du-a-us.pstnhub.microsoft.com:5061;transport=tls;lr", "sip-du-a-us.pstnhub.microsoft.com", 5061),
        ("sip:api-du-a-usea.pstnhub.microsoft.com:443;x-i=1;x-c=a/d/8/f", "api-du-a-usea.pstnhub.microsoft.com", 443),
        ("sip:sip.pstnhub.microsoft.com", "sip.pstnhub.microsoft.com", 5061),
        ("sip:52.114.0.20:5061;transport=udp", "52.114.0.20", 5061),
    ] {
        assert_eq!(dialled(0, uri), Ok((host.to_owned(), port)));
    }
}

#[test]
fn what_is_not_the_trunk_s_is_never_dialled_tdr_83() {
    for (uri, forbidden) in [
        ("sip:pstnhub.microsoft.com.example.com", Forbidden::Name),
        ("sip:evilpstnhub.microsoft.com", Forbidden::Name),
        ("sip:192.0.2.1", Forbidden::Address),
        ("sip:[::1]:5061", Forbidden::Address),
        ("sips:sip.pstnhub.microsoft.com", Forbidden::Scheme),
        ("tel:+14255550123", Forbidden::Scheme),
        ("sip:192.0.2.1;maddr=52.114.0.20", Forbidden::Address),
    ] {
        assert_eq!(dialled(0, uri), Err(forbidden), "{uri}");
    }
    let allowed = dialled(0, "sip:sip.pstnhub.microsoft.com;maddr=192.0.2.1");
    assert_eq!(allowed, Ok(("sip.pstnhub.microsoft.com".to_owned(), 5061)), "maddr is not looked at");
}

#[test]
fn genesys_contacts_are_addresses_in_its_ranges_gen_38_gen_40() {
    let uri = "sip:+496955501007@198.51.100.21:5061;transport=tls;gc-node=a1b2;ob";
    assert_eq!(dialled(1, uri), Ok(("198.51.100.21".to_owned(), 5061)));
    assert_eq!(dialled(1, "sip:lb01.voice.mypurecloud.de;lr"), Ok(("lb01.voice.mypurecloud.de".to_owned(), 5061)));
    assert_eq!(dialled(1, "sip:203.0.113.9"), Err(Forbidden::Address));
}

#[test]
fn a_host_configured_as_an_address_is_dialled_gen_6() {
    let mut snapshot = snapshot();
    let mut lab = genesys(1, "sbc1.example.com");
    lab.hosts = vec![Host { name: Arc::from("203.0.113.9"), port: Some(5071) }];
    snapshot.trunks[1] = Arc::new(lab);
    let found = hop(&snapshot, &snapshot.trunks[1], 0);
    assert_eq!(found.addresses.as_slice(), ["203.0.113.9:5071".parse::<SocketAddr>().unwrap()]);
    let uri = Uri::parse("sip:203.0.113.9:5071").unwrap();
    assert!(hop_for_uri(&snapshot, &snapshot.trunks[1], &uri).is_ok());
}

#[test]
fn what_is_told_of_a_decision_is_what_was_decided() {
    let mut snapshot = snapshot();
    snapshot.routes.push(route_of(None, "*", &[GENESYS]));
    let genesys = snapshot.trunks[1].clone();
    for (text, told) in [
        ("+496955501007", &[Look::Matches][..]),
        ("+496955501008", &[Look::Inactive, Look::OtherTrunk, Look::Matches]),
        ("+496955501009", &[Look::NotInDirectory, Look::OtherTrunk, Look::Matches]),
    ] {
        let (number, invite) = (number(text), invite("sip:1@sbc1.example.com"));
        assert_eq!(looks(&snapshot, &genesys, &wanted(&number, &invite)), told, "{text}");
        let decided = routed(&snapshot, 1, &number).unwrap().route;
        assert_eq!(decided + 1, told.len(), "{text}");
    }
    snapshot.down = vec![(TEAMS, snapshot.trunks[0].hosts[1].clone())];
    let up: Vec<bool> = super::hosts(&snapshot, &snapshot.routes[0], 0, false).map(|(_, up)| up).collect();
    assert_eq!(up, [true, false, true]);
}

#[test]
fn the_candidates_for_a_request_say_what_speaks_for_them() {
    let mut snapshot = snapshot();
    snapshot.trunks.push(Arc::new(Trunk { retired: true, ..genesys(2, "sbc2.example.com") }));
    let request = invite("sip:+496955501007;tgrp=acme-sbc@SBC1.example.com");
    let found = candidates(&snapshot, &peer(&[GENESYS, TrunkId(2)]), &request);
    assert_eq!(found, [Candidate { trunk: GENESYS, named: true, in_group: true }]);
}
