//! LLVM: a module's text to PTX.
//!
//! Keeps: a call to anything but intrinsics and the module's own functions is refused, because
//! nothing links PTX.

use inkwell::OptimizationLevel;
use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::context::Context;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{
    CodeModel, FileType, InitializationConfig, RelocMode, Target as LlvmTarget, TargetMachine,
    TargetTriple,
};
use inkwell::values::FunctionValue;
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::target::{GpuLimits, Target};

/// Our defect or the machine's: nothing the user wrote.
fn failure(what: &str, why: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new("E1201", Blame::Environment, format!("{what}: {}", why.trim()))
            .help("this is a defect of the compiler or of its LLVM; please report the kernel"),
    )
}

fn machine(target: Target, limits: GpuLimits) -> Result<TargetMachine> {
    LlvmTarget::initialize_nvptx(&InitializationConfig::default());
    let triple = TargetTriple::create("nvptx64-nvidia-cuda");
    let found = LlvmTarget::from_triple(&triple)
        .map_err(|e| failure("LLVM has no target for GPUs", &e.to_string()))?;
    found
        .create_target_machine(
            &triple,
            target.name(),
            &format!("+ptx{}", limits.ptx_isa),
            OptimizationLevel::Aggressive,
            RelocMode::Default,
            CodeModel::Default,
        )
        .ok_or_else(|| failure("LLVM has no target for GPUs", "no target machine"))
}

/// The attribute of functions with asynchronous instructions.
pub(super) const ASYNC: &str = "warploom-async";

/// What is done to code with asynchronous instructions: registers and simpler expressions, but no
/// pass that moves, repeats or splits loops around them. Alignments that follow from addresses let
/// neighbouring loads become one.
const CAREFUL: &str = "always-inline,function(sroa<modify-cfg>,early-cse<memssa>,\
    instcombine<no-verify-fixpoint>,simplifycfg,gvn,\
    instcombine<no-verify-fixpoint>,simplifycfg,infer-alignment,dce)";

fn optimized<'c>(context: &'c Context, text: &str, machine: &TargetMachine) -> Result<Module<'c>> {
    let mut text = text.as_bytes().to_vec();
    text.push(0);
    let buffer = MemoryBuffer::create_from_memory_range_copy(&text, "kernel");
    let refused = |e: String| failure("LLVM does not accept the kernel's code", &e);
    let module = context.create_module_from_ir(buffer).map_err(|e| refused(e.to_string()))?;
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    module.verify().map_err(|e| refused(e.to_string()))?;
    for function in module.get_functions() {
        let name = function.get_name().to_string_lossy().into_owned();
        if function.count_basic_blocks() == 0 && function.get_intrinsic_id() == 0 {
            return Err(failure("the code calls an unknown function", &name));
        }
    }
    let passed = |passes: &str| {
        let options = PassBuilderOptions::create();
        options.set_loop_vectorization(false);
        options.set_loop_slp_vectorization(false);
        let run = module.run_passes(passes, machine, options);
        run.map_err(|e| failure("LLVM's optimiser failed", &e.to_string()))
    };
    let careful: Vec<FunctionValue<'c>> = (module.get_functions())
        .filter(|f| f.get_string_attribute(AttributeLoc::Function, ASYNC).is_some())
        .collect();
    let kinds = ["optnone", "noinline"].map(Attribute::get_named_enum_kind_id);
    for (function, kind) in careful.iter().flat_map(|f| kinds.map(|kind| (f, kind))) {
        function.add_attribute(AttributeLoc::Function, context.create_enum_attribute(kind, 0));
    }
    let bodies = module.get_functions().filter(|f| f.count_basic_blocks() > 0).count();
    passed(if careful.len() < bodies { "default<O3>" } else { "ipsccp" })?;
    for (function, kind) in careful.iter().flat_map(|f| kinds.map(|kind| (f, kind))) {
        function.remove_enum_attribute(AttributeLoc::Function, kind);
    }
    if !careful.is_empty() {
        passed(CAREFUL)?;
    }
    Ok(module)
}

/// The module's PTX.
pub(super) fn assembly(text: &str, target: Target, limits: GpuLimits) -> Result<String> {
    let context = Context::create();
    let machine = machine(target, limits)?;
    let module = optimized(&context, text, &machine)?;
    let code = machine
        .write_to_memory_buffer(&module, FileType::Assembly)
        .map_err(|e| failure("LLVM's code generator failed", &e.to_string()))?;
    let ptx = String::from_utf8_lossy(code.as_slice()).trim_end_matches('\0').to_owned();
    if let Some(line) = ptx.lines().find(|l| l.contains(".extern .func")) {
        return Err(failure("the code calls an unknown function", line));
    }
    Ok(ptx)
}
