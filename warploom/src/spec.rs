//! A spec as the user names it: a `.nest` file, a formula or an einsum; each becomes a nest.
//!
//! In: the text and what is known of types and shapes. Out: a nest, its parameters
//! still symbolic where no shape fixes them.

use std::path::Path;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result, Source};
use warploom_ir::dtype::DType;
use warploom_ir::einsum::{Einsum, EinsumOptions, OperandType};
use warploom_ir::nest::formula::{Formula, FormulaTypes};
use warploom_ir::nest::{Accumulation, Nest, Role};

use crate::bind::Sizes;

/// What a spec is, by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// A nest's text, with the file's name.
    Nest(Source),
    /// `C[m,n] += A[m,k] * B[k,n]`.
    Formula(String),
    /// `mk,kn->mn`.
    Einsum(String),
}

/// Types and shapes that the spec's own text does not hold.
#[derive(Clone, Debug, Default)]
pub struct SpecTypes {
    /// Type and, where known, shape of each operand in order.
    pub operands: Vec<(DType, Option<Vec<usize>>)>,
    /// Type of operands beyond the list; `f32` where nothing is said.
    pub dtype: Option<DType>,
    /// How sums add.
    pub acc: Option<Accumulation>,
    /// Output type.
    pub out: Option<DType>,
    /// Sizes by name; an einsum takes its labels' sizes from here.
    pub sizes: Sizes,
}

impl Spec {
    /// Reads a spec: a file ending in `.nest`, a formula when it contains `=`, else an einsum.
    ///
    /// # Errors
    /// `E0501` when the file cannot be read.
    pub fn read(text: &str) -> Result<Self> {
        if Path::new(text).extension().is_some_and(|e| e == "nest") {
            let body = std::fs::read_to_string(text).map_err(|e| {
                Diagnostic::input("E0501", format!("cannot read the nest {text}: {e}"))
                    .help("give the path of a .nest file, a formula or an einsum")
            })?;
            return Ok(Self::Nest(Source::new(text, &body)));
        }
        Ok(if text.contains('=') {
            Self::Formula(text.to_owned())
        } else {
            Self::Einsum(text.to_owned())
        })
    }

    /// The nest this spec means.
    ///
    /// # Errors
    /// Whatever the spec's own front end finds, with a place in its text.
    pub fn nest(&self, types: &SpecTypes) -> Result<Nest> {
        let default = types.dtype.unwrap_or(DType::F32);
        match self {
            Self::Nest(source) => Nest::parse(source.clone()),
            Self::Formula(text) => {
                let formula = Formula::parse(text)?;
                let mut chosen = FormulaTypes::all(default);
                chosen.acc = types.acc.map(|a| a.acc);
                chosen.keeps = types.acc.and_then(|a| a.keeps);
                chosen.out = types.out;
                let given = formula.arrays().iter().filter(|a| a.role == Role::In);
                for (array, (dtype, _)) in given.zip(&types.operands) {
                    chosen.arrays.insert(array.name.clone(), *dtype);
                }
                formula.nest(&chosen)
            }
            Self::Einsum(text) => {
                let einsum = Einsum::parse(text)?;
                let operands: Vec<OperandType> = (0..einsum.inputs.len())
                    .map(|i| match types.operands.get(i) {
                        Some((dtype, Some(shape))) => OperandType::shaped(*dtype, shape),
                        Some((dtype, None)) => OperandType::new(*dtype),
                        None => OperandType::new(default),
                    })
                    .collect();
                let sizes = types
                    .sizes
                    .iter()
                    .filter_map(|(n, &v)| Some((n.clone(), u64::try_from(v).ok()?)))
                    .collect();
                let options = EinsumOptions {
                    acc: types.acc.map(|a| a.acc),
                    keeps: types.acc.and_then(|a| a.keeps),
                    out_dtype: types.out,
                    sizes,
                    ..Default::default()
                };
                einsum.nest(&operands, &options)
            }
        }
    }

    /// How many arrays a caller gives.
    ///
    /// # Errors
    /// The text does not parse.
    pub fn n_inputs(&self) -> Result<usize> {
        Ok(match self {
            Self::Nest(source) => inputs(&Nest::parse(source.clone())?).len(),
            Self::Formula(text) => {
                let given = |a: &&warploom_ir::nest::Array| is_input(&a.role);
                Formula::parse(text)?.arrays().iter().filter(given).count()
            }
            Self::Einsum(text) => Einsum::parse(text)?.inputs.len(),
        })
    }

    /// The sizes still to be bound after [`Self::nest`]: an einsum has used its own.
    #[must_use]
    pub fn remaining_sizes(&self, types: &SpecTypes) -> Sizes {
        match self {
            Self::Nest(_) => types.sizes.clone(),
            Self::Formula(text) => {
                // an index `m` is sized by the parameter `M`; both names are accepted
                let sizes = Formula::parse(text).map(|f| f.sizes().clone()).unwrap_or_default();
                let param = |name: &Name| sizes.get(name).unwrap_or(name).clone();
                types.sizes.iter().map(|(name, &value)| (param(name), value)).collect()
            }
            Self::Einsum(_) => Sizes::new(),
        }
    }
}

/// Names of the arrays a caller gives, in order of declaration.
#[must_use]
pub fn inputs(nest: &Nest) -> Vec<Name> {
    named(nest, is_input)
}

const fn is_input(role: &Role) -> bool {
    matches!(role, Role::In | Role::InOut)
}

/// Names of the arrays a caller gets back, in order of declaration.
#[must_use]
pub fn outputs(nest: &Nest) -> Vec<Name> {
    named(nest, |role| matches!(role, Role::Out | Role::InOut))
}

fn named(nest: &Nest, wanted: impl Fn(&Role) -> bool) -> Vec<Name> {
    nest.arrays.iter().filter(|a| wanted(&a.role)).map(|a| a.name.clone()).collect()
}
