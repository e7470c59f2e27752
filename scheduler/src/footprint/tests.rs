//! Boxes read off digits, against all instances one by one and against isl.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::nest::Nest;
use warploom_ir::schedule::{Poly, Tree};
use warploom_ir::tensor::random_word;

use super::*;

/// The values of some expressions at every instance of a statement.
fn instances(poly: &Poly, all: &[Affine]) -> Vec<Vec<i64>> {
    let s = &poly.statements[0];
    let mut out = Vec::new();
    let mut point = vec![0_i64; s.iters.len()];
    loop {
        let value = |name: &str| s.iters.iter().position(|i| &**i == name).map(|at| point[at]);
        let holds = |c: &Constraint| {
            let found = c.expr.eval(&value).unwrap();
            found == 0 || !c.equality && found > 0
        };
        if s.domain.iter().all(holds) {
            out.push(all.iter().map(|e| e.eval(&value).unwrap()).collect());
        }
        // an odometer over more than every domain here
        let Some(at) = (0..point.len()).rev().find(|at| point[*at] < 40) else { return out };
        point[at] += 1;
        point[at + 1..].fill(0);
    }
}

fn var(name: &str) -> Affine {
    Affine::var(name)
}

/// A digit of an iterator, or the iterator.
fn digit(name: &Name, word: u64) -> Affine {
    let whole = var(name);
    let place = [1, 2, 3, 4, 6, 8, 12][(word % 7) as usize];
    let radix = [2, 3, 4][(word >> 8) as usize % 3];
    match word >> 16 & 3 {
        0 => whole,
        1 => whole.floor_div(place).unwrap(),
        2 => whole.modulo(place).unwrap(),
        _ => whole.floor_div(place).unwrap().modulo(radix).unwrap(),
    }
}

fn sum(iters: &[Name], terms: usize, seed: u64, at: &mut u64) -> Affine {
    let mut next = || {
        *at += 1;
        random_word(seed, *at)
    };
    (0..terms).fold(Affine::constant((next() % 5) as i64 - 2), |all, _| {
        let word = next();
        let part = digit(&iters[(word % iters.len() as u64) as usize], word >> 4);
        let factor = [1, 1, 2, -1, 3, 4, 6, 12][(word >> 32) as usize % 8];
        all.add(&part.scale(factor).unwrap()).unwrap()
    })
}

fn nest(seed: u64) -> Nest {
    let extent = |k| 1 + random_word(seed, k) % 36;
    let guard = if random_word(seed, 99).is_multiple_of(3) {
        "if i + 2*j < 45 { S: X[i, j] = 1 }"
    } else {
        "S: X[i, j] = 1"
    };
    let text = format!(
        "out X: f32[40, 40]\nfor i in 0..{}, j in 0..{} {{ {guard} }}",
        extent(900),
        extent(901)
    );
    text.parse().unwrap()
}

/// The least and greatest of what an index is beyond an offset, over all iterations together, and
/// the largest distance between two in one.
fn around(values: &[Vec<i64>], rows: usize, offset: &Affine, names: &[Name]) -> (i64, i64, i64) {
    let (mut least, mut most) = (i64::MAX, i64::MIN);
    let mut each: BTreeMap<&[i64], (i64, i64)> = BTreeMap::new();
    for v in values {
        let coordinates = &v[..rows];
        let value = |name: &str| names.iter().position(|n| &**n == name).map(|at| coordinates[at]);
        let apart = v[rows] - offset.eval(&value).unwrap();
        (least, most) = (least.min(apart), most.max(apart));
        let own = each.entry(coordinates).or_insert((v[rows], v[rows]));
        *own = (own.0.min(v[rows]), own.1.max(v[rows]));
    }
    (least, most, each.values().map(|(a, b)| b - a).max().unwrap())
}

#[test]
fn boxes_hold_all_and_are_the_smallest() {
    let (mut seen, mut strided) = (0, 0);
    for seed in 0..4000 {
        let (poly, _) = Poly::from_nest(&nest(seed)).unwrap();
        let s = &poly.statements[0];
        let at = &mut 0;
        let names: Vec<Name> = ["c0".into(), "c1".into(), "c2".into()].to_vec();
        let rows: Vec<Affine> =
            names.iter().map(|_| sum(&s.iters, 1 + (seed % 2) as usize, seed, at)).collect();
        let index = sum(&s.iters, 1 + (seed % 3) as usize, seed, at);
        let domain = Domain::of(&poly, s).unwrap();
        let Some(found) = domain.boxed(&rows, &names, std::slice::from_ref(&index)) else {
            continue;
        };
        let values = instances(&poly, &[rows.as_slice(), &[index]].concat());
        let (least, most, widest) = around(&values, rows.len(), &found.offset[0], &names);
        let (extent, step) = (found.extent[0], found.step[0]);
        assert!(least >= 0 && most < extent, "seed {seed}: {least}..={most} is not in {extent}");
        assert_eq!(widest, extent - 1, "seed {seed}: a smaller box holds all");
        seen += 1;
        if step > 1 {
            strided += 1;
            let offset = &found.offset[0];
            for v in &values {
                let value = |n: &str| names.iter().position(|m| &**m == n).map(|at| v[at]);
                let apart = v[rows.len()] - offset.eval(&value).unwrap();
                assert_eq!(apart % step, 0, "seed {seed}: {apart} is no multiple of {step}");
            }
        }
    }
    assert!(seen > 300 && strided > 30, "{seen} boxes were seen, {strided} with steps");
}

#[test]
fn what_decides_an_iterator_decides_it() {
    let mut decided = 0;
    for seed in 0..600 {
        let (poly, _) = Poly::from_nest(&nest(seed)).unwrap();
        let s = &poly.statements[0];
        let at = &mut 0;
        let known: Vec<Affine> = (0..3).map(|_| sum(&s.iters, 1, seed, at)).collect();
        let found = Domain::of(&poly, s).unwrap().decided(&known);
        let iters: Vec<Affine> = s.iters.iter().map(|i| var(i)).collect();
        let values = instances(&poly, &[known.as_slice(), &iters].concat());
        for k in found {
            decided += 1;
            let mut of: BTreeMap<&[i64], i64> = BTreeMap::new();
            for v in &values {
                let own = v[known.len() + k];
                assert_eq!(*of.entry(&v[..known.len()]).or_insert(own), own, "seed {seed}");
            }
        }
    }
    assert!(decided > 100, "{decided} iterators were decided");
}

#[test]
fn tiles_of_a_product_are_what_isl_says() {
    let text = "in A: f32[300, 200]\nout C: f32[300]\n\
        for i in 0..300 { C[i] = 0 for k in 0..200 { C[i] += A[i, k] } }";
    let nest: Nest = text.parse().unwrap();
    let (poly, _) = Poly::from_nest(&nest).unwrap();
    let model = Model::new(&poly).unwrap();
    let (i, k) = (var("i"), var("k"));
    let tile = i.floor_div(64).unwrap();
    let below = i.modulo(64).unwrap().floor_div(16).unwrap();
    let chain = |rows: &[(&str, Affine)]| {
        let leaf = Tree::Statement("S1".into());
        rows.iter().rev().fold(leaf, |body, (name, row)| {
            let rows = BTreeMap::from([("S1".into(), row.clone())]);
            Tree::Loop(warploom_ir::schedule::TreeLoop {
                name: (*name).into(),
                rows,
                marks: warploom_ir::schedule::Marks::default(),
                body: Box::new(body),
            })
        })
    };
    let slice = k.floor_div(32).unwrap();
    let tree =
        chain(&[("t", tile), ("u", below), ("s", slice), ("i", i.clone()), ("k", k.clone())]);
    for at in ["t", "u", "s", "i"] {
        let iterations = Iterations::of(&poly, &tree, at);
        let indices = [i.clone(), k.scale(3).unwrap().add(&i).unwrap()];
        let seen = iterations.seen_grid(&model, &tree, 1, &indices).unwrap();
        let element = model.rows(1, &indices).unwrap();
        let touched = iterations.touched(&model, &tree, 1, &element).unwrap();
        assert_eq!(Some(seen), iterations.grid(&model, &touched).unwrap(), "{at}");
    }
}
