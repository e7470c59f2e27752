//! Which launches must wait for which, by the buffers they touch.
//!
//! In: per buffer, the marks of the launches that used it. Out: the marks a new use waits for.
//! Keeps: a read waits for the last write, a write for the last write and every read since; no
//! list grows beyond the number of lanes. Why here: the rule is plain data and knows no driver, so
//! that it can be tested without a GPU.

/// How a launch touches a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    /// Only reads.
    Read,
    /// Writes, and perhaps reads.
    Write,
}

/// A point in the work of one lane; lanes run side by side, the work of one lane in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark<E> {
    /// Which lane.
    pub(super) lane: usize,
    /// Where in it: greater is later.
    pub(super) seq: u64,
    /// What to wait for.
    pub(super) event: E,
}

/// Who used a buffer last.
#[derive(Clone, Debug)]
pub(super) struct Uses<E> {
    writer: Option<Mark<E>>,
    /// The reads since the last write, the latest of each lane.
    readers: Vec<Mark<E>>,
}

impl<E> Default for Uses<E> {
    fn default() -> Self {
        Self { writer: None, readers: Vec::new() }
    }
}

impl<E: Clone> Uses<E> {
    /// The marks that a new use must come after.
    pub(super) fn before(&self, access: Access) -> impl Iterator<Item = &Mark<E>> {
        let readers = match access {
            Access::Read => &[],
            Access::Write => self.readers.as_slice(),
        };
        self.writer.iter().chain(readers)
    }

    /// Notes a use whose work ends at `mark`.
    pub(super) fn record(&mut self, access: Access, mark: Mark<E>) {
        match access {
            Access::Read => {
                self.readers.retain(|r| r.lane != mark.lane);
                self.readers.push(mark);
            }
            Access::Write => {
                self.readers.clear();
                self.writer = Some(mark);
            }
        }
    }
}

/// The latest mark of each lane: it comes after the others of its lane.
#[must_use]
pub(super) fn latest<'a, E>(marks: impl Iterator<Item = &'a Mark<E>>) -> Vec<&'a Mark<E>> {
    let mut out: Vec<&Mark<E>> = Vec::new();
    for mark in marks {
        match out.iter_mut().find(|m| m.lane == mark.lane) {
            Some(known) if known.seq < mark.seq => *known = mark,
            Some(_) => {}
            None => out.push(mark),
        }
    }
    out
}

/// How much work of a lane there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Launches so far; the latest has this number as its [`Mark::seq`].
    pub(super) launched: u64,
    /// How many of them have ended.
    pub(super) ended: u64,
}

/// The lane of a launch that waits for `marks`.
///
/// It is a lane whose latest launch is waited for anyway and still runs, so that nothing else is
/// waited for; else one of those with the least work, from `next` on.
pub(super) fn lane<E>(marks: &[&Mark<E>], loads: &[Load], next: usize) -> usize {
    let behind = marks.iter().find(|m| {
        let load = loads[m.lane];
        m.seq == load.launched && m.seq > load.ended
    });
    let running = |i: &usize| loads[*i].launched.saturating_sub(loads[*i].ended);
    let idlest = || (0..loads.len()).map(|i| (next + i) % loads.len()).min_by_key(running);
    behind.map(|m| m.lane).or_else(idlest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use warploom_ir::tensor::random_word;

    use super::*;

    const LANES: usize = 4;

    /// Launches with the buffers they touch, and for each the launches it directly comes after.
    struct Simulated {
        uses: Vec<Uses<usize>>,
        last: [Option<usize>; LANES],
        loads: [Load; LANES],
        lanes: Vec<usize>,
        after: Vec<Vec<usize>>,
        touched: Vec<Vec<(usize, Access)>>,
    }

    impl Simulated {
        fn new(buffers: usize) -> Self {
            let uses = vec![Uses::default(); buffers];
            let (lanes, after, touched) = (Vec::new(), Vec::new(), Vec::new());
            Self {
                uses,
                last: [None; LANES],
                loads: [Load::default(); LANES],
                lanes,
                after,
                touched,
            }
        }

        fn launch(&mut self, touched: &[(usize, Access)]) {
            let id = self.after.len();
            let marks = latest(touched.iter().flat_map(|&(b, a)| self.uses[b].before(a)));
            let lane = lane(&marks, &self.loads, id % LANES);
            self.loads[lane].launched += 1;
            let mut after: Vec<usize> =
                marks.iter().filter(|m| m.lane != lane).map(|m| m.event).collect();
            after.extend(self.last[lane].replace(id));
            for &(b, access) in touched {
                let seq = self.loads[lane].launched;
                self.uses[b].record(access, Mark { lane, seq, event: id });
            }
            self.lanes.push(lane);
            self.after.push(after);
            self.touched.push(touched.to_vec());
        }

        /// Whether `late` surely runs after `early`.
        fn ordered(&self, early: usize, late: usize) -> bool {
            let mut seen = vec![false; late + 1];
            let mut todo = vec![late];
            while let Some(at) = todo.pop() {
                if at == early {
                    return true;
                }
                if !std::mem::replace(&mut seen[at], true) {
                    todo.extend(&self.after[at]);
                }
            }
            false
        }
    }

    fn conflict(a: &[(usize, Access)], b: &[(usize, Access)]) -> bool {
        a.iter()
            .any(|x| b.iter().any(|y| x.0 == y.0 && (x.1 == Access::Write || y.1 == Access::Write)))
    }

    #[test]
    fn launches_that_conflict_are_ordered() {
        for seed in 0..40 {
            let mut sim = Simulated::new(6);
            for i in 0..60 {
                let word = random_word(seed, i);
                let count = 1 + (word % 3) as usize;
                let touched: Vec<(usize, Access)> = (0..count)
                    .map(|k| {
                        let bits = word >> (8 + 8 * k);
                        let access = if bits & 1 == 0 { Access::Read } else { Access::Write };
                        (((bits >> 1) % 6) as usize, access)
                    })
                    .collect();
                sim.launch(&touched);
            }
            for late in 0..60 {
                for early in 0..late {
                    if conflict(&sim.touched[early], &sim.touched[late]) {
                        assert!(sim.ordered(early, late), "seed {seed}: {early} and {late}");
                    }
                }
            }
            assert!(sim.uses.iter().all(|u| u.readers.len() <= LANES));
        }
    }

    #[test]
    fn disjoint_launches_and_readers_may_overlap() {
        let mut sim = Simulated::new(6);
        sim.launch(&[(0, Access::Read), (1, Access::Write)]);
        sim.launch(&[(2, Access::Read), (3, Access::Write)]);
        sim.launch(&[(0, Access::Read), (4, Access::Write)]);
        assert_eq!(sim.lanes, [0, 1, 2]);
        assert!(sim.after.iter().all(Vec::is_empty));
        // reads two results: after both, on the lane of one
        sim.launch(&[(1, Access::Read), (3, Access::Read), (5, Access::Write)]);
        assert_eq!(sim.lanes[3], 0);
        assert_eq!(sim.after[3], [1, 0]);
        assert!(!sim.ordered(2, 3));
        // overwrites what launches 0 and 2 read: on lane 2, where nothing else is waited for
        sim.launch(&[(0, Access::Write)]);
        assert!(sim.ordered(0, 4) && sim.ordered(2, 4) && !sim.ordered(1, 4));
    }

    #[test]
    fn lanes_with_less_work_come_first() {
        let load = |launched, ended| Load { launched, ended };
        let loads = [load(5, 3), load(9, 9), load(2, 2), load(1, 0)];
        let mark = |lane, seq| Mark { lane, seq, event: () };
        assert_eq!(lane::<()>(&[], &loads, 0), 1);
        assert_eq!(lane::<()>(&[], &loads, 2), 2);
        assert_eq!(lane(&[&mark(0, 5)], &loads, 2), 0, "its latest, which runs");
        assert_eq!(lane(&[&mark(0, 4)], &loads, 2), 2, "not its latest");
        assert_eq!(lane(&[&mark(1, 9)], &loads, 2), 2, "it has ended");
        assert_eq!(lane(&[&mark(0, 4), &mark(3, 1)], &loads, 2), 3);
    }

    #[test]
    fn of_one_lane_only_the_latest_mark_counts() {
        let mark = |lane, seq| Mark { lane, seq, event: () };
        let marks = [mark(1, 4), mark(0, 2), mark(1, 9), mark(1, 7)];
        assert_eq!(latest(marks.iter()), [&mark(1, 9), &mark(0, 2)]);
    }
}
