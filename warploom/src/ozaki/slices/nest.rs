//! The text of scheme I's nest.
//!
//! In: a product, how it is cut. Out: the nest's text: slices, exact sums of products of slices,
//! and what these add up to.
//! Keeps: exact sums are added one after the other, unscaled, in the order of the text; a result is
//! scaled once. Pairs of the smallest exponents come first, so that few additions round at the size
//! of the result: one for each block of the first pair.

use warploom_ir::dtype::DType;

use super::super::product::{Index, Product};
use super::super::text::{list, loops, size, sizes};
use super::{Cut, SliceOptions};

/// What is written for all statements.
pub(super) struct Writer<'p> {
    pub(super) product: &'p Product,
    pub(super) options: &'p SliceOptions,
    pub(super) cut: Cut,
    /// The iterators over slices of A and of B, blocks of a sum, and groups of pairs.
    pub(super) names: [&'static str; 4],
}

impl<'p> Writer<'p> {
    pub(super) fn new(product: &'p Product, options: &'p SliceOptions, cut: Cut) -> Self {
        let indices = product.indices();
        let free = |short: char, plain, other| if indices.contains(&short) { other } else { plain };
        let names = [
            free('p', "p", "first"),
            free('q', "q", "second"),
            free('h', "h", "block"),
            free('g', "g", "group"),
        ];
        Self { product, options, cut, names }
    }

    /// Batch with rows or columns.
    fn lines(&self, own: &[Index]) -> Vec<Index> {
        self.product.batch.iter().chain(own).copied().collect()
    }

    /// Batch, rows and columns.
    fn result(&self) -> Vec<Index> {
        let p = self.product;
        p.batch.iter().chain(&p.rows).chain(&p.columns).copied().collect()
    }

    /// The type of exact sums.
    pub(super) fn sums(&self) -> DType {
        if self.options.of == DType::I8 { DType::I32 } else { DType::F32 }
    }

    /// The blocks that a sum is cut into, where it is.
    fn blocks(&self) -> Option<(u64, String)> {
        let (block, [k]) = (self.cut.block?, self.product.sums.as_slice()) else { return None };
        Some((block, format!("floor(({} + {}) / {block})", size(*k), block - 1)))
    }

    /// The nest.
    pub(super) fn text(&self, bound: f64) -> String {
        let (p, options) = (self.product, self.options);
        let (s, of, b) = (options.slices, options.of, self.cut.bits);
        let (rows, columns) = (self.lines(&p.rows), self.lines(&p.columns));
        let mut out = format!(
            "# Ozaki scheme I: {} of f64 from {s} slices of {b} bits in {of}, {} products\n\
             # (`warploom ozaki --scheme 1`, docs/ozaki.md). C = AB, off by at most {bound:.2e} K \
             max|a| max|b|, with\n# the magnitudes of the row and the column rounded up to powers \
             of two; for at most {} terms.\n\
             # Infinities and NaNs go where a product of f64 has them.\n",
            p.spec,
            options.products(),
            options.terms,
        );
        out += &format!(
            "param {}\nin A: f64[{}]  in B: f64[{}]  out C: f64[{}]\n",
            sizes(&p.indices()),
            sizes(&p.a),
            sizes(&p.b),
            sizes(&p.c),
        );
        if let [sum] = p.sums.as_slice() {
            out += &format!("assume {} <= {}\n", sizes(&[*sum]), options.terms);
        }
        for (x, lines) in [('a', &rows), ('b', &columns)] {
            let (own, all) = (sizes(lines), sizes(&p.sums));
            out += &format!(
                "temp m{x}: i64[{own}]  temp c{x}: i32[{own}]  temp S{}: {of}[{s}, {own}, {all}]\n",
                x.to_ascii_uppercase()
            );
        }
        out += &self.split('A', &rows, &p.a, self.names[0]);
        out += &self.split('B', &columns, &p.b, self.names[1]);
        out + &self.products(&rows, &columns)
    }

    /// The power of two above each row or column, and its slices.
    fn split(&self, u: char, lines: &[Index], indices: &[Index], slice: &str) -> String {
        let (x, own, sums) = (u.to_ascii_lowercase(), list(lines), &self.product.sums);
        let (s, b) = (self.options.slices, self.cut.bits);
        let read = format!("{u}[{}]", list(indices));
        let (of, all) = (self.options.of, list(sums));
        let saturated = if of == DType::I8 { "_sat" } else { "" };
        let rounded =
            |shift: i64| format!("rint(ldexp({read}, {b}*{slice} + {shift} - c{x}[{own}]))");
        format!(
            "for {} {{\n  M{u}0: m{x}[{own}] = 0\n  \
             for {} {{ M{u}1: m{x}[{own}] max= bitcast_i64(abs({read})) order any }}\n  \
             C{u}: c{x}[{own}] = exponent(bitcast_f64(max(m{x}[{own}], 1))) + 1\n}}\n\
             for {slice} in 0..{s}, {}, {} {{\n  S{u}_: S{u}[{slice}, {own}, {all}] = \
             cast_{of}{saturated}({}\n    - {}.0 * {})\n}}\n",
            loops(lines),
            loops(sums),
            loops(lines),
            loops(sums),
            rounded(i64::from(b) - 1),
            1_u64 << b,
            rounded(-1),
        )
    }

    /// The loops over exact sums, with their ranges; those inside one; and its slices of A and B.
    fn pairs(&self) -> [String; 4] {
        let (s, groups, [p, _, h, g]) = (self.options.slices, self.options.groups(), self.names);
        let blocks = self.blocks().map(|(_, count)| format!("{h} in 0..{count}"));
        // exponents are counted from the smallest one: p and q are slices and add up to `last - g`
        let last = groups - 1;
        let first = if groups > s { format!("max(0, {} - {g})", groups - s) } else { "0".into() };
        let end = if groups > s {
            format!("min({s}, {groups} - {g})")
        } else {
            format!("{groups} - {g}")
        };
        let (over, pairs) = (format!("{g} in 0..{groups}"), format!("{p} in {first}..{end}"));
        let (over, inside) = match self.options.grouped {
            true => (vec![Some(over), blocks], format!("{pairs}, ")),
            false => (vec![Some(over), Some(pairs), blocks], String::new()),
        };
        let over: Vec<String> = over.into_iter().flatten().collect();
        [over.join(", "), inside, p.into(), format!("{last} - {g} - {p}")]
    }

    /// The exact sums' place, their extents, the exponent that they are of, and the loops over and
    /// indices of their terms.
    fn exact(&self) -> [String; 5] {
        let (groups, [p, _, h, g]) = (self.options.groups(), self.names);
        let b = self.cut.bits;
        let exponent = format!("{b}*{g} - {}", b * (groups - 1) + 2 * b - 2);
        let (at, extents) = match self.options.grouped {
            true => (g.to_owned(), groups.to_string()),
            false => (format!("{g}, {p}"), format!("{groups}, {}", self.options.slices)),
        };
        match (self.blocks(), self.product.sums.as_slice()) {
            (Some((block, count)), [k]) => {
                let (index, all) = (list(&[*k]), size(*k));
                let terms = format!("{index} in 0..min({block}, {all} - {block}*{h})");
                let own = format!("{block}*{h} + {index}");
                [format!("{at}, {h}"), format!("{extents}, {count}"), exponent, terms, own]
            }
            (_, sums) => [at, extents, exponent, loops(sums), list(sums)],
        }
    }

    /// The exact sums, what they add up to, and what is no number.
    fn products(&self, rows: &[Index], columns: &[Index]) -> String {
        let (p, result) = (self.product, self.result());
        let (own, other) = (list(rows), list(columns));
        let [over, inside, first, second] = self.pairs();
        let [at, extents, exponent, terms, k] = self.exact();
        let (t, d) =
            (format!("Exact[{at}, {}]", list(&result)), format!("Total[{}]", list(&result)));
        let c = format!("C[{}]", list(&p.c));
        let special = format!("max(ma[{own}], mb[{other}]) >= {}", 0x7ff0_0000_0000_0000_u64);
        // each exact sum has a place of its own, so that no block has to leave it in memory
        format!(
            "temp Exact: {}[{extents}, {shape}]  temp Total: f64[{shape}]\n\
             for {all} {{\n  D0: {d} = 0\n  \
             for {over} {{\n    \
             G0: {t} = 0\n    for {inside}{terms} {{\n      \
             G1: {t} += SA[{first}, {own}, {k}] * SB[{second}, {other}, {k}] order any\n    \
             }}\n    \
             D1: {d} += cast_f64({t}) * ldexp(1.0, {exponent})\n  }}\n  \
             E: {c} = ldexp({d}, ca[{own}] + cb[{other}])\n}}\n\
             # where a row or a column has an infinity or a NaN\n\
             for {all} {{\n  Y: {c} = 0 when {special}\n}}\n\
             for {all} {{\n  for {sums} {{\n    \
             Z: {c} += A[{}] * B[{}] when {special} order serial strict\n  }}\n}}\n",
            self.sums(),
            list(&p.a),
            list(&p.b),
            shape = sizes(&result),
            all = loops(&result),
            sums = loops(&p.sums),
        )
    }
}
