//! Calls of instructions: operands as the instruction table wants them, and its preconditions.
//!
//! In: a call and the team, fragments, shared buffers and barriers around it. Out: faults (E1015).
//! Keeps: after this, every tile has the extents and types of its operand, and starts where the
//! hardware can start.

use warploom_ir::dtype::DType;
use warploom_ir::instruction::tensor_memory::{SCALE_BYTES, SCALE_LANES, STEPS, lanes};
use warploom_ir::instruction::{
    ANSWER_BYTES, Action, Instruction, Issue, Matrix, Part, Want, find, tensor_memory,
};
use warploom_ir::kernel::Index;
use warploom_ir::kernel::device::{
    CLUSTER, Call, Operand, Shared, Slice, Tile, WARPGROUP, rows_agree,
};

use super::Checker;
use super::mapped::over;

/// Bytes of a chunk, whose multiples are the addresses of asynchronous copies.
const CHUNK: i64 = 16;
/// Most elements of a box along one dimension, and most dimensions.
const BOX: i64 = 256;
/// The widest step from one of them to the next.
const STEP: i64 = 8;
const MAX_RANK: usize = 5;
/// Columns of tensor memory at whose multiples accumulators start.
const TENSOR_STEP: i64 = 16;
/// Most bytes that one arrival can announce.
const MAX_BYTES: i64 = (1 << 20) - 1;

/// A number that divides an index whatever its variables are; 0 for zero.
fn divisor(index: &Index) -> i64 {
    const fn gcd(a: i64, b: i64) -> i64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let both = |a: &Index, b: &Index| gcd(divisor(a), divisor(b));
    match index {
        Index::Const(c) => c.checked_abs().unwrap_or(1),
        Index::Var(_) | Index::FloorDiv(..) => 1,
        Index::Add(a, b)
        | Index::Sub(a, b)
        | Index::Min(a, b)
        | Index::Max(a, b)
        | Index::Select(_, a, b) => both(a, b),
        Index::Mul(c, a) => c.checked_mul(divisor(a)).and_then(i64::checked_abs).unwrap_or(1),
        Index::Mod(a, d) => gcd(divisor(a), d.checked_abs().unwrap_or(1)),
    }
}

fn product(extents: &[i64]) -> i64 {
    extents.iter().fold(1, |n: i64, e| n.saturating_mul(*e))
}

fn aligned(index: &Index, to: i64) -> bool {
    divisor(index) % to == 0
}

/// The slices of the tile's last two dimensions, where they are its rows and columns.
fn rows_and_columns(tile: &Tile) -> Option<[&Index; 2]> {
    match tile.at.as_slice() {
        [outer @ .., row, col]
            if row.extent.is_some()
                && col.extent.is_some()
                && outer.iter().all(|s| s.extent.is_none()) =>
        {
            Some([&row.start, &col.start])
        }
        _ => None,
    }
}

impl Checker {
    pub(super) fn call(&mut self, call: &Call) {
        let place = format!("`{call}`");
        for index in call.indices() {
            self.index(index, &place, 0);
        }
        let Some(instruction) = find(&call.instruction) else {
            let text = format!("there is no instruction `{}`", call.instruction);
            return self.fault("E1015", text);
        };
        if let Err(why) = self.issue(instruction).and_then(|()| self.operands(instruction, call)) {
            self.fault("E1015", format!("{place}: {why}"));
        }
    }

    fn issue(&self, instruction: &Instruction) -> Result<(), String> {
        let (one, team) = (self.context.one, self.context.team.unwrap_or(0));
        let (fits, who) = match instruction.issue {
            Issue::Thread => (one, "one thread: put it into `one { … }`"),
            Issue::Warp => (!one, "whole warps, not one thread"),
            Issue::Warpgroup => (!one && team == WARPGROUP, "a team of four warps"),
            Issue::Any if instruction.action == Action::Sync => (!one, "all threads of a team"),
            Issue::Any => (true, ""),
        };
        if fits { Ok(()) } else { Err(format!("it is issued by {who}")) }
    }

    fn operands(&self, instruction: &Instruction, call: &Call) -> Result<(), String> {
        let Some(wants) = instruction.action.wants() else {
            return Err("nodes of a kernel stand for this instruction".to_owned());
        };
        if wants.len() != call.operands.len() {
            return Err(format!("it takes {} operands", wants.len()));
        }
        for (operand, want) in call.operands.iter().zip(wants) {
            self.operand(operand, *want)?;
        }
        self.pair(instruction)?;
        let tile = |i: usize| match &call.operands[i] {
            Operand::Tile(tile) => Ok(tile),
            Operand::Value(_) => Err(format!("operand {i} is a number")),
        };
        match instruction.action {
            Action::Matrix(m) if m.tensor => {
                self.accumulator(&m, tile(0)?)?;
                self.factors(&m, [tile(1)?, tile(2)?])?;
                match m.scales {
                    Some(s) => self.scales(&m, s.dtype, [tile(3)?, tile(4)?]),
                    None => Ok(()),
                }
            }
            Action::ScaleCopy(_) => self.scale_copy(tile(0)?, tile(1)?),
            Action::Matrix(m) => self.matrix(&m, [tile(0)?, tile(1)?, tile(2)?]),
            Action::TensorLoad(columns) => self.loaded(columns, tile(0)?, tile(1)?),
            Action::LoadMatrix => self.matrices(tile(0)?, tile(1)?, true),
            Action::StoreMatrix => self.matrices(tile(1)?, tile(0)?, false),
            Action::CopyAsync(bytes) => self.chunks(bytes, tile(0)?, tile(1)?),
            Action::BoxLoad | Action::BoxMulticast | Action::BoxPair => {
                self.boxes(tile(0)?, tile(1)?)
            }
            Action::BoxStore if tile(0)?.at.iter().any(|s| s.step != 1) => {
                Err("boxes that are stored have no steps".to_owned())
            }
            Action::BoxStore => self.boxes(tile(1)?, tile(0)?),
            Action::Wait => match &call.operands[1] {
                Operand::Value(Index::Const(0 | 1) | Index::Mod(_, 2)) => Ok(()),
                _ => Err("a parity is 0, 1 or `mod(…, 2)`".to_owned()),
            },
            Action::Expect => match &call.operands[1] {
                Operand::Value(Index::Const(n)) if (1..=MAX_BYTES).contains(n) => Ok(()),
                _ => Err(format!("the bytes awaited are 1 to {MAX_BYTES}")),
            },
            Action::Take | Action::TakeMulticast | Action::Answer => self.answer(tile(0)?),
            Action::CopyWait | Action::BoxWaitRead | Action::MatrixWait => {
                match &call.operands[0] {
                    Operand::Value(Index::Const(0..=7)) => Ok(()),
                    _ => Err("0 to 7 groups can be left".to_owned()),
                }
            }
            Action::CopyCommit
            | Action::BoxCommit
            | Action::Arrive
            | Action::CopyArrive
            | Action::ArriveCluster
            | Action::MatrixFence
            | Action::MatrixCommit
            | Action::TensorWait
            | Action::TensorCommit
            | Action::TensorCommitCluster
            | Action::TensorCommitPair
            | Action::TensorBefore
            | Action::TensorAfter
            | Action::ProxyFence
            | Action::Sync
            | Action::Implied => Ok(()),
        }
    }

    /// A place of an answer: a row of a buffer without panels, whose rows are as long.
    fn answer(&self, tile: &Tile) -> Result<(), String> {
        let buffer = &self.context.shared[&tile.array];
        let words = ANSWER_BYTES / DType::U64.size_bytes() as i64;
        let row = tile.at.last().is_some_and(|s| s.start == Index::Const(0));
        if buffer.dtype == DType::U64
            && buffer.panel.is_none()
            && buffer.shape.last() == Some(&words)
            && tile.extents() == [words]
            && row
            && !tile.transposed
        {
            return Ok(());
        }
        Err(format!("`{tile}` is no row of {words} `u64`, in which an answer has room"))
    }

    /// What is for pairs of blocks is in pairs, and all matrix instructions of one thread and their
    /// commits in a kernel are of pairs or none (PTX ISA, 9.7.16.5, "CTA group").
    fn pair(&self, instruction: &Instruction) -> Result<(), String> {
        let action = &instruction.action;
        if action.paired() && self.context.paired.is_none() {
            return Err(
                "it is for the two blocks of a pair, and the innermost loop over the blocks \
                        of a cluster has no even number of them"
                    .to_owned(),
            );
        }
        let commits = matches!(
            action,
            Action::TensorCommit | Action::TensorCommitCluster | Action::TensorCommitPair
        );
        let copies = matches!(action, Action::ScaleCopy(_));
        let grouped = commits || copies || matches!(action, Action::Matrix(m) if m.tensor);
        if grouped && action.paired() != (self.context.paired == Some(true)) {
            return Err("others of the block are of pairs of blocks, and it is not".to_owned());
        }
        Ok(())
    }

    /// An operand is of the wanted kind, and its tile of the array's rank.
    fn operand(&self, operand: &Operand, want: Want) -> Result<(), String> {
        let tile = match (operand, want) {
            (Operand::Value(Index::Const(_)), Want::Constant)
            | (Operand::Value(_), Want::Value) => {
                return Ok(());
            }
            (Operand::Value(v), _) => return Err(format!("`{v}` is not what it takes")),
            (Operand::Tile(t), Want::Constant | Want::Value) => {
                return Err(format!("`{t}` is no number"));
            }
            (Operand::Tile(tile), _) => tile,
        };
        let name = &tile.array;
        let context = &self.context;
        let kind = match want {
            Want::Fragment(_) => context.fragments.contains_key(name),
            Want::Shared => context.shared.contains_key(name),
            Want::Tensor => context.tensors.contains_key(name),
            Want::Barrier => {
                let slot = matches!(tile.at.as_slice(), [s] if s.extent.is_none());
                return match context.barriers.contains_key(name) && slot {
                    true => Ok(()),
                    false => Err(format!("`{tile}` is no slot of a barrier")),
                };
            }
            Want::Blocks => {
                let whole = tile.at.len() == context.cluster && !tile.transposed;
                let some = tile.at.iter().filter_map(|s| s.extent).all(|e| e > 0);
                return match &**name == CLUSTER && context.cluster > 0 && whole && some {
                    true => Ok(()),
                    false => Err(format!("`{tile}` is no part of a cluster around it")),
                };
            }
            Want::Global => {
                self.arrays.contains_key(name)
                    && !context.fragments.contains_key(name)
                    && !context.shared.contains_key(name)
                    && !context.tensors.contains_key(name)
            }
            Want::Constant | Want::Value => false,
        };
        let rank = self.arrays.get(name).map(|b| b.shape.len());
        let extents = tile.at.iter().filter_map(|s| s.extent).all(|e| e > 0);
        if matches!(want, Want::Global) {
            self.steps(tile)?;
        } else if matches!(want, Want::Tensor) && self.stepped(tile) {
            // the bytes of columns that an instruction takes as scales
        } else if tile.at.iter().any(|s| s.step != 1) {
            return Err(format!("`{tile}` has steps, which tiles of arrays alone can have"));
        }
        if kind && rank == Some(tile.at.len()) && extents {
            return Ok(());
        }
        Err(format!("`{tile}` is not what it takes, or has the wrong rank"))
    }

    /// Whether steps of an array's tile are those that the copy engine can make: along all
    /// dimensions but the last.
    fn steps(&self, tile: &Tile) -> Result<(), String> {
        let last = tile.at.last().is_none_or(|s| s.step == 1);
        if last && tile.at.iter().all(|s| (1..=STEP).contains(&s.step)) {
            return Ok(());
        }
        Err(format!("the steps of `{tile}` are not from 1 to {STEP}, and 1 in its last dimension"))
    }

    fn matrix(&self, matrix: &Matrix, [d, a, b]: [&Tile; 3]) -> Result<(), String> {
        self.part_of_matrix(matrix, d, Part::D)?;
        self.factors(matrix, [a, b])
    }

    fn factors(&self, matrix: &Matrix, [a, b]: [&Tile; 2]) -> Result<(), String> {
        self.part_of_matrix(matrix, a, Part::A)?;
        self.part_of_matrix(matrix, b, Part::B)
    }

    /// A tile has the extents and the type of a part of a matrix instruction.
    fn fits(&self, matrix: &Matrix, tile: &Tile, part: Part) -> Result<(), String> {
        let dtype = self.arrays.get(&tile.array).map(|b| b.dtype);
        if tile.matrix() == Some(matrix.held(part)) && dtype == Some(matrix.dtype(part)) {
            return Ok(());
        }
        let ([r, c], t) = (matrix.held(part), matrix.dtype(part));
        Err(format!("`{tile}` is not {t} of {r}x{c}"))
    }

    fn part_of_matrix(&self, matrix: &Matrix, tile: &Tile, part: Part) -> Result<(), String> {
        self.fits(matrix, tile, part)?;
        let Some(layout) = matrix.layout(part) else { return self.described(tile, matrix) };
        let held = self.context.fragments.get(&tile.array);
        if held.is_none_or(|h| h.layout != layout) || tile.transposed {
            return Err(format!("`{tile}` has not the layout of this operand"));
        }
        self.fragment_tile(tile)
    }

    /// An accumulator in tensor memory: all lanes, from a column on that an instruction can name.
    fn accumulator(&self, matrix: &Matrix, tile: &Tile) -> Result<(), String> {
        self.fits(matrix, tile, Part::D)?;
        self.lanes(tile, TENSOR_STEP)
    }

    /// Whether a tile is of scales, of which an instruction takes this byte of each column, and as
    /// many behind it as it has further steps.
    fn stepped(&self, tile: &Tile) -> bool {
        let buffer = self.context.tensors.get(&tile.array);
        let scales = buffer.is_some_and(|t| lanes(t.dtype) == Some(SCALE_LANES));
        let [outer @ .., last] = tile.at.as_slice() else { return false };
        scales && last.step == STEPS && outer.iter().all(|s| s.step == 1)
    }

    /// The scales of both factors: whole blocks of rows, a byte of each column, which is part of
    /// the instruction's descriptor and so known when the code is made.
    fn scales(&self, matrix: &Matrix, dtype: DType, both: [&Tile; 2]) -> Result<(), String> {
        for (tile, part) in both.into_iter().zip([Part::A, Part::B]) {
            let wanted = [matrix.scaled_blocks(part), SCALE_LANES, STEPS];
            let [outer @ .., _, lane, byte] = tile.at.as_slice() else {
                return Err(format!("`{tile}` has no blocks, lanes and bytes"));
            };
            let buffer = &self.context.tensors[&tile.array];
            let whole = buffer.shape.last() == Some(&SCALE_BYTES) && lane.start == Index::Const(0);
            if buffer.dtype != dtype
                || tile.extents() != wanted
                || outer.iter().any(|s| s.extent.is_some())
                || !self.stepped(tile)
                || !whole
                || tile.transposed
            {
                let [blocks, lanes, bytes] = wanted;
                return Err(format!(
                    "`{tile}` is not {dtype} of {blocks} blocks of {lanes} lanes, of which it \
                     takes {bytes} of {SCALE_BYTES} bytes in steps of {STEPS}"
                ));
            }
            if !aligned(&byte.start, matrix.steps()) {
                return Err(format!(
                    "`{tile}` starts at no multiple of the {} bytes that it takes of each column",
                    matrix.steps()
                ));
            }
            if !over(&byte.start, &self.context.unrolled) {
                return Err(format!(
                    "which bytes `{tile}` takes must be known: use unrolled loops"
                ));
            }
        }
        Ok(())
    }

    /// A block of scales on its way to tensor memory.
    fn scale_copy(&self, tensor: &Tile, shared: &Tile) -> Result<(), String> {
        let (to, from) =
            (&self.context.tensors[&tensor.array], &self.context.shared[&shared.array]);
        let one = Some([SCALE_LANES, SCALE_BYTES]);
        if to.dtype != from.dtype
            || lanes(to.dtype) != Some(SCALE_LANES)
            || [tensor.matrix(), shared.matrix()] != [one; 2]
            || tensor.transposed
            || shared.transposed
        {
            return Err(format!(
                "the tiles differ in type, or are no scales of {SCALE_LANES} lanes of \
                 {SCALE_BYTES} bytes"
            ));
        }
        let starts = [rows_and_columns(tensor), rows_and_columns(shared)];
        let [Some([lane, byte]), Some([row, column])] = starts else {
            return Err("the tiles are not of their buffers' last two dimensions".to_owned());
        };
        let whole = *lane == Index::Const(0) && aligned(byte, SCALE_BYTES);
        let rows = from.panel == Some(CHUNK) && aligned(row, 8) && aligned(column, CHUNK);
        if whole && rows && to.shape.last().is_some_and(|n| n % SCALE_BYTES == 0) {
            return Ok(());
        }
        Err(format!("`{tensor}` or `{shared}` starts or lies where no block of scales can"))
    }

    /// All lanes of some columns of tensor memory, in steps.
    fn lanes(&self, tile: &Tile, step: i64) -> Result<(), String> {
        let Some([lane, column]) = rows_and_columns(tile) else {
            return Err(format!("`{tile}` is not of its buffer's last two dimensions"));
        };
        let buffer = &self.context.tensors[&tile.array];
        let width = buffer.shape.last().copied().unwrap_or(0);
        if *lane == Index::Const(0)
            && aligned(column, step)
            && width % step == 0
            && !tile.transposed
        {
            return Ok(());
        }
        Err(format!("`{tile}` does not start at lane 0 and a multiple of {step} columns"))
    }

    /// Columns of tensor memory that four warps load, each those of the lanes it reaches.
    fn loaded(&self, columns: i64, fragment: &Tile, tensor: &Tile) -> Result<(), String> {
        let types = (&self.arrays[&fragment.array], &self.arrays[&tensor.array]);
        let held = &self.context.fragments[&fragment.array];
        let one = Some([held.layout.rows, held.layout.cols]);
        if held.layout != tensor_memory::loaded(columns)
            || types.0.dtype != types.1.dtype
            || [fragment.matrix(), tensor.matrix()] != [one; 2]
            || fragment.transposed
        {
            return Err(format!("the tiles differ in type, or are not {columns} columns"));
        }
        if self.context.first % WARPGROUP != 0 {
            return Err("the first of its warps has no number in the block that four divides, so \
                        that they do not reach these lanes"
                .to_owned());
        }
        self.fragment_tile(fragment)?;
        self.lanes(tensor, 1)
    }

    /// A tile of a fragment is whole tiles of its layout.
    fn fragment_tile(&self, tile: &Tile) -> Result<(), String> {
        let held = self.context.fragments.get(&tile.array);
        let held = held.ok_or_else(|| format!("`{tile}` is no fragment"))?;
        self.part(tile, [held.layout.rows, held.layout.cols])
    }

    /// A part of a fragment in these steps, which is known when the code is made.
    pub(super) fn part(&self, tile: &Tile, sizes: [i64; 2]) -> Result<(), String> {
        let whole =
            tile.at.iter().zip(sizes).all(|(s, size)| {
                aligned(&s.start, size) && s.extent.is_some_and(|e| e % size == 0)
            });
        if !whole {
            return Err(format!("`{tile}` is no whole number of tiles"));
        }
        if tile.at.iter().all(|s| over(&s.start, &self.context.unrolled)) {
            return Ok(());
        }
        Err(format!("which registers `{tile}` is must be known: use unrolled loops"))
    }

    /// A tile that a descriptor can stand for.
    fn described(&self, tile: &Tile, matrix: &Matrix) -> Result<(), String> {
        let shared = &self.context.shared[&tile.array];
        let Some(panel) = shared.panel else { return Err(format!("`{tile}` has no panels")) };
        let Some([row, col]) = rows_and_columns(tile) else {
            return Err(format!("`{tile}` is not of its buffer's last two dimensions"));
        };
        if tile.transposed && !matrix.transposable {
            return Err(format!("`{tile}` is transposed, which only 16-bit types can be"));
        }
        let across = if tile.transposed { panel } else { CHUNK.max(panel.min(2 * CHUNK)) };
        let across = shared.wide(across);
        if aligned(row, 8) && aligned(col, across) {
            return Ok(());
        }
        Err(format!("`{tile}` starts at no multiple of 8 rows and {across} columns"))
    }

    /// `ldmatrix` and `stmatrix`.
    fn matrices(&self, fragment: &Tile, shared: &Tile, load: bool) -> Result<(), String> {
        let held = &self.context.fragments[&fragment.array];
        let buffer = &self.context.shared[&shared.array];
        let bytes = buffer.dtype.size_bytes() as i64;
        if buffer.packed()
            || !held.layout.is_matrices(bytes)
            || bytes != 2 && (shared.transposed || !load)
        {
            return Err(format!("`{fragment}` is not made of matrices of eight rows of 16 bytes"));
        }
        if self.arrays[&fragment.array].dtype != buffer.dtype {
            return Err("the types differ".to_owned());
        }
        self.part(fragment, held.layout.matrix_steps(bytes))?;
        // of each warp that holds a part
        let n = product(&fragment.extents()) * bytes / (4 * held.layout.n_threads());
        if fragment.matrix() != shared.matrix() || fragment.transposed || ![1, 2, 4].contains(&n) {
            return Err(format!("the tiles differ, or are {n} matrices and not 1, 2 or 4"));
        }
        let Some([row, col]) = rows_and_columns(shared) else {
            return Err(format!("`{shared}` is not of its buffer's last two dimensions"));
        };
        if aligned(col, CHUNK / bytes) && aligned(row, 8) && Self::chunked(buffer, CHUNK) {
            return Ok(());
        }
        Err(format!("`{shared}` starts at no multiple of 8 rows and 16 bytes"))
    }

    /// Whether every row of a shared buffer starts at a multiple of so many bytes, at most 16.
    fn chunked(buffer: &Shared, bytes: i64) -> bool {
        let cols = buffer.shape.last().copied().unwrap_or(0);
        buffer.panel.is_some() || cols.saturating_mul(buffer.bits()) % (8 * bytes) == 0
    }

    fn same_tiles(&self, shared: &Tile, global: &Tile) -> Result<(), String> {
        let types = (&self.arrays[&shared.array], &self.arrays[&global.array]);
        let rows = rows_agree(&shared.extents(), &global.extents());
        if types.0.dtype != types.1.dtype || !rows {
            return Err("the tiles differ in type or extents".to_owned());
        }
        if types.1.packed() != self.context.shared[&shared.array].packed() {
            return Err(format!("elements of `{global}` share bytes, those of `{shared}` do not"));
        }
        if shared.transposed || global.transposed {
            return Err("a copy does not transpose".to_owned());
        }
        Ok(())
    }

    /// Copies of so many bytes by each thread.
    fn chunks(&self, bytes: i64, shared: &Tile, global: &Tile) -> Result<(), String> {
        self.same_tiles(shared, global)?;
        if self.context.one {
            return Err("it is issued by all threads of a team".to_owned());
        }
        let buffer = &self.context.shared[&shared.array];
        let wide = buffer.wide(bytes);
        let whole = wide > 0
            && !buffer.packed()
            && [shared, global].iter().all(|tile| {
                tile.at.last().is_some_and(|s| {
                    aligned(&s.start, wide) && s.extent.is_some_and(|e| e % wide == 0)
                })
            });
        if whole && Self::chunked(buffer, bytes) {
            return Ok(());
        }
        Err(format!("the tile's rows are no multiples of {bytes} bytes"))
    }

    /// Boxes of the copy engine: panels of a buffer, or all of one without panels.
    fn boxes(&self, shared: &Tile, global: &Tile) -> Result<(), String> {
        self.same_tiles(shared, global)?;
        let buffer = &self.context.shared[&shared.array];
        let extents = global.extents();
        let (cols, rows) = extents.split_last().map_or((0, &[][..]), |(c, r)| (*c, r));
        match (buffer.panel, rows_and_columns(shared)) {
            (Some(panel), Some([row, col])) => {
                let wide = buffer.wide(panel);
                if !aligned(row, 8) || !aligned(col, wide) || cols % wide != 0 {
                    return Err(format!("`{shared}` is no whole panels of its buffer"));
                }
            }
            (Some(_), None) => {
                return Err(format!("`{shared}` is no panels of its buffer's last two dimensions"));
            }
            (None, _) => {
                let whole = cols % buffer.wide(CHUNK).max(1) == 0;
                if shared.extents() != buffer.shape || cols > BOX || !whole {
                    return Err(format!(
                        "`{shared}` is not all of a buffer with rows of 16 bytes or a multiple, \
                         of at most {BOX} elements"
                    ));
                }
            }
        }
        let reach = |s: &Slice| s.extent.map_or(0, |e| (e - 1) * s.step + 1);
        if rows.iter().any(|e| *e > BOX) || global.at.iter().rev().skip(1).any(|s| reach(s) > BOX) {
            return Err(format!("`{global}` is longer than {BOX} along a dimension"));
        }
        if buffer.packed() && !global.at.last().is_some_and(|s| aligned(&s.start, 2)) {
            return Err(format!("`{global}` starts inside a byte"));
        }
        let last = global.at.last().is_some_and(|s| s.extent.is_some());
        if global.at.len() > MAX_RANK || !last {
            return Err(format!("`{global}` has more than {MAX_RANK} dimensions, or no columns"));
        }
        Ok(())
    }
}
