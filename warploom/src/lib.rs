//! warploom.

pub mod io;
