//! Dependences: which instance must stay before which, and through which element.
//!
//! In: a poly and the tree of a legal order. Out: for each pair of accesses to one array, one of
//! them a write, the pairs of instances that touch one element in that order.
//! Keeps: memory-based, that is all ordered conflicting pairs and not only the last writer's. With
//! reductions relaxed a chain of updates no longer implies its ends, so the ends must be there
//! themselves.
//! Why here: legality, the `deps` command and the automatic scheduler read this one list.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Result, Source, Span};
use warploom_ir::expr::Access;
use warploom_ir::nest::{AssignOp, Order, Statement};
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::{Map, UnionAccessInfo, UnionMap};

use crate::legality::FreeKey;
use crate::pairs::Pair;
use crate::poly_isl::Model;
use crate::times::{Times, deciding, times};
use crate::trouble::Trouble;

/// Time a single question to isl may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Why two instances are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DepKind {
    /// The first writes what the second reads.
    Flow,
    /// The first reads what the second overwrites.
    Anti,
    /// Both write.
    Output,
    /// Both update by one operator whose order may change.
    Reduction,
}

impl DepKind {
    /// Its name.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Anti => "anti",
            Self::Output => "output",
            Self::Reduction => "reduction",
        }
    }
}

/// A dependence between two accesses, for reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependence {
    /// Why.
    pub kind: DepKind,
    /// The statement that comes first.
    pub source: Name,
    /// The statement that comes second.
    pub target: Name,
    /// The array both touch.
    pub array: Name,
    /// The pairs of instances, in isl's notation with the user's names.
    pub relation: String,
    /// The pairs without those that an earlier write of the same element hides (last writer only).
    pub direct: Option<String>,
    /// For a reduction, its operator and order class.
    pub reduction: Option<(AssignOp, Order)>,
    /// The first access.
    pub source_span: Span,
    /// The second access.
    pub target_span: Span,
}

/// One access of a statement.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    /// Index of the statement.
    pub(crate) statement: usize,
    /// What is touched.
    pub(crate) access: Access,
    /// Written rather than read.
    pub(crate) write: bool,
    /// The target of an update, which is read and written in one.
    pub(crate) update: bool,
}

impl Touch {
    /// Whether this is the same access of the same statement.
    fn is(&self, other: &Self) -> bool {
        self.statement == other.statement
            && self.write == other.write
            && self.access == other.access
    }

    /// Whether a value of an instance of this, and one of an instance of the other that touches the
    /// same element, are equal because both are the same index of it: a buffer's coordinates are
    /// the times of the loops around it.
    pub(crate) fn fixes(&self, other: &Self, mine: &Affine, theirs: &Affine) -> bool {
        let mut indices = self.access.indices.iter().zip(&other.access.indices);
        indices.any(|(a, b)| a == mine && b == theirs)
    }
}

/// A dependence with its isl relation.
pub(crate) struct Conflict {
    pub(crate) kind: DepKind,
    pub(crate) source: Touch,
    pub(crate) target: Touch,
    /// Its pairs of instances.
    pub(crate) pairs: Rc<Pairs>,
    /// The first conflict with the same relation: a check may skip the others.
    pub(crate) same_as: usize,
}

/// Pairs of instances of two accesses that touch one element, the first earlier.
pub(crate) struct Pairs {
    /// The times of the first and the second statement by which the one is earlier.
    pub(crate) rows: [Vec<Affine>; 2],
    /// The relation in isl, once asked for: many conflicts are judged without it.
    relation: OnceCell<Map>,
}

impl Pairs {
    /// The times, for what a pair is asked.
    pub(crate) fn times(&self) -> [&[Affine]; 2] {
        [&self.rows[0], &self.rows[1]]
    }
}

/// The dependences of a poly in isl. Belongs to one thread.
pub struct DepContext {
    pub(crate) model: Model,
    pub(crate) source: Source,
    pub(crate) conflicts: Vec<Conflict>,
    pub(crate) times: Times,
    /// Loops asked about before, and whether they carry no dependence.
    pub(crate) free: RefCell<BTreeMap<FreeKey, bool>>,
    /// Answers of `last_writers` and `neighbours`, once found.
    flow: RefCell<Option<UnionMap>>,
    neighbours: RefCell<Option<UnionMap>>,
}

impl DepContext {
    /// Finds the dependences of `poly` executed in the order of `tree`, which is taken as the
    /// meaning of the program.
    ///
    /// # Errors
    /// `E0601` when isl takes too long, `E0704` for a tree that does not fit the poly.
    pub fn new(poly: &Poly, tree: &Tree, source: &Source) -> Result<Self> {
        Self::of(&Arc::new(poly.clone()), tree, source)
    }

    /// [`Self::new`] of a poly that others have too.
    pub(crate) fn of(poly: &Arc<Poly>, tree: &Tree, source: &Source) -> Result<Self> {
        Self::build(poly, tree, source, None)
    }

    /// Whether a poly is the one these dependences are of but for where buffers live.
    pub(crate) fn differs_in_scopes(&self, poly: &Poly) -> bool {
        let mine = &self.model.poly;
        mine.params == poly.params
            && mine.assumptions == poly.assumptions
            && mine.arrays == poly.arrays
            && mine.statements == poly.statements
    }

    /// The dependences after a step that added statements and arrays behind those there were, and
    /// redirected reads; `tree` keeps the dependences known here. Those between accesses that
    /// stayed are not sought again.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn extended(&self, poly: &Arc<Poly>, tree: &Tree) -> Result<Self> {
        let (mine, theirs) = (&self.model.poly.statements, &poly.statements);
        let kept = self.model.poly.params == poly.params
            && mine.len() <= theirs.len()
            && mine
                .iter()
                .zip(theirs)
                .all(|(a, b)| a.statement.name == b.statement.name && a.iters == b.iters);
        Self::build(poly, tree, &self.source, kept.then_some(self))
    }

    fn build(poly: &Arc<Poly>, tree: &Tree, source: &Source, known: Option<&Self>) -> Result<Self> {
        let times = times(poly, tree)?;
        let build = || -> std::result::Result<_, Trouble> {
            let model = match known {
                Some(known) => Model::after(&known.model, poly)?,
                None => Model::of(poly)?,
            };
            let limited = model.ctx.clone();
            limited.with_deadline(LIMIT, || {
                let conflicts = conflicts(&model, &times, known)?;
                Ok(Self {
                    model,
                    source: source.clone(),
                    conflicts,
                    times,
                    free: RefCell::default(),
                    flow: RefCell::default(),
                    neighbours: RefCell::default(),
                })
            })
        };
        build().map_err(|t| with_source(t.explain("finding the dependences"), source))
    }

    /// The working nest the dependences are of.
    #[must_use]
    pub fn poly(&self) -> &Poly {
        &self.model.poly
    }

    /// The dependences as plain values, in the order of the statements.
    ///
    /// # Errors
    /// `E0601` when isl takes too long.
    pub fn dependences(&self) -> Result<Vec<Dependence>> {
        let read = || -> std::result::Result<_, Trouble> {
            self.model.ctx.with_deadline(LIMIT, || {
                let direct = self.last_writers()?;
                self.conflicts.iter().map(|c| self.describe(c, &direct)).collect()
            })
        };
        read().map_err(|t| with_source(t.explain("printing the dependences"), &self.source))
    }

    fn describe(
        &self,
        conflict: &Conflict,
        direct: &UnionMap,
    ) -> std::result::Result<Dependence, Trouble> {
        let statement = |t: &Touch| -> &PolyStatement { &self.model.poly.statements[t.statement] };
        let first = statement(&conflict.source);
        let all = self.relation(conflict)?;
        let text = |map: &Map| -> std::result::Result<String, Trouble> {
            let context = &self.model.context;
            Ok(self.model.readable(&map.coalesce()?.gist_params(context)?.to_str()?))
        };
        let flow = match conflict.kind {
            DepKind::Flow => {
                let known = direct.extract_map(&all.space()?)?;
                Some(text(&known.intersect(&all)?)?)
            }
            DepKind::Anti | DepKind::Output | DepKind::Reduction => None,
        };
        let reduces = conflict.kind == DepKind::Reduction;
        Ok(Dependence {
            kind: conflict.kind,
            source: first.statement.name.clone(),
            target: statement(&conflict.target).statement.name.clone(),
            array: conflict.source.access.array.clone(),
            relation: text(&all)?,
            direct: flow,
            reduction: reduces.then_some((first.statement.op, first.statement.order)),
            source_span: conflict.source.access.span,
            target_span: conflict.target.access.span,
        })
    }

    /// Source instance to target instance.
    pub(crate) fn relation(&self, c: &Conflict) -> std::result::Result<Map, Trouble> {
        if let Some(known) = c.pairs.relation.get() {
            return Ok(known.clone());
        }
        let same = touching(&self.model, &c.source, &c.target)?;
        let found = earlier(&self.model, [&c.source, &c.target], &c.pairs, &same)?;
        Ok(c.pairs.relation.get_or_init(|| found).clone())
    }

    /// Enough pairs to keep the order of all conflicting instances where no reduction may be
    /// reordered: those with no write of the element between them. Far fewer than all.
    pub(crate) fn neighbours(&self) -> std::result::Result<UnionMap, Trouble> {
        if let Some(known) = self.neighbours.borrow().as_ref() {
            return Ok(known.clone());
        }
        let [reads, sure, maybe] = self.reads_and_writes(None)?;
        let (order, writes) = (self.order()?, sure.union(&maybe)?);
        let written = UnionAccessInfo::from_sink(&reads.union(&writes)?)?
            .set_must_source(&sure)?
            .set_may_source(&maybe)?
            .set_schedule_map(&order)?;
        let overwritten = UnionAccessInfo::from_sink(&writes)?
            .set_may_source(&reads)?
            .set_kill(&sure)?
            .set_schedule_map(&order)?;
        let after = |info: UnionAccessInfo| info.compute_flow()?.may_dependence();
        let all = after(written)?.union(&after(overwritten)?)?;
        Ok(self.neighbours.borrow_mut().insert(all).clone())
    }

    /// All reads, all writes that happen, and all that a guard may keep from happening; of one
    /// array if one is named.
    fn reads_and_writes(
        &self,
        array: Option<&Name>,
    ) -> std::result::Result<[UnionMap; 3], Trouble> {
        let ctx = &self.model.ctx;
        let (mut reads, mut sure, mut maybe) =
            (UnionMap::empty(ctx)?, UnionMap::empty(ctx)?, UnionMap::empty(ctx)?);
        for touch in touches(&self.model.poly) {
            if array.is_some_and(|a| touch.access.array != *a) {
                continue;
            }
            let guarded = self.model.poly.statements[touch.statement].statement.guard.is_some();
            let map = self.model.access(touch.statement, &touch.access)?;
            if touch.update || !touch.write {
                reads = reads.union(&UnionMap::from_map(&map)?)?;
            }
            if touch.update || touch.write {
                let into = if guarded { &mut maybe } else { &mut sure };
                *into = into.union(&UnionMap::from_map(&map)?)?;
            }
        }
        Ok([reads, sure, maybe])
    }

    /// All instances with their times.
    fn order(&self) -> std::result::Result<UnionMap, Trouble> {
        let mut order = UnionMap::empty(&self.model.ctx)?;
        for (k, row) in self.times.rows.iter().enumerate() {
            order = order.union(&UnionMap::from_map(&self.model.rows(k, row)?)?)?;
        }
        Ok(order)
    }

    /// The flow from each read's last writer (isl's dataflow analysis).
    pub(crate) fn last_writers(&self) -> std::result::Result<UnionMap, Trouble> {
        if let Some(known) = self.flow.borrow().as_ref() {
            return Ok(known.clone());
        }
        let flow = self.flow_of(None)?;
        Ok(self.flow.borrow_mut().insert(flow).clone())
    }

    /// The flow through one array from each read's last writer.
    pub(crate) fn last_writers_of(&self, array: &Name) -> std::result::Result<UnionMap, Trouble> {
        self.flow_of(Some(array))
    }

    fn flow_of(&self, array: Option<&Name>) -> std::result::Result<UnionMap, Trouble> {
        let [reads, sure, maybe] = self.reads_and_writes(array)?;
        let info = UnionAccessInfo::from_sink(&reads)?
            .set_must_source(&sure)?
            .set_may_source(&maybe)?
            .set_schedule_map(&self.order()?)?;
        Ok(info.compute_flow()?.may_dependence()?)
    }
}

/// A diagnostic that points into `source` unless it already points somewhere.
pub(crate) fn with_source(
    mut diagnostic: Box<warploom_ir::diag::Diagnostic>,
    source: &Source,
) -> Box<warploom_ir::diag::Diagnostic> {
    diagnostic.source.get_or_insert_with(|| source.clone());
    diagnostic
}

/// Every access of every statement once; the target of an update stands for its read and write.
fn touches(poly: &Poly) -> Vec<Touch> {
    let mut out = Vec::new();
    for (k, s) in poly.statements.iter().enumerate() {
        let target = &s.statement.target;
        let update = s.statement.op.is_update();
        out.push(Touch { statement: k, access: target.clone(), write: true, update });
        let mut reads = s.statement.value.reads();
        reads.extend(s.statement.guard.iter().flat_map(|g| g.reads()));
        let mut seen: Vec<&Access> = Vec::new();
        for access in reads {
            if seen.contains(&access) {
                continue;
            }
            seen.push(access);
            let access = access.clone();
            out.push(Touch { statement: k, access, write: false, update: false });
        }
    }
    out
}

/// The pairs of instances that touch one element.
fn touching(model: &Model, source: &Touch, target: &Touch) -> std::result::Result<Map, Trouble> {
    let [first, second] = [source, target].map(|t| model.access(t.statement, &t.access));
    Ok(first?.apply_range(&second?.reverse()?)?)
}

/// Those of some pairs whose first is earlier.
fn earlier(
    model: &Model,
    [source, target]: [&Touch; 2],
    pairs: &Pairs,
    same: &Map,
) -> std::result::Result<Map, Trouble> {
    let equal = |x: &Affine, y: &Affine| source.fixes(target, x, y);
    let (first, second) = deciding(&pairs.rows[0], &pairs.rows[1], &equal);
    let first = model.rows(source.statement, &first)?;
    let second = model.rows(target.statement, &second)?;
    let before = Map::lex_lt(&first.space()?.range()?)?;
    let earlier = first.apply_range(&before)?.apply_range(&second.reverse()?)?;
    Ok(same.intersect(&earlier)?.coalesce()?)
}

/// The pairs of two accesses, if there are any.
fn pairs_of(
    model: &Model,
    times: &Times,
    source: &Touch,
    target: &Touch,
) -> std::result::Result<Option<Pairs>, Trouble> {
    let rows = [source, target].map(|t| times.rows[t.statement].clone());
    let mut pairs = Pairs { rows, relation: OnceCell::new() };
    let seen = Pair::of(&model.poly, source, target).and_then(|mut p| p.ordered(pairs.times()));
    match seen {
        Some(any) => Ok(any.then_some(pairs)),
        None => {
            let same = touching(model, source, target)?;
            if same.is_empty()? {
                return Ok(None);
            }
            let relation = earlier(model, [source, target], &pairs, &same)?;
            if relation.is_empty()? {
                return Ok(None);
            }
            pairs.relation = OnceCell::from(relation);
            Ok(Some(pairs))
        }
    }
}

/// The conflicts among all accesses; those between accesses that `known` has are taken from there.
fn conflicts(
    model: &Model,
    times: &Times,
    known: Option<&DepContext>,
) -> std::result::Result<Vec<Conflict>, Trouble> {
    let touches = touches(&model.poly);
    let stayed: Vec<bool> =
        touches.iter().map(|t| known.is_some_and(|k| has(&k.model.poly, model, t))).collect();
    let mut out: Vec<Conflict> = Vec::new();
    for (source, source_stayed) in touches.iter().zip(&stayed) {
        for (target, target_stayed) in touches.iter().zip(&stayed) {
            let apart = source.access.array != target.access.array;
            if apart || !(source.write || target.write) {
                continue;
            }
            if let (Some(known), true, true) = (known, source_stayed, target_stayed) {
                let same_as = out.len();
                let found = known.conflicts.iter();
                out.extend(found.filter(|c| c.source.is(source) && c.target.is(target)).map(|c| {
                    let (source, target) = (source.clone(), target.clone());
                    let pairs = c.pairs.clone();
                    Conflict { kind: c.kind, source, target, pairs, same_as }
                }));
                continue;
            }
            let Some(pairs) = pairs_of(model, times, source, target)? else { continue };
            let pairs = Rc::new(pairs);
            let same_as = out.len();
            for kind in kinds(model, source, target) {
                let (source, target) = (source.clone(), target.clone());
                out.push(Conflict { kind, source, target, pairs: pairs.clone(), same_as });
            }
        }
    }
    Ok(out)
}

/// Whether a poly has the same access by the same instances.
fn has(poly: &Poly, model: &Model, touch: &Touch) -> bool {
    let new = &model.poly.statements[touch.statement];
    poly.statements.get(touch.statement).is_some_and(|old| {
        let mut accesses = old.statement.value.reads();
        accesses.extend(old.statement.guard.iter().flat_map(|g| g.reads()));
        let written = touch.write && old.statement.target == touch.access;
        let read = !touch.write && accesses.contains(&&touch.access);
        old.iters == new.iters && old.domain == new.domain && (written || read)
    })
}

/// The dependences between two accesses to one element, the first one earlier.
fn kinds(model: &Model, source: &Touch, target: &Touch) -> Vec<DepKind> {
    if source.update && target.update && relaxed(model, source, target) {
        return vec![DepKind::Reduction];
    }
    let mut out = Vec::new();
    let reads = |t: &Touch| t.update || !t.write;
    if source.write && reads(target) && !planted(Bug::NoFlow) {
        out.push(DepKind::Flow);
    }
    if reads(source) && target.write && !planted(Bug::NoAnti) {
        out.push(DepKind::Anti);
    }
    if source.write && target.write && !planted(Bug::NoOutput) {
        out.push(DepKind::Output);
    }
    out
}

/// Two updates whose order may change: one operator and type, neither serial.
fn relaxed(model: &Model, source: &Touch, target: &Touch) -> bool {
    let (a, b) = (
        &model.poly.statements[source.statement].statement,
        &model.poly.statements[target.statement].statement,
    );
    let free = |s: &Statement| s.order != Order::Serial || planted(Bug::SerialReordered);
    a.op == b.op && a.acc == b.acc && free(a) && free(b)
}
