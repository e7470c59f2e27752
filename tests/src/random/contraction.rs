//! Random contractions of two tensors: what automatic schedules make of them computes the same.
//!
//! In: a seed. Out: an einsum with types and sizes, and a verdict on its automatic schedule: its
//! kernel, interpreted, or its code on a GPU gives what the nest's interpreter gives, bit for bit.
//! Keeps: the same seed gives the same contraction; elements are small integers, whose sums are
//! exact in every type of sums here, so results do not depend on the order of additions.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use warploom::device::Executor;
use warploom::{Nest, Schedule, Target, compile};
use warploom_ir::dtype::DType;
use warploom_ir::einsum::{Einsum, EinsumOptions, OperandType};
use warploom_ir::interp;
use warploom_ir::nest::Keeps;
use warploom_scheduler::{GpuOptions, auto_gpu, tensor_cores};

use crate::Bits;
use crate::tensor;

/// Most products of a contraction.
const MOST: i64 = 1 << 18;
/// Extents that tiles divide, and others.
const EVEN: [i64; 7] = [8, 16, 24, 32, 48, 64, 72];
const ODD: [i64; 10] = [2, 3, 5, 7, 9, 12, 13, 20, 33, 50];
/// Most dimensions of a tensor.
const RANK: usize = 6;

/// A contraction with its types and sizes.
#[derive(Clone, Debug)]
pub struct Contraction {
    /// The subscripts.
    pub einsum: String,
    /// Extents by label.
    pub sizes: BTreeMap<char, i64>,
    /// Types of the two operands, of sums and of the result.
    pub types: [DType; 4],
    /// What sums may drop.
    pub keeps: Option<Keeps>,
}

impl Display for Contraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, acc, out] = self.types;
        write!(f, "{} of {a} and {b} in {acc} to {out};", self.einsum)?;
        self.sizes.iter().try_for_each(|(label, size)| write!(f, " {label}={size}"))
    }
}

impl Contraction {
    /// The contraction of a seed.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut bits = Bits::new(seed.wrapping_add(1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        for _ in 0..8 {
            let _first = bits.below(2);
        }
        // labels of both operands and the result, of one operand and the result, and of the sum
        let [batch, rows, columns, sums] = loop {
            let batch = [0, 0, 0, 1, 2][bits.below(5)];
            let [m, n, k] = [bits.below(4), bits.below(4), 1 + bits.below(3)];
            let ranks = [batch + m + k, batch + n + k, batch + m + n];
            if ranks.iter().all(|r| (1..=RANK).contains(r)) && ranks[0].max(ranks[1]) > 1 {
                break [batch, m, n, k];
            }
        };
        let mut labels: Vec<char> = ('a'..='z').take(batch + rows + columns + sums).collect();
        shuffle(&mut labels, &mut bits);
        let mut parts = Vec::new();
        for count in [batch, rows, columns, sums] {
            parts.push(labels.split_off(labels.len() - count));
        }
        let mut terms = [[0, 1, 3], [0, 2, 3], [0, 1, 2]].map(|of| {
            let mut term: Vec<char> = of.iter().flat_map(|p| parts[*p].clone()).collect();
            shuffle(&mut term, &mut bits);
            term.into_iter().collect::<String>()
        });
        let sizes = sizes(&parts.concat(), &mut bits);
        let (types, keeps) = types(&mut bits);
        let out = std::mem::take(&mut terms[2]);
        Self { einsum: format!("{},{}->{out}", terms[0], terms[1]), sizes, types, keeps }
    }

    /// Its nest.
    ///
    /// # Panics
    /// It is no einsum.
    #[must_use]
    pub fn nest(&self) -> Nest {
        let einsum = Einsum::parse(&self.einsum).unwrap_or_else(|e| panic!("{self}: {e}"));
        let operand = |(term, dtype): (&warploom_ir::einsum::Term, DType)| {
            let size = |l: char| usize::try_from(self.sizes[&l]).expect("positive");
            OperandType::shaped(dtype, &term.labels().map(size).collect::<Vec<_>>())
        };
        let operands: Vec<OperandType> =
            einsum.inputs.iter().zip(self.types).map(operand).collect();
        let options = EinsumOptions {
            acc: Some(self.types[2]),
            out_dtype: Some(self.types[3]),
            keeps: self.keeps,
            ..EinsumOptions::default()
        };
        einsum.nest(&operands, &options).unwrap_or_else(|e| panic!("{self}: {e}"))
    }

    /// Runs its automatic schedule for a target, on a device if there is one: the instruction that
    /// multiplies, if one does.
    ///
    /// # Errors
    /// What is wrong.
    pub fn judge(
        &self,
        target: Target,
        device: Option<&Executor>,
    ) -> Result<Option<String>, String> {
        let nest = self.nest();
        let why =
            |stage: &'static str| move |d: Box<warploom::diag::Diagnostic>| format!("{stage}: {d}");
        let start = Schedule::new(&nest).map_err(why("no schedule"))?;
        // few multiprocessors, so that blocks of small contractions have several tiles
        let options = GpuOptions { multiprocessors: 4, ..GpuOptions::of(target) };
        let schedule = auto_gpu(&start, &options).map_err(why("no automatic schedule"))?;
        let (sizes, inputs) = tensor::inputs(&nest);
        let want = interp::nest::run(&nest, &sizes, &inputs).map_err(why("nest"))?;
        let have = match device {
            Some(device) => device.run(&schedule, &inputs, &sizes).map_err(why("device"))?,
            None => {
                let lowered = compile::lower(&schedule).map_err(why("lowering"))?;
                let have = interp::kernel::run(lowered.kernel(), &sizes, &inputs);
                let _ptx = lowered.gpu(target).map_err(why("code"))?;
                have.map_err(why("kernel"))?
            }
        };
        for (name, tensor) in &want {
            if tensor.bytes() != have[name].bytes() {
                return Err(format!("`{name}` differs\n{}", schedule.script()));
            }
        }
        let found = tensor_cores(&schedule, target).map_err(why("explanation"))?;
        Ok(found.into_iter().find_map(|f| f.instruction).map(|i| i.to_string()))
    }
}

fn shuffle<T>(list: &mut [T], bits: &mut Bits) {
    for at in (1..list.len()).rev() {
        list.swap(at, bits.below(at + 1));
    }
}

/// Extents, of which the largest become smaller until there are few products.
fn sizes(labels: &[char], bits: &mut Bits) -> BTreeMap<char, i64> {
    let mut out: BTreeMap<char, i64> = BTreeMap::new();
    for label in labels {
        let size = match bits.below(20) {
            0 | 1 => 1,
            2..=12 => *bits.pick(&EVEN),
            _ => *bits.pick(&ODD),
        };
        out.insert(*label, size);
    }
    while out.values().product::<i64>() > MOST {
        let largest = out.values_mut().max().expect("there are labels");
        *largest = if *largest % 2 == 0 { *largest / 2 } else { *largest - 1 };
    }
    out
}

/// Types of operands, sums and results.
fn types(bits: &mut Bits) -> ([DType; 4], Option<Keeps>) {
    use DType::{Bf16, E4m3, E5m2, F16, F32, F64, I8, I32, Tf32, U8};
    let types = *bits.pick(&[
        [Bf16, Bf16, F32, Bf16],
        [Bf16, Bf16, F32, F32],
        [F16, F16, F32, F16],
        [Tf32, Tf32, F32, F32],
        [I8, I8, I32, I32],
        [U8, I8, I32, I32],
        [F64, F64, F64, F64],
        [E4m3, E4m3, F32, F32],
        [E4m3, E5m2, F32, Bf16],
        [Bf16, E4m3, F32, Bf16],
        [F32, F32, F32, F32],
    ]);
    let narrow = |t: DType| matches!(t, E4m3 | E5m2);
    let keeps = (narrow(types[0]) && narrow(types[1]))
        .then(|| Keeps { bits: 13, over: [None, Some(128)][bits.below(2)] });
    (types, keeps)
}

/// What a run over many contractions found.
#[derive(Debug, Default)]
pub struct Found {
    /// How many each instruction multiplies; those without one are the threads'.
    pub by: BTreeMap<String, usize>,
    /// Seeds, contractions and what is wrong with them.
    pub wrong: Vec<String>,
}

/// Judges so many contractions from a seed on, on several threads.
///
/// # Panics
/// Where judging a contraction panics.
#[must_use]
pub fn contractions(
    first: u64,
    count: u64,
    target: &(dyn Fn(u64) -> Target + Sync),
    device: Option<&Executor>,
    threads: u64,
) -> Found {
    let next = AtomicU64::new(first);
    let part = || {
        let mut out = Found::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return out;
            }
            let contraction = Contraction::random(seed);
            match contraction.judge(target(seed), device) {
                Ok(by) => *out.by.entry(by.unwrap_or_else(|| "threads".into())).or_default() += 1,
                Err(why) => {
                    let target = target(seed);
                    out.wrong.push(format!("# seed {seed}, {target}: {contraction}\n{why}"));
                }
            }
        }
    };
    let mut all = Found::default();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(part)).collect();
        for handle in handles {
            let one = handle.join().expect("no contraction panics");
            all.wrong.extend(one.wrong);
            for (by, n) in one.by {
                *all.by.entry(by).or_default() += n;
            }
        }
    });
    all
}
