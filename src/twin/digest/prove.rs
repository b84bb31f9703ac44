//! The platform is asked: it judges the SBC's challenge and answers it, well or wrongly (RFC 7616 §3.3; GEN-25).

use super::{Made, PASSWORD, USERNAME, algorithm, parameter, parameters};
use crate::twin::checks::{Breach, Findings};
use crate::twin::octets::Plain;
use std::collections::HashMap;

/// The most answers in one call: an SBC that asks for ever is one that does not work.
const TRIES: u32 = 5;

/// How the platform proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Manner {
    /// It answers each challenge as it should.
    Asked,
    /// It uses the nonce of its last call again, with the next count, before it is asked.
    Ahead,
    /// The same with the same count: an INVITE that was overheard and is played again.
    CountAgain,
    /// Its first answer is by a nonce that the SBC never made, as from before a restart.
    ForeignNonce,
    /// It has another password.
    WrongPassword,
}

/// What the platform proves, and how.
#[derive(Clone, Debug)]
pub struct Proving {
    /// The way.
    pub manner: Manner,
    /// The algorithm it knows; `None`: all, so that it takes the topmost (RFC 8760 §2.4).
    pub algorithm: Option<&'static str>,
    /// What it protects; the SBC has to offer it.
    pub quality: &'static str,
    /// Its realm: that of the SBC has to be the same, octet for octet (GEN-25).
    pub realm: &'static str,
}

impl Proving {
    /// Proves to who asks for `realm`.
    pub fn new(realm: &'static str) -> Self {
        Self { manner: Manner::Asked, algorithm: None, quality: "auth", realm }
    }
}

/// A challenge that was answered: algorithm, nonce, and how often.
type Last = (String, String, u32);

/// A platform that proves, and what it remembers.
#[derive(Debug)]
pub(crate) struct Prover {
    proving: Proving,
    last: Option<Last>,
    /// Answers by Call-ID.
    answers: HashMap<String, u32>,
}

impl Prover {
    pub(super) fn new(proving: Proving, last: Option<Last>) -> Self {
        Self { proving, last, answers: HashMap::new() }
    }

    pub(super) fn into_last(self) -> Option<Last> {
        self.last
    }

    pub(super) fn ahead(&mut self, method: &str, uri: &str, body: &[u8]) -> Option<String> {
        let (algorithm, nonce, count) = self.last.clone()?;
        let count = match self.proving.manner {
            Manner::Ahead => count + 1,
            Manner::CountAgain => count,
            Manner::Asked | Manner::ForeignNonce | Manner::WrongPassword => return None,
        };
        self.last = Some((algorithm.clone(), nonce.clone(), count));
        self.credentials(&algorithm, &nonce, count, (method, uri, body))
    }

    pub(super) fn answer(
        &mut self,
        request: &Plain,
        response: &Plain,
        breaches: &mut Vec<Breach>,
    ) -> Option<(&'static str, String)> {
        let (asks, name) = match response.status() {
            401 => ("WWW-Authenticate", "Authorization"),
            _ => ("Proxy-Authenticate", "Proxy-Authorization"),
        };
        let mut found = Findings::default();
        let mut chosen = None;
        found.note(response.has(asks), "RFC 3261 §22.2", || format!("{} without {asks}", response.status()));
        for value in response.all(asks) {
            let read = parameters(value).unwrap_or_default();
            let (name, nonce) = (parameter(&read, "algorithm"), parameter(&read, "nonce"));
            let realm = parameter(&read, "realm");
            found.note(realm == self.proving.realm, "GEN-25", || format!("realm is {realm:?}"));
            found.note(algorithm(name).is_some() && !nonce.is_empty(), "RFC 7616 §3.3", || value.to_owned());
            let quoted = |name: &str| read.iter().find(|own| own.name == name).map(|own| own.quoted);
            let right = [("realm", true), ("nonce", true), ("qop", true), ("algorithm", false), ("stale", false)];
            for (name, quotes) in right {
                found.note(quoted(name).is_none_or(|own| own == quotes), "RFC 7616 §3.3", || {
                    format!("{name}: in quotes or not")
                });
            }
            let offers = parameter(&read, "qop").split(',').any(|own| own.trim() == self.proving.quality);
            if chosen.is_none() && offers && self.proving.algorithm.is_none_or(|own| own == name) {
                chosen = Some((name.to_owned(), nonce.to_owned()));
            }
        }
        breaches.append(&mut found.0);
        let answers = self.answers.entry(request.first("Call-ID").to_owned()).or_insert(0);
        *answers += 1;
        let (first, (algorithm, nonce)) = (*answers == 1, chosen.filter(|_| *answers <= TRIES)?);
        self.last = Some((algorithm.clone(), nonce.clone(), 1));
        let foreign = first && self.proving.manner == Manner::ForeignNonce;
        let nonce = if foreign { nonce.chars().rev().collect() } else { nonce };
        let of = (request.method(), request.request_uri(), request.body.as_slice());
        Some((name, self.credentials(&algorithm, &nonce, 1, of)?))
    }

    fn credentials(
        &self,
        algorithm: &str,
        nonce: &str,
        count: u32,
        (method, uri, body): (&str, &str, &[u8]),
    ) -> Option<String> {
        let (realm, qop) = (self.proving.realm, self.proving.quality);
        let password = if self.proving.manner == Manner::WrongPassword { "hunter3" } else { PASSWORD };
        let (nc, cnonce) = (format!("{count:08x}"), "Y25vbmNl");
        let made = Made { algorithm, password, realm, nonce, qop, nc: &nc, cnonce, method, uri, body };
        let response = made.response()?;
        // Without blanks and in capitals here and there, as some write it.
        Some(format!(
            "Digest Username=\"{USERNAME}\",realm=\"{realm}\",nonce=\"{nonce}\",uri=\"{uri}\",response=\"{response}\",\
             algorithm={algorithm},cnonce=\"{cnonce}\",qop={qop},nc={nc}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::checks::tests::rules;

    #[test]
    fn a_challenge_that_is_not_as_it_has_to_be_is_a_breach() {
        let request = Plain::read(b"INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\n").expect("reads");
        for (line, rule) in [
            ("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=\"auth\"", None),
            ("WWW-Authenticate: Digest realm=\"R\", nonce=\"n\", algorithm=MD5, qop=\"auth\"", Some("GEN-25")),
            ("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA1, qop=\"auth\"", Some("RFC 7616 §3.3")),
            ("WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=MD5, qop=auth", Some("RFC 7616 §3.3")),
            ("Proxy-Authenticate: Digest realm=\"r\"", Some("RFC 3261 §22.2")),
        ] {
            let response = format!("SIP/2.0 401 Unauthorized\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{line}\r\n\r\n");
            let response = Plain::read(response.as_bytes()).expect("reads");
            let (mut prover, mut breaches) = (Prover::new(Proving::new("r"), None), Vec::new());
            let answer = prover.answer(&request, &response, &mut breaches);
            assert_eq!(rules(&breaches).first().copied(), rule, "{line}");
            assert!(rule.is_some() || answer.is_some_and(|(name, _)| name == "Authorization"));
        }
    }
}
