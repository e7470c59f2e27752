//! Long sums with few results on tensor cores: parts of the sum on different blocks.
//!
//! In: a product whose tiles are too few for all multiprocessors, and the length of a part. Out:
//! the schedule in which each part has sums of its own in memory, as a batch of the product, and
//! one nest after it adds them and does whatever else the nest did with the results.
//! Keeps: partial sums are added in ascending order, and their number follows from the sizes and
//! the GPU alone, so equal inputs give equal bits on every run. Nothing where a step is refused.
//! Source: split-K of NVIDIA's CUTLASS, here `split-reduction` and one `order` step.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::schedule::{PolyStatement, TreeLoop};

use super::Auto;
use super::gpu_tensor_product::{Line, Product};
use super::gpu_tensor_size::up;
use super::order::{Kind, Part, order_step};
use super::solver::Solved;
use crate::steps::ancestors;

/// The statements that `split-reduction` made around a product's.
struct Made {
    /// Gives the partial sums their first values.
    first: PolyStatement,
    /// Adds them to the results.
    finish: PolyStatement,
    /// The finish's iterator over the parts.
    part: Name,
}

impl Auto {
    /// The product as a batch of products, each over some iterations of the sum, or of the
    /// outermost of several.
    pub(super) fn in_parts(&mut self, p: &Product, length: i64) -> Option<Product> {
        let text = self.parts().ok()?;
        let own = |part: &&Part| part.names(self.at.poly()).contains(&p.statement);
        let members = text.iter().find(own)?.clone();
        let names = members.names(self.at.poly());
        for l in p.batch.iter().chain([&p.row, &p.column]).rev() {
            let target = Ref::from(l.name.clone());
            // statements that have loops of their own already need no other
            let _apart = self.step(StepKind::Distribute { target, at: None, names: Vec::new() });
        }
        let sum = self.loop_of(&p.statement, &p.sums()[0].iter)?;
        let (part, _) = self.halves(&sum, length)?;
        let loops = ancestors(self.at.tree(), &p.statement);
        let mut order: Vec<Name> = loops.iter().map(|l| l.name.clone()).collect();
        order.retain(|l| *l != part);
        order.insert(0, part.clone());
        self.ordered(&order).then_some(())?;
        let before = self.at.tree().statements();
        let target = Ref::from(part);
        self.must(StepKind::SplitReduction { target, at: None, name: None })?;
        let made = self.made(&before)?;
        let poly = self.at.poly();
        let position = |name: &Name| poly.statements.iter().position(|s| s.statement.name == *name);
        let product = Part { solved: self.product_times(p, &made, length)?, kind: Kind::Text };
        let mut finish = members;
        for solved in &mut finish.solved {
            if position(&p.statement) == Some(solved.statement) {
                solved.statement = position(&made.finish.statement.name)?;
                let rows = solved.rows.iter().map(|row| finishing(p, &made, row));
                solved.rows = rows.collect::<Option<_>>()?;
            }
        }
        let mut parts = Vec::new();
        for part in self.parts().ok()? {
            let inside = part.names(poly);
            if inside.contains(&p.statement) {
                parts.extend([product.clone(), finish.clone()]);
            } else if !inside.iter().any(|s| names.contains(s) || !before.contains(s)) {
                parts.push(part);
            }
        }
        let step = order_step(self.at.poly(), &parts);
        self.must(step)?;
        self.batched(p, length)
    }

    /// The two statements that are new.
    fn made(&self, before: &[Name]) -> Option<Made> {
        let poly = self.at.poly();
        let new = self.at.tree().statements().into_iter().filter(|s| !before.contains(s));
        let [first, finish] = <[Name; 2]>::try_from(new.collect::<Vec<_>>()).ok()?;
        let (first, finish) = (poly.statement(&first)?.clone(), poly.statement(&finish)?.clone());
        let results = &finish.statement.target.indices;
        let own = |iter: &&Name| results.iter().all(|e| e.as_var() != Some(*iter));
        let part = finish.iters.iter().find(own)?.clone();
        Some(Made { first, finish, part })
    }

    /// When the products and the first values of their sums run: all loops but the sum's are
    /// shared, so that a block gives its sums their first values itself.
    fn product_times(&self, p: &Product, made: &Made, length: i64) -> Option<Vec<Solved>> {
        let poly = self.at.poly();
        let position = |name: &Name| poly.statements.iter().position(|s| s.statement.name == *name);
        let sums = &made.finish.statement.value.reads().first().copied()?.indices;
        let target = &made.first.statement.target.indices;
        // the iterator of the first values that counts what one of the finish's counts
        let same = |iter: &Name| {
            let at = sums.iter().position(|e| e.as_var() == Some(iter))?;
            target[at].as_var().cloned().map(Affine::var)
        };
        let lines: Vec<&Line> = p.batch.iter().chain([&p.row, &p.column]).collect();
        let part = Affine::var(p.sums()[0].iter.clone()).floor_div(length).ok()?;
        let mut first = vec![same(&made.part)?];
        let mut product = vec![part];
        for line in lines {
            first.push(same(&result_of(p, made, &line.iter)?)?);
            product.push(Affine::var(line.iter.clone()));
        }
        first.push(Affine::constant(0));
        product.push(Affine::constant(1));
        product.extend(p.sums().into_iter().map(|l| Affine::var(l.iter.clone())));
        let solved = |name, rows| Some(Solved { statement: position(name)?, rows, band: 0 });
        Some(vec![solved(&made.first.statement.name, first)?, solved(&p.statement, product)?])
    }

    /// The product after the `order` step.
    fn batched(&self, p: &Product, length: i64) -> Option<Product> {
        let poly = self.at.poly();
        let s = poly.statement(&p.statement)?;
        let loops = ancestors(self.at.tree(), &p.statement);
        let parts = up(p.sum.extent, length);
        let outer = loops.first()?.name.clone();
        let named = |line: &Line| {
            let name = self.loop_of(&p.statement, &line.iter)?;
            Some(Line { name, ..line.clone() })
        };
        let iter = p.sums()[0].iter.clone();
        let mut batch = vec![Line { name: outer, iter, extent: parts }];
        for line in &p.batch {
            batch.push(named(line)?);
        }
        let all = |lines: &[Line]| lines.iter().map(named).collect::<Option<Vec<Line>>>();
        let mut sums = p.sums().into_iter().map(named).collect::<Option<Vec<Line>>>()?;
        sums[0].extent = length;
        let sum = sums.pop()?;
        Some(Product {
            statement: p.statement.clone(),
            row: named(&p.row)?,
            column: named(&p.column)?,
            sum,
            batch,
            more: [all(&p.more[0])?, all(&p.more[1])?],
            others: sums,
            factors: p.factors.clone(),
            scales: p.scales.clone(),
            fillers: p.fillers.clone(),
            plain: p.plain,
            target: s.statement.target.clone(),
            by: p.by,
            matrix: p.matrix,
            loaded: p.loaded,
            partial: p.partial,
            chosen: p.chosen,
            in_order: p.in_order,
            out: None,
            leaving: None,
        })
    }

    /// The innermost loop of a statement whose row is this iterator.
    pub(super) fn loop_of(&self, statement: &Name, iter: &Name) -> Option<Name> {
        let loops = ancestors(self.at.tree(), statement);
        let own = |l: &&&TreeLoop| l.rows.get(statement) == Some(&Affine::var(iter.clone()));
        loops.iter().rev().find(own).map(|l| l.name.clone())
    }
}

/// The finish's iterator over the results' dimension that a loop of the product moves along.
fn result_of(p: &Product, made: &Made, iter: &Name) -> Option<Name> {
    let at = p.target.indices.iter().position(|e| e.as_var() == Some(iter))?;
    made.finish.statement.target.indices[at].as_var().cloned()
}

/// A row of the product as one of the statement that finishes it.
fn finishing(p: &Product, made: &Made, row: &Affine) -> Option<Affine> {
    let put = |iter: &str| {
        // the parts are in the place of the loop that is cut into them
        match p.sums().iter().position(|l| *l.iter == *iter) {
            Some(0) => return Some(Affine::var(made.part.clone())),
            Some(_) => return Some(Affine::constant(0)),
            None => {}
        }
        result_of(p, made, &Name::from(iter)).map(Affine::var)
    };
    row.vars().iter().all(|iter| put(iter).is_some()).then_some(())?;
    row.substitute(&|v| put(v)).ok()
}
