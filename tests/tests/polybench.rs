//! The kernels of PolyBench: nests, text order and automatic schedules against plain Rust.
//!
//! Each kernel at the suite's smallest sizes. The nest's interpreter has the bits of the Rust
//! version, which adds in the same order and fuses nothing; so has compiled code, in the order of
//! the text and in the automatic one, with sizes fixed and symbolic, where the statements say
//! `strict`. Where they do not, a product and a sum may round once, and results stay within a
//! bound. Some kernels at the next size with integers, where every order gives the same bits.
//!
//! Two results are both within the error that the interpreter in binary64 reports for an element,
//! so twice that apart; but no more than n u times 8 times the greatest element that is given or
//! comes out, with u = 2^-53 and n = 4 max(sizes)^2 (no value of these kernels goes through more
//! operations one after another): that is what the stability of these stencils and solvers promises
//! for the data used here.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, Script, Tensor, bind, compile, explain};
use warploom_ir::interp::nest::{Bounded, run, run_bounded};
use warploom_ir::nest::{Array, Node, Role};
use warploom_tests::Bits;
use warploom_tests::polybench::{Data, KERNELS, PolyBench, Sizes};

/// A problem: the nest, its sizes, the arrays it is given, what must come out.
struct Problem {
    kernel: &'static PolyBench,
    nest: Nest,
    sizes: BTreeMap<Name, i64>,
    inputs: BTreeMap<Name, Tensor>,
    want: Data,
}

fn kernel(name: &str) -> &'static PolyBench {
    KERNELS.iter().find(|k| k.name == name).expect("the suite has the kernel")
}

fn shape(array: &Array, sizes: &Sizes) -> Vec<usize> {
    let size = |name: &str| sizes.get(name).and_then(|&n| i64::try_from(n).ok());
    let extent = array.shape.iter().map(|e| e.eval(&size).expect("sizes are known"));
    extent.map(|e| usize::try_from(e).expect("it is not negative")).collect()
}

impl Problem {
    /// A random problem; `change` is applied to every element that is given.
    fn new(name: &str, sizes: &[(&'static str, usize)], change: impl Fn(f64) -> f64) -> Self {
        let kernel = kernel(name);
        let nest: Nest = kernel.text().parse().unwrap_or_else(|d| panic!("{name}\n{d}"));
        let sizes: Sizes = sizes.iter().copied().collect();
        let mut bits = Bits::new(17);
        let (mut data, mut inputs) = (Data::new(), BTreeMap::new());
        for array in nest.arrays.iter().filter(|a| matches!(a.role, Role::In | Role::InOut)) {
            let shape = shape(array, &sizes);
            let values = kernel.fill(&array.name, &shape, &mut bits).into_iter().map(&change);
            let values: Vec<f64> = values.collect();
            let tensor = Tensor::from_f64s(array.dtype, &shape, &values).expect("it is small");
            inputs.insert(array.name.clone(), tensor);
            data.insert(array.name.to_string().leak(), values);
        }
        let want = (kernel.run)(&sizes, &data);
        let sizes = sizes.iter().map(|(n, &v)| ((*n).into(), i64::try_from(v).expect("small")));
        Self { kernel, nest, sizes: sizes.collect(), inputs, want }
    }

    /// The same with the sizes written into the nest.
    fn fixed(&self) -> Nest {
        bind(&self.nest, &self.sizes, &BTreeMap::new()).unwrap_or_else(|d| panic!("{d}"))
    }

    /// Compiles, runs on one thread and on three, compares.
    fn compiled(&self, schedule: &Schedule, bounds: Option<&BTreeMap<Name, Bounded>>) {
        let script = schedule.script().to_string();
        let fail = |d| -> ! { panic!("{}\n{script}\n{d}", self.kernel.name) };
        let program = compile::compile(schedule).unwrap_or_else(|d| fail(d));
        let open =
            if program.kernel().params.is_empty() { BTreeMap::new() } else { self.sizes.clone() };
        for threads in [1, 3] {
            let have = program.run_at(&self.inputs, &open, Some(threads));
            let have = have.unwrap_or_else(|d| fail(d));
            assert_eq!(have.len(), self.want.len(), "{}", self.kernel.name);
            for (name, values) in &have {
                let bound = bounds.map(|b| b[name].bound.as_slice());
                self.compare(name, &values.to_f64s(), bound, &script);
            }
        }
    }

    /// The greatest element that is given or comes out.
    fn greatest(&self) -> f64 {
        let given = self.inputs.values().flat_map(Tensor::to_f64s);
        given.chain(self.want.values().flatten().copied()).fold(0.0, |a, v| a.max(v.abs()))
    }

    /// Holds an output to the bound, or to equality where there is none.
    fn compare(&self, name: &str, have: &[f64], bound: Option<&[f64]>, what: &str) {
        let want = &self.want[name];
        assert_eq!(have.len(), want.len(), "{name} of {}", self.kernel.name);
        let longest = self.sizes.values().copied().max().unwrap_or(1) as f64;
        let most = 8.0 * self.greatest() * 4.0 * longest * longest * 2.0_f64.powi(-53);
        for (i, (have, want)) in have.iter().zip(want).enumerate() {
            let bound = bound.map_or(0.0, |b| (2.0 * b[i]).min(most));
            assert!(want.is_finite(), "{name}[{i}] of {} is {want}", self.kernel.name);
            assert!(
                (have - want).abs() <= bound,
                "{name}[{i}] of {} is {have}, not {want} within {bound:e}\n{what}",
                self.kernel.name
            );
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
    assert!(kernel.parallel || !threads, "{}\n{script}", kernel.name);
    // small loops inside others are not worth threads, but sizes that are not known may be large
    let open = schedule.nest().params.iter().any(|p| p.value.is_none());
    assert!(threads || !kernel.parallel || !open, "{}\n{script}", kernel.name);
}

/// A kernel at the smallest sizes, in every way.
fn mini(name: &str) {
    let problem = Problem::new(name, kernel(name).mini, |v| v);
    let floats = problem.nest.arrays.iter().any(|a| a.dtype.is_float());
    let bounded = floats.then(|| {
        run_bounded(&problem.nest, &problem.sizes, &problem.inputs)
            .unwrap_or_else(|d| panic!("{d}"))
    });
    let exact = run(&problem.nest, &problem.sizes, &problem.inputs);
    for (output, tensor) in exact.unwrap_or_else(|d| panic!("{name}\n{d}")) {
        let functions = bounded.as_ref().filter(|_| name == "deriche");
        let bound = functions.map(|b| b[&output].bound.as_slice());
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
        problem.compiled(&exact, functions);
        problem.compiled(&again, functions);
        if nest.params.iter().all(|p| p.value.is_some()) {
            problem.compiled(&plain, bounded.as_ref());
            problem.compiled(&auto, bounded.as_ref());
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
            assert_eq!(KERNELS.map(|k| k.name), [$($name),*]);
        }
    };
}

kernels! {
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
        let problem = Problem::new(name, sizes, |v| (8.0 * v).round());
        let schedule = compile::auto(&problem.fixed()).unwrap_or_else(|d| panic!("{d}"));
        problem.compiled(&schedule, None);
    }
}

/// `gemm` scales what it is given: a second launch starts from it again.
#[test]
fn restored_sessions_start_again() {
    let problem = Problem::new("gemm", kernel("gemm").mini, |v| (8.0 * v).round());
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
