//! What the threads of a team do element by element: guards and stores over fragments and shares.
//!
//! In: the body of such a node, and where each thread's elements are. Out: instructions, bytes of
//! shared memory with its conflicts, sectors of memory, added to the walk. Keeps: the first
//! elements of the threads of the first warp stand for all.

use warploom_ir::affine::Name;
use warploom_ir::instruction::descriptor;
use warploom_ir::kernel::device::{Across, Share, WARP};
use warploom_ir::kernel::{Index, KernelNode, Store};

use super::super::super::product::FLYING;
use super::super::super::work::LINE;
use super::super::access::{Pattern, TURN, WIDEST, lines, place, runs, sectors, turns, value};
use super::super::values::{ADDRESS, Element, store};
use super::Walk;

/// The elements that the threads of a team have.
struct Dealt<'a> {
    vars: &'a [Name],
    /// The values of the variables for a thread of the first warp, some elements on.
    at: &'a dyn Fn(usize, i64) -> Vec<i64>,
    /// Elements of a thread, and how many of them are neighbours.
    each: f64,
    run: i64,
}

impl<'k> Walk<'_, 'k> {
    /// Guards and stores over the elements of a fragment.
    pub(super) fn across(&mut self, a: &'k Across) {
        let Some((layout, shape)) = self.fragments.get(&a.fragment).cloned() else { return };
        let part: Vec<i64> = a.part.iter().filter_map(|s| s.extent).collect();
        let [rows, cols] = <[i64; 2]>::try_from(part).unwrap_or(shape);
        let first: Vec<i64> = a.part.iter().map(|s| value(&s.start, &self.env)).collect();
        let each = (rows * cols) as f64 / layout.n_threads() as f64;
        let run = layout.values.first().filter(|d| d.along_cols && d.stride == 1);
        let run = run.map_or(1, |d| d.extent.min(cols));
        let lanes: Vec<[i64; 2]> = (0..WARP.min(layout.n_threads()))
            .map(|t| layout.element(t, 0))
            .map(|[i, j]| [i + first.first().unwrap_or(&0), j + first.get(1).unwrap_or(&0)])
            .collect();
        let vars = [a.vars[0].clone(), a.vars[1].clone()];
        let at = move |lane: usize, next: i64| vec![lanes[lane][0], lanes[lane][1] + next];
        self.elements(&a.body, &Dealt { vars: &vars, at: &at, each, run });
    }

    /// Guards and stores over elements that the team shares out.
    pub(super) fn share(&mut self, s: &'k Share) {
        let Some(pieces) = s.pieces() else { return };
        let piece: i64 = s.piece.iter().product();
        let threads = (self.warps.max(1.0) * WARP as f64).max(1.0);
        let run = s.piece.last().copied().unwrap_or(1);
        let each = (pieces * piece) as f64 / threads;
        let at = move |lane: usize, next: i64| s.at((lane as i64).min(pieces - 1), next);
        self.elements(&s.body, &Dealt { vars: &s.vars, at: &at, each, run });
    }

    /// A body that each thread runs for each of its elements.
    fn elements(&mut self, body: &'k [KernelNode], d: &Dealt<'_>) {
        for node in body {
            match node {
                KernelNode::If(_, then, _) => self.elements(then, d),
                KernelNode::Loop(l) => self.elements(&l.body, d),
                KernelNode::Store(s) => self.element_store(s, d),
                KernelNode::Local(_) | KernelNode::Device(_) => {}
            }
        }
    }

    fn element_store(&mut self, s: &'k Store<Index>, d: &Dealt<'_>) {
        let (operations, mut elements, update) = store(s);
        if update {
            elements.push((&s.array, &s.indices, s.dtype));
        }
        let mut n = operations * d.each;
        let reads = elements.len();
        elements.push((&s.array, &s.indices, s.dtype));
        for (k, element) in elements.into_iter().enumerate() {
            n += self.access(element, d, k < reads);
        }
        self.instructions(n);
    }

    /// The instructions of a thread for an access to an element; what it costs is added.
    fn access(&mut self, (name, indices, dtype): Element<'k>, d: &Dealt<'_>, read: bool) -> f64 {
        let Dealt { vars, at, each, run } = *d;
        let shared = self.block.shared.iter().find(|s| s.name == *name);
        let array = self.launch.arrays.get(name);
        let element = dtype.size_bytes() as i64;
        let address = |lane: usize, next: i64| {
            let mut env = self.env.clone();
            env.extend(vars.iter().cloned().zip(at(lane, next)));
            match (shared, array) {
                (Some(s), _) => {
                    s.offset(&indices.iter().map(|i| value(i, &env)).collect::<Vec<_>>())
                }
                (None, Some(a)) => element * place(indices, &a.shape, &env),
                (None, None) => 0,
            }
        };
        // a number of which nothing is written is in a register before any loop
        let number = read && indices.is_empty();
        if shared.is_none() && array.is_none() || number {
            return 0.0;
        }
        let near = run > 1 && address(0, 1) - address(0, 0) == element;
        let wide = if near { (run * element).min(WIDEST) / element } else { 1 };
        let addresses: Vec<i64> = (0..WARP as usize).map(|lane| address(lane, 0)).collect();
        let aligned = addresses.iter().all(|a| a % (wide * element) == 0);
        let wide = if aligned { wide } else { 1 };
        let panel = shared.and_then(|s| s.panel);
        let placed = |at: &i64| panel.map_or(*at, |panel| descriptor::swizzle(*at, panel));
        let exact: Vec<i64> = addresses.iter().map(placed).collect();
        let pattern = Pattern::of(name, shared.is_some(), read, &exact, wide * element);
        self.patterns.insert(pattern);
        let accesses = each / wide as f64;
        let warps = self.times * self.copies * self.warps.max(1.0) * accesses;
        if shared.is_some() {
            self.through_shared(warps * turns(&exact, wide * element) * TURN);
            return accesses * (1.0 + ADDRESS / 2.0);
        }
        let bytes = warps * sectors(&addresses, wide * element) * 32.0;
        let requests = if read { warps * lines(&addresses, wide * element) } else { 0.0 };
        self.work.cache += bytes.max(requests * LINE) * self.work.blocks;
        let whole = self.times * self.copies * self.warps.max(1.0) * 32.0 * each * element as f64;
        if read {
            self.work.port += bytes;
            let clocks = self.times * (accesses / FLYING).max(1.0) * self.m.fitted.load;
            if self.hot {
                self.tally.beside += clocks
            } else {
                self.tally.loads += clocks
            }
            self.site(name, indices.to_vec(), whole);
        } else {
            self.tally.stores = true;
            self.write(name, whole);
            let f = &self.m.fitted;
            let stores = runs(&addresses, wide * element) * f.scattered;
            let clocks = warps * stores.max(bytes / warps.max(1.0) / f.port);
            // teams share the way to memory
            self.tally.serial += clocks;
        }
        accesses * (1.0 + ADDRESS)
    }
}
