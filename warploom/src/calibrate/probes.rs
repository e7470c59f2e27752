//! The microbenchmarks: nests like any other, each of which takes as long as one number of the
//! machine says.
//!
//! In: nothing. Out: nests with their sizes, and the number that each tells. Keeps: they go through
//! the automatic schedules and the compiler, so that what is measured is what our code reaches.
//! Why here: a number that another program's code reaches would not predict ours.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::dtype::DType;
use warploom_ir::nest::Nest;
use warploom_ir::target::Target;
use warploom_scheduler::model::Constant;
use warploom_scheduler::{Choices, Schedule, explore};

use crate::spec::{Spec, SpecTypes};
use crate::{Sizes, bind};

/// Every element once, from memory and to it.
const COPY: &str = "param N
in X: f32[N]
out Y: f32[N]
for i in 0..N { S1: Y[i] = X[i] }";

/// The columns of an array that the cache holds, summed again and again.
const AGAIN: &str = "param R, K, M
in X: f32[K, M]
out Y: f32[R, M]
for r in 0..R, m in 0..M {
  S0: Y[r, m] = 0
  for k in 0..K { S1: Y[r, m] += X[k, m] order any }
}";

/// What a probe computes.
#[derive(Clone, Copy, Debug)]
enum What {
    Text(&'static str),
    /// An einsum with factors of a type, results of another, and how sums add.
    Einsum(&'static str, DType, DType, &'static str),
}

/// Sizes by their names.
type Given = &'static [(&'static str, i64)];

/// A microbenchmark.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// What it is called.
    pub name: &'static str,
    /// The number that it tells.
    pub tells: Constant,
    /// It runs for seconds, until the board is as warm as it gets.
    pub sustained: bool,
    what: What,
    sizes: Given,
    /// Sizes at which the interpreter can check it.
    small: Given,
    /// The automatic schedule's choice that makes it wait for what it tells.
    choice: Option<(&'static str, &'static [i64])>,
}

const SQUARE: Given = &[("m", 4096), ("n", 4096), ("k", 1024)];
const SMALL: Given = &[("m", 64), ("n", 64), ("k", 64)];

/// A product of matrices whose sums run along neighbours.
const fn product(name: &'static str, tells: Constant, factor: DType, out: DType) -> Probe {
    let acc = match tells {
        Constant::Float8 => "f32 keeps 13 over 128",
        Constant::Int8 => "i32",
        Constant::Double => "f64",
        Constant::Launch
        | Constant::Memory
        | Constant::Cache
        | Constant::Shared
        | Constant::Half
        | Constant::Tf32
        | Constant::Product => "f32",
    };
    let what = What::Einsum("mk,nk->mn", factor, out, acc);
    Probe { name, tells, sustained: false, what, sizes: SQUARE, small: SMALL, choice: None }
}

/// All, in the order in which they are run: what one tells, the later ones rest on.
pub const PROBES: [Probe; 10] = [
    Probe {
        name: "a copy of 32 elements",
        tells: Constant::Launch,
        sustained: false,
        what: What::Text(COPY),
        sizes: &[("N", 32)],
        small: &[("N", 32)],
        choice: None,
    },
    Probe {
        name: "a copy of 256 MiB",
        tells: Constant::Memory,
        sustained: false,
        what: What::Text(COPY),
        sizes: &[("N", 1 << 26)],
        small: &[("N", 5000)],
        choice: None,
    },
    Probe {
        name: "64 sums of 16 MiB",
        tells: Constant::Cache,
        sustained: false,
        what: What::Text(AGAIN),
        sizes: &[("R", 64), ("K", 1024), ("M", 4096)],
        small: &[("R", 3), ("K", 40), ("M", 100)],
        choice: None,
    },
    Probe {
        name: "a product of f32 in narrow tiles",
        tells: Constant::Shared,
        sustained: false,
        what: What::Einsum("mk,kn->mn", DType::F32, DType::F32, "f32"),
        sizes: &[("m", 1024), ("n", 1024), ("k", 1024)],
        small: SMALL,
        choice: Some(("S1.tiles", &[32, 128, 32, 8])),
    },
    product("a product of bf16", Constant::Half, DType::Bf16, DType::Bf16),
    product("a product of tf32", Constant::Tf32, DType::Tf32, DType::F32),
    product("a product of e4m3", Constant::Float8, DType::E4m3, DType::Bf16),
    product("a product of i8", Constant::Int8, DType::I8, DType::I32),
    product("a product of f64", Constant::Double, DType::F64, DType::F64),
    Probe {
        sustained: true,
        sizes: &[("m", 8192), ("n", 8192), ("k", 8192)],
        ..product("products of bf16 for seconds", Constant::Product, DType::Bf16, DType::Bf16)
    },
];

impl Probe {
    /// The nest at its sizes.
    ///
    /// # Errors
    /// A defect of ours: the texts are fixed.
    pub fn nest(&self) -> Result<Nest> {
        self.at(self.sizes)
    }

    /// The nest at sizes that the interpreter can go through.
    ///
    /// # Errors
    /// As [`Self::nest`].
    pub fn small(&self) -> Result<Nest> {
        self.at(self.small)
    }

    fn at(&self, sizes: Given) -> Result<Nest> {
        let sizes: Sizes = sizes.iter().map(|(name, n)| (Name::from(*name), *n)).collect();
        match self.what {
            What::Text(text) => bind(&text.parse()?, &sizes, &BTreeMap::new()),
            What::Einsum(spec, factor, out, acc) => {
                let types = SpecTypes {
                    dtype: Some(factor),
                    acc: Some(acc.parse()?),
                    out: Some(out),
                    sizes,
                    ..SpecTypes::default()
                };
                bind(&Spec::read(spec)?.nest(&types)?, &Sizes::new(), &BTreeMap::new())
            }
        }
    }

    /// Its schedule for a GPU.
    ///
    /// # Errors
    /// What the automatic schedule refuses.
    pub fn schedule(&self, nest: &Nest, target: Target, multiprocessors: i64) -> Result<Schedule> {
        let one = |(name, values): (&str, &[i64])| (Name::from(name), values.to_vec());
        let choices = Choices(self.choice.map(one).into_iter().collect());
        let start = Schedule::new(nest)?;
        Ok(explore(&start, target, Some(multiprocessors), &choices)?.schedule)
    }
}
