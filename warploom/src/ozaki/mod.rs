//! Products of f64 and f32 as nests of 8-bit integer products: Ozaki scheme II for any product of
//! two arrays, any accuracy.
//!
//! In: an einsum of two operands (transposed, batched, with several indices as it likes), the type,
//! and the accuracy asked for. Out: the text of a nest with as many moduli as that takes, and the
//! bound that it keeps (docs/ozaki.md has the proof).
//! Keeps: the bound holds for every finite input, whatever its scale; infinities and NaNs go where
//! a plain product has them. The text is all: no other part of the compiler knows about it.
//! Why here: it writes a spec, as a user would, and the facade is where specs come from.
//! Source: Y. Uchino, K. Ozaki, T. Imamura, Ozaki scheme II (2025); D. Kawakami, D. Takahashi
//! (2026) for the scaling by Cauchy and Schwarz.

mod choice;
mod guard;
mod moduli;
mod panels;
mod product;
mod room;
mod slices;
mod sums;
mod text;

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;

pub use panels::{Panels, parse_bytes};
pub use room::Room;
pub use slices::{Pairs, SliceOptions, Sliced};

use moduli::{ALL, Natural};
use product::Product;

/// Terms of a sum at most that are added without a remainder between: products of residues then
/// fit 31 bits.
pub const MOST_TERMS: u64 = (1 << 17) - 1;
/// Terms of a sum at most, in blocks whose remainders are added.
pub const MOST_BLOCKED: u64 = 1 << 21;

/// How accurate a product is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Accuracy {
    /// Elements of a row of A (a column of B) are cut below 2^-bits of its Euclidean norm.
    Bits(u32),
    /// The error is at most so much times the norms of the row and the column, for sums of so many
    /// terms.
    Tolerance(f64, u64),
    /// So many moduli.
    Moduli(usize),
    /// As many moduli as the data need for grade A, where the device runs: no fewer than the first
    /// number, and no more than the second. For guarded products.
    Chosen(usize, usize),
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The type of A, B and C: f64 or f32.
    pub dtype: DType,
    /// How accurate it is to be.
    pub accuracy: Accuracy,
    /// C becomes alpha·AB + beta·C, with both scalars as inputs.
    pub scaled: bool,
    /// Results for which the data do not prove grade A are sums of native products.
    pub guarded: bool,
    /// `native` is an output, how many results were summed natively; and `moduli`, how many of them
    /// were chosen, where the data choose.
    pub counted: bool,
    /// Elements are complex: a last dimension of A, B and C holds the real and imaginary part.
    pub complex: bool,
    /// Sums have at most so many terms; more than [`MOST_TERMS`] are added in blocks.
    pub terms: u64,
}

impl Options {
    /// A plain product.
    #[must_use]
    pub const fn new(dtype: DType, accuracy: Accuracy) -> Self {
        let (scaled, guarded, counted, complex) = (false, false, false, false);
        Self { dtype, accuracy, scaled, guarded, counted, complex, terms: MOST_TERMS }
    }

    /// Grade A: elementwise as accurate as a sum of products of the type itself, whatever the
    /// data, |C - AB| <= (K + 2)·u·|A||B| with u = 2^-53 (2^-24 for f32), and (3 K + 3)·u·|A||B|
    /// with the magnitudes of complex elements.
    #[must_use]
    pub const fn grade_a(dtype: DType) -> Self {
        let moduli = if matches!(dtype, DType::F32) { MOST_F32 } else { 15 };
        Self { guarded: true, ..Self::new(dtype, Accuracy::Moduli(moduli)) }
    }

    /// Real numbers that make up an element.
    const fn parts(&self) -> u64 {
        if self.complex { 2 } else { 1 }
    }
}

/// One of a product's operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The first, whose rows are the result's.
    A,
    /// The second, whose columns are the result's.
    B,
}

/// The nest, and what it promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Emulation {
    /// The nest's text.
    pub text: String,
    /// How many products of integers it takes at most.
    pub moduli: usize,
    /// How many at least, where the data choose; else as many.
    pub least: usize,
    /// With the fewest moduli elements are cut below 2^-bits of their row's norm.
    pub bits: f64,
    /// What the last steps may add, as a part of the norms' product.
    pub rest: f64,
}

/// What so many moduli give.
#[derive(Clone, Copy, Debug)]
struct Scheme {
    moduli: usize,
    /// Sums are below 2^range in magnitude.
    range: u32,
    /// The moduli's product, as a sum of two.
    product: [f64; 2],
}

/// Bits of the fraction in which residues add up.
const FRACTION: i32 = 128;

impl Scheme {
    fn of(moduli: usize) -> Self {
        let product = Natural::product(&ALL[..moduli]);
        // twice a sum is below the product; no product is a power of two
        let range = product.bits() - 2;
        Self { moduli, range, product: product.to_f64s() }
    }

    /// Bits below a row's norm at which its elements are cut.
    fn bits(self) -> f64 {
        f64::from(self.range) / 2.0 - 1.0
    }

    /// What rounded weights and the last roundings add, as a part of the norms' product.
    fn rest(self, options: &Options) -> f64 {
        let above = self.product[0] / 2_f64.powi(i32::try_from(self.range).expect("few bits") - 2);
        // a group's number is below 2^25, three of them for complex results, and its weight off by
        // at most half a unit
        let bits = if options.complex { 26 } else { 24 };
        let groups = self.moduli.div_ceil(text::GROUP);
        let weights = groups as f64 * 2_f64.powi(bits - FRACTION) * above;
        let last = 2_f64.powi(if options.dtype == DType::F32 { -24 } else { -53 });
        (weights + 2_f64.powi(-53)) * 1.01 + last
    }

    /// The error as a part of the norms' product, for sums of so many terms: a row's sum of
    /// magnitudes is at most its norm times the root of their number.
    fn error(self, options: &Options, terms: u64) -> f64 {
        let terms = terms.saturating_mul(options.parts());
        let cut = 2.0 * 1.01 * 2_f64.powf(-self.bits()) * (terms as f64).sqrt();
        cut + self.rest(options)
    }
}

/// The number of moduli that an accuracy takes at most: the least that is enough.
fn scheme(options: &Options) -> Result<Scheme> {
    let dtype = options.dtype;
    let all = || (2..=ALL.len()).map(Scheme::of);
    let (found, wanted) = match options.accuracy {
        Accuracy::Moduli(n) => (all().find(|s| s.moduli == n), format!("{n} moduli")),
        Accuracy::Chosen(least, n) => {
            let found = all().find(|s| s.moduli == n && (2..=n).contains(&least));
            (found, format!("{least} to {n} moduli"))
        }
        Accuracy::Bits(n) => (all().find(|s| s.bits() >= f64::from(n)), format!("{n} bits")),
        Accuracy::Tolerance(t, terms) => {
            (all().find(|s| s.error(options, terms) <= t), format!("an error of {t:e}"))
        }
    };
    let most = if dtype == DType::F32 { MOST_F32 } else { ALL.len() };
    found.filter(|s| s.moduli <= most).ok_or_else(|| {
        let (least, best) = (Scheme::of(2), Scheme::of(most));
        let text = format!("{dtype} products of {wanted} cannot be made of 8-bit integers");
        let help = format!(
            "2 to {most} moduli are possible: {} to {} bits, errors down to {:.1e} of the norms",
            least.bits().floor(),
            best.bits().floor(),
            best.error(options, 1),
        );
        Box::new(Diagnostic::input("E0541", text).help(help))
    })
}

/// The fewest moduli that the data may choose; all of them where they choose nothing.
fn least(options: &Options, most: Scheme) -> Scheme {
    match options.accuracy {
        Accuracy::Chosen(least, _) => Scheme::of(least),
        Accuracy::Bits(_) | Accuracy::Tolerance(..) | Accuracy::Moduli(_) => most,
    }
}

/// Refuses sums that are too long, or have to be cut into blocks and run over several indices.
fn terms(product: &Product, options: &Options) -> Result<()> {
    let most = if product.sums.len() == 1 { MOST_BLOCKED } else { MOST_TERMS };
    if options.terms <= most {
        return Ok(());
    }
    let text = format!("sums of {} terms are longer than the scheme adds", options.terms);
    let help = format!("at most {MOST_BLOCKED} terms over one index, {MOST_TERMS} over several");
    Err(Box::new(Diagnostic::input("E0541", text).help(help)))
}

/// Moduli with which scaled f32 are no longer than an i32.
const MOST_F32: usize = 8;

impl Emulation {
    /// The nest for an einsum of two operands such as `mk,kn->mn`.
    ///
    /// # Errors
    /// `E0540` for a spec that is no product of two operands, `E0541` for an accuracy or a type
    /// that the scheme has not, and whatever the einsum's parser finds.
    pub fn new(einsum: &str, options: &Options) -> Result<Self> {
        if !matches!(options.dtype, DType::F64 | DType::F32) {
            let text = format!("elements of {} are no f64 or f32", options.dtype);
            let help = "emulated products are of f64 or f32";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        }
        if options.complex && options.scaled {
            let text = "complex products have no alpha and beta";
            let help = "scale the result in a statement of its own";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        }
        let choice = matches!(options.accuracy, Accuracy::Chosen(..));
        if choice && !options.guarded {
            let text = "only grade A says how many moduli the data need";
            let help = "ask for `--grade A`, or for one number of moduli";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        }
        let product = Product::parse(einsum)?;
        let scheme = scheme(options)?;
        terms(&product, options)?;
        let least = least(options, scheme);
        let (bits, rest) = (least.bits(), least.rest(options));
        let text = text::nest(&product, options, scheme, text::Part::Whole, None);
        Ok(Self { text, moduli: scheme.moduli, least: least.moduli, bits, rest })
    }

    /// The nest for these sizes whose temporaries take at most `most` bytes where the product runs
    /// on tensor cores: rows and columns in panels where all at once would take more. Also what it
    /// takes, and the panels.
    ///
    /// # Errors
    /// As [`Self::new`], and `E0511` for sizes that are missing or take more in the least panels.
    pub fn within(
        einsum: &str,
        options: &Options,
        sizes: &BTreeMap<Name, i64>,
        most: u64,
    ) -> Result<(Self, Room, Option<Panels>)> {
        let whole = Self::new(einsum, options)?;
        let (product, scheme) = (Product::parse(einsum)?, scheme(options)?);
        let panels = Panels::plan(&product, options, sizes, most)?;
        let room = Room::cut(&product, options, scheme, sizes, panels.as_ref())?;
        let text = text::nest(&product, options, scheme, text::Part::Whole, panels.as_ref());
        Ok((Self { text, ..whole }, room, panels))
    }

    /// The nests that prepare one operand once, and that multiply by it: what the first writes, the
    /// second reads under the same names (docs/ozaki.md has the form).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn prepared(einsum: &str, options: &Options, operand: Operand) -> Result<[Self; 2]> {
        let whole = Self::new(einsum, options)?;
        if whole.least < whole.moduli {
            let text = "a prepared operand has residues of one number of moduli";
            let help =
                "ask for that number, `--moduli 15`: the other operand is not there to choose";
            return Err(Box::new(Diagnostic::input("E0541", text).help(help)));
        }
        let (product, scheme) = (Product::parse(einsum)?, scheme(options)?);
        let part = |part| Self {
            text: text::nest(&product, options, scheme, part, None),
            ..whole.clone()
        };
        Ok([part(text::Part::Prepare(operand)), part(text::Part::Multiply(operand))])
    }

    /// The text as a nest.
    ///
    /// # Errors
    /// None, unless the text is wrong: a defect of ours.
    pub fn nest(&self) -> Result<Nest> {
        self.text.parse()
    }
}
