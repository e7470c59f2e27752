//! Prints how fast a hand-written SGEMM kernel runs: `cargo test -p warploom-codegen --test speed
//! -- --ignored --nocapture`. Asserts the result only, never a time.

mod support;

use std::time::Instant;

use support::*;
use warploom_codegen::host::{HostOptions, compile};
use warploom_ir::abi::{HostArg, HostCode};
use warploom_ir::kernel::LoopMode;

#[test]
#[ignore = "prints times"]
fn sgemm() {
    let (m, n, k) = (510_usize, 512_usize, 512_usize);
    let start = Instant::now();
    let code = compile(&sealed(matmul(LoopMode::Serial)), &HostOptions::default()).unwrap();
    println!("compiled in {:?}", start.elapsed());
    let (a, b) = (noise(m * k, 1), noise(k * n, 2));
    let (ab, bb) = (Bytes::f32(&a), Bytes::f32(&b));
    let mut cb = Bytes::f32(&vec![0.0; m * n]);
    let mut times = Vec::new();
    for _ in 0..20 {
        cb.get_mut().fill(0);
        let mut args =
            [HostArg::Read(ab.get()), HostArg::Read(bb.get()), HostArg::Write(cb.get_mut())];
        let start = Instant::now();
        code.call(&mut args, &[m as i64, n as i64, k as i64], &Threads(1)).unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    let flops = 2.0 * (m * n * k) as f64;
    for (what, t) in [("least", times[0]), ("median", times[10])] {
        println!("{what}: {t:?}, {:.1} GFLOP/s", flops / t.as_secs_f64() / 1e9);
    }
    let c = cb.to_f32();
    for (i, j) in [(0, 0), (509, 511), (77, 300)] {
        let want: f32 = (0..k).map(|p| a[i * k + p] * b[p * n + j]).sum();
        assert_eq!(c[i * n + j], want);
    }
}
