//! A factor of the product: a matrix in shared memory, and the tiles that instructions take of it.
//!
//! In: the footprint of an access to a staged buffer. Out: which dimensions of the buffer are the
//! matrix's rows and which its columns, how large they are for all instructions, and where the tile
//! of an instruction starts.
//! Keeps: columns end with the buffer's last dimension, so that rows of shared memory are rows of a
//! box. Further dimensions of the columns are panels behind each other, those of the rows lie
//! behind each other; each of both in the order in which the tensorized loop runs through them.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Access;
use warploom_ir::instruction::Part;
use warploom_ir::instruction::descriptor::PANELS;
use warploom_ir::nest::Array;

use super::digits::Digits;
use super::factor::Factor;
use super::masked::Mask;
use super::product::{Footprint, Product, Question, uneven};
use super::{Answer, unfit};

/// Rows of a group in shared memory that matrix instructions step over.
const GROUP: i64 = 8;

/// A factor of the product.
pub(super) struct Operand {
    /// The staged buffer.
    pub(super) buffer: Name,
    /// Element type, as the instruction takes it.
    pub(super) dtype: DType,
    /// What an element is computed as, where it is not the staged buffer's as it is: by threads
    /// that fill the buffer, or where it was copied on the way to registers.
    pub(super) value: Option<Factor>,
    /// Which elements are what lies in the buffer; all where there is none, others are zero.
    pub(super) mask: Option<Mask>,
    /// Extents of the buffer's dimensions, enough for all instructions.
    pub(super) extents: Vec<i64>,
    /// Elements without use at the end of the buffer's rows.
    pub(super) pad: i64,
    /// The dimensions that are the matrix's rows, and those that are its columns.
    pub(super) sides: [Digits; 2],
    /// The first row and column of the instruction's tile, over the counters, and its extents.
    pub(super) tile: [(Affine, i64); 2],
    /// The contraction's dimensions are the rows.
    pub(super) transposed: bool,
    /// It is no ring's: elements of another product's accumulator are written to it.
    pub(super) on_chip: bool,
    /// Blocks of a pair each of which holds a part: as many values of the slowest digit of the side
    /// that is not the contraction's. Else 1.
    pub(super) parts: i64,
}

impl Operand {
    /// Whether its elements are loaded one by one on the way to registers: those of warps where
    /// these have 64 bits.
    pub(super) const fn loads_each(&self, product: &Product) -> bool {
        product.by_warps() && self.dtype.size_bytes() == 8
    }

    /// Whether what it is computed as can be computed on the way to registers. Zeros beyond what
    /// the product touches stay zeros.
    pub(super) fn computes_late(&self, product: &Product) -> bool {
        self.loads_each(product) && self.value.as_ref().is_some_and(Factor::keeps_zero)
    }

    /// The side that is not the contraction's.
    pub(super) fn own(&self) -> usize {
        usize::from(self.transposed)
    }

    /// The dimensions of a side as far as a block holds them.
    pub(super) fn held(&self, side: usize) -> Digits {
        let mut digits = self.sides[side].clone();
        if side == self.own()
            && let Some(slowest) = digits.0.first_mut()
        {
            slowest.extent /= self.parts;
        }
        digits
    }

    /// Rows and columns of the matrix that a block holds.
    pub(super) fn shape(&self) -> [i64; 2] {
        [0, 1].map(|side| self.held(side).whole())
    }

    /// Bits of an element in shared memory.
    pub(super) const fn bits(&self) -> i64 {
        self.dtype.bits() as i64
    }

    /// Bytes of a panel: the widest that divides its rows.
    pub(super) fn panel(&self) -> Option<i64> {
        let held = self.held(1);
        let last = held.0.last()?;
        let row = last.extent * self.bits();
        PANELS.iter().copied().filter(|p| row % (8 * p) == 0).max()
    }
}

impl Question<'_> {
    pub(super) fn operand(
        &self,
        (access, value): (&Access, &Factor),
        found: &Footprint,
        part: Part,
    ) -> Answer<Operand> {
        let on_chip = self.is_held(&access.array);
        let own = match part {
            Part::A => 0,
            Part::B | Part::D => 1,
        };
        let array = self.site.poly.array(&access.array).expect("accesses are of known arrays");
        let mut extents = vec![1; access.indices.len() - self.coordinates_of(&access.array)];
        for (d, first) in &found.rest {
            let Some(place) = first.as_constant() else {
                let text = format!(
                    "dimension {d} of `{}` moves along a loop between `{}` and the tensorized ones",
                    array.name, self.site.path[self.ring].name
                );
                let help = "make it part of one of these: `coalesce` it with the loop inside";
                return Err(Box::new(unfit(text).help(help)).into());
            };
            extents[*d] = place + 1;
        }
        let sizes = self.sizes();
        let last = extents.len().checked_sub(1);
        let ends = |i: usize| found.digits[i].0.last().map(|d| d.dim) == last;
        let place = |i: usize| found.digits[i].0.last().map(|d| d.dim);
        let transposed = ends(own) || !ends(2) && place(2) < place(own);
        let both = if transposed { [2, own] } else { [own, 2] };
        let mut sides = both.map(|i| found.digits[i].clone());
        let mut tile = both.map(|i| (found.first[i].clone(), sizes[i]));
        for (side, (first, size)) in sides.iter_mut().zip(&mut tile) {
            let mut count = self.reach(first, true) + *size;
            if let (true, Some(dim)) = (on_chip, side.alone()) {
                count = array.shape[dim].as_constant().map_or(count, |all| all.max(count));
            }
            let grows = side.whole() < count || side.alone().is_some();
            if grows && !side.grow(count) {
                return Err(uneven(&array.name, side, count).into());
            }
            for digit in &side.0 {
                extents[digit.dim] = digit.extent;
            }
        }
        self.readable(array, value, part, transposed)?;
        let dtype = self.matrix.dtype(part);
        let value = Some(value.clone()).filter(|v| !v.plain(dtype));
        let buffer = access.array.clone();
        let pad = if self.matrix.shared { 0 } else { self.pad(array, access)? };
        if on_chip && value.is_some() {
            let text = format!("`{buffer}` is written in the block, and not as {dtype}");
            let help = "write what the instruction takes";
            return Err(Box::new(unfit(text).help(help)).into());
        }
        let parts = if part == Part::B { self.matrix.blocks } else { 1 };
        let mut operand = Operand {
            buffer,
            dtype,
            value,
            mask: None,
            extents,
            pad,
            sides,
            tile,
            transposed,
            on_chip,
            parts,
        };
        self.parted(&mut operand)?;
        self.laid_out(&operand, part)?;
        Ok(operand)
    }

    /// Where each block of a pair holds a part, the tile of an instruction is all of it.
    fn parted(&self, operand: &mut Operand) -> Answer<()> {
        let (own, parts) = (operand.own(), operand.parts);
        if parts == 1 {
            return Ok(());
        }
        let side = &operand.sides[own];
        let columns = self.matrix.n;
        let even = side.0.first().is_some_and(|d| d.extent % parts == 0);
        if side.whole() != columns || !even {
            let refusal = unfit(format!(
                "the {} columns of `{}` are not those of one instruction, of which each block of a \
                 pair holds half",
                side.whole(),
                operand.buffer
            ));
            let help = "take tiles as wide as the instruction, or a narrower instruction";
            return Err(Box::new(refusal.help(help)).into());
        }
        operand.tile[own].1 /= parts;
        Ok(())
    }

    /// Whether an instruction's tile of several dimensions is one that a descriptor stands for.
    fn laid_out(&self, operand: &Operand, part: Part) -> Answer<()> {
        let [rows, columns] = &operand.sides;
        if rows.alone().is_some() && columns.alone().is_some() {
            return Ok(());
        }
        let name = &operand.buffer;
        if part == Part::A && self.matrix.fragment_a {
            let text = format!("threads load the fragments of `{name}`, and it is a box");
            let help = "take an instruction that reads both factors from shared memory";
            return Err(Box::new(unfit(text).help(help)).into());
        }
        if operand.shape()[0] % GROUP != 0 {
            let text =
                format!("a box of `{name}` has {} rows, no multiple of 8", operand.shape()[0]);
            return Err(unfit(text).into());
        }
        if columns.0.last().map(|d| d.dim + 1) != Some(operand.extents.len()) {
            let text = format!(
                "the loop that runs along the last dimension of `{name}` does not run through it \
                 innermost: rows of shared memory would be no rows of a box"
            );
            let help = "coalesce the loops so that this dimension's is the inner one";
            return Err(Box::new(unfit(text).help(help)).into());
        }
        if operand.panel().is_none() {
            let text = format!("rows of a box of `{name}` are no multiple of 16 bytes");
            return Err(unfit(text).into());
        }
        Ok(())
    }

    /// Whether the instruction can read a buffer of this type, and the way it lies.
    fn readable(&self, array: &Array, value: &Factor, part: Part, transposed: bool) -> Answer<()> {
        let (side, dtype) = match part {
            Part::A => ("m", self.matrix.a),
            Part::B | Part::D => ("n", self.matrix.b),
        };
        if !value.fits(dtype) {
            return Err(unfit(format!(
                "`{}` has the instruction's {side} and type {}, and the instruction takes {dtype} \
                 there",
                array.name, value.value.dtype
            ))
            .into());
        }
        let loaded = part == Part::A && self.matrix.fragment_a;
        if transposed && !self.matrix.transposable && !loaded {
            let refusal = unfit(format!(
                "the loop that is summed over does not run along the last dimension of `{}`: \
                 operands of type {dtype} cannot lie transposed in shared memory",
                array.name
            ));
            let help = "only operands of 16 bits may lie either way: threads can load the first \
                        one's fragments, as with `wgmma.rs.m64n256k8.f32.tf32.tf32`, or turn it \
                        around, as `stage A at k.0 as As layout 1, 0` and `map As.0 to thread.x`";
            return Err(Box::new(refusal.help(help)).into());
        }
        Ok(())
    }
}
