//! What a message says, once by the twin's own octet reading and once by `rsip`.
//!
//! The checks judge a [`Facts`]; where `rsip` can read the message, its facts must be the same. rsip
//! is known to be wrong or silent in places (users with dots, user parameters, URI headers, compact
//! names): there it gives no second opinion rather than a false one.

use super::octets::{Plain, PlainUri, address};
use rsip::headers::ToTypedHeader;
use rsip::message::HeadersExt;
use rsip::{Header, SipMessage};

/// The facts that checks depend on, as text; what is not there is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// Method of the start line, empty in a response.
    pub method: String,
    /// Status of the start line, 0 in a request.
    pub status: u16,
    /// Host of the Request-URI, lower case.
    pub request_host: String,
    /// User of the Request-URI.
    pub request_user: String,
    /// User of From.
    pub from_user: String,
    /// Host of From, lower case.
    pub from_host: String,
    /// Tag of From.
    pub from_tag: String,
    /// User of To.
    pub to_user: String,
    /// Tag of To.
    pub to_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// CSeq as number and method.
    pub cseq: (u32, String),
    /// Hosts of all Contact values, lower case.
    pub contacts: Vec<String>,
    /// Branch of the top Via.
    pub branch: String,
    /// Host of the top Via, lower case.
    pub sent_by: String,
}

impl Facts {
    /// The twin's own reading.
    pub fn of(plain: &Plain) -> Self {
        let from = address(plain.first("From"));
        let (from_uri, to_uri) = (PlainUri::read(from.uri), PlainUri::read(address(plain.first("To")).uri));
        let request = PlainUri::read(plain.request_uri());
        let vias = plain.list("Via");
        let sent_by = vias.first().and_then(|via| via.split([' ', ';']).nth(1)).unwrap_or("");
        let cseq_method = plain.first("CSeq").split(' ').nth(1).unwrap_or("");
        Self {
            method: if plain.is_response() { String::new() } else { plain.method().into() },
            status: plain.status(),
            request_host: request.host.to_ascii_lowercase(),
            request_user: request.user.into(),
            from_user: from_uri.user.into(),
            from_host: from_uri.host.to_ascii_lowercase(),
            from_tag: plain.tag("From").into(),
            to_user: to_uri.user.into(),
            to_tag: plain.tag("To").into(),
            call_id: plain.first("Call-ID").into(),
            cseq: (plain.cseq(), cseq_method.into()),
            contacts: plain.list("Contact").into_iter().map(|one| contact_host(one).to_ascii_lowercase()).collect(),
            branch: plain.branch().into(),
            sent_by: PlainUri::read(&format!("sip:{sent_by}")).host.to_ascii_lowercase(),
        }
    }

    /// rsip's reading; `None` where it cannot read the message or is known to read it wrongly.
    pub fn by_rsip(octets: &[u8]) -> Option<Self> {
        let message = SipMessage::try_from(octets).ok()?;
        let from = message.from_header().ok()?.typed().ok()?;
        let to = message.to_header().ok()?.typed().ok()?;
        let via = message.via_header().ok()?.typed().ok()?;
        let cseq = message.cseq_header().ok()?.typed().ok()?;
        let mut facts = Self {
            from_user: from.uri.user().unwrap_or("").into(),
            from_host: host_of(&from.uri),
            from_tag: from.tag().map(|tag| tag.value().to_owned()).unwrap_or_default(),
            to_user: to.uri.user().unwrap_or("").into(),
            to_tag: to.tag().map(|tag| tag.value().to_owned()).unwrap_or_default(),
            call_id: message.call_id_header().ok()?.to_string().split_once(':')?.1.trim().to_owned(),
            cseq: (cseq.seq, cseq.method.to_string()),
            branch: via.branch().map(|branch| branch.value().to_owned()).unwrap_or_default(),
            sent_by: via.uri.host().to_string().to_ascii_lowercase(),
            ..Self::default()
        };
        match &message {
            SipMessage::Request(request) => {
                facts.method = request.method.to_string();
                facts.request_host = host_of(&request.uri);
                facts.request_user = request.uri.user().unwrap_or("").into();
            }
            SipMessage::Response(response) => facts.status = response.status_code.code(),
        }
        for header in rsip::message::HasHeaders::headers(&message).iter() {
            if let Header::Contact(contact) = header {
                facts.contacts.push(host_of(&contact.typed().ok()?.uri));
            }
        }
        Some(facts)
    }

    /// Where both readings differ, in words; empty when they agree or rsip has no say.
    pub fn disagreement(&self, octets: &[u8]) -> Option<String> {
        // A user with a dot is read as a host, one with parameters not at all (libraries.md §1).
        let users = [&self.request_user, &self.from_user, &self.to_user];
        if users.iter().any(|user| user.contains(['.', ';', '%'])) {
            return None;
        }
        let other = Self::by_rsip(octets)?;
        if *self == other {
            return None;
        }
        Some(format!("octets say {self:?}, rsip says {other:?}"))
    }
}

fn contact_host(value: &str) -> &str {
    PlainUri::read(address(value).uri).host
}

fn host_of(uri: &rsip::Uri) -> String {
    uri.host().to_string().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0\r\n\
        Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK77ab90;alias\r\nMax-Forwards: 69\r\n\
        From: \"Dana Example\" <sip:+12065550144@sbc1.example.com>;tag=a1f09c\r\n\
        To: <sip:+14255550123@sbc1.example.com>\r\nCall-ID: 7f0b2c1e55@sbc1.example.com\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:+12065550144@sbc1.example.com:5061;transport=tls>\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn both_readings_of_a_golden_invite_agree() {
        let own = Facts::of(&Plain::read(INVITE.as_bytes()).expect("reads"));
        assert_eq!(Some(&own), Facts::by_rsip(INVITE.as_bytes()).as_ref());
        assert_eq!(own.disagreement(INVITE.as_bytes()), None);
        assert_eq!(
            (own.sent_by.as_str(), own.contacts.as_slice()),
            ("sbc1.example.com", &["sbc1.example.com".to_owned()][..])
        );
    }

    #[test]
    fn a_difference_between_the_readings_is_named() {
        let mut own = Facts::of(&Plain::read(INVITE.as_bytes()).expect("reads"));
        own.to_tag = "wrong".into();
        assert!(own.disagreement(INVITE.as_bytes()).is_some_and(|text| text.contains("wrong")));
    }
}
