//! What a GPU can do, as data: sizes, clocks, rates, latencies, power.
//!
//! In: a target or the name of a GPU. Out: a [`Machine`], plain numbers that [`super::predict`]
//! divides by. Keeps: a number stands here and nowhere else; each says where it comes from.
//! Sources: [DS] NVIDIA's data sheets of A100, A40, L40S, RTX 5090, H100, H200 and HGX B200; [WP]
//! NVIDIA's white papers on the architectures of A100, H100 and Blackwell (products a clock of a
//! multiprocessor, shared memory, caches); [REC] fitted to the lines of `bench/record/h200-*.csv`
//! that docs/performance-model.md names. What is fitted on an H200 is in [`Fitted`], and other
//! machines take it over in clocks, which docs/performance-model.md says of every prediction for
//! them.

use warploom_ir::dtype::DType;
use warploom_ir::instruction::Matrix;
use warploom_ir::target::Target;

/// Products (a multiplication and an addition) that the matrix units of one multiprocessor start in
/// a clock, for each type of factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products {
    /// f16 and bf16.
    pub half: f64,
    /// tf32.
    pub tf32: f64,
    /// e4m3 and e5m2.
    pub float8: f64,
    /// e2m1; as `float8` where no instruction takes it.
    pub float4: f64,
    /// i8 and u8.
    pub int8: f64,
    /// f64.
    pub double: f64,
    /// The share of these rates that instructions reach whose factors are in registers (f64 has no
    /// other and reaches all).
    pub from_registers: f64,
}

/// What data sheets do not say: latencies and rates fitted to measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fitted {
    /// Seconds between two events around a launch that does nothing.
    pub launch: f64,
    /// Clocks from a request of the copy engine until its first bytes are in shared memory.
    pub latency: f64,
    /// Clocks that the first request of a block takes longer: descriptors, addresses and data are
    /// in no cache yet.
    pub cold: f64,
    /// Clocks from a thread's load until the value is in its register.
    pub load: f64,
    /// Bytes a clock that enter one multiprocessor, where copies have rows of 128 bytes.
    pub port: f64,
    /// Clocks that a row of a copied box costs, however short it is.
    pub row: f64,
    /// Clocks that a row of a box of results costs.
    pub stored: f64,
    /// Clocks that a run of neighbours costs which a warp stores, however short it is.
    pub scattered: f64,
    /// Clocks from the first instruction of a block to its first request, and from its last store
    /// to the next block.
    pub block: f64,
    /// Clocks until blocks of a cluster have met at their beginning and their end.
    pub cluster: f64,
    /// Clocks between two groups of box stores that wait for each other.
    pub slab: f64,
    /// Clocks of matrix instructions that depend on what has just come, for each slice.
    pub slice: f64,
    /// What matrix instructions from registers lose where one warp issues them, in times of them.
    pub alone: f64,
    /// What they lose, whatever other warps do, where each step's fragments are loaded before it.
    pub steps: f64,
    /// Clocks between two instructions of a thread that depend on each other.
    pub dependent: f64,
    /// Clocks of a meeting of a block's threads.
    pub meeting: f64,
    /// Exponent of the norm that joins times of which each hides the others in part.
    pub sharpness: f64,
    /// Joules of a product of 16-bit factors; other types by their width.
    pub product: f64,
    /// Joules of a byte from or to memory.
    pub byte: f64,
    /// Seconds of pauses between launches in which the board cools, as measurements have them.
    pub pause: f64,
}

/// A GPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Machine {
    /// Its name, as a driver says it.
    pub name: &'static str,
    /// What code for it is generated for.
    pub target: Target,
    /// Multiprocessors.
    pub multiprocessors: f64,
    /// Clocks a second while power does not limit it.
    pub clock: f64,
    /// Matrix units.
    pub products: Products,
    /// Instructions that a multiprocessor starts in a clock, each of 32 threads.
    pub issue: f64,
    /// Operations of f32 a clock of a multiprocessor, and of f64.
    pub lanes: f64,
    /// As [`Self::lanes`] for f64.
    pub double_lanes: f64,
    /// Bytes a clock of shared memory, and bytes of it that a multiprocessor has.
    pub shared: f64,
    /// Bytes of shared memory of a multiprocessor.
    pub shared_bytes: f64,
    /// Threads that a multiprocessor has at once, and registers they share.
    pub threads: f64,
    /// 32-bit registers of a multiprocessor.
    pub registers: f64,
    /// Bytes a clock that all multiprocessors together get from the second-level cache.
    pub cache: f64,
    /// Bytes of the second-level cache.
    pub cache_bytes: f64,
    /// Bytes a second that copies reach from and to memory.
    pub memory: f64,
    /// Watts that the board may take, and that it takes while it waits.
    pub watts: f64,
    /// Watts of a board that waits.
    pub idle: f64,
    /// What was fitted.
    pub fitted: Fitted,
}

/// Fitted on an H200 [REC].
const FITTED: Fitted = Fitted {
    launch: 3.4e-6,
    latency: 1280.0,
    cold: 1200.0,
    load: 690.0,
    port: 50.0,
    row: 1.28,
    stored: 5.1,
    scattered: 4.1,
    block: 570.0,
    cluster: 600.0,
    slab: 205.0,
    slice: 5.0,
    alone: 1.2,
    steps: 0.13,
    dependent: 4.8,
    meeting: 22.0,
    sharpness: 5.5,
    product: 1.4e-12,
    byte: 45e-12,
    pause: 88e-6,
};

/// H200 SXM: [DS] 4.8 TB/s, 700 W; [WP] of Hopper; a copy of 1 GiB reaches 4.25 TB/s [REC].
pub const H200: Machine = Machine {
    name: "NVIDIA H200",
    target: Target::Sm90a,
    multiprocessors: 132.0,
    clock: 1.98e9,
    products: Products {
        half: 2048.0,
        tf32: 1024.0,
        float8: 4096.0,
        float4: 4096.0,
        int8: 4096.0,
        double: 128.0,
        from_registers: 0.3,
    },
    issue: 4.0,
    lanes: 128.0,
    double_lanes: 64.0,
    shared: 128.0,
    shared_bytes: 233_472.0,
    threads: 2048.0,
    registers: 65_536.0,
    cache: 6500.0,
    cache_bytes: 50e6,
    memory: 4.25e12,
    watts: 700.0,
    idle: 110.0,
    fitted: FITTED,
};

/// H100 SXM: as H200 but for its memory, 3.35 TB/s [DS], of which copies reach the same share.
pub const H100: Machine = Machine { name: "NVIDIA H100", memory: 2.97e12, ..H200 };

/// A100 SXM, 80 GB: [DS] 2.04 TB/s, 400 W, 1.41 GHz; [WP] of Ampere.
pub const A100: Machine = Machine {
    name: "NVIDIA A100",
    target: Target::Sm80,
    multiprocessors: 108.0,
    clock: 1.41e9,
    products: Products {
        half: 1024.0,
        tf32: 512.0,
        float8: 1024.0,
        float4: 1024.0,
        int8: 2048.0,
        double: 64.0,
        from_registers: 1.0,
    },
    issue: 4.0,
    lanes: 64.0,
    double_lanes: 32.0,
    shared: 128.0,
    shared_bytes: 167_936.0,
    threads: 2048.0,
    registers: 65_536.0,
    cache: 5120.0,
    cache_bytes: 40e6,
    memory: 1.75e12,
    watts: 400.0,
    idle: 60.0,
    fitted: FITTED,
};

/// A40: [DS] 696 GB/s, 300 W, 1.74 GHz, 149.7 TFLOP/s of bf16. Sheets do not say what the
/// second-level caches of this and the next two give: taken as A100's for each multiprocessor; of
/// the memory's rate copies are taken to reach the same share as an H200's.
const A40: Machine = Machine {
    name: "NVIDIA A40",
    target: Target::Sm86,
    multiprocessors: 84.0,
    clock: 1.74e9,
    products: Products {
        half: 512.0,
        tf32: 256.0,
        float8: 512.0,
        float4: 512.0,
        int8: 1024.0,
        double: 2.0,
        from_registers: 1.0,
    },
    lanes: 128.0,
    double_lanes: 2.0,
    shared_bytes: 102_400.0,
    threads: 1536.0,
    cache: 3980.0,
    cache_bytes: 6e6,
    memory: 0.616e12,
    watts: 300.0,
    idle: 30.0,
    ..A100
};

/// L40S: [DS] 864 GB/s, 350 W, 2.52 GHz, 362 TFLOP/s of bf16 and twice of 8 bits.
const L40S: Machine = Machine {
    name: "NVIDIA L40S",
    target: Target::Sm89,
    multiprocessors: 142.0,
    clock: 2.52e9,
    products: Products { float8: 1024.0, float4: 1024.0, ..A40.products },
    cache: 6730.0,
    cache_bytes: 96e6,
    memory: 0.765e12,
    watts: 350.0,
    ..A40
};

/// RTX 5090: [DS] 1.79 TB/s, 575 W, 2.41 GHz, 209.5 TFLOP/s of bf16 with sums of f32, twice of e4m3
/// and four times of i8.
const RTX5090: Machine = Machine {
    name: "NVIDIA GeForce RTX 5090",
    target: Target::Sm120,
    multiprocessors: 170.0,
    clock: 2.41e9,
    products: Products { half: 256.0, tf32: 128.0, float8: 512.0, ..A40.products },
    cache: 8060.0,
    cache_bytes: 96e6,
    memory: 1.586e12,
    watts: 575.0,
    ..A40
};

/// B200: [DS] 8 TB/s, 1000 W, 148 multiprocessors; [WP] of Blackwell: matrix units twice as wide as
/// Hopper's, 126 MB of cache. What copies reach of the memory's rate is taken from H200.
pub const B200: Machine = Machine {
    name: "NVIDIA B200",
    target: Target::Sm100a,
    multiprocessors: 148.0,
    clock: 1.965e9,
    products: Products {
        half: 4096.0,
        tf32: 2048.0,
        float8: 8192.0,
        float4: 16384.0,
        int8: 8192.0,
        double: 64.0,
        from_registers: 0.25,
    },
    issue: 4.0,
    lanes: 128.0,
    double_lanes: 64.0,
    shared: 128.0,
    shared_bytes: 233_472.0,
    threads: 2048.0,
    registers: 65_536.0,
    cache: 10_000.0,
    cache_bytes: 126e6,
    memory: 7.1e12,
    watts: 1000.0,
    idle: 140.0,
    // the port and the energy are what published rates come to (docs/performance-model.md)
    fitted: Fitted { port: 70.0, product: 1.05e-12, ..FITTED },
};

/// B300: as B200 but for 1400 W, and few units for integers and f64 ([DS] of HGX B300: 0.3 POPS and
/// 1.3 TFLOP/s). Its sheet's further half of e2m1 ([DS] 108 PFLOP/s of eight, dense) is for
/// instructions of 96 terms, which the table has not.
pub(super) const B300: Machine = Machine {
    name: "NVIDIA B300",
    target: Target::Sm103a,
    products: Products { int8: 512.0, double: 2.0, from_registers: 1.0, ..B200.products },
    double_lanes: 2.0,
    watts: 1400.0,
    ..B200
};

impl Machine {
    /// All that are described.
    pub const ALL: [Self; 8] = [H200, H100, A100, A40, L40S, RTX5090, B200, B300];

    /// The machine that predictions for a target are for; none for the processor.
    #[must_use]
    pub fn of(target: Target) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.target == target)
    }

    /// The machine whose name is part of this one, such as `h100` or `NVIDIA H100 80GB HBM3`.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        let word = |m: &Self| m.name.rsplit(' ').next().map(str::to_lowercase);
        Self::ALL.into_iter().find(|m| word(m).is_some_and(|w| text.contains(&w)))
    }

    /// Products that one multiprocessor starts in a clock by this instruction.
    #[must_use]
    pub fn rate(&self, matrix: &Matrix) -> f64 {
        let p = &self.products;
        let whole = match matrix.a {
            DType::F16 | DType::Bf16 => p.half,
            DType::Tf32 | DType::F32 => p.tf32,
            DType::E4m3 | DType::E5m2 => p.float8,
            DType::E2m1 => p.float4,
            DType::I8 | DType::U8 => p.int8,
            DType::F64 => p.double,
            DType::Ue8m0
            | DType::Ue4m3
            | DType::I64
            | DType::U64
            | DType::I32
            | DType::U32
            | DType::I16
            | DType::U16
            | DType::Bool => self.lanes,
        };
        let registers = !matrix.shared && matrix.a != DType::F64;
        if registers { whole * p.from_registers } else { whole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gpu_target_has_a_machine_and_names_are_found() {
        for target in Target::ALL {
            assert_eq!(Machine::of(target).is_some(), target.gpu().is_some(), "{target}");
        }
        assert_eq!(Machine::named("NVIDIA H100 80GB HBM3"), Some(H100));
        assert_eq!(Machine::named("b200"), Some(B200));
        assert_eq!(Machine::named("GeForce"), None);
    }

    #[test]
    fn peaks_are_those_of_the_data_sheets() {
        // [DS], dense, in units of 1e12; at the clock of the sheet for H100 and H200
        let peak = |m: &Machine, products: f64, clock: f64| {
            2.0 * products * m.multiprocessors * clock / 1e12
        };
        for (m, products, clock, sheet) in [
            (&H200, H200.products.half, 1.83e9, 989.0),
            (&H200, H200.products.double, 1.98e9, 67.0),
            (&A100, A100.products.half, 1.41e9, 312.0),
            (&A100, A100.products.double, 1.41e9, 19.5),
            (&A40, A40.products.half, 1.74e9, 149.7),
            (&L40S, L40S.products.int8, 2.52e9, 733.0),
            (&RTX5090, RTX5090.products.half, 2.407e9, 209.5),
            (&B200, B200.products.half, 1.85e9, 2250.0),
            (&B200, B200.products.float8, 1.85e9, 4500.0),
            (&B200, B200.products.float4, 1.85e9, 9000.0),
        ] {
            let found = peak(m, products, clock);
            assert!((found / sheet - 1.0).abs() < 0.01, "{}: {found} for {sheet}", m.name);
        }
    }
}
