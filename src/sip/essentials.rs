//! What an element has to read of every message before it can act on it (RFC 3261 §8.1.1, §16.3).

use super::address::NameAddr;
use super::message::Message;
use super::text::{ValueError, decimal, find_unquoted};
use super::uri::Uri;
use super::via::Via;
use super::{Name, split_list};

/// The fields that every message is handled by, read. Call-ID, CSeq and Content-Length are the message's own, since
/// nothing is one without them.
#[derive(Clone, Copy, Debug)]
pub struct Essentials<'m> {
    /// Where a request is to go; `None` for a response.
    pub uri: Option<Uri<'m>>,
    /// The first Via: who sent the request (§18.2.2).
    pub via: Via<'m>,
    /// From.
    pub from: NameAddr<'m>,
    /// To.
    pub to: NameAddr<'m>,
    /// The first Contact, where there is one: the remote target (§12.1.1). `*` has no URI (§10.2.2).
    pub contact: Option<NameAddr<'m>>,
    /// The first Route, where there is one (§16.4).
    pub route: Option<NameAddr<'m>>,
    /// Max-Forwards, where there is one (§16.3 step 3).
    pub max_forwards: Option<u32>,
}

/// A field that a message cannot be handled without, and why it cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {fault}", match .field { Some(name) => name.as_str(), None => "Request-URI" })]
pub struct Unreadable {
    /// The field; `None` for the Request-URI.
    pub field: Option<Name>,
    /// The rule broken.
    pub fault: ValueError,
}

impl Unreadable {
    /// The status of the response to such a request (§21.4.1).
    pub fn status(self) -> u16 {
        self.fault.status()
    }
}

impl<'m> Essentials<'m> {
    /// Reads them, the URIs within included.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] for the first field that is malformed. Of a list only the first value counts, except for Via: what
    /// stands behind the first value in its line says where that ends.
    pub fn of(message: &'m Message) -> Result<Self, Unreadable> {
        let unreadable = |field| move |fault| Unreadable { field, fault };
        let address = |name: Name, value: &'m str| {
            let read = NameAddr::parse(value).and_then(|address| match address.uri_text() {
                "*" if name == Name::Contact => Ok(address),
                _ => address.uri().map(|_| address),
            });
            read.map_err(unreadable(Some(name)))
        };
        // Neither From nor To is a list (§7.3.1): a comma outside quotes would bring a second address along in a tag.
        let party = |name, value: &'m str| {
            let read = address(name, value)?;
            let params = read.params().as_str();
            let single = find_unquoted(params, b',') == params.len();
            single.then_some(read).ok_or(Unreadable { field: Some(name), fault: ValueError::Trailing })
        };
        let whole = |name| message.header(name).unwrap_or("");
        let first = |name| message.values(name).next().map(|value| address(name, value)).transpose();
        let uri = message.is_request().then(|| Uri::parse(message.request_uri())).transpose();
        let mut vias = split_list(whole(Name::Via)).map(|value| Via::parse(value).map_err(unreadable(Some(Name::Via))));
        let via = vias.next().unwrap_or(Err(Unreadable { field: Some(Name::Via), fault: ValueError::Empty }))?;
        vias.try_for_each(|via| via.map(drop))?;
        let max_forwards = message.header(Name::MaxForwards).map(decimal).transpose();
        Ok(Self {
            uri: uri.map_err(unreadable(None))?,
            via,
            from: party(Name::From, whole(Name::From))?,
            to: party(Name::To, whole(Name::To))?,
            contact: first(Name::Contact)?,
            route: first(Name::Route)?,
            max_forwards: max_forwards.map_err(unreadable(Some(Name::MaxForwards)))?,
        })
    }
}
