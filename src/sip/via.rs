//! Via: which way a request came, hop by hop, and so the way of its responses (RFC 3261 §18.2, §20.42, RFC 3581).

use super::message::{Message, split_list};
use super::name::Name;
use super::text::{Params, ValueError, find_unquoted, is_closed, split_at, split_unquoted};
use super::uri::{host_ip, host_port_of, port_of};
use std::net::SocketAddr;

/// One Via value.
#[derive(Clone, Copy, Debug)]
pub struct Via<'a> {
    transport: &'a str,
    host: &'a str,
    port: Option<u16>,
    params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one value; of a list only one element.
    ///
    /// # Errors
    ///
    /// [`ValueError::Version`] when it is not SIP/2.0, [`ValueError::Token`] without a transport or with an angle bracket,
    /// [`ValueError::Host`] or [`ValueError::Port`] for a malformed sent-by, [`ValueError::Unbalanced`] for a
    /// quoted string without end.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        // Blanks are allowed around each slash and colon (§25.1, RFC 4475 §3.1.1.1).
        let (protocol, rest) = split_at(value, b'/').ok_or(ValueError::Version)?;
        let (version, rest) = split_at(rest, b'/').ok_or(ValueError::Version)?;
        if !protocol.trim_ascii().eq_ignore_ascii_case("SIP") || version.trim_ascii() != "2.0" {
            return Err(ValueError::Version);
        }
        let rest = rest.trim_ascii();
        let blank = memchr::memchr2(b' ', b'\t', rest.as_bytes()).ok_or(ValueError::Token)?;
        let (transport, rest) = (&rest[..blank], &rest[blank + 1..]);
        if !super::is_token(transport) {
            return Err(ValueError::Token);
        }
        if memchr::memchr2(b'"', b'<', rest.as_bytes()).is_some() {
            if !is_closed(rest) {
                return Err(ValueError::Unbalanced);
            }
            // A list is split outside angle brackets: one in a Via would hide where the value ends.
            if find_unquoted(rest, b'<') < rest.len() {
                return Err(ValueError::Token);
            }
        }
        let end = find_unquoted(rest, b';');
        let (host, port) = host_port_of(&rest[..end])?;
        Ok(Self { transport, host, port, params: Params::new(rest.get(end + 1..).unwrap_or("")) })
    }

    /// The transport as written: `TLS`, `TCP`, `UDP` or another token; compared without case.
    pub fn transport(&self) -> &'a str {
        self.transport
    }

    /// The host of sent-by, an IPv6 address with its brackets.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port of sent-by, where one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// All parameters.
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// The branch (§8.1.1.7); `None` when there is none or it is empty, as RFC 2543 allows.
    pub fn branch(&self) -> Option<&'a str> {
        self.params.get("branch").filter(|branch| !branch.is_empty())
    }

    /// The source address that the next hop saw (§18.2.1); an IPv6 address may or may not have brackets.
    pub fn received(&self) -> Option<&'a str> {
        self.params.get("received").filter(|received| !received.is_empty())
    }

    /// The source port (RFC 3581): `None` without the parameter, `Some(None)` while it asks for a value.
    pub fn rport(&self) -> Option<Option<u16>> {
        self.params.get("rport").map(port_of)
    }

    /// The value of a request's first Via line as its responses have it: `received` where sent-by is not
    /// the address that the request came from, and both `received` and `rport` where rport is asked for
    /// (§18.2.1, RFC 3581 §4). All else stays as written (GEN-39), further values of the line included.
    ///
    /// A `received` or `rport` that the request brought along is corrected: it says where we would answer.
    /// `None` when nothing changes, or when the value is malformed.
    pub fn received_from(value: &str, source: SocketAddr) -> Option<String> {
        let first = split_list(value).next()?;
        let via = Via::parse(first).ok()?;
        let address = source.ip().to_canonical();
        let asked = via.params.has("rport");
        let elsewhere = host_ip(via.host).map(|host| host.to_canonical()) != Some(address);
        let wanted = asked || elsewhere || via.params.has("received");
        let right = !wanted || via.received().and_then(host_ip).map(|told| told.to_canonical()) == Some(address);
        if right && (!asked || via.rport() == Some(Some(source.port()))) {
            return None;
        }
        let start = value.find(first)?;
        let mut out = String::with_capacity(value.len() + 64);
        out.push_str(&value[..start]);
        let mut told = false;
        for (at, part) in split_unquoted(first, b';').enumerate() {
            let name = part.split('=').next().unwrap_or("").trim();
            match name {
                _ if at == 0 => out.push_str(part),
                _ if name.eq_ignore_ascii_case("received") => {
                    if !std::mem::replace(&mut told, true) {
                        out.push_str(&format!(";received={address}"));
                    }
                }
                _ if name.eq_ignore_ascii_case("rport") => out.push_str(&format!(";rport={}", source.port())),
                _ => {
                    out.push(';');
                    out.push_str(part);
                }
            }
        }
        if !told {
            out.push_str(&format!(";received={address}"));
        }
        out.push_str(&value[start + first.len()..]);
        Some(out)
    }
}

/// The first value of the first Via line: who sent this request, or whom a response is for.
///
/// # Errors
///
/// As [`Via::parse`]; [`ValueError::Empty`] when there is no value.
pub fn top_via(message: &Message) -> Result<Via<'_>, ValueError> {
    message.values(Name::Via).next().ok_or(ValueError::Empty).and_then(Via::parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_via_is_found() {
        let via = Via::parse("SIP/2.0/TLS sbc1.example.com:5061;alias;branch=z9hG4bK1;rport=5;received=192.0.2.1")
            .expect("reads");
        assert_eq!((via.transport(), via.host(), via.port()), ("TLS", "sbc1.example.com", Some(5061)));
        assert_eq!((via.branch(), via.received(), via.rport()), (Some("z9hG4bK1"), Some("192.0.2.1"), Some(Some(5))));
        assert!(via.params().has("alias"));
        // RFC 4475 §3.1.1.1
        let via = Via::parse("SIP  / 2.0\t/ UDP   spindle.example.com : 4000 ;  branch  =   z9hG4bK9ikj8  ;rport")
            .expect("reads");
        assert_eq!((via.transport(), via.host(), via.port()), ("UDP", "spindle.example.com", Some(4000)));
        assert_eq!((via.branch(), via.rport(), via.received()), (Some("z9hG4bK9ikj8"), Some(None), None));
        let via = Via::parse("SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255]").expect("reads");
        assert_eq!((via.host(), via.received(), via.rport()), ("[2001:db8::9:1]", Some("[2001:db8::9:255]"), None));
    }

    #[test]
    fn malformed_vias_are_refused() {
        for (value, error) in [
            ("", ValueError::Version),
            ("SIP/2.0", ValueError::Version),
            ("SIP/7.0/UDP example.com", ValueError::Version),
            ("HTTP/2.0/UDP example.com", ValueError::Version),
            ("SIP/2.0/UDP", ValueError::Token),
            ("SIP/2.0/ example.com", ValueError::Token),
            ("SIP/2.0/UDP ;branch=z9hG4bK1", ValueError::Host),
            ("SIP/2.0/UDP 2001:db8::1", ValueError::Port),
            ("SIP/2.0/UDP example.com:x", ValueError::Port),
            ("SIP/2.0/UDP example.com example.com", ValueError::Host),
            ("SIP/2.0/UDP example.com;x=<y>", ValueError::Token),
            ("SIP/2.0/UDP example.com;x=\"y", ValueError::Unbalanced),
        ] {
            assert_eq!(Via::parse(value).map(|_| ()), Err(error), "{value}");
        }
    }

    #[test]
    fn a_response_says_where_its_request_came_from() {
        let v4 = "192.0.2.7:33333";
        for (value, source, expected) in [
            // Nothing to say: sent-by is the source, and nobody asks for the port.
            ("SIP/2.0/UDP 192.0.2.7:5060;branch=1", v4, None),
            ("SIP/2.0/UDP [2001:db8::7];branch=1", "[2001:db8::7]:5060", None),
            ("SIP/2.0/UDP 192.0.2.7", "[::ffff:192.0.2.7]:5060", None),
            // A name or another address as sent-by.
            ("SIP/2.0/TLS a.example.com;branch=1", v4, Some("SIP/2.0/TLS a.example.com;branch=1;received=192.0.2.7")),
            ("SIP/2.0/UDP 10.0.0.1", v4, Some("SIP/2.0/UDP 10.0.0.1;received=192.0.2.7")),
            ("SIP/2.0/UDP a.example.com", "[2001:db8::7]:1", Some("SIP/2.0/UDP a.example.com;received=2001:db8::7")),
            // rport asks for both.
            (
                "SIP/2.0/UDP 192.0.2.7;rport;branch=1",
                v4,
                Some("SIP/2.0/UDP 192.0.2.7;rport=33333;branch=1;received=192.0.2.7"),
            ),
            // What is told already stays, and what is wrong is corrected.
            ("SIP/2.0/UDP a.example.com;received=192.0.2.7", v4, None),
            ("SIP/2.0/UDP a.example.com;rport=33333;received=192.0.2.7", v4, None),
            (
                "SIP/2.0/UDP a.example.com;received=10.9.9.9;b",
                v4,
                Some("SIP/2.0/UDP a.example.com;received=192.0.2.7;b"),
            ),
            ("SIP/2.0/UDP 192.0.2.7;received=10.9.9.9", v4, Some("SIP/2.0/UDP 192.0.2.7;received=192.0.2.7")),
            // All else stays as it is, further values of the line included (GEN-39).
            (
                "SIP / 2.0/TLS  a.example.com ; X=\"a;b\" ;alias , SIP/2.0/TLS b.example.com;rport",
                v4,
                Some(
                    "SIP / 2.0/TLS  a.example.com ; X=\"a;b\" ;alias;received=192.0.2.7 , SIP/2.0/TLS b.example.com;rport",
                ),
            ),
            ("nonsense", v4, None),
        ] {
            let found = Via::received_from(value, source.parse().expect("address"));
            assert_eq!(found.as_deref(), expected, "{value}");
        }
    }
}
