//! A role's body as a list of steps with jumps, so that a warp can stop anywhere and go on later.

use super::fault;
use crate::affine::Name;
use crate::diag::Result;
use crate::kernel::device::{Across, Call, Choosing, Device, Fragment, Share, Taking, Teams};
use crate::kernel::{Condition, KernelLoop, KernelNode};

/// One step of a warp; numbers are positions in the list.
#[derive(Clone, Copy)]
pub(super) enum Step<'k> {
    /// Sets the variable to its first value.
    Start(&'k KernelLoop),
    /// Leaves the loop at its end.
    Test(&'k KernelLoop, usize),
    /// Adds the step and goes back to the test.
    Next(&'k KernelLoop, usize),
    /// Goes on where it holds, else jumps.
    Branch(&'k Condition, usize),
    Jump(usize),
    /// The warp becomes one of a smaller team.
    Team(&'k Teams),
    EndTeam(&'k Name),
    /// One thread goes on, the others jump.
    Elect(usize),
    EndElect,
    Fragment(&'k Fragment),
    EndFragment(&'k Name),
    Across(&'k Across),
    Share(&'k Share),
    /// The block's own iteration begins.
    Take(&'k Taking),
    /// Goes back where another iteration is taken.
    Again(&'k Taking, usize),
    EndTaking(&'k Taking),
    /// Iterations that data choose begin.
    Choose(&'k Choosing),
    /// Goes on at the next one that is chosen; behind the last one jumps to what then runs, or,
    /// where none was, to the end.
    Chosen(&'k Choosing, [usize; 2]),
    /// The body has run: back to the choice.
    NextChosen(&'k Choosing, usize),
    EndChoosing(&'k Choosing),
    Call(&'k Call),
}

/// The steps of a body.
pub(super) fn steps<'k>(body: &'k [KernelNode], out: &mut Vec<Step<'k>>) -> Result<()> {
    for node in body {
        match node {
            KernelNode::Loop(l) => {
                if l.step <= 0 {
                    return Err(fault("E0511", "the step of a loop is not positive"));
                }
                out.push(Step::Start(l));
                let test = out.len();
                out.push(Step::Test(l, 0));
                steps(&l.body, out)?;
                out.push(Step::Next(l, test));
                out[test] = Step::Test(l, out.len());
            }
            KernelNode::If(c, then, otherwise) => {
                let branch = out.len();
                out.push(Step::Branch(c, 0));
                steps(then, out)?;
                let jump = out.len();
                out.push(Step::Jump(0));
                out[branch] = Step::Branch(c, out.len());
                steps(otherwise, out)?;
                out[jump] = Step::Jump(out.len());
            }
            KernelNode::Device(d) => device(d, out)?,
            KernelNode::Store(_) | KernelNode::Local(_) => {
                let text = "a role has a store that no thread is told to run, or a local buffer";
                return Err(fault("E0521", text));
            }
        }
    }
    Ok(())
}

fn device<'k>(node: &'k Device, out: &mut Vec<Step<'k>>) -> Result<()> {
    match node {
        Device::Block(_) => return Err(fault("E0521", "a block program is inside another one")),
        Device::Teams(t) => {
            out.push(Step::Team(t));
            steps(&t.body, out)?;
            out.push(Step::EndTeam(&t.var));
        }
        Device::One(body) => {
            let elect = out.len();
            out.push(Step::Elect(0));
            steps(body, out)?;
            out.push(Step::EndElect);
            out[elect] = Step::Elect(out.len());
        }
        Device::Fragment(f) => {
            out.push(Step::Fragment(f));
            steps(&f.body, out)?;
            out.push(Step::EndFragment(&f.name));
        }
        Device::Across(a) => out.push(Step::Across(a)),
        Device::Share(s) => out.push(Step::Share(s)),
        Device::Taking(t) => {
            out.push(Step::Take(t));
            let first = out.len();
            steps(&t.body, out)?;
            out.push(Step::Again(t, first));
            steps(&t.last, out)?;
            out.push(Step::EndTaking(t));
        }
        Device::Choosing(c) => {
            out.push(Step::Choose(c));
            let choice = out.len();
            out.push(Step::Chosen(c, [0; 2]));
            steps(&c.body, out)?;
            out.push(Step::NextChosen(c, choice));
            let last = out.len();
            steps(&c.last, out)?;
            out[choice] = Step::Chosen(c, [last, out.len()]);
            out.push(Step::EndChoosing(c));
        }
        Device::Call(call) => out.push(Step::Call(call)),
    }
    Ok(())
}
