//! The pieces of work inside the block loops, and the product that each belongs to.
//!
//! In: the products and the tree below the block loops. Out: the plan's pieces in the tree's order.
//! Keeps: what a piece is follows from the buffers that it touches and from the loop it stands in:
//! at a ring's loop operands are filled and multiplied, at an accumulator's loop its elements are
//! used. A buffer that elements of one product are written to and that another one multiplies stays
//! on the chip ([`held`](super::held)).

use warploom_ir::affine::Name;
use warploom_ir::schedule::{Tree, TreeLoop, Unit};

use super::elements::{self, Elements};
use super::factor::Factor;
use super::filling::Filling;
use super::moves::{self, Move};
use super::slabs::Slabs;
use super::totals::Sums;
use super::{Answer, Plan, Site, Work, misplaced};
use crate::poly_isl::Model;
use crate::steps::stage::all_accesses;

/// A place in the tree, inside some loops.
#[derive(Clone)]
struct Spot<'s, 'a> {
    sites: &'s [Site<'a>],
    model: &'s Model,
    /// The loops, outermost first.
    around: Vec<&'a TreeLoop>,
}

impl Spot<'_, '_> {
    /// The innermost loop.
    fn at(&self) -> &Name {
        &self.around.last().expect("pieces stand inside block loops").name
    }

    /// Whether it is right inside the loop at `depth` of this product's path.
    fn inside(&self, p: usize, depth: usize) -> bool {
        let path = &self.sites[p].path;
        depth + 1 == self.around.len() && path.get(depth).is_some_and(|l| l.name == *self.at())
    }
}

impl Plan {
    /// Collects the pieces inside the block loops.
    pub(super) fn collect(&mut self, sites: &[Site<'_>], model: &Model) -> Answer<()> {
        let site = &sites[0];
        let around = site.path[..site.outside].to_vec();
        let body = &around[site.outside - 1].body;
        self.pieces(&Spot { sites, model, around }, body)
    }

    /// The pieces of work of a subtree.
    fn pieces<'a>(&mut self, spot: &Spot<'_, 'a>, tree: &'a Tree) -> Answer<()> {
        let depth = spot.around.len();
        let leads = |p: usize, l: &TreeLoop| {
            depth <= self.products[p].ring
                && spot.sites[p].path.get(depth).is_some_and(|own| own.name == l.name)
        };
        match tree {
            Tree::Sequence(children) => {
                children.iter().try_for_each(|child| self.pieces(spot, child))
            }
            Tree::Loop(l) if (0..self.products.len()).any(|p| leads(p, l)) => {
                let cluster = self.cluster.as_ref().is_some_and(|c| c.depth == depth);
                let marks = &l.marks;
                let turns = marks.unit == Some(Unit::PingPong);
                let unit = marks.unit.is_some() && !cluster && !turns;
                if marks.map.is_some() || marks.vectorize || marks.parallel || unit {
                    let text = format!("loop `{}` of a block program is marked", l.name);
                    return Err(misplaced(text).into());
                }
                let mut inner = spot.clone();
                inner.around.push(l);
                self.pieces(&inner, &l.body)
            }
            piece @ (Tree::Loop(_) | Tree::Statement(_)) => {
                let (work, owner) = self.piece(spot, piece)?;
                self.works.push(work);
                self.owners.push(owner);
                self.members.push(piece.statements());
                Ok(())
            }
        }
    }

    /// One piece of work, and whose it is.
    fn piece(&mut self, spot: &Spot<'_, '_>, tree: &Tree) -> Answer<(Work, usize)> {
        let members = tree.statements();
        let own = |site: &Site<'_>| members.contains(site.name());
        if let Some(p) = spot.sites.iter().position(own) {
            if !spot.inside(p, self.products[p].ring) || members.len() != 1 {
                let name = spot.sites[p].name();
                let text = format!("`{name}` shares loops with others below the ring's loop");
                return Err(misplaced(text).into());
            }
            return Ok((Work::Product, p));
        }
        let unit = |l: &&TreeLoop| l.marks.unit.is_some();
        if let Tree::Loop(l) = tree
            && l.marks.unit.is_none()
            && l.body.loops().iter().any(unit)
            && let Some((p, _)) = self.using(spot, tree)
        {
            let slabs = Slabs::of(&spot.sites[p], spot.model, l, &self.products[p])?;
            return Ok((Work::Slabs(slabs), p));
        }
        if matches!(tree, Tree::Loop(l) if l.marks.unit.is_some()) {
            return self.copy(spot, tree);
        }
        for (p, product) in self.products.iter().enumerate() {
            if spot.inside(p, product.ring)
                && let Some(filling) = Filling::of(&spot.sites[p], spot.model, tree, product)?
            {
                return Ok((Work::Threads(filling), p));
            }
        }
        if moves::on_threads(tree) {
            let moved = Move::of(&spot.sites[0], spot.model, tree, spot.at())?;
            if let Some(p) = self.drained(spot, &moved) {
                return self.drain(spot, moved, p);
            }
        }
        let Some((p, of)) = self.using(spot, tree) else {
            let names: Vec<String> = members.iter().map(|n| format!("`{n}`")).collect();
            let text =
                format!("{}: a block program has no place for it at this loop", names.join(", "));
            return Err(misplaced(text).into());
        };
        self.of_elements(spot, tree, (p, of))
    }

    /// The product whose elements a piece uses, and of which sums: of those that are held by the
    /// loop, the ones that it touches.
    fn using(&self, spot: &Spot<'_, '_>, tree: &Tree) -> Option<(usize, Sums)> {
        let all = self.products.iter().enumerate();
        let mut held: Vec<(usize, Sums)> = all
            .flat_map(|(p, product)| product.sums().map(move |sums| (p, sums)))
            .filter(|(p, sums)| spot.inside(*p, sums.scope))
            .collect();
        let statements = tree.statements();
        let poly = spot.sites[0].poly;
        let touches = |(_, sums): &(usize, Sums)| {
            (poly.statements.iter())
                .filter(|s| statements.contains(&s.statement.name))
                .any(|s| all_accesses(&s.statement).any(|a| a.array == sums.buffer))
        };
        let own = held.iter().position(touches).unwrap_or(0);
        (own < held.len()).then(|| held.swap_remove(own))
    }

    /// A copy by the copy engine, or by asynchronous copies.
    fn copy(&mut self, spot: &Spot<'_, '_>, tree: &Tree) -> Answer<(Work, usize)> {
        let moved = Move::of(&spot.sites[0], spot.model, tree, spot.at())?;
        if let Some(p) = self.multiplying(&moved.buffer)
            && spot.inside(p, self.products[p].ring)
        {
            let moved = moved.filling(&spot.sites[p], spot.model, &self.products[p])?;
            self.fills.push(moved);
            return Ok((Work::Fill(self.fills.len() - 1), p));
        }
        if let Some(p) = self.drained(spot, &moved) {
            return self.drain(spot, moved, p);
        }
        let text = format!("`{}` is no copy of a block program there", moved.statement);
        Err(misplaced(text).into())
    }

    /// The product whose elements are in the buffer that a copy reads.
    fn drained(&self, spot: &Spot<'_, '_>, moved: &Move) -> Option<usize> {
        let staged = self.staging.get(&moved.buffer)?;
        spot.inside(staged.of, self.products[staged.of].scope).then_some(staged.of)
    }

    fn drain(&self, spot: &Spot<'_, '_>, moved: Move, p: usize) -> Answer<(Work, usize)> {
        let product = &self.products[p];
        let moved = moved.draining(&spot.sites[p], spot.model, product.whole(), product)?;
        Ok((Work::Drain(moved), p))
    }

    /// Statements over elements of a product's accumulator, or of a total.
    fn of_elements(
        &mut self,
        spot: &Spot<'_, '_>,
        tree: &Tree,
        (p, of): (usize, Sums),
    ) -> Answer<(Work, usize)> {
        let (site, model) = (&spot.sites[p], spot.model);
        let own = of.buffer == self.products[p].accumulator;
        let pairs = self.works.iter().zip(&self.owners);
        let sums = |(work, owner): (&Work, &usize)| {
            *owner == p
                && !matches!(work, Work::Fill(_) | Work::Threads(_))
                && !work.elements().is_some_and(|e| e.of != of)
        };
        let first = own && !pairs.into_iter().any(sums);
        if first && elements::zeros(site, model, tree, &self.products[p])? {
            self.products[p].starts_at_zero = true;
            return Ok((Work::Nothing, p));
        }
        let multiplied = |at| self.multiplied(spot.sites, model, p, at);
        let elements = Elements::of(site, model, tree, (&self.products[p], of), None, &multiplied)?;
        for (name, staged) in elements.staged(site, &self.products[p], p)? {
            self.staging.insert(name, staged);
        }
        Ok((Work::Elements(elements), p))
    }

    /// All operands are filled, from arrays that the program does not write.
    pub(super) fn check_fills(&self, sites: &[Site<'_>]) -> Answer<()> {
        let site = &sites[0];
        let fillings = || self.works.iter().filter_map(Work::threads);
        for (product, operand) in self
            .products
            .iter()
            .flat_map(|p| p.operands.iter().chain(&p.scales).map(move |o| (p, o)))
        {
            let copies = self.fills.iter().filter(|f| f.buffer == operand.buffer);
            let threads = fillings().filter(|f| f.buffer == operand.buffer);
            if operand.on_chip || copies.count() + threads.count() == 1 {
                continue;
            }
            let text = format!(
                "`{}` is not filled by one copy or statement at the ring's loop",
                operand.buffer
            );
            if product.scaled_by(&operand.buffer) {
                let help = format!("write `map {}.0 to thread.x`", operand.buffer);
                return Err(Box::new(misplaced(text).help(help)).into());
            }
            let (unit, who) =
                if product.by_warps() { ("async", "they") } else { ("tma", "the copy engine") };
            let help = format!(
                "write `map {0}.0 to {unit}`, or `map {0}.0 to thread.x` where {who} cannot",
                operand.buffer
            );
            return Err(Box::new(misplaced(text).help(help)).into());
        }
        let inside: Vec<&Name> = self.members.iter().flatten().collect();
        let written = |array: &Name| {
            site.poly
                .statements
                .iter()
                .any(|s| s.statement.target.array == *array && inside.contains(&&s.statement.name))
        };
        let mut read: Vec<Name> = self.fills.iter().map(|f| f.array.clone()).collect();
        read.extend(fillings().flat_map(Filling::reads));
        let values =
            self.products.iter().flat_map(|p| &p.operands).filter_map(|o| o.value.as_ref());
        read.extend(values.flat_map(Factor::numbers));
        match read.iter().find(|array| written(array)) {
            Some(array) => {
                let text = format!("`{array}` is read ahead and written in the same program");
                Err(misplaced(text).into())
            }
            None => Ok(()),
        }
    }
}
