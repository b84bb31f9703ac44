//! The arithmetic of Digest (RFC 7616 §3.4; RFC 8760 for SIP; RFC 2617 §3.2.2 and RFC 2069 for who is older).
//!
//! Hashes and nothing else: no secret is kept here, no nonce judged. What is on the wire is
//! [`Challenge`](super::Challenge) and [`Credentials`](super::Credentials); who asks and who answers is the
//! business of [`authentication`](crate::authentication).

use super::Method;
use md5::Md5;
use sha2::{Sha256, Sha512_256};
use std::fmt;

/// A hash function of RFC 8760 §2.3.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hash {
    /// MD5, which every peer knows and which proves little.
    Md5,
    /// SHA-256.
    Sha256,
    /// SHA-512/256: a hash of its own, not the front of SHA-512.
    Sha512_256,
}

impl Hash {
    /// The hash of these parts with a colon between them, in lower-case hexadecimal digits.
    pub fn of(self, parts: &[&[u8]]) -> String {
        match self {
            Self::Md5 => hashed::<Md5>(parts),
            Self::Sha256 => hashed::<Sha256>(parts),
            Self::Sha512_256 => hashed::<Sha512_256>(parts),
        }
    }

    /// How many hexadecimal digits a hash has.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 | Self::Sha512_256 => 64,
        }
    }

    /// `H(username:realm:password)`, which is as good as the password within its realm (RFC 7616 §3.4.2).
    pub fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        self.of(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()])
    }
}

fn hashed<D: sha2::Digest>(parts: &[&[u8]]) -> String {
    let mut hasher = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hasher.update(b":");
        }
        hasher.update(part);
    }
    let digits = hasher.finalize();
    digits
        .iter()
        .flat_map(|octet| [octet >> 4, octet & 15])
        .filter_map(|half| char::from_digit(half.into(), 16))
        .collect()
}

/// The `algorithm` of a challenge: a hash, and whether the secret is mixed with the nonces first (`-sess`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Algorithm {
    /// The hash.
    pub hash: Hash,
    /// Whether it is the `-sess` form (RFC 7616 §3.4.2).
    pub session: bool,
}

/// Every algorithm of RFC 8760 by its name, the strongest first.
pub const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("SHA-512-256", Algorithm { hash: Hash::Sha512_256, session: false }),
    ("SHA-512-256-sess", Algorithm { hash: Hash::Sha512_256, session: true }),
    ("SHA-256", Algorithm { hash: Hash::Sha256, session: false }),
    ("SHA-256-sess", Algorithm { hash: Hash::Sha256, session: true }),
    ("MD5", Algorithm { hash: Hash::Md5, session: false }),
    ("MD5-sess", Algorithm { hash: Hash::Md5, session: true }),
];

impl Algorithm {
    /// The algorithm of this name, in any case; `None`: a name that RFC 8760 does not have.
    pub fn of(name: &str) -> Option<Self> {
        ALGORITHMS.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, algorithm)| *algorithm)
    }

    /// Its name in header fields.
    pub fn as_str(self) -> &'static str {
        ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == self).map_or("MD5", |(name, _)| name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What of the request a response protects.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Quality {
    /// Method and URI, without count and nonce of the client: RFC 2069, which RFC 3261 §22.4 still allows.
    Old,
    /// Method and URI.
    Auth,
    /// The body as well.
    AuthInt,
}

impl Quality {
    /// The value of `qop`; `None` where there is no such parameter.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Old => None,
            Self::Auth => Some("auth"),
            Self::AuthInt => Some("auth-int"),
        }
    }
}

/// What a response is made of.
#[derive(Clone, Copy)]
pub struct Ingredients<'a> {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// What it protects.
    pub quality: Quality,
    /// The server's nonce.
    pub nonce: &'a str,
    /// The client's nonce; empty where there is none.
    pub cnonce: &'a str,
    /// The count of uses, 8 hexadecimal digits; empty where there is none.
    pub count: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The `uri` parameter.
    pub uri: &'a str,
    /// The body, for [`Quality::AuthInt`].
    pub body: &'a [u8],
}

impl Ingredients<'_> {
    /// The `response` parameter for this secret, the [`ha1`](Hash::ha1) of the same hash (RFC 7616 §3.4.1).
    pub fn response(&self, ha1: &str) -> String {
        let hash = self.algorithm.hash;
        let session = self.algorithm.session.then(|| {
            // Once a session, RFC 7616 says; a request that names its own cnonce is a session of its own.
            hash.of(&[ha1.as_bytes(), self.nonce.as_bytes(), self.cnonce.as_bytes()])
        });
        let ha1 = session.as_deref().unwrap_or(ha1);
        let (method, uri) = (self.method.as_str().as_bytes(), self.uri.as_bytes());
        let ha2 = match self.quality {
            Quality::Old | Quality::Auth => hash.of(&[method, uri]),
            Quality::AuthInt => hash.of(&[method, uri, hash.of(&[self.body]).as_bytes()]),
        };
        let (ha1, ha2, nonce) = (ha1.as_bytes(), ha2.as_bytes(), self.nonce.as_bytes());
        match self.quality.as_str() {
            None => hash.of(&[ha1, nonce, ha2]),
            Some(quality) => {
                hash.of(&[ha1, nonce, self.count.as_bytes(), self.cnonce.as_bytes(), quality.as_bytes(), ha2])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(algorithm: &str, uri: &'a str, nonce: &'a str, cnonce: &'a str, method: &'a Method) -> Ingredients<'a> {
        let algorithm = Algorithm::of(algorithm).expect("known");
        Ingredients { algorithm, quality: Quality::Auth, nonce, cnonce, count: "00000001", method, uri, body: b"" }
    }

    #[test]
    fn the_example_of_rfc_7616_3_9_1() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        let method = Method::Other("GET".into());
        for (name, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let ingredients = get(name, "/dir/index.html", nonce, cnonce, &method);
            let ha1 = ingredients.algorithm.hash.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
            assert_eq!(ingredients.response(&ha1), expected, "{name}");
        }
    }

    #[test]
    fn the_example_of_rfc_7616_3_9_2_as_erratum_4897_corrects_it() {
        let nonce = "5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK";
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let method = Method::Other("GET".into());
        let ingredients = get("SHA-512-256", "/doe.json", nonce, cnonce, &method);
        let ha1 = Hash::Sha512_256.ha1("J\u{e4}s\u{f8}n Doe", "api@example.org", "Secret, or not?");
        assert_eq!(ingredients.response(&ha1), "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5");
    }

    #[test]
    fn the_example_of_rfc_2617_3_5() {
        let (nonce, cnonce) = ("dcd98b7102dd2f0e8b11d0f600bfb0c093", "0a4f113b");
        let method = Method::Other("GET".into());
        let ingredients = get("MD5", "/dir/index.html", nonce, cnonce, &method);
        let ha1 = Hash::Md5.ha1("Mufasa", "testrealm@host.com", "Circle Of Life");
        assert_eq!(ingredients.response(&ha1), "6629fae49393a05397450978507c4ef1");
        let old = Ingredients { quality: Quality::Old, ..ingredients };
        assert_eq!(old.response(&ha1), "670fd8c2df070c60b045671b8b24ff02", "RFC 2069");
    }

    #[test]
    fn names_are_read_in_any_case_and_written_as_registered() {
        for (name, algorithm) in ALGORITHMS {
            assert_eq!(Algorithm::of(&name.to_ascii_lowercase()), Some(algorithm));
            assert_eq!(algorithm.to_string(), name);
            assert_eq!(algorithm.hash.of(&[b""]).len(), algorithm.hash.digits());
        }
        assert_eq!(Algorithm::of("SHA-1"), None);
    }
}
