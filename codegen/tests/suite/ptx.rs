//! PTX for the three GPUs: `ptxas` assembles what mapped kernels of every type become.

use warploom_codegen::ptx::{Ptxas, compile};
use warploom_ir::abi::GpuStep;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Index, Kernel};
use warploom_ir::target::Target;
use warploom_verify::Verified;

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];

const MATMUL: &str = "kernel mm(M, N, K) {
  in A: TYPE[M, K]
  in B: TYPE[K, N]
  out C: OUT[M, N]
  for n0 in 0..floordiv(N + 31, 32) block.x {
    for m0 in 0..floordiv(M + 7, 8) block.y {
      for m1 in 0..8 thread.y {
        for n1 in 0..32 thread.x {
          if all(M - 1 >= 8 * m0 + m1, N - 1 >= 32 * n0 + n1) {
            local T: ACC[1] {
              S0: T[0]:ACC = ZERO:ACC order serial
              for k in 0..K {
                S1: T[0]:ACC += mul.ACC(
                  CASTA[8 * m0 + m1, k]:TYPE), CASTB[k, 32 * n0 + n1]:TYPE)) order fixed
              }
              S2: C[8 * m0 + m1, 32 * n0 + n1]:OUT = cast.OUT(T[0]:ACC) order serial
            }
          }
        }
      }
    }
  }
}";

fn sealed(text: &str) -> Verified<Kernel> {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    warploom_verify::kernel(kernel).unwrap_or_else(|e| panic!("{}\n{text}", e[0]))
}

fn ptxas() -> Ptxas {
    Ptxas::find().unwrap_or_else(|e| panic!("{e}"))
}

/// Compiles for every GPU and assembles; what `ptxas` says of each.
fn assembled(text: &str) -> Vec<(String, String)> {
    let (kernel, ptxas) = (sealed(text), ptxas());
    let go = |target: &Target| {
        let code = compile(&kernel, *target).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let said = ptxas.resources(&code).unwrap_or_else(|e| panic!("{e}\n{}", code.ptx));
        assert!(!said.contains("C75"), "{said}");
        (code.ptx, said)
    };
    GPUS.iter().map(go).collect()
}

/// The product in one type, accumulated in the type that it is computed in.
fn product(dtype: DType) -> String {
    let acc = dtype.compute_type();
    let zero = if acc.is_float() { "0.0" } else { "0" };
    // what shares bytes is only read
    let out = if dtype.packed() { DType::E4m3 } else { dtype };
    MATMUL
        .replace("OUT", out.name())
        .replace("CAST", &format!("cast.{acc}("))
        .replace("ZERO", zero)
        .replace("TYPE", &dtype.to_string())
        .replace("ACC", &acc.to_string())
}

#[test]
fn products_of_every_type_assemble() {
    for dtype in DType::ALL.into_iter().filter(|t| *t != DType::Bool) {
        for (ptx, said) in assembled(&product(dtype)) {
            assert!(ptx.contains(".visible .entry wl_mm_0"), "{ptx}");
            assert!(said.contains("0 bytes spill stores"), "{said}");
        }
    }
}

#[test]
fn a_product_runs_on_the_grid_that_its_loops_say() {
    let code = compile(&sealed(&product(DType::F32)), Target::Sm90a).unwrap();
    let [launch] = code.launches()[..] else { panic!("{:?}", code.steps) };
    assert_eq!((launch.block, launch.shared_bytes), ([32, 8, 1], 0));
    assert_eq!(launch.grid[0].to_string(), "floordiv(N + 31, 32)");
    assert_eq!(launch.grid[2], Index::Const(1));
    assert!(code.ptx.contains("fma.rn.f32"), "{}", code.ptx);
    assert!(code.ptx.contains("ld.global.nc"), "inputs are read-only:\n{}", code.ptx);
}

/// Eight neighbours of four rows that each thread moves, over five indices of an array.
fn moved_rows(dtype: &str, columns: i64, first: i64, params: &str) -> String {
    let width = if params.is_empty() { "192" } else { params };
    let at = format!("[mod(b, 8), floordiv(b, 8), 4 * y + r, n, 8 * x + e + {first}]:{dtype}");
    format!(
        "kernel rows({params}) {{
  in X: {dtype}[8, 3, 16, {width}, {columns}]
  out Y: {dtype}[8, 3, 16, {width}, {columns}]
  for b in 0..24 block.x {{
    for n in 0..{width} block.y {{
      for y in 0..4 thread.y {{
        for x in 0..8 thread.x {{
          for r in 0..4 unroll {{
            for e in 0..8 unroll {{
              S: Y{at} = X{at} order serial
            }}
          }}
        }}
      }}
    }}
  }}
}}"
    )
}

/// The bytes of each access of an operation.
fn widths(ptx: &str, operation: &str) -> Vec<usize> {
    let ops = ptx.split_whitespace().filter(|word| word.starts_with(operation));
    let bytes = |op: &str| {
        let part =
            |first: char| op.split('.').find_map(|part| part.strip_prefix(first)?.parse().ok());
        part('b').map(|bits: usize| bits / 8 * part('v').unwrap_or(1))
    };
    ops.map(|op| bytes(op).unwrap_or_else(|| panic!("{op}"))).collect()
}

#[test]
fn neighbours_are_one_access_where_all_their_addresses_start_there() {
    // elements, the first of a row, and the bytes of each access to eight neighbours
    let cases: [(&str, i64, i64, &[usize]); 11] = [
        ("bf16", 64, 0, &[16]),
        ("f32", 64, 0, &[16, 16]),
        ("i8", 64, 0, &[8]),
        // rows that start at multiples of 8, 4 and 2 bytes
        ("bf16", 68, 0, &[8, 8]),
        ("f32", 66, 0, &[8; 4]),
        ("bf16", 66, 0, &[4; 4]),
        ("f32", 65, 0, &[4; 8]),
        ("bf16", 65, 0, &[2; 8]),
        // rows of 16 bytes, entered at 8, 4 and 2
        ("bf16", 72, 4, &[8, 8]),
        ("bf16", 72, 2, &[4, 8, 4]),
        ("bf16", 72, 1, &[2; 8]),
    ];
    for (dtype, columns, first, row) in cases {
        // after an extent that is not known, too
        for params in ["", "N"] {
            for (ptx, _) in assembled(&moved_rows(dtype, columns, first, params)) {
                for operation in ["ld.global", "st.global"] {
                    let case = format!("{operation} {dtype} {columns} {first} {params}");
                    let mut have = widths(&ptx, operation);
                    let mut want = row.repeat(4);
                    have.sort_unstable();
                    want.sort_unstable();
                    assert_eq!(have, want, "{case}\n{ptx}");
                }
            }
        }
    }
}

/// A kernel of one thread per element that stores each expression over `A[i]`, `B[i]` and `I[i]` in
/// a row of the output of its type.
fn elementwise(dtype: DType, values: &[(DType, String)]) -> String {
    let mut outputs: Vec<(DType, usize)> = Vec::new();
    let mut stores = String::new();
    for (number, (of, value)) in values.iter().enumerate() {
        let place = outputs.iter().position(|(t, _)| t == of).unwrap_or_else(|| {
            outputs.push((*of, 0));
            outputs.len() - 1
        });
        let row = outputs[place].1;
        outputs[place].1 += 1;
        stores.push_str(&format!("S{number}: O_{of}[{row}, i]:{of} = {value} order serial\n"));
    }
    let declare = |(t, rows): &(DType, usize)| format!("out O_{t}: {t}[{rows}, 64]\n");
    let outputs: String = outputs.iter().map(declare).collect();
    format!(
        "kernel ops() {{ in A: {dtype}[64]\n in B: {dtype}[64]\n in I: i32[64]\n {outputs}
         for i in 0..64 thread.x {{\n{stores}}} }}"
    )
}

#[test]
fn every_operation_has_instructions() {
    use DType::{Bool, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let float = ["neg", "abs", "rint", "floor", "ceil", "trunc", "sqrt", "rsqrt"];
    let int = ["neg", "abs", "not"];
    let both = ["add", "sub", "mul", "min", "max"];
    let ints = ["floordiv", "mod", "shl", "shr", "mulhi", "and", "or", "xor"];
    for t in [F32, F64, I64, U64, I32, U32, I16, U16, I8, U8] {
        let (a, b) = (format!("A[i]:{t}"), format!("B[i]:{t}"));
        let mut values = Vec::new();
        let (unary, binary) =
            if t.is_float() { (&float[..], &["div"][..]) } else { (&int[..], &ints[..]) };
        values.extend(unary.iter().map(|op| (t, format!("{op}.{t}({a})"))));
        values.extend(both.iter().chain(binary).map(|op| (t, format!("{op}.{t}({a}, {b})"))));
        values.push((t, format!("fma.{t}({a}, {b}, {a})")));
        values.push((t, format!("select.{t}(lt.bool({a}, {b}), {b}, {a})")));
        for op in ["lt", "le", "gt", "ge", "eq", "ne"] {
            values.push((Bool, format!("{op}.bool({a}, {b})")));
        }
        if t.is_float() {
            let functions = ["exp", "exp2", "log", "log2", "tanh", "erf"];
            values.extend(functions.iter().map(|op| (t, format!("{op}.{t}({a})"))));
            values.push((t, format!("pow.{t}({a}, {b})")));
            values.push((I32, format!("exponent.i32({a})")));
            values.push((Bool, format!("isfinite.bool({a})")));
            values.push((t, format!("ldexp.{t}({a}, I[i]:i32)")));
        }
        for (ptx, _) in assembled(&elementwise(t, &values)) {
            assert!(ptx.contains(".entry wl_ops_0"));
        }
    }
}

#[test]
fn every_conversion_has_instructions() {
    for from in DType::ALL {
        let mut values = Vec::new();
        for to in DType::ALL.into_iter().filter(|to| *to != from) {
            for suffix in ["", ".rup", ".sat", ".rtz.sat"] {
                let value = format!("cast.{to}{suffix}(A[i]:{from})");
                values.push(match to.packed() {
                    true => (DType::F32, format!("cast.f32({value})")),
                    false => (to, value),
                });
            }
        }
        let code = compile(&sealed(&elementwise(from, &values)), Target::Sm80).unwrap();
        ptxas().resources(&code).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn products_and_sums_are_fused_only_where_that_is_allowed() {
    let text = |strict: &str| {
        format!(
            "kernel k() {{ in A: f32[64]\n inout B: f32[64]\n for i in 0..64 thread.x {{
               S: B[i]:f32 += mul.f32(A[i]:f32, A[i]:f32) order serial{strict} }} }}"
        )
    };
    let fused = |text: &str| {
        let code = compile(&sealed(text), Target::Sm80).unwrap();
        assert_ne!(
            code.ptx.contains("fma.rn.f32"),
            code.ptx.contains("mul.rn.f32"),
            "{}",
            code.ptx
        );
        code.ptx.contains("fma.rn.f32")
    };
    assert!(fused(&text("")));
    assert!(!fused(&text(" strict")));
}

#[test]
fn what_has_no_code_is_refused() {
    let pow = (DType::F64, "pow.f64(A[i]:f64, B[i]:f64)".to_owned());
    let fine = elementwise(DType::F64, &[pow]);
    assembled(&fine);
    assert_eq!(compile(&sealed(&fine), Target::Cpu).unwrap_err().code, "E0903");
    let large =
        fine.replace("thread.x {", "thread.x { local T: f32[1048576] {").replace(" }", " } }");
    assert_eq!(compile(&sealed(&large), Target::Sm80).unwrap_err().code, "E1202");
}

#[test]
fn several_nests_are_several_launches() {
    let text = "kernel two(N) {
      in A: f32[N]\n temp T: f32[N]\n out B: f32[N]
      for i in 0..N block.x { S0: T[i]:f32 = A[i]:f32 order serial }
      for j in 0..N { S1: B[j]:f32 = T[N - 1 - j]:f32 order serial }
    }";
    let code = compile(&sealed(text), Target::Sm80).unwrap();
    let entries: Vec<&str> = code.launches().iter().map(|l| l.entry.as_str()).collect();
    assert_eq!(entries, ["wl_two_0", "wl_two_1"]);
    assert_eq!(code.launches()[1].grid, [const { Index::Const(1) }; 3]);
    assert_eq!(code.ptx.matches(".visible .entry").count(), 2);
}

#[test]
fn loops_of_the_host_are_arguments_of_launches() {
    let text = "kernel lu(N) {
      inout A: f64[N, N]
      for k in 0..N {
        S0: A[k, k]:f64 = sqrt.f64(A[k, k]:f64) order serial
        if N - 2 >= k {
          for i in k + 1..N block.y {
            for j in 0..floordiv(N - k + 126, 128) block.x {
              for j1 in 0..128 thread.x {
                if N - 2 >= k + 128 * j + j1 {
                  S1: A[i, k + 1 + 128 * j + j1]:f64 += A[k, k]:f64 order serial
                }
              }
            }
          }
        }
      }
    }";
    for (ptx, _) in assembled(text) {
        assert_eq!(ptx.matches(".visible .entry").count(), 2);
        // a buffer, a size, the host's variable
        let arguments = [0, 1].map(|k| ptx.contains(&format!("wl_lu_{k}_param_2")));
        assert_eq!((arguments, ptx.contains("_param_3")), ([true; 2], false), "{ptx}");
    }
    let code = compile(&sealed(text), Target::Sm90a).unwrap();
    let [GpuStep::Loop(k)] = code.steps.as_slice() else { panic!("{:?}", code.steps) };
    assert_eq!((&*k.var, k.upper.to_string()), ("k", "N".to_owned()));
    let [GpuStep::Launch(_), GpuStep::If(c, then, none)] = k.body.as_slice() else {
        panic!("{:?}", k.body)
    };
    assert_eq!((c.to_string(), then.len(), none.len()), ("N - 2 >= k".to_owned(), 1, 0));
    assert_eq!(code.launches()[1].grid[0].to_string(), "floordiv(N - k + 126, 128)");
}

#[test]
fn f32_becomes_16_bits_by_one_instruction() {
    for (dtype, instruction) in [("bf16", "cvt.rn.bf16"), ("f16", "cvt.rn.f16")] {
        let text = format!(
            "kernel narrow() {{\n  in A: f32[512]\n  out B: {dtype}[512]
  for i in 0..512 thread.x {{ S: B[i]:{dtype} = cast.{dtype}(A[i]:f32) order serial }}\n}}"
        );
        for (ptx, _) in assembled(&text) {
            assert!(ptx.contains(instruction), "{ptx}");
            // NaN stays the one of the interpreter
            assert!(ptx.contains("min.s16"), "{ptx}");
        }
        let text = text.replace("512 thread.x {", "256 thread.x { for j in 0..2 unroll {");
        let text = text.replace("order serial }", "order serial } }").replace("[i]", "[2 * i + j]");
        let ptx = compile(&sealed(&text), Target::Sm90a).unwrap().ptx;
        for pairs in [&*format!("cvt.rn.{dtype}x2.f32"), "min.s16x2"] {
            assert_eq!(ptx.matches(pairs).count(), 1, "{ptx}");
        }
    }
}

#[test]
fn quotients_with_one_divisor_share_its_reciprocal_and_a_branch() {
    let text = "kernel rows() {\n  in A: f32[512]\n  in S: f32[128]\n  out B: f32[512]
  for i in 0..128 thread.x { for j in 0..4 unroll {
    S: B[4 * i + j]:f32 = div.f32(A[4 * i + j]:f32, S[i]:f32) order serial } }\n}";
    for (ptx, _) in assembled(text) {
        assert_eq!(ptx.matches("rcp.approx.ftz.f32").count(), 1, "{ptx}");
        // what is not certain is divided
        assert_eq!(ptx.matches("div.rn.f32").count(), 4, "{ptx}");
        assert_eq!(ptx.matches("st.global.v4").count(), 1, "{ptx}");
    }
    // what is alone, and what divides by a literal, has the assembler's division
    for text in [text.replace("0..4", "0..1"), text.replace("S[i]:f32)", "3.0:f32)")] {
        for (ptx, _) in assembled(&text) {
            assert!(ptx.contains("div.rn.f32") && !ptx.contains("rcp.approx"), "{ptx}");
        }
    }
}

#[test]
fn what_a_block_knows_outlives_barriers_that_nothing_writes_around() {
    let text = "kernel rows() {\n  in A: f32[64, 64]\n  out B: f32[64, 64]
  for b in 0..64 block.x { local T: f32[64] { local U: f32[64] { local V: f32[64] {
    for t in 0..64 thread.x { S0: T[t]:f32 = A[b, t]:f32 order serial }
    for u in 0..64 thread.x { S1: U[u]:f32 = exp.f32(T[63 - u]:f32) order serial }
    for v in 0..64 thread.x { S2: V[v]:f32 = U[63 - v]:f32 order serial }
    for w in 0..64 thread.x {
      S3: B[b, w]:f32 = mul.f32(exp.f32(T[63 - w]:f32), V[63 - w]:f32) order serial }
  } } } }\n}";
    for (ptx, _) in assembled(text) {
        // one exponential, kept where T is not written again
        assert_eq!(ptx.matches("ex2.approx").count(), 1, "{ptx}");
        assert_eq!(ptx.matches("ld.shared").count(), 3, "{ptx}");
        assert_eq!(ptx.matches("bar.sync").count(), 3, "{ptx}");
    }
}

/// ptxas takes the carry of such a sum for a borrow (decision 0043).
#[test]
fn differences_of_quotients_are_of_no_high_halves_of_products() {
    let text = "kernel parts() {
      in A: f32[64]\n out B: f32[34]
      for t in 0..34 block.x {
        S0: B[t]:f32 = 0:f32 order serial
        for p in floordiv(8 * t, 5)..floordiv(8 * t + 2, 5) + 2 {
          S1: B[t]:f32 += A[p]:f32 order serial
        }
      }
    }";
    for (ptx, _) in assembled(text) {
        assert!(ptx.contains("mul.wide.u32") && !ptx.contains("mul.hi"), "{ptx}");
    }
}
