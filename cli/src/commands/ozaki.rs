//! `ozaki`: prints the nest of an emulated product.

use warploom::DType;
use warploom::diag::Result;
use warploom::ozaki::{Accuracy, Emulation, MOST_TERMS, Options};

use crate::args::OzakiArgs;
use crate::{load, output};

pub(crate) fn ozaki(args: &OzakiArgs) -> Result<()> {
    let dtype = load::dtype(args.dtype.as_deref())?.unwrap_or(DType::F64);
    let all = if dtype == DType::F32 { 24 } else { 53 };
    let accuracy = match (args.moduli, args.tol) {
        (Some(n), _) => Accuracy::Moduli(n),
        (None, Some(t)) => Accuracy::Tolerance(t, args.terms.unwrap_or(MOST_TERMS)),
        (None, None) => Accuracy::Bits(args.bits.unwrap_or(all)),
    };
    let options = Options { dtype, accuracy, scaled: args.alpha_beta };
    let made = Emulation::new(&args.spec, &options)?;
    if args.json {
        return output::json(&serde_json::json!({
            "nest": made.text, "moduli": made.moduli, "bits": made.bits, "rest": made.rest,
        }));
    }
    output::print(&made.text)
}
