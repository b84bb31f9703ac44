//! PROTOS c07-sip, the INVITEs that broke the SIP stacks of 2002: nothing breaks here, and docs/parser.md counts what becomes
//! of them. `benches/protos.rs` says how long they take.

#[path = "samples/docs.rs"]
mod docs;
#[path = "samples/protos.rs"]
mod protos;
#[path = "samples/read.rs"]
mod read;

use bytes::{Bytes, BytesMut};
use read::{ask, describe, read_all};
use std::collections::BTreeMap;
use tandem::sip::{Essentials, Frame, Framer, Message, Uri};

fn datagram(octets: Bytes) -> String {
    let message = match Message::parse(octets) {
        Ok(message) => message,
        Err(rejected) => {
            rejected.request.iter().for_each(|request| read_all(request));
            return format!("refused: {}", rejected.fault);
        }
    };
    read_all(&message);
    describe(message.body());
    match Essentials::of(&message) {
        Ok(_) => "accepted".to_owned(),
        Err(unreadable) => format!("refused: {unreadable}"),
    }
}

fn stream(octets: &[u8]) -> String {
    match Framer::default().next(&mut BytesMut::from(octets)) {
        Ok(Some(Frame::Message(message))) => datagram(message),
        Ok(_) => "waited for".to_owned(),
        Err(error) => format!("connection closed: {error}"),
    }
}

#[test]
fn no_invite_of_protos_breaks_anything() {
    let Some(invites) = protos::invites() else { return };
    let mut outcomes: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (_, octets) in &invites {
        outcomes.entry(datagram(Bytes::copy_from_slice(octets))).or_default().0 += 1;
        outcomes.entry(stream(octets)).or_default().1 += 1;
        // One value is as hostile as another: the longest line is read as each of those that stand alone.
        let longest = octets.split(|&octet| octet == b'\n').max_by_key(|line| line.len()).unwrap_or(&[]);
        let text = String::from_utf8_lossy(longest);
        let value = text.split_once(':').map_or(&text[..], |(_, value)| value);
        let _ =
            (Uri::parse(value).map(|parsed| ask(&parsed)), tandem::sip::tag(value), tandem::sip::unquote(value).len());
    }
    assert!(datagram(Bytes::copy_from_slice(&invites[0].1)) == "accepted", "the one that is valid");
    let rows: String =
        outcomes.iter().map(|(outcome, (alone, framed))| format!("| {outcome} | {alone} | {framed} |\n")).collect();
    docs::has("protos", &format!("| what becomes of it | as a datagram | on a stream |\n|---|---|---|\n{rows}"));
}
