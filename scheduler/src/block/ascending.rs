//! Sums in the order of the text on instructions that add their terms one after the other.
//!
//! In: the footprints of the factors. Out: nothing, or a refusal.
//! Requires: an order of the loops that the dependences allow, in which the terms of a sum come one
//! after the other. Keeps: instructions take the elements of a factor in shared memory upwards, so
//! the sum's order is the text's where the loop runs upwards through both of them, and where it is
//! the order of the loops around: slices, and the steps of a slice, go by the loops' order.
//! Why here: the dependences know nothing of which element is which in an instruction.

use warploom_ir::expr::Access;
use warploom_ir::instruction::numerics::Adder;

use super::factor::Factor;
use super::product::{Footprint, Question, elements};
use super::{Answer, unfit};

impl Question<'_> {
    /// Whether instructions take the terms of the sum in the order in which the loop of the sum
    /// runs: the dependences say that this is the order of the text.
    pub(super) fn ascending(&self, factors: &[((&Access, &Factor), Footprint)]) -> Answer<()> {
        let l = self.tensor[2];
        let row = &l.rows[&self.site.poly.statements[self.site.statement].statement.name];
        if self.matrix.adder == Adder::Wrapping {
            return Ok(());
        }
        for ((access, _), footprint) in factors {
            let indices = &access.indices[self.coordinates_of(&access.array)..];
            let apart = [footprint.digits[2].of(indices)?.sub(row)?];
            let apart =
                elements(self.site, self.model, self.site.statement, &self.iterations, &apart)?;
            if !apart.is_single_valued()? {
                let text = format!(
                    "loop `{}` does not run through `{}` one element after the other, and the sum \
                     is in the order of the text",
                    l.name, access.array
                );
                let help = "let the loop ascend, or write `order fixed` behind the statement";
                return Err(Box::new(unfit(text).help(help)).into());
            }
        }
        Ok(())
    }
}
