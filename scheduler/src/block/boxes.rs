//! Copies into operands as boxes, by the copy engine or asynchronously by threads.
//!
//! In: where the box of a copy lies in its array, and the rows and columns of the operand. Out: the
//! calls that load it. Keeps: the copy engine writes a box row-major in the order of the array's
//! dimensions. What has another order in shared memory is several boxes: further dimensions of the
//! columns, which are panels of their own, and those of the rows that do not follow the array's.

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::{Operand as Tiled, Slice};
use warploom_ir::kernel::{Index, KernelNode};

use super::digits::Digits;
use super::epilogue::unroll;
use super::moves::Move;
use super::operand::Operand;
use super::roles::{Program, add, by_name, call, slot, tile, unused, var};
use crate::index::{simplify, substitute};

/// Rows of a group in shared memory, whose chunks are permuted together.
const GROUP: i64 = 8;

impl Move {
    /// All of an operand's slot `at`, and where it comes from, at these coordinates. Rows and
    /// columns are a dimension each.
    pub(super) fn matrix(&self, factor: &Operand, at: &Index, values: &[Index]) -> Vec<Tiled> {
        let shape = factor.shape();
        let whole = |extent| Slice { start: Index::Const(0), extent: Some(extent), step: 1 };
        let mut inside = vec![Slice { start: at.clone(), extent: None, step: 1 }];
        inside.extend(shape.map(whole));
        let lookup = by_name(&self.coordinates, values);
        let outside = self.start.iter().enumerate().map(|(d, start)| {
            let own = |s: &Digits| s.alone().is_some_and(|b| self.along[b] == d);
            let side = factor.sides.iter().position(own);
            let extent = side.map(|s| shape[s]);
            Slice { start: substitute(start, &lookup), extent, step: self.step[d] }
        });
        vec![tile(&self.buffer, inside, false), tile(&self.array, outside.collect(), false)]
    }
}

/// A digit of the rows or the columns in a box.
struct Part {
    /// The array's dimension.
    along: usize,
    /// From one value of it to the next, in rows or columns.
    stride: i64,
    /// The first value and how many there are.
    first: Index,
    count: i64,
    /// Its values are boxes of their own: the number of the box.
    looped: Option<Name>,
}

impl Program<'_> {
    /// The copy of a box into slot `at`; where all blocks of a cluster need it, each copies a part
    /// for all of them, or the part that it holds of a pair's operand.
    pub(super) fn load(
        &mut self,
        copy: &Move,
        factor: &Operand,
        at: &Index,
        values: &[Index],
    ) -> KernelNode {
        let count = self.plan.cluster.as_ref().map_or(1, |c| c.count);
        let paired = self.product().paired();
        let divided = match paired {
            true => (factor.parts > 1).then_some(factor.own()),
            false => self.divided(copy, factor, count).filter(|_| !copy.asynchronous()),
        };
        let mut sides = [0, 1].map(|side| self.parts_of(copy, factor, side));
        if let Some(side) = divided {
            let slowest = &mut sides[side][0];
            slowest.count /= count;
            let first = Index::Mul(slowest.count, Box::new(var(&self.cluster)));
            slowest.first = simplify(&first);
        }
        let mut inside = vec![Slice { start: at.clone(), extent: None, step: 1 }];
        for parts in &sides {
            let mut start = Index::Const(0);
            let mut extent = 1;
            for part in parts {
                let number = part.looped.as_ref().map_or(Index::Const(0), var);
                // a pair's part is all that this block has of the operand
                let value = if paired { number } else { add(part.first.clone(), number) };
                start = add(start, Index::Mul(part.stride, Box::new(value)));
                extent *= if part.looped.is_some() { 1 } else { part.count };
            }
            inside.push(Slice { start: simplify(&start), extent: Some(extent), step: 1 });
        }
        let lookup = by_name(&copy.coordinates, values);
        let outside = copy.start.iter().enumerate().map(|(d, start)| {
            let start = substitute(start, &lookup);
            let Some(part) = sides.iter().flatten().find(|p| p.along == d) else {
                return Slice { start, extent: None, step: 1 };
            };
            let number = part.looped.as_ref().map_or(Index::Const(0), var);
            let moved = Index::Mul(copy.step[d], Box::new(add(part.first.clone(), number)));
            let start = add(start, simplify(&moved));
            match &part.looped {
                Some(_) => Slice { start, extent: None, step: 1 },
                None => Slice { start, extent: Some(part.count), step: copy.step[d] },
            }
        });
        let mut operands = vec![
            tile(&copy.buffer, inside, false),
            tile(&copy.array, outside.collect(), false),
            slot(self.full(), at.clone()),
        ];
        let one = match divided {
            _each if copy.asynchronous() => {
                operands.truncate(2);
                call(&copy.instruction(), operands)
            }
            _each if paired => call("tma.load.pair", operands),
            None => call("tma.load", operands),
            Some(_) => {
                operands.push(self.all_blocks(count));
                call("tma.load.multicast", operands)
            }
        };
        let looped = sides.iter().flatten().filter_map(|p| Some((p.looped.as_ref()?, p.count)));
        looped.fold(one, |inner, (name, count)| unroll(name, count, vec![inner]))
    }

    /// The rows or the columns of a copy, the slowest digit first.
    fn parts_of(&mut self, copy: &Move, factor: &Operand, side: usize) -> Vec<Part> {
        let digits = &factor.sides[side];
        let alongs: Vec<usize> = digits.0.iter().map(|d| copy.along[d.dim]).collect();
        let last = digits.0.len() - 1;
        // columns: the last dimension; rows: the most that follow each other in the array's order
        let from = match side {
            1 => last,
            _ => (0..last).rev().find(|at| alongs[*at] > alongs[at + 1]).map_or(0, |at| at + 1),
        };
        let one = |(at, along): (usize, &usize)| {
            let count = digits.0[at].extent;
            let looped = (at < from && count > 1).then(|| unused("box", self.taken));
            let (stride, first) = (digits.stride(at), Index::Const(0));
            Part { along: *along, stride, first, count, looped }
        };
        alongs.iter().enumerate().map(one).collect()
    }

    /// Which of rows and columns the blocks of a cluster divide between them, where they need the
    /// same box: by their slowest digit, each with whole groups of rows and whole panels.
    fn divided(&self, copy: &Move, factor: &Operand, count: i64) -> Option<usize> {
        let whole = |side: usize| {
            let digits = &factor.sides[side];
            let step = match side {
                0 => GROUP,
                _ => 8 * factor.panel()? / factor.bits(),
            };
            let extent = digits.0.first()?.extent;
            let part = extent / count * digits.stride(0);
            (extent % count == 0 && part % step == 0).then_some(())
        };
        [0, 1].into_iter().find(|s| self.shared_by_cluster(copy) && whole(*s).is_some())
    }
}
