//! `emit`: one stage of the compilation on standard output, and nothing else there.

use warploom::Target;
use warploom::compile;
use warploom::diag::{Blame, Diagnostic, Result};

use crate::args::{EmitArgs, Stage};
use crate::{load, output};

pub(crate) fn emit(args: &EmitArgs) -> Result<()> {
    cpu_only(args.target.parse()?)?;
    let nest = load::symbolic_nest(&args.spec)?;
    let text = match args.stage {
        Stage::Nest => nest.to_string(),
        Stage::Schedule => load::schedule(&nest, args.schedule.as_deref())?.script().to_string(),
        Stage::Kernel => lowered(args, &nest)?.kernel().to_string(),
        Stage::Llvm => lowered(args, &nest)?.llvm(),
        Stage::C => lowered(args, &nest)?.c(),
    };
    output::print(&text)
}

/// Refuses the targets that no code is generated for yet.
fn cpu_only(target: Target) -> Result<()> {
    match target {
        Target::Cpu => Ok(()),
        Target::Sm80 | Target::Sm90a | Target::Sm100a => Err(Box::new(
            Diagnostic::new(
                "E0903",
                Blame::Unsupported,
                format!("code for {target} is not generated yet"),
            )
            .help("use --target cpu"),
        )),
    }
}

fn lowered(args: &EmitArgs, nest: &warploom::Nest) -> Result<compile::Lowered> {
    compile::lower(&load::schedule(nest, args.schedule.as_deref())?)
}
