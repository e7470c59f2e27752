//! Reductions over the rows of a fragment.
//!
//! In: the node and the fragment's layout. Out: why it is none.
//! Keeps: after this a row is held by neighbouring threads of one warp, and what it updates is
//! named by the row alone and read by nothing that is combined.

use warploom_ir::kernel::TypedKind;
use warploom_ir::kernel::device::{Across, Reduction};

use super::Checker;
use super::device::Held;

impl Checker {
    /// Whether a node is a reduction over rows.
    pub(super) fn reduces(&self, a: &Across, of: &Held) -> Result<(), String> {
        let [_, column] = &a.vars;
        let Some(Reduction { store, .. }) = a.reduction() else {
            return Err(format!(
                "`reduce {column}` is for one store, with guards around it that have no `else`"
            ));
        };
        let name = &store.statement;
        if !store.op.is_update() || store.guard.is_some() {
            return Err(format!("`{name}` does not update its target with every element's value"));
        }
        if self.context.fragments.contains_key(&store.array)
            || store.indices.iter().any(|i| i.uses(column))
        {
            return Err(format!("the target of `{name}` is not one for each row"));
        }
        let mut own = false;
        store.value.visit(&mut |v| {
            own |= matches!(&v.kind, TypedKind::Read { array, .. } if *array == store.array);
        });
        if own {
            return Err(format!("`{name}` reads what it updates"));
        }
        if of.layout.holders_of_row().is_none() {
            return Err("rows of this layout are not held by neighbouring threads".to_owned());
        }
        match store.value.dtype.size_bytes() {
            4 | 8 => Ok(()),
            bytes => Err(format!("threads exchange values of 4 or 8 bytes, not of {bytes}")),
        }
    }
}
