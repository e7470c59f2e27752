//! The products modulo each number, and the sums from their residues.
//!
//! In: a nest's writer. Out: the text of the statements from residues to results.
//! Keeps: all is exact in integers but the last rounding; rows and columns with infinities and
//! NaNs, and results that the guard does not certify, are sums of native products.
//! Why here: apart from `text` for length alone.
//! Source: Y. Uchino, K. Ozaki, T. Imamura, Ozaki scheme II (2025); C. F. Gauss's three products
//! for complex numbers, which are exact modulo a number.

use std::fmt::Write as _;

use warploom_ir::dtype::DType;

use super::Scheme;
use super::choice::CHOSEN;
use super::moduli::{ALL, joined, weight};
use super::product::Index;
use super::text::{BLOCK, GROUP, Writer, list, loops};

/// Statements and values for one result, or one part of a complex one.
struct Result_ {
    /// Its place in statements' names.
    suffix: &'static str,
    target: String,
    value: String,
    native: String,
}

impl Writer<'_> {
    /// The sums' arrays.
    pub(super) fn of_products(&self) -> String {
        let (n, all) = (self.count(), self.held_sizes(&self.result_indices()));
        let sums = match self.blocks() {
            Some(blocks) => {
                format!("temp S: i32[{n}*{blocks}, {all}]  temp V: i8[{n}*{blocks}, {all}]  ")
            }
            None => format!("temp S: i32[{n}, {all}]  "),
        };
        let blocks = if self.blocks().is_some() {
            format!("temp W: i32[{n}, {all}]  ")
        } else {
            String::new()
        };
        format!("{sums}{blocks}temp U: i8[{n}, {all}]\n")
    }

    /// `element` modulo the number of this place in the tables, in -128..128.
    fn remainder(&self, element: &str, at: &str) -> String {
        format!(
            "cast_i8({element}\n    \
             - cast_i32(shr(cast_i64({element}) * cast_i64(Q[{at}]) + {}, 38)) * P[{at}])",
            1_u64 << 37,
        )
    }

    /// The products modulo each number.
    pub(super) fn products(&self) -> String {
        let (p, l, n) = (self.p, self.l, self.count());
        let batch: String = self.held(&p.batch).iter().map(|i| format!("{i}, ")).collect();
        let (rows, columns, k) = (list(&p.rows), list(&p.columns), list(&p.sums));
        let (result, all) = (list(&self.result_indices()), self.held_loops(&self.result_indices()));
        let (s, blocks) = (format!("S[{l}, {result}]"), self.blocks());
        let (count, along, out, at) = match &blocks {
            Some(blocks) => (
                format!("{n}*{blocks}"),
                format!("{k} in 0..{BLOCK}"),
                format!("V[{l}, {result}]"),
                format!("{l} mod {n}"),
            ),
            None => (n.to_string(), loops(&p.sums), format!("U[{l}, {result}]"), l.to_owned()),
        };
        let parts = self.options.complex;
        let when = self.when(l, parts || blocks.is_some());
        let mut text = format!(
            "for {l} in 0..{count}, {all} {{\n  G0: {s} = 0\n  for {along} {{\n    \
             G1: {s} += RA[{l}, {batch}{rows}, {k}] * RB[{l}, {batch}{columns}, {k}]{when} \
             order any\n  }}\n  G2: {out} = {}{when}\n}}\n",
            self.remainder(&s, &at),
        );
        if let Some(blocks) = blocks {
            let (h, w, when) = (self.h, format!("W[{l}, {result}]"), self.when(l, parts));
            let _ = writeln!(
                text,
                "# the remainders of the blocks of a sum\nfor {l} in 0..{n}, {all} {{\n  \
                 W0: {w} = 0\n  for {h} in 0..{blocks} {{\n    \
                 W1: {w} += cast_i32(V[{n}*{h} + {l}, {result}]){when} order any\n  }}\n  \
                 W2: U[{l}, {result}] = {}{when}\n}}",
                self.remainder(&w, l),
            );
        }
        text
    }

    /// The residue of a result modulo the k-th number, or a number of that residue.
    fn residue(&self, k: usize, part: usize) -> String {
        let (indices, n) = (list(&self.result_indices()), self.scheme.moduli);
        let of = |t: usize| format!("cast_i32(U[{}, {indices}])", t * n + k);
        match (self.options.complex, part) {
            (false, _) => of(0),
            (true, 0) => format!("({} - {})", of(0), of(1)),
            (true, _) => format!("({} - {} - {})", of(2), of(0), of(1)),
        }
    }

    /// The sum from its residues: a fraction of the moduli's product in 128 bits that wrap, times
    /// the product, rounded once.
    fn fraction(&self, part: usize, scheme: Scheme) -> String {
        let moduli = &ALL[..scheme.moduli];
        let groups: Vec<&[u32]> = moduli.chunks(GROUP).collect();
        let number = |k: usize| {
            let of = |(j, x): (usize, i32)| match groups[k].len() {
                1 => self.residue(GROUP * k, part),
                _ => format!("{} * {x}", self.residue(GROUP * k + j, part)),
            };
            let terms: Vec<String> = joined(groups[k]).into_iter().enumerate().map(of).collect();
            format!("({})", terms.join(" + "))
        };
        let weights: Vec<Vec<i32>> = groups.iter().map(|group| weight(group, moduli, 4)).collect();
        let sum = |digit: usize| {
            let term = |k: usize| match digit {
                3 => format!("{} * {}", number(k), weights[k][digit]),
                _ => format!("cast_i64({}) * {}", number(k), weights[k][digit]),
            };
            (0..groups.len()).map(term).collect::<Vec<_>>().join(" + ")
        };
        let [first, second, third, fourth] = [sum(0), sum(1), sum(2), sum(3)];
        let middle = format!("({second} + shr({first}, 32))");
        let low = format!("(shl({middle}, 32) + (({first}) and 4294967295))");
        // the lower half counts with a sign
        let top =
            format!("({third} + shr({middle}, 32) + shl(cast_i64({fourth}), 32) - shr({low}, 63))");
        let unit = scheme.product.map(|p| p / 2_f64.powi(64));
        let rest = format!(
            "cast_f64({top} - cast_i64_sat(cast_f64({top}))) + cast_f64({low}) * {:?}",
            2_f64.powi(-64)
        );
        format!(
            "fma(cast_f64({top}), {:?},\n    fma(cast_f64({top}), {:?}, ({rest}) * {:?}))",
            unit[0], unit[1], unit[0]
        )
    }

    /// Whether a result is the sum of native products.
    fn native(&self) -> String {
        let p = self.p;
        let lines = |lines: &[Index]| {
            self.coordinates(&p.batch.iter().chain(lines).copied().collect::<Vec<_>>())
        };
        let (rows, columns) = (lines(&p.rows), lines(&p.columns));
        if self.options.guarded {
            return self.uncertain(&rows, &columns, &self.range());
        }
        // two conditions, of which loops over rows or columns test one once
        let special = self.words().1;
        format!("(ma[{rows}] >= {special} or mb[{columns}] >= {special})")
    }

    /// One result, or the part of it, from the residues modulo these numbers.
    fn result(&self, part: usize, native: &str, scheme: Scheme) -> Result_ {
        let p = self.p;
        let lines = |lines: &[Index]| {
            self.coordinates(&p.batch.iter().chain(lines).copied().collect::<Vec<_>>())
        };
        let (rows, columns) = (lines(&p.rows), lines(&p.columns));
        let value =
            format!("ldexp({}, 0 - ca[{rows}] - cb[{columns}])", self.fraction(part, scheme));
        let value = if self.dtype() == DType::F32 { format!("cast_f32({value})") } else { value };
        let value = format!("select({native}, 0.0, {value})");
        let (a, b, c) = (list(&p.a), list(&p.b), self.coordinates(&p.c));
        let (suffix, product) = match (self.options.complex, part) {
            (false, _) => ("", format!("A[{a}] * B[{b}]")),
            (true, 0) => ("0", format!("A[{a}, 0] * B[{b}, 0] - A[{a}, 1] * B[{b}, 1]")),
            (true, _) => ("1", format!("A[{a}, 0] * B[{b}, 1] + A[{a}, 1] * B[{b}, 0]")),
        };
        let target =
            if suffix.is_empty() { format!("C[{c}]") } else { format!("C[{c}, {suffix}]") };
        let (value, native) = if self.options.scaled {
            let old = format!("select(beta[] == 0.0, 0.0, beta[] * {target})");
            (format!("{old} + alpha[] * {value}"), format!("alpha[] * {product}"))
        } else {
            (value, product)
        };
        Result_ { suffix, target, value, native }
    }

    /// All results, or their parts.
    fn parts(&self, native: &str, scheme: Scheme) -> Vec<Result_> {
        let parts = if self.options.complex { 0..2 } else { 0..1 };
        parts.map(|part| self.result(part, native, scheme)).collect()
    }

    /// C from the residues, for each number of them that may be chosen.
    pub(super) fn results(&self) -> String {
        let Some(candidates) = self.candidates() else {
            return self.results_of(self.scheme, "", "");
        };
        let one = |scheme: &Scheme| {
            let n = scheme.moduli;
            self.results_of(*scheme, &format!("{n}_"), &format!(" when {CHOSEN} == {n}"))
        };
        candidates.iter().map(one).collect()
    }

    /// C from so many residues, under a condition, in statements with names of their own.
    fn results_of(&self, scheme: Scheme, name: &str, when: &str) -> String {
        let mut out = format!("for {} {{\n", self.panel_loops(&self.p.c));
        for r in self.parts(&self.native(), scheme) {
            let _ = writeln!(out, "  X{name}{}: {} = {}{when} strict", r.suffix, r.target, r.value);
        }
        out + "}\n"
    }

    /// The results that are sums of native products, and how many they are.
    pub(super) fn native_results(&self) -> String {
        let (p, native) = (self.p, self.native());
        let mut out = String::new();
        out += if self.options.guarded {
            "# where a row or a column has an infinity or a NaN, or grade A is not certain\n"
        } else {
            "# where a row or a column has an infinity or a NaN\n"
        };
        for r in self.parts(&native, self.scheme) {
            let _ = writeln!(
                out,
                "for {} {{\n  for {} {{ Z{}: {} += {} when {native} order serial strict }}\n}}",
                loops(&p.c),
                loops(&p.sums),
                r.suffix,
                r.target,
                r.native,
            );
        }
        if self.options.counted {
            let _ = writeln!(
                out,
                "Y0: native[] = 0\nfor {} {{ Y1: native[] += 1 when {native} order any }}",
                loops(&p.c),
            );
        }
        out
    }
}
