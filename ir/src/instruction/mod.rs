//! The instruction table: what the tensor cores, copy engines and barriers of GPUs do, as data.
//!
//! In: a name, such as `mma.m16n8k16.f32.bf16.bf16`. Out: which targets have it, who issues it,
//! what it computes with which numerics, how its operands lie in registers and shared memory, and
//! how LLVM or the assembler writes it.
//! Keeps: opcodes stand in [`table`] and nowhere else; the verifier, the interpreter, emission and
//! the conformance tests read this one table.
//! Sources: PTX ISA 8.8 (fragments, descriptors), NVIDIA CUTLASS (canonical layouts),
//! arXiv 2511.10909 (what the adders truncate).

pub mod descriptor;
pub mod fragment;
pub mod numerics;
mod table;
pub mod tensor_memory;

use fragment::{Digit, FragmentLayout};
use numerics::Adder;

use crate::dtype::DType;
use crate::target::Target;

pub use table::{find, guarded_load, matrix_instructions};

/// Which threads execute an instruction together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issue {
    /// One elected thread.
    Thread,
    /// All 32 threads of each warp of the team.
    Warp,
    /// All 128 threads of four neighbouring warps, the whole team.
    Warpgroup,
    /// Every thread of the team, or one elected thread.
    Any,
}

/// How code generation writes an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// An intrinsic of LLVM by its name; `{n}` stands for a number that the operands tell.
    Intrinsic(String),
    /// Assembler text with `{d}`, `{a}`, `{b}`, `{keep}`, `{ta}`, `{tb}` for its operands.
    Assembly(String),
}

/// Bytes of an answer to [`Action::Take`], which nothing but [`Action::Answer`] understands.
pub const ANSWER_BYTES: i64 = 16;

/// Blocks that multiply together: neighbours in a cluster, the first with an even number.
pub const PAIR: i64 = 2;

/// Numbers that the factors are multiplied by, one for each row and so many terms of the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Their type.
    pub dtype: DType,
    /// Terms that share one.
    pub terms: i64,
}

/// `D[m, n] = (keep ? D[m, n] : 0) + Σk A[m, k] · B[n, k]` of one fixed shape; where there are
/// scales, of `A[m, k] · SA[m, k / terms]` and `B[n, k] · SB[n, k / terms]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Blocks that hold the operands: 1, or [`PAIR`], each with its share of the rows of A, of
    /// B and of D, at the same places.
    pub blocks: i64,
    /// Rows of A and D.
    pub m: i64,
    /// Rows of B, columns of D.
    pub n: i64,
    /// Columns of A and B, summed over.
    pub k: i64,
    /// Elements of A.
    pub a: DType,
    /// Elements of B.
    pub b: DType,
    /// Elements of D.
    pub acc: DType,
    /// What the factors are multiplied by, from tensor memory.
    pub scales: Option<Scaling>,
    /// How the sum rounds.
    pub adder: Adder,
    /// A and B come from shared memory through descriptors, and the instruction is asynchronous;
    /// else they are fragments in registers.
    pub shared: bool,
    /// A is a fragment all the same, whose registers the asynchronous instruction reads until it is
    /// done.
    pub fragment_a: bool,
    /// D is in tensor memory, and one thread issues the instruction, which is `shared`; else D is a
    /// fragment.
    pub tensor: bool,
    /// A and B may lie transposed in shared memory: descriptors can say so, or the threads' loads
    /// of fragments cost as much.
    pub transposable: bool,
}

/// An operand of a matrix instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The left factor, `[m, k]`.
    A,
    /// The right factor, `[n, k]`.
    B,
    /// The accumulator, `[m, n]`.
    D,
}

impl Matrix {
    /// Rows and columns of an operand.
    #[must_use]
    pub const fn extents(&self, part: Part) -> [i64; 2] {
        match part {
            Part::A => [self.m, self.k],
            Part::B => [self.n, self.k],
            Part::D => [self.m, self.n],
        }
    }

    /// Rows and columns of an operand that one block holds: of a pair the first has the first rows
    /// of A and D and of B (columns of D), the second the others; both have all columns of D.
    #[must_use]
    pub const fn held(&self, part: Part) -> [i64; 2] {
        let [rows, columns] = self.extents(part);
        [rows / self.blocks, columns]
    }

    /// Blocks of rows whose scales an instruction reads of A or B: a block of a pair has those of
    /// its rows of A, and of all rows of B.
    #[must_use]
    pub const fn scaled_blocks(&self, part: Part) -> i64 {
        let rows = match part {
            Part::A | Part::D => self.m / self.blocks,
            Part::B => self.n,
        };
        (rows + tensor_memory::SCALED_ROWS - 1) / tensor_memory::SCALED_ROWS
    }

    /// Scales of a row that an instruction takes, one after the other; none where it has none.
    #[must_use]
    pub const fn steps(&self) -> i64 {
        match self.scales {
            Some(Scaling { terms, .. }) => self.k / terms,
            None => 0,
        }
    }

    /// Element type of an operand.
    #[must_use]
    pub const fn dtype(&self, part: Part) -> DType {
        match part {
            Part::A => self.a,
            Part::B => self.b,
            Part::D => self.acc,
        }
    }

    /// Whether an operand comes from shared memory.
    #[must_use]
    pub const fn from_shared(&self, part: Part) -> bool {
        match part {
            Part::A => self.shared && !self.fragment_a,
            Part::B => self.shared,
            Part::D => false,
        }
    }

    /// Where the elements of an operand lie in registers; `None` for one from shared or tensor
    /// memory.
    #[must_use]
    pub fn layout(&self, part: Part) -> Option<FragmentLayout> {
        let [rows, cols] = self.extents(part);
        if self.tensor || self.from_shared(part) {
            return None;
        }
        // eight rows of four threads; each thread holds a run of neighbours along the columns
        let bytes = self.dtype(part).size_bytes() as i64;
        let run = match (part, bytes) {
            (Part::D, _) => 2,
            (Part::A | Part::B, 1) => 4,
            (Part::A | Part::B, 2) => 2,
            (Part::A | Part::B, _) => 1,
        };
        let mut threads = vec![Digit::cols(4, run), Digit::rows(8.min(rows), 1)];
        let mut values = Vec::new();
        if run > 1 {
            values.push(Digit::cols(run, 1));
        }
        if self.shared {
            threads.push(Digit::rows(4, 16));
        }
        if part != Part::B && rows >= 16 {
            values.push(Digit::rows(2, 8));
        }
        if cols > 4 * run {
            values.push(Digit::cols(cols / (4 * run), 4 * run));
        }
        Some(FragmentLayout { rows, cols, threads, values })
    }

    /// The declaration as the text of a nest: `D` is added to, or set where `keep` is 0.
    #[must_use]
    pub fn nest(&self) -> String {
        let Self { m, n, k, a, b, acc, .. } = self;
        let order = if self.adder.in_order() { "serial" } else { "any" };
        let (scales, value) = match self.scales {
            None => (String::new(), "A[m, k] * B[n, k]".to_owned()),
            Some(Scaling { dtype, terms }) => (
                format!("in SA: {dtype}[{m}, {0}]\nin SB: {dtype}[{n}, {0}]\n", k / terms),
                format!(
                    "(A[m, k] * SA[m, floor(k / {terms})]) * (B[n, k] * SB[n, floor(k / {terms})])"
                ),
            ),
        };
        format!(
            "in A: {a}[{m}, {k}]\nin B: {b}[{n}, {k}]\n{scales}inout D: {acc}[{m}, {n}]\n\
             for m in 0..{m}, n in 0..{n} {{ for k in 0..{k} {{\n\
             S: D[m, n] += {value} order {order}\n}} }}\n"
        )
    }
}

/// What an instruction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `(D, A, B, keep)`, with scales `(D, A, B, SA, SB, keep)`: a matrix product added to D.
    Matrix(Matrix),
    /// `(fragment, shared)`: loads matrices of eight rows of 16 bytes, those of 16-bit elements
    /// also transposed.
    LoadMatrix,
    /// `(shared, fragment)`: stores 8x8 matrices of 16-bit elements.
    StoreMatrix,
    /// `(shared, global)`: the team's threads copy chunks of so many bytes, asynchronously; zero
    /// outside.
    CopyAsync(i64),
    /// `()`: closes this thread's group of asynchronous copies.
    CopyCommit,
    /// `(n)`: all but the last n groups of this thread's asynchronous copies are done.
    CopyWait,
    /// `(barrier)`: one arrival for each thread, once its asynchronous copies so far are done.
    /// Whoever waits for it sees them as ordinary writes.
    CopyArrive,
    /// `(shared, global, barrier)`: a box by the copy engine; zero outside. The barrier counts
    /// its bytes.
    BoxLoad,
    /// `(shared, global, barrier, blocks)`: as a box load, to the same place in the shared memory
    /// of each of these blocks of the cluster; the same barrier of each counts its bytes.
    BoxMulticast,
    /// `(shared, global, barrier)`: as a box load; the barrier of the first block of the pair
    /// counts its bytes.
    BoxPair,
    /// `(global, shared)`: a box by the copy engine; nothing outside.
    BoxStore,
    /// `()`: closes this thread's group of box stores.
    BoxCommit,
    /// `(n)`: all but the last n groups of box stores have read shared memory.
    BoxWaitRead,
    /// `(barrier)`: one arrival for each thread.
    Arrive,
    /// `(barrier, blocks)`: one arrival for each thread at this barrier of each of these blocks of
    /// the cluster.
    ArriveCluster,
    /// `(barrier, bytes)`: one arrival, and so many bytes are awaited in this phase.
    Expect,
    /// `(barrier, parity)`: blocks while the phase of this parity is not complete.
    Wait,
    /// `()`: register writes before it come before matrix instructions after it.
    MatrixFence,
    /// `()`: closes the group of asynchronous matrix instructions.
    MatrixCommit,
    /// `(n)`: all but the last n groups of matrix instructions are done.
    MatrixWait,
    /// `(fragment, tensor)`: loads so many columns of tensor memory, each warp those of its 32
    /// lanes, asynchronously.
    TensorLoad(i64),
    /// `(tensor, shared)`: copies the scales of a block of rows from the shared memory of so many
    /// blocks to the tensor memory of each.
    ScaleCopy(i64),
    /// `()`: this thread's loads of tensor memory are done.
    TensorWait,
    /// `(barrier)`: one arrival when all matrix instructions that this thread has issued are done.
    TensorCommit,
    /// `(barrier, blocks)`: as a commit, at this barrier of each of these blocks of the cluster.
    TensorCommitCluster,
    /// `(barrier, blocks)`: as a commit at this barrier of each of these blocks, of instructions of
    /// a pair.
    TensorCommitPair,
    /// `()`: what this thread did with tensor memory comes before what others do with it after
    /// they have met this thread.
    TensorBefore,
    /// `()`: what this thread does with tensor memory from now on comes after what those did that
    /// it has met.
    TensorAfter,
    /// `(shared, barrier)`: asks whether this block, or its cluster, may take the place of one of
    /// the grid that has not begun. The answer comes asynchronously, as [`ANSWER_BYTES`] in shared
    /// memory that the barrier counts. Nobody asks again once an answer was no.
    Take,
    /// `(shared, barrier)`: the same; the answer comes to the same place of all blocks of the
    /// cluster, and the same barrier of each counts its bytes.
    TakeMulticast,
    /// `(shared)`: reads an answer: what is taken is the next iteration of the
    /// [`crate::kernel::device::Taking`] around.
    Answer,
    /// `()`: writes to shared memory become visible to copy engine and tensor cores.
    ProxyFence,
    /// `()`: every thread of the team arrives and waits.
    Sync,
    /// What nodes of a kernel stand for: no call names it.
    Implied,
}

/// What an operand of a call must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A part of a fragment, of the layout of a matrix instruction's operand where one is given.
    Fragment(Option<Part>),
    /// A tile of a shared buffer.
    Shared,
    /// A tile of a buffer in tensor memory.
    Tensor,
    /// A tile of one of the kernel's buffers.
    Global,
    /// One slot of a barrier.
    Barrier,
    /// Blocks of the cluster: a tile of [`crate::kernel::device::CLUSTER`].
    Blocks,
    /// An integer known when the code is made.
    Constant,
    /// An integer.
    Value,
}

impl Action {
    /// The operands of a call, in order; `None` where no call is possible.
    #[must_use]
    pub const fn wants(&self) -> Option<&'static [Want]> {
        use Want::{Barrier, Blocks, Constant, Fragment, Global, Shared, Tensor, Value};
        Some(match self {
            Self::Matrix(Matrix { tensor: true, scales: Some(_), .. }) => {
                &[Tensor, Shared, Shared, Tensor, Tensor, Value]
            }
            Self::Matrix(Matrix { tensor: true, .. }) => &[Tensor, Shared, Shared, Value],
            Self::Matrix(Matrix { shared: true, fragment_a: true, .. }) => {
                &[Fragment(Some(Part::D)), Fragment(Some(Part::A)), Shared, Value]
            }
            Self::Matrix(Matrix { shared: true, .. }) => {
                &[Fragment(Some(Part::D)), Shared, Shared, Value]
            }
            Self::Matrix(_) => {
                &[Fragment(Some(Part::D)), Fragment(Some(Part::A)), Fragment(Some(Part::B)), Value]
            }
            Self::LoadMatrix => &[Fragment(None), Shared],
            Self::StoreMatrix => &[Shared, Fragment(None)],
            Self::CopyAsync(_) => &[Shared, Global],
            Self::BoxLoad | Self::BoxPair => &[Shared, Global, Barrier],
            Self::BoxMulticast => &[Shared, Global, Barrier, Blocks],
            Self::BoxStore => &[Global, Shared],
            Self::CopyWait | Self::BoxWaitRead | Self::MatrixWait => &[Constant],
            Self::TensorLoad(_) => &[Fragment(None), Tensor],
            Self::ScaleCopy(_) => &[Tensor, Shared],
            Self::Arrive | Self::CopyArrive | Self::TensorCommit => &[Barrier],
            Self::ArriveCluster | Self::TensorCommitCluster | Self::TensorCommitPair => {
                &[Barrier, Blocks]
            }
            Self::Take | Self::TakeMulticast => &[Shared, Barrier],
            Self::Answer => &[Shared],
            Self::Expect => &[Barrier, Constant],
            Self::Wait => &[Barrier, Value],
            Self::CopyCommit
            | Self::BoxCommit
            | Self::MatrixFence
            | Self::MatrixCommit
            | Self::TensorWait
            | Self::TensorBefore
            | Self::TensorAfter
            | Self::ProxyFence
            | Self::Sync => &[],
            Self::Implied => return None,
        })
    }
}

impl Action {
    /// Whether it is for pairs of blocks, which all such instructions of a kernel are or none.
    #[must_use]
    pub const fn paired(&self) -> bool {
        match self {
            Self::BoxPair | Self::TensorCommitPair => true,
            Self::Matrix(Matrix { blocks, .. }) | Self::ScaleCopy(blocks) => *blocks > 1,
            _other => false,
        }
    }
}

/// An entry of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What kernels call it.
    pub name: String,
    /// The targets that have it.
    pub targets: &'static [Target],
    /// Which threads execute it together.
    pub issue: Issue,
    /// What it does.
    pub action: Action,
    /// How it is written.
    pub code: Code,
}

/// The layout in registers that a name such as `mma.m16n8k16.f32.bf16.bf16.a` stands for, or
/// `tcgen05.ld.32x32b.x32.d`.
#[must_use]
pub fn layout(name: &str) -> Option<FragmentLayout> {
    let (instruction, part) = part_of(name)?;
    match (instruction.action, part) {
        (Action::Matrix(matrix), _) => matrix.layout(part),
        (Action::TensorLoad(columns), Part::D) => Some(tensor_memory::loaded(columns)),
        _ => None,
    }
}

/// The instruction and the operand that such a name stands for.
#[must_use]
pub fn part_of(name: &str) -> Option<(&'static Instruction, Part)> {
    let (instruction, part) = name.rsplit_once('.')?;
    let part = match part {
        "a" => Part::A,
        "b" => Part::B,
        "d" => Part::D,
        _ => return None,
    };
    Some((find(instruction)?, part))
}

#[cfg(test)]
mod tests;
