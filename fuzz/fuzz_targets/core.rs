//! Operations on the core: see `tests/drive/core.rs`.
#![no_main]

#[path = "../../tests/drive/mod.rs"]
mod drive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| drive::core::drive(data));
