//! Parses the `.nest` text: declarations, facts, loops, guards and statements.
//!
//! In: a [`Source`]. Out: a [`Nest`] in which every name, rank and role has been checked.
//! Requires: names are declared before they are used. The grammar is in docs/nest-format.md.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use super::expand::{Raw, expand};
use super::names::{duplicate, is_reserved, name_statements};
use super::{
    Accumulation, Array, AssignOp, Constraint, Keeps, Loop, Nest, Node, Order, Param, Role,
    ValueRange,
};
use crate::affine::{Affine, Name};
use crate::diag::{Diagnostic, Result, Source, Span};
use crate::dtype::DType;
use crate::expr::Literal;
use crate::lex::{Cursor, MAX_DEPTH, Tok, nearest};

/// Most indices of a formula: the loops that it stands for are two levels each.
const MOST_INDICES: usize = MAX_DEPTH as usize / 2;

/// The state of parsing one text.
pub(super) struct Parser {
    pub(super) cur: Cursor,
    /// What has been declared so far; its body stays empty until the end.
    pub(super) nest: Nest,
    /// Iterators of the loops around the current place, outermost first.
    pub(super) iters: Vec<Name>,
    /// In a statement without loops, the indices met so far that nothing declares.
    pub(super) free: Option<Vec<(Name, Span)>>,
    /// Arrays are declared by their first use (one-line formulas).
    pub(super) infer: bool,
    names: BTreeMap<Name, Span>,
    /// Every iterator so far: declarations are printed first, so that a later one would clash.
    iterators: BTreeMap<Name, Span>,
    written: BTreeSet<Name>,
}

impl FromStr for Accumulation {
    type Err = Box<Diagnostic>;

    /// Reads `f32` or `f32 keeps 13 over 128`, as behind a statement's `acc`.
    fn from_str(text: &str) -> Result<Self> {
        let mut parser = Parser::new(&Source::new("accumulation", text))?;
        let acc = parser.dtype()?;
        let keeps = matches!(parser.cur.peek(), Tok::Ident(w) if &**w == "keeps").then(|| {
            parser.cur.bump();
            parser.keeps()
        });
        match parser.cur.peek() {
            Tok::End => Ok(Self { acc, keeps: keeps.transpose()? }),
            _ => Err(parser.cur.unexpected("`keeps N`, `keeps N over P` or the end")),
        }
    }
}

impl Nest {
    /// Parses a text and checks names, ranks, roles and affinity.
    ///
    /// # Errors
    /// `E01xx` for syntax, `E02xx` for names and meaning, each with the place in `source`.
    pub fn parse(source: Source) -> Result<Self> {
        let mut parser = Parser::new(&source)?;
        let mut body = Vec::new();
        while *parser.cur.peek() != Tok::End {
            parser.item(&mut body)?;
        }
        parser.name_statements(&mut body)?;
        parser.nest.body = body;
        Ok(Self { source, ..parser.nest })
    }

    /// Checks a nest made by hand: names, ranks, roles, and that its text parses back to it.
    ///
    /// # Errors
    /// Those of [`Nest::parse`] on the printed nest, or `E0217` when it has no text of its own.
    pub fn validate(&self) -> Result<()> {
        let text = self.to_string();
        let back = Self::parse(Source::new("nest", &text))?;
        if back == *self {
            return Ok(());
        }
        Err(Diagnostic::input("E0217", "the nest has no text form that means the same")
            .help("use plain names, fill bounds and guards, give tables their shape")
            .into())
    }
}

impl FromStr for Nest {
    type Err = Box<Diagnostic>;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(Source::new("", text))
    }
}

impl Parser {
    pub(super) fn new(source: &Source) -> Result<Self> {
        Ok(Self {
            cur: Cursor::new(source, false)?,
            nest: Nest { source: source.clone(), ..Nest::default() },
            iters: Vec::new(),
            free: None,
            infer: false,
            names: BTreeMap::new(),
            iterators: BTreeMap::new(),
            written: BTreeSet::new(),
        })
    }

    /// One declaration, loop, guard or statement at the top.
    fn item(&mut self, body: &mut Vec<Node>) -> Result<()> {
        let Tok::Ident(word) = self.cur.peek().clone() else {
            if self.cur.eat(";") {
                return Ok(());
            }
            return Err(self.cur.unexpected("a declaration, a loop or a statement"));
        };
        match &*word {
            "param" => self.params(),
            "in" | "out" | "inout" | "temp" | "const" => self.arrays(&word),
            "assume" => self.assume(),
            _ => self.node(body, true),
        }
    }

    /// Refuses reserved words.
    pub(super) fn check_name(&self, name: &str, span: Span) -> Result<()> {
        if is_reserved(name) {
            let message = format!("`{name}` is a reserved word");
            return Err(self.cur.error("E0109", message, span, "choose another name"));
        }
        Ok(())
    }

    /// A new name, unused so far.
    fn declare(&mut self, what: &str) -> Result<(Name, Span)> {
        let (name, span) = self.cur.ident(what)?;
        self.check_name(&name, span)?;
        let before = self
            .nest
            .array(&name)
            .map(|a| a.span)
            .or_else(|| self.nest.param(&name).map(|p| p.span));
        if let Some(first) = before {
            return Err(duplicate(self.cur.source(), "E0202", &format!("`{name}`"), span, first));
        }
        if let Some(&first) = self.iterators.get(&name) {
            let message = format!("`{name}` has the name of an iterator before it");
            let d = self.cur.error("E0203", message, span, "rename one of them");
            return Err(Box::new(d.label(first, "the iterator")));
        }
        Ok((name, span))
    }

    fn params(&mut self) -> Result<()> {
        self.cur.bump();
        loop {
            let (name, span) = self.declare("a parameter's name")?;
            let value = match self.cur.eat("=") {
                true => Some(self.cur.integer("an integer")?),
                false => None,
            };
            self.nest.params.push(Param { name, value, span });
            if !self.cur.eat(",") {
                return Ok(());
            }
        }
    }

    fn arrays(&mut self, role: &str) -> Result<()> {
        self.cur.bump();
        loop {
            let (name, span) = self.declare("an array's name")?;
            self.cur.expect(":")?;
            let dtype = self.dtype()?;
            let mut shape = Vec::new();
            if self.cur.eat("[") {
                while !self.cur.at_punct("]") {
                    shape.push(self.affine()?);
                    if !self.cur.eat(",") {
                        break;
                    }
                }
                self.cur.expect("]")?;
            }
            let span = span.to(self.cur.last_span());
            let role = match role {
                "in" => Role::In,
                "out" => Role::Out,
                "inout" => Role::InOut,
                "temp" => Role::Temp,
                _ => Role::Const(self.table(&shape)?),
            };
            self.nest.arrays.push(Array { name, role, dtype, shape, span });
            if !self.cur.eat(",") {
                return Ok(());
            }
        }
    }

    /// A scalar type.
    pub(super) fn dtype(&mut self) -> Result<DType> {
        let (name, span) = self.cur.ident("a type")?;
        name.parse().map_err(|e: crate::dtype::UnknownDType| {
            let help = nearest(&name, DType::ALL.into_iter().map(DType::name));
            let help = help.map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
            self.cur.error("E0107", e.to_string(), span, &help)
        })
    }

    /// `= [1, 2, 3]`, as long as the shape says.
    fn table(&mut self, shape: &[Affine]) -> Result<Vec<Literal>> {
        self.cur.expect("=")?;
        let from = self.cur.span();
        let mut values = Vec::new();
        if self.cur.eat("[") {
            while !self.cur.at_punct("]") {
                values.push(self.literal()?);
                if !self.cur.eat(",") {
                    break;
                }
            }
            self.cur.expect("]")?;
        } else {
            values.push(self.literal()?);
        }
        let fixed = |name: &str| self.nest.param(name).and_then(|p| p.value);
        let count = shape.iter().try_fold(1i64, |n, e| n.checked_mul(e.eval(&fixed)?));
        let span = from.to(self.cur.last_span());
        match count {
            Some(n) if usize::try_from(n) != Ok(values.len()) => {
                let message = format!("the table holds {} value(s), its shape {n}", values.len());
                Err(self.cur.error(
                    "E0209",
                    message,
                    span,
                    "write one value per element, row by row",
                ))
            }
            Some(_) => Ok(values),
            None => Err(self.cur.error(
                "E0209",
                "the size of a constant table must be known",
                span,
                "use constants in its shape",
            )),
        }
    }

    fn literal(&mut self) -> Result<Literal> {
        let minus = self.cur.at_punct("-");
        self.number(minus)?.ok_or_else(|| self.cur.unexpected("a number"))
    }

    /// `assume -127 <= A <= 127, integer` or `assume N >= 4 and M == N`.
    fn assume(&mut self) -> Result<()> {
        let from = self.cur.bump().span;
        let minus = usize::from(self.cur.at_punct("-"));
        let mut ahead = minus + 1;
        if matches!(self.cur.peek_at(ahead), Tok::Punct("(")) {
            ahead += 3; // nan(0x…)
        }
        let is_range = match (self.cur.peek_at(ahead), self.cur.peek_at(ahead + 1)) {
            (Tok::Punct("<="), Tok::Ident(name)) => self.nest.array(name).is_some(),
            _ => false,
        };
        if !is_range {
            if let Tok::Ident(name) = self.cur.peek().clone()
                && self.nest.array(&name).is_some()
            {
                let help =
                    format!("write assume -1 <= {name} <= 1 with both bounds (inf is allowed)");
                return Err(self.cur.error(
                    "E0105",
                    "a range needs two bounds",
                    self.cur.span(),
                    &help,
                ));
            }
            let mut facts: Vec<Constraint> = self.constraints()?;
            self.nest.assumptions.append(&mut facts);
            return Ok(());
        }
        let lower = self.literal()?;
        self.cur.expect("<=")?;
        let (array, _) = self.cur.ident("an array")?;
        self.cur.expect("<=")?;
        let upper = self.literal()?;
        let integer = self.cur.eat(",");
        if integer {
            self.cur.expect_word("integer")?;
        }
        let span = from.to(self.cur.last_span());
        if above(lower, upper) {
            let message = format!("no value lies between {lower} and {upper}");
            return Err(self.cur.error("E0215", message, span, "the lower bound comes first"));
        }
        self.nest.ranges.push(ValueRange { array, lower, upper, integer, span });
        Ok(())
    }

    /// A loop, a guard or a statement; at the top a statement may be a formula.
    fn node(&mut self, body: &mut Vec<Node>, top: bool) -> Result<()> {
        if self.cur.at_word("for") {
            self.cur.bump();
            let l = self.loops()?;
            body.push(Node::Loop(l));
            return Ok(());
        }
        if self.cur.eat_word("if") {
            let constraints = self.constraints()?;
            let inner = self.block()?;
            if self.cur.at_word("else") {
                let help = "write a second `if` with the opposite condition";
                return Err(self.cur.error("E0105", "there is no `else`", self.cur.span(), help));
            }
            body.push(Node::If(constraints, inner));
            return Ok(());
        }
        if let Tok::Ident(word) = self.cur.peek()
            && matches!(&**word, "param" | "in" | "out" | "inout" | "temp" | "const" | "assume")
        {
            let message = format!("`{word}` may stand only at the top");
            let help = "move the declaration above the first loop";
            return Err(self.cur.error("E0105", message, self.cur.span(), help));
        }
        self.free = top.then(Vec::new);
        // a formula is printed inside the loops that it stands for
        let around = self.cur.count_from(0);
        let raw = self.statement()?;
        self.cur.count_from(around);
        self.free = None;
        let written = !self.written.insert(raw.target.array.clone());
        if raw.free.is_empty() {
            body.push(Node::Statement(raw.plain()));
        } else {
            body.extend(expand(&mut self.nest, raw, written)?);
        }
        Ok(())
    }

    /// `{ … }`.
    fn block(&mut self) -> Result<Vec<Node>> {
        self.cur.expect("{")?;
        self.cur.enter()?;
        let mut body = Vec::new();
        while !self.cur.at_punct("}") {
            if *self.cur.peek() == Tok::End {
                return Err(self.cur.unexpected("`}`"));
            }
            if !self.cur.eat(";") {
                self.node(&mut body, false)?;
            }
        }
        self.cur.leave();
        self.cur.bump();
        Ok(body)
    }

    /// The headers after `for`, and the block.
    fn loops(&mut self) -> Result<Loop> {
        self.cur.enter()?;
        let mut header = self.header()?;
        header.body = if self.cur.eat(",") {
            self.cur.eat_word("for");
            vec![Node::Loop(self.loops()?)]
        } else {
            self.block()?
        };
        self.iters.pop();
        self.cur.leave();
        Ok(header)
    }

    fn header(&mut self) -> Result<Loop> {
        let (var, from) = self.cur.ident("an iterator's name")?;
        self.check_name(&var, from)?;
        let taken = if self.iters.contains(&var) {
            Some("a loop around it")
        } else if self.nest.param(&var).is_some() {
            Some("a parameter")
        } else {
            self.nest.array(&var).map(|_| "an array")
        };
        if let Some(what) = taken {
            let message = format!("iterator `{var}` has the name of {what}");
            return Err(self.cur.error("E0203", message, from, "rename the iterator"));
        }
        self.iterators.entry(var.clone()).or_insert(from);
        self.cur.expect_word("in")?;
        let first_span = self.cur.span();
        let first_word = self.bound_word();
        let first = self.bounds(first_word)?;
        let descending = self.cur.eat_word("downto");
        if !descending {
            if self.cur.at_punct("..=") {
                let help = "the upper bound is exclusive: write 0..n+1";
                return Err(self.cur.error(
                    "E0105",
                    "`..=` is not supported",
                    self.cur.span(),
                    help,
                ));
            }
            self.cur.expect("..")?;
        }
        let second_span = self.cur.span();
        let second_word = self.bound_word();
        let second = self.bounds(second_word)?;
        let (lower, upper, lower_word, upper_word, lower_span, upper_span) = match descending {
            false => (first, second, first_word, second_word, first_span, second_span),
            true => {
                let next: Result<Vec<Affine>, _> = first.iter().map(|e| e.add_const(1)).collect();
                let next =
                    next.map_err(|e| self.cur.error("E0102", e.to_string(), first_span, ""))?;
                (second, next, second_word, first_word, second_span, first_span)
            }
        };
        for (word, wrong, span) in
            [(lower_word, "min", lower_span), (upper_word, "max", upper_span)]
        {
            if word == Some(wrong) {
                let message = format!("`{wrong}` is not convex in this bound");
                let help = "the lower end takes max(…), the upper end min(…)";
                return Err(self.cur.error("E0206", message, span, help));
            }
        }
        let step = self.step()?;
        let span = from.to(self.cur.last_span());
        self.iters.push(var.clone());
        Ok(Loop { var, lower, upper, step, descending, body: Vec::new(), span })
    }

    fn step(&mut self) -> Result<i64> {
        if !self.cur.eat_word("step") {
            return Ok(1);
        }
        let from = self.cur.span();
        if let Tok::Ident(_) = self.cur.peek() {
            let help = "use a constant, or an iterator of blocks and an affine index";
            return Err(self.cur.error("E0206", "a step must be a constant", from, help));
        }
        let step = self.cur.integer("a positive constant")?;
        if step > 0 {
            return Ok(step);
        }
        let help = "for a falling loop write `for i in N-1 downto 0`";
        let span = from.to(self.cur.last_span());
        Err(self.cur.error("E0207", format!("step {step} is not positive"), span, help))
    }

    fn bound_word(&self) -> Option<&'static str> {
        let called = matches!(self.cur.peek_at(1), Tok::Punct("("));
        ["min", "max"].into_iter().find(|w| called && self.cur.at_word(w))
    }

    fn bounds(&mut self, word: Option<&str>) -> Result<Vec<Affine>> {
        if word.is_none() {
            return Ok(vec![self.affine()?]);
        }
        self.cur.bump();
        self.cur.expect("(")?;
        let mut out = vec![self.affine()?];
        while self.cur.eat(",") {
            out.push(self.affine()?);
        }
        self.cur.expect(")")?;
        Ok(out)
    }

    /// `[NAME:] target op value {clause}`.
    pub(super) fn statement(&mut self) -> Result<Raw> {
        let from = self.cur.span();
        let mut name = None;
        if matches!(self.cur.peek_at(1), Tok::Punct(":")) {
            let (n, span) = self.cur.ident("a statement's name")?;
            self.check_name(&n, span)?;
            if let Some(&first) = self.names.get(&n) {
                return Err(duplicate(
                    self.cur.source(),
                    "E0208",
                    &format!("statement `{n}`"),
                    span,
                    first,
                ));
            }
            self.names.insert(n.clone(), span);
            name = Some(n);
            self.cur.bump();
        }
        let (word, span) = match self.cur.peek().clone() {
            Tok::Ident(word) => (word, self.cur.span()),
            _ => return Err(self.cur.unexpected("a statement")),
        };
        self.check_name(&word, span)?;
        let target = self.access(true)?;
        let op = self.assign_op()?;
        let value = self.value()?;
        let mut raw = Raw {
            name,
            target,
            op,
            value,
            guard: None,
            acc: None,
            keeps: None,
            order: None,
            strict: false,
            span: from,
            free: Vec::new(),
        };
        while self.clause(&mut raw)? {}
        raw.span = from.to(self.cur.last_span());
        raw.free = self.free.take().unwrap_or_default();
        if let Some((name, span)) = raw.free.get(MOST_INDICES) {
            let message =
                format!("`{name}` is one index more than the {MOST_INDICES} of a formula");
            return Err(self.cur.error("E0104", message, *span, "use temporaries to split it"));
        }
        for (name, span) in &raw.free {
            self.iterators.entry(name.clone()).or_insert(*span);
        }
        Ok(raw)
    }

    fn assign_op(&mut self) -> Result<AssignOp> {
        let word = match self.cur.peek() {
            Tok::Punct(p) => *p,
            Tok::Ident(w) if matches!(self.cur.peek_at(1), Tok::Punct("=")) && &**w == "min" => {
                "min"
            }
            Tok::Ident(w) if matches!(self.cur.peek_at(1), Tok::Punct("=")) && &**w == "max" => {
                "max"
            }
            _ => "",
        };
        let op = match word {
            "=" => AssignOp::Set,
            "+=" => AssignOp::Add,
            "*=" => AssignOp::Mul,
            "min" => AssignOp::Min,
            "max" => AssignOp::Max,
            _ => return Err(self.cur.unexpected("an assignment (= += *= min= max=)")),
        };
        self.cur.bump();
        if matches!(op, AssignOp::Min | AssignOp::Max) {
            self.cur.bump();
        }
        Ok(op)
    }

    /// One clause after the value, if there is one.
    fn clause(&mut self, raw: &mut Raw) -> Result<bool> {
        let span = self.cur.span();
        let Tok::Ident(word) = self.cur.peek().clone() else { return Ok(false) };
        let given = match &*word {
            "when" => raw.guard.is_some(),
            "acc" => raw.acc.is_some(),
            "keeps" => raw.keeps.is_some(),
            "order" => raw.order.is_some(),
            "strict" => raw.strict,
            _ => return Ok(false),
        };
        if given {
            let message = format!("`{word}` is given twice");
            return Err(self.cur.error("E0105", message, span, "keep one of them"));
        }
        self.cur.bump();
        match &*word {
            "when" => raw.guard = Some(self.value()?),
            "acc" => raw.acc = Some(self.dtype()?),
            "keeps" => raw.keeps = Some(self.keeps()?),
            "order" => {
                let (name, span) = self.cur.ident("an order (serial fixed any exact)")?;
                let all = [Order::Serial, Order::Fixed, Order::Any, Order::Exact];
                raw.order = all.into_iter().find(|o| o.text() == &*name);
                if raw.order.is_none() {
                    let message = format!("unknown order `{name}`");
                    let help = "the orders are serial, fixed, any and exact";
                    return Err(self.cur.error("E0105", message, span, help));
                }
            }
            _ => raw.strict = true,
        }
        Ok(true)
    }

    /// What follows `keeps`.
    fn keeps(&mut self) -> Result<Keeps> {
        let bits = self.count("the bits that additions keep")?;
        let over = matches!(self.cur.peek(), Tok::Ident(w) if &**w == "over")
            && matches!(self.cur.peek_at(1), Tok::Int(_));
        if !over {
            return Ok(Keeps { bits, over: None });
        }
        self.cur.bump();
        Ok(Keeps { bits, over: Some(self.count("the terms of a partial sum")?) })
    }

    /// A number from 1.
    fn count(&mut self, what: &str) -> Result<u32> {
        let span = self.cur.span();
        let value = self.cur.integer(what)?;
        u32::try_from(value).ok().filter(|n| *n > 0).ok_or_else(|| {
            let message = format!("{value} are not {what}");
            self.cur.error("E0105", message, span, "write a number from 1")
        })
    }

    /// As [`name_statements`].
    pub(super) fn name_statements(&self, body: &mut [Node]) -> Result<()> {
        name_statements(body, self.cur.source())
    }
}

/// Whether a bound is above another; booleans and NaN compare as never.
fn above(a: Literal, b: Literal) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "only a plausibility check of mixed bounds")]
    match (a, b) {
        (Literal::Int(a), Literal::Int(b)) => a > b,
        (Literal::Int(a), Literal::Float(b)) => a as f64 > b,
        (Literal::Float(a), Literal::Int(b)) => a > b as f64,
        (Literal::Float(a), Literal::Float(b)) => a > b,
        (Literal::Bool(_), _) | (_, Literal::Bool(_)) => false,
    }
}
