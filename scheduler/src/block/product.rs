//! The tensorized statement: which boxes of its buffers an instruction takes.
//!
//! In: the statement's accesses and the loops around it. Out: instruction, teams, the accumulator's
//! fragment, and for each operand its tile inside the staged buffer.
//! Keeps: a dimension of a buffer belongs to the instruction's `m`, `n` or `k` because it depends
//! on that loop. The statement computes exactly what the tiles would, except for elements that are
//! zero in both operands or results that no instance has ([`Product::check`]).

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::Access;
use warploom_ir::instruction::{Action, Matrix, Part, find};
use warploom_ir::nest::{Array, Constraint, Order};
use warploom_ir::schedule::{TreeLoop, Unit};
use warploom_isl::{Map, Set};

use super::digits::{Digit, Digits};
use super::held::{APART, is_held, ring};
use super::multiplied::factors;
use super::operand::Operand;
use super::scaled::whole_parts_out;
use super::totals::Sums;
use super::{Answer, Site, put, unfit};
use crate::footprint::{Box_, Iterations};
use crate::poly_isl::Model;

/// A loop between the ring and the instruction.
pub(super) struct Counter {
    /// Its count, from 0, as a variable.
    pub(super) var: Name,
    /// How often it runs.
    pub(super) extent: i64,
    /// Its iterations are teams.
    pub(super) team: bool,
    /// It adds to the same elements of the accumulator.
    pub(super) reduction: bool,
}

/// What the tensor cores do in an iteration of the ring.
pub(super) struct Product {
    /// The instruction's name.
    pub(super) instruction: Name,
    pub(super) matrix: Matrix,
    /// Places in the path of the loops that hold the accumulator and the operands.
    pub(super) scope: usize,
    pub(super) ring: usize,
    /// The loop of the ring with those around it, outermost first.
    pub(super) loops: Vec<Name>,
    /// Names for the coordinates of the ring's iterations.
    pub(super) coordinates: Vec<Name>,
    /// These coordinates of all iterations, as constraints; without a cluster's and those that are
    /// determined.
    pub(super) around: Vec<Constraint>,
    /// Those of the accumulator's loop, where these are more than have terms.
    pub(super) tiles: Option<Vec<Constraint>>,
    /// What each coordinate is that follows from those outside.
    pub(super) determined: Vec<Option<Affine>>,
    /// Slots of the ring.
    pub(super) stages: i64,
    pub(super) counters: Vec<Counter>,
    pub(super) teams: i64,
    /// The accumulator's buffer, and its dimensions that are the instruction's `m` and `n`.
    pub(super) accumulator: Name,
    pub(super) sides: [Digits; 2],
    /// Rank of the accumulator's buffer.
    pub(super) rank: usize,
    /// Rows and columns that a team holds.
    pub(super) fragment: [i64; 2],
    /// The first row and column of a team, over the counters that are teams.
    pub(super) team_first: [Affine; 2],
    /// The first row and column of an instruction's tile in the fragment, over the counters.
    pub(super) tile: [Affine; 2],
    /// `A`, then `B`.
    pub(super) operands: [Operand; 2],
    /// The scales of `A`, then those of `B`, where the instruction has scales.
    pub(super) scales: Vec<Operand>,
    /// The first instruction sets the accumulator instead of adding to it.
    pub(super) starts_at_zero: bool,
    /// The instructions of an iteration of the ring have a sum of their own, which is then added to
    /// the accumulator.
    pub(super) partial: bool,
    /// What elements of the accumulator are added up to in loops around it.
    pub(super) totals: Vec<Sums>,
    /// The coordinates of the ring's iterations where more of them run than the statement has:
    /// those that its guards leave out add zeros.
    pub(super) padded: Option<Set>,
    /// Elements and iteration of the ring decide the statement's iterators, which do not depend on
    /// each other.
    pub(super) apart: bool,
}

/// What is asked about the statement.
pub(super) struct Question<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) model: &'a Model,
    pub(super) matrix: Matrix,
    /// The tensorized loops: `m`, `n`, `k`.
    pub(super) tensor: [&'a TreeLoop; 3],
    /// The iterations of the innermost loop around them.
    pub(super) iterations: Iterations,
    /// What the coordinates of that loop are: those of the ring, then expressions over these and
    /// the counters.
    values: Vec<Affine>,
    counters: Vec<Counter>,
    /// The place in the path of the ring's loop.
    pub(super) ring: usize,
}

/// What an instruction takes of a buffer.
pub(super) struct Footprint {
    /// The dimensions that each of the tensorized loops runs along.
    pub(super) digits: [Digits; 3],
    /// The first value of each of these indices, over the counters.
    pub(super) first: [Affine; 3],
    /// All other dimensions, with the one element that is taken.
    pub(super) rest: Vec<(usize, Affine)>,
}

impl Product {
    pub(super) fn of(site: &Site<'_>, model: &Model) -> Answer<Self> {
        let (instruction, matrix) = instruction(site)?;
        let store =
            crate::lower::typed(site.poly, site.source, &site.poly.statements[site.statement])?;
        let ([first, second], scales) = factors(site, &store, &matrix)?;
        let (factors, values) = ([first.0, second.0], [first.1, second.1]);
        let target = &site.poly.statements[site.statement].statement.target;
        let scope = site.depth_of(&target.array, "the accumulator")?;
        let scope = innermost(site, model, &target.array, scope)?;
        let ring = ring(site, &factors)?;
        if ring < scope || scope + 1 < site.outside {
            return Err(unfit(APART).into());
        }
        let tensor = tensorized(site)?;
        let mut question = Question::new(site, model, matrix, tensor, ring)?;
        question.count(ring)?;
        let accumulator = question.footprint(target, false)?;
        let mut sides = Vec::new();
        for (access, value) in factors.iter().zip(&values) {
            sides.push(((access, value), question.footprint(access, false)?));
        }
        let has = |f: &Footprint, i: usize| !f.digits[i].0.is_empty();
        let side = |i: usize| sides.iter().find(|(_, f)| has(f, i) && has(f, 2) && !has(f, 1 - i));
        let (Some(a), Some(b), true, true, false) =
            (side(0), side(1), has(&accumulator, 0), has(&accumulator, 1), has(&accumulator, 2))
        else {
            return Err(unfit(
                "the loops are not the instruction's m (in the accumulator and the first factor), \
                 n (in the accumulator and the second) and k (in both factors)",
            )
            .into());
        };
        if store.order == Order::Serial {
            question.ascending(&sides)?;
        }
        let operands =
            [question.operand(a.0, &a.1, Part::A)?, question.operand(b.0, &b.1, Part::B)?];
        let scales = match &scales {
            Some(both) => question.scales(site, both)?,
            None => Vec::new(),
        };
        let mut product = question.accumulated(target, &accumulator, operands)?;
        product.scales = scales;
        product.instruction = instruction;
        product.partial = product.partial_sums(site)?;
        (product.scope, product.ring) = (scope, ring);
        product.loops = site.path[..=ring].iter().map(|l| l.name.clone()).collect();
        product.stages = site.path[ring].marks.ring.unwrap_or(1);
        product.apart = product.decides(site, target, &factors);
        product.check(site, model, target, &factors)?;
        product.find_totals(site, model)?;
        Ok(product)
    }

    /// Elements of the accumulator in each dimension of its buffer, for all teams.
    pub(super) fn whole(&self) -> Vec<i64> {
        self.own_sums().whole()
    }

    /// Whether two blocks multiply together.
    pub(super) const fn paired(&self) -> bool {
        self.matrix.blocks > 1
    }

    /// Whether the instruction takes its factors from registers.
    pub(super) const fn by_warps(&self) -> bool {
        !self.matrix.shared && !self.matrix.tensor
    }

    /// Rows and columns of the accumulator's buffer, where each is one dimension.
    pub(super) fn dims(&self) -> Option<[usize; 2]> {
        Some([self.sides[0].alone()?, self.sides[1].alone()?])
    }

    /// The loops up to the accumulator's.
    pub(super) fn scopes(&self) -> &[Name] {
        &self.loops[..=self.scope]
    }

    /// The operand with this buffer.
    pub(super) fn operand(&self, buffer: &str) -> Option<&Operand> {
        self.operands.iter().chain(&self.scales).find(|o| &*o.buffer == buffer)
    }

    /// Whether a buffer holds scales.
    pub(super) fn scaled_by(&self, buffer: &str) -> bool {
        self.scales.iter().any(|o| &*o.buffer == buffer)
    }
}

/// The innermost loop of the path with the same iterations as that at `depth`: all that touches the
/// buffer is inside, and the loops between run once.
pub(super) fn innermost(
    site: &Site<'_>,
    model: &Model,
    array: &Name,
    depth: usize,
) -> Answer<usize> {
    let users: Vec<&Name> = (site.poly.statements.iter())
        .map(|s| &s.statement)
        .filter(|s| crate::steps::stage::all_accesses(s).any(|a| a.array == *array))
        .map(|s| &s.name)
        .collect();
    let statement = &site.poly.statements[site.statement].statement.name;
    let mut depth = depth;
    while let Some(next) = site.path.get(depth + 1) {
        let below = next.body.statements();
        if next.marks.ring.is_some() || !users.iter().all(|u| below.contains(u)) {
            break;
        }
        let around = Iterations::of(site.poly, site.tree, &site.path[depth].name);
        let row = [next.rows[statement].clone()];
        if !elements(site, model, site.statement, &around, &row)?.is_single_valued()? {
            break;
        }
        depth += 1;
    }
    Ok(depth)
}

/// The instruction that the loops name.
fn instruction(site: &Site<'_>) -> Answer<(Name, Matrix)> {
    let names: Vec<&Name> =
        site.path.iter().filter_map(|l| l.marks.tensor.as_ref()).map(|t| &t.instruction).collect();
    let name = names[0].clone();
    let Some(Action::Matrix(matrix)) = find(&name).map(|i| i.action) else {
        return Err(unfit(format!("`{name}` is no matrix instruction")).into());
    };
    Ok((name, matrix))
}

/// The three tensorized loops, which are the innermost.
fn tensorized<'a>(site: &Site<'a>) -> Answer<[&'a TreeLoop; 3]> {
    let innermost = site.path.len().saturating_sub(3);
    let mut found: Vec<&TreeLoop> =
        site.path[innermost..].iter().copied().filter(|l| l.marks.tensor.is_some()).collect();
    found.sort_by_key(|l| l.marks.tensor.as_ref().map(|t| t.index));
    let found = <[&TreeLoop; 3]>::try_from(found);
    Ok(found.map_err(|_| unfit("the tensorized loops are not the innermost ones"))?)
}

impl<'a> Question<'a> {
    fn new(
        site: &'a Site<'a>,
        model: &'a Model,
        matrix: Matrix,
        tensor: [&'a TreeLoop; 3],
        ring: usize,
    ) -> Answer<Self> {
        let inner = site.path.len() - 3;
        let at = &site.path[inner.max(ring + 1) - 1].name;
        let iterations = Iterations::of(site.poly, site.tree, at);
        let values = iterations.names[..=ring].iter().cloned().map(Affine::var).collect();
        let counters = Vec::new();
        Ok(Self { site, model, matrix, tensor, iterations, values, counters, ring })
    }

    /// Rows, columns and terms that a block has of an instruction: of a pair half of the rows, and
    /// all columns.
    pub(super) const fn sizes(&self) -> [i64; 3] {
        let [rows, columns] = self.matrix.held(Part::D);
        [rows, columns, self.matrix.k]
    }

    /// Counts the loops between the ring and the instruction from 0.
    fn count(&mut self, ring: usize) -> Answer<()> {
        let statement = &self.site.poly.statements[self.site.statement].statement.name;
        for depth in ring + 1..self.site.path.len() - 3 {
            let l = self.site.path[depth];
            let around =
                Iterations::of(self.site.poly, self.site.tree, &self.site.path[depth - 1].name);
            let Some(Box_ { offset, extent, .. }) = self.length(&around, &l.rows[statement])?
            else {
                let text = format!("loop `{}` has no constant length", l.name);
                return Err(unfit(text).into());
            };
            let by_warps = !self.matrix.shared;
            let own = if by_warps { Unit::Warp } else { Unit::Warpgroup };
            let team = l.marks.unit == Some(own);
            let second = team && !by_warps && self.counters.iter().any(|c| c.team);
            if l.marks.unit.is_some() != team || second {
                let refusal = unfit(format!("loop `{}` is no loop of a matrix product", l.name));
                let help =
                    format!("the teams of this instruction are loops mapped to `{}`", own.name());
                return Err(Box::new(refusal.help(help)).into());
            }
            let var: Name = l.name.replace('.', "_").into();
            let first = put(&offset[0], &around.names, &self.values)?;
            self.values.push(first.add(&Affine::var(var.clone()))?);
            self.counters.push(Counter { var, extent: extent[0], team, reduction: true });
        }
        Ok(())
    }

    /// The box around a row in each iteration.
    fn length(&self, around: &Iterations, row: &Affine) -> Answer<Option<Box_>> {
        let Self { site, model, .. } = *self;
        let row = std::slice::from_ref(row);
        if let Some(seen) = around.seen_box(model, site.tree, site.statement, row) {
            return Ok(Some(seen));
        }
        let touched = elements(site, model, site.statement, around, row)?;
        let all = around.unguarded(model, site.tree, site.statement, row)?;
        around.tidy(&touched, all.as_ref())
    }

    /// What an instruction takes of a buffer; of scales as many steps of the sum as it has.
    pub(super) fn footprint(&self, access: &Access, scales: bool) -> Answer<Footprint> {
        let array = self.site.poly.array(&access.array).expect("accesses are of known arrays");
        let indices = &access.indices[self.coordinates_of(&access.array)..];
        let statement = &self.site.poly.statements[self.site.statement].statement.name;
        let mut sides: [Vec<Digit>; 3] = Default::default();
        let mut rest = Vec::new();
        for (d, e) in indices.iter().enumerate() {
            let shares = |i: &usize| {
                let row = &self.tensor[*i].rows[statement];
                row.vars().iter().any(|v| e.vars().contains(v))
            };
            let mut moves: Vec<usize> = (0..3).filter(shares).collect();
            if moves.len() > 1 {
                moves = self.deciding(e, &moves)?;
            }
            let extent = array.shape[d].as_constant().unwrap_or(1);
            // of several digits of a step those alone count that have several values
            let step = scales && moves == [2] && !sides[2].is_empty();
            if step && extent == 1 {
                rest.push((d, self.first(access, d, e, 1)?));
                continue;
            }
            if step && sides[2].iter().all(|digit| digit.extent == 1) {
                for digit in std::mem::take(&mut sides[2]) {
                    rest.push((digit.dim, self.first(access, digit.dim, &indices[digit.dim], 1)?));
                }
            }
            match moves.as_slice() {
                [] => rest.push((d, self.first(access, d, e, 1)?)),
                [i] => sides[*i].push(Digit { dim: d, extent }),
                _several => return Err(self.too_many(access, d).into()),
            }
        }
        let mut digits: [Digits; 3] = Default::default();
        let mut first = [0; 3].map(Affine::constant);
        for (i, found) in sides.iter().enumerate().filter(|(_, found)| !found.is_empty()) {
            let steps = scales && i == 2;
            digits[i] = self.ordered(access, indices, (found, steps), i)?;
            let limit = if steps { self.matrix.steps() } else { self.sizes()[i] };
            let index = digits[i].of(indices)?;
            first[i] = self.first(access, found[0].dim, &index, limit)?;
        }
        Ok(Footprint { digits, first, rest })
    }

    /// The dimensions along which a buffer moves with a tensorized loop, in the order in which the
    /// loop, or its steps of scales, runs through them.
    fn ordered(
        &self,
        access: &Access,
        indices: &[Affine],
        (found, steps): (&[Digit], bool),
        i: usize,
    ) -> Answer<Digits> {
        if found.len() == 1 && !(steps && self.matrix.steps() > 1) {
            return Ok(Digits(found.to_vec()));
        }
        let statement = &self.site.poly.statements[self.site.statement].statement.name;
        let row = &self.tensor[i].rows[statement];
        let row = match self.matrix.scales.filter(|_| steps) {
            Some(scaling) => row.floor_div(scaling.terms)?,
            None => row.clone(),
        };
        for digits in Digits::orders(found) {
            let apart = [digits.of(indices)?.sub(&row)?];
            let apart =
                elements(self.site, self.model, self.site.statement, &self.iterations, &apart)?;
            if apart.is_single_valued()? {
                return Ok(digits);
            }
        }
        let l = &self.tensor[i].name;
        if let Some(scaling) = self.matrix.scales.filter(|_| steps) {
            let text = format!(
                "`{}` has not one element for each {} iterations of loop `{l}`, as the \
                 instruction takes them",
                access.array, scaling.terms
            );
            return Err(unfit(text).into());
        }
        let text = format!(
            "loop `{l}` does not run through {} dimensions of `{}` one inside the other",
            found.len(),
            access.array
        );
        let help = "make one loop of the points of a box: `coalesce b.1, c.1`, and split that";
        Err(Box::new(unfit(text).help(help)).into())
    }

    /// The first of at most `limit` values of an index of a buffer that an instruction takes.
    fn first(&self, access: &Access, dim: usize, index: &Affine, limit: i64) -> Answer<Affine> {
        let Self { site, model, iterations, .. } = self;
        let index = std::slice::from_ref(index);
        if let Some(seen) = iterations.seen_box(model, site.tree, site.statement, index)
            && let Ok(first) = self.start(access, dim, &seen, limit)
        {
            return Ok(first);
        }
        let touched = elements(site, model, site.statement, iterations, index)?;
        let taken = self.taken(access, dim, &touched, limit);
        let Some(all) = self.unguarded(index)? else { return taken };
        // where guards leave out some, those that are left need not start where the tile does
        taken.or_else(|refusal| self.taken(access, dim, &all, limit).map_err(|_| refusal))
    }

    /// The elements that indices are as if there were no guards.
    fn unguarded(&self, indices: &[Affine]) -> Answer<Option<Map>> {
        let Self { site, model, .. } = self;
        self.iterations.unguarded(model, site.tree, site.statement, indices)
    }

    /// The first of at most `limit` values along a dimension that an instruction takes.
    fn taken(&self, access: &Access, dim: usize, touched: &Map, limit: i64) -> Answer<Affine> {
        let Some(box_) = self.iterations.bounding_box(touched)? else {
            let text = format!("what an instruction takes of `{}` is no box", access.array);
            return Err(unfit(text).into());
        };
        self.start(access, dim, &box_, limit)
    }

    /// [`Self::taken`] of a box.
    fn start(&self, access: &Access, dim: usize, box_: &Box_, limit: i64) -> Answer<Affine> {
        if box_.extent[0] > limit {
            let extent = box_.extent[0];
            let text = format!(
                "an instruction takes {extent} elements along dimension {dim} of `{}`, more than \
                 its {limit}",
                access.array
            );
            return Err(unfit(text).into());
        }
        let first = put(&box_.offset[0], &self.iterations.names, &self.values)?;
        // what stays on the chip is all there while the ring's iterations take parts of it
        let kept = self.is_held(&access.array);
        let moves = |atom: &Atom| self.weight_of(atom).is_none() && !kept;
        if first.terms().any(|(atom, _)| moves(atom)) {
            // steps of scales are in one word: any of them can be the first
            let steps = limit == 1 || self.matrix.scales.is_some() && limit == self.matrix.steps();
            let step = if steps { whole_parts_out(&first)? } else { first };
            if steps && self.counted(&step) {
                return Ok(step);
            }
            let text = format!("the tile of `{}` moves by no multiple of a loop", access.array);
            return Err(unfit(text).into());
        }
        // counters run upwards from 0
        if first.constant_part() < 0 && first.terms().all(|(_, c)| c > 0) {
            // where all of a triangle is one tile, what is staged may begin behind its first row
            let text = format!("the tile of `{}` begins before what is staged of it", access.array);
            return Err(unfit(text).into());
        }
        Ok(first)
    }

    fn too_many(&self, access: &Access, dim: usize) -> Box<warploom_ir::diag::Diagnostic> {
        unfit(format!(
            "dimension {dim} of `{}` moves along several of the instruction's loops",
            access.array
        ))
    }

    /// Those of the tensorized loops each of which, with the loops around, decides an index; none
    /// where these decide it alone.
    fn deciding(&self, e: &Affine, loops: &[usize]) -> Answer<Vec<usize>> {
        let name = &self.site.poly.statements[self.site.statement].statement.name;
        let around = self.iterations.rows(self.site.tree, name);
        let decide = |rows: &[Affine]| -> Answer<bool> {
            let place = std::slice::from_ref(e);
            Ok(self.model.pairs(self.site.statement, rows, place)?.is_single_valued()?)
        };
        if decide(&around)? {
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for i in loops {
            let rows = [around.as_slice(), &[self.tensor[*i].rows[name].clone()]].concat();
            if decide(&rows)? {
                out.push(*i);
            }
        }
        Ok(out)
    }

    /// How many indices of a buffer come before its own.
    pub(super) fn coordinates_of(&self, buffer: &str) -> usize {
        self.site.poly.scopes[buffer].coordinates
    }

    /// Whether another product leaves a buffer on the chip.
    pub(super) fn is_held(&self, buffer: &Name) -> bool {
        is_held(self.site.poly, &self.site.accumulators, buffer)
    }

    /// Whether an expression is of counters alone.
    fn counted(&self, e: &Affine) -> bool {
        e.vars().iter().all(|v| self.counters.iter().any(|c| c.var == *v))
    }

    fn weight_of(&self, atom: &Atom) -> Option<usize> {
        self.counters.iter().position(|c| is_counter(atom, c))
    }

    /// How far an offset goes while counters run, without the team's if that is asked.
    pub(super) fn reach(&self, offset: &Affine, teams: bool) -> i64 {
        offset.terms().fold(offset.constant_part(), |sum, (atom, c)| {
            let counter = self.weight_of(atom).map(|at| &self.counters[at]);
            match counter {
                Some(counter) if teams || !counter.team => sum + c * (counter.extent - 1),
                Some(_) | None => sum,
            }
        })
    }

    /// Elements at the end of a buffer's rows that the statement does not touch in any iteration of
    /// the ring.
    pub(super) fn pad(&self, array: &Array, access: &Access) -> Answer<i64> {
        let Self { site, model, .. } = self;
        let own = site.poly.scopes[&access.array].coordinates;
        let ring = &site.poly.scopes[&access.array].at;
        let iterations = Iterations::of(site.poly, site.tree, ring);
        let touched = elements(site, model, site.statement, &iterations, &access.indices[own..])?;
        let all = iterations.unguarded(model, site.tree, site.statement, &access.indices[own..])?;
        let all = all.as_ref().unwrap_or(&touched);
        let used = iterations.bounding_box(all)?.and_then(|b| b.extent.last().copied());
        let row = array.shape.last().and_then(|e| model.fixed(e));
        Ok(row.zip(used).map_or(0, |(row, used)| (row - used).max(0)))
    }

    /// Whether teams that run over these first rows and columns have all elements, each once.
    fn apart(&self, first: &[Affine; 2], fragment: [i64; 2]) -> bool {
        let mut found = 0;
        for (side, first) in first.iter().enumerate() {
            let mut steps: Vec<(i64, i64)> = (first.terms())
                .filter_map(|(atom, c)| Some((c, self.counters[self.weight_of(atom)?].extent)))
                .filter(|(_, extent)| *extent > 1)
                .collect();
            steps.sort_unstable();
            found += steps.len();
            let mut next = fragment[side];
            for (step, extent) in steps {
                if step != next {
                    return false;
                }
                next *= extent;
            }
        }
        found == self.counters.iter().filter(|c| c.team && c.extent > 1).count()
    }

    /// The product with its accumulator; scope and ring are still to be set.
    fn accumulated(
        mut self,
        target: &Access,
        found: &Footprint,
        operands: [Operand; 2],
    ) -> Answer<Product> {
        let sizes = self.sizes();
        if found.rest.iter().any(|(_, first)| first.as_constant() != Some(0)) {
            return Err(unfit("the accumulator is no matrix of the instruction's m and n").into());
        }
        let mut fragment = [0; 2];
        let mut team_first = [Affine::constant(0), Affine::constant(0)];
        let mut tile = [Affine::constant(0), Affine::constant(0)];
        let teams = self.counters.iter().filter(|c| c.team).map(|c| c.extent).product();
        for side in 0..2 {
            let offset = &found.first[side];
            fragment[side] = self.reach(offset, false) + sizes[side];
            for (atom, c) in offset.terms() {
                let at = self.weight_of(atom).expect("offsets are over the counters");
                let term = Affine::var(self.counters[at].var.clone()).scale(c)?;
                let part = if self.counters[at].team { &mut team_first } else { &mut tile };
                part[side] = part[side].add(&term)?;
                self.counters[at].reduction = false;
            }
            tile[side] = tile[side].add_const(offset.constant_part())?;
        }
        if teams > 1 && self.matrix.tensor {
            return Err(unfit(
                "one thread issues the instruction for all rows: leave out `to warpgroup`",
            )
            .into());
        }
        if !self.apart(&team_first, fragment) {
            let who = if self.matrix.shared { "warpgroup" } else { "warp" };
            return Err(unfit(format!("each {who} needs rows or columns of its own")).into());
        }
        let mut sides = [found.digits[0].clone(), found.digits[1].clone()];
        for side in 0..2 {
            let reach = |sum, (atom, c): (&Atom, i64)| {
                let counter = self.weight_of(atom).map(|at| &self.counters[at]);
                sum + c * (counter.map_or(1, |n| n.extent) - 1)
            };
            let all = team_first[side].terms().fold(fragment[side], reach);
            if !sides[side].grow(all) {
                return Err(uneven(&target.array, &sides[side], all).into());
            }
        }
        let rank = found.digits.iter().map(|d| d.0.len()).sum::<usize>() + found.rest.len();
        Ok(Product {
            instruction: Name::from(""),
            matrix: self.matrix,
            scope: 0,
            ring: 0,
            loops: Vec::new(),
            around: Vec::new(),
            tiles: None,
            determined: Vec::new(),
            stages: 1,
            coordinates: self.iterations.names[..self.values.len() - self.counters.len()].to_vec(),
            teams,
            counters: self.counters,
            accumulator: target.array.clone(),
            sides,
            rank,
            fragment,
            team_first,
            tile,
            operands,
            scales: Vec::new(),
            starts_at_zero: false,
            partial: false,
            totals: Vec::new(),
            padded: None,
            apart: false,
        })
    }
}

/// Whether an atom is a counter.
pub(super) fn is_counter(atom: &Atom, counter: &Counter) -> bool {
    matches!(atom, Atom::Var(name) if *name == counter.var)
}

/// A box whose elements are no whole number of instructions.
pub(super) fn uneven(
    array: &Name,
    digits: &Digits,
    count: i64,
) -> Box<warploom_ir::diag::Diagnostic> {
    let refusal = unfit(format!(
        "the instructions take {count} elements of `{array}` along dimensions of {} in all, and no \
         number of them along the outer one gives so many",
        digits.whole()
    ));
    Box::new(refusal.help("choose a box whose elements are a whole number of instructions"))
}

/// Pairs of coordinates and elements of an access to a buffer.
pub(super) fn elements(
    site: &Site<'_>,
    model: &Model,
    statement: usize,
    at: &Iterations,
    indices: &[Affine],
) -> Answer<Map> {
    at.elements(model, site.tree, statement, indices)
}
