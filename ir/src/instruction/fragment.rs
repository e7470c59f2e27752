//! Fragments: which thread of a warp or warpgroup holds which element of a matrix, and where.
//!
//! A layout is two mixed-radix numbers: the thread's number and the element's number within the
//! thread, least significant digit first. Each digit moves along the rows or the columns.
//! Keeps: every element of the matrix has exactly one place (a test enumerates them).

/// One digit: `digit * stride` is added to the row or to the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digit {
    /// It moves along the columns, else along the rows.
    pub along_cols: bool,
    /// How many values it has.
    pub extent: i64,
    /// How far one step of it moves.
    pub stride: i64,
}

impl Digit {
    /// A digit along the rows.
    #[must_use]
    pub const fn rows(extent: i64, stride: i64) -> Self {
        Self { along_cols: false, extent, stride }
    }

    /// A digit along the columns.
    #[must_use]
    pub const fn cols(extent: i64, stride: i64) -> Self {
        Self { along_cols: true, extent, stride }
    }
}

/// The layout of one matrix over the registers of several threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentLayout {
    /// Rows of the matrix.
    pub rows: i64,
    /// Columns of the matrix.
    pub cols: i64,
    /// The digits of a thread's number.
    pub threads: Vec<Digit>,
    /// The digits of an element's number within its thread.
    pub values: Vec<Digit>,
}

fn position(digits: &[Digit], mut number: i64) -> [i64; 2] {
    let mut at = [0, 0];
    for d in digits {
        at[usize::from(d.along_cols)] += number % d.extent * d.stride;
        number /= d.extent;
    }
    at
}

impl FragmentLayout {
    /// How many threads hold it.
    #[must_use]
    pub fn n_threads(&self) -> i64 {
        self.threads.iter().map(|d| d.extent).product()
    }

    /// How many elements each thread holds.
    #[must_use]
    pub fn n_values(&self) -> i64 {
        self.values.iter().map(|d| d.extent).product()
    }

    /// Row and column of an element.
    #[must_use]
    pub fn element(&self, thread: i64, value: i64) -> [i64; 2] {
        let (t, v) = (position(&self.threads, thread), position(&self.values, value));
        [t[0] + v[0], t[1] + v[1]]
    }

    /// Row and column of a thread's first element.
    #[must_use]
    pub fn origin(&self, value: i64) -> [i64; 2] {
        position(&self.values, value)
    }

    /// How many neighbouring threads hold a row together, a power of two up to a warp's; none
    /// where others do.
    #[must_use]
    pub fn holders_of_row(&self) -> Option<i64> {
        let first: i64 =
            self.threads.iter().take_while(|d| d.along_cols).map(|d| d.extent).product();
        let mut rest = self.threads.iter().skip_while(|d| d.along_cols);
        let whole = first.count_ones() == 1 && first <= crate::kernel::device::WARP;
        (whole && !rest.any(|d| d.along_cols && d.extent > 1)).then_some(first)
    }

    /// Whether each warp's part is made of matrices as `ldmatrix` loads them, for elements of so
    /// many bytes, 1, 2 or 4: each thread holds four bytes of neighbours, four threads a row, eight
    /// rows a matrix; one register each.
    #[must_use]
    pub fn is_matrices(&self, bytes: i64) -> bool {
        let run = 4 / bytes;
        let whole = |d: &Digit| d.stride % if d.along_cols { 4 * run } else { 8 } == 0;
        let rest = match (run, self.values.split_first()) {
            (0, _) => return false,
            (1, _) => self.values.as_slice(),
            (_, Some((first, rest))) if *first == Digit::cols(run, 1) => rest,
            (_, _) => return false,
        };
        let warp = self.threads.get(..2) == Some(&[Digit::cols(4, run), Digit::rows(8, 1)]);
        let others = |d: &Digit| whole(d) && !d.along_cols;
        warp && rest.iter().all(whole) && self.threads[2..].iter().all(others)
    }

    /// In what a part of a fragment made of matrices of elements of so many bytes has to start and
    /// end, for each warp to hold as much of it: rows and columns.
    #[must_use]
    pub fn matrix_steps(&self, bytes: i64) -> [i64; 2] {
        [if self.threads.len() > 2 { self.rows } else { 8 }, 16 / bytes]
    }
}
