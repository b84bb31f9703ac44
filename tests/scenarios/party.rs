//! A platform as far as a ladder needs one: it fills in what a ladder line does not say, and remembers
//! its dialog. It is written against the RFC and the platform's documents, not against the core.

use bytes::Bytes;
use std::net::SocketAddr;
use tandem::flow::{Transport, TrunkId};
use tandem::sip::{Draft, Message, Method, Name, NameAddr, tag};

/// What does not change about a platform.
pub(crate) struct Platform {
    pub name: &'static str,
    pub trunk: TrunkId,
    pub transport: Transport,
    pub source: &'static str,
    contact: &'static str,
    record_route: Option<&'static str>,
    from: &'static str,
    /// Whom it calls unless a line says otherwise.
    called: &'static str,
    media: (&'static str, u16),
    /// Our name, as it knows it.
    host: &'static str,
}

pub(crate) const PLATFORMS: [Platform; 4] = [
    Platform {
        name: "genesys",
        trunk: TrunkId(0),
        transport: Transport::Tls,
        source: "198.51.100.21:40001",
        contact: "<sip:+491705550144@198.51.100.34:5061;transport=tls;gc-node=c9d0;ob>",
        record_route: Some("<sip:198.51.100.21:5061;transport=tls;lr;gcv=2>"),
        from: "\"Erika\" <sip:+491705550144@198.51.100.21>",
        called: "+496955501007",
        media: ("198.51.100.131", 52344),
        host: "sbc1.example.com",
    },
    Platform {
        name: "teams",
        trunk: TrunkId(1),
        transport: Transport::Tls,
        source: "52.112.0.7:40002",
        contact: "<sip:api-du-a-euwe.pstnhub.microsoft.com:443;x-i=5f1c;x-c=a0/d/8/b1>",
        record_route: Some("<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>"),
        from: "Alice Example <sip:+496955501007@sip.pstnhub.microsoft.com:5061;user=phone>",
        called: "+496955502000",
        media: ("203.0.113.7", 50000),
        host: "sbc1.example.com",
    },
    Platform {
        name: "pbx",
        trunk: TrunkId(2),
        transport: Transport::Udp,
        source: "192.0.2.10:5060",
        contact: "<sip:200@192.0.2.10:5060>",
        record_route: None,
        from: "<sip:+14255550200@pbx.example.com>",
        called: "+496955501007",
        media: ("192.0.2.11", 30000),
        host: "sbc1.example.com",
    },
    // The hub once more, for a customer of a carrier; there only after `set tenants`.
    Platform {
        name: "customer",
        trunk: TrunkId(3),
        transport: Transport::Tls,
        source: "52.112.0.8:40004",
        contact: "<sip:api-du-a-euno.pstnhub.microsoft.com:443;x-i=5f1d;x-c=a1/d/8/b1>",
        record_route: Some("<sip:sip-du-a-eu.pstnhub.microsoft.com:5061;transport=tls;lr>"),
        from: "Bob Example <sip:+498955501007@sip.pstnhub.microsoft.com:5061;user=phone>",
        called: "+496955502000",
        media: ("203.0.113.7", 51000),
        host: "c1.sbc1.example.com",
    },
];

/// A dialog of the platform's, or what will become one.
#[derive(Clone, Default)]
pub(crate) struct Dialog {
    pub call_id: String,
    /// Its From or To with its tag, and the other side's.
    local: String,
    remote: String,
    target: String,
    pub cseq: u32,
}

/// What both platforms demand (TDR-135, GEN-49).
const CRYPTO: &str = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk\r\n";

/// A platform with what it has sent and received.
pub(crate) struct Party {
    pub platform: &'static Platform,
    pub dialog: Option<Dialog>,
    pub sent: Vec<Message>,
    pub received: Vec<Message>,
    counter: u32,
    /// The description last sent, without its version, and that version.
    described: (String, u32),
}

impl Party {
    pub(crate) fn new(platform: &'static Platform) -> Self {
        Self {
            platform,
            dialog: None,
            sent: Vec::new(),
            received: Vec::new(),
            counter: 0,
            described: Default::default(),
        }
    }

    pub(crate) fn source(&self) -> SocketAddr {
        self.platform.source.parse().expect("an address")
    }

    fn via(&mut self, branch: Option<&str>) -> String {
        self.counter += 1;
        let platform = self.platform;
        let fresh = format!("z9hG4bK-{}-{}", platform.name, self.counter);
        let sent_by =
            platform.record_route.map_or(platform.source, |_| platform.source.split(':').next().unwrap_or(""));
        format!("SIP/2.0/{} {sent_by};branch={}", platform.transport.via_token(), branch.unwrap_or(&fresh))
    }

    /// A description: direction, address, `:port`, `vN`, `long` (more than a datagram takes) where the line says so.
    pub(crate) fn describe(&mut self, words: &str) -> Bytes {
        let (mut address, mut port) = (self.platform.media.0.to_owned(), self.platform.media.1);
        let (mut direction, mut version, mut plain, mut long) = ("sendrecv", None, false, String::new());
        for word in words.split_whitespace() {
            match word.chars().next() {
                Some(':') => port = word[1..].parse().expect("a port"),
                Some('v') => version = Some(word[1..].parse().expect("a version")),
                Some('0'..='9') => address = word.to_owned(),
                _ if word == "rtp" => plain = true,
                _ if word == "long" => long = "a=x-fill:".to_owned() + &"x".repeat(1300) + "\r\n",
                _ => {
                    direction = ["sendrecv", "sendonly", "recvonly", "inactive"]
                        .into_iter()
                        .find(|d| *d == word)
                        .expect("a direction")
                }
            }
        }
        let (profile, crypto) = if plain { ("RTP/AVP", "") } else { ("RTP/SAVP", CRYPTO) };
        let rest = format!(
            "s=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio {port} {profile} 8 101\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\n{crypto}{long}a={direction}\r\n"
        );
        if self.described.0 != rest {
            self.described = (rest.clone(), self.described.1 + 1);
        }
        let version = version.unwrap_or(self.described.1);
        let (name, own) = (self.platform.name, self.platform.media.0);
        Bytes::from(format!("v=0\r\no={name} 7000 {version} IN IP4 {own}\r\n{rest}"))
    }

    /// A request outside any dialog; an INVITE begins one.
    pub(crate) fn initial(&mut self, method: &Method, called: Option<&str>) -> Draft {
        self.counter += 1;
        let platform = self.platform;
        let called = called.unwrap_or(platform.called);
        let (host, transport) = (platform.host, platform.transport.uri_value());
        let uri = format!("sip:{called}@{host}:5061;user=phone;transport={transport}");
        let dialog = Dialog {
            call_id: format!("{}-{}@{}", platform.name, self.counter, platform.source.split(':').next().unwrap_or("")),
            local: format!("{};tag={}-{}", platform.from, platform.name, self.counter),
            remote: format!("<sip:{called}@{host}>"),
            target: uri,
            cseq: 0,
        };
        self.dialog = Some(dialog);
        self.within(method)
    }

    /// A request of the dialog.
    pub(crate) fn within(&mut self, method: &Method) -> Draft {
        let via = self.via(None);
        let dialog = self.dialog.as_mut().expect("a dialog");
        dialog.cseq += 1;
        let cseq = dialog.cseq;
        self.request(method, &via, cseq)
    }

    /// The ACK of the last INVITE: of the same branch after a failure (RFC 3261 §17.1.1.3).
    pub(crate) fn acknowledge(&mut self) -> Draft {
        let invite = self.last_sent(&Method::Invite).expect("an INVITE that was sent").clone();
        let final_response =
            self.received.iter().rev().find(|message| {
                message.status().is_some_and(|status| status >= 200) && message.cseq() == invite.cseq()
            });
        let failed = final_response.and_then(Message::status).is_some_and(|status| status >= 300);
        if failed {
            return self.hop_by_hop(
                &Method::Ack,
                &invite,
                final_response.and_then(|r| r.header(Name::To)).map(str::to_owned),
            );
        }
        let via = self.via(None);
        self.request(&Method::Ack, &via, invite.cseq().number)
    }

    /// The CANCEL of the last INVITE (§9.1).
    pub(crate) fn cancel(&mut self) -> Draft {
        let invite = self.last_sent(&Method::Invite).expect("an INVITE that was sent").clone();
        self.hop_by_hop(&Method::Cancel, &invite, None)
    }

    fn hop_by_hop(&self, method: &Method, invite: &Message, to: Option<String>) -> Draft {
        let mut draft = Draft::request(method, invite.request_uri());
        draft.put(Name::Via, invite.header(Name::Via).unwrap_or("")).put(Name::MaxForwards, "70");
        for name in [Name::From, Name::To, Name::CallId] {
            let value = invite.header(name).unwrap_or("");
            draft.put(name, to.as_deref().filter(|_| name == Name::To).unwrap_or(value));
        }
        draft.put(Name::CSeq, &format!("{} {method}", invite.cseq().number));
        draft
    }

    fn request(&self, method: &Method, via: &str, cseq: u32) -> Draft {
        let dialog = self.dialog.as_ref().expect("a dialog");
        let mut draft = Draft::request(method, &dialog.target);
        draft.put(Name::Via, via);
        if let Some(route) = self.platform.record_route.filter(|_| *method == Method::Invite) {
            draft.put(Name::RecordRoute, route);
        }
        draft.put(Name::MaxForwards, "68").put(Name::From, &dialog.local).put(Name::To, &dialog.remote);
        draft.put(Name::CallId, &dialog.call_id).put(Name::CSeq, &format!("{cseq} {method}"));
        if matches!(method, Method::Invite | Method::Update | Method::Options) {
            draft.put(Name::Contact, self.platform.contact);
            draft.put(Name::Allow, "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY").put(Name::Supported, "timer");
        }
        draft
    }

    /// A response to the last request received, of `method` where a line names one. `fork` is the To tag.
    pub(crate) fn answer(&mut self, status: u16, method: Option<&Method>, fork: Option<&str>, back: usize) -> Draft {
        let wanted = |message: &&Message| {
            message.is_request()
                && *message.method() != Method::Ack
                && method.is_none_or(|method| message.method() == method)
        };
        let request = self.received.iter().rev().filter(wanted).nth(back).expect("a request that was received").clone();
        let in_dialog = tag(request.header(Name::To).unwrap_or("")).is_some();
        let own = fork.map_or_else(|| format!("{}-uas", self.platform.name), str::to_owned);
        let mut draft =
            Draft::response(&request, status, "Said by the ladder", if status == 100 { "" } else { &own }, None);
        if *request.method() == Method::Invite && (101..300).contains(&status) {
            draft.put(Name::Contact, self.platform.contact);
            if !in_dialog {
                if let Some(route) = self.platform.record_route {
                    draft.put(Name::RecordRoute, route);
                }
                if back == 0 {
                    self.accept(&request, &own);
                }
            }
        }
        draft
    }

    /// The dialog that a response of ours makes (§12.1.1).
    fn accept(&mut self, invite: &Message, own: &str) {
        self.dialog = Some(Dialog {
            call_id: invite.call_id().to_owned(),
            local: format!("{};tag={own}", invite.header(Name::To).unwrap_or("")),
            remote: invite.header(Name::From).unwrap_or("").to_owned(),
            target: contact(invite).unwrap_or_default(),
            cseq: self.dialog.as_ref().map_or(0, |dialog| dialog.cseq),
        });
    }

    /// Notes what arrives.
    pub(crate) fn receive(&mut self, message: Message) {
        if let Some(dialog) = &mut self.dialog
            && dialog.call_id == message.call_id()
        {
            let ours = message.status().is_some_and(|status| (101..300).contains(&status))
                && *message.cseq()
                    == *self.sent.iter().rev().find(|m| m.is_request()).map_or(message.cseq(), |m| m.cseq());
            let makes = ours && message.cseq().method == Method::Invite;
            if makes {
                dialog.remote = message.header(Name::To).unwrap_or("").to_owned();
            }
            if let Some(target) = contact(&message)
                && (makes || message.is_request() && matches!(message.method(), Method::Invite | Method::Update))
            {
                dialog.target = target;
            }
        }
        self.received.push(message);
    }

    pub(crate) fn last_sent(&self, method: &Method) -> Option<&Message> {
        self.sent.iter().rev().find(|message| message.is_request() && message.method() == method)
    }
}

fn contact(message: &Message) -> Option<String> {
    let value = message.values(Name::Contact).next()?;
    NameAddr::parse(value).ok().map(|contact| contact.uri_text().to_owned())
}
