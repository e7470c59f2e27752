//! Random contractions of two tensors: their automatic schedules, interpreted, give what the nests
//! give. `random 0 1000 --contractions` judges more of them, and with `--gpu` on a GPU.

use std::collections::BTreeSet;

use warploom_ir::target::Target;
use warploom_tests::random::contraction::{Contraction, contractions};

#[test]
fn a_sample_is_right_for_every_target() {
    let targets = [Target::Sm90a, Target::Sm80, Target::Sm100a];
    let found = contractions(0, 24, &|seed| targets[(seed % 3) as usize], None, 2);
    assert!(found.wrong.is_empty(), "{}", found.wrong.join("\n"));
    let on_tensor_cores: usize =
        found.by.iter().filter(|(by, _)| *by != "threads").map(|(_, n)| n).sum();
    assert!(on_tensor_cores >= 8, "{:?}", found.by);
}

#[test]
fn contractions_are_of_every_kind() {
    let all: Vec<Contraction> = (0..1000).map(Contraction::random).collect();
    let ranks = |c: &Contraction| -> Vec<usize> {
        c.einsum.split([',', '>']).map(|t| t.trim_end_matches('-').len()).collect()
    };
    let seen: BTreeSet<usize> = all.iter().flat_map(ranks).collect();
    assert!((2..=6).all(|rank| seen.contains(&rank)), "{seen:?}");
    let sizes: BTreeSet<i64> = all.iter().flat_map(|c| c.sizes.values().copied()).collect();
    assert!([1, 7, 13, 64, 72].iter().all(|size| sizes.contains(size)), "{sizes:?}");
    let types: BTreeSet<String> = all.iter().map(|c| format!("{:?}", c.types)).collect();
    assert_eq!(types.len(), 11);
    let different: BTreeSet<&String> = all.iter().map(|c| &c.einsum).collect();
    assert!(different.len() > 800, "{}", different.len());
}
