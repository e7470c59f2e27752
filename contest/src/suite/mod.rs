//! A suite of problems that shows what works on a GPU: products of each type and transposition,
//! contractions, convolutions, emulated products; each at a small size, which the interpreter runs,
//! and at sizes that are timed.
//!
//! In: nothing. Out: cases, each of which becomes a nest and a schedule as a user's spec would.
//! Keeps: nothing here is known to the compiler; a case is a spec with types and sizes.
//! Why here: tests, `warploom bench` and its bundle show the same list.

mod conformance;
mod taken;

pub use conformance::{Conformance, Wanted, check};

use std::collections::BTreeMap;

use warploom::diag::Result;
use warploom::ozaki::{Accuracy, Emulation, Options, SliceOptions, Sliced};
use warploom::{Accumulation, DType, GpuOptions, Nest, Paired, Schedule, Script, Sizes, Spec};
use warploom::{SpecTypes, Target, bind, compile};

/// What a case is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Products of two matrices.
    Product,
    /// Contractions over several indices (TCCG's).
    Contraction,
    /// Convolutions.
    Convolution,
    /// Products of f64 from those of narrow types (Ozaki schemes I and II).
    Emulated,
    /// Products of factors with scales.
    Scaled,
    /// Products whose blocks take tiles by cluster launch control.
    Taken,
}

impl Group {
    /// Every group.
    pub const ALL: [Self; 6] = [
        Self::Product,
        Self::Contraction,
        Self::Convolution,
        Self::Emulated,
        Self::Scaled,
        Self::Taken,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Product => "products",
            Self::Contraction => "contractions",
            Self::Convolution => "convolutions",
            Self::Emulated => "emulated",
            Self::Scaled => "scaled",
            Self::Taken => "taken",
        }
    }
}

/// How a case's nest is written.
#[derive(Clone, Debug)]
enum Text {
    /// An einsum, the type of its factors, that of its sums, that of its result.
    Einsum(&'static str, [DType; 3]),
    /// A text.
    Nest(&'static str),
    /// Scheme I with so many slices of a type.
    Slices(u32, DType),
    /// Scheme II with so many moduli.
    Moduli(usize),
}

/// A problem of the suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, unique in the suite.
    pub name: String,
    /// What it is one of.
    pub group: Group,
    text: Text,
    small: Sizes,
    timed: Vec<Sizes>,
}

/// Types of factors, sums and results.
const TYPES: [[DType; 3]; 8] = [
    [DType::Bf16, DType::F32, DType::Bf16],
    [DType::F16, DType::F32, DType::F16],
    [DType::Tf32, DType::F32, DType::F32],
    [DType::E4m3, DType::F32, DType::F32],
    [DType::E5m2, DType::F32, DType::F32],
    [DType::I8, DType::I32, DType::I32],
    [DType::U8, DType::I32, DType::I32],
    [DType::F64, DType::F64, DType::F64],
];

/// Transpositions.
const LAYOUTS: [&str; 4] = ["mk,kn->mn", "mk,nk->mn", "km,kn->mn", "km,nk->mn"];

/// Sizes of squares that are timed.
const SQUARES: [i64; 4] = [1024, 2048, 4096, 8192];

/// An einsum, the extent of its labels where it is timed, labels with other extents, and all
/// extents where it is interpreted: some tiles, of which pairs of blocks can take some.
type Contraction = (&'static str, i64, &'static [(char, i64)], &'static [(char, i64)]);

/// TCCG's contractions.
const CONTRACTIONS: [Contraction; 8] = [
    ("dabfe,fc->edcba", 32, &[], &[('a', 16), ('b', 4), ('c', 40), ('d', 3), ('e', 16), ('f', 24)]),
    ("aebd,ce->dcba", 72, &[], &[('a', 16), ('b', 12), ('c', 40), ('d', 8), ('e', 24)]),
    ("adb,cd->cba", 384, &[], &[('a', 24), ('b', 16), ('c', 200), ('d', 24)]),
    (
        "aged,cbfg->fedcba",
        16,
        &[('g', 72)],
        &[('a', 16), ('b', 4), ('c', 4), ('d', 8), ('e', 4), ('f', 3), ('g', 24)],
    ),
    ("ae,dcbe->dcba", 72, &[], &[('a', 40), ('b', 16), ('c', 8), ('d', 4), ('e', 24)]),
    ("ceda,dbe->cba", 72, &[('b', 384)], &[('a', 16), ('b', 40), ('c', 16), ('d', 3), ('e', 16)]),
    ("dac,bcd->ba", 384, &[], &[('a', 200), ('b', 40), ('c', 16), ('d', 16)]),
    ("fbea,cedf->dcba", 72, &[], &[('a', 16), ('b', 16), ('c', 4), ('d', 8), ('e', 3), ('f', 16)]),
];

const CONVOLUTION: &str = "param N, P, Q, K, R, S, C
assume R >= 1
assume S >= 1
in I: bf16[N, P + R - 1, Q + S - 1, C]  in W: bf16[K, R, S, C]  out O: bf16[N, P, Q, K]
temp Acc: f32[N, P, Q, K]
for n in 0..N, p in 0..P, q in 0..Q, k in 0..K {
  S0: Acc[n, p, q, k] = 0
  for r in 0..R, s in 0..S, c in 0..C {
    S1: Acc[n, p, q, k] += I[n, p + r, q + s, c] * W[k, r, s, c] order fixed
  }
  S2: O[n, p, q, k] = Acc[n, p, q, k]
}
";

/// The same with a border of zeros, and what follows it in the same kernel; and with steps of two,
/// channels first.
const PADDED: &str = include_str!("../../../examples/nests/conv2d_padded.nest");
const STRIDED: &str = include_str!("../../../examples/nests/conv2d_strided_nchw.nest");

/// Products of factors with scales, and the terms where they are interpreted: they end inside tiles
/// and inside what shares a scale, but rows of four bits are whole 16 bytes. Powers of two: one for
/// each row and 32 terms, in rows; words of four of them, for neighbouring rows; in blocks of 128
/// rows and four steps, as libraries take them; one for 128 terms, of factors that lie the other
/// way round. Then factors of four bits: with powers of two in rows and in words, with scales of
/// eight bits for 16 terms in rows and in blocks.
const SCALED: [(&str, i64, &str); 8] = [
    (
        "mk,nk->mn e4m3 by ue8m0",
        304,
        "param M, N, K
in A: e4m3[M, K]  in SA: ue8m0[M, floor((K + 31) / 32)]
in B: e4m3[N, K]  in SB: ue8m0[N, floor((K + 31) / 32)]
out C: f32[M, N]
C[m, n] += (A[m, k] * SA[m, floor(k / 32)]) * (B[n, k] * SB[n, floor(k / 32)])
",
    ),
    (
        "mk,nk->mn e5m2 by words of ue8m0",
        304,
        "param M, N, K
in A: e5m2[M, K]  in SA: ue8m0[floor((K + 127) / 128), M, 4]
in B: e4m3[N, K]  in SB: ue8m0[floor((K + 127) / 128), N, 4]
out C: f32[M, N]
C[m, n] += A[m, k] * SA[floor(k / 128), m, floor(k / 32) mod 4]
  * B[n, k] * SB[floor(k / 128), n, floor(k / 32) mod 4]
",
    ),
    (
        "mk,nk->mn e4m3 by blocks of ue8m0",
        304,
        "param M, N, K
in A: e4m3[M, K]  in SA: ue8m0[floor((M + 127) / 128), floor((K + 127) / 128), 32, 4, 4]
in B: e4m3[N, K]  in SB: ue8m0[floor((N + 127) / 128), floor((K + 127) / 128), 32, 4, 4]
out C: bf16[M, N]
C[m, n] +=
  A[m, k] * SA[floor(m / 128), floor(k / 128), m mod 32, floor(m / 32) mod 4, floor(k / 32) mod 4]
  * B[n, k] * SB[floor(n / 128), floor(k / 128), n mod 32, floor(n / 32) mod 4, floor(k / 32) mod 4]
",
    ),
    (
        "km,kn->mn e5m2 by ue8m0 of 128",
        304,
        "param M, N, K
in A: e5m2[K, M]  in SA: ue8m0[floor((K + 127) / 128), M]
in B: e5m2[K, N]  in SB: ue8m0[floor((K + 127) / 128), N]
out C: bf16[M, N]
C[m, n] += (A[k, m] * SA[floor(k / 128), m]) * (B[k, n] * SB[floor(k / 128), n])
",
    ),
    (
        "mk,nk->mn e2m1 by ue8m0",
        288,
        "param M, N, K
in A: e2m1[M, K]  in SA: ue8m0[M, floor((K + 31) / 32)]
in B: e2m1[N, K]  in SB: ue8m0[N, floor((K + 31) / 32)]
out C: f32[M, N]
C[m, n] += (A[m, k] * SA[m, floor(k / 32)]) * (B[n, k] * SB[n, floor(k / 32)])
",
    ),
    (
        "mk,nk->mn e2m1 by words of ue8m0",
        288,
        "param M, N, K
in A: e2m1[M, K]  in SA: ue8m0[floor((K + 127) / 128), M, 4]
in B: e2m1[N, K]  in SB: ue8m0[floor((K + 127) / 128), N, 4]
out C: bf16[M, N]
C[m, n] += A[m, k] * SA[floor(k / 128), m, floor(k / 32) mod 4]
  * B[n, k] * SB[floor(k / 128), n, floor(k / 32) mod 4]
",
    ),
    (
        "mk,nk->mn e2m1 by ue4m3",
        288,
        "param M, N, K
in A: e2m1[M, K]  in SA: ue4m3[M, floor((K + 15) / 16)]
in B: e2m1[N, K]  in SB: ue4m3[N, floor((K + 15) / 16)]
out C: f32[M, N]
C[m, n] += (A[m, k] * SA[m, floor(k / 16)]) * (B[n, k] * SB[n, floor(k / 16)])
",
    ),
    (
        "mk,nk->mn e2m1 by blocks of ue4m3",
        288,
        "param M, N, K
in A: e2m1[M, K]  in SA: ue4m3[floor((M + 127) / 128), floor((K + 63) / 64), 32, 4, 4]
in B: e2m1[N, K]  in SB: ue4m3[floor((N + 127) / 128), floor((K + 63) / 64), 32, 4, 4]
out C: bf16[M, N]
C[m, n] +=
  A[m, k] * SA[floor(m / 128), floor(k / 64), m mod 32, floor(m / 32) mod 4, floor(k / 16) mod 4]
  * B[n, k] * SB[floor(n / 128), floor(k / 64), n mod 32, floor(n / 32) mod 4, floor(k / 16) mod 4]
",
    ),
];

fn sizes(of: &[(&str, i64)]) -> Sizes {
    of.iter().map(|(name, value)| ((*name).into(), *value)).collect()
}

/// Sizes of an einsum's labels.
fn labels(spec: &str, usual: i64, others: &[(char, i64)]) -> Sizes {
    let size = |c: char| others.iter().find(|(l, _)| *l == c).map_or(usual, |(_, n)| *n);
    let labels = spec.chars().filter(char::is_ascii_lowercase);
    labels.map(|c| (c.to_string().into(), size(c))).collect()
}

/// Convolutions: plain, with a border, channels first with steps.
fn convolutions() -> Vec<Case> {
    let conv = |[n, p, q, k, c]: [i64; 5]| {
        sizes(&[("N", n), ("P", p), ("Q", q), ("K", k), ("R", 3), ("S", 3), ("C", c)])
    };
    let padded =
        |[n, h, w, k, c]: [i64; 5]| sizes(&[("N", n), ("H", h), ("W", w), ("K", k), ("C", c)]);
    let strided =
        |[n, p, q, k, c]: [i64; 5]| sizes(&[("N", n), ("P", p), ("Q", q), ("K", k), ("C", c)]);
    let case = |name: &str, text: &'static str, small: Sizes, timed: Sizes| Case {
        name: name.to_owned(),
        group: Group::Convolution,
        text: Text::Nest(text),
        small,
        timed: vec![timed],
    };
    let large = [32, 56, 56, 128, 128];
    vec![
        case("conv2d bf16", CONVOLUTION, conv([1, 2, 264, 32, 16]), conv(large)),
        case("conv2d bf16, border", PADDED, padded([1, 17, 16, 32, 16]), padded(large)),
        case(
            "conv2d bf16, NCHW step 2",
            STRIDED,
            strided([1, 17, 16, 32, 16]),
            strided([32, 28, 28, 128, 128]),
        ),
    ]
}

/// All cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for types in TYPES {
        for spec in LAYOUTS {
            let square = |n: &i64| labels(spec, *n, &[]);
            let plain = spec == LAYOUTS[0] || spec == LAYOUTS[1];
            out.push(Case {
                name: format!("{spec} {}", types[0]),
                group: Group::Product,
                text: Text::Einsum(spec, types),
                // ends inside tiles of rows, columns and sums
                small: sizes(&[("m", 272), ("n", 48), ("k", 48)]),
                timed: if plain { SQUARES.iter().map(square).collect() } else { Vec::new() },
            });
        }
    }
    for (spec, usual, others, few) in CONTRACTIONS {
        out.push(Case {
            name: format!("{spec} bf16"),
            group: Group::Contraction,
            text: Text::Einsum(spec, TYPES[0]),
            small: labels(spec, 1, few),
            timed: vec![labels(spec, usual, others)],
        });
    }
    out.extend(convolutions());
    let square = |n: i64| sizes(&[("M", n), ("N", n), ("K", n)]);
    // rows of a pair of tiles
    let emulated = |name: &str, text: Text| Case {
        name: name.to_owned(),
        group: Group::Emulated,
        text,
        small: sizes(&[("M", 144), ("N", 40), ("K", 64)]),
        timed: vec![square(4096)],
    };
    out.push(emulated("ozaki I i8", Text::Slices(2, DType::I8)));
    out.push(emulated("ozaki I bf16", Text::Slices(2, DType::Bf16)));
    out.push(emulated("ozaki II", Text::Moduli(3)));
    for (name, terms, text) in SCALED {
        out.push(Case {
            name: name.to_owned(),
            group: Group::Scaled,
            text: Text::Nest(text),
            // ends inside tiles, blocks of scales, and what shares one
            small: sizes(&[("M", 272), ("N", 48), ("K", terms)]),
            timed: SQUARES.map(square).to_vec(),
        });
    }
    let spec = LAYOUTS[0];
    out.push(Case {
        name: format!("{spec} bf16, tiles taken"),
        group: Group::Taken,
        text: Text::Einsum(spec, TYPES[0]),
        // ten tiles, or six of pairs
        small: sizes(&[("m", 528), ("n", 136), ("k", 48)]),
        timed: SQUARES.iter().map(|n| labels(spec, *n, &[])).collect(),
    });
    out
}

impl Case {
    /// Whether its products are of integers, which not every GPU with tensor memory has.
    #[must_use]
    pub fn integers(&self) -> bool {
        match &self.text {
            Text::Einsum(_, [of, ..]) | Text::Slices(_, of) => !of.is_float(),
            Text::Moduli(_) => true,
            Text::Nest(_) => false,
        }
    }

    /// Whether a GPU of this target has what the case shows.
    #[must_use]
    pub fn is_for(&self, target: Target) -> bool {
        self.group != Group::Taken || matches!(target, Target::Sm100a | Target::Sm103a)
    }

    /// The einsum, where it is one.
    #[must_use]
    pub const fn einsum(&self) -> Option<&'static str> {
        match &self.text {
            Text::Einsum(spec, _) => Some(spec),
            Text::Nest(_) | Text::Slices(..) | Text::Moduli(_) => None,
        }
    }

    /// The nest at the size that is interpreted.
    ///
    /// # Errors
    /// None, unless the suite is wrong.
    pub fn small(&self) -> Result<Nest> {
        self.nest(&self.small, false)
    }

    /// The nests that are timed, with their sizes.
    ///
    /// # Errors
    /// None, unless the suite is wrong.
    pub fn timed(&self) -> Result<Vec<(Sizes, Nest)>> {
        self.timed.iter().map(|sizes| Ok((sizes.clone(), self.nest(sizes, true)?))).collect()
    }

    fn nest(&self, sizes: &Sizes, timed: bool) -> Result<Nest> {
        let none = BTreeMap::new();
        let nest = match &self.text {
            Text::Einsum(spec, [of, acc, out]) => {
                let types = SpecTypes {
                    dtype: Some(*of),
                    acc: Some(Accumulation { acc: *acc, keeps: None }),
                    out: Some(*out),
                    sizes: sizes.clone(),
                    ..SpecTypes::default()
                };
                return bind(&Spec::Einsum((*spec).to_owned()).nest(&types)?, &Sizes::new(), &none);
            }
            Text::Nest(text) => text.parse()?,
            Text::Slices(..) => self.sliced(timed)?.nest()?,
            Text::Moduli(few) => {
                let accuracy = if timed { Accuracy::Bits(53) } else { Accuracy::Moduli(*few) };
                Emulation::new("mk,kn->mn", &Options::new(DType::F64, accuracy))?.text.parse()?
            }
        };
        bind(&nest, sizes, &none)
    }

    /// Scheme I's text: as many slices as f64 takes where it is timed.
    fn sliced(&self, timed: bool) -> Result<Sliced> {
        let (slices, of) = match self.text {
            Text::Slices(_, of) if timed => (8, of),
            Text::Slices(slices, of) => (slices, of),
            Text::Einsum(..) | Text::Nest(_) | Text::Moduli(_) => (1, DType::I8),
        };
        let terms = if timed { 8192 } else { 128 };
        Sliced::new("mk,kn->mn", &SliceOptions::new(slices, of, terms).whole())
    }

    /// The schedule of one of its nests for a GPU: the automatic one; of scheme I all pairs of
    /// slices of a tile in one block; of tiles that are taken a script.
    ///
    /// # Errors
    /// Those of automatic schedules.
    pub fn schedule(&self, nest: &Nest, options: &GpuOptions, timed: bool) -> Result<Schedule> {
        if self.group == Group::Taken {
            let script = taken::script(options.paired != Paired::Never, timed);
            let script: Script = script.parse()?;
            return Schedule::new(nest)?.replay(&script).map_err(|illegal| illegal.diagnostic);
        }
        match &self.text {
            Text::Slices(..) => Ok(self.sliced(timed)?.schedule_on(nest, options)?.0),
            Text::Einsum(..) | Text::Nest(_) | Text::Moduli(_) => {
                Ok(compile::automatic_on(nest, options)?.0)
            }
        }
    }
}
