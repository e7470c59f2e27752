//! Scheduling, tree edits and code generation.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use warploom_isl::*;

fn matmul(ctx: &Ctx) -> ScheduleConstraints {
    let domain = "[M,N,K] -> { S0[i,j] : 0 <= i < M and 0 <= j < N; \
        S1[i,j,k] : 0 <= i < M and 0 <= j < N and 0 <= k < K }";
    let domain = UnionSet::parse(ctx, domain).unwrap();
    let deps = "[M,N,K] -> { S0[i,j] -> S1[i,j,0]; S1[i,j,k] -> S1[i,j,k+1] }";
    let deps = UnionMap::parse(ctx, deps).unwrap();
    let deps = deps.intersect_domain(&domain).unwrap().intersect_range(&domain).unwrap();
    let constraints = ScheduleConstraints::on_domain(&domain).unwrap();
    let constraints = constraints.set_validity(&deps).unwrap().set_coincidence(&deps).unwrap();
    constraints.set_proximity(&deps).unwrap()
}

fn first_band(node: &ScheduleNode) -> ScheduleNode {
    let mut node = node.clone();
    while node.kind().unwrap() != NodeKind::Band {
        node = node.child(0).unwrap();
    }
    node
}

#[test]
fn matmul_has_two_parallel_loops() {
    let ctx = Ctx::new();
    let schedule = matmul(&ctx).compute_schedule(&ScheduleOptions::default()).unwrap();
    let band = first_band(&schedule.root().unwrap());
    let parallel: Vec<bool> = (0..band.band_n_member().unwrap())
        .map(|i| band.band_member_coincident(i).unwrap())
        .collect();
    assert_eq!(parallel[..2], [true, true]);
    assert!(band.band_permutable().unwrap());
    let again = Schedule::parse(&ctx, &schedule.to_string()).unwrap();
    assert!(again.map().unwrap().is_equal(&schedule.map().unwrap()).unwrap());
    // Options do not stick to the context.
    let serial = ScheduleOptions { serialize_sccs: true, ..ScheduleOptions::default() };
    let apart = matmul(&ctx).compute_schedule(&serial).unwrap();
    let once_more = matmul(&ctx).compute_schedule(&ScheduleOptions::default()).unwrap();
    assert!(!apart.plain_is_equal(&schedule).unwrap());
    assert!(once_more.plain_is_equal(&schedule).unwrap());
    let too_big = ScheduleOptions { max_coefficient: Some(u32::MAX), ..serial };
    assert!(matmul(&ctx).compute_schedule(&too_big).is_err());
}

#[test]
fn cyclic_constraints_are_an_error() {
    let ctx = Ctx::new();
    let domain = UnionSet::parse(&ctx, "{ S[i] : 0 <= i < 4 }").unwrap();
    let all = UnionMap::parse(&ctx, "{ S[i] -> S[j] : 0 <= i,j < 4 }").unwrap();
    let constraints = ScheduleConstraints::on_domain(&domain).unwrap().set_validity(&all).unwrap();
    assert!(constraints.compute_schedule(&ScheduleOptions::default()).is_err());
}

#[test]
fn tree_edits() {
    let ctx = Ctx::new();
    let domain = UnionSet::parse(&ctx, "{ S[i,j] : 0 <= i,j < 16; T[i] : 0 <= i < 16 }").unwrap();
    let partial = MultiUnionPwAff::parse(&ctx, "[{ S[i,j] -> [(i)]; T[i] -> [(i)] }]").unwrap();
    let root = ScheduleNode::from_domain(&domain).unwrap();
    let band = root.child(0).unwrap().insert_partial_schedule(&partial).unwrap();
    let filters = ["{ T[i] }", "{ S[i,j] }"].map(|t| UnionSet::parse(&ctx, t).unwrap());
    let sequence = band.child(0).unwrap().insert_sequence(&filters).unwrap();
    assert_eq!(sequence.kind().unwrap(), NodeKind::Sequence);
    let kids = sequence.children().unwrap();
    assert_eq!(kids.len(), 2);
    assert!(kids[1].filter().unwrap().is_equal(&filters[1]).unwrap());
    let band = sequence.parent().unwrap();
    let tiled = band.band_tile_sizes(&[4]).unwrap();
    assert_eq!(tiled.child(0).unwrap().kind().unwrap(), NodeKind::Band);
    assert!(band.band_tile_sizes(&[4, 4]).is_err());
    assert!(band.band_tile_sizes(&[0]).is_err());
    let marked = tiled.insert_mark(&Id::new(&ctx, "grid").unwrap()).unwrap();
    assert_eq!(marked.mark_id().unwrap().name().unwrap(), "grid");
    let unrolled = marked.child(0).unwrap().child(0).unwrap();
    let unrolled = unrolled.band_member_set_ast_loop_type(0, LoopType::Unroll).unwrap();
    assert_eq!(unrolled.band_member_ast_loop_type(0).unwrap(), LoopType::Unroll);
    let prefix = unrolled.prefix_schedule_union_map().unwrap();
    assert_eq!(prefix.maps().unwrap().len(), 2);
    let text = unrolled.schedule().unwrap().to_string();
    assert!(text.contains("grid"), "{text}");
}

fn build(ctx: &Ctx) -> AstBuild {
    AstBuild::from_context(&Set::parse(ctx, "[N] -> { : N >= 8 }").unwrap()).unwrap()
}

fn triangle(ctx: &Ctx) -> UnionMap {
    UnionMap::parse(ctx, "[N] -> { S[i,j] -> [i,j] : 0 <= i < N and 0 <= j <= i and j < 5 }")
        .unwrap()
}

#[test]
fn code_reads_back_as_enums() {
    let ctx = Ctx::new();
    let build = build(&ctx).set_iterators(&["x", "y"]).unwrap();
    let node = build.node_from_schedule_map(&triangle(&ctx)).unwrap();
    let AstNodeKind::For { iterator, init, cond, body, degenerate, .. } = node.kind().unwrap()
    else {
        panic!("{node}")
    };
    assert_eq!(iterator, "x");
    assert!(!degenerate);
    assert!(matches!(init.kind().unwrap(), AstExprKind::Int(0)));
    let AstExprKind::Op { op, args } = cond.unwrap().kind().unwrap() else { panic!("{node}") };
    assert_eq!((op, args.len()), (AstOp::Lt, 2));
    assert!(matches!(args[1].kind().unwrap(), AstExprKind::Id(n) if n == "N"));
    let AstNodeKind::For { iterator, cond, body, .. } = body.kind().unwrap() else {
        panic!("{node}")
    };
    assert_eq!(iterator, "y");
    let AstExprKind::Op { op, args } = cond.unwrap().kind().unwrap() else { panic!("{node}") };
    assert_eq!(op, AstOp::Le);
    let AstExprKind::Op { op, .. } = args[1].kind().unwrap() else { panic!("{node}") };
    assert_eq!(op, AstOp::Min);
    let AstNodeKind::User(expr) = body.kind().unwrap() else { panic!("{node}") };
    assert_eq!(expr.to_c_str().unwrap(), "S(x, y)");
    assert!(node.to_c_str().unwrap().contains("for (int x = 0; x < N; x += 1)"));
}

#[test]
fn options_change_the_code_of_one_call() {
    let ctx = Ctx::new();
    let loose = AstOptions { atomic_upper_bound: false, ..AstOptions::default() };
    let plain = build(&ctx).node_from_schedule_map(&triangle(&ctx)).unwrap().to_c_str().unwrap();
    let split = build(&ctx).with_options(loose);
    let split = split.node_from_schedule_map(&triangle(&ctx)).unwrap().to_c_str().unwrap();
    assert_ne!(plain, split);
    let again = build(&ctx).node_from_schedule_map(&triangle(&ctx)).unwrap().to_c_str().unwrap();
    assert_eq!(plain, again);
}

#[test]
fn callbacks_see_the_schedule_and_may_annotate() {
    let ctx = Ctx::new();
    let access = UnionMap::parse(&ctx, "{ S[i,j] -> A[j, i + 1] }").unwrap();
    let mut seen = 0;
    let node = build(&ctx)
        .node_from_schedule_map_at_each_domain(&triangle(&ctx), |node, scope| {
            seen += 1;
            let back = scope.schedule()?.reverse()?.apply_range(&access)?.as_map()?;
            let expr = scope.access_from_pw_multi_aff(&PwMultiAff::from_map(&back)?)?;
            assert!(node.annotation()?.is_none());
            node.set_annotation(&Id::new(node.ctx(), &expr.to_c_str()?)?)
        })
        .unwrap();
    assert_eq!(seen, 1);
    let mut at = node;
    loop {
        at = match at.kind().unwrap() {
            AstNodeKind::For { body, .. } => body,
            AstNodeKind::User(_) => break,
            AstNodeKind::If { .. } | AstNodeKind::Block(_) | AstNodeKind::Mark { .. } => {
                panic!("{at}")
            }
        };
    }
    assert_eq!(at.annotation().unwrap().unwrap().name().unwrap(), "A[c1][c0 + 1]");
}

#[test]
fn errors_and_panics_of_callbacks_come_out() {
    let ctx = Ctx::new();
    let failed = build(&ctx).node_from_schedule_map_at_each_domain(&triangle(&ctx), |node, _| {
        Set::parse(node.ctx(), "{ nonsense").map(|_| node)
    });
    assert_eq!(failed.unwrap_err().kind, ErrorKind::Parse);
    let other = Ctx::new();
    let foreign = build(&other).node_from_schedule_map(&triangle(&other)).unwrap();
    let mixed = build(&ctx)
        .node_from_schedule_map_at_each_domain(&triangle(&ctx), |_, _| Ok(foreign.clone()));
    assert_eq!(mixed.unwrap_err().kind, ErrorKind::MixedContexts);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        build(&ctx).node_from_schedule_map_at_each_domain(&triangle(&ctx), |_, _| panic!("mine"))
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "mine");
    assert!(build(&ctx).node_from_schedule_map(&triangle(&ctx)).is_ok());
}

#[test]
fn marks_are_kept() {
    let ctx = Ctx::new();
    let domain = UnionSet::parse(&ctx, "{ S[i] : i = 3 }").unwrap();
    let partial = MultiUnionPwAff::parse(&ctx, "[{ S[i] -> [(i)] }]").unwrap();
    let node = ScheduleNode::from_domain(&domain).unwrap().child(0).unwrap();
    let node = node.insert_partial_schedule(&partial).unwrap();
    let schedule = node.insert_mark(&Id::new(&ctx, "m").unwrap()).unwrap().schedule().unwrap();
    let mut seen = 0;
    let code = build(&ctx)
        .node_from_schedule_at_each_domain(&schedule, |node, _| {
            seen += 1;
            Ok(node)
        })
        .unwrap();
    let AstNodeKind::Mark { id, node } = code.kind().unwrap() else { panic!("{code}") };
    assert_eq!((id.as_str(), seen), ("m", 1));
    // isl writes no loop around a single value.
    let AstNodeKind::User(expr) = node.kind().unwrap() else { panic!("{node}") };
    assert_eq!(expr.to_c_str().unwrap(), "S(3)");
}
