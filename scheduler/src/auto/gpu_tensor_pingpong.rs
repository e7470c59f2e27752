//! Tiles that two groups of warpgroups take in turn, as candidates for a product.
//!
//! In: tiles that a block's warpgroups multiply together. Out: tiles of the same rows and columns
//! for each of two groups, with the slices that fit beside the results of both.
//! Keeps: the sums of both groups fit the registers that a block has; blocks have several tiles.

use super::gpu_tensor_choices::{FEWEST_STAGES, Grid};
use super::gpu_tensor_size::{Size, Tiles};
use crate::block::pingpong::GROUPS;

/// Sums that threads of four warpgroups hold at most, and those of two.
const SUMS: [(i64, i64); 2] = [(4, 64), (2, 128)];

impl Size {
    /// These tiles for two groups in turn: of as many warpgroups as they have together, and of one.
    pub(super) fn in_turns(&self, whole: Tiles) -> Vec<Tiles> {
        let plain = self.matrix.shared && !self.tensor && self.partial.is_none();
        let by_engine = self.threads == [0; 2];
        if !plain || self.chosen || !by_engine || whole.swapped || !Grid::of(self, &whole).more() {
            return Vec::new();
        }
        let mut out: Vec<Tiles> = Vec::new();
        for teams in [whole.teams, 1] {
            let held = whole.rows / teams * whole.columns / 128;
            let fits = |(most, sums): &(i64, i64)| teams * GROUPS <= *most && held <= *sums;
            let tiles = Tiles { teams, pingpong: true, ..whole };
            let stages = self.stages(&tiles, tiles.rows + tiles.columns);
            let tiles = Tiles { stages, ..tiles };
            if SUMS.iter().any(fits) && stages >= FEWEST_STAGES && !out.contains(&tiles) {
                out.push(tiles);
            }
        }
        out
    }
}
