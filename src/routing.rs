//! From an initial request to ordered targets, or a refusal.

/// One route. Placeholder of the foundation; see the contracts.
#[derive(Clone, Debug)]
pub struct Route {}
