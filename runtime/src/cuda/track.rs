//! The ends of a lane's launches, marked where somebody needs to know them.
//!
//! In: a stream. Out: for each launch an [`End`], which a thread or another stream can wait for.
//! Keeps: an end is behind its launch. A launch has a mark of its own if its handle is still held
//! when the next one comes; those that were let go share the mark behind the last of them, which is
//! made when someone waits. Marking costs the host as much as a third of a launch.
//! Why here: the rule knows no driver, so that it is tested without a GPU.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use warploom_ir::diag::Result;

use super::handle::{Observed, Wait, lock};

/// What marks can be put behind.
pub(super) trait Marked: Send + Sync + 'static {
    /// A point in the work.
    type Mark: Wait;

    /// Marks the end of the work so far.
    fn mark(&self) -> Result<Self::Mark>;
}

/// One stream's work.
pub(super) struct Track<S: Marked> {
    stream: S,
    /// Held while a launch is put in, so that numbers follow the order of the stream.
    tail: Mutex<Tail<S>>,
}

/// The last launches.
struct Tail<S: Marked> {
    /// Those that have no mark behind them yet.
    open: Weak<Segment<S>>,
    /// The handle of the last one.
    last: Option<Observed>,
}

/// Launches with one mark behind them.
struct Segment<S: Marked> {
    track: Arc<Track<S>>,
    /// Set while the tail is held.
    mark: OnceLock<Result<S::Mark>>,
    /// What came of waiting for it.
    outcome: OnceLock<Result<()>>,
}

/// The end of a launch.
pub(super) struct End<S: Marked>(Arc<Segment<S>>);

impl<S: Marked> Clone for End<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A track that a launch is put in.
pub(super) struct Entered<'t, S: Marked> {
    track: &'t Arc<Track<S>>,
    tail: MutexGuard<'t, Tail<S>>,
}

impl<S: Marked> Track<S> {
    /// No work yet.
    pub(super) fn new(stream: S) -> Arc<Self> {
        let tail = Mutex::new(Tail { open: Weak::new(), last: None });
        Arc::new(Self { stream, tail })
    }

    /// The stream.
    pub(super) const fn stream(&self) -> &S {
        &self.stream
    }

    /// Lets one launch in after the other. Before it, the last one gets its mark if someone may
    /// still ask for its end.
    pub(super) fn enter<'t>(self: &'t Arc<Self>) -> Entered<'t, S> {
        let mut tail = lock(&self.tail);
        let held = tail.last.take().is_some_and(|last| last.is_held());
        if let Some(open) = tail.open.upgrade().filter(|_| held) {
            open.close(&mut tail);
        }
        Entered { track: self, tail }
    }
}

impl<S: Marked> Entered<'_, S> {
    /// The end of the work so far.
    pub(super) fn end(&mut self) -> End<S> {
        let open = self.tail.open.upgrade().unwrap_or_else(|| {
            let (track, mark, outcome) = (self.track.clone(), OnceLock::new(), OnceLock::new());
            Arc::new(Segment { track, mark, outcome })
        });
        self.tail.open = Arc::downgrade(&open);
        End(open)
    }

    /// Leaves, with a launch put in.
    pub(super) fn leave(mut self, launched: Observed) {
        self.tail.last = Some(launched);
    }
}

impl<S: Marked> Segment<S> {
    /// Puts the mark behind these launches.
    fn close(&self, tail: &mut Tail<S>) {
        self.mark.get_or_init(|| self.track.stream.mark());
        tail.open = Weak::new();
    }
}

impl<S: Marked> End<S> {
    /// The mark, made now if it is not there yet.
    ///
    /// # Errors
    /// It could not be made.
    pub(super) fn mark(&self) -> Result<&S::Mark> {
        let segment = &*self.0;
        if segment.mark.get().is_none() {
            let mut tail = lock(&segment.track.tail);
            if segment.mark.get().is_none() {
                segment.close(&mut tail);
            }
        }
        let mark = segment.mark.get().expect("made above, and never taken away");
        mark.as_ref().map_err(Clone::clone)
    }

    /// Whether it is known that the launch has ended well.
    pub(super) fn is_past(&self) -> bool {
        matches!(self.0.outcome.get(), Some(Ok(())))
    }
}

impl<S: Marked> Wait for End<S> {
    fn wait(&self) -> Result<()> {
        if let Some(known) = self.0.outcome.get() {
            return known.clone();
        }
        let outcome = self.mark().and_then(Wait::wait);
        self.0.outcome.get_or_init(|| outcome).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::cuda::handle::{LaunchHandle, Waiter};

    /// A stream whose marks are numbers of launches that are behind them.
    #[derive(Default)]
    struct Counting {
        launched: AtomicUsize,
        marks: AtomicUsize,
        waits: Arc<AtomicUsize>,
    }

    struct Mark(usize, Arc<AtomicUsize>);

    impl Wait for Mark {
        fn wait(&self) -> Result<()> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    impl Marked for Counting {
        type Mark = Mark;

        fn mark(&self) -> Result<Mark> {
            self.marks.fetch_add(1, Ordering::SeqCst);
            Ok(Mark(self.launched.load(Ordering::SeqCst), self.waits.clone()))
        }
    }

    fn launch(track: &Arc<Track<Counting>>) -> (End<Counting>, LaunchHandle) {
        let mut entered = track.enter();
        track.stream().launched.fetch_add(1, Ordering::SeqCst);
        let end = entered.end();
        let handle = LaunchHandle::pending();
        entered.leave(handle.observed());
        (end, handle)
    }

    fn marks(track: &Track<Counting>) -> usize {
        track.stream().marks.load(Ordering::SeqCst)
    }

    #[test]
    fn launches_that_are_let_go_share_one_mark() {
        let track = Track::new(Counting::default());
        let ends: Vec<_> = (0..5).map(|_| launch(&track).0).collect();
        assert_eq!(marks(&track), 0, "nobody waits");
        assert_eq!(ends[1].mark().unwrap().0, 5);
        assert_eq!(ends[4].mark().unwrap().0, 5);
        assert_eq!(marks(&track), 1);
        let (later, _handle) = launch(&track);
        assert_eq!(later.mark().unwrap().0, 6, "what comes later has another one");
        assert_eq!(ends[0].mark().unwrap().0, 5);
    }

    #[test]
    fn a_launch_whose_handle_is_held_ends_where_it_ends() {
        let track = Track::new(Counting::default());
        let (first, gone) = launch(&track);
        drop(gone);
        let (second, held) = launch(&track);
        let (third, _handle) = launch(&track);
        assert_eq!(first.mark().unwrap().0, 2);
        assert_eq!(second.mark().unwrap().0, 2);
        assert_eq!(third.mark().unwrap().0, 3);
        drop(held);
    }

    #[test]
    fn what_is_past_is_not_waited_for_again() {
        let track = Track::new(Counting::default());
        let (first, _) = launch(&track);
        let (second, _) = launch(&track);
        assert!(!first.is_past());
        second.wait().unwrap();
        first.wait().unwrap();
        assert!(first.is_past());
        assert_eq!(track.stream().waits.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn ends_that_nobody_needs_keep_nothing() {
        let track = Track::new(Counting::default());
        drop((0..3).map(|_| launch(&track)).collect::<Vec<_>>());
        assert_eq!(Arc::strong_count(&track), 1);
        let waiter: Waiter<End<Counting>, ()> = Waiter::start("test").unwrap();
        let mut entered = track.enter();
        let (handle, unwatched) = waiter.watch(entered.end(), ());
        assert!(unwatched.is_none());
        entered.leave(handle.observed());
        handle.wait().unwrap();
        drop(waiter);
        while Arc::strong_count(&track) > 1 {
            std::thread::yield_now();
        }
    }
}
