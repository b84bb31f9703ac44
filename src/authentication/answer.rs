//! We are asked: credentials for the challenge of a peer, and ahead of one (RFC 3261 §22.2, §22.3; RFC 8760 §2.4; GEN-26).

use super::Secret;
use crate::flow::TrunkId;
use crate::sip::digest::{Algorithm, Ingredients, Quality};
use crate::sip::{Challenge, Credentials, Message, Name, quote};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// Who we are to a trunk that asks.
#[derive(Clone, Debug, PartialEq)]
pub struct Account {
    /// The user name.
    pub username: Arc<str>,
    /// Its password.
    pub password: Secret,
    /// The only realm that gets an answer; `None`: every one.
    pub realm: Option<Arc<str>>,
}

/// Header fields with credentials, to be put into a request.
pub type Lines = SmallVec<[(Name, String); 2]>;

/// What of one request was answered already: by which field, and whether a stale nonce was among it.
pub type Said = SmallVec<[(Name, bool); 2]>;

/// A challenge that was answered, for as long as its nonce holds.
#[derive(Debug)]
struct Session {
    account: Arc<Account>,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// Whether the challenge named its algorithm; if not, the answer does not either.
    named: bool,
    quality: Quality,
    /// How often the nonce was used.
    count: u32,
}

/// The challenges of each trunk that one worker has answered: the UAS's and the proxy's.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<(TrunkId, Name), Session>);

/// The field that answers a challenge: Authorization or Proxy-Authorization.
const FIELDS: [(Name, Name); 2] =
    [(Name::WwwAuthenticate, Name::Authorization), (Name::ProxyAuthenticate, Name::ProxyAuthorization)];

impl Sessions {
    /// The credentials of the challenges answered before, to save a round trip (RFC 3261 §22.2). `random` makes the
    /// client's nonce.
    pub fn ahead(&mut self, trunk: TrunkId, account: &Arc<Account>, request: &Message, random: u64) -> Lines {
        let mut lines = Lines::new();
        for (_, field) in FIELDS {
            let Some(session) = self.0.get_mut(&(trunk, field)) else { continue };
            if session.account != *account || session.count == u32::MAX {
                self.0.remove(&(trunk, field));
                continue;
            }
            lines.push((field, session.credentials(request, random)));
        }
        lines
    }

    /// The credentials that answer the 401 or 407 to `request`; `None`: there is nothing more to say, and the
    /// response counts as it is. `said` is what was answered before on the way of this request.
    ///
    /// Each field is answered once, and once more when it says that nothing but the nonce was wrong (`stale`).
    pub fn answer(
        &mut self,
        trunk: TrunkId,
        account: &Arc<Account>,
        request: &Message,
        said: &mut Said,
        response: &Message,
        random: u64,
    ) -> Option<Lines> {
        let mut any = false;
        for (asks, field) in FIELDS {
            if response.header(asks).is_none() {
                continue;
            }
            any = true;
            let session = Session::begin(account, response.headers(asks));
            let again = session.as_ref().is_some_and(|(session, stale)| {
                let used = request.headers(field).filter_map(|value| Credentials::parse(value).ok());
                let refused = used.into_iter().any(|used| used.get("nonce").as_deref() == Some(&*session.nonce));
                match said.iter_mut().find(|(own, _)| *own == field) {
                    _ if refused => false,
                    Some((_, again)) => *stale && !std::mem::replace(again, true),
                    None => {
                        said.push((field, false));
                        true
                    }
                }
            });
            match session.filter(|_| again) {
                Some((session, _)) => drop(self.0.insert((trunk, field), session)),
                None => {
                    // Wrong, or beyond us: the next request starts afresh.
                    self.0.remove(&(trunk, field));
                    return None;
                }
            }
        }
        any.then(|| self.ahead(trunk, account, request, random))
    }
}

impl Session {
    /// The topmost challenge that we understand (RFC 8760 §2.4), and whether it is stale.
    fn begin<'a>(account: &Arc<Account>, challenges: impl Iterator<Item = &'a str>) -> Option<(Self, bool)> {
        let understood = |challenge: Challenge<'_>| {
            let algorithm = Algorithm::of(&challenge.algorithm())?;
            let realm = challenge.get("realm")?.into_owned();
            if !challenge.scheme().eq_ignore_ascii_case("Digest")
                || account.realm.as_ref().is_some_and(|own| **own != *realm)
            {
                return None;
            }
            let quality = match challenge.get("qop") {
                None => Quality::Old,
                Some(_) if challenge.offers("auth") => Quality::Auth,
                Some(_) if challenge.offers("auth-int") => Quality::AuthInt,
                Some(_) => return None,
            };
            let session = Self {
                account: account.clone(),
                realm,
                nonce: challenge.get("nonce")?.into_owned(),
                opaque: challenge.get("opaque").map(std::borrow::Cow::into_owned),
                algorithm,
                named: challenge.get("algorithm").is_some(),
                quality,
                count: 0,
            };
            Some((session, challenge.stale()))
        };
        challenges.filter_map(|value| Challenge::parse(value).ok()).find_map(understood)
    }

    /// The next use of the nonce.
    fn credentials(&mut self, request: &Message, random: u64) -> String {
        self.count = self.count.saturating_add(1);
        let (count, cnonce) = (format!("{:08x}", self.count), format!("{random:016x}"));
        let (uri, body) = (request.request_uri(), request.body());
        let ingredients = Ingredients {
            algorithm: self.algorithm,
            quality: self.quality,
            nonce: &self.nonce,
            cnonce: &cnonce,
            count: &count,
            method: request.method(),
            uri,
            body: &body,
        };
        let hash = self.algorithm.hash;
        let ha1 = hash.ha1(&self.account.username, &self.realm, self.account.password.reveal());
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{}\"",
            quote(&self.account.username),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
            ingredients.response(&ha1)
        );
        let mut put = |name: &str, text: &str| value.extend([", ", name, "=", text]);
        if self.named {
            put("algorithm", self.algorithm.as_str());
        }
        if let Some(quality) = self.quality.as_str() {
            put("cnonce", &quote(&cnonce));
            put("qop", quality);
            put("nc", &count);
        } else if self.algorithm.session {
            put("cnonce", &quote(&cnonce));
        }
        if let Some(opaque) = &self.opaque {
            put("opaque", &quote(opaque));
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::invite;
    use super::*;

    const TRUNK: TrunkId = TrunkId(4);

    fn account() -> Arc<Account> {
        Arc::new(Account { username: "acme".into(), password: Secret::new("hunter2"), realm: Some("r".into()) })
    }

    fn challenge(status: u16, lines: &[&str]) -> Message {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let text = format!(
            "SIP/2.0 {status} Who\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n\
             To: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 INVITE\r\n{lines}Content-Length: 0\r\n\r\n"
        );
        Message::parse(text.into()).expect("parses")
    }

    /// The request again, with these credentials.
    fn with(lines: &Lines) -> Message {
        let lines: String = lines.iter().map(|(name, value)| format!("{}: {value}\r\n", name.as_str())).collect();
        invite(&lines)
    }

    fn parameter(lines: &Lines, at: usize, name: &str) -> String {
        Credentials::parse(&lines[at].1).expect("reads").get(name).expect(name).into_owned()
    }

    #[test]
    fn the_topmost_algorithm_that_is_known_is_taken_rfc_8760() {
        let mut sessions = Sessions::default();
        let response = challenge(
            401,
            &[
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-1024, qop=\"auth\"",
                "WWW-Authenticate: Digest realm=\"other\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth-int,auth\", opaque=\"o\"",
                "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"",
            ],
        );
        let lines = sessions.answer(TRUNK, &account(), &invite(""), &mut Said::new(), &response, 1).expect("answered");
        assert_eq!((lines.len(), lines[0].0), (1, Name::Authorization));
        for (name, value) in
            [("algorithm", "SHA-256"), ("qop", "auth"), ("nc", "00000001"), ("opaque", "o"), ("username", "acme")]
        {
            assert_eq!(parameter(&lines, 0, name), value);
        }
        assert_eq!(parameter(&lines, 0, "uri"), invite("").request_uri());
    }

    #[test]
    fn proxy_and_server_are_answered_one_after_the_other_gen_26() {
        let (mut sessions, mut said, account) = (Sessions::default(), Said::new(), account());
        let proxy = challenge(407, &["Proxy-Authenticate: Digest realm=\"r\", nonce=\"p\", qop=\"auth\""]);
        let first = sessions.answer(TRUNK, &account, &invite(""), &mut said, &proxy, 1).expect("answered");
        let server = challenge(401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"s\""]);
        let both = sessions.answer(TRUNK, &account, &with(&first), &mut said, &server, 2).expect("answered");
        let fields: Vec<Name> = both.iter().map(|(name, _)| *name).collect();
        assert_eq!(fields, [Name::Authorization, Name::ProxyAuthorization]);
        assert_eq!(parameter(&both, 1, "nc"), "00000002", "the proxy's nonce is used again");
        let third = sessions.answer(TRUNK, &account, &with(&both), &mut said, &server, 3);
        assert_eq!(third, None, "the same nonce again: the password is wrong");
    }

    #[test]
    fn a_second_challenge_is_answered_only_when_the_nonce_was_stale() {
        let (mut sessions, mut said, account) = (Sessions::default(), Said::new(), account());
        let ask = |nonce: &str, stale: &str| {
            challenge(401, &[&format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\", qop=\"auth\"{stale}")])
        };
        let first = sessions.answer(TRUNK, &account, &invite(""), &mut said, &ask("a", ""), 1).expect("answered");
        let second = sessions.answer(TRUNK, &account, &with(&first), &mut said, &ask("b", ", stale=true"), 1);
        let second = second.expect("answered");
        assert_eq!(sessions.answer(TRUNK, &account, &with(&second), &mut said, &ask("c", ", stale=true"), 1), None);
        assert!(sessions.ahead(TRUNK, &account, &invite(""), 1).is_empty(), "what failed is not used ahead");
        let mut said = Said::new();
        let first = sessions.answer(TRUNK, &account, &invite(""), &mut said, &ask("a", ""), 1).expect("answered");
        assert_eq!(
            sessions.answer(TRUNK, &account, &with(&first), &mut said, &ask("d", ""), 1),
            None,
            "wrong password"
        );
    }

    #[test]
    fn a_nonce_is_used_ahead_and_counted_until_the_account_changes() {
        let (mut sessions, account) = (Sessions::default(), account());
        let response = challenge(401, &["WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\""]);
        sessions.answer(TRUNK, &account, &invite(""), &mut Said::new(), &response, 1).expect("answered");
        let ahead = sessions.ahead(TRUNK, &account, &invite(""), 2);
        assert_eq!(
            (parameter(&ahead, 0, "nc"), parameter(&ahead, 0, "nonce")),
            ("00000002".to_owned(), "n".to_owned())
        );
        assert!(sessions.ahead(TrunkId(5), &account, &invite(""), 2).is_empty(), "another trunk");
        let other = Arc::new(Account { username: "other".into(), ..(*account).clone() });
        assert!(sessions.ahead(TRUNK, &other, &invite(""), 2).is_empty());
    }

    #[test]
    fn who_asks_for_what_we_have_not_gets_nothing() {
        for lines in [
            vec![],
            vec!["WWW-Authenticate: Basic realm=\"r\""],
            vec!["WWW-Authenticate: Digest realm=\"other\", nonce=\"n\""],
            vec!["WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth-conf\""],
        ] {
            let response = challenge(401, &lines);
            let answer = Sessions::default().answer(TRUNK, &account(), &invite(""), &mut Said::new(), &response, 1);
            assert_eq!(answer, None, "{lines:?}");
        }
    }
}
