//! We ask: the challenge, and what comes back (RFC 3261 §22.2, §22.4; RFC 7616 §3.3, §3.4; GEN-25).

use super::Secret;
use super::nonce::{Nonce, NonceKey};
use crate::flow::TrunkId;
use crate::sip::digest::{Algorithm, Hash, Ingredients, Quality};
use crate::sip::{Credentials, Message, Name, Uri, quote};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the INVITEs of a trunk have to prove.
#[derive(Clone, Debug)]
pub struct Authentication {
    /// The realm of our challenges; the platform's has to be the same, octet for octet (GEN-25).
    pub realm: Arc<str>,
    /// The one user there is.
    pub username: Arc<str>,
    /// Its [`ha1`](Hash::ha1) for each hash of `algorithms`.
    pub secrets: SmallVec<[(Hash, Secret); 3]>,
    /// What is offered, the strongest first (RFC 8760 §2.3); never empty.
    pub algorithms: SmallVec<[Algorithm; 3]>,
    /// What may be protected, [`Quality::Old`] not among it; never empty.
    pub qualities: SmallVec<[Quality; 2]>,
    /// How long a nonce holds.
    pub lifetime: Duration,
}

/// What a request has proved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The secret is known to who sent it.
    Accepted,
    /// 401 with these values of WWW-Authenticate, one for each algorithm (RFC 8760 §2.4).
    Challenge {
        /// The values.
        values: SmallVec<[String; 3]>,
        /// Why.
        why: Why,
    },
    /// 403: wrong again and again.
    Refused,
}

/// Why a request is challenged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// It proved nothing, as a first INVITE does.
    First,
    /// Its proof is right, but the nonce is too old, none of ours any more, or used up.
    Stale,
    /// Its proof is wrong.
    Wrong,
}

/// How many wrong answers in a row get another challenge; the next is refused (GEN-25).
const TRIES: u8 = 3;

/// How far ahead the clock of another node may be.
const SKEW_MS: u64 = 5_000;

impl Authentication {
    /// Judges an INVITE of `trunk` that came from `source`.
    ///
    /// The digest holds for method and Request-URI: a message that was overheard can be played again only to the same
    /// number, and only until its nonce is too old. Beyond that [`Attempts`] knows which counts this worker has seen.
    /// An `emergency` is looked at however many wrong answers came before it (TDR-155).
    #[expect(
        clippy::too_many_arguments,
        reason = "what the core knows of the moment; a struct for one caller says no more"
    )]
    pub fn judge(
        &self,
        key: &NonceKey,
        attempts: &mut Attempts,
        trunk: TrunkId,
        source: IpAddr,
        now_ms: u64,
        random: u64,
        emergency: bool,
        request: &Message,
    ) -> Verdict {
        let challenge = |why, failures| {
            let nonce = key.mint(&self.realm, Nonce { failures, made_ms: now_ms }, random);
            Verdict::Challenge { values: self.challenges(&nonce, why == Why::Stale), why }
        };
        let own = |value: &&str| {
            let credentials = Credentials::parse(value).ok();
            credentials.is_some_and(|credentials| {
                credentials.scheme().eq_ignore_ascii_case("Digest")
                    && credentials.get("realm").as_deref() == Some(&*self.realm)
            })
        };
        let Some(credentials) = request.headers(Name::Authorization).find(own).and_then(|v| Credentials::parse(v).ok())
        else {
            return challenge(Why::First, 0);
        };
        if !emergency && attempts.too_many(trunk, source, now_ms) {
            return Verdict::Refused;
        }
        let text = credentials.get("nonce").unwrap_or_default();
        let nonce = key.read(&self.realm, &text);
        if !self.proves(&credentials, request) {
            attempts.failed(trunk, source, now_ms);
            // The nonce counts the failures, so that nobody has to.
            let failures = nonce.map_or(0, |nonce| nonce.failures).saturating_add(1);
            return if failures >= TRIES { Verdict::Refused } else { challenge(Why::Wrong, failures) };
        }
        let lifetime = u64::try_from(self.lifetime.as_millis()).unwrap_or(u64::MAX);
        let fresh = nonce.is_some_and(|nonce| {
            now_ms.saturating_sub(nonce.made_ms) <= lifetime && nonce.made_ms <= now_ms.saturating_add(SKEW_MS)
        });
        if fresh && attempts.is_new(&text, credentials.nonce_count().unwrap_or(1)) {
            Verdict::Accepted
        } else {
            challenge(Why::Stale, 0)
        }
    }

    fn proves(&self, credentials: &Credentials<'_>, request: &Message) -> bool {
        let Some(algorithm) = Algorithm::of(&credentials.algorithm()) else { return false };
        let quality = match credentials.get("qop").as_deref() {
            // Who is that old knows no other hash; with a better one it would be a way around the count.
            None if algorithm.hash == Hash::Md5 && !algorithm.session => Quality::Old,
            None => return false,
            Some(qop) => {
                let known = self
                    .qualities
                    .iter()
                    .find(|quality| quality.as_str().is_some_and(|own| qop.eq_ignore_ascii_case(own)));
                let Some(&quality) = known else { return false };
                quality
            }
        };
        let (nonce, cnonce) =
            (credentials.get("nonce").unwrap_or_default(), credentials.get("cnonce").unwrap_or_default());
        let (uri, count) = (credentials.get("uri").unwrap_or_default(), credentials.get("nc").unwrap_or_default());
        if quality != Quality::Old && (credentials.nonce_count().is_none_or(|count| count == 0) || cnonce.is_empty()) {
            return false;
        }
        let secret = self.secrets.iter().find(|(hash, _)| *hash == algorithm.hash).map(|(_, secret)| secret);
        let Some(secret) = secret.filter(|_| self.algorithms.contains(&algorithm)) else { return false };
        let body = request.body();
        let ingredients = Ingredients {
            algorithm,
            quality,
            nonce: &nonce,
            cnonce: &cnonce,
            count: &count,
            method: request.method(),
            uri: &uri,
            body: &body,
        };
        let expected = Secret::new(&ingredients.response(secret.reveal()));
        let response = credentials.get("response").unwrap_or_default().to_ascii_lowercase();
        let user = Secret::new(&self.username).is(&credentials.get("username").unwrap_or_default());
        // All is looked at before anything is said.
        expected.is(&response) & user & same_resource(&uri, request.request_uri())
    }

    fn challenges(&self, nonce: &str, stale: bool) -> SmallVec<[String; 3]> {
        let qualities: SmallVec<[&str; 2]> = self.qualities.iter().filter_map(|quality| quality.as_str()).collect();
        let (realm, qop) = (quote(&self.realm), qualities.join(","));
        let stale = if stale { ", stale=true" } else { "" };
        let value = |algorithm: &Algorithm| {
            format!("Digest realm={realm}, nonce=\"{nonce}\", algorithm={algorithm}, qop=\"{qop}\"{stale}")
        };
        self.algorithms.iter().map(value).collect()
    }
}

/// Whether the `uri` of a digest names who is called. RFC 3261 §22.4 leaves it to the server what a difference means,
/// since elements on the way may change a Request-URI: the number must stay, or a proof that was overheard could be
/// played again to call another.
fn same_resource(uri: &str, request_uri: &str) -> bool {
    uri == request_uri
        || matches!((Uri::parse(uri), Uri::parse(request_uri)), (Ok(one), Ok(other))
            if one.user().is_some() && one.user() == other.user())
}

/// The most nonces whose count is remembered, and the most addresses whose failures are.
const REMEMBERED: usize = 4096;

/// How many wrong answers an address may give within [`WINDOW_MS`] before nothing of it is looked at any more.
const MOST_FAILURES: u32 = 20;

/// How long failures count.
const WINDOW_MS: u64 = 60_000;

/// What one worker remembers of answers to its challenges. What it has forgotten costs nothing but a little safety.
#[derive(Debug, Default)]
pub struct Attempts {
    /// The highest count that came with a nonce.
    counts: HashMap<Arc<str>, u32>,
    /// The nonces, oldest first.
    order: VecDeque<Arc<str>>,
    /// Where wrong answers came from: since when, how many.
    failures: HashMap<(TrunkId, IpAddr), (u64, u32)>,
}

impl Attempts {
    /// Whether `count` has not come with this nonce yet, nor a higher one (RFC 7616 §3.3).
    fn is_new(&mut self, nonce: &str, count: u32) -> bool {
        if let Some(last) = self.counts.get_mut(nonce) {
            let is_new = count > *last;
            *last = count.max(*last);
            return is_new;
        }
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.counts.remove(&oldest);
        }
        let nonce: Arc<str> = Arc::from(nonce);
        self.order.push_back(nonce.clone());
        self.counts.insert(nonce, count);
        true
    }

    fn too_many(&self, trunk: TrunkId, source: IpAddr, now_ms: u64) -> bool {
        let failures = self.failures.get(&(trunk, source));
        failures.is_some_and(|&(since, count)| count >= MOST_FAILURES && now_ms.saturating_sub(since) < WINDOW_MS)
    }

    fn failed(&mut self, trunk: TrunkId, source: IpAddr, now_ms: u64) {
        if self.failures.len() >= REMEMBERED {
            self.failures.retain(|_, (since, _)| now_ms.saturating_sub(*since) < WINDOW_MS);
        }
        if self.failures.len() >= REMEMBERED && !self.failures.contains_key(&(trunk, source)) {
            return;
        }
        let (since, count) = self.failures.entry((trunk, source)).or_insert((now_ms, 0));
        if now_ms.saturating_sub(*since) >= WINDOW_MS {
            (*since, *count) = (now_ms, 0);
        }
        *count = count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::invite;
    use super::super::{Account, Sessions};
    use super::*;

    const NOW: u64 = 1_764_000_000_000;
    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn ours(names: &[&str], qualities: &[Quality]) -> Authentication {
        let algorithms: SmallVec<[Algorithm; 3]> = names.iter().filter_map(|name| Algorithm::of(name)).collect();
        let secret = |algorithm: &Algorithm| (algorithm.hash, Secret::new(&algorithm.hash.ha1("acme", "r", "hunter2")));
        Authentication {
            realm: "r".into(),
            username: "acme".into(),
            secrets: algorithms.iter().map(secret).collect(),
            algorithms,
            qualities: qualities.into(),
            lifetime: Duration::from_secs(300),
        }
    }

    struct Desk {
        authentication: Authentication,
        key: NonceKey,
        attempts: Attempts,
    }

    impl Desk {
        fn new(names: &[&str], qualities: &[Quality]) -> Self {
            let (key, attempts) = (NonceKey::new([3; 32]), Attempts::default());
            Self { authentication: ours(names, qualities), key, attempts }
        }

        fn judge(&mut self, now_ms: u64, request: &Message) -> Verdict {
            let (trunk, attempts) = (TrunkId(1), &mut self.attempts);
            self.authentication.judge(&self.key, attempts, trunk, SOURCE, now_ms, 5, false, request)
        }

        /// The INVITE that answers the challenge to one without credentials, by `password`.
        fn answered(&mut self, now_ms: u64, password: &str) -> Message {
            let Verdict::Challenge { values, .. } = self.judge(now_ms, &invite("")) else { panic!("not challenged") };
            answer(&values, password)
        }
    }

    fn answer(values: &[String], password: &str) -> Message {
        let account = Arc::new(Account { username: "acme".into(), password: Secret::new(password), realm: None });
        let lines: String = values.iter().map(|value| format!("WWW-Authenticate: {value}\r\n")).collect();
        let mut response = "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/TLS 192.0.2.7;branch=z9hG4bK1\r\n\
             From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 7 INVITE\r\n"
            .to_owned();
        response.push_str(&lines);
        response.push_str("Content-Length: 0\r\n\r\n");
        let response = Message::parse(response.into()).expect("parses");
        let mut sessions = Sessions::default();
        let mut said = Default::default();
        let lines = sessions.answer(TrunkId(0), &account, &invite(""), &mut said, &response, 77).expect("answered");
        let lines: String = lines.iter().map(|(name, value)| format!("{}: {value}\r\n", name.as_str())).collect();
        invite(&lines)
    }

    #[test]
    fn a_first_invite_is_challenged_once_for_each_algorithm_strongest_first_gen_25() {
        let mut desk = Desk::new(&["SHA-512-256", "SHA-256", "MD5"], &[Quality::Auth]);
        let Verdict::Challenge { values, why } = desk.judge(NOW, &invite("")) else { panic!("not challenged") };
        assert_eq!(why, Why::First);
        let read: Vec<_> = values.iter().map(|value| crate::sip::Challenge::parse(value).expect("reads")).collect();
        let names: Vec<_> = read.iter().map(|value| value.algorithm().into_owned()).collect();
        assert_eq!(names, ["SHA-512-256", "SHA-256", "MD5"]);
        assert!(read.iter().all(|value| value.offers("auth") && !value.stale() && !value.offers("auth-int")));
        assert!(read.iter().all(|value| value.get("realm").as_deref() == Some("r")));
    }

    #[test]
    fn the_right_password_is_accepted_with_every_algorithm_and_quality() {
        for name in ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"] {
            for quality in [Quality::Auth, Quality::AuthInt] {
                let mut desk = Desk::new(&[name], &[quality]);
                let request = desk.answered(NOW, "hunter2");
                assert_eq!(desk.judge(NOW + 10, &request), Verdict::Accepted, "{name} {quality:?}");
                let request = desk.answered(NOW, "hunter3");
                assert!(matches!(desk.judge(NOW, &request), Verdict::Challenge { why: Why::Wrong, .. }), "{name}");
            }
        }
    }

    #[test]
    fn a_wrong_password_is_refused_at_the_third_try_gen_25() {
        let mut desk = Desk::new(&["MD5"], &[Quality::Auth]);
        let mut request = desk.answered(NOW, "hunter3");
        for _ in 1..TRIES {
            let Verdict::Challenge { values, why } = desk.judge(NOW, &request) else { panic!("not challenged") };
            assert_eq!(why, Why::Wrong);
            request = answer(&values, "hunter3");
        }
        assert_eq!(desk.judge(NOW, &request), Verdict::Refused);
    }

    #[test]
    fn who_guesses_too_often_is_not_looked_at_for_a_while() {
        let mut desk = Desk::new(&["MD5"], &[Quality::Auth]);
        for _ in 0..MOST_FAILURES {
            let wrong = desk.answered(NOW, "hunter3");
            desk.judge(NOW, &wrong);
        }
        let right = desk.answered(NOW, "hunter2");
        assert_eq!(desk.judge(NOW, &right), Verdict::Refused);
        assert_eq!(desk.judge(NOW + WINDOW_MS, &right), Verdict::Accepted);
    }

    #[test]
    fn a_nonce_that_is_too_old_foreign_or_used_up_is_stale_gen_25() {
        let mut desk = Desk::new(&["SHA-256"], &[Quality::Auth]);
        let request = desk.answered(NOW, "hunter2");
        let stale = |verdict: Verdict| {
            matches!(verdict, Verdict::Challenge { why: Why::Stale, ref values }
            if values.iter().all(|value| value.ends_with(", stale=true")))
        };
        assert!(stale(desk.judge(NOW + 300_001, &request)), "old");
        assert_eq!(desk.judge(NOW + 300_000, &request), Verdict::Accepted);
        assert!(stale(desk.judge(NOW + 1, &request)), "the same count again");
        let mut other = Desk { key: NonceKey::new([4; 32]), ..Desk::new(&["SHA-256"], &[Quality::Auth]) };
        assert!(stale(other.judge(NOW, &request)), "of another key");
    }

    #[test]
    fn a_proof_for_another_number_or_method_proves_nothing() {
        let mut desk = Desk::new(&["MD5"], &[Quality::Auth]);
        let request = desk.answered(NOW, "hunter2");
        let text = String::from_utf8(request.octets().to_vec()).expect("text");
        let other = text.replacen("INVITE sip:+14255550123@", "INVITE sip:+19005550123@", 1);
        let other = Message::parse(other.into()).expect("parses");
        assert!(matches!(desk.judge(NOW, &other), Verdict::Challenge { why: Why::Wrong, .. }));
    }

    #[test]
    fn credentials_for_others_are_none_for_us() {
        let mut desk = Desk::new(&["MD5"], &[Quality::Auth]);
        for line in [
            "Authorization: Basic abc\r\n",
            "Authorization: Digest username=\"acme\"\r\n",
            "Authorization: Digest username=\"acme\", realm=\"other\", nonce=\"n\", uri=\"u\", response=\"0\"\r\n",
        ] {
            let verdict = desk.judge(NOW, &invite(line));
            assert!(matches!(verdict, Verdict::Challenge { why: Why::First, .. }), "{line}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut attempts = Attempts::default();
        for n in 0..REMEMBERED + 10 {
            assert!(attempts.is_new(&n.to_string(), 1));
            let source = IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
            attempts.failed(TrunkId(0), source, NOW);
        }
        assert_eq!((attempts.counts.len(), attempts.order.len()), (REMEMBERED, REMEMBERED));
        assert!(attempts.failures.len() <= REMEMBERED);
    }
}
