//! Typed expressions as LLVM IR: arithmetic, comparisons, functions.
//!
//! Keeps: every result is bit for bit what `ir::value` gives (NaN payloads aside), in one lane or
//! many. A value that is the same in all lanes stays scalar until a vector needs it.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding, UnOp};
use warploom_ir::kernel::{Index, Typed, TypedKind};
use warploom_ir::nest::AssignOp;
use warploom_ir::planted::{Bug, planted};

use super::build::{Value, bits, int_elem, ty};
use super::emit::{Emitter, Extern, Machine};
use super::lin::Lin;
use super::memory::mem_elem;

/// LLVM's type of a value in a register.
pub(crate) const fn reg_elem(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "i1",
        other => mem_elem(other),
    }
}

/// What an operator leaves unchanged.
pub(crate) fn identity(op: AssignOp, dtype: DType) -> Value {
    let elem = reg_elem(dtype);
    let width = dtype.precision_bits();
    let (low, high): (i128, i128) = if dtype.is_signed_int() {
        (-(1 << width), (1 << width) - 1)
    } else {
        (0, (1 << width) - 1)
    };
    match (dtype.is_float(), op) {
        // -0 + x is x for every x; Set has no identity and never gets here
        (true, AssignOp::Add | AssignOp::Set) => Value::float(elem, -0.0),
        (true, AssignOp::Mul) => Value::float(elem, 1.0),
        (true, AssignOp::Min) => Value::float(elem, f64::INFINITY),
        (true, AssignOp::Max) => Value::float(elem, f64::NEG_INFINITY),
        (false, AssignOp::Add | AssignOp::Set) => Value::int(elem, 0),
        (false, AssignOp::Mul) => Value::int(elem, 1),
        (false, AssignOp::Min) => Value::int(elem, high),
        (false, AssignOp::Max) => Value::int(elem, low),
    }
}

impl Emitter<'_> {
    /// The value of an expression.
    pub(crate) fn typed(&mut self, t: &Typed<Index>) -> Value {
        match &t.kind {
            TypedKind::Literal(literal) => self.literal(*literal, t.dtype),
            TypedKind::Index(index) => {
                let lin = Lin::of(index, &self.env);
                let v = self.lin(&lin);
                self.convert_nearest(&v, DType::I64, t.dtype)
            }
            TypedKind::Read { array, indices } => self.read(array, indices),
            TypedKind::Unary(op, a) => {
                let v = self.typed(a);
                self.unary(*op, a.dtype, &v)
            }
            TypedKind::Binary(op, a, b) => {
                let (x, y) = (self.typed(a), self.typed(b));
                self.binary(*op, a.dtype, &x, &y)
            }
            TypedKind::Fma(a, b, c) => {
                let (a, b, c) = (self.typed(a), self.typed(b), self.typed(c));
                if t.dtype.is_float() {
                    self.f.intrinsic("fma", &[&a, &b, &c])
                } else {
                    let product = self.f.bin("mul", &a, &b);
                    self.f.bin("add", &product, &c)
                }
            }
            TypedKind::Select(c, a, b) => {
                let (c, a, b) = (self.typed(c), self.typed(a), self.typed(b));
                self.f.select(&c, &a, &b)
            }
            TypedKind::Convert { rounding, saturate, value } => {
                let v = self.typed(value);
                self.convert(&v, value.dtype, t.dtype, *rounding, *saturate)
            }
            TypedKind::Bitcast(a) => {
                let v = self.typed(a);
                self.bitcast(&v, t.dtype)
            }
        }
    }

    pub(super) fn literal(&mut self, literal: Literal, dtype: DType) -> Value {
        let elem = reg_elem(dtype);
        match (literal, dtype) {
            (Literal::Bool(b), DType::Bool) => Value::literal("i1", b.to_string()),
            (Literal::Int(v), DType::F64) => Value::float(elem, v as f64),
            (Literal::Int(v), DType::F32) => Value::float(elem, f64::from(v as f32)),
            (Literal::Float(v), DType::F64) => Value::float(elem, v),
            (Literal::Float(v), DType::F32) => Value::float(elem, f64::from(v as f32)),
            (Literal::Int(v), t) if t.is_int() => Value::int(elem, v.into()),
            (Literal::Int(v), t) => {
                self.convert_nearest(&Value::int("i64", v.into()), DType::I64, t)
            }
            (Literal::Float(v), t) => {
                self.convert_nearest(&Value::float("double", v), DType::F64, t)
            }
            (Literal::Bool(b), t) => {
                self.convert_nearest(&Value::literal("i1", b.to_string()), DType::Bool, t)
            }
        }
    }

    fn bitcast(&mut self, v: &Value, to: DType) -> Value {
        let v = if v.elem == "i1" { self.f.cast("zext", v, "i8") } else { v.clone() };
        if to == DType::Bool {
            return self.f.cmp_int("ne", &v, 0);
        }
        let out = self.f.cast("bitcast", &v, reg_elem(to));
        if to == DType::Ue4m3 { self.unsigned(&out) } else { out }
    }

    fn unary(&mut self, op: UnOp, dtype: DType, v: &Value) -> Value {
        match op {
            UnOp::Neg if v.is_float() => self.f.negated(v),
            UnOp::Neg => self.f.bin("sub", &Value::int(v.elem, 0), v),
            UnOp::Not => self.f.bin("xor", v, &Value::int(v.elem, -1)),
            UnOp::Abs if v.is_float() => self.f.intrinsic("fabs", &[v]),
            UnOp::Abs if dtype.is_signed_int() => {
                let minus = self.f.bin("sub", &Value::int(v.elem, 0), v);
                let below = self.f.cmp_int("slt", v, 0);
                self.f.select(&below, &minus, v)
            }
            UnOp::Abs => v.clone(),
            UnOp::Rint => self.f.intrinsic("roundeven", &[v]),
            UnOp::Floor => self.f.intrinsic("floor", &[v]),
            UnOp::Ceil => self.f.intrinsic("ceil", &[v]),
            UnOp::Trunc => self.f.intrinsic("trunc", &[v]),
            UnOp::Sqrt => self.f.intrinsic("sqrt", &[v]),
            UnOp::Rsqrt => {
                let root = self.f.intrinsic("sqrt", &[v]);
                self.f.bin("fdiv", &Value::float(v.elem, 1.0), &root)
            }
            UnOp::Exponent => self.exponent(v, dtype),
            UnOp::IsFinite => {
                let wide = self.widen(v, dtype);
                let size = self.f.intrinsic("fabs", &[&wide]);
                self.f.cmp("olt", &size, &Value::float(wide.elem, f64::INFINITY))
            }
            UnOp::Exp => self.call("exp", &[v]),
            UnOp::Exp2 => self.call("exp2", &[v]),
            UnOp::Log => self.call("log", &[v]),
            UnOp::Log2 => self.call("log2", &[v]),
            UnOp::Tanh => self.call("tanh", &[v]),
            UnOp::Erf => self.call("erf", &[v]),
        }
    }

    /// A function of the run-time, lane by lane.
    fn call(&mut self, name: &'static str, args: &[&Value]) -> Value {
        let elem = args[0].elem;
        let lanes = args.iter().map(|a| a.lanes).max().expect("an operand");
        let function = Extern { name, elem, operands: args.len() };
        let symbol = function.symbol();
        self.externs.insert(function);
        let results: Vec<Value> = (0..lanes)
            .map(|lane| {
                let list: Vec<String> =
                    args.iter().map(|a| self.f.extract(a, lane).arg()).collect();
                self.f.def(elem, 1, &format!("call {elem} @{symbol}({}) #1", list.join(", ")))
            })
            .collect();
        if lanes == 1 { results[0].clone() } else { self.f.gather(&results) }
    }

    /// `exponent(x)`: where the leading bit stands.
    fn exponent(&mut self, v: &Value, dtype: DType) -> Value {
        let wide = self.widen(v, dtype);
        let (total, significand, bias) =
            if wide.elem == "float" { (32, 23, 127) } else { (64, 52, 1023) };
        let int = int_elem(total);
        let raw = self.f.cast("bitcast", &wide, int);
        let abs = self.f.bin_int("and", &raw, (1 << (total - 1)) - 1);
        let field = self.f.bin_int("lshr", &abs, significand.into());
        let normal = self.f.bin_int("sub", &field, bias);
        let zeros = self.leading_zeros(&abs);
        // a subnormal with leading bit p is 2^(p + 1 - bias - significand)
        let top = i128::from(total) - bias - i128::from(significand);
        let small = self.f.bin("sub", &Value::int(int, top), &zeros);
        let is_small = self.f.cmp_int("eq", &field, 0);
        let e = self.f.select(&is_small, &small, &normal);
        let e = self.f.resize(&e, "i32", true);
        let infinite = self.f.cmp_int("sge", &abs, (2 * bias + 1) << significand);
        let e = self.f.select(&infinite, &Value::int("i32", i32::MAX.into()), &e);
        let zero = self.f.cmp_int("eq", &abs, 0);
        self.f.select(&zero, &Value::int("i32", i32::MIN.into()), &e)
    }

    /// Leading zero bits; all of them for 0.
    pub(crate) fn leading_zeros(&mut self, v: &Value) -> Value {
        let t = ty(v.elem, v.lanes);
        let suffix = super::build::mangle(v.elem, v.lanes);
        let text = format!("call {t} @llvm.ctlz.{suffix}({}, i1 false)", v.arg());
        self.f.def(v.elem, v.lanes, &text)
    }

    /// The statement's operator.
    pub(crate) fn combine(&mut self, op: AssignOp, dtype: DType, a: &Value, b: &Value) -> Value {
        let op = match op {
            AssignOp::Set => return b.clone(),
            AssignOp::Add => BinOp::Add,
            AssignOp::Mul => BinOp::Mul,
            AssignOp::Min => BinOp::Min,
            AssignOp::Max => BinOp::Max,
        };
        self.binary(op, dtype, a, b)
    }

    /// An operator of two operands of type `dtype`.
    fn binary(&mut self, op: BinOp, dtype: DType, a: &Value, b: &Value) -> Value {
        let signed = dtype.is_signed_int() || planted(Bug::Signedness);
        match op {
            BinOp::Add => self.arithmetic("add", a, b),
            BinOp::Sub => self.arithmetic("sub", a, b),
            BinOp::Mul => self.arithmetic("mul", a, b),
            BinOp::Div if a.elem == "float" => self.quotient(a, b),
            BinOp::Div => self.f.bin("fdiv", a, b),
            BinOp::FloorDiv => self.div_mod(signed, a, b).0,
            BinOp::Mod => self.div_mod(signed, a, b).1,
            BinOp::Min | BinOp::Max => {
                self.min_max((op == BinOp::Min) != planted(Bug::MinMax), dtype, a, b)
            }
            BinOp::Pow => self.call("pow", &[a, b]),
            BinOp::And => self.f.bin("and", a, b),
            BinOp::Or => self.f.bin("or", a, b),
            BinOp::Xor => self.f.bin("xor", a, b),
            BinOp::Shl | BinOp::Shr => self.shift(op == BinOp::Shl, signed, a, b),
            BinOp::MulHi => self.mul_hi(signed, a, b),
            BinOp::Ldexp => self.ldexp(a, b),
            BinOp::Lt | BinOp::Le | BinOp::Gt | BinOp::Ge | BinOp::Eq | BinOp::Ne => {
                self.compare(op, signed, a, b)
            }
        }
    }

    fn arithmetic(&mut self, op: &str, a: &Value, b: &Value) -> Value {
        if a.is_float() { self.f.bin(&format!("f{op}"), a, b) } else { self.f.bin(op, a, b) }
    }

    fn compare(&mut self, op: BinOp, signed: bool, a: &Value, b: &Value) -> Value {
        let name = match op {
            BinOp::Lt => "lt",
            BinOp::Le => "le",
            BinOp::Gt => "gt",
            BinOp::Ge => "ge",
            BinOp::Eq => "eq",
            _ => "ne",
        };
        let predicate = match (a.is_float(), name) {
            (true, "ne") => "une".to_owned(),
            (true, _) => format!("o{name}"),
            (false, "eq" | "ne") => name.to_owned(),
            (false, _) => format!("{}{name}", if signed { 's' } else { 'u' }),
        };
        self.f.cmp(&predicate, a, b)
    }

    fn min_max(&mut self, min: bool, dtype: DType, a: &Value, b: &Value) -> Value {
        let pick = |smaller: &'static str, larger: &'static str| if min { smaller } else { larger };
        if a.is_float() {
            self.f.intrinsic(pick("minimum", "maximum"), &[a, b])
        } else if dtype == DType::Bool {
            self.f.bin(pick("and", "or"), a, b)
        } else if dtype.is_signed_int() {
            self.f.intrinsic(pick("smin", "smax"), &[a, b])
        } else {
            self.f.intrinsic(pick("umin", "umax"), &[a, b])
        }
    }

    /// Quotient rounded down and remainder; by zero they are 0 and `a`.
    fn div_mod(&mut self, signed: bool, a: &Value, b: &Value) -> (Value, Value) {
        let zero = self.f.cmp_int("eq", b, 0);
        let one = Value::int(a.elem, 1);
        let none = Value::int(a.elem, 0);
        let safe = self.f.select(&zero, &one, b);
        if !signed {
            let q = self.f.bin("udiv", a, &safe);
            let r = self.f.bin("urem", a, &safe);
            return (self.f.select(&zero, &none, &q), self.f.select(&zero, a, &r));
        }
        // the quotient by -1 may wrap, which sdiv must not do
        let minus = self.f.cmp_int("eq", b, -1);
        let safe = self.f.select(&minus, &one, &safe);
        let q = self.f.bin("sdiv", a, &safe);
        let r = self.f.bin("srem", a, &safe);
        let signs = self.f.bin("xor", &r, &safe);
        let opposite = self.f.cmp_int("slt", &signs, 0);
        let inexact = self.f.cmp_int("ne", &r, 0);
        let below = self.f.bin("and", &opposite, &inexact);
        let step = self.f.cast("sext", &below, a.elem);
        let q = self.f.bin("add", &q, &step);
        let negated = self.f.bin("sub", &none, a);
        let q = self.f.select(&minus, &negated, &q);
        let q = self.f.select(&zero, &none, &q);
        let back = self.f.bin("mul", &q, b);
        (q, self.f.bin("sub", a, &back))
    }

    fn shift(&mut self, left: bool, signed: bool, a: &Value, b: &Value) -> Value {
        let width = i128::from(bits(a.elem));
        let fits = self.f.cmp_int("ult", b, width);
        if !left && signed {
            let n = self.f.select(&fits, b, &Value::int(b.elem, width - 1));
            return self.f.bin("ashr", a, &n);
        }
        let n = self.f.select(&fits, b, &Value::int(b.elem, 0));
        let v = self.f.bin(if left { "shl" } else { "lshr" }, a, &n);
        self.f.select(&fits, &v, &Value::int(a.elem, 0))
    }

    fn mul_hi(&mut self, signed: bool, a: &Value, b: &Value) -> Value {
        let width = bits(a.elem);
        if self.machine == Machine::Gpu && a.lanes == 1 && b.lanes == 1 && width >= 32 {
            // LLVM would multiply in 64 bits what it knows to be the half of 64 bits
            let long = if width == 64 { "ll" } else { "i" };
            let name = if signed { long.to_owned() } else { format!("u{long}") };
            let call =
                format!("call {0} @llvm.nvvm.mulhi.{name}({1}, {2})", a.elem, a.arg(), b.arg());
            return self.f.def(a.elem, 1, &call);
        }
        let wide = int_elem(2 * width);
        let (x, y) = (self.f.resize(a, wide, signed), self.f.resize(b, wide, signed));
        let product = self.f.bin("mul", &x, &y);
        let high = self.f.bin_int("lshr", &product, width.into());
        self.f.resize(&high, a.elem, false)
    }

    /// `x · 2^n` in up to three steps, of which the last alone rounds: where one before it loses
    /// digits, less than half of the least number is left in the end. An f32 takes one, in f64.
    fn ldexp(&mut self, x: &Value, n: &Value) -> Value {
        let steps = if x.elem == "float" { 1 } else { 3 };
        let wide = self.f.cast("fpext", x, "double");
        let mut left = n.clone();
        let mut factors = Vec::new();
        for step in 1..=steps {
            let part = self.f.intrinsic("smin", &[&left, &Value::int("i32", 1023)]);
            let part = self.f.intrinsic("smax", &[&part, &Value::int("i32", -1022)]);
            factors.push(self.power_of_two(&part));
            if step < steps {
                left = self.f.bin("sub", &left, &part);
            }
        }
        let y = factors.iter().rev().fold(wide, |y, factor| self.f.bin("fmul", &y, factor));
        self.f.cast("fptrunc", &y, x.elem)
    }

    /// `2^n` for an i32 `-1022 <= n <= 1023`.
    fn power_of_two(&mut self, n: &Value) -> Value {
        let field = self.f.bin_int("add", n, 1023);
        let high = self.f.bin_int("shl", &field, 20);
        let high = self.f.resize(&high, "i64", false);
        let raw = self.f.bin_int("shl", &high, 32);
        self.f.cast("bitcast", &raw, "double")
    }

    /// A conversion to nearest-even without saturation.
    pub(crate) fn convert_nearest(&mut self, v: &Value, from: DType, to: DType) -> Value {
        self.convert(v, from, to, Rounding::Nearest, false)
    }
}
