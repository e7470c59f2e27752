//! The schedule of scheme I's nest for GPUs: all pairs of slices of a tile in one block.
//!
//! In: a product with one index each of rows, columns and sums. Out: for each target that has an
//! instruction with both operands in shared memory, the scripts that are worth a try; and the one
//! that is predicted to be fastest, with everything else scheduled automatically.
//! Slices of an operand that few tiles share may be made on their way into shared memory.
//! Keeps: `wgmma` leaves exact sums in registers, and what they add up to is there as well; where
//! they are in tensor memory, it is in memory.

use warploom_ir::diag::Result;
use warploom_ir::nest::Nest;
use warploom_ir::schedule::step::Script;
use warploom_ir::target::Target;
use warploom_scheduler::{GpuOptions, Paired, Schedule, auto_gpu};

use super::super::Operand;
use super::nest::Writer;
use crate::compile;
use crate::model::{Machine, predict_kernel};

/// The steps that put all pairs of a tile into one block.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    /// The loops over rows, columns and terms.
    lines: [char; 2],
    sum: char,
    /// The loops over exact sums, and those over the pairs of one.
    over: Vec<String>,
    inside: String,
    /// Terms of a slice of the ring, and of an instruction.
    deep: [i64; 2],
    /// Columns, terms and types in the instruction's name.
    shape: String,
}

/// How tiles are shared out.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Two blocks multiply together.
    paired: bool,
    /// Blocks of a cluster, and clusters below each other before the next column of tiles.
    members: i64,
    group: i64,
    /// Whose slices are made on the way into shared memory.
    split: Option<Operand>,
}

/// Two blocks of a cluster copy what both need for each other; tiles of some rows follow each
/// other, so that what they share is in the cache.
const BY_WARPGROUPS: [Way; 5] = [
    Way { paired: false, members: 1, group: 1, split: None },
    Way { paired: false, members: 2, group: 1, split: None },
    Way { paired: false, members: 2, group: 4, split: None },
    Way { paired: false, members: 1, group: 1, split: Some(Operand::A) },
    Way { paired: false, members: 1, group: 1, split: Some(Operand::B) },
];

/// A schedule, and why it was chosen.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) schedule: Schedule,
    /// Whose slices are made on the way into shared memory.
    pub(super) split: Option<Operand>,
    /// Seconds that are predicted with slices made before, and with slices made on the way.
    pub(super) predicted: [Option<f64>; 2],
}

impl Steps {
    /// None where the product has several rows, columns or sums.
    pub(super) fn of(writer: &Writer<'_>) -> Option<Self> {
        let p = writer.product;
        let ([m], [n], [k], true) =
            (p.rows.as_slice(), p.columns.as_slice(), p.sums.as_slice(), p.batch.is_empty())
        else {
            return None;
        };
        let of = writer.options.of;
        let deep = if of.size_bytes() == 1 { [128, 32] } else { [64, 16] };
        let [first, _, block, group] = writer.names;
        let grouped = writer.options.grouped;
        let pairs = if grouped { vec![group] } else { vec![group, first] };
        let blocks = writer.cut.block.map(|_| block);
        let over = pairs.into_iter().chain(blocks).map(|l| format!("G0.{l}")).collect();
        let inside = if grouped { format!("G1.{first}, ") } else { String::new() };
        let shape = format!("n128k{}.{}.{of}.{of}", deep[1], writer.sums());
        Some(Self { lines: [*m, *n], sum: *k, over, inside, deep, shape })
    }

    /// The schedule, by pairs of blocks or not as asked for, else what is predicted to be faster.
    pub(super) fn fastest(&self, nest: &Nest, options: &GpuOptions) -> Result<Chosen> {
        let members = |paired| if paired { 2 } else { 1 };
        let pair = |paired| Way { paired, members: members(paired), group: 1, split: None };
        let ways: &[Way] = match (options.target, options.paired) {
            (Target::Sm100a | Target::Sm103a, Paired::Always) => &[pair(true)],
            (Target::Sm100a | Target::Sm103a, Paired::Never) => &[pair(false)],
            (Target::Sm100a | Target::Sm103a, Paired::Predicted) => &[pair(false), pair(true)],
            (
                Target::Cpu
                | Target::Sm80
                | Target::Sm86
                | Target::Sm89
                | Target::Sm90a
                | Target::Sm120,
                _,
            ) => &BY_WARPGROUPS,
        };
        let made = ways.iter().map(|way| {
            let paired = if way.paired { Paired::Always } else { Paired::Never };
            let options = GpuOptions { paired, ..*options };
            together(&self.script(options.target, *way), nest, &options).map(|made| (*way, made))
        });
        let (mut done, mut refused) = (Vec::new(), None);
        for one in made {
            match one {
                Ok((way, (time, schedule))) => done.push((way.split, time, schedule)),
                Err(refusal) => {
                    refused.get_or_insert(refusal);
                }
            }
        }
        done.sort_by(|a, b| a.1.total_cmp(&b.1));
        let least = |fused: bool| {
            let found = done.iter().find(|(split, ..)| split.is_some() == fused);
            found.map(|(_, time, _)| *time).filter(|time| time.is_finite())
        };
        let predicted = [least(false), least(true)];
        match (done.into_iter().next(), refused) {
            (Some((split, _, schedule)), _) => Ok(Chosen { schedule, split, predicted }),
            (None, Some(refusal)) => Err(refusal),
            (None, None) => unreachable!("there are ways for every target"),
        }
    }

    /// The script for a GPU.
    fn script(&self, target: Target, way: Way) -> String {
        let in_tensor_memory = matches!(target, Target::Sm100a | Target::Sm103a);
        let [m, n] = self.lines;
        let (lead, mut out) = match in_tensor_memory {
            true => ("G0", format!("distribute D0.{n}\ndistribute D0.{m}\n")),
            false => ("D0", String::new()),
        };
        let (text, held, maps) = Self::tiles(&format!("{lead}.{m}"), &format!("{lead}.{n}"), way);
        out += &text;
        if !in_tensor_memory {
            out += &format!("distribute D0.{n}.1\ndistribute D0.{m}.1\n");
        }
        out += &self.product(
            way.split,
            match (in_tensor_memory, way.paired) {
                (true, true) => "tcgen05.mma.pair.m256",
                (true, false) => "tcgen05.mma.m128",
                (false, _) => "wgmma.m64",
            },
        );
        if !in_tensor_memory {
            out += &format!("stage Total at {held}\nmap G1.{m}.1.0 to warpgroup\n");
        }
        out + &maps
    }

    /// The steps that cut rows and columns into tiles, the loop that holds one, and what loops over
    /// tiles are mapped to.
    fn tiles(rows: &str, columns: &str, way: Way) -> (String, String, String) {
        let mut out = format!("tile {rows}, {columns} by 128, 128\n");
        let inner = format!("{rows}.1, {columns}.1");
        let (mut outer, mut tail, mut maps) = (format!("{rows}.0"), String::new(), String::new());
        if way.members > 1 {
            let count = way.members;
            out += &format!("split {outer} by {count}\nskew {outer}.1 by -{count}*{outer}.0\n");
            (outer, tail) = (format!("{outer}.0"), format!("{outer}.1"));
            maps = format!("map {tail} to cluster\n");
        }
        let member = if tail.is_empty() { String::new() } else { format!(", {tail}") };
        if way.group == 1 {
            out += &format!("reorder {outer}, {columns}.0{member}, {inner}\n");
            maps += &format!("map {columns}.0 to block.x\nmap {outer} to block.y\n");
            let held = if tail.is_empty() { format!("{columns}.0") } else { tail };
            return (out, held, maps);
        }
        let below = format!("{outer}.0, {columns}.0, {outer}.1");
        out += &format!(
            "split {outer} by {group}\n\
             reorder {below}{member}, {inner}\n\
             raster {below} as tile\n\
             reorder tile{member}, {below}, {inner}\n",
            group = way.group,
        );
        (out, format!("{outer}.1"), maps + "map tile to block.x\n")
    }

    /// The steps of the product of a tile, by these instructions.
    fn product(&self, split: Option<Operand>, family: &str) -> String {
        let ([m, n], k, [deep, point]) = (self.lines, self.sum, self.deep);
        let (over, inside) = (self.over.join(", "), &self.inside);
        let innermost = self.over.last().map_or("", String::as_str);
        let rows = if family.starts_with("wgmma") { 64 } else { 128 };
        format!(
            "reorder {over}, G0.{m}.1, G0.{n}.1\n\
             distribute G0.{n}.1\n\
             distribute G0.{m}.1\n\
             split G1.{k} by {deep}\n\
             reorder {inside}G1.{k}.0, G1.{m}.1, G1.{n}.1, G1.{k}.1\n\
             split G1.{m}.1 by {rows}\n\
             split G1.{k}.1 by {point}\n\
             reorder G1.{k}.0, G1.{m}.1.0, G1.{k}.1.0, G1.{m}.1.1, G1.{n}.1, G1.{k}.1.1\n\
             stage Exact at {innermost}\n\
             {operands}\
             tensorize G1.{m}.1.1, G1.{n}.1, G1.{k}.1.1 with {family}{shape}\n\
             ring G1.{k}.0 by 4\n",
            shape = self.shape,
            operands = [(Operand::A, 'A', m), (Operand::B, 'B', n)]
                .map(|(operand, name, line)| match split == Some(operand) {
                    true => format!(
                        "fuse-at S{name}_ at G1.{k}.0\n\
                         map S{name}__at_G1_{k}_0.{line} to thread.x\n"
                    ),
                    false =>
                        format!("stage S{name} at G1.{k}.0 as {name}s\nmap {name}s.0 to tma\n"),
                })
                .concat(),
        )
    }
}

/// All pairs in one block, and the rest automatically; and the predicted time.
fn together(steps: &str, nest: &Nest, options: &GpuOptions) -> Result<(f64, Schedule)> {
    let script: Script = steps.parse()?;
    let start = Schedule::new(nest)?.replay(&script).map_err(|refusal| refusal.diagnostic)?;
    let schedule = auto_gpu(&start, options)?;
    let lowered = compile::lower(&schedule)?;
    let machine = Machine::of(options.target);
    let predicted = machine.and_then(|machine| predict_kernel(lowered.kernel(), &machine));
    Ok((predicted.map_or(f64::INFINITY, |p| p.time), schedule))
}
