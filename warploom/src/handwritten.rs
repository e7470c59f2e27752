//! Kernels that a person wrote: `.kernel` files with sizes and inputs.
//!
//! In: a text. Out: a sealed kernel, what the interpreter makes of it, and comparisons with that.
//! Keeps: a refusal points at the text, whoever found it.

use std::collections::BTreeMap;
use std::path::Path;

use warploom_ir::affine::Name;
use warploom_ir::diag::{Blame, Diagnostic, Result, Source};
use warploom_ir::interp::kernel::run;
use warploom_ir::kernel::{Buffer, Index, Kernel, Places};
use warploom_ir::nest::Role;
use warploom_ir::tensor::Tensor;

use crate::bind::Sizes;
use crate::compile::{self, Lowered};
use crate::verify::Verification;

/// Most elements of all arrays of a kernel that is interpreted for a comparison.
const MOST_ELEMENTS: usize = 1 << 18;

/// A kernel with its text.
#[derive(Clone, Debug)]
pub struct KernelFile {
    source: Source,
    kernel: Kernel,
    places: Places,
}

impl KernelFile {
    /// Whether a spec names a file of a kernel.
    #[must_use]
    pub fn is_named(spec: &str) -> bool {
        Path::new(spec).extension().is_some_and(|e| e == "kernel")
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `E0501` when the file cannot be read; what [`KernelFile::parse`] says.
    pub fn read(path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            Diagnostic::input("E0501", format!("cannot read the kernel {path}: {e}"))
                .help("give the path of a .kernel file")
        })?;
        Self::parse(Source::new(path, &text))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// `E0101` to `E0104`: the text is no kernel.
    pub fn parse(source: Source) -> Result<Self> {
        let (kernel, places) = Kernel::parse_places(&source)?;
        Ok(Self { source, kernel, places })
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The arrays that are given, or else those that come out, in order.
    fn arrays(&self, given: bool) -> Vec<Name> {
        let wanted = |b: &&Buffer| match b.role {
            Role::In => given,
            Role::Out => !given,
            Role::InOut => true,
            Role::Temp | Role::Const(_) => false,
        };
        self.kernel.buffers.iter().filter(wanted).map(|b| b.name.clone()).collect()
    }

    /// The names of the inputs, in order.
    #[must_use]
    pub fn inputs(&self) -> Vec<Name> {
        self.arrays(true)
    }

    /// The names of the outputs, in order.
    #[must_use]
    pub fn outputs(&self) -> Vec<Name> {
        self.arrays(false)
    }

    /// The kernel with these sizes written into it.
    ///
    /// # Errors
    /// `E0510` names a size that the kernel has not.
    pub fn bind(&self, sizes: &Sizes) -> Result<Self> {
        if let Some(name) = sizes.keys().find(|name| !self.kernel.params.contains(name)) {
            let known = self.kernel.params.join(", ");
            let text = format!("there is no size named `{name}`");
            let help = match known.as_str() {
                "" => "this kernel has no symbolic sizes".to_owned(),
                _ => format!("the sizes of this kernel are {known}"),
            };
            return Err(Box::new(Diagnostic::input("E0510", text).help(help)));
        }
        Ok(Self { kernel: self.kernel.bind(sizes), ..self.clone() })
    }

    /// A size for every parameter: from `sizes`, else from an extent of an input that is one.
    ///
    /// # Errors
    /// `E0511` names the parameters that nothing determines.
    pub fn sizes(&self, sizes: &Sizes, inputs: &BTreeMap<Name, Tensor>) -> Result<Sizes> {
        let mut known = sizes.clone();
        for buffer in &self.kernel.buffers {
            let Some(tensor) = inputs.get(&buffer.name) else { continue };
            for (extent, &size) in buffer.shape.iter().zip(tensor.shape()) {
                if let (Index::Var(name), Ok(size)) = (extent, i64::try_from(size)) {
                    known.entry(name.clone()).or_insert(size);
                }
            }
        }
        let open = self.kernel.params.iter().filter(|p| !known.contains_key(*p));
        let missing: Vec<&str> = open.map(|p| &**p).collect();
        if missing.is_empty() {
            return Ok(known);
        }
        let example: Vec<String> = missing.iter().map(|m| format!("{m}=64")).collect();
        let text = format!("the size of {} is not given", missing.join(", "));
        let help = format!("add --size {} or give the input files", example.join(","));
        Err(Box::new(Diagnostic::input("E0511", text).help(help)))
    }

    /// Adds a random tensor for every input that is not there, at sizes that are not written into
    /// the kernel.
    ///
    /// # Errors
    /// `E0515` where an extent is negative, `E0501` where a tensor is too large.
    pub fn fill_random(
        &self,
        sizes: &Sizes,
        inputs: &mut BTreeMap<Name, Tensor>,
        seed: u64,
    ) -> Result<()> {
        for (i, buffer) in self.kernel.buffers.iter().enumerate() {
            let given = matches!(buffer.role, Role::In | Role::InOut);
            if !given || inputs.contains_key(&buffer.name) {
                continue;
            }
            let extent = |e: &Index| {
                let value = e.eval(&|name| sizes.get(name).copied());
                value.and_then(|v| usize::try_from(v).ok()).ok_or_else(|| {
                    let text = format!("the extent `{e}` of `{}` has no valid size", buffer.name);
                    self.pointed(Diagnostic::input("E0515", text))
                })
            };
            let shape = buffer.shape.iter().map(extent).collect::<Result<Vec<_>>>()?;
            let tensor = Tensor::random(buffer.dtype, &shape, seed.wrapping_add(i as u64))?;
            inputs.insert(buffer.name.clone(), tensor);
        }
        Ok(())
    }

    /// Seals the kernel.
    ///
    /// # Errors
    /// The first finding of the verifier, which points at the text.
    pub fn seal(&self) -> Result<Lowered> {
        compile::kernel(self.kernel.clone()).map_err(|d| self.pointed(*d))
    }

    /// Interprets the kernel: what it gives, or the race, the deadlock, the read of what is not
    /// there or the broken precondition that these sizes and inputs show.
    ///
    /// # Errors
    /// What the interpreter finds, which points at the text.
    pub fn interpret(
        &self,
        sizes: &Sizes,
        inputs: &BTreeMap<Name, Tensor>,
    ) -> Result<BTreeMap<Name, Tensor>> {
        run(&self.kernel, sizes, inputs).map_err(|d| self.pointed(*d))
    }

    /// Compares outputs of compiled code with those of the interpreter. Integers must be equal; a
    /// float may differ by what other orders of a sum make, a few units in the last place of the
    /// largest element of its array.
    ///
    /// # Errors
    /// `E0951` where the kernel is too large to be interpreted, `E0950` for a mismatch, and what
    /// [`KernelFile::interpret`] finds.
    pub fn compare(
        &self,
        sizes: &Sizes,
        inputs: &BTreeMap<Name, Tensor>,
        outputs: &BTreeMap<Name, Tensor>,
    ) -> Result<Verification> {
        let all: usize = inputs.values().chain(outputs.values()).map(Tensor::len).sum();
        if all > MOST_ELEMENTS {
            let text = format!("{all} elements are too many to interpret the kernel");
            return Err(Box::new(
                Diagnostic::new("E0951", Blame::Unsupported, text)
                    .help("verify the same kernel with smaller --size"),
            ));
        }
        let reference = self.interpret(sizes, inputs)?;
        let method = "the interpreter of kernels";
        let mut found =
            Verification { method, elements: 0, max_error: 0.0, bound: 0.0, unbounded: 0 };
        for (name, want) in &reference {
            let Some(have) = outputs.get(name) else { continue };
            let bound = bound(want);
            for at in 0..want.len() {
                let (have, want) = (have.get_flat(at), want.get_flat(at));
                let error =
                    if have.same(want) { 0.0 } else { (have.to_f64() - want.to_f64()).abs() };
                if error.is_nan() || error > bound {
                    let text = format!("`{name}` at position {at} is {have}, not {want}");
                    let d = Diagnostic::new("E0950", Blame::Mismatch, text);
                    return Err(Box::new(
                        d.witness(format!("error {error:.3e}, bound {bound:.3e}")),
                    ));
                }
                found.elements += 1;
                if error >= found.max_error {
                    (found.max_error, found.bound) = (error, bound);
                }
            }
        }
        Ok(found)
    }

    fn pointed(&self, d: Diagnostic) -> Box<Diagnostic> {
        Box::new(self.places.point(d, &self.source))
    }
}

/// How far an element of an array may be off.
fn bound(array: &Tensor) -> f64 {
    let dtype = array.dtype();
    if !dtype.is_float() {
        return 0.0;
    }
    let values = (0..array.len()).map(|at| array.get_flat(at).to_f64().abs());
    let largest = values.filter(|v| v.is_finite()).fold(0.0, f64::max);
    let units = if dtype.precision_bits() < 24 { 4.0 } else { 64.0 };
    units * largest * 0.5_f64.powi(dtype.precision_bits().cast_signed() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "kernel add(N) {
  in A: f32[N]
  inout C: f32[N]
  for i in 0..N parallel {
    S: C[i]:f32 += A[i]:f32 order serial
  }
}";

    fn file(text: &str) -> KernelFile {
        KernelFile::parse(Source::new("add.kernel", text)).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn sizes_come_from_the_arguments_or_the_inputs() {
        let file = file(TEXT);
        let mut inputs = BTreeMap::new();
        assert_eq!(file.sizes(&Sizes::new(), &inputs).unwrap_err().code, "E0511");
        inputs.insert("A".into(), Tensor::random(warploom_ir::dtype::DType::F32, &[5], 1).unwrap());
        let sizes = file.sizes(&Sizes::new(), &inputs).unwrap();
        assert_eq!(sizes, Sizes::from([("N".into(), 5)]));
        assert_eq!(file.bind(&Sizes::from([("M".into(), 5)])).unwrap_err().code, "E0510");
        file.fill_random(&sizes, &mut inputs, 1).unwrap();
        assert_eq!(inputs["C"].shape(), [5]);
        assert_eq!(
            (file.inputs(), file.outputs()),
            (vec!["A".into(), "C".into()], vec!["C".into()])
        );
    }

    #[test]
    fn compiled_code_is_compared_with_the_interpreter() {
        let file = file(TEXT);
        let (sizes, mut inputs) = (Sizes::from([("N".into(), 9)]), BTreeMap::new());
        file.fill_random(&sizes, &mut inputs, 1).unwrap();
        let program = file.seal().unwrap().host().unwrap();
        let mut outputs = program.run_at(&inputs, &sizes, Some(1)).unwrap();
        let found = file.compare(&sizes, &inputs, &outputs).unwrap();
        assert_eq!((found.elements, found.max_error), (9, 0.0));
        let c = outputs.get_mut("C").unwrap();
        let wrong = warploom_ir::value::Scalar::from_f64(c.dtype(), 99.0);
        c.set_flat(3, wrong);
        let d = file.compare(&sizes, &inputs, &outputs).unwrap_err();
        assert_eq!((d.code, d.blame.exit_code()), ("E0950", 4), "{d}");
    }

    #[test]
    fn refusals_point_at_the_text() {
        let text = TEXT.replace("A[i]", "A[i + 1]");
        let d = file(&text).seal().unwrap_err();
        assert_eq!(d.code, "E0811");
        let at = d.labels[0].span;
        let shown = &text[at.start as usize..at.end as usize];
        assert_eq!(shown, "S: C[i]:f32 += A[i + 1]:f32 order serial");
        let d = file(&text).interpret(
            &Sizes::from([("N".into(), 2)]),
            &BTreeMap::from([
                ("A".into(), Tensor::random(warploom_ir::dtype::DType::F32, &[2], 1).unwrap()),
                ("C".into(), Tensor::random(warploom_ir::dtype::DType::F32, &[2], 1).unwrap()),
            ]),
        );
        assert!(d.unwrap_err().source.is_some());
    }
}
