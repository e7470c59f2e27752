//! Which loops of a contraction are an instruction's rows, columns and sum.
//!
//! In: the loops around a statement that adds products, by the accesses that move along them. Out:
//! one loop of rows, one of columns and one of the sum; all others stay around these.
//! Keeps: rows of boxes are contiguous where a factor's last dimension is chosen, so that is what
//! decides; then the result's last dimension, then length.

use warploom_ir::affine::Name;
use warploom_ir::expr::Access;

use super::gpu_tensor_product::Line;

/// The parts that the loops play.
pub(super) struct Chosen {
    pub(super) row: Line,
    pub(super) column: Line,
    pub(super) sum: Line,
    /// Independent loops around the rows and columns, outermost first.
    pub(super) batch: Vec<Line>,
    /// Those of them that are further rows, and further columns.
    pub(super) more: [Vec<Line>; 2],
    /// Further sums, outermost first.
    pub(super) others: Vec<Line>,
}

impl Chosen {
    /// The parts of loops along which move: the target and the first factor, the target and the
    /// second, both factors, all three.
    pub(super) fn of(
        [mut rows, mut columns, mut sums, mut batch]: [Vec<Line>; 4],
        factors: &[Access; 2],
        target: &Access,
    ) -> Option<Self> {
        let [a, b] = factors.each_ref().map(last);
        let out = last(target);
        // a loop that shares a dimension with another moves along several of the instruction's
        let alone = |l: &Line| {
            let indices = factors.iter().flat_map(|f| &f.indices);
            let mut indices = indices.filter(|e| e.vars().contains(&l.iter));
            indices.all(|e| e.as_var() == Some(&l.iter))
        };
        let (mut own, mut shared): (Vec<Line>, Vec<Line>) = sums.iter().cloned().partition(alone);
        let sum = taken(if own.is_empty() { &mut shared } else { &mut own }, &[a, b])?;
        sums.retain(|l| l.iter != sum.iter);
        let row = taken(&mut rows, &[a, out])?;
        let column = taken(&mut columns, &[b, out])?;
        batch.extend(rows.iter().cloned());
        batch.extend(columns.iter().cloned());
        Some(Self { row, column, sum, batch, more: [rows, columns], others: sums })
    }
}

/// The iterator that the last dimension of an access is.
fn last(access: &Access) -> Option<&Name> {
    access.indices.last()?.as_var()
}

/// Takes the first wanted iterator's loop out of these, or the longest of them.
fn taken(lines: &mut Vec<Line>, wanted: &[Option<&Name>]) -> Option<Line> {
    let find = |iter: &Option<&Name>| lines.iter().position(|l| Some(&l.iter) == *iter);
    let longest = || (0..lines.len()).max_by_key(|i| lines[*i].extent);
    let at = wanted.iter().find_map(find).or_else(longest)?;
    Some(lines.remove(at))
}

#[cfg(test)]
mod tests {
    use warploom_ir::affine::Affine;
    use warploom_ir::diag::Span;

    use super::*;

    fn access(array: &str, iters: &str) -> Access {
        let indices = iters.chars().map(|c| Affine::var(Name::from(c.to_string()))).collect();
        Access { array: array.into(), indices, span: Span::default() }
    }

    #[test]
    fn contiguous_dimensions_are_chosen_before_long_ones() {
        let line = |c: char, extent| Line {
            name: c.to_string().into(),
            iter: c.to_string().into(),
            extent,
        };
        let lines = || {
            [
                vec![line('a', 96), line('b', 48)],
                vec![line('c', 16), line('d', 72)],
                vec![line('e', 24), line('f', 32)],
                Vec::new(),
            ]
        };
        let chosen = |a: &str, b: &str, out: &str| {
            let factors = [access("A", a), access("B", b)];
            let c = Chosen::of(lines(), &factors, &access("C", out)).unwrap();
            let [m, n, k] = [c.row, c.column, c.sum].map(|l| l.name.to_string());
            format!("{m}{n}{k} {} {}", c.batch.len(), c.others.len())
        };
        assert_eq!(chosen("aebf", "fdec", "abcd"), "acf 2 1");
        assert_eq!(chosen("efab", "fedc", "abcd"), "bcf 2 1");
        assert_eq!(chosen("abef", "cdfe", "acbd"), "adf 2 1");
        assert_eq!(chosen("abef", "cdfe", "cdab"), "bdf 2 1");
    }
}
