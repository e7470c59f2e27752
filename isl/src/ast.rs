//! AST generation: a schedule in, loops out.

use crate::aff::{MultiPwAff, PwAff, PwMultiAff};
use crate::ast_raw::RawBuild;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::{Arg, FromC, Handle, ToC};
use crate::options::AstOptions;
use crate::schedule::Schedule;
use crate::set::Set;
use crate::space::{Id, Space};
use crate::sys;
use crate::union::UnionMap;
use std::any::Any;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

handle! {
    /// A statement of the generated code; read it with [`AstNode::kind`].
    AstNode: isl_ast_node, copy isl_ast_node_copy, free isl_ast_node_free,
    clone isl_ast_node_copy, str isl_ast_node_to_str
}
handle! {
    /// An expression of the generated code; read it with [`AstExpr::kind`].
    AstExpr: isl_ast_expr, copy isl_ast_expr_copy, free isl_ast_expr_free,
    clone isl_ast_expr_copy, str isl_ast_expr_to_str
}

list! { AstNode, isl_ast_node_list, size isl_ast_node_list_n_ast_node,
at isl_ast_node_list_get_at, free isl_ast_node_list_free }

/// A generator of loops from schedules.
#[derive(Clone)]
pub struct AstBuild {
    raw: RawBuild,
    options: AstOptions,
}

impl AstBuild {
    /// A generator that may use what the context says about the parameters.
    pub fn from_context(context: &Set) -> Result<AstBuild> {
        Ok(AstBuild { raw: RawBuild::from_context(context)?, options: AstOptions::default() })
    }

    /// With isl's options for the shape of the code.
    pub fn with_options(&self, options: AstOptions) -> AstBuild {
        AstBuild { raw: self.raw.clone(), options }
    }

    /// With more facts about the parameters.
    pub fn restrict(&self, context: &Set) -> Result<AstBuild> {
        Ok(AstBuild { raw: self.raw.restrict(context)?, options: self.options })
    }

    /// With names for the loop iterators, outermost first.
    pub fn set_iterators(&self, names: &[&str]) -> Result<AstBuild> {
        let ids: Result<Vec<Id>> = names.iter().map(|n| Id::new(self.raw.ctx(), n)).collect();
        Ok(AstBuild { raw: self.raw.set_iterators(&ids?)?, options: self.options })
    }

    /// With loop options for a schedule given as a map, such as `{ [i,j] -> unroll[1] }`.
    pub fn set_options(&self, options: &UnionMap) -> Result<AstBuild> {
        Ok(AstBuild { raw: self.raw.set_options(options)?, options: self.options })
    }

    /// The code of a schedule tree.
    pub fn node_from_schedule(&self, schedule: &Schedule) -> Result<AstNode> {
        let _restore = self.options.apply(self.raw.ctx());
        self.raw.generate(schedule)
    }

    /// The code of a schedule given as a map.
    pub fn node_from_schedule_map(&self, schedule: &UnionMap) -> Result<AstNode> {
        let _restore = self.options.apply(self.raw.ctx());
        self.raw.generate_from_map(schedule)
    }

    /// The code of a schedule tree, with each statement instance passed through `f`, which sees
    /// the schedule at that place. An error or a panic of `f` ends the generation and comes out.
    pub fn node_from_schedule_at_each_domain<F>(&self, schedule: &Schedule, f: F) -> Result<AstNode>
    where
        F: FnMut(AstNode, &AstScope<'_>) -> Result<AstNode>,
    {
        self.at_each_domain(f, |raw| raw.generate(schedule))
    }

    /// [`AstBuild::node_from_schedule_at_each_domain`] for a schedule given as a map.
    pub fn node_from_schedule_map_at_each_domain<F>(
        &self,
        schedule: &UnionMap,
        f: F,
    ) -> Result<AstNode>
    where
        F: FnMut(AstNode, &AstScope<'_>) -> Result<AstNode>,
    {
        self.at_each_domain(f, |raw| raw.generate_from_map(schedule))
    }

    /// Runs a generation with a callback that lives as long as this call and no longer.
    fn at_each_domain<F>(
        &self,
        mut f: F,
        generate: impl FnOnce(&RawBuild) -> Result<AstNode>,
    ) -> Result<AstNode>
    where
        F: FnMut(AstNode, &AstScope<'_>) -> Result<AstNode>,
    {
        let ctx = self.raw.ctx().clone();
        let mut state = Callback { ctx: ctx.clone(), f: &mut f, error: None, panic: None };
        ctx.start();
        // SAFETY: the build is taken as a copy; the state outlives every use of the build that
        // refers to it, because neither that build nor a copy of it leaves this function.
        let raw = unsafe {
            let user = (&raw mut state).cast::<c_void>();
            let build = ToC::to_c(&&self.raw, &ctx);
            sys::isl_ast_build_set_at_each_domain(build, Some(each_domain), user)
        };
        let build = RawBuild::own(raw.0, &ctx, "isl_ast_build_set_at_each_domain")?;
        let _restore = self.options.apply(&ctx);
        let node = generate(&build);
        drop(build);
        if let Some(panic) = state.panic.take() {
            resume_unwind(panic);
        }
        match state.error.take() {
            Some(error) => Err(error),
            None => node,
        }
    }
}

/// What a callback of the generator needs, and what it leaves behind.
struct Callback<'a> {
    ctx: Ctx,
    f: &'a mut dyn FnMut(AstNode, &AstScope<'_>) -> Result<AstNode>,
    error: Option<Error>,
    panic: Option<Box<dyn Any + Send>>,
}

/// Receives each statement instance of a generation.
unsafe extern "C" fn each_domain(
    node: sys::Give<sys::isl_ast_node>,
    build: sys::Keep<sys::isl_ast_build>,
    user: *mut c_void,
) -> sys::Take<sys::isl_ast_node> {
    // SAFETY: `user` is the `Callback` of the running `at_each_domain`, which isl hands back.
    let state = unsafe { &mut *user.cast::<Callback<'_>>() };
    let node = match AstNode::own(node.0, &state.ctx, "isl_ast_build_set_at_each_domain") {
        Ok(node) => node,
        Err(error) => {
            state.error.get_or_insert(error);
            return sys::Take(std::ptr::null_mut());
        }
    };
    // SAFETY: isl lends the build for the time of this call; the scope cannot outlive it.
    let copy = unsafe { sys::isl_ast_build_copy(build) };
    let scope = match RawBuild::own(copy.0, &state.ctx, "isl_ast_build_copy") {
        Ok(build) => build,
        Err(error) => {
            state.error.get_or_insert(error);
            return sys::Take(std::ptr::null_mut());
        }
    };
    let scope = AstScope { build: &scope };
    let done = catch_unwind(AssertUnwindSafe(|| (state.f)(node, &scope)));
    // A node of another context must not get into this tree.
    let done = done.map(|node| node.and_then(|n| checked(&n, &state.ctx)));
    match done {
        Ok(Ok(raw)) => sys::Take(raw),
        Ok(Err(error)) => {
            state.error.get_or_insert(error);
            sys::Take(std::ptr::null_mut())
        }
        Err(panic) => {
            state.panic.get_or_insert(panic);
            sys::Take(std::ptr::null_mut())
        }
    }
}

/// A reference of its own to a node a callback gave, if it is of the running context.
fn checked(node: &AstNode, ctx: &Ctx) -> Result<*mut sys::isl_ast_node> {
    Arg::ready(node, ctx, "isl_ast_build_set_at_each_domain").map(Handle::copied)
}

/// The place in the generated code where a callback runs; it cannot be kept.
pub struct AstScope<'a> {
    build: &'a RawBuild,
}

impl AstScope<'_> {
    /// Statement instance to loop iterators, at this place.
    pub fn schedule(&self) -> Result<UnionMap> {
        self.build.schedule()
    }

    /// The space of the loop iterators.
    pub fn schedule_space(&self) -> Result<Space> {
        self.build.schedule_space()
    }

    /// A condition that a point of the set is reached.
    pub fn expr_from_set(&self, set: &Set) -> Result<AstExpr> {
        self.build.expr_from_set(set)
    }

    /// A function of the loop iterators as an expression.
    pub fn expr_from_pw_aff(&self, value: &PwAff) -> Result<AstExpr> {
        self.build.expr_from_pw_aff(value)
    }

    /// An element as a function of the loop iterators, as an access.
    pub fn access_from_pw_multi_aff(&self, value: &PwMultiAff) -> Result<AstExpr> {
        self.build.access(value)
    }

    /// An element as a tuple of functions of the loop iterators, as an access.
    pub fn access_from_multi_pw_aff(&self, value: &MultiPwAff) -> Result<AstExpr> {
        self.build.access_mpa(value)
    }

    /// An instance as a function of the loop iterators, as a call.
    pub fn call_from_pw_multi_aff(&self, value: &PwMultiAff) -> Result<AstExpr> {
        self.build.call(value)
    }
}

methods! { AstNode {
    /// The statement in C.
    fn to_c_str(&self) -> String = isl_ast_node_to_C_str;
    /// A statement of an expression.
    fn user_from_expr(expr: &AstExpr) -> AstNode = isl_ast_node_user_from_expr;
    /// The statement with a note that can be read back.
    fn set_annotation(&self, id: &Id) -> AstNode = isl_ast_node_set_annotation;
    /// The note set before.
    fn annotation(&self) -> Option<Id> = isl_ast_node_get_annotation;
} }

methods! { AstExpr {
    /// The expression in C.
    fn to_c_str(&self) -> String = isl_ast_expr_to_C_str;
    /// True if the same expression.
    fn is_equal(&self, other: &AstExpr) -> bool = isl_ast_expr_is_equal;
} }

impl FromC<sys::Give<sys::isl_id>> for Option<Id> {
    fn from_c(answer: sys::Give<sys::isl_id>, ctx: &Ctx, call: &'static str) -> Result<Option<Id>> {
        if answer.0.is_null() && !ctx.has_error() {
            return Ok(None);
        }
        Id::own(answer.0, ctx, call).map(Some)
    }
}

/// An expression or statement that this crate does not know; isl 0.27 has none.
pub(crate) fn unknown(call: &'static str, code: i32) -> Error {
    Error::own(call, ErrorKind::Internal, format!("unknown kind {code}"))
}
