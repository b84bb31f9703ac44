//! Where in octets that are no message the fault stands, for people who look for it.
//!
//! The parser names the first rule broken and keeps no place: a message on the wire has none that anyone reads. Here
//! the parser itself is asked again about ever more of the octets, so that both agree.

use super::{MAX_MESSAGE, Malformed, Message, Name};
use bytes::Bytes;

/// The octet at which the line begins that makes `octets` break the rule `fault`, as [`Message::parse`] said; for what
/// is missing, the place where it was missed last.
pub fn place(octets: &[u8], fault: Malformed) -> usize {
    // What is beyond is too much, whatever else it is.
    let octets = octets.get(..MAX_MESSAGE).unwrap_or(octets);
    let head = memchr::memmem::find(octets, b"\r\n\r\n").map_or(octets.len(), |end| end + 2);
    let lines = lines(octets.get(..head).unwrap_or(octets));
    let named = |name: Name, nth: usize| {
        let mut found = lines.iter().filter(|&&(start, end)| name_of(&octets[start..end]) == name);
        found.nth(nth).map(|line| line.0)
    };
    match fault {
        Malformed::StartLine | Malformed::Version => 0,
        Malformed::HeaderLine | Malformed::ControlCharacter => first_with(octets, &lines, fault),
        Malformed::Repeated(name) => named(name, 1).unwrap_or(0),
        Malformed::CSeq | Malformed::CSeqMethod => named(Name::CSeq, 0).unwrap_or(0),
        Malformed::ContentLength => named(Name::ContentLength, 0).unwrap_or(0),
        Malformed::TooLarge | Malformed::Truncated => octets.len(),
        Malformed::Missing(_) | Malformed::NoEnd => head,
    }
}

/// The first line after which the parser says `fault`.
fn first_with(octets: &[u8], lines: &[(usize, usize)], fault: Malformed) -> usize {
    let broken = |&&(_, end): &&(usize, usize)| {
        let beginning = [octets[..end].trim_ascii_end(), b"\r\n\r\n"].concat();
        Message::parse(Bytes::from(beginning)).is_err_and(|rejected| rejected.fault == fault)
    };
    // Sorted by whether it is broken: once a line has the fault, so has all that is longer.
    let at = lines.partition_point(|line| !broken(&line));
    lines.get(at).map_or(0, |line| line.0)
}

/// Begin and end of each line.
fn lines(octets: &[u8]) -> Vec<(usize, usize)> {
    let mut start = 0;
    let mut found = Vec::new();
    for end in memchr::memmem::find_iter(octets, b"\r\n").chain([octets.len()]) {
        let end = octets.len().min(end + 2);
        if end > start {
            found.push((start, end));
        }
        start = end;
    }
    found
}

fn name_of(line: &[u8]) -> Name {
    let name = line.split(|octet| *octet == b':').next().unwrap_or(line).trim_ascii();
    std::str::from_utf8(name).map_or(Name::Other, Name::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line that the fault of a message with these lines is found at.
    fn line(lines: &[&str]) -> String {
        let text = lines.join("\r\n") + "\r\n\r\n";
        let fault = Message::parse(Bytes::from(text.clone())).expect_err("a fault").fault;
        text[place(text.as_bytes(), fault)..].lines().next().unwrap_or("").to_owned()
    }

    const START: &str = "OPTIONS sip:b.example.com SIP/2.0";
    const VIA: &str = "Via: SIP/2.0/TLS a.example.com;branch=z9hG4bK1";
    const FROM: &str = "From: <sip:a.example.com>;tag=1";
    const TO: &str = "To: <sip:b.example.com>";
    const CALL_ID: &str = "i: 1@a.example.com";
    const CSEQ: &str = "CSeq: 1 OPTIONS";

    #[test]
    fn the_line_with_the_fault_is_found() {
        for (lines, found) in [
            (&["OPTIONS sip:b.example.com", VIA][..], "OPTIONS sip:b.example.com"),
            (&["OPTIONS sip:b.example.com SIP/3.0", VIA], "OPTIONS sip:b.example.com SIP/3.0"),
            (&[START, VIA, FROM, TO, "no colon here", CALL_ID, CSEQ], "no colon here"),
            (&[START, VIA, FROM, TO, CALL_ID, CSEQ, "Subject: a\nb", "Allow: INVITE"], "Subject: a"),
            (&[START, VIA, FROM, TO, CALL_ID, CSEQ, "f: <sip:c.example.com>"], "f: <sip:c.example.com>"),
            (&[START, VIA, FROM, TO, CALL_ID, "CSeq: one OPTIONS"], "CSeq: one OPTIONS"),
            (&[START, VIA, FROM, TO, CALL_ID, "CSeq: 1 INVITE"], "CSeq: 1 INVITE"),
            (&[START, VIA, FROM, TO, CALL_ID, CSEQ, "l: many"], "l: many"),
            (&[START, VIA, FROM, TO, CSEQ], ""),
            (&[START, VIA, FROM, TO, CALL_ID, CSEQ, "Content-Length: 9"], ""),
        ] {
            assert_eq!(line(lines), found, "{lines:?}");
        }
    }

    #[test]
    fn no_octets_and_no_fault_make_it_panic() {
        assert_eq!(place(&vec![b'\n'; 3 * MAX_MESSAGE], Malformed::TooLarge), MAX_MESSAGE);
        for octets in [&b""[..], b"\n", b"\r\n\r\n", b"\xff\xfe\x00", b"a\r\n:\r\n", b"SIP/2.0 200 OK\r\n: x\r\n\r\n"] {
            for fault in [
                Malformed::StartLine,
                Malformed::NoEnd,
                Malformed::HeaderLine,
                Malformed::ControlCharacter,
                Malformed::Repeated(Name::To),
                Malformed::CSeq,
                Malformed::Truncated,
            ] {
                assert!(place(octets, fault) <= octets.len());
            }
        }
    }
}
