//! The platform asks: its challenges, and what it demands of the proof (RFC 7616 §3.3, §3.4; RFC 8760; GEN-26).

use super::{Made, PASSWORD, Parameter, USERNAME, parameter, parameters};
use crate::twin::checks::{Breach, Findings};
use crate::twin::octets::Plain;
use std::collections::HashMap;

/// The realm that it asks for.
const REALM: &str = "byoc.example.com";

/// What has to come back as it was.
const OPAQUE: &str = "b3BhcXVl";

/// How a platform asks.
#[derive(Clone, Debug)]
pub struct Asking {
    /// As a proxy: 407 and its header fields.
    pub proxy: bool,
    /// One challenge for each, in this order; the first has to be answered (RFC 8760 §2.4).
    pub algorithms: Vec<&'static str>,
    /// What has to be protected: `auth` or `auth-int`; empty for who is older than that.
    pub quality: &'static str,
    /// How many requests a nonce is good for; what comes with it later is stale.
    pub uses: u32,
    /// What the SBC has to know.
    pub password: &'static str,
}

impl Default for Asking {
    fn default() -> Self {
        Self { proxy: false, algorithms: vec!["MD5"], quality: "auth", uses: u32::MAX, password: PASSWORD }
    }
}

/// A challenge to be sent.
#[derive(Debug)]
pub(crate) struct Challenge {
    /// 401 or 407.
    pub(crate) status: u16,
    /// The header field.
    pub(crate) name: &'static str,
    /// Its values, a line each.
    pub(crate) values: Vec<String>,
}

/// A platform that asks, and what it remembers.
#[derive(Debug)]
pub(crate) struct Asker {
    asking: Asking,
    seed: u64,
    /// Its nonces: how often each was used, and the last count.
    nonces: HashMap<String, (u32, u32)>,
    /// The credentials of each INVITE, by Call-ID and CSeq.
    invites: HashMap<(String, u32), Vec<String>>,
}

impl Asker {
    pub(super) fn new(asking: Asking, seed: u64) -> Self {
        Self { asking, seed, nonces: HashMap::new(), invites: HashMap::new() }
    }

    fn field(&self) -> &'static str {
        if self.asking.proxy { "Proxy-Authorization" } else { "Authorization" }
    }

    /// `None`: the request has proved what it has to.
    pub(super) fn judge(&mut self, request: &Plain, breaches: &mut Vec<Breach>) -> Option<Challenge> {
        let values: Vec<String> = request.all(self.field()).map(str::to_owned).collect();
        if request.method() == "INVITE" {
            self.invites.insert((request.first("Call-ID").to_owned(), request.cseq()), values.clone());
        }
        let Some(value) = values.first() else { return Some(self.challenge(false)) };
        let mut found = Findings::default();
        found.note(values.len() == 1, "RFC 3261 §22.3", || format!("{} credentials for one realm", values.len()));
        let read = parameters(value).unwrap_or_default();
        found.note(!read.is_empty(), "RFC 7616 §3.4", || format!("cannot be read: {value}"));
        let nonce = parameter(&read, "nonce");
        let (uses, last) = self.nonces.get(nonce).copied().unwrap_or((u32::MAX, 0));
        if !read.is_empty() && uses >= self.asking.uses {
            breaches.append(&mut found.0);
            return Some(self.challenge(true));
        }
        self.proof(&read, request, last, &mut found);
        let proved = found.0.is_empty();
        breaches.append(&mut found.0);
        if !proved {
            return Some(self.challenge(false));
        }
        let count = u32::from_str_radix(parameter(&read, "nc"), 16).unwrap_or(0);
        self.nonces.insert(nonce.to_owned(), (uses + 1, count));
        None
    }

    /// Everything that RFC 7616 §3.4 says of credentials.
    fn proof(&self, read: &[Parameter], request: &Plain, last: u32, found: &mut Findings) {
        const RULE: &str = "RFC 7616 §3.4";
        const QUOTED: [&str; 7] = ["username", "realm", "nonce", "uri", "response", "cnonce", "opaque"];
        for parameter in read {
            let right = QUOTED.contains(&parameter.name.as_str()) == parameter.quoted;
            found.note(right, RULE, || format!("{}: in quotes or not", parameter.name));
        }
        let asked = self.asking.algorithms.first().copied().unwrap_or("MD5");
        let expected = [
            ("username", USERNAME),
            ("realm", REALM),
            ("opaque", OPAQUE),
            ("qop", self.asking.quality),
            ("algorithm", asked),
            ("uri", request.request_uri()),
        ];
        for (name, value) in expected {
            let own = parameter(read, name);
            found.note(own == value, RULE, || format!("{name} is {own:?}, to be {value:?}"));
        }
        let (nc, cnonce) = (parameter(read, "nc"), parameter(read, "cnonce"));
        if self.asking.quality.is_empty() {
            found.note(nc.is_empty() && cnonce.is_empty(), RULE, || "nc or cnonce without qop".into());
        } else {
            let count = u32::from_str_radix(nc, 16).unwrap_or(0);
            found.note(nc.len() == 8 && count > last, RULE, || format!("nc is {nc:?} after {last}"));
            found.note(!cnonce.is_empty(), RULE, || "no cnonce".into());
        }
        let made = Made {
            algorithm: asked,
            password: self.asking.password,
            realm: REALM,
            nonce: parameter(read, "nonce"),
            qop: self.asking.quality,
            nc,
            cnonce,
            method: request.method(),
            uri: request.request_uri(),
            body: &request.body,
        };
        let (own, right) = (parameter(read, "response"), made.response().unwrap_or_default());
        found.note(own == right, "RFC 7616 §3.4.1", || format!("response is {own:?}, to be {right:?}"));
    }

    fn challenge(&mut self, stale: bool) -> Challenge {
        // Long, and with what a careless reader would take for the end of it.
        let nonce = format!("{:016x},{}=", self.seed, self.nonces.len());
        self.nonces.insert(nonce.clone(), (0, 0));
        let quality = match self.asking.quality {
            "" => String::new(),
            quality => format!(", qop=\"{quality}\""),
        };
        let stale = if stale { ", stale=TRUE" } else { "" };
        let value = |algorithm: &&str| {
            format!(
                "Digest realm=\"{REALM}\", nonce=\"{nonce}\", opaque=\"{OPAQUE}\", algorithm={algorithm}{quality}{stale}"
            )
        };
        let values = self.asking.algorithms.iter().map(value).collect();
        let (status, name) = match self.asking.proxy {
            true => (407, "Proxy-Authenticate"),
            false => (401, "WWW-Authenticate"),
        };
        Challenge { status, name, values }
    }

    pub(super) fn acknowledged(&self, ack: &Plain) -> Option<Breach> {
        let said = self.invites.get(&(ack.first("Call-ID").to_owned(), ack.cseq()))?;
        let own: Vec<&str> = ack.all(self.field()).collect();
        (own != *said).then(|| Breach {
            rule: "RFC 3261 §22.1",
            text: format!("ACK with credentials {own:?}, its INVITE had {said:?}"),
            status: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::checks::tests::rules;

    fn request(line: &str) -> Plain {
        let text = format!("BYE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 2 BYE\r\n{line}Content-Length: 0\r\n\r\n");
        Plain::read(text.as_bytes()).expect("reads")
    }

    /// The credentials that answer `challenge`, as they should be.
    fn right(challenge: &Challenge, nc: &str) -> String {
        let read = parameters(&challenge.values[0]).expect("reads");
        let (nonce, algorithm) = (parameter(&read, "nonce"), parameter(&read, "algorithm"));
        let made = Made {
            algorithm,
            password: PASSWORD,
            realm: REALM,
            nonce,
            qop: "auth",
            nc,
            cnonce: "c",
            method: "BYE",
            uri: "sip:a@b",
            body: b"",
        };
        format!(
            "Authorization: Digest username=\"acme\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"sip:a@b\", \
             response=\"{}\", algorithm={algorithm}, cnonce=\"c\", opaque=\"{OPAQUE}\", qop=auth, nc={nc}\r\n",
            made.response().expect("made")
        )
    }

    #[test]
    fn a_proof_is_taken_when_all_of_it_is_right() {
        for (old, new, rule) in [
            ("Digest", "Digest", None),
            ("acme", "other", Some("RFC 7616 §3.4")),
            ("opaque=", "opaqe=", Some("RFC 7616 §3.4")),
            ("qop=auth", "qop=\"auth\"", Some("RFC 7616 §3.4")),
            ("nc=00000001", "nc=1", Some("RFC 7616 §3.4")),
            ("SHA-256", "MD5", Some("RFC 7616 §3.4")),
            ("uri=\"sip:a@b\"", "uri=\"sip:c@b\"", Some("RFC 7616 §3.4")),
            ("cnonce=\"c\"", "cnonce=\"d\"", Some("RFC 7616 §3.4.1")),
            ("Digest ", "Basic ", Some("RFC 7616 §3.4")),
        ] {
            let asking = Asking { algorithms: vec!["SHA-256", "MD5"], ..Asking::default() };
            let (mut asker, mut breaches) = (Asker::new(asking, 1), Vec::new());
            let challenge = asker.judge(&request(""), &mut breaches).expect("asks");
            assert_eq!((challenge.status, challenge.values.len(), breaches.len()), (401, 2, 0));
            let line = right(&challenge, "00000001");
            assert!(line.contains(old), "{old}");
            let again = asker.judge(&request(&line.replacen(old, new, 1)), &mut breaches);
            assert_eq!(rules(&breaches).first().copied(), rule, "{old} → {new}: {breaches:?}");
            assert_eq!(again.is_some(), rule.is_some(), "{old} → {new}");
        }
    }

    #[test]
    fn a_count_comes_once_and_a_nonce_that_is_used_up_is_stale() {
        let (mut asker, mut breaches) = (Asker::new(Asking { uses: 2, ..Asking::default() }, 1), Vec::new());
        let challenge = asker.judge(&request(""), &mut breaches).expect("asks");
        assert!(asker.judge(&request(&right(&challenge, "00000001")), &mut breaches).is_none());
        let again = asker.judge(&request(&right(&challenge, "00000001")), &mut breaches).expect("asks");
        assert_eq!((rules(&breaches).as_slice(), again.values[0].contains("stale")), (&["RFC 7616 §3.4"][..], false));
        breaches.clear();
        assert!(asker.judge(&request(&right(&challenge, "00000002")), &mut breaches).is_none());
        let stale = asker.judge(&request(&right(&challenge, "00000003")), &mut breaches).expect("asks");
        assert!(stale.values[0].ends_with("stale=TRUE") && breaches.is_empty());
    }

    #[test]
    fn an_ack_says_what_its_invite_said() {
        let mut asker = Asker::new(Asking::default(), 1);
        let message = |method: &str, line: &str| {
            let text = format!("{method} sip:a@b SIP/2.0\r\nCall-ID: 1\r\nCSeq: 2 {method}\r\n{line}\r\n");
            Plain::read(text.as_bytes()).expect("reads")
        };
        let _ = asker.judge(&message("INVITE", "Authorization: Digest nonce=\"x\"\r\n"), &mut Vec::new());
        assert!(asker.acknowledged(&message("ACK", "Authorization: Digest nonce=\"x\"\r\n")).is_none());
        let breach = asker.acknowledged(&message("ACK", "")).expect("a breach");
        assert_eq!(breach.rule, "RFC 3261 §22.1");
    }
}
