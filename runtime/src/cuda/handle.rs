//! Launches on their way: who waits for them, and what lives until they end.
//!
//! In: an event, what must stay alive until it, and who wants to know. Out: a handle that can be
//! waited for by a thread or by a task. Keeps: a handle owns nothing of the launch, so dropping it
//! neither blocks nor leaks; what the launch needs is dropped when the launch has ended, at most
//! [`PAUSE`] later. A launch wakes no other thread while launches follow each other, as that would
//! take longer than the launch itself; a thread that waits for a launch waits for its event.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use warploom_ir::diag::Result;

use super::driver::environment;

/// How often a lane's thread looks for work that has ended and that nobody waits for.
const PAUSE: Duration = Duration::from_micros(500);
/// So often it looks where there is no work before it sleeps until there is.
const LOOKS: u32 = 40;

/// The lock of data that is whole between any two statements, so a panic elsewhere is no reason to
/// stop.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Progress {
    outcome: Option<Result<()>>,
    waker: Option<Waker>,
}

/// What a launch and its handle share.
#[derive(Default)]
struct State {
    progress: Mutex<Progress>,
    ended: Condvar,
}

impl State {
    fn finish(&self, outcome: Result<()>) {
        let mut progress = lock(&self.progress);
        progress.outcome = Some(outcome);
        let waker = progress.waker.take();
        drop(progress);
        self.ended.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Blocks until somebody has finished it.
    fn outcome(&self) -> Result<()> {
        let mut progress = lock(&self.progress);
        loop {
            if let Some(outcome) = &progress.outcome {
                return outcome.clone();
            }
            progress = self.ended.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A launch that may still run.
///
/// It is a `Future` that needs no runtime: a thread of the device wakes the task. Dropping it lets
/// the launch go on.
#[must_use = "a launch's failure is only seen by waiting for it"]
pub struct LaunchHandle {
    state: Arc<State>,
    /// The lane's work; none where there was nothing to do.
    lane: Option<Arc<dyn Settle>>,
}

impl LaunchHandle {
    /// A handle of work that has ended already.
    pub(super) fn done() -> Self {
        let state = Arc::new(State::default());
        state.finish(Ok(()));
        Self { state, lane: None }
    }

    /// Whether the launch has ended, well or not.
    #[must_use]
    pub fn is_done(&self) -> bool {
        if let Some(lane) = &self.lane {
            lane.collect();
        }
        lock(&self.state.progress).outcome.is_some()
    }

    /// Blocks until the launch has ended.
    ///
    /// # Errors
    /// `E1115` where the device stopped, `E1114` where the driver failed otherwise.
    pub fn wait(self) -> Result<()> {
        if let Some(lane) = &self.lane {
            lane.settle(&self.state);
        }
        self.state.outcome()
    }
}

impl Future for LaunchHandle {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut progress = lock(&self.state.progress);
        if let Some(outcome) = &progress.outcome {
            return Poll::Ready(outcome.clone());
        }
        progress.waker = Some(cx.waker().clone());
        drop(progress);
        if let Some(lane) = &self.lane {
            lane.hurry();
        }
        Poll::Pending
    }
}

/// Something that happens later.
pub(super) trait Wait: Send + Sync + 'static {
    /// Blocks until it has happened.
    fn wait(&self) -> Result<()>;

    /// Whether it has happened, or never will.
    fn happened(&self) -> bool;
}

/// Work on its way: `keep` lives until `end` has happened.
struct Pending<E, K> {
    end: E,
    keep: K,
    state: Arc<State>,
}

impl<E: Wait, K> Pending<E, K> {
    fn settle(self) {
        let Self { end, keep, state } = self;
        let outcome = end.wait();
        // first, so that whoever waited sees the memory given back
        drop(keep);
        drop(end);
        state.finish(outcome);
    }
}

/// The work of a lane that has not been seen to end, in order.
struct Queue<E, K> {
    work: VecDeque<Pending<E, K>>,
    /// A task waits for some of it.
    hurried: bool,
    /// The lane's thread sleeps until it is woken.
    asleep: bool,
    /// No more work will come.
    closed: bool,
}

struct Line<E, K> {
    queue: Mutex<Queue<E, K>>,
    bell: Condvar,
}

/// What a handle asks of its lane, whatever the lane's work is.
trait Settle: Send + Sync {
    /// Waits for the work with this state and all before it, unless others do.
    fn settle(&self, state: &Arc<State>);
    /// Settles what has ended.
    fn collect(&self);
    /// Tells the lane's thread that a task waits.
    fn hurry(&self);
}

impl<E: Wait, K: Send + 'static> Settle for Line<E, K> {
    fn settle(&self, state: &Arc<State>) {
        let mut queue = lock(&self.queue);
        let found = queue.work.iter().position(|p| Arc::ptr_eq(&p.state, state));
        let taken: Vec<Pending<E, K>> = match found {
            Some(at) => queue.work.drain(..=at).collect(),
            None => Vec::new(),
        };
        drop(queue);
        taken.into_iter().for_each(Pending::settle);
    }

    fn collect(&self) {
        let mut queue = lock(&self.queue);
        let count = queue.work.iter().take_while(|p| p.end.happened()).count();
        let taken: Vec<Pending<E, K>> = queue.work.drain(..count).collect();
        drop(queue);
        taken.into_iter().for_each(Pending::settle);
    }

    fn hurry(&self) {
        lock(&self.queue).hurried = true;
        self.bell.notify_one();
    }
}

/// The work of one lane, and the thread that sees to what nobody waits for.
///
/// The thread ends when this value is dropped and all work has ended.
pub(super) struct Waiter<E: Wait, K: Send + 'static> {
    line: Arc<Line<E, K>>,
}

impl<E: Wait, K: Send + 'static> Waiter<E, K> {
    /// # Errors
    /// `E1106` where the system gives no thread.
    pub(super) fn start(name: &str) -> Result<Self> {
        let queue = Queue { work: VecDeque::new(), hurried: false, asleep: false, closed: false };
        let line = Arc::new(Line { queue: Mutex::new(queue), bell: Condvar::new() });
        let served = Arc::clone(&line);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(&served))
            .map_err(|e| environment("E1106", format!("cannot start a thread: {e}")))?;
        Ok(Self { line })
    }

    /// Hands over work whose end is known to come.
    pub(super) fn watch(&self, end: E, keep: K) -> LaunchHandle {
        let state = Arc::new(State::default());
        let mut queue = lock(&self.line.queue);
        queue.work.push_back(Pending { end, keep, state: Arc::clone(&state) });
        let asleep = queue.asleep;
        drop(queue);
        if asleep {
            self.line.bell.notify_one();
        }
        let lane: Arc<dyn Settle> = Arc::clone(&self.line) as _;
        LaunchHandle { state, lane: Some(lane) }
    }
}

impl<E: Wait, K: Send + 'static> Drop for Waiter<E, K> {
    fn drop(&mut self) {
        lock(&self.line.queue).closed = true;
        self.line.bell.notify_one();
    }
}

fn serve<E: Wait, K: Send + 'static>(line: &Line<E, K>) {
    let mut looks = 0;
    loop {
        let mut queue = lock(&line.queue);
        if queue.hurried || queue.closed {
            match queue.work.pop_front() {
                Some(pending) => {
                    drop(queue);
                    pending.settle();
                    continue;
                }
                None if queue.closed => return,
                None => queue.hurried = false,
            }
        }
        looks = if queue.work.is_empty() { looks + 1 } else { 0 };
        if looks > LOOKS {
            queue.asleep = true;
            let nothing = |q: &mut Queue<E, K>| q.work.is_empty() && !q.closed;
            let mut queue =
                line.bell.wait_while(queue, nothing).unwrap_or_else(PoisonError::into_inner);
            queue.asleep = false;
            looks = 0;
            continue;
        }
        let idle = |q: &mut Queue<E, K>| !q.hurried && !q.closed;
        drop(line.bell.wait_timeout_while(queue, PAUSE, idle));
        line.collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use super::*;

    /// Work that ends when the test says so.
    #[derive(Clone)]
    struct Gate(Arc<(Mutex<Option<Result<()>>>, Condvar)>);

    impl Gate {
        fn new() -> Self {
            Self(Arc::new((Mutex::new(None), Condvar::new())))
        }

        fn open(&self, outcome: Result<()>) {
            *self.0.0.lock().unwrap() = Some(outcome);
            self.0.1.notify_all();
        }
    }

    impl Wait for Gate {
        fn wait(&self) -> Result<()> {
            let mut open = self.0.0.lock().unwrap();
            while open.is_none() {
                open = self.0.1.wait(open).unwrap();
            }
            open.clone().unwrap()
        }

        fn happened(&self) -> bool {
            self.0.0.lock().unwrap().is_some()
        }
    }

    struct Woken(AtomicUsize, std::thread::Thread);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            self.1.unpark();
        }
    }

    #[test]
    fn waiting_gives_the_outcome_and_what_was_kept_is_gone() {
        let waiter = Waiter::start("test").unwrap();
        let kept = Arc::new(());
        let (good, bad) = (Gate::new(), Gate::new());
        let first = waiter.watch(good.clone(), Arc::clone(&kept));
        let second = waiter.watch(bad.clone(), Arc::clone(&kept));
        assert!(!first.is_done());
        assert_eq!(Arc::strong_count(&kept), 3);
        good.open(Ok(()));
        first.wait().unwrap();
        assert_eq!(Arc::strong_count(&kept), 2);
        bad.open(Err(environment("E1115", "stopped")));
        assert_eq!(second.wait().unwrap_err().code, "E1115");
        assert_eq!(Arc::strong_count(&kept), 1);
    }

    #[test]
    fn a_future_is_woken_without_a_runtime() {
        let waiter = Waiter::start("test").unwrap();
        let gate = Gate::new();
        let mut handle = waiter.watch(gate.clone(), ());
        let woken = Arc::new(Woken(AtomicUsize::new(0), std::thread::current()));
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut handle).poll(&mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
        gate.open(Ok(()));
        while woken.0.load(Ordering::SeqCst) == 0 {
            std::thread::park_timeout(Duration::from_secs(10));
        }
        assert_eq!(Pin::new(&mut handle).poll(&mut cx), Poll::Ready(Ok(())));
    }

    #[test]
    fn what_nobody_waits_for_is_given_back_soon() {
        let waiter = Waiter::start("test").unwrap();
        let kept = Arc::new(());
        let gates: Vec<Gate> = (0..3).map(|_| Gate::new()).collect();
        for pause in [Duration::ZERO, PAUSE * (LOOKS + 10)] {
            // also where the thread sleeps already
            std::thread::sleep(pause);
            gates.iter().for_each(|g| drop(waiter.watch(g.clone(), Arc::clone(&kept))));
            gates.iter().for_each(|g| g.open(Ok(())));
            while Arc::strong_count(&kept) > 1 {
                std::thread::sleep(PAUSE);
            }
        }
    }

    #[test]
    fn several_threads_wait_for_one_lane() {
        let waiter = Waiter::start("test").unwrap();
        let gates: Vec<Gate> = (0..8).map(|_| Gate::new()).collect();
        let handles: Vec<_> = gates.iter().map(|g| waiter.watch(g.clone(), ())).collect();
        std::thread::scope(|scope| {
            // the last first
            let waits: Vec<_> =
                handles.into_iter().rev().map(|h| scope.spawn(move || h.wait())).collect();
            gates.iter().for_each(|g| g.open(Ok(())));
            waits.into_iter().for_each(|w| w.join().unwrap().unwrap());
        });
    }

    #[test]
    fn dropped_handles_detach_and_dropped_waiters_finish() {
        let waiter = Waiter::start("test").unwrap();
        let (gate, kept) = (Gate::new(), Arc::new(()));
        drop(waiter.watch(gate.clone(), Arc::clone(&kept)));
        let last = waiter.watch(gate.clone(), Arc::clone(&kept));
        drop(waiter);
        assert_eq!(Arc::strong_count(&kept), 3, "the work has not ended");
        gate.open(Ok(()));
        last.wait().unwrap();
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
