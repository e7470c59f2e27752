//! What a statement costs in vector lanes and one instance at a time.
//!
//! In: a statement, and how its iterators move from one iteration of its innermost loop to the
//! next. Out: cycles per instance, in sixteenths.
//! Keeps: only relations between two forms of one statement matter; the figures are those of a
//! current processor (two loads, one store and two additions or multiplications a cycle, of a
//! whole register or of one element; sources: [Fog], Agner Fog, Instruction tables, 2023).

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::{Access, BinOp, Expr, UnOp};
use warploom_ir::schedule::{PolyStatement, Tree};

use crate::steps::ancestors;

/// How far each iterator moves from one iteration of a loop to the next.
pub(super) type Advance = Vec<(Name, i64)>;

/// How an access moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Motion {
    /// Not at all.
    Still,
    /// To the next element.
    Next,
    /// To the element before.
    Back,
    /// Further.
    Far,
}

/// A cycle.
pub(super) const CYCLE: i64 = 16;
/// Cycles until the sum of two floats can be added to, and until what was stored can be read.
const LATENCY: i64 = 4;
const STORED: i64 = 5;
/// Cycles in which no other division can begin, of an element or of a register, and until its
/// result is there.
const DIVISION: i64 = 5;
const WIDE_DIVISION: i64 = 10;
const SLOW_DIVISION: i64 = 13;

/// How an index moves; nothing where that is not the same in all iterations.
fn moves(index: &Affine, advance: &Advance) -> Option<i64> {
    let mut sum = 0_i64;
    for (iter, by) in advance.iter().filter(|(_, by)| *by != 0) {
        let inside = |(atom, _): (&Atom, i64)| match atom {
            Atom::Var(_) => false,
            Atom::FloorDiv(e, _) | Atom::Mod(e, _) => e.vars().contains(iter),
        };
        if index.terms().any(inside) {
            return None;
        }
        sum = sum.checked_add(index.coefficient(iter).checked_mul(*by)?)?;
    }
    Some(sum)
}

fn motion(access: &Access, advance: &Advance) -> Motion {
    let Some((last, outer)) = access.indices.split_last() else { return Motion::Still };
    if outer.iter().any(|e| moves(e, advance) != Some(0)) {
        return Motion::Far;
    }
    match moves(last, advance) {
        Some(0) => Motion::Still,
        Some(1) => Motion::Next,
        Some(-1) => Motion::Back,
        Some(_) | None => Motion::Far,
    }
}

/// Operations of a value: those that take a cycle or less, and divisions and roots.
fn operations(value: &Expr) -> (i64, i64) {
    let (mut quick, mut slow) = (0, 0);
    value.visit(&mut |e| match e {
        Expr::Literal(_) | Expr::Index(_) | Expr::Read(_) | Expr::Bitcast(..) => {}
        Expr::Binary(BinOp::Div, ..) | Expr::Unary(UnOp::Sqrt | UnOp::Rsqrt, _) => slow += 1,
        Expr::Unary(..) | Expr::Binary(..) | Expr::Fma(..) | Expr::Select(..) => quick += 1,
        Expr::Cast { .. } => quick += 1,
    });
    (quick, slow)
}

/// The reads of a statement, each element once.
fn reads(s: &PolyStatement) -> Vec<&Access> {
    let mut out: Vec<&Access> = Vec::new();
    for read in s.statement.reads() {
        if !out.contains(&read) {
            out.push(read);
        }
    }
    out
}

/// An instance's cost in lanes, of which a register holds `lanes`.
pub(super) fn in_lanes(s: &PolyStatement, advance: &Advance, lanes: i64) -> i64 {
    let lanes = lanes.max(1);
    let mut cost = match motion(&s.statement.target, advance) {
        Motion::Still => 0,
        Motion::Next => CYCLE / lanes,
        Motion::Back | Motion::Far => CYCLE + CYCLE / 2,
    };
    for read in reads(s) {
        cost += match motion(read, advance) {
            Motion::Still => CYCLE / 8,
            Motion::Next => CYCLE / 2 / lanes,
            Motion::Back => CYCLE / lanes,
            Motion::Far => CYCLE,
        };
    }
    let (quick, slow) = operations(&s.statement.value);
    cost + (quick * CYCLE / 2 + slow * WIDE_DIVISION * CYCLE) / lanes
}

/// An instance's cost where instances run one by one; each waits for the one before in a `chain`.
pub(super) fn one_by_one(s: &PolyStatement, advance: &Advance, chain: bool) -> i64 {
    let moving = |a: &&Access| motion(a, advance) != Motion::Still;
    let (quick, slow) = operations(&s.statement.value);
    let accesses = i64::try_from(reads(s).into_iter().filter(moving).count()).unwrap_or(0);
    let store = if moving(&&s.statement.target) { CYCLE } else { 0 };
    let work = store + (accesses + quick) * CYCLE / 2 + slow * DIVISION * CYCLE;
    // what stays in place is in a register
    let through = if moving(&&s.statement.target) { STORED } else { 0 };
    let waits = if chain { LATENCY + through + slow.min(1) * SLOW_DIVISION } else { 0 };
    work.max(waits * CYCLE)
}

/// How a statement's iterators move with a loop around it while all other loops stand still;
/// nothing where they cannot move by whole numbers. Loops over tiles follow those inside them.
pub(super) fn advance(tree: &Tree, s: &PolyStatement, name: &Name) -> Option<Advance> {
    let n = s.iters.len();
    let mut system: Vec<Vec<i64>> = Vec::new();
    for l in ancestors(tree, &s.statement.name) {
        let row = &l.rows[&s.statement.name];
        let divides = |(a, _): (&Atom, i64)| !matches!(a, Atom::Var(_));
        if row.terms().any(divides) {
            continue;
        }
        let mut line: Vec<i64> = s.iters.iter().map(|v| row.coefficient(v)).collect();
        line.push(i64::from(l.name == *name));
        system.push(line);
    }
    let solution = solve(system, n)?;
    Some(s.iters.iter().cloned().zip(solution).collect())
}

/// The only solution, in whole numbers, of linear equations: coefficients, then the right side.
fn solve(mut system: Vec<Vec<i64>>, n: usize) -> Option<Vec<i64>> {
    for column in 0..n {
        let pivot = (column..system.len()).find(|r| system[*r][column] != 0)?;
        system.swap(column, pivot);
        let lead = system[column].clone();
        for (_, line) in system.iter_mut().enumerate().filter(|(r, _)| *r != column) {
            let factor = line[column];
            for (x, p) in line.iter_mut().zip(&lead) {
                *x = x.checked_mul(lead[column])?.checked_sub(p.checked_mul(factor)?)?;
            }
        }
    }
    if system.iter().skip(n).any(|line| line[n] != 0) {
        return None;
    }
    let whole = |r: usize| (system[r][n] % system[r][r] == 0).then(|| system[r][n] / system[r][r]);
    (0..n).map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_have_their_solution() {
        // i + t = 1, t = 0, i + j + t = 0
        let system = vec![vec![1, 0, 1, 1], vec![0, 0, 1, 0], vec![1, 1, 1, 0]];
        assert_eq!(solve(system, 3), Some(vec![1, -1, 0]));
        assert_eq!(solve(vec![vec![2, 1]], 1), None);
        assert_eq!(solve(vec![vec![1, 1, 1]], 2), None);
    }
}
