//! What a statement multiplies: two values of an element each, and the scale of each where there
//! are four.
//!
//! In: the value that a statement adds. Out: its factors and scales; of a tensorized statement the
//! accesses that its instruction takes, or the condition that failed.
//! Keeps: how products are associated does not matter, as what is left out rounds nothing.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, BinOp};
use warploom_ir::instruction::Matrix;
use warploom_ir::instruction::numerics::Adder;
use warploom_ir::kernel::{Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Order};

use super::factor::Factor;
use super::{Answer, Site, unfit};

/// Types of scales.
pub(crate) const SCALES: [DType; 2] = [DType::Ue8m0, DType::Ue4m3];

/// What a statement multiplies.
pub(crate) struct Multiplied {
    /// Two values of an element each.
    pub(crate) factors: [Factor; 2],
    /// Their scales, in any order, where the statement multiplies by scales.
    pub(crate) scales: Option<[Factor; 2]>,
}

impl Multiplied {
    /// The two values that are multiplied, or two values and a scale of each, in any order: how
    /// these are associated changes nothing but where their product leaves the range of its type.
    pub(crate) fn of(value: &Typed<Affine>) -> Option<Self> {
        let TypedKind::Binary(BinOp::Mul, a, b) = &value.kind else { return None };
        if let (Some(a), Some(b)) = (Factor::of(a), Factor::of(b)) {
            return Some(Self { factors: [a, b], scales: None });
        }
        let mut all = Vec::new();
        leaves(value, value.dtype, &mut all)?;
        let (scales, factors): (Vec<Factor>, Vec<Factor>) =
            all.into_iter().partition(|f| SCALES.iter().any(|t| f.plain(*t)));
        let factors = <[Factor; 2]>::try_from(factors).ok()?;
        let scales = <[Factor; 2]>::try_from(scales).ok()?;
        let same = scales[0].value.dtype == scales[1].value.dtype;
        same.then_some(Self { factors, scales: Some(scales) })
    }

    /// The type of the scales.
    pub(crate) fn scaled_by(&self) -> Option<DType> {
        self.scales.as_ref().map(|[a, _]| a.value.dtype)
    }
}

/// The scales of two factors in their order: each moves with its factor where the other one does
/// not. `None` where that is not so.
pub(crate) fn in_order(factors: &[Access; 2], [first, second]: [Access; 2]) -> Option<[Access; 2]> {
    let with = |scale: &Access, own: usize| {
        let moves = |a: &Access, i: &Name| a.indices.iter().any(|e| e.vars().contains(i));
        let vars = scale.indices.iter().flat_map(Affine::vars);
        vars.into_iter().any(|i| moves(&factors[own], &i) && !moves(&factors[1 - own], &i))
    };
    let of = |scale: &Access| [with(scale, 0), with(scale, 1)];
    match [of(&first), of(&second)] {
        [[true, false], [false, true]] => Some([first, second]),
        [[false, true], [true, false]] => Some([second, first]),
        _unclear => None,
    }
}

/// The factors of products of one type inside each other.
fn leaves(value: &Typed<Affine>, dtype: DType, out: &mut Vec<Factor>) -> Option<()> {
    match &value.kind {
        TypedKind::Binary(BinOp::Mul, a, b) if value.dtype == dtype => {
            leaves(a, dtype, out)?;
            leaves(b, dtype, out)
        }
        _leaf => {
            out.push(Factor::of(value)?);
            Some(())
        }
    }
}

/// The two factors that the statement multiplies and adds to its target, and the scale of each
/// where the instruction takes scales.
pub(super) type Found = ([(Access, Factor); 2], Option<[Access; 2]>);

pub(super) fn factors(site: &Site<'_>, store: &Store<Affine>, matrix: &Matrix) -> Answer<Found> {
    let wrong =
        |why: &str| -> Answer<Found> { Err(unfit(format!("`{}` {why}", store.statement)).into()) };
    let found = Multiplied::of(&store.value);
    let scaled_by = found.as_ref().and_then(Multiplied::scaled_by);
    let Some(Multiplied { factors: [first, second], scales }) = found else {
        return wrong("does not add a product of two elements, or of two with a scale of each");
    };
    match (matrix.scales, scaled_by) {
        (None, None) => {}
        (Some(s), Some(dtype)) if s.dtype == dtype => {}
        (Some(s), _other) => {
            return wrong(&format!("does not multiply each factor by a scale of type {}", s.dtype));
        }
        (None, Some(_)) => return wrong("multiplies by scales, which the instruction does not"),
    }
    if store.op != AssignOp::Add {
        return wrong("does not add a product to each of its elements");
    }
    if matrix.adder != Adder::Wrapping && store.strict {
        return wrong("is `strict`, and tensor cores fuse multiplication and addition");
    }
    if !matrix.adder.in_order() && store.order == Order::Serial {
        return wrong(
            "sums in a fixed order, which this instruction does not keep (`order fixed`)",
        );
    }
    if store.dtype != matrix.acc || store.value.dtype != matrix.acc {
        return wrong(&format!("sums in {}, the instruction in {}", store.value.dtype, matrix.acc));
    }
    let accesses = site.poly.statements[site.statement].statement.value.reads();
    let plain = |f: &Factor| f.plain(matrix.a) || f.plain(matrix.b);
    let fits = |f: &Factor| match matrix.scales {
        Some(_) => plain(f),
        None => f.fits(matrix.a) || f.fits(matrix.b),
    };
    if !fits(&first) || !fits(&second) {
        let both = if matrix.a == matrix.b {
            format!("two elements of type {}", matrix.a)
        } else {
            format!("elements of types {} and {}", matrix.a, matrix.b)
        };
        return wrong(&format!("does not multiply {both}"));
    }
    for number in first.numbers().iter().chain(&second.numbers()) {
        if site.poly.scopes.contains_key(number) {
            return wrong(&format!("multiplies by `{number}`, which is staged: read the array"));
        }
    }
    let access = |array: &Name| accesses.iter().find(|a| a.array == *array).map(|a| (*a).clone());
    let scales = match scales.map(|both| both.map(|s| access(&s.array))) {
        Some([Some(a), Some(b)]) if a.array != b.array => Some([a, b]),
        Some(_same) => return wrong("reads both scales from one buffer: stage them for each read"),
        None => None,
    };
    match (access(&first.array), access(&second.array)) {
        (Some(a), Some(b)) if a.array != b.array => Ok(([(a, first), (b, second)], scales)),
        _same => wrong("reads both factors from one buffer: stage them for each read"),
    }
}
