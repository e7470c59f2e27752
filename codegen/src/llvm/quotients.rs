//! Quotients of f32 on a GPU, several at once: without a branch for each, and with one reciprocal
//! where they share a divisor.
//!
//! In: an unrolled loop of one store whose value divides. Out: all its values by products and
//! remainders, a test whether each of them is certain to be rounded correctly, all of them again by
//! the assembler's division where one is not, then all stores.
//! Keeps: every result, bit for bit but for NaNs' own bits: a quotient `q = x r` with `r` next to
//! `1 / y` is corrected once by its remainder, which is exact while no exponent is near the ends of
//! its range [Markstein90]. The one significand for which `r` may round to the wrong side is left
//! out. Tests run the code with the dividends that bring quotients nearest to the middle between
//! two numbers.
//! Why here: the assembler has a branch to a subroutine for each division, and shares nothing.

use warploom_ir::dtype::DType;
use warploom_ir::expr::BinOp;
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, Store, TypedKind};
use warploom_ir::nest::AssignOp;

use super::build::Value;
use super::emit::{Emitter, Machine};
use super::lin::Lin;
use crate::ptx::math::inverse;

/// Divisors are between these, quotients above the third or zero: dividends are then above 2^-100.
const LEAST_DIVISOR: i32 = -20;
const MOST_DIVISOR: i32 = 80;
const LEAST: i32 = -80;
/// How many are made together at most: all are in registers at once.
const TOGETHER: usize = 16;
/// The fraction of an f32.
const FRACTION: i128 = (1 << 23) - 1;

/// Quotients that are being written without branches.
#[derive(Debug, Default)]
pub(crate) struct Quotients {
    /// Which of them are certain.
    certain: Vec<Value>,
    /// Which of them are certain because they are zero.
    zero: Vec<Value>,
}

/// The store of a loop that is nothing else, whose values do not depend on what it writes, where
/// they have a quotient of f32.
fn divides(l: &KernelLoop) -> Option<&Store<Index>> {
    let [KernelNode::Store(s)] = l.body.as_slice() else { return None };
    let (mut divides, mut reads_own) = (false, false);
    s.value.visit(&mut |t| {
        if let TypedKind::Binary(BinOp::Div, _, y) = &t.kind {
            let known = matches!(y.kind, TypedKind::Literal(_));
            divides |= t.dtype == DType::F32 && !known;
        }
        if let TypedKind::Read { array, .. } = &t.kind {
            reads_own |= *array == s.array;
        }
    });
    (divides && !reads_own && s.op == AssignOp::Set && s.guard.is_none()).then_some(s)
}

/// Two to an exponent.
fn power(exponent: i32) -> Value {
    Value::float("float", f64::from(exponent).exp2())
}

impl Emitter<'_> {
    /// Writes the copies of an unrolled loop whose quotients are made together; false where they
    /// are not.
    pub(super) fn quotients_together(&mut self, l: &KernelLoop, copies: &[(Lin, u32)]) -> bool {
        let plain = self.machine == Machine::Gpu && self.program.is_none() && self.width == 1;
        let Some(s) = divides(l).filter(|_| plain && copies.len() > 1) else { return false };
        for some in copies.chunks(TOGETHER) {
            self.made_together(l, s, some);
        }
        self.env.remove(&l.var);
        true
    }

    fn made_together(&mut self, l: &KernelLoop, s: &Store<Index>, copies: &[(Lin, u32)]) {
        self.quotients = Some(Quotients::default());
        let fast = self.values(l, s, copies);
        let Quotients { certain, zero } = self.quotients.take().unwrap_or_default();
        let (zeros, exact, end) =
            (self.f.label("zeros"), self.f.label("exact"), self.f.label("end"));
        let all = self.all(&certain);
        let first = self.f.current_block();
        self.f.cond_br(&all, &end, &zeros);
        self.f.start(&zeros);
        let pairs = certain.iter().zip(&zero);
        let either: Vec<Value> = pairs.map(|(a, b)| self.f.bin("or", a, b)).collect();
        let all = self.all(&either);
        self.f.cond_br(&all, &end, &exact);
        self.f.start(&exact);
        let slow = self.values(l, s, copies);
        let last = self.f.current_block();
        self.f.br(&end);
        self.f.start(&end);
        let meet = |(a, b): (&Value, &Value)| {
            let (a, b) = (&a.text, &b.text);
            let from = format!("[ {a}, %{first} ], [ {a}, %{zeros} ], [ {b}, %{last} ]");
            (fast[0].elem, format!("phi {} {from}", fast[0].ty()))
        };
        let met: Vec<(&'static str, String)> = fast.iter().zip(&slow).map(meet).collect();
        let met: Vec<Value> = met.iter().map(|(elem, phi)| self.f.def(elem, 1, phi)).collect();
        // one after the other, so that neighbours are stored together
        for ((at, _), value) in copies.iter().zip(&met) {
            self.env.insert(l.var.clone(), at.clone());
            let dims: Vec<Lin> = s.indices.iter().map(|i| Lin::of(i, &self.env)).collect();
            let value = self.convert_nearest(value, s.value.dtype, s.dtype);
            let value = self.stored(value);
            self.store_at(&s.array, &dims, &value, None);
        }
    }

    /// The value of each copy.
    fn values(&mut self, l: &KernelLoop, s: &Store<Index>, copies: &[(Lin, u32)]) -> Vec<Value> {
        let value = |(at, _): &(Lin, u32)| {
            self.env.insert(l.var.clone(), at.clone());
            self.typed(&s.value)
        };
        copies.iter().map(value).collect()
    }

    fn all(&mut self, tests: &[Value]) -> Value {
        let all = Value::literal("i1", "true");
        tests.iter().fold(all, |all, test| self.f.bin("and", &all, test))
    }

    /// `x / y`, which is certain where the quotients that are being written say so.
    pub(super) fn quotient(&mut self, x: &Value, y: &Value) -> Value {
        let exact = self.quotients.is_none() || y.is_literal();
        let Some(mut known) = (if exact { None } else { self.quotients.take() }) else {
            return self.f.bin("fdiv", x, y);
        };
        let r = inverse(&mut self.f, y);
        let q = self.f.bin("fmul", x, &r);
        // with these signs a zero keeps its own
        let (less_x, less_r) = (self.f.negated(x), self.f.negated(&r));
        let over = self.f.intrinsic("fma", &[y, &q, &less_x]);
        let out = self.f.intrinsic("fma", &[&less_r, &over, &q]);

        let fits = self.divisor(y);
        let size = self.f.intrinsic("fabs", &[&out]);
        let large = self.f.cmp("oge", &size, &power(LEAST));
        known.certain.push(self.f.bin("and", &large, &fits));
        let none = self.f.cmp("oeq", x, &Value::float("float", 0.0));
        let positive = self.f.cmp("ogt", y, &Value::float("float", 0.0));
        let none = self.f.bin("and", &none, &positive);
        known.zero.push(self.f.bin("and", &none, &fits));
        self.quotients = Some(known);
        out
    }

    /// Whether a divisor's reciprocal may be used.
    fn divisor(&mut self, y: &Value) -> Value {
        let size = self.f.intrinsic("fabs", &[y]);
        let above = self.f.cmp("oge", &size, &power(LEAST_DIVISOR));
        let below = self.f.cmp("ole", &size, &power(MOST_DIVISOR));
        let raw = self.f.cast("bitcast", y, "i32");
        let fraction = self.f.bin_int("and", &raw, FRACTION);
        let other = self.f.cmp_int("ne", &fraction, FRACTION);
        let inside = self.f.bin("and", &above, &below);
        self.f.bin("and", &inside, &other)
    }
}

#[cfg(test)]
mod tests;
