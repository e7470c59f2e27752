//! Proofs about kernels: every access in bounds, and no race in parallel, mapped and vector loops.
//!
//! In: a kernel whose names, ranks and types hold ([`crate::kernel`] checks them). Out: nothing,
//! or findings with a concrete example. Parameters are any numbers from 0 up to 2^40; a store
//! under a data-dependent guard counts as always running.
//! Keeps: what cannot be decided is a finding, never accepted; shares no code with scheduling or
//! lowering, so that a mistake there is found here.
//! Two accesses race when different iterations of one run of a loop touch one element, at least
//! one of them to write. In a vector loop a store may still combine into an element that all
//! lanes share, where its order of combination is free. A local buffer inside the loop is another
//! one in each iteration, so accesses to it never race there.
//! Not proved: that an element of a temporary or local buffer is written before it is read.

mod shadow;
mod spread;
mod system;

use std::collections::BTreeSet;
use std::time::Duration;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic};
use warploom_ir::kernel::{
    Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::Order;
use warploom_isl::Ctx;

use system::{Env, Fault, Values, eval, magnitudes};

/// Longest time isl may spend on one kernel.
const DEADLINE: Duration = Duration::from_secs(20);

/// A loop, guard or local buffer around a store.
#[derive(Clone, Copy)]
enum Around<'k> {
    Loop(&'k KernelLoop),
    /// The condition, and whether it holds or fails here.
    Guard(&'k Condition, bool),
    Local(&'k Local),
}

/// A store and what is around it, outermost first.
struct Site<'k> {
    store: &'k Store<Index>,
    around: Vec<Around<'k>>,
}

/// An element that a store touches; several uses with the same indices are one.
#[derive(Clone, Copy)]
struct Touch<'k> {
    array: &'k Name,
    indices: &'k [Index],
    write: bool,
}

/// What is wrong with the memory accesses of `kernel`; nothing if it is proved.
///
/// Codes: `E0811` out of bounds, `E0812` a race, `E0813` not decided, `E1011` a part of a spread
/// buffer that is another thread's.
pub(crate) fn prove(kernel: &Kernel) -> Vec<Diagnostic> {
    let shadow = kernel.has_block_program().then(|| shadow::of(kernel));
    let kernel = shadow.as_ref().unwrap_or(kernel);
    let ctx = Ctx::new();
    let mut sites = Vec::new();
    collect(&kernel.body, &mut Vec::new(), &mut sites);
    let mut found = Vec::new();
    let done = ctx.with_deadline(DEADLINE, || {
        magnitudes(kernel)?;
        let proofs = Proofs { ctx: &ctx, kernel };
        for site in &sites {
            found.extend(proofs.bounds(site)?);
            found.extend(proofs.spread(site)?);
        }
        proofs.races(&sites, &mut found)
    });
    if let Err(Fault(why)) = done {
        let text = format!("the accesses of kernel `{}` could not be proved: {why}", kernel.name);
        found.push(Diagnostic::new("E0813", Blame::Unsupported, text));
    }
    found
}

fn collect<'k>(nodes: &'k [KernelNode], around: &mut Vec<Around<'k>>, out: &mut Vec<Site<'k>>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => {
                around.push(Around::Loop(l));
                collect(&l.body, around, out);
                around.pop();
            }
            KernelNode::If(c, then, otherwise) => {
                for (body, holds) in [(then, true), (otherwise, false)] {
                    around.push(Around::Guard(c, holds));
                    collect(body, around, out);
                    around.pop();
                }
            }
            KernelNode::Store(store) => out.push(Site { store, around: around.clone() }),
            // the shadow that is proved has none
            KernelNode::Device(_) => {}
            KernelNode::Local(l) => {
                around.push(Around::Local(l));
                collect(&l.body, around, out);
                around.pop();
            }
        }
    }
}

fn reads<'k>(value: &'k Typed<Index>, out: &mut Vec<Touch<'k>>) {
    match &value.kind {
        TypedKind::Literal(_) | TypedKind::Index(_) => {}
        TypedKind::Read { array, indices } => out.push(Touch { array, indices, write: false }),
        TypedKind::Unary(_, a) | TypedKind::Bitcast(a) | TypedKind::Convert { value: a, .. } => {
            reads(a, out);
        }
        TypedKind::Binary(_, a, b) => {
            reads(a, out);
            reads(b, out);
        }
        TypedKind::Fma(a, b, c) | TypedKind::Select(a, b, c) => {
            reads(a, out);
            reads(b, out);
            reads(c, out);
        }
    }
}

/// What the value and guard of a store read.
fn operands(store: &Store<Index>) -> Vec<Touch<'_>> {
    let mut out = Vec::new();
    reads(&store.value, &mut out);
    if let Some(guard) = &store.guard {
        reads(guard, &mut out);
    }
    out
}

/// The elements a store touches, its target first.
fn touches(store: &Store<Index>) -> Vec<Touch<'_>> {
    let mut out = vec![Touch { array: &store.array, indices: &store.indices, write: true }];
    for touch in operands(store) {
        if !out.iter().any(|t| t.array == touch.array && t.indices == touch.indices) {
            out.push(touch);
        }
    }
    out
}

/// True where lanes may combine into one element: the store's own reduction, of free order, into
/// an element that the loop does not move, and that nothing else of the store reads.
fn own_reduction(store: &Store<Index>, l: &KernelLoop) -> bool {
    let free = match store.order {
        Order::Serial => false,
        Order::Fixed | Order::Any | Order::Exact => true,
    };
    free && store.op.is_update()
        && !store.indices.iter().any(|i| system::mentions(i, &l.var))
        && !operands(store).iter().any(|t| *t.array == store.array)
}

struct Proofs<'a> {
    ctx: &'a Ctx,
    kernel: &'a Kernel,
}

/// The local buffer of this name around a site, and its position there.
fn local_of<'k>(site: &Site<'k>, array: &str) -> Option<(usize, &'k Local)> {
    site.around.iter().enumerate().rev().find_map(|(position, around)| match around {
        Around::Local(l) if &*l.name == array => Some((position, *l)),
        Around::Local(_) | Around::Loop(_) | Around::Guard(..) => None,
    })
}

/// Whether each iteration of the loop at `depth` around a site has an array of its own.
fn is_private(site: &Site<'_>, array: &str, depth: usize) -> bool {
    local_of(site, array).is_some_and(|(position, _)| position > depth)
}

impl Proofs<'_> {
    /// The extents of an array as `site` sees it.
    fn shape(&self, site: &Site<'_>, array: &str) -> Result<Vec<Index>, Fault> {
        if let Some((_, local)) = local_of(site, array) {
            return Ok(local.shape.iter().map(|e| Index::Const(*e)).collect());
        }
        let buffer = self.kernel.buffers.iter().find(|b| &*b.name == array);
        buffer
            .map(|b| b.shape.clone())
            .ok_or_else(|| Fault(format!("there is no buffer `{array}`")))
    }

    fn bounds(&self, site: &Site<'_>) -> Result<Vec<Diagnostic>, Fault> {
        let mut found = Vec::new();
        let mut around = Env::new(&self.kernel.params);
        around.enter(&site.around)?;
        for touch in touches(site.store) {
            let shape = self.shape(site, touch.array)?;
            if shape.len() != touch.indices.len() {
                return Err(Fault(format!("the rank of `{}` differs", touch.array)));
            }
            let mut env = around.clone();
            let mut outside = Vec::new();
            for (index, extent) in touch.indices.iter().zip(&shape) {
                outside.extend(env.outside(index, extent)?);
            }
            // most accesses are inside, and numbers show it sooner than a text
            if env.never(self.ctx, &outside)? {
                continue;
            }
            env.require_any(&outside);
            if let Some(point) = env.smallest(self.ctx)? {
                found.push(out_of_bounds(self.kernel, site, touch, &shape, &env.values(&point)));
            }
        }
        Ok(found)
    }

    fn races(&self, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) -> Result<(), Fault> {
        let mut seen = BTreeSet::new();
        for site in sites {
            for (depth, around) in site.around.iter().enumerate() {
                let Around::Loop(l) = around else { continue };
                let shared = match l.mode {
                    LoopMode::Serial | LoopMode::Unroll => false,
                    LoopMode::Parallel | LoopMode::Vector | LoopMode::Mapped(_) => {
                        seen.insert(l.var.clone())
                    }
                };
                if shared {
                    let inside = |s: &&Site<'_>| match s.around.get(depth) {
                        Some(Around::Loop(other)) => std::ptr::eq(*other, *l),
                        Some(Around::Guard(..) | Around::Local(_)) | None => false,
                    };
                    let inside: Vec<&Site<'_>> = sites.iter().filter(inside).collect();
                    found.extend(self.races_of(l, depth, &inside)?);
                }
            }
        }
        Ok(())
    }

    /// The first race between iterations of `l`, which stands at `depth` around each site.
    fn races_of(
        &self,
        l: &KernelLoop,
        depth: usize,
        sites: &[&Site<'_>],
    ) -> Result<Option<Diagnostic>, Fault> {
        let mut all = Vec::new();
        for (number, site) in sites.iter().enumerate() {
            let shared = |t: &Touch<'_>| !is_private(site, t.array, depth);
            all.extend(touches(site.store).into_iter().filter(shared).map(|t| (number, *site, t)));
        }
        for &(n, first, a) in &all {
            for &(m, second, b) in &all {
                if a.array != b.array || !(a.write || b.write) {
                    continue;
                }
                let own = n == m && a.write && b.write && own_reduction(first.store, l);
                if own && l.mode == LoopMode::Vector {
                    continue;
                }
                if let Some(d) = self.race(l, depth, (first, a), (second, b))? {
                    return Ok(Some(d));
                }
            }
        }
        Ok(None)
    }

    /// Whether `a` in one iteration of `l` and `b` in a later one touch the same element.
    fn race(
        &self,
        l: &KernelLoop,
        depth: usize,
        (first, a): (&Site<'_>, Touch<'_>),
        (second, b): (&Site<'_>, Touch<'_>),
    ) -> Result<Option<Diagnostic>, Fault> {
        if a.indices.len() != b.indices.len() {
            return Err(Fault(format!("the rank of `{}` differs", a.array)));
        }
        let variable = Index::Var(l.var.clone());
        let mut env = Env::new(&self.kernel.params);
        env.enter(&first.around[..depth])?;
        let outer = env.names().clone();
        env.enter(&first.around[depth..])?;
        let left: Vec<_> = a.indices.iter().map(|i| env.affine(i)).collect::<Result<_, _>>()?;
        let before = env.affine(&variable)?;
        let first_names = env.replace_names(outer);
        env.enter(&second.around[depth..])?;
        let after = env.affine(&variable)?;
        env.less(&before, &after)?;
        for (index, other) in b.indices.iter().zip(&left) {
            let right = env.affine(index)?;
            env.equal(other, &right)?;
        }
        let Some(point) = env.smallest(self.ctx)? else { return Ok(None) };
        let later = env.values(&point);
        env.replace_names(first_names);
        let earlier = env.values(&point);
        Ok(Some(race_found(self.kernel, l, (first, a, &earlier), (second, b, &later))))
    }
}

/// `N = 3, i = 0, j = 2`: the parameters and the loops around a site.
fn describe(kernel: &Kernel, site: &Site<'_>, values: &Values) -> String {
    let loops = site.around.iter().filter_map(|a| match a {
        Around::Loop(l) => Some(&l.var),
        Around::Guard(..) | Around::Local(_) => None,
    });
    let parts: Vec<String> = (kernel.params.iter().chain(loops))
        .filter_map(|n| Some(format!("{n} = {}", values.get(n)?)))
        .collect();
    if parts.is_empty() { "always".to_owned() } else { parts.join(", ") }
}

fn element(touch: Touch<'_>, values: &Values) -> String {
    format!("{}[{}]", touch.array, show(touch.indices, values))
}

fn show(list: &[Index], values: &Values) -> String {
    let text = |i: &Index| eval(i, values).map_or_else(|| "?".to_owned(), |v| v.to_string());
    list.iter().map(text).collect::<Vec<_>>().join(",")
}

fn out_of_bounds(
    kernel: &Kernel,
    site: &Site<'_>,
    touch: Touch<'_>,
    shape: &[Index],
    values: &Values,
) -> Diagnostic {
    let text = format!(
        "statement `{}` of kernel `{}` {} `{}` out of bounds",
        site.store.statement,
        kernel.name,
        if touch.write { "writes" } else { "reads" },
        touch.array
    );
    Diagnostic::new("E0811", Blame::Schedule, text).witness(format!(
        "{}: {}, but the extents are [{}]",
        describe(kernel, site, values),
        element(touch, values),
        show(shape, values)
    ))
}

fn race_found(
    kernel: &Kernel,
    l: &KernelLoop,
    (first, a, earlier): (&Site<'_>, Touch<'_>, &Values),
    (second, b, later): (&Site<'_>, Touch<'_>, &Values),
) -> Diagnostic {
    let verb = |t: Touch<'_>| if t.write { "writes" } else { "reads" };
    let mode = match l.mode {
        LoopMode::Vector => "vector",
        LoopMode::Mapped(place) => place.name(),
        LoopMode::Parallel | LoopMode::Serial | LoopMode::Unroll => "parallel",
    };
    let text = format!("iterations of the {mode} loop `{}` race for `{}`", l.var, a.array);
    let witness = format!(
        "`{}` {} {} at {}; `{}` {} it at {}",
        first.store.statement,
        verb(a),
        element(a, earlier),
        describe(kernel, first, earlier),
        second.store.statement,
        verb(b),
        describe(kernel, second, later)
    );
    Diagnostic::new("E0812", Blame::Schedule, text)
        .witness(witness)
        .help(format!("run `{}` serially, or give each iteration elements of its own", l.var))
}

#[cfg(test)]
mod tests;
