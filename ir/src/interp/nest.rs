//! The oracle for nests: executes statements in textual order, or in any order asked for.
//!
//! In: a nest, sizes of its parameters, one tensor per input. Out: one tensor per output; elements
//! never written hold the poison of [`Tensor::poisoned`]. Errors: `E0511`–`E0518`.

use std::collections::BTreeMap;

use super::code::{Declared, IndexCode, Memory, StoreCode, extent};
use super::domain::{Domain, Exact, Wide, Widened};
use crate::affine::{Affine, Atom, Name};
use crate::diag::{Diagnostic, Result};
use crate::dtype::DType;
use crate::expr::Literal;
use crate::nest::{Nest, Node, Role};
use crate::tensor::Tensor;
use crate::typing::type_statement;
use crate::value::Scalar;

fn error(code: &'static str, message: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::input(code, message))
}

/// An affine expression with parameters folded and iterators as slots.
struct Linear {
    constant: i64,
    terms: Vec<(usize, i64)>,
    /// Inner expression, divisor, remainder instead of quotient, coefficient.
    divisions: Vec<(Linear, i64, bool, i64)>,
}

impl IndexCode for Linear {
    fn eval(&self, env: &[i64]) -> Option<i64> {
        let mut sum = self.constant;
        for &(slot, coefficient) in &self.terms {
            sum = sum.checked_add(env[slot].checked_mul(coefficient)?)?;
        }
        for (inner, divisor, remainder, coefficient) in &self.divisions {
            let value = inner.eval(env)?;
            let value =
                if *remainder { value.rem_euclid(*divisor) } else { value.div_euclid(*divisor) };
            sum = sum.checked_add(value.checked_mul(*coefficient)?)?;
        }
        Some(sum)
    }
}

/// What names mean while a nest is resolved.
struct Names<'a> {
    params: &'a BTreeMap<Name, i64>,
    /// Loop variables, outermost first; the slot is the depth.
    loops: Vec<Name>,
}

impl Names<'_> {
    fn linear(&self, e: &Affine) -> Result<Linear> {
        let mut out =
            Linear { constant: e.constant_part(), terms: Vec::new(), divisions: Vec::new() };
        for (atom, coefficient) in e.terms() {
            match atom {
                Atom::Var(name) => {
                    if let Some(slot) = self.loops.iter().rposition(|n| n == name) {
                        out.terms.push((slot, coefficient));
                    } else if let Some(value) = self.params.get(name) {
                        out.constant = value
                            .checked_mul(coefficient)
                            .and_then(|v| v.checked_add(out.constant))
                            .ok_or_else(|| error("E0517", format!("`{e}` exceeds 64 bits")))?;
                    } else {
                        return Err(error("E0511", format!("`{name}` in `{e}` has no value")));
                    }
                }
                Atom::FloorDiv(inner, divisor) => {
                    out.divisions.push((self.linear(inner)?, *divisor, false, coefficient));
                }
                Atom::Mod(inner, divisor) => {
                    out.divisions.push((self.linear(inner)?, *divisor, true, coefficient));
                }
            }
        }
        Ok(out)
    }

    fn linears(&self, all: &[Affine]) -> Result<Vec<Linear>> {
        all.iter().map(|e| self.linear(e)).collect()
    }
}

/// A body with slots for names.
enum Step {
    Loop {
        slot: usize,
        lower: Vec<Linear>,
        upper: Vec<Linear>,
        step: i64,
        descending: bool,
        body: Vec<Step>,
    },
    /// Constraints (expression, equality) and what runs where they hold.
    If(Vec<(Linear, bool)>, Vec<Step>),
    /// The statement of this number, in textual order.
    Statement(usize),
}

type Visit<'a> = &'a mut dyn FnMut(usize, &[i64]) -> Result<()>;

fn walk(steps: &[Step], env: &mut Vec<i64>, visit: Visit<'_>) -> Result<()> {
    let overflow = || error("E0517", "a bound does not fit 64 bits".to_owned());
    for step in steps {
        match step {
            Step::Statement(s) => visit(*s, env)?,
            Step::If(constraints, body) => {
                let mut holds = true;
                for (e, equality) in constraints {
                    let value = e.eval(env).ok_or_else(overflow)?;
                    holds &= if *equality { value == 0 } else { value >= 0 };
                }
                if holds {
                    walk(body, env, visit)?;
                }
            }
            Step::Loop { slot, lower, upper, step, descending, body } => {
                let bounds = |all: &[Linear]| -> Result<Vec<i64>> {
                    all.iter().map(|e| e.eval(env).ok_or_else(overflow)).collect()
                };
                let low = bounds(lower)?.into_iter().max().unwrap_or(i64::MAX);
                let high = bounds(upper)?.into_iter().min().unwrap_or(i64::MIN);
                let (mut at, step) = if *descending {
                    (high.checked_sub(1), step.checked_neg())
                } else {
                    (Some(low), Some(*step))
                };
                while let Some(i) = at.filter(|&i| low <= i && i < high) {
                    env[*slot] = i;
                    walk(body, env, visit)?;
                    at = step.and_then(|s| i.checked_add(s));
                }
            }
        }
    }
    Ok(())
}

/// The control of a nest: its loops, and where each statement stands.
struct Control {
    body: Vec<Step>,
    /// Per statement in textual order: its name and the loops around it.
    statements: Vec<(Name, Vec<Name>)>,
    depth: usize,
}

impl Control {
    fn new(nest: &Nest, params: &BTreeMap<Name, i64>) -> Result<Self> {
        let mut out = Self { body: Vec::new(), statements: Vec::new(), depth: 0 };
        let mut names = Names { params, loops: Vec::new() };
        out.body = out.steps(&nest.body, &mut names)?;
        Ok(out)
    }

    fn steps(&mut self, nodes: &[Node], names: &mut Names<'_>) -> Result<Vec<Step>> {
        nodes.iter().map(|node| self.step(node, names)).collect()
    }

    fn step(&mut self, node: &Node, names: &mut Names<'_>) -> Result<Step> {
        Ok(match node {
            Node::Statement(s) => {
                self.statements.push((s.name.clone(), names.loops.clone()));
                Step::Statement(self.statements.len() - 1)
            }
            Node::If(constraints, body) => {
                let constraints = constraints
                    .iter()
                    .map(|c| Ok((names.linear(&c.expr)?, c.equality)))
                    .collect::<Result<_>>()?;
                Step::If(constraints, self.steps(body, names)?)
            }
            Node::Loop(l) => {
                if l.step <= 0 {
                    return Err(error("E0511", format!("the step of `{}` is not positive", l.var)));
                }
                let (lower, upper) = (names.linears(&l.lower)?, names.linears(&l.upper)?);
                let slot = names.loops.len();
                names.loops.push(l.var.clone());
                self.depth = self.depth.max(slot + 1);
                let body = self.steps(&l.body, names)?;
                names.loops.pop();
                Step::Loop { slot, lower, upper, step: l.step, descending: l.descending, body }
            }
        })
    }
}

/// The value of every parameter, from the nest or from `sizes`.
fn parameters(nest: &Nest, sizes: &BTreeMap<Name, i64>) -> Result<BTreeMap<Name, i64>> {
    for name in sizes.keys() {
        if nest.param(name).is_none() {
            return Err(error("E0511", format!("there is no parameter `{name}`")));
        }
    }
    let mut out = BTreeMap::new();
    for p in &nest.params {
        let value = match (p.value, sizes.get(&p.name)) {
            (Some(a), Some(&b)) if a != b => {
                return Err(error("E0511", format!("`{}` is {a}, not {b}", p.name)));
            }
            (Some(v), _) | (None, Some(&v)) => v,
            (None, None) => {
                return Err(error("E0511", format!("the parameter `{}` has no value", p.name)));
            }
        };
        out.insert(p.name.clone(), value);
    }
    for c in &nest.assumptions {
        if c.holds(&|name| out.get(name).copied()) != Some(true) {
            let op = if c.equality { "=" } else { ">=" };
            let values: Vec<String> = out.iter().map(|(n, v)| format!("{n} = {v}")).collect();
            return Err(Box::new(
                Diagnostic::input("E0512", format!("the assumption `{} {op} 0` fails", c.expr))
                    .in_source(&nest.source)
                    .witness(values.join(", ")),
            ));
        }
    }
    Ok(out)
}

fn number(l: Literal) -> f64 {
    Scalar::from_literal(DType::F64, l).to_f64()
}

fn check_ranges(nest: &Nest, inputs: &BTreeMap<Name, Tensor>) -> Result<()> {
    for range in &nest.ranges {
        let Some(tensor) = inputs.get(&range.array) else { continue };
        let (lower, upper) = (number(range.lower), number(range.upper));
        for i in 0..tensor.len() {
            let v = tensor.get_flat(i).to_f64();
            let inside = lower <= v && v <= upper;
            if !inside || (range.integer && v.fract() != 0.0) {
                return Err(Box::new(
                    Diagnostic::input(
                        "E0512",
                        format!("`{}` holds a value outside its assumed range", range.array),
                    )
                    .in_source(&nest.source)
                    .label(range.span, "assumed here")
                    .witness(format!(
                        "{}{:?} is {v:?}",
                        range.array,
                        tensor.unflatten(i)
                    )),
                ));
            }
        }
    }
    Ok(())
}

/// A nest ready to execute, statement instance by statement instance.
struct Machine<D: Domain> {
    control: Control,
    code: Vec<StoreCode<Linear, D::V>>,
    memory: Memory<D::V>,
}

impl<D: Domain> Machine<D> {
    fn new(
        nest: &Nest,
        sizes: &BTreeMap<Name, i64>,
        inputs: &BTreeMap<Name, Tensor>,
    ) -> Result<Self> {
        let params = parameters(nest, sizes)?;
        let mut declared = Vec::new();
        for a in &nest.arrays {
            let lookup = |name: &str| params.get(name).copied();
            let shape = a.shape.iter().map(|e| extent(&a.name, e.eval(&lookup)));
            let shape: Vec<usize> = shape.collect::<Result<_>>()?;
            let (name, role, of) = (&a.name, &a.role, shape.clone());
            declared.push(Declared { name, role, dtype: a.dtype, shape, of });
        }
        let memory = Memory::new::<D>(&declared, inputs)?;
        check_ranges(nest, inputs)?;
        let control = Control::new(nest, &params)?;
        let mut code = Vec::new();
        for (placed, (_, loops)) in nest.statements().iter().zip(&control.statements) {
            let s = placed.statement;
            let store = type_statement(nest, s)?;
            if !written(nest, &s.target.array) {
                let message =
                    format!("`{}` is read only, and `{}` writes it", s.target.array, s.name);
                return Err(Box::new(
                    Diagnostic::input("E0519", message)
                        .in_source(&nest.source)
                        .label(s.span, "here"),
                ));
            }
            let names = Names { params: &params, loops: loops.clone() };
            let scope = loops.iter().cloned().zip(0..).collect();
            let mut one = StoreCode::new::<_, D>(&store, &memory, scope, &mut |e| names.linear(e))?;
            (one.span, one.keeps) = (s.span, s.keeps);
            one.source = nest.source.clone();
            code.push(one);
        }
        Ok(Self { control, code, memory })
    }

    fn run(&mut self) -> Result<()> {
        let Self { control, code, memory } = self;
        let mut env = vec![0; control.depth];
        walk(&control.body, &mut env, &mut |s, env| {
            if let Some(pending) = code[s].evaluate::<D>(env, memory)? {
                memory.commit(&pending);
            }
            Ok(())
        })
    }

    /// Executes one instance.
    fn execute(&mut self, env: &mut [i64], statement: &str, instance: &[i64]) -> Result<()> {
        let code = self
            .code
            .iter()
            .find(|c| &*c.name == statement)
            .ok_or_else(|| error("E0519", format!("there is no statement `{statement}`")))?;
        if code.scope.len() != instance.len() {
            let (have, want) = (instance.len(), code.scope.len());
            return Err(error("E0519", format!("`{statement}` has {want} iterators, not {have}")));
        }
        env[..instance.len()].copy_from_slice(instance);
        if let Some(pending) = code.evaluate::<D>(env, &self.memory)? {
            self.memory.commit(&pending);
        }
        Ok(())
    }
}

fn written(nest: &Nest, array: &str) -> bool {
    nest.array(array).is_some_and(|a| match a.role {
        Role::Out | Role::InOut | Role::Temp => true,
        Role::In | Role::Const(_) => false,
    })
}

/// Executes a nest in textual order, in its exact types.
///
/// # Errors
/// Sizes or inputs that do not fit, a violated assumption, an access out of bounds, an undefined
/// element that is read.
pub fn run(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
) -> Result<BTreeMap<Name, Tensor>> {
    let mut machine = Machine::<Exact>::new(nest, sizes, inputs)?;
    machine.run()?;
    machine.memory.outputs::<Exact>()
}

/// Executes these instances in this order, in the nest's exact types.
///
/// # Errors
/// As [`run`], and an unknown statement or a wrong number of iterators.
pub fn run_order(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
    order: &[(Name, Vec<i64>)],
) -> Result<BTreeMap<Name, Tensor>> {
    let mut interpreter = Interpreter::new(nest, sizes, inputs)?;
    for (statement, instance) in order {
        interpreter.execute(statement, instance)?;
    }
    interpreter.finish()
}

/// A nest with its memory, executed one statement instance at a time.
pub struct Interpreter {
    machine: Machine<Exact>,
    env: Vec<i64>,
}

impl Interpreter {
    /// Loads the inputs.
    ///
    /// # Errors
    /// As [`run`], before anything is executed.
    pub fn new(
        nest: &Nest,
        sizes: &BTreeMap<Name, i64>,
        inputs: &BTreeMap<Name, Tensor>,
    ) -> Result<Self> {
        let machine = Machine::new(nest, sizes, inputs)?;
        let env = vec![0; machine.control.depth];
        Ok(Self { machine, env })
    }

    /// Executes an instance: the values of the loops around the statement, outermost first. It is
    /// not checked that the nest's loops reach it.
    ///
    /// # Errors
    /// An unknown statement, a wrong number of iterators, a bad access.
    pub fn execute(&mut self, statement: &str, instance: &[i64]) -> Result<()> {
        self.machine.execute(&mut self.env, statement, instance)?;
        Ok(())
    }

    /// The outputs.
    ///
    /// # Errors
    /// No memory for them.
    pub fn finish(self) -> Result<BTreeMap<Name, Tensor>> {
        self.machine.memory.outputs::<Exact>()
    }
}

/// A reference result in binary64.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounded {
    /// Extents in elements.
    pub shape: Vec<usize>,
    /// The values, row-major; NaN where nothing was written.
    pub value: Vec<f64>,
    /// Per value, the most that a computation in the nest's own types may be off, whatever the
    /// order of its reductions: for a sum of n products in a type of unit roundoff u about
    /// n·u·Σ|a||b| (to first order within an expression; data-dependent branches excepted).
    pub bound: Vec<f64>,
}

/// Executes a nest with all float arithmetic in binary64 and no rounding at stores; only casts
/// that the user wrote round.
///
/// # Errors
/// As [`run`].
pub fn run_bounded(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
) -> Result<BTreeMap<Name, Bounded>> {
    let mut machine = Machine::<Widened>::new(nest, sizes, inputs)?;
    machine.run()?;
    Ok(machine.bounded())
}

/// Executes just these instances in this order, as [`run_bounded`] would; what they do not write
/// is NaN.
///
/// # Errors
/// As [`run_order`].
pub fn run_bounded_order(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    inputs: &BTreeMap<Name, Tensor>,
    order: &[(Name, Vec<i64>)],
) -> Result<BTreeMap<Name, Bounded>> {
    let mut machine = Machine::<Widened>::new(nest, sizes, inputs)?;
    let mut env = vec![0; machine.control.depth];
    for (statement, instance) in order {
        machine.execute(&mut env, statement, instance)?;
    }
    Ok(machine.bounded())
}

impl Machine<Widened> {
    fn bounded(self) -> BTreeMap<Name, Bounded> {
        let mut out = BTreeMap::new();
        for b in self.memory.buffers {
            if matches!(b.role, Role::Out | Role::InOut) {
                let pick = |f: &dyn Fn(&Wide) -> f64| -> Vec<f64> {
                    let defined = |i: usize| b.defined.as_ref().is_none_or(|d| d[i]);
                    let all = b.values.iter().enumerate();
                    all.map(|(i, v)| if defined(i) { f(v) } else { f64::NAN }).collect()
                };
                let value = pick(&|v| v.value.to_f64());
                let bound = pick(&Wide::bound);
                out.insert(b.name.clone(), Bounded { shape: b.shape.clone(), value, bound });
            }
        }
        out
    }
}

/// Every statement instance in textual order: its name and the values of the loops around it,
/// outermost first. Guards on data are not evaluated.
///
/// # Errors
/// Sizes that do not fit, or more than `limit` instances (`E0520`).
pub fn instances(
    nest: &Nest,
    sizes: &BTreeMap<Name, i64>,
    limit: usize,
) -> Result<Vec<(Name, Vec<i64>)>> {
    let control = Control::new(nest, &parameters(nest, sizes)?)?;
    let mut out = Vec::new();
    walk(&control.body, &mut vec![0; control.depth], &mut |s, env| {
        if out.len() == limit {
            return Err(error("E0520", format!("the nest has more than {limit} instances")));
        }
        let (name, loops) = &control.statements[s];
        out.push((name.clone(), env[..loops.len()].to_vec()));
        Ok(())
    })?;
    Ok(out)
}
