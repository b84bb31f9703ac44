//! The two requests that are made of another request: ACK of a non-2xx and CANCEL.

use crate::sip::{Draft, Field, Message, Method, Name};
use bytes::Bytes;

/// Hops that an ACK or a CANCEL of ours may take; both go one hop (RFC 3261 §8.1.1.6).
const MAX_FORWARDS: u32 = 70;

/// The ACK of a final response other than 2xx: the INVITE's branch, the response's To (RFC 3261 §17.1.1.3).
/// `None` when `invite` is not a readable request, which would be our own fault.
pub(super) fn acknowledge(invite: &Bytes, response: &Message) -> Option<Bytes> {
    let to = response.header(Name::To)?;
    derive(invite, &Method::Ack, to, &[])
}

/// The CANCEL of `invite` with further fields, as Reason (RFC 3261 §9.1).
pub(super) fn cancel(invite: &Bytes, fields: &[(Field, &str)]) -> Option<Bytes> {
    let invite_message = Message::parse(invite.clone()).ok()?;
    derive(invite, &Method::Cancel, invite_message.header(Name::To)?, fields)
}

fn derive(invite: &Bytes, method: &Method, to: &str, fields: &[(Field, &str)]) -> Option<Bytes> {
    let invite = Message::parse(invite.clone()).ok()?;
    let mut draft = Draft::request(method, invite.request_uri());
    draft.put(Name::Via, invite.values(Name::Via).next()?);
    draft.put_number(Name::MaxForwards, MAX_FORWARDS);
    for line in invite.lines().filter(|line| line.name == Name::Route) {
        draft.put(Name::Route, line.value);
    }
    draft.put(Name::From, invite.header(Name::From)?);
    draft.put(Name::To, to);
    draft.put(Name::CallId, invite.call_id());
    let mut number = itoa::Buffer::new();
    draft.put_parts(Name::CSeq, &[number.format(invite.cseq().number), " ", method.as_str()]);
    if *method == Method::Ack {
        // RFC 3261 §22.1: an ACK says what its INVITE said, since nobody may challenge it.
        for line in invite.lines().filter(|line| matches!(line.name, Name::Authorization | Name::ProxyAuthorization)) {
            draft.put(line.name, line.value);
        }
    }
    for (field, value) in fields {
        draft.put(field.clone(), value);
    }
    Some(draft.finish())
}
