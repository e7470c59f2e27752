//! Sets and maps over several spaces at once: the iteration domains, accesses and dependences of
//! a whole nest.

use crate::Ctx;
use crate::aff::{MultiUnionPwAff, UnionPwMultiAff};
use crate::error::Result;
use crate::map::Map;
use crate::set::{Point, Set};
use crate::space::Space;

handle! {
    /// A union of sets of different spaces.
    UnionSet: isl_union_set, copy isl_union_set_copy, free isl_union_set_free,
    clone isl_union_set_copy, str isl_union_set_to_str, parse isl_union_set_read_from_str
}
handle! {
    /// A union of maps of different spaces.
    UnionMap: isl_union_map, copy isl_union_map_copy, free isl_union_map_free,
    clone isl_union_map_copy, str isl_union_map_to_str, parse isl_union_map_read_from_str
}

list! { Set, isl_set_list, size isl_set_list_n_set, at isl_set_list_get_at, free isl_set_list_free }
list! { Map, isl_map_list, size isl_map_list_n_map, at isl_map_list_get_at, free isl_map_list_free }
list! { UnionSet, isl_union_set_list, alloc isl_union_set_list_alloc, add isl_union_set_list_add }

methods! { UnionSet {
    /// Nothing, without parameters.
    fn empty(ctx: &Ctx) -> UnionSet = isl_union_set_empty_ctx;
    /// The union of one set.
    fn from_set(set: &Set) -> UnionSet = isl_union_set_from_set;
    /// The union of one point.
    fn from_point(point: &Point) -> UnionSet = isl_union_set_from_point;
    /// The space of the parameters.
    fn space(&self) -> Space = isl_union_set_get_space;
    /// The union with a set more.
    fn add_set(&self, set: &Set) -> UnionSet = isl_union_set_add_set;
    /// The union.
    fn union(&self, other: &UnionSet) -> UnionSet = isl_union_set_union;
    /// The intersection.
    fn intersect(&self, other: &UnionSet) -> UnionSet = isl_union_set_intersect;
    /// The intersection with a parameter domain.
    fn intersect_params(&self, params: &Set) -> UnionSet = isl_union_set_intersect_params;
    /// What is not in the other.
    fn subtract(&self, other: &UnionSet) -> UnionSet = isl_union_set_subtract;
    /// The whole space of each set in it.
    fn universe(&self) -> UnionSet = isl_union_set_universe;
    /// The same in fewer pieces, where that is easy.
    fn coalesce(&self) -> UnionSet = isl_union_set_coalesce;
    /// Simplified given that the context holds.
    fn gist(&self, context: &UnionSet) -> UnionSet = isl_union_set_gist;
    /// Simplified given that the parameters are in the context.
    fn gist_params(&self, context: &Set) -> UnionSet = isl_union_set_gist_params;
    /// With implicit equalities made explicit.
    fn detect_equalities(&self) -> UnionSet = isl_union_set_detect_equalities;
    /// With integer divisions computed.
    fn compute_divs(&self) -> UnionSet = isl_union_set_compute_divs;
    /// The smallest point of each space.
    fn lexmin(&self) -> UnionSet = isl_union_set_lexmin;
    /// The largest point of each space.
    fn lexmax(&self) -> UnionSet = isl_union_set_lexmax;
    /// The image under a map.
    fn apply(&self, map: &UnionMap) -> UnionSet = isl_union_set_apply;
    /// The parameter values for which there is a point.
    fn params(&self) -> Set = isl_union_set_params;
    /// The parameters in the order of a space.
    fn align_params(&self, model: &Space) -> UnionSet = isl_union_set_align_params;
    /// Without constraints on parameters: they become existential.
    fn project_out_all_params(&self) -> UnionSet = isl_union_set_project_out_all_params;
    /// The map of wrapped sets.
    fn unwrap(&self) -> UnionMap = isl_union_set_unwrap;
    /// The identity.
    fn identity(&self) -> UnionMap = isl_union_set_identity;
    /// The map from wrapped pairs to their left sides.
    fn wrapped_domain_map(&self) -> UnionMap = isl_union_set_wrapped_domain_map;
    /// The product.
    fn product(&self, other: &UnionSet) -> UnionSet = isl_union_set_product;
    /// The pairs with the left lexicographically smaller.
    fn lex_lt_union_set(&self, other: &UnionSet) -> UnionMap = isl_union_set_lex_lt_union_set;
    /// The pairs with the left at most the right.
    fn lex_le_union_set(&self, other: &UnionSet) -> UnionMap = isl_union_set_lex_le_union_set;
    /// The pairs with the left greater.
    fn lex_gt_union_set(&self, other: &UnionSet) -> UnionMap = isl_union_set_lex_gt_union_set;
    /// The pairs with the left at least the right.
    fn lex_ge_union_set(&self, other: &UnionSet) -> UnionMap = isl_union_set_lex_ge_union_set;
    /// True without any point.
    fn is_empty(&self) -> bool = isl_union_set_is_empty;
    /// True if both have the same points.
    fn is_equal(&self, other: &UnionSet) -> bool = isl_union_set_is_equal;
    /// True if every point is in the other.
    fn is_subset(&self, other: &UnionSet) -> bool = isl_union_set_is_subset;
    /// True if no point is in both.
    fn is_disjoint(&self, other: &UnionSet) -> bool = isl_union_set_is_disjoint;
    /// True for a parameter domain.
    fn is_params(&self) -> bool = isl_union_set_is_params;
    /// The sets, one a space.
    fn sets(&self) -> Vec<Set> = isl_union_set_get_set_list;
    /// The number of spaces.
    fn n_set(&self) -> usize = isl_union_set_n_set;
    /// The set of one space, which may be empty.
    fn extract_set(&self, space: &Space) -> Set = isl_union_set_extract_set;
    priv fn raw_sample_point(&self) -> Point = isl_union_set_sample_point;
} }

methods! { UnionMap {
    /// Nothing, without parameters.
    fn empty(ctx: &Ctx) -> UnionMap = isl_union_map_empty_ctx;
    /// The union of one map.
    fn from_map(map: &Map) -> UnionMap = isl_union_map_from_map;
    /// The map from the sets to a tuple of dimension zero.
    fn from_domain(set: &UnionSet) -> UnionMap = isl_union_map_from_domain;
    /// The pairs of a domain and a range.
    fn from_domain_and_range(domain: &UnionSet, range: &UnionSet) -> UnionMap
        = isl_union_map_from_domain_and_range;
    /// The graph of a function.
    fn from_union_pw_multi_aff(value: &UnionPwMultiAff) -> UnionMap
        = isl_union_map_from_union_pw_multi_aff;
    /// The graph of a tuple of functions, such as a partial schedule.
    fn from_multi_union_pw_aff(value: &MultiUnionPwAff) -> UnionMap
        = isl_union_map_from_multi_union_pw_aff;
    /// The space of the parameters.
    fn space(&self) -> Space = isl_union_map_get_space;
    /// The union with a map more.
    fn add_map(&self, map: &Map) -> UnionMap = isl_union_map_add_map;
    /// The union.
    fn union(&self, other: &UnionMap) -> UnionMap = isl_union_map_union;
    /// The intersection.
    fn intersect(&self, other: &UnionMap) -> UnionMap = isl_union_map_intersect;
    /// The pairs whose left side is in the set.
    fn intersect_domain(&self, set: &UnionSet) -> UnionMap = isl_union_map_intersect_domain;
    /// The pairs whose right side is in the set.
    fn intersect_range(&self, set: &UnionSet) -> UnionMap = isl_union_map_intersect_range;
    /// The intersection with a parameter domain.
    fn intersect_params(&self, params: &Set) -> UnionMap = isl_union_map_intersect_params;
    /// What is not in the other.
    fn subtract(&self, other: &UnionMap) -> UnionMap = isl_union_map_subtract;
    /// The pairs whose left side is not in the set.
    fn subtract_domain(&self, set: &UnionSet) -> UnionMap = isl_union_map_subtract_domain;
    /// The pairs whose right side is not in the set.
    fn subtract_range(&self, set: &UnionSet) -> UnionMap = isl_union_map_subtract_range;
    /// The whole space of each map in it.
    fn universe(&self) -> UnionMap = isl_union_map_universe;
    /// The same in fewer pieces, where that is easy.
    fn coalesce(&self) -> UnionMap = isl_union_map_coalesce;
    /// Simplified given that the context holds.
    fn gist(&self, context: &UnionMap) -> UnionMap = isl_union_map_gist;
    /// Simplified given the left sides.
    fn gist_domain(&self, context: &UnionSet) -> UnionMap = isl_union_map_gist_domain;
    /// Simplified given the right sides.
    fn gist_range(&self, context: &UnionSet) -> UnionMap = isl_union_map_gist_range;
    /// Simplified given the parameters.
    fn gist_params(&self, context: &Set) -> UnionMap = isl_union_map_gist_params;
    /// With implicit equalities made explicit.
    fn detect_equalities(&self) -> UnionMap = isl_union_map_detect_equalities;
    /// With integer divisions computed.
    fn compute_divs(&self) -> UnionMap = isl_union_map_compute_divs;
    /// The smallest image of each point in each space.
    fn lexmin(&self) -> UnionMap = isl_union_map_lexmin;
    /// The largest image of each point in each space.
    fn lexmax(&self) -> UnionMap = isl_union_map_lexmax;
    /// With the left side mapped.
    fn apply_domain(&self, map: &UnionMap) -> UnionMap = isl_union_map_apply_domain;
    /// With the right side mapped.
    fn apply_range(&self, map: &UnionMap) -> UnionMap = isl_union_map_apply_range;
    /// From right to left.
    fn reverse(&self) -> UnionMap = isl_union_map_reverse;
    /// The left sides.
    fn domain(&self) -> UnionSet = isl_union_map_domain;
    /// The right sides.
    fn range(&self) -> UnionSet = isl_union_map_range;
    /// The parameter values for which there is a pair.
    fn params(&self) -> Set = isl_union_map_params;
    /// The parameters in the order of a space.
    fn align_params(&self, model: &Space) -> UnionMap = isl_union_map_align_params;
    /// Without constraints on parameters: they become existential.
    fn project_out_all_params(&self) -> UnionMap = isl_union_map_project_out_all_params;
    /// The pairs as a set.
    fn wrap(&self) -> UnionSet = isl_union_map_wrap;
    /// The map from the pairs to their left sides.
    fn domain_map(&self) -> UnionMap = isl_union_map_domain_map;
    /// The map from the pairs to their right sides.
    fn range_map(&self) -> UnionMap = isl_union_map_range_map;
    /// `[A -> B] -> C` as `A -> [B -> C]`.
    fn curry(&self) -> UnionMap = isl_union_map_curry;
    /// `A -> [B -> C]` as `[A -> B] -> C`.
    fn uncurry(&self) -> UnionMap = isl_union_map_uncurry;
    /// `[A -> B] -> [C -> D]` as `A -> C`.
    fn factor_domain(&self) -> UnionMap = isl_union_map_factor_domain;
    /// `[A -> B] -> C` as `A -> C`.
    fn domain_factor_domain(&self) -> UnionMap = isl_union_map_domain_factor_domain;
    /// `A -> [B -> C]` as `A -> B`.
    fn range_factor_domain(&self) -> UnionMap = isl_union_map_range_factor_domain;
    /// `A -> [B -> C]` as `A -> C`.
    fn range_factor_range(&self) -> UnionMap = isl_union_map_range_factor_range;
    /// `[A -> B] -> [C -> D]` as `[A -> C] -> [B -> D]`.
    fn zip(&self) -> UnionMap = isl_union_map_zip;
    /// The differences right minus left of maps from a space to itself.
    fn deltas(&self) -> UnionSet = isl_union_map_deltas;
    /// The product of both sides.
    fn product(&self, other: &UnionMap) -> UnionMap = isl_union_map_product;
    /// The product of the right sides over a common left side.
    fn range_product(&self, other: &UnionMap) -> UnionMap = isl_union_map_range_product;
    /// The product of the right sides as one flat tuple.
    fn flat_range_product(&self, other: &UnionMap) -> UnionMap
        = isl_union_map_flat_range_product;
    /// The pairs of left sides whose images are in the order smaller.
    fn lex_lt_union_map(&self, other: &UnionMap) -> UnionMap = isl_union_map_lex_lt_union_map;
    /// The pairs of left sides whose images are in the order at most.
    fn lex_le_union_map(&self, other: &UnionMap) -> UnionMap = isl_union_map_lex_le_union_map;
    /// The pairs of left sides whose images are in the order greater.
    fn lex_gt_union_map(&self, other: &UnionMap) -> UnionMap = isl_union_map_lex_gt_union_map;
    /// The pairs of left sides whose images are in the order at least.
    fn lex_ge_union_map(&self, other: &UnionMap) -> UnionMap = isl_union_map_lex_ge_union_map;
    /// The pairs whose sides have the same value.
    fn eq_at(&self, value: &MultiUnionPwAff) -> UnionMap
        = isl_union_map_eq_at_multi_union_pw_aff;
    /// The pairs whose left side has the smaller value.
    fn lex_lt_at(&self, value: &MultiUnionPwAff) -> UnionMap
        = isl_union_map_lex_lt_at_multi_union_pw_aff;
    /// The pairs whose left side has the greater value.
    fn lex_gt_at(&self, value: &MultiUnionPwAff) -> UnionMap
        = isl_union_map_lex_gt_at_multi_union_pw_aff;
    /// True without any pair.
    fn is_empty(&self) -> bool = isl_union_map_is_empty;
    /// True if both have the same pairs.
    fn is_equal(&self, other: &UnionMap) -> bool = isl_union_map_is_equal;
    /// True if every pair is in the other.
    fn is_subset(&self, other: &UnionMap) -> bool = isl_union_map_is_subset;
    /// True if no pair is in both.
    fn is_disjoint(&self, other: &UnionMap) -> bool = isl_union_map_is_disjoint;
    /// True for a function.
    fn is_single_valued(&self) -> bool = isl_union_map_is_single_valued;
    /// True if no two left sides share a right side.
    fn is_injective(&self) -> bool = isl_union_map_is_injective;
    /// True for an injective function.
    fn is_bijective(&self) -> bool = isl_union_map_is_bijective;
    /// The maps, one a space.
    fn maps(&self) -> Vec<Map> = isl_union_map_get_map_list;
    /// The number of spaces.
    fn n_map(&self) -> usize = isl_union_map_n_map;
    /// The map of one space, which may be empty.
    fn extract_map(&self, space: &Space) -> Map = isl_union_map_extract_map;
    /// The one map of the union; an error if it has several spaces.
    fn as_map(&self) -> Map = isl_union_map_as_map;
} }

impl UnionSet {
    /// One point, if there is any.
    pub fn sample_point(&self) -> Result<Option<Point>> {
        let point = self.raw_sample_point()?;
        Ok(if point.is_void()? { None } else { Some(point) })
    }
}
