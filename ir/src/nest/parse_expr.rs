//! Parses affine expressions, affine conditions and value expressions of the `.nest` text.
//!
//! In a subscript, a bound or a guard everything must be quasi-affine; in a value, a bare iterator
//! or parameter becomes [`Expr::Index`] and arithmetic on it stays as written
//! (`index(2*i + 1)` writes a whole affine expression as one value).

use super::parse::Parser;
use super::print::{NAN_BITS, binary_name, rounding_suffix, unary_name, word_strength};
use super::{Array, Constraint, Role};
use crate::affine::{Affine, Name, Overflow};
use crate::diag::{Result, Span};
use crate::dtype::DType;
use crate::expr::{Access, BinOp, Expr, Literal, Rounding, UnOp};
use crate::lex::{Tok, nearest};

/// The tallest expression tree; long sums lean to the left and grow by one level per term.
const MAX_HEIGHT: u32 = 512;

/// An expression with the height of its tree.
type Tall = (Expr, u32);

/// The operators that are written as functions, with their names.
fn unary_functions() -> impl Iterator<Item = (UnOp, &'static str)> {
    UnOp::ALL.into_iter().filter(|op| *op != UnOp::Neg).map(|op| (op, unary_name(op)))
}

/// As [`unary_functions`], of two operands.
fn binary_functions() -> impl Iterator<Item = (BinOp, &'static str)> {
    let functions = BinOp::ALL.into_iter().map(|op| (op, binary_name(op)));
    functions.filter(|(_, (_, strength))| *strength == 0).map(|(op, (name, _))| (op, name))
}

impl Parser {
    fn fits(&self, value: Result<Affine, Overflow>, from: Span) -> Result<Affine> {
        let span = from.to(self.cur.last_span());
        value.map_err(|e| self.cur.error("E0102", e.to_string(), span, "use smaller constants"))
    }

    /// A quasi-affine expression.
    pub(super) fn affine(&mut self) -> Result<Affine> {
        self.cur.enter()?;
        let from = self.cur.span();
        self.cur.eat("+");
        let mut sum = self.affine_term()?;
        loop {
            if self.cur.eat("+") {
                let term = self.affine_term()?;
                sum = self.fits(sum.add(&term), from)?;
            } else if self.cur.at_punct("-") {
                // -9223372036854775808 has no positive counterpart
                let least = matches!(self.cur.peek_at(1), Tok::Int(v) if *v == 1 << 63);
                if !least {
                    self.cur.bump();
                }
                let term = self.affine_term()?;
                sum = self.fits(if least { sum.add(&term) } else { sum.sub(&term) }, from)?;
            } else {
                break;
            }
        }
        if self.cur.at_punct("/") {
            return Err(self.not_affine(
                from.to(self.cur.span()),
                "a division",
                "write floor(i / 4) or i mod 4 with a positive constant",
            ));
        }
        self.cur.leave();
        Ok(sum)
    }

    fn not_affine(&self, span: Span, what: &str, help: &str) -> Box<crate::diag::Diagnostic> {
        self.cur.error("E0206", format!("{what} is not affine"), span, help)
    }

    fn affine_term(&mut self) -> Result<Affine> {
        let from = self.cur.span();
        let mut left = self.affine_factor()?;
        loop {
            if self.cur.eat("*") {
                let right = self.affine_factor()?;
                let product = match (left.as_constant(), right.as_constant()) {
                    (Some(c), _) => right.scale(c),
                    (None, Some(c)) => left.scale(c),
                    (None, None) => {
                        return Err(self.not_affine(
                            from.to(self.cur.last_span()),
                            "a product of two variables",
                            "one factor must be a constant; fix a size with `param M = 512`",
                        ));
                    }
                };
                left = self.fits(product, from)?;
            } else if self.cur.eat_word("mod") {
                let divisor = self.divisor()?;
                left = self.fits(left.modulo(divisor), from)?;
            } else {
                return Ok(left);
            }
        }
    }

    /// A positive constant to divide by.
    fn divisor(&mut self) -> Result<i64> {
        let span = self.cur.span();
        if let Tok::Ident(name) = self.cur.peek().clone() {
            return Err(self.not_affine(
                span,
                &format!("dividing by `{name}`"),
                "the divisor must be a positive constant",
            ));
        }
        let value = self.cur.integer("a positive constant")?;
        if value > 0 {
            return Ok(value);
        }
        let span = span.to(self.cur.last_span());
        Err(self.not_affine(span, &format!("dividing by {value}"), "the divisor must be positive"))
    }

    fn affine_factor(&mut self) -> Result<Affine> {
        let from = self.cur.span();
        match self.cur.peek().clone() {
            Tok::Int(_) | Tok::Hex(_) => Ok(Affine::constant(self.cur.integer("an integer")?)),
            Tok::Punct("-") if matches!(self.cur.peek_at(1), Tok::Int(_) | Tok::Hex(_)) => {
                Ok(Affine::constant(self.cur.integer("an integer")?))
            }
            Tok::Punct("-") => {
                self.cur.bump();
                self.cur.enter()?;
                let inner = self.affine_factor()?;
                self.cur.leave();
                self.fits(inner.scale(-1), from)
            }
            Tok::Punct("(") => {
                self.cur.bump();
                let inner = self.affine()?;
                self.cur.expect(")")?;
                Ok(inner)
            }
            Tok::Ident(name) => {
                self.cur.bump();
                self.affine_name(&name, from)
            }
            Tok::Float(_) => {
                Err(self.not_affine(from, "a fraction", "indices and bounds are integers"))
            }
            Tok::Punct(_) | Tok::End => Err(self.cur.unexpected("an index expression")),
        }
    }

    fn affine_name(&mut self, name: &Name, span: Span) -> Result<Affine> {
        if self.cur.at_punct("(") {
            if &**name == "floor" {
                return self.affine_floor(span);
            }
            let help = match &**name {
                "max" | "min" => {
                    "max(…) may stand only as a whole lower bound, min(…) as a whole upper bound"
                }
                "ceil" => "write floor((i + d - 1) / d)",
                _ => "an index may use + - * by constants, floor(i / 4) and i mod 4",
            };
            return Err(self.not_affine(span, &format!("`{name}(…)`"), help));
        }
        if self.nest.array(name).is_some() || self.cur.at_punct("[") {
            return Err(self.not_affine(
                span,
                &format!("the element of `{name}`"),
                "an index may not depend on data",
            ));
        }
        self.variable(name, span)
    }

    /// `floor(term / constant)`, after the word.
    fn affine_floor(&mut self, span: Span) -> Result<Affine> {
        self.cur.expect("(")?;
        self.cur.enter()?;
        let inner = self.affine_term()?;
        self.cur.leave();
        if self.cur.at_punct("+") || self.cur.at_punct("-") {
            let help = "put the dividend in parentheses: floor((i + 1) / 4)";
            return Err(self.cur.error("E0105", "unclear what `/` divides", self.cur.span(), help));
        }
        self.cur.expect("/")?;
        let divisor = self.divisor()?;
        self.cur.expect(")")?;
        self.fits(inner.floor_div(divisor), span)
    }

    /// An iterator, a parameter or (in a formula) a free index.
    fn variable(&mut self, name: &Name, span: Span) -> Result<Affine> {
        if !self.iters.contains(name) && self.nest.param(name).is_none() {
            self.check_name(name, span)?;
            match &mut self.free {
                Some(free) => {
                    if !free.iter().any(|(n, _)| n == name) {
                        free.push((name.clone(), span));
                    }
                }
                None => return Err(self.unknown(name, span)),
            }
        }
        Ok(Affine::var(name.clone()))
    }

    /// `E0201` with the nearest known name.
    pub(super) fn unknown(&self, name: &str, span: Span) -> Box<crate::diag::Diagnostic> {
        let known = self
            .iters
            .iter()
            .chain(self.nest.params.iter().map(|p| &p.name))
            .chain(self.nest.arrays.iter().map(|a| &a.name));
        let help = match nearest(name, known.map(|n| &**n)) {
            Some(n) => format!("did you mean `{n}`?"),
            None => "declare it with param, in, out, inout, temp or const, or as a loop".to_owned(),
        };
        self.cur.error("E0201", format!("unknown name `{name}`"), span, &help)
    }

    /// `a <= b < c and …` as constraints.
    pub(super) fn constraints(&mut self) -> Result<Vec<Constraint>> {
        let mut out = Vec::new();
        loop {
            let mut left = self.affine()?;
            let first = out.len();
            while let Some(op) = self.comparison() {
                let from = self.cur.span();
                self.cur.bump();
                let right = self.affine()?;
                let made = match op {
                    BinOp::Lt => right.sub(&left).and_then(|e| e.add_const(-1)),
                    BinOp::Le => right.sub(&left),
                    BinOp::Gt => left.sub(&right).and_then(|e| e.add_const(-1)),
                    _ => left.sub(&right),
                };
                if op == BinOp::Ne {
                    return Err(self.cur.error(
                        "E0105",
                        "`!=` is no single affine condition",
                        from,
                        "write two `if` blocks, one with < and one with >, or use `when`",
                    ));
                }
                let expr = self.fits(made, from)?;
                out.push(Constraint { expr, equality: op == BinOp::Eq });
                left = right;
            }
            if out.len() == first {
                return Err(self.cur.unexpected("a comparison (== <= < >= >)"));
            }
            if self.cur.at_word("or") {
                return Err(self.cur.error(
                    "E0105",
                    "`or` is not supported in an affine condition",
                    self.cur.span(),
                    "repeat the block for each case, or use `when` on the statement",
                ));
            }
            if !self.cur.eat_word("and") {
                return Ok(out);
            }
        }
    }

    fn comparison(&self) -> Option<BinOp> {
        match self.cur.peek() {
            Tok::Punct("<") => Some(BinOp::Lt),
            Tok::Punct("<=") => Some(BinOp::Le),
            Tok::Punct(">") => Some(BinOp::Gt),
            Tok::Punct(">=") => Some(BinOp::Ge),
            Tok::Punct("==") => Some(BinOp::Eq),
            Tok::Punct("!=") => Some(BinOp::Ne),
            _ => None,
        }
    }

    fn infix(&self) -> Option<(BinOp, u8)> {
        let op = match self.cur.peek() {
            Tok::Punct("+") => BinOp::Add,
            Tok::Punct("-") => BinOp::Sub,
            Tok::Punct("*") => BinOp::Mul,
            Tok::Punct("/") => BinOp::Div,
            Tok::Ident(name) => {
                let op = BinOp::ALL.into_iter().find(|op| op.name() == &**name)?;
                return word_strength(op).map(|strength| (op, strength));
            }
            _ => self.comparison()?,
        };
        Some((op, binary_name(op).1))
    }

    /// A value expression.
    pub(super) fn value(&mut self) -> Result<Expr> {
        Ok(self.binary(0)?.0)
    }

    fn tall(&self, expr: Expr, below: u32) -> Result<Tall> {
        if below >= MAX_HEIGHT {
            let message = format!("an expression has more than {MAX_HEIGHT} levels");
            return Err(self.cur.error(
                "E0104",
                message,
                self.cur.last_span(),
                "split it over temporaries",
            ));
        }
        Ok((expr, below + 1))
    }

    fn binary(&mut self, min: u8) -> Result<Tall> {
        self.cur.enter()?;
        let (mut left, mut height) = self.unary()?;
        while let Some((op, strength)) = self.infix().filter(|(_, s)| *s >= min) {
            self.cur.bump();
            let (right, h) = self.binary(strength + 1)?;
            let made = Expr::Binary(op, Box::new(left), Box::new(right));
            (left, height) = self.tall(made, height.max(h))?;
            if op.is_comparison() && self.comparison().is_some() {
                return Err(self.cur.error(
                    "E0105",
                    "comparisons of values do not chain",
                    self.cur.span(),
                    "write a < b and b < c",
                ));
            }
        }
        self.cur.leave();
        Ok((left, height))
    }

    fn unary(&mut self) -> Result<Tall> {
        if !self.cur.at_punct("-") {
            return self.primary();
        }
        if let Some(literal) = self.number(true)? {
            return Ok((Expr::Literal(literal), 1));
        }
        self.cur.bump();
        self.cur.enter()?;
        let (inner, height) = self.unary()?;
        self.cur.leave();
        self.tall(Expr::Unary(UnOp::Neg, Box::new(inner)), height)
    }

    /// A literal, if one is next; with `minus`, one after the `-` that is next.
    pub(super) fn number(&mut self, minus: bool) -> Result<Option<Literal>> {
        let token = self.cur.peek_at(usize::from(minus)).clone();
        let float = match token {
            Tok::Int(_) | Tok::Hex(_) => {
                return Ok(Some(Literal::Int(self.cur.integer("a number")?)));
            }
            Tok::Float(v) => v,
            Tok::Ident(name) if &*name == "inf" => f64::INFINITY,
            Tok::Ident(name) if &*name == "nan" => f64::from_bits(NAN_BITS),
            Tok::Ident(name) if !minus && (&*name == "true" || &*name == "false") => {
                self.cur.bump();
                return Ok(Some(Literal::Bool(&*name == "true")));
            }
            Tok::Ident(_) | Tok::Punct(_) | Tok::End => return Ok(None),
        };
        self.cur.eat("-");
        self.cur.bump();
        let mut bits = float.to_bits();
        if float.is_nan() && self.cur.eat("(") {
            let span = self.cur.span();
            match self.cur.bump().tok {
                Tok::Hex(v) if v >> 63 == 0 && f64::from_bits(v).is_nan() => bits = v,
                _ => {
                    let help =
                        "nan(0x7ff8000000000001) gives the bits of an f64 NaN without its sign";
                    return Err(self.cur.error("E0102", "malformed NaN", span, help));
                }
            }
            self.cur.expect(")")?;
        }
        Ok(Some(Literal::Float(f64::from_bits(bits | (u64::from(minus) << 63)))))
    }

    fn primary(&mut self) -> Result<Tall> {
        if let Some(literal) = self.number(false)? {
            return Ok((Expr::Literal(literal), 1));
        }
        let span = self.cur.span();
        match self.cur.peek().clone() {
            Tok::Punct("(") => {
                self.cur.bump();
                let inner = self.binary(0)?;
                self.cur.expect(")")?;
                Ok(inner)
            }
            Tok::Ident(name) => {
                if matches!(self.cur.peek_at(1), Tok::Punct("(")) {
                    self.cur.bump();
                    return self.call(&name, span);
                }
                if self.is_element(&name) {
                    return Ok((Expr::Read(self.access(false)?), 1));
                }
                self.cur.bump();
                Ok((Expr::Index(self.variable(&name, span)?), 1))
            }
            Tok::Int(_) | Tok::Hex(_) | Tok::Float(_) | Tok::Punct(_) | Tok::End => {
                Err(self.cur.unexpected("a value"))
            }
        }
    }

    fn is_element(&self, name: &str) -> bool {
        matches!(self.cur.peek_at(1), Tok::Punct("[")) || self.nest.array(name).is_some()
    }

    /// An element `A[i, j]`; `write` says that it is a statement's target.
    pub(super) fn access(&mut self, write: bool) -> Result<Access> {
        let (array, span) = self.cur.ident("an array element")?;
        let mut indices = Vec::new();
        if self.cur.eat("[") {
            while !self.cur.at_punct("]") {
                indices.push(self.affine()?);
                if !self.cur.eat(",") {
                    break;
                }
            }
            self.cur.expect("]")?;
        }
        let span = span.to(self.cur.last_span());
        if self.infer && self.nest.array(&array).is_none() {
            self.check_name(&array, span)?;
            let shape = vec![Affine::constant(0); indices.len()];
            let role = if write { Role::Out } else { Role::In };
            self.nest.arrays.push(Array {
                name: array.clone(),
                role,
                dtype: DType::F32,
                shape,
                span,
            });
        }
        let Some(declared) = self.nest.array(&array) else {
            return Err(self.unknown(&array, span));
        };
        if declared.shape.len() != indices.len() {
            let message = format!(
                "`{array}` has {} dimension(s) but {} index(es) are given",
                declared.shape.len(),
                indices.len()
            );
            let mut d = self.cur.error("E0204", message, span, "");
            d.labels.push(crate::diag::Label {
                source: None,
                span: declared.span,
                text: "declared here".into(),
            });
            return Err(d);
        }
        if write && !self.infer && matches!(declared.role, Role::In | Role::Const(_)) {
            let help = "declare it as out, inout or temp";
            return Err(self.cur.error(
                "E0205",
                format!("`{array}` is read-only and cannot be written"),
                span,
                help,
            ));
        }
        Ok(Access { array, indices, span })
    }

    /// A function's arguments and value, after its name.
    fn call(&mut self, name: &str, span: Span) -> Result<Tall> {
        self.cur.expect("(")?;
        if name == "index" {
            let index = self.affine()?;
            self.cur.expect(")")?;
            return Ok((Expr::Index(index), 1));
        }
        let mut args = Vec::new();
        let mut height = 0;
        while !self.cur.at_punct(")") {
            let (arg, h) = self.binary(0)?;
            args.push(arg);
            height = height.max(h);
            if !self.cur.eat(",") {
                break;
            }
        }
        self.cur.expect(")")?;
        let made = self.apply(name, span, args)?;
        self.tall(made, height)
    }

    fn apply(&self, name: &str, span: Span, args: Vec<Expr>) -> Result<Expr> {
        let count = args.len();
        let arity = |want: usize| {
            let message = format!("`{name}` takes {want} argument(s) but {count} are given");
            self.cur.error("E0108", message, span.to(self.cur.last_span()), "")
        };
        let mut args = args.into_iter().map(Box::new);
        let mut next = || args.next();
        if let Some((op, _)) = unary_functions().find(|(_, known)| *known == name) {
            return match (count, next()) {
                (1, Some(a)) => Ok(Expr::Unary(op, a)),
                _ => Err(arity(1)),
            };
        }
        if let Some((op, _)) = binary_functions().find(|(_, known)| *known == name) {
            return match (count, next(), next()) {
                (2, Some(a), Some(b)) => Ok(Expr::Binary(op, a, b)),
                _ => Err(arity(2)),
            };
        }
        if name == "fma" || name == "select" {
            return match (count, next(), next(), next()) {
                (3, Some(a), Some(b), Some(c)) if name == "fma" => Ok(Expr::Fma(a, b, c)),
                (3, Some(a), Some(b), Some(c)) => Ok(Expr::Select(a, b, c)),
                _ => Err(arity(3)),
            };
        }
        let Some(cast) = conversion(name) else {
            return Err(self.unknown_function(name, span));
        };
        match (count, next()) {
            (1, Some(value)) => Ok(cast(value)),
            _ => Err(arity(1)),
        }
    }

    fn unknown_function(&self, name: &str, span: Span) -> Box<crate::diag::Diagnostic> {
        let names = unary_functions()
            .map(|(_, name)| name)
            .chain(binary_functions().map(|(_, name)| name))
            .chain(["fma", "select", "index"])
            .chain(DType::ALL.into_iter().map(DType::name));
        let help = match nearest(name, names) {
            Some(n) => format!("did you mean `{n}`?"),
            None if self.nest.array(name).is_some() => "elements are written A[i, j]".to_owned(),
            None => "the functions are listed in docs/nest-format.md".to_owned(),
        };
        self.cur.error("E0216", format!("unknown function `{name}`"), span, &help)
    }
}

/// The conversion that a function's name means: `cast_i8_rtz_sat`, `bitcast_u32`, `f32`.
fn conversion(name: &str) -> Option<impl FnOnce(Box<Expr>) -> Expr> {
    let bits = name.strip_prefix("bitcast_");
    let rest = bits.or_else(|| name.strip_prefix("cast_")).unwrap_or(name);
    let (rest, saturate) = match rest.strip_suffix("_sat") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let directed = [Rounding::Zero, Rounding::Up, Rounding::Down]
        .into_iter()
        .find_map(|r| rest.strip_suffix(rounding_suffix(r)).map(|rest| (rest, r)));
    let nearest = (rest.strip_suffix("_rne").unwrap_or(rest), Rounding::Nearest);
    let (rest, rounding) = directed.unwrap_or(nearest);
    let to: DType = rest.parse().ok()?;
    let plain = bits.is_none() && name.starts_with("cast_");
    if !plain && rest.len() != name.len() - if bits.is_some() { "bitcast_".len() } else { 0 } {
        return None;
    }
    let bitcast = bits.is_some();
    Some(move |value| match bitcast {
        true => Expr::Bitcast(to, value),
        false => Expr::Cast { to, rounding, saturate, value },
    })
}
