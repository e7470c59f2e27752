//! Whether instructions combine what the statement does, and zeros with the rest.
//!
//! In: the statement's accesses, and which iterations of the ring its guards leave out. Out: that
//! every product of two elements that it touches is one of its own, and that iterations which it
//! has not may run, as one operand is zeros there.
//! Keeps: what `strict` forbids: products with zero that the statement does not make.

use std::collections::BTreeSet;

use warploom_ir::affine::Affine;
use warploom_ir::expr::Access;
use warploom_ir::nest::Constraint;
use warploom_isl::{DimType, Set};

use super::filling::Filling;
use super::product::{Product, elements};
use super::{Answer, Plan, Site, unfit};
use crate::footprint::{Domain, Iterations};
use crate::poly_isl::Model;

impl Product {
    /// The coordinates of the ring's iterations that the statement has.
    pub(super) fn had(&self, site: &Site<'_>, model: &Model) -> Answer<Set> {
        let at = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        Ok(elements(site, model, site.statement, &at, &[Affine::constant(0)])?.domain()?)
    }

    /// Lets iterations of the ring run that guards leave out.
    pub(super) fn pad_ring(&mut self, site: &Site<'_>, model: &Model) -> Answer<()> {
        let at = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        let all = at.unguarded(model, site.tree, site.statement, &[Affine::constant(0)])?;
        self.padded = all.map(|all| all.domain()).transpose()?;
        Ok(())
    }

    /// Lets as many iterations of the ring of a product with a held operand run in each iteration
    /// of the loops around: a tile at the end of the arrays has fewer, and zeros for the rest.
    pub(super) fn even_ring(&mut self, site: &Site<'_>, model: &Model) -> Answer<()> {
        let held = self.operands.iter().any(|o| o.on_chip);
        if !held || self.padded.is_some() || self.ring == 0 {
            return Ok(());
        }
        let own = self.had(site, model)?;
        let ring = site.path[self.ring];
        let around = Iterations::of(site.poly, site.tree, &site.path[self.ring - 1].name);
        let row = [ring.rows[site.name()].clone()];
        let touched = elements(site, model, site.statement, &around, &row)?;
        let Some(all) = around.bounding_box(&touched)? else { return Ok(()) };
        let from = Affine::var(self.coordinates[self.ring].clone()).sub(&all.offset[0])?;
        let last = Affine::constant(all.extent[0] - 1).sub(&from)?;
        let facts = [from, last].map(Constraint::non_negative);
        let all = model.relation(&around.names, &self.coordinates[self.ring..], &facts)?;
        let all = all.intersect_domain(&touched.domain()?)?.wrap()?.flatten()?;
        self.padded = (!all.is_subset(&own)?).then_some(all);
        Ok(())
    }

    /// Whether elements and iteration of the ring decide all iterators, whose values do not depend
    /// on each other: then what elements are touched in says which instance combines them.
    pub(super) fn decides(&self, site: &Site<'_>, target: &Access, factors: &[Access; 2]) -> bool {
        let statement = &site.poly.statements[site.statement];
        let Some(domain) = Domain::of(site.poly, statement).filter(Domain::is_rectangle) else {
            return false;
        };
        let decided = |access: &Access, depth: usize| {
            let around = Iterations::of(site.poly, site.tree, &site.path[depth].name);
            let rows = around.rows(site.tree, &statement.statement.name);
            domain.decided(&[rows.as_slice(), &access.indices].concat())
        };
        let by = factors.each_ref().map(|f| decided(f, self.ring));
        let all = |a: &BTreeSet<usize>, b: &BTreeSet<usize>| {
            (0..statement.iters.len()).all(|i| a.contains(&i) || b.contains(&i))
        };
        if statement.statement.strict {
            let held = decided(target, self.scope);
            return by.iter().all(|factor| all(factor, &held));
        }
        let both: BTreeSet<usize> = by.iter().flatten().copied().collect();
        all(&both, &decided(target, self.ring))
    }

    /// Every triple of elements that the statement touches in an iteration of the ring, and that
    /// an instruction would combine, is an instance of the statement.
    pub(super) fn check(
        &self,
        site: &Site<'_>,
        model: &Model,
        target: &Access,
        factors: &[Access; 2],
    ) -> Answer<()> {
        if self.apart {
            return Ok(());
        }
        let iterations = Iterations::of(site.poly, site.tree, &site.path[self.ring].name);
        let statement = &site.poly.statements[site.statement].statement.name;
        let rows = iterations.rows(site.tree, statement);
        let domain = &model.domains[site.statement];
        let mut all: Vec<Set> = Vec::new();
        for access in factors.iter().chain([target]) {
            let values = [rows.as_slice(), &access.indices].concat();
            let map = model.everywhere(site.statement, &values)?;
            let touched = map.intersect_domain(domain)?.range()?;
            let mine = map.intersect_range(&touched)?.domain()?;
            all.push(mine);
        }
        let both = |a: usize, b: usize| all[a].intersect(&all[b]);
        let mut inside = both(0, 1)?.intersect(&all[2])?.is_subset(domain)?;
        if site.poly.statements[site.statement].statement.strict {
            // nor may an element of a factor meet a zero, whose product may be no zero
            let tiles = Iterations::of(site.poly, site.tree, &site.path[self.scope].name);
            let rows = tiles.rows(site.tree, statement);
            let values = [rows.as_slice(), &target.indices].concat();
            let map = model.everywhere(site.statement, &values)?;
            let held = map.intersect_range(&map.intersect_domain(domain)?.range()?)?.domain()?;
            for factor in &all[..2] {
                inside &= factor.intersect(&held)?.is_subset(domain)?;
            }
        }
        if inside {
            return Ok(());
        }
        Err(unfit(format!(
            "`{statement}` does not run for every combination of its tiles' rows, columns and \
             products, as an instruction would"
        ))
        .into())
    }
}

impl Plan {
    /// Whether iterations of a ring run that no statement has in any tile.
    pub(super) fn adds_zeros(&self, sites: &[Site<'_>], model: &Model) -> Answer<bool> {
        for (product, site) in self.products.iter().zip(sites) {
            let Some(all) = &product.padded else { continue };
            let tiles = product.outer_scopes().len();
            let inside = |set: &Set| set.project_out(DimType::Set, 0, tiles);
            if !inside(all)?.is_subset(&inside(&product.had(site, model)?)?)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// In iterations of the ring that the statement does not have, one operand is zeros.
    pub(super) fn check_padding(&self, p: usize, site: &Site<'_>, model: &Model) -> Answer<()> {
        let product = &self.products[p];
        let Some(all) = &product.padded else { return Ok(()) };
        let own = self.works.iter().zip(&self.owners).filter(|(_, owner)| **owner == p);
        // the least scale is no zero
        let zeros = |f: &Filling| !product.scaled_by(&f.buffer);
        let threads = own.into_iter().any(|(work, _)| work.threads().is_some_and(zeros));
        let masks = product.operands.iter().any(|o| o.mask.is_some());
        let mut more = all.subtract(&product.had(site, model)?)?;
        for fill in self.fills.iter().filter(|f| product.operand(&f.buffer).is_some()) {
            more = more.subtract(&fill.beside(site, model, all)?)?;
        }
        // threads write zeros where the statement touches nothing, and masks let nothing through
        if threads || masks || more.is_empty()? {
            return Ok(());
        }
        Err(unfit("iterations that guards leave out would add something").into())
    }
}
