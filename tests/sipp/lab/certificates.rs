//! Keys and certificates of a lab, made by openssl when it starts and gone with it.

use super::process::command;
use std::fs;
use std::path::Path;

/// Whose certificate, its names, and what it may be used for.
const LEAVES: [(&str, &str, &str); 3] = [
    // Microsoft's leaves carry serverAuth only, in both roles (TDR-12).
    ("hub", "DNS:sip.pstnhub.microsoft.com,DNS:*.pstnhub.microsoft.com", "serverAuth"),
    // The certificate of Genesys' proxies does not name the trunk (GEN-33).
    ("genesys", "DNS:voice.mypurecloud.de", "serverAuth,clientAuth"),
    // A wildcard does not cover the base (TDR-156).
    ("sbc", "DNS:sbc1.example.com,DNS:*.sbc1.example.com", "serverAuth,clientAuth"),
];

/// Makes `ca.pem` and for each leaf `NAME.key` and `NAME.pem`: its certificate, the authority's, and for haproxy the key.
pub fn make(directory: &Path) {
    let file = |name: &str| directory.join(name).display().to_string();
    let (ca, ca_key) = (file("ca.pem"), file("ca.key"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "90",
        "-subj",
        "/CN=Lab authority",
        "-keyout",
        &ca_key,
        "-out",
        &ca,
    ]);
    for (name, names, usage) in LEAVES {
        let (key, request, leaf, extensions) =
            (file(&format!("{name}.key")), file("request.pem"), file("leaf.pem"), file("extensions"));
        let text =
            format!("subjectAltName={names}\nextendedKeyUsage={usage}\nkeyUsage=digitalSignature,keyEncipherment\n");
        fs::write(&extensions, text).expect("the lab's directory is writable");
        let subject = format!("/CN={}", names.split([':', ',']).nth(1).unwrap_or(name));
        openssl(&["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &ca,
            "-CAkey",
            &ca_key,
            "-CAcreateserial",
            "-days",
            "90",
            "-extfile",
            &extensions,
            "-out",
            &leaf,
        ]);
        let mut chain: String = [&leaf, &ca].map(|part| fs::read_to_string(part).expect("openssl wrote it")).concat();
        if name != "sbc" {
            chain.push_str(&fs::read_to_string(&key).expect("openssl wrote it"));
        }
        fs::write(file(&format!("{name}.pem")), chain).expect("the lab's directory is writable");
    }
}

fn openssl(arguments: &[&str]) {
    let output = command("openssl").args(arguments).output().expect("openssl runs");
    assert!(output.status.success(), "openssl {}: {}", arguments[0], String::from_utf8_lossy(&output.stderr));
}
