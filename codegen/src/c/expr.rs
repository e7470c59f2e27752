//! Operators and conversions as C expressions.
//!
//! Keeps: integer arithmetic is done on `uint64_t` and cut to the type, so that it wraps and never
//! overflows a signed type.

use warploom_ir::dtype::DType;
use warploom_ir::expr::{BinOp, Literal, Rounding, UnOp};
use warploom_ir::value::Scalar;
use warploom_ir::value::float::Format;

use super::memory_type;

/// An `int64_t` constant.
pub(super) fn int64(v: i64) -> String {
    match v {
        i64::MIN => "INT64_MIN".to_owned(),
        v if i32::try_from(v).is_ok() => v.to_string(),
        v => format!("INT64_C({v})"),
    }
}

fn float_text(v: f64, suffix: &str) -> String {
    if v.is_nan() {
        "NAN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "INFINITY".to_owned() } else { "(-INFINITY)".to_owned() }
    } else {
        format!("{v:?}{suffix}")
    }
}

/// A literal in the form an initialiser wants.
pub(super) fn table_entry(v: Literal, t: DType) -> String {
    let s = Scalar::from_literal(t, v);
    match t {
        DType::F64 => float_text(s.to_f64(), ""),
        DType::F32 | DType::Tf32 => float_text(s.to_f64(), "f"),
        DType::F16
        | DType::Bf16
        | DType::E4m3
        | DType::E5m2
        | DType::E2m1
        | DType::Ue8m0
        | DType::Ue4m3 => {
            format!("{:#x}", s.bits())
        }
        DType::Bool => s.bits().to_string(),
        DType::U64 => format!("UINT64_C({})", s.bits()),
        DType::I64 | DType::I32 | DType::U32 | DType::I16 | DType::U16 | DType::I8 | DType::U8 => {
            let exact = s.to_i128().and_then(|v| i64::try_from(v).ok());
            int64(exact.expect("these types fit in 64 bits"))
        }
    }
}

/// A loaded element as a value.
pub(super) fn loaded(element: &str, t: DType) -> String {
    match t {
        DType::Bool => format!("({element} != 0)"),
        DType::Ue4m3 => format!("({element} & 127)"),
        _ => element.to_owned(),
    }
}

/// The layout arguments of the helpers.
fn layout(t: DType) -> String {
    let Format { exponent_bits, significand_bits, padding, ieee, finite, .. } =
        Format::of(t).expect("only floats have a layout");
    let special = u8::from(ieee) + 2 * u8::from(finite);
    format!("{exponent_bits}, {significand_bits}, {padding}, {special}")
}

const fn is_narrow(t: DType) -> bool {
    matches!(t, DType::F16 | DType::Bf16 | DType::E4m3 | DType::E5m2)
        || matches!(t, DType::E2m1 | DType::Ue4m3)
}

/// A float as an exact double.
fn widened(v: &str, t: DType) -> String {
    match t {
        DType::Ue8m0 => format!("wl_power({v})"),
        _ if is_narrow(t) => format!("wl_decode({v}, {})", layout(t)),
        _wide => format!("(double)({v})"),
    }
}

/// Storage bits as a value.
fn from_bits(bits: &str, t: DType) -> String {
    match t {
        DType::F64 => format!("wl_f64({bits})"),
        DType::F32 | DType::Tf32 => format!("wl_f32((uint32_t){bits})"),
        DType::Ue4m3 => format!("(uint8_t)({bits} & 127)"),
        _ => format!("({}){bits}", memory_type(t)),
    }
}

const fn rounding_number(r: Rounding) -> u32 {
    match r {
        Rounding::Nearest => 0,
        Rounding::Zero => 1,
        Rounding::Up => 2,
        Rounding::Down => 3,
    }
}

/// A conversion.
pub(super) fn convert(v: &str, from: DType, to: DType, rounding: Rounding, sat: bool) -> String {
    if from == to && !(sat && to.is_float()) {
        return v.to_owned();
    }
    let (r, s) = (rounding_number(rounding), u32::from(sat));
    if to == DType::Bool {
        let v = if from.is_float() { widened(v, from) } else { v.to_owned() };
        return format!("({v} != 0)");
    }
    match (from.is_float(), to.is_float()) {
        (true, true) => {
            let plain = !sat
                && (to == DType::F64
                    || (to == DType::F32 && (from != DType::F64 || rounding == Rounding::Nearest)));
            let wide = widened(v, from);
            if plain {
                return format!("({}){wide}", memory_type(to));
            }
            match to {
                DType::Ue8m0 => from_bits(&format!("wl_to_power({wide}, {r}, {s})"), to),
                DType::Ue4m3 => {
                    from_bits(&format!("wl_to_unsigned({wide}, {}, {r}, {s})", layout(to)), to)
                }
                _other => from_bits(&format!("wl_round({wide}, {}, {r}, {s})", layout(to)), to),
            }
        }
        (true, false) => {
            let wide = widened(v, from);
            let bits = to.precision_bits();
            let signed = u32::from(to.is_signed_int());
            format!("({})wl_to_int({wide}, {r}, {s}, {signed}, {bits})", memory_type(to))
        }
        (false, true) if matches!(to, DType::Ue8m0 | DType::Ue4m3) => {
            // an integer of 64 bits is rounded to 53 so that a second rounding sees what was lost
            let sign = if from.is_signed_int() { "s" } else { "u" };
            let wide = format!("wl_sticky_{sign}({v})");
            let number = match to {
                DType::Ue8m0 => format!("wl_to_power({wide}, {r}, {s})"),
                _unsigned => format!("wl_to_unsigned({wide}, {}, {r}, {s})", layout(to)),
            };
            from_bits(&number, to)
        }
        (false, true) => {
            let number = if from.is_signed_int() {
                format!("wl_from_int({v}, {}, {r}, {s})", layout(to))
            } else {
                format!("wl_encode(0, {v}, 0, {}, {r}, {s})", layout(to))
            };
            from_bits(&number, to)
        }
        (false, false) if sat && from != DType::Bool => {
            let (low, high) = (convert_limit(to, true), convert_limit(to, false));
            if from.is_signed_int() {
                format!("({})wl_clamp_s({v}, {low}, {high})", memory_type(to))
            } else {
                format!("({})wl_clamp_u({v}, {high})", memory_type(to))
            }
        }
        (false, false) => format!("({})({v})", memory_type(to)),
    }
}

/// The least value as `int64_t`, or the greatest as `uint64_t`.
fn convert_limit(t: DType, least: bool) -> String {
    let bits = t.precision_bits();
    if !least {
        return format!("UINT64_C({})", u64::MAX >> (64 - bits));
    }
    if t.is_signed_int() { int64((-1_i64) << bits) } else { "0".to_owned() }
}

/// A reinterpretation of bits.
pub(super) fn bitcast(v: &str, from: DType, to: DType) -> String {
    let bits = match from {
        DType::F64 => format!("wl_bits64({v})"),
        DType::F32 | DType::Tf32 => format!("wl_bits32({v})"),
        _ => format!("({v})"),
    };
    if to == DType::Bool { format!("({bits} != 0)") } else { from_bits(&bits, to) }
}

/// The suffix of C's functions on a compute type.
const fn suffix(t: DType) -> &'static str {
    if matches!(t, DType::F32) { "f" } else { "" }
}

/// An operator of one operand.
pub(super) fn unary(op: UnOp, t: DType, v: &str) -> String {
    let call = |name: &str| format!("{name}{}({v})", suffix(t));
    let ty = memory_type(t);
    match op {
        UnOp::Neg if t.is_float() => format!("(-{v})"),
        UnOp::Neg => format!("(({ty})(0 - (uint64_t){v}))"),
        UnOp::Not if t == DType::Bool => format!("(!{v})"),
        UnOp::Not => format!("(({ty})~(uint64_t){v})"),
        UnOp::Abs if t.is_float() => call("fabs"),
        UnOp::Abs if t.is_signed_int() => format!("(({ty})wl_abs({v}))"),
        UnOp::Abs => v.to_owned(),
        UnOp::Rint => call("rint"),
        UnOp::Floor => call("floor"),
        UnOp::Ceil => call("ceil"),
        UnOp::Trunc => call("trunc"),
        UnOp::Exponent => format!("wl_exponent({})", widened(v, t)),
        UnOp::IsFinite => format!("(isfinite({}) != 0)", widened(v, t)),
        UnOp::Exp => call("exp"),
        UnOp::Exp2 => call("exp2"),
        UnOp::Log => call("log"),
        UnOp::Log2 => call("log2"),
        UnOp::Sqrt => call("sqrt"),
        UnOp::Rsqrt => format!("(1 / {})", call("sqrt")),
        UnOp::Tanh => call("tanh"),
        UnOp::Erf => call("erf"),
    }
}

/// An operator of two operands of type `t`.
pub(super) fn binary(op: BinOp, t: DType, a: &str, b: &str) -> String {
    let ty = memory_type(t);
    let float = t.is_float();
    let sign = if t.is_signed_int() { 's' } else { 'u' };
    let bits = 8 * t.size_bytes();
    let infix = |c: &str| format!("({a} {c} {b})");
    let wrap = |c: &str| format!("(({ty})((uint64_t){a} {c} (uint64_t){b}))");
    let arithmetic = |c: &str| if float { infix(c) } else { wrap(c) };
    match op {
        BinOp::Add => arithmetic("+"),
        BinOp::Sub => arithmetic("-"),
        BinOp::Mul => arithmetic("*"),
        BinOp::Div => infix("/"),
        BinOp::FloorDiv => format!("(({ty})wl_div_{sign}({a}, {b}))"),
        BinOp::Mod => format!("(({ty})wl_mod_{sign}({a}, {b}))"),
        BinOp::Min | BinOp::Max => {
            let name = if op == BinOp::Min { "min" } else { "max" };
            match t {
                DType::Bool => infix(if op == BinOp::Min { "&&" } else { "||" }),
                _ if float => format!("(({ty})wl_{name}_f64({a}, {b}))"),
                _ if t.is_signed_int() => format!("(({ty})wl_{name}_i64({a}, {b}))"),
                _ => format!("(({ty})wl_{name}_u64({a}, {b}))"),
            }
        }
        BinOp::Pow => format!("pow{}({a}, {b})", suffix(t)),
        BinOp::And if t == DType::Bool => infix("&&"),
        BinOp::Or if t == DType::Bool => infix("||"),
        BinOp::Xor if t == DType::Bool => infix("!="),
        BinOp::And => wrap("&"),
        BinOp::Or => wrap("|"),
        BinOp::Xor => wrap("^"),
        BinOp::Shl => format!("(({ty})wl_shl({a}, (uint64_t){b}, {bits}))"),
        BinOp::Shr => format!("(({ty})wl_shr_{sign}({a}, (uint64_t){b}, {bits}))"),
        BinOp::MulHi if bits == 64 => format!("(({ty})wl_mulhi_{sign}({a}, {b}))"),
        BinOp::MulHi if t.is_signed_int() => {
            format!("(({ty})(((int64_t){a} * (int64_t){b}) >> {bits}))")
        }
        BinOp::MulHi => format!("(({ty})(((uint64_t){a} * (uint64_t){b}) >> {bits}))"),
        BinOp::Ldexp => format!("ldexp{}({a}, {b})", suffix(t)),
        BinOp::Lt => infix("<"),
        BinOp::Le => infix("<="),
        BinOp::Gt => infix(">"),
        BinOp::Ge => infix(">="),
        BinOp::Eq => infix("=="),
        BinOp::Ne => infix("!="),
    }
}
