//! The structure of block programs: where their nodes may stand, and what fits a block.
//!
//! In: a node of a block program and what is around it. Out: every fault found.
//! Keeps: after this, the warps of every team, the layout of every fragment and the place of every
//! shared buffer are known numbers within the limits of every GPU.
//! *Not* proved here: that barriers match, which `interp` checks for the sizes that it runs.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::instruction::fragment::FragmentLayout;
use warploom_ir::instruction::{PAIR, descriptor, layout, tensor_memory};
use warploom_ir::kernel::device::{
    Across, Barrier, Block, CLUSTER, Choosing, Device, Fragment, MAX_CLUSTER, Role, Share, Shared,
    Taking, Teams, Tensor, WARP, WARPGROUP,
};
use warploom_ir::kernel::{Buffer, Index, KernelLoop, KernelNode, LoopMode, TypedKind};

use super::Checker;
use super::mapped::trip;

/// Most warps of a block.
const MAX_WARPS: i64 = 32;
/// Most bytes of shared memory of a block, on any GPU.
const MAX_SHARED: i64 = 227 << 10;
/// Registers of a multiprocessor.
const REGISTERS: i64 = 64 << 10;
/// Most arrivals of a phase.
const MAX_ARRIVALS: i64 = (1 << 20) - 1;
/// Most copies that unrolled loops inside each other make.
const MAX_COPIES: i64 = 4096;
/// Most elements of a fragment that one thread holds: all its registers.
const MAX_HELD: i64 = 256;

/// A fragment in scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) layout: FragmentLayout,
    pub(super) shape: [i64; 2],
}

/// What of a block program is around a node.
#[derive(Default)]
pub(super) struct Context {
    block: bool,
    /// Loops over the blocks of a cluster.
    pub(super) cluster: usize,
    /// Blocks are in pairs, and whether the block's instructions are of pairs.
    pub(super) paired: Option<bool>,
    /// The warps that run a body together, inside a role.
    pub(super) team: Option<i64>,
    /// The number in the block of the team's first warp, or of a like one's in units of four.
    pub(super) first: i64,
    pub(super) one: bool,
    /// Inside iterations that data choose.
    choosing: bool,
    /// A body runs for each element of something.
    elements: bool,
    pub(super) fragments: BTreeMap<Name, Held>,
    pub(super) shared: BTreeMap<Name, Shared>,
    pub(super) tensors: BTreeMap<Name, Tensor>,
    pub(super) barriers: BTreeMap<Name, Barrier>,
    /// Variables that are constants in each copy of their loop's body.
    pub(super) unrolled: BTreeSet<Name>,
}

impl Context {
    /// Inside a role only the elements of fragments are stored.
    pub(super) const fn may_store(&self) -> bool {
        !self.block || self.elements
    }
}

impl Checker {
    /// A loop inside a role is one that a warp can run.
    pub(super) fn role_loop(&mut self, l: &KernelLoop, around: &mut super::Around) {
        let plain = matches!(l.mode, LoopMode::Serial | LoopMode::Unroll);
        if self.context.block && (!plain || self.context.elements) {
            let text = format!("loop `{}` inside a role is neither serial nor unrolled", l.var);
            self.fault("E1016", text);
        }
        if !self.context.block || l.mode != LoopMode::Unroll {
            return;
        }
        let copies = trip(l).and_then(|n| n.max(1).checked_mul(around.copies));
        match copies.filter(|n| *n <= MAX_COPIES) {
            Some(copies) => {
                around.copies = copies;
                self.context.unrolled.insert(l.var.clone());
            }
            None => {
                let text = format!(
                    "unrolled loops up to `{}` in a role make more than {MAX_COPIES} copies, or a \
                     number of them that is not known",
                    l.var
                );
                self.fault("E1016", text);
            }
        }
    }

    pub(super) fn device(&mut self, node: &Device, around: super::Around) {
        let inside = self.context.team.is_some() && !self.context.elements;
        if matches!(node, Device::Block(_)) == self.context.block || around.vector {
            self.fault("E1016", "a node of a block program stands where none can");
            return;
        }
        match node {
            Device::Block(b) => self.block(b, around),
            _ if !inside => self.fault("E1016", "a node of a role stands outside the roles"),
            Device::Teams(t) => self.teams(t, around),
            Device::One(body) => {
                if std::mem::replace(&mut self.context.one, true) {
                    self.fault("E1016", "`one` is inside another one");
                }
                self.nodes(body, around);
                self.context.one = false;
            }
            Device::Fragment(f) => self.fragment(f, around),
            Device::Across(a) => self.across(a, around),
            Device::Share(s) => self.share(s, around),
            Device::Taking(t) => self.taking(t, around),
            Device::Choosing(c) => self.choosing(c, around),
            Device::Call(call) => self.call(call),
        }
    }

    /// The loops over the blocks of a cluster.
    fn cluster(&mut self, b: &Block) {
        let size = b.cluster_size().filter(|n| (1..=MAX_CLUSTER).contains(n));
        if size.is_none() || b.cluster.iter().any(|l| l.count < 1) {
            let text = format!("a cluster has 1 to {MAX_CLUSTER} blocks, one along each loop");
            self.fault("E1012", text);
        }
        let barrier = b.barriers.iter().any(|b| &*b.name == CLUSTER);
        if !b.cluster.is_empty() && (barrier || self.arrays.contains_key(CLUSTER)) {
            self.fault("E1001", format!("`{CLUSTER}` is the name of the cluster's blocks"));
        }
        b.cluster.iter().for_each(|l| self.enter(&l.var));
        self.context.cluster = b.cluster.len();
        let pairs = b.cluster.last().is_some_and(|l| l.count % PAIR == 0);
        self.context.paired = pairs.then(|| b.paired());
    }

    fn block(&mut self, b: &Block, around: super::Around) {
        self.context.block = true;
        if !(1..=MAX_WARPS).contains(&b.warps()) || b.roles.iter().any(|r| r.warps < 1) {
            let text =
                format!("a block has {} warps, and 1 to {MAX_WARPS} are possible", b.warps());
            self.fault("E1012", text);
        }
        self.registers(&b.roles);
        for shared in &b.shared {
            self.shared(shared);
        }
        self.tensors(b);
        for barrier in &b.barriers {
            if barrier.slots < 1 || !(1..=MAX_ARRIVALS).contains(&barrier.count) {
                let text = format!("`{}` has no slots, or no possible count", barrier.name);
                self.fault("E1013", text);
            }
            if self.arrays.contains_key(&barrier.name)
                || self.context.barriers.insert(barrier.name.clone(), barrier.clone()).is_some()
            {
                self.fault("E1001", format!("the name `{}` is used twice", barrier.name));
            }
        }
        self.cluster(b);
        let bytes = b.bytes().unwrap_or(i64::MAX);
        if bytes > MAX_SHARED {
            let text =
                format!("a block has {bytes} bytes of shared memory, at most {MAX_SHARED} fit");
            self.fault("E1013", text);
        }
        for role in &b.roles {
            self.context.team = Some(role.warps);
            self.nodes(&role.body, around);
            self.context.team = None;
            self.context.first = self.context.first.saturating_add(role.warps);
        }
        for text in super::barriers::faults(b) {
            self.fault("E1017", text);
        }
        for name in b.shared.iter().map(|s| &s.name).chain(b.tensors.iter().map(|t| &t.name)) {
            self.arrays.remove(name);
        }
        for l in &b.cluster {
            self.scope.remove(&l.var);
        }
        self.context = Context::default();
    }

    /// Registers are moved between whole warpgroups, and there are as many as the block gets when
    /// it starts: as many for each thread as a multiprocessor has, in steps of 8. A role that asks
    /// for more waits for ever (PTX ISA 8.8, `setmaxnreg`).
    fn registers(&mut self, roles: &[Role]) {
        if roles.iter().all(|r| r.registers.is_none()) {
            return;
        }
        let mut all = 0_i64;
        for role in roles {
            let n = role.registers.unwrap_or(0);
            if !(24..=256).contains(&n) || n % 8 != 0 || role.warps % WARPGROUP != 0 {
                let text = format!(
                    "role `{}` has {n} registers a thread and {} warps: where one role states \
                     registers all do, 24 to 256 in steps of 8, for whole warpgroups",
                    role.name, role.warps
                );
                self.fault("E1012", text);
            }
            all = all.saturating_add(n.saturating_mul(role.warps).saturating_mul(WARP));
        }
        let threads: i64 = roles.iter().map(|r| r.warps.saturating_mul(WARP)).sum();
        let each = REGISTERS / threads.max(1) / 8 * 8;
        if all > each * threads {
            let text = format!(
                "the roles have {all} registers together: the block starts with {each} for each of \
                 {threads} threads, {} in all",
                each * threads
            );
            self.fault("E1012", text);
        }
    }

    fn shared(&mut self, s: &Shared) {
        let panels = match (s.panel, s.shape.as_slice()) {
            (None, _) => true,
            (Some(panel), [.., rows, cols]) => {
                let known = descriptor::PANELS.contains(&panel);
                known && rows % 8 == 0 && cols % s.wide(panel) == 0
            }
            (Some(_), _) => false,
        };
        if s.shape.iter().any(|e| *e < 1) || s.bytes().is_none() || !panels {
            let text = format!(
                "the shared buffer `{}` has an extent below 1, or no whole panels of 8 rows",
                s.name
            );
            self.fault("E1013", text);
        }
        self.declare(&s.name, s.dtype, &s.shape);
        self.context.shared.insert(s.name.clone(), s.clone());
    }

    /// Buffers in tensor memory: all lanes, whole 32 bits, and no more columns than there are;
    /// scales behind them, so that accumulators start at multiples of their columns.
    fn tensors(&mut self, b: &Block) {
        let mut scales = false;
        for t in &b.tensors {
            let own = t.shape.len().checked_sub(2).map(|d| t.shape[d]);
            let lanes = tensor_memory::lanes(t.dtype);
            let whole = own.is_some() && own == lanes && t.shape.iter().all(|e| *e > 0);
            if !whole || t.columns().is_none() {
                let text = format!(
                    "`{}` in tensor memory is not {} lanes of columns of 32 bits, or {} of scales",
                    t.name,
                    tensor_memory::LANES,
                    tensor_memory::SCALE_LANES
                );
                self.fault("E1013", text);
            }
            let all = lanes == Some(tensor_memory::LANES);
            if all && scales {
                let text = format!("`{}` in tensor memory stands behind scales", t.name);
                self.fault("E1013", text);
            }
            scales |= !all;
            self.declare(&t.name, t.dtype, &t.shape);
            self.context.tensors.insert(t.name.clone(), t.clone());
        }
        if !b.tensors.is_empty() && b.columns().is_none() {
            let text = format!(
                "a block has {} columns of tensor memory, at most {} exist",
                b.column("").unwrap_or(i64::MAX),
                tensor_memory::COLUMNS
            );
            self.fault("E1013", text);
        }
    }

    fn declare(&mut self, name: &Name, dtype: DType, shape: &[i64]) {
        let buffer = Buffer {
            name: name.clone(),
            role: warploom_ir::nest::Role::Temp,
            dtype,
            shape: shape.iter().map(|e| Index::Const(*e)).collect(),
            of: None,
        };
        if self.arrays.insert(name.clone(), buffer).is_some() {
            self.fault("E1001", format!("the name `{name}` is used by two buffers"));
        }
    }

    /// A variable of the block program, unique in the kernel as those of loops are.
    fn enter(&mut self, var: &Name) {
        if !self.seen.insert(var.clone()) || !self.scope.insert(var.clone()) {
            self.fault("E1001", format!("the name `{var}` is used by two loops"));
        }
    }

    fn teams(&mut self, t: &Teams, around: super::Around) {
        let team = self.context.team;
        if t.warps < 1 || t.count.checked_mul(t.warps) != team || self.context.one {
            let text = format!(
                "the {} teams of {} warps of `{}` are not the {} warps around them",
                t.count,
                t.warps,
                t.var,
                team.unwrap_or(0)
            );
            self.fault("E1012", text);
        }
        self.enter(&t.var);
        self.context.team = Some(t.warps);
        let first = self.context.first;
        if t.warps % WARPGROUP != 0 && t.count > 1 {
            // not all of these teams start at such a number
            self.context.first = 1;
        }
        self.nodes(&t.body, around);
        (self.context.team, self.context.first) = (team, first);
        self.scope.remove(&t.var);
    }

    /// Iterations of the loop mapped to blocks; what they ask and read is looked at with the grid
    /// (`taking`).
    fn taking(&mut self, t: &Taking, around: super::Around) {
        t.vars.iter().for_each(|v| self.enter(v));
        self.nodes(&t.body, around);
        self.nodes(&t.last, around);
        t.vars.iter().for_each(|v| {
            self.scope.remove(v);
        });
    }

    /// Iterations that data choose: data of the kernel's buffers, which all roles read alike.
    fn choosing(&mut self, c: &Choosing, around: super::Around) {
        let place = format!("the choice of `{}`", c.vars[0]);
        if std::mem::replace(&mut self.context.choosing, true) {
            self.fault("E1016", format!("{place} is inside another choice"));
        }
        self.index(&c.lower, &place, 0);
        self.index(&c.upper, &place, 0);
        self.enter(&c.vars[0]);
        self.typed(&c.when, &place, 0);
        if c.when.dtype != DType::Bool {
            self.fault("E1004", format!("{place} is {}, not bool", c.when.dtype));
        }
        c.when.visit(&mut |v| {
            let TypedKind::Read { array, .. } = &v.kind else { return };
            let c = &self.context;
            let own = [c.shared.contains_key(array), c.fragments.contains_key(array)];
            if own.contains(&true) || c.tensors.contains_key(array) {
                self.fault("E1016", format!("{place} reads `{array}`, which is the block's own"));
            }
        });
        self.enter(&c.vars[1]);
        self.nodes(&c.body, around);
        self.nodes(&c.last, around);
        self.context.choosing = false;
        c.vars.iter().for_each(|v| {
            self.scope.remove(v);
        });
    }

    fn fragment(&mut self, f: &Fragment, around: super::Around) {
        let Some(layout) = layout(&f.layout) else {
            let text = format!("`{}` is no operand in registers of any instruction", f.layout);
            return self.fault("E1014", text);
        };
        let [rows, cols] = f.shape;
        let whole = rows > 0 && cols > 0 && rows % layout.rows == 0 && cols % layout.cols == 0;
        let held = rows.checked_mul(cols).map(|n| n / layout.n_threads());
        let threads = self.context.team.unwrap_or(0) * WARP;
        // narrow elements fill registers of 32 bits
        let bytes = layout.n_values() * f.dtype.size_bytes() as i64;
        if !whole || bytes % 4 != 0 || held.is_none_or(|n| n > MAX_HELD) {
            let text = format!(
                "fragment `{}` is no whole number of tiles of {}x{}, or too large",
                f.name, layout.rows, layout.cols
            );
            self.fault("E1014", text);
        }
        if layout.n_threads() != WARP && layout.n_threads() != threads || self.context.one {
            let text = format!("fragment `{}` belongs to {} threads", f.name, layout.n_threads());
            self.fault("E1014", text);
        }
        self.declare(&f.name, f.dtype, &f.shape);
        self.context.fragments.insert(f.name.clone(), Held { layout, shape: f.shape });
        self.nodes(&f.body, around);
        self.context.fragments.remove(&f.name);
        self.arrays.remove(&f.name);
    }

    fn across(&mut self, a: &Across, around: super::Around) {
        let Some(of) = self.context.fragments.get(&a.fragment).cloned() else {
            let text = format!("there is no fragment `{}` to go across", a.fragment);
            return self.fault("E1001", text);
        };
        if self.context.one {
            self.fault("E1016", "one thread cannot go across a fragment of many");
        }
        self.across_part(a, &of);
        if a.reduce
            && let Err(why) = self.reduces(a, &of)
        {
            self.fault("E1016", why);
        }
        a.vars.iter().for_each(|v| self.enter(v));
        self.context.elements = true;
        self.nodes(&a.body, around);
        self.own_elements(&a.body, &a.vars.clone().map(Index::Var), Some(&of));
        self.context.elements = false;
        a.vars.iter().for_each(|v| {
            self.scope.remove(v);
        });
    }

    /// A part is rows and columns of the fragment that are known when the code is made.
    fn across_part(&mut self, a: &Across, of: &Held) {
        let Some(tile) = a.tile() else { return };
        let place = format!("`{tile}`");
        for s in &a.part {
            self.index(&s.start, &place, 0);
        }
        let two = tile.at.len() == 2 && tile.at.iter().all(|s| s.extent.is_some_and(|e| e > 0));
        let whole = if of.layout.is_matrices(2) {
            of.layout.matrix_steps(2)
        } else {
            [of.layout.rows, of.layout.cols]
        };
        let known = if two {
            self.part(&tile, whole)
        } else {
            Err(format!("{place} is no rows and columns: `D[0 : 64, 0 : 64]`"))
        };
        if let Err(why) = known {
            self.fault("E1016", why);
        }
    }

    /// Indices that threads share out; fragments have no element for a tuple of them.
    fn share(&mut self, s: &Share, around: super::Around) {
        let threads = self.context.team.unwrap_or(1).saturating_mul(WARP);
        let elements = s.piece.iter().fold(1_i64, |n, p| n.saturating_mul(*p));
        let each = s.pieces().map(|n| (n - 1) / threads + 1);
        let copies = each.and_then(|n| n.checked_mul(elements)?.checked_mul(around.copies));
        if copies.is_none_or(|n| n > MAX_COPIES) || self.context.one {
            let first = s.vars.first().map_or("", |v| v);
            let text = format!(
                "what threads share out over `{first}` is no whole pieces, one thread's alone, or \
                 more than {MAX_COPIES} copies of its body for each"
            );
            self.fault("E1016", text);
        }
        s.vars.iter().for_each(|v| self.enter(v));
        self.context.elements = true;
        self.nodes(&s.body, around);
        self.own_elements(&s.body, &[Index::Const(0), Index::Const(0)], None);
        self.context.elements = false;
        s.vars.iter().for_each(|v| {
            self.scope.remove(v);
        });
    }

    /// Fragments are accessed at the thread's own element only.
    fn own_elements(&mut self, body: &[KernelNode], vars: &[Index; 2], of: Option<&Held>) {
        for node in body {
            let s = match node {
                KernelNode::Store(s) => s,
                KernelNode::If(_, a, b) => {
                    self.own_elements(a, vars, of);
                    self.own_elements(b, vars, of);
                    continue;
                }
                KernelNode::Loop(_) | KernelNode::Local(_) | KernelNode::Device(_) => continue,
            };
            let mut all = vec![(&s.array, &s.indices)];
            for value in std::iter::once(&s.value).chain(&s.guard) {
                value.visit(&mut |v| {
                    if let TypedKind::Read { array, indices } = &v.kind {
                        all.push((array, indices));
                    }
                });
            }
            let tensors = &self.context.tensors;
            if let Some((array, _)) = all.iter().find(|(array, _)| tensors.contains_key(*array)) {
                let text = format!(
                    "statement `{}` accesses `{array}` in tensor memory, as only instructions can",
                    s.statement
                );
                self.fault("E1014", text);
            }
            let fragments = &self.context.fragments;
            let other = |(array, at): &&(&Name, &Vec<Index>)| {
                fragments.get(*array).is_some_and(|held| Some(held) != of || at.as_slice() != vars)
            };
            if let Some((array, _)) = all.iter().find(other) {
                let text = format!(
                    "statement `{}` accesses the fragment `{array}` at another element than the \
                     thread's own",
                    s.statement
                );
                self.fault("E1014", text);
            }
        }
    }
}
