//! Functions that compiled code calls: the same ones that `ir::value` uses, so results are equal
//! to the bit.

macro_rules! wrap {
    ($($symbol:ident: ($($arg:ident),+) $t:ty => $body:expr;)+) => {
        $(extern "C" fn $symbol($($arg: $t),+) -> $t { $body })+

        /// The address of the function of this name.
        pub(crate) fn address(name: &str) -> Option<usize> {
            match name {
                $(stringify!($symbol) => Some($symbol as *const () as usize),)+
                _ => None,
            }
        }
    };
}

wrap! {
    warploom_exp_f32: (x) f32 => x.exp();
    warploom_exp_f64: (x) f64 => x.exp();
    warploom_exp2_f32: (x) f32 => x.exp2();
    warploom_exp2_f64: (x) f64 => x.exp2();
    warploom_log_f32: (x) f32 => x.ln();
    warploom_log_f64: (x) f64 => x.ln();
    warploom_log2_f32: (x) f32 => x.log2();
    warploom_log2_f64: (x) f64 => x.log2();
    warploom_tanh_f32: (x) f32 => x.tanh();
    warploom_tanh_f64: (x) f64 => x.tanh();
    warploom_erf_f32: (x) f32 => libm::erff(x);
    warploom_erf_f64: (x) f64 => libm::erf(x);
    warploom_pow_f32: (x, y) f32 => x.powf(y);
    warploom_pow_f64: (x, y) f64 => x.powf(y);
}
