//! Conversions and operators of compiled code against `ir::value`, bit for bit.

use crate::support::*;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Rounding, UnOp};
use warploom_ir::kernel::*;
use warploom_ir::nest::{AssignOp, Role};
use warploom_ir::value::{self, Scalar};

/// Bit patterns of a type: all of the small types, the hard cases and noise of the large ones.
fn patterns(t: DType) -> Vec<u64> {
    match t.size_bytes() {
        1 if t == DType::Bool => vec![0, 1],
        1 => (0..256).collect(),
        2 => (0..65536).collect(),
        size => {
            let mut out = vec![0, 1, u64::MAX];
            for bit in 0..8 * size as u32 {
                for d in -2..=2 {
                    let p = (1_u64 << bit).wrapping_add_signed(d);
                    out.extend([p, !p, p | 1 << (8 * size - 1)]);
                }
            }
            for v in [0.5, 1.5, 2.5, 240.0, 448.0, 464.0, 57344.0, 61440.0, 65504.0, 65520.0, 127.5]
            {
                for s in [v, -v] {
                    let bits = Scalar::from_f64(t, s).bits();
                    out.extend([bits, bits + 1, bits.wrapping_sub(1)]);
                }
            }
            // every exponent with a few significands
            let (e, m) = if size == 4 { (256, 23) } else { (2048, 52) };
            for i in 0..2 * e {
                for f in [0, 1, 1 << (m - 1), (1 << (m - 1)) + 1, (1 << m) - 1, 5 << (m - 4)] {
                    out.push((i << m) | f);
                }
            }
            let mut s = 88_172_645_463_325_252_u64;
            for _ in 0..4000 {
                s ^= s << 13;
                s ^= s >> 7;
                s ^= s << 17;
                out.push(s);
            }
            out.iter().map(|p| Scalar::from_bits(t, *p).bits()).collect()
        }
    }
}

/// One output per expression of the elements of A and B; `(type, expression, reference)`.
type Case = (DType, Typed<Index>, Box<dyn Fn(Scalar, Scalar) -> Scalar>, String);

/// Runs all cases over pairs, in vector lanes and one by one.
fn check(a: (DType, &[u64]), b: (DType, &[u64]), cases: &[Case]) {
    let n = a.1.len();
    assert_eq!(n, b.1.len());
    for mode in [LoopMode::Serial, LoopMode::Vector] {
        // wide code takes LLVM long: a third of the cases, another for each kind of operand
        let first = if mode == LoopMode::Serial { 0 } else { a.0.size_bytes() % 3 };
        let cases: Vec<&Case> = cases
            .iter()
            .skip(first)
            .step_by(if mode == LoopMode::Serial { 1 } else { 3 })
            .collect();
        let mut buffers = vec![
            buffer("A", Role::In, a.0, vec![v("N")]),
            buffer("B", Role::In, b.0, vec![v("N")]),
        ];
        let mut data = vec![held(a.0, a.1), held(b.0, b.1)];
        let mut body = Vec::new();
        for (i, (t, e, _, _)) in cases.iter().enumerate() {
            let name = format!("O{i}");
            buffers.push(buffer(&name, Role::Out, *t, vec![v("N")]));
            data.push(Bytes::new(&vec![0xff; n * t.size_bytes()]));
            let s = store(*t, &name, vec![v("i")], AssignOp::Set, e.clone());
            let l = format!("i{i}");
            let s = rename(s, &l);
            body.push(for_(&l, c(0), v("N"), mode, vec![s]));
        }
        let k = Kernel { name: "cases".into(), params: vec!["N".into()], buffers, body };
        call(&k, &mut data, &[n as i64], 1);
        let (x, y) = (scalars(a.0, &data[0]), scalars(b.0, &data[1]));
        for (i, (t, _, reference, what)) in cases.iter().enumerate() {
            for (j, got) in scalars(*t, &data[2 + i]).into_iter().enumerate() {
                let want = reference(x[j], y[j]);
                assert!(
                    got.same(want),
                    "{what} of {} {:#x} and {} {:#x}, {mode:?}: {:#x}, not {:#x}",
                    a.0,
                    x[j].bits(),
                    b.0,
                    y[j].bits(),
                    got.bits(),
                    want.bits()
                );
            }
        }
    }
}

/// The loop's own variable for `i`.
fn rename(s: KernelNode, to: &str) -> KernelNode {
    let KernelNode::Store(mut s) = s else { panic!("a store") };
    s.indices = vec![v(to)];
    fn walk(t: &mut Typed<Index>, to: &str) {
        match &mut t.kind {
            TypedKind::Read { indices, .. } => *indices = vec![v(to)],
            TypedKind::Unary(_, a)
            | TypedKind::Convert { value: a, .. }
            | TypedKind::Bitcast(a) => {
                walk(a, to);
            }
            TypedKind::Binary(_, a, b) => {
                walk(a, to);
                walk(b, to);
            }
            TypedKind::Fma(..) | TypedKind::Select(..) => panic!("not used here"),
            TypedKind::Literal(_) | TypedKind::Index(_) => {}
        }
    }
    walk(&mut s.value, to);
    KernelNode::Store(s)
}

fn convert_from(from: DType) {
    let a = patterns(from);
    for to in DType::ALL {
        let mut cases: Vec<Case> = Vec::new();
        for rounding in Rounding::ALL {
            for saturate in [false, true] {
                let value = Box::new(read(from, "A", vec![v("i")]));
                let e = Typed { dtype: to, kind: TypedKind::Convert { rounding, saturate, value } };
                let e = written(e);
                let seen = e.dtype;
                let reference = move |x: Scalar, _: Scalar| {
                    x.convert(to, rounding, saturate).convert(seen, Rounding::Nearest, false)
                };
                let what = format!("{rounding:?} saturate {saturate} to {to}");
                cases.push((seen, e, Box::new(reference), what));
            }
        }
        check((from, &a), (from, &a), &cases);
    }
}

#[test]
fn conversions_from_f32_and_f64() {
    convert_from(DType::F32);
    convert_from(DType::F64);
    convert_from(DType::Tf32);
}

#[test]
fn conversions_from_narrow_floats() {
    for t in [DType::F16, DType::Bf16, DType::E4m3, DType::E5m2] {
        convert_from(t);
    }
}

#[test]
fn conversions_from_halves_of_bytes_and_scales() {
    for t in [DType::E2m1, DType::Ue8m0, DType::Ue4m3] {
        convert_from(t);
    }
}

#[test]
fn conversions_from_signed_integers() {
    for t in DType::ALL.into_iter().filter(|t| t.is_signed_int()) {
        convert_from(t);
    }
}

#[test]
fn conversions_from_unsigned_integers_and_bool() {
    for t in DType::ALL.into_iter().filter(|t| t.is_unsigned_int() || *t == DType::Bool) {
        convert_from(t);
    }
}

#[test]
fn operators_of_one_operand() {
    for t in DType::ALL {
        let a = patterns(t);
        let mut cases: Vec<Case> = Vec::new();
        for op in UnOp::ALL {
            let Ok(sample) = value::unary(op, Scalar::zero(t)) else { continue };
            let e = TypedKind::Unary(op, Box::new(read(t, "A", vec![v("i")])));
            let result = sample.dtype();
            let reference = move |x, _| value::unary(op, x).unwrap();
            let e = Typed { dtype: result, kind: e };
            cases.push((result, e, Box::new(reference), format!("{op:?}")));
        }
        check((t, &a), (t, &a), &cases);
    }
}

/// Pairs of hard values and of noise.
fn pairs(t: DType, second: DType) -> (Vec<u64>, Vec<u64>) {
    let pick = |p: Vec<u64>| -> Vec<u64> {
        let step = (p.len() / 150).max(1);
        let mut out: Vec<u64> = p.iter().copied().step_by(step).collect();
        out.extend(p.iter().rev().take(30));
        out.extend(p.iter().take(30));
        out
    };
    let (x, mut y) = (pick(patterns(t)), pick(patterns(second)));
    y.extend((0..70).map(|n| Scalar::from_i64(second, n).bits()));
    x.iter().flat_map(|a| y.iter().map(move |b| (*a, *b))).unzip()
}

#[test]
fn operators_of_two_operands() {
    for t in DType::ALL {
        for second in [t, DType::I32] {
            let mut cases: Vec<Case> = Vec::new();
            for op in BinOp::ALL {
                if (op == BinOp::Ldexp) != (second != t) && t != DType::I32 {
                    continue;
                }
                let Ok(sample) = value::binary(op, Scalar::zero(t), Scalar::zero(second)) else {
                    continue;
                };
                let (a, b) = (read(t, "A", vec![v("i")]), read(second, "B", vec![v("i")]));
                let e = TypedKind::Binary(op, Box::new(a), Box::new(b));
                let result = sample.dtype();
                let reference = move |x, y| value::binary(op, x, y).unwrap();
                let e = Typed { dtype: result, kind: e };
                cases.push((result, e, Box::new(reference), format!("{op:?}")));
            }
            if !cases.is_empty() {
                let (a, b) = pairs(t, second);
                check((t, &a), (second, &b), &cases);
            }
        }
    }
}
