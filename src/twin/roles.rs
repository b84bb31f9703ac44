//! What makes the hub the hub and Genesys Genesys: names, addresses in headers, manners, rules.

use super::checks::{Breach, dialog, genesys, hub};
use super::media::Media;
use super::octets::Plain;
use super::text::Text;
use std::net::SocketAddr;

/// The hub's in-dialog names: Record-Route leads to the first, Contact names the second, which nobody
/// may dial (TDR-83).
pub const HUB_ROUTE: &str = "sip-du-a-euwe.pstnhub.microsoft.com";

/// See [`HUB_ROUTE`].
pub const HUB_CONTACT: &str = "api-du-a-euwe.pstnhub.microsoft.com";

/// Who a platform plays, with what it knows of the trunk.
#[derive(Clone, Debug)]
pub enum Side {
    /// The Teams hub.
    Hub(hub::Trunk),
    /// Genesys Cloud BYOC.
    Genesys(genesys::Trunk),
}

/// The identifiers of one leg as its platform chose them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    /// Counts the legs of the platform.
    pub(crate) number: u64,
    /// Call-ID, where the platform chooses it.
    pub(crate) call_id: String,
    /// The platform's tag.
    pub(crate) tag: String,
    /// URI of its Contact.
    pub(crate) contact: String,
    /// Its Record-Route values, as they stand in its messages.
    pub(crate) record_routes: Vec<String>,
}

impl Ids {
    /// The same without Record-Route: Contact leads where that did.
    pub(crate) fn bare(mut self, at: SocketAddr) -> Self {
        let instead = format!("{HUB_ROUTE}:{};transport=tls", at.port());
        self.contact = self.contact.replace(&format!("{HUB_CONTACT}:443"), &instead);
        self.record_routes.clear();
        self
    }
}

/// A call to place.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The caller's number, `+E.164`; `anonymous` withholds it (TDR-51, 65).
    pub from: String,
    /// The caller's name; the hub writes it without quotes (TDR-64).
    pub display: String,
    /// The called number.
    pub to: String,
    /// Further header fields.
    pub extra: Vec<(String, String)>,
    /// Whether the INVITE carries an offer.
    pub offer: bool,
}

impl Placed {
    /// A call with an offer and nothing unusual.
    pub fn new(from: &str, to: &str) -> Self {
        Self { from: from.into(), display: "Robin Example".into(), to: to.into(), extra: Vec::new(), offer: true }
    }

    /// The same call with one more header field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }
}

impl Side {
    /// `Teams` or `Genesys`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hub(_) => "Teams",
            Self::Genesys(_) => "Genesys",
        }
    }

    /// Whether header names are written in upper case (TDR-64).
    pub(crate) fn upper(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    pub(crate) fn is_hub(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// How it judges requests outside dialogs.
    pub(crate) fn request(&self, plain: &Plain, names: &[String]) -> Vec<Breach> {
        match self {
            Self::Hub(trunk) => hub::request(trunk, plain, names),
            Self::Genesys(trunk) => genesys::request(trunk, plain),
        }
    }

    /// How it judges requests within dialogs.
    pub(crate) fn in_dialog(&self, plain: &Plain, names: &[String]) -> Vec<Breach> {
        match self {
            Self::Hub(trunk) => hub::in_dialog(trunk, plain, names),
            Self::Genesys(trunk) => genesys::in_dialog(trunk, plain),
        }
    }

    /// How it judges responses.
    pub(crate) fn response(&self, plain: &Plain, names: &[String]) -> Vec<Breach> {
        match self {
            Self::Hub(trunk) => hub::response(trunk, plain, names),
            Self::Genesys(trunk) => genesys::response(trunk, plain),
        }
    }

    /// The names it gives to the rules of dialogs.
    pub(crate) fn rules(&self) -> dialog::Rules {
        if self.is_hub() { dialog::HUB } else { dialog::GENESYS }
    }

    /// Its end of a call's media.
    pub(crate) fn media(&self, number: u64) -> Media {
        match self {
            Self::Hub(_) => Media::hub(number),
            Self::Genesys(trunk) => Media::genesys(number, trunk.srtp),
        }
    }

    /// `tls` or `tcp`.
    fn transport(&self) -> &'static str {
        match self {
            Self::Genesys(trunk) if !trunk.srtp => "tcp",
            Self::Hub(_) | Self::Genesys(_) => "tls",
        }
    }

    /// The token in Via: `TLS` or `TCP`.
    pub(crate) fn via_token(&self) -> String {
        self.transport().to_ascii_uppercase()
    }

    /// Identifiers for a leg. `at` is the listener that Record-Route leads to, `instance` the one behind
    /// it whose address Genesys puts into Contact.
    pub(crate) fn ids(&self, seed: u64, number: u64, at: SocketAddr, instance: SocketAddr, user: &str) -> Ids {
        let (port, transport) = (at.port(), self.transport());
        match self {
            // The hub's shapes are those of published traces (TDR-63): colons and slashes in parameters.
            Self::Hub(_) => Ids {
                number,
                call_id: format!("{seed:016x}{number:016x}"),
                tag: format!("{:016x}", seed.rotate_left(20) ^ number),
                contact: format!(
                    "sip:{HUB_CONTACT}:443;x-i=109abb90-0000-40dc-ad31-{number:012x};x-c={seed:016x}{number:016x}/d/8/f071fe23ac23488e"
                ),
                record_routes: vec![format!("<sip:{HUB_ROUTE}:{port};transport=tls;lr>")],
            },
            Self::Genesys(_) => Ids {
                number,
                call_id: format!("{number:x}-{seed:x}@{}", instance.ip()),
                tag: format!("gc-{number:x}{:x}", seed >> 40),
                // Parameters without a meaning to anyone else have to come back (GEN-40).
                contact: format!("sip:{user}@{instance};transport={transport};gc-node=c9d0;ob"),
                record_routes: vec![format!("<sip:{at};transport={transport};lr;gcv=2>")],
            },
        }
    }

    /// The Vias of a request of the platform sent from `local`.
    pub(crate) fn vias(&self, local: SocketAddr, port: u16, branch: &str) -> Vec<String> {
        let (token, ip) = (self.via_token(), local.ip());
        match self {
            Self::Hub(_) => vec![format!("SIP/2.0/{token} {ip}:{port};branch={branch}")],
            // The request came through a proxy of theirs: two Vias with parameters of its own (GEN-39).
            Self::Genesys(_) => vec![
                format!("SIP/2.0/{token} {ip}:{port};branch={branch};gcv=Zm9v%3D"),
                format!("SIP/2.0/{token} 198.51.100.34:5061;branch={branch}.i;rport;gc-flow=9"),
            ],
        }
    }

    /// From and To values of a call that the platform places, without tags.
    pub(crate) fn parties(&self, call: &Placed, at: SocketAddr) -> (String, String) {
        let (fqdn, port) = self.sbc();
        let anonymous = call.from == "anonymous";
        match self {
            Self::Hub(trunk) => {
                let host = format!("{}:{}", trunk.hosts.first().map_or("", |host| host), trunk.hub_port);
                let from = if anonymous {
                    "Anonymous<sip:anonymous@anonymous.invalid>".to_owned()
                } else {
                    format!("{}<sip:{}@{host};user=phone>", call.display, call.from)
                };
                (from, format!("<sip:{}@{fqdn}:{port};user=phone>", call.to))
            }
            Self::Genesys(_) => {
                let from = if anonymous {
                    "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned()
                } else {
                    format!("\"{}\" <sip:{}@{}>", call.display, call.from, at.ip())
                };
                (from, format!("<sip:{}@{fqdn}>", call.to))
            }
        }
    }

    /// The Request-URI of a call that the platform places (TDR-63, GEN-18).
    pub(crate) fn request_uri(&self, to: &str) -> String {
        let (fqdn, port) = self.sbc();
        match self {
            Self::Hub(_) => format!("sip:{to}@{fqdn}:{port};user=phone;transport=tls"),
            Self::Genesys(_) => format!("sip:{to}@{fqdn}:{port};transport={}", self.transport()),
        }
    }

    fn sbc(&self) -> (&str, u16) {
        match self {
            Self::Hub(trunk) => (&trunk.fqdn, trunk.port),
            Self::Genesys(trunk) => (&trunk.fqdn, trunk.port),
        }
    }

    /// What the platform's INVITEs and final responses to INVITE carry beside the dialog's lines.
    pub(crate) fn manners(&self, text: &mut Text, request: bool) {
        match self {
            Self::Hub(_) => {
                text.line(
                    if request { "User-Agent" } else { "Server" },
                    "Microsoft.PSTNHub.SIPProxy v.2024.2.6.5 i.EUWE.5",
                );
                text.line("Allow", &hub::METHODS.join(","));
                text.line("Supported", "timer");
                if request {
                    text.line("Session-Expires", "3600").line("Min-SE", &hub::MIN_SE.to_string());
                }
            }
            Self::Genesys(_) => {
                text.line("Allow", &genesys::METHODS.join(", "));
                // With Conversation Headers on: in INVITEs and in the 200 to ours (GEN-61).
                // One conversation a call.
                let conversation = text.conversation();
                text.line("x-inin-cnv", &conversation);
            }
        }
    }

    /// The hub takes the session timer that is offered and leaves the refresh to the SBC (TDR-97, RFC 4028
    /// §9); Genesys has none (GEN-43).
    pub(crate) fn interval(&self, text: &mut Text, invite: &Plain) {
        let offered = invite.first("Session-Expires").split(';').next().unwrap_or("").trim();
        if self.is_hub() && !offered.is_empty() {
            text.line("Session-Expires", &format!("{offered};refresher=uac")).line("Require", "timer");
        }
    }
}
