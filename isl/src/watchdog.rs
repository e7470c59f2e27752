//! Deadlines: isl's own quota counts allocations and says little about time, so a thread with a
//! clock asks isl to stop.

use crate::ctx::Ctx;
use crate::error::{Error, ErrorKind};
use crate::sys;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The context's address, for the one call that may be made from another thread.
struct Target(*mut sys::isl_ctx);

// SAFETY: the watchdog only calls `isl_ctx_abort`, which stores one int that isl polls; the guard
// joins the thread before the context can be freed.
unsafe impl Send for Target {}

impl Target {
    fn abort(&self) {
        // SAFETY: the context outlives the thread, see `Send`.
        unsafe { sys::isl_ctx_abort(self.0) }
    }
}

/// A running deadline; dropping it stops the thread and makes the context usable again.
struct Guard<'a> {
    ctx: &'a Ctx,
    done: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        *self.done.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.done.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // The thread has nothing that panics; if it did, there is nothing left to stop.
            let _ = thread.join();
        }
        let mut deadlines = self.ctx.0.deadlines.borrow_mut();
        deadlines.pop();
        // SAFETY: the context is live and its watchdog is gone.
        unsafe { sys::isl_ctx_resume(self.ctx.raw()) };
        if deadlines.iter().any(|over| over.load(Ordering::SeqCst)) {
            // An outer deadline passed meanwhile: its abort must not be lost.
            Target(self.ctx.raw()).abort();
        }
    }
}

fn wait(done: &(Mutex<bool>, Condvar), limit: Duration) -> bool {
    let start = Instant::now();
    let mut finished = done.0.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if *finished {
            return false;
        }
        let Some(left) = limit.checked_sub(start.elapsed()).filter(|d| !d.is_zero()) else {
            return true;
        };
        finished = match done.1.wait_timeout(finished, left) {
            Ok((guard, _)) => guard,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
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
        let over = Arc::new(AtomicBool::new(false));
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let target = Target(self.raw());
        let (over_there, done_there) = (Arc::clone(&over), Arc::clone(&done));
        let thread = std::thread::Builder::new().name("isl-deadline".into()).spawn(move || {
            let target = target;
            if wait(&done_there, limit) {
                over_there.store(true, Ordering::SeqCst);
                target.abort();
            }
        });
        let thread = thread.map_err(|error| {
            let words = format!("no thread for the deadline: {error}");
            Error::own("with_deadline", ErrorKind::Internal, words)
        })?;
        self.0.deadlines.borrow_mut().push(Arc::clone(&over));
        let guard = Guard { ctx: self, done, thread: Some(thread) };
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
}
