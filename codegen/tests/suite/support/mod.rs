//! Building kernels by hand and calling compiled ones.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;

use warploom_codegen::host::{HostOptions, compile};
use warploom_ir::abi::{HostArg, HostCode, Pool};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding};
use warploom_ir::interp;
use warploom_ir::kernel::*;
use warploom_ir::nest::{AssignOp, Order, Role};
use warploom_ir::tensor::Tensor;
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
    Buffer { name: name.into(), role, dtype, shape, of: None }
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

/// Elements with these bits as an array has them.
pub fn held(t: DType, bits: &[u64]) -> Bytes {
    let mut all = Tensor::zeros(t, &[bits.len()]).expect("few");
    for (i, bits) in bits.iter().enumerate() {
        all.set_flat(i, Scalar::from_bits(t, *bits));
    }
    Bytes::new(all.bytes())
}

/// A value as kernels can write it: what would share bytes as f32.
pub fn written(e: Typed<Index>) -> Typed<Index> {
    if !e.dtype.packed() {
        return e;
    }
    let (rounding, saturate, value) = (Rounding::Nearest, false, Box::new(e));
    Typed { dtype: DType::F32, kind: TypedKind::Convert { rounding, saturate, value } }
}

/// The elements of a buffer, and one more where the last is half of its byte.
pub fn scalars(t: DType, b: &Bytes) -> Vec<Scalar> {
    if t.packed() {
        let halves = b.get().iter().flat_map(|b| [b & 0xf, b >> 4]);
        return halves.map(|bits| Scalar::from_bits(t, bits.into())).collect();
    }
    b.get()
        .chunks_exact(t.size_bytes())
        .map(|c| {
            let mut raw = [0; 8];
            raw[..c.len()].copy_from_slice(c);
            Scalar::from_bits(t, u64::from_le_bytes(raw))
        })
        .collect()
}

/// Runs a kernel both ways on small integers, so that every order of a sum gives the same.
pub fn same(k: &Kernel, params: &[i64]) {
    let sizes: BTreeMap<Name, i64> = k.params.iter().cloned().zip(params.iter().copied()).collect();
    let mut inputs = BTreeMap::new();
    let mut data = Vec::new();
    for (i, b) in k.buffers.iter().enumerate() {
        let extent =
            |e: &Index| e.eval(&|n| sizes.get(n).copied()).expect("a shape of the sizes") as usize;
        let shape: Vec<usize> = b.shape.iter().map(extent).collect();
        let count = shape.iter().product();
        let values: Vec<f64> = noise(count, i as u64 + 7).iter().map(|v| f64::from(*v)).collect();
        let t = Tensor::from_f64s(b.dtype, &shape, &values).expect("fits");
        data.push(Bytes::new(t.bytes()));
        inputs.insert(b.name.clone(), t);
    }
    let want = interp::kernel::run(k, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}\n{k}"));
    for threads in [1, 3] {
        let mut now: Vec<Bytes> = data.iter().map(|b| Bytes::new(b.get())).collect();
        call(k, &mut now, params, threads);
        for (b, got) in k.buffers.iter().zip(&now) {
            if let Some(want) = want.get(&b.name) {
                let (got, want) =
                    (scalars(b.dtype, got), scalars(b.dtype, &Bytes::new(want.bytes())));
                assert_eq!(got, want, "{} for {params:?}\n{k}", b.name);
            }
        }
    }
}

/// A product with a tile of `depth` rows of B copied first: in the parallel loop, or around
/// parallel loops that share it.
fn packed(name: &str, depth: i64, shared: bool) -> String {
    let (outer, inner) = if shared { ("", "parallel") } else { ("parallel", "") };
    format!(
        "kernel {name}(M, N, K) {{
  in A: f32[M, K]
  in B: f32[K, N]
  inout C: f32[M, N]
  for n0 in 0..floordiv(N, 16) {outer} {{
    for k0 in 0..floordiv(K, {depth}) {{
      local Bp: f32[{depth}, 16] {{
        for k1 in 0..{depth} {inner} {{
          for n1 in 0..16 vector {{
            P: Bp[k1, n1]:f32 = B[{depth} * k0 + k1, 16 * n0 + n1]:f32 order serial
          }}
        }}
        for m0 in 0..floordiv(M, 4) {inner} {{
          for k2 in 0..{depth} {{
            for m1 in 0..4 unroll {{
              for n2 in 0..16 vector {{
                S: C[4 * m0 + m1, 16 * n0 + n2]:f32 += \
                   mul.f32(A[4 * m0 + m1, {depth} * k0 + k2]:f32, Bp[k2, n2]:f32) order fixed
              }}
            }}
          }}
        }}
      }}
    }}
  }}
}}"
    )
}

/// Accumulators of a tile in a local buffer; `extra` rows more make it a large one.
fn accumulated(name: &str, extra: i64) -> String {
    format!(
        "kernel {name}(M, N, K) {{
  in A: f32[M, K]
  in B: f32[K, N]
  inout C: f32[M, N]
  for m0 in 0..floordiv(M, 4) parallel {{
    for n0 in 0..floordiv(N, 16) {{
      local T: f32[{}, 16] {{
        for m1 in 0..4 unroll {{ for n1 in 0..16 vector {{
          S0: T[m1, n1]:f32 = 0.0:f32 order serial
        }} }}
        for k in 0..K {{ for m2 in 0..4 unroll {{ for n2 in 0..16 vector {{
          S1: T[m2, n2]:f32 += \
              mul.f32(A[4 * m0 + m2, k]:f32, B[k, 16 * n0 + n2]:f32) order fixed
        }} }} }}
        for m3 in 0..4 unroll {{ for n3 in 0..16 vector {{
          S2: C[4 * m0 + m3, 16 * n0 + n3]:f32 = T[m3, n3]:f32 order serial
        }} }}
      }}
    }}
  }}
}}",
        4 + extra
    )
}

/// Local buffers of one name one after the other, in each other, in guards, in lanes and in
/// unrolled copies, of `n` elements.
fn many(name: &str, n: i64) -> String {
    format!(
        "kernel {name}(N) {{
  in A: i32[N, {n}]
  inout B: i32[N, {n}]
  inout Z: i32[N]
  for i in 0..N parallel {{
    local T: i32[{n}] {{
      for a in 0..{n} vector {{ S0: T[a]:i32 = A[i, a]:i32 order serial }}
      local U: i32[2, {n}] {{
        for b in 0..{n} {{
          S1: U[1, b]:i32 = T[{n} - 1 - b]:i32 order serial
          S2: U[0, b]:i32 = add.i32(U[1, b]:i32, T[b]:i32) order serial
        }}
        for d in 0..{n} vector {{
          S3: B[i, d]:i32 = sub.i32(U[0, d]:i32, U[1, d]:i32) order serial
        }}
      }}
      if i >= 2 {{
        local V: i32[{n}] {{
          for e in 0..{n} {{ S4: V[e]:i32 = mul.i32(T[e]:i32, 3:i32) order serial }}
          for f in 0..{n} {{ S5: T[f]:i32 += V[{n} - 1 - f]:i32 order serial }}
        }}
      }} else {{
        local V: i32[{n}, 2] {{
          for g in 0..{n} {{ S6: V[g, 1]:i32 = mul.i32(T[g]:i32, 5:i32) order serial }}
          for h in 0..{n} {{ S7: T[h]:i32 += V[{n} - 1 - h, 1]:i32 order serial }}
        }}
      }}
      for j in 0..{n} {{ S8: B[i, j]:i32 += T[j]:i32 order serial }}
    }}
    for u in 0..5 unroll {{
      local T: i32[{n}] {{
        for k in 0..{n} {{ S9: T[k]:i32 = add.i32(A[i, k]:i32, index.i32(u)) order serial }}
        for l in 0..{n} {{ S10: Z[i]:i32 += T[l]:i32 order any }}
      }}
    }}
  }}
  for v in 0..N vector {{
    local W: i32[] {{
      local X: i32[{n}] {{
        S11: X[0]:i32 = Z[v]:i32 order serial
        S12: W[]:i32 = mul.i32(X[0]:i32, 7:i32) order serial
        S13: Z[v]:i32 = add.i32(W[]:i32, X[0]:i32) order serial
      }}
    }}
  }}
}}"
    )
}

/// Kernels with local buffers, small and large, and sizes for them.
pub fn local_kernels() -> Vec<(String, Vec<i64>)> {
    let product = |text| (text, vec![12, 48, 256]);
    vec![
        product(packed("pack_small", 8, false)),
        product(packed("pack_large", 128, false)),
        product(packed("share_small", 8, true)),
        product(packed("share_large", 128, true)),
        product(accumulated("tile_small", 0)),
        product(accumulated("tile_large", 96)),
        (many("many_small", 19), vec![7]),
        (many("many_large", 1100), vec![7]),
    ]
}
