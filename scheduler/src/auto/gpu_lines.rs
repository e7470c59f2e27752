//! Statements of a GPU that move whole lines: each thread runs some neighbouring elements.
//!
//! In: a statement alone in independent loops, every access of which is contiguous (or constant)
//! along one of them. Out: that loop on the threads of warps, in pieces of 16 bytes where every
//! line starts at a multiple of them; the next loop on the other threads of a block, the rest on
//! blocks. Short loops along which everything that is read stays in place (several results of the
//! same elements) run inside a thread, unrolled, so that it is loaded and prepared once for all.
//! Keeps: the loops alone decide, not what is computed.
//! Why here: memory of a GPU answers after half a microsecond, so its bandwidth needs some 20 KB on
//! their way per multiprocessor: one element of each thread is too little.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::{Access, BinOp, Expr, UnOp};
use warploom_ir::nest::Role as ArrayRole;
use warploom_ir::schedule::step::{LayoutTerm, Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement};
use warploom_ir::target::Place;

use super::Auto;
use super::gpu::fitting;
use super::tiles::{Role, Stride, stride};
use crate::steps::stage::accesses;

/// Threads of a block.
pub(super) const THREADS: i64 = 256;
/// Bytes that one instruction moves for a thread.
const WIDE: i64 = 16;
/// Bytes of the widest array's elements that a thread takes where there are narrower ones.
const WIDE_OF_MIXED: i64 = 32;
/// Bytes of the narrowest array's elements that a thread takes at least.
const NARROW: i64 = 4;
/// Lines of which a thread runs a piece.
const LINES: i64 = 2;
/// Threads of a block whose elements take more instructions than memory leaves time for: blocks end
/// apart, and while some compute, others load.
pub(super) const BUSY_THREADS: i64 = 128;
/// Most results of the same elements that a thread computes.
const RESULTS: i64 = 32;

/// A statement's loops, all of them independent.
pub(super) struct Elementwise {
    /// The loop along which the target is contiguous.
    pub(super) line: Role,
    /// The others, outermost first.
    pub(super) rest: Vec<Role>,
    /// Short loops over results of the same elements, which move the target alone.
    pub(super) results: Vec<Role>,
    /// What the statement reads, each once.
    pub(super) reads: Vec<Access>,
}

impl Elementwise {
    /// The parts of a statement's loops; nothing where one of them is not independent.
    pub(super) fn of(poly: &Poly, s: &PolyStatement, roles: &[Role]) -> Option<Self> {
        if !roles.iter().all(|r| r.free) {
            return None;
        }
        let target = &s.statement.target;
        let line = roles.iter().find(|r| stride(target, &r.iter) == Stride::One)?.clone();
        let guard = s.statement.guard.iter().flat_map(|g| g.reads());
        let mut reads: Vec<Access> = Vec::new();
        for read in s.statement.value.reads().into_iter().chain(guard) {
            if !reads.contains(read) {
                reads.push(read.clone());
            }
        }
        let others = roles.iter().filter(|r| r.name != line.name);
        let same = |r: &&Role| results_of_same(poly, &reads, &line, r);
        let (mut results, mut rest): (Vec<Role>, Vec<Role>) =
            others.cloned().partition(|r| same(&r));
        let count = results.iter().try_fold(1_i64, |n, r| n.checked_mul(r.extent?));
        if count.is_none_or(|n| n > RESULTS) {
            rest = roles.iter().filter(|r| r.name != line.name).cloned().collect();
            results.clear();
        }
        Some(Self { line, rest, results, reads })
    }
}

/// Whether a loop is short, and what moves along a line stays in place along it; tables of
/// constants may move, which are then constants of the code.
fn results_of_same(poly: &Poly, reads: &[Access], line: &Role, r: &Role) -> bool {
    let table =
        |a: &Access| poly.array(&a.array).is_some_and(|a| matches!(a.role, ArrayRole::Const(_)));
    let still = |a: &&Access| stride(a, &r.iter) == Stride::None;
    r.extent.is_some_and(|n| n > 1 && n <= RESULTS)
        && reads.iter().all(|a| still(&a) || table(a))
        && reads.iter().filter(still).any(|a| stride(a, &line.iter) != Stride::None)
}

/// Bytes of an element of an array.
pub(super) fn bytes(poly: &Poly, array: &Name) -> i64 {
    let found = poly.array(array).and_then(|a| i64::try_from(a.dtype.size_bytes()).ok());
    found.unwrap_or(8)
}

/// Elements of 16 bytes of the narrowest array, but no more than 32 bytes of the widest unless the
/// narrowest are then less than 4 bytes, if all lines along a loop start at multiples of them.
pub(super) fn piece(poly: &Poly, s: &PolyStatement, line: &Role) -> Option<i64> {
    let moving = || {
        let all = std::iter::once(&s.statement.target).chain(s.statement.reads());
        all.filter(|a| stride(a, &line.iter) == Stride::One)
    };
    let narrow = moving().map(|a| bytes(poly, &a.array)).min()?.max(1);
    let widest = moving().map(|a| bytes(poly, &a.array)).max()?;
    let piece = (WIDE / narrow).min((WIDE_OF_MIXED / widest).max(NARROW / narrow)).max(1);
    let whole = |e: &Affine| {
        let fixed = |n: &str| poly.params.iter().find(|p| &*p.name == n).and_then(|p| p.value);
        let multiple = |v: i64| v.rem_euclid(piece) == 0;
        // of other loops, only what they are multiplied with is known
        let each = |(atom, c): (&Atom, i64)| {
            multiple(c) || matches!(atom, Atom::Var(n) if fixed(n).is_some_and(multiple))
        };
        e.eval(&fixed).is_some_and(multiple) || multiple(e.constant_part()) && e.terms().all(each)
    };
    let aligned = |a: &Access| {
        let pitch = poly.array(&a.array).and_then(|a| a.shape.last());
        let start = a.indices.last().and_then(|i| i.sub(&Affine::var(line.iter.clone())).ok());
        a.indices.len() == 1 && start.as_ref().is_some_and(whole)
            || pitch.is_some_and(whole) && start.as_ref().is_some_and(whole)
    };
    (line.extent.is_some_and(|n| n % piece == 0) && moving().all(aligned)).then_some(piece)
}

/// Whether a statement computes so much of elements of 16 bits or less that instructions take as
/// long as memory does: exponentials and other functions that are sums of many terms. `piece` is
/// how many neighbours a thread takes at once.
pub(super) fn busy(s: &PolyStatement, piece: i64) -> bool {
    let mut found = false;
    s.statement.value.visit(&mut |e| {
        found |= match e {
            Expr::Unary(op, _) => long(*op),
            Expr::Binary(op, ..) => *op == BinOp::Pow,
            Expr::Literal(_)
            | Expr::Index(_)
            | Expr::Read(_)
            | Expr::Fma(..)
            | Expr::Select(..)
            | Expr::Cast { .. }
            | Expr::Bitcast(..) => false,
        };
    });
    found && 2 * piece >= WIDE
}

/// Whether a function is a sum of many terms.
const fn long(op: UnOp) -> bool {
    match op {
        UnOp::Exp | UnOp::Exp2 | UnOp::Log | UnOp::Log2 | UnOp::Tanh | UnOp::Erf => true,
        UnOp::Neg
        | UnOp::Not
        | UnOp::Abs
        | UnOp::Rint
        | UnOp::Floor
        | UnOp::Ceil
        | UnOp::Trunc
        | UnOp::Exponent
        | UnOp::IsFinite
        | UnOp::Sqrt
        | UnOp::Rsqrt => false,
    }
}

impl Auto {
    /// Maps a statement that moves whole lines; says whether it is one.
    pub(super) fn lines(&mut self, name: &Name) -> Result<bool> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(false);
        };
        let Some(e) = Elementwise::of(&poly, s, &roles) else { return Ok(false) };
        if e.reads.iter().any(|a| stride(a, &e.line.iter) == Stride::Far) {
            return Ok(false);
        }
        let before = self.at.clone();
        let piece = piece(&poly, s, &e.line);
        let busy = e.rest.is_empty() && piece.is_some_and(|piece| busy(s, piece));
        if self.line_blocks(&e, piece, busy).is_some() {
            return Ok(true);
        }
        self.at = before;
        Ok(false)
    }

    /// Carries it out; `None` where a step is refused. Threads of a single line that are busy take
    /// two pieces, the second of which is on its way while the first is computed.
    fn line_blocks(&mut self, e: &Elementwise, piece: Option<i64>, busy: bool) -> Option<()> {
        // without wide accesses a thread's elements are not neighbours: those of a warp are
        let each = piece.unwrap_or(4);
        let threads = if busy { BUSY_THREADS } else { THREADS };
        let line = |n: i64| fitting(threads, (n + each - 1) / each);
        let wide = e.line.extent.map_or(threads, line);
        let mut rest = e.rest.clone();
        let lines = rest.pop();
        let mut order = vec![e.line.clone()];
        order.splice(0..0, rest.iter().chain(&lines).cloned());
        order.extend(e.results.iter().cloned());
        self.ordered(&order.iter().map(|r| r.name.clone()).collect::<Vec<_>>()).then_some(())?;
        let batch = self.one_loop(&rest)?;
        let size = if busy { LINES } else { 1 } * wide * each;
        let (block, inside) = self.halves(&e.line.name, size)?;
        let (thread, mine) = match piece {
            Some(_) => {
                let (pieces, mine) = self.halves(&inside, each)?;
                if busy {
                    let (strip, thread) = self.strips_of(&pieces, wide)?;
                    (thread, vec![strip, mine])
                } else {
                    (pieces, vec![mine])
                }
            }
            None => {
                let (mine, thread) = self.strips_of(&inside, wide)?;
                (thread, vec![mine])
            }
        };
        let count = |n: Option<i64>, size: i64| n.map(|n| (n + size - 1) / size);
        let mut blocks = vec![(block, count(e.line.extent, size))];
        let (mut threads, mut unrolled) = (vec![thread], mine);
        unrolled.splice(0..0, e.results.iter().map(|r| r.name.clone()));
        if let Some(lines) = lines {
            let high = THREADS / wide;
            let high = lines.extent.map_or(high, |n| fitting(high, n));
            let each = if e.results.is_empty() { LINES } else { 1 };
            let (block, inside) = self.halves(&lines.name, high * each)?;
            blocks.push((block, count(lines.extent, high * each)));
            if each > 1 {
                let (thread, mine) = self.halves(&inside, each)?;
                threads.push(thread);
                unrolled.insert(0, mine);
            } else {
                threads.push(inside);
            }
        }
        blocks.extend(batch);
        let mut order: Vec<Name> = blocks.iter().rev().map(|(n, _)| n.clone()).collect();
        order.extend(threads.iter().rev().chain(&unrolled).cloned());
        let done = self.ordered(&order) && self.places(&blocks, &threads);
        (done && unrolled.into_iter().all(|l| self.step(StepKind::Unroll(Ref::from(l)))))
            .then_some(())
    }

    /// Splits a loop; the inner one counts from the start of its strip, so that the two may change
    /// places.
    pub(super) fn strips_of(&mut self, name: &Name, size: i64) -> Option<(Name, Name)> {
        let (outer, inner) = self.halves(name, size)?;
        self.counted_from(&inner, size, &outer).then_some((outer, inner))
    }

    /// Lets a loop count from `size` times the value of one around it.
    pub(super) fn counted_from(&mut self, inner: &Name, size: i64, outer: &Name) -> bool {
        let (target, by) = (Ref::from(inner.clone()), Ref::from(outer.clone()));
        self.step(StepKind::Skew { target, factor: -size, by })
    }

    /// Stages a statement's access at a loop, with all others to its array where it is the only one
    /// there; the statements that copy it in and back.
    pub(super) fn stage_new(
        &mut self,
        (statement, access): (&Name, &Access),
        at: &Name,
        layout: Vec<LayoutTerm>,
        pad: i64,
        across: Vec<Place>,
    ) -> Option<Vec<Name>> {
        let before = self.at.tree().statements();
        let poly = self.at.poly();
        let all = |name: &Name| {
            let s = poly.statement(name).map(|s| accesses(&s.statement, &access.array));
            s.unwrap_or_default()
        };
        let below = self.at.tree().find(at)?.body.statements();
        let readers = if below.iter().map(|s| all(s).len()).sum::<usize>() == 1 {
            Vec::new()
        } else {
            let number = all(statement).iter().position(|a| a == access)?;
            vec![Ref::from(Name::from(format!("{statement}.{number}")))]
        };
        let (array, at) = (Ref::from(access.array.clone()), Some(Ref::from(at.clone())));
        let step = StepKind::Stage { array, readers, at, name: None, layout, pad, across };
        self.step(step).then_some(())?;
        let new = self.at.tree().statements().into_iter();
        Some(new.filter(|s| !before.contains(s)).collect())
    }

    /// Makes one of loops that stand right inside each other, outermost; `None` where that fails.
    pub(super) fn one_loop(&mut self, loops: &[Role]) -> Option<Option<(Name, Option<i64>)>> {
        let Some((first, others)) = loops.split_first() else { return Some(None) };
        let (mut name, mut extent) = (first.name.clone(), first.extent);
        for inner in others {
            let both: Name = format!("{name}_{}", inner.name).replace('.', "_").into();
            let step = StepKind::Coalesce {
                outer: Ref::from(name),
                inner: Ref::from(inner.name.clone()),
                name: Some(Ref::from(both.clone())),
            };
            self.step(step).then_some(())?;
            extent = extent.zip(inner.extent).and_then(|(a, b)| a.checked_mul(b));
            name = both;
        }
        Some(Some((name, extent)))
    }
}

#[cfg(test)]
mod tests;
