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
/// More than twice the exponents of an f64 and all other numbers of the condition: that of zeros.
const ZERO: u32 = 4608;
/// More than that and all other numbers; two of them times 2^17 terms fit an i32.
const SPECIAL: u32 = 5632;

/// The binary logarithm of sums.
pub(super) enum Range {
    /// Known when the nest is written.
    Number(u32),
    /// An element.
    Element(&'static str),
}

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

    /// The integers that hold a row's or column's sum of exponents.
    pub(super) fn wide(&self) -> &'static str {
        if self.blocks().is_some() { "i64" } else { "i32" }
    }

    /// How wide a row or column is: `h` the binary logarithm of its squared norm over that of its
    /// largest power of two, rounded up, `z` its zeros (and subnormal numbers), and `d` the sum of
    /// the exponents by which others are below the largest. A row of zeros is certain with every
    /// finite column, one with an infinity or a NaN never: their `h` outweighs all others.
    pub(super) fn certificate(&self, side: &Side<'_>) -> String {
        let (u, x, lines) = (side.upper, side.lower, list(&side.lines));
        let digits = if self.dtype() == DType::F32 { 23 } else { 52 };
        let (magnitude, normal) = (self.magnitude(side), 1_u64 << digits);
        let exponent = |bits: &str| {
            let shifted = format!("shr({bits}, {digits})");
            if digits == 23 { format!("cast_i64({shifted})") } else { shifted }
        };
        let (m, w) = (format!("m{x}[{lines}]"), format!("w{x}[{lines}]"));
        let (largest, own, t) = (exponent(&m), self.words().1, self.wide());
        let narrow = |v: String| if t == "i64" { v } else { format!("cast_{t}({v})") };
        format!(
            "  H{u}: h{x}[{lines}] = select({m} == 0, -{ZERO},\n    \
             select({m} >= {own}, {SPECIAL}, exponent(cast_f64(max(n{x}[{lines}], 1))) - {}))\n  \
             W{u}0: {w} = 0\n  for {} {{\n    \
             W{u}1: {w} += select({magnitude} < {normal}, {},\n      \
             {largest} - {}) order any\n  }}\n  \
             Z{u}: z{x}[{lines}] = select({m} == 0, 0, {})\n  \
             D{u}_: d{x}[{lines}] = {}\n",
            2 * i64::from(self.norm()) - 1,
            super::text::loops(&self.p.sums),
            1_u64 << ZEROS,
            exponent(&magnitude),
            narrow(format!("shr({w}, {ZEROS})")),
            narrow(format!("({w} and {})", (1_u64 << ZEROS) - 1)),
        )
    }

    /// Whether a result has to be summed natively: its row or column has an infinity or a NaN, or
    /// the bound on its error exceeds K·u times that on Σ|a||b|. `range` is the binary logarithm of
    /// sums: a number, or an element that holds it.
    pub(super) fn uncertain(&self, rows: &str, columns: &str, range: &Range) -> String {
        let t = self.wide();
        let terms: Vec<String> =
            self.p.sums.iter().map(|i| format!("cast_{t}({})", size(*i))).collect();
        let terms = terms.join(" * ");
        let digits = if self.dtype() == DType::F32 { 24 } else { 53 };
        let own = 2 * digits + 3 + if self.options.complex { 2 } else { 0 };
        let count = format!("({terms} - za[{rows}] - zb[{columns}])");
        // the binary logarithm of a count, rounded down
        let log = |n: &str| format!("shr(bitcast_i32(cast_f32(max({n}, 1))), 23)");
        let own = own + 3 * 127;
        let range = match range {
            Range::Number(range) => (i64::from(*range) - own).to_string(),
            Range::Element(range) => format!("{range} - {own}"),
        };
        let room = format!(
            "({range} - ha[{rows}] - hb[{columns}]\n    + {} + 2 * {})",
            log(&terms),
            log(&count),
        );
        let room = if t == "i64" { format!("cast_i64({room})") } else { room };
        format!("({count} <= 0\n    or {room} * {count} < 2 * (da[{rows}] + db[{columns}]))")
    }
}
