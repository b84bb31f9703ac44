//! What Teams says of our trunks, held against what the configuration says: an export of
//! `Get-CsOnlinePSTNGateway | ConvertTo-Json` (TDR-161).
//!
//! The recommended values, and why, stand in `docs/teams-trunk.md`; each row there has its check here. A property that
//! the export does not have is not judged: older modules leave some out.

use super::finding::{Finding, Severity, Source};
use crate::settings::{Settings, read_input};
use crate::trunk::{IpVersion, Kind, Trunk};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// The longest export that is read: some hundreds of trunks.
const LONGEST: u64 = 4 << 20;

/// The statuses that the user behind a call causes: trying another SBC on them rings people twice (TDR-127, TDR-163).
const OF_USERS: [u64; 7] = [404, 480, 484, 486, 487, 600, 603];

/// Every mismatch between an export and `settings`.
pub fn check_gateways(path: &Path, settings: &Settings) -> Vec<Finding> {
    let text = match read_input(path, LONGEST) {
        Ok(octets) => decoded(&octets),
        Err(error) => {
            let finding = Finding::of_file(Severity::Error, path, format!("cannot be read: {error}"));
            return vec![finding.remedy("name the file that Get-CsOnlinePSTNGateway | ConvertTo-Json was written to")];
        }
    };
    let source = Arc::new(Source { path: path.to_owned(), text });
    let exported: Value = match serde_json::from_str(&source.text) {
        Ok(value) => value,
        Err(error) => {
            let before: usize =
                source.text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
            let at = (before + error.column().saturating_sub(1)).min(source.text.len());
            let at = (0..=at).rev().find(|&at| source.text.is_char_boundary(at)).unwrap_or(0);
            let remedy = "export it anew: Get-CsOnlinePSTNGateway | ConvertTo-Json > gateways.json";
            return vec![Finding {
                severity: Severity::Error,
                message: format!("this is no JSON: {error}"),
                remedy: Some(remedy.into()),
                rule: Some("TDR-161"),
                source,
                span: Some(at..at),
            }];
        }
    };
    let gateways: Vec<&Value> = match (&exported, exported.get("value")) {
        (Value::Array(all), _) | (_, Some(Value::Array(all))) => all.iter().collect(),
        (one, _) => vec![one],
    };
    let mut check = Check { source, findings: Vec::new(), at: 0 };
    let mut seen = Vec::new();
    for (at, gateway) in gateways.iter().enumerate() {
        check.at = at;
        let Some(fqdn) = ["Fqdn", "Identity"].iter().find_map(|key| gateway.get(key)?.as_str()) else {
            check.find(Severity::Error, "Identity", "a gateway without Identity", "export whole gateways", "TDR-161");
            continue;
        };
        let own = settings.trunks.iter().map(|own| &own.trunk);
        match own.filter(|trunk| trunk.kind == Kind::Teams).find(|trunk| trunk.fqdn.eq_ignore_ascii_case(fqdn)) {
            Some(trunk) => {
                check.gateway(gateway, trunk, settings);
                seen.push(trunk.name.clone());
            }
            None => check.find(
                Severity::Warning,
                "Identity",
                format!("no Teams trunk here is called {fqdn}: its calls get 404 if they come here"),
                "add a trunk with this fqdn, unless the gateway is another SBC's",
                "TDR-158",
            ),
        }
    }
    for trunk in settings.trunks.iter().map(|own| &own.trunk) {
        if trunk.kind == Kind::Teams && !seen.contains(&trunk.name) {
            let message =
                format!("the export has no gateway {}: trunk `{}` is not known there", trunk.fqdn, trunk.name);
            let remedy = "pair it: New-CsOnlinePSTNGateway -Fqdn …, or export the tenant that has it";
            check.find(Severity::Warning, "", message, remedy, "TDR-35");
        }
    }
    check.findings
}

/// The text of a file of PowerShell, whose older editions write UTF-16.
fn decoded(octets: &[u8]) -> String {
    match octets {
        [0xff, 0xfe, rest @ ..] => {
            let units: Vec<u16> = rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => String::from_utf8_lossy(rest).into_owned(),
    }
}

struct Check {
    source: Arc<Source>,
    findings: Vec<Finding>,
    /// Which gateway of the export is looked at.
    at: usize,
}

impl Check {
    fn find(&mut self, severity: Severity, key: &str, message: impl Into<String>, remedy: &str, rule: &'static str) {
        let quoted = format!("\"{key}\"");
        // Each gateway has each property once, so the n-th is the n-th gateway's.
        let place = self.source.text.match_indices(&quoted).nth(self.at).filter(|_| !key.is_empty());
        let span = place.map(|(at, found)| at..at + found.len());
        let (message, remedy, source) = (message.into(), Some(remedy.to_owned()), self.source.clone());
        self.findings.push(Finding { severity, message, remedy, rule: Some(rule), source, span });
    }

    fn gateway(&mut self, gateway: &Value, trunk: &Trunk, settings: &Settings) {
        use Severity::{Error, Warning};
        let flag = |key: &str| gateway.get(key).and_then(Value::as_bool);
        let number =
            |key: &str| gateway.get(key).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
        let customers = settings.trunks.iter().any(|other| other.trunk.carries(trunk));
        let name = &trunk.name;
        if let Some(port) = number("SipSignalingPort").filter(|port| *port != u64::from(trunk.port)) {
            let message = format!("Teams calls port {port}, and trunk `{name}` listens on {}", trunk.port);
            self.find(Error, "SipSignalingPort", message, "set SipSignalingPort, or listen there", "TDR-23");
        }
        if flag("Enabled") == Some(false) {
            let message = "the trunk is not enabled: Teams places no new calls on it";
            self.find(Warning, "Enabled", message, "Set-CsOnlinePSTNGateway -Enabled $true", "TDR-161");
        }
        if flag("SendSipOptions") == Some(false) && !customers {
            let message = "Teams sends no OPTIONS: it does not see whether the trunk works, and neither do we";
            self.find(Warning, "SendSipOptions", message, "set SendSipOptions to $true", "TDR-38");
        }
        if flag("MediaBypass") == Some(true) {
            let message = "media bypass wants ICE, which is not spoken here: calls fail with 488 (531027)";
            self.find(Error, "MediaBypass", message, "set MediaBypass to $false", "TDR-161");
        }
        if flag("ForwardPai") == Some(false) {
            let message = "P-Asserted-Identity is not forwarded: the number of an anonymous caller stays unknown here";
            self.find(Warning, "ForwardPai", message, "set ForwardPai to $true", "TDR-161");
        }
        if flag("ForwardCallHistory") == Some(false) {
            let message = "History-Info is not forwarded: who forwarded a call stays unknown here";
            self.find(Warning, "ForwardCallHistory", message, "set ForwardCallHistory to $true", "TDR-118");
        }
        if flag("PidfLoSupported") == Some(true) {
            let message = "Teams will add location to emergency calls, and it does not cross to the other side";
            self.find(Warning, "PidfLoSupported", message, "set PidfLoSupported to $false", "TDR-153");
        }
        if let Some(seconds) = number("FailoverTimeSeconds").filter(|seconds| *seconds < 10) {
            let message = format!("Teams tries another SBC after {seconds} s, before the hosts behind us were tried");
            self.find(Warning, "FailoverTimeSeconds", message, "leave it at 10", "TDR-71");
        }
        self.failover(gateway);
        let version = gateway.get("IPAddressVersion").and_then(Value::as_str);
        let v6 = version.map(|version| version.eq_ignore_ascii_case("IPv6"));
        if let (Some(v6), Some(own)) = (v6, trunk.ip)
            && v6 != (own == IpVersion::V6)
        {
            let message = format!("Teams speaks {} to it, and trunk `{name}` the other version", version.unwrap_or(""));
            self.find(Error, "IPAddressVersion", message, "correct IPAddressVersion, or ip of the trunk", "TDR-28");
        }
        let sessions = number("MaxConcurrentSessions").zip(trunk.max_calls);
        if let Some((sessions, calls)) = sessions.filter(|(sessions, calls)| *sessions > u64::from(*calls)) {
            let message = format!("Teams warns at 90 % of {sessions} sessions, and trunk `{name}` takes {calls} calls");
            let remedy = "set MaxConcurrentSessions to limits.calls of the trunk";
            self.find(Warning, "MaxConcurrentSessions", message, remedy, "TDR-161");
        }
    }

    /// The codes on which Teams goes on to another SBC against those that we give (TDR-127).
    fn failover(&mut self, gateway: &Value) {
        let Some(codes) = gateway.get("FailoverResponseCodes").and_then(Value::as_str) else { return };
        let codes: Vec<u64> = codes.split(',').filter_map(|code| code.trim().parse().ok()).collect();
        if !codes.contains(&503) {
            let message =
                "Teams does not go on to another SBC on 503, which is what we answer when we are full or cut off";
            let remedy = "set FailoverResponseCodes to \"408,503,504\"";
            self.find(Severity::Warning, "FailoverResponseCodes", message, remedy, "TDR-127");
        }
        let users: Vec<String> = codes.iter().filter(|code| OF_USERS.contains(code)).map(ToString::to_string).collect();
        if !users.is_empty() {
            let message =
                format!("Teams goes on to another SBC on {}, so that people are called twice", users.join(", "));
            let remedy = "set FailoverResponseCodes to \"408,503,504\"";
            self.find(Severity::Warning, "FailoverResponseCodes", message, remedy, "TDR-127");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lab_with;
    use super::*;

    const GOOD: &str = r#"{
  "Identity": "sbc1.example.com",
  "Fqdn": "sbc1.example.com",
  "SipSignalingPort": 5061,
  "Enabled": true,
  "SendSipOptions": true,
  "FailoverTimeSeconds": 10,
  "FailoverResponseCodes": "408,503,504",
  "ForwardCallHistory": true,
  "ForwardPai": true,
  "MediaBypass": false,
  "PidfLoSupported": false,
  "IPAddressVersion": "IPv4",
  "MaxConcurrentSessions": null
}"#;

    fn findings(octets: impl AsRef<[u8]>) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateways.json");
        std::fs::write(&path, octets).unwrap();
        let settings = lab_with("trunk.teams", "ip = \"v4\"\nlimits = { calls = 100 }");
        let found = check_gateways(&path, &settings);
        let prefix = format!("{}:", path.display());
        found.iter().map(|finding| finding.to_string().trim_start_matches(&prefix).to_owned()).collect()
    }

    #[test]
    fn a_trunk_as_recommended_has_no_finding_alone_or_in_a_list_tdr_161() {
        assert_eq!(findings(GOOD), [""; 0]);
        assert_eq!(findings(format!("[{GOOD}]")), [""; 0]);
        let utf16: Vec<u8> = "\u{feff}".chars().chain(GOOD.chars()).flat_map(|c| (c as u16).to_le_bytes()).collect();
        assert_eq!(findings(utf16), [""; 0], "as Windows PowerShell writes it");
    }

    #[test]
    fn each_mismatch_is_told_with_its_line_rule_and_remedy_tdr_161() {
        for (from, to, words) in [
            ("5061,", "5067,", "4:3: error: Teams calls port 5067, and trunk `teams` listens on 5061 [TDR-23]"),
            ("\"Enabled\": true", "\"Enabled\": false", "5:3: warning: the trunk is not enabled"),
            ("\"SendSipOptions\": true", "\"SendSipOptions\": false", "6:3: warning: Teams sends no OPTIONS"),
            (
                "\"FailoverTimeSeconds\": 10",
                "\"FailoverTimeSeconds\": 5",
                "7:3: warning: Teams tries another SBC after 5 s",
            ),
            ("408,503,504", "408,504", "8:3: warning: Teams does not go on to another SBC on 503"),
            ("408,503,504", "408,486,503", "8:3: warning: Teams goes on to another SBC on 486"),
            ("History\": true", "History\": false", "9:3: warning: History-Info is not forwarded"),
            ("Pai\": true", "Pai\": false", "10:3: warning: P-Asserted-Identity is not forwarded"),
            ("Bypass\": false", "Bypass\": true", "11:3: error: media bypass wants ICE"),
            ("Supported\": false", "Supported\": true", "12:3: warning: Teams will add location"),
            ("IPv4", "IPv6", "13:3: error: Teams speaks IPv6 to it"),
            ("null", "500", "14:3: warning: Teams warns at 90 % of 500 sessions"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let found = findings(GOOD.replace(from, to));
            assert!(found.len() == 1 && found[0].starts_with(words), "{from}: {found:#?}");
            assert!(found[0].contains("; "), "a remedy: {found:#?}");
        }
    }

    #[test]
    fn a_name_that_only_one_side_knows_is_told_and_what_is_no_export_too() {
        let found = findings(GOOD.replace("sbc1.", "sbc9."));
        assert!(found[0].contains("no Teams trunk here is called sbc9.example.com"), "{found:#?}");
        assert!(found[1].contains("the export has no gateway sbc1.example.com"), "{found:#?}");
        assert!(
            findings("{\n \"Identity\": ")[0].starts_with("2:13: error: this is no JSON"),
            "{:?}",
            findings("{\n \"Identity\": ")
        );
        assert!(findings("[1]")[0].contains("a gateway without Identity"));
        let settings = lab_with("trunk.teams", "");
        let missing = check_gateways(Path::new("/nonexistent.json"), &settings);
        assert!(missing[0].to_string().contains("cannot be read"), "{missing:?}");
    }
}
