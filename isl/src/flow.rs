//! Dataflow: which write each read gets its value from.

use crate::schedule::Schedule;
use crate::union::UnionMap;

handle! {
    /// What a flow analysis looks at: the reads (sink), the writes (sources) and their order. isl
    /// copies it deeply, so it is not `Clone`: build a new one.
    UnionAccessInfo: isl_union_access_info, copy isl_union_access_info_copy,
    free isl_union_access_info_free, str isl_union_access_info_to_str
}
handle! {
    /// The answer of a flow analysis.
    UnionFlow: isl_union_flow, copy isl_union_flow_copy, free isl_union_flow_free,
    str isl_union_flow_to_str
}

methods! { UnionAccessInfo {
    /// The accesses whose sources are wanted.
    fn from_sink(sink: &UnionMap) -> UnionAccessInfo = isl_union_access_info_from_sink;
    /// The accesses that surely happen and hide earlier ones.
    fn set_must_source(&self, source: &UnionMap) -> UnionAccessInfo
        = isl_union_access_info_set_must_source;
    /// The accesses that may happen and hide nothing.
    fn set_may_source(&self, source: &UnionMap) -> UnionAccessInfo
        = isl_union_access_info_set_may_source;
    /// The accesses that end earlier values without being sources.
    fn set_kill(&self, kill: &UnionMap) -> UnionAccessInfo = isl_union_access_info_set_kill;
    /// The order of the instances as a tree: twice as fast as a map.
    fn set_schedule(&self, schedule: &Schedule) -> UnionAccessInfo
        = isl_union_access_info_set_schedule;
    /// The order of the instances as a map.
    fn set_schedule_map(&self, schedule: &UnionMap) -> UnionAccessInfo
        = isl_union_access_info_set_schedule_map;
    /// The dependences.
    fn compute_flow(&self) -> UnionFlow = isl_union_access_info_compute_flow;
} }

methods! { UnionFlow {
    /// Source instance to sink instance, where the source is sure.
    fn must_dependence(&self) -> UnionMap = isl_union_flow_get_must_dependence;
    /// Source instance to sink instance, sure ones included.
    fn may_dependence(&self) -> UnionMap = isl_union_flow_get_may_dependence;
    /// Source instance to the pair of sink instance and element, where the source is sure.
    fn full_must_dependence(&self) -> UnionMap = isl_union_flow_get_full_must_dependence;
    /// Source instance to the pair of sink instance and element.
    fn full_may_dependence(&self) -> UnionMap = isl_union_flow_get_full_may_dependence;
    /// The sink accesses that surely have no source.
    fn must_no_source(&self) -> UnionMap = isl_union_flow_get_must_no_source;
    /// The sink accesses that may have no source.
    fn may_no_source(&self) -> UnionMap = isl_union_flow_get_may_no_source;
} }
