//! `distribute l`: a loop over a sequence becomes a sequence of loops.
//!
//! `l { seq { X Y Z } }` -> `seq { X0.l { X } Y0.l { Y } Z0.l { Z } }`, each named after its first
//! statement; `distribute l at Y0` makes two: `seq { X0.l { X } Y0.l { seq { Y Z } } }`. Marks are
//! kept by each: what orders fewer instances stays parallel.
//! Legal: if the new order keeps the dependences.
//! Errors: `E0712` for a loop over something else, or a statement that does not start a part.

use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Tree, TreeLoop};

use super::{base, edit, refuse, resolve, sequence};

/// Distributes the loop; `names` is empty or holds one name per result.
pub(crate) fn distribute(
    tree: &Tree,
    target: &Ref,
    at: Option<&Ref>,
    names: &[Ref],
) -> Result<Tree> {
    let name = resolve(tree, target)?;
    let short = base(tree, &name).to_string();
    edit(tree.clone(), &name, &mut |l| {
        let parts = parts(&l, target, at)?;
        if !names.is_empty() && names.len() != parts.len() {
            let message =
                format!("`as` names {} loops, the result has {}", names.len(), parts.len());
            return Err(refuse(target.span, message));
        }
        let mut out = Vec::new();
        for (k, part) in parts.into_iter().enumerate() {
            let statements = part.statements();
            let name: Name = match (names.get(k), statements.first()) {
                (Some(given), _) => given.name.clone(),
                (None, Some(first)) => format!("{first}.{short}").into(),
                (None, None) => continue,
            };
            let rows = l.rows.iter().filter(|(s, _)| statements.contains(s));
            let rows = rows.map(|(s, row)| (s.clone(), row.clone())).collect();
            let marks = l.marks.clone();
            out.push(Tree::Loop(TreeLoop { name, rows, marks, body: Box::new(part) }));
        }
        Ok(sequence(out))
    })
}

/// The bodies of the resulting loops.
fn parts(l: &TreeLoop, target: &Ref, at: Option<&Ref>) -> Result<Vec<Tree>> {
    let Tree::Sequence(children) = &*l.body else {
        let message = format!("loop `{}` holds one thing: there is nothing to distribute", l.name);
        let error = refuse(target.span, message);
        return Err(match l.body.loops().first() {
            Some(inner) => Box::new(error.help(format!("first write `distribute {}`", inner.name))),
            None => error,
        });
    };
    let Some(at) = at else { return Ok(children.clone()) };
    let place = children.iter().position(|c| c.statements().contains(&at.name));
    match place {
        None => {
            let message = format!("loop `{}` holds no statement `{at}`", l.name);
            Err(refuse(at.span, message))
        }
        Some(0) => {
            let message = format!("`{at}` is in the first part of loop `{}`", l.name);
            let help = "name a statement of the part that the second loop starts with";
            Err(Box::new(refuse(at.span, message).help(help)))
        }
        Some(place) => {
            let (left, right) = children.split_at(place);
            Ok(vec![sequence(left.to_vec()), sequence(right.to_vec())])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refs, refused, tree as t};

    const BODY: &str = "loop i [S0: i, S1: i, S2: i] parallel { S0 loop k [S1: k] { S1 } S2 }";

    #[test]
    fn one_loop_per_part() {
        becomes(
            distribute(&t(BODY), &Ref::new("i"), None, &[]),
            "loop S0.i [S0: i] parallel { S0 } loop S1.i [S1: i] parallel { loop k [S1: k] { S1 } }
             loop S2.i [S2: i] parallel { S2 }",
        );
        becomes(
            distribute(&t(BODY), &Ref::new("i"), Some(&Ref::new("S1")), &refs(&["x", "y"])),
            "loop x [S0: i] parallel { S0 }
             loop y [S1: i, S2: i] parallel { loop k [S1: k] { S1 } S2 }",
        );
    }

    #[test]
    fn wrong_places_are_refused() {
        let run = |l: &str, at: Option<&str>| {
            distribute(&t(BODY), &Ref::new(l), at.map(Ref::new).as_ref(), &[])
        };
        refused(run("k", None), "E0712", "nothing to distribute");
        refused(run("i", Some("S9")), "E0712", "no statement `S9`");
        refused(run("i", Some("S0")), "E0712", "the first part");
        let names = refs(&["x"]);
        refused(distribute(&t(BODY), &Ref::new("i"), None, &names), "E0712", "result has 3");
    }
}
