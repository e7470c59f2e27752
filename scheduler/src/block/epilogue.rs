//! What consumers do with the sums: statements for each element, and copies of the results.
//!
//! In: the plan's pieces and the coordinates of a tile. Out: nodes inside the accumulator's
//! fragment. Keeps: each team stores and copies its own rows or columns; what the copy engine reads
//! was written by the team before a fence and a meeting, and is written again only when it has been
//! read.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Literal;
use warploom_ir::kernel::device::{Across, Device, Operand, Slice};
use warploom_ir::kernel::{
    Condition, Index, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::{AssignOp, Constraint};

use super::digits::Digits;
use super::elements::{Elements, Instance};
use super::moves::Move;
use super::product::Counter;
use super::roles::{Program, add, by_name, call, number, one, tile, unused, var};
use super::slabs::Slabs;
use crate::index::{simplify, simplify_condition, substitute};

/// Rows and columns of the matrices that a warpgroup stores with one instruction.
const STORED: [i64; 2] = [64, 16];

/// Elements of a fragment that statements run for.
pub(super) struct Held {
    /// Their rows and columns in the fragment.
    pub(super) vars: [Name; 2],
    /// The row and column of the fragment's first element in the accumulator.
    pub(super) first: [Index; 2],
    /// Rows and columns of the fragment; empty for all of it.
    pub(super) part: Vec<Slice>,
}

impl Program<'_> {
    pub(super) fn team_index(&self) -> Index {
        match (self.product().teams, self.turns.is_some()) {
            (1, _) => Index::Const(0),
            (_, false) => var(&self.team),
            (teams, true) => Index::Mod(Box::new(var(&self.team)), teams),
        }
    }

    /// The counters that are teams, by the number of the team: the last of them is fastest.
    pub(super) fn team_counters(&self) -> Vec<(Name, Index)> {
        let mut around = 1;
        let teams = self.product().counters.iter().rev().filter(|c| c.team);
        let value = |c: &Counter| {
            let whole = Index::FloorDiv(Box::new(self.team_index()), around);
            let last = around * c.extent == self.product().teams;
            around *= c.extent;
            let value = match c.extent {
                1 => Index::Const(0),
                _ if last => whole,
                extent => Index::Mod(Box::new(whole), extent),
            };
            (c.var.clone(), simplify(&value))
        };
        teams.map(value).collect()
    }

    /// The first row or column of a team in the accumulator's buffer.
    fn team_start(&self, side: usize) -> Index {
        let (names, values): (Vec<Name>, Vec<Index>) = self.team_counters().into_iter().unzip();
        substitute(&self.product().team_first[side], &by_name(&names, &values))
    }

    /// The first row and column of a team in the accumulator's buffer.
    pub(super) fn team_starts(&self) -> [Index; 2] {
        [self.team_start(0), self.team_start(1)]
    }

    /// Statements for each element that a thread holds of a fragment whose first element has this
    /// row and column in the accumulator.
    pub(super) fn elements(
        &mut self,
        elements: &Elements,
        coordinates: &[Index],
        first: [Index; 2],
    ) -> KernelNode {
        let held = Held { vars: self.element(), first, part: Vec::new() };
        self.across(elements, coordinates, held, None)
    }

    /// Names for the row and column of an element in a fragment.
    pub(super) fn element(&mut self) -> [Name; 2] {
        [unused("i", self.taken), unused("j", self.taken)]
    }

    /// Statements for each of these elements; with `into`, they write to this place, zeros where
    /// they do not run.
    pub(super) fn across(
        &mut self,
        elements: &Elements,
        coordinates: &[Index],
        Held { vars, first, part }: Held,
        into: Option<(&Name, &[Index])>,
    ) -> KernelNode {
        let of = &elements.of;
        let own = vars.each_ref().map(var);
        let [row, column] = first;
        let at = [add(row, own[0].clone()), add(column, own[1].clone())];
        let values = of.values(coordinates, &at, &own);
        let lookup = by_name(&elements.names, &values);
        let mut body = Vec::new();
        for instance in &elements.statements {
            let mut store = instance.stored_at(&lookup);
            let mut otherwise = Vec::new();
            if let Some((array, indices)) = into {
                (store.array, store.indices) = (array.clone(), indices.to_vec());
            } else if self.plan.staging.contains_key(&store.array) {
                store.indices.splice(0..0, self.group_of_team());
            }
            if into.is_some() || instance.held {
                let value = Typed { dtype: store.dtype, kind: TypedKind::Literal(Literal::Int(0)) };
                let (op, guard) = (AssignOp::Set, None);
                let zero = Store { value, op, guard, ..store.clone() };
                otherwise.push(KernelNode::Store(zero));
            }
            // of what is outside the results, nothing leaves the staging buffer
            let plain =
                self.plan.staging.contains_key(&store.array) && reads_only(&store, &of.buffer);
            let guards = instance.guard.iter().map(|c| condition(c, &lookup));
            let conditions = guards.filter(|c| !plain || self.of_rows(c, &vars[0])).collect();
            if let Some(target) = &instance.row {
                store.indices = target.iter().map(|e| substitute(e, &lookup)).collect();
                body.push(by_rows(conditions, &vars[1], KernelNode::Store(store)));
                continue;
            }
            let store = KernelNode::Store(store);
            body.push(match simplify_condition(&Condition::All(conditions)) {
                Condition::All(parts) if parts.is_empty() => store,
                guard => KernelNode::If(guard, vec![store], otherwise),
            });
        }
        let reduce = elements.statements.iter().any(|i| i.row.is_some());
        let fragment = of.buffer.clone();
        Device::Across(Across { vars, fragment, part, reduce, body }).into()
    }

    /// Whether a condition is one on the rows of a team alone, the same in all tiles: what it
    /// leaves out nobody has to write.
    fn of_rows(&self, condition: &Condition, row: &Name) -> bool {
        let known = |name: &str| (*name == **row || *name == *self.team).then_some(0);
        condition.uses(row) && condition.holds(&known).is_some()
    }

    /// Results that leave in slabs of columns; so many slabs left `before`. Those of 16 bits are
    /// converted for all slabs at once and stored as matrices, others by the threads that hold
    /// them.
    pub(super) fn slabs(
        &mut self,
        slabs: &Slabs,
        coordinates: &[Index],
        before: &Index,
    ) -> KernelNode {
        let fragment = self.product().fragment;
        let (slab, results) = (unused("slab", self.taken), unused("results", self.taken));
        let slot = Index::Mod(Box::new(add(before.clone(), var(&slab))), slabs.stages);
        let slot = simplify(&slot);
        let start = simplify(&Index::Mul(slabs.width, Box::new(var(&slab))));
        let matrices = slabs.dtype.size_bytes() == 2;
        let whole = |extent| Slice { start: Index::Const(0), extent: Some(extent), step: 1 };
        let (vars, first) = (self.element(), self.team_starts());
        let [row, column] = vars.each_ref().map(var);
        let stored = if matrices {
            self.matrices(slabs, &slot, &start, &results)
        } else {
            let column = add(column.clone(), Index::Mul(-1, Box::new(start.clone())));
            let [down, along] = slabs.laid([row.clone(), simplify(&column)]);
            let place = [self.own_place(), slot.clone(), down, along];
            let columns = Slice { start, extent: Some(slabs.width), step: 1 };
            let part = vec![whole(fragment[0]), columns];
            let held = Held { vars: vars.clone(), first: first.clone(), part };
            self.across(&slabs.elements, coordinates, held, Some((&slabs.copy.buffer, &place)))
        };
        let inside = self.slab_tile(slabs, &slot, [whole(fragment[0]), whole(slabs.width)]);
        let outside = self.outside(&slabs.copy, &slab, slabs, coordinates);
        let leave = vec![call("tma.store", vec![outside, inside]), call("tma.commit", Vec::new())];
        let body = vec![
            one(vec![call("tma.wait.read", vec![number(slabs.stages - 1)])]),
            call("sync", Vec::new()),
            stored,
            call("fence.async", Vec::new()),
            call("sync", Vec::new()),
            one(leave),
        ];
        let loops = unroll(&slab, slabs.count, body);
        if !matrices {
            return loops;
        }
        let held = Held { vars, first, part: Vec::new() };
        let own = [row, column];
        let converted = self.across(&slabs.elements, coordinates, held, Some((&results, &own)));
        self.product().fragment_like(&results, slabs.dtype, vec![converted, loops])
    }

    /// Rows and columns of a slab in a slot.
    fn slab_tile(&self, slabs: &Slabs, slot: &Index, [rows, columns]: [Slice; 2]) -> Operand {
        let one = |start| Slice { start, extent: None, step: 1 };
        let [down, along] = slabs.laid([rows, columns]);
        let at = vec![one(self.own_place()), one(slot.clone()), down, along];
        tile(&slabs.copy.buffer, at, false)
    }

    /// The columns of `results` from `start` on, stored as matrices.
    fn matrices(
        &mut self,
        slabs: &Slabs,
        slot: &Index,
        start: &Index,
        results: &Name,
    ) -> KernelNode {
        let (block, column) = (unused("rows", self.taken), unused("columns", self.taken));
        let [high, wide] = STORED;
        let times = |n: i64, v: &Name| simplify(&Index::Mul(n, Box::new(var(v))));
        let rows = || Slice { start: times(high, &block), extent: Some(high), step: 1 };
        let own = Slice { start: times(wide, &column), extent: Some(wide), step: 1 };
        let from = add(start.clone(), times(wide, &column));
        let held = vec![rows(), Slice { start: from, extent: Some(wide), step: 1 }];
        let to = self.slab_tile(slabs, slot, [rows(), own]);
        let store = call("stmatrix", vec![to, tile(results, held, false)]);
        let columns = vec![unroll(&column, slabs.width / wide, vec![store])];
        unroll(&block, self.product().fragment[0] / high, columns)
    }

    /// Where a team's part of a slab goes.
    pub(super) fn outside(
        &self,
        copy: &Move,
        slab: &Name,
        slabs: &Slabs,
        coordinates: &[Index],
    ) -> Operand {
        let product = self.product();
        let place = by_name(&copy.coordinates, coordinates);
        let lookup = |n: &str| if *n == *slabs.var { Some(var(slab)) } else { place(n) };
        let dims = product.sides.each_ref().map(Digits::alone);
        let at = copy.start.iter().enumerate().map(|(d, start)| {
            let start = substitute(start, &lookup);
            match copy.along.iter().position(|a| *a == d) {
                b @ Some(_) if b == dims[0] => {
                    let extent = Some(product.fragment[0]);
                    Slice { start: add(start, self.team_start(0)), extent, step: 1 }
                }
                b @ Some(_) if b == dims[1] => Slice { start, extent: Some(slabs.width), step: 1 },
                Some(_) | None => Slice { start, extent: None, step: 1 },
            }
        });
        tile(&copy.array, at.collect(), false)
    }

    /// A team's part of a box that leaves the block.
    pub(super) fn drain(
        &self,
        copy: &Move,
        coordinates: &[Index],
        drained: bool,
        again: bool,
    ) -> Vec<KernelNode> {
        let product = self.product();
        let lookup = by_name(&copy.coordinates, coordinates);
        let side_of = |b: usize| product.sides.iter().position(|s| s.alone() == Some(b));
        let part = |b: usize| {
            let side = side_of(b)?;
            Some((self.team_start(side), product.fragment[side]))
        };
        let outside = copy.start.iter().enumerate().map(|(d, start)| {
            let start = substitute(start, &lookup);
            match copy.along.iter().position(|a| *a == d).and_then(part) {
                Some((first, extent)) => {
                    Slice { start: add(start, first), extent: Some(extent), step: 1 }
                }
                None => Slice { start, extent: None, step: 1 },
            }
        });
        let single = |start| Slice { start, extent: None, step: 1 };
        let inside = (0..copy.along.len()).map(|b| match part(b) {
            Some((start, extent)) => Slice { start, extent: Some(extent), step: 1 },
            None => single(Index::Const(0)),
        });
        let inside = self.group_of_team().into_iter().map(single).chain(inside);
        let global = tile(&copy.array, outside.collect(), false);
        let shared = tile(&copy.buffer, inside.collect(), false);
        let mut stores =
            vec![call("tma.store", vec![global, shared]), call("tma.commit", Vec::new())];
        if !again {
            stores.push(call("tma.wait.read", vec![number(0)]));
        }
        let mut out = Vec::new();
        if !drained {
            out.push(call("fence.async", Vec::new()));
            out.push(call("sync", Vec::new()));
        }
        out.push(one(stores));
        out
    }
}

impl Instance {
    /// Its store, where its coordinates and places have these values.
    pub(super) fn stored_at(&self, lookup: &dyn Fn(&str) -> Option<Index>) -> Store<Index> {
        stored_at(&self.store, (&self.names, &self.iterators), lookup)
    }
}

/// A store of a statement whose iterators have these names and values.
pub(super) fn stored_at(
    store: &Store<Affine>,
    (names, iterators): (&[Name], &[Affine]),
    lookup: &dyn Fn(&str) -> Option<Index>,
) -> Store<Index> {
    let iterators: Vec<Index> = iterators.iter().map(|e| substitute(e, lookup)).collect();
    let inner = |n: &str| {
        let at = names.iter().position(|i| &**i == n);
        at.map_or_else(|| lookup(n), |at| iterators.get(at).cloned())
    };
    store.map_index(&mut |e| substitute(e, &inner))
}

pub(super) fn condition(c: &Constraint, lookup: &dyn Fn(&str) -> Option<Index>) -> Condition {
    let value = substitute(&c.expr, lookup);
    let compare = if c.equality { Condition::Eq } else { Condition::Ge };
    compare(value, Index::Const(0))
}

/// A store inside its guards: those of the row outside those of the column.
fn by_rows(guards: Vec<Condition>, column: &Name, store: KernelNode) -> KernelNode {
    let (inner, outer): (Vec<_>, Vec<_>) = guards.into_iter().partition(|g| g.uses(column));
    [inner, outer].into_iter().fold(store, |node, guards| {
        match simplify_condition(&Condition::All(guards)) {
            Condition::All(parts) if parts.is_empty() => node,
            guard => KernelNode::If(guard, vec![node], Vec::new()),
        }
    })
}

/// Whether a statement reads an array alone, and runs wherever it stands.
fn reads_only(store: &Store<Index>, array: &Name) -> bool {
    let mut own = store.guard.is_none();
    store.value.visit(&mut |v| {
        own &= !matches!(&v.kind, TypedKind::Read { array: read, .. } if read != array);
    });
    own
}

/// A loop whose body is repeated.
pub(super) fn unroll(name: &Name, count: i64, body: Vec<KernelNode>) -> KernelNode {
    KernelNode::Loop(KernelLoop {
        label: name.clone(),
        var: name.clone(),
        lower: Index::Const(0),
        upper: Index::Const(count),
        step: 1,
        mode: LoopMode::Unroll,
        body,
    })
}
