//! Where the caller of an emergency call is: header fields and body that cross whole (RFC 6442, TDR-153).
//!
//! The hub describes the place in a part of a multipart body, and Geolocation points there by `cid:`. Both go to the
//! trunk of an emergency route as they came; nobody else gets them.

use crate::sip::{Field, Message, Name, is_media_type, media_type, with_sdp};
use crate::trunk::Kind;
use bytes::Bytes;

/// The header fields of `invite`, an emergency call that came from a trunk of `from`, that tell the place or say how
/// its body is to be read, as far as they do not cross anyway.
pub fn location(from: Kind, to: Kind, invite: &Message) -> impl Iterator<Item = (Field, String)> {
    let multipart = invite.header(Name::ContentType).is_some_and(is_multipart);
    let lines = invite.lines().filter(move |line| {
        let tells = match line.name {
            Name::Geolocation => true,
            Name::MimeVersion => multipart,
            _ => line.text.eq_ignore_ascii_case("Geolocation-Routing"),
        };
        tells && !super::crosses(from, to, line)
    });
    lines.map(|line| (Field::from(line.text), line.value.to_owned()))
}

/// The type and the octets of the body of `invite` with `sdp` in place of its description; `None`: it has no other part.
///
/// Without `sdp` the offer is still to come, and the body tells the place alone (RFC 6442 §4.1).
pub fn located<'m>(invite: &'m Message, sdp: Option<&[u8]>) -> Option<(&'m str, Bytes)> {
    let (content_type, body) = (invite.header(Name::ContentType)?, invite.body());
    let place = match sdp {
        Some(sdp) => with_sdp(content_type, &body, sdp)?,
        None => {
            let plain = invite.header(Name::ContentEncoding).is_none();
            let place = is_multipart(content_type) || is_media_type(content_type, "application/pidf+xml");
            Some(body).filter(|_| plain && place)?
        }
    };
    Some((content_type, place))
}

fn is_multipart(content_type: &str) -> bool {
    media_type(content_type).get(..10).is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/"))
}
