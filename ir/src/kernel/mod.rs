//! The Kernel: *one explicit device program* of loops, guards and stores, for a processor or a GPU.
//!
//! Meaning: nodes run in order. A `Parallel` loop's iterations may run at the same time on
//! several threads, a `Vector` loop's in lockstep lanes, a `Mapped` loop's on blocks or threads of
//! a GPU; all only where the verifier agreed. A launch begins at the outermost mapped loop, loops
//! and guards around it are the host's ([`HostNode`]), and a launch ends before the next begins.
//! Values are typed: every conversion is written out.
//! A local buffer belongs to one iteration of the loops around it: inside block loops and outside
//! thread loops it is memory that the threads of a block share, or registers of theirs.
//! Keeps: a plain value whose text form parses back to it.

mod bind;
pub mod device;
mod eval;
mod host;
mod parse;
mod places;
mod print;

use crate::affine::Name;
use crate::dtype::DType;
use crate::expr::{BinOp, Literal, Rounding, UnOp};
use crate::nest::{AssignOp, Order, Role};
use crate::target::Place;
use serde::{Deserialize, Serialize};

pub use host::HostNode;
pub use places::Places;

/// An integer expression over loop variables and parameters (64 bits, never overflowing in a
/// verified kernel).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Index {
    /// A constant.
    Const(i64),
    /// A loop variable or parameter.
    Var(Name),
    /// Sum.
    Add(Box<Index>, Box<Index>),
    /// Difference.
    Sub(Box<Index>, Box<Index>),
    /// Product with a constant.
    Mul(i64, Box<Index>),
    /// Quotient by a positive constant, rounded down.
    FloorDiv(Box<Index>, i64),
    /// Remainder by a positive constant, in `0..divisor`.
    Mod(Box<Index>, i64),
    /// Smaller of two.
    Min(Box<Index>, Box<Index>),
    /// Larger of two.
    Max(Box<Index>, Box<Index>),
    /// One of two by a condition.
    Select(Box<Condition>, Box<Index>, Box<Index>),
}

/// A condition on indices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `a >= b`.
    Ge(Index, Index),
    /// `a == b`.
    Eq(Index, Index),
    /// Every one holds; none is true.
    All(Vec<Condition>),
    /// Some holds; none is false.
    Any(Vec<Condition>),
}

/// A typed expression; `I` is the index type (`Affine` in nests, [`Index`] in kernels).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed<I> {
    /// The type of the value.
    pub dtype: DType,
    /// How it is made.
    pub kind: TypedKind<I>,
}

/// How a typed value is made. Operands have the result's type except where noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypedKind<I> {
    /// A number, rounded to nearest-even to `dtype`.
    Literal(Literal),
    /// An integer value of an index, converted to `dtype` (rounded to nearest-even).
    Index(I),
    /// An array element; `dtype` is the array's.
    Read {
        /// The array.
        array: Name,
        /// One index per dimension.
        indices: Vec<I>,
    },
    /// `Exponent` and `IsFinite` take any float; the rest the result's type.
    Unary(UnOp, Box<Typed<I>>),
    /// Comparisons take two operands of one type; `Ldexp`'s second operand is an i32; the rest
    /// take the result's type.
    Binary(BinOp, Box<Typed<I>>, Box<Typed<I>>),
    /// a·b + c rounded once.
    Fma(Box<Typed<I>>, Box<Typed<I>>, Box<Typed<I>>),
    /// Condition (bool), then, otherwise.
    Select(Box<Typed<I>>, Box<Typed<I>>, Box<Typed<I>>),
    /// A conversion from the operand's type.
    Convert {
        /// Rounding where it is inexact.
        rounding: Rounding,
        /// Clamp to the finite range.
        saturate: bool,
        /// The operand.
        value: Box<Typed<I>>,
    },
    /// The operand's bits.
    Bitcast(Box<Typed<I>>),
}

/// A typed statement instance: `target = convert(combine(convert(target), value))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store<I> {
    /// The statement this comes from.
    pub statement: Name,
    /// The array written.
    pub array: Name,
    /// The array's element type.
    pub dtype: DType,
    /// One index per dimension.
    pub indices: Vec<I>,
    /// How the value is combined; in the value's type.
    pub op: AssignOp,
    /// The value; its type is the statement's evaluation type.
    pub value: Typed<I>,
    /// Runs only where true (bool).
    pub guard: Option<Typed<I>>,
    /// Freedom of association.
    pub order: Order,
    /// No contraction into fma.
    pub strict: bool,
}

/// How the iterations of a loop run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopMode {
    /// One after another.
    #[default]
    Serial,
    /// On several threads.
    Parallel,
    /// As vector lanes.
    Vector,
    /// One after another, the body repeated.
    Unroll,
    /// On blocks or threads of a GPU.
    Mapped(Place),
}

/// A loop `for var in lower..upper step step`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLoop {
    /// The variable, unique in the kernel.
    pub var: Name,
    /// The schedule's loop it comes from.
    pub label: Name,
    /// First value.
    pub lower: Index,
    /// Exclusive end.
    pub upper: Index,
    /// Distance, positive.
    pub step: i64,
    /// How iterations run.
    pub mode: LoopMode,
    /// What runs in each.
    pub body: Vec<KernelNode>,
}

/// An item of a kernel's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelNode {
    /// A loop.
    Loop(KernelLoop),
    /// A guard: condition, then, otherwise.
    If(Condition, Vec<KernelNode>, Vec<KernelNode>),
    /// A store.
    Store(Store<Index>),
    /// A buffer of its own for a piece of the body.
    Local(Local),
    /// A node of a block program.
    Device(Box<device::Device>),
}

impl From<device::Device> for KernelNode {
    fn from(node: device::Device) -> Self {
        Self::Device(Box::new(node))
    }
}

/// Most bytes that the local buffers around one statement may have together, each rounded up to
/// [`LOCAL_ALIGN`].
pub const MAX_LOCAL_BYTES: i64 = 16 << 20;

/// Bytes whose multiples are the addresses of local buffers.
pub const LOCAL_ALIGN: i64 = 64;

/// A buffer that exists while its body runs, row-major: one for each iteration (and thread) of the
/// loops around it. Its contents are undefined when the body starts.
///
/// Where it is spread `across` threads, its first dimensions are the numbers of a thread, and each
/// thread touches only what has its own number: the rest of the dimensions lies in its registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Its name; no buffer and no local around it has the same.
    pub name: Name,
    /// Element type.
    pub dtype: DType,
    /// Extents in elements, positive.
    pub shape: Vec<i64>,
    /// The places of thread loops that its first dimensions are the numbers of, none twice.
    pub across: Vec<Place>,
    /// What runs while it exists.
    pub body: Vec<KernelNode>,
}

impl Local {
    /// How much memory it takes, in bytes, rounded up to [`LOCAL_ALIGN`]; `None` where an extent
    /// is not positive or the size exceeds 64 bits.
    #[must_use]
    pub fn bytes(&self) -> Option<i64> {
        self.bytes_from(0)
    }

    /// How much of it each thread has where it is spread across threads; as [`Self::bytes`].
    #[must_use]
    pub fn bytes_per_thread(&self) -> Option<i64> {
        self.bytes_from(self.across.len())
    }

    fn bytes_from(&self, dimension: usize) -> Option<i64> {
        let mut bytes = i64::try_from(self.dtype.size_bytes()).ok()?;
        for &extent in self.shape.iter().skip(dimension) {
            bytes = bytes.checked_mul(Some(extent).filter(|e| *e > 0)?)?;
        }
        Some(bytes.checked_add(LOCAL_ALIGN - 1)? / LOCAL_ALIGN * LOCAL_ALIGN)
    }
}

/// An array a kernel uses; row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its name.
    pub name: Name,
    /// What it is to the caller.
    pub role: Role,
    /// Element type.
    pub dtype: DType,
    /// Extents in elements, over the parameters.
    pub shape: Vec<Index>,
    /// The caller's extents, where `shape` has one for several neighbours of them: numbers.
    pub of: Option<Vec<i64>>,
}

impl Buffer {
    /// Whether elements share bytes, so that no thread can write one by itself.
    #[must_use]
    pub const fn packed(&self) -> bool {
        self.dtype.packed()
    }

    /// The extents that the caller's array has.
    #[must_use]
    pub fn of_caller(&self) -> Vec<Index> {
        let given = |of: &Vec<i64>| of.iter().map(|e| Index::Const(*e)).collect();
        self.of.as_ref().map_or_else(|| self.shape.clone(), given)
    }

    /// Whether each extent is the product of as many of the caller's, which are next to each
    /// other.
    #[must_use]
    pub fn folds(&self) -> bool {
        let Some(of) = &self.of else { return true };
        let mut of = of.iter();
        let mut shape = self.shape.iter();
        let all = shape.all(|extent| {
            let Index::Const(extent) = extent else { return false };
            let mut product = 1_i64;
            while product < *extent {
                let Some(next) = of.next() else { return false };
                match product.checked_mul(*next).filter(|p| *next > 0 && p <= extent) {
                    Some(p) => product = p,
                    None => return false,
                }
            }
            product == *extent
        });
        // what is left are extents of one element
        all && of.all(|e| *e == 1)
    }
}

/// One explicit device program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Its entry point's name.
    pub name: Name,
    /// Parameters (i64), in the order of the launch arguments.
    pub params: Vec<Name>,
    /// Buffers, in the order of the launch arguments.
    pub buffers: Vec<Buffer>,
    /// What runs.
    pub body: Vec<KernelNode>,
}
