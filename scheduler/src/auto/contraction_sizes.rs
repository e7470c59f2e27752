//! Sizes of a contraction's register and cache tiles on a CPU, with an estimate of the time.
//!
//! In: what the loops of a contraction are, and a register's bytes. Out: the hole of its sizes.
//! Source: the estimate counts, for each step of the register tile, the multiplications that two
//! units start in a clock, the loads that two ports serve, and the latency of a chain of additions
//! (4 clocks on all x86-64 of the last ten years), then what packing an element costs over the uses
//! of it, as K. Goto and R. van de Geijn count it, and what does not fit the caches.

use super::CpuOptions;
use super::contraction::Contraction;
use super::holes::Hole;

/// Names of the sizes.
const SIZES: [&str; 5] = ["vectors", "rows", "row_tile", "lane_tile", "reduction_tile"];
/// Registers of vectors, of which some hold what is loaded.
const REGISTERS: i64 = 16;
/// Most rows of a register tile.
const MOST_ROWS: i64 = 14;
/// Bytes of the nearest cache and of the next one that a tile may take: half of what is usual.
const NEAR: i64 = 16 << 10;
const NEXT: i64 = 256 << 10;
/// Hundredths of a clock: units of the estimate per step.
const CLOCK: i64 = 100;
/// Latency of an addition, in clocks, and multiplications and loads that start in one.
const LATENCY: i64 = 4;
const AT_ONCE: i64 = 2;
/// Clocks to pack one vector.
const PACK: i64 = 4;

/// The hole of a contraction's sizes; `native` lanes of `bytes` each fill a register.
pub(super) fn hole(
    of: &str,
    c: &Contraction,
    usual: &CpuOptions,
    [native, bytes]: [i64; 2],
) -> Hole {
    let first =
        vec![usual.vectors, usual.rows, usual.row_tile, usual.lane_tile, usual.reduction_tile];
    let mut others = Vec::new();
    for vectors in [1, 2, 3, 4] {
        for rows in 1..=(REGISTERS - 1 - vectors) / vectors {
            if rows > MOST_ROWS || rows * vectors < LATENCY {
                continue;
            }
            for row_tile in [48, 96, 192, 384] {
                for lane_tile in [128, 256, 512, 1024] {
                    for reduction_tile in [64, 128, 256, 512] {
                        others.push(vec![vectors, rows, row_tile, lane_tile, reduction_tile]);
                    }
                }
            }
        }
    }
    let product = |roles: &[&super::tiles::Role]| {
        roles.iter().try_fold(1_i64, |all, r| r.extent.map(|e| all.saturating_mul(e)))
    };
    let size = |lead: &super::tiles::Role, more: &[super::tiles::Role]| {
        product(&std::iter::once(lead).chain(more).collect::<Vec<_>>())
    };
    let batch = product(&c.batch.iter().collect::<Vec<_>>());
    let sums = product(&c.sums.iter().collect::<Vec<_>>());
    let all = [size(&c.lane, &c.along), size(&c.row, &c.across), sums, batch];
    let [Some(lanes), Some(rows), Some(sums), Some(batch)] = all else {
        return Hole::new(of, "tiles", &SIZES, first, others);
    };
    let problem = Problem { lanes, rows, sums, batch, native, bytes };
    Hole::estimated(of, "tiles", &SIZES, first, others, |v| problem.clocks(v))
}

/// What the estimate depends on.
struct Problem {
    lanes: i64,
    rows: i64,
    sums: i64,
    batch: i64,
    native: i64,
    bytes: i64,
}

impl Problem {
    fn clocks(&self, values: &[i64]) -> Option<i64> {
        let [vectors, rows, row_tile, lane_tile, reduction] = *values else { return None };
        // as the schedule does: budgets are for elements of four bytes
        let budget = |n: i64| (n * 4 / self.bytes).max(1);
        let (lane_tile, reduction) =
            (budget(lane_tile).min(self.lanes), budget(reduction).min(self.sums));
        let (row_tile, accumulators) = (row_tile.min(self.rows), vectors * rows);
        let work = (accumulators * CLOCK / AT_ONCE)
            .max((vectors + rows) * CLOCK / AT_ONCE)
            .max(LATENCY * CLOCK);
        let strips = up(self.lanes, vectors * self.native) * up(self.rows, rows);
        let steps = strips.saturating_mul(self.sums).saturating_mul(self.batch);
        let multiplied = steps.saturating_mul(work);
        // sums are loaded and stored once for each tile of the reduction
        let kept = strips
            .saturating_mul(up(self.sums, reduction))
            .saturating_mul(self.batch * accumulators * 2 * CLOCK);
        let vector = |elements: i64| elements.saturating_mul(PACK * CLOCK) / self.native;
        let elements = |n: i64| n.saturating_mul(self.sums).saturating_mul(self.batch);
        let packed = vector(elements(self.lanes)).saturating_add(
            vector(elements(self.rows)).saturating_mul(up(self.lanes, lane_tile.max(1))),
        );
        let beyond = |bytes: i64, room: i64| (bytes - room).max(0).min(4 * room) * 100 / room;
        let strip = reduction * vectors * self.native * self.bytes;
        let tile = row_tile * reduction * self.bytes;
        let slower = beyond(strip, NEAR) / 8 + beyond(tile, NEXT) / 8;
        let total = multiplied.saturating_add(kept).saturating_add(packed) / CLOCK;
        Some(total.saturating_add(total / 100 * slower))
    }
}

const fn up(n: i64, d: i64) -> i64 {
    (n + d - 1) / d
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(n: i64) -> Problem {
        Problem { lanes: n, rows: n, sums: n, batch: 1, native: 8, bytes: 4 }
    }

    #[test]
    fn register_tiles_hide_the_latency_of_additions() {
        let p = product(512);
        let clocks = |vectors, rows| p.clocks(&[vectors, rows, 96, 256, 256]).unwrap();
        assert!(clocks(2, 6) < clocks(1, 4), "four chains are too few");
        assert!(clocks(2, 6) < clocks(1, 14), "a load for each row takes longer");
        // two multiplications start in a clock
        assert!(clocks(2, 6) >= 512 * 512 * 512 / 16);
    }

    #[test]
    fn tiles_that_leave_the_caches_take_longer() {
        let p = product(2048);
        let clocks = |row, sum| p.clocks(&[2, 6, row, 256, sum]).unwrap();
        assert!(clocks(96, 256) < clocks(384, 512));
        assert!(clocks(96, 256) < clocks(96, 64), "sums are stored more often");
    }

    #[test]
    fn numbers_beyond_all_sizes_do_not_overflow() {
        let p = product(i64::from(u32::MAX));
        assert!(p.clocks(&[2, 6, 96, 256, 256]).unwrap() > 0);
    }
}
