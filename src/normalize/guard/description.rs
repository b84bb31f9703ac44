//! Bodies, and session descriptions as the platforms take them (TDR-55, 59, 87, 93, 134, 135, 142; GEN-48, 49).
//!
//! Nothing here can encrypt, decrypt, transcode or move media: what would need a relay is refused, with the profile or
//! suite that is missing.
//!
//! | what | toward | then |
//! |---|---|---|
//! | a body without Content-Type (RFC 3261 §7.4.1) | hub, Genesys | refused |
//! | a body that is no description (TDR-59), no offer in an INVITE (TDR-55, 87) | hub | refused |
//! | parts of a multipart body beside the description (TDR-59) | hub | removed |
//! | a description that cannot be read (TDR-142), media without an address | all | refused |
//! | lines that end in LF, are empty, not UTF-8 or have blanks too many (RFC 8866 §9) | hub, Genesys | put right |
//! | no media at all in the INVITE that begins a call (TDR-137) | hub | refused |
//! | media that is not encrypted (TDR-134, 135, GEN-48, 49) | hub, Genesys by TLS | refused |
//! | a hold in one direction, or by the address 0.0.0.0 (TDR-93) | hub | refused |

use super::{Rejection, reject};
use crate::flow::Transport;
use crate::sip::sdp::{Direction, MediaView, Sdp};
use crate::sip::{Message, Method, Name, legible, media_type, sdp_part, tag};
use crate::trunk::{Kind, Trunk};
use bytes::{BufMut, Bytes, BytesMut};

/// The suite that both platforms take (TDR-135, GEN-49).
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// The length of key and salt of that suite in base64 (RFC 4568 §6.2).
const KEY_LENGTH: usize = 40;

/// Checks the body of `message` for `to`. `Ok(Some)`: the body that has to stand in its place.
pub(super) fn inspect(to: &Trunk, message: &Message) -> Result<Option<Bytes>, Rejection> {
    let body = message.body();
    let content_type = message.header(Name::ContentType).unwrap_or("");
    let (hub, strict) = (to.kind == Kind::Teams, to.kind != Kind::Generic);
    let invite = *message.method() == Method::Invite && message.is_request();
    if body.is_empty() {
        // TDR-55, 87: neither a call nor a change of one begins without an offer.
        let due = hub && invite;
        return if due {
            reject("TDR-55", "an INVITE without an offer, which the hub does not take")
        } else {
            Ok(None)
        };
    }
    if strict && content_type.is_empty() {
        return reject("RFC 3261 §7.4.1", "a body without Content-Type");
    }
    let describes = matches!(message.method(), Method::Invite | Method::Update)
        && message.status().is_none_or(|status| status < 300);
    let sdp = sdp_part(content_type, &body);
    let Some(sdp) = sdp.filter(|_| describes || hub) else {
        let foreign = hub && (describes || message.is_request());
        let text = || format!("a body of {}, which is no session description", media_type(content_type));
        return if foreign { reject("TDR-59", text()) } else { Ok(None) };
    };
    let unread = if hub { "TDR-142" } else { "RFC 8866 §5" };
    let parsed = match Sdp::parse(sdp.clone()) {
        Ok(parsed) => parsed,
        Err(fault) => return reject(unread, format!("session description: {fault}")),
    };
    if strict {
        readable(&sdp, &parsed, unread)?;
    }
    for media in parsed.media().filter(|media| media.port != 0) {
        match to.kind {
            Kind::Teams => media_to_hub(message, &media)?,
            Kind::Genesys => media_to_genesys(to, &media)?,
            Kind::Generic => connected(&media)?,
        }
    }
    let begins = hub && invite && message.header(Name::To).is_none_or(|to| tag(to).is_none());
    if begins && parsed.media().all(|media| media.port == 0) {
        return reject("TDR-137", "an offer without any media, to which the hub finds no codec");
    }
    // TDR-59: parts other than the description are stripped.
    let whole = !hub || sdp.len() == body.len();
    let tidied = tidy(&sdp).filter(|_| strict);
    match tidied {
        // A description within a multipart body stays where it is.
        Some(_) if !hub && sdp.len() != body.len() => Ok(None),
        Some(tidied) => Ok(Some(tidied)),
        None => Ok((!whole).then_some(sdp)),
    }
}

/// What a strict reader stumbles over, and nobody can put right.
fn readable(sdp: &Bytes, parsed: &Sdp, rule: &'static str) -> Result<(), Rejection> {
    let odd = |line: &[u8]| line.contains(&b'\r') || line.first().is_some_and(|kind| !kind.is_ascii_lowercase());
    if lines(sdp).any(|line| odd(line.trim_ascii_end())) {
        return reject(rule, "session description: a line of another kind than the RFC has");
    }
    let unseen = |octet: &u8| octet.is_ascii_control() && !matches!(octet, b'\t' | b'\r');
    if lines(sdp).any(|line| has_words(line) && line.iter().any(unseen)) {
        return reject(rule, "session description: a control character");
    }
    let origin = parsed.origin();
    let numbers = [origin.session_id, origin.version].iter().all(|number| number.parse::<u64>().is_ok());
    if !numbers || origin.username.contains([' ', '\t']) {
        return reject(rule, "session description: o= without a session id and version that are numbers");
    }
    Ok(())
}

/// The description with CRLF behind every line, and one blank between words (RFC 8866 §9); `None`: so it is already.
/// The hub answers 410 to what it cannot read (TDR-142); phones and exchanges write LF, `s=` and blanks too many.
fn tidy(sdp: &Bytes) -> Option<Bytes> {
    let wide = |line: &[u8]| {
        has_words(line) && (line.contains(&b'\t') || line.windows(2).any(|two| two == b"  ") || line.ends_with(b" "))
    };
    let good = |line: &[u8]| line.ends_with(b"\r") && line.len() > 3 && !wide(&line[..line.len() - 1]);
    let ended = sdp.strip_suffix(b"\n");
    if ended.is_some_and(|ended| lines(ended).all(good)) && std::str::from_utf8(sdp).is_ok() {
        return None;
    }
    let mut out = BytesMut::with_capacity(sdp.len() + 64);
    for line in lines(sdp).map(<[u8]>::trim_ascii_end) {
        match line {
            b"s=" => out.put_slice(b"s=-"),
            // RFC 8866 §5: no other line may be there and say nothing.
            _ if line.len() < 3 => continue,
            _ if wide(line) => {
                let words = line.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty());
                words.enumerate().for_each(|(at, word)| {
                    out.put_slice(if at == 0 { b"" } else { b" " });
                    out.put_slice(word);
                });
            }
            _ => out.put_slice(line),
        }
        out.put_slice(b"\r\n");
    }
    // What is in another character set is for people to read.
    Some(match std::str::from_utf8(&out) {
        Ok(_) => out.freeze(),
        Err(_) => Bytes::from(legible(&out)),
    })
}

/// Whether a line is words with one blank between them, and not text or an attribute.
fn has_words(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'v' | b'o' | b'c' | b't' | b'm'))
}

/// What stands between the line feeds.
fn lines(sdp: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', sdp).chain([sdp.len()]).map(move |end| &sdp[std::mem::replace(&mut start, end + 1)..end])
}

fn media_to_hub(message: &Message, media: &MediaView<'_>) -> Result<(), Rejection> {
    connected(media)?;
    if media.connection.is_some_and(|address| address.split('/').next() == Some("0.0.0.0")) {
        return reject("TDR-93", "hold by the address 0.0.0.0, and no other address is known");
    }
    if !media.protocol.ends_with("RTP/SAVP") {
        let protocol = media.protocol;
        return reject("TDR-134", format!("{protocol}, where the hub demands RTP/SAVP: the media has to be encrypted"));
    }
    if !media.attributes().any(|(name, value)| name == "crypto" && value.is_some_and(is_usable)) {
        return reject("TDR-135", format!("no a=crypto line with {SUITE} and its key"));
    }
    // What the hub itself offered in one direction is answered in the other (RFC 3264 §6.1).
    if message.is_request() && matches!(media.direction, Direction::SendOnly | Direction::RecvOnly) {
        return reject("TDR-93", format!("a={}, where the hub understands inactive and sendrecv", media.direction));
    }
    Ok(())
}

/// GEN-48: a trunk of TLS wants SRTP. Those of TCP and UDP speak RTP by default, and no document says that they refuse
/// the other.
fn media_to_genesys(to: &Trunk, media: &MediaView<'_>) -> Result<(), Rejection> {
    connected(media)?;
    // Fax by udptl is no RTP, and passes as it is (GEN-42).
    let tls = to.transport == Transport::Tls;
    if tls && media.protocol.contains("RTP/") && media.protocol != "RTP/SAVP" {
        let protocol = media.protocol;
        return reject(
            "GEN-48",
            format!("{protocol}, where a trunk of TLS demands RTP/SAVP: the media has to be encrypted"),
        );
    }
    if tls
        && media.protocol == "RTP/SAVP"
        && !media.attributes().any(|(name, value)| name == "crypto" && value.is_some_and(is_usable))
    {
        return reject("GEN-49", format!("no a=crypto line with {SUITE} and its key"));
    }
    Ok(())
}

/// RFC 8866 §5.7: an address for each media.
fn connected(media: &MediaView<'_>) -> Result<(), Rejection> {
    match media.connection {
        Some(_) => Ok(()),
        None => reject("RFC 8866 §5.7", format!("{} without a c= line", media.kind)),
    }
}

/// `tag suite inline:key…` of the suite (RFC 4568 §9.1).
fn is_usable(crypto: &str) -> bool {
    let mut words = crypto.split_ascii_whitespace();
    let (number, suite, keys) = (words.next(), words.next(), words.next().unwrap_or(""));
    let key = keys.strip_prefix("inline:").and_then(|keys| keys.split('|').next()).unwrap_or("");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
        && suite == Some(SUITE)
        && key.len() == KEY_LENGTH
        && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'))
}
