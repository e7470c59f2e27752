//! `ozaki`: prints the nest of an emulated product.

use warploom::DType;
use warploom::diag::Result;
use warploom::ozaki::{Accuracy, Emulation, MOST_TERMS, Operand, Options};

use crate::args::OzakiArgs;
use crate::{load, output};

pub(crate) fn ozaki(args: &OzakiArgs) -> Result<()> {
    let dtype = load::dtype(args.dtype.as_deref())?.unwrap_or(DType::F64);
    let all = if dtype == DType::F32 { 24 } else { 53 };
    let asked = args.bits.is_some() || args.tol.is_some() || args.moduli.is_some();
    let accuracy = match (args.moduli, args.tol) {
        (Some(n), _) => Accuracy::Moduli(n),
        (None, Some(t)) => Accuracy::Tolerance(t, args.terms.unwrap_or(MOST_TERMS)),
        (None, None) => Accuracy::Bits(args.bits.unwrap_or(all)),
    };
    let guarded = args.grade.is_some();
    let plain = match guarded && !asked {
        true => Options::grade_a(dtype),
        false => Options { guarded, ..Options::new(dtype, accuracy) },
    };
    let options = Options {
        scaled: args.alpha_beta,
        counted: args.count_native,
        complex: args.complex,
        terms: args.terms.unwrap_or(MOST_TERMS),
        ..plain
    };
    let operand = |name: &String| if name == "A" { Operand::A } else { Operand::B };
    let made = match (&args.prepare, &args.prepared) {
        (Some(of), _) => {
            let [prepare, _] = Emulation::prepared(&args.spec, &options, operand(of))?;
            prepare
        }
        (None, Some(of)) => {
            let [_, multiply] = Emulation::prepared(&args.spec, &options, operand(of))?;
            multiply
        }
        (None, None) => Emulation::new(&args.spec, &options)?,
    };
    if args.json {
        return output::json(&serde_json::json!({
            "nest": made.text, "moduli": made.moduli, "bits": made.bits, "rest": made.rest,
            "grade": guarded.then_some("A"),
        }));
    }
    output::print(&made.text)
}
