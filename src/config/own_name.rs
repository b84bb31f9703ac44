//! Where our own names toward Teams lead (TDR-24): to one address, and to ours.
//!
//! The hub sends OPTIONS and calls to the name that it knows us by, so a name with two addresses, or with
//! somebody else's, is a trunk that rings now and then. What our address is, is known only where the
//! configuration says it: an address that is advertised, or a public one that a listener is bound to. Behind
//! NAT without either, the number of addresses is all that is looked at.
//!
//! Not looked at are names that no DNS has (RFC 2606, RFC 6761) and labs on loopback, unless the file
//! says itself, in `[hosts]`, where they lead.

use crate::flow::Transport;
use crate::settings::{ListenerSettings, Settings, TrunkSettings};
use crate::transport::{ResolveError, Resolver};
use crate::trunk::Kind;
use smallvec::SmallVec;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What to do about a name that leads elsewhere.
pub const REMEDY: &str = "publish one A record for the trunk's fqdn, with the public address of this SBC; \
    if that address is another than the configuration says, correct listen or advertise";

/// A name by which Teams knows us.
#[derive(Clone, Debug)]
pub struct OwnName {
    /// The name.
    pub fqdn: Arc<str>,
    transport: Transport,
    port: u16,
    /// Our addresses, as far as the configuration says them.
    own: BTreeSet<IpAddr>,
    /// Where the file itself says that it leads.
    written: Option<SmallVec<[IpAddr; 4]>>,
}

/// The names of the trunks toward Teams that are to be looked at, each once.
pub fn own_names(settings: &Settings) -> Vec<OwnName> {
    let mut names: Vec<OwnName> = Vec::new();
    let teams = |trunk: &&TrunkSettings| trunk.trunk.kind == Kind::Teams && !trunk.trunk.retired;
    for trunk in settings.trunks.iter().filter(teams).map(|trunk| &trunk.trunk) {
        let written = settings.hosts.get(&*trunk.fqdn).cloned();
        let listeners = || settings.listeners.iter().filter(|listener| trunk.listeners.contains(&listener.id));
        let lab = is_reserved(&trunk.fqdn) || listeners().all(|listener| listener.bind.ip().is_loopback());
        if lab && written.is_none() {
            continue;
        }
        let own = listeners().filter_map(|listener| address(listener, written.is_some()));
        match names.iter_mut().find(|name| name.fqdn == trunk.fqdn) {
            Some(name) => name.own.extend(own),
            None => names.push(OwnName {
                fqdn: trunk.fqdn.clone(),
                transport: trunk.transport,
                port: trunk.port,
                own: own.collect(),
                written,
            }),
        }
    }
    names
}

/// Where peers reach a listener, if the configuration says it; `lab`: even on an address that is not public.
fn address(listener: &ListenerSettings, lab: bool) -> Option<IpAddr> {
    match &listener.advertise {
        Some((host, _)) => host.parse().ok(),
        None => Some(listener.bind.ip()).filter(|bound| !bound.is_unspecified() && (lab || is_public(*bound))),
    }
}

impl OwnName {
    /// Asks where the name leads, and says what is wrong with that; `None`: the DNS did not say.
    pub async fn look(&self, resolver: &Arc<Resolver>) -> Option<Result<(), String>> {
        if let Some(written) = &self.written {
            return Some(self.judge(written));
        }
        match resolver.resolve(self.transport, &self.fqdn, Some(self.port)).await {
            Ok(found) => Some(self.judge(&found.iter().map(|address| address.ip()).collect::<Vec<_>>())),
            Err(ResolveError::NoAddresses(_)) => Some(self.judge(&[])),
            Err(ResolveError::BadName(_) | ResolveError::Failed { .. }) => None,
        }
    }

    fn judge(&self, found: &[IpAddr]) -> Result<(), String> {
        let fqdn = &self.fqdn;
        let found: BTreeSet<IpAddr> = found.iter().map(IpAddr::to_canonical).collect();
        if found.is_empty() {
            return Err(format!("{fqdn} has no address, so Teams cannot reach this SBC"));
        }
        for family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
            let (led, own) = (of(&found, family), of(&self.own, family));
            if led.len() > 1 {
                return Err(format!("{fqdn} leads to {}, and Teams supports one address for a name", list(&led)));
            }
            if !own.is_empty() && led.iter().any(|address| !own.contains(address)) {
                return Err(format!("{fqdn} leads to {}, and this SBC is at {}", list(&led), list(&own)));
            }
        }
        Ok(())
    }
}

fn of(addresses: &BTreeSet<IpAddr>, family: fn(&IpAddr) -> bool) -> Vec<IpAddr> {
    addresses.iter().copied().filter(family).collect()
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Whether an address can be the one that Teams sees: not one of those that only live behind NAT.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1]); // RFC 6598
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// Whether a name is set aside for examples and tests (RFC 2606, RFC 6761).
fn is_reserved(fqdn: &str) -> bool {
    const RESERVED: [&str; 7] =
        ["example", "invalid", "test", "localhost", "example.com", "example.net", "example.org"];
    RESERVED.iter().any(|end| fqdn.strip_suffix(end).is_some_and(|front| front.is_empty() || front.ends_with('.')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(own: &[&str]) -> OwnName {
        let own = own.iter().map(|address| address.parse().unwrap()).collect();
        OwnName { fqdn: "sbc1.example.com".into(), transport: Transport::Tls, port: 5061, own, written: None }
    }

    fn fault(own: &[&str], found: &[&str]) -> String {
        let found: Vec<IpAddr> = found.iter().map(|address| address.parse().unwrap()).collect();
        name(own).judge(&found).err().unwrap_or_default()
    }

    #[test]
    fn tdr_24_a_name_leads_to_one_address() {
        assert_eq!(fault(&[], &["192.0.2.1"]), "");
        assert_eq!(fault(&[], &["192.0.2.1", "192.0.2.1"]), "", "the same twice");
        assert_eq!(fault(&[], &["192.0.2.1", "2001:db8::1"]), "", "one of each family");
        assert!(fault(&[], &["192.0.2.1", "192.0.2.2"]).contains("leads to 192.0.2.1 and 192.0.2.2"));
        assert!(fault(&[], &["2001:db8::1", "2001:db8::2"]).contains("one address for a name"));
        assert!(fault(&[], &[]).contains("has no address"));
    }

    #[test]
    fn tdr_24_a_name_leads_to_us_as_far_as_the_configuration_says_where_we_are() {
        assert_eq!(fault(&["192.0.2.1"], &["192.0.2.1"]), "");
        assert!(fault(&["192.0.2.1"], &["192.0.2.9"]).contains("leads to 192.0.2.9, and this SBC is at 192.0.2.1"));
        assert_eq!(fault(&["2001:db8::1"], &["192.0.2.9"]), "", "nothing is known of the other family");
        assert_eq!(fault(&["192.0.2.1", "192.0.2.2"], &["192.0.2.2"]), "", "two listeners");
    }

    #[tokio::test]
    async fn what_the_dns_does_not_say_is_no_fault() {
        let hosts = [("sbc1.example.com".to_owned(), SmallVec::from_iter(["192.0.2.1".parse().unwrap()]))];
        let runtime = tokio::runtime::Handle::current;
        // Nobody answers at this port; the static table is asked first.
        let silent = [std::net::SocketAddr::from(([127, 0, 0, 1], 9))];
        let resolver = Resolver::new(runtime(), &silent, hosts.into(), 0, Arc::default()).unwrap();
        assert_eq!(name(&["192.0.2.1"]).look(&resolver).await, Some(Ok(())));
        assert!(name(&["192.0.2.9"]).look(&resolver).await.is_some_and(|result| result.is_err()));
        let never_asked = OwnName { fqdn: "a".repeat(64).into(), ..name(&[]) };
        assert_eq!(never_asked.look(&resolver).await, None);
    }

    #[test]
    fn our_address_is_what_is_advertised_or_a_public_one_that_is_bound() {
        let own = |bind: &str, advertise: Option<&str>, lab| {
            let advertise = advertise.map(|host| (host.to_owned(), 5061));
            let (id, bind) = (crate::flow::ListenerId(0), bind.parse().unwrap());
            let listener = ListenerSettings { id, transport: Transport::Tls, bind, advertise };
            address(&listener, lab).map(|address| address.to_string()).unwrap_or_default()
        };
        assert_eq!(own("192.0.2.1:5061", None, false), "192.0.2.1");
        assert_eq!(own("10.0.0.5:5061", Some("192.0.2.1"), false), "192.0.2.1");
        for behind in ["0.0.0.0:5061", "10.0.0.5:5061", "100.64.0.1:5061", "[fd00::1]:5061", "127.0.0.1:5061"] {
            assert_eq!(own(behind, None, false), "", "{behind}: NAT may be in front");
        }
        assert_eq!(own("127.0.0.1:5061", None, true), "127.0.0.1", "the file says where names lead");
        assert_eq!(own("10.0.0.5:5061", Some("sbc1.example.com"), true), "", "a name says nothing");
    }

    #[test]
    fn names_for_examples_and_tests_are_asked_nowhere() {
        for name in ["sbc1.example.com", "sbc.test", "a.b.invalid", "localhost"] {
            assert!(is_reserved(name), "{name}");
        }
        assert!(!is_reserved("sbc1.myexample.com") && !is_reserved("sbc1.contoso.com"));
    }
}
