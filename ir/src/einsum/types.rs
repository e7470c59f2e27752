//! Which types an einsum computes in and gives.
//!
//! In: the operands' types and what the user asked for. Out: accumulation and result type.
//! Keeps: without wishes the result's type is NumPy's (its promotion rules), where NumPy has the
//! types at all.

use super::{Einsum, EinsumOptions, OperandType};
use crate::diag::{Diagnostic, Result};
use crate::dtype::DType;

/// The two types of a lowered einsum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types {
    /// Of products, sums and temporaries.
    pub(super) acc: DType,
    /// Of the result.
    pub(super) out: DType,
}

/// The type NumPy gives to a product of both; mixed types that nothing holds exactly give `f64`.
fn promote(a: DType, b: DType) -> DType {
    match a.join(b) {
        Some(DType::Tf32) if a != DType::Tf32 && b != DType::Tf32 => DType::F32,
        Some(t) => t,
        None => DType::F64,
    }
}

pub(super) fn choose(
    einsum: &Einsum,
    operands: &[OperandType],
    options: &EinsumOptions,
) -> Result<Types> {
    let mut kinds = operands.iter().map(|o| o.dtype);
    let first = kinds.next().unwrap_or(DType::F64);
    let common = kinds.fold(first, promote);
    let is_exact = |t: DType| !t.is_float();
    let out = match (options.out_dtype, options.acc) {
        (Some(out), _) => out,
        (None, Some(acc)) if is_exact(common) => acc,
        (None, Some(_) | None) => common,
    };
    let acc = options.acc.unwrap_or_else(|| match (common.is_float(), out.is_float()) {
        (true, true) => promote(common.compute_type(), out.compute_type()),
        (false, true) => out.compute_type(),
        (true | false, false) => out,
    });
    if acc.compute_type() != acc {
        let d = Diagnostic::input("E0413", format!("nothing is computed in `{acc}`"))
            .help(format!("accumulate in `{}`", acc.compute_type()));
        return Err(Box::new(d));
    }
    for (flag, from, to) in [("--acc", common, acc), ("--out-dtype", acc, out)] {
        let narrows =
            (from.is_float() && !to.is_float()) || (to == DType::Bool && from != DType::Bool);
        if narrows {
            let d = Diagnostic::input("E0413", format!("`{from}` does not become `{to}`"))
                .in_source(&einsum.source)
                .label(einsum.output.span, format!("the operands give `{common}`"))
                .help(format!("choose another type with {flag}"));
            return Err(Box::new(d));
        }
    }
    Ok(Types { acc, out })
}

#[cfg(test)]
mod tests {
    use super::*;
    use DType::*;

    fn chosen(kinds: &[DType], acc: Option<DType>, out: Option<DType>) -> Option<(DType, DType)> {
        let einsum = Einsum::parse(&vec!["i"; kinds.len()].join(",")).unwrap();
        let operands: Vec<_> = kinds.iter().map(|&t| OperandType::new(t)).collect();
        let options = EinsumOptions { acc, out_dtype: out, ..EinsumOptions::default() };
        choose(&einsum, &operands, &options).ok().map(|t| (t.acc, t.out))
    }

    #[test]
    fn defaults_are_numpys() {
        let cases: &[(&[DType], (DType, DType))] = &[
            (&[I8, I8], (I8, I8)),
            (&[I8, U8], (I16, I16)),
            (&[U64, I64], (F64, F64)),
            (&[I64, F64], (F64, F64)),
            (&[I32, F32], (F64, F64)),
            (&[I8, F16], (F32, F16)),
            (&[I16, F16], (F32, F32)),
            (&[Bool, I8], (I8, I8)),
            (&[Bool, Bool], (Bool, Bool)),
            (&[F16, F16, F16], (F32, F16)),
            (&[Bf16, F16], (F32, F32)),
        ];
        for (kinds, expected) in cases {
            assert_eq!(chosen(kinds, None, None), Some(*expected), "{kinds:?}");
        }
    }

    #[test]
    fn wishes_are_followed() {
        assert_eq!(chosen(&[I8, I8], Some(I32), None), Some((I32, I32)));
        assert_eq!(chosen(&[I8, I8], None, Some(I32)), Some((I32, I32)));
        assert_eq!(chosen(&[Bf16], Some(F64), None), Some((F64, Bf16)));
        assert_eq!(chosen(&[F32], None, Some(F64)), Some((F64, F64)));
        assert_eq!(chosen(&[F32], None, Some(I32)), None);
        assert_eq!(chosen(&[Bf16], Some(Bf16), None), None);
        assert_eq!(chosen(&[I32], None, Some(Bool)), None);
    }
}
