//! What runs on sm_90a's tensor cores runs on sm_100a's: products of each type and transposition,
//! contractions, a convolution and emulated products become kernels for tensor memory, by blocks of
//! their own and by pairs; each is sealed, gives the nest's result in the interpreter, and is
//! assembled for sm_100a, and for sm_103a but for integers, without local memory.

use warploom::{Paired, Target};
use warploom_contest::suite::{Case, Group, Wanted, cases, check};

/// Checks a case, and that its products are in tensor memory.
fn shown(case: &Case, paired: Paired) {
    let also: &[Target] = if case.integers() { &[] } else { &[Target::Sm103a] };
    let wanted = Wanted { target: Target::Sm100a, paired, also, interpret: true, device: None };
    let found = check(case, &wanted).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    if let Some(d) = found.failure() {
        panic!("{} {paired:?}: {d}", case.name);
    }
    assert!(!found.local(), "{}: {:?}", case.name, found.resources);
    let prefix =
        if paired == Paired::Always { "tcgen05.mma.pair.m256" } else { "tcgen05.mma.m128" };
    let such = |i: &String| i.starts_with(prefix);
    assert!(found.instructions.iter().all(such), "{}: {:?}", case.name, found.instructions);
    assert!(!found.instructions.is_empty(), "{}: no product is on tensor cores", case.name);
    let scaled = |i: &String| i.ends_with(".ue8m0") || i.ends_with(".ue4m3");
    assert!(found.instructions.iter().all(|i| scaled(i) == (case.group == Group::Scaled)));
    let columns = |r: &warploom::resources::Resources| r.tensor_columns > 0;
    assert!(found.resources.is_ok_and(|all| all.iter().any(columns)), "{}", case.name);
}

fn all(group: Group, word: &str, ways: &[Paired]) {
    let chosen = cases().into_iter().filter(|c| c.group == group && c.name.contains(word));
    let mut count = 0;
    for case in chosen {
        ways.iter().for_each(|paired| shown(&case, *paired));
        count += 1;
    }
    assert!(count > 0, "no case is called {word}");
}

const BOTH: [Paired; 2] = [Paired::Never, Paired::Always];

#[test]
fn products_of_bf16() {
    all(Group::Product, "bf16", &BOTH);
}

#[test]
fn products_of_f16() {
    all(Group::Product, " f16", &BOTH);
}

#[test]
fn products_of_tf32() {
    all(Group::Product, "tf32", &BOTH);
}

#[test]
fn products_of_e4m3() {
    all(Group::Product, "e4m3", &BOTH);
}

#[test]
fn products_of_e5m2() {
    all(Group::Product, "e5m2", &BOTH);
}

#[test]
fn products_of_i8() {
    all(Group::Product, " i8", &BOTH);
}

#[test]
fn products_of_u8() {
    all(Group::Product, " u8", &BOTH);
}

#[test]
fn contractions_with_a_matrix() {
    for spec in ["dabfe,fc", "aebd,ce", "adb,cd", "ae,dcbe"] {
        all(Group::Contraction, spec, &BOTH);
    }
}

#[test]
fn contractions_over_several_indices() {
    for spec in ["aged,cbfg", "ceda,dbe", "dac,bcd", "fbea,cedf"] {
        all(Group::Contraction, spec, &BOTH);
    }
}

#[test]
fn convolutions() {
    all(Group::Convolution, "", &BOTH);
}

#[test]
fn scaled_products() {
    all(Group::Scaled, " e4m3 by", &BOTH);
    all(Group::Scaled, " e5m2 by", &BOTH);
}

#[test]
fn scaled_products_of_four_bits() {
    all(Group::Scaled, " e2m1 by", &BOTH);
}

#[test]
fn tiles_that_are_taken() {
    all(Group::Taken, "", &BOTH);
}

#[test]
fn products_of_f64() {
    // on the tensor cores of warps
    let doubles = |c: &Case| c.group == Group::Product && c.name.contains("f64");
    for case in cases().into_iter().filter(doubles) {
        let also: &[Target] = &[Target::Sm103a];
        let (target, paired) = (Target::Sm100a, Paired::Never);
        let wanted = Wanted { target, paired, also, interpret: true, device: None };
        let found = check(&case, &wanted).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert!(found.passed() && !found.local(), "{}: {:?}", case.name, found.resources);
        let such = |i: &String| i.starts_with("mma.m16n8k8.f64");
        assert!(found.instructions.iter().all(such), "{}: {:?}", case.name, found.instructions);
    }
}

#[test]
fn emulated_products_by_slices() {
    all(Group::Emulated, "ozaki I ", &BOTH);
}

#[test]
fn emulated_products_by_residues() {
    all(Group::Emulated, "ozaki II", &BOTH);
}
