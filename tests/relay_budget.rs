//! What a message may allocate on its way through: nothing to be read, two to be written again.
//!
//! A number that has to rise, for something worth it, is raised here, with the change that needs it.

#[path = "../benches/messages/mod.rs"]
mod messages;

use allocation_counter::measure;
use bytes::{Bytes, BytesMut};
use tandem::sip::{Edits, Essentials, Frame, Framer, Message, Name};

/// The platforms' messages; the longest has more lines than any of them sends.
fn all() -> [(&'static str, Vec<u8>); 6] {
    [
        ("INVITE", messages::invite()),
        ("200", messages::ok()),
        ("ACK", messages::ack()),
        ("BYE", messages::bye()),
        ("OPTIONS", messages::options()),
        ("INVITE of 2 KB", messages::invite_of_lines(2048)),
    ]
}

/// A message as the framer splits it off the read buffer.
fn framed(octets: &[u8]) -> Bytes {
    let mut buffer = BytesMut::from(octets);
    match Framer::default().next(&mut buffer) {
        Ok(Some(Frame::Message(octets))) => octets,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reading_a_message_allocates_nothing() {
    for (name, octets) in all() {
        let octets = framed(&octets);
        let spent = measure(|| {
            let message = Message::parse(octets.clone()).expect("a message");
            assert!(Essentials::of(&message).is_ok());
        });
        assert_eq!(spent.count_total, 0, "{name}: {spent:?}");
    }
}

#[test]
fn a_relayed_message_allocates_twice() {
    for (name, octets) in all() {
        let octets = framed(&octets);
        let spent = measure(|| {
            let message = Message::parse(octets.clone()).expect("a message");
            let hops = Essentials::of(&message).expect("readable").max_forwards.expect("Max-Forwards") - 1;
            let mut digits = itoa::Buffer::new();
            let mut edits = Edits::new();
            edits
                .set(Name::MaxForwards, digits.format(hops))
                .remove(Name::UserAgent)
                .add(Name::Via, "SIP/2.0/TLS sbc2.example.com");
            let written = edits.write(&message);
            assert!(written.len() > 100);
        });
        assert!(spent.count_total <= 2, "{name}: {spent:?}");
    }
}

/// An INVITE with half as many lines again as the inline table holds costs one allocation, and no more.
#[test]
fn many_lines_allocate_once() {
    let octets = framed(&messages::invite_of_lines(4 * 1024));
    let spent = measure(|| drop(Message::parse(octets.clone()).expect("a message")));
    assert_eq!(spent.count_total, 1, "{spent:?}");
}
