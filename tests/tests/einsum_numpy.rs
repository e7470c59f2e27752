//! Every expression of the NumPy suite: same shape, same result, same rejections.
//!
//! The nest is run by a few lines here that know only what an einsum lowers to; elements that
//! nobody wrote are poisoned.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Result};
use warploom_ir::dtype::DType;
use warploom_ir::einsum::{Einsum, EinsumOptions};
use warploom_ir::expr::{Access, BinOp, Expr, Literal};
use warploom_ir::nest::{Array, AssignOp, Nest, Node, Order, Role, Statement};
use warploom_tests::{EinsumCase, Expected, einsum_suite};

const POISON: i64 = -77_777;

fn lower(case: &EinsumCase, order: Order) -> Result<Nest> {
    let options = EinsumOptions { order, ..EinsumOptions::default() };
    Einsum::parse(&case.text)?.nest(&case.operand_types(), &options)
}

fn shape(array: &Array) -> Vec<usize> {
    array.shape.iter().map(|e| e.as_constant().expect("sizes are known") as usize).collect()
}

/// Runs einsum nests over integers.
struct Machine<'a> {
    nest: &'a Nest,
    data: BTreeMap<Name, Vec<i64>>,
    iterators: BTreeMap<Name, i64>,
}

impl Machine<'_> {
    fn offset(&self, access: &Access) -> usize {
        let extents = shape(self.nest.array(&access.array).expect("arrays are declared"));
        assert_eq!(extents.len(), access.indices.len());
        access.indices.iter().zip(extents).fold(0, |flat, (index, extent)| {
            let i = index.eval(&|v| self.iterators.get(v).copied()).expect("iterators are bound");
            assert!(usize::try_from(i).is_ok_and(|i| i < extent), "{access:?} is out of bounds");
            flat * extent + i as usize
        })
    }

    fn eval(&self, expr: &Expr) -> i64 {
        match expr {
            Expr::Literal(Literal::Int(v)) => *v,
            Expr::Literal(Literal::Float(v)) => *v as i64,
            Expr::Literal(Literal::Bool(v)) => i64::from(*v),
            Expr::Read(access) => self.data[&access.array][self.offset(access)],
            Expr::Binary(BinOp::Mul | BinOp::And, a, b) => self.eval(a) * self.eval(b),
            other => panic!("no einsum of one type lowers to {other:?}"),
        }
    }

    fn store(&mut self, s: &Statement) {
        let (at, value) = (self.offset(&s.target), self.eval(&s.value));
        let slot = &mut self.data.get_mut(&s.target.array).expect("arrays are declared")[at];
        *slot = match s.op {
            AssignOp::Set => value,
            AssignOp::Add => *slot + value,
            AssignOp::Max => (*slot).max(value),
            AssignOp::Mul | AssignOp::Min => panic!("no einsum does this"),
        };
    }

    fn run(&mut self, body: &[Node]) {
        for node in body {
            match node {
                Node::Loop(l) => {
                    for i in 0..l.upper[0].as_constant().expect("sizes are known") {
                        self.iterators.insert(l.var.clone(), i);
                        self.run(&l.body);
                    }
                }
                Node::Statement(s) => self.store(s),
                Node::If(..) => panic!("no einsum has guards"),
            }
        }
    }
}

fn compute(case: &EinsumCase, nest: &Nest) -> Vec<i64> {
    let mut data = BTreeMap::new();
    let mut n_inputs = 0;
    for array in &nest.arrays {
        let values = if array.role == Role::In {
            n_inputs += 1;
            case.operand(n_inputs - 1)
        } else {
            vec![POISON; shape(array).iter().product()]
        };
        data.insert(array.name.clone(), values);
    }
    let mut machine = Machine { nest, data, iterators: BTreeMap::new() };
    machine.run(&nest.body);
    let wrapped = |&v: &i64| match case.dtype {
        DType::I8 => i64::from(v as i8),
        DType::U8 => v & 255,
        _ => v,
    };
    machine.data["Out"].iter().map(wrapped).collect()
}

#[test]
fn results_are_numpys() {
    let (mut n_cases, mut n_planned) = (0, 0);
    for case in einsum_suite() {
        let Expected::Result { shape: expected_shape, values } = &case.expected else { continue };
        n_cases += 1;
        for order in [Order::Fixed, Order::Serial] {
            let nest = lower(&case, order).unwrap_or_else(|d| panic!("{case:?}\n{d}"));
            let out = nest.array("Out").expect("the result is Out");
            assert_eq!((out.dtype, &shape(out)), (case.dtype, expected_shape), "{case:?}");
            assert_eq!(&compute(&case, &nest), values, "{case:?}");
            n_planned += usize::from(nest.array("Tmp0").is_some());
        }
    }
    assert!(n_cases >= 2000, "{n_cases} cases");
    assert!(n_planned >= 100, "{n_planned} went through temporaries");
}

#[test]
fn what_numpy_rejects_is_rejected() {
    let mut n_cases = 0;
    for case in einsum_suite() {
        let Expected::Rejected(words) = &case.expected else { continue };
        n_cases += 1;
        let Err(d) = lower(&case, Order::Fixed) else { panic!("NumPy says {words}: {case:?}") };
        assert_eq!(d.blame, Blame::Input, "{case:?}: {d}");
        assert!(d.help.is_some() && !d.labels.is_empty(), "{case:?}: {d}");
    }
    assert!(n_cases >= 200, "{n_cases} cases");
}
