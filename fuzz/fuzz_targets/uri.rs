//! Text as URIs: see `tests/drive/uri.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::uri::drive(data));
