//! The keys of a trunk that say what crosses.

use super::*;
use crate::trunk::policy::{AssertedIdentity, Forwarding, Policy, UserToUserForm, Wildcard};

fn policy(name: &str, lines: &str) -> Policy {
    trunk(&settings(&with(&format!("trunk.{name}"), lines)), name).policy
}

#[test]
fn each_key_that_says_what_crosses_has_its_effect() {
    let (hub, genesys) = (policy("teams", ""), policy("genesys", ""));
    assert_eq!((hub.forwarding, genesys.forwarding), (Forwarding::None, Forwarding::Diversion), "TDR-62, GEN-59");
    assert_eq!((hub.user_to_user, genesys.user_to_user), (UserToUserForm::None, UserToUserForm::AsReceived), "GEN-65");
    assert!(hub.progress_after.is_some_and(|after| after < Duration::from_secs(10)), "TDR-71");
    assert_eq!(genesys.progress_after, None);
    for (word, asserted) in [
        ("rewrite", AssertedIdentity::Rewrite),
        ("keep", AssertedIdentity::Keep),
        ("strip", AssertedIdentity::Strip),
        ("promote", AssertedIdentity::Promote),
    ] {
        assert_eq!(policy("teams", &format!("asserted_identity = \"{word}\"")).asserted_identity, asserted, "TDR-66");
    }
    assert!(policy("genesys", "trusted_delivery = true").trusted_delivery, "GEN-58");
    let pass = policy("teams", "pass = [\"X-Acme-*\", \"Call-Info\"]").pass;
    assert_eq!(pass, ["X-Acme-*", "Call-Info"].map(Wildcard::new), "TDR-62");
    for (word, form) in [
        ("none", UserToUserForm::None),
        ("user-to-user-hex", UserToUserForm::Prefixed),
        ("user-to-user", UserToUserForm::Discriminator),
        ("x-user-to-user", UserToUserForm::Extension),
        ("x-user-to-user-ascii", UserToUserForm::ExtensionText),
    ] {
        assert_eq!(policy("genesys", &format!("uui = \"{word}\"")).user_to_user, form, "GEN-65");
    }
    assert_eq!(policy("teams", "forwarding = \"history-info\"").forwarding, Forwarding::HistoryInfo, "TDR-118");
    let voicemail = policy("teams", "voicemail = [\"+49 69 5550*\"]").voicemail;
    assert!(voicemail[0].matches("+496955501007") && !voicemail[0].matches("+4969555"), "TDR-164");
    assert_eq!(policy("teams", "progress_after = \"off\"").progress_after, None);
    assert_eq!(policy("genesys", "progress_after = \"5 s\"").progress_after, Some(Duration::from_secs(5)));
}

#[test]
fn what_must_not_cross_is_refused_with_its_remedy() {
    let refused = |name: &str| with("trunk.teams", &format!("pass = [\"{name}\"]"));
    for name in ["X-Genesys-Foo", "x-inin-*", "X-PCV-a", "X-GCV*", "X-MS-SBC", "X-Tandem-Hops"] {
        assert_error(&refused(name), "reserved by a platform", "pass");
    }
    for name in ["Via", "i", "Contact", "Max-Forwards", "Route", "Authorization", "Require", "Content-Type", "Replaces"]
    {
        assert_error(&refused(name), "belongs to one leg", "pass");
    }
    assert_error(&refused("P-Asserted-Identity"), "asserted_identity", "pass");
    assert_error(&refused("User-to-User"), "uui", "pass");
    assert_error(&refused("History-Info"), "forwarding", "pass");
    assert_error(&refused("X Acme"), "no header field name", "pass");
    assert_error(&refused("*"), "no header field name", "pass");
    assert_error(&refused("X-*-Site"), "no header field name", "pass");
    assert_error(&refused("X-*-*"), "no header field name", "pass");
    use Severity::Error;
    let promote = with("trunk.genesys", "asserted_identity = \"promote\"");
    assert_found(&promote, Error, Some("TDR-66"), "is for Teams", "asserted_identity");
    let trusted = with("trunk.teams", "trusted_delivery = true");
    assert_found(&trusted, Error, Some("TDR-51"), "anonymous caller to Teams", "trusted_delivery");
    let voicemail = with("trunk.genesys", "voicemail = [\"+4969*\"]");
    assert_found(&voicemail, Error, Some("TDR-164"), "is for Teams", "voicemail");
    let diversion = with("trunk.teams", "forwarding = \"diversion\"");
    assert_found(&diversion, Error, Some("TDR-118"), "does not read Diversion", "forwarding");
    assert_error(&with("trunk.teams", "voicemail = [\"robin\"]"), "a pattern is", "voicemail");
    assert_error(&with("trunk.teams", "uui = \"hex\""), "is no value of", "uui");
}
