//! Lanes for a statement that is alone in its loops.
//!
//! In: a schedule and the name of a statement. Out: the same schedule after a split, a
//! reorder and a mark for that statement, or what `contraction` does.
//! Keeps: the choice rests on how each access moves with each loop and on what each loop carries.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop};

use super::Auto;
use super::contraction::Contraction;
use super::costs::{in_lanes, one_by_one};
use crate::deps::DepKind;

/// How many times wider strips of lanes are where a loop inside them streams through memory.
const WIDE: i64 = 4;

/// What a loop is to a statement.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) name: Name,
    /// The iterator whose value is the loop's row.
    pub(super) iter: Name,
    /// No dependence between its iterations.
    pub(super) free: bool,
    /// It runs downwards.
    pub(super) down: bool,
    /// Only updates of a reduction, whose order may change, depend on each other.
    pub(super) reduces: bool,
    /// Iterations, if the parameters are fixed and the bounds constant.
    pub(super) extent: Option<i64>,
}

impl Auto {
    /// Lanes, rows and tiles for one statement, if it is alone in its loops.
    pub(super) fn statement(&mut self, name: &Name) -> Result<()> {
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(());
        };
        let before = self.at.clone();
        if let Some((parts, inside)) = self.parts_of_sum(name, &roles) {
            self.arrange(name, &poly, s, &inside)?;
            if self.partial_results(parts) {
                return Ok(());
            }
        }
        self.at = before;
        self.arrange(name, &poly, s, &roles)
    }

    /// Lanes, rows and tiles from what the loops are.
    fn arrange(
        &mut self,
        name: &Name,
        poly: &Poly,
        s: &PolyStatement,
        roles: &[Role],
    ) -> Result<()> {
        if let Some(contraction) = Contraction::of(s, roles) {
            self.contraction(name, poly, &contraction);
        } else if let Some(lanes) = lanes(s, roles, self.register(poly, name)).cloned() {
            self.lanes_alone(name, poly, roles, &lanes)?;
        }
        Ok(())
    }

    /// What each of a statement's own loops is, if each runs over one iterator.
    pub(super) fn roles(&mut self, name: &Name) -> Result<Option<Vec<Role>>> {
        let chain = own_chain(self.at.tree(), name);
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(name).filter(|_| !chain.is_empty()) else { return Ok(None) };
        let mut roles = Vec::new();
        for l in &chain {
            roles.extend(self.role(&poly, s, l)?);
        }
        Ok(Some(roles).filter(|r| r.len() == chain.len()))
    }

    /// What a loop over a single iterator is.
    pub(super) fn role(
        &mut self,
        poly: &Poly,
        s: &PolyStatement,
        l: &TreeLoop,
    ) -> Result<Option<Role>> {
        let Some(row) = l.rows.get(&s.statement.name) else { return Ok(None) };
        let iters: Vec<Name> = row.vars().into_iter().collect();
        let [iter] = iters.as_slice() else { return Ok(None) };
        let (iter, down) = (iter.clone(), row.coefficient(iter) == -1);
        let plain = Affine::var(iter.clone()).scale(if down { -1 } else { 1 });
        if plain.as_ref() != Ok(row) {
            return Ok(None);
        }
        let tree = self.at.tree().clone();
        let deps = self.session.deps(&self.at)?;
        let free = deps.coincident(&tree, &l.name)?.is_none();
        let why = if free { None } else { deps.coincident(&tree, &l.name)? };
        let reduces = why.is_some_and(|w| w.kind == DepKind::Reduction)
            && deps.check_vector(&tree, &l.name).is_ok();
        let extent = extent(poly, s, &iter);
        Ok(Some(Role { name: l.name.clone(), iter, free, down, reduces, extent }))
    }

    /// Elements of the statement's target in a vector register.
    pub(super) fn register(&self, poly: &Poly, statement: &Name) -> i64 {
        let array = poly.statement(statement).map(|s| &s.statement.target.array);
        let dtype = array.and_then(|a| poly.arrays.iter().find(|x| x.name == *a)).map(|a| a.dtype);
        let bytes = dtype.map_or(4, |d| i64::try_from(d.size_bytes()).unwrap_or(8));
        (self.options.vector_bytes / bytes.max(1)).max(1)
    }

    /// Splits a loop; the names of the outer and the inner loop.
    pub(super) fn split(
        &mut self,
        statement: &Name,
        role: &Role,
        size: i64,
    ) -> Option<(Name, Name)> {
        let before: Vec<Name> = self.at.tree().loops().iter().map(|l| l.name.clone()).collect();
        let target = Ref::from(role.name.clone());
        if !self.step(StepKind::Split { target, size, names: Vec::new() }) {
            return None;
        }
        let mut new = own_chain(self.at.tree(), statement)
            .into_iter()
            .map(|l| l.name.clone())
            .filter(|n| !before.contains(n))
            .collect::<Vec<_>>()
            .into_iter();
        let (outer, inner) = (new.next()?, new.next()?);
        if let Some(extent) = role.extent {
            self.extents.insert(outer.clone(), (extent + size - 1) / size);
        }
        self.extents.insert(inner.clone(), role.extent.map_or(size, |e| e.min(size)));
        Some((outer, inner))
    }

    /// Lanes for a statement without reuse: strips of a few registers, innermost. Where a loop
    /// carries a dependence it stands inside the loop over strips, so that what it updates stays
    /// in registers; the strips are then several cache lines wide where they are contiguous. A loop
    /// that is innermost and too short for threads needs no strips.
    fn lanes_alone(
        &mut self,
        name: &Name,
        poly: &Poly,
        roles: &[Role],
        lanes: &Role,
    ) -> Result<()> {
        let whole = roles.last().is_some_and(|r| r.name == lanes.name && r.free);
        let inner = self.at.tree().find(&lanes.name).cloned();
        if whole
            && let Some(l) = inner
            && roles.iter().all(|r| r.free)
            && !self.worth(&l)?
        {
            self.step(StepKind::Vectorize(Ref::from(lanes.name.clone())));
            return Ok(());
        }
        let serial: Vec<Name> = roles.iter().filter(|r| !r.free).map(|r| r.name.clone()).collect();
        let register = self.register(poly, name);
        let reads = poly.statement(name).map(|s| s.statement.reads()).unwrap_or_default();
        let streams = reads.iter().all(|a| stride(a, &lanes.iter) != Stride::Far);
        let wide = lanes.free && !serial.is_empty() && streams;
        let usual = self.options.vectors * if wide { WIDE } else { 1 };
        let registers = self.choose_one(name, "lanes", &["registers"], usual, &[1, 2, 4, 8, 16]);
        let width = register * registers;
        let Some((_, inner)) = self.split(name, lanes, width) else {
            return Ok(());
        };
        let mut last = if lanes.free { serial } else { Vec::new() };
        last.push(inner.clone());
        self.innermost(name, &last);
        self.step(StepKind::Vectorize(Ref::from(inner)));
        Ok(())
    }

    /// Moves these loops of a statement to the inside, in this order.
    pub(super) fn innermost(&mut self, statement: &Name, last: &[Name]) {
        let chain: Vec<Name> =
            own_chain(self.at.tree(), statement).iter().map(|l| l.name.clone()).collect();
        let mut order: Vec<Name> = chain.iter().filter(|n| !last.contains(n)).cloned().collect();
        order.extend(last.iter().cloned());
        if order != chain {
            self.step(StepKind::Reorder { loops: order.into_iter().map(Ref::from).collect() });
        }
    }
}

/// The loops around a statement, outermost first, from the first that holds nothing else.
pub(super) fn own_chain(tree: &Tree, statement: &Name) -> Vec<TreeLoop> {
    tree.loops()
        .into_iter()
        .filter(|l| l.body.statements() == std::slice::from_ref(statement))
        .cloned()
        .collect()
}

/// Iterations of an iterator, if its bounds are constants once the parameters are known.
pub(super) fn extent(poly: &Poly, s: &PolyStatement, iter: &Name) -> Option<i64> {
    let (mut low, mut high): (Option<i64>, Option<i64>) = (None, None);
    for c in s.domain.iter().filter(|c| !c.equality) {
        let factor = c.expr.coefficient(iter);
        let rest = c.expr.sub(&Affine::var(iter.clone()).scale(factor).ok()?).ok()?;
        match (factor, poly.fixed(&rest)) {
            (1, Some(value)) => low = low.max(Some(value.checked_neg()?)),
            (-1, Some(value)) => high = Some(high.map_or(value, |h| h.min(value))),
            _ => {}
        }
    }
    high?.checked_sub(low?)?.checked_add(1)
}

/// How many values an iterator of a statement has at most, whatever those of others are; none where
/// its ends are not known.
pub(super) fn span(poly: &Poly, s: &PolyStatement, iter: &Name) -> Option<i64> {
    let (low, high) = ends(poly, s, iter, &mut vec![iter.clone()])?;
    high.checked_sub(low)?.checked_add(1)
}

/// The least and greatest value of an iterator; bounds by iterators that are asked about already
/// say nothing.
fn ends(poly: &Poly, s: &PolyStatement, iter: &Name, asked: &mut Vec<Name>) -> Option<(i64, i64)> {
    let (mut low, mut high): (Option<i64>, Option<i64>) = (None, None);
    for c in s.domain.iter().filter(|c| !c.equality) {
        let factor = c.expr.coefficient(iter);
        let own = Affine::var(iter.clone()).scale(factor).ok()?;
        let Some(most) = (factor == 1 || factor == -1)
            .then(|| most(poly, s, &c.expr.sub(&own).ok()?, asked))
            .flatten()
        else {
            continue;
        };
        match factor {
            1 => low = low.max(Some(most.checked_neg()?)),
            _down => high = Some(high.map_or(most, |h| h.min(most))),
        }
    }
    Some((low?, high?))
}

/// The greatest value of an expression of iterators.
fn most(poly: &Poly, s: &PolyStatement, e: &Affine, asked: &mut Vec<Name>) -> Option<i64> {
    let mut rest = e.clone();
    let mut sum = 0_i64;
    for other in e.vars().iter().filter(|v| s.iters.contains(v)) {
        if asked.contains(other) {
            return None;
        }
        asked.push((*other).clone());
        let found = ends(poly, s, other, asked);
        asked.pop();
        let (low, high) = found?;
        let c = e.coefficient(other);
        rest = rest.sub(&Affine::var((*other).clone()).scale(c).ok()?).ok()?;
        sum = sum.checked_add(c.checked_mul(if c > 0 { high } else { low })?)?;
    }
    sum.checked_add(poly.fixed(&rest)?)
}

/// How an access moves when an iterator advances by one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stride {
    /// Not at all.
    None,
    /// To the next element.
    One,
    /// Further.
    Far,
}

pub(super) fn stride(access: &Access, iter: &Name) -> Stride {
    let moves = |e: &Affine| e.vars().contains(iter);
    let Some((last, outer)) = access.indices.split_last() else {
        return Stride::None;
    };
    if outer.iter().any(moves) {
        return Stride::Far;
    }
    let inside_division = last.terms().any(|(atom, _)| match atom {
        warploom_ir::affine::Atom::Var(_) => false,
        warploom_ir::affine::Atom::FloorDiv(e, _) | warploom_ir::affine::Atom::Mod(e, _) => {
            moves(e)
        }
    });
    match (moves(last), last.coefficient(iter), inside_division) {
        (false, _, _) => Stride::None,
        (true, 1, false) => Stride::One,
        (true, _, _) => Stride::Far,
    }
}

/// The loop whose iterations cost least as lanes, if that is less than one by one in the order of
/// the text; `register` is how many lanes a register holds.
pub(super) fn lanes<'a>(s: &PolyStatement, roles: &'a [Role], register: i64) -> Option<&'a Role> {
    let advance = |role: &Role| vec![(role.iter.clone(), 1)];
    let text = roles.last()?;
    let usual = one_by_one(s, &advance(text), !text.free);
    let mut best: Option<(i64, &Role)> = None;
    for role in roles.iter().filter(|r| !r.down && (r.free || r.reduces)) {
        let cost = in_lanes(s, &advance(role), register);
        let short = role.extent.is_some_and(|e| e < 2);
        if !short && cost < usual && best.is_none_or(|(least, _)| cost <= least) {
            best = Some((cost, role));
        }
    }
    best.map(|(_, role)| role)
}
