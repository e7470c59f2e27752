//! What can be said of a nest without a solver: most accesses of most nests.
//!
//! In: affine expressions and the loops around them. Out: `true` where a plain argument proves the
//! claim; `false` says nothing, and isl is asked. Keeps: shares no code with dependences or
//! lowering. Why here: reading sets from text and solving them was most of the time that the
//! verification of a single statement took.

use std::collections::BTreeMap;
use std::ptr;

use warploom_ir::affine::{Affine, Atom, Name, Overflow};
use warploom_ir::expr::Access;
use warploom_ir::nest::{Array, Loop, Nest, Placed};

/// Whether `e` is at least 0 in all iterations of `loops`, outermost first.
///
/// Each iterator is replaced by the end of its range where `e` is least, the innermost first, since
/// its ends may name those around it. What is left names parameters alone, which are not negative.
/// Guards and all but one bound at each end are ignored: they can only take iterations away.
pub(super) fn at_least_zero(nest: &Nest, loops: &[&Loop], e: &Affine) -> bool {
    let mut e = e.clone();
    for l in loops.iter().rev() {
        if !e.terms().all(|(atom, _)| matches!(atom, Atom::Var(_))) {
            return false; // least somewhere inside the range, perhaps
        }
        let factor = e.coefficient(&l.var);
        let end = if factor > 0 {
            l.lower.first().cloned()
        } else {
            l.upper.first().and_then(|high| high.add_const(-1).ok())
        };
        if factor != 0 {
            let Some(end) = end else { return false };
            let at_end = |name: &str| (*name == *l.var).then(|| end.clone());
            let Ok(replaced) = e.substitute(&at_end) else { return false };
            e = replaced;
        }
    }
    let mut least = Some(e.constant_part());
    for (atom, factor) in e.terms() {
        let Atom::Var(name) = atom else { return false };
        let Some(param) = nest.param(name) else { return false };
        least = match param.value {
            Some(value) => factor.checked_mul(value).and_then(|v| least?.checked_add(v)),
            None if factor >= 0 => least,
            None => return false,
        };
    }
    least.is_some_and(|v| v >= 0)
}

/// Whether every index of an access lies within its array's extents.
pub(super) fn in_bounds(nest: &Nest, placed: &Placed<'_>, access: &Access, array: &Array) -> bool {
    access.indices.iter().zip(&array.shape).all(|(index, extent)| {
        let below = extent.sub(index).and_then(|e| e.add_const(-1));
        at_least_zero(nest, &placed.loops, index)
            && below.is_ok_and(|e| at_least_zero(nest, &placed.loops, &e))
    })
}

/// Whether a statement before `reader` in the text writes, in the same iteration of the loops
/// around both, the element that each instance of it reads.
///
/// No guard stands around that statement that does not stand around the reader, and its own loops
/// run over the indices that the reader has there: so one of its instances writes the element, and
/// all of them in that iteration run before the reader.
pub(super) fn written_before(
    nest: &Nest,
    placed: &[Placed<'_>],
    reader: usize,
    access: &Access,
) -> bool {
    let at = &placed[reader];
    placed[..reader].iter().any(|writer| {
        let target = &writer.statement.target;
        target.array == access.array
            && writer.statement.guard.is_none()
            && writer.guards.iter().all(|g| at.guards.iter().any(|other| ptr::eq(*g, *other)))
            && runs_over(nest, writer, at, access)
    })
}

/// Whether an instance of `writer` in the same iteration of the loops around both writes what each
/// instance of the reader reads.
fn runs_over(nest: &Nest, writer: &Placed<'_>, at: &Placed<'_>, access: &Access) -> bool {
    let both = writer.loops.iter().zip(&at.loops);
    let (_, own) = writer.loops.split_at(both.take_while(|(a, b)| ptr::eq(**a, **b)).count());
    let mut values: BTreeMap<&str, &Affine> = BTreeMap::new();
    for (index, read) in writer.statement.target.indices.iter().zip(&access.indices) {
        let is_own = |name: &Name| own.iter().any(|l| l.var == *name);
        let same = match index.as_var().filter(|v| is_own(v)) {
            Some(v) => *values.entry(&**v).or_insert(read) == read,
            None => index == read && !index.vars().iter().any(is_own),
        };
        if !same {
            return false;
        }
    }
    let within = |l: &&Loop| {
        let Some(value) = values.get(&*l.var) else { return false };
        let there = |bound: &Affine| {
            bound.substitute(&|name| values.get(name).map(|value| (*value).clone()))
        };
        let zero =
            |e: Result<Affine, Overflow>| e.is_ok_and(|e| at_least_zero(nest, &at.loops, &e));
        let low = |bound: &Affine| zero(there(bound).and_then(|b| value.sub(&b)));
        let high = |bound: &Affine| zero(there(bound).and_then(|b| b.add_const(-1)?.sub(value)));
        l.step == 1 && l.lower.iter().all(low) && l.upper.iter().all(high)
    };
    own.iter().all(within)
}

/// Whether one statement writes every element of an array: its indices are its iterators, each
/// once, and they run over all of the extents.
pub(super) fn all_written(placed: &[Placed<'_>], array: &Array) -> bool {
    let whole = |l: &&Loop, extent: &Affine| {
        let zero = l.lower.as_slice() == [Affine::constant(0)];
        zero && l.upper.as_slice() == [extent.clone()] && l.step == 1
    };
    placed.iter().any(|p| {
        let target = &p.statement.target;
        let covers = |l: &&Loop| {
            let mut at = target.indices.iter().zip(&array.shape);
            at.any(|(index, extent)| index.as_var() == Some(&l.var) && whole(l, extent))
        };
        target.array == array.name
            && p.guards.is_empty()
            && p.statement.guard.is_none()
            && p.loops.len() == target.indices.len()
            && p.loops.iter().all(covers)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nest(text: &str) -> Nest {
        text.parse().unwrap()
    }

    /// Whether all accesses of all statements are plainly in bounds.
    fn bounded(text: &str) -> bool {
        let nest = nest(text);
        nest.statements().iter().all(|p| {
            let accesses = p.statement.reads().into_iter().chain([&p.statement.target]);
            let array = |a: &Access| nest.array(&a.array).unwrap().clone();
            accesses.into_iter().all(|a| in_bounds(&nest, p, a, &array(a)))
        })
    }

    #[test]
    fn ends_of_ranges_bound_an_index() {
        let conv = "param N, R\nin X: f32[N + R]\nin W: f32[R]\nout Y: f32[N]\n\
            for i in 0..N { Y[i] = 0\n for r in 0..R { Y[i] += X[i + r] * W[r] } }";
        assert!(bounded(conv));
        assert!(!bounded(&conv.replace("X[i + r]", "X[i + r + 2]")));
        assert!(!bounded(&conv.replace("X[i + r]", "X[i + r - 1]")));
        let triangle = "param N\ninout A: f64[N, N]\nfor k in 0..N, i in k + 1..N, j in 0..i {\n\
            A[i, j] = A[i - k - 1, N - 1 - j] }";
        assert!(bounded(triangle));
        assert!(!bounded(&triangle.replace("i - k - 1", "i - k - 2")));
        assert!(!bounded(&triangle.replace("N - 1 - j", "N - j")));
        assert!(bounded(&triangle.replace("N - 1 - j", "N - 2 - j")), "j is at most N - 2");
        assert!(!bounded(&triangle.replace("N - 1 - j", "N - 3 - j")));
    }

    #[test]
    fn fixed_and_symbolic_sizes_differ() {
        let text = "param N = 4\nin X: f32[8]\nout Y: f32[N]\nfor i in 0..N { Y[i] = X[i + 4] }";
        assert!(bounded(text));
        assert!(!bounded(&text.replace("N = 4", "N = 5")));
        assert!(!bounded(&text.replace("N = 4", "N")), "some size has an access outside");
    }

    #[test]
    fn what_is_not_linear_says_nothing() {
        assert!(!bounded("in X: f32[8]\nout Y: f32[8]\nfor i in 0..8 { Y[i] = X[floor(i / 2)] }"));
        let dip = "in X: f32[8]\nout Y: f32[4]\nfor i in 0..4 { Y[i] = X[i - 3 * floor(i / 2)] }";
        assert!(!bounded(dip), "0 at both ends, -1 at i = 2");
    }

    /// Whether the first read of the last statement is plainly written before.
    fn defined(text: &str) -> bool {
        let nest = nest(text);
        let placed = nest.statements();
        let last = placed.len() - 1;
        written_before(&nest, &placed, last, placed[last].statement.reads()[0])
    }

    #[test]
    fn a_write_in_the_same_iteration_defines_an_element() {
        let sum = "param N, K\nin A: f32[N, K]\nout C: f32[N]\n\
            for i in 0..N { S0: C[i] = 0\n for k in 0..K { S1: C[i] = C[i] + A[i, k] } }";
        assert!(defined(sum));
        assert!(!defined(&sum.replace("S0: C[i] = 0", "if i >= 1 { S0: C[i] = 0 }")));
        assert!(!defined(&sum.replace("S0: C[i] = 0", "S0: C[i] = 0 when A[i, 0] > 0.0")));
        assert!(!defined(&sum.replace("C[i] + A", "C[0] + A")), "another element");
        assert!(!defined(&sum.replace("S0: C[i] = 0", "for j in 0..K { S0: C[i] = 0 }")));
        let guarded = sum.replace("S0: C[i] = 0\n", "if i >= 1 { S0: C[i] = 0\n") + "}";
        assert!(defined(&guarded), "the guard stands around both");
        let other = "param N\nout C: f32[N]\nfor i in 0..N { C[i] = 0 }\n\
            for i in 0..N { C[i] = C[i] + 1.0 }";
        assert!(defined(other), "another loop over the same elements");
        assert!(!defined(
            &other.replace("for i in 0..N { C[i] = 0 }", "for i in 1..N { C[i] = 0 }")
        ));
        assert!(!defined(&other.replace("{ C[i] = 0", "step 2 { C[i] = 0")));
        assert!(!defined(&other.replace("C[i] + 1.0", "C[i + 1] + 1.0")));
        assert!(!defined(&other.replace("{ C[i] = 0 }", "{ if i >= 1 { C[i] = 0 } }")));
    }

    #[test]
    fn writes_in_loops_of_their_own_define_what_their_ends_hold() {
        let text = "param N\ntemp T: f32[N, N]\nout C: f32[N, N]\n\
            for i in 0..N { for a in 0..i + 1 { T[i, a] = 1.0 }\n\
            for j in 0..i { C[i, j] = T[i, j] } }";
        assert!(defined(text));
        assert!(!defined(&text.replace("0..i + 1", "0..i - 1")));
        assert!(!defined(&text.replace("= T[i, j]", "= T[j, i]")), "of another iteration");
        assert!(!defined(&text.replace("T[i, a] = 1.0", "T[i, i] = 1.0")), "one element");
        assert!(!defined(&text.replace("T[i, a] = 1.0", "T[a, a] = 1.0")));
    }

    #[test]
    fn iterators_over_all_extents_write_all_elements() {
        let covered = |text: &str| {
            let nest = nest(text);
            let array = nest.arrays.iter().find(|a| *a.name == *"C").unwrap();
            all_written(&nest.statements(), array)
        };
        let text = "param M, N\nout C: f32[M, N]\nfor j in 0..N, i in 0..M { C[i, j] = 1.0 }";
        assert!(covered(text));
        assert!(covered("out C: f32\nC[] = 1.0"));
        assert!(!covered(&text.replace("C[i, j] =", "C[i, i] =")));
        assert!(!covered(&text.replace("0..M", "1..M")));
        assert!(!covered(&text.replace("0..M", "0..M step 2")));
        assert!(!covered(
            &text.replace("0..M {", "0..M { if i <= j {").replace("1.0 }", "1.0 } }")
        ));
        let more = text.replace("0..M {", "0..M, k in 0..M {");
        assert!(!covered(&more), "where M is 0 nothing runs, which must not be assumed");
    }
}
