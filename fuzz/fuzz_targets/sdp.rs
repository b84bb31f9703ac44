//! Octets as a session description: see `tests/drive/sdp.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::sdp::drive(data));
