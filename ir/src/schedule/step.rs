//! Schedule steps as data: what a script says, before it is applied to anything.
//!
//! In: nothing; `script` reads steps from text, the Rust API builds them. Out: values that `print`
//! writes and the scheduler applies.
//! Keeps: equality ignores where a step was written, so `parse(print(x)) == x`.
//! Why here: a compiled result is (nest, script, target), so a script must be a plain value.

use crate::affine::{Affine, Name};
use crate::diag::{Source, Span};
use crate::target::Place;

use super::{Contract, Tree, Unit};

/// The name of a loop, statement or array as a step wrote it.
///
/// A loop's name may be qualified by a statement below it: `S1.k` is the loop `k` above `S1`.
#[derive(Clone, Debug)]
pub struct Ref {
    /// The text, dots included.
    pub name: Name,
    /// Where it was written.
    pub span: Span,
}

impl Ref {
    /// A reference that was not written in a text.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), span: Span::NONE }
    }

    /// The part before the first dot and the rest, if there is a dot.
    #[must_use]
    pub fn qualified(&self) -> Option<(&str, &str)> {
        self.name.split_once('.')
    }
}

impl PartialEq for Ref {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Ref {}

impl From<&str> for Ref {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<Name> for Ref {
    fn from(name: Name) -> Self {
        Self { name, span: Span::NONE }
    }
}

/// A property of a loop that a schedule states as a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    /// No dependence between two iterations of the loop.
    Parallel,
    /// Iterations may run as lanes of one vector.
    Vector,
}

impl Property {
    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Vector => "vector",
        }
    }
}

/// `S1[i, j] -> [i, 0, j]`: when the instances of a statement run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementTimes {
    /// The statement.
    pub statement: Ref,
    /// Names for its iterators, bound by position, outermost first.
    pub iters: Vec<Ref>,
    /// The time, compared lexicographically; affine in these names and the parameters. A shorter
    /// one is continued with 0.
    pub times: Vec<Affine>,
}

/// One index of a staged buffer: `floor((d mod modulus) / divisor)` of the array's index `d`
/// counted from the first one staged; written `1`, `1/16`, `1%16` or `1%64/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutTerm {
    /// The dimension of the array, from 0.
    pub dimension: usize,
    /// Positive, if there is one.
    pub modulus: Option<i64>,
    /// Positive; 1 leaves the index as it is.
    pub divisor: i64,
}

/// What a step does. Each variant's line is its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// `tile a, b by 32, 64 [as a0, b0, a1, b1]`: tile loops `a.0 b.0`, then points `a.1 b.1`.
    Tile {
        /// Loops of one perfectly nested chain.
        loops: Vec<Ref>,
        /// One positive size per loop, in iterations.
        sizes: Vec<i64>,
        /// Names of the tile loops, then of the point loops; empty or two per loop.
        names: Vec<Ref>,
    },
    /// `split k by 8 [as a, b]`: strip-mining.
    Split {
        /// The loop.
        target: Ref,
        /// Iterations per strip, positive.
        size: i64,
        /// Names of the outer and inner loop; empty or two.
        names: Vec<Ref>,
    },
    /// `reorder a, b, c`: the places these loops hold in their chain are filled in this order.
    Reorder {
        /// At least two loops of one perfectly nested chain.
        loops: Vec<Ref>,
    },
    /// `fuse a, b [shift 1] [as x]`: adjacent loops of a sequence become one.
    Fuse {
        /// The loop that comes first.
        first: Ref,
        /// The loop right behind it.
        second: Ref,
        /// Added to the second loop's rows: its iterations come that many later.
        shift: i64,
        /// The result's name; the first loop's by default.
        name: Option<Ref>,
    },
    /// `distribute l [at S1] [as x, y]`: a loop over a sequence becomes a sequence of loops.
    Distribute {
        /// The loop.
        target: Ref,
        /// Splits into two loops only: the second starts with this statement's part.
        at: Option<Ref>,
        /// One name per resulting loop, or none.
        names: Vec<Ref>,
    },
    /// `skew j by 2*i`: the rows of `j` gain twice those of `i`.
    Skew {
        /// The loop that changes.
        target: Ref,
        /// How often the other loop's row is added; not zero.
        factor: i64,
        /// A loop outside it.
        by: Ref,
    },
    /// `shift S1.i by 1`: one statement's row of a loop changes; `shift i by 1`: those of all.
    Shift {
        /// The loop, qualified by the statement that moves.
        target: Ref,
        /// Added to the row; affine in the parameters.
        by: Affine,
    },
    /// `coalesce i, j [as ij]`: two perfectly nested loops become one.
    Coalesce {
        /// The outer loop.
        outer: Ref,
        /// The loop right inside it.
        inner: Ref,
        /// The result's name; the outer loop's by default.
        name: Option<Ref>,
    },
    /// `fold i, j [as ij]`: two perfectly nested loops become one, and so do the neighbouring
    /// dimensions of arrays that they walk along.
    Fold {
        /// The outer loop.
        outer: Ref,
        /// The loop right inside it.
        inner: Ref,
        /// The result's name; the outer loop's by default.
        name: Option<Ref>,
    },
    /// `raster a, b as t`: a loop over the tuples of iterations of nested loops.
    Raster {
        /// At least two loops, each right inside the one before.
        loops: Vec<Ref>,
        /// The new loop's name.
        name: Ref,
    },
    /// `unroll l`.
    Unroll(Ref),
    /// `vectorize l`.
    Vectorize(Ref),
    /// `parallel l`.
    Parallel(Ref),
    /// `map l to block.x`: on blocks or threads of a GPU.
    Map(Ref, Place),
    /// `map l to warpgroup`: by a unit of the multiprocessor.
    Unit(Ref, Unit),
    /// `tensorize m, n, k with wgmma.m64n256k16.f32.bf16.bf16`: three loops of a statement become
    /// one matrix instruction.
    Tensorize {
        /// The loops that become its `m`, `n` and `k`.
        loops: [Ref; 3],
        /// Its name in the instruction table.
        instruction: Ref,
    },
    /// `take l by 2`: a block that has run its iteration of a loop mapped to `block.x` takes one
    /// that no block has begun, and asks so many ahead.
    Take {
        /// The loop.
        target: Ref,
        /// How many answers there are at once, positive.
        ahead: i64,
    },
    /// `stream l by 132`: so many blocks share out the iterations of a loop mapped to `block.x`,
    /// tiles of sums; those that would leave blocks idle in parts of their sums.
    Stream {
        /// The loop.
        target: Ref,
        /// How many blocks, or clusters of them, positive.
        blocks: i64,
    },
    /// `ring l by 4`: the buffers of so many iterations exist at once and are filled ahead.
    Ring {
        /// The loop, each iteration of which has buffers.
        target: Ref,
        /// How many, positive.
        stages: i64,
    },
    /// `reverse l`: from last to first.
    Reverse(Ref),
    /// `order { tree }`: the whole order given outright.
    Order(Tree),
    /// `order { S0[i, j] -> [i, 0, j]; S1[i] -> [i, 1] }`: the whole order as times.
    OrderBy(Vec<StatementTimes>),
    /// `stage A [for S1] [at l] [as Ap] [layout 1/16, 0, 1%16] [pad 1] [across thread.x]`: what
    /// `l` touches of `A` is in a buffer while an iteration of `l` runs.
    Stage {
        /// The array.
        array: Ref,
        /// The statements whose accesses are redirected, or single accesses (`S1.0` is a
        /// statement's first); all below the loop if there are none.
        readers: Vec<Ref>,
        /// The loop, each iteration of which has its own buffer; without one the copy is an array
        /// of the nest, made before all loops around the named accesses.
        at: Option<Ref>,
        /// The name of the buffer and of the statement that fills it.
        name: Option<Ref>,
        /// The buffer's indices, outermost first; those of the array if there are none.
        layout: Vec<LayoutTerm>,
        /// Elements without use at the end of each row of the buffer; not negative.
        pad: i64,
        /// The numbers of threads that the buffer's first indices are, where each has a part.
        across: Vec<Place>,
    },
    /// `fuse-at S0, S1 at l`: what these statements write is computed at a consumer's loop.
    FuseAt {
        /// Statements that write one temporary array.
        producers: Vec<Ref>,
        /// The consumer's loop.
        at: Ref,
    },
    /// `split-reduction S1.k.1 [at l] [as P]`: each iteration of a reduction's loop gets an
    /// accumulator of its own; they are combined afterwards.
    SplitReduction {
        /// A loop of one statement, which carries nothing but its updates.
        target: Ref,
        /// The loop, each iteration of which has accumulators of its own; none for an array that
        /// lives as long as the nest runs.
        at: Option<Ref>,
        /// The name of the array of accumulators.
        name: Option<Ref>,
    },
    /// `privatise w at l [as P]`: each iteration of a loop gets a copy of a temporary of its own.
    Privatise {
        /// The temporary.
        array: Ref,
        /// The loop.
        at: Ref,
        /// The name of the array of copies.
        name: Option<Ref>,
    },
    /// `recall A at l`: what an iteration reads of `A` is what was there when it began; what it has
    /// written itself by then is computed again.
    Recall {
        /// The array.
        array: Ref,
        /// The loop.
        at: Ref,
    },
    /// `atomically { … }`: only the order after the last step must be legal.
    Atomically(Vec<Step>),
    /// `require parallel l`: refuses the schedule where it does not hold.
    Require(Property, Ref),
    /// `require tensor_core, smem <= 200K`: refuses the code where it does not hold.
    RequireCode(Vec<Contract>),
}

impl StepKind {
    /// Whether it changes statements or arrays of the working nest.
    #[must_use]
    pub const fn changes_nest(&self) -> bool {
        match self {
            Self::Stage { .. }
            | Self::Fold { .. }
            | Self::FuseAt { .. }
            | Self::SplitReduction { .. }
            | Self::Privatise { .. }
            | Self::Recall { .. } => true,
            Self::Tile { .. }
            | Self::Split { .. }
            | Self::Reorder { .. }
            | Self::Fuse { .. }
            | Self::Distribute { .. }
            | Self::Skew { .. }
            | Self::Shift { .. }
            | Self::Coalesce { .. }
            | Self::Raster { .. }
            | Self::Unit(..)
            | Self::Tensorize { .. }
            | Self::Take { .. }
            | Self::Stream { .. }
            | Self::Ring { .. }
            | Self::Unroll(_)
            | Self::Vectorize(_)
            | Self::Parallel(_)
            | Self::Map(..)
            | Self::Reverse(_)
            | Self::Order(_)
            | Self::OrderBy(_)
            | Self::Atomically(_)
            | Self::Require(..)
            | Self::RequireCode(_) => false,
        }
    }
}

/// A step with its place in the script.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// Where it was written.
    pub span: Span,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Eq for Step {}

impl From<StepKind> for Step {
    fn from(kind: StepKind) -> Self {
        Self { kind, span: Span::NONE }
    }
}

/// The steps that made a schedule, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
    /// The text that spans point into.
    pub source: Source,
}
