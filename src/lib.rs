//! Tandem: the edge SBC between the Genesys Cloud BYOC trunk and Microsoft Teams Direct Routing.
//!
//! A call is two legs, each a dialog of ours. Everything that decides is one state machine, [`edge`],
//! that knows no socket, clock, task or lock; the shell around it brings octets and time in and takes
//! octets and events out. From the top floor down, a module uses only floors beneath its own:
//!
//! | floor | modules |
//! |---|---|
//! | shell | `cli`, `twin`, `process`, `worker`, `http`, `config`, `journal`, `transport` |
//! | core | [`edge`], [`call`], [`normalize`], [`routing`], [`snapshot`], [`directory`], [`transaction`] |
//! | vocabulary | [`io`], [`event`], [`trunk`], [`number`], [`authentication`], [`identifier`], [`timer`], [`flow`], [`pii`], [`sip`] |
//!
//! The feature `shell` (default) builds everything; without it the core alone is built.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod authentication;
pub mod directory;
pub mod event;
pub mod flow;
pub mod identifier;
pub mod io;
pub mod number;
pub mod pii;
pub mod routing;
pub mod rules;
pub mod sip;
pub mod snapshot;
pub mod timer;
pub mod trunk;

pub mod call;
pub mod edge;
pub mod health;
pub mod normalize;
pub mod screen;
pub mod transaction;

#[cfg(feature = "shell")]
pub mod cli;
#[cfg(feature = "shell")]
pub mod config;
#[cfg(feature = "shell")]
pub mod http;
#[cfg(feature = "shell")]
pub mod journal;
#[cfg(feature = "shell")]
pub mod process;
#[cfg(feature = "shell")]
pub mod settings;
#[cfg(feature = "shell")]
pub mod transport;
#[cfg(feature = "shell")]
pub mod twin;
#[cfg(feature = "shell")]
pub mod worker;
