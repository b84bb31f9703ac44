//! What the platforms write, by plain formatting and in their own hand: the hub with upper-case names
//! and lists without blanks (TDR-64), Genesys in the usual one.

use super::octets::Plain;
use bytes::Bytes;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

/// A message being written.
#[derive(Clone, Debug)]
pub struct Text {
    upper: bool,
    out: String,
}

impl Text {
    /// Begins a request.
    pub fn request(upper: bool, method: &str, uri: &str) -> Self {
        Self { upper, out: format!("{method} {uri} SIP/2.0\r\n") }
    }

    /// Begins a response with all that it owes to its request (RFC 3261 §8.2.6.2). `tag` goes on To when
    /// that has none; empty for a 100.
    pub fn response(upper: bool, request: &Plain, status: u16, reason: &str, tag: &str) -> Self {
        let mut text = Self { upper, out: format!("SIP/2.0 {status} {reason}\r\n") };
        for name in ["From", "To", "CSeq", "Call-ID", "Via"] {
            for value in request.all(name) {
                match name {
                    "To" if !tag.is_empty() && request.tag("To").is_empty() => {
                        text.line(name, &format!("{value};tag={tag}"))
                    }
                    _ => text.line(name, value),
                };
            }
        }
        text
    }

    /// A name for the conversation of the call that this message is of: the same for its Call-ID.
    pub fn conversation(&self) -> String {
        let call_id = self.out.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("Call-ID").then_some(value)
        });
        let mut hasher = DefaultHasher::new();
        call_id.hash(&mut hasher);
        Uuid::from_u64_pair(hasher.finish(), 0x8f7a_0d6f_1c2b_9a11).to_string()
    }

    /// One header field line.
    pub fn line(&mut self, name: &str, value: &str) -> &mut Self {
        let name = if self.upper { name.to_ascii_uppercase() } else { name.to_owned() };
        // Writing to a String does not fail.
        let _ = write!(self.out, "{name}: {value}\r\n");
        self
    }

    /// Several lines.
    pub fn lines<N: AsRef<str>, V: AsRef<str>>(&mut self, lines: impl IntoIterator<Item = (N, V)>) -> &mut Self {
        for (name, value) in lines {
            self.line(name.as_ref(), value.as_ref());
        }
        self
    }

    /// The octets with a description, or without a body.
    pub fn finish(mut self, sdp: Option<&str>) -> Bytes {
        if sdp.is_some() {
            self.line("Content-Type", "application/sdp");
        }
        let body = sdp.unwrap_or("");
        self.line("Content-Length", &body.len().to_string());
        Bytes::from(format!("{}\r\n{body}", self.out))
    }
}

/// The reason phrase that goes with a status (RFC 3261 §21).
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        183 => "Session Progress",
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        603 => "Decline",
        _ => "Unassigned",
    }
}
