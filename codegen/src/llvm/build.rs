//! A small builder of LLVM IR text: typed operands, scalar or vector, and one function at a time.
//!
//! Why text: a wrong type is then an error of LLVM's parser with a line, not a crash, and what
//! `emit --stage llvm` shows is what was compiled.
//! Keeps: every operand knows its element type and its lanes; mixing lanes broadcasts scalars.

use std::fmt::{self, Write as _};

/// An operand: a register or a literal, of `lanes` elements (1 is a scalar).
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// Its text without the type.
    pub(crate) text: String,
    /// LLVM's name of the element type.
    pub(crate) elem: &'static str,
    /// How many elements.
    pub(crate) lanes: u32,
    /// A scalar literal.
    literal: bool,
}

impl Value {
    /// A scalar literal, written as LLVM wants it.
    pub(crate) fn literal(elem: &'static str, text: impl Into<String>) -> Self {
        Self { text: text.into(), elem, lanes: 1, literal: true }
    }

    /// A register.
    pub(crate) fn register(text: impl Into<String>, elem: &'static str, lanes: u32) -> Self {
        Self { text: text.into(), elem, lanes, literal: false }
    }

    /// An integer literal.
    pub(crate) fn int(elem: &'static str, value: i128) -> Self {
        Self::literal(elem, value.to_string())
    }

    /// A float literal; of an f32, `value` must be exact.
    pub(crate) fn float(elem: &'static str, value: f64) -> Self {
        Self::literal(elem, format!("0x{:016X}", value.to_bits()))
    }

    /// The type's text.
    pub(crate) fn ty(&self) -> String {
        ty(self.elem, self.lanes)
    }

    /// `type text`.
    pub(crate) fn arg(&self) -> String {
        self.typed().to_string()
    }

    /// The same as a part of a text.
    const fn typed(&self) -> Typed<'_> {
        Typed(self)
    }

    /// True for a scalar literal.
    pub(crate) fn is_literal(&self) -> bool {
        self.literal
    }

    /// True for `float` and `double`.
    pub(crate) fn is_float(&self) -> bool {
        is_float(self.elem)
    }
}

/// An operand with its type.
struct Typed<'v>(&'v Value);

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value { text, elem, lanes, .. } = self.0;
        if *lanes != 1 {
            return write!(f, "<{lanes} x {elem}> {text}");
        }
        f.write_str(elem)?;
        f.write_str(" ")?;
        f.write_str(text)
    }
}

/// LLVM's text of a type.
pub(crate) fn ty(elem: &str, lanes: u32) -> String {
    if lanes == 1 { elem.to_owned() } else { format!("<{lanes} x {elem}>") }
}

fn is_float(elem: &str) -> bool {
    elem == "float" || elem == "double"
}

/// Bits of an LLVM element type.
pub(crate) fn bits(elem: &str) -> u32 {
    match elem {
        "float" => 32,
        "double" | "ptr" => 64,
        other => other.strip_prefix('i').and_then(|n| n.parse().ok()).expect("iN"),
    }
}

/// The integer type of this many bits.
pub(crate) fn int_elem(bits: u32) -> &'static str {
    match bits {
        1 => "i1",
        8 => "i8",
        16 => "i16",
        32 => "i32",
        64 => "i64",
        128 => "i128",
        other => unreachable!("no integer type of {other} bits is used"),
    }
}

/// LLVM's suffix of an intrinsic overloaded on this type.
pub(crate) fn mangle(elem: &str, lanes: u32) -> String {
    let e = match elem {
        "float" => "f32",
        "double" => "f64",
        "ptr" => "p0",
        other => other,
    };
    if lanes == 1 { e.to_owned() } else { format!("v{lanes}{e}") }
}

/// One function being written.
#[derive(Debug, Default)]
pub(crate) struct Function {
    /// `define … {` without the entry's content.
    pub(crate) header: String,
    /// Allocations, placed at the entry's start.
    allocas: String,
    body: String,
    next: usize,
    block: String,
}

impl Function {
    /// A function whose body starts in the block `entry`.
    pub(crate) fn new(header: String) -> Self {
        Self { header, block: "entry".into(), ..Self::default() }
    }

    /// Its whole text.
    pub(crate) fn finish(self) -> String {
        self.ended("void")
    }

    /// Its whole text, where it returns this value.
    pub(crate) fn finish_with(self, value: &Value) -> String {
        self.ended(&value.arg())
    }

    fn ended(self, result: &str) -> String {
        format!("{} {{\nentry:\n{}{}  ret {result}\n}}\n", self.header, self.allocas, self.body)
    }

    /// A new name.
    pub(crate) fn fresh(&mut self) -> String {
        self.next += 1;
        format!("%t{}", self.next)
    }

    /// A new block's name (without `%`).
    pub(crate) fn label(&mut self, what: &str) -> String {
        self.next += 1;
        format!("{what}.{}", self.next)
    }

    /// The block being written.
    pub(crate) fn current_block(&self) -> String {
        self.block.clone()
    }

    /// Starts a block.
    pub(crate) fn start(&mut self, label: &str) {
        writeln!(self.body, "{label}:").expect("writing to a String");
        self.block = label.to_owned();
    }

    /// Adds a line.
    pub(crate) fn line(&mut self, text: &str) {
        self.body.push_str("  ");
        self.body.push_str(text);
        self.body.push('\n');
    }

    /// Adds an instruction with a result.
    pub(crate) fn def(&mut self, elem: &'static str, lanes: u32, text: &str) -> Value {
        self.put(elem, lanes, format_args!("{text}"))
    }

    /// [`Self::def`] of a text that is made where it goes.
    fn put(&mut self, elem: &'static str, lanes: u32, text: fmt::Arguments<'_>) -> Value {
        let name = self.fresh();
        writeln!(self.body, "  {name} = {text}").expect("writing to a String");
        Value { text: name, elem, lanes, literal: false }
    }

    /// Reserves `lanes` elements for the function's run.
    pub(crate) fn alloca(&mut self, elem: &str, lanes: u32, count: usize, align: u32) -> String {
        let name = self.fresh();
        let ty = ty(elem, lanes);
        writeln!(self.allocas, "  {name} = alloca {ty}, i64 {count}, align {align}")
            .expect("writing to a String");
        name
    }

    /// An unconditional jump.
    pub(crate) fn br(&mut self, to: &str) {
        self.line(&format!("br label %{to}"));
    }

    /// A conditional jump.
    pub(crate) fn cond_br(&mut self, c: &Value, then: &str, otherwise: &str) {
        self.line(&format!("br i1 {}, label %{then}, label %{otherwise}", c.text));
    }

    /// The value in `lanes` lanes.
    pub(crate) fn splat(&mut self, v: &Value, lanes: u32) -> Value {
        if v.lanes == lanes {
            return v.clone();
        }
        assert_eq!(v.lanes, 1, "only scalars broadcast");
        if v.literal {
            let text = format!("splat ({} {})", v.elem, v.text);
            return Value { text, elem: v.elem, lanes, literal: false };
        }
        let wide = ty(v.elem, lanes);
        let one = self.def(
            v.elem,
            lanes,
            &format!("insertelement {wide} poison, {} {}, i64 0", v.elem, v.text),
        );
        self.def(
            v.elem,
            lanes,
            &format!("shufflevector {}, {wide} poison, <{lanes} x i32> zeroinitializer", one.arg()),
        )
    }

    fn same_lanes(&mut self, a: &Value, b: &Value) -> (Value, Value) {
        let lanes = a.lanes.max(b.lanes);
        (self.splat(a, lanes), self.splat(b, lanes))
    }

    /// A two-operand instruction; the operands' types are equal up to lanes.
    pub(crate) fn bin(&mut self, op: &str, a: &Value, b: &Value) -> Value {
        let (a, b) = self.same_lanes(a, b);
        assert_eq!(a.elem, b.elem, "operands of `{op}`");
        self.put(a.elem, a.lanes, format_args!("{op} {}, {}", a.typed(), b.text))
    }

    /// A float with the other sign.
    pub(crate) fn negated(&mut self, v: &Value) -> Value {
        self.put(v.elem, v.lanes, format_args!("fneg {}", v.typed()))
    }

    /// `bin` with an integer literal.
    pub(crate) fn bin_int(&mut self, op: &str, a: &Value, b: i128) -> Value {
        self.bin(op, a, &Value::int(a.elem, b))
    }

    /// `icmp` or `fcmp`, by the operands' type.
    pub(crate) fn cmp(&mut self, predicate: &str, a: &Value, b: &Value) -> Value {
        let (a, b) = self.same_lanes(a, b);
        assert_eq!(a.elem, b.elem, "operands of `{predicate}`");
        let op = if a.is_float() { "fcmp" } else { "icmp" };
        self.put("i1", a.lanes, format_args!("{op} {predicate} {}, {}", a.typed(), b.text))
    }

    /// `cmp` with an integer literal.
    pub(crate) fn cmp_int(&mut self, predicate: &str, a: &Value, b: i128) -> Value {
        self.cmp(predicate, a, &Value::int(a.elem, b))
    }

    /// One of two, lane by lane.
    pub(crate) fn select(&mut self, c: &Value, a: &Value, b: &Value) -> Value {
        let lanes = c.lanes.max(a.lanes).max(b.lanes);
        let (c, a, b) = (self.splat(c, lanes), self.splat(a, lanes), self.splat(b, lanes));
        assert_eq!(a.elem, b.elem, "operands of select");
        let text = format_args!("select {}, {}, {}", c.typed(), a.typed(), b.typed());
        self.put(a.elem, lanes, text)
    }

    /// A conversion instruction; equal types give the operand.
    pub(crate) fn cast(&mut self, op: &str, v: &Value, elem: &'static str) -> Value {
        if v.elem == elem {
            return v.clone();
        }
        self.put(elem, v.lanes, format_args!("{op} {} to {}", v.typed(), ty(elem, v.lanes)))
    }

    /// Widens (zeros or sign) or truncates an integer.
    pub(crate) fn resize(&mut self, v: &Value, elem: &'static str, signed: bool) -> Value {
        let (from, to) = (bits(v.elem), bits(elem));
        let op = if to < from {
            "trunc"
        } else if signed {
            "sext"
        } else {
            "zext"
        };
        self.cast(op, v, elem)
    }

    /// A call of an intrinsic overloaded on its result's type, whose operands have that type.
    pub(crate) fn intrinsic(&mut self, name: &str, args: &[&Value]) -> Value {
        let lanes = args.iter().map(|a| a.lanes).max().expect("an operand");
        let elem = args[0].elem;
        let args: Vec<Value> = args.iter().map(|a| self.splat(a, lanes)).collect();
        let list: Vec<String> = args.iter().map(Value::arg).collect();
        let (ty, suffix) = (ty(elem, lanes), mangle(elem, lanes));
        self.def(elem, lanes, &format!("call {ty} @llvm.{name}.{suffix}({})", list.join(", ")))
    }

    /// One lane of a vector (or the scalar itself).
    pub(crate) fn extract(&mut self, v: &Value, lane: u32) -> Value {
        if v.lanes == 1 {
            return v.clone();
        }
        self.def(v.elem, 1, &format!("extractelement {}, i64 {lane}", v.arg()))
    }

    /// The lanes in reverse.
    pub(crate) fn reversed(&mut self, v: &Value) -> Value {
        let order: Vec<String> = (0..v.lanes).rev().map(|lane| format!("i32 {lane}")).collect();
        let (all, lanes) = (order.join(", "), v.lanes);
        let text = format!("shufflevector {}, {} poison, <{lanes} x i32> <{all}>", v.arg(), v.ty());
        self.def(v.elem, lanes, &text)
    }

    /// A vector made of scalars.
    pub(crate) fn gather(&mut self, parts: &[Value]) -> Value {
        let lanes = u32::try_from(parts.len()).expect("few lanes");
        let elem = parts[0].elem;
        let mut out = Value { text: "poison".into(), elem, lanes, literal: false };
        for (i, p) in parts.iter().enumerate() {
            out = self.def(
                elem,
                lanes,
                &format!("insertelement {}, {}, i64 {i}", out.arg(), p.arg()),
            );
        }
        out
    }

    /// The vector 0, 1, … as i64.
    pub(crate) fn lane_numbers(lanes: u32) -> Value {
        if lanes == 1 {
            return Value::int("i64", 0);
        }
        let list: Vec<String> = (0..lanes).map(|l| format!("i64 {l}")).collect();
        Value { text: format!("<{}>", list.join(", ")), elem: "i64", lanes, literal: false }
    }
}
