//! The kernels of PolyBench on GPUs: automatic schedules against plain Rust.
//!
//! Each kernel's schedule at the suite's smallest sizes, fixed and symbolic: its script replays,
//! its kernel is sealed, computes in every order of blocks and threads what the nest says, and
//! assembles for every GPU; `explain` names the independent loops, and the dependences of others.
//! Where there is a GPU, three sizes run on it (`MINI`, `SMALL`, `MEDIUM`), and the smallest with
//! sizes that are arguments of the launches.

use std::collections::BTreeMap;

use warploom::device::Device;
use warploom::{Nest, Schedule, Target, compile, explain};
use warploom_ir::interp;
use warploom_ir::interp::kernel::{ParallelOrder, run_with};
use warploom_tests::polybench::{Class, KERNELS, PolyBench, Problem, Within, kernel_named};

const GPUS: [Target; 3] = [Target::Sm80, Target::Sm90a, Target::Sm100a];

/// Kernels without independent loops where sizes are symbolic: a single scalar holds every sum in
/// turn, and copies of it need a size.
const SERIAL: [&str; 1] = ["ludcmp"];

fn problem(kernel: &'static PolyBench, class: Class) -> Problem {
    Problem::new(kernel, &kernel.sizes(class), |v| v)
}

fn scheduled(nest: &Nest) -> Schedule {
    compile::auto_for(nest, Target::Sm80).unwrap_or_else(|d| panic!("{d}"))
}

/// What `explain` says: a mapped loop carries nothing, and a serial one names two instances.
fn explained(name: &str, schedule: &Schedule) {
    let report = explain::explain(schedule).unwrap_or_else(|d| panic!("{d}"));
    for l in &report.loops {
        let mapped = l.marks.iter().any(|m| m.starts_with("block.") || m.starts_with("thread."));
        if let Some(why) = &l.serial_because {
            assert!(!mapped, "{} of\n{}", l.name, schedule.script());
            let names = why.contains(" dependence over ") && why.contains(" both touch ");
            assert!(names, "{name}: {}: {why}", l.name);
        }
    }
    let mapped = schedule.tree().loops().iter().any(|l| l.marks.map.is_some());
    let symbolic = schedule.nest().params.iter().any(|p| p.value.is_none());
    assert_eq!(mapped, !(symbolic && SERIAL.contains(&name)), "{name}\n{}", schedule.script());
}

/// A kernel at the smallest sizes, without a GPU.
fn mini(name: &str) {
    let problem = problem(kernel_named(name), Class::Mini);
    let exact = interp::nest::run(&problem.nest, &problem.sizes, &problem.inputs);
    let exact = exact.unwrap_or_else(|d| panic!("{name}\n{d}"));
    for nest in [problem.fixed(), problem.nest.clone()] {
        let schedule = scheduled(&nest);
        explained(name, &schedule);
        let start = Schedule::new(&nest).unwrap_or_else(|d| panic!("{d}"));
        let again = start.replay(schedule.script()).unwrap_or_else(|e| panic!("{}", e.diagnostic));
        assert_eq!(again, schedule, "the script makes the schedule");
        let lowered = compile::lower(&schedule)
            .unwrap_or_else(|d| panic!("{name}: {d}\n{}", schedule.script()));
        // tensor cores round a product and a sum once
        let fused = schedule.tree().loops().iter().any(|l| l.marks.tensor.is_some());
        let bounds = fused.then(|| {
            let all = interp::nest::run_bounded(&problem.nest, &problem.sizes, &problem.inputs);
            all.unwrap_or_else(|d| panic!("{name}\n{d}"))
        });
        for order in [ParallelOrder::Reverse, ParallelOrder::Shuffled(5)] {
            let have = run_with(lowered.kernel(), &problem.sizes, &problem.inputs, order);
            let have = have.unwrap_or_else(|d| panic!("{name}: {d}\n{}", lowered.kernel()));
            for (array, tensor) in &exact {
                if let Some(bounds) = &bounds {
                    let values = have[array].to_f64s();
                    let within = Within::Errors(&bounds[array].bound);
                    problem.compare(array, &values, within, &format!("{order:?}"));
                    continue;
                }
                let equal = tensor.bytes() == have[array].bytes();
                assert!(equal, "{array} of {name}, {order:?}\n{}", lowered.kernel());
            }
        }
        for target in GPUS {
            let code = lowered.gpu(target).unwrap_or_else(|d| panic!("{name}: {d}"));
            let said = compile::resources(&code).unwrap_or_else(|d| panic!("{name}: {d}"));
            assert!(!said.contains("C75") && said.contains("registers"), "{name}: {said}");
        }
    }
}

#[test]
fn phases_at_a_pivot_are_proved_for_any_size() {
    // products of floats are not computed again, so phases are what is left
    let text = "param N\ninout A: f64[N, N]
for k in 0..N, i in 0..N, j in 0..N { S: A[i, j] = A[i, j] - A[i, k] * A[k, j] }\n";
    for size in [180, 2800] {
        let mut nest: Nest = text.parse().expect("it parses");
        nest.params[0].value = Some(size);
        let lowered = compile::lower(&scheduled(&nest)).unwrap_or_else(|d| panic!("{d}"));
        // what the host repeats for each pivot, without quotients in what the GPU does
        let text = lowered.kernel().to_string();
        assert!(text.contains(" block.x") && text.lines().count() < 120, "{text}");
    }
}

#[test]
fn shortest_paths_are_one_launch_for_each_pivot() {
    for size in [60, 2800] {
        let mut nest: Nest = kernel_named("floyd-warshall").text().parse().expect("it parses");
        nest.params[0].value = Some(size);
        let lowered = compile::lower(&scheduled(&nest)).unwrap_or_else(|d| panic!("{d}"));
        let code = lowered.gpu(Target::Sm90a).unwrap_or_else(|d| panic!("{d}"));
        assert_eq!(code.ptx.matches(".visible .entry").count(), 1, "{}", lowered.kernel());
        let text = lowered.kernel().to_string();
        assert!(text.contains(&format!("for k in -1..{size} {{")), "{text}");
    }
}

macro_rules! kernels {
    ($($test:ident $name:literal)*) => {
        /// One test for each kernel, so that they run side by side.
        mod smallest {
            $(#[test] fn $test() { super::mini($name); })*
        }

        /// The same on a GPU, in three sizes.
        mod on_a_gpu {
            $(#[test] fn $test() { super::run($name); })*
        }

        #[test]
        fn no_kernel_is_left_out() {
            assert_eq!(KERNELS.each_ref().map(|k| k.name), [$($name),*]);
        }
    };
}

/// The first GPU, or a line that says why the test is skipped.
fn gpu(test: &str) -> Option<Device> {
    match Device::open(0) {
        Ok(device) => Some(device),
        Err(d) => {
            assert!(matches!(d.code, "E1110" | "E1116"), "{d}");
            println!("skipped {test} on a GPU: {}", d.message);
            None
        }
    }
}

/// A kernel on a GPU, where there is one.
fn run(name: &str) {
    let Some(device) = gpu(name) else { return };
    for class in [Class::Mini, Class::Small, Class::Medium] {
        let problem = problem(kernel_named(name), class);
        launched(&device, &problem, &problem.fixed());
        if class == Class::Mini {
            launched(&device, &problem, &problem.nest);
        }
    }
}

/// Compiles, runs on the device, compares.
fn launched(device: &Device, problem: &Problem, nest: &Nest) {
    let name = problem.kernel.name;
    let schedule = compile::auto_for(nest, device.target()).unwrap_or_else(|d| panic!("{d}"));
    let script = schedule.script().to_string();
    let fail = |d| -> ! { panic!("{name} at {:?}\n{script}\n{d}", problem.sizes) };
    let code = compile::lower(&schedule).and_then(|l| l.gpu(device.target()));
    let code = code.unwrap_or_else(|d| fail(d));
    let program = device.load(&code).unwrap_or_else(|d| fail(d));
    let open = if code.kernel.params.is_empty() { BTreeMap::new() } else { problem.sizes.clone() };
    let have = program.run(&problem.inputs, &open).unwrap_or_else(|d| fail(d));
    assert_eq!(have.len(), problem.want.len(), "{name}");
    for (array, values) in &have {
        let floats = values.dtype().is_float();
        let within = if floats { Within::Stability } else { Within::Nothing };
        problem.compare(array, &values.to_f64s(), within, &script);
    }
}

warploom_tests::for_each_polybench!(kernels);
