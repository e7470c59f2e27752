//! Maps (binary relations), basic maps and the box hull of a range.

use crate::aff::PwAff;
use crate::aff::{MultiAff, MultiPwAff, PwMultiAff};
use crate::error::Result;
use crate::set::{BasicSet, Constraint, Set};
use crate::space::{DimType, Id, Space};
use crate::union::UnionMap;
use crate::val::{MultiVal, Val};

handle! {
    /// A relation described by one conjunction of affine constraints.
    BasicMap: isl_basic_map, copy isl_basic_map_copy, free isl_basic_map_free,
    clone isl_basic_map_copy, str isl_basic_map_to_str, parse isl_basic_map_read_from_str
}
handle! {
    /// A relation between integer points of two spaces.
    Map: isl_map, copy isl_map_copy, free isl_map_free, clone isl_map_copy, str isl_map_to_str,
    parse isl_map_read_from_str
}
handle! {
    /// A box of constant size at an affine offset.
    FixedBox: isl_fixed_box, copy isl_fixed_box_copy, free isl_fixed_box_free,
    str isl_fixed_box_to_str
}
handle! {
    /// The lattice that the values of a dimension lie on.
    StrideInfo: isl_stride_info, copy isl_stride_info_copy, free isl_stride_info_free
}

list! { BasicMap, isl_basic_map_list, size isl_basic_map_list_n_basic_map,
at isl_basic_map_list_get_at, free isl_basic_map_list_free }

methods! { Map {
    /// All pairs.
    fn universe(space: &Space) -> Map = isl_map_universe;
    /// No pair.
    fn empty(space: &Space) -> Map = isl_map_empty;
    /// The identity of a map space whose domain and range agree.
    fn identity(space: &Space) -> Map = isl_map_identity;
    /// The pairs of a domain and a range.
    fn from_domain_and_range(domain: &Set, range: &Set) -> Map = isl_map_from_domain_and_range;
    /// The map from the set to a tuple of dimension zero.
    fn from_domain(domain: &Set) -> Map = isl_map_from_domain;
    /// The map from a tuple of dimension zero to the set.
    fn from_range(range: &Set) -> Map = isl_map_from_range;
    /// The relation of one basic map.
    fn from_basic_map(basic: &BasicMap) -> Map = isl_map_from_basic_map;
    /// The one map of a union map; an error if it has several spaces.
    fn from_union_map(map: &UnionMap) -> Map = isl_map_from_union_map;
    /// The graph of an affine function.
    fn from_multi_aff(value: &MultiAff) -> Map = isl_map_from_multi_aff;
    /// The graph of a piecewise function.
    fn from_pw_aff(value: &PwAff) -> Map = isl_map_from_pw_aff;
    /// The graph of a piecewise function.
    fn from_pw_multi_aff(value: &PwMultiAff) -> Map = isl_map_from_pw_multi_aff;
    /// The graph of a tuple of piecewise functions.
    fn from_multi_pw_aff(value: &MultiPwAff) -> Map = isl_map_from_multi_pw_aff;
    /// The pairs of a set space with the left lexicographically smaller.
    fn lex_lt(space: &Space) -> Map = isl_map_lex_lt;
    /// The pairs of a set space with the left at most the right.
    fn lex_le(space: &Space) -> Map = isl_map_lex_le;
    /// The pairs of a set space with the left greater.
    fn lex_gt(space: &Space) -> Map = isl_map_lex_gt;
    /// The pairs of a set space with the left at least the right.
    fn lex_ge(space: &Space) -> Map = isl_map_lex_ge;
    /// The space.
    fn space(&self) -> Space = isl_map_get_space;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_map_dim;
    /// The name of a dimension.
    fn dim_name(&self, kind: DimType, pos: usize) -> Option<String> = isl_map_get_dim_name;
    /// The map with a dimension named.
    fn set_dim_name(&self, kind: DimType, pos: usize, name: &str) -> Map = isl_map_set_dim_name;
    /// The position of the dimension with this name.
    fn find_dim_by_name(&self, kind: DimType, name: &str) -> Option<usize>
        = isl_map_find_dim_by_name;
    /// The name of a tuple.
    fn tuple_name(&self, kind: DimType) -> Option<String> = isl_map_get_tuple_name;
    /// The map with a tuple named.
    fn set_tuple_name(&self, kind: DimType, name: &str) -> Map = isl_map_set_tuple_name;
    /// The map with a tuple named.
    fn set_tuple_id(&self, kind: DimType, id: &Id) -> Map = isl_map_set_tuple_id;
    /// The map with a tuple unnamed.
    fn reset_tuple_id(&self, kind: DimType) -> Map = isl_map_reset_tuple_id;
    /// The union.
    fn union(&self, other: &Map) -> Map = isl_map_union;
    /// The intersection.
    fn intersect(&self, other: &Map) -> Map = isl_map_intersect;
    /// The pairs whose left side is in the set.
    fn intersect_domain(&self, set: &Set) -> Map = isl_map_intersect_domain;
    /// The pairs whose right side is in the set.
    fn intersect_range(&self, set: &Set) -> Map = isl_map_intersect_range;
    /// The intersection with a parameter domain.
    fn intersect_params(&self, params: &Set) -> Map = isl_map_intersect_params;
    /// What is not in the other map.
    fn subtract(&self, other: &Map) -> Map = isl_map_subtract;
    /// The pairs whose left side is not in the set.
    fn subtract_domain(&self, set: &Set) -> Map = isl_map_subtract_domain;
    /// The pairs whose right side is not in the set.
    fn subtract_range(&self, set: &Set) -> Map = isl_map_subtract_range;
    /// What is not in the map.
    fn complement(&self) -> Map = isl_map_complement;
    /// The same map in fewer pieces, where that is easy.
    fn coalesce(&self) -> Map = isl_map_coalesce;
    /// The map simplified given that the context holds.
    fn gist(&self, context: &Map) -> Map = isl_map_gist;
    /// The map simplified given its domain.
    fn gist_domain(&self, context: &Set) -> Map = isl_map_gist_domain;
    /// The map simplified given the parameters.
    fn gist_params(&self, context: &Set) -> Map = isl_map_gist_params;
    /// The map with its implicit equalities made explicit.
    fn detect_equalities(&self) -> Map = isl_map_detect_equalities;
    /// The map with its integer divisions computed.
    fn compute_divs(&self) -> Map = isl_map_compute_divs;
    /// The smallest image of each point.
    fn lexmin(&self) -> Map = isl_map_lexmin;
    /// The largest image of each point.
    fn lexmax(&self) -> Map = isl_map_lexmax;
    /// The smallest image as a function.
    fn lexmin_pw_multi_aff(&self) -> PwMultiAff = isl_map_lexmin_pw_multi_aff;
    /// The largest image as a function.
    fn lexmax_pw_multi_aff(&self) -> PwMultiAff = isl_map_lexmax_pw_multi_aff;
    /// The least value of an output as a function of the input.
    fn dim_min(&self, pos: usize) -> PwAff = isl_map_dim_min;
    /// The greatest value of an output as a function of the input.
    fn dim_max(&self, pos: usize) -> PwAff = isl_map_dim_max;
    /// The map with its left side mapped.
    fn apply_domain(&self, map: &Map) -> Map = isl_map_apply_domain;
    /// The map with its right side mapped.
    fn apply_range(&self, map: &Map) -> Map = isl_map_apply_range;
    /// The map from right to left.
    fn reverse(&self) -> Map = isl_map_reverse;
    /// The left sides.
    fn domain(&self) -> Set = isl_map_domain;
    /// The right sides.
    fn range(&self) -> Set = isl_map_range;
    /// The parameter values for which there is a pair.
    fn params(&self) -> Set = isl_map_params;
    /// The pairs as a set.
    fn wrap(&self) -> Set = isl_map_wrap;
    /// The map from the pairs to their left sides.
    fn domain_map(&self) -> Map = isl_map_domain_map;
    /// The map from the pairs to their right sides.
    fn range_map(&self) -> Map = isl_map_range_map;
    /// `[A -> B] -> C` as `A -> [B -> C]`.
    fn curry(&self) -> Map = isl_map_curry;
    /// `A -> [B -> C]` as `[A -> B] -> C`.
    fn uncurry(&self) -> Map = isl_map_uncurry;
    /// The differences right minus left; both sides must have one space.
    fn deltas(&self) -> Set = isl_map_deltas;
    /// The map without some of its dimensions.
    fn project_out(&self, kind: DimType, first: usize, n: usize) -> Map = isl_map_project_out;
    /// The map with dimensions turned into others.
    fn move_dims(&self, to: DimType, to_pos: usize, from: DimType, from_pos: usize, n: usize)
        -> Map = isl_map_move_dims;
    /// More unconstrained dimensions at the end.
    fn add_dims(&self, kind: DimType, n: usize) -> Map = isl_map_add_dims;
    /// More unconstrained dimensions.
    fn insert_dims(&self, kind: DimType, pos: usize, n: usize) -> Map = isl_map_insert_dims;
    /// The parameters in the order of a space.
    fn align_params(&self, model: &Space) -> Map = isl_map_align_params;
    /// A dimension fixed to a value.
    fn fix_val(&self, kind: DimType, pos: usize, value: &Val) -> Map = isl_map_fix_val;
    /// Two dimensions made equal.
    fn equate(&self, kind: DimType, pos: usize, kind2: DimType, pos2: usize) -> Map
        = isl_map_equate;
    /// The pairs where one dimension is less than another.
    fn order_lt(&self, kind: DimType, pos: usize, kind2: DimType, pos2: usize) -> Map
        = isl_map_order_lt;
    /// The map with a constraint more.
    fn add_constraint(&self, constraint: &Constraint) -> Map = isl_map_add_constraint;
    /// The product of both sides.
    fn product(&self, other: &Map) -> Map = isl_map_product;
    /// The product of the right sides over a common left side.
    fn range_product(&self, other: &Map) -> Map = isl_map_range_product;
    /// The product of the right sides as one flat tuple.
    fn flat_range_product(&self, other: &Map) -> Map = isl_map_flat_range_product;
    /// The product of the left sides.
    fn domain_product(&self, other: &Map) -> Map = isl_map_domain_product;
    /// The right side made flat.
    fn flatten_range(&self) -> Map = isl_map_flatten_range;
    /// The left side made flat.
    fn flatten_domain(&self) -> Map = isl_map_flatten_domain;
    /// The map composed with a function on its left side.
    fn preimage_domain_multi_aff(&self, value: &MultiAff) -> Map
        = isl_map_preimage_domain_multi_aff;
    /// True without any pair.
    fn is_empty(&self) -> bool = isl_map_is_empty;
    /// True if both have the same pairs.
    fn is_equal(&self, other: &Map) -> bool = isl_map_is_equal;
    /// True if every pair is in the other map.
    fn is_subset(&self, other: &Map) -> bool = isl_map_is_subset;
    /// True if no pair is in both.
    fn is_disjoint(&self, other: &Map) -> bool = isl_map_is_disjoint;
    /// True for a function.
    fn is_single_valued(&self) -> bool = isl_map_is_single_valued;
    /// True if no two left sides share a right side.
    fn is_injective(&self) -> bool = isl_map_is_injective;
    /// True for an injective function.
    fn is_bijective(&self) -> bool = isl_map_is_bijective;
    /// True if the dimensions occur in the description.
    fn involves_dims(&self, kind: DimType, first: usize, n: usize) -> bool
        = isl_map_involves_dims;
    /// The conjunctions the map is made of.
    fn basic_maps(&self) -> Vec<BasicMap> = isl_map_get_basic_map_list;
    /// The number of conjunctions.
    fn n_basic_map(&self) -> usize = isl_map_n_basic_map;
    /// A basic map with one of its pairs, or an empty one.
    fn sample(&self) -> BasicMap = isl_map_sample;
    /// A box of constant size around each image, its offset a function of the left side.
    fn range_simple_fixed_box_hull(&self) -> FixedBox = isl_map_get_range_simple_fixed_box_hull;
    /// The lattice of a dimension of each image.
    fn range_stride_info(&self, pos: usize) -> StrideInfo = isl_map_get_range_stride_info;
} }

methods! { BasicMap {
    /// The space.
    fn space(&self) -> Space = isl_basic_map_get_space;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_basic_map_dim;
    /// The left sides.
    fn domain(&self) -> BasicSet = isl_basic_map_domain;
    /// The right sides.
    fn range(&self) -> BasicSet = isl_basic_map_range;
    /// The map from right to left.
    fn reverse(&self) -> BasicMap = isl_basic_map_reverse;
    /// The intersection.
    fn intersect(&self, other: &BasicMap) -> BasicMap = isl_basic_map_intersect;
    /// The constraints.
    fn constraints(&self) -> Vec<Constraint> = isl_basic_map_get_constraint_list;
    /// True without any pair.
    fn is_empty(&self) -> bool = isl_basic_map_is_empty;
    /// True if both have the same pairs.
    fn is_equal(&self, other: &BasicMap) -> bool = isl_basic_map_is_equal;
} }

methods! { FixedBox {
    /// False if no such box was found; then the other methods mean nothing.
    fn is_valid(&self) -> bool = isl_fixed_box_is_valid;
    /// The lower corner.
    fn offset(&self) -> MultiAff = isl_fixed_box_get_offset;
    /// The extents.
    fn size(&self) -> MultiVal = isl_fixed_box_get_size;
    /// The space.
    fn space(&self) -> Space = isl_fixed_box_get_space;
} }

methods! { StrideInfo {
    /// From one of its values to the next; 1 where none is left out, 0 where there is one.
    fn stride(&self) -> Val = isl_stride_info_get_stride;
} }

impl Map {
    /// A dimension fixed to an integer.
    pub fn fix_i64(&self, kind: DimType, pos: usize, value: i64) -> Result<Map> {
        self.fix_val(kind, pos, &Val::int_from_si(self.ctx(), value)?)
    }
}
