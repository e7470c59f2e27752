//! Lanes, register tiles and cache tiles for a statement that is alone in its loops.
//!
//! In: a schedule and the name of a statement. Out: the same schedule after splits, one reorder and
//! marks for that statement.
//! Keeps: the choice rests on how each access moves with each loop and on what each loop carries.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop};

use super::Auto;
use crate::deps::DepKind;

/// What a loop is to a statement.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) name: Name,
    /// The iterator whose value is the loop's row.
    pub(super) iter: Name,
    /// No dependence between its iterations.
    pub(super) free: bool,
    /// Only updates of a reduction, whose order may change, depend on each other.
    pub(super) reduces: bool,
    /// Iterations, if the parameters are fixed and the bounds constant.
    pub(super) extent: Option<i64>,
}

impl Auto {
    /// Lanes, rows and tiles for one statement, if it is alone in its loops.
    pub(super) fn statement(&mut self, name: &Name) -> Result<()> {
        let chain = own_chain(self.at.tree(), name);
        let poly = self.at.poly().clone();
        let Some(s) = poly.statement(name) else {
            return Ok(());
        };
        let mut roles = Vec::new();
        for l in &chain {
            roles.extend(self.role(&poly, s, l)?);
        }
        if roles.len() != chain.len() || chain.is_empty() {
            return Ok(());
        }
        let Some(lanes) = lanes(s, &roles).cloned() else {
            return Ok(());
        };
        let rows = rows(s, &roles, &lanes).cloned();
        let reductions: Vec<Role> =
            roles.iter().filter(|r| !r.free && r.name != lanes.name).cloned().collect();
        match rows {
            Some(rows) if !reductions.is_empty() => {
                self.contraction(name, &poly, &lanes, &rows, &reductions);
            }
            Some(_) | None => self.lanes_alone(name, &poly, &lanes),
        }
        Ok(())
    }

    /// What a loop over a single iterator is.
    fn role(&mut self, poly: &Poly, s: &PolyStatement, l: &TreeLoop) -> Result<Option<Role>> {
        let Some(iter) = l.rows.get(&s.statement.name).and_then(Affine::as_var).cloned() else {
            return Ok(None);
        };
        let tree = self.at.tree().clone();
        let deps = self.session.deps(&self.at)?;
        let free = deps.coincident(&tree, &l.name)?.is_none();
        let why = if free { None } else { deps.coincident(&tree, &l.name)? };
        let reduces = why.is_some_and(|w| w.kind == DepKind::Reduction)
            && deps.check_vector(&tree, &l.name).is_ok();
        let extent = extent(poly, s, &iter);
        Ok(Some(Role { name: l.name.clone(), iter, free, reduces, extent }))
    }

    /// Elements of the statement's target in a vector register.
    pub(super) fn register(&self, poly: &Poly, statement: &Name) -> i64 {
        let array = poly.statement(statement).map(|s| &s.statement.target.array);
        let dtype = array.and_then(|a| poly.arrays.iter().find(|x| x.name == *a)).map(|a| a.dtype);
        let bytes = dtype.map_or(4, |d| i64::try_from(d.size_bytes()).unwrap_or(8));
        (self.options.vector_bytes / bytes.max(1)).max(1)
    }

    /// Splits a loop; the names of the outer and the inner loop.
    fn split(&mut self, statement: &Name, role: &Role, size: i64) -> Option<(Name, Name)> {
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
        Some((new.next()?, new.next()?))
    }

    /// Splits for the cache only where there are more iterations than a tile has.
    fn cache_split(&mut self, statement: &Name, role: &Role, size: i64) -> (Option<Name>, Name) {
        if role.extent.is_some_and(|e| e <= size) {
            return (None, role.name.clone());
        }
        match self.split(statement, role, size) {
            Some((outer, inner)) => (Some(outer), inner),
            None => (None, role.name.clone()),
        }
    }

    /// Lanes for a statement without reuse: strips of a few registers, innermost.
    fn lanes_alone(&mut self, name: &Name, poly: &Poly, lanes: &Role) {
        let width = self.register(poly, name) * self.options.vectors;
        let Some((_, inner)) = self.split(name, lanes, width) else {
            return;
        };
        self.innermost(name, std::slice::from_ref(&inner));
        self.step(StepKind::Vectorize(Ref::from(inner)));
    }

    /// Register and cache tiles for a reduction.
    fn contraction(
        &mut self,
        name: &Name,
        poly: &Poly,
        lanes: &Role,
        rows: &Role,
        reductions: &[Role],
    ) {
        let options = self.options;
        let width = self.register(poly, name) * options.vectors;
        let named = |role: &Role, name: Name| Role { name, ..role.clone() };
        let (row_tile, row) = self.cache_split(name, rows, options.row_tile);
        let (lane_tile, lane) = self.cache_split(name, lanes, options.lane_tile.max(width));
        let mut inner = Vec::new();
        let mut sum_tiles = Vec::new();
        for r in reductions {
            let (outer, point) = self.cache_split(name, r, options.reduction_tile);
            sum_tiles.extend(outer);
            inner.push(point);
        }
        let row_split = self.split(name, &named(rows, row.clone()), options.rows);
        let lane_split = self.split(name, &named(lanes, lane.clone()), width);
        let mut order: Vec<Name> = row_tile.into_iter().chain(lane_tile).collect();
        order.extend(sum_tiles);
        let (row_blocks, row_points) = row_split.map_or((None, row), |(o, i)| (Some(o), i));
        let (lane_blocks, lane_points) = lane_split.map_or((None, lane), |(o, i)| (Some(o), i));
        order.extend(row_blocks);
        order.extend(lane_blocks);
        order.extend(inner);
        order.extend([row_points.clone(), lane_points.clone()]);
        self.innermost(name, &order);
        self.step(StepKind::Unroll(Ref::from(row_points)));
        self.step(StepKind::Vectorize(Ref::from(lane_points)));
    }

    /// Moves these loops of a statement to the inside, in this order.
    fn innermost(&mut self, statement: &Name, last: &[Name]) {
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
fn own_chain(tree: &Tree, statement: &Name) -> Vec<TreeLoop> {
    tree.loops()
        .into_iter()
        .filter(|l| l.body.statements() == std::slice::from_ref(statement))
        .cloned()
        .collect()
}

/// Iterations of an iterator, if its bounds are constants once the parameters are known.
pub(super) fn extent(poly: &Poly, s: &PolyStatement, iter: &Name) -> Option<i64> {
    let fixed = |name: &str| poly.params.iter().find(|p| &*p.name == name).and_then(|p| p.value);
    let (mut low, mut high): (Option<i64>, Option<i64>) = (None, None);
    for c in s.domain.iter().filter(|c| !c.equality) {
        let factor = c.expr.coefficient(iter);
        let rest = c.expr.sub(&Affine::var(iter.clone()).scale(factor).ok()?).ok()?;
        match (factor, rest.eval(&fixed)) {
            (1, Some(value)) => low = low.max(Some(value.checked_neg()?)),
            (-1, Some(value)) => high = Some(high.map_or(value, |h| h.min(value))),
            _ => {}
        }
    }
    high?.checked_sub(low?)?.checked_add(1)
}

/// How an access moves when an iterator advances by one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stride {
    /// Not at all.
    None,
    /// To the next element.
    One,
    /// Further.
    Far,
}

fn stride(access: &Access, iter: &Name) -> Stride {
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

/// The loop along which most accesses are contiguous or constant; the target must be.
pub(super) fn lanes<'a>(s: &PolyStatement, roles: &'a [Role]) -> Option<&'a Role> {
    let mut best: Option<(i64, &Role)> = None;
    for role in roles.iter().filter(|r| r.free || r.reduces) {
        let value = |stride: Stride, weight: i64| match stride {
            Stride::One => weight,
            Stride::None => 0,
            Stride::Far => -4 * weight,
        };
        let target = stride(&s.statement.target, &role.iter);
        if target == Stride::Far || role.extent.is_some_and(|e| e < 2) {
            continue;
        }
        let reads = s.statement.value.reads();
        let score =
            value(target, 2) + reads.iter().map(|a| value(stride(a, &role.iter), 1)).sum::<i64>();
        if score > 0 && best.is_none_or(|(most, _)| score >= most) {
            best = Some((score, role));
        }
    }
    best.map(|(_, role)| role)
}

/// The free loop for which most of what moves along the lanes stays: it is used again in each row.
fn rows<'a>(s: &PolyStatement, roles: &'a [Role], lanes: &Role) -> Option<&'a Role> {
    let reads = s.statement.value.reads();
    let reuse = |r: &Role| {
        reads
            .iter()
            .filter(|a| stride(a, &lanes.iter) == Stride::One && stride(a, &r.iter) == Stride::None)
            .count()
    };
    roles
        .iter()
        .filter(|r| r.free && r.name != lanes.name && reuse(r) > 0)
        .max_by_key(|r| (reuse(r), r.extent.unwrap_or(i64::MAX)))
}
