//! The search on spaces whose times are known.

use super::*;
use crate::tune::record::Key;
use warploom_ir::target::Target;
use warploom_scheduler::{Hole, HoleOption};

/// A laboratory with times of its own.
struct Known<'a> {
    time: &'a dyn Fn(&Choices) -> f64,
    /// Points that are refused.
    refuses: &'a dyn Fn(&Choices) -> bool,
    made: Vec<String>,
    turns: u64,
    /// Fails at this race.
    fails_at: Option<usize>,
    races: usize,
}

impl Lab for Known<'_> {
    type Ready = Choices;

    fn make(
        &mut self,
        points: &[Choices],
        known: &(dyn Fn(&str) -> bool + Sync),
        _over: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<(Choices, Made<Choices>)>> {
        let mut out = Vec::new();
        for point in points {
            let script = format!("# {point}\n");
            if known(&script) {
                continue;
            }
            self.made.push(point.to_string());
            let made = if (self.refuses)(point) {
                Made::Dropped(Candidate {
                    choices: point.to_string(),
                    status: Status::Refused,
                    best: false,
                    why: Some("it is odd".to_owned()),
                    estimate: None,
                    checked: None,
                    us: Vec::new(),
                    script,
                })
            } else {
                Made::Ready(script, "nothing".to_owned(), point.clone())
            };
            out.push((point.clone(), made));
        }
        Ok(out)
    }

    fn race(&mut self, entrants: &[&Choices], rounds: usize) -> Result<Vec<Vec<f64>>> {
        self.races += 1;
        if self.fails_at == Some(self.races) {
            let d = warploom_ir::diag::Diagnostic::input("E1115", "the device stopped");
            return Err(Box::new(d));
        }
        let mut noise = || {
            self.turns += 1;
            1.0 + 0.02 * (random_word(5, self.turns) % 1000) as f64 / 1000.0
        };
        let mut turn = |e: &Choices| (0..rounds).map(|_| (self.time)(e) * noise()).collect();
        Ok(entrants.iter().map(|e| turn(e)).collect())
    }
}

/// 20 × 20 points, usually at 2, 2.
fn grid() -> Space {
    let option = |x, y| HoleOption { values: vec![x, y], estimate: None };
    let mut options = vec![option(2, 2)];
    options.extend((0..400).map(|k| option(k % 20, k / 20)).filter(|o| o.values != [2, 2]));
    Space::new(vec![Hole { name: "a".into(), sizes: &["x", "y"], options, taken: 0 }])
}

/// A bowl whose least time is at 13, 9.
fn bowl(point: &Choices) -> f64 {
    let [x, y] = *point.0.get("a").map_or(&[2, 2][..], Vec::as_slice) else { return 1.0 };
    1e-3 * (1.0 + 0.05 * ((x - 13).pow(2) + (y - 9).pow(2)) as f64)
}

fn empty() -> Record {
    let device = "a device".to_owned();
    Record::new(&Key { nest: "a nest".to_owned(), target: Target::Cpu, device })
}

fn known<'a>(
    time: &'a dyn Fn(&Choices) -> f64,
    refuses: &'a dyn Fn(&Choices) -> bool,
) -> Known<'a> {
    Known { time, refuses, made: Vec::new(), turns: 0, fails_at: None, races: 0 }
}

fn limits(stop: &AtomicBool, most: usize) -> Limits<'_> {
    let budget = Duration::from_secs(3600);
    Limits { begun: Instant::now(), budget, batch: 8, most, seed: 1, stop }
}

#[test]
fn it_finds_the_bottom_of_a_bowl_without_trying_all() {
    let (stop, none) = (AtomicBool::new(false), |_: &Choices| false);
    let mut lab = known(&bowl, &none);
    let mut notes = 0;
    let record = search(&mut lab, &grid(), empty(), &limits(&stop, 150), &mut |r, p| {
        notes += 1;
        // what is noted can be read again, and names a leader
        assert_eq!(Record::read(&r.text()).unwrap(), *r, "read again");
        assert!(r.best().is_some() && p.best.is_some() && p.usual.is_some());
        Ok(())
    });
    let record = record.unwrap();
    let best = record.best().unwrap();
    assert!(best.times().median < 1.1e3, "{} at {}", best.times().median, best.choices);
    assert!(notes > 3 && record.candidates.len() < 170);
    let distinct: BTreeSet<&String> = lab.made.iter().collect();
    assert_eq!(distinct.len(), lab.made.len(), "something was made twice");
}

#[test]
fn what_is_refused_is_on_record_and_never_leads() {
    let stop = AtomicBool::new(false);
    let odd = |c: &Choices| c.0.get("a").is_some_and(|v| v.iter().sum::<i64>() % 2 == 1);
    let record =
        search(&mut known(&bowl, &odd), &grid(), empty(), &limits(&stop, 100), &mut |_, _| Ok(()));
    let record = record.unwrap();
    let dropped = record.candidates.iter().filter(|c| c.status == Status::Refused);
    assert!(dropped.count() > 10);
    assert_eq!(record.best().unwrap().status, Status::Measured);
    assert!(Record::read(&record.text()).is_ok());
}

#[test]
fn the_first_race_is_held_whatever_the_time() {
    for (stopped, budget) in [(true, 3600), (false, 0)] {
        let stop = AtomicBool::new(stopped);
        let limits = Limits { budget: Duration::from_secs(budget), ..limits(&stop, 1000) };
        let none = |_: &Choices| false;
        let mut lab = known(&bowl, &none);
        let record = search(&mut lab, &grid(), empty(), &limits, &mut |_, _| Ok(())).unwrap();
        assert!(record.best().is_some());
        assert_eq!(lab.races, 1, "no more than one heat");
    }
}

#[test]
fn a_record_goes_on_where_it_ended() {
    let (stop, none) = (AtomicBool::new(false), |_: &Choices| false);
    let mut lab = known(&bowl, &none);
    let first = search(&mut lab, &grid(), empty(), &limits(&stop, 60), &mut |_, _| Ok(())).unwrap();
    let old = first.best().unwrap().choices.clone();
    let mut lab = known(&bowl, &none);
    let second =
        search(&mut lab, &grid(), first.clone(), &limits(&stop, 90), &mut |_, _| Ok(())).unwrap();
    assert_eq!(lab.made[..2], [String::new(), old], "the best on record is in the first race");
    assert!(second.candidates.len() > first.candidates.len());
    let scripts: BTreeSet<&String> = second.candidates.iter().map(|c| &c.script).collect();
    assert_eq!(scripts.len(), second.candidates.len(), "no script has two entries");
}

#[test]
fn a_device_that_stops_leaves_the_leader() {
    let (stop, none) = (AtomicBool::new(false), |_: &Choices| false);
    let mut lab = Known { fails_at: Some(6), ..known(&bowl, &none) };
    let record = search(&mut lab, &grid(), empty(), &limits(&stop, 500), &mut |_, _| Ok(()));
    assert!(record.unwrap().best().is_some());
    let mut lab = Known { fails_at: Some(1), ..known(&bowl, &none) };
    let record = search(&mut lab, &grid(), empty(), &limits(&stop, 500), &mut |_, _| Ok(()));
    assert_eq!(record.unwrap_err().code, "E1115");
}

#[test]
fn a_small_space_ends_the_search() {
    let (stop, none) = (AtomicBool::new(false), |_: &Choices| false);
    let options = [[1, 1], [2, 1], [3, 1]].map(|v| HoleOption { values: v.into(), estimate: None });
    let options = options.to_vec();
    let space = Space::new(vec![Hole { name: "a".into(), sizes: &["x", "y"], options, taken: 0 }]);
    let record =
        search(&mut known(&bowl, &none), &space, empty(), &limits(&stop, 1000), &mut |_, _| Ok(()));
    assert_eq!(record.unwrap().candidates.len(), 3);
}
