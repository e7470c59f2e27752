//! Devices, buffers, launches and their order on a GPU; refusals where there is none.

mod support;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use cudarc::driver::sys;
use support::{ITERATE, SUM, code, gpu, looped, sizes};
use warploom_ir::abi::GpuStep;
use warploom_ir::affine::Name;
use warploom_ir::dtype::DType;
use warploom_ir::target::Target;
use warploom_ir::tensor::Tensor;
use warploom_runtime::cuda::{BoundProgram, Device, DeviceBuffer, Devices, time_launches};

/// Spins for 30 ms, then adds.
fn slow() -> String {
    format!(
        "mov.u64 %rd10, %globaltimer;\nSPIN: mov.u64 %rd11, %globaltimer;\n\
         sub.u64 %rd12, %rd11, %rd10; setp.lt.u64 %p2, %rd12, 30000000; @%p2 bra SPIN;\n{SUM}"
    )
}

fn values(n: usize, scale: f64) -> Tensor {
    let list: Vec<f64> = (0..n).map(|i| i as f64 * scale).collect();
    Tensor::from_f64s(DType::F32, &[n], &list).expect("as many values as elements")
}

fn map(a: &DeviceBuffer, b: &DeviceBuffer, c: &DeviceBuffer) -> BTreeMap<Name, DeviceBuffer> {
    [("A", a), ("B", b), ("C", c)].map(|(n, x)| (n.into(), x.clone())).into()
}

#[test]
fn without_a_device_every_question_is_answered() {
    match Devices::list() {
        Ok(list) => {
            for (i, info) in list.iter().enumerate() {
                assert_eq!(info.ordinal, i);
                assert!(info.memory > 0 && info.multiprocessors > 0 && !info.name.is_empty());
            }
        }
        Err(d) => {
            assert_eq!((d.code, d.blame.exit_code()), ("E1110", 3));
            assert!(d.help.is_some_and(|h| h.contains("--device cpu")));
            assert_eq!(Device::open(0).err().expect("no driver").code, "E1110");
        }
    }
    for far in [4096, usize::MAX] {
        let d = Device::open(far).err().expect("no machine has as many");
        assert_eq!((d.code, d.blame.exit_code()), ("E1110", 3), "{d}");
    }
}

#[test]
fn tensors_come_back_and_new_arrays_are_poisoned() {
    let Some(device) = gpu("tensors_come_back_and_new_arrays_are_poisoned") else { return };
    for dtype in DType::ALL {
        for shape in [&[][..], &[0, 3], &[1], &[5, 7], &[1 << 20]] {
            let tensor = Tensor::random(dtype, shape, 3).unwrap();
            let buffer = device.upload(&tensor).unwrap();
            assert_eq!(buffer.read().unwrap(), tensor);
            buffer.poison().unwrap();
            assert_eq!(buffer.read().unwrap(), Tensor::poisoned(dtype, shape).unwrap());
        }
    }
    let buffer = device.buffer(DType::F32, &[4]).unwrap();
    assert_eq!(buffer.read().unwrap(), Tensor::poisoned(DType::F32, &[4]).unwrap());
    assert_eq!(buffer.write(&values(5, 1.0)).unwrap_err().code, "E1102");
}

#[test]
fn memory_is_limited_and_given_back() {
    let Some(device) = gpu("memory_is_limited_and_given_back") else { return };
    device.set_memory_limit(1000);
    let first = device.buffer(DType::U8, &[600]).unwrap();
    assert_eq!(device.memory_used(), 600);
    let d = device.buffer(DType::U8, &[401]).unwrap_err();
    assert_eq!((d.code, d.blame.exit_code()), ("E1113", 3));
    assert!(["401", "600", "1000"].iter().all(|n| d.message.contains(n)), "{d}");
    assert_eq!(device.memory_used(), 600);
    drop(first);
    assert_eq!(device.memory_used(), 0);
    let _all = device.buffer(DType::U8, &[1000]).unwrap();
    // more than any device has, within the limit
    device.set_memory_limit(u64::MAX);
    let d = device.buffer(DType::U8, &[1 << 38]).unwrap_err();
    assert_eq!(d.code, "E1113", "{d}");
    assert!(d.message.contains("274877906944"), "{d}");
}

#[test]
fn a_program_runs_and_checks_its_arguments() {
    let Some(device) = gpu("a_program_runs_and_checks_its_arguments") else { return };
    let program = device.load(&code(SUM)).unwrap();
    for n in [1, 127, 128, 1000] {
        let inputs = BTreeMap::from([("A".into(), values(n, 1.0)), ("B".into(), values(n, 0.5))]);
        let out = program.run(&inputs, &sizes(n as i64)).unwrap();
        assert_eq!(out[&Name::from("C")], values(n, 1.5));
    }
    let none = Tensor::zeros(DType::F32, &[0]).unwrap();
    let inputs = BTreeMap::from([("A".into(), none.clone()), ("B".into(), none.clone())]);
    assert_eq!(program.run(&inputs, &sizes(0)).unwrap()[&Name::from("C")], none);
    let [a, b, c] = [1.0, 2.0, 3.0].map(|s| device.upload(&values(8, s)).unwrap());
    let code_of = |arrays, n| program.launch(&arrays, &sizes(n)).err().map(|d| d.code);
    assert_eq!(code_of(map(&a, &b, &c), 9), Some("E1102"));
    assert_eq!(code_of(map(&a, &c, &c), 8), Some("E1117"));
    assert_eq!(code_of(BTreeMap::new(), 8), Some("E1103"));
    assert_eq!(code_of(map(&a, &a, &c), 8), None);
    assert_eq!(c.read().unwrap(), values(8, 2.0));
    let other = Device::open(0).unwrap().upload(&values(8, 1.0)).unwrap();
    assert_eq!(code_of(map(&a, &other, &c), 8), Some("E1102"));
}

#[test]
fn the_drivers_words_are_passed_on() {
    let Some(device) = gpu("the_drivers_words_are_passed_on") else { return };
    let d = device.load(&code("add.nothing %rd6, %rd5, 2;")).err().expect("no such instruction");
    assert_eq!(d.code, "E1112");
    assert!(d.witness.as_ref().is_some_and(|w| w.contains("nothing")), "{d}");
    let mut wrong = code(SUM);
    let GpuStep::Launch(launch) = &mut wrong.steps[0] else { panic!("one launch") };
    launch.entry = "missing".into();
    assert!(device.load(&wrong).is_err());
    wrong.target = Target::Cpu;
    assert_eq!(device.load(&wrong).err().expect("no GPU's target").code, "E1116");
    // the device is as good as before
    assert!(device.load(&code(SUM)).is_ok());
}

#[test]
fn dependent_launches_are_ordered_and_disjoint_ones_overlap() {
    let Some(device) = gpu("dependent_launches_are_ordered_and_disjoint_ones_overlap") else {
        return;
    };
    let (slow, fast) = (device.load(&code(&slow())).unwrap(), device.load(&code(SUM)).unwrap());
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b) = (array(1.0), array(2.0));
    let outs: Vec<DeviceBuffer> = (0..4).map(|_| array(0.0)).collect();
    // the code is loaded on its first launch
    slow.launch(&map(&a, &b, &outs[0]), &n).unwrap().wait().unwrap();
    fast.launch(&map(&a, &b, &outs[0]), &n).unwrap().wait().unwrap();
    // a chain: c0 = a + b, slowly; c1 = c0 + b; then a is overwritten
    let first = slow.launch(&map(&a, &b, &outs[0]), &n).unwrap();
    let second = fast.launch(&map(&outs[0], &b, &outs[1]), &n).unwrap();
    let third = fast.launch(&map(&b, &b, &a), &n).unwrap();
    assert!(!first.is_done() && !second.is_done(), "launching does not block");
    second.wait().unwrap();
    assert!(first.is_done());
    third.wait().unwrap();
    assert_eq!(outs[0].read().unwrap(), values(64, 3.0));
    assert_eq!(outs[1].read().unwrap(), values(64, 5.0));
    assert_eq!(a.read().unwrap(), values(64, 4.0));
    // four disjoint launches of 30 ms each
    let started = Instant::now();
    let handles: Vec<_> = outs.iter().map(|c| slow.launch(&map(&a, &b, c), &n).unwrap()).collect();
    for handle in handles {
        handle.wait().unwrap();
    }
    let took = started.elapsed();
    assert!(took > Duration::from_millis(29) && took < Duration::from_millis(90), "{took:?}");
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn handles_are_futures_and_dropped_ones_detach() {
    let Some(device) = gpu("handles_are_futures_and_dropped_ones_detach") else { return };
    let program = device.load(&code(&slow())).unwrap();
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b, c) = (array(1.0), array(2.0), array(0.0));
    let mut handle = pin!(program.launch(&map(&a, &b, &c), &n).unwrap());
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    assert!(handle.as_mut().poll(&mut cx).is_pending());
    loop {
        std::thread::park_timeout(Duration::from_secs(20));
        if let Poll::Ready(outcome) = handle.as_mut().poll(&mut cx) {
            outcome.unwrap();
            break;
        }
    }
    assert_eq!(c.read().unwrap(), values(64, 3.0));
    // dropped at once, while the launch and its arrays live on
    let scratch = array(0.0);
    let used = device.memory_used();
    let handle = program.launch(&map(&a, &b, &scratch), &n).unwrap();
    let started = Instant::now();
    drop(handle);
    drop((a, b, scratch));
    assert!(started.elapsed() < Duration::from_millis(20), "{:?}", started.elapsed());
    assert_eq!(device.memory_used(), used, "the launch keeps its arrays");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(device.memory_used(), 256, "only c is left");
}

#[test]
fn times_are_those_of_the_device() {
    let Some(device) = gpu("times_are_those_of_the_device") else { return };
    let program = device.load(&code(&slow())).unwrap();
    let n = sizes(64);
    let array = |s| device.upload(&values(64, s)).unwrap();
    let (a, b) = (array(1.0), array(2.0));
    let bound: Vec<_> =
        (0..3).map(|_| program.bind(&map(&a, &b, &array(0.0)), &n).unwrap()).collect();
    let times = time_launches(&bound, 1, 5).unwrap();
    assert_eq!(times.runs, 5);
    assert!(times.p10 >= Duration::from_millis(29) && times.p90 < Duration::from_millis(60));
    assert_eq!(time_launches::<BoundProgram>(&[], 1, 5).unwrap_err().code, "E1101");
}

/// Launches of a program of [`ITERATE`].
const MANY: i64 = 40;

/// What [`ITERATE`] makes of `a` and `b`, on the processor.
fn iterated(a: &Tensor, b: &Tensor) -> Tensor {
    let (a, b) = (a.to_f64s(), b.to_f64s());
    let one = |(x, y): (&f64, &f64)| {
        let step = |c: f32, t: i64| c.mul_add(*y as f32, t as f32);
        f64::from((0..MANY).fold(*x as f32, step))
    };
    let list: Vec<f64> = a.iter().zip(&b).map(one).collect();
    Tensor::from_f64s(DType::F32, &[a.len()], &list).expect("as many values as elements")
}

/// Waits until so many bytes are in use: what a launch keeps goes a moment after its end.
fn settles(device: &Device, bytes: u64) -> bool {
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        device.memory_used() == bytes
    })
}

#[test]
fn many_launches_are_a_graph_from_the_second_run_on() {
    let Some(device) = gpu("many_launches_are_a_graph_from_the_second_run_on") else { return };
    let program = device.load(&looped(ITERATE, MANY)).unwrap();
    let (a, b) = (values(1000, 5e-4), values(1000, 1e-3));
    let [x, y, z] = [&a, &b, &a].map(|t| device.upload(t).unwrap());
    let bound = program.bind(&map(&x, &y, &z), &sizes(1000)).unwrap();
    assert_eq!(bound.launches(), MANY as u64);
    let before = device.memory_used();
    for run in 0..4 {
        assert_eq!(bound.is_recorded(), run > 1);
        z.poison().unwrap();
        bound.launch().unwrap().wait().unwrap();
        assert_eq!(z.read().unwrap(), iterated(&a, &b), "run {run}");
    }
    assert!(device.memory_used() > before, "a graph counts");
    // other contents of the same arrays, other arrays, fewer elements
    x.write(&b).unwrap();
    bound.launch().unwrap().wait().unwrap();
    assert_eq!(z.read().unwrap(), iterated(&b, &b));
    let other = device.upload(&a).unwrap();
    let second = program.bind(&map(&x, &other, &z), &sizes(1000)).unwrap();
    for _ in 0..3 {
        drop(second.launch().unwrap());
        drop(bound.launch().unwrap());
    }
    assert_eq!(z.read().unwrap(), iterated(&b, &b));
    drop(second.launch().unwrap());
    assert_eq!(z.read().unwrap(), iterated(&b, &a));
    assert!(second.is_recorded());
    // few launches are none
    let few = device.load(&looped(ITERATE, 2)).unwrap();
    let few = few.bind(&map(&x, &y, &z), &sizes(1000)).unwrap();
    for _ in 0..3 {
        few.launch().unwrap().wait().unwrap();
    }
    assert!(!few.is_recorded());
    drop((bound, second));
    assert!(settles(&device, before + 4000), "graphs go with their arguments");
}

#[test]
fn graphs_are_ordered_by_their_buffers() {
    let Some(device) = gpu("graphs_are_ordered_by_their_buffers") else { return };
    let first = device.load(&looped(ITERATE, MANY)).unwrap();
    let spinning = device.load(&looped(&slow(), 5)).unwrap();
    let n = sizes(64);
    let scales = [8.0 / 1024.0, 1.0 / 1024.0, 0.0, 0.0];
    let [a, b, c, d] = scales.map(|s| device.upload(&values(64, s)).unwrap());
    let [eight, one, nine] = [8.0, 1.0, 9.0].map(|s| values(64, s / 1024.0));
    // c from a, slowly; d from c; c from b and a
    let slow = spinning.bind(&map(&a, &b, &c), &n).unwrap();
    let after = first.bind(&map(&c, &b, &d), &n).unwrap();
    let last = first.bind(&map(&b, &a, &c), &n).unwrap();
    for run in 0..4 {
        let handle = slow.launch().unwrap();
        drop(after.launch().unwrap());
        let end = last.launch().unwrap();
        assert!(!handle.is_done() || run < 2, "a graph is launched at once");
        end.wait().unwrap();
        assert!(handle.is_done());
        assert_eq!(d.read().unwrap(), iterated(&nine, &one));
        assert_eq!(c.read().unwrap(), iterated(&one, &eight));
    }
    assert!(slow.is_recorded() && after.is_recorded() && last.is_recorded());
    // by the device's clock: five times 30 ms, and no graph is made meanwhile
    let times = time_launches(&[slow], 0, 3).unwrap();
    assert!(times.p10 >= Duration::from_millis(149) && times.p90 < Duration::from_millis(190));
}

#[test]
fn arrays_of_graphs_may_be_dropped_at_any_time() {
    let Some(device) = gpu("arrays_of_graphs_may_be_dropped_at_any_time") else { return };
    let program = device.load(&looped(ITERATE, MANY)).unwrap();
    let base = device.memory_used();
    for round in 0..20 {
        // addresses come back, with other contents
        let (a, b) = (values(5000, 0.1 * f64::from(round)), values(5000, 1e-4));
        let arrays = [&a, &b, &a].map(|t| device.upload(t).unwrap());
        let [x, y, z] = &arrays;
        let bound = program.bind(&map(x, y, z), &sizes(5000)).unwrap();
        for _ in 0..3 {
            drop(bound.launch().unwrap());
        }
        assert!(bound.is_recorded());
        if round % 2 == 0 {
            assert_eq!(z.read().unwrap(), iterated(&a, &b));
        }
        drop((bound, arrays));
    }
    assert!(settles(&device, base));
}

#[test]
fn threads_launch_the_same_graph() {
    let Some(device) = gpu("threads_launch_the_same_graph") else { return };
    let program = device.load(&looped(ITERATE, MANY)).unwrap();
    let (a, b) = (values(300, 0.5), values(300, 1e-3));
    let array = || device.upload(&a).unwrap();
    let (x, y, z) = (array(), device.upload(&b).unwrap(), array());
    let shared = program.bind(&map(&x, &y, &z), &sizes(300)).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let out = array();
                let own = program.bind(&map(&x, &y, &out), &sizes(300)).unwrap();
                for round in 0..50 {
                    drop(shared.launch().unwrap());
                    own.launch().unwrap().wait().unwrap();
                    if round % 10 == 9 {
                        assert_eq!(out.read().unwrap(), iterated(&a, &b));
                        assert_eq!(z.read().unwrap(), iterated(&a, &b));
                    }
                }
                assert!(own.is_recorded());
            });
        }
    });
    assert!(shared.is_recorded());
}

#[test]
fn graphs_take_no_memory_that_is_wanted() {
    let Some(device) = gpu("graphs_take_no_memory_that_is_wanted") else { return };
    let program = device.load(&looped(ITERATE, MANY)).unwrap();
    let (a, b) = (values(256, 0.5), values(256, 1e-3));
    let [x, y, z] = [&a, &b, &a].map(|t| device.upload(t).unwrap());
    let used = device.memory_used();
    let right = |bound: &BoundProgram| {
        z.poison().unwrap();
        bound.launch().unwrap().wait().unwrap();
        assert_eq!(z.read().unwrap(), iterated(&a, &b));
    };
    // no room for a graph
    device.set_memory_limit(used + 100);
    let bound = program.bind(&map(&x, &y, &z), &sizes(256)).unwrap();
    (0..4).for_each(|_| right(&bound));
    assert!(!bound.is_recorded());
    assert_eq!(device.memory_used(), used);
    // room for a graph, until an array needs it
    device.set_memory_limit(used + 100_000);
    let bound = program.bind(&map(&x, &y, &z), &sizes(256)).unwrap();
    (0..2).for_each(|_| right(&bound));
    assert!(bound.is_recorded());
    let large = device.buffer(DType::U8, &[90_000]).unwrap();
    assert!(!bound.is_recorded());
    right(&bound);
    drop(large);
    (0..3).for_each(|_| right(&bound));
    assert!(bound.is_recorded());
}

#[test]
fn arrays_of_the_callers_have_graphs_too() {
    let Some(device) = gpu("arrays_of_the_callers_have_graphs_too") else { return };
    let program = device.load(&looped(ITERATE, MANY)).unwrap();
    let (a, b) = (values(1000, 5e-4), values(1000, 1e-3));
    let [x, y, z] = [&a, &b, &a].map(|t| device.upload(t).unwrap());
    let lent = program.lend(&sizes(1000)).unwrap();
    let used = device.memory_used();
    device.make_current().unwrap();
    let mut stream = std::ptr::null_mut();
    // SAFETY: the driver runs, and `stream` outlives the call.
    let made = unsafe { sys::cuStreamCreate(&raw mut stream, 1) };
    assert_eq!(made, sys::CUresult::CUDA_SUCCESS);
    let run = |[i, j]: [&DeviceBuffer; 2]| {
        let addresses = [i, j, &z].map(DeviceBuffer::address);
        // SAFETY: the arrays live until the wait below, and nothing else touches them.
        unsafe { lent.launch(&addresses, stream.cast::<c_void>()) }.unwrap();
    };
    for _ in 0..3 {
        for (arrays, want) in [([&x, &y], iterated(&a, &b)), ([&y, &x], iterated(&b, &a))] {
            run(arrays);
            lent.wait().unwrap();
            assert_eq!(z.read().unwrap(), want);
        }
    }
    assert!(device.memory_used() > used, "two graphs");
    // what the caller records has the launches themselves
    let mut graph = std::ptr::null_mut();
    let mut nodes = 0;
    // SAFETY: the stream lives, all places outlive the calls.
    unsafe {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        assert_eq!(sys::cuStreamBeginCapture_v2(stream, mode), sys::CUresult::CUDA_SUCCESS);
        run([&x, &y]);
        assert_eq!(sys::cuStreamEndCapture(stream, &raw mut graph), sys::CUresult::CUDA_SUCCESS);
        let counted = sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &raw mut nodes);
        assert_eq!(counted, sys::CUresult::CUDA_SUCCESS);
        assert_eq!(nodes, MANY as usize);
        assert_eq!(sys::cuGraphDestroy(graph), sys::CUresult::CUDA_SUCCESS);
    }
    run([&y, &x]);
    lent.wait().unwrap();
    assert_eq!(z.read().unwrap(), iterated(&b, &a));
    drop(lent);
    assert_eq!(device.memory_used(), used);
    // SAFETY: the stream is ours and used no more.
    let gone = unsafe { sys::cuStreamDestroy_v2(stream) };
    assert_eq!(gone, sys::CUresult::CUDA_SUCCESS);
}
