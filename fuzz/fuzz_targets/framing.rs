//! A stream in pieces: see `tests/drive/framing.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::framing::drive(data));
