//! Why a header field line of one leg is not seen on the other, in words: [`crosses`](super::crosses) decides, this tells.

use super::cross::{is_reserved, is_x_user_to_user};
use crate::sip::{HeaderLine, Name};
use crate::trunk::Kind;

/// Why a line that [`crossing`](super::crossing) leaves out stays on its leg, by which rule.
pub fn why_not(from: Kind, to: Kind, line: &HeaderLine<'_>) -> &'static str {
    match line.name {
        Name::CallId
        | Name::Contact
        | Name::CSeq
        | Name::MaxForwards
        | Name::RecordRoute
        | Name::Replaces
        | Name::Route
        | Name::Timestamp
        | Name::Via => "each leg is a dialog of its own (RFC 3261 §12; TDR-45, 53)",
        Name::Allow
        | Name::AllowEvents
        | Name::Accept
        | Name::AcceptEncoding
        | Name::ProxyRequire
        | Name::Require
        | Name::Supported => "each leg says what we can do there (TDR-90, GEN-43)",
        Name::MinSe | Name::SessionExpires => "each leg has a session timer of its own (RFC 4028; TDR-97)",
        Name::Server | Name::UserAgent => "names the other side's product",
        Name::Authorization | Name::ProxyAuthenticate | Name::ProxyAuthorization | Name::WwwAuthenticate => {
            "credentials are for who is asked, and for nobody else"
        }
        Name::ContentDisposition
        | Name::ContentEncoding
        | Name::ContentLanguage
        | Name::ContentLength
        | Name::ContentType
        | Name::MimeVersion => "the body is written anew",
        Name::From
        | Name::PAssertedIdentity
        | Name::PPreferredIdentity
        | Name::Privacy
        | Name::RemotePartyId
        | Name::To => "who calls whom is said as the other platform wants it (TDR-50, GEN-55)",
        _ if is_reserved(line.text) => "reserved names stay with their platform (GEN-61, 63; TDR-61, 150)",
        Name::Diversion | Name::HistoryInfo => "who forwarded the call is not told as it stands (GEN-59, TDR-119)",
        _ if to == Kind::Teams => "the hub gets no field of others (TDR-62)",
        Name::UserToUser if to != Kind::Genesys => "only Genesys understands it (GEN-65)",
        Name::UserToUser => "Genesys takes one User-to-User only (GEN-66)",
        Name::Other if is_x_user_to_user(line.text) && to != Kind::Genesys => "only Genesys understands it (GEN-65)",
        Name::Other if is_x_user_to_user(line.text) => {
            "Genesys takes one User-to-User, the standard one first (GEN-66)"
        }
        Name::Other if from == Kind::Genesys => "extensions of Genesys may be a shared secret (GEN-27)",
        Name::Other => "an extension that only its own platform knows (TDR-61)",
        _ => "belongs to this leg",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::invite;
    use super::*;

    fn told(from: Kind, to: Kind, line: &str) -> &'static str {
        let message = invite(&[line]);
        let name = line.split(':').next().unwrap_or("");
        let line = message.lines().find(|line| line.text == name).expect("the line");
        assert!(super::super::crossing(from, to, &message).all(|crossing| crossing.text != name), "it crosses");
        why_not(from, to, &line)
    }

    #[test]
    fn what_stays_says_by_which_rule() {
        use Kind::{Generic, Genesys, Teams};
        for (from, to, line, rule) in [
            (Generic, Teams, "Subject: x", "TDR-62"),
            (Genesys, Teams, "x-inin-cnv: 7b9f", "GEN-61, 63"),
            (Teams, Genesys, "X-MS-SBC: a/b/c", "TDR-61, 150"),
            (Genesys, Generic, "X-Acme-Token: secret", "GEN-27"),
            (Genesys, Generic, "User-to-User: 00aa;encoding=hex", "GEN-65"),
            (Teams, Genesys, "Max-Forwards: 70", "RFC 3261 §12"),
            (Teams, Genesys, "Session-Expires: 1800", "TDR-97"),
            (Genesys, Teams, "P-Asserted-Identity: <tel:+14255550123>", "GEN-55"),
        ] {
            assert!(told(from, to, line).contains(rule), "{line}: {}", told(from, to, line));
        }
    }
}
