//! Every construct survives printing and parsing; broken texts are refused with a place.

use super::*;

/// A source of choices that covers every variant in turn.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn int(&mut self) -> i64 {
        [0, 1, -1, 7, -40, i64::MAX, i64::MIN][self.below(7) as usize]
    }

    fn name(&mut self) -> Name {
        ["i", "S1.k.0", "N", "min", "all", "for", "_x", "select"][self.below(8) as usize].into()
    }

    fn index(&mut self, depth: u32) -> Index {
        let n = if depth == 0 { 2 } else { 9 };
        let sub = |c: &mut Self| Box::new(c.index(depth - 1));
        match self.below(n) {
            0 => Index::Const(self.int()),
            1 => Index::Var(self.name()),
            2 => Index::Add(sub(self), sub(self)),
            3 => Index::Sub(sub(self), sub(self)),
            4 => Index::Mul(self.int(), sub(self)),
            5 => Index::FloorDiv(sub(self), self.int()),
            6 => Index::Mod(sub(self), self.int()),
            7 if self.below(2) == 0 => Index::Min(sub(self), sub(self)),
            7 => Index::Max(sub(self), sub(self)),
            _ => Index::Select(Box::new(self.condition(depth - 1)), sub(self), sub(self)),
        }
    }

    fn condition(&mut self, depth: u32) -> Condition {
        let parts = |c: &mut Self| (0..c.below(3)).map(|_| c.condition(depth - 1)).collect();
        match self.below(if depth == 0 { 2 } else { 4 }) {
            0 => Condition::Ge(self.index(depth), self.index(depth)),
            1 => Condition::Eq(self.index(depth), self.index(depth)),
            2 => Condition::All(parts(self)),
            _ => Condition::Any(parts(self)),
        }
    }

    fn literal(&mut self) -> Literal {
        match self.below(3) {
            0 => Literal::Int(self.int()),
            1 => Literal::Bool(self.below(2) == 0),
            _ => Literal::Float(
                [0.0, -0.0, 1.5, -1e300, 5e-324, f64::NAN, f64::NEG_INFINITY, 1e16]
                    [self.below(8) as usize],
            ),
        }
    }

    fn indices(&mut self) -> Vec<Index> {
        (0..self.below(4)).map(|_| self.index(2)).collect()
    }

    fn typed(&mut self, depth: u32) -> Typed<Index> {
        let sub = |c: &mut Self| Box::new(c.typed(depth - 1));
        let dtype = DType::ALL[self.below(16) as usize];
        let kind = match self.below(if depth == 0 { 3 } else { 9 }) {
            0 => TypedKind::Literal(self.literal()),
            1 => TypedKind::Index(self.index(2)),
            2 => TypedKind::Read { array: self.name(), indices: self.indices() },
            3 => TypedKind::Unary(UnOp::ALL[self.below(17) as usize], sub(self)),
            4 => TypedKind::Binary(BinOp::ALL[self.below(22) as usize], sub(self), sub(self)),
            5 => TypedKind::Fma(sub(self), sub(self), sub(self)),
            6 => TypedKind::Select(sub(self), sub(self), sub(self)),
            7 => TypedKind::Bitcast(sub(self)),
            _ => TypedKind::Convert {
                rounding: [Rounding::Nearest, Rounding::Zero, Rounding::Up, Rounding::Down]
                    [self.below(4) as usize],
                saturate: self.below(2) == 0,
                value: sub(self),
            },
        };
        Typed { dtype, kind }
    }

    fn nodes(&mut self, depth: u32) -> Vec<KernelNode> {
        let n = self.below(3);
        (0..n).map(|_| self.node(depth)).collect()
    }

    fn node(&mut self, depth: u32) -> KernelNode {
        use AssignOp::{Add, Max, Min, Mul, Set};
        match self.below(if depth == 0 { 1 } else { 4 }) {
            1 => KernelNode::If(self.condition(2), self.nodes(depth - 1), self.nodes(depth - 1)),
            2 => KernelNode::Loop(KernelLoop {
                var: self.name(),
                label: self.name(),
                lower: self.index(2),
                upper: self.index(2),
                step: self.int(),
                mode: match self.below(5) {
                    0 => LoopMode::Serial,
                    1 => LoopMode::Parallel,
                    2 => LoopMode::Vector,
                    3 => LoopMode::Unroll,
                    _ => LoopMode::Mapped(Place::ALL[self.below(6) as usize]),
                },
                body: self.nodes(depth - 1),
            }),
            3 => KernelNode::Local(Local {
                name: self.name(),
                dtype: DType::ALL[self.below(16) as usize],
                shape: (0..self.below(4)).map(|_| self.int()).collect(),
                across: (0..self.below(3)).map(|_| Place::ALL[self.below(6) as usize]).collect(),
                body: self.nodes(depth - 1),
            }),
            _ => KernelNode::Store(Store {
                statement: ["S0", "strict", "if", "else", "in", "local"][self.below(6) as usize]
                    .into(),
                array: self.name(),
                dtype: DType::ALL[self.below(16) as usize],
                indices: self.indices(),
                op: [Set, Add, Mul, Min, Max][self.below(5) as usize],
                value: self.typed(3),
                guard: if self.below(2) == 0 { Some(self.typed(1)) } else { None },
                order: [Order::Serial, Order::Fixed, Order::Any, Order::Exact]
                    [self.below(4) as usize],
                strict: self.below(2) == 0,
            }),
        }
    }

    fn kernel(&mut self) -> Kernel {
        let roles = [Role::In, Role::Out, Role::InOut, Role::Temp];
        let buffers = (0..self.below(5))
            .map(|_| Buffer {
                name: self.name(),
                role: match self.below(5) {
                    4 => Role::Const((0..self.below(4)).map(|_| self.literal()).collect()),
                    n => roles[n as usize].clone(),
                },
                dtype: DType::ALL[self.below(16) as usize],
                shape: self.indices(),
                of: (self.below(3) == 0).then(|| (0..self.below(4)).map(|_| self.int()).collect()),
            })
            .collect();
        let params = (0..self.below(3)).map(|_| self.name()).collect();
        Kernel { name: self.name(), params, buffers, body: self.nodes(3) }
    }
}

#[test]
fn random_kernels_round_trip() {
    for seed in 0..3000 {
        let k = Choices(seed).kernel();
        let text = k.to_string();
        let back: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!(back, k, "{text}");
    }
}

#[test]
fn broken_texts_are_refused_with_a_place() {
    for bad in [
        "",
        "kernel",
        "kernel k() { in A f32[1] }",
        "kernel k() { S: A[0]:f32 = 1.0:f32 }",
        "kernel k() { S: A[0]:f32 = foo.f32(1:f32) order any }",
        "kernel k() { S: A[0]:f32 = add.f32.sat(1:f32, 1:f32) order any }",
        "kernel k() { for i in 0.. { } }",
        "kernel k() { } }",
        "kernel k() { local T: f32[N] { } }",
        "kernel k() { local T: f32[4] S: T[0]:f32 = 1:f32 order any }",
        "kernel k() { S: A[f(i)]:f32 = 1:f32 order any }",
    ] {
        let e = bad.parse::<Kernel>().unwrap_err();
        assert_eq!(e.code, "E0103", "{bad}");
        assert_eq!(e.labels.len(), 1, "{bad}");
    }
    let deep = format!("kernel k() {{ for i in 0..{} {{ }} }}", "(".repeat(10_000));
    assert_eq!(deep.parse::<Kernel>().unwrap_err().code, "E0104");
}
