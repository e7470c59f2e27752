//! Contradictions that schedules and kernels lead to are found, and none that is not there.

use proptest::prelude::*;

use super::{Linear, Range, System};
use crate::affine::Affine;

fn sum(terms: &[(usize, i64)], constant: i64) -> Linear {
    let start = Linear::constant(constant);
    let add = |s: Linear, (v, c): &(usize, i64)| s.plus((*c).into(), &Linear::variable(*v));
    terms.iter().try_fold(start, add).expect("small numbers")
}

fn within(system: &mut System, count: i128) -> usize {
    let v = system.variable();
    system.require(Linear::variable(v), Range { low: Some(0), high: Some(count - 1) });
    v
}

#[test]
fn numbers_in_mixed_radix_are_equal_digit_by_digit() {
    let mut s = System::new();
    let own: Vec<[usize; 2]> = [16, 8, 64].map(|n| [within(&mut s, n), within(&mut s, n)]).into();
    let mut terms = Vec::new();
    for (pair, size) in own.iter().zip([512, 64, 1]) {
        terms.extend([(pair[0], size), (pair[1], -size)]);
    }
    s.require(sum(&terms, 0), Range::only(0));
    assert!(!s.never_with(&[]));
    let [a, b] = own[1];
    let mut other = s.clone();
    other.require(sum(&[(a, 1), (b, -1)], 0), Range::from(1));
    assert!(other.never_with(&[]));
    // one digit too many
    let mut wide = s.clone();
    let c = within(&mut wide, 3);
    wide.require(sum(&[(a, 1), (b, -1), (c, -1)], 0), Range::from(1));
    assert!(wide.never_with(&[]));
}

#[test]
fn persistent_blocks_have_tiles_of_their_own() {
    // tile = block + 66 turn, row = floor(tile / 64), column = tile mod 64
    let mut s = System::new();
    let run = |s: &mut System| {
        let (block, turn) = (within(s, 66), within(s, 8));
        let tile = Affine::var("b").add(&Affine::var("t").scale(66).unwrap()).unwrap();
        let lookup = |n: &str| Some(Linear::variable(if n == "b" { block } else { turn }));
        let row = s.affine(&tile.floor_div(64).unwrap(), &lookup).unwrap();
        let column = s.affine(&tile.modulo(64).unwrap(), &lookup).unwrap();
        let [i, j] = [128, 256].map(|n| within(s, n));
        let at = |tile: &Linear, size: i128, point: usize| {
            Linear::variable(point).plus(size, tile).unwrap()
        };
        (block, [at(&row, 128, i), at(&column, 256, j)])
    };
    let (first, a) = run(&mut s);
    let (second, b) = run(&mut s);
    for (a, b) in a.iter().zip(&b) {
        s.require(a.minus(b).unwrap(), Range::only(0));
    }
    assert!(!s.never_with(&[]));
    s.require(sum(&[(second, 1), (first, -1)], 0), Range::from(1));
    assert!(s.never_with(&[]));
}

#[test]
fn quotients_that_loops_come_out_with_are_read_too() {
    // a tile of 4096 by 4096: eight rows share columns, as isl writes it for blocks with turns
    let mut s = System::new();
    let run = |s: &mut System| {
        let (block, turn) = (within(s, 66), within(s, 4));
        let lookup = |n: &str| Some(Linear::variable(if n == "b" { block } else { turn }));
        let e = |b: i64, t: i64, c: i64| {
            let turns = Affine::var("t").scale(t).unwrap().add_const(c).unwrap();
            Affine::var("b").scale(b).unwrap().add(&turns).unwrap()
        };
        let eight = e(1, 2, 0).floor_div(8).unwrap();
        let group = e(-1, 62, 127).floor_div(128).unwrap();
        let sum = |start: Affine, parts: [(&Affine, i64); 2]| {
            parts.iter().fold(start, |s, (e, c)| s.add(&e.scale(*c).unwrap()).unwrap())
        };
        let row = sum(e(256, 2560, 0), [(&eight, -2048), (&group, -2048)]);
        let column = sum(e(0, -2048, 0), [(&eight, 256), (&group, 4096)]);
        let [i, j] = [256, 256].map(|n| within(s, n));
        let [row, column] = [(row, i), (column, j)].map(|(e, point)| {
            s.affine(&e, &lookup).unwrap().plus(1, &Linear::variable(point)).unwrap()
        });
        (block, [row, column])
    };
    let (first, a) = run(&mut s);
    let (second, b) = run(&mut s);
    for (a, b) in a.iter().zip(&b) {
        s.require(a.minus(b).unwrap(), Range::only(0));
    }
    s.require(sum(&[(second, 1), (first, -1)], 0), Range::from(1));
    assert!(s.never_with(&[]));
}

#[test]
fn overlapping_tiles_are_not_refuted() {
    let mut s = System::new();
    let [t, u] = [8, 8].map(|n| within(&mut s, n));
    let [i, j] = [5, 5].map(|n| within(&mut s, n));
    s.require(sum(&[(t, 4), (i, 1), (u, -4), (j, -1)], 0), Range::only(0));
    s.require(sum(&[(u, 1), (t, -1)], 0), Range::from(1));
    assert!(!s.never_with(&[]));
    assert!(s.sometimes_with(&[]));
}

#[test]
fn large_numbers_end_the_search() {
    let mut s = System::new();
    let (a, b) = (s.variable(), s.variable());
    for (x, y) in [(i64::MAX, i64::MIN), (i64::MAX - 2, 7), (3, i64::MAX - 6)] {
        s.require(sum(&[(a, x), (b, y)], 1), Range::only(i128::MAX - 1));
    }
    assert!(!s.never_with(&[]));
}

const VARIABLES: usize = 4;

type Row = (Vec<i64>, i64, Option<i64>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let coefficient = prop_oneof![4 => -2i64..=2, 1 => Just(4), 1 => Just(-4), 1 => Just(0)];
    let row =
        (prop::collection::vec(coefficient, VARIABLES), -6i64..=6, prop::option::of(0i64..=5));
    prop::collection::vec(row, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn what_is_refuted_has_no_solution(
        sizes in prop::collection::vec(1i64..=5, VARIABLES),
        rows in rows(),
        divisor in 2i64..=4,
    ) {
        let mut s = System::new();
        let variables: Vec<usize> = sizes.iter().map(|n| within(&mut s, (*n).into())).collect();
        for (coefficients, low, size) in &rows {
            let both = variables.iter().copied().zip(coefficients.iter().copied());
            let terms: Vec<_> = both.collect();
            let high = size.map(|size| (low + size).into());
            s.require(sum(&terms, 0), Range { low: Some((*low).into()), high });
        }
        // the last row's sum has a quotient that is not 0
        let names = ["a", "b", "c", "d"];
        let mut e = Affine::constant(1);
        for (name, c) in names.iter().zip(&rows[0].0) {
            e = e.add(&Affine::var(*name).scale(*c).unwrap()).unwrap();
        }
        let quotient = e.floor_div(divisor).unwrap();
        let at = |n: &str| names.iter().position(|name| *name == n);
        let value = s.affine(&quotient, &|n| Some(Linear::variable(variables[at(n)?]))).unwrap();
        s.require(value, Range::from(1));
        let count: i64 = sizes.iter().product();
        let point = |mut number: i64| -> Vec<i64> {
            sizes.iter().map(|n| { let digit = number % n; number /= n; digit }).collect()
        };
        let solved = (0..count).map(point).any(|p| {
            let meets = rows.iter().all(|(coefficients, low, size)| {
                let v: i64 = coefficients.iter().zip(&p).map(|(c, x)| c * x).sum();
                v >= *low && size.is_none_or(|size| v <= low + size)
            });
            meets && quotient.eval(&|n| Some(p[at(n)?])) >= Some(1)
        });
        prop_assert!(!(solved && s.never_with(&[])));
        prop_assert!(solved || !s.sometimes_with(&[]));
    }
}
