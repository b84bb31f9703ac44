//! Which number belongs to whom: an immutable table that routing reads (GEN-18, TDR-46).
//!
//! Entries come from a file now and from SCIM later; either way a new [`Directory`] replaces the old
//! one whole. Numbers are E.164 with `+`, an extension behind `;ext=` (TDR-47).

/// The table. Placeholder of the foundation; see the contracts.
#[derive(Clone, Debug, Default)]
pub struct Directory {}
