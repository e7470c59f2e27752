//! `ozaki`: prints the nest of an emulated product.

use std::collections::BTreeMap;

use warploom::diag::Result;
use warploom::ozaki::{
    Accuracy, Emulation, MOST_TERMS, Operand, Options, Pairs, Room, SliceOptions, Sliced,
    parse_bytes,
};
use warploom::{DType, Name};

use crate::args::OzakiArgs;
use crate::{load, output};

pub(crate) fn ozaki(args: &OzakiArgs) -> Result<()> {
    if args.scheme == "1" {
        return slices(args);
    }
    let dtype = load::dtype(args.dtype.as_deref())?.unwrap_or(DType::F64);
    let all = if dtype == DType::F32 { 24 } else { 53 };
    let asked = args.bits.is_some() || args.tol.is_some() || args.moduli.is_some();
    let accuracy = match (args.moduli, args.tol) {
        (Some(n), _) if n.least == n.most => Accuracy::Moduli(n.most),
        (Some(n), _) => Accuracy::Chosen(n.least, n.most),
        (None, Some(t)) => Accuracy::Tolerance(t, args.terms.unwrap_or(MOST_TERMS)),
        (None, None) => Accuracy::Bits(args.bits.unwrap_or(all)),
    };
    let guarded = args.grade.is_some();
    let plain = match guarded && !asked {
        true => Options::grade_a(dtype),
        false => Options { guarded, ..Options::new(dtype, accuracy) },
    };
    let options = Options {
        scaled: args.alpha_beta,
        counted: args.count_native,
        complex: args.complex,
        terms: args.terms.unwrap_or(MOST_TERMS),
        ..plain
    };
    if let Some(most) = &args.workspace {
        let sizes = warploom::parse_sizes(&args.size)?;
        return match most {
            Some(most) => within(args, &options, &sizes, parse_bytes(most)?),
            None => room(&Room::of(&args.spec, &options, &sizes)?, args),
        };
    }
    let operand = |name: &String| if name == "A" { Operand::A } else { Operand::B };
    let made = match (&args.prepare, &args.prepared) {
        (Some(of), _) => {
            let [prepare, _] = Emulation::prepared(&args.spec, &options, operand(of))?;
            prepare
        }
        (None, Some(of)) => {
            let [_, multiply] = Emulation::prepared(&args.spec, &options, operand(of))?;
            multiply
        }
        (None, None) => Emulation::new(&args.spec, &options)?,
    };
    if args.json {
        return output::json(&serde_json::json!({
            "nest": made.text, "moduli": made.moduli, "least": made.least, "bits": made.bits,
            "rest": made.rest, "grade": guarded.then_some("A"),
        }));
    }
    output::print(&made.text)
}

/// A product in as much memory, in panels where that is too little for all at once.
fn within(
    args: &OzakiArgs,
    options: &Options,
    sizes: &BTreeMap<Name, i64>,
    most: u64,
) -> Result<()> {
    let (made, room, panels) = Emulation::within(&args.spec, options, sizes, most)?;
    if args.json {
        let panels = panels.map(|p| {
            serde_json::json!({
                "lines": p.lines, "counts": p.counts, "rows_outside": p.rows_outside,
            })
        });
        return output::json(&serde_json::json!({
            "nest": made.text, "moduli": made.moduli, "least": made.least, "bits": made.bits,
            "rest": made.rest, "grade": args.grade, "total": room.total(), "panels": panels,
        }));
    }
    let mib = room.total() as f64 / f64::from(1 << 20);
    output::print(&format!("# {mib:.1} MiB beside A, B and C\n{}", made.text))
}

/// Memory that a product takes.
fn room(room: &Room, args: &OzakiArgs) -> Result<()> {
    let ([a, b], total) = (room.residues, room.total());
    if args.json {
        return output::json(&serde_json::json!({
            "residues": [a, b], "remainders": room.remainders, "lines": room.lines,
            "total": total, "arrays": room.arrays,
        }));
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    output::print(&format!(
        "residues of A   {:12.1} MiB\nresidues of B   {:12.1} MiB\nremainders      {:12.1} MiB\n\
         rows, columns   {:12.1} MiB\nin all          {:12.1} MiB, {:.2} of A, B and C\n",
        mib(a),
        mib(b),
        mib(room.remainders),
        mib(room.lines),
        mib(total),
        total as f64 / (room.arrays as f64).max(1.0),
    ))
}

/// Scheme I: the nest, or its schedule for a target.
fn slices(args: &OzakiArgs) -> Result<()> {
    let of = load::dtype(Some(&args.slice_type))?.unwrap_or(DType::I8);
    let options = SliceOptions {
        pairs: args.pairs.unwrap_or(args.slices),
        bits: args.slice_bits,
        grouped: args.grouped,
        ..SliceOptions::new(args.slices, of, args.terms.unwrap_or(MOST_TERMS))
    };
    let made = Sliced::new(&args.spec, &options)?;
    let Some(target) = &args.schedule_for else {
        return if args.json {
            output::json(&serde_json::json!({
                "nest": made.text, "slices": args.slices, "products": options.products(),
                "bits": made.bits, "block": made.block, "bound": made.bound,
            }))
        } else {
            output::print(&made.text)
        };
    };
    let sizes = warploom::parse_sizes(&args.size)?;
    let nest = warploom::bind(&made.nest()?, &sizes, &BTreeMap::new())?;
    let (schedule, pairs) = made.schedule(&nest, target.parse()?)?;
    let why = match pairs {
        Pairs::Together { split, predicted } => {
            let slices = |o: Operand| if o == Operand::A { "slices of A" } else { "slices of B" };
            let made = split.map_or("all slices are made before".to_owned(), |operand| {
                format!("{} are made on their way into shared memory", slices(operand))
            });
            let us = |time: f64| format!("{:.0} us", 1e6 * time);
            let times = match predicted {
                [Some(before), Some(way)] => format!(
                    " (predicted: {} with slices made before, {} with some made on the way)",
                    us(before),
                    us(way)
                ),
                [Some(_), None] | [None, _] => String::new(),
            };
            format!("all pairs of slices of a tile in one block; {made}{times}")
        }
        Pairs::Apart(reason) => format!("each pair of slices by itself: {reason}"),
    };
    output::print(&format!("# {why}\n{}", schedule.script()))
}
