//! Index arithmetic that the ranges of the loops around it make simpler.
//!
//! In: a kernel's body. Out: the same body, where a division or remainder whose result the loops'
//! bounds determine is gone: with `64*t <= n < 64*t + 64` around it, `floor(n / 64)` is `t`.
//! Keeps: every value of every index.
//! Why here: buffers are indexed by places in tiles, which are remainders of the array's indices;
//! only without them are the accesses of vector lanes contiguous in the eyes of code generation.

use warploom_ir::affine::{Affine, Atom, Name, Overflow};
use warploom_ir::kernel::{Condition, Index, KernelLoop, KernelNode, Local};

use crate::index::{from_affine, operands, simplify, simplify_condition, split, to_affine};

/// Simplifies every index of a body.
pub(crate) fn simplify_body(body: Vec<KernelNode>) -> Vec<KernelNode> {
    nodes(body, &mut Ranges::default())
}

/// `base <= var < base + length`.
struct Range {
    var: Name,
    /// Stands for `var - base`; no other variable is called like it.
    rest: Name,
    base: Affine,
    length: i64,
}

/// The ranges of the loops around a place, outermost first.
#[derive(Default)]
struct Ranges {
    loops: Vec<Range>,
}

fn nodes(body: Vec<KernelNode>, ranges: &mut Ranges) -> Vec<KernelNode> {
    body.into_iter().map(|n| node(n, ranges)).collect()
}

fn node(node: KernelNode, ranges: &mut Ranges) -> KernelNode {
    match node {
        KernelNode::Loop(mut l) => {
            l.lower = ranges.index(&l.lower);
            l.upper = ranges.index(&l.upper);
            let known = Range::of(&l);
            let found = known.is_some();
            ranges.loops.extend(known);
            l.body = nodes(l.body, ranges);
            if found {
                ranges.loops.pop();
            }
            KernelNode::Loop(l)
        }
        KernelNode::If(c, a, b) => {
            let c = simplify_condition(&ranges.condition(&c));
            KernelNode::If(c, nodes(a, ranges), nodes(b, ranges))
        }
        KernelNode::Store(s) => KernelNode::Store(s.map_index(&mut |i| ranges.index(i))),
        node @ KernelNode::Device(_) => node,
        KernelNode::Local(Local { name, dtype, shape, across, body }) => {
            KernelNode::Local(Local { name, dtype, shape, across, body: nodes(body, ranges) })
        }
    }
}

impl Range {
    /// The narrowest range that two of the loop's bounds give.
    fn of(l: &KernelLoop) -> Option<Self> {
        let (mut lower, mut upper) = (Vec::new(), Vec::new());
        operands(&l.lower, false, &mut lower);
        operands(&l.upper, true, &mut upper);
        let mut best: Option<(Affine, i64)> = None;
        for base in lower.into_iter().filter_map(to_affine) {
            for end in upper.iter().copied().filter_map(to_affine) {
                let length = end.sub(&base).ok().and_then(|e| e.as_constant());
                if let Some(length) = length.filter(|n| best.as_ref().is_none_or(|b| *n < b.1)) {
                    best = Some((base.clone(), length));
                }
            }
        }
        let (base, length) = best.filter(|(_, length)| *length > 0)?;
        Some(Self { rest: format!("{}'", l.var).into(), var: l.var.clone(), base, length })
    }
}

impl Ranges {
    fn index(&self, index: &Index) -> Index {
        if let Some(affine) = to_affine(index) {
            return self.reduce(&affine).map_or_else(|_| index.clone(), |e| from_affine(&e));
        }
        let go = |i: &Index| Box::new(self.index(i));
        simplify(&match index {
            Index::Const(_) | Index::Var(_) => index.clone(),
            Index::Add(a, b) => Index::Add(go(a), go(b)),
            Index::Sub(a, b) => Index::Sub(go(a), go(b)),
            Index::Mul(c, a) => Index::Mul(*c, go(a)),
            Index::FloorDiv(a, d) => Index::FloorDiv(go(a), *d),
            Index::Mod(a, d) => Index::Mod(go(a), *d),
            Index::Min(a, b) => Index::Min(go(a), go(b)),
            Index::Max(a, b) => Index::Max(go(a), go(b)),
            Index::Select(c, a, b) => Index::Select(Box::new(self.condition(c)), go(a), go(b)),
        })
    }

    fn condition(&self, condition: &Condition) -> Condition {
        let all = |cs: &[Condition]| cs.iter().map(|c| self.condition(c)).collect();
        match condition {
            Condition::Ge(a, b) => Condition::Ge(self.index(a), self.index(b)),
            Condition::Eq(a, b) => Condition::Eq(self.index(a), self.index(b)),
            Condition::All(cs) => Condition::All(all(cs)),
            Condition::Any(cs) => Condition::Any(all(cs)),
        }
    }

    /// An equal expression without the divisions and remainders that the ranges determine.
    fn reduce(&self, e: &Affine) -> Result<Affine, Overflow> {
        let mut out = Affine::constant(e.constant_part());
        for (atom, c) in e.terms() {
            let value = match atom {
                Atom::Var(name) => Affine::var(name.clone()),
                Atom::FloorDiv(inner, d) => {
                    let inner = self.reduce(inner)?;
                    self.quotient(&inner, *d)?.map_or_else(|| inner.floor_div(*d), Ok)?
                }
                Atom::Mod(inner, d) => {
                    let inner = self.reduce(inner)?;
                    match self.quotient(&inner, *d)? {
                        Some(quotient) => inner.sub(&quotient.scale(*d)?)?,
                        None => inner.modulo(*d)?,
                    }
                }
            };
            out = out.add(&value.scale(c)?)?;
        }
        Ok(out)
    }

    /// `floor(e / d)` without a division, where the ranges determine it.
    fn quotient(&self, e: &Affine, d: i64) -> Result<Option<Affine>, Overflow> {
        let mut expanded = e.clone();
        for r in self.loops.iter().rev() {
            let value = r.base.add(&Affine::var(r.rest.clone()))?;
            expanded = expanded.substitute(&|v| (v == &*r.var).then(|| value.clone()))?;
        }
        let Some((whole, rest)) = split(&expanded, d) else {
            return Ok(None);
        };
        let Some((least, most)) = self.interval(&rest) else {
            return Ok(None);
        };
        if least.div_euclid(d) != most.div_euclid(d) {
            return Ok(None);
        }
        let mut out = whole.add_const(least.div_euclid(d))?;
        for r in &self.loops {
            let value = Affine::var(r.var.clone()).sub(&r.base)?;
            out = out.substitute(&|v| (v == &*r.rest).then(|| value.clone()))?;
        }
        Ok(Some(out))
    }

    /// The least and greatest value of an expression, as far as its parts are known.
    fn interval(&self, e: &Affine) -> Option<(i64, i64)> {
        let (mut least, mut most) = (e.constant_part(), e.constant_part());
        for (atom, c) in e.terms() {
            let greatest = match atom {
                Atom::Var(name) => self.loops.iter().find(|r| r.rest == *name)?.length - 1,
                Atom::Mod(_, d) => d - 1,
                Atom::FloorDiv(..) => return None,
            };
            let far = c.checked_mul(greatest)?;
            least = least.checked_add(far.min(0))?;
            most = most.checked_add(far.max(0))?;
        }
        Some((least, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(var: &str, lower: Affine, length: i64) -> Range {
        Range { var: var.into(), rest: format!("{var}'").into(), base: lower, length }
    }

    fn v(name: &str) -> Affine {
        Affine::var(name)
    }

    /// `t`, `b` in the tile's blocks of 16, `n` in the block.
    fn tile() -> Ranges {
        let block = over("b", v("t").scale(4).unwrap(), 4);
        let point = over("n", v("b").scale(16).unwrap(), 16);
        Ranges { loops: vec![block, point] }
    }

    #[test]
    fn places_in_tiles_lose_their_divisions() {
        let place = v("n").modulo(64).unwrap();
        let ranges = tile();
        let reduced = |e: &Affine| ranges.reduce(e).unwrap().to_string();
        assert_eq!(reduced(&v("n").floor_div(64).unwrap()), "t");
        assert_eq!(reduced(&place.floor_div(16).unwrap()), "b - 4*t");
        assert_eq!(reduced(&place.modulo(16).unwrap()), "-16*b + n");
    }

    #[test]
    fn what_the_ranges_leave_open_stays() {
        let e = v("n").floor_div(24).unwrap();
        assert_eq!(tile().reduce(&e).unwrap(), e);
        let other = v("q").modulo(16).unwrap();
        assert_eq!(tile().reduce(&other).unwrap(), other);
    }
}
