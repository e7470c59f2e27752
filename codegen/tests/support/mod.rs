//! Building kernels by hand and calling compiled ones.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use warploom_codegen::host::{HostOptions, compile};
use warploom_ir::abi::{HostArg, HostCode, Pool};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal};
use warploom_ir::kernel::*;
use warploom_ir::nest::{AssignOp, Order, Role};
use warploom_ir::value::Scalar;
use warploom_verify::Verified;

/// A fresh thread per task.
pub struct Threads(pub usize);

impl Pool for Threads {
    fn threads(&self) -> usize {
        self.0
    }

    fn run(&self, n: usize, task: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|s| {
            for i in 0..n {
                s.spawn(move || task(i));
            }
        });
    }
}

/// Bytes aligned as the kernel wants them.
pub struct Bytes {
    store: Vec<u8>,
    start: usize,
    len: usize,
}

impl Bytes {
    pub fn new(data: &[u8]) -> Self {
        let store = vec![0; data.len() + 64];
        let start = store.as_ptr().align_offset(64);
        let mut out = Self { store, start, len: data.len() };
        out.get_mut().copy_from_slice(data);
        out
    }

    pub fn get(&self) -> &[u8] {
        &self.store[self.start..self.start + self.len]
    }

    pub fn get_mut(&mut self) -> &mut [u8] {
        &mut self.store[self.start..self.start + self.len]
    }

    pub fn f32(data: &[f32]) -> Self {
        Self::new(&data.iter().flat_map(|v| v.to_ne_bytes()).collect::<Vec<_>>())
    }

    pub fn to_f32(&self) -> Vec<f32> {
        self.get()
            .chunks_exact(4)
            .map(|c| f32::from_ne_bytes(c.try_into().expect("4 bytes")))
            .collect()
    }
}

pub fn sealed(k: Kernel) -> Verified<Kernel> {
    warploom_verify::kernel::kernel(k).unwrap_or_else(|e| panic!("{}", e[0]))
}

/// Compiles and calls; buffers the kernel writes are changed.
pub fn call(k: &Kernel, buffers: &mut [Bytes], params: &[i64], threads: usize) {
    let code = compile(&sealed(k.clone()), &HostOptions::default()).expect("compiles");
    let mut args: Vec<HostArg<'_>> = buffers
        .iter_mut()
        .zip(&k.buffers)
        .map(|(b, d)| match d.role {
            Role::In | Role::Const(_) => HostArg::Read(b.get()),
            Role::Out | Role::InOut | Role::Temp => HostArg::Write(b.get_mut()),
        })
        .collect();
    code.call(&mut args, params, &Threads(threads)).expect("runs");
}

pub fn v(name: &str) -> Index {
    Index::Var(name.into())
}

pub fn c(value: i64) -> Index {
    Index::Const(value)
}

pub fn add(a: Index, b: Index) -> Index {
    Index::Add(Box::new(a), Box::new(b))
}

pub fn mul(f: i64, a: Index) -> Index {
    Index::Mul(f, Box::new(a))
}

pub fn read(dtype: DType, array: &str, indices: Vec<Index>) -> Typed<Index> {
    Typed { dtype, kind: TypedKind::Read { array: array.into(), indices } }
}

pub fn bin(op: BinOp, a: Typed<Index>, b: Typed<Index>) -> Typed<Index> {
    let dtype = if op.is_comparison() { DType::Bool } else { a.dtype };
    Typed { dtype, kind: TypedKind::Binary(op, Box::new(a), Box::new(b)) }
}

pub fn lit(dtype: DType, v: f64) -> Typed<Index> {
    Typed { dtype, kind: TypedKind::Literal(Literal::Float(v)) }
}

pub fn store(
    dtype: DType,
    array: &str,
    indices: Vec<Index>,
    op: AssignOp,
    value: Typed<Index>,
) -> KernelNode {
    KernelNode::Store(Store {
        statement: "S".into(),
        array: array.into(),
        dtype,
        indices,
        op,
        value,
        guard: None,
        order: Order::Fixed,
        strict: false,
    })
}

pub fn for_(
    var: &str,
    lower: Index,
    upper: Index,
    mode: LoopMode,
    body: Vec<KernelNode>,
) -> KernelNode {
    KernelNode::Loop(KernelLoop {
        var: var.into(),
        label: var.into(),
        lower,
        upper,
        step: 1,
        mode,
        body,
    })
}

pub fn buffer(name: &str, role: Role, dtype: DType, shape: Vec<Index>) -> Buffer {
    Buffer { name: name.into(), role, dtype, shape }
}

/// Small integers as floats: sums and products of them are exact.
pub fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            ((s >> 40) % 17) as f32 - 8.0
        })
        .collect()
}

/// `C[M, N] += A[M, K] * B[K, N]` in tiles of 6 by 16, the inner loop over k serial.
/// M and N must be multiples of the tile.
pub fn matmul(outer: LoopMode) -> Kernel {
    let f = DType::F32;
    let (m, n) = (add(mul(6, v("m.0")), v("m.1")), add(mul(16, v("n.0")), v("n.1")));
    let product = bin(
        BinOp::Mul,
        read(f, "A", vec![m.clone(), v("k")]),
        read(f, "B", vec![v("k"), n.clone()]),
    );
    let update = store(f, "C", vec![m, n], AssignOp::Add, product);
    let lanes = for_("n.1", c(0), c(16), LoopMode::Vector, vec![update]);
    let rows = for_("m.1", c(0), c(6), LoopMode::Unroll, vec![lanes]);
    let k = for_("k", c(0), v("K"), LoopMode::Serial, vec![rows]);
    let tiles = |size, upper: &str| Index::FloorDiv(Box::new(v(upper)), size);
    let cols = for_("n.0", c(0), tiles(16, "N"), LoopMode::Serial, vec![k]);
    let body = vec![for_("m.0", c(0), tiles(6, "M"), outer, vec![cols])];
    Kernel {
        name: "matmul".into(),
        params: vec!["M".into(), "N".into(), "K".into()],
        buffers: vec![
            buffer("A", Role::In, f, vec![v("M"), v("K")]),
            buffer("B", Role::In, f, vec![v("K"), v("N")]),
            buffer("C", Role::InOut, f, vec![v("M"), v("N")]),
        ],
        body,
    }
}

/// The elements of a buffer.
pub fn scalars(t: DType, b: &Bytes) -> Vec<Scalar> {
    b.get()
        .chunks_exact(t.size_bytes())
        .map(|c| {
            let mut raw = [0; 8];
            raw[..c.len()].copy_from_slice(c);
            Scalar::from_bits(t, u64::from_le_bytes(raw))
        })
        .collect()
}
