//! Numbers of isl: rationals of any size, the infinities and NaN, and tuples of them.

use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle;
use crate::space::{DimType, Space};
use crate::{Ctx, sys};

handle! {
    /// A rational number of any size, an infinity or NaN.
    Val: isl_val, copy isl_val_copy, free isl_val_free, clone isl_val_copy, str isl_val_to_str,
    parse isl_val_read_from_str
}
handle! {
    /// A tuple of numbers in a space.
    MultiVal: isl_multi_val, copy isl_multi_val_copy, free isl_multi_val_free,
    clone isl_multi_val_copy, str isl_multi_val_to_str, parse isl_multi_val_read_from_str
}

list! { Val, isl_val_list, alloc isl_val_list_alloc, add isl_val_list_add }

/// The largest or smallest value of a function over a set.
#[derive(Clone, Debug)]
pub enum Extremum {
    /// It is this rational number.
    Value(Val),
    /// There is no bound.
    Unbounded,
    /// The set is empty.
    Empty,
}

methods! { Val {
    /// The integer `value`.
    fn int_from_si(ctx: &Ctx, value: i64) -> Val = isl_val_int_from_si;
    /// The sum.
    fn add(&self, other: &Val) -> Val = isl_val_add;
    /// The difference.
    fn sub(&self, other: &Val) -> Val = isl_val_sub;
    /// The product.
    fn mul(&self, other: &Val) -> Val = isl_val_mul;
    /// The quotient, a rational; NaN for division by zero.
    fn div(&self, other: &Val) -> Val = isl_val_div;
    /// The remainder of integers, with the sign of a floor division.
    fn modulo(&self, other: &Val) -> Val = isl_val_mod;
    /// The negation.
    fn neg(&self) -> Val = isl_val_neg;
    /// The largest integer not above.
    fn floor(&self) -> Val = isl_val_floor;
    /// The smallest integer not below.
    fn ceil(&self) -> Val = isl_val_ceil;
    /// The denominator.
    fn den_val(&self) -> Val = isl_val_get_den_val;
    /// True for an integer.
    fn is_int(&self) -> bool = isl_val_is_int;
    /// True for a rational number, integers included.
    fn is_rat(&self) -> bool = isl_val_is_rat;
    /// True for NaN.
    fn is_nan(&self) -> bool = isl_val_is_nan;
    /// True for positive infinity.
    fn is_infty(&self) -> bool = isl_val_is_infty;
    /// True for negative infinity.
    fn is_neginfty(&self) -> bool = isl_val_is_neginfty;
    /// True for zero.
    fn is_zero(&self) -> bool = isl_val_is_zero;
    /// True for one.
    fn is_one(&self) -> bool = isl_val_is_one;
    /// True below zero.
    fn is_neg(&self) -> bool = isl_val_is_neg;
    /// True above zero.
    fn is_pos(&self) -> bool = isl_val_is_pos;
    /// True if both are the same number; false if one is NaN.
    fn eq(&self, other: &Val) -> bool = isl_val_eq;
    /// True if less than `other`.
    fn lt(&self, other: &Val) -> bool = isl_val_lt;
    /// True if at most `other`.
    fn le(&self, other: &Val) -> bool = isl_val_le;
} }

impl Val {
    /// The value as an `i64`; an error if it is not an integer or does not fit.
    pub fn to_i64(&self) -> Result<i64> {
        let refuse = |text: &str| {
            Error::own("isl_val_get_num_si", ErrorKind::Invalid, format!("{text} is not an i64"))
        };
        if !self.is_int()? {
            return Err(refuse(&self.to_str()?));
        }
        self.ctx().start();
        // SAFETY: the value is live; a numerator that does not fit is noted as an error.
        let number = unsafe { sys::isl_val_get_num_si(sys::Keep(self.raw())) };
        if self.ctx().has_error() {
            self.ctx().start();
            return Err(refuse(&self.to_str()?));
        }
        Ok(number)
    }

    /// Sorts the answer of isl's optimisers into a number, no bound, and an empty set.
    pub(crate) fn extremum(self) -> Result<Extremum> {
        if self.is_nan()? {
            return Ok(Extremum::Empty);
        }
        Ok(if self.is_rat()? { Extremum::Value(self) } else { Extremum::Unbounded })
    }
}

methods! { MultiVal {
    /// The number of elements.
    fn size(&self) -> usize = isl_multi_val_size;
    /// The element at a position.
    fn at(&self, pos: usize) -> Val = isl_multi_val_get_at;
    /// The tuple with one element replaced.
    fn set_at(&self, pos: usize, value: &Val) -> MultiVal = isl_multi_val_set_at;
    /// The space of the tuple.
    fn space(&self) -> Space = isl_multi_val_get_space;
    /// A tuple of as many numbers as the space has set dimensions.
    fn from_val_list(space: &Space, values: &[Val]) -> MultiVal = isl_multi_val_from_val_list;
} }

impl MultiVal {
    /// A tuple of integers in a set space.
    pub fn from_i64s(space: &Space, values: &[i64]) -> Result<MultiVal> {
        let dim = space.dim(DimType::Set)?;
        if dim != values.len() {
            let words = format!("{} numbers for a space of {dim} dimensions", values.len());
            return Err(Error::own("isl_multi_val_from_val_list", ErrorKind::Invalid, words));
        }
        let list: Result<Vec<Val>> =
            values.iter().map(|&v| Val::int_from_si(space.ctx(), v)).collect();
        MultiVal::from_val_list(space, &list?)
    }

    /// The elements as integers; an error if one is not or does not fit.
    pub fn to_i64s(&self) -> Result<Vec<i64>> {
        (0..self.size()?).map(|i| self.at(i)?.to_i64()).collect()
    }
}
