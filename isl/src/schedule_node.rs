//! Nodes of schedule trees: a node is a position in a tree it holds; a change gives a position in
//! a changed tree, read back by [`ScheduleNode::schedule`].

use crate::aff::MultiUnionPwAff;
use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::{Arg, FromC};
use crate::schedule::Schedule;
use crate::set::Set;
use crate::space::{Id, Space};
use crate::sys;
use crate::union::{UnionMap, UnionSet};
use crate::val::MultiVal;

handle! {
    /// A position in a schedule tree.
    ScheduleNode: isl_schedule_node, copy isl_schedule_node_copy, free isl_schedule_node_free,
    clone isl_schedule_node_copy, str isl_schedule_node_to_str
}

/// What a node of a schedule tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// Loops.
    Band,
    /// Facts about parameters and outer dimensions.
    Context,
    /// The instances; the root.
    Domain,
    /// Instances replaced by several.
    Expansion,
    /// More instances.
    Extension,
    /// Some of the instances.
    Filter,
    /// The end.
    Leaf,
    /// A condition.
    Guard,
    /// A name.
    Mark,
    /// Children one after the other.
    Sequence,
    /// Children in any order.
    Set,
}

/// How the AST generator treats a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LoopType {
    /// As it likes.
    Default,
    /// One loop, never split.
    Atomic,
    /// Fully unrolled.
    Unroll,
    /// Split so that no guard remains inside.
    Separate,
}

impl Arg for LoopType {
    type Ready = sys::Enum;
    fn ready(self, _: &Ctx, _: &'static str) -> Result<sys::Enum> {
        Ok(sys::Enum(match self {
            LoopType::Default => 0,
            LoopType::Atomic => 1,
            LoopType::Unroll => 2,
            LoopType::Separate => 3,
        }))
    }
}

impl FromC<sys::Enum> for LoopType {
    fn from_c(answer: sys::Enum, ctx: &Ctx, call: &'static str) -> Result<LoopType> {
        Ok(match answer.0 {
            0 => LoopType::Default,
            1 => LoopType::Atomic,
            2 => LoopType::Unroll,
            3 => LoopType::Separate,
            _ => return Err(ctx.take_error(call)),
        })
    }
}

impl FromC<sys::Enum> for NodeKind {
    fn from_c(answer: sys::Enum, ctx: &Ctx, call: &'static str) -> Result<NodeKind> {
        Ok(match answer.0 {
            0 => NodeKind::Band,
            1 => NodeKind::Context,
            2 => NodeKind::Domain,
            3 => NodeKind::Expansion,
            4 => NodeKind::Extension,
            5 => NodeKind::Filter,
            6 => NodeKind::Leaf,
            7 => NodeKind::Guard,
            8 => NodeKind::Mark,
            9 => NodeKind::Sequence,
            10 => NodeKind::Set,
            _ => return Err(ctx.take_error(call)),
        })
    }
}

methods! { ScheduleNode {
    /// The root of a new tree.
    fn from_domain(domain: &UnionSet) -> ScheduleNode = isl_schedule_node_from_domain;
    /// The root of a tree that adds instances, for grafting.
    fn from_extension(extension: &UnionMap) -> ScheduleNode = isl_schedule_node_from_extension;
    /// What the node is.
    fn kind(&self) -> NodeKind = isl_schedule_node_get_type;
    /// The tree around the node.
    fn schedule(&self) -> Schedule = isl_schedule_node_get_schedule;
    /// The root.
    fn root(&self) -> ScheduleNode = isl_schedule_node_root;
    /// The parent; an error at the root.
    fn parent(&self) -> ScheduleNode = isl_schedule_node_parent;
    priv fn child_unchecked(&self, pos: usize) -> ScheduleNode = isl_schedule_node_child;
    /// The ancestor this many levels up.
    fn ancestor(&self, generation: usize) -> ScheduleNode = isl_schedule_node_ancestor;
    /// The sibling before.
    fn previous_sibling(&self) -> ScheduleNode = isl_schedule_node_previous_sibling;
    /// The sibling after.
    fn next_sibling(&self) -> ScheduleNode = isl_schedule_node_next_sibling;
    /// True below the root.
    fn has_parent(&self) -> bool = isl_schedule_node_has_parent;
    /// True unless the node is a leaf.
    fn has_children(&self) -> bool = isl_schedule_node_has_children;
    /// The number of children; a leaf has none, other nodes at least one.
    fn n_children(&self) -> usize = isl_schedule_node_n_children;
    /// The position among the siblings.
    fn child_position(&self) -> usize = isl_schedule_node_get_child_position;
    /// The number of nodes above.
    fn tree_depth(&self) -> usize = isl_schedule_node_get_tree_depth;
    /// The number of band members above.
    fn schedule_depth(&self) -> usize = isl_schedule_node_get_schedule_depth;
    /// True if the same position in equal trees.
    fn is_equal(&self, other: &ScheduleNode) -> bool = isl_schedule_node_is_equal;
    /// True if the subtree depends on the nodes above it.
    fn is_subtree_anchored(&self) -> bool = isl_schedule_node_is_subtree_anchored;
    /// The instances that reach the node.
    fn domain(&self) -> UnionSet = isl_schedule_node_get_domain;
    /// The outer schedule of the node as a map.
    fn prefix_schedule_union_map(&self) -> UnionMap
        = isl_schedule_node_get_prefix_schedule_union_map;
    /// The outer schedule of the node, restricted to the instances that reach it.
    fn prefix_schedule_relation(&self) -> UnionMap
        = isl_schedule_node_get_prefix_schedule_relation;
    /// The outer schedule of the node as a tuple of functions.
    fn prefix_schedule_multi_union_pw_aff(&self) -> MultiUnionPwAff
        = isl_schedule_node_get_prefix_schedule_multi_union_pw_aff;
    /// The schedule of the subtree as a map.
    fn subtree_schedule_union_map(&self) -> UnionMap
        = isl_schedule_node_get_subtree_schedule_union_map;
    /// The number of members of a band.
    fn band_n_member(&self) -> usize = isl_schedule_node_band_n_member;
    /// The schedule of a band.
    fn band_partial_schedule(&self) -> MultiUnionPwAff
        = isl_schedule_node_band_get_partial_schedule;
    /// The schedule of a band as a map.
    fn band_partial_schedule_union_map(&self) -> UnionMap
        = isl_schedule_node_band_get_partial_schedule_union_map;
    /// The space of the schedule of a band.
    fn band_space(&self) -> Space = isl_schedule_node_band_get_space;
    /// True for a parallel member.
    fn band_member_coincident(&self, pos: usize) -> bool
        = isl_schedule_node_band_member_get_coincident;
    /// A member declared parallel or not; nothing is checked.
    fn band_member_set_coincident(&self, pos: usize, coincident: bool) -> ScheduleNode
        = isl_schedule_node_band_member_set_coincident;
    /// True if the members may be permuted and tiled.
    fn band_permutable(&self) -> bool = isl_schedule_node_band_get_permutable;
    /// A band declared permutable or not; nothing is checked.
    fn band_set_permutable(&self, permutable: bool) -> ScheduleNode
        = isl_schedule_node_band_set_permutable;
    /// How the AST generator treats a member.
    fn band_member_ast_loop_type(&self, pos: usize) -> LoopType
        = isl_schedule_node_band_member_get_ast_loop_type;
    /// Sets how the AST generator treats a member.
    fn band_member_set_ast_loop_type(&self, pos: usize, kind: LoopType) -> ScheduleNode
        = isl_schedule_node_band_member_set_ast_loop_type;
    /// Sets how the AST generator treats a member in the isolated part.
    fn band_member_set_isolate_ast_loop_type(&self, pos: usize, kind: LoopType) -> ScheduleNode
        = isl_schedule_node_band_member_set_isolate_ast_loop_type;
    /// The options of a band for the AST generator.
    fn band_ast_build_options(&self) -> UnionSet
        = isl_schedule_node_band_get_ast_build_options;
    /// Sets the options of a band for the AST generator, such as `{ isolate[[] -> [x]] : ... }`.
    fn band_set_ast_build_options(&self, options: &UnionSet) -> ScheduleNode
        = isl_schedule_node_band_set_ast_build_options;
    /// The members multiplied.
    fn band_scale(&self, factors: &MultiVal) -> ScheduleNode = isl_schedule_node_band_scale;
    /// The members divided, rounding down.
    fn band_scale_down(&self, factors: &MultiVal) -> ScheduleNode
        = isl_schedule_node_band_scale_down;
    /// The members reduced modulo the factors.
    fn band_mod(&self, factors: &MultiVal) -> ScheduleNode = isl_schedule_node_band_mod;
    /// The members shifted.
    fn band_shift(&self, shift: &MultiUnionPwAff) -> ScheduleNode
        = isl_schedule_node_band_shift;
    /// Tiled: the node becomes the tile loops, its child the point loops.
    fn band_tile(&self, sizes: &MultiVal) -> ScheduleNode = isl_schedule_node_band_tile;
    /// Split into the members before a position and, below, those from it.
    fn band_split(&self, pos: usize) -> ScheduleNode = isl_schedule_node_band_split;
    /// Moved below the subtree, to its leaves.
    fn band_sink(&self) -> ScheduleNode = isl_schedule_node_band_sink;
    /// The identifier of a mark.
    fn mark_id(&self) -> Id = isl_schedule_node_mark_get_id;
    /// The instances of a domain node.
    fn domain_domain(&self) -> UnionSet = isl_schedule_node_domain_get_domain;
    /// The instances a filter lets pass.
    fn filter(&self) -> UnionSet = isl_schedule_node_filter_get_filter;
    /// The facts of a context.
    fn context(&self) -> Set = isl_schedule_node_context_get_context;
    /// The condition of a guard.
    fn guard(&self) -> Set = isl_schedule_node_guard_get_guard;
    /// What an extension adds.
    fn extension(&self) -> UnionMap = isl_schedule_node_extension_get_extension;
    /// With a mark above.
    fn insert_mark(&self, id: &Id) -> ScheduleNode = isl_schedule_node_insert_mark;
    /// With a band above.
    fn insert_partial_schedule(&self, partial: &MultiUnionPwAff) -> ScheduleNode
        = isl_schedule_node_insert_partial_schedule;
    /// With a sequence of filters above.
    fn insert_sequence(&self, filters: &[UnionSet]) -> ScheduleNode
        = isl_schedule_node_insert_sequence;
    /// With an unordered set of filters above.
    fn insert_set(&self, filters: &[UnionSet]) -> ScheduleNode = isl_schedule_node_insert_set;
    /// With a filter above.
    fn insert_filter(&self, filter: &UnionSet) -> ScheduleNode = isl_schedule_node_insert_filter;
    /// With a context above.
    fn insert_context(&self, context: &Set) -> ScheduleNode = isl_schedule_node_insert_context;
    /// With a guard above.
    fn insert_guard(&self, guard: &Set) -> ScheduleNode = isl_schedule_node_insert_guard;
    /// With an extension's subtree before.
    fn graft_before(&self, graft: &ScheduleNode) -> ScheduleNode
        = isl_schedule_node_graft_before;
    /// With an extension's subtree after.
    fn graft_after(&self, graft: &ScheduleNode) -> ScheduleNode = isl_schedule_node_graft_after;
    /// Some instances moved before the rest.
    fn order_before(&self, filter: &UnionSet) -> ScheduleNode = isl_schedule_node_order_before;
    /// Some instances moved after the rest.
    fn order_after(&self, filter: &UnionSet) -> ScheduleNode = isl_schedule_node_order_after;
    /// The subtree replaced by a leaf.
    fn cut(&self) -> ScheduleNode = isl_schedule_node_cut;
    /// The node removed, its child in its place.
    fn delete(&self) -> ScheduleNode = isl_schedule_node_delete;
} }

impl ScheduleNode {
    /// The child at a position; an error if there is none. isl does not check the position above
    /// a leaf and would give a node it cannot handle.
    pub fn child(&self, pos: usize) -> Result<ScheduleNode> {
        let n = self.n_children()?;
        if pos >= n {
            let words = format!("no child {pos}, there are {n}");
            return Err(Error::own("isl_schedule_node_child", ErrorKind::Invalid, words));
        }
        self.child_unchecked(pos)
    }

    /// The children.
    pub fn children(&self) -> Result<Vec<ScheduleNode>> {
        (0..self.n_children()?).map(|i| self.child(i)).collect()
    }

    /// Tiled with one size for each member.
    pub fn band_tile_sizes(&self, sizes: &[i64]) -> Result<ScheduleNode> {
        if let Some(size) = sizes.iter().find(|&&size| size < 1) {
            let words = format!("a tile size must be positive, not {size}");
            return Err(Error::own("isl_schedule_node_band_tile", ErrorKind::Invalid, words));
        }
        self.band_tile(&MultiVal::from_i64s(&self.band_space()?, sizes)?)
    }
}
