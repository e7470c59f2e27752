//! The text of a nest of Ozaki scheme II.
//!
//! In: a product's indices, the options and the scheme. Out: text that parses to the nest.
//! Keeps: every statement but the last is exact in integers, or cuts elements toward zero.

use std::fmt::Write as _;

use warploom_ir::dtype::DType;

use super::moduli::{ALL, fraction, joined, reciprocal, weight};
use super::product::{Index, Product};
use super::{MOST_TERMS, Options, Scheme};

/// Bits of a limb where there are three or four.
const LIMB: u32 = 21;
/// Bits of a norm's terms: their squares add up to less than 2^62.
const NORM: u32 = 21;
/// Names of arrays that a size cannot have.
const TAKEN: [char; 7] = ['A', 'B', 'C', 'P', 'Q', 'S', 'U'];

/// What is written for all statements.
struct Writer<'p> {
    p: &'p Product,
    scheme: Scheme,
    dtype: DType,
    /// The iterator over the moduli.
    l: &'static str,
}

/// One of the operands.
struct Side<'p> {
    /// `A` or `B`, and in lower case.
    upper: char,
    lower: char,
    /// The rows or columns of which each has a scale, with the batch.
    lines: Vec<Index>,
    indices: &'p [Index],
}

/// `i, j`.
fn list(indices: &[Index]) -> String {
    let names: Vec<String> = indices.iter().map(char::to_string).collect();
    names.join(", ")
}

/// The parameter that sizes an index.
fn size(index: Index) -> String {
    let upper = index.to_ascii_uppercase();
    if TAKEN.contains(&upper) { format!("{index}_size") } else { upper.to_string() }
}

/// `I, J`.
fn sizes(indices: &[Index]) -> String {
    let names: Vec<String> = indices.iter().copied().map(size).collect();
    names.join(", ")
}

/// `i in 0..I, j in 0..J`.
fn loops(indices: &[Index]) -> String {
    let headers: Vec<String> = indices.iter().map(|i| format!("{i} in 0..{}", size(*i))).collect();
    headers.join(", ")
}

/// A table of constants.
fn table(name: &str, values: &[i32]) -> String {
    let items: Vec<String> = values.iter().map(i32::to_string).collect();
    format!("const {name}: i32[{}] = [{}]\n", values.len(), items.join(", "))
}

/// The nest's text.
pub(super) fn nest(p: &Product, options: &Options, scheme: Scheme) -> String {
    let l = if p.indices().contains(&'l') { "modulus" } else { "l" };
    let w = Writer { p, scheme, dtype: options.dtype, l };
    let mut out = w.header(options);
    let sides = [w.side('A', &p.rows, &p.a), w.side('B', &p.columns, &p.b)];
    out += &w.declarations(options, &sides);
    for side in &sides {
        out += &w.scales(side);
    }
    for side in &sides {
        out += &w.residues(side);
    }
    out += &w.products();
    out += &w.results(options);
    out
}

impl Writer<'_> {
    fn side<'p>(&self, upper: char, lines: &[Index], indices: &'p [Index]) -> Side<'p> {
        let lines = self.p.batch.iter().chain(lines).copied().collect();
        Side { upper, lower: upper.to_ascii_lowercase(), lines, indices }
    }

    fn moduli(&self) -> &'static [u32] {
        &ALL[..self.scheme.moduli]
    }

    /// What it is and what it promises.
    fn header(&self, options: &Options) -> String {
        let (spec, dtype, s) = (&self.p.spec, self.dtype, self.scheme);
        let result = if options.scaled { "alpha AB + beta C" } else { "AB" };
        let rest = s.rest(dtype);
        format!(
            "# Ozaki scheme II: {spec} of {dtype} from products of 8-bit integers modulo {} \
             numbers\n\
             # (`warploom ozaki`, docs/ozaki.md). C = {result}, off by at most\n\
             #   1.01 2^-{} (|a| |b|_1 + |a|_1 |b|) + {rest:.2e} |a| |b|\n\
             # where |a|, |b| are the Euclidean norms of the row and the column, |a|_1, |b|_1 \
             their sums of\n# magnitudes; for at most {MOST_TERMS} terms. Infinities and NaNs go \
             where a product of {dtype} has them.\n",
            s.moduli,
            s.bits(),
        )
    }

    /// Sizes, arrays and tables.
    fn declarations(&self, options: &Options, sides: &[Side<'_>; 2]) -> String {
        let (p, t, n) = (self.p, self.dtype, self.scheme.moduli);
        let bits = self.words().0;
        let mut out = format!("param {}\n", sizes(&p.indices()));
        let _ = writeln!(out, "in A: {t}[{}]  in B: {t}[{}]", sizes(&p.a), sizes(&p.b));
        if options.scaled {
            let _ = writeln!(out, "in alpha: {t}  in beta: {t}  inout C: {t}[{}]", sizes(&p.c));
        } else {
            let _ = writeln!(out, "out C: {t}[{}]", sizes(&p.c));
        }
        if let [sum] = p.sums.as_slice() {
            let _ = writeln!(out, "assume {} <= {MOST_TERMS}", size(*sum));
        }
        out += "# moduli; 2^38 / each; fractions of 2^32 that limbs' units are of each\n";
        out += &table("P", &self.moduli().iter().map(|p| p.cast_signed()).collect::<Vec<_>>());
        out += &table("Q", &self.moduli().iter().map(|p| reciprocal(*p)).collect::<Vec<_>>());
        for (k, shift) in self.limbs().iter().enumerate() {
            let of = |p: &u32| fraction(*shift, *p, k == 0);
            out += &table(&format!("T{k}"), &self.moduli().iter().map(of).collect::<Vec<_>>());
        }
        for side in sides {
            let (x, lines) = (side.lower, sizes(&side.lines));
            let _ = writeln!(
                out,
                "temp m{x}: {bits}[{lines}]  temp n{x}: i64[{lines}]  temp c{x}: i32[{lines}]"
            );
            let all = sizes(&self.p.sums);
            let _ = writeln!(out, "temp R{}: i8[{n}, {lines}, {all}]", side.upper);
        }
        let all: Vec<Index> = self.result_indices();
        let all = sizes(&all);
        let _ = writeln!(out, "temp S: i32[{n}, {all}]  temp U: i8[{n}, {all}]");
        out
    }

    /// Batch, rows and columns, as residues have them.
    fn result_indices(&self) -> Vec<Index> {
        let p = self.p;
        p.batch.iter().chain(&p.rows).chain(&p.columns).copied().collect()
    }

    /// The integers of the bits of an element, and the first that is an infinity.
    const fn words(&self) -> (&'static str, i64) {
        if matches!(self.dtype, DType::F32) {
            ("i32", 0x7f80_0000)
        } else {
            ("i64", 0x7ff0_0000_0000_0000)
        }
    }

    /// Where limbs of a scaled element begin.
    fn limbs(&self) -> Vec<u32> {
        // with a sign
        let width = self.scheme.range / 2 + 2;
        let count = width.div_ceil(LIMB).max(2);
        let each = if count == 2 { width.div_ceil(2) } else { LIMB };
        (0..count).map(|k| k * each).collect()
    }

    /// An element as f64.
    fn element(&self, side: &Side<'_>) -> String {
        let read = format!("{}[{}]", side.upper, list(side.indices));
        if self.dtype == DType::F32 { format!("cast_f64({read})") } else { read }
    }

    /// The power of two for each row or column, from its largest magnitude and its norm.
    fn scales(&self, side: &Side<'_>) -> String {
        let (u, x, lines) = (side.upper, side.lower, list(&side.lines));
        let (bits, t) = (self.words().0, self.dtype);
        let read = format!("{u}[{}]", list(side.indices));
        let sums = loops(&self.p.sums);
        // the least magnitude stands for zero
        let e = format!("exponent(bitcast_{t}(max(m{x}[{lines}], 1)))");
        let term =
            format!("cast_i64(cast_i32_rup_sat(ldexp(abs({}), {NORM} - {e})))", self.element(side));
        format!(
            "for {} {{\n  M{u}0: m{x}[{lines}] = 0\n  \
             for {sums} {{ M{u}1: m{x}[{lines}] max= bitcast_{bits}(abs({read})) order any }}\n  \
             N{u}0: n{x}[{lines}] = 0\n  # the squared norm from {} bits of each element, rounded \
             up: exact, so its order does not matter\n  \
             for {sums} {{\n    N{u}1: n{x}[{lines}] += {term}\n      * {term} order any\n  }}\n  \
             C{u}: c{x}[{lines}] = div({} - exponent(cast_f64(max(n{x}[{lines}], 1))), 2)\n    \
             + {NORM} - {e}\n}}\n",
            loops(&side.lines),
            NORM + 1,
            self.scheme.range - 1,
        )
    }

    /// The scaled element in words: what it is cut to, and where the word begins.
    fn scaled(&self, side: &Side<'_>) -> Vec<(String, u32)> {
        let scale = format!("c{}[{}]", side.lower, list(&side.lines));
        let element = self.element(side);
        let whole = format!("ldexp({element}, {scale})");
        let width = self.scheme.range / 2 + 2;
        if width <= 32 {
            return vec![(format!("cast_i32_rtz_sat({whole})"), 0)];
        }
        if width <= 64 {
            return vec![(format!("cast_i64_rtz_sat({whole})"), 0)];
        }
        let high = format!("cast_i64_rtz_sat(ldexp({element}, {scale} - {}))", 2 * LIMB);
        let low = format!("cast_i64_rtz_sat({whole} - ldexp(cast_f64({high}), {}))", 2 * LIMB);
        vec![(low, 0), (high, 2 * LIMB)]
    }

    /// The residues of one operand: the fraction that it is of each modulus, times the modulus.
    fn residues(&self, side: &Side<'_>) -> String {
        let (l, u, lines) = (self.l, side.upper, list(&side.lines));
        let (words, limbs) = (self.scaled(side), self.limbs());
        let mut terms = Vec::new();
        for (k, at) in limbs.iter().enumerate() {
            let (word, start) = words.iter().rfind(|w| w.1 <= *at).expect("the first begins at 0");
            let last = k + 1 == limbs.len() || words.iter().any(|w| w.1 == limbs[k + 1]);
            let width = limbs.get(k + 1).map_or(0, |next| next - at);
            let limb = match (k, last) {
                (0, _) => format!("((cast_i32(shl({word}, 1)) and {}) or 1)", (2_u64 << width) - 2),
                (_, true) => format!("cast_i32(shr({word}, {}))", at - start),
                (_, false) if at == start => {
                    format!("(cast_i32({word}) and {})", (1_u64 << width) - 1)
                }
                (_, false) => {
                    format!("(cast_i32(shr({word}, {})) and {})", at - start, (1_u64 << width) - 1)
                }
            };
            terms.push(format!("{limb} * T{k}[{l}]"));
        }
        let sum = terms.join("\n    + ");
        format!(
            "for {l} in 0..{}, {}, {} {{\n  \
             S{u}: R{u}[{l}, {lines}, {}] = cast_i8(mulhi({sum}, P[{l}]))\n}}\n",
            self.scheme.moduli,
            loops(&side.lines),
            loops(&self.p.sums),
            list(&self.p.sums),
        )
    }

    /// The products modulo each number.
    fn products(&self) -> String {
        let (p, l) = (self.p, self.l);
        let batch: String = p.batch.iter().map(|i| format!("{i}, ")).collect();
        let (rows, columns, sums) = (list(&p.rows), list(&p.columns), list(&p.sums));
        let s = format!("S[{l}, {}]", list(&self.result_indices()));
        let u = format!("U[{l}, {}]", list(&self.result_indices()));
        format!(
            "for {l} in 0..{}, {} {{\n  G0: {s} = 0\n  for {} {{\n    \
             G1: {s} += RA[{l}, {batch}{rows}, {sums}] * RB[{l}, {batch}{columns}, {sums}] \
             order any\n  }}\n  \
             G2: {u} = cast_i8({s}\n    \
             - cast_i32(shr(cast_i64({s}) * cast_i64(Q[{l}]) + {}, 38)) * P[{l}])\n}}\n",
            self.scheme.moduli,
            loops(&self.result_indices()),
            loops(&p.sums),
            1_u64 << 37,
        )
    }

    /// The sum from its residues: a fraction of the moduli's product in 128 bits that wrap, times
    /// the product, rounded once.
    fn fraction(&self) -> String {
        let indices = list(&self.result_indices());
        let pairs: Vec<&[u32]> = self.moduli().chunks(2).collect();
        let moduli: Vec<u32> = pairs.iter().map(|p| p.iter().product()).collect();
        let number = |k: usize| match *pairs[k] {
            [a, b] => {
                let [x, y] = joined(a, b);
                let read = |k: usize| format!("cast_i32(U[{k}, {indices}])");
                format!("({} * {x} + {} * {y})", read(2 * k), read(2 * k + 1))
            }
            _ => format!("cast_i32(U[{}, {indices}])", 2 * k),
        };
        let weights: Vec<Vec<i32>> = (0..pairs.len()).map(|k| weight(k, &moduli, 4)).collect();
        let sum = |digit: usize| {
            let term = |k: usize| match digit {
                3 => format!("{} * {}", number(k), weights[k][digit]),
                _ => format!("cast_i64({}) * {}", number(k), weights[k][digit]),
            };
            (0..pairs.len()).map(term).collect::<Vec<_>>().join(" + ")
        };
        let [first, second, third, fourth] = [sum(0), sum(1), sum(2), sum(3)];
        let middle = format!("({second} + shr({first}, 32))");
        let low = format!("(shl({middle}, 32) + (({first}) and 4294967295))");
        // the lower half counts with a sign
        let top =
            format!("({third} + shr({middle}, 32) + shl(cast_i64({fourth}), 32) - shr({low}, 63))");
        let unit = self.scheme.product.map(|p| p / 2_f64.powi(64));
        let rest = format!(
            "cast_f64({top} - cast_i64_sat(cast_f64({top}))) + cast_f64({low}) * {:?}",
            2_f64.powi(-64)
        );
        format!(
            "fma(cast_f64({top}), {:?},\n    fma(cast_f64({top}), {:?}, ({rest}) * {:?}))",
            unit[0], unit[1], unit[0]
        )
    }

    /// C from the residues, and the sums with infinities and NaNs as they are.
    fn results(&self, options: &Options) -> String {
        let p = self.p;
        let c = format!("C[{}]", list(&p.c));
        let lines =
            |lines: &[Index]| list(&p.batch.iter().chain(lines).copied().collect::<Vec<_>>());
        let (rows, columns) = (lines(&p.rows), lines(&p.columns));
        let (_, infinity) = self.words();
        let special = format!("max(ma[{rows}], mb[{columns}]) >= {infinity}");
        let value = format!("ldexp({}, 0 - ca[{rows}] - cb[{columns}])", self.fraction());
        let value = if self.dtype == DType::F32 { format!("cast_f32({value})") } else { value };
        let value = format!("select({special}, 0.0, {value})");
        let product = format!("A[{}] * B[{}]", list(&p.a), list(&p.b));
        let (value, product) = if options.scaled {
            let old = format!("select(beta[] == 0.0, 0.0, beta[] * {c})");
            (format!("{old} + alpha[] * {value}"), format!("alpha[] * {product}"))
        } else {
            (value, product)
        };
        format!(
            "for {} {{\n  X: {c} = {value}\n}}\n\
             # where a row or a column has an infinity or a NaN\n\
             for {} {{\n  for {} {{ Z: {c} += {product} when {special} order any }}\n}}\n",
            loops(&p.c),
            loops(&p.c),
            loops(&p.sums),
        )
    }
}
