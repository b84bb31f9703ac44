//! The codes of failed calls, in words and with what to do: Microsoft's of the Teams admin centre (TDR-162), and what
//! Genesys means by a status (GEN-86).
//!
//! Microsoft's code begins with 560 where the SBC gave the final status, whose three digits follow; any other was
//! made by Microsoft itself and never stands in a message: what the admin will see there is a guess from the status.

use super::Kind;
use super::diagnosis::{Symptom, diagnosis};

/// Who ended the call that such a code is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    /// The hub, in its answer to an INVITE of ours.
    Hub,
    /// We, in an answer to the hub's INVITE.
    Us,
    /// Microsoft within, or for want of an answer: we see at most a CANCEL or BYE.
    Within,
}

/// One row of Microsoft's table.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// The SIP status.
    pub status: u16,
    /// Microsoft's code; empty where the user did what ended the call.
    pub microsoft: &'static str,
    /// Who ended it.
    pub by: By,
    /// What it means.
    pub meaning: &'static str,
    /// What to do; empty: nothing is wrong.
    pub remedy: &'static str,
}

const fn row(status: u16, microsoft: &'static str, by: By, meaning: &'static str, remedy: &'static str) -> Code {
    Code { status, microsoft, by, meaning, remedy }
}

/// Of several rows with one status the likeliest comes first.
pub const MICROSOFT: &[Code] = &[
    row(
        400,
        "540400",
        By::Hub,
        "Teams could not take the form of our message",
        "an operator's rule may have spoiled it: compare what left with what came, and take the rule out",
    ),
    row(402, "560402", By::Us, "the other side wants payment", "ask the carrier behind the SBC about the account"),
    row(
        403,
        "510532",
        By::Hub,
        "no trunk with this FQDN in the tenant",
        "pair the trunk's fqdn in the right tenant and activate its domain; Contact has to name it (TDR-35, TDR-44)",
    ),
    row(403, "510534", By::Hub, "the tenant blocks the caller's number", "look at Get-CsInboundBlockedNumberPattern"),
    row(
        403,
        "510546",
        By::Hub,
        "location-based routing or toll bypass allows no trunk",
        "look at the trunk's site and GatewaySiteLbrEnabled",
    ),
    row(
        403,
        "510559",
        By::Within,
        "the user dialled a number that no voice route has",
        "add a voice route or a pattern; such calls never reach the SBC",
    ),
    row(403, "510560", By::Within, "the user has no Phone System licence", "assign Teams Phone to the user"),
    row(403, "510562", By::Within, "the user is not enabled for Enterprise Voice", "set EnterpriseVoiceEnabled"),
    row(403, "510563", By::Within, "the user may call within the country only", "change the outbound call policy"),
    row(403, "10199", By::Hub, "private calling is disabled for the called user", "change the user's calling policy"),
    row(403, "10500", By::Hub, "location-based routing blocks the call", "look at the user's site and its policy"),
    row(403, "10553", By::Hub, "the compliance recorder could not be invited", "look at the recording application"),
    row(
        403,
        "560403",
        By::Us,
        "we, or the far side, rejected the call",
        "the record's reason says who: a route, a rule, or the other trunk",
    ),
    row(
        404,
        "511404",
        By::Hub,
        "the number is nobody's in this tenant, or in a wrong form",
        "assign the number to the user in Teams, or correct the directory; it has to be E.164 with + (TDR-46)",
    ),
    row(
        404,
        "10202",
        By::Hub,
        "the call to be replaced is gone",
        "a consultative transfer or merge came twice or too late: try it once more",
    ),
    row(
        408,
        "500001",
        By::Within,
        "the SBC did not answer within FailoverTimeSeconds",
        "look at load, firewall and the DNS of our fqdn; FailoverTimeSeconds is 10 (TDR-71)",
    ),
    row(
        408,
        "1106",
        By::Within,
        "the SBC did not acknowledge 200",
        "look at what stands between and loses ACKs (TDR-29)",
    ),
    row(
        408,
        "560408",
        By::Us,
        "our side timed out",
        "the trunk that was called did not answer: see the alarms of its hosts",
    ),
    row(408, "0", By::Hub, "the client had no media within 90 s", "look at the media ports of the firewall (TDR-26)"),
    row(
        410,
        "531004",
        By::Hub,
        "the media path does not come about",
        "look at media ports, NAT and firewall (531004, 531005); 531000: our description could not be read (TDR-26)",
    ),
    row(410, "531005", By::Hub, "the media path broke", "look at media ports, NAT and firewall (TDR-26)"),
    row(410, "531000", By::Hub, "our session description could not be read", "look at SDP that rules change"),
    row(
        412,
        "510412",
        By::Hub,
        "the called number is malformed",
        "it has to be E.164 with +: set country in [numbers], or correct the route (TDR-46)",
    ),
    row(
        415,
        "540415",
        By::Hub,
        "SDP or Content-Type is missing, or a body is not supported",
        "only SDP may go to the hub, no pidf+xml: look at what the caller sends (TDR-55)",
    ),
    row(
        420,
        "560420",
        By::Us,
        "the SBC lacks an extension that is required",
        "Replaces needs transfers, which are not done here yet: let Teams transfer inside itself (TDR-57)",
    ),
    row(422, "540422", By::Hub, "the session interval is too small", "raise session_expires above min_se (TDR-97)"),
    row(
        480,
        "10037",
        By::Hub,
        "the called user is signed in nowhere",
        "nothing is wrong with the trunk; the user has to sign in, or to forward calls",
    ),
    row(480, "10140", By::Hub, "the bot is not provisioned", "look at the resource account of the application"),
    row(480, "10191", By::Hub, "voicemail is disabled for the user", "enable it, or choose another target"),
    row(
        484,
        "560484",
        By::Us,
        "our side: the number is incomplete",
        "complete the number: look at the dial plan, at number translation, and at the target of a transfer",
    ),
    row(486, "", By::Hub, "the called user is busy", ""),
    row(486, "10321", By::Hub, "the bot is busy", "give the application more capacity"),
    row(487, "540200", By::Hub, "the call was completed elsewhere, or cancelled", ""),
    row(
        488,
        "531000",
        By::Hub,
        "no common codec, or SRTP is missing",
        "the caller's side has to offer RTP/SAVP with a=crypto and a codec that Teams has (TDR-135)",
    ),
    row(
        488,
        "531027",
        By::Hub,
        "the trunk has media bypass, and we send no ICE candidates",
        "set MediaBypass to false (TDR-161)",
    ),
    row(
        500,
        "510482",
        By::Hub,
        "forwarding goes in a circle",
        "look where the called user forwards calls to, and whether it comes back over this trunk",
    ),
    row(500, "510544", By::Within, "no outbound trunk is configured", "look at the voice routing policy"),
    row(
        503,
        "540998",
        By::Hub,
        "this address of the hub is being taken out of use",
        "names are resolved anew by themselves; remove addresses pinned in [hosts] (TDR-20)",
    ),
    row(
        503,
        "560503",
        By::Us,
        "our side is full, or being taken out of use",
        "look at limits, max_calls and draining; the hub tries another SBC (TDR-127)",
    ),
    row(503, "10320", By::Hub, "the bot cannot be reached", "look at the application's endpoint"),
    row(
        504,
        "549002",
        By::Hub,
        "TLS to us is not connected, or a start line of ours is invalid",
        "look at the alarms of hosts and handshakes",
    ),
    row(
        504,
        "569002",
        By::Within,
        "the hub cannot connect to the SBC",
        "refused, not answered, or TLS failed (0x80096004 signature, 0x80090322 name, 590615 expired context): look at \
         listener, firewall and certificate",
    ),
    row(
        504,
        "569003",
        By::Within,
        "TLS with the SBC fails (0x80090326)",
        "the certificate is bad or not trusted: send its intermediates, use a public CA (TDR-6, TDR-9)",
    ),
    row(504, "569008", By::Within, "the SBC's certificate has expired (0x80090328)", "renew it (TDR-14, TDR-15)"),
    row(
        504,
        "569009",
        By::Within,
        "the root of the SBC's certificate is not trusted (0x80090325)",
        "order it from a CA of the Microsoft Trusted Root Program (TDR-9)",
    ),
    row(603, "", By::Hub, "the called user declined", ""),
];

/// What is known of a call that failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The code that the Teams admin centre shows for it, as far as can be told; empty where Teams has no part in it,
    /// or no code.
    pub microsoft: String,
    /// What to do; empty: nothing is wrong.
    pub remedy: &'static str,
}

/// What a platform means that answers our INVITE with `status`; `None`: nothing is known of it.
pub fn of_answer(kind: Kind, status: u16) -> Option<Explanation> {
    match kind {
        Kind::Teams => {
            let code = MICROSOFT.iter().find(|code| code.status == status && code.by == By::Hub)?;
            Some(Explanation { microsoft: code.microsoft.to_owned(), remedy: code.remedy })
        }
        Kind::Genesys => {
            let remedy = match status {
                403 => "the trunk does not admit us: look at its access list and its state in Genesys (GEN-23)",
                404 => {
                    "the number is no DID of the organisation, or its number plan is another site's: assign it in Genesys, \
                     or correct the route (GEN-86)"
                }
                408 | 503 | 504 => {
                    "Genesys is out of service there: see its status page and the alarms of the hosts (GEN-85)"
                }
                488 => {
                    "media profiles do not match: a TLS trunk of Genesys wants RTP/SAVP with a=crypto, a UDP or TCP trunk \
                     RTP/AVP; compare the trunk's media settings with what the caller offers (GEN-48, GEN-86)"
                }
                _ => return None,
            };
            Some(Explanation { microsoft: String::new(), remedy })
        }
        Kind::Generic => None,
    }
}

/// What it means that a platform did not answer our INVITE at all, or could not be reached.
pub fn of_silence(kind: Kind, reached: bool) -> Explanation {
    let symptom = if reached { Symptom::Silent } else { Symptom::NotConnected };
    Explanation { microsoft: String::new(), remedy: diagnosis(kind, symptom).remedy }
}

/// What the admin of Teams sees of a call from there that we answered with `status`, 400 to 699.
pub fn of_ours(status: u16) -> Explanation {
    let microsoft = format!("560{status:03}");
    let known = MICROSOFT.iter().find(|code| code.by == By::Us && code.microsoft == microsoft);
    let remedy = known.map(|code| code.remedy).unwrap_or(match status {
        404 => "the number is not in the directory, or no route has it: see the record's reason",
        480 | 486 | 487 | 600 | 603 => "", // what people do
        400..=499 => "the SBC or the trunk behind it refused the call: see the record's reason",
        500..=599 => "the SBC or the trunk behind it failed: see the record's reason, and alarms",
        _ => "the called side refused the call: see the record's reason",
    });
    Explanation { microsoft, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows as the reference has them: status, code, who ended the call, words of the meaning.
    macro_rules! codes {
        ($($test:ident: $status:literal $code:literal $by:ident $words:literal;)*) => {
            $(#[test]
            fn $test() {
                let code = MICROSOFT.iter().find(|row| row.microsoft == $code && row.status == $status).expect($code);
                assert_eq!(code.by, By::$by);
                assert!(code.meaning.contains($words), "{}", code.meaning);
                assert!($code == "540200" || !code.remedy.is_empty(), "{} has no remedy", code.microsoft);
            })*

            #[test]
            fn every_code_of_microsoft_s_table_is_there_tdr_162() {
                let known = [$(($status, $code)),*];
                assert_eq!(MICROSOFT.iter().filter(|row| !row.microsoft.is_empty()).count(), known.len());
            }
        };
    }

    codes! {
        tdr_162_540400: 400 "540400" Hub "form of our message";
        tdr_162_560402: 402 "560402" Us "payment";
        tdr_162_510532: 403 "510532" Hub "no trunk with this FQDN";
        tdr_162_510534: 403 "510534" Hub "blocks the caller";
        tdr_162_510546: 403 "510546" Hub "toll bypass";
        tdr_162_510559: 403 "510559" Within "no voice route";
        tdr_162_510560: 403 "510560" Within "licence";
        tdr_162_510562: 403 "510562" Within "Enterprise Voice";
        tdr_162_510563: 403 "510563" Within "within the country";
        tdr_162_10199: 403 "10199" Hub "private calling";
        tdr_162_10500: 403 "10500" Hub "location-based";
        tdr_162_10553: 403 "10553" Hub "recorder";
        tdr_162_560403: 403 "560403" Us "rejected";
        tdr_162_511404: 404 "511404" Hub "nobody's";
        tdr_162_10202: 404 "10202" Hub "replaced";
        tdr_162_500001: 408 "500001" Within "FailoverTimeSeconds";
        tdr_162_1106: 408 "1106" Within "acknowledge";
        tdr_162_560408: 408 "560408" Us "timed out";
        tdr_162_0: 408 "0" Hub "no media";
        tdr_162_531004: 410 "531004" Hub "media path";
        tdr_162_531005: 410 "531005" Hub "media path";
        tdr_162_531000_of_410: 410 "531000" Hub "could not be read";
        tdr_162_510412: 412 "510412" Hub "malformed";
        tdr_162_540415: 415 "540415" Hub "Content-Type";
        tdr_162_560420: 420 "560420" Us "extension";
        tdr_162_540422: 422 "540422" Hub "interval";
        tdr_162_10037: 480 "10037" Hub "signed in nowhere";
        tdr_162_10140: 480 "10140" Hub "bot";
        tdr_162_10191: 480 "10191" Hub "voicemail";
        tdr_162_560484: 484 "560484" Us "incomplete";
        tdr_162_10321: 486 "10321" Hub "bot";
        tdr_162_540200: 487 "540200" Hub "elsewhere";
        tdr_162_531000_of_488: 488 "531000" Hub "codec";
        tdr_162_531027: 488 "531027" Hub "bypass";
        tdr_162_510482: 500 "510482" Hub "circle";
        tdr_162_510544: 500 "510544" Within "no outbound trunk";
        tdr_162_540998: 503 "540998" Hub "out of use";
        tdr_162_560503: 503 "560503" Us "full";
        tdr_162_10320: 503 "10320" Hub "bot";
        tdr_162_549002: 504 "549002" Hub "TLS";
        tdr_162_569002: 504 "569002" Within "cannot connect";
        tdr_162_569003: 504 "569003" Within "0x80090326";
        tdr_162_569008: 504 "569008" Within "expired";
        tdr_162_569009: 504 "569009" Within "root";
    }

    #[test]
    fn every_status_that_we_can_give_teams_has_its_code_and_failures_a_remedy_tdr_162() {
        for status in 400..700 {
            let Explanation { microsoft, remedy } = of_ours(status);
            assert_eq!(microsoft, format!("560{status}"));
            assert_eq!(remedy.is_empty(), [480, 486, 487, 600, 603].contains(&status), "{status}: {remedy}");
        }
    }

    #[test]
    fn of_several_codes_of_one_status_the_likeliest_is_told() {
        let told = |status| of_answer(Kind::Teams, status).map(|explanation| explanation.microsoft);
        assert_eq!(told(403).as_deref(), Some("510532"));
        assert_eq!(told(404).as_deref(), Some("511404"));
        assert_eq!(told(486).as_deref(), Some(""), "people are busy more often than bots");
        assert_eq!(told(499), None);
    }

    #[test]
    fn what_genesys_means_by_404_and_488_and_by_silence_gen_86_gen_48() {
        let remedy = |status| of_answer(Kind::Genesys, status).map_or("", |explanation| explanation.remedy);
        assert!(remedy(404).contains("DID") && remedy(404).contains("site"));
        assert!(remedy(488).contains("RTP/SAVP") && remedy(488).contains("RTP/AVP"));
        assert_eq!(remedy(486), "");
        assert!(of_silence(Kind::Genesys, true).remedy.contains("access list"));
        assert!(of_silence(Kind::Genesys, false).remedy.contains("access list"));
    }
}
