//! A kernel's module for a GPU: one function for each launch.
//!
//! In: a verified kernel. Out: LLVM IR text and what the host does. A function's arguments are the
//! kernel's buffers (pointers to global memory), its parameters, and the variables of the host's
//! loops around the launch.
//! Keeps: a buffer that is written in a launch with barriers is not `noalias`: LLVM would take that
//! as leave to move its accesses across them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use warploom_ir::abi::{GpuLaunch, GpuLoop, GpuStep};
use warploom_ir::affine::Name;
use warploom_ir::kernel::device::Block;
use warploom_ir::kernel::{HostNode, Index, Kernel, KernelLoop, KernelNode, LoopMode};
use warploom_ir::target::Place;

use super::barriers::{Plan, has_phase, is_phase, plan};
use super::machine::ASYNC;
use super::{block, math};
use crate::llvm::build::{Function, Value};
use crate::llvm::emit::{Emitter, Machine};
use crate::llvm::lin::{Env, Lin};
use crate::llvm::memory::{ALIGNMENT, GLOBAL};
use crate::llvm::team::{SHARED, Team, thread_loops, trip};

/// The type of a tensor map; without the attribute LLVM copies it to memory of the thread.
const TENSOR_MAP: &str = "ptr byval([16 x i64]) align 64 \"nvvm.grid_constant\"";

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
    let (loops, attributes) = (Vec::new(), String::new());
    let mut host = Host { base, loops, attributes, launches: 0, shared: false };
    let steps = host.steps(&mut e, &HostNode::of(&kernel.body));
    let mut text = format!("; kernel {}\n", kernel.name.escape_debug());
    if host.shared {
        let _ = writeln!(text, "{SHARED} = external addrspace(3) global [0 x i8], align 1024");
    }
    for (number, structure) in e.structures.iter().enumerate() {
        let _ = writeln!(text, "%struct{number} = type {structure}");
    }
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
    /// Some launch has shared memory.
    shared: bool,
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
        self.shared |= launch.shared_bytes > 0;
        let [x, y, z] = launch.block;
        let cluster = match launch.cluster {
            1 => String::new(),
            n => format!(" \"nvvm.cluster_dim\"=\"{n},1,1\""),
        };
        let mut more = String::new();
        if let Some(b) = program(nodes) {
            let _ = write!(more, " \"{ASYNC}\"");
            if b.roles.len() == 1 || !b.tensors.is_empty() {
                // with nothing said the assembler spills fragments to have more blocks run at once;
                // roles without tensor memory say themselves how many registers they have
                more.push_str(" \"nvvm.minctasm\"=\"1\"");
            }
        }
        let _ = writeln!(
            self.attributes,
            "attributes #{group} = {{ convergent nounwind \"nvvm.reqntid\"=\"{x},{y},{z}\"\
             {cluster}{more} }}",
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
    let (loops, body) = block_loops(nodes);
    let mut written = BTreeSet::new();
    stores(body, &mut written);
    let kernel = e.kernel;
    let plan = plan(kernel, body);
    let program = block::program_of(body);
    let maps = program.map_or_else(Vec::new, |b| block::tensor_maps(kernel, b));
    let alone = plan.barriers.is_empty() && program.is_none();
    let mut arguments = Vec::new();
    for (i, b) in kernel.buffers.iter().enumerate() {
        let access = match (written.contains(&b.name), alone) {
            (false, _) => "noalias readonly ",
            (true, true) => "noalias ",
            (true, false) => "",
        };
        // a load of a scalar may leave loops and guards: it is always there
        let whole = match b.shape.as_slice() {
            [] => format!("dereferenceable({}) ", b.dtype.size_bytes()),
            [..] => String::new(),
        };
        arguments.push(format!("{GLOBAL} {access}{whole}align {ALIGNMENT} %b{i}"));
    }
    let known: Vec<&Name> = kernel.params.iter().chain(host).collect();
    arguments.extend((0..known.len()).map(|i| format!("i64 %p{i}")));
    arguments.extend((0..maps.len()).map(|i| format!("{TENSOR_MAP} %map{i}")));
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
    let mut launch = GpuLaunch {
        entry,
        grid: [const { Index::Const(1) }; 3],
        cluster: 1,
        block: [1; 3],
        shared_bytes: u32::try_from(plan.bytes).expect("checked: it fits the target"),
        tensor_columns: 0,
        maps: maps.clone(),
        chunked: Vec::new(),
    };
    widest(body, &mut launch.block);
    if let Some(program) = program {
        block::launch(kernel, program, &mut launch);
    }
    enter_blocks(e, &loops, &mut launch);
    if has_phase(body) {
        let numbers = [0, 1, 2].map(|axis| hardware(e, "tid", axis));
        e.team = Some(Team { block: launch.block, numbers, plan });
    }
    match program {
        Some(program) => e.block(program, maps, below(&loops)),
        None => e.nodes(body),
    }
    e.team = None;
    let done = std::mem::take(&mut e.f);
    e.functions.push(done.finish());
    e.vars.clear();
    e.ranges.clear();
    e.buffers.clear();
    e.env = Env::new();
    launch
}

/// What the iterations of the one loop over blocks, from 0 on, are below, where that is known.
fn below(loops: &[(&KernelLoop, usize)]) -> Option<i64> {
    match loops {
        [(l, _)] => match (&l.lower, &l.upper) {
            (Index::Const(0..), Index::Const(upper)) => Some(*upper),
            _unknown => None,
        },
        _several => None,
    }
}

/// Gives the block loops their values, and the launch its grid.
fn enter_blocks(e: &mut Emitter<'_>, loops: &[(&KernelLoop, usize)], launch: &mut GpuLaunch) {
    for (l, axis) in loops {
        launch.grid[*axis] = extent(l);
        // blocks of a cluster are neighbours along x
        let number = if launch.cluster > 1 && *axis == 0 { "clusterid" } else { "ctaid" };
        let number = hardware(e, number, *axis);
        let lower = Lin::of(&l.lower, &e.env);
        let last = Lin::of(&l.upper, &e.env).offset(-1);
        let ends = lower.range(&e.ranges).zip(last.range(&e.ranges));
        e.ranges.extend(ends.map(|(first, last)| (l.var.clone(), (first.0, last.1))));
        let lower = e.lin(&lower);
        let scaled = e.f.bin_int("mul nsw", &number, l.step.into());
        let value = e.f.bin("add nsw", &lower, &scaled);
        e.vars.insert(l.var.clone(), value);
    }
    if launch.cluster > 1 {
        let clusters = std::mem::replace(&mut launch.grid[0], Index::Const(1));
        launch.grid[0] = match clusters {
            Index::Const(n) => Index::Const(n.saturating_mul(launch.cluster.into())),
            other => Index::Mul(launch.cluster.into(), Box::new(other)),
        };
    }
}

/// The block loops at the top of a launch with their directions, and what a block runs.
fn block_loops(nodes: &[KernelNode]) -> (Vec<(&KernelLoop, usize)>, &[KernelNode]) {
    let mut loops = Vec::new();
    let mut body = nodes;
    while let [KernelNode::Loop(l)] = body {
        let LoopMode::Mapped(Place::Block(axis)) = l.mode else { break };
        loops.push((l, axis.index()));
        body = &l.body;
    }
    (loops, body)
}

/// What a launch shares between the threads of a block.
pub(super) fn shared(kernel: &Kernel, nodes: &[KernelNode]) -> Plan {
    plan(kernel, block_loops(nodes).1)
}

/// The block program of a launch.
pub(super) fn program(nodes: &[KernelNode]) -> Option<&Block> {
    block::program_of(block_loops(nodes).1)
}

/// How many blocks a loop needs.
fn extent(l: &KernelLoop) -> Index {
    let trip = if l.lower == Index::Const(0) && l.step == 1 {
        l.upper.clone()
    } else {
        let length = Index::Sub(Box::new(l.upper.clone()), Box::new(l.lower.clone()));
        let up = Index::Add(Box::new(length), Box::new(Index::Const(l.step - 1)));
        Index::FloorDiv(Box::new(up), l.step)
    };
    Lin::of(&trip, &Env::new()).as_constant().map_or(trip, Index::Const)
}

/// The threads that the widest phases of a block need along x, y and z.
fn widest(nodes: &[KernelNode], block: &mut [u32; 3]) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) if is_phase(l) => {
                for (l, axis) in thread_loops(l).0 {
                    block[axis] = block[axis].max(trip(l));
                }
            }
            KernelNode::Loop(l) => widest(&l.body, block),
            KernelNode::If(_, a, b) => {
                widest(a, block);
                widest(b, block);
            }
            KernelNode::Local(l) => widest(&l.body, block),
            KernelNode::Store(_) | KernelNode::Device(_) => {}
        }
    }
}

/// A number of this thread (`tid`) or of its block (`ctaid`), as i64.
pub(super) fn hardware(e: &mut Emitter<'_>, register: &str, axis: usize) -> Value {
    let axis = ["x", "y", "z"][axis];
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
            KernelNode::Device(d) => d.bodies().into_iter().for_each(|b| stores(b, out)),
        }
    }
}
