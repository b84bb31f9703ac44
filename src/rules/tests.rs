//! Rules on messages; how a configuration writes them is tested in `config`.

use super::*;
use crate::number::Pattern;
use crate::sip::{Method, Name};
use bytes::Bytes;
use proptest::prelude::*;

const TRUNK: TrunkId = TrunkId(3);

fn message(lines: &[&str]) -> Message {
    let text = format!(
        "INVITE sip:069123@sbc1.example.com SIP/2.0\r\nVia: SIP/2.0/TLS a.example.com;branch=z9hG4bK1\r\n\
         From: \"Dana \\\"D\\\"\" <sip:+12065550144@example.com;x=1>;tag=1;p=q\r\nTo: <sip:069123@example.com>\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\nX-Site:  berlin\r\n{}Content-Length: 3\r\n\r\nabc",
        lines.iter().map(|line| format!("{line}\r\n")).collect::<String>()
    );
    Message::parse(Bytes::from(text)).unwrap()
}

fn always() -> Condition {
    Condition::always(Direction::Out)
}

fn rule(condition: Condition, action: Action) -> Rule {
    Rule { name: Arc::from(""), condition, action }
}

fn template(text: &str) -> Template {
    Template::parse(text, Some(9)).unwrap()
}

fn target(name: &str) -> Target {
    Target::parse(name).unwrap()
}

/// What the rules make of the message; `None`: nothing.
fn outcome(rules: Vec<Rule>, message: &Message) -> Option<Message> {
    let number = Number::normalise("+4969123", "49").unwrap();
    let facts = Facts { called: Some(&number), user: "robin@example.com", to_trunk: "teams", ..Facts::default() };
    let applied = Rules::new(rules).apply(TRUNK, Direction::Out, message, &facts).unwrap();
    applied.map(|applied| applied.message)
}

fn acted(action: Action, lines: &[&str]) -> String {
    let message = outcome(vec![rule(always(), action)], &message(lines)).expect("a change");
    String::from_utf8(message.octets().to_vec()).unwrap()
}

#[test]
fn each_action_does_what_it_says() {
    let text = acted(Action::Add(Field::from("X-Acme"), template("a ${called} $$")), &["X-Acme: 1"]);
    assert!(text.contains("X-Acme: 1\r\nContent-Length: 3\r\nX-Acme: a +4969123 $\r\n\r\nabc"), "{text}");
    let text = acted(Action::Set(target("x-acme"), template("${user}")), &["X-Acme: 1", "Subject: s", "X-ACME: 2"]);
    assert!(text.contains("X-Site:  berlin\r\nx-acme: robin@example.com\r\nSubject: s\r\nContent"), "{text}");
    let text = acted(Action::Remove(Field::from("X-Site")), &["x-site: 2"]);
    assert!(!text.to_lowercase().contains("site"));
    let text = acted(Action::Rename(Field::from("X-Site"), Field::from("X-Place")), &[]);
    assert!(text.contains("\r\nX-Place: berlin\r\n"), "{text}");
    let text = acted(Action::Copy(target("from-uri"), target("X-From")), &[]);
    assert!(text.contains("\r\nX-From: sip:+12065550144@example.com;x=1\r\n"), "{text}");
    let digits = Regex::new("([a-z])([a-z]+)").unwrap();
    let text = acted(Action::Replace(target("X-Site"), digits, template("$2-$1")), &["X-Site: 77", "X-Site: ab cd"]);
    assert!(text.contains("X-Site: erlin-b\r\nX-Site: 77\r\nX-Site: b-a d-c\r\n"), "{text}");
}

#[test]
fn what_replaces_keeps_its_blanks_and_grows_no_further_than_a_line() {
    let comma = || Regex::new(",").unwrap();
    let text = acted(Action::Replace(target("X-List"), comma(), template(" , ")), &["X-List: a,b,"]);
    assert!(text.contains("\r\nX-List: a , b ,\r\n"), "{text}");
    // Sixty kB for each of sixty thousand letters would be 3.6 GB.
    let (big, letters) = ("b".repeat(30_000), "c".repeat(30_000));
    let message = message(&[&format!("X-Big: {big}"), &format!("X-Letters: {letters}")]);
    let letter = Regex::new(".").unwrap();
    for part in ["X-Letters", "request-uri"] {
        let each = Action::Replace(target(part), letter.clone(), template("${header:X-Big}"));
        let spoilt = Rules::new(vec![rule(always(), each)]).apply(TRUNK, Direction::Out, &message, &Facts::default());
        assert_eq!(spoilt.unwrap_err().text, format!("{part} becomes longer than 8192 octets"));
    }
}

#[test]
fn every_variable_says_what_its_name_says() {
    let message = message(&["X-Here: 1"]);
    let (called, caller) = (Number::normalise("+4969123", "").unwrap(), Number::normalise("+12065550199", "").unwrap());
    let facts = Facts {
        call: Some(uuid::Uuid::from_u128(7)),
        conversation: "9d6c",
        caller: Some(&caller),
        called: Some(&called),
        user: "robin@example.com",
        from_trunk: "genesys",
        to_trunk: "teams",
    };
    for (variable, value) in [
        ("called", "+4969123"),
        ("caller", "+12065550199"),
        ("user", "robin@example.com"),
        ("call", "00000000-0000-0000-0000-000000000007"),
        ("conversation", "9d6c"),
        ("from.trunk", "genesys"),
        ("to.trunk", "teams"),
        ("request.user", "069123"),
        ("from.user", "+12065550144"),
        ("from.display", "Dana \"D\""),
        ("to.user", "069123"),
        ("header:x-here", "1"),
        ("header:CSeq", "1 INVITE"),
    ] {
        let set = Action::Set(target("X-Value"), template(&format!("<${{{variable}}}>")));
        let applied = Rules::new(vec![rule(always(), set)]).apply(TRUNK, Direction::Out, &message, &facts).unwrap();
        let applied = applied.expect("a change").message;
        assert_eq!(applied.extension("x-value").next(), Some(format!("<{value}>").as_str()), "{variable}");
    }
}

#[test]
fn parties_change_in_the_first_invite_alone_and_keep_their_tags() {
    let national = || Regex::new("^sip:0([0-9]+)@").unwrap();
    let text = acted(Action::Replace(target("request-uri"), national(), template("sip:+49$1@")), &[]);
    assert!(text.starts_with("INVITE sip:+4969123@sbc1.example.com SIP/2.0\r\n"), "{text}");
    let text = acted(Action::Set(target("from-display"), template("${from.user} \"x\"")), &[]);
    let from = r#"From: "+12065550144 \"x\"" <sip:+12065550144@example.com;x=1>;tag=1;p=q"#;
    assert!(text.contains(from), "{text}");
    let text = acted(Action::Set(target("from-uri"), template("sip:0@example.com")), &[]);
    assert!(text.contains(r#"From: "Dana \"D\"" <sip:0@example.com>;tag=1;p=q"#), "{text}");
    let text = acted(Action::Set(target("from-display"), template("")), &[]);
    assert!(text.contains("From: <sip:+12065550144@example.com;x=1>;tag=1;p=q"), "{text}");
    let within = String::from_utf8(message(&[]).octets().to_vec())
        .unwrap()
        .replace("example.com>\r\n", "example.com>;tag=2\r\n");
    let within = Message::parse(Bytes::from(within)).unwrap();
    let rules = vec![rule(always(), Action::Replace(target("request-uri"), national(), template("sip:+49$1@")))];
    assert!(outcome(rules, &within).is_none(), "RFC 3261 §12.2: within the dialog the parties are agreed");
}

#[test]
fn every_condition_has_to_hold() {
    let pattern = |text: &str| vec![Pattern::parse(text).unwrap()];
    let presence = |name: &str, wanted| Some((target(name), Test::Present(wanted)));
    let matches = |name: &str, regex: &str| Some((target(name), Test::Matches(Regex::new(regex).unwrap())));
    for (condition, fires) in [
        (always(), true),
        (Condition { trunks: vec![TRUNK], ..always() }, true),
        (Condition { trunks: vec![TrunkId(4)], ..always() }, false),
        (Condition { direction: Direction::In, ..always() }, false),
        (Condition { request: Some(true), methods: vec![Method::Info, Method::Invite], ..always() }, true),
        (Condition { request: Some(false), ..always() }, false),
        (Condition { methods: vec![Method::Info], ..always() }, false),
        (Condition { statuses: vec![(100, 699)], ..always() }, false),
        (Condition { called: pattern("+4969*"), ..always() }, true),
        (Condition { called: pattern("+491*"), ..always() }, false),
        (Condition { caller: pattern("+*"), ..always() }, false),
        (Condition { part: presence("X-Site", true), ..always() }, true),
        (Condition { part: presence("X-Site", false), ..always() }, false),
        (Condition { part: presence("to-display", false), ..always() }, true),
        (Condition { part: matches("x-site", "^ber"), ..always() }, true),
        (Condition { part: matches("x-site", "^Ber"), ..always() }, false),
    ] {
        let fired =
            outcome(vec![rule(condition.clone(), Action::Add(Field::from("X-A"), template("1")))], &message(&[]));
        assert_eq!(fired.is_some(), fires, "{condition:?}");
    }
}

#[test]
fn later_rules_see_what_earlier_ones_made_and_captures_of_the_condition_count() {
    let when = |name: &str, regex: &str| Some((target(name), Test::Matches(Regex::new(regex).unwrap())));
    let rules = vec![
        rule(
            Condition { part: when("X-Site", "(b)er(lin)"), ..always() },
            Action::Set(target("X-B"), template("$2$1")),
        ),
        rule(Condition { part: when("X-B", "^linb$"), ..always() }, Action::Remove(Field::from("X-Site"))),
    ];
    let message = outcome(rules, &message(&[])).unwrap();
    assert_eq!((message.extension("x-b").next(), message.extension("x-site").next()), (Some("linb"), None));
}

#[test]
fn what_would_change_nothing_does_not_fire() {
    for action in [
        Action::Set(target("X-Site"), template("berlin")),
        Action::Set(target("X-New"), template("${conversation}")),
        Action::Add(Field::from("X-New"), template("${header:X-None}")),
        Action::Remove(Field::from("X-None")),
        Action::Copy(target("X-None"), target("X-New")),
        Action::Replace(target("X-Site"), Regex::new("berlin").unwrap(), template("berlin")),
    ] {
        assert!(outcome(vec![rule(always(), action.clone())], &message(&[])).is_none(), "{action:?}");
    }
}

#[test]
fn what_rules_spoil_is_said_with_the_rule() {
    let spoil = |action: Action| {
        let named = Rule { name: Arc::from("long one"), ..rule(always(), action) };
        Rules::new(vec![named]).apply(TRUNK, Direction::Out, &message(&[]), &Facts::default()).unwrap_err().to_string()
    };
    let long = template(&"a".repeat(9000));
    assert_eq!(spoil(Action::Add(Field::from("X-Long"), long)), "X-Long becomes longer than 8192 octets (long one)");
    let none = spoil(Action::Set(target("request-uri"), template("no uri")));
    assert_eq!(none, "request-uri gets something that is no URI (long one)");
    assert!(spoil(Action::Set(target("from-uri"), template("sips:a@example.com"))).contains("neither sip: nor tel:"));
}

#[test]
fn templates_are_checked_when_they_are_read() {
    for (text, captures, at, part) in [
        ("a ${colour}", None, 2, "no variable `colour`; known: called"),
        ("${header:a b}", None, 0, "no name of a header field"),
        ("$1", None, 0, "no expression"),
        ("x$3", Some(2), 1, "has 2 groups"),
        ("a$", None, 1, "`$$`"),
        ("a${b", None, 1, "without `}`"),
        ("a\r\nB: c", None, 1, "control character"),
    ] {
        let error = Template::parse(text, captures).unwrap_err();
        assert!(error.at == at && error.text.contains(part), "{text}: {error:?}");
    }
    assert_eq!(Template::parse("a$$b", None).unwrap().literal(), Some("a$b"));
    assert_eq!(Template::parse("${call}", None).unwrap().literal(), None);
}

#[test]
fn what_covers_what() {
    let pattern = |text: &str| vec![Pattern::parse(text).unwrap()];
    let one = Condition { methods: vec![Method::Invite], called: pattern("+4969*"), ..always() };
    assert!(always().covers(&one) && !one.covers(&always()) && one.covers(&one));
    assert!(!Condition { trunks: vec![TRUNK], ..always() }.covers(&always()));
    assert!(
        Condition { statuses: vec![(400, 499)], ..always() }
            .covers(&Condition { statuses: vec![(404, 404)], ..always() })
    );
}

fn any_action() -> impl Strategy<Value = Action> {
    let name = prop_oneof![Just("X-A"), Just("X-B"), Just("Subject"), Just("P-Asserted-Identity")];
    let part = prop_oneof![Just("X-A"), Just("request-uri"), Just("from-uri"), Just("to-display"), Just("Subject")];
    let value = "(\\$\\{header:X-A\\}|\\$\\{from\\.display\\}|[ -#%-~]{0,9}|\\$0)";
    let regex = prop_oneof![Just("."), Just("^"), Just("(a)|b"), Just("sip:[^@]*")];
    (name.clone(), name, part.clone(), part, value, regex, 0..6).prop_map(
        |(name, other, part, source, value, regex, kind)| {
            let template = Template::parse(&value, Some(0)).unwrap();
            match kind {
                0 => Action::Add(Field::from(name), template),
                1 => Action::Set(target(part), template),
                2 => Action::Remove(Field::from(name)),
                3 => Action::Rename(Field::from(name), Field::from(other)),
                4 => Action::Copy(target(source), target(part)),
                _ => Action::Replace(target(part), Regex::new(regex).unwrap(), template),
            }
        },
    )
}

#[test]
fn a_party_that_is_no_uri_costs_no_tag() {
    let rules = vec![
        rule(always(), Action::Set(target("from-uri"), template("\"\"\""))),
        rule(always(), Action::Copy(target("request-uri"), target("from-uri"))),
    ];
    let spoilt = Rules::new(rules).apply(TRUNK, Direction::Out, &message(&[]), &Facts::default());
    assert_eq!(spoilt.unwrap_err().text, "from-uri gets something that is no URI");
}

proptest! {
    #[test]
    fn whatever_rules_do_the_message_stays_one_and_machinery_stays_as_it_was(
        actions in proptest::collection::vec(any_action(), 0..8),
        lines in proptest::collection::vec("(X-A|x-b|Subject|s|Contact): [ -~]{0,30}", 0..6),
    ) {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let before = message(&lines);
        let rules = actions.into_iter().map(|action| rule(always(), action)).collect();
        let Ok(Some(applied)) = Rules::new(rules).apply(TRUNK, Direction::Out, &before, &Facts::default()) else {
            return Ok(());
        };
        let after = applied.message;
        for name in [Name::Via, Name::CallId, Name::CSeq, Name::Contact, Name::ContentLength] {
            prop_assert!(before.headers(name).eq(after.headers(name)), "{name:?}");
        }
        prop_assert_eq!(before.body(), after.body());
        let tag = |message: &Message, name| crate::sip::tag(message.header(name).unwrap_or("")).map(str::to_owned);
        prop_assert_eq!(tag(&before, Name::From), tag(&after, Name::From));
        prop_assert_eq!(tag(&before, Name::To), tag(&after, Name::To));
    }

    #[test]
    fn a_rule_that_sets_or_removes_does_so_once(value in "[ -#%-~]{1,20}", line in "(X-A|X-B): [ -~]{0,30}") {
        let actions = [Action::Set(target("X-A"), template(&value)), Action::Remove(Field::from("X-A"))];
        for action in actions {
            let rules = || vec![rule(always(), action.clone())];
            if let Some(once) = outcome(rules(), &message(&[&line])) {
                prop_assert!(outcome(rules(), &once).is_none());
            }
        }
    }
}
