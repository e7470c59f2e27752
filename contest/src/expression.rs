//! Expressions over sizes, as manifests have them: whole numbers, `+ - * / %`, comparisons, `min`.
//!
//! In: text. Out: a value for given sizes. Keeps: division rounds towards zero as in C; nothing
//! overflows, divides by zero or nests without end: that is an error with the reason.

use warploom::Sizes;

/// Deepest parentheses.
const DEEPEST: usize = 32;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    Number(i64),
    Size(String),
    Binary(Operator, Box<Self>, Box<Self>),
}

/// What joins two expressions; comparisons give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Equal,
    Less,
    LessEqual,
}

impl Expression {
    /// Reads an expression.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text, whole: text };
        let out = reader.comparison(0)?;
        reader.skip();
        if reader.rest.is_empty() { Ok(out) } else { Err(reader.wrong()) }
    }

    /// The sizes in it.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Size(name) => vec![name.clone()],
            Self::Binary(_, a, b) => [a.names(), b.names()].concat(),
        }
    }

    /// Its value.
    pub(crate) fn value(&self, sizes: &Sizes) -> Result<i64, String> {
        let (operator, a, b) = match self {
            Self::Number(value) => return Ok(*value),
            Self::Size(name) => {
                let value = sizes.get(name.as_str()).copied();
                return value.ok_or_else(|| format!("there is no size `{name}`"));
            }
            Self::Binary(operator, a, b) => (operator, a.value(sizes)?, b.value(sizes)?),
        };
        let value = match operator {
            Operator::Add => a.checked_add(b),
            Operator::Subtract => a.checked_sub(b),
            Operator::Multiply => a.checked_mul(b),
            Operator::Divide => a.checked_div(b),
            Operator::Remainder => a.checked_rem(b),
            Operator::Equal => Some(i64::from(a == b)),
            Operator::Less => Some(i64::from(a < b)),
            Operator::LessEqual => Some(i64::from(a <= b)),
        };
        value.ok_or_else(|| "an expression divides by zero or exceeds 64 bits".to_owned())
    }
}

struct Reader<'a> {
    rest: &'a str,
    whole: &'a str,
}

impl Reader<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn wrong(&self) -> String {
        let at = self.whole.len() - self.rest.len();
        format!("`{}` is no expression over sizes (at character {})", self.whole, at + 1)
    }

    fn eat(&mut self, text: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn comparison(&mut self, depth: usize) -> Result<Expression, String> {
        let first = self.sum(depth)?;
        let of = |o, a, b| Expression::Binary(o, Box::new(a), Box::new(b));
        for (text, operator, swapped) in [
            ("==", Operator::Equal, false),
            ("<=", Operator::LessEqual, false),
            (">=", Operator::LessEqual, true),
            ("<", Operator::Less, false),
            (">", Operator::Less, true),
        ] {
            if self.eat(text) {
                let second = self.sum(depth)?;
                let (a, b) = if swapped { (second, first) } else { (first, second) };
                return Ok(of(operator, a, b));
            }
        }
        Ok(first)
    }

    fn sum(&mut self, depth: usize) -> Result<Expression, String> {
        let mut out = self.product(depth)?;
        loop {
            let operator = if self.eat("+") {
                Operator::Add
            } else if self.eat("-") {
                Operator::Subtract
            } else {
                return Ok(out);
            };
            out = Expression::Binary(operator, Box::new(out), Box::new(self.product(depth)?));
        }
    }

    fn product(&mut self, depth: usize) -> Result<Expression, String> {
        let mut out = self.atom(depth)?;
        loop {
            let operator = if self.eat("*") {
                Operator::Multiply
            } else if self.eat("/") {
                Operator::Divide
            } else if self.eat("%") {
                Operator::Remainder
            } else {
                return Ok(out);
            };
            out = Expression::Binary(operator, Box::new(out), Box::new(self.atom(depth)?));
        }
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, String> {
        if depth >= DEEPEST {
            return Err(format!("`{}` nests too deep", self.whole));
        }
        if self.eat("(") {
            let out = self.comparison(depth + 1)?;
            return if self.eat(")") { Ok(out) } else { Err(self.wrong()) };
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !word(c)).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at(end);
        let first = atom.chars().next().ok_or_else(|| self.wrong())?;
        let out = if first.is_ascii_digit() {
            Expression::Number(atom.parse().map_err(|_| self.wrong())?)
        } else {
            Expression::Size(atom.to_owned())
        };
        self.rest = rest;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use warploom::Name;

    fn value(text: &str) -> Result<i64, String> {
        let sizes: Sizes = [(Name::from("m"), 300), (Name::from("n"), 64)].into();
        Expression::parse(text)?.value(&sizes)
    }

    #[test]
    fn values_are_those_of_c() {
        assert_eq!(value("(m + 127) / 128"), Ok(3));
        assert_eq!(value(" m % 128 == 0 "), Ok(0));
        assert_eq!(value("n%8==0"), Ok(1));
        assert_eq!(value("2 + 3 * 4 - 1"), Ok(13));
        assert_eq!(value("10 - 2 - 3"), Ok(5));
        assert_eq!(value("m >= 300"), Ok(1));
        assert_eq!(value("m > 300"), Ok(0));
        assert_eq!(value("(m < 301) * (n <= 64)"), Ok(1));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "m +", "m n", "(m", "m)", "1x", "99999999999999999999", "m ** n", "é"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
        let deep = format!("{}m{}", "(".repeat(100), ")".repeat(100));
        assert!(Expression::parse(&deep).is_err());
        assert!(value("m / (n - 64)").is_err());
        assert!(value("9223372036854775807 + m").is_err());
        assert!(value("q").is_err());
    }
}
