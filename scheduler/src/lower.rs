//! Schedule -> Kernel for the CPU: isl generates the loops, this reads them.
//!
//! In: a poly and a legal tree. Out: a kernel whose loops carry the tree's names and modes and
//! whose statements are typed. Requires: the tree was checked (`DepContext::check_order`).
//! Keeps: each instance runs once, in the tree's order; inner vector and unrolled loops get a
//! version with constant trip counts (`specialize`).
//! Why here: this is the only place where an order becomes code.

mod lanes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Result, Source};
use warploom_ir::expr::{Access, Expr};
use warploom_ir::kernel::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, LoopMode, Store, Typed, TypedKind,
};
use warploom_ir::nest::AssignOp;
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::{Marks, Poly, PolyStatement, Tree, TreeLoop};
use warploom_ir::typing::type_statement_in;
use warploom_isl::{
    AstBuild, AstExpr, AstExprKind, AstNode, AstNodeKind, AstOp, AstOptions, Id, LoopType,
    MultiUnionPwAff, ScheduleNode, UnionMap, UnionSet,
};

use crate::block;
use crate::deps::{LIMIT, with_source};
use crate::index::{simplify, simplify_condition, substitute};
use crate::locals::add_locals;
use crate::poly_isl::Model;
use crate::ranges::simplify_body;
use crate::specialize::{distinct, specialize};
use crate::times::times;
use crate::trouble::Trouble;

type Answer<T> = std::result::Result<T, Trouble>;

/// The kernel that runs the statements of `poly` in the order of `tree`.
///
/// # Errors
/// `E0601` when isl takes too long, `E0704` for a tree that does not fit the poly, `E0732` for a
/// loop that is taken or shared out without a block program, typing errors of a statement.
pub fn lower(poly: &Poly, tree: &Tree, source: &Source) -> Result<Kernel> {
    lower_within(poly, tree, source, u32::MAX)
}

/// [`lower`] with a limit on isl's operations.
pub(crate) fn lower_within(
    poly: &Poly,
    tree: &Tree,
    source: &Source,
    limit: u32,
) -> Result<Kernel> {
    if block::wanted(tree) {
        let model = Model::new(poly)
            .map_err(|t| with_source(t.explain("planning the block program"), source))?;
        return block::lower(&model, tree, source, limit);
    }
    block::taking::none(tree).map_err(|d| with_source(d, source))?;
    block::streaming::none(tree).map_err(|d| with_source(d, source))?;
    block::pingpong::none(tree).map_err(|d| with_source(d, source))?;
    let kernel = generated(None, poly, tree, source, limit)?;
    match lanes::apart(poly, tree) {
        Some(apart) if lanes::guarded(&kernel.body) => generated(None, poly, &apart, source, limit),
        Some(_) | None => Ok(kernel),
    }
}

/// isl's loops as a kernel; a model of a poly that this one was made of may have some of its sets.
pub(crate) fn generated(
    known: Option<&Model>,
    poly: &Poly,
    tree: &Tree,
    source: &Source,
    limit: u32,
) -> Result<Kernel> {
    times(poly, tree).map_err(|d| with_source(d, source))?;
    let stores =
        poly.statements.iter().map(|s| typed(poly, source, s)).collect::<Result<Vec<_>>>()?;
    let make = || -> Answer<Kernel> {
        let model = match known {
            Some(known) => Model::after(known, &Arc::new(poly.clone()))?,
            None => Model::new(poly)?,
        };
        let ctx = model.ctx.clone();
        let answer = || -> Answer<Kernel> {
            let ast = generate(&model, tree)?;
            let params = poly.params.iter().map(|p| p.name.clone());
            let mut reader = Reader {
                model: &model,
                stores: &stores,
                loops: tree.loops(),
                taken: params.clone().collect(),
                renamed: BTreeMap::new(),
            };
            let body = match &ast {
                Some(ast) => reader.node(ast, None)?,
                None => Vec::new(),
            };
            let mut taken = params.clone().collect();
            let whole = poly.arrays.iter().filter(|a| !poly.scopes.contains_key(&a.name));
            let buffers = whole.map(|a| Buffer {
                name: a.name.clone(),
                role: a.role.clone(),
                dtype: a.dtype,
                shape: a.shape.iter().map(|e| substitute(e, &|_| None)).collect(),
                of: poly.folded.get(&a.name).cloned(),
            });
            Ok(Kernel {
                name: "main".into(),
                params: params.collect(),
                buffers: buffers.collect(),
                body: promised(
                    poly,
                    distinct(specialize(add_locals(simplify_body(body), poly, tree)), &mut taken),
                ),
            })
        };
        ctx.with_deadline(LIMIT, || ctx.with_quota(limit, answer))
    };
    make().map_err(|t| with_source(t.explain("generating loops"), source))
}

/// The body, run only for sizes that the nest promises: isl leaves out what follows from promises,
/// and a kernel's accesses must be in bounds for all sizes.
fn promised(poly: &Poly, body: Vec<KernelNode>) -> Vec<KernelNode> {
    let open = |e: &Affine| {
        e.vars().iter().any(|v| poly.params.iter().any(|p| p.name == *v && p.value.is_none()))
    };
    let facts = poly.assumptions.iter().filter(|fact| open(&fact.expr));
    let conditions: Vec<Condition> = facts
        .map(|fact| {
            let value = substitute(&fact.expr, &|_| None);
            let compare = if fact.equality { Condition::Eq } else { Condition::Ge };
            compare(value, Index::Const(0))
        })
        .collect();
    if conditions.is_empty() || body.is_empty() {
        return body;
    }
    vec![KernelNode::If(simplify_condition(&Condition::All(conditions)), body, Vec::new())]
}

/// A statement as a store; accesses to arrays that live inside a loop lose their coordinates.
pub(crate) fn typed(poly: &Poly, source: &Source, s: &PolyStatement) -> Result<Store<Affine>> {
    let mut statement = s.statement.clone();
    let mut inside = |access: &mut Access| {
        if let Some(scope) = poly.scopes.get(&access.array) {
            access.indices.drain(..scope.coordinates);
        }
    };
    statement.visit_accesses_mut(&mut inside);
    let mut store = type_statement_in(&poly.arrays, source, &statement)?;
    let same = |a: &Access| poly.array(&a.array).is_some_and(|a| a.dtype == store.dtype);
    if let (AssignOp::Set, Expr::Read(from)) = (statement.op, &statement.value)
        && (s.origin.is_none() || same(from))
    {
        // A copy moves bits: there is no type in which it is evaluated.
        let (array, indices) = (from.array.clone(), from.indices.clone());
        store.value = Typed { dtype: store.dtype, kind: TypedKind::Read { array, indices } };
    }
    Ok(store)
}

/// isl's loops for a tree; a mark above each loop holds its number in `tree.loops()`. Nothing
/// where no statement has an instance.
fn generate(model: &Model, tree: &Tree) -> Answer<Option<AstNode>> {
    let mut domain = UnionSet::empty(&model.ctx)?;
    for set in &model.domains {
        domain = domain.add_set(set)?;
    }
    if domain.is_empty()? {
        return Ok(None);
    }
    let root = ScheduleNode::from_domain(&domain)?;
    let swapped = planted(Bug::SwappedLoops).then(|| swap_loops(tree));
    let tree = swapped.as_ref().unwrap_or(tree);
    let schedule = insert(model, root.child(0)?, tree, &mut 0, false)?.schedule()?;
    let options = AstOptions { detect_min_max: true, ..AstOptions::default() };
    let build = AstBuild::from_context(&model.context)?.with_options(options);
    Ok(Some(build.node_from_schedule(&schedule)?))
}

/// The tree with the outermost two loops of each perfect nest exchanged.
fn swap_loops(tree: &Tree) -> Tree {
    match tree {
        Tree::Statement(_) => tree.clone(),
        Tree::Sequence(children) => Tree::Sequence(children.iter().map(swap_loops).collect()),
        Tree::Loop(outer) => match &*outer.body {
            Tree::Loop(inner) => {
                let body =
                    Box::new(Tree::Loop(TreeLoop { body: inner.body.clone(), ..outer.clone() }));
                Tree::Loop(TreeLoop { body, ..inner.clone() })
            }
            body @ (Tree::Sequence(_) | Tree::Statement(_)) => {
                Tree::Loop(TreeLoop { body: Box::new(swap_loops(body)), ..outer.clone() })
            }
        },
    }
}

/// Puts a subtree at a leaf, which is inside a loop over blocks or threads or not; the answer
/// stands at its top.
fn insert(
    model: &Model,
    at: ScheduleNode,
    tree: &Tree,
    next: &mut usize,
    launched: bool,
) -> Answer<ScheduleNode> {
    match tree {
        Tree::Loop(l) => {
            let mut rows = UnionMap::empty(&model.ctx)?;
            for (k, s) in model.poly.statements.iter().enumerate() {
                if let (Some(row), true) =
                    (l.rows.get(&s.statement.name), l.body.statements().contains(&s.statement.name))
                {
                    rows = rows.add_map(&model.rows(k, std::slice::from_ref(row))?)?;
                }
            }
            if rows.is_empty()? {
                // no instance runs in it, and isl knows no schedule of nothing
                *next += tree.loops().len();
                return Ok(at);
            }
            let mark = Id::new(&model.ctx, &format!("l{next}"))?;
            *next += 1;
            let partial = MultiUnionPwAff::from_union_map(&rows)?;
            let mut band = at.insert_partial_schedule(&partial)?;
            let maps = l.body.loops().iter().any(|l| l.marks.map.is_some());
            let together = l.marks.map.is_some() || launched && maps;
            if l.marks.unroll && maps {
                // an iteration of launches: each gets the bounds of its own number
                band = band.band_member_set_ast_loop_type(0, LoopType::Unroll)?;
            } else if together && l.body.statements().len() > 1 {
                // one launch for all of them, whose threads have guards and meet in every iteration
                band = band.band_member_set_ast_loop_type(0, LoopType::Atomic)?;
            }
            let marked = band.insert_mark(&mark)?;
            let launched = launched || l.marks.map.is_some();
            let body = insert(model, marked.child(0)?.child(0)?, &l.body, next, launched)?;
            Ok(body.parent()?.parent()?)
        }
        Tree::Sequence(children) if children.is_empty() => Ok(at),
        Tree::Sequence(children) => {
            let mut children: Vec<&Tree> = children.iter().collect();
            if planted(Bug::SwappedStatements) {
                children.swap(0, 1);
            }
            let mut filters = Vec::new();
            for child in &children {
                filters.push(universe(model, &child.statements())?);
            }
            let mut node = at.insert_sequence(&filters)?;
            for (position, child) in children.iter().enumerate() {
                let leaf = node.child(position)?.child(0)?;
                node = insert(model, leaf, child, next, launched)?.parent()?.parent()?;
            }
            Ok(node)
        }
        Tree::Statement(_) => Ok(at),
    }
}

/// All points of the statements' spaces.
fn universe(model: &Model, names: &[Name]) -> Answer<UnionSet> {
    let mut out = UnionSet::empty(&model.ctx)?;
    for (k, s) in model.poly.statements.iter().enumerate() {
        if names.contains(&s.statement.name) {
            out = out.union(&UnionSet::from_set(&model.domains[k])?.universe()?)?;
        }
    }
    Ok(out)
}

/// Reads isl's code.
struct Reader<'a> {
    model: &'a Model,
    stores: &'a [Store<Affine>],
    loops: Vec<&'a TreeLoop>,
    /// Names that are not free at this place.
    taken: BTreeSet<Name>,
    /// What isl's iterators stand for at this place.
    renamed: BTreeMap<String, Index>,
}

impl Reader<'_> {
    /// The nodes of a piece of code; `label` is the loop of the mark around it, if that is still
    /// to come.
    fn node(&mut self, node: &AstNode, label: Option<usize>) -> Answer<Vec<KernelNode>> {
        match node.kind()? {
            AstNodeKind::Block(children) => {
                let mut out = Vec::new();
                for child in &children {
                    out.extend(self.node(child, label)?);
                }
                Ok(out)
            }
            AstNodeKind::Mark { id, node } => {
                let number = id.get(1..).and_then(|n| n.parse().ok()).or(label);
                self.node(&node, number)
            }
            AstNodeKind::If { cond, then, otherwise } => {
                let condition = simplify_condition(&self.condition(&cond)?);
                let then = self.node(&then, label)?;
                let otherwise = match otherwise {
                    Some(node) => self.node(&node, label)?,
                    None => Vec::new(),
                };
                Ok(vec![KernelNode::If(condition, then, otherwise)])
            }
            AstNodeKind::For { iterator, init, body, degenerate: true, .. } => {
                let value = self.index(&init)?;
                self.under(iterator, value, &body)
            }
            AstNodeKind::For { iterator, init, cond, inc, body, degenerate: false } => {
                let (Some(cond), Some(inc)) = (cond, inc) else {
                    return Err(unexpected("a loop without a condition"));
                };
                let lower = self.index(&init)?;
                let upper = self.end(&iterator, &cond)?;
                let AstExprKind::Int(step) = inc.kind()? else {
                    return Err(unexpected("a step that is no number"));
                };
                let (label, mode) = self.label(label);
                let var = self.fresh(&label);
                let body = self.under(iterator, Index::Var(var.clone()), &body)?;
                self.taken.remove(&var);
                Ok(vec![KernelNode::Loop(KernelLoop {
                    var,
                    label,
                    lower,
                    upper,
                    step,
                    mode,
                    body,
                })])
            }
            AstNodeKind::User(call) => Ok(vec![KernelNode::Store(self.store(&call)?)]),
        }
    }

    /// The code of a loop's body, in which isl's iterator has this value.
    fn under(&mut self, iterator: String, value: Index, body: &AstNode) -> Answer<Vec<KernelNode>> {
        let outer = self.renamed.insert(iterator.clone(), value);
        let nodes = self.node(body, None);
        match outer {
            Some(value) => self.renamed.insert(iterator, value),
            None => self.renamed.remove(&iterator),
        };
        nodes
    }

    /// The name and mode of the loop with this number.
    fn label(&self, number: Option<usize>) -> (Name, LoopMode) {
        match number.and_then(|n| self.loops.get(n)) {
            Some(l) => (l.name.clone(), mode(&l.marks)),
            None => ("loop".into(), LoopMode::Serial),
        }
    }

    /// A variable for a loop, different from the parameters and the loops around it.
    fn fresh(&mut self, label: &str) -> Name {
        let base = label.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let mut name: Name = base.as_str().into();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}").into();
        }
        name
    }

    /// The exclusive end that a loop condition on `iterator` states.
    fn end(&self, iterator: &str, cond: &AstExpr) -> Answer<Index> {
        let AstExprKind::Op { op, args } = cond.kind()? else {
            return Err(unexpected("a loop condition that is no comparison"));
        };
        let [left, right] = args.as_slice() else {
            return Err(unexpected("a loop condition that is no comparison"));
        };
        let on_left = matches!(left.kind()?, AstExprKind::Id(name) if name == iterator);
        match op {
            AstOp::Lt if on_left => self.index(right),
            AstOp::Le if on_left && planted(Bug::LoopEndOffByOne) => self.index(right),
            AstOp::Le if on_left => {
                let last = self.index(right)?;
                Ok(simplify(&Index::Add(Box::new(last), Box::new(Index::Const(1)))))
            }
            AstOp::And | AstOp::AndThen => {
                let (a, b) = (self.end(iterator, left)?, self.end(iterator, right)?);
                Ok(simplify(&Index::Min(Box::new(a), Box::new(b))))
            }
            _ => Err(unexpected("a loop condition that is no upper bound")),
        }
    }

    fn store(&self, call: &AstExpr) -> Answer<Store<Index>> {
        let AstExprKind::Op { op: AstOp::Call, args } = call.kind()? else {
            return Err(unexpected("a statement that is no call"));
        };
        let Some((AstExprKind::Id(name), values)) =
            args.split_first().map(|(f, rest)| f.kind().map(|f| (f, rest))).transpose()?
        else {
            return Err(unexpected("a call of no statement"));
        };
        let number = name.get(1..).and_then(|n| n.parse::<usize>().ok());
        let Some((store, s)) =
            number.and_then(|k| self.stores.get(k).zip(self.model.poly.statements.get(k)))
        else {
            return Err(unexpected("a call of an unknown statement"));
        };
        let values = values.iter().map(|v| self.index(v)).collect::<Answer<Vec<_>>>()?;
        let lookup = |name: &str| {
            let at = s.iters.iter().position(|i| &**i == name)?;
            values.get(at).cloned()
        };
        Ok(store.map_index(&mut |e| substitute(e, &lookup)))
    }

    fn index(&self, e: &AstExpr) -> Answer<Index> {
        Ok(simplify(&self.raw_index(e)?))
    }

    fn raw_index(&self, e: &AstExpr) -> Answer<Index> {
        let (op, args) = match e.kind()? {
            AstExprKind::Int(value) => return Ok(Index::Const(value)),
            AstExprKind::Id(name) => return self.variable(&name),
            AstExprKind::Op { op, args } => (op, args),
        };
        match op {
            AstOp::Cond | AstOp::Select => {
                let [c, a, b] = args.as_slice() else {
                    return Err(unexpected("a selection"));
                };
                let (a, b) = (Box::new(self.index(a)?), Box::new(self.index(b)?));
                return Ok(Index::Select(Box::new(self.condition(c)?), a, b));
            }
            AstOp::Minus => {
                let [a] = args.as_slice() else {
                    return Err(unexpected("a negation"));
                };
                return Ok(Index::Mul(-1, Box::new(self.index(a)?)));
            }
            _ => {}
        }
        let mut values =
            args.iter().map(|a| self.index(a)).collect::<Answer<Vec<_>>>()?.into_iter();
        let first = values.next().ok_or_else(|| unexpected("an operation on nothing"))?;
        values.try_fold(first, |a, b| binary(op, a, b))
    }

    fn variable(&self, name: &str) -> Answer<Index> {
        if let Some(value) = self.renamed.get(name) {
            return Ok(value.clone());
        }
        let number = name.strip_prefix('p').and_then(|n| n.parse::<usize>().ok());
        let param = number.and_then(|k| self.model.poly.params.get(k));
        param
            .map(|p| Index::Var(p.name.clone()))
            .ok_or_else(|| unexpected("a variable that is neither an iterator nor a parameter"))
    }

    fn condition(&self, e: &AstExpr) -> Answer<Condition> {
        let (op, args) = match e.kind()? {
            AstExprKind::Op { op, args } => (op, args),
            AstExprKind::Int(value) => return Ok(crate::index::constant(value != 0)),
            AstExprKind::Id(_) => return Err(unexpected("a variable as a condition")),
        };
        let parts = || args.iter().map(|a| self.condition(a)).collect::<Answer<Vec<_>>>();
        match op {
            AstOp::And | AstOp::AndThen => return Ok(Condition::All(parts()?)),
            AstOp::Or | AstOp::OrElse => return Ok(Condition::Any(parts()?)),
            _ => {}
        }
        let [a, b] = args.as_slice() else {
            return Err(unexpected("a condition"));
        };
        let (a, b) = (self.index(a)?, self.index(b)?);
        let above = |a: Index| Index::Add(Box::new(a), Box::new(Index::Const(1)));
        match op {
            AstOp::Eq => Ok(Condition::Eq(a, b)),
            AstOp::Ge if planted(Bug::GuardOffByOne) => Ok(Condition::Ge(above(a), b)),
            AstOp::Ge => Ok(Condition::Ge(a, b)),
            AstOp::Le => Ok(Condition::Ge(b, a)),
            AstOp::Gt => Ok(Condition::Ge(a, above(b))),
            AstOp::Lt => Ok(Condition::Ge(b, above(a))),
            _ => Err(unexpected("a condition")),
        }
    }
}

/// An operation of two operands; a divisor and one factor must be numbers.
fn binary(op: AstOp, a: Index, b: Index) -> Answer<Index> {
    let number = |index: &Index| match index {
        Index::Const(value) => Ok(*value),
        _ => Err(unexpected("a product or division of two variables")),
    };
    let (left, right) = (Box::new(a.clone()), Box::new(b.clone()));
    Ok(match op {
        AstOp::Add => Index::Add(left, right),
        AstOp::Sub => Index::Sub(left, right),
        AstOp::Min => Index::Min(left, right),
        AstOp::Max => Index::Max(left, right),
        AstOp::Mul => match (&a, &b) {
            (Index::Const(factor), _) => Index::Mul(*factor, right),
            (_, b) => Index::Mul(number(b)?, left),
        },
        // The remainder of `ZdivR` is only compared with zero, so its sign does not matter.
        AstOp::PdivR | AstOp::ZdivR => Index::Mod(left, positive(number(&b)?)?),
        AstOp::Div | AstOp::FdivQ | AstOp::PdivQ => Index::FloorDiv(left, positive(number(&b)?)?),
        _ => return Err(unexpected("an operation in an index")),
    })
}

fn positive(divisor: i64) -> Answer<i64> {
    if divisor > 0 { Ok(divisor) } else { Err(unexpected("a divisor that is not positive")) }
}

fn mode(marks: &Marks) -> LoopMode {
    if let Some(place) = marks.map {
        return LoopMode::Mapped(place);
    }
    match (marks.parallel, marks.vectorize, marks.unroll) {
        (true, _, _) => LoopMode::Parallel,
        (false, true, _) => LoopMode::Vector,
        (false, false, true) => LoopMode::Unroll,
        (false, false, false) => LoopMode::Serial,
    }
}

/// Code of isl that this reader does not know.
fn unexpected(what: &str) -> Trouble {
    Trouble::Isl(warploom_isl::Error {
        call: "isl_ast_build_node_from_schedule",
        message: format!("the generated code has {what}"),
        location: None,
        kind: warploom_isl::ErrorKind::Internal,
    })
}

#[cfg(test)]
mod tests;
