//! A platform: its sockets, its legs, what it saw and what it found wrong.

use super::call::{PATIENCE, Unmet};
use super::checks::{Breach, dialog};
use super::digest::Desk;
use super::media::Media;
use super::network::{self, Arrival, Arrivals, Connection};
use super::octets::{Plain, address};
use super::roles::{Ids, Side};
use super::text::Text;
use super::tls::Tls;
use bytes::Bytes;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

/// The most events that wait for a script.
const EVENTS: usize = 256;

/// The most arrivals that wait to be handled.
const ARRIVALS: usize = 4096;

/// The most INVITEs that wait for a script.
const CALLS: usize = 1024;

/// What a platform is started from.
#[derive(Debug)]
pub struct Setup {
    /// Who it plays.
    pub side: Side,
    /// Its TLS; `None` plays over TCP.
    pub tls: Option<Tls>,
    /// Listeners, all on one port; the first takes calls, Record-Route leads to the second where there
    /// is one, the third is the instance that Genesys names in Contact.
    pub listeners: Vec<TcpListener>,
    /// Addresses that requests come from, in turn: each request within a dialog on a new connection
    /// from the next (TDR-22, GEN-7).
    pub sources: Vec<IpAddr>,
    /// Where the SBC listens.
    pub sbc: SocketAddr,
}

/// A message on its way, as the platform saw it.
#[derive(Clone, Debug)]
pub struct Traced {
    /// When it was sent or had arrived.
    pub at: Instant,
    /// Whether the platform sent it.
    pub sent: bool,
    /// The platform's end.
    pub local: SocketAddr,
    /// The SBC's end.
    pub remote: SocketAddr,
    /// The message as it was.
    pub octets: Bytes,
    /// The message taken apart; empty when it could not be read.
    pub plain: Plain,
    /// What was wrong with it.
    pub breaches: Vec<Breach>,
}

/// What happens on a leg, for its script.
#[derive(Clone, Debug)]
pub enum Happened {
    /// A response to a request of the script.
    Response(Plain),
    /// A request of the SBC; it has its response already, ACK apart.
    Request(Plain),
    /// The platform's ACK to a 2xx left.
    Acknowledged(Plain),
}

/// A platform that is played. Dropping the last handle closes its sockets.
#[derive(Clone, Debug)]
pub struct Platform(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) side: Side,
    pub(crate) listeners: Vec<SocketAddr>,
    tls: Option<Tls>,
    sources: Vec<IpAddr>,
    pub(crate) sbc: SocketAddr,
    state: Mutex<State>,
    /// What it asks and proves by Digest.
    pub(crate) desk: Mutex<Desk>,
    arrivals: Arrivals,
    pub(crate) calls: tokio::sync::Mutex<mpsc::Receiver<(String, mpsc::Receiver<Happened>)>>,
    pub(crate) waiting: mpsc::Sender<(String, mpsc::Receiver<Happened>)>,
    /// Wakes whoever waits for OPTIONS.
    pub(crate) pinged: Notify,
    /// First the one that handles arrivals, then one a listener.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) legs: HashMap<String, Leg>,
    /// Client transactions by branch and method.
    pub(crate) clients: HashMap<(String, String), Client>,
    /// Requests that came, by branch and method, with the last response.
    pub(crate) servers: HashMap<(String, String), u16>,
    /// When OPTIONS for a host came last (TDR-32).
    pub(crate) options: HashMap<String, Instant>,
    /// No Record-Route; Contact names the route host instead (TDR-84).
    bare: bool,
    /// The status of the answer to OPTIONS; 0 for 200.
    pub(crate) options_status: u16,
    /// All there ever were; those that are over are gone.
    connections: Vec<Weak<Connection>>,
    trace: Vec<Traced>,
    counter: u64,
    seed: u64,
    turn: usize,
}

/// A request that the platform sent and what has come back.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) request: Plain,
    pub(crate) connection: Arc<Connection>,
    pub(crate) final_status: u16,
    /// The ACK that was sent for a 2xx, to repeat.
    pub(crate) ack: Option<Bytes>,
}

/// One dialog, or one in the making, as the platform sees it.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) ids: Ids,
    /// From or To of the platform in its own requests, tag included once chosen.
    pub(crate) local: String,
    /// The other party, tag included once known.
    pub(crate) remote: String,
    /// Where its requests go: Request-URI, and Route values.
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) dialog: dialog::Dialog,
    pub(crate) cseq: u32,
    /// The INVITE that came, or that was sent.
    pub(crate) invite: Plain,
    pub(crate) connection: Arc<Connection>,
    /// CSeq of the last INVITE from the SBC, and whether its ACK has come.
    pub(crate) their_invite: Option<u32>,
    pub(crate) acked: bool,
    /// The final status of the INVITE; 0 before.
    pub(crate) final_status: u16,
    pub(crate) ended: bool,
    /// Left over from an earlier scenario.
    pub(crate) abandoned: bool,
    pub(crate) media: Media,
    /// Our offer that waits for its answer.
    pub(crate) offered: Option<String>,
    /// Their offer that was answered, or ours, whichever was last.
    pub(crate) their_last: Option<String>,
    /// The SBC's Contact, which stays (TDR-53).
    pub(crate) their_contact: String,
    /// Tags of the SBC's responses to the INVITE (GEN-44).
    pub(crate) their_tags: Vec<String>,
    /// Status for the next request of the SBC instead of 200.
    pub(crate) refuse: Option<u16>,
    /// A re-INVITE or UPDATE of the platform waits for its final response.
    pub(crate) offering: bool,
    /// Offers of the SBC that were refused since its last description that counted.
    pub(crate) refused: u64,
    pub(crate) events: mpsc::Sender<Happened>,
}

impl Platform {
    /// Starts listening.
    ///
    /// # Errors
    ///
    /// When there is no listener or no source, or a listener's address cannot be read.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let Setup { side, tls, listeners, sources, sbc } = setup;
        let (arrivals, inbox) = mpsc::channel(ARRIVALS);
        let (waiting, calls) = mpsc::channel(CALLS);
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        if addresses.is_empty() || sources.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a platform needs a listener and a source"));
        }
        let state = State { seed: RandomState::new().build_hasher().finish(), ..State::default() };
        let inner = Arc::new(Inner {
            side,
            listeners: addresses,
            tls,
            sources,
            sbc,
            state: Mutex::new(state),
            desk: Mutex::default(),
            arrivals,
            calls: tokio::sync::Mutex::new(calls),
            waiting,
            pinged: Notify::new(),
            tasks: Mutex::new(Vec::new()),
        });
        inner.tasks().push(tokio::spawn(dispatch(Arc::downgrade(&inner), inbox)));
        let platform = Self(inner);
        platform.listen(listeners);
        Ok(platform)
    }

    fn listen(&self, listeners: Vec<TcpListener>) {
        let accept = |listener| network::accept(listener, self.0.tls.clone(), self.0.arrivals.clone());
        self.0.tasks().extend(listeners.into_iter().map(|listener| tokio::spawn(accept(listener))));
    }

    /// Dies as a process does: nobody listens any more, and every connection ends without a word. What the
    /// platform knows of calls stays, as with one that keeps them elsewhere.
    pub async fn go_down(&self) {
        let listening: Vec<_> = self.0.tasks().drain(1..).collect();
        for task in listening {
            task.abort();
            // Only then is the socket closed.
            let _ = task.await;
        }
        for connection in std::mem::take(&mut self.0.state().connections) {
            let _ = connection.upgrade().map(|connection| connection.cut());
        }
    }

    /// Listens again where it did before [`go_down`](Self::go_down).
    ///
    /// # Errors
    ///
    /// When a port was taken meanwhile.
    pub async fn come_back(&self) -> io::Result<()> {
        let mut listeners = Vec::new();
        for address in &self.0.listeners {
            listeners.push(TcpListener::bind(address).await?);
        }
        self.listen(listeners);
        Ok(())
    }

    /// Who it plays.
    pub fn side(&self) -> &Side {
        &self.0.side
    }

    /// Where it takes calls.
    pub fn address(&self) -> SocketAddr {
        self.0.listeners[0]
    }

    /// Everything that it sent and received so far, in order.
    pub fn trace(&self) -> Vec<Traced> {
        self.0.state().trace.clone()
    }

    /// Every rule broken so far.
    pub fn breaches(&self) -> Vec<Breach> {
        self.0.state().trace.iter().flat_map(|traced| traced.breaches.clone()).collect()
    }

    /// Forgets trace and breaches, and that legs were left: what follows is another scenario's.
    pub fn forget(&self) {
        let mut state = self.0.state();
        state.trace.clear();
        for leg in state.legs.values_mut() {
            leg.abandoned = true;
        }
    }

    /// Answers OPTIONS with this status from now on; 200 is the usual one (TDR-35, 39; GEN-84).
    pub fn answer_options(&self, status: u16) {
        self.0.state().options_status = status;
    }

    /// From now on without Record-Route, or with it again (TDR-84). For the hub.
    pub fn omit_record_route(&self, omit: bool) {
        self.0.state().bare = omit;
    }

    /// Takes back breaches of `rule`: the scenario provokes them to see the refusal cross.
    pub fn expected(&self, rule: &str) {
        for traced in &mut self.0.state().trace {
            traced.breaches.retain(|breach| breach.rule != rule);
        }
    }

    /// Call-IDs of legs that are neither refused nor ended.
    pub fn live_legs(&self) -> Vec<String> {
        let state = self.0.state();
        let live = state.legs.iter().filter(|(_, leg)| {
            leg.invite.method() == "INVITE" && !leg.ended && !leg.abandoned && leg.final_status < 300
        });
        live.map(|(call_id, _)| call_id.clone()).collect()
    }

    /// Waits until the SBC has sent OPTIONS for `hosts` different hosts (TDR-30, 31).
    ///
    /// # Errors
    ///
    /// When it has not in time.
    pub async fn pinged(&self, hosts: usize) -> Result<(), Unmet> {
        let enough = async {
            loop {
                let heard = self.0.pinged.notified();
                if self.0.state().options.len() >= hosts {
                    return;
                }
                heard.await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.map_err(|_| {
            let seen = self.0.state().options.len();
            Unmet(format!("{}: OPTIONS came for {seen} hosts of {hosts}", self.side().name()))
        })
    }

    /// Closes every connection on which the SBC has sent something: flows are lost, calls are not.
    pub fn cut_connections(&self) {
        let state = self.0.state();
        for leg in state.legs.values() {
            leg.connection.close();
        }
        for client in state.clients.values() {
            client.connection.close();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in self.tasks().drain(..) {
            task.abort();
        }
    }
}

/// Handles arrivals one after the other, so that what the platform saw has an order.
async fn dispatch(inner: Weak<Inner>, mut inbox: mpsc::Receiver<(Arc<Connection>, Arrival)>) {
    while let Some((connection, arrival)) = inbox.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        match arrival {
            Arrival::Message(octets) => inner.receive(octets, &connection),
            Arrival::Garbage(text) => {
                let breach = Breach { rule: "RFC 3261 §18.3", text, status: None };
                inner.note(false, &connection, Bytes::new(), Plain::default(), vec![breach]);
                connection.close();
            }
            Arrival::Opened => inner.state().connections.push(Arc::downgrade(&connection)),
            Arrival::Closed => {}
        }
    }
}

impl Inner {
    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another script leaves nothing half done here.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message into the trace.
    pub(crate) fn note(&self, sent: bool, on: &Connection, octets: Bytes, plain: Plain, breaches: Vec<Breach>) {
        let traced = Traced { at: Instant::now(), sent, local: on.local, remote: on.remote, octets, plain, breaches };
        self.state().trace.push(traced);
    }

    /// Adds to what is wrong with the last message that came.
    pub(crate) fn blame(&self, rule: &'static str, text: String) {
        let mut state = self.state();
        let breach = Breach { rule, text, status: None };
        if let Some(traced) = state.trace.iter_mut().rev().find(|traced| !traced.sent) {
            traced.breaches.push(breach);
        }
    }

    /// Sends on a connection that is there; `false` when it is gone.
    pub(crate) fn send_on(&self, connection: &Connection, octets: Bytes) -> bool {
        let plain = Plain::read(&octets).unwrap_or_default();
        self.note(true, connection, octets.clone(), plain, Vec::new());
        connection.send(octets)
    }

    /// Opens a connection from the next source.
    pub(crate) async fn connect(&self) -> io::Result<Arc<Connection>> {
        let source = {
            let mut state = self.state();
            state.turn += 1;
            self.sources[(state.turn - 1) % self.sources.len()]
        };
        let (fqdn, tls) = (self.sbc_name(), self.tls.as_ref());
        network::dial(source, self.sbc, &fqdn, tls, self.arrivals.clone()).await
    }

    fn sbc_name(&self) -> String {
        match &self.side {
            Side::Hub(trunk) => trunk.fqdn.clone(),
            Side::Genesys(trunk) => trunk.fqdn.clone(),
        }
    }

    /// A number that no other identifier of this platform has, and its seed.
    pub(crate) fn count(&self) -> (u64, u64) {
        let mut state = self.state();
        state.counter += 1;
        (state.seed, state.counter)
    }

    /// A branch that is unique.
    pub(crate) fn branch(&self) -> String {
        let (seed, number) = self.count();
        format!("z9hG4bK{seed:x}{number:x}")
    }

    /// Identifiers for a new leg whose own party is `user`.
    pub(crate) fn ids(&self, user: &str) -> Ids {
        let (seed, number) = self.count();
        let at = self.listeners.get(1).unwrap_or(&self.listeners[0]);
        let instance = self.listeners.get(2).unwrap_or(at);
        let ids = self.side.ids(seed, number, *at, *instance, user);
        if self.state().bare { ids.bare(*at) } else { ids }
    }

    /// The platform's port.
    pub(crate) fn port(&self) -> u16 {
        self.listeners[0].port()
    }

    /// Registers a leg and the mailbox of its script.
    pub(crate) fn open(
        &self,
        call_id: &str,
        make: impl FnOnce(mpsc::Sender<Happened>) -> Leg,
    ) -> mpsc::Receiver<Happened> {
        let (events, mailbox) = mpsc::channel(EVENTS);
        let leg = make(events);
        self.state().legs.insert(call_id.to_owned(), leg);
        mailbox
    }

    /// A request within a dialog as text, ready for further lines; the branch is its own.
    pub(crate) fn within(&self, leg: &Leg, method: &str, cseq: u32, local: SocketAddr, branch: &str) -> Text {
        let mut text = Text::request(self.side.upper(), method, &leg.target);
        text.line("From", &leg.local).line("To", &leg.remote).line("CSeq", &format!("{cseq} {method}"));
        text.line("Call-ID", leg.call_id()).line("Max-Forwards", "70");
        for via in self.side.vias(local, self.port(), branch) {
            text.line("Via", &via);
        }
        for route in &leg.routes {
            text.line("Route", route);
        }
        text
    }

    /// Keeps a request whose response is awaited, and sends it.
    pub(crate) fn begin(&self, connection: &Arc<Connection>, octets: Bytes) -> bool {
        let request = Plain::read(&octets).unwrap_or_default();
        let key = (request.branch().to_owned(), request.method().to_owned());
        let client = Client { request, connection: connection.clone(), final_status: 0, ack: None };
        self.state().clients.insert(key, client);
        self.send_on(connection, octets)
    }
}

impl Leg {
    /// A leg at its first INVITE, whoever sent that. `local` and `remote` are the parties of the platform's
    /// own requests; `dialog` is what it will hold requests of the SBC against.
    pub(crate) fn new(
        ids: Ids,
        (local, remote): (String, String),
        dialog: dialog::Dialog,
        invite: Plain,
        connection: Arc<Connection>,
        (media, events): (Media, mpsc::Sender<Happened>),
    ) -> Self {
        Self {
            ids,
            local,
            remote,
            target: String::new(),
            routes: Vec::new(),
            dialog,
            cseq: 1,
            invite,
            connection,
            their_invite: None,
            acked: false,
            final_status: 0,
            ended: false,
            abandoned: false,
            media,
            offered: None,
            their_last: None,
            their_contact: String::new(),
            their_tags: Vec::new(),
            refuse: None,
            offering: false,
            refused: 0,
            events,
        }
    }

    pub(crate) fn call_id(&self) -> &str {
        self.invite.first("Call-ID")
    }

    /// Takes the SBC's Contact as the target of what follows (RFC 3261 §12.2.1.1).
    pub(crate) fn retarget(&mut self, plain: &Plain) {
        let contact = plain.first("Contact");
        if !contact.is_empty() {
            self.target = address(contact).uri.to_owned();
        }
    }
}
