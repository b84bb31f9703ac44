//! The keys of a trunk that say what crosses: who is asserted, who forwarded, which further header fields (TDR-62, 66, 71,
//! 119, 164; GEN-58, 59, 65).

use super::section::Section;
use crate::normalize;
use crate::number::Pattern;
use crate::sip::{Name, is_token};
use crate::trunk::Kind;
use crate::trunk::policy::{AssertedIdentity, Forwarding, Policy, UserToUserForm, Wildcard};
use std::time::Duration;
use toml::Spanned;

/// Reads them; what the operator does not say is as the kind has it in `base`.
pub(super) fn read_policy(section: &Section<'_>, kind: Option<Kind>, base: Policy) -> Policy {
    let asserted = [
        ("rewrite", AssertedIdentity::Rewrite),
        ("keep", AssertedIdentity::Keep),
        ("strip", AssertedIdentity::Strip),
        ("promote", AssertedIdentity::Promote),
    ];
    let forms = [
        ("none", UserToUserForm::None),
        ("as-received", UserToUserForm::AsReceived),
        ("user-to-user-hex", UserToUserForm::Prefixed),
        ("user-to-user", UserToUserForm::Discriminator),
        ("x-user-to-user", UserToUserForm::Extension),
        ("x-user-to-user-ascii", UserToUserForm::ExtensionText),
    ];
    let forwarding =
        [("none", Forwarding::None), ("diversion", Forwarding::Diversion), ("history-info", Forwarding::HistoryInfo)];
    let policy = Policy {
        asserted_identity: section.choice("asserted_identity", &asserted).unwrap_or(base.asserted_identity),
        trusted_delivery: section.flag("trusted_delivery").unwrap_or(base.trusted_delivery),
        pass: wildcards(section.list("pass", passed), base.pass),
        user_to_user: section.choice("uui", &forms).unwrap_or(base.user_to_user),
        forwarding: section.choice("forwarding", &forwarding).unwrap_or(base.forwarding),
        voicemail: wildcards(section.list("voicemail", number), base.voicemail),
        progress_after: section
            .duration_or_off("progress_after", Duration::from_secs(1)..=Duration::from_secs(60))
            .unwrap_or(base.progress_after),
    };
    fits(section, kind, &policy);
    policy
}

/// What a platform would not take, or has no use for.
fn fits(section: &Section<'_>, kind: Option<Kind>, policy: &Policy) {
    let hub = kind == Some(Kind::Teams);
    let refuse = |key, message: &str, remedy: &str, rule| {
        section.findings().error(section.place(key), message).remedy(remedy).rule(rule);
    };
    if policy.asserted_identity == AssertedIdentity::Promote && !hub && kind.is_some() {
        let message = "asserted_identity = \"promote\" is for Teams: what others assert is the caller anyway";
        refuse("asserted_identity", message, "remove it", "TDR-66");
    }
    if policy.trusted_delivery && hub {
        let message = "trusted_delivery would show the number of an anonymous caller to Teams";
        refuse("trusted_delivery", message, "remove it: it is for Genesys and generic trunks", "TDR-51");
    }
    if !policy.voicemail.is_empty() && !hub && kind.is_some() {
        refuse("voicemail", "voicemail is for Teams: nobody else knows the parameter", "remove it", "TDR-164");
    }
    if policy.forwarding == Forwarding::Diversion && hub {
        let remedy = "write \"history-info\", which the hub keeps where ForwardCallHistory is on";
        refuse("forwarding", "Teams does not read Diversion", remedy, "TDR-118");
    }
}

/// A name that the operator may let cross, or the beginning of such names.
fn passed(text: &str) -> Result<Wildcard, String> {
    let name = Wildcard::new(text);
    // A star is a character of tokens, too, and means itself everywhere but at the end.
    if !is_token(&*name.text) || name.text.contains('*') {
        return Err(format!(
            "`{text}` is no header field name; write \"X-Acme-Site\", or \"X-Acme-*\" for all that begin so"
        ));
    }
    // GEN-63, TDR-150; a bare `X-*` still means nothing reserved.
    if normalize::is_reserved(&name.text) {
        return Err(format!("`{text}` is reserved by a platform or by Tandem and never crosses (GEN-63)"));
    }
    let known = if name.prefix { Name::Other } else { Name::of(text) };
    if text.eq_ignore_ascii_case("x-user-to-user") || known == Name::UserToUser {
        return Err("user-to-user information has a key of its own: uui = \"as-received\"".to_owned());
    }
    if matches!(known, Name::Diversion | Name::HistoryInfo) {
        return Err(format!("`{text}` has a key of its own: forwarding"));
    }
    if matches!(known, Name::PAssertedIdentity | Name::Privacy) {
        return Err(format!("`{text}` has keys of its own: asserted_identity and trusted_delivery"));
    }
    if normalize::machinery(known) {
        return Err(format!("`{text}` belongs to one leg of a call and cannot cross"));
    }
    Ok(name)
}

fn number(text: &str) -> Result<Wildcard, String> {
    Pattern::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    let plain: String =
        text.chars().filter(|character| character.is_ascii_digit() || "+*".contains(*character)).collect();
    Ok(Wildcard::new(&plain))
}

fn wildcards(list: Option<Vec<Spanned<Wildcard>>>, base: Vec<Wildcard>) -> Vec<Wildcard> {
    list.map_or(base, |list| list.into_iter().map(Spanned::into_inner).collect())
}
