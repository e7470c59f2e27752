//! The thirty kernels of PolyBench/C 4.2 in Rust, written from what they are defined to compute.
//!
//! In: sizes and arrays by name. Out: the arrays that the kernel gives back.
//! Keeps: nothing of Warploom is used (but for the data of `problem`), and sums are added up in the
//! order of the definition, so that what does not fuse multiplications and additions has the same
//! bits.
//! Why here: the nests of `examples/polybench` are judged by these.

#![allow(clippy::needless_range_loop, reason = "loops look like the definition's")]

mod problem;
mod products;
mod solvers;
mod stencils;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use problem::{Problem, Within};

use crate::Bits;

/// Sizes by name.
pub type Sizes = BTreeMap<&'static str, usize>;
/// Arrays by name, row-major; integers as numbers without a fraction.
pub type Data = BTreeMap<&'static str, Vec<f64>>;

/// A size of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `MINI`.
    Mini,
    /// `SMALL`.
    Small,
    /// `MEDIUM`.
    Medium,
}

/// One kernel of the suite.
pub struct PolyBench {
    /// Its name there, and the name of the file without its ending.
    pub name: &'static str,
    /// Sizes of the suite's three smallest problems; `gramschmidt` has its sizes exchanged, since
    /// its columns would be linearly dependent.
    sizes: &'static [(&'static str, [usize; 3])],
    /// Whether some loop can run on threads, in an order that affine schedules can say.
    pub parallel: bool,
    /// The results, in plain Rust.
    pub run: fn(&Sizes, &Data) -> Data,
}

const fn kernel(
    name: &'static str,
    sizes: &'static [(&'static str, [usize; 3])],
    run: fn(&Sizes, &Data) -> Data,
) -> PolyBench {
    PolyBench { name, sizes, parallel: true, run }
}

/// The suite by name.
///
/// What is not parallel: in `ludcmp` a single scalar holds every sum in turn, and `floyd-warshall`
/// reads row and column k while it writes them: its loops over i and j are parallel only apart from
/// i = k and j = k, which schedules tell apart where sizes are known.
pub static KERNELS: [PolyBench; 30] = [
    kernel(
        "2mm",
        &[
            ("NI", [16, 40, 180]),
            ("NJ", [18, 50, 190]),
            ("NK", [22, 70, 210]),
            ("NL", [24, 80, 220]),
        ],
        products::mm2,
    ),
    kernel(
        "3mm",
        &[
            ("NI", [16, 40, 180]),
            ("NJ", [18, 50, 190]),
            ("NK", [20, 60, 200]),
            ("NL", [22, 70, 210]),
            ("NM", [24, 80, 220]),
        ],
        products::mm3,
    ),
    kernel("adi", &[("T", [20, 40, 100]), ("N", [20, 60, 200])], stencils::adi),
    kernel("atax", &[("M", [38, 116, 390]), ("N", [42, 124, 410])], products::atax),
    kernel("bicg", &[("M", [38, 116, 390]), ("N", [42, 124, 410])], products::bicg),
    kernel("cholesky", &[("N", [40, 120, 400])], solvers::cholesky),
    kernel("correlation", &[("M", [28, 80, 240]), ("N", [32, 100, 260])], solvers::correlation),
    kernel("covariance", &[("M", [28, 80, 240]), ("N", [32, 100, 260])], solvers::covariance),
    kernel("deriche", &[("W", [64, 192, 720]), ("H", [64, 128, 480])], stencils::deriche),
    kernel(
        "doitgen",
        &[("NQ", [8, 20, 40]), ("NR", [10, 25, 50]), ("NP", [12, 30, 60])],
        products::doitgen,
    ),
    kernel("durbin", &[("N", [40, 120, 400])], solvers::durbin),
    kernel(
        "fdtd-2d",
        &[("T", [20, 40, 100]), ("NX", [20, 60, 200]), ("NY", [30, 80, 240])],
        stencils::fdtd_2d,
    ),
    PolyBench {
        parallel: false,
        ..kernel("floyd-warshall", &[("N", [60, 180, 500])], stencils::floyd_warshall)
    },
    kernel(
        "gemm",
        &[("NI", [20, 60, 200]), ("NJ", [25, 70, 220]), ("NK", [30, 80, 240])],
        products::gemm,
    ),
    kernel("gemver", &[("N", [40, 120, 400])], products::gemver),
    kernel("gesummv", &[("N", [30, 90, 250])], products::gesummv),
    kernel("gramschmidt", &[("M", [30, 80, 240]), ("N", [20, 60, 200])], solvers::gramschmidt),
    kernel("heat-3d", &[("T", [20, 40, 100]), ("N", [10, 20, 40])], stencils::heat_3d),
    kernel("jacobi-1d", &[("T", [20, 40, 100]), ("N", [30, 120, 400])], stencils::jacobi_1d),
    kernel("jacobi-2d", &[("T", [20, 40, 100]), ("N", [30, 90, 250])], stencils::jacobi_2d),
    kernel("lu", &[("N", [40, 120, 400])], solvers::lu),
    PolyBench { parallel: false, ..kernel("ludcmp", &[("N", [40, 120, 400])], solvers::ludcmp) },
    kernel("mvt", &[("N", [40, 120, 400])], products::mvt),
    kernel("nussinov", &[("N", [60, 180, 500])], stencils::nussinov),
    kernel("seidel-2d", &[("T", [20, 40, 100]), ("N", [40, 120, 400])], stencils::seidel_2d),
    kernel("symm", &[("M", [20, 60, 200]), ("N", [30, 80, 240])], products::symm),
    kernel("syr2k", &[("M", [20, 60, 200]), ("N", [30, 80, 240])], products::syr2k),
    kernel("syrk", &[("M", [20, 60, 200]), ("N", [30, 80, 240])], products::syrk),
    kernel("trisolv", &[("N", [40, 120, 400])], solvers::trisolv),
    kernel("trmm", &[("M", [20, 60, 200]), ("N", [30, 80, 240])], products::trmm),
];

/// A kernel of the suite.
///
/// # Panics
/// There is none of this name.
#[must_use]
pub fn kernel_named(name: &str) -> &'static PolyBench {
    KERNELS.iter().find(|k| k.name == name).expect("the suite has the kernel")
}

/// Calls a macro with a name for a test and the name of each kernel of [`KERNELS`].
#[macro_export]
macro_rules! for_each_polybench {
    ($then:ident) => {
        $then! {
            mm2 "2mm"
            mm3 "3mm"
            adi "adi"
            atax "atax"
            bicg "bicg"
            cholesky "cholesky"
            correlation "correlation"
            covariance "covariance"
            deriche "deriche"
            doitgen "doitgen"
            durbin "durbin"
            fdtd_2d "fdtd-2d"
            floyd_warshall "floyd-warshall"
            gemm "gemm"
            gemver "gemver"
            gesummv "gesummv"
            gramschmidt "gramschmidt"
            heat_3d "heat-3d"
            jacobi_1d "jacobi-1d"
            jacobi_2d "jacobi-2d"
            lu "lu"
            ludcmp "ludcmp"
            mvt "mvt"
            nussinov "nussinov"
            seidel_2d "seidel-2d"
            symm "symm"
            syr2k "syr2k"
            syrk "syrk"
            trisolv "trisolv"
            trmm "trmm"
        }
    };
}

impl PolyBench {
    /// The sizes of a problem.
    #[must_use]
    pub fn sizes(&self, class: Class) -> Vec<(&'static str, usize)> {
        self.sizes.iter().map(|(name, sizes)| (*name, sizes[class as usize])).collect()
    }

    /// The text of its nest, from the workspace, or from the folder that the program runs in.
    #[must_use]
    pub fn text(&self) -> String {
        let file = format!("examples/polybench/{}.nest", self.name);
        let inside = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(&file);
        let found = fs::read_to_string(inside).or_else(|_| fs::read_to_string(&file));
        found.unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    /// Random contents of an array, such that the problem is well conditioned: uniform in (-1, 1),
    /// but matrices to be factored have a dominant diagonal (`cholesky`'s is symmetric too),
    /// `durbin`'s Toeplitz matrix is dominated by its ones, `deriche`'s filter decays; lengths of
    /// edges are 1..=1000, bases 0..=3.
    #[must_use]
    pub fn fill(&self, array: &str, shape: &[usize], bits: &mut Bits) -> Vec<f64> {
        let order = shape.first().copied().unwrap_or(1);
        let mut uniform = || 2.0 * (bits.below(1 << 40) as f64 + 0.5) / (1_u64 << 40) as f64 - 1.0;
        let count: usize = shape.iter().product();
        let mut out: Vec<f64> = (0..count).map(|_| uniform()).collect();
        match (self.name, array) {
            ("deriche", "alpha") => out = vec![0.9],
            ("durbin", "r") => out.iter_mut().for_each(|v| *v /= 2.0 * order as f64),
            ("floyd-warshall", _) => {
                out.iter_mut().for_each(|v| *v = (500.5 * (*v + 1.0)).floor().clamp(1.0, 1000.0));
            }
            ("nussinov", "seq") => {
                out.iter_mut().for_each(|v| *v = (2.0 * (*v + 1.0)).floor().clamp(0.0, 3.0));
            }
            ("nussinov", _) => out.fill(0.0),
            ("cholesky" | "lu" | "ludcmp", "A") | ("trisolv", "L") => {
                for i in 0..order {
                    for j in 0..i {
                        if self.name == "cholesky" {
                            out[j * order + i] = out[i * order + j];
                        }
                    }
                    out[i * order + i] = order as f64;
                }
            }
            _ => {}
        }
        out
    }
}
