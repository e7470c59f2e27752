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

mod moduli;
mod product;
mod text;

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;

use moduli::{ALL, Natural};
use product::Product;

/// Terms of a sum at most: products of residues then fit 31 bits.
pub const MOST_TERMS: u64 = (1 << 17) - 1;

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
}

/// The nest, and what it promises.
#[derive(Clone, Debug, PartialEq)]
pub struct Emulation {
    /// The nest's text.
    pub text: String,
    /// How many products of integers it takes.
    pub moduli: usize,
    /// Elements are cut below 2^-bits of their row's norm.
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
    fn rest(self, dtype: DType) -> f64 {
        let above = self.product[0] / 2_f64.powi(i32::try_from(self.range).expect("few bits") - 2);
        // a pair's number is below 2^24, and its weight off by at most half a unit
        let weights = self.moduli.div_ceil(2) as f64 * 2_f64.powi(23 - FRACTION) * above;
        let last = 2_f64.powi(if dtype == DType::F32 { -24 } else { -53 });
        (weights + 2_f64.powi(-53)) * 1.01 + last
    }

    /// The error as a part of the norms' product, for sums of so many terms: a row's sum of
    /// magnitudes is at most its norm times the root of their number.
    fn error(self, dtype: DType, terms: u64) -> f64 {
        let cut = 2.0 * 1.01 * 2_f64.powf(-self.bits()) * (terms as f64).sqrt();
        cut + self.rest(dtype)
    }
}

/// The least number of moduli that an accuracy takes.
fn scheme(options: &Options) -> Result<Scheme> {
    let dtype = options.dtype;
    let all = || (2..=ALL.len()).map(Scheme::of);
    let (found, wanted) = match options.accuracy {
        Accuracy::Moduli(n) => (all().find(|s| s.moduli == n), format!("{n} moduli")),
        Accuracy::Bits(n) => (all().find(|s| s.bits() >= f64::from(n)), format!("{n} bits")),
        Accuracy::Tolerance(t, terms) => {
            (all().find(|s| s.error(dtype, terms) <= t), format!("an error of {t:e}"))
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
            best.error(dtype, 1),
        );
        Box::new(Diagnostic::input("E0541", text).help(help))
    })
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
        let product = Product::parse(einsum)?;
        let scheme = scheme(options)?;
        let (bits, rest) = (scheme.bits(), scheme.rest(options.dtype));
        let text = text::nest(&product, options, scheme);
        Ok(Self { text, moduli: scheme.moduli, bits, rest })
    }

    /// The text as a nest.
    ///
    /// # Errors
    /// None, unless the text is wrong: a defect of ours.
    pub fn nest(&self) -> Result<Nest> {
        self.text.parse()
    }
}
