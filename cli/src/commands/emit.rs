//! `emit`: one stage of the compilation on standard output, and nothing else there.

use warploom::diag::{Blame, Diagnostic, Result};
use warploom::{Target, compile};

use crate::args::{EmitArgs, Stage};
use crate::{load, output};

pub(crate) fn emit(args: &EmitArgs) -> Result<()> {
    let target: Target = args.target.parse()?;
    if target != Target::Cpu {
        return Err(Box::new(
            Diagnostic::new(
                "E0903",
                Blame::Unsupported,
                format!("code for {} is not generated yet", args.target),
            )
            .help("use --target cpu"),
        ));
    }
    let nest = load::symbolic_nest(&args.spec)?;
    let text = match args.stage {
        Stage::Nest => nest.to_string(),
        Stage::Schedule => load::schedule(&nest, args.schedule.as_deref())?.script().to_string(),
        Stage::Kernel => lowered(args, &nest)?.kernel().to_string(),
        Stage::Llvm => lowered(args, &nest)?.llvm(),
        Stage::C => lowered(args, &nest)?.c()?,
    };
    output::print(&text)
}

fn lowered(args: &EmitArgs, nest: &warploom::Nest) -> Result<compile::Lowered> {
    compile::lower(&load::schedule(nest, args.schedule.as_deref())?)
}
