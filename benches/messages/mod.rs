//! Messages to read: what the platforms send, and longer ones.

use std::fmt::Write;

const SDP: &str = "v=0\r\no=gc 1000 1 IN IP4 198.51.100.131\r\ns=-\r\nc=IN IP4 198.51.100.131\r\nt=0 0\r\n\
    m=audio 52344 RTP/SAVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\na=sendrecv\r\n";

const DIALOG: &str = "Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK-2d4a9f1c77e0;alias\r\n\
    Max-Forwards: 69\r\n\
    From: \"Erika Example\" <sip:+14255550123@sbc1.example.com:5061;user=phone>;tag=9fd81c44\r\n\
    To: <sip:+14255550199@sip.pstnhub.microsoft.com:5061;user=phone>";

fn message(start: &str, to_tag: &str, cseq: &str, more: &str, body: &str) -> Vec<u8> {
    let mut text = format!(
        "{start}\r\n{DIALOG}{to_tag}\r\nCall-ID: 7d3c1e90-4f55-4e0c-9b1e-2f8f6a1b7c11\r\nCSeq: {cseq}\r\n{more}"
    );
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).expect("a string");
    text.into_bytes()
}

const CONTACT: &str = "Contact: <sip:sbc1.example.com:5061;transport=tls>\r\n";
const ALLOW: &str = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, NOTIFY, REFER\r\n";
const REQUEST_URI: &str = "sip:+14255550199@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls";
const TAG: &str = ";tag=c0ffee21";

/// An INVITE of 1256 octets, the length by which parsers are compared.
pub fn invite() -> Vec<u8> {
    let more = format!(
        "{CONTACT}{ALLOW}Supported: timer, replaces\r\nSession-Expires: 1800;refresher=uac\r\nMin-SE: 300\r\n\
         P-Asserted-Identity: <sip:+14255550123@sbc1.example.com>\r\nUser-Agent: Tandem/0.1\r\n"
    );
    invite_of(&more, 1256)
}

/// An INVITE with `more` and as much of a field behind it as makes it `length` octets long.
fn invite_of(more: &str, length: usize) -> Vec<u8> {
    let start = format!("INVITE {REQUEST_URI} SIP/2.0");
    let bare = message(&start, "", "1 INVITE", more, SDP).len();
    let filler = match length.checked_sub(bare + "Subject: \r\n".len()) {
        Some(room) => format!("{more}Subject: {}\r\n", "x".repeat(room)),
        None => more.to_owned(),
    };
    message(&start, "", "1 INVITE", &filler, SDP)
}

/// An INVITE of `length` octets, of which all that [`invite`] does not have are lines of 80 octets.
pub fn invite_of_lines(length: usize) -> Vec<u8> {
    let mut more = format!("{CONTACT}{ALLOW}Supported: timer, replaces\r\n");
    let line = |at: usize| format!("X-Extension-{at:03}: {}\r\n", "v".repeat(61));
    for at in 0.. {
        let longer = [more.as_str(), &line(at)].concat();
        if message(&format!("INVITE {REQUEST_URI} SIP/2.0"), "", "1 INVITE", &longer, SDP).len() > length {
            break;
        }
        more = longer;
    }
    invite_of(&more, length)
}

/// The 200 to an INVITE, with its answer.
pub fn ok() -> Vec<u8> {
    message("SIP/2.0 200 OK", TAG, "1 INVITE", &[CONTACT, ALLOW, "Server: Example/1.0\r\n"].concat(), SDP)
}

/// The ACK for it.
pub fn ack() -> Vec<u8> {
    message(&format!("ACK {REQUEST_URI} SIP/2.0"), TAG, "1 ACK", "", "")
}

/// A BYE.
pub fn bye() -> Vec<u8> {
    let reason = "Reason: Q.850;cause=16;text=\"Terminated\"\r\n";
    message(&format!("BYE {REQUEST_URI} SIP/2.0"), TAG, "2 BYE", reason, "")
}

/// OPTIONS, as each side sends them every minute.
pub fn options() -> Vec<u8> {
    message(&format!("OPTIONS {REQUEST_URI} SIP/2.0"), "", "7 OPTIONS", &[CONTACT, ALLOW].concat(), "")
}
