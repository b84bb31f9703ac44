//! SIP out of packets: pcap and pcapng, Ethernet to raw IP, IPv4 and IPv6 with their fragments, UDP and plain TCP.
//!
//! Only as much of each format as a capture of SIP has; every offset is checked, and what cannot be read is counted
//! and told. TLS stays closed: who has its keys exports the decrypted messages.

use super::capture::{Capture, Captured, MAX_MESSAGES, is_start};
use super::streams::Streams;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The most octets of one packet: above any medium's.
const MAX_PACKET: usize = 256 * 1024;

/// The most datagrams that wait for fragments.
const MAX_FRAGMENTED: usize = 256;

/// The most interfaces of a capture.
const MAX_INTERFACES: usize = 1024;

/// Reads a capture; `None`: the octets are none.
///
/// # Errors
///
/// What is wrong with its own format.
pub(super) fn read(octets: &Bytes) -> Option<Result<Capture, String>> {
    let classic = |little, nano| Some(classic(octets, little, nano));
    match octets.get(..4)? {
        [0xd4, 0xc3, 0xb2, 0xa1] => classic(true, false),
        [0xa1, 0xb2, 0xc3, 0xd4] => classic(false, false),
        [0x4d, 0x3c, 0xb2, 0xa1] => classic(true, true),
        [0xa1, 0xb2, 0x3c, 0x4d] => classic(false, true),
        [0x0a, 0x0d, 0x0d, 0x0a] => Some(blocks(octets)),
        _ => None,
    }
}

/// Numbers at places that may not be there.
struct Numbers<'o> {
    octets: &'o [u8],
    little: bool,
}

impl Numbers<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let octets: [u8; 2] = self.octets.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(octets) } else { u16::from_be_bytes(octets) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let octets: [u8; 4] = self.octets.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) })
    }

    fn length(&self, at: usize) -> Option<usize> {
        self.u32(at).and_then(|length| usize::try_from(length).ok())
    }
}

/// One file header, then records of seconds, fraction, length, original length and octets.
fn classic(octets: &Bytes, little: bool, nano: bool) -> Result<Capture, String> {
    let numbers = Numbers { octets, little };
    // The upper bits of the field say how long a frame check sequence is.
    let link = numbers.u32(20).ok_or("its file header is cut off")? & 0x0fff_ffff;
    let mut reading = Reading::default();
    let mut at = 24;
    while at < octets.len() && !reading.is_full() {
        let (Some(seconds), Some(fraction), Some(length)) =
            (numbers.u32(at), numbers.u32(at + 4), numbers.length(at + 8))
        else {
            reading.cut();
            break;
        };
        let start = at + 16;
        let data =
            (length <= MAX_PACKET).then(|| start.checked_add(length)).flatten().and_then(|end| octets.get(start..end));
        let Some(data) = data else {
            reading.cut();
            break;
        };
        let fraction = u64::from(fraction) / if nano { 1_000_000 } else { 1000 };
        reading.packet(link, Some(u64::from(seconds) * 1000 + fraction), data);
        at = start + length;
    }
    Ok(reading.finish())
}

/// Blocks: sections with their byte order, interfaces with their link type and clock, packets.
fn blocks(octets: &Bytes) -> Result<Capture, String> {
    let mut reading = Reading::default();
    let mut interfaces: Vec<(u32, u8)> = Vec::new();
    let (mut at, mut little) = (0, true);
    while at < octets.len() && !reading.is_full() {
        let mut numbers = Numbers { octets, little };
        if octets[at..].starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) {
            little = match octets.get(at + 8..at + 12) {
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => true,
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => false,
                _ => return Err("a section has no byte order".to_owned()),
            };
            numbers.little = little;
            interfaces.clear();
        }
        let (Some(kind), Some(length)) = (numbers.u32(at), numbers.length(at + 4)) else {
            reading.cut();
            break;
        };
        let end = at.checked_add(length).filter(|end| *end <= octets.len() && length >= 12 && length % 4 == 0);
        let Some(end) = end else {
            reading.cut();
            break;
        };
        let block = Numbers { octets: &octets[at..end - 4], little };
        match kind {
            1 if interfaces.len() < MAX_INTERFACES => {
                interfaces.push((u32::from(block.u16(8).unwrap_or(0)), resolution(&block)));
            }
            6 => packet(&mut reading, &interfaces, &block, block.length(8)),
            // The obsolete packet block has a count of drops beside its interface.
            2 => packet(&mut reading, &interfaces, &block, block.u16(8).map(usize::from)),
            3 => {
                let link = interfaces.first().map_or(0, |interface| interface.0);
                let data = block.octets.get(12..).unwrap_or_default();
                let length = block.length(8).unwrap_or(0).min(data.len());
                reading.packet(link, None, &data[..length]);
            }
            _ => {}
        }
        at = end;
    }
    Ok(reading.finish())
}

fn packet(reading: &mut Reading, interfaces: &[(u32, u8)], block: &Numbers<'_>, interface: Option<usize>) {
    let interface = interface.and_then(|place| interfaces.get(place));
    let (Some((link, resolution)), Some(high), Some(low), Some(length)) =
        (interface, block.u32(12), block.u32(16), block.length(20))
    else {
        return reading.cut();
    };
    let data = 28_usize.checked_add(length).and_then(|end| block.octets.get(28..end));
    let ticks = u128::from(high) << 32 | u128::from(low);
    let exponent = u32::from(resolution & 0x7f).min(63);
    let a_second = if resolution & 0x80 == 0 { 10_u128.checked_pow(exponent) } else { 2_u128.checked_pow(exponent) };
    let at_ms = a_second.and_then(|a_second| u64::try_from(ticks * 1000 / a_second).ok());
    match data {
        Some(data) => reading.packet(*link, at_ms, data),
        None => reading.cut(),
    }
}

/// `if_tsresol`: how many powers of ten, or of two, a second is divided into; microseconds unless said.
fn resolution(block: &Numbers<'_>) -> u8 {
    let mut at = 16;
    while let (Some(code), Some(length)) = (block.u16(at), block.u16(at + 2)) {
        match code {
            0 => break,
            9 => return block.octets.get(at + 4).copied().unwrap_or(6),
            _ => at += 4 + usize::from(length).next_multiple_of(4),
        }
    }
    6
}

/// A datagram that is not whole yet.
#[derive(Default)]
struct Fragments {
    pieces: BTreeMap<usize, Bytes>,
    whole: Option<usize>,
}

/// What identifies a datagram in pieces.
type FragmentKey = (IpAddr, IpAddr, u32);

/// The way from packets to messages.
#[derive(Default)]
struct Reading {
    capture: Capture,
    packets: usize,
    fragments: HashMap<FragmentKey, Fragments>,
    streams: Streams,
    other: usize,
    unknown_link: Option<u32>,
    cut_at: Option<usize>,
}

/// One packet of the Internet Protocol, as far as it matters.
struct Datagram {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    payload: Bytes,
    /// Identification, offset in octets, whether more follow.
    fragment: Option<(u32, usize, bool)>,
}

impl Reading {
    fn is_full(&self) -> bool {
        self.capture.messages.len() + self.streams.messages() >= MAX_MESSAGES
    }

    /// What follows cannot be told apart.
    fn cut(&mut self) {
        self.cut_at.get_or_insert(self.packets + 1);
    }

    fn packet(&mut self, link: u32, at_ms: Option<u64>, data: &[u8]) {
        self.packets += 1;
        let Some(start) = network(link, data) else {
            if !matches!(link, 0 | 1 | 12 | 14 | 101 | 108 | 113 | 228 | 229 | 276) {
                self.unknown_link = Some(link);
            }
            self.other += 1;
            return;
        };
        let datagram = internet(data.get(start..).unwrap_or_default()).and_then(|datagram| self.joined(datagram));
        let Some(datagram) = datagram else {
            self.other += 1;
            return;
        };
        self.transport(&datagram, at_ms);
    }

    /// The datagram that is whole with this piece.
    fn joined(&mut self, mut datagram: Datagram) -> Option<Datagram> {
        let Some((identification, offset, more)) = datagram.fragment else { return Some(datagram) };
        let key = (datagram.source, datagram.destination, identification);
        if self.fragments.len() >= MAX_FRAGMENTED && !self.fragments.contains_key(&key) {
            self.fragments.clear();
        }
        let fragments = self.fragments.entry(key).or_default();
        if !more {
            fragments.whole = Some(offset + datagram.payload.len());
        }
        fragments.pieces.entry(offset).or_insert(datagram.payload);
        let whole = fragments.whole.filter(|whole| *whole <= MAX_PACKET)?;
        let mut joined = Vec::with_capacity(whole);
        for (offset, piece) in &fragments.pieces {
            if *offset != joined.len() {
                return None;
            }
            joined.extend_from_slice(piece);
        }
        (joined.len() == whole).then_some(())?;
        self.fragments.remove(&key);
        datagram.payload = joined.into();
        Some(datagram)
    }

    fn transport(&mut self, datagram: &Datagram, at_ms: Option<u64>) {
        let numbers = Numbers { octets: &datagram.payload, little: false };
        let (Some(from), Some(to)) = (numbers.u16(0), numbers.u16(2)) else { return };
        let source = SocketAddr::new(datagram.source, from);
        let destination = SocketAddr::new(datagram.destination, to);
        match datagram.protocol {
            17 => {
                let length = usize::from(numbers.u16(4).unwrap_or(0)).clamp(8, datagram.payload.len().max(8));
                let payload = datagram.payload.get(8..length).unwrap_or_default().trim_ascii_start();
                let line = payload.split(|octet| *octet == b'\n').next().unwrap_or_default();
                if !is_start(line) {
                    self.other += 1;
                    return;
                }
                let (octets, place) = (datagram.payload.slice_ref(payload), format!("packet {}", self.packets));
                let captured = Captured { octets, place, source: Some(source), at_ms, notes: Vec::new() };
                self.capture.messages.push(captured);
            }
            6 => {
                let header = usize::from(numbers.octets.get(12).copied().unwrap_or(0) >> 4) * 4;
                let begins = numbers.octets.get(13).is_some_and(|flags| flags & 2 != 0);
                let (Some(sequence), Some(payload)) = (numbers.u32(4), datagram.payload.get(header.max(20)..)) else {
                    return;
                };
                let payload = datagram.payload.slice_ref(payload);
                let order = self.capture.messages.len();
                self.streams.segment((source, destination), sequence, begins, payload, self.packets, at_ms, order);
            }
            _ => self.other += 1,
        }
    }

    fn finish(self) -> Capture {
        let mut capture = self.capture;
        let full = capture.messages.len() + self.streams.messages() >= MAX_MESSAGES;
        let closed = self.streams.finish(&mut capture);
        let mut tell = |count: usize, what: &str| {
            if count > 0 {
                capture.left_out.push(format!("{count} {what}"));
            }
        };
        tell(closed.encrypted, "TCP streams are TLS and cannot be read");
        tell(closed.other, "TCP streams are no SIP");
        tell(closed.incomplete, "messages lack octets that were not captured");
        tell(self.fragments.len(), "datagrams lack fragments");
        tell(self.other, "packets are no SIP over UDP or TCP");
        if let Some(link) = self.unknown_link {
            capture.left_out.push(format!("packets of link type {link} are not known here"));
        }
        if let Some(packet) = self.cut_at {
            capture.left_out.push(format!("the file is cut off at packet {packet}"));
        }
        if full {
            capture.left_out.push(format!("what follows the first {MAX_MESSAGES} messages"));
        }
        capture
    }
}

/// Where the Internet Protocol begins in a frame of this link type.
fn network(link: u32, data: &[u8]) -> Option<usize> {
    let numbers = Numbers { octets: data, little: false };
    match link {
        1 => {
            let mut at = 12;
            // Tags of VLANs, one in another.
            for _ in 0..4 {
                match numbers.u16(at)? {
                    0x8100 | 0x88a8 | 0x9100 => at += 4,
                    0x0800 | 0x86dd => return Some(at + 2),
                    _ => return None,
                }
            }
            None
        }
        0 | 108 => Some(4),
        113 => matches!(numbers.u16(14)?, 0x0800 | 0x86dd).then_some(16),
        276 => matches!(numbers.u16(0)?, 0x0800 | 0x86dd).then_some(20),
        12 | 14 | 101 | 228 | 229 => Some(0),
        _ => None,
    }
}

fn internet(data: &[u8]) -> Option<Datagram> {
    let numbers = Numbers { octets: data, little: false };
    match data.first()? >> 4 {
        4 => {
            let header = usize::from(data[0] & 15) * 4;
            // A length of 0 is that of a packet which the card was to divide.
            let total = Some(usize::from(numbers.u16(2)?)).filter(|total| *total > 0).unwrap_or(data.len());
            let payload = data.get(header.max(20)..total.min(data.len()))?;
            let address =
                |at: usize| Some(IpAddr::from(<[u8; 4]>::try_from(data.get(at..at + 4)?).map(Ipv4Addr::from).ok()?));
            let (flags, identification) = (numbers.u16(6)?, u32::from(numbers.u16(4)?));
            let (offset, more) = (usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0);
            Some(Datagram {
                source: address(12)?,
                destination: address(16)?,
                protocol: *data.get(9)?,
                payload: Bytes::copy_from_slice(payload),
                fragment: (more || offset > 0).then_some((identification, offset, more)),
            })
        }
        6 => {
            let end = data.len().min(40 + usize::from(numbers.u16(4)?));
            let address =
                |at: usize| Some(IpAddr::from(<[u8; 16]>::try_from(data.get(at..at + 16)?).map(Ipv6Addr::from).ok()?));
            let (mut next, mut at, mut fragment) = (*data.get(6)?, 40, None);
            for _ in 0..8 {
                match next {
                    0 | 43 | 60 => {
                        next = *data.get(at)?;
                        at += (usize::from(*data.get(at + 1)?) + 1) * 8;
                    }
                    44 => {
                        next = *data.get(at)?;
                        let place = numbers.u16(at + 2)?;
                        fragment = Some((numbers.u32(at + 4)?, usize::from(place & 0xfff8), place & 1 != 0));
                        at += 8;
                    }
                    _ => break,
                }
            }
            Some(Datagram {
                source: address(8)?,
                destination: address(24)?,
                protocol: next,
                payload: Bytes::copy_from_slice(data.get(at..end)?),
                fragment,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: &[u8] = b"OPTIONS sip:sbc1.example.com SIP/2.0\r\nContent-Length: 0\r\n\r\n";

    /// A UDP datagram in an IPv6 packet, behind an extension header.
    fn ipv6() -> Vec<u8> {
        let udp = [&[0x13, 0xc4, 0x13, 0xc4, 0, u8::try_from(8 + OPTIONS.len()).unwrap(), 0, 0][..], OPTIONS].concat();
        let extension = [17, 0, 1, 4, 0, 0, 0, 0];
        let length = u8::try_from(udp.len() + extension.len()).unwrap();
        let mut source = [0; 16];
        source[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
        [&[0x60, 0, 0, 0, 0, length, 60, 64][..], &source, &source, &extension, &udp].concat()
    }

    fn file(link: u8, packet: &[u8]) -> Vec<u8> {
        let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
        let head = [0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, link];
        [&head[..], &[0; 8], &length, &length, packet].concat()
    }

    fn messages(file: Vec<u8>) -> Vec<Captured> {
        read(&file.into()).unwrap().unwrap().messages
    }

    #[test]
    fn each_link_type_leads_to_the_packet() {
        let cooked = [&[0; 14][..], &[0x86, 0xdd], &ipv6()].concat();
        let loopback = [&[0, 0, 0, 30][..], &ipv6()].concat();
        let ethernet = [&[0; 12][..], &[0x86, 0xdd], &ipv6()].concat();
        for (link, packet) in [(101, ipv6()), (113, cooked), (0, loopback), (1, ethernet)] {
            let found = messages(file(link, &packet));
            assert_eq!((found.len(), &found[0].octets[..]), (1, OPTIONS), "{link}");
            assert_eq!(found[0].source, Some("[2001:db8::]:5060".parse().unwrap()));
        }
        let second = [&[0x86, 0xdd][..], &[0; 18], &ipv6()].concat();
        assert_eq!(network(276, &second), Some(20));
        let unknown = read(&file(99, &ipv6()).into()).unwrap().unwrap();
        assert!(unknown.left_out.iter().any(|what| what.contains("link type 99")), "{unknown:?}");
    }

    #[test]
    fn what_is_no_capture_is_none_and_what_lies_about_itself_is_cut_off() {
        assert!(read(&Bytes::from_static(b"INVITE sip:a@example.com SIP/2.0")).is_none());
        assert!(read(&Bytes::from_static(b"ab")).is_none());
        let mut long = file(101, &ipv6());
        long[32..36].fill(0xff);
        let capture = read(&long.into()).unwrap().unwrap();
        assert!(capture.messages.is_empty() && capture.left_out[0].contains("cut off at packet 1"), "{capture:?}");
        let section = [0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0, 1, 2, 3, 4];
        assert!(read(&Bytes::copy_from_slice(&section)).unwrap().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_octets_make_it_panic(octets: Vec<u8>, at in 0_usize..200, flip: u8, link: u8, block: u8) {
            let mut spoilt = file(link, &ipv6());
            let place = at % spoilt.len();
            spoilt[place] ^= flip;
            spoilt.extend(&octets);
            let _ = read(&spoilt.into());
            let _ = internet(&octets);
            let _ = network(u32::from(link), &octets);
            let mut blocks = vec![0x0a, 0x0d, 0x0d, 0x0a, 12, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a];
            blocks.extend([1, 0, 0, 0, 20, 0, 0, 0, link, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0]);
            let body = u32::try_from(12 + octets.len() / 4 * 4).unwrap();
            blocks.extend([block % 8, 0, 0, 0]);
            blocks.extend(body.to_le_bytes());
            blocks.extend(&octets);
            blocks.extend([0; 8]);
            let _ = read(&blocks.into());
        }
    }
}
