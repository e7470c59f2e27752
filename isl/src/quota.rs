//! Limits on isl's work that do not depend on the machine's speed.
//!
//! In: a number of operations (allocations and pivots), and questions. Out: the answers, or
//! [`crate::ErrorKind::Quota`]. A limit on time is `watchdog`'s.

use crate::ctx::Ctx;
use crate::error::Error;
use crate::sys;

/// Gives the context the limit back that it had.
struct Guard<'a> {
    ctx: &'a Ctx,
    outer: std::ffi::c_ulong,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is live.
        unsafe {
            sys::isl_ctx_set_max_operations(self.ctx.raw(), self.outer);
            sys::isl_ctx_reset_operations(self.ctx.raw());
        }
    }
}

impl Ctx {
    /// Runs `f`; once isl has done so many operations in it, isl calls of this context fail with
    /// [`crate::ErrorKind::Quota`] until `f` returns. A limit around this one starts anew after it.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn with_quota<T, E: From<Error>>(
        &self,
        operations: u32,
        f: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        // SAFETY: the context is live.
        let outer = unsafe { sys::isl_ctx_get_max_operations(self.raw()) };
        let _guard = Guard { ctx: self, outer };
        // SAFETY: the context is live.
        unsafe {
            sys::isl_ctx_set_max_operations(self.raw(), operations.max(1).into());
            sys::isl_ctx_reset_operations(self.raw());
        }
        f()
    }
}

#[cfg(test)]
mod tests {
    use crate::{Ctx, ErrorKind, Set};

    #[test]
    fn a_quota_ends_with_its_questions() {
        let ctx = Ctx::new();
        let read = || Set::parse(&ctx, "[n] -> { A[i, j] : 0 <= i < n and i <= j < 2n }");
        let set = read().expect("nothing limits it");
        let other = Set::parse(&ctx, "[n] -> { A[i, j] : 3 <= i < 2n and j mod 3 = 1 }").unwrap();
        let small = ctx.with_quota(3, || set.subtract(&other));
        assert_eq!(small.expect_err("too little").kind, ErrorKind::Quota);
        assert!(ctx.with_quota(1_000_000, || set.coalesce()).is_ok());
        assert!(set.coalesce().is_ok());
    }
}
