//! Basic sets from rows of numbers.
//!
//! In: coefficients. Out: a basic set, made at once. Why here: adding one constraint after the
//! other lets isl simplify the set each time, and reading a text takes longer than most questions
//! about the set that it says.

use std::ffi::{c_int, c_uint};

use crate::error::{Error, ErrorKind, Result};
use crate::handle::Handle as _;
use crate::set::BasicSet;
use crate::space::Space;
use crate::{Ctx, sys};

/// isl's names of the columns, in their order: dimensions of the set, integer divisions,
/// parameters, the constant.
const COLUMNS: [sys::Enum; 4] = [sys::Enum(3), sys::Enum(4), sys::Enum(1), sys::Enum(0)];

impl BasicSet {
    /// The points of a set's space that meet constraints. A row holds the coefficients of the
    /// dimensions, then of the parameters, then the constant; the sum is 0 in each row of
    /// `equalities` and at least 0 in each of `inequalities`.
    ///
    /// # Errors
    /// A row of another length than the space asks for; a failure of isl.
    pub fn from_rows(
        space: &Space,
        equalities: &[Vec<i64>],
        inequalities: &[Vec<i64>],
    ) -> Result<Self> {
        const CALL: &str = "isl_basic_set_from_constraint_matrices";
        use crate::space::DimType;
        let columns = space.dim(DimType::Set)? + space.dim(DimType::Param)? + 1;
        if equalities.iter().chain(inequalities).any(|row| row.len() != columns) {
            let words = format!("a row has not {columns} numbers");
            return Err(Error::own(CALL, ErrorKind::Invalid, words));
        }
        let ctx = space.ctx().clone();
        ctx.start();
        let [set, div, param, constant] = COLUMNS;
        // SAFETY: the space is live and copied for isl to take; the matrices are new, given up
        // here, and may be NULL, which isl hands on as an error; all are of one context.
        let raw = unsafe {
            sys::isl_basic_set_from_constraint_matrices(
                sys::Take(space.copied()),
                matrix(&ctx, columns, equalities),
                matrix(&ctx, columns, inequalities),
                set,
                div,
                param,
                constant,
            )
        };
        let out = Self::own(raw.0, &ctx, CALL)?;
        ctx.check_whole(CALL).map(|()| out)
    }
}

/// A new matrix; NULL after an error.
fn matrix(ctx: &Ctx, columns: usize, rows: &[Vec<i64>]) -> sys::Take<sys::isl_mat> {
    // SAFETY: the context is live; each step takes the matrix of the one before (NULL is handed on)
    // and a value made for it. Rows and columns are within the size just asked for, and every
    // element is set, since a new matrix has any.
    unsafe {
        let mut matrix = sys::isl_mat_alloc(ctx.raw(), rows.len() as c_uint, columns as c_uint).0;
        for (i, row) in rows.iter().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                let value = sys::isl_val_int_from_si(ctx.raw(), value).0;
                matrix = sys::isl_mat_set_element_val(
                    sys::Take(matrix),
                    i as c_int,
                    j as c_int,
                    sys::Take(value),
                )
                .0;
            }
        }
        sys::Take(matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DimType, Set};

    #[test]
    fn rows_say_the_same_as_text() {
        let ctx = Ctx::new();
        let text = "{ [i, j] : 0 <= i < 10 and j >= 0 and 2i + 3j = 12 }";
        let expected = Set::parse(&ctx, text).unwrap();
        let space = Space::set_alloc(&ctx, 0, 2).unwrap();
        let (equal, least) =
            (vec![vec![2, 3, -12]], vec![vec![1, 0, 0], vec![-1, 0, 9], vec![0, 1, 0]]);
        let made = BasicSet::from_rows(&space, &equal, &least).unwrap().to_set().unwrap();
        assert!(made.is_equal(&expected).unwrap());
        let whole = BasicSet::from_rows(&space, &[], &[]).unwrap();
        assert!(whole.is_equal(&BasicSet::universe(&space).unwrap()).unwrap());
        let none = BasicSet::from_rows(&space, &[vec![2, 4, 1]], &[]).unwrap();
        assert!(none.is_empty().unwrap(), "2 i + 4 j is never odd");
    }

    #[test]
    fn parameters_follow_the_dimensions() {
        let ctx = Ctx::new();
        let expected = Set::parse(&ctx, "[n] -> { [i] : 0 <= i < n }").unwrap();
        let space = expected.space().unwrap();
        assert_eq!(space.dim(DimType::Param).unwrap(), 1);
        let least = [vec![1, 0, 0], vec![-1, 1, -1]];
        let made = BasicSet::from_rows(&space, &[], &least).unwrap().to_set().unwrap();
        assert!(made.is_equal(&expected).unwrap());
    }

    #[test]
    fn a_row_of_another_length_is_refused() {
        let ctx = Ctx::new();
        let space = Space::set_alloc(&ctx, 0, 2).unwrap();
        assert!(BasicSet::from_rows(&space, &[], &[vec![1, 0]]).is_err());
    }
}
