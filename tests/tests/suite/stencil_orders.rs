//! Orders of stencils, executed: what is accepted computes the same, what is refused does not.
//!
//! A script is applied twice: by the scheduler, and by [`Order`] here, which only knows what each
//! step does to the rows of a loop nest with one statement. Refusals are not believed: the two
//! instances of the witness are looked up in both orders, and both orders are run.

use std::collections::BTreeMap;

use warploom::{Name, Nest, Schedule, Script, Session, compile};
use warploom_ir::affine::Affine;
use warploom_ir::interp;
use warploom_ir::nest::Statement;
use warploom_scheduler::{Illegal, Witness};
use warploom_tests::{Bits, examples, random_inputs};

type Sizes = BTreeMap<Name, i64>;
type Instance = (Name, Vec<i64>);

/// The loops around one statement: a name and the value at an instance.
#[derive(Clone, Debug)]
struct Order(Vec<(String, Affine)>);

/// One step, as text and as a change of rows.
#[derive(Clone, Debug)]
enum Step {
    /// Tiles of sizes for loops that follow each other, from the first one's place.
    Tile(usize, Vec<i64>),
    /// Target, factor, by.
    Skew(usize, i64, usize),
    /// Places of the old loops in the new order.
    Reorder(Vec<usize>),
    Reverse(usize),
    Shift(usize, i64),
}

impl Order {
    /// The loops as the nest has them.
    fn of(nest: &Nest) -> Self {
        let loops = nest.statements()[0].loops.clone();
        Self(loops.iter().map(|l| (l.var.to_string(), Affine::var(l.var.clone()))).collect())
    }

    fn text(&self, step: &Step) -> String {
        let name = |k: usize| self.0[k].0.as_str();
        let list = |items: &[String]| items.join(", ");
        match step {
            Step::Tile(first, sizes) => {
                let names: Vec<String> = (0..sizes.len()).map(|k| name(first + k).into()).collect();
                let sizes: Vec<String> = sizes.iter().map(ToString::to_string).collect();
                format!("tile {} by {}", list(&names), list(&sizes))
            }
            Step::Skew(target, factor, by) => {
                format!("skew {} by {factor}*{}", name(*target), name(*by))
            }
            Step::Reorder(places) => {
                let names: Vec<String> = places.iter().map(|&k| name(k).into()).collect();
                format!("reorder {}", list(&names))
            }
            Step::Reverse(k) => format!("reverse {}", name(*k)),
            Step::Shift(k, by) => format!("shift {} by {by}", name(*k)),
        }
    }

    fn apply(&self, step: &Step) -> Self {
        let mut rows = self.0.clone();
        match step {
            Step::Tile(first, sizes) => {
                let old: Vec<_> = rows.splice(first..&(first + sizes.len()), []).collect();
                let tiles = old.iter().zip(sizes).map(|((name, row), &size)| {
                    (format!("{name}.0"), row.floor_div(size).expect("it is small"))
                });
                let points = old.iter().map(|(name, row)| (format!("{name}.1"), row.clone()));
                let new: Vec<_> = tiles.chain(points).collect();
                rows.splice(first..first, new);
            }
            Step::Skew(target, factor, by) => {
                let more = rows[*by].1.scale(*factor).expect("it is small");
                rows[*target].1 = rows[*target].1.add(&more).expect("it is small");
            }
            Step::Reorder(places) => rows = places.iter().map(|&k| rows[k].clone()).collect(),
            Step::Reverse(k) => rows[*k].1 = rows[*k].1.scale(-1).expect("it is small"),
            Step::Shift(k, by) => rows[*k].1 = rows[*k].1.add_const(*by).expect("it is small"),
        }
        Self(rows)
    }

    /// When an instance runs.
    fn time(&self, case: &Case, instance: &[i64]) -> Vec<i64> {
        self.0.iter().map(|(_, row)| case.value(row, instance)).collect()
    }

    /// All instances in this order.
    fn sorted(&self, case: &Case) -> Vec<Instance> {
        let mut all = case.instances();
        all.sort_by_cached_key(|(_, at)| self.time(case, at));
        all
    }
}

/// A nest with one statement at given sizes.
struct Case<'a> {
    nest: &'a Nest,
    iters: Vec<Name>,
    sizes: Sizes,
}

impl<'a> Case<'a> {
    fn new(nest: &'a Nest, sizes: Sizes) -> Self {
        let iters = nest.statements()[0].loops.iter().map(|l| l.var.clone()).collect();
        Self { nest, iters, sizes }
    }

    fn statement(&self) -> &'a Statement {
        self.nest.statements()[0].statement
    }

    fn value(&self, e: &Affine, instance: &[i64]) -> i64 {
        let iter = |v: &str| self.iters.iter().position(|i| &**i == v).map(|k| instance[k]);
        e.eval(&|v| iter(v).or_else(|| self.sizes.get(v).copied())).expect("every name is known")
    }

    fn instances(&self) -> Vec<Instance> {
        interp::nest::instances(self.nest, &self.sizes, 100_000).expect("sizes are small")
    }

    /// Elements that an instance touches, the one it writes first.
    fn touched(&self, instance: &[i64]) -> Vec<(Name, Vec<i64>)> {
        let s = self.statement();
        let accesses = std::iter::once(&s.target).chain(s.value.reads());
        let element = |e: &Affine| self.value(e, instance);
        accesses.map(|a| (a.array.clone(), a.indices.iter().map(element).collect())).collect()
    }

    fn run(&self, order: &[Instance]) -> Vec<u8> {
        let array = &self.nest.arrays[0];
        let inputs = random_inputs(self.nest, &self.sizes, 11);
        let out = interp::nest::run_order(self.nest, &self.sizes, &inputs, order);
        out.expect("every access is in bounds")[&array.name].bytes().to_vec()
    }

    /// Runs the kernel of a schedule, with the same data.
    fn run_kernel(&self, schedule: &Schedule) -> Vec<u8> {
        let lowered = compile::lower(schedule).unwrap_or_else(|d| panic!("{d}"));
        let array = &self.nest.arrays[0];
        let inputs = random_inputs(self.nest, &self.sizes, 11);
        let out = interp::kernel::run(lowered.kernel(), &self.sizes, &inputs);
        out.expect("the kernel is sealed")[&array.name].bytes().to_vec()
    }
}

/// The witness, executed: it is what it says, and the refused order computes something else.
fn convict(nest: &Nest, order: &Order, witness: &Witness) {
    let case = Case::new(nest, witness.params.clone());
    let (first, second) = (&witness.first.at, &witness.second.at);
    let shown = format!("{nest}{order:?}\n{witness}");
    let original = case.instances();
    let place = |list: &[Instance], at: &Vec<i64>| {
        list.iter().position(|(_, i)| i == at).unwrap_or_else(|| panic!("no instance\n{shown}"))
    };
    assert!(place(&original, first) < place(&original, second), "not first in the text\n{shown}");
    let element = (witness.array.clone(), witness.element.clone());
    let (a, b) = (case.touched(first), case.touched(second));
    assert!(a.contains(&element) && b.contains(&element), "one does not touch it\n{shown}");
    assert!(a[0] == element || b[0] == element, "neither writes it\n{shown}");
    let refused = order.sorted(&case);
    assert!(place(&refused, second) < place(&refused, first), "the order is kept\n{shown}");
    assert_ne!(case.run(&refused), case.run(&original), "the same result\n{shown}");
}

/// What became of a script.
enum Outcome {
    Legal(Box<Schedule>),
    Refused,
}

/// Applies steps one by one; checks the last accepted order or the first refusal.
fn judge(nest: &Nest, steps: &[Step], sizes: &[Sizes]) -> Outcome {
    let mut schedule = Schedule::new(nest).unwrap_or_else(|d| panic!("{d}"));
    let mut session = Session::new();
    let mut order = Order::of(nest);
    for step in steps {
        let script: Script = order.text(step).parse().unwrap_or_else(|d| panic!("{d}"));
        order = order.apply(step);
        match schedule.replay_in(&mut session, &script) {
            Ok(next) => schedule = next,
            Err(refusal) => {
                let Illegal { diagnostic, witness } = *refusal;
                assert_eq!(diagnostic.code, "E0701", "{nest}{order:?}\n{diagnostic}");
                convict(nest, &order, &witness.expect("an illegal order has a witness"));
                return Outcome::Refused;
            }
        }
    }
    for sizes in sizes {
        let case = Case::new(nest, sizes.clone());
        let want = case.run(&case.instances());
        assert_eq!(case.run(&order.sorted(&case)), want, "{nest}{order:?}\n{sizes:?}");
        assert_eq!(case.run_kernel(&schedule), want, "{nest}{order:?}\n{sizes:?}");
    }
    Outcome::Legal(Box::new(schedule))
}

fn sizes(t: i64, n: i64) -> Sizes {
    BTreeMap::from([("T".into(), t), ("N".into(), n)])
}

fn example(name: &str) -> Nest {
    let all = examples();
    let found = all.iter().find(|e| e.name == name).expect("the example is there");
    found.text.parse().unwrap_or_else(|d| panic!("{d}"))
}

#[test]
fn rectangular_tiles_of_in_place_stencils_are_refused_and_skewed_ones_are_not() {
    for name in ["seidel2d", "jacobi2d_in_place"] {
        let nest = example(name);
        let tile = || Step::Tile(0, vec![4, 8, 8]);
        assert!(matches!(judge(&nest, &[tile()], &[]), Outcome::Refused), "{name}");
        let at = [sizes(1, 3), sizes(5, 12), sizes(9, 19)];
        let skewed = [Step::Skew(1, 1, 0), Step::Skew(2, 1, 0), Step::Skew(2, 1, 1), tile()];
        let Outcome::Legal(schedule) = judge(&nest, &skewed, &at) else { panic!("{name}") };
        assert_eq!(schedule.tree().loops().len(), 6, "{name}");
    }
}

/// A stencil over one array with random offsets, in place or with a time dimension.
fn random_stencil(bits: &mut Bits) -> Nest {
    let kind = bits.below(5);
    let plus = |v: &str, by: i64| {
        if by < 0 { format!("{v} - {}", -by) } else { format!("{v} + {by}") }
    };
    // the own element is read, so that every value is of use to a later instance
    let mut read = |k: usize| {
        let mut offset = || if k == 0 { 0 } else { bits.below(5) as i64 - 2 };
        let (i, j) = (plus("i", offset()), plus("j", offset()));
        match kind {
            0 => format!("0.{}5 * A[{i}]", k + 1),
            1 => format!("0.{}5 * A[t, {i}]", k + 1),
            2 | 3 => format!("0.{}5 * A[{i}, {j}]", k + 1),
            _ => format!("0.{}5 * A[t, {i}, {j}]", k + 1),
        }
    };
    let value = [read(0), read(1), read(2)].join(" + ");
    // instances differ, or two of them could change places unseen
    let own = if kind == 2 { "0.5 * (7*i + j)" } else { "0.5 * (7*t + i)" };
    let (shape, target, loops) = match kind {
        0 => ("[N]", "[i]", "t in 0..T, i in 2..N - 2"),
        1 => ("[T + 1, N]", "[t + 1, i]", "t in 0..T, i in 2..N - 2"),
        2 => ("[N, N]", "[i, j]", "i in 2..N - 2, j in 2..N - 2"),
        3 => ("[N, N]", "[i, j]", "t in 0..T, i in 2..N - 2, j in 2..N - 2"),
        _ => ("[T + 1, N, N]", "[t + 1, i, j]", "t in 0..T, i in 2..N - 2, j in 2..N - 2"),
    };
    let text =
        format!("param T, N inout A: f64{shape} for {loops} {{ S: A{target} = {value} + {own} }}");
    text.parse().unwrap_or_else(|d| panic!("{text}\n{d}"))
}

fn random_step(order: &Order, bits: &mut Bits) -> Step {
    let n = order.0.len();
    match bits.below(if n <= 4 { 8 } else { 6 }) {
        0 => Step::Reverse(bits.below(n)),
        1 => Step::Shift(bits.below(n), bits.below(5) as i64 - 2),
        2 => {
            let mut places: Vec<usize> = (0..n).collect();
            places.swap(bits.below(n), bits.below(n));
            Step::Reorder(places)
        }
        3..=5 => {
            let by = bits.below(n - 1);
            let target = by + 1 + bits.below(n - 1 - by);
            Step::Skew(target, [1, 1, 2, 3, -1][bits.below(5)], by)
        }
        _ => {
            let first = bits.below(n);
            let count = 1 + bits.below(n - first);
            Step::Tile(first, (0..count).map(|_| 2 + bits.below(3) as i64).collect())
        }
    }
}

#[test]
fn random_scripts_on_random_stencils() {
    let mut bits = Bits::new(7);
    let (mut legal, mut refused) = (0, 0);
    for _ in 0..400 {
        let nest = random_stencil(&mut bits);
        let mut order = Order::of(&nest);
        let mut steps = Vec::new();
        for _ in 0..1 + bits.below(4) {
            let step = random_step(&order, &mut bits);
            order = order.apply(&step);
            steps.push(step);
        }
        match judge(&nest, &steps, &[sizes(3, 8)]) {
            Outcome::Legal(_) => legal += 1,
            Outcome::Refused => refused += 1,
        }
    }
    assert!(legal >= 60 && refused >= 60, "{legal} legal, {refused} refused");
}
