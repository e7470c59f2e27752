//! What a schedule does: which loops are parallel and why not, FLOP, bytes, intensity per loop.
//!
//! In: a schedule. Out: plain values that the command line prints as text or JSON.
//! Keeps: footprints are boxes (an upper bound of the data a loop touches), FLOP counts are exact
//! for rectangular domains and counted by isl for the others.
//! Source: [Williams09] for intensity against the machine's balance.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::{BinOp, Expr, UnOp};
use warploom_ir::nest::{AssignOp, Role};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop};
use warploom_isl::{Ctx, Set};

use crate::{Schedule, Session};

/// One loop of a schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopReport {
    /// Its name.
    pub name: Name,
    /// Loops around it.
    pub depth: usize,
    /// Annotations, such as `parallel`; `host` where the host of a GPU runs the loop.
    pub marks: Vec<&'static str>,
    /// Why its iterations must stay in order; `None` when they are independent.
    pub serial_because: Option<String>,
    /// FLOP of one whole run of the loop, where sizes are fixed.
    pub flop: Option<f64>,
    /// Bytes of the boxes it touches in one whole run, where sizes are fixed.
    pub bytes: Option<f64>,
}

/// A sum of products that another one, or the result, is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct SumReport {
    /// Its statement.
    pub statement: Name,
    /// What it adds to, and what it reads.
    pub target: String,
    /// See [`Self::target`].
    pub factors: Vec<String>,
    /// FLOP of all of it, where sizes are fixed.
    pub flop: Option<f64>,
    /// Elements of the target, where sizes are fixed.
    pub elements: Option<f64>,
}

/// A whole schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// FLOP of the program, where sizes are fixed.
    pub flop: Option<f64>,
    /// Bytes of all inputs and outputs, where sizes are fixed.
    pub bytes: Option<f64>,
    /// Sums that go from one to the next by temporaries, in the order of the text; none where there
    /// is one, or each is for itself.
    pub sums: Vec<SumReport>,
    /// Every loop, outer before inner.
    pub loops: Vec<LoopReport>,
}

/// Explains a schedule.
///
/// # Errors
/// isl could not decide in time.
pub fn explain(schedule: &Schedule) -> Result<Report> {
    let (poly, tree) = (schedule.poly(), schedule.tree());
    let mut session = Session::new();
    let deps = session.deps(schedule)?;
    let model = Model::new(poly);
    let mut loops = Vec::new();
    walk(tree, &mut Vec::new(), &mut |l, outer| {
        let why = deps.coincident(tree, &l.name)?;
        loops.push(LoopReport {
            name: l.name.clone(),
            depth: outer.len(),
            marks: marks(l),
            serial_because: why.map(|w| w.to_string()),
            flop: model.flop_under(l, outer),
            bytes: model.bytes_under(l, outer),
        });
        Ok(())
    })?;
    let (nest, _order) = Poly::from_nest(schedule.nest())?;
    let sums = Model::new(&nest).sums();
    Ok(Report { flop: model.flop(), bytes: model.bytes(), sums, loops })
}

fn marks(l: &TreeLoop) -> Vec<&'static str> {
    let mut marks = l.marks.words();
    if l.marks.map.is_none() && l.body.loops().iter().any(|inner| inner.marks.map.is_some()) {
        marks.push("host");
    }
    marks
}

type Visit<'v, 't> = dyn FnMut(&'t TreeLoop, &[&'t TreeLoop]) -> Result<()> + 'v;

fn walk<'t>(
    tree: &'t Tree,
    outer: &mut Vec<&'t TreeLoop>,
    visit: &mut Visit<'_, 't>,
) -> Result<()> {
    match tree {
        Tree::Statement(_) => Ok(()),
        Tree::Sequence(children) => children.iter().try_for_each(|c| walk(c, outer, visit)),
        Tree::Loop(l) => {
            visit(l, outer)?;
            outer.push(l);
            walk(&l.body, outer, visit)?;
            outer.pop();
            Ok(())
        }
    }
}

/// Counts over the domains of a poly.
struct Model<'a> {
    poly: &'a Poly,
    params: BTreeMap<Name, i64>,
    /// Instances per statement.
    instances: BTreeMap<Name, f64>,
    /// Interval of each iterator of each statement.
    ranges: BTreeMap<Name, BTreeMap<Name, f64>>,
}

impl<'a> Model<'a> {
    fn new(poly: &'a Poly) -> Self {
        let params: BTreeMap<Name, i64> =
            poly.params.iter().filter_map(|p| Some((p.name.clone(), p.value?))).collect();
        let (mut instances, mut ranges) = (BTreeMap::new(), BTreeMap::new());
        if params.len() == poly.params.len() {
            for s in &poly.statements {
                if let Some((count, extents)) = measure(s, &params) {
                    instances.insert(s.statement.name.clone(), count);
                    ranges.insert(s.statement.name.clone(), extents);
                }
            }
        }
        Self { poly, params, instances, ranges }
    }

    fn flop(&self) -> Option<f64> {
        let one = |s: &PolyStatement| Some(flop(s) * self.instances.get(&s.statement.name)?);
        self.poly.statements.iter().map(one).sum()
    }

    /// See [`Report::sums`].
    fn sums(&self) -> Vec<SumReport> {
        let all = self.poly.statements.iter().filter(|s| s.statement.op == AssignOp::Add);
        let all: Vec<&PolyStatement> = all.collect();
        let feeds = |s: &PolyStatement| {
            let array = &s.statement.target.array;
            let reads =
                |o: &&PolyStatement| o.statement.value.reads().iter().any(|a| a.array == *array);
            all.iter().any(|o| o.statement.name != s.statement.name && reads(o))
        };
        if !all.iter().any(|s| feeds(s)) {
            return Vec::new();
        }
        let lookup = |name: &str| self.params.get(name).copied();
        let one = |s: &&PolyStatement| {
            let target = &s.statement.target;
            let shape = self.poly.array(&target.array).map_or(&[][..], |a| &a.shape);
            let extents = shape.iter().map(|e| e.eval(&lookup).map(|n| n as f64));
            SumReport {
                statement: s.statement.name.clone(),
                target: target.to_string(),
                factors: s.statement.value.reads().iter().map(ToString::to_string).collect(),
                flop: self.instances.get(&s.statement.name).map(|n| n * flop(s)),
                elements: extents.product(),
            }
        };
        all.iter().map(one).collect()
    }

    fn bytes(&self) -> Option<f64> {
        let lookup = |name: &str| self.params.get(name).copied();
        let visible = self.poly.arrays.iter().filter(|a| match a.role {
            Role::In | Role::Out | Role::InOut => true,
            Role::Temp | Role::Const(_) => false,
        });
        visible
            .map(|a| {
                let extents = a.shape.iter().map(|e| e.eval(&lookup).map(|v| v as f64));
                let elements: f64 = extents.product::<Option<f64>>()?;
                let twice = if a.role == Role::InOut { 2.0 } else { 1.0 };
                Some(elements * twice * a.dtype.bits() as f64 / 8.0)
            })
            .sum()
    }

    /// Extent of an iterator while the loops of `outer` stand still.
    fn free_extent(&self, statement: &Name, iter: &Name, outer: &[&TreeLoop]) -> Option<f64> {
        let mut extent = *self.ranges.get(statement)?.get(iter)?;
        for l in outer {
            let Some(row) = l.rows.get(statement) else { continue };
            for (atom, _) in row.terms() {
                match atom {
                    Atom::Var(v) if v == iter => extent = 1.0,
                    Atom::FloorDiv(e, d) if e.vars().contains(iter) => {
                        extent = extent.min(*d as f64);
                    }
                    Atom::Var(_) | Atom::FloorDiv(..) | Atom::Mod(..) => {}
                }
            }
        }
        Some(extent)
    }

    fn flop_under(&self, l: &TreeLoop, outer: &[&TreeLoop]) -> Option<f64> {
        let mut sum = 0.0;
        for name in l.body.statements() {
            let s = self.poly.statement(&name)?;
            let box_size: f64 = s
                .iters
                .iter()
                .map(|i| self.free_extent(&name, i, outer))
                .product::<Option<f64>>()?;
            sum += flop(s) * box_size.min(*self.instances.get(&name)?);
        }
        Some(sum)
    }

    fn bytes_under(&self, l: &TreeLoop, outer: &[&TreeLoop]) -> Option<f64> {
        let mut boxes: BTreeMap<Name, f64> = BTreeMap::new();
        for name in l.body.statements() {
            let s = self.poly.statement(&name)?;
            for access in s.statement.reads().into_iter().chain([&s.statement.target]) {
                let mut elements = 1.0;
                let buffer = self.poly.scopes.get(&access.array);
                for index in &access.indices[buffer.map_or(0, |b| b.coordinates)..] {
                    elements *= self.extent_of(&name, index, outer)?;
                }
                if let Some(array) = self.poly.array(&access.array).filter(|_| buffer.is_some()) {
                    // One buffer at a time, used again by the next iteration.
                    let extents = array.shape.iter().filter_map(Affine::as_constant);
                    elements = elements.min(extents.map(|n| n as f64).product());
                }
                let entry = boxes.entry(access.array.clone()).or_insert(0.0);
                *entry = entry.max(elements);
            }
        }
        let size = |name: &Name| {
            let array = self.poly.arrays.iter().find(|a| a.name == *name)?;
            Some(array.dtype.bits() as f64 / 8.0)
        };
        boxes.iter().map(|(name, elements)| Some(elements * size(name)?)).sum()
    }

    /// Extent of the interval a subscript covers.
    fn extent_of(&self, statement: &Name, index: &Affine, outer: &[&TreeLoop]) -> Option<f64> {
        let mut extent = 1.0;
        for (atom, coefficient) in index.terms() {
            extent += match atom {
                Atom::Var(v) if self.params.contains_key(v) => 0.0,
                Atom::Var(v) => {
                    (self.free_extent(statement, v, outer)? - 1.0) * (coefficient as f64).abs()
                }
                Atom::FloorDiv(e, d) => {
                    let inner = self.extent_of(statement, e, outer)? - 1.0;
                    (inner / *d as f64).ceil() * (coefficient as f64).abs()
                }
                Atom::Mod(_, d) => (*d as f64 - 1.0) * (coefficient as f64).abs(),
            };
        }
        Some(extent)
    }
}

/// Instances and interval of each iterator at these sizes; `None` where isl gives up.
fn measure(s: &PolyStatement, params: &BTreeMap<Name, i64>) -> Option<(f64, BTreeMap<Name, f64>)> {
    let ctx = Ctx::new();
    let name = |n: &str| params.get(n).map_or_else(|| format!("v_{n}"), ToString::to_string);
    let mut text =
        format!("{{ [{}] : 1 = 1", s.iters.iter().map(|i| name(i)).collect::<Vec<_>>().join(","));
    for c in &s.domain {
        let _ = write!(text, " and {}", c.to_isl(&name));
    }
    text.push_str(" }");
    let deadline = Duration::from_secs(2);
    let extents = ctx.with_deadline(deadline, || -> warploom_isl::Result<Vec<f64>> {
        let set = Set::parse(&ctx, &text)?;
        (0..s.iters.len()).map(|d| interval(&set, d)).collect()
    });
    let extents = extents.ok()?;
    let volume: f64 = extents.iter().product();
    let rectangular = s.domain.iter().all(|c| {
        c.expr.vars().iter().filter(|v| !params.contains_key(*v)).count() <= 1
            && c.expr.terms().all(|(a, _)| matches!(a, Atom::Var(_)))
    });
    let count = if rectangular {
        volume
    } else {
        let counted = ctx.with_deadline(deadline, || -> warploom_isl::Result<String> {
            Ok(Set::parse(&ctx, &text)?.count_val()?.to_string())
        });
        counted.ok()?.parse().ok()?
    };
    Some((count, s.iters.iter().cloned().zip(extents).collect()))
}

/// Number of integers between the least and greatest value of a dimension.
fn interval(set: &Set, dim: usize) -> warploom_isl::Result<f64> {
    use warploom_isl::Extremum;
    if set.is_empty()? {
        return Ok(0.0);
    }
    let value = |e: Extremum| match e {
        Extremum::Value(v) => v.to_string().parse::<f64>().unwrap_or(f64::INFINITY),
        Extremum::Unbounded | Extremum::Empty => f64::INFINITY,
    };
    Ok(value(set.dim_max_val(dim)?) - value(set.dim_min_val(dim)?) + 1.0)
}

/// Floating-point operations of one instance; integer statements count their arithmetic alike.
fn flop(s: &PolyStatement) -> f64 {
    let mut n = if s.statement.op.is_update() { 1.0 } else { 0.0 };
    s.statement.value.visit(&mut |e| {
        n += match e {
            Expr::Binary(op, ..) => match op {
                BinOp::Add
                | BinOp::Sub
                | BinOp::Mul
                | BinOp::Div
                | BinOp::FloorDiv
                | BinOp::Mod
                | BinOp::Min
                | BinOp::Max
                | BinOp::Pow
                | BinOp::MulHi
                | BinOp::Ldexp => 1.0,
                BinOp::And
                | BinOp::Or
                | BinOp::Xor
                | BinOp::Shl
                | BinOp::Shr
                | BinOp::Lt
                | BinOp::Le
                | BinOp::Gt
                | BinOp::Ge
                | BinOp::Eq
                | BinOp::Ne => 0.0,
            },
            Expr::Fma(..) => 2.0,
            Expr::Unary(op, _) => match op {
                UnOp::Neg | UnOp::Not | UnOp::IsFinite => 0.0,
                UnOp::Abs
                | UnOp::Rint
                | UnOp::Floor
                | UnOp::Ceil
                | UnOp::Trunc
                | UnOp::Exponent
                | UnOp::Exp
                | UnOp::Exp2
                | UnOp::Log
                | UnOp::Log2
                | UnOp::Sqrt
                | UnOp::Rsqrt
                | UnOp::Tanh
                | UnOp::Erf => 1.0,
            },
            Expr::Literal(_)
            | Expr::Index(_)
            | Expr::Read(_)
            | Expr::Select(..)
            | Expr::Cast { .. }
            | Expr::Bitcast(..) => 0.0,
        };
    });
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom_ir::nest::Nest;

    fn report(text: &str, script: &str) -> Report {
        let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
        let start = Schedule::new(&nest).unwrap();
        explain(&start.replay(&script.parse().unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn a_product_has_two_operations_an_instance_and_loops_touch_boxes() {
        let text = "param M = 4, N = 5, K = 6\nin A: f32[M, K]\nin B: f32[K, N]\ninout C: f32[M, N]
for m in 0..M, n in 0..N, k in 0..K { S: C[m, n] += A[m, k] * B[k, n] order fixed }\n";
        let r = report(text, "split n by 2; parallel m");
        assert_eq!((r.flop, r.bytes), (Some(240.0), Some(4.0 * (24.0 + 30.0 + 40.0))));
        let names: Vec<&str> = r.loops.iter().map(|l| &*l.name).collect();
        assert_eq!(names, ["m", "n.0", "n.1", "k"]);
        let [m, _, n1, k] = r.loops.as_slice() else { panic!("{r:?}") };
        assert_eq!((m.marks.as_slice(), m.serial_because.as_deref()), (&["parallel"][..], None));
        assert_eq!(n1.flop, Some(2.0 * 2.0 * 6.0));
        assert_eq!(k.bytes, Some(4.0 * (6.0 + 6.0 + 1.0)));
        let why = k.serial_because.as_deref().unwrap_or_default();
        assert!(why.starts_with("reduction dependence over distance 1: "), "{why}");
    }

    #[test]
    fn sums_of_sums_are_listed_in_their_order() {
        let text = "in A: f32[4, 5]\nin B: f32[5, 6]\nin C: f32[6, 3]\ntemp T: f32[5, 3]\n\
                    inout D: f32[4, 3]
for j in 0..5, l in 0..3, k in 0..6 { S0: T[j, l] += B[j, k] * C[k, l] order fixed }
for i in 0..4, l in 0..3, j in 0..5 { S1: D[i, l] += A[i, j] * T[j, l] order fixed }\n";
        let r = report(text, "");
        let found: Vec<_> = r.sums.iter().map(|s| (&*s.statement, s.flop, s.elements)).collect();
        assert_eq!(found, [("S0", Some(180.0), Some(15.0)), ("S1", Some(120.0), Some(12.0))]);
        assert_eq!(r.sums[1].target, "D[i, l]");
        assert_eq!(r.sums[1].factors, ["A[i, j]", "T[j, l]"]);
        let alone = "in A: f32[4, 5]\ninout s: f32[4]
for i in 0..4, j in 0..5 { S0: s[i] += A[i, j] order fixed }\n";
        assert!(report(alone, "").sums.is_empty());
    }

    #[test]
    fn each_loop_of_a_wavefront_says_what_keeps_it_serial() {
        let text = "param N\ninout A: f32[N, N]
for i in 1..N, j in 1..N { S: A[i, j] = A[i - 1, j] + A[i, j - 1] }\n";
        let serial = |script: &str| -> Vec<Option<String>> {
            report(text, script).loops.into_iter().map(|l| l.serial_because).collect()
        };
        let [Some(i), Some(j)] = &serial("")[..] else { panic!("both are serial") };
        assert!(i.contains("S[1,1] and S[2,1] both touch A[1,1]"), "{i}");
        assert!(j.contains("S[1,1] and S[1,2] both touch A[1,1]"), "{j}");
        let [Some(wave), None] = &serial("skew j by i; reorder j, i")[..] else {
            panic!("the skewed loop is serial, the other parallel")
        };
        assert!(wave.starts_with("flow dependence over distance 1"), "{wave}");
    }
}
