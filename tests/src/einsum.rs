//! The NumPy einsum suite: expressions with the results NumPy gives, and ones it rejects.
//!
//! In: `data/einsum/suite.jsonl`, written by `tools/gen_einsum.py`, which holds texts, shapes and
//! results; operands follow from a formula. Out: cases that any way of computing an einsum can be
//! held against. Results are small integers, so floats must match exactly too.

use serde_json::Value;
use warploom_ir::dtype::DType;
use warploom_ir::einsum::OperandType;
use warploom_ir::tensor::Tensor;

/// One expression with its operands and what NumPy makes of it.
#[derive(Clone, Debug)]
pub struct EinsumCase {
    /// The einsum string.
    pub text: String,
    /// Type of every operand and of the result.
    pub dtype: DType,
    /// Extents of each operand.
    pub shapes: Vec<Vec<usize>>,
    /// What NumPy gives.
    pub expected: Expected,
}

/// NumPy's answer.
#[derive(Clone, Debug)]
pub enum Expected {
    /// Extents and values (row-major) of the result; bools are 0 and 1.
    Result {
        /// Extents.
        shape: Vec<usize>,
        /// Values.
        values: Vec<i64>,
    },
    /// An exception with these words.
    Rejected(String),
}

impl EinsumCase {
    /// The operands' types and shapes.
    #[must_use]
    pub fn operand_types(&self) -> Vec<OperandType> {
        self.shapes.iter().map(|shape| OperandType::shaped(self.dtype, shape)).collect()
    }

    /// The values of operand `p`, row-major: `((7 i + 3 p) mod 11) - 5` as the case's type.
    #[must_use]
    pub fn operand(&self, p: usize) -> Vec<i64> {
        let count: usize = self.shapes[p].iter().product();
        let value = |i: usize| ((i * 7 + p * 3) % 11) as i64 - 5;
        (0..count).map(|i| wrap(value(i), self.dtype)).collect()
    }
}

impl EinsumCase {
    /// The operands as tensors.
    #[must_use]
    pub fn operands(&self) -> Vec<Tensor> {
        let tensor = |(p, shape): (usize, &Vec<usize>)| {
            let values: Vec<f64> = self.operand(p).iter().map(|&v| v as f64).collect();
            Tensor::from_f64s(self.dtype, shape, &values).expect("operands are small")
        };
        self.shapes.iter().enumerate().map(tensor).collect()
    }
}

/// `value` as the type: `bool` means > 0, integers wrap, floats hold it exactly.
fn wrap(value: i64, dtype: DType) -> i64 {
    if dtype == DType::Bool {
        return i64::from(value > 0);
    }
    let bits = 8 * dtype.size_bytes() as u32;
    if dtype.is_unsigned_int() && bits < 64 { value & ((1 << bits) - 1) } else { value }
}

/// Every case of the suite, accepted ones first.
#[must_use]
pub fn einsum_suite() -> Vec<EinsumCase> {
    include_str!("../data/einsum/suite.jsonl").lines().map(read_case).collect()
}

fn read_case(line: &str) -> EinsumCase {
    let case: Value = serde_json::from_str(line).expect("each line of the suite is JSON");
    let dtype = case["t"].as_str().unwrap_or("i64").parse().expect("the suite names our types");
    let expected = case["reject"].as_str().map_or_else(
        || Expected::Result { shape: sizes(&case["o"]), values: ints(&case["v"]) },
        |words| Expected::Rejected(words.to_owned()),
    );
    EinsumCase {
        text: case["s"].as_str().expect("each case has a text").to_owned(),
        dtype,
        shapes: list(&case["d"]).iter().map(sizes).collect(),
        expected,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("the suite has a list here")
}

fn ints(value: &Value) -> Vec<i64> {
    list(value).iter().map(|v| v.as_i64().expect("the suite has integers here")).collect()
}

fn sizes(value: &Value) -> Vec<usize> {
    ints(value).iter().map(|&n| usize::try_from(n).expect("extents are not negative")).collect()
}
