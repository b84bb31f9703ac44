//! Routes and numbers: each key has its effect, each fault a finding at its place.

use super::*;

#[test]
fn routes_name_trunks_and_numbers() {
    let settings = settings(LAB);
    assert_eq!(settings.routes[0].from, Some(TrunkId(1)));
    assert_eq!((&settings.routes[0].number, &settings.routes[0].to), (&NumberMatch::Any, &vec![TrunkId(0)]));
    assert_error(
        &changed("to = [\"teams\"]", "to = [\"team\"]"),
        "there is no trunk `team`; did you mean `teams`?",
        "to =",
    );
    assert_error(&changed("to = [\"teams\"]", ""), "route.to is missing", "[[route]]");
    assert_error(&changed("\"+4969123*\"\nto", "\"4969123*\"\nto"), "write the number with `+`", "number");
    assert_error(
        &changed("to = [\"teams\"]", "number = \"directory\"\nto = [\"teams\"]"),
        "the directory, and there is none",
        "number",
    );
    let never = format!("{LAB}\n[[route]]\nfrom = \"teams\"\nnumber = \"+49691234*\"\nto = [\"genesys\"]\n");
    assert_found(&never, Severity::Warning, None, "never matches: route 2", "+49691234*");
    let back = changed("to = [\"genesys\"]", "to = [\"teams\"]");
    assert_found(&back, Severity::Warning, Some("GEN-79"), "back to the trunk", "to");
    assert_found(&back, Severity::Warning, Some("GEN-90"), "trunk `genesys` owns these numbers", "to");
    let one_way = LAB.rsplit_once("[[route]]").unwrap().0;
    assert_found(one_way, Severity::Warning, None, "no route takes calls of trunk `teams`", "[trunk.teams]");
}

#[test]
fn a_route_may_have_numbers_caller_header_hours_and_weights() {
    let route = |lines: &str| settings(&with_route(lines)).routes.pop().unwrap();
    let several = route("from = \"teams\"\nnumber = [\"+1*\", \"112\"]\nto = [\"genesys\"]");
    assert_eq!(several.number.each().count(), 2);
    let caller = route("from = \"teams\"\ncaller = [\"+1*\", \"anonymous\"]\nto = [\"genesys\"]").caller;
    assert!(caller.len() == 2 && caller[1] == CallerMatch::Anonymous);
    let header = |text: &str| route(&format!("from = \"teams\"\nheader = {text}\nto = [\"genesys\"]")).header.unwrap();
    assert!(matches!(header("{ name = \"X-A\", present = false }").test, HeaderTest::Present(false)));
    let pattern = header("{ name = \"X-A\", matches = \"^a+$\" }");
    assert!(matches!(&pattern.test, HeaderTest::Matches(pattern) if pattern.is_match("aa")));
    let time = "time = { days = [\"mon-fri\", \"sun\"], from = \"08:00\", to = \"18:30\", zone = \"Europe/Berlin\" }";
    let time = route(&format!("from = \"teams\"\n{time}\nto = [\"genesys\"]")).time.unwrap();
    assert_eq!((time.days, time.from, time.until, &*time.zone.name), (0b101_1111, 480, 1110, "Europe/Berlin"));
    let weighted = "from = \"teams\"\nto = [{ trunk = \"genesys\", weight = 3 }, { trunk = \"teams\", weight = 0 }]";
    assert_eq!((route(weighted).to, route(weighted).weights), (vec![TrunkId(1), TrunkId(0)], vec![3, 0]));
}

#[test]
fn faults_in_the_conditions_of_a_route_are_told_at_their_place() {
    let error = |lines: &str, words: &str| {
        let text = with_route(&format!("from = \"teams\"\nto = [\"genesys\"]\n{lines}"));
        assert_error(&text, words, lines.split(' ').next().unwrap());
    };
    error("number = []", "route.number is an empty list");
    error("caller = []", "route.caller is an empty list");
    error("time = { days = [], zone = \"UTC\" }", "route.time.days is an empty list");
    error("caller = \"1234567\"", "write the number with `+`");
    error("header = { name = \"X-A\", matches = \"(\" }", "no regular expression: unclosed group");
    error("header = { name = \"X A\", present = true }", "no name of a header field");
    error("header = { name = \"X-A\" }", "either matches or present");
    error("header = { name = \"X-A\", matches = \"a\", present = true }", "either matches or present");
    error("header = { present = true }", "name is missing");
    error("time = { zone = \"Europe/Atlantis\" }", "no time zone");
    error("time = { from = \"8\", zone = \"UTC\" }", "no time of day");
    error("time = { days = [\"someday\"], zone = \"UTC\" }", "no day");
    error("time = { from = \"08:00\" }", "zone is missing");
    error("time = { from = \"08:00\", to = \"08:00\", zone = \"UTC\" }", "end when they begin");
    let to = |to: &str| with_route(&format!("from = \"teams\"\nto = {to}"));
    assert_error(&to("[{ trunk = \"genesys\", weight = 1 }, \"teams\"]"), "some have none", "to =");
    assert_error(&to("[{ trunk = \"genesys\", weight = 0 }]"), "all weights are 0", "to =");
    assert_error(&to("[{ trunk = \"genesis\" }]"), "did you mean `genesys`?", "to =");
    let unwarranted = with_route("from = \"genesys\"\ncaller = \"anonymous\"\nto = [\"teams\"]");
    assert_found(&unwarranted, Severity::Warning, None, "never matches: route 1 takes all", "[[route]]");
}

#[test]
fn emergency_numbers_are_those_of_the_country_unless_they_are_configured() {
    let of = |lines: &str| {
        let settings = settings(&changed("emergency = []", lines));
        settings.edge.emergency.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("country = \"DE\""), of("")),
        (vec!["110".to_owned(), "112".into()], vec!["112".into(), "911".into()])
    );
    assert_eq!(of("emergency = [\"112\", \"19222\"]"), ["112", "19222"]);
    assert!(of("country = \"DE\"\nemergency = []").is_empty());
    assert_error(&changed("emergency = []", "emergency = [\"+112\"]"), "no emergency number", "emergency");
}

#[test]
fn a_trunk_may_have_a_country_and_a_dial_plan_of_its_own() {
    let plan = "country = \"AT\"\ndial_plan = { in = [{ prefix = \"000\", replace = \"+\" }, { match = \"^1(.)$\", replace = \"+43$1\" }], \
                out = [{ prefix = \"+43\", replace = \"0\" }] }";
    let genesys = trunk(&settings(&with("trunk.genesys", plan)), "genesys");
    assert_eq!((&*genesys.country_code, genesys.dial_plan.inbound.len()), ("43", 2));
    let number = |text: &str| genesys.number(&crate::sip::Uri::parse(text).unwrap(), "49").unwrap();
    assert_eq!(number("sip:01234567@example.com").as_str(), "+431234567", "its own country");
    assert_eq!(number("sip:00014255550123@example.com").as_str(), "+14255550123");
    assert_eq!(genesys.dial_plan.leaving(&number("sip:+431234567@example.com")), "01234567");
    assert_eq!(&*teams("").country_code, "", "that of the element");
    let emergency = settings(&with("trunk.genesys", plan).replace("emergency = []", "country = \"DE\"")).edge.emergency;
    assert_eq!(emergency.iter().map(|own| &**own).collect::<Vec<_>>(), ["110", "112", "122", "133", "144"]);
    let step = |step: &str| with("trunk.genesys", &format!("dial_plan = {{ in = [{step}] }}"));
    assert_error(&step("{ prefix = \"0\" }"), "replace is missing", "dial_plan");
    assert_error(&step("{ prefix = \"0\", match = \"0\", replace = \"\" }"), "either prefix or match", "dial_plan");
    assert_error(&step("{ prefix = \"(0)\", replace = \"\" }"), "is no prefix", "dial_plan");
    assert_error(&step("{ match = \"(\", replace = \"\" }"), "no regular expression: unclosed group", "dial_plan");
    assert_error(&step("{ match = \"^0(.)$\", replace = \"+43$2\" }"), "match has no group `$2`", "dial_plan");
    assert_error(&step("{ match = \"^0(.)$\", replace = \"$1x\" }"), "match has no group `$1x`", "dial_plan");
    assert_error(&step("{ match = \"^0(.)$\", replace = \"${1\" }"), "`${` without `}`", "dial_plan");
    assert_error(&step("{ match = \"^0(.)$\", replace = \"+43 $1\" }"), "' ' cannot stand in a number", "dial_plan");
    assert_error(&step("{ prefix = \"0\", replace = \"\\r\\n\" }"), "'\\r' cannot stand in a number", "dial_plan");
    assert_error(&step("{ prefix = \"0\", replace = \"$1\" }"), "has no groups", "dial_plan");
    settings(&step("{ match = \"^0(?<rest>.)(.)$\", replace = \"${2}0$rest\" }"));
    let hub = with("trunk.teams", "dial_plan = { out = [{ prefix = \"+49\", replace = \"0\" }] }");
    assert_found(&hub, Severity::Error, Some("TDR-130"), "E.164 with + and nothing else", "dial_plan");
}

#[test]
fn a_short_code_does_not_reach_teams_tdr_130() {
    let text = with_route("number = [\"+49*\", \"113\"]\nto = [\"genesys\", \"teams\"]");
    assert_found(&text, Severity::Warning, Some("TDR-130"), "short codes get 488", "number");
    assert_eq!(lines(&found(&text.replace("\"113\"", "\"+1001\""))).matches("TDR-130").count(), 0, "TDR-131");
}

#[test]
fn numbers_that_no_country_has_are_told() {
    let route = |lines: &str| with_route(&format!("from = \"teams\"\nto = [\"genesys\"]\n{lines}"));
    let told = |text: &str, words: &str, line: &str| assert_found(text, Severity::Warning, None, words, line);
    told(&route("number = \"+1425555012\""), "+1425555012: no number of its country has this form", "number");
    told(&route("caller = \"+2109*\""), "+2109*: no country has this calling code", "caller");
    told(&changed("\"+4969123*\"]", "\"+2109*\"]"), "+2109*: no country", "dids");
    assert_eq!(lines(&found(&route("number = [\"+14255550123\", \"112\", \"+1001\"]"))).matches("has this").count(), 0);
}

#[test]
fn emergency_calls_have_a_route_that_does_not_lead_to_teams_gen_60() {
    let on = |text: String| text.replace("emergency = []", "emergency = [\"112\"]");
    let refused = on(LAB.to_owned());
    assert_found(
        &refused,
        Severity::Warning,
        Some("GEN-60"),
        "calls of trunk `genesys` are refused",
        "[trunk.genesys]",
    );
    let route = "number = \"emergency\"\nto = [\"genesys\"]";
    assert_eq!(lines(&found(&on(with_route(route)))).matches("GEN-60").count(), 0);
    let timed = format!("{route}\ntime = {{ to = \"12:00\", zone = \"UTC\" }}");
    assert_found(&on(with_route(&timed)), Severity::Warning, Some("GEN-60"), "are refused", "[trunk.teams]");
    for number in ["emergency", "112", "+112"] {
        let astray = on(with_route(&format!("number = \"{number}\"\nto = [\"genesys\", \"teams\"]")));
        assert_found(&astray, Severity::Error, Some("GEN-60"), "never go to Teams", "to =");
    }
    assert_eq!(lines(&found(&on(with_route("number = \"113\"\nto = [\"teams\"]")))).matches("never go").count(), 0);
}
