//! Via: which way a request came, hop by hop, and so the way of its responses (RFC 3261 §18.2, §20.42, RFC 3581).

use super::message::{Message, split_list};
use super::name::Name;
use super::text::{Params, ValueError, find_unquoted, split_unquoted};
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
    /// [`ValueError::Version`] when it is not SIP/2.0, [`ValueError::Token`] without a transport,
    /// [`ValueError::Host`] or [`ValueError::Port`] for a malformed sent-by.
    pub fn parse(value: &'a str) -> Result<Self, ValueError> {
        // Blanks are allowed around each slash and colon (§25.1, RFC 4475 §3.1.1.1).
        let (protocol, rest) = value.split_once('/').ok_or(ValueError::Version)?;
        let (version, rest) = rest.split_once('/').ok_or(ValueError::Version)?;
        if !protocol.trim().eq_ignore_ascii_case("SIP") || version.trim() != "2.0" {
            return Err(ValueError::Version);
        }
        let rest = rest.trim();
        let (transport, rest) = rest.split_once([' ', '\t']).ok_or(ValueError::Token)?;
        if !super::is_token(transport) {
            return Err(ValueError::Token);
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
