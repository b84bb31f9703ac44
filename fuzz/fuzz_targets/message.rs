//! Octets as a message: see `tests/drive/message.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::message::drive(data));
