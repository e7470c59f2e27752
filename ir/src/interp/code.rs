//! Typed stores with names resolved to slots, and the memory they run on.
//!
//! Keeps: every access is checked against the array's extents, every read against what has been
//! written.

use std::collections::BTreeMap;

use super::domain::Domain;
use crate::affine::Name;
use crate::diag::{Diagnostic, Result, Source, Span};
use crate::dtype::DType;
use crate::expr::{BinOp, Rounding, UnOp};
use crate::kernel::{Store, Typed, TypedKind};
use crate::nest::{AssignOp, Keeps, Role};
use crate::tensor::Tensor;
use crate::value::{Scalar, UndefinedOp};

/// The most elements all arrays of a run may have together.
const MAX_ELEMENTS: usize = 1 << 30;

/// An index expression over slots.
pub(crate) trait IndexCode {
    /// The value; `None` beyond 64 bits.
    fn eval(&self, env: &[i64]) -> Option<i64>;
}

/// An array in memory.
pub(crate) struct Buffer<V> {
    pub(crate) name: Name,
    pub(crate) role: Role,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// The extents of the caller's array.
    of: Vec<usize>,
    pub(crate) values: Vec<V>,
    /// Which elements hold a value; `None` where all do.
    pub(crate) defined: Option<Vec<bool>>,
    /// Of a local buffer: the slot that holds the position of its first element.
    pub(crate) base: Option<usize>,
    /// A local buffer outside its body, which no name means.
    pub(crate) hidden: bool,
}

/// What an array of a program is: the same for nests and kernels.
pub(crate) struct Declared<'a> {
    pub(crate) name: &'a Name,
    pub(crate) role: &'a Role,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// The extents of the caller's array, of as many elements.
    pub(crate) of: Vec<usize>,
}

/// All arrays of a run.
pub(crate) struct Memory<V> {
    pub(crate) buffers: Vec<Buffer<V>>,
}

fn input_error(code: &'static str, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::input(code, message))
}

/// The value of a parameter or the extent of an array as a size.
pub(crate) fn extent(array: &Name, value: Option<i64>) -> Result<usize> {
    value.and_then(|v| usize::try_from(v).ok()).ok_or_else(|| {
        input_error("E0511", format!("an extent of `{array}` is negative, too large or unknown"))
    })
}

impl<V: Copy> Memory<V> {
    /// Memory for these arrays, with the inputs and constants loaded.
    ///
    /// # Errors
    /// A missing, superfluous or misshapen input, a constant table of the wrong length, sizes
    /// beyond what an interpreter can hold.
    pub(crate) fn new<D: Domain<V = V>>(
        declared: &[Declared<'_>],
        inputs: &BTreeMap<Name, Tensor>,
    ) -> Result<Self> {
        let given = |d: &Declared<'_>| matches!(d.role, Role::In | Role::InOut);
        for name in inputs.keys() {
            if !declared.iter().any(|d| d.name == name && given(d)) {
                return Err(input_error("E0513", format!("`{name}` is no input")));
            }
        }
        let mut total = 0_usize;
        let mut buffers = Vec::new();
        for d in declared {
            let len = d.shape.iter().try_fold(1_usize, |n, &e| n.checked_mul(e));
            let len = if d.shape.contains(&0) { Some(0) } else { len };
            total =
                len.and_then(|n| total.checked_add(n)).filter(|&n| n <= MAX_ELEMENTS).ok_or_else(
                    || input_error("E0511", "the arrays are too large to interpret".to_owned()),
                )?;
            buffers.push(Self::buffer::<D>(d, len.unwrap_or(0), inputs.get(d.name))?);
        }
        Ok(Self { buffers })
    }

    fn buffer<D: Domain<V = V>>(
        d: &Declared<'_>,
        len: usize,
        input: Option<&Tensor>,
    ) -> Result<Buffer<V>> {
        let Declared { name, role, dtype, shape, of } = d;
        let (values, defined) = match role {
            Role::Out | Role::Temp => {
                (vec![D::load(Scalar::zero(*dtype)); len], Some(vec![false; len]))
            }
            Role::Const(table) if table.len() != len => {
                let message = format!("`{name}` has {len} elements and {} values", table.len());
                return Err(input_error("E0514", message));
            }
            Role::Const(table) => (table.iter().map(|&v| D::literal(*dtype, v)).collect(), None),
            Role::In | Role::InOut => {
                let tensor = input.ok_or_else(|| {
                    input_error("E0513", format!("no value is given for the input `{name}`"))
                })?;
                if tensor.dtype() != *dtype || tensor.shape() != of {
                    return Err(input_error(
                        "E0514",
                        format!(
                            "`{name}` is {dtype}{of:?} and {}{:?} is given",
                            tensor.dtype(),
                            tensor.shape()
                        ),
                    ));
                }
                ((0..len).map(|i| D::load(tensor.get_flat(i))).collect(), None)
            }
        };
        Ok(Buffer {
            name: (*name).clone(),
            role: (*role).clone(),
            dtype: *dtype,
            shape: shape.clone(),
            of: of.clone(),
            values,
            defined,
            base: None,
            hidden: false,
        })
    }

    /// Adds a local buffer without elements, whose first element `env[base]` tells; gives its
    /// position.
    ///
    /// # Errors
    /// The name is in use.
    pub(crate) fn declare(
        &mut self,
        name: &Name,
        dtype: DType,
        shape: Vec<usize>,
        base: usize,
    ) -> Result<usize> {
        if self.find(name).is_ok() {
            return Err(input_error("E0511", format!("there are two arrays `{name}`")));
        }
        self.buffers.push(Buffer {
            name: name.clone(),
            role: Role::Temp,
            dtype,
            of: shape.clone(),
            shape,
            values: Vec::new(),
            defined: Some(Vec::new()),
            base: Some(base),
            hidden: false,
        });
        Ok(self.buffers.len() - 1)
    }

    /// Gives a local buffer `copies` times its elements, none defined; gives the elements of one.
    ///
    /// # Errors
    /// More elements than an interpreter can hold.
    pub(crate) fn refresh<D: Domain<V = V>>(
        &mut self,
        array: usize,
        copies: usize,
    ) -> Result<usize> {
        let buffer = &mut self.buffers[array];
        let len = buffer.shape.iter().try_fold(1_usize, |n, &e| n.checked_mul(e));
        let total = len.and_then(|n| n.checked_mul(copies)).filter(|&n| n <= MAX_ELEMENTS);
        let (Some(len), Some(total)) = (len, total) else {
            let message = format!("the local `{}` is too large to interpret", buffer.name);
            return Err(input_error("E0511", message));
        };
        buffer.values.resize(total, D::load(Scalar::zero(buffer.dtype)));
        buffer.defined = Some(vec![false; total]);
        Ok(len)
    }

    /// The position of the array of this name.
    pub(crate) fn find(&self, name: &Name) -> Result<usize> {
        self.buffers
            .iter()
            .position(|b| b.name == *name && !b.hidden)
            .ok_or_else(|| input_error("E0307", format!("there is no array `{name}`")))
    }

    /// The arrays the caller gets back; elements never written hold the poison of
    /// [`Tensor::poisoned`].
    pub(crate) fn outputs<D: Domain<V = V>>(self) -> Result<BTreeMap<Name, Tensor>> {
        let mut out = BTreeMap::new();
        for b in self.buffers {
            if matches!(b.role, Role::Out | Role::InOut) {
                let mut tensor = Tensor::poisoned(b.dtype, &b.of)?;
                for (i, &value) in b.values.iter().enumerate() {
                    if b.defined.as_ref().is_none_or(|d| d[i]) {
                        tensor.set_flat(i, D::scalar(value, b.dtype));
                    }
                }
                out.insert(b.name, tensor);
            }
        }
        Ok(out)
    }
}

/// A typed expression with slots for names.
enum Code<X, V> {
    Value(V),
    Index(X, DType),
    Read(Place<X>),
    Unary(UnOp, Box<Code<X, V>>),
    Binary(BinOp, Box<Code<X, V>>, Box<Code<X, V>>),
    Fma(Box<[Code<X, V>; 3]>),
    Select(Box<[Code<X, V>; 3]>),
    Convert(Box<Convert<X, V>>),
    Bitcast { from: DType, to: DType, value: Box<Code<X, V>> },
}

/// A conversion, before which so many operations rounded to the type it starts from.
struct Convert<X, V> {
    from: DType,
    to: DType,
    rounding: Rounding,
    saturate: bool,
    operations: u32,
    value: Code<X, V>,
}

/// An array element.
struct Place<X> {
    array: usize,
    indices: Vec<X>,
}

/// A store with slots for names; `V` is the domain's value.
pub(crate) struct StoreCode<X, V> {
    /// The statement.
    pub(crate) name: Name,
    /// The loop variables around it and their slots, outermost first.
    pub(crate) scope: Vec<(Name, usize)>,
    /// Where the statement was written.
    pub(crate) span: Span,
    /// The text `span` points into.
    pub(crate) source: Source,
    dtype: DType,
    target: Place<X>,
    op: AssignOp,
    value: Code<X, V>,
    value_type: DType,
    /// How many operations of the value's evaluation round.
    operations: u32,
    guard: Option<Code<X, V>>,
    /// What the statement's additions may drop.
    pub(crate) keeps: Option<Keeps>,
}

impl<X, V> StoreCode<X, V> {
    /// True if it reads the element it writes.
    pub(crate) const fn is_update(&self) -> bool {
        self.op.is_update()
    }
}

/// A value on its way to an element.
pub(crate) struct Pending<V> {
    array: usize,
    at: usize,
    value: V,
}

impl<V> Pending<V> {
    /// The element: array and position.
    pub(crate) const fn place(&self) -> (usize, usize) {
        (self.array, self.at)
    }
}

type Faulty<T> = Result<T, Box<Fault>>;

/// What goes wrong while a store runs.
enum Fault {
    Bounds { array: usize, indices: Vec<i64> },
    Undefined { array: usize, at: usize },
    Overflow,
    Op(UndefinedOp),
}

impl From<UndefinedOp> for Box<Fault> {
    fn from(op: UndefinedOp) -> Self {
        Self::new(Fault::Op(op))
    }
}

impl<X: IndexCode> Place<X> {
    /// The position in row-major order.
    fn locate<V>(&self, env: &[i64], memory: &Memory<V>) -> Faulty<usize> {
        let Buffer { shape, base, .. } = &memory.buffers[self.array];
        let mut at = 0;
        for (index, &extent) in self.indices.iter().zip(shape) {
            let i = index.eval(env).ok_or(Fault::Overflow)?;
            match usize::try_from(i) {
                Ok(i) if i < extent => at = at * extent + i,
                Ok(_) | Err(_) => {
                    let indices = self.indices.iter().map(|x| x.eval(env).unwrap_or(i64::MAX));
                    return Err(Box::new(Fault::Bounds {
                        array: self.array,
                        indices: indices.collect(),
                    }));
                }
            }
        }
        Ok(at + base.map_or(0, |slot| env[slot] as usize))
    }

    fn read<V: Copy>(&self, env: &[i64], memory: &Memory<V>) -> Faulty<V> {
        let at = self.locate(env, memory)?;
        memory.read(self.array, at)
    }
}

impl<V: Copy> Memory<V> {
    fn read(&self, array: usize, at: usize) -> Faulty<V> {
        let buffer = &self.buffers[array];
        match &buffer.defined {
            Some(defined) if !defined[at] => Err(Box::new(Fault::Undefined { array, at })),
            Some(_) | None => Ok(buffer.values[at]),
        }
    }

    /// Writes an element.
    pub(crate) fn commit(&mut self, p: &Pending<V>) {
        let buffer = &mut self.buffers[p.array];
        buffer.values[p.at] = p.value;
        if let Some(defined) = &mut buffer.defined {
            defined[p.at] = true;
        }
    }
}

/// Roundings that stand for the error of a function that is not correctly rounded.
const FUNCTION: u32 = 4;

impl<X: IndexCode, V: Copy> Code<X, V> {
    /// How many operations of an evaluation round to its own type.
    fn operations(&self) -> u32 {
        match self {
            Self::Value(_) | Self::Index(..) | Self::Read(_) => 0,
            Self::Unary(op, a) => match op {
                UnOp::Exp
                | UnOp::Exp2
                | UnOp::Log
                | UnOp::Log2
                | UnOp::Sqrt
                | UnOp::Rsqrt
                | UnOp::Tanh
                | UnOp::Erf => FUNCTION + a.operations(),
                UnOp::Neg
                | UnOp::Abs
                | UnOp::Not
                | UnOp::Rint
                | UnOp::Floor
                | UnOp::Ceil
                | UnOp::Trunc
                | UnOp::Exponent
                | UnOp::IsFinite => a.operations(),
            },
            Self::Binary(BinOp::Pow, a, b) => FUNCTION + a.operations() + b.operations(),
            Self::Binary(BinOp::Min | BinOp::Max | BinOp::Ldexp, a, b) => {
                a.operations() + b.operations()
            }
            Self::Binary(_, a, b) => 1 + a.operations() + b.operations(),
            Self::Fma(abc) => 2 + abc.iter().map(Self::operations).sum::<u32>(),
            Self::Select(cab) => cab.iter().map(Self::operations).sum(),
            Self::Bitcast { value, .. } => value.operations(),
            // they are accounted for where the conversion is
            Self::Convert(_) => 0,
        }
    }

    fn eval<D: Domain<V = V>>(&self, env: &[i64], memory: &Memory<V>) -> Faulty<V> {
        Ok(match self {
            Self::Value(v) => *v,
            Self::Index(x, dtype) => D::index(*dtype, x.eval(env).ok_or(Fault::Overflow)?),
            Self::Read(place) => place.read(env, memory)?,
            Self::Unary(op, a) => D::unary(*op, a.eval::<D>(env, memory)?)?,
            Self::Binary(op, a, b) => {
                D::binary(*op, a.eval::<D>(env, memory)?, b.eval::<D>(env, memory)?)?
            }
            Self::Fma(abc) => {
                let [a, b, c] = &**abc;
                D::fma(
                    a.eval::<D>(env, memory)?,
                    b.eval::<D>(env, memory)?,
                    c.eval::<D>(env, memory)?,
                )?
            }
            Self::Select(cab) => {
                let [c, a, b] = &**cab;
                let holds = D::scalar(c.eval::<D>(env, memory)?, DType::Bool).bits() != 0;
                let (a, b) = (a.eval::<D>(env, memory)?, b.eval::<D>(env, memory)?);
                if holds { a } else { b }
            }
            Self::Convert(c) => {
                let value = c.value.eval::<D>(env, memory)?;
                let value = D::evaluated(value, c.operations, c.from);
                D::convert(value, c.from, c.to, c.rounding, c.saturate)
            }
            Self::Bitcast { from, to, value } => {
                D::bitcast(value.eval::<D>(env, memory)?, *from, *to).ok_or_else(|| {
                    Fault::Op(UndefinedOp {
                        op: format!("bitcast to {to}"),
                        types: from.to_string(),
                    })
                })?
            }
        })
    }
}

impl<X: IndexCode, V: Copy> StoreCode<X, V> {
    /// Resolves a typed store.
    ///
    /// # Errors
    /// An array that does not exist, a wrong rank, an ill-typed expression, or what `index` gives.
    pub(crate) fn new<I, D: Domain<V = V>>(
        store: &Store<I>,
        memory: &Memory<V>,
        scope: Vec<(Name, usize)>,
        index: &mut dyn FnMut(&I) -> Result<X>,
    ) -> Result<Self> {
        let target = place(&store.array, &store.indices, store.dtype, memory, index)?;
        let value = compile::<I, X, D>(&store.value, memory, index)?;
        let guard = store.guard.as_ref().map(|g| {
            expect_type(g.dtype, DType::Bool)?;
            compile::<I, X, D>(g, memory, index)
        });
        Ok(Self {
            name: store.statement.clone(),
            scope,
            span: Span::NONE,
            source: Source::default(),
            dtype: store.dtype,
            target,
            op: store.op,
            operations: value.operations(),
            value,
            value_type: store.value.dtype,
            guard: guard.transpose()?,
            keeps: None,
        })
    }

    fn run_inner<D: Domain<V = V>>(
        &self,
        env: &[i64],
        memory: &Memory<V>,
    ) -> Faulty<Option<Pending<V>>> {
        if let Some(guard) = &self.guard
            && D::scalar(guard.eval::<D>(env, memory)?, DType::Bool).bits() == 0
        {
            return Ok(None);
        }
        let value = self.value.eval::<D>(env, memory)?;
        let mut value = D::evaluated(value, self.operations, self.value_type);
        let at = self.target.locate(env, memory)?;
        if self.op.is_update() {
            let old = memory.read(self.target.array, at)?;
            let old = D::convert(old, self.dtype, self.value_type, Rounding::Nearest, false);
            value = D::combine(self.op, old, value, [self.value_type, self.dtype], self.keeps)?;
        }
        let value = D::store(value, self.value_type, self.dtype);
        Ok(Some(Pending { array: self.target.array, at, value }))
    }

    /// Evaluates the guard, the value and the combination; writes nothing.
    ///
    /// # Errors
    /// An access out of bounds, an undefined element, an undefined operation.
    pub(crate) fn evaluate<D: Domain<V = V>>(
        &self,
        env: &[i64],
        memory: &Memory<V>,
    ) -> Result<Option<Pending<V>>> {
        self.run_inner::<D>(env, memory).map_err(|fault| self.explain(&fault, env, memory))
    }

    #[cold]
    fn explain(&self, fault: &Fault, env: &[i64], memory: &Memory<V>) -> Box<Diagnostic> {
        let point: Vec<String> =
            self.scope.iter().map(|(n, slot)| format!("{n} = {}", env[*slot])).collect();
        let instance = format!("`{}` at ({})", self.name, point.join(", "));
        let d = match fault {
            Fault::Bounds { array, indices } => {
                let b = &memory.buffers[*array];
                let message = format!("`{}` is accessed outside its bounds", b.name);
                Diagnostic::input("E0515", message).witness(format!(
                    "{instance} accesses {}{indices:?}, and its extents are {:?}",
                    b.name, b.shape
                ))
            }
            Fault::Undefined { array, at } => {
                let b = &memory.buffers[*array];
                let mut rest = *at;
                let mut indices = vec![0; b.shape.len()];
                for (i, e) in indices.iter_mut().zip(&b.shape).rev() {
                    *i = rest % e;
                    rest /= e;
                }
                let message = format!("an element of `{}` is read before it is written", b.name);
                Diagnostic::input("E0516", message)
                    .witness(format!("{instance} reads {}{indices:?}", b.name))
            }
            Fault::Overflow => {
                Diagnostic::input("E0517", "an index does not fit 64 bits").witness(instance)
            }
            Fault::Op(op) => Diagnostic::input("E0518", op.to_string()).witness(instance),
        };
        Box::new(d.in_source(&self.source).label(self.span, "in this statement"))
    }
}

fn expect_type(got: DType, wanted: DType) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    Err(input_error("E0518", format!("a value of type {got} stands where {wanted} is wanted")))
}

fn place<I, X, V: Copy>(
    array: &Name,
    indices: &[I],
    dtype: DType,
    memory: &Memory<V>,
    index: &mut dyn FnMut(&I) -> Result<X>,
) -> Result<Place<X>> {
    let slot = memory.find(array)?;
    expect_type(dtype, memory.buffers[slot].dtype)?;
    let rank = memory.buffers[slot].shape.len();
    if rank != indices.len() {
        let message = format!("`{array}` has {rank} dimensions, not {}", indices.len());
        return Err(input_error("E0307", message));
    }
    Ok(Place { array: slot, indices: indices.iter().map(index).collect::<Result<_>>()? })
}

fn compile<I, X: IndexCode, D: Domain>(
    t: &Typed<I>,
    memory: &Memory<D::V>,
    index: &mut dyn FnMut(&I) -> Result<X>,
) -> Result<Code<X, D::V>> {
    let mut go = |t: &Typed<I>| compile::<I, X, D>(t, memory, index);
    Ok(match &t.kind {
        TypedKind::Literal(l) => Code::Value(D::literal(t.dtype, *l)),
        TypedKind::Index(i) => Code::Index(index(i)?, t.dtype),
        TypedKind::Read { array, indices } => {
            Code::Read(place(array, indices, t.dtype, memory, index)?)
        }
        TypedKind::Unary(op, a) => Code::Unary(*op, Box::new(go(a)?)),
        TypedKind::Binary(op, a, b) => Code::Binary(*op, Box::new(go(a)?), Box::new(go(b)?)),
        TypedKind::Fma(a, b, c) => Code::Fma(Box::new([go(a)?, go(b)?, go(c)?])),
        TypedKind::Select(c, a, b) => {
            expect_type(c.dtype, DType::Bool)?;
            expect_type(a.dtype, t.dtype)?;
            expect_type(b.dtype, t.dtype)?;
            Code::Select(Box::new([go(c)?, go(a)?, go(b)?]))
        }
        TypedKind::Convert { rounding, saturate, value } => {
            let (from, value) = (value.dtype, go(value)?);
            Code::Convert(Box::new(Convert {
                from,
                to: t.dtype,
                rounding: *rounding,
                saturate: *saturate,
                operations: value.operations(),
                value,
            }))
        }
        TypedKind::Bitcast(value) => {
            Code::Bitcast { from: value.dtype, to: t.dtype, value: Box::new(go(value)?) }
        }
    })
}
