//! The host's part of a GPU program: loops and guards around launches, evaluated.
//!
//! In: steps, the values of the kernel's parameters. Out: each launch in order, with its grid and
//! the values of the loops around it. Keeps: a launch of no blocks is left out. Why here: plain
//! data without a driver, so that it is tested on machines without a GPU.

use warploom_ir::abi::{GpuLaunch, GpuStep};
use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::kernel::Index;
use warploom_ir::target::GpuLimits;

use super::args;
use super::driver::environment;

/// Most launches and iterations around them of one run: half a minute of a host's time.
const MOST_LAUNCHES: u64 = 1 << 22;

/// Names with their values.
pub(super) struct Values<'n> {
    names: Vec<&'n Name>,
    values: Vec<i64>,
    /// How many belong to parameters.
    params: usize,
}

impl<'n> Values<'n> {
    /// The parameters' values.
    pub(super) fn new(params: &'n [Name], values: &[i64]) -> Self {
        assert_eq!(params.len(), values.len());
        Self { names: params.iter().collect(), values: values.to_vec(), params: params.len() }
    }

    /// The values of the loops around, the outermost first.
    pub(super) fn loops(&self) -> &[i64] {
        &self.values[self.params..]
    }

    /// The value of a name; the innermost where there are several.
    pub(super) fn get(&self, name: &str) -> Option<i64> {
        self.names.iter().rposition(|n| &***n == name).map(|i| self.values[i])
    }
}

/// What is done with a launch: its number among [`warploom_ir::abi::GpuCode::launches`], the
/// launch, its grid, and the values of the loops around it.
pub(super) type Visit<'v> = dyn FnMut(usize, &GpuLaunch, [u32; 3], &[i64]) -> Result<()> + 'v;

/// Goes through the launches of these steps.
///
/// # Errors
/// `E1118` for a grid beyond the device, a bound that has no value, or too many launches; what
/// `visit` says.
pub(super) fn walk<'n>(
    steps: &'n [GpuStep],
    values: &mut Values<'n>,
    limits: &GpuLimits,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut walker = Walker { limits, visit, left: MOST_LAUNCHES };
    walker.steps(steps, 0, values).map(drop)
}

/// The longest list of loops around a launch.
pub(super) fn depth(steps: &[GpuStep]) -> usize {
    let of = |step: &GpuStep| match step {
        GpuStep::Launch(_) => 0,
        GpuStep::Loop(l) => 1 + depth(&l.body),
        GpuStep::If(_, a, b) => depth(a).max(depth(b)),
    };
    steps.iter().map(of).max().unwrap_or(0)
}

struct Walker<'w, 'v> {
    limits: &'w GpuLimits,
    visit: &'w mut Visit<'v>,
    left: u64,
}

impl Walker<'_, '_> {
    /// `number` is that of the first launch; the answer is that of the next after these steps.
    fn steps<'n>(
        &mut self,
        steps: &'n [GpuStep],
        mut number: usize,
        values: &mut Values<'n>,
    ) -> Result<usize> {
        for step in steps {
            number = match step {
                GpuStep::Launch(launch) => {
                    self.launch(number, launch, values)?;
                    number + 1
                }
                GpuStep::Loop(l) => {
                    let bound = |i: &Index| {
                        i.eval(&|name| values.get(name)).ok_or_else(|| no_value(&l.var))
                    };
                    let (lower, upper) = (bound(&l.lower)?, bound(&l.upper)?);
                    let mut next = number + launches(&l.body);
                    let mut at = Some(lower).filter(|i| *i < upper);
                    values.names.push(&l.var);
                    while let Some(i) = at {
                        values.values.push(i);
                        next = self.steps(&l.body, number, values)?;
                        values.values.pop();
                        self.spend(&l.var)?;
                        at = i.checked_add(l.step).filter(|i| *i < upper);
                    }
                    values.names.pop();
                    next
                }
                GpuStep::If(c, then, otherwise) => {
                    let holds = c.holds(&|name| values.get(name));
                    let holds = holds.ok_or_else(|| no_value("a guard"))?;
                    let middle = number + launches(then);
                    if holds {
                        self.steps(then, number, values)?;
                    } else {
                        self.steps(otherwise, middle, values)?;
                    }
                    middle + launches(otherwise)
                }
            };
        }
        Ok(number)
    }

    fn launch(&mut self, number: usize, launch: &GpuLaunch, values: &Values<'_>) -> Result<()> {
        self.spend(&launch.entry)?;
        match args::grid(launch, &|name| values.get(name), self.limits)? {
            Some(grid) => (self.visit)(number, launch, grid, values.loops()),
            None => Ok(()),
        }
    }

    /// Counts a launch or an iteration.
    fn spend(&mut self, at: &str) -> Result<()> {
        let Some(left) = self.left.checked_sub(1) else {
            let text = format!("more than {MOST_LAUNCHES} launches are needed (at `{at}`)");
            let mut d = environment("E1118", text);
            d.help = Some("use smaller sizes, or another schedule".to_owned());
            return Err(d);
        };
        self.left = left;
        Ok(())
    }
}

fn no_value(what: &str) -> Box<warploom_ir::diag::Diagnostic> {
    environment("E1118", format!("a bound or condition of `{what}` has no value for these sizes"))
}

/// How many launches stand in these steps.
fn launches(steps: &[GpuStep]) -> usize {
    let of = |step: &GpuStep| match step {
        GpuStep::Launch(_) => 1,
        GpuStep::Loop(l) => launches(&l.body),
        GpuStep::If(_, a, b) => launches(a) + launches(b),
    };
    steps.iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use warploom_ir::abi::GpuLoop;
    use warploom_ir::kernel::Condition;
    use warploom_ir::target::Target;

    use super::*;

    fn var(name: &str) -> Index {
        Index::Var(name.into())
    }

    fn launch(entry: &str, x: Index) -> GpuStep {
        let grid = [x, Index::Const(1), Index::Const(1)];
        let launch = GpuLaunch {
            entry: entry.into(),
            grid,
            cluster: 1,
            block: [32, 1, 1],
            shared_bytes: 0,
            tensor_columns: 0,
            maps: Vec::new(),
            chunked: Vec::new(),
        };
        GpuStep::Launch(launch)
    }

    /// Loops `t` of 2 around a launch and a guarded loop `s` in `t..N`.
    fn steps(upper: Index) -> Vec<GpuStep> {
        let late = Condition::Ge(var("t"), Index::Const(1));
        let inner = GpuLoop {
            var: "s".into(),
            lower: var("t"),
            upper,
            step: 2,
            body: vec![launch("b", var("s"))],
        };
        let body = vec![
            launch("a", var("N")),
            GpuStep::If(late, vec![GpuStep::Loop(inner)], vec![launch("c", Index::Const(7))]),
            launch("d", Index::Sub(Box::new(var("t")), Box::new(Index::Const(1)))),
        ];
        let (lower, upper) = (Index::Const(0), Index::Const(2));
        vec![GpuStep::Loop(GpuLoop { var: "t".into(), lower, upper, step: 1, body })]
    }

    fn walked(upper: Index, n: i64) -> Result<Vec<String>> {
        let (steps, params) = (steps(upper), ["N".into()]);
        let mut values = Values::new(&params, &[n]);
        let mut out = Vec::new();
        let limits = Target::Sm80.gpu().expect("a GPU");
        walk(&steps, &mut values, &limits, &mut |number, launch, grid, loops| {
            out.push(format!("{number}{} x{} {loops:?}", launch.entry, grid[0]));
            Ok(())
        })?;
        assert!(values.loops().is_empty());
        Ok(out)
    }

    #[test]
    fn launches_come_in_order_with_the_values_of_their_loops() {
        let want = ["0a x5 [0]", "2c x7 [0]", "0a x5 [1]", "1b x1 [1, 1]", "1b x3 [1, 3]"];
        assert_eq!(walked(var("N"), 5).unwrap(), want, "`d` never has a block");
        assert_eq!(depth(&steps(var("N"))), 2);
        assert_eq!(walked(var("N"), 1).unwrap().len(), 3, "an empty loop");
    }

    #[test]
    fn endless_and_undefined_loops_are_refused() {
        let code = |upper, n| walked(upper, n).unwrap_err().code;
        assert_eq!(code(Index::Const(i64::MAX), 1), "E1118");
        assert_eq!(code(var("Q"), 1), "E1118");
        assert_eq!(code(Index::Mul(i64::MAX, Box::new(var("N"))), 2), "E1118");
    }

    #[test]
    fn what_a_launch_answers_ends_the_walk() {
        let (steps, params) = (steps(var("N")), ["N".into()]);
        let limits = Target::Sm80.gpu().expect("a GPU");
        let mut count = 0;
        let done = walk(&steps, &mut Values::new(&params, &[9]), &limits, &mut |_, _, _, _| {
            count += 1;
            Err(environment("E1115", "lost"))
        });
        assert_eq!((done.unwrap_err().code, count), ("E1115", 1));
    }
}
