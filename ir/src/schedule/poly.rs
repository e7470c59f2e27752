//! Nest -> [`Poly`] and the [`Tree`] of the text's own order.
//!
//! In: a nest. Out: statements with iteration domains, and a tree with one loop per loop of the
//! text. Requires: names are unique as the parser leaves them.
//! Keeps: the tree runs the same instances in the same order as the text; a descending loop over
//! `i` has the row `-i`.
//! Why here: every tool that asks about the order of a nest starts from these two values.

use std::collections::{BTreeMap, BTreeSet};

use super::{Marks, Poly, PolyStatement, Tree, TreeLoop};
use crate::affine::{Affine, Name, Overflow};
use crate::diag::{Diagnostic, Result, Span};
use crate::nest::{Constraint, Loop, Nest, Node, Statement};

impl Poly {
    /// The polyhedral form of a nest and the order of its text.
    ///
    /// # Errors
    /// `E0602` where a bound overflows, `E0603` for a stepped loop whose first value is not one
    /// affine expression.
    pub fn from_nest(nest: &Nest) -> Result<(Self, Tree)> {
        let mut builder = Builder {
            nest,
            loops: Vec::new(),
            domain: Vec::new(),
            statements: Vec::new(),
            shared: shared_names(nest),
        };
        let tree = builder.children(&nest.body)?;
        let poly = Self {
            params: nest.params.clone(),
            assumptions: nest.assumptions.clone(),
            arrays: nest.arrays.clone(),
            statements: builder.statements,
            scopes: BTreeMap::new(),
            folded: BTreeMap::new(),
        };
        Ok((poly, tree))
    }
}

/// The names that more than one loop has.
fn shared_names(nest: &Nest) -> BTreeSet<Name> {
    fn walk(nodes: &[Node], seen: &mut BTreeSet<Name>, twice: &mut BTreeSet<Name>) {
        for node in nodes {
            match node {
                Node::Loop(l) => {
                    // A loop without statements is not in the tree.
                    if first_statement(&l.body).is_some() && !seen.insert(l.var.clone()) {
                        twice.insert(l.var.clone());
                    }
                    walk(&l.body, seen, twice);
                }
                Node::If(_, body) => walk(body, seen, twice),
                Node::Statement(_) => {}
            }
        }
    }
    let mut twice = BTreeSet::new();
    walk(&nest.body, &mut BTreeSet::new(), &mut twice);
    twice
}

fn first_statement(nodes: &[Node]) -> Option<&Name> {
    nodes.iter().find_map(|node| match node {
        Node::Loop(l) => first_statement(&l.body),
        Node::If(_, body) => first_statement(body),
        Node::Statement(s) => Some(&s.name),
    })
}

struct Builder<'a> {
    nest: &'a Nest,
    loops: Vec<Name>,
    domain: Vec<Constraint>,
    statements: Vec<PolyStatement>,
    shared: BTreeSet<Name>,
}

impl Builder<'_> {
    fn children(&mut self, nodes: &[Node]) -> Result<Tree> {
        let mut out = Vec::new();
        for node in nodes {
            match node {
                Node::Loop(l) => out.extend(self.enter(l)?),
                Node::If(constraints, body) => {
                    let before = self.domain.len();
                    self.domain.extend(constraints.iter().cloned());
                    match self.children(body)? {
                        Tree::Sequence(inner) => out.extend(inner),
                        single @ (Tree::Loop(_) | Tree::Statement(_)) => out.push(single),
                    }
                    self.domain.truncate(before);
                }
                Node::Statement(s) => {
                    self.place(s);
                    out.push(Tree::Statement(s.name.clone()));
                }
            }
        }
        Ok(match <[Tree; 1]>::try_from(out) {
            Ok([single]) => single,
            Err(several) => Tree::Sequence(several),
        })
    }

    fn enter(&mut self, l: &Loop) -> Result<Option<Tree>> {
        let Some(first) = first_statement(&l.body).cloned() else {
            return Ok(None);
        };
        let before = self.domain.len();
        let bounds = self.bounds(l)?;
        self.domain.extend(bounds);
        self.loops.push(l.var.clone());
        let body = self.children(&l.body)?;
        self.loops.pop();
        self.domain.truncate(before);
        let var = Affine::var(l.var.clone());
        let row =
            if l.descending { var.scale(-1).map_err(|o| self.overflow(o, l.span))? } else { var };
        let rows: BTreeMap<Name, Affine> =
            body.statements().into_iter().map(|s| (s, row.clone())).collect();
        let name = if self.shared.contains(&l.var) {
            format!("{first}.{}", l.var).into()
        } else {
            l.var.clone()
        };
        let body = Box::new(body);
        Ok(Some(Tree::Loop(TreeLoop { name, rows, marks: Marks::default(), body })))
    }

    fn overflow(&self, error: Overflow, span: Span) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::input("E0602", format!("the bounds cannot be represented: {error}"))
                .in_source(&self.nest.source)
                .label(span, "this loop")
                .help("use smaller constants"),
        )
    }

    /// The constraints of one loop on its variable.
    fn bounds(&self, l: &Loop) -> Result<Vec<Constraint>> {
        let fail = |error| self.overflow(error, l.span);
        let var = Affine::var(l.var.clone());
        let mut out = Vec::new();
        for lower in &l.lower {
            out.push(Constraint::non_negative(var.sub(lower).map_err(fail)?));
        }
        for upper in &l.upper {
            let last = upper.add_const(-1).map_err(fail)?;
            out.push(Constraint::non_negative(last.sub(&var).map_err(fail)?));
        }
        if l.step > 1 {
            out.extend(self.stride(l, &var)?);
        }
        Ok(out)
    }

    /// `var` is a whole number of steps from the loop's first value.
    fn stride(&self, l: &Loop, var: &Affine) -> Result<Option<Constraint>> {
        let fail = |error| self.overflow(error, l.span);
        let starts = if l.descending { &l.upper } else { &l.lower };
        let Some(first) = starts.first() else {
            return Ok(None);
        };
        for other in &starts[1..] {
            let apart = other.sub(first).map_err(fail)?.modulo(l.step).map_err(fail)?;
            if apart.as_constant() != Some(0) {
                return Err(Box::new(
                    Diagnostic::new(
                        "E0603",
                        crate::diag::Blame::Unsupported,
                        format!("the first value of the stepped loop `{}` is not affine", l.var),
                    )
                    .in_source(&self.nest.source)
                    .label(l.span, "starts at one of several bounds")
                    .help("give a stepped loop one starting bound and guard its body with `if`"),
                ));
            }
        }
        let from = var.sub(first).map_err(fail)?;
        // Descending: the first value is `upper - 1`.
        let from = if l.descending { from.add_const(1).map_err(fail)? } else { from };
        Ok(Some(Constraint::zero(from.modulo(l.step).map_err(fail)?)))
    }

    fn place(&mut self, statement: &Statement) {
        let iters = self.loops.clone();
        let origin = iters.iter().cloned().map(Affine::var).collect();
        self.statements.push(PolyStatement {
            statement: statement.clone(),
            iters,
            domain: self.domain.clone(),
            origin: Some((statement.name.clone(), origin)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::{Access, Expr, Literal};
    use crate::nest::AssignOp;

    fn statement(name: &str) -> Node {
        let target = Access { array: "A".into(), indices: Vec::new(), span: Span::NONE };
        let zero = Expr::Literal(Literal::Int(0));
        Node::Statement(Statement::plain(name.into(), target, AssignOp::Set, zero))
    }

    fn over(var: &str, step: i64, descending: bool, body: Vec<Node>) -> Node {
        Node::Loop(Loop {
            var: var.into(),
            lower: vec![Affine::constant(0)],
            upper: vec![Affine::var("N")],
            step,
            descending,
            body,
            span: Span::NONE,
        })
    }

    #[test]
    fn loops_of_one_name_are_qualified() {
        let body = vec![
            over("i", 1, false, vec![statement("S0")]),
            over("i", 1, true, vec![over("j", 1, false, vec![statement("S1")])]),
        ];
        let (_, tree) = Poly::from_nest(&Nest { body, ..Nest::default() }).unwrap();
        let names: Vec<_> = tree.loops().iter().map(|l| l.name.to_string()).collect();
        assert_eq!(names, ["S0.i", "S1.i", "j"]);
        assert_eq!(tree.find("S1.i").unwrap().rows["S1"].to_string(), "-i");
    }

    #[test]
    fn a_step_is_a_remainder() {
        let body = vec![over("i", 3, true, vec![statement("S0")])];
        let (poly, _) = Poly::from_nest(&Nest { body, ..Nest::default() }).unwrap();
        let inside = |i: i64| {
            poly.statements[0]
                .domain
                .iter()
                .all(|c| c.holds(&|name| Some(if name == "i" { i } else { 8 })).unwrap())
        };
        let points: Vec<i64> = (-3..12).filter(|&i| inside(i)).collect();
        assert_eq!(points, [1, 4, 7]);
    }

    #[test]
    fn an_empty_loop_is_dropped() {
        let body = vec![over("i", 1, false, Vec::new()), statement("S0")];
        let (_, tree) = Poly::from_nest(&Nest { body, ..Nest::default() }).unwrap();
        assert_eq!(tree, Tree::Statement("S0".into()));
    }
}
