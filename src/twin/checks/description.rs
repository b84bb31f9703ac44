//! Session descriptions: what the platforms take, and what offer and answer owe each other.

use super::{Breach, Findings};

/// The suite that both platforms take (TDR-135, GEN-49).
pub const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// A description by lines.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lines<'s> {
    /// The fields of `o=`.
    pub origin: Vec<&'s str>,
    /// The lines ahead of the first `m=`.
    pub session: Vec<&'s str>,
    /// Per media description its lines, `m=` first.
    pub media: Vec<Vec<&'s str>>,
}

/// Takes a description apart.
///
/// # Errors
///
/// In words, what is not as RFC 4566 has it.
pub fn lines(sdp: &str) -> Result<Lines<'_>, String> {
    let mut found = Lines::default();
    if !sdp.ends_with("\r\n") {
        return Err("the last line has no CRLF".into());
    }
    for line in sdp.trim_end_matches("\r\n").split("\r\n") {
        let bytes = line.as_bytes();
        if bytes.len() < 3 || bytes[1] != b'=' || !bytes[0].is_ascii_lowercase() || line.contains(['\r', '\n']) {
            return Err(format!("line {line:?}"));
        }
        if line.starts_with("m=") {
            found.media.push(vec![line]);
        } else if let Some(media) = found.media.last_mut() {
            media.push(line);
        } else {
            found.session.push(line);
        }
    }
    if found.session.first() != Some(&"v=0") {
        return Err("does not begin with v=0".into());
    }
    let origin = found.session.iter().find_map(|line| line.strip_prefix("o=")).ok_or("no o= line")?;
    found.origin = origin.split(' ').collect();
    if found.origin.len() != 6 || found.origin[1].parse::<u64>().is_err() || found.origin[2].parse::<u64>().is_err() {
        return Err(format!("o={origin}"));
    }
    for media in &found.media {
        let words = media[0].split(' ').count();
        let connected = media.iter().chain(&found.session).any(|line| line.starts_with("c="));
        // Media that is given up has nothing to connect (RFC 3264 §6).
        let given_up = media[0].split(' ').nth(1).is_some_and(is_zero);
        if words < 4 || !(connected || given_up) {
            return Err(format!("{} without formats or c=", media[0]));
        }
    }
    Ok(found)
}

/// Whether a port is 0, however many of them are meant: `0`, `0/2`.
fn is_zero(port: &str) -> bool {
    port.split('/').next().and_then(|port| port.parse::<u16>().ok()) == Some(0)
}

/// Whether there is media that is not given up; `true` where the description cannot be read.
pub fn has_media(sdp: &str) -> bool {
    lines(sdp).map_or(true, |lines| lines.active().next().is_some())
}

impl<'s> Lines<'s> {
    /// The places of media that is not given up.
    pub fn active(&self) -> impl Iterator<Item = usize> {
        (0..self.media.len()).filter(|&at| !is_zero(self.word(at, 1)))
    }

    /// The word at `index` of the `m=` line of media `at`: 0 kind, 1 port, 2 profile, 3.. formats.
    pub fn word(&self, at: usize, index: usize) -> &'s str {
        self.media.get(at).and_then(|media| media[0][2..].split(' ').nth(index)).unwrap_or("")
    }

    /// The connection address of media `at`.
    pub fn address(&self, at: usize) -> &'s str {
        let own = self.media.get(at).into_iter().flatten().chain(&self.session);
        own.into_iter().find_map(|line| line.strip_prefix("c=")).and_then(|c| c.split(' ').nth(2)).unwrap_or("")
    }

    /// The direction of media `at`; `sendrecv` when none is written.
    pub fn direction(&self, at: usize) -> &'s str {
        let own = self.media.get(at).into_iter().flatten().chain(&self.session);
        own.into_iter()
            .filter_map(|line| line.strip_prefix("a="))
            .find(|name| matches!(*name, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
            .unwrap_or("sendrecv")
    }

    /// The crypto lines of media `at` as tag, suite, key parameters.
    pub fn cryptos(&self, at: usize) -> Vec<(&'s str, &'s str, &'s str)> {
        let lines = self.media.get(at).into_iter().flatten().filter_map(|line| line.strip_prefix("a=crypto:"));
        lines
            .map(|line| {
                let mut words = line.split_ascii_whitespace(); // RFC 4568 §9.1: as many blanks as one likes
                (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""))
            })
            .collect()
    }
}

/// A description that goes to the hub (TDR-93, 134, 135, 142).
pub fn to_hub(sdp: &str) -> Vec<Breach> {
    let mut found = Findings::default();
    let lines = match lines(sdp) {
        Ok(lines) => lines,
        Err(text) => {
            return vec![Breach { rule: "TDR-142", text: format!("SdpParsingFailure: {text}"), status: Some(410) }];
        }
    };
    for at in lines.active() {
        let direction = lines.direction(at);
        found.refuse(!matches!(direction, "sendonly" | "recvonly"), "TDR-93", 488, || {
            format!("a={direction}, the hub knows inactive and sendrecv only")
        });
        found.refuse(lines.address(at) != "0.0.0.0", "TDR-93", 488, || "c=0.0.0.0".into());
        found.refuse(lines.word(at, 2).ends_with("RTP/SAVP"), "TDR-134", 488, || {
            format!("SrtpEncryptionRequired: profile {}", lines.word(at, 2))
        });
        srtp(&lines, at, "TDR-135", &mut found);
    }
    found.0
}

/// A description that goes to Genesys over a trunk whose media is SRTP or plain (GEN-48, 49).
pub fn to_genesys(sdp: &str, with_srtp: bool) -> Vec<Breach> {
    let mut found = Findings::default();
    let lines = match lines(sdp) {
        Ok(lines) => lines,
        Err(text) => return vec![Breach { rule: "RFC 4566 §5", text, status: Some(488) }],
    };
    let profile = if with_srtp { "RTP/SAVP" } else { "RTP/AVP" };
    for at in lines.active() {
        // Fax by udptl is no RTP (GEN-42).
        let rtp = lines.word(at, 2).contains("RTP/");
        found.refuse(!rtp || lines.word(at, 2) == profile, "GEN-48", 488, || {
            format!("profile {} on a trunk that wants {profile}", lines.word(at, 2))
        });
        if with_srtp && rtp {
            srtp(&lines, at, "GEN-49", &mut found);
        }
    }
    found.0
}

fn srtp(lines: &Lines<'_>, at: usize, rule: &'static str, found: &mut Findings) {
    let usable = lines.cryptos(at).into_iter().any(|(tag, suite, keys)| {
        let key = keys.strip_prefix("inline:").unwrap_or("").split('|').next().unwrap_or("");
        let base64 = key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'));
        tag.parse::<u32>().is_ok() && suite == SUITE && key.len() == 40 && base64
    });
    found.refuse(usable, rule, 488, || format!("no usable a=crypto line with {SUITE}"));
}

/// An answer against its offer (RFC 3264 §6, RFC 4568 §5.1.2).
pub fn answer(offer: &str, answer: &str) -> Vec<Breach> {
    let mut found = Findings::default();
    let (Ok(offer), Ok(answer)) = (lines(offer), lines(answer)) else {
        return found.0; // a description that cannot be read has its own breach
    };
    found.note(offer.media.len() == answer.media.len(), "RFC 3264 §6", || {
        format!("{} media in the answer to {}", answer.media.len(), offer.media.len())
    });
    for at in (0..offer.media.len()).filter(|&at| !matches!(answer.word(at, 1), "" | "0")) {
        let (asked, given) = (offer.direction(at), answer.direction(at));
        let fits = match asked {
            "sendonly" => matches!(given, "recvonly" | "inactive"),
            "recvonly" => matches!(given, "sendonly" | "inactive"),
            "inactive" => given == "inactive",
            _ => true,
        };
        found.note(fits, "RFC 3264 §6.1", || format!("a={given} answers a={asked}"));
        found.note(offer.word(at, 2) == answer.word(at, 2), "RFC 3264 §6", || {
            format!("profile {} answers {}", answer.word(at, 2), offer.word(at, 2))
        });
        let formats =
            |of: &Lines<'_>| -> Vec<String> { of.media[at][0][2..].split(' ').skip(3).map(str::to_owned).collect() };
        let offered = formats(&offer);
        found.note(formats(&answer).iter().any(|format| offered.contains(format)), "RFC 3264 §6.1", || {
            "no common format".into()
        });
        let (own, theirs) = (answer.cryptos(at), offer.cryptos(at));
        found.note(own.len() <= 1 || theirs.is_empty(), "RFC 4568 §5.1.2", || {
            format!("{} crypto lines in an answer", own.len())
        });
        for (tag, suite, keys) in own {
            found.note(theirs.iter().any(|(t, s, _)| (*t, *s) == (tag, suite)), "RFC 4568 §5.1.2", || {
                format!("crypto:{tag} {suite} was not offered")
            });
            found.note(!theirs.iter().any(|(.., k)| *k == keys), "RFC 4568 §6.1", || {
                "the offer's key is given back".into()
            });
        }
    }
    found.0
}

/// A later description of a leg against the one before (RFC 3264 §8); toward the hub media stays where
/// it is as well (TDR-88). `refused` offers in between may have used up a version each.
pub fn successor(before: &str, after: &str, hub: bool, refused: u64) -> Vec<Breach> {
    let mut found = Findings::default();
    let (Ok(old), Ok(new)) = (lines(before), lines(after)) else { return found.0 };
    let [_, id, version, ..] = old.origin[..] else { return found.0 };
    let [_, new_id, new_version, ..] = new.origin[..] else { return found.0 };
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    found.note(id == new_id, "RFC 3264 §8", || format!("o= session id {new_id} after {id}"));
    let step = number(new_version).checked_sub(number(version));
    found.note(step.is_some_and(|step| step <= 1 + refused), "RFC 3264 §8", || {
        format!("o= version {new_version} after {version}")
    });
    found.note(step != Some(0) || before == after, "RFC 3264 §8", || "changed with the same o= version".into());
    found.note(new.media.len() >= old.media.len(), "RFC 3264 §8", || "fewer media than before".into());
    if hub {
        for at in (0..old.media.len()).filter(|&at| new.word(at, 1) != "0" && old.word(at, 1) != "0") {
            let place = |of: &Lines<'_>| format!("{}:{}", of.address(at), of.word(at, 1));
            found.note(place(&old) == place(&new), "TDR-88", || {
                format!("media moved from {} to {}", place(&old), place(&new))
            });
        }
    }
    found.0
}

#[cfg(test)]
mod tests {
    use super::super::tests::rules;
    use super::*;

    const OFFER: &str = "v=0\r\no=- 7 1 IN IP4 198.51.100.20\r\ns=-\r\nc=IN IP4 198.51.100.20\r\nt=0 0\r\n\
        m=audio 20500 RTP/SAVP 8 0 101\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\na=sendrecv\r\n";

    fn changed(old: &str, new: &str) -> String {
        assert!(OFFER.contains(old), "{old}");
        OFFER.replace(old, new)
    }

    #[test]
    fn the_hub_takes_srtp_that_is_active_or_inactive() {
        assert_eq!(to_hub(OFFER), vec![]);
        assert_eq!(to_hub(&changed("sendrecv", "inactive")), vec![]);
        for (old, new, rule) in [
            ("sendrecv", "sendonly", "TDR-93"),
            ("sendrecv", "recvonly", "TDR-93"),
            ("c=IN IP4 198.51.100.20", "c=IN IP4 0.0.0.0", "TDR-93"),
            ("RTP/SAVP", "RTP/AVP", "TDR-134"),
            ("SHA1_80", "SHA1_32", "TDR-135"),
            ("inline:Q", "inline:", "TDR-135"),
            ("o=- 7 1", "o=- x 1", "TDR-142"),
            ("v=0\r\n", "", "TDR-142"),
        ] {
            assert_eq!(rules(&to_hub(&changed(old, new))), [rule], "{old} → {new}");
        }
    }

    #[test]
    fn genesys_takes_the_profile_of_its_trunk() {
        assert_eq!(to_genesys(OFFER, true), vec![]);
        assert_eq!(rules(&to_genesys(OFFER, false)), ["GEN-48"]);
        assert_eq!(rules(&to_genesys(&changed("SHA1_80", "SHA1_32"), true)), ["GEN-49"]);
        assert_eq!(to_genesys(&changed("a=sendrecv", "a=sendonly"), true), vec![]);
    }

    #[test]
    fn media_that_is_given_up_needs_nothing() {
        let more = format!("{OFFER}m=video 0/2 RTP/AVP 31\r\n");
        assert_eq!((to_hub(&more), to_genesys(&more, true)), (vec![], vec![]));
        let sessionless =
            more.replace("c=IN IP4 198.51.100.20\r\n", "").replace("a=crypto", "c=IN IP4 192.0.2.7\r\na=crypto");
        assert_eq!(to_hub(&sessionless), vec![]);
        assert!(has_media(&more) && !has_media(&changed("20500", "0")));
        assert_eq!(to_genesys(&format!("{OFFER}m=image 4000 udptl t38\r\n"), true), vec![], "GEN-42");
    }

    #[test]
    fn an_answer_fits_its_offer() {
        let key = changed("QUJD", "AAAA");
        assert_eq!(answer(OFFER, &key), vec![]);
        assert_eq!(rules(&answer(OFFER, OFFER)), ["RFC 4568 §6.1"]);
        assert_eq!(rules(&answer(OFFER, &key.replace("crypto:1", "crypto:2"))), ["RFC 4568 §5.1.2"]);
        assert_eq!(rules(&answer(&changed("sendrecv", "inactive"), &key)), ["RFC 3264 §6.1"]);
        assert_eq!(rules(&answer(&changed("sendrecv", "sendonly"), &key)), ["RFC 3264 §6.1"]);
        assert_eq!(rules(&answer(OFFER, &key.replace("8 0 101", "9"))), ["RFC 3264 §6.1"]);
        assert_eq!(rules(&answer(OFFER, &format!("{key}m=video 0 RTP/SAVP 99\r\n"))), ["RFC 3264 §6"]);
    }

    #[test]
    fn a_later_description_counts_its_version_and_stays_where_it_is() {
        let next = changed("7 1 IN", "7 2 IN");
        assert_eq!(successor(OFFER, OFFER, true, 0), vec![]);
        assert_eq!(successor(OFFER, &next.replace("sendrecv", "inactive"), true, 0), vec![]);
        assert_eq!(rules(&successor(OFFER, &changed("sendrecv", "inactive"), true, 0)), ["RFC 3264 §8"]);
        assert_eq!(rules(&successor(&next, OFFER, true, 0)), ["RFC 3264 §8"]);
        assert_eq!(rules(&successor(OFFER, &next.replace("- 7", "- 8"), true, 0)), ["RFC 3264 §8"]);
        assert_eq!(rules(&successor(OFFER, &next.replace("20500", "20600"), true, 0)), ["TDR-88"]);
        assert_eq!(successor(OFFER, &next.replace("20500", "20600"), false, 0), vec![]);
        assert_eq!(successor(OFFER, &changed("7 1 IN", "7 3 IN"), true, 1), vec![]);
    }
}
