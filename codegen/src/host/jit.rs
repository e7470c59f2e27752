//! LLVM: parsing, optimising and loading a module of this process.
//!
//! Requires: LLVM's native target. Keeps: a module with a call to anything but intrinsics, its own
//! functions and the math functions of `math` is refused before it runs, because one unresolved
//! symbol makes the JIT resolve every external to null.

use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::execution_engine::ExecutionEngine;
use inkwell::memory_buffer::MemoryBuffer;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{
    CodeModel, FileType, InitializationConfig, RelocMode, Target, TargetMachine,
};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::kernel::Kernel;

use super::module::{Emitted, entry_name, module};
use super::{HostOptions, math};

/// Which form of the code to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// LLVM IR after optimisation.
    Llvm,
    /// Assembly.
    Assembly,
}

/// Loops, lanes and registers' worth of tiles are already as the schedule wants them: what is left
/// is to turn stack slots into registers and to take address arithmetic out of loops. Against
/// `default<O3>` the matrix product's code is as fast and is made five times as fast.
const PASSES: &str = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,sroa,\
                      simplifycfg,loop-mssa(licm))";

/// Our defect or the machine's: nothing the user wrote.
fn failure(what: &str, why: &str) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new("E1201", Blame::Environment, format!("{what}: {}", why.trim()))
            .help("this is a defect of the compiler or of its LLVM; please report the kernel"),
    )
}

fn machine() -> Result<TargetMachine> {
    Target::initialize_native(&InitializationConfig::default())
        .map_err(|e| failure("LLVM has no target for this machine", &e))?;
    let triple = TargetMachine::get_default_triple();
    let target = Target::from_triple(&triple)
        .map_err(|e| failure("LLVM has no target for this machine", &e.to_string()))?;
    target
        .create_target_machine(
            &triple,
            &TargetMachine::get_host_cpu_name().to_string(),
            &TargetMachine::get_host_cpu_features().to_string(),
            OptimizationLevel::Aggressive,
            RelocMode::PIC,
            CodeModel::JITDefault,
        )
        .ok_or_else(|| failure("LLVM has no target for this machine", "no target machine"))
}

/// Bytes of this machine's vector registers.
fn vector_bytes(features: &str) -> u32 {
    let has = |f: &str| features.split(',').any(|x| x == f);
    if has("+avx512f") {
        64
    } else if has("+avx2") {
        32
    } else {
        16
    }
}

/// The module for this machine.
pub(crate) fn emitted(kernel: &Kernel) -> Emitted {
    let cpu = TargetMachine::get_host_cpu_name().to_string();
    let features = TargetMachine::get_host_cpu_features().to_string();
    // LLVM's C API makes JIT code for the baseline; the attributes say what the machine has
    let attributes = format!(
        "\"target-cpu\"=\"{cpu}\" \"target-features\"=\"{features}\" \"no-builtins\" \
         \"prefer-vector-width\"=\"{}\"",
        8 * vector_bytes(&features)
    );
    module(kernel, vector_bytes(&features), &attributes)
}

fn optimised<'c>(
    context: &'c Context,
    text: String,
    options: &HostOptions,
    machine: &TargetMachine,
) -> Result<Module<'c>> {
    let mut text = text.into_bytes();
    text.push(0);
    let buffer = MemoryBuffer::create_from_memory_range_copy(&text, "kernel");
    let module = context
        .create_module_from_ir(buffer)
        .map_err(|e| failure("LLVM does not accept the kernel's code", &e.to_string()))?;
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    module
        .verify()
        .map_err(|e| failure("LLVM does not accept the kernel's code", &e.to_string()))?;
    if options.optimize {
        module
            .run_passes(PASSES, machine, PassBuilderOptions::create())
            .map_err(|e| failure("LLVM's optimiser failed", &e.to_string()))?;
    }
    Ok(module)
}

/// The code after optimisation.
pub(crate) fn inspect(kernel: &Kernel, options: &HostOptions, stage: Stage) -> Result<String> {
    let context = Context::create();
    let machine = machine()?;
    let module = optimised(&context, emitted(kernel).text, options, &machine)?;
    match stage {
        Stage::Llvm => Ok(module.print_to_string().to_string()),
        Stage::Assembly => {
            let code = machine
                .write_to_memory_buffer(&module, FileType::Assembly)
                .map_err(|e| failure("LLVM's code generator failed", &e.to_string()))?;
            Ok(String::from_utf8_lossy(code.as_slice()).into_owned())
        }
    }
}

/// Loaded machine code: the entry's address stays valid while this lives.
pub(crate) struct Loaded {
    // dropped before the context it points into
    engine: Option<ExecutionEngine<'static>>,
    context: *mut Context,
    entry: usize,
    /// Bytes of scratch memory that a call needs, and each task of a parallel loop.
    pub(crate) scratch: [usize; 2],
}

// SAFETY: after `load` nothing calls into the engine or the context until `drop`, which runs once,
// on whichever thread owns the value last; LLVM contexts may move between threads. The machine
// code itself is immutable.
unsafe impl Send for Loaded {}
// SAFETY: shared access only reads `entry`.
unsafe impl Sync for Loaded {}

impl Loaded {
    /// The entry point's address.
    pub(crate) const fn entry(&self) -> usize {
        self.entry
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.engine = None;
        // SAFETY: made by `Box::into_raw` in `load`; the engine, its only user, is gone.
        drop(unsafe { Box::from_raw(self.context) });
    }
}

/// Compiles a kernel into this process.
pub(crate) fn load(kernel: &Kernel, options: &HostOptions) -> Result<Loaded> {
    let machine = machine()?;
    let context = Box::into_raw(Box::new(Context::create()));
    let Emitted { text, call_bytes, task_bytes } = emitted(kernel);
    let scratch = [call_bytes, task_bytes];
    let mut loaded = Loaded { engine: None, context, entry: 0, scratch };
    // SAFETY: the context lives on the heap until `Loaded` drops it, after the engine.
    let fixed: &'static Context = unsafe { &*context };
    let module = optimised(fixed, text, options, &machine)?;
    let engine = module
        .create_jit_execution_engine(OptimizationLevel::Aggressive)
        .map_err(|e| failure("LLVM's JIT does not start", &e.to_string()))?;
    for function in module.get_functions() {
        let name = function.get_name().to_string_lossy().into_owned();
        if function.count_basic_blocks() > 0 || name.starts_with("llvm.") {
            continue;
        }
        let Some(address) = math::address(&name) else {
            return Err(failure("the code calls an unknown function", &name));
        };
        engine.add_global_mapping(&function, address);
    }
    loaded.engine = Some(engine.clone());
    loaded.entry = engine
        .get_function_address(&entry_name(kernel))
        .map_err(|e| failure("LLVM's JIT lost the kernel", &e.to_string()))?;
    Ok(loaded)
}
