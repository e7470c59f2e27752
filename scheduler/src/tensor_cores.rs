//! Which statements run on tensor cores and how, or why they do not.
//!
//! In: a schedule and a GPU. Out: an answer for each statement that adds up products of two
//! elements, or of two with a scale of each. Keeps: what is said of the schedule is read off its
//! working nest and tree; reasons
//! name the first condition that fails, in the order in which automatic schedules ask. Why here:
//! people who wonder about a speed ask this first.

use warploom_ir::affine::Name;
use warploom_ir::diag::{Result, Source};
use warploom_ir::expr::Access;
use warploom_ir::instruction::numerics::Adder;
use warploom_ir::instruction::{Action, Instruction, Matrix, matrix_instructions};
use warploom_ir::nest::{AssignOp, Order};
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_ir::target::Target;

use crate::block::multiplied::{Multiplied, SCALES};
use crate::steps::ancestors;
use crate::{Schedule, lower};

/// What becomes of a statement that multiplies rows by columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorCores {
    /// The statement.
    pub statement: Name,
    /// The matrix instruction that runs it; none where threads do.
    pub instruction: Option<Name>,
    /// How its operands come, or why there is no instruction.
    pub because: String,
}

/// An answer for each sum of products of a schedule's nest.
///
/// # Errors
/// The nest has no polyhedral form.
pub fn tensor_cores(schedule: &Schedule, target: Target) -> Result<Vec<TensorCores>> {
    // accesses to what is staged also say in which iteration: those of the nest say what is read
    let (nest, _order) = Poly::from_nest(schedule.nest())?;
    let (poly, tree) = (schedule.poly(), schedule.tree());
    let answer = |s: &PolyStatement| {
        let statement = s.statement.name.clone();
        let comes = |w: &&PolyStatement| w.origin.as_ref().is_some_and(|(n, _)| *n == statement);
        let working = poly.statements.iter().find(comes);
        let around = working.map(|w| ancestors(tree, &w.statement.name)).unwrap_or_default();
        let used = around.iter().find_map(|l| Some(l.marks.tensor.as_ref()?.instruction.clone()));
        let because = match working.filter(|_| used.is_some()) {
            Some(working) => operands(poly, tree, s, working),
            None => obstacle(&nest, &schedule.nest().source, s, target),
        };
        TensorCores { statement, instruction: used, because }
    };
    Ok(nest.statements.iter().filter(|s| sums_products(&nest, s)).map(answer).collect())
}

/// The two elements that a statement's value is of, or those of four that are no scales.
fn factors_of<'s>(poly: &Poly, s: &'s PolyStatement) -> Option<[&'s Access; 2]> {
    let mut reads = s.statement.value.reads();
    if reads.len() > 2 {
        // numbers are parts of factors
        reads.retain(|a| !a.indices.is_empty());
    }
    if reads.len() == 4 {
        let scale = |a: &Access| poly.array(&a.array).is_some_and(|a| SCALES.contains(&a.dtype));
        reads.retain(|a| !scale(a));
    }
    <[&Access; 2]>::try_from(reads).ok()
}

/// Whether a statement adds up values of two elements each.
fn sums_products(poly: &Poly, s: &PolyStatement) -> bool {
    let target = &s.statement.target;
    let summed = |i: &Name| !uses(target, i);
    s.statement.op == AssignOp::Add && factors_of(poly, s).is_some() && s.iters.iter().any(summed)
}

/// Whether a statement adds products of an element for each row and one for each column.
pub(crate) fn multiplies(poly: &Poly, s: &PolyStatement) -> bool {
    s.statement.op == AssignOp::Add && missing(poly, s).is_none()
}

/// Whether a statement's sums may be added as some matrix instruction adds them: in any order, or
/// in that of the text where it multiplies what an instruction adds in that order.
pub(crate) fn addable(poly: &Poly, s: &PolyStatement) -> bool {
    let statement = &s.statement;
    let free = statement.order != Order::Serial || {
        let acc = poly.array(&statement.target.array).map(|a| a.dtype);
        let all = matrix_instructions().iter();
        let mut all = all.filter_map(|i| match i.action {
            Action::Matrix(m) => Some(m),
            _other => None,
        });
        let in_order = |m: Matrix| Some(m.acc) == acc && m.adder == Adder::Sequential;
        multiplies(poly, s) && all.any(in_order)
    };
    statement.op == AssignOp::Add && !statement.strict && free
}

/// Which of rows, columns and sums of a matrix product a statement of two elements has not.
fn missing(poly: &Poly, s: &PolyStatement) -> Option<String> {
    let Some([a, b]) = factors_of(poly, s) else {
        return Some("what it adds is no product of two values, each of one element".to_owned());
    };
    let part = |wanted: [bool; 3]| {
        let of = |i: &Name| [&s.statement.target, a, b].map(|access| uses(access, i));
        s.iters.iter().any(|i| of(i) == wanted)
    };
    let own = |array: &Access, other: &Access| {
        format!(
            "no index of `{}` is in the results and not in `{}`: an element of `{1}` has one use \
             for each of its results, so tensor cores would multiply zeros",
            array.array, other.array
        )
    };
    match [[true, true, false], [true, false, true], [false, true, true]].map(part) {
        [false, _, _] => Some(own(a, b)),
        [_, false, _] => Some(own(b, a)),
        [_, _, false] => Some("no index that is summed over is in both factors".to_owned()),
        [true, true, true] => None,
    }
}

fn uses(access: &Access, iter: &Name) -> bool {
    access.indices.iter().any(|e| e.vars().contains(iter))
}

/// Where each operand is staged, by whom, and along which index its rows are.
fn operands(poly: &Poly, tree: &Tree, s: &PolyStatement, working: &PolyStatement) -> String {
    let (target, reads) = (&s.statement.target, s.statement.value.reads());
    let one = |(access, held): (&&Access, &&Access)| {
        let last = access.indices.last().map(|e| e.vars()).unwrap_or_default();
        // an index of a temporary's sums may be no index of the temporary
        let both = |v: &Name| reads.iter().filter(|a| uses(a, v)).count() > 1;
        let sum = last.iter().any(|v| !uses(target, v) && both(v));
        let rows = if sum { "rows along the sum" } else { "rows along its own index" };
        let Some(scope) = poly.scopes.get(&held.array) else {
            return format!("{} from memory, {rows}", access.array);
        };
        let fills = poly.statements.iter().find(|f| f.statement.target.array == held.array);
        let loops = fills.map(|f| ancestors(tree, &f.statement.name)).unwrap_or_default();
        let mut words = loops.iter().flat_map(|l| l.marks.words());
        let by = match words.rfind(|w| ["tma", "async", "thread.x"].contains(w)) {
            Some("tma") => " by the copy engine",
            Some("async") => " by asynchronous copies",
            Some("thread.x") => " by threads",
            Some(_) | None => "",
        };
        format!("{} staged at {}{by}, {rows}", access.array, scope.at)
    };
    let held = working.statement.value.reads();
    // numbers are parts of factors
    let factor =
        |(access, _): &(&&Access, &&Access)| reads.len() <= 2 || !access.indices.is_empty();
    reads.iter().zip(&held).filter(factor).map(one).collect::<Vec<_>>().join("; ")
}

/// The first condition for tensor cores that a statement does not meet.
fn obstacle(poly: &Poly, source: &Source, s: &PolyStatement, target: Target) -> String {
    let statement = &s.statement;
    let matrices = matrices(target);
    if matrices.is_empty() {
        return format!("{target} has no matrix instructions that schedules can use");
    }
    let Some(acc) = poly.array(&statement.target.array).map(|a| a.dtype) else {
        return "its array is unknown".to_owned();
    };
    if statement.strict {
        return "it is `strict`, and tensor cores fuse multiplication and addition".to_owned();
    }
    let in_order = |m: &Matrix| m.acc == acc && m.adder.in_order();
    if statement.order == Order::Serial && acc.is_float() && !matrices.iter().any(in_order) {
        return "its sums are added in the order of the text (`order serial`): write `order fixed` \
                or `order any` behind it"
            .to_owned();
    }
    if poly.params.iter().any(|p| p.value.is_none()) {
        return "sizes are open, and its tiles need fixed ones (`--size`)".to_owned();
    }
    if !matrices.iter().any(|m| m.acc == acc) {
        return format!("no matrix instruction of {target} adds in {acc}");
    }
    if let Some(reason) = missing(poly, s) {
        return reason;
    }
    let product = lower::typed(poly, source, s).ok().and_then(|s| Multiplied::of(&s.value));
    let scaled_by = product.as_ref().and_then(Multiplied::scaled_by);
    let Some(Multiplied { factors: [a, b], .. }) = product else {
        return "what it adds is no product of two values, each of one element".to_owned();
    };
    let same = |m: &Matrix| m.scales.map(|s| s.dtype) == scaled_by;
    let scaled = |m: &Matrix| same(m) && a.plain(m.a) && b.plain(m.b);
    if scaled_by.is_some() && !matrices.iter().any(|m| m.acc == acc && scaled(m)) {
        let (a, b) = (a.value.dtype, b.value.dtype);
        return format!("no matrix instruction of {target} multiplies {a} by {b} with scales");
    }
    let takes = |m: &&Matrix| {
        let values = if scaled_by.is_some() { scaled(m) } else { a.fits(m.a) && b.fits(m.b) };
        m.acc == acc && same(m) && values
    };
    let bits = statement.keeps.map_or(acc.precision_bits(), |k| k.bits);
    let Some(most) = matrices.iter().filter(takes).find(|m| m.adder.keeps(bits)) else {
        let (a, b) = (a.value.dtype, b.value.dtype);
        return if matrices.iter().any(|m| takes(&m)) {
            format!("the sums of {a} by {b} on {target} keep fewer than {bits} bits: say `keeps N`")
        } else {
            format!("no matrix instruction of {target} multiplies {a} by {b} without rounding them")
        };
    };
    if let Some(scaling) = most.scales.filter(|_| most.a.packed()) {
        return format!(
            "no automatic tiling fits it: elements of {} come by the copy engine alone, from rows \
             of whole 16 bytes along the sum, with a scale for each {} terms, no more; `check` \
             says of a script why",
            most.a, scaling.terms
        );
    }
    format!(
        "no automatic tiling by {}x{}x{} fits its accesses and sizes; `check` says of a script why",
        most.m, most.n, most.k
    )
}

/// The matrix instructions of a target.
fn matrices(target: Target) -> Vec<Matrix> {
    let all = matrix_instructions().iter().filter(|i| i.targets.contains(&target));
    let matrix = |i: &Instruction| match i.action {
        Action::Matrix(m) => Some(m),
        _other => None,
    };
    all.filter_map(matrix).collect()
}
