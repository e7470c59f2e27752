//! Elements that a thread of a GPU copies to a block's buffer under guards: all are loaded before
//! any is stored.
//!
//! In: an unrolled loop of guarded stores, each of which moves one element of an array. Out:
//! addresses without guards, then a load under each element's guard, then a store under each.
//! Keeps: which elements are read and written, and the order of the stores.
//! Why here: the assembler makes predicates of such guards only where little stands behind them,
//! and moves no load over a guarded store, so that a partial tile would wait for memory once for
//! each element.

use std::collections::BTreeSet;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, LoopMode, Store, TypedKind};
use warploom_ir::nest::{AssignOp, Role};

use super::build::Value;
use super::emit::{Emitter, Expansion, Machine};
use super::lin::{Cond, Env, Lin};

/// How many are on their way at once: all are in registers.
const TOGETHER: usize = 20;

/// What an unrolled loop moves.
#[derive(Default)]
struct Moves<'k> {
    read: BTreeSet<&'k Name>,
    written: BTreeSet<&'k Name>,
    guarded: bool,
}

/// A store of the loop in one of its iterations.
struct Move<'k> {
    store: &'k Store<Index>,
    /// The variables' values there.
    env: Env,
    /// Under what it is done, where not always.
    guard: Option<Value>,
}

/// The only element that a store reads, where it sets its target to that or its conversion.
fn moved(s: &Store<Index>) -> Option<(&Name, &[Index])> {
    let mut value = &s.value;
    while let TypedKind::Convert { value: inner, .. } = &value.kind {
        value = inner;
    }
    match &value.kind {
        TypedKind::Read { array, indices } if s.op == AssignOp::Set && s.guard.is_none() => {
            Some((array, indices))
        }
        TypedKind::Read { .. }
        | TypedKind::Literal(_)
        | TypedKind::Index(_)
        | TypedKind::Unary(..)
        | TypedKind::Binary(..)
        | TypedKind::Fma(..)
        | TypedKind::Select(..)
        | TypedKind::Convert { .. }
        | TypedKind::Bitcast(_) => None,
    }
}

impl<'k> Moves<'k> {
    /// Adds a body; false where it holds anything but moves, guards and unrolled loops.
    fn add(&mut self, nodes: &'k [KernelNode]) -> bool {
        nodes.iter().all(|node| match node {
            KernelNode::Loop(l) => l.mode == LoopMode::Unroll && self.add(&l.body),
            KernelNode::If(_, then, otherwise) => {
                self.guarded = true;
                otherwise.is_empty() && self.add(then)
            }
            KernelNode::Store(s) => moved(s).is_some_and(|(array, _)| {
                self.read.insert(array);
                self.written.insert(&s.array);
                true
            }),
            KernelNode::Local(_) | KernelNode::Device(_) => false,
        })
    }
}

impl Emitter<'_> {
    /// Writes the copies of an unrolled loop that moves elements under guards; false where it does
    /// anything else.
    pub(super) fn moves_together(&mut self, l: &KernelLoop, copies: &[(Lin, u32)]) -> bool {
        let plain = self.machine == Machine::Gpu && self.program.is_none() && self.width == 1;
        let mut moves = Moves::default();
        if !plain
            || !moves.add(&l.body)
            || !moves.guarded
            || !moves.read.is_disjoint(&moves.written)
            || !moves.read.iter().all(|array| self.plainly_read(array))
            || moves.written.iter().any(|array| self.in_kernel(array))
        {
            return false;
        }
        let before = self.env.clone();
        let mut all = Vec::new();
        let whole = copies.iter().all(|(at, _)| {
            self.env.insert(l.var.clone(), at.clone());
            self.unrolled_moves(&l.body, None, &mut all)
        });
        self.env = before;
        if whole {
            let parts = all.len().div_ceil(TOGETHER).max(1);
            for some in all.chunks(all.len().div_ceil(parts).max(1)) {
                self.moved_together(some);
            }
        }
        whole
    }

    /// Whether an array is in the GPU's memory, element by element.
    fn plainly_read(&self, array: &Name) -> bool {
        let regs = &self.buffers[array];
        let buffer = self.kernel.buffers.iter().find(|b| b.name == *array);
        let plain = buffer.is_some_and(|b| b.of.is_none() && !matches!(b.role, Role::Const(_)));
        plain && !regs.packed && !regs.stack && self.tiles.is_empty()
    }

    /// Whether an array is one of the kernel's own, not a block's buffer.
    fn in_kernel(&self, array: &Name) -> bool {
        self.kernel.buffers.iter().any(|b| b.name == *array)
    }

    /// The moves of a body, with their guards' values; false where a loop is not unrolled.
    fn unrolled_moves<'k>(
        &mut self,
        nodes: &'k [KernelNode],
        guard: Option<&Value>,
        out: &mut Vec<Move<'k>>,
    ) -> bool {
        nodes.iter().all(|node| match node {
            KernelNode::Loop(l) => {
                let Expansion::Copies(copies) = self.expand(l, &self.env, 1) else { return false };
                let whole = copies.into_iter().all(|(at, _)| {
                    self.env.insert(l.var.clone(), at);
                    self.unrolled_moves(&l.body, guard, out)
                });
                self.env.remove(&l.var);
                whole
            }
            KernelNode::If(c, then, _) => {
                let c = Cond::of(c, &self.env);
                match c.as_constant() {
                    Some(true) => self.unrolled_moves(then, guard, out),
                    Some(false) => true,
                    None => {
                        let test = self.cond(&c);
                        let both = match guard {
                            Some(outer) => self.f.bin("and", outer, &test),
                            None => test,
                        };
                        self.unrolled_moves(then, Some(&both), out)
                    }
                }
            }
            KernelNode::Store(store) => {
                out.push(Move { store, env: self.env.clone(), guard: guard.cloned() });
                true
            }
            KernelNode::Local(_) | KernelNode::Device(_) => false,
        })
    }

    fn moved_together(&mut self, moves: &[Move<'_>]) {
        let before = self.env.clone();
        let loads: Vec<Option<Value>> = moves.iter().map(|m| self.loaded_under(m)).collect();
        for (m, raw) in moves.iter().zip(loads) {
            self.env.clone_from(&m.env);
            self.ahead = raw;
            let end = m.guard.as_ref().map(|guard| self.when(guard));
            self.store(m.store);
            self.ahead = None;
            if let Some(end) = end {
                self.f.br(&end);
                self.f.start(&end);
            }
        }
        self.env = before;
    }

    /// What a move reads, as in memory; any value where its guard does not hold.
    fn loaded_under(&mut self, m: &Move<'_>) -> Option<Value> {
        let (array, indices) = moved(m.store)?;
        let dims: Vec<Lin> = indices.iter().map(|i| Lin::of(i, &m.env)).collect();
        let at = self.place_of(array, &dims);
        let Some(guard) = &m.guard else { return Some(self.load_from(array, &at, 1)) };
        let from = self.f.current_block();
        let end = self.when(guard);
        let raw = self.load_from(array, &at, 1);
        let inside = self.f.current_block();
        self.f.br(&end);
        self.f.start(&end);
        let phi = format!("phi {} [ {}, %{inside} ], [ poison, %{from} ]", raw.ty(), raw.text);
        Some(self.f.def(raw.elem, 1, &phi))
    }

    /// Begins what is done under a guard; where it ends.
    fn when(&mut self, guard: &Value) -> String {
        let (yes, end) = (self.f.label("when"), self.f.label("end"));
        self.f.cond_br(guard, &yes, &end);
        self.f.start(&yes);
        end
    }
}
