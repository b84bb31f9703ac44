//! Names to addresses (RFC 3263): a static table first, then the DNS, and the last good answer when that fails.
//!
//! The names of all trunks are looked up in the background by [`Resolver::run`], again when their records
//! expire and at least every 15 minutes (TDR-20); a changed result becomes a new snapshot, so that a call
//! finds its addresses there. Only names that appear in mid-dialog are resolved on demand, by
//! [`Resolver::resolve`]. Which addresses a trunk may be dialled at is checked here and again at the dial.

use super::SharedState;
use super::counters::Counters;
use super::records::{Pointer, Service, in_order, service_name};
use crate::flow::{Hop, Transport};
use crate::sip::host_ip;
use crate::snapshot::address_key;
use crate::trunk::Trunk;
use arc_swap::ArcSwap;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Where names lead; the keys are [`address_key`]s, as in the snapshot.
pub type Addresses = hashbrown::HashMap<String, SmallVec<[SocketAddr; 4]>>;

/// Addresses are asked for again at least this often, whatever their TTL (TDR-20).
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// And at most this often, so that a TTL of 0 does not become a loop.
const SHORTEST: Duration = Duration::from_secs(5);
/// How soon a failed lookup is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long one name may take, with all its questions.
const DEADLINE: Duration = Duration::from_secs(8);
/// The most names remembered; in-dialog hosts are below the suffixes of trunks, some hundreds.
const MOST_NAMES: usize = 1024;
/// The most addresses used of one name.
const MOST_ADDRESSES: usize = 16;

/// Why a name has no addresses.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ResolveError {
    /// The name is not one that can be asked for.
    #[error("{0} is not a host name")]
    BadName(String),
    /// The DNS says that there are none.
    #[error("{0} has no addresses")]
    NoAddresses(String),
    /// The DNS did not say.
    #[error("{name}: {reason}")]
    Failed {
        /// The name.
        name: String,
        /// What the resolver says.
        reason: String,
    },
}

struct Known {
    addresses: SmallVec<[SocketAddr; 4]>,
    fresh_until: Instant,
}

/// Resolves names; one for the whole process.
pub struct Resolver {
    runtime: tokio::runtime::Handle,
    dns: TokioResolver,
    hosts: ArcSwap<BTreeMap<String, SmallVec<[IpAddr; 4]>>>,
    known: Mutex<HashMap<String, Known>>,
    seed: u64,
    counters: Arc<Counters>,
    wake: Notify,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Makes a resolver whose questions are asked on `runtime`, the control plane's. Empty `name_servers`
    /// mean the system's; `hosts` maps lower-case names to addresses; `seed` settles the lots of RFC 2782.
    ///
    /// # Errors
    ///
    /// [`ResolveError::Failed`] when the system's DNS configuration cannot be read.
    pub fn new(
        runtime: tokio::runtime::Handle,
        name_servers: &[SocketAddr],
        hosts: BTreeMap<String, SmallVec<[IpAddr; 4]>>,
        seed: u64,
        counters: Arc<Counters>,
    ) -> Result<Arc<Self>, ResolveError> {
        let failed =
            |error: NetError| ResolveError::Failed { name: "DNS configuration".into(), reason: error.to_string() };
        let mut builder = if name_servers.is_empty() {
            // A machine without resolv.conf still runs on literals and the static table.
            TokioResolver::builder_tokio().unwrap_or_else(|_| {
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            })
        } else {
            let config = ResolverConfig::from_name_servers(name_servers.iter().map(name_server).collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = Duration::from_secs(2);
        options.attempts = 2;
        options.negative_max_ttl = Some(RETRY);
        options.positive_max_ttl = Some(LONGEST);
        let dns = builder.build().map_err(failed)?;
        Ok(Arc::new(Self {
            runtime,
            dns,
            hosts: ArcSwap::from_pointee(hosts),
            known: Mutex::default(),
            seed,
            counters,
            wake: Notify::new(),
        }))
    }

    /// Replaces the static table, after a reload.
    pub fn set_hosts(&self, hosts: BTreeMap<String, SmallVec<[IpAddr; 4]>>) {
        self.hosts.store(Arc::new(hosts));
        self.refresh();
    }

    /// Has [`run`](Self::run) look at the trunks again now: they may have changed.
    pub fn refresh(&self) {
        self.wake.notify_one();
    }

    /// Has the next questions asked, not answered from hickory's memory.
    #[cfg(test)]
    pub(super) fn forget_dns(&self) {
        self.dns.clear_cache();
    }

    /// Keeps the addresses of all hosts of all trunks fresh, for ever. `changed` gets all of them, at once
    /// and whenever one changed; it makes the new snapshot.
    pub async fn run(self: Arc<Self>, state: SharedState, mut changed: impl FnMut(Addresses)) {
        let mut last = None;
        loop {
            let trunks = state.load().snapshot.trunks.clone();
            let (addresses, fresh_for) = self.survey(&trunks).await;
            if last.as_ref() != Some(&addresses) {
                last = Some(addresses.clone());
                changed(addresses);
            }
            tokio::select! {
                () = tokio::time::sleep(fresh_for) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Resolves every host of `trunks`, and says how long the results are fresh. Addresses outside a
    /// trunk's ranges are left out and counted; a host without any usable address has no entry.
    pub async fn survey(self: &Arc<Self>, trunks: &[Arc<Trunk>]) -> (Addresses, Duration) {
        let mut lookups = JoinSet::new();
        for trunk in trunks {
            for host in &trunk.hosts {
                let (resolver, trunk, host) = (self.clone(), trunk.clone(), host.clone());
                lookups.spawn(async move {
                    let (found, fresh_until) = resolver.lookup(trunk.transport, &host.name, host.port).await;
                    (trunk, host, found, fresh_until)
                });
            }
        }
        let mut addresses = Addresses::new();
        let mut next = Instant::now() + LONGEST;
        while let Some(done) = lookups.join_next().await {
            let Ok((trunk, host, found, fresh_until)) = done else { continue };
            next = next.min(fresh_until);
            match found {
                Ok(found) => {
                    let allowed = self.allowed(&trunk, &host.name, found);
                    if !allowed.is_empty() {
                        addresses.insert(address_key(trunk.transport, &host.name, host.port), allowed);
                    }
                }
                Err(error) => tracing::warn!(trunk = %trunk.name, host = %host.name, %error, "name not resolved"),
            }
        }
        (addresses, next.saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST))
    }

    /// The addresses among `found` that `trunk` lets us dial; the others are counted.
    pub(super) fn allowed(
        &self,
        trunk: &Trunk,
        host: &str,
        mut found: SmallVec<[SocketAddr; 4]>,
    ) -> SmallVec<[SocketAddr; 4]> {
        // Both versions of a name are asked for, and a trunk may speak one of them (TDR-28): no fault of the name.
        found.retain(|address| trunk.speaks(address.ip()));
        found.retain(|address| {
            let covered = may_reach(trunk, host, address.ip());
            if !covered {
                self.counters.forbidden_addresses.add();
                tracing::warn!(trunk = %trunk.name, %host, %address, "address outside the trunk's ranges refused");
            }
            covered
        });
        found
    }

    /// The addresses of a host, best first; from memory while they are fresh. `port` is the one written.
    ///
    /// # Errors
    ///
    /// A [`ResolveError`] when there is no answer now and never was one.
    pub async fn resolve(
        self: &Arc<Self>,
        transport: Transport,
        host: &str,
        port: Option<u16>,
    ) -> Result<SmallVec<[SocketAddr; 4]>, ResolveError> {
        if let Some(addresses) = self.without_asking(transport, host, port) {
            return Ok(addresses);
        }
        // On the control runtime: hickory's sockets outlive the question, and must outlive a worker.
        let (resolver, name) = (self.clone(), host.to_owned());
        let lookup = self.runtime.spawn(async move { resolver.lookup(transport, &name, port).await.0 });
        let failed = |_| ResolveError::Failed { name: host.to_owned(), reason: "the resolver stopped".into() };
        lookup.await.map_err(failed)?
    }

    /// What needs no question: literals, the static table, fresh answers.
    fn without_asking(&self, transport: Transport, host: &str, port: Option<u16>) -> Option<SmallVec<[SocketAddr; 4]>> {
        if let Some(addresses) = self.settled(transport, host, port) {
            return Some(addresses);
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(&address_key(transport, host, port))?;
        (known.fresh_until > Instant::now()).then(|| known.addresses.clone())
    }

    /// Literals and the static table.
    fn settled(&self, transport: Transport, host: &str, port: Option<u16>) -> Option<SmallVec<[SocketAddr; 4]>> {
        let port = port.unwrap_or(transport.default_port());
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(SmallVec::from_iter([SocketAddr::new(address, port)]));
        }
        let hosts = self.hosts.load();
        let addresses = hosts.get(&host.trim_end_matches('.').to_ascii_lowercase())?;
        Some(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    /// Asks, remembers, and falls back on what was remembered. Also says until when the result is fresh.
    async fn lookup(
        &self,
        transport: Transport,
        host: &str,
        port: Option<u16>,
    ) -> (Result<SmallVec<[SocketAddr; 4]>, ResolveError>, Instant) {
        if let Some(addresses) = self.settled(transport, host, port) {
            return (Ok(addresses), Instant::now() + LONGEST);
        }
        let asked = tokio::time::timeout(DEADLINE, self.ask(transport, host, port)).await;
        let asked = asked
            .unwrap_or_else(|_| Err(ResolveError::Failed { name: host.into(), reason: "no answer in time".into() }));
        let now = Instant::now();
        let key = address_key(transport, host, port);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match asked {
            Ok((addresses, expires)) => {
                let fresh_until = expires.clamp(now + SHORTEST, now + LONGEST);
                if known.len() >= MOST_NAMES && !known.contains_key(&key) {
                    known.retain(|_, known| known.fresh_until > now);
                }
                if known.len() < MOST_NAMES || known.contains_key(&key) {
                    known.insert(key, Known { addresses: addresses.clone(), fresh_until });
                }
                (Ok(addresses), fresh_until)
            }
            // The DNS fails oftener than platforms move: the last good answer goes on (TDR-20 asks for
            // fresh names, not for lost calls).
            Err(error) => {
                self.counters.resolve_failures.add();
                match known.get_mut(&key) {
                    Some(known) => {
                        self.counters.stale_answers.add();
                        tracing::warn!(%host, %error, "resolving failed; the last good addresses stay");
                        known.fresh_until = now + RETRY;
                        (Ok(known.addresses.clone()), now + RETRY)
                    }
                    None => (Err(error), now + RETRY),
                }
            }
        }
    }

    /// Asks the DNS: NAPTR and SRV when no port is written, then A and AAAA (RFC 3263 §4.1, §4.2).
    async fn ask(
        &self,
        transport: Transport,
        host: &str,
        port: Option<u16>,
    ) -> Result<(SmallVec<[SocketAddr; 4]>, Instant), ResolveError> {
        // The dot keeps search domains out of it.
        let name = format!("{}.", host.trim_end_matches('.').to_ascii_lowercase());
        if let Some(port) = port {
            return self.ask_addresses(&name, port).await;
        }
        // Resolvers on the way that know no NAPTR answer with errors: that is no reason to stop.
        let pointers = self.query(&name, RecordType::NAPTR).await.ok().flatten();
        let pointers =
            pointers.iter().flat_map(|(lookup, _)| lookup.answers()).filter_map(|record| match &record.data {
                RData::NAPTR(naptr) => Some(Pointer {
                    order: naptr.order,
                    preference: naptr.preference,
                    flags: String::from_utf8_lossy(&naptr.flags).into_owned(),
                    services: String::from_utf8_lossy(&naptr.services).into_owned(),
                    replacement: naptr.replacement.to_ascii(),
                }),
                _ => None,
            });
        let service = service_name(transport, &name, pointers.collect());
        let Some((lookup, mut expires)) = self.query(&service, RecordType::SRV).await? else {
            return self.ask_addresses(&name, transport.default_port()).await;
        };
        let services = lookup.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some(Service {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: srv.target.to_ascii(),
            }),
            _ => None,
        });
        let mut addresses = SmallVec::new();
        let mut failure = ResolveError::NoAddresses(host.to_owned());
        for service in in_order(services.collect(), self.seed) {
            // One target without addresses must not take the others away.
            match self.ask_addresses(&service.target, service.port).await {
                Ok((found, until)) => {
                    addresses.extend(found);
                    expires = expires.min(until);
                }
                Err(error) => failure = error,
            }
        }
        addresses.truncate(MOST_ADDRESSES);
        if addresses.is_empty() { Err(failure) } else { Ok((addresses, expires)) }
    }

    async fn ask_addresses(&self, name: &str, port: u16) -> Result<(SmallVec<[SocketAddr; 4]>, Instant), ResolveError> {
        let (v4, v6) = tokio::join!(self.query(name, RecordType::A), self.query(name, RecordType::AAAA));
        let answers = match (v4, v6) {
            (Err(error), Ok(None) | Err(_)) | (Ok(None), Err(error)) => return Err(error),
            // Both families are used; the platforms publish IPv4, so that goes first.
            (v4, v6) => [v4.ok().flatten(), v6.ok().flatten()],
        };
        let mut addresses = SmallVec::new();
        let mut expires = Instant::now() + LONGEST;
        for (lookup, until) in answers.iter().flatten() {
            expires = expires.min(*until);
            addresses.extend(lookup.answers().iter().filter_map(|record| match &record.data {
                RData::A(address) => Some(SocketAddr::new(IpAddr::V4(address.0), port)),
                RData::AAAA(address) => Some(SocketAddr::new(IpAddr::V6(address.0), port)),
                _ => None,
            }));
        }
        addresses.truncate(MOST_ADDRESSES);
        let none = || ResolveError::NoAddresses(name.trim_end_matches('.').to_owned());
        if addresses.is_empty() { Err(none()) } else { Ok((addresses, expires)) }
    }

    /// One question; `None` when the DNS says that there are no such records.
    async fn query(&self, name: &str, kind: RecordType) -> Result<Option<(Lookup, Instant)>, ResolveError> {
        match self.dns.lookup(name, kind).await {
            Ok(lookup) => {
                let until = lookup.valid_until();
                Ok(Some((lookup, until)))
            }
            Err(error) if error.is_no_records_found() => Ok(None),
            Err(NetError::Proto(error)) => Err(ResolveError::BadName(format!("{name} ({error})"))),
            Err(error) => Err(ResolveError::Failed { name: name.to_owned(), reason: error.to_string() }),
        }
    }
}

/// Whether a trunk may be dialled at an address that `host` led to: one in its ranges, or one that the
/// operator wrote as a host.
pub(super) fn may_reach(trunk: &Trunk, host: &str, address: IpAddr) -> bool {
    trunk.covers(address) || (host_ip(host) == Some(address) && trunk.may_dial(host))
}

/// The port that was written for the host of `hop`: a configured host without one leaves it to SRV.
pub(super) fn written_port(trunk: &Trunk, hop: &Hop) -> Option<u16> {
    let configured = trunk.hosts.iter().find(|host| host.name.eq_ignore_ascii_case(&hop.host));
    configured.filter(|_| hop.port == trunk.transport.default_port()).map_or(Some(hop.port), |host| host.port)
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}
