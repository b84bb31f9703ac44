//! Both platforms on loopback, and the configuration that puts Tandem between them.
//!
//! Everything is made on the spot in a directory that goes with the [`Lab`]: certificates, the
//! directory of users, the configuration file. Tandem finds the platforms by static names, and tells
//! them apart by the ranges their addresses are in; so nothing leaves this machine.

use super::certificates::{self, Certificates};
use super::checks::{genesys, hub};
use super::digest::{Asking, PASSWORD, Proving};
use super::platform::{Platform, Setup};
use super::roles::{HUB_CONTACT, HUB_ROUTE, Side};
use super::{network, tls};
use crate::trunk::Termination;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Tandem's name.
pub const FQDN: &str = "sbc1.example.com";

/// Users that Teams has and the directory gives.
pub const ALICE: &str = "+14255550123";

/// See [`ALICE`].
pub const BOB: &str = "+14255550124";

/// In the directory, but no longer in Teams (GEN-95).
pub const STALE: &str = "+14255550198";

/// In neither.
pub const NOBODY: &str = "+14255550199";

/// A queue of Genesys.
pub const QUEUE: &str = "+496955501000";

/// A number in Genesys' range that is assigned to nothing (GEN-17).
pub const UNASSIGNED: &str = "+496955501999";

/// A customer who has called the queue.
pub const CUSTOMER: &str = "+4917155501234";

/// The keys of Digest in both directions; the password lies beside the file.
const DIGEST: &str = r#"
[trunk.genesys.authentication]
username = "acme"
password_file = "secret"
algorithms = ["SHA-512-256", "SHA-512-256-sess", "SHA-256", "SHA-256-sess", "MD5", "MD5-sess"]
qop = ["auth", "auth-int"]

[trunk.genesys.credentials]
username = "acme"
password_file = "secret"
"#;

/// Where the hub's names lead: `sip`, the Record-Route host, `sip2`, `sip3`.
const HUB: [u8; 4] = [11, 14, 12, 13];

/// Where Genesys' names lead: the proxy, the one that Record-Route names, the instance behind it.
const GENESYS: [u8; 3] = [21, 22, 23];

/// The platforms, and where Tandem has to be between them.
#[derive(Debug)]
pub struct Lab {
    /// The Teams hub.
    pub hub: Platform,
    /// The Genesys trunk.
    pub genesys: Platform,
    /// Tandem's configuration file.
    pub configuration: PathBuf,
    /// Where Tandem listens for TLS.
    pub sbc: SocketAddr,
    /// All certificates.
    pub certificates: Certificates,
    directory: tempfile::TempDir,
}

impl Lab {
    /// Makes certificates, starts both platforms, writes the configuration. `further` is put at the end
    /// of the file: tables that the caller wants besides.
    ///
    /// # Errors
    ///
    /// When a file cannot be written or no port is free.
    pub async fn start(further: &str) -> io::Result<Self> {
        Self::terminating(Termination::Fqdn, further).await
    }

    /// The same with Digest between Genesys and Tandem, both ways: each asks, each proves, with every algorithm of
    /// RFC 8760 (GEN-25, 26). How Genesys asks and proves may be changed at any time: [`Platform::ask`],
    /// [`Platform::prove`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn proving(further: &str) -> io::Result<Self> {
        let lab = Self::start(&format!("{DIGEST}{further}")).await?;
        let path = lab.directory().join("secret");
        fs::write(&path, format!("{PASSWORD}\n"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        lab.genesys.ask(Some(Asking { algorithms: vec!["SHA-512-256", "SHA-256", "MD5"], ..Asking::default() }));
        lab.genesys.prove(Some(Proving::new(FQDN)));
        Ok(lab)
    }

    /// The same with another form in which calls to Genesys name the trunk (GEN-13 to 15).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn terminating(termination: Termination, further: &str) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("tandem-").tempdir()?;
        let certificates = certificates::make(
            &directory.path().join("certs"),
            FQDN,
            &["voice.mypurecloud.de", "*.voice.mypurecloud.de"],
        )?;
        let sbc = free_port().await?;
        let hub_listeners = network::bind(&HUB.map(loopback), 0).await?;
        let genesys_listeners = network::bind(&GENESYS.map(loopback), 0).await?;
        let hub_port = hub_listeners.first().map_or(Ok(0), |first| first.local_addr().map(|address| address.port()))?;
        let genesys_port =
            genesys_listeners.first().map_or(Ok(0), |first| first.local_addr().map(|address| address.port()))?;
        let hub_side = hub::Trunk {
            fqdn: FQDN.into(),
            port: sbc.port(),
            hosts: ["sip", "sip2", "sip3"].map(|label| format!("{label}.pstnhub.microsoft.com")).into(),
            hub_port,
            users: vec![ALICE.into(), BOB.into()],
        };
        let genesys_side = genesys::Trunk {
            fqdn: FQDN.into(),
            port: sbc.port(),
            identifier: "acme-sbc".into(),
            domain: "byoc.mypurecloud.de".into(),
            termination,
            dids: vec![QUEUE.into()],
            srtp: true,
        };
        let host = genesys_side.host();
        let hub = Platform::start(Setup {
            side: Side::Hub(hub_side),
            tls: Some(tls::hub(&certificates, false)?),
            listeners: hub_listeners,
            sources: HUB.map(loopback).into(),
            sbc,
        })?;
        let genesys = Platform::start(Setup {
            side: Side::Genesys(genesys_side),
            tls: Some(tls::genesys(&certificates)?),
            listeners: genesys_listeners,
            sources: GENESYS.map(loopback).into(),
            sbc,
        })?;
        let form = match termination {
            Termination::Fqdn => "fqdn",
            Termination::Tgrp => "tgrp",
            Termination::Dnis => "dnis",
            Termination::Header => "header",
        };
        let genesys_host = (format!("{host}:{genesys_port}"), form);
        let text = configuration(directory.path(), sbc, hub_port, genesys_host, further);
        let file = directory.path().join("tandem.toml");
        fs::write(&file, text)?;
        let users = format!(
            "number,user,active\n{ALICE},alice@example.com,true\n{BOB},bob@example.com,true\n{STALE},eve@example.com,true\n"
        );
        fs::write(directory.path().join("users.csv"), users)?;
        Ok(Self { hub, genesys, configuration: file, sbc, certificates, directory })
    }

    /// The directory that everything is in; it goes with the lab.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Forgets what both platforms saw: what follows is another scenario's.
    pub fn forget(&self) {
        self.hub.forget();
        self.genesys.forget();
    }
}

fn loopback(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

/// A port that was free a moment ago, on an address of its own: no connection out takes it meanwhile.
/// Contact has to name it before anyone listens (TDR-53).
async fn free_port() -> io::Result<SocketAddr> {
    network::bind(&[loopback(2)], 0).await?.remove(0).local_addr()
}

/// The file as an operator would write it for this lab.
fn configuration(
    base: &Path,
    sbc: SocketAddr,
    hub_port: u16,
    (genesys, form): (String, &str),
    further: &str,
) -> String {
    let certs = base.join("certs");
    let (root, socket) = (certs.join("root.pem"), base.join("tandem.sock"));
    let (chain, key) = (certs.join("sbc.pem"), certs.join("sbc.key"));
    let path = |path: &Path| toml::Value::String(path.display().to_string());
    let (root, socket, chain, key, users) =
        (path(&root), path(&socket), path(&chain), path(&key), path(&base.join("users.csv")));
    let host = genesys.split(':').next().unwrap_or("");
    let address = |at: usize| loopback(HUB[at]);
    format!(
        r#"[edge]
fqdn = "{FQDN}"
workers = 2
listen = ["tls:{sbc}"]

[tls.public]
certificate = {chain}
key = {key}

[trunk.teams]
kind = "teams"
tls = "public"
trust = [{root}]
hosts = ["sip.pstnhub.microsoft.com:{hub_port}", "sip2.pstnhub.microsoft.com:{hub_port}", "sip3.pstnhub.microsoft.com:{hub_port}"]
sources = ["127.0.0.8/29"]

[trunk.genesys]
kind = "genesys"
region = "eu-central-1"
termination = "acme-sbc"
termination_form = "{form}"
tls = "public"
trust = [{root}]
hosts = ["{genesys}"]
sources = ["127.0.0.16/28"]
dids = ["+4969555*"]

[[route]]
from = "genesys"
number = "directory"
to = ["teams"]

[[route]]
from = "teams"
number = "+4969555*"
to = ["genesys"]

[numbers]
country = "DE"

[directory]
file = {users}

[admin]
socket = {socket}

[hosts]
"sip.pstnhub.microsoft.com" = "{}"
"sip2.pstnhub.microsoft.com" = "{}"
"sip3.pstnhub.microsoft.com" = "{}"
"{HUB_ROUTE}" = "{}"
"{HUB_CONTACT}" = "{}"
"{host}" = "{}"

{further}
"#,
        address(0),
        address(2),
        address(3),
        address(1),
        loopback(15),
        loopback(GENESYS[0]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_configuration_of_a_lab_is_sound() {
        let lab = Lab::start("").await.expect("starts");
        let loaded = crate::config::load(&lab.configuration);
        let loaded = loaded
            .unwrap_or_else(|findings| panic!("{}", findings.iter().map(ToString::to_string).collect::<String>()));
        assert_eq!(
            (loaded.settings.trunks.len(), loaded.settings.routes.len(), loaded.settings.hosts.len()),
            (2, 2, 6)
        );
    }
}
