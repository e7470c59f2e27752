//! Builds nests from Rust.
//!
//! In: declarations and nodes. Out: a [`Nest`] that passed the checks of the text form
//! ([`Nest::validate`]). Statements without a name are named S0, S1, …

use super::names::name_statements;
use super::{Array, AssignOp, Constraint, Loop, Nest, Node, Param, Role, Statement, ValueRange};
use crate::affine::{Affine, Name};
use crate::diag::{Result, Source, Span};
use crate::dtype::DType;
use crate::expr::{Access, Expr, Literal};

/// Collects a nest's parts; see [`NestBuilder::build`].
#[derive(Clone, Debug, Default)]
pub struct NestBuilder {
    nest: Nest,
}

impl NestBuilder {
    /// An empty nest.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a size, fixed or given at run time.
    #[must_use]
    pub fn param(mut self, name: impl Into<Name>, value: Option<i64>) -> Self {
        self.nest.params.push(Param { name: name.into(), value, span: Span::NONE });
        self
    }

    /// Declares an array; extents in elements, none for a scalar.
    #[must_use]
    pub fn array(
        mut self,
        role: Role,
        name: impl Into<Name>,
        dtype: DType,
        shape: impl Into<Vec<Affine>>,
    ) -> Self {
        let (name, shape) = (name.into(), shape.into());
        self.nest.arrays.push(Array { name, role, dtype, shape, span: Span::NONE });
        self
    }

    /// States that every element of an array lies in `lower..=upper`.
    #[must_use]
    pub fn range(
        mut self,
        array: impl Into<Name>,
        lower: Literal,
        upper: Literal,
        integer: bool,
    ) -> Self {
        let (array, span) = (array.into(), Span::NONE);
        self.nest.ranges.push(ValueRange { array, lower, upper, integer, span });
        self
    }

    /// States a fact about the parameters.
    #[must_use]
    pub fn assume(mut self, fact: Constraint) -> Self {
        self.nest.assumptions.push(fact);
        self
    }

    /// Appends a loop, guard or statement at the top.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.nest.body.push(node);
        self
    }

    /// The nest.
    ///
    /// # Errors
    /// Those of [`Nest::validate`], pointing into the nest's printed text.
    pub fn build(mut self) -> Result<Nest> {
        name_statements(&mut self.nest.body, &Source::default())?;
        self.nest.validate()?;
        Ok(self.nest)
    }
}

/// The element of `array` at `indices`.
#[must_use]
pub fn at(array: impl Into<Name>, indices: impl Into<Vec<Affine>>) -> Access {
    Access { array: array.into(), indices: indices.into(), span: Span::NONE }
}

/// A loop `for var in 0..upper` around `body`.
#[must_use]
pub fn count(var: impl Into<Name>, upper: Affine, body: Vec<Node>) -> Node {
    Node::Loop(Loop {
        var: var.into(),
        lower: vec![Affine::constant(0)],
        upper: vec![upper],
        step: 1,
        descending: false,
        body,
        span: Span::NONE,
    })
}

/// An unnamed statement `target op value` with every clause at its default.
#[must_use]
pub fn assign(target: Access, op: AssignOp, value: Expr) -> Node {
    Node::Statement(Statement::plain("".into(), target, op, value))
}
