//! Calls: operands resolved, preconditions checked, effects applied.

use super::clock::Clock;
use super::shared::{Access, Proxy};
use super::{Machine, Outcome, Phase, Warp, fault};
use crate::diag::Result;
use crate::instruction::{Action, Issue, Matrix, PAIR, Want, find};
use crate::kernel::device::{Call, Operand, Tile, WARP, WARPGROUP};

/// The tile of an operand; the caller has compared the call with the table.
fn tile(operand: &Operand) -> Result<&Tile> {
    match operand {
        Operand::Tile(tile) => Ok(tile),
        Operand::Value(v) => Err(fault("E0521", &format!("`{v}` is no part of an array"))),
    }
}

fn fits(operand: &Operand, want: Want) -> bool {
    match want {
        Want::Fragment(_)
        | Want::Shared
        | Want::Tensor
        | Want::Global
        | Want::Barrier
        | Want::Blocks => matches!(operand, Operand::Tile(_)),
        Want::Constant | Want::Value => matches!(operand, Operand::Value(_)),
    }
}

impl<'k> Machine<'k, '_> {
    /// Executes a call, or finds that the warp has to wait.
    pub(super) fn call(&mut self, call: &'k Call, w: &mut Warp<'k>) -> Result<Outcome> {
        let Some(instruction) = find(&call.instruction) else {
            return Err(fault("E0521", &format!("there is no `{}`", call.instruction)));
        };
        let wants = instruction.action.wants().unwrap_or(&[]);
        let n = call.operands.len();
        let all = n == wants.len() && call.operands.iter().zip(wants).all(|(o, w)| fits(o, *w));
        if !all || instruction.action == Action::Implied {
            return Err(fault("E0521", &format!("`{}` takes {wants:?}", call.instruction)));
        }
        let issued = match instruction.issue {
            Issue::Thread => w.one,
            Issue::Warp => !w.one,
            Issue::Warpgroup => !w.one && w.team().warps as i64 == WARPGROUP,
            Issue::Any => true,
        };
        if !issued {
            let text = format!("`{}` is issued by {:?}", call.instruction, instruction.issue);
            return Err(fault("E0521", &text));
        }
        self.act(instruction.action, &call.operands, w)
    }

    /// A product, of factors with scales where they have some.
    fn multiply(&mut self, matrix: &Matrix, o: &'k [Operand], w: &mut Warp<'k>) -> Result<()> {
        let keep = self.number(&o[o.len() - 1], w)? != 0;
        let tiles = [tile(&o[0])?, tile(&o[1])?, tile(&o[2])?];
        if matrix.tensor {
            let scales = match matrix.scales {
                Some(_) => Some([tile(&o[3])?, tile(&o[4])?]),
                None => None,
            };
            return self.tensor_product(matrix, (tiles, scales), keep, w);
        }
        match matrix.shared {
            true => self.shared_product(matrix, tiles, keep, w),
            false => self.registers_product(matrix, tiles, keep, w),
        }
    }

    fn act(&mut self, action: Action, o: &'k [Operand], w: &mut Warp<'k>) -> Result<Outcome> {
        match action {
            Action::Matrix(matrix) => self.multiply(&matrix, o, w)?,
            Action::LoadMatrix => self.move_matrix(tile(&o[0])?, tile(&o[1])?, true, w)?,
            Action::StoreMatrix => self.move_matrix(tile(&o[1])?, tile(&o[0])?, false, w)?,
            Action::CopyAsync(n) => self.chunk_copy(n, tile(&o[0])?, tile(&o[1])?, w)?,
            Action::CopyCommit => w.commit_copies(),
            Action::CopyWait => self.finish_copies(self.count(&o[0], w)?, w)?,
            Action::CopyArrive => self.arrive_copied(tile(&o[0])?, w)?,
            Action::BoxLoad | Action::BoxMulticast | Action::BoxPair => {
                let barrier = tile(&o[2])?;
                let slot = self.slot(barrier, w)?;
                self.phase(w.rank, &barrier.array, slot)?;
                let first = w.rank / PAIR as usize * PAIR as usize;
                let blocks = match o.get(3) {
                    Some(blocks) => {
                        self.blocks(tile(blocks)?, w)?.into_iter().map(|b| [b; 2]).collect()
                    }
                    None if action == Action::BoxPair => vec![[w.rank, first]],
                    None => vec![[w.rank; 2]],
                };
                let slot = (barrier.array.clone(), slot);
                self.box_load([tile(&o[0])?, tile(&o[1])?], &slot, &blocks, w)?;
            }
            Action::BoxStore => self.box_store(tile(&o[0])?, tile(&o[1])?, w)?,
            Action::BoxCommit => {
                let open = std::mem::take(&mut w.open_stores);
                w.stores.push(open);
            }
            Action::BoxWaitRead => self.finish_stores(self.count(&o[0], w)?, w)?,
            Action::Arrive => self.arrive(tile(&o[0])?, &[w.rank], w.threads(), 0, w)?,
            Action::ArriveCluster => {
                let blocks = self.blocks(tile(&o[1])?, w)?;
                self.arrive(tile(&o[0])?, &blocks, w.threads(), 0, w)?;
            }
            Action::Expect => {
                let bytes = self.number(&o[1], w)?;
                self.arrive(tile(&o[0])?, &[w.rank], 1, bytes, w)?;
            }
            Action::Wait => return self.wait(tile(&o[0])?, &o[1], w),
            Action::MatrixFence => w.fenced = true,
            Action::MatrixCommit => self.commit(w),
            Action::MatrixWait => return self.wait_matrix(self.count(&o[0], w)?, w),
            Action::TensorLoad(n) => self.tensor_load(n, tile(&o[0])?, tile(&o[1])?, w)?,
            Action::ScaleCopy(n) => self.scale_copy(n, [tile(&o[0])?, tile(&o[1])?], w)?,
            Action::TensorWait => self.finish_tensor_loads(w)?,
            Action::TensorCommit | Action::TensorCommitCluster | Action::TensorCommitPair => {
                let blocks = match o.get(1) {
                    Some(blocks) => self.blocks(tile(blocks)?, w)?,
                    None => vec![w.rank],
                };
                self.tensor_commit(tile(&o[0])?, blocks, w)?;
            }
            Action::TensorBefore => w.clock.fence_before(),
            Action::TensorAfter => w.clock.fence_after(),
            Action::Take | Action::TakeMulticast => {
                let multicast = action == Action::TakeMulticast;
                self.ask([tile(&o[0])?, tile(&o[1])?], multicast, w)?;
            }
            Action::Answer => self.read_answer(tile(&o[0])?, w)?,
            Action::ProxyFence => w.clock.fence(),
            Action::Sync => return self.sync(w),
            Action::Implied => return Err(fault("E0521", "a node stands for this instruction")),
        }
        Ok(Outcome::Done)
    }

    fn number(&self, operand: &Operand, w: &Warp<'k>) -> Result<i64> {
        match operand {
            Operand::Value(index) => w.index(index),
            Operand::Tile(tile) => Err(fault("E0521", &format!("`{tile}` is no number"))),
        }
    }

    fn count(&self, operand: &Operand, w: &Warp<'k>) -> Result<usize> {
        let n = self.number(operand, w)?;
        usize::try_from(n).map_err(|_| fault("E0521", "a negative number of groups"))
    }

    /// The slot of a barrier.
    pub(super) fn slot(&self, tile: &Tile, w: &Warp<'k>) -> Result<i64> {
        match tile.at.as_slice() {
            [slice] if slice.extent.is_none() => w.index(&slice.start),
            _ => Err(fault("E0521", &format!("`{tile}` is no slot of a barrier"))),
        }
    }

    /// The state of a barrier of a block.
    pub(super) fn phase(&mut self, rank: usize, name: &str, slot: i64) -> Result<&mut Phase> {
        let declared = self.block.barriers.iter().find(|b| &*b.name == name);
        let found = declared.filter(|b| (0..b.slots).contains(&slot));
        let Some(barrier) = found else {
            return Err(fault("E0515", &format!("there is no barrier `{name}[{slot}]`")));
        };
        Ok(self.barriers.entry((rank, &*barrier.name, slot)).or_default())
    }

    /// Arrivals at the same barrier of some blocks.
    fn arrive(
        &mut self,
        to: &Tile,
        blocks: &[usize],
        times: i64,
        bytes: i64,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let slot = self.slot(to, w)?;
        for &rank in blocks {
            let clock = w.clock.clone();
            self.arrival((rank, &to.array, slot), times, bytes, &clock)?;
            w.clock.tick(w.number);
            self.advance(rank, &to.array, slot)?;
        }
        Ok(())
    }

    /// Arrivals of an agent that knows this, at a slot of a barrier of a block.
    pub(super) fn arrival(
        &mut self,
        (rank, name, slot): (usize, &str, i64),
        times: i64,
        bytes: i64,
        clock: &Clock,
    ) -> Result<()> {
        let count = self.block.barriers.iter().find(|b| &*b.name == name).map_or(0, |b| b.count);
        let phase = self.phase(rank, name, slot)?;
        phase.arrived += times;
        let all = phase.bytes.checked_add(bytes).filter(|_| bytes >= 0);
        phase.bytes = all.ok_or_else(|| fault("E0521", "an impossible number of bytes"))?;
        phase.clock.merge(clock);
        if phase.arrived > count {
            let text = format!("`{name}[{slot}]` gets more than {count} arrivals in a phase");
            return Err(fault("E0521", &text));
        }
        Ok(())
    }

    /// Completes a phase where everything has come.
    pub(super) fn advance(&mut self, rank: usize, name: &str, slot: i64) -> Result<()> {
        let count = self.block.barriers.iter().find(|b| &*b.name == name).map_or(0, |b| b.count);
        let phase = self.phase(rank, name, slot)?;
        if phase.arrived == count && phase.bytes == 0 {
            phase.number += 1;
            phase.arrived = 0;
            phase.complete = std::mem::take(&mut phase.clock);
        }
        Ok(())
    }

    fn wait(&mut self, at: &Tile, parity: &Operand, w: &mut Warp<'k>) -> Result<Outcome> {
        let (slot, parity) = (self.slot(at, w)?, self.number(parity, w)?);
        if !(0..=1).contains(&parity) {
            return Err(fault("E0521", &format!("the parity {parity} is not 0 or 1")));
        }
        let phase = self.phase(w.rank, &at.array, slot)?;
        if phase.number % 2 == parity as u64 {
            return Ok(Outcome::Blocked);
        }
        phase.seen = phase.number;
        w.clock.merge(&phase.complete);
        Ok(Outcome::Done)
    }

    /// The barrier of a team's threads.
    fn sync(&mut self, w: &mut Warp<'k>) -> Result<Outcome> {
        if w.one {
            return Err(fault("E0521", "one thread waits for all threads of its team"));
        }
        let team = w.team();
        let meeting = self.meetings.entry(team).or_default();
        if w.sync.is_none() {
            w.sync = Some(meeting.number);
            meeting.arrived += 1;
            meeting.clock.merge(&w.clock);
            w.clock.tick(w.number);
            if meeting.arrived == team.warps {
                meeting.number += 1;
                meeting.arrived = 0;
                meeting.complete = std::mem::take(&mut meeting.clock);
            }
        }
        if w.sync == Some(meeting.number) {
            return Ok(Outcome::Blocked);
        }
        w.sync = None;
        w.clock.merge(&meeting.complete);
        Ok(Outcome::Done)
    }

    /// Where a part of a fragment starts, and its extents.
    fn part(tile: &Tile, w: &Warp<'k>) -> Result<[[i64; 2]; 2]> {
        let wrong = || fault("E0521", &format!("`{tile}` is no part of a fragment"));
        let ([row, col], Some(extents)) = (tile.at.as_slice(), tile.matrix()) else {
            return Err(wrong());
        };
        Ok([[w.index(&row.start)?, w.index(&col.start)?], extents])
    }

    /// `ldmatrix` and `stmatrix`: matrices of eight rows of 16 bytes between shared memory and
    /// fragments, by the threads of this warp.
    fn move_matrix(
        &mut self,
        fragment: &Tile,
        shared: &Tile,
        load: bool,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let wrong = |text: &str| fault("E0521", text);
        let Some(f) = w.fragments.get(&*fragment.array) else {
            return Err(wrong("an operand is no fragment"));
        };
        let first = f.first_thread(w.number - w.team().first);
        let (tiles, layout, dtype) = (f.tiles, f.layout.clone(), f.dtype);
        let matrix = fragment.matrix();
        let shared_type = self.shared.find(&shared.array).map(|s| s.dtype);
        if matrix != shared.matrix() || fragment.transposed || shared_type != Some(dtype) {
            return Err(wrong("the tiles differ in extents or type"));
        }
        let bytes = dtype.size_bytes() as i64;
        if dtype.packed()
            || !layout.is_matrices(bytes)
            || bytes != 2 && (shared.transposed || !load)
        {
            return Err(wrong("the fragment is not made of matrices of eight rows of 16 bytes"));
        }
        let base: Vec<i64> = shared.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let [start, extents] = Self::part(fragment, w)?;
        let all = [tiles[0] * layout.rows, tiles[1] * layout.cols];
        let steps = layout.matrix_steps(bytes);
        for side in 0..2 {
            let whole = start[side] % steps[side] == 0 && extents[side] % steps[side] == 0;
            if !whole || start[side] < 0 || start[side].saturating_add(extents[side]) > all[side] {
                return Err(wrong("a part of a fragment that is no whole matrices of each warp"));
            }
        }
        for tile in 0..tiles[0] * tiles[1] {
            for (lane, value) in (0..WARP).flat_map(|l| (0..layout.n_values()).map(move |v| (l, v)))
            {
                let [r, c] = layout.element(first + lane, value);
                let rows = tile / tiles[1] * layout.rows + r - start[0];
                let cols = tile % tiles[1] * layout.cols + c - start[1];
                if !(0..extents[0]).contains(&rows) || !(0..extents[1]).contains(&cols) {
                    continue;
                }
                let mut step =
                    if shared.transposed { [cols, rows] } else { [rows, cols] }.into_iter();
                let at: Vec<i64> = (base.iter().zip(&shared.at))
                    .map(|(b, s)| {
                        let by = if s.extent.is_some() { step.next().unwrap_or(0) } else { 0 };
                        b.saturating_add(by)
                    })
                    .collect();
                let address = self.shared_address(&shared.array, &at)?;
                let address = address.expect("its type was found");
                let stamp = w.clock.now(w.number);
                let registers = w.fragments.get_mut(&*fragment.array).expect("found above");
                let slot = registers.slot(lane, tile, value);
                let access =
                    Access { clock: &w.clock, stamp, proxy: Proxy::Ordinary, rank: w.rank };
                if load {
                    registers.idle_at(slot)?;
                    let found = self.shared.load(address, (dtype, 0), access)?;
                    let text = format!("undefined elements of `{}` are read", shared.array);
                    registers.set(slot, found.ok_or_else(|| fault("E0516", &text))?);
                } else {
                    let value = registers.get(slot)?;
                    self.shared.store(address, dtype, Some(value), access)?;
                }
            }
        }
        w.fenced &= !load;
        Ok(())
    }
}
