//! The descriptions a platform offers and answers with. Nothing listens where they point: the addresses
//! are documentation addresses (RFC 5737), and signalling is what is played here.

use super::checks::description::{self, Lines, SUITE};

/// How a party holds or resumes (TDR-93, 94; GEN-42).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flow {
    /// Both ways.
    SendRecv,
    /// Music to the party on hold.
    SendOnly,
    /// The other half of `SendOnly`.
    RecvOnly,
    /// Silence both ways.
    Inactive,
    /// `c=0.0.0.0`, the hold of RFC 2543.
    Zero,
}

impl Flow {
    fn line(self) -> &'static str {
        match self {
            Self::SendRecv | Self::Zero => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// One end of a call's media.
#[derive(Clone, Debug)]
pub struct Media {
    user: &'static str,
    address: &'static str,
    port: u16,
    formats: &'static str,
    /// Profile `RTP/SAVP`; otherwise `RTP/AVP` without crypto.
    srtp: bool,
    /// As the hub offers: tags from 2, the first line with an MKI (TDR-135).
    mki_first: bool,
    id: u64,
    version: u64,
    key: String,
    last: Option<String>,
}

impl Media {
    /// The hub's: SRTP always, `a=crypto` with an MKI ahead of the usable one.
    pub fn hub(number: u64) -> Self {
        let key = key("UVdFUlRZ", number);
        let (user, address, formats) = ("-", "203.0.113.30", "104 9 103 18 0 8 101 13");
        Self {
            user,
            address,
            port: 52884,
            formats,
            srtp: true,
            mki_first: true,
            id: 91_000 + number,
            version: 0,
            key,
            last: None,
        }
    }

    /// Genesys': SRTP on TLS trunks.
    pub fn genesys(number: u64, srtp: bool) -> Self {
        let key = key("FTgSrlqC", number);
        let (user, address, formats) = ("gc", "198.51.100.131", "8 0 101");
        Self {
            user,
            address,
            port: 52344,
            formats,
            srtp,
            mki_first: false,
            id: 1_000 + number,
            version: 0,
            key,
            last: None,
        }
    }

    /// An offer.
    pub fn offer(&mut self, flow: Flow) -> String {
        let cryptos = match (self.srtp, self.mki_first) {
            (false, _) => String::new(),
            (true, false) => format!("a=crypto:1 {SUITE} inline:{}\r\n", self.key),
            (true, true) => {
                let other: String = self.key.chars().rev().collect();
                format!("a=crypto:2 {SUITE} inline:{other}|2^31|1:1\r\na=crypto:3 {SUITE} inline:{}|2^31\r\n", self.key)
            }
        };
        self.write(flow, &cryptos, self.formats)
    }

    /// The answer to an offer: first usable crypto line by its tag (TDR-135), the formats both have, the
    /// direction that RFC 3264 §6.1 leaves. `None` when the offer cannot be taken.
    pub fn answer(&mut self, offer: &str) -> Option<String> {
        let lines = description::lines(offer).ok()?;
        let crypto =
            lines.cryptos(0).into_iter().find(|(_, suite, keys)| *suite == SUITE && keys.matches('|').count() < 2);
        if self.srtp != crypto.is_some() || self.srtp != lines.word(0, 2).contains("SAVP") {
            return None;
        }
        let flow = match lines.direction(0) {
            _ if lines.address(0) == "0.0.0.0" => Flow::RecvOnly,
            "sendonly" => Flow::RecvOnly,
            "recvonly" => Flow::SendOnly,
            "inactive" => Flow::Inactive,
            _ => Flow::SendRecv,
        };
        let cryptos =
            crypto.map(|(tag, ..)| format!("a=crypto:{tag} {SUITE} inline:{}\r\n", self.key)).unwrap_or_default();
        let formats = self.common(&lines)?;
        Some(self.write(flow, &cryptos, &formats))
    }

    fn common(&self, offer: &Lines<'_>) -> Option<String> {
        let offered: Vec<&str> = offer.media.first()?[0].split(' ').skip(3).collect();
        let common: Vec<&str> = self.formats.split(' ').filter(|format| offered.contains(format)).collect();
        (!common.is_empty()).then(|| common.join(" "))
    }

    fn write(&mut self, flow: Flow, cryptos: &str, formats: &str) -> String {
        let (user, id, address) = (self.user, self.id, self.address);
        let connection = if flow == Flow::Zero { "0.0.0.0" } else { address };
        let profile = if self.srtp { "RTP/SAVP" } else { "RTP/AVP" };
        let (port, line) = (self.port, flow.line());
        let make = |version: u64| {
            format!(
                "v=0\r\no={user} {id} {version} IN IP4 {address}\r\ns=session\r\nc=IN IP4 {connection}\r\nt=0 0\r\n\
                 m=audio {port} {profile} {formats}\r\n{cryptos}a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na={line}\r\n"
            )
        };
        // The version counts changes (RFC 3264 §8).
        if self.last.as_ref().is_some_and(|last| *last != make(self.version)) {
            self.version += 1;
        }
        let sdp = make(self.version);
        self.last = Some(sdp.clone());
        sdp
    }
}

/// A key of 40 base64 characters that differs from call to call.
fn key(start: &str, number: u64) -> String {
    format!("{start}{number:032}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_answers_the_other() {
        let (mut hub, mut genesys) = (Media::hub(1), Media::genesys(1, true));
        for (offer, answer) in [
            {
                let offer = hub.offer(Flow::SendRecv);
                let answer = genesys.answer(&offer).expect("answer");
                (offer, answer)
            },
            {
                let offer = genesys.offer(Flow::SendOnly);
                let answer = hub.answer(&offer).expect("answer");
                (offer, answer)
            },
            {
                let offer = genesys.offer(Flow::Inactive);
                let answer = hub.answer(&offer).expect("answer");
                (offer, answer)
            },
        ] {
            assert_eq!(description::answer(&offer, &answer), vec![], "{offer}{answer}");
        }
        assert_eq!(description::to_hub(&hub.offer(Flow::SendRecv)), vec![]);
        assert_eq!(Media::genesys(1, false).answer(&hub.offer(Flow::SendRecv)), None);
    }

    #[test]
    fn the_version_counts_changes_only() {
        let mut media = Media::genesys(1, true);
        let first = media.offer(Flow::SendRecv);
        assert_eq!(first, media.offer(Flow::SendRecv));
        assert_eq!(description::successor(&first, &media.offer(Flow::Inactive), true, 0), vec![]);
    }
}
