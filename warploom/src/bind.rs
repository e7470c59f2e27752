//! Gives every parameter of a nest its value: from the nest, from `--size`, from the shapes of
//! the arrays at hand.
//!
//! In: a nest, sizes by name, shapes by array. Out: the nest with every parameter fixed.
//! Keeps: a size given twice must agree; the error names both places.

use std::collections::BTreeMap;

use warploom_ir::affine::{Affine, Atom, Name};
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::nest::{Constraint, Nest, Role};

/// Sizes by parameter name.
pub type Sizes = BTreeMap<Name, i64>;

/// Parses `m=512,n=384` (also as separate items).
///
/// # Errors
/// `E0510` for an item that is not `name=integer` or a name given twice with different values.
pub fn parse_sizes<S: AsRef<str>>(items: &[S]) -> Result<Sizes> {
    let mut sizes = Sizes::new();
    for item in items.iter().flat_map(|s| s.as_ref().split(',')) {
        let item = item.trim();
        if item.is_empty() {
            continue;
        }
        let parsed = item.split_once('=').and_then(|(name, value)| {
            let value: i64 = value.trim().parse().ok()?;
            (value >= 0 && !name.trim().is_empty()).then(|| (Name::from(name.trim()), value))
        });
        let Some((name, value)) = parsed else {
            return Err(Box::new(
                Diagnostic::input("E0510", format!("`{item}` is not a size"))
                    .help("write --size m=512,n=384 with integers that are not negative"),
            ));
        };
        match sizes.insert(name.clone(), value) {
            Some(old) if old != value => {
                return Err(Box::new(Diagnostic::input(
                    "E0510",
                    format!("the size of `{name}` is given twice, as {old} and as {value}"),
                )));
            }
            Some(_) | None => {}
        }
    }
    Ok(sizes)
}

/// Fixes every parameter of `nest`.
///
/// A parameter's value comes from `sizes`, else from the nest (`param M = 512`), else from the
/// extents of `shapes` where one extent determines it.
///
/// # Errors
/// `E0510` names an unknown size, `E0511` a parameter that nothing determines, `E0513` an array
/// that is not there, `E0514` one whose shape contradicts the sizes, `E0512` sizes that the nest
/// assumes not to be.
pub fn bind(nest: &Nest, sizes: &Sizes, shapes: &BTreeMap<Name, Vec<usize>>) -> Result<Nest> {
    let mut fixed = bind_some(nest, sizes)?;
    let mut known: Sizes =
        fixed.params.iter().filter_map(|p| Some((p.name.clone(), p.value?))).collect();
    infer(nest, shapes, &mut known);
    // an einsum's label m without a size is the parameter size_m
    let label = |name: &'_ str| name.strip_prefix("size_").unwrap_or(name).to_owned();
    let missing: Vec<String> = nest
        .params
        .iter()
        .filter(|p| !known.contains_key(&p.name))
        .map(|p| label(&p.name))
        .collect();
    if !missing.is_empty() {
        let example: Vec<String> = missing.iter().map(|m| format!("{m}=64")).collect();
        return Err(Box::new(
            Diagnostic::input("E0511", format!("the size of {} is not given", missing.join(", ")))
                .help(format!("add --size {} or give the input files", example.join(","))),
        ));
    }
    for param in &mut fixed.params {
        param.value = known.get(&param.name).copied();
    }
    for (name, shape) in shapes {
        check_shape(&fixed, &known, name, shape)?;
    }
    check_assumptions(&fixed, &known)?;
    Ok(fixed)
}

/// Refuses sizes of which the nest does not hold: its schedules rest on what it assumes.
fn check_assumptions(nest: &Nest, known: &Sizes) -> Result<()> {
    let fails = |c: &&Constraint| c.holds(&|name| known.get(name).copied()) == Some(false);
    let Some(c) = nest.assumptions.iter().find(fails) else { return Ok(()) };
    let op = if c.equality { "=" } else { ">=" };
    let of = c.expr.vars();
    let values: Vec<String> =
        known.iter().filter(|(n, _)| of.contains(*n)).map(|(n, v)| format!("{n} = {v}")).collect();
    Err(Box::new(
        Diagnostic::input("E0512", format!("the assumption `{} {op} 0` fails", c.expr))
            .in_source(&nest.source)
            .witness(values.join(", "))
            .help("the spec is for other sizes (`assume` in its text)"),
    ))
}

/// Fixes the parameters that `sizes` names and leaves the others as they are.
///
/// # Errors
/// `E0510` names an unknown size.
pub fn bind_some(nest: &Nest, sizes: &Sizes) -> Result<Nest> {
    let mut fixed = nest.clone();
    for (name, &value) in sizes {
        match fixed.params.iter_mut().find(|p| p.name == *name) {
            Some(param) => param.value = Some(value),
            None => return Err(Box::new(unknown_size(nest, name))),
        }
    }
    Ok(fixed)
}

fn unknown_size(nest: &Nest, name: &str) -> Diagnostic {
    let names: Vec<&str> = nest.params.iter().map(|p| &*p.name).collect();
    let help = if names.is_empty() {
        "this spec has no symbolic sizes".to_owned()
    } else {
        format!("the sizes of this spec are {}", names.join(", "))
    };
    Diagnostic::input("E0510", format!("there is no size named `{name}`")).help(help)
}

/// Repeats until nothing new: an extent with one unknown parameter determines it.
fn infer(nest: &Nest, shapes: &BTreeMap<Name, Vec<usize>>, known: &mut Sizes) {
    loop {
        let before = known.len();
        for (name, shape) in shapes {
            let Some(array) = nest.array(name) else { continue };
            for (extent, &size) in array.shape.iter().zip(shape) {
                if let Some((param, value)) = solve(extent, size, known) {
                    known.insert(param, value);
                }
            }
        }
        if known.len() == before {
            return;
        }
    }
}

/// Solves `extent == size` where one parameter is unknown and occurs outside divisions.
fn solve(extent: &Affine, size: usize, known: &Sizes) -> Option<(Name, i64)> {
    let unknown: Vec<Name> = extent.vars().into_iter().filter(|v| !known.contains_key(v)).collect();
    let [param] = unknown.as_slice() else { return None };
    let inside_division = extent.terms().any(|(atom, _)| match atom {
        Atom::Var(_) => false,
        Atom::FloorDiv(e, _) | Atom::Mod(e, _) => e.vars().contains(param),
    });
    let coefficient = extent.coefficient(param);
    if inside_division || coefficient == 0 {
        return None;
    }
    let rest = extent.eval(&|v| if v == &**param { Some(0) } else { known.get(v).copied() })?;
    let left = i64::try_from(size).ok()?.checked_sub(rest)?;
    (left % coefficient == 0).then(|| (param.clone(), left / coefficient))
}

fn check_shape(nest: &Nest, known: &Sizes, name: &str, shape: &[usize]) -> Result<()> {
    let Some(array) = nest.array(name) else {
        let inputs: Vec<&str> = nest
            .arrays
            .iter()
            .filter(|a| matches!(a.role, Role::In | Role::InOut))
            .map(|a| &*a.name)
            .collect();
        return Err(Box::new(
            Diagnostic::input("E0513", format!("there is no array named `{name}`"))
                .help(format!("the inputs of this spec are {}", inputs.join(", "))),
        ));
    };
    let expected: Vec<i64> =
        array.shape.iter().map(|e| e.eval(&|v| known.get(v).copied()).unwrap_or(-1)).collect();
    let same = expected.len() == shape.len()
        && expected.iter().zip(shape).all(|(&e, &s)| i64::try_from(s) == Ok(e));
    if same {
        return Ok(());
    }
    let declared: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    Err(Box::new(
        Diagnostic::input(
            "E0514",
            format!("`{name}` has shape {shape:?}, but the spec wants {expected:?}"),
        )
        .in_source(&nest.source)
        .label(array.span, format!("declared as [{}]", declared.join(", "))),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_checked() {
        let sizes = parse_sizes(&["m=512,n=384", "k=1"]).unwrap();
        assert_eq!(sizes.len(), 3);
        assert_eq!(sizes.get("n"), Some(&384));
        assert!(parse_sizes(&["m"]).is_err());
        assert!(parse_sizes(&["m=-1"]).is_err());
        assert!(parse_sizes(&["m=1", "m=2"]).is_err());
    }

    #[test]
    fn sizes_are_as_assumed() {
        let text = "param N\nin x: f32[N]\nout y: f32[N]\nassume N <= 4\ny[i] = x[i]\n";
        let nest: Nest = text.parse().unwrap();
        let at = |n| bind(&nest, &Sizes::from([("N".into(), n)]), &BTreeMap::new());
        assert!(at(4).is_ok());
        assert_eq!(at(5).unwrap_err().code, "E0512");
    }

    #[test]
    fn an_extent_determines_its_only_unknown() {
        let extent = Affine::var("P").add(&Affine::var("R")).unwrap().add_const(-1).unwrap();
        let known = Sizes::from([("R".into(), 3)]);
        assert_eq!(solve(&extent, 10, &known), Some(("P".into(), 8)));
        assert_eq!(solve(&extent, 10, &Sizes::new()), None);
    }
}
