//! The kernels of PolyBench: nests, text order and automatic schedules against plain Rust.
//!
//! Each kernel at the suite's smallest sizes. The nest's interpreter has the bits of the Rust
//! version, which adds in the same order and fuses nothing; so has compiled code, in the order of
//! the text and in the automatic one, with sizes fixed and symbolic, where the statements say
//! `strict`. Where they do not, a product and a sum may round once, and results stay within a
//! bound. Some kernels at the next size with integers, where every order gives the same bits.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, Script, compile, explain};
use warploom_ir::interp::nest::{Bounded, run, run_bounded};
use warploom_ir::nest::Node;
use warploom_tests::polybench::{Class, KERNELS, PolyBench, Problem, Within, kernel_named};

/// Compiles, runs on one thread and on three, compares.
fn compiled(problem: &Problem, schedule: &Schedule, bounds: Option<&BTreeMap<Name, Bounded>>) {
    let script = schedule.script().to_string();
    let fail = |d| -> ! { panic!("{}\n{script}\n{d}", problem.kernel.name) };
    let program = compile::compile(schedule).unwrap_or_else(|d| fail(d));
    let open =
        if program.kernel().params.is_empty() { BTreeMap::new() } else { problem.sizes.clone() };
    for threads in [1, 3] {
        let have = program.run_at(&problem.inputs, &open, Some(threads));
        let have = have.unwrap_or_else(|d| fail(d));
        assert_eq!(have.len(), problem.want.len(), "{}", problem.kernel.name);
        for (name, values) in &have {
            let bound = bounds.map_or(Within::Nothing, |b| Within::Errors(&b[name].bound));
            problem.compare(name, &values.to_f64s(), bound, &script);
        }
    }
}

/// The nest without freedom to fuse.
fn strict(nest: &Nest) -> Nest {
    fn mark(nodes: &mut [Node]) {
        for node in nodes {
            match node {
                Node::Loop(l) => mark(&mut l.body),
                Node::If(_, body) => mark(body),
                Node::Statement(s) => s.strict = true,
            }
        }
    }
    let mut nest = nest.clone();
    mark(&mut nest.body);
    nest
}

/// What `explain` says: a parallel loop carries nothing, a serial one names two instances and what
/// they touch, and only a kernel that has parallelism has a loop on threads.
fn explained(kernel: &PolyBench, schedule: &Schedule) {
    let report = explain::explain(schedule).unwrap_or_else(|d| panic!("{d}"));
    let script = schedule.script();
    for l in &report.loops {
        match &l.serial_because {
            None => {}
            Some(why) => {
                assert!(!l.marks.contains(&"parallel"), "{} of\n{script}", l.name);
                let names = why.contains(" dependence over ") && why.contains(" both touch ");
                assert!(names, "{}: {}: {why}", kernel.name, l.name);
            }
        }
    }
    let threads = report.loops.iter().any(|l| l.marks.contains(&"parallel"));
    // small loops inside others are not worth threads, but sizes that are not known may be large
    let open = schedule.nest().params.iter().any(|p| p.value.is_none());
    // temporaries become private where sizes are known, and more is parallel then
    assert!(kernel.parallel || !threads || !open, "{}\n{script}", kernel.name);
    assert!(threads || !kernel.parallel || !open, "{}\n{script}", kernel.name);
}

/// A kernel at the smallest sizes, in every way.
fn mini(name: &str) {
    let problem = Problem::new(kernel_named(name), &kernel_named(name).sizes(Class::Mini), |v| v);
    let floats = problem.nest.arrays.iter().any(|a| a.dtype.is_float());
    let bounded = floats.then(|| {
        run_bounded(&problem.nest, &problem.sizes, &problem.inputs)
            .unwrap_or_else(|d| panic!("{d}"))
    });
    let exact = run(&problem.nest, &problem.sizes, &problem.inputs);
    for (output, tensor) in exact.unwrap_or_else(|d| panic!("{name}\n{d}")) {
        let functions = bounded.as_ref().filter(|_| name == "deriche");
        let bound = functions.map_or(Within::Nothing, |b| Within::Errors(&b[&output].bound));
        problem.compare(&output, &tensor.to_f64s(), bound, "the interpreter");
    }
    for nest in [problem.fixed(), problem.nest.clone()] {
        let plain = Schedule::new(&nest).unwrap_or_else(|d| panic!("{d}"));
        let auto = compile::auto(&nest).unwrap_or_else(|d| panic!("{d}"));
        explained(problem.kernel, &auto);
        // the script, as text, makes the schedule again: for a nest that leaves no freedom
        let script = auto.script().to_string();
        let script: Script = script.parse().unwrap_or_else(|d| panic!("{script}\n{d}"));
        let exact = Schedule::new(&strict(&nest)).unwrap_or_else(|d| panic!("{d}"));
        let again = exact.replay(&script).unwrap_or_else(|d| panic!("{script}\n{d}"));
        assert_eq!(again.tree(), auto.tree(), "{script}");
        let functions = bounded.as_ref().filter(|_| name == "deriche");
        compiled(&problem, &exact, functions);
        compiled(&problem, &again, functions);
        if nest.params.iter().all(|p| p.value.is_some()) {
            compiled(&problem, &plain, bounded.as_ref());
            compiled(&problem, &auto, bounded.as_ref());
        }
    }
}

macro_rules! kernels {
    ($($test:ident $name:literal)*) => {
        /// One test for each kernel, so that they run side by side.
        mod smallest {
            $(#[test] fn $test() { super::mini($name); })*
        }

        #[test]
        fn no_kernel_is_left_out() {
            assert_eq!(KERNELS.each_ref().map(|k| k.name), [$($name),*]);
        }
    };
}

warploom_tests::for_each_polybench!(kernels);

/// Products at the next size, with integers of three bits and a sign: every sum is exact.
#[test]
fn small_products_of_integers() {
    let small: [(&str, &[(&'static str, usize)]); 5] = [
        ("2mm", &[("NI", 40), ("NJ", 50), ("NK", 70), ("NL", 80)]),
        ("doitgen", &[("NQ", 20), ("NR", 25), ("NP", 30)]),
        ("gemm", &[("NI", 60), ("NJ", 70), ("NK", 80)]),
        ("syr2k", &[("M", 60), ("N", 80)]),
        ("trmm", &[("M", 60), ("N", 80)]),
    ];
    for (name, sizes) in small {
        let problem = Problem::new(kernel_named(name), sizes, |v| (8.0 * v).round());
        let schedule = compile::auto(&problem.fixed()).unwrap_or_else(|d| panic!("{d}"));
        compiled(&problem, &schedule, None);
    }
}

/// `gemm` scales what it is given: a second launch starts from it again.
#[test]
fn restored_sessions_start_again() {
    let problem =
        Problem::new(kernel_named("gemm"), &kernel_named("gemm").sizes(Class::Mini), |v| {
            (8.0 * v).round()
        });
    let schedule = Schedule::new(&problem.fixed()).unwrap_or_else(|d| panic!("{d}"));
    let program = compile::compile(&schedule).unwrap_or_else(|d| panic!("{d}"));
    let results = [false, true].map(|restore| {
        let session = program.session(&problem.inputs, Some(1));
        let mut session = session.unwrap_or_else(|d| panic!("{d}"));
        session.launch().expect("it runs");
        if restore {
            session.restore();
        }
        session.launch().expect("it runs");
        session.finish()["C"].to_f64s()
    });
    assert_ne!(results[0], problem.want["C"]);
    assert_eq!(results[1], problem.want["C"]);
}
