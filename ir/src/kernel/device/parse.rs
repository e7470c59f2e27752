//! The parser of a block program's text.
//!
//! Keeps: syntax only, as the rest of the kernel's parser.

use super::{
    Across, Barrier, Block, Call, Choosing, ClusterLoop, Device, Fragment, Operand, Role, Share,
    Shared, Slice, Taking, Teams, Tensor, Tile,
};
use crate::affine::Name;
use crate::diag::Result;
use crate::kernel::parse::Parser;
use crate::kernel::{Index, KernelNode};
use crate::lex::Tok;

impl Parser {
    /// A node of a block program, where a word starts one.
    pub(in crate::kernel) fn device(&mut self) -> Result<Option<Device>> {
        Ok(Some(if self.eat_word("block") {
            Device::Block(self.block()?)
        } else if self.eat_word("one") {
            self.expect("{")?;
            Device::One(self.nodes()?)
        } else if self.eat_word("fragment") {
            Device::Fragment(self.fragment()?)
        } else if self.eat_word("do") {
            let start = self.last_span();
            let call = self.device_call()?;
            self.placed(call.to_string(), start);
            Device::Call(call)
        } else {
            return Ok(None);
        }))
    }

    fn block(&mut self) -> Result<Block> {
        self.expect("{")?;
        let (mut shared, mut tensors) = (Vec::new(), Vec::new());
        let (mut barriers, mut roles) = (Vec::new(), Vec::new());
        while self.eat_word("shared") {
            let name = self.place_name()?;
            self.expect(":")?;
            let dtype = self.dtype()?;
            self.expect("[")?;
            let shape = self.list("]", |p| p.integer("an extent"))?;
            let panel =
                if self.eat_word("panel") { Some(self.integer("bytes of a panel")?) } else { None };
            shared.push(Shared { name, dtype, shape, panel });
        }
        while self.eat_word("tensor") {
            let name = self.place_name()?;
            self.expect(":")?;
            let dtype = self.dtype()?;
            self.expect("[")?;
            let shape = self.list("]", |p| p.integer("an extent"))?;
            tensors.push(Tensor { name, dtype, shape });
        }
        while self.eat_word("barrier") {
            let name = self.place_name()?;
            self.expect("[")?;
            let slots = self.integer("how many barriers")?;
            self.expect("]")?;
            self.expect_word("count")?;
            barriers.push(Barrier { name, slots, count: self.integer("arrivals of a phase")? });
        }
        while self.eat_word("role") {
            let name = self.place_name()?;
            self.expect_word("warps")?;
            let warps = self.integer("how many warps")?;
            let more = self.eat_word("registers");
            let registers = if more { Some(self.integer("registers of a thread")?) } else { None };
            self.expect("{")?;
            roles.push(Role { name, warps, registers, body: self.nodes()? });
        }
        self.expect("}")?;
        Ok(Block { cluster: Vec::new(), shared, tensors, barriers, roles })
    }

    fn fragment(&mut self) -> Result<Fragment> {
        let name = self.place_name()?;
        self.expect(":")?;
        let dtype = self.dtype()?;
        self.expect("[")?;
        let rows = self.integer("rows")?;
        self.expect(",")?;
        let shape = [rows, self.integer("columns")?];
        self.expect("]")?;
        self.expect_word("as")?;
        let layout = self.name()?;
        self.expect("{")?;
        Ok(Fragment { name, dtype, shape, layout, body: self.nodes()? })
    }

    /// The rest of `for ROW, COL across FRAGMENT { … }`, maybe of a part `[…]` of it and with
    /// `reduce COL`, or of
    /// `for I, … over EXTENT, … by PIECE, … { … }`, or of
    /// `for I, COUNT taking LOOP { … } last { … }`, or of
    /// `for I, COUNT in LOWER..UPPER when VALUE { … } last { … }`, after the first name.
    pub(in crate::kernel) fn elements(&mut self, first: Name) -> Result<KernelNode> {
        let mut vars = vec![first];
        while self.eat(",") {
            vars.push(self.place_name()?);
        }
        if let ([row, col], true) = (vars.as_slice(), self.at_word("across")) {
            let vars = [row.clone(), col.clone()];
            self.expect_word("across")?;
            let fragment = self.name()?;
            let part = if self.eat("[") { self.slices()? } else { Vec::new() };
            let reduce = self.eat_word("reduce");
            if reduce {
                self.expect_word(col)?;
            }
            self.expect("{")?;
            let body = self.nodes()?;
            return Ok(Device::Across(Across { vars, fragment, part, reduce, body }).into());
        }
        if let ([iteration, count], true) = (vars.as_slice(), self.at_word("taking")) {
            let vars = [iteration.clone(), count.clone()];
            return self.taking(vars);
        }
        if let ([iteration, count], true) = (vars.as_slice(), self.at_word("in")) {
            let vars = [iteration.clone(), count.clone()];
            return self.choosing(vars);
        }
        if !self.eat_word("over") {
            return Err(self.unexpected("`across`, `over`, `taking` or `in`"));
        }
        let extents = self.integers("an extent")?;
        self.expect_word("by")?;
        let piece = self.integers("neighbours of a piece")?;
        self.expect("{")?;
        Ok(Device::Share(Share { vars, extents, piece, body: self.nodes()? }).into())
    }

    /// The rest of `for I, COUNT taking LOOP { … } last { … }`, from `taking` on.
    fn taking(&mut self, vars: [Name; 2]) -> Result<KernelNode> {
        self.expect_word("taking")?;
        let of = self.name()?;
        let [body, last] = self.with_last()?;
        Ok(Device::Taking(Taking { vars, of, body, last }).into())
    }

    /// The rest of `for I, COUNT in LOWER..UPPER when VALUE { … } last { … }`, from `in` on.
    fn choosing(&mut self, vars: [Name; 2]) -> Result<KernelNode> {
        self.expect_word("in")?;
        let lower = self.index()?;
        self.expect("..")?;
        let upper = self.index()?;
        self.expect_word("when")?;
        let when = self.typed()?;
        let [body, last] = self.with_last()?;
        Ok(Device::Choosing(Choosing { vars, lower, upper, when, body, last }).into())
    }

    /// `{ … } last { … }`; the second may be left out.
    fn with_last(&mut self) -> Result<[Vec<KernelNode>; 2]> {
        self.expect("{")?;
        let body = self.nodes()?;
        let more = self.eat_word("last");
        if more {
            self.expect("{")?;
        }
        let last = if more { self.nodes()? } else { Vec::new() };
        Ok([body, last])
    }

    fn integers(&mut self, what: &str) -> Result<Vec<i64>> {
        let mut out = vec![self.integer(what)?];
        while self.eat(",") {
            out.push(self.integer(what)?);
        }
        Ok(out)
    }

    /// The rest of `for VAR in 0..COUNT warps WARPS { … }`, after `warps`.
    pub(in crate::kernel) fn teams(
        &mut self,
        var: Name,
        lower: &Index,
        upper: &Index,
    ) -> Result<KernelNode> {
        let (Index::Const(0), Index::Const(count)) = (lower, upper) else {
            return Err(self.unexpected("a loop from 0 to a number before `warps`"));
        };
        let warps = self.integer("how many warps")?;
        self.expect("{")?;
        Ok(Device::Teams(Teams { var, count: *count, warps, body: self.nodes()? }).into())
    }

    /// The rest of `for VAR in 0..COUNT cluster { block { … } }`, after `cluster`.
    pub(in crate::kernel) fn cluster(
        &mut self,
        var: Name,
        lower: &Index,
        upper: &Index,
    ) -> Result<KernelNode> {
        let mut cluster = vec![self.cluster_loop(var, lower, upper)?];
        while self.eat_word("for") {
            let var = self.place_name()?;
            self.expect_word("in")?;
            let lower = self.index()?;
            self.expect("..")?;
            let upper = self.index()?;
            self.expect_word("cluster")?;
            cluster.push(self.cluster_loop(var, &lower, &upper)?);
        }
        if !self.eat_word("block") {
            return Err(self.unexpected("`block`, or another loop over blocks of the cluster"));
        }
        let block = self.block()?;
        for _ in &cluster {
            self.expect("}")?;
        }
        Ok(Device::Block(Block { cluster, ..block }).into())
    }

    fn cluster_loop(&mut self, var: Name, lower: &Index, upper: &Index) -> Result<ClusterLoop> {
        let (Index::Const(0), Index::Const(count)) = (lower, upper) else {
            return Err(self.unexpected("a loop from 0 to a number before `cluster`"));
        };
        self.expect("{")?;
        Ok(ClusterLoop { var, count: *count })
    }

    fn device_call(&mut self) -> Result<Call> {
        let instruction = self.name()?;
        self.expect("(")?;
        Ok(Call { instruction, operands: self.list(")", Self::operand)? })
    }

    fn operand(&mut self) -> Result<Operand> {
        if !self.at_name_then("[") {
            return Ok(Operand::Value(self.index()?));
        }
        let array = self.name()?;
        self.expect("[")?;
        let at = self.slices()?;
        Ok(Operand::Tile(Tile { array, at, transposed: self.eat_word("transposed") }))
    }

    /// The rest of `[START : EXTENT step STEP, …]`.
    fn slices(&mut self) -> Result<Vec<Slice>> {
        self.list("]", |p| {
            let start = p.index()?;
            let extent = if p.eat(":") { Some(p.integer("an extent")?) } else { None };
            let wide = extent.is_some() && p.eat_word("step");
            let step = if wide { p.integer("a step")? } else { 1 };
            Ok(Slice { start, extent, step })
        })
    }

    /// Whether a comma, or `over`, comes after the name that is next.
    pub(in crate::kernel) fn at_elements(&self) -> bool {
        let word = |at: usize, such: &dyn Fn(&str) -> bool| match self.peek_at(at) {
            Tok::Ident(word) => such(word),
            _other => false,
        };
        let listed = self.at_name_then(",") && word(2, &|_| true);
        listed || (word(0, &|_| true) && word(1, &|w| w == "over"))
    }
}
