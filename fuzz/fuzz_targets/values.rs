//! Text as typed values of header fields: see `tests/drive/values.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::values::drive(data));
