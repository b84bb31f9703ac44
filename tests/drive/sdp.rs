//! Octets as a session description, alone and as a part of a body.

use bytes::Bytes;
use tandem::sip::sdp::{Direction, Sdp};
use tandem::sip::{sdp_part, with_sdp};

const MIXED: &str = "multipart/mixed;boundary=b";

/// Reads `data` as a description, and as a body with one in it.
///
/// # Panics
///
/// When a change makes something else of a description than was asked for.
pub fn drive(data: &[u8]) {
    let octets = Bytes::copy_from_slice(data);
    if let Some(part) = sdp_part(MIXED, &octets) {
        let again = with_sdp(MIXED, &octets, &part).expect("there is a part");
        assert_eq!(again, octets, "the same part in its place");
        if let Some(changed) = with_sdp(MIXED, &octets, b"v=0\r\n") {
            assert_eq!(sdp_part(MIXED, &changed).as_deref(), Some(&b"v=0\r\n"[..]), "another part in its place");
        }
        describe(part);
    }
    describe(octets);
}

/// Everything that a description can be asked.
pub fn describe(octets: Bytes) {
    let Ok(sdp) = Sdp::parse(octets.clone()) else { return };
    assert_eq!(sdp.octets(), octets);
    let _ = (sdp.is_hold_0000(), sdp.is_hold(), sdp.rejects_all(), sdp.attributes().count());
    assert!(sdp.same_session(&sdp));
    for media in sdp.media() {
        let _ = media.attributes().count();
    }
    let read = |octets| Sdp::parse(octets).expect("still a description");
    let count = sdp.media().count();

    let renewed = read(sdp.with_origin(7, u64::MAX));
    assert_eq!((renewed.origin().session_id, renewed.origin().version), ("7", "18446744073709551615"));
    assert!(renewed.same_session(&sdp) && sdp.same_session(&renewed), "but for its origin the same");

    let line = "o=- 1 2 IN IP4 192.0.2.1";
    let other = read(sdp.with_origin_line(line));
    assert_eq!((other.origin().address, other.media().count()), ("192.0.2.1", count));

    for direction in [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive] {
        let turned = read(sdp.with_direction(direction));
        assert!(turned.media().all(|media| media.direction == direction), "{direction} everywhere");
        assert_eq!(turned.media().count(), count);
        assert_eq!(turned.with_direction(direction), turned.octets(), "{direction} already");
    }

    for address in ["192.0.2.1", "2001:db8::1"] {
        let moved = read(sdp.with_connection(address));
        assert!(!moved.is_hold_0000(), "held by address still");
        assert_eq!(moved.media().count(), count);
    }
}
