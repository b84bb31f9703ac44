//! Nothing: see `parse.rs`.
