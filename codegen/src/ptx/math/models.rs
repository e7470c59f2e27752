//! Models of a GPU's instructions that approximate, for tests that run its code on this machine.
//!
//! In: a side. Out: functions in LLVM IR whose results are off by as much as is published, to this
//! side of the exact ones (0 is neither: rounded to nearest).

/// Units in the last place by which a GPU's `2^x` and `1 / x` are off at most, `x` between 0 and 1
/// and between 1 and 2 [Oberman05].
const POWER_OFF: f64 = 1.41;
const INVERSE_OFF: f64 = 0.98;

/// Code that calls the models in place of the instructions.
pub(crate) fn replaced(text: &str) -> String {
    let names = ["ex2.approx", "ex2.approx.ftz", "rcp.approx.ftz", "fma.rn.sat"];
    names.iter().fold(text.to_owned(), |text, name| {
        let call = format!("@llvm.nvvm.{name}.f(");
        text.replace(&call, &format!("@{}(", name.replace('.', "_")))
    })
}

/// `2^x`, from our function of f64, and sums that saturate.
pub(crate) fn powers(side: f64) -> String {
    let power = "%y = call double @warploom_exp2_f64(double %w)";
    let sum = "define internal float @fma_rn_sat(float %x, float %y, float %z) {
  %s = call float @llvm.fma.f32(float %x, float %y, float %z)
  %l = call float @llvm.maxnum.f32(float %s, float 0.0)
  %m = call float @llvm.minnum.f32(float %l, float 1.0)
  ret float %m\n}\n";
    let off = side * POWER_OFF;
    approximate("ex2_approx", power, off, false)
        + &approximate("ex2_approx_ftz", power, off, true)
        + sum
}

/// `1 / x`.
pub(crate) fn inverse(side: f64) -> String {
    approximate("rcp_approx_ftz", "%y = fdiv double 1.0, %w", side * INVERSE_OFF, true)
}

/// A function of `%w` whose result `%y` is off by so many units; rounding is half of one.
fn approximate(name: &str, exact: &str, off: f64, flush: bool) -> String {
    let rounding = if off == 0.0 { 0.0 } else { off.signum() / 2.0 };
    let unit = (-23.0_f64).exp2() * (off - rounding);
    let least = if flush { f64::from(f32::MIN_POSITIVE) } else { 0.0 };
    format!(
        "define internal float @{name}(float %x) {{
  %w = fpext float %x to double
  {exact}
  %s = call double @llvm.fabs.f64(double %y)
  %b = bitcast double %y to i64
  %p = and i64 %b, -4503599627370496
  %f = bitcast i64 %p to double
  %u = fmul double %f, 0x{:016X}
  %finite = fcmp olt double %s, 0x{:016X}
  %by = select i1 %finite, double %u, double 0.0
  %o = fadd double %y, %by
  %r = fptrunc double %o to float
  %small = fcmp olt double %s, 0x{:016X}
  %z = select i1 %small, float 0.0, float %r
  ret float %z\n}}\n",
        unit.to_bits(),
        128_f64.exp2().to_bits(), // infinite in f32
        least.to_bits(),
    )
}
