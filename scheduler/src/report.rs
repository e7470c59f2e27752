//! What a schedule does, in numbers and words: work, data per loop, order of instances, the tree.
//!
//! In: a poly, a tree and the parameters' values. Out: plain values with a text form.
//! Keeps: counts are of instances (exact up to a limit on enumeration) and of boxes around the
//! elements touched (an upper bound of the footprint).
//! Why here: `explain`, `schedule` and cost models read the same numbers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Result, Source};
use warploom_ir::expr::Expr;
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::{DimType, Map, UnionSet};

use crate::deps::{DepContext, LIMIT, with_source};
use crate::legality::Instance;
use crate::poly_isl::Model;
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// Work and data of a nest at given sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Instances of each statement.
    pub instances: BTreeMap<Name, u64>,
    /// Arithmetic operations on values: one for each operator and each update.
    pub flop: u64,
    /// Bytes of the distinct elements touched, array by array.
    pub bytes: BTreeMap<Name, u64>,
}

impl Work {
    /// Operations for each byte that must move at least once.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a ratio for reading")]
    pub fn intensity(&self) -> f64 {
        let bytes: u64 = self.bytes.values().sum();
        if bytes == 0 { 0.0 } else { self.flop as f64 / bytes as f64 }
    }
}

/// Operators in an expression.
fn operations(e: &Expr) -> u64 {
    let mut count = 0;
    e.visit(&mut |e| {
        count += match e {
            Expr::Unary(..) | Expr::Binary(..) => 1,
            Expr::Fma(..) => 2,
            Expr::Literal(_)
            | Expr::Index(_)
            | Expr::Read(_)
            | Expr::Select(..)
            | Expr::Cast { .. }
            | Expr::Bitcast(..) => 0,
        };
    });
    count
}

/// A poly whose parameters have these values.
fn at_sizes(poly: &Poly, sizes: &BTreeMap<Name, i64>) -> Poly {
    let mut fixed = poly.clone();
    for p in &mut fixed.params {
        p.value = sizes.get(&p.name).copied().or(p.value);
    }
    fixed
}

/// Work and data of a nest.
///
/// # Errors
/// `E0601` when counting takes too long (give smaller sizes).
pub fn work(poly: &Poly, sizes: &BTreeMap<Name, i64>, source: &Source) -> Result<Work> {
    let count = || -> Answer<Work> {
        let model = Model::new(&at_sizes(poly, sizes))?;
        let ctx = model.ctx.clone();
        ctx.with_deadline(LIMIT, || {
            let mut out = Work { instances: BTreeMap::new(), flop: 0, bytes: BTreeMap::new() };
            for (k, s) in model.poly.statements.iter().enumerate() {
                let domain = model.domains[k].project_out(
                    DimType::Param,
                    0,
                    model.domains[k].dim(DimType::Param)?,
                )?;
                let n = u64::try_from(domain.count_val()?.to_i64()?).unwrap_or(0);
                let each = operations(&s.statement.value) + u64::from(s.statement.op.is_update());
                out.flop = out.flop.saturating_add(n.saturating_mul(each));
                out.instances.insert(s.statement.name.clone(), n);
            }
            for a in 0..model.poly.arrays.len() {
                let touched = footprint(&model, a)?;
                let array = &model.poly.arrays[a];
                let size = u64::try_from(array.dtype.size_bytes()).unwrap_or(8);
                out.bytes.insert(array.name.clone(), touched.saturating_mul(size));
            }
            Ok(out)
        })
    };
    count().map_err(|t| with_source(t.explain("counting instances"), source))
}

/// Distinct elements of an array that any statement touches.
fn footprint(model: &Model, array: usize) -> Answer<u64> {
    let mut all = UnionSet::empty(&model.ctx)?;
    for (k, s) in model.poly.statements.iter().enumerate() {
        for access in accesses(s) {
            if access.array == model.poly.arrays[array].name {
                all = all.add_set(&model.access(k, access)?.range()?)?;
            }
        }
    }
    let mut total = 0u64;
    for set in all.sets()? {
        let n = set.dim(DimType::Param)?;
        let set = set.project_out(DimType::Param, 0, n)?;
        total = total.saturating_add(u64::try_from(set.count_val()?.to_i64()?).unwrap_or(0));
    }
    Ok(total)
}

fn accesses(s: &PolyStatement) -> Vec<&warploom_ir::expr::Access> {
    let mut out = s.statement.reads();
    out.push(&s.statement.target);
    out
}

/// An instance in time order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub instance: Instance,
    /// Its time: static positions and rows, outermost first.
    pub time: Vec<i64>,
    /// The values of the parallel loops around it, outermost first: equal on one thread.
    pub thread: Vec<i64>,
}

/// All instances in the order of the tree, at given sizes.
///
/// # Errors
/// `E0601` when there are more than `limit` or it takes too long.
pub fn timeline(
    poly: &Poly,
    tree: &Tree,
    sizes: &BTreeMap<Name, i64>,
    source: &Source,
    limit: usize,
) -> Result<Vec<Step>> {
    let order = times(poly, tree).map_err(|d| with_source(d, source))?;
    let list = || -> Answer<Vec<Step>> {
        let model = Model::new(&at_sizes(poly, sizes))?;
        let ctx = model.ctx.clone();
        ctx.with_deadline(LIMIT, || {
            let mut out = Vec::new();
            for (k, s) in model.poly.statements.iter().enumerate() {
                let set = &model.domains[k];
                let n = set.dim(DimType::Param)?;
                let set = set.project_out(DimType::Param, 0, n)?;
                for point in set.points(limit.saturating_sub(out.len()))? {
                    out.push(step(&model, tree, s, &order.rows[k], &point.coordinates()?));
                }
            }
            out.sort_by(|a, b| a.time.cmp(&b.time));
            Ok(out)
        })
    };
    list().map_err(|t| with_source(t.explain("listing instances"), source))
}

fn step(
    model: &Model,
    tree: &Tree,
    s: &PolyStatement,
    rows: &[warploom_ir::affine::Affine],
    at: &[i64],
) -> Step {
    let value = |e: &warploom_ir::affine::Affine| {
        let lookup = |name: &str| {
            let iter = s.iters.iter().position(|i| &**i == name).and_then(|i| at.get(i).copied());
            let param = || model.poly.params.iter().find(|p| &*p.name == name)?.value;
            iter.or_else(param)
        };
        e.eval(&lookup).unwrap_or_default()
    };
    let name = &s.statement.name;
    let parallel = tree
        .loops()
        .into_iter()
        .filter(|l| l.marks.parallel && l.body.statements().contains(name))
        .filter_map(|l| l.rows.get(name));
    Step {
        instance: Instance { statement: name.clone(), at: at.to_vec() },
        time: rows.iter().map(value).collect(),
        thread: parallel.map(value).collect(),
    }
}

/// Data that one iteration of each loop touches, at given sizes: an upper bound by boxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The loop.
    pub name: Name,
    /// Elements of the box around what one iteration touches, largest over all; `None` where no
    /// box of constant size fits.
    pub elements: BTreeMap<Name, Option<u64>>,
}

/// The data of one iteration of each loop.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn footprints(
    poly: &Poly,
    tree: &Tree,
    sizes: &BTreeMap<Name, i64>,
    source: &Source,
) -> Result<Vec<Footprint>> {
    let order = times(poly, tree).map_err(|d| with_source(d, source))?;
    let boxes = || -> Answer<Vec<Footprint>> {
        let model = Model::new(&at_sizes(poly, sizes))?;
        let ctx = model.ctx.clone();
        ctx.with_deadline(LIMIT, || {
            let mut out = Vec::new();
            for l in tree.loops() {
                let depth = order.loops.get(&l.name).copied().unwrap_or(0);
                let inside = l.body.statements();
                let mut elements = BTreeMap::new();
                for array in &model.poly.arrays {
                    let mut whole: Option<Map> = None;
                    for (k, s) in model.poly.statements.iter().enumerate() {
                        if !inside.contains(&s.statement.name) {
                            continue;
                        }
                        let time = model.rows(k, &order.rows[k][..=depth])?.reverse()?;
                        for access in accesses(s).into_iter().filter(|a| a.array == array.name) {
                            let touched = time.apply_range(&model.access(k, access)?)?;
                            whole = Some(match whole {
                                Some(map) => map.union(&touched)?,
                                None => touched,
                            });
                        }
                    }
                    if let Some(map) = whole {
                        elements.insert(array.name.clone(), box_size(&map)?);
                    }
                }
                out.push(Footprint { name: l.name.clone(), elements });
            }
            Ok(out)
        })
    };
    boxes().map_err(|t| with_source(t.explain("bounding footprints"), source))
}

fn box_size(map: &Map) -> Answer<Option<u64>> {
    if map.is_empty()? {
        return Ok(Some(0));
    }
    if map.dim(DimType::Out)? == 0 {
        return Ok(Some(1));
    }
    let hull = map.range_simple_fixed_box_hull()?;
    if !hull.is_valid()? {
        return Ok(None);
    }
    let sizes = hull.size()?.to_i64s()?;
    Ok(sizes.into_iter().try_fold(1u64, |n, s| n.checked_mul(u64::try_from(s).ok()?)))
}

/// The tree with each loop's rows, marks, and why it is parallel or not.
///
/// # Errors
/// `E0601` when isl takes too long.
pub fn tree_text(deps: &DepContext, tree: &Tree) -> Result<String> {
    let mut out = String::new();
    node_text(deps, tree, tree, 0, &mut out)?;
    Ok(out)
}

fn node_text(
    deps: &DepContext,
    whole: &Tree,
    node: &Tree,
    depth: usize,
    out: &mut String,
) -> Result<()> {
    let pad = "  ".repeat(depth);
    match node {
        Tree::Statement(name) => {
            let _ = writeln!(out, "{pad}{name}");
        }
        Tree::Sequence(children) => {
            let _ = writeln!(out, "{pad}sequence");
            for child in children {
                node_text(deps, whole, child, depth + 1, out)?;
            }
        }
        Tree::Loop(l) => {
            let mut rows: Vec<String> =
                l.rows.iter().map(|(s, row)| format!("{s}: {row}")).collect();
            rows.sort();
            let marks = [
                (l.marks.parallel, " parallel"),
                (l.marks.vectorize, " vectorize"),
                (l.marks.unroll, " unroll"),
            ];
            let marks: String = marks.iter().filter(|m| m.0).map(|m| m.1).collect();
            let why = match deps.coincident(whole, &l.name)? {
                None => "independent iterations".to_string(),
                Some(why) => why.to_string(),
            };
            let _ = writeln!(out, "{pad}loop {} [{}]{marks}  # {why}", l.name, rows.join("; "));
            node_text(deps, whole, &l.body, depth + 1, out)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom_ir::nest::Nest;

    const MATMUL: &str = "param M, N, K
in A: f32[M, K]
in B: f32[K, N]
inout C: f32[M, N]
for m in 0..M, n in 0..N, k in 0..K { S: C[m, n] += A[m, k] * B[k, n] order fixed }
";

    fn sizes(m: i64, n: i64, k: i64) -> BTreeMap<Name, i64> {
        [("M", m), ("N", n), ("K", k)].into_iter().map(|(s, v)| (s.into(), v)).collect()
    }

    #[test]
    fn a_product_has_two_operations_an_instance() {
        let nest: Nest = MATMUL.parse().unwrap();
        let (poly, tree) = Poly::from_nest(&nest).unwrap();
        let have = work(&poly, &sizes(4, 5, 6), &nest.source).unwrap();
        assert_eq!((have.instances["S"], have.flop), (120, 240));
        assert_eq!(have.bytes["B"], 120);
        let boxes = footprints(&poly, &tree, &sizes(4, 5, 6), &nest.source).unwrap();
        let of = |l: usize, a: &str| boxes[l].elements[a];
        assert_eq!((of(0, "A"), of(0, "B"), of(0, "C")), (Some(6), Some(30), Some(5)));
        assert_eq!((of(1, "A"), of(1, "B"), of(1, "C")), (Some(6), Some(6), Some(1)));
    }

    #[test]
    fn the_timeline_is_the_order_of_the_tree() {
        let nest: Nest = MATMUL.parse().unwrap();
        let (poly, tree) = Poly::from_nest(&nest).unwrap();
        let steps = timeline(&poly, &tree, &sizes(2, 1, 2), &nest.source, 100).unwrap();
        let at: Vec<_> = steps.iter().map(|s| s.instance.at.clone()).collect();
        assert_eq!(at, [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]);
        let error = timeline(&poly, &tree, &sizes(9, 9, 9), &nest.source, 10).unwrap_err();
        assert_eq!(error.code, "E0601");
    }

    #[test]
    fn the_tree_says_why() {
        let nest: Nest = MATMUL.parse().unwrap();
        let (poly, tree) = Poly::from_nest(&nest).unwrap();
        let deps = DepContext::new(&poly, &tree, &nest.source).unwrap();
        let text = tree_text(&deps, &tree).unwrap();
        assert!(text.contains("loop m [S: m]  # independent iterations"), "{text}");
        assert!(text.contains("# reduction dependence over distance 1"), "{text}");
    }
}
