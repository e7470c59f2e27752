//! Prints steps, scripts and trees.
//!
//! In: values of `step` and [`Tree`]. Out: the `.sched` text, one step per line.
//! Keeps: `parse(print(x)) == x` for every script, and for every tree inside `order`.

use std::fmt;

use super::step::{LayoutTerm, Ref, Script, StatementTimes, Step, StepKind};
use super::{Contract, Marks, Tree};

const INDENT: &str = "  ";

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn named(names: &[Ref]) -> String {
    if names.is_empty() { String::new() } else { format!(" as {}", list(names)) }
}

fn placed(at: Option<&Ref>) -> String {
    at.map_or_else(String::new, |at| format!(" at {at}"))
}

impl fmt::Display for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for StatementTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { statement, iters, times } = self;
        write!(f, "{statement}[{}] -> [{}]", list(iters), list(times))
    }
}

impl fmt::Display for LayoutTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dimension)?;
        if let Some(modulus) = self.modulus {
            write!(f, "%{modulus}")?;
        }
        if self.divisor == 1 { Ok(()) } else { write!(f, "/{}", self.divisor) }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_step(f, self, 0)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_step(f, &self.kind, 0)
    }
}

/// `stage A at l …`; writes nothing of another step.
fn write_stage(f: &mut fmt::Formatter<'_>, kind: &StepKind) -> fmt::Result {
    let StepKind::Stage { array, readers, at, name, layout, pad, across } = kind else {
        return Ok(());
    };
    write!(f, "stage {array}")?;
    if !readers.is_empty() {
        write!(f, " for {}", list(readers))?;
    }
    if let Some(at) = at {
        write!(f, " at {at}")?;
    }
    write!(f, "{}", named(name.as_slice()))?;
    if !layout.is_empty() {
        write!(f, " layout {}", list(layout))?;
    }
    if *pad != 0 {
        write!(f, " pad {pad}")?;
    }
    let places: Vec<&str> = across.iter().map(|p| p.name()).collect();
    if places.is_empty() { Ok(()) } else { write!(f, " across {}", places.join(", ")) }
}

/// A step that makes one loop of two.
fn joined(
    f: &mut fmt::Formatter<'_>,
    step: &str,
    [outer, inner]: [&Ref; 2],
    name: &Option<Ref>,
) -> fmt::Result {
    write!(f, "{step} {outer}, {inner}{}", named(name.as_slice()))
}

fn write_step(f: &mut fmt::Formatter<'_>, kind: &StepKind, depth: usize) -> fmt::Result {
    match kind {
        StepKind::Tile { loops, sizes, names } => {
            write!(f, "tile {} by {}{}", list(loops), list(sizes), named(names))
        }
        StepKind::Split { target, size, names } => {
            write!(f, "split {target} by {size}{}", named(names))
        }
        StepKind::Reorder { loops } => write!(f, "reorder {}", list(loops)),
        StepKind::Fuse { first, second, shift, name } => {
            write!(f, "fuse {first}, {second}")?;
            if *shift != 0 {
                write!(f, " shift {shift}")?;
            }
            f.write_str(&named(name.as_slice()))
        }
        StepKind::Distribute { target, at, names } => {
            write!(f, "distribute {target}{}{}", placed(at.as_ref()), named(names))
        }
        StepKind::Skew { target, factor: 1, by } => write!(f, "skew {target} by {by}"),
        StepKind::Skew { target, factor: -1, by } => write!(f, "skew {target} by -{by}"),
        StepKind::Skew { target, factor, by } => write!(f, "skew {target} by {factor}*{by}"),
        StepKind::Shift { target, by } => write!(f, "shift {target} by {by}"),
        StepKind::Coalesce { outer, inner, name } => joined(f, "coalesce", [outer, inner], name),
        StepKind::Fold { outer, inner, name } => joined(f, "fold", [outer, inner], name),
        StepKind::Raster { loops, name } => write!(f, "raster {} as {name}", list(loops)),
        StepKind::Unroll(l) => write!(f, "unroll {l}"),
        StepKind::Vectorize(l) => write!(f, "vectorize {l}"),
        StepKind::Parallel(l) => write!(f, "parallel {l}"),
        StepKind::Map(l, place) => write!(f, "map {l} to {}", place.name()),
        StepKind::Unit(l, unit) => write!(f, "map {l} to {}", unit.name()),
        StepKind::Tensorize { loops, instruction } => {
            write!(f, "tensorize {} with {instruction}", list(loops))
        }
        StepKind::Take { target, ahead } => write!(f, "take {target} by {ahead}"),
        StepKind::Stream { target, blocks } => write!(f, "stream {target} by {blocks}"),
        StepKind::Ring { target, stages } => write!(f, "ring {target} by {stages}"),
        StepKind::Reverse(l) => write!(f, "reverse {l}"),
        StepKind::Order(tree) => {
            writeln!(f, "order {{")?;
            write_children(f, tree, depth + 1)?;
            write!(f, "{}}}", INDENT.repeat(depth))
        }
        StepKind::OrderBy(times) => {
            writeln!(f, "order {{")?;
            for entry in times {
                writeln!(f, "{}{entry}", INDENT.repeat(depth + 1))?;
            }
            write!(f, "{}}}", INDENT.repeat(depth))
        }
        StepKind::Stage { .. } => write_stage(f, kind),
        StepKind::FuseAt { producers, at } => write!(f, "fuse-at {} at {at}", list(producers)),
        StepKind::SplitReduction { target, at, name } => {
            write!(f, "split-reduction {target}{}{}", placed(at.as_ref()), named(name.as_slice()))
        }
        StepKind::Privatise { array, at, name } => {
            write!(f, "privatise {array} at {at}{}", named(name.as_slice()))
        }
        StepKind::Recall { array, at } => write!(f, "recall {array} at {at}"),
        StepKind::Atomically(steps) => {
            writeln!(f, "atomically {{")?;
            for step in steps {
                f.write_str(&INDENT.repeat(depth + 1))?;
                write_step(f, &step.kind, depth + 1)?;
                writeln!(f)?;
            }
            write!(f, "{}}}", INDENT.repeat(depth))
        }
        StepKind::Require(property, l) => write!(f, "require {} {l}", property.text()),
        StepKind::RequireCode(contracts) => write_contracts(f, contracts),
    }
}

fn write_contracts(f: &mut fmt::Formatter<'_>, contracts: &[Contract]) -> fmt::Result {
    let all: Vec<String> = contracts.iter().map(ToString::to_string).collect();
    write!(f, "require {}", all.join(", "))
}

/// One step per line, each line ended.
impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// The text inside `order { … }`, each line ended.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_children(f, self, 0)
    }
}

fn marks_text(marks: &Marks) -> String {
    marks.words().iter().map(|word| format!(" {word}")).collect()
}

/// What stands inside braces: two or more trees there are a sequence.
fn write_children(f: &mut fmt::Formatter<'_>, tree: &Tree, depth: usize) -> fmt::Result {
    match tree {
        Tree::Sequence(children) if children.len() >= 2 => {
            children.iter().try_for_each(|child| write_tree(f, child, depth))
        }
        Tree::Sequence(_) | Tree::Loop(_) | Tree::Statement(_) => write_tree(f, tree, depth),
    }
}

fn write_tree(f: &mut fmt::Formatter<'_>, tree: &Tree, depth: usize) -> fmt::Result {
    let indent = INDENT.repeat(depth);
    match tree {
        Tree::Loop(l) => {
            let rows: Vec<String> = l.rows.iter().map(|(s, row)| format!("{s}: {row}")).collect();
            let marks = marks_text(&l.marks);
            writeln!(f, "{indent}loop {} [{}]{marks} {{", l.name, rows.join(", "))?;
            write_children(f, &l.body, depth + 1)?;
            writeln!(f, "{indent}}}")
        }
        Tree::Sequence(children) => {
            writeln!(f, "{indent}seq {{")?;
            children.iter().try_for_each(|child| write_tree(f, child, depth + 1))?;
            writeln!(f, "{indent}}}")
        }
        Tree::Statement(name) => writeln!(f, "{indent}{name}"),
    }
}
