//! One random pair: applied, executed, judged.
//!
//! In: a seed. Out: a [`Verdict`], or a text that says what is wrong, with nest and script.
//! Accepted means: the order of every step is the one that [`super::order`] says, instances compute
//! the same terms in it as in the text, and the sealed kernel, interpreted and compiled (for a GPU:
//! as PTX), gives what the nest's interpreter gives. Refused with a witness means: its instances
//! touch one element, one writes it, the refused order exchanges them (or runs them at the same
//! time), and that order, executed, lets a read observe another producer or an output differ.

use std::collections::BTreeMap;
use std::fmt::Display;

use warploom::device::Executor;
use warploom::diag::{Blame, Diagnostic};
use warploom::{Name, Nest, Schedule, Script, Session, Target, Tensor, bind, compile, verify};
use warploom_ir::interp;
use warploom_ir::schedule::step::StepKind;
use warploom_ir::schedule::{Poly, Tree};
use warploom_ir::tensor::random_word;
use warploom_scheduler::{Illegal, Witness};

use super::nest::{Compare, Sample, sample};
use super::order::{Times, after};
use super::script::{self, Flavour};
use super::symbolic::{Flow, Instance, MOST, Machine, Sizes};
use crate::{Bits, random_inputs};

/// Pairs that share a nest.
pub const SCRIPTS: u64 = 4;

/// What became of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Legal; the compiled code is right.
    Accepted,
    /// Legal, with loops on a GPU; the kernel is right and PTX was made.
    AcceptedGpu,
    /// Legal, and its kernel asks for something that is not supported, which was said.
    Unsupported,
    /// Refused; the witness is a violation that a read or an output shows.
    Violation,
    /// Refused: two iterations update one element at the same time.
    Race,
    /// Refused: two instances have the same time.
    SameTime,
    /// Refused; the witness is right, but a later write hides it from every read.
    Hidden,
    /// Refused; the witness needs sizes too large to execute.
    TooLarge,
    /// Refused with a witness by a step that adds statements: not executed.
    Unchecked,
    /// Refused for the shape of the tree or the step.
    Shape,
}

/// How many pairs had each verdict.
pub type Counts = BTreeMap<Verdict, usize>;

/// A pair of nest and script, with what is needed to run it.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The nest's text.
    pub nest: String,
    /// The script's text, as far as it came.
    pub script: String,
}

impl Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "# nest\n{}# script\n{}", self.nest, self.script)
    }
}

/// A pair that was judged.
pub struct Judged {
    /// The pair.
    pub pair: Pair,
    /// The verdict, or what is wrong.
    pub verdict: Result<Verdict, String>,
}

/// A random nest that verifies and whose interpreter accepts it, with its dependences.
pub struct Case {
    sample: Sample,
    nest: Nest,
    sizes: Vec<Sizes>,
    session: Session,
    text_order: Schedule,
}

/// Words of random bits for the nests and scripts of a seed.
pub(super) fn bits(stream: u64, seed: u64) -> Bits {
    Bits::new(random_word(stream, seed))
}

impl Case {
    /// The case of a seed; nests that the verifier or the interpreter refuses are passed over.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut bits = bits(1, seed);
        loop {
            let sample = sample(&mut bits);
            let fixed = bits.below(3) == 0;
            let first = random_sizes(&mut bits, 3);
            let second = random_sizes(&mut bits, 0);
            if let Some(case) = Self::of(sample, fixed, vec![first, second]) {
                return case;
            }
        }
    }

    fn of(sample: Sample, fixed: bool, sizes: Vec<Sizes>) -> Option<Self> {
        let nest: Nest = match sample.text.parse() {
            Ok(nest) => nest,
            Err(d) => panic!("{}\n{d}", sample.text),
        };
        let own = |all: &Sizes| -> Sizes {
            let known = all.iter().filter(|(name, _)| nest.param(name).is_some());
            known.map(|(n, v)| (n.clone(), *v)).collect()
        };
        let mut sizes: Vec<Sizes> = sizes.iter().map(own).collect();
        let nest = if fixed {
            sizes.truncate(1);
            bind(&nest, &sizes[0], &BTreeMap::new()).ok()?
        } else {
            nest
        };
        let sample = Sample { text: nest.to_string(), ..sample };
        compile::check_nest(&nest).ok()?;
        let text_order = Schedule::new(&nest).ok()?;
        let case = Self { sample, nest, sizes, session: Session::new(), text_order };
        let few = |s: &Sizes| interp::nest::instances(&case.nest, s, 6_000).is_ok();
        let runs = |s: &Sizes| case.expected(s).is_ok();
        case.sizes.iter().all(|s| few(s) && runs(s)).then_some(case)
    }

    /// The nest.
    #[must_use]
    pub const fn nest(&self) -> &Nest {
        &self.nest
    }

    fn inputs(&self, sizes: &Sizes) -> BTreeMap<Name, Tensor> {
        random_inputs(&self.nest, sizes, 3)
    }

    fn expected(&self, sizes: &Sizes) -> Result<BTreeMap<Name, Tensor>, String> {
        interp::nest::run(&self.nest, sizes, &self.inputs(sizes)).map_err(|d| d.to_string())
    }

    /// Holds outputs to the interpreter's: bit for bit, or within its error bounds.
    fn same(&self, sizes: &Sizes, have: &BTreeMap<Name, Tensor>, who: &str) -> Result<(), String> {
        if self.sample.compare == Compare::Bounds {
            let open = |n: &&Name| self.nest.param(n).is_some_and(|p| p.value.is_none());
            let sizes: Sizes =
                sizes.iter().filter(|(n, _)| open(n)).map(|(n, v)| (n.clone(), *v)).collect();
            let nest = bind(&self.nest, &sizes, &BTreeMap::new()).map_err(|d| d.to_string())?;
            return verify::check(&nest, &self.inputs(&sizes), have)
                .map(drop)
                .map_err(|d| format!("{who} at {sizes:?}: {d}"));
        }
        let want = self.expected(sizes)?;
        for (name, want) in &want {
            let Some(have) = have.get(name) else { return Err(format!("{who}: no `{name}`")) };
            let float = want.dtype().is_float();
            for i in 0..want.len() {
                let (a, b) = (have.get_flat(i), want.get_flat(i));
                let nan = float && a.to_f64().is_nan() && b.to_f64().is_nan();
                if a.bits() != b.bits() && !nan {
                    let at = want.unflatten(i);
                    let (a, b) = (a.to_f64(), b.to_f64());
                    return Err(format!("{who} at {sizes:?}: {name}{at:?} is {a}, not {b}"));
                }
            }
        }
        Ok(())
    }

    /// Applies the script of a seed step by step and judges it.
    pub fn judge(&mut self, seed: u64, ptxas: bool) -> Judged {
        let mut bits = bits(2, seed);
        let mut pair = Pair { nest: self.sample.text.clone(), script: String::new() };
        let verdict = self.judge_steps(&mut bits, seed, ptxas, &mut pair.script);
        Judged { pair, verdict }
    }

    fn judge_steps(
        &mut self,
        bits: &mut Bits,
        seed: u64,
        ptxas: bool,
        text: &mut String,
    ) -> Result<Verdict, String> {
        let flavour = if bits.below(4) == 0 { Flavour::Gpu } else { Flavour::Cpu };
        let mut schedule = self.text_order.clone();
        let mut session = std::mem::take(&mut self.session);
        let mut reference: Option<Times> = None;
        let count = 1 + bits.below(5);
        let mut outcome = Ok(None);
        for _ in 0..count {
            let kind = script::step(schedule.poly(), schedule.tree(), flavour, bits);
            text.push_str(&format!("{}\n", warploom_ir::schedule::step::Step::from(kind.clone())));
            match self.step(&mut session, &schedule, reference.as_ref(), &kind) {
                Ok(Next::Refused(verdict)) => {
                    outcome = Ok(Some(verdict));
                    break;
                }
                Ok(Next::Accepted(next)) => {
                    if next.poly() != schedule.poly() {
                        reference = Some(Times::of_tree(next.tree()));
                    }
                    schedule = *next;
                }
                Err(wrong) => {
                    outcome = Err(wrong);
                    break;
                }
            }
        }
        self.session = session;
        match outcome? {
            Some(verdict) => Ok(verdict),
            None => self.execute(&schedule, seed, ptxas),
        }
    }

    fn step(
        &self,
        session: &mut Session,
        schedule: &Schedule,
        reference: Option<&Times>,
        kind: &StepKind,
    ) -> Result<Next, String> {
        let step = warploom_ir::schedule::step::Step::from(kind.clone());
        let script: Script = step.to_string().parse().map_err(|d| format!("{d}"))?;
        let predicted = after(schedule.poly(), schedule.tree(), kind);
        match schedule.replay_in(session, &script) {
            Ok(next) => {
                if let Some((tree, times)) = &predicted {
                    self.same_order(&next, times)?;
                    // alone it changes no order: its rows say what it did
                    let skewed = matches!(kind, StepKind::Skew { .. });
                    if skewed && tree.as_ref().is_some_and(|tree| tree != next.tree()) {
                        return Err("the step made other rows".to_owned());
                    }
                } else if !kind.changes_nest() {
                    return Err("accepted, but the step has not the shape it needs".to_owned());
                }
                Ok(Next::Accepted(Box::new(next)))
            }
            Err(refusal) => {
                let Illegal { diagnostic, witness } = *refusal;
                if diagnostic.code == "E0601" || diagnostic.code == "E0604" {
                    return Err(format!("an analysis failed: {diagnostic}"));
                }
                let Some(witness) = witness else { return Ok(Next::Refused(Verdict::Shape)) };
                let Some((tree, times)) = predicted else {
                    if !kind.changes_nest() {
                        return Err(format!("a witness for a step without shape: {diagnostic}"));
                    }
                    return Ok(Next::Refused(Verdict::Unchecked));
                };
                let refused = Refused { poly: schedule.poly(), tree, times, reference, witness };
                let verdict = refused.convict(self, diagnostic.code, kind);
                verdict.map(Next::Refused).map_err(|why| format!("{why}\n{diagnostic}"))
            }
        }
    }

    /// The schedule runs instances in the predicted order.
    fn same_order(&self, schedule: &Schedule, times: &Times) -> Result<(), String> {
        let machine = Machine::new(schedule.poly(), &self.sizes[0]);
        let theirs = machine.sorted(&Times::of_tree(schedule.tree()));
        let (Some(mine), Some(theirs)) = (machine.sorted(times), theirs) else { return Ok(()) };
        match mine.iter().zip(&theirs).position(|(a, b)| a != b) {
            None if mine.len() == theirs.len() => Ok(()),
            at => Err(format!("the step made another order, from instance {at:?} on")),
        }
    }

    /// The text's own order, executed.
    fn original(&self, sizes: &Sizes) -> Option<(Vec<Instance>, Flow)> {
        let poly = self.text_order.poly();
        let all = interp::nest::instances(&self.nest, sizes, MOST).ok()?;
        let place = |name: &Name| poly.statements.iter().position(|s| s.statement.name == *name);
        let order: Vec<Instance> =
            all.into_iter().map(|(name, at)| Some((place(&name)?, at))).collect::<Option<_>>()?;
        let flow = Machine::new(poly, sizes).run(&order);
        Some((order, flow))
    }

    /// An accepted schedule, executed in every way there is.
    pub(super) fn execute(
        &self,
        schedule: &Schedule,
        seed: u64,
        ptxas: bool,
    ) -> Result<Verdict, String> {
        for sizes in &self.sizes {
            let machine = Machine::new(schedule.poly(), sizes);
            let times = Times::of_tree(schedule.tree());
            // its kernel is executed in any case
            let Some(order) = machine.sorted(&times) else { continue };
            let (_, want) = self.original(sizes).ok_or("too many instances")?;
            let have = machine.run(&order);
            if !serves(&have, &want) {
                return Err(format!("at {sizes:?}: accepted, but an instance reads another value"));
            }
        }
        let lowered = match compile::lower(schedule) {
            Ok(lowered) => lowered,
            Err(d) if unsupported(&d) => return Ok(Verdict::Unsupported),
            Err(d) => return Err(d.to_string()),
        };
        for sizes in &self.sizes {
            let open = self.open(lowered.kernel(), sizes);
            let have = interp::kernel::run(lowered.kernel(), &open, &self.inputs(sizes));
            self.same(sizes, &have.map_err(|d| d.to_string())?, "the kernel's interpreter")?;
        }
        if lowered.kernel().is_mapped() {
            let targets = [Target::Sm80, Target::Sm90a, Target::Sm100a];
            let target = targets[usize::try_from(seed % 3).expect("it is small")];
            return match lowered.gpu(target) {
                Ok(code) if ptxas => {
                    compile::resources(&code).map_err(|d| format!("{target}: {d}"))?;
                    Ok(Verdict::AcceptedGpu)
                }
                Ok(_) => Ok(Verdict::AcceptedGpu),
                Err(d) if unsupported(&d) => Ok(Verdict::Unsupported),
                Err(d) => Err(d.to_string()),
            };
        }
        let program = match compile::compile(schedule) {
            Ok(program) => program,
            Err(d) if unsupported(&d) => return Ok(Verdict::Unsupported),
            Err(d) => return Err(d.to_string()),
        };
        for sizes in &self.sizes {
            let open = self.open(lowered.kernel(), sizes);
            let have = program.run_at(&self.inputs(sizes), &open, Some(2));
            self.same(sizes, &have.map_err(|d| d.to_string())?, "compiled code")?;
        }
        Ok(Verdict::Accepted)
    }

    /// An accepted schedule on a device, at the first sizes or the others.
    pub(super) fn run_on(
        &self,
        schedule: &Schedule,
        device: &Executor,
        seed: u64,
    ) -> Result<Verdict, String> {
        let sizes = &self.sizes[usize::from(seed.is_multiple_of(4)) % self.sizes.len()];
        let open: Sizes = sizes
            .iter()
            .filter(|(n, _)| self.nest.param(n).is_some_and(|p| p.value.is_none()))
            .map(|(n, v)| (n.clone(), *v))
            .collect();
        match device.run(schedule, &self.inputs(sizes), &open) {
            Ok(have) => self.same(sizes, &have, "the device").map(|()| Verdict::AcceptedGpu),
            Err(d) if unsupported(&d) => Ok(Verdict::Unsupported),
            Err(d) => Err(d.to_string()),
        }
    }

    fn open(&self, kernel: &warploom::Kernel, sizes: &Sizes) -> Sizes {
        let open = |n: &Name| kernel.params.contains(n);
        sizes.iter().filter(|(n, _)| open(n)).map(|(n, v)| (n.clone(), *v)).collect()
    }
}

/// Whether a legal schedule asks for what kernels cannot do: loops in lanes, places of mapped
/// loops, and lanes that combine into an element which the statement reads elsewhere too.
fn unsupported(d: &Diagnostic) -> bool {
    let lanes = d.code == "E0812" && d.message.contains("vector loop");
    d.blame == Blame::Unsupported || lanes || matches!(d.code, "E1003" | "E1008" | "E1009")
}

/// Every instance computes the term of the original, and every output ends with its term.
fn serves(have: &Flow, want: &Flow) -> bool {
    let known = |(key, terms): (&(Name, Vec<i64>), &Vec<u64>)| want.terms.get(key) == Some(terms);
    have.terms.iter().all(known) && have.ends == want.ends
}

fn random_sizes(bits: &mut Bits, least: usize) -> Sizes {
    let one = |bits: &mut Bits| (least + bits.below(5)) as i64;
    BTreeMap::from([("N".into(), one(bits)), ("M".into(), one(bits))])
}

enum Next {
    Accepted(Box<Schedule>),
    Refused(Verdict),
}

/// A refused step with what it would have made.
struct Refused<'a> {
    poly: &'a Poly,
    tree: Option<Tree>,
    times: Times,
    reference: Option<&'a Times>,
    witness: Witness,
}

impl Refused<'_> {
    /// The witness is what it says, and the refused order, executed, shows it.
    fn convict(&self, case: &Case, code: &str, kind: &StepKind) -> Result<Verdict, String> {
        let sizes = &self.witness.params;
        let machine = Machine::new(self.poly, sizes);
        let Some(all) = machine.instances() else { return Ok(Verdict::TooLarge) };
        let (a, b) = (self.instance(&self.witness.first)?, self.instance(&self.witness.second)?);
        if [&a, &b].iter().any(|i| !all.contains(i)) {
            return Err("the witness names what is no instance".to_owned());
        }
        if code == "E0703" {
            let same = machine.time(&self.times, a.0, &a.1) == machine.time(&self.times, b.0, &b.1);
            return if same && a != b {
                Ok(Verdict::SameTime)
            } else {
                Err("different times".into())
            };
        }
        let reductions = self.conflict(&machine, &a, &b)?;
        let original = match self.reference {
            Some(times) => machine.sorted(times),
            None => case.original(sizes).map(|(order, _)| order),
        };
        let Some(original) = original else { return Ok(Verdict::TooLarge) };
        let before = |order: &[Instance]| {
            order.iter().position(|i| *i == a) < order.iter().position(|i| *i == b)
        };
        if !before(&original) {
            return Err("the first instance is not first in the text".to_owned());
        }
        let times = match code {
            "E0701" => self.times.clone(),
            "E0702" | "E0710" => match self.loop_between(&machine, &a, &b, kind) {
                Some(_) if reductions => return Ok(Verdict::Race),
                Some(name) => self.times.reversed(&name).ok_or("the loop cannot be reversed")?,
                None => return Err("no loop runs them in different iterations".to_owned()),
            },
            other => return Err(format!("{other} comes with a witness")),
        };
        let refused = machine.sorted(&times).ok_or("too many instances")?;
        if before(&refused) {
            return Err("the refused order keeps the order of the two instances".to_owned());
        }
        let same = machine.run(&refused) == machine.run(&original);
        Ok(if same { Verdict::Hidden } else { Verdict::Violation })
    }

    fn instance(&self, i: &warploom_scheduler::Instance) -> Result<Instance, String> {
        let mut names = self.poly.statements.iter().map(|s| &s.statement.name);
        let place = names.position(|n| *n == i.statement);
        Ok((place.ok_or("the witness names an unknown statement")?, i.at.clone()))
    }

    /// Both touch the element and one writes it; whether both are updates that commute.
    fn conflict(&self, machine: &Machine<'_>, a: &Instance, b: &Instance) -> Result<bool, String> {
        let element = (self.witness.array.clone(), self.witness.element.clone());
        let statement = |i: &Instance| &self.poly.statements[i.0].statement;
        let writes = |i: &Instance| machine.element(i.0, &statement(i).target, &i.1) == element;
        let reads = |i: &Instance| {
            let s = statement(i);
            let mut all = s.value.reads();
            all.extend(s.guard.iter().flat_map(|g| g.reads()));
            all.into_iter().any(|r| machine.element(i.0, r, &i.1) == element)
        };
        if !(writes(a) || reads(a)) || !(writes(b) || reads(b)) {
            return Err("an instance of the witness does not touch the element".to_owned());
        }
        if !writes(a) && !writes(b) {
            return Err("neither instance of the witness writes the element".to_owned());
        }
        let (s, t) = (statement(a), statement(b));
        let serial = warploom_ir::nest::Order::Serial;
        let relaxed = s.op == t.op && s.acc == t.acc && s.order != serial && t.order != serial;
        let updates = s.op.is_update() && t.op.is_update() && writes(a) && writes(b);
        Ok(relaxed && updates && !reads(a) && !reads(b))
    }

    /// A loop of the step, or one marked before it, that has the two in different iterations.
    fn loop_between(
        &self,
        machine: &Machine<'_>,
        a: &Instance,
        b: &Instance,
        kind: &StepKind,
    ) -> Option<Name> {
        let tree = self.tree.as_ref()?;
        let meant = match kind {
            StepKind::Parallel(r)
            | StepKind::Vectorize(r)
            | StepKind::Map(r, _)
            | StepKind::Require(_, r) => Some(&r.name),
            _ => None,
        };
        let names = |i: &Instance| &self.poly.statements[i.0].statement.name;
        let (s, t) = (machine.time(&self.times, a.0, &a.1), machine.time(&self.times, b.0, &b.1));
        let candidates = tree.loops().into_iter().filter(|l| match meant {
            Some(name) => l.name == *name,
            None => !l.marks.words().is_empty(),
        });
        candidates.map(|l| l.name.clone()).find(|name| {
            let places = &self.times.loops[name];
            let (x, y) = (places.get(names(a)), places.get(names(b)));
            x.zip(y).is_some_and(|(&x, &y)| x == y && s[..x] == t[..y] && s[x] != t[y])
        })
    }
}
