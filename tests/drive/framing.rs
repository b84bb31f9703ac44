//! A stream, framed in pieces of any length: the pieces do not matter, nothing is lost, and what a frame is the parser
//! says, too.

use bytes::{Bytes, BytesMut};
use tandem::sip::{Frame, Framer, FramingError, MAX_HEAD, MAX_MESSAGE, Message};

/// What became of a stream.
#[derive(Debug, Eq, PartialEq)]
struct Framed {
    frames: Vec<Frame>,
    fault: Option<FramingError>,
    rest: Bytes,
}

/// Frames `data` at once, by single octets, and in pieces whose lengths its own octets choose.
///
/// # Panics
///
/// When pieces matter, octets are lost, or parser and framer disagree about where a message ends.
pub fn drive(data: &[u8]) {
    let whole = framed(data, |_| data.len());
    accounted(data, &whole);
    assert_eq!(framed(data, |_| 1), whole, "by single octets");
    assert_eq!(framed(data, |at| usize::from(data[at] % 48) + 1), whole, "in pieces");
}

fn framed(data: &[u8], piece: impl Fn(usize) -> usize) -> Framed {
    let (mut framer, mut buffer, mut frames, mut at) = (Framer::default(), BytesMut::new(), Vec::new(), 0);
    while at < data.len() {
        let end = data.len().min(at + piece(at));
        buffer.extend_from_slice(&data[at..end]);
        at = end;
        loop {
            match framer.next(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                // Nothing behind it counts.
                Err(fault) => return Framed { frames, fault: Some(fault), rest: Bytes::new() },
            }
        }
    }
    Framed { frames, fault: None, rest: buffer.freeze() }
}

/// The frames one behind the other are the stream, but for keep-alives.
fn accounted(data: &[u8], framed: &Framed) {
    let mut left = data;
    for frame in &framed.frames {
        match frame {
            Frame::Ping => left = left.strip_prefix(b"\r\n\r\n").expect("a double CRLF"),
            Frame::Message(message) => {
                left = behind(left, message).expect("the message, perhaps behind a CRLF");
                judge(message);
            }
        }
    }
    if framed.fault.is_none() {
        assert_eq!(behind(left, &framed.rest), Some(&[][..]), "what is left");
    }
}

/// What follows `expected` in `octets`, where one CRLF may stand in front of it.
fn behind<'o>(octets: &'o [u8], expected: &[u8]) -> Option<&'o [u8]> {
    octets.strip_prefix(expected).or_else(|| octets.strip_prefix(b"\r\n")?.strip_prefix(expected))
}

fn judge(message: &Bytes) {
    let head = memchr::memmem::find(message, b"\r\n\r\n").expect("a head") + 4;
    assert!(head <= MAX_HEAD && message.len() <= MAX_MESSAGE);
    if let Ok(parsed) = Message::parse(message.clone()) {
        assert_eq!(parsed.octets(), *message, "the parser sees another end");
        assert_eq!(parsed.body().len(), message.len() - head, "the parser sees another body");
    }
}
