//! `emit`: one stage of the compilation on standard output, and nothing else there.

use warploom::compile;
use warploom::diag::{Blame, Diagnostic, Result};

use crate::args::{EmitArgs, Stage};
use crate::{load, output};

pub(crate) fn emit(args: &EmitArgs) -> Result<()> {
    cpu_only(&args.target)?;
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

/// Targets that exist by name, and the one that code is generated for.
fn cpu_only(target: &str) -> Result<()> {
    match target {
        "cpu" => Ok(()),
        "sm_80" | "sm_90a" | "sm_100a" => Err(Box::new(
            Diagnostic::new(
                "E0903",
                Blame::Unsupported,
                format!("code for {target} is not generated yet"),
            )
            .help("use --target cpu"),
        )),
        other => Err(Box::new(
            Diagnostic::input("E0907", format!("`{other}` is no target"))
                .help("the targets are cpu, sm_80, sm_90a and sm_100a"),
        )),
    }
}

fn lowered(args: &EmitArgs, nest: &warploom::Nest) -> Result<compile::Lowered> {
    compile::lower(&load::schedule(nest, args.schedule.as_deref())?)
}
