//! What the fuzz targets in `fuzz/` do with octets, so that tests can do it without a fuzzer (`tests/fuzz_seeds.rs`).
#![allow(dead_code, reason = "each fuzz target drives one of them")]

pub mod config;
pub mod core;
pub mod edits;
pub mod framing;
pub mod message;
pub mod sdp;
pub mod uri;
pub mod values;

/// What a target does with octets.
pub type Drive = fn(&[u8]);

/// Every target but `guard`, whose body is in `tests/guard/`, with its body.
pub const TARGETS: [(&str, Drive); 8] = [
    ("config", config::drive),
    ("core", core::drive),
    ("edits", edits::drive),
    ("framing", framing::drive),
    ("message", message::drive),
    ("sdp", sdp::drive),
    ("uri", uri::drive),
    ("values", values::drive),
];
