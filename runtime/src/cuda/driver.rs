//! The driver's objects with owners: context, streams, events, memory, modules.
//!
//! In: plain arguments. Out: values that free what they own, or a diagnostic. Requires nothing: the
//! library is looked for at run time, and where it is missing every call says so.
//! Keeps: an object keeps its context alive; after a failure that the driver cannot recover from,
//! every call on that context reports that first failure. Why here: with `arguments`, all that
//! calls C.

mod graph;

use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, OnceLock};

use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUresult};
use cudarc::driver::{DriverError, result};
use warploom_ir::diag::{Blame, Diagnostic, Result};

use super::handle::lock;
pub(super) use graph::{Chain, Graph};

/// The oldest driver whose functions are used, as the driver counts: 12.0.
const OLDEST: i32 = 12_000;

pub(super) fn environment(code: &'static str, text: impl Into<String>) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(code, Blame::Environment, text))
}

fn no_device(text: impl Into<String>) -> Box<Diagnostic> {
    let mut d = environment("E1110", text);
    d.help = Some("leave --device out or give --device cpu to run on the processor".to_owned());
    d
}

/// Loads and starts the driver once.
pub(super) fn start() -> Result<()> {
    static STARTED: OnceLock<Result<()>> = OnceLock::new();
    STARTED.get_or_init(start_once).clone()
}

fn start_once() -> Result<()> {
    // SAFETY: opens and closes the driver's library, whose initialisers are sound to run.
    if !unsafe { sys::is_culib_present() } {
        return Err(no_device("there is no NVIDIA driver on this machine (libcuda is not found)"));
    }
    let mut version = 0;
    // SAFETY: the library is there, and `version` outlives the call.
    let asked = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    if asked != CUresult::CUDA_SUCCESS || version < OLDEST {
        let (major, minor) = (version / 1000, version % 1000 / 10);
        return Err(no_device(format!(
            "the NVIDIA driver is too old: it knows CUDA {major}.{minor}, 12.0 is needed"
        )));
    }
    result::init().map_err(|e| no_device(format!("the NVIDIA driver does not start: {}", words(e))))
}

/// The driver's name and sentence of an error.
fn words(e: DriverError) -> String {
    let name = e.error_name().map(|s| s.to_string_lossy().into_owned());
    let text = e.error_string().map(|s| s.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{text} ({name})"),
        (Ok(_) | Err(_), _) => format!("error {}", e.0 as u32),
    }
}

/// After these no call on the context can succeed.
const fn is_fatal(code: CUresult) -> bool {
    matches!(
        code,
        CUresult::CUDA_ERROR_ECC_UNCORRECTABLE
            | CUresult::CUDA_ERROR_ILLEGAL_ADDRESS
            | CUresult::CUDA_ERROR_LAUNCH_TIMEOUT
            | CUresult::CUDA_ERROR_ASSERT
            | CUresult::CUDA_ERROR_HARDWARE_STACK_ERROR
            | CUresult::CUDA_ERROR_ILLEGAL_INSTRUCTION
            | CUresult::CUDA_ERROR_MISALIGNED_ADDRESS
            | CUresult::CUDA_ERROR_INVALID_ADDRESS_SPACE
            | CUresult::CUDA_ERROR_INVALID_PC
            | CUresult::CUDA_ERROR_LAUNCH_FAILED
            | CUresult::CUDA_ERROR_TENSOR_MEMORY_LEAK
            | CUresult::CUDA_ERROR_CONTAINED
    )
}

/// The number of devices.
pub(super) fn count() -> Result<usize> {
    start()?;
    let n = result::device::get_count();
    let n = n.map_err(|e| no_device(format!("the devices cannot be counted: {}", words(e))))?;
    Ok(usize::try_from(n).unwrap_or(0))
}

/// What the driver says about a device.
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) capability: (u32, u32),
    pub(super) memory: u64,
    pub(super) multiprocessors: u32,
    pub(super) memory_pools: bool,
}

/// Asks about a device below [`count`].
pub(super) fn facts(ordinal: usize) -> Result<Facts> {
    let device = device(ordinal)?;
    let failed = |e| no_device(format!("cuda:{ordinal} cannot be examined: {}", words(e)));
    let ask = |attribute| {
        // SAFETY: `device` came from the driver.
        let value = unsafe { result::device::get_attribute(device, attribute) };
        value.map(|v| u32::try_from(v).unwrap_or(0)).map_err(failed)
    };
    Ok(Facts {
        name: result::device::get_name(device).map_err(failed)?,
        capability: (
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: `device` came from the driver.
        memory: unsafe { result::device::total_mem(device) }.map_err(failed)? as u64,
        multiprocessors: ask(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
        memory_pools: ask(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0,
    })
}

fn device(ordinal: usize) -> Result<sys::CUdevice> {
    let found = i32::try_from(ordinal).ok().map(result::device::get);
    match found {
        Some(Ok(device)) => Ok(device),
        Some(Err(e)) => Err(no_device(format!("cuda:{ordinal} is not there: {}", words(e)))),
        None => Err(no_device(format!("cuda:{ordinal} is not there"))),
    }
}

/// The primary context of a device.
pub(super) struct Context {
    raw: sys::CUcontext,
    device: sys::CUdevice,
    failed: OnceLock<Box<Diagnostic>>,
    /// Events that nothing waits for any more, for launches to come: making one and destroying it
    /// cost the host more than recording it.
    idle: Mutex<Vec<sys::CUevent>>,
}

/// Most events that are kept for launches to come.
const IDLE: usize = 256;

// SAFETY: a context may be used by any thread that makes it current, which `bind` does; the driver
// locks what its calls share.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    pub(super) fn retain(ordinal: usize) -> Result<Arc<Self>> {
        let device = device(ordinal)?;
        // SAFETY: `device` came from the driver.
        let raw = unsafe { result::primary_ctx::retain(device) };
        let raw = raw.map_err(|e| {
            let mut d = no_device(format!("cuda:{ordinal} is not usable: {}", words(e)));
            if is_fatal(e.0) {
                d.code = "E1115";
                d.help = Some("a kernel stopped the device: start the program again".to_owned());
            }
            d
        });
        let (failed, idle) = (OnceLock::new(), Mutex::default());
        Ok(Arc::new(Self { raw: raw?, device, failed, idle }))
    }

    /// Makes this thread's calls go to this context.
    pub(super) fn bind(&self) -> Result<()> {
        match self.failed.get() {
            Some(failure) => Err(failure.clone()),
            None => self.check("the device cannot be selected", self.set_current()),
        }
    }

    fn set_current(&self) -> std::result::Result<(), DriverError> {
        // SAFETY: the context is retained until `self` is dropped.
        unsafe { result::ctx::set_current(self.raw) }
    }

    /// A diagnostic for a driver's refusal; one it cannot recover from is remembered.
    pub(super) fn check<T>(
        &self,
        what: &str,
        done: std::result::Result<T, DriverError>,
    ) -> Result<T> {
        done.map_err(|e| {
            if !is_fatal(e.0) {
                let code = match e.0 {
                    CUresult::CUDA_ERROR_OUT_OF_MEMORY => "E1113",
                    _ => "E1114",
                };
                return environment(code, format!("{what}: {}", words(e)));
            }
            let mut d = environment("E1115", format!("the device stopped: {}", words(e)));
            d.help = Some(
                "a kernel did what it must not, in this launch or one beside it; \
                 --device cpu runs the same program on the processor"
                    .to_owned(),
            );
            self.failed.get_or_init(|| d).clone()
        })
    }

    /// Free and total bytes of the device.
    pub(super) fn memory(&self) -> Result<(u64, u64)> {
        self.bind()?;
        let (free, total) = self.check("the memory cannot be examined", result::mem_get_info())?;
        Ok((free as u64, total as u64))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if self.set_current().is_ok() {
            for event in lock(&self.idle).drain(..) {
                // SAFETY: an idle event is ours and used no more.
                let _ = unsafe { result::event::destroy(event) };
            }
        }
        // SAFETY: retained in `retain`, and nothing that uses the context is left: all hold an Arc.
        // A failure leaves nothing to do.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Work that runs in order.
pub(super) struct Stream {
    raw: sys::CUstream,
    /// Whether it ends with this value.
    own: bool,
    context: Arc<Context>,
}

// SAFETY: the driver's streams may be used from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above; calls on one stream are locked by the driver.
unsafe impl Sync for Stream {}

impl Stream {
    pub(super) fn new(context: &Arc<Context>) -> Result<Self> {
        context.bind()?;
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking);
        let raw = context.check("no stream can be made", raw)?;
        Ok(Self { raw, own: true, context: Arc::clone(context) })
    }

    /// A stream of the caller's.
    ///
    /// # Safety
    /// It is one of this context, and lives longer than this value.
    pub(super) unsafe fn foreign(context: &Arc<Context>, raw: *mut c_void) -> Self {
        Self { raw: raw.cast(), own: false, context: Arc::clone(context) }
    }

    /// The driver's stream, for a library that this thread calls now.
    pub(super) fn current(&self) -> Result<*mut c_void> {
        self.context.bind()?;
        Ok(self.raw.cast())
    }

    /// Blocks until the work so far has ended.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the stream lives.
        let done = unsafe { result::stream::synchronize(self.raw) };
        self.context.check("the device's work failed", done)
    }

    /// Work from now on starts after `event`.
    pub(super) fn wait(&self, event: &Event) -> Result<()> {
        self.context.bind()?;
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live, and belong to one context.
        let done = unsafe { result::stream::wait_event(self.raw, event.raw, flags) };
        self.context.check("a stream cannot wait", done)
    }

    /// Sets bytes.
    pub(super) fn fill(&self, to: &Memory, byte: u8) -> Result<()> {
        self.context.bind()?;
        if to.bytes == 0 {
            return Ok(());
        }
        // SAFETY: the allocation has these bytes and lives until its owner has seen this work end.
        let done = unsafe { result::memset_d8_async(to.address, byte, to.bytes, self.raw) };
        self.context.check("memory cannot be filled", done)
    }

    /// Copies all bytes to the device and blocks until they are there.
    pub(super) fn upload(&self, to: &Memory, from: &[u8]) -> Result<()> {
        assert_eq!(to.bytes, from.len(), "the caller compared the sizes");
        self.context.bind()?;
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: both have these many bytes and live until the synchronisation below.
        let done = unsafe { result::memcpy_htod_async(to.address, from, self.raw) };
        self.context.check("bytes cannot be copied to the device", done)?;
        self.synchronize()
    }

    /// Copies all bytes from the device and blocks until they are here.
    pub(super) fn download(&self, to: &mut [u8], from: &Memory) -> Result<()> {
        assert_eq!(from.bytes, to.len(), "the caller compared the sizes");
        self.context.bind()?;
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: both have these many bytes and live until the synchronisation below.
        let done = unsafe { result::memcpy_dtoh_async(to, from.address, self.raw) };
        self.context.check("bytes cannot be copied from the device", done)?;
        self.synchronize()
    }

    /// Makes this thread's calls go to the stream's context, for [`Stream::launch`].
    pub(super) fn bind(&self) -> Result<()> {
        self.context.bind()
    }

    /// Starts a function, on a thread that called [`Stream::bind`]. `parameters` point to what it
    /// takes.
    ///
    /// # Safety
    /// The function takes these parameters, and what they point to lives until the work has ended.
    pub(super) unsafe fn launch(
        &self,
        function: &Function,
        grid: [u32; 3],
        block: [u32; 3],
        shared_bytes: u32,
        parameters: &[*mut c_void],
    ) -> Result<()> {
        let ([gx, gy, gz], [bx, by, bz]) = (grid, block);
        // SAFETY: the driver reads the parameters and copies them before it returns; the rest is
        // the caller's.
        let done = unsafe {
            sys::cuLaunchKernel(
                function.raw,
                gx,
                gy,
                gz,
                bx,
                by,
                bz,
                shared_bytes,
                self.raw,
                parameters.as_ptr().cast_mut(),
                std::ptr::null_mut(),
            )
        };
        if done != CUresult::CUDA_SUCCESS {
            let what = format!("`{}` cannot be launched", function.name);
            self.context.check(&what, done.result())?;
        }
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.own && self.context.set_current().is_ok() {
            // SAFETY: the stream is ours and used no more; the driver lets its work end first.
            let _ = unsafe { result::stream::destroy(self.raw) };
        }
    }
}

/// A point in a stream's work.
pub(super) struct Event {
    raw: sys::CUevent,
    timed: bool,
    context: Arc<Context>,
}

// SAFETY: the driver's events may be used from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Marks the end of the stream's work so far. A thread that waits for it sleeps.
    pub(super) fn record(stream: &Stream) -> Result<Self> {
        Self::made(stream, false)
    }

    /// As [`Event::record`], with a clock.
    pub(super) fn record_time(stream: &Stream) -> Result<Self> {
        Self::made(stream, true)
    }

    fn made(stream: &Stream, timed: bool) -> Result<Self> {
        let context = Arc::clone(&stream.context);
        context.bind()?;
        let known = if timed { None } else { lock(&context.idle).pop() };
        let raw = known.map_or_else(|| Self::create(&context, timed), Ok)?;
        let event = Self { raw, timed, context };
        // SAFETY: event and stream live, and belong to one context.
        let done = unsafe { result::event::record(event.raw, stream.raw) };
        event.context.check("an event cannot be recorded", done)?;
        Ok(event)
    }

    fn create(context: &Context, timed: bool) -> Result<sys::CUevent> {
        let sleeping = sys::CUevent_flags::CU_EVENT_BLOCKING_SYNC as u32;
        let untimed = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING as u32;
        let flags = if timed { sleeping } else { sleeping | untimed };
        let mut raw = std::ptr::null_mut();
        // SAFETY: `raw` outlives the call; the flags are a union of the driver's.
        let made = unsafe { sys::cuEventCreate(&raw mut raw, flags) };
        context.check("no event can be made", made.result())?;
        Ok(raw)
    }

    /// Blocks until the work before it has ended.
    pub(super) fn synchronize(&self) -> Result<()> {
        self.context.bind()?;
        // SAFETY: the event lives and was recorded.
        let done = unsafe { result::event::synchronize(self.raw) };
        self.context.check("the device's work failed", done)
    }

    /// Milliseconds from `start` to this; both were made by [`Event::record_time`] and have passed.
    pub(super) fn since(&self, start: &Self) -> Result<f32> {
        self.context.bind()?;
        // SAFETY: both live.
        let done = unsafe { result::event::elapsed(start.raw, self.raw) };
        self.context.check("a time cannot be read", done)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let mut idle = lock(&self.context.idle);
        // streams that wait for it wait for what it marked when they were told to
        if !self.timed && idle.len() < IDLE {
            return idle.push(self.raw);
        }
        drop(idle);
        if self.context.set_current().is_ok() {
            // SAFETY: the event is ours and used no more.
            let _ = unsafe { result::event::destroy(self.raw) };
        }
    }
}

/// Bytes on a device.
pub(super) struct Memory {
    address: u64,
    bytes: usize,
    stream: Arc<Stream>,
}

impl Memory {
    /// Allocates in the order of `stream`, and blocks until the memory may be used on all streams.
    pub(super) fn allocate(stream: &Arc<Stream>, bytes: usize) -> Result<Self> {
        let context = &stream.context;
        context.bind()?;
        // SAFETY: the stream lives. The driver refuses zero bytes, so there is always one.
        let address = unsafe { result::malloc_async(stream.raw, bytes.max(1)) };
        let address = context.check("no memory on the device", address)?;
        let memory = Self { address, bytes, stream: Arc::clone(stream) };
        stream.synchronize()?;
        Ok(memory)
    }

    pub(super) const fn address(&self) -> u64 {
        self.address
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    /// Does not block. Whoever owned it has seen all work on it end.
    fn drop(&mut self) {
        if self.stream.context.set_current().is_ok() {
            // SAFETY: allocated by `allocate`, and freed once.
            let _ = unsafe { result::free_async(self.address, self.stream.raw) };
        }
    }
}

/// Code on a device.
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: the driver's modules may be used from any thread.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// Room for what the driver's assembler says, in bytes.
const LOG: usize = 16 << 10;

impl Module {
    /// Assembles PTX text and loads it.
    ///
    /// # Errors
    /// `E1112` with the assembler's words.
    pub(super) fn load(context: &Arc<Context>, ptx: &str) -> Result<Arc<Self>> {
        context.bind()?;
        let text = CString::new(ptx)
            .map_err(|_| environment("E1112", "the PTX text has a zero byte: a defect of ours"))?;
        let mut log = vec![0_u8; LOG];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
        let mut raw = std::ptr::null_mut();
        // SAFETY: text, options and log outlive the call, and the log is as long as it is said.
        let done = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut raw,
                text.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        match done.result() {
            Ok(()) => Ok(Arc::new(Self { raw, context: Arc::clone(context) })),
            Err(e) if is_fatal(e.0) => context.check("", Err(e)),
            Err(e) => {
                let end = log.iter().position(|&b| b == 0).unwrap_or(LOG);
                let said = String::from_utf8_lossy(&log[..end]).trim().to_owned();
                let mut d =
                    environment("E1112", format!("the driver refuses the PTX: {}", words(e)));
                d.witness = (!said.is_empty()).then_some(said);
                d.help = Some("a newer driver may accept it".to_owned());
                Err(d)
            }
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if self.context.set_current().is_ok() {
            // SAFETY: the module is ours, and launches that run it hold an Arc of it.
            let _ = unsafe { result::module::unload(self.raw) };
        }
    }
}

/// An entry point of a module.
pub(super) struct Function {
    raw: sys::CUfunction,
    name: String,
    max_threads: u32,
    /// The code lives as long as its functions.
    _module: Arc<Module>,
}

// SAFETY: a function is a handle into its module, which is Send and Sync.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Sync for Function {}

impl Function {
    /// Finds an entry point and allows it this much dynamic shared memory.
    pub(super) fn find(module: &Arc<Module>, name: &str, shared_bytes: u32) -> Result<Self> {
        use sys::CUfunction_attribute as Of;
        let context = &module.context;
        context.bind()?;
        let missing = || format!("the module has no usable function `{name}`");
        let text = CString::new(name).map_err(|_| environment("E1112", missing()))?;
        // SAFETY: the module lives.
        let raw = unsafe { result::module::get_function(module.raw, text) };
        let raw = context.check(&missing(), raw)?;
        if shared_bytes > 0 {
            let of = Of::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
            // SAFETY: the function lives as its module does.
            let done = unsafe { result::function::set_function_attribute(raw, of, bytes) };
            let what = format!("`{name}` cannot have {shared_bytes} bytes of shared memory");
            context.check(&what, done)?;
        }
        let of = Of::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
        // SAFETY: as above.
        let threads = unsafe { result::function::get_function_attribute(raw, of) };
        let threads = context.check("a function cannot be examined", threads)?;
        let max_threads = u32::try_from(threads).unwrap_or(0);
        Ok(Self { raw, name: name.to_owned(), max_threads, _module: Arc::clone(module) })
    }

    /// Most threads of a block, for the registers it needs.
    pub(super) const fn max_threads(&self) -> u32 {
        self.max_threads
    }
}
