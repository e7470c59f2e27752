//! Mistakes planted on purpose, to show that the random tests find them.
//!
//! In: `plant` chooses one for the calling thread. Out: [`planted`], asked where it would be made.
//! Keeps: without the feature `planted-bugs`, which no build that is released may turn on, the
//! answer is the constant `false` and there is no `plant`.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bug {
    /// Unsigned numbers are compared, divided and shifted as signed ones.
    Signedness,
    /// Products and sums of `strict` statements are contracted.
    StrictContracted,
    /// `min` and `max` are exchanged.
    MinMax,
}

impl Bug {
    /// Every mistake.
    pub const ALL: [Self; 3] = [Self::Signedness, Self::StrictContracted, Self::MinMax];
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
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether to make this mistake: never.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
