//! Reductions on a GPU: rows that blocks reduce together, and sums with few results.
//!
//! In: a schedule. Out: the same schedule, where nests that reduce along contiguous elements (row
//! maxima and sums, norms, a softmax, matrix-vector products) run a row in a block: its threads
//! take neighbouring elements and keep partial results in memory that the block shares, which are
//! combined in two steps (`split-reduction` three times). Nests that reduce across contiguous
//! elements (sums of columns, partial sums) run as many neighbouring columns in a block as a warp
//! has threads, or fewer where they are few, each on several threads. A reduction with fewer
//! results than keep a GPU busy runs over parts on different blocks; a later launch combines them.
//! Keeps: all statements of a row stay in one launch where they share their outer loops, so that
//! what is read again comes from a cache. A nest where one step is refused is left as it was.
//! Sizes of parts follow from the nest alone, so a result has the same bits on every GPU.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::nest::Role as NestRole;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{PolyStatement, Tree, TreeLoop};
use warploom_ir::target::{Axis, Place};

use super::gpu_lines::{BUSY_THREADS, busy, piece};
use super::tiles::{Role, Stride, extent, own_chain, stride};
use super::{Auto, children, stage_at};
use crate::footprint::around;

/// Threads of a block.
const THREADS: i64 = 256;
/// Threads of a warp: the fewest for a row.
const WARP: i64 = 32;
/// Elements of a row that a thread takes at least, where rows are short: more where there are rows
/// enough to keep a GPU busy all the same, as each thread of a row costs what combining them does.
const SHARE: i64 = 8;
const LARGE_SHARE: i64 = 16;
/// Elements that a thread loads before it uses the first, and pieces at least.
const AHEAD: i64 = 4;
const LEAST_AHEAD: i64 = 2;
/// Elements of a row that a thread takes all at once at most: what several statements of the row
/// compute of them stays in registers. More where threads are busy (`gpu_lines::busy`): what there
/// is beside the elements' own instructions then counts less.
const KEPT: i64 = 16;
const BUSY_KEPT: i64 = 32;
/// Rows that are too few to keep a GPU busy.
const FEW: i64 = 96;
/// Blocks that keep a large GPU busy.
const BLOCKS: i64 = 512;
/// Threads that keep a large GPU busy.
const BUSY: i64 = 1 << 17;
/// Warps that share columns at most, and fewest elements of a column for each.
const COLUMN_THREADS: i64 = 16;
const COLUMN_SHARE: i64 = 4;
/// Fewest neighbouring columns of a block: a line of memory.
const LEAST_COLUMNS: i64 = 8;
/// Elements of so few columns that one launch is better than parts on more blocks.
const SMALL: i64 = 1 << 19;
/// Elements of a column that are worth threads of their own.
const COLUMN: i64 = 8;
/// Fewest iterations of a part, where a reduction is split over blocks.
const PART: i64 = 2048;
/// The same for threads that each have a result of their own.
const COLUMN_PART: i64 = 64;

/// A nest whose rows are reduced.
struct Rows {
    /// The independent loops outside, outermost first; a row belongs to one iteration of all.
    outer: Vec<Name>,
    /// What a row runs, in order.
    parts: Vec<Part>,
    /// Elements of the longest row, where known.
    length: Option<i64>,
    /// How many rows there are, where known.
    count: Option<i64>,
    /// Neighbouring elements are in neighbouring rows: they are columns.
    columns: bool,
}

/// One statement of a row.
struct Part {
    statement: Name,
    /// The loop along neighbouring elements; none for a statement that runs once in a row.
    lane: Option<Name>,
    /// Updates one element along the lane.
    reduces: bool,
    /// Neighbouring elements that a thread takes at once, where lines of them are aligned.
    piece: i64,
    /// It computes as long as memory takes.
    busy: bool,
}

/// The loops outside what a block runs, and its shape.
struct Block {
    /// Outermost first; partial results belong to an iteration of the last.
    outside: Vec<Name>,
    shape: Shape,
    columns: bool,
    /// Elements of the longest row, where known.
    length: Option<i64>,
}

impl Block {
    /// Where the threads of a row lie, and the rows: neighbouring threads take neighbours.
    const fn axes(&self) -> (Axis, Axis) {
        if self.columns { (Axis::Y, Axis::X) } else { (Axis::X, Axis::Y) }
    }

    /// How many pieces of so many elements a thread loads before it uses the first.
    fn ahead(&self, piece: i64) -> i64 {
        let least = (AHEAD / piece).max(LEAST_AHEAD);
        let step = self.shape.threads * piece;
        let whole = self.length.filter(|n| !self.columns && n % step == 0);
        let kept = whole.map(|n| n / step).filter(|n| n * piece <= self.shape.kept);
        kept.map_or(least, |n| n.max(least))
    }
}

/// How many threads and rows a block has.
#[derive(Clone, Copy)]
struct Shape {
    threads: i64,
    rows: i64,
    /// Elements of a row that a thread takes all at once at most.
    kept: i64,
}

impl Shape {
    /// For rows of this length, so many of them; what a row runs.
    fn of(length: Option<i64>, rows: Option<i64>, parts: &[Part]) -> Self {
        let elements = length.zip(rows).map(|(n, rows)| n.saturating_mul(rows));
        let many = elements.is_some_and(|n| n / LARGE_SHARE >= BUSY);
        let (block, share, kept) = match (many, parts.iter().any(|p| p.busy)) {
            (true, true) => (BUSY_THREADS, BUSY_KEPT, BUSY_KEPT),
            (true, false) => (THREADS, LARGE_SHARE, KEPT),
            (false, _) => (THREADS, SHARE, KEPT),
        };
        let wanted = length.map_or(block, |n| n / share);
        let mut threads = WARP;
        while threads < block && threads < wanted {
            threads *= 2;
        }
        Self { threads, rows: block / threads, kept }
    }

    /// For so many columns of this length: fewer neighbours in a block where blocks are few.
    fn of_columns(length: Option<i64>, columns: Option<i64>) -> Self {
        let few = |rows: i64| columns.is_some_and(|n| n < FEW * rows);
        let mut rows = WARP;
        while rows > LEAST_COLUMNS && few(rows) {
            rows /= 2;
        }
        let most = COLUMN_THREADS * WARP / rows;
        let wanted = length.map_or(COLUMN_THREADS, |n| n / COLUMN_SHARE);
        let mut threads = 1;
        while threads < most && threads < wanted {
            threads *= 2;
        }
        Self { threads, rows, kept: KEPT }
    }

    /// Partial results that are left after the first step of combining.
    const fn left(self) -> i64 {
        if self.threads > 64 { 16 } else { 8 }
    }
}

impl Auto {
    /// Maps the nests that reduce rows.
    pub(super) fn rows_on_blocks(&mut self) -> Result<()> {
        for position in 0..children(self.at.tree()).len() {
            let before = self.at.clone();
            self.apart(&before.tree().clone(), position)?;
            let nest = children(self.at.tree()).swap_remove(position);
            let rows = match self.rows_of(&nest, false)? {
                None => self.rows_of(&nest, true)?,
                rows => rows,
            };
            if rows.is_none_or(|rows| self.map_rows(&rows).is_none()) {
                self.at = before;
            }
        }
        Ok(())
    }

    /// Distributes what one iteration of a nest's independent outer loops runs, so that each
    /// statement has its own loops; the nest stays one child of the tree.
    fn apart(&mut self, tree: &Tree, position: usize) -> Result<()> {
        let nest = children(tree).swap_remove(position);
        let mut at = &nest;
        while let Tree::Loop(l) = at {
            if l.marks.map.is_some() || !self.session.deps(&self.at)?.independent(tree, &l.name)? {
                break;
            }
            at = &l.body;
        }
        if std::ptr::eq(at, &nest) {
            return Ok(());
        }
        let several = |l: &&TreeLoop| matches!(&*l.body, Tree::Sequence(_));
        for l in at.loops().into_iter().filter(several) {
            let target = Ref::from(l.name.clone());
            self.step(StepKind::Distribute { target, at: None, names: Vec::new() });
        }
        Ok(())
    }

    /// The rows that a nest reduces, if that is what it does.
    fn rows_of(&mut self, nest: &Tree, columns: bool) -> Result<Option<Rows>> {
        let (tree, mut outer, mut at) = (self.at.tree().clone(), Vec::new(), nest);
        while let Tree::Loop(l) = at {
            if l.marks.map.is_some() || !self.session.deps(&self.at)?.independent(&tree, &l.name)? {
                break;
            }
            outer.push(l.clone());
            at = &l.body;
        }
        let mut parts = Vec::new();
        let mut length = Some(0);
        for child in children(at) {
            let below = child.statements();
            let [statement] = below.as_slice() else { return Ok(None) };
            let found = if columns {
                self.column_of(statement, &child, &outer)?
            } else {
                self.part_of(statement, &child, &outer)?
            };
            let Some((part, extent)) = found else { return Ok(None) };
            length = length.zip(extent).map(|(a, b)| a.max(b));
            parts.push(part);
        }
        let short = length.is_some_and(|n| n < if columns { COLUMN } else { WARP });
        if short || outer.len() > 3 || !parts.iter().any(|p| p.reduces) {
            return Ok(None);
        }
        let rows = self.extent_of(&outer);
        let few = if columns {
            let long = length.is_none_or(|n| n >= 4 * COLUMN_PART);
            let small = rows.zip(length).is_some_and(|(rows, n)| rows.saturating_mul(n) < SMALL);
            let least = match (long, small) {
                (false, _) => WARP * WARP,
                (true, false) => FEW * LEAST_COLUMNS,
                (true, true) => WARP,
            };
            rows.is_none_or(|rows| !(least..BUSY).contains(&rows))
        } else {
            // so few and long that each should run on several blocks
            rows.zip(length).is_some_and(|(rows, n)| rows < FEW && n >= 4 * PART)
        };
        if few {
            return Ok(None);
        }
        let outer = outer.into_iter().map(|l| l.name).collect();
        Ok(Some(Rows { outer, parts, length, count: rows, columns }))
    }

    /// A statement of a row and its elements; nothing where neighbours are not along one loop.
    fn part_of(
        &mut self,
        statement: &Name,
        nest: &Tree,
        outer: &[TreeLoop],
    ) -> Result<Option<(Part, Option<i64>)>> {
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(statement) else { return Ok(None) };
        let (mut lane, mut elements): (Option<Role>, Option<i64>) = (None, Some(1));
        for l in nest.loops() {
            let Some(role) = self.role(&poly, s, l)? else { return Ok(None) };
            elements = elements.zip(role.extent).map(|(a, b)| a.saturating_mul(b));
            if (role.free || role.reduces) && along(s, &role) {
                lane = Some(role);
            }
        }
        let statement = statement.clone();
        let Some(role) = lane else {
            let once = nest.loops().is_empty();
            let part = Part { statement, lane: None, reduces: false, piece: 1, busy: false };
            return Ok(once.then_some((part, Some(1))));
        };
        let every = |a: &&Access| outer.iter().all(|l| moves(a, &statement, l));
        // what stays in place along an outer loop is used again there: tiles are better
        if role.reduces && !s.statement.value.reads().iter().any(every) {
            return Ok(None);
        }
        let piece = piece(&poly, s, &role).unwrap_or(1);
        let (lane, reduces, busy) = (Some(role.name), role.reduces, busy(s, piece));
        let part = Part { statement, lane, reduces, piece, busy };
        Ok(Some((part, elements)))
    }

    /// A statement of a column and its elements, where the innermost outer loop runs over
    /// neighbouring columns.
    fn column_of(
        &mut self,
        statement: &Name,
        nest: &Tree,
        outer: &[TreeLoop],
    ) -> Result<Option<(Part, Option<i64>)>> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(inner)) = (poly.statement(statement), outer.last()) else {
            return Ok(None);
        };
        let Some(column) = inner.rows.get(statement).and_then(Affine::as_var).cloned() else {
            return Ok(None);
        };
        let reads = s.statement.value.reads();
        let strides = || reads.iter().copied().chain([&s.statement.target]);
        if strides().any(|a| stride(a, &column) == Stride::Far) {
            return Ok(None);
        }
        let part = |lane, reduces| Part {
            statement: statement.clone(),
            lane,
            reduces,
            piece: 1,
            busy: false,
        };
        let loops = nest.loops();
        let [l] = loops.as_slice() else {
            return Ok(loops.is_empty().then(|| (part(None, false), Some(1))));
        };
        let Some(role) = self.role(&poly, s, l)? else { return Ok(None) };
        let every = |a: &&Access| outer.iter().all(|l| moves(a, statement, l));
        if !role.reduces || along(s, &role) || !reads.iter().copied().any(|a| every(&a)) {
            return Ok(None);
        }
        Ok(Some((part(Some(role.name), true), role.extent)))
    }

    /// Iterations of loops together, where known.
    fn extent_of(&self, outer: &[TreeLoop]) -> Option<i64> {
        let poly = self.at.poly();
        let mut extents = outer.iter().map(|l| {
            let (name, row) = l.rows.first_key_value()?;
            extent(poly, poly.statement(name)?, row.as_var()?)
        });
        extents.try_fold(1_i64, |n: i64, e| Some(n.saturating_mul(e?)))
    }

    /// Maps the rows of a nest; nothing where a step is refused.
    fn map_rows(&mut self, rows: &Rows) -> Option<()> {
        let columns = rows.columns;
        let shape = if columns {
            Shape::of_columns(rows.length, rows.count)
        } else {
            Shape::of(rows.length, rows.count, &rows.parts)
        };
        let (outside, length) = (rows.outer.clone(), rows.length);
        let mut block = Block { outside, shape, columns, length };
        match block.outside.pop() {
            Some(row) if block.shape.rows > 1 => {
                let (outer, inner) = self.halves(&row, block.shape.rows)?;
                block.outside.push(outer);
                if rows.parts.len() > 1 {
                    let target = Ref::from(inner);
                    self.must(StepKind::Distribute { target, at: None, names: Vec::new() })?;
                }
            }
            Some(row) => block.outside.push(row),
            None => block.shape = Shape { threads: THREADS, rows: 1, ..block.shape },
        }
        if let Some(at) = block.outside.last().cloned() {
            self.results_of_rows(&at);
        }
        for part in &rows.parts {
            self.map_part(part, &block)?;
        }
        for (l, axis) in block.outside.iter().rev().zip([Axis::X, Axis::Y, Axis::Z]) {
            self.must(StepKind::Map(Ref::from(l.clone()), Place::Block(axis)))?;
        }
        Some(())
    }

    /// Lets temporaries that hold a few results of each row, and that nothing else needs, live in
    /// the block's memory.
    fn results_of_rows(&mut self, at: &Name) {
        let poly = self.at.poly().clone();
        for array in poly.arrays.iter().filter(|a| a.role == NestRole::Temp) {
            let (before, statements) = (self.at.clone(), self.at.tree().statements().len());
            if poly.scopes.contains_key(&array.name) || !self.step(stage_at(&array.name, at)) {
                continue;
            }
            let new = self.at.poly().arrays.last();
            let sizes =
                new.map(|a| a.shape.iter().map(|e| e.as_constant()).product::<Option<i64>>());
            let few = sizes.flatten().is_some_and(|n| n <= WARP);
            if !few || self.at.tree().statements().len() != statements {
                self.at = before;
            }
        }
    }

    /// The loops of a statement inside a block, outermost first.
    fn inside(&self, statement: &Name, block: &Block) -> Vec<Name> {
        let chain = own_chain(self.at.tree(), statement).into_iter().map(|l| l.name);
        chain.filter(|l| !block.outside.contains(l)).collect()
    }

    /// Threads along a lane, several elements each; partial results where it reduces.
    fn map_part(&mut self, part: &Part, block: &Block) -> Option<()> {
        let Some(lane) = &part.lane else {
            return self.map_row(&part.statement, block);
        };
        let (lane, mine) = if part.piece > 1 {
            let (pieces, mine) = self.halves(lane, part.piece)?;
            (pieces, Some(mine))
        } else {
            (lane.clone(), None)
        };
        let (strips, thread) = self.strided(&lane, block.shape.threads)?;
        let (strips, ahead) = self.halves(&strips, block.ahead(part.piece))?;
        let mut order = self.inside(&part.statement, block);
        order.retain(|l| ![&strips, &ahead, &thread].contains(&l) && Some(l) != mine.as_ref());
        order.insert(usize::from(block.shape.rows > 1), thread.clone());
        order.extend([strips, ahead.clone()].into_iter().chain(mine.clone()));
        self.innermost(&part.statement, &order);
        for unrolled in std::iter::once(ahead).chain(mine) {
            self.must(StepKind::Unroll(Ref::from(unrolled)))?;
        }
        if part.reduces && block.shape.threads > 1 {
            let finish = self.partial(&thread, block)?;
            self.combined(finish, block)?;
        }
        self.map_row(&part.statement, block)?;
        self.must(StepKind::Map(Ref::from(thread), Place::Thread(block.axes().0)))
    }

    /// Adds the partial results of a block's threads: one thread those of a column, several those
    /// of a row and one what they leave.
    fn combined(&mut self, finish: Name, block: &Block) -> Option<()> {
        let mut end = finish;
        if !block.columns {
            let last = self.inside(&end, block).pop()?;
            let (steps, left) = self.strided(&last, block.shape.left())?;
            let mut order = self.inside(&end, block);
            order.retain(|l| ![&steps, &left].contains(&l));
            order.extend([left.clone(), steps.clone()]);
            self.innermost(&end, &order);
            self.must(StepKind::Unroll(Ref::from(steps)))?;
            let few = self.partial(&left, block)?;
            self.map_row(&end, block)?;
            self.must(StepKind::Map(Ref::from(left), Place::Thread(block.axes().0)))?;
            end = few;
        }
        let sum = self.inside(&end, block).pop()?;
        self.must(StepKind::Unroll(Ref::from(sum)))?;
        self.map_row(&end, block)
    }

    /// The loop over every `size`-th iteration and that over the first `size`, inside it.
    fn strided(&mut self, name: &Name, size: i64) -> Option<(Name, Name)> {
        let (outer, inner) = self.halves(name, size)?;
        let (target, by) = (Ref::from(inner.clone()), Ref::from(outer.clone()));
        self.must(StepKind::Skew { target, factor: -size, by })?;
        Some((outer, inner))
    }

    /// Gives each iteration of a loop partial results in the block, whose initial values its
    /// threads write; the statement that combines them.
    fn partial(&mut self, lane: &Name, block: &Block) -> Option<Name> {
        let before = self.at.tree().statements();
        let at = block.outside.last().cloned().map(Ref::from);
        let target = Ref::from(lane.clone());
        self.must(StepKind::SplitReduction { target, at, name: None })?;
        let new = self.at.tree().statements().into_iter().filter(|s| !before.contains(s));
        let [first, finish] = <[Name; 2]>::try_from(new.collect::<Vec<_>>()).ok()?;
        let own = self.inside(&first, block).pop()?;
        self.map_row(&first, block)?;
        self.must(StepKind::Map(Ref::from(own), Place::Thread(block.axes().0)))?;
        Some(finish)
    }

    /// Maps the loop over a block's rows, if there are several, around a statement.
    fn map_row(&mut self, statement: &Name, block: &Block) -> Option<()> {
        if block.shape.rows == 1 {
            return Some(());
        }
        let row = self.inside(statement, block).into_iter().next()?;
        self.must(StepKind::Map(Ref::from(row), Place::Thread(block.axes().1)))
    }

    /// Runs reductions with few results over parts on different blocks.
    pub(super) fn parts_on_blocks(&mut self) -> Result<()> {
        for name in self.at.tree().statements() {
            let Some(roles) = self.roles(&name)? else { continue };
            let poly = self.at.poly().clone();
            let Some(s) = poly.statement(&name) else { continue };
            let Some((sum, part)) = part_of_sum(s, &roles) else { continue };
            if around(self.at.tree(), &roles[0].name).len() > 1 {
                continue;
            }
            let before = self.at.clone();
            if self.split_over_blocks(&name, &sum, part).is_none() {
                self.at = before;
            }
        }
        Ok(())
    }

    fn split_over_blocks(&mut self, name: &Name, sum: &Role, part: i64) -> Option<()> {
        let (parts, _) = self.halves(&sum.name, part)?;
        let chain = own_chain(self.at.tree(), name).into_iter().map(|l| l.name);
        let mut order: Vec<Name> = chain.filter(|l| *l != parts).collect();
        order.insert(0, parts.clone());
        self.innermost(name, &order);
        self.must(StepKind::SplitReduction { target: Ref::from(parts), at: None, name: None })
    }
}

/// The loop of a reduction that is to be split over blocks, and iterations of a part: where its
/// results are too few to keep the GPU busy.
fn part_of_sum(s: &PolyStatement, roles: &[Role]) -> Option<(Role, i64)> {
    let (free, sums): (Vec<&Role>, Vec<&Role>) = roles.iter().partition(|r| r.free);
    let results = free.iter().try_fold(1_i64, |n, r| Some(n.saturating_mul(r.extent?)))?;
    if results == 0 || sums.iter().any(|r| !r.reduces) {
        return None;
    }
    // parts keep their neighbouring elements where another loop can be split
    let lane = sums.iter().find(|r| along(s, r)).map(|r| r.name.clone());
    let length = |r: &&&Role| (Some(&r.name) != lane.as_ref(), r.extent.unwrap_or(i64::MAX));
    let sum = *sums.iter().max_by_key(length)?;
    let others = sums.iter().filter(|r| r.name != sum.name);
    let inside = others.fold(1_i64, |n, r| n.saturating_mul(r.extent.unwrap_or(PART)));
    let (wanted, least) = if lane.is_some() { (BLOCKS, PART) } else { (BUSY, COLUMN_PART) };
    let (parts, least) = (wanted / results, (least / inside.max(1)).max(1));
    let part = match sum.extent {
        Some(extent) => (extent / parts.max(1)).max(least),
        None => 8 * least,
    };
    let enough = sum.extent.is_none_or(|extent| extent >= 4 * part);
    (parts > 1 && enough).then(|| (sum.clone(), part))
}

/// Whether a statement's accesses are contiguous or constant along a loop.
fn along(s: &PolyStatement, role: &Role) -> bool {
    let target = (!role.reduces).then_some(&s.statement.target);
    let all: Vec<Stride> = s
        .statement
        .value
        .reads()
        .into_iter()
        .chain(target)
        .map(|a| stride(a, &role.iter))
        .collect();
    !all.contains(&Stride::Far) && all.contains(&Stride::One)
}

/// Whether an access moves with a loop.
fn moves(access: &Access, statement: &Name, l: &TreeLoop) -> bool {
    let Some(row) = l.rows.get(statement) else { return false };
    let vars = row.vars();
    access.indices.iter().any(|e| !e.vars().is_disjoint(&vars))
}

#[cfg(test)]
mod tests;
