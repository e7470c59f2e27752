//! What crashes or leaks through the bindings below must be an error, or impossible, here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::error::Error as _;
use std::time::{Duration, Instant};
use warploom_isl::*;

#[test]
fn the_isl_called_is_ours_with_imath_32() {
    // Debian's libLLVM exports isl 0.25 as "isl-0.25-...-IMath-32"; a release archive says UNKNOWN.
    assert_eq!(version(), "UNKNOWN-IMath-32");
}

#[test]
fn objects_keep_their_context_alive() {
    let ctx = Ctx::new();
    let set = Set::parse(&ctx, "{ [i] : 0 <= i < 4 }").unwrap();
    let copy = set.clone();
    drop(ctx);
    drop(set);
    assert_eq!(copy.count_val().unwrap().to_i64().unwrap(), 4);
    let points = copy.points(10).unwrap();
    drop(copy);
    assert_eq!(points[3].coordinates().unwrap(), [3]);
}

#[test]
fn a_bad_text_is_a_parse_error_with_a_place() {
    let ctx = Ctx::new();
    let error = Set::parse(&ctx, "{ [i : 0 <= i }").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Parse);
    assert_eq!(error.call, "isl_set_read_from_str");
    assert!(error.location.as_deref().unwrap().starts_with("isl_stream.c:"), "{error:?}");
    assert!(error.source().is_none());
    assert!(error.to_string().contains("syntax error"), "{error}");
    // The context is clean: what follows succeeds.
    assert!(Set::parse(&ctx, "{ [i] }").is_ok());
}

#[test]
fn nul_bytes_are_refused() {
    let ctx = Ctx::new();
    assert_eq!(Set::parse(&ctx, "{ \0 }").unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(Id::new(&ctx, "a\0b").unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn deep_nesting_is_refused_before_it_overflows_the_stack() {
    let ctx = Ctx::new();
    let deep = |open: &str, close: &str, n: usize| {
        format!("{{ [i] : {}i >= 0{} }}", open.repeat(n), close.repeat(n))
    };
    for (open, close) in [("(", ")"), ("not ", ""), ("-", ""), ("- ", ""), ("exists a : ", "")] {
        let error = Set::parse(&ctx, &deep(open, close, 100_000)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Parse, "{open}");
    }
    assert!(Set::parse(&ctx, &deep("(", ")", 100)).is_ok());
    let tree = "child: { ".repeat(100_000);
    assert!(Schedule::parse(&ctx, &tree).is_err());
    let indented: String = (0..3000).map(|i| format!("{}child:\n", " ".repeat(2 * i))).collect();
    assert!(Schedule::parse(&ctx, &indented).is_err());
}

#[test]
fn mixing_contexts_is_an_error() {
    let (one, two) = (Ctx::new(), Ctx::new());
    let a = Set::parse(&one, "{ [i] }").unwrap();
    let b = Set::parse(&two, "{ [i] }").unwrap();
    assert_eq!(a.intersect(&b).unwrap_err().kind, ErrorKind::MixedContexts);
    let filters = [UnionSet::parse(&two, "{ S[i] }").unwrap()];
    let node = ScheduleNode::from_domain(&UnionSet::parse(&one, "{ S[i] }").unwrap()).unwrap();
    let error = node.child(0).unwrap().insert_sequence(&filters).unwrap_err();
    assert_eq!(error.kind, ErrorKind::MixedContexts);
}

#[test]
fn misuse_is_an_error() {
    let ctx = Ctx::new();
    let set = Set::parse(&ctx, "{ A[i] : 0 <= i < 4 }").unwrap();
    let other = Set::parse(&ctx, "{ B[i,j] }").unwrap();
    assert_eq!(set.intersect(&other).unwrap_err().kind, ErrorKind::Invalid);
    assert!(set.dim_name(DimType::Set, 7).is_err());
    assert!(set.fix_i64(DimType::Set, 7, 1).is_err());
    assert!(set.project_out(DimType::Set, 1, usize::MAX).is_err());
    assert!(set.add_dims(DimType::Set, i32::MAX as usize).is_err());
    assert!(set.dim_max(3).is_err());
    assert!(set.unwrap().is_err());
    let node = ScheduleNode::from_domain(&UnionSet::from_set(&set).unwrap()).unwrap();
    assert!(node.band_n_member().is_err());
    assert!(node.parent().is_err());
    assert!(node.child(5).is_err());
    assert!(node.mark_id().is_err());
    assert!(node.delete().is_err());
    let leaf = node.child(0).unwrap();
    assert_eq!(leaf.n_children().unwrap(), 0);
    assert!(leaf.child(0).is_err());
    let band =
        leaf.insert_partial_schedule(&MultiUnionPwAff::parse(&ctx, "[{ A[i] -> [i] }]").unwrap());
    let band = band.unwrap();
    assert!(band.band_member_coincident(1).is_err());
    assert!(band.band_member_set_ast_loop_type(9, LoopType::Unroll).is_err());
    assert!(band.band_split(2).is_err());
    assert!(band.next_sibling().is_err());
    assert!(band.band_partial_schedule().unwrap().at(1).is_err());
    let space = set.space().unwrap();
    assert!(MultiVal::from_i64s(&space, &[1, 2]).is_err());
    let pair = MultiVal::from_i64s(&other.space().unwrap(), &[1, 2]).unwrap();
    assert!(pair.at(2).is_err() && band.band_tile(&pair).is_err());
    assert!(Val::parse(&ctx, "1/2").unwrap().to_i64().is_err());
    assert!(Val::parse(&ctx, "99999999999999999999").unwrap().to_i64().is_err());
    assert_eq!(Val::int_from_si(&ctx, i64::MIN).unwrap().to_i64().unwrap(), i64::MIN);
}

#[test]
fn quotes_in_schedule_text_are_an_error_or_read() {
    let ctx = Ctx::new();
    let single = "{ domain: '{ S[i] : 0 <= i < 4 }' }";
    assert_eq!(Schedule::parse(&ctx, single).unwrap_err().kind, ErrorKind::Parse);
    let double = "{ domain: \"{ S[i] : 0 <= i < 4 }\" }";
    assert!(Schedule::parse(&ctx, double).is_ok());
    assert!(Schedule::parse(&ctx, "{ domain: \"{ S[i] : 0 <= i < 4 }").is_err());
}

fn schedule_text() -> String {
    let ctx = Ctx::new();
    let domain = UnionSet::parse(&ctx, "{ S[t,i] : 0 <= t < 100 and 1 <= i < 99 }").unwrap();
    let deps = "{ S[t,i] -> S[t+1,j] : i-1 <= j <= i+1 and 0 <= t < 99 and 1 <= i,j < 99 }";
    let deps = UnionMap::parse(&ctx, deps).unwrap();
    let constraints = ScheduleConstraints::on_domain(&domain).unwrap();
    let constraints = constraints.set_validity(&deps).unwrap().set_proximity(&deps).unwrap();
    constraints.compute_schedule(&ScheduleOptions::default()).unwrap().to_string()
}

#[test]
fn eight_threads_with_their_own_contexts_agree() {
    let expected = schedule_text();
    let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(schedule_text)).collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn a_deadline_stops_an_enumeration_and_nothing_crashes_after_it() {
    let ctx = Ctx::new();
    let big = Set::parse(&ctx, "{ [i,j] : 0 <= i,j < 1000000 }").unwrap();
    let start = Instant::now();
    let error = ctx
        .with_deadline(Duration::from_millis(200), || {
            let first = big.count_val().unwrap_err();
            // Aborted: every call is an error, copies and text still work.
            assert!(big.lexmin().is_err());
            assert!(Set::parse(&ctx, "{ [i] }").is_err());
            let copy = big.clone();
            assert!(!format!("{copy}").is_empty());
            Err::<(), Error>(first)
        })
        .unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
    assert_eq!(error.kind, ErrorKind::Aborted);
    assert!(big.to_string().contains("1000000") || big.to_string().contains("999999"));
    assert_eq!(big.lexmin().unwrap().points(2).unwrap().len(), 1);
}

#[test]
fn deadlines_nest_and_the_outer_one_is_not_lost() {
    let ctx = Ctx::new();
    let big = Set::parse(&ctx, "{ [i,j] : 0 <= i,j < 1000000 }").unwrap();
    let outer: Result<()> = ctx.with_deadline(Duration::from_millis(100), || {
        let inner: Result<Val> = ctx.with_deadline(Duration::from_millis(300), || big.count_val());
        assert!(inner.is_err());
        big.lexmin().map(|_| ())
    });
    assert_eq!(outer.unwrap_err().kind, ErrorKind::Aborted);
    let quick: Result<Set> = ctx.with_deadline(Duration::from_secs(60), || big.lexmin());
    assert!(quick.is_ok());
}

#[test]
fn a_panic_under_a_deadline_leaves_the_context_usable() {
    let ctx = Ctx::new();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _: Result<()> = ctx.with_deadline(Duration::from_secs(60), || panic!("mine"));
    }));
    assert!(caught.is_err());
    assert!(Set::parse(&ctx, "{ [i] }").is_ok());
}
