//! The C text compiles without warnings and gives what compiled host code gives.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::support::*;
use warploom_codegen::c;
use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding, UnOp};
use warploom_ir::kernel::*;
use warploom_ir::nest::{AssignOp, Role};
use warploom_ir::value::{self, Scalar};

/// A program that reads the buffers, calls the kernel and writes them back.
fn program(k: &Kernel, buffers: &[Bytes], params: &[i64]) -> String {
    let mut out = c::emit(k);
    out.push_str("#include <stdio.h>\nint main(void)\n{\n");
    let mut args: Vec<String> = params.iter().map(|p| format!("INT64_C({p})")).collect();
    for (i, b) in buffers.iter().enumerate() {
        let n = b.get().len().max(1);
        let _ = writeln!(out, "static unsigned char b{i}[{n}] __attribute__((aligned(64)));");
        let _ = writeln!(
            out,
            "if (fread(b{i}, 1, {}, stdin) != {}) return 1;",
            b.get().len(),
            b.get().len()
        );
        args.push(format!("(void *)b{i}"));
    }
    let _ = writeln!(out, "{}({});", k.name, args.join(", "));
    for (i, b) in buffers.iter().enumerate() {
        let _ = writeln!(out, "fwrite(b{i}, 1, {}, stdout);", b.get().len());
    }
    out.push_str("return 0;\n}\n");
    out
}

/// Compiles the C text with gcc and runs it on the buffers.
fn run_c(k: &Kernel, buffers: &mut [Bytes], params: &[i64]) {
    let dir = std::env::temp_dir().join(format!("warploom-c-{}-{}", std::process::id(), k.name));
    std::fs::create_dir_all(&dir).expect("gcc, files and pipes work");
    let (source, binary) = (dir.join("k.c"), dir.join("k"));
    let text = program(k, buffers, params);
    std::fs::write(&source, &text).expect("gcc, files and pipes work");
    let built = Command::new("gcc")
        .args(["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-type-limits"])
        .args(["-Wno-overflow", "-Wno-unused-parameter", "-ffp-contract=off", "-o"])
        .args([&binary, &source])
        .arg("-lm")
        .output()
        .expect("gcc, files and pipes work");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let input: Vec<u8> = buffers.iter().flat_map(|b| b.get().to_vec()).collect();
    let mut child = Command::new(&binary)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gcc, files and pipes work");
    let mut stdin = child.stdin.take().expect("gcc, files and pipes work");
    let writer = std::thread::spawn(move || {
        std::io::Write::write_all(&mut stdin, &input).expect("gcc, files and pipes work")
    });
    let output = child.wait_with_output().expect("gcc, files and pipes work");
    writer.join().expect("gcc, files and pipes work");
    assert!(output.status.success());
    let mut rest = &output.stdout[..];
    for b in buffers {
        let (now, later) = rest.split_at(b.get().len());
        b.get_mut().copy_from_slice(now);
        rest = later;
    }
    std::fs::remove_dir_all(&dir).expect("gcc, files and pipes work");
}

#[test]
fn matmul_is_equal() {
    let (m, n, k) = (12, 32, 9);
    let make = || {
        [Bytes::f32(&noise(m * k, 1)), Bytes::f32(&noise(k * n, 2)), Bytes::f32(&noise(m * n, 3))]
    };
    let (mut x, mut y) = (make(), make());
    let (kernel, sizes) = (matmul(LoopMode::Parallel), [m as i64, n as i64, k as i64]);
    call(&kernel, &mut x, &sizes, 2);
    run_c(&kernel, &mut y, &sizes);
    assert_eq!(x[2].get(), y[2].get());
}

#[test]
fn local_buffers_are_equal() {
    for (text, sizes) in local_kernels() {
        let k: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        let extent = |e: &Index| {
            let at = |n: &str| k.params.iter().position(|p| &**p == n).map(|i| sizes[i]);
            e.eval(&at).expect("a shape of the sizes") as usize
        };
        let make = |shift: u64| {
            let size = |b: &Buffer| b.shape.iter().map(extent).product::<usize>();
            let bytes = |(i, b): (u64, &Buffer)| match b.dtype {
                DType::F32 => Bytes::f32(&noise(size(b), i + shift)),
                _ => Bytes::new(&(0..4 * size(b)).map(|n| n as u8 ^ 0x5a).collect::<Vec<_>>()),
            };
            (0..).zip(&k.buffers).map(bytes).collect::<Vec<_>>()
        };
        let (mut x, mut y) = (make(3), make(3));
        call(&k, &mut x, &sizes, 2);
        run_c(&k, &mut y, &sizes);
        for (b, (x, y)) in k.buffers.iter().zip(x.iter().zip(&y)) {
            assert_eq!(x.get(), y.get(), "{} of {text}", b.name);
        }
        assert_ne!(y.last().map(Bytes::get), make(3).last().map(Bytes::get), "it writes: {text}");
    }
}

fn hard_values(t: DType) -> Vec<u64> {
    let size = t.bits() as u32;
    let mut out = vec![0, u64::MAX];
    for bit in 0..size {
        for p in [1_u64 << bit, (1_u64 << bit).wrapping_sub(1), 3_u64 << bit] {
            out.extend([p, !p]);
        }
    }
    for v in [0.5, 1.5, 2.5, -0.5, 3.0, 448.0, 464.0, 65504.0, 65520.0, 1e10, 1e-8, -300.25, 1e20] {
        let bits = Scalar::from_f64(t, v).bits();
        out.extend([bits, bits.wrapping_add(1), bits.wrapping_sub(1)]);
    }
    out
}

fn expressions(t: DType) -> Vec<Typed<Index>> {
    let a = || Box::new(read(t, "A", vec![v("i")]));
    let b = || Box::new(read(t, "B", vec![v("i")]));
    let mut out = Vec::new();
    for to in DType::ALL {
        for rounding in [Rounding::Nearest, Rounding::Zero, Rounding::Up, Rounding::Down] {
            for saturate in [false, true] {
                let kind = TypedKind::Convert { rounding, saturate, value: a() };
                out.push(Typed { dtype: to, kind });
            }
        }
        if to.bits() == t.bits() {
            out.push(Typed { dtype: to, kind: TypedKind::Bitcast(a()) });
        }
    }
    for op in UnOp::ALL {
        if let Ok(s) = value::unary(op, Scalar::zero(t)) {
            out.push(Typed { dtype: s.dtype(), kind: TypedKind::Unary(op, a()) });
        }
    }
    for op in BinOp::ALL {
        if let Ok(s) = value::binary(op, Scalar::zero(t), Scalar::zero(t)) {
            out.push(Typed { dtype: s.dtype(), kind: TypedKind::Binary(op, a(), b()) });
        }
    }
    if matches!(t, DType::F32 | DType::F64) {
        let n = Typed { dtype: DType::I32, kind: TypedKind::Literal(Literal::Int(-140)) };
        out.push(Typed { dtype: t, kind: TypedKind::Binary(BinOp::Ldexp, a(), Box::new(n)) });
    }
    out
}

/// Units in the last place that C's result may be away from compiled host code: both call the
/// same functions of the C library, except for `erf`. There glibc states at most 1 unit
/// ("Known Maximum Errors in Math Functions") and musl's, which `libm` is made from, less than 1.
fn allowed(e: &Typed<Index>) -> u64 {
    if matches!(e.kind, TypedKind::Unary(UnOp::Erf, _)) { 2 } else { 0 }
}

/// Values between two floats of a type; infinitely many to and from NaN.
fn distance(a: Scalar, b: Scalar) -> u64 {
    if a.to_f64().is_nan() || b.to_f64().is_nan() {
        return u64::MAX;
    }
    // ordered: the bits of a positive float count upwards, those of a negative one downwards
    let place = |s: Scalar| {
        let sign = 1_i128 << (8 * s.dtype().size_bytes() - 1);
        let bits = i128::from(s.bits());
        if bits >= sign { sign - bits } else { bits }
    };
    u64::try_from((place(a) - place(b)).abs()).unwrap_or(u64::MAX)
}

#[test]
fn every_operator_is_equal() {
    for t in DType::ALL {
        let values = hard_values(t);
        let n = values.len();
        let raw = |shift: usize| {
            let bits: Vec<u64> = (0..n).map(|i| values[(i + shift) % n]).collect();
            held(t, &bits)
        };
        let cases: Vec<_> = expressions(t).into_iter().map(written).collect();
        let mut buffers =
            vec![buffer("A", Role::In, t, vec![v("N")]), buffer("B", Role::In, t, vec![v("N")])];
        let mut body = Vec::new();
        for (j, e) in cases.iter().enumerate() {
            let name = format!("O{j}");
            buffers.push(buffer(&name, Role::Out, e.dtype, vec![v("N")]));
            body.push(store(e.dtype, &name, vec![v("i")], AssignOp::Set, e.clone()));
        }
        let body = vec![for_("i", crate::support::c(0), v("N"), LoopMode::Serial, body)];
        let k = Kernel { name: format!("all_{t}").into(), params: vec!["N".into()], buffers, body };
        let make = || {
            let mut data = vec![raw(0), raw(17)];
            data.extend(cases.iter().map(|e| Bytes::new(&vec![0xff; n * e.dtype.size_bytes()])));
            data
        };
        let (mut x, mut y) = (make(), make());
        call(&k, &mut x, &[n as i64], 1);
        run_c(&k, &mut y, &[n as i64]);
        for (j, e) in cases.iter().enumerate() {
            let (p, q) = (scalars(e.dtype, &x[2 + j]), scalars(e.dtype, &y[2 + j]));
            for (i, (p, q)) in p.into_iter().zip(q).enumerate() {
                assert!(
                    p.same(q) || distance(p, q) <= allowed(e),
                    "{e} of {:#x}: host {:#x}, C {:#x}",
                    values[i],
                    p.bits(),
                    q.bits()
                );
            }
        }
    }
}
