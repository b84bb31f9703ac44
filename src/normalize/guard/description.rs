//! Session descriptions as the platforms take them (TDR-55, 59, 87, 93, 134, 135; GEN-48, 49).
//!
//! Nothing here can encrypt, transcode or move media: what would need a relay is refused, with the profile or suite that
//! is missing.

use super::{Rejection, reject};
use crate::flow::Transport;
use crate::sip::sdp::{Direction, MediaView, Sdp};
use crate::sip::{Message, Method, Name, sdp_part};
use crate::trunk::{Kind, Trunk};
use bytes::Bytes;

/// The suite that both platforms take (TDR-135, GEN-49).
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

/// The length of key and salt of that suite in base64 (RFC 4568 §6.2).
const KEY_LENGTH: usize = 40;

/// Checks the body of `message` for `to`. `Ok(Some)`: the body that has to stand in its place.
pub(super) fn inspect(to: &Trunk, message: &Message) -> Result<Option<Bytes>, Rejection> {
    let describes = matches!(message.method(), Method::Invite | Method::Update);
    if !describes || message.status().is_some_and(|status| status >= 300) {
        return Ok(None);
    }
    let body = message.body();
    let hub = to.kind == Kind::Teams;
    if body.is_empty() {
        // TDR-55, 87: neither a call nor a change of one begins without an offer.
        let offerless = hub && message.is_request() && *message.method() == Method::Invite;
        return if offerless {
            reject("TDR-55", "an INVITE without an offer, which the hub does not take")
        } else {
            Ok(None)
        };
    }
    let content_type = message.header(Name::ContentType).unwrap_or("");
    let Some(sdp) = sdp_part(content_type, &body) else {
        return match to.kind {
            Kind::Teams => reject("TDR-59", format!("a body of {content_type}, which is no session description")),
            Kind::Genesys | Kind::Generic => Ok(None),
        };
    };
    // TDR-59: parts other than the description are stripped.
    let multipart = hub && sdp.len() != body.len();
    let parsed = match Sdp::parse(sdp.clone()) {
        Ok(parsed) => parsed,
        Err(fault) => {
            return reject(if hub { "TDR-142" } else { "RFC 8866 §5" }, format!("session description: {fault}"));
        }
    };
    for media in parsed.media() {
        connected(&media)?;
        match to.kind {
            _ if media.port == 0 => {}
            Kind::Teams => media_to_hub(message, &media)?,
            Kind::Genesys if to.transport == Transport::Tls => media_to_genesys(&media)?,
            Kind::Genesys | Kind::Generic => {}
        }
    }
    Ok(multipart.then_some(sdp))
}

fn media_to_hub(message: &Message, media: &MediaView<'_>) -> Result<(), Rejection> {
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

fn media_to_genesys(media: &MediaView<'_>) -> Result<(), Rejection> {
    if media.protocol != "RTP/SAVP" {
        let protocol = media.protocol;
        return reject(
            "GEN-48",
            format!("{protocol}, where a trunk of TLS demands RTP/SAVP: the media has to be encrypted"),
        );
    }
    if !media.attributes().any(|(name, value)| name == "crypto" && value.is_some_and(is_usable)) {
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
    let mut words = crypto.split(' ').filter(|word| !word.is_empty());
    let (number, suite, keys) = (words.next(), words.next(), words.next().unwrap_or(""));
    let key = keys.strip_prefix("inline:").and_then(|keys| keys.split('|').next()).unwrap_or("");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
        && suite == Some(SUITE)
        && key.len() == KEY_LENGTH
        && key.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/'))
}
