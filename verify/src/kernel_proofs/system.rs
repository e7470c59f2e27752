//! Systems of constraints over the variables of one or two runs of a kernel's loops.
//!
//! In: index expressions and conditions of a kernel. Out: isl sets whose points are runs.
//! Min, max, select and quotients become a fresh dimension with the constraints that define it;
//! what is linear is asked of [`System`] first, which sees most contradictions, and goes to isl as
//! numbers, since its parser is most of the time a proof takes.
//! Keeps: every expression added has exactly one value at every point, so a fresh dimension
//! neither adds nor removes runs.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Atom, Name, Overflow};
use warploom_ir::kernel::{Condition, Index, Kernel, KernelNode, Typed, TypedKind};
use warploom_ir::system::{Linear, Range, System};
use warploom_isl::{BasicSet, Ctx, Set, Space};

use super::Around;

/// Why a proof could not be made.
pub(super) struct Fault(pub(super) String);

impl From<warploom_isl::Error> for Fault {
    fn from(error: warploom_isl::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<Overflow> for Fault {
    fn from(error: Overflow) -> Self {
        Self(error.to_string())
    }
}

/// Values of parameters and loop variables.
pub(super) type Values = BTreeMap<Name, i64>;

/// Constraints over dimensions, and the dimension that each name of the kernel means now.
#[derive(Clone)]
pub(super) struct Env {
    dims: usize,
    names: BTreeMap<Name, usize>,
    /// Expressions that are 0 (`true`) or at least 0; linear in the dimensions.
    linear: Vec<(Affine, bool)>,
    /// Other constraints, in isl's notation.
    formulas: Vec<String>,
}

fn dim(number: usize) -> String {
    format!("x{number}")
}

fn text(e: &Affine) -> String {
    e.to_isl(&str::to_owned)
}

impl Env {
    /// The parameters, not negative.
    pub(super) fn new(params: &[Name]) -> Self {
        let mut env =
            Self { dims: 0, names: BTreeMap::new(), linear: Vec::new(), formulas: Vec::new() };
        for p in params {
            let d = env.fresh();
            env.names.insert(p.clone(), d);
            env.linear.push((Affine::var(dim(d)), false));
        }
        env
    }

    fn fresh(&mut self) -> usize {
        self.dims += 1;
        self.dims - 1
    }

    pub(super) const fn names(&self) -> &BTreeMap<Name, usize> {
        &self.names
    }

    /// Lets names mean other dimensions; gives what they meant.
    pub(super) fn replace_names(&mut self, names: BTreeMap<Name, usize>) -> BTreeMap<Name, usize> {
        std::mem::replace(&mut self.names, names)
    }

    /// One constraint more, in isl's notation.
    pub(super) fn require(&mut self, constraint: String) {
        self.formulas.push(constraint);
    }

    /// `a <= b`.
    fn at_most(&mut self, a: &Affine, b: &Affine) -> Result<(), Fault> {
        self.linear.push((b.sub(a)?, false));
        Ok(())
    }

    /// `a < b`.
    pub(super) fn less(&mut self, a: &Affine, b: &Affine) -> Result<(), Fault> {
        self.at_most(&a.add_const(1)?, b)
    }

    /// `a = b`.
    pub(super) fn equal(&mut self, a: &Affine, b: &Affine) -> Result<(), Fault> {
        self.linear.push((b.sub(a)?, true));
        Ok(())
    }

    /// `a` is not `b`.
    pub(super) fn differ(&mut self, a: &Affine, b: &Affine) {
        let (a, b) = (text(a), text(b));
        self.require(format!("({a} < {b} or {a} > {b})"));
    }

    /// The constraints of loops and guards, outermost first; loop variables become dimensions.
    pub(super) fn enter(&mut self, around: &[Around<'_>]) -> Result<(), Fault> {
        for item in around {
            match item {
                Around::Guard(condition, holds) => {
                    self.assume(condition, *holds)?;
                }
                Around::Local(_) => {}
                Around::Loop(l) => {
                    let mut ends = Vec::new();
                    if l.step == 1 {
                        self.each_max(&l.lower, &mut ends)?;
                    } else {
                        ends.push(self.affine(&l.lower)?);
                    }
                    let mut highs = Vec::new();
                    self.each_min(&l.upper, &mut highs)?;
                    let d = self.fresh();
                    let x = Affine::var(dim(d));
                    for low in &ends {
                        self.at_most(low, &x)?;
                        if l.step != 1 {
                            let count = Affine::var(dim(self.fresh()));
                            self.equal(&x, &low.add(&count.scale(l.step)?)?)?;
                        }
                    }
                    for high in &highs {
                        self.less(&x, high)?;
                    }
                    self.names.insert(l.var.clone(), d);
                }
            }
        }
        Ok(())
    }

    /// That a condition holds (or fails), as linear constraints where it is a conjunction of them.
    fn assume(&mut self, condition: &Condition, holds: bool) -> Result<(), Fault> {
        match (condition, holds) {
            (Condition::Ge(a, b), _) => {
                let (a, b) = (self.affine(a)?, self.affine(b)?);
                if holds { self.at_most(&b, &a) } else { self.less(&a, &b) }
            }
            (Condition::Eq(a, b), true) => {
                let (a, b) = (self.affine(a)?, self.affine(b)?);
                self.equal(&a, &b)
            }
            (Condition::All(parts), true) | (Condition::Any(parts), false) => {
                parts.iter().try_for_each(|p| self.assume(p, holds))
            }
            (Condition::Eq(..) | Condition::All(_), false) | (Condition::Any(_), true) => {
                let constraint = self.condition(condition, holds)?;
                self.require(constraint);
                Ok(())
            }
        }
    }

    /// The operands of nested `max`: a bound below by the maximum is a bound by each.
    fn each_max(&mut self, index: &Index, out: &mut Vec<Affine>) -> Result<(), Fault> {
        if let Index::Max(a, b) = index {
            self.each_max(a, out)?;
            self.each_max(b, out)
        } else {
            out.push(self.affine(index)?);
            Ok(())
        }
    }

    fn each_min(&mut self, index: &Index, out: &mut Vec<Affine>) -> Result<(), Fault> {
        if let Index::Min(a, b) = index {
            self.each_min(a, out)?;
            self.each_min(b, out)
        } else {
            out.push(self.affine(index)?);
            Ok(())
        }
    }

    /// An index over dimensions; what is not affine becomes a dimension of its own.
    pub(super) fn affine(&mut self, index: &Index) -> Result<Affine, Fault> {
        Ok(match index {
            Index::Const(value) => Affine::constant(*value),
            Index::Var(name) => match self.names.get(name) {
                Some(d) => Affine::var(dim(*d)),
                None => return Err(Fault(format!("`{name}` is no variable there"))),
            },
            Index::Add(a, b) => self.affine(a)?.add(&self.affine(b)?)?,
            Index::Sub(a, b) => self.affine(a)?.sub(&self.affine(b)?)?,
            Index::Mul(factor, a) => self.affine(a)?.scale(*factor)?,
            Index::FloorDiv(a, d) => self.quotient(a, *d)?.0,
            Index::Mod(a, d) => self.quotient(a, *d)?.1,
            Index::Min(a, b) | Index::Max(a, b) => {
                let (a, b) = (text(&self.affine(a)?), text(&self.affine(b)?));
                let (low, high) = match index {
                    Index::Min(..) => ("<=", "<"),
                    _ => (">=", ">"),
                };
                let x = self.fresh();
                let t = dim(x);
                self.require(format!(
                    "(({t} = {a} and {a} {low} {b}) or ({t} = {b} and {b} {high} {a}))"
                ));
                Affine::var(t)
            }
            Index::Select(c, a, b) => {
                let (yes, no) = (self.condition(c, true)?, self.condition(c, false)?);
                let (a, b) = (text(&self.affine(a)?), text(&self.affine(b)?));
                let t = dim(self.fresh());
                self.require(format!("(({yes} and {t} = {a}) or ({no} and {t} = {b}))"));
                Affine::var(t)
            }
        })
    }

    /// Quotient, rounded down, and remainder by a positive constant; the quotient is a
    /// dimension of its own, so that constraints stay linear.
    fn quotient(&mut self, index: &Index, divisor: i64) -> Result<(Affine, Affine), Fault> {
        let value = self.affine(index)?;
        if divisor <= 0 {
            return Err(Fault(format!("a division by {divisor}")));
        }
        let quotient = Affine::var(dim(self.fresh()));
        let rest = value.sub(&quotient.scale(divisor)?)?;
        self.at_most(&Affine::constant(0), &rest)?;
        self.less(&rest, &Affine::constant(divisor))?;
        Ok((quotient, rest))
    }

    /// That a condition holds (or fails), in isl's notation.
    fn condition(&mut self, condition: &Condition, holds: bool) -> Result<String, Fault> {
        Ok(match condition {
            Condition::Ge(a, b) => {
                let (a, b) = (text(&self.affine(a)?), text(&self.affine(b)?));
                format!("{a} {} {b}", if holds { ">=" } else { "<" })
            }
            Condition::Eq(a, b) => {
                let (a, b) = (text(&self.affine(a)?), text(&self.affine(b)?));
                if holds { format!("{a} = {b}") } else { format!("({a} < {b} or {a} > {b})") }
            }
            Condition::All(parts) => self.several(parts, holds, holds)?,
            Condition::Any(parts) => self.several(parts, holds, !holds)?,
        })
    }

    /// All parts (`every`) or some part, each holding or failing.
    fn several(&mut self, parts: &[Condition], holds: bool, every: bool) -> Result<String, Fault> {
        let texts: Vec<String> =
            parts.iter().map(|p| self.condition(p, holds)).collect::<Result<_, _>>()?;
        Ok(match (texts.is_empty(), every) {
            (true, true) => "1 = 1".to_owned(),
            (true, false) => "1 = 0".to_owned(),
            (false, true) => format!("({})", texts.join(" and ")),
            (false, false) => format!("({})", texts.join(" or ")),
        })
    }

    /// What is at least 0, one or the other, where an index is not in `0..extent`.
    pub(super) fn outside(&mut self, index: &Index, extent: &Index) -> Result<[Affine; 2], Fault> {
        let (i, n) = (self.affine(index)?, self.affine(extent)?);
        Ok([i.scale(-1)?.add_const(-1)?, i.sub(&n)?])
    }

    /// The coefficients of all dimensions, then the constant.
    fn row(&self, expr: &Affine) -> Result<Vec<i64>, Fault> {
        let mut row = vec![0; self.dims + 1];
        row[self.dims] = expr.constant_part();
        for (atom, coefficient) in expr.terms() {
            let Atom::Var(name) = atom else {
                return Err(Fault("a constraint is not linear".to_owned()));
            };
            let position = (name.strip_prefix('x').and_then(|d| d.parse::<usize>().ok()))
                .filter(|d| *d < self.dims)
                .ok_or_else(|| Fault(format!("`{name}` is no dimension")))?;
            row[position] = coefficient;
        }
        Ok(row)
    }

    /// All linear constraints, for what is seen without isl.
    fn system(&self) -> Result<System, Fault> {
        let mut system = System::new();
        for _dim in 0..self.dims {
            system.variable();
        }
        for (expr, equality) in &self.linear {
            system
                .require(self.sum(expr)?, if *equality { Range::only(0) } else { Range::from(0) });
        }
        Ok(system)
    }

    /// An expression over the variables of [`Self::system`].
    fn sum(&self, expr: &Affine) -> Result<Linear, Fault> {
        let row = self.row(expr)?;
        let (constant, coefficients) = row.split_last().expect("a row ends with its constant");
        Ok(Linear::row(coefficients, *constant))
    }

    /// The points that meet all linear constraints, and that `more` is at least 0.
    fn basic(&self, ctx: &Ctx, more: Option<&Affine>) -> Result<BasicSet, Fault> {
        let (mut equalities, mut inequalities) = (Vec::new(), Vec::new());
        for (expr, equality) in &self.linear {
            let rows = if *equality { &mut equalities } else { &mut inequalities };
            rows.push(self.row(expr)?);
        }
        if let Some(expr) = more {
            inequalities.push(self.row(expr)?);
        }
        let space = Space::set_alloc(ctx, 0, self.dims)?;
        Ok(BasicSet::from_rows(&space, &equalities, &inequalities)?)
    }

    /// Whether no point meets all constraints with some of `choices` at least 0. `false` where that
    /// is not seen at once.
    pub(super) fn never(&self, ctx: &Ctx, choices: &[Affine]) -> Result<bool, Fault> {
        let system = self.system()?;
        for choice in choices {
            let refuted = system.never_with(&[(self.sum(choice)?, Range::from(0))]);
            if !refuted && !self.basic(ctx, Some(choice))?.is_empty()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// That some of `choices` is at least 0.
    pub(super) fn require_any(&mut self, choices: &[Affine]) {
        let parts: Vec<String> = choices.iter().map(|e| format!("{} >= 0", text(e))).collect();
        self.require(format!("({})", parts.join(" or ")));
    }

    /// The lexicographically smallest point that meets all constraints.
    pub(super) fn smallest(&self, ctx: &Ctx) -> Result<Option<Vec<i64>>, Fault> {
        if self.system()?.never_with(&[]) {
            return Ok(None);
        }
        let basic = self.basic(ctx, None)?;
        if basic.is_empty()? {
            return Ok(None);
        }
        let mut set = basic.to_set()?;
        if !self.formulas.is_empty() {
            let dims: Vec<String> = (0..self.dims).map(dim).collect();
            let all = self.formulas.join(" and ");
            let other = Set::parse(ctx, &format!("{{ [{}] : {all} }}", dims.join(",")))?;
            set = set.intersect(&other)?;
            if set.is_empty()? {
                return Ok(None);
            }
        }
        match set.lexmin()?.sample_point()? {
            Some(point) => Ok(Some(point.coordinates()?)),
            None => Err(Fault("isl lost the point it had found".to_owned())),
        }
    }

    /// The values that the names have at a point.
    pub(super) fn values(&self, point: &[i64]) -> Values {
        self.names.iter().filter_map(|(n, d)| Some((n.clone(), *point.get(*d)?))).collect()
    }
}

/// The value of an index; `None` for an unknown name or beyond 64 bits.
pub(super) fn eval(index: &Index, values: &Values) -> Option<i64> {
    let of = |i: &Index| eval(i, values);
    match index {
        Index::Const(value) => Some(*value),
        Index::Var(name) => values.get(name).copied(),
        Index::Add(a, b) => of(a)?.checked_add(of(b)?),
        Index::Sub(a, b) => of(a)?.checked_sub(of(b)?),
        Index::Mul(factor, a) => of(a)?.checked_mul(*factor),
        Index::FloorDiv(a, d) => of(a)?.checked_div_euclid(*d),
        Index::Mod(a, d) => of(a)?.checked_rem_euclid(*d),
        Index::Min(a, b) => Some(of(a)?.min(of(b)?)),
        Index::Max(a, b) => Some(of(a)?.max(of(b)?)),
        Index::Select(c, a, b) => {
            if holds(c, values)? {
                of(a)
            } else {
                of(b)
            }
        }
    }
}

fn holds(condition: &Condition, values: &Values) -> Option<bool> {
    match condition {
        Condition::Ge(a, b) => Some(eval(a, values)? >= eval(b, values)?),
        Condition::Eq(a, b) => Some(eval(a, values)? == eval(b, values)?),
        Condition::All(parts) => {
            parts.iter().try_fold(true, |all, p| Some(all & holds(p, values)?))
        }
        Condition::Any(parts) => {
            parts.iter().try_fold(false, |any, p| Some(any | holds(p, values)?))
        }
    }
}

/// True if `name` occurs in an index.
pub(super) fn mentions(index: &Index, name: &str) -> bool {
    let of = |i: &Index| mentions(i, name);
    match index {
        Index::Const(_) => false,
        Index::Var(n) => &**n == name,
        Index::Mul(_, a) | Index::FloorDiv(a, _) | Index::Mod(a, _) => of(a),
        Index::Add(a, b) | Index::Sub(a, b) | Index::Min(a, b) | Index::Max(a, b) => of(a) || of(b),
        Index::Select(c, a, b) => of(a) || of(b) || condition_mentions(c, name),
    }
}

fn condition_mentions(condition: &Condition, name: &str) -> bool {
    match condition {
        Condition::Ge(a, b) | Condition::Eq(a, b) => mentions(a, name) || mentions(b, name),
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().any(|p| condition_mentions(p, name))
        }
    }
}

/// Greatest value of a parameter that the proofs consider for 64-bit arithmetic.
const PARAMETER: u128 = 1 << 40;
/// No intermediate value of an index may be able to exceed this.
const LIMIT: u128 = 1 << 62;

/// Checks that no index of the kernel can leave 64 bits while it is computed.
pub(super) fn magnitudes(kernel: &Kernel) -> Result<(), Fault> {
    let mut sizes: Sizes = kernel.params.iter().map(|p| (p.clone(), PARAMETER)).collect();
    for extent in kernel.buffers.iter().flat_map(|b| &b.shape) {
        size(extent, &sizes)?;
    }
    sizes_of(&kernel.body, &mut sizes)
}

/// An upper bound of the absolute value of each name.
type Sizes = BTreeMap<Name, u128>;

fn sizes_of(nodes: &[KernelNode], sizes: &mut Sizes) -> Result<(), Fault> {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => {
                let ends = size(&l.lower, sizes)?.max(size(&l.upper, sizes)?);
                // The variable passes its end by up to one step before the loop stops.
                limited(ends.saturating_add(u128::from(l.step.unsigned_abs())))?;
                sizes.insert(l.var.clone(), ends);
                sizes_of(&l.body, sizes)?;
            }
            KernelNode::Local(l) => sizes_of(&l.body, sizes)?,
            // the shadow that is proved has none
            KernelNode::Device(_) => {}
            KernelNode::If(c, then, otherwise) => {
                condition_size(c, sizes)?;
                sizes_of(then, sizes)?;
                sizes_of(otherwise, sizes)?;
            }
            KernelNode::Store(store) => {
                for index in &store.indices {
                    size(index, sizes)?;
                }
                for value in [Some(&store.value), store.guard.as_ref()].into_iter().flatten() {
                    value_size(value, sizes)?;
                }
            }
        }
    }
    Ok(())
}

fn value_size(value: &Typed<Index>, sizes: &Sizes) -> Result<(), Fault> {
    match &value.kind {
        TypedKind::Literal(_) => Ok(()),
        TypedKind::Index(i) => size(i, sizes).map(|_| ()),
        TypedKind::Read { indices, .. } => {
            indices.iter().try_for_each(|i| size(i, sizes).map(|_| ()))
        }
        TypedKind::Unary(_, a) | TypedKind::Bitcast(a) | TypedKind::Convert { value: a, .. } => {
            value_size(a, sizes)
        }
        TypedKind::Binary(_, a, b) => {
            value_size(a, sizes)?;
            value_size(b, sizes)
        }
        TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
            value_size(a, sizes)?;
            value_size(b, sizes)?;
            value_size(c, sizes)
        }
    }
}

fn limited(size: u128) -> Result<u128, Fault> {
    if size <= LIMIT { Ok(size) } else { Err(Fault("an index may exceed 64 bits".to_owned())) }
}

fn size(index: &Index, sizes: &Sizes) -> Result<u128, Fault> {
    let of = |i: &Index| size(i, sizes);
    limited(match index {
        Index::Const(value) => u128::from(value.unsigned_abs()),
        Index::Var(name) => match sizes.get(name) {
            Some(size) => *size,
            None => return Err(Fault(format!("`{name}` is no variable there"))),
        },
        Index::Add(a, b) | Index::Sub(a, b) => of(a)?.saturating_add(of(b)?),
        Index::Mul(factor, a) => of(a)?.saturating_mul(u128::from(factor.unsigned_abs())),
        Index::FloorDiv(a, d) => (of(a)? / u128::from(d.unsigned_abs().max(1))).saturating_add(1),
        Index::Mod(a, d) => of(a)?.max(u128::from(d.unsigned_abs())),
        Index::Min(a, b) | Index::Max(a, b) => of(a)?.max(of(b)?),
        Index::Select(c, a, b) => {
            condition_size(c, sizes)?;
            of(a)?.max(of(b)?)
        }
    })
}

fn condition_size(condition: &Condition, sizes: &Sizes) -> Result<(), Fault> {
    match condition {
        Condition::Ge(a, b) | Condition::Eq(a, b) => {
            // A comparison may be made by subtracting.
            limited(size(a, sizes)?.saturating_add(size(b, sizes)?)).map(|_| ())
        }
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().try_for_each(|p| condition_size(p, sizes))
        }
    }
}
