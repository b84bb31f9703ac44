//! Whatever far sides say and operators write: in what leaves, the twin finds nothing (issue: egress guard; TDR-44 to 72,
//! 90, 93, 134, 135; GEN-12 to 16, 24, 43, 48, 49, 57, 63, 66).
#![cfg(feature = "shell")]

#[path = "guard/messages.rs"]
mod messages;
#[path = "guard/trial.rs"]
mod trial;

use proptest::collection::vec;
use proptest::prelude::*;
use trial::{Outcome, trial};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn the_twin_finds_nothing_in_what_leaves(data in proptest::collection::vec(any::<u8>(), 0..120)) {
        trial(&data);
    }
}

/// Found by the fuzzer: what a rule made of From's URI swallowed the tag.
#[test]
fn a_broken_party_costs_no_tag() {
    let data = b"\x00\x00\x84\x83\x65\x00\x31\x00\x00\x65\x2b\x00\x00\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x09\x00\x2c\x2c\x2c\x2c\x2c\x24\x2c\x00\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x2c\x20\x2c";
    trial(data);
}

#[test]
fn trials_end_in_every_way() {
    // A plain INVITE to the hub; rules and descriptions that have to be repaired or kept.
    assert_eq!(trial(&[]), Outcome::Left);
    let mut seen = [false; 3];
    for seed in 0..4000_u32 {
        let data: Vec<u8> =
            (0..60_u32).map(|at| (seed.wrapping_mul(2_654_435_761).rotate_left(at) >> 13) as u8).collect();
        seen[trial(&data) as usize] = true;
    }
    assert_eq!(seen, [true; 3]);
}

/// Octets that choose a message: mostly good parts, so that one bad part is not hidden behind another.
fn octets() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![4 => Just(0), 1 => any::<u8>()];
    (any::<u8>(), vec(part, 64)).prop_map(|(scene, parts)| [vec![scene], parts].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_twin_finds_nothing_in_bad_parts_that_the_guard_lets_through(octets in octets()) {
        if let Err(found) = messages::judge(&octets) {
            prop_assert!(false, "{found}");
        }
    }

    #[test]
    fn what_is_damaged_is_repaired_once_or_refused(octets in mutated()) {
        if let Err(found) = messages::survive(&octets) {
            prop_assert!(false, "{found}");
        }
    }

    #[test]
    fn whatever_the_octets(octets in vec(any::<u8>(), 0..80)) {
        if let Err(found) = messages::judge(&octets) {
            prop_assert!(false, "{found}");
        }
    }
}

/// A good message with a few octets changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(b"\r\n \t:;,<>@\"=/?+0aZ\xff\0".to_vec());
    (any::<u8>(), vec((any::<prop::sample::Index>(), likely, any::<bool>()), 0..6)).prop_map(|(scene, changes)| {
        let mut octets = [&[scene], GOOD.as_bytes()].concat();
        for (at, octet, insert) in changes {
            let at = 1 + at.index(octets.len() - 1);
            if insert { octets.insert(at, octet) } else { octets[at] = octet }
        }
        octets
    })
}

const GOOD: &str = "INVITE sip:+14255550123@sip.pstnhub.microsoft.com:5061;user=phone;transport=tls SIP/2.0\r\n\
    Via: SIP/2.0/TLS sbc1.example.com:5061;branch=z9hG4bK1;alias\r\nFrom: \"D\" <sip:+12065550144@sbc1.example.com>;tag=1\r\n\
    To: <sip:+14255550123@sbc1.example.com>\r\nCall-ID: 7\r\nCSeq: 1 INVITE\r\n\
    Contact: <sip:+12065550144@sbc1.example.com:5061;transport=tls>\r\nAllow: INVITE, NOTIFY\r\n\
    P-Asserted-Identity: <sip:+12065550144@sbc1.example.com>\r\nSession-Expires: 1800\r\nContent-Type: application/sdp\r\n\r\n\
    v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 5004 RTP/SAVP 8\r\n\
    a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNk|2^31\r\n";

#[test]
fn a_message_of_good_parts_passes_as_it_is() {
    for platform in 0..8 {
        let outcome = messages::judge(&[platform]).unwrap();
        assert!(matches!(outcome, messages::Outcome::Passed), "{platform}: {outcome:?}");
    }
}

#[test]
fn each_single_bad_part_is_refused_repaired_or_none() {
    let (mut passed, mut repaired, mut refused) = (0, 0, 0);
    for platform in 0..8 {
        for (at, octet) in (1..40).flat_map(|at| (192..=255).map(move |octet| (at, octet))) {
            let mut octets = [0; 40];
            (octets[0], octets[at]) = (platform, octet);
            match messages::judge(&octets).unwrap_or_else(|found| panic!("{found}")) {
                messages::Outcome::Passed => passed += 1,
                messages::Outcome::Repaired => repaired += 1,
                messages::Outcome::Refused(rejection) => {
                    assert!(!rejection.text.contains("4255550") && !rejection.text.contains("2065550"), "{rejection}");
                    refused += 1;
                }
                messages::Outcome::Unread => {}
            }
        }
    }
    assert!(passed > 1000 && repaired > 1000 && refused > 1000, "{passed} {repaired} {refused}");
}
