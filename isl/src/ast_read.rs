//! Reading generated code as Rust enums.

use crate::ast::{AstExpr, AstNode, unknown};
use crate::ctx::Ctx;
use crate::error::Result;
use crate::handle::FromC;
use crate::space::Id;
use crate::sys;
use crate::val::Val;

/// What a statement is.
#[derive(Clone, Debug)]
pub enum AstNodeKind {
    /// A loop. For a degenerate one only `iterator`, `init` and `body` mean something, and `cond`
    /// and `inc` are `None`.
    For {
        /// The name of the iterator.
        iterator: String,
        /// The first value.
        init: AstExpr,
        /// The condition to go on.
        cond: Option<AstExpr>,
        /// The increment.
        inc: Option<AstExpr>,
        /// What is repeated.
        body: AstNode,
        /// True if it runs exactly once.
        degenerate: bool,
    },
    /// A condition.
    If {
        /// The condition.
        cond: AstExpr,
        /// If it holds.
        then: AstNode,
        /// If it does not.
        otherwise: Option<AstNode>,
    },
    /// Statements one after the other.
    Block(Vec<AstNode>),
    /// A mark of the schedule.
    Mark {
        /// Its name.
        id: String,
        /// What is marked.
        node: AstNode,
    },
    /// A statement instance, or what a callback made of it.
    User(AstExpr),
}

/// What an expression is.
#[derive(Clone, Debug)]
pub enum AstExprKind {
    /// An iterator, a parameter, a statement or an array.
    Id(String),
    /// A number.
    Int(i64),
    /// An operation.
    Op {
        /// Which.
        op: AstOp,
        /// On what.
        args: Vec<AstExpr>,
    },
}

/// An operation of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AstOp {
    /// Both, evaluated in any case.
    And,
    /// Both, the right one only if the left holds.
    AndThen,
    /// One of both, evaluated in any case.
    Or,
    /// One of both, the right one only if the left does not hold.
    OrElse,
    /// The greatest of two or more.
    Max,
    /// The least of two or more.
    Min,
    /// Negation.
    Minus,
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Division without remainder.
    Div,
    /// Division rounded down.
    FdivQ,
    /// Quotient of a dividend that is not negative.
    PdivQ,
    /// Remainder of a dividend that is not negative.
    PdivR,
    /// A remainder that is only compared with zero.
    ZdivR,
    /// `a ? b : c`, only one of them evaluated.
    Cond,
    /// `a ? b : c`, both may be evaluated.
    Select,
    /// Equal.
    Eq,
    /// At most.
    Le,
    /// Less.
    Lt,
    /// At least.
    Ge,
    /// Greater.
    Gt,
    /// A call: the function, then its arguments.
    Call,
    /// An access: the array, then its indices.
    Access,
    /// A member of a structure.
    Member,
    /// The address.
    AddressOf,
}

/// All operations in the order of isl's enumeration.
const OPS: [AstOp; 26] = [
    AstOp::And,
    AstOp::AndThen,
    AstOp::Or,
    AstOp::OrElse,
    AstOp::Max,
    AstOp::Min,
    AstOp::Minus,
    AstOp::Add,
    AstOp::Sub,
    AstOp::Mul,
    AstOp::Div,
    AstOp::FdivQ,
    AstOp::PdivQ,
    AstOp::PdivR,
    AstOp::ZdivR,
    AstOp::Cond,
    AstOp::Select,
    AstOp::Eq,
    AstOp::Le,
    AstOp::Lt,
    AstOp::Ge,
    AstOp::Gt,
    AstOp::Call,
    AstOp::Access,
    AstOp::Member,
    AstOp::AddressOf,
];

impl FromC<sys::Enum> for AstOp {
    fn from_c(answer: sys::Enum, ctx: &Ctx, call: &'static str) -> Result<AstOp> {
        let code = usize::try_from(answer.0).map_err(|_| ctx.take_error(call))?;
        OPS.get(code).copied().ok_or_else(|| unknown(call, answer.0))
    }
}

/// A raw enumeration, to be matched by the caller.
impl FromC<sys::Enum> for i32 {
    fn from_c(answer: sys::Enum, ctx: &Ctx, call: &'static str) -> Result<i32> {
        if answer.0 < 0 { Err(ctx.take_error(call)) } else { Ok(answer.0) }
    }
}

methods! { AstNode {
    priv fn code(&self) -> i32 = isl_ast_node_get_type;
    priv fn for_iterator(&self) -> AstExpr = isl_ast_node_for_get_iterator;
    priv fn for_init(&self) -> AstExpr = isl_ast_node_for_get_init;
    priv fn for_cond(&self) -> AstExpr = isl_ast_node_for_get_cond;
    priv fn for_inc(&self) -> AstExpr = isl_ast_node_for_get_inc;
    priv fn for_body(&self) -> AstNode = isl_ast_node_for_get_body;
    priv fn for_is_degenerate(&self) -> bool = isl_ast_node_for_is_degenerate;
    priv fn if_cond(&self) -> AstExpr = isl_ast_node_if_get_cond;
    priv fn if_then(&self) -> AstNode = isl_ast_node_if_get_then_node;
    priv fn if_has_else(&self) -> bool = isl_ast_node_if_has_else_node;
    priv fn if_else(&self) -> AstNode = isl_ast_node_if_get_else_node;
    priv fn block_children(&self) -> Vec<AstNode> = isl_ast_node_block_get_children;
    priv fn mark_id(&self) -> Id = isl_ast_node_mark_get_id;
    priv fn mark_node(&self) -> AstNode = isl_ast_node_mark_get_node;
    priv fn user_expr(&self) -> AstExpr = isl_ast_node_user_get_expr;
} }

impl AstNode {
    /// What the statement is, with its parts.
    pub fn kind(&self) -> Result<AstNodeKind> {
        Ok(match self.code()? {
            1 => self.read_for()?,
            2 => AstNodeKind::If {
                cond: self.if_cond()?,
                then: self.if_then()?,
                otherwise: if self.if_has_else()? { Some(self.if_else()?) } else { None },
            },
            3 => AstNodeKind::Block(self.block_children()?),
            4 => AstNodeKind::Mark { id: self.mark_id()?.name()?, node: self.mark_node()? },
            5 => AstNodeKind::User(self.user_expr()?),
            code => return Err(unknown("isl_ast_node_get_type", code)),
        })
    }

    fn read_for(&self) -> Result<AstNodeKind> {
        let degenerate = self.for_is_degenerate()?;
        let repeated = |part: fn(&AstNode) -> Result<AstExpr>| {
            if degenerate { Ok(None) } else { part(self).map(Some) }
        };
        Ok(AstNodeKind::For {
            iterator: self.for_iterator()?.id()?.name()?,
            init: self.for_init()?,
            cond: repeated(AstNode::for_cond)?,
            inc: repeated(AstNode::for_inc)?,
            body: self.for_body()?,
            degenerate,
        })
    }
}

methods! { AstExpr {
    priv fn code(&self) -> i32 = isl_ast_expr_get_type;
    priv fn id(&self) -> Id = isl_ast_expr_id_get_id;
    priv fn int_val(&self) -> Val = isl_ast_expr_int_get_val;
    priv fn op(&self) -> AstOp = isl_ast_expr_op_get_type;
    priv fn n_arg(&self) -> usize = isl_ast_expr_op_get_n_arg;
    priv fn arg(&self, pos: usize) -> AstExpr = isl_ast_expr_op_get_arg;
} }

impl AstExpr {
    /// What the expression is, with its parts; a number beyond `i64` is an error.
    pub fn kind(&self) -> Result<AstExprKind> {
        Ok(match self.code()? {
            0 => {
                let args: Result<Vec<AstExpr>> = (0..self.n_arg()?).map(|i| self.arg(i)).collect();
                AstExprKind::Op { op: self.op()?, args: args? }
            }
            1 => AstExprKind::Id(self.id()?.name()?),
            2 => AstExprKind::Int(self.int_val()?.to_i64()?),
            code => return Err(unknown("isl_ast_expr_get_type", code)),
        })
    }
}
