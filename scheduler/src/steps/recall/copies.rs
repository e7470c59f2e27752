//! The copies that `recall` makes: which there are, what fills them, and where accesses find what.
//!
//! In: the parts of the statements below a loop. Out: an array for each group of elements, the
//! statement that fills it first in an iteration, and the parts' accesses redirected to it.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Result, Span};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::nest::{Array, AssignOp, Constraint, Role, Statement};
use warploom_ir::schedule::{Poly, PolyStatement, Tree};
use warploom_isl::Map;

use super::{Answer, BEFORE, Piece, Recall};
use crate::footprint::{Box_, Iterations, fresh};
use crate::steps::stage::{loops, redirect};

/// Elements that a copy holds.
pub(super) struct Copied {
    /// The statement and indices of the accesses that it serves.
    uses: Vec<(usize, Vec<Affine>)>,
    /// Coordinates to elements.
    touched: Map,
}

impl Recall<'_> {
    /// The copies: accesses with the same indices share one, and so do those whose elements it
    /// has.
    pub(super) fn copied(&self, pieces: &[Piece]) -> Answer<Vec<Copied>> {
        let mut out: Vec<Copied> = Vec::new();
        for piece in pieces {
            for access in piece.value.reads().into_iter().filter(|a| &*a.array == BEFORE) {
                let elements = self.deps.model.rows(piece.statement, &access.indices)?;
                let elements = elements.intersect_domain(&piece.instances)?;
                let touched = self.iterations.touched(
                    &self.deps.model,
                    self.tree,
                    piece.statement,
                    &elements,
                )?;
                let one = (piece.statement, access.indices.clone());
                match out.iter_mut().find(|c| c.uses.contains(&one)) {
                    Some(copy) => copy.touched = copy.touched.union(&touched)?.coalesce()?,
                    None => out.push(Copied { uses: vec![one], touched }),
                }
            }
        }
        let mut kept: Vec<Copied> = Vec::new();
        for mut copy in out {
            let homes = kept.iter().map(|other| copy.touched.is_subset(&other.touched));
            let homes = homes.collect::<std::result::Result<Vec<_>, _>>()?;
            if let Some(home) = homes.iter().position(|is| *is) {
                kept[home].uses.append(&mut copy.uses);
                continue;
            }
            let mut rest = Vec::new();
            for mut other in kept {
                if other.touched.is_subset(&copy.touched)? {
                    copy.uses.append(&mut other.uses);
                } else {
                    rest.push(other);
                }
            }
            kept = rest;
            kept.push(copy);
        }
        Ok(kept)
    }

    /// Adds an array and the statement that fills it, lets the accesses that it serves go to it;
    /// `made` are the places of parts with those of their statements. The loops of the statement.
    pub(super) fn copy(
        &self,
        poly: &mut Poly,
        name: &Name,
        copy: &Copied,
        bounds: &[(i64, i64)],
        made: &[(usize, usize)],
    ) -> Result<Tree> {
        let its = &self.iterations;
        let box_ =
            self.deps.ask("finding the size of a copy", || its.bounding_box(&copy.touched))?;
        let Some(box_) = box_ else { return Err(self.unknown()) };
        let kept: Vec<usize> = (0..box_.extent.len()).filter(|d| box_.extent[*d] > 1).collect();
        let extents = bounds.iter().map(|(low, high)| high.saturating_sub(*low) + 1);
        let shape = extents.chain(kept.iter().map(|d| box_.extent[*d])).map(Affine::constant);
        let (dtype, role, span) = (self.array.dtype, Role::Temp, Span::NONE);
        poly.arrays.push(Array { name: name.clone(), role, dtype, shape: shape.collect(), span });
        let room = Room { name, its, box_, kept, bounds };
        let filled = self
            .deps
            .ask("making a copy", || self.filled(&room, &copy.touched, &self.array.name))?;
        let Some((statement, inside)) = filled else {
            return Err(self.refuse("what is read of it is not one convex set"));
        };
        for (k, indices) in &copy.uses {
            let rows = its.rows(self.tree, &self.statement(*k).name);
            let new = self.deps.ask("making a copy", || room.place(&rows, indices))?;
            let old = Access { array: BEFORE.into(), indices: indices.clone(), span: Span::NONE };
            for (part, _) in made.iter().filter(|(_, from)| from == k) {
                redirect(&mut poly.statements[*part].statement, &old, &new);
            }
        }
        poly.statements.push(statement);
        Ok(loops(name, &inside))
    }

    /// The statement that fills a copy, and its iterators behind the coordinates.
    fn filled(
        &self,
        room: &Room<'_>,
        touched: &Map,
        array: &Name,
    ) -> Answer<Option<(PolyStatement, Vec<Name>)>> {
        let (its, box_) = (&self.iterations, &room.box_);
        let places = fresh(&its.params, "b", box_.extent.len());
        let lookup = |v: &str| {
            let d = places.iter().position(|n| &**n == v)?;
            (box_.extent[d] == 1).then(|| box_.offset[d].clone())
        };
        // which equalities isl knows depends on what it was asked before
        let exact = its.constraints(&touched.detect_equalities()?, &places)?;
        let Some(exact) = exact else { return Ok(None) };
        let mut domain = Vec::new();
        for c in exact {
            let expr = c.expr.substitute(&lookup)?;
            if expr.as_constant().is_none() {
                domain.push(Constraint { expr, equality: c.equality });
            }
        }
        domain.sort_by_cached_key(|c| (c.equality, c.expr.to_string()));
        let variables =
            |names: &[Name]| -> Vec<Affine> { names.iter().cloned().map(Affine::var).collect() };
        let mut indices = Vec::new();
        for place in variables(&places) {
            indices.push(place.substitute(&lookup)?);
        }
        let target = room.place(&variables(&its.names), &indices)?;
        let read = Access { array: array.clone(), indices, span: Span::NONE };
        let inside: Vec<Name> = room.kept.iter().map(|d| places[*d].clone()).collect();
        let iters = its.names.iter().chain(&inside).cloned().collect();
        let statement =
            Statement::plain(room.name.clone(), target, AssignOp::Set, Expr::Read(read));
        Ok(Some((PolyStatement { statement, iters, domain, origin: None }, inside)))
    }
}

/// Where a copy has which element.
struct Room<'a> {
    name: &'a Name,
    its: &'a Iterations,
    /// What each iteration has.
    box_: Box_,
    /// The dimensions along which that is more than one element.
    kept: Vec<usize>,
    /// The values of the coordinates.
    bounds: &'a [(i64, i64)],
}

impl Room<'_> {
    /// The place of an element, in the iteration with these coordinates.
    fn place(&self, coordinates: &[Affine], element: &[Affine]) -> Answer<Access> {
        let mut indices = Vec::new();
        for (row, (low, _)) in coordinates.iter().zip(self.bounds) {
            indices.push(row.sub(&Affine::constant(*low))?);
        }
        for d in &self.kept {
            let offset = self.its.at_rows(&self.box_.offset[*d], coordinates)?;
            indices.push(element[*d].sub(&offset)?);
        }
        Ok(Access { array: self.name.clone(), indices, span: Span::NONE })
    }
}
