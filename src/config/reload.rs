//! What changes when a running process reads its configuration again.
//!
//! Trunks keep their index by name, so that calls, counters and connections stay with them; a trunk that
//! is gone stays as a retired one while its calls live on. Then it is closed ([`close_trunk`]), and once no
//! connection means it any more, vacant ([`vacate_trunk`]): its place goes to the next new trunk. Listeners
//! keep their index by address. What cannot change without a restart keeps its old value and is named.

use super::{Finding, Loaded, Severity, load};
use crate::flow::{ListenerId, TrunkId};
use crate::settings::*;
use crate::trunk::Trunk;
use ipnet::IpNet;
use std::path::Path;
use std::sync::Arc;

/// The outcome of a reload.
#[derive(Clone, Debug)]
pub struct Reload {
    /// What is in force from now on.
    pub settings: Settings,
    /// The keys whose new value waits for a restart, such as `edge.workers`; the old one is kept.
    pub restart_keys: Vec<String>,
    /// The trunks that the new file no longer has: no new calls, dialogs go on.
    pub retired: Vec<String>,
    /// What the operator should know all the same; empty from [`diff`].
    pub warnings: Vec<Finding>,
}

/// A listener that does not exist: whoever has only this one cannot call before the restart.
const NO_LISTENER: ListenerId = ListenerId(u16::MAX);

/// Reads the file of `running` again.
///
/// # Errors
///
/// All findings when at least one is an error: `running` stays in force.
pub fn reload(path: &Path, running: &Settings) -> Result<Reload, Vec<Finding>> {
    let Loaded { settings, warnings } = load(path)?;
    let mut reload = Reload { warnings, ..diff(running, settings) };
    let trunks = reload.settings.trunks.iter().map(|settings| &settings.trunk);
    let waiting = trunks.filter(|trunk| !trunk.retired && trunk.listeners == [NO_LISTENER]).map(|trunk| {
        let message = format!("trunk {} neither calls nor is called yet: none of its listeners is open", trunk.name);
        Finding::of_file(Severity::Warning, path, message).remedy("restart Tandem to open them")
    });
    reload.warnings.extend(waiting);
    if reload.settings.trunks.len() > MAX_TRUNKS {
        let message =
            format!("there would be more than {MAX_TRUNKS} trunks, with those that were removed and still have calls");
        let remedy = "reload again when their calls have ended, or remove fewer at once";
        return Err(vec![Finding::of_file(Severity::Error, path, message).remedy(remedy)]);
    }
    Ok(reload)
}

/// Makes a retired trunk one that nobody can be: its last call has ended.
pub fn close_trunk(settings: &mut Settings, id: TrunkId) {
    if let Some(place) = settings.trunks.get_mut(usize::from(id.0)) {
        let trunk = Arc::new(place.trunk.closed());
        *place = TrunkSettings { trunk, tls: None, next_hop: None, dids: Vec::new(), secrets: Vec::new() };
    }
}

/// Makes the place of a closed trunk one without a trunk. Nothing may mean that trunk any more.
pub fn vacate_trunk(settings: &mut Settings, id: TrunkId) {
    if let Some(place) = settings.trunks.get_mut(usize::from(id.0)) {
        let trunk = Arc::new(Trunk::vacant(id));
        *place = TrunkSettings { trunk, tls: None, next_hop: None, dids: Vec::new(), secrets: Vec::new() };
    }
    while settings.trunks.last().is_some_and(|last| last.trunk.is_vacant()) {
        settings.trunks.pop();
    }
}

/// What is in force when `wanted` takes the place of `running`.
pub fn diff(running: &Settings, wanted: Settings) -> Reload {
    let mut settings = wanted;
    let mut restart_keys = Vec::new();
    let mut keep = |differs: bool, key: &str| {
        if differs {
            restart_keys.push(key.to_owned());
        }
    };
    keep(settings.workers != running.workers, "edge.workers");
    keep(settings.edge.t1 != running.edge.t1, "edge.t1");
    keep(settings.http != running.http, "http.listen");
    keep(settings.admin_socket != running.admin_socket, "admin.socket");
    keep(settings.log != running.log, "log");
    keep(settings.name_servers != running.name_servers, "dns.servers");
    settings.workers = running.workers;
    settings.edge.t1 = running.edge.t1;
    settings.http = running.http;
    settings.admin_socket.clone_from(&running.admin_socket);
    settings.log.clone_from(&running.log);
    settings.name_servers.clone_from(&running.name_servers);

    let renumbered = listeners(&mut settings, running);
    keep(renumbered.differs, "listen");
    let retired = trunks(&mut settings, running, &renumbered.ids);
    Reload { settings, restart_keys, retired, warnings: Vec::new() }
}

/// The listeners of a new file as those of the running process.
struct Renumbered {
    /// Of each listener of the new file in order: which it is here.
    ids: Vec<ListenerId>,
    /// Whether one is new or gone.
    differs: bool,
}

fn listeners(settings: &mut Settings, running: &Settings) -> Renumbered {
    let wanted = std::mem::replace(&mut settings.listeners, running.listeners.clone());
    let same =
        |one: &ListenerSettings, other: &ListenerSettings| one.transport == other.transport && one.bind == other.bind;
    let mut ids = Vec::with_capacity(wanted.len());
    for listener in &wanted {
        match settings.listeners.iter_mut().find(|known| same(known, listener)) {
            Some(known) => {
                known.advertise.clone_from(&listener.advertise);
                ids.push(known.id);
            }
            None => ids.push(NO_LISTENER),
        }
    }
    let gone = running.listeners.iter().any(|known| !wanted.iter().any(|listener| same(known, listener)));
    Renumbered { differs: gone || ids.contains(&NO_LISTENER), ids }
}

/// Gives trunks their old index and keeps those that are gone, as retired ones. Returns the names of these.
fn trunks(settings: &mut Settings, running: &Settings, listeners: &[ListenerId]) -> Vec<String> {
    let wanted = std::mem::take(&mut settings.trunks);
    let mut ids = Vec::with_capacity(wanted.len());
    let mut next = running.trunks.len();
    let mut vacant =
        running.trunks.iter().filter(|place| place.trunk.is_vacant()).map(|place| usize::from(place.trunk.id.0));
    for trunk in &wanted {
        let known = running.trunks.iter().position(|known| known.trunk.name == trunk.trunk.name);
        ids.push(known.or_else(|| vacant.next()).unwrap_or_else(|| {
            next += 1;
            next - 1
        }));
    }
    let others: Vec<Arc<Trunk>> = wanted.iter().map(|trunk| trunk.trunk.clone()).collect();
    let mut placed: Vec<Option<TrunkSettings>> = vec![None; next];
    for (mut trunk, place) in wanted.into_iter().zip(&ids) {
        let mut moved = (*trunk.trunk).clone();
        moved.id = trunk_id(*place);
        let count = moved.listeners.len();
        let here = moved.listeners.iter().filter_map(|id| listeners.get(usize::from(id.0)).copied());
        moved.listeners = here.filter(|id| *id != NO_LISTENER).collect();
        let known = running.trunks.get(*place).map(|known| &*known.trunk);
        let known = known.filter(|known| known.name == moved.name && known.transport == moved.transport);
        if moved.listeners.len() < count
            && let Some(known) = known
        {
            // Peers find us where we are, not where we shall be.
            moved.port = known.port;
        }
        if moved.listeners.is_empty() {
            // With a new neighbour at its sources, which policy of TLS would hold for them?
            let alone = |known: &&Trunk| !others.iter().any(|other| other.name != known.name && shared(other, &moved));
            moved.listeners = match known.filter(|known| !known.retired).filter(alone) {
                Some(known) => known.listeners.clone(),
                None => vec![NO_LISTENER],
            };
        }
        trunk.trunk = Arc::new(moved);
        if let Some(free) = placed.get_mut(*place) {
            *free = Some(trunk);
        }
    }
    let mut retired = Vec::new();
    for (place, known) in placed.iter_mut().zip(&running.trunks).filter(|(place, _)| place.is_none()) {
        if !known.trunk.retired {
            retired.push(known.trunk.name.to_string());
        }
        // Its connections need its identity for as long as they live.
        if let Some(tls) = &known.tls
            && let Some(files) = running.identities.get(&tls.identity)
        {
            settings.identities.entry(tls.identity.clone()).or_insert_with(|| files.clone());
        }
        let mut old = known.clone();
        old.trunk = Arc::new(Trunk { retired: true, ..(*known.trunk).clone() });
        *place = Some(old);
    }
    settings.trunks = placed.into_iter().flatten().collect();
    let here = |id: &mut TrunkId| {
        if let Some(place) = ids.get(usize::from(id.0)) {
            *id = trunk_id(*place);
        }
    };
    for route in &mut settings.routes {
        route.from.iter_mut().chain(route.to.iter_mut()).for_each(here);
    }
    settings.rules = Arc::new(settings.rules.renumbered(here));
    retired
}

/// Whether two trunks have a source in common.
fn shared(one: &Trunk, other: &Trunk) -> bool {
    let meet = |left: &IpNet, right: &IpNet| left.contains(right) || right.contains(left);
    one.sources.iter().any(|left| other.sources.iter().any(|right| meet(left, right)))
}

fn trunk_id(place: usize) -> TrunkId {
    TrunkId(u16::try_from(place).unwrap_or(u16::MAX))
}
