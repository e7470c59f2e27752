//! Kernels on this machine's processor.
//!
//! In: code, inputs by name, sizes by name. Out: the arrays the kernel writes, by name.
//! Keeps: every argument is checked before the kernel runs; outputs and temporaries start
//! poisoned, so that a kernel that forgets to write shows it.

mod lent;
mod pool;
mod time;

use std::collections::BTreeMap;

use warploom_ir::abi::{HostArg, HostCode, Pool};
use warploom_ir::affine::Name;
use warploom_ir::diag::{Diagnostic, Result};
use warploom_ir::dtype::DType;
use warploom_ir::expr::Literal;
use warploom_ir::kernel::{Buffer, Index, Kernel};
use warploom_ir::nest::Role;
use warploom_ir::tensor::Tensor;
use warploom_ir::value::Scalar;

pub use lent::Lent;
pub use pool::ThreadPool;
pub(crate) use time::quantiles;
pub use time::{Timing, time};

/// A kernel with its arguments bound, ready to run any number of times.
///
/// An array that the kernel both reads and writes keeps what the last run left in it.
pub struct Launch<'a> {
    code: &'a dyn HostCode,
    params: Vec<i64>,
    inputs: &'a BTreeMap<Name, Tensor>,
    /// Per buffer, the tensor that is not the caller's.
    own: Vec<Option<Tensor>>,
}

pub(crate) fn error(code: &'static str, text: String) -> Box<Diagnostic> {
    Box::new(Diagnostic::input(code, text))
}

/// The parameters in the kernel's order.
pub(crate) fn sizes_in_order(kernel: &Kernel, sizes: &BTreeMap<Name, i64>) -> Result<Vec<i64>> {
    if let Some(extra) = sizes.keys().find(|n| !kernel.params.contains(n)) {
        return Err(error("E1104", format!("the kernel has no size `{extra}`")));
    }
    kernel
        .params
        .iter()
        .map(|p| {
            let missing = || error("E1104", format!("the size `{p}` is not given"));
            sizes.get(p).copied().ok_or_else(missing)
        })
        .collect()
}

/// The extents of the caller's array for these parameters.
pub(crate) fn shape_of(kernel: &Kernel, buffer: &Buffer, params: &[i64]) -> Result<Vec<usize>> {
    extents(kernel, buffer, &buffer.of_caller(), params)
}

/// A buffer's extents for these parameters, as the kernel has them.
pub(crate) fn folded(kernel: &Kernel, buffer: &Buffer, params: &[i64]) -> Result<Vec<usize>> {
    extents(kernel, buffer, &buffer.shape, params)
}

fn extents(
    kernel: &Kernel,
    buffer: &Buffer,
    shape: &[Index],
    params: &[i64],
) -> Result<Vec<usize>> {
    let lookup = |name: &str| kernel.params.iter().position(|p| &**p == name).map(|i| params[i]);
    shape
        .iter()
        .map(|extent| {
            extent.eval(&lookup).and_then(|v| usize::try_from(v).ok()).ok_or_else(|| {
                error("E1105", format!("`{}` has no valid shape for these sizes", buffer.name))
            })
        })
        .collect()
}

/// Whether an argument of this type and shape fits a buffer.
pub(crate) fn fits(buffer: &Buffer, shape: &[usize], dtype: DType, got: &[usize]) -> Result<()> {
    let (name, want) = (&buffer.name, buffer.dtype);
    let what = match buffer.role {
        Role::Out => "output",
        Role::In | Role::InOut | Role::Temp | Role::Const(_) => "input",
    };
    if dtype != want {
        return Err(error("E1102", format!("the {what} `{name}` is {dtype}, not {want}")));
    }
    if got != shape {
        let text = format!("the {what} `{name}` has the shape {got:?}, not {shape:?}");
        return Err(error("E1102", text));
    }
    Ok(())
}

/// The caller's tensor for a buffer, if type and shape fit.
fn given<'a>(
    buffer: &Buffer,
    shape: &[usize],
    inputs: &'a BTreeMap<Name, Tensor>,
) -> Result<&'a Tensor> {
    let name = &buffer.name;
    let Some(tensor) = inputs.get(name) else {
        return Err(error("E1103", format!("the input `{name}` is not given")));
    };
    fits(buffer, shape, tensor.dtype(), tensor.shape())?;
    Ok(tensor)
}

/// A table of constants as a tensor.
pub(crate) fn table_of(dtype: DType, shape: &[usize], values: &[Literal]) -> Result<Tensor> {
    let mut table = Tensor::zeros(dtype, shape)?;
    for (i, v) in values.iter().enumerate().take(table.len()) {
        table.set_flat(i, Scalar::from_literal(dtype, *v));
    }
    Ok(table)
}

impl<'a> Launch<'a> {
    /// Checks arguments and makes room for what the kernel writes.
    ///
    /// # Errors
    /// `E1102` wrong type or shape, `E1103` missing or extra input, `E1104` missing or extra size,
    /// `E1105` a shape that is negative; no memory.
    pub fn new(
        code: &'a dyn HostCode,
        inputs: &'a BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<Self> {
        let kernel = code.kernel();
        let params = sizes_in_order(kernel, sizes)?;
        let takes = |name: &Name| {
            kernel
                .buffers
                .iter()
                .any(|b| b.name == *name && matches!(b.role, Role::In | Role::InOut))
        };
        if let Some(extra) = inputs.keys().find(|n| !takes(n)) {
            return Err(error("E1103", format!("the kernel has no input `{extra}`")));
        }
        let mut own = Vec::with_capacity(kernel.buffers.len());
        for buffer in &kernel.buffers {
            let shape = shape_of(kernel, buffer, &params)?;
            own.push(match &buffer.role {
                Role::In => {
                    given(buffer, &shape, inputs)?;
                    None
                }
                Role::InOut => Some(given(buffer, &shape, inputs)?.clone()),
                Role::Out | Role::Temp => Some(Tensor::poisoned(buffer.dtype, &shape)?),
                Role::Const(values) => Some(table_of(buffer.dtype, &shape, values)?),
            });
        }
        Ok(Self { code, params, inputs, own })
    }

    /// Runs the kernel once.
    ///
    /// # Errors
    /// The code's own failure.
    pub fn run(&mut self, pool: &dyn Pool) -> Result<()> {
        let kernel = self.code.kernel();
        let mut args: Vec<HostArg<'_>> = self
            .own
            .iter_mut()
            .zip(&kernel.buffers)
            .map(|(own, buffer)| match own {
                Some(tensor) => HostArg::Write(tensor.bytes_mut()),
                None => HostArg::Read(self.inputs[&buffer.name].bytes()),
            })
            .collect();
        self.code.call(&mut args, &self.params, pool)
    }

    /// Gives the arrays that are read and written their first contents back, for another run.
    pub fn restore(&mut self) {
        for (own, buffer) in self.own.iter_mut().zip(&self.code.kernel().buffers) {
            if let (Some(tensor), Role::InOut) = (own, &buffer.role) {
                tensor.bytes_mut().copy_from_slice(self.inputs[&buffer.name].bytes());
            }
        }
    }

    /// The arrays the kernel wrote for its caller.
    #[must_use]
    pub fn finish(self) -> BTreeMap<Name, Tensor> {
        let buffers = &self.code.kernel().buffers;
        self.own
            .into_iter()
            .zip(buffers)
            .filter(|(_, b)| matches!(b.role, Role::Out | Role::InOut))
            .filter_map(|(own, b)| own.map(|tensor| (b.name.clone(), tensor)))
            .collect()
    }
}

/// Runs a kernel once and gives the arrays it wrote.
///
/// # Errors
/// As [`Launch::new`] and [`Launch::run`].
pub fn launch(
    code: &dyn HostCode,
    inputs: &BTreeMap<Name, Tensor>,
    sizes: &BTreeMap<Name, i64>,
    pool: &dyn Pool,
) -> Result<BTreeMap<Name, Tensor>> {
    let mut bound = Launch::new(code, inputs, sizes)?;
    bound.run(pool)?;
    Ok(bound.finish())
}

#[cfg(test)]
mod tests;
