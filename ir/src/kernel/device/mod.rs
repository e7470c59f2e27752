//! Block programs: what the threads of one block of a GPU do where they have different roles.
//!
//! Meaning: a [`Block`] stands inside the loops mapped to blocks. Its threads are divided into
//! roles, in the order they are written; all run at the same time, each warp of its own accord.
//! Shared buffers belong to the block, fragments to the registers of a team. A team is the warps
//! that run a body together: at first a whole role, inside [`Teams`] a part of it.
//! Everything that happens is a [`Call`] of an entry of the instruction table, or a store: of an
//! element of a fragment by the thread that holds it ([`Across`]), or of elements that the threads
//! of a team share out ([`Share`]).
//! Keeps: nothing is implied but what [`Block`] says of its start and end.

mod bind;
mod parse;
pub(in crate::kernel) mod print;

use super::{Condition, Index, KernelLoop, KernelNode, LoopMode, Store, Typed};
use crate::affine::Name;
use crate::dtype::DType;
use crate::instruction::{descriptor, find, tensor_memory};

/// Threads of a warp.
pub const WARP: i64 = 32;
/// Warps of a warpgroup.
pub const WARPGROUP: i64 = 4;
/// Bytes of a column of tensor memory in each lane.
const COLUMN_BYTES: i64 = 4;
/// Bytes whose multiples are the addresses of shared buffers: what the widest panel needs.
pub const SHARED_ALIGN: i64 = 1024;
/// What calls name the blocks of a cluster by, as if it were an array with an element for each.
pub const CLUSTER: &str = "cluster";
/// Most blocks of a cluster on every GPU that has clusters.
pub const MAX_CLUSTER: i64 = 8;

/// A node of a block program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The program of a block.
    Block(Block),
    /// Parts of a team, each with its own body.
    Teams(Teams),
    /// One thread of the team runs the body.
    One(Vec<KernelNode>),
    /// Registers of the team's threads.
    Fragment(Fragment),
    /// Each thread runs the body for the elements of a fragment that it holds.
    Across(Across),
    /// Each thread of the team runs the body for its share of some indices.
    Share(Share),
    /// The team runs the body for the block's own iteration of a loop, and for those it takes.
    Taking(Taking),
    /// The team runs the body for the iterations that data choose.
    Choosing(Choosing),
    /// An instruction.
    Call(Call),
}

/// The program of a block. Before any role starts, its tensor memory is allocated and the barriers
/// of all blocks of the cluster are ready; no block of a cluster ends before every role of all of
/// them has ended, and when a block's roles have ended its tensor memory is free again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The loops over the blocks of a cluster around it, the outermost first; none means that each
    /// block is alone.
    pub cluster: Vec<ClusterLoop>,
    /// Buffers in shared memory, each at a multiple of [`SHARED_ALIGN`] in this order.
    pub shared: Vec<Shared>,
    /// Buffers in tensor memory, side by side in this order.
    pub tensors: Vec<Tensor>,
    /// Barriers with transaction counts, after the buffers.
    pub barriers: Vec<Barrier>,
    /// What the warps do, from the first warp on.
    pub roles: Vec<Role>,
}

impl Block {
    /// Warps of the block.
    #[must_use]
    pub fn warps(&self) -> i64 {
        self.roles.iter().fold(0, |sum, r| r.warps.saturating_add(sum))
    }

    /// How many blocks a cluster has; `None` where they exceed 64 bits.
    #[must_use]
    pub fn cluster_size(&self) -> Option<i64> {
        self.cluster.iter().try_fold(1_i64, |n, l| n.checked_mul(l.count))
    }

    /// Whether some of its instructions are of pairs of blocks, as then are all that can be.
    #[must_use]
    pub fn paired(&self) -> bool {
        fn any(nodes: &[KernelNode]) -> bool {
            nodes.iter().any(|node| match node {
                KernelNode::Loop(l) => any(&l.body),
                KernelNode::If(_, a, b) => any(a) || any(b),
                KernelNode::Local(l) => any(&l.body),
                KernelNode::Store(_) => false,
                KernelNode::Device(d) => match &**d {
                    Device::Call(call) => {
                        find(&call.instruction).is_some_and(|i| i.action.paired())
                    }
                    other => other.bodies().into_iter().any(|b| any(b)),
                },
            })
        }
        self.roles.iter().any(|r| any(&r.body))
    }

    /// The address of a shared buffer or barrier in the block's shared memory.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<i64> {
        let mut at = 0_i64;
        for s in &self.shared {
            if &*s.name == name {
                return Some(at);
            }
            let end = at.checked_add(s.bytes()?)?.checked_add(SHARED_ALIGN - 1)?;
            at = end / SHARED_ALIGN * SHARED_ALIGN;
        }
        for b in &self.barriers {
            if &*b.name == name {
                return Some(at);
            }
            at = at.checked_add(b.slots.checked_mul(8)?)?;
        }
        name.is_empty().then_some(at)
    }

    /// Bytes of shared memory in all; `None` where they exceed 64 bits. With tensor memory the last
    /// eight hold its address.
    #[must_use]
    pub fn bytes(&self) -> Option<i64> {
        self.address("")?.checked_add(if self.tensors.is_empty() { 0 } else { 8 })
    }

    /// The first column of a buffer in tensor memory; for no name, the columns of all. `None` where
    /// there is no such buffer, or they exceed 64 bits.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<i64> {
        let mut at = 0_i64;
        for t in &self.tensors {
            if &*t.name == name {
                return Some(at);
            }
            at = at.checked_add(t.columns()?)?;
        }
        name.is_empty().then_some(at)
    }

    /// Columns of tensor memory that the block allocates: a power of two; `None` where there are
    /// not so many.
    #[must_use]
    pub fn columns(&self) -> Option<i64> {
        tensor_memory::allocated(self.column("")?)
    }
}

/// A loop `for VAR in 0..COUNT cluster` over neighbouring blocks that run at the same time and
/// reach each other's shared memory. A block's number in its cluster is row-major over the loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterLoop {
    /// The position of the block along this loop.
    pub var: Name,
    /// How many positions there are.
    pub count: i64,
}

/// A buffer in shared memory, row-major, or its last two dimensions in panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// Its name.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Extents in elements, positive.
    pub shape: Vec<i64>,
    /// Bytes of a panel ([`descriptor::PANELS`]); none means row-major.
    pub panel: Option<i64>,
}

impl Shared {
    /// Bits of an element: in panels elements may share bytes, as in arrays.
    #[must_use]
    pub const fn bits(&self) -> i64 {
        let by_itself = 8 * self.dtype.size_bytes();
        (if self.panel.is_some() { self.dtype.bits() } else { by_itself }) as i64
    }

    /// Elements of a row that so many bytes hold.
    #[must_use]
    pub const fn wide(&self, bytes: i64) -> i64 {
        8 * bytes / self.bits()
    }

    /// Whether elements share bytes, so that no thread can write one by itself.
    #[must_use]
    pub const fn packed(&self) -> bool {
        self.bits() < 8
    }

    /// Bytes it takes; `None` where they exceed 64 bits.
    #[must_use]
    pub fn bytes(&self) -> Option<i64> {
        let bits = self.shape.iter().try_fold(self.bits(), |n, &e| n.checked_mul(e))?;
        Some(bits / 8)
    }

    /// The byte offset of an element from the buffer's start before chunks are permuted.
    #[must_use]
    pub fn offset(&self, at: &[i64]) -> i64 {
        let bits = self.bits();
        let (Some(panel), [outer @ .., row, col], [.., rows, cols]) =
            (self.panel, at, self.shape.as_slice())
        else {
            return at.iter().zip(&self.shape).fold(0, |n, (i, e)| n * e + i) * bits / 8;
        };
        let outer = outer.iter().zip(&self.shape).fold(0, |n, (i, e)| n * e + i);
        outer * rows * cols * bits / 8 + descriptor::panel_offset(*row, *col, *rows, bits, panel)
    }
}

/// A buffer in tensor memory. Its last two dimensions are lanes and columns, of scales lanes and
/// the bytes of columns; those before them lie side by side, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: Name,
    /// Element type, of 32 bits or a type of scales.
    pub dtype: DType,
    /// Extents in elements, positive; as many lanes as [`tensor_memory::lanes`] says.
    pub shape: Vec<i64>,
}

impl Tensor {
    /// Elements of a lane in one column.
    #[must_use]
    pub const fn per_column(&self) -> i64 {
        COLUMN_BYTES / self.dtype.size_bytes() as i64
    }

    /// Columns it takes; `None` where they exceed 64 bits or are no whole ones.
    #[must_use]
    pub fn columns(&self) -> Option<i64> {
        let lanes = self.shape.len().checked_sub(2)?;
        let dims = self.shape.iter().enumerate().filter(|(d, _)| *d != lanes);
        let all = dims.map(|(_, e)| *e).try_fold(1_i64, i64::checked_mul)?;
        let each = self.per_column();
        (each > 0 && all % each == 0).then(|| all / each)
    }

    /// Lane of an element, and its place in the lane, in elements from the buffer's first column.
    ///
    /// # Panics
    /// The place has fewer than two indices.
    #[must_use]
    pub fn place(&self, at: &[i64]) -> [i64; 2] {
        let [outer @ .., lane, column] = at else { panic!("a buffer of lanes and columns") };
        let outer = outer.iter().zip(&self.shape).fold(0, |n, (i, e)| n * e + i);
        [*lane, outer * self.shape.last().copied().unwrap_or(1) + column]
    }
}

/// An array of barriers in shared memory. A phase of one is complete when `count` arrivals and all
/// bytes awaited in it have come; then the next phase begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Its name.
    pub name: Name,
    /// How many.
    pub slots: i64,
    /// Arrivals of a phase.
    pub count: i64,
}

/// What some warps of a block do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: Name,
    /// How many warps.
    pub warps: i64,
    /// Registers of each thread, by redistribution between roles; none leaves the block's share.
    pub registers: Option<i64>,
    /// What each of its warps runs.
    pub body: Vec<KernelNode>,
}

/// `count` teams of `warps` neighbouring warps each, the whole team around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Teams {
    /// The number of the team, from 0.
    pub var: Name,
    /// How many teams.
    pub count: i64,
    /// Warps of each.
    pub warps: i64,
    /// What each runs.
    pub body: Vec<KernelNode>,
}

/// A matrix in the registers of a team: tiles of an instruction's operand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Its name.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Rows and columns: multiples of the layout's.
    pub shape: [i64; 2],
    /// The operand whose layout it has, such as `mma.m16n8k16.f32.bf16.bf16.d`.
    pub layout: Name,
    /// What runs while it exists.
    pub body: Vec<KernelNode>,
}

/// Guards and stores over the elements of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Across {
    /// Row and column.
    pub vars: [Name; 2],
    /// The fragment.
    pub fragment: Name,
    /// Its rows and columns for which the body runs; empty where it runs for all.
    pub part: Vec<Slice>,
    /// The elements of each row are combined first ([`Reduction`]).
    pub reduce: bool,
    /// What runs for each element.
    pub body: Vec<KernelNode>,
}

/// A store that updates its target once for each row of a fragment, with the values of all its
/// elements for which the guards hold combined by the store's operator.
#[derive(Clone, Debug)]
pub struct Reduction<'a> {
    /// The store; its indices are of the row.
    pub store: &'a Store<Index>,
    /// The guards around it. Those without the column also hold for what is updated.
    pub guards: Vec<&'a Condition>,
}

impl Across {
    /// The one store of a body that combines rows, with the guards around it.
    #[must_use]
    pub fn reduction(&self) -> Option<Reduction<'_>> {
        let (mut body, mut guards) = (&self.body, Vec::new());
        loop {
            match body.as_slice() {
                [KernelNode::Store(store)] if self.reduce => {
                    return Some(Reduction { store, guards });
                }
                [KernelNode::If(guard, then, otherwise)] if otherwise.is_empty() => {
                    guards.push(guard);
                    body = then;
                }
                _other => return None,
            }
        }
    }

    /// The part as an operand of the fragment, where it is not all.
    #[must_use]
    pub fn tile(&self) -> Option<Tile> {
        let (array, at) = (self.fragment.clone(), self.part.clone());
        (!at.is_empty()).then_some(Tile { array, at, transposed: false })
    }
}

/// Guards and stores over all tuples of indices below some extents, dealt to the threads of a team.
///
/// The tuples are in pieces of `piece` neighbours along each index. Pieces are numbered row-major;
/// piece p belongs to thread p mod the team's threads. No order holds between iterations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The indices, the last of them fastest.
    pub vars: Vec<Name>,
    /// How many values each has, from 0; a multiple of its piece.
    pub extents: Vec<i64>,
    /// How many neighbours along each index one thread takes together.
    pub piece: Vec<i64>,
    /// What runs for each tuple.
    pub body: Vec<KernelNode>,
}

impl Share {
    /// How many pieces there are; `None` where pieces do not divide the extents, or exceed 64 bits.
    #[must_use]
    pub fn pieces(&self) -> Option<i64> {
        let ranks = [self.extents.len(), self.piece.len()];
        let sides = self.extents.iter().zip(&self.piece);
        let whole = sides.clone().all(|(e, p)| *p > 0 && *e > 0 && e % p == 0);
        if self.vars.is_empty() || ranks != [self.vars.len(); 2] || !whole {
            return None;
        }
        self.extents.iter().try_fold(1_i64, |n, e| n.checked_mul(*e))?;
        Some(sides.map(|(e, p)| e / p).product())
    }

    /// The values of the indices of an element of a piece; both numbers count row-major.
    #[must_use]
    pub fn at(&self, mut piece: i64, mut element: i64) -> Vec<i64> {
        let mut out = vec![0; self.extents.len()];
        for (d, i) in out.iter_mut().enumerate().rev() {
            let (wide, pieces) = (self.piece[d], self.extents[d] / self.piece[d]);
            *i = piece % pieces * wide + element % wide;
            piece /= pieces;
            element /= wide;
        }
        out
    }
}

/// A body that runs for the block's own iteration of the one loop mapped to blocks, and then for
/// each iteration that it is told to take instead of a block that has not begun. Right inside the
/// body one call reads the answer ([`crate::instruction::Action::Answer`]): it says which iteration
/// comes next, or that none does.
///
/// Of a cluster all blocks take an iteration together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taking {
    /// The iteration, and how many have run before.
    pub vars: [Name; 2],
    /// The variable of the loop that is mapped to blocks.
    pub of: Name,
    /// What runs for each.
    pub body: Vec<KernelNode>,
    /// What runs after the last one, with its values.
    pub last: Vec<KernelNode>,
}

/// A body that runs, in order, for those iterations of a serial loop for which a value is true. It
/// reads nothing that the launch writes: every role that asks gets the same answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choosing {
    /// The iteration, and for how many before it the body has run.
    pub vars: [Name; 2],
    /// The first iteration.
    pub lower: Index,
    /// The one behind the last.
    pub upper: Index,
    /// Whether the body runs for an iteration: a bool that may use the first variable.
    pub when: Typed<Index>,
    /// What runs for each.
    pub body: Vec<KernelNode>,
    /// What runs after the last one for which the body has run, with its values, if there is one.
    pub last: Vec<KernelNode>,
}

impl Choosing {
    /// The body in a loop over all iterations, whatever data say.
    #[must_use]
    pub fn all(&self, body: Vec<KernelNode>) -> KernelLoop {
        KernelLoop {
            label: self.vars[0].clone(),
            var: self.vars[0].clone(),
            lower: self.lower.clone(),
            upper: self.upper.clone(),
            step: 1,
            mode: LoopMode::Serial,
            body,
        }
    }
}

/// An instruction with its operands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name in the instruction table.
    pub instruction: Name,
    /// In the order of the table.
    pub operands: Vec<Operand>,
}

/// An operand of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A part of a buffer, a shared buffer, one in tensor memory, a fragment, a slot of a barrier,
    /// or some blocks of the [`CLUSTER`].
    Tile(Tile),
    /// An integer.
    Value(Index),
}

/// A box of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// The array.
    pub array: Name,
    /// Per dimension.
    pub at: Vec<Slice>,
    /// Its two extents stand for the operand's columns and rows, in this order.
    pub transposed: bool,
}

/// Elements along a dimension, equally far apart, or one, which is no dimension of the tile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The first element.
    pub start: Index,
    /// How many; none means one, without a dimension.
    pub extent: Option<i64>,
    /// From one to the next: 1 for neighbours.
    pub step: i64,
}

impl Tile {
    /// The extents, as they stand.
    #[must_use]
    pub fn extents(&self) -> Vec<i64> {
        self.at.iter().filter_map(|s| s.extent).collect()
    }

    /// Rows and columns of the operand; `None` where there are not two extents.
    #[must_use]
    pub fn matrix(&self) -> Option<[i64; 2]> {
        let [a, b] = self.extents().try_into().ok()?;
        Some(if self.transposed { [b, a] } else { [a, b] })
    }
}

/// Whether tiles of these extents have rows of one length, and as many of them: what the copy
/// engine asks of the two sides of a box, whose rows follow each other row-major.
#[must_use]
pub fn rows_agree(a: &[i64], b: &[i64]) -> bool {
    let rows = |extents: &[i64]| -> Option<(i64, i64)> {
        let (last, outer) = extents.split_last()?;
        Some((*last, outer.iter().try_fold(1_i64, |n, e| n.checked_mul(*e))?))
    };
    rows(a).is_some_and(|found| Some(found) == rows(b))
}

impl super::Kernel {
    /// Whether some block's threads have roles.
    #[must_use]
    pub fn has_block_program(&self) -> bool {
        any_program(&self.body)
    }
}

/// Whether there is a program of its own for the threads of a block among these nodes.
#[must_use]
pub fn any_program(nodes: &[KernelNode]) -> bool {
    nodes.iter().any(|node| match node {
        KernelNode::Loop(l) => any_program(&l.body),
        KernelNode::If(_, a, b) => any_program(a) || any_program(b),
        KernelNode::Local(l) => any_program(&l.body),
        KernelNode::Store(_) => false,
        KernelNode::Device(_) => true,
    })
}

impl Device {
    /// The bodies inside, in order.
    pub fn bodies(&self) -> Vec<&Vec<KernelNode>> {
        match self {
            Self::Block(b) => b.roles.iter().map(|r| &r.body).collect(),
            Self::Teams(t) => vec![&t.body],
            Self::One(body) => vec![body],
            Self::Fragment(f) => vec![&f.body],
            Self::Across(a) => vec![&a.body],
            Self::Share(s) => vec![&s.body],
            Self::Taking(t) => vec![&t.body, &t.last],
            Self::Choosing(c) => vec![&c.body, &c.last],
            Self::Call(_) => Vec::new(),
        }
    }

    /// The same node with other bodies.
    #[must_use]
    pub fn map_bodies(&self, f: &mut dyn FnMut(&[KernelNode]) -> Vec<KernelNode>) -> Self {
        let mut out = self.clone();
        match &mut out {
            Self::Block(b) => b.roles.iter_mut().for_each(|r| r.body = f(&r.body)),
            Self::Teams(Teams { body, .. })
            | Self::One(body)
            | Self::Fragment(Fragment { body, .. })
            | Self::Across(Across { body, .. })
            | Self::Share(Share { body, .. }) => *body = f(body),
            Self::Taking(Taking { body, last, .. })
            | Self::Choosing(Choosing { body, last, .. }) => {
                *body = f(body);
                *last = f(last);
            }
            Self::Call(_) => {}
        }
        out
    }
}

#[cfg(test)]
mod tests;
