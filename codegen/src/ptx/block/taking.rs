//! Iterations that a block takes from others of the grid: requests, answers, and the loop over what
//! they give.
//!
//! Keeps: all threads of a role read the same answer; it goes through a broadcast, so that the
//! assembler sees that a warp stays together. Which block is asked for only where one was canceled:
//! else the answer has none (PTX ISA 8.8, `clusterlaunchcontrol.query_cancel`).

use warploom_ir::instruction::Code;
use warploom_ir::kernel::device::{Taking, Tile};

use super::{SHARED_POINTER, implied, intrinsic};
use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::ptx::module::hardware;

impl Emitter<'_> {
    /// Asks for a block.
    pub(super) fn ask(&mut self, code: &Code, to: &Tile, barrier: &Tile) {
        let place = self.answer_place(to);
        let slot = self.slot(barrier);
        let name = intrinsic(code);
        self.f
            .line(&format!("call void {name}({SHARED_POINTER} {place}, {SHARED_POINTER} {slot})"));
    }

    /// Reads an answer, which the end of the iteration looks at.
    pub(super) fn read_answer(&mut self, code: &Code, from: &Tile) {
        let place = self.answer_place(from);
        let text = format!("load i128, {SHARED_POINTER} {place}, align 16");
        let answer = self.f.def("i128", 1, &text);
        let text = format!("call i1 {}({})", intrinsic(code), answer.arg());
        let taken = self.f.def("i1", 1, &text);
        self.state().answer = Some((answer, taken));
    }

    fn answer_place(&mut self, tile: &Tile) -> String {
        let (shared, starts) = (self.shared(tile), self.starts(tile));
        let offset = self.offset(&shared, &starts);
        self.place(&offset, shared.panel)
    }

    /// The first thread's value, in all threads of the warp.
    pub(super) fn same(&mut self, value: &Value) -> Value {
        let name = implied("broadcast");
        let text = format!("call i32 {name}(i32 -1, {}, i32 0, i32 31)", value.arg());
        self.f.def("i32", 1, &text)
    }

    /// The same number, of which LLVM sees how many bits it has: quotients then take few
    /// instructions.
    fn narrowed(&mut self, number: Value) -> Value {
        let bits =
            self.state().below.and_then(|n| u64::try_from(n).ok()?.checked_next_power_of_two());
        match bits {
            Some(bits) => self.f.bin_int("and", &number, i128::from(bits) - 1),
            None => number,
        }
    }

    /// The block's own iteration, and those that it takes.
    pub(super) fn taking(&mut self, t: &Taking) {
        let own = self.vars[&t.of].clone();
        let (head, again, last) =
            (self.f.label("taken"), self.f.label("again"), self.f.label("last"));
        let from = self.f.current_block();
        self.f.br(&head);
        self.f.start(&head);
        let [iteration, count, next, more] = [(); 4].map(|()| self.f.fresh());
        let enter = |f: &mut crate::llvm::build::Function, var: &str, first: &str, next: &str| {
            f.line(&format!("{var} = phi i64 [ {first}, %{from} ], [ {next}, %{again} ]"));
        };
        enter(&mut self.f, &iteration, &own.text, &next);
        enter(&mut self.f, &count, "0", &more);
        for (var, register) in t.vars.iter().zip([&iteration, &count]) {
            let value = self.narrowed(Value::register(register.clone(), "i64", 1));
            self.vars.insert(var.clone(), value);
        }
        self.nodes(&t.body);
        let (answer, taken) = self.state().answer.take().expect("verified: an answer is read");
        let taken = self.f.cast("zext", &taken, "i32");
        let taken = self.same(&taken);
        let taken = self.f.cmp_int("ne", &taken, 0);
        self.f.cond_br(&taken, &again, &last);
        self.f.start(&again);
        let name = implied("clusterlaunchcontrol.first_block");
        let first = self.f.def("i32", 1, &format!("call i32 {name}({})", answer.arg()));
        let first = self.same(&first);
        let blocks = self.state().block.cluster_size().expect("verified: a few blocks");
        let number = self.f.bin_int("udiv", &first, blocks.into());
        let number = self.f.cast("zext nneg", &number, "i64");
        // as many blocks further as the grid's loop goes on
        let register = if blocks > 1 { "clusterid" } else { "ctaid" };
        let mine = hardware(self, register, 0);
        let further = self.f.bin("sub", &number, &mine);
        self.f.line(&format!("{next} = add i64 {}, {}", own.text, further.text));
        self.f.line(&format!("{more} = add nuw nsw i64 {count}, 1"));
        self.f.br(&head);
        self.f.start(&last);
        self.nodes(&t.last);
        t.vars.iter().for_each(|var| {
            self.vars.remove(var);
        });
    }
}
