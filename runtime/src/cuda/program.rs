//! Programs on a device: loaded once, bound to arguments, launched any number of times.
//!
//! In: PTX with its launches, buffers by name, sizes by name. Out: launch handles, or tensors.
//! Keeps: nothing reaches the device before every argument is checked.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::Arc;

use warploom_ir::abi::{GpuCode, GpuLaunch, GpuStep, TensorMap};
use warploom_ir::affine::Name;
use warploom_ir::diag::Result;
use warploom_ir::dtype::DType;
use warploom_ir::kernel::{Buffer, Kernel};
use warploom_ir::nest::Role;
use warploom_ir::program::Program;
use warploom_ir::target::GpuLimits;
use warploom_ir::tensor::{Tensor, checked_size};

use super::args::{self, Argument};
use super::arguments::{Arguments, EncodedMap, Given, Started};
use super::buffer::{DeviceBuffer, Touched};
use super::device::{Device, Place};
use super::driver::{Function, Module, Stream, environment};
use super::handle::LaunchHandle;
use super::replay::Replay;
use super::steps::{self, Values};
use crate::host::{error, folded, shape_of, sizes_in_order, table_of};
use crate::taken::given;

struct Inner {
    device: Device,
    /// The kernel, and where its temporaries live.
    plan: Program,
    limits: GpuLimits,
    /// In the order of [`GpuCode::launches`].
    functions: Vec<Function>,
    /// The same launches.
    launches: Vec<GpuLaunch>,
    steps: Vec<GpuStep>,
}

/// What is done with a launch: its function, grid and block, its shared memory in bytes, and the
/// pointers to its parameters.
pub(super) type Start<'s> =
    dyn FnMut(&Function, [u32; 3], [u32; 3], u32, &[*mut c_void]) -> Result<()> + 's;

/// A program on a device. Clones are the same program.
#[derive(Clone)]
pub struct LoadedProgram(Arc<Inner>);

impl Device {
    /// Assembles a program's PTX and loads it.
    ///
    /// # Errors
    /// `E1116` where the device cannot run code for that target, `E1112` where the driver refuses
    /// the PTX (with its words), `E1118` where a block does not fit the device.
    pub fn load(&self, code: &GpuCode) -> Result<LoadedProgram> {
        let target = code.target;
        let limits = target.gpu().filter(|_| self.info().runs(target));
        let Some(limits) = limits else {
            let ((major, minor), name) = (self.info().capability, &self.info().name);
            return Err(environment(
                "E1116",
                format!("code for {target} does not run on {name} (capability {major}.{minor})"),
            ));
        };
        let module = Module::load(self.context(), &code.ptx)?;
        let load = |launch: &GpuLaunch| {
            let function = Function::find(&module, &launch.entry, launch.shared_bytes)?;
            args::block(launch, &limits, function.max_threads())?;
            Ok(function)
        };
        let functions = code.launches().into_iter().map(load).collect::<Result<_>>()?;
        let launches = code.launches().into_iter().cloned().collect();
        let (device, steps) = (self.clone(), code.steps.clone());
        let plan = Program::of(code.kernel.clone());
        Ok(LoadedProgram(Arc::new(Inner { device, plan, limits, functions, launches, steps })))
    }
}

impl LoadedProgram {
    /// The kernel it was made from.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.0.plan.kernel
    }

    /// Where it is.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Checks arguments for `in`, `inout` and `out` arrays, and makes room for temporaries.
    ///
    /// # Errors
    /// `E1102` type, shape, alignment or another device; `E1103` missing or extra array; `E1104`
    /// missing or extra size; `E1105` a negative shape; `E1117` memory that is written and shared;
    /// `E1118` more blocks than a device can number, or too many launches; `E1113` no memory.
    pub fn bind(
        &self,
        arrays: &BTreeMap<Name, DeviceBuffer>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<BoundProgram> {
        let kernel = self.kernel();
        let sizes = sizes_in_order(kernel, sizes)?;
        let takes = |name: &Name| kernel.buffers.iter().any(|b| b.name == *name && given(b));
        if let Some(extra) = arrays.keys().find(|n| !takes(n)) {
            return Err(error("E1103", format!("the kernel has no input or output `{extra}`")));
        }
        let shapes: Vec<Vec<usize>> =
            kernel.buffers.iter().map(|b| shape_of(kernel, b, &sizes)).collect::<Result<_>>()?;
        let launches = self.launches(&sizes)?;
        let own = self.own(&shapes)?;
        let mut buffers = Vec::with_capacity(shapes.len());
        for (buffer, own) in kernel.buffers.iter().zip(own) {
            let array = own.map_or_else(|| self.argument(buffer, arrays), Ok)?;
            buffers.push((array, args::access(buffer)));
        }
        let arguments: Vec<Argument<'_>> = (buffers.iter().zip(&kernel.buffers).zip(&shapes))
            .map(|(((array, _), buffer), shape)| match buffer.role {
                Role::Temp => Argument { dtype: buffer.dtype, shape, ..as_argument(array) },
                Role::In | Role::InOut | Role::Out | Role::Const(_) => as_argument(array),
            })
            .collect();
        args::check(&kernel.buffers, &shapes, &arguments)?;
        let given = self.given(&sizes, &arguments, launches)?;
        let (program, buffers) = (self.clone(), Touched::new(buffers));
        Ok(BoundProgram(Arc::new(Bound { given, program, buffers, sizes })))
    }

    /// How many launches one run takes at these sizes; and all of them, where no loop is around
    /// any.
    pub(super) fn launches(&self, sizes: &[i64]) -> Result<(u64, Option<Vec<Started>>)> {
        let mut values = Values::new(&self.kernel().params, sizes);
        let mut known = (steps::depth(&self.0.steps) == 0).then(Vec::new);
        let mut count = 0;
        steps::walk(&self.0.steps, &mut values, &self.0.limits, &mut |k, _, grid, _| {
            count += 1;
            known.iter_mut().for_each(|all| all.push((k, grid)));
            Ok(())
        })?;
        Ok((count, known))
    }

    /// What every launch gets, for arguments that were checked.
    pub(super) fn given(
        &self,
        sizes: &[i64],
        arguments: &[Argument<'_>],
        (count, known): (u64, Option<Vec<Started>>),
    ) -> Result<Given> {
        let words = args::words(self.kernel(), arguments, sizes);
        let replay = Replay::new(self.device().graphs(), count);
        Ok(Given::new(words, self.maps(sizes, arguments)?, (count, known), replay))
    }

    /// The boxes of each launch, and whether all rows of its arrays are copied in whole pieces.
    fn maps(&self, sizes: &[i64], arguments: &[Argument<'_>]) -> Result<Vec<Vec<EncodedMap>>> {
        let buffers = &self.kernel().buffers;
        let shape = |b: usize| folded(self.kernel(), &buffers[b], sizes);
        let of = |launch: &GpuLaunch| {
            for &(b, bytes) in &launch.chunked {
                args::rows(&buffers[b], &shape(b)?, bytes)?;
            }
            let encode = |map: &TensorMap| {
                let (b, at) = (map.buffer, arguments[map.buffer].address);
                let described = args::box_of(&buffers[b], &shape(b)?, at, map)?;
                EncodedMap::new(self.device().context(), &described)
            };
            launch.maps.iter().map(encode).collect()
        };
        self.0.launches.iter().map(of).collect()
    }

    /// Memory for temporaries: each slot has room for the largest that lives there.
    fn slots(&self, shapes: &[Vec<usize>]) -> Result<Vec<DeviceBuffer>> {
        let buffers = &self.kernel().buffers;
        let mut bytes = vec![0_usize; self.0.plan.slots.len()];
        for (buffer, shape) in buffers.iter().zip(shapes) {
            if let Some(slot) = self.0.plan.slot(&buffer.name) {
                bytes[slot] = bytes[slot].max(checked_size(buffer.dtype, shape)?.1);
            }
        }
        bytes.into_iter().map(|n| self.device().buffer(DType::U8, &[n])).collect()
    }

    /// Temporaries and tables of constants, in the kernel's order.
    pub(super) fn own(&self, shapes: &[Vec<usize>]) -> Result<Vec<Option<DeviceBuffer>>> {
        let slots = self.slots(shapes)?;
        let device = self.device();
        let one = |(buffer, shape): (&Buffer, &Vec<usize>)| {
            if let Some(slot) = self.0.plan.slot(&buffer.name) {
                return Ok(Some(slots[slot].clone()));
            }
            Ok(match &buffer.role {
                Role::In | Role::InOut | Role::Out => None,
                Role::Temp => Some(device.buffer(buffer.dtype, shape)?),
                Role::Const(values) => {
                    Some(device.upload(&table_of(buffer.dtype, shape, values)?)?)
                }
            })
        };
        self.kernel().buffers.iter().zip(shapes).map(one).collect()
    }

    /// The caller's array of a buffer.
    fn argument(
        &self,
        buffer: &Buffer,
        arrays: &BTreeMap<Name, DeviceBuffer>,
    ) -> Result<DeviceBuffer> {
        let name = &buffer.name;
        let Some(array) = arrays.get(name) else {
            return Err(error("E1103", format!("the array `{name}` is not given")));
        };
        if !array.device().is(self.device()) {
            let text = format!("`{name}` is on another device than the program");
            return Err(error("E1102", text));
        }
        Ok(array.clone())
    }

    /// Binds and launches once.
    ///
    /// # Errors
    /// As [`LoadedProgram::bind`] and [`BoundProgram::launch`].
    pub fn launch(
        &self,
        arrays: &BTreeMap<Name, DeviceBuffer>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<LaunchHandle> {
        self.bind(arrays, sizes)?.launch()
    }

    /// Goes through all launches, with these sizes in the kernel's order.
    pub(super) fn each(&self, sizes: &[i64], given: &Given, start: &mut Start<'_>) -> Result<()> {
        let program = &*self.0;
        let mut start = |k: usize, grid, parameters: &[*mut c_void]| {
            let GpuLaunch { block, shared_bytes, .. } = program.launches[k];
            start(&program.functions[k], grid, block, shared_bytes, parameters)
        };
        if let Some(known) = given.known() {
            return known.iter().try_for_each(|l| start(l.function, l.grid, &l.parameters));
        }
        let room = std::iter::repeat_n(0, steps::depth(&program.steps));
        let mut arguments = Arguments::new(given.words().iter().copied().chain(room), given.maps());
        let mut values = Values::new(&program.plan.kernel.params, sizes);
        let first = given.words().len();
        steps::walk(&program.steps, &mut values, &program.limits, &mut |k, _, grid, loops| {
            for (index, value) in (first..).zip(loops) {
                arguments.set(index, value.cast_unsigned());
            }
            start(k, grid, arguments.of(k, first + loops.len()))
        })
    }

    /// Starts every launch on a stream, one after the other.
    pub(super) fn enqueue(&self, stream: &Stream, sizes: &[i64], given: &Given) -> Result<()> {
        stream.bind()?;
        self.each(sizes, given, &mut |function, grid, block, shared_bytes, parameters| {
            // SAFETY: the parameters are what `warploom_ir::abi` says a function of this kernel
            // takes; they were checked, and who calls this keeps the buffers until the end.
            unsafe { stream.launch(function, grid, block, shared_bytes, parameters) }
        })
    }

    /// Copies the inputs to the device and makes room for the outputs, poisoned.
    ///
    /// # Errors
    /// `E1103` missing or extra input, `E1104` missing or extra size, `E1113` no memory.
    pub fn arrays(
        &self,
        inputs: &BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<BTreeMap<Name, DeviceBuffer>> {
        let kernel = self.kernel();
        let sizes = sizes_in_order(kernel, sizes)?;
        let mut arrays = BTreeMap::new();
        for (name, tensor) in inputs {
            let takes = |b: &Buffer| b.name == *name && matches!(b.role, Role::In | Role::InOut);
            if !kernel.buffers.iter().any(takes) {
                return Err(error("E1103", format!("the kernel has no input `{name}`")));
            }
            arrays.insert(name.clone(), self.device().upload(tensor)?);
        }
        for buffer in kernel.buffers.iter().filter(|b| matches!(b.role, Role::Out)) {
            let shape = shape_of(kernel, buffer, &sizes)?;
            let array = self.device().buffer(buffer.dtype, &shape)?;
            arrays.insert(buffer.name.clone(), array);
        }
        Ok(arrays)
    }

    /// Runs once with tensors, and gives the arrays that were written.
    ///
    /// # Errors
    /// As [`LoadedProgram::arrays`] and [`LoadedProgram::launch`], and the launch's own failure.
    pub fn run(
        &self,
        inputs: &BTreeMap<Name, Tensor>,
        sizes: &BTreeMap<Name, i64>,
    ) -> Result<BTreeMap<Name, Tensor>> {
        let arrays = self.arrays(inputs, sizes)?;
        self.launch(&arrays, sizes)?.wait()?;
        self.written(&arrays)
    }

    /// The `out` and `inout` arrays as tensors.
    ///
    /// # Errors
    /// As [`DeviceBuffer::read`].
    pub fn written(&self, arrays: &BTreeMap<Name, DeviceBuffer>) -> Result<BTreeMap<Name, Tensor>> {
        let buffers = self.kernel().buffers.iter();
        buffers
            .filter(|b| matches!(b.role, Role::Out | Role::InOut))
            .filter_map(|b| arrays.get(&b.name).map(|a| Ok((b.name.clone(), a.read()?))))
            .collect()
    }
}

pub(super) fn as_argument(buffer: &DeviceBuffer) -> Argument<'_> {
    Argument {
        dtype: buffer.dtype(),
        shape: buffer.shape(),
        address: buffer.address(),
        bytes: buffer.size_bytes(),
    }
}

/// Kept until the last launch has ended.
struct Bound {
    /// With the graph of all launches, where there is one.
    given: Given,
    program: LoadedProgram,
    buffers: Touched,
    /// In the kernel's order.
    sizes: Vec<i64>,
}

/// A program with its arguments checked, ready to launch any number of times.
///
/// One that takes several launches is made one graph of the driver's at its second run, and runs as
/// that from then on: its launches then cost the host nothing. A device keeps a bounded number of
/// such graphs, which count towards its memory limit, and takes them away where memory is wanted.
pub struct BoundProgram(Arc<Bound>);

impl BoundProgram {
    /// How many launches of functions one run takes.
    #[must_use]
    pub fn launches(&self) -> u64 {
        self.0.given.count()
    }

    /// Whether all of them are one graph now.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.0.given.replay().is_some_and(Replay::is_recorded)
    }

    /// Launches it, after all earlier launches that it conflicts with. Does not wait for the end;
    /// where it takes more launches than the driver's queue has places and is no graph, for most of
    /// them to start.
    ///
    /// A launch whose handle is dropped at once costs the host least: its end is looked for
    /// together with that of those after it on the same stream.
    ///
    /// # Errors
    /// `E1114`, `E1115` where the driver refuses; a failure on the device comes from the handle.
    pub fn launch(&self) -> Result<LaunchHandle> {
        if self.launches() == 0 {
            return Ok(LaunchHandle::done());
        }
        self.prepare(1);
        self.submit(Place::Any, |stream| self.enqueue(stream))
    }

    /// Makes a graph of it if that pays with so many runs about to come. Nothing is held meanwhile
    /// that other launches need.
    pub(super) fn prepare(&self, runs: u64) {
        self.0.program.prepare(&self.0.sizes, &self.0.given, runs);
    }

    /// Puts `work` on a stream in the order of this program's buffers.
    pub(super) fn submit(
        &self,
        place: Place,
        work: impl FnOnce(&Stream) -> Result<()>,
    ) -> Result<LaunchHandle> {
        let alive: Arc<dyn Send + Sync> = Arc::clone(&self.0) as _;
        self.0.program.device().submit(&self.0.buffers, alive, place, work)
    }

    /// Starts every launch on a stream, one after the other.
    pub(super) fn enqueue(&self, stream: &Stream) -> Result<()> {
        self.0.program.run_on(stream, &self.0.sizes, &self.0.given)
    }
}
