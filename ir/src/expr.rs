//! Scalar expressions as the user wrote them: untyped trees over array reads and iterators.
//!
//! Evaluation order is that of the tree; there are no side effects. Integers wrap modulo 2^n.
//! Types are given by `typing`.

use crate::affine::{Affine, Name};
use crate::diag::Span;
use crate::dtype::DType;

/// A number in the text. Floats compare by their bits.
#[derive(Clone, Copy, Debug)]
pub enum Literal {
    /// An integer, of the type its context wants.
    Int(i64),
    /// A binary64 value, rounded to nearest-even to the type its context wants.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
}

impl PartialEq for Literal {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(_) | Self::Float(_) | Self::Bool(_), _) => false,
        }
    }
}

impl Eq for Literal {}

/// How a cast rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rounding {
    /// To nearest, ties to even (`rne`).
    #[default]
    Nearest,
    /// Toward zero (`rtz`).
    Zero,
    /// Toward +∞ (`rup`).
    Up,
    /// Toward -∞ (`rdn`).
    Down,
}

/// Operators and functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnOp {
    /// `-x`.
    Neg,
    /// `not(x)`: logical on bool, bitwise on integers.
    Not,
    /// `abs(x)`; of the most negative integer it wraps.
    Abs,
    /// `rint(x)`: to the nearest integer, ties to even.
    Rint,
    /// `floor(x)`.
    Floor,
    /// `ceil(x)`.
    Ceil,
    /// `trunc(x)`.
    Trunc,
    /// `exponent(x)`: e with 2^e <= |x| < 2^(e+1) as i32; 0, infinities and NaN give -2147483648,
    /// 2147483647, 2147483647.
    Exponent,
    /// `isfinite(x)`: bool.
    IsFinite,
    /// `exp(x)`.
    Exp,
    /// `exp2(x)`.
    Exp2,
    /// `log(x)`, natural.
    Log,
    /// `log2(x)`.
    Log2,
    /// `sqrt(x)`, correctly rounded.
    Sqrt,
    /// `rsqrt(x)`: 1 / sqrt(x).
    Rsqrt,
    /// `tanh(x)`.
    Tanh,
    /// `erf(x)`.
    Erf,
}

/// Operators and functions of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BinOp {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`, floats only.
    Div,
    /// `div(a, b)`: integer quotient rounded toward -∞; by zero it is 0.
    FloorDiv,
    /// `mod(a, b)`: `a - b * div(a, b)`, with the sign of b; by zero it is a.
    Mod,
    /// `min(a, b)`: a NaN operand gives NaN; -0 is below +0.
    Min,
    /// `max(a, b)`: a NaN operand gives NaN; -0 is below +0.
    Max,
    /// `pow(a, b)`.
    Pow,
    /// `and(a, b)`: logical on bool, bitwise on integers.
    And,
    /// `or(a, b)`.
    Or,
    /// `xor(a, b)`.
    Xor,
    /// `shl(a, n)`: n outside 0..bits gives 0.
    Shl,
    /// `shr(a, n)`: arithmetic on signed types; n outside 0..bits shifts everything out.
    Shr,
    /// `mulhi(a, b)`: the upper half of the double-width product.
    MulHi,
    /// `ldexp(x, n)`: x · 2^n, rounded once.
    Ldexp,
    /// `a < b`.
    Lt,
    /// `a <= b`.
    Le,
    /// `a > b`.
    Gt,
    /// `a >= b`.
    Ge,
    /// `a == b`.
    Eq,
    /// `a != b`.
    Ne,
}

/// The words of an enum's values, all different.
macro_rules! words {
    ($type:ident: $($value:ident $word:literal,)+) => {
        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$value),+];

            /// The word of kernels' texts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }

            /// The value with this word.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.name() == name)
            }
        }
    };
}

words! { Rounding:
    Nearest "rne", Zero "rtz", Up "rup", Down "rdn",
}

words! { UnOp:
    Neg "neg", Not "not", Abs "abs", Rint "rint", Floor "floor", Ceil "ceil", Trunc "trunc",
    Exponent "exponent", IsFinite "isfinite", Exp "exp", Exp2 "exp2", Log "log", Log2 "log2",
    Sqrt "sqrt", Rsqrt "rsqrt", Tanh "tanh", Erf "erf",
}

words! { BinOp:
    Add "add", Sub "sub", Mul "mul", Div "div", FloorDiv "floordiv", Mod "mod", Min "min",
    Max "max", Pow "pow", And "and", Or "or", Xor "xor", Shl "shl", Shr "shr", MulHi "mulhi",
    Ldexp "ldexp", Lt "lt", Le "le", Gt "gt", Ge "ge", Eq "eq", Ne "ne",
}

impl BinOp {
    /// True for the six comparisons, whose result is bool.
    #[must_use]
    pub const fn is_comparison(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge | Self::Eq | Self::Ne)
    }
}

/// An element of an array at affine indices.
#[derive(Clone, Debug)]
pub struct Access {
    /// The array's name.
    pub array: Name,
    /// One index per dimension, in elements.
    pub indices: Vec<Affine>,
    /// Where it was written.
    pub span: Span,
}

impl PartialEq for Access {
    fn eq(&self, other: &Self) -> bool {
        self.array == other.array && self.indices == other.indices
    }
}

impl Eq for Access {}

/// A scalar expression (see the module's page).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// A number.
    Literal(Literal),
    /// The value of iterators and parameters, an integer of the type its context wants.
    Index(Affine),
    /// An array element.
    Read(Access),
    /// One operand.
    Unary(UnOp, Box<Expr>),
    /// Two operands.
    Binary(BinOp, Box<Expr>, Box<Expr>),
    /// `fma(a, b, c)`: a·b + c rounded once.
    Fma(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `select(condition, then, otherwise)`; both branches are evaluated.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `cast_bf16(x)`, `cast_i8_rtz_sat(x)`: to a type, with a rounding, saturating if asked
    /// (else an out-of-range float to integer wraps modulo 2^n, NaN gives 0).
    Cast {
        /// The result's type.
        to: DType,
        /// Rounding where it is inexact.
        rounding: Rounding,
        /// Clamp to the finite range of `to` (NaN to 0 for integers).
        saturate: bool,
        /// The operand, evaluated in its own type.
        value: Box<Expr>,
    },
    /// `bitcast_u32(x)`: the same bits as another type of the same size.
    Bitcast(DType, Box<Expr>),
}

impl Expr {
    /// Calls `f` on this expression and everything below it, operands first.
    pub fn visit<'a>(&'a self, f: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::Literal(_) | Self::Index(_) | Self::Read(_) => {}
            Self::Unary(_, a) | Self::Bitcast(_, a) | Self::Cast { value: a, .. } => a.visit(f),
            Self::Binary(_, a, b) => {
                a.visit(f);
                b.visit(f);
            }
            Self::Fma(a, b, c) | Self::Select(a, b, c) => {
                a.visit(f);
                b.visit(f);
                c.visit(f);
            }
        }
        f(self);
    }

    /// Calls `f` on every array element read, to change it, in evaluation order.
    pub fn visit_reads_mut(&mut self, f: &mut dyn FnMut(&mut Access)) {
        match self {
            Self::Literal(_) | Self::Index(_) => {}
            Self::Read(access) => f(access),
            Self::Unary(_, a) | Self::Bitcast(_, a) | Self::Cast { value: a, .. } => {
                a.visit_reads_mut(f);
            }
            Self::Binary(_, a, b) => {
                a.visit_reads_mut(f);
                b.visit_reads_mut(f);
            }
            Self::Fma(a, b, c) | Self::Select(a, b, c) => {
                a.visit_reads_mut(f);
                b.visit_reads_mut(f);
                c.visit_reads_mut(f);
            }
        }
    }

    /// Changes every index, of elements and of numbers, in evaluation order.
    ///
    /// # Errors
    /// What `f` gives.
    pub fn change_indices<E>(
        &mut self,
        f: &mut dyn FnMut(&mut Affine) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Literal(_) => Ok(()),
            Self::Index(index) => f(index),
            Self::Read(access) => access.indices.iter_mut().try_for_each(f),
            Self::Unary(_, a) | Self::Bitcast(_, a) | Self::Cast { value: a, .. } => {
                a.change_indices(f)
            }
            Self::Binary(_, a, b) => {
                a.change_indices(f)?;
                b.change_indices(f)
            }
            Self::Fma(a, b, c) | Self::Select(a, b, c) => {
                a.change_indices(f)?;
                b.change_indices(f)?;
                c.change_indices(f)
            }
        }
    }

    /// Every array element read, in evaluation order.
    #[must_use]
    pub fn reads(&self) -> Vec<&Access> {
        let mut out = Vec::new();
        self.visit(&mut |e| {
            if let Self::Read(access) = e {
                out.push(access);
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_one_value_each() {
        assert!(UnOp::ALL.iter().all(|op| UnOp::from_name(op.name()) == Some(*op)));
        assert!(BinOp::ALL.iter().all(|op| BinOp::from_name(op.name()) == Some(*op)));
        assert!(Rounding::ALL.iter().all(|r| Rounding::from_name(r.name()) == Some(*r)));
        assert_eq!(BinOp::from_name("floordiv"), Some(BinOp::FloorDiv));
        assert_eq!(UnOp::from_name("add"), None);
        assert!(UnOp::ALL.is_sorted() && BinOp::ALL.is_sorted() && Rounding::ALL.is_sorted());
    }
}
