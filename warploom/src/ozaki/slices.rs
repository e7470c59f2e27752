//! Ozaki scheme I: products of f64 as sums of products of slices, and how they are scheduled.
//!
//! In: an einsum of two operands, how many slices of which type, how many terms sums have. Out: a
//! nest with slices of as many bits as keep sums exact, its bound, and for a GPU a schedule.
//! Keeps: the bound holds for every finite input; infinities and NaNs go where a product has them.
//! A pair of slices is counted where its numbers add up to less than that of the slices.
//! Source: K. Ozaki, T. Ogita, S. Oishi, S. M. Rump (2012); D. Mukunoki et al. (2020) and
//! H. Ootomo, K. Ozaki, R. Yokota (2024) for tensor cores. A slice is the difference of two
//! roundings, 2^b·x to the nearest and 2^b times that of x: it needs no slice before it.

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, Paired, Schedule, auto_gpu};

use crate::compile;
use crate::model::{Machine, predict_kernel};

use super::product::{Index, Product};
use super::text::{list, loops, sizes};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceOptions {
    /// Slices of each operand.
    pub slices: u32,
    /// Their type: i8, bf16 or f16.
    pub of: DType,
    /// Sums have at most so many terms.
    pub terms: u64,
}

/// The nest, and what it promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Sliced {
    /// The nest's text.
    pub text: String,
    /// Bits of a slice, with its sign.
    pub bits: u32,
    /// The error is at most so much times K times the largest magnitudes of the row and column,
    /// rounded up to powers of two.
    pub bound: f64,
    /// The steps that put all pairs of a tile into one block; none where the product has several
    /// rows, columns or sums.
    pairs: Option<Steps>,
}

/// How the pairs of slices are multiplied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// All pairs of a tile in one block, added up where they are made.
    Together,
    /// Each pair by itself, for this reason.
    Apart(String),
}

/// Most slices of an operand: more hold nothing of an f64.
const MOST: u32 = 16;

/// Bits of slices whose products add up exactly: magnitudes are at most 2^(bits - 1).
fn bits(options: &SliceOptions) -> Option<u32> {
    // bits that an element holds with its sign, and those of exact sums
    let (own, sum) = match options.of {
        DType::I8 => (7, 30),
        DType::Bf16 => (9, 24),
        DType::F16 => (12, 24),
        _other => return None,
    };
    let terms = options.terms.max(1).checked_next_power_of_two()?.ilog2();
    let bits = own.min((u32::checked_sub(sum, terms)?) / 2 + 1);
    (bits >= 2).then_some(bits)
}

impl Sliced {
    /// The nest for an einsum of two operands such as `mk,kn->mn`.
    ///
    /// # Errors
    /// `E0540` for a spec that is no product of two operands, `E0541` for slices that cannot be
    /// added exactly, and whatever the einsum's parser finds.
    pub fn new(einsum: &str, options: &SliceOptions) -> Result<Self> {
        let product = Product::parse(einsum)?;
        let fits = (1..=MOST).contains(&options.slices);
        let Some(bits) = bits(options).filter(|_| fits) else {
            let text = format!(
                "{} slices of {} do not make sums of {} terms",
                options.slices, options.of, options.terms
            );
            let help = "1 to 16 slices of i8, bf16 or f16, whose products add up exactly: sums of \
                        up to 2^28 terms of i8, 2^22 of bf16 and f16";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        };
        let d = f64::from(options.slices);
        // pairs that are left out, the most important first, what is below the last slices, and
        // the roundings of the results' additions
        let left = (d + 1.1) * 2_f64.powf(-f64::from(bits) * d);
        let added = d * (d + 1.0) / 2.0 * 2_f64.powi(-53);
        let writer = Writer::new(&product, options, bits);
        let bound = left + added;
        Ok(Self { text: writer.text(bound), bits, bound, pairs: writer.together() })
    }

    /// The text as a nest.
    ///
    /// # Errors
    /// None, unless the text is wrong: a defect of ours.
    pub fn nest(&self) -> Result<Nest> {
        self.text.parse()
    }

    /// The schedule of this nest, with its sizes, for a target: all pairs of a tile in one block
    /// where that can be lowered, else every pair by itself; slices are made in one pass.
    ///
    /// # Errors
    /// Those of automatic schedules.
    pub fn schedule(&self, nest: &Nest, target: Target) -> Result<(Schedule, Pairs)> {
        self.schedule_on(nest, &GpuOptions::of(target))
    }

    /// [`Self::schedule`] for a GPU of which more is known; by pairs of blocks where they are asked
    /// for, or predicted to be faster.
    ///
    /// # Errors
    /// Those of automatic schedules.
    pub fn schedule_on(&self, nest: &Nest, options: &GpuOptions) -> Result<(Schedule, Pairs)> {
        let target = options.target;
        let reason = match (&self.pairs, target) {
            (None, _) => "the product has a batch, or several rows, columns or sums".to_owned(),
            (Some(_), Target::Cpu | Target::Sm80 | Target::Sm86 | Target::Sm89 | Target::Sm120) => {
                format!("{target} has no instruction that reads both operands from shared memory")
            }
            (Some(steps), Target::Sm90a | Target::Sm100a | Target::Sm103a) => {
                match steps.fastest(nest, options) {
                    Ok(schedule) => return Ok((schedule, Pairs::Together)),
                    Err(refusal) => refusal.message.clone(),
                }
            }
        };
        let apart = match target.gpu() {
            None => compile::auto_for(nest, target)?,
            Some(_gpu) => compile::automatic_on(nest, options)?.0,
        };
        Ok((apart, Pairs::Apart(reason)))
    }
}

/// The steps that put all pairs of a tile into one block.
#[derive(Clone, Debug, PartialEq)]
struct Steps {
    /// Up to the operands' buffers; `{deep}` are an instruction's rows, `{order}` the loops over
    /// tiles, `{members}` makes that of a pair's blocks.
    around: String,
    /// Behind them; `{instruction}` is the instruction, `{places}` maps tiles of rows.
    inside: String,
    /// The loops over tiles of rows and of columns.
    tiles: [String; 2],
    /// The loop over a tile's instructions below each other.
    team: String,
    /// Columns, terms and types in the instruction's name.
    shape: String,
}

impl Steps {
    /// The schedule, by pairs of blocks or not as asked for, else what is predicted to be faster.
    fn fastest(&self, nest: &Nest, options: &GpuOptions) -> Result<Schedule> {
        let ways: &[Paired] = match (options.paired, options.target) {
            (Paired::Always, _) => &[Paired::Always],
            (Paired::Predicted, Target::Sm100a | Target::Sm103a) => {
                &[Paired::Never, Paired::Always]
            }
            (Paired::Predicted | Paired::Never, _) => &[Paired::Never],
        };
        let made = ways.iter().map(|paired| {
            let options = GpuOptions { paired: *paired, ..*options };
            together(&self.of(&options), nest, &options)
        });
        let (done, mut refused): (Vec<_>, Vec<_>) = made.partition(Result::is_ok);
        match done.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((_, schedule)) => Ok(schedule),
            None => refused.swap_remove(0).map(|(_, schedule)| schedule),
        }
    }

    /// The script for a GPU.
    fn of(&self, options: &GpuOptions) -> String {
        let Self { around, inside, tiles: [rows, columns], team, shape } = self;
        // one thread multiplies all rows of a tile, or each warpgroup its own
        let (deep, teams, family) = match options.target {
            Target::Sm100a | Target::Sm103a if options.paired == Paired::Always => {
                ("128", String::new(), "tcgen05.mma.pair.m256")
            }
            Target::Sm100a | Target::Sm103a => ("128", String::new(), "tcgen05.mma.m128"),
            Target::Cpu
            | Target::Sm80
            | Target::Sm86
            | Target::Sm89
            | Target::Sm90a
            | Target::Sm120 => ("64", format!("map {team} to warpgroup\n"), "wgmma.m64"),
        };
        let (members, order, places) = match family.contains("pair") {
            true => (
                format!("split {rows} by 2\nskew {rows}.1 by -2*{rows}.0\n"),
                format!("{rows}.0, {columns}, {rows}.1"),
                format!("map {rows}.0 to block.y\nmap {rows}.1 to cluster\n"),
            ),
            false => {
                (String::new(), format!("{rows}, {columns}"), format!("map {rows} to block.y\n"))
            }
        };
        let around = around.replace("{members}", &members).replace("{order}", &order);
        let inside = inside.replace("{instruction}", &format!("{family}{shape}"));
        around.replace("{deep}", deep) + &teams + &inside.replace("{places}", &places)
    }
}

/// All pairs in one block, and the rest automatically; and the predicted time.
fn together(steps: &str, nest: &Nest, options: &GpuOptions) -> Result<(f64, Schedule)> {
    let script: Script = steps.parse()?;
    let start = Schedule::new(nest)?.replay(&script).map_err(|refusal| refusal.diagnostic)?;
    let schedule = auto_gpu(&start, options)?;
    let lowered = compile::lower(&schedule)?;
    let machine = Machine::of(options.target);
    let predicted = machine.and_then(|machine| predict_kernel(lowered.kernel(), &machine));
    Ok((predicted.map_or(f64::INFINITY, |p| p.time), schedule))
}

/// What is written for all statements.
struct Writer<'p> {
    product: &'p Product,
    options: &'p SliceOptions,
    bits: u32,
    /// The iterators over the slices of A and B.
    slices: [&'static str; 2],
}

impl<'p> Writer<'p> {
    fn new(product: &'p Product, options: &'p SliceOptions, bits: u32) -> Self {
        let indices = product.indices();
        let taken = indices.iter().any(|i| ['p', 'q'].contains(i));
        let slices = if taken { ["first", "second"] } else { ["p", "q"] };
        Self { product, options, bits, slices }
    }

    /// Batch with rows or columns.
    fn lines(&self, own: &[Index]) -> Vec<Index> {
        self.product.batch.iter().chain(own).copied().collect()
    }

    /// The type of exact sums.
    fn sums(&self) -> DType {
        if self.options.of == DType::I8 { DType::I32 } else { DType::F32 }
    }

    /// The nest.
    fn text(&self, bound: f64) -> String {
        let (p, d, of) = (self.product, self.options.slices, self.options.of);
        let (rows, columns) = (self.lines(&p.rows), self.lines(&p.columns));
        let result: Vec<Index> = p.batch.iter().chain(&p.rows).chain(&p.columns).copied().collect();
        let mut out = format!(
            "# Ozaki scheme I: {} of f64 from {d} slices of {} bits in {of}, {} products\n\
             # (`warploom ozaki --scheme 1`, docs/ozaki.md). C = AB, off by at most {bound:.2e} K \
             max|a| max|b|, with\n# the magnitudes of the row and the column rounded up to powers \
             of two; for at most {} terms.\n\
             # Infinities and NaNs go where a product of f64 has them.\n",
            p.spec,
            self.bits,
            d * (d + 1) / 2,
            self.options.terms,
        );
        out += &format!(
            "param {}\nin A: f64[{}]  in B: f64[{}]  out C: f64[{}]\n",
            sizes(&p.indices()),
            sizes(&p.a),
            sizes(&p.b),
            sizes(&p.c),
        );
        if let [sum] = p.sums.as_slice() {
            out += &format!("assume {} <= {}\n", sizes(&[*sum]), self.options.terms);
        }
        for (x, lines) in [('a', &rows), ('b', &columns)] {
            let (own, all) = (sizes(lines), sizes(&p.sums));
            out += &format!(
                "temp m{x}: i64[{own}]  temp c{x}: i32[{own}]  temp S{}: {of}[{d}, {own}, {all}]\n",
                x.to_ascii_uppercase()
            );
        }
        // of each pair, so that no block has to leave them in memory
        out += &format!("temp T: {}[{d}, {d}, {}]\n", self.sums(), sizes(&result));
        out += &self.split('A', &rows, &p.a, self.slices[0]);
        out += &self.split('B', &columns, &p.b, self.slices[1]);
        out + &self.products(&rows, &columns, &result)
    }

    /// The power of two above each row or column, and its slices.
    fn split(&self, u: char, lines: &[Index], indices: &[Index], slice: &str) -> String {
        let (x, own, sums) = (u.to_ascii_lowercase(), list(lines), &self.product.sums);
        let (d, b, read) = (self.options.slices, self.bits, format!("{u}[{}]", list(indices)));
        let (of, all) = (self.options.of, list(sums));
        let saturated = if of == DType::I8 { "_sat" } else { "" };
        let rounded =
            |shift: i64| format!("rint(ldexp({read}, {b}*{slice} + {shift} - c{x}[{own}]))");
        format!(
            "for {} {{\n  M{u}0: m{x}[{own}] = 0\n  \
             for {} {{ M{u}1: m{x}[{own}] max= bitcast_i64(abs({read})) order any }}\n  \
             C{u}: c{x}[{own}] = exponent(bitcast_f64(max(m{x}[{own}], 1))) + 1\n}}\n\
             for {slice} in 0..{d}, {}, {} {{\n  S{u}_: S{u}[{slice}, {own}, {all}] = \
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

    /// The products of pairs, added one after the other, and what is no number.
    fn products(&self, rows: &[Index], columns: &[Index], result: &[Index]) -> String {
        let (p, d, b, [first, second]) =
            (self.product, self.options.slices, self.bits, self.slices);
        let (own, other, k) = (list(rows), list(columns), list(&p.sums));
        let t = format!("T[{first}, {second}, {}]", list(result));
        let c = format!("C[{}]", list(&p.c));
        let special = format!("max(ma[{own}], mb[{other}]) >= {}", 0x7ff0_0000_0000_0000_u64);
        format!(
            "for {all} {{\n  C0: {c} = 0\n}}\n\
             for {first} in 0..{d}, {second} in 0..{d} - {first} {{\n  for {all} {{\n    \
             G0: {t} = 0\n    for {sums} {{\n      \
             G1: {t} += SA[{first}, {own}, {k}] * SB[{second}, {other}, {k}] order any\n    \
             }}\n    \
             C1: {c} += ldexp(cast_f64({t}), ca[{own}] + cb[{other}]\n      \
             - {b}*{first} - {b}*{second} - {}) strict\n  }}\n}}\n\
             # where a row or a column has an infinity or a NaN\n\
             for {all} {{\n  Y: {c} = 0 when {special}\n}}\n\
             for {all} {{\n  for {sums} {{\n    \
             Z: {c} += A[{}] * B[{}] when {special} order serial strict\n  }}\n}}\n",
            2 * b - 2,
            list(&p.a),
            list(&p.b),
            all = loops(result),
            sums = loops(&p.sums),
        )
    }

    /// The steps that put all pairs of a tile into one block.
    fn together(&self) -> Option<Steps> {
        let p = self.product;
        let ([m], [n], [k], true) =
            (p.rows.as_slice(), p.columns.as_slice(), p.sums.as_slice(), p.batch.is_empty())
        else {
            return None;
        };
        let (deep, point) = if self.options.of == DType::I8 { (128, 32) } else { (64, 16) };
        let (sum, of, [a, b]) = (self.sums(), self.options.of, self.slices);
        let around = format!(
            "tile G0.{m}, G0.{n} by 128, 128\n\
             {{members}}reorder {{order}}, G0.{a}, G0.{b}, G0.{m}.1, G0.{n}.1\n\
             distribute G0.{n}.1\n\
             distribute G0.{m}.1\n\
             split G1.{k} by {deep}\n\
             reorder G1.{k}.0, G1.{m}.1, G1.{n}.1, G1.{k}.1\n\
             split G1.{m}.1 by {{deep}}\n\
             split G1.{k}.1 by {point}\n\
             reorder G1.{k}.0, G1.{m}.1.0, G1.{k}.1.0, G1.{m}.1.1, G1.{n}.1, G1.{k}.1.1\n\
             stage T at G0.{b}\n\
             stage SA at G1.{k}.0 as As\n\
             stage SB at G1.{k}.0 as Bs\n\
             map As.0 to tma\n\
             map Bs.0 to tma\n"
        );
        let inside = format!(
            "tensorize G1.{m}.1.1, G1.{n}.1, G1.{k}.1.1 with {{instruction}}\n\
             ring G1.{k}.0 by 4\n\
             map G0.{n}.0 to block.x\n\
             {{places}}"
        );
        let tiles = [m, n].map(|l| format!("G0.{l}.0"));
        let shape = format!("n128k{point}.{sum}.{of}.{of}");
        Some(Steps { around, inside, tiles, team: format!("G1.{m}.1.0"), shape })
    }
}
