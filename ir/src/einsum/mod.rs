//! Einsum strings with NumPy's rules, lowered to nests.
//!
//! In: a text such as `mk,kn->mn`, then the operands' types and shapes. Out: a [`Nest`] whose
//! inputs are named `A`, `B`, … and whose result is `Out`; iterators are the labels, dimensions
//! under an ellipsis are `e0`, `e1`, …
//! Keeps: what `numpy.einsum` (string form) accepts means the same here, and what it rejects is
//! an error that points at the text. One difference on purpose: NumPy reads outside an array when
//! a label repeated in one operand has the sizes 0 and n; here that is an error.

mod axes;
mod lower;
mod parse;
mod plan;
mod types;

use std::collections::BTreeMap;
use std::fmt;

use crate::affine::Name;
use crate::diag::{Result, Source, Span};
use crate::dtype::DType;
use crate::nest::{Keeps, Nest, Order};

/// A place in a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subscript {
    /// A label, `A`–`Z` or `a`–`z`.
    Label(char),
    /// `...`: all dimensions that no label of the term names.
    Ellipsis,
}

/// The subscripts of one operand or of the result.
#[derive(Clone, Debug, Default)]
pub struct Term {
    /// In the order written, each with its place in the text; at most one ellipsis.
    pub subscripts: Vec<(Subscript, Span)>,
    /// The whole term.
    pub span: Span,
}

impl Term {
    /// Its labels in the order written.
    pub fn labels(&self) -> impl Iterator<Item = char> {
        self.subscripts.iter().filter_map(|(s, _)| match s {
            Subscript::Label(c) => Some(*c),
            Subscript::Ellipsis => None,
        })
    }

    /// True when it has an ellipsis.
    #[must_use]
    pub fn has_ellipsis(&self) -> bool {
        self.subscripts.iter().any(|(s, _)| *s == Subscript::Ellipsis)
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        let plain = |t: &Self| t.subscripts.iter().map(|(s, _)| *s).collect::<Vec<_>>();
        plain(self) == plain(other)
    }
}

impl Eq for Term {}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (subscript, _) in &self.subscripts {
            match subscript {
                Subscript::Label(c) => write!(f, "{c}")?,
                Subscript::Ellipsis => f.write_str("...")?,
            }
        }
        Ok(())
    }
}

/// A parsed einsum string. Prints with its output written out, which parses to an equal value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Einsum {
    /// The text.
    pub source: Source,
    /// One term per operand, at least one.
    pub inputs: Vec<Term>,
    /// The result; where the text had none, NumPy's implicit one: the ellipsis, then the labels
    /// that occur once, sorted (upper case before lower case).
    pub output: Term,
}

impl fmt::Display for Einsum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, term) in self.inputs.iter().enumerate() {
            write!(f, "{}{term}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "->{}", self.output)
    }
}

/// What is known about an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperandType {
    /// Element type.
    pub dtype: DType,
    /// Extents, if known.
    pub shape: Option<Vec<usize>>,
    /// Number of dimensions, needed under an ellipsis where the shape is not known.
    pub rank: Option<usize>,
}

impl OperandType {
    /// An operand of unknown sizes: its labels become symbolic.
    #[must_use]
    pub const fn new(dtype: DType) -> Self {
        Self { dtype, shape: None, rank: None }
    }

    /// With these extents.
    #[must_use]
    pub fn shaped(dtype: DType, shape: &[usize]) -> Self {
        Self { dtype, shape: Some(shape.to_vec()), rank: Some(shape.len()) }
    }

    /// Of unknown sizes but this many dimensions.
    #[must_use]
    pub const fn ranked(dtype: DType, rank: usize) -> Self {
        Self { dtype, shape: None, rank: Some(rank) }
    }
}

/// How an einsum is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EinsumOptions {
    /// Type of products and sums. Default: floats narrower than `f32` in `f32`, other types in
    /// the type of the result (integers wrap, as in NumPy).
    pub acc: Option<DType>,
    /// What the additions of sums may drop.
    pub keeps: Option<Keeps>,
    /// Type of the result. Default: NumPy's for these operands; `acc` where that is given and
    /// the operands are integers.
    pub out_dtype: Option<DType>,
    /// Order of the sums, [`Order::Fixed`] by default. Only [`Order::Serial`] forbids
    /// contracting three or more operands pair by pair.
    pub order: Order,
    /// Sizes by label (`m`) or dimension under an ellipsis (`e0`), for operands whose shapes are
    /// not known. A label with no size at all becomes the parameter `size_m`.
    pub sizes: BTreeMap<Name, u64>,
}

impl Default for EinsumOptions {
    fn default() -> Self {
        Self {
            acc: None,
            keeps: None,
            out_dtype: None,
            order: Order::Fixed,
            sizes: BTreeMap::new(),
        }
    }
}

impl Einsum {
    /// Reads an einsum string.
    ///
    /// # Errors
    /// E0401–E0405, E0414, with the place in the text: everything NumPy rejects without seeing
    /// the operands.
    pub fn parse(text: &str) -> Result<Self> {
        parse::parse(text)
    }

    /// The nest that computes it for these operands.
    ///
    /// # Errors
    /// E0406–E0413: the operands' number, ranks, sizes or types do not fit the text, or
    /// `options` name sizes that it does not have.
    pub fn nest(&self, operands: &[OperandType], options: &EinsumOptions) -> Result<Nest> {
        let axes = axes::resolve(self, operands, options)?;
        let types = types::choose(self, operands, options)?;
        lower::lower(self, operands, &axes, types, options)
    }

    /// The extents of the result for operands of known shapes.
    ///
    /// # Errors
    /// As [`Self::nest`]; E0411 too where a size is not known.
    pub fn output_shape(
        &self,
        operands: &[OperandType],
        options: &EinsumOptions,
    ) -> Result<Vec<usize>> {
        axes::resolve(self, operands, options)?.output_shape(self)
    }
}
