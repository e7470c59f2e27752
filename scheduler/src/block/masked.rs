//! Operands whose boxes hold elements that the statement does not multiply, as where a sum is as
//! long as a triangle says.
//!
//! In: the products and what fills their operands. Out: for each element of an operand that warps
//! load, under which conditions it is what lies in shared memory; else it is zero. Or a refusal.
//! Keeps: of the products that instructions add to results that somebody takes, each is the
//! statement's own or one with such a zero. What threads fill is zero already where the statement
//! touches nothing, and so is what boxes hold beyond the ends of arrays.
//! Why here: what boxes hold is known when all pieces are.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, BinOp};
use warploom_ir::kernel::{Index, Typed, TypedKind};
use warploom_ir::nest::{Constraint, Role};
use warploom_ir::schedule::Tree;
use warploom_isl::{Map, Set};

use super::factor::nothing;
use super::moves::Move;
use super::operand::Operand;
use super::product::{Product, elements};
use super::{Answer, Plan, Site, place_of, unfit};
use crate::footprint::{Iterations, fresh, places_within};
use crate::index::substitute;
use crate::poly_isl::Model;

/// For which elements of an operand's buffer the product takes what lies there.
pub(super) struct Mask {
    /// Names of the coordinates of the ring's loop, then of the element's indices in the buffer.
    pub(super) names: Vec<Name>,
    pub(super) guard: Vec<Constraint>,
}

impl Mask {
    /// A value where the mask lets it through, else zero.
    pub(super) fn applied(
        &self,
        value: Typed<Index>,
        lookup: &dyn Fn(&str) -> Option<Index>,
    ) -> Typed<Index> {
        let dtype = value.dtype;
        self.guard.iter().fold(value, |value, c| {
            let kind = TypedKind::Index(substitute(&c.expr, lookup));
            let place = Box::new(Typed { dtype: DType::I64, kind });
            let op = if c.equality { BinOp::Eq } else { BinOp::Ge };
            let kind = TypedKind::Binary(op, place, Box::new(nothing(DType::I64)));
            let inside = Box::new(Typed { dtype: DType::Bool, kind });
            let kind = TypedKind::Select(inside, Box::new(value), Box::new(nothing(dtype)));
            Typed { dtype, kind }
        })
    }
}

impl Product {
    /// The iterations of the ring that run.
    pub(super) fn running(&self, model: &Model) -> Answer<Set> {
        let mut facts = self.around.clone();
        for (name, value) in self.coordinates.iter().zip(&self.determined) {
            if let Some(value) = value {
                facts.push(Constraint::zero(Affine::var(name.clone()).sub(value)?));
            }
        }
        Ok(model.relation(&self.coordinates, &[], &facts)?.domain()?)
    }

    /// The elements of an operand that the statement touches in each iteration of the ring.
    pub(super) fn touched(&self, site: &Site<'_>, model: &Model, operand: &Operand) -> Answer<Map> {
        let at = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        elements(site, model, site.statement, &at, own_indices(site, operand))
    }

    /// Conditions on elements of an operand's buffer that are these ones in every iteration that
    /// runs; none where they are no convex set.
    pub(super) fn conditions(
        &self,
        model: &Model,
        operand: &Operand,
        (filled, among): (&Map, &Set),
        places: &[Name],
    ) -> Answer<Option<Vec<Constraint>>> {
        let facts = places_within(places, &operand.extents)?;
        let all = model.relation(&self.coordinates, places, &facts)?;
        let whole = all.intersect_domain(among)?;
        let (loops, params) = (Vec::new(), model.poly.params.iter().map(|p| p.name.clone()));
        let names = self.coordinates.clone();
        let at = Iterations { loops, names, params: params.collect() };
        at.constraints(&filled.gist(&whole)?, places)
    }

    /// Whether all that instructions add to results that somebody takes is the statement's own,
    /// where operands are zero but for these elements.
    fn only_own(&self, site: &Site<'_>, model: &Model, held: [&Map; 2]) -> Answer<bool> {
        let (statement, domain) = (site.statement, &model.domains[site.statement]);
        let s = &site.poly.statements[statement].statement;
        let ring = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        let rows = ring.rows(site.tree, &s.name);
        let mut all: Option<Set> = None;
        for (operand, held) in self.operands.iter().zip(held) {
            let values = [rows.as_slice(), own_indices(site, operand)].concat();
            let map = model.everywhere(statement, &values)?;
            let mine = map.intersect_range(&held.wrap()?.flatten()?)?.domain()?;
            all = Some(all.map_or(Ok(mine.clone()), |all| all.intersect(&mine))?);
        }
        // whatever iteration of the ring touches a result, others of its tile add to it too
        let tiles = Iterations::of(site.poly, site.tree, &site.path[self.scope].name);
        let values = [tiles.rows(site.tree, &s.name).as_slice(), &s.target.indices].concat();
        let map = model.everywhere(statement, &values)?;
        let taken = map.intersect_range(&map.intersect_domain(domain)?.range()?)?.domain()?;
        let all = all.map_or(Ok(taken.clone()), |all| all.intersect(&taken))?;
        Ok(all.is_subset(domain)?)
    }
}

/// The indices of an operand's buffer that the statement reads, without coordinates.
fn own_indices<'s>(site: &'s Site<'_>, operand: &Operand) -> &'s [Affine] {
    let reads = site.poly.statements[site.statement].statement.value.reads();
    let access: &Access = (reads.into_iter().find(|a| a.array == operand.buffer))
        .expect("an operand is read by the product");
    &access.indices[site.poly.scopes[&operand.buffer].coordinates..]
}

impl Plan {
    /// Whether some operand has a mask.
    pub(super) fn masks(&self) -> bool {
        self.products.iter().flat_map(|p| &p.operands).any(|o| o.mask.is_some())
    }

    /// Lets elements of a product's operands be zero that the statement does not multiply, where
    /// its iterators depend on each other and boxes hold such elements.
    pub(super) fn mask(&mut self, p: usize, site: &Site<'_>, model: &Model) -> Answer<()> {
        let product = &self.products[p];
        if product.apart {
            return Ok(());
        }
        let boxed = |operand: &Operand| self.fills.iter().find(|f| f.buffer == operand.buffer);
        let boxes = product.operands.each_ref().map(boxed);
        let run = product.running(model)?;
        let mut touched = Vec::new();
        let mut held = Vec::new();
        for (operand, fill) in product.operands.iter().zip(&boxes) {
            let own = product.touched(site, model, operand)?;
            held.push(match fill {
                Some(fill) => fill.held(model, &run)?,
                None => own.clone(),
            });
            touched.push(own);
        }
        for fill in boxes.iter().flatten() {
            self.check_defined(fill, &run, site, model)?;
        }
        let late =
            |side: usize| boxes[side].is_some() && product.operands[side].loads_each(product);
        for masked in [[false, false], [true, false], [false, true], [true, true]] {
            if (0..2).any(|side| masked[side] && !late(side)) {
                continue;
            }
            let of = [0, 1].map(|side| if masked[side] { &touched[side] } else { &held[side] });
            if !product.only_own(site, model, of)? {
                continue;
            }
            for side in (0..2).filter(|side| masked[*side]) {
                let mask = self.mask_of(p, side, (model, &touched[side], &run))?;
                self.products[p].operands[side].mask = Some(mask);
            }
            return Ok(());
        }
        Err(beside(boxes.into_iter().flatten(), site).into())
    }

    /// What a box of an array holds and the statement does not touch has been written before.
    fn check_defined(&self, fill: &Move, run: &Set, site: &Site<'_>, model: &Model) -> Answer<()> {
        let array = site.poly.array(&fill.array).expect("accesses are of known arrays");
        let mut left = match array.role {
            Role::In | Role::InOut | Role::Const(_) => return Ok(()),
            Role::Out | Role::Temp => fill.beside_own(site, model, run)?,
        };
        for name in before(site) {
            let at = place_of(site.poly, &name);
            let s = &site.poly.statements[at].statement;
            if s.target.array == fill.array && s.guard.is_none() {
                left = left.subtract(&model.rows(at, &s.target.indices)?.range()?)?;
            }
        }
        if left.is_empty()? {
            return Ok(());
        }
        Err(beside([fill].into_iter(), site).into())
    }

    /// The mask of an operand with these elements.
    fn mask_of(
        &self,
        p: usize,
        side: usize,
        (model, touched, run): (&Model, &Map, &Set),
    ) -> Answer<Mask> {
        let product = &self.products[p];
        let operand = &product.operands[side];
        let places = fresh(&product.coordinates, "e", operand.extents.len());
        let guard = product.conditions(model, operand, (touched, run), &places)?;
        let Some(guard) = guard else {
            let text = format!(
                "the elements of `{}` that the product takes are no convex set",
                operand.buffer
            );
            return Err(unfit(text).into());
        };
        let names = product.coordinates.iter().chain(&places).cloned().collect();
        Ok(Mask { names, guard })
    }
}

/// The statements of the nests before the one that the program is in.
fn before(site: &Site<'_>) -> Vec<Name> {
    let Tree::Sequence(children) = site.tree else { return Vec::new() };
    let all = children.iter().map(Tree::statements);
    all.take_while(|names| !names.contains(site.name())).flatten().collect()
}

/// The refusal where boxes hold what would be multiplied too.
fn beside<'m>(
    mut boxes: impl Iterator<Item = &'m Move>,
    site: &Site<'_>,
) -> Box<warploom_ir::diag::Diagnostic> {
    let Some(first) = boxes.next() else {
        return unfit(format!(
            "`{}` does not run for every combination of its tiles' rows, columns and products, as \
             an instruction would",
            site.name()
        ));
    };
    let refusal = unfit(format!(
        "the box that `{}` would copy holds elements of `{}` that it does not touch",
        first.statement, first.array
    ));
    let help =
        format!("let threads fill it, with zeros there: `map {}.0 to thread.x`", first.buffer);
    Box::new(refusal.help(help))
}
