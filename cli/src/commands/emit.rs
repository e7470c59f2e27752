//! `emit`: one stage of the compilation on standard output, and nothing else there.

use warploom::compile::{self, GpuCode};
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::resources::Resources;
use warploom::{KernelFile, Target};

use super::kernel;
use crate::args::{EmitArgs, Stage};
use crate::{load, output};

pub(crate) fn emit(args: &EmitArgs) -> Result<()> {
    let target: Target = args.target.parse()?;
    possible(args.stage, target)?;
    if KernelFile::is_named(&args.spec.spec) {
        return kernel::emit(args, target);
    }
    let nest = load::symbolic_nest(&args.spec)?;
    let schedule = || load::schedule(&nest, args.schedule.as_deref(), target, &args.records);
    let lowered = || load::lowered(&nest, args.schedule.as_deref(), target, &args.records);
    let text = match args.stage {
        Stage::Nest => nest.to_string(),
        Stage::Schedule => schedule()?.script().to_string(),
        Stage::Kernel => lowered()?.kernel().to_string(),
        Stage::Program => lowered()?.program().to_string(),
        Stage::Llvm => lowered()?.llvm(target)?,
        Stage::C => lowered()?.c(),
        Stage::Ptx => lowered()?.gpu(target)?.ptx,
        Stage::Resources => resources(&lowered()?.gpu(target)?)?,
        Stage::Sass => compile::sass(&lowered()?.gpu(target)?)?,
    };
    output::print(&text)
}

/// What the assembler says, and a table of what the functions take.
pub(super) fn resources(code: &GpuCode) -> Result<String> {
    let said = compile::resources(code)?;
    let lines: Vec<String> = Resources::of(code, Some(&said)).iter().map(Resources::line).collect();
    Ok(format!("{said}\n{}\n{}\n", Resources::HEAD, lines.join("\n")))
}

/// Refuses stages that a target has not.
fn possible(stage: Stage, target: Target) -> Result<()> {
    let (needs, help) = match stage {
        Stage::Nest | Stage::Schedule | Stage::Kernel | Stage::Program | Stage::Llvm => {
            return Ok(());
        }
        Stage::C => (Target::Cpu, "use --target cpu"),
        Stage::Ptx | Stage::Resources | Stage::Sass => {
            (Target::Sm80, "use --target sm_80, sm_86, sm_89, sm_90a, sm_100a, sm_103a or sm_120")
        }
    };
    if needs.gpu().is_some() == target.gpu().is_some() {
        return Ok(());
    }
    let text = format!("{target} has no such stage");
    Err(Box::new(Diagnostic::new("E0903", Blame::Input, text).help(help)))
}
