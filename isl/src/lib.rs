//! isl.
