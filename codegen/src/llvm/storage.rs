//! Where local buffers lie, and what LLVM may assume about memory that never overlaps.
//!
//! In: local buffers as control flow reaches them. Out: small ones on the function's stack, others
//! in the scratch block that the caller hands to the kernel and to every task of a parallel loop
//! (on a GPU those of a thread are on the stack, which is memory of the thread; `team` places those
//! that a block's threads share);
//! alias scopes for all of them and for the kernel's buffers.
//! Keeps: memory that is free again is used again, so unrolled copies need no more of it; two
//! classes are said not to overlap only where their memory never does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use warploom_ir::affine::Name;
use warploom_ir::kernel::Local;

use super::build::Value;
use super::emit::{BufferRegs, Emitter, Machine};

/// Largest local buffer on the stack, in bytes.
const MAX_STACK_LOCAL: i64 = 4 << 10;
/// Most bytes of local buffers on one function's stack.
const MAX_STACK: i64 = 64 << 10;
/// Most alias classes of local buffers; beyond it nothing is said about them.
const MAX_CLASSES: usize = 256;
/// Metadata before the alias classes: the domain, the empty node, the alignment.
const FIXED: usize = 3;

/// The metadata of loads whose memory never changes.
pub(crate) const INVARIANT: &str = "!invariant.load !1";
/// The metadata of pointers aligned to 64 bytes.
pub(crate) const ALIGNED: &str = "!align !2";

/// A piece of memory that accesses are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A buffer of the kernel, or a stack slot.
    Whole,
    /// Bytes of the scratch block of the call, or of a task; on a GPU of a block's shared memory.
    Scratch { task: bool, from: i64, to: i64 },
}

impl Class {
    /// Whether two different classes may share bytes.
    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (
                Self::Scratch { task, from, to },
                Self::Scratch { task: other_task, from: other_from, to: other_to },
            ) => task == other_task && from < other_to && other_from < to,
            (Self::Whole, Self::Whole | Self::Scratch { .. })
            | (Self::Scratch { .. }, Self::Whole) => false,
        }
    }
}

/// A local buffer's memory on the stack.
#[derive(Clone, Debug)]
struct Slot {
    pointer: String,
    class: Option<usize>,
}

/// Memory of the function being written.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Stack slots that no live buffer uses, by size.
    spare: BTreeMap<i64, Vec<Slot>>,
    /// Bytes of all stack slots.
    stack: i64,
    /// Bytes of the scratch block that live buffers use.
    top: i64,
}

/// Memory of local buffers of the whole module.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    classes: Vec<Class>,
    /// What single instructions leave alone: classes.
    untouched: Vec<Vec<usize>>,
    /// The most classes there can be.
    most: usize,
    pub(crate) frame: Frame,
    /// Local buffers around what is being written, outermost first.
    pub(crate) live: Vec<Name>,
    /// Bytes of scratch memory that a call needs.
    pub(crate) call_bytes: i64,
    /// Bytes of scratch memory that a task of a parallel loop needs.
    pub(crate) task_bytes: i64,
}

impl Storage {
    /// Classes for the kernel's buffers.
    pub(crate) fn new(buffers: usize) -> Self {
        let most = buffers.saturating_add(MAX_CLASSES);
        Self { classes: vec![Class::Whole; buffers], most, ..Self::default() }
    }

    fn class(&mut self, class: Class) -> Option<usize> {
        let known = match class {
            Class::Whole => None,
            Class::Scratch { .. } => self.classes.iter().position(|c| *c == class),
        };
        known.or_else(|| {
            let room = self.classes.len() < self.most;
            room.then(|| {
                self.classes.push(class);
                self.classes.len() - 1
            })
        })
    }

    /// The class of bytes of a block's shared memory.
    pub(crate) fn shared_class(&mut self, from: i64, to: i64) -> Option<usize> {
        self.class(Class::Scratch { task: false, from, to })
    }

    /// The annotation of a barrier around which other threads write these bytes of shared memory
    /// alone, from and to.
    pub(crate) fn shared_but(&mut self, written: &BTreeSet<(i64, i64)>) -> String {
        let written: Vec<Class> =
            (written.iter()).map(|&(from, to)| Class::Scratch { task: false, from, to }).collect();
        let shared = |c: &Class| matches!(c, Class::Scratch { task: false, .. });
        let others = self.classes.iter().enumerate().filter(|(_, c)| shared(c));
        let apart: Vec<usize> = others
            .filter(|(_, c)| !written.iter().any(|w| w == *c || c.overlaps(*w)))
            .map(|(i, _)| i)
            .collect();
        if apart.is_empty() {
            return String::new();
        }
        self.untouched.push(apart);
        format!(", !noalias !{}", FIXED + 3 * self.most + self.untouched.len() - 1)
    }

    /// Scopes that say that classes do not overlap.
    pub(crate) fn metadata(&self, out: &mut String) {
        out.push_str("!0 = distinct !{!0, !\"arrays\"}\n!1 = !{}\n!2 = !{i64 64}\n");
        for (i, class) in self.classes.iter().enumerate() {
            let others: Vec<String> = (self.classes.iter().enumerate())
                .filter(|(j, other)| *j != i && !class.overlaps(**other))
                .map(|(j, _)| format!("!{}", FIXED + 3 * j))
                .collect();
            let at = FIXED + 3 * i;
            let _ = writeln!(out, "!{at} = distinct !{{!{at}, !0}}");
            let _ = writeln!(out, "!{} = !{{!{at}}}", at + 1);
            let _ = writeln!(out, "!{} = !{{{}}}", at + 2, others.join(", "));
        }
        for (i, classes) in self.untouched.iter().enumerate() {
            let scopes: Vec<String> =
                classes.iter().map(|class| format!("!{}", FIXED + 3 * class)).collect();
            let at = FIXED + 3 * self.most + i;
            let _ = writeln!(out, "!{at} = !{{{}}}", scopes.join(", "));
        }
    }
}

/// The alias annotations of an access to a class.
pub(crate) fn alias(class: Option<usize>) -> String {
    class.map_or_else(String::new, |class| {
        let at = FIXED + 3 * class;
        format!(", !alias.scope !{}, !noalias !{}", at + 1, at + 2)
    })
}

/// Elements between neighbours, per dimension of a local buffer.
pub(super) fn strides(l: &Local) -> Vec<Value> {
    let mut strides = vec![Value::int("i64", 1); l.shape.len()];
    let mut inner = 1;
    for d in (1..l.shape.len()).rev() {
        inner *= l.shape[d];
        strides[d - 1] = Value::int("i64", inner.into());
    }
    strides
}

impl Emitter<'_> {
    /// A local buffer and what runs while it exists.
    pub(crate) fn local(&mut self, l: &Local) {
        let text = "verified: positive extents, few bytes";
        let (bytes, stack) = match self.machine {
            Machine::Host { .. } => {
                let bytes = l.bytes().expect(text);
                (bytes, bytes <= MAX_STACK_LOCAL && self.stack_has_room(bytes))
            }
            Machine::Gpu => (l.bytes_per_thread().expect(text), true),
        };
        let slot = if stack { self.stack_slot(bytes) } else { self.scratch_slot(bytes) };
        let mut strides = strides(l);
        if let Machine::Gpu = self.machine {
            // the thread's own numbers are in no address
            strides[..l.across.len()].fill(Value::int("i64", 0));
        }
        let pointer = Value::register(slot.pointer.clone(), "ptr", 1);
        let (class, dtype, packed) = (slot.class, l.dtype, false);
        let regs = BufferRegs { class, pointer, strides, dtype, packed, stack };
        self.buffers.insert(l.name.clone(), regs);
        self.storage.live.push(l.name.clone());
        self.nodes(&l.body);
        self.storage.live.pop();
        self.buffers.remove(&l.name);
        if stack {
            self.storage.frame.spare.entry(bytes).or_default().push(slot);
        } else {
            self.storage.frame.top -= bytes;
        }
    }

    fn stack_has_room(&self, bytes: i64) -> bool {
        let frame = &self.storage.frame;
        frame.spare.get(&bytes).is_some_and(|s| !s.is_empty()) || frame.stack + bytes <= MAX_STACK
    }

    fn stack_slot(&mut self, bytes: i64) -> Slot {
        if let Some(slot) = self.storage.frame.spare.get_mut(&bytes).and_then(Vec::pop) {
            return slot;
        }
        self.storage.frame.stack += bytes;
        let pointer = self.f.alloca(&format!("[{bytes} x i8]"), 1, 1, 64);
        let class = self.storage.class(Class::Whole);
        Slot { pointer, class }
    }

    fn scratch_slot(&mut self, bytes: i64) -> Slot {
        let from = self.storage.frame.top;
        let to = from + bytes;
        self.storage.frame.top = to;
        let task = self.in_parallel;
        let storage = &mut self.storage;
        let most = if task { &mut storage.task_bytes } else { &mut storage.call_bytes };
        *most = to.max(*most);
        let class = storage.class(Class::Scratch { task, from, to });
        let text = format!("getelementptr inbounds i8, ptr %scratch, i64 {from}");
        Slot { pointer: self.f.def("ptr", 1, &text).text, class }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_memory_that_is_apart_is_said_to_be_apart() {
        let scratch = |task, from, to| Class::Scratch { task, from, to };
        let all = [
            Class::Whole,
            scratch(false, 0, 64),
            scratch(true, 0, 64),
            scratch(true, 64, 128),
            scratch(true, 0, 128),
        ];
        let overlap = [(2, 4), (3, 4), (4, 2), (4, 3)];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate().filter(|(j, _)| *j != i) {
                assert_eq!(a.overlaps(*b), overlap.contains(&(i, j)), "{a:?} {b:?}");
            }
        }
        let mut storage = Storage::new(1);
        let classes: Vec<_> = all[1..].iter().map(|c| storage.class(*c)).collect();
        assert_eq!(classes, [Some(1), Some(2), Some(3), Some(4)]);
        assert_eq!(storage.class(scratch(true, 64, 128)), Some(3));
        let mut text = String::new();
        storage.metadata(&mut text);
        // class 4 overlaps 2 and 3, so it is apart from 0 and 1 only
        assert!(text.contains("!17 = !{!3, !6}\n"), "{text}");
        let many = (1..).take_while(|i| storage.class(scratch(true, 0, i * 256)).is_some());
        assert_eq!(many.count() + 5, MAX_CLASSES + 1);
    }
}
