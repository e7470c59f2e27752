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
        let poly = self.at.poly().clone();
        let (Some(s), Some(roles)) = (poly.statement(name), self.roles(name)?) else {
            return Ok(());
        };
        let before = self.at.clone();
        if let Some((parts, inside)) = self.parts_of_sum(name, &roles) {
            self.arrange(name, &poly, s, &inside);
            if self.partial_results(parts) {
                return Ok(());
            }
        }
        self.at = before;
        self.arrange(name, &poly, s, &roles);
        Ok(())
    }

    /// Lanes, rows and tiles from what the loops are.
    fn arrange(&mut self, name: &Name, poly: &Poly, s: &PolyStatement, roles: &[Role]) {
        if let Some(contraction) = Contraction::of(s, roles) {
            self.contraction(name, poly, &contraction);
        } else if let Some(lanes) = lanes(s, roles).cloned() {
            self.lanes_alone(name, poly, &lanes);
        }
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

    /// Lanes for a statement without reuse: strips of a few registers, innermost.
    fn lanes_alone(&mut self, name: &Name, poly: &Poly, lanes: &Role) {
        let width = self.register(poly, name) * self.options.vectors;
        let Some((_, inner)) = self.split(name, lanes, width) else {
            return;
        };
        self.innermost(name, std::slice::from_ref(&inner));
        self.step(StepKind::Vectorize(Ref::from(inner)));
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
