//! Least and greatest values of linear forms.
//!
//! In: linear forms, and the ranges of the variables around the code that is written. Out: ranges
//! of forms; what conditions are in all of them; the ranges where a condition holds.
//! Keeps: quotients and remainders of one number are sums of its digits, so that the coordinates of
//! a tile, which are made of the tile's number, have ranges as narrow as they are.
//! Why here: the code of copies is short where boxes are inside their arrays as a whole.

use std::collections::{BTreeMap, BTreeSet};

use warploom_ir::affine::Name;

use super::lin::{Atom, Cond, Lin};

/// The least and greatest values of variables; of those that are not there, nothing is known.
pub(crate) type Ranges = BTreeMap<Name, Range>;

/// The least and the greatest value.
pub(crate) type Range = (i64, i64);

/// Parts of a number that a form has: multiples of it, of its quotients, and of its remainders.
#[derive(Default)]
struct Parts {
    quotients: BTreeMap<i64, i64>,
    remainders: BTreeMap<i64, i64>,
}

impl Lin {
    /// The least and the greatest value, where these are known.
    pub(crate) fn range(&self, ranges: &Ranges) -> Option<Range> {
        let mut out = (self.constant, self.constant);
        let mut numbers: BTreeMap<Self, Parts> = BTreeMap::new();
        for (atom, c) in &self.terms {
            match atom {
                Atom::Var(_) | Atom::Digit(..) => {
                    let number = Self::atom(atom.clone());
                    numbers.entry(number).or_default().quotients.insert(1, *c);
                }
                Atom::FloorDiv(a, d) => {
                    numbers.entry((**a).clone()).or_default().quotients.insert(*d, *c);
                }
                Atom::Mod(a, d) => {
                    numbers.entry((**a).clone()).or_default().remainders.insert(*d, *c);
                }
                Atom::Min(a, b) => {
                    let [a, b] = [a.range(ranges)?, b.range(ranges)?];
                    out = plus(out, *c, (a.0.min(b.0), a.1.min(b.1)))?;
                }
                Atom::Max(a, b) => {
                    let [a, b] = [a.range(ranges)?, b.range(ranges)?];
                    out = plus(out, *c, (a.0.max(b.0), a.1.max(b.1)))?;
                }
                Atom::Select(_, a, b) => {
                    let [a, b] = [a.range(ranges)?, b.range(ranges)?];
                    out = plus(out, *c, (a.0.min(b.0), a.1.max(b.1)))?;
                }
                Atom::Lane => return None,
            }
        }
        for (number, parts) in numbers {
            let of = number.number_range(ranges);
            out = match of.and_then(|of| parts.in_digits(of)) {
                Some(all) => plus(out, 1, all)?,
                None => plus(out, 1, parts.apart(of)?)?,
            };
        }
        Some(out)
    }

    /// The range of what is a variable alone, or of any other form.
    fn number_range(&self, ranges: &Ranges) -> Option<Range> {
        let mut terms = self.terms.iter();
        match (terms.next(), terms.next(), self.constant) {
            (Some((Atom::Var(name), 1)), None, 0) => ranges.get(name).copied(),
            (Some((Atom::Digit(_, below), 1)), None, 0) => Some((0, below - 1)),
            _sum => self.range(ranges),
        }
    }
}

impl Parts {
    /// The range of all parts of a number of this range, which has digits wherever one divisor
    /// divides the next.
    fn in_digits(&self, (least, most): Range) -> Option<Range> {
        let cuts: BTreeSet<i64> = [1]
            .iter()
            .chain(self.quotients.keys())
            .chain(self.remainders.keys())
            .copied()
            .collect();
        let cuts: Vec<i64> = cuts.into_iter().collect();
        if least < 0 || cuts.windows(2).any(|w| w[1] % w[0] != 0) {
            return None;
        }
        let mut out = (0_i64, 0_i64);
        for (i, unit) in cuts.iter().enumerate() {
            let most = match cuts.get(i + 1) {
                Some(next) => (most / unit).min(next / unit - 1),
                None => most / unit,
            };
            let mut c = 0_i64;
            for (d, of) in self.quotients.iter().filter(|(d, _)| *d <= unit) {
                c = c.checked_add(of.checked_mul(unit / d)?)?;
            }
            for (_, of) in self.remainders.iter().filter(|(d, _)| *d > unit) {
                c = c.checked_add(of.checked_mul(*unit)?)?;
            }
            out = plus(out, c, (0, most))?;
        }
        Some(out)
    }

    /// The same, each part by itself.
    fn apart(&self, of: Option<Range>) -> Option<Range> {
        let mut out = (0, 0);
        for (d, c) in &self.quotients {
            let (least, most) = of?;
            out = plus(out, *c, (least.div_euclid(*d), most.div_euclid(*d)))?;
        }
        for (d, c) in &self.remainders {
            out = plus(out, *c, (0, d - 1))?;
        }
        Some(out)
    }
}

impl Cond {
    /// What it is for all values in these ranges, if it is one.
    pub(crate) fn decided(&self, ranges: &Ranges) -> Option<bool> {
        match self {
            Self::Ge(a, b) => {
                let (least, most) = a.plus(-1, b).range(ranges)?;
                if least >= 0 { Some(true) } else { (most < 0).then_some(false) }
            }
            Self::Eq(a, b) => {
                let (least, most) = a.plus(-1, b).range(ranges)?;
                match (least, most) {
                    (0, 0) => Some(true),
                    _ => (least > 0 || most < 0).then_some(false),
                }
            }
            Self::All(parts) => joined(parts, ranges, false),
            Self::Any(parts) => joined(parts, ranges, true),
        }
    }

    /// The ranges where it holds too.
    pub(crate) fn within(&self, ranges: &Ranges) -> Ranges {
        let mut out = ranges.clone();
        self.narrow(&mut out);
        out
    }

    fn narrow(&self, ranges: &mut Ranges) {
        match self {
            Self::Ge(a, b) => narrow(&a.plus(-1, b), ranges),
            Self::Eq(a, b) => {
                narrow(&a.plus(-1, b), ranges);
                narrow(&b.plus(-1, a), ranges);
            }
            Self::All(parts) => parts.iter().for_each(|p| p.narrow(ranges)),
            Self::Any(_) => {}
        }
    }
}

/// What several conditions are together, where one that is `decisive` decides.
fn joined(parts: &[Cond], ranges: &Ranges, decisive: bool) -> Option<bool> {
    let known: Vec<Option<bool>> = parts.iter().map(|p| p.decided(ranges)).collect();
    if known.contains(&Some(decisive)) {
        return Some(decisive);
    }
    known.iter().all(|k| *k == Some(!decisive)).then_some(!decisive)
}

/// Narrows the range of a form's only variable, where the form is not negative.
fn narrow(lin: &Lin, ranges: &mut Ranges) {
    let mut terms = lin.terms.iter();
    let (Some((Atom::Var(name), c)), None) = (terms.next(), terms.next()) else { return };
    let Some(range) = ranges.get_mut(name) else { return };
    if *c > 0 {
        range.0 = range.0.max(-lin.constant.div_euclid(*c));
    } else if let Some(c) = c.checked_neg() {
        range.1 = range.1.min(lin.constant.div_euclid(c));
    }
}

/// `all + c * range`.
fn plus(all: Range, c: i64, range: Range) -> Option<Range> {
    let ends = [c.checked_mul(range.0)?, c.checked_mul(range.1)?];
    Some((all.0.checked_add(ends[0].min(ends[1]))?, all.1.checked_add(ends[0].max(ends[1]))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str) -> Lin {
        Lin::var(&name.into())
    }

    /// The value of a form of one variable.
    fn value(form: &Lin, of: i64) -> i64 {
        let terms = form.terms.iter().map(|(atom, c)| {
            c * match atom {
                Atom::Var(_) => of,
                Atom::FloorDiv(a, d) => value(a, of).div_euclid(*d),
                Atom::Mod(a, d) => value(a, of).rem_euclid(*d),
                Atom::Min(a, b) => value(a, of).min(value(b, of)),
                Atom::Max(..) | Atom::Select(..) | Atom::Digit(..) | Atom::Lane => unreachable!(),
            }
        });
        form.constant + terms.sum::<i64>()
    }

    fn ranges(all: &[(&str, i64, i64)]) -> Ranges {
        all.iter().map(|(name, least, most)| ((*name).into(), (*least, *most))).collect()
    }

    #[test]
    fn coordinates_of_a_tile_are_inside() {
        let tile = var("t");
        let known = ranges(&[("t", 0, 2047)]);
        let (group, band) = (tile.floor_div(8), tile.floor_div(512));
        let row = Lin::default().plus(128, &tile).plus(-1024, &group).plus(1024, &band);
        assert_eq!(row.range(&known), Some((0, 4096 - 128)));
        let column = Lin::default().plus(64, &group).plus(-4096, &band);
        assert_eq!(column.range(&known), Some((0, 4096 - 64)));
        assert_eq!(row.range(&Ranges::new()), None);
    }

    #[test]
    fn ranges_hold_for_every_value() {
        let t = var("t");
        let forms = [
            t.floor_div(3).plus(-2, &t.floor_div(6)),
            t.modulo(4).plus(5, &t.floor_div(4)),
            t.modulo(6).plus(-3, &t.modulo(12)).plus(1, &t),
            t.offset(-7).floor_div(5).plus(2, &t),
            t.floor_div(4).plus(-1, &t.floor_div(6)),
            t.modulo(5).smaller(&t.offset(-9)),
        ];
        for (least, most) in [(0, 40), (5, 17), (-6, 9), (3, 3)] {
            for form in &forms {
                let range = form.range(&ranges(&[("t", least, most)])).unwrap();
                for t in least..=most {
                    let at = value(form, t);
                    assert!(range.0 <= at && at <= range.1, "{form:?} at {t}: {range:?}");
                }
            }
        }
    }

    #[test]
    fn conditions_narrow_ranges() {
        let known = ranges(&[("k", 0, 255)]);
        let later = Cond::Ge(Lin::constant(255), var("k").offset(2));
        assert_eq!(later.decided(&known), None);
        let inside = later.within(&known);
        assert_eq!(inside["k"], (0, 253));
        assert_eq!(later.decided(&inside), Some(true));
        let from = Cond::Ge(Lin::default().plus(3, &var("k")), Lin::constant(7));
        assert_eq!(from.within(&known)["k"], (3, 255));
        assert_eq!(Cond::Eq(var("k"), Lin::constant(9)).within(&known)["k"], (9, 9));
        assert_eq!(Cond::Eq(var("k"), Lin::constant(300)).decided(&known), Some(false));
    }
}
