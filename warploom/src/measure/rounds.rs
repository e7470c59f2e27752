//! Rounds of turns.
//!
//! In: contestants. Out: the seconds of their turns, one list for each, all as long.
//! Keeps: the first turn of each warms up and does not count.

use std::time::{Duration, Instant};

/// One that can be asked for a turn.
pub trait Contestant {
    /// What may go wrong.
    type Error;

    /// Runs `warm` times without a clock, then once, and answers the seconds of that.
    ///
    /// # Errors
    /// What stops it from running.
    fn turn(&mut self, warm: usize) -> Result<f64, Self::Error>;
}

/// How many rounds are measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// The most, beside the first, which warms up.
    pub most: usize,
    /// The fewest, likewise.
    pub fewest: usize,
    /// No round beyond the fewest begins after this.
    pub budget: Duration,
    /// Runs without a clock before one that is measured, where they take this long in all at most.
    pub warm: usize,
    /// See `warm`.
    pub warm_for: Duration,
}

impl Rounds {
    /// Lets contestants take turns.
    ///
    /// # Errors
    /// The first error of a turn.
    pub fn measure<E>(
        &self,
        contestants: &mut [&mut dyn Contestant<Error = E>],
    ) -> Result<Vec<Vec<f64>>, E> {
        let begun = Instant::now();
        let warm = |last: f64| {
            let fits = self.warm_for.as_secs_f64() / last.max(1e-9);
            self.warm.min(fits as usize)
        };
        let mut last = Vec::with_capacity(contestants.len());
        for one in contestants.iter_mut() {
            last.push(one.turn(1)?);
        }
        let mut times = vec![Vec::new(); contestants.len()];
        let mut done = 0;
        while done < self.most && (done < self.fewest || begun.elapsed() < self.budget) {
            for k in 0..contestants.len() {
                let k = if done % 2 == 0 { k } else { contestants.len() - 1 - k };
                last[k] = contestants[k].turn(warm(last[k]))?;
                times[k].push(last[k]);
            }
            done += 1;
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers the same seconds and notes how many launches it was asked to make before.
    struct Constant(f64, Vec<usize>);

    impl Contestant for Constant {
        type Error = String;

        fn turn(&mut self, warm: usize) -> Result<f64, String> {
            self.1.push(warm);
            Ok(self.0)
        }
    }

    fn rounds(most: usize, budget: Duration) -> Rounds {
        Rounds { most, fewest: 2, budget, warm: 10, warm_for: Duration::from_millis(50) }
    }

    #[test]
    fn contestants_take_as_many_turns() {
        let (mut a, mut b) = (Constant(1e-5, Vec::new()), Constant(0.02, Vec::new()));
        let times = rounds(7, Duration::from_secs(60)).measure(&mut [&mut a, &mut b]).unwrap();
        assert_eq!(times, [vec![1e-5; 7], vec![0.02; 7]]);
        assert_eq!(a.1, [1, 10, 10, 10, 10, 10, 10, 10]);
        assert_eq!(b.1, [1, 2, 2, 2, 2, 2, 2, 2], "long launches warm up in fewer");
    }

    #[test]
    fn without_time_the_fewest_rounds_are_measured() {
        let (mut a, mut b) = (Constant(1.0, Vec::new()), Constant(1.0, Vec::new()));
        let times = rounds(7, Duration::ZERO).measure(&mut [&mut a, &mut b]).unwrap();
        assert_eq!((times[0].len(), times[1].len()), (2, 2));
        assert_eq!(a.1, [1, 0, 0]);
    }

    #[test]
    fn every_other_round_goes_the_other_way() {
        use std::cell::RefCell;
        use std::rc::Rc;

        struct Named(&'static str, Rc<RefCell<String>>);
        impl Contestant for Named {
            type Error = ();

            fn turn(&mut self, _warm: usize) -> Result<f64, ()> {
                self.1.borrow_mut().push_str(self.0);
                Ok(1.0)
            }
        }
        let order = Rc::new(RefCell::new(String::new()));
        let [mut a, mut b, mut c] = ["a", "b", "c"].map(|n| Named(n, Rc::clone(&order)));
        let all: &mut [&mut dyn Contestant<Error = ()>] = &mut [&mut a, &mut b, &mut c];
        rounds(3, Duration::from_secs(60)).measure(all).unwrap();
        assert_eq!(*order.borrow(), "abcabccbaabc");
    }

    #[test]
    fn an_error_ends_the_rounds() {
        struct Broken;
        impl Contestant for Broken {
            type Error = String;

            fn turn(&mut self, _warm: usize) -> Result<f64, String> {
                Err("it ended".to_owned())
            }
        }
        let mut a = Constant(1.0, Vec::new());
        let made = rounds(3, Duration::ZERO).measure(&mut [&mut a, &mut Broken]);
        assert_eq!(made.unwrap_err(), "it ended");
    }
}
