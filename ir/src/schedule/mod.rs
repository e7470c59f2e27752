//! The Schedule's values: the polyhedral form of a nest and the tree of named loops.
//!
//! A [`Poly`] is a nest without an order: statements with iteration domains. A [`Tree`] gives the
//! order. Steps rewrite both (`fuse-at` adds statements, most steps only change the tree).
//! Keeps: plain values; no isl here.

mod contract;
mod poly;
pub mod print;
pub mod script;
pub mod step;

use std::collections::BTreeMap;

pub use contract::Contract;

use crate::affine::{Affine, Name};
use crate::nest::{Array, Constraint, Param, Statement};
use crate::target::Place;

/// A statement with its iteration domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolyStatement {
    /// The statement; its accesses are affine in `iters` and the parameters.
    pub statement: Statement,
    /// The iterators, outermost first as written.
    pub iters: Vec<Name>,
    /// The iteration domain: all constraints hold; over `iters` and parameters.
    pub domain: Vec<Constraint>,
    /// The original statement whose instance this one computes, and that instance's iterators in
    /// terms of `iters`: identity for a statement of the nest itself, `None` for one that stands
    /// for none: a copy that `stage` made, whose target gets the bits of the one element it reads,
    /// and what `split-reduction` adds before and behind a reduction.
    pub origin: Option<(Name, Vec<Affine>)>,
}

/// How long an array of the working nest lives: one buffer for each iteration of a loop.
///
/// The array's shape is that of the buffer. Its accesses have `coordinates` indices in front, which
/// say in which iteration the buffer is: different iterations never share an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The loop.
    pub at: Name,
    /// How many indices of an access come before those of the buffer.
    pub coordinates: usize,
    /// The thread numbers that the buffer's first dimensions are, where it is spread across them.
    pub across: Vec<Place>,
}

/// The working nest: arrays and statements with domains, without an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poly {
    /// Symbolic sizes.
    pub params: Vec<Param>,
    /// Facts about them.
    pub assumptions: Vec<Constraint>,
    /// All arrays, those that steps added at the end.
    pub arrays: Vec<Array>,
    /// All statements.
    pub statements: Vec<PolyStatement>,
    /// The arrays that live inside a loop.
    pub scopes: BTreeMap<Name, Scope>,
    /// The extents that the caller's arrays have, of those whose dimensions were folded.
    pub folded: BTreeMap<Name, Vec<i64>>,
}

impl Poly {
    /// The statement of this name.
    #[must_use]
    pub fn statement(&self, name: &str) -> Option<&PolyStatement> {
        self.statements.iter().find(|s| &*s.statement.name == name)
    }

    /// The array of this name.
    #[must_use]
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|a| &*a.name == name)
    }

    /// The value of an expression over the parameters, where these are fixed.
    #[must_use]
    pub fn fixed(&self, e: &Affine) -> Option<i64> {
        e.eval(&|name| self.params.iter().find(|p| &*p.name == name)?.value)
    }
}

/// A part of a GPU's multiprocessor that runs the iterations of a loop in a block program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Each iteration on a block of its own, of a cluster of blocks that run at the same time.
    Cluster,
    /// Each iteration on four neighbouring warps of its own.
    Warpgroup,
    /// Iterations in turn on two groups of warpgroups: one multiplies while the other does the rest
    /// of the iteration before.
    PingPong,
    /// Each iteration on a warp of its own.
    Warp,
    /// All iterations, of this loop and those inside, are one box of the copy engine.
    CopyEngine,
    /// All iterations, of this loop and those inside, are one box that the block's threads copy
    /// asynchronously.
    AsyncCopy,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 6] = [
        Self::Cluster,
        Self::Warpgroup,
        Self::PingPong,
        Self::Warp,
        Self::CopyEngine,
        Self::AsyncCopy,
    ];

    /// Its text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Warpgroup => "warpgroup",
            Self::PingPong => "pingpong",
            Self::Warp => "warp",
            Self::CopyEngine => "tma",
            Self::AsyncCopy => "async",
        }
    }

    /// The unit of this text.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|u| u.name() == text)
    }
}

/// A loop whose iterations are an index of a matrix instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// The instruction's name in the table.
    pub instruction: Name,
    /// Which index: 0 is its `m`, 1 its `n`, 2 its `k`.
    pub index: usize,
}

/// What a loop is annotated with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Iterations run on several threads.
    pub parallel: bool,
    /// Iterations become lanes of vectors.
    pub vectorize: bool,
    /// The body is repeated.
    pub unroll: bool,
    /// Iterations run on blocks or threads of a GPU.
    pub map: Option<Place>,
    /// Blocks take iterations that no block has begun, and ask for so many ahead.
    pub taken: Option<i64>,
    /// So many blocks, or clusters of them, share out the iterations and parts of their sums.
    pub streamed: Option<i64>,
    /// A unit of the multiprocessor runs the iterations.
    pub unit: Option<Unit>,
    /// The iterations are an index of a matrix instruction.
    pub tensor: Option<Tensor>,
    /// How many iterations' buffers there are at once, filled ahead.
    pub ring: Option<i64>,
}

impl Marks {
    /// The words that are set, as they stand in a tree.
    #[must_use]
    pub fn words(&self) -> Vec<&'static str> {
        let all =
            [(self.parallel, "parallel"), (self.vectorize, "vectorize"), (self.unroll, "unroll")];
        let set = all.into_iter().filter_map(|(on, word)| on.then_some(word));
        let tensor = self.tensor.as_ref().map(|_| "tensorize");
        let ring = self.ring.map(|_| "ring");
        let taken = self.taken.map(|_| "take");
        let streamed = self.streamed.map(|_| "stream");
        let place = self.map.map(Place::name).into_iter().chain(taken).chain(streamed);
        let place = place.chain(self.unit.map(Unit::name));
        set.chain(place).chain(tensor).chain(ring).collect()
    }
}

/// The order of all instances: nested loops, sequences and statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A loop.
    Loop(TreeLoop),
    /// Children one after another.
    Sequence(Vec<Tree>),
    /// One statement.
    Statement(Name),
}

/// A loop of the tree: instances run in ascending order of `rows[statement]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLoop {
    /// Stable and unique in the tree (`m`, `m.0`, …; a name shared by loops of several statements
    /// is qualified, `S0.m`).
    pub name: Name,
    /// For each statement below, the time in its iterators and the parameters.
    pub rows: BTreeMap<Name, Affine>,
    /// Annotations.
    pub marks: Marks,
    /// What runs in each iteration.
    pub body: Box<Tree>,
}

impl Tree {
    /// The statements below, in order.
    #[must_use]
    pub fn statements(&self) -> Vec<Name> {
        let mut out = Vec::new();
        self.collect_statements(&mut out);
        out
    }

    fn collect_statements(&self, out: &mut Vec<Name>) {
        match self {
            Self::Loop(l) => l.body.collect_statements(out),
            Self::Sequence(children) => children.iter().for_each(|c| c.collect_statements(out)),
            Self::Statement(name) => out.push(name.clone()),
        }
    }

    /// Every loop, outer before inner.
    #[must_use]
    pub fn loops(&self) -> Vec<&TreeLoop> {
        let mut out = Vec::new();
        self.collect_loops(&mut out);
        out
    }

    fn collect_loops<'t>(&'t self, out: &mut Vec<&'t TreeLoop>) {
        match self {
            Self::Loop(l) => {
                out.push(l);
                l.body.collect_loops(out);
            }
            Self::Sequence(children) => children.iter().for_each(|c| c.collect_loops(out)),
            Self::Statement(_) => {}
        }
    }

    /// The loop of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&TreeLoop> {
        match self {
            Self::Loop(l) if &*l.name == name => Some(l),
            Self::Loop(l) => l.body.find(name),
            Self::Sequence(children) => children.iter().find_map(|c| c.find(name)),
            Self::Statement(_) => None,
        }
    }
}
