//! The guard: which results the emulation gives to grade A, decided from the rows and columns.
//!
//! In: a nest's writer. Out: text of statements that say how wide each row and column is, and of
//! the condition under which a result is not certain.
//! Keeps: a result that is not summed natively is off by at most (K + 2)·u·Σ|a||b|, whatever the
//! data. All is integer arithmetic: the choice is the same on every device.
//! Why here: nothing but this knows why the condition suffices.
//! Source: ours. Elements |a| >= 2^(e - d), with e the exponent of the row's largest, have by the
//! inequality of the means Σ|a||b| >= n·2^(eA + eB - (ΣdA + ΣdB)/n) over the n terms of which
//! neither factor is zero, however rows and columns are aligned: no product is needed. The error of
//! cut elements is at most 2^-c(a)·|b|_1 + |a|_1·2^-c(b), and |a|_1 at most the root of K times the
//! norm, which is in `n`; docs/ozaki.md puts both together.

use warploom_ir::dtype::DType;

use super::text::{Side, Writer, list, size};

/// Where the number of zeros begins in a word, above the sum of exponents.
const ZEROS: u32 = 40;

impl Writer<'_> {
    /// What the nest says of its accuracy.
    pub(super) fn promise(&self) -> String {
        let unit = if self.dtype() == DType::F32 { 24 } else { 53 };
        let terms = if self.options.complex { "(3 K + 3)" } else { "(K + 2)" };
        format!(
            "# Grade A: every element is off by at most {terms} 2^-{unit} |A||B|; those for which \
             its rows' and\n# columns' exponents do not prove that are sums of K native products.\n"
        )
    }

    /// How wide a row or column is: `h` the binary logarithm of its squared norm over that of its
    /// largest power of two, rounded up, and `w` its zeros (and subnormal numbers) with the sum of
    /// the exponents by which others are below the largest.
    pub(super) fn certificate(&self, side: &Side<'_>) -> String {
        let (u, x, lines) = (side.upper, side.lower, list(&side.lines));
        let digits = if self.dtype() == DType::F32 { 23 } else { 52 };
        let (magnitude, normal) = (self.magnitude(side), 1_u64 << digits);
        let exponent = |bits: &str| {
            let shifted = format!("shr({bits}, {digits})");
            if digits == 23 { format!("cast_i64({shifted})") } else { shifted }
        };
        let largest = exponent(&format!("m{x}[{lines}]"));
        format!(
            "  H{u}: h{x}[{lines}] = exponent(cast_f64(max(n{x}[{lines}], 1))) - {}\n  \
             W{u}0: w{x}[{lines}] = 0\n  for {} {{\n    \
             W{u}1: w{x}[{lines}] += select({magnitude} < {normal}, {},\n      \
             {largest} - {}) order any\n  }}\n",
            2 * i64::from(self.norm()) - 1,
            super::text::loops(&self.p.sums),
            1_u64 << ZEROS,
            exponent(&magnitude),
        )
    }

    /// Whether a result has to be summed natively: it is `special`, or neither its row nor its
    /// column is zero and the bound on its error exceeds K·u times that on Σ|a||b|.
    pub(super) fn uncertain(&self, special: &str, rows: &str, columns: &str) -> String {
        let terms = self.p.sums.iter().map(|i| size(*i)).collect::<Vec<_>>().join(" * ");
        let digits = if self.dtype() == DType::F32 { 24 } else { 53 };
        let own = 2 * digits + 3 + if self.options.complex { 2 } else { 0 };
        let wide = format!("(wa[{rows}] + wb[{columns}])");
        let count = format!("(cast_i64({terms}) - shr({wide}, {ZEROS}))");
        let room = format!(
            "cast_i64({} - ha[{rows}] - hb[{columns}]\n    \
             + exponent(cast_f32(max(cast_i64({terms}), 1)))\n    \
             + 2 * exponent(cast_f32(max({count}, 1))))",
            i64::from(self.scheme.range) - own,
        );
        format!(
            "({special}\n    or min(ma[{rows}], mb[{columns}]) > 0\n    \
             and ({count} <= 0 or {room} * {count} < 2 * ({wide} and {})))",
            (1_u64 << ZEROS) - 1,
        )
    }
}
