//! Memory stays where it is. One test in a process of its own: others would add to what
//! it measures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use warploom_isl::*;

fn resident_kib() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
}

fn text_does_not_leak() {
    let ctx = Ctx::new();
    let set = Set::parse(&ctx, "[N,M] -> { S[i,j] : 0 <= i < N and 0 <= j < M }").unwrap();
    for _ in 0..1000 {
        assert!(set.to_string().len() > 40);
    }
    let before = resident_kib();
    for _ in 0..100_000 {
        assert!(set.to_string().len() > 40);
    }
    let grown = resident_kib().saturating_sub(before);
    // One leaked text a call would be 6 MB or more.
    assert!(grown < 4096, "grew by {grown} KiB");
}

fn objects_and_errors_do_not_leak() {
    let ctx = Ctx::new();
    let work = |n: usize| {
        for _ in 0..n {
            let a = Set::parse(&ctx, "[N] -> { S[i,j] : 0 <= i < N and 0 <= j < 7 }").unwrap();
            let b = a.lexmin().unwrap().union(&a).unwrap();
            assert!(b.basic_sets().unwrap().len() == 2);
            assert!(
                a.intersect(&b.space().unwrap().params().and_then(|p| Set::universe(&p)).unwrap())
                    .is_err()
            );
            assert!(b.fix_i64(DimType::Param, 0, 3).unwrap().points(5).is_err());
        }
    };
    work(300);
    let before = resident_kib();
    work(3000);
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 2048, "grew by {grown} KiB");
}

#[test]
fn nothing_leaks() {
    text_does_not_leak();
    objects_and_errors_do_not_leak();
}
