//! Argument checks and threads, with code that is a Rust function.

use std::sync::atomic::{AtomicUsize, Ordering};

use warploom_ir::dtype::DType;
use warploom_ir::expr::Literal;
use warploom_ir::kernel::Index;

use super::*;

/// `B = A + T` for f32, where T is a table.
struct AddTable(Kernel);

fn buffer(name: &str, role: Role) -> Buffer {
    Buffer {
        name: name.into(),
        role,
        dtype: DType::F32,
        shape: vec![Index::Var("N".into())],
        of: None,
    }
}

fn code() -> AddTable {
    let mut table = buffer("T", Role::Const(vec![Literal::Int(1), Literal::Float(0.5)]));
    table.shape = vec![Index::Const(2)];
    AddTable(Kernel {
        name: "k".into(),
        params: vec!["N".into()],
        buffers: vec![buffer("A", Role::In), buffer("B", Role::Out), table],
        body: Vec::new(),
    })
}

impl HostCode for AddTable {
    fn kernel(&self) -> &Kernel {
        &self.0
    }

    fn call(&self, buffers: &mut [HostArg<'_>], params: &[i64], _: &dyn Pool) -> Result<()> {
        let [HostArg::Read(a), HostArg::Write(b), HostArg::Write(t)] = buffers else {
            panic!("roles")
        };
        assert_eq!(params, [2]);
        assert_eq!(b[0], 0xff, "outputs start poisoned");
        let at = |x: &[u8], i: usize| f32::from_ne_bytes(x[4 * i..][..4].try_into().unwrap());
        for i in 0..2 {
            let sum = at(a, i) + at(t, i);
            b[4 * i..][..4].copy_from_slice(&sum.to_ne_bytes());
        }
        Ok(())
    }
}

fn sizes(n: i64) -> BTreeMap<Name, i64> {
    BTreeMap::from([("N".into(), n)])
}

fn inputs(dtype: DType, n: usize) -> BTreeMap<Name, Tensor> {
    let values: Vec<f64> = (0..n).map(|i| i as f64).collect();
    BTreeMap::from([("A".into(), Tensor::from_f64s(dtype, &[n], &values).unwrap())])
}

fn fails(inputs: &BTreeMap<Name, Tensor>, sizes: &BTreeMap<Name, i64>) -> &'static str {
    let pool = ThreadPool::with_threads(1).unwrap();
    launch(&code(), inputs, sizes, &pool).unwrap_err().code
}

#[test]
fn runs_with_tables_and_fresh_outputs() {
    let pool = ThreadPool::with_threads(1).unwrap();
    let out = launch(&code(), &inputs(DType::F32, 2), &sizes(2), &pool).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out["B"].to_f64s(), [1.0, 1.5]);
}

#[test]
fn wrong_arguments_are_named() {
    assert_eq!(fails(&inputs(DType::F64, 2), &sizes(2)), "E1102");
    assert_eq!(fails(&inputs(DType::F32, 3), &sizes(2)), "E1102");
    assert_eq!(fails(&BTreeMap::new(), &sizes(2)), "E1103");
    let mut extra = inputs(DType::F32, 2);
    extra.insert("B".into(), Tensor::zeros(DType::F32, &[2]).unwrap());
    assert_eq!(fails(&extra, &sizes(2)), "E1103");
    assert_eq!(fails(&inputs(DType::F32, 2), &BTreeMap::new()), "E1104");
    assert_eq!(fails(&inputs(DType::F32, 2), &sizes(-1)), "E1105");
    let mut more = sizes(2);
    more.insert("K".into(), 1);
    assert_eq!(fails(&inputs(DType::F32, 2), &more), "E1104");
}

#[test]
fn every_task_runs_once() {
    for threads in [1, 4] {
        let pool = ThreadPool::with_threads(threads).unwrap();
        assert_eq!(pool.threads(), threads);
        let counts: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        pool.run(100, &|i| {
            counts[i].fetch_add(1, Ordering::Relaxed);
        });
        assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
    }
}

#[test]
fn callers_share_a_pool_and_a_panic_reaches_its_caller() {
    let pool = ThreadPool::with_threads(3).unwrap();
    let sum = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    // a task may have tasks
                    pool.run(5, &|_| {
                        pool.run(2, &|i| {
                            sum.fetch_add(i + 1, Ordering::Relaxed);
                        })
                    });
                }
            });
        }
    });
    assert_eq!(sum.load(Ordering::Relaxed), 4 * 50 * 5 * 3);
    let ran = AtomicUsize::new(0);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        pool.run(9, &|i| {
            ran.fetch_add(1, Ordering::Relaxed);
            assert!(i != 4, "task four");
        });
    }));
    assert!(panic.is_err());
    assert_eq!(ran.load(Ordering::Relaxed), 9);
}
