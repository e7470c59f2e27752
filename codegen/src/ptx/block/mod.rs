//! Block programs as LLVM IR: roles, teams, fragments and calls.
//!
//! In: a verified block program inside the function of its launch. Out: the function's code.
//! Keeps: what a call does and how it is written comes from the instruction table. Numbers of warps
//! are made the same for all threads of a warp in a way that the assembler sees. Fragments are
//! stack slots, one for each register, that LLVM turns into registers.

mod across;
mod boxes;
mod calls;
mod choosing;
mod chunks;
mod cluster;
mod deal;
mod guards;
mod matrix;
mod pairs;
mod rows;
mod share;
mod taking;
mod tensor;

use std::collections::BTreeMap;

use warploom_ir::abi::{GpuLaunch, TensorMap};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::fragment::FragmentLayout;
use warploom_ir::instruction::{Action, Code, Part, find, layout, part_of};
use warploom_ir::kernel::device::{Block, Call, Device, Fragment, Operand, Role, Teams, WARP};
use warploom_ir::kernel::{Kernel, KernelNode};
use warploom_ir::target::Target;

use crate::llvm::build::Value;
use crate::llvm::emit::{BufferRegs, Emitter};
use crate::llvm::lin::Lin;
use crate::llvm::team::SHARED;

use pairs::Pairing;

pub(super) use boxes::tensor_maps;

/// A pointer to shared memory.
const SHARED_POINTER: &str = "ptr addrspace(3)";
/// Barriers of threads that a block has beside the one for all of them.
pub(super) const MEETINGS: i64 = 15;
/// 32-bit registers that the threads of a block have together when it starts.
const REGISTERS: i64 = 64 << 10;

/// A fragment's registers in this thread.
#[derive(Clone, Debug)]
struct Registers {
    layout: FragmentLayout,
    dtype: DType,
    /// Tiles along rows and columns.
    tiles: [i64; 2],
    /// The slot of each register, tile after tile.
    slots: Vec<String>,
    /// LLVM's type of a register.
    elem: &'static str,
    /// It is a factor: instructions read it only.
    factor: bool,
}

impl Registers {
    /// Registers of one tile.
    fn per_tile(&self) -> usize {
        self.slots.len() / usize::try_from(self.tiles[0] * self.tiles[1]).expect("verified")
    }

    /// Elements in one register.
    fn packed(&self) -> i64 {
        (4 / self.dtype.size_bytes() as i64).max(1)
    }
}

/// The warps that run a body together.
#[derive(Clone, Debug)]
struct Team {
    warps: i64,
    /// This warp's number in the team, as i32.
    warp: Value,
    /// The number of the barrier of its threads, as i32.
    meeting: Value,
}

/// What is known while a block program is written.
#[derive(Debug)]
pub(crate) struct Program {
    block: Block,
    maps: Vec<TensorMap>,
    /// This thread's number in its warp, as i32.
    lane: Value,
    team: Team,
    /// One thread of the team runs.
    one: bool,
    fragments: BTreeMap<Name, Registers>,
    /// Neighbouring elements are stored together.
    pair: Pairing,
    /// Barriers of threads that are in use.
    meetings: i64,
    /// The address of the block's tensor memory, as i32.
    tensors: Option<Value>,
    /// The answer that was read in this iteration, and whether a block is taken.
    answer: Option<(Value, Value)>,
    /// What iterations of the one loop over blocks are below, where that is known.
    below: Option<i64>,
}

/// The name of an intrinsic that nodes stand for.
fn implied(name: &str) -> String {
    intrinsic(&find(name).expect("an entry of the table").code)
}

/// The name of an intrinsic.
fn intrinsic(code: &Code) -> String {
    match code {
        Code::Intrinsic(name) => format!("@{name}"),
        Code::Assembly(text) => unreachable!("`{text}` is no intrinsic"),
    }
}

/// How many barriers of threads a block program needs: one for each team that meets.
pub(super) fn meetings(block: &Block) -> i64 {
    block.roles.iter().fold(0_i64, |n, r| n.saturating_add(1 + meetings_of(&r.body)))
}

fn meetings_of(nodes: &[KernelNode]) -> i64 {
    let of = |node: &KernelNode| match node {
        KernelNode::Loop(l) => meetings_of(&l.body),
        KernelNode::If(_, a, b) => meetings_of(a) + meetings_of(b),
        KernelNode::Local(_) | KernelNode::Store(_) => 0,
        KernelNode::Device(d) => match &**d {
            Device::Teams(t) if t.warps > 1 => t.count + meetings_of(&t.body),
            other => other.bodies().into_iter().map(|b| meetings_of(b)).sum(),
        },
    };
    nodes.iter().map(of).sum()
}

/// The block program of a launch, alone inside its loops.
pub(super) fn program_of(body: &[KernelNode]) -> Option<&Block> {
    match body {
        [KernelNode::Device(d)] => match &**d {
            Device::Block(block) => Some(block),
            Device::Teams(_)
            | Device::One(_)
            | Device::Fragment(_)
            | Device::Across(_)
            | Device::Share(_)
            | Device::Taking(_)
            | Device::Choosing(_)
            | Device::Call(_) => None,
        },
        _ => None,
    }
}

/// Every call below, in order.
pub(super) fn calls<'k>(nodes: &'k [KernelNode], out: &mut Vec<&'k Call>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => calls(&l.body, out),
            KernelNode::If(_, a, b) => {
                calls(a, out);
                calls(b, out);
            }
            KernelNode::Local(l) => calls(&l.body, out),
            KernelNode::Store(_) => {}
            KernelNode::Device(d) => match &**d {
                Device::Call(call) => out.push(call),
                other => other.bodies().into_iter().for_each(|b| calls(b, out)),
            },
        }
    }
}

/// What a kernel needs and a target lacks, and what to do.
pub(super) struct Missing {
    pub(super) text: String,
    pub(super) help: String,
}

/// What a kernel needs that the target lacks; of several things the one that says most.
pub(super) fn missing(kernel: &Kernel, target: Target) -> Option<Missing> {
    let mut all = Vec::new();
    calls(&kernel.body, &mut all);
    let lacks =
        |call: &&&Call| find(&call.instruction).is_none_or(|i| !i.targets.contains(&target));
    let lacking: Vec<&Name> = all.iter().filter(lacks).map(|call| &call.instruction).collect();
    let action = |name: &Name| find(name).map(|i| i.action);
    let takes = |name: &&&Name| matches!(action(name), Some(Action::Take | Action::TakeMulticast));
    let multiplies = |name: &&&Name| matches!(action(name), Some(Action::Matrix(_)));
    let of = |such: &dyn Fn(&&&Name) -> bool| lacking.iter().find(|n| such(n));
    let help = format!(
        "a schedule names the instructions of a kind of GPU: without `--schedule` the compiler \
         writes one for {target}"
    );
    if let (Some(name), None) = (of(&takes), of(&multiplies)) {
        let help = "leave `take` out, and share tiles out in turn: `split t by 132`, `skew t.1 by \
                    -132*t.0`, `reorder t.1, t.0`, `map t.1 to block.x`"
            .to_owned();
        return Some(Missing { text: format!("`{name}` on {target}"), help });
    }
    let first = of(&multiplies).or_else(|| lacking.first());
    let call = first.map(|name| format!("`{name}` on {target}"));
    let text = call.or_else(|| cluster::missing(&kernel.body, target))?;
    Some(Missing { text, help })
}

/// Threads, shared memory and rows of whole pieces of a launch.
pub(super) fn launch(kernel: &Kernel, block: &Block, launch: &mut GpuLaunch) {
    let small = "verified: within the limits of every GPU";
    launch.block = [u32::try_from(block.warps() * WARP).expect(small), 1, 1];
    launch.shared_bytes = u32::try_from(block.bytes().expect(small)).expect(small);
    if !block.tensors.is_empty() {
        launch.tensor_columns = u32::try_from(block.columns().expect(small)).expect(small);
    }
    launch.cluster = u32::try_from(block.cluster_size().expect(small)).expect(small);
    let mut all = Vec::new();
    block.roles.iter().for_each(|r| calls(&r.body, &mut all));
    for call in all {
        let action = find(&call.instruction).map(|i| i.action);
        let Some(Action::CopyAsync(bytes)) = action else { continue };
        for operand in &call.operands {
            let Operand::Tile(tile) = operand else { continue };
            let position = kernel.buffers.iter().position(|b| b.name == tile.array);
            let piece = position.map(|p| (p, bytes));
            launch.chunked.extend(piece.filter(|p| !launch.chunked.contains(p)));
        }
    }
}

impl Emitter<'_> {
    /// The program of a block, whose tensor maps are the last arguments; iterations of the loop
    /// over blocks, and so how many there are, are `below` this.
    pub(super) fn block(&mut self, block: &Block, maps: Vec<TensorMap>, below: Option<i64>) {
        let tid = self.f.def("i32", 1, &format!("call i32 {}()", implied("thread")));
        let own = self.f.bin_int("lshr", &tid, 5);
        let same =
            format!("call i32 {}(i32 -1, {}, i32 0, i32 31)", implied("broadcast"), own.arg());
        let warp = self.f.def("i32", 1, &same);
        let lane = self.f.bin_int("and", &tid, 31);
        let team = Team { warps: block.warps(), warp, meeting: Value::int("i32", 0) };
        self.program = Some(Program {
            block: block.clone(),
            maps,
            lane,
            team,
            one: false,
            fragments: BTreeMap::new(),
            pair: Pairing::Single,
            meetings: 1,
            tensors: None,
            answer: None,
            below,
        });
        for s in &block.shared {
            let pointer = Value::register(SHARED, SHARED_POINTER, 1);
            let (class, strides, dtype) = (None, Vec::new(), s.dtype);
            let packed = s.packed();
            let regs = BufferRegs { class, pointer, strides, dtype, packed, stack: false };
            self.buffers.insert(s.name.clone(), regs);
        }
        self.enter_cluster(block);
        self.allocate_tensors(block);
        self.start_barriers(block);
        let end = self.f.label("end");
        let mut first = 0;
        for (number, role) in block.roles.iter().enumerate() {
            self.role(role, first, number + 1 == block.roles.len(), &end);
            first += role.warps;
        }
        self.f.br(&end);
        self.f.start(&end);
        self.free_tensors(block);
        self.leave_cluster(block);
        self.program = None;
    }

    fn state(&mut self) -> &mut Program {
        self.program.as_mut().expect("inside a block program")
    }

    /// Makes the barriers ready: one thread writes them, all others wait for it.
    fn start_barriers(&mut self, block: &Block) {
        if block.barriers.is_empty() {
            return;
        }
        let prefetch = implied("tma.prefetch");
        let maps = self.state().maps.len();
        self.elected(|e| {
            for map in 0..maps {
                e.f.line(&format!("call void {prefetch}(ptr %map{map})"));
            }
            for b in &block.barriers {
                for slot in 0..b.slots {
                    let at = block.address(&b.name).expect("its own") + 8 * slot;
                    let p = e.pointer(&Value::int("i32", at.into()));
                    let init = implied("mbarrier.init");
                    e.f.line(&format!("call void {init}({SHARED_POINTER} {p}, i32 {})", b.count));
                }
            }
            e.f.line(&format!("call void {}()", implied("fence.init")));
        });
        if block.cluster.is_empty() {
            self.f.line(&format!("call void {}(i32 0)", implied("sync.block")));
        } else {
            self.meet_cluster("cluster.start");
        }
    }

    /// A pointer to an offset in shared memory.
    fn pointer(&mut self, offset: &Value) -> String {
        let text = format!("getelementptr i8, {SHARED_POINTER} {SHARED}, {}", offset.arg());
        self.f.def(SHARED_POINTER, 1, &text).text
    }

    /// Code that one thread of the team's first warp runs.
    fn elected(&mut self, body: impl FnOnce(&mut Self)) {
        let (warp, lane, multiple, engine) = {
            let p = self.state();
            let engine = !p.block.barriers.is_empty();
            (p.team.warp.clone(), p.lane.clone(), p.team.warps > 1, engine)
        };
        let (first, yes, end) = (self.f.label("first"), self.f.label("one"), self.f.label("end"));
        if multiple {
            let is_first = self.f.cmp_int("eq", &warp, 0);
            self.f.cond_br(&is_first, &first, &end);
        } else {
            self.f.br(&first);
        }
        self.f.start(&first);
        // where there are barriers there is an instruction that elects
        let chosen = if engine {
            let text = format!("call {{ i32, i1 }} {}(i32 -1)", implied("elect"));
            let pair = self.f.def("i32", 1, &text).text;
            self.f.def("i1", 1, &format!("extractvalue {{ i32, i1 }} {pair}, 1"))
        } else {
            self.f.cmp_int("eq", &lane, 0)
        };
        self.f.cond_br(&chosen, &yes, &end);
        self.f.start(&yes);
        body(self);
        self.f.br(&end);
        self.f.start(&end);
        self.f.line(&format!("call void {}(i32 -1)", implied("sync.warp")));
    }

    /// A role; the warps that are not its go on behind it.
    fn role(&mut self, role: &Role, first: i64, last: bool, end: &str) {
        let whole = self.state().team.clone();
        let other = self.f.label("roles");
        if !last {
            let inside = self.f.label("role");
            let below = self.f.cmp_int("ult", &whole.warp, (first + role.warps).into());
            self.f.cond_br(&below, &inside, &other);
            self.f.start(&inside);
        }
        if let Some(n) = role.registers {
            // what a thread has at the start, in steps of 8
            let share = REGISTERS / (whole.warps * WARP) / 8 * 8;
            let name =
                implied(if n > share.min(255) { "registers.more" } else { "registers.less" });
            self.f.line(&format!("call void {name}(i32 {n})"));
        }
        let warp = self.f.bin_int("sub", &whole.warp, first.into());
        let meeting = self.meeting(1);
        self.state().team = Team { warps: role.warps, warp, meeting };
        self.nodes(&role.body);
        self.state().team = whole;
        if !last {
            self.f.br(end);
            self.f.start(&other);
        }
    }

    /// The first of so many new barriers of threads.
    fn meeting(&mut self, count: i64) -> Value {
        let p = self.state();
        let first = p.meetings;
        p.meetings += count;
        Value::int("i32", first.into())
    }

    /// A node of a role.
    pub(crate) fn device(&mut self, node: &Device) {
        match node {
            Device::Block(_) => unreachable!("verified: alone inside the loops over blocks"),
            Device::Teams(t) => self.teams(t),
            Device::One(body) => {
                self.state().one = true;
                self.elected(|e| e.nodes(body));
                self.state().one = false;
            }
            Device::Fragment(f) => self.fragment(f),
            Device::Across(a) => self.across(a),
            Device::Share(s) => self.share(s),
            Device::Taking(t) => self.taking(t),
            Device::Choosing(c) => self.choosing(c),
            Device::Call(call) => self.device_call(call),
        }
    }

    fn teams(&mut self, t: &Teams) {
        let around = self.state().team.clone();
        let number = self.f.bin_int("udiv", &around.warp, t.warps.into());
        let warp = self.f.bin_int("urem", &around.warp, t.warps.into());
        let meeting = if t.warps > 1 {
            let first = self.meeting(t.count);
            self.f.bin("add", &first, &number)
        } else {
            Value::int("i32", 0)
        };
        self.state().team = Team { warps: t.warps, warp, meeting };
        let number = self.f.cast("zext nneg", &number, "i64");
        self.vars.insert(t.var.clone(), number);
        self.ranges.insert(t.var.clone(), (0, t.count - 1));
        self.nodes(&t.body);
        self.ranges.remove(&t.var);
        self.vars.remove(&t.var);
        self.state().team = around;
    }

    fn fragment(&mut self, f: &Fragment) {
        let layout = layout(&f.layout).expect("verified: a known layout");
        let dtype = f.dtype;
        let tiles = [f.shape[0] / layout.rows, f.shape[1] / layout.cols];
        let elem = match dtype.size_bytes() {
            8 => "double",
            4 if dtype.is_float() => "float",
            _ => "i32",
        };
        let n = tiles[0] * tiles[1] * layout.n_values() * dtype.size_bytes() as i64;
        let n = if elem == "double" { n / 8 } else { n / 4 };
        let slots = (0..n).map(|_| self.f.alloca(elem, 1, 1, 64)).collect();
        let factor = part_of(&f.layout).is_some_and(|(_, part)| part != Part::D);
        let registers = Registers { layout, dtype, tiles, slots, elem, factor };
        self.state().fragments.insert(f.name.clone(), registers);
        self.nodes(&f.body);
        self.state().fragments.remove(&f.name);
    }

    /// This thread's number among those that hold a fragment, as i64.
    fn holder(&mut self, layout: &FragmentLayout) -> Value {
        let (lane, warp) = {
            let p = self.state();
            (p.lane.clone(), p.team.warp.clone())
        };
        let thread = if layout.n_threads() == WARP {
            lane
        } else {
            let first = self.f.bin_int("shl", &warp, 5);
            self.f.bin("or", &first, &lane)
        };
        self.f.cast("zext nneg", &thread, "i64")
    }

    /// An index as i32.
    fn narrow(&mut self, lin: &Lin) -> Value {
        let wide = self.lin(lin);
        match lin.as_constant() {
            Some(v) => Value::int("i32", v.into()),
            None => self.f.cast("trunc", &wide, "i32"),
        }
    }

    /// Loads registers of a fragment's tile.
    fn load_registers(&mut self, name: &str, tile: i64) -> Vec<Value> {
        let r = self.state().fragments[name].clone();
        let (n, first) = (r.per_tile(), r.per_tile() * usize::try_from(tile).expect("verified"));
        let load = |slot: &String| {
            self.f.def(r.elem, 1, &format!("load {}, ptr {slot}, align 64", r.elem))
        };
        r.slots[first..first + n].iter().map(load).collect()
    }

    /// Stores registers of a fragment's tile.
    fn store_registers(&mut self, name: &str, tile: i64, values: &[Value]) {
        let r = self.state().fragments[name].clone();
        let first = values.len() * usize::try_from(tile).expect("verified");
        for (slot, value) in r.slots[first..].iter().zip(values) {
            self.f.line(&format!("store {}, ptr {slot}, align 64", value.arg()));
        }
    }
}
