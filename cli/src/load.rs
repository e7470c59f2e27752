//! From command-line arguments to a nest with fixed sizes and its schedule.

use std::path::Path;

use warploom::cache::Cache;
use warploom::compile::Lowered;
use warploom::diag::{Diagnostic, Result, Source};
use warploom::jit::Jit;
use warploom::tune::{Records, kind_for};
use warploom::{DType, Nest, Schedule, Script, Spec, SpecTypes, Target};

use crate::args::{CacheArgs, RecordArgs, SpecArgs};
use crate::output;

/// The spec and the types the command line gives it; files may add more.
pub(crate) fn spec(args: &SpecArgs) -> Result<(Spec, SpecTypes)> {
    let types = SpecTypes {
        operands: Vec::new(),
        dtype: dtype(args.dtype.as_deref())?,
        acc: args.acc.as_deref().map(str::parse).transpose()?,
        out: dtype(args.out_dtype.as_deref())?,
        sizes: warploom::parse_sizes(&args.size)?,
    };
    Ok((Spec::read(&args.spec)?, types))
}

pub(crate) fn dtype(name: Option<&str>) -> Result<Option<DType>> {
    let parse = |text: &str| {
        text.parse::<DType>().map_err(|e| Box::new(Diagnostic::input("E0107", e.to_string())))
    };
    name.map(parse).transpose()
}

/// The nest of a command that needs no data; sizes may stay symbolic.
pub(crate) fn symbolic_nest(args: &SpecArgs) -> Result<Nest> {
    let (spec, types) = spec(args)?;
    let nest = spec.nest(&types)?;
    let nest = warploom::bind_some(&nest, &spec.remaining_sizes(&types))?;
    warploom::compile::check_nest(&nest)?;
    Ok(nest)
}

/// The folder of tuning records, unless they are not wanted.
pub(crate) fn records(args: &RecordArgs) -> Option<Records> {
    (!args.no_records).then(|| Records::new(&args.records))
}

/// The script in a file, replayed on `nest`; without a file what was tuned for the target, on this
/// machine's kind of device if there is such a record; else the automatic schedule.
pub(crate) fn schedule(
    nest: &Nest,
    script: Option<&Path>,
    target: Target,
    args: &RecordArgs,
) -> Result<Schedule> {
    match given(nest, script, target, args)? {
        Some(schedule) => Ok(schedule),
        None => warploom::compile::auto_for(nest, target),
    }
}

/// The kernel of [`schedule`]; where that is automatic and has none, of what is taken instead.
pub(crate) fn lowered(
    nest: &Nest,
    script: Option<&Path>,
    target: Target,
    args: &RecordArgs,
) -> Result<Lowered> {
    match given(nest, script, target, args)? {
        Some(schedule) => warploom::compile::lower(&schedule),
        None => Ok(warploom::compile::automatic(nest, target)?.1),
    }
}

/// What a file or a record says.
fn given(
    nest: &Nest,
    script: Option<&Path>,
    target: Target,
    args: &RecordArgs,
) -> Result<Option<Schedule>> {
    if let Some(path) = script {
        return replay(nest, path).map(Some);
    }
    let recall = |r: Records| r.recall(nest, target, &|| kind_for(target));
    let recalled = records(args).map(recall).unwrap_or_default();
    if let Some(note) = &recalled.note {
        output::error(note);
    }
    Ok(recalled.schedule)
}

/// The script in a file, replayed on `nest`.
pub(crate) fn replay(nest: &Nest, path: &Path) -> Result<Schedule> {
    Ok(Schedule::new(nest)?.replay(&script(path)?)?)
}

/// The script in a file.
pub(crate) fn script(path: &Path) -> Result<Script> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        let message = format!("cannot read the schedule {}: {e}", path.display());
        Diagnostic::input("E0501", message)
    })?;
    Script::parse(&Source::new(&path.display().to_string(), &text))
}

/// The compiler with what it may remember.
pub(crate) fn jit(records: &RecordArgs, cache: &CacheArgs) -> Jit {
    let named = || cache.cache.clone().or_else(warploom::cache::code_folder);
    let folder = if cache.no_cache { None } else { named() };
    Jit::new().with_cache(folder.map(Cache::new)).with_records(self::records(records))
}
