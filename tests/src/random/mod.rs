//! Random programs: nests and scripts that nobody thought of, and what is said about them executed.
//!
//! In: a seed. Out: a nest's text that verifies ([`nest`]), steps for it ([`script`]), and a
//! verdict on the pair ([`judge`]). Keeps: the same seed gives the same pair.
//! Why here: steps are applied a second time by [`order`], which shares no code with the scheduler,
//! and what legality means is executed by [`symbolic`], which knows nothing of dependences.

pub mod contraction;
pub mod gpu;
pub mod judge;
pub mod nest;
pub mod order;
pub mod script;
pub mod symbolic;
