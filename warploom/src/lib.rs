//! warploom.
