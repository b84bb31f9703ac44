//! Whatever far sides say and operators write: in what leaves, the twin finds nothing (issue: egress guard; TDR-44 to 72,
//! 90, 93, 134, 135; GEN-12 to 16, 24, 43, 48, 49, 57, 63, 66).
#![cfg(feature = "shell")]

#[path = "guard/trial.rs"]
mod trial;

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
