//! Benchmarks, each contestant checked before its times count, in alternating pairs.
//!
//! On the processor: `contractions [CASE…]` against NumPy; `polybench [medium|large] [KERNEL…]`
//! against gcc; `compile`, the time from text to callable code. On a GPU: `gpu-bandwidth` against
//! PyTorch and the bandwidth of a copy; `gpu-contractions` against PyTorch; `gpu-polybench`
//! against plain CUDA from nvcc; `gpu-gemm` against cublasLt; `gpu-launch`, the time from text to
//! a launched kernel; and, without one, `gpu-compile`, the time from text to PTX.
//!
//! Out: CSV on standard output; what counts is committed under bench/record/.
#![forbid(unsafe_code)]

mod c_peer;
mod compile_time;
mod contractions;
mod gpu;
mod polybench;
mod record;

use std::error::Error;

use warploom::Target;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, cases)) if command == "contractions" => contractions::run(cases),
        Some((command, kernels)) if command == "polybench" => polybench::run(kernels),
        Some((command, [])) if command == "compile" => compile_time::run(Target::Cpu),
        Some((command, [])) if command == "gpu-compile" => compile_time::run(Target::Sm90a),
        Some((command, [target, spec, folder @ ..])) if command == compile_time::ONCE => {
            compile_time::once(target.parse()?, spec, folder.first().map(String::as_str))
        }
        Some((command, words)) if command == "gpu-bandwidth" => gpu::bandwidth::run(words),
        Some((command, words)) if command == "gpu-contractions" => gpu::contractions::run(words),
        Some((command, words)) if command == "gpu-polybench" => gpu::polybench::run(words),
        Some((command, [])) if command == "gpu-launch" => gpu::launch::run(),
        Some((command, [spec, dtype, size, folder @ ..])) if command == gpu::launch::ONCE => {
            gpu::launch::once(spec, dtype, size, folder.first().map(String::as_str))
        }
        Some((command, words)) if command == "gpu-gemm" => gpu::gemm::run(words),
        Some((command, folder)) if command == gpu::gemm::CONTESTANTS => {
            gpu::gemm::serve(folder.first().map(String::as_str))
        }
        Some((command, [])) if command == gpu::CONTESTANT => gpu::serve(),
        Some(_) | None => Err(USAGE.into()),
    }
}

const USAGE: &str = "usage: warploom-bench contractions [CASE…] | polybench [medium|large] \
    [KERNEL…] | compile | gpu-bandwidth [compiled] [f32|bf16] [100|400] [CASE…] | \
    gpu-polybench [limit=SECONDS] [medium|large] [KERNEL…] | \
    gpu-gemm [seconds=N] [schedules=FOLDER] [quick] [bf16|f16] [nn|nt|tn|tt] [SHAPE…] | \
    gpu-launch | gpu-compile";
