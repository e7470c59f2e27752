//! Tiles in shared memory: where an element of a buffer lies, and the 64-bit descriptors through
//! which tensor cores read them.
//!
//! A *panel* layout cuts the last dimension of a buffer into panels of 16, 32, 64 or 128 bytes: a
//! panel holds its rows one after the other, and the 16-byte chunks of a row are permuted (XOR)
//! by bits of the row's address. It is what the copy engine writes for a box as wide as a panel.
//! In: a buffer's panel, where a tile starts. Out: byte offsets; a descriptor; and, bit by bit,
//! the addresses that a descriptor stands for, as the hardware reads it.
//! Why here: emission writes descriptors, and the interpreter decodes them instead of looking at
//! the tile they were made from, so that a wrong field shows as a wrong product.

/// Bytes of a panel; 16 bytes mean no permutation.
pub const PANELS: [i64; 4] = [16, 32, 64, 128];

/// Chunks that are permuted, in bytes.
pub const CHUNK: i64 = 16;

/// The address after the permutation: with 128-byte panels bits 4..7 ^= bits 7..10, with 64 bytes
/// bits 4..6 ^= bits 7..9, with 32 bytes bit 4 ^= bit 7.
#[must_use]
pub const fn swizzle(address: i64, panel: i64) -> i64 {
    let mask = match panel {
        128 => 7,
        64 => 3,
        32 => 1,
        _ => 0,
    };
    address ^ ((address >> 7 & mask) << 4)
}

/// The byte offset of an element of so many bits in a buffer of `rows` x `cols` elements with
/// panels; `cols` is a multiple of the panel's elements. Not permuted yet: [`swizzle`] works on
/// whole addresses.
#[must_use]
pub const fn panel_offset(row: i64, col: i64, rows: i64, bits: i64, panel: i64) -> i64 {
    let wide = 8 * panel / bits;
    (col / wide) * rows * panel + row * panel + (col % wide) * bits / 8
}

/// The fields of a descriptor, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields {
    /// Distance between chunks (no permutation) or panels (transposed).
    pub leading: i64,
    /// Distance between groups of eight rows.
    pub stride: i64,
    /// Bytes of a panel.
    pub panel: i64,
}

/// Who reads a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// `wgmma`.
    Warpgroup,
    /// `tcgen05.mma`.
    Thread,
}

impl Reader {
    /// The first bit of the mode, and the modes of panels of 128, 64, 32 and 16 bytes.
    const fn modes(self) -> (u32, [u64; 4]) {
        match self {
            Self::Warpgroup => (62, [1, 2, 3, 0]),
            Self::Thread => (61, [2, 4, 6, 0]),
        }
    }
}

/// The version of descriptors that `tcgen05.mma` reads, in bits 46..48.
const VERSION: u64 = 1 << 46;

impl Fields {
    /// The fields for a tile of a buffer with `rows` rows in panels of this size.
    ///
    /// `transposed`: the tile's rows (the summed index) are the buffer's rows, else its columns.
    #[must_use]
    pub const fn of(rows: i64, panel: i64, transposed: bool) -> Self {
        let leading = if panel == CHUNK || transposed { rows * panel } else { CHUNK };
        let (leading, stride) = if panel == CHUNK && transposed {
            (8 * panel, rows * panel)
        } else {
            (leading, 8 * panel)
        };
        Self { leading, stride, panel }
    }

    /// Everything but the start address.
    #[must_use]
    pub fn bits(self, reader: Reader) -> u64 {
        let (from, modes) = reader.modes();
        let mode = match self.panel {
            128 => modes[0],
            64 => modes[1],
            32 => modes[2],
            _ => modes[3],
        };
        let version = match reader {
            Reader::Warpgroup => 0,
            Reader::Thread => VERSION,
        };
        let units = |bytes: i64| (bytes as u64 & 0x3_ffff) >> 4;
        (units(self.leading) << 16) | (units(self.stride) << 32) | version | (mode << from)
    }
}

/// A descriptor: fields and the address in shared memory, a multiple of 16 below 256 KiB.
#[must_use]
pub fn encode(address: i64, fields: Fields, reader: Reader) -> u64 {
    ((address as u64 & 0x3_ffff) >> 4) | fields.bits(reader)
}

/// The byte address of element `(mn, k)`, of so many bits, of the operand that a descriptor stands
/// for: bits 0..14 start, 16..30 leading offset, 32..46 stride offset (all in units of 16 bytes),
/// 62..64 mode; for `tcgen05.mma` 46..48 version (1), 61..64 mode.
///
/// `None` where the reader knows no such descriptor.
///
/// PTX ISA, "Canonical layouts" of `wgmma`: in units of 16 bytes, without permutation K-major is
/// `((8,m),(T,2)):((1T,SBO),(1,LBO))` and MN-major `((T,1,m),(8,k)):((1,T,SBO),(1T,LBO))`; with
/// panels of W bytes `((8,m),(T,2)):((W,SBO),(1,T))` and `((T,W/16,m),(8,k)):((1,T,LBO),(W,SBO))`.
#[must_use]
pub fn address(
    descriptor: u64,
    reader: Reader,
    [mn, k]: [i64; 2],
    bits: i64,
    transposed: bool,
) -> Option<i64> {
    let field = |from: u32| ((descriptor >> from & 0x3fff) << 4) as i64;
    let (start, leading, stride) = (field(0), field(16), field(32));
    let (from, modes) = reader.modes();
    let place = modes.iter().position(|m| *m == descriptor >> from)?;
    let panel = [128, 64, 32, 16][place];
    if reader == Reader::Thread && descriptor >> 46 & 0x7fff != 1 {
        return None;
    }
    let bytes = |elements: i64| elements * bits / 8;
    let chunk = 8 * CHUNK / bits;
    let linear = match (transposed, panel) {
        (false, 16) => mn % 8 * 16 + mn / 8 * stride + k / chunk * leading + bytes(k % chunk),
        (false, _) => mn % 8 * panel + mn / 8 * stride + bytes(k),
        (true, 16) => bytes(mn % chunk) + mn / chunk * stride + k % 8 * 16 + k / 8 * leading,
        (true, _) => {
            let wide = 8 * panel / bits;
            bytes(mn % wide) + mn / wide * leading + k % 8 * panel + k / 8 * stride
        }
    };
    Some(swizzle(start + linear, panel))
}
