//! One leg of a played platform: a dialog by RFC 3261 §12, written apart from the one under test.

use super::script::{Act, TEAMS};
use bytes::Bytes;
use tandem::sip::sdp::{Direction, Sdp};
use tandem::sip::{Draft, Message, Method, Name, NameAddr, tag};
use tandem::transaction::{ClientId, ServerId};

/// How far a leg is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// No 2xx yet.
    Early,
    /// A 2xx was sent or received.
    Confirmed,
    /// Over.
    Ended,
}

/// What one side says about its media, for short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Media {
    /// The port; each description of a side has another.
    pub port: u16,
    /// The direction, 0.0.0.0 counting as inactive.
    pub direction: Direction,
}

impl Media {
    /// Reads a description.
    pub fn of(octets: &Bytes) -> Option<Self> {
        let sdp = Sdp::parse(octets.clone()).ok()?;
        let port = sdp.media().next()?.port;
        let direction = if sdp.is_hold_0000() { Direction::Inactive } else { sdp.direction() };
        Some(Self { port, direction })
    }
}

/// A re-INVITE of the other side that is to be answered.
#[derive(Debug)]
pub struct Incoming {
    /// Its transaction.
    pub id: ServerId,
    /// The request.
    pub request: Message,
}

/// A 2xx without its ACK.
#[derive(Debug)]
pub struct Unacknowledged {
    /// The INVITE's transaction.
    pub id: ServerId,
    /// The 2xx.
    pub octets: Bytes,
    /// The INVITE's number.
    pub cseq: u32,
    /// The offer it made, if it did.
    pub offer: Option<Media>,
    /// Until the next repetition.
    pub pause: u64,
    /// When to give up.
    pub until: u64,
}

/// A leg.
#[derive(Debug)]
pub struct Leg {
    /// The platform it is on.
    pub platform: usize,
    /// Which call of the script.
    pub call: usize,
    /// Which side of it: 0 the caller.
    pub side: usize,
    /// How far it is.
    pub state: State,
    /// When it was answered, microseconds.
    pub confirmed_at: Option<u64>,
    /// When it was over.
    pub ended_at: Option<u64>,
    /// How it ended.
    pub ended: &'static str,
    /// It has refused a re-INVITE for good: the two sides may differ from then on.
    pub stubborn: bool,
    /// It went away without a word.
    pub vanished: bool,
    /// It refuses everything with 481.
    pub forgotten: bool,
    /// Dialog identifiers.
    pub call_id: String,
    /// Our tag.
    pub local_tag: String,
    /// From or To with our tag.
    pub local: String,
    /// The element's.
    pub remote: String,
    /// The element's Contact.
    pub target: String,
    /// Routes to it.
    pub routes: Vec<String>,
    /// Our last number.
    pub cseq: u32,
    /// The element's last number.
    pub remote_cseq: Option<u32>,
    /// Our INVITE or UPDATE with offer.
    pub outgoing: Option<(ClientId, Option<Media>)>,
    /// Whether it is to be cancelled.
    pub cancel: bool,
    /// The element's INVITE.
    pub incoming: Option<Incoming>,
    /// Our 2xx.
    pub unacknowledged: Option<Unacknowledged>,
    /// Our last ACK of a 2xx, by number.
    pub ack: Option<(u32, Bytes)>,
    /// What was last agreed on: ours.
    pub sent: Option<Media>,
    /// And theirs.
    pub received: Option<Media>,
    /// When that changed last.
    pub changed_at: u64,
    /// `o=` of ours.
    pub version: u64,
    /// Whether we refresh, each so many seconds.
    pub refresh: Option<u64>,
    /// When the session was last refreshed.
    pub refreshed_at: u64,
    /// What its last offer was for.
    pub tried: Option<Act>,
    /// Whether it held last.
    pub held: bool,
    /// Media port.
    pub port: u16,
}

/// The first value of a field.
pub fn first(message: &Message, name: Name) -> &str {
    message.header(name).unwrap_or("")
}

fn contact_uri(message: &Message) -> Option<String> {
    let value = message.values(Name::Contact).next()?;
    Some(NameAddr::parse(value).ok()?.uri_text().to_owned())
}

impl Leg {
    /// A leg that calls.
    pub fn calling(
        platform: usize,
        call: usize,
        call_id: String,
        local: String,
        remote: String,
        target: String,
    ) -> Self {
        let local_tag = tag(&local).unwrap_or("").to_owned();
        Self {
            platform,
            call,
            side: 0,
            state: State::Early,
            confirmed_at: None,
            ended_at: None,
            ended: "",
            stubborn: false,
            vanished: false,
            forgotten: false,
            call_id,
            local_tag,
            local,
            remote,
            target,
            routes: Vec::new(),
            cseq: 1,
            remote_cseq: None,
            outgoing: None,
            cancel: false,
            incoming: None,
            unacknowledged: None,
            ack: None,
            sent: None,
            received: None,
            changed_at: 0,
            version: 1,
            refresh: None,
            refreshed_at: 0,
            tried: None,
            held: false,
            port: 0,
        }
    }

    /// A leg that answers `invite` under `local_tag`.
    pub fn called(platform: usize, call: usize, invite: &Message, local_tag: &str) -> Self {
        let local = format!("{};tag={local_tag}", first(invite, Name::To));
        let remote = first(invite, Name::From).to_owned();
        let target = contact_uri(invite).unwrap_or_default();
        let mut leg = Self::calling(platform, call, invite.call_id().to_owned(), local, remote, target);
        leg.side = 1;
        leg.cseq = 500;
        leg.routes = invite.values(Name::RecordRoute).map(str::to_owned).collect();
        leg.remote_cseq = Some(invite.cseq().number);
        leg
    }

    /// Takes the dialog from a 2xx.
    pub fn learn(&mut self, response: &Message) {
        self.remote = first(response, Name::To).to_owned();
        self.routes = response.values(Name::RecordRoute).map(str::to_owned).collect();
        self.routes.reverse();
        self.retarget(response);
    }

    /// Takes the Contact of a target refresh.
    pub fn retarget(&mut self, message: &Message) {
        if let Some(uri) = contact_uri(message) {
            self.target = uri;
        }
    }

    /// A request in the dialog.
    pub fn draft(&self, method: &Method, cseq: u32, via: &str) -> Draft {
        let mut draft = Draft::request(method, &self.target);
        draft.put(Name::Via, via).put_number(Name::MaxForwards, 70);
        for route in &self.routes {
            draft.put(Name::Route, route);
        }
        draft.put(Name::From, &self.local).put(Name::To, &self.remote).put(Name::CallId, &self.call_id);
        draft.put(Name::CSeq, &format!("{cseq} {method}"));
        if matches!(method, Method::Invite | Method::Update) {
            draft.put(Name::Contact, &self.contact()).put(Name::Supported, "timer");
        }
        draft
    }

    /// Our Contact: at the hub neither host nor port of the Record-Route (TDR-83).
    pub fn contact(&self) -> String {
        if self.platform == TEAMS {
            "<sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=8f0ab1f3-3f1d-4a3c;x-c=d2f4e1a7/s/1/2b3c>".to_owned()
        } else {
            format!("<sip:+14255550199@203.0.113.34:5061;gc-node=c{};ob>", self.call)
        }
    }

    /// A description of ours with this direction.
    pub fn description(&mut self, direction: Direction, zero: bool) -> (Bytes, Media) {
        self.version += 1;
        let address = if self.platform == TEAMS { "52.113.5.6" } else { "203.0.113.77" };
        let connection = if zero { "0.0.0.0" } else { address };
        let text = format!(
            "v=0\r\no=- {} {} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {connection}\r\nt=0 0\r\nm=audio {} RTP/SAVP 0 101\r\n\
             a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\na={}\r\n",
            7_000 + self.call,
            self.version,
            self.port,
            direction.as_str()
        );
        let direction = if zero { Direction::Inactive } else { direction };
        (Bytes::from(text), Media { port: self.port, direction })
    }

    /// The same description again.
    pub fn same(&mut self) -> (Bytes, Media) {
        let last = self.sent.unwrap_or(Media { port: self.port, direction: Direction::SendRecv });
        let port = std::mem::replace(&mut self.port, last.port);
        self.version -= 1;
        let made = self.description(last.direction, false);
        self.port = port;
        made
    }

    /// Agreed: ours and theirs.
    pub fn agree(&mut self, now: u64, sent: Option<Media>, received: Option<Media>) {
        if let Some(sent) = sent {
            self.sent = Some(sent);
        }
        if let Some(received) = received {
            self.received = Some(received);
        }
        self.changed_at = now;
    }

    /// Over, with how.
    pub fn end(&mut self, now: u64, how: &'static str) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.ended_at = Some(now);
            self.ended = how;
        }
    }

    /// Whether an offer is under way.
    pub fn busy(&self) -> bool {
        self.outgoing.is_some() || self.incoming.is_some() || self.unacknowledged.is_some()
    }
}
