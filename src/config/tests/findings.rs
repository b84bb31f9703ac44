//! What is found in configurations, and with which words.

use super::*;
use crate::transport::{Root, read_identity};

#[test]
fn what_the_platforms_refuse_is_an_error() {
    use Severity::{Error, Warning};
    assert_found(&with("trunk.teams", "fqdn = \"acme.onmicrosoft.com\""), Error, Some("TDR-25"), "onmicrosoft", "fqdn");
    let long = format!("fqdn = \"{}.example.com\"", "a".repeat(60));
    assert_found(&with("trunk.teams", &long), Error, Some("TDR-25"), "longer than the 63", "fqdn");
    let government =
        changed("127.0.0.1:5061", "127.0.0.1:5067").replace("kind = \"teams\"", "kind = \"teams\"\ncloud = \"dod\"");
    assert_found(&government, Error, Some("TDR-18"), "port 5061 and no other", "cloud");
    assert_found(&with("trunk.teams", "ring_timeout = \"120 s\""), Error, Some("GEN-82"), "below 2m", "ring_timeout");
    assert_found(
        &with("trunk.teams", "options_interval = \"10 s\""),
        Warning,
        Some("TDR-32"),
        "OPTIONS every",
        "options_interval",
    );
    assert_error(&with("trunk.teams", "session_expires = \"2 min\""), "below min_se", "session_expires");
    assert_found(
        &with("trunk.teams", "response_timeout = \"20 s\"\nring_timeout = \"10 s\""),
        Error,
        Some("TDR-125"),
        "below ring_timeout",
        "response",
    );
    assert_found(&with("trunk.teams", "mutual = false"), Warning, Some("TDR-5"), "proves itself", "mutual");
    assert_found(&with("trunk.genesys", "mutual = true"), Error, Some("GEN-29"), "no client certificate", "mutual");
    assert_found(&with("trunk.genesys", "max_tls = \"1.3\""), Warning, Some("GEN-28"), "TLS 1.2 only", "max_tls");
    assert_found(
        &with("trunk.teams", "expected_names = []"),
        Error,
        Some("TDR-13"),
        "no name is expected",
        "expected_names",
    );
    let clear =
        changed("tls = \"public\"\ntrust = \"ca.pem\"\n\n[trunk.genesys]", "transport = \"tcp\"\n\n[trunk.genesys]");
    let clear = clear.replace("[\"tls:127.0.0.1:5061\"]", "[\"tls:127.0.0.1:5061\", \"tcp:127.0.0.1:5060\"]");
    assert_found(&clear, Warning, Some("TDR-1"), "Teams speaks TLS only", "transport");
    assert_error(&with("database", "url = \"sqlite:var/tandem.db\""), "no database yet", "[database]");
}

#[test]
fn listeners_fit_the_trunks() {
    assert_error(
        &changed("kind = \"teams\"", "kind = \"teams\"\ntransport = \"udp\""),
        "no listener speaks udp",
        "transport",
    );
    let text = with("trunk.teams", "listen = [\"udp:127.0.0.1:5060\"]");
    assert_found(&text, Severity::Error, Some("GEN-5"), "does not speak tls", "listen");
    let advertised =
        changed("[\"tls:127.0.0.1:5061\"]", "[{ address = \"tls:127.0.0.1:5061\", advertise = \"192.0.2.1:5061\" }]");
    assert_found(&advertised, Severity::Warning, Some("TDR-44"), "192.0.2.1 is advertised", "");
    assert_error(
        &changed("[\"tls:127.0.0.1:5061\"]", "[\"tls:127.0.0.1:5061\", \"tls:127.0.0.1:5061\"]"),
        "cannot be bound beside",
        "listen",
    );
}

#[test]
fn no_two_listeners_want_one_port() {
    let beside = |other: &str| changed("\"tls:127.0.0.1:5061\"", &format!("\"tls:127.0.0.1:5061\", \"{other}\""));
    for clash in ["tcp:127.0.0.1:5061", "tls:0.0.0.0:5061"] {
        assert_error(&beside(clash), "cannot be bound beside 127.0.0.1:5061", "listen");
    }
    for fine in ["udp:127.0.0.1:5061", "tls:127.0.0.2:5061", "tls:[::]:5061"] {
        assert_eq!(lines(&found(&beside(fine))), "", "{fine}");
    }
    assert_error(&with("trunk.teams", "listen = [\"tls:0.0.0.0:5061\"]"), "cannot be bound beside", "listen");
    let own = changed("listen = [\"tls:127.0.0.1:5061\"]", "");
    assert_eq!(settings(&own).listeners[0].bind.to_string(), "0.0.0.0:5061", "the default");
    let own = own.replace("tls = \"public\"", "tls = \"public\"\nlisten = [\"tls:127.0.0.1:5067\"]");
    assert_eq!(settings(&own).listeners.len(), 1, "no default where every trunk has its own");
}

#[test]
fn sources_are_known_and_separate_trunks_of_different_policy() {
    use Severity::{Error, Warning};
    let none = changed("sources = [\"127.0.0.21\"]\n", "");
    assert_found(&none, Error, Some("GEN-7"), "trunk.genesys.sources is missing", "[trunk.genesys]");
    let some = none.replace("eu-central-1", "us-east-1");
    assert_found(&some, Warning, Some("GEN-8"), "not the whole list", "[trunk.genesys]");
    let overlap = changed("sources = [\"127.0.0.21\"]", "sources = [\"52.112.1.0/24\"]");
    assert_found(
        &overlap,
        Error,
        Some("GEN-29"),
        "52.112.1.0/24 may call as trunk `teams` and as trunk `genesys`",
        "sources",
    );
    let apart = overlap.replace("termination =", "listen = [\"tls:127.0.0.1:5062\"]\ntermination =");
    assert_eq!(lines(&found(&apart)), "", "listeners of their own");
    let twins = format!(
        "{LAB}\n[trunk.again]\nkind = \"teams\"\ntls = \"public\"\ntrust = \"ca.pem\"\n[[route]]\nfrom = \"again\"\nto = [\"genesys\"]\n"
    );
    assert_found(&twins, Error, Some("TDR-158"), "nothing tells calls of trunk `teams` from", "[trunk.again]");
    assert_found(&changed("127.0.0.21", "0.0.0.0/0"), Warning, None, "lets everybody call", "sources");
}

#[test]
fn hosts_lead_where_the_trunk_may_be_dialled() {
    assert_error(&with("trunk.teams", "hosts = [\"127.0.0.11:5061\"]"), "127.0.0.11 is not in sources", "hosts");
    assert_error(&with("trunk.teams", "next_hop = \"127.0.0.11:5061\""), "127.0.0.11 is not in sources", "next_hop");
    assert_error(&with("hosts", "\"sip.pstnhub.microsoft.com\" = \"127.0.0.11\""), "never dialled", "sip.pstnhub");
    let lab = with("hosts", "\"sip.pstnhub.microsoft.com\" = \"127.0.0.11\"")
        .replace("kind = \"teams\"", "kind = \"teams\"\nsources = [\"127.0.0.11\"]");
    assert_eq!(lines(&found(&lab)), "");
}

#[test]
fn identities_are_checked_against_what_trunks_need() {
    use Severity::{Error, Warning};
    let in_folder = |params: &CertificateParams, key: &KeyPair, text: &str| {
        loaded_in(&folder_with(params, key), text).map_or_else(|findings| findings, |loaded| loaded.warnings)
    };
    let elliptic = KeyPair::generate().unwrap();
    let all = in_folder(&leaf(), &elliptic, LAB);
    assert_found_in(&all, Error, Some("GEN-32"), "needs an RSA key", "certificate");
    assert_found_in(&all, Warning, Some("TDR-4"), "should be shown an RSA key", "certificate");

    let mut other = leaf();
    other.subject_alt_names = CertificateParams::new(vec!["other.example.com".to_owned()]).unwrap().subject_alt_names;
    other.distinguished_name.push(DnType::CommonName, "other.example.com");
    let all = in_folder(&other, rsa(), LAB);
    assert_found_in(&all, Error, Some("TDR-7"), "carries other.example.com, and trunk `teams`", "certificate");
    assert_found_in(&all, Error, Some("GEN-22"), "trunk `genesys` knows us as sbc1.example.com", "certificate");

    let mut wildcard = leaf();
    wildcard.subject_alt_names = CertificateParams::new(vec!["*.example.com".to_owned()]).unwrap().subject_alt_names;
    assert_eq!(lines(&in_folder(&wildcard, rsa(), LAB)), "", "TDR-8");

    let mut server_only = leaf();
    server_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    assert_found_in(
        &in_folder(&server_only, rsa(), LAB),
        Warning,
        Some("TDR-10"),
        "lacks client authentication",
        "certificate",
    );
    let mut client_only = leaf();
    client_only.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_found_in(
        &in_folder(&client_only, rsa(), LAB),
        Error,
        Some("TDR-10"),
        "may not be used by a server",
        "certificate",
    );

    let mut expired = leaf();
    (expired.not_before, expired.not_after) = (rcgen::date_time_ymd(2020, 1, 1), rcgen::date_time_ymd(2021, 1, 1));
    assert_found_in(&in_folder(&expired, rsa(), LAB), Error, Some("TDR-15"), "days ago", "certificate");
    let mut early = leaf();
    early.not_before = rcgen::date_time_ymd(4000, 1, 1);
    assert_found_in(&in_folder(&early, rsa(), LAB), Error, Some("TDR-15"), "not valid yet", "certificate");
}

/// What there is to say of the lab's authority when the chain leads to `roots` of the system.
fn of_authority(text: &str, roots: &[Root]) -> Vec<Finding> {
    let folder = folder_with(&leaf(), rsa());
    let source = Arc::new(Source { path: folder.path().join("tandem.toml"), text: text.to_owned() });
    let findings = Findings::new(Arc::clone(&source));
    let table = DeTable::parse(&source.text).unwrap();
    let draft = read::read(Section::root(table.get_ref(), &findings), &source.path, folder.path());
    let facts = read_identity(&draft.settings.identities["public"]).unwrap();
    identity::public(&draft.identities["public"], &facts, roots, &draft.settings.trunks[0].trunk);
    drop(draft);
    findings.into_sorted()
}

#[test]
fn teams_takes_authorities_of_microsofts_program_only_tdr_9() {
    let root = |subject: &str, fingerprint: &str| Root { subject: subject.into(), fingerprint: fingerprint.into() };
    let isrg = root("CN=ISRG Root X1", "96bcec06264976f37460779acf28c5a7cfe8a3c0aae11a8ffcee05c0bddf08c6");
    let digicert =
        root("CN=DigiCert Global Root CA", "4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161");
    let other = root("CN=Company CA", &"0".repeat(64));
    let warns = |text: &str, roots: &[Root], words: &str| {
        assert_found_in(&of_authority(text, roots), Severity::Warning, Some("TDR-9"), words, "certificate");
    };
    for fine in [vec![isrg.clone()], vec![other.clone(), isrg.clone()], vec![digicert.clone()]] {
        assert_eq!(lines(&of_authority(LAB, &fine)), "");
    }
    warns(LAB, std::slice::from_ref(&other), "leads to CN=Company CA, trusted by this system, but not among the roots");
    warns(LAB, &[], "the last issuer in its file is CN=Lab CA");
    let government = changed("kind = \"teams\"", "kind = \"teams\"\ncloud = \"gcc-high\"");
    assert_eq!(lines(&of_authority(&government, &[digicert])), "");
    warns(&government, &[isrg], "leads to CN=ISRG Root X1, which this cloud refuses");
    warns(&government, &[], "leads to no root of this system");
}

#[test]
fn a_private_authority_is_told_but_not_to_a_lab_that_trusts_it_tdr_9() {
    let folder = folder_with(&leaf(), rsa());
    let found = |text: &str| loaded_in(&folder, text).map_or_else(|findings| findings, |loaded| loaded.warnings);
    let of_the_rule = |all: &[Finding]| all.iter().filter(|finding| finding.rule == Some("TDR-9")).count();
    assert_eq!(of_the_rule(&found(LAB)), 0, "the lab's own authority");
    let public = found(&changed("trust = \"ca.pem\"\n", "trust = \"system\"\n"));
    // Where there are no roots at all, that is the finding.
    assert!(of_the_rule(&public) == 1 || public.iter().any(|finding| finding.rule == Some("TDR-11")));

    let itself = leaf().self_signed(rsa()).unwrap();
    write(&folder, "sbc.pem", &itself.pem());
    let all = found(LAB);
    assert_found_in(&all, Severity::Warning, Some("TDR-9"), "signed by itself", "certificate");
    assert_eq!(of_the_rule(&all), 1, "said of Teams, once");
}

#[test]
fn an_expiry_is_announced_a_month_ahead_tdr_15() {
    let mut params = leaf();
    params.not_after = rcgen::date_time_ymd(2040, 3, 1);
    let folder = folder_with(&params, rsa());
    let source = |text: &str| Source { path: folder.path().join("tandem.toml"), text: text.to_owned() };
    let at = |now: u64| settle(source(LAB), now).map_or_else(|findings| findings, |loaded| loaded.warnings);
    let end: u64 = 2_214_172_800; // 2040-03-01
    assert_eq!(lines(&at(end - 40 * 86_400)), "");
    assert_found_in(&at(end - 10 * 86_400), Severity::Warning, Some("TDR-15"), "expires in 10 days", "certificate");
}

#[test]
fn files_of_identities_have_to_be_there_whole_and_private() {
    use Severity::{Error, Warning};
    let folder = folder_with(&leaf(), rsa());
    let all = |folder: &TempDir, text: &str| {
        loaded_in(folder, text).map_or_else(|findings| findings, |loaded| loaded.warnings)
    };
    assert_found_in(&all(&folder, &changed("\"sbc.pem\"", "\"none.pem\"")), Error, None, "none.pem", "certificate");
    assert_found_in(&all(&folder, &changed("\"sbc.key\"", "\"sbc.pem\"")), Error, None, "no private key", "key");
    assert_found_in(&all(&folder, &changed("\"ca.pem\"", "\"none.pem\"")), Error, Some("TDR-11"), "none.pem", "trust");
    let system = all(&folder, &changed("trust = \"ca.pem\"\n", ""));
    assert!(system.iter().any(|finding| matches!(finding.rule, Some("TDR-9" | "TDR-11"))), "{}", lines(&system));
    write(&folder, "other.key", &KeyPair::generate().unwrap().serialize_pem());
    assert_found_in(&all(&folder, &changed("\"sbc.key\"", "\"other.key\"")), Error, None, "does not belong", "key");
    let chain = fs::read_to_string(folder.path().join("sbc.pem")).unwrap();
    write(&folder, "twice.pem", &format!("{chain}{chain}"));
    assert_found_in(
        &all(&folder, &changed("\"sbc.pem\"", "\"twice.pem\"")),
        Warning,
        Some("TDR-6"),
        "not signed by the next",
        "certificate",
    );
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path().join("sbc.key"), fs::Permissions::from_mode(0o644)).unwrap();
    }
    assert_found_in(&all(&folder, LAB), Warning, None, "everybody on this machine", "key");
    assert_found(
        &format!("{LAB}\n[tls.spare]\ncertificate = \"sbc.pem\"\nkey = \"sbc.key\"\n"),
        Warning,
        None,
        "no trunk uses",
        "[tls.spare]",
    );
    assert_error(&changed("tls = \"public\"", "tls = \"publik\""), "did you mean `public`?", "tls =");
    assert_error(&changed("key = \"sbc.key\"", ""), "tls.public.key is missing", "[tls.public]");
}

#[test]
fn numbers_that_both_platforms_own_are_reported_gen_90() {
    let folder = folder_with(&leaf(), rsa());
    write(&folder, "users.csv", "number,user\n+496912345000,alice\n+496955501007,bob\n");
    let text = with("directory", "file = \"users.csv\"");
    let settings = loaded_in(&folder, &text).unwrap().settings;
    let read = directory_file::of_settings(&settings).unwrap();
    assert_eq!((read.directory.len(), read.findings[0].rule), (2, Some("GEN-90")));
    assert_eq!(read.overlaps, [("genesys".into(), 1)], "for the metric");
    // What Teams says it owns is what the directory is about.
    let teams = text.replace("dids = [\"+4969123*\"]", "").replace("[trunk.teams]", "[trunk.teams]\ndids = [\"+49*\"]");
    let settings = loaded_in(&folder, &teams).unwrap().settings;
    let read = directory_file::of_settings(&settings).unwrap();
    assert!(read.findings.is_empty() && read.overlaps.is_empty(), "{:?}", read.findings);
}

#[test]
fn an_rsa_key_that_is_too_short_is_refused_tdr_4() {
    let folder = folder_with(&leaf(), rsa());
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "90", "-subj", "/CN=sbc1.example.com"])
        .args(["-addext", "subjectAltName=DNS:sbc1.example.com", "-keyout", "sbc.key", "-out", "sbc.pem"])
        .current_dir(folder.path())
        .output()
        .expect("openssl, which scripts/setup.sh installs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let all = loaded_in(&folder, LAB).map_or_else(|findings| findings, |loaded| loaded.warnings);
    assert_found_in(&all, Severity::Error, Some("TDR-4"), "key has 1024 bits", "certificate");
}

#[test]
fn a_customer_s_trunk_is_below_its_carrier_s_and_only_the_carrier_s_asks_tdr_40_tdr_156() {
    let mut both = leaf();
    both.subject_alt_names =
        CertificateParams::new(vec!["sbc1.example.com".to_owned(), "*.sbc1.example.com".to_owned()])
            .unwrap()
            .subject_alt_names;
    let folder = folder_with(&both, rsa());
    let customers = |line: &str| {
        format!(
            "{LAB}\n[trunk.contoso]\nkind = \"teams\"\nfqdn = \"c1.sbc1.example.com\"\ntls = \"public\"\ntrust = \"ca.pem\"\n{line}\n\
             [[route]]\nfrom = \"contoso\"\nnumber = \"+4969123*\"\nto = [\"genesys\"]\n"
        )
    };
    let loaded = loaded_in(&folder, &customers("")).unwrap_or_else(|findings| panic!("{}", lines(&findings)));
    let told = lines(&loaded.warnings);
    assert!(!told.contains("TDR-32") && !told.contains("TDR-40"), "{told}");
    assert_eq!(trunk(&loaded.settings, "contoso").options_interval, None);
    assert!(trunk(&loaded.settings, "teams").options_interval.is_some());
    let loaded = loaded_in(&folder, &customers("options_interval = \"60 s\"")).unwrap();
    assert_found_in(&loaded.warnings, Severity::Warning, Some("TDR-40"), "a customer's of `teams`", "options_interval");
    assert!(trunk(&loaded.settings, "contoso").options_interval.is_some(), "what is written stands");
}

#[test]
fn a_trunk_of_one_version_of_ip_has_ranges_hosts_and_listeners_of_it_tdr_28() {
    use Severity::Error;
    let v6 = with("trunk.teams", "ip = \"v6\"");
    assert_found(&v6, Error, Some("TDR-28"), "no range of its sources", "ip = ");
    assert_found(&v6, Error, Some("TDR-28"), "none of its listeners", "ip = ");
    let host = with("trunk.teams", "ip = \"v4\"\nhosts = [\"[2001:db8::7]:5061\"]");
    assert_found(&host, Error, Some("TDR-28"), "its host 2001:db8::7 does not", "ip = ");
    let told = lines(&found(&with("trunk.teams", "ip = \"v4\"")));
    assert!(!told.contains("TDR-28"), "{told}");
    let both =
        changed("tls:127.0.0.1:5061", "tls:[::]:5061").replace("kind = \"teams\"", "kind = \"teams\"\nip = \"v4\"");
    let told = lines(&found(&both));
    assert!(!told.contains("TDR-28"), "{told}");
}

#[test]
fn a_trunk_of_datagrams_may_take_long_requests_over_tcp_and_then_listens_there_tdr_72() {
    let carrier = "kind = \"generic\"\ntransport = \"udp\"\nhosts = [\"192.0.2.9\"]\nsources = [\"192.0.2.0/24\"]\nlarge_over_tcp = true";
    let text = with("trunk.carrier", carrier).replace(
        "[\"tls:127.0.0.1:5061\"]",
        "[\"tls:127.0.0.1:5061\", \"tcp:127.0.0.1:5070\", \"udp:127.0.0.1:5060\"]",
    );
    let settings = settings(&text);
    let carrier = trunk(&settings, "carrier");
    assert!(carrier.large_over_tcp && carrier.port == 5060, "Contact names the port of the datagrams");
    assert_eq!(carrier.listeners, [ListenerId(2), ListenerId(1)]);
    assert_error(&with("trunk.teams", "large_over_tcp = true"), "no effect over tls", "large_over_tcp");
}
