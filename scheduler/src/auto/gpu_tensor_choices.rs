//! What could be chosen for a product on tensor cores: tiles, stages, parts of the sum, turns.
//!
//! In: what `gpu_tensor_size` estimates from, and the product's loops. Out: the hole of a product,
//! the usual choice first, the others by their estimate.
//! Keeps: options fit the memory and the registers of the target before anything is scheduled.
//! Differences that the model does not see (of turns) count a thousandth more each, so that of
//! equals the usual one is tried first.

use std::collections::{BTreeMap, BTreeSet};

use super::gpu_tensor_size::{Size, Tiles, group, up};
use super::holes::Hole;

/// Names of the sizes.
const SIZES: [&str; 14] = [
    "rows",
    "columns",
    "slice",
    "teams",
    "swapped",
    "stages",
    "slab",
    "part",
    "persistent",
    "cluster",
    "group",
    "paired",
    "pingpong",
    "streamed",
];

/// Rows and columns of tiles.
const ROWS: [i64; 3] = [128, 64, 256];
const COLUMNS: [i64; 18] =
    [256, 240, 224, 208, 192, 176, 160, 144, 128, 112, 96, 80, 64, 48, 32, 24, 16, 8];
/// Fewest slices in flight.
pub(super) const FEWEST_STAGES: i64 = 2;
/// Blocks of a cluster.
const PAIR: i64 = 2;
/// Rows of tiles that neighbouring blocks share.
const GROUPS: [i64; 5] = [1, 2, 4, 8, 16];

/// In which order blocks take tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// A block takes tile after tile, else one.
    pub(super) persistent: bool,
    /// Blocks of a cluster, which load for each other.
    pub(super) cluster: i64,
    /// Rows of tiles in a group that neighbouring blocks share.
    pub(super) group: i64,
    /// Tiles that whole waves leave are shared out in parts of their sums.
    pub(super) streamed: bool,
}

impl Turns {
    /// A block for each tile, in the order of the loops.
    pub(super) const PLAIN: Self =
        Self { persistent: false, cluster: 1, group: 1, streamed: false };
}

/// How many tiles there are, and on how many multiprocessors they run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Tiles below and beside each other.
    pub(super) rows: i64,
    pub(super) columns: i64,
    /// Rows and columns of a tile of the result.
    pub(super) tile: [i64; 2],
    /// Iterations of other loops around them.
    pub(super) batches: i64,
    pub(super) multiprocessors: i64,
    /// Two blocks multiply together.
    pub(super) paired: bool,
    /// Two groups of warpgroups take a block's tiles in turn.
    pub(super) pingpong: bool,
}

impl Grid {
    /// The grid of tiles of a product of this size.
    pub(super) fn of(size: &Size, t: &Tiles) -> Self {
        let tile = if t.swapped { [t.columns, t.rows] } else { [t.rows, t.columns] };
        Self {
            rows: up(size.rows, tile[0]),
            columns: up(size.columns, tile[1]),
            tile,
            batches: size.batch,
            multiprocessors: size.multiprocessors,
            paired: t.paired,
            pingpong: t.pingpong,
        }
    }

    /// Each tile on a block of its own where all fit at once, else groups of tiles that pairs of
    /// blocks go through.
    pub(super) fn grouped(&self) -> Turns {
        if !self.more() && !self.paired {
            return Turns::PLAIN;
        }
        Turns { persistent: self.more(), streamed: false, ..self.streamed() }
    }

    /// The same groups, whose tiles blocks share out to the last slice.
    pub(super) fn streamed(&self) -> Turns {
        // two blocks with neighbouring rows load half of the columns' operand each, for both
        let cluster = if self.rows % PAIR == 0 { PAIR } else { 1 };
        let [along, across] = self.tile;
        let blocks = self.multiprocessors / cluster;
        let sides = [along * cluster, across];
        let group = group(self.rows / cluster, self.columns, sides, blocks);
        Turns { persistent: true, cluster, group, streamed: true }
    }

    /// Whether there are more tiles than can run at once.
    pub(super) fn more(&self) -> bool {
        self.rows * self.columns * self.batches > self.multiprocessors
    }

    /// All turns that these tiles can take, the usual ones first.
    fn all(&self, usual: Turns, streams: bool) -> Vec<Turns> {
        let mut out = vec![usual];
        for persistent in [true, false] {
            for cluster in [1, PAIR].into_iter().filter(|c| self.rows % c == 0) {
                let groups = GROUPS.into_iter().filter(|g| (self.rows / cluster) % g == 0);
                let all = groups.map(|group| Turns { persistent, cluster, group, streamed: false });
                let all: Vec<Turns> = all.collect();
                let shared = all.iter().map(|turns| Turns { streamed: true, ..*turns });
                out.extend(shared.filter(|_| persistent && streams));
                out.extend(all);
            }
        }
        let fits =
            |t: &Turns| (!self.paired || t.cluster == PAIR) && (!self.pingpong || t.persistent);
        out.retain(|t| (self.more() || t.streamed || !t.persistent) && fits(t));
        out
    }
}

/// The hole of a product; none where no tile fits.
pub(super) fn hole(of: &str, size: &Size) -> Option<Hole> {
    let best = size.best()?;
    let usual = size.usual(&best);
    let mut others: Vec<(i64, Vec<i64>)> = Vec::new();
    for swapped in [false, true] {
        for rows in ROWS {
            for columns in COLUMNS {
                let Some(whole) = size.tiles(rows, columns, swapped) else { continue };
                for tiles in size.ways(whole) {
                    others.extend(variants(size, &tiles));
                }
            }
        }
    }
    others.sort();
    let (least, time) = (values(&best, usual), size.time(&best));
    let mut estimates: BTreeMap<Vec<i64>, i64> = BTreeMap::new();
    for (estimate, values) in &others {
        estimates.entry(values.clone()).or_insert(*estimate);
    }
    estimates.insert(least.clone(), time);
    let mut seen = BTreeSet::new();
    let others = others.into_iter().map(|(_, values)| values).filter(|v| seen.insert(v.clone()));
    Some(Hole::estimated(of, "tensor", &SIZES, least, others, |v| estimates.get(v).copied()))
}

/// Tiles with fewer stages and in other turns, with their estimates.
fn variants(size: &Size, tiles: &Tiles) -> Vec<(i64, Vec<i64>)> {
    let turns = Grid::of(size, tiles).all(size.usual(tiles), size.streams(tiles));
    let mut out = Vec::new();
    for stages in (FEWEST_STAGES..=tiles.stages).rev() {
        for turn in &turns {
            let usual = turns[0];
            let other = [
                turn.persistent != usual.persistent,
                turn.cluster != usual.cluster,
                turn.group != usual.group,
                turn.streamed != usual.streamed,
            ];
            let differences = other.into_iter().filter(|o| *o).count() as i64;
            let tiles = Tiles { stages, ..*tiles };
            let time = size.time_in(&tiles, *turn);
            out.push((time + time / 1000 * differences, values(&tiles, *turn)));
        }
    }
    out
}

/// The numbers of [`SIZES`].
fn values(t: &Tiles, turns: Turns) -> Vec<i64> {
    vec![
        t.rows,
        t.columns,
        t.slice,
        t.teams,
        i64::from(t.swapped),
        t.stages,
        t.slab.unwrap_or(0),
        t.part.unwrap_or(0),
        i64::from(turns.persistent),
        turns.cluster,
        turns.group,
        i64::from(t.paired),
        i64::from(t.pingpong),
        i64::from(turns.streamed),
    ]
}

/// What [`values`] wrote.
pub(super) fn read(values: &[i64]) -> Option<(Tiles, Turns)> {
    let &[
        rows,
        columns,
        slice,
        teams,
        swapped,
        stages,
        slab,
        part,
        persistent,
        cluster,
        group,
        paired,
        pingpong,
        streamed,
    ] = values
    else {
        return None;
    };
    let some = |n: i64| (n > 0).then_some(n);
    let [swapped, paired, pingpong, streamed] =
        [swapped, paired, pingpong, streamed].map(|n| n != 0);
    let (slab, part) = (some(slab), some(part));
    let tiles =
        Tiles { rows, columns, slice, teams, swapped, stages, slab, part, paired, pingpong };
    Some((tiles, Turns { persistent: persistent != 0, cluster, group, streamed }))
}

#[cfg(test)]
mod tests {
    use super::super::gpu_tensor_size::tests::size;
    use super::super::holes::HoleOption;
    use super::*;

    #[test]
    fn the_usual_choice_is_first_and_all_fit() {
        for (rows, columns, sum) in [(4096, 4096, 4096), (16, 8192, 8192), (64, 64, 1 << 20)] {
            let size = size(rows, columns, sum);
            let hole = hole("S1", &size).unwrap();
            let (tiles, turns) = read(&hole.options[0].values).unwrap();
            assert_eq!(tiles, size.best().unwrap());
            assert_eq!(turns, size.usual(&tiles));
            assert!(hole.options.len() > 20, "{}", hole.options.len());
            for option in &hole.options {
                let (tiles, turns) = read(&option.values).unwrap();
                assert_eq!(values(&tiles, turns), option.values);
                let panels = (tiles.rows + tiles.columns) * tiles.slice * 2 * tiles.stages;
                assert!(panels <= size.shared, "{tiles:?}");
                let grid = Grid::of(&size, &tiles);
                assert_eq!(grid.rows % (turns.cluster * turns.group), 0, "{turns:?} of {grid:?}");
                assert!(option.estimate.is_some_and(|e| e > 0));
            }
            let distinct: BTreeSet<&Vec<i64>> = hole.options.iter().map(|o| &o.values).collect();
            assert_eq!(distinct.len(), hole.options.len());
        }
    }

    #[test]
    fn tiles_in_turn_are_candidates_where_blocks_have_several() {
        let turns = |size: &Size| {
            let all = hole("S1", size).unwrap().options;
            let read = |o: &HoleOption| (read(&o.values).unwrap(), o.estimate);
            let mine = |((t, _), _): &((Tiles, Turns), Option<i64>)| t.pingpong;
            all.iter().map(read).filter(mine).collect::<Vec<_>>()
        };
        let short = size(4096, 4096, 256);
        let found = turns(&short);
        let held = |t: &Tiles| t.rows / t.teams * t.columns / 128;
        for ((t, turns), _) in &found {
            assert!(turns.persistent && !t.swapped && t.part.is_none(), "{t:?} {turns:?}");
            assert!(held(t) <= if t.teams > 1 { 64 } else { 128 }, "{t:?}");
            let results = 2 * 2 * t.rows * t.slab.map_or(0, |width| t.columns.min(2 * width));
            let panels = (t.rows + t.columns) * t.slice * 2 * t.stages;
            assert!(panels + results <= short.shared, "{t:?}");
        }
        for shape in [(128, 128, 1), (128, 128, 2), (64, 256, 1)] {
            assert!(found.iter().any(|((t, _), _)| (t.rows, t.columns, t.teams) == shape));
        }
        // results are hidden where sums are short, and the larger tiles win where they are long
        let best = |size: &Size| turns(size).iter().filter_map(|(_, time)| *time).min().unwrap();
        let together = |size: &Size| size.time(&size.best().unwrap());
        assert_eq!(best(&short), together(&short), "the automatic choice takes turns");
        let long = size(4096, 4096, 4096);
        assert!(best(&long) > together(&long));
        // a tile for each block
        assert!(turns(&size(1024, 1024, 256)).iter().all(|((t, _), _)| t.rows * t.columns < 8192));
        let by_threads = Size { threads: [1, 0], ..size(4096, 4096, 256) };
        assert!(turns(&by_threads).is_empty());
    }

    #[test]
    fn batches_of_large_products_share_what_they_load() {
        let size = Size { batch: 14, ..size(4096, 4096, 4096) };
        let turns = size.usual(&size.best().unwrap());
        assert!(turns.persistent && turns.cluster == PAIR && turns.group > 1, "{turns:?}");
        let hole = hole("S1", &size).unwrap();
        assert!(hole.options.iter().any(|o| read(&o.values).unwrap().1 == Turns::PLAIN));
    }
}
