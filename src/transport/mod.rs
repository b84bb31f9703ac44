//! Placeholder of the foundation.
