//! The oracle for block programs: warps as state machines over the bytes of shared memory.
//!
//! In: a block program, the values of the variables around it, the arrays. Out: the arrays
//! changed. All blocks of a cluster run together. Errors: `E0521` to `E0525`, and those of the
//! other interpreters.
//! Each warp runs until it has to wait; copies of the copy engine land when no warp can go on, in
//! an order of their own, and tensor cores read their operands when their group is waited for:
//! both at the latest moment that is legal. Whatever the order of this run, accesses that nothing
//! orders are found by vector clocks (`clock.rs`). What accumulates in tensor memory is done when a
//! commit after it arrives, which is when nothing else can go on either.
//! Keeps: operands in shared memory are read through descriptors decoded bit by bit.

mod choosing;
mod clock;
mod copies;
mod exec;
mod matrix;
mod program;
mod registers;
mod rows;
mod scales;
mod shared;
mod stores;
mod taking;
mod tensor;

use std::collections::BTreeMap;

use crate::affine::Name;
use crate::diag::{Diagnostic, Result};
use crate::instruction::{Action, find};
use crate::interp::code::Memory;
use crate::kernel::device::{Block, Call, MAX_CLUSTER, Operand, WARP};
use crate::kernel::{Condition, Index};
use crate::value::Scalar;

use clock::{Agent, Clock, Stamp};
use copies::{BoxCopy, ChunkCopy, CopyArrival};
use matrix::Group;
use program::{Step, steps};
use registers::Registers;
use shared::SharedMemory;
use taking::Waiting;
use tensor::{Pipe, TensorLoad, TensorMemory, Told};

fn fault(code: &'static str, text: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::input(code, text))
}

fn race(owner: &str, why: &str) -> Box<Diagnostic> {
    fault("E0522", &format!("two accesses to `{owner}` race: {why}"))
}

/// Neighbouring warps that run a body together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Team {
    first: usize,
    warps: usize,
}

/// A warp between two steps.
struct Warp<'k> {
    /// Among all warps of the cluster, block after block.
    number: usize,
    /// The number of its block in the cluster.
    rank: usize,
    program: usize,
    at: usize,
    env: BTreeMap<Name, i64>,
    teams: Vec<Team>,
    /// Only one thread runs.
    one: bool,
    clock: Clock,
    fragments: BTreeMap<&'k str, Registers>,
    /// Fragments may be used by matrix instructions: nothing touched registers since the fence.
    fenced: bool,
    /// Groups of matrix instructions: committed, and done as far as this warp knows.
    committed: usize,
    retired: usize,
    /// Loads of tensor memory that have not been waited for.
    tensor_loads: Vec<TensorLoad<'k>>,
    copies: Vec<Vec<ChunkCopy>>,
    open_copies: Vec<ChunkCopy>,
    stores: Vec<Vec<BoxCopy>>,
    open_stores: Vec<BoxCopy>,
    /// The arrival that it waits for at a barrier of its team.
    sync: Option<u64>,
    /// What was read of an answer in this iteration: the iteration that is taken, if one is.
    answer: Option<Option<i64>>,
    /// The last iteration that data chose.
    chosen: Option<i64>,
    done: bool,
}

impl Warp<'_> {
    fn team(&self) -> Team {
        *self.teams.last().expect("a warp has the team of its role")
    }

    /// The value of an index.
    fn index(&self, index: &Index) -> Result<i64> {
        let value = index.eval(&|name| self.env.get(name).copied());
        value.ok_or_else(|| fault("E0517", &format!("the index `{index}` has no value")))
    }

    /// A fragment ends.
    fn end_fragment(&mut self, name: &str) -> Result<()> {
        if self.fragments.remove(name).is_some_and(|r| r.in_use()) {
            let text = format!("`{name}` ends while matrix instructions work on it");
            return Err(fault("E0525", &text));
        }
        Ok(())
    }

    fn holds(&self, condition: &Condition) -> Result<bool> {
        let value = condition.holds(&|name| self.env.get(name).copied());
        value.ok_or_else(|| fault("E0517", &format!("the condition `{condition}` has no value")))
    }
}

/// One barrier.
#[derive(Clone, Default)]
struct Phase {
    /// Phases that are complete.
    number: u64,
    /// Phases up to the last one that counted bytes of a load, and up to the last one whose end a
    /// warp has waited for.
    loaded: u64,
    seen: u64,
    arrived: i64,
    /// Bytes awaited and not yet there.
    bytes: i64,
    clock: Clock,
    complete: Clock,
}

/// A barrier of a team's threads.
#[derive(Default)]
struct Meeting {
    number: u64,
    arrived: usize,
    clock: Clock,
    complete: Clock,
}

/// A cluster of blocks while it runs.
struct Machine<'k, 'm> {
    block: &'k Block,
    programs: Vec<Vec<Step<'k>>>,
    shared: SharedMemory<'k>,
    globals: &'m mut Memory<Scalar>,
    /// By block of the cluster, name and slot.
    barriers: BTreeMap<(usize, &'k str, i64), Phase>,
    meetings: BTreeMap<Team, Meeting>,
    groups: BTreeMap<Team, Vec<Group<'k>>>,
    /// Box loads on their way.
    loads: Vec<BoxCopy>,
    /// Arrivals that wait for copies by threads, in the order of each warp's.
    copied: Vec<CopyArrival>,
    tensors: TensorMemory<'k>,
    /// Matrix instructions that single threads have issued, by their warp.
    pipes: BTreeMap<usize, Pipe<'k>>,
    /// Commits on their way to other blocks.
    told: Vec<Told>,
    waiting: Waiting<'m>,
    agents: Agent,
}

/// Whether a step was done, or the warp has to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    Blocked,
}

/// Runs the program of the blocks of one cluster, or of one block without any. `left` are the
/// iterations of the loop mapped to blocks that have not begun, of which it may take some.
///
/// # Errors
/// `E0521` a precondition of an instruction, `E0522` a race, `E0523` a deadlock, `E0516` a value
/// that is not there, `E0525` work that is not done when the block ends.
pub(super) fn run(
    block: &Block,
    env: &BTreeMap<Name, i64>,
    left: &mut Vec<i64>,
    globals: &mut Memory<Scalar>,
) -> Result<()> {
    let size = block.cluster_size().filter(|n| (1..=MAX_CLUSTER).contains(n));
    let Some(size) = size.and_then(|n| usize::try_from(n).ok()) else {
        return Err(fault("E0521", &format!("a cluster has 1 to {MAX_CLUSTER} blocks")));
    };
    if !(1..=32).contains(&block.warps()) || block.roles.iter().any(|r| r.warps < 1) {
        return Err(fault("E0521", "a block has 1 to 32 warps, and each role at least one"));
    }
    let mut programs = Vec::new();
    for role in &block.roles {
        let mut list = Vec::new();
        steps(&role.body, &mut list)?;
        programs.push(list);
    }
    let mut warps = Vec::new();
    for rank in 0..size {
        let mut env = env.clone();
        let mut rest = rank as i64;
        for l in block.cluster.iter().rev() {
            env.insert(l.var.clone(), rest % l.count);
            rest /= l.count;
        }
        for (program, role) in block.roles.iter().enumerate() {
            let count = usize::try_from(role.warps).expect("1 to 32 warps");
            let team = Team { first: warps.len(), warps: count };
            for _ in 0..count {
                warps.push(start((warps.len(), rank), program, env.clone(), team));
            }
        }
    }
    let mut machine = Machine {
        block,
        programs,
        shared: SharedMemory::new(block, size)?,
        globals,
        barriers: BTreeMap::new(),
        meetings: BTreeMap::new(),
        groups: BTreeMap::new(),
        loads: Vec::new(),
        copied: Vec::new(),
        tensors: TensorMemory::new(block, size)?,
        pipes: BTreeMap::new(),
        told: Vec::new(),
        waiting: Waiting::new(left),
        agents: warps.len(),
    };
    machine.run(&mut warps)
}

fn start<'k>(
    (number, rank): (usize, usize),
    program: usize,
    env: BTreeMap<Name, i64>,
    team: Team,
) -> Warp<'k> {
    let mut clock = Clock::default();
    clock.tick(number);
    Warp {
        number,
        rank,
        program,
        at: 0,
        env,
        teams: vec![team],
        one: false,
        clock,
        fragments: BTreeMap::new(),
        fenced: false,
        committed: 0,
        retired: 0,
        tensor_loads: Vec::new(),
        copies: Vec::new(),
        open_copies: Vec::new(),
        stores: Vec::new(),
        open_stores: Vec::new(),
        sync: None,
        answer: None,
        chosen: None,
        done: false,
    }
}

impl<'k> Machine<'k, '_> {
    fn run(&mut self, warps: &mut [Warp<'k>]) -> Result<()> {
        loop {
            let mut progress = false;
            for warp in warps.iter_mut().rev() {
                while !warp.done {
                    if self.step(warp)? == Outcome::Blocked {
                        break;
                    }
                    progress = true;
                }
            }
            if warps.iter().all(|w| w.done) {
                return self.finish(warps);
            }
            if progress {
                continue;
            }
            match self.loads.pop() {
                Some(copy) => self.land(&copy)?,
                None if self.copies_arrive()? => {}
                None if self.complete()? || self.told_others(warps)? || self.answered()? => {}
                None => return Err(self.deadlock(warps)),
            }
        }
    }

    /// A new asynchronous operation of a warp: its number, what it knows, and its time.
    fn fork(&mut self, warp: &mut Warp<'_>) -> (Clock, Stamp) {
        let (mut clock, stamp) = self.fork_ordinary(warp);
        clock.fence_own(stamp);
        (clock, stamp)
    }

    /// The same of one whose writes are ordinary ones.
    fn fork_ordinary(&mut self, warp: &mut Warp<'_>) -> (Clock, Stamp) {
        self.agents += 1;
        warp.clock.fork(warp.number, self.agents - 1)
    }

    /// One step; a warp that is blocked has not moved.
    fn step(&mut self, w: &mut Warp<'k>) -> Result<Outcome> {
        let Some(&step) = self.programs[w.program].get(w.at) else {
            w.done = true;
            return Ok(Outcome::Done);
        };
        let mut next = w.at + 1;
        match step {
            Step::Start(l) => {
                let lower = w.index(&l.lower)?;
                w.env.insert(l.var.clone(), lower);
            }
            Step::Test(l, exit) => {
                if w.index(&Index::Var(l.var.clone()))? >= w.index(&l.upper)? {
                    w.env.remove(&l.var);
                    next = exit;
                }
            }
            Step::Next(l, test) => {
                let old = w.index(&Index::Var(l.var.clone()))?;
                let new = old.checked_add(l.step);
                let new = new.ok_or_else(|| fault("E0517", "a loop's variable overflows"))?;
                w.env.insert(l.var.clone(), new);
                next = test;
            }
            Step::Branch(c, otherwise) => {
                if !w.holds(c)? {
                    next = otherwise;
                }
            }
            Step::Jump(to) => next = to,
            Step::Team(t) => w.enter(&t.var, t.count, t.warps)?,
            Step::EndTeam(var) => {
                w.env.remove(var);
                w.teams.pop();
            }
            Step::Elect(exit) => {
                if w.number == w.team().first {
                    w.one = true;
                } else {
                    next = exit;
                }
            }
            Step::EndElect => w.one = false,
            Step::Fragment(f) => {
                let registers = Registers::new(f, w.team().warps)?;
                w.fragments.insert(&f.name, registers);
            }
            Step::EndFragment(name) => w.end_fragment(name)?,
            Step::Across(a) => self.across(a, w)?,
            Step::Share(s) => self.share(s, w)?,
            Step::Take(t) => w.start_taking(t)?,
            Step::Again(t, first) if w.goes_on(t, self.waiting.granted())? => next = first,
            Step::Again(..) => {}
            Step::EndTaking(t) => w.end_taking(t),
            Step::Choose(c) => w.start_choosing(c)?,
            Step::Chosen(c, exits) => next = self.choose(c, exits, w)?.unwrap_or(next),
            Step::NextChosen(c, choice) => {
                w.chosen(c)?;
                next = choice;
            }
            Step::EndChoosing(c) => w.end_choosing(c),
            Step::Call(call) => {
                let outcome = self.call(call, w).map_err(|d| at_call(d, call, w))?;
                if outcome == Outcome::Blocked {
                    return Ok(outcome);
                }
            }
        }
        w.at = next;
        Ok(Outcome::Done)
    }

    /// What must be over when a block ends.
    fn finish(&mut self, warps: &[Warp<'k>]) -> Result<()> {
        let mut left = "";
        for w in warps {
            if w.committed > w.retired {
                left = "matrix instructions are not waited for";
            }
            if !w.open_copies.is_empty() || w.copies.iter().any(|group| !group.is_empty()) {
                left = "asynchronous copies are not waited for";
            }
            if !w.open_stores.is_empty() || w.stores.iter().any(|group| !group.is_empty()) {
                left = "box stores may still read shared memory";
            }
        }
        if self.barriers.values().any(|p| p.loaded > p.seen) {
            left = "nobody has waited for a box load or an answer";
        }
        if !self.waiting.is_answered() {
            left = "an answer is on its way";
        }
        if !self.copied.is_empty() {
            left = "asynchronous copies, and arrivals that wait for them, are on their way";
        }
        if !self.loads.is_empty() || self.barriers.values().any(|p| p.bytes != 0) {
            left = "box loads, or bytes that a barrier awaits, are on their way";
        }
        if !self.told.is_empty() {
            left = "a commit is on its way to another block";
        }
        if self.pipes.values().any(|p| !p.is_empty()) {
            left = "matrix instructions of one thread are on their way";
        }
        if left.is_empty() {
            Ok(())
        } else {
            Err(fault("E0525", &format!("a block ends and {left}")))
        }
    }

    /// The slot of a block's barrier that a warp waits for.
    fn awaits(&self, w: &Warp<'k>) -> Option<(usize, Name, i64)> {
        let step = (!w.done).then(|| self.programs[w.program].get(w.at)).flatten();
        let Some(Step::Call(call)) = step else { return None };
        if find(&call.instruction)?.action != Action::Wait {
            return None;
        }
        let Some(Operand::Tile(tile)) = call.operands.first() else { return None };
        Some((w.rank, tile.array.clone(), self.slot(tile, w).ok()?))
    }

    fn deadlock(&self, warps: &[Warp<'k>]) -> Box<Diagnostic> {
        let mut list = Vec::new();
        for w in warps.iter().filter(|w| !w.done) {
            if let Some(Step::Call(call)) = self.programs[w.program].get(w.at) {
                list.push(format!("warp {} in `{call}`{}", w.number, place(w)));
            }
        }
        let d = Diagnostic::input("E0523", "every warp that has not ended waits: a deadlock");
        Box::new(d.witness(list.join("; ")))
    }
}

impl Warp<'_> {
    /// The warp becomes one of the team of its part.
    fn enter(&mut self, var: &Name, count: i64, warps: i64) -> Result<()> {
        let team = self.team();
        let size = usize::try_from(warps).unwrap_or(0);
        if size == 0 || count.checked_mul(warps) != Some(team.warps as i64) || self.one {
            let text = format!("the loop `{var}` does not divide the {} warps", team.warps);
            return Err(fault("E0521", &text));
        }
        let number = (self.number - team.first) / size;
        self.env.insert(var.clone(), number as i64);
        self.teams.push(Team { first: team.first + number * size, warps: size });
        Ok(())
    }

    /// Closes the group of asynchronous copies.
    fn commit_copies(&mut self) {
        let open = std::mem::take(&mut self.open_copies);
        self.copies.push(open);
    }

    /// The threads that execute a call.
    fn threads(&self) -> i64 {
        if self.one { 1 } else { WARP }
    }
}

/// ` at (k = 3, s = 1)`.
fn place(w: &Warp<'_>) -> String {
    let values: Vec<String> = w.env.iter().map(|(n, v)| format!("{n} = {v}")).collect();
    format!(" at ({})", values.join(", "))
}

fn at_call(mut d: Box<Diagnostic>, call: &Call, w: &Warp<'_>) -> Box<Diagnostic> {
    if d.witness.is_none() {
        d.witness = Some(format!("warp {} in `{call}`{}", w.number, place(w)));
    }
    d
}

#[cfg(test)]
mod tests;
