//! The text form of a block program.

use std::fmt::{self, Display, Formatter};

use super::{Block, Call, Device, Operand, Shared, Tile};
use crate::kernel::print::{List, nodes};

impl Display for Shared {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "shared {}: {}[{}]", self.name, self.dtype, List(&self.shape))?;
        self.panel.map_or(Ok(()), |panel| write!(f, " panel {panel}"))
    }
}

impl Display for Tile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}[", self.array)?;
        for (i, slice) in self.at.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{}", slice.start)?;
            slice.extent.map_or(Ok(()), |extent| write!(f, " : {extent}"))?;
            if slice.step != 1 {
                write!(f, " step {}", slice.step)?;
            }
        }
        f.write_str(if self.transposed { "] transposed" } else { "]" })
    }
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tile(tile) => tile.fmt(f),
            Self::Value(index) => index.fmt(f),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "do {}({})", self.instruction, List(&self.operands))
    }
}

fn block(f: &mut Formatter<'_>, b: &Block, indent: usize) -> fmt::Result {
    for (l, depth) in b.cluster.iter().zip(indent..) {
        writeln!(f, "{}for {} in 0..{} cluster {{", "  ".repeat(depth), l.var, l.count)?;
    }
    program(f, b, indent + b.cluster.len())?;
    for depth in (indent..indent + b.cluster.len()).rev() {
        writeln!(f, "{}}}", "  ".repeat(depth))?;
    }
    Ok(())
}

fn program(f: &mut Formatter<'_>, b: &Block, indent: usize) -> fmt::Result {
    let pad = "  ".repeat(indent);
    writeln!(f, "{pad}block {{")?;
    for shared in &b.shared {
        writeln!(f, "{pad}  {shared}")?;
    }
    for t in &b.tensors {
        writeln!(f, "{pad}  tensor {}: {}[{}]", t.name, t.dtype, List(&t.shape))?;
    }
    for barrier in &b.barriers {
        let (name, slots, count) = (&barrier.name, barrier.slots, barrier.count);
        writeln!(f, "{pad}  barrier {name}[{slots}] count {count}")?;
    }
    for role in &b.roles {
        write!(f, "{pad}  role {} warps {}", role.name, role.warps)?;
        role.registers.map_or(Ok(()), |n| write!(f, " registers {n}"))?;
        writeln!(f, " {{")?;
        nodes(f, &role.body, indent + 2)?;
        writeln!(f, "{pad}  }}")?;
    }
    writeln!(f, "{pad}}}")
}

/// Prints one node at this depth.
pub(in crate::kernel) fn device(f: &mut Formatter<'_>, d: &Device, indent: usize) -> fmt::Result {
    let pad = "  ".repeat(indent);
    let body = match d {
        Device::Block(b) => return block(f, b, indent),
        Device::Call(call) => return writeln!(f, "{pad}{call}"),
        Device::Teams(t) => {
            writeln!(f, "{pad}for {} in 0..{} warps {} {{", t.var, t.count, t.warps)?;
            &t.body
        }
        Device::One(body) => {
            writeln!(f, "{pad}one {{")?;
            body
        }
        Device::Fragment(a) => {
            let [rows, cols] = a.shape;
            let (name, dtype, layout) = (&a.name, a.dtype, &a.layout);
            writeln!(f, "{pad}fragment {name}: {dtype}[{rows}, {cols}] as {layout} {{")?;
            &a.body
        }
        Device::Across(a) => {
            let [row, col] = &a.vars;
            match a.tile() {
                Some(part) => write!(f, "{pad}for {row}, {col} across {part}")?,
                None => write!(f, "{pad}for {row}, {col} across {}", a.fragment)?,
            }
            if a.reduce {
                write!(f, " reduce {col}")?;
            }
            writeln!(f, " {{")?;
            &a.body
        }
        Device::Share(s) => {
            let (vars, extents, piece) = (List(&s.vars), List(&s.extents), List(&s.piece));
            writeln!(f, "{pad}for {vars} over {extents} by {piece} {{")?;
            &s.body
        }
        Device::Taking(t) => {
            writeln!(f, "{pad}for {} taking {} {{", List(&t.vars), t.of)?;
            if !t.last.is_empty() {
                nodes(f, &t.body, indent + 1)?;
                writeln!(f, "{pad}}} last {{")?;
            }
            if t.last.is_empty() { &t.body } else { &t.last }
        }
        Device::Choosing(c) => {
            let (vars, low, high, when) = (List(&c.vars), &c.lower, &c.upper, &c.when);
            writeln!(f, "{pad}for {vars} in {low}..{high} when {when} {{")?;
            if !c.last.is_empty() {
                nodes(f, &c.body, indent + 1)?;
                writeln!(f, "{pad}}} last {{")?;
            }
            if c.last.is_empty() { &c.body } else { &c.last }
        }
    };
    nodes(f, body, indent + 1)?;
    writeln!(f, "{pad}}}")
}
