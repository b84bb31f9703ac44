//! A message and edits of it: see `tests/drive/edits.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::edits::drive(data));
