//! Results that leave a block in slabs of columns, through a small ring of shared memory.
//!
//! In: a loop over columns of the accumulator, in which statements write their elements to a buffer
//! of the loop and the copy engine copies that away. Out: the statements as for whole tiles, the
//! copy, and how the slabs lie in the accumulator.
//! Keeps: a slab is all rows of the accumulator and the same number of columns, the next slab the
//! next columns. Elements of 16 bits are stored by an instruction for matrices of them, those of 32
//! bits by the threads that hold them, also where the accumulator's columns are rows of the
//! results.
//! Why here: shared memory for a whole tile of results would cost the operands' ring a stage.

use warploom_ir::affine::{Affine, Name};
use warploom_ir::dtype::DType;
use warploom_ir::schedule::{Tree, TreeLoop};

use super::elements::Elements;
use super::moves::Move;
use super::product::Product;
use super::{Answer, Site, misplaced, put, unfit};
use crate::footprint::{Box_, Iterations};
use crate::poly_isl::Model;

/// A loop over slabs.
pub(super) struct Slabs {
    /// What is stored, as if for the whole tile at once.
    pub(super) elements: Elements,
    /// The copy out of a slab; its start is over the coordinates and [`Self::var`].
    pub(super) copy: Move,
    pub(super) dtype: DType,
    /// The number of a slab.
    pub(super) var: Name,
    pub(super) count: i64,
    /// Columns of a slab.
    pub(super) width: i64,
    /// They are rows of the results.
    pub(super) transposed: bool,
    /// Slabs in shared memory at once.
    pub(super) stages: i64,
}

impl Slabs {
    /// Rows and columns of the accumulator as the results have them.
    pub(super) fn laid<T>(&self, [rows, columns]: [T; 2]) -> [T; 2] {
        if self.transposed { [columns, rows] } else { [rows, columns] }
    }

    pub(super) fn of(
        site: &Site<'_>,
        model: &Model,
        l: &TreeLoop,
        product: &Product,
    ) -> Answer<Self> {
        let misfit = |why: &str| misplaced(format!("loop `{}` {why}", l.name));
        let Tree::Sequence(parts) = &*l.body else {
            return Err(misfit("only copies, which the copy engine does by itself").into());
        };
        let [stores, drain] = parts.as_slice() else {
            return Err(misfit("is no loop over results: one nest that stores, one copy").into());
        };
        let moved = Move::of(site, model, drain, &l.name)?;
        let alone = |_| Ok(None);
        let of = (product, product.own_sums());
        let at = Elements::of(site, model, stores, of, Some(&moved.buffer), &alone)?;
        let [instance] = at.statements.as_slice() else {
            return Err(misfit("stores several results: give each a loop").into());
        };
        let target = &site.poly.statements[instance.statement].statement.target;
        let array = site.poly.array(&moved.buffer).expect("accesses are of known arrays");
        if target.array != moved.buffer || ![2, 4].contains(&array.dtype.size_bytes()) {
            let why = "does not store elements of 16 or 32 bits to the buffer it copies";
            return Err(misfit(why).into());
        }
        let last = [product.rank - 2, product.rank - 1];
        let transposed = product.dims() == Some([last[1], last[0]]);
        let each = array.dtype.size_bytes() == 4 && !product.matrix.tensor;
        if product.dims() != Some(last) && !(transposed && each) {
            let why = "stores transposed, or boxes: stage the results of whole tiles";
            return Err(misfit(why).into());
        }
        let around = Iterations::of(site.poly, site.tree, &site.path[product.scope].name);
        let statement = instance.statement;
        let name = &site.poly.statements[statement].statement.name;
        let row = [l.rows[name].clone()];
        let found = around.box_around(model, site.tree, statement, &row)?;
        let Some(Box_ { offset, extent, .. }) = found else {
            return Err(misfit("has no constant length").into());
        };
        let var: Name = "@slab".into();
        let number = offset[0].add(&Affine::var(var.clone()))?;
        let along = last[usize::from(!transposed)];
        let places = (product, along, &number);
        let width = Self::width(site, model, statement, l, places, &moved)?;
        let columns = product.sides[1].whole();
        let below = product.team_first[1].as_constant() == Some(0);
        if width * extent[0] < columns || width % 16 != 0 || !below {
            return Err(misfit("has slabs that are no equal parts of 16 columns or more").into());
        }
        let mut extents = product.whole();
        extents[along] = width;
        let mut copy = moved.draining(site, model, extents, product)?;
        let inner = copy.coordinates.pop().expect("the loop is a coordinate");
        for start in &mut copy.start {
            *start = put(start, std::slice::from_ref(&inner), std::slice::from_ref(&number))?;
        }
        let (dtype, count) = (array.dtype, extent[0]);
        let stages = l.marks.ring.unwrap_or(1).min(count);
        Ok(Self { elements: at, copy, dtype, var, count, width, transposed, stages })
    }

    /// Columns of a slab, which are along this dimension; the accumulator's element of a place in
    /// slab `number` is that place, `number` times the width further on.
    fn width(
        site: &Site<'_>,
        model: &Model,
        statement: usize,
        l: &TreeLoop,
        (product, along, number): (&Product, usize, &Affine),
        moved: &Move,
    ) -> Answer<i64> {
        let s = &site.poly.statements[statement].statement;
        let inside = Iterations::of(site.poly, site.tree, &l.name);
        let indices = |array: &str| {
            let all = crate::steps::stage::all_accesses(s);
            let found = all.into_iter().find(|a| &*a.array == array);
            found.map(|a| &a.indices[site.poly.scopes[&a.array].coordinates..])
        };
        let odd = || unfit(format!("`{}` stores to other places than its elements'", s.name));
        let (Some(held), Some(stored)) = (indices(&product.accumulator), indices(&moved.buffer))
        else {
            return Err(odd().into());
        };
        let box_ = inside.box_around(model, site.tree, statement, held)?.ok_or_else(odd)?;
        let rows = inside.rows(site.tree, &s.name);
        let last = inside.names.last().cloned().into_iter().collect::<Vec<_>>();
        for (d, (held, stored)) in held.iter().zip(stored).enumerate() {
            let first = inside.at_rows(&box_.offset[d], &rows)?;
            let place = put(&box_.offset[d], &last, std::slice::from_ref(number))?;
            let step = if d == along { box_.extent[d] } else { 0 };
            let wanted = Affine::var("@slab").scale(step)?;
            if held.sub(&first)? != *stored || place != wanted {
                return Err(odd().into());
            }
        }
        Ok(box_.extent[along])
    }
}
