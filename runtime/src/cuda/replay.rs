//! When a program of many launches becomes one graph, and which graphs are kept.
//!
//! In: runs of a program with the same arguments. Out: the graph of these launches, or the word to
//! launch them one by one. Keeps: a graph belongs to the arguments it was made for and goes with
//! them; those of a device are bounded, and the least recently used one makes room. Making a graph
//! costs about as much as a run, so each time there are twice as many runs before it as there were
//! before the last time.
//! Why here: the rule knows no driver, so that it is tested without a GPU.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use warploom_ir::diag::Result;

use super::handle::lock;

/// Launches that are worth a graph: starting one takes the host about as long as two of them.
const FEWEST: u64 = 3;

/// The graphs of a device.
pub(super) struct Shelf<G> {
    /// Most launches in all graphs together.
    most: u64,
    clock: AtomicU64,
    /// Those that have a graph, and perhaps some that had one.
    full: Mutex<Vec<Weak<Slot<G>>>>,
}

/// Where the graph of one program with its arguments is, when there is one.
struct Slot<G> {
    launches: u64,
    /// The clock at its last use.
    used: AtomicU64,
    /// Held by the thread that makes it.
    making: Mutex<()>,
    /// No other lock is taken while this one is held.
    state: Mutex<State<G>>,
}

struct State<G> {
    graph: Option<Arc<G>>,
    /// Runs without a graph since the last attempt to make one.
    runs: u64,
    /// How many of them there are to be before the next.
    wanted: u64,
}

/// The runs of one program with the same arguments.
pub(super) struct Replay<G> {
    slot: Arc<Slot<G>>,
    shelf: Arc<Shelf<G>>,
}

impl<G> Shelf<G> {
    /// Room for graphs of so many launches.
    pub(super) fn new(most: u64) -> Arc<Self> {
        Arc::new(Self { most, clock: AtomicU64::new(0), full: Mutex::default() })
    }

    /// Takes all graphs away; whether there were any.
    pub(super) fn clear(&self) -> bool {
        let slots = std::mem::take(&mut *lock(&self.full));
        let gone: Vec<Arc<G>> = slots.iter().filter_map(|s| s.upgrade()?.take()).collect();
        !gone.is_empty()
    }

    /// Takes in a slot that has a graph now; those that were not used for the longest time make
    /// room.
    fn admit(&self, new: &Arc<Slot<G>>) {
        new.used.store(self.tick(), Ordering::Relaxed);
        // what goes is let go when the list is free again
        let mut gone = Vec::new();
        let mut full = lock(&self.full);
        let mut slots: Vec<Arc<Slot<G>>> = full.iter().filter_map(Weak::upgrade).collect();
        slots.retain(|slot| !Arc::ptr_eq(slot, new) && lock(&slot.state).graph.is_some());
        slots.push(Arc::clone(new));
        slots.sort_by_key(|slot| std::cmp::Reverse(slot.used.load(Ordering::Relaxed)));
        let mut sum: u64 = slots.iter().map(|slot| slot.launches).sum();
        while let Some(oldest) = slots.pop_if(|_| sum > self.most) {
            sum -= oldest.launches;
            gone.push(oldest.take());
        }
        *full = slots.iter().map(Arc::downgrade).collect();
    }

    /// A later time than all before.
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed)
    }
}

impl<G> State<G> {
    /// Whether a graph is to be made now, with so many runs about to come. A yes counts as an
    /// attempt.
    const fn is_due(&mut self, runs: u64) -> bool {
        let due = self.graph.is_none() && self.runs.saturating_add(runs) > self.wanted;
        if due {
            (self.runs, self.wanted) = (0, self.wanted.saturating_mul(2));
        }
        due
    }
}

impl<G> Slot<G> {
    /// Takes its graph away.
    fn take(&self) -> Option<Arc<G>> {
        lock(&self.state).graph.take()
    }
}

impl<G> Replay<G> {
    /// For a program of so many launches; `None` where a graph of them is not worth it or too long.
    pub(super) fn new(shelf: &Arc<Shelf<G>>, launches: u64) -> Option<Self> {
        if launches < FEWEST || launches > shelf.most {
            return None;
        }
        let state = Mutex::new(State { graph: None, runs: 0, wanted: 1 });
        let (used, making) = (AtomicU64::new(0), Mutex::default());
        let slot = Arc::new(Slot { launches, used, making, state });
        Some(Self { slot, shelf: Arc::clone(shelf) })
    }

    /// Makes the graph with `record`, if it is time with so many runs about to come and no other
    /// thread does. A failure is no graph: whatever is wrong shows when the launches are made one
    /// by one.
    pub(super) fn prepare(&self, runs: u64, record: impl FnOnce() -> Result<G>) {
        let Ok(_making) = self.slot.making.try_lock() else { return };
        if !lock(&self.slot.state).is_due(runs) {
            return;
        }
        if let Ok(graph) = record() {
            lock(&self.slot.state).graph = Some(Arc::new(graph));
            self.shelf.admit(&self.slot);
        }
    }

    /// The graph for a run; `None` counts a run without one.
    pub(super) fn take(&self) -> Option<Arc<G>> {
        self.slot.used.store(self.shelf.tick(), Ordering::Relaxed);
        let mut state = lock(&self.slot.state);
        if state.graph.is_none() {
            state.runs += 1;
        }
        state.graph.clone()
    }

    /// Whether there is a graph now.
    pub(super) fn is_recorded(&self) -> bool {
        lock(&self.slot.state).graph.is_some()
    }

    /// Takes the graph away: it was refused.
    pub(super) fn forget(&self) {
        drop(self.slot.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cuda::driver::environment;

    /// A run: the graph's number, or nothing; `made` counts graphs.
    fn run(of: &Replay<u64>, made: &AtomicU64) -> Option<u64> {
        of.prepare(1, || Ok(made.fetch_add(1, Ordering::Relaxed)));
        of.take().map(|graph| *graph)
    }

    fn replay(shelf: &Arc<Shelf<u64>>, launches: u64) -> Replay<u64> {
        Replay::new(shelf, launches).expect("worth it")
    }

    #[test]
    fn the_second_run_is_a_graph_and_so_are_those_after_it() {
        let (shelf, made) = (Shelf::new(100), AtomicU64::new(7));
        let of = replay(&shelf, 10);
        assert!(!of.is_recorded());
        let runs: Vec<_> = (0..4).map(|_| run(&of, &made)).collect();
        assert_eq!(runs, [None, Some(7), Some(7), Some(7)]);
        assert!(of.is_recorded());
        // the first one is, where it is known that there will be more
        let known = replay(&shelf, 10);
        known.prepare(1, || panic!("one run is not worth it"));
        known.prepare(2, || Ok(9));
        assert_eq!(known.take().as_deref(), Some(&9));
    }

    #[test]
    fn short_and_endless_programs_have_none() {
        let shelf = Shelf::<u64>::new(100);
        assert!(Replay::new(&shelf, FEWEST - 1).is_none());
        assert!(Replay::new(&shelf, FEWEST).is_some());
        assert!(Replay::new(&shelf, 100).is_some());
        assert!(Replay::new(&shelf, 101).is_none());
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let (shelf, made) = (Shelf::new(100), AtomicU64::new(0));
        let all: Vec<_> = (0..3).map(|_| replay(&shelf, 40)).collect();
        for of in &all[..2] {
            run(of, &made);
            run(of, &made);
        }
        assert_eq!(run(&all[0], &made), Some(0), "now the second is the oldest");
        run(&all[2], &made);
        assert_eq!(run(&all[2], &made), Some(2));
        let recorded: Vec<_> = all.iter().map(Replay::is_recorded).collect();
        assert_eq!(recorded, [true, false, true]);
        // two more runs without one, as there was one before the first time
        assert_eq!([run(&all[1], &made), run(&all[1], &made)], [None, None]);
        assert_eq!(run(&all[1], &made), Some(3));
        assert!(!all[0].is_recorded() && all[2].is_recorded());
    }

    #[test]
    fn programs_in_turn_that_do_not_fit_together_seldom_make_graphs() {
        let (shelf, made) = (Shelf::new(100), AtomicU64::new(0));
        let all: Vec<_> = (0..3).map(|_| replay(&shelf, 50)).collect();
        let graphs = (0..3000).filter(|i| run(&all[i % 3], &made).is_some()).count();
        assert!(graphs > 1000, "{graphs} runs: two of three fit");
        assert!(made.load(Ordering::Relaxed) <= 30, "{made:?} graphs in 3000 runs");
    }

    #[test]
    fn graphs_go_with_their_arguments_and_when_memory_is_wanted() {
        let shelf = Shelf::new(100);
        let kept = Arc::new(());
        let of = |launches| {
            let replay = Replay::new(&shelf, launches).expect("worth it");
            replay.prepare(2, || Ok(Arc::clone(&kept)));
            replay
        };
        let (first, second) = (of(60), of(30));
        assert_eq!(Arc::strong_count(&kept), 3);
        drop(first);
        assert_eq!(Arc::strong_count(&kept), 2);
        let third = of(70);
        assert!(second.is_recorded(), "what is gone takes no room");
        let running = third.take();
        assert!(shelf.clear());
        assert!(!second.is_recorded() && !third.is_recorded());
        assert_eq!(Arc::strong_count(&kept), 2, "the one that someone launches");
        drop(running);
        assert_eq!(Arc::strong_count(&kept), 1);
        assert!(!shelf.clear());
    }

    #[test]
    fn a_refused_graph_is_tried_ever_more_seldom() {
        let shelf = Shelf::<u64>::new(100);
        let (of, tried) = (replay(&shelf, 10), AtomicU64::new(0));
        for _ in 0..1000 {
            of.prepare(1, || {
                tried.fetch_add(1, Ordering::Relaxed);
                Err(environment("E1114", "not supported"))
            });
            assert!(of.take().is_none());
        }
        assert!((5..=10).contains(&tried.load(Ordering::Relaxed)), "{tried:?}");
        // refused when it is launched
        let late = replay(&shelf, 10);
        late.prepare(2, || Ok(1));
        late.forget();
        assert!(late.take().is_none());
        late.prepare(1, || panic!("two runs are wanted now"));
    }

    #[test]
    fn threads_that_run_the_same_program_make_one_graph() {
        let (shelf, made) = (Shelf::new(1000), AtomicU64::new(0));
        let (one, few) = (replay(&shelf, 10), replay(&shelf, 995));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| (0..500).filter(|_| run(&one, &made).is_some()).count());
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
        // those that push each other out, from several threads
        std::thread::scope(|threads| {
            for of in [&one, &few, &one, &few] {
                let made = &made;
                threads.spawn(move || (0..500).filter(|_| run(of, made).is_some()).count());
            }
        });
        assert!(!one.is_recorded() || !few.is_recorded());
    }
}
