//! isl's options, set for one call and put back afterwards.
//!
//! Why here: options belong to isl's context, so a value set for one call would change the next;
//! no options object of isl is ever handed out (freeing one is a double free).

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::sys;
use std::ffi::c_int;

/// Which scheduler isl runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScheduleAlgorithm {
    /// isl's own, similar to Pluto.
    Isl,
    /// Feautrier's: minimal depth of sequential loops.
    Feautrier,
}

/// Options of [`crate::ScheduleConstraints::compute_schedule`]; the default is isl's, with
/// `whole_component` always off (it may take minutes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleOptions {
    /// Which scheduler.
    pub algorithm: ScheduleAlgorithm,
    /// Schedule strongly connected components one after another: least fusion.
    pub serialize_sccs: bool,
    /// Want the outermost member of each band parallel.
    pub outer_coincidence: bool,
    /// Prefer deep bands to parallel ones.
    pub maximize_band_depth: bool,
    /// Prefer many parallel members.
    pub maximize_coincidence: bool,
    /// Avoid schedules that merge loops into one dimension.
    pub treat_coalescing: bool,
    /// Split off a scaled member.
    pub split_scaled: bool,
    /// Carry self-dependences first where no band is found.
    pub carry_self_first: bool,
    /// The largest coefficient of a dimension, if bounded.
    pub max_coefficient: Option<u32>,
    /// The largest constant term, if bounded.
    pub max_constant_term: Option<u32>,
}

impl Default for ScheduleOptions {
    fn default() -> ScheduleOptions {
        ScheduleOptions {
            algorithm: ScheduleAlgorithm::Isl,
            serialize_sccs: false,
            outer_coincidence: false,
            maximize_band_depth: false,
            maximize_coincidence: false,
            treat_coalescing: true,
            split_scaled: true,
            carry_self_first: true,
            max_coefficient: None,
            max_constant_term: None,
        }
    }
}

/// Options of [`crate::AstBuild`]; the default is isl's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AstOptions {
    /// Upper bounds of loops are one comparison with a `min`, not a conjunction.
    pub atomic_upper_bound: bool,
    /// Print divisions whose dividend is not negative as such.
    pub prefer_pdiv: bool,
    /// Look for minima and maxima in conditions.
    pub detect_min_max: bool,
    /// Use the bounds of outer loops to simplify.
    pub exploit_nested_bounds: bool,
    /// Treat statements at the same time as one group.
    pub group_coscheduled: bool,
    /// Separate loops by implicit bounds too.
    pub implicit_separation_bounds: bool,
    /// Divide loops by their stride.
    pub scale_strides: bool,
    /// Allow `else` branches.
    pub allow_else: bool,
    /// Allow disjunctions in conditions.
    pub allow_or: bool,
}

impl Default for AstOptions {
    fn default() -> AstOptions {
        AstOptions {
            atomic_upper_bound: true,
            prefer_pdiv: true,
            detect_min_max: false,
            exploit_nested_bounds: true,
            group_coscheduled: false,
            implicit_separation_bounds: false,
            scale_strides: true,
            allow_else: true,
            allow_or: true,
        }
    }
}

type Setter = unsafe extern "C" fn(*mut sys::isl_ctx, c_int) -> sys::Stat;
type Getter = unsafe extern "C" fn(*mut sys::isl_ctx) -> c_int;

/// An option of isl with the value it is to have.
struct Setting {
    set: Setter,
    get: Getter,
    value: c_int,
}

/// Puts the former values back when dropped.
pub(crate) struct Restore {
    ctx: Ctx,
    former: Vec<(Setter, c_int)>,
    /// The values set instead, for the test that the defaults agree with isl's.
    #[cfg(test)]
    applied: Vec<c_int>,
}

impl Drop for Restore {
    fn drop(&mut self) {
        for (set, value) in self.former.drain(..) {
            // SAFETY: the context is live and the value was this option's own.
            unsafe { set(self.ctx.raw(), value) };
        }
    }
}

fn apply(ctx: &Ctx, settings: Vec<Setting>) -> Restore {
    let mut restore = Restore {
        ctx: ctx.clone(),
        former: Vec::new(),
        #[cfg(test)]
        applied: settings.iter().map(|s| s.value).collect(),
    };
    for setting in settings {
        // SAFETY: the context is live; isl's setters store the number.
        unsafe {
            restore.former.push((setting.set, (setting.get)(ctx.raw())));
            (setting.set)(ctx.raw(), setting.value);
        }
    }
    restore
}

macro_rules! settings {
    ($($set:ident, $get:ident = $value:expr;)*) => {
        vec![$(Setting { set: sys::$set, get: sys::$get, value: c_int::from($value) }),*]
    };
}

/// A bound as isl takes it: -1 is none.
fn bound(value: Option<u32>) -> Result<c_int> {
    let Some(value) = value else { return Ok(-1) };
    c_int::try_from(value).map_err(|_| {
        let words = format!("{value} is out of range");
        Error::own("isl_options_set_schedule_max_coefficient", ErrorKind::Invalid, words)
    })
}

impl ScheduleOptions {
    /// Sets the options until the answer is dropped.
    pub(crate) fn apply(&self, ctx: &Ctx) -> Result<Restore> {
        let coefficient = bound(self.max_coefficient)?;
        let constant = bound(self.max_constant_term)?;
        let feautrier = match self.algorithm {
            ScheduleAlgorithm::Isl => 0,
            ScheduleAlgorithm::Feautrier => 1,
        };
        Ok(apply(
            ctx,
            settings! {
                isl_options_set_schedule_algorithm, isl_options_get_schedule_algorithm
                    = feautrier;
                isl_options_set_schedule_whole_component,
                    isl_options_get_schedule_whole_component = false;
                isl_options_set_schedule_serialize_sccs, isl_options_get_schedule_serialize_sccs
                    = self.serialize_sccs;
                isl_options_set_schedule_outer_coincidence,
                    isl_options_get_schedule_outer_coincidence = self.outer_coincidence;
                isl_options_set_schedule_maximize_band_depth,
                    isl_options_get_schedule_maximize_band_depth = self.maximize_band_depth;
                isl_options_set_schedule_maximize_coincidence,
                    isl_options_get_schedule_maximize_coincidence = self.maximize_coincidence;
                isl_options_set_schedule_treat_coalescing,
                    isl_options_get_schedule_treat_coalescing = self.treat_coalescing;
                isl_options_set_schedule_split_scaled, isl_options_get_schedule_split_scaled
                    = self.split_scaled;
                isl_options_set_schedule_carry_self_first,
                    isl_options_get_schedule_carry_self_first = self.carry_self_first;
                isl_options_set_schedule_max_coefficient,
                    isl_options_get_schedule_max_coefficient = coefficient;
                isl_options_set_schedule_max_constant_term,
                    isl_options_get_schedule_max_constant_term = constant;
            },
        ))
    }
}

impl AstOptions {
    /// Sets the options until the answer is dropped.
    pub(crate) fn apply(&self, ctx: &Ctx) -> Restore {
        apply(
            ctx,
            settings! {
                isl_options_set_ast_build_atomic_upper_bound,
                    isl_options_get_ast_build_atomic_upper_bound = self.atomic_upper_bound;
                isl_options_set_ast_build_prefer_pdiv, isl_options_get_ast_build_prefer_pdiv
                    = self.prefer_pdiv;
                isl_options_set_ast_build_detect_min_max,
                    isl_options_get_ast_build_detect_min_max = self.detect_min_max;
                isl_options_set_ast_build_exploit_nested_bounds,
                    isl_options_get_ast_build_exploit_nested_bounds = self.exploit_nested_bounds;
                isl_options_set_ast_build_group_coscheduled,
                    isl_options_get_ast_build_group_coscheduled = self.group_coscheduled;
                isl_options_set_ast_build_separation_bounds,
                    isl_options_get_ast_build_separation_bounds
                    = self.implicit_separation_bounds;
                isl_options_set_ast_build_scale_strides,
                    isl_options_get_ast_build_scale_strides = self.scale_strides;
                isl_options_set_ast_build_allow_else, isl_options_get_ast_build_allow_else
                    = self.allow_else;
                isl_options_set_ast_build_allow_or, isl_options_get_ast_build_allow_or
                    = self.allow_or;
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_defaults_are_those_of_isl() {
        let ctx = Ctx::new();
        let restores = [
            AstOptions::default().apply(&ctx),
            ScheduleOptions::default().apply(&ctx).expect("the defaults are in range"),
        ];
        for restore in &restores {
            for (i, (set, former)) in restore.former.iter().enumerate() {
                // SAFETY: the context is live; the setter is called with the value in force.
                assert_eq!(unsafe { set(ctx.raw(), *former) }.0, 0);
                assert_eq!(*former, restore.applied[i], "option {i}");
            }
        }
    }
}
