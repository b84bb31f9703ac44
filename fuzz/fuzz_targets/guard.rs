//! Operator's rules, then the egress guard, then the twin's strict checks: see `tests/guard/trial.rs` for what the core
//! writes, `tests/guard/messages.rs` for messages with bad parts. What begins with an octet above 0x7f is a message as it
//! stands behind that octet, good for the dictionary `fuzz/sip.dict`.
#![no_main]

#[expect(dead_code, reason = "why a message is refused, tests/guard.rs reads")]
#[path = "../../tests/guard/messages.rs"]
mod messages;
#[path = "../../tests/guard/trial.rs"]
mod trial;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(0x80..) = data.first() {
        return messages::survive(data).unwrap_or_else(|found| panic!("{found}"));
    }
    trial::trial(data);
    if let Err(found) = messages::judge(data) {
        panic!("{found}");
    }
});
