//! Text as a configuration: every finding has its place, and what is taken can be used. Nothing is read from disk.

use bytes::Bytes;
use std::path::Path;
use tandem::config::{Finding, Severity, load_text};
use tandem::rules::{Direction, Facts};
use tandem::sip::Message;

const INVITE: &str = "INVITE sip:+14255550123@sbc1.example.com;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/TLS 198.51.100.21:5061;branch=z9hG4bK1\r\nMax-Forwards: 69\r\n\
    From: \"D\" <sip:+12065550144@example.com>;tag=1\r\nTo: <sip:+14255550123@sbc1.example.com>\r\nCall-ID: 7\r\n\
    CSeq: 1 INVITE\r\nContact: <sip:+12065550144@198.51.100.21>\r\nX-Acme: one\r\nX-Acme: two\r\n\
    P-Asserted-Identity: <sip:+12065550144@example.com>\r\nSubject: s\r\n\r\n";

/// Reads `data` as a configuration, and lets its rules work on a message.
///
/// # Panics
///
/// When a finding points nowhere, or rules make something that is no message.
pub fn drive(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Secrets come from the environment instead, where there is none either.
    let text = text.replace("_file", "_env");
    match load_text(Path::new("/nowhere/tandem.toml"), text) {
        Err(found) => {
            assert!(found.iter().any(|finding| finding.severity == Severity::Error), "refused without a reason");
            found.iter().for_each(pointed);
        }
        Ok(loaded) => {
            loaded.warnings.iter().for_each(pointed);
            assert!(loaded.warnings.iter().all(|finding| finding.severity == Severity::Warning));
            let settings = loaded.settings;
            let message = Message::parse(Bytes::from_static(INVITE.as_bytes())).expect("an INVITE");
            for trunk in &settings.trunks {
                for direction in [Direction::In, Direction::Out] {
                    let facts = Facts { to_trunk: &trunk.trunk.name, ..Facts::default() };
                    if let Ok(Some(applied)) = settings.rules.apply(trunk.trunk.id, direction, &message, &facts) {
                        Message::parse(applied.message.octets()).expect("a message again");
                    }
                }
            }
            let again = tandem::config::diff(&settings, settings.clone());
            assert!(again.restart_keys.is_empty(), "differs from itself: {:?}", again.restart_keys);
        }
    }
}

/// A finding points into its text, and can be shown. What says how many more there are has no place.
fn pointed(finding: &Finding) {
    let text = &finding.source.text;
    let Some(span) = finding.span.clone() else {
        return assert!(finding.message.ends_with("more findings are not shown"), "no place: {finding}");
    };
    assert!(text.get(span.clone()).is_some(), "{span:?} of {} in {finding}", text.len());
    let (line, column) = finding.position().expect("a place");
    assert!(line >= 1 && column >= 1 && line <= text.matches('\n').count() + 1, "{finding}");
    assert!(!finding.message.is_empty() && !finding.render(false).is_empty());
}
