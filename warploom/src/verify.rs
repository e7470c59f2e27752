//! Compares a result with a reference that shares no code with the compiler.
//!
//! In: a nest with fixed sizes, inputs, outputs to judge. Out: the largest error and the bound it
//! was held to, or `E0950` with the first element that misses it.
//! Keeps: small problems are interpreted whole in binary64; of large ones a sample of outputs is
//! recomputed from just the instances it depends on. The bound of an element is that of the
//! interpreter's running error analysis, for any order of reductions; integers must be equal.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::interp::nest::{Bounded, run_bounded, run_bounded_order};
use warploom_ir::nest::Nest;
use warploom_ir::tensor::{Tensor, random_word};
use warploom_ir::value::float::Format;

use crate::slice;

/// Most instances that are interpreted.
const INSTANCES: usize = 4_000_000;
/// Outputs recomputed of a large problem.
const SAMPLES: usize = 64;
/// Most elements of a result that are compared with another result.
const COMPARED: usize = 1 << 20;
/// How many times the largest bound of the reference two results may be apart.
const APART: f64 = 4.0;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// How the reference was made.
    pub method: &'static str,
    /// Elements compared.
    pub elements: usize,
    /// Largest absolute error.
    pub max_error: f64,
    /// The bound of that element.
    pub bound: f64,
    /// Elements that the analysis gives no finite bound, such as quotients by what may be zero
    /// within its error: they are not judged.
    pub unbounded: usize,
}

/// Compares `outputs` with a reference.
///
/// # Errors
/// `E0950` for a mismatch; `E0951` when the problem is too large for every method.
pub fn check(
    nest: &Nest,
    inputs: &BTreeMap<Name, Tensor>,
    outputs: &BTreeMap<Name, Tensor>,
) -> Result<Verification> {
    Reference::new(nest, inputs, outputs)?.check(outputs)
}

/// A reference of a problem, for any number of results.
pub struct Reference {
    values: BTreeMap<Name, Bounded>,
    /// The elements that were computed; all where there is no list.
    only: Option<Vec<slice::Element>>,
    method: &'static str,
}

impl Reference {
    /// Computes it. Of `like`, results of the problem, names and shapes count.
    ///
    /// # Errors
    /// `E0951` when the problem is too large for every method.
    pub fn new(
        nest: &Nest,
        inputs: &BTreeMap<Name, Tensor>,
        like: &BTreeMap<Name, Tensor>,
    ) -> Result<Self> {
        let sizes = BTreeMap::new();
        if count(nest).is_some_and(|n| n <= INSTANCES) {
            let values = run_bounded(nest, &sizes, inputs)?;
            return Ok(Self { values, only: None, method: "the interpreter in binary64" });
        }
        let wanted = sample(like, SAMPLES);
        let Some(order) = slice::slice(nest, &wanted, INSTANCES) else {
            return Err(Box::new(
                Diagnostic::new("E0951", Blame::Unsupported, "the problem is too large to verify")
                    .help("verify the same spec with smaller --size"),
            ));
        };
        let names: Vec<Name> = nest.statements().iter().map(|p| p.statement.name.clone()).collect();
        let order: Vec<(Name, Vec<i64>)> =
            order.into_iter().map(|(s, values)| (names[s].clone(), values)).collect();
        let values = run_bounded_order(nest, &sizes, inputs, &order)?;
        Ok(Self { values, only: Some(wanted), method: "a binary64 sample" })
    }

    /// Compares a result with it.
    ///
    /// # Errors
    /// `E0950` for a mismatch.
    pub fn check(&self, outputs: &BTreeMap<Name, Tensor>) -> Result<Verification> {
        compare(outputs, &self.values, self.only.as_deref(), self.method)
    }

    /// The largest finite bound of an array's elements that were computed.
    #[must_use]
    pub fn largest_bound(&self, name: &Name) -> f64 {
        let all = self.values.get(name).map(|v| v.bound.as_slice()).unwrap_or_default();
        all.iter().copied().filter(|b| b.is_finite()).fold(0.0, f64::max)
    }
}

/// Judges any number of results of one problem.
///
/// The first result that the reference confirms is kept, and others are also compared with it,
/// element by element: of large problems the reference is a sample.
pub struct Judge<'a> {
    nest: &'a Nest,
    inputs: &'a BTreeMap<Name, Tensor>,
    first: Option<(Reference, BTreeMap<Name, Tensor>)>,
}

impl<'a> Judge<'a> {
    /// A judge of a nest whose sizes are fixed.
    #[must_use]
    pub fn new(nest: &'a Nest, inputs: &'a BTreeMap<Name, Tensor>) -> Self {
        Self { nest, inputs, first: None }
    }

    /// Whether it has confirmed a result.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.first.is_some()
    }

    /// Compares a result.
    ///
    /// # Errors
    /// `E0950` for a mismatch; `E0951` when the problem is too large for every method.
    pub fn check(&mut self, outputs: &BTreeMap<Name, Tensor>) -> Result<Verification> {
        let Some((reference, first)) = &self.first else {
            let reference = Reference::new(self.nest, self.inputs, outputs)?;
            let found = reference.check(outputs)?;
            self.first = Some((reference, outputs.clone()));
            return Ok(found);
        };
        let found = reference.check(outputs)?;
        for (name, tensor) in outputs {
            if let Some(other) = first.get(name) {
                alike(name, tensor, other, APART * reference.largest_bound(name))?;
            }
        }
        Ok(found)
    }
}

/// Compares two results that were made in different orders.
fn alike(name: &Name, tensor: &Tensor, other: &Tensor, bound: f64) -> Result<()> {
    if tensor.bytes() == other.bytes() {
        return Ok(());
    }
    let float = tensor.dtype().is_float();
    let step = tensor.len().div_ceil(COMPARED).max(1);
    for i in (0..tensor.len()).step_by(step) {
        let (a, b) = (tensor.get_flat(i).to_f64(), other.get_flat(i).to_f64());
        let same = a == b || a.is_nan() && b.is_nan();
        let near = float && (a - b).abs() <= bound;
        if !(same || near) {
            let at = tensor.unflatten(i);
            let text = format!("`{name}` is {a:e} at {at:?}, and {b:e} in another order");
            return Err(Box::new(Diagnostic::new("E0950", Blame::Mismatch, text)));
        }
    }
    Ok(())
}

/// Number of statement instances, if it is below the limit.
fn count(nest: &Nest) -> Option<usize> {
    let mut total = 0_usize;
    for placed in nest.statements() {
        let mut volume = 1_i64;
        for l in &placed.loops {
            let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
            let extent = |list: &[warploom_ir::affine::Affine]| {
                list.iter().filter_map(|e| e.eval(&lookup)).collect::<Vec<i64>>()
            };
            // a bound that depends on outer loops counts as the widest constant one around it
            let (low, high) = (extent(&l.lower), extent(&l.upper));
            let widest = nest.params.iter().filter_map(|p| p.value).max().unwrap_or(i64::MAX);
            let high = high.into_iter().min().unwrap_or(widest);
            let low = low.into_iter().max().unwrap_or(0);
            let steps = high.checked_sub(low)?.max(0).div_euclid(l.step).checked_add(1)?;
            volume = volume.checked_mul(steps)?;
        }
        total = total.checked_add(usize::try_from(volume).ok()?)?;
    }
    (total <= INSTANCES).then_some(total)
}

/// Up to `n` elements of each output, spread pseudo-randomly, the last one among them.
fn sample(outputs: &BTreeMap<Name, Tensor>, n: usize) -> Vec<slice::Element> {
    let mut out = Vec::new();
    for (name, tensor) in outputs {
        let len = tensor.len() as u64;
        let picks = (0..n as u64).map(|i| if i == 0 { len - 1 } else { random_word(7, i) % len });
        for flat in picks.filter(|_| len > 0) {
            let at = tensor.unflatten(usize::try_from(flat).unwrap_or(0));
            let at = at.into_iter().map(|i| i64::try_from(i).unwrap_or(i64::MAX)).collect();
            out.push((name.clone(), at));
        }
    }
    out.sort();
    out.dedup();
    out
}

fn compare(
    outputs: &BTreeMap<Name, Tensor>,
    reference: &BTreeMap<Name, Bounded>,
    only: Option<&[slice::Element]>,
    method: &'static str,
) -> Result<Verification> {
    let mut found = Verification { method, elements: 0, max_error: 0.0, bound: 0.0, unbounded: 0 };
    for (name, tensor) in outputs {
        let Some(wide) = reference.get(name) else { continue };
        let all: Vec<usize> = match only {
            None => (0..tensor.len()).collect(),
            Some(list) => {
                list.iter().filter(|e| e.0 == *name).filter_map(|e| flat(tensor, &e.1)).collect()
            }
        };
        for i in all {
            let got = tensor.get_flat(i).to_f64();
            let float = tensor.dtype().is_float();
            let bound = if float { wide.bound[i] + underflow(tensor.dtype()) } else { 0.0 };
            let (want, top) = (wide.value[i], largest(tensor.dtype()));
            let same = got == want
                || (got.is_nan() && (want.is_nan() || want.abs() > top))
                || (got.is_infinite()
                    && want.abs() + bound >= top
                    && got.signum() == want.signum());
            let error = if same { 0.0 } else { (got - want).abs() };
            if !same && (error.is_nan() || error > bound) {
                return Err(mismatch(name, &tensor.unflatten(i), got, want, bound));
            }
            found.elements += 1;
            found.unbounded += usize::from(!bound.is_finite());
            if error >= found.max_error {
                (found.max_error, found.bound) = (error, bound);
            }
        }
    }
    Ok(found)
}

fn flat(tensor: &Tensor, at: &[i64]) -> Option<usize> {
    let at: Option<Vec<usize>> = at.iter().map(|&i| usize::try_from(i).ok()).collect();
    tensor.offset(&at?)
}

/// What underflow may add to an error: the least positive number of a narrow type, to which a
/// result is rounded once; the least normal one of a type that is computed in, where each
/// operation may underflow.
fn underflow(dtype: DType) -> f64 {
    let Some(format) = Format::of(dtype) else { return 0.0 };
    if dtype.compute_type() == dtype { format.least_normal() } else { format.least() }
}

/// The greatest finite value of a float type; beyond it a result overflows.
fn largest(dtype: DType) -> f64 {
    Format::of(dtype).map_or(f64::MAX, Format::greatest)
}

fn mismatch(name: &str, at: &[usize], got: f64, want: f64, bound: f64) -> Box<Diagnostic> {
    let message = format!("`{name}` is wrong at {at:?}");
    Box::new(
        Diagnostic::new("E0950", Blame::Mismatch, message)
            .witness(format!("got {got:e}, the reference is {want:e}, the bound {bound:e}"))
            .help("this is a defect of the compiler: report the spec, the sizes and the schedule"),
    )
}
