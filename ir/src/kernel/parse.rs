//! The parser of the text form of a kernel.
//!
//! In: a text. Out: the kernel, or a diagnostic that points at the first place that does not read.
//! Keeps: syntax only; names and types are the verifier's business.

use std::str::FromStr;

use super::places::Places;
use super::print::{mode_word, rounding_word};
use super::{
    Buffer, Condition, Index, Kernel, KernelLoop, KernelNode, Local, LoopMode, Store, Typed,
    TypedKind,
};
use crate::affine::Name;
use crate::diag::{Diagnostic, Result, Source, Span};
use crate::dtype::DType;
use crate::expr::{BinOp, Literal, Rounding, UnOp};
use crate::lex::{Cursor, Tok};
use crate::nest::{AssignOp, Order, Role};
use crate::target::Place;

impl Kernel {
    /// Reads a `.kernel` text.
    ///
    /// # Errors
    /// `E0101` to `E0104`: the text is no kernel.
    pub fn parse(source: &Source) -> Result<Self> {
        Self::parse_from(Cursor::new(source, true)?)
    }

    /// Reads a `.kernel` text, and where its parts stand in it.
    ///
    /// # Errors
    /// As [`Kernel::parse`].
    pub fn parse_places(source: &Source) -> Result<(Self, Places)> {
        let mut parser = Parser(Cursor::new(source, true)?, Places::default());
        let kernel = parser.kernel()?;
        Ok((kernel, parser.1))
    }

    /// Reads the rest of a text.
    pub(crate) fn parse_from(cursor: Cursor) -> Result<Self> {
        Parser(cursor, Places::default()).kernel()
    }
}

impl FromStr for Kernel {
    type Err = Box<Diagnostic>;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(&Source::new("", text))
    }
}

/// Reads kernels, token by token.
pub(super) struct Parser(Cursor, Places);

impl std::ops::Deref for Parser {
    type Target = Cursor;

    fn deref(&self) -> &Cursor {
        &self.0
    }
}

impl std::ops::DerefMut for Parser {
    fn deref_mut(&mut self) -> &mut Cursor {
        &mut self.0
    }
}

impl Parser {
    /// Items between commas up to `close`.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        item: fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        while !self.0.eat(close) {
            if !out.is_empty() {
                self.0.expect(",")?;
            }
            out.push(item(self)?);
        }
        Ok(out)
    }

    pub(super) fn name(&mut self) -> Result<Name> {
        Ok(self.0.ident("a name")?.0)
    }

    /// Whether a name and then this operator come next.
    pub(super) fn at_name_then(&self, p: &str) -> bool {
        matches!(self.0.peek(), Tok::Ident(_))
            && matches!(self.0.peek_at(1), Tok::Punct(q) if *q == p)
    }

    fn kernel(&mut self) -> Result<Kernel> {
        self.0.expect_word("kernel")?;
        let name = self.name()?;
        self.0.expect("(")?;
        let params = self.list(")", Self::name)?;
        self.0.expect("{")?;
        let mut buffers = Vec::new();
        while let Some(role) = self.role() {
            buffers.push(self.buffer(role)?);
        }
        let body = self.nodes()?;
        if *self.0.peek() != Tok::End {
            return Err(self.0.unexpected("the end of the text"));
        }
        Ok(Kernel { name, params, buffers, body })
    }

    fn role(&mut self) -> Option<Role> {
        if self.at_name_then(":") {
            return None;
        }
        let roles = [
            ("in", Role::In),
            ("out", Role::Out),
            ("inout", Role::InOut),
            ("temp", Role::Temp),
            ("const", Role::Const(Vec::new())),
        ];
        roles.into_iter().find(|(word, _)| self.0.eat_word(word)).map(|(_, role)| role)
    }

    fn buffer(&mut self, mut role: Role) -> Result<Buffer> {
        let name = self.place_name()?;
        self.0.expect(":")?;
        let dtype = self.dtype()?;
        self.0.expect("[")?;
        let shape = self.list("]", Self::index)?;
        let of = if self.at_name_then("[") && self.0.eat_word("of") {
            self.0.expect("[")?;
            Some(self.list("]", |p| p.0.integer("an extent"))?)
        } else {
            None
        };
        if let Role::Const(values) = &mut role {
            self.0.expect("=")?;
            self.0.expect("[")?;
            *values = self.list("]", Self::number)?;
        }
        Ok(Buffer { name, role, dtype, shape, of })
    }

    /// A name that is declared here.
    pub(super) fn place_name(&mut self) -> Result<Name> {
        let start = self.0.span();
        let name = self.name()?;
        self.1.add(name.to_string(), start);
        Ok(name)
    }

    /// What was read since `start` goes by this name.
    pub(super) fn placed(&mut self, name: String, start: Span) {
        let whole = start.to(self.0.last_span());
        self.1.add(name, whole);
    }

    pub(super) fn dtype(&mut self) -> Result<DType> {
        let wrong = self.0.unexpected("a type");
        let (name, _) = self.0.ident("a type")?;
        name.parse().map_err(|_| wrong)
    }

    /// The nodes up to a closing brace.
    pub(super) fn nodes(&mut self) -> Result<Vec<KernelNode>> {
        self.0.enter()?;
        let mut out = Vec::new();
        while !self.0.eat("}") {
            out.push(self.node()?);
        }
        self.0.leave();
        Ok(out)
    }

    fn node(&mut self) -> Result<KernelNode> {
        if self.at_name_then(":") {
            let start = self.0.span();
            let store = self.store()?;
            self.placed(store.statement.to_string(), start);
            return Ok(KernelNode::Store(store));
        }
        if self.0.eat_word("if") {
            let c = self.condition()?;
            self.0.expect("{")?;
            let then = self.nodes()?;
            let mut otherwise = Vec::new();
            if self.0.at_word("else") && matches!(self.0.peek_at(1), Tok::Punct("{")) {
                self.0.bump();
                self.0.expect("{")?;
                otherwise = self.nodes()?;
            }
            return Ok(KernelNode::If(c, then, otherwise));
        }
        if self.0.eat_word("for") {
            return self.run_loop();
        }
        if self.0.eat_word("local") {
            return Ok(KernelNode::Local(self.local()?));
        }
        if let Some(node) = self.device()? {
            return Ok(node.into());
        }
        Err(self.0.unexpected("`for`, `if`, `local`, a statement or `}`"))
    }

    fn local(&mut self) -> Result<Local> {
        let name = self.place_name()?;
        self.0.expect(":")?;
        let dtype = self.dtype()?;
        self.0.expect("[")?;
        let shape = self.list("]", |p| p.0.integer("an extent"))?;
        let mut across = Vec::new();
        if self.0.eat_word("across") {
            across.push(self.place()?);
            while self.0.eat(",") {
                across.push(self.place()?);
            }
        }
        self.0.expect("{")?;
        Ok(Local { name, dtype, shape, across, body: self.nodes()? })
    }

    fn place(&mut self) -> Result<Place> {
        let found = Place::ALL.into_iter().find(|p| self.0.eat_word(p.name()));
        found.ok_or_else(|| self.0.unexpected("a place such as `thread.x`"))
    }

    fn run_loop(&mut self) -> Result<KernelNode> {
        let elements = self.at_elements();
        let var = self.place_name()?;
        if elements {
            return self.elements(var);
        }
        self.0.expect_word("in")?;
        let lower = self.index()?;
        self.0.expect("..")?;
        let upper = self.index()?;
        if self.0.eat_word("warps") {
            return self.teams(var, &lower, &upper);
        }
        if self.0.eat_word("cluster") {
            return self.cluster(var, &lower, &upper);
        }
        let step = if self.0.eat_word("step") { self.0.integer("a step")? } else { 1 };
        let modes = [LoopMode::Parallel, LoopMode::Vector, LoopMode::Unroll].into_iter();
        let mut modes = modes.chain(Place::ALL.map(LoopMode::Mapped));
        let mode = modes.find(|m| self.0.eat_word(mode_word(*m))).unwrap_or_default();
        let label = if self.0.eat_word("label") { self.name()? } else { var.clone() };
        self.0.expect("{")?;
        let body = self.nodes()?;
        Ok(KernelNode::Loop(KernelLoop { var, label, lower, upper, step, mode, body }))
    }

    fn store(&mut self) -> Result<Store<Index>> {
        let statement = self.name()?;
        self.0.expect(":")?;
        let array = self.name()?;
        self.0.expect("[")?;
        let indices = self.list("]", Self::index)?;
        self.0.expect(":")?;
        let dtype = self.dtype()?;
        let op = self.assign_op()?;
        let value = self.typed()?;
        let guard = if self.0.eat_word("when") { Some(self.typed()?) } else { None };
        self.0.expect_word("order")?;
        let orders = [Order::Serial, Order::Fixed, Order::Any, Order::Exact];
        let order = orders
            .into_iter()
            .find(|o| self.0.eat_word(o.text()))
            .ok_or_else(|| self.0.unexpected("`serial`, `fixed`, `any` or `exact`"))?;
        let strict = !self.at_name_then(":") && self.0.eat_word("strict");
        Ok(Store { statement, array, dtype, indices, op, value, guard, order, strict })
    }

    fn assign_op(&mut self) -> Result<AssignOp> {
        for op in [AssignOp::Set, AssignOp::Add, AssignOp::Mul] {
            if self.0.eat(op.text()) {
                return Ok(op);
            }
        }
        for (word, op) in [("min", AssignOp::Min), ("max", AssignOp::Max)] {
            if self.0.eat_word(word) {
                self.0.expect("=")?;
                return Ok(op);
            }
        }
        Err(self.0.unexpected("`=`, `+=`, `*=`, `min=` or `max=`"))
    }

    pub(super) fn index(&mut self) -> Result<Index> {
        self.0.enter()?;
        let mut out = self.factor()?;
        loop {
            if self.0.eat("+") {
                out = Index::Add(Box::new(out), Box::new(self.factor()?));
            } else if self.0.eat("-") {
                out = Index::Sub(Box::new(out), Box::new(self.factor()?));
            } else {
                self.0.leave();
                return Ok(out);
            }
        }
    }

    fn factor(&mut self) -> Result<Index> {
        if self.0.eat("(") {
            let out = self.index()?;
            self.0.expect(")")?;
            return Ok(out);
        }
        if !matches!(self.0.peek(), Tok::Ident(_)) {
            let value = self.0.integer("an index")?;
            if !self.0.eat("*") {
                return Ok(Index::Const(value));
            }
            self.0.enter()?;
            let of = self.factor()?;
            self.0.leave();
            return Ok(Index::Mul(value, Box::new(of)));
        }
        let name = self.name()?;
        if !self.0.eat("(") {
            return Ok(Index::Var(name));
        }
        let out = match &*name {
            "floordiv" | "mod" => {
                let a = Box::new(self.index()?);
                self.0.expect(",")?;
                let d = self.0.integer("a divisor")?;
                if &*name == "mod" { Index::Mod(a, d) } else { Index::FloorDiv(a, d) }
            }
            "min" | "max" => {
                let (a, b) = self.two()?;
                if &*name == "min" { Index::Min(a, b) } else { Index::Max(a, b) }
            }
            "select" => {
                let c = Box::new(self.condition()?);
                self.0.expect(",")?;
                let (a, b) = self.two()?;
                Index::Select(c, a, b)
            }
            _ => return Err(self.0.unexpected("an index function before `(`")),
        };
        self.0.expect(")")?;
        Ok(out)
    }

    fn two(&mut self) -> Result<(Box<Index>, Box<Index>)> {
        let a = self.index()?;
        self.0.expect(",")?;
        Ok((Box::new(a), Box::new(self.index()?)))
    }

    fn condition(&mut self) -> Result<Condition> {
        if self.at_name_then("(") && (self.0.at_word("all") || self.0.at_word("any")) {
            self.0.enter()?;
            let all = self.0.eat_word("all");
            if !all {
                self.0.bump();
            }
            self.0.expect("(")?;
            let parts = self.list(")", Self::condition)?;
            self.0.leave();
            return Ok(if all { Condition::All(parts) } else { Condition::Any(parts) });
        }
        let a = self.index()?;
        if self.0.eat(">=") {
            return Ok(Condition::Ge(a, self.index()?));
        }
        self.0.expect("==")?;
        Ok(Condition::Eq(a, self.index()?))
    }

    /// A literal without its type.
    fn number(&mut self) -> Result<Literal> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.0.eat_word(word) {
                return Ok(Literal::Bool(value));
            }
        }
        if self.0.eat_word("bits") {
            self.0.expect("(")?;
            let bits = match *self.0.peek() {
                Tok::Hex(v) => v,
                Tok::Ident(_) | Tok::Int(_) | Tok::Float(_) | Tok::Punct(_) | Tok::End => {
                    return Err(self.0.unexpected("a hexadecimal pattern"));
                }
            };
            self.0.bump();
            self.0.expect(")")?;
            return Ok(Literal::Float(f64::from_bits(bits)));
        }
        let ahead = usize::from(self.0.at_punct("-"));
        if let Tok::Float(v) = *self.0.peek_at(ahead) {
            self.0.bump();
            if ahead == 1 {
                self.0.bump();
            }
            return Ok(Literal::Float(if ahead == 1 { -v } else { v }));
        }
        Ok(Literal::Int(self.0.integer("a number")?))
    }

    pub(super) fn typed(&mut self) -> Result<Typed<Index>> {
        self.0.enter()?;
        let out = if self.at_name_then("[") {
            self.read()?
        } else if self.at_name_then("(") && !self.0.at_word("bits") {
            self.call()?
        } else {
            let value = self.number()?;
            self.0.expect(":")?;
            Typed { dtype: self.dtype()?, kind: TypedKind::Literal(value) }
        };
        self.0.leave();
        Ok(out)
    }

    fn read(&mut self) -> Result<Typed<Index>> {
        let array = self.name()?;
        self.0.expect("[")?;
        let indices = self.list("]", Self::index)?;
        self.0.expect(":")?;
        Ok(Typed { dtype: self.dtype()?, kind: TypedKind::Read { array, indices } })
    }

    fn call(&mut self) -> Result<Typed<Index>> {
        let wrong = self.0.unexpected("an operator with its type, such as `add.f32`");
        let (word, _) = self.0.ident("an operator")?;
        let (op, rest) = word.split_once('.').ok_or_else(|| wrong.clone())?;
        let (name, suffix) = rest.split_once('.').map_or((rest, ""), |(t, s)| (t, s));
        let dtype: DType = name.parse().map_err(|_| wrong.clone())?;
        self.0.expect("(")?;
        if op == "index" {
            let kind = TypedKind::Index(self.index()?);
            self.0.expect(")")?;
            return Ok(Typed { dtype, kind });
        }
        let args: Vec<Box<Typed<Index>>> =
            self.list(")", Self::typed)?.into_iter().map(Box::new).collect();
        let kind = match <[_; 1]>::try_from(args) {
            Ok([a]) => one(op, suffix, a),
            Err(args) => match <[_; 2]>::try_from(args) {
                Ok([a, b]) => BinOp::from_name(op).map(|o| TypedKind::Binary(o, a, b)),
                Err(args) => match (<[_; 3]>::try_from(args), op) {
                    (Ok([a, b, c]), "fma") => Some(TypedKind::Fma(a, b, c)),
                    (Ok([a, b, c]), "select") => Some(TypedKind::Select(a, b, c)),
                    (_, _) => None,
                },
            },
        };
        let known = kind.filter(|k| suffix.is_empty() || matches!(k, TypedKind::Convert { .. }));
        known.map(|kind| Typed { dtype, kind }).ok_or(wrong)
    }
}

/// An operator of one operand, or a conversion with its suffix (without the leading point).
fn one(op: &str, suffix: &str, a: Box<Typed<Index>>) -> Option<TypedKind<Index>> {
    match op {
        "bitcast" => Some(TypedKind::Bitcast(a)),
        "cast" => {
            for rounding in Rounding::ALL {
                for saturate in [false, true] {
                    let sat = if saturate { ".sat" } else { "" };
                    let text = format!("{}{sat}", rounding_word(rounding));
                    if text.trim_start_matches('.') == suffix {
                        return Some(TypedKind::Convert { rounding, saturate, value: a });
                    }
                }
            }
            None
        }
        _ => UnOp::from_name(op).map(|o| TypedKind::Unary(o, a)),
    }
}

#[cfg(test)]
mod tests;
