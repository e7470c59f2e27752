//! Manifests: one small file that enters a kernel of one's own into a comparison.
//!
//! In: TOML (docs/compare.md). Out: what the kernel computes, its arguments, its launch. Keeps:
//! what a manifest says is checked before anything is started: names, expressions, types,
//! conditions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use warploom::diag::{Diagnostic, Result};
use warploom::{DType, Einsum, Name, Nest, Sizes, inputs, outputs};

use crate::expression::Expression;

/// What kind of text a kernel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C for the CPU, through gcc.
    C,
    /// CUDA C++, through nvcc.
    Cuda,
    /// PTX, as the driver assembles it.
    Ptx,
    /// Machine code of a GPU.
    Cubin,
    /// A kernel of ours that a person wrote.
    Kernel,
}

impl Language {
    /// Whether it runs on the CPU.
    #[must_use]
    pub const fn on_cpu(self) -> bool {
        match self {
            Self::C => true,
            Self::Cuda | Self::Ptx | Self::Cubin | Self::Kernel => false,
        }
    }
}

/// The file as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    file: String,
    entry: Option<String>,
    spec: String,
    dtype: String,
    out_dtype: Option<String>,
    #[serde(default)]
    arguments: Vec<String>,
    #[serde(default)]
    grid: Vec<String>,
    #[serde(default)]
    block: Vec<u32>,
    #[serde(default = "one")]
    cluster: u32,
    shared: Option<String>,
    #[serde(default)]
    requires: Vec<String>,
    #[serde(default)]
    flags: Vec<String>,
    target: Option<String>,
}

const fn one() -> u32 {
    1
}

/// A kernel that a person wrote, and how it is started.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// What it is called in tables.
    pub name: String,
    /// Its text.
    pub file: PathBuf,
    /// What its text is.
    pub language: Language,
    /// The function.
    pub entry: String,
    /// The einsum that it computes.
    spec: String,
    dtype: DType,
    out: DType,
    arguments: Vec<(String, Option<Width>)>,
    grid: Vec<Expression>,
    /// Threads of a block.
    pub block: [u32; 3],
    /// Blocks of a cluster along x.
    pub cluster: u32,
    shared: Expression,
    requires: Vec<(String, Expression)>,
    /// What its compiler is told besides.
    pub flags: Vec<String>,
    /// The least target that runs it.
    pub target: Option<warploom::Target>,
}

/// The type of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// An argument of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// An array of the problem.
    Array(Name),
    /// A size.
    Size(i64, Width),
}

/// A kernel's launch on a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// In their order.
    pub arguments: Vec<Argument>,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// Sizes by the manifest's labels.
    pub sizes: Sizes,
}

/// A problem that contestants compute.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The einsum's text, where the problem is one.
    pub einsum: Option<&'a str>,
    /// The nest, whose sizes are fixed.
    pub nest: &'a Nest,
}

impl Manifest {
    /// Reads a manifest; its kernel's file is looked for in the same folder.
    ///
    /// # Errors
    /// `E0972` where it cannot be read or does not make sense.
    pub fn read(path: &Path) -> Result<Self> {
        let bad = |why: String| {
            let text = format!("the manifest {} is wrong: {why}", path.display());
            Box::new(Diagnostic::input("E0972", text).help("docs/compare.md says what it holds"))
        };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let written: Written =
            toml::from_str(&text).map_err(|e| bad(e.message().replace('\n', " ")))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        Self::of(written, folder).map_err(bad)
    }

    fn of(w: Written, folder: &Path) -> std::result::Result<Self, String> {
        let file = folder.join(&w.file);
        let language = match file.extension().and_then(|e| e.to_str()) {
            Some("c") => Language::C,
            Some("cu") => Language::Cuda,
            Some("ptx") => Language::Ptx,
            Some("cubin") => Language::Cubin,
            Some("kernel") => Language::Kernel,
            Some(_) | None => {
                return Err(format!("`{}` is no .c, .cu, .ptx, .cubin or .kernel", w.file));
            }
        };
        if !file.is_file() {
            return Err(format!("there is no file `{}`", w.file));
        }
        let dtype = |text: &str| text.parse::<DType>().map_err(|e| e.to_string());
        let einsum = Einsum::parse(&w.spec).map_err(|d| d.message.clone())?;
        if einsum.inputs.iter().chain([&einsum.output]).any(|t| t.has_ellipsis()) {
            return Err("its `spec` names all dimensions".to_owned());
        }
        let (dtype, labels) =
            ((dtype(&w.dtype)?, w.out_dtype.as_deref().map(dtype)), labels(&einsum));
        let parse = |text: &String| {
            let expression = Expression::parse(text)?;
            match expression.names().into_iter().find(|n| !labels.contains(n)) {
                Some(name) => Err(format!("`{name}` in `{text}` is no label of `{}`", w.spec)),
                None => Ok(expression),
            }
        };
        let ours = language == Language::Kernel;
        let starts = ours || language == Language::C;
        let mut block = [1; 3];
        if w.block.len() > 3 || w.grid.len() > 3 || w.block.contains(&0) || w.cluster == 0 {
            return Err("`grid` and `block` have up to three numbers from 1 on".to_owned());
        }
        block[..w.block.len()].copy_from_slice(&w.block);
        if starts != w.grid.is_empty() || starts != w.block.is_empty() {
            let what = if starts { "has no" } else { "needs a" };
            return Err(format!("a kernel of this kind {what} `grid` and `block`"));
        }
        if ours != w.arguments.is_empty() || ours != w.entry.is_none() {
            let what = if ours { "states its own" } else { "needs" };
            return Err(format!("a kernel of this kind {what} `entry` and `arguments`"));
        }
        let require = |text: &String| Ok((text.clone(), parse(text)?));
        Ok(Self {
            name: w.name,
            file,
            language,
            entry: w.entry.unwrap_or_default(),
            out: dtype.1.transpose()?.unwrap_or(dtype.0),
            dtype: dtype.0,
            arguments: w.arguments.iter().map(|a| argument(a, &labels)).collect::<Result2<_>>()?,
            grid: w.grid.iter().map(parse).collect::<Result2<_>>()?,
            block,
            cluster: w.cluster,
            shared: parse(&w.shared.unwrap_or_else(|| "0".to_owned()))?,
            requires: w.requires.iter().map(require).collect::<Result2<_>>()?,
            flags: w.flags,
            target: w
                .target
                .map(|t| t.parse::<warploom::Target>().map_err(|d| d.message.clone()))
                .transpose()?,
            spec: w.spec,
        })
    }

    /// How it is started on a problem.
    ///
    /// # Errors
    /// `E0973`: it does not compute this problem; why not.
    pub fn launch(&self, problem: &Problem<'_>) -> Result<Launch> {
        let other = |why: &str| {
            let text = format!("`{}` does not compute this: {why}", self.name);
            Box::new(Diagnostic::input("E0973", text))
        };
        let wanted = problem.einsum.ok_or_else(|| other("the problem is no einsum"))?;
        let (mine, theirs) = (Einsum::parse(&self.spec)?, Einsum::parse(wanted)?);
        let named =
            rename(&mine, &theirs).ok_or_else(|| other(&format!("it computes `{}`", self.spec)))?;
        let extents = extents(&theirs, problem.nest);
        let (given, made) = (inputs(problem.nest), outputs(problem.nest));
        let dtype = |name: &Name| array(problem.nest, name).map(|a| a.dtype);
        if given.iter().any(|n| dtype(n) != Some(self.dtype))
            || made.iter().any(|n| dtype(n) != Some(self.out))
        {
            return Err(other(&format!("it takes {} and gives {}", self.dtype, self.out)));
        }
        let mut sizes = Sizes::new();
        for (own, label) in named {
            let extent = extents.get(&label).copied();
            sizes.insert(own, extent.ok_or_else(|| other("a size is not known"))?);
        }
        let value = |e: &Expression| e.value(&sizes).map_err(|why| other(&why));
        for (text, condition) in &self.requires {
            if value(condition)? == 0 {
                return Err(other(&format!("it needs {text}")));
            }
        }
        let mut grid = [1; 3];
        for (at, e) in grid.iter_mut().zip(&self.grid) {
            let blocks = u32::try_from(value(e)?).ok().filter(|n| *n > 0);
            *at = blocks.ok_or_else(|| other("its grid is empty or too large"))?;
        }
        let shared = u32::try_from(value(&self.shared)?)
            .map_err(|_| other("its shared memory is no number of bytes"))?;
        // A, B, … are the operands, the next letter is the result
        let (letters, arrays) = ('A'..='Z', [given, made].concat());
        let mut arguments = Vec::new();
        for (name, width) in &self.arguments {
            arguments.push(match (sizes.get(name.as_str()), width) {
                (Some(size), width) => Argument::Size(*size, width.unwrap_or(Width::I64)),
                (None, _) => {
                    let place = letters.clone().position(|l| name.len() == 1 && name.contains(l));
                    let why = || other(&format!("`{name}` is neither a size nor an array"));
                    Argument::Array(arrays.get(place.ok_or_else(why)?).cloned().ok_or_else(why)?)
                }
            });
        }
        Ok(Launch { arguments, grid, shared, sizes })
    }
}

type Result2<T> = std::result::Result<T, String>;

/// `A`, `m` or `m: i32`.
fn argument(text: &str, labels: &[String]) -> Result2<(String, Option<Width>)> {
    let (name, width) = match text.split_once(':') {
        None => (text.trim(), None),
        Some((name, "i32" | " i32")) => (name.trim(), Some(Width::I32)),
        Some((name, "i64" | " i64")) => (name.trim(), Some(Width::I64)),
        Some((_, other)) => return Err(format!("`{}` is no type of a size", other.trim())),
    };
    if width.is_some() && !labels.iter().any(|l| l == name) {
        return Err(format!("`{name}` is no label, and only sizes have a type here"));
    }
    Ok((name.to_owned(), width))
}

/// The labels of an einsum, each once.
fn labels(einsum: &Einsum) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for label in terms(einsum).into_iter().flatten() {
        if !out.contains(&label) {
            out.push(label);
        }
    }
    out
}

/// The labels of the operands and of the output.
fn terms(einsum: &Einsum) -> Vec<Vec<String>> {
    let all = einsum.inputs.iter().chain([&einsum.output]);
    all.map(|term| term.labels().map(String::from).collect()).collect()
}

fn array<'n>(nest: &'n Nest, name: &Name) -> Option<&'n warploom::Array> {
    nest.arrays.iter().find(|a| a.name == *name)
}

/// Which label of the second einsum each of the first one's is, where both say the same.
fn rename(mine: &Einsum, theirs: &Einsum) -> Option<BTreeMap<Name, String>> {
    let (mine, theirs) = (terms(mine), terms(theirs));
    let lengths = |t: &[Vec<String>]| t.iter().map(Vec::len).collect::<Vec<_>>();
    if lengths(&mine) != lengths(&theirs) {
        return None;
    }
    let mut named: BTreeMap<Name, String> = BTreeMap::new();
    for (own, label) in mine.iter().flatten().zip(theirs.iter().flatten()) {
        let old = named.insert(Name::from(own.as_str()), label.clone());
        if old.is_some_and(|old| old != *label) {
            return None;
        }
    }
    let mut targets: Vec<&String> = named.values().collect();
    targets.sort();
    targets.dedup();
    (targets.len() == named.len()).then_some(named)
}

/// The extents of an einsum's labels in its nest.
fn extents(einsum: &Einsum, nest: &Nest) -> BTreeMap<String, i64> {
    let lookup = |name: &str| nest.param(name).and_then(|p| p.value);
    let mut out = BTreeMap::new();
    let names = inputs(nest).into_iter().chain(outputs(nest));
    for (term, name) in terms(einsum).into_iter().zip(names) {
        let Some(array) = array(nest, &name) else { continue };
        for (label, extent) in term.into_iter().zip(&array.shape) {
            if let Some(value) = extent.eval(&lookup) {
                out.insert(label, value);
            }
        }
    }
    out
}

/// The product of two matrices that a problem is, if it is one.
#[must_use]
pub fn product(problem: &Problem<'_>) -> Option<crate::Product> {
    let theirs = Einsum::parse(problem.einsum?).ok()?;
    let extents = extents(&theirs, problem.nest);
    let (given, made) = (inputs(problem.nest), outputs(problem.nest));
    let dtype = |name: &Name| array(problem.nest, name).map(|a| a.dtype);
    let (first, second, out) =
        (dtype(given.first()?)?, dtype(given.get(1)?)?, dtype(made.first()?)?);
    for (spec, [a_transposed, b_transposed]) in [
        ("mk,kn->mn", [false, false]),
        ("mk,nk->mn", [false, true]),
        ("km,kn->mn", [true, false]),
        ("km,nk->mn", [true, true]),
    ] {
        let Some(named) = rename(&Einsum::parse(spec).ok()?, &theirs) else { continue };
        let size = |label: &str| usize::try_from(*extents.get(named.get(label)?)?).ok();
        let (m, n, k) = (size("m")?, size("n")?, size("k")?);
        let fast = problem.nest.statements().iter().any(|s| {
            let keeps = s.statement.keeps;
            first.bits() == 8 && first.is_float() && keeps.is_some_and(|k| k.over.is_none())
        });
        let dtype = first;
        let product = crate::Product { m, n, k, a_transposed, b_transposed, dtype, out, fast };
        return (first == second).then_some(product);
    }
    None
}

#[cfg(test)]
mod tests;
