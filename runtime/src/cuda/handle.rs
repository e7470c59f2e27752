//! Launches on their way: who waits for them, and what lives until they end.
//!
//! In: an event, what must stay alive until it, and who wants to know. Out: a handle that can be
//! waited for by a thread or by a task. Keeps: a handle owns nothing of the launch, so dropping it
//! neither blocks nor leaks; what the launch needs is dropped when the launch has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use warploom_ir::diag::Result;

use super::driver::environment;

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
    /// The handle was dropped.
    let_go: AtomicBool,
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
}

/// A launch that may still run.
///
/// It is a `Future` that needs no runtime: a thread of the device wakes the task. Dropping it lets
/// the launch go on.
#[must_use = "a launch's failure is only seen by waiting for it"]
pub struct LaunchHandle {
    state: Arc<State>,
}

/// Whether someone still holds a launch's handle.
pub(super) struct Observed(Arc<State>);

impl Observed {
    /// Whether the handle is there.
    pub(super) fn is_held(&self) -> bool {
        !self.0.let_go.load(Ordering::Acquire)
    }
}

impl Drop for LaunchHandle {
    fn drop(&mut self) {
        self.state.let_go.store(true, Ordering::Release);
    }
}

impl LaunchHandle {
    /// A handle of work that has ended already.
    pub(super) fn done() -> Self {
        let state = Arc::new(State::default());
        state.finish(Ok(()));
        Self { state }
    }

    /// A handle of work that nothing watches.
    #[cfg(test)]
    pub(super) fn pending() -> Self {
        Self { state: Arc::default() }
    }

    /// Tells others whether this handle is still there.
    pub(super) fn observed(&self) -> Observed {
        Observed(Arc::clone(&self.state))
    }

    /// Whether the launch has ended, well or not.
    #[must_use]
    pub fn is_done(&self) -> bool {
        lock(&self.state.progress).outcome.is_some()
    }

    /// Blocks until the launch has ended.
    ///
    /// # Errors
    /// `E1115` where the device stopped, `E1114` where the driver failed otherwise.
    pub fn wait(self) -> Result<()> {
        let mut progress = lock(&self.state.progress);
        loop {
            if let Some(outcome) = &progress.outcome {
                return outcome.clone();
            }
            progress = self.state.ended.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
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
        Poll::Pending
    }
}

/// Something that happens later.
pub(super) trait Wait: Send + Sync + 'static {
    /// Blocks until it has happened.
    fn wait(&self) -> Result<()>;
}

/// Work on its way: `keep` lives until `end` has happened.
pub(super) struct Pending<E, K> {
    end: E,
    keep: K,
    state: Arc<State>,
}

/// The thread that waits for the work of one lane, in order.
///
/// It ends when this value is dropped and all work has ended.
pub(super) struct Waiter<E, K> {
    inbox: Sender<Pending<E, K>>,
}

impl<E: Wait, K: Send + 'static> Waiter<E, K> {
    /// # Errors
    /// `E1106` where the system gives no thread.
    pub(super) fn start(name: &str) -> Result<Self> {
        let (inbox, work) = channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(&work))
            .map_err(|e| environment("E1106", format!("cannot start a thread: {e}")))?;
        Ok(Self { inbox })
    }

    /// Hands over work whose end is known to come. It comes back where the thread is gone, which
    /// only a panic in a waker can cause: then the caller waits, when it holds no lock.
    pub(super) fn watch(&self, end: E, keep: K) -> (LaunchHandle, Option<Pending<E, K>>) {
        let state = Arc::new(State::default());
        let pending = Pending { end, keep, state: Arc::clone(&state) };
        (LaunchHandle { state }, self.inbox.send(pending).err().map(|refused| refused.0))
    }
}

fn serve<E: Wait, K>(work: &Receiver<Pending<E, K>>) {
    while let Ok(pending) = work.recv() {
        pending.settle();
    }
}

impl<E: Wait, K> Pending<E, K> {
    /// Waits for the end, and lets go what was kept until then.
    pub(super) fn settle(self) {
        let Self { end, keep, state } = self;
        let outcome = end.wait();
        // first, so that whoever waited sees the memory given back
        drop(keep);
        drop(end);
        state.finish(outcome);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
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
        let first = waiter.watch(good.clone(), Arc::clone(&kept)).0;
        let second = waiter.watch(bad.clone(), Arc::clone(&kept)).0;
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
        let mut handle = waiter.watch(gate.clone(), ()).0;
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
    fn dropped_handles_detach_and_dropped_waiters_finish() {
        let waiter = Waiter::start("test").unwrap();
        let (gate, kept) = (Gate::new(), Arc::new(()));
        drop(waiter.watch(gate.clone(), Arc::clone(&kept)));
        let last = waiter.watch(gate.clone(), Arc::clone(&kept)).0;
        drop(waiter);
        assert_eq!(Arc::strong_count(&kept), 3, "the work has not ended");
        gate.open(Ok(()));
        last.wait().unwrap();
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
