//! Guards and stores over the elements of a fragment, by the thread that holds each, and over
//! indices that the threads of a team share out.
//!
//! Keeps: the threads of a warp are one agent for races; that they do not race with each other is
//! the verifier's proof.

use std::ops::Range;

use super::shared::{Access, Proxy};
use super::{Machine, Warp, fault};
use crate::diag::Result;
use crate::expr::Rounding;
use crate::interp::code::Memory;
use crate::kernel::device::{Across, Share, Shared, Slice, WARP};
use crate::kernel::{Index, KernelNode, Store, Typed, TypedKind};
use crate::nest::Role;
use crate::value::{Scalar, UndefinedOp, binary, combine, fma, unary};

/// The elements that a body runs for, and the place of the one it runs for now; none where threads
/// share indices.
pub(super) type Held<'a> = Option<(&'a Across, usize)>;

pub(super) fn no_meaning(op: UndefinedOp) -> Box<crate::diag::Diagnostic> {
    fault("E0518", &op.to_string())
}

/// The position of an element, where it is inside.
pub(super) fn flat(shape: &[usize], at: &[i64]) -> Option<usize> {
    let mut position = 0;
    for (&i, &extent) in at.iter().zip(shape) {
        position = position * extent + usize::try_from(i).ok().filter(|i| *i < extent)?;
    }
    (shape.len() == at.len()).then_some(position)
}

pub(super) fn outside(array: &str, at: &[i64]) -> Box<crate::diag::Diagnostic> {
    fault("E0515", &format!("`{array}` is accessed outside its bounds at {at:?}"))
}

/// The rows and columns of a part of a fragment; none where it is all.
fn part(a: &Across, w: &Warp<'_>) -> Result<Vec<Range<i64>>> {
    let range = |s: &Slice| {
        let start = w.index(&s.start)?;
        Ok(start..start + s.extent.unwrap_or(1))
    };
    a.part.iter().map(range).collect()
}

impl<'k> Machine<'k, '_> {
    /// Runs the body for each element of the fragment that this warp holds.
    pub(super) fn across(&mut self, a: &Across, w: &mut Warp<'k>) -> Result<()> {
        let name = &*a.fragment;
        let Some(registers) = w.fragments.get(name) else {
            return Err(fault("E0307", &format!("there is no fragment `{name}`")));
        };
        let (layout, tiles) = (registers.layout.clone(), registers.tiles);
        let first = registers.first_thread(w.number - w.team().first);
        let part = part(a, w)?;
        let inside = |at: [i64; 2]| part.iter().zip(at).all(|(range, i)| range.contains(&i));
        w.fenced = false;
        if a.reduce {
            return self.reduce(a, &part, w);
        }
        for tile in 0..tiles[0] * tiles[1] {
            for lane in 0..WARP {
                for value in 0..layout.n_values() {
                    let [row, col] = layout.element(first + lane, value);
                    let [rows, cols] =
                        [tile / tiles[1] * layout.rows, tile % tiles[1] * layout.cols];
                    if !inside([rows + row, cols + col]) {
                        continue;
                    }
                    w.env.insert(a.vars[0].clone(), rows + row);
                    w.env.insert(a.vars[1].clone(), cols + col);
                    let slot = w.fragments[name].slot(lane, tile, value);
                    self.element(&a.body, Some((a, slot)), w)?;
                }
            }
        }
        w.env.remove(&a.vars[0]);
        w.env.remove(&a.vars[1]);
        Ok(())
    }

    /// Runs the body for the pieces of this warp's threads.
    pub(super) fn share(&mut self, s: &Share, w: &mut Warp<'k>) -> Result<()> {
        let Some(pieces) = s.pieces().filter(|_| !w.one) else {
            let text = "what threads share is no whole pieces, or one thread has it alone";
            return Err(fault("E0521", text));
        };
        let team = w.team();
        let (first, threads) = ((w.number - team.first) as i64 * WARP, team.warps as i64 * WARP);
        let elements: i64 = s.piece.iter().product();
        for piece in (0..pieces).filter(|p| (first..first + WARP).contains(&(p % threads))) {
            for element in 0..elements {
                for (var, value) in s.vars.iter().zip(s.at(piece, element)) {
                    w.env.insert(var.clone(), value);
                }
                self.element(&s.body, None, w)?;
            }
        }
        for var in &s.vars {
            w.env.remove(var);
        }
        Ok(())
    }

    fn element(&mut self, body: &[KernelNode], held: Held<'_>, w: &mut Warp<'k>) -> Result<()> {
        for node in body {
            match node {
                KernelNode::If(c, then, otherwise) => {
                    let branch = if w.holds(c)? { then } else { otherwise };
                    self.element(branch, held, w)?;
                }
                KernelNode::Store(s) => self.store(s, held, w)?,
                KernelNode::Loop(_) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return Err(fault("E0521", "guards and stores only are run for each element"));
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, s: &Store<Index>, held: Held<'_>, w: &mut Warp<'k>) -> Result<()> {
        if let Some(guard) = &s.guard
            && self.value(guard, held, w)?.to_bool() != Some(true)
        {
            return Ok(());
        }
        let mut value = self.value(&s.value, held, w)?;
        if s.op.is_update() {
            let old = self.read(&s.array, &s.indices, held, w)?;
            let old = old.convert(value.dtype(), Rounding::Nearest, false);
            value = combine(s.op, old, value).map_err(no_meaning)?;
        }
        let value = value.convert(s.dtype, Rounding::Nearest, false);
        self.write(s, value, held, w)
    }

    fn at(indices: &[Index], w: &Warp<'k>) -> Result<Vec<i64>> {
        indices.iter().map(|i| w.index(i)).collect()
    }

    /// The place of a fragment's element, which is the one that this thread holds.
    fn own(held: Held<'_>, indices: &[Index], array: &str, w: &Warp<'k>) -> Result<usize> {
        let same = |f: &str| (&w.fragments[f].layout, w.fragments[f].tiles);
        if let Some((a, slot)) = held
            && indices == a.vars.clone().map(Index::Var)
            && same(array) == same(&a.fragment)
        {
            return Ok(slot);
        }
        let text = format!("`{array}` is accessed at another element than the thread's own");
        Err(fault("E0521", &text))
    }

    pub(super) fn read(
        &mut self,
        array: &str,
        indices: &[Index],
        held: Held<'_>,
        w: &Warp<'k>,
    ) -> Result<Scalar> {
        if let Some(registers) = w.fragments.get(array) {
            return registers.get(Self::own(held, indices, array, w)?);
        }
        let at = Self::at(indices, w)?;
        if let Some(address) = self.own_address(array, &at)? {
            let dtype = self.shared.find(array).expect("it has an address").dtype;
            let stamp = w.clock.now(w.number);
            let access = Access { clock: &w.clock, stamp, proxy: Proxy::Ordinary, rank: w.rank };
            let loaded = self.shared.load(address, (dtype, 0), access)?;
            return loaded.ok_or_else(|| undefined(array));
        }
        let buffer = &self.globals.buffers[self.globals.find(&array.into())?];
        let position = flat(&buffer.shape, &at).ok_or_else(|| outside(array, &at))?;
        defined(self.globals, array, position)
    }

    pub(super) fn write(
        &mut self,
        s: &Store<Index>,
        value: Scalar,
        held: Held<'_>,
        w: &mut Warp<'k>,
    ) -> Result<()> {
        let array = &*s.array;
        if w.fragments.contains_key(array) {
            let slot = Self::own(held, &s.indices, array, w)?;
            let registers = w.fragments.get_mut(array).expect("it is there");
            registers.idle_at(slot)?;
            registers.set(slot, value);
            return Ok(());
        }
        let at = Self::at(&s.indices, w)?;
        if let Some(address) = self.own_address(array, &at)? {
            let stamp = w.clock.now(w.number);
            let access = Access { clock: &w.clock, stamp, proxy: Proxy::Ordinary, rank: w.rank };
            return self.shared.store(address, s.dtype, Some(value), access);
        }
        let number = self.globals.find(&s.array)?;
        let buffer = &mut self.globals.buffers[number];
        let position = flat(&buffer.shape, &at).ok_or_else(|| outside(array, &at))?;
        set_global(buffer, position, value)
    }

    /// The address of an element of a shared buffer that a thread reads or writes by itself; `None`
    /// where the name is no shared buffer.
    fn own_address(&self, array: &str, at: &[i64]) -> Result<Option<i64>> {
        if self.shared.find(array).is_some_and(Shared::packed) {
            return Err(fault("E0521", &format!("elements of `{array}` share bytes")));
        }
        self.shared_address(array, at)
    }

    /// The address of an element of a shared buffer; `None` where the name is no shared buffer.
    pub(super) fn shared_address(&self, array: &str, at: &[i64]) -> Result<Option<i64>> {
        let Some(shared) = self.shared.find(array) else { return Ok(None) };
        let inside = at.iter().zip(&shared.shape).all(|(i, e)| (0..*e).contains(i));
        if !inside || at.len() != shared.shape.len() {
            return Err(outside(array, at));
        }
        let start = self.block.address(array).expect("it is in this block");
        let linear = start + shared.offset(at);
        Ok(Some(
            shared
                .panel
                .map_or(linear, |panel| crate::instruction::descriptor::swizzle(linear, panel)),
        ))
    }

    pub(super) fn value(
        &mut self,
        t: &Typed<Index>,
        held: Held<'_>,
        w: &Warp<'k>,
    ) -> Result<Scalar> {
        let mut go = |t: &Typed<Index>| self.value(t, held, w);
        match &t.kind {
            TypedKind::Literal(literal) => Ok(Scalar::from_literal(t.dtype, *literal)),
            TypedKind::Index(i) => Ok(Scalar::from_i64(t.dtype, w.index(i)?)),
            TypedKind::Read { array, indices } => self.read(array, indices, held, w),
            TypedKind::Unary(op, x) => unary(*op, go(x)?).map_err(no_meaning),
            TypedKind::Binary(op, x, y) => binary(*op, go(x)?, go(y)?).map_err(no_meaning),
            TypedKind::Fma(x, y, z) => fma(go(x)?, go(y)?, go(z)?).map_err(no_meaning),
            TypedKind::Select(c, x, y) => {
                let (c, x, y) = (go(c)?, go(x)?, go(y)?);
                Ok(if c.to_bool() == Some(true) { x } else { y })
            }
            TypedKind::Convert { rounding, saturate, value } => {
                Ok(go(value)?.convert(t.dtype, *rounding, *saturate))
            }
            TypedKind::Bitcast(x) => {
                let text = "a bitcast between types of different sizes";
                go(x)?.bitcast(t.dtype).ok_or_else(|| fault("E0518", text))
            }
        }
    }
}

fn undefined(array: &str) -> Box<crate::diag::Diagnostic> {
    fault("E0516", &format!("an element of `{array}` is read before it is written"))
}

/// An element of one of the kernel's arrays that holds a value.
fn defined(globals: &Memory<Scalar>, array: &str, position: usize) -> Result<Scalar> {
    let buffer = &globals.buffers[globals.find(&array.into())?];
    let there = buffer.defined.as_ref().is_none_or(|d| d[position]);
    if there { Ok(buffer.values[position]) } else { Err(undefined(array)) }
}

/// Writes an element of one of the kernel's arrays.
pub(super) fn set_global(
    buffer: &mut crate::interp::code::Buffer<Scalar>,
    position: usize,
    value: Scalar,
) -> Result<()> {
    if matches!(buffer.role, Role::In | Role::Const(_)) {
        return Err(fault("E0519", &format!("`{}` is only read", buffer.name)));
    }
    buffer.values[position] = value;
    if let Some(defined) = &mut buffer.defined {
        defined[position] = true;
    }
    Ok(())
}
