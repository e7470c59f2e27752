//! The shared memory of a cluster's blocks: bytes, who touched each last, whether it holds a value.
//!
//! Keeps: an access that is not ordered after a conflicting one is an error, whatever the bytes.

use super::clock::{Clock, Stamp};
use super::{fault, race};
use crate::diag::Result;
use crate::dtype::DType;
use crate::instruction::descriptor::PANELS;
use crate::kernel::device::{Block, Shared};
use crate::value::Scalar;

/// What happened to a byte.
#[derive(Clone, Debug, Default)]
struct Byte {
    value: u8,
    defined: bool,
    written: Option<Stamp>,
    /// The last write was an ordinary one, which the async proxy sees after a fence only.
    ordinary: bool,
    /// Reads since then, one for each agent.
    read: Vec<Stamp>,
}

/// How memory is accessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// By a thread's own load or store.
    Ordinary,
    /// By the copy engine or a tensor core.
    Async,
}

/// Who accesses memory.
#[derive(Clone, Copy)]
pub(super) struct Access<'a> {
    pub(super) clock: &'a Clock,
    pub(super) stamp: Stamp,
    pub(super) proxy: Proxy,
    /// The number of the block in the cluster whose memory it is.
    pub(super) rank: usize,
}

pub(super) struct SharedMemory<'k> {
    pub(super) block: &'k Block,
    /// Of each block of the cluster.
    bytes: Vec<Vec<Byte>>,
}

impl<'k> SharedMemory<'k> {
    pub(super) fn new(block: &'k Block, blocks: usize) -> Result<Self> {
        let bytes = block.bytes().and_then(|b| usize::try_from(b).ok()).filter(|b| *b <= 1 << 20);
        let Some(bytes) = bytes else {
            return Err(fault("E0521", "a block has more than 1 MiB of shared memory"));
        };
        for s in &block.shared {
            let whole = |panel: i64| s.shape.last().is_some_and(|n| n % s.wide(panel) == 0);
            let panels =
                s.panel.is_none_or(|p| PANELS.contains(&p) && s.shape.len() > 1 && whole(p));
            if !panels || s.shape.iter().any(|e| *e < 1) {
                return Err(fault("E0521", &format!("`{}` has no whole panels", s.name)));
            }
        }
        Ok(Self { block, bytes: vec![vec![Byte::default(); bytes]; blocks] })
    }

    /// Blocks of the cluster.
    pub(super) const fn blocks(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn find(&self, name: &str) -> Option<&'k Shared> {
        self.block.shared.iter().find(|s| &*s.name == name)
    }

    /// The buffer that holds a byte, for messages.
    fn owner(&self, at: usize) -> String {
        let inside = |s: &&Shared| {
            let start = self.block.address(&s.name).unwrap_or(0);
            (start..start + s.bytes().unwrap_or(0)).contains(&(at as i64))
        };
        self.block.shared.iter().find(inside).map_or("shared memory", |s| &s.name).to_owned()
    }

    fn check(&self, at: usize, a: Access<'_>) -> Result<()> {
        let byte = &self.bytes[a.rank][at];
        let Some(written) = byte.written else { return Ok(()) };
        if !a.clock.has(written) {
            return Err(race(&self.owner(at), "it was written and nothing orders the two"));
        }
        if a.proxy == Proxy::Async && byte.ordinary && !a.clock.sees(written) {
            let text = "ordinary stores wrote it, and no fence.async came after them";
            return Err(race(&self.owner(at), text));
        }
        Ok(())
    }

    fn place(&self, address: i64) -> Result<usize> {
        let at = usize::try_from(address).ok().filter(|at| *at < self.bytes[0].len());
        at.ok_or_else(|| fault("E0515", &format!("the address {address} is outside shared memory")))
    }

    /// The byte, where it holds a value.
    fn read_byte(&mut self, address: i64, a: Access<'_>) -> Result<Option<u8>> {
        let at = self.place(address)?;
        self.check(at, a)?;
        let byte = &mut self.bytes[a.rank][at];
        byte.read.retain(|r| r.agent != a.stamp.agent && !a.clock.has(*r));
        byte.read.push(a.stamp);
        Ok(byte.defined.then_some(byte.value))
    }

    fn write_byte(&mut self, address: i64, value: Option<u8>, a: Access<'_>) -> Result<()> {
        let at = self.place(address)?;
        self.check(at, a)?;
        if self.bytes[a.rank][at].read.iter().any(|r| !a.clock.has(*r)) {
            let text = "it is written while another reads it and nothing orders the two";
            return Err(race(&self.owner(at), text));
        }
        self.bytes[a.rank][at] = Byte {
            value: value.unwrap_or(0),
            defined: value.is_some(),
            written: Some(a.stamp),
            ordinary: a.proxy == Proxy::Ordinary,
            read: Vec::new(),
        };
        Ok(())
    }

    /// An element, where elements share a byte the `part`th of it; `None` where not all of it holds
    /// a value.
    pub(super) fn load(
        &mut self,
        address: i64,
        (dtype, part): (DType, i64),
        a: Access<'_>,
    ) -> Result<Option<Scalar>> {
        let mut bits = Some(0_u64);
        for i in (0..dtype.size_bytes() as i64).rev() {
            let byte = self.read_byte(address + i, a)?;
            bits = bits.zip(byte).map(|(bits, b)| bits << 8 | u64::from(b));
        }
        let before = if dtype.packed() { part * dtype.bits() as i64 } else { 0 };
        Ok(bits.map(|bits| Scalar::from_bits(dtype, bits >> before)))
    }

    /// Writes an element by the async proxy in the place of one that threads have read: their reads
    /// come before it where a fence has followed them.
    pub(super) fn overwrite(
        &mut self,
        address: i64,
        dtype: DType,
        value: Scalar,
        a: Access<'_>,
    ) -> Result<()> {
        for i in 0..dtype.size_bytes() as i64 {
            let at = self.place(address + i)?;
            if self.bytes[a.rank][at].read.iter().any(|r| a.clock.has(*r) && !a.clock.sees(*r)) {
                let text = "threads read it, and no fence.async came after them";
                return Err(race(&self.owner(at), text));
            }
        }
        self.store(address, dtype, Some(value), a)
    }

    /// Writes an element; without a value it becomes undefined.
    pub(super) fn store(
        &mut self,
        address: i64,
        dtype: DType,
        value: Option<Scalar>,
        a: Access<'_>,
    ) -> Result<()> {
        for i in 0..dtype.size_bytes() {
            let byte = value.map(|v| (v.bits() >> (8 * i)) as u8);
            self.write_byte(address + i as i64, byte, a)?;
        }
        Ok(())
    }
}
