//! Octets as a message: one that is taken can be asked everything and is written as it came; one that is not is answered.

use super::{sdp, values};
use bytes::Bytes;
use tandem::sip::{
    Draft, Edits, Essentials, Malformed, Message, Method, Name, Uri, Via, option_tags, privacy, reasons, sdp_part,
    top_via,
};

/// Parses `data` and does with it what an element does.
///
/// # Panics
///
/// When a message is not what it was written as, or an answer cannot be read.
pub fn drive(data: &[u8]) {
    match Message::parse(Bytes::copy_from_slice(data)) {
        Ok(message) => {
            read_all(&message);
            pieces(&message);
            written(&message);
            if message.is_request() {
                let answer = answered(&message, 200);
                let answer = Message::parse(answer).expect("an answer to a good request");
                assert_eq!((answer.status(), answer.cseq()), (Some(200), message.cseq()));
                assert_eq!(answer.call_id(), message.call_id());
                assert!(answer.headers(Name::Via).eq(message.headers(Name::Via)));
            }
        }
        Err(rejected) => {
            let Some(request) = rejected.request else { return };
            read_all(&request);
            let answer = Message::parse(answered(&request, rejected.fault.status()));
            // What the request lacks, or has twice, its answer cannot make good; everything else is ours.
            let inherited = |fault| match fault {
                Malformed::Missing(_) | Malformed::Repeated(_) | Malformed::CSeq | Malformed::TooLarge => true,
                Malformed::StartLine | Malformed::Version | Malformed::NoEnd | Malformed::HeaderLine => false,
                Malformed::ControlCharacter | Malformed::CSeqMethod => false,
                Malformed::ContentLength | Malformed::Truncated => false,
            };
            if let Err(again) = answer {
                assert!(inherited(again.fault), "{} of the answer to {}", again.fault, rejected.fault);
            }
        }
    }
}

/// Everything that a message can be asked.
pub fn read_all(message: &Message) {
    values::unreadable(message);
    let _ = (top_via(message).is_ok(), privacy(message).count(), reasons(message).count());
    let _ = (option_tags(message, Name::Supported).count(), Uri::parse(message.request_uri()).is_ok());
    let _ = (message.method(), message.status(), message.reason(), message.cseq(), message.extension("x-a").count());
    if let Ok(read) = Essentials::of(message) {
        assert_eq!(read.uri.is_some(), message.is_request());
        assert_eq!(Some(read.via.host()), top_via(message).ok().map(|via| via.host()));
        assert_eq!(message.keep(read.via.host()), read.via.host());
    }
    if let Some(body) = sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body()) {
        sdp::describe(body);
    }
    let _ = Edits::new().request_line(&Method::Options, "sip:a@example.com").write(message);
}

/// Start line, lines and body are the octets, one behind the other.
fn pieces(message: &Message) {
    let lines: Vec<&[u8]> = message.lines().map(|line| line.octets).collect();
    let together = [message.start_line(), &lines.concat(), b"\r\n", &message.body()].concat();
    assert_eq!(together, message.octets());
    assert!(lines.iter().all(|line| line.ends_with(b"\r\n")));
}

/// Written without edits it is what it was; if not octet for octet, then with its Content-Length last and ours.
fn written(message: &Message) {
    let kept = || message.lines().filter(|line| line.name != Name::ContentLength);
    let octets = Edits::new().write(message);
    let length = format!("Content-Length: {}\r\n\r\n", message.body().len());
    let lines: Vec<&[u8]> = kept().map(|line| line.octets).collect();
    let expected = [message.start_line(), &lines.concat(), length.as_bytes(), &message.body()].concat();
    if octets != message.octets() {
        assert_eq!(octets, expected);
    }
    let again = match Message::parse(octets.clone()) {
        Ok(again) => again,
        // It had no Content-Length, and there was no room for one.
        Err(rejected) => return assert_eq!(rejected.fault, Malformed::TooLarge),
    };
    assert_eq!((again.method(), again.status(), again.cseq()), (message.method(), message.status(), message.cseq()));
    assert_eq!((again.request_uri(), again.reason()), (message.request_uri(), message.reason()));
    let same = |line: tandem::sip::HeaderLine<'_>| (line.name, line.text.to_owned(), line.value.to_owned());
    let lines = again.lines().filter(|line| line.name != Name::ContentLength);
    assert!(lines.map(same).eq(kept().map(same)), "other lines");
    assert_eq!(again.body(), message.body());
    assert_eq!(Edits::new().write(&again), octets, "written twice");
    assert_eq!(Essentials::of(&again).is_ok(), Essentials::of(message).is_ok());
}

/// Our answer, as the core makes it.
fn answered(request: &Message, status: u16) -> Bytes {
    let via = request.header(Name::Via).and_then(|value| {
        let source = "192.0.2.7:5060".parse().expect("an address");
        Via::received_from(value, source)
    });
    let plain = Draft::response(request, status, "of ours", "us", None).finish();
    if let Some(via) = via {
        let received = Draft::response(request, status, "of ours", "us", Some(&via)).finish();
        let faults = [&plain, &received].map(|octets| Message::parse(octets.clone()).err().map(|found| found.fault));
        assert_eq!(faults[0].is_none(), faults[1].is_none(), "received spoils it: {faults:?}");
    }
    plain
}
