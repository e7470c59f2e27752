//! How many moduli: chosen from the data, where the nest runs.
//!
//! In: a nest's writer and the numbers that are possible. Out: text of statements that count, for
//! each number, the results of a sample that it would leave to native sums, and take the number
//! that should take least time; and the condition under which anything is done modulo a number.
//! Keeps: whatever is chosen, each result is certified for that number or summed natively: the
//! choice is about time alone. It is made in integers, so it is the same on every device.
//! Why here: the certificate ([`super::guard`]) says what a number of moduli leaves.

use std::fmt::Write as _;

use super::guard::Range;
use super::product::Index;
use super::text::{Side, Writer, list, loops, size, sizes};
use super::{Accuracy, Scheme};

/// The element that holds what was chosen, and the one with the binary logarithm of its sums.
pub(super) const CHOSEN: &str = "chosen[]";
const RANGE: &str = "range[]";
/// A result that is summed natively takes as long as so many moduli of one. On an H200 at 4096 it
/// was 566 where all were, by threads in place of tensor cores, and 73,000 where one of 458 was,
/// as threads beside it wait; a number that helps has to be taken in the second case.
const NATIVE: u32 = 16384;
/// One in so many rows and columns is looked at with all columns and rows.
const SAMPLE: u32 = 256;
/// Numbers of moduli are below this.
const PLACES: u32 = 32;

impl Writer<'_> {
    /// The numbers that may be chosen, the least first; nothing where there is one.
    pub(super) fn candidates(&self) -> Option<Vec<Scheme>> {
        let Accuracy::Chosen(least, most) = self.options.accuracy else { return None };
        Some((least..=most).map(Scheme::of).collect())
    }

    /// The binary logarithm of sums, which the certificate asks for.
    pub(super) fn range(&self) -> Range {
        match self.candidates() {
            Some(_) => Range::Element(RANGE),
            None => Range::Number(self.scheme.range),
        }
    }

    /// The guard of what is done modulo the numbers that `l` counts, once, or again and again for
    /// parts and blocks.
    pub(super) fn when(&self, l: &str, again: bool) -> String {
        match (self.candidates(), again) {
            (Some(_), false) => format!(" when {l} < {CHOSEN}"),
            (Some(_), true) => format!(" when index({l} mod {}) < {CHOSEN}", self.scheme.moduli),
            (None, _) => String::new(),
        }
    }

    /// The least number of moduli that may be chosen.
    pub(super) fn fewest(&self) -> Option<usize> {
        self.candidates()?.first().map(|s| s.moduli)
    }

    /// The choice's arrays.
    pub(super) fn of_choice(&self) -> String {
        let Some(candidates) = self.candidates() else { return String::new() };
        let n = candidates.len();
        let ranges: Vec<String> = candidates.iter().map(|s| s.range.to_string()).collect();
        let moduli: Vec<String> = candidates.iter().map(|s| s.moduli.to_string()).collect();
        let [a, b] = self.sampled().map(|side| sizes(&side.lines));
        format!(
            "# numbers of moduli that may be chosen; the logarithms of their sums\n\
             const N0: i32[{n}] = [{}]  const R0: i32[{n}] = [{}]\n\
             temp native_a: i64[{n}, {a}]  temp native_b: i64[{n}, {b}]\n\
             temp native_by: i64[{n}]  temp cost: i64[]  temp chosen: i32[]  temp range: i32[]\n",
            moduli.join(", "),
            ranges.join(", "),
        )
    }

    /// The rows with a sample of the columns, and the columns with a sample of the rows.
    fn sampled(&self) -> [Sampled; 2] {
        let p = self.p;
        let lines = |own: &[Index]| p.batch.iter().chain(own).copied().collect::<Vec<Index>>();
        let few = |others: &[Index]| {
            let header = |(k, i): (usize, &Index)| match k {
                0 => format!("{i} in 0..floor(({} + {}) / {SAMPLE})", size(*i), SAMPLE - 1),
                _ => loops(&[*i]),
            };
            let place = |(k, i): (usize, &Index)| match k {
                0 => format!("{SAMPLE}*{i}"),
                _ => i.to_string(),
            };
            let batch = p.batch.iter().map(Index::to_string);
            let places = batch.chain(others.iter().enumerate().map(place)).collect::<Vec<_>>();
            let headers = others.iter().enumerate().map(header).collect::<Vec<_>>();
            [headers.join(", "), places.join(", ")]
        };
        let ([for_b, some_b], [for_a, some_a]) = (few(&p.columns), few(&p.rows));
        let range = Range::Element("R0[choice]");
        let (a, b) = (lines(&p.rows), lines(&p.columns));
        let left = [
            self.uncertain(&list(&a), &some_b, &range),
            self.uncertain(&some_a, &list(&b), &range),
        ];
        let [in_a, in_b] = left;
        [
            Sampled { name: 'a', lines: a, others: for_b, left: in_a, first: p.columns[0] },
            Sampled { name: 'b', lines: b, others: for_a, left: in_b, first: p.rows[0] },
        ]
    }

    /// How many moduli, and the scales that follow.
    pub(super) fn choice(&self, sides: &[&Side<'_>]) -> String {
        let Some(candidates) = self.candidates() else { return String::new() };
        let n = candidates.len();
        let mut out = format!(
            "# how many results each number of moduli would leave to native sums, of all rows \
             with one in\n# {SAMPLE} columns and all columns with one in {SAMPLE} rows\n"
        );
        let (mut sums, mut all) = (String::new(), Vec::new());
        for Sampled { name, lines, others, left, first } in self.sampled() {
            let (at, around) = (list(&lines), loops(&lines));
            let of = format!("native_{name}[choice, {at}]");
            let u = name.to_ascii_uppercase();
            let _ = writeln!(
                out,
                "for choice in 0..{n}, {around} {{\n  L{u}0: {of} = 0\n  for {others} {{\n    \
                 L{u}1: {of} += select({left}, 1, 0) order any\n  }}\n}}",
            );
            let _ =
                writeln!(sums, "  for {around} {{ V{u}: native_by[choice] += {of} order any }}");
            let rest = self.p.c.iter().filter(|i| **i != first);
            let some = format!("index(floor(({} + {}) / {SAMPLE}))", size(first), SAMPLE - 1);
            let rest = rest.map(|i| format!(" * cast_i64({})", size(*i)));
            all.push(some + &rest.collect::<String>());
        }
        let _ = writeln!(
            out,
            "for choice in 0..{n} {{\n  V: native_by[choice] = 0\n{sums}}}\n\
             # the number that takes least time: a result that is summed natively takes about as\n\
             # long as {NATIVE} moduli of one\n\
             K0: cost[] = {}\n\
             for choice in 0..{n} {{\n  K1: cost[] min= (native_by[choice] * {NATIVE}\n    \
             + ({}) * cast_i64(N0[choice])) * {PLACES}\n    + cast_i64(N0[choice]) order any\n}}\n\
             K2: chosen[] = cast_i32(cost[] and {})\n\
             K3: range[] = 0\n\
             for choice in 0..{n} {{\n  \
             K4: range[] += select(N0[choice] == chosen[], R0[choice], 0) order any\n}}",
            i64::MAX,
            all.join(" + "),
            PLACES - 1,
        );
        for side in sides {
            let scale = self.scale(side, &format!("{RANGE} - 1"));
            let _ = writeln!(out, "for {} {{\n{scale}}}", loops(&side.lines));
        }
        if self.options.counted {
            out += "Y2: moduli[] = cast_i64(chosen[])\n";
        }
        out
    }
}

/// Rows or columns, each with a sample of the others.
struct Sampled {
    /// `a` or `b`.
    name: char,
    lines: Vec<Index>,
    /// Loops over the sample, of which each first index is some of its own.
    others: String,
    first: Index,
    /// Whether a result is left to a native sum.
    left: String,
}
