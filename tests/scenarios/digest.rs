//! Digest as a platform does it: proof for a challenge it got, and whether a proof that it gets is right (RFC 7616).

use tandem::sip::digest::{Algorithm, Ingredients, Quality};
use tandem::sip::{Challenge, Credentials, Message, Method, Name};

/// Authorization for the challenge in `response`, the first that it has, by user `acme` with `password`, for `request`.
/// Its nonce has been used `count` times with this one.
pub(crate) fn prove(response: &Message, request: &Message, password: &str, count: u32) -> Option<(Name, String)> {
    let (asks, field) = match response.status()? {
        401 => (Name::WwwAuthenticate, Name::Authorization),
        _ => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
    };
    let challenge = Challenge::parse(response.header(asks)?).ok()?;
    let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
    let algorithm = Algorithm::of(&challenge.algorithm())?;
    let quality = if challenge.offers("auth-int") { Quality::AuthInt } else { Quality::Auth };
    let (count, body) = (format!("{count:08x}"), request.body());
    let proof = Ingredients {
        algorithm,
        quality,
        nonce: &nonce,
        cnonce: "ladder",
        count: &count,
        method: request.method(),
        uri: request.request_uri(),
        body: &body,
    };
    let response = proof.response(&algorithm.hash.ha1("acme", &realm, password));
    let value = format!(
        "Digest username=\"acme\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\", \
         algorithm={algorithm}, cnonce=\"ladder\", qop={}, nc={count}",
        request.request_uri(),
        quality.as_str()?
    );
    Some((field, value))
}

/// Why the credentials of `field` in `request` are not those of user `acme` with `password`; `None`: they are.
pub(crate) fn fault(request: &Message, field: Name, password: &str) -> Option<String> {
    let Some(credentials) = request.header(field).and_then(|value| Credentials::parse(value).ok()) else {
        return Some(format!("there is no {}", field.as_str()));
    };
    let get = |name: &str| credentials.get(name).unwrap_or_default().into_owned();
    let quality = match get("qop").as_str() {
        "auth" => Quality::Auth,
        "auth-int" => Quality::AuthInt,
        _ => Quality::Old,
    };
    // An ACK says what its INVITE said, wherever it goes (RFC 3261 §22.1).
    let ack = *request.method() == Method::Ack;
    if !ack && get("uri") != request.request_uri() || get("username") != "acme" {
        return Some("the URI or the user is another".to_owned());
    }
    let algorithm = Algorithm::of(&credentials.algorithm()).expect("a known algorithm");
    let (nonce, cnonce, count, uri, body) = (get("nonce"), get("cnonce"), get("nc"), get("uri"), request.body());
    let method = if ack { &Method::Invite } else { request.method() };
    let (cnonce, count) = (cnonce.as_str(), count.as_str());
    let proof = Ingredients { algorithm, quality, nonce: &nonce, cnonce, count, method, uri: &uri, body: &body };
    let expected = proof.response(&algorithm.hash.ha1("acme", &get("realm"), password));
    (expected != get("response")).then(|| format!("response should be {expected}"))
}
