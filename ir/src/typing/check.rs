//! Which operators are defined on which types.
//!
//! Why here: typing refuses what evaluation would; a test holds the two together.

use crate::dtype::DType;
use crate::expr::{BinOp, UnOp};
use crate::nest::print::{binary_name, unary_name};

fn need(holds: bool, op: &str, wanted: &str, e: DType) -> Result<(), String> {
    if holds {
        return Ok(());
    }
    Err(format!("`{op}` needs {wanted} but is evaluated in {e}"))
}

/// Whether a unary operator is defined on a compute type; else the reason.
pub(crate) fn unary(op: UnOp, e: DType) -> Result<(), String> {
    match op {
        UnOp::Neg | UnOp::Abs => need(e != DType::Bool, unary_name(op), "numbers", e),
        UnOp::Not => need(!e.is_float(), unary_name(op), "integers or bool", e),
        UnOp::Rint
        | UnOp::Floor
        | UnOp::Ceil
        | UnOp::Trunc
        | UnOp::Exponent
        | UnOp::IsFinite
        | UnOp::Exp
        | UnOp::Exp2
        | UnOp::Log
        | UnOp::Log2
        | UnOp::Sqrt
        | UnOp::Rsqrt
        | UnOp::Tanh
        | UnOp::Erf => need(e.is_float(), unary_name(op), "floats", e),
    }
}

/// Whether a binary operator is defined on operands of a compute type; else the reason.
pub(crate) fn binary(op: BinOp, e: DType) -> Result<(), String> {
    match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul => {
            need(e != DType::Bool, binary_name(op).0, "numbers", e)
        }
        BinOp::Div | BinOp::Pow | BinOp::Ldexp => {
            need(e.is_float(), binary_name(op).0, "floats", e)
        }
        BinOp::FloorDiv | BinOp::Mod | BinOp::Shl | BinOp::Shr | BinOp::MulHi => {
            need(e.is_int(), binary_name(op).0, "integers", e)
        }
        BinOp::And | BinOp::Or | BinOp::Xor => {
            need(!e.is_float(), binary_name(op).0, "integers or bool", e)
        }
        BinOp::Min
        | BinOp::Max
        | BinOp::Lt
        | BinOp::Le
        | BinOp::Gt
        | BinOp::Ge
        | BinOp::Eq
        | BinOp::Ne => Ok(()),
    }
}
