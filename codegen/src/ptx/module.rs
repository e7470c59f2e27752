//! A kernel's module for a GPU: one function for each launch.
//!
//! In: a verified kernel. Out: LLVM IR text and what the host does. A function's arguments are the
//! kernel's buffers (pointers to global memory), its parameters, and the variables of the host's
//! loops around the launch.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use warploom_ir::abi::{GpuLaunch, GpuLoop, GpuStep};
use warploom_ir::affine::Name;
use warploom_ir::kernel::{HostNode, Index, Kernel, KernelLoop, KernelNode, LoopMode};
use warploom_ir::target::Place;

use super::math;
use crate::llvm::build::{Function, Value};
use crate::llvm::emit::{Emitter, Machine};
use crate::llvm::lin::{Env, Lin};

/// The type of a pointer to global memory.
const GLOBAL: &str = "ptr addrspace(1)";

/// A kernel's module.
pub(super) struct Emitted {
    /// LLVM's text.
    pub(super) text: String,
    /// What the host does, in order.
    pub(super) steps: Vec<GpuStep>,
}

/// The LLVM module of a kernel.
pub(super) fn module(kernel: &Kernel) -> Emitted {
    let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let base: String = kernel.name.chars().map(safe).collect();
    let mut e = Emitter::new(kernel, Machine::Gpu, String::new());
    let mut host = Host { base, loops: Vec::new(), attributes: String::new(), launches: 0 };
    let steps = host.steps(&mut e, &HostNode::of(&kernel.body));
    let mut text = format!("; kernel {}\n", kernel.name.escape_debug());
    for function in &e.functions {
        text.push_str(function);
    }
    text.push_str(&math::definitions(&e.externs));
    text.push_str("attributes #1 = { nounwind willreturn memory(none) }\n");
    text.push_str(&host.attributes);
    e.storage.metadata(&mut text);
    Emitted { text, steps }
}

/// Where in the host's part of a kernel we are.
struct Host {
    /// The beginning of the functions' names.
    base: String,
    /// Variables of the loops around, outermost first.
    loops: Vec<Name>,
    /// Attribute groups, one for each function.
    attributes: String,
    /// How many launches there are so far.
    launches: usize,
}

impl Host {
    fn steps(&mut self, e: &mut Emitter<'_>, nodes: &[HostNode<'_>]) -> Vec<GpuStep> {
        let step = |node: &HostNode<'_>| match node {
            HostNode::Launch(nodes) => GpuStep::Launch(self.launch(e, nodes)),
            HostNode::Loop(l, body) => {
                self.loops.push(l.var.clone());
                let body = self.steps(e, body);
                self.loops.pop();
                let (lower, upper) = (l.lower.clone(), l.upper.clone());
                GpuStep::Loop(GpuLoop { var: l.var.clone(), lower, upper, step: l.step, body })
            }
            HostNode::If(c, then, otherwise) => {
                let then = self.steps(e, then);
                GpuStep::If((*c).clone(), then, self.steps(e, otherwise))
            }
        };
        nodes.iter().map(step).collect()
    }

    fn launch(&mut self, e: &mut Emitter<'_>, nodes: &[KernelNode]) -> GpuLaunch {
        let (entry, group) = (format!("wl_{}_{}", self.base, self.launches), self.launches + 2);
        self.launches += 1;
        let launch = function(e, nodes, &self.loops, entry, group);
        let [x, y, z] = launch.block;
        let _ = writeln!(
            self.attributes,
            "attributes #{group} = {{ nounwind \"nvvm.reqntid\"=\"{x},{y},{z}\" }}",
        );
        launch
    }
}

/// Writes the function of one launch, inside these loops of the host.
fn function(
    e: &mut Emitter<'_>,
    nodes: &[KernelNode],
    host: &[Name],
    entry: String,
    group: usize,
) -> GpuLaunch {
    let (loops, body) = mapped(nodes);
    let mut written = BTreeSet::new();
    stores(body, &mut written);
    let kernel = e.kernel;
    let mut arguments = Vec::new();
    for (i, b) in kernel.buffers.iter().enumerate() {
        let access = if written.contains(&b.name) { "" } else { "readonly " };
        arguments.push(format!("{GLOBAL} noalias {access}align 16 %b{i}"));
    }
    let known: Vec<&Name> = kernel.params.iter().chain(host).collect();
    arguments.extend((0..known.len()).map(|i| format!("i64 %p{i}")));
    e.f = Function::new(format!(
        "define ptx_kernel void @{entry}({}) #{group}",
        arguments.join(", ")
    ));
    e.storage.frame = Default::default();
    for (i, name) in known.into_iter().enumerate() {
        e.vars.insert(name.clone(), Value::register(format!("%p{i}"), "i64", 1));
    }
    for (i, buffer) in kernel.buffers.iter().enumerate() {
        e.bind(i, buffer, Value::register(format!("%b{i}"), GLOBAL, 1));
    }
    let mut launch =
        GpuLaunch { entry, grid: [const { Index::Const(1) }; 3], block: [1; 3], shared_bytes: 0 };
    for (l, place) in &loops {
        extent(&mut launch, l, *place);
        let number = hardware(e, *place);
        let lower = Lin::of(&l.lower, &e.env);
        let lower = e.lin(&lower);
        let scaled = e.f.bin_int("mul nsw", &number, l.step.into());
        let value = e.f.bin("add nsw", &lower, &scaled);
        e.vars.insert(l.var.clone(), value);
    }
    if launch.block.contains(&0) {
        // a loop that never runs: there is nothing to launch
        launch.grid = [const { Index::Const(0) }; 3];
        launch.block = [1; 3];
    }
    e.nodes(body);
    let done = std::mem::take(&mut e.f);
    e.functions.push(done.finish());
    e.vars.clear();
    e.buffers.clear();
    e.env = Env::new();
    launch
}

/// The mapped loops at the top of a launch, and what they run.
fn mapped(nodes: &[KernelNode]) -> (Vec<(&KernelLoop, Place)>, &[KernelNode]) {
    let mut loops = Vec::new();
    let mut body = nodes;
    while let [KernelNode::Loop(l)] = body {
        let LoopMode::Mapped(place) = l.mode else { break };
        loops.push((l, place));
        body = &l.body;
    }
    (loops, body)
}

/// How many blocks or threads a mapped loop needs.
fn extent(launch: &mut GpuLaunch, l: &KernelLoop, place: Place) {
    let env = Env::new();
    match place {
        Place::Block(axis) => {
            let trip = if l.lower == Index::Const(0) && l.step == 1 {
                l.upper.clone()
            } else {
                let length = Index::Sub(Box::new(l.upper.clone()), Box::new(l.lower.clone()));
                let up = Index::Add(Box::new(length), Box::new(Index::Const(l.step - 1)));
                Index::FloorDiv(Box::new(up), l.step)
            };
            launch.grid[axis.index()] =
                Lin::of(&trip, &env).as_constant().map_or(trip, Index::Const);
        }
        Place::Thread(axis) => {
            let length = Lin::of(&l.upper, &env).difference(&Lin::of(&l.lower, &env));
            let length = length.expect("verified: threads have constant bounds");
            let trip = (length - 1).div_euclid(l.step) + 1;
            launch.block[axis.index()] =
                u32::try_from(trip.max(0)).expect("verified: at most 1024 threads");
        }
    }
}

/// The number of this thread's block, or of the thread in its block, as i64.
fn hardware(e: &mut Emitter<'_>, place: Place) -> Value {
    let (register, axis) = match place {
        Place::Block(axis) => ("ctaid", axis),
        Place::Thread(axis) => ("tid", axis),
    };
    let axis = ["x", "y", "z"][axis.index()];
    let text = format!("call i32 @llvm.nvvm.read.ptx.sreg.{register}.{axis}()");
    let narrow = e.f.def("i32", 1, &text);
    e.f.cast("zext nneg", &narrow, "i64")
}

/// The arrays that are written below.
fn stores(nodes: &[KernelNode], out: &mut BTreeSet<Name>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => stores(&l.body, out),
            KernelNode::If(_, a, b) => {
                stores(a, out);
                stores(b, out);
            }
            KernelNode::Store(s) => {
                out.insert(s.array.clone());
            }
            KernelNode::Local(l) => stores(&l.body, out),
        }
    }
}
