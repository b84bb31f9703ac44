//! `tandem simulate` as an operator has it: each kind of decision, captures, bad input, and what it writes.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// The captured INVITE of Genesys to alice@example.com.
const INVITE: &str = include_str!("simulate/invite.sip");

/// The configuration that everybody starts from; its certificates are not there.
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/tandem.toml");

/// A folder with a configuration of this text and the users of the example.
struct Site(tempfile::TempDir);

impl Site {
    fn new(configuration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tandem.toml"), configuration).unwrap();
        let users = concat!(env!("CARGO_MANIFEST_DIR"), "/config/users.csv");
        std::fs::copy(users, folder.path().join("users.csv")).unwrap();
        Self(folder)
    }

    /// The example, with another text in place of `from`.
    fn example(from: &str, to: &str) -> Self {
        let example = std::fs::read_to_string(CONFIGURATION).unwrap();
        let (from, to) = (format!("\n{from}"), format!("\n{to}"));
        assert!(example.contains(&from), "{from}");
        Self::new(&example.replace(&from, &to))
    }

    fn configuration(&self) -> String {
        self.0.path().join("tandem.toml").display().to_string()
    }

    fn file(&self, octets: &[u8]) -> PathBuf {
        let path = self.0.path().join("input");
        std::fs::write(&path, octets).unwrap();
        path
    }
}

fn tandem(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.env_remove("NO_COLOR").spawn().unwrap();
    // What is refused for its arguments reads no input.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn simulate_with(configuration: &str, input: &[u8], from: &str, more: &[&str]) -> Output {
    tandem(&[&["simulate", "-", "--config", configuration, "--from", from][..], more].concat(), input)
}

/// Exit code and JSON of a simulation on the example configuration.
fn simulated(input: &[u8], from: &str) -> (i32, Value) {
    simulated_with(CONFIGURATION, input, from, &[])
}

fn simulated_with(configuration: &str, input: &[u8], from: &str, more: &[&str]) -> (i32, Value) {
    let output = simulate_with(configuration, input, from, &[more, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text);
    (output.status.code().unwrap(), json.unwrap_or_else(|error| panic!("{error}: {text}{:?}", output.stderr)))
}

fn decision(json: &Value, at: usize) -> (&str, Option<u64>) {
    let decision = &json["messages"][at]["decision"];
    (decision["kind"].as_str().unwrap(), decision["status"].as_u64())
}

fn told_by(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Another message on the way of the INVITE: its start line and CSeq, without a body.
fn within(method: &str, to_tag: &str) -> String {
    format!(
        "{method} sip:sbc1.example.com:5061;transport=tls SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.21:5061;branch=z9hG4bKgc1;gcv=Zm9v\r\n\
         Max-Forwards: 68\r\nFrom: <sip:+4917155501234@192.0.2.21>;tag=gc-1\r\nTo: <sip:+496955501007@sbc1.example.com>{to_tag}\r\n\
         Call-ID: 7d0c1f@192.0.2.21\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

fn options() -> String {
    within("OPTIONS", "").replace("z9hG4bKgc1", "z9hG4bKgc2").replace("7d0c1f", "7d0c20")
}

#[test]
fn an_invite_is_told_from_trunk_to_octets() {
    let (code, json) = simulated(INVITE.as_bytes(), "genesys");
    assert_eq!((code, &json["accepted"], &json["from"]), (0, &true.into(), &"genesys".into()), "{json:#}");
    let told = &json["messages"][0];
    assert_eq!(decision(&json, 0), ("forwarded", None));
    assert_eq!(told["trunk"]["chosen"], "genesys");
    assert_eq!(told["called"], serde_json::json!({ "number": "+496955501007", "said_in": ["Request-URI", "To"] }));
    assert_eq!(
        (&told["caller"]["number"], &told["caller"]["display"]),
        (&"+4917155501234".into(), &"Erika Example".into())
    );
    assert_eq!(told["directory"], serde_json::json!({ "found": true, "user": "alice@example.com", "active": true }));
    assert_eq!((&told["routes"][0]["route"], &told["routes"][0]["matches"]), (&1.into(), &true.into()));
    assert_eq!(told["hosts"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&told["hosts"][0]["host"], &told["hosts"][0]["addresses"]),
        (&"sip.pstnhub.microsoft.com:5061".into(), &serde_json::json!([]))
    );
    let field = |name: &str| told["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).unwrap();
    assert!(field("User-to-User")["why"].as_str().unwrap().contains("TDR-62"));
    assert!(field("x-inin-cnv")["why"].as_str().unwrap().contains("GEN-61"));
    assert_eq!((&field("Record-Route")["fate"], &field("X-MS-SBC")["fate"]), (&"stays".into(), &"added".into()));
    let changes = told["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|line| line["mark"] == "-" && line["text"].as_str().unwrap().starts_with("Record-Route:"))
    );
    assert!(changes.iter().any(|line| line["mark"] == "+" && line["text"] == "Max-Forwards: 67"));
    let sent = told["sent"].as_array().unwrap();
    assert_eq!(
        (&sent[0]["to"], &sent[1]["to"], &sent[1]["resolved"]),
        (&"flow".into(), &"tls:sip.pstnhub.microsoft.com:5061".into(), &false.into())
    );
    let invite = sent[1]["octets"].as_str().unwrap();
    assert!(
        invite.starts_with("INVITE sip:+496955501007@sip.pstnhub.microsoft.com:5061")
            && !invite.contains("User-to-User")
    );
    assert_eq!(simulated(INVITE.as_bytes(), "genesys").1["messages"][0]["sent"], told["sent"], "it repeats itself");
}

#[test]
fn every_refusal_says_where_it_was_decided() {
    let refused = |message: &str, status: u64, why: &str| {
        let (code, json) = simulated(message.as_bytes(), "genesys");
        let text = json["messages"][0]["decision"]["text"].as_str().unwrap().to_owned();
        assert_eq!((code, decision(&json, 0)), (1, ("refused", Some(status))), "{json:#}");
        assert!(text.contains(why), "{text}");
        json
    };
    let json = refused(&INVITE.replace("+496955501007", "+496955501999"), 404, "number not in the directory");
    assert_eq!(json["messages"][0]["directory"], serde_json::json!({ "found": false }));
    let routes = json["messages"][0]["routes"].as_array().unwrap().clone();
    assert!(
        routes[0]["why"].as_str().unwrap().contains("TDR-46")
            && routes[1]["why"].as_str().unwrap().contains("another trunk")
    );
    let json = refused(&INVITE.replace("+496955501007", "+14255550123"), 480, "user not active");
    assert_eq!(json["messages"][0]["directory"]["active"], false);
    let json = refused(&INVITE.replace("+496955501007@", "queue@"), 404, "not a telephone number");
    assert_eq!(json["messages"][0]["called"]["why"], "not a telephone number");
    refused(&INVITE.replace("INVITE sip:", "INVITE sips:"), 416, "Unsupported URI Scheme");
    refused(&INVITE.replace("Max-Forwards: 68", "Max-Forwards: 0"), 483, "Too Many Hops");
    refused(&INVITE.replace("Max-Forwards", "Require: foo\r\nMax-Forwards"), 420, "Bad Extension");
    let bodiless = INVITE.split("Content-Type").next().unwrap().to_owned() + "Content-Length: 0\r\n\r\n";
    refused(&bodiless, 488, "Offer needed");
}

#[test]
fn of_two_trunks_with_one_address_the_request_says_which() {
    let second = "[trunk.second]\nkind = \"genesys\"\nregion = \"eu-central-1\"\ntermination = \"other\"\ntls = \"public\"\n\
        fqdn = \"sbc2.example.com\"\nsources = [\"192.0.2.0/24\"]\n[numbers]";
    let site = Site::example("[numbers]", second);
    let (_, json) = simulated_with(&site.configuration(), INVITE.as_bytes(), "second", &[]);
    let told = &json["messages"][0];
    assert_eq!(
        (&told["trunk"]["chosen"], told["trunk"]["candidates"].as_array().unwrap().len()),
        (&"genesys".into(), 2),
        "{json:#}"
    );
    assert!(told["notes"][0].as_str().unwrap().contains("not on trunk second"), "{json:#}");
}

/// Every key of a JSON value, at any depth.
fn keys(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(key.clone());
                keys(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn every_key_of_the_json_is_in_the_documentation() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/simulate.md")).unwrap();
    let rule = "[[rule]]\ntrunk = [\"teams\"]\ndirection = \"out\"\nadd = \"Diversion\"\nvalue = \"<sip:a@example.com>\"\n[numbers]";
    let site = Site::example("[numbers]", rule);
    let clear = INVITE.replace("RTP/SAVP", "RTP/AVP/").replace("Erika Example", "Anonymous");
    let inputs = [
        INVITE.to_owned(),
        clear,
        INVITE.replace("Call-ID:", "Call-ID"),
        INVITE.replace("+496955501007@", "queue@").replace("sip:+4917155501234@", "sip:anonymous@"),
    ];
    let mut found = std::collections::BTreeSet::new();
    for input in inputs {
        let down = ["--down", "sip.pstnhub.microsoft.com"];
        keys(&simulated_with(&site.configuration(), input.as_bytes(), "genesys", &down).1, &mut found);
    }
    let missing: Vec<_> = found.iter().filter(|key| !document.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn no_digest_is_asked_for_and_a_token_is_gen_25_gen_27() {
    use std::os::unix::fs::PermissionsExt;
    let keys = "required_header = { name = \"X-Acme-Token\", value_file = \"token\" }\n\
        authentication = { username = \"acme\", password_file = \"token\" }\ntermination = \"acme-sbc\"";
    let site = Site::example("termination = \"acme-sbc\"", keys);
    let token = site.0.path().join("token");
    std::fs::write(&token, "hunter2").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (_, json) = simulated_with(&site.configuration(), INVITE.as_bytes(), "genesys", &[]);
    assert_eq!(decision(&json, 0).1, Some(403), "{json:#}");
    let with = INVITE.replacen("Max-Forwards:", "X-Acme-Token: hunter2\r\nMax-Forwards:", 1);
    let (code, json) = simulated_with(&site.configuration(), with.as_bytes(), "genesys", &[]);
    assert_eq!((code, decision(&json, 0).0), (0, "forwarded"), "{json:#}");
}

#[test]
fn rules_of_the_operator_are_told_by_name_with_what_they_changed() {
    let rules = "[[rule]]\nname = \"outside line\"\ntrunk = [\"genesys\"]\ndirection = \"in\"\nreplace = \"request-uri\"\n\
        pattern = '^sip:9'\nwith = 'sip:+49'\n[[rule]]\ntrunk = [\"teams\"]\ndirection = \"out\"\nmethod = [\"INVITE\"]\nadd = \"X-Site\"\n\
        value = \"Berlin\"\n[numbers]";
    let site = Site::example("[numbers]", rules);
    let invite = INVITE.replace("INVITE sip:+496955501007", "INVITE sip:96955501007");
    let (code, json) = simulated_with(&site.configuration(), invite.as_bytes(), "genesys", &[]);
    let told = &json["messages"][0];
    assert_eq!((code, &told["called"]["number"]), (0, &"+496955501007".into()), "{json:#}");
    let (arriving, leaving) = (&told["rules"][0], &told["rules"][1]);
    assert_eq!((&arriving["direction"], &arriving["trunk"]), (&"in".into(), &"genesys".into()));
    assert_eq!(arriving["rules"], serde_json::json!([{ "rule": 1, "name": "outside line" }]));
    assert_eq!(arriving["changes"][0]["text"], "INVITE sip:96955501007@sbc1.example.com:5061;transport=tls SIP/2.0");
    assert_eq!((&leaving["direction"], &leaving["rules"][0]["name"]), (&"out".into(), &"rule 2".into()));
    assert_eq!(leaving["changes"], serde_json::json!([{ "mark": "+", "text": "X-Site: Berlin" }]));
    let text = simulate_with(&site.configuration(), invite.as_bytes(), "genesys", &[]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("Operator rules, on the way in\n  outside line on genesys (INVITE sip:+49"), "{text}");
}

#[test]
fn the_guard_says_what_it_put_right_and_what_it_kept_back() {
    let site = Site::example(
        "[numbers]",
        "[[rule]]\ntrunk = [\"teams\"]\ndirection = \"out\"\nmethod = [\"INVITE\"]\nadd = \"Diversion\"\nvalue = \"<sip:a@example.com>\"\n[numbers]",
    );
    let (code, json) = simulated_with(&site.configuration(), INVITE.as_bytes(), "genesys", &[]);
    let told = &json["messages"][0];
    assert_eq!((code, &told["guard"][0]["did"], &told["guard"][0]["trunk"]), (0, &"repaired".into(), &"teams".into()));
    assert_eq!(
        told["guard"][0]["changes"],
        serde_json::json!([{ "mark": "-", "text": "Diversion: <sip:a@example.com>" }])
    );
    let clear = INVITE.replace("RTP/SAVP", "RTP/AVP/");
    let (code, json) = simulated(clear.as_bytes(), "genesys");
    let withheld = &json["messages"][0]["guard"][0];
    assert_eq!((code, &withheld["did"], &withheld["rule"]), (1, &"withheld".into(), &"TDR-134".into()), "{json:#}");
    assert_eq!(decision(&json, 0), ("refused", Some(488)));
    let text = String::from_utf8(simulate_with(CONFIGURATION, clear.as_bytes(), "genesys", &[]).stdout).unwrap();
    assert!(text.contains("kept from leaving to teams by TDR-134"), "{text}");
}

#[test]
fn what_is_no_call_is_answered_absorbed_or_dropped() {
    let (code, json) = simulated(options().as_bytes(), "genesys");
    assert_eq!((code, decision(&json, 0)), (0, ("answered", Some(200))), "{json:#}");
    let ours = ";tag=td0001000000010122e52d82db4fe0d3";
    for (to_tag, note) in [(ours, "one that Tandem made"), (";tag=x", "none that Tandem made")] {
        let (code, json) = simulated(within("BYE", to_tag).as_bytes(), "genesys");
        assert_eq!((code, decision(&json, 0)), (1, ("refused", Some(481))));
        assert!(json["messages"][0]["notes"][0].as_str().unwrap().contains(note), "{json:#}");
    }
    let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS sbc1.example.com;branch=z9hG4bKx\r\nFrom: <sip:a@example.com>;tag=1\r\n\
        To: <sip:b@example.com>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    let (code, json) = simulated(response.as_bytes(), "teams");
    assert_eq!((code, decision(&json, 0)), (1, ("dropped", None)));
    assert!(json["messages"][0]["notes"][0].as_str().unwrap().contains("dropped on every element"), "{json:#}");
}

#[test]
fn a_malformed_message_says_at_which_octet_and_what_is_answered() {
    for (message, line, content, status) in [
        (INVITE.replace("Call-ID:", "Call-ID"), 7, "Call-ID 7d0c1f@192.0.2.21", 400),
        (
            INVITE.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
            1,
            "INVITE sip:+496955501007@sbc1.example.com:5061;transport=tls SIP/3.0",
            505,
        ),
        (INVITE.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"), 8, "CSeq: 1 BYE", 400),
    ] {
        let (code, json) = simulated(message.as_bytes(), "genesys");
        let fault = &json["messages"][0]["fault"];
        assert_eq!((&fault["line"], &fault["content"]), (&line.into(), &content.into()), "{json:#}");
        let octet = usize::try_from(fault["octet"].as_u64().unwrap()).unwrap();
        assert!(message[octet..].starts_with(content));
        assert_eq!((code, decision(&json, 0)), (1, ("refused", Some(status))));
        assert!(json["messages"][0]["sent"][0]["octets"].as_str().unwrap().starts_with(&format!("SIP/2.0 {status} ")));
    }
    let (code, json) = simulated(INVITE.trim_end().as_bytes(), "genesys");
    assert_eq!((code, decision(&json, 0)), (1, ("dropped", None)));
    assert!(json["messages"][0]["decision"]["text"].as_str().unwrap().contains("waited for (2 octets"), "{json:#}");
}

#[test]
fn a_log_of_several_messages_is_one_story() {
    let other = INVITE.replace("gc1", "gc9").replace("7d0c1f", "7d0c99").replace("+496955501007", "+496955501999");
    let log = format!(
        "2026/03/02 08:30:00 192.0.2.21:5061 -> 198.51.100.1:5061\n{INVITE}\n\n{INVITE}\n{}\n---- \n{other}",
        within("CANCEL", "")
    );
    let (code, json) = simulated(log.as_bytes(), "genesys");
    let kinds: Vec<_> = (0..4).map(|at| decision(&json, at)).collect();
    assert_eq!(
        kinds,
        [("forwarded", None), ("absorbed", None), ("answered", Some(200)), ("refused", Some(404))],
        "{json:#}"
    );
    assert_eq!((code, &json["messages"][0]["peer"]["source"]), (1, &"192.0.2.21:5061".into()));
    let limited = simulated_with(CONFIGURATION, log.as_bytes(), "genesys", &["--limit", "2"]);
    assert_eq!((limited.0, limited.1["messages"].as_array().unwrap().len()), (0, 2));
    assert!(limited.1["left_out"][0].as_str().unwrap().contains("2 messages behind the first 2"));
}

#[test]
fn a_host_that_is_down_and_one_of_the_static_table_are_told() {
    let site = Site::example("# [hosts]", "[hosts]\n\"sip2.pstnhub.microsoft.com\" = [\"52.112.0.7\"]\n#");
    let more = ["--down", "sip.pstnhub.microsoft.com"];
    let (code, json) = simulated_with(&site.configuration(), INVITE.as_bytes(), "genesys", &more);
    let hosts = &json["messages"][0]["hosts"];
    assert_eq!((code, &hosts[0]["tried"], &hosts[1]["tried"]), (0, &false.into(), &true.into()));
    assert_eq!(hosts[1]["addresses"], serde_json::json!(["52.112.0.7:5061"]));
    let sent = &json["messages"][0]["sent"][1];
    assert_eq!((&sent["to"], &sent["resolved"]), (&"tls:sip2.pstnhub.microsoft.com:5061".into(), &true.into()));
    let unknown = simulate_with(CONFIGURATION, INVITE.as_bytes(), "genesys", &["--down", "sip9.pstnhub.microsoft.com"]);
    assert_eq!(unknown.status.code(), Some(64));
    assert!(told_by(&unknown).contains("did you mean"), "{}", told_by(&unknown));
}

#[test]
fn text_is_coloured_only_where_that_is_wanted_and_carries_no_commands() {
    let evil = INVITE.replace("Erika Example", "\u{1b}[31mErika");
    let plain = simulate_with(CONFIGURATION, evil.as_bytes(), "genesys", &[]);
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(
        !text.contains('\u{1b}') && text.contains("Before and after\n") && text.contains("accepted: INVITE"),
        "{text}"
    );
    assert!(text.contains("+4917155501234"), "numbers in full");
    let coloured = simulate_with(CONFIGURATION, INVITE.as_bytes(), "genesys", &["--color", "always"]);
    assert!(String::from_utf8(coloured.stdout).unwrap().contains("\u{1b}[32m  + Max-Forwards: 67\u{1b}[0m"));
    let mut refused = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let invite = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulate/invite.sip");
    refused.args(["simulate", invite, "-f", "genesys", "-c", CONFIGURATION, "--color", "always"]).env("NO_COLOR", "1");
    assert!(!String::from_utf8(refused.output().unwrap().stdout).unwrap().contains('\u{1b}'));
}

#[test]
fn the_time_is_the_one_that_is_said() {
    let (_, json) = simulated_with(CONFIGURATION, INVITE.as_bytes(), "genesys", &["--at", "2026-03-02T08:30:00+01:00"]);
    assert_eq!(json["messages"][0]["at"], "2026-03-02T07:30:00Z");
    let wrong = simulate_with(CONFIGURATION, INVITE.as_bytes(), "genesys", &["--at", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(64));
    assert!(told_by(&wrong).contains("2026-03-02T08:30"));
}

#[test]
fn bad_input_ends_with_its_exit_code_and_a_remedy() {
    let site = Site::example("[numbers]", "[numbers]");
    let ended = |input: &[u8], code: i32, help: &str| {
        let path = site.file(input);
        let output = tandem(&["simulate", path.to_str().unwrap(), "-f", "genesys", "-c", CONFIGURATION], b"");
        assert_eq!(output.status.code(), Some(code), "{}", told_by(&output));
        assert!(told_by(&output).contains(help), "{}", told_by(&output));
    };
    ended(b"", 65, "the input is empty");
    ended(b"\n\x07garbage\x1b[0m\xff\n", 65, "octet 1, line 2 is neither a request line");
    ended(b"\x1f\x8b\x08\0\0", 65, "unpack it first");
    ended(b"\xd4\xc3\xb2\xa1", 65, "its file header is cut off");
    let missing = tandem(&["simulate", "/nowhere/invite.sip", "-f", "genesys", "-c", CONFIGURATION], b"");
    assert_eq!(missing.status.code(), Some(66));
    let folder = tandem(&["simulate", "/", "-f", "genesys", "-c", CONFIGURATION], b"");
    assert_eq!(folder.status.code(), Some(66));
    let endless = tandem(&["simulate", "/dev/zero", "-f", "genesys", "-c", CONFIGURATION], b"");
    assert_eq!(endless.status.code(), Some(65), "{}", told_by(&endless));
    assert!(told_by(&endless).contains("longer than 64 MiB"));
    let trunk = simulate_with(CONFIGURATION, INVITE.as_bytes(), "genesis", &[]);
    assert_eq!(trunk.status.code(), Some(64));
    assert!(
        told_by(&trunk).contains("no trunk is called genesis") && told_by(&trunk).contains("did you mean `genesys`?")
    );
    let bad = Site::new("[edgy]\n");
    let bad = simulate_with(&bad.configuration(), INVITE.as_bytes(), "genesys", &[]);
    assert_eq!((bad.status.code(), told_by(&bad).contains("tandem.toml:1")), (Some(78), true));
    assert_eq!(tandem(&["simulate"], b"").status.code(), Some(64));
}

/// Packets of one capture, as classic pcap or as pcapng.
mod packets {
    /// An IPv4 packet over Ethernet.
    pub(super) fn ethernet(protocol: u8, source: [u8; 4], transport: &[u8]) -> Vec<u8> {
        ethernet_part(protocol, source, transport, 0)
    }

    /// The same with this flags-and-offset field.
    pub(super) fn ethernet_part(protocol: u8, source: [u8; 4], transport: &[u8], part: u16) -> Vec<u8> {
        let mut packet = [&[0; 12][..], &[0x81, 0, 0, 7, 8, 0, 0x45, 0]].concat();
        packet.extend(u16::try_from(20 + transport.len()).unwrap().to_be_bytes());
        packet.extend([0, 9]);
        packet.extend(part.to_be_bytes());
        packet.extend([64, protocol, 0, 0]);
        packet.extend(source);
        packet.extend([198, 51, 100, 1]);
        packet.extend(transport);
        packet
    }

    pub(super) fn udp(payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).unwrap();
        [&[0x13, 0xc4, 0x13, 0xc4][..], &length.to_be_bytes(), &[0, 0], payload].concat()
    }

    pub(super) fn tcp(sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        let head = [&[0x9c, 0x40, 0x13, 0xc4][..], &sequence.to_be_bytes(), &[0; 4], &[0x50, flags, 1, 0, 0, 0, 0, 0]];
        [&head.concat()[..], payload].concat()
    }

    /// Little endian, 2 March 2026 at 07:30.
    pub(super) fn classic(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file =
            [&[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0][..], &link.to_le_bytes()]
                .concat();
        for packet in packets {
            let length = u32::try_from(packet.len()).unwrap().to_le_bytes();
            file.extend(
                [&1_772_436_600_u32.to_le_bytes()[..], &250_000_u32.to_le_bytes(), &length, &length, packet].concat(),
            );
        }
        file
    }

    /// Big endian, with nanoseconds.
    pub(super) fn blocks(link: u16, packets: &[Vec<u8>]) -> Vec<u8> {
        let block = |kind: u32, body: &[u8]| {
            let mut body = body.to_vec();
            body.resize(body.len().next_multiple_of(4), 0);
            let length = u32::try_from(body.len() + 12).unwrap().to_be_bytes();
            [&kind.to_be_bytes()[..], &length, &body, &length].concat()
        };
        let mut file =
            block(0x0a0d_0d0a, &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        file.extend(block(
            1,
            &[&link.to_be_bytes()[..], &[0, 0, 0, 4, 0, 0], &[0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0]].concat(),
        ));
        for packet in packets {
            let time = 1_772_436_600_250_000_000_u64;
            let length = u32::try_from(packet.len()).unwrap().to_be_bytes();
            file.extend(block(6, &[&[0; 4][..], &time.to_be_bytes(), &length, &length, packet].concat()));
        }
        file
    }
}

/// A trunk that is called over UDP, beside Teams.
fn carrier() -> Site {
    let carrier = "[trunk.carrier]\nkind = \"generic\"\ntransport = \"udp\"\nhosts = [\"192.0.2.21\"]\nsources = [\"192.0.2.0/24\"]\n";
    let example = std::fs::read_to_string(CONFIGURATION).unwrap();
    let example =
        example.replace("listen = [\"tls:0.0.0.0:5061\"]", "listen = [\"tls:0.0.0.0:5061\", \"udp:0.0.0.0:5060\"]");
    let (front, back) = example.split_once("[trunk.genesys]").unwrap();
    let routes = back.split_once("\n[numbers]").unwrap().1;
    Site::new(&format!(
        "{front}{carrier}[[route]]\nfrom = \"carrier\"\nnumber = \"directory\"\nto = [\"teams\"]\n[numbers]{routes}"
    ))
}

#[test]
fn two_invites_of_a_capture_are_two_decisions() {
    let other = INVITE.replace("gc1", "gc9").replace("7d0c1f", "7d0c99").replace("+496955501007", "+496955501999");
    let source = [192, 0, 2, 21];
    let whole = packets::udp(other.as_bytes());
    let (front, back) = whole.split_at(800);
    let packets = [
        packets::ethernet(17, source, &packets::udp(INVITE.as_bytes())),
        packets::ethernet(17, source, &packets::udp(b"\0\x01\x02 not SIP")),
        packets::ethernet_part(17, source, back, 100),
        packets::ethernet_part(17, source, front, 0x2000),
    ];
    let site = carrier();
    for file in [packets::classic(1, &packets), packets::blocks(1, &packets)] {
        let (code, json) = simulated_with(&site.configuration(), &file, "carrier", &[]);
        assert_eq!(
            (code, decision(&json, 0), decision(&json, 1)),
            (1, ("forwarded", None), ("refused", Some(404))),
            "{json:#}"
        );
        let (first, second) = (&json["messages"][0], &json["messages"][1]);
        assert_eq!((&first["place"], &second["place"]), (&"packet 1".into(), &"packet 4".into()));
        assert_eq!(
            (&first["at"], &first["peer"]["source"]),
            (&"2026-03-02T07:30:00.25Z".into(), &"192.0.2.21:5060".into())
        );
        assert!(json["left_out"].to_string().contains("packets are no SIP"), "{json:#}");
        for end in 0..file.len() {
            // Cut off anywhere it is bad data or fewer messages, never a panic.
            if end % 97 == 0 {
                let cut = simulate_with(&site.configuration(), &file[..end], "carrier", &[]);
                assert!(matches!(cut.status.code(), Some(0 | 65)), "{end}: {cut:?}");
            }
        }
    }
}

#[test]
fn of_a_capture_of_both_sides_only_what_the_trunk_sent_is_simulated() {
    let ours = INVITE.replace("7d0c1f", "td00010000000101f5681bc6f84bb3ac");
    let packets = [
        packets::ethernet(17, [192, 0, 2, 21], &packets::udp(INVITE.as_bytes())),
        packets::ethernet(17, [198, 51, 100, 1], &packets::udp(ours.as_bytes())),
    ];
    let (code, json) = simulated_with(&carrier().configuration(), &packets::classic(1, &packets), "carrier", &[]);
    assert_eq!((code, json["messages"].as_array().unwrap().len()), (0, 1), "{json:#}");
    assert!(json["left_out"].to_string().contains("1 messages from addresses that are not those of trunk carrier"));
}

#[test]
fn messages_on_plain_tcp_are_put_together_and_tls_is_told() {
    let other = INVITE.replace("gc1", "gc9").replace("7d0c1f", "7d0c99");
    let stream = format!("{INVITE}{other}");
    let (first, rest) = stream.as_bytes().split_at(500);
    let (second, third) = rest.split_at(700);
    let at = |octets: usize| 0xffff_ff00_u32.wrapping_add(u32::try_from(octets).unwrap());
    let segment =
        |octets: usize, payload: &[u8]| packets::ethernet(6, [192, 0, 2, 21], &packets::tcp(at(octets), 0x18, payload));
    let encrypted = packets::ethernet(6, [192, 0, 2, 22], &packets::tcp(1, 0x18, &[22, 3, 1, 0, 9, 1, 0, 0]));
    let packets = [
        packets::ethernet(6, [192, 0, 2, 21], &packets::tcp(at(0).wrapping_sub(1), 2, b"")),
        segment(0, first),
        segment(1200, third),
        segment(500, second),
        segment(0, first),
        encrypted.clone(),
    ];
    let (code, json) = simulated(&packets::classic(1, &packets), "genesys");
    assert_eq!((code, json["messages"].as_array().unwrap().len()), (0, 2), "{json:#}");
    assert_eq!(json["messages"][0]["place"], "packet 4");
    assert!(json["left_out"].to_string().contains("1 TCP streams are TLS and cannot be read"), "{json:#}");
    let nothing = simulate_with(CONFIGURATION, &packets::classic(1, &[encrypted]), "genesys", &[]);
    assert_eq!(nothing.status.code(), Some(65));
    assert!(told_by(&nothing).contains("export the decrypted messages"), "{}", told_by(&nothing));
}

#[test]
fn a_message_from_an_address_that_is_not_the_trunk_s_says_so() {
    let log = format!("203.0.113.9:5061 -> 198.51.100.1:5061\n{INVITE}");
    let (code, json) = simulated(log.as_bytes(), "genesys");
    assert_eq!((code, &json["messages"][0]["peer"]["source"]), (0, &"192.0.2.1:40000".into()));
    assert!(json["messages"][0]["notes"][0].as_str().unwrap().contains("203.0.113.9:5061"), "{json:#}");
}
