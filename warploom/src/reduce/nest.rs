//! Smaller nests: without a statement, loop, guard, dimension or term, with smaller numbers.
//!
//! In: a nest. Out: candidates with one edit each; whether they mean anything is asked by others.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::expr::{Access, Expr, Literal};
use warploom_ir::nest::{AssignOp, Constraint, Loop, Nest, Node, Order, Role, Statement};

/// Nests without a statement, a loop, a guard, an array, a promise.
pub(super) fn cuts(nest: &Nest) -> Vec<Nest> {
    let mut out: Vec<Nest> =
        bodies(&nest.body, &cut_node).into_iter().map(|b| with(nest, b)).collect();
    let written = used(nest);
    for k in 0..nest.arrays.len() {
        if !written.contains(&nest.arrays[k].name) {
            let mut less = nest.clone();
            let name = less.arrays.remove(k).name;
            less.ranges.retain(|r| r.array != name);
            out.push(less);
        }
    }
    for array in &nest.arrays {
        out.extend(without_array(nest, &array.name));
    }
    for k in 0..nest.params.len() {
        let mut less = nest.clone();
        less.params.remove(k);
        out.push(less);
    }
    for k in 0..nest.assumptions.len() {
        let mut less = nest.clone();
        less.assumptions.remove(k);
        out.push(less);
    }
    for k in 0..nest.ranges.len() {
        let mut less = nest.clone();
        less.ranges.remove(k);
        out.push(less);
    }
    out.extend(without_dimensions(nest));
    out
}

/// Nests with simpler statements and bounds, and smaller sizes.
pub(super) fn smaller(nest: &Nest) -> Vec<Nest> {
    let mut out = Vec::new();
    for (k, param) in nest.params.iter().enumerate() {
        if let Some(value) = param.value {
            for less in [1, 2, value / 2, value - 1].into_iter().filter(|&v| 0 < v && v < value) {
                let mut nest = nest.clone();
                nest.params[k].value = Some(less);
                out.push(nest);
            }
        }
    }
    out.extend(bodies(&nest.body, &simpler_node).into_iter().map(|b| with(nest, b)));
    for (k, array) in nest.arrays.iter().enumerate() {
        for (d, extent) in array.shape.iter().enumerate() {
            for simple in affines(extent) {
                let mut nest = nest.clone();
                nest.arrays[k].shape[d] = simple;
                out.push(nest);
            }
        }
    }
    out
}

/// The nest without an array and the statements that write it; `None` if others read it.
fn without_array(nest: &Nest, array: &Name) -> Option<Nest> {
    let mut less = nest.clone();
    less.body = not_writing(&less.body, array);
    less.arrays.retain(|a| a.name != *array);
    less.ranges.retain(|r| r.array != *array);
    (!less.body.is_empty() && !used(&less).contains(array)).then_some(less)
}

/// Nodes without the statements that write an array, and without what is empty then.
fn not_writing(nodes: &[Node], array: &Name) -> Vec<Node> {
    let left = nodes.iter().map(|node| match node {
        Node::Statement(s) => (s.target.array != *array).then(|| node.clone()),
        Node::If(conditions, body) => {
            let body = not_writing(body, array);
            (!body.is_empty()).then(|| Node::If(conditions.clone(), body))
        }
        Node::Loop(l) => {
            let body = not_writing(&l.body, array);
            (!body.is_empty()).then(|| Node::Loop(Loop { body, ..l.clone() }))
        }
    });
    left.flatten().collect()
}

fn with(nest: &Nest, body: Vec<Node>) -> Nest {
    Nest { body, ..nest.clone() }
}

/// Names of the arrays that statements touch.
fn used(nest: &Nest) -> Vec<Name> {
    let mut out = Vec::new();
    for placed in nest.statements() {
        out.push(placed.statement.target.array.clone());
        out.extend(placed.statement.reads().into_iter().map(|a| a.array.clone()));
    }
    out
}

/// Every body with one node replaced by what `edit` offers for it.
fn bodies(nodes: &[Node], edit: &dyn Fn(&Node) -> Vec<Vec<Node>>) -> Vec<Vec<Node>> {
    let mut out = Vec::new();
    for (k, node) in nodes.iter().enumerate() {
        let mut replace = |with: Vec<Node>| {
            let mut all = nodes.to_vec();
            all.splice(k..=k, with);
            out.push(all);
        };
        edit(node).into_iter().for_each(&mut replace);
        match node {
            Node::Statement(_) => {}
            Node::Loop(l) => {
                for body in bodies(&l.body, edit) {
                    replace(vec![Node::Loop(Loop { body, ..l.clone() })]);
                }
            }
            Node::If(conditions, body) => {
                for body in bodies(body, edit) {
                    replace(vec![Node::If(conditions.clone(), body)]);
                }
            }
        }
    }
    out
}

/// A node left out, or replaced by its body.
fn cut_node(node: &Node) -> Vec<Vec<Node>> {
    let mut out = vec![Vec::new()];
    match node {
        Node::Statement(_) => {}
        Node::If(_, body) => out.push(body.clone()),
        Node::Loop(l) => {
            let ends = l.upper.iter().filter_map(|e| e.add_const(-1).ok());
            for value in l.lower.iter().cloned().chain(ends) {
                out.extend(at_value(&l.body, &l.var, &value));
            }
        }
    }
    out
}

/// A body with an iterator replaced by a value.
fn at_value(body: &[Node], var: &Name, value: &Affine) -> Option<Vec<Node>> {
    let e = |e: &Affine| e.substitute(&|v| (v == &**var).then(|| value.clone())).ok();
    map_nodes(body, &e)
}

/// Nodes with every affine expression changed.
fn map_nodes(nodes: &[Node], f: &dyn Fn(&Affine) -> Option<Affine>) -> Option<Vec<Node>> {
    let all = |list: &[Affine]| list.iter().map(f).collect::<Option<Vec<_>>>();
    let one = |node: &Node| {
        Some(match node {
            Node::Loop(l) => Node::Loop(Loop {
                lower: all(&l.lower)?,
                upper: all(&l.upper)?,
                body: map_nodes(&l.body, f)?,
                ..l.clone()
            }),
            Node::If(conditions, body) => {
                let change =
                    |c: &Constraint| Some(Constraint { expr: f(&c.expr)?, equality: c.equality });
                let conditions = conditions.iter().map(change).collect::<Option<_>>()?;
                Node::If(conditions, map_nodes(body, f)?)
            }
            Node::Statement(s) => {
                let mut s = s.clone();
                s.target.indices = all(&s.target.indices)?;
                s.value = map_expr(&s.value, f)?;
                s.guard = match &s.guard {
                    Some(guard) => Some(map_expr(guard, f)?),
                    None => None,
                };
                Node::Statement(s)
            }
        })
    };
    nodes.iter().map(one).collect()
}

fn map_expr(e: &Expr, f: &dyn Fn(&Affine) -> Option<Affine>) -> Option<Expr> {
    if let Expr::Index(index) = e {
        return Some(Expr::Index(f(index)?));
    }
    if let Expr::Read(access) = e {
        let indices = access.indices.iter().map(f).collect::<Option<_>>()?;
        return Some(Expr::Read(Access { indices, ..access.clone() }));
    }
    let parts = operands(e).into_iter().map(|part| map_expr(part, f)).collect::<Option<_>>()?;
    Some(with_operands(e, parts))
}

/// What an expression is made of.
fn operands(e: &Expr) -> Vec<&Expr> {
    match e {
        Expr::Literal(_) | Expr::Index(_) | Expr::Read(_) => Vec::new(),
        Expr::Unary(_, a) | Expr::Bitcast(_, a) | Expr::Cast { value: a, .. } => vec![a],
        Expr::Binary(_, a, b) => vec![a, b],
        Expr::Fma(a, b, c) | Expr::Select(a, b, c) => vec![a, b, c],
    }
}

/// The same operator on other operands, as many as it has.
fn with_operands(e: &Expr, parts: Vec<Expr>) -> Expr {
    let mut parts = parts.into_iter().map(Box::new);
    let mut next = || parts.next().expect("an operator keeps its number of operands");
    match e {
        Expr::Literal(_) | Expr::Index(_) | Expr::Read(_) => e.clone(),
        Expr::Unary(op, _) => Expr::Unary(*op, next()),
        Expr::Bitcast(to, _) => Expr::Bitcast(*to, next()),
        Expr::Cast { to, rounding, saturate, .. } => {
            Expr::Cast { to: *to, rounding: *rounding, saturate: *saturate, value: next() }
        }
        Expr::Binary(op, ..) => Expr::Binary(*op, next(), next()),
        Expr::Fma(..) => Expr::Fma(next(), next(), next()),
        Expr::Select(..) => Expr::Select(next(), next(), next()),
    }
}

/// Loops with simpler bounds, guards with fewer conditions, simpler statements.
fn simpler_node(node: &Node) -> Vec<Vec<Node>> {
    match node {
        Node::Statement(s) => statements(s).into_iter().map(|s| vec![Node::Statement(s)]).collect(),
        Node::Loop(l) => loops(l).into_iter().map(|l| vec![Node::Loop(l)]).collect(),
        Node::If(conditions, body) => {
            let mut out = Vec::new();
            for k in 0..conditions.len() {
                if conditions.len() > 1 {
                    let mut fewer = conditions.clone();
                    fewer.remove(k);
                    out.push(vec![Node::If(fewer, body.clone())]);
                }
                for expr in affines(&conditions[k].expr) {
                    let mut simple = conditions.clone();
                    simple[k].expr = expr;
                    out.push(vec![Node::If(simple, body.clone())]);
                }
            }
            out
        }
    }
}

fn loops(l: &Loop) -> Vec<Loop> {
    let mut out = Vec::new();
    out.push(Loop { descending: false, ..l.clone() });
    out.push(Loop { step: 1, ..l.clone() });
    out.push(Loop { lower: vec![Affine::constant(0)], ..l.clone() });
    out.extend([1, 2, 3].map(|n| Loop { upper: vec![Affine::constant(n)], ..l.clone() }));
    if l.lower.len() > 1 {
        out.extend(l.lower.iter().map(|e| Loop { lower: vec![e.clone()], ..l.clone() }));
    }
    if l.upper.len() > 1 {
        out.extend(l.upper.iter().map(|e| Loop { upper: vec![e.clone()], ..l.clone() }));
    }
    if let [only] = l.lower.as_slice() {
        out.extend(affines(only).into_iter().map(|e| Loop { lower: vec![e], ..l.clone() }));
    }
    if let [only] = l.upper.as_slice() {
        out.extend(affines(only).into_iter().map(|e| Loop { upper: vec![e], ..l.clone() }));
    }
    out
}

fn statements(s: &Statement) -> Vec<Statement> {
    let mut out = vec![
        Statement { guard: None, ..s.clone() },
        Statement { acc: None, ..s.clone() },
        Statement { keeps: None, ..s.clone() },
        Statement { strict: false, ..s.clone() },
        Statement { order: Order::Serial, ..s.clone() },
        Statement { op: AssignOp::Set, ..s.clone() },
    ];
    out.extend(exprs(&s.value).into_iter().map(|value| Statement { value, ..s.clone() }));
    if let Some(guard) = &s.guard {
        let simple = exprs(guard).into_iter();
        out.extend(simple.map(|guard| Statement { guard: Some(guard), ..s.clone() }));
    }
    for target in accesses(&s.target) {
        out.push(Statement { target, ..s.clone() });
    }
    out
}

/// An expression replaced by an operand or a number, or with one part simplified.
fn exprs(e: &Expr) -> Vec<Expr> {
    let parts: Vec<Expr> = operands(e).into_iter().cloned().collect();
    let mut out = parts.clone();
    match e {
        Expr::Literal(Literal::Int(v)) => {
            let less = [0, 1, v / 2].into_iter().filter(|n| n != v);
            out.extend(less.map(|n| Expr::Literal(Literal::Int(n))));
        }
        Expr::Index(index) => {
            out.push(Expr::Literal(Literal::Int(1)));
            out.extend(affines(index).into_iter().map(Expr::Index));
        }
        Expr::Read(access) => {
            out.push(Expr::Literal(Literal::Int(1)));
            out.extend(accesses(access).into_iter().map(Expr::Read));
        }
        Expr::Literal(_)
        | Expr::Unary(..)
        | Expr::Bitcast(..)
        | Expr::Cast { .. }
        | Expr::Binary(..)
        | Expr::Fma(..)
        | Expr::Select(..) => out.push(Expr::Literal(Literal::Int(1))),
    }
    for (k, part) in parts.iter().enumerate() {
        for simple in exprs(part) {
            let mut all = parts.clone();
            all[k] = simple;
            out.push(with_operands(e, all));
        }
    }
    out
}

fn accesses(access: &Access) -> Vec<Access> {
    let mut out = Vec::new();
    for (d, index) in access.indices.iter().enumerate() {
        for simple in affines(index) {
            let mut access = access.clone();
            access.indices[d] = simple;
            out.push(access);
        }
    }
    out
}

/// An affine expression as a number, without a term, or with a smaller one.
fn affines(e: &Affine) -> Vec<Affine> {
    let mut out = vec![Affine::constant(0), Affine::constant(1)];
    let terms: Vec<(Atom, i64)> = e.terms().map(|(a, c)| (a.clone(), c)).collect();
    let constant = e.constant_part();
    let mut offer = |terms: &[(Atom, i64)], constant| out.extend(sum(terms, constant));
    if constant != 0 {
        offer(&terms, 0);
        offer(&terms, constant / 2);
    }
    for (k, (atom, factor)) in terms.iter().enumerate() {
        let mut changed = |with: Option<(Atom, i64)>| {
            let mut terms = terms.clone();
            terms.splice(k..=k, with);
            offer(&terms, constant);
        };
        changed(None);
        if *factor != 1 {
            changed(Some((atom.clone(), 1)));
        }
        if let Atom::FloorDiv(inner, _) | Atom::Mod(inner, _) = atom {
            let mut terms = terms.clone();
            terms.remove(k);
            if let Some(rest) = sum(&terms, constant) {
                out.extend(inner.scale(*factor).and_then(|inner| rest.add(&inner)));
            }
            return out;
        }
    }
    out
}

/// The sum of these terms; nothing where a number does not fit.
fn sum(terms: &[(Atom, i64)], constant: i64) -> Option<Affine> {
    let mut out = Affine::constant(constant);
    for (atom, factor) in terms {
        let value = match atom {
            Atom::Var(name) => Affine::var(name.clone()),
            Atom::FloorDiv(e, d) => e.floor_div(*d).ok()?,
            Atom::Mod(e, d) => e.modulo(*d).ok()?,
        };
        out = out.add(&value.scale(*factor).ok()?).ok()?;
    }
    Some(out)
}

/// Nests with one dimension of one array gone.
fn without_dimensions(nest: &Nest) -> Vec<Nest> {
    let mut out = Vec::new();
    for k in 0..nest.arrays.len() {
        if matches!(nest.arrays[k].role, Role::Const(_)) {
            continue;
        }
        for d in 0..nest.arrays[k].shape.len() {
            let mut less = nest.clone();
            less.arrays[k].shape.remove(d);
            let name = less.arrays[k].name.clone();
            drop_index(&mut less.body, &name, d);
            out.push(less);
        }
    }
    out
}

fn drop_index(nodes: &mut [Node], array: &Name, d: usize) {
    for node in nodes {
        match node {
            Node::Loop(l) => drop_index(&mut l.body, array, d),
            Node::If(_, body) => drop_index(body, array, d),
            Node::Statement(s) => {
                let mut drop = |a: &mut Access| {
                    if a.array == *array && d < a.indices.len() {
                        a.indices.remove(d);
                    }
                };
                s.visit_accesses_mut(&mut drop);
            }
        }
    }
}
