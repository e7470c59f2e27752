//! A resolved einsum as a nest.
//!
//! In: axes, types and options. Out: one loop nest per contraction: output axes outside, reduced
//! axes inside in order of first appearance, `S0: T = 0`, `S1: T += product`.
//! Keeps: names are free of clashes: iterators are single letters or `e<n>`, arrays are capital
//! letters that no label uses, or longer words.

use super::axes::{Axes, Axis, Extent};
use super::plan::{self, Mask, Step};
use super::types::Types;
use super::{Einsum, EinsumOptions, OperandType};
use crate::affine::{Affine, Name};
use crate::diag::{Result, Span};
use crate::dtype::DType;
use crate::expr::{Access, BinOp, Expr, Literal, Rounding};
use crate::nest::{Array, AssignOp, Keeps, Loop, Nest, Node, Order, Param, Role, Statement};

/// A value to be multiplied: an operand or a temporary, with its index expressions.
#[derive(Clone)]
struct Factor {
    array: Name,
    dtype: DType,
    indices: Vec<Affine>,
    mask: Mask,
    span: Span,
}

/// Where a contraction goes.
struct Target {
    array: Name,
    dtype: DType,
    axes: Vec<usize>,
}

struct Builder<'a> {
    axes: &'a Axes,
    types: Types,
    order: Order,
    keeps: Option<Keeps>,
    span: Span,
    nest: Nest,
    n_statements: usize,
}

pub(super) fn lower(
    einsum: &Einsum,
    operands: &[OperandType],
    axes: &Axes,
    types: Types,
    options: &EinsumOptions,
) -> Result<Nest> {
    let nest = Nest { source: einsum.source.clone(), ..Nest::default() };
    let span = Span::new(0, einsum.source.text.len());
    let (order, keeps) = (options.order, options.keeps);
    let mut builder = Builder { axes, types, order, keeps, span, nest, n_statements: 0 };
    builder.declare_params();
    let mut values = builder.declare_inputs(einsum, operands);
    let output = mask_of(axes.output.iter().copied());
    let masks: Vec<Mask> = values.iter().map(|f| f.mask).collect();
    let sizes = axes.known().filter(|_| options.order != Order::Serial);
    let steps = sizes.and_then(|sizes| plan::plan(&masks, output, &sizes));
    let out = Target { array: "Out".into(), dtype: types.out, axes: axes.output.clone() };
    builder.declare(&out, Role::Out, einsum.output.span);
    match steps {
        None => builder.contract(&out, &values),
        Some(steps) => builder.contract_in_steps(out, &mut values, &steps),
    }
    Ok(builder.nest)
}

fn mask_of(axes: impl Iterator<Item = usize>) -> Mask {
    axes.fold(0, |mask, axis| mask | 1 << axis)
}

fn axes_in(mask: Mask) -> impl Iterator<Item = usize> {
    (0..64).filter(move |axis| mask >> axis & 1 == 1)
}

impl Builder<'_> {
    fn axis(&self, index: usize) -> &Axis {
        &self.axes.all[index]
    }

    fn declare_params(&mut self) {
        for axis in &self.axes.all {
            if let Extent::Symbolic(name) = &axis.extent {
                let param = Param { name: name.clone(), value: None, span: Span::NONE };
                self.nest.params.push(param);
            }
        }
    }

    fn declare_inputs(&mut self, einsum: &Einsum, operands: &[OperandType]) -> Vec<Factor> {
        let is_label = |c: char| self.axes.all.iter().any(|a| a.name.chars().eq([c]));
        let mut letters = ('A'..='Z').filter(|&c| !is_label(c));
        let names: Vec<Name> = (0..operands.len())
            .map(|i| letters.next().map_or_else(|| format!("in{i}"), |c| c.to_string()).into())
            .collect();
        let mut values = Vec::new();
        for (i, (operand, name)) in operands.iter().zip(names).enumerate() {
            let indexed = &self.axes.operands[i];
            let index = |axis: &Option<usize>| match axis {
                Some(axis) => Affine::var(self.axis(*axis).name.clone()),
                None => Affine::constant(0),
            };
            let indices = indexed.iter().map(index).collect();
            let mask = mask_of(indexed.iter().flatten().copied());
            let (dtype, span) = (operand.dtype, einsum.inputs[i].span);
            let shape = self.axes.shapes[i].iter().map(Extent::affine).collect();
            let array = Array { name: name.clone(), role: Role::In, dtype, shape, span };
            self.nest.arrays.push(array);
            values.push(Factor { array: name, dtype, indices, mask, span });
        }
        values
    }

    fn declare(&mut self, target: &Target, role: Role, span: Span) {
        let shape = target.axes.iter().map(|&a| self.axis(a).extent.affine()).collect();
        let (name, dtype) = (target.array.clone(), target.dtype);
        self.nest.arrays.push(Array { name, role, dtype, shape, span });
    }

    fn contract_in_steps(&mut self, out: Target, values: &mut Vec<Factor>, steps: &[Step]) {
        let mut out = Some(out);
        for (i, step) in steps.iter().enumerate() {
            let factors: Vec<Factor> = step.inputs.iter().map(|&v| values[v].clone()).collect();
            let target = match out.take_if(|_| i + 1 == steps.len()) {
                Some(out) => out,
                None => {
                    let axes = axes_in(step.result).collect();
                    let array = Name::from(format!("Tmp{i}"));
                    let tmp = Target { array, dtype: self.types.acc, axes };
                    self.declare(&tmp, Role::Temp, self.span);
                    tmp
                }
            };
            self.contract(&target, &factors);
            values.push(Factor {
                indices: self.indices(&target.axes),
                array: target.array,
                dtype: target.dtype,
                mask: step.result,
                span: self.span,
            });
        }
    }

    fn indices(&self, axes: &[usize]) -> Vec<Affine> {
        axes.iter().map(|&a| Affine::var(self.axis(a).name.clone())).collect()
    }

    /// Appends the loops that set `target` to the sum of products of `factors`.
    fn contract(&mut self, target: &Target, factors: &[Factor]) {
        let present = factors.iter().fold(0, |mask, f| mask | f.mask);
        let kept = mask_of(target.axes.iter().copied());
        let reduced: Vec<usize> = axes_in(present & !kept).collect();
        let mut body = Vec::new();
        if reduced.is_empty() {
            let (value, acc) = match factors {
                [single] => (stored(read(single), single.dtype, target.dtype), None),
                _ => {
                    let acc = self.types.acc;
                    let value = stored(self.product(factors), acc, target.dtype);
                    let is_cast = matches!(value, Expr::Cast { .. });
                    (value, (!is_cast).then_some(acc))
                }
            };
            body.push(self.assign(target, AssignOp::Set, value, acc));
        } else if target.dtype == self.types.acc {
            self.sum(&mut body, target, factors, &reduced);
        } else {
            let (array, dtype) = (Name::from("Acc"), self.types.acc);
            let acc = Target { array, dtype, axes: target.axes.clone() };
            self.declare(&acc, Role::Temp, self.span);
            self.sum(&mut body, &acc, factors, &reduced);
            let sum = Factor {
                array: acc.array,
                dtype: acc.dtype,
                indices: self.indices(&acc.axes),
                mask: kept,
                span: self.span,
            };
            let value = stored(read(&sum), acc.dtype, target.dtype);
            body.push(self.assign(target, AssignOp::Set, value, None));
        }
        let nested = self.wrap(body, &target.axes);
        self.nest.body.extend(nested);
    }

    /// `target = 0` and the loops that add products to it.
    fn sum(
        &mut self,
        body: &mut Vec<Node>,
        target: &Target,
        factors: &[Factor],
        reduced: &[usize],
    ) {
        let (zero, op) = if target.dtype == DType::Bool {
            (Literal::Bool(false), AssignOp::Max)
        } else if target.dtype.is_float() {
            (Literal::Float(0.0), AssignOp::Add)
        } else {
            (Literal::Int(0), AssignOp::Add)
        };
        body.push(self.assign(target, AssignOp::Set, Expr::Literal(zero), None));
        let value = self.product(factors);
        let update = self.assign(target, op, value, Some(self.types.acc));
        body.extend(self.wrap(vec![update], reduced));
    }

    /// The product of all factors in the accumulation type.
    fn product(&self, factors: &[Factor]) -> Expr {
        let acc = self.types.acc;
        let op = if acc == DType::Bool { BinOp::And } else { BinOp::Mul };
        // alone, a product has the type its factors join to: where that does not become `acc`, or
        // is narrower and wraps, the first factor brings `acc`
        let joined = factors.iter().try_fold(DType::Bool, |t, f| {
            let dtype = if f.dtype.widens_to(acc) { f.dtype.compute_type() } else { acc };
            t.join(dtype)
        });
        let fits = joined.is_some_and(|t| t == acc || (acc.is_float() && t.widens_to(acc)));
        let only_bools = joined == Some(DType::Bool) && acc != DType::Bool;
        let lift = factors.len() > 1 && (!fits || only_bools);
        let terms = factors.iter().enumerate().map(|(i, f)| {
            let lifted = lift && i == 0 && f.dtype != acc;
            if lifted { cast(read(f), acc) } else { convert(read(f), f.dtype, acc) }
        });
        let product = terms.reduce(|a, b| Expr::Binary(op, Box::new(a), Box::new(b)));
        product.unwrap_or(Expr::Literal(Literal::Int(1)))
    }

    fn assign(&mut self, target: &Target, op: AssignOp, value: Expr, acc: Option<DType>) -> Node {
        let name = Name::from(format!("S{}", self.n_statements));
        self.n_statements += 1;
        let indices = self.indices(&target.axes);
        let target_access = Access { array: target.array.clone(), indices, span: self.span };
        let default = target.dtype.compute_type();
        Node::Statement(Statement {
            acc: acc.filter(|&acc| acc != default),
            keeps: self.keeps.filter(|_| op == AssignOp::Add),
            order: if op.is_update() { self.order } else { Order::Serial },
            span: self.span,
            ..Statement::plain(name, target_access, op, value)
        })
    }

    /// `body` inside loops over `axes`, the first outermost.
    fn wrap(&self, body: Vec<Node>, axes: &[usize]) -> Vec<Node> {
        axes.iter().rev().fold(body, |body, &index| {
            let axis = self.axis(index);
            vec![Node::Loop(Loop {
                var: axis.name.clone(),
                lower: vec![Affine::constant(0)],
                upper: vec![axis.extent.affine()],
                step: 1,
                descending: false,
                body,
                span: self.span,
            })]
        })
    }
}

fn read(factor: &Factor) -> Expr {
    Expr::Read(Access {
        array: factor.array.clone(),
        indices: factor.indices.clone(),
        span: factor.span,
    })
}

/// `value` of type `from` as `to`: with a cast where that is not exact.
fn convert(value: Expr, from: DType, to: DType) -> Expr {
    if from.widens_to(to) { value } else { cast(value, to) }
}

/// `value` of type `from`, to be stored as `to`: a store rounds floats by itself.
fn stored(value: Expr, from: DType, to: DType) -> Expr {
    if from.is_float() && to.is_float() { value } else { convert(value, from, to) }
}

fn cast(value: Expr, to: DType) -> Expr {
    Expr::Cast { to, rounding: Rounding::Nearest, saturate: false, value: Box::new(value) }
}
