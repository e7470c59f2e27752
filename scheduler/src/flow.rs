//! Whether a working nest that recomputes instances reads the same values as the one before it.
//!
//! In: a working nest with its order, and what `fuse-at` made of it. Out: yes, or `E0726` with two
//! instances: a read and a write that was, or is no longer, the last before it.
//! Keeps: the rule of legality for recomputation: each instance that a new statement stands for
//! reads the values that the old one read. Both flows (isl's dataflow analysis, last writers) are
//! computed in one model that holds the statements of both nests; new instances are mapped to the
//! old ones they stand for; the relations must be equal.
//! Only reads that changed place or array are asked about: no other read can get a new last writer,
//! because recomputed statements write buffers of their own.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::expr::Access;
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::{Ctx, Map, UnionAccessInfo, UnionMap};

use crate::deps::{DepContext, LIMIT, with_source};
use crate::legality::{Illegal, Instance, Witness, smallest_point};
use crate::poly_isl::Model;
use crate::steps::Fused;
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// A statement of one nest: its place in the model of both, and when it runs.
pub(crate) struct Run<'a> {
    place: usize,
    statement: &'a PolyStatement,
    rows: Vec<Affine>,
}

/// Checks that every read of the new nest gets the value of the same instance as before.
///
/// # Errors
/// `E0726`, `E0601` when isl takes too long.
pub(crate) fn check(old: &DepContext, tree: &Tree, fused: &Fused) -> Result<(), Box<Illegal>> {
    let poly = old.poly();
    let mut both = poly.clone();
    both.arrays.extend(fused.poly.arrays.iter().filter(|a| poly.array(&a.name).is_none()).cloned());
    let mut places = Vec::new();
    for s in &fused.poly.statements {
        let same = poly.statements.iter().position(|o| o == s);
        places.push(same.unwrap_or(both.statements.len()));
        if same.is_none() {
            both.statements.push(s.clone());
        }
    }
    let before = runs(poly, tree, &(0..poly.statements.len()).collect::<Vec<_>>())?;
    let after = runs(&fused.poly, &fused.tree, &places)?;
    let compare = || -> Answer<Option<Found>> {
        let model = Model::new(&both)?;
        let ctx = model.ctx.clone();
        ctx.with_deadline(LIMIT, || difference(&model, poly, fused, &before, &after))
    };
    match compare().map_err(|t| with_source(t.explain("comparing the flow"), &old.source))? {
        None => Ok(()),
        Some(found) => Err(found.refuse(poly, old)),
    }
}

/// The statements of a nest at their places in a model, as the tree runs them.
pub(crate) fn runs<'a>(
    poly: &'a Poly,
    tree: &Tree,
    places: &[usize],
) -> Result<Vec<Run<'a>>, Box<Diagnostic>> {
    let rows = times(poly, tree)?.rows;
    let all = poly.statements.iter().zip(rows).zip(places);
    Ok(all.map(|((statement, rows), place)| Run { place: *place, statement, rows }).collect())
}

/// Everything a statement reads, the target of an update included.
fn reads(s: &PolyStatement) -> Vec<&Access> {
    s.statement.reads()
}

/// The smallest pair of source and sink that only one of the flows has.
fn difference(
    model: &Model,
    poly: &Poly,
    fused: &Fused,
    before: &[Run<'_>],
    after: &[Run<'_>],
) -> Answer<Option<Found>> {
    let originals: BTreeSet<&Name> = fused.copies.values().collect();
    let (mut old_reads, mut new_reads) = (Vec::new(), Vec::new());
    let (mut instances, mut sinks) = (UnionMap::empty(&model.ctx)?, UnionMap::empty(&model.ctx)?);
    for run in before.iter().filter(|r| originals.contains(&r.statement.statement.name)) {
        old_reads.extend(reads(run.statement).into_iter().map(|a| (run.place, a)));
    }
    for run in after {
        let name = &run.statement.statement.name;
        let stands_for = fused.copies.get(name).unwrap_or(name);
        let old = before.iter().find(|r| r.statement.statement.name == *stands_for);
        let old = old.expect("a new statement stands for an old one");
        let map = stands_for_map(model, run, old)?;
        instances = instances.union(&UnionMap::from_map(&map)?)?;
        if fused.copies.contains_key(name) {
            new_reads.extend(reads(run.statement).into_iter().map(|a| (run.place, a)));
        } else if run.place >= poly.statements.len() {
            let mine = reads(run.statement).into_iter();
            new_reads
                .extend(mine.filter(|a| poly.array(&a.array).is_none()).map(|a| (run.place, a)));
            let theirs = reads(old.statement).into_iter();
            old_reads
                .extend(theirs.filter(|a| fused.arrays.contains(&a.array)).map(|a| (old.place, a)));
        } else {
            continue;
        }
        sinks = sinks.union(&UnionMap::from_map(&map)?)?;
    }
    let was = flow(model, &old_reads, before)?.apply_range(&sinks.reverse()?)?;
    let is = flow(model, &new_reads, after)?.apply_domain(&instances)?;
    for (changed, lost) in [(was.subtract(&is)?, true), (is.subtract(&was)?, false)] {
        let mut best: Option<Found> = None;
        for map in changed.maps()? {
            let place = |kind| -> Answer<usize> {
                let name = map.tuple_name(kind)?.unwrap_or_default();
                let number = name.strip_prefix('s').and_then(|k| k.parse().ok());
                Ok(number.expect("the flow is between statements of the model"))
            };
            let (source, sink) =
                (place(warploom_isl::DimType::In)?, place(warploom_isl::DimType::Out)?);
            let point = smallest_point(&model.ctx, &map)?;
            if best.as_ref().is_none_or(|b| point < b.point) {
                let sink = model.poly.statements[sink].clone();
                best = Some(Found { lost, source, sink, point });
            }
        }
        if best.is_some() {
            return Ok(best);
        }
    }
    Ok(None)
}

/// New instances to the old ones they stand for: the last iterators are those of the original.
fn stands_for_map(model: &Model, new: &Run<'_>, old: &Run<'_>) -> Answer<Map> {
    let more = new.statement.iters.len() - old.statement.iters.len();
    let iters: Vec<String> = (more..new.statement.iters.len()).map(|i| format!("i{i}")).collect();
    let text = format!(
        "{}{{ {} -> s{}[{}] }}",
        model.prefix(),
        model.tuple(new.place),
        old.place,
        iters.join(", ")
    );
    Ok(Map::parse(&model.ctx, &text)?.intersect_domain(&model.domains[new.place])?)
}

/// Last writer to reader, for these reads.
pub(crate) fn flow(
    model: &Model,
    reads: &[(usize, &Access)],
    runs: &[Run<'_>],
) -> Answer<UnionMap> {
    let ctx: &Ctx = &model.ctx;
    let (mut sinks, mut sure, mut maybe, mut order) = (
        UnionMap::empty(ctx)?,
        UnionMap::empty(ctx)?,
        UnionMap::empty(ctx)?,
        UnionMap::empty(ctx)?,
    );
    let arrays: BTreeSet<&Name> = reads.iter().map(|(_, a)| &a.array).collect();
    let mut used: BTreeMap<usize, &Run<'_>> = BTreeMap::new();
    for (place, access) in reads {
        sinks = sinks.union(&UnionMap::from_map(&model.access(*place, access)?)?)?;
    }
    for run in runs {
        let s = &run.statement.statement;
        if arrays.contains(&s.target.array) {
            let map = UnionMap::from_map(&model.access(run.place, &s.target)?)?;
            let into = if s.guard.is_some() { &mut maybe } else { &mut sure };
            *into = into.union(&map)?;
            used.insert(run.place, run);
        }
        if reads.iter().any(|(place, _)| *place == run.place) {
            used.insert(run.place, run);
        }
    }
    for (place, run) in used {
        order = order.union(&UnionMap::from_map(&model.rows(place, &run.rows)?)?)?;
    }
    let info = UnionAccessInfo::from_sink(&sinks)?
        .set_must_source(&sure)?
        .set_may_source(&maybe)?
        .set_schedule_map(&order)?;
    Ok(info.compute_flow()?.may_dependence()?)
}

/// A source and a sink that only one of the flows has.
struct Found {
    /// The old flow has it.
    lost: bool,
    /// The place of the old statement that writes.
    source: usize,
    /// The new statement that reads.
    sink: PolyStatement,
    /// The sum of the parameters, the parameters, the instance that writes, the one that reads.
    point: Vec<i64>,
}

impl Found {
    fn refuse(&self, poly: &Poly, old: &DepContext) -> Box<Illegal> {
        let source = &poly.statements[self.source];
        let (values, rest) = self.point[1..].split_at(poly.params.len());
        let (first, second) = rest.split_at(source.iters.len());
        let params: BTreeMap<Name, i64> =
            poly.params.iter().map(|p| p.name.clone()).zip(values.iter().copied()).collect();
        let lookup = |name: &str| {
            let at = source.iters.iter().position(|i| &**i == name);
            at.map_or_else(|| params.get(name), |at| first.get(at)).copied()
        };
        let target = &source.statement.target;
        let element = target.indices.iter().map(|e| e.eval(&lookup).unwrap_or_default()).collect();
        let instance = |s: &PolyStatement, at: &[i64]| Instance {
            statement: s.statement.name.clone(),
            at: at.to_vec(),
        };
        let witness = Witness {
            first: instance(source, first),
            second: instance(&self.sink, second),
            array: target.array.clone(),
            element,
            params: params.clone(),
        };
        let (reader, writer) = (&witness.second, &witness.first);
        let example = if self.lost {
            format!("{reader} must read what {writer} writes, and there it would not: {witness}")
        } else {
            format!("{reader} must not see what {writer} writes, and there it would: {witness}")
        };
        let message = format!(
            "computing it there changes a value: `{}` would not read `{}` as it was",
            self.sink.statement.name, witness.array
        );
        let diagnostic = Diagnostic::new("E0726", Blame::Schedule, message)
            .in_source(&old.source)
            .label(target.span, "written here")
            .witness(example)
            .help("choose a loop before the write, or keep the producers where they are");
        Box::new(Illegal { diagnostic: Box::new(diagnostic), witness: Some(witness) })
    }
}
