//! Ozaki scheme I: products of f64 as sums of products of slices, and how they are scheduled.
//!
//! In: an einsum of two operands, how many slices of which type, how many terms sums have. Out: a
//! nest with slices of as many bits as keep sums exact, its bound, and for a GPU a schedule.
//! Keeps: the bound holds for every finite input; infinities and NaNs go where a product has them.
//! A pair of slices is counted where its numbers add up to less than what is asked for.
//! Source: K. Ozaki, T. Ogita, S. Oishi, S. M. Rump (2012); D. Mukunoki et al. (2020) and
//! H. Ootomo, K. Ozaki, R. Yokota (2024) for tensor cores; Y. Uchino, K. Ozaki, T. Imamura (2025)
//! for sums of pairs of equal exponent. A slice is the difference of two
//! roundings, 2^b·x to the nearest and 2^b times that of x: it needs no slice before it.

mod nest;
mod steps;

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, Schedule};

use crate::compile;

use super::Operand;
use super::product::Product;
use nest::Writer;
use steps::{Chosen, Steps};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceOptions {
    /// Slices of each operand.
    pub slices: u32,
    /// Their type: i8, bf16 or f16.
    pub of: DType,
    /// Pairs of slices are multiplied whose numbers, from 0, add up to less: a triangle where that
    /// is no more than the slices.
    pub pairs: u32,
    /// Bits of a slice, with its sign; else as many as leave room for long exact sums.
    pub bits: Option<u32>,
    /// Pairs of the same exponent are one exact sum.
    pub grouped: bool,
    /// Sums have at most so many terms.
    pub terms: u64,
}

impl SliceOptions {
    /// So many slices, a triangle of pairs, one exact sum for each.
    #[must_use]
    pub const fn new(slices: u32, of: DType, terms: u64) -> Self {
        Self { slices, of, pairs: slices, bits: None, grouped: false, terms }
    }

    /// As many bits as whole sums are exact with, for targets that leave exact sums in tensor
    /// memory: what adds them up is in memory there.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { bits: limits(self.of).map(|limits| self.widest(limits, self.terms)), ..self }
    }

    /// How many pairs of slices are multiplied.
    #[must_use]
    pub fn products(&self) -> u32 {
        (0..self.slices).map(|p| self.pairs.saturating_sub(p).min(self.slices)).sum()
    }

    /// How many different exponents pairs have.
    const fn groups(&self) -> u32 {
        let all = 2 * self.slices - 1;
        if self.pairs < all { self.pairs } else { all }
    }

    /// How many pairs an exact sum has at most.
    fn together(&self) -> u64 {
        if self.grouped { u64::from(self.slices.min(self.pairs)) } else { 1 }
    }

    /// How many terms an exact sum has at most, a power of two, with slices of so many bits: terms
    /// have magnitudes of at most 2^(2 bits - 2).
    fn exact(&self, Limits { sum, .. }: Limits, bits: u32) -> u64 {
        let room = sum.saturating_sub(2 * bits.saturating_sub(1));
        (1_u64 << room) / self.together().next_power_of_two()
    }

    /// The most bits with which sums of so many terms are exact.
    fn widest(&self, limits: Limits, terms: u64) -> u32 {
        let fits = |bits: &u32| self.exact(limits, *bits) >= terms.max(1);
        (2..=limits.own).rev().find(fits).unwrap_or(1)
    }
}

/// Bits that a slice of a type holds with its sign, and those of exact sums.
#[derive(Clone, Copy, Debug)]
struct Limits {
    own: u32,
    sum: u32,
}

/// The limits of a type.
fn limits(of: DType) -> Option<Limits> {
    match of {
        DType::I8 => Some(Limits { own: 7, sum: 30 }),
        DType::Bf16 => Some(Limits { own: 9, sum: 24 }),
        DType::F16 => Some(Limits { own: 12, sum: 24 }),
        _other => None,
    }
}

/// How sums of products of slices are cut so that they are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    /// Bits of a slice, with its sign.
    bits: u32,
    /// Terms of an exact sum, where sums have more.
    block: Option<u64>,
}

/// Fewest terms of an exact sum: each costs an addition of f64.
const FEWEST: u64 = 64;
/// As many terms as make that cheap, for sums of one pair and of several.
const LONG: [u64; 2] = [1024, 512];

impl Cut {
    /// None where slices of the type and bits make no exact sums of [`FEWEST`] terms, or of all
    /// where they run over several indices.
    fn of(options: &SliceOptions, sums: usize) -> Option<Self> {
        let limits = limits(options.of)?;
        let enough = if sums == 1 { LONG[usize::from(options.grouped)] } else { u64::MAX };
        let long = options.terms.min(enough);
        let bits = options.bits.unwrap_or_else(|| options.widest(limits, long));
        let exact = options.exact(limits, bits);
        let short = exact < options.terms && (sums != 1 || exact < FEWEST);
        if !(2..=limits.own).contains(&bits) || short {
            return None;
        }
        Some(Self { bits, block: (exact < options.terms).then_some(exact) })
    }
}

/// The nest, and what it promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Sliced {
    /// The nest's text.
    pub text: String,
    /// Bits of a slice, with its sign.
    pub bits: u32,
    /// Terms of an exact sum, where sums have more.
    pub block: Option<u64>,
    /// The error is at most so much times K times the largest magnitudes of the row and column,
    /// rounded up to powers of two.
    pub bound: f64,
    /// The steps that put all pairs of a tile into one block; none where the product has several
    /// rows, columns or sums.
    pairs: Option<Steps>,
}

/// How the pairs of slices are multiplied.
#[derive(Clone, Debug, PartialEq)]
pub enum Pairs {
    /// All pairs of a tile in one block, added up where they are made.
    Together {
        /// Whose slices are made on their way into shared memory.
        split: Option<Operand>,
        /// Seconds that are predicted with slices made before, and with slices made on the way.
        predicted: [Option<f64>; 2],
    },
    /// Each pair by itself, for this reason.
    Apart(String),
}

/// Most slices of an operand: more hold nothing of an f64.
const MOST: u32 = 16;

/// What pairs that are left out and what is below the last slices weigh at most, of products of
/// numbers below 1. Slice p is at most 2^(-bits p), and so is what slices up to it leave.
fn left_out(options: &SliceOptions, bits: u32) -> f64 {
    let (s, weight) = (options.slices, |n: u32| 2_f64.powf(-f64::from(bits) * f64::from(n)));
    let pairs = (0..s).flat_map(|p| (0..s).map(move |q| p + q));
    let pairs: f64 = pairs.filter(|sum| *sum >= options.pairs).map(weight).sum();
    pairs + 2.0 * weight(s) + weight(2 * s)
}

/// The roundings of additions of exact sums, of the same: those of a block each round at most what
/// there is of the result so far.
fn rounded(options: &SliceOptions, block: Option<u64>) -> f64 {
    let blocks = block.map_or(1, |block| options.terms.div_ceil(block)) as f64;
    let sums = if options.grouped { options.groups() } else { options.products() };
    1.01 * f64::from(sums) * f64::midpoint(blocks, 1.0) * 2_f64.powi(-53)
}

impl Sliced {
    /// The nest for an einsum of two operands such as `mk,kn->mn`.
    ///
    /// # Errors
    /// `E0540` for a spec that is no product of two operands, `E0541` for slices that cannot be
    /// added exactly, and whatever the einsum's parser finds.
    pub fn new(einsum: &str, options: &SliceOptions) -> Result<Self> {
        let product = Product::parse(einsum)?;
        let fits = (1..=MOST).contains(&options.slices) && (1..2 * MOST).contains(&options.pairs);
        let cut = if fits { Cut::of(options, product.sums.len()) } else { None };
        let Some(cut) = cut else {
            let bits = options.bits.map_or_else(String::new, |b| format!(" of {b} bits"));
            let text = format!(
                "{} slices{bits} of {}, in pairs below {}, do not make sums of {} terms",
                options.slices, options.of, options.pairs, options.terms
            );
            let help = "1 to 16 slices of i8 (up to 7 bits), bf16 (9) or f16 (12) whose products \
                        add up exactly: at least 64 of them, or all where sums run over several \
                        indices";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        };
        // the last rounding may be one of several: results below the normal numbers
        let bound = left_out(options, cut.bits) + rounded(options, cut.block) + 2_f64.powi(-53);
        let writer = Writer::new(&product, options, cut);
        let text = writer.text(bound);
        Ok(Self { text, bits: cut.bits, block: cut.block, bound, pairs: Steps::of(&writer) })
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
                    Ok(Chosen { schedule, split, predicted }) => {
                        return Ok((schedule, Pairs::Together { split, predicted }));
                    }
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
