//! Affine functions: single, in pieces, in tuples, and over several spaces.

use crate::error::Result;
use crate::handle::{FromC, Handle};
use crate::map::Map;
use crate::set::{Point, Set};
use crate::space::{DimType, Id, LocalSpace, Space};
use crate::val::{MultiVal, Val};
use crate::{BasicSet, Ctx, UnionMap, UnionSet, sys};
use std::ffi::c_void;

handle! {
    /// A quasi-affine expression.
    Aff: isl_aff, copy isl_aff_copy, free isl_aff_free, clone isl_aff_copy, str isl_aff_to_str,
    parse isl_aff_read_from_str
}
handle! {
    /// A quasi-affine expression in pieces.
    PwAff: isl_pw_aff, copy isl_pw_aff_copy, free isl_pw_aff_free, clone isl_pw_aff_copy,
    str isl_pw_aff_to_str, parse isl_pw_aff_read_from_str
}
handle! {
    /// A tuple of quasi-affine expressions.
    MultiAff: isl_multi_aff, copy isl_multi_aff_copy, free isl_multi_aff_free,
    clone isl_multi_aff_copy, str isl_multi_aff_to_str, parse isl_multi_aff_read_from_str
}
handle! {
    /// A tuple of quasi-affine expressions, in pieces.
    PwMultiAff: isl_pw_multi_aff, copy isl_pw_multi_aff_copy, free isl_pw_multi_aff_free,
    clone isl_pw_multi_aff_copy, str isl_pw_multi_aff_to_str,
    parse isl_pw_multi_aff_read_from_str
}
handle! {
    /// A tuple of expressions in pieces.
    MultiPwAff: isl_multi_pw_aff, copy isl_multi_pw_aff_copy, free isl_multi_pw_aff_free,
    clone isl_multi_pw_aff_copy, str isl_multi_pw_aff_to_str,
    parse isl_multi_pw_aff_read_from_str
}
handle! {
    /// An expression in pieces over several spaces.
    UnionPwAff: isl_union_pw_aff, copy isl_union_pw_aff_copy, free isl_union_pw_aff_free,
    clone isl_union_pw_aff_copy, str isl_union_pw_aff_to_str,
    parse isl_union_pw_aff_read_from_str
}
handle! {
    /// A function in pieces over several spaces.
    UnionPwMultiAff: isl_union_pw_multi_aff, copy isl_union_pw_multi_aff_copy,
    free isl_union_pw_multi_aff_free, clone isl_union_pw_multi_aff_copy,
    str isl_union_pw_multi_aff_to_str, parse isl_union_pw_multi_aff_read_from_str
}
handle! {
    /// A tuple of expressions in pieces over several spaces: the schedule of a band.
    MultiUnionPwAff: isl_multi_union_pw_aff, copy isl_multi_union_pw_aff_copy,
    free isl_multi_union_pw_aff_free, clone isl_multi_union_pw_aff_copy,
    str isl_multi_union_pw_aff_to_str, parse isl_multi_union_pw_aff_read_from_str
}

list! { Aff, isl_aff_list, alloc isl_aff_list_alloc, add isl_aff_list_add }
list! { PwAff, isl_pw_aff_list, size isl_pw_aff_list_n_pw_aff, at isl_pw_aff_list_get_at,
free isl_pw_aff_list_free }
list! { PwMultiAff, isl_pw_multi_aff_list, size isl_pw_multi_aff_list_n_pw_multi_aff,
at isl_pw_multi_aff_list_get_at, free isl_pw_multi_aff_list_free }
list! { UnionPwAff, isl_union_pw_aff_list, alloc isl_union_pw_aff_list_alloc,
add isl_union_pw_aff_list_add }

methods! { Aff {
    /// Zero on a domain.
    fn zero_on_domain_space(space: &Space) -> Aff = isl_aff_zero_on_domain_space;
    /// A constant on a domain.
    fn val_on_domain_space(space: &Space, value: &Val) -> Aff = isl_aff_val_on_domain_space;
    /// A dimension or parameter of a domain.
    fn var_on_domain(space: &LocalSpace, kind: DimType, pos: usize) -> Aff
        = isl_aff_var_on_domain;
    /// A parameter by name, on a domain.
    fn param_on_domain_space_id(space: &Space, id: &Id) -> Aff = isl_aff_param_on_domain_space_id;
    /// The space, a map space.
    fn space(&self) -> Space = isl_aff_get_space;
    /// The domain with its integer divisions.
    fn domain_local_space(&self) -> LocalSpace = isl_aff_get_domain_local_space;
    /// The number of dimensions of a kind (`In` are those of the domain).
    fn dim(&self, kind: DimType) -> usize = isl_aff_dim;
    /// The constant term.
    fn constant_val(&self) -> Val = isl_aff_get_constant_val;
    /// The coefficient of a dimension.
    fn coefficient_val(&self, kind: DimType, pos: usize) -> Val = isl_aff_get_coefficient_val;
    /// The common denominator.
    fn denominator_val(&self) -> Val = isl_aff_get_denominator_val;
    /// The integer division at a position.
    fn div_at(&self, pos: usize) -> Aff = isl_aff_get_div;
    /// With the constant term replaced.
    fn set_constant_val(&self, value: &Val) -> Aff = isl_aff_set_constant_val;
    /// With a number added.
    fn add_constant_val(&self, value: &Val) -> Aff = isl_aff_add_constant_val;
    /// With a coefficient replaced.
    fn set_coefficient_val(&self, kind: DimType, pos: usize, value: &Val) -> Aff
        = isl_aff_set_coefficient_val;
    /// The sum.
    fn add(&self, other: &Aff) -> Aff = isl_aff_add;
    /// The difference.
    fn sub(&self, other: &Aff) -> Aff = isl_aff_sub;
    /// The product; one of the two must be constant.
    fn mul(&self, other: &Aff) -> Aff = isl_aff_mul;
    /// The negation.
    fn neg(&self) -> Aff = isl_aff_neg;
    /// Rounded down.
    fn floor(&self) -> Aff = isl_aff_floor;
    /// Rounded up.
    fn ceil(&self) -> Aff = isl_aff_ceil;
    /// The remainder of a floor division by a number.
    fn mod_val(&self, value: &Val) -> Aff = isl_aff_mod_val;
    /// Times a number.
    fn scale_val(&self, value: &Val) -> Aff = isl_aff_scale_val;
    /// Divided by a number, as a rational.
    fn scale_down_val(&self, value: &Val) -> Aff = isl_aff_scale_down_val;
    /// Composed with a function on the domain.
    fn pullback_multi_aff(&self, value: &MultiAff) -> Aff = isl_aff_pullback_multi_aff;
    /// The value at a point.
    fn eval(&self, point: &Point) -> Val = isl_aff_eval;
    /// The domain where the expressions agree.
    fn eq_set(&self, other: &Aff) -> Set = isl_aff_eq_set;
    /// The domain where this is at most the other.
    fn le_set(&self, other: &Aff) -> Set = isl_aff_le_set;
    /// The domain where this is less than the other.
    fn lt_set(&self, other: &Aff) -> Set = isl_aff_lt_set;
    /// The domain where this is at least the other.
    fn ge_set(&self, other: &Aff) -> Set = isl_aff_ge_set;
    /// The domain where this is zero.
    fn zero_basic_set(&self) -> BasicSet = isl_aff_zero_basic_set;
    /// True for a constant.
    fn is_cst(&self) -> bool = isl_aff_is_cst;
    /// True if the same after normalisation.
    fn plain_is_equal(&self, other: &Aff) -> bool = isl_aff_plain_is_equal;
    /// True if the dimensions occur.
    fn involves_dims(&self, kind: DimType, first: usize, n: usize) -> bool
        = isl_aff_involves_dims;
} }

methods! { PwAff {
    /// One piece on the whole domain.
    fn from_aff(value: &Aff) -> PwAff = isl_pw_aff_from_aff;
    /// A number on a domain.
    fn val_on_domain(domain: &Set, value: &Val) -> PwAff = isl_pw_aff_val_on_domain;
    /// The space.
    fn space(&self) -> Space = isl_pw_aff_get_space;
    /// Where it is defined.
    fn domain(&self) -> Set = isl_pw_aff_domain;
    /// The sum where both are defined.
    fn add(&self, other: &PwAff) -> PwAff = isl_pw_aff_add;
    /// The difference where both are defined.
    fn sub(&self, other: &PwAff) -> PwAff = isl_pw_aff_sub;
    /// The product; one of the two must be constant.
    fn mul(&self, other: &PwAff) -> PwAff = isl_pw_aff_mul;
    /// The negation.
    fn neg(&self) -> PwAff = isl_pw_aff_neg;
    /// The greater of the two.
    fn max(&self, other: &PwAff) -> PwAff = isl_pw_aff_max;
    /// The lesser of the two.
    fn min(&self, other: &PwAff) -> PwAff = isl_pw_aff_min;
    /// Rounded down.
    fn floor(&self) -> PwAff = isl_pw_aff_floor;
    /// Rounded up.
    fn ceil(&self) -> PwAff = isl_pw_aff_ceil;
    /// The remainder of a floor division by a number.
    fn mod_val(&self, value: &Val) -> PwAff = isl_pw_aff_mod_val;
    /// Times a number.
    fn scale_val(&self, value: &Val) -> PwAff = isl_pw_aff_scale_val;
    /// The same in fewer pieces.
    fn coalesce(&self) -> PwAff = isl_pw_aff_coalesce;
    /// Simplified given the domain.
    fn gist(&self, context: &Set) -> PwAff = isl_pw_aff_gist;
    /// With its domain made smaller.
    fn intersect_domain(&self, set: &Set) -> PwAff = isl_pw_aff_intersect_domain;
    /// The value at a point.
    fn eval(&self, point: &Point) -> Val = isl_pw_aff_eval;
    /// True if constant in every piece.
    fn is_cst(&self) -> bool = isl_pw_aff_is_cst;
    /// True if both are the same function.
    fn is_equal(&self, other: &PwAff) -> bool = isl_pw_aff_is_equal;
    /// True if there is one piece on the whole space.
    fn isa_aff(&self) -> bool = isl_pw_aff_isa_aff;
    /// The expression of the one piece.
    fn as_aff(&self) -> Aff = isl_pw_aff_as_aff;
    /// The number of pieces.
    fn n_piece(&self) -> usize = isl_pw_aff_n_piece;
    priv fn raw_max_val(&self) -> Val = isl_pw_aff_max_val;
    priv fn raw_min_val(&self) -> Val = isl_pw_aff_min_val;
} }

methods! { MultiAff {
    /// The identity of a set space.
    fn identity_on_domain_space(space: &Space) -> MultiAff
        = isl_multi_aff_identity_on_domain_space;
    /// All elements zero.
    fn zero(space: &Space) -> MultiAff = isl_multi_aff_zero;
    /// A tuple of expressions of a map space.
    fn from_aff_list(space: &Space, elements: &[Aff]) -> MultiAff = isl_multi_aff_from_aff_list;
    /// The space.
    fn space(&self) -> Space = isl_multi_aff_get_space;
    /// The number of elements.
    fn size(&self) -> usize = isl_multi_aff_size;
    /// The element at a position.
    fn at(&self, pos: usize) -> Aff = isl_multi_aff_get_at;
    /// With an element replaced.
    fn set_at(&self, pos: usize, value: &Aff) -> MultiAff = isl_multi_aff_set_at;
    /// The sum.
    fn add(&self, other: &MultiAff) -> MultiAff = isl_multi_aff_add;
    /// Composed with a function on the domain.
    fn pullback_multi_aff(&self, value: &MultiAff) -> MultiAff
        = isl_multi_aff_pullback_multi_aff;
    /// The elements of both as one flat tuple.
    fn flat_range_product(&self, other: &MultiAff) -> MultiAff
        = isl_multi_aff_flat_range_product;
    /// One piece on the whole domain.
    fn to_pw_multi_aff(&self) -> PwMultiAff = isl_multi_aff_to_pw_multi_aff;
    /// True if the same after normalisation.
    fn plain_is_equal(&self, other: &MultiAff) -> bool = isl_multi_aff_plain_is_equal;
} }

methods! { PwMultiAff {
    /// The function a single-valued map is.
    fn from_map(map: &Map) -> PwMultiAff = isl_pw_multi_aff_from_map;
    /// The constant a singleton set is.
    fn from_set(set: &Set) -> PwMultiAff = isl_pw_multi_aff_from_set;
    /// The tuple in common pieces.
    fn from_multi_pw_aff(value: &MultiPwAff) -> PwMultiAff = isl_pw_multi_aff_from_multi_pw_aff;
    /// The space.
    fn space(&self) -> Space = isl_pw_multi_aff_get_space;
    /// The number of dimensions of a kind.
    fn dim(&self, kind: DimType) -> usize = isl_pw_multi_aff_dim;
    /// The element at a position.
    fn at(&self, pos: usize) -> PwAff = isl_pw_multi_aff_get_at;
    /// Where it is defined.
    fn domain(&self) -> Set = isl_pw_multi_aff_domain;
    /// The same in fewer pieces.
    fn coalesce(&self) -> PwMultiAff = isl_pw_multi_aff_coalesce;
    /// Simplified given the domain.
    fn gist(&self, context: &Set) -> PwMultiAff = isl_pw_multi_aff_gist;
    /// With its domain made smaller.
    fn intersect_domain(&self, set: &Set) -> PwMultiAff = isl_pw_multi_aff_intersect_domain;
    /// Composed with a function on the domain.
    fn pullback_pw_multi_aff(&self, value: &PwMultiAff) -> PwMultiAff
        = isl_pw_multi_aff_pullback_pw_multi_aff;
    /// Its graph.
    fn as_map(&self) -> Map = isl_pw_multi_aff_as_map;
    /// True if there is one piece on the whole space.
    fn isa_multi_aff(&self) -> bool = isl_pw_multi_aff_isa_multi_aff;
    /// The function of the one piece.
    fn as_multi_aff(&self) -> MultiAff = isl_pw_multi_aff_as_multi_aff;
    /// The number of pieces.
    fn n_piece(&self) -> usize = isl_pw_multi_aff_n_piece;
} }

methods! { MultiPwAff {
    /// The function as a tuple.
    fn from_pw_multi_aff(value: &PwMultiAff) -> MultiPwAff = isl_multi_pw_aff_from_pw_multi_aff;
    /// The space.
    fn space(&self) -> Space = isl_multi_pw_aff_get_space;
    /// The number of elements.
    fn size(&self) -> usize = isl_multi_pw_aff_size;
    /// The element at a position.
    fn at(&self, pos: usize) -> PwAff = isl_multi_pw_aff_get_at;
    /// Where every element is defined.
    fn domain(&self) -> Set = isl_multi_pw_aff_domain;
    /// The same in fewer pieces.
    fn coalesce(&self) -> MultiPwAff = isl_multi_pw_aff_coalesce;
    /// Simplified given the domain.
    fn gist(&self, context: &Set) -> MultiPwAff = isl_multi_pw_aff_gist;
    /// Its graph.
    fn as_map(&self) -> Map = isl_multi_pw_aff_as_map;
} }

methods! { UnionPwAff {
    /// The union of one function.
    fn from_pw_aff(value: &PwAff) -> UnionPwAff = isl_union_pw_aff_from_pw_aff;
    /// A number on sets.
    fn val_on_domain(domain: &UnionSet, value: &Val) -> UnionPwAff
        = isl_union_pw_aff_val_on_domain;
    /// The functions, one a space.
    fn pw_affs(&self) -> Vec<PwAff> = isl_union_pw_aff_get_pw_aff_list;
    /// Where it is defined.
    fn domain(&self) -> UnionSet = isl_union_pw_aff_domain;
    /// The function where one is defined, the sum where both are.
    fn union_add(&self, other: &UnionPwAff) -> UnionPwAff = isl_union_pw_aff_union_add;
    /// The sum where both are defined.
    fn add(&self, other: &UnionPwAff) -> UnionPwAff = isl_union_pw_aff_add;
    /// Times a number.
    fn scale_val(&self, value: &Val) -> UnionPwAff = isl_union_pw_aff_scale_val;
    /// Divided by a number, as a rational.
    fn scale_down_val(&self, value: &Val) -> UnionPwAff = isl_union_pw_aff_scale_down_val;
    /// Rounded down.
    fn floor(&self) -> UnionPwAff = isl_union_pw_aff_floor;
    /// The remainder of a floor division by a number.
    fn mod_val(&self, value: &Val) -> UnionPwAff = isl_union_pw_aff_mod_val;
    /// With its domain made smaller.
    fn intersect_domain(&self, set: &UnionSet) -> UnionPwAff
        = isl_union_pw_aff_intersect_domain;
} }

methods! { UnionPwMultiAff {
    /// The function a single-valued union map is.
    fn from_union_map(map: &UnionMap) -> UnionPwMultiAff = isl_union_pw_multi_aff_from_union_map;
    /// The union of one function.
    fn from_pw_multi_aff(value: &PwMultiAff) -> UnionPwMultiAff
        = isl_union_pw_multi_aff_from_pw_multi_aff;
    /// The functions, one a space.
    fn pw_multi_affs(&self) -> Vec<PwMultiAff> = isl_union_pw_multi_aff_get_pw_multi_aff_list;
    /// Where it is defined.
    fn domain(&self) -> UnionSet = isl_union_pw_multi_aff_domain;
    /// Its graph.
    fn as_union_map(&self) -> UnionMap = isl_union_pw_multi_aff_as_union_map;
    /// Composed with a function on the domain.
    fn pullback_union_pw_multi_aff(&self, value: &UnionPwMultiAff) -> UnionPwMultiAff
        = isl_union_pw_multi_aff_pullback_union_pw_multi_aff;
} }

methods! { MultiUnionPwAff {
    /// A tuple of functions of a set space (the space of the values).
    fn from_union_pw_aff_list(space: &Space, elements: &[UnionPwAff]) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_from_union_pw_aff_list;
    /// A tuple of one.
    fn from_union_pw_aff(value: &UnionPwAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_from_union_pw_aff;
    /// The function a union map with one range space is.
    fn from_union_map(map: &UnionMap) -> MultiUnionPwAff = isl_multi_union_pw_aff_from_union_map;
    /// The function as a tuple.
    fn from_union_pw_multi_aff(value: &UnionPwMultiAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_from_union_pw_multi_aff;
    /// All elements zero.
    fn zero(space: &Space) -> MultiUnionPwAff = isl_multi_union_pw_aff_zero;
    /// Constants on sets.
    fn multi_val_on_domain(domain: &UnionSet, values: &MultiVal) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_multi_val_on_domain;
    /// The space of the values.
    fn space(&self) -> Space = isl_multi_union_pw_aff_get_space;
    /// The number of elements.
    fn size(&self) -> usize = isl_multi_union_pw_aff_size;
    /// The element at a position.
    fn at(&self, pos: usize) -> UnionPwAff = isl_multi_union_pw_aff_get_at;
    /// With an element replaced.
    fn set_at(&self, pos: usize, value: &UnionPwAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_set_at;
    /// Where every element is defined.
    fn domain(&self) -> UnionSet = isl_multi_union_pw_aff_domain;
    /// With its domain made smaller.
    fn intersect_domain(&self, set: &UnionSet) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_intersect_domain;
    /// Simplified given the domain.
    fn gist(&self, context: &UnionSet) -> MultiUnionPwAff = isl_multi_union_pw_aff_gist;
    /// The elements of both as one flat tuple.
    fn flat_range_product(&self, other: &MultiUnionPwAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_flat_range_product;
    /// The function where one is defined, the sum where both are.
    fn union_add(&self, other: &MultiUnionPwAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_union_add;
    /// Without elements `first..first + n` (kind `Out`).
    fn drop_dims(&self, kind: DimType, first: usize, n: usize) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_drop_dims;
    /// With the tuple of the values named.
    fn set_tuple_name(&self, kind: DimType, name: &str) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_set_tuple_name;
    /// With the tuple of the values unnamed.
    fn reset_tuple_id(&self, kind: DimType) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_reset_tuple_id;
    /// Composed with a function on the domain.
    fn pullback_union_pw_multi_aff(&self, value: &UnionPwMultiAff) -> MultiUnionPwAff
        = isl_multi_union_pw_aff_pullback_union_pw_multi_aff;
} }

/// The pieces found so far, or what went wrong.
struct Pieces<F> {
    ctx: Ctx,
    found: Result<Vec<(Set, F)>>,
}

impl<F: Handle> Pieces<F> {
    /// Takes over both pointers; false stops the enumeration.
    fn push(&mut self, set: *mut sys::isl_set, value: *mut F::Raw) -> bool {
        let set = Set::own(set, &self.ctx, "foreach_piece");
        let value = F::own(value, &self.ctx, "foreach_piece");
        match (set.and_then(|s| Ok((s, value?))), &mut self.found) {
            (Ok(pair), Ok(found)) => {
                found.push(pair);
                true
            }
            (Err(error), found) => {
                *found = Err(error);
                false
            }
            (Ok(_), Err(_)) => false,
        }
    }
}

/// Receives a piece of `isl_pw_aff_foreach_piece`.
unsafe extern "C" fn aff_piece(
    set: sys::Give<sys::isl_set>,
    value: sys::Give<sys::isl_aff>,
    user: *mut c_void,
) -> sys::Stat {
    // SAFETY: `user` is the `Pieces` of the running `PwAff::pieces`.
    let state = unsafe { &mut *user.cast::<Pieces<Aff>>() };
    sys::Stat(if state.push(set.0, value.0) { 0 } else { -1 })
}

/// Receives a piece of `isl_pw_multi_aff_foreach_piece`.
unsafe extern "C" fn multi_aff_piece(
    set: sys::Give<sys::isl_set>,
    value: sys::Give<sys::isl_multi_aff>,
    user: *mut c_void,
) -> sys::Stat {
    // SAFETY: `user` is the `Pieces` of the running `PwMultiAff::pieces`.
    let state = unsafe { &mut *user.cast::<Pieces<MultiAff>>() };
    sys::Stat(if state.push(set.0, value.0) { 0 } else { -1 })
}

impl PwAff {
    /// The pieces: where, and which expression.
    pub fn pieces(&self) -> Result<Vec<(Set, Aff)>> {
        let mut state = Pieces { ctx: self.ctx().clone(), found: Ok(Vec::new()) };
        self.ctx().start();
        // SAFETY: the function is live, the callback fits its user pointer, which outlives
        // the call.
        let done = unsafe {
            let user = (&raw mut state).cast::<c_void>();
            sys::isl_pw_aff_foreach_piece(sys::Keep(self.raw()), Some(aff_piece), user)
        };
        let found = state.found?;
        <() as FromC<sys::Stat>>::from_c(done, self.ctx(), "isl_pw_aff_foreach_piece")?;
        self.ctx().check_whole("isl_pw_aff_foreach_piece").map(|()| found)
    }

    /// The greatest value.
    pub fn max_val(&self) -> Result<crate::val::Extremum> {
        self.raw_max_val()?.extremum()
    }

    /// The least value.
    pub fn min_val(&self) -> Result<crate::val::Extremum> {
        self.raw_min_val()?.extremum()
    }
}

impl PwMultiAff {
    /// The pieces: where, and which function.
    pub fn pieces(&self) -> Result<Vec<(Set, MultiAff)>> {
        let mut state = Pieces { ctx: self.ctx().clone(), found: Ok(Vec::new()) };
        let call = "isl_pw_multi_aff_foreach_piece";
        self.ctx().start();
        // SAFETY: the function is live, the callback fits its user pointer, which outlives
        // the call.
        let done = unsafe {
            let user = (&raw mut state).cast::<c_void>();
            sys::isl_pw_multi_aff_foreach_piece(sys::Keep(self.raw()), Some(multi_aff_piece), user)
        };
        let found = state.found?;
        <() as FromC<sys::Stat>>::from_c(done, self.ctx(), call)?;
        self.ctx().check_whole(call).map(|()| found)
    }
}
