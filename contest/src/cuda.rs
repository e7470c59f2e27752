//! Kernels in CUDA C++, PTX or machine code as contestants on a GPU.
//!
//! In: a manifest and a problem's arrays. Out: launches on our stream. Requires nvcc at run time
//! for CUDA C++ (on the search path, or where the toolkit is usually installed); without it the
//! contestant says so. Keeps: a launch has exactly the arguments of its manifest; what the kernel
//! does with them is its author's.

use std::ffi::{CString, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use cudarc::driver::sys;
use warploom::device::{Device, DeviceBuffer, ForeignLaunch};
use warploom::diag::{Blame, Diagnostic, Result};
use warploom::measure::GpuProblem;
use warploom::{Name, Target, outputs};

use crate::manifest::{Argument, Language, Launch, Manifest, Problem, Width};

/// Bytes of dynamic shared memory that a kernel has without being asked for.
const USUAL_SHARED: u32 = 48 << 10;

/// A loaded module and its function.
struct Module {
    module: sys::CUmodule,
    function: sys::CUfunction,
    device: Device,
}

// SAFETY: modules and functions may be used from any thread whose current context is theirs.
unsafe impl Send for Module {}
// SAFETY: as above; nothing changes them after they are made.
unsafe impl Sync for Module {}

impl Drop for Module {
    fn drop(&mut self) {
        if self.device.make_current().is_ok() {
            // SAFETY: it is ours, and no launch is left: launches hold an Arc of it.
            let _ = unsafe { sys::cuModuleUnload(self.module) };
        }
    }
}

/// The launches of a manifest's kernel, one for each set of a problem's arrays.
///
/// # Errors
/// `E0973` where it does not compute the problem; `E0974` where it cannot be compiled or loaded.
pub(crate) fn launches(
    manifest: &Manifest,
    problem: &Problem<'_>,
    arrays: &GpuProblem<'_>,
) -> Result<Vec<ForeignLaunch>> {
    let launch = manifest.launch(problem)?;
    let device = arrays.device();
    if manifest.target.is_some_and(|least| !device.info().runs(least)) {
        let text = format!("`{}` does not run on {}", manifest.name, device.info().name);
        return Err(Box::new(Diagnostic::input("E0973", text)));
    }
    let image = image(manifest, device.target(), device.info().capability)?;
    let module = Arc::new(load(manifest, &launch, device, &image)?);
    let written = outputs(problem.nest);
    let on = |set: &std::collections::BTreeMap<Name, DeviceBuffer>| {
        bound(manifest, &launch, &module, set, &written)
    };
    arrays.sets().iter().map(on).collect()
}

/// What the driver loads.
fn image(manifest: &Manifest, target: Target, capability: (u32, u32)) -> Result<Vec<u8>> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|e| failed(manifest, &format!("cannot read it: {e}")))
    };
    match manifest.language {
        Language::Cuda => {
            let folder = tempfile::tempdir().map_err(|e| failed(manifest, &e.to_string()))?;
            let out = folder.path().join("kernel.cubin");
            let arch = match target {
                Target::Sm90a | Target::Sm100a | Target::Sm103a => target.to_string(),
                Target::Cpu | Target::Sm80 | Target::Sm86 | Target::Sm89 | Target::Sm120 => {
                    format!("sm_{}{}", capability.0, capability.1)
                }
            };
            compile(manifest, &arch, &out)?;
            read(&out)
        }
        Language::Ptx => {
            let mut text = read(&manifest.file)?;
            text.push(0); // the driver reads up to a zero
            Ok(text)
        }
        Language::Cubin => read(&manifest.file),
        Language::C | Language::Kernel => Err(failed(manifest, "it is no code of a GPU")),
    }
}

/// Compiles CUDA C++ to machine code.
///
/// # Errors
/// `E0974` where nvcc is not there, or refuses the text.
pub(crate) fn compile(manifest: &Manifest, arch: &str, out: &Path) -> Result<()> {
    let mut command = Command::new(nvcc());
    command.args(["-O3", "-std=c++17", "-cubin", &format!("-arch={arch}")]);
    command.args(&manifest.flags).arg("-o").arg(out).arg(&manifest.file);
    let done = command.output();
    let done = done.map_err(|e| failed(manifest, &format!("cannot start nvcc: {e}")))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(failed(manifest, &format!("nvcc refuses it: {}", said.trim())))
}

/// NVIDIA's compiler: on the search path, else where the toolkit puts it.
fn nvcc() -> PathBuf {
    let usual = PathBuf::from("/usr/local/cuda/bin/nvcc");
    let on_path = Command::new("nvcc").arg("--version").output();
    let there = on_path.is_ok_and(|o| o.status.success());
    if there || !usual.exists() { PathBuf::from("nvcc") } else { usual }
}

fn load(manifest: &Manifest, launch: &Launch, device: &Device, image: &[u8]) -> Result<Module> {
    device.make_current()?;
    let entry = CString::new(manifest.entry.as_str());
    let entry = entry.map_err(|_| failed(manifest, "its entry is no name"))?;
    let (mut module, mut function) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the image is whole (PTX ends with a zero), and `module` outlives the call.
    let done = unsafe { sys::cuModuleLoadData(&raw mut module, image.as_ptr().cast()) };
    asked(manifest, "the driver does not load it", done)?;
    let mut loaded = Module { module, function, device: device.clone() };
    // SAFETY: the module lives, and the name ends with a zero.
    let done = unsafe { sys::cuModuleGetFunction(&raw mut function, module, entry.as_ptr()) };
    asked(manifest, "it has not that entry", done)?;
    loaded.function = function;
    if launch.shared > USUAL_SHARED {
        let most = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(launch.shared).unwrap_or(i32::MAX);
        // SAFETY: the function lives.
        let done = unsafe { sys::cuFuncSetAttribute(function, most, bytes) };
        asked(manifest, "it wants too much shared memory", done)?;
    }
    Ok(loaded)
}

/// A launch on a set of arrays.
fn bound(
    manifest: &Manifest,
    launch: &Launch,
    module: &Arc<Module>,
    set: &std::collections::BTreeMap<Name, DeviceBuffer>,
    written: &[Name],
) -> Result<ForeignLaunch> {
    let (mut words, mut reads, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for argument in &launch.arguments {
        match argument {
            Argument::Size(value, Width::I64) => words.push(value.cast_unsigned()),
            Argument::Size(value, Width::I32) => {
                let short = i32::try_from(*value);
                let short = short.map_err(|_| failed(manifest, "a size exceeds 32 bits"))?;
                words.push(u64::from(short.cast_unsigned()));
            }
            Argument::Array(name) => {
                let array = set.get(name);
                let array = array.ok_or_else(|| failed(manifest, "an array is not there"))?;
                words.push(array.address());
                if written.contains(name) { &mut writes } else { &mut reads }.push(array.clone());
            }
        }
    }
    let (kept, manifest) = (Arc::clone(module), manifest.clone());
    let (grid, block, shared) = (launch.grid, manifest.block, launch.shared);
    let device = module.device.clone();
    let work = move |stream: *mut c_void| {
        let mut words = words.clone();
        let mut pointers: Vec<*mut c_void> =
            words.iter_mut().map(|w| std::ptr::from_mut(w).cast()).collect();
        let mut cluster = cluster(manifest.cluster);
        let config = sys::CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: block[0],
            blockDimY: block[1],
            blockDimZ: block[2],
            sharedMemBytes: shared,
            hStream: stream.cast(),
            attrs: &raw mut cluster,
            numAttrs: u32::from(manifest.cluster > 1),
        };
        let (function, arguments) = (kept.function, pointers.as_mut_ptr());
        // SAFETY: the function lives as long as `kept`; the driver copies as many words as the
        // kernel has parameters, which the manifest states.
        let done = unsafe {
            sys::cuLaunchKernelEx(&raw const config, function, arguments, std::ptr::null_mut())
        };
        asked(&manifest, "it cannot be launched", done)
    };
    // SAFETY: the work is one launch on the stream that it is given; it reads and writes the arrays
    // that its manifest names, and `kept` lives as long as `work`.
    Ok(unsafe { ForeignLaunch::new(&device, &reads, &writes, work) })
}

/// So many neighbouring blocks along x run together.
fn cluster(blocks: u32) -> sys::CUlaunchAttribute {
    let mut attribute = sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { pad: [0; 64] },
    };
    attribute.value.clusterDim =
        sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: blocks, y: 1, z: 1 };
    attribute
}

fn asked(manifest: &Manifest, what: &str, done: sys::CUresult) -> Result<()> {
    match done.result() {
        Ok(()) => Ok(()),
        Err(e) => Err(failed(manifest, &format!("{what}: {e}"))),
    }
}

fn failed(manifest: &Manifest, why: &str) -> Box<Diagnostic> {
    let text = format!("`{}` ({}): {why}", manifest.name, manifest.file.display());
    Box::new(Diagnostic::new("E0974", Blame::Environment, text))
}
