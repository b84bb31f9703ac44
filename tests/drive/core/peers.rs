//! Both platforms as the core sees them: what they have heard, and what they say of it, well or badly.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use tandem::sip::{Draft, Message, Method, Name, tag};

/// The side of Genesys, and of its trunk.
pub const GENESYS: usize = 0;
/// The side of the hub, and of its trunk.
pub const TEAMS: usize = 1;

/// As much as either side remembers.
const MOST: usize = 48;

/// What was said and heard on both sides.
pub struct Peers {
    /// The transport token of each side's Via.
    via: [&'static str; 2],
    said: Vec<(usize, Bytes)>,
    /// INVITEs that peers have sent.
    invites: Vec<(usize, Message)>,
    /// Requests that the core has sent.
    asked: Vec<(usize, Message)>,
    dialogs: Vec<Dialog>,
    count: u32,
}

/// A dialog from a peer's side.
#[derive(Clone)]
struct Dialog {
    side: usize,
    call_id: String,
    local: String,
    remote: String,
    target: String,
    /// The CSeq of its INVITE, which an ACK repeats.
    invite: u32,
}

const TARGETS: &[&str] = &[
    "sip:+496955501007@sbc1.example.com:5061;transport=tls",
    "sip:+496955501007@sbc1.example.com;user=phone",
    "sip:112@sbc1.example.com",
    "tel:+496955501007",
    "sips:alice@sbc1.example.com",
    "sip:sbc1.example.com",
    "sip:+14255550123;ext=7;phone-context=x@sbc1.example.com:5061?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc",
];

const FROMS: &[&str] = &[
    "\"Erika\" <sip:+491705550144@198.51.100.21>",
    "<sip:+14255550144@sip.pstnhub.microsoft.com:5061;user=phone>",
    "<sip:anonymous@anonymous.invalid>",
    "sip:1001@example.com",
    "<tel:+14255550144>",
    "\"a \\\" <b>\" <sip:@[2001:db8::1]>",
];

const CONTACTS: &[&str] = &[
    "<sip:+491705550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob>",
    "<sip:api-du-a-usea.pstnhub.microsoft.com:443;x-i=109abb90;x-c=64ce308b/d/8/f071fe23>",
    "<sip:a@192.0.2.99>, <sip:b@example.com>",
    "*",
    "tel:+14255550123",
    "<sips:sip.pstnhub.microsoft.com>;expires=0",
];

const EXTRAS: &[(&str, &str)] = &[
    ("Record-Route", "<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>"),
    ("Record-Route", "<sip:sip-du-a-us.pstnhub.microsoft.com:5061;transport=tls;lr>, <sip:a.example.com>"),
    ("Require", "100rel"),
    ("Require", "replaces, x"),
    ("Proxy-Require", "x"),
    ("Supported", "100rel, timer, replaces"),
    ("Session-Expires", "90;refresher=uac"),
    ("Session-Expires", "1800;refresher=uas"),
    ("Session-Expires", "5"),
    ("Min-SE", "3600"),
    ("RSeq", "1"),
    ("RSeq", "4294967295"),
    ("RAck", "1 1 INVITE"),
    ("Replaces", "1@example.com;to-tag=a;from-tag=b"),
    ("Refer-To", "<sip:+14255550123@sip.pstnhub.microsoft.com?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>"),
    ("Event", "refer"),
    ("Subscription-State", "terminated;reason=noresource"),
    ("Expires", "1"),
    ("Retry-After", "10 (later);duration=5"),
    ("Reason", "Q.850;cause=16;text=\"x, y\", SIP;cause=200"),
    ("Privacy", "id;header"),
    ("P-Asserted-Identity", "\"D\" <sip:+14255550144@example.com>, <tel:+14255550144>"),
    ("Diversion", "<sip:+14255550177@example.com>;reason=no-answer;counter=3"),
    ("History-Info", "<sip:+14255550177@example.com?Reason=SIP%3Bcause%3D486>;index=1, <sip:b@example.com>;index=1.1"),
    ("User-to-User", "00aa;encoding=hex"),
    ("X-MS-SBC", "a"),
    ("Authorization", "Digest username=\"a\", realm=\"b\", nonce=\"c\", uri=\"sip:d\", response=\"e\""),
    ("WWW-Authenticate", "Digest realm=\"b\", nonce=\"c\", qop=\"auth\", algorithm=MD5"),
    ("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, NOTIFY, REFER"),
    ("Timestamp", "1.5"),
    ("Max-Forwards", "0"),
    ("Content-Type", "application/sdp"),
    ("Warning", "399 a \"b\""),
];

const SDP: &str = "v=0\r\no=gc 1000 1 IN IP4 198.51.100.131\r\ns=-\r\nc=IN IP4 198.51.100.131\r\nt=0 0\r\n\
    m=audio 52344 RTP/SAVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\na=sendrecv\r\n";

const METHODS: &[Method] = &[
    Method::Ack,
    Method::Bye,
    Method::Invite,
    Method::Update,
    Method::Prack,
    Method::Info,
    Method::Refer,
    Method::Notify,
    Method::Options,
    Method::Message,
];

const STATUSES: &[u16] = &[
    200, 180, 183, 100, 200, 199, 202, 299, 302, 401, 407, 403, 404, 408, 415, 422, 480, 481, 486, 487, 488, 491, 500,
    501, 503, 600, 603, 699,
];

impl Peers {
    /// Peers that have said nothing yet; `via` is the transport token on Genesys' side.
    pub fn new(via: &'static str) -> Self {
        let (said, invites, asked, dialogs) = Default::default();
        Self { via: [via, "TLS"], said, invites, asked, dialogs, count: 0 }
    }

    /// A peer has sent octets.
    pub fn said(&mut self, side: usize, octets: &Bytes) {
        keep(&mut self.said, (side, octets.clone()));
    }

    /// A message of the core has reached `side`.
    pub fn heard(&mut self, side: usize, message: Message) {
        if message.is_request() {
            return keep(&mut self.asked, (side, message));
        }
        let local = message.header(Name::From).unwrap_or("");
        let remote = message.header(Name::To).unwrap_or("");
        if *message.method() != Method::Invite || tag(remote).is_none() {
            return;
        }
        let dialog = Dialog {
            side,
            call_id: message.call_id().to_owned(),
            local: local.to_owned(),
            remote: remote.to_owned(),
            target: target(&message),
            invite: message.cseq().number,
        };
        keep(&mut self.dialogs, dialog);
    }

    /// A new INVITE.
    pub fn invite(&mut self, choices: &mut Unstructured<'_>) -> Result<(usize, Bytes)> {
        let side = choices.int_in_range(0..=1_usize)?;
        self.count += 1;
        let (count, uri, from) = (self.count, *choices.choose(TARGETS)?, *choices.choose(FROMS)?);
        let mut draft = self.begin(side, &Method::Invite, uri);
        draft.put_parts(Name::From, &[from, ";tag=c"]).put(Name::To, "<sip:+496955501007@sbc1.example.com>");
        draft.put(Name::CallId, &format!("{count}@example.com")).put(Name::CSeq, "1 INVITE");
        let octets = filled(draft, choices)?;
        if let Ok(message) = Message::parse(octets.clone()) {
            keep(&mut self.invites, (side, message));
        }
        Ok((side, octets))
    }

    /// A response to something that the core has asked.
    pub fn respond(&mut self, choices: &mut Unstructured<'_>) -> Result<Option<(usize, Bytes)>> {
        let back = choices.int_in_range(0..=5_usize)?;
        let Some((side, request)) = self.asked.get(self.asked.len().wrapping_sub(1 + back)) else { return Ok(None) };
        let (status, tag) = (*choices.choose(STATUSES)?, *choices.choose(&["p", "p", "q", "r", ""])?);
        let octets = filled(Draft::response(request, status, "of theirs", tag, None), choices)?;
        if *request.method() == Method::Invite && (101..300).contains(&status) {
            let dialog = Dialog {
                side: *side,
                call_id: request.call_id().to_owned(),
                local: format!("{};tag={tag}", request.header(Name::To).unwrap_or("")),
                remote: request.header(Name::From).unwrap_or("").to_owned(),
                target: target(request),
                invite: request.cseq().number,
            };
            keep(&mut self.dialogs, dialog);
        }
        Ok(Some((*side, octets)))
    }

    /// A request within a dialog.
    pub fn request_within(&mut self, choices: &mut Unstructured<'_>) -> Result<Option<(usize, Bytes)>> {
        let back = choices.int_in_range(0..=5_usize)?;
        let Some(dialog) = self.dialogs.get(self.dialogs.len().wrapping_sub(1 + back)).cloned() else {
            return Ok(None);
        };
        let method = choices.choose(METHODS)?.clone();
        self.count += 1;
        let number = match method {
            Method::Ack => dialog.invite,
            _ if choices.ratio(1_u8, 16_u8)? => u32::MAX,
            _ => dialog.invite.wrapping_add(self.count),
        };
        let mut draft = self.begin(dialog.side, &method, &dialog.target);
        draft.put(Name::From, &dialog.local).put(Name::To, &dialog.remote).put(Name::CallId, &dialog.call_id);
        draft.put(Name::CSeq, &format!("{number} {method}"));
        let octets = filled(draft, choices)?;
        Ok(Some((dialog.side, octets)))
    }

    /// A CANCEL of an INVITE.
    pub fn cancel(&mut self, choices: &mut Unstructured<'_>) -> Result<Option<(usize, Bytes)>> {
        let back = choices.int_in_range(0..=3_usize)?;
        let Some((side, invite)) = self.invites.get(self.invites.len().wrapping_sub(1 + back)) else { return Ok(None) };
        let mut draft = Draft::request(&Method::Cancel, invite.request_uri());
        for name in [Name::Via, Name::From, Name::To, Name::CallId] {
            draft.put(name, invite.header(name).unwrap_or(""));
        }
        draft.put(Name::CSeq, &format!("{} CANCEL", invite.cseq().number));
        Ok(Some((*side, draft.finish())))
    }

    /// Something that was said once, as it was or damaged, by whoever.
    pub fn again(&mut self, choices: &mut Unstructured<'_>) -> Result<Option<(usize, Bytes)>> {
        let back = choices.int_in_range(0..=7_usize)?;
        let Some((side, octets)) = self.said.get(self.said.len().wrapping_sub(1 + back)) else { return Ok(None) };
        let side = if choices.ratio(1_u8, 8_u8)? { 1 - side } else { *side };
        Ok(Some((side, damaged(octets, choices)?)))
    }

    /// The beginning of a request with a branch of its own.
    fn begin(&mut self, side: usize, method: &Method, uri: &str) -> Draft {
        let mut draft = Draft::request(method, uri);
        let host = ["198.51.100.21:5061", "sip-du-a-us.pstnhub.microsoft.com:5061"][side];
        draft.put(Name::Via, &format!("SIP/2.0/{} {host};branch=z9hG4bK{}", self.via[side], self.count));
        draft.put(Name::MaxForwards, "68");
        draft
    }
}

/// Remembers, and forgets the oldest.
fn keep<T>(list: &mut Vec<T>, item: T) {
    if list.len() == MOST {
        list.remove(0);
    }
    list.push(item);
}

/// The URI of the first Contact.
fn target(message: &Message) -> String {
    let contact = message.values(Name::Contact).next().and_then(|value| tandem::sip::NameAddr::parse(value).ok());
    contact.map_or_else(|| "sip:sbc1.example.com".to_owned(), |contact| contact.uri_text().to_owned())
}

/// Contact, more header fields, and a body.
fn filled(mut draft: Draft, choices: &mut Unstructured<'_>) -> Result<Bytes> {
    if !choices.ratio(1_u8, 8_u8).unwrap_or(false) {
        draft.put(Name::Contact, choices.choose(CONTACTS)?);
    }
    for _ in 0..choices.int_in_range(0..=4_u8)? {
        let (name, value) = *choices.choose(EXTRAS)?;
        draft.put(name, value);
    }
    let sdp = match choices.int_in_range(0..=9_u8)? {
        0..=2 => return Ok(draft.finish()),
        3..=5 => SDP.to_owned(),
        6 => SDP.replace("sendrecv", choices.choose(&["sendonly", "inactive", "recvonly"])?),
        7 => SDP.replace("IP4 198.51.100.131", choices.choose(&["IP4 0.0.0.0", "IP6 2001:db8::1"])?),
        8 => SDP.replace("52344 RTP/SAVP", choices.choose(&["0 RTP/SAVP", "52344 RTP/AVP", "x"])?),
        _ => {
            let body = format!("--b\r\nContent-Type: application/sdp\r\n\r\n{SDP}\r\n--b--\r\n");
            draft.body("multipart/mixed;boundary=b", Bytes::from(body));
            return Ok(draft.finish());
        }
    };
    draft.body("application/sdp", Bytes::from(sdp));
    Ok(draft.finish())
}

/// `octets` with up to three of them changed, gone or added.
pub fn damaged(octets: &Bytes, choices: &mut Unstructured<'_>) -> Result<Bytes> {
    let mut octets = octets.to_vec();
    for _ in 0..choices.int_in_range(0..=3_u8)? {
        if octets.is_empty() {
            break;
        }
        let at = usize::from(choices.int_in_range(0..=4_095_u16)?) % octets.len();
        match choices.int_in_range(0..=3_u8)? {
            0 => octets.truncate(at),
            1 => drop(octets.remove(at)),
            2 => octets[at] = choices.arbitrary()?,
            _ => octets.insert(at, choices.arbitrary()?),
        }
    }
    Ok(Bytes::from(octets))
}
