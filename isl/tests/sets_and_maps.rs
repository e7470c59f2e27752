//! Sets, maps, functions and points against results computed by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use warploom_isl::*;

fn set(ctx: &Ctx, text: &str) -> Set {
    Set::parse(ctx, text).unwrap()
}

fn umap(ctx: &Ctx, text: &str) -> UnionMap {
    UnionMap::parse(ctx, text).unwrap()
}

#[test]
fn set_algebra() {
    let ctx = Ctx::new();
    let a = set(&ctx, "{ S[i] : 0 <= i < 10 }");
    let b = set(&ctx, "{ S[i] : 5 <= i < 15 }");
    assert!(a.union(&b).unwrap().is_equal(&set(&ctx, "{ S[i] : 0 <= i < 15 }")).unwrap());
    assert!(a.intersect(&b).unwrap().is_equal(&set(&ctx, "{ S[i] : 5 <= i < 10 }")).unwrap());
    assert!(a.subtract(&b).unwrap().is_equal(&set(&ctx, "{ S[i] : 0 <= i < 5 }")).unwrap());
    assert!(!a.is_subset(&b).unwrap());
    assert_eq!(a.union(&b).unwrap().coalesce().unwrap().n_basic_set().unwrap(), 1);
    assert_eq!(a.tuple_name().unwrap().as_deref(), Some("S"));
    assert_eq!(a.dim_name(DimType::Set, 0).unwrap().as_deref(), Some("i"));
    assert_eq!(set(&ctx, "{ [i] }").tuple_name().unwrap(), None);
    assert_eq!(a.lexmax().unwrap().sample_point().unwrap().unwrap().coordinates().unwrap(), [9]);
    assert!(set(&ctx, "{ [i] : 1 = 0 }").sample_point().unwrap().is_none());
    assert_eq!(a.find_dim_by_name(DimType::Set, "i").unwrap(), Some(0));
    assert_eq!(a.find_dim_by_name(DimType::Set, "x").unwrap(), None);
}

#[test]
fn points_with_parameters_and_a_limit() {
    let ctx = Ctx::new();
    let s = set(&ctx, "[N] -> { S[i,j] : N = 3 and 0 <= i < N and j = 2i }");
    let points = s.points(10).unwrap();
    let mut found: Vec<_> = points.iter().map(|p| p.coordinates().unwrap()).collect();
    found.sort();
    assert_eq!(found, [[0, 0], [1, 2], [2, 4]]);
    assert!(points.iter().all(|p| p.parameters().unwrap() == [3]));
    assert_eq!(s.points(2).unwrap_err().kind, ErrorKind::Quota);
    assert!(set(&ctx, "{ [i] : i >= 0 }").points(5).is_err());
}

#[test]
fn extrema() {
    let ctx = Ctx::new();
    let s = set(&ctx, "{ S[i,j] : 0 <= i < 10 and 0 <= j <= i }");
    let aff = Aff::parse(&ctx, "{ S[i,j] -> [2i - j] }").unwrap();
    let value = |e: Extremum| match e {
        Extremum::Value(v) => v.to_i64().unwrap(),
        Extremum::Unbounded | Extremum::Empty => panic!("{e:?}"),
    };
    assert_eq!(value(s.max_val(&aff).unwrap()), 18);
    assert_eq!(value(s.min_val(&aff).unwrap()), 0);
    assert_eq!(value(s.dim_max_val(1).unwrap()), 9);
    let empty = set(&ctx, "{ S[i,j] : 1 = 0 }");
    assert!(matches!(empty.max_val(&aff).unwrap(), Extremum::Empty));
    let half = set(&ctx, "{ S[i,j] : i >= 0 and j = 0 }");
    assert!(matches!(half.max_val(&aff).unwrap(), Extremum::Unbounded));
    assert!(!half.is_bounded().unwrap());
    let n = set(&ctx, "[N] -> { S[i] : 0 <= i < N }").dim_max(0).unwrap();
    assert_eq!(n.pieces().unwrap().len(), 1);
    assert_eq!(n.as_aff().is_ok(), n.isa_aff().unwrap());
}

#[test]
fn maps_compose() {
    let ctx = Ctx::new();
    let m = Map::parse(&ctx, "{ S[i,j] -> A[i + 2j] : 0 <= i,j < 4 }").unwrap();
    assert_eq!((m.dim(DimType::In).unwrap(), m.dim(DimType::Out).unwrap()), (2, 1));
    assert_eq!(m.tuple_name(DimType::Out).unwrap().as_deref(), Some("A"));
    let range = m.range().unwrap();
    assert!(range.is_equal(&set(&ctx, "{ A[x] : 0 <= x <= 9 }")).unwrap());
    let back = m.reverse().unwrap().apply_range(&m).unwrap();
    assert!(
        Map::identity(&back.space().unwrap())
            .unwrap()
            .intersect_domain(&range)
            .unwrap()
            .is_subset(&back)
            .unwrap()
    );
    assert!(m.wrap().unwrap().unwrap().unwrap().is_equal(&m).unwrap());
    assert!(m.is_single_valued().unwrap() && !m.is_injective().unwrap());
    let image = set(&ctx, "{ S[1,j] : 0 <= j < 4 }").apply(&m).unwrap();
    assert_eq!(image.count_val().unwrap().to_i64().unwrap(), 4);
    let d = Map::parse(&ctx, "{ S[i] -> S[i + 3] }").unwrap().deltas().unwrap();
    assert_eq!(d.points(2).unwrap()[0].coordinates().unwrap(), [3]);
    let f = PwMultiAff::from_map(&m).unwrap();
    assert_eq!(f.pieces().unwrap().len(), 1);
    assert!(f.as_map().unwrap().is_equal(&m).unwrap());
}

#[test]
fn the_box_of_a_tile() {
    let ctx = Ctx::new();
    let m = Map::parse(
        &ctx,
        "{ [ti,tk] -> A[i,k] : 128ti <= i < 128ti + 128 and 32tk <= k < 32tk + 32 and \
          0 <= i < 1000 and 0 <= k < 1024 }",
    );
    let hull = m.unwrap().range_simple_fixed_box_hull().unwrap();
    assert!(hull.is_valid().unwrap());
    assert_eq!(hull.size().unwrap().to_i64s().unwrap(), [128, 32]);
    let offset = hull.offset().unwrap();
    assert_eq!(offset.at(1).unwrap().to_string(), "{ [ti, tk] -> [(32tk)] }");
    let unbounded = Map::parse(&ctx, "{ [t] -> A[i] : i >= t }").unwrap();
    assert!(!unbounded.range_simple_fixed_box_hull().unwrap().is_valid().unwrap());
}

#[test]
fn unions_and_orders() {
    let ctx = Ctx::new();
    let u = UnionSet::parse(&ctx, "{ S[i] : 0 <= i < 3; T[i,j] : 0 <= i,j < 2 }").unwrap();
    let mut names: Vec<_> =
        u.sets().unwrap().iter().map(|s| s.tuple_name().unwrap().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["S", "T"]);
    assert_eq!(u.n_set().unwrap(), 2);
    let time = umap(&ctx, "{ S[i] -> [0,i]; T[i,j] -> [1,i] }");
    let later = time.lex_ge_union_map(&time).unwrap();
    let deps = umap(&ctx, "{ T[i,j] -> S[i] : 0 <= i,j < 2; S[i] -> T[i,j] : 0 <= i,j < 2 }");
    let wrong = deps.intersect(&later).unwrap();
    assert!(wrong.is_equal(&umap(&ctx, "{ T[i,j] -> S[i] : 0 <= i,j < 2 }")).unwrap());
    let witness = wrong.wrap().unwrap().lexmin().unwrap().sample_point().unwrap().unwrap();
    assert_eq!(witness.coordinates().unwrap(), [0, 0, 0]);
    assert!(UnionMap::empty(&ctx).unwrap().is_empty().unwrap());
    assert!(time.lex_lt_union_map(&time).unwrap().intersect(&later).unwrap().is_empty().unwrap());
}

#[test]
fn flow_by_map_and_by_tree_agree() {
    let ctx = Ctx::new();
    let dom = UnionSet::parse(&ctx, "{ I[i] : 0 <= i < 8; R[i,k] : 0 <= i < 8 and 0 <= k < 4 }");
    let dom = dom.unwrap();
    let within = |t: &str| umap(&ctx, t).intersect_domain(&dom).unwrap();
    let reads = within("{ R[i,k] -> C[i]; R[i,k] -> A[i,k] }");
    let writes = within("{ I[i] -> C[i]; R[i,k] -> C[i] }");
    let flat = within("{ I[i] -> [i,0,0]; R[i,k] -> [i,1,k] }");
    let info = || UnionAccessInfo::from_sink(&reads).unwrap().set_must_source(&writes).unwrap();
    let by_map = info().set_schedule_map(&flat).unwrap().compute_flow().unwrap();
    let tree = "domain: \"{ I[i] : 0 <= i < 8; R[i,k] : 0 <= i < 8 and 0 <= k < 4 }\"\n\
        child:\n  schedule: \"[{ I[i] -> [(i)]; R[i,k] -> [(i)] }]\"\n  child:\n    sequence:\n    \
        - filter: \"{ I[i] }\"\n    - filter: \"{ R[i,k] }\"\n      child:\n        \
        schedule: \"[{ R[i,k] -> [(k)] }]\"\n";
    let tree = Schedule::parse(&ctx, tree).unwrap();
    let by_tree = info().set_schedule(&tree).unwrap().compute_flow().unwrap();
    let expected = umap(
        &ctx,
        "{ I[i] -> R[i,0] : 0 <= i < 8; R[i,k] -> R[i,k+1] : 0 <= i < 8 and 0 <= k < 3 }",
    );
    assert!(by_map.must_dependence().unwrap().is_equal(&expected).unwrap());
    assert!(by_tree.must_dependence().unwrap().is_equal(&expected).unwrap());
    let inputs = within("{ R[i,k] -> A[i,k] }");
    assert!(by_tree.must_no_source().unwrap().is_equal(&inputs).unwrap());
    let full = by_map.full_must_dependence().unwrap();
    assert!(full.range_factor_domain().unwrap().is_equal(&expected).unwrap());
}

#[test]
fn affine_functions() {
    let ctx = Ctx::new();
    let space = set(&ctx, "[N] -> { S[i,j] }").space().unwrap();
    let local = LocalSpace::from_space(&space).unwrap();
    let i = Aff::var_on_domain(&local, DimType::Set, 0).unwrap();
    let three = Val::int_from_si(&ctx, 3).unwrap();
    let f = i.scale_val(&three).unwrap().add_constant_val(&three).unwrap();
    assert_eq!(f.to_string(), "[N] -> { S[i, j] -> [(3 + 3i)] }");
    assert_eq!(f.coefficient_val(DimType::In, 0).unwrap().to_i64().unwrap(), 3);
    assert_eq!(f.constant_val().unwrap().to_i64().unwrap(), 3);
    let positive = Constraint::inequality_from_aff(&f).unwrap();
    assert!(!positive.is_equality().unwrap());
    let s = Set::universe(&space).unwrap().add_constraint(&positive).unwrap();
    assert!(s.is_equal(&set(&ctx, "[N] -> { S[i,j] : i >= -1 }")).unwrap());
    assert_eq!(s.basic_sets().unwrap()[0].constraints().unwrap().len(), 1);
}
