//! From a TOML file to [`Settings`], with findings that point at the line.

mod settings;

pub use settings::*;
