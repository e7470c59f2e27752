//! `coalesce i, j as ij`: two perfectly nested loops become one.
//!
//! `i { j { X } }` -> `ij { X }` with the row `extent * i + (j - low)`, where `low` and `extent`
//! are the least value and the number of values of `j` over all iterations. A point loop of a tile
//! of size T counts from the start of its tile (`j mod T`), so its extent is T at most, also where
//! the loop over tiles has been split.
//! Legal: always; the order does not change.
//! Errors: `E0715` if the extent of the inner loop is not a number, `E0712` for loops that are not
//! perfectly nested, `E0714` for a marked loop.

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::{Blame, Diagnostic, Result};
use warploom_ir::schedule::step::Ref;
use warploom_ir::schedule::{Marks, Tree, TreeLoop};

use super::{ancestors, edit, overflow, refuse, resolve, unmarked};

/// The least and greatest value of an expression over a statement's instances; `None` if it has
/// none or they are no numbers.
pub(crate) type Bounds<'a> = &'a dyn Fn(&Name, &Affine) -> Result<Option<(i64, i64)>>;

/// Coalesces the loops into one of this name, by default the outer one's.
pub(crate) fn coalesce(
    tree: &Tree,
    outer: &Ref,
    inner: &Ref,
    name: Option<&Ref>,
    bounds: Bounds<'_>,
) -> Result<Tree> {
    let (around, inside) = perfect(tree, outer, inner)?;
    let (a, b) = (around.name.clone(), inside.name.clone());
    unmarked(outer, &around, "coalesce")?;
    unmarked(inner, &inside, "coalesce")?;
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    let mut within = around.rows.clone();
    for (statement, row) in &mut within {
        *row = local(tree, statement, &b, &inside.rows[statement]);
        let Some((least, most)) = bounds(statement, row)? else {
            return Err(unbounded(inner, &b));
        };
        (low, high) = (low.min(least), high.max(most));
    }
    let extent = high.checked_sub(low).and_then(|d| d.checked_add(1));
    let extent = extent.ok_or_else(|| unbounded(inner, &b))?;
    let mut rows = around.rows.clone();
    for (statement, row) in &mut rows {
        let start = low.checked_neg().ok_or_else(|| unbounded(inner, &b))?;
        let sum = local(tree, statement, &a, row)
            .scale(extent)
            .and_then(|r| r.add(&within[statement]))
            .and_then(|r| r.add_const(start));
        *row = sum.map_err(overflow(inner.span))?;
    }
    let called = name.map_or_else(|| a.clone(), |r| r.name.clone());
    edit(tree.clone(), &a, &mut |_| {
        Ok(Tree::Loop(TreeLoop {
            name: called.clone(),
            rows: rows.clone(),
            marks: Marks::default(),
            body: inside.body.clone(),
        }))
    })
}

/// Two loops, the second of which is the only thing right inside the first.
pub(super) fn perfect(tree: &Tree, outer: &Ref, inner: &Ref) -> Result<(TreeLoop, TreeLoop)> {
    let (a, b) = (resolve(tree, outer)?, resolve(tree, inner)?);
    let around = tree.find(&a).expect("a resolved loop exists").clone();
    let inside = match &*around.body {
        Tree::Loop(l) if l.name == b => l.clone(),
        Tree::Loop(_) | Tree::Sequence(_) | Tree::Statement(_) => {
            let message = format!("loop `{b}` is not the only thing right inside loop `{a}`");
            return Err(refuse(inner.span, message));
        }
    };
    Ok((around, inside))
}

/// The row counted from the start of its tile, if loops around it tell the tile: its loop, or the
/// two that one has been split into.
pub(super) fn local(tree: &Tree, statement: &Name, name: &Name, row: &Affine) -> Affine {
    let around = ancestors(tree, statement);
    let around = around.into_iter().take_while(|l| l.name != *name);
    let rows: Vec<&Affine> = around.filter_map(|l| l.rows.get(statement)).collect();
    let tile = rows.iter().flat_map(|r| r.terms()).find_map(|(atom, _)| match atom {
        Atom::FloorDiv(e, size) if **e == *row && told(&rows, atom) => Some(*size),
        _ => None,
    });
    tile.and_then(|size| row.modulo(size).ok()).unwrap_or_else(|| row.clone())
}

/// Whether these rows tell the value of an atom: one is it, and others that they tell.
fn told(rows: &[&Affine], atom: &Atom) -> bool {
    rows.iter().enumerate().any(|(at, row)| {
        let mut rest = rows.to_vec();
        rest.remove(at);
        let own = row.terms().any(|(other, factor)| other == atom && factor == 1);
        own && row.terms().all(|(other, _)| other == atom || told(&rest, other))
    })
}

pub(super) fn unbounded(inner: &Ref, name: &Name) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(
            "E0715",
            Blame::Schedule,
            format!("the extent of loop `{name}` is not a number"),
        )
        .label(inner.span, "")
        .help(format!(
            "fix the sizes (`param N = 512`), or `split {name}` and take the inner loop"
        )),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::testing::{becomes, refused, tree as t};

    fn run(text: &str, found: Option<(i64, i64)>) -> Result<Tree> {
        coalesce(&t(text), &Ref::new("i"), &Ref::new("j"), None, &|_, _| Ok(found))
    }

    #[test]
    fn rows_are_combined() {
        let before = "loop i [S: i, T: i] { loop j [S: j, T: -j] { S T } }";
        let after = "loop i [S: 8*i + j + 3, T: 8*i - j + 3] { S T }";
        becomes(run(before, Some((-3, 4))), after);
    }

    #[test]
    fn points_count_from_their_tile() {
        let before = "loop o [S: floor(j / 4)] { loop i [S: i] { loop j [S: j] { S } } }";
        let after = "loop o [S: floor(j / 4)] { loop i [S: 4*i + j mod 4] { S } }";
        becomes(run(before, Some((0, 3))), after);
    }

    #[test]
    fn points_count_from_a_tile_whose_loop_was_split() {
        let text = |member: &str| {
            format!(
                "loop p [S: floor(floor(j / 4) / 2)] {{ loop q [S: {member}] {{
                 loop i [S: i] {{ loop j [S: j] {{ S }} }} }} }}"
            )
        };
        for member in ["floor(j / 4)", "floor(j / 4) - 2*floor(floor(j / 4) / 2)"] {
            let before = text(member);
            let after = before.replace(
                "loop i [S: i] { loop j [S: j] { S } }",
                "loop i [S: 4*i + j mod 4] { S }",
            );
            becomes(run(&before, Some((0, 3))), &after);
        }
        // without its member the pair does not tell the tile
        let before =
            "loop p [S: floor(floor(j / 4) / 2)] { loop i [S: i] { loop j [S: j] { S } } }";
        let after = "loop p [S: floor(floor(j / 4) / 2)] { loop i [S: 16*i + j] { S } }";
        becomes(run(before, Some((0, 15))), after);
    }

    #[test]
    fn others_are_refused() {
        refused(run("loop i [S: i] { loop j [S: j] { S } }", None), "E0715", "not a number");
        let wide = Some((i64::MIN, i64::MAX));
        refused(run("loop i [S: i] { loop j [S: j] { S } }", wide), "E0715", "not a number");
        let seq = "loop i [S: i, T: i] { S loop j [T: j] { T } }";
        refused(run(seq, Some((0, 3))), "E0712", "not the only thing");
        let marked = "loop i [S: i] { loop j [S: j] unroll { S } }";
        refused(run(marked, Some((0, 3))), "E0714", "marked `unroll`");
    }
}
