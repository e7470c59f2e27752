//! Programs of hand-written kernels.

use super::*;

fn program(text: &str) -> Program {
    Program::of(text.parse().unwrap_or_else(|e| panic!("{e}")))
}

/// Four launches in a row, each through a temporary of its own, and one that needs the first.
const CHAIN: &str = "kernel chain(N) {
  in A: f32[N]
  temp T: f32[N]
  temp U: f32[N]
  temp V: f32[N]
  temp W: f32[N]
  out B: f32[N]
  for a in 0..N block.x { S0: T[a]:f32 = A[a]:f32 order serial }
  for b in 0..N block.x { S1: U[b]:f32 = T[b]:f32 order serial }
  for c in 0..N block.x { S2: V[c]:f32 = U[c]:f32 order serial }
  for d in 0..N block.x { S3: B[d]:f32 = add.f32(V[d]:f32, U[d]:f32) order serial }
}";

#[test]
fn temporaries_share_memory_when_their_lives_do_not_meet() {
    let p = program(CHAIN);
    let slots: Vec<Vec<(&str, usize, usize)>> =
        (p.slots.iter()).map(|s| s.iter().map(|t| (&*t.name, t.first, t.last)).collect()).collect();
    assert_eq!(slots, [vec![("T", 0, 1), ("V", 2, 3)], vec![("U", 1, 3)]]);
    assert_eq!((p.slot("V"), p.slot("U"), p.slot("W")), (Some(0), Some(1), None));
}

#[test]
fn edges_that_follow_from_others_are_left_out() {
    let p = program(CHAIN);
    let edges: Vec<(usize, usize)> = p.edges.iter().map(|e| (e.from, e.to)).collect();
    // launch 3 reads U of launch 1 too, which launch 2 has waited for
    assert_eq!(edges, [(0, 1), (1, 2), (2, 3)]);
}

#[test]
fn independent_launches_have_no_edge_and_anti_dependences_do() {
    let p = program(
        "kernel k() {
  inout A: i32[4]
  out B: i32[4]
  out C: i32[4]
  for a in 0..4 thread.x { S0: B[a]:i32 = A[a]:i32 order serial }
  for b in 0..4 thread.x { S1: C[b]:i32 = A[b]:i32 order serial }
  for c in 0..4 thread.x { S2: A[c]:i32 = 1:i32 order serial }
}",
    );
    let edges: Vec<_> = p.edges.iter().map(|e| (e.from, e.to, e.buffers.len())).collect();
    assert_eq!(edges, [(0, 2, 1), (1, 2, 1)]);
}

#[test]
fn what_a_loop_of_the_host_touches_lives_as_long_as_the_loop() {
    let p = program(
        "kernel k(N) {
  inout A: i32[8]
  temp T: i32[8]
  temp U: i32[8]
  temp V: i32[8]
  for t in 0..N {
    for a in 0..8 thread.x { S0: T[a]:i32 = A[a]:i32 order serial }
    for b in 0..8 thread.x { S1: U[b]:i32 = T[7 - b]:i32 order serial }
    for c in 0..8 thread.x { S2: A[c]:i32 = U[c]:i32 order serial }
  }
  for d in 0..8 thread.x { S3: V[d]:i32 = A[d]:i32 order serial }
  for e in 0..8 thread.x { S4: A[e]:i32 += V[7 - e]:i32 order serial }
}",
    );
    assert_eq!(p.launches[1].loops, [Name::from("t")]);
    assert_eq!((p.slots[0][0].first, p.slots[0][0].last), (0, 2));
    assert_eq!((p.slot("T"), p.slot("U"), p.slot("V")), (Some(0), Some(1), Some(0)));
}

#[test]
fn local_buffers_are_no_ones_business() {
    let p = program(
        "kernel k() {
  in A: i32[4]
  out B: i32[4]
  for a in 0..4 thread.x {
    local T: i32[1] {
      S0: T[0]:i32 = A[a]:i32 order serial
      S1: B[a]:i32 = T[0]:i32 order serial
    }
  }
}",
    );
    assert_eq!(p.launches.len(), 1);
    assert_eq!(p.launches[0].reads, BTreeSet::from([Name::from("A")]));
    assert_eq!(p.launches[0].writes, BTreeSet::from([Name::from("B")]));
}

#[test]
fn texts_parse_back_and_wrong_plans_are_refused() {
    let p = program(CHAIN);
    let text = p.to_string();
    assert_eq!(text.parse::<Program>().unwrap_or_else(|e| panic!("{e}\n{text}")), p);
    for (right, wrong) in [
        ("after 0 launch 1 for [T]", "after 0 launch 1 for [U]"),
        ("after 1 launch 2 for [U, V]\n", ""),
        ("slot 0 holds V from 2 to 3", "slot 1 holds V from 2 to 3"),
        ("launch 0 reads [A]", "launch 0 reads []"),
        ("launch 0 reads", "launch 1 reads"),
        ("slot 0 holds T", "slot 7 holds T"),
    ] {
        assert!(text.contains(right), "{right}\n{text}");
        let refused = text.replacen(right, wrong, 1).parse::<Program>().expect_err(wrong);
        assert!(["E0101", "E0102", "E0103", "E0113"].contains(&refused.code), "{wrong}: {refused}");
    }
}
