//! Results that leave a block as a box that all warpgroups have written.
//!
//! In: a copy of a staging buffer of any dimensions. Out: the copy by the copy engine, or by all
//! threads of the warpgroups where arrays have more dimensions than it knows, or other rows.
//! Keeps: a box reaches over the end of its array only; there nothing is stored.

use warploom_ir::affine::Name;
use warploom_ir::kernel::device::{Device, Share, Slice};
use warploom_ir::kernel::{Condition, Index, KernelNode, Store, Typed, TypedKind};
use warploom_ir::nest::{AssignOp, Order};

use super::Plan;
use super::moves::Move;
use super::roles::{Program, add, by_name, call, tile, unused, var};
use crate::index::{from_affine, simplify, simplify_condition, substitute};

/// Bytes of the widest access of a thread.
const WIDE: i64 = 16;

impl Plan {
    /// The type of a staging buffer's elements.
    fn staged(&self, buffer: &Name) -> warploom_ir::dtype::DType {
        self.staging.get(buffer).expect("what leaves is staged").dtype
    }
}

impl Program<'_> {
    /// A box that leaves the block by the copy engine.
    pub(super) fn box_leaves(&self, copy: &Move, coordinates: &[Index]) -> KernelNode {
        let extents = self.product().whole();
        let lookup = by_name(&copy.coordinates, coordinates);
        let whole =
            |start, b: Option<usize>| Slice { start, extent: b.map(|b| extents[b]), step: 1 };
        let outside = copy.start.iter().enumerate().map(|(d, start)| {
            whole(substitute(start, &lookup), copy.along.iter().position(|a| *a == d))
        });
        let inside = (0..extents.len()).map(|b| whole(Index::Const(0), Some(b)));
        let global = tile(&copy.array, outside.collect(), false);
        let shared = tile(&copy.buffer, inside.collect(), false);
        call("tma.store", vec![global, shared])
    }

    /// A box that leaves the block by all threads, neighbours together.
    pub(super) fn threads_leave(&mut self, copy: &Move, coordinates: &[Index]) -> KernelNode {
        let extents = self.product().whole();
        let dtype = self.plan.staged(&copy.buffer);
        let vars: Vec<Name> = extents.iter().map(|_| unused("e", self.taken)).collect();
        let mut piece = vec![1; extents.len()];
        if let (Some(piece), Some(row)) = (piece.last_mut(), extents.last()) {
            let bytes = dtype.size_bytes() as i64;
            let wide = [16, 8, 4, 2, 1].into_iter().filter(|w| w * bytes <= WIDE);
            *piece = wide.into_iter().find(|w| row % w == 0).unwrap_or(1);
        }
        let lookup = by_name(&copy.coordinates, coordinates);
        let mut conditions = Vec::new();
        let mut indices = Vec::new();
        for (d, start) in copy.start.iter().enumerate() {
            let mut at = substitute(start, &lookup);
            if let Some(b) = copy.along.iter().position(|a| *a == d) {
                at = add(at, var(&vars[b]));
                let size = from_affine(&copy.shape[d]);
                let divides = copy.shape[d].as_constant().is_some_and(|n| n % extents[b] == 0);
                if !divides {
                    let last = Index::Sub(Box::new(size), Box::new(Index::Const(1)));
                    let left = Index::Sub(Box::new(last), Box::new(at.clone()));
                    conditions.push(Condition::Ge(simplify(&left), Index::Const(0)));
                }
            }
            indices.push(at);
        }
        let read =
            TypedKind::Read { array: copy.buffer.clone(), indices: vars.iter().map(var).collect() };
        let store = KernelNode::Store(Store {
            statement: copy.statement.clone(),
            array: copy.array.clone(),
            indices,
            dtype,
            op: AssignOp::Set,
            value: Typed { dtype, kind: read },
            guard: None,
            order: Order::Serial,
            strict: false,
        });
        let body = match simplify_condition(&Condition::All(conditions)) {
            Condition::All(parts) if parts.is_empty() => store,
            guard => KernelNode::If(guard, vec![store], Vec::new()),
        };
        Device::Share(Share { vars, extents, piece, body: vec![body] }).into()
    }
}
