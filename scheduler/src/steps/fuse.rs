//! `fuse a, b`: two loops next to each other become one.
//!
//! `seq { a { X } b { Y } }` -> `a { seq { X Y } }`; with `shift d` the rows of `b` gain d, so that
//! its iterations come d later.
//! Legal: if the new order keeps the dependences.
//! Errors: `E0712` for loops that do not follow each other in one sequence, `E0714` for a marked
//! loop.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::planted::{Bug, planted};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Tree, TreeLoop};

use super::{overflow, refuse, resolve, sequence, unmarked};

/// Fuses `first` and `second` into a loop of this name, by default the first one's.
pub(crate) fn fuse(
    tree: &Tree,
    first: &Ref,
    second: &Ref,
    shift: i64,
    name: Option<&Ref>,
) -> Result<Tree> {
    let (a, b) = (resolve(tree, first)?, resolve(tree, second)?);
    if a == b {
        return Err(refuse(second.span, format!("`fuse` names loop `{a}` twice")));
    }
    for (r, n) in [(first, &a), (second, &b)] {
        unmarked(r, tree.find(n).expect("a resolved loop exists"), "fuse")?;
    }
    let Some(found) = siblings(tree, &a, &b) else {
        let message = format!("`{a}` and `{b}` do not follow each other in one sequence");
        let help = "fuse or distribute the loops around them first";
        return Err(Box::new(refuse(second.span, message).help(help)));
    };
    match found {
        Pair::Adjacent => {}
        Pair::Swapped => {
            let message = format!("`{b}` runs before `{a}`");
            let help = format!("write `fuse {b}, {a}`");
            return Err(Box::new(refuse(second.span, message).help(help)));
        }
        Pair::Apart(statement) => {
            let message = format!("statement `{statement}` is between `{a}` and `{b}`");
            return Err(refuse(second.span, message));
        }
    }
    let called = name.map_or_else(|| a.clone(), |r| r.name.clone());
    join(tree.clone(), &a, &mut |x, y| merge(x, y, shift, called.clone(), second))
}

fn merge(x: TreeLoop, y: TreeLoop, shift: i64, name: Name, at: &Ref) -> Result<Tree> {
    let shift = if planted(Bug::FuseShift) { 0 } else { shift };
    let mut rows = x.rows;
    for (statement, row) in y.rows {
        rows.insert(statement, row.add_const(shift).map_err(overflow(at.span))?);
    }
    let body = Box::new(sequence(vec![*x.body, *y.body]));
    Ok(Tree::Loop(TreeLoop { name, rows, marks: x.marks, body }))
}

enum Pair {
    Adjacent,
    Swapped,
    Apart(Name),
}

fn is_loop(tree: &Tree, name: &Name) -> bool {
    matches!(tree, Tree::Loop(l) if l.name == *name)
}

/// How two loops stand in the sequence that holds both; `None` if there is none.
fn siblings(tree: &Tree, a: &Name, b: &Name) -> Option<Pair> {
    match tree {
        Tree::Loop(l) => siblings(&l.body, a, b),
        Tree::Statement(_) => None,
        Tree::Sequence(children) => {
            let place = |n: &Name| children.iter().position(|c| is_loop(c, n));
            match (place(a), place(b)) {
                (Some(x), Some(y)) if y == x + 1 => Some(Pair::Adjacent),
                (Some(x), Some(y)) if y < x => Some(Pair::Swapped),
                (Some(x), Some(_)) => {
                    children[x + 1].statements().into_iter().next().map(Pair::Apart)
                }
                _ => children.iter().find_map(|c| siblings(c, a, b)),
            }
        }
    }
}

/// Replaces the loop `a` and the loop behind it by what `f` makes of them.
fn join(
    tree: Tree,
    a: &Name,
    f: &mut dyn FnMut(TreeLoop, TreeLoop) -> Result<Tree>,
) -> Result<Tree> {
    match tree {
        Tree::Loop(l) => Ok(Tree::Loop(TreeLoop { body: Box::new(join(*l.body, a, f)?), ..l })),
        leaf @ Tree::Statement(_) => Ok(leaf),
        Tree::Sequence(children) => {
            let mut out = Vec::new();
            let mut rest = children.into_iter();
            while let Some(child) = rest.next() {
                out.push(match child {
                    Tree::Loop(x) if x.name == *a => match rest.next() {
                        Some(Tree::Loop(y)) => f(x, y)?,
                        Some(other) => sequence(vec![Tree::Loop(x), other]),
                        None => Tree::Loop(x),
                    },
                    other => join(other, a, f)?,
                });
            }
            Ok(sequence(out))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    fn run(text: &str, a: &str, b: &str, shift: i64) -> Result<Tree> {
        fuse(&t(text), &Ref::new(a), &Ref::new(b), shift, None)
    }

    const THREE: &str = "loop S0.i [S0: i] { S0 } loop S1.i [S1: i] { loop j [S1: j] { S1 } } \
                         loop S2.i [S2: i] { S2 }";

    #[test]
    fn neighbours_become_one() {
        becomes(
            run(THREE, "S0.i", "S1.i", 0),
            "loop S0.i [S0: i, S1: i] { S0 loop j [S1: j] { S1 } } loop S2.i [S2: i] { S2 }",
        );
        becomes(
            run("loop o [S: o, T: o] { loop a [S: i] { S } loop b [T: i] { T } }", "a", "b", 2),
            "loop o [S: o, T: o] { loop a [S: i, T: i + 2] { S T } }",
        );
    }

    #[test]
    fn others_are_refused() {
        refused(run(THREE, "S1.i", "S0.i", 0), "E0712", "write `fuse S0.i, S1.i`");
        refused(run(THREE, "S0.i", "S2.i", 0), "E0712", "statement `S1` is between");
        refused(run(THREE, "S0.i", "j", 0), "E0712", "do not follow each other");
        refused(run(THREE, "S0.i", "S0.i", 0), "E0712", "twice");
        let marked = "loop a [S: i] vectorize { S } loop b [T: i] { T }";
        refused(run(marked, "a", "b", 0), "E0714", "marked `vectorize`");
    }
}
