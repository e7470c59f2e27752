//! One file per subcommand.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod deps;
pub(crate) mod doctor;
pub(crate) mod emit;
pub(crate) mod explain;
mod gap;
pub(crate) mod kernel;
pub(crate) mod ozaki;
pub(crate) mod reduce;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod tune;
