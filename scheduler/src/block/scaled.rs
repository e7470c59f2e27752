//! Factors with scales: numbers for each row and so many terms of the sum, which threads bring to
//! shared memory, one thread copies to tensor memory, and instructions multiply by.
//!
//! In: the footprints of scales. Out: which are whose; how scales lie in shared and in tensor
//! memory; the copies of a slot.
//! Keeps: a scale is one number for all terms of an instruction, whatever the accesses say it is
//! shared by; of an instruction with several steps one for the terms of each, neither more nor
//! fewer. 128 rows with four steps of the sum are a block of 32 rows of 16 bytes, as
//! `tcgen05.cp` copies it: row `i`, step `s` is byte `4 (i / 32) + s` of row `i mod 32`. Rows and
//! steps beyond those that the statement touches are the least power of two; they meet zeros.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Access;
use warploom_ir::instruction::Part;
use warploom_ir::instruction::descriptor::CHUNK;
use warploom_ir::instruction::tensor_memory::{SCALE_BYTES, SCALE_LANES, SCALED_ROWS, STEPS};
use warploom_ir::kernel::device::{Operand as Tiled, Shared, Slice, Tensor};
use warploom_ir::kernel::{Index, KernelNode};

use super::digits::{Digit, Digits};
use super::operand::Operand;
use super::product::{Product, Question};
use super::roles::{Program, add, call, tile, unused, var};
use super::{Answer, Site, unfit};
use crate::index::simplify;

/// An expression where what a quotient has in whole divisors stands outside:
/// `floor((4a + b) / 2)` as `2a + floor(b / 2)`.
pub(super) fn whole_parts_out(e: &Affine) -> Answer<Affine> {
    let mut out = Affine::constant(e.constant_part());
    for (atom, c) in e.terms() {
        let value = match atom {
            Atom::Var(name) => Affine::var(name.clone()),
            Atom::FloorDiv(inner, d) => {
                let inner = whole_parts_out(inner)?;
                let (mut whole, mut rest) = (Affine::constant(0), Affine::constant(0));
                for (term, c) in inner.terms() {
                    let (value, to) = match c % d == 0 {
                        true => (c / d, &mut whole),
                        false => (c, &mut rest),
                    };
                    *to = to.add(&of_atom(term)?.scale(value)?)?;
                }
                let constant = inner.constant_part();
                let rest = rest.add_const(constant.rem_euclid(*d))?.floor_div(*d)?;
                whole.add_const(constant.div_euclid(*d))?.add(&rest)?
            }
            Atom::Mod(..) => of_atom(atom)?,
        };
        out = out.add(&value.scale(c)?)?;
    }
    Ok(out)
}

fn of_atom(atom: &Atom) -> Answer<Affine> {
    Ok(match atom {
        Atom::Var(name) => Affine::var(name.clone()),
        Atom::FloorDiv(e, d) => e.floor_div(*d)?,
        Atom::Mod(e, d) => e.modulo(*d)?,
    })
}

/// The least multiple that covers a number.
const fn covered(n: i64, by: i64) -> i64 {
    (n + by - 1) / by * by
}

impl Question<'_> {
    /// The scales of A, and those of B.
    pub(super) fn scales(&self, site: &Site<'_>, both: &[Access; 2]) -> Answer<Vec<Operand>> {
        let mut out = Vec::new();
        for access in both {
            out.push(self.scales_of(site, access)?);
        }
        out.sort_by_key(|(own, _)| *own);
        match out.as_slice() {
            [(0, _), (1, _)] => Ok(out.into_iter().map(|(_, scales)| scales).collect()),
            _same => {
                let text = format!(
                    "`{}` and `{}` are not a scale of each factor",
                    both[0].array, both[1].array
                );
                Err(unfit(text).into())
            }
        }
    }

    /// Scales, and which of the two factors they belong to.
    fn scales_of(&self, site: &Site<'_>, access: &Access) -> Answer<(usize, Operand)> {
        let name = &access.array;
        if site.depth_of(name, "a scale")? != self.ring {
            let text = format!("`{name}` is not staged where the factors are");
            return Err(unfit(text).into());
        }
        let mut found = self.footprint(access, true)?;
        if found.digits[2].0.is_empty() {
            // one step for all terms of a slot
            let array = site.poly.array(name).expect("accesses are of known arrays");
            let one = |(d, _): &(usize, Affine)| array.shape[*d].as_constant() == Some(1);
            if let Some(at) = found.rest.iter().rposition(one) {
                let (dim, first) = found.rest.remove(at);
                found.digits[2] = Digits(vec![Digit { dim, extent: 1 }]);
                found.first[2] = first;
            }
        }
        let own = match [0, 1, 2].map(|i| !found.digits[i].0.is_empty()) {
            [true, false, true] => 0,
            [false, true, true] => 1,
            _other => {
                return Err(unfit(format!(
                    "`{name}` does not move along one factor's rows and along the sum, and along \
                     nothing else, as scales do"
                ))
                .into());
            }
        };
        let mut extents = vec![1; access.indices.len() - self.coordinates_of(name)];
        for (d, first) in &found.rest {
            extents[*d] = first.as_constant().map_or(1, |place| place + 1);
        }
        let sizes = [self.sizes()[own], 1];
        let mut sides = [own, 2].map(|i| found.digits[i].clone());
        let tile = [0, 1].map(|side| (found.first[[own, 2][side]].clone(), sizes[side]));
        for (side, by) in [SCALED_ROWS, STEPS].into_iter().enumerate() {
            let (first, size) = &tile[side];
            let count = match side {
                0 => self.reach(first, true) + size,
                _steps => sides[side].whole(),
            };
            if !sides[side].grow(covered(count, by)) {
                let text = format!("rows of `{name}` are no whole blocks of {SCALED_ROWS}");
                return Err(unfit(text).into());
            }
            for digit in &sides[side].0 {
                extents[digit.dim] = digit.extent;
            }
        }
        let first = &tile[0].0;
        let starts = first.terms().map(|(_, c)| c).chain([first.constant_part()]);
        if starts.into_iter().any(|n| n % SCALED_ROWS != 0) {
            return Err(unfit(format!(
                "scales of `{name}` are read from rows on that are no multiple of {SCALED_ROWS}"
            ))
            .into());
        }
        let scales = Operand {
            buffer: name.clone(),
            dtype: self.matrix.scales.map_or(DType::Ue8m0, |s| s.dtype),
            value: None,
            mask: None,
            extents,
            pad: 0,
            sides,
            tile,
            transposed: false,
            on_chip: false,
            parts: 1,
        };
        Ok((own, scales))
    }
}

/// Groups of four steps, and blocks of 128 rows in each.
fn blocks(scales: &Operand) -> [i64; 2] {
    let [rows, steps] = scales.shape();
    [steps / STEPS, rows / SCALED_ROWS]
}

/// The buffer of a ring of so many slots in shared memory.
pub(super) fn in_shared(scales: &Operand, slots: i64) -> Shared {
    let [groups, rows] = blocks(scales);
    let shape = vec![slots, groups, rows, SCALE_LANES, SCALE_BYTES];
    Shared { name: scales.buffer.clone(), dtype: scales.dtype, shape, panel: Some(CHUNK) }
}

/// How threads share out the scales of a slot, so that each stores the steps of a row together:
/// the indices, their extents, the row and the step, and the place in the slot.
pub(super) struct Shares {
    pub(super) vars: Vec<Name>,
    pub(super) extents: Vec<i64>,
    pub(super) at: [Index; 2],
    pub(super) inside: Vec<Index>,
}

fn times(n: i64, name: &Name) -> Index {
    simplify(&Index::Mul(n, Box::new(var(name))))
}

impl Product {
    /// Columns of tensor memory that its scales take.
    pub(super) fn scale_columns(&self) -> i64 {
        let each = |s: &Operand| blocks(s).iter().product::<i64>() * SCALE_BYTES / STEPS;
        self.scales.iter().map(each).sum()
    }
}

impl Program<'_> {
    /// How threads share out scales.
    pub(super) fn scales_dealt(&mut self, scales: &Operand) -> Shares {
        let [groups, rows] = blocks(scales);
        let names = ["group", "block", "quarter", "row", "step"];
        let vars = names.map(|name| unused(name, self.taken));
        let [group, block, quarter, row, step] = &vars;
        let lane = add(times(SCALE_LANES, quarter), var(row));
        let at = [add(times(SCALED_ROWS, block), lane), add(times(STEPS, group), var(step))];
        let byte = add(times(STEPS, quarter), var(step));
        let inside = vec![var(group), var(block), var(row), byte];
        let extents = vec![groups, rows, SCALED_ROWS / SCALE_LANES, SCALE_LANES, STEPS];
        Shares { vars: vars.to_vec(), extents, at, inside }
    }

    /// Buffers of the product's scales in tensor memory.
    pub(super) fn scale_tensors(&mut self) -> Vec<Tensor> {
        let of = |s: &Operand| {
            let [groups, rows] = blocks(s);
            let name = unused(&format!("{}_scales", s.buffer), self.taken);
            Tensor { name, dtype: s.dtype, shape: vec![groups, rows, SCALE_LANES, SCALE_BYTES] }
        };
        self.plan.products[self.at].scales.iter().map(of).collect()
    }

    /// The copies of the scales of slot `at`, which instructions behind them read.
    pub(super) fn scales_copied(&self, at: &Index) -> Vec<KernelNode> {
        let product = self.product();
        let name = match product.paired() {
            true => "tcgen05.cp.pair.32x128b.warpx4",
            false => "tcgen05.cp.32x128b.warpx4",
        };
        let one = |start: Index| Slice { start, extent: None, step: 1 };
        let whole = |n: i64| Slice { start: Index::Const(0), extent: Some(n), step: 1 };
        let mut out = Vec::new();
        for (scales, buffer) in product.scales.iter().zip(self.scale_buffers()) {
            let [groups, rows] = blocks(scales);
            for (group, block) in (0..groups).flat_map(|g| (0..rows).map(move |b| (g, b))) {
                let place = [one(Index::Const(group)), one(Index::Const(block))];
                let inner = [whole(SCALE_LANES), whole(SCALE_BYTES)];
                let to: Vec<Slice> = place.iter().chain(&inner).cloned().collect();
                let from = std::iter::once(one(at.clone())).chain(to.clone()).collect();
                let operands = vec![tile(buffer, to, false), tile(&scales.buffer, from, false)];
                out.push(call(name, operands));
            }
        }
        out
    }

    /// The scales that an instruction takes, from this row and step on.
    pub(super) fn scales_taken(&self, number: usize, [row, step]: [Index; 2]) -> Tiled {
        let product = self.product();
        let scales = &product.scales[number];
        let part = if number == 0 { Part::A } else { Part::B };
        let [groups, _] = blocks(scales);
        let [group, byte] = match groups {
            1 => [Index::Const(0), step],
            _several => {
                [Index::FloorDiv(Box::new(step.clone()), STEPS), Index::Mod(Box::new(step), STEPS)]
            }
        };
        let block = simplify(&Index::FloorDiv(Box::new(row), SCALED_ROWS));
        let at = vec![
            Slice { start: simplify(&group), extent: None, step: 1 },
            Slice { start: block, extent: Some(product.matrix.scaled_blocks(part)), step: 1 },
            Slice { start: Index::Const(0), extent: Some(SCALE_LANES), step: 1 },
            Slice { start: simplify(&byte), extent: Some(STEPS), step: STEPS },
        ];
        tile(&self.scale_buffers()[number], at, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_divisors_leave_their_quotient() {
        let var = |name: &str, c| Affine::var(name).scale(c).expect("small");
        let sum = var("a", 4).add(&var("b", 1)).and_then(|e| e.add_const(-3)).expect("small");
        let found = whole_parts_out(&sum.floor_div(2).expect("small")).expect("small");
        let rest = var("b", 1).add_const(1).and_then(|e| e.floor_div(2)).expect("small");
        let wanted = var("a", 2).add_const(-2).and_then(|e| e.add(&rest)).expect("small");
        assert_eq!(found, wanted);
        for (a, b) in (-5..5).flat_map(|a| (-5..5).map(move |b| (a, b))) {
            let of = |name: &str| Some(if name == "a" { a } else { b });
            assert_eq!(found.eval(&of), Some((4 * a + b - 3_i64).div_euclid(2)));
        }
    }
}
