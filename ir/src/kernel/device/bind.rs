//! Changes the indices of a block program's calls and parts; bodies are the caller's.

use super::{Across, Call, Choosing, Device, Operand, Slice};
use crate::kernel::Index;

impl Device {
    /// The same node with its own indices (not those of nodes inside) changed.
    #[must_use]
    pub fn map_index(&self, f: &mut dyn FnMut(&Index) -> Index) -> Self {
        let mut out = self.clone();
        match &mut out {
            Self::Call(call) => call.map_index(f),
            Self::Across(Across { part, .. }) => {
                part.iter_mut().for_each(|Slice { start, .. }| *start = f(start));
            }
            Self::Choosing(Choosing { lower, upper, when, .. }) => {
                (*lower, *upper) = (f(lower), f(upper));
                *when = when.map_index(f);
            }
            Self::Block(_)
            | Self::Teams(_)
            | Self::One(_)
            | Self::Fragment(_)
            | Self::Share(_)
            | Self::Taking(_) => {}
        }
        out
    }
}

impl Call {
    fn map_index(&mut self, f: &mut dyn FnMut(&Index) -> Index) {
        for operand in &mut self.operands {
            match operand {
                Operand::Value(index) => *index = f(index),
                Operand::Tile(tile) => {
                    tile.at.iter_mut().for_each(|Slice { start, .. }| *start = f(start));
                }
            }
        }
    }

    /// Every index of the call.
    pub fn indices(&self) -> Vec<&Index> {
        let mut out = Vec::new();
        for operand in &self.operands {
            match operand {
                Operand::Value(index) => out.push(index),
                Operand::Tile(tile) => out.extend(tile.at.iter().map(|s| &s.start)),
            }
        }
        out
    }
}
