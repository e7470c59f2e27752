//! Products that share their loops with other statements: each gets a nest of its own.
//!
//! In: a schedule whose nests do several things, such as a product and a sum over its rows. Out:
//! the same schedule after one `order` step, where each product, what sets its sums before and what
//! is computed from single sums after are a nest, and the rest is in nests before and after.
//! Temporaries that iterations share by name get a copy for each before, where that helps.
//! Keeps: an order that the dependences allow; what depends on anything else that depends on the
//! product stays behind, and so does what writes to a factor: other tiles read it until all are
//! done. Why here: tensor cores take nests of one product each.

use std::collections::BTreeSet;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::Result;
use warploom_ir::expr::Access;
use warploom_ir::nest::AssignOp;
use warploom_ir::schedule::{Marks, Poly, PolyStatement, Tree};

use super::components::Order;
use super::gpu::GpuOptions;
use super::order::{Part, order_step};
use super::{Auto, copied_first};
use crate::Schedule;
use crate::steps::ancestors;
use crate::steps::stage::accesses;
use crate::tensor_cores::{addable, multiplies};

impl Auto {
    /// Puts products on tensor cores that can be taken out of the nests of `start` for this, or
    /// that are some where iterations have their own temporaries: where that puts more of them
    /// there than there are now.
    pub(super) fn products_on_tensor_cores(
        &mut self,
        start: &Schedule,
        options: &GpuOptions,
    ) -> Result<()> {
        let updates = start.poly().statements.iter().filter(|s| s.statement.op.is_update());
        if updates.count() <= multiplied(self.at.tree()) {
            // no step makes another product
            return Ok(());
        }
        for private in [false, true] {
            let plain = std::mem::replace(&mut self.at, start.clone());
            if private {
                self.privatise();
                self.factors_apart();
            }
            let poly = self.at.poly();
            let products = poly.statements.iter().filter(|s| free(poly, s)).count();
            let now = multiplied(plain.tree());
            let mut more = products > now && self.products_apart()?;
            more |= products > now && private && self.at != *start;
            if more {
                self.on_tensor_cores(options);
            }
            if multiplied(self.at.tree()) <= now {
                self.at = plain;
            }
        }
        Ok(())
    }

    /// Lets products read copies of what they overwrite, made before all of them.
    fn factors_apart(&mut self) {
        let poly = self.at.poly().clone();
        for s in poly.statements.iter().filter(|s| free(&poly, s)).map(|s| &s.statement) {
            // the first access is the target
            for number in 1..accesses(s, &s.target.array).len() {
                self.step(copied_first(&s.target.array, &s.name, number));
            }
        }
    }

    /// Takes products out of nests with other statements; says whether there were any.
    pub(super) fn products_apart(&mut self) -> Result<bool> {
        if self.at.tree().loops().iter().any(|l| l.marks != Marks::default()) {
            return Ok(false);
        }
        let parts = self.parts()?;
        let poly = self.at.poly().clone();
        let deps = self.session.deps(&self.at)?;
        let mut apart: Vec<Part> = Vec::new();
        for part in &parts {
            let order = Order::of(deps, part);
            let groups = groups(&poly, &order, &part.statements());
            if groups.is_empty() || groups[0].len() == part.solved.len() {
                apart.push(part.clone());
            } else {
                apart.extend(order.components(part, &groups));
            }
        }
        let step = order_step(&poly, &apart);
        Ok(apart.len() > parts.len() && self.step(step))
    }
}

/// For each product among these statements, those that its nest can hold.
fn groups(poly: &Poly, order: &Order, chosen: &[usize]) -> Vec<Vec<usize>> {
    let mut taken: Vec<usize> = Vec::new();
    let mut out = Vec::new();
    for product in chosen.iter().copied().filter(|k| free(poly, &poly.statements[*k])) {
        let sums = depths(&poly.statements[product]);
        let target = &poly.statements[product].statement.target;
        let read = poly.statements[product].statement.value.reads();
        let beside = |k: &usize| {
            let s = &poly.statements[*k];
            // what the product reads is written when all of it is done
            let own = &s.statement.target.array;
            let last = *own != target.array && read.iter().any(|a| a.array == *own);
            let beside = of_elements(s, target, &sums) && !last;
            *k != product && !taken.contains(k) && beside
        };
        let mut group: Vec<usize> = chosen.iter().copied().filter(beside).collect();
        // what a statement outside the group lies between stays outside
        loop {
            let outside = |y: &&usize| **y != product && !group.contains(y);
            let between = |x: &usize| {
                chosen.iter().filter(outside).any(|y| {
                    order.precedes(product, *y) && order.precedes(*y, *x)
                        || order.precedes(*x, *y) && order.precedes(*y, product)
                })
            };
            let Some(at) = group.iter().position(between) else { break };
            group.remove(at);
        }
        group.push(product);
        taken.extend(&group);
        out.push(group);
    }
    out
}

/// How many statements matrix instructions run.
fn multiplied(tree: &Tree) -> usize {
    let inside = |s: &Name| ancestors(tree, s).iter().any(|l| l.marks.tensor.is_some());
    tree.statements().iter().filter(|s| inside(s)).count()
}

/// Whether a statement is a product whose sums may be added as tensor cores do.
fn free(poly: &Poly, s: &PolyStatement) -> bool {
    addable(poly, s) && multiplies(poly, s)
}

/// Which of the loops around a statement, from the outermost, each index of its target is.
fn depths(s: &PolyStatement) -> Vec<Option<usize>> {
    loops_of(s, &s.statement.target)
}

/// Which of the loops around a statement each index of an access is.
fn loops_of(s: &PolyStatement, access: &Access) -> Vec<Option<usize>> {
    let depth = |e: &Affine| s.iters.iter().position(|i| e.as_var() == Some(i));
    access.indices.iter().map(depth).collect()
}

/// Whether a statement sets single sums, or an element for each sum that it reads, in the loops of
/// the sums, whose indices are at these depths.
fn of_elements(s: &PolyStatement, sums: &Access, depths: &[Option<usize>]) -> bool {
    let target = &s.statement.target;
    let own = |a: &&Access| a.array == sums.array;
    let own: Vec<&Access> =
        std::iter::once(target).chain(s.statement.value.reads()).filter(own).collect();
    // one that moves sums to other elements of their array is not done with them one by one
    let same = own.windows(2).all(|two| two[0].indices == two[1].indices)
        && own.iter().all(|a| loops_of(s, a) == depths);
    let mut own = own.into_iter().peekable();
    let each = |a: &Access| plain(a).len() == a.indices.len() && plain(a).len() == s.iters.len();
    let alone = s.iters.iter().all(|i| plain(target).contains(i));
    s.statement.op == AssignOp::Set && same && alone && own.peek().is_some() && own.all(each)
}

/// The variables that are indices by themselves.
fn plain(access: &Access) -> BTreeSet<&Name> {
    access.indices.iter().filter_map(Affine::as_var).collect()
}
