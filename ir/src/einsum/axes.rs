//! Labels and ellipsis dimensions to axes with sizes.
//!
//! In: an einsum and its operands. Out: the axes of the iteration space in order of first
//! appearance, and per operand which axis indexes each dimension.
//! Keeps: NumPy's rules: ellipsis dimensions align at the right, a dimension of size 1 is
//! repeated along its axis, a label repeated in one operand needs equal sizes there.

use std::collections::BTreeMap;

use super::{Einsum, EinsumOptions, OperandType, Subscript, Term};
use crate::affine::{Affine, Name};
use crate::diag::{Diagnostic, Result, Span};

/// As many axes as NumPy takes.
const MAX_AXES: usize = 64;

/// How long an axis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// A known size.
    Known(i64),
    /// A parameter of this name.
    Symbolic(Name),
}

impl Extent {
    pub(super) fn affine(&self) -> Affine {
        match self {
            Self::Known(n) => Affine::constant(*n),
            Self::Symbolic(name) => Affine::var(name.clone()),
        }
    }
}

/// One dimension of the iteration space.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// The iterator: the label or `e0`, `e1`, …
    pub(super) name: Name,
    pub(super) extent: Extent,
}

/// The iteration space and how operands are indexed by it.
#[derive(Clone, Debug)]
pub(super) struct Axes {
    /// In order of first appearance in the text.
    pub(super) all: Vec<Axis>,
    /// Per operand, per dimension: the axis, or `None` for index 0 (a repeated dimension).
    pub(super) operands: Vec<Vec<Option<usize>>>,
    /// Per operand, per dimension: its extent.
    pub(super) shapes: Vec<Vec<Extent>>,
    /// The axes of the result, in order.
    pub(super) output: Vec<usize>,
}

/// A dimension of an operand: what names it, its size if known, and where that is written.
struct Dim {
    name: Name,
    size: Option<i64>,
    span: Span,
}

pub(super) fn resolve(
    einsum: &Einsum,
    operands: &[OperandType],
    options: &EinsumOptions,
) -> Result<Axes> {
    let explain = |d: Box<Diagnostic>| Box::new((*d).in_source(&einsum.source));
    resolve_inner(einsum, operands, options).map_err(explain)
}

fn resolve_inner(
    einsum: &Einsum,
    operands: &[OperandType],
    options: &EinsumOptions,
) -> Result<Axes> {
    check_count(einsum, operands.len())?;
    let mut widths = Vec::new();
    for (i, (term, operand)) in einsum.inputs.iter().zip(operands).enumerate() {
        widths.push(ellipsis_width(term, operand, i)?);
    }
    let ellipsis = widths.iter().copied().max().unwrap_or(0);
    check_output_ellipsis(einsum, &widths, ellipsis)?;
    let mut dims = Vec::new();
    for (i, (term, operand)) in einsum.inputs.iter().zip(operands).enumerate() {
        let of_operand = operand_dims(term, operand, widths[i], ellipsis)?;
        check_repeated(&of_operand, i)?;
        dims.push(of_operand);
    }
    let all = join_axes(&dims, options)?;
    let index_of: BTreeMap<Name, usize> =
        all.iter().enumerate().map(|(i, a)| (a.name.clone(), i)).collect();
    let mut indices = Vec::new();
    let mut shapes = Vec::new();
    for of_operand in &dims {
        let axis = |d: &Dim| index_of[&d.name];
        let repeated = |d: &Dim| d.size == Some(1) && all[axis(d)].extent != Extent::Known(1);
        indices.push(of_operand.iter().map(|d| (!repeated(d)).then(|| axis(d))).collect());
        let shape = |d: &Dim| d.size.map_or_else(|| all[axis(d)].extent.clone(), Extent::Known);
        shapes.push(of_operand.iter().map(shape).collect());
    }
    let names = term_names(&einsum.output, ellipsis, ellipsis);
    let output = names.iter().map(|(name, _)| index_of[name]).collect();
    let axes = Axes { all, operands: indices, shapes, output };
    axes.check_volumes(einsum)?;
    Ok(axes)
}

/// Iterator names of a term's dimensions where its ellipsis covers the last `width` of `total`.
fn term_names(term: &Term, width: usize, total: usize) -> Vec<(Name, Span)> {
    let mut out = Vec::new();
    for &(subscript, span) in &term.subscripts {
        match subscript {
            Subscript::Label(c) => out.push((Name::from(c.to_string()), span)),
            Subscript::Ellipsis => {
                out.extend((total - width..total).map(|i| (Name::from(format!("e{i}")), span)));
            }
        }
    }
    out
}

fn check_count(einsum: &Einsum, given: usize) -> Result<()> {
    let wanted = einsum.inputs.len();
    if wanted == given {
        return Ok(());
    }
    let message = format!("the einsum has {wanted} operand(s), {given} given");
    let whole = Span::new(0, einsum.source.text.len());
    let span = einsum.inputs.get(given).map_or(whole, |t| t.span);
    let text = if given < wanted { "no operand for this" } else { "no term for the rest" };
    let d = Diagnostic::input("E0406", message).label(span, text);
    Err(Box::new(d.help("give one operand per comma-separated term")))
}

/// How many dimensions the term's ellipsis covers (0 without one).
fn ellipsis_width(term: &Term, operand: &OperandType, index: usize) -> Result<usize> {
    let labels = term.labels().count();
    let rank = operand.shape.as_ref().map(Vec::len).or(operand.rank);
    let plural = |n: usize| format!("{n} dimension{}", if n == 1 { "" } else { "s" });
    match rank {
        Some(rank) if rank < labels || (rank > labels && !term.has_ellipsis()) => {
            let more = if rank < labels { "fewer" } else { "more" };
            let message = format!(
                "operand {index} has {}, {more} than the {labels} of `{term}`",
                plural(rank)
            );
            let d = Diagnostic::input("E0407", message)
                .label(term.span, format!("names {}", plural(labels)))
                .help("one label per dimension; `...` stands for the dimensions without one");
            Err(Box::new(d))
        }
        Some(rank) => Ok(rank - labels),
        None if term.has_ellipsis() => {
            let message = format!("how many dimensions operand {index} has is not known");
            let d = Diagnostic::input("E0411", message)
                .label(term.span, "the ellipsis needs a rank")
                .help("give the operands' shapes, or write labels instead of `...`");
            Err(Box::new(d))
        }
        None => Ok(0),
    }
}

fn check_output_ellipsis(einsum: &Einsum, widths: &[usize], ellipsis: usize) -> Result<()> {
    if ellipsis == 0 || einsum.output.has_ellipsis() {
        return Ok(());
    }
    let index = widths.iter().position(|&w| w == ellipsis).unwrap_or(0);
    let message = "the output has no `...` for the dimensions under the operands' ellipsis";
    let d = Diagnostic::input("E0410", message)
        .label(einsum.output.span, "write `...` here")
        .label(einsum.inputs[index].span, format!("`...` covers {ellipsis} dimension(s)"))
        .help("NumPy does not sum over an ellipsis: give these dimensions labels to do that");
    Err(Box::new(d))
}

fn operand_dims(
    term: &Term,
    operand: &OperandType,
    width: usize,
    total: usize,
) -> Result<Vec<Dim>> {
    let mut dims = Vec::new();
    for (i, (name, span)) in term_names(term, width, total).into_iter().enumerate() {
        let size = match operand.shape.as_ref().map(|s| i64::try_from(s[i])) {
            Some(Ok(size)) => Some(size),
            Some(Err(_)) => return Err(too_large(span)),
            None => None,
        };
        dims.push(Dim { name, size, span });
    }
    Ok(dims)
}

fn too_large(span: Span) -> Box<Diagnostic> {
    let d = Diagnostic::input("E0412", "the sizes multiply to more than 2^63 elements");
    Box::new(d.label(span, "here").help("choose smaller sizes"))
}

/// A label repeated in one operand takes the diagonal, so its sizes there must be equal.
fn check_repeated(dims: &[Dim], operand: usize) -> Result<()> {
    for (i, second) in dims.iter().enumerate() {
        let Some(first) = dims[..i].iter().find(|d| d.name == second.name) else { continue };
        if let (Some(a), Some(b)) = (first.size, second.size)
            && a != b
        {
            let name = &first.name;
            let message =
                format!("`{name}` has the sizes {a} and {b} in operand {operand}: no diagonal");
            let d = Diagnostic::input("E0409", message)
                .label(second.span, format!("size {b}"))
                .label(first.span, format!("size {a}"))
                .help("a label repeated in one operand needs equal sizes");
            return Err(Box::new(d));
        }
    }
    Ok(())
}

/// The axes with their sizes: of all dimensions of one name those that are not 1 must agree.
fn join_axes(dims: &[Vec<Dim>], options: &EinsumOptions) -> Result<Vec<Axis>> {
    let mut all: Vec<Axis> = Vec::new();
    let mut sized: BTreeMap<Name, (i64, usize, Span)> = BTreeMap::new();
    for (operand, of_operand) in dims.iter().enumerate() {
        for dim in of_operand {
            if !all.iter().any(|a| a.name == dim.name) {
                let extent = Extent::Symbolic(Name::from(format!("size_{}", dim.name)));
                all.push(Axis { name: dim.name.clone(), extent });
            }
            let Some(size) = dim.size else { continue };
            let entry = sized.entry(dim.name.clone()).or_insert((size, operand, dim.span));
            if entry.0 == 1 {
                *entry = (size, operand, dim.span);
            } else if size != 1 && size != entry.0 {
                return Err(size_mismatch(dim, size, operand, *entry));
            }
        }
    }
    if all.len() > MAX_AXES {
        let message = format!("{} dimensions in all; {MAX_AXES} are possible", all.len());
        return Err(Box::new(Diagnostic::input("E0415", message).help("use fewer labels")));
    }
    for axis in &mut all {
        if let Some((size, _, _)) = sized.get(&axis.name) {
            axis.extent = Extent::Known(*size);
        }
    }
    apply_sizes(&mut all, options)?;
    Ok(all)
}

fn size_mismatch(
    dim: &Dim,
    size: i64,
    operand: usize,
    other: (i64, usize, Span),
) -> Box<Diagnostic> {
    let (other_size, other_operand, other_span) = other;
    let name = &dim.name;
    let message = format!(
        "`{name}` has size {other_size} in operand {other_operand} and {size} in operand {operand}"
    );
    let d = Diagnostic::input("E0408", message)
        .label(dim.span, format!("size {size}"))
        .label(other_span, format!("size {other_size}"))
        .help("dimensions of one label have equal sizes, or size 1");
    Box::new(d)
}

/// Fills in the sizes the user gave by name.
fn apply_sizes(all: &mut [Axis], options: &EinsumOptions) -> Result<()> {
    for (name, &size) in &options.sizes {
        let Some(axis) = all.iter_mut().find(|a| a.name == *name) else {
            let names: Vec<&str> = all.iter().map(|a| &*a.name).collect();
            let message = format!("there is no label `{name}`");
            let d = Diagnostic::input("E0416", message);
            return Err(Box::new(d.help(format!("the labels are {}", names.join(", ")))));
        };
        let size = i64::try_from(size).map_err(|_| too_large(Span::NONE))?;
        match axis.extent {
            Extent::Known(known) if known != size => {
                let message = format!("`{name}` is said to be {size}, the operands have {known}");
                let d = Diagnostic::input("E0417", message);
                return Err(Box::new(d.help("leave sizes out where operands are given")));
            }
            Extent::Known(_) => {}
            Extent::Symbolic(_) => axis.extent = Extent::Known(size),
        }
    }
    Ok(())
}

impl Axes {
    /// Every array must be addressable: products of known sizes stay below 2^63.
    fn check_volumes(&self, einsum: &Einsum) -> Result<()> {
        let volume = |extents: &mut dyn Iterator<Item = &Extent>| {
            let mut product = Some(1_i64);
            for extent in extents {
                if let Extent::Known(n) = extent {
                    // 0 counts as 1: strides of an empty array must be representable too
                    product = product.and_then(|p| p.checked_mul((*n).max(1)));
                }
            }
            product
        };
        for (shape, term) in self.shapes.iter().zip(&einsum.inputs) {
            volume(&mut shape.iter()).ok_or_else(|| too_large(term.span))?;
        }
        let mut output = self.output.iter().map(|&a| &self.all[a].extent);
        volume(&mut output).ok_or_else(|| too_large(einsum.output.span))?;
        Ok(())
    }

    /// The sizes of all axes, if all are known.
    pub(super) fn known(&self) -> Option<Vec<i64>> {
        let size = |a: &Axis| match a.extent {
            Extent::Known(n) => Some(n),
            Extent::Symbolic(_) => None,
        };
        self.all.iter().map(size).collect()
    }

    pub(super) fn output_shape(&self, einsum: &Einsum) -> Result<Vec<usize>> {
        let size = |&a: &usize| match &self.all[a].extent {
            Extent::Known(n) => usize::try_from(*n).map_err(|_| too_large(einsum.output.span)),
            Extent::Symbolic(_) => {
                let name = &self.all[a].name;
                let d = Diagnostic::input("E0411", format!("the size of `{name}` is not known"))
                    .in_source(&einsum.source)
                    .help(format!("give it with --size {name}=…, or give the operands"));
                Err(Box::new(d))
            }
        };
        self.output.iter().map(size).collect()
    }
}
