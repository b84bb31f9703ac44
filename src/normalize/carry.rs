//! What of an INVITE goes over beside what every INVITE of ours says: the fields that cross by the platforms' rules or by
//! the operator's wish, user-to-user information and who forwarded, each as the trunk wants it (TDR-62, GEN-59, 65, 69).

use super::cross::{crosses, is_reserved, is_x_user_to_user};
use super::forwarding::{forwarding, passes_as_it_is};
use super::uui::{handed_along, user_to_user};
use crate::sip::{Field, HeaderLine, Message, Name};
use crate::trunk::Trunk;
use crate::trunk::policy::UserToUserForm;

/// The header fields of the INVITE `request`, which came on `from`, that go over to `to`, where the Request-URI is
/// `request_uri`. `country_code` is the calling code of numbers without `+`.
///
/// User-to-user information that cannot be read goes nowhere: Genesys would throw it away without a word (GEN-66).
pub fn carried(
    from: &Trunk,
    to: &Trunk,
    country_code: &str,
    request: &Message,
    request_uri: &str,
) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    for line in request.lines() {
        let written_anew = line.name == Name::UserToUser || is_x_user_to_user(line.text);
        if !written_anew && goes_over(from, to, &line) {
            fields.push((Field::from(line.text), line.value.to_owned()));
        }
    }
    if to.policy.user_to_user != UserToUserForm::None
        && let Ok(Some(data)) = user_to_user(request)
    {
        fields.extend(handed_along(to.policy.user_to_user, &data));
    }
    fields.extend(forwarding(from, to, country_code, request, request_uri));
    fields
}

/// Whether this line of an INVITE goes over to `to`: as it is, or user-to-user information in the form that it wants.
pub fn goes_over(from: &Trunk, to: &Trunk, line: &HeaderLine<'_>) -> bool {
    match line.name {
        Name::UserToUser => to.policy.user_to_user != UserToUserForm::None,
        Name::Other if is_x_user_to_user(line.text) => to.policy.user_to_user != UserToUserForm::None,
        Name::Diversion | Name::HistoryInfo => passes_as_it_is(from, to),
        _ => crosses(from.kind, to.kind, line) || passes(to, line),
    }
}

/// Whether the operator lets this line cross to `to` though it stays by default (TDR-62).
fn passes(to: &Trunk, line: &HeaderLine<'_>) -> bool {
    !to.policy.pass.is_empty() && !is_reserved(line.text) && !machinery(line.name) && to.policy.passes(line.text)
}

/// Whether fields of this name are not the operator's to pass: they belong to a leg, say who calls, describe the body, or
/// have a key of their own (`uui`, `forwarding`, `asserted_identity`).
pub fn machinery(name: Name) -> bool {
    !matches!(
        name,
        Name::AcceptContact
            | Name::AcceptLanguage
            | Name::AlertInfo
            | Name::CallInfo
            | Name::Date
            | Name::ErrorInfo
            | Name::Geolocation
            | Name::InReplyTo
            | Name::Organization
            | Name::Other
            | Name::Priority
            | Name::Subject
            | Name::Warning
    )
}

/// The most names that are told of one message.
const MAX_NAMES: usize = 8;

/// The reserved names that Genesys, or whoever else, wrote and that nobody here knows, each once, for the log: they are
/// dropped (GEN-63). Empty: there are none. `x-inin-cnv` is known (GEN-61), and so is what the hub says about itself.
pub fn reserved_names(message: &Message) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for line in message.lines().filter(|line| line.name == Name::Other && is_reserved(line.text)) {
        let name = line.text.to_ascii_lowercase();
        let known = name == "x-inin-cnv" || name.starts_with("x-ms-") || name.starts_with("x-tandem-");
        if !known && names.len() < MAX_NAMES && !names.contains(&name) {
            names.push(name.chars().take(64).collect());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{generic, genesys, invite, teams};
    use super::*;
    use crate::trunk::Termination;
    use crate::trunk::policy::Wildcard;

    fn across(from: &Trunk, to: &Trunk, lines: &[&str]) -> Vec<String> {
        let fields = carried(from, to, "1", &invite(lines), "sip:+14255550100@example.com");
        fields.iter().map(|(field, value)| format!("{}: {value}", field.as_str())).collect()
    }

    fn classic() -> Trunk {
        genesys(Termination::Fqdn)
    }

    #[test]
    fn what_an_operator_lets_pass_reaches_the_hub_and_nothing_else_does_tdr_62() {
        let lines =
            ["X-Acme-Site: berlin", "X-Acme: 1", "Call-Info: <http://example.com>", "X-Inin-Cnv: 7", "Subject: a"];
        let mut hub = teams();
        assert_eq!(across(&generic(), &hub, &lines), [""; 0]);
        hub.policy.pass = ["x-acme-*", "Call-Info", "X-*-", "Via"].map(Wildcard::new).to_vec();
        assert_eq!(across(&classic(), &hub, &lines), ["X-Acme-Site: berlin", "Call-Info: <http://example.com>"]);
        hub.policy.pass = vec![Wildcard::new("*")];
        let all = ["X-Acme-Site: berlin", "X-Acme: 1", "Call-Info: <http://example.com>", "Subject: a"];
        assert_eq!(across(&generic(), &hub, &lines), all, "no reserved name, and nothing of the leg");
    }

    #[test]
    fn user_to_user_reaches_genesys_in_its_form_and_others_by_key_alone_gen_65_gen_66() {
        let lines = ["x-User-to-User: Ac;encoding=ascii", "User-to-User: 004163;encoding=hex"];
        let mut to = classic();
        assert_eq!(across(&generic(), &to, &lines), ["User-to-User: 004163;encoding=hex"]);
        assert_eq!(across(&teams(), &to, &lines[..1]), ["x-User-to-User: Ac;encoding=ascii"]);
        to.policy.user_to_user = UserToUserForm::Extension;
        assert_eq!(across(&generic(), &to, &lines), ["x-User-to-User: 4163;encoding=hex"]);
        assert_eq!(across(&generic(), &to, &["User-to-User: 04abc"]), [""; 0], "cannot be read");
        assert_eq!(across(&classic(), &generic(), &lines), [""; 0]);
        assert_eq!(across(&classic(), &teams(), &lines), [""; 0], "TDR-62");
    }

    #[test]
    fn between_carriers_forwarding_passes_octet_for_octet() {
        let lines = [
            "Diversion: <sip:+14255550123@example.com> ;reason=no-answer",
            "History-Info: <sip:a@example.com>;index=1",
        ];
        assert_eq!(across(&generic(), &generic(), &lines), lines);
        // Never both with conflicting data (GEN-59).
        let told = across(&generic(), &classic(), &lines);
        assert_eq!(told, ["Diversion: <sip:+14255550123@sbc1.example.com>;reason=no-answer;counter=1"]);
    }

    #[test]
    fn names_that_genesys_reserves_are_told_once_gen_63() {
        let lines = ["X-GCV-abc: 1", "x-gcv-abc: 2", "X-Genesys-Foo: 1", "X-Inin-Cnv: 1", "X-MS-SBC: a", "X-Acme: 1"];
        assert_eq!(reserved_names(&invite(&lines)), ["x-gcv-abc", "x-genesys-foo"]);
        let many: Vec<String> = (0..99).map(|n| format!("x-pcv-{n}: 1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(reserved_names(&invite(&many)).len(), MAX_NAMES);
    }
}
