//! From `rhumb.toml` to a [`crate::model::Model`]: what was written, what was meant, and every problem on the way.
