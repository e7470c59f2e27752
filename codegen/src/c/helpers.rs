//! The C functions that expressions call, written only where used.

use std::collections::BTreeSet;

/// Name and text; a function stands after those it calls.
const HELPERS: [(&str, &str); 30] = [
    (
        "wl_alloc",
        "static void *wl_alloc(size_t count, size_t size)
{
    void *p = malloc(count * size);
    if (p == NULL) abort();
    return p;
}",
    ),
    (
        "wl_f64",
        "static inline double wl_f64(uint64_t b)
{ double v; memcpy(&v, &b, 8); return v; }",
    ),
    ("wl_f32", "static inline float wl_f32(uint32_t b) { float v; memcpy(&v, &b, 4); return v; }"),
    (
        "wl_bits64",
        "static inline uint64_t wl_bits64(double v)
{ uint64_t b; memcpy(&b, &v, 8); return b; }",
    ),
    (
        "wl_bits32",
        "static inline uint32_t wl_bits32(float v)
{ uint32_t b; memcpy(&b, &v, 4); return b; }",
    ),
    (
        "wl_min_i64",
        "static inline int64_t wl_min_i64(int64_t a, int64_t b)
{ return a < b ? a : b; }",
    ),
    (
        "wl_max_i64",
        "static inline int64_t wl_max_i64(int64_t a, int64_t b)
{ return a > b ? a : b; }",
    ),
    (
        "wl_min_u64",
        "static inline uint64_t wl_min_u64(uint64_t a, uint64_t b)
{ return a < b ? a : b; }",
    ),
    (
        "wl_max_u64",
        "static inline uint64_t wl_max_u64(uint64_t a, uint64_t b)
{ return a > b ? a : b; }",
    ),
    (
        "wl_min_f64",
        "/* a NaN gives NaN; -0 is below +0 */
static inline double wl_min_f64(double a, double b)
{
    if (a != a || b != b) return NAN;
    return a < b || (a == b && signbit(a)) ? a : b;
}",
    ),
    (
        "wl_max_f64",
        "/* a NaN gives NaN; -0 is below +0 */
static inline double wl_max_f64(double a, double b)
{
    if (a != a || b != b) return NAN;
    return a > b || (a == b && !signbit(a)) ? a : b;
}",
    ),
    (
        "wl_div_s",
        "/* quotient rounded down; by zero it is 0 */
static inline int64_t wl_div_s(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    if (b == -1) return (int64_t)(0 - (uint64_t)a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}",
    ),
    (
        "wl_mod_s",
        "static inline int64_t wl_mod_s(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a - (uint64_t)b * (uint64_t)wl_div_s(a, b));
}",
    ),
    (
        "wl_div_u",
        "static inline uint64_t wl_div_u(uint64_t a, uint64_t b)
{ return b ? a / b : 0; }",
    ),
    (
        "wl_mod_u",
        "static inline uint64_t wl_mod_u(uint64_t a, uint64_t b)
{ return b ? a % b : a; }",
    ),
    (
        "wl_abs",
        "static inline int64_t wl_abs(int64_t a)
{ return a < 0 ? (int64_t)(0 - (uint64_t)a) : a; }",
    ),
    (
        "wl_shl",
        "static inline uint64_t wl_shl(uint64_t a, uint64_t n, uint64_t bits)
{ return n < bits ? a << n : 0; }",
    ),
    (
        "wl_shr_",
        "static inline int64_t wl_shr_s(int64_t a, uint64_t n, uint64_t bits)
{ return a >> (n < bits ? n : 63); }
static inline uint64_t wl_shr_u(uint64_t a, uint64_t n, uint64_t bits)
{ return n < bits ? a >> n : 0; }",
    ),
    (
        "wl_mulhi_",
        "static inline uint64_t wl_mulhi_u(uint64_t a, uint64_t b)
{
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t mid = ah * bl + (al * bl >> 32), low = al * bh + (uint32_t)mid;
    return ah * bh + (mid >> 32) + (low >> 32);
}
static inline int64_t wl_mulhi_s(int64_t a, int64_t b)
{
    uint64_t h = wl_mulhi_u((uint64_t)a, (uint64_t)b);
    return (int64_t)(h - (a < 0 ? (uint64_t)b : 0) - (b < 0 ? (uint64_t)a : 0));
}",
    ),
    (
        "wl_clamp_",
        "static inline int64_t wl_clamp_s(int64_t v, int64_t low, uint64_t high)
{
    return v < low ? low : v > 0 && (uint64_t)v > high ? (int64_t)high : v;
}
static inline uint64_t wl_clamp_u(uint64_t v, uint64_t high) { return v > high ? high : v; }",
    ),
    (
        "wl_exponent",
        "static inline int32_t wl_exponent(double v)
{
    return v == 0 ? INT32_MIN : isfinite(v) ? (int32_t)ilogb(v) : INT32_MAX;
}",
    ),
    (
        "wl_half",
        "/* an element of four bits, of which two share a byte */
static inline uint8_t wl_half(const uint8_t *p, int64_t i)
{ return (uint8_t)(p[i >> 1] >> (4 * (i & 1)) & 15); }",
    ),
    (
        "wl_decode",
        "/* the value of a narrow float: e exponent bits, m significand bits; ieee is 0 where all
   ones is the one NaN, 2 where there is none */
static inline double wl_decode(uint32_t b, int e, int m, int pad, int ieee)
{
    int bias = (1 << (e - 1)) - 1, field = (b >> m) & ((1 << e) - 1);
    uint32_t fraction = b & ((1u << m) - 1);
    double v;
    (void)pad;
    if (field == (1 << e) - 1 && (ieee == 1 || (ieee == 0 && fraction == (1u << m) - 1)))
        v = ieee && fraction == 0 ? INFINITY : NAN;
    else
        v = field ? ldexp(fraction + (1u << m), field - bias - m) : ldexp(fraction, 1 - bias - m);
    return b >> (e + m) & 1 ? -v : v;
}",
    ),
    (
        "wl_encode",
        "/* the bits of +-man * 2^exp, rounded once (0 nearest even, 1 to zero, 2 up, 3 down) */
static inline uint64_t wl_encode(int neg, uint64_t man, int exp, int e, int m, int pad, int ieee,
                                 int rounding, int saturate)
{
    int bias = (1 << (e - 1)) - 1, lead = 63, scale, shift;
    uint64_t sign = (uint64_t)neg << (e + m), top = ((uint64_t)1 << (e + m)) - 1, mag;
    uint64_t max = ieee == 1 ? top - ((uint64_t)1 << m) : ieee == 2 ? top : top - 1;
    if (man == 0) return sign << pad;
    while (!(man >> lead)) lead--;
    scale = exp + lead < 1 - bias ? 1 - bias : exp + lead;
    shift = scale - m - exp;
    if (scale > bias + 1) {
        mag = max + 1;
    } else if (shift <= 0) {
        mag = ((uint64_t)(scale - 1 + bias) << m) + (man << -shift);
    } else {
        uint64_t kept = shift < 64 ? man >> shift : 0;
        uint64_t rest = shift < 64 ? man & (((uint64_t)1 << shift) - 1) : man;
        uint64_t half = shift <= 64 ? (uint64_t)1 << (shift - 1) : 0;
        int up = rounding == 2 ? !neg && rest : rounding == 3 ? neg && rest : 0;
        if (rounding == 0 && shift <= 64) up = rest > half || (rest == half && (kept & 1));
        mag = ((uint64_t)(scale - 1 + bias) << m) + kept + (uint64_t)up;
    }
    if (mag > max) {
        if (ieee == 2 || saturate || rounding == 1 || (rounding == 2 && neg)
            || (rounding == 3 && !neg))
            mag = max;
        else if (ieee)
            mag = max + 1;
        else
            return top << pad;
    }
    return (sign | mag) << pad;
}",
    ),
    (
        "wl_round",
        "/* the bits of a double in another format */
static inline uint64_t wl_round(double v, int e, int m, int pad, int ieee, int rounding,
                                int saturate)
{
    uint64_t b = wl_bits64(v), fraction = b & (((uint64_t)1 << 52) - 1);
    int neg = (int)(b >> 63), field = (int)(b >> 52 & 2047);
    uint64_t top = ((uint64_t)1 << (e + m)) - 1;
    if (v != v)
        return (ieee == 1 ? top - (((uint64_t)1 << (m - 1)) - 1) : top) << pad;
    if (field == 2047)
        return wl_encode(neg, 1, 4000, e, m, pad, ieee, 0, saturate);
    if (field == 0)
        return wl_encode(neg, fraction, -1074, e, m, pad, ieee, rounding, saturate);
    return wl_encode(neg, fraction | (uint64_t)1 << 52, field - 1075, e, m, pad, ieee, rounding,
                     saturate);
}",
    ),
    (
        "wl_to_unsigned",
        "/* the bits of a double in a format without a sign */
static inline uint64_t wl_to_unsigned(double v, int e, int m, int pad, int ieee, int rounding,
                                      int saturate)
{
    if (v < 0) return ((uint64_t)1 << (e + m)) - 1;
    return wl_round(fabs(v), e, m, pad, ieee, rounding, saturate);
}",
    ),
    (
        "wl_power",
        "/* the value of a power of two */
static inline double wl_power(uint32_t b)
{ return b == 255 ? NAN : ldexp(1, (int)b - 127); }",
    ),
    (
        "wl_to_power",
        "/* the bits of a power of two: those in the middle become the larger one */
static inline uint64_t wl_to_power(double v, int rounding, int saturate)
{
    int e, up;
    double f;
    if (v == 0) return 0;
    if (v != v || v < 0) return 255;
    if (isinf(v)) return saturate ? 254 : 255;
    if (v < ldexp(1, -127)) return 0;
    f = frexp(v, &e);
    up = rounding == 0 ? f >= 0.75 : rounding == 2 && f > 0.5;
    e += 126 + up;
    return e <= 254 ? (uint64_t)e : saturate || rounding == 1 || rounding == 3 ? 254 : 255;
}",
    ),
    (
        "wl_sticky_",
        "/* an integer as a double, cut off, with what was cut off in the last bit */
static inline double wl_sticky_u(uint64_t v)
{
    uint64_t rest = v & 2047;
    return v >> 53 ? (double)((v - rest) | (rest ? 2048 : 0)) : (double)v;
}
static inline double wl_sticky_s(int64_t v)
{ return v < 0 ? -1.0 : wl_sticky_u((uint64_t)v); }",
    ),
    (
        "wl_to_int",
        "/* a double as an integer of this many magnitude bits: modulo 2^64, or clamped */
static inline uint64_t wl_to_int(double v, int rounding, int saturate, int is_signed, int bits)
{
    double r = rounding == 0 ? rint(v) : rounding == 1 ? trunc(v)
             : rounding == 2 ? ceil(v) : floor(v);
    double a = fabs(r);
    int e;
    uint64_t mag;
    if (v != v) return 0;
    if (saturate) {
        if (r >= ldexp(1, bits)) return UINT64_MAX >> (64 - bits);
        if (r <= (is_signed ? -ldexp(1, bits) : 0))
            return is_signed ? 0 - ((uint64_t)1 << bits) : 0;
    } else if (!isfinite(v)) {
        return 0;
    }
    if (a < 18446744073709551616.0) {
        mag = (uint64_t)a;
    } else {
        a = frexp(a, &e);
        mag = e - 53 < 64 ? (uint64_t)ldexp(a, 53) << (e - 53) : 0;
    }
    return r < 0 ? 0 - mag : mag;
}",
    ),
];

/// A signed integer in a float format; it needs `wl_encode`.
const FROM_INT: &str =
    "static inline uint64_t wl_from_int(int64_t v, int e, int m, int pad, int ieee, int rounding,
                                   int saturate)
{
    return wl_encode(v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 0, e, m, pad, ieee, rounding,
                     saturate);
}";

/// The helpers a text uses, with those they use.
pub(super) fn used_by(body: &str) -> String {
    let mut all: Vec<(&str, &str)> = HELPERS.to_vec();
    all.push(("wl_from_int", FROM_INT));
    let mut used = BTreeSet::new();
    let mut texts = vec![body];
    while let Some(text) = texts.pop() {
        for (i, (name, helper)) in all.iter().enumerate() {
            let call = if name.ends_with('_') { (*name).to_owned() } else { format!("{name}(") };
            if text.contains(&call) && used.insert(i) {
                texts.push(helper);
            }
        }
    }
    used.into_iter().map(|i| format!("{}\n\n", all[i].1)).collect()
}
