//! The text of a nest of Ozaki scheme II: operands as residues. [`super::sums`] has the products
//! and results, [`super::guard`] the certificate, [`super::choice`] the number of moduli.
//!
//! In: a product's indices, the options and the scheme. Out: text that parses to the nest.
//! Keeps: every statement but the last is exact in integers, or cuts elements toward zero.

use std::fmt::Write as _;

use warploom_ir::dtype::DType;

use super::moduli::{ALL, reciprocal};
use super::product::{Index, Product};
use super::{MOST_TERMS, Operand, Options, Panels, Scheme};

/// Bits of integers of which an f64 holds the fraction of a modulus in 32 bits.
const LONG: u32 = 26;
/// Bits of integers whose quotients by two moduli an f64 rounds.
const LONGER: u32 = 64;
/// Moduli whose product has no more than 24 bits.
pub(super) const GROUP: usize = 3;
/// 3·2^51: sums with it are rounded to integers, whose last digits are those of the bits.
const ROUNDS: &str = "6755399441055744.0";
/// The same and 2^32/512: between fractions of a modulus, so that cutting rounds to the nearest.
const ROUNDS_UP: &str = "6755399449444352.0";
/// Terms of the sums of a block, where they are cut into blocks.
pub(super) const BLOCK: u64 = 1 << 16;
/// Names of arrays that a size cannot have.
const TAKEN: [char; 9] = ['A', 'B', 'C', 'P', 'Q', 'S', 'U', 'V', 'W'];

/// What a nest is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// One operand's residues and scales.
    Prepare(Operand),
    /// The product, with one operand's residues at hand.
    Multiply(Operand),
}

/// What is written for all statements.
#[derive(Clone, Copy)]
pub(super) struct Writer<'p> {
    pub(super) p: &'p Product,
    pub(super) options: &'p Options,
    pub(super) scheme: Scheme,
    /// How the product is cut, and whether what is written is inside the loops over panels.
    pub(super) panels: Option<&'p Panels>,
    pub(super) inside: bool,
    /// The iterators over the moduli, the parts of a complex number, and the blocks of a sum.
    pub(super) l: &'static str,
    pub(super) z: &'static str,
    pub(super) h: &'static str,
}

/// One of the operands.
pub(super) struct Side<'p> {
    /// `A` or `B`, and in lower case.
    pub(super) upper: char,
    pub(super) lower: char,
    /// The rows or columns of which each has a scale, with the batch.
    pub(super) lines: Vec<Index>,
    pub(super) indices: &'p [Index],
    /// Its sum's index counts from the start of a block.
    blocks: bool,
}

/// `i, j`.
pub(super) fn list(indices: &[Index]) -> String {
    let names: Vec<String> = indices.iter().map(char::to_string).collect();
    names.join(", ")
}

/// The parameter that sizes an index.
pub(super) fn size(index: Index) -> String {
    let upper = index.to_ascii_uppercase();
    if TAKEN.contains(&upper) { format!("{index}_size") } else { upper.to_string() }
}

/// `I, J`.
pub(super) fn sizes(indices: &[Index]) -> String {
    let names: Vec<String> = indices.iter().copied().map(size).collect();
    names.join(", ")
}

/// `i in 0..I, j in 0..J`.
pub(super) fn loops(indices: &[Index]) -> String {
    let headers: Vec<String> = indices.iter().map(|i| format!("{i} in 0..{}", size(*i))).collect();
    headers.join(", ")
}

/// A table of constants.
fn table(name: &str, values: &[i32]) -> String {
    let items: Vec<String> = values.iter().map(i32::to_string).collect();
    format!("const {name}: i32[{}] = [{}]\n", values.len(), items.join(", "))
}

/// A table of constants of f64.
fn reals(name: &str, values: &[f64]) -> String {
    let items: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
    format!("const {name}: f64[{}] = [{}]\n", values.len(), items.join(", "))
}

/// Parts of at most `size` numbers, as long as each other but for one.
fn even(mut of: &[u32], size: usize) -> Vec<&[u32]> {
    let mut out = Vec::new();
    for left in (1..=of.len().div_ceil(size)).rev() {
        let (part, rest) = of.split_at(of.len().div_ceil(left));
        out.push(part);
        of = rest;
    }
    out
}

/// The nest's text.
pub(super) fn nest(
    p: &Product,
    options: &Options,
    scheme: Scheme,
    part: Part,
    panels: Option<&Panels>,
) -> String {
    let indices = p.indices();
    let name = |short: char, own, long| if indices.contains(&short) { long } else { own };
    let (l, z) = (name('l', "l", "modulus"), name('z', "z", "part"));
    let h = name('h', "h", "block");
    let w = Writer { p, options, scheme, panels, inside: false, l, z, h };
    let sides = [w.side('A', &p.rows, &p.a), w.side('B', &p.columns, &p.b)];
    let operand = |o: &Operand| &sides[usize::from(*o == Operand::B)];
    let (mut out, makes): (String, Vec<&Side<'_>>) = match &part {
        Part::Whole => (w.header(None) + &w.declarations(&sides, None), sides.iter().collect()),
        Part::Prepare(o) => (w.header_of(operand(o)) + &w.prepares(operand(o)), vec![operand(o)]),
        Part::Multiply(o) => {
            let given = operand(o);
            let others = sides.iter().filter(|s| s.upper != given.upper).collect();
            (w.header(Some(given)) + &w.declarations(&sides, Some(given)), others)
        }
    };
    for side in &makes {
        out += &w.scales(side);
    }
    out += &w.choice(&makes);
    let inner = Writer { inside: true, ..w };
    let residues = |upper: char| {
        let made = makes.iter().find(|side| side.upper == upper);
        made.map_or_else(String::new, |side| inner.residues(side))
    };
    let both = [residues('A'), residues('B')];
    if matches!(part, Part::Prepare(_)) {
        return out + &both.concat();
    }
    out += &w.in_panels(both, &(inner.products() + &inner.results()));
    out + &w.native_results()
}

impl<'w> Writer<'w> {
    fn side<'p>(&self, upper: char, lines: &[Index], indices: &'p [Index]) -> Side<'p> {
        let lines = self.p.batch.iter().chain(lines).copied().collect();
        Side { upper, lower: upper.to_ascii_lowercase(), lines, indices, blocks: false }
    }

    pub(super) fn moduli(&self) -> &'static [u32] {
        &ALL[..self.scheme.moduli]
    }

    pub(super) fn dtype(&self) -> DType {
        self.options.dtype
    }

    /// How many blocks sums are cut into, where they are.
    pub(super) fn blocks(&self) -> Option<String> {
        let cut = self.options.terms > MOST_TERMS;
        cut.then(|| format!("floor(({} + {}) / {BLOCK})", size(self.p.sums[0]), BLOCK - 1))
    }

    /// Products modulo numbers: of each number one, or three of complex elements.
    pub(super) fn count(&self) -> usize {
        self.scheme.moduli * if self.options.complex { 3 } else { 1 }
    }

    /// `, 2` for the parts of complex elements.
    pub(super) fn two(&self) -> &'static str {
        if self.options.complex { ", 2" } else { "" }
    }

    /// What it is and what it promises.
    fn header(&self, given: Option<&Side<'_>>) -> String {
        let (spec, dtype) = (&self.p.spec, self.dtype());
        let s = self.candidates().map_or(self.scheme, |all| all[0]);
        let moduli = match s.moduli == self.scheme.moduli {
            true => s.moduli.to_string(),
            false => format!("{} to {}", s.moduli, self.scheme.moduli),
        };
        let result = if self.options.scaled { "alpha AB + beta C" } else { "AB" };
        let rest = s.rest(self.options);
        let complex = if self.options.complex { "complex " } else { "" };
        let mut out = format!(
            "# Ozaki scheme II: {spec} of {complex}{dtype} from products of 8-bit integers \
             modulo {moduli} numbers\n\
             # (`warploom ozaki`, docs/ozaki.md). C = {result}, off by at most\n\
             #   1.01 2^-{} (|a| |b|_1 + |a|_1 |b|) + {rest:.2e} |a| |b|\n\
             # where |a|, |b| are the Euclidean norms of the row and the column, |a|_1, |b|_1 \
             their sums of\n# magnitudes; for at most {} terms. Infinities and NaNs go \
             where a product of {dtype} has them.\n",
            s.bits(),
            self.options.terms,
        );
        if self.options.complex {
            out += "# Real and imaginary parts are summed by three real products, each part off by \
                    at most that.\n";
        }
        if self.options.guarded {
            out += &self.promise();
        }
        out += &self.of_panels();
        if let Some(side) = given {
            let _ =
                writeln!(out, "# {} is prepared: its residues and scales are inputs.", side.upper);
        }
        out
    }

    /// What a preparing nest is.
    fn header_of(&self, side: &Side<'_>) -> String {
        format!(
            "# {} of {} as residues modulo {} numbers (`warploom ozaki --prepare`, \
             docs/ozaki.md).\n",
            side.upper, self.p.spec, self.scheme.moduli,
        )
    }

    /// Sizes, arrays and tables.
    fn declarations(&self, sides: &[Side<'_>; 2], given: Option<&Side<'_>>) -> String {
        let (p, t, two) = (self.p, self.dtype(), self.two());
        let mut out = format!("param {}\n", self.parameters(&p.indices()));
        let _ = writeln!(out, "in A: {t}[{}{two}]  in B: {t}[{}{two}]", sizes(&p.a), sizes(&p.b));
        if self.options.scaled {
            let _ = writeln!(out, "in alpha: {t}  in beta: {t}  inout C: {t}[{}]", sizes(&p.c));
        } else {
            let _ = writeln!(out, "out C: {t}[{}{two}]", sizes(&p.c));
        }
        if self.options.counted {
            out += match self.candidates() {
                Some(_) => "out native: i64[]  out moduli: i64[]\n",
                None => "out native: i64[]\n",
            };
        }
        out += &self.limit();
        out += &self.tables();
        out += &self.of_choice();
        for side in sides {
            let known = given.is_some_and(|g| g.upper == side.upper);
            out += &self.of_side(side, if known { "in" } else { "temp" });
        }
        out + &self.of_products()
    }

    /// The arrays of a preparing nest.
    fn prepares(&self, side: &Side<'_>) -> String {
        let (t, two, x) = (self.dtype(), self.two(), side.upper);
        let mut out = format!("param {}\n", sizes(side.indices));
        let _ = writeln!(out, "in {x}: {t}[{}{two}]", sizes(side.indices));
        out += &self.limit();
        out += &self.tables();
        out + &self.of_side(side, "out")
    }

    /// How long sums may be, where that is one size.
    fn limit(&self) -> String {
        match self.p.sums.as_slice() {
            [sum] => format!("assume {} <= {}\n", size(*sum), self.options.terms),
            _several => String::new(),
        }
    }

    /// Constants of the moduli.
    fn tables(&self) -> String {
        let mut out = "# moduli; 2^38 / each; 2^32 / each\n".to_owned();
        let all = || self.moduli().iter().cycle().take(self.count());
        out += &table("P", &all().map(|p| p.cast_signed()).collect::<Vec<_>>());
        out += &table("Q", &all().map(|p| reciprocal(*p)).collect::<Vec<_>>());
        let moduli = self.moduli().iter().map(|p| 2_f64.powi(32) / f64::from(*p));
        out += &reals("T0", &moduli.collect::<Vec<_>>());
        let groups = self.groups();
        if !groups.is_empty() {
            out += "# products of some of them, and 1 / each\n";
        }
        for (k, groups) in groups.iter().enumerate() {
            let product = |group: &&[u32]| group.iter().map(|p| f64::from(*p)).product::<f64>();
            let of = |group: &&[u32]| vec![product(group); group.len()];
            let each: Vec<f64> = groups.iter().flat_map(of).collect();
            out += &reals(&format!("F{k}"), &each);
            out += &reals(&format!("E{k}"), &each.iter().map(|f| f.recip()).collect::<Vec<_>>());
        }
        out
    }

    /// The arrays that belong to an operand.
    fn of_side(&self, side: &Side<'_>, role: &str) -> String {
        let (n, bits) = (self.count(), self.words().0);
        let (x, lines) = (side.lower, sizes(&side.lines));
        let mut out = format!("{role} m{x}: {bits}[{lines}]  ");
        if role != "in" {
            let _ = write!(out, "temp n{x}: i64[{lines}]  ");
        }
        if role != "in" && self.options.guarded {
            let _ = write!(out, "temp w{x}: i64[{lines}]  ");
        }
        let _ = writeln!(out, "{role} c{x}: i32[{lines}]");
        if self.options.guarded {
            let t = self.wide();
            let _ = write!(out, "{role} h{x}: i32[{lines}]  ");
            let _ = writeln!(out, "{role} z{x}: {t}[{lines}]  {role} d{x}: {t}[{lines}]");
        }
        let (count, all) = match self.blocks() {
            Some(blocks) => (format!("{n}*{blocks}"), BLOCK.to_string()),
            None => (n.to_string(), sizes(&self.p.sums)),
        };
        let lines = self.held_sizes(&side.lines);
        let _ = writeln!(out, "{role} R{}: i8[{count}, {lines}, {all}]", side.upper);
        out
    }

    /// Batch, rows and columns, as residues have them.
    pub(super) fn result_indices(&self) -> Vec<Index> {
        let p = self.p;
        let all: Vec<Index> = p.batch.iter().chain(&p.rows).chain(&p.columns).copied().collect();
        self.held(&all)
    }

    /// The integers of the bits of an element, and the first that is an infinity.
    pub(super) fn words(&self) -> (&'static str, i64) {
        if matches!(self.dtype(), DType::F32) {
            ("i32", 0x7f80_0000)
        } else {
            ("i64", 0x7ff0_0000_0000_0000)
        }
    }

    /// Bits of a norm's terms: their squares add up to less than 2^62.
    pub(super) fn norm(&self) -> u32 {
        let terms = (self.options.terms * self.options.parts()).next_power_of_two().ilog2();
        ((62 - terms) / 2 - 1).min(21)
    }

    /// Groups of moduli whose products make scaled elements shorter: all of them, once for each
    /// step.
    fn groups(&self) -> Vec<Vec<&'static [u32]>> {
        let bits = self.scheme.range / 2 + 1;
        let steps = [(LONGER, 2 * GROUP), (LONG, GROUP)];
        let mut out: Vec<Vec<&[u32]>> = Vec::new();
        for (_, size) in steps.into_iter().filter(|(most, _)| bits > *most) {
            let before = out.last().cloned().unwrap_or_else(|| vec![self.moduli()]);
            out.push(before.into_iter().flat_map(|group| even(group, size)).collect());
        }
        out
    }

    /// A part of an element, `part` the index of a complex number's.
    pub(super) fn read(&self, side: &Side<'_>, part: &str) -> String {
        let part = if self.options.complex { format!(", {part}") } else { String::new() };
        let index = |i: &Index| match side.blocks {
            true if self.p.sums.contains(i) => format!("{BLOCK}*{} + {i}", self.h),
            _plain => self.coordinate(*i),
        };
        let indices: Vec<String> = side.indices.iter().map(index).collect();
        format!("{}[{}{part}]", side.upper, indices.join(", "))
    }

    /// A part of an element, as f64.
    fn element(&self, side: &Side<'_>, part: &str) -> String {
        let read = self.read(side, part);
        if self.dtype() == DType::F32 { format!("cast_f64({read})") } else { read }
    }

    /// The bits of an element's magnitude: those of the larger part of a complex number.
    pub(super) fn magnitude(&self, side: &Side<'_>) -> String {
        let bits = self.words().0;
        let of = |part: &str| format!("bitcast_{bits}(abs({}))", self.read(side, part));
        if self.options.complex { format!("max({}, {})", of("0"), of("1")) } else { of("") }
    }

    /// The power of two for each row or column, from its largest magnitude and its norm.
    fn scales(&self, side: &Side<'_>) -> String {
        let (u, x, lines) = (side.upper, side.lower, list(&side.lines));
        let (norm, sums, e) = (self.norm(), loops(&self.p.sums), self.largest(side));
        let square = |part: &str| {
            let element = self.element(side, part);
            let term = format!("cast_i64(cast_i32_rup_sat(ldexp(abs({element}), {norm} - {e})))");
            format!("{term}\n      * {term}")
        };
        let squares = if self.options.complex {
            format!("{}\n      + {}", square("0"), square("1"))
        } else {
            square("")
        };
        let guard = if self.options.guarded { self.certificate(side) } else { String::new() };
        let scale = match self.candidates() {
            Some(_) => String::new(),
            None => self.scale(side, &(self.scheme.range - 1).to_string()),
        };
        format!(
            "for {} {{\n  M{u}0: m{x}[{lines}] = 0\n  \
             for {sums} {{ M{u}1: m{x}[{lines}] max= {} order any }}\n  \
             N{u}0: n{x}[{lines}] = 0\n  # the squared norm from {} bits of each element, rounded \
             up: exact, so its order does not matter\n  \
             for {sums} {{\n    N{u}1: n{x}[{lines}] += {squares} order any\n  }}\n\
             {scale}{guard}}}\n",
            loops(&side.lines),
            self.magnitude(side),
            norm + 1,
        )
    }

    /// The exponent of a row's or column's largest magnitude: the least magnitude stands for zero.
    fn largest(&self, side: &Side<'_>) -> String {
        let (t, x, lines) = (self.dtype(), side.lower, list(&side.lines));
        format!("exponent(bitcast_{t}(max(m{x}[{lines}], 1)))")
    }

    /// The statement that gives the power of two of a row or column, where the logarithm of sums
    /// less one is `range`.
    pub(super) fn scale(&self, side: &Side<'_>, range: &str) -> String {
        let (u, x, lines) = (side.upper, side.lower, list(&side.lines));
        let (norm, e) = (self.norm(), self.largest(side));
        let n = format!("exponent(cast_f64(max(n{x}[{lines}], 1)))");
        format!("  C{u}: c{x}[{lines}] = div({range} - {n}, 2)\n    + {norm} - {e}\n")
    }

    /// The residues of one operand: of the scaled element, an integer in an f64, what is left
    /// modulo products of several moduli; the fraction that this is of each modulus, in 32 bits,
    /// times the modulus.
    fn residues(&self, side: &Side<'_>) -> String {
        let side = &Side { blocks: self.blocks().is_some(), lines: side.lines.clone(), ..*side };
        let (l, u, n) = (self.l, side.upper, self.scheme.moduli);
        let scale = format!("c{}[{}]", side.lower, self.coordinates(&side.lines));
        let mut short = format!("trunc(ldexp({}, {scale}))", self.element(side, self.z));
        for k in 0..self.groups().len() {
            let quotient = format!("fma({short}, E{k}[{l}], {ROUNDS})");
            short = format!("fma({ROUNDS} - {quotient}, F{k}[{l}],\n      {short})");
        }
        let fraction = format!("cast_i32(bitcast_i64(fma({short}, T0[{l}], {ROUNDS_UP})))");
        let (around, at) = (self.around(side), |first: &str| self.place(side, first));
        let (each, parts) = if self.options.complex {
            (format!("{n}*{} + {l}", self.z), format!(", {} in 0..2", self.z))
        } else {
            (l.to_owned(), String::new())
        };
        let both = format!("(cast_i32({}) + cast_i32({}))", at(l), at(&format!("{n} + {l}")));
        let mut out = String::new();
        for (numbers, name, when) in self.residue_loops() {
            let _ = writeln!(
                out,
                "for {numbers}, {around}{parts} {{\n  \
                 S{u}{name}: {} = cast_i8(mulhi({fraction}, P[{l}])){when}\n}}",
                at(&each),
            );
            if self.options.complex {
                let _ = writeln!(
                    out,
                    "for {numbers}, {around} {{\n  D{u}{name}: {} = cast_i8({both}\n    \
                     - select({both} > 127, P[{l}], \
                     select({both} < -128, 0 - P[{l}], 0))){when}\n}}",
                    at(&format!("{} + {l}", 2 * n)),
                );
            }
        }
        out + &self.padding(side) + &self.unused(side)
    }

    /// The loops over moduli that residues are made in, what names their statements, and guards:
    /// those that every choice takes are made together, so that they share their first steps.
    fn residue_loops(&self) -> Vec<(String, &'static str, String)> {
        let (l, n) = (self.l, self.scheme.moduli);
        match self.fewest() {
            None => vec![(format!("{l} in 0..{n}"), "", String::new())],
            Some(fewest) => vec![
                (format!("{l} in 0..{fewest}"), "", String::new()),
                (format!("{l} in {fewest}..{n}"), "1", self.when(l, false)),
            ],
        }
    }

    /// The loops over an operand's elements.
    fn around(&self, side: &Side<'_>) -> String {
        let lines = self.panel_loops(&side.lines);
        match (self.blocks(), self.p.sums.as_slice()) {
            (Some(blocks), [k]) => {
                let (h, size) = (self.h, size(*k));
                format!("{lines}, {h} in 0..{blocks}, {k} in 0..min({BLOCK}, {size} - {BLOCK}*{h})")
            }
            (_, sums) => format!("{lines}, {}", loops(sums)),
        }
    }

    /// A residue of the number `first`, an operand's element.
    fn place(&self, side: &Side<'_>, first: &str) -> String {
        let block = match self.blocks() {
            Some(_) => format!("{}*{} + ", self.count(), self.h),
            None => String::new(),
        };
        let (lines, sums) = (list(&self.held(&side.lines)), list(&self.p.sums));
        format!("R{}[{block}{first}, {lines}, {sums}]", side.upper)
    }

    /// Zeros behind the last block of a sum.
    fn padding(&self, side: &Side<'_>) -> String {
        let (Some(blocks), [k]) = (self.blocks(), self.p.sums.as_slice()) else {
            return String::new();
        };
        let (l, h) = (self.l, self.h);
        format!(
            "for {l} in 0..{}, {}, {h} in 0..{blocks}, {k} in max(0, {} - {BLOCK}*{h})..{BLOCK} \
             {{\n  P{}: {} = 0\n}}\n",
            self.count(),
            self.panel_loops(&side.lines),
            size(*k),
            side.upper,
            self.place(side, l),
        )
    }

    /// Zeros where the last panel has fewer rows or columns.
    fn unused(&self, side: &Side<'_>) -> String {
        let Some(lines) = self.beyond(&side.lines) else { return String::new() };
        let sums = match (self.blocks(), self.p.sums.as_slice()) {
            (Some(blocks), [k]) => format!("{} in 0..{blocks}, {k} in 0..{BLOCK}", self.h),
            (_, sums) => loops(sums),
        };
        format!(
            "for {} in 0..{}, {lines}, {sums} {{\n  O{}: {} = 0\n}}\n",
            self.l,
            self.count(),
            side.upper,
            self.place(side, self.l),
        )
    }
}
