//! One-line formulas without declarations: `C[m,n] += A[m,k]*B[k,n]`.
//!
//! In: the text and the element types. Out: a [`Nest`] whose arrays, shapes and parameters are
//! inferred from the subscripts: an index alone gives a dimension its size, an affine subscript
//! such as `p + r` its greatest value plus one.
//! Keeps: indices that stand alone in the same dimension of one array share one size.

use std::collections::{BTreeMap, BTreeSet};

use super::expand::{Dim, Raw, expand_over};
use super::parse::Parser;
use super::{Array, AssignOp, Keeps, Nest, Param, Role};
use crate::affine::{Affine, Atom, Name};
use crate::diag::{Diagnostic, Result, Source, Span};
use crate::dtype::DType;
use crate::lex::Tok;

/// Element types of a formula's arrays.
#[derive(Clone, Debug)]
pub struct FormulaTypes {
    /// Inputs that `arrays` does not name.
    pub input: DType,
    /// Arrays by name, inputs or not.
    pub arrays: BTreeMap<Name, DType>,
    /// Accumulation type of every update; by default the target's compute type.
    pub acc: Option<DType>,
    /// What the additions of every sum may drop.
    pub keeps: Option<Keeps>,
    /// Outputs that `arrays` does not name; by default the smallest type that holds every input.
    pub out: Option<DType>,
}

impl FormulaTypes {
    /// Every array of one type.
    #[must_use]
    pub fn all(input: DType) -> Self {
        Self { input, arrays: BTreeMap::new(), acc: None, keeps: None, out: None }
    }
}

/// A parsed formula; its types are still open.
pub struct Formula {
    source: Source,
    text: Vec<Raw>,
    arrays: Vec<Array>,
    /// Parameter of every index.
    sizes: BTreeMap<Name, Name>,
}

impl Formula {
    /// Parses statements separated by `;`.
    ///
    /// # Errors
    /// `E01xx` and `E02xx` as for a nest; `E0213` when a size cannot be inferred.
    pub fn parse(text: &str) -> Result<Self> {
        let source = Source::new("formula", text);
        let mut parser = Parser::new(&source)?;
        parser.infer = true;
        let mut statements = Vec::new();
        while *parser.cur.peek() != Tok::End {
            parser.free = Some(Vec::new());
            statements.push(parser.statement()?);
            if !parser.cur.eat(";") && *parser.cur.peek() != Tok::End {
                return Err(parser.cur.unexpected("`;` or the end of the formula"));
            }
        }
        if statements.is_empty() {
            return Err(parser.cur.unexpected("a statement such as C[m,n] += A[m,k]*B[k,n]"));
        }
        let mut formula =
            Self { source, text: statements, arrays: parser.nest.arrays, sizes: BTreeMap::new() };
        formula.find_sizes()?;
        formula.find_shapes()?;
        formula.find_roles();
        Ok(formula)
    }

    /// The arrays with their roles and inferred shapes, in order of appearance; their element
    /// types have no meaning yet.
    #[must_use]
    pub fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    /// The parameter that gives each index its size: `m` is sized by `M`.
    #[must_use]
    pub const fn sizes(&self) -> &BTreeMap<Name, Name> {
        &self.sizes
    }

    /// The nest, with element types filled in.
    ///
    /// # Errors
    /// `E0212` for a reduction with `=`, `E0218` when the inputs' types have no common type and
    /// no output type is given.
    pub fn nest(&self, types: &FormulaTypes) -> Result<Nest> {
        let mut parser = Parser::new(&self.source)?;
        let used: BTreeSet<&Name> = self.sizes.values().collect();
        let params = used
            .into_iter()
            .map(|name| Param { name: name.clone(), value: None, span: Span::NONE })
            .collect();
        let arrays = self.typed(types)?;
        parser.nest = Nest { params, arrays, source: self.source.clone(), ..Nest::default() };
        let mut written = BTreeSet::new();
        let mut body = Vec::new();
        for raw in &self.text {
            let mut raw = raw.clone();
            let earlier = !written.insert(raw.target.array.clone());
            if raw.op.is_update() {
                raw.acc = raw.acc.or(types.acc);
            }
            if raw.op == AssignOp::Add {
                raw.keeps = raw.keeps.or(types.keeps);
            }
            let dims = raw
                .free
                .iter()
                .map(|(name, span)| Dim {
                    name: name.clone(),
                    extent: self.size(name),
                    span: *span,
                })
                .collect();
            body.extend(expand_over(&mut parser.nest, raw, earlier, dims)?);
        }
        parser.name_statements(&mut body)?;
        let nest = Nest { body, ..parser.nest };
        nest.validate()?;
        Ok(nest)
    }

    fn error(
        &self,
        code: &'static str,
        message: String,
        span: Span,
        help: &str,
    ) -> Box<Diagnostic> {
        let d = Diagnostic::input(code, message).in_source(&self.source).label(span, "");
        Box::new(d.help(help))
    }

    fn size(&self, index: &str) -> Affine {
        self.sizes.get(index).map_or_else(|| Affine::var(index), |p| Affine::var(p.clone()))
    }

    /// The subscripts of one dimension of one array, with their places.
    fn uses(&self, array: &str, dim: usize) -> Vec<(&Affine, Span)> {
        self.text
            .iter()
            .flat_map(Raw::accesses)
            .filter(|a| &*a.array == array)
            .filter_map(|a| Some((a.indices.get(dim)?, a.span)))
            .collect()
    }

    /// Gives every index a parameter; indices that share a dimension share it.
    fn find_sizes(&mut self) -> Result<()> {
        let mut same: BTreeMap<Name, Name> = BTreeMap::new();
        let mut spans: Vec<(Name, Span)> = Vec::new();
        for (name, span) in self.text.iter().flat_map(|raw| &raw.free) {
            if same.insert(name.clone(), name.clone()).is_none() {
                spans.push((name.clone(), *span));
            }
        }
        for array in &self.arrays {
            if let Some((_, span)) = spans.iter().find(|(n, _)| *n == array.name) {
                let message = format!("`{}` names an array and an index", array.name);
                return Err(self.error("E0203", message, *span, "rename the index"));
            }
            for dim in 0..array.shape.len() {
                let mut alone =
                    self.uses(&array.name, dim).into_iter().filter_map(|u| u.0.as_var());
                let Some(first) = alone.next().map(|n| same[n].clone()) else { continue };
                let others: BTreeSet<Name> = alone.map(|n| same[n].clone()).collect();
                for root in same.values_mut().filter(|root| others.contains(*root)) {
                    *root = first.clone();
                }
            }
        }
        let subscripts: BTreeSet<Name> = self
            .text
            .iter()
            .flat_map(Raw::accesses)
            .flat_map(|a| a.indices.iter().flat_map(Affine::vars))
            .collect();
        if let Some((name, span)) = spans.iter().find(|(n, _)| !subscripts.contains(n)) {
            let message = format!("the extent of index `{name}` cannot be told");
            return Err(self.error("E0210", message, *span, "a scalar input is written s[]"));
        }
        let mut taken: BTreeSet<Name> = self.arrays.iter().map(|a| a.name.clone()).collect();
        taken.extend(spans.iter().map(|(n, _)| n.clone()));
        for (name, _) in &spans {
            let root = same[name].clone();
            if !self.sizes.contains_key(&root) {
                let param = param_name(&root, &taken);
                taken.insert(param.clone());
                self.sizes.insert(root.clone(), param);
            }
            let param = self.sizes[&root].clone();
            self.sizes.insert(name.clone(), param);
        }
        Ok(())
    }

    fn find_shapes(&mut self) -> Result<()> {
        let mut shapes = Vec::new();
        for array in &self.arrays {
            let shape: Result<Vec<Affine>> =
                (0..array.shape.len()).map(|dim| self.extent(&array.name, dim)).collect();
            shapes.push(shape?);
        }
        for (array, shape) in self.arrays.iter_mut().zip(shapes) {
            array.shape = shape;
        }
        Ok(())
    }

    /// The greatest subscript of a dimension, plus one.
    fn extent(&self, array: &str, dim: usize) -> Result<Affine> {
        let mut found: Option<Affine> = None;
        for (index, span) in self.uses(array, dim) {
            let help = "write a .nest file with the array's shape";
            if least(index).is_none_or(|v| v < 0) {
                let message = format!("subscript {index} of `{array}` may be negative");
                return Err(self.error("E0213", message, span, help));
            }
            let Some(extent) = self.greatest(index).and_then(|e| e.add_const(1).ok()) else {
                let message = format!("the range of subscript {index} exceeds 64 bits");
                return Err(self.error("E0213", message, span, help));
            };
            found = match found {
                None => Some(extent),
                Some(old) => match extent.sub(&old).ok().and_then(|d| d.as_constant()) {
                    Some(d) => Some(if d > 0 { extent } else { old }),
                    None => {
                        let message = format!(
                            "dimension {dim} of `{array}` has size {old} and size {extent}"
                        );
                        return Err(self.error("E0213", message, span, help));
                    }
                },
            };
        }
        Ok(found.unwrap_or_else(|| Affine::constant(1)))
    }

    /// The greatest value of a subscript with non-negative coefficients.
    fn greatest(&self, index: &Affine) -> Option<Affine> {
        let mut sum = Affine::constant(index.constant_part());
        for (atom, coefficient) in index.terms() {
            let value = match atom {
                Atom::Var(name) => self.size(name).add_const(-1).ok()?,
                Atom::FloorDiv(e, d) => self.greatest(e)?.floor_div(*d).ok()?,
                Atom::Mod(_, d) => Affine::constant(*d - 1),
            };
            sum = sum.add(&value.scale(coefficient).ok()?).ok()?;
        }
        Some(sum)
    }

    fn find_roles(&mut self) {
        for array in &mut self.arrays {
            let of = |raw: &Raw| *raw.target.array == *array.name;
            let Some(first) = self.text.iter().position(of) else { continue };
            let last = self.text.iter().rposition(of).unwrap_or(first);
            let read = |raws: &[Raw]| {
                raws.iter().any(|r| r.accesses()[1..].iter().any(|a| a.array == array.name))
            };
            array.role = if read(&self.text[..=first]) {
                Role::InOut
            } else if read(&self.text[last + 1..]) {
                Role::Temp
            } else {
                Role::Out
            };
        }
    }

    fn typed(&self, types: &FormulaTypes) -> Result<Vec<Array>> {
        let given = |a: &Array| types.arrays.get(&a.name).copied();
        let mut common: Option<DType> = None;
        let reads_caller = |a: &&Array| matches!(a.role, Role::In | Role::InOut);
        for array in self.arrays.iter().filter(reads_caller) {
            let dtype = given(array).unwrap_or(types.input);
            let joined = common.map_or(Some(dtype), |c| c.join(dtype));
            if joined.is_none() && types.out.is_none() {
                let message = "the inputs' types have no common type".to_owned();
                return Err(self.error("E0218", message, array.span, "give the output's type"));
            }
            common = joined.or(common);
        }
        let common = common.unwrap_or(types.input);
        let typed = self.arrays.iter().map(|array| {
            let dtype = given(array).unwrap_or(match array.role {
                Role::In | Role::InOut | Role::Const(_) => types.input,
                Role::Out => types.out.unwrap_or(common),
                Role::Temp => types.acc.unwrap_or(common.compute_type()),
            });
            Array { dtype, ..array.clone() }
        });
        Ok(typed.collect())
    }
}

/// A lower bound of a subscript whose variables start at 0; `None` if it has none.
fn least(index: &Affine) -> Option<i64> {
    let mut sum = index.constant_part();
    for (atom, coefficient) in index.terms() {
        if coefficient < 0 {
            return None;
        }
        let value = match atom {
            Atom::Var(_) | Atom::Mod(..) => 0,
            Atom::FloorDiv(e, d) => least(e)?.div_euclid(*d),
        };
        sum = sum.checked_add(value.checked_mul(coefficient)?)?;
    }
    Some(sum)
}

/// The parameter of an index: its name in the other case, or with `_size` where that is taken.
fn param_name(index: &str, taken: &BTreeSet<Name>) -> Name {
    let upper = index.to_ascii_uppercase();
    let other = if upper == index { index.to_ascii_lowercase() } else { upper };
    if other != index && !taken.contains(other.as_str()) && !super::names::is_reserved(&other) {
        return other.into();
    }
    let mut name = format!("{index}_size");
    while taken.contains(name.as_str()) {
        name.push('_');
    }
    name.into()
}
