//! Secrets of trunks and header fields of INVITEs: each key has its effect, each fault its finding.

use super::*;
use crate::authentication::Secret;
use crate::sip::digest::{Algorithm, Hash, Quality};
use crate::trunk::NumberSource;

/// The lab with these lines in its Genesys trunk, and beside it the files `secret` (hunter2) and `ha1`.
fn read(lines: &str) -> Result<Trunk, Vec<Finding>> {
    let folder = folder_with(&leaf(), rsa());
    write(&folder, "secret", "hunter2\n");
    write(&folder, "empty", "\n");
    write(&folder, "lines", "hunter2\nhunter3\n");
    write(&folder, "marked", "\u{feff}hunter2\r\n");
    write(&folder, "control", "hunter2\u{1}\n");
    assert!(std::process::Command::new("mkfifo").arg(folder.path().join("pipe")).status().unwrap().success());
    let ha1 = |hash: Hash| hash.ha1("acme", "sbc1.example.com", "hunter2");
    write(&folder, "ha1", &format!("MD5 {}\nSHA-256: {}\n", ha1(Hash::Md5), ha1(Hash::Sha256)));
    let open = folder.path().join("open");
    fs::write(&open, "hunter2").unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let loaded = loaded_in(&folder, &with("trunk.genesys", lines))?;
    let mut secrets: Vec<String> = Vec::new();
    for file in loaded.settings.trunks.iter().flat_map(|trunk| &trunk.secrets) {
        secrets.push(file.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert_eq!(secrets.is_empty(), !lines.contains("_file"), "files of secrets are watched");
    assert!(!format!("{:?}", loaded.settings).contains("hunter2"), "no secret is printed");
    Ok(trunk(&loaded.settings, "genesys"))
}

fn genesys(lines: &str) -> Trunk {
    read(lines).unwrap_or_else(|findings| panic!("{}", super::lines(&findings)))
}

#[track_caller]
fn assert_refused(lines: &str, words: &str, line: &str) {
    let Err(findings) = read(lines) else { panic!("{lines} loads") };
    let fits = |finding: &&Finding| finding.severity == Severity::Error && finding.to_string().contains(words);
    let Some(finding) = findings.iter().find(fits) else { panic!("no `{words}` in\n{}", super::lines(&findings)) };
    let (number, _) = finding.position().unwrap();
    assert!(finding.source.text.lines().nth(number - 1).unwrap().contains(line), "{finding}");
    assert!(!super::lines(&findings).contains("hunter2"), "no secret is printed");
}

#[test]
fn each_key_of_authentication_has_its_effect_gen_25() {
    let by = |more: &str| {
        let table = format!("authentication = {{ username = \"acme\", password_file = \"secret\"{more} }}");
        (*genesys(&table).authentication.unwrap()).clone()
    };
    let plain = by("");
    assert_eq!((&*plain.realm, &*plain.username), ("sbc1.example.com", "acme"));
    assert_eq!((plain.algorithms[0].to_string(), plain.algorithms.len()), ("MD5".to_owned(), 1), "GEN-26");
    assert_eq!(plain.secrets[0].1, Secret::new(&Hash::Md5.ha1("acme", "sbc1.example.com", "hunter2")));
    assert_eq!((plain.qualities.as_slice(), plain.lifetime), (&[Quality::Auth][..], Duration::from_secs(300)));
    assert_eq!(&*by(", realm = \"acme\"").realm, "acme");
    let listed = by(", algorithms = [\"MD5\", \"SHA-512-256\", \"SHA-256-sess\"]").algorithms;
    let names: Vec<_> = listed.iter().map(|algorithm: &Algorithm| algorithm.as_str()).collect();
    assert_eq!(names, ["SHA-512-256", "SHA-256-sess", "MD5"], "the strongest first (RFC 8760 §2.3)");
    assert_eq!(by(", qop = [\"auth-int\"]").qualities.as_slice(), [Quality::AuthInt]);
    assert_eq!(by(", nonce_lifetime = \"30 s\"").lifetime, Duration::from_secs(30));
    let hashed = "authentication = { username = \"acme\", ha1_file = \"ha1\", algorithms = [\"SHA-256\", \"MD5\"] }";
    let hashed = genesys(hashed).authentication.unwrap();
    assert!(hashed.secrets.contains(&plain.secrets[0]) && hashed.secrets.len() == 2);
    assert!(genesys("").authentication.is_none() && genesys("").account.is_none());
}

#[test]
fn each_key_of_credentials_has_its_effect_gen_26() {
    let own =
        genesys("credentials = { username = \"tandem\", password_file = \"secret\", realm = \"r\" }").account.unwrap();
    assert_eq!((&*own.username, own.realm.as_deref()), ("tandem", Some("r")));
    assert!(own.password.is("hunter2"), "without the end of its line");
    let path = std::env::var("PATH").unwrap();
    let own = genesys("credentials = { username = \"tandem\", password_env = \"PATH\" }").account.unwrap();
    assert!(own.password.is(&path) && own.realm.is_none());
}

#[test]
fn tokens_and_header_fields_are_read_gen_16_gen_27() {
    let token =
        genesys("required_header = { name = \"X-Acme-Token\", value_file = \"secret\" }").required_header.unwrap();
    assert!(&*token.name == "X-Acme-Token" && token.value.is("hunter2"));
    let token = genesys("required_header.name = \"X-Acme-Token\"\nrequired_header.value_env = \"PATH\"")
        .required_header
        .unwrap();
    assert!(token.value.is(&std::env::var("PATH").unwrap()));
    let named = genesys("headers = { \"X-Acme-Origin\" = \"teams\", \"X-Acme-Site\" = \" ber \" }");
    let named: Vec<_> = named.headers.iter().map(|(field, value)| (field.as_str(), value.as_str())).collect();
    assert_eq!(named, [("X-Acme-Origin", "teams"), ("X-Acme-Site", "ber")]);
    assert_eq!(genesys("number_source = \"to\"").number_source, NumberSource::To, "GEN-21");
}

#[test]
fn secrets_are_there_and_private() {
    let password = |file: &str| format!("credentials = {{ username = \"a\", password_file = \"{file}\" }}");
    assert_refused(&password("nowhere"), "credentials.password_file cannot be read", "password_file");
    assert_refused(&password("open"), "everybody on this machine may read open", "password_file");
    assert_refused(&password("empty"), "has to hold the secret, on one line", "password_file");
    assert_refused(&password("lines"), "has to hold the secret, on one line", "password_file");
    assert_refused(&password("control"), "has a control character in the secret", "password_file");
    assert_refused(&password("pipe"), "it is a pipe, and has to be a file", "password_file");
    assert_refused(&password("/dev/zero"), "longer than 4096 octets", "password_file");
    let empty = "credentials = { username = \"a\", realm = \"\", password_file = \"secret\" }";
    assert_refused(empty, "credentials.realm has to be text", "credentials");
    let (marked, plain) = (genesys(&password("marked")), genesys(&password("secret")));
    let of = |trunk: &Trunk| trunk.account.as_ref().unwrap().password.reveal().to_owned();
    assert_eq!(of(&marked), of(&plain), "the mark of an editor is no part of the secret");
    assert_refused("credentials = { username = \"a\" }", "credentials.password_file is missing", "credentials");
    assert_refused("credentials = { password_file = \"secret\" }", "credentials.username is missing", "credentials");
    let both = "credentials = { username = \"a\", password_file = \"secret\", password_env = \"PATH\" }";
    assert_refused(both, "both name the secret", "credentials");
    let absent = "credentials = { username = \"a\", password_env = \"NOBODY_SETS_THIS\" }";
    assert_refused(absent, "the environment has no text in NOBODY_SETS_THIS", "credentials");
    assert_refused("credentials = { usernam = \"a\" }", "did you mean `username`?", "credentials");
    assert_refused(
        "required_header = { value_file = \"secret\" }",
        "required_header.name is missing",
        "required_header",
    );
}

#[test]
fn authentication_that_cannot_work_is_refused() {
    let by = |more: &str| format!("authentication = {{ username = \"acme\", {more} }}");
    let file = "password_file = \"secret\"";
    assert_refused(&by(&format!("{file}, algorithms = [\"SHA-1\"]")), "no algorithm of RFC 8760", "algorithms");
    assert_refused(&by(&format!("{file}, algorithms = []")), "algorithms offers nothing", "algorithms");
    assert_refused(&by(&format!("{file}, qop = [\"auth-conf\"]")), "no quality of protection", "qop");
    assert_refused(&by(&format!("{file}, realm = \"a\\\"b\"")), "without quotes", "realm");
    assert_refused(&by("ha1_file = \"secret\""), "line 1 of secret is no hash", "ha1_file");
    assert_refused(&by("ha1_file = \"ha1\", algorithms = [\"SHA-512-256\"]"), "no hash for SHA-512-256", "ha1_file");
    let teams = with("trunk.teams", "credentials = { username = \"a\", password_env = \"PATH\" }");
    assert_found(&teams, Severity::Error, Some("TDR-5"), "proves itself by its certificate", "credentials");
}

#[test]
fn names_that_are_not_the_operator_s_are_refused_gen_63() {
    for (name, words) in [
        ("X-Genesys-Token", "keeps names that begin so"),
        ("x-inin-cnv", "keeps names that begin so"),
        ("X-MS-SBC", "x_ms_sbc"),
        ("Via", "cannot be used"),
        ("Contact", "cannot be used"),
        ("Subject", "has a meaning of its own"),
        ("X Acme", "no name of a header field"),
    ] {
        assert_refused(&format!("headers = {{ \"{name}\" = \"1\" }}"), words, "headers");
        assert_refused(
            &format!("required_header = {{ name = \"{name}\", value_file = \"secret\" }}"),
            words,
            "required",
        );
    }
    assert_refused("headers = { \"X-A\" = \"\" }", "`X-A` has no value", "headers");
    assert_refused("headers = { \"X-A\" = \"a\\nb\" }", "control character", "headers");
    assert_refused("headers = { \"X-A\" = \"1\", \"x-a\" = \"2\" }", "stands here twice", "headers");
    assert_refused("headers = { \"X-A\" = 1 }", "headers.X-A has to be a string", "headers");
}

#[test]
fn header_fields_that_fill_an_invite_are_refused_gen_64() {
    let fields = |number: usize| {
        let fields: Vec<String> = (0..number).map(|at| format!("\"X-A{at}\" = \"{}\"", "x".repeat(1000))).collect();
        format!("headers = {{ {} }}", fields.join(", "))
    };
    assert_eq!(genesys(&fields(8)).headers.len(), 8);
    assert_refused(&fields(9), "headers is longer than 8192 octets in all", "headers");
}

#[test]
fn a_dynamic_trunk_is_found_by_its_fqdn_only_gen_13_gen_15() {
    for (form, rule) in [("tgrp", "GEN-13"), ("dnis", "GEN-15"), ("header", "GEN-13")] {
        let lines =
            format!("generation = \"dynamic\"\ntermination_form = \"{form}\"\nheaders = {{ \"X-A\" = \"acme-sbc\" }}");
        let text = with("trunk.genesys", &lines);
        assert_found(&text, Severity::Error, Some(rule), "by their FQDN only", "termination_form");
    }
    assert!(read("generation = \"dynamic\"\ntermination_form = \"fqdn\"").is_ok());
}

#[test]
fn an_identifier_in_a_header_field_has_to_be_there_gen_16() {
    let form = "termination_form = \"header\"\n";
    let found = genesys(&format!("{form}headers = {{ \"X-Acme-Trunk\" = \"acme-sbc\" }}"));
    assert_eq!((found.termination, &*found.request_host), (Termination::Header, "byoc.mypurecloud.de"));
    assert_refused(form, "no header field says `acme-sbc`", "termination_form");
}

#[test]
fn tls_on_port_5060_is_found_gen_10() {
    let hosts = with("trunk.genesys", "hosts = [\"acme-sbc.byoc.mypurecloud.de:5060\"]");
    assert_found(&hosts, Severity::Error, Some("GEN-10"), "no TLS on port 5060", "hosts");
    let next = with("trunk.genesys", "next_hop = \"127.0.0.1:5060\"");
    assert_found(&next, Severity::Error, Some("GEN-10"), "no TLS on port 5060", "next_hop");
}
