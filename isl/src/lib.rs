//! A sound, safe wrapper over isl, the integer set library.
//!
//! In: text or objects of isl; out: objects of isl, plain Rust values, or an [`Error`].
//! Keeps: every object keeps its [`Ctx`] alive and belongs to one thread; a NULL never reaches
//! isl from here except where isl itself documents that it hands one on as an error.
//! Why here: this is the only crate that sees isl, so everything unsafe about it is in one place
//! (`docs/isl.md` has the rules: ownership, threads, errors, adding a function).
//!
//! ```
//! use warploom_isl::{Ctx, Set};
//! let ctx = Ctx::new();
//! let square = Set::parse(&ctx, "{ S[i,j] : 0 <= i,j < 3 }")?;
//! assert_eq!(square.count_val()?.to_i64()?, 9);
//! assert!(Set::parse(&ctx, "{ [i : }").is_err());
//! # Ok::<(), warploom_isl::Error>(())
//! ```
//!
//! Objects cannot leave their thread:
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<warploom_isl::Ctx>();
//! ```
//! ```compile_fail
//! fn sync<T: Sync>() {}
//! sync::<warploom_isl::Ctx>();
//! ```
//! ```compile_fail
//! fn send<T: Send>() {}
//! send::<warploom_isl::Set>();
//! ```
//! ```compile_fail
//! fn sync<T: Sync>() {}
//! sync::<warploom_isl::Set>();
//! ```

// Linked for its build of libisl.a alone; its API is not used (its types are Send and leak).
use isl_rs as _;

#[macro_use]
mod handle;

mod aff;
mod ast;
mod ast_raw;
mod ast_read;
mod ctx;
mod error;
mod flow;
mod map;
mod options;
mod quota;
mod rows;
mod schedule;
mod schedule_node;
mod set;
mod space;
mod sys;
mod text;
mod union;
mod val;
mod watchdog;

pub use aff::{
    Aff, MultiAff, MultiPwAff, MultiUnionPwAff, PwAff, PwMultiAff, UnionPwAff, UnionPwMultiAff,
};
pub use ast::{AstBuild, AstExpr, AstNode, AstScope};
pub use ast_read::{AstExprKind, AstNodeKind, AstOp};
pub use ctx::{Ctx, version};
pub use error::{Error, ErrorKind, Result};
pub use flow::{UnionAccessInfo, UnionFlow};
pub use map::{BasicMap, FixedBox, Map, StrideInfo};
pub use options::{AstOptions, ScheduleAlgorithm, ScheduleOptions};
pub use schedule::{Schedule, ScheduleConstraints};
pub use schedule_node::{LoopType, NodeKind, ScheduleNode};
pub use set::{BasicSet, Constraint, Point, Set};
pub use space::{DimType, Id, LocalSpace, Space};
pub use union::{UnionMap, UnionSet};
pub use val::{Extremum, MultiVal, Val};
pub use watchdog::within;
