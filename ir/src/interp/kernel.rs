//! The oracle for kernels: executes them with parallel and mapped loops in a hostile order and
//! vector loops in lockstep.
//!
//! In: a kernel, its parameters, one tensor per input. Out: one tensor per output; elements never
//! written hold the poison of [`Tensor::poisoned`]. Errors: `E0511`–`E0518`.

use std::collections::{BTreeMap, BTreeSet};

use super::code::{Declared, IndexCode, Memory, Pending, StoreCode, extent};
use super::device;
use super::domain::Exact;
use crate::affine::Name;
use crate::diag::{Diagnostic, Result};
use crate::kernel::device::{Block, Device};
use crate::kernel::{Condition, Index, Kernel, KernelNode, LoopMode};
use crate::tensor::{Tensor, random_word};
use crate::value::Scalar;

/// In which order the iterations of parallel loops run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParallelOrder {
    /// From first to last.
    Forward,
    /// From last to first.
    #[default]
    Reverse,
    /// Shuffled, by a seed.
    Shuffled(u64),
}

fn error(code: &'static str, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::input(code, message))
}

/// An [`Index`] with slots for names.
enum Code {
    Const(i64),
    Var(usize),
    Add(Box<Code>, Box<Code>),
    Sub(Box<Code>, Box<Code>),
    Mul(i64, Box<Code>),
    FloorDiv(Box<Code>, i64),
    Mod(Box<Code>, i64),
    Min(Box<Code>, Box<Code>),
    Max(Box<Code>, Box<Code>),
    Select(Box<Test>, Box<Code>, Box<Code>),
}

/// A [`Condition`] with slots for names.
enum Test {
    Ge(Code, Code),
    Eq(Code, Code),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl IndexCode for Code {
    fn eval(&self, env: &[i64]) -> Option<i64> {
        match self {
            Self::Const(v) => Some(*v),
            Self::Var(slot) => Some(env[*slot]),
            Self::Add(a, b) => a.eval(env)?.checked_add(b.eval(env)?),
            Self::Sub(a, b) => a.eval(env)?.checked_sub(b.eval(env)?),
            Self::Mul(k, a) => a.eval(env)?.checked_mul(*k),
            Self::FloorDiv(a, d) => a.eval(env)?.checked_div_euclid(*d),
            Self::Mod(a, d) => a.eval(env)?.checked_rem_euclid(*d),
            Self::Min(a, b) => Some(a.eval(env)?.min(b.eval(env)?)),
            Self::Max(a, b) => Some(a.eval(env)?.max(b.eval(env)?)),
            Self::Select(c, a, b) => if c.holds(env)? { a } else { b }.eval(env),
        }
    }
}

impl Test {
    fn holds(&self, env: &[i64]) -> Option<bool> {
        match self {
            Self::Ge(a, b) => Some(a.eval(env)? >= b.eval(env)?),
            Self::Eq(a, b) => Some(a.eval(env)? == b.eval(env)?),
            Self::All(all) => all.iter().try_fold(true, |holds, t| Some(holds && t.holds(env)?)),
            Self::Any(any) => any.iter().try_fold(false, |holds, t| Some(holds || t.holds(env)?)),
        }
    }
}

/// Names in scope, each with the slot of its position.
struct Names {
    /// `None` where the slot belongs to a local buffer.
    names: Vec<Option<Name>>,
    params: usize,
    depth: usize,
}

impl Names {
    fn index(&self, i: &Index) -> Result<Code> {
        let go = |i: &Index| self.index(i).map(Box::new);
        Ok(match i {
            Index::Const(v) => Code::Const(*v),
            Index::Var(name) => Code::Var(
                self.names
                    .iter()
                    .rposition(|n| n.as_ref() == Some(name))
                    .ok_or_else(|| error("E0511", format!("`{name}` has no value")))?,
            ),
            Index::Add(a, b) => Code::Add(go(a)?, go(b)?),
            Index::Sub(a, b) => Code::Sub(go(a)?, go(b)?),
            Index::Mul(k, a) => Code::Mul(*k, go(a)?),
            Index::FloorDiv(_, d) | Index::Mod(_, d) if *d <= 0 => {
                return Err(error("E0511", "a division by a number that is not positive".into()));
            }
            Index::FloorDiv(a, d) => Code::FloorDiv(go(a)?, *d),
            Index::Mod(a, d) => Code::Mod(go(a)?, *d),
            Index::Min(a, b) => Code::Min(go(a)?, go(b)?),
            Index::Max(a, b) => Code::Max(go(a)?, go(b)?),
            Index::Select(c, a, b) => Code::Select(Box::new(self.test(c)?), go(a)?, go(b)?),
        })
    }

    fn test(&self, c: &Condition) -> Result<Test> {
        let all = |c: &[Condition]| c.iter().map(|c| self.test(c)).collect::<Result<_>>();
        Ok(match c {
            Condition::Ge(a, b) => Test::Ge(self.index(a)?, self.index(b)?),
            Condition::Eq(a, b) => Test::Eq(self.index(a)?, self.index(b)?),
            Condition::All(c) => Test::All(all(c)?),
            Condition::Any(c) => Test::Any(all(c)?),
        })
    }

    fn steps(&mut self, nodes: &[KernelNode], memory: &mut Memory<Scalar>) -> Result<Vec<Step>> {
        nodes.iter().map(|node| self.step(node, memory)).collect()
    }

    fn step(&mut self, node: &KernelNode, memory: &mut Memory<Scalar>) -> Result<Step> {
        Ok(match node {
            KernelNode::Loop(l) => {
                if l.step <= 0 {
                    return Err(error("E0511", format!("the step of `{}` is not positive", l.var)));
                }
                let (lower, upper) = (self.index(&l.lower)?, self.index(&l.upper)?);
                let slot = self.names.len();
                self.names.push(Some(l.var.clone()));
                self.depth = self.depth.max(slot + 1);
                let body = self.steps(&l.body, memory)?;
                self.names.pop();
                Step::Loop(Loop { slot, lower, upper, step: l.step, mode: l.mode, body })
            }
            KernelNode::If(c, then, otherwise) => {
                Step::If(self.test(c)?, self.steps(then, memory)?, self.steps(otherwise, memory)?)
            }
            KernelNode::Store(s) => {
                let named = self.names.iter().cloned().zip(0..).skip(self.params);
                let scope = named.filter_map(|(n, slot)| Some((n?, slot))).collect();
                let mut index = |i: &Index| self.index(i);
                Step::Store(Box::new(StoreCode::new::<_, Exact>(s, memory, scope, &mut index)?))
            }
            KernelNode::Local(l) => {
                let shape = l.shape.iter().map(|&e| extent(&l.name, Some(e).filter(|e| *e > 0)));
                let shape = shape.collect::<Result<_>>()?;
                let slot = self.names.len();
                let array = memory.declare(&l.name, l.dtype, shape, slot)?;
                self.names.push(None);
                self.depth = self.depth.max(slot + 1);
                let body = self.steps(&l.body, memory)?;
                self.names.pop();
                memory.buffers[array].hidden = true;
                Step::Local { array, slot, body }
            }
            KernelNode::Device(d) => match &**d {
                Device::Block(block) => {
                    let named = self.names.iter().cloned().zip(0..);
                    let scope = named.filter_map(|(n, slot)| Some((n?, slot))).collect();
                    Step::Block(Box::new(block.clone()), scope)
                }
                Device::Teams(_)
                | Device::One(_)
                | Device::Fragment(_)
                | Device::Across(_)
                | Device::Share(_)
                | Device::Taking(_)
                | Device::Choosing(_)
                | Device::Call(_) => {
                    let text = "a node of a block program is outside a block";
                    return Err(error("E0521", text.to_owned()));
                }
            },
        })
    }
}

struct Loop {
    slot: usize,
    lower: Code,
    upper: Code,
    step: i64,
    mode: LoopMode,
    body: Vec<Step>,
}

/// The most iterations a parallel or vector loop may have here: their values are listed.
const MAX_LISTED: usize = 1 << 26;

impl Loop {
    /// The values of the variable, in order.
    fn values(&self, env: &[i64]) -> Result<impl Iterator<Item = i64> + use<>> {
        let (Some(lower), Some(upper)) = (self.lower.eval(env), self.upper.eval(env)) else {
            return Err(overflow());
        };
        let step = self.step;
        let inside = move |i: &i64| *i < upper;
        Ok(std::iter::successors(Some(lower).filter(inside), move |i| {
            i.checked_add(step).filter(inside)
        }))
    }

    /// The values of the variable as a list.
    fn listed(&self, env: &[i64]) -> Result<Vec<i64>> {
        let out: Vec<i64> = self.values(env)?.take(MAX_LISTED + 1).collect();
        if out.len() > MAX_LISTED {
            let message = "a parallel or vector loop is too long to interpret".to_owned();
            return Err(error("E0511", message));
        }
        Ok(out)
    }
}

enum Step {
    Loop(Loop),
    If(Test, Vec<Step>, Vec<Step>),
    Store(Box<StoreCode<Code, Scalar>>),
    /// A local buffer; the slot holds where its elements start.
    Local {
        array: usize,
        slot: usize,
        body: Vec<Step>,
    },
    /// The program of a block, and the variables around it.
    Block(Box<Block>, Vec<(Name, usize)>),
}

fn overflow() -> Box<Diagnostic> {
    error("E0517", "an index does not fit 64 bits".to_owned())
}

/// The state of a run.
struct Machine {
    memory: Memory<Scalar>,
    order: ParallelOrder,
    /// How many parallel loops have been shuffled.
    shuffles: u64,
    /// Iterations of the innermost parallel loop around that have not begun, the next one last.
    waiting: Vec<i64>,
}

impl Machine {
    fn arrange(&mut self, values: &mut [i64]) {
        match self.order {
            ParallelOrder::Forward => {}
            ParallelOrder::Reverse => values.reverse(),
            ParallelOrder::Shuffled(seed) => {
                self.shuffles += 1;
                for i in (1..values.len()).rev() {
                    let word = random_word(seed.wrapping_add(self.shuffles), i as u64);
                    values.swap(i, (word % (i as u64 + 1)) as usize);
                }
            }
        }
    }

    /// Runs steps in one lane.
    fn run(&mut self, steps: &[Step], env: &mut Vec<i64>) -> Result<()> {
        for step in steps {
            match step {
                Step::Store(store) => {
                    if let Some(pending) = store.evaluate::<Exact>(env, &self.memory)? {
                        self.memory.commit(&pending);
                    }
                }
                Step::If(test, then, otherwise) => {
                    let holds = test.holds(env).ok_or_else(overflow)?;
                    self.run(if holds { then } else { otherwise }, env)?;
                }
                Step::Loop(l) => self.run_loop(l, env)?,
                Step::Local { array, slot, body } => {
                    self.memory.refresh::<Exact>(*array, 1)?;
                    env[*slot] = 0;
                    self.run(body, env)?;
                }
                Step::Block(block, scope) => {
                    let values = scope.iter().map(|(n, slot)| (n.clone(), env[*slot])).collect();
                    device::run(block, &values, &mut self.waiting, &mut self.memory)?;
                }
            }
        }
        Ok(())
    }

    fn run_loop(&mut self, l: &Loop, env: &mut Vec<i64>) -> Result<()> {
        match l.mode {
            LoopMode::Vector => {
                let lane = |i| {
                    let mut lane = env.clone();
                    lane[l.slot] = i;
                    lane
                };
                let lanes: Vec<_> = l.listed(env)?.into_iter().map(lane).collect();
                self.lockstep(&l.body, &lanes)?;
            }
            LoopMode::Parallel | LoopMode::Mapped(_) => {
                let mut values = l.listed(env)?;
                self.arrange(&mut values);
                values.reverse();
                let around = std::mem::replace(&mut self.waiting, values);
                while let Some(i) = self.waiting.pop() {
                    env[l.slot] = i;
                    self.run(&l.body, env)?;
                }
                self.waiting = around;
            }
            LoopMode::Serial | LoopMode::Unroll => {
                for i in l.values(env)? {
                    env[l.slot] = i;
                    self.run(&l.body, env)?;
                }
            }
        }
        Ok(())
    }

    /// Runs steps in several lanes at once: all lanes evaluate a store before any writes, except
    /// where they update the same element.
    fn lockstep(&mut self, steps: &[Step], lanes: &[Vec<i64>]) -> Result<()> {
        for step in steps {
            match step {
                Step::Store(store) => {
                    let mut pending = Vec::with_capacity(lanes.len());
                    for lane in lanes {
                        pending.extend(store.evaluate::<Exact>(lane, &self.memory)?);
                    }
                    let places: BTreeSet<_> = pending.iter().map(Pending::place).collect();
                    if store.is_update() && places.len() < pending.len() {
                        // lanes that update one element are a reduction: one after another
                        for lane in lanes {
                            if let Some(p) = store.evaluate::<Exact>(lane, &self.memory)? {
                                self.memory.commit(&p);
                            }
                        }
                    } else {
                        for p in &pending {
                            self.memory.commit(p);
                        }
                    }
                }
                Step::If(test, then, otherwise) => {
                    let (mut yes, mut no) = (Vec::new(), Vec::new());
                    for lane in lanes {
                        let holds = test.holds(lane).ok_or_else(overflow)?;
                        if holds { &mut yes } else { &mut no }.push(lane.clone());
                    }
                    self.lockstep(then, &yes)?;
                    self.lockstep(otherwise, &no)?;
                }
                Step::Local { array, slot, body } => {
                    let len = self.memory.refresh::<Exact>(*array, lanes.len())? as i64;
                    let mut own = lanes.to_vec();
                    for (lane, number) in own.iter_mut().zip(0..) {
                        lane[*slot] = len * number;
                    }
                    self.lockstep(body, &own)?;
                }
                Step::Block(..) => {
                    let text = "a block program is inside a vector loop";
                    return Err(error("E0521", text.to_owned()));
                }
                Step::Loop(l) => {
                    let values: Vec<_> =
                        lanes.iter().map(|lane| l.listed(lane)).collect::<Result<_>>()?;
                    for turn in 0..values.iter().map(Vec::len).max().unwrap_or(0) {
                        let mut active = Vec::new();
                        for (lane, values) in lanes.iter().zip(&values) {
                            if let Some(&i) = values.get(turn) {
                                let mut lane = lane.clone();
                                lane[l.slot] = i;
                                active.push(lane);
                            }
                        }
                        self.lockstep(&l.body, &active)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Executes a kernel with parallel loops from last to first.
///
/// # Errors
/// Parameters or inputs that do not fit, an access out of bounds, an undefined element that is
/// read, an ill-typed expression.
pub fn run(
    kernel: &Kernel,
    params: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
) -> Result<BTreeMap<Name, Tensor>> {
    run_with(kernel, params, inputs, ParallelOrder::default())
}

/// Executes a kernel with parallel loops in this order.
///
/// # Errors
/// As [`run`].
pub fn run_with(
    kernel: &Kernel,
    params: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
    order: ParallelOrder,
) -> Result<BTreeMap<Name, Tensor>> {
    let mut names = Names {
        names: kernel.params.iter().cloned().map(Some).collect(),
        params: kernel.params.len(),
        depth: kernel.params.len(),
    };
    let mut env = Vec::new();
    for p in &kernel.params {
        let value = params.get(p).copied();
        env.push(value.ok_or_else(|| error("E0511", format!("the parameter `{p}` has no value")))?);
    }
    let mut declared = Vec::new();
    for b in &kernel.buffers {
        let shape = |extents: &[Index]| -> Result<Vec<usize>> {
            extents.iter().map(|e| extent(&b.name, names.index(e)?.eval(&env))).collect()
        };
        let (shape, of) = (shape(&b.shape)?, shape(&b.of_caller())?);
        if !b.folds() {
            let text = format!("`{}`: {shape:?} does not fold {of:?}", b.name);
            return Err(error("E0514", text));
        }
        declared.push(Declared { name: &b.name, role: &b.role, dtype: b.dtype, shape, of });
    }
    let mut memory = Memory::new::<Exact>(&declared, inputs)?;
    let steps = names.steps(&kernel.body, &mut memory)?;
    env.resize(names.depth, 0);
    let mut machine = Machine { memory, order, shuffles: 0, waiting: Vec::new() };
    machine.run(&steps, &mut env)?;
    machine.memory.outputs::<Exact>()
}
