//! Conversions between all types, by integer arithmetic on the bits where formats are narrow and
//! the machine has no instruction.
//!
//! Why not LLVM's own types: conversions to bf16 and fp8 (and f16 on some machines) become
//! library calls that do not exist. This form has no calls, no branches, and vectorises.
//! Keeps: bit-equal with `ir::value::Scalar::convert`, NaNs become the positive quiet NaN. GPUs
//! convert between f32 and 16-bit floats by instructions of their own; those to 16 bits make a NaN
//! with all its bits set, which is replaced. (The fragments of block programs keep it.)

use warploom_ir::dtype::DType;
use warploom_ir::expr::Rounding;
use warploom_ir::value::float::Format;

use super::build::{Value, bits, int_elem};
use super::emit::{Emitter, Machine};
use super::expr::reg_elem;

/// A binary floating-point layout.
#[derive(Clone, Copy, Debug)]
struct Layout {
    /// Bits of the exponent field.
    exponent: u32,
    /// Bits of the significand field.
    significand: u32,
    /// Unused low bits of the storage.
    padding: u32,
    /// Top exponent means infinity or NaN; else only all ones is NaN, if there is one.
    ieee: bool,
    /// All bits are numbers.
    finite: bool,
    /// There is a sign.
    signed: bool,
}

const F64: Layout = Layout::of(DType::F64).expect("a float");
const F32: Layout = Layout::of(DType::F32).expect("a float");
/// How many powers of two there are, which is the bits of the NaN, and the exponent of one.
const POWERS: i128 = 255;
const POWER_BIAS: i128 = 127;

impl Layout {
    const fn of(dtype: DType) -> Option<Self> {
        let Some(f) = Format::of(dtype) else { return None };
        let Format { exponent_bits: exponent, significand_bits: significand, .. } = f;
        let Format { padding, ieee, finite, signed, .. } = f;
        Some(Self { exponent, significand, padding, ieee, finite, signed })
    }

    const fn bias(self) -> i128 {
        (1 << (self.exponent - 1)) - 1
    }

    /// The magnitude bits of infinity, in an IEEE format.
    const fn infinity(self) -> i128 {
        ((1 << self.exponent) - 1) << self.significand
    }

    const fn max_finite(self) -> i128 {
        let all = (1 << (self.exponent + self.significand)) - 1;
        match (self.ieee, self.finite) {
            (true, _) => all - (1 << self.significand),
            (false, false) => all - 1,
            (false, true) => all,
        }
    }

    /// Of a layout without NaNs the greatest number.
    const fn nan(self) -> i128 {
        let fraction =
            if self.ieee { 1 << (self.significand - 1) } else { (1 << self.significand) - 1 };
        self.infinity() | fraction
    }

    /// Magnitude bits beyond the largest finite number when nothing clamps.
    const fn overflowed(self) -> i128 {
        if self.ieee { self.infinity() } else { self.nan() }
    }

    const fn sign_shift(self) -> u32 {
        self.exponent + self.significand
    }
}

/// LLVM's type of a 16-bit float.
pub(crate) const fn half_elem(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F16 => Some("half"),
        DType::Bf16 => Some("bfloat"),
        DType::F64
        | DType::F32
        | DType::Tf32
        | DType::E4m3
        | DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3
        | DType::I64
        | DType::U64
        | DType::I32
        | DType::U32
        | DType::I16
        | DType::U16
        | DType::I8
        | DType::U8
        | DType::Bool => None,
    }
}

impl Emitter<'_> {
    /// A value of type `from` as type `to`.
    pub(crate) fn convert(
        &mut self,
        v: &Value,
        from: DType,
        to: DType,
        rounding: Rounding,
        saturate: bool,
    ) -> Value {
        if from == to && !(saturate && to.is_float()) {
            return v.clone();
        }
        if to == DType::Bool {
            let v = self.widen(v, from);
            return if v.is_float() {
                self.f.cmp("une", &v, &Value::float(v.elem, 0.0))
            } else {
                self.f.cmp_int("ne", &v, 0)
            };
        }
        match (from.is_float(), to.is_float()) {
            (true, true) => self.float_to_float(v, from, to, rounding, saturate),
            (true, false) => self.float_to_int(v, from, to, rounding, saturate),
            (false, true) => self.int_to_float(v, from, to, rounding, saturate),
            (false, false) => self.int_to_int(v, from, to, saturate),
        }
    }

    /// A narrow float as f32, exactly; every other value as it is.
    pub(crate) fn widen(&mut self, v: &Value, dtype: DType) -> Value {
        match dtype {
            DType::Ue8m0 => self.decode_power(v),
            DType::F16 | DType::Bf16 | DType::E4m3 | DType::E5m2 | DType::E2m1 | DType::Ue4m3 => {
                self.decode(v, dtype)
            }
            DType::F64
            | DType::F32
            | DType::Tf32
            | DType::I64
            | DType::U64
            | DType::I32
            | DType::U32
            | DType::I16
            | DType::U16
            | DType::I8
            | DType::U8
            | DType::Bool => v.clone(),
        }
    }

    fn decode(&mut self, v: &Value, dtype: DType) -> Value {
        let raw = self.f.resize(v, "i32", false);
        if dtype == DType::F16 && self.machine == Machine::Gpu {
            let half = self.f.cast("bitcast", v, "half");
            return self.f.cast("fpext", &half, "float");
        }
        if dtype == DType::Bf16 && self.machine == Machine::Gpu && v.lanes == 1 {
            // one instruction, where an element is half of a register; a shift would be two
            let halves = self.f.gather(&[Value::int("i16", 0), v.clone()]);
            return self.f.def("float", 1, &format!("bitcast {} to float", halves.arg()));
        }
        if dtype == DType::Bf16 {
            let high = self.f.bin_int("shl", &raw, 16);
            return self.f.cast("bitcast", &high, "float");
        }
        let l = Layout::of(dtype).expect("a float");
        let shift = F32.significand - l.significand;
        let abs = self.f.bin_int("and", &raw, (1 << l.sign_shift()) - 1);
        let moved = self.f.bin_int("shl", &abs, shift.into());
        let normal = self.f.bin_int("add", &moved, (127 - l.bias()) << 23);
        // subnormal: an integer times the least number, exact in f32
        let count = self.f.cast("uitofp", &abs, "float");
        let least = 2_f64.powi(1 - l.bias() as i32 - l.significand as i32);
        let small = self.f.bin("fmul", &count, &Value::float("float", least));
        let small = self.f.cast("bitcast", &small, "i32");
        let is_small = self.f.cmp_int("ult", &abs, 1 << l.significand);
        let mut out = self.f.select(&is_small, &small, &normal);
        if l.ieee {
            let special = self.f.bin_int("or", &moved, F32.infinity());
            let is_special = self.f.cmp_int("uge", &abs, l.infinity());
            out = self.f.select(&is_special, &special, &out);
        } else if !l.finite {
            let is_nan = self.f.cmp_int("eq", &abs, l.nan());
            out = self.f.select(&is_nan, &Value::int("i32", F32.nan()), &out);
        }
        if l.signed {
            let sign = self.f.bin_int("lshr", &raw, l.sign_shift().into());
            let sign = self.f.bin_int("shl", &sign, 31);
            out = self.f.bin("or", &out, &sign);
        }
        self.f.cast("bitcast", &out, "float")
    }

    /// The bits of a number without a sign, whose highest bit means nothing.
    pub(super) fn unsigned(&mut self, v: &Value) -> Value {
        self.f.bin_int("and", v, 0x7f)
    }

    /// The number that all bits are the exponent of, as f32; the least one is a subnormal of it.
    fn decode_power(&mut self, v: &Value) -> Value {
        let raw = self.f.resize(v, "i32", false);
        let moved = self.f.bin_int("shl", &raw, F32.significand.into());
        let least = self.f.cmp_int("eq", &raw, 0);
        let out = self.f.select(&least, &Value::int("i32", 1 << (F32.significand - 1)), &moved);
        let is_nan = self.f.cmp_int("eq", &raw, POWERS);
        let out = self.f.select(&is_nan, &Value::int("i32", F32.nan()), &out);
        self.f.cast("bitcast", &out, "float")
    }

    /// An f32 or f64 rounded to a power of two, as its exponent.
    fn encode_power(&mut self, v: &Value, rounding: Rounding, saturate: bool) -> Value {
        let wide = if v.elem == "float" { self.f.cast("fpext", v, "double") } else { v.clone() };
        let raw = self.f.cast("bitcast", &wide, "i64");
        let abs = self.f.bin_int("and", &raw, (1 << 63) - 1);
        let least = (F64.bias() - POWER_BIAS) << F64.significand;
        let size = self.f.intrinsic("umax", &[&abs, &Value::int("i64", least)]);
        let half: i128 = 1 << (F64.significand - 1);
        let up = match rounding {
            Rounding::Nearest => half,
            Rounding::Up => 2 * half - 1,
            Rounding::Zero | Rounding::Down => 0,
        };
        let size = self.f.bin_int("add", &size, up);
        let field = self.f.bin_int("lshr", &size, F64.significand.into());
        let exponent = self.f.bin_int("sub", &field, F64.bias() - POWER_BIAS);
        let clamped = saturate || matches!(rounding, Rounding::Zero | Rounding::Down);
        let top = |clamped: bool| Value::int("i64", POWERS - i128::from(clamped));
        let is_over = self.f.cmp_int("uge", &exponent, POWERS);
        let out = self.f.select(&is_over, &top(clamped), &exponent);
        let is_infinite = self.f.cmp_int("eq", &abs, F64.infinity());
        let out = self.f.select(&is_infinite, &top(saturate), &out);
        // what is negative, but for a zero, or no number
        let above = self.f.cmp_int("ugt", &raw, 1 << 63);
        let is_nan = self.f.cmp_int("ugt", &abs, F64.infinity());
        let none = self.f.bin("or", &above, &is_nan);
        let out = self.f.select(&none, &top(false), &out);
        self.f.resize(&out, reg_elem(DType::Ue8m0), false)
    }

    fn float_to_float(
        &mut self,
        v: &Value,
        from: DType,
        to: DType,
        rounding: Rounding,
        saturate: bool,
    ) -> Value {
        let wide = self.widen(v, from);
        if !saturate {
            match (wide.elem, to) {
                ("float", DType::F64) => return self.f.cast("fpext", &wide, "double"),
                ("float", DType::F32) | ("double", DType::F64) => return wide,
                ("double", DType::F32) if rounding == Rounding::Nearest => {
                    return self.f.cast("fptrunc", &wide, "float");
                }
                _ => {}
            }
        }
        let plain = rounding == Rounding::Nearest && !saturate;
        if let (Machine::Gpu, "float", Some(elem), true) =
            (self.machine, wide.elem, half_elem(to), plain)
        {
            let narrow = self.f.cast("fptrunc", &wide, elem);
            let raw = self.f.cast("bitcast", &narrow, "i16");
            if self.program.is_some() {
                // two of them are one instruction where nothing stands between
                return raw;
            }
            // that NaN's bits are the greatest; two of these are one instruction
            let nan = Layout::of(to).expect("a float").nan();
            return self.f.intrinsic("smin", &[&raw, &Value::int("i16", nan)]);
        }
        let wide = if to == DType::F64 { self.f.cast("fpext", &wide, "double") } else { wide };
        self.encode(&wide, to, rounding, saturate)
    }

    /// An f32 or f64 rounded once to a format no wider than itself.
    fn encode(&mut self, v: &Value, to: DType, rounding: Rounding, saturate: bool) -> Value {
        if to == DType::Ue8m0 {
            return self.encode_power(v, rounding, saturate);
        }
        let l = Layout::of(to).expect("a float");
        let s = if v.elem == "float" { F32 } else { F64 };
        let total = bits(v.elem);
        let int = int_elem(total);
        let raw = self.f.cast("bitcast", v, int);
        let abs = self.f.bin_int("and", &raw, (1 << (total - 1)) - 1);
        let negative = self.f.cmp_int("slt", &raw, 0);
        let magnitude = self.round_magnitude(&abs, &negative, s, l, rounding);
        // beyond the largest finite number
        let top =
            |clamped: bool| Value::int(int, if clamped { l.max_finite() } else { l.overflowed() });
        let over = match (saturate, rounding) {
            (true, _) | (false, Rounding::Zero) => top(true),
            (false, Rounding::Nearest) => top(false),
            (false, Rounding::Up) => self.f.select(&negative, &top(true), &top(false)),
            (false, Rounding::Down) => self.f.select(&negative, &top(false), &top(true)),
        };
        let is_over = self.f.cmp_int("ugt", &magnitude, l.max_finite());
        let mut out = self.f.select(&is_over, &over, &magnitude);
        let is_infinite = self.f.cmp_int("eq", &abs, s.infinity());
        out = self.f.select(&is_infinite, &top(saturate), &out);
        let mut whole = out.clone();
        if l.signed {
            let sign = self.f.bin_int("lshr", &raw, (total - 1).into());
            let sign = self.f.bin_int("shl", &sign, l.sign_shift().into());
            whole = self.f.bin("or", &out, &sign);
        } else {
            // what is negative, but for a zero
            let below = self.f.cmp_int("ugt", &raw, 1 << (total - 1));
            whole = self.f.select(&below, &Value::int(int, l.nan()), &whole);
        }
        if !l.ieee && !l.finite {
            // the NaN that stands for an overflow is positive
            let is_nan = self.f.cmp_int("eq", &out, l.nan());
            whole = self.f.select(&is_nan, &Value::int(int, l.nan()), &whole);
        }
        let is_nan = self.f.cmp_int("ugt", &abs, s.infinity());
        let whole = self.f.select(&is_nan, &Value::int(int, l.nan()), &whole);
        let whole = self.f.bin_int("shl", &whole, l.padding.into());
        let storage = int_elem((l.sign_shift() + 1 + l.padding).max(8));
        let stored = self.f.resize(&whole, storage, false);
        self.f.cast("bitcast", &stored, reg_elem(to))
    }

    /// The magnitude bits in layout `l` of finite `abs` in layout `s`; too large ones carry on
    /// beyond the largest finite number.
    fn round_magnitude(
        &mut self,
        abs: &Value,
        negative: &Value,
        s: Layout,
        l: Layout,
        rounding: Rounding,
    ) -> Value {
        let int = abs.elem;
        let one = Value::int(int, 1);
        let drop = s.significand - l.significand;
        let field = self.f.bin_int("lshr", abs, s.significand.into());
        let fraction = self.f.bin_int("and", abs, (1 << s.significand) - 1);
        let normal = self.f.cmp_int("ne", &field, 0);
        let hidden =
            self.f.select(&normal, &Value::int(int, 1 << s.significand), &Value::int(int, 0));
        let significand = self.f.bin("or", &fraction, &hidden);
        let field = self.f.intrinsic("umax", &[&field, &one]);
        let target = self.f.bin_int("sub", &field, s.bias() - l.bias());
        let mut shift = Value::int(int, drop.into());
        let mut base = target.clone();
        if s.exponent != l.exponent {
            let missing = self.f.bin("sub", &one, &target);
            let missing = self.f.intrinsic("smax", &[&missing, &Value::int(int, 0)]);
            let most = i128::from(s.significand + 2 - drop);
            let missing = self.f.intrinsic("smin", &[&missing, &Value::int(int, most)]);
            shift = self.f.bin("add", &missing, &shift);
            base = self.f.intrinsic("smax", &[&target, &one]);
        }
        let kept = if drop == 0 && s.exponent == l.exponent {
            significand
        } else {
            let add = self.rounding_addend(&significand, &shift, negative, rounding);
            let sum = self.f.bin("add", &significand, &add);
            self.f.bin("lshr", &sum, &shift)
        };
        let base = self.f.bin_int("sub", &base, 1);
        let base = self.f.bin_int("shl", &base, l.significand.into());
        self.f.bin("add", &kept, &base)
    }

    /// What to add before `shift` bits are cut off.
    fn rounding_addend(
        &mut self,
        v: &Value,
        shift: &Value,
        negative: &Value,
        rounding: Rounding,
    ) -> Value {
        let int = v.elem;
        let zero = Value::int(int, 0);
        let one = Value::int(int, 1);
        match rounding {
            Rounding::Zero => zero,
            Rounding::Nearest => {
                let odd = self.f.bin("lshr", v, shift);
                let odd = self.f.bin_int("and", &odd, 1);
                let before = self.f.bin_int("sub", shift, 1);
                let half = self.f.bin("shl", &one, &before);
                let below = self.f.bin_int("sub", &half, 1);
                self.f.bin("add", &below, &odd)
            }
            Rounding::Up | Rounding::Down => {
                let unit = self.f.bin("shl", &one, shift);
                let all = self.f.bin_int("sub", &unit, 1);
                if rounding == Rounding::Up {
                    self.f.select(negative, &zero, &all)
                } else {
                    self.f.select(negative, &all, &zero)
                }
            }
        }
    }

    fn float_to_int(
        &mut self,
        v: &Value,
        from: DType,
        to: DType,
        rounding: Rounding,
        saturate: bool,
    ) -> Value {
        let wide = self.widen(v, from);
        if saturate
            && self.machine == Machine::Gpu
            && let Some(value) = self.clamping(&wide, to, rounding)
        {
            return value;
        }
        let name = match rounding {
            Rounding::Nearest => "roundeven",
            Rounding::Zero => "trunc",
            Rounding::Up => "ceil",
            Rounding::Down => "floor",
        };
        let whole = self.f.intrinsic(name, &[&wide]);
        if saturate {
            let sign = if to.is_signed_int() { 's' } else { 'u' };
            return self.float_to_int_saturating(sign, &whole, reg_elem(to));
        }
        let whole = self.f.cast("fpext", &whole, "double");
        let near = self.float_to_int_saturating('s', &whole, "i64");
        let far = self.wrapped(&whole);
        let size = self.f.intrinsic("fabs", &[&whole]);
        let fits = self.f.cmp("olt", &size, &Value::float("double", 9_223_372_036_854_775_808.0));
        let all = self.f.select(&fits, &near, &far);
        self.f.resize(&all, reg_elem(to), false)
    }

    /// The instruction of a GPU that rounds and clamps at once; a NaN gives 0.
    fn clamping(&mut self, v: &Value, to: DType, rounding: Rounding) -> Option<Value> {
        let to = [(DType::I32, "i"), (DType::U32, "ui"), (DType::I64, "ll"), (DType::U64, "ull")]
            .into_iter()
            .find_map(|(t, name)| (t == to).then_some((reg_elem(t), name)))?;
        let rounding = match rounding {
            Rounding::Nearest => "rn",
            Rounding::Zero => "rz",
            Rounding::Up => "rp",
            Rounding::Down => "rm",
        };
        let from = if v.elem == "float" { 'f' } else { 'd' };
        let ((elem, to), arg) = (to, v.arg());
        let call = format!("call {elem} @llvm.nvvm.{from}2{to}.{rounding}({arg})");
        let value = self.f.def(elem, 1, &call);
        let is_nan = self.f.cmp("uno", v, v);
        Some(self.f.select(&is_nan, &Value::int(elem, 0), &value))
    }

    fn float_to_int_saturating(&mut self, sign: char, v: &Value, elem: &'static str) -> Value {
        let (to, from) =
            (super::build::mangle(elem, v.lanes), super::build::mangle(v.elem, v.lanes));
        let ty = super::build::ty(elem, v.lanes);
        let call = format!("call {ty} @llvm.fpto{sign}i.sat.{to}.{from}({})", v.arg());
        self.f.def(elem, v.lanes, &call)
    }

    /// An integral f64 of at least 2^63 in magnitude, modulo 2^64; infinities and NaN give 0.
    fn wrapped(&mut self, v: &Value) -> Value {
        let raw = self.f.cast("bitcast", v, "i64");
        let field = self.f.bin_int("lshr", &raw, 52);
        let field = self.f.bin_int("and", &field, 2047);
        let fraction = self.f.bin_int("and", &raw, (1 << 52) - 1);
        let significand = self.f.bin_int("or", &fraction, 1 << 52);
        let shift = self.f.bin_int("sub", &field, 1075);
        let inside = self.f.cmp_int("ult", &shift, 64);
        let zero = Value::int("i64", 0);
        let shift = self.f.select(&inside, &shift, &zero);
        let size = self.f.bin("shl", &significand, &shift);
        let size = self.f.select(&inside, &size, &zero);
        let minus = self.f.bin("sub", &zero, &size);
        let negative = self.f.cmp_int("slt", &raw, 0);
        self.f.select(&negative, &minus, &size)
    }

    fn int_to_float(
        &mut self,
        v: &Value,
        from: DType,
        to: DType,
        rounding: Rounding,
        saturate: bool,
    ) -> Value {
        let signed = from.is_signed_int();
        let op = if signed { "sitofp" } else { "uitofp" };
        let exact = |to: DType| from.precision_bits() <= to.precision_bits();
        if matches!(to, DType::F32 | DType::F64) && (exact(to) || rounding == Rounding::Nearest) {
            return self.f.cast(op, v, reg_elem(to));
        }
        if exact(DType::F32) {
            let wide = self.f.cast(op, v, "float");
            return self.encode(&wide, to, rounding, saturate);
        }
        if exact(DType::F64) {
            let wide = self.f.cast(op, v, "double");
            return self.encode(&wide, to, rounding, saturate);
        }
        let zero = Value::int("i64", 0);
        let negative =
            if signed { self.f.cmp_int("slt", v, 0) } else { Value::literal("i1", "false") };
        let minus = self.f.bin("sub", &zero, v);
        let size = self.f.select(&negative, &minus, v);
        let wide = self.u64_to_f64(&size, &negative, to, rounding);
        if to == DType::F64 { wide } else { self.encode(&wide, to, rounding, saturate) }
    }

    /// `±size` as f64: rounded as asked where that is the result, else so that a second, coarser
    /// rounding gives what one rounding would (cut off, with a sticky last bit).
    fn u64_to_f64(
        &mut self,
        size: &Value,
        negative: &Value,
        to: DType,
        rounding: Rounding,
    ) -> Value {
        let zeros = self.leading_zeros(size);
        let none = self.f.cmp_int("eq", size, 0);
        let zero = Value::int("i64", 0);
        let shift = self.f.select(&none, &zero, &zeros);
        let top = self.f.bin("shl", size, &shift);
        let rest = self.f.bin_int("and", &top, 0x7ff);
        let inexact = self.f.cmp_int("ne", &rest, 0);
        let sticky = self.f.cast("zext", &inexact, "i64");
        let cut = self.f.bin_int("lshr", &top, 11);
        let significand = if to == DType::F64 {
            // nearest is LLVM's own conversion and never gets here
            let away = match rounding {
                Rounding::Nearest | Rounding::Zero => zero.clone(),
                Rounding::Up => self.f.select(negative, &zero, &sticky),
                Rounding::Down => self.f.select(negative, &sticky, &zero),
            };
            self.f.bin("add", &cut, &away)
        } else {
            self.f.bin("or", &cut, &sticky)
        };
        // the hidden one adds itself to the exponent field: 1023 + 63 - 1 - shift
        let field = self.f.bin("sub", &Value::int("i64", 1085), &shift);
        let field = self.f.bin_int("shl", &field, 52);
        let raw = self.f.bin("add", &significand, &field);
        let raw = self.f.select(&none, &zero, &raw);
        let sign = self.f.select(negative, &Value::int("i64", i64::MIN.into()), &zero);
        let raw = self.f.bin("or", &raw, &sign);
        self.f.cast("bitcast", &raw, "double")
    }

    fn int_to_int(&mut self, v: &Value, from: DType, to: DType, saturate: bool) -> Value {
        let signed = from.is_signed_int();
        if !saturate || from == DType::Bool {
            return self.f.resize(v, reg_elem(to), signed);
        }
        let magnitude = to.precision_bits();
        let mut v = v.clone();
        if signed && to.is_unsigned_int() {
            v = self.f.intrinsic("smax", &[&v, &Value::int(v.elem, 0)]);
        }
        if from.precision_bits() > magnitude {
            let name = if signed { ("smin", "smax") } else { ("umin", "") };
            v = self.f.intrinsic(name.0, &[&v, &Value::int(v.elem, (1 << magnitude) - 1)]);
            if signed && to.is_signed_int() {
                v = self.f.intrinsic(name.1, &[&v, &Value::int(v.elem, -(1 << magnitude))]);
            }
        }
        self.f.resize(&v, reg_elem(to), signed)
    }
}
