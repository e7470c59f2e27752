//! Mistakes planted on purpose, to show that the random tests find them.
//!
//! In: `plant` chooses one for the calling thread. Out: [`planted`], asked where it would be made.
//! Keeps: without the feature `planted-bugs`, which no build that is released may turn on, the
//! answer is the constant `false` and there is no `plant`. Why here: scheduler and code generation
//! make them, and neither sees the other.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// Flow dependences are not found.
    NoFlow,
    /// Anti dependences are not found.
    NoAnti,
    /// Output dependences are not found.
    NoOutput,
    /// Updates of a `serial` reduction count as free to change their order.
    SerialReordered,
    /// Every loop counts as parallel.
    ParallelUnchecked,
    /// Guards let one more iteration pass.
    GuardOffByOne,
    /// Loops lose their last iteration.
    LoopEndOffByOne,
    /// Two perfectly nested loops are generated in the wrong order.
    SwappedLoops,
    /// The first two parts of a sequence are generated in the wrong order.
    SwappedStatements,
    /// Full tiles are taken to be one longer than their condition says.
    TileRemainder,
    /// The buffer of `stage` is one element too short.
    StageFootprint,
    /// Accumulators of products start with 0.
    WrongIdentity,
    /// `skew` skews to the wrong side.
    SkewSign,
    /// `fuse` forgets its shift.
    FuseShift,
    /// Unsigned numbers are compared, divided and shifted as signed ones.
    Signedness,
    /// Products and sums of `strict` statements are contracted.
    StrictContracted,
    /// `min` and `max` are exchanged.
    MinMax,
}

#[cfg(all(feature = "planted-bugs", not(debug_assertions)))]
compile_error!("`planted-bugs` is for tests: it must not be in a build without debug assertions");

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Makes this mistake, or none, on this thread from now on.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether to make this mistake.
#[cfg(feature = "planted-bugs")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether to make this mistake: never.
#[cfg(not(feature = "planted-bugs"))]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}
