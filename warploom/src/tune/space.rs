//! The space of a nest's automatic schedules, and ways through it.
//!
//! In: the holes that the automatic schedule has on this nest. Out: points in the order in which
//! they are worth a try, neighbours of a point, points at random.
//! Keeps: the usual choices come first; the order is the same on every run.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use warploom_ir::affine::Name;
use warploom_scheduler::{Choices, Hole};

/// Points next to one, of each hole.
const NEAR: usize = 12;
/// Weight of a place in the list of options without estimates: each costs a hundredth more.
const STEP: f64 = 0.01;

/// All choices of a nest.
pub(super) struct Space {
    holes: Vec<Hole>,
}

impl Space {
    /// The space of these holes.
    pub(super) fn new(holes: Vec<Hole>) -> Self {
        Self { holes: holes.into_iter().filter(|h| h.options.len() > 1).collect() }
    }

    /// How many points there are; saturating.
    pub(super) fn size(&self) -> u64 {
        self.holes.iter().fold(1, |n: u64, h| n.saturating_mul(h.options.len() as u64))
    }

    /// The estimate of a point, where its holes have some.
    pub(super) fn estimate(&self, point: &Choices) -> Option<i64> {
        let of = |h: &Hole| h.options[self.place(h, point)].estimate;
        let known: Vec<i64> = self.holes.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().fold(0, |a: i64, b| a.saturating_add(*b)))
    }

    /// The option of a hole at a point.
    fn place(&self, hole: &Hole, point: &Choices) -> usize {
        let given = point.0.get(&hole.name);
        hole.options.iter().position(|o| Some(&o.values) == given).unwrap_or(0)
    }

    /// A point with another option of one hole; the usual options are not written.
    fn with(&self, point: &Choices, hole: &Hole, place: usize) -> Choices {
        let mut choices = point.clone();
        if place == 0 {
            choices.0.remove(&hole.name);
        } else {
            choices.0.insert(hole.name.clone(), hole.options[place].values.clone());
        }
        choices
    }

    /// The usual point, then all that differ from it in one hole, the least estimate first, those
    /// that resemble an earlier one last.
    pub(super) fn ranked(&self) -> Vec<Choices> {
        let usual = Choices::default();
        let mut rest: Vec<(bool, f64, Choices)> = Vec::new();
        for hole in &self.holes {
            let mut order: Vec<(f64, usize)> =
                (1..hole.options.len()).map(|k| (cost(hole, k), k)).collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let mut seen = vec![0];
            for (cost, k) in order {
                let near = |s: &usize| differences(hole, *s, k) < 2.min(hole.sizes.len());
                let like = seen.iter().any(near);
                if !like {
                    seen.push(k);
                }
                rest.push((like, cost, self.with(&usual, hole, k)));
            }
        }
        rest.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        std::iter::once(usual).chain(rest.into_iter().map(|(_, _, c)| c)).collect()
    }

    /// Points that differ from one in a size or two of one hole, the nearest first.
    pub(super) fn neighbours(&self, point: &Choices) -> Vec<Choices> {
        let mut out: Vec<(usize, f64, Choices)> = Vec::new();
        for hole in &self.holes {
            let here = self.place(hole, point);
            let distance = |k: usize| differences(hole, here, k);
            let mut near: Vec<usize> = (0..hole.options.len())
                .filter(|k| (1..=2).contains(&distance(*k)) && adjacent(hole, here, *k))
                .collect();
            near.sort_by(|a, b| {
                let by_cost = cost(hole, *a).total_cmp(&cost(hole, *b));
                distance(*a).cmp(&distance(*b)).then(by_cost)
            });
            for k in near.into_iter().take(NEAR) {
                out.push((distance(k), cost(hole, k), self.with(point, hole, k)));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        out.into_iter().map(|(_, _, c)| c).collect()
    }

    /// A point with some options taken at random: of each hole, the least estimates most often.
    pub(super) fn random(&self, mut word: impl FnMut() -> u64) -> Choices {
        let mut point = Choices::default();
        for hole in &self.holes {
            let mut order: Vec<usize> = (0..hole.options.len()).collect();
            order.sort_by(|a, b| cost(hole, *a).total_cmp(&cost(hole, *b)));
            let n = order.len() as u64;
            // the lesser of two: the front is twice as likely
            let at = (word() % n).min(word() % n);
            point = self.with(&point, hole, order[usize::try_from(at).unwrap_or(0)]);
        }
        point
    }

    /// A point as a record writes it.
    pub(super) fn read(&self, text: &str) -> Option<Choices> {
        let mut choices: BTreeMap<Name, Vec<i64>> = BTreeMap::new();
        for word in text.split_whitespace() {
            let (name, values) = word.split_once('=')?;
            let values = values.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
            choices.insert(Name::from(name), values);
        }
        Some(Choices(choices))
    }
}

/// The estimate of an option over that of the usual one; where there is none, its place in the list
/// counts.
fn cost(hole: &Hole, k: usize) -> f64 {
    match (hole.options[k].estimate, hole.options[0].estimate) {
        (Some(own), Some(usual)) => own as f64 / (usual as f64).max(1.0),
        (Some(_) | None, _) => 1.0 + STEP * k as f64,
    }
}

/// In how many sizes two options differ.
fn differences(hole: &Hole, a: usize, b: usize) -> usize {
    let (a, b) = (&hole.options[a].values, &hole.options[b].values);
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// Whether an option's sizes are among the two next smaller or larger ones of those that the hole
/// has, wherever they differ.
fn adjacent(hole: &Hole, here: usize, there: usize) -> bool {
    let (from, to) = (&hole.options[here].values, &hole.options[there].values);
    (0..from.len()).filter(|i| from[*i] != to[*i]).all(|i| {
        let mut values: Vec<i64> = hole.options.iter().map(|o| o.values[i]).collect();
        values.sort_by_key(|v| Reverse(*v));
        values.dedup();
        let place = |v: i64| values.iter().position(|x| *x == v).unwrap_or(0);
        place(from[i]).abs_diff(place(to[i])) <= 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom_scheduler::HoleOption;

    fn hole(name: &str, options: &[(&[i64], Option<i64>)]) -> Hole {
        let option = |(values, estimate): &(&[i64], Option<i64>)| HoleOption {
            values: values.to_vec(),
            estimate: *estimate,
        };
        let options = options.iter().map(option).collect();
        Hole { name: name.into(), sizes: &["x", "y"], options, taken: 0 }
    }

    fn space() -> Space {
        let grid = [(4, 4), (1, 4), (2, 4), (4, 1), (8, 8), (1, 1)];
        let values: Vec<Vec<i64>> = grid.iter().map(|(x, y)| vec![*x, *y]).collect();
        let first: Vec<(&[i64], Option<i64>)> =
            values.iter().zip([50, 40, 60, 70, 45, 90]).map(|(v, e)| (&v[..], Some(e))).collect();
        Space::new(vec![
            hole("a", &first),
            hole("b", &[(&[1, 0], None), (&[0, 0], None)]),
            hole("c", &[(&[7, 7], None)]),
        ])
    }

    #[test]
    fn the_usual_point_is_first_and_estimates_rank_the_others() {
        let space = space();
        assert_eq!(space.size(), 12);
        let ranked: Vec<String> = space.ranked().iter().map(Choices::to_string).collect();
        // 1,4 is like 4,4; those that are like another come last
        assert_eq!(ranked, ["", "a=8,8", "a=1,1", "a=1,4", "b=0,0", "a=2,4", "a=4,1"]);
        assert_eq!(space.estimate(&Choices::default()), Some(50));
        assert_eq!(space.estimate(&space.ranked()[1]), Some(45));
    }

    #[test]
    fn neighbours_are_near() {
        let space = space();
        let near = space.neighbours(&space.ranked()[1]);
        let near: Vec<String> = near.iter().map(Choices::to_string).collect();
        assert!(near.contains(&String::new()) && near.contains(&"a=8,8 b=0,0".to_owned()));
        assert!(!near.contains(&"a=1,1".to_owned()), "too far: {near:?}");
    }

    #[test]
    fn points_are_read_as_they_are_written() {
        let space = space();
        let mut at = 0;
        for _ in 0..50 {
            let point = space.random(|| {
                at += 1;
                warploom_ir::tensor::random_word(3, at)
            });
            assert_eq!(space.read(&point.to_string()), Some(point));
        }
        assert_eq!(space.read("a"), None);
        assert_eq!(space.read("a=1,x"), None);
    }
}
