//! How often the loops of a block program have run before a place: slots and parities follow.
//!
//! In: the loops that isl made. Out: the number of tiles, or of iterations of the ring, before the
//! one at hand; and the loops with those peeled on which the lengths of others depend (triangles):
//! each iteration becomes a loop of its own, inside which lengths are numbers. Triangles stay loops
//! where each iteration has whole pairs of rounds of the ring: then slots and parities are the same
//! in all.
//! Requires: apart from these, lengths that do not change.
//! Keeps: numbers of iterations of a ring are known up to whole pairs of its rounds.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::kernel::{Index, KernelLoop, KernelNode, Store};

use super::roles::{Around, Program, Scope, add};
use super::skeleton::holds;
use super::{Work, misplaced};
use crate::index::{difference, replace, replace_condition, simplify};

/// Most iterations of a loop that is peeled.
const PEELED: i64 = 64;

/// For each product, numbers of tiles and of iterations of the ring; nothing where they are not
/// known.
pub(super) type Runs = Vec<[Option<i64>; 2]>;

impl Program<'_> {
    /// None of either.
    pub(super) fn none(&self) -> Runs {
        vec![[Some(0); 2]; self.plan.products.len()]
    }

    /// How often nodes come to a tile of product `p`, and to an iteration of its ring.
    fn runs_for(&self, p: usize, nodes: &[KernelNode]) -> [Option<i64>; 2] {
        let plan = self.plan;
        let own = |w: usize| plan.owners[w] == p;
        let product = |w: usize| own(w) && matches!(plan.works[w], Work::Product);
        let fill = |w: usize| own(w) && matches!(plan.works[w], Work::Fill(_) | Work::Threads(_));
        let such: &dyn Fn(usize) -> bool =
            if nodes.iter().any(|n| holds(n, &product)) { &product } else { &fill };
        let mut out = [Some(0); 2];
        for node in nodes.iter().filter(|n| holds(n, such)) {
            match node {
                KernelNode::Loop(l) => out = summed(out, self.runs_of(p, l)),
                KernelNode::Store(_) => return [Some(1); 2],
                KernelNode::If(..) | KernelNode::Local(_) | KernelNode::Device(_) => {
                    return [None; 2];
                }
            }
        }
        out
    }

    fn runs_of(&self, p: usize, l: &KernelLoop) -> [Option<i64>; 2] {
        let length = difference(&l.upper, &l.lower);
        let [tiles, rings] = self.runs_for(p, &l.body);
        let times = |each: Option<i64>| each?.checked_mul(length?);
        let even = rings.filter(|n| length.is_none() && n % self.two_rounds(p) == 0);
        let (tiles, rings) = (times(tiles), even.map(|_| 0).or_else(|| times(rings)));
        let around = self.plan.products[p].scopes().contains(&l.label);
        [if around { tiles } else { Some(1) }, rings]
    }

    /// Iterations of a product's ring after which slots and parities are the same again.
    fn two_rounds(&self, p: usize) -> i64 {
        2 * self.plan.products[p].stages
    }

    /// Whether slots and parities do not depend on how often triangular loops run: products leave
    /// sums in registers, from where they leave without a ring of their own.
    fn in_whole_rounds(&self, nodes: &[KernelNode]) -> bool {
        let plan = self.plan;
        let counted = plan.works.iter().any(|w| w.slabs().is_some()) || plan.joint();
        let by_warpgroups = plan.products.iter().all(|p| p.matrix.shared && !p.matrix.tensor);
        by_warpgroups && !counted && self.all_runs(nodes).iter().all(|[_, rings]| rings.is_some())
    }

    /// What has run after a loop behind others.
    pub(super) fn after(&self, before: &Runs, l: &KernelLoop) -> Runs {
        let one = |(p, before): (usize, &[Option<i64>; 2])| summed(*before, self.runs_of(p, l));
        before.iter().enumerate().map(one).collect()
    }

    /// What runs in these nodes.
    pub(super) fn all_runs(&self, nodes: &[KernelNode]) -> Runs {
        (0..self.plan.products.len()).map(|p| self.runs_for(p, nodes)).collect()
    }

    /// A loop around a place, at an iteration, behind others.
    pub(super) fn around(&self, l: &KernelLoop, at: Index, lower: Index, before: Runs) -> Around {
        let each = self.all_runs(&l.body);
        let parts = self.before_part(&l.var, &at);
        Around { label: l.label.clone(), at, lower, each, before, parts }
    }

    /// The scope inside a loop of isl's, at an iteration of those from `lower` on, behind others.
    pub(super) fn within(
        &self,
        scope: &Scope,
        l: &KernelLoop,
        [at, lower]: [Index; 2],
        before: Runs,
    ) -> Scope {
        let mut inner = scope.clone();
        inner.renamed.insert(l.var.clone(), at.clone());
        inner.around.push(self.around(l, at, lower, before));
        inner
    }

    /// How many tiles of the product, or inside the loops of a tile iterations of its ring, were
    /// before a place, all loops of the program counted.
    pub(super) fn count(&self, scope: &Scope) -> Result<Index> {
        let scopes = self.product().scopes();
        let ring = scope.around.iter().any(|l| !scopes.contains(&l.label));
        let (p, unit) = (self.at, usize::from(ring));
        let mut out = Index::Const(0);
        for l in &scope.around {
            let at = simplify(&Index::Sub(Box::new(l.at.clone()), Box::new(l.lower.clone())));
            if let (true, Some(parts), Some(before)) = (ring, &l.parts, l.before[p][unit]) {
                out = add(out, add(Index::Const(before), parts.clone()));
                continue;
            }
            // in its only iteration it does not matter how long that is
            let each = if at == Index::Const(0) { Some(0) } else { l.each[p][unit] };
            let (Some(each), Some(before)) = (each, l.before[p][unit]) else {
                let text = format!("how often the loops in `{}` run is not known", l.label);
                let help = "fix the sizes: `--size` or `param K = 512`";
                return Err(Box::new(misplaced(text).help(help)));
            };
            out = add(out, add(Index::Const(before), Index::Mul(each, Box::new(at))));
        }
        Ok(out)
    }

    /// The nodes in which loops around the accumulator's have been peeled where others depend on
    /// them in length.
    pub(super) fn peeled(&self, nodes: Vec<KernelNode>) -> Vec<KernelNode> {
        let mut out = Vec::new();
        for node in nodes {
            let KernelNode::Loop(l) = node else {
                out.push(node);
                continue;
            };
            let (Index::Const(lower), Index::Const(upper)) = (&l.lower, &l.upper) else {
                let body = self.peeled(l.body);
                out.push(KernelNode::Loop(KernelLoop { body, ..l }));
                continue;
            };
            let few = self.plan.main().scopes().contains(&l.label) && upper - lower <= PEELED;
            let whole = self.in_whole_rounds(&l.body);
            if !few || l.step != 1 || whole || !decides(&l.body, &l.var) {
                let body = self.peeled(l.body);
                out.push(KernelNode::Loop(KernelLoop { body, ..l }));
                continue;
            }
            for at in *lower..*upper {
                let (lower, upper) = (Index::Const(at), Index::Const(at + 1));
                let body = self.peeled(fixed(&l.body, &l.var, &lower));
                out.push(KernelNode::Loop(KernelLoop { body, lower, upper, ..l.clone() }));
            }
        }
        out
    }
}

fn summed(a: [Option<i64>; 2], b: [Option<i64>; 2]) -> [Option<i64>; 2] {
    [0, 1].map(|unit| a[unit]?.checked_add(b[unit]?))
}

/// Whether the length of a loop depends on a variable.
fn decides(nodes: &[KernelNode], var: &Name) -> bool {
    nodes.iter().any(|node| match node {
        KernelNode::Loop(l) => {
            let moves = l.lower.uses(var) || l.upper.uses(var);
            moves && difference(&l.upper, &l.lower).is_none() || decides(&l.body, var)
        }
        KernelNode::If(_, a, b) => decides(a, var) || decides(b, var),
        KernelNode::Local(l) => decides(&l.body, var),
        KernelNode::Store(_) | KernelNode::Device(_) => false,
    })
}

/// Nodes with a value for a variable; pieces of work stay what they are.
pub(super) fn fixed(nodes: &[KernelNode], var: &Name, at: &Index) -> Vec<KernelNode> {
    let lookup = |n: &str| (*n == **var).then(|| at.clone());
    let index = |e: &Index| simplify(&replace(e, &lookup));
    let all = |nodes: &[KernelNode]| fixed(nodes, var, at);
    nodes
        .iter()
        .map(|node| match node {
            KernelNode::Loop(l) => KernelNode::Loop(KernelLoop {
                lower: index(&l.lower),
                upper: index(&l.upper),
                body: all(&l.body),
                ..l.clone()
            }),
            KernelNode::If(c, a, b) => {
                KernelNode::If(replace_condition(c, &lookup), all(a), all(b))
            }
            KernelNode::Store(s) => {
                let indices = s.indices.iter().map(index).collect();
                KernelNode::Store(Store { indices, ..s.clone() })
            }
            node @ (KernelNode::Local(_) | KernelNode::Device(_)) => node.clone(),
        })
        .collect()
}
