//! Copies of pieces of 4, 8 or 16 bytes by each thread of a team.
//!
//! In: a tile of shared memory and a box of an array, whose rows follow each other in the tile.
//! Out: asynchronous copies by all threads of the team; what is outside the array becomes zero.
//! Keeps: a thread's pieces are constants apart, so that their addresses are one sum and a number
//! each; boxes that are inside the array as a whole are copied without a condition for each piece.

use warploom_ir::affine::Name;
use warploom_ir::instruction::Code;
use warploom_ir::kernel::Index;
use warploom_ir::kernel::device::{Shared, Slice, Tile};

use super::deal::Deal;
use super::{SHARED_POINTER, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::{Cond, Lin};

/// Bytes of shared memory after which chunks are permuted as before.
const PERIOD: i64 = 1024;

/// Elements of an array whose positions, and those of boxes that reach over its ends, fit into 32
/// bits.
const SMALL: i64 = 1 << 29;

/// Clocks in which a warp starts a copy for each of its threads, beside the lines that it touches.
/// Measured on an H200.
const TURN: i64 = 16;

/// A piece of a thread: where it goes to and comes from, and its first element.
struct Piece {
    target: String,
    source: Value,
    at: Vec<Lin>,
}

/// Whether a piece is inside its array.
enum Guard {
    Always,
    Never,
    Where(Value),
}

/// A copy whose pieces are shared out.
struct Chunks<'t> {
    code: &'t Code,
    /// Bytes of a piece, and elements.
    piece: i64,
    wide: i64,
    shared: Shared,
    to: &'t Tile,
    from: &'t Tile,
    /// Pieces along each dimension of the box, and threads beside each other there.
    extents: Vec<i64>,
    shares: Vec<i64>,
}

impl Emitter<'_> {
    /// This team's threads take piece after piece.
    pub(super) fn chunks(&mut self, code: &Code, piece: i64, to: &Tile, from: &Tile) {
        let shared = self.shared(to);
        let wide = piece / shared.dtype.size_bytes() as i64;
        let mut extents = from.extents();
        if let Some(last) = extents.last_mut() {
            *last /= wide;
        }
        let team = self.state().team.clone();
        let (lane, threads) = (self.state().lane.clone(), 32 * team.warps);
        let shares = shares(&extents, threads);
        let used: i64 = shares.iter().product();
        let first = self.f.bin_int("shl", &team.warp, 5);
        let thread = self.f.bin("or", &first, &lane);
        let end = (used < threads).then(|| {
            let (some, end) = (self.f.label("some"), self.f.label("all"));
            let there = self.f.cmp_int("ult", &thread, used.into());
            self.f.cond_br(&there, &some, &end);
            self.f.start(&some);
            end
        });
        let mut deal = Deal::new(&thread, used, 0);
        for (i, share) in shares.iter().enumerate().rev() {
            let (moving, _none) = deal.digit(&mut self.f, *share);
            let digit = moving.unwrap_or_else(|| Value::int("i32", 0));
            let digit = self.f.cast("zext nneg", &digit, "i64");
            self.vars.insert(chunk(i), digit);
        }
        let copy = Chunks { code, piece, wide, shared, to, from, extents, shares };
        self.all_or_guarded(&copy);
        for i in 0..copy.shares.len() {
            self.vars.remove(&chunk(i));
        }
        if let Some(end) = end {
            self.f.br(&end);
            self.f.start(&end);
        }
    }

    /// The pieces, each where it is inside the array only if not all are. Addresses come first, so
    /// that boxes beside each other share what is the same in them.
    fn all_or_guarded(&mut self, copy: &Chunks<'_>) {
        let pieces = self.pieces(copy);
        let unsure: Vec<(usize, Cond)> = (self.whole(copy.from).into_iter().enumerate())
            .filter(|(_, whole)| whole.decided(&self.ranges) != Some(true))
            .collect();
        let (beyond, asked): (Vec<_>, Vec<_>) = unsure
            .iter()
            .cloned()
            .partition(|(_, whole)| whole.decided(&self.ranges) == Some(false));
        let dims = |of: &[(usize, Cond)]| of.iter().map(|(d, _)| *d).collect::<Vec<usize>>();
        if asked.is_empty() {
            return self.copied(copy, &pieces, &dims(&beyond));
        }
        let labels = ["whole", "partial", "copied"].map(|name| self.f.label(name));
        let holds = self.cond(&Cond::All(asked.into_iter().map(|(_, whole)| whole).collect()));
        self.f.cond_br(&holds, &labels[0], &labels[1]);
        for (label, guarded) in labels.iter().zip([dims(&beyond), dims(&unsure)]) {
            self.f.start(label);
            self.copied(copy, &pieces, &guarded);
            self.f.br(&labels[2]);
        }
        self.f.start(&labels[2]);
    }

    /// For each dimension of a tile whether all of it is inside its array.
    fn whole(&self, tile: &Tile) -> Vec<Cond> {
        let shape = self.shape_of(&tile.array);
        let inside = |((start, slice), extent): ((&Lin, &Slice), &Index)| {
            let last = start.offset((slice.extent.unwrap_or(1) - 1) * slice.step);
            let below = Lin::of(extent, &self.env).offset(-1).plus(-1, &last);
            Cond::All([start.clone(), below].map(|lin| Cond::Ge(lin, Lin::default())).to_vec())
        };
        self.starts(tile).iter().zip(&tile.at).zip(shape).map(inside).collect()
    }

    /// A thread's pieces.
    fn pieces(&mut self, copy: &Chunks<'_>) -> Vec<Piece> {
        let one = |turn: Vec<i64>| {
            let at: Vec<Lin> = (turn.iter().zip(&copy.shares).enumerate())
                .map(|(i, (turn, share))| Lin::digit(&chunk(i), *share).offset(turn * share))
                .collect();
            let elements = copy.elements(&at);
            let target = self.target(copy, &elements);
            let at = self.moved(copy.from, &elements);
            Piece { target, source: self.source(copy.from, &at), at }
        };
        copy.turns().into_iter().map(one).collect()
    }

    /// Copies pieces where they are inside the array along these dimensions, zeros elsewhere.
    fn copied(&mut self, copy: &Chunks<'_>, pieces: &[Piece], dims: &[usize]) {
        let name = intrinsic(copy.code);
        let base = self.buffers[&copy.from.array].pointer.clone();
        for piece in pieces {
            let guard = self.guard(copy.from, &piece.at, dims);
            let all = Value::int("i32", copy.piece.into());
            let none = Value::int("i32", 0);
            let (pointer, bytes) = match guard {
                Guard::Always => (piece.source.clone(), all),
                Guard::Never => (base.clone(), none),
                Guard::Where(holds) => {
                    let pointer = self.f.select(&holds, &piece.source, &base);
                    (pointer, self.f.select(&holds, &all, &none))
                }
            };
            let (target, pointer, bytes) = (&piece.target, pointer.arg(), bytes.arg());
            self.f
                .line(&format!("call void {name}({SHARED_POINTER} {target}, {pointer}, {bytes})"));
        }
    }

    /// Whether an element is inside its array along these dimensions.
    fn guard(&mut self, tile: &Tile, at: &[Lin], dims: &[usize]) -> Guard {
        let shape = self.shape_of(&tile.array).to_vec();
        let mut holds: Option<Value> = None;
        for &d in dims {
            let extent = Lin::of(&shape[d], &self.env);
            let below = extent.offset(-1).plus(-1, &at[d]);
            let bounds = [at[d].bounds(), below.bounds()];
            if bounds.iter().flatten().any(|(_, most)| *most < 0) {
                return Guard::Never;
            }
            if bounds.iter().all(|b| b.is_some_and(|(least, _)| least >= 0)) {
                continue;
            }
            // a negative index is beyond any extent, seen without its sign
            let (i, extent) = (self.lin(&at[d]), self.lin(&extent));
            let within = self.f.cmp("ult", &i, &extent);
            holds = Some(match holds {
                Some(others) => self.f.bin("and", &others, &within),
                None => within,
            });
        }
        holds.map_or(Guard::Always, Guard::Where)
    }

    /// The address in shared memory of the elements at a position of the box.
    fn target(&mut self, copy: &Chunks<'_>, elements: &[Lin]) -> String {
        let inside = copy.inside(elements);
        let at = self.moved(copy.to, &inside);
        let offset = self.offset(&copy.shared, &at);
        let far = offset.constant.div_euclid(PERIOD) * PERIOD;
        let near = self.narrow(&offset.offset(-far));
        let near = self.permuted(&near, copy.shared.panel);
        let base = self.pointer(&near);
        let text = format!("getelementptr i8, {SHARED_POINTER} {base}, i32 {far}");
        self.f.def(SHARED_POINTER, 1, &text).text
    }

    /// A tile's elements at a position.
    fn moved(&self, tile: &Tile, positions: &[Lin]) -> Vec<Lin> {
        let mut positions = positions.iter();
        let starts = self.starts(tile);
        let step = |(start, slice): (&Lin, &warploom_ir::kernel::device::Slice)| match slice.extent
        {
            Some(_) => start.plus(slice.step, positions.next().expect("as many as extents")),
            None => start.clone(),
        };
        starts.iter().zip(&tile.at).map(step).collect()
    }

    /// The address of an array's element.
    fn source(&mut self, tile: &Tile, at: &[Lin]) -> Value {
        let regs = self.buffers[&tile.array].clone();
        let space = regs.pointer.elem;
        let Some(flat) = self.flat(&tile.array, at) else {
            let at = self.position(&regs, at);
            return self.element_pointer(&regs, &at);
        };
        let moving = flat.offset(flat.constant.wrapping_neg());
        let moving = if self.small(&tile.array) { self.narrow(&moving) } else { self.lin(&moving) };
        let base = self.element_pointer(&regs, &moving);
        let bytes = flat.constant.wrapping_mul(regs.dtype.size_bytes() as i64);
        let text = format!("getelementptr i8, {space} {}, i64 {bytes}", base.text);
        self.f.def(space, 1, &text)
    }

    /// The extents of an array.
    fn shape_of(&self, array: &Name) -> &[Index] {
        let buffer = self.kernel.buffers.iter().find(|b| b.name == *array);
        &buffer.expect("verified: one of the kernel's").shape
    }

    /// Whether positions in an array, and what lies a box beside it, fit into 32 bits.
    fn small(&self, array: &Name) -> bool {
        let sizes = self.shape_of(array).iter().map(|e| Lin::of(e, &self.env).as_constant());
        let elements = sizes.into_iter().try_fold(1_i64, |all, e| all.checked_mul(e?));
        elements.is_some_and(|n| n < SMALL)
    }
}

impl Chunks<'_> {
    /// How many shares a thread has gone on along each dimension, for each of its pieces.
    fn turns(&self) -> Vec<Vec<i64>> {
        let mut out = vec![Vec::new()];
        for (extent, share) in self.extents.iter().zip(&self.shares) {
            let longer = |turn: &Vec<i64>| {
                let turn = turn.clone();
                (0..extent / share).map(move |n| turn.iter().copied().chain([n]).collect())
            };
            out = out.iter().flat_map(longer).collect();
        }
        out
    }

    /// Elements of the box at a piece.
    fn elements(&self, at: &[Lin]) -> Vec<Lin> {
        let mut out = at.to_vec();
        if let Some(last) = out.last_mut() {
            *last = Lin::default().plus(self.wide, last);
        }
        out
    }

    /// The position in the tile of shared memory of one in the box.
    fn inside(&self, elements: &[Lin]) -> Vec<Lin> {
        let (ours, theirs) = (self.to.extents(), self.from.extents());
        if ours == theirs {
            return elements.to_vec();
        }
        let Some((column, rows)) = elements.split_last() else { return Vec::new() };
        let mut row = (rows.iter().zip(&theirs))
            .fold(Lin::default(), |row, (i, extent)| Lin::default().plus(*extent, &row).plus(1, i));
        let mut out = vec![column.clone()];
        let outer = &ours[..ours.len() - 1];
        for extent in outer.iter().skip(1).rev() {
            out.push(row.modulo(*extent));
            row = row.floor_div(*extent);
        }
        out.extend((!outer.is_empty()).then_some(row));
        out.reverse();
        out
    }
}

/// What a thread's position along a dimension of the box is called.
fn chunk(i: usize) -> Name {
    format!("chunk {i}").into()
}

/// Threads beside each other along each dimension, which divide it, where all pieces take least
/// time: each turn of a warp, and each run of neighbours in memory, which is a line of the cache;
/// of equals, in fewest turns.
fn shares(extents: &[i64], threads: i64) -> Vec<i64> {
    let mut all = vec![Vec::new()];
    for extent in extents {
        let longer = |list: &Vec<i64>| {
            let (list, used) = (list.clone(), list.iter().product::<i64>());
            let fits = move |n: &i64| extent % n == 0 && used * n <= threads;
            (1..=*extent).filter(fits).map(move |n| list.iter().copied().chain([n]).collect())
        };
        all = all.iter().flat_map(longer).collect();
    }
    let time = |list: &Vec<i64>| {
        let used: i64 = list.iter().product();
        let turns = extents.iter().product::<i64>() / used;
        let runs = used / list.last().copied().unwrap_or(1);
        (turns * (TURN * ((used + 31) / 32) + runs), turns)
    };
    all.into_iter().min_by_key(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::shares;

    #[test]
    fn threads_divide_the_dimensions_of_a_box() {
        assert_eq!(shares(&[128, 8], 128), [16, 8]);
        assert_eq!(shares(&[8, 24, 3], 128), [4, 8, 3], "96 threads instead of 72");
        assert_eq!(shares(&[24, 9], 128), [12, 9]);
        assert_eq!(shares(&[128, 9], 128), [8, 9], "not 128 rows of a piece each");
        assert_eq!(shares(&[4], 128), [4]);
        assert_eq!(shares(&[7, 1], 4), [1, 1]);
    }
}
