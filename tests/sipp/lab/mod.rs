//! The lab: both platforms, their names, their certificates and Tandem between them, on loopback addresses of its own.

mod certificates;
mod places;
mod player;
mod process;
mod script;

use places::{CARRIER, Places};
pub use player::Load;
use player::{Outcome, Player, at};
use process::{Process, Table, command, installed};
use script::{Keys, scenario};
use std::fs;

use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

const SBC: &str = "sbc1.example.com";
const TEAMS_NUMBER: &str = "+14255550123";
const GENESYS_NUMBER: &str = "+496955501000";

/// What Genesys speaks with Tandem; Teams always speaks TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// Through haproxy.
    Tls,
    /// SIPp itself.
    Tcp,
    /// SIPp itself.
    Udp,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn port(self) -> u16 {
        if self == Self::Tls { 5061 } else { 5060 }
    }
}

/// The two platforms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Platform {
    /// The hub.
    Teams,
    /// The trunk.
    Genesys,
}

/// Both, each calling the other.
pub const DIRECTIONS: [Platform; 2] = [Platform::Genesys, Platform::Teams];

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::Teams => "teams",
            Self::Genesys => "genesys",
        }
    }

    fn number(self) -> &'static str {
        match self {
            Self::Teams => TEAMS_NUMBER,
            Self::Genesys => GENESYS_NUMBER,
        }
    }

    /// The other one.
    pub fn peer(self) -> Self {
        match self {
            Self::Teams => Self::Genesys,
            Self::Genesys => Self::Teams,
        }
    }
}

/// What the two sides of a call do: flows of `flows/`.
#[derive(Clone, Copy, Debug)]
pub struct Script {
    /// The caller's flow.
    pub caller: &'static str,
    /// The called side's flow; also what answers OPTIONS.
    pub called: &'static str,
    /// Whether the called side is reached.
    pub reached: bool,
    /// Whether the called side hangs up, so that the BYE follows the caller's route set.
    pub hung_up: bool,
    /// The number called, when it is not the other platform's.
    pub number: Option<&'static str>,
    /// The response that ends a refused call.
    pub refusal: u16,
    /// How long the called side rings before it answers.
    pub ring: Duration,
    /// How long a call is spoken, or rings before it is cancelled.
    pub talk: Duration,
    /// What sip2 and sip3 of the hub do; without it all three names are one host, which does what `called` says.
    pub further: Option<[&'static str; 2]>,
    /// Further keys of the hub's trunk where a carrier stands in its place, a trunk of kind `generic`.
    pub carrier: Option<&'static str>,
    /// User-to-User of the caller, and a pattern for that which the called side has to see.
    pub uui: Option<(&'static str, &'static str)>,
    /// Further keys of the Genesys trunk. Beside the configuration lies `secret`, which holds hunter2.
    pub genesys: &'static str,
    /// What the INVITE that Genesys gets has in its start line, when the trunk is not found by its FQDN.
    pub genesys_uri: Option<&'static str>,
    /// Whose the calls are; without it nobody is between the hub and its one tenant.
    pub customer: Option<Customer>,
}

/// A tenant of its own behind the hub (TDR-156).
#[derive(Clone, Copy, Debug)]
pub struct Customer {
    /// Its trunk's name in the configuration.
    pub trunk: &'static str,
    /// The name that Tandem has for it.
    pub fqdn: &'static str,
    /// Its user in Teams; in no directory.
    pub user: &'static str,
    /// Its queue of Genesys.
    pub queue: &'static str,
    /// The plain port of haproxy from which the hub calls that name.
    pub front: u16,
}

/// The tenants whose calls a lab with customers carries.
pub const CUSTOMERS: [Customer; 2] = [
    Customer {
        trunk: "contoso",
        fqdn: "c1.sbc1.example.com",
        user: "+498955501007",
        queue: "+496955501001",
        front: 5068,
    },
    Customer {
        trunk: "fabrikam",
        fqdn: "c2.sbc1.example.com",
        user: "+494055501007",
        queue: "+496955501002",
        front: 5069,
    },
];

impl Customer {
    fn number(&self, platform: Platform) -> &'static str {
        match platform {
            Platform::Teams => self.user,
            Platform::Genesys => self.queue,
        }
    }
}

impl Script {
    /// A script whose caller does one thing and whose called side does another.
    pub const fn new(caller: &'static str, called: &'static str) -> Self {
        let (ring, talk) = (Duration::from_millis(20), Duration::from_millis(200));
        let (further, carrier, uui) = (None, None, None);
        let (reached, hung_up, number, refusal) = (true, false, None, 486);
        let (genesys, genesys_uri, customer) = ("", None, None);
        Self {
            caller,
            called,
            reached,
            hung_up,
            number,
            refusal,
            ring,
            talk,
            further,
            carrier,
            uui,
            genesys,
            genesys_uri,
            customer,
        }
    }

    /// The number of `platform`'s party.
    fn party(&self, platform: Platform) -> &'static str {
        self.customer.map_or(platform.number(), |customer| customer.number(platform))
    }

    /// The number that a caller of `platform` calls.
    fn called(&self, platform: Platform) -> &'static str {
        self.number.unwrap_or(self.party(platform.peer()))
    }

    /// Tandem's name in these calls.
    fn sbc(&self) -> &'static str {
        self.customer.map_or(SBC, |customer| customer.fqdn)
    }
}

/// A running lab.
pub struct Lab {
    places: Places,
    script: Script,
    direct: bool,
    waiting: Vec<(Platform, Side, Player)>,
    /// SIPps that have called.
    callers: AtomicU16,
    tandem: Option<Process>,
    // Dropped last: everything above speaks through them.
    _haproxy: Process,
    _dnsmasq: Process,
}

/// What came of the calls of one platform to the other.
#[derive(Debug)]
pub struct Report {
    /// From INVITE to 200 at the caller, each call, shortest first; empty unless the load asks for it.
    pub setups: Vec<Duration>,
    /// Processor time that Tandem took meanwhile.
    pub processor: Duration,
}

impl Report {
    /// The mean set-up time. SIPp's clock ticks in 4 ms, which evens out in a mean and nowhere else.
    pub fn mean_setup(&self) -> Duration {
        let calls = u32::try_from(self.setups.len()).unwrap_or(u32::MAX).max(1);
        self.setups.iter().sum::<Duration>() / calls
    }

    /// The set-up time that so many of a thousand calls did not exceed.
    pub fn setup(&self, per_mille: usize) -> Duration {
        let place = self.setups.len().saturating_sub(1) * per_mille / 1000;
        self.setups.get(place).copied().unwrap_or_default()
    }
}

/// Which part of a platform.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Side {
    Caller,
    Called,
    /// sip2 and sip3 of the hub.
    Second,
    Third,
    Dialog,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Called => "called",
            Self::Second => "second",
            Self::Third => "third",
            Self::Dialog => "dialog",
        }
    }
}

/// Whether everything that a lab consists of is installed.
///
/// # Panics
///
/// Where nothing may be left out, under `CI=true`.
pub fn possible() -> bool {
    let tools = ["sipp", "haproxy", "dnsmasq", "openssl"];
    let missing: Vec<_> = tools.into_iter().filter(|tool| !installed(tool)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "missing: {missing:?}; scripts/setup.sh installs them");
    eprintln!("did not run: missing {missing:?}; scripts/setup.sh installs them");
    false
}

impl Lab {
    /// Starts the platforms, and Tandem with `workers` threads between them.
    pub fn start(transport: Transport, script: Script, workers: u16) -> Self {
        let places = Places::new(transport);
        let mut keys = places.keys();
        keys.extend([("far_ip", places.address("sbc").to_string()), ("far_name", SBC.to_owned())]);
        keys.push(("workers", workers.to_string()));
        let trust = format!("tls = \"public\"\ntrust = \"{}/ca.pem\"", places.directory.display());
        // Over TCP and UDP these keys would have no effect, and be findings.
        let carrier = script.carrier.map(|further| format!("{CARRIER}\n{further}"));
        keys.push(("teams_kind", carrier.unwrap_or_else(|| "kind = \"teams\"".to_owned())));
        keys.push(("genesys_more", script.genesys.to_owned()));
        let tenants = if script.customer.is_some() { places.tenants() } else { String::new() };
        keys.push(("tenants", tenants));
        places.secret();
        keys.push(("genesys_tls", if transport == Transport::Tls { trust } else { String::new() }));
        let mut lab = Self::platforms(places, script, &keys, false);
        let places = &lab.places;
        let configuration = places.write("tandem.toml", &keys);
        let mut program = Command::new(env!("CARGO_BIN_EXE_tandem"));
        program.args(["run", "-c"]).arg(&configuration).current_dir(&places.directory);
        // Beside the records: what is written where the configuration lies wakes those who watch it for changes.
        let mut tandem = Process::start("tandem", &mut program, &places.directory.join("var"));
        tandem.listens(Table::Tcp, at(places.address("sbc"), 5061));
        tandem.listens(Table::Tcp, at(places.address("sbc"), 5060));
        tandem.listens(Table::Udp, at(places.address("sbc"), 5060));
        lab.tandem = Some(tandem);
        lab
    }

    /// Starts the platforms alone: calls of Teams go to Genesys, from haproxy to haproxy. What the lab itself costs.
    pub fn without_tandem(script: Script) -> Self {
        let places = Places::new(Transport::Tls);
        let mut keys = places.keys();
        let front = places.address("genesys_called").to_string();
        keys.extend([("far_ip", front), ("far_name", "voice.mypurecloud.de".to_owned())]);
        Self::platforms(places, script, &keys, true)
    }

    fn platforms(places: Places, script: Script, keys: &Keys, direct: bool) -> Self {
        certificates::make(&places.directory);
        let users = format!("number,user,active\n{TEAMS_NUMBER},robin@example.com,true\n");
        fs::write(places.directory.join("users.csv"), users).expect("the lab's directory is writable");
        let mut keys = keys.clone();
        let [sip2, sip3] = if script.further.is_some() { ["teams_second", "teams_third"] } else { ["teams_called"; 2] };
        keys.push(("sip2_ip", places.address(sip2).to_string()));
        keys.push(("sip3_ip", places.address(sip3).to_string()));
        let start = |program: &str, option: &str, file: &str| {
            let path = places.write(file, &keys);
            Process::start(program, command(program).arg(option).arg(path), &places.directory)
        };
        let mut dnsmasq = start("dnsmasq", "-C", "dnsmasq.conf");
        let mut haproxy = start("haproxy", "-f", "haproxy.cfg");
        dnsmasq.listens(Table::Udp, at(places.address("dns"), 5353));
        haproxy.listens(Table::Tcp, at(places.address("teams_called"), 5061));
        let mut lab = Self {
            places,
            script,
            direct,
            waiting: Vec::new(),
            callers: AtomicU16::new(0),
            tandem: None,
            _haproxy: haproxy,
            _dnsmasq: dnsmasq,
        };
        // Before Tandem starts: its first OPTIONS decide whether a host takes calls (TDR-39).
        for (side, flow) in [Side::Second, Side::Third].into_iter().zip(script.further.into_iter().flatten()) {
            lab.wait(Platform::Teams, side, flow);
        }
        for platform in DIRECTIONS {
            lab.wait(platform, Side::Called, script.called);
            if script.hung_up {
                lab.wait(platform, Side::Dialog, "awaits_bye");
            }
        }
        lab
    }

    fn wait(&mut self, platform: Platform, side: Side, flow: &str) {
        let (wire, port) = self.places.wire(platform);
        let name = format!("{}-{}", platform.name(), side.name());
        let local = at(self.places.address(&name.replace('-', "_")), port);
        let player = Player::waits(
            &name,
            &self.scenario(platform, side, flow, self.script),
            wire,
            local,
            &self.places.directory,
        );
        self.waiting.push((platform, side, player));
    }

    /// Lets `caller` place calls to the other platform, and waits for the end of the last one.
    ///
    /// # Panics
    ///
    /// Unless every call went as the script says at its caller.
    pub fn place(&self, caller: Platform, load: Load) -> Report {
        self.play(self.script, caller, load)
    }

    /// The same by another script than that of the waiting sides.
    ///
    /// # Panics
    ///
    /// As [`place`](Self::place).
    pub fn play(&self, script: Script, caller: Platform, load: Load) -> Report {
        let (wire, port) = self.places.wire(caller);
        let own = self.places.address(&format!("{}_caller", caller.name()));
        let front = script.customer.filter(|_| caller == Platform::Teams).map_or(FRONT, |customer| customer.front);
        // In TLS SIPp speaks to haproxy, which dials on.
        let to = if port == HIDDEN { at(own, front) } else { at(self.places.address("sbc"), port) };
        let called = format!("{}@{}", script.called(caller), script.sbc());
        let script = self.scenario(caller, Side::Caller, script.caller, script);
        let before = self.processor();
        let start = |_| {
            // A port of its own: that of the last one may still be on its way out.
            let number = self.callers.fetch_add(1, Ordering::Relaxed);
            Player::calls(
                &format!("{}-caller-{number}", caller.name()),
                &script,
                wire,
                at(own, CALLER + number),
                (to, called.as_str()),
                load,
                &self.places.directory,
            )
        };
        let players: Vec<Player> = (0..load.connections).map(start).collect();
        let outcomes: Vec<Outcome> = players.into_iter().map(Player::finish).collect();
        let successful: u64 = outcomes.iter().map(|outcome| outcome.successful).sum();
        assert_eq!(successful, u64::from(load.total()), "calls of {caller:?}");
        let mut setups: Vec<Duration> = outcomes.into_iter().flat_map(|outcome| outcome.setups).collect();
        setups.sort_unstable();
        Report { setups, processor: self.processor() - before }
    }

    /// Ends the lab: `calls` have to have arrived at each platform in `callers`' calls, and Tandem has to end well.
    /// Returns how many OPTIONS the hub was sent.
    ///
    /// # Panics
    ///
    /// Unless each waiting side took exactly the calls that concern it, and Tandem ended by itself with
    /// success, one record a call, no panic and no number in its log.
    pub fn finish(mut self, callers: &[Platform], calls: u32) -> u64 {
        let mut options = 0;
        for (platform, side, player) in std::mem::take(&mut self.waiting) {
            let concerned = match side {
                Side::Called | Side::Second | Side::Third => self.script.reached && callers.contains(&platform.peer()),
                Side::Caller | Side::Dialog => callers.contains(&platform),
            };
            let expected = if concerned { u64::from(calls) } else { 0 };
            let outcome = player.dismiss(concerned);
            if platform == Platform::Teams && side == Side::Called {
                options = outcome.counter("options");
            }
            let taken = if matches!(side, Side::Called | Side::Second | Side::Third) {
                outcome.counter("calls")
            } else {
                outcome.successful
            };
            assert_eq!(taken, expected, "calls at the {} side of {platform:?}", side.name());
        }
        if let Some(mut tandem) = self.tandem.take() {
            tandem.signal("TERM");
            let status = tandem.ended(Duration::from_secs(30));
            let log = fs::read_to_string(self.places.directory.join("var/tandem.log")).unwrap_or_default();
            assert!(status.success(), "tandem ended with {status}\n{}", tandem.output());
            assert!(!log.contains("panicked"), "{log}");
            let records = fs::read_to_string(self.places.directory.join("var/calls.jsonl")).unwrap_or_default();
            let expected = usize::try_from(calls).unwrap_or(usize::MAX) * callers.len();
            // What no route took never became a call.
            assert!(!self.script.reached || records.lines().count() == expected, "one record a call:\n{records}");
            let customers = CUSTOMERS.iter().flat_map(|customer| [customer.user, customer.queue]);
            let known = customers.chain([TEAMS_NUMBER, GENESYS_NUMBER]).find(|number| log.contains(number));
            assert_eq!(known, None, "a number in the log:\n{log}");
        }
        drop(fs::remove_dir_all(&self.places.directory));
        options
    }

    /// Processor time that Tandem has taken since it started.
    fn processor(&self) -> Duration {
        self.tandem.as_ref().map_or(Duration::ZERO, Process::processor)
    }

    fn scenario(&self, platform: Platform, side: Side, flow: &str, script: Script) -> String {
        let script = scenario(platform.name(), flow, &self.places.played(platform, side, script));
        // Without Tandem nobody translates, so what has to be translated cannot be checked.
        if self.direct { script.replace("=\"true\" assign_to", "=\"false\" assign_to") } else { script }
    }
}

/// The plain port behind haproxy of a side that waits.
const HIDDEN: u16 = 5080;
/// The plain port of haproxy for a caller.
const FRONT: u16 = 5070;
/// The ports callers call from, one after the other.
const CALLER: u16 = 5071;
