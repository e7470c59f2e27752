//! Whether a tree keeps the dependences, and the smallest pair of instances where it does not.
//!
//! In: dependences and a new tree. Out: yes, or an [`Illegal`] with two instances, the element
//! they share and both places in the source.
//! Keeps: a witness is smallest first in its parameters (their sum), then in the two instances.
//! Why here: every step asks these questions when it is made (docs/ARCHITECTURE.md).

use std::collections::BTreeMap;
use std::fmt;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::{PolyStatement, Tensor, Tree};
use warploom_isl::{Ctx, DimType, ErrorKind, Map, Set, Val};

use crate::counted::Counted;
use crate::deps::{Conflict, DepContext, DepKind, LIMIT, Touch, with_source};
use crate::pairs::Pair;
use crate::times::{Times, deciding, times};
use crate::trouble::Trouble;

pub(crate) type Answer<T> = std::result::Result<T, Trouble>;

/// A statement instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// The statement.
    pub statement: Name,
    /// The values of its iterators, outermost first.
    pub at: Vec<i64>,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.statement, bracket(&self.at))
    }
}

/// Two instances that show a violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The parameters' values.
    pub params: BTreeMap<Name, i64>,
    /// The instance that runs first in the original order.
    pub first: Instance,
    /// The instance that runs second.
    pub second: Instance,
    /// The array both touch.
    pub array: Name,
    /// The element both touch.
    pub element: Vec<i64>,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.params.is_empty() {
            let values: Vec<String> =
                self.params.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            write!(f, "with {}, ", values.join(", "))?;
        }
        let (first, second) = (&self.first, &self.second);
        write!(f, "{first} and {second} both touch {}{}", self.array, bracket(&self.element))
    }
}

fn bracket(values: &[i64]) -> String {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    format!("[{}]", values.join(","))
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illegal {
    /// What to tell the user.
    pub diagnostic: Box<Diagnostic>,
    /// The smallest example, where the refusal is about one.
    pub witness: Option<Witness>,
}

impl From<Box<Diagnostic>> for Box<Illegal> {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self::new(Illegal { diagnostic, witness: None })
    }
}

impl From<Box<Illegal>> for Box<Diagnostic> {
    fn from(illegal: Box<Illegal>) -> Self {
        illegal.diagnostic
    }
}

impl fmt::Display for Illegal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostic.fmt(f)
    }
}

impl std::error::Error for Illegal {}

/// Why the iterations of a loop depend on each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The kind of the dependence.
    pub kind: DepKind,
    /// How far apart the two iterations of the witness are.
    pub distance: i64,
    /// The smallest example.
    pub witness: Witness,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, by) = (self.kind.text(), self.distance);
        write!(f, "{kind} dependence over distance {by}: {}", self.witness)
    }
}

/// What the answer to "does a loop carry a dependence" rests on: what counts, and for each
/// statement in the loop its rows from the outermost to the loop's own.
pub(crate) type FreeKey = Vec<(Counted, usize, Vec<Affine>)>;

/// A violated dependence while the smallest is sought.
struct Found<'a> {
    conflict: &'a Conflict,
    /// Sum of the parameters, the parameters, then both instances: the order of witnesses.
    point: Vec<i64>,
}

impl DepContext {
    /// Whether `tree` runs the instances in an order that keeps every dependence. Updates of a
    /// reduction that is not `serial` may change their order.
    ///
    /// # Errors
    /// `E0701` with the smallest witness, `E0703` where the tree does not order two instances of a
    /// statement, `E0704` for a malformed tree, `E0601` when isl takes too long.
    pub fn check_order(&self, tree: &Tree) -> Result<(), Box<Illegal>> {
        let new = times(&self.model.poly, tree)
            .map_err(|d| Box::<Illegal>::from(with_source(d, &self.source)))?;
        let found = self.ask("checking the order", || {
            if let Some(k) = self.first_ambiguous(&new)? {
                return Err(Trouble::Diagnostic(self.ambiguous(k, &new)?));
            }
            self.smallest(|c| {
                if c.kind == DepKind::Reduction {
                    return Ok(None);
                }
                let (a, b) = (c.source.statement, c.target.statement);
                let known = self.pair(c).is_some_and(|mut pair| {
                    pair.keeps(c.pairs.times(), [&new.rows[a], &new.rows[b]])
                });
                if known {
                    return Ok(None);
                }
                let (a, b) = self.ends(c, &new)?;
                let late = a.apply_range(&Map::lex_ge(&a.space()?.range()?)?)?;
                Ok(Some(self.relation(c)?.intersect(&late.apply_range(&b.reverse()?)?)?))
            })
        })?;
        match found {
            None => Ok(()),
            Some(found) => Err(self.refuse_order(&found)),
        }
    }

    /// Whether the updates of a statement's target may happen at the times `moved` (over its
    /// iterators) where all other statements run at `new`.
    ///
    /// # Errors
    /// `E0728` with the smallest witness, `E0601` when isl takes too long.
    pub(crate) fn check_moved(
        &self,
        statement: usize,
        moved: &[Affine],
        new: &Times,
    ) -> Result<(), Box<Illegal>> {
        let found = self.ask("checking the order of the updates", || {
            self.smallest(|c| {
                let updates = |t: &Touch| t.statement == statement && t.write;
                let ends = (updates(&c.source), updates(&c.target));
                if c.kind == DepKind::Reduction || ends.0 == ends.1 {
                    return Ok(None);
                }
                let rows = |t: &Touch| if updates(t) { moved } else { &new.rows[t.statement] };
                let equal = |a: &Affine, b: &Affine| c.source.fixes(&c.target, a, b);
                let (first, second) = deciding(rows(&c.source), rows(&c.target), &equal);
                let first = self.model.rows(c.source.statement, &first)?;
                let second = self.model.rows(c.target.statement, &second)?;
                let late = first.apply_range(&Map::lex_ge(&first.space()?.range()?)?)?;
                Ok(Some(self.relation(c)?.intersect(&late.apply_range(&second.reverse()?)?)?))
            })
        })?;
        let Some(found) = found else { return Ok(()) };
        let witness = self.witness(&found);
        let name = &self.model.poly.statements[statement].statement.name;
        let message = format!(
            "the partial results of `{name}` would be combined on the wrong side of another \
             access to `{}`",
            witness.array
        );
        let example = format!(
            "{}{} must come before {} at {}{}, and would not",
            with_params(&witness),
            witness.first,
            witness.second,
            witness.array,
            bracket(&witness.element),
        );
        let mut diagnostic = Diagnostic::new("E0728", Blame::Schedule, message)
            .in_source(&self.source)
            .witness(example)
            .help("name a loop with `at` so that the results are combined inside it");
        for (span, text) in self.labels(found.conflict, &witness) {
            diagnostic = diagnostic.label(span, text);
        }
        Err(Box::new(Illegal { diagnostic: Box::new(diagnostic), witness: Some(witness) }))
    }

    /// Whether the iterations of a loop of a legal `tree` may run at the same time.
    ///
    /// # Errors
    /// `E0702` with the smallest witness; reductions of every class are refused too.
    pub fn check_parallel(&self, tree: &Tree, name: &str) -> Result<(), Box<Illegal>> {
        match self.coincident(tree, name)? {
            None => Ok(()),
            Some(_) if planted(Bug::ParallelUnchecked) => Ok(()),
            Some(why) => Err(self.refuse_loop(name, "run in parallel", &why)),
        }
    }

    /// Whether the iterations of a loop of a legal `tree` may become vector lanes; updates of a
    /// reduction that is not `serial` may.
    ///
    /// # Errors
    /// `E0702` with the smallest witness.
    pub fn check_vector(&self, tree: &Tree, name: &str) -> Result<(), Box<Illegal>> {
        match self.carried(tree, name, Counted::InOrder)? {
            None => Ok(()),
            Some(why) => Err(self.refuse_loop(name, "become vector lanes", &why)),
        }
    }

    /// Whether a matrix instruction may run the iterations of the loop, one of its three: as
    /// [`Self::check_vector`], but of the loop that it sums over, where it adds in order, it may
    /// carry the sums themselves.
    ///
    /// # Errors
    /// `E0702` with the smallest witness.
    pub(crate) fn check_tensor(
        &self,
        tree: &Tree,
        name: &str,
        tensor: &Tensor,
    ) -> Result<(), Box<Illegal>> {
        match self.carried(tree, name, Counted::by(tensor))? {
            None => Ok(()),
            Some(why) => Err(self.refuse_loop(name, "be those of a matrix instruction", &why)),
        }
    }

    /// `None` if the iterations of the loop are independent of each other, else the smallest pair
    /// that is not.
    ///
    /// # Errors
    /// `E0705` for an unknown loop, `E0601` when isl takes too long.
    pub fn coincident(&self, tree: &Tree, name: &str) -> Result<Option<Why>> {
        self.carried(tree, name, Counted::All)
    }

    /// Whether the iterations of the loop are independent of each other: [`Self::coincident`]
    /// without a reason, which takes longer to find than the answer.
    ///
    /// # Errors
    /// `E0705` for an unknown loop, `E0601` when isl takes too long.
    pub fn independent(&self, tree: &Tree, name: &str) -> Result<bool> {
        self.free(tree, name, Counted::All)
    }

    /// Whether a loop carries no dependence that counts. Answers are kept by the rows they rest on.
    fn free(&self, tree: &Tree, name: &str, counted: Counted) -> Result<bool> {
        let (new, depth, below) = self.look_up(tree, name)?;
        let statements = self.model.poly.statements.iter().enumerate();
        let key: FreeKey = statements
            .filter(|(_, s)| below.contains(&s.statement.name))
            .map(|(k, _)| (counted, k, new.rows[k][..=depth].to_vec()))
            .collect();
        if let Some(known) = self.free.borrow().get(&key) {
            return Ok(*known);
        }
        let answer = self.ask("checking a loop", || {
            for (index, c) in self.conflicts.iter().enumerate() {
                let skip = !counted.counts(self, c);
                if c.same_as != index || skip || !self.inside(c, &below) {
                    continue;
                }
                let between = self.between_iterations(c, &new, depth)?;
                if !between.map_or(Ok(true), |between| between.is_empty())? {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        self.free.borrow_mut().insert(key, answer);
        Ok(answer)
    }

    /// The times of a tree, a loop's component of them and the statements below it.
    fn look_up(&self, tree: &Tree, name: &str) -> Result<(Times, usize, Vec<Name>)> {
        let new = times(&self.model.poly, tree).map_err(|d| with_source(d, &self.source))?;
        match new.loops.get(name).copied().zip(tree.find(name)) {
            Some((depth, l)) => Ok((new, depth, l.body.statements())),
            None => Err(self.unknown_loop(tree, name)),
        }
    }

    /// Whether both ends of a dependence are of these statements.
    fn inside(&self, c: &Conflict, below: &[Name]) -> bool {
        [&c.source, &c.target].iter().all(|t| below.contains(&self.statement(t).statement.name))
    }

    /// The smallest dependence between two iterations of a loop at equal outer times.
    fn carried(&self, tree: &Tree, name: &str, counted: Counted) -> Result<Option<Why>> {
        if self.free(tree, name, counted)? {
            return Ok(None);
        }
        let (new, depth, below) = self.look_up(tree, name)?;
        let found = self.ask("finding what a loop carries", || {
            self.smallest(|c| {
                if !counted.counts(self, c) || !self.inside(c, &below) {
                    return Ok(None);
                }
                self.between_iterations(c, &new, depth)
            })
        })?;
        Ok(found.map(|f| {
            let witness = self.witness(&f);
            let at = |i: &Instance| self.time_at(&new, depth, &witness, i);
            let distance = at(&witness.second).saturating_sub(at(&witness.first));
            Why { kind: f.conflict.kind, distance, witness }
        }))
    }

    /// The part of a dependence with equal times before `depth` and different times at it; `None`
    /// where the element fixes the time at it.
    fn between_iterations(&self, c: &Conflict, new: &Times, depth: usize) -> Answer<Option<Map>> {
        let (a, b) = (&new.rows[c.source.statement], &new.rows[c.target.statement]);
        let fixed = |at: &usize| c.source.fixes(&c.target, &a[*at], &b[*at]);
        let equal = |places: &[usize]| -> Answer<Map> {
            let of = |rows: &[Affine]| places.iter().map(|at| rows[*at].clone()).collect();
            let (first, second): (Vec<Affine>, Vec<Affine>) = (of(a), of(b));
            let first = self.model.rows(c.source.statement, &first)?;
            let second = self.model.rows(c.target.statement, &second)?;
            Ok(first.apply_range(&second.reverse()?)?)
        };
        let known = || {
            let new = [a.as_slice(), b.as_slice()];
            self.pair(c).is_some_and(|mut pair| pair.together(c.pairs.times(), new, depth))
        };
        if fixed(&depth) || known() {
            return Ok(None);
        }
        let outer: Vec<usize> = (0..depth).filter(|at| !fixed(at)).collect();
        Ok(Some(self.relation(c)?.intersect(&equal(&outer)?)?.subtract(&equal(&[depth])?)?))
    }

    /// The pairs of a dependence in any order, for what is seen without isl.
    fn pair(&self, c: &Conflict) -> Option<Pair> {
        Pair::of(&self.model.poly, &c.source, &c.target)
    }

    fn statement(&self, touch: &Touch) -> &PolyStatement {
        &self.model.poly.statements[touch.statement]
    }

    fn ends(&self, c: &Conflict, new: &Times) -> Answer<(Map, Map)> {
        let (a, b) = (c.source.statement, c.target.statement);
        let equal = |a: &Affine, b: &Affine| c.source.fixes(&c.target, a, b);
        let (first, second) = deciding(&new.rows[a], &new.rows[b], &equal);
        Ok((self.model.rows(a, &first)?, self.model.rows(b, &second)?))
    }

    /// Runs questions to isl under the limit.
    pub(crate) fn ask<T>(&self, what: &str, f: impl FnOnce() -> Answer<T>) -> Result<T> {
        self.model
            .ctx
            .with_deadline(LIMIT, f)
            .map_err(|t| with_source(t.explain(what), &self.source))
    }

    /// The first statement two instances of which have one time.
    fn first_ambiguous(&self, new: &Times) -> Answer<Option<usize>> {
        for (k, rows) in new.rows.iter().enumerate() {
            let known =
                Pair::of_statement(&self.model.poly, k).is_some_and(|mut p| p.distinct(rows));
            if !known && !self.model.rows(k, rows)?.is_injective()? {
                return Ok(Some(k));
            }
        }
        Ok(None)
    }

    fn ambiguous(&self, k: usize, new: &Times) -> Answer<Box<Diagnostic>> {
        let s = &self.model.poly.statements[k].statement;
        let message = format!("the schedule runs several instances of `{}` at one time", s.name);
        let mut diagnostic = Diagnostic::new("E0703", Blame::Schedule, message)
            .label(s.span, "this statement")
            .help("add loops until the order of its instances is determined");
        if let Some(tie) = self.tie(&new.rows, k, k)? {
            diagnostic = diagnostic.witness(tie.to_string());
        }
        Ok(Box::new(diagnostic))
    }

    /// The smallest witness among the violations that `violated` finds.
    fn smallest(
        &self,
        violated: impl Fn(&Conflict) -> Answer<Option<Map>>,
    ) -> Answer<Option<Found<'_>>> {
        let mut best: Option<Found<'_>> = None;
        for (index, conflict) in self.conflicts.iter().enumerate() {
            if conflict.same_as != index {
                continue;
            }
            let Some(map) = violated(conflict)? else {
                continue;
            };
            if map.is_empty()? {
                continue;
            }
            let point = smallest_point(&self.model.ctx, &map)?;
            if best.as_ref().is_none_or(|b| point < b.point) {
                best = Some(Found { conflict, point });
            }
        }
        Ok(best)
    }

    fn witness(&self, found: &Found<'_>) -> Witness {
        let params = &self.model.poly.params;
        let (source, target) = (&found.conflict.source, &found.conflict.target);
        let (values, rest) = found.point[1..].split_at(params.len());
        let (a, b) = rest.split_at(self.statement(source).iters.len());
        let params: BTreeMap<Name, i64> =
            params.iter().map(|p| p.name.clone()).zip(values.iter().copied()).collect();
        let instance = |t: &Touch, at: &[i64]| Instance {
            statement: self.statement(t).statement.name.clone(),
            at: at.to_vec(),
        };
        let mut witness = Witness {
            params,
            first: instance(source, a),
            second: instance(target, b),
            array: source.access.array.clone(),
            element: Vec::new(),
        };
        witness.element =
            source.access.indices.iter().map(|e| self.value(e, &witness, &witness.first)).collect();
        witness
    }

    /// The value of an expression of an instance's statement.
    fn value(&self, e: &Affine, witness: &Witness, instance: &Instance) -> i64 {
        let iters = self.model.poly.statement(&instance.statement).map(|s| &s.iters);
        let lookup = |name: &str| {
            let at = iters.and_then(|i| i.iter().position(|v| &**v == name));
            at.map_or_else(|| witness.params.get(name), |at| instance.at.get(at)).copied()
        };
        e.eval(&lookup).unwrap_or_default()
    }

    fn time_at(&self, new: &Times, depth: usize, witness: &Witness, instance: &Instance) -> i64 {
        let statements = &self.model.poly.statements;
        statements
            .iter()
            .position(|s| s.statement.name == instance.statement)
            .map_or(0, |k| self.value(&new.rows[k][depth], witness, instance))
    }

    fn refuse_order(&self, found: &Found<'_>) -> Box<Illegal> {
        let witness = self.witness(found);
        let (first, second) = (&witness.first, &witness.second);
        let message = format!(
            "the new order breaks a {} dependence from `{}` to `{}` through `{}`",
            found.conflict.kind.text(),
            first.statement,
            second.statement,
            witness.array,
        );
        let example = format!(
            "{}{first} must run before {second}; the new order runs {second} first",
            with_params(&witness),
        );
        let mut diagnostic = Diagnostic::new("E0701", Blame::Schedule, message)
            .in_source(&self.source)
            .witness(example)
            .help(
                "skew or shift the loops so that the dependence points forward, or keep this order",
            );
        for label in self.labels(found.conflict, &witness) {
            diagnostic = diagnostic.label(label.0, label.1);
        }
        Box::new(Illegal { diagnostic: Box::new(diagnostic), witness: Some(witness) })
    }

    /// What both accesses do at the witness, with their places.
    fn labels(&self, c: &Conflict, witness: &Witness) -> [(warploom_ir::diag::Span, String); 2] {
        let element = format!("{}{}", witness.array, bracket(&witness.element));
        let [reads, writes, updates] = ["reads", "writes", "updates"];
        let (first, second) = match c.kind {
            DepKind::Flow => (writes, reads),
            DepKind::Anti => (reads, writes),
            DepKind::Output => (writes, writes),
            DepKind::Reduction => (updates, updates),
        };
        [
            (c.source.access.span, format!("{} {first} {element}", witness.first)),
            (c.target.access.span, format!("{} {second} {element}", witness.second)),
        ]
    }

    fn refuse_loop(&self, name: &str, what: &str, why: &Why) -> Box<Illegal> {
        let kind = why.kind.text();
        let witness = &why.witness;
        let message = format!(
            "the iterations of loop `{name}` cannot {what}: a {kind} dependence through `{}`",
            witness.array
        );
        let help = if why.kind == DepKind::Reduction {
            "split the reduction, or choose another loop: several iterations update one element"
        } else {
            "choose a loop whose iterations are independent; `explain` lists them"
        };
        let mut diagnostic = Diagnostic::new("E0702", Blame::Schedule, message)
            .in_source(&self.source)
            .witness(format!("{witness}, {} iterations apart", why.distance))
            .help(help);
        let conflict = self.conflicts.iter().find(|c| {
            c.kind == why.kind
                && self.statement(&c.source).statement.name == witness.first.statement
                && self.statement(&c.target).statement.name == witness.second.statement
                && c.source.access.array == witness.array
        });
        if let Some(conflict) = conflict {
            for label in self.labels(conflict, witness) {
                diagnostic = diagnostic.label(label.0, label.1);
            }
        }
        let witness = Some(witness.clone());
        Box::new(Illegal { diagnostic: Box::new(diagnostic), witness })
    }

    fn unknown_loop(&self, tree: &Tree, name: &str) -> Box<Diagnostic> {
        let names: Vec<String> = tree.loops().iter().map(|l| format!("`{}`", l.name)).collect();
        Box::new(
            Diagnostic::input("E0705", format!("there is no loop `{name}`"))
                .in_source(&self.source)
                .help(format!("the loops are {}", names.join(", "))),
        )
    }
}

/// The smallest point of a map that is not empty: sum of parameters, parameters, in, out.
pub(crate) fn smallest_point(ctx: &Ctx, map: &Map) -> Answer<Vec<i64>> {
    let pairs = map.wrap()?.flatten()?;
    let n = pairs.dim(DimType::Param)?;
    let mut set = pairs.move_dims(DimType::Set, 0, DimType::Param, 0, n)?.reset_tuple_id()?;
    let zero = Val::int_from_si(ctx, 0)?;
    let mut positive = set.clone();
    for p in 0..n {
        positive = positive.lower_bound_val(DimType::Set, p, &zero)?;
    }
    let bounded = !positive.is_empty()?;
    if bounded {
        set = positive;
    }
    let dims: Vec<String> = (0..set.dim(DimType::Set)?).map(|i| format!("x{i}")).collect();
    let sum = if n == 0 { "0".to_string() } else { dims[..n].join(" + ") };
    let all: Vec<String> = std::iter::once(sum).chain(dims.iter().cloned()).collect();
    let text = format!("{{ [{}] -> [{}] }}", dims.join(", "), all.join(", "));
    let set = set.apply(&Map::parse(ctx, &text)?)?;
    // Negative parameters may be unbounded below: then any point has to do.
    if bounded
        && let Some(least) = least(&set)?
        && let Some(point) = least.sample_point()?
    {
        return Ok(point.coordinates()?);
    }
    // isl may find no point in the lexicographic minimum of a set that is not empty
    match set.sample_point()? {
        Some(point) => Ok(point.coordinates()?),
        None => Err(Trouble::Isl(no_point())),
    }
}

/// The lexicographic minimum, unless isl trips over its own divisions (`isl_domain_factor`), as it
/// does for some unions.
fn least(set: &Set) -> Answer<Option<Set>> {
    match set.lexmin() {
        Ok(least) => Ok(Some(least)),
        Err(error) if matches!(error.kind, ErrorKind::Aborted | ErrorKind::Quota) => {
            Err(Trouble::Isl(error))
        }
        Err(_) => Ok(None),
    }
}

fn with_params(witness: &Witness) -> String {
    let values: Vec<String> =
        witness.params.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if values.is_empty() { String::new() } else { format!("with {}, ", values.join(", ")) }
}

/// isl said a set is not empty and then found no point in it.
fn no_point() -> warploom_isl::Error {
    warploom_isl::Error {
        call: "isl_set_sample_point",
        message: "a set that is not empty has no point".to_string(),
        location: None,
        kind: warploom_isl::ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests;
