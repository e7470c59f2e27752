//! Deadlines: isl's own quota counts allocations and says little about time, so a thread with a
//! clock asks isl to stop.

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::sys;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The context's address, for the one call that may be made from another thread.
struct Target(*mut sys::isl_ctx);

// SAFETY: the watchdog only calls `isl_ctx_abort`, which stores one int that isl polls, and only
// while the deadline is among `Deadlines`; the guard takes it out before the context can be freed.
unsafe impl Send for Target {}

impl Target {
    fn abort(&self) {
        // SAFETY: the context is live, see `Send`.
        unsafe { sys::isl_ctx_abort(self.0) }
    }
}

/// A deadline that has not passed: what to stop then, and the flag that says that it was.
struct Deadline {
    target: Target,
    over: Arc<AtomicBool>,
}

/// All running deadlines of the process by time and number, and when the thread next looks.
#[derive(Default)]
struct Deadlines {
    running: BTreeMap<(Instant, u64), Deadline>,
    count: u64,
    looks: Option<Instant>,
}

/// What the deadlines and their one thread share. Why one thread: there are thousands of questions,
/// and starting a thread takes longer than most of their answers.
static WATCH: (Mutex<Option<Deadlines>>, Condvar) = (Mutex::new(None), Condvar::new());

fn deadlines() -> MutexGuard<'static, Option<Deadlines>> {
    WATCH.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the thread does: stops whatever is late, and waits for the next deadline.
fn watch() {
    let mut guard = deadlines();
    loop {
        let now = Instant::now();
        let state = guard.get_or_insert_default();
        while let Some(first) = state.running.first_entry().filter(|e| e.key().0 <= now) {
            let late = first.remove();
            late.over.store(true, Ordering::SeqCst);
            late.target.abort();
        }
        state.looks = state.running.keys().next().map(|(at, _)| *at);
        guard = match state.looks {
            None => WATCH.1.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(at) => match WATCH.1.wait_timeout(guard, at.saturating_duration_since(now)) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            },
        };
    }
}

/// Adds a deadline; its key.
fn add(deadline: Deadline, at: Instant) -> std::io::Result<(Instant, u64)> {
    let mut guard = deadlines();
    if guard.is_none() {
        std::thread::Builder::new().name("isl-deadline".into()).spawn(watch)?;
    }
    let state = guard.get_or_insert_default();
    state.count += 1;
    let key = (at, state.count);
    state.running.insert(key, deadline);
    // a thread that sleeps until an earlier deadline looks again then
    if state.looks.is_none_or(|looks| at < looks) {
        WATCH.1.notify_one();
    }
    Ok(key)
}

/// A running deadline; dropping it ends it and makes the context usable again.
struct Guard<'a> {
    ctx: &'a Ctx,
    key: (Instant, u64),
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(state) = deadlines().as_mut() {
            state.running.remove(&self.key);
        }
        let mut deadlines = self.ctx.0.deadlines.borrow_mut();
        deadlines.pop();
        // SAFETY: the context is live and nobody stops it any more for this deadline.
        unsafe { sys::isl_ctx_resume(self.ctx.raw()) };
        if deadlines.iter().any(|over| over.load(Ordering::SeqCst)) {
            // An outer deadline passed meanwhile: its abort must not be lost.
            Target(self.ctx.raw()).abort();
        }
    }
}

thread_local! {
    /// When every deadline of this thread is over.
    static END: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `f`; in it, deadlines of this thread end after `limit` at the latest, however many
/// questions are asked one after the other. Limits inside limits only shorten them.
pub fn within<T>(limit: Duration, f: impl FnOnce() -> T) -> T {
    struct Restore(Option<Instant>);
    impl Drop for Restore {
        fn drop(&mut self) {
            END.set(self.0);
        }
    }
    let outer = END.get();
    let end = Instant::now() + limit;
    END.set(Some(outer.map_or(end, |outer| outer.min(end))));
    let _restore = Restore(outer);
    f()
}

impl Ctx {
    /// Runs `f`; once `limit` has passed, isl calls of this context fail with
    /// [`ErrorKind::Aborted`], also the one that is running. The context is usable afterwards. An
    /// answer that `f` still produced is returned, an error after the deadline is `Aborted`.
    pub fn with_deadline<T, E: From<Error>>(
        &self,
        limit: Duration,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let left = END.get().map(|end| end.saturating_duration_since(Instant::now()));
        let limit = left.map_or(limit, |left| left.min(limit));
        if limit.is_zero() {
            let words = "no time is left".to_owned();
            return Err(Error::own("with_deadline", ErrorKind::Aborted, words).into());
        }
        let over = Arc::new(AtomicBool::new(false));
        let target = Target(self.raw());
        let deadline = Deadline { target, over: Arc::clone(&over) };
        let key = add(deadline, Instant::now() + limit).map_err(|error| {
            let words = format!("no thread for the deadline: {error}");
            Error::own("with_deadline", ErrorKind::Internal, words)
        })?;
        self.0.deadlines.borrow_mut().push(Arc::clone(&over));
        let guard = Guard { ctx: self, key };
        let answer = f();
        drop(guard);
        match answer {
            Err(_) if over.load(Ordering::SeqCst) => {
                let words = format!("stopped after {limit:?}");
                Err(Error::own("with_deadline", ErrorKind::Aborted, words).into())
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ScheduleConstraints, UnionAccessInfo, UnionMap, UnionSet};

    const DOMAIN: &str = "{ Si[q,k] : 0<=q,k<1024; S[q,k,d] : 0<=q,k<1024 and 0<=d<64; \
        Mi[q] : 0<=q<1024; M[q,k] : 0<=q,k<1024; E[q,k] : 0<=q,k<1024; Li[q] : 0<=q<1024; \
        L[q,k] : 0<=q,k<1024; Oi[q,d] : 0<=q<1024 and 0<=d<64; \
        O[q,k,d] : 0<=q,k<1024 and 0<=d<64; D[q,d] : 0<=q<1024 and 0<=d<64 }";
    const READS: &str = "{ S[q,k,d] -> Q[q,d]; S[q,k,d] -> Kt[k,d]; S[q,k,d] -> s[q,k]; \
        M[q,k] -> m[q]; M[q,k] -> s[q,k]; E[q,k] -> s[q,k]; E[q,k] -> m[q]; L[q,k] -> l[q]; \
        L[q,k] -> e[q,k]; O[q,k,d] -> e[q,k]; O[q,k,d] -> V[k,d]; O[q,k,d] -> o[q,d]; \
        D[q,d] -> o[q,d]; D[q,d] -> l[q] }";
    const WRITES: &str = "{ Si[q,k] -> s[q,k]; S[q,k,d] -> s[q,k]; Mi[q] -> m[q]; \
        M[q,k] -> m[q]; E[q,k] -> e[q,k]; Li[q] -> l[q]; L[q,k] -> l[q]; Oi[q,d] -> o[q,d]; \
        O[q,k,d] -> o[q,d]; D[q,d] -> o[q,d] }";
    const ORDER: &str = "{ Si[q,k] -> [0,q,k,0,0]; S[q,k,d] -> [0,q,k,1,d]; \
        Mi[q] -> [1,q,0,0,0]; M[q,k] -> [1,q,1,k,0]; E[q,k] -> [2,q,k,0,0]; \
        Li[q] -> [3,q,0,0,0]; L[q,k] -> [3,q,1,k,0]; Oi[q,d] -> [4,q,d,0,0]; \
        O[q,k,d] -> [4,q,d,1,k]; D[q,d] -> [5,q,d,0,0] }";

    fn attention(ctx: &Ctx) -> crate::Result<ScheduleConstraints> {
        let domain = UnionSet::parse(ctx, DOMAIN)?;
        let map = |text| UnionMap::parse(ctx, text)?.intersect_domain(&domain);
        let (reads, writes, order) = (map(READS)?, map(WRITES)?, map(ORDER)?);
        let flow = |sink: &UnionMap| -> crate::Result<UnionAccessInfo> {
            let info = UnionAccessInfo::from_sink(sink)?.set_must_source(&writes)?;
            info.set_may_source(&reads)?.set_schedule_map(&order)
        };
        let raw = flow(&reads)?.compute_flow()?.may_dependence()?;
        let all = flow(&writes)?.compute_flow()?.may_dependence()?.union(&raw)?;
        let constraints = ScheduleConstraints::on_domain(&domain)?.set_validity(&all)?;
        constraints.set_coincidence(&all)?.set_proximity(&raw)
    }

    #[test]
    fn stops_a_runaway_scheduler_and_the_context_goes_on() {
        let ctx = Ctx::new();
        let constraints = attention(&ctx).unwrap();
        // SAFETY: the context is live. The option is not part of `ScheduleOptions`.
        unsafe { sys::isl_options_set_schedule_whole_component(ctx.raw(), 1) };
        let start = Instant::now();
        let answer = ctx.with_deadline(Duration::from_millis(400), || constraints.compute());
        assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
        assert_eq!(answer.unwrap_err().kind, ErrorKind::Aborted);
        let schedule = constraints.compute_schedule(&crate::ScheduleOptions::default()).unwrap();
        assert!(schedule.domain().unwrap().is_equal(&constraints.domain().unwrap()).unwrap());
    }

    #[test]
    fn questions_share_the_time_of_a_thread() {
        let slow = || -> crate::Result<()> {
            std::thread::sleep(Duration::from_millis(120));
            Ok(())
        };
        let asked = |n: usize| -> Vec<crate::Result<()>> {
            let ctx = Ctx::new();
            (0..n).map(|_| ctx.with_deadline(Duration::from_secs(60), slow)).collect()
        };
        let answers = within(Duration::from_millis(200), || {
            // a longer limit inside does not lengthen it
            within(Duration::from_secs(60), || asked(4))
        });
        let late = |a: &crate::Result<()>| a.as_ref().is_err_and(|e| e.kind == ErrorKind::Aborted);
        assert!(answers[0].is_ok() && late(&answers[2]) && late(&answers[3]), "{answers:?}");
        assert!(asked(1)[0].is_ok(), "the limit ends with `within`");
    }
}
