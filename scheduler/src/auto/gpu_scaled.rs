//! Products of factors with scales on tensor cores: how scales lie in memory, and who brings them.
//!
//! In: a statement that multiplies four elements, two of which are scales. Out: the scale of each
//! factor; for estimates, what loading them takes; the steps that stage them.
//! Keeps: threads fill scales, whatever their layout.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::expr::Access;
use warploom_ir::instruction::tensor_memory;
use warploom_ir::schedule::PolyStatement;
use warploom_ir::schedule::step::{Ref, StepKind};
use warploom_ir::target::{Axis, Place};

use super::gpu_tensor_product::{Line, Product};
use super::{Auto, stage_at};
use crate::block::factor::Factor;
use crate::block::multiplied::{Multiplied, in_order};
use crate::steps::stage::local_name;

impl Auto {
    /// Stages scales at the ring's loop, and gives them to threads.
    pub(super) fn scales_staged(&mut self, p: &Product, ring: &Name) -> Option<()> {
        for scales in p.scales.iter().flatten() {
            let first = format!("{}.0", local_name(&scales.array, ring));
            self.must(stage_at(&scales.array, ring))?;
            self.must(StepKind::Map(Ref::from(Name::from(first)), Place::Thread(Axis::X)))?;
        }
        Some(())
    }

    /// Whether scales of neighbouring rows, and of neighbouring columns, are neighbours in memory.
    pub(super) fn scales_near(&self, p: &Product) -> Option<[bool; 2]> {
        let [a, b] = p.scales.as_ref()?;
        Some([(a, &p.row), (b, &p.column)].map(|(access, own)| self.neighbours(access, own)))
    }

    /// Whether elements for neighbours along a loop are as near in memory as the steps of a word.
    fn neighbours(&self, access: &Access, own: &Line) -> bool {
        let extents = self.extents(access);
        let moves = |e: &Affine| e.vars().contains(&own.iter);
        let Some(at) = access.indices.iter().rposition(moves) else { return false };
        let after = extents[at + 1..].iter().copied().product::<Option<i64>>();
        access.indices[at].coefficient(&own.iter) == 1
            && after.is_some_and(|n| n <= tensor_memory::STEPS)
    }
}

/// Whether scales lie in blocks of rows.
pub(super) fn blocked(p: &Product) -> bool {
    let both = p.scales.iter().flatten().zip([&p.row, &p.column]);
    let several = |(access, own): (&Access, &Line)| {
        access.indices.iter().filter(|e| e.vars().contains(&own.iter)).count() > 1
    };
    both.into_iter().any(several)
}

/// What a statement reads of its factors, in the order of the text, and of their scales.
pub(super) fn accesses(
    s: &PolyStatement,
    product: &mut Multiplied,
) -> Option<([Access; 2], Option<[Access; 2]>)> {
    let reads = s.statement.value.reads();
    let of = |f: &Factor| reads.iter().find(|a| a.array == f.array).map(|a| (*a).clone());
    if let Some([a, b]) = &product.scales {
        let factors = [of(&product.factors[0])?, of(&product.factors[1])?];
        let scales = in_order(&factors, [of(a)?, of(b)?]).filter(|_| reads.len() == 4)?;
        return Some((factors, Some(scales)));
    }
    let all = product.factors.each_ref().map(Factor::numbers);
    let number = |a: &&Access| all.iter().flatten().any(|name| *name == a.array);
    let reads: Vec<&Access> = reads.into_iter().filter(|a| !number(a)).collect();
    let factors = <[&Access; 2]>::try_from(reads).ok()?.map(Access::clone);
    if product.factors[0].array != factors[0].array {
        product.factors.reverse();
    }
    let same = product.factors.iter().zip(&factors).all(|(v, f)| v.array == f.array);
    same.then_some((factors, None))
}
