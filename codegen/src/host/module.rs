//! A kernel's module for the host: its entry, and the bodies of parallel loops as functions.
//!
//! In: a verified kernel. Out: a module's text whose entry is
//! `void NAME(ptr buffers, ptr params, ptr pool, ptr pool_context, ptr scratch)`.

use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::kernel::{Kernel, KernelNode};

use crate::llvm::build::{Function, Value};
use crate::llvm::emit::{BufferRegs, Counted, Emitter, Machine};
use crate::llvm::lin::Lin;
use crate::llvm::storage::{ALIGNED, INVARIANT, Storage};

/// A kernel's module.
pub(crate) struct Emitted {
    /// LLVM's text.
    pub(crate) text: String,
    /// Bytes of scratch memory that a call needs.
    pub(crate) call_bytes: usize,
    /// Bytes of scratch memory that each task of a parallel loop needs.
    pub(crate) task_bytes: usize,
}

/// The LLVM module of a kernel, for a machine with vector registers of `vector_bytes`.
pub(crate) fn module(kernel: &Kernel, vector_bytes: u32, attributes: &str) -> Emitted {
    let header = format!(
        "define void @{}(ptr noalias %bufs, ptr noalias %params, ptr %pool, ptr %ctx, \
         ptr noalias %scratch) #0",
        entry_name(kernel)
    );
    let mut e = Emitter::new(kernel, Machine::Host { vector_bytes }, header);
    e.prologue();
    e.nodes(&kernel.body);
    let main = std::mem::take(&mut e.f).finish();
    let mut out = format!("; kernel {}\n", kernel.name.escape_debug());
    for f in &e.externs {
        let elem = f.elem;
        let types = vec![elem; f.operands].join(", ");
        let _ = writeln!(out, "declare {elem} @{}({types}) #1", f.symbol());
    }
    for function in &e.functions {
        out.push_str(function);
    }
    out.push_str(&main);
    let _ = writeln!(out, "attributes #0 = {{ nounwind {attributes} }}");
    out.push_str("attributes #1 = { nounwind willreturn memory(none) }\n");
    e.storage.metadata(&mut out);
    let bytes = |b: i64| usize::try_from(b).expect("verified: few bytes of local buffers");
    let Storage { call_bytes, task_bytes, .. } = e.storage;
    Emitted { text: out, call_bytes: bytes(call_bytes), task_bytes: bytes(task_bytes) }
}

/// The entry point's symbol: the kernel's name in letters that need no quotes.
pub(crate) fn entry_name(kernel: &Kernel) -> String {
    let safe: String =
        kernel.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("wl_{safe}")
}

impl Emitter<'_> {
    /// Loads parameters and buffer addresses and computes strides.
    fn prologue(&mut self) {
        for (i, name) in self.kernel.params.iter().enumerate() {
            let p = self.f.def("ptr", 1, &format!("getelementptr i64, ptr %params, i64 {i}"));
            let v =
                self.f.def("i64", 1, &format!("load i64, ptr {}, align 8, {INVARIANT}", p.text));
            self.vars.insert(name.clone(), v);
        }
        for (index, buffer) in self.kernel.buffers.iter().enumerate() {
            let p = self.f.def("ptr", 1, &format!("getelementptr ptr, ptr %bufs, i64 {index}"));
            let load = format!("load ptr, ptr {}, align 8, {ALIGNED}, {INVARIANT}", p.text);
            let pointer = self.f.def("ptr", 1, &load);
            self.bind(index, buffer, pointer);
        }
    }

    /// A loop whose body becomes a function `(env, from, to)` over iteration numbers.
    pub(crate) fn parallel(&mut self, c: &Counted, body: &[KernelNode]) {
        let trip = self.lin(&c.trip);
        let lower = self.lin(&c.lower);
        let outer: Vec<Name> =
            self.vars.keys().filter(|n| !self.kernel.params.contains(n)).cloned().collect();
        let live = self.storage.live.clone();
        let slots = 3 + outer.len() + live.len();
        let env = self.f.alloca("i64", 1, slots, 8);
        let mut fields = vec!["ptr %bufs".to_owned(), "ptr %params".to_owned(), lower.arg()];
        fields.extend(outer.iter().map(|n| self.vars[n].arg()));
        fields.extend(live.iter().map(|n| self.buffers[n].pointer.arg()));
        for (i, field) in fields.iter().enumerate() {
            let p = self.f.def("ptr", 1, &format!("getelementptr i64, ptr {env}, i64 {i}"));
            self.f.line(&format!("store {field}, ptr {}, align 8", p.text));
        }
        let name = format!("{}.par{}", entry_name(self.kernel), self.functions.len());
        self.f.line(&format!(
            "call void %pool(ptr %ctx, ptr @\"{name}\", ptr {env}, i64 {})",
            trip.text
        ));
        self.outlined(&name, c, &outer, body);
    }

    fn outlined(&mut self, name: &str, c: &Counted, outer: &[Name], body: &[KernelNode]) {
        let header = format!(
            "define internal void @\"{name}\"(ptr noalias %env, i64 %from, i64 %to, \
             ptr noalias %scratch) #0"
        );
        // reserves the name's number while the body may outline more
        let place = self.functions.len();
        self.functions.push(String::new());
        let function = std::mem::replace(&mut self.f, Function::new(header));
        let vars = std::mem::take(&mut self.vars);
        let buffers = std::mem::take(&mut self.buffers);
        let frame = std::mem::take(&mut self.storage.frame);
        let env = self.env.clone();
        for (i, (name, ty)) in [("%bufs", "ptr"), ("%params", "ptr")].iter().enumerate() {
            self.f.line(&format!("{name}.p = getelementptr i64, ptr %env, i64 {i}"));
            self.f.line(&format!("{name} = load {ty}, ptr {name}.p, align 8"));
        }
        self.prologue();
        let field = |e: &mut Self, i: usize, elem| {
            let p = e.f.def("ptr", 1, &format!("getelementptr i64, ptr %env, i64 {i}"));
            e.f.def(elem, 1, &format!("load {elem}, ptr {}, align 8", p.text))
        };
        let lower = field(self, 2, "i64");
        for (i, n) in outer.iter().enumerate() {
            let v = field(self, 3 + i, "i64");
            self.vars.insert(n.clone(), v);
        }
        for (i, n) in self.storage.live.clone().into_iter().enumerate() {
            let pointer = field(self, 3 + outer.len() + i, "ptr");
            let regs = BufferRegs { pointer, stack: false, ..buffers[&n].clone() };
            self.buffers.insert(n, regs);
        }
        let register = |text: &str| Value::register(text, "i64", 1);
        let (from, to) = (Name::from("%from"), Name::from("%to"));
        self.vars.insert(from.clone(), register("%from"));
        self.vars.insert(to.clone(), register("%to"));
        let base = Name::from("%lower");
        self.vars.insert(base.clone(), lower);
        self.in_parallel = true;
        let first = Lin::var(&base).plus(c.step, &Lin::var(&from));
        let trip = Lin::var(&to).plus(-1, &Lin::var(&from));
        self.counted(&Counted { lower: first, trip, ..c.clone() }, body);
        self.in_parallel = false;
        let done = std::mem::replace(&mut self.f, function);
        self.functions[place] = done.finish();
        self.vars = vars;
        self.buffers = buffers;
        self.storage.frame = frame;
        self.env = env;
    }
}
