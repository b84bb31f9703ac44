//! Why a call ended, in words for the record and in a Reason header field for the other side
//! (RFC 3326, TDR-91, TDR-92, GEN-80).

use crate::normalize;
use crate::sip::{Message, Name, reasons};
use crate::trunk::Kind;

/// The Reason values of `message` that go over from one platform to the other; `None` when none does.
pub(super) fn crossing(from: Kind, to: Kind, message: &Message) -> Option<String> {
    let values: Vec<String> =
        message.values(Name::Reason).filter_map(|value| normalize::reason(from, to, message.status(), value)).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// What `message` says of why, for the record: its status and every cause and text it gives (TDR-92).
pub(super) fn explanation(message: &Message) -> String {
    let mut parts: Vec<String> =
        message.status().map(|status| format!("{status} {}", message.reason())).into_iter().collect();
    for reason in reasons(message) {
        let cause = reason.cause.map(|cause| format!(" {cause}")).unwrap_or_default();
        let text = reason.text.map(|text| format!(": {text}")).unwrap_or_default();
        parts.push(format!("{}{cause}{text}", reason.protocol));
    }
    parts.join("; ")
}

/// The Reason of a BYE or CANCEL that begins here.
pub(crate) fn own(status: u16, text: &str) -> Option<String> {
    Some(format!("SIP;cause={status};text=\"{text}\""))
}
