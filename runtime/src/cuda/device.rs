//! Devices: which there are, what they can, and the lanes that their work runs in.
//!
//! In: an ordinal. Out: an open device that buffers and programs hold. Keeps: the memory limit is
//! never passed; work is ordered by the buffers it touches and by nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use warploom_ir::diag::Result;
use warploom_ir::target::Target;

use super::buffer::Touched;
use super::driver::{self, Context, Event, Memory, Stream, environment};
use super::handle::{LaunchHandle, Wait, Waiter};
use super::order::{self, Load, Mark};
use super::recorded::Recorded;
use super::replay::Shelf;
use super::track::{self, Marked, Track};

/// Streams of a device: as many launches can overlap.
const LANES: usize = 4;

/// Most launches in all graphs of a device.
const RECORDED: u64 = 1 << 17;

/// What one device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Its number, as in `cuda:0`.
    pub ordinal: usize,
    /// The product's name.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (u32, u32),
    /// Bytes of memory.
    pub memory: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
}

impl DeviceInfo {
    /// The best target whose code runs on this device; `None` before compute capability 8.0.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        target_of(self.capability)
    }

    /// Whether code for a target runs on this device.
    #[must_use]
    pub fn runs(&self, target: Target) -> bool {
        match target {
            Target::Cpu => false,
            Target::Sm80 => self.capability >= (8, 0),
            Target::Sm86 => self.capability >= (8, 6),
            Target::Sm89 => self.capability >= (8, 9),
            Target::Sm90a => self.capability == (9, 0),
            Target::Sm100a => self.capability == (10, 0),
            Target::Sm103a => self.capability == (10, 3),
            Target::Sm120 => self.capability >= (12, 0),
        }
    }
}

/// The best target of a compute capability. The targets with an `a` run on theirs alone.
const fn target_of(capability: (u32, u32)) -> Option<Target> {
    match capability {
        (9, 0) => Some(Target::Sm90a),
        (10, 0) => Some(Target::Sm100a),
        (10, 3) => Some(Target::Sm103a),
        (8, 6..=8) => Some(Target::Sm86),
        (8, 9) => Some(Target::Sm89),
        (12.., _) => Some(Target::Sm120),
        (8.., _) => Some(Target::Sm80),
        (_, _) => None,
    }
}

/// The devices of this machine.
#[derive(Debug)]
pub struct Devices;

impl Devices {
    /// Every device that the driver shows, usable or not.
    ///
    /// # Errors
    /// `E1110` where there is no driver, or it is too old or does not start.
    pub fn list() -> Result<Vec<DeviceInfo>> {
        (0..driver::count()?).map(|ordinal| Ok(info(ordinal, driver::facts(ordinal)?))).collect()
    }
}

fn info(ordinal: usize, facts: driver::Facts) -> DeviceInfo {
    let driver::Facts { name, capability, memory, multiprocessors, memory_pools: _ } = facts;
    DeviceInfo { ordinal, name, capability, memory, multiprocessors }
}

impl Wait for Event {
    fn wait(&self) -> Result<()> {
        self.synchronize()
    }
}

impl Marked for Stream {
    type Mark = Event;

    fn mark(&self) -> Result<Event> {
        Event::record(self)
    }
}

/// The end of a launch, shared by the buffers it concerns.
pub(super) type End = track::End<Stream>;

/// What lives until a launch has ended.
struct Kept {
    /// The code that runs and its buffers; never read, but there to be dropped.
    _alive: Arc<dyn Send + Sync>,
    counts: Arc<Counts>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.counts.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// How many launches of a lane there were and have ended.
#[derive(Default)]
struct Counts {
    launched: AtomicU64,
    ended: AtomicU64,
}

/// One stream, and the thread that waits for its work.
struct Lane {
    track: Arc<Track<Stream>>,
    counts: Arc<Counts>,
    waiter: Waiter<End, Kept>,
}

struct Shared {
    info: DeviceInfo,
    target: Target,
    context: Arc<Context>,
    /// Where memory is allocated, copied and freed: no kernel runs there.
    copies: Arc<Stream>,
    lanes: Vec<Lane>,
    next: AtomicUsize,
    limit: AtomicU64,
    used: AtomicU64,
    graphs: Arc<Shelf<Recorded>>,
}

/// An open device. Clones are the same device.
#[derive(Clone)]
pub struct Device(Arc<Shared>);

/// Where a launch may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Wherever it waits least.
    Any,
    /// One after the other, for timing.
    First,
}

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// `E1110` where there is no driver or no such device, `E1116` where the device is too old,
    /// `E1106` where the system gives no threads.
    pub fn open(ordinal: usize) -> Result<Self> {
        let count = driver::count()?;
        if ordinal >= count {
            let there = match count {
                0 => "there is no NVIDIA GPU".to_owned(),
                1 => "there is cuda:0 alone".to_owned(),
                n => format!("there are cuda:0 to cuda:{}", n - 1),
            };
            return Err(environment("E1110", format!("there is no cuda:{ordinal}: {there}")));
        }
        let facts = driver::facts(ordinal)?;
        let pools = facts.memory_pools;
        let info = info(ordinal, facts);
        let (major, minor) = info.capability;
        let Some(target) = info.target().filter(|_| pools) else {
            let text = format!(
                "cuda:{ordinal} ({}) has compute capability {major}.{minor}{}; 8.0 with memory \
                 pools is needed",
                info.name,
                if pools { "" } else { " and no memory pools" }
            );
            return Err(environment("E1116", text));
        };
        let context = Context::retain(ordinal)?;
        let copies = Arc::new(Stream::new(&context)?);
        let lane = |i| {
            let waiter = Waiter::start(&format!("warploom-cuda{ordinal}-{i}"))?;
            let track = Track::new(Stream::new(&context)?);
            Ok(Lane { track, counts: Arc::default(), waiter })
        };
        let lanes = (0..LANES).map(lane).collect::<Result<_>>()?;
        let (next, used) = (AtomicUsize::new(0), AtomicU64::new(0));
        let (limit, graphs) = (AtomicU64::new(info.memory), Shelf::new(RECORDED));
        let shared = Shared { info, target, context, copies, lanes, next, limit, used, graphs };
        Ok(Self(Arc::new(shared)))
    }

    /// What it is.
    #[must_use]
    pub fn info(&self) -> &DeviceInfo {
        &self.0.info
    }

    /// The best target whose code runs on it.
    #[must_use]
    pub fn target(&self) -> Target {
        self.0.target
    }

    /// Free and total bytes of memory, of all programs on this machine.
    ///
    /// # Errors
    /// `E1114`, `E1115` where the driver fails.
    pub fn memory(&self) -> Result<(u64, u64)> {
        self.0.copies.synchronize()?;
        self.0.context.memory()
    }

    /// Makes this thread's calls of the driver go to this device, for libraries that go by that.
    ///
    /// # Errors
    /// `E1114`, `E1115` where the driver fails.
    pub fn make_current(&self) -> Result<()> {
        self.0.context.bind()
    }

    /// The most bytes that buffers and graphs of this device take together, from now on.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.0.limit.store(bytes, Ordering::SeqCst);
    }

    /// The bytes that buffers and graphs of this device take now.
    #[must_use]
    pub fn memory_used(&self) -> u64 {
        self.0.used.load(Ordering::SeqCst)
    }

    /// Whether both are the same open device.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    pub(super) fn copies(&self) -> &Stream {
        &self.0.copies
    }

    /// The graphs of programs on this device.
    pub(super) fn graphs(&self) -> &Arc<Shelf<Recorded>> {
        &self.0.graphs
    }

    /// Memory within the limit. Graphs go where they are in the way.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Memory> {
        let made = self.allocate_beside_graphs(bytes);
        let full = made.as_ref().is_err_and(|d| d.code == "E1113");
        if full && self.0.graphs.clear() { self.allocate_beside_graphs(bytes) } else { made }
    }

    fn allocate_beside_graphs(&self, bytes: usize) -> Result<Memory> {
        self.reserve(bytes as u64)?;
        let made = self.allocate_unlimited(bytes);
        if made.is_err() {
            self.forget(bytes as u64);
        }
        made
    }

    /// Takes room below the limit.
    pub(super) fn reserve(&self, bytes: u64) -> Result<()> {
        let (used, limit) = (&self.0.used, self.0.limit.load(Ordering::SeqCst));
        let room = |u: u64| u.checked_add(bytes).filter(|&sum| sum <= limit);
        let taken = used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room);
        taken.map(drop).map_err(|taken| {
            let n = self.0.info.ordinal;
            environment(
                "E1113",
                format!(
                    "{bytes} bytes do not fit on cuda:{n}: {taken} of the allowed {limit} bytes \
                     are in use"
                ),
            )
        })
    }

    fn allocate_unlimited(&self, bytes: usize) -> Result<Memory> {
        let (free, total) = self.memory()?;
        if bytes as u64 > free {
            let n = self.0.info.ordinal;
            return Err(environment(
                "E1113",
                format!("{bytes} bytes do not fit on cuda:{n}: {free} of {total} bytes are free"),
            ));
        }
        Memory::allocate(&self.0.copies, bytes)
    }

    /// Gives back room below the limit.
    pub(super) fn forget(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Puts work on a lane, after all earlier work that touches the same buffers.
    ///
    /// `alive` holds code and buffers, and lives until the work has ended.
    pub(super) fn submit(
        &self,
        buffers: &Touched,
        alive: Arc<dyn Send + Sync>,
        place: Place,
        enqueue: impl FnOnce(&Stream) -> Result<()>,
    ) -> Result<LaunchHandle> {
        let mut touched = buffers.lock();
        let before = touched.iter().flat_map(|(uses, access)| uses.before(*access));
        let marks: Vec<&Mark<End>> = order::latest(before);
        let index = match place {
            Place::Any => {
                let next = self.0.next.fetch_add(1, Ordering::Relaxed) % LANES;
                order::lane(&marks, &self.loads(), next)
            }
            Place::First => 0,
        };
        let lane = &self.0.lanes[index];
        let stream = lane.track.stream();
        let others = marks.iter().filter(|m| m.lane != index && !m.event.is_past());
        // before the lane is entered: another one's tail is held for a mark
        let others: Vec<&Event> = others.map(|m| m.event.mark()).collect::<Result<_>>()?;
        let mut entered = lane.track.enter();
        let put_in = || {
            others.into_iter().try_for_each(|event| stream.wait(event))?;
            enqueue(stream)
        };
        put_in().inspect_err(|_| {
            // a part may run already: the buffers must outlive it, and the failure is what counts
            let _ = stream.synchronize();
        })?;
        let seq = lane.counts.launched.fetch_add(1, Ordering::SeqCst) + 1;
        let end = entered.end();
        for (uses, access) in &mut touched {
            let mark = Mark { lane: index, seq, event: end.clone() };
            uses.record(*access, mark);
        }
        let counts = Arc::clone(&lane.counts);
        let (handle, unwatched) = lane.waiter.watch(end, Kept { _alive: alive, counts });
        entered.leave(handle.observed());
        drop(touched);
        if let Some(pending) = unwatched {
            pending.settle();
        }
        Ok(handle)
    }

    fn loads(&self) -> [Load; LANES] {
        std::array::from_fn(|i| {
            let counts = &self.0.lanes[i].counts;
            let ended = counts.ended.load(Ordering::SeqCst);
            Load { launched: counts.launched.load(Ordering::SeqCst), ended }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_follow_the_compute_capability() {
        for (capability, target) in [
            ((7, 5), None),
            ((8, 0), Some(Target::Sm80)),
            ((8, 6), Some(Target::Sm86)),
            ((8, 9), Some(Target::Sm89)),
            ((9, 0), Some(Target::Sm90a)),
            ((10, 0), Some(Target::Sm100a)),
            ((10, 3), Some(Target::Sm103a)),
            ((11, 0), Some(Target::Sm80)),
            ((12, 0), Some(Target::Sm120)),
            ((12, 1), Some(Target::Sm120)),
        ] {
            let name = String::new();
            let info = DeviceInfo { ordinal: 0, name, capability, memory: 0, multiprocessors: 1 };
            assert_eq!(info.target(), target, "{capability:?}");
            assert!(target.is_none_or(|t| info.runs(t)), "{capability:?}");
            assert_eq!(info.runs(Target::Sm80), target.is_some(), "{capability:?}");
            assert_eq!(info.runs(Target::Sm90a), capability == (9, 0));
            assert_eq!(info.runs(Target::Sm100a), capability == (10, 0));
            assert_eq!(info.runs(Target::Sm103a), capability == (10, 3));
            assert!(!info.runs(Target::Cpu));
        }
    }
}
