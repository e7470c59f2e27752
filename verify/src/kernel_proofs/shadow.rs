//! A kernel without block programs that makes the same accesses, for the proofs.
//!
//! In: a kernel with block programs. Out: one in which blocks of a cluster, teams and the elements
//! of fragments are parallel loops, every tile of a call is read at its corners, and what the copy
//! engine writes is written element by element.
//! Keeps: an access out of bounds, and a race for an element of one of the kernel's buffers, is one
//! in the shadow too. Fragments, shared buffers and barriers become local to each access: where
//! they race is found by `interp`, as barriers order them.

use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::expr::Literal;
use warploom_ir::instruction::{Action, find, layout};
use warploom_ir::kernel::device::{
    Across, Block, CLUSTER, Call, Choosing, Device, Operand, Share, Taking, Teams, Tile, WARP,
};
use warploom_ir::kernel::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, Store, Typed,
    TypedKind,
};
use warploom_ir::nest::{AssignOp, Order};
use warploom_ir::target::Place;

/// The shadow of a kernel.
pub(super) fn of(kernel: &Kernel) -> Kernel {
    let (buffers, private) = (&kernel.buffers, Vec::new());
    let mut shadow = Shadow { buffers, private, grid: None, team: 1, names: 0 };
    Kernel { body: shadow.nodes(&kernel.body), ..kernel.clone() }
}

/// An array that each access has for itself.
#[derive(Clone)]
struct Private {
    name: Name,
    dtype: DType,
    shape: Vec<i64>,
    /// Of a fragment: one for each warp of a team.
    by_warp: bool,
}

struct Shadow<'k> {
    buffers: &'k [Buffer],
    private: Vec<Private>,
    /// The innermost loop mapped to blocks.
    grid: Option<KernelLoop>,
    team: i64,
    names: usize,
}

fn parallel(var: Name, count: i64, mode: LoopMode, body: Vec<KernelNode>) -> KernelNode {
    ranged(var, [Index::Const(0), Index::Const(count)], mode, body)
}

fn ranged(
    var: Name,
    [lower, upper]: [Index; 2],
    mode: LoopMode,
    body: Vec<KernelNode>,
) -> KernelNode {
    KernelNode::Loop(KernelLoop { label: var.clone(), var, lower, upper, step: 1, mode, body })
}

fn offset(start: &Index, by: Index) -> Index {
    Index::Add(Box::new(start.clone()), Box::new(by))
}

impl Shadow<'_> {
    fn nodes(&mut self, nodes: &[KernelNode]) -> Vec<KernelNode> {
        nodes.iter().flat_map(|n| self.node(n)).collect()
    }

    fn node(&mut self, node: &KernelNode) -> Vec<KernelNode> {
        match node {
            KernelNode::Loop(l) => {
                if let LoopMode::Mapped(Place::Block(_)) = l.mode {
                    self.grid = Some(KernelLoop { body: Vec::new(), ..l.clone() });
                }
                let body = self.nodes(&l.body);
                vec![KernelNode::Loop(KernelLoop { body, ..l.clone() })]
            }
            KernelNode::If(c, a, b) => {
                vec![KernelNode::If(c.clone(), self.nodes(a), self.nodes(b))]
            }
            KernelNode::Local(l) => {
                let body = self.nodes(&l.body);
                vec![KernelNode::Local(Local { body, ..l.clone() })]
            }
            KernelNode::Store(_) => self.alone(vec![node.clone()]),
            KernelNode::Device(d) => self.device(d),
        }
    }

    fn device(&mut self, node: &Device) -> Vec<KernelNode> {
        match node {
            Device::Block(b) => self.block(b),
            Device::Teams(t) => self.teams(t),
            Device::One(body) => self.nodes(body),
            Device::Fragment(f) => {
                let by_warp = layout(&f.layout).is_some_and(|l| l.n_threads() == WARP);
                let (name, shape) = (f.name.clone(), f.shape.to_vec());
                self.private.push(Private { name, dtype: f.dtype, shape, by_warp });
                let body = self.nodes(&f.body);
                self.private.pop();
                body
            }
            Device::Across(a) => self.across(a),
            Device::Share(s) => self.share(s),
            Device::Taking(t) => self.taking(t),
            Device::Choosing(c) => self.choosing(c),
            Device::Call(call) => self.call(call),
        }
    }

    fn block(&mut self, b: &Block) -> Vec<KernelNode> {
        let shared = b.shared.iter().map(|s| (&s.name, s.dtype, s.shape.clone()));
        let tensors = b.tensors.iter().map(|t| (&t.name, t.dtype, t.shape.clone()));
        let barriers = b.barriers.iter().map(|b| (&b.name, DType::I64, vec![b.slots]));
        let name = Name::from(CLUSTER);
        let blocks = b.cluster.iter().map(|l| l.count).collect::<Vec<_>>();
        let blocks = (!blocks.is_empty()).then_some((&name, DType::I64, blocks));
        self.private = (shared.chain(tensors).chain(barriers).chain(blocks))
            .map(|(name, dtype, shape)| Private {
                name: name.clone(),
                dtype,
                shape,
                by_warp: false,
            })
            .collect();
        let mut out = Vec::new();
        for role in &b.roles {
            self.team = role.warps;
            out.extend(self.nodes(&role.body));
        }
        self.private.clear();
        for l in b.cluster.iter().rev() {
            out = vec![parallel(l.var.clone(), l.count, LoopMode::Parallel, out)];
        }
        out
    }

    fn teams(&mut self, t: &Teams) -> Vec<KernelNode> {
        let around = std::mem::replace(&mut self.team, t.warps);
        let body = self.nodes(&t.body);
        self.team = around;
        vec![parallel(t.var.clone(), t.count, LoopMode::Parallel, body)]
    }

    fn across(&mut self, a: &Across) -> Vec<KernelNode> {
        let Some(of) = self.private.iter().find(|p| p.name == a.fragment).cloned() else {
            return Vec::new();
        };
        let mut out = self.nodes(&a.body);
        for (side, (var, extent)) in a.vars.iter().zip(&of.shape).enumerate().rev() {
            let (lower, upper) = match a.part.get(side) {
                None => (Index::Const(0), Index::Const(*extent)),
                Some(s) => (s.start.clone(), offset(&s.start, Index::Const(s.extent.unwrap_or(1)))),
            };
            // a row's elements are combined before its target is updated, once
            let mode = if a.reduce && side == 1 { LoopMode::Serial } else { LoopMode::Parallel };
            out = vec![ranged(var.clone(), [lower, upper], mode, out)];
        }
        if of.by_warp && self.team > 1 {
            // every warp of the team does the same
            let var = self.fresh();
            out = vec![parallel(var, self.team, LoopMode::Parallel, out)];
        }
        out
    }

    /// Every iteration of the grid's loop is run by one block, whichever it is: as if by its own,
    /// after any number of others.
    fn taking(&mut self, t: &Taking) -> Vec<KernelNode> {
        let [iteration, count] = &t.vars;
        let mut out = self.nodes(&t.body);
        out.extend(self.nodes(&t.last));
        let Some(grid) = &self.grid else { return out };
        let all = Index::Sub(Box::new(grid.upper.clone()), Box::new(grid.lower.clone()));
        let own = Index::Var(t.of.clone());
        let next = offset(&own, Index::Const(1));
        out = vec![ranged(count.clone(), [Index::Const(0), all], LoopMode::Serial, out)];
        vec![ranged(iteration.clone(), [own, next], LoopMode::Serial, out)]
    }

    /// Any iteration may be chosen, after any number of others; each is looked at.
    fn choosing(&mut self, c: &Choosing) -> Vec<KernelNode> {
        let mut out = self.nodes(&c.body);
        out.extend(self.nodes(&c.last));
        let all = Index::Sub(Box::new(c.upper.clone()), Box::new(c.lower.clone()));
        let counts = [Index::Const(0), all];
        let mut body = self.read(&c.vars[0], c.when.clone());
        body.push(ranged(c.vars[1].clone(), counts, LoopMode::Serial, out));
        vec![KernelNode::Loop(c.all(body))]
    }

    /// The threads of the team run iterations of their own at the same time: what they write to
    /// shared buffers is apart too.
    fn share(&self, s: &Share) -> Vec<KernelNode> {
        let mut out = s.body.clone();
        for (var, extent) in s.vars.iter().zip(&s.extents).rev() {
            out = vec![parallel(var.clone(), *extent, LoopMode::Parallel, out)];
        }
        self.alone(out)
    }

    /// A name that no text has.
    fn fresh(&mut self) -> Name {
        self.names += 1;
        format!("shadow {}", self.names).into()
    }

    /// Nodes with private arrays of their own.
    fn alone(&self, nodes: Vec<KernelNode>) -> Vec<KernelNode> {
        self.private.iter().rev().fold(nodes, |body, p| {
            let (name, dtype, shape) = (p.name.clone(), p.dtype, p.shape.clone());
            let across = Vec::new();
            vec![KernelNode::Local(Local { name, dtype, shape, across, body })]
        })
    }

    fn call(&mut self, call: &Call) -> Vec<KernelNode> {
        let stored = find(&call.instruction).is_some_and(|i| i.action == Action::BoxStore);
        let mut out = Vec::new();
        for (number, operand) in call.operands.iter().enumerate() {
            let Operand::Tile(tile) = operand else { continue };
            match self.buffers.iter().find(|b| b.name == tile.array) {
                Some(buffer) => {
                    let write = stored && number == 0;
                    out.extend(self.every_element(call, tile, buffer, write));
                }
                None => {
                    for last in [false, true] {
                        let read = self.corner(tile, last);
                        out.extend(read.into_iter().flat_map(|v| self.read(&call.to_string(), v)));
                    }
                }
            }
        }
        out
    }

    /// The first or last element of a tile of a private array.
    fn corner(&self, tile: &Tile, last: bool) -> Option<Typed<Index>> {
        let dtype = self.private.iter().find(|p| p.name == tile.array)?.dtype;
        let indices = tile.at.iter().map(|s| match s.extent {
            Some(extent) if last => offset(&s.start, Index::Const((extent - 1) * s.step)),
            Some(_) | None => s.start.clone(),
        });
        let kind = TypedKind::Read { array: tile.array.clone(), indices: indices.collect() };
        Some(Typed { dtype, kind })
    }

    /// Reads a value and forgets it.
    fn read(&mut self, by: &str, value: Typed<Index>) -> Vec<KernelNode> {
        let (name, dtype) = (self.fresh(), value.dtype);
        let store = store(by, &name, vec![Index::Const(0)], dtype, value);
        let body = self.alone(vec![KernelNode::Store(store)]);
        let (shape, across) = (vec![1], Vec::new());
        vec![KernelNode::Local(Local { name, dtype, shape, across, body })]
    }

    /// Every element of a tile of one of the kernel's buffers that is inside the buffer.
    fn every_element(
        &mut self,
        call: &Call,
        tile: &Tile,
        buffer: &Buffer,
        write: bool,
    ) -> Vec<KernelNode> {
        let (mut indices, mut loops, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        for (slice, extent) in tile.at.iter().zip(&buffer.shape) {
            let index = match slice.extent {
                None => slice.start.clone(),
                Some(n) => {
                    let var = self.fresh();
                    loops.push((var.clone(), n));
                    offset(&slice.start, Index::Mul(slice.step, Box::new(Index::Var(var))))
                }
            };
            let most = Index::Sub(Box::new(extent.clone()), Box::new(Index::Const(1)));
            inside.push(Condition::Ge(index.clone(), Index::Const(0)));
            inside.push(Condition::Ge(most, index.clone()));
            indices.push(index);
        }
        let dtype = buffer.dtype;
        let body = if write {
            let zero = if dtype.is_float() { Literal::Float(0.0) } else { Literal::Int(0) };
            let value = Typed { dtype, kind: TypedKind::Literal(zero) };
            vec![KernelNode::Store(store(&call.to_string(), &tile.array, indices, dtype, value))]
        } else {
            let kind = TypedKind::Read { array: tile.array.clone(), indices };
            self.read(&call.to_string(), Typed { dtype, kind })
        };
        let guarded = vec![KernelNode::If(Condition::All(inside), body, Vec::new())];
        loops
            .into_iter()
            .rev()
            .fold(guarded, |body, (var, n)| vec![parallel(var, n, LoopMode::Serial, body)])
    }
}

fn store(
    by: &str,
    array: &Name,
    indices: Vec<Index>,
    dtype: DType,
    value: Typed<Index>,
) -> Store<Index> {
    Store {
        statement: by.into(),
        array: array.clone(),
        dtype,
        indices,
        op: AssignOp::Set,
        value,
        guard: None,
        order: Order::Serial,
        strict: false,
    }
}
