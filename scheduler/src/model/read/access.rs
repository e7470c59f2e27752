//! What the accesses of a warp cost: sectors of memory, turns of shared memory, widths.
//!
//! In: an access and the values of all variables in each thread of a warp. Out: counts.
//! Why here: addresses are evaluated, not analysed, so that any index is counted alike.
//! Sources: CUDA C++ Programming Guide, "Device memory accesses" (sectors of 32 bytes) and "Shared
//! memory" (32 banks of 4 bytes; NVIDIA, 12.x).

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;
use warploom_ir::kernel::Index;

use super::super::work::LINE;

/// Values of variables.
pub(super) type Env = BTreeMap<Name, i64>;

/// Bytes of a sector, of a bank's word, and most of an access of a thread.
const SECTOR: i64 = 32;
const WORD: i64 = 4;
pub(super) const WIDEST: i64 = 16;
/// Banks of shared memory.
const BANKS: i64 = 32;
/// Bytes of shared memory in the time of a turn.
pub(super) const TURN: f64 = (BANKS * WORD) as f64;

/// The value of an index; 0 where a variable of it has none (of a guard's other side).
pub(super) fn value(index: &Index, env: &Env) -> i64 {
    index.eval(&|name| env.get(name).copied()).unwrap_or(0)
}

/// The number of an element in row-major order.
pub(super) fn place(indices: &[Index], shape: &[i64], env: &Env) -> i64 {
    let steps = indices.iter().zip(shape);
    steps.fold(0, |at, (i, extent)| at.saturating_mul(*extent).saturating_add(value(i, env)))
}

/// Sectors that accesses of `width` bytes at these addresses touch.
pub(super) fn sectors(addresses: &[i64], width: i64) -> f64 {
    let touched = |a: &i64| a.div_euclid(SECTOR)..=(a + width - 1).div_euclid(SECTOR);
    addresses.iter().flat_map(touched).collect::<BTreeSet<_>>().len() as f64
}

/// Lines of the second-level cache that accesses of `width` bytes at these addresses touch, each a
/// request.
pub(super) fn lines(addresses: &[i64], width: i64) -> f64 {
    let line = LINE as i64;
    let touched = |a: &i64| a.div_euclid(line)..=(a + width - 1).div_euclid(line);
    addresses.iter().flat_map(touched).collect::<BTreeSet<_>>().len() as f64
}

/// Runs of neighbouring sectors that accesses of `width` bytes at these addresses touch.
pub(super) fn runs(addresses: &[i64], width: i64) -> f64 {
    let touched = |a: &i64| a.div_euclid(SECTOR)..=(a + width - 1).div_euclid(SECTOR);
    let all: BTreeSet<i64> = addresses.iter().flat_map(touched).collect();
    all.iter().filter(|s| !all.contains(&(*s - 1))).count() as f64
}

/// Turns of shared memory for accesses of `width` bytes at these addresses: as many as the bank has
/// words that most are wanted of, and as many as bytes take on their way to all lanes, also where
/// lanes want the same.
pub(super) fn turns(addresses: &[i64], width: i64) -> f64 {
    let words = |a: &i64| a.div_euclid(WORD)..=(a + width - 1).div_euclid(WORD);
    let words: BTreeSet<i64> = addresses.iter().flat_map(words).collect();
    let mut banks = [0_u32; BANKS as usize];
    for word in words {
        banks[word.rem_euclid(BANKS) as usize] += 1;
    }
    let bytes = addresses.len() as i64 * width;
    f64::from(banks.into_iter().max().unwrap_or(0)).max(bytes as f64 / (BANKS * WORD) as f64)
}

/// How the lanes of a warp access an array or a buffer together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// What is accessed.
    pub array: Name,
    /// It is in shared memory.
    pub shared: bool,
    /// It is read, else written.
    pub read: bool,
    /// Sectors of 32 bytes that the lanes touch, or turns that shared memory takes.
    pub took: i64,
    /// As few as their bytes, or their words, can do with.
    pub least: i64,
}

impl Pattern {
    /// The pattern of accesses of `width` bytes at these addresses.
    pub(super) fn of(
        array: &Name,
        shared: bool,
        read: bool,
        addresses: &[i64],
        width: i64,
    ) -> Self {
        let unit = if shared { WORD } else { 1 };
        let touched = |a: &i64| a.div_euclid(unit)..=(a + width - 1).div_euclid(unit);
        let distinct = addresses.iter().flat_map(touched).collect::<BTreeSet<_>>().len() as i64;
        let all = if shared { turns(addresses, width) } else { sectors(addresses, width) };
        let at_once = if shared { BANKS } else { SECTOR };
        let least = (distinct + at_once - 1) / at_once;
        Self { array: array.clone(), shared, read, took: all as i64, least }
    }

    /// Whether it takes no more than it has to; sectors may be one more, where bytes begin between
    /// two.
    #[must_use]
    pub const fn is_least(&self) -> bool {
        self.took <= self.least + if self.shared { 0 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_least_where_lanes_are_neighbours() {
        let lanes = |stride: i64| (0..32).map(|lane| lane * stride).collect::<Vec<i64>>();
        let of = |shared, stride| Pattern::of(&"A".into(), shared, true, &lanes(stride), 4);
        for (shared, stride, took, least) in [
            (false, 4, 4, 4),
            (false, 64, 32, 4),
            (true, 4, 1, 1),
            (true, 128, 32, 1),
            (true, 0, 1, 1),
        ] {
            let p = of(shared, stride);
            assert_eq!((p.took, p.least), (took, least), "{p:?}");
            assert_eq!(p.is_least(), took == least, "{p:?}");
        }
        let between: Vec<i64> = lanes(4).iter().map(|a| a + 4).collect();
        assert!(Pattern::of(&"A".into(), false, true, &between, 4).is_least());
    }

    #[test]
    fn neighbours_share_sectors_and_columns_share_banks() {
        let rows: Vec<i64> = (0..32).map(|t| 4 * t).collect();
        assert_eq!((sectors(&rows, 4), turns(&rows, 4)), (4.0, 1.0));
        let columns: Vec<i64> = (0..32).map(|t| 128 * t).collect();
        assert_eq!((sectors(&columns, 4), turns(&columns, 4)), (32.0, 32.0));
        assert_eq!((runs(&rows, 4), runs(&columns, 4)), (1.0, 32.0));
        let padded: Vec<i64> = (0..32).map(|t| 132 * t).collect();
        assert_eq!(turns(&padded, 4), 1.0);
        assert_eq!((sectors(&[0; 32], 4), turns(&[0; 32], 4)), (1.0, 1.0));
        let wide: Vec<i64> = (0..32).map(|t| 16 * t).collect();
        assert_eq!((sectors(&wide, 16), turns(&wide, 16)), (16.0, 4.0));
        // what all lanes want alike goes to each of them
        assert_eq!((lines(&wide, 16), turns(&[0; 32], 16)), (4.0, 4.0));
    }
}
