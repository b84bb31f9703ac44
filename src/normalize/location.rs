//! Where the caller of an emergency call is: header fields and body that cross whole (RFC 6442, TDR-153).
//!
//! The hub describes the place in a part of a multipart body, and Geolocation points there by `cid:`. Both go to the
//! trunk of an emergency route as they came; nobody else gets them.

use crate::sip::{Field, Message, Name, with_sdp};
use crate::trunk::Kind;
use bytes::Bytes;

/// The header fields of `invite`, an emergency call that came from a trunk of `from`, that tell the place or say how
/// its body is to be read, as far as they do not cross anyway.
pub fn location(from: Kind, to: Kind, invite: &Message) -> impl Iterator<Item = (Field, String)> {
    let multipart =
        invite.header(Name::ContentType).is_some_and(|value| with_sdp(value, &invite.body(), &[]).is_some());
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
pub fn located<'m>(invite: &'m Message, sdp: &[u8]) -> Option<(&'m str, Bytes)> {
    let content_type = invite.header(Name::ContentType)?;
    Some((content_type, with_sdp(content_type, &invite.body(), sdp)?))
}
