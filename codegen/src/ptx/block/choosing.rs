//! The loop over iterations that data choose.
//!
//! Keeps: the answer goes through a broadcast, so that the assembler sees that a warp stays
//! together; all its threads read the same elements.

use warploom_ir::kernel::device::Choosing;

use crate::llvm::build::Value;
use crate::llvm::emit::Emitter;
use crate::llvm::lin::Lin;

impl Emitter<'_> {
    /// The body for each iteration for which the value is true, and what runs after the last.
    pub(super) fn choosing(&mut self, c: &Choosing) {
        let [lower, upper] = [&c.lower, &c.upper].map(|e| Lin::of(e, &self.env));
        let around = self.ranges.clone();
        let [first, end] = [&lower, &upper].map(|lin| self.lin(lin));
        let [head, test, run, latch, done] =
            ["head", "test", "run", "latch", "done"].map(|what| self.f.label(what));
        let from = self.f.current_block();
        self.f.br(&head);
        self.f.start(&head);
        let [i, count, seen] = [(); 3].map(|()| self.f.fresh());
        let [i_next, count_next, seen_next] = [(); 3].map(|()| self.f.fresh());
        for (now, start, next) in [
            (&i, &*first.text, &i_next),
            (&count, "0", &count_next),
            (&seen, &*first.text, &seen_next),
        ] {
            self.f.line(&format!("{now} = phi i64 [ {start}, %{from} ], [ {next}, %{latch} ]"));
        }
        let [i_, count_, seen_] =
            [&i, &count, &seen].map(|text| Value::register(text.clone(), "i64", 1));
        let more = self.f.cmp("slt", &i_, &end);
        self.f.cond_br(&more, &test, &done);
        self.f.start(&test);
        if let (Some((low, _)), Some((_, high))) = (lower.range(&around), upper.range(&around)) {
            self.ranges.insert(c.vars[0].clone(), (low, high - 1));
            self.ranges.insert(c.vars[1].clone(), (0, high - low - 1));
        }
        self.at_iteration(c, [i_, count_.clone()]);
        let chosen = self.typed(&c.when);
        let chosen = self.f.cast("zext", &chosen, "i32");
        let chosen = self.same(&chosen);
        let chosen = self.f.cmp_int("ne", &chosen, 0);
        let tested = self.f.current_block();
        self.f.cond_br(&chosen, &run, &latch);
        self.f.start(&run);
        self.nodes(&c.body);
        let ran = self.f.current_block();
        let one_more = self.f.bin_int("add nuw nsw", &count_, 1);
        self.f.br(&latch);
        self.f.start(&latch);
        for (next, stays, new) in [(&count_next, &count, &*one_more.text), (&seen_next, &seen, &*i)]
        {
            self.f.line(&format!("{next} = phi i64 [ {stays}, %{tested} ], [ {new}, %{ran} ]"));
        }
        self.f.line(&format!("{i_next} = add nsw i64 {i}, 1"));
        self.f.br(&head);
        self.f.start(&done);
        if !c.last.is_empty() {
            let (last, end) = (self.f.label("last"), self.f.label("end"));
            let any = self.f.cmp_int("sgt", &count_, 0);
            self.f.cond_br(&any, &last, &end);
            self.f.start(&last);
            let before = self.f.bin_int("add nsw", &count_, -1);
            self.at_iteration(c, [seen_, before]);
            self.nodes(&c.last);
            self.f.br(&end);
            self.f.start(&end);
        }
        self.ranges = around;
        c.vars.iter().for_each(|var| {
            self.vars.remove(var);
        });
    }

    fn at_iteration(&mut self, c: &Choosing, values: [Value; 2]) {
        self.vars.extend(c.vars.iter().cloned().zip(values));
    }
}
