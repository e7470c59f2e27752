//! How much memory emulated products take: what is said is what programs plan, what is allowed is
//! kept by panels, and panels change no bit.

use std::collections::BTreeMap;

use warploom::compile;
use warploom::ozaki::{Accuracy, Emulation, Options, Room, parse_bytes};
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::interp;
use warploom_ir::kernel::Index;
use warploom_ir::nest::Nest;
use warploom_ir::program::{Program, Temporary};
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;

type Sizes = BTreeMap<Name, i64>;
/// An einsum, options, sizes, and the bytes allowed.
type Case = (&'static str, Options, &'static [(&'static str, i64)], u64);

fn sizes(all: &[(&str, i64)]) -> Sizes {
    all.iter().map(|(name, value)| (Name::from(*name), *value)).collect()
}

/// Bytes of temporaries of the program for sm_90a.
fn planned(program: &Program) -> u64 {
    let bytes = |name: &Name| -> u64 {
        let buffer = program.kernel.buffers.iter().find(|b| b.name == *name);
        let buffer = buffer.expect("a temporary is a buffer");
        let extent = |i: &Index| match i {
            Index::Const(n) => n.cast_unsigned(),
            other => panic!("{other:?}"),
        };
        buffer.shape.iter().map(extent).product::<u64>() * buffer.dtype.size_bytes() as u64
    };
    let slot = |s: &Vec<Temporary>| s.iter().map(|t| bytes(&t.name)).max();
    program.slots.iter().filter_map(slot).sum()
}

fn program(nest: &Nest) -> Program {
    let lowered = compile::auto_for(nest, Target::Sm90a)
        .and_then(|s| compile::lower(&s))
        .unwrap_or_else(|e| panic!("{e}"));
    assert!(lowered.kernel().has_block_program(), "{}", lowered.kernel());
    Program::of(lowered.kernel().clone())
}

#[test]
fn the_room_said_is_the_room_planned() {
    let guarded = Options { guarded: true, ..Options::new(DType::F64, Accuracy::Moduli(5)) };
    for (options, [m, n, k]) in [
        (Options::new(DType::F64, Accuracy::Moduli(4)), [256, 512, 256]),
        (guarded, [512, 256, 384]),
        (Options::new(DType::F32, Accuracy::Bits(24)), [256, 256, 256]),
    ] {
        let sizes = sizes(&[("M", m), ("N", n), ("K", k)]);
        let room = Room::of("mk,kn->mn", &options, &sizes).unwrap_or_else(|e| panic!("{e}"));
        let e = Emulation::new("mk,kn->mn", &options).unwrap_or_else(|e| panic!("{e}"));
        let fixed = format!("param M = {m}, N = {n}, K = {k}");
        let nest: Nest =
            e.text.replacen("param M, N, K", &fixed, 1).parse().unwrap_or_else(|e| panic!("{e}"));
        let program = program(&nest);
        assert_eq!(room.total(), planned(&program), "{program}");
    }
    let missing = Room::of("mk,kn->mn", &guarded, &BTreeMap::new());
    assert_eq!(missing.expect_err("no sizes").code, "E0511");
}

/// Panels of rows and columns, of which the last are cut: the host's loops around launches, whose
/// kernels compute the bits of the whole product in no more memory than was allowed.
#[test]
fn panels_keep_what_is_allowed() {
    let options = Options::new(DType::F64, Accuracy::Moduli(3));
    let of = |k: i64, most: u64| {
        let sizes = sizes(&[("M", 520), ("N", 300), ("K", k)]);
        let found = Emulation::within("mk,kn->mn", &options, &sizes, most);
        let (e, room, panels) = found.unwrap_or_else(|e| panic!("{e}"));
        let panels = panels.expect("all at once takes more");
        assert_eq!((panels.lines, panels.counts), ([256, 256], [3, 2]));
        assert!(room.total() <= most, "{room:?}");
        (program(&e.nest().unwrap_or_else(|e| panic!("{e}"))), room, sizes)
    };
    let (large, room, _) = of(256, 600_000);
    assert_eq!(room.total(), planned(&large), "{large}");
    let (small, _, sizes) = of(20, 250 << 10);
    let random = |shape: &[usize], seed| Tensor::random(DType::F64, shape, seed).expect("small");
    let inputs =
        BTreeMap::from([("A".into(), random(&[520, 20], 1)), ("B".into(), random(&[20, 300], 2))]);
    let whole = Emulation::new("mk,kn->mn", &options).and_then(|e| e.nest()).expect("a nest");
    let want = interp::nest::run(&whole, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"));
    let have = interp::kernel::run(&small.kernel, &BTreeMap::new(), &inputs);
    let have = have.unwrap_or_else(|e| panic!("{e}\n{small}"));
    assert_eq!(want["C"].bytes(), have["C"].bytes());
}

/// Nests in panels say what the whole nests say: batches, transposes, several indices, complex
/// elements, alpha and beta, the guard.
#[test]
fn panels_change_no_bit() {
    let plain = Options::new(DType::F64, Accuracy::Moduli(2));
    let all: [Case; 5] = [
        (
            "km,nk->mn",
            Options { guarded: true, ..plain },
            &[("M", 300), ("N", 4), ("K", 5)],
            10_000,
        ),
        ("zmk,zkn->zmn", plain, &[("Z", 2), ("M", 3), ("N", 270), ("K", 4)], 11_000),
        ("mik,kn->imn", plain, &[("M", 260), ("I", 2), ("N", 3), ("K", 4)], 13_500),
        (
            "mk,kn->mn",
            Options { complex: true, ..plain },
            &[("M", 3), ("N", 259), ("K", 3)],
            12_450,
        ),
        ("mk,kn->mn", Options { scaled: true, ..plain }, &[("M", 257), ("N", 3), ("K", 2)], 5_700),
    ];
    for (spec, options, list, most) in all {
        let sizes = sizes(list);
        let (e, room, panels) = Emulation::within(spec, &options, &sizes, most)
            .unwrap_or_else(|e| panic!("{spec}: {e}"));
        assert!(panels.is_some() && room.total() <= most, "{spec}: {room:?}");
        let whole = Emulation::new(spec, &options).and_then(|e| e.nest()).expect("a nest");
        let nest = e.nest().unwrap_or_else(|e| panic!("{e}"));
        let inputs: BTreeMap<Name, Tensor> = (whole.arrays.iter().enumerate())
            .filter(|(_, a)| ["A", "B", "C", "alpha", "beta"].contains(&&*a.name))
            .filter(|(_, a)| options.scaled || &*a.name != "C")
            .map(|(k, a)| {
                let value = |name: &str| sizes.get(name).copied();
                let shape: Vec<usize> = (a.shape.iter())
                    .map(|e| e.eval(&value).and_then(|v| usize::try_from(v).ok()).expect("known"))
                    .collect();
                let tensor = Tensor::random(DType::F64, &shape, k as u64).expect("small");
                (a.name.clone(), tensor)
            })
            .collect();
        let want = interp::nest::run(&whole, &sizes, &inputs).unwrap_or_else(|e| panic!("{e}"));
        let have = interp::nest::run(&nest, &BTreeMap::new(), &inputs);
        let have = have.unwrap_or_else(|e| panic!("{spec}: {e}"));
        assert_eq!(want["C"].bytes(), have["C"].bytes(), "{spec}");
    }
}

/// The plan for large products, and what is too little for any.
#[test]
fn panels_are_as_large_as_fits() {
    let options = Options::new(DType::F64, Accuracy::Moduli(14));
    let sizes = sizes(&[("M", 16384), ("N", 16384), ("K", 16384)]);
    let of = |most: &str| {
        let most = parse_bytes(most).unwrap_or_else(|e| panic!("{e}"));
        Emulation::within("mk,kn->mn", &options, &sizes, most)
    };
    let (_, room, panels) = of("2GiB").expect("fits");
    let panels = panels.expect("in panels");
    assert!(room.total() <= 2 << 30, "{room:?}");
    // whole panels, and residues of one operand made twice
    assert!(panels.lines.iter().all(|n| 16384 % n == 0), "{panels:?}");
    assert!(panels.counts.contains(&2), "{panels:?}");
    // 1.3 times A, B and C: each operand once
    let (_, room, panels) = of("8GiB").expect("fits");
    assert!(room.total() <= room.arrays * 13 / 10, "{room:?}");
    assert!(panels.expect("in panels").counts.contains(&1));
    let (e, _, panels) = of("16GiB").expect("fits");
    assert!(panels.is_none() && !e.text.contains("panel"));
    assert_eq!(of("1MiB").expect_err("too little").code, "E0511");
    for text in ["", "GiB", "2GB", "-1", "2.5GiB", "99999999999TiB"] {
        assert_eq!(parse_bytes(text).expect_err(text).code, "E0511", "{text}");
    }
}
