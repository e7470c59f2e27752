//! Verifies a nest: types, bounds of accesses, definition before use, outputs written, exactness.
//!
//! In: a parsed nest, its parameters fixed or symbolic. Out: the same nest, sealed, or every
//! finding with a concrete offending point. Keeps: shares no code with dependences or lowering;
//! sets are built from the text of the nest's own constraints.
//! Source: [Feautrier91] for definition before use as a dataflow question; isl does both proofs.

mod plain;
mod ranges;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use warploom_ir::affine::{Affine, Name};
use warploom_ir::diag::{Blame, Diagnostic, Span};
use warploom_ir::expr::{Access, Expr, Literal};
use warploom_ir::nest::{Array, Loop, Nest, Node, Placed, Role};
use warploom_ir::typing;
use warploom_isl::{Ctx, Set, UnionAccessInfo, UnionMap};

use crate::Verified;

/// Longest time isl may spend on one nest.
const DEADLINE: Duration = Duration::from_secs(20);

/// Checks `nest` and seals it.
///
/// # Errors
/// All findings: `E03xx` types, `E0801` an access out of bounds, `E0802` an element read before
/// it is defined, `E0803` an output element never written, `E0804` a negative extent,
/// `E0805` a table of constants that does not fit, `E0806` a nest made by hand whose names or loops
/// are not sound, `E0808` an `order exact` that value ranges do not prove, `E0809` an array of four
/// bits that is no input, `E0601` the proof took too long.
pub fn nest(nest: Nest) -> Result<Verified<Nest>, Vec<Diagnostic>> {
    let mut findings = structure(&nest);
    for placed in nest.statements() {
        if let Err(e) = typing::type_statement(&nest, placed.statement) {
            findings.push(*e);
        }
    }
    findings.extend(constant_tables(&nest));
    findings.extend(shared_bytes(&nest));
    if findings.is_empty() {
        let ctx = Ctx::new();
        let proofs = ctx.with_deadline(DEADLINE, || prove(&ctx, &nest, &mut findings));
        if let Err(e) = proofs {
            findings.push(
                Diagnostic::new("E0601", Blame::Unsupported, format!("isl could not decide: {e}"))
                    .help("fix the sizes with --size, or simplify the subscripts"),
            );
        }
    }
    if findings.is_empty() {
        Ok(Verified(nest))
    } else {
        Err(findings.into_iter().map(|d| locate(&nest, d)).collect())
    }
}

/// Arrays that are written, or are tables, although two of their elements share a byte.
fn shared_bytes(nest: &Nest) -> impl Iterator<Item = Diagnostic> {
    let written = |a: &&Array| a.dtype.packed() && !matches!(a.role, Role::In);
    nest.arrays.iter().filter(written).map(|a| {
        let (name, dtype) = (&a.name, a.dtype);
        let text = format!("`{name}` is no input, and two elements of type {dtype} share a byte");
        Diagnostic::input("E0809", text).label(a.span, "two threads could write one byte").help(
            "write a type of eight bits or more, such as e4m3: `--out-dtype` of an einsum or \
                 formula",
        )
    })
}

/// What the parser guarantees, for nests made by hand: the proofs below rest on it.
fn structure(nest: &Nest) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut fault = |span: Span, text: String| {
        found.push(Diagnostic::input("E0806", text).label(span, "here"));
    };
    let mut names = BTreeSet::new();
    for (name, span) in (nest.params.iter().map(|p| (&p.name, p.span)))
        .chain(nest.arrays.iter().map(|a| (&a.name, a.span)))
    {
        if !names.insert(name.clone()) {
            fault(span, format!("`{name}` is declared twice"));
        }
    }
    let params: BTreeSet<Name> = nest.params.iter().map(|p| p.name.clone()).collect();
    for array in &nest.arrays {
        for name in array.shape.iter().flat_map(Affine::vars).filter(|n| !params.contains(n)) {
            fault(array.span, format!("the shape of `{}` names `{name}`", array.name));
        }
    }
    for name in nest.assumptions.iter().flat_map(|c| c.expr.vars()) {
        if !params.contains(&name) {
            fault(Span::NONE, format!("an assumption names `{name}`, which is no parameter"));
        }
    }
    let mut statements = BTreeSet::new();
    body_structure(&nest.body, &params, &mut statements, &mut fault);
    for placed in nest.statements() {
        let s = placed.statement;
        let target = nest.array(&s.target.array);
        if target.is_some_and(|a| matches!(a.role, Role::In | Role::Const(_))) {
            fault(s.target.span, format!("`{}` is only read", s.target.array));
        }
    }
    found
}

fn body_structure(
    body: &[Node],
    scope: &BTreeSet<Name>,
    statements: &mut BTreeSet<Name>,
    fault: &mut dyn FnMut(Span, String),
) {
    let unknown = |e: &Affine| e.vars().into_iter().find(|n| !scope.contains(n));
    for node in body {
        match node {
            Node::Loop(l) => {
                if let Some(n) = l.lower.iter().chain(&l.upper).find_map(unknown) {
                    fault(l.span, format!("a bound of `{}` names `{n}`", l.var));
                }
                if l.lower.is_empty() || l.upper.is_empty() || l.step <= 0 {
                    fault(l.span, format!("`{}` lacks a bound or a positive step", l.var));
                }
                let mut inner = scope.clone();
                if !inner.insert(l.var.clone()) {
                    fault(l.span, format!("`{}` is the name of something around it", l.var));
                }
                body_structure(&l.body, &inner, statements, fault);
            }
            Node::If(constraints, inner) => {
                if let Some(n) = constraints.iter().find_map(|c| unknown(&c.expr)) {
                    fault(Span::NONE, format!("a guard names `{n}`, which is no variable there"));
                }
                body_structure(inner, scope, statements, fault);
            }
            Node::Statement(s) => {
                if !statements.insert(s.name.clone()) {
                    fault(s.span, format!("two statements are named `{}`", s.name));
                }
                let mut named: Vec<&Affine> = s.target.indices.iter().collect();
                named.extend(s.reads().into_iter().flat_map(|a| &a.indices));
                let mut take = |e: &'_ Expr| {
                    if let Expr::Index(i) = e
                        && let Some(n) = unknown(i)
                    {
                        fault(s.span, format!("`{n}` is no variable there"));
                    }
                };
                s.value.visit(&mut take);
                if let Some(guard) = &s.guard {
                    guard.visit(&mut take);
                }
                if let Some(n) = named.into_iter().find_map(unknown) {
                    fault(s.span, format!("`{n}` is no variable there"));
                }
            }
        }
    }
}

fn locate(nest: &Nest, diagnostic: Diagnostic) -> Diagnostic {
    match diagnostic.source {
        Some(_) => diagnostic,
        None => diagnostic.in_source(&nest.source),
    }
}

fn prove(ctx: &Ctx, nest: &Nest, findings: &mut Vec<Diagnostic>) -> warploom_isl::Result<()> {
    let symbolic = |e: &Affine| e.as_constant().is_none_or(|n| n < 0);
    let extents = nest.arrays.iter().flat_map(|a| a.shape.iter().map(move |e| (a, e)));
    let unclear = |e: &Affine| symbolic(e) && !plain::at_least_zero(nest, &[], e);
    for (array, extent) in extents.filter(|(_, e)| unclear(e)) {
        if let Some(point) = smallest(ctx, nest, None, &format!("{} < 0", extent.to_isl(&var)))? {
            findings.push(
                Diagnostic::input("E0804", format!("an extent of `{}` is negative", array.name))
                    .label(array.span, "declared here")
                    .witness(point.describe(nest, None)),
            );
        }
    }
    for placed in nest.statements() {
        for access in placed.statement.reads().into_iter().chain([&placed.statement.target]) {
            findings.extend(out_of_bounds(ctx, nest, &placed, access)?);
        }
    }
    if findings.is_empty() {
        undefined_reads(ctx, nest, findings)?;
        unwritten_outputs(ctx, nest, findings)?;
        findings.extend(ranges::inexact(ctx, nest)?);
    }
    Ok(())
}

/// Names in isl's text: prefixed, so that no name of the user is a keyword of isl.
fn var(name: &str) -> String {
    format!("v_{name}")
}

/// The constraints of the parameters: not negative, fixed values, assumptions.
fn parameters(nest: &Nest) -> String {
    let mut out = String::from("1 = 1");
    for p in &nest.params {
        let _ = match p.value {
            Some(value) => write!(out, " and {} = {value}", var(&p.name)),
            None => write!(out, " and {} >= 0", var(&p.name)),
        };
    }
    for c in &nest.assumptions {
        let _ = write!(out, " and {}", c.to_isl(&var));
    }
    out
}

fn loop_constraints(l: &Loop) -> String {
    let i = var(&l.var);
    let mut out = String::new();
    for low in &l.lower {
        let _ = write!(out, " and {i} >= {}", low.to_isl(&var));
    }
    for high in &l.upper {
        let _ = write!(out, " and {i} < {}", high.to_isl(&var));
    }
    if l.step > 1 {
        let (ends, text) = if l.descending { (&l.upper, "high") } else { (&l.lower, "low") };
        // the start is one of the bounds, the tightest; each choice is one disjunct
        let choices: Vec<String> = ends.iter().map(|e| start_choice(l, e, ends, text)).collect();
        let _ = write!(out, " and ({})", choices.join(" or "));
    }
    out
}

/// `end` is the tightest of `ends` and the iterator lies a multiple of the step from it.
fn start_choice(l: &Loop, end: &Affine, ends: &[Affine], kind: &str) -> String {
    let (i, end_text) = (var(&l.var), end.to_isl(&var));
    let mut out = if kind == "high" {
        format!("(({end_text} - 1 - {i}) mod {}) = 0", l.step)
    } else {
        format!("(({i} - ({end_text})) mod {}) = 0", l.step)
    };
    for other in ends.iter().filter(|o| *o != end) {
        let op = if kind == "high" { "<=" } else { ">=" };
        let _ = write!(out, " and {end_text} {op} {}", other.to_isl(&var));
    }
    format!("({out})")
}

fn domain(nest: &Nest, placed: &Placed<'_>) -> String {
    let mut out = parameters(nest);
    for l in &placed.loops {
        out.push_str(&loop_constraints(l));
    }
    for guard in &placed.guards {
        let _ = write!(out, " and {}", guard.to_isl(&var));
    }
    out
}

/// Values of the parameters and of the iterators of one statement.
struct Point {
    values: Vec<(Name, i64)>,
}

impl Point {
    fn get(&self, name: &str) -> Option<i64> {
        self.values.iter().find(|(n, _)| &**n == name).map(|(_, v)| *v)
    }

    /// `with N = 3, S1[0,2]`.
    fn describe(&self, nest: &Nest, placed: Option<&Placed<'_>>) -> String {
        let symbolic: Vec<String> = nest
            .params
            .iter()
            .filter(|p| p.value.is_none())
            .filter_map(|p| Some(format!("{} = {}", p.name, self.get(&p.name)?)))
            .collect();
        let mut parts = Vec::new();
        if !symbolic.is_empty() {
            parts.push(format!("with {}", symbolic.join(", ")));
        }
        if let Some(placed) = placed {
            let at: Vec<String> = placed
                .loops
                .iter()
                .filter_map(|l| self.get(&l.var).map(|v| v.to_string()))
                .collect();
            parts.push(format!("{}[{}]", placed.statement.name, at.join(",")));
        }
        parts.join(", ")
    }
}

/// The lexicographically smallest values of parameters and iterators that satisfy `condition`.
fn smallest(
    ctx: &Ctx,
    nest: &Nest,
    placed: Option<&Placed<'_>>,
    condition: &str,
) -> warploom_isl::Result<Option<Point>> {
    let mut names: Vec<Name> = nest.params.iter().map(|p| p.name.clone()).collect();
    let base = match placed {
        Some(placed) => {
            names.extend(placed.loops.iter().map(|l| l.var.clone()));
            domain(nest, placed)
        }
        None => parameters(nest),
    };
    let dims: Vec<String> = names.iter().map(|n| var(n)).collect();
    let set = Set::parse(ctx, &format!("{{ [{}] : {base} and ({condition}) }}", dims.join(",")))?;
    if set.is_empty()? {
        return Ok(None);
    }
    let Some(point) = set.lexmin()?.sample_point()? else { return Ok(None) };
    Ok(Some(Point { values: names.into_iter().zip(point.coordinates()?).collect() }))
}

fn out_of_bounds(
    ctx: &Ctx,
    nest: &Nest,
    placed: &Placed<'_>,
    access: &Access,
) -> warploom_isl::Result<Option<Diagnostic>> {
    let Some(array) = nest.array(&access.array) else { return Ok(None) };
    if plain::in_bounds(nest, placed, access, array) {
        return Ok(None);
    }
    let outside = |(index, extent): (&Affine, &Affine)| {
        let (i, n) = (index.to_isl(&var), extent.to_isl(&var));
        format!("{i} < 0 or {i} >= {n}")
    };
    let conditions: Vec<String> = access.indices.iter().zip(&array.shape).map(outside).collect();
    // one question for all dimensions: most accesses are inside
    if conditions.is_empty()
        || smallest(ctx, nest, Some(placed), &conditions.join(" or "))?.is_none()
    {
        return Ok(None);
    }
    for (position, condition) in conditions.iter().enumerate() {
        if let Some(point) = smallest(ctx, nest, Some(placed), condition)? {
            return Ok(Some(bounds_finding(nest, placed, access, array, position, &point)));
        }
    }
    Ok(None)
}

fn bounds_finding(
    nest: &Nest,
    placed: &Placed<'_>,
    access: &Access,
    array: &Array,
    position: usize,
    point: &Point,
) -> Diagnostic {
    let show = |list: &[Affine]| {
        let values: Vec<String> = list
            .iter()
            .map(|e| e.eval(&|v| point.get(v)).map_or_else(|| "?".to_owned(), |v| v.to_string()))
            .collect();
        values.join(",")
    };
    let dimension = position + 1;
    Diagnostic::input(
        "E0801",
        format!("dimension {dimension} of `{}` is accessed out of bounds", array.name),
    )
    .label(access.span, format!("here, in {}", placed.statement.name))
    .label(array.span, "declared here")
    .witness(format!(
        "{} touches {}[{}], but the extents are [{}]",
        point.describe(nest, Some(placed)),
        array.name,
        show(&access.indices),
        show(&array.shape)
    ))
    .help("shrink the loop's range, guard the statement with `if`, or enlarge the array")
}

fn constant_tables(nest: &Nest) -> Vec<Diagnostic> {
    let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
    let mut out = Vec::new();
    for array in &nest.arrays {
        let Role::Const(values) = &array.role else { continue };
        let size: Option<i64> = array
            .shape
            .iter()
            .map(|e| e.eval(&lookup))
            .try_fold(1_i64, |acc, extent| acc.checked_mul(extent?));
        let wrong_length = size.is_some_and(|s| usize::try_from(s) != Ok(values.len()));
        if wrong_length {
            out.push(
                Diagnostic::input(
                    "E0805",
                    format!("the table `{}` has {} values", array.name, values.len()),
                )
                .label(array.span, "its shape holds another number"),
            );
        }
        let float_in_int = |v: &&Literal| match v {
            Literal::Float(_) => !array.dtype.is_float(),
            Literal::Int(_) | Literal::Bool(_) => false,
        };
        if values.iter().any(|v| float_in_int(&v)) {
            out.push(
                Diagnostic::input("E0805", format!("a value of `{}` is no integer", array.name))
                    .label(array.span, format!("its type is {}", array.dtype)),
            );
        }
    }
    out
}

/// A statement's schedule in program order, `[position, iterator, position, …]`.
fn times(body: &[Node], prefix: &[String], out: &mut Vec<Vec<String>>) {
    for (position, node) in body.iter().enumerate() {
        let mut here = prefix.to_vec();
        here.push(position.to_string());
        match node {
            Node::Loop(l) => {
                let i = var(&l.var);
                here.push(if l.descending { format!("-{i}") } else { i });
                times(&l.body, &here, out);
            }
            Node::If(_, inner) => {
                here.push("0".to_owned());
                times(inner, &here, out);
            }
            Node::Statement(_) => out.push(here),
        }
    }
}

fn tuple(index: usize, placed: &Placed<'_>) -> String {
    let dims: Vec<String> = placed.loops.iter().map(|l| var(&l.var)).collect();
    format!("S{index}[{}]", dims.join(","))
}

fn access_text(access: &Access) -> String {
    let indices: Vec<String> = access.indices.iter().map(|e| e.to_isl(&var)).collect();
    format!("{}[{}]", var(&access.array), indices.join(","))
}

fn parameter_list(nest: &Nest) -> String {
    let names: Vec<String> = nest.params.iter().map(|p| var(&p.name)).collect();
    format!("[{}] -> ", names.join(","))
}

/// Reads of temporaries and outputs that no write precedes.
fn undefined_reads(
    ctx: &Ctx,
    nest: &Nest,
    findings: &mut Vec<Diagnostic>,
) -> warploom_isl::Result<()> {
    let placed = nest.statements();
    let undefined = |name: &Name| {
        nest.array(name).is_some_and(|a| match a.role {
            Role::Out | Role::Temp => true,
            Role::In | Role::InOut | Role::Const(_) => false,
        })
    };
    let mut asked = Vec::new();
    for (index, p) in placed.iter().enumerate() {
        let reads = p.statement.reads().into_iter().filter(|a| undefined(&a.array));
        let unclear = reads.filter(|a| !plain::written_before(nest, &placed, index, a));
        asked.extend(unclear.map(|access| (index, p, access)));
    }
    if asked.is_empty() {
        return Ok(());
    }
    let mut order = Vec::new();
    times(&nest.body, &[], &mut order);
    let depth = order.iter().map(Vec::len).max().unwrap_or(0);
    let params = parameter_list(nest);
    let (mut writes, mut schedule) = (Vec::new(), Vec::new());
    for (index, (p, time)) in placed.iter().zip(&mut order).enumerate() {
        time.resize(depth, "0".to_owned());
        let (from, dom) = (tuple(index, p), domain(nest, p));
        writes.push(format!("{from} -> {} : {dom}", access_text(&p.statement.target)));
        schedule.push(format!("{from} -> [{}] : {dom}", time.join(",")));
    }
    let text = |parts: &[String]| format!("{params}{{ {} }}", parts.join("; "));
    let writes = UnionMap::parse(ctx, &text(&writes))?;
    let schedule = UnionMap::parse(ctx, &text(&schedule))?;
    for (index, p, access) in asked {
        let one = format!("{} -> {} : {}", tuple(index, p), access_text(access), domain(nest, p));
        let sink = UnionMap::parse(ctx, &text(&[one]))?;
        let orphans = UnionAccessInfo::from_sink(&sink)?
            .set_must_source(&writes)?
            .set_schedule_map(&schedule)?
            .compute_flow()?
            .must_no_source()?;
        if !orphans.is_empty()? {
            findings.push(undefined_finding(nest, p, access, &orphans)?);
        }
    }
    Ok(())
}

fn undefined_finding(
    nest: &Nest,
    placed: &Placed<'_>,
    access: &Access,
    orphans: &UnionMap,
) -> warploom_isl::Result<Diagnostic> {
    let point = match orphans.domain()?.sample_point()? {
        Some(point) => {
            let params = nest.params.iter().map(|p| p.name.clone()).zip(point.parameters()?);
            let iters = placed.loops.iter().map(|l| l.var.clone()).zip(point.coordinates()?);
            Point { values: params.chain(iters).collect() }
        }
        None => Point { values: Vec::new() },
    };
    let element: Vec<String> = access
        .indices
        .iter()
        .map(|e| e.eval(&|v| point.get(v)).map_or_else(|| "?".to_owned(), |v| v.to_string()))
        .collect();
    Ok(Diagnostic::input("E0802", format!("`{}` is read before it is written", access.array))
        .label(access.span, format!("read here, in {}", placed.statement.name))
        .witness(format!(
            "{} reads {}[{}], which nothing wrote before",
            point.describe(nest, Some(placed)),
            access.array,
            element.join(",")
        ))
        .help("write the element first, or declare the array `inout` if the caller gives it"))
}

/// Elements of `out` arrays that no statement writes.
fn unwritten_outputs(
    ctx: &Ctx,
    nest: &Nest,
    findings: &mut Vec<Diagnostic>,
) -> warploom_isl::Result<()> {
    let params = parameter_list(nest);
    let placed = nest.statements();
    let unclear = |a: &&Array| a.role == Role::Out && !plain::all_written(&placed, a);
    for array in nest.arrays.iter().filter(unclear) {
        let dims: Vec<String> = (0..array.shape.len()).map(|d| format!("d{d}")).collect();
        let mut all = parameters(nest);
        for (d, extent) in dims.iter().zip(&array.shape) {
            let _ = write!(all, " and 0 <= {d} < {}", extent.to_isl(&var));
        }
        let name = var(&array.name);
        let mut left =
            Set::parse(ctx, &format!("{params}{{ {name}[{}] : {all} }}", dims.join(",")))?;
        for (index, p) in placed.iter().enumerate() {
            if p.statement.target.array != array.name {
                continue;
            }
            let text = format!(
                "{params}{{ {} -> {} : {} }}",
                tuple(index, p),
                access_text(&p.statement.target),
                domain(nest, p)
            );
            let written = warploom_isl::Map::parse(ctx, &text)?.range()?;
            left = left.subtract(&written)?;
        }
        if let Some(point) = if left.is_empty()? { None } else { left.sample_point()? } {
            let at: Vec<String> = point.coordinates()?.iter().map(i64::to_string).collect();
            findings.push(
                Diagnostic::input(
                    "E0803",
                    format!("an element of `{}` is never written", array.name),
                )
                .label(array.span, "an output")
                .witness(format!("{}[{}]", array.name, at.join(",")))
                .help("cover the whole array, or declare it `inout`"),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
