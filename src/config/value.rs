//! Values of the file that are more than words: listeners, hosts, ranges, names.
//!
//! Each function reads one string; what it says of a string that it cannot read is the finding that
//! the operator sees.

use crate::flow::Transport;
use crate::trunk::Host;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// `tls:0.0.0.0:5061`, `udp:[::]:5060`.
pub(super) fn listener(text: &str) -> Result<(Transport, SocketAddr), String> {
    let fault = || format!("`{text}` is no listener; write for example \"tls:0.0.0.0:5061\" or \"udp:[::1]:5060\"");
    let (word, address) = text.split_once(':').ok_or_else(fault)?;
    let transport = transport(word).map_err(|_| fault())?;
    let address: SocketAddr = address.parse().map_err(|_| fault())?;
    match address.port() {
        0 => Err(format!("`{text}` names no port: peers have to know it, so choose one")),
        _ => Ok((transport, address)),
    }
}

/// `tls`, `tcp` or `udp`.
pub(super) fn transport(text: &str) -> Result<Transport, String> {
    match text {
        "tls" => Ok(Transport::Tls),
        "tcp" => Ok(Transport::Tcp),
        "udp" => Ok(Transport::Udp),
        _ => Err(format!("`{text}` is no transport; known: tls, tcp, udp")),
    }
}

/// A host name or an address, with or without port: `lb01.example.com`, `192.0.2.1:5061`, `[2001:db8::1]:5061`.
pub(super) fn host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))),
        None if text.parse::<IpAddr>().is_ok() => (text, Some("")),
        None => text.split_once(':').map_or((text, Some("")), |(name, port)| (name, Some(port))),
    };
    let fault = || format!("`{text}` is no host; write a name or an address, and a port if it has one (\"host:5061\")");
    let port = match port.ok_or_else(fault)? {
        "" if text.ends_with(':') => return Err(fault()),
        "" => None,
        digits => Some(digits.parse().ok().filter(|port: &u16| *port > 0).ok_or_else(fault)?),
    };
    let name = match name.parse::<IpAddr>() {
        Ok(address) => address.to_string(),
        Err(_) => host_name(name)?,
    };
    Ok(Host { name: Arc::from(name), port })
}

/// A host name in lower case, without the dot at its end.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) { Ok(name) } else { Err(format!("`{text}` is no host name")) }
}

/// A host name that is ours: at least two labels, and no address (TDR-44).
pub(super) fn fqdn(text: &str) -> Result<String, String> {
    let literal = text.trim_matches(['[', ']']);
    if literal.parse::<IpAddr>().is_ok() {
        return Err(format!("`{text}` is an address: the platforms verify a name (TDR-44)"));
    }
    match host_name(text)? {
        name if name.contains('.') => Ok(name),
        name => Err(format!("`{name}` is not fully qualified; write for example \"sbc1.example.com\"")),
    }
}

/// A name that a certificate may carry; `*.` in front stands for one label.
pub(super) fn certificate_name(text: &str) -> Result<Arc<str>, String> {
    let name = match text.strip_prefix("*.") {
        Some(rest) => format!("*.{}", host_name(rest)?),
        None => host_name(text)?,
    };
    Ok(Arc::from(name))
}

/// A range `192.0.2.0/24`, or an address alone.
pub(super) fn range(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    let range = text.parse::<IpNet>().or_else(|_| address());
    range.map(|range| range.trunc()).map_err(|_| format!("`{text}` is no range; write for example \"192.0.2.0/24\""))
}

/// An address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is no address; write for example \"192.0.2.1\" or \"2001:db8::1\""))
}

/// An address with port; `port` is meant where none is written.
pub(super) fn socket_address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let alone = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, port));
    text.parse().or_else(|_| alone()).map_err(|_| format!("`{text}` is no address with port, as \"127.0.0.1:{port}\""))
}

/// `host:port`, both given.
pub(super) fn advertised(text: &str) -> Result<(String, u16), String> {
    let host = host(text)?;
    match host.port {
        Some(port) => Ok((host.name.to_string(), port)),
        None => Err(format!("`{text}` lacks the port; write for example \"sbc1.example.com:5061\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_transport_address_and_port() {
        assert_eq!(listener("tls:0.0.0.0:5061"), Ok((Transport::Tls, "0.0.0.0:5061".parse().unwrap())));
        assert_eq!(listener("udp:[::1]:5060"), Ok((Transport::Udp, "[::1]:5060".parse().unwrap())));
        for wrong in ["0.0.0.0:5061", "ws:0.0.0.0:80", "tls:5061", "tls:0.0.0.0:0", "tls:sbc1.example.com:5061", ""] {
            assert!(listener(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_port() {
        let read = |text: &str| host(text).map(|host| (host.name.to_string(), host.port));
        assert_eq!(read("LB01.example.com."), Ok(("lb01.example.com".into(), None)));
        assert_eq!(read("lb01.example.com:5061"), Ok(("lb01.example.com".into(), Some(5061))));
        assert_eq!(read("127.0.0.11:5070"), Ok(("127.0.0.11".into(), Some(5070))));
        assert_eq!(read("[2001:db8::1]:5061"), Ok(("2001:db8::1".into(), Some(5061))));
        assert_eq!(read("2001:db8::1"), Ok(("2001:db8::1".into(), None)));
        for wrong in ["", "a b", "lb01:0", "lb01:99999", "lb01:", "sip:lb01", "-x.example.com", "[::1]5061", "a..b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn our_own_name_is_fully_qualified_and_no_address_tdr_44() {
        assert_eq!(fqdn("SBC1.Example.com"), Ok("sbc1.example.com".to_owned()));
        for wrong in ["192.0.2.1", "[2001:db8::1]", "sbc1", ""] {
            assert!(fqdn(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_and_addresses_are_read() {
        assert_eq!(range("192.0.2.77/24").unwrap().to_string(), "192.0.2.0/24");
        assert_eq!(range("127.0.0.11").unwrap().to_string(), "127.0.0.11/32");
        assert!(range("52.112.0.0/40").is_err() && range("example.com").is_err());
        assert_eq!(socket_address("10.0.0.1", 53).unwrap().port(), 53);
        assert_eq!(advertised("sbc1.example.com:5067"), Ok(("sbc1.example.com".into(), 5067)));
        assert!(advertised("sbc1.example.com").is_err());
        assert_eq!(certificate_name("*.Voice.example.com").unwrap().as_ref(), "*.voice.example.com");
        assert!(certificate_name("a*.example.com").is_err());
    }
}
