//! CPU benchmarks. `contractions [CASE…]`: against NumPy, in alternating pairs. `compile`: the time
//! from text to callable code, each in a process of its own. `polybench [medium|large]
//! [KERNEL…]`: the kernels of PolyBench against gcc, in alternating pairs.
//!
//! Out: CSV on standard output; what counts is committed under bench/record/.
#![forbid(unsafe_code)]

mod c_peer;
mod compile_time;
mod contractions;
mod peer;
mod polybench;
mod process;
mod statistics;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, cases)) if command == "contractions" => contractions::run(cases),
        Some((command, kernels)) if command == "polybench" => polybench::run(kernels),
        Some((command, [])) if command == "compile" => compile_time::run(),
        Some((command, [spec])) if command == compile_time::ONCE => compile_time::once(spec),
        Some(_) | None => {
            Err("usage: warploom-bench contractions [CASE…] | polybench [medium|large] [KERNEL…] \
                               | compile"
                .into())
        }
    }
}
