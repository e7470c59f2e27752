//! Sets, basic sets, constraints and points.

use crate::aff::{Aff, MultiPwAff, PwAff, PwMultiAff};
use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::map::{BasicMap, FixedBox, Map};
use crate::space::{DimType, Id, LocalSpace, Space};
use crate::val::{Extremum, Val};
use crate::{Ctx, UnionSet, sys};
use std::ffi::c_void;

handle! {
    /// A set described by one conjunction of affine constraints.
    BasicSet: isl_basic_set, copy isl_basic_set_copy, free isl_basic_set_free,
    clone isl_basic_set_copy, str isl_basic_set_to_str, parse isl_basic_set_read_from_str
}
handle! {
    /// A set of integer points in one space.
    Set: isl_set, copy isl_set_copy, free isl_set_free, clone isl_set_copy, str isl_set_to_str,
    parse isl_set_read_from_str
}
handle! {
    /// An integer point, with values for the parameters.
    Point: isl_point, copy isl_point_copy, free isl_point_free, clone isl_point_copy,
    str isl_point_to_str
}
handle! {
    /// An affine equality or inequality.
    Constraint: isl_constraint, copy isl_constraint_copy, free isl_constraint_free,
    clone isl_constraint_copy
}

list! { BasicSet, isl_basic_set_list, size isl_basic_set_list_n_basic_set,
at isl_basic_set_list_get_at, free isl_basic_set_list_free }
list! { Constraint, isl_constraint_list, size isl_constraint_list_n_constraint,
at isl_constraint_list_get_at, free isl_constraint_list_free }

methods! { Set {
    /// The whole space.
    fn universe(space: &Space) -> Set = isl_set_universe;
    /// No point of the space.
    fn empty(space: &Space) -> Set = isl_set_empty;
    /// The set of one basic set.
    fn from_basic_set(basic: &BasicSet) -> Set = isl_set_from_basic_set;
    /// The set of one point.
    fn from_point(point: &Point) -> Set = isl_set_from_point;
    /// The set where the union set has points of one space; an error if it has several spaces.
    fn from_union_set(set: &UnionSet) -> Set = isl_set_from_union_set;
    /// The set of dimension zero over a parameter domain.
    fn from_params(params: &Set) -> Set = isl_set_from_params;
    /// The values of an affine expression without inputs.
    fn from_pw_aff(value: &PwAff) -> Set = isl_set_from_pw_aff;
    /// The values of a tuple without inputs.
    fn from_multi_pw_aff(value: &MultiPwAff) -> Set = isl_set_from_multi_pw_aff;
    /// The space.
    fn space(&self) -> Space = isl_set_get_space;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_set_dim;
    /// The name of a dimension.
    fn dim_name(&self, kind: DimType, pos: usize) -> Option<String> = isl_set_get_dim_name;
    /// The set with a dimension named.
    fn set_dim_name(&self, kind: DimType, pos: usize, name: &str) -> Set = isl_set_set_dim_name;
    /// The position of the dimension with this name.
    fn find_dim_by_name(&self, kind: DimType, name: &str) -> Option<usize>
        = isl_set_find_dim_by_name;
    /// The name of the tuple.
    fn tuple_name(&self) -> Option<String> = isl_set_get_tuple_name;
    /// The set with its tuple named.
    fn set_tuple_name(&self, name: &str) -> Set = isl_set_set_tuple_name;
    /// The set with its tuple named.
    fn set_tuple_id(&self, id: &Id) -> Set = isl_set_set_tuple_id;
    /// The set with an unnamed tuple.
    fn reset_tuple_id(&self) -> Set = isl_set_reset_tuple_id;
    /// The union.
    fn union(&self, other: &Set) -> Set = isl_set_union;
    /// The intersection.
    fn intersect(&self, other: &Set) -> Set = isl_set_intersect;
    /// The intersection with a parameter domain.
    fn intersect_params(&self, params: &Set) -> Set = isl_set_intersect_params;
    /// What is not in the other set.
    fn subtract(&self, other: &Set) -> Set = isl_set_subtract;
    /// What is not in the set.
    fn complement(&self) -> Set = isl_set_complement;
    /// The same set in fewer pieces, where that is easy.
    fn coalesce(&self) -> Set = isl_set_coalesce;
    /// The set simplified given that the context holds.
    fn gist(&self, context: &Set) -> Set = isl_set_gist;
    /// The set simplified given that the parameters are in the context.
    fn gist_params(&self, context: &Set) -> Set = isl_set_gist_params;
    /// The set with its implicit equalities made explicit.
    fn detect_equalities(&self) -> Set = isl_set_detect_equalities;
    /// The set without redundant constraints.
    fn remove_redundancies(&self) -> Set = isl_set_remove_redundancies;
    /// The set with its integer divisions computed.
    fn compute_divs(&self) -> Set = isl_set_compute_divs;
    /// The set in disjoint pieces.
    fn make_disjoint(&self) -> Set = isl_set_make_disjoint;
    /// The lexicographically smallest point for each value of the parameters.
    fn lexmin(&self) -> Set = isl_set_lexmin;
    /// The lexicographically largest point for each value of the parameters.
    fn lexmax(&self) -> Set = isl_set_lexmax;
    /// The smallest point as a function of the parameters.
    fn lexmin_pw_multi_aff(&self) -> PwMultiAff = isl_set_lexmin_pw_multi_aff;
    /// The largest point as a function of the parameters.
    fn lexmax_pw_multi_aff(&self) -> PwMultiAff = isl_set_lexmax_pw_multi_aff;
    /// The least value of a dimension as a function of the parameters.
    fn dim_min(&self, pos: usize) -> PwAff = isl_set_dim_min;
    /// The greatest value of a dimension as a function of the parameters.
    fn dim_max(&self, pos: usize) -> PwAff = isl_set_dim_max;
    /// The image under a map.
    fn apply(&self, map: &Map) -> Set = isl_set_apply;
    /// The parameter values for which there is a point.
    fn params(&self) -> Set = isl_set_params;
    /// The set without some of its dimensions.
    fn project_out(&self, kind: DimType, first: usize, n: usize) -> Set = isl_set_project_out;
    /// The set with dimensions turned into others.
    fn move_dims(&self, to: DimType, to_pos: usize, from: DimType, from_pos: usize, n: usize)
        -> Set = isl_set_move_dims;
    /// More unconstrained dimensions at the end.
    fn add_dims(&self, kind: DimType, n: usize) -> Set = isl_set_add_dims;
    /// More unconstrained dimensions.
    fn insert_dims(&self, kind: DimType, pos: usize, n: usize) -> Set = isl_set_insert_dims;
    /// The parameters in the order of a space.
    fn align_params(&self, model: &Space) -> Set = isl_set_align_params;
    /// A dimension fixed to a value.
    fn fix_val(&self, kind: DimType, pos: usize, value: &Val) -> Set = isl_set_fix_val;
    /// A dimension bounded from below.
    fn lower_bound_val(&self, kind: DimType, pos: usize, value: &Val) -> Set
        = isl_set_lower_bound_val;
    /// A dimension bounded from above.
    fn upper_bound_val(&self, kind: DimType, pos: usize, value: &Val) -> Set
        = isl_set_upper_bound_val;
    /// Two dimensions made equal.
    fn equate(&self, kind: DimType, pos: usize, kind2: DimType, pos2: usize) -> Set
        = isl_set_equate;
    /// The set with a constraint more.
    fn add_constraint(&self, constraint: &Constraint) -> Set = isl_set_add_constraint;
    /// The product, with the pair of both tuples as its tuple.
    fn product(&self, other: &Set) -> Set = isl_set_product;
    /// The product with one flat tuple.
    fn flat_product(&self, other: &Set) -> Set = isl_set_flat_product;
    /// The map of a wrapped set.
    fn unwrap(&self) -> Map = isl_set_unwrap;
    /// The set with a nested tuple made flat.
    fn flatten(&self) -> Set = isl_set_flatten;
    /// The identity on the set.
    fn identity(&self) -> Map = isl_set_identity;
    /// The pairs with the left lexicographically smaller.
    fn lex_lt_set(&self, other: &Set) -> Map = isl_set_lex_lt_set;
    /// The pairs with the left lexicographically at most the right.
    fn lex_le_set(&self, other: &Set) -> Map = isl_set_lex_le_set;
    /// The pairs with the left lexicographically greater.
    fn lex_gt_set(&self, other: &Set) -> Map = isl_set_lex_gt_set;
    /// The pairs with the left lexicographically at least the right.
    fn lex_ge_set(&self, other: &Set) -> Map = isl_set_lex_ge_set;
    /// True without any point.
    fn is_empty(&self) -> bool = isl_set_is_empty;
    /// True if both have the same points.
    fn is_equal(&self, other: &Set) -> bool = isl_set_is_equal;
    /// True if every point is in the other set.
    fn is_subset(&self, other: &Set) -> bool = isl_set_is_subset;
    /// True if no point is in both.
    fn is_disjoint(&self, other: &Set) -> bool = isl_set_is_disjoint;
    /// True with at most one point for each value of the parameters.
    fn is_singleton(&self) -> bool = isl_set_is_singleton;
    /// True if finite for every value of the parameters.
    fn is_bounded(&self) -> bool = isl_set_is_bounded;
    /// True for a parameter domain.
    fn is_params(&self) -> bool = isl_set_is_params;
    /// True for a wrapped map.
    fn is_wrapping(&self) -> bool = isl_set_is_wrapping;
    /// True if the dimensions occur in the description.
    fn involves_dims(&self, kind: DimType, first: usize, n: usize) -> bool
        = isl_set_involves_dims;
    /// The number of points, by enumeration: for small sets, or under a deadline.
    fn count_val(&self) -> Val = isl_set_count_val;
    /// The conjunctions the set is made of.
    fn basic_sets(&self) -> Vec<BasicSet> = isl_set_get_basic_set_list;
    /// The number of conjunctions.
    fn n_basic_set(&self) -> usize = isl_set_n_basic_set;
    /// A basic set around it, made of its own constraints shifted.
    fn simple_hull(&self) -> BasicSet = isl_set_simple_hull;
    /// The smallest affine subspace around it.
    fn affine_hull(&self) -> BasicSet = isl_set_affine_hull;
    /// The convex hull of rational points.
    fn convex_hull(&self) -> BasicSet = isl_set_convex_hull;
    /// A box of constant size around it, its offset a function of the parameters.
    fn simple_fixed_box_hull(&self) -> FixedBox = isl_set_get_simple_fixed_box_hull;
    /// A basic set with one of its points, or an empty one.
    fn sample(&self) -> BasicSet = isl_set_sample;
    priv fn raw_sample_point(&self) -> Point = isl_set_sample_point;
    priv fn raw_max_val(&self, objective: &Aff) -> Val = isl_set_max_val;
    priv fn raw_min_val(&self, objective: &Aff) -> Val = isl_set_min_val;
    priv fn raw_dim_max_val(&self, pos: usize) -> Val = isl_set_dim_max_val;
    priv fn raw_dim_min_val(&self, pos: usize) -> Val = isl_set_dim_min_val;
} }

/// State of an enumeration: what was found, and why it stopped.
struct Points {
    ctx: Ctx,
    limit: usize,
    found: Vec<Point>,
    error: Option<Error>,
}

/// Receives each point of `isl_set_foreach_point`.
unsafe extern "C" fn collect_point(
    point: sys::Give<sys::isl_point>,
    user: *mut c_void,
) -> sys::Stat {
    // SAFETY: `user` is the `Points` of `Set::points`, which isl hands back while that call runs.
    let state = unsafe { &mut *user.cast::<Points>() };
    match Point::own(point.0, &state.ctx, "isl_set_foreach_point") {
        Ok(point) if state.found.len() < state.limit => {
            state.found.push(point);
            sys::Stat(0)
        }
        Ok(_) => {
            let words = format!("more than {} points", state.limit);
            state.error = Some(Error::own("isl_set_foreach_point", ErrorKind::Quota, words));
            sys::Stat(-1)
        }
        Err(error) => {
            state.error = Some(error);
            sys::Stat(-1)
        }
    }
}

impl Set {
    /// One point, if there is any.
    pub fn sample_point(&self) -> Result<Option<Point>> {
        let point = self.raw_sample_point()?;
        Ok(if point.is_void()? { None } else { Some(point) })
    }

    /// All points, parameters included; an error of kind `Quota` if there are more than `limit`.
    pub fn points(&self, limit: usize) -> Result<Vec<Point>> {
        let ctx = self.ctx().clone();
        let mut state = Points { ctx, limit, found: Vec::new(), error: None };
        self.ctx().start();
        // SAFETY: the set is live, the callback fits its user pointer, which outlives the call.
        let done = unsafe {
            let user = (&raw mut state).cast::<c_void>();
            sys::isl_set_foreach_point(sys::Keep(self.raw()), Some(collect_point), user)
        };
        match state.error.take() {
            Some(error) => Err(error),
            None if done.0 < 0 => Err(self.ctx().take_error("isl_set_foreach_point")),
            None => self.ctx().check_whole("isl_set_foreach_point").map(|()| state.found),
        }
    }

    /// A dimension fixed to an integer.
    pub fn fix_i64(&self, kind: DimType, pos: usize, value: i64) -> Result<Set> {
        self.fix_val(kind, pos, &Val::int_from_si(self.ctx(), value)?)
    }

    /// The greatest value of an affine expression over the set and its parameters.
    pub fn max_val(&self, objective: &Aff) -> Result<Extremum> {
        self.raw_max_val(objective)?.extremum()
    }

    /// The least value of an affine expression over the set and its parameters.
    pub fn min_val(&self, objective: &Aff) -> Result<Extremum> {
        self.raw_min_val(objective)?.extremum()
    }

    /// The greatest value of a dimension over the set and its parameters.
    pub fn dim_max_val(&self, pos: usize) -> Result<Extremum> {
        self.raw_dim_max_val(pos)?.extremum()
    }

    /// The least value of a dimension over the set and its parameters.
    pub fn dim_min_val(&self, pos: usize) -> Result<Extremum> {
        self.raw_dim_min_val(pos)?.extremum()
    }
}

methods! { BasicSet {
    /// The whole space.
    fn universe(space: &Space) -> BasicSet = isl_basic_set_universe;
    /// The space.
    fn space(&self) -> Space = isl_basic_set_get_space;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_basic_set_dim;
    /// The intersection.
    fn intersect(&self, other: &BasicSet) -> BasicSet = isl_basic_set_intersect;
    /// The image under a basic map.
    fn apply(&self, map: &BasicMap) -> BasicSet = isl_basic_set_apply;
    /// The constraints.
    fn constraints(&self) -> Vec<Constraint> = isl_basic_set_get_constraint_list;
    /// The basic set with a constraint more.
    fn add_constraint(&self, constraint: &Constraint) -> BasicSet = isl_basic_set_add_constraint;
    /// True without any point.
    fn is_empty(&self) -> bool = isl_basic_set_is_empty;
    /// True if both have the same points.
    fn is_equal(&self, other: &BasicSet) -> bool = isl_basic_set_is_equal;
    /// True if every point is in the other.
    fn is_subset(&self, other: &BasicSet) -> bool = isl_basic_set_is_subset;
    /// The same as a set.
    fn to_set(&self) -> Set = isl_basic_set_to_set;
} }

methods! { Constraint {
    /// The equality `0 = 0` of a local space, to be given coefficients.
    fn alloc_equality(space: &LocalSpace) -> Constraint = isl_constraint_alloc_equality;
    /// The inequality `0 >= 0` of a local space, to be given coefficients.
    fn alloc_inequality(space: &LocalSpace) -> Constraint = isl_constraint_alloc_inequality;
    /// The equality `aff = 0`.
    fn equality_from_aff(aff: &Aff) -> Constraint = isl_equality_from_aff;
    /// The inequality `aff >= 0`.
    fn inequality_from_aff(aff: &Aff) -> Constraint = isl_inequality_from_aff;
    /// True for an equality.
    fn is_equality(&self) -> bool = isl_constraint_is_equality;
    /// The expression compared with zero.
    fn aff(&self) -> Aff = isl_constraint_get_aff;
    /// The coefficient of a dimension.
    fn coefficient_val(&self, kind: DimType, pos: usize) -> Val
        = isl_constraint_get_coefficient_val;
    /// The constant term.
    fn constant_val(&self) -> Val = isl_constraint_get_constant_val;
    /// The constraint with a coefficient replaced.
    fn set_coefficient_val(&self, kind: DimType, pos: usize, value: &Val) -> Constraint
        = isl_constraint_set_coefficient_val;
    /// The constraint with its constant replaced.
    fn set_constant_val(&self, value: &Val) -> Constraint = isl_constraint_set_constant_val;
    /// True if the dimensions occur.
    fn involves_dims(&self, kind: DimType, first: usize, n: usize) -> bool
        = isl_constraint_involves_dims;
} }

methods! { Point {
    /// The origin.
    fn zero(space: &Space) -> Point = isl_point_zero;
    /// The space.
    fn space(&self) -> Space = isl_point_get_space;
    /// True for the point that stands for none.
    fn is_void(&self) -> bool = isl_point_is_void;
    /// A coordinate.
    fn coordinate_val(&self, kind: DimType, pos: usize) -> Val = isl_point_get_coordinate_val;
    /// The point with a coordinate replaced.
    fn set_coordinate_val(&self, kind: DimType, pos: usize, value: &Val) -> Point
        = isl_point_set_coordinate_val;
} }

impl Point {
    fn all(&self, kind: DimType) -> Result<Vec<i64>> {
        let n = self.space()?.dim(kind)?;
        (0..n).map(|i| self.coordinate_val(kind, i)?.to_i64()).collect()
    }

    /// The coordinates, without the parameters.
    pub fn coordinates(&self) -> Result<Vec<i64>> {
        self.all(DimType::Set)
    }

    /// The values of the parameters.
    pub fn parameters(&self) -> Result<Vec<i64>> {
        self.all(DimType::Param)
    }
}
