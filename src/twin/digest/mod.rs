//! Digest at a platform, both ways (RFC 7616, RFC 8760; GEN-25, 26): [`Asking`] makes it challenge the SBC and judge
//! every proof, [`Proving`] makes it answer the SBC's challenges, well or in one of the ways that go wrong.
//!
//! The hash functions are those of [`sip::digest`](crate::sip::digest), which the examples of the RFCs hold. What is
//! read, what is hashed and what is demanded is code of its own, as everywhere at a platform.

mod ask;
mod prove;

pub use ask::Asking;
pub(crate) use ask::{Asker, Challenge};
pub(crate) use prove::Prover;
pub use prove::{Manner, Proving};

use super::checks::Breach;
use super::network::Connection;
use super::octets::{Plain, split_outside};
use super::platform::{Inner, Platform};
use super::text::{Text, phrase};
use crate::sip::digest::Hash;
use std::sync::{Arc, MutexGuard, PoisonError};

/// The one name that both sides have for each other.
pub const USERNAME: &str = "acme";

/// Its password.
pub const PASSWORD: &str = "hunter2";

/// What a platform asks and proves; nothing by default.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    asker: Option<Asker>,
    prover: Option<Prover>,
}

impl Platform {
    /// From now on the SBC has to prove who it is with each request but ACK and CANCEL; `None`: no longer. Every nonce
    /// of before is stale.
    pub fn ask(&self, asking: Option<Asking>) {
        let (seed, number) = self.0.count();
        self.0.desk().asker = asking.map(|asking| Asker::new(asking, seed ^ number.rotate_left(48)));
    }

    /// From now on challenges of the SBC to INVITE are answered; `None`: they are final responses.
    pub fn prove(&self, proving: Option<Proving>) {
        let mut desk = self.0.desk();
        let last = desk.prover.take().and_then(Prover::into_last);
        desk.prover = proving.map(|proving| Prover::new(proving, last));
    }
}

impl Inner {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // A panic of another script leaves nothing half done here.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The challenge to this request; `None`: it has proved enough. What is wrong with its proof goes to `breaches`.
    pub(crate) fn demand(&self, request: &Plain, breaches: &mut Vec<Breach>) -> Option<Challenge> {
        self.desk().asker.as_mut()?.judge(request, breaches)
    }

    /// Sends a challenge.
    pub(crate) fn challenge(&self, request: &Plain, challenge: &Challenge, connection: &Connection) {
        let (_, number) = self.count();
        let status = challenge.status;
        let mut text = Text::response(self.side.upper(), request, status, phrase(status), &format!("asked{number:x}"));
        text.lines(challenge.values.iter().map(|value| (challenge.name, value)));
        self.send_on(connection, text.finish(None));
    }

    /// An ACK proves what its INVITE has proved: it cannot be challenged (RFC 3261 §22.1).
    pub(crate) fn unproved(&self, ack: &Plain) -> Option<Breach> {
        self.desk().asker.as_ref().and_then(|asker| asker.acknowledged(ack))
    }

    /// The credentials that an INVITE of the platform carries before anyone has asked.
    pub(crate) fn ahead(&self, uri: &str, body: &[u8]) -> Option<String> {
        self.desk().prover.as_mut()?.ahead("INVITE", uri, body)
    }

    /// The INVITE again, with an answer to the challenge that `response` is; `None`: it is no challenge, or nothing is
    /// left to say. What is wrong with the challenge goes to `breaches`.
    pub(crate) fn proof(&self, request: &Plain, response: &Plain, breaches: &mut Vec<Breach>) -> Option<Text> {
        if request.method() != "INVITE" || !matches!(response.status(), 401 | 407) {
            return None;
        }
        let (name, value) = self.desk().prover.as_mut()?.answer(request, response, breaches)?;
        let mut text = Text::request(self.side.upper(), "INVITE", request.request_uri());
        for (own, old) in &request.lines {
            match own.to_ascii_lowercase().as_str() {
                "content-type" | "content-length" | "via" | "authorization" | "proxy-authorization" => {}
                "cseq" => drop(text.line("CSeq", &format!("{} INVITE", request.cseq() + 1))),
                _ => drop(text.line(own, old)),
            }
        }
        text.line(name, &value);
        Some(text)
    }

    /// Sends that INVITE on the connection of the first.
    pub(crate) fn call_again(&self, mut text: Text, request: &Plain, connection: &Arc<Connection>) {
        for via in self.side.vias(connection.local, self.port(), &self.branch()) {
            text.line("Via", &via);
        }
        let octets = text.finish(request.sdp());
        if let Some(leg) = self.state().legs.get_mut(request.first("Call-ID")) {
            leg.invite = Plain::read(&octets).unwrap_or_default();
            (leg.cseq, leg.final_status) = (leg.invite.cseq(), 0);
        }
        self.begin(connection, octets);
    }
}

/// A parameter of a challenge or of credentials.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    value: String,
    /// Whether it stood in quotes.
    quoted: bool,
}

/// The parameters of a value of the Digest scheme; `None`: it is of another, or cannot be read.
fn parameters(value: &str) -> Option<Vec<Parameter>> {
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let read = |one: &str| {
        let (name, value) = one.trim().split_once('=')?;
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some(Parameter {
            name: name.trim().to_ascii_lowercase(),
            value: inner.unwrap_or(value).to_owned(),
            quoted: inner.is_some(),
        })
    };
    split_outside(rest, ',').into_iter().map(read).collect()
}

/// The value of a parameter; empty when there is none.
fn parameter<'p>(parameters: &'p [Parameter], name: &str) -> &'p str {
    parameters.iter().find(|parameter| parameter.name == name).map_or("", |parameter| &parameter.value)
}

/// The hash of an `algorithm`, and whether it is the `-sess` form.
fn algorithm(name: &str) -> Option<(Hash, bool)> {
    let (base, session) = name.strip_suffix("-sess").map_or((name, false), |base| (base, true));
    let hash = match base {
        "MD5" => Hash::Md5,
        "SHA-256" => Hash::Sha256,
        "SHA-512-256" => Hash::Sha512_256,
        _ => return None,
    };
    Some((hash, session))
}

/// What a `response` is made of, each as it stands in the message.
struct Made<'a> {
    algorithm: &'a str,
    password: &'a str,
    realm: &'a str,
    nonce: &'a str,
    qop: &'a str,
    nc: &'a str,
    cnonce: &'a str,
    method: &'a str,
    uri: &'a str,
    body: &'a [u8],
}

impl Made<'_> {
    /// RFC 7616 §3.4.1 to 3.4.3 for [`USERNAME`]; without `qop` RFC 2069's.
    fn response(&self) -> Option<String> {
        let (hash, session) = algorithm(self.algorithm)?;
        let h = |text: String| hash.of(&[text.as_bytes()]);
        let mut a1 = h(format!("{USERNAME}:{}:{}", self.realm, self.password));
        if session {
            a1 = h(format!("{a1}:{}:{}", self.nonce, self.cnonce));
        }
        let a2 = match self.qop {
            "auth-int" => h(format!("{}:{}:{}", self.method, self.uri, hash.of(&[self.body]))),
            _ => h(format!("{}:{}", self.method, self.uri)),
        };
        Some(match self.qop {
            "" => h(format!("{a1}:{}:{a2}", self.nonce)),
            qop => h(format!("{a1}:{}:{}:{}:{qop}:{a2}", self.nonce, self.nc, self.cnonce)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_reference_gen_25() {
        let read =
            parameters("Digest realm=\"acme-realm\", nonce=\"5f1d,2c\", algorithm=MD5, qop=\"auth\", stale=false");
        let read = read.expect("reads");
        assert_eq!((parameter(&read, "nonce"), parameter(&read, "stale")), ("5f1d,2c", "false"));
        assert!(read[1].quoted && !read[2].quoted);
        assert!(parameters("Basic abc").is_none() && parameters("Digest realm").is_none());
        let made = Made {
            algorithm: "MD5",
            password: PASSWORD,
            realm: "r",
            nonce: "n",
            qop: "",
            nc: "",
            cnonce: "",
            method: "INVITE",
            uri: "sip:a@b",
            body: b"",
        };
        // By hand: md5(md5("acme:r:hunter2"):n:md5("INVITE:sip:a@b")).
        let by_hand = |text: &str| Hash::Md5.of(&[text.as_bytes()]);
        let expected = by_hand(&format!("{}:n:{}", by_hand("acme:r:hunter2"), by_hand("INVITE:sip:a@b")));
        assert_eq!(made.response(), Some(expected));
        assert_eq!(Made { algorithm: "SHA-1", ..made }.response(), None);
    }
}
