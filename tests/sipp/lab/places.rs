//! Who is where in a lab, under which names, and what the files and messages of each side say of it.

use super::player::Wire;
use super::script::{Keys, fill, home, pattern};
use super::{CUSTOMERS, Customer, GENESYS_NUMBER, HIDDEN, Platform, SBC, Script, Side, Transport};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};

/// Who is where in a lab.
pub struct Places {
    transport: Transport,
    block: [u8; 2],
    pub directory: PathBuf,
}

impl Places {
    pub fn new(transport: Transport) -> Self {
        static LABS: AtomicU8 = AtomicU8::new(0);
        let lab = LABS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        // Two octets of 127.x.y.z tell labs apart, so that ports can be those of the platforms.
        let [low, middle, ..] = process.to_le_bytes();
        let block = [middle.wrapping_add(lab.wrapping_mul(16)).max(1), low];
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("sipp-{process}-{lab}"));
        fs::create_dir_all(directory.join("var")).expect("cargo's directory for tests is writable");
        Self { transport, block, directory }
    }

    pub fn address(&self, who: &str) -> Ipv4Addr {
        let last = match who {
            "sbc" => 1,
            "dns" => 2,
            "teams_caller" => 17,
            "teams_called" => 18,
            "teams_dialog" => 19,
            "teams_second" => 20,
            "teams_third" => 21,
            "genesys_caller" => 33,
            "genesys_called" => 34,
            "genesys_dialog" => 35,
            "genesys_silent" => 36,
            other => panic!("nobody is called {other}"),
        };
        Ipv4Addr::new(127, self.block[0], self.block[1], last)
    }

    /// How SIPp speaks as `platform`, and on which port it waits.
    pub fn wire(&self, platform: Platform) -> (Wire, u16) {
        match (platform, self.transport) {
            (Platform::Teams, _) | (_, Transport::Tls) => (Wire::Tcp, HIDDEN),
            (Platform::Genesys, Transport::Tcp) => (Wire::Tcp, 5060),
            (Platform::Genesys, Transport::Udp) => (Wire::Udp, 5060),
        }
    }

    /// Writes the password that both sides of a Digest know.
    pub fn secret(&self) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.join("secret");
        fs::write(&path, "hunter2\n").expect("the lab's directory is writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the file is ours");
    }

    /// The trunks and routes of the customers, beside those of the carrier's own name.
    pub fn tenants(&self) -> String {
        let [high, low] = self.block;
        let dir = self.directory.display();
        let table = |customer: &Customer| {
            let Customer { trunk, fqdn, user, queue, .. } = customer;
            format!(
                r#"
[trunk.{trunk}]
kind = "teams"
fqdn = "{fqdn}"
tls = "public"
trust = "{dir}/ca.pem"
sources = ["127.{high}.{low}.16/28"]

[[route]]
from = "genesys"
number = "{user}"
to = ["{trunk}"]

[[route]]
from = "{trunk}"
number = "{queue}"
to = ["genesys"]
"#
            )
        };
        CUSTOMERS.iter().map(table).collect()
    }

    /// Writes one of the files beside this one, filled in.
    pub fn write(&self, name: &str, keys: &Keys) -> PathBuf {
        let text = fs::read_to_string(home().join(name)).expect("a file of the repository");
        let path = self.directory.join(name);
        fs::write(&path, fill(&text, keys)).expect("the lab's directory is writable");
        path
    }

    /// What every file may say.
    pub fn keys(&self) -> Keys {
        let [high, low] = self.block;
        let mut keys: Keys = ADDRESSES.iter().map(|(key, who)| (*key, self.address(who).to_string())).collect();
        keys.extend([
            ("dir", self.directory.display().to_string()),
            ("sbc", SBC.to_owned()),
            ("teams_range", format!("127.{high}.{low}.16/28")),
            ("genesys_range", format!("127.{high}.{low}.32/28")),
            ("genesys_number", GENESYS_NUMBER.to_owned()),
            ("transport", self.transport.name().to_owned()),
        ]);
        keys
    }

    /// What the messages of one side say besides.
    pub fn played(&self, platform: Platform, side: Side, script: Script) -> Keys {
        let (called, sbc) = (script.called(platform), script.sbc());
        let (name, port) = (self.transport.name(), self.transport.port());
        let called_side = matches!(side, Side::Called | Side::Second | Side::Third);
        let (contact, route, uri, hold, held, via, port) = match platform {
            Platform::Teams => (
                TEAMS_CONTACT.to_owned(),
                format!("sip:{}:5061;transport=tls", if called_side { TEAMS_CALLED } else { TEAMS_DIALOG }),
                format!("sip:{called}@{sbc}:5061;user=phone;transport=tls"),
                "inactive", // TDR-94
                "inactive", // TDR-93
                "TLS".to_owned(),
                5061,
            ),
            Platform::Genesys => {
                let proxy = self.address(if called_side { "genesys_called" } else { "genesys_dialog" });
                let node = self.address("genesys_silent");
                (
                    format!("sip:{GENESYS_NUMBER}@{node}:{port};transport={name};gc-node=c9d0;ob"),
                    format!("sip:{proxy}:{port};transport={name}"),
                    format!("sip:{called}@{SBC}:{port};transport={name}"),
                    "sendonly",
                    "(inactive|sendonly)",
                    name.to_uppercase(),
                    port,
                )
            }
        };
        let who = |side: &str| self.address(&format!("{}_{side}", platform.name())).to_string();
        let mut keys = self.keys();
        // Genesys knows one name, and the side that is called by whom the hub calls: the first value of a key counts.
        if platform == Platform::Teams && side == Side::Caller {
            keys.insert(0, ("sbc", sbc.to_owned()));
        }
        keys.extend([
            ("caller", script.party(platform).to_owned()),
            ("called", called.to_owned()),
            ("caller_ip", who("caller")),
            ("called_ip", who("called")),
            ("contact_pattern", pattern(&contact)),
            ("contact", contact),
            ("route_pattern", pattern(&route)),
            ("route", route),
            ("invite_uri", uri),
            ("hold", hold.to_owned()),
            ("held", held.to_owned()),
            ("held_answer", "inactive".to_owned()),
            ("via", via),
            ("port", port.to_string()),
            // A datagram's answer goes where its Via says, and no rport stands in the topmost (RFC 3261 §18.2.2).
            (
                "caller_port",
                if self.transport == Transport::Udp { "[local_port]".to_owned() } else { port.to_string() },
            ),
            ("uui", script.uui.map(|(sent, _)| format!("\nUser-to-User: {sent}")).unwrap_or_default()),
            ("uui_check", script.uui.map(|(_, seen)| uui_check(seen)).unwrap_or_default()),
            // Of an INVITE that comes again with a proof, a flow says otherwise.
            ("authorization", String::new()),
            ("invite_cseq", "1".to_owned()),
            ("again", String::new()),
            ("proof", "\n[authentication username=acme password=hunter2]".to_owned()),
            ("guess", "\n[authentication username=acme password=hunter3]".to_owned()),
            ("names_checks", names_checks(script.customer.is_some())),
            ("genesys_uri", script.genesys_uri.unwrap_or(GENESYS_URI).to_owned()),
            ("refusal", script.refusal.to_string()),
            ("ring", script.ring.as_millis().to_string()),
            ("talk", script.talk.as_millis().to_string()),
        ]);
        keys
    }
}

/// The start line of an INVITE to Genesys, as a pattern (GEN-13).
const GENESYS_URI: &str = r"^INVITE sip:\+[0-9]+@acme-sbc\.byoc\.mypurecloud\.de";

/// Keys of the hub's trunk when a carrier stands in its place.
pub const CARRIER: &str =
    "kind = \"generic\"\nhosts = [\"sip.pstnhub.microsoft.com:5061\"]\nsuffixes = [\"pstnhub.microsoft.com\"]";

/// SIPp's checks that an INVITE to the hub has the name that belongs to the number called, and no other, in From,
/// Contact and Via (TDR-50, 53, 54, 157).
fn names_checks(customers: bool) -> String {
    let named: Vec<(String, &str)> = match customers {
        false => vec![("[0-9]+".to_owned(), SBC)],
        true => CUSTOMERS.iter().map(|customer| (customer.user.replace('+', ""), customer.fqdn)).collect(),
    };
    let check = |before: &str, after: &str, variable: &str| {
        let each: Vec<String> =
            named.iter().map(|(user, name)| format!(r"{user}@.*{before}{}{after}", pattern(name))).collect();
        format!(
            "<ereg regexp=\"^INVITE sip:\\+({})\" search_in=\"msg\" check_it=\"true\" assign_to=\"{variable}\"/>\n",
            each.join("|")
        )
    };
    // Up to the end of its URI a value has no angle bracket.
    [
        check("From: [^&gt;]*@", "[:;&gt;]", "c2"),
        check("Contact: [^&gt;]*[@:]", ":5061;transport=tls", "c3"),
        check("Via: SIP/2.0/TLS ", ":5061", "c4"),
    ]
    .concat()
}

/// SIPp's check for a User-to-User, in place of one it makes anyhow: its variables are counted.
fn uui_check(seen: &str) -> String {
    format!("<ereg regexp=\"{seen}\" search_in=\"hdr\" header=\"User-to-User:\" check_it=\"true\" assign_to=\"c6\"/>")
}

/// The hub's Contact: its host is never dialled where a Record-Route stands above it (TDR-83).
const TEAMS_CONTACT: &str = "sip:api-du-a-euwe.pstnhub.microsoft.com:443;\
    x-i=109abb90-0000-40dc-ad31-000000000001;x-c=64ce308b2417594d8bd91a8ade8a0001/d/8/f071fe23ac23488e";
/// The hub's proxy beside the side that is called.
const TEAMS_CALLED: &str = "sip-du-a-us.pstnhub.microsoft.com";
/// The hub's proxy beside the caller.
const TEAMS_DIALOG: &str = "sip-du-a-eu.pstnhub.microsoft.com";

/// Keys whose value is an address.
const ADDRESSES: [(&str, &str); 11] = [
    ("sbc_ip", "sbc"),
    ("dns_ip", "dns"),
    ("teams_caller", "teams_caller"),
    ("teams_called", "teams_called"),
    ("teams_dialog", "teams_dialog"),
    ("teams_second", "teams_second"),
    ("teams_third", "teams_third"),
    ("genesys_caller", "genesys_caller"),
    ("genesys_called", "genesys_called"),
    ("genesys_dialog", "genesys_dialog"),
    ("genesys_silent", "genesys_silent"),
];
