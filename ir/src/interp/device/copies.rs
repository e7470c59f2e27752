//! Asynchronous copies between the kernel's arrays and shared memory.
//!
//! Keeps: a copy reads and writes when it lands, with what its issuer knew when it was issued.

use super::clock::{Clock, Stamp};
use super::shared::{Access, Proxy};
use super::stores::{flat, set_global};
use super::{Machine, Team, Warp, fault};
use crate::affine::Name;
use crate::diag::Result;
use crate::dtype::DType;
use crate::kernel::device::{CLUSTER, Tile, WARP, rows_agree};
use crate::value::Scalar;

/// Most elements of a tile: all of shared memory.
const MOST: i64 = 1 << 20;

/// A tile of an array at a place: the first element, and the extents of the dimensions it has.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) array: Name,
    start: Vec<i64>,
    /// Per dimension of the array; none is one element and no dimension of the tile.
    extents: Vec<Option<i64>>,
    /// From one element of a dimension to the next.
    steps: Vec<i64>,
}

impl Place {
    pub(super) fn new(tile: &Tile, w: &Warp<'_>) -> Result<Self> {
        let start = tile.at.iter().map(|s| w.index(&s.start)).collect::<Result<_>>()?;
        let extents: Vec<Option<i64>> = tile.at.iter().map(|s| s.extent).collect();
        let size = |n: i64, e: &i64| n.checked_mul(*e).filter(|n| (1..=MOST).contains(n));
        if extents.iter().flatten().try_fold(1, size).is_none() {
            return Err(fault("E0521", &format!("`{tile}` is empty, or larger than a block")));
        }
        let steps = tile.at.iter().map(|s| s.step).collect();
        Ok(Self { array: tile.array.clone(), start, extents, steps })
    }

    /// The extents of the tile.
    pub(super) fn shape(&self) -> Vec<i64> {
        self.extents.iter().flatten().copied().collect()
    }

    /// The element at a position of the tile, in row-major order.
    pub(super) fn element(&self, mut number: i64) -> Vec<i64> {
        let mut at = self.start.clone();
        for ((i, extent), step) in at.iter_mut().zip(&self.extents).zip(&self.steps).rev() {
            if let Some(extent) = extent {
                *i = i.saturating_add((number % extent).saturating_mul(*step));
                number /= extent;
            }
        }
        at
    }
}

/// What the threads of a warp copy, in chunks.
pub(super) struct ChunkCopy {
    to: Place,
    from: Place,
    /// Positions in the tile.
    elements: Vec<i64>,
    rank: usize,
    clock: Clock,
    stamp: Stamp,
}

/// One arrival for each thread of a warp, once these copies of theirs are done.
pub(super) struct CopyArrival {
    copies: Vec<ChunkCopy>,
    warp: usize,
    /// The slot of the barrier of this block.
    barrier: (usize, Name, i64),
    threads: i64,
    clock: Clock,
}

/// A box that the copy engine moves.
pub(super) struct BoxCopy {
    shared: Place,
    global: Place,
    /// The number of the block in the cluster whose shared memory it is.
    rank: usize,
    /// The slot that counts the bytes of a load, and the block whose slot it is.
    barrier: Option<(usize, Name, i64)>,
    clock: Clock,
    stamp: Stamp,
}

/// Bytes of a tile of elements of so many bits.
fn bytes(shape: &[i64], bits: i64) -> i64 {
    shape.iter().product::<i64>() * bits / 8
}

impl<'k> Machine<'k, '_> {
    /// Bits of an element, where both tiles have the same rows: a box of the copy engine may be
    /// more dimensions of the array than of the shared buffer.
    fn same_rows(&self, shared: &Place, global: &Place) -> Result<i64> {
        let Some(buffer) = self.shared.find(&shared.array) else {
            return Err(fault("E0307", &format!("there is no shared buffer `{}`", shared.array)));
        };
        let array = &self.globals.buffers[self.globals.find(&global.array)?];
        let same = array.dtype == buffer.dtype && array.dtype.packed() == buffer.packed();
        let whole = |place: &Place| {
            let last = place.extents.last().copied().flatten().zip(place.start.last());
            !buffer.packed()
                || last.is_some_and(|(extent, start)| extent % 2 == 0 && start % 2 == 0)
        };
        let agree = rows_agree(&shared.shape(), &global.shape());
        if agree && same && whole(shared) && whole(global) {
            return Ok(buffer.bits());
        }
        let text = format!("tiles of `{}` and `{}` differ", shared.array, global.array);
        Err(fault("E0521", &text))
    }

    /// Issues a box load to the shared memory of some blocks; it lands in each by itself, and tells
    /// the barrier of the block beside it.
    pub(super) fn box_load(
        &mut self,
        tiles: [&Tile; 2],
        barrier: &(Name, i64),
        blocks: &[[usize; 2]],
        w: &mut Warp<'k>,
    ) -> Result<()> {
        for &[rank, told] in blocks {
            let [shared, global] = [Place::new(tiles[0], w)?, Place::new(tiles[1], w)?];
            self.same_rows(&shared, &global)?;
            let (clock, stamp) = self.fork(w);
            let barrier = Some((told, barrier.0.clone(), barrier.1));
            self.loads.push(BoxCopy { shared, global, rank, barrier, clock, stamp });
        }
        Ok(())
    }

    /// The numbers of the blocks of the cluster that a tile names.
    pub(super) fn blocks(&self, tile: &Tile, w: &Warp<'k>) -> Result<Vec<usize>> {
        let cluster = &self.block.cluster;
        if &*tile.array != CLUSTER || tile.at.len() != cluster.len() || cluster.is_empty() {
            return Err(fault("E0521", &format!("`{tile}` is no part of a cluster")));
        }
        let place = Place::new(tile, w)?;
        let shape: Vec<usize> =
            cluster.iter().map(|l| usize::try_from(l.count).unwrap_or(0)).collect();
        let number = |i: i64| {
            let text = format!("`{tile}` names a block that the cluster has not");
            flat(&shape, &place.element(i)).ok_or_else(|| fault("E0515", &text))
        };
        (0..place.shape().iter().product()).map(number).collect()
    }

    /// A box load lands, and its barrier counts its bytes.
    pub(super) fn land(&mut self, copy: &BoxCopy) -> Result<()> {
        let bits = self.same_rows(&copy.shared, &copy.global)?;
        let n = bytes(&copy.shared.shape(), bits);
        // what shares a byte comes together
        let elements = 0..8 * n / bits;
        for i in elements.step_by(if bits < 8 { 2 } else { 1 }) {
            let (clock, stamp) = (&copy.clock, copy.stamp);
            let access = Access { clock, stamp, proxy: Proxy::Async, rank: copy.rank };
            self.fill(&copy.shared, &copy.global, i, access)?;
        }
        let (rank, name, slot) = copy.barrier.as_ref().expect("a load has a barrier");
        let phase = self.phase(*rank, name, *slot)?;
        phase.bytes -= n;
        phase.loaded = phase.number + 1;
        phase.clock.merge(&copy.clock);
        self.advance(*rank, name, *slot)
    }

    /// One element from an array to shared memory, or those of a byte; zero where it is outside the
    /// array.
    fn fill(&mut self, to: &Place, from: &Place, i: i64, access: Access<'_>) -> Result<()> {
        let buffer = &self.globals.buffers[self.globals.find(&from.array)?];
        let dtype = buffer.dtype;
        let element = |i| match flat(&buffer.shape, &from.element(i)) {
            None => Some(Scalar::zero(dtype)),
            Some(at) if buffer.defined.as_ref().is_none_or(|d| d[at]) => Some(buffer.values[at]),
            Some(_) => None,
        };
        let (dtype, value) = match dtype.packed() {
            true => {
                let both = element(i).zip(element(i + 1));
                let byte = |(low, high): (Scalar, Scalar)| high.bits() << 4 | low.bits();
                (DType::U8, both.map(|both| Scalar::from_bits(DType::U8, byte(both))))
            }
            false => (dtype, element(i)),
        };
        let address = self.shared_address(&to.array, &to.element(i))?;
        let address = address.expect("compared with a shared buffer");
        self.shared.store(address, dtype, value, access)
    }

    /// Issues a box store.
    pub(super) fn box_store(&mut self, to: &Tile, from: &Tile, w: &mut Warp<'k>) -> Result<()> {
        let (global, shared) = (Place::new(to, w)?, Place::new(from, w)?);
        self.same_rows(&shared, &global)?;
        let (clock, stamp) = self.fork(w);
        let (rank, barrier) = (w.rank, None);
        w.open_stores.push(BoxCopy { shared, global, rank, barrier, clock, stamp });
        Ok(())
    }

    /// Lets all but the last `left` groups of box stores read and write.
    pub(super) fn finish_stores(&mut self, left: usize, w: &mut Warp<'k>) -> Result<()> {
        let done = w.stores.len().saturating_sub(left);
        for copy in w.stores.drain(..done).flatten() {
            let (clock, stamp) = (&copy.clock, copy.stamp);
            if self.same_rows(&copy.shared, &copy.global)? < 8 {
                return Err(fault("E0521", "a box store of elements that share bytes"));
            }
            for i in 0..copy.shared.shape().iter().product() {
                let address = self.shared_address(&copy.shared.array, &copy.shared.element(i))?;
                let address = address.expect("compared with a shared buffer");
                let number = self.globals.find(&copy.global.array)?;
                let dtype = self.globals.buffers[number].dtype;
                let access = Access { clock, stamp, proxy: Proxy::Async, rank: copy.rank };
                let value = self.shared.load(address, (dtype, 0), access)?;
                let buffer = &mut self.globals.buffers[number];
                if let Some(at) = flat(&buffer.shape, &copy.global.element(i)) {
                    let text =
                        format!("a box store reads undefined bytes of `{}`", copy.shared.array);
                    set_global(buffer, at, value.ok_or_else(|| fault("E0516", &text))?)?;
                }
            }
            w.clock.merge(clock);
        }
        Ok(())
    }

    /// Issues this warp's share of a copy by all threads of its team: chunk after chunk of so many
    /// bytes, thread after thread.
    pub(super) fn chunk_copy(
        &mut self,
        chunk: i64,
        to: &Tile,
        from: &Tile,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let (to, from) = (Place::new(to, w)?, Place::new(from, w)?);
        let bits = self.same_rows(&to, &from)?;
        let wide = 8 * chunk / bits;
        if bits < 8 {
            return Err(fault("E0521", "threads copy elements that share bytes"));
        }
        if wide == 0 || to.shape().last().is_none_or(|n| n % wide != 0) {
            let text = "the rows of the tiles are no whole number of chunks";
            return Err(fault("E0521", text));
        }
        let n: i64 = to.shape().iter().product();
        let Team { first, warps } = w.team();
        let own = (w.number - first) as i64;
        let chunks = (0..n / wide).filter(|c| c / WARP % warps as i64 == own);
        let elements: Vec<i64> = chunks.flat_map(|c| c * wide..(c + 1) * wide).collect();
        let (clock, stamp) = self.fork_ordinary(w);
        w.open_copies.push(ChunkCopy { to, from, elements, rank: w.rank, clock, stamp });
        Ok(())
    }

    /// Lets all but the last `left` groups of this warp's copies land.
    pub(super) fn finish_copies(&mut self, left: usize, w: &mut Warp<'k>) -> Result<()> {
        let done = w.copies.len().saturating_sub(left);
        for copy in w.copies.drain(..done).flatten() {
            self.land_chunks(&copy)?;
            w.clock.merge(&copy.clock);
        }
        Ok(())
    }

    fn land_chunks(&mut self, copy: &ChunkCopy) -> Result<()> {
        for &i in &copy.elements {
            let (clock, stamp) = (&copy.clock, copy.stamp);
            let access = Access { clock, stamp, proxy: Proxy::Ordinary, rank: copy.rank };
            self.fill(&copy.to, &copy.from, i, access)?;
        }
        Ok(())
    }

    /// The threads of a warp will arrive once their copies so far are done.
    pub(super) fn arrive_copied(&mut self, to: &Tile, w: &mut Warp<'k>) -> Result<()> {
        let slot = self.slot(to, w)?;
        self.phase(w.rank, &to.array, slot)?;
        let mut copies: Vec<ChunkCopy> = w.copies.drain(..).flatten().collect();
        copies.append(&mut w.open_copies);
        let clock = w.clock.clone();
        w.clock.tick(w.number);
        let (barrier, threads) = ((w.rank, to.array.clone(), slot), w.threads());
        self.copied.push(CopyArrival { copies, warp: w.number, barrier, threads, clock });
        Ok(())
    }

    /// The copies of the warp that asked last are done as far as its first arrival; whether there
    /// was one.
    pub(super) fn copies_arrive(&mut self) -> Result<bool> {
        let Some(warp) = self.copied.last().map(|a| a.warp) else { return Ok(false) };
        let first = self.copied.iter().position(|a| a.warp == warp);
        let mut arrival = self.copied.remove(first.expect("the last one is the warp's"));
        for copy in &arrival.copies {
            self.land_chunks(copy)?;
            arrival.clock.merge(&copy.clock);
        }
        let (rank, name, slot) = &arrival.barrier;
        self.arrival((*rank, name, *slot), arrival.threads, 0, &arrival.clock)?;
        self.advance(*rank, name, *slot)?;
        Ok(true)
    }
}
