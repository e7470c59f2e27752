//! The Schedule: a nest, the order of its instances, and the script of checked steps that made it.
//!
//! In: a nest, then steps. Out: a new value per step, or an [`Illegal`] with the reason, the
//! smallest witness, the places in script and nest, and the nearest legal step where one is found.
//! Keeps: each step is checked when it is made, and the marks of all loops are checked again after
//! every step that changes the order; inside `atomically` only the order at its end is. A value is
//! plain data: isl lives in a [`Session`], which keeps the dependences from step to step.
//! A contract (`require`) is about the order at its place in the script.

use std::sync::Arc;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Diagnostic, Label, Result, Source, Span};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::{
    LayoutTerm, Property, Ref, Script, StatementTimes, Step, StepKind,
};
use warploom_ir::schedule::{Poly, Tree, TreeLoop};
use warploom_ir::target::Place;

use crate::deps::DepContext;
use crate::kept::kept;
use crate::legality::Illegal;
use crate::steps::{self, Fold, Mark, Stage};
use crate::suggest;
use crate::{flow, scopes};

/// What a step gives: a new schedule or the reason against it.
pub type Applied<T> = std::result::Result<T, Box<Illegal>>;

/// A nest with an order (see the module's page).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    nest: Arc<Nest>,
    poly: Arc<Poly>,
    /// The order that gives the poly its meaning: dependences are found in it.
    reference: Arc<Tree>,
    tree: Tree,
    script: Script,
}

/// How many working nests a session remembers.
const REMEMBERED: usize = 4;

/// The dependences of the last working nests, kept while steps are made. Belongs to one thread.
#[derive(Default)]
pub struct Session {
    /// With the order each was found in; the last asked for is first.
    known: Vec<(Arc<Tree>, DepContext)>,
}

impl Session {
    /// A session that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The dependences of a schedule's working nest.
    ///
    /// # Errors
    /// `E0601` when isl takes too long.
    pub fn deps(&mut self, schedule: &Schedule) -> Result<&DepContext> {
        let (poly, tree) = (&schedule.poly, &schedule.reference);
        let fits = |(of, deps): &(Arc<Tree>, DepContext)| of == tree && deps.model.poly == *poly;
        // where a buffer lives says nothing of dependences
        let near =
            |(of, deps): &(Arc<Tree>, DepContext)| of == tree && deps.differs_in_scopes(poly);
        let known = if let Some(place) = self.known.iter().position(fits) {
            self.known.remove(place)
        } else {
            let deps = match self.known.iter().find(|known| near(known)) {
                Some((_, deps)) => {
                    let same = deps.extended(poly, tree)?;
                    same.free.replace(deps.free.borrow().clone());
                    same
                }
                None => DepContext::of(poly, tree, &schedule.nest.source)?,
            };
            (tree.clone(), deps)
        };
        self.known.insert(0, known);
        self.known.truncate(REMEMBERED);
        Ok(&self.known[0].1)
    }

    /// The dependences of the working nest that a step made of `before`.
    fn deps_after(&mut self, before: &Schedule, after: &Schedule) -> Result<&DepContext> {
        if before.poly != after.poly {
            let deps = self.deps(before)?.extended(&after.poly, &after.reference)?;
            self.known.insert(0, (after.reference.clone(), deps));
            self.known.truncate(REMEMBERED);
        }
        self.deps(after)
    }
}

impl Schedule {
    /// The nest in the order of its text.
    ///
    /// # Errors
    /// What [`Poly::from_nest`] gives.
    pub fn new(nest: &Nest) -> Result<Self> {
        let (poly, tree) = Poly::from_nest(nest)?;
        let (nest, poly) = (Arc::new(nest.clone()), Arc::new(poly));
        let (reference, script) = (Arc::new(tree.clone()), Script::default());
        Ok(Self { nest, poly, reference, tree, script })
    }

    /// The original nest.
    #[must_use]
    pub fn nest(&self) -> &Nest {
        &self.nest
    }

    /// The working nest: the statements and arrays that steps made are in it.
    #[must_use]
    pub fn poly(&self) -> &Poly {
        &self.poly
    }

    /// The order.
    #[must_use]
    pub const fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The steps so far.
    #[must_use]
    pub const fn script(&self) -> &Script {
        &self.script
    }

    /// The schedule after one more step.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn apply(&self, step: impl Into<Step>) -> Applied<Self> {
        self.apply_in(&mut Session::new(), step)
    }

    /// The schedule after one more step, with the dependences that the session keeps.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn apply_in(&self, session: &mut Session, step: impl Into<Step>) -> Applied<Self> {
        let step = step.into();
        let text = step.to_string();
        let script = Script::parse(&Source::new("step", &text))?;
        match script.steps.as_slice() {
            [parsed] if *parsed == step => self.checked(session, parsed, &script.source),
            _ => Err(Box::<Illegal>::from(Box::new(
                Diagnostic::input("E0700", "the step holds a name or number that has no text")
                    .in_source(&script.source)
                    .label(Span::new(0, text.len()), ""),
            ))),
        }
    }

    /// The schedule after all steps of a script.
    ///
    /// # Errors
    /// The reason why one of them is refused.
    pub fn replay(&self, script: &Script) -> Applied<Self> {
        self.replay_in(&mut Session::new(), script)
    }

    /// The schedule after all steps of a script, with the dependences that the session keeps.
    ///
    /// # Errors
    /// The reason why one of them is refused.
    pub fn replay_in(&self, session: &mut Session, script: &Script) -> Applied<Self> {
        let mut at = self.clone();
        if script.source.text.is_empty() {
            for step in &script.steps {
                at = at.apply_in(session, step.clone())?;
            }
            return Ok(at);
        }
        for step in &script.steps {
            at = at.checked(session, step, &script.source)?;
        }
        if self.script.steps.is_empty() {
            // its steps' spans point there
            at.script.source = script.source.clone();
        }
        Ok(at)
    }

    /// Applies a step whose spans point into `source`, and completes a refusal.
    fn checked(&self, session: &mut Session, step: &Step, source: &Source) -> Applied<Self> {
        self.attempt(session, step).map_err(|illegal| {
            let help = suggest::nearest(self, session, step, &illegal);
            self.complete(*illegal, step, source, help)
        })
    }

    /// Applies and checks a step without looking for a better one.
    pub(crate) fn attempt(&self, session: &mut Session, step: &Step) -> Applied<Self> {
        let mut next = self.rewrite(session, step)?;
        let deps = session.deps_after(self, &next)?;
        match affected(&step.kind) {
            Affected::Nothing => {}
            Affected::Marks(targets) => {
                for target in targets {
                    let name = steps::resolve(&next.tree, target)?;
                    let marked = next.tree.find(&name).expect("`resolve` gives names of loops");
                    check_marks(deps, &next.tree, marked)?;
                }
            }
            // Right after a step that changes the nest, its tree gives the nest its meaning.
            Affected::Order => {
                let changed =
                    matches!(step.kind, StepKind::Atomically(_)) || step.kind.changes_nest();
                let before = (!changed).then_some(&self.tree);
                check(deps, before, &next.tree, next.tree != *next.reference)?;
            }
        }
        let scopes = scopes::follow(deps, &next.tree, step.span)?;
        if next.poly.scopes != scopes {
            Arc::make_mut(&mut next.poly).scopes = scopes;
        }
        next.script.steps.push(step.clone());
        Ok(next)
    }

    /// The tree after a step, whose order is not checked.
    fn rewrite(&self, session: &mut Session, step: &Step) -> Applied<Self> {
        let mut next = self.clone();
        if let StepKind::Atomically(inner) = &step.kind {
            for step in inner {
                if step.kind.changes_nest() {
                    // The new nest gets its meaning from this order, which must be legal.
                    check(session.deps(&next)?, None, &next.tree, true)?;
                }
                next = next.rewrite(session, step)?;
            }
            return Ok(next);
        }
        if let StepKind::FuseAt { producers, at } = &step.kind {
            let deps = session.deps(self)?;
            let fused = steps::fuse_at(deps, &self.tree, producers, at)?;
            flow::check(deps, &self.tree, &fused)?;
            next.remade(fused.poly, fused.tree);
        } else if let StepKind::Stage { array, readers, at, name, layout, pad, across } = &step.kind
        {
            let (at, name) = (at.as_ref(), name.as_ref());
            let operands = Stage { array, readers, at, name, layout, pad: *pad, across };
            let (poly, tree) = steps::stage(session.deps(self)?, &self.tree, &operands)?;
            next.remade(poly, tree);
        } else if let StepKind::Fold { outer, inner, name } = &step.kind {
            let operands = Fold { outer, inner, name: name.as_ref() };
            let (poly, tree) = steps::fold(&self.poly, &self.tree, &operands)?;
            next.remade(poly, tree);
        } else if let StepKind::SplitReduction { target, at, name } = &step.kind {
            let (deps, at, name) = (session.deps(self)?, at.as_ref(), name.as_ref());
            let (poly, tree) = steps::split_reduction(deps, &self.tree, target, at, name)?;
            next.remade(poly, tree);
        } else if let StepKind::Privatise { array, at, name } = &step.kind {
            let deps = session.deps(self)?;
            let poly = steps::privatise(deps, &self.tree, array, at, name.as_ref())?;
            next.remade(poly, self.tree.clone());
        } else if let StepKind::Recall { array, at } = &step.kind {
            let (poly, tree) = steps::recall(session.deps(self)?, &self.tree, array, at)?;
            next.remade(poly, tree);
        } else {
            next.tree = self.rewrite_tree(session, step)?;
        }
        steps::unique(&next.tree, step.span)?;
        Ok(next)
    }

    /// Another working nest, whose meaning is its order.
    fn remade(&mut self, poly: Poly, tree: Tree) {
        (self.poly, self.reference) = (Arc::new(poly), Arc::new(tree.clone()));
        self.tree = tree;
    }

    fn rewrite_tree(&self, session: &mut Session, step: &Step) -> Applied<Tree> {
        let tree = &self.tree;
        Ok(match &step.kind {
            StepKind::Tile { loops, sizes, names } => steps::tile(tree, loops, sizes, names)?,
            StepKind::Split { target, size, names } => steps::split(tree, target, *size, names)?,
            StepKind::Reorder { loops } => steps::reorder(tree, loops)?,
            StepKind::Fuse { first, second, shift, name } => {
                steps::fuse(tree, first, second, *shift, name.as_ref())?
            }
            StepKind::Distribute { target, at, names } => {
                steps::distribute(tree, target, at.as_ref(), names)?
            }
            StepKind::Skew { target, factor, by } => steps::skew(tree, target, *factor, by)?,
            StepKind::Shift { target, by } => {
                let params: Vec<Name> = self.poly.params.iter().map(|p| p.name.clone()).collect();
                steps::shift(tree, target, by, &params)?
            }
            StepKind::Coalesce { outer, inner, name } => {
                let deps = session.deps(self)?;
                let bounds = |s: &Name, row: &Affine| deps.row_bounds(s, row);
                steps::coalesce(tree, outer, inner, name.as_ref(), &bounds)?
            }
            StepKind::Raster { loops, name } => {
                let deps = session.deps(self)?;
                let bounds = |s: &Name, row: &Affine| deps.row_bounds(s, row);
                steps::raster(tree, loops, name, &bounds)?
            }
            StepKind::Unroll(l) => steps::mark(tree, l, Mark::Unroll)?,
            StepKind::Vectorize(l) => steps::mark(tree, l, Mark::Vectorize)?,
            StepKind::Parallel(l) => steps::mark(tree, l, Mark::Parallel)?,
            StepKind::Map(l, place) => steps::mark(tree, l, Mark::Map(*place))?,
            StepKind::Unit(l, unit) => steps::mark(tree, l, Mark::Unit(*unit))?,
            StepKind::Take { target, ahead } => steps::mark(tree, target, Mark::Take(*ahead))?,
            StepKind::Stream { target, blocks } => {
                steps::mark(tree, target, Mark::Stream(*blocks))?
            }
            StepKind::Ring { target, stages } => steps::mark(tree, target, Mark::Ring(*stages))?,
            StepKind::Tensorize { loops, instruction } => {
                steps::tensorize(tree, loops, instruction)?
            }
            StepKind::Reverse(l) => steps::reverse(tree, l)?,
            StepKind::Order(new) => steps::order(&self.poly, new, step.span)?,
            StepKind::OrderBy(times) => {
                let timed = steps::order_by(&self.poly, times, step.span)?;
                session.deps(self)?.check_distinct(&timed.rows)?;
                timed.tree
            }
            StepKind::Atomically(_)
            | StepKind::Stage { .. }
            | StepKind::Fold { .. }
            | StepKind::FuseAt { .. }
            | StepKind::SplitReduction { .. }
            | StepKind::Privatise { .. }
            | StepKind::Recall { .. }
            // there is no code yet
            | StepKind::RequireCode(_) => tree.clone(),
            StepKind::Require(property, l) => {
                require(session.deps(self)?, tree, *property, l)?;
                tree.clone()
            }
        })
    }

    /// A refusal with places in the script first, then those in the nest.
    fn complete(
        &self,
        illegal: Illegal,
        step: &Step,
        source: &Source,
        help: Option<String>,
    ) -> Box<Illegal> {
        let Illegal { diagnostic: mut d, witness } = illegal;
        let in_nest = d.source.take().is_some();
        if in_nest {
            let mine = Label { source: None, span: step.span, text: "this step".into() };
            for label in &mut d.labels {
                label.source.get_or_insert_with(|| self.nest.source.clone());
            }
            d.labels.insert(0, mine);
        }
        d.source = Some(source.clone());
        if let Some(help) = help {
            d.help = Some(help);
        }
        Box::new(Illegal { diagnostic: d, witness })
    }
}

/// What has to be checked after a step.
enum Affected<'a> {
    /// Nothing: the order stays, and whether other loops carry a dependence too.
    Nothing,
    /// The marks of some loops.
    Marks(&'a [Ref]),
    /// The order and the marks of all loops.
    Order,
}

const fn affected(kind: &StepKind) -> Affected<'_> {
    match kind {
        // a skew adds rows around a loop to its own, a raster a loop that numbers others
        StepKind::Split { .. }
        | StepKind::Skew { .. }
        | StepKind::Raster { .. }
        | StepKind::Unroll(_)
        | StepKind::Take { .. }
        | StepKind::Stream { .. }
        | StepKind::Ring { .. }
        | StepKind::Require(..)
        | StepKind::RequireCode(_) => Affected::Nothing,
        StepKind::Vectorize(l)
        | StepKind::Parallel(l)
        | StepKind::Map(l, _)
        | StepKind::Unit(l, _) => Affected::Marks(std::slice::from_ref(l)),
        StepKind::Tensorize { loops, .. } => Affected::Marks(loops),
        StepKind::Tile { .. }
        | StepKind::Reorder { .. }
        | StepKind::Fuse { .. }
        | StepKind::Distribute { .. }
        | StepKind::Shift { .. }
        | StepKind::Coalesce { .. }
        | StepKind::Reverse(_)
        | StepKind::Order(_)
        | StepKind::OrderBy(_)
        | StepKind::Stage { .. }
        | StepKind::Fold { .. }
        | StepKind::FuseAt { .. }
        | StepKind::SplitReduction { .. }
        | StepKind::Privatise { .. }
        | StepKind::Recall { .. }
        | StepKind::Atomically(_) => Affected::Order,
    }
}

/// Checks the order (if asked) and the marks of every loop; those that hold because they did in
/// the tree before a step are not asked for again.
fn check(deps: &DepContext, before: Option<&Tree>, tree: &Tree, order: bool) -> Applied<()> {
    if order {
        deps.check_order(tree)?;
    }
    let asked = |l: &&TreeLoop| !before.is_some_and(|before| kept(before, tree, l));
    let marked = |l: &&TreeLoop| !l.marks.words().is_empty();
    let loops = tree.loops().into_iter().filter(marked).filter(asked);
    loops.into_iter().try_for_each(|l| check_marks(deps, tree, l))
}

fn check_marks(deps: &DepContext, tree: &Tree, l: &TreeLoop) -> Applied<()> {
    if l.marks.parallel || l.marks.map.is_some() || l.marks.unit.is_some() {
        deps.check_parallel(tree, &l.name)?;
    }
    if l.marks.vectorize {
        deps.check_vector(tree, &l.name)?;
    }
    if let Some(tensor) = &l.marks.tensor {
        deps.check_tensor(tree, &l.name, tensor)?;
    }
    Ok(())
}

/// Checks a contract.
fn require(deps: &DepContext, tree: &Tree, property: Property, target: &Ref) -> Applied<()> {
    let name = steps::resolve(tree, target)?;
    let answer = match property {
        Property::Parallel => deps.check_parallel(tree, &name),
        Property::Vector => deps.check_vector(tree, &name),
    };
    answer.map_err(|mut illegal| {
        illegal.diagnostic.code = "E0710";
        illegal.diagnostic.message =
            format!("the contract is broken: {}", illegal.diagnostic.message);
        illegal
    })
}

/// The steps as methods, for programs.
impl Schedule {
    /// `tile loops by sizes`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn tile(&self, loops: &[&str], sizes: &[i64]) -> Applied<Self> {
        let (sizes, names) = (sizes.to_vec(), Vec::new());
        self.apply(StepKind::Tile { loops: refs(loops), sizes, names })
    }

    /// `split target by size`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn split(&self, target: &str, size: i64) -> Applied<Self> {
        self.apply(StepKind::Split { target: target.into(), size, names: Vec::new() })
    }

    /// `reorder loops`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn reorder(&self, loops: &[&str]) -> Applied<Self> {
        self.apply(StepKind::Reorder { loops: refs(loops) })
    }

    /// `fuse first, second`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn fuse(&self, first: &str, second: &str) -> Applied<Self> {
        let (first, second) = (first.into(), second.into());
        self.apply(StepKind::Fuse { first, second, shift: 0, name: None })
    }

    /// `distribute target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn distribute(&self, target: &str) -> Applied<Self> {
        self.apply(StepKind::Distribute { target: target.into(), at: None, names: Vec::new() })
    }

    /// `skew target by factor*by`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn skew(&self, target: &str, factor: i64, by: &str) -> Applied<Self> {
        self.apply(StepKind::Skew { target: target.into(), factor, by: by.into() })
    }

    /// `shift target by by`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn shift(&self, target: &str, by: i64) -> Applied<Self> {
        self.apply(StepKind::Shift { target: target.into(), by: Affine::constant(by) })
    }

    /// `coalesce outer, inner`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn coalesce(&self, outer: &str, inner: &str) -> Applied<Self> {
        let (outer, inner) = (outer.into(), inner.into());
        self.apply(StepKind::Coalesce { outer, inner, name: None })
    }

    /// `unroll target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn unroll(&self, target: &str) -> Applied<Self> {
        self.apply(StepKind::Unroll(target.into()))
    }

    /// `vectorize target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn vectorize(&self, target: &str) -> Applied<Self> {
        self.apply(StepKind::Vectorize(target.into()))
    }

    /// `parallel target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn parallel(&self, target: &str) -> Applied<Self> {
        self.apply(StepKind::Parallel(target.into()))
    }

    /// `map target to place`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn map(&self, target: &str, place: Place) -> Applied<Self> {
        self.apply(StepKind::Map(target.into(), place))
    }

    /// `reverse target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn reverse(&self, target: &str) -> Applied<Self> {
        self.apply(StepKind::Reverse(target.into()))
    }

    /// `stage array at target as name layout …` for all accesses below the loop.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn stage(
        &self,
        array: &str,
        target: &str,
        name: &str,
        layout: &[LayoutTerm],
    ) -> Applied<Self> {
        let (array, at, name) = (array.into(), Some(target.into()), Some(name.into()));
        let (readers, layout, across) = (Vec::new(), layout.to_vec(), Vec::new());
        self.apply(StepKind::Stage { array, readers, at, name, layout, pad: 0, across })
    }

    /// `fuse-at producers at target`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn fuse_at(&self, producers: &[&str], target: &str) -> Applied<Self> {
        self.apply(StepKind::FuseAt { producers: refs(producers), at: target.into() })
    }

    /// `split-reduction target at l as name`; without `at` where that is `None`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn split_reduction(&self, target: &str, at: Option<&str>, name: &str) -> Applied<Self> {
        let (target, at, name) = (target.into(), at.map(Ref::from), Some(name.into()));
        self.apply(StepKind::SplitReduction { target, at, name })
    }

    /// `privatise array at l as name`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn privatise(&self, array: &str, at: &str, name: &str) -> Applied<Self> {
        let (array, at, name) = (array.into(), at.into(), Some(name.into()));
        self.apply(StepKind::Privatise { array, at, name })
    }

    /// `order { tree }`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn order(&self, tree: &Tree) -> Applied<Self> {
        self.apply(StepKind::Order(tree.clone()))
    }

    /// `order { S0[i, j] -> [i, 0, j]; … }`.
    ///
    /// # Errors
    /// The reason why the step is refused.
    pub fn order_by(&self, times: &[StatementTimes]) -> Applied<Self> {
        self.apply(StepKind::OrderBy(times.to_vec()))
    }
}

fn refs(names: &[&str]) -> Vec<Ref> {
    names.iter().map(|n| Ref::new(n)).collect()
}

#[cfg(test)]
mod tests;
