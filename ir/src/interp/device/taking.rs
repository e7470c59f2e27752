//! Blocks that take the place of others: requests, answers, and the iterations they give.
//!
//! An answer comes when nothing else in the cluster can go on. It is yes as long as more than a
//! third of the blocks that had not begun when this one did still have not: so some blocks take
//! several, later ones fewer, the last ones none. What is taken is the block that would begin last.
//! Keeps: whoever reads an answer has waited for it, and it is overwritten only when every read of
//! it is known, by the async proxy too; nobody takes more iterations than were granted, or asks
//! after a no (PTX ISA 8.8, `clusterlaunchcontrol.try_cancel`).

use super::clock::{Clock, Stamp};
use super::copies::Place;
use super::shared::{Access, Proxy};
use super::{Machine, Warp, fault};
use crate::affine::Name;
use crate::diag::Result;
use crate::dtype::DType;
use crate::instruction::ANSWER_BYTES;
use crate::kernel::device::{Taking, Tile};
use crate::value::Scalar;

/// What the blocks of a grid know of those that have not begun.
pub(super) struct Waiting<'m> {
    /// Iterations of the innermost loop mapped to blocks that no block has begun, the next one
    /// last.
    left: &'m mut Vec<i64>,
    /// How many of them this cluster leaves to others.
    others: usize,
    /// Answers that were yes, and whether one was no.
    granted: i64,
    refused: bool,
    /// Requests on their way.
    asked: Vec<Request>,
}

/// A request to take a block.
struct Request {
    to: Place,
    /// The blocks of the cluster that get the answer, and the slot that counts its bytes.
    ranks: Vec<usize>,
    barrier: (Name, i64),
    clock: Clock,
    stamp: Stamp,
}

impl<'m> Waiting<'m> {
    pub(super) const fn new(left: &'m mut Vec<i64>) -> Self {
        let others = left.len() / 3;
        Self { left, others, granted: 0, refused: false, asked: Vec::new() }
    }

    /// Answers that were yes.
    pub(super) const fn granted(&self) -> i64 {
        self.granted
    }

    /// Whether no request is on its way.
    pub(super) const fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// What the next request gets.
    fn take(&mut self) -> Option<i64> {
        let free = self.left.len() > self.others && !self.refused;
        self.refused = !free;
        self.granted += i64::from(free);
        free.then(|| self.left.remove(0))
    }
}

impl<'k> Machine<'k, '_> {
    /// Asks for a block, for this block of the cluster or for all.
    pub(super) fn ask(
        &mut self,
        [to, barrier]: [&Tile; 2],
        multicast: bool,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        if self.waiting.refused {
            let text = "a block asks to take another one after it was told that there is none";
            return Err(fault("E0521", text));
        }
        let to = self.answer_place(to, w)?;
        let slot = self.slot(barrier, w)?;
        let ranks = if multicast { (0..self.shared.blocks()).collect() } else { vec![w.rank] };
        for rank in &ranks {
            self.phase(*rank, &barrier.array, slot)?;
        }
        let (clock, stamp) = self.fork(w);
        let barrier = (barrier.array.clone(), slot);
        self.waiting.asked.push(Request { to, ranks, barrier, clock, stamp });
        Ok(())
    }

    /// The place of an answer: so many bytes of a shared buffer.
    fn answer_place(&self, tile: &Tile, w: &Warp<'k>) -> Result<Place> {
        let place = Place::new(tile, w)?;
        let words = [ANSWER_BYTES / DType::U64.size_bytes() as i64];
        let buffer = self.shared.find(&tile.array);
        match buffer.is_some_and(|s| s.dtype == DType::U64) && place.shape() == words {
            true => Ok(place),
            false => Err(fault("E0521", &format!("`{tile}` has no room for an answer"))),
        }
    }

    /// The last request is answered; whether there was one.
    pub(super) fn answered(&mut self) -> Result<bool> {
        let Some(request) = self.waiting.asked.pop() else { return Ok(false) };
        let taken = self.waiting.take();
        let words = [u64::from(taken.is_some()), taken.unwrap_or(0) as u64];
        let (clock, stamp) = (&request.clock, request.stamp);
        for rank in request.ranks {
            let access = Access { clock, stamp, proxy: Proxy::Async, rank };
            for (word, value) in words.into_iter().enumerate() {
                let at = request.to.element(word as i64);
                let address = self.shared_address(&request.to.array, &at)?;
                let address = address.expect("its buffer was found");
                let value = Scalar::from_bits(DType::U64, value);
                self.shared.overwrite(address, DType::U64, value, access)?;
            }
            let (name, slot) = &request.barrier;
            let phase = self.phase(rank, name, *slot)?;
            phase.bytes -= ANSWER_BYTES;
            phase.loaded = phase.number + 1;
            phase.clock.merge(clock);
            self.advance(rank, name, *slot)?;
        }
        Ok(true)
    }

    /// Reads an answer.
    pub(super) fn read_answer(&mut self, tile: &Tile, w: &mut Warp<'k>) -> Result<()> {
        let place = self.answer_place(tile, w)?;
        let mut words = [0; 2];
        for (number, word) in words.iter_mut().enumerate() {
            let address = self.shared_address(&place.array, &place.element(number as i64))?;
            let address = address.expect("its buffer was found");
            let stamp = w.clock.now(w.number);
            let access = Access { clock: &w.clock, stamp, proxy: Proxy::Ordinary, rank: w.rank };
            let found = self.shared.load(address, (DType::U64, 0), access)?;
            let text = format!("no answer has come to `{}` that is read", place.array);
            *word = found.ok_or_else(|| fault("E0516", &text))?.bits();
        }
        w.answer = Some((words[0] == 1).then_some(words[1] as i64));
        Ok(())
    }
}

impl Warp<'_> {
    /// The block's own iteration begins.
    pub(super) fn start_taking(&mut self, t: &Taking) -> Result<()> {
        let own = self.env.get(&t.of).copied();
        let text = format!("`{}` is no loop around the block", t.of);
        let own = own.ok_or_else(|| fault("E0521", &text))?;
        self.env.insert(t.vars[0].clone(), own);
        self.env.insert(t.vars[1].clone(), 0);
        self.answer = None;
        Ok(())
    }

    /// An iteration has ended: whether another one begins, of so many that were granted.
    pub(super) fn goes_on(&mut self, t: &Taking, granted: i64) -> Result<bool> {
        let [iteration, count] = &t.vars;
        let text = format!("no answer says what follows the iteration `{iteration}`");
        let answer = self.answer.take().ok_or_else(|| fault("E0521", &text))?;
        if let Some(next) = answer {
            self.env.insert(iteration.clone(), next);
            let n = self.env.entry(count.clone()).or_insert(0);
            *n += 1;
            if *n > granted {
                let text =
                    format!("an answer is read again: turn {n} of {granted} that were taken");
                return Err(fault("E0521", &text));
            }
        }
        Ok(answer.is_some())
    }

    /// The last iteration is over.
    pub(super) fn end_taking(&mut self, t: &Taking) {
        t.vars.iter().for_each(|var| {
            self.env.remove(var);
        });
    }
}
