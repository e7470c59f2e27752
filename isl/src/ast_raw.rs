//! isl's AST build as a handle, apart from the type users see.
//!
//! Why here: a build may carry a callback into Rust, so no user may hold or copy this handle.

#![allow(unreachable_pub, reason = "the macros write `pub` for the types users see")]

use crate::aff::{MultiPwAff, PwAff, PwMultiAff};
use crate::ast::{AstExpr, AstNode};
use crate::schedule::Schedule;
use crate::set::Set;
use crate::space::{Id, Space};
use crate::union::UnionMap;

handle! {
    /// The settings of one generation.
    RawBuild: isl_ast_build, copy isl_ast_build_copy, free isl_ast_build_free,
    clone isl_ast_build_copy
}

methods! { RawBuild {
    priv fn from_context(context: &Set) -> RawBuild = isl_ast_build_from_context;
    priv fn restrict(&self, context: &Set) -> RawBuild = isl_ast_build_restrict;
    priv fn set_options(&self, options: &UnionMap) -> RawBuild = isl_ast_build_set_options;
    priv fn set_iterators(&self, names: &[Id]) -> RawBuild = isl_ast_build_set_iterators;
    priv fn generate(&self, schedule: &Schedule) -> AstNode = isl_ast_build_node_from_schedule;
    priv fn generate_from_map(&self, schedule: &UnionMap) -> AstNode
        = isl_ast_build_node_from_schedule_map;
    priv fn schedule(&self) -> UnionMap = isl_ast_build_get_schedule;
    priv fn schedule_space(&self) -> Space = isl_ast_build_get_schedule_space;
    priv fn expr_from_set(&self, set: &Set) -> AstExpr = isl_ast_build_expr_from_set;
    priv fn expr_from_pw_aff(&self, value: &PwAff) -> AstExpr = isl_ast_build_expr_from_pw_aff;
    priv fn access(&self, value: &PwMultiAff) -> AstExpr = isl_ast_build_access_from_pw_multi_aff;
    priv fn access_mpa(&self, value: &MultiPwAff) -> AstExpr
        = isl_ast_build_access_from_multi_pw_aff;
    priv fn call(&self, value: &PwMultiAff) -> AstExpr = isl_ast_build_call_from_pw_multi_aff;
} }
