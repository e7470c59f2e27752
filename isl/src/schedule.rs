//! Scheduling: constraints in, a schedule tree out.

use crate::error::Result;
use crate::options::ScheduleOptions;
use crate::schedule_node::ScheduleNode;
use crate::set::Set;
use crate::space::Space;
use crate::union::{UnionMap, UnionSet};

handle! {
    /// What a schedule must keep and would like. isl copies it deeply, so it is not `Clone`: each
    /// setter gives a new one.
    ScheduleConstraints: isl_schedule_constraints, copy isl_schedule_constraints_copy,
    free isl_schedule_constraints_free, str isl_schedule_constraints_to_str,
    parse isl_schedule_constraints_read_from_str
}
handle! {
    /// A schedule tree.
    Schedule: isl_schedule, copy isl_schedule_copy, free isl_schedule_free,
    clone isl_schedule_copy, str isl_schedule_to_str, parse isl_schedule_read_from_str
}

methods! { ScheduleConstraints {
    /// No constraint on the instances of a domain.
    fn on_domain(domain: &UnionSet) -> ScheduleConstraints = isl_schedule_constraints_on_domain;
    /// What is known about the parameters.
    fn set_context(&self, context: &Set) -> ScheduleConstraints
        = isl_schedule_constraints_set_context;
    /// Pairs whose right side must come after the left.
    fn set_validity(&self, validity: &UnionMap) -> ScheduleConstraints
        = isl_schedule_constraints_set_validity;
    /// Pairs that would like to be at the same time, so that a member is parallel.
    fn set_coincidence(&self, coincidence: &UnionMap) -> ScheduleConstraints
        = isl_schedule_constraints_set_coincidence;
    /// Pairs that would like to be close.
    fn set_proximity(&self, proximity: &UnionMap) -> ScheduleConstraints
        = isl_schedule_constraints_set_proximity;
    /// Pairs to be kept in order only where the condition is not local to a band.
    fn set_conditional_validity(&self, condition: &UnionMap, validity: &UnionMap)
        -> ScheduleConstraints = isl_schedule_constraints_set_conditional_validity;
    /// The domain.
    fn domain(&self) -> UnionSet = isl_schedule_constraints_get_domain;
    /// The validity constraints.
    fn validity(&self) -> UnionMap = isl_schedule_constraints_get_validity;
    /// The coincidence constraints.
    fn coincidence(&self) -> UnionMap = isl_schedule_constraints_get_coincidence;
    /// The proximity constraints.
    fn proximity(&self) -> UnionMap = isl_schedule_constraints_get_proximity;
    priv fn compute(&self) -> Schedule = isl_schedule_constraints_compute_schedule;
} }

impl ScheduleConstraints {
    /// Runs isl's scheduler; constraints that no schedule meets are an error.
    pub fn compute_schedule(&self, options: &ScheduleOptions) -> Result<Schedule> {
        let _restore = options.apply(self.ctx())?;
        self.compute()
    }
}

methods! { Schedule {
    /// The tree of a domain node alone: instances in any order.
    fn from_domain(domain: &UnionSet) -> Schedule = isl_schedule_from_domain;
    /// The root of the tree.
    fn root(&self) -> ScheduleNode = isl_schedule_get_root;
    /// The instances with their times, without extensions.
    fn map(&self) -> UnionMap = isl_schedule_get_map;
    /// The instances.
    fn domain(&self) -> UnionSet = isl_schedule_get_domain;
    /// One after the other.
    fn sequence(&self, next: &Schedule) -> Schedule = isl_schedule_sequence;
    /// Side by side, in any order.
    fn set(&self, other: &Schedule) -> Schedule = isl_schedule_set;
    /// With a band outermost.
    fn insert_partial_schedule(&self, partial: &crate::MultiUnionPwAff) -> Schedule
        = isl_schedule_insert_partial_schedule;
    /// With a context outermost.
    fn insert_context(&self, context: &Set) -> Schedule = isl_schedule_insert_context;
    /// With fewer instances.
    fn intersect_domain(&self, domain: &UnionSet) -> Schedule = isl_schedule_intersect_domain;
    /// The parameters in the order of a space.
    fn align_params(&self, model: &Space) -> Schedule = isl_schedule_align_params;
    /// True if the trees are the same, node by node.
    fn plain_is_equal(&self, other: &Schedule) -> bool = isl_schedule_plain_is_equal;
} }
