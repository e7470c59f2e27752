//! The loops around the pieces of work, by isl, and the program in their place.
//!
//! In: the plans. Out: first a poly and a tree in which each piece of work is one statement at the
//! loop that it belongs to; then, of the kernel that isl's loops give, one in which the nodes
//! inside the block loops of each plan are a block program.
//! Keeps: all pieces have the same iterations of the loops that they share, so that what one role
//! waits for another one does.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Result, Span};
use warploom_ir::dtype::DType;
use warploom_ir::expr::{Access, Expr, Literal};
use warploom_ir::kernel::{Buffer, Index, Kernel, KernelLoop, KernelNode, LoopMode, Store};
use warploom_ir::nest::{Array, AssignOp, Role, Statement};
use warploom_ir::schedule::{Poly, PolyStatement, Tree, TreeLoop};
use warploom_ir::target::{Axis, Place};

use super::product::Product;
use super::roles::Program;
use super::streaming::launches;
use super::{Plan, Work};

/// What a program's piece of work is called while isl makes the loops; no user's name has an `@`.
pub(super) fn placeholder(plan: &Plan, number: usize) -> Name {
    format!("@work{}.{number}", plan.number).into()
}

/// The program and its piece of work that a name stands for.
fn numbers(name: &str) -> Option<(usize, usize)> {
    let (plan, work) = name.strip_prefix("@work")?.split_once('.')?;
    Some((plan.parse().ok()?, work.parse().ok()?))
}

/// The piece of work that a store stands for, of the program that it is in.
pub(super) fn work_of(store: &Store<Index>) -> Option<usize> {
    Some(numbers(&store.statement)?.1)
}

/// The poly and tree with pieces of work in the place of their statements.
pub(super) fn reduced(poly: &Poly, tree: &Tree, plan: &Plan) -> Result<(Poly, Tree)> {
    let gone: BTreeSet<&Name> = plan.members.iter().flatten().collect();
    let mut out = poly.clone();
    out.statements.retain(|s| !gone.contains(&s.statement.name));
    let left: BTreeSet<Name> = out
        .statements
        .iter()
        .flat_map(|s| crate::steps::stage::all_accesses(&s.statement))
        .map(|a| a.array.clone())
        .collect();
    let dropped = |name: &Name| poly.scopes.contains_key(name) && !left.contains(name);
    out.arrays.retain(|a| !dropped(&a.name));
    out.scopes.retain(|name, _| left.contains(name));
    let pieces = plan.works.iter().enumerate().filter(|(w, _)| !plan.members[*w].is_empty());
    for (number, work) in pieces {
        let product = &plan.products[plan.owners[number]];
        let depth = match work {
            Work::Product | Work::Fill(_) | Work::Threads(_) => product.loops.len(),
            Work::Elements(elements) => elements.of.scope + 1,
            Work::Drain(_) | Work::Slabs(_) | Work::Nothing => product.scopes().len(),
        };
        let made = statement(plan, product, number, depth)?;
        let rank = made.statement.target.indices.len();
        out.statements.push(made);
        out.arrays.push(Array {
            name: placeholder(plan, number),
            role: Role::Temp,
            dtype: DType::I32,
            shape: vec![Affine::constant(1); rank],
            span: Span::NONE,
        });
    }
    Ok((out, shortened(tree, plan)))
}

/// A piece of work as a statement over the coordinates of `depth` loops.
fn statement(plan: &Plan, product: &Product, number: usize, depth: usize) -> Result<PolyStatement> {
    let name = placeholder(plan, number);
    let cluster = plan.cluster.as_ref().map(|c| c.depth);
    let all = product.coordinates[..depth].iter().zip(&product.determined).enumerate();
    let all = all.filter(|(at, _)| cluster != Some(*at)).map(|(_, both)| both);
    let iters = all.clone().filter(|(_, value)| value.is_none()).map(|(c, _)| c.clone()).collect();
    let indices =
        all.map(|(c, value)| value.clone().unwrap_or_else(|| Affine::var(c.clone()))).collect();
    // loops inside do not matter to work outside them
    let outer = product.tiles.as_ref().filter(|_| depth <= product.scope + 1);
    let mut domain = outer.unwrap_or(&product.around).clone();
    let inner: BTreeSet<&Name> = product.coordinates[depth..].iter().collect();
    domain.retain(|c| c.expr.vars().iter().all(|v| !inner.contains(v)));
    let target = Access { array: name.clone(), indices, span: Span::NONE };
    let zero = Expr::Literal(Literal::Int(0));
    let statement = Statement::plain(name, target, AssignOp::Set, zero);
    Ok(PolyStatement { statement, iters, domain, origin: None })
}

/// The tree whose loops inside the ring's are pieces of work.
fn shortened(tree: &Tree, plan: &Plan) -> Tree {
    // products in one loop have one name for its coordinate: names go by depth
    let place = |l: &TreeLoop| {
        plan.products.iter().find_map(|product| {
            let depth = product.loops.iter().position(|n| *n == l.name)?;
            let determined = product.determined[depth].is_some();
            Some((depth, product.coordinates[depth].clone(), determined))
        })
    };
    match tree {
        Tree::Loop(l) if place(l).is_some() => {
            let body = shortened(&l.body, plan);
            let (depth, coordinate, determined) = place(l).expect("asked above");
            let cluster = plan.cluster.as_ref().is_some_and(|c| c.depth == depth);
            if cluster || determined {
                return body;
            }
            let mut rows: BTreeMap<Name, Affine> = l.rows.clone();
            let below = body.statements();
            rows.retain(|name, _| below.contains(name));
            let row = Affine::var(coordinate);
            let own = |name: &Name| numbers(name).is_some_and(|(of, _)| of == plan.number);
            for name in below.into_iter().filter(own) {
                rows.insert(name, row.clone());
            }
            let (name, mut marks) = (l.name.clone(), l.marks.clone());
            marks.ring = None;
            Tree::Loop(TreeLoop { name, rows, marks, body: Box::new(body) })
        }
        Tree::Sequence(children) => {
            crate::steps::sequence(children.iter().map(|c| shortened(c, plan)).collect())
        }
        piece @ (Tree::Loop(_) | Tree::Statement(_)) => {
            let names = piece.statements();
            match plan.members.iter().position(|m| *m == names) {
                Some(number) => Tree::Statement(placeholder(plan, number)),
                None => piece.clone(),
            }
        }
    }
}

/// The kernel with the programs in place of their pieces of work.
pub(super) fn completed(mut kernel: Kernel, poly: &Poly, plans: &[Plan]) -> Result<Kernel> {
    kernel.buffers.retain(|b| !b.name.starts_with('@'));
    let mut taken: BTreeSet<Name> = kernel.params.iter().cloned().collect();
    taken.extend(poly.arrays.iter().map(|a| a.name.clone()));
    variables(&kernel.body, &mut taken);
    for plan in plans {
        let mut making = Making { plan, taken: &mut taken, buffers: Vec::new() };
        kernel.body = making.replaced(kernel.body, None)?;
        kernel.buffers.append(&mut making.buffers);
    }
    kernel.body = in_blocks(kernel.body, false, &mut taken);
    Ok(kernel)
}

/// The names that these nodes give: variables of loops, and local buffers.
pub(super) fn variables(nodes: &[KernelNode], out: &mut BTreeSet<Name>) {
    for node in nodes {
        match node {
            KernelNode::Loop(l) => {
                out.insert(l.var.clone());
                variables(&l.body, out);
            }
            KernelNode::If(_, a, b) => {
                variables(a, out);
                variables(b, out);
            }
            KernelNode::Local(l) => {
                out.insert(l.name.clone());
                variables(&l.body, out);
            }
            KernelNode::Store(_) | KernelNode::Device(_) => {}
        }
    }
}

/// Whether a piece of work is in a node of its program.
pub(super) fn holds(node: &KernelNode, such: &dyn Fn(usize) -> bool) -> bool {
    stands_for(node, &|(_, work)| such(work))
}

/// Whether a piece of work, with its program, is in a node.
fn stands_for(node: &KernelNode, such: &dyn Fn((usize, usize)) -> bool) -> bool {
    let any = |nodes: &[KernelNode]| nodes.iter().any(|n| stands_for(n, such));
    match node {
        KernelNode::Loop(l) => any(&l.body),
        KernelNode::If(_, a, b) => any(a) || any(b),
        KernelNode::Local(l) => any(&l.body),
        KernelNode::Store(s) => numbers(&s.statement).is_some_and(such),
        KernelNode::Device(_) => false,
    }
}

/// What one program's nodes are replaced by.
struct Making<'p> {
    plan: &'p Plan,
    taken: &'p mut BTreeSet<Name>,
    /// Arrays that its launches need.
    buffers: Vec<Buffer>,
}

impl Making<'_> {
    /// Replaces the nodes inside the innermost block loop, or those that stand where it would;
    /// `around` is the loop around them.
    fn replaced(
        &mut self,
        nodes: Vec<KernelNode>,
        around: Option<&KernelLoop>,
    ) -> Result<Vec<KernelNode>> {
        let plan = self.plan;
        let own = |(of, _): (usize, usize)| of == plan.number;
        let mut out = Vec::new();
        let (mut inside, mut place) = (Vec::new(), 0);
        for node in nodes {
            let mine = stands_for(&node, &own);
            match node {
                KernelNode::Loop(l) if mine && plan.streams(&l.label) => {
                    out.extend(self.shared_out(&l)?);
                }
                KernelNode::Loop(mut l) if plan.outside.contains(&l.label) => {
                    let body = self.replaced(std::mem::take(&mut l.body), Some(&l))?;
                    out.push(KernelNode::Loop(KernelLoop { body, ..l }));
                }
                node if mine => {
                    // loops that run once are not there: other launches stand beside
                    if inside.is_empty() {
                        place = out.len();
                    }
                    inside.push(node);
                }
                node => out.push(node),
            }
        }
        if inside.is_empty() {
            return Ok(out);
        }
        let made = match &plan.streamed {
            Some(streamed) => {
                let one = streamed.one(inside, self.taken);
                self.shared_out(&one)?
            }
            None => {
                let mut program = Program::new(plan, self.taken);
                program.name_answers(around);
                vec![program.block(inside)?.into()]
            }
        };
        out.splice(place..place, made);
        Ok(out)
    }

    /// The launches of a loop that blocks share out.
    fn shared_out(&mut self, l: &KernelLoop) -> Result<Vec<KernelNode>> {
        let streamed = self.plan.streamed.as_ref().expect("asked by who calls this");
        let (nodes, buffer) = launches(self.plan, streamed, l, self.taken)?;
        self.buffers.extend(buffer);
        Ok(nodes)
    }
}

/// The kernel's body in which every block program stands in a block loop: isl leaves out loops that
/// run once.
fn in_blocks(nodes: Vec<KernelNode>, inside: bool, taken: &mut BTreeSet<Name>) -> Vec<KernelNode> {
    let mut out = Vec::new();
    for node in nodes {
        out.push(match node {
            KernelNode::Loop(l) => {
                let block = matches!(l.mode, LoopMode::Mapped(Place::Block(_)));
                let body = in_blocks(l.body, inside || block, taken);
                KernelNode::Loop(KernelLoop { body, ..l })
            }
            KernelNode::If(c, a, b) => {
                KernelNode::If(c, in_blocks(a, inside, taken), in_blocks(b, inside, taken))
            }
            node @ KernelNode::Device(_) if !inside => {
                let var = super::roles::unused("block", taken);
                KernelNode::Loop(KernelLoop {
                    label: var.clone(),
                    var,
                    lower: Index::Const(0),
                    upper: Index::Const(1),
                    step: 1,
                    mode: LoopMode::Mapped(Place::Block(Axis::X)),
                    body: vec![node],
                })
            }
            node @ (KernelNode::Local(_) | KernelNode::Store(_) | KernelNode::Device(_)) => node,
        });
    }
    out
}
