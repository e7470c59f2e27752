//! An einsum of two operands as a product of matrices: which index is a row, a column, a sum.

use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::einsum::{Einsum, Term};

/// An index: its iterator's name.
pub(super) type Index = char;

/// The indices of a product.
#[derive(Clone, Debug)]
pub(super) struct Product {
    /// The einsum, written out.
    pub(super) spec: String,
    /// As A, B and C have them.
    pub(super) a: Vec<Index>,
    pub(super) b: Vec<Index>,
    pub(super) c: Vec<Index>,
    /// In A, B and C; in the result's order.
    pub(super) batch: Vec<Index>,
    /// In A and C.
    pub(super) rows: Vec<Index>,
    /// In B and C.
    pub(super) columns: Vec<Index>,
    /// In A and B.
    pub(super) sums: Vec<Index>,
}

fn refused(text: &str) -> Box<Diagnostic> {
    let help = "give an einsum of two operands such as mk,kn->mn, km,nk->mn or bmk,bkn->bmn, each \
                index in lower case, once in an operand, and in two of them or in all";
    Box::new(Diagnostic::input("E0540", text).help(help))
}

/// The labels of a term, each of them once.
fn labels(term: &Term) -> Result<Vec<Index>> {
    let found: Vec<Index> = term.labels().collect();
    let twice = (1..found.len()).any(|k| found[..k].contains(&found[k]));
    if term.has_ellipsis() || twice || found.iter().any(|c| !c.is_ascii_lowercase()) {
        return Err(refused(&format!("`{term}` is no operand of a plain product")));
    }
    Ok(found)
}

impl Product {
    /// Reads an einsum.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let einsum = Einsum::parse(text)?;
        let [a, b] = einsum.inputs.as_slice() else {
            return Err(refused(&format!(
                "a product has two operands, not {}",
                einsum.inputs.len()
            )));
        };
        let (a, b, c) = (labels(a)?, labels(b)?, labels(&einsum.output)?);
        let of = |from: &[Index], own: [bool; 3]| -> Vec<Index> {
            let place = |i: &Index| [a.contains(i), b.contains(i), c.contains(i)] == own;
            from.iter().copied().filter(place).collect()
        };
        let batch = of(&c, [true, true, true]);
        let (rows, columns) = (of(&a, [true, false, true]), of(&b, [false, true, true]));
        let sums = of(&a, [true, true, false]);
        let alone = [of(&a, [true, false, false]), of(&b, [false, true, false])].concat();
        if let Some(index) = alone.first() {
            return Err(refused(&format!("the index `{index}` is in one operand alone")));
        }
        for (what, indices) in [("rows", &rows), ("columns", &columns), ("sums", &sums)] {
            if indices.is_empty() {
                return Err(refused(&format!("the product has no index of {what}")));
            }
        }
        Ok(Self { spec: einsum.to_string(), a, b, c, batch, rows, columns, sums })
    }

    /// All indices, the result's first.
    pub(super) fn indices(&self) -> Vec<Index> {
        self.c.iter().chain(&self.sums).copied().collect()
    }
}
