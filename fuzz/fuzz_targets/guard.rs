//! Operator's rules, then the egress guard, then the twin's strict checks: see `tests/guard/trial.rs`.
#![no_main]

#[path = "../../tests/guard/trial.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    trial::trial(data);
});
