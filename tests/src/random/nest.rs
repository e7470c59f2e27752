//! Random nests that verify, as text.
//!
//! In: random bits. Out: a [`Sample`]: one to four statements in one to four loops each, with
//! triangular, guarded, strided and descending domains, `min`, `max`, floor and mod in bounds and
//! subscripts, open sizes, temporaries, updates in place, reductions of every operator and class.
//! Keeps: subscripts stay inside the arrays, because extents are made from the greatest value that
//! each subscript can have; divisors are never 0.

use std::fmt::Write as _;

use crate::Bits;

/// How results are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Every order that is legal gives the same bits.
    Bits,
    /// Floats whose rounding depends on the order or on contraction: within error bounds.
    Bounds,
}

/// A random nest.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its text.
    pub text: String,
    /// How its results are compared.
    pub compare: Compare,
}

/// `n N + m M + c`: the greatest value of an iterator or subscript. `n` and `m` are not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Top {
    n: i64,
    m: i64,
    c: i64,
}

impl Top {
    const fn constant(c: i64) -> Self {
        Self { n: 0, m: 0, c }
    }

    const fn plus(self, other: Self) -> Self {
        Self { n: self.n + other.n, m: self.m + other.m, c: self.c + other.c }
    }

    const fn times(self, k: i64) -> Self {
        Self { n: self.n * k, m: self.m * k, c: self.c * k }
    }

    fn or(self, other: Self) -> Self {
        Self { n: self.n.max(other.n), m: self.m.max(other.m), c: self.c.max(other.c) }
    }

    fn text(self) -> String {
        let mut out = String::new();
        for (k, name) in [(self.n, "N"), (self.m, "M")] {
            if k != 0 {
                let sign = if out.is_empty() { "" } else { " + " };
                let times = if k == 1 { String::new() } else { format!("{k}*") };
                write!(out, "{sign}{times}{name}").expect("a string can be written to");
            }
        }
        match (out.is_empty(), self.c) {
            (true, c) => c.to_string(),
            (false, 0) => out,
            (false, c) if c < 0 => format!("{out} - {}", -c),
            (false, c) => format!("{out} + {c}"),
        }
    }
}

/// An iterator and its greatest value; its least is not below 0.
#[derive(Clone, Debug)]
struct Iter {
    name: String,
    top: Top,
}

struct Arr {
    name: &'static str,
    role: &'static str,
    dtype: &'static str,
    /// The greatest subscript of each dimension.
    tops: Vec<Top>,
}

impl Arr {
    /// Some statement touches it.
    fn is_used(&self) -> bool {
        self.tops.iter().all(|t| *t != Top::constant(-1))
    }
}

const INTS: [&str; 8] = ["i32", "i32", "i64", "u32", "i16", "u8", "i8", "u64"];
const FLOATS: [&str; 6] = ["f64", "f64", "f32", "f32", "f16", "bf16"];

struct Generator<'a> {
    bits: &'a mut Bits,
    /// The type of most arrays.
    dtype: &'static str,
    float: bool,
    strict: bool,
    has_m: bool,
    arrays: Vec<Arr>,
    left: usize,
    names: usize,
    compare: Compare,
}

/// A random nest (see the module's page).
pub fn sample(bits: &mut Bits) -> Sample {
    let float = bits.below(5) < 2;
    let dtype = if float { *bits.pick(&FLOATS) } else { *bits.pick(&INTS) };
    let (strict, has_m, left) = (bits.below(2) == 0, bits.below(2) == 0, 1 + bits.below(4));
    let mut g = Generator {
        bits,
        dtype,
        float,
        strict,
        has_m,
        arrays: Vec::new(),
        left,
        names: 0,
        compare: Compare::Bits,
    };
    g.declare();
    let mut body = String::new();
    while g.left > 0 {
        g.top_loop(&mut body);
    }
    let temps = g.initial_loops();
    Sample { text: format!("{}{temps}{body}", g.declarations()), compare: g.compare }
}

impl Generator<'_> {
    fn chance(&mut self, percent: usize) -> bool {
        self.bits.below(100) < percent
    }

    fn declare(&mut self) {
        let mut add = |bits: &mut Bits, name, role, dtype, most: usize| {
            let rank = 1 + bits.below(most);
            self.arrays.push(Arr { name, role, dtype, tops: vec![Top::constant(-1); rank] });
        };
        let (dtype, bits) = (self.dtype, &mut *self.bits);
        let others: &[&'static str] = if self.float { &FLOATS } else { &INTS };
        add(bits, "X", "inout", dtype, 3);
        add(bits, "A", "in", dtype, 2);
        if bits.below(2) == 0 {
            let other = *bits.pick(others);
            add(bits, "B", "in", other, 2);
        }
        if bits.below(2) == 0 {
            let other = if bits.below(3) == 0 { *bits.pick(others) } else { dtype };
            add(bits, "Y", "inout", other, 2);
        }
        if bits.below(5) < 2 {
            add(bits, "T", "temp", dtype, 2);
        }
        if bits.below(5) == 0 {
            add(bits, "O", "out", dtype, 2);
        }
        if bits.below(4) == 0 {
            self.arrays.push(Arr { name: "s", role: "inout", dtype, tops: Vec::new() });
        }
    }

    /// `param`, arrays and the table, once all extents are known.
    fn declarations(&self) -> String {
        let params = if self.has_m { "N, M" } else { "N" };
        let mut out = format!("param {params}\n");
        for a in self.arrays.iter().filter(|a| a.is_used()) {
            // a size may be 0, and an extent is never negative
            let extent = |t: &Top| Top { c: t.c.max(-1) + 1, ..*t }.text();
            let extents: Vec<String> = a.tops.iter().map(extent).collect();
            let shape = if extents.is_empty() { String::new() } else { extents.join(", ") };
            let shape = if shape.is_empty() { shape } else { format!("[{shape}]") };
            writeln!(out, "{} {}: {}{shape}", a.role, a.name, a.dtype).expect("it is a string");
        }
        if self.float {
            writeln!(out, "const P: {}[3] = [0.5, -1.25, 2.0]", self.dtype).expect("a string");
        } else {
            writeln!(out, "const P: {}[3] = [3, 5, 7]", self.dtype).expect("a string");
        }
        out
    }

    /// Loops that give every element of `temp` and `out` arrays a value, from inputs and indices.
    fn initial_loops(&mut self) -> String {
        let mut out = String::new();
        let list: Vec<(usize, &'static str)> =
            (0..self.arrays.len()).map(|k| (k, self.arrays[k].role)).collect();
        for (k, role) in list {
            if !matches!(role, "temp" | "out") || !self.arrays[k].is_used() {
                continue;
            }
            let tops: Vec<Top> =
                self.arrays[k].tops.iter().map(|t| Top { c: t.c.max(-1), ..*t }).collect();
            let iters: Vec<Iter> = ["i", "j", "k"]
                .iter()
                .zip(&tops)
                .map(|(name, &top)| Iter { name: (*name).to_owned(), top })
                .collect();
            let headers: Vec<String> = iters
                .iter()
                .map(|i| format!("{} in 0..{}", i.name, i.top.plus(Top::constant(1)).text()))
                .collect();
            let indices: Vec<&str> = iters.iter().map(|i| i.name.as_str()).collect();
            let value = self.initial_value(&iters);
            let strict = if self.strict { " strict" } else { "" };
            let (name, headers) = (self.arrays[k].name, headers.join(", "));
            writeln!(
                out,
                "for {headers} {{ I{name}: {name}[{}] = {value}{strict} }}",
                indices.join(", ")
            )
            .expect("a string can be written to");
        }
        out
    }

    fn initial_value(&mut self, iters: &[Iter]) -> String {
        let a = self.arrays.iter().position(|a| a.name == "A").expect("A is always there");
        let read = self.access(a, iters);
        let index = iters[0].name.clone();
        match self.bits.below(4) {
            0 => self.literal(),
            1 => format!("index({index} mod 3)"),
            2 => read,
            _ => format!("{read} + index({index} mod 5)"),
        }
    }

    fn top_loop(&mut self, out: &mut String) {
        let mut iters = Vec::new();
        self.nested(&mut iters, out, 0);
    }

    /// A loop, maybe with statements before and after what is inside.
    fn nested(&mut self, iters: &mut Vec<Iter>, out: &mut String, indent: usize) {
        let pad = "  ".repeat(indent);
        let header = self.header(iters);
        writeln!(out, "{pad}for {header} {{").expect("a string can be written to");
        let mut made = 0;
        for round in 0..3 {
            if self.left == 0 || (round > 0 && !self.chance(35)) {
                break;
            }
            let deeper = iters.len() < 4 && self.chance([75, 55, 35, 0][iters.len() - 1]);
            if deeper {
                self.nested(iters, out, indent + 1);
            } else {
                self.guarded(iters, out, indent + 1);
            }
            made += 1;
        }
        if made == 0 {
            self.guarded(iters, out, indent + 1);
        }
        writeln!(out, "{pad}}}").expect("a string can be written to");
        iters.pop();
    }

    /// A loop's header; the iterator is pushed.
    fn header(&mut self, iters: &mut Vec<Iter>) -> String {
        let name = ["i", "j", "k", "l"][iters.len()].to_owned();
        let size = self.size(iters.len());
        let outer = (!iters.is_empty() && self.chance(45)).then(|| self.bits.pick(iters).clone());
        let last = size.plus(Top::constant(-1));
        let (low, high, top) = match (outer, self.bits.below(8)) {
            (Some(o), 0) => ("0".into(), o.name, o.top.plus(Top::constant(-1))),
            (Some(o), 1) => ("0".into(), format!("{} + 1", o.name), o.top),
            (Some(o), 2) => (o.name, size.text(), last),
            (Some(o), 3) => (format!("{} + 1", o.name), size.text(), last),
            (Some(o), 4) => (
                format!("max(0, {} - 1)", o.name),
                format!("min({}, {} + 2)", size.text(), o.name),
                last,
            ),
            (Some(o), 5) => (format!("floor({} / 2)", o.name), size.text(), last),
            (Some(o), 6) => ("0".into(), format!("({} mod 3) + 1", o.name), Top::constant(2)),
            (Some(o), _) => (
                "0".into(),
                format!("{} - {} + 1", o.top.text(), o.name),
                Top { c: o.top.c.max(0), ..o.top },
            ),
            (None, 0) => ("1".into(), size.text(), last),
            (None, 1) => ("1".into(), size.plus(Top::constant(-1)).text(), last),
            (None, 2) => {
                ("0".into(), format!("floor(({} + 1) / 2)", size.text()), last.or(Top::constant(0)))
            }
            (None, _) => ("0".into(), size.text(), last),
        };
        let step = if self.chance(12) { 2 + self.bits.below(2) } else { 1 };
        let one_start = !low.contains("max") && !high.contains("min");
        let step = if step > 1 && one_start { format!(" step {step}") } else { String::new() };
        let text = if self.chance(12) && one_start {
            // `high` is not reached by an ascending loop
            format!("{name} in {high} - 1 downto {low}{step}")
        } else {
            format!("{name} in {low}..{high}{step}")
        };
        iters.push(Iter { name, top });
        text
    }

    fn size(&mut self, depth: usize) -> Top {
        let m = i64::from(self.has_m);
        match self.bits.below(if depth == 0 { 8 } else { 10 }) {
            0 => Top { n: 0, m, c: i64::from(m == 0) * 4 },
            1 => Top { n: 1, m: 0, c: 1 },
            2 => Top { n: 1, m: 0, c: 2 },
            3 => Top { n: 0, m, c: 2 },
            8 => Top::constant(3),
            9 => Top::constant(2),
            _ => Top { n: 1, m: 0, c: 0 },
        }
    }

    /// A statement, maybe under a guard.
    fn guarded(&mut self, iters: &[Iter], out: &mut String, indent: usize) {
        let pad = "  ".repeat(indent);
        let statement = self.statement(iters);
        if self.chance(18) {
            let condition = self.condition(iters);
            writeln!(out, "{pad}if {condition} {{ {statement} }}").expect("it is a string");
        } else {
            writeln!(out, "{pad}{statement}").expect("a string can be written to");
        }
    }

    fn condition(&mut self, iters: &[Iter]) -> String {
        let (a, b) = (self.bits.pick(iters).clone(), self.bits.pick(iters).clone());
        let (a, b) = (a.name, b.name);
        let size = self.size(0).text();
        match self.bits.below(7) {
            0 => format!("{a} <= {b}"),
            1 => format!("{a} + {b} < {size}"),
            2 => format!("({a} + {b}) mod 2 == 0"),
            3 => format!("{a} mod 3 >= 1"),
            4 => format!("2*{a} <= {size} and {b} >= 1"),
            5 => format!("floor({a} / 2) < {b}"),
            _ => format!("{a} == {b}"),
        }
    }

    fn statement(&mut self, iters: &[Iter]) -> String {
        self.left = self.left.saturating_sub(1);
        let writable: Vec<usize> =
            (0..self.arrays.len()).filter(|&k| self.arrays[k].role != "in").collect();
        let k = *self.bits.pick(&writable);
        let dtype = self.arrays[k].dtype;
        let target = self.access(k, iters);
        let update = self.chance(45);
        let op = if update { *self.bits.pick(&["+=", "+=", "*=", "max=", "min="]) } else { "=" };
        let mut value = self.value(iters, 3);
        if dtype != self.dtype {
            value = format!("cast_{dtype}({value})");
        }
        let name = format!("S{}", self.names);
        self.names += 1;
        let mut text = format!("{name}: {target} {op} {value}");
        if self.chance(12) {
            let guard = self.data_condition(iters);
            write!(text, " when {guard}").expect("a string can be written to");
        }
        let mut reorderable = false;
        if update && self.chance(60) {
            let class = match (self.float, self.bits.below(4)) {
                (_, 0) => "fixed",
                (false, 1) => "exact",
                (_, _) => "any",
            };
            reorderable = true;
            write!(text, " order {class}").expect("a string can be written to");
        }
        if self.strict {
            text.push_str(" strict");
        }
        if self.float && (reorderable || !self.strict) {
            self.compare = Compare::Bounds;
        }
        text
    }

    /// A condition on data that no rounding changes: on indices and on arrays that are only read.
    fn data_condition(&mut self, iters: &[Iter]) -> String {
        let it = self.bits.pick(iters).name.clone();
        let k = self.arrays.iter().position(|a| a.name == "A").expect("A is always there");
        match self.bits.below(3) {
            0 => format!("index({it} mod 2) == index(1)"),
            _ => format!("{} > {}", self.access(k, iters), if self.float { "0.25" } else { "1" }),
        }
    }

    /// A value of the main type.
    fn value(&mut self, iters: &[Iter], depth: usize) -> String {
        if depth == 0 || self.chance(25) {
            return self.leaf(iters);
        }
        if self.bits.below(8) == 0 {
            let condition = self.data_condition(iters);
            let (a, b) = (self.value(iters, depth - 1), self.value(iters, depth - 1));
            return format!("select({condition}, {a}, {b})");
        }
        let (a, b) = (self.value(iters, depth - 1), self.value(iters, depth - 1));
        if self.float {
            return match self.bits.below(9) {
                0..=2 => format!("({a} + {b})"),
                3 => format!("({a} - {b})"),
                4 | 5 => format!("(0.5 * {a} + {b})"),
                6 => format!("min({a}, {b})"),
                7 => format!("abs({a})"),
                _ => format!("(0.25 * {a} * {b})"),
            };
        }
        match self.bits.below(12) {
            0..=2 => format!("({a} + {b})"),
            3 => format!("({a} - {b})"),
            4 | 5 => format!("({a} * {b})"),
            6 => format!("min({a}, {b})"),
            7 => format!("max({a}, 3)"),
            8 => format!("xor({a}, {b})"),
            9 => format!("shr({a}, 1)"),
            10 => format!("mod({a}, 7)"),
            _ => format!("div({a}, 3)"),
        }
    }

    fn leaf(&mut self, iters: &[Iter]) -> String {
        match self.bits.below(10) {
            0 => self.literal(),
            1 => {
                let it = self.bits.pick(iters).name.clone();
                if self.chance(50) { format!("index({it})") } else { format!("index(2*{it} + 1)") }
            }
            2 => format!("P[{} mod 3]", self.bits.pick(iters).name),
            _ => {
                let readable: Vec<usize> = (0..self.arrays.len()).collect();
                let k = *self.bits.pick(&readable);
                let read = self.access(k, iters);
                if self.arrays[k].dtype == self.dtype {
                    read
                } else {
                    format!("cast_{}({read})", self.dtype)
                }
            }
        }
    }

    fn literal(&mut self) -> String {
        let n = 1 + self.bits.below(5);
        if self.float { format!("{n}.5") } else { n.to_string() }
    }

    /// An element; the array grows to hold it.
    fn access(&mut self, k: usize, iters: &[Iter]) -> String {
        let rank = self.arrays[k].tops.len();
        let mut texts = Vec::new();
        let first = self.bits.below(iters.len());
        for d in 0..rank {
            // neighbouring dimensions mostly have different iterators
            let it = if self.chance(80) {
                (first + d) % iters.len()
            } else {
                self.bits.below(iters.len())
            };
            let (text, top) = self.subscript(&iters[it], iters);
            self.arrays[k].tops[d] = self.arrays[k].tops[d].or(top);
            texts.push(text);
        }
        let name = self.arrays[k].name;
        if texts.is_empty() { name.to_owned() } else { format!("{name}[{}]", texts.join(", ")) }
    }

    fn subscript(&mut self, it: &Iter, iters: &[Iter]) -> (String, Top) {
        let (name, top) = (&it.name, it.top);
        match self.bits.below(16) {
            0..=5 => (format!("{name} + 1"), top.plus(Top::constant(1))),
            6 => (name.clone(), top),
            7 | 8 => (format!("{name} + 2"), top.plus(Top::constant(2))),
            9 => {
                let other = self.bits.pick(iters).clone();
                (format!("{name} + {}", other.name), top.plus(other.top))
            }
            10 => (format!("2*{name}"), top.times(2)),
            11 => (format!("floor({name} / 2)"), top),
            12 => (format!("{name} mod 3"), Top::constant(2)),
            13 => (format!("{} - {name}", top.text()), Top { c: top.c.max(0), ..top }),
            14 => {
                let c = self.bits.below(3) as i64;
                (c.to_string(), Top::constant(c))
            }
            _ => (format!("{name} + 3"), top.plus(Top::constant(3))),
        }
    }
}
