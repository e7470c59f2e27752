//! How much memory an emulated product takes beside its operands and result.
//!
//! In: a product, options and sizes. Out: bytes of residues, remainders and scales.
//! Requires: sums stay in registers, as where the product runs on tensor cores (on other paths they
//! take four bytes for each remainder more).
//! Why here: it follows from the nest's arrays alone, before anything is compiled.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};

use super::product::{Index, Product};
use super::text::{BLOCK, size};
use super::{MOST_TERMS, Options, Panels, Scheme, scheme};

/// Bytes of temporaries, all of which a product needs at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Residues of A and of B.
    pub residues: [u64; 2],
    /// Remainders of the sums.
    pub remainders: u64,
    /// Scales, magnitudes and certificates of rows and columns.
    pub lines: u64,
    /// The operands and the result, for comparison; not part of [`Self::total`].
    pub arrays: u64,
}

impl Room {
    /// What a product of these sizes takes.
    ///
    /// # Errors
    /// `E0511` for a size that is missing, or for more bytes than 64 bits count, and those of
    /// [`super::Emulation::new`].
    pub fn of(einsum: &str, options: &Options, sizes: &BTreeMap<Name, i64>) -> Result<Self> {
        Self::cut(&Product::parse(einsum)?, options, scheme(options)?, sizes, None)
    }

    /// What a product takes in panels, or whole.
    pub(super) fn cut(
        product: &Product,
        options: &Options,
        scheme: Scheme,
        sizes: &BTreeMap<Name, i64>,
        panels: Option<&Panels>,
    ) -> Result<Self> {
        let count = |indices: &[Index]| -> Result<u64> {
            indices.iter().try_fold(1_u64, |all, i| {
                let name = size(*i);
                let found = sizes.get(name.as_str()).and_then(|v| u64::try_from(*v).ok());
                let found = found.ok_or_else(|| {
                    let text = format!("the size `{name}` is not given");
                    Box::new(Diagnostic::input("E0511", text).help("give it with --size"))
                })?;
                all.checked_mul(found).ok_or_else(too_much)
            })
        };
        let mul = |a: u64, b: u64| a.checked_mul(b).ok_or_else(too_much);
        let add = |a: u64, b: u64| a.checked_add(b).ok_or_else(too_much);
        let moduli = scheme.moduli as u64 * if options.complex { 3 } else { 1 };
        let (batch, sums) = (count(&product.batch)?, count(&product.sums)?);
        let cut = options.terms > MOST_TERMS;
        let blocks = if cut { sums.div_ceil(BLOCK) } else { 1 };
        let terms = if cut { blocks * BLOCK } else { sums };
        let [rows, columns] =
            [mul(batch, count(&product.rows)?)?, mul(batch, count(&product.columns)?)?];
        let each = mul(moduli, terms)?;
        let results = count(&product.c)?;
        // of the batch one at a time
        let held = |k: usize, indices: &[Index]| match panels {
            Some(panels) => mul(panels.lines[k], count(&indices[1..])?),
            None => mul(batch, count(indices)?),
        };
        let [held_rows, held_columns] = [held(0, &product.rows)?, held(1, &product.columns)?];
        let held_results = if panels.is_some() { mul(held_rows, held_columns)? } else { results };
        // a block's remainders, and their sums as i32
        let bytes = if cut { mul(moduli, blocks + 5)? } else { moduli };
        let element = options.dtype.size_bytes() as u64;
        // a scale, and the magnitude or, in its place, the certificate
        let other = match (options.guarded, cut) {
            (false, _) => element,
            (true, false) => 12,
            (true, true) => 20,
        };
        let line = 4 + other;
        let arrays = add(mul(rows, sums)?, add(mul(columns, sums)?, results)?)?;
        Ok(Self {
            residues: [mul(held_rows, each)?, mul(held_columns, each)?],
            remainders: mul(held_results, bytes)?,
            lines: mul(add(rows, columns)?, line)?,
            arrays: mul(arrays, element * options.parts())?,
        })
    }

    /// All of it; saturates.
    #[must_use]
    pub fn total(&self) -> u64 {
        let [a, b] = self.residues;
        a.saturating_add(b).saturating_add(self.remainders).saturating_add(self.lines)
    }
}

fn too_much() -> Box<Diagnostic> {
    let text = "the product takes more bytes than 64 bits count";
    Box::new(Diagnostic::input("E0511", text).help("give smaller sizes"))
}
