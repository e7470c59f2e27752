//! The digits of the number of a thread's piece.
//!
//! In: a thread's number and a constant. Out: digit by digit of their sum, each as a value of the
//! thread plus a constant. Keeps: where the sizes allow it, a constant stays one, so that the
//! addresses of a thread's pieces differ by constants.

use crate::llvm::build::{Function, Value};

/// What is left of a number: a value of the thread, below `range`, and a constant.
pub(super) struct Deal {
    moving: Value,
    range: i64,
    fixed: i64,
}

impl Deal {
    /// A thread's number (i32) among so many, plus a constant.
    pub(super) fn new(thread: &Value, threads: i64, fixed: i64) -> Self {
        Self { moving: thread.clone(), range: threads, fixed }
    }

    /// Takes the lowest digit of this radix: a value, if it moves, and what is added to it.
    pub(super) fn digit(&mut self, f: &mut Function, radix: i64) -> (Option<Value>, i64) {
        if radix == 1 {
            return (None, 0);
        }
        if self.range == 1 || radix % self.range == 0 && self.fixed % self.range == 0 {
            // no carry: what the constant leaves free has room for the value
            let moving = (self.range > 1).then(|| self.moving.clone());
            let digit = self.fixed % radix;
            (self.range, self.fixed) = (1, self.fixed / radix);
            return (moving, digit);
        }
        if self.range % radix != 0 || self.fixed % radix != 0 {
            self.moving = f.bin_int("add nuw nsw", &self.moving, self.fixed.into());
            self.range = self.range.saturating_add(self.fixed);
            self.fixed = 0;
        }
        let digit = f.bin_int("urem", &self.moving, radix.into());
        self.moving = f.bin_int("udiv", &self.moving, radix.into());
        self.range = (self.range - 1) / radix + 1;
        self.fixed /= radix;
        (Some(digit), 0)
    }
}
