//! The model beside published rates of B200 kernels, given their structure.
//!
//! In: structure (tile, pair, persistent, order of tiles) and TFLOP/s of published kernels. Out:
//! the error of the predictions. Sources: [GAU] gau-nernst, "tcgen05 for dummies" (2025); [TILUS]
//! NVIDIA Tilus, plot_perf.py of its Blackwell matmul; [JAX] JAX documentation, Blackwell matmul
//! (shares of a peak of 2250); [CUTILE] rates of cuBLAS and of cuTile on one B200.
//! Keeps: of ladders only the rungs whose loads run ahead of products: those before them wait for
//! each other in ways that the model does not describe.

use warploom_ir::instruction::{Action, find};

use super::super::product::{Operand, Results, Tiled};
use super::super::*;

/// A published kernel: what, rows, columns and terms, bytes of a factor, TFLOP/s.
struct Published {
    name: &'static str,
    size: [f64; 3],
    factor: f64,
    tflops: f64,
    /// Two blocks share both factors of a tile of 256 x 256.
    pair: bool,
    /// Blocks stay, and sums have two places.
    stay: bool,
    /// Neighbouring blocks take tiles in groups.
    grouped: bool,
}

const fn one(
    name: &'static str,
    n: f64,
    tflops: f64,
    [pair, stay, grouped]: [bool; 3],
) -> Published {
    Published { name, size: [n; 3], factor: 2.0, tflops, pair, stay, grouped }
}

const JAX: [f64; 3] = [4096.0, 8192.0, 4096.0];

fn published() -> Vec<Published> {
    let jax =
        |name, share: f64, kind| Published { size: JAX, ..one(name, 0.0, share * 2250.0, kind) };
    let narrow = |n, tflops| Published {
        factor: 1.0,
        ..one("cuTile e5m2 [CUTILE]", n, tflops, [true, true, true])
    };
    vec![
        one("warp specialisation [GAU]", 4096.0, 1208.0, [false, false, false]),
        one("pairs [GAU]", 4096.0, 1302.0, [true, false, false]),
        one("persistent [GAU]", 4096.0, 1476.0, [true, true, false]),
        one("cuBLAS [GAU]", 4096.0, 1507.0, [true, true, true]),
        one("warp specialisation [TILUS]", 8192.0, 1351.0, [false, false, false]),
        one("rasterisation [TILUS]", 8192.0, 1416.0, [false, false, true]),
        one("persistent [TILUS]", 8192.0, 1506.0, [false, true, true]),
        one("pairs [TILUS]", 8192.0, 1610.0, [true, true, true]),
        one("cuBLAS [TILUS]", 8192.0, 1600.0, [true, true, true]),
        jax("tiled epilogue [JAX]", 0.558, [false, false, false]),
        jax("pairs [JAX]", 0.594, [true, false, false]),
        jax("persistent [JAX]", 0.615, [true, true, false]),
        jax("epilogue's own warps [JAX]", 0.634, [true, true, false]),
        jax("groups of tiles [JAX]", 0.694, [true, true, true]),
        one("cuBLAS [CUTILE]", 2048.0, 1199.0, [true, true, true]),
        one("cuBLAS [CUTILE]", 4096.0, 1401.0, [true, true, true]),
        one("cuBLAS [CUTILE]", 8192.0, 1254.0, [true, true, true]),
        one("cuBLAS [CUTILE]", 16384.0, 1536.0, [true, true, true]),
        narrow(4096.0, 2769.0),
        narrow(8192.0, 2981.0),
        narrow(16384.0, 2936.0),
    ]
}

impl Published {
    fn predicted(&self) -> f64 {
        let m = &B200;
        let rows = if self.pair { "pair.m256" } else { "m128" };
        let name = match self.factor {
            1.0 => format!("tcgen05.mma.{rows}n256k32.f32.e5m2.e5m2"),
            _wide => format!("tcgen05.mma.{rows}n256k16.f32.bf16.bf16"),
        };
        let Some(Action::Matrix(matrix)) = find(&name).map(|i| i.action) else { panic!("{name}") };
        let [rows, columns, terms] = self.size;
        let tiles = rows / 128.0 * (columns / 256.0);
        // a block of a pair holds half of the columns' factor
        let sides = [128.0, if self.pair { 128.0 } else { 256.0 }];
        let operand = |side: f64| Operand {
            bytes: side * 128.0,
            row: 128.0,
            pitch: terms * self.factor,
            shared_by: 1.0,
            filled: 0.0,
            turned: 0.0,
        };
        let slots = m.multiprocessors.min(tiles);
        let deep = if self.grouped { 16.0 } else { rows / 128.0 };
        let wide = slots / deep;
        let touched = (deep * 128.0 + wide.max(1.0) * 256.0) * terms * self.factor;
        let results = rows * columns * 2.0;
        let tiled = Tiled {
            matrix,
            tile: [128.0, 256.0],
            tiles,
            blocks: if self.stay { slots } else { tiles },
            stay: self.stay,
            parts: 0.0,
            groups: 1.0,
            teams: 1.0,
            slices: terms * self.factor / 128.0,
            stages: if self.pair { 6.0 } else { 4.0 },
            instructions: 4.0,
            operands: sides.map(operand),
            scales: 0.0,
            results: Results::Boxes { boxes: 4.0, row: 128.0, written: 64.0 },
            converted: false,
            out: 2.0,
            shared: 196_608.0,
            bytes: (rows + columns) * terms * self.factor + results,
            apart: tiles / slots * touched + results,
        };
        let time = predict(&tiled.work(m), m).time;
        2.0 * rows * columns * terms / time / 1e12
    }
}

#[test]
fn published_rates_of_b200_are_reproduced() {
    let mut errors = Vec::new();
    for p in published() {
        let found = p.predicted();
        println!("{:30} {:?} {:6.0} published, {found:6.0}", p.name, p.size, p.tflops);
        errors.push((found / p.tflops - 1.0).abs());
    }
    errors.sort_by(f64::total_cmp);
    let [median, worst] = [errors[errors.len() / 2], errors[errors.len() - 1]];
    println!("median error {:.1} %, largest {:.1} %", 100.0 * median, 100.0 * worst);
    assert!(median <= 0.15, "{median}");
}
