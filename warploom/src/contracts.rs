//! Contracts about code: what `require tensor_core, smem <= 200K` asks of what a script becomes.
//!
//! In: a schedule, then its code. Out: nothing, or `E0710` at the contract, with what was found.
//! Requires: `ptxas` for `no_spill` and `registers`, no GPU for any. Keeps: code that breaks a
//! contract is never given to anyone.

use warploom_ir::abi::GpuCode;
use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result, Source, Span};
use warploom_ir::kernel::device::Device;
use warploom_ir::kernel::{Kernel, KernelNode};
use warploom_ir::schedule::Contract;
use warploom_ir::schedule::step::{Step, StepKind};
use warploom_scheduler::{Schedule, model};

use crate::compile;

/// The contracts of a schedule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contracts {
    stated: Vec<(Contract, Span)>,
    source: Source,
    /// Some loops are a matrix instruction.
    tensorized: bool,
}

impl Contracts {
    /// Those that the script states.
    pub(crate) fn of(schedule: &Schedule) -> Self {
        let mut stated = Vec::new();
        collect(&schedule.script().steps, &mut stated);
        let tensorized = schedule.tree().loops().iter().any(|l| l.marks.tensor.is_some());
        Self { stated, source: schedule.script().source.clone(), tensorized }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.stated.is_empty()
    }

    /// Checks them against code of a GPU.
    ///
    /// # Errors
    /// `E0710` for the first one that is broken; `E1203` where one needs `ptxas`, which is not
    /// there.
    pub(crate) fn check(&self, code: &GpuCode) -> Result<()> {
        let needs = |c: &Contract| matches!(c, Contract::NoSpill | Contract::Registers(_));
        let assembled = match self.stated.iter().any(|(c, _)| needs(c)) {
            true => Some(Assembled::read(&compile::resources(code)?)),
            false => None,
        };
        for (contract, span) in &self.stated {
            if let Some(found) = self.broken(contract, code, assembled.as_ref()) {
                return Err(self.refused(contract, *span, &found));
            }
        }
        Ok(())
    }

    /// What is found instead, if a contract does not hold.
    fn broken(
        &self,
        contract: &Contract,
        code: &GpuCode,
        assembled: Option<&Assembled>,
    ) -> Option<String> {
        let launches = code.launches();
        let shared = launches.iter().map(|l| i64::from(l.shared_bytes)).max().unwrap_or(0);
        let count = i64::try_from(launches.len()).unwrap_or(i64::MAX);
        let engine = launches.iter().any(|l| !l.maps.is_empty());
        let (registers, spilled) = assembled.map_or((0, 0), |a| (a.registers, a.spilled));
        match contract {
            Contract::TensorCore => {
                (!self.tensorized).then(|| "no loop is a matrix instruction".to_owned())
            }
            Contract::CopyEngine => (!engine).then(|| "no box is moved by it".to_owned()),
            Contract::NoSpill => (spilled > 0).then(|| format!("a thread spills {spilled} bytes")),
            Contract::Shared(most) => {
                (shared > *most).then(|| format!("a block takes {shared} bytes"))
            }
            Contract::Registers(most) => {
                (registers > *most).then(|| format!("a thread takes {registers}"))
            }
            Contract::Launches(most) => (count > *most).then(|| format!("there are {count}")),
            Contract::Coalesced(array) => uneven(&code.kernel, array, false),
            Contract::ConflictFree(buffer) => uneven(&code.kernel, buffer, true),
        }
    }

    /// Refuses code of the CPU, which has none of what contracts are about.
    ///
    /// # Errors
    /// `E0710` for the first contract, if there is one.
    pub(crate) fn on_cpu(&self) -> Result<()> {
        match self.stated.first() {
            Some((contract, span)) => {
                Err(self.refused(contract, *span, "it is about code of a GPU, and this is the CPU"))
            }
            None => Ok(()),
        }
    }

    fn refused(&self, contract: &Contract, span: Span, found: &str) -> Box<Diagnostic> {
        let text = format!("the contract `{contract}` is broken: {found}");
        let refused = Diagnostic::new("E0710", Blame::Schedule, text);
        let stated = self.source.text.get(span.start as usize..span.end as usize);
        if stated.is_some_and(|s| s.starts_with("require")) {
            return Box::new(refused.in_source(&self.source).label(span, "stated here"));
        }
        Box::new(refused)
    }
}

/// The access of a warp to an array in memory, or a buffer in shared memory, that takes more than
/// it has to; or why that is not known.
fn uneven(kernel: &Kernel, name: &Name, shared: bool) -> Option<String> {
    let known = match shared {
        true => held(&kernel.body, name),
        false => kernel.buffers.iter().any(|b| b.name == *name),
    };
    if !known {
        let what = if shared { "buffer in shared memory" } else { "array" };
        return Some(format!("the code has no {what} `{name}`"));
    }
    // accesses are counted, whatever machine they are on
    let Some(all) = model::patterns(kernel, &model::H200) else {
        return Some("sizes are open: give them with `--size`".to_owned());
    };
    let worst = all.into_iter().filter(|p| p.array == *name && p.shared == shared);
    let worst = worst.filter(|p| !p.is_least()).max_by_key(|p| p.took - p.least)?;
    let does = if worst.read { "reads" } else { "writes" };
    let unit = if shared { "turns" } else { "sectors" };
    Some(format!("a warp {does} {} {unit} where {} would do", worst.took, worst.least))
}

/// Whether nodes hold a buffer of this name.
fn held(nodes: &[KernelNode], name: &Name) -> bool {
    nodes.iter().any(|node| match node {
        KernelNode::Loop(l) => held(&l.body, name),
        KernelNode::If(_, a, b) => held(a, name) || held(b, name),
        KernelNode::Local(l) => l.name == *name || held(&l.body, name),
        KernelNode::Store(_) => false,
        KernelNode::Device(d) => {
            let own = matches!(&**d, Device::Block(b) if b.shared.iter().any(|s| s.name == *name));
            own || d.bodies().into_iter().any(|b| held(b, name))
        }
    })
}

/// All contracts of some steps.
fn collect(steps: &[Step], out: &mut Vec<(Contract, Span)>) {
    for step in steps {
        if let StepKind::Atomically(inner) = &step.kind {
            collect(inner, out);
        }
        if let StepKind::RequireCode(contracts) = &step.kind {
            out.extend(contracts.iter().map(|c| (c.clone(), step.span)));
        }
    }
}

/// What `ptxas -v` says of all functions together.
struct Assembled {
    /// The most of any.
    registers: i64,
    /// Bytes that are stored, of all.
    spilled: i64,
}

impl Assembled {
    fn read(text: &str) -> Self {
        let all = crate::resources::functions(text);
        let registers = all.iter().map(|f| f.registers).max().unwrap_or(0);
        Self { registers, spilled: all.iter().map(|f| f.spilled).sum() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;
    use warploom_ir::nest::Nest;

    const PRODUCT: &str = "in A: bf16[256, 128] in B: bf16[128, 256] out C: f32[256, 256]
for m in 0..256, n in 0..256 {
  C[m, n] = 0
  for k in 0..128 { C[m, n] += A[m, k] * B[k, n] order fixed }
}";

    fn with(text: &str, contracts: &str, target: Target) -> Result<()> {
        let nest: Nest = text.parse()?;
        let auto = compile::auto_for(&nest, target)?;
        let script = format!("{}require {contracts}\n", auto.script()).parse()?;
        let schedule = Schedule::new(&nest)?.replay(&script)?;
        match target.gpu() {
            None => compile::compile(&schedule).map(drop),
            Some(_gpu) => compile::lower(&schedule)?.gpu(target).map(drop),
        }
    }

    #[test]
    fn contracts_hold_or_say_what_was_found() {
        let ok = |contracts| with(PRODUCT, contracts, Target::Sm90a).unwrap();
        ok("tensor_core, tma, smem <= 227K");
        ok("launches <= 1");
        for (contracts, found) in [
            ("smem <= 1K", "a block takes "),
            ("tma, launches <= 0", "`launches <= 0` is broken: there are 1"),
        ] {
            let d = with(PRODUCT, contracts, Target::Sm90a).unwrap_err();
            assert_eq!((d.code, d.blame.exit_code()), ("E0710", 2));
            assert!(d.message.contains(found), "{d}");
            assert!(d.to_string().contains("require"), "it points at the contract: {d}");
        }
        let open = with(PRODUCT, "coalesced A, coalesced B, conflict_free A_k_0", Target::Sm90a);
        open.unwrap();
        let turned = "in A: f32[4096, 4096] out B: f32[4096, 4096]
for i in 0..4096, j in 0..4096 { B[i, j] = A[j, i] }";
        with(turned, "coalesced A, coalesced B", Target::Sm90a).unwrap();
        let d = with(turned, "coalesced C", Target::Sm90a).unwrap_err();
        assert!(d.message.contains("no array `C`"), "{d}");
        let d = with(turned, "conflict_free B", Target::Sm90a).unwrap_err();
        assert!(d.message.contains("no buffer in shared memory `B`"), "{d}");
        let plain = "in A: f32[64] out B: f32[64]\nfor i in 0..64 { B[i] = A[i] + 1.0 }";
        let d = with(plain, "tensor_core", Target::Sm80).unwrap_err();
        assert!(d.message.contains("no loop is a matrix instruction"), "{d}");
        assert!(with(plain, "tma", Target::Sm90a).is_err());
        let d = with(plain, "no_spill", Target::Cpu).unwrap_err();
        assert!(d.message.contains("this is the CPU"), "{d}");
    }

    #[test]
    fn registers_are_counted_where_there_is_an_assembler() {
        match with(PRODUCT, "no_spill, registers <= 255", Target::Sm90a) {
            Ok(()) => {
                let d = with(PRODUCT, "registers <= 1", Target::Sm90a).unwrap_err();
                assert!(d.message.contains("a thread takes "), "{d}");
            }
            Err(d) => assert_eq!(d.code, "E1203", "{d}"),
        }
    }
}
