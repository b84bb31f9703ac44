//! `[[rule]]`: what compiles, what does not and where, and what makes no sense.

use super::*;
use crate::rules::{Direction, Facts};
use crate::sip::Message;

/// The lab with one rule; `lines` beside its direction.
fn rule(lines: &str) -> String {
    format!("{LAB}\n[[rule]]\ndirection = \"out\"\n{lines}\n")
}

/// The lab with several rules, all of them on their way out.
fn rules(all: &[&str]) -> String {
    all.iter().fold(LAB.to_owned(), |text, lines| format!("{text}\n[[rule]]\ndirection = \"out\"\n{lines}\n"))
}

#[test]
fn rules_are_compiled_with_everything_they_may_say() {
    let text = format!(
        "{LAB}\n[[rule]]\nname = \"site\"\ntrunk = [\"genesys\", \"teams\"]\ndirection = \"out\"\nmessage = \"request\"\n\
         method = [\"INVITE\", \"OPTIONS\"]\ncalled = \"+4969123*\"\ncaller = [\"+1*\", \"112\"]\n\
         when = {{ header = \"Subject\", matches = '^(.)' }}\nset = \"X-Site\"\nvalue = \"${{called}} $1\"\n\
         [[rule]]\ndirection = \"in\"\nmessage = \"response\"\nstatus = [\"486\", \"18x\", \"4xx\"]\nremove = \"X-Loud\"\n"
    );
    assert!(found(&text).iter().any(|finding| finding.to_string().contains("`18x` is no status")));
    let settings = settings(&text.replace("\"18x\", ", ""));
    let (teams, rules) = (TrunkId(0), settings.rules.clone());
    assert!(rules.concern(teams, Direction::Out) && rules.concern(teams, Direction::In));
    assert_eq!((rules.name(0), rules.name(1)), ("site".to_owned(), "rule 2".to_owned()));
    let invite = "INVITE sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/TLS a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
                  Call-ID: 1\r\nCSeq: 1 INVITE\r\nSubject: hello\r\n\r\n";
    let invite = Message::parse(bytes::Bytes::from(invite)).unwrap();
    let number = |text: &str| crate::number::Number::normalise(text, "49").unwrap();
    let (caller, called) = (number("+14255550123"), number("+4969123"));
    let facts = Facts { caller: Some(&caller), called: Some(&called), ..Facts::default() };
    let applied = rules.apply(teams, Direction::Out, &invite, &facts).unwrap().unwrap();
    assert_eq!(applied.message.extension("x-site").next(), Some("+4969123 h"));
    assert_eq!(applied.fired.as_slice(), [0]);
}

#[test]
fn a_reload_keeps_a_rule_with_its_trunk() {
    let old = settings(LAB);
    let turned = LAB
        .replace("[trunk.teams]", "[trunk.aaa]")
        .replace("\"teams\"]", "\"aaa\"]")
        .replace("from = \"teams\"", "from = \"aaa\"");
    let text = format!("{turned}\n[[rule]]\ntrunk = \"aaa\"\ndirection = \"out\"\nremove = \"X-A\"\n");
    let settings = diff(&old, settings(&text)).settings;
    let place = settings.trunks.iter().find(|trunk| &*trunk.trunk.name == "aaa").unwrap().trunk.id;
    assert_eq!(place, TrunkId(2));
    assert!(settings.rules.concern(place, Direction::Out) && !settings.rules.concern(TrunkId(0), Direction::Out));
}

#[test]
fn what_cannot_be_compiled_is_an_error_with_line_and_column() {
    for (lines, words, line, column) in [
        (
            "replace = \"Subject\"\npattern = 'a(b'\nwith = \"x\"",
            "cannot be compiled: unclosed group",
            "pattern",
            Some(13),
        ),
        (
            "replace = \"Subject\"\npattern = 'äöü(b'\nwith = \"x\"",
            "cannot be compiled: unclosed group",
            "pattern",
            Some(15),
        ),
        (
            r#"replace = "Subject"
pattern = "\\d\u00e4ä(b"
with = "x""#,
            "cannot be compiled: unclosed group",
            "pattern",
            Some(22),
        ),
        (
            "replace = \"Subject\"\npattern = '''\nab('''\nwith = \"x\"",
            "cannot be compiled: unclosed group",
            "pattern",
            Some(11),
        ),
        (
            "when = { header = \"Subject\", matches = '[z-a]' }\nremove = \"X-A\"",
            "invalid character class range",
            "when",
            Some(42),
        ),
        ("replace = \"Subject\"\npattern = '(?=x)'\nwith = \"x\"", "look-around", "pattern", None),
        ("replace = \"Subject\"\npattern = '(a)'\nwith = \"x$2\"", "the expression has 1 groups", "with", Some(10)),
        ("set = \"X-A\"\nvalue = \"ab ${colour}\"", "there is no variable `colour`", "value", Some(13)),
        ("set = \"X-A\"\nvalue = \"$1\"", "no expression that captures", "value", Some(10)),
        ("set = \"X A\"\nvalue = \"1\"", "no name of a header field", "set", None),
        ("set = \"Via\"\nvalue = \"1\"", "`Via` is not for rules to change", "set", None),
        ("remove = \"Contact\"", "`Contact` is not for rules to change", "remove", None),
        ("remove = \"X-Tandem-Hops\"", "`X-Tandem-Hops` is not for rules to change", "remove", None),
        ("add = \"x-inin-cnv\"\nvalue = \"1\"", "Genesys keeps names", "add", None),
        ("add = \"from-uri\"\nvalue = \"1\"", "can be set, copied and replaced", "add", None),
        ("set = \"X-A\"\nremove = \"X-B\"\nvalue = \"1\"", "wants to set and remove", "[[rule]]", None),
        ("trunk = \"teams\"", "this rule does nothing", "[[rule]]", None),
        ("set = \"X-A\"", "rule.value is missing", "[[rule]]", None),
        ("rename = \"X-A\"", "rule.to is missing", "[[rule]]", None),
        ("trunk = []\nremove = \"X-A\"", "rule.trunk is an empty list", "trunk", None),
        ("method = []\nremove = \"X-A\"", "rule.method is an empty list", "method", None),
        ("status = []\nremove = \"X-A\"", "rule.status is an empty list", "status", None),
        ("called = []\nremove = \"X-A\"", "rule.called is an empty list", "called", None),
        ("caller = []\nremove = \"X-A\"", "rule.caller is an empty list", "caller", None),
        ("trunk = \"team\"\nremove = \"X-A\"", "did you mean `teams`?", "trunk", None),
        ("method = \"INVTE\"\nremove = \"X-A\"", "did you mean `INVITE`?", "method", None),
        ("called = \"069123\"\nremove = \"X-A\"", "with `+` and country code", "called", None),
        ("when = { header = \"X-A\" }\nremove = \"X-A\"", "needs either `matches` or `present`", "when", None),
        ("when = { header = \"X-A\", presnt = true }\nremove = \"X-A\"", "did you mean `present`?", "when", None),
        ("values = \"1\"\nset = \"X-A\"\nvalue = \"1\"", "unknown key `values`", "values", None),
    ] {
        let all = found(&rule(lines));
        let fits = |finding: &&Finding| finding.severity == Severity::Error && finding.to_string().contains(words);
        let finding = all.iter().find(fits).unwrap_or_else(|| panic!("no `{words}` in\n{}", super::lines(&all)));
        let (number, at) = finding.position().unwrap();
        let text = finding.source.text.lines().nth(number - 1).unwrap();
        assert!(text.contains(line), "line {number}, `{text}`, has no `{line}`");
        assert!(column.is_none_or(|column| column == at), "{words}: column {at}");
        assert!(finding.render(false).contains(words), "it can be drawn");
    }
    let missing = format!("{LAB}\n[[rule]]\nremove = \"X-A\"\n");
    assert_error(&missing, "rule.direction is missing", "[[rule]]");
}

#[test]
fn rules_that_can_never_fire_are_found() {
    use Severity::{Error, Warning};
    for (all, severity, rule, words) in [
        (&["message = \"request\"\nstatus = \"486\"\nremove = \"X-A\""][..], Error, None, "requests have no status"),
        (
            &["message = \"response\"\nset = \"from-uri\"\nvalue = \"sip:a@example.com\""],
            Error,
            Some("RFC 3261 §12.2"),
            "the INVITE that begins a call",
        ),
        (
            &["method = \"INFO\"\nset = \"to-display\"\nvalue = \"a\""],
            Error,
            Some("RFC 3261 §12.2"),
            "the INVITE that begins a call",
        ),
        (
            &["status = \"4xx\"\nwhen = { header = \"request-uri\", matches = 'a' }\nremove = \"X-A\""],
            Error,
            None,
            "responses have no request-uri",
        ),
        (&["method = [\"BYE\", \"ACK\"]\nremove = \"Reason\""], Error, None, "leave as they have to be"),
        (&["method = \"ACK\"\nstatus = \"200\"\nremove = \"Reason\""], Error, None, "an ACK has no response"),
        (
            &["trunk = \"teams\"\nmessage = \"request\"\nmethod = \"INFO\"\nremove = \"X-A\""],
            Warning,
            Some("TDR-90"),
            "never sent to the trunk",
        ),
        (
            &[
                "name = \"first\"\nremove = \"X-A\"",
                "when = { header = \"x-a\", matches = '1' }\nset = \"X-B\"\nvalue = \"1\"",
            ],
            Warning,
            None,
            "rule `first` has removed the field",
        ),
    ] {
        assert_found(&rules(all), severity, rule, words, "");
    }
    let inbound =
        |method: &str| format!("{LAB}\n[[rule]]\ndirection = \"in\"\nmethod = {method}\nremove = \"Reason\"\n");
    assert_error(&inbound("[\"ACK\", \"CANCEL\"]"), "ACK and CANCEL are read as they come", "method =");
    assert!(loaded(&inbound("[\"BYE\", \"CANCEL\"]")).is_ok_and(|loaded| loaded.warnings.is_empty()));
    let many = format!("{LAB}{}", "\n[[rule]]\ndirection = \"in\"\nremove = \"Reason\"".repeat(1001));
    assert_error(&many, "more than 1000 rules", "[[rule]]");
}

#[test]
fn rules_that_undo_each_other_are_found() {
    for (all, words) in [
        (["add = \"X-A\"\nvalue = \"1\"", "remove = \"x-a\""], "undoes rule 1: it removes what that writes"),
        (["set = \"X-A\"\nvalue = \"1\"\ntrunk = \"teams\"", "set = \"X-A\"\nvalue = \"2\""], "writes the same field"),
        (["rename = \"X-A\"\nto = \"X-B\"", "rename = \"X-B\"\nto = \"X-A\""], "gives the field its old name back"),
    ] {
        assert_found(&rules(&all), Severity::Warning, None, words, "[[rule]]");
    }
    let apart = ["set = \"X-A\"\nvalue = \"1\"\ntrunk = \"teams\"", "remove = \"X-A\"\ntrunk = \"genesys\""];
    assert!(loaded(&rules(&apart)).is_ok_and(|loaded| loaded.warnings.is_empty()), "different trunks");
}

#[test]
fn a_rule_that_spoils_every_message_is_found() {
    let long = "x".repeat(9000);
    for (lines, words) in [
        (format!("set = \"X-A\"\nvalue = \"{long}\""), "X-A becomes longer than 8192 octets"),
        (format!("add = \"X-A\"\nvalue = \"${{called}}{long}\""), "X-A becomes longer than 8192 octets"),
        ("set = \"request-uri\"\nvalue = \"nonsense\"".to_owned(), "request-uri gets something that is no URI"),
        ("set = \"from-uri\"\nvalue = \"mailto:a@example.com\"".to_owned(), "neither sip: nor tel:"),
    ] {
        assert_error(&rule(&lines), words, "value");
    }
    for lines in ["set = \"to-uri\"\nvalue = \"\"", "set = \"to-uri\"\nvalue = \"sip:${called}@example.com\""] {
        assert!(loaded(&rule(lines)).is_ok(), "{lines}");
    }
}

#[test]
fn a_rule_that_undoes_many_is_told_once_and_more_rules_than_there_may_be_are_not_compared() {
    let many = |number: usize| rules(&vec!["set = \"X-A\"\nvalue = \"1\""; number]);
    assert_eq!(loaded(&many(40)).unwrap().warnings.len(), 39);
    assert_error(&many(10_000), "more than 1000 rules", "[[rule]]");
}

#[test]
fn rules_that_break_a_platform_s_rule_are_found() {
    use Severity::{Error, Warning};
    for (lines, severity, rule_of, words) in [
        (
            "set = \"P-Asserted-Identity\"\nvalue = \"<sip:+1@a>\"",
            Warning,
            "TDR-66",
            "trunk `teams`: the asserted number",
        ),
        ("set = \"P-Asserted-Identity\"\nvalue = \"<sip:+1@a>\"", Warning, "GEN-57", "trunk `genesys`: the asserted"),
        (
            "trunk = \"teams\"\nadd = \"Diversion\"\nvalue = \"<sip:+1@a>\"",
            Warning,
            "TDR-62",
            "the hub uses no Diversion",
        ),
        ("trunk = \"genesys\"\nset = \"request-uri\"\nvalue = \"sip:a@b\"", Warning, "GEN-12", "names the trunk"),
        (
            "trunk = \"teams\"\nset = \"request-uri\"\nvalue = \"sip:a@b\"",
            Warning,
            "TDR-48",
            "names no host of the hub",
        ),
        ("set = \"from-uri\"\nvalue = \"sips:a@b\"", Error, "TDR-1", "takes a sips: URI"),
        (
            "trunk = \"teams\"\nset = \"User-to-User\"\nvalue = \"00\"",
            Warning,
            "TDR-62",
            "the hub uses no User-to-User",
        ),
        ("trunk = \"teams\"\ncopy = \"from-uri\"\nto = \"Call-Info\"", Warning, "TDR-62", "the hub uses no Call-Info"),
        ("set = \"Remote-Party-ID\"\nvalue = \"<sip:+1@a>\"", Warning, "TDR-62", "`teams`: the guard removes Remote"),
        ("set = \"Remote-Party-ID\"\nvalue = \"<sip:+1@a>\"", Warning, "GEN-57", "`genesys`: the guard removes Remote"),
        ("trunk = \"genesys\"\nadd = \"x-User-To-User\"\nvalue = \"00\"", Warning, "GEN-66", "discards both"),
        ("trunk = \"genesys\"\nremove = \"P-Asserted-Identity\"", Warning, "GEN-57", "who Genesys takes"),
    ] {
        assert_found(&rule(lines), severity, Some(rule_of), words, "");
    }
    let inbound =
        format!("{LAB}\n[[rule]]\ndirection = \"in\"\nset = \"P-Asserted-Identity\"\nvalue = \"<sip:+1@a>\"\n");
    assert!(loaded(&inbound).is_ok_and(|loaded| loaded.warnings.is_empty()));
}
