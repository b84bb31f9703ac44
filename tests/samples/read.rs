//! Everything that a message can be asked, as the fuzz targets ask it (`tests/drive`).
#![allow(dead_code, unused_imports, reason = "each test asks for a part of it")]

#[path = "../drive/message.rs"]
mod message;
#[path = "../drive/sdp.rs"]
mod sdp;
#[path = "../drive/uri.rs"]
mod uri;
#[path = "../drive/values.rs"]
mod values;

pub use message::read_all;
pub use sdp::describe;
pub use uri::ask;
pub use values::unreadable;
