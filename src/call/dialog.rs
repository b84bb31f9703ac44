//! One dialog of ours (RFC 3261 §12): identifiers, route set, remote target, sequence numbers.
//!
//! A dialog is plain text and numbers, so that it can be saved and taken up elsewhere. What the peer
//! gave (Contact URI with its unknown parameters, Record-Routes, tags) is kept and sent back octet for
//! octet (GEN-38, GEN-40, TDR-83).

use crate::sip::{Draft, Message, Method, Name, NameAddr, Uri};
use bytestring::ByteString;
use serde::{Deserialize, Serialize};

/// A dialog, early or confirmed; which of the two is the leg's business.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: ByteString,
    /// Our tag; unique by itself, since we mint it.
    pub local_tag: ByteString,
    /// The peer's tag; empty until it is known, or from a peer of RFC 2543.
    pub remote_tag: ByteString,
    /// Our From or To value, with our tag.
    pub local: ByteString,
    /// The peer's To or From value as it wrote it, with its tag once known.
    pub remote: ByteString,
    /// Route values in the order of sending, as the peer's side wrote them.
    pub route_set: Vec<ByteString>,
    /// The URI of the peer's Contact, or of the first request before there is one.
    pub remote_target: ByteString,
    /// The last sequence number we used.
    pub local_cseq: u32,
    /// The last sequence number the peer used; `None` before its first request.
    pub remote_cseq: Option<u32>,
}

/// What an in-dialog request says about its place in the dialog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sequence {
    /// Newer than all before.
    New,
    /// Older than one already seen: 500 (RFC 3261 §12.2.2).
    Old,
}

impl Dialog {
    /// The dialog that a received request begins; `local_tag` is ours (§12.1.1).
    pub fn from_request(request: &Message, local_tag: ByteString) -> Self {
        let to = request.header(Name::To).unwrap_or("");
        let from = request.header(Name::From).unwrap_or("");
        Self {
            call_id: owned(request.call_id()),
            local: ByteString::from([to, ";tag=", &local_tag].concat()),
            local_tag,
            remote_tag: owned(crate::sip::tag(from).unwrap_or("")),
            remote: owned(from),
            route_set: recorded(request).collect(),
            remote_target: contact_uri(request).map(owned).unwrap_or_default(),
            local_cseq: 0,
            remote_cseq: Some(request.cseq().number),
        }
    }

    /// The dialog that a request of ours is about to begin. `from` and `to` are values without tags.
    pub fn to_request(uri: &str, from: &str, to: &str, call_id: String, tag: ByteString, cseq: u32) -> Self {
        Self {
            call_id: ByteString::from(call_id),
            local: ByteString::from([from, ";tag=", &tag].concat()),
            local_tag: tag,
            remote_tag: ByteString::new(),
            remote: ByteString::from(to),
            route_set: Vec::new(),
            remote_target: ByteString::from(uri),
            local_cseq: cseq,
            remote_cseq: None,
        }
    }

    /// Takes the names of both parties from the INVITE that begins the dialog, should they have been changed on its
    /// way out.
    pub fn sent(&mut self, invite: &Message) {
        let changed = |now: &str, old: &mut ByteString| {
            if now != &**old {
                *old = owned(now);
            }
        };
        changed(invite.request_uri(), &mut self.remote_target);
        changed(invite.header(Name::From).unwrap_or(""), &mut self.local);
        changed(invite.header(Name::To).unwrap_or(""), &mut self.remote);
    }

    /// A request with the last sequence number never left: the number is still free.
    pub fn give_back(&mut self, cseq: u32) {
        if self.local_cseq == cseq {
            self.local_cseq = cseq.saturating_sub(1);
        }
    }

    /// Takes the peer's part from a response that makes or confirms the dialog (§12.1.2, §13.2.2.4).
    pub fn learn(&mut self, response: &Message) {
        let to = response.header(Name::To).unwrap_or("");
        self.remote = owned(to);
        self.remote_tag = owned(crate::sip::tag(to).unwrap_or(""));
        self.route_set = recorded(response).collect();
        self.route_set.reverse();
        self.retarget(response);
    }

    /// Takes the Contact of a target refresh (§12.2). Returns whether the target changed (GEN-41).
    pub fn retarget(&mut self, message: &Message) -> bool {
        match contact_uri(message) {
            Some(uri) if uri != &*self.remote_target => {
                self.remote_target = owned(uri);
                true
            }
            _ => false,
        }
    }

    /// Where the next request would go if the Contact of `message` were the remote target (§12.2.1.1); the URI itself
    /// is not judged.
    pub fn next_hop_after<'a>(&'a self, message: &'a Message) -> &'a str {
        if self.route_set.is_empty() { contact_uri(message).unwrap_or(&self.remote_target) } else { self.next_hop() }
    }

    /// Whether the request carries this dialog's identifiers (§12.2.2; TDR-22: never the connection).
    pub fn matches(&self, request: &Message) -> bool {
        let remote = crate::sip::tag(request.header(Name::From).unwrap_or("")).unwrap_or("");
        request.call_id() == &*self.call_id && remote == &*self.remote_tag
    }

    /// Notes the sequence number of a request other than ACK and CANCEL (§12.2.2).
    pub fn sequence(&mut self, number: u32) -> Sequence {
        sequence(&mut self.remote_cseq, number)
    }

    /// The next sequence number of ours; 2³¹ is never reached (§8.1.1.5).
    pub fn next_cseq(&mut self) -> u32 {
        self.local_cseq = (self.local_cseq + 1) % (1 << 31);
        self.local_cseq
    }

    /// Where the next request goes: the first Route, else the remote target (§12.2.1.1).
    pub fn next_hop(&self) -> &str {
        self.route_set.first().and_then(|route| NameAddr::parse(route).ok()).map_or(&self.remote_target, |route| {
            // The value outlives the parse: only its text is used.
            route.uri_text()
        })
    }

    /// A request within the dialog, up to CSeq: start line, Via, Routes, Max-Forwards and the
    /// identifiers (§12.2.1.1). ACK and CANCEL take the number of their INVITE.
    pub fn request(&self, method: &Method, cseq: u32, via: &str, max_forwards: u32) -> Draft {
        let loose = self.route_set.first().is_none_or(|first| is_loose(first));
        let uri = match self.route_set.first().filter(|_| !loose) {
            Some(first) => NameAddr::parse(first).map_or(self.remote_target.as_ref(), |route| route.uri_text()),
            None => &self.remote_target,
        };
        let mut draft = Draft::request(method, uri);
        draft.put(Name::Via, via);
        let skip = usize::from(!loose);
        for route in self.route_set.iter().skip(skip) {
            draft.put(Name::Route, route);
        }
        if !loose {
            draft.put_parts(Name::Route, &["<", &self.remote_target, ">"]);
        }
        draft.put_number(Name::MaxForwards, max_forwards);
        draft.put(Name::From, &self.local).put(Name::To, &self.remote).put(Name::CallId, &self.call_id);
        draft.put_parts(Name::CSeq, &[itoa::Buffer::new().format(cseq), " ", method.as_str()]);
        draft
    }
}

/// Notes a sequence number of the peer's after `last` (§12.2.2).
pub fn sequence(last: &mut Option<u32>, number: u32) -> Sequence {
    match *last {
        Some(last) if number <= last => Sequence::Old,
        _ => {
            *last = Some(number);
            Sequence::New
        }
    }
}

/// Whether the router behind a Route value is a loose one (§12.2.1.1).
fn is_loose(route: &str) -> bool {
    NameAddr::parse(route)
        .ok()
        .and_then(|route| Uri::parse(route.uri_text()).ok())
        .is_none_or(|uri| uri.params().has("lr"))
}

/// The URI of the first Contact value (TDR-43); `None` also where no request can be sent to it, such as `*`.
fn contact_uri(message: &Message) -> Option<&str> {
    let contact = message.values(Name::Contact).next().and_then(|value| NameAddr::parse(value).ok())?;
    contact.uri().ok().map(|uri| uri.as_str())
}

/// Record-Route as our Routes will have it, in its order (§12.1.1); what no element can read leads nowhere.
fn recorded(message: &Message) -> impl Iterator<Item = ByteString> {
    let readable = |value: &&str| NameAddr::parse(value).is_ok_and(|route| route.uri().is_ok());
    message.values(Name::RecordRoute).filter(readable).map(owned)
}

fn owned(text: &str) -> ByteString {
    ByteString::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn message(text: &str) -> Message {
        Message::parse(Bytes::from(text.replace('\n', "\r\n"))).expect("parses")
    }

    const INVITE: &str = "INVITE sip:+14255550123@sbc1.example.com SIP/2.0
Via: SIP/2.0/TLS 198.51.100.21;branch=z9hG4bK1
Record-Route: <sip:198.51.100.21:5061;transport=tls;lr;gcv=2>,<sip:10.0.0.1;lr>
From: \"Erika\" <sip:+14255550144@198.51.100.21>;tag=gc-1
To: <sip:+14255550123@sbc1.example.com>
Call-ID: one@198.51.100.34
CSeq: 7 INVITE
Contact: <sip:+14255550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob>

";

    #[test]
    fn unknown_contact_parameters_and_routes_come_back_in_requests() {
        let dialog = Dialog::from_request(&message(INVITE), "ours".into());
        let bye = dialog.request(&Method::Bye, 1, "SIP/2.0/TLS sbc1.example.com;branch=z9hG4bK2", 70).finish();
        let bye = message(std::str::from_utf8(&bye).expect("text").replace("\r\n", "\n").as_str());
        assert_eq!(bye.request_uri(), "sip:+14255550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob", "GEN-40");
        let routes: Vec<_> = bye.headers(Name::Route).collect();
        assert_eq!(routes, ["<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>", "<sip:10.0.0.1;lr>"], "GEN-38");
        assert_eq!(bye.header(Name::To), Some("\"Erika\" <sip:+14255550144@198.51.100.21>;tag=gc-1"));
        assert_eq!(bye.header(Name::From), Some("<sip:+14255550123@sbc1.example.com>;tag=ours"));
        assert_eq!(dialog.next_hop(), "sip:198.51.100.21:5061;transport=tls;lr;gcv=2");
    }

    #[test]
    fn a_strict_router_gets_its_uri_in_the_request_line() {
        let text = INVITE.replace(";lr;gcv=2>,<sip:10.0.0.1;lr>", ">");
        let dialog = Dialog::from_request(&message(&text), "ours".into());
        let bye = Message::parse(dialog.request(&Method::Bye, 1, "SIP/2.0/TLS a;branch=z9hG4bK2", 70).finish())
            .expect("parses");
        assert_eq!(bye.request_uri(), "sip:198.51.100.21:5061;transport=tls");
        assert_eq!(
            bye.header(Name::Route),
            Some("<sip:+14255550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob>")
        );
    }

    /// Found by the fuzz target `core`.
    #[test]
    fn what_no_request_can_be_sent_to_is_neither_target_nor_route() {
        let mut dialog = Dialog::from_request(&message(INVITE), "ours".into());
        let target = dialog.remote_target.clone();
        for contact in ["*", "<sip:a b@example.com>", "example.com"] {
            let line = INVITE.lines().find(|line| line.starts_with("Contact")).expect("a Contact");
            assert!(!dialog.retarget(&message(&INVITE.replace(line, &format!("Contact: {contact}")))), "{contact}");
        }
        assert_eq!(dialog.remote_target, target);
        let dialog =
            Dialog::from_request(&message(&INVITE.replace("<sip:10.0.0.1;lr>", "<sip:a b;lr>")), "ours".into());
        assert_eq!(dialog.route_set, ["<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>"]);
    }

    #[test]
    fn an_older_sequence_number_is_recognised() {
        let mut dialog = Dialog::from_request(&message(INVITE), "ours".into());
        assert_eq!(dialog.sequence(8), Sequence::New);
        assert_eq!(dialog.sequence(8), Sequence::Old);
        assert_eq!(dialog.sequence(7), Sequence::Old);
        assert_eq!(dialog.sequence(90), Sequence::New);
    }
}
