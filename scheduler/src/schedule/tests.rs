//! Schedules against an oracle: every instance of a small nest is run in the order of the tree.
//!
//! Each instance stores a hash of its name, its iterators and what it read (updates that may be
//! reordered add instead), so two orders give the same memory only if they keep the dependences.

use std::collections::BTreeMap;

use warploom_ir::expr::Access;
use warploom_ir::nest::Order;

use super::*;

const SEIDEL: &str = "param T, N\nassume T >= 3\nassume N >= 6\ninout A: f32[N]
for t in 0..T { for i in 1..N - 1 { S: A[i] = A[i - 1] + A[i] + A[i + 1] } }";
const MATMUL: &str = "param M, N, K\nassume M >= 1\nin A: f32[M, K]\nin B: f32[K, N]
out C: f32[M, N]\ntemp T: f32[M, N]
for m in 0..M, n in 0..N {
  S0: T[m, n] = 0
  for k in 0..K { S1: T[m, n] += A[m, k] * B[k, n] order fixed }
  S2: C[m, n] = max(T[m, n], 0)
}";
const CHAIN: &str = "param N\nassume N >= 4\nin A: f32[N]\ntemp B: f32[N]\nout C: f32[N]
for i in 0..N { S0: B[i] = A[i] + 1 }
for i in 0..N - 1 { S1: C[i] = B[i] + B[i + 1] }";
const SQUARE: &str = "inout A: f32[6, 8]
for i in 0..6, j in 2..8 { S: A[i, j] = A[i, j] + A[i, j - 2] }";
const DOWN: &str = "param N\nassume N >= 4\ninout A: f32[N, N]
for i in N - 1 downto 0 { for j in i..N { S: A[i, j] = A[i, j] + 1 } }";
const COPY: &str = "param M, N\nassume M >= 4\nassume N >= 4\nin A: f32[M, N]\nout B: f32[N, M]
for i in 0..M, j in 0..N { S: B[j, i] = A[i, j] }";

const ALL: &[&str] = &[SEIDEL, MATMUL, CHAIN, SQUARE, DOWN, COPY];

fn schedule(text: &str) -> Schedule {
    let nest: Nest = text.parse().unwrap_or_else(|e| panic!("{e}"));
    Schedule::new(&nest).unwrap_or_else(|e| panic!("{e}"))
}

fn replay(text: &str, script: &str) -> Applied<Schedule> {
    schedule(text).replay(&script.parse::<Script>().unwrap_or_else(|e| panic!("{e}")))
}

fn accepted(text: &str, script: &str) -> Schedule {
    let result = replay(text, script).unwrap_or_else(|e| panic!("{script}: {e}"));
    assert_eq!(memory(&result, result.tree()), memory(&result, &schedule(text).tree), "{script}");
    result
}

fn refused(text: &str, script: &str, code: &str) -> Box<Illegal> {
    let error = replay(text, script).expect_err(script);
    assert_eq!(error.diagnostic.code, code, "{error}");
    error
}

type Env = BTreeMap<Name, i64>;
type Memory = BTreeMap<(Name, Vec<i64>), u64>;

fn value(e: &Affine, env: &Env) -> i64 {
    e.eval(&|v| env.get(v).copied()).unwrap()
}

/// What memory holds after all instances have run in this order; every parameter is 7.
fn memory(s: &Schedule, tree: &Tree) -> Memory {
    let mut instances = Vec::new();
    for k in 0..s.poly.statements.len() {
        let mut env: Env = s.poly.params.iter().map(|p| (p.name.clone(), 7)).collect();
        enumerate(s, k, 0, &mut env, &mut instances);
    }
    let mut memory = Memory::new();
    run(s, tree, instances, &mut memory);
    memory
}

fn enumerate(s: &Schedule, k: usize, depth: usize, env: &mut Env, out: &mut Vec<(Name, Env)>) {
    let statement = &s.poly.statements[k];
    let Some(iter) = statement.iters.get(depth) else {
        let inside = |c: &warploom_ir::nest::Constraint| c.holds(&|v| env.get(v).copied());
        if statement.domain.iter().all(|c| inside(c).unwrap()) {
            out.push((statement.statement.name.clone(), env.clone()));
        }
        return;
    };
    for v in 0..9 {
        env.insert(iter.clone(), v);
        enumerate(s, k, depth + 1, env, out);
    }
    env.remove(iter);
}

fn run(s: &Schedule, tree: &Tree, instances: Vec<(Name, Env)>, memory: &mut Memory) {
    match tree {
        Tree::Statement(_) => {
            assert!(instances.len() <= 1, "instances without an order");
            for (name, env) in instances {
                execute(s, &name, &env, memory);
            }
        }
        Tree::Sequence(children) => {
            for child in children {
                let below = child.statements();
                let mine = instances.iter().filter(|(n, _)| below.contains(n)).cloned().collect();
                run(s, child, mine, memory);
            }
        }
        Tree::Loop(l) => {
            let mut by_time: BTreeMap<i64, Vec<(Name, Env)>> = BTreeMap::new();
            for (name, env) in instances {
                by_time.entry(value(&l.rows[&name], &env)).or_default().push((name, env));
            }
            for (_, now) in by_time {
                run(s, &l.body, now, memory);
            }
        }
    }
}

fn execute(s: &Schedule, name: &Name, env: &Env, memory: &mut Memory) {
    let statement = &s.poly.statement(name).unwrap().statement;
    let at = |a: &Access| -> (Name, Vec<i64>) {
        (a.array.clone(), a.indices.iter().map(|e| value(e, env)).collect())
    };
    let mut hash = 17u64;
    let mut mix = |v: u64| hash = (hash ^ v).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    name.bytes().for_each(|b| mix(u64::from(b)));
    for iter in &s.poly.statement(name).unwrap().iters {
        mix(env[iter].unsigned_abs());
    }
    for read in statement.value.reads() {
        mix(memory.get(&at(read)).copied().unwrap_or(1));
    }
    let cell = memory.entry(at(&statement.target)).or_insert(1);
    let free = statement.op.is_update() && statement.order != Order::Serial;
    *cell = match (free, statement.op.is_update()) {
        (true, _) => cell.wrapping_add(hash),
        (false, true) => cell.wrapping_mul(31).wrapping_add(hash),
        (false, false) => hash,
    };
}

#[test]
fn legal_steps_keep_the_result() {
    accepted(COPY, "tile i, j by 4, 2; parallel i.0; vectorize j.1; unroll i.1");
    accepted(COPY, "reorder j, i; reverse i; split j by 3 as a, b");
    accepted(COPY, "skew j by 2*i; tile i, j by 2, 4; reorder j.0, i.0");
    accepted(MATMUL, "tile m, n by 4, 2; split k by 4");
    accepted(MATMUL, "distribute n; distribute m; reorder S1.m, k; tile S1(m) by 4");
    accepted(MATMUL, "distribute n; distribute m; tile S1(m,n,k) by 4,2,4");
    accepted(MATMUL, "distribute n at S1; parallel m");
    accepted(CHAIN, "fuse S0.i, S1.i shift 1 as i; split i by 4");
    accepted(CHAIN, "atomically { fuse S0.i, S1.i; shift S1.i by 1 }");
    accepted(SQUARE, "coalesce i, j as ij; split ij by 5");
    accepted(SQUARE, "tile i, j by 2, 2; coalesce i.1, j.1; parallel i.0; require parallel i.0");
    accepted(SEIDEL, "skew i by t; tile t, i by 2, 4");
    accepted(DOWN, "reverse i; tile i, j by 4, 4; require parallel i.0");
    accepted(
        COPY,
        "order { loop a [S: floor(j / 2)] parallel { loop b [S: -i] { loop c [S: j] { S } } } }",
    );
    accepted(DOWN, "shift i by N; shift S.j by -3; tile i by 4");
}

#[test]
fn illegal_steps_show_the_smallest_pair() {
    let e = refused(SEIDEL, "tile t, i by 2, 4", "E0701");
    let w = e.witness.clone().unwrap();
    assert!(w.first.at < w.second.at, "{w}");
    let help = e.diagnostic.help.clone().unwrap();
    assert!(help.contains("skew i by t; tile t, i by 2, 4"), "{help}");
    assert!(e.to_string().contains("script:1:1"), "{e}");

    let e = refused(SEIDEL, "\n reorder i, t", "E0701");
    let w = e.witness.clone().unwrap();
    assert_eq!((w.first.at.as_slice(), w.second.at.as_slice()), (&[0, 2][..], &[1, 1][..]));
    assert!(e.to_string().contains("script:2:2"), "{e}");

    let e = refused(CHAIN, "fuse S0.i, S1.i", "E0701");
    let w = e.witness.clone().unwrap();
    assert_eq!((w.first.to_string(), w.second.to_string()), ("S0[1]".into(), "S1[0]".into()));
    assert!(e.diagnostic.help.clone().unwrap().contains("fuse S0.i, S1.i shift 1"), "{e}");

    let e = refused(MATMUL, "parallel k", "E0702");
    assert!(e.diagnostic.help.clone().unwrap().contains("`parallel m`, `parallel n`"), "{e}");
    refused(SEIDEL, "reverse t", "E0701");
    refused(SEIDEL, "vectorize i", "E0702");
    refused(SQUARE, "shift i by 1; reverse j", "E0701");
    refused(CHAIN, "order { loop a [S1: i] { S1 } loop b [S0: i] { S0 } }", "E0701");
    refused(SEIDEL, "require parallel t", "E0710");
    refused(SEIDEL, "require vector i", "E0710");
    refused(MATMUL, "reverse k; atomically { reverse k; parallel k }", "E0702");
}

#[test]
fn a_mark_stays_checked() {
    let script = "parallel i; skew j by i; reorder j, i";
    assert!(replay(SQUARE, script).is_ok_and(|s| s.tree().find("i").unwrap().marks.parallel));
    refused(SQUARE, "parallel i; atomically { skew i by -j }", "E0712");
    // Parallel rows of the square stop being independent once the loop mixes i and j.
    refused(SQUARE, "reorder j, i; parallel i; skew i by j; reorder i, j", "E0702");
}

#[test]
fn wrong_orders_are_named() {
    for (script, words) in [
        ("order { S }", "several instances of `S`"),
        ("order { loop i [S: i] { S S } }", "occurs twice"),
        ("order { Q }", "no statement `Q`"),
        ("order { loop i [S: i, Q: i] { S } }", "a row for `Q`"),
        ("order { loop i [] { S } }", "no row for statement `S`"),
        ("order { loop i [S: q] { S } }", "uses `q`"),
        ("order { loop i [S: i] { S } }", "`S`"),
        ("order { loop i [S: i] { loop i [S: j] { S } } }", "a second loop named `i`"),
        ("tile i by 2 as j, i", "a second loop named `j`"),
        ("coalesce i, j", "not a number"),
    ] {
        let e = replay(COPY, script).expect_err(script);
        assert!(e.to_string().contains(words), "{script}: {e}");
    }
    let e = schedule(COPY).tile(&["a b"], &[4]).unwrap_err();
    assert_eq!(e.diagnostic.code, "E0700", "{e}");
    assert_eq!(schedule(COPY).tile(&["i", "j"], &[4]).unwrap_err().diagnostic.code, "E0700");
    assert_eq!(schedule(COPY).split("i", 0).unwrap_err().diagnostic.code, "E0700");
}

#[test]
fn a_schedule_is_its_script() {
    let built = schedule(MATMUL)
        .distribute("n")
        .and_then(|s| s.distribute("m"))
        .and_then(|s| s.tile(&["S1.m", "S1.n", "k"], &[4, 4, 2]))
        .and_then(|s| s.parallel("S1.m.0"))
        .unwrap();
    let text = built.script().to_string();
    let again = replay(MATMUL, &text).unwrap();
    assert_eq!(again, built);
    assert_eq!(schedule(MATMUL).replay(built.script()).unwrap(), built);
    assert_eq!(schedule(MATMUL).order(built.tree()).unwrap().tree(), built.tree());
}

/// Every single step on every loop, and pairs of steps: what is accepted keeps the result, and
/// what is refused with a witness swaps the two instances.
#[test]
fn acceptance_agrees_with_the_oracle() {
    let (mut legal, mut illegal) = (0, 0);
    for text in ALL {
        let start = schedule(text);
        let wanted = memory(&start, &start.tree);
        let names: Vec<String> = start.tree.loops().iter().map(|l| l.name.to_string()).collect();
        let mut scripts = vec![String::new()];
        for a in &names {
            scripts.extend([format!("reverse {a}"), format!("split {a} by 2")]);
            scripts.extend([format!("distribute {a}"), format!("shift {a} by 3")]);
            for b in names.iter().filter(|b| *b != a) {
                scripts.push(format!("reorder {a}, {b}"));
                scripts.push(format!("tile {a}, {b} by 2, 3"));
                scripts.push(format!("skew {a} by {b}; reorder {a}, {b}"));
                scripts.push(format!("skew {a} by -{b}; tile {a}, {b} by 3, 2"));
                scripts.push(format!("tile {a}, {b} by 2, 3; reverse {a}.0"));
                scripts.push(format!("tile {a}, {b} by 2, 3; reorder {a}.0, {b}.1"));
                scripts.push(format!("reverse {a}; reverse {b}"));
                scripts.push(format!("fuse {a}, {b}"));
                scripts.push(format!("fuse {a}, {b} shift -1"));
                scripts.push(format!("fuse {a}, {b} shift 2"));
            }
        }
        let mut session = Session::new();
        for script in scripts {
            match start.replay_in(&mut session, &script.parse().unwrap()) {
                Ok(s) => {
                    assert_eq!(memory(&s, s.tree()), wanted, "{text}\n{script}");
                    legal += 1;
                }
                Err(e) if e.witness.is_some() => {
                    // The same order, unchecked, must give another memory.
                    let mut bad = start.clone();
                    for step in &script.parse::<Script>().unwrap().steps {
                        bad = bad.rewrite(&mut session, step).unwrap();
                    }
                    assert_ne!(memory(&bad, bad.tree()), wanted, "{text}\n{script}\n{e}");
                    illegal += 1;
                }
                Err(e) => assert_ne!(e.diagnostic.code, "E0700", "{e}"),
            }
        }
    }
    assert!(legal >= 30 && illegal >= 15, "{legal} legal, {illegal} illegal");
}

#[test]
fn an_order_given_as_times_is_checked_and_replays() {
    let fused = accepted(CHAIN, "order { S0[i] -> [i, 0]; S1[i] -> [i + 1, 1] }");
    assert_eq!(fused.tree().loops().len(), 1, "{}", fused.tree());
    assert_eq!(
        fused.script().to_string(),
        "order {\n  S0[i] -> [i, 0]\n  S1[i] -> [i + 1, 1]\n}\n"
    );
    let again = replay(CHAIN, &fused.script().to_string()).unwrap();
    assert_eq!(again, fused);
    let times = "S0[m, n] -> [m, 0, n]; S1[m, n, k] -> [m, 1, k, n]; S2[a, b] -> [a, 2, b]";
    accepted(MATMUL, &format!("order {{ {times} }}"));
}

#[test]
fn an_order_given_as_times_is_refused_with_two_instances() {
    let words = |e: &Illegal| e.diagnostic.witness.clone().unwrap_or_default();
    let times = "S0[m, n] -> [m, 0]; S1[m, n, k] -> [m, 1, k, n]; S2[a, b] -> [a, 2, b]";
    let e = refused(MATMUL, &format!("order {{ {times} }}"), "E0703");
    assert!(words(&e).contains("S0[0,0] and S0[0,1] both run at time [0, 0, 0, 0]"), "{e}");
    let e = refused(CHAIN, "order { S0[i] -> [i]; S1[i] -> [i] }", "E0703");
    assert!(words(&e).contains("N = 4, S0[0] and S1[0] both run at time [0]"), "{e}");
    let e = refused(CHAIN, "order { S0[i] -> [i, 0]; S1[i] -> [i, 1] }", "E0701");
    assert!(words(&e).contains("S0[1] must run before S1[0]"), "{e}");
}
