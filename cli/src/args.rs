//! The command line's shape (docs/ARCHITECTURE.md), parsed by clap.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A JIT compiler for einsums, indexed formulas and affine loop nests.
#[derive(Debug, Parser)]
#[command(name = "warploom", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Seconds that the analyses of a command may take together; one question has 20.
    #[arg(long, global = true, default_value_t = 60)]
    pub(crate) time_limit: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compiles a spec, runs it and prints or stores the result.
    Run(RunArgs),
    /// Replays a schedule on a spec and says whether each step is legal; verifies a kernel.
    Check(CheckArgs),
    /// Prints the dependences of a spec.
    Deps(SpecArgs),
    /// Prints the schedule of a spec.
    Schedule(ScheduleArgs),
    /// Says what each loop does: parallel or not and why, FLOP, bytes, intensity.
    Explain(ExplainArgs),
    /// Prints one stage of the compilation.
    Emit(EmitArgs),
    /// Searches for the fastest schedule of a spec on this machine, and remembers it.
    Tune(TuneArgs),
    /// Races schedules, libraries and kernels of one's own on a spec, each checked first.
    Compare(CompareArgs),
    /// Shrinks a spec and a schedule that show a defect to a few lines that still show it.
    Reduce(ReduceArgs),
    /// Prints the nest of a product of f64 or f32 from 8-bit integer products (Ozaki scheme II).
    Ozaki(OzakiArgs),
    /// Shows what works on a GPU, and how fast, in one file to send; or makes a folder that does so
    /// elsewhere.
    Bench(BenchArgs),
    /// Says what this machine has and whether Warploom can use it.
    Doctor(DoctorArgs),
}

/// A spec and how its sizes and types are chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct SpecArgs {
    /// A file ending in .nest, a formula (contains `=`), or an einsum. `run`, `emit` and `check`
    /// also take a file ending in .kernel.
    pub(crate) spec: String,
    /// Sizes, as `m=512,n=384,k=640`.
    #[arg(long, value_delimiter = ',')]
    pub(crate) size: Vec<String>,
    /// Type of the inputs of an einsum or formula (default: that of the files, else f32).
    #[arg(long)]
    pub(crate) dtype: Option<String>,
    /// How sums of an einsum or formula add: a type, and what additions may drop, as in
    /// `f32 keeps 13 over 128`.
    #[arg(long)]
    pub(crate) acc: Option<String>,
    /// Output type of an einsum or formula.
    #[arg(long)]
    pub(crate) out_dtype: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where tuned schedules are remembered.
#[derive(Debug, Clone, Args)]
pub(crate) struct RecordArgs {
    /// The folder of tuning records; a schedule that was tuned for the spec is taken from there.
    #[arg(long, value_name = "DIR", default_value_os_t = warploom::cache::folder("records"))]
    pub(crate) records: PathBuf,
    /// Neither reads nor writes tuning records.
    #[arg(long, conflicts_with = "records")]
    pub(crate) no_records: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MachineArgs {
    /// The folder of machine descriptions that `doctor --calibrate` wrote.
    #[arg(long, value_name = "DIR", default_value_os_t = warploom::cache::folder("machines"))]
    pub(crate) machines: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CacheArgs {
    /// The folder of compiled code, which later runs take from there [default: warploom/code in the
    /// user's cache; none where WARPLOOM_NO_CACHE is set].
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Compiles, whatever was compiled before, and keeps nothing.
    #[arg(long, conflicts_with = "cache")]
    pub(crate) no_cache: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Cases whose names have one of these words in them, or groups: `products`, `contractions`,
    /// `convolutions`, `emulated`, `scaled`; all where nothing is said.
    pub(crate) only: Vec<String>,
    /// What code is made for: by default the GPU here, else `sm_100a`.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// Nothing is timed.
    #[arg(long)]
    pub(crate) no_timing: bool,
    /// How long the rounds of a timed problem take at most.
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) budget: Duration,
    /// The file with all that came out.
    #[arg(long, value_name = "FILE", default_value = "warploom-bench.json")]
    pub(crate) report: PathBuf,
    /// Makes a folder with this program and what to do with it on a machine with the GPU, and does
    /// nothing else.
    #[arg(long, value_name = "DIR")]
    pub(crate) bundle: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Inputs: FILE in order of declaration, or NAME=FILE (.npy, .safetensors,
    /// FILE.safetensors:TENSOR).
    pub(crate) files: Vec<String>,
    /// Where outputs go: FILE in order of declaration, or NAME=FILE.
    #[arg(short, long)]
    pub(crate) output: Vec<String>,
    /// Seed of the random inputs that no file gives.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Where to run: `cpu` or `cuda[:i]`; by default the GPU if there is one, else the CPU. A
    /// .kernel also runs in the `interpreter`, which finds races and deadlocks of these sizes.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// What code is made for, such as `sm_80`; by default the best target of the device.
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The schedule's script; by default that of a tuning record, else one is made.
    #[arg(long)]
    pub(crate) schedule: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Compiles for all sizes, which become arguments; by default the sizes at hand are written
    /// into the code.
    #[arg(long)]
    pub(crate) symbolic: bool,
    /// Compares the result with an independent reference and prints error and bound.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Threads of the CPU path (default: all).
    #[arg(long)]
    pub(crate) threads: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// The schedule's script; a .kernel has none.
    #[arg(long)]
    pub(crate) schedule: Option<PathBuf>,
    /// Also makes code for a target and checks the script's contracts about it
    /// (`require tensor_core, smem <= 200K`); no GPU is needed.
    #[arg(long)]
    pub(crate) target: Option<String>,
}

/// What `schedule` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// The tree of loops with marks and reasons.
    Tree,
    /// The scheduled loops as code.
    Loops,
    /// Instances in execution order.
    Timeline,
    /// The script.
    Script,
    /// The tree as JSON.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ScheduleArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// A script to replay; by default that of a tuning record, else the automatic schedule.
    #[arg(long)]
    pub(crate) schedule: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// What to print.
    #[arg(long, value_enum, default_value = "tree")]
    pub(crate) view: View,
    /// Most instances a timeline prints.
    #[arg(long, default_value_t = 200)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// The target: `cpu`, `sm_80`, `sm_86`, `sm_89`, `sm_90a`, `sm_100a`, `sm_103a` or `sm_120`.
    #[arg(long, default_value = "cpu")]
    pub(crate) target: String,
    /// The GPU whose time is predicted: `a100`, `h100`, `h200`, `b200`, or the machine description
    /// in a file ending in .toml; by default this machine's where it is calibrated, else the
    /// target's.
    #[arg(long)]
    pub(crate) machine: Option<String>,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    /// A script to replay; by default that of a tuning record, else the automatic schedule.
    #[arg(long)]
    pub(crate) schedule: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
}

/// A stage of the compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The nest's canonical text.
    Nest,
    /// The schedule's script.
    Schedule,
    /// The kernel's text.
    Kernel,
    /// The launches of the kernel, their order and their memory, then the kernel.
    Program,
    /// LLVM IR.
    Llvm,
    /// The scheduled nest as C99.
    C,
    /// PTX of a GPU target.
    Ptx,
    /// What `ptxas` says of a GPU's code: registers, memory, spills.
    Resources,
    /// The machine code that `ptxas` makes of it, as `nvdisasm` prints it.
    Sass,
}

#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// The target: `cpu`, `sm_80`, `sm_86`, `sm_89`, `sm_90a`, `sm_100a`, `sm_103a` or `sm_120`.
    #[arg(long, default_value = "cpu")]
    pub(crate) target: String,
    /// What to print.
    #[arg(long, value_enum)]
    pub(crate) stage: Stage,
    /// A script to replay; by default that of a tuning record, else the automatic schedule.
    #[arg(long)]
    pub(crate) schedule: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TuneArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Where to measure: `cpu` or `cuda[:i]`; by default the GPU if there is one, else the CPU.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// The wall-clock time after which no more candidates are made: `10s`, `1.5m`, `500ms`.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) budget: Duration,
    /// The most candidates.
    #[arg(long, default_value_t = 1000)]
    pub(crate) most: usize,
    /// Seed of the random inputs and of the search.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads of the CPU path (default: all).
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// Writes the script of the fastest schedule.
    #[arg(short, long)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// Scripts that contend beside the automatic schedule and the tuned one.
    #[arg(long, num_args = 1..)]
    pub(crate) schedule: Vec<PathBuf>,
    /// Others that contend: `gcc`, `numpy`, `cublaslt`, or manifests of kernels
    /// (docs/compare.md); by default those that run on the device.
    #[arg(long, num_args = 1..)]
    pub(crate) with: Vec<String>,
    /// Says which steps make the difference between two schedules that contend (`automatic`,
    /// `tuned`, names of scripts): those on the way from one to the other contend, too.
    #[arg(long, num_args = 2, value_names = ["FIRST", "SECOND"])]
    pub(crate) gap: Vec<String>,
    /// Where: `cpu` or `cuda[:i]`; by default the GPU if there is one, else the CPU.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Most rounds, in each of which everyone has a turn.
    #[arg(long, default_value_t = 51)]
    pub(crate) rounds: usize,
    /// The time after which no more rounds begin (but there are at least nine).
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub(crate) budget: Duration,
    /// Seed of the random inputs.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Threads of the CPU path (default: all).
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// Writes a bar chart as SVG.
    #[arg(long)]
    pub(crate) chart: Option<PathBuf>,
}

/// `10s`, `1.5m`, `500ms`; seconds where there is no unit.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| c.is_ascii_alphabetic()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let scale = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is none of ms, s, m, h")),
    };
    let number: f64 = number.trim().parse().map_err(|_| format!("`{text}` is no time"))?;
    Duration::try_from_secs_f64(number * scale).map_err(|_| format!("`{text}` is no time"))
}

/// One number of moduli, or a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moduli {
    pub(crate) least: usize,
    pub(crate) most: usize,
}

impl FromStr for Moduli {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        let number =
            |n: &str| n.parse().map_err(|_| "give a number, or a range as 14-18".to_owned());
        Ok(Self { least: number(least)?, most: number(most)? })
    }
}

/// What is asked of an emulated product.
#[derive(Debug, Args)]
pub(crate) struct OzakiArgs {
    /// An einsum of two operands, as `mk,kn->mn`, `km,nk->mn` or `bmk,bkn->bmn`; the nest's sizes
    /// are the indices in upper case.
    pub(crate) spec: String,
    /// Bits below the norm of its row (or column) that an element keeps at least; by default those
    /// of the type, 53 or 24.
    #[arg(long, conflicts_with_all = ["tol", "moduli"])]
    pub(crate) bits: Option<u32>,
    /// The error allowed, as a part of the norm of the row times that of the column.
    #[arg(long, conflicts_with = "moduli")]
    pub(crate) tol: Option<f64>,
    /// Most terms of a sum (default: 131071, as many as add up without a remainder between; up to
    /// 2097152, in blocks); `--tol` is meant for sums of so many.
    #[arg(long)]
    pub(crate) terms: Option<u64>,
    /// `A`: every element as accurate as a sum of native products, |C - AB| <= (K + 2)·u·|A||B|;
    /// where the data do not prove it of the emulation, it is such a sum. The moduli are then 15
    /// (f32: 8), unless asked for.
    #[arg(long, value_parser = ["A"])]
    pub(crate) grade: Option<String>,
    /// Adds an output `native`, how many elements `--grade` sums natively; with a range of
    /// `--moduli` also an output `moduli`, how many were chosen.
    #[arg(long, requires = "grade")]
    pub(crate) count_native: bool,
    /// Elements are complex: a last dimension of extent 2 holds their parts. Three real products.
    #[arg(long, conflicts_with = "alpha_beta")]
    pub(crate) complex: bool,
    /// Prints the nest that prepares this operand, A or B, once for many products.
    #[arg(long, value_parser = ["A", "B"], conflicts_with = "prepared")]
    pub(crate) prepare: Option<String>,
    /// Prints the nest of a product whose operand, A or B, `--prepare` has prepared.
    #[arg(long, value_parser = ["A", "B"])]
    pub(crate) prepared: Option<String>,
    /// How many moduli, whatever the accuracy; with `--grade A` also a range, as `14-18`: the
    /// device takes as many of them as the data need.
    #[arg(long)]
    pub(crate) moduli: Option<Moduli>,
    /// The type of the operands and the result: f64 (the default) or f32.
    #[arg(long)]
    pub(crate) dtype: Option<String>,
    /// C becomes alpha·AB + beta·C, with the two scalars as inputs.
    #[arg(long)]
    pub(crate) alpha_beta: bool,
    /// Without a value prints how much memory the product takes beside its arrays, at the sizes of
    /// `--size`; with one, as `2GiB`, writes a nest for these sizes that takes no more: where all
    /// at once would, rows and columns in panels.
    #[arg(long, requires = "size", num_args = 0..=1, conflicts_with_all = ["prepare", "prepared"])]
    pub(crate) workspace: Option<Option<String>>,
    /// Sizes, as `M=4096,N=4096,K=4096`, for `--workspace` and `--schedule-for`.
    #[arg(long)]
    pub(crate) size: Vec<String>,
    /// `1`: sums of products of slices; `2` (the default): products modulo numbers.
    #[arg(long, default_value = "2", value_parser = ["1", "2"])]
    pub(crate) scheme: String,
    /// Scheme 1: slices of each operand.
    #[arg(long, default_value_t = 8)]
    pub(crate) slices: u32,
    /// Scheme 1: pairs of slices count whose numbers, from 0, add up to less; by default as many as
    /// slices.
    #[arg(long)]
    pub(crate) pairs: Option<u32>,
    /// Scheme 1: bits of a slice, with its sign; by default as many as leave long exact sums.
    #[arg(long)]
    pub(crate) slice_bits: Option<u32>,
    /// Scheme 1: pairs of the same exponent are one exact sum.
    #[arg(long)]
    pub(crate) grouped: bool,
    /// Scheme 1: the type of the slices, i8, bf16 or f16.
    #[arg(long, default_value = "i8")]
    pub(crate) slice_type: String,
    /// Scheme 1: prints the schedule for this target instead of the nest.
    #[arg(long, requires = "size")]
    pub(crate) schedule_for: Option<String>,
    /// Prints JSON: the nest, the moduli, and the bound's two numbers.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReduceArgs {
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// The schedule's script.
    #[arg(long)]
    pub(crate) schedule: PathBuf,
    /// Where the pair runs: `cpu` or `cuda[:i]`.
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Seed of the random inputs.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// The error that must stay (default: the one that the pair gives, such as E0950).
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// A shell command that exits with 0 where a pair still shows the defect; `{nest}` and
    /// `{sched}` stand for its files.
    #[arg(long, conflicts_with_all = ["code", "device"])]
    pub(crate) check: Option<String>,
    /// Most pairs that are tried.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) tries: usize,
    /// Writes OUTPUT.nest and OUTPUT.sched.
    #[arg(short, long, default_value = "reduced")]
    pub(crate) output: String,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Measures a GPU for the performance model (a minute or two), and writes a machine description
    /// that predictions for it then use.
    #[arg(long)]
    pub(crate) calibrate: bool,
    /// The GPU to calibrate, `cuda[:i]`; by default the first that is new enough.
    #[arg(long, requires = "calibrate")]
    pub(crate) device: Option<String>,
    #[command(flatten)]
    pub(crate) machines: MachineArgs,
    /// Writes the description to this file and not to the folder.
    #[arg(short, long, value_name = "FILE", requires = "calibrate")]
    pub(crate) output: Option<PathBuf>,
}
