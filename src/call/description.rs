//! The session descriptions of one leg (RFC 3264): the last one each way, under an `o=` of our own.
//!
//! A leg's peer sees one session from us with a fixed identity, whoever answers on the other leg: the
//! id never changes, the version grows by one per change and stays for a mere repetition (RFC 3264 §8).
//! Hold forms that a platform does not understand are converted here (TDR-93).

use crate::sip::sdp::{Direction, Sdp};
use crate::sip::{Message, Name, sdp_part};
use crate::trunk::Kind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The descriptions of one leg.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Descriptions {
    session_id: u64,
    version: u64,
    /// Everything of `o=` but id and version, fixed by the first description sent: user, address.
    #[serde(default)]
    username: String,
    #[serde(default)]
    address: String,
    /// The peer has seen a newer version than that of `sent`.
    #[serde(default)]
    reverted: bool,
    /// The last description we sent, as sent.
    #[serde(with = "text")]
    pub sent: Option<Bytes>,
    /// The last description the peer sent that was agreed on, as received.
    #[serde(with = "text")]
    pub received: Option<Bytes>,
}

impl Descriptions {
    /// No description yet; `session_id` is for `o=`.
    pub fn new(session_id: u64) -> Self {
        Self { session_id, ..Self::default() }
    }

    /// `sdp` as it leaves on this leg: our `o=`, a version that tells the peer whether anything
    /// changed. What is no SDP leaves as it is.
    pub fn send(&mut self, sdp: &Bytes) -> Bytes {
        let Ok(new) = Sdp::parse(sdp.clone()) else {
            return sdp.clone();
        };
        if self.address.is_empty() {
            let origin = new.origin();
            self.username = origin.username.to_owned();
            self.address = [origin.nettype, origin.addrtype, origin.address].join(" ");
        }
        if !self.said(&new) || std::mem::take(&mut self.reverted) {
            self.reverted = false;
            self.version += 1;
        }
        let out = self.with_origin(&new);
        self.sent = Some(out.clone());
        out
    }

    /// Whether `sdp` says what was last sent, whoever made it.
    pub fn says(&self, sdp: &Bytes) -> bool {
        Sdp::parse(sdp.clone()).is_ok_and(|sdp| self.said(&sdp))
    }

    fn said(&self, sdp: &Sdp) -> bool {
        let sent = self.sent.as_ref().and_then(|sent| Sdp::parse(sent.clone()).ok());
        sent.is_some_and(|sent| sent.same_session(sdp))
    }

    /// What was last sent, to be sent again. `None` before the first.
    pub fn again(&mut self) -> Option<Bytes> {
        let sent = self.sent.clone()?;
        Some(self.send(&sent))
    }

    /// An offer was refused: what was sent before it counts again. Its next sending has a version of its
    /// own, since the peer has seen the refused one.
    pub fn revert(&mut self, before: Bytes) {
        if self.sent.as_ref() != Some(&before) {
            self.sent = Some(before);
            self.reverted = true;
        }
    }

    /// An offer never left: what was sent before it counts again, and its version is still free (RFC 3264 §8: one more
    /// than the last that the peer has seen).
    pub fn take_back(&mut self, before: Bytes) {
        if self.sent.as_ref() == Some(&before) {
            return;
        }
        self.version -= 1;
        let seen = Sdp::parse(before.clone()).ok().and_then(|sdp| sdp.origin().version.parse::<u64>().ok());
        self.reverted = seen != Some(self.version);
        self.sent = Some(before);
    }

    /// Notes what the peer sent. Returns whether it differs from what it sent before (RFC 3264 §8:
    /// the same version means nothing changed).
    pub fn receive(&mut self, sdp: &Bytes) -> bool {
        let changed = self.changes(sdp);
        self.received = Some(sdp.clone());
        changed
    }

    /// Whether `sdp` differs from what the peer sent before.
    pub fn changes(&self, sdp: &Bytes) -> bool {
        let Some(old) = &self.received else { return true };
        if old == sdp {
            return false;
        }
        match (Sdp::parse(old.clone()), Sdp::parse(sdp.clone())) {
            (Ok(old), Ok(new)) => !old.same_session(&new),
            (Ok(_) | Err(_), _) => true,
        }
    }

    /// About how many octets both take as JSON, where each line end is two longer.
    pub fn json_room(&self) -> usize {
        let escaped = |sdp: &Bytes| sdp.len() + sdp.len() / 8;
        self.sent.as_ref().map_or(0, escaped) + self.received.as_ref().map_or(0, escaped)
    }

    fn with_origin(&self, sdp: &Sdp) -> Bytes {
        let (mut id, mut version) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (id, version) = (id.format(self.session_id), version.format(self.version));
        sdp.with_origin_line(&["o=", &self.username, " ", id, " ", version, " ", &self.address].concat())
    }
}

/// The description in a response or an ACK; `None` where its body holds none that can be read, which is then no
/// answer at all: nobody is sent what cannot be understood.
pub fn described(message: &Message) -> Option<Bytes> {
    let sdp = sdp_part(message.header(Name::ContentType).unwrap_or(""), &message.body())?;
    Sdp::parse(sdp.clone()).is_ok().then_some(sdp)
}

/// An offer as the platform `to` understands it: Teams knows hold as `a=inactive` with a real address
/// and nothing else (TDR-93). `real` is a description with that address, best what `to` was sent before: for the hub
/// media may not move (TDR-88).
pub fn offer_for(to: Kind, offer: &Bytes, real: Option<&Bytes>) -> Bytes {
    if to != Kind::Teams {
        return offer.clone();
    }
    let Ok(sdp) = Sdp::parse(offer.clone()) else {
        return offer.clone();
    };
    if !sdp.is_hold() {
        return offer.clone();
    }
    let inactive = sdp.with_direction(Direction::Inactive);
    if !sdp.is_hold_0000() {
        return inactive;
    }
    // The address of before the hold; without one its origin's (never 0.0.0.0).
    let before = real.and_then(|real| Sdp::parse(real.clone()).ok());
    let address =
        before.as_ref().and_then(|before| before.media().find_map(|media| media.connection.map(str::to_owned)));
    let address = address.filter(|address| address != "0.0.0.0").unwrap_or_else(|| sdp.origin().address.to_owned());
    Sdp::parse(inactive.clone()).map_or(inactive, |inactive| inactive.with_connection(&address))
}

/// An answer that fits the offer its receiver made (RFC 3264 §6.1), as the platform `to` understands it: an offer to
/// only send is answered by receiving or by nothing, and so on. An answer that holds is `inactive` for Teams, unless
/// that has spoken of one direction itself (TDR-93). `real` as for [`offer_for`].
pub fn answer_for(to: Kind, offer: Option<&Bytes>, answer: &Bytes, real: Option<&Bytes>) -> Bytes {
    let offered = offer.and_then(|offer| Sdp::parse(offer.clone()).ok()).map(|offer| offer.direction());
    if to != Kind::Teams && offered.is_none_or(|offered| offered == Direction::SendRecv) {
        return answer.clone(); // whatever it says fits
    }
    let Ok(sdp) = Sdp::parse(answer.clone()) else {
        return answer.clone();
    };
    let answered = sdp.direction();
    let fitting = match (offered, answered) {
        (None | Some(Direction::SendRecv), _)
        | (Some(_), Direction::Inactive)
        | (Some(Direction::SendOnly), Direction::RecvOnly)
        | (Some(Direction::RecvOnly), Direction::SendOnly) => answer.clone(),
        (Some(Direction::SendOnly), Direction::SendRecv) => sdp.with_direction(Direction::RecvOnly),
        (Some(Direction::RecvOnly), Direction::SendRecv) => sdp.with_direction(Direction::SendOnly),
        (Some(_), _) => sdp.with_direction(Direction::Inactive),
    };
    let one_way = matches!(offered, Some(Direction::SendOnly | Direction::RecvOnly));
    if one_way && !sdp.is_hold_0000() { fitting } else { offer_for(to, &fitting, real) }
}

/// Descriptions in saved calls: as text, since SDP is UTF-8 (RFC 4566 §5).
mod text {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        match octets.as_ref().map(|octets| std::str::from_utf8(octets)) {
            Some(Ok(text)) => serializer.serialize_some(text),
            Some(Err(_)) => octets.as_ref().map(|octets| String::from_utf8_lossy(octets)).serialize(serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map(Bytes::from))
    }
}
