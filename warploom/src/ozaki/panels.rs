//! Products in panels: rows and columns of C some at a time, so that residues take less memory.
//!
//! In: a product, its sizes and the bytes that its temporaries may take. Out: how long panels are,
//! and the text of loops over them.
//! Keeps: results are those of the whole product bit for bit; what the panels take is at most the
//! bytes allowed, or the product is refused.
//! Why here: the host runs loops over panels as it runs others; nothing but the text knows them.

use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};

use super::Options;
use super::product::{Index, Product};
use super::room::Room;
use super::text::{Writer, loops, size};

/// Panels are multiples of this: tiles of products are whole.
const UNIT: u64 = 256;
/// What launches of one more panel cost, in bytes moved meanwhile.
const LAUNCHES: f64 = 8e7;
/// Operations of 8-bit products that take as long as moving a byte.
const PRODUCTS: f64 = 350.0;

/// How a product is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panels {
    /// How many of the first index of rows, and of columns, are worked on at a time.
    pub lines: [u64; 2],
    /// How many panels that makes.
    pub counts: [u64; 2],
    /// Panels of rows are outside: residues of columns are made for each of them again.
    pub rows_outside: bool,
    /// All sizes, which the nest fixes.
    sizes: BTreeMap<Name, i64>,
}

/// The length of a panel where a size is cut into so many.
const fn panel(size: u64, count: u64) -> u64 {
    if count < 2 { size } else { size.div_ceil(count).next_multiple_of(UNIT) }
}

/// An index that is cut.
struct Cut {
    /// How many of it a panel has.
    size: u64,
    /// The last panel has fewer.
    ragged: bool,
    /// The iterator over panels, and how many there are.
    counter: &'static str,
    count: u64,
}

impl Panels {
    /// The panels that take least time of those that take at most `most` bytes; nothing where the
    /// whole product takes no more.
    pub(super) fn plan(
        product: &Product,
        options: &Options,
        sizes: &BTreeMap<Name, i64>,
        most: u64,
    ) -> Result<Option<Self>> {
        let scheme = super::scheme(options)?;
        let whole = Room::cut(product, options, scheme, sizes, None)?;
        if whole.total() <= most {
            return Ok(None);
        }
        let first = |i: Index| sizes.get(size(i).as_str()).map_or(0, |v| v.unsigned_abs());
        let all = [first(product.rows[0]), first(product.columns[0])];
        let of = |counts: [u64; 2], rows_outside| {
            let lines = [panel(all[0], counts[0]), panel(all[1], counts[1])];
            let counts = [0, 1].map(|k| all[k].div_ceil(lines[k].max(1)).max(1));
            Self { lines, counts, rows_outside, sizes: sizes.clone() }
        };
        let fits = |p: &Self| -> Result<bool> {
            Ok(Room::cut(product, options, scheme, sizes, Some(p))?.total() <= most)
        };
        let most_of = all.map(|n| n.div_ceil(UNIT).max(1));
        let mut best: Option<(f64, Self)> = None;
        for (rows_outside, outer) in [false, true]
            .into_iter()
            .flat_map(|rows| (1..=most_of[usize::from(!rows)]).map(move |outer| (rows, outer)))
        {
            let (o, i) = if rows_outside { (0, 1) } else { (1, 0) };
            let counts = |inner: u64| if o == 0 { [outer, inner] } else { [inner, outer] };
            if !fits(&of(counts(most_of[i]), rows_outside))? {
                continue;
            }
            // the fewest panels inside that fit
            let (mut low, mut high) = (1, most_of[i]);
            while low < high {
                let middle = u64::midpoint(low, high);
                let enough = fits(&of(counts(middle), rows_outside))?;
                (low, high) = if enough { (low, middle) } else { (middle + 1, high) };
            }
            // or some more, of which none is cut
            for inner in low..=2 * low {
                let found = of(counts(inner), rows_outside);
                let time = found.time(&whole, o, all, scheme.moduli);
                if best.as_ref().is_none_or(|(least, _)| time < *least) {
                    best = Some((time, found));
                }
            }
        }
        best.map(|(_, panels)| Some(panels)).ok_or_else(|| {
            let least = Room::cut(product, options, scheme, sizes, Some(&of(most_of, false)));
            let least = least.map_or(u64::MAX, |room| room.total());
            let text =
                format!("the product takes {least} bytes beside its arrays in panels of {UNIT}");
            let help = format!("{most} bytes are allowed; allow more, or cut longer sums");
            Box::new(Diagnostic::input("E0511", text).help(help))
        })
    }

    /// What panels cost more than the whole product, as bytes that are moved; the operand `outer`
    /// is prepared once, and what the last panels have too much is multiplied as well.
    fn time(&self, whole: &Room, outer: usize, all: [u64; 2], moduli: usize) -> f64 {
        let again = (self.counts[outer] - 1) as f64;
        // what residues are made of takes about as much as they do
        let again = again * 2.0 * whole.residues[1 - outer] as f64;
        let launches = LAUNCHES * (self.counts[0] * self.counts[1]) as f64;
        let [a, b] = whole.residues.map(|bytes| bytes as f64);
        let products = 2.0 * (a * b * whole.remainders as f64 / moduli as f64).sqrt();
        let covered = |k: usize| (self.counts[k] * self.lines[k]) as f64 / all[k].max(1) as f64;
        again + launches + products / PRODUCTS * (covered(0) * covered(1) - 1.0)
    }
}

impl Writer<'_> {
    /// How an index is cut, if it is.
    fn cut(&self, index: Index) -> Option<Cut> {
        let (panels, p) = (self.panels?, self.p);
        let k = [p.rows[0], p.columns[0]].iter().position(|i| *i == index)?;
        let all = panels.sizes.get(size(index).as_str()).map_or(0, |v| v.unsigned_abs());
        let (size, count) = (panels.lines[k], panels.counts[k]);
        let cut = Cut {
            size,
            ragged: all % size.max(1) != 0,
            counter: ["row_panel", "column_panel"][k],
            count,
        };
        (count > 1).then_some(cut)
    }

    /// The sizes, which panels fix.
    pub(super) fn parameters(&self, indices: &[Index]) -> String {
        let one = |i: &Index| {
            let name = size(*i);
            match self.panels.and_then(|panels| panels.sizes.get(name.as_str())) {
                Some(value) => format!("{name} = {value}"),
                None => name,
            }
        };
        indices.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// What the nest says of its panels.
    pub(super) fn of_panels(&self) -> String {
        let cut = |i: Index| self.cut(i).map(|c| format!("{} of {}", c.size, size(i)));
        let cuts: Vec<String> =
            [self.p.rows[0], self.p.columns[0]].into_iter().filter_map(cut).collect();
        match cuts.is_empty() {
            true => String::new(),
            false => format!("# In panels of {}.\n", cuts.join(" and ")),
        }
    }

    /// An index of the whole product, from its place in a panel where there are any.
    pub(super) fn coordinate(&self, index: Index) -> String {
        match self.cut(index).filter(|_| self.inside) {
            Some(cut) => format!("{}*{} + {index}", cut.size, cut.counter),
            None => index.to_string(),
        }
    }

    /// `i, j`, of the whole product.
    pub(super) fn coordinates(&self, indices: &[Index]) -> String {
        indices.iter().map(|i| self.coordinate(*i)).collect::<Vec<_>>().join(", ")
    }

    /// Indices of arrays that hold a panel: those of a batch are outside.
    pub(super) fn held(&self, indices: &[Index]) -> Vec<Index> {
        let stays = |i: &&Index| self.panels.is_none() || !self.p.batch.contains(i);
        indices.iter().filter(stays).copied().collect()
    }

    /// Sizes of arrays that hold a panel.
    pub(super) fn held_sizes(&self, indices: &[Index]) -> String {
        let one = |i: Index| self.cut(i).map_or_else(|| size(i), |cut| cut.size.to_string());
        self.held(indices).into_iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Loops over a whole panel, also over what the last one has too much.
    pub(super) fn held_loops(&self, indices: &[Index]) -> String {
        let one = |i: Index| {
            let high = self.cut(i).map_or_else(|| size(i), |cut| cut.size.to_string());
            format!("{i} in 0..{high}")
        };
        self.held(indices).into_iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Loops over the elements of a panel that there are.
    pub(super) fn panel_loops(&self, indices: &[Index]) -> String {
        let one = |i: Index| match self.cut(i) {
            Some(c) if c.ragged => {
                format!("{i} in 0..min({}, {} - {}*{})", c.size, size(i), c.size, c.counter)
            }
            Some(c) => format!("{i} in 0..{}", c.size),
            None => format!("{i} in 0..{}", size(i)),
        };
        self.held(indices).into_iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Loops over what the last panel has too much; nothing where it is whole.
    pub(super) fn beyond(&self, indices: &[Index]) -> Option<String> {
        let ragged = |i: &Index| self.cut(*i).is_some_and(|c| c.ragged);
        let index = indices.iter().copied().find(ragged)?;
        let one = |i: Index| match self.cut(i) {
            Some(c) if i == index => {
                format!("{i} in max(0, {} - {}*{})..{}", size(i), c.size, c.counter, c.size)
            }
            Some(_) | None => format!("{i} in 0..{}", size(i)),
        };
        Some(self.held(indices).into_iter().map(one).collect::<Vec<_>>().join(", "))
    }

    /// Residues of both operands and what is done with them, in loops over panels.
    pub(super) fn in_panels(&self, residues: [String; 2], rest: &str) -> String {
        let Some(panels) = self.panels else {
            let [a, b] = residues;
            return a + &b + rest;
        };
        let [a, b] = residues;
        let around = |index: Index, body: String| match self.cut(index) {
            Some(c) => format!("for {} in 0..{} {{\n{body}}}\n", c.counter, c.count),
            None => body,
        };
        let (rows, columns) = (self.p.rows[0], self.p.columns[0]);
        let all = if panels.rows_outside {
            around(rows, a + &around(columns, b + rest))
        } else {
            around(columns, b + &around(rows, a + rest))
        };
        match self.p.batch.is_empty() {
            true => all,
            false => format!("for {} {{\n{all}}}\n", loops(&self.p.batch)),
        }
    }
}

/// Bytes from a number with a unit, as `2GiB`, `512MiB` or `1000000`.
///
/// # Errors
/// `E0511` for anything else.
pub fn parse_bytes(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => Some(0),
        "KiB" => Some(10),
        "MiB" => Some(20),
        "GiB" => Some(30),
        "TiB" => Some(40),
        _other => None,
    };
    let bytes = number.parse::<u64>().ok().zip(shift);
    bytes.and_then(|(n, shift)| n.checked_mul(1 << shift)).ok_or_else(|| {
        let text = format!("`{text}` is no number of bytes");
        Box::new(Diagnostic::input("E0511", text).help("write 2GiB, 512MiB, or a number of bytes"))
    })
}
